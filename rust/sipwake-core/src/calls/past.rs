//! Calls that ended lately, as a later process remembers them: hashes alone, so that a late push after a kill rings no ghost.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::side::Side;
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
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    /// Wall time, in seconds since 1970.
    at: u64,
    ids: Vec<String>,
}

impl Past {
    pub(crate) fn open(record: &[u8]) -> Result<Self, Damage> {
        let mut past: Self = open(record)?;
        past.ended.truncate(MAX_PAST);
        Ok(past)
    }

    pub(crate) fn seal(&self) -> Option<Vec<u8>> {
        (!self.ended.is_empty()).then(|| seal(self))
    }

    /// Remembers the ids of a call that ended. Returns whether there is anything to store.
    pub(crate) fn remember<'a>(
        &mut self,
        sides: impl Iterator<Item = &'a Side>,
        key: impl FnOnce() -> String,
        wall: Duration,
    ) -> bool {
        if self.key.is_empty() {
            self.key = key();
        }
        let mut ids: Vec<String> = sides.flat_map(|side| self.hashes(side)).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return false;
        }
        let at = wall.as_secs();
        self.ended.retain(|ended| at.abs_diff(ended.at) < REMEMBERED);
        if self.ended.len() >= MAX_PAST {
            self.ended.remove(0);
        }
        self.ended.push(Ended { at, ids });
        true
    }

    /// Whether a push is of a call that ended, in this process or an earlier one.
    pub(crate) fn knows(&self, push: &Side, wall: Duration) -> bool {
        let lately = |ended: &&Ended| wall.as_secs().abs_diff(ended.at) < REMEMBERED;
        let hashes = self.hashes(push);
        self.ended.iter().filter(lately).any(|ended| hashes.iter().any(|hash| ended.ids.contains(hash)))
    }

    fn hashes(&self, side: &Side) -> Vec<String> {
        let ids = [("call-id", &side.identity.call_id), ("vendor-id", &side.identity.vendor_id)];
        let hash = |(kind, id): (&str, &Option<String>)| {
            let digest = Sha256::digest(format!("{}\n{kind}\n{}", self.key, id.as_ref()?));
            Some(digest[..8].iter().map(|byte| format!("{byte:02x}")).collect())
        };
        ids.into_iter().filter_map(hash).collect()
    }
}
