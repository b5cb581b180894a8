//! Saves that the driver has not answered, and records that the store refused: these are stored again until it takes them.

use std::time::Duration;

use crate::snapshot::{Durability, MAX_ACCOUNTS, MAX_REMOVALS, Record, SaveId};

/// Each account has a record, each account that is logged out had one, and there are three for the whole client.
const MAX_UNSAVED: usize = MAX_ACCOUNTS + MAX_REMOVALS + 3;
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);
/// How long an asynchronous store may take for one record before that counts as a failure: a caller waits for what is
/// queued behind it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Refused {
    key: String,
    id: SaveId,
    durability: Durability,
    times: u32,
    /// When to store it again; `None` while that is under way.
    again: Option<Duration>,
}

#[derive(Debug)]
struct Asked {
    id: SaveId,
    key: String,
    durability: Durability,
    at: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    refused: Vec<Refused>,
    /// The save that the driver took last and has not answered.
    asked: Option<Asked>,
    /// What follows a save waits for its answer.
    holds: bool,
    /// Where saves are answered later, and nothing waits for that: those that are not answered yet.
    later: Option<Vec<Asked>>,
    /// The latest boot time that was handed in.
    now: Duration,
}

impl Unsaved {
    /// Sets whether what follows a save waits for its answer.
    pub(crate) fn hold(&mut self, hold: bool) {
        self.holds = hold;
    }

    /// Says that saves are answered later, in any order, and that nothing waits for that but what is durable.
    pub(crate) fn answered_later(&mut self) {
        self.later = Some(Vec::new());
    }

    /// Whether the queue stops until a save is answered.
    pub(crate) fn is_held(&self) -> bool {
        self.holds && self.asked.is_some()
    }

    pub(crate) fn settle(&mut self, now: Duration) {
        self.now = now;
    }

    /// The driver takes its next output: without an answer, the one before counts as stored.
    pub(crate) fn polled(&mut self, record: Option<&Record>) {
        match (self.asked.take(), &mut self.later) {
            (Some(mut asked), Some(later)) => {
                // The last save of each record counts. It also holds earlier commands.
                let wished = |known: &Asked| known.key == asked.key && known.durability == Durability::Wish;
                if later.iter().any(wished) {
                    asked.durability = Durability::Wish;
                }
                later.retain(|known| known.key != asked.key);
                if later.len() >= MAX_UNSAVED {
                    later.remove(0);
                }
                later.push(asked);
            }
            (Some(asked), None) => self.refused.retain(|refused| refused.key != asked.key),
            (None, _) => {}
        }
        let asked = |record: &Record| Asked {
            id: record.id,
            key: record.key.clone(),
            durability: record.durability,
            at: self.now,
        };
        self.asked = record.map(asked);
    }

    /// The store took a record.
    pub(crate) fn stored(&mut self, id: SaveId) {
        let key = match self.answered(id) {
            Some(asked) => Some(asked.key),
            // An answer that came too late, or to what was asked before.
            None => self.refused.iter().find(|refused| refused.id == id).map(|refused| refused.key.clone()),
        };
        self.refused.retain(|refused| Some(&refused.key) != key.as_ref());
    }

    /// The store refused a record. Returns its key, or `None` if no save of this name waits for an answer.
    pub(crate) fn failed(&mut self, id: SaveId) -> Option<String> {
        let Asked { key, durability, .. } = self.answered(id)?;
        let now = self.now;
        if let Some(refused) = self.refused.iter_mut().find(|refused| refused.key == key) {
            let wait = FIRST.saturating_mul(1 << refused.times.min(16)).min(LONGEST);
            // What is stored again holds what was wished before, too.
            let wished = refused.durability == Durability::Wish;
            let durability = if wished { Durability::Wish } else { durability };
            *refused = Refused { id, durability, times: refused.times + 1, again: Some(now + wait), key: key.clone() };
        } else if self.refused.len() < MAX_UNSAVED {
            self.refused.push(Refused { key: key.clone(), id, durability, times: 1, again: Some(now + FIRST) });
        }
        Some(key)
    }

    /// The save with this id, which no longer waits for its answer.
    fn answered(&mut self, id: SaveId) -> Option<Asked> {
        if let Some(asked) = self.asked.take_if(|asked| asked.id == id) {
            return Some(asked);
        }
        let later = self.later.as_mut()?;
        let index = later.iter().position(|asked| asked.id == id)?;
        Some(later.remove(index))
    }

    /// The save of this key that waits for its answer.
    pub(crate) fn asked(&self, key: &str) -> Option<SaveId> {
        self.asked.as_ref().filter(|asked| asked.key == key).map(|asked| asked.id)
    }

    /// Returns the save that was not answered in time.
    pub(crate) fn overdue(&self) -> Option<SaveId> {
        let asked = self.asked.as_ref().filter(|_| self.holds)?;
        (self.now >= asked.at + PATIENCE).then_some(asked.id)
    }

