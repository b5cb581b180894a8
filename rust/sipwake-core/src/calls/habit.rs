//! How soon a server sends the INVITE after the phone that it woke has registered (ADR 13).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::account::AccountKey;

/// For how many accounts a habit is remembered.
const MAX_KNOWN: usize = 16;
/// An INVITE is prompt if it comes this soon after the 200.
const PROMPT: Duration = Duration::from_secs(3);
/// This many prompt INVITEs in a row are a habit.
const HABIT: u8 = 3;
/// If a server has the habit, how long its INVITE is waited for after the 200.
const PATIENCE: Duration = Duration::from_secs(10);

/// For each account, how many INVITEs in a row its server sent promptly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Habits(Vec<(String, u8)>);

impl Habits {
    /// Notes how long after the 200 an INVITE came.
    pub(super) fn learn(&mut self, account: &AccountKey, took: Duration) {
        let seen = self.of(account);
        *seen = if took <= PROMPT { HABIT.min(*seen + 1) } else { 0 };
    }

    /// An INVITE did not come in time. The next one must show the habit again.
    pub(super) fn doubt(&mut self, account: &AccountKey) {
        let seen = self.of(account);
        *seen = (*seen).min(HABIT - 1);
    }

    /// How long an INVITE is waited for after the 200, if the server has the habit.
    pub(super) fn patience(&self, account: &AccountKey) -> Option<Duration> {
        let known = self.0.iter().any(|(of, seen)| of == account.as_str() && *seen >= HABIT);
        known.then_some(PATIENCE)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the record of an earlier process. What this process has seen itself counts more.
    pub(super) fn recall(&mut self, earlier: Self) {
        let later = std::mem::replace(self, earlier);
        self.0.truncate(MAX_KNOWN);
        for (account, seen) in later.0 {
            *self.named(&account) = seen;
        }
    }

    fn of(&mut self, account: &AccountKey) -> &mut u8 {
        self.named(account.as_str())
    }

    fn named(&mut self, account: &str) -> &mut u8 {
        let at = self.0.iter().position(|(of, _)| of == account).unwrap_or_else(|| {
            if self.0.len() >= MAX_KNOWN {
                self.0.remove(0);
            }
            self.0.push((account.to_owned(), 0));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}
