//! Calls that ended lately, as a later process remembers them: hashes alone, so that a late push after a kill rings no ghost.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::callers::Marks;
use super::habit::Habits;
use super::side::Side;
use super::table::{Entry, OWED};
use crate::clock::Now;
use crate::snapshot::{Damage, open, seal};

/// Ended calls that are remembered; the one that ended first goes first.
const MAX_PAST: usize = 64;
/// How long, by the wall clock.
const REMEMBERED: u64 = 3600;

/// The record [`CALLS`](crate::snapshot::CALLS).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Past {
    /// Unguessable and each device's own: the hashes are worth nothing beside another record, or without this one.
    key: String,
    ended: Vec<Ended>,
    #[serde(default, skip_serializing_if = "Habits::is_empty")]
    habits: Habits,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    /// Wall time, in seconds since 1970.
    at: u64,
    ids: Vec<String>,
    /// It was hashed with another key than the record's: it ended while the record could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// It came by its INVITE alone: its push may still come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owed: Option<Owed>,
    /// This process saw it end, and knows better.
    #[serde(skip)]
    seen: bool,
}

/// By what a push is recognised that has no id in common with its call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owed {
    /// Wall time of the INVITE.
    since: u64,
    account: Option<String>,
    names: Vec<String>,
    whole: Vec<String>,
    ends: Vec<String>,
    /// The INVITE had a vendor's id.
    vendor: bool,
    /// The gateway gives INVITEs other ids than its pushes.
    renames: bool,
}

impl Past {
    pub(crate) fn open(record: &[u8]) -> Result<Self, Damage> {
        let mut past: Self = open(record)?;
        past.ended.truncate(MAX_PAST);
        Ok(past)
    }

    pub(crate) fn seal(&self) -> Option<Vec<u8>> {
        (!self.ended.is_empty() || !self.habits.is_empty()).then(|| seal(self))
    }

    /// Adds what an earlier process knew, which could not be read until now.
    pub(crate) fn recall(&mut self, earlier: Self) {
        let later = std::mem::replace(self, earlier);
        self.habits.recall(later.habits);
        for mut ended in later.ended {
            ended.key.get_or_insert_with(|| later.key.clone());
            self.push(ended);
        }
        if self.key.is_empty() {
            self.key = later.key;
        }
    }

    /// Remembers a call that ended. Returns whether there is anything to store.
    pub(crate) fn remember(&mut self, entry: &Entry, renames: bool, key: impl FnOnce() -> String, now: Now) -> bool {
        if self.key.is_empty() {
            self.key = key();
        }
        let hash = |kind: &str, text: &str| hash(&self.key, kind, text);
        let mut ids: Vec<String> = entry.sides().flat_map(|side| ids(&self.key, side)).collect();
        ids.sort_unstable();
        ids.dedup();
        let at = now.wall.as_secs();
        let owed = entry.owes_push().map(|invite| {
            let Marks { names, whole, ends } = marks(&self.key, invite);
            let age = now.boot.saturating_sub(entry.invited_at()).as_secs();
            let account = entry.account.as_ref().map(|account| hash("account", account.as_str()));
            let vendor = invite.identity.vendor_id.is_some();
            Owed { since: at.saturating_sub(age), account, names, whole, ends, vendor, renames }
        });
        if ids.is_empty() && owed.is_none() {
            return false;
        }
        self.ended.retain(|ended| at.abs_diff(ended.at) < REMEMBERED);
        self.push(Ended { at, ids, key: None, owed, seen: true });
        true
    }

    pub(crate) fn known_habits(&self) -> &Habits {
        &self.habits
    }

    pub(super) fn habits(&mut self) -> &mut Habits {
        &mut self.habits
    }

    fn push(&mut self, ended: Ended) {
        if self.ended.len() >= MAX_PAST {
            self.ended.remove(0);
        }
        self.ended.push(ended);
    }

    /// Whether a push is of a call that ended, in this process or an earlier one.
    pub(crate) fn knows(&self, push: &Side, wall: Duration) -> bool {
        let now = wall.as_secs();
        let mut hashed: Option<(&str, Vec<String>, Marks)> = None;
        self.ended.iter().filter(|ended| now.abs_diff(ended.at) < REMEMBERED).any(|ended| {
            let key = ended.key.as_ref().unwrap_or(&self.key).as_str();
            if hashed.as_ref().is_none_or(|(of, ..)| *of != key) {
                hashed = Some((key, ids(key, push), marks(key, push)));
            }
            let Some((_, ids, marks)) = &hashed else { return false };
            let account = push.account.as_ref().map(|account| hash(key, "account", account.as_str()));
            ids.iter().any(|id| ended.ids.contains(id))
                || (!ended.seen && ended.owed.as_ref().is_some_and(|owed| owed.fits(push, account, marks, now)))
        })
    }
}

impl Owed {
    /// Rule P5 of `docs/calls.md`.
    fn fits(&self, push: &Side, account: Option<String>, marks: &Marks, now: u64) -> bool {
        let (names, whole, ends) = (self.names.clone(), self.whole.clone(), self.ends.clone());
        let apart = push.identity.call_id.is_some() || (self.vendor && push.identity.vendor_id.is_some());
        now.abs_diff(self.since) < OWED.as_secs()
            && (!apart || self.renames)
            && self.account.as_ref().zip(account.as_ref()).is_none_or(|(a, b)| a == b)
            && Marks { names, whole, ends }.meet(marks)
    }
}

fn ids(key: &str, side: &Side) -> Vec<String> {
    let ids = [("call-id", &side.identity.call_id), ("vendor-id", &side.identity.vendor_id)];
    ids.into_iter().filter_map(|(kind, id)| Some(hash(key, kind, id.as_ref()?))).collect()
}

fn marks(key: &str, side: &Side) -> Marks {
    let marks = side.callers.marks();
    let hashed = |marks: Vec<String>| marks.iter().map(|mark| hash(key, "caller", mark)).collect();
    Marks { names: hashed(marks.names), whole: hashed(marks.whole), ends: hashed(marks.ends) }
}

fn hash(key: &str, kind: &str, text: &str) -> String {
    let digest = Sha256::digest(format!("{key}\n{kind}\n{text}"));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
