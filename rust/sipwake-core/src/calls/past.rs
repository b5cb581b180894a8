//! Calls that ended lately, for a later process. After a kill, neither a late push nor a late INVITE of them may ring.
//! The record has only hashes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::callers::Marks;
use super::habit::Habits;
use super::side::Side;
use super::table::{BRANCHES, Entry, OWED};
use crate::account::AccountKey;
use crate::clock::Now;
use crate::snapshot::{Damage, open, seal};

/// How many ended calls are remembered. Among the calls that only pushes named, the one that ended first is forgotten
/// first: anybody who learnt the token can send as many of these pushes as they like.
const MAX_PAST: usize = 64;
/// How long they are remembered by the wall clock, in seconds.
const REMEMBERED: u64 = 3600;

/// The record [`CALLS`](crate::snapshot::CALLS).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Past {
    /// Unguessable, and different on each device. Without it, or next to another record, the hashes are of no use.
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
    /// The key of its hashes, if that is not the record's. The call ended while the record could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Only its INVITE came. Its push may still come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owed: Option<Half>,
    /// The status for a late INVITE.
    #[serde(default, skip_serializing_if = "is_zero")]
    status: u16,
    /// Those of `ids` that came from its INVITE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    invite: Vec<String>,
    /// A push announced it, and its INVITE may still come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    waits: bool,
    /// The user refused it before its INVITE came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Half>,
    /// It ended in this process, which knows more about it.
    #[serde(skip)]
    seen: bool,
}

/// What identifies the other half of a call if the two halves have no id in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Half {
    /// Wall time at which the INVITE came or the user refused.
    since: u64,
    account: Option<String>,
    names: Vec<String>,
    whole: Vec<String>,
    ends: Vec<String>,
    /// This half has a vendor's id.
    vendor: bool,
    /// This half has a Call-ID. Each INVITE has one.
    #[serde(default = "yes")]
    call_id: bool,
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

    /// Adds the record of an earlier process, which could not be read until now.
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
        let mut all: Vec<String> = entry.sides().flat_map(|side| ids(&self.key, side)).collect();
        all.sort_unstable();
        all.dedup();
        let at = now.wall.as_secs();
        let half = |side: &Side, since: u64| Half::new(&self.key, side, entry.account.as_ref(), since, renames);
        let age = now.boot.saturating_sub(entry.invited_at()).as_secs();
        let owed = entry.owes_push().map(|invite| half(invite, at.saturating_sub(age)));
        let refused = entry.refused_push().map(|push| half(push, at));
        if all.is_empty() && owed.is_none() && refused.is_none() {
            return false;
        }
        let invite = entry.invite().map(|invite| ids(&self.key, invite)).unwrap_or_default();
        let (status, waits) = (entry.status(), entry.awaits_invite());
        self.ended.retain(|ended| at.abs_diff(ended.at) < REMEMBERED);
        self.push(Ended { at, ids: all, key: None, owed, status, invite, waits, refused, seen: true });
        true
    }

    /// Whether calls ended in an earlier process.
    pub(crate) fn has_earlier(&self) -> bool {
        self.ended.iter().any(|ended| !ended.seen)
    }

    /// The status for an INVITE whose call ended in an earlier process, by an id that both have: rows I2 and I4 of
    /// `docs/calls.md`. From then on that call has its INVITE.
    pub(crate) fn invited(&mut self, invite: &Side, wall: Duration) -> Option<u16> {
        let now = wall.as_secs();
        let (key, ended) = (&self.key, &mut self.ended);
        let mut earlier = ended.iter_mut().rev().filter(|ended| !ended.seen && now.abs_diff(ended.at) < REMEMBERED);
        earlier.find_map(|ended| {
            let ids = ids(ended.key.as_ref().unwrap_or(key), invite);
            if !ids.iter().any(|id| ended.ids.contains(id)) {
                return None;
            }
            let late = ids.iter().any(|id| ended.invite.contains(id)) && now.abs_diff(ended.at) < BRANCHES.as_secs();
            (late || ended.waits).then(|| ended.met(ids))
        })
    }

    /// The same by its caller alone: row I8.
    pub(crate) fn invited_by_caller(&mut self, invite: &Side, wall: Duration) -> Option<u16> {
        let now = wall.as_secs();
        let (key, ended) = (&self.key, &mut self.ended);
        let mut earlier = ended.iter_mut().rev().filter(|ended| !ended.seen);
        earlier.find_map(|ended| {
            let key = ended.key.as_ref().unwrap_or(key).clone();
            let fits = ended.refused.as_ref().is_some_and(|refused| refused.fits(&key, invite, now));
            fits.then(|| ended.met(ids(&key, invite)))
        })
    }

    pub(crate) fn known_habits(&self) -> &Habits {
        &self.habits
    }

    pub(super) fn habits(&mut self) -> &mut Habits {
        &mut self.habits
    }

    fn push(&mut self, ended: Ended) {
        if self.ended.len() >= MAX_PAST {
            let first = self.ended.iter().position(Ended::is_hearsay).unwrap_or_default();
            self.ended.remove(first);
        }
        self.ended.push(ended);
    }

    /// Whether a push belongs to a call that ended, in this process or an earlier one.
    pub(crate) fn knows(&self, push: &Side, wall: Duration) -> bool {
        let now = wall.as_secs();
        let mut hashed: Option<(&str, Vec<String>)> = None;
        self.ended.iter().filter(|ended| now.abs_diff(ended.at) < REMEMBERED).any(|ended| {
            let key = ended.key.as_ref().unwrap_or(&self.key).as_str();
            if hashed.as_ref().is_none_or(|(of, ..)| *of != key) {
                hashed = Some((key, ids(key, push)));
            }
            let Some((_, ids)) = &hashed else { return false };
            ids.iter().any(|id| ended.ids.contains(id))
                || (!ended.seen && ended.owed.as_ref().is_some_and(|owed| owed.fits(key, push, now)))
        })
    }
}

