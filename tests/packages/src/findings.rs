//! What an inspection looked at, and what it found wrong.

use std::fmt;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    seen: Vec<String>,
    wrong: Vec<String>,
    not_checked: Vec<String>,
}

impl Findings {
    /// Notes a fact about the package, for the reader of the output.
    pub(crate) fn seen(&mut self, place: &str, what: impl fmt::Display) {
        self.seen.push(format!("{place}: {what}"));
    }

    /// Notes something wrong: the package must not be shipped.
    pub(crate) fn wrong(&mut self, place: &str, what: impl fmt::Display) {
        self.wrong.push(format!("{place}: {what}"));
    }

    /// Notes something that could not be checked on this machine.
    pub(crate) fn not_checked(&mut self, place: &str, what: impl fmt::Display) {
        self.not_checked.push(format!("{place}: {what}"));
    }

    /// Returns whether nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Returns what is wrong, each with its place.
    #[cfg(test)]
    pub(crate) fn wrongs(&self) -> &[String] {
        &self.wrong
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.seen {
            writeln!(f, "      {line}")?;
        }
        for line in &self.wrong {
            writeln!(f, "WRONG {line}")?;
        }
        for line in &self.not_checked {
            writeln!(f, "NOT CHECKED {line}")?;
        }
        match (self.wrong.len(), self.not_checked.len()) {
            (0, 0) => writeln!(f, "nothing wrong"),
            (0, number) => writeln!(f, "nothing wrong, {number} NOT CHECKED"),
            (number, _) => writeln!(f, "{number} wrong"),
        }
    }
}
