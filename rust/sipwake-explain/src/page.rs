//! The whole explanation, as text and as one page.

use std::fmt::Write;

use time::UtcDateTime;

use crate::Explanation;
use crate::causes::Cause;
use crate::ladder::{self, escaped};
use crate::wake::Wake;

/// Writes a wall time in milliseconds as a date.
fn date(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    UtcDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| "at an invalid time".to_owned(),
        |at| {
            let (date, time) = (at.date(), at.time());
            let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
            format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time.hour(), time.minute(), time.second())
        },
    )
}

fn head(wake: &Wake) -> String {
    format!("Wake {}, {}: {}", wake.number(), date(wake.begins()), wake.outcome().text())
}

fn why(cause: &Cause) -> String {
    format!("[{}] {}; who can fix it: {}", cause.code, cause.what, cause.who.name())
}

pub(crate) fn text(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.verdict());
    for wake in explanation.wakes() {
        let _ = writeln!(text, "\n{}", head(wake));
        for (index, cause) in explanation.causes(wake).into_iter().take(3).enumerate() {
            let rank = if index == 0 { "cause" } else { "perhaps" };
            let _ = writeln!(text, "  {rank}: {}\n    fix: {}", why(cause), cause.mend);
        }
        text += &ladder::text(wake);
    }
    let standing = explanation.standing();
    if !standing.is_empty() {
        text += "\nFor the whole phone:\n";
        for cause in standing {
            let _ = writeln!(text, "  {}\n    fix: {}", why(cause), cause.mend);
        }
    }
    let _ = write!(text, "\n{}", numbers(explanation));
    text
}

/// The numbers for an operator.
fn numbers(explanation: &Explanation) -> String {
    let counters = &explanation.report.counters;
    let known = counters.wakes_with_invite.saturating_add(counters.wakes_without_invite);
    let open = match counters.wakes.saturating_sub(known) {
        0 => String::new(),
        open => format!(", {open} were still open when their process or this report ended"),
    };
    let mut text = format!(
        "Counted: {} calls announced by push, {} of them came, {} did not{open}; {} pushes made no sound.\n",
        counters.wakes, counters.wakes_with_invite, counters.wakes_without_invite, counters.silent_pushes
    );
    for (what, span) in [
        ("process start to registered", &counters.start_to_registered),
        ("push to REGISTER", &counters.push_to_register),
        ("push to ring", &counters.push_to_ring),
    ] {
        if let Some(mean) = span.mean() {
            let _ = writeln!(
                text,
                "  {what}: {} ms on average of {}, {} ms at most",
                mean.as_millis(),
                span.count,
                span.longest
            );
        }
    }
    if explanation.report.unknown > 0 {
        let _ = writeln!(
            text,
            "{} decisions have codes that this version does not know: use a newer sipwake.",
            explanation.report.unknown
        );
    }
    text
}

pub(crate) fn html(explanation: &Explanation) -> String {
    let mut body = format!("<h1>{}</h1>\n", escaped(&explanation.verdict()));
    let item = |cause: &Cause| {
        let (what, mend) = (escaped(cause.what), escaped(cause.mend));
        format!("<li><b>{what}</b> <code>{}</code><br>who can fix it: {}; {mend}</li>\n", cause.code, cause.who.name())
    };
    let standing: String = explanation.standing().into_iter().map(item).collect();
    if !standing.is_empty() {
        let _ = write!(body, "<h2>For the whole phone</h2>\n<ul>{standing}</ul>\n");
    }
    for wake in explanation.wakes() {
        let _ = writeln!(body, "<h2>{}</h2>", escaped(&head(wake)));
        let causes: String = explanation.causes(wake).into_iter().take(3).map(item).collect();
        if !causes.is_empty() {
            let _ = writeln!(body, "<ol>{causes}</ol>");
        }
        body += &ladder::svg(std::slice::from_ref(wake));
    }
    let _ = write!(body, "<h2>Numbers</h2>\n<pre>{}</pre>\n", escaped(&numbers(explanation)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>sipwake explain</title>\n\
         <style>body{{font-family:Helvetica,Arial,sans-serif;max-width:62em;margin:2em auto;color:#1d2733}}</style>\n{body}</html>\n"
    )
}