    /// Whether what the store has under this key is out of date.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.refused.iter().any(|refused| refused.key == key)
    }

    /// Whether something that the app asked for waits to be stored again.
    pub(crate) fn holds_a_wish(&self) -> bool {
        let later =
            self.later.iter().flat_map(|later| later.iter()).chain(self.asked.iter().filter(|_| self.later.is_some()));
        self.refused
            .iter()
            .map(|refused| refused.durability)
            .chain(later.map(|asked| asked.durability))
            .any(|durability| durability == Durability::Wish)
    }

    pub(crate) fn timeout(&self) -> Option<(Duration, &'static str)> {
        let again = self.refused.iter().filter_map(|refused| refused.again).min();
        let again = again.map(|at| (at, "a record to be stored again"));
        let patience = self.asked.as_ref().filter(|_| self.holds).map(|asked| asked.at + PATIENCE);
        again.into_iter().chain(patience.map(|at| (at, "a store that does not answer"))).min()
    }

    /// The store may take records now: all are stored again at once.
    pub(crate) fn hurry(&mut self, now: Duration) {
        for refused in self.refused.iter_mut().filter(|refused| refused.again.is_some()) {
            refused.again = Some(now);
        }
    }

    /// Returns a record that is to be stored again.
    pub(crate) fn due(&mut self, now: Duration) -> Option<(String, Durability)> {
        let refused = self.refused.iter_mut().find(|refused| refused.again.is_some_and(|at| now >= at))?;
        refused.again = None;
        Some((refused.key.clone(), refused.durability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(unsaved: &mut Unsaved, id: u64, key: &str, now: Duration) {
        unsaved.settle(now);
        let id = SaveId(id);
        unsaved.polled(Some(&Record { id, key: key.to_owned(), bytes: None, durability: Durability::Wish }));
        assert_eq!(unsaved.failed(id).as_deref(), Some(key));
    }

    #[test]
    fn a_store_that_never_takes_anything_is_asked_every_ten_minutes_and_no_more_keys_than_there_can_be_are_kept() {
        let mut unsaved = Unsaved::default();
        let mut waits = Vec::new();
        let mut now = Duration::ZERO;
        for id in 0..10 {
            refuse(&mut unsaved, id, "removals", now);
            let (at, _) = unsaved.timeout().expect("to be stored again");
            waits.push((at - now).as_secs());
            now = at;
            assert_eq!(unsaved.due(now), Some(("removals".to_owned(), Durability::Wish)));
            assert_eq!(unsaved.due(now), None);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        for number in 0..1000 {
            refuse(&mut unsaved, 10 + number, &format!("binding-{number}"), now);
        }
        assert_eq!(unsaved.refused.len(), MAX_UNSAVED);
    }

    #[test]
    fn to_poll_on_without_an_answer_says_that_a_record_is_stored_which_was_refused_before() {
        let mut unsaved = Unsaved::default();
        refuse(&mut unsaved, 1, "removals", Duration::ZERO);
        let record = |id, durability| Record { id: SaveId(id), key: "removals".to_owned(), bytes: None, durability };
        unsaved.polled(Some(&record(2, Durability::Progress)));
        assert_eq!(unsaved.failed(SaveId(2)).as_deref(), Some("removals"));
        assert!(unsaved.holds_a_wish(), "the wish is in the record that was refused last, too");
        unsaved.polled(Some(&record(3, Durability::Wish)));
        unsaved.polled(None);
        assert!(!unsaved.holds("removals") && !unsaved.holds_a_wish() && unsaved.timeout().is_none());
    }

    #[test]
    fn a_save_that_is_answered_later_is_not_durable_before_and_stored_again_if_it_failed() {
        let mut unsaved = Unsaved::default();
        unsaved.answered_later();
        let record = |id, durability| Record { id: SaveId(id), key: "removals".to_owned(), bytes: None, durability };
        unsaved.polled(Some(&record(1, Durability::Wish)));
        unsaved.polled(Some(&record(2, Durability::Wish)));
        unsaved.polled(None);
        assert!(unsaved.holds_a_wish());
        assert_eq!(unsaved.failed(SaveId(1)), None, "the second one counts");
        assert_eq!(unsaved.failed(SaveId(2)).as_deref(), Some("removals"));
        assert_eq!(unsaved.timeout().map(|(at, _)| at), Some(FIRST));
        assert!(unsaved.due(FIRST).is_some());
        unsaved.polled(Some(&record(3, Durability::Wish)));
        unsaved.polled(None);
        unsaved.stored(SaveId(3));
        assert!(!unsaved.holds_a_wish() && unsaved.timeout().is_none());
    }

    #[test]
    fn an_answer_to_another_save_changes_nothing() {
        let mut unsaved = Unsaved::default();
        refuse(&mut unsaved, 1, "removals", Duration::ZERO);
        assert_eq!(unsaved.failed(SaveId(1)), None, "it was answered already");
        unsaved.stored(SaveId(7));
        assert!(unsaved.holds("removals"));
        unsaved.stored(SaveId(1));
        assert!(!unsaved.holds("removals"), "the store took it after all");
    }
}
