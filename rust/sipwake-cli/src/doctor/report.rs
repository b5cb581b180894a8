//! The doctor's report: for people, as JSON, and as one page.

use std::fmt::Write;

use serde_json::{Value, json};

use super::findings::{Finding, Weight};
use super::transcript::Passed;
use crate::ladder::{self, Rung};

/// A finished step.
#[derive(Clone)]
pub(super) struct Done {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    pub(super) text: String,
}

/// All findings.
pub(super) struct Report {
    pub(super) aor: String,
    pub(super) server: String,
    /// The server's name for itself.
    pub(super) product: Option<String>,
    pub(super) steps: Vec<Done>,
    /// The most serious one first.
    pub(super) findings: Vec<Finding>,
    pub(super) passed: Vec<Passed>,
}

impl Report {
    pub(super) fn exit_code(&self) -> u8 {
        match self.findings.first().map(|finding| finding.weight) {
            None | Some(Weight::Note) => 0,
            Some(Weight::Remark) => 1,
            Some(Weight::Fatal) => 2,
        }
    }

    /// The verdict in one sentence.
    fn verdict(&self) -> String {
        match (self.exit_code(), self.findings.first()) {
            (0, _) => "Healthy: nothing was found that keeps a phone from ringing.".to_owned(),
            (1, Some(finding)) => format!("It works, with remarks: {}.", finding.what),
            (_, Some(finding)) => format!("A phone will not ring: {}.", finding.what),
            (_, None) => String::new(),
        }
    }

    pub(super) fn print(&self) {
        println!("\n{}", self.verdict());
        if let Some(product) = &self.product {
            println!("(the server says that it is {product})");
        }
        for Finding { code, what, change, .. } in &self.findings {
            println!("\n[{code}] {what}\n    change: {change}");
        }
    }

    pub(super) fn json(&self) -> Value {
        let steps = self.steps.iter().map(|done| json!({"step": done.name, "ok": done.ok, "text": done.text}));
        json!({
            "aor": self.aor,
            "server": self.server,
            "product": self.product,
            "verdict": self.verdict(),
            "exit_code": self.exit_code(),
            "findings": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
        })
    }

    pub(super) fn html(&self) -> String {
        let text = ladder::escaped;
        let mut body =
            format!("<h1>{}</h1>\n<p>{} at {}</p>\n", text(&self.verdict()), text(&self.aor), text(&self.server));
        if let Some(product) = &self.product {
            let _ = writeln!(body, "<p>It says that it is {}</p>", text(product));
        }
        if !self.findings.is_empty() {
            body.push_str("<h2>What to change</h2>\n<ul>\n");
            for Finding { code, what, change, .. } in &self.findings {
                let _ = writeln!(body, "<li><b>{}</b> <code>{code}</code><br>{}</li>", text(what), text(change));
            }
            body.push_str("</ul>\n");
        }
        body.push_str("<h2>What was tried</h2>\n<ol>\n");
        for Done { name, ok, text: said } in &self.steps {
            let _ = writeln!(body, "<li>{} {name}: {}</li>", if *ok { "✓" } else { "✗" }, text(said));
        }
        let _ = write!(body, "</ol>\n<h2>Messages</h2>\n{}", self.svg());
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>sipwake doctor</title>\n\
             <style>body{{font-family:Helvetica,Arial,sans-serif;max-width:60em;margin:2em auto;color:#1d2733}}</style>\n{body}</html>\n"
        )
    }

    pub(super) fn svg(&self) -> String {
        ladder::svg(&self.ladder())
    }

    fn ladder(&self) -> Vec<ladder::Step> {
        let mut steps: Vec<ladder::Step> = Vec::new();
        let mut last = None;
        for passed in &self.passed {
            if last != Some(passed.step) {
                last = Some(passed.step);
                steps.push(ladder::Step { what: passed.step.name().to_owned(), rungs: Vec::new() });
            }
            let rung = Rung::new(passed.at, passed.sent, &passed.text);
            steps.last_mut().into_iter().for_each(|step| step.rungs.push(rung.clone()));
        }
        steps
    }
}
