//! Messages between phone and gateway, as text and as a picture.

use std::fmt;
use std::time::Duration;

use mock_gateway::{Direction, Entry};

/// One step of a story, and its messages.
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) rungs: Vec<Rung>,
}

/// One message.
#[derive(Clone)]
pub(crate) struct Rung {
    /// Milliseconds since the story began.
    at: f64,
    from_phone: bool,
    what: String,
}

impl Rung {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self::new(entry.at, entry.direction == Direction::Received, &entry.text)
    }

    pub(crate) fn new(at: Duration, from_phone: bool, text: &str) -> Self {
        Self { at: at.as_secs_f64() * 1000.0, from_phone, what: summary(text) }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.from_phone { "──▶" } else { "◀──" };
        write!(f, "  {:>9.1} ms   phone {arrow} gateway   {}", self.at, self.what)
    }
}

/// Returns the method or status, and for a REGISTER the details that matter for push.
fn summary(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let header =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default();
    if let Some(status) = first.strip_prefix("SIP/2.0 ") {
        return format!("{status} ({})", header("CSeq").rsplit(' ').next().unwrap_or_default());
    }
    if first.is_empty() {
        return "keep-alive".to_owned();
    }
    let method = first.split(' ').next().unwrap_or_default();
    if method != "REGISTER" {
        return method.to_owned();
    }
    let notes = [
        ("pn-prid", text.contains("pn-prid=")),
        ("X-MPUSH", text.contains("X-MPUSH: ") && !text.contains("X-MPUSH: null")),
        ("X-MPUSH: null", text.contains("X-MPUSH: null")),
        ("X-Push", text.contains("X-Push: ")),
        ("authorized", text.contains("Authorization: ")),
        ("Expires: 0", header("Expires") == "0"),
    ];
    let notes: Vec<&str> = notes.into_iter().filter_map(|(note, there)| there.then_some(note)).collect();
    if notes.is_empty() { method.to_owned() } else { format!("{method} [{}]", notes.join(", ")) }
}

const WIDTH: u32 = 860;
const PHONE: u32 = 130;
const GATEWAY: u32 = 730;
const LINE: u32 = 26;

/// Draws the steps as an SVG ladder.
pub(crate) fn svg(steps: &[Step]) -> String {
    let mut body = String::new();
    let mut y = 62;
    for (number, step) in steps.iter().enumerate() {
        y += 8;
        body.push_str(&format!(
            "<rect x=\"20\" y=\"{}\" width=\"{}\" height=\"24\" rx=\"4\" fill=\"#eef2f7\"/>\
             <text x=\"30\" y=\"{}\" class=\"step\">{}. {}</text>\n",
            y,
            WIDTH - 40,
            y + 16,
            number + 1,
            escaped(&step.what)
        ));
        y += 24;
        for rung in &step.rungs {
            y += LINE;
            let (from, to) = if rung.from_phone { (PHONE + 4, GATEWAY - 6) } else { (GATEWAY - 4, PHONE + 6) };
            body.push_str(&format!(
                "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" class=\"rung\" marker-end=\"url(#head)\"/>\
                 <text x=\"{}\" y=\"{}\" class=\"what\">{}</text><text x=\"{}\" y=\"{}\" class=\"time\">{:.1} ms</text>\n",
                (PHONE + GATEWAY) / 2,
                y - 5,
                escaped(&rung.what),
                PHONE - 12,
                y + 4,
                rung.at
            ));
        }
        y += 14;
    }
    let height = y + 16;
    let pole = |x: u32, name: &str| {
        format!(
            "<text x=\"{x}\" y=\"34\" class=\"pole\">{name}</text>\
             <line x1=\"{x}\" y1=\"46\" x2=\"{x}\" y2=\"{}\" stroke=\"#9aa7b5\" stroke-width=\"1.5\"/>\n",
            height - 12
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\n\
         <style>text{{font-family:Helvetica,Arial,sans-serif;fill:#1d2733}}.step{{font-size:13px;font-weight:bold}}\
         .what{{font-size:12px;text-anchor:middle}}.time{{font-size:11px;text-anchor:end;fill:#6b7885}}\
         .pole{{font-size:15px;font-weight:bold;text-anchor:middle}}.rung{{stroke:#2563a8;stroke-width:1.4}}</style>\n\
         <defs><marker id=\"head\" markerWidth=\"9\" markerHeight=\"8\" refX=\"8\" refY=\"4\" orient=\"auto\">\
         <path d=\"M0,0 L9,4 L0,8 z\" fill=\"#2563a8\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}{body}</svg>\n",
        pole(PHONE, "phone"),
        pole(GATEWAY, "gateway")
    )
}

/// Escapes a text for HTML and SVG, which have no control characters.
pub(crate) fn escaped(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_drawn_with_its_push_tags_and_a_response_with_its_method() {
        let register = "REGISTER sip:a SIP/2.0\r\nX-MPUSH: null\r\nAuthorization: Digest x\r\nExpires: 0\r\n\r\n";
        assert_eq!(summary(register), "REGISTER [X-MPUSH: null, authorized, Expires: 0]");
        assert_eq!(summary("SIP/2.0 200 OK\r\nCSeq: 4 REGISTER\r\n\r\n"), "200 OK (REGISTER)");
        assert_eq!(summary("\r\n\r\n"), "keep-alive");
    }
}
