//! Records that could not be read yet. Until they are read, nothing is stored under their keys: a store that is shut is
//! not empty.

use std::time::Duration;

use crate::snapshot::{Durability, MAX_ACCOUNTS, StoredLogout};

/// Each account has a record, and there are those of log-outs, past calls and decisions.
const MAX_UNREAD: usize = MAX_ACCOUNTS + 3;
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

struct Waiting {
    key: String,
    times: u32,
    /// When to read it again. `None` while a read is under way.
    again: Option<Duration>,
    /// Whether something has to be stored under this key meanwhile, and how durably.
    withheld: Option<Durability>,
    /// The removal of its account, which was delivered meanwhile.
    departed: Option<StoredLogout>,
}

#[derive(Default)]
pub(crate) struct Unread(Vec<Waiting>);

impl Unread {
    /// Notes that a record cannot be read now. Returns whether that is new.
    pub(crate) fn failed(&mut self, key: &str, now: Duration) -> bool {
        if let Some(waiting) = self.get(key) {
            waiting.again = Some(now + FIRST.saturating_mul(1 << waiting.times.min(16)).min(LONGEST));
            waiting.times += 1;
            return false;
        }
        if self.0.len() < MAX_UNREAD {
            self.0.push(Waiting {
                key: key.to_owned(),
                times: 1,
                again: Some(now + FIRST),
                withheld: None,
                departed: None,
            });
        }
        true
    }

    /// A record was read. Returns what must be stored under its key, and the kept removal. `None` if nothing waited for
    /// it.
    pub(crate) fn read(&mut self, key: &str) -> Option<(Option<Durability>, Option<StoredLogout>)> {
        let index = self.0.iter().position(|waiting| waiting.key == key)?;
        let Waiting { withheld, departed, .. } = self.0.swap_remove(index);
        Some((withheld, departed))
    }

    /// Keeps the removal of an account whose log-out was delivered before its record could be read.
    pub(crate) fn keep(&mut self, key: &str, removal: StoredLogout) {
        if let Some(waiting) = self.get(key) {
            waiting.departed = Some(removal);
        }
    }

    pub(crate) fn holds(&self, key: &str) -> bool {
        self.0.iter().any(|waiting| waiting.key == key)
    }

    /// Notes that something has to be stored later. Returns `false` if it may be stored now.
    pub(crate) fn withhold(&mut self, key: &str, durability: Durability) -> bool {
        let Some(waiting) = self.get(key) else { return false };
        if waiting.withheld != Some(Durability::Wish) {
            waiting.withheld = Some(durability);
        }
        true
    }

    /// Whether a command of the app waits to be stored.
    pub(crate) fn withholds_a_command(&self) -> bool {
        self.0.iter().any(|waiting| waiting.withheld == Some(Durability::Wish))
    }

    pub(crate) fn timeout(&self) -> Option<(Duration, &'static str)> {
        let again = self.0.iter().filter_map(|waiting| waiting.again).min();
        again.map(|at| (at, "a record to be read again"))
    }

    /// Returns the key of a record to read again.
    pub(crate) fn due(&mut self, now: Duration) -> Option<String> {
        let waiting = self.0.iter_mut().find(|waiting| waiting.again.is_some_and(|at| now >= at))?;
        waiting.again = None;
        Some(waiting.key.clone())
    }

    /// The store may be open now, so all records are read again at once.
    pub(crate) fn retry_now(&mut self, now: Duration) {
        for waiting in &mut self.0 {
            (waiting.times, waiting.again) = (0, Some(now));
        }
    }

    fn get(&mut self, key: &str) -> Option<&mut Waiting> {
        self.0.iter_mut().find(|waiting| waiting.key == key)
    }
}
