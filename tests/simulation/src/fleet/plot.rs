//! The results as a picture: REGISTERs per second over time, on a logarithmic scale.

use std::fmt::Write as _;

use super::Course;

const WIDTH: f64 = 760.0;
const PANEL: f64 = 250.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 40.0;

/// One panel: its title and its lines, each with its name.
pub struct Panel<'c> {
    /// What happened.
    pub title: String,
    /// With and without back-off.
    pub lines: Vec<(&'static str, &'c Course)>,
}

/// Returns an SVG of the panels, the first `seconds` of each.
pub fn svg(panels: &[Panel<'_>], seconds: usize) -> String {
    let height = PANEL * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, PANEL * number as f64, seconds).expect("writing to a string succeeds");
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel<'_>, top: f64, seconds: usize) -> std::fmt::Result {
    let peak = panel.lines.iter().map(|(_, course)| course.peak()).max().unwrap_or(1).max(10);
    let decades = f64::from(peak).log10().ceil();
    let floor = top + PANEL - BOTTOM;
    let x = |second: f64| LEFT + (WIDTH - LEFT - RIGHT) * second / seconds as f64;
    let y = |count: f64| floor - (PANEL - TOP - BOTTOM) * count.max(1.0).log10() / decades;
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        top + 20.0,
        panel.title
    )?;
    for decade in 0..=decades as i32 {
        let at = y(10f64.powi(decade));
        let right = WIDTH - RIGHT;
        writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>")?;
        let label = 10u64.pow(decade.unsigned_abs());
        writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, at + 4.0)?;
    }
    for second in (0..=seconds).step_by(seconds / 6) {
        let at = x(second as f64);
        writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>", floor + 18.0)?;
    }
    for (number, (name, course)) in panel.lines.iter().enumerate() {
        let colour = ["#1668b8", "#c2410c"][number % 2];
        let mut points = String::new();
        for (second, count) in course.registers.iter().take(seconds).enumerate() {
            // One step per second.
            let (from, to, at) = (x(second as f64), x(second as f64 + 1.0), y(f64::from(*count)));
            write!(points, "{from:.1},{at:.1} {to:.1},{at:.1} ")?;
        }
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            points.trim_end()
        )?;
        let (left, row) = (WIDTH - RIGHT - 330.0 + 160.0 * number as f64, top + 36.0);
        writeln!(svg, "<text x=\"{left}\" y=\"{row}\" fill=\"{colour}\">{name}</text>")?;
    }
    Ok(())
}