impl Ended {
    /// Whether only pushes named it, and nobody refused it.
    fn is_hearsay(&self) -> bool {
        self.owed.is_none() && self.refused.is_none() && self.invite.is_empty()
    }

    /// Notes that its INVITE has come. Returns the status for it.
    fn met(&mut self, ids: Vec<String>) -> u16 {
        self.ids.extend(ids.iter().filter(|id| !self.ids.contains(id)).cloned().collect::<Vec<_>>());
        (self.invite, self.waits, self.refused) = (ids, false, None);
        self.status
    }
}

impl Half {
    fn new(key: &str, side: &Side, account: Option<&AccountKey>, since: u64, renames: bool) -> Self {
        let Marks { names, whole, ends } = marks(key, side);
        let account = account.map(|account| hash(key, "account", account.as_str()));
        let (vendor, call_id) = (side.identity.vendor_id.is_some(), side.identity.call_id.is_some());
        Self { since, account, names, whole, ends, vendor, call_id, renames }
    }

    /// Rows P5 and I8 of `docs/calls.md`: not long ago, the same caller, and nothing that tells the two apart. They
    /// have no id in common.
    fn fits(&self, key: &str, other: &Side, now: u64) -> bool {
        let (names, whole, ends) = (self.names.clone(), self.whole.clone(), self.ends.clone());
        let vendors_differ = self.vendor && other.identity.vendor_id.is_some();
        let call_ids_differ = self.call_id && other.identity.call_id.is_some();
        let account = || other.account.as_ref().map(|account| hash(key, "account", account.as_str()));
        now.abs_diff(self.since) < OWED.as_secs()
            && !vendors_differ
            && (!call_ids_differ || self.renames)
            && (self.account.is_none() || account().is_none_or(|account| self.account.as_ref() == Some(&account)))
            && Marks { names, whole, ends }.meet(&marks(key, other))
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(status: &u16) -> bool {
    *status == 0
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
