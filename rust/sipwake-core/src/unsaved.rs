//! Records that the store refused: kept in memory, and stored again until it takes them.

use std::time::Duration;

use crate::few::FewMap;
use crate::snapshot::{Durability, MAX_ACCOUNTS, MAX_REMOVALS, Record};

/// Each account has a record, each account that is logged out had one, and there is that of the log-outs.
const MAX_UNSAVED: usize = MAX_ACCOUNTS + MAX_REMOVALS + 1;
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Refused {
    durability: Durability,
    times: u32,
    /// When to store it again; `None` while that is under way.
    again: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    refused: FewMap<String, Refused>,
    /// What the driver was asked to store last, and has not said that it failed.
    storing: Option<(String, Durability)>,
}

impl Unsaved {
    /// The driver takes this output: what it took before is stored.
    pub(crate) fn polled(&mut self, record: Option<&Record>) {
        if let Some((key, _)) = self.storing.take() {
            self.refused.remove(&key);
        }
        self.storing = record.map(|record| (record.key.clone(), record.durability));
    }

    /// The store refused a record, or could not read it: then there is nothing to be stored again.
    pub(crate) fn failed(&mut self, key: &str, now: Duration) {
        let Some((key, durability)) = self.storing.take_if(|(storing, _)| storing == key) else { return };
        if self.refused.len() >= MAX_UNSAVED && !self.refused.contains_key(&key) {
            return;
        }
        let refused = self.refused.get_or_insert(key, Refused { durability, times: 0, again: None });
        let wait = FIRST.saturating_mul(1 << refused.times.min(16)).min(LONGEST);
        refused.times += 1;
        refused.durability = durability;
        refused.again = Some(now + wait);
    }

    /// Whether what the store has under this key is out of date.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.refused.contains_key(key)
    }

    pub(crate) fn timeout(&self) -> Option<(Duration, &'static str)> {
        let again = self.refused.iter().filter_map(|(_, refused)| refused.again).min();
        again.map(|at| (at, "a record to be stored again"))
    }

    /// Returns a record that is to be stored again.
    pub(crate) fn due(&mut self, now: Duration) -> Option<(String, Durability)> {
        let (key, refused) = self.refused.iter_mut().find(|(_, refused)| refused.again.is_some_and(|at| now >= at))?;
        refused.again = None;
        Some((key.clone(), refused.durability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str) -> Record {
        Record { key: key.to_owned(), bytes: None, durability: Durability::Wish }
    }

    #[test]
    fn a_store_that_never_takes_anything_is_asked_every_ten_minutes_and_no_more_keys_than_there_can_be_are_kept() {
        let mut unsaved = Unsaved::default();
        let mut waits = Vec::new();
        let mut now = Duration::ZERO;
        for _ in 0..10 {
            unsaved.polled(Some(&record("removals")));
            unsaved.failed("removals", now);
            let (at, _) = unsaved.timeout().expect("to be stored again");
            waits.push((at - now).as_secs());
            now = at;
            assert_eq!(unsaved.due(now), Some(("removals".to_owned(), Durability::Wish)));
            assert_eq!(unsaved.due(now), None);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        for number in 0..1000 {
            let key = format!("binding-{number}");
            unsaved.polled(Some(&record(&key)));
            unsaved.failed(&key, now);
        }
        assert_eq!(unsaved.refused.len(), MAX_UNSAVED);
    }

    #[test]
    fn what_could_not_be_read_is_not_stored_again() {
        let mut unsaved = Unsaved::default();
        unsaved.failed("removals", Duration::ZERO);
        unsaved.polled(Some(&record("removals")));
        unsaved.polled(None);
        unsaved.failed("removals", Duration::ZERO);
        assert_eq!(unsaved.timeout(), None);
    }
}
