//! Saves whose result is not known, and records that the store refused. Those are stored again until the store accepts
//! them.

use std::time::Duration;

use crate::snapshot::{Durability, MAX_ACCOUNTS, MAX_REMOVALS, Record, SaveId};

/// Each account has a record, each logged-out account had one, and there are three for the whole client.
const MAX_UNSAVED: usize = MAX_ACCOUNTS + MAX_REMOVALS + 3;
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);
/// How long an asynchronous store may take for one record. After that it counts as a failure, because a caller waits
/// for what is queued behind it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Refused {
    key: String,
    id: SaveId,
    durability: Durability,
    times: u32,
    /// When to store it again. `None` while a save is under way.
    again: Option<Duration>,
}

#[derive(Debug)]
struct PendingSave {
    id: SaveId,
    key: String,
    durability: Durability,
    at: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    refused: Vec<Refused>,
    /// The save that the driver took last and has not reported on.
    asked: Option<PendingSave>,
    /// What follows a save waits for its result.
    holds: bool,
    /// Only if results come later and nothing waits for them: the saves without a result.
    later: Option<Vec<PendingSave>>,
    /// The latest boot time of any input.
    now: Duration,
}

impl Unsaved {
    /// Sets whether what follows a save waits for its result.
    pub(crate) fn hold(&mut self, hold: bool) {
        self.holds = hold;
    }

    /// Says that the results of saves come later, in any order. Only what must be durable waits for them.
    pub(crate) fn answered_later(&mut self) {
        self.later = Some(Vec::new());
    }

    /// Whether the queue stops until the result of a save is known.
    pub(crate) fn is_held(&self) -> bool {
        self.holds && self.asked.is_some()
    }

    pub(crate) fn retry_due(&mut self, now: Duration) {
        self.now = now;
    }

