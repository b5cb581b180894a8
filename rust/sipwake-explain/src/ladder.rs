//! The steps of a wake between push provider, phone and server, as text and as a picture.

use std::fmt::Write;

use sipwake_core::record::Noted;

use crate::sentence::{Lane, lane, sentence};
use crate::wake::Wake;

/// The most wakes in one picture.
const MOST: usize = 50;

/// Writes one line for each step.
pub(crate) fn text(wake: &Wake) -> String {
    let mut text = String::new();
    for noted in wake.steps() {
        let arrow = match lane(noted) {
            Lane::Pushed => "push ──▶ phone            ",
            Lane::Sent => "         phone ──▶ server ",
            Lane::Received => "         phone ◀── server ",
            Lane::Phone => "         phone            ",
        };
        let again = if noted.times > 1 { format!(" ({} times)", noted.times) } else { String::new() };
        let _ = writeln!(text, "  {:>10}  {arrow}  {}{again}", after(wake, noted), sentence(noted));
    }
    text
}

fn after(wake: &Wake, noted: &Noted) -> String {
    let millis = noted.at.saturating_sub(wake.begins());
    format!("+{}.{:03} s", millis / 1000, millis % 1000)
}

const WIDTH: u32 = 960;
const PUSH: u32 = 150;
const PHONE: u32 = 480;
const SERVER: u32 = 850;
const LINE: u32 = 28;

/// Draws the steps of wakes as an SVG ladder.
pub(crate) fn svg(wakes: &[Wake]) -> String {
    let mut body = String::new();
    let mut y = 62;
    for wake in wakes.iter().rev().take(MOST).rev() {
        y += 8;
        let _ = writeln!(
            body,
            "<rect x=\"20\" y=\"{y}\" width=\"{}\" height=\"24\" rx=\"4\" fill=\"#eef2f7\"/>\
             <text x=\"30\" y=\"{}\" class=\"step\">Wake {}: {}</text>",
            WIDTH - 40,
            y + 16,
            wake.number(),
            wake.outcome().text()
        );
        y += 24;
        for noted in wake.steps() {
            y += LINE;
            let what = escaped(&sentence(noted));
            let line = |from, to| {
                format!(
                    "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" class=\"rung\" marker-end=\"url(#head)\"/>"
                )
            };
            let (line, middle) = match lane(noted) {
                Lane::Pushed => (line(PUSH + 4, PHONE - 6), (PUSH + PHONE) / 2),
                Lane::Sent => (line(PHONE + 4, SERVER - 6), (PHONE + SERVER) / 2),
                Lane::Received => (line(SERVER - 4, PHONE + 6), (PHONE + SERVER) / 2),
                Lane::Phone => (format!("<circle cx=\"{PHONE}\" cy=\"{}\" r=\"3.5\" fill=\"#2563a8\"/>", y - 1), 0),
            };
            let words = if middle == 0 {
                format!("<text x=\"{}\" y=\"{}\" class=\"note\">{what}</text>", PHONE + 12, y + 3)
            } else {
                format!("<text x=\"{middle}\" y=\"{}\" class=\"what\">{what}</text>", y - 5)
            };
            let _ = writeln!(
                body,
                "{line}{words}<text x=\"100\" y=\"{}\" class=\"time\">{}</text>",
                y + 4,
                after(wake, noted)
            );
        }
        y += 16;
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
         .what{{font-size:12px;text-anchor:middle}}.note{{font-size:12px;fill:#4a5763;paint-order:stroke;stroke:#fff;stroke-width:4px}}\
         .time{{font-size:11px;text-anchor:end;fill:#6b7885}}.pole{{font-size:15px;font-weight:bold;text-anchor:middle}}\
         .rung{{stroke:#2563a8;stroke-width:1.4}}</style>\n\
         <defs><marker id=\"head\" markerWidth=\"9\" markerHeight=\"8\" refX=\"8\" refY=\"4\" orient=\"auto\">\
         <path d=\"M0,0 L9,4 L0,8 z\" fill=\"#2563a8\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}{}{body}</svg>\n",
        pole(PUSH, "push provider"),
        pole(PHONE, "phone"),
        pole(SERVER, "SIP server")
    )
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
