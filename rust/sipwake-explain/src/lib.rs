//! Says why a phone did not ring, from the report that it sent. It shows for each wake what happened. If the phone did
//! not ring, it shows the most probable cause and who can fix it.
//!
//! It reads a [`Report`] and shows only numbers and words from fixed lists, so a forged file cannot make it show a
//! text.
#![forbid(unsafe_code)]

mod causes;
mod ladder;
mod page;
mod sentence;
mod wake;

use serde_json::{Value, json};
pub use sipwake_core::record::{Report, ReportError};

pub use self::causes::{CAUSES, Cause, Who};
pub use self::wake::{Outcome, Wake};

/// What a report says.
pub struct Explanation {
    report: Report,
    wakes: Vec<Wake>,
}

impl Explanation {
    /// Reads a report.
    ///
    /// # Errors
    /// A [`ReportError`] that says what is wrong with the file.
    pub fn of(file: &[u8]) -> Result<Self, ReportError> {
        Report::read(file).map(Self::new)
    }

    /// Explains a report.
    pub fn new(report: Report) -> Self {
        let wakes = Wake::all(&report);
        Self { report, wakes }
    }

    /// The wakes, the oldest first.
    pub fn wakes(&self) -> &[Wake] {
        &self.wakes
    }

    /// The causes that fit a wake, the most probable first. There are none if the phone rang and there is nothing to
    /// say.
    pub fn causes(&self, wake: &Wake) -> Vec<&'static Cause> {
        causes::of_wake(wake, &self.report)
    }

    /// What keeps pushes from coming, or calls from being heard, independently of the wakes.
    pub fn standing(&self) -> Vec<&'static Cause> {
        causes::of_phone(&self.report, &self.wakes)
    }

    /// The report in one sentence.
    pub fn verdict(&self) -> String {
        let missed = self.wakes.iter().filter(|wake| !wake.outcome().is_well()).count();
        match (self.wakes.len(), missed) {
            (0, _) => match self.standing().first() {
                Some(cause) => format!("This report has no push: {}.", cause.what),
                None => "This report has no push: none reached the phone.".to_owned(),
            },
            (all, 0) => format!("{all} of {all} wakes went well."),
            (all, missed) => {
                let last = self.wakes.iter().rev().find(|wake| !wake.outcome().is_well());
                let cause = last.and_then(|wake| self.causes(wake).first().copied());
                let why = cause.map_or_else(String::new, |cause| format!(" The last time: {}.", cause.what));
                format!("{missed} of {all} wakes did not go well.{why}")
            }
        }
    }

    /// Everything, as text.
    pub fn text(&self) -> String {
        page::text(self)
    }

    /// One page.
    pub fn html(&self) -> String {
        page::html(self)
    }

    /// The ladders of all wakes, as one picture.
    pub fn svg(&self) -> String {
        ladder::svg(&self.wakes)
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let cause = |cause: &Cause| json!({"code": cause.code, "who": cause.who.name(), "what": cause.what, "mend": cause.mend});
        let wakes = self.wakes.iter().map(|wake| {
            json!({
                "number": wake.number(),
                "at": wake.begins(),
                "outcome": wake.outcome().name(),
                "text": wake.outcome().text(),
                "causes": self.causes(wake).into_iter().map(cause).collect::<Vec<_>>(),
                "push_to_register_ms": wake.time_to("register-sent"),
                "push_to_ring_ms": wake.time_to_ring(),
            })
        });
        json!({
            "verdict": self.verdict(),
            "wakes": wakes.collect::<Vec<_>>(),
            "standing": self.standing().into_iter().map(cause).collect::<Vec<_>>(),
            "counters": self.report.counters,
        })
    }
}