    /// The driver takes its next output. Without a result, the previous save counts as stored.
    pub(crate) fn polled(&mut self, record: Option<&Record>) {
        match (self.asked.take(), &mut self.later) {
            (Some(mut asked), Some(later)) => {
                // The last save of each record counts. It also holds earlier commands.
                let wished = |known: &PendingSave| known.key == asked.key && known.durability == Durability::Wish;
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
        let asked = |record: &Record| PendingSave {
            id: record.id,
            key: record.key.clone(),
            durability: record.durability,
            at: self.now,
        };
        self.asked = record.map(asked);
    }

    /// The store has accepted a record.
    pub(crate) fn stored(&mut self, id: SaveId) {
        let key = match self.answered(id) {
            Some(asked) => Some(asked.key),
            // The result came too late, or is for an earlier save.
            None => self.refused.iter().find(|refused| refused.id == id).map(|refused| refused.key.clone()),
        };
        self.refused.retain(|refused| Some(&refused.key) != key.as_ref());
    }

    /// The store refused a record. Returns its key, or `None` if no save with this id waits for a result.
    pub(crate) fn failed(&mut self, id: SaveId) -> Option<String> {
        let PendingSave { key, durability, .. } = self.answered(id)?;
        let now = self.now;
        if let Some(refused) = self.refused.iter_mut().find(|refused| refused.key == key) {
            let wait = FIRST.saturating_mul(1 << refused.times.min(16)).min(LONGEST);
            // The repeated save also holds what the app wanted earlier.
            let wished = refused.durability == Durability::Wish;
            let durability = if wished { Durability::Wish } else { durability };
            *refused = Refused { id, durability, times: refused.times + 1, again: Some(now + wait), key: key.clone() };
        } else if self.refused.len() < MAX_UNSAVED {
            self.refused.push(Refused { key: key.clone(), id, durability, times: 1, again: Some(now + FIRST) });
        }
        Some(key)
    }

    /// The save with this id, which no longer waits for its result.
    fn answered(&mut self, id: SaveId) -> Option<PendingSave> {
        if let Some(asked) = self.asked.take_if(|asked| asked.id == id) {
            return Some(asked);
        }
        let later = self.later.as_mut()?;
        let index = later.iter().position(|asked| asked.id == id)?;
        Some(later.remove(index))
    }

    /// The save of this key that waits for its result.
    pub(crate) fn asked(&self, key: &str) -> Option<SaveId> {
        self.asked.as_ref().filter(|asked| asked.key == key).map(|asked| asked.id)
    }

    /// Returns the save whose result did not come in time.
    pub(crate) fn overdue(&self) -> Option<SaveId> {
        let asked = self.asked.as_ref().filter(|_| self.holds)?;
        (self.now >= asked.at + PATIENCE).then_some(asked.id)
    }

    /// Whether the stored record under this key is out of date.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.refused.iter().any(|refused| refused.key == key)
    }

    /// Whether a command of the app waits to be stored.
    pub(crate) fn holds_a_command(&self) -> bool {
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

    /// The store may accept records now, so all are stored again at once.
    pub(crate) fn retry_now(&mut self, now: Duration) {
        for refused in self.refused.iter_mut().filter(|refused| refused.again.is_some()) {
            refused.again = Some(now);
        }
    }

    /// Returns a record to store again.
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
        unsaved.retry_due(now);
        let id = SaveId(id);
        unsaved.polled(Some(&Record { id, key: key.to_owned(), bytes: None, durability: Durability::Wish }));
        assert_eq!(unsaved.failed(id).as_deref(), Some(key));
    }

    #[test]
    fn a_store_that_always_refuses_is_asked_every_ten_minutes_and_the_number_of_keys_is_bounded() {
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
    fn polling_on_confirms_a_record_that_was_refused_before() {
        let mut unsaved = Unsaved::default();
        refuse(&mut unsaved, 1, "removals", Duration::ZERO);
        let record = |id, durability| Record { id: SaveId(id), key: "removals".to_owned(), bytes: None, durability };
        unsaved.polled(Some(&record(2, Durability::Progress)));
        assert_eq!(unsaved.failed(SaveId(2)).as_deref(), Some("removals"));
        assert!(unsaved.holds_a_command(), "the record that was refused last has the command, too");
        unsaved.polled(Some(&record(3, Durability::Wish)));
        unsaved.polled(None);
        assert!(!unsaved.holds("removals") && !unsaved.holds_a_command() && unsaved.timeout().is_none());
    }

    #[test]
    fn a_save_is_not_durable_before_its_answer_and_is_repeated_if_it_failed() {
        let mut unsaved = Unsaved::default();
        unsaved.answered_later();
        let record = |id, durability| Record { id: SaveId(id), key: "removals".to_owned(), bytes: None, durability };
        unsaved.polled(Some(&record(1, Durability::Wish)));
        unsaved.polled(Some(&record(2, Durability::Wish)));
        unsaved.polled(None);
        assert!(unsaved.holds_a_command());
        assert_eq!(unsaved.failed(SaveId(1)), None, "the second one counts");
        assert_eq!(unsaved.failed(SaveId(2)).as_deref(), Some("removals"));
        assert_eq!(unsaved.timeout().map(|(at, _)| at), Some(FIRST));
        assert!(unsaved.due(FIRST).is_some());
        unsaved.polled(Some(&record(3, Durability::Wish)));
        unsaved.polled(None);
        unsaved.stored(SaveId(3));
        assert!(!unsaved.holds_a_command() && unsaved.timeout().is_none());
    }

    #[test]
    fn an_answer_to_another_save_changes_nothing() {
        let mut unsaved = Unsaved::default();
        refuse(&mut unsaved, 1, "removals", Duration::ZERO);
        assert_eq!(unsaved.failed(SaveId(1)), None, "it was already answered");
        unsaved.stored(SaveId(7));
        assert!(unsaved.holds("removals"));
        unsaved.stored(SaveId(1));
        assert!(!unsaved.holds("removals"), "the store accepted it in the end");
    }
}
