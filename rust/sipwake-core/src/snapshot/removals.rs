//! The log-outs that no server has confirmed yet, who logged out lately, and which users a reader without a client must
//! know.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::envelope::{Damage, ROOM, body, read, read_each, read_raw, seal, write};
use super::memory::Memory;
use crate::account::{AccountConfig, AccountKey};
use crate::push::PushConfig;

/// Accounts of one client.
pub const MAX_ACCOUNTS: usize = 16;
/// Log-outs waiting to be delivered; the one that waited longest is given up for a new one.
pub const MAX_REMOVALS: usize = 16;
/// Users that logged out and are remembered, so that a late push for one of them is no push for another.
const MAX_DEPARTED: usize = 16;
/// How long a user who logged out is remembered, across restarts too: push services keep a message for four weeks at most.
const DEPARTED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A log-out that the server has not confirmed yet: all that is needed to deliver it without the app.
#[derive(Deserialize)]
pub(crate) struct Removal {
    pub(crate) account: AccountConfig,
    pub(crate) push: Option<PushConfig>,
    pub(crate) memory: Memory,
}

/// The log-outs that an earlier process could not deliver; `None` for each that cannot be read.
pub(crate) type PendingRemovals = Vec<Option<(AccountKey, Removal)>>;

/// A [`Removal`] as it is stored.
pub(crate) type StoredRemoval = Zeroizing<Vec<u8>>;

impl Removal {
    pub(crate) fn written(account: &AccountConfig, push: &Option<PushConfig>, memory: &Memory) -> StoredRemoval {
        #[derive(Serialize)]
        struct Borrowed<'a> {
            account: &'a AccountConfig,
            push: &'a Option<PushConfig>,
            memory: &'a Memory,
        }
        let mut out = Zeroizing::new(Vec::with_capacity(ROOM));
        write(&mut out, &Borrowed { account, push, memory });
        out
    }

    pub(crate) fn read(stored: &StoredRemoval) -> Option<Self> {
        serde_json::from_slice(stored).ok()
    }
}

/// The record [`REMOVALS`].
#[derive(Default, Serialize)]
pub(crate) struct Removals {
    /// The log-outs that the server has not confirmed, the one that waits longest first.
    #[serde(serialize_with = "as_written")]
    pending: Vec<(AccountKey, StoredRemoval)>,
    pub(crate) departed: VecDeque<Departed>,
    /// Those who do not want to be disturbed, and those who believe sealed pushes only, by name: for who reads this without a client.
    /// Each account's own record and settings say what is done about it.
    #[serde(rename = "quiet", skip_serializing_if = "Vec::is_empty")]
    pub(crate) heeded: Vec<Heeded>,
}

/// What the record [`REMOVALS`] holds.
#[derive(Default)]
pub(crate) struct StoredRemovals {
    pub(crate) pending: PendingRemovals,
    pub(crate) departed: VecDeque<Departed>,
    pub(crate) heeded: Vec<Heeded>,
}

/// A user who logged out. A late push for them must not ring for somebody else. Nothing of this is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Departed {
    /// The user part of the AOR, which is all that most pushes tell; where another account has the same, `user@domain`.
    user: String,
    /// Known in the process of the log-out alone, unless `user` has it.
    #[serde(skip)]
    domain: Option<String>,
    /// Wall time, in seconds since 1970.
    pub(crate) at: u64,
}

impl Removals {
    /// Reads the log-outs, the users who logged out and those that a reader must know. What of it cannot be read takes
    /// no other log-out with it.
    pub(crate) fn open(record: &[u8]) -> Result<StoredRemovals, Damage> {
        #[derive(Deserialize)]
        struct Stored<'a> {
            #[serde(borrow)]
            pending: Entries<'a>,
            #[serde(borrow)]
            departed: Option<&'a RawValue>,
            #[serde(borrow)]
            quiet: Option<&'a RawValue>,
        }
        let Stored { pending, departed, quiet } = read(body(record)?)?;
        let entries = pending.0.into_iter();
        let pending = entries.map(|(key, removal)| AccountKey::parse(&key).zip(read_raw(removal).ok()));
        let departed = departed.and_then(read_each).unwrap_or_default();
        let heeded = quiet.and_then(read_each).unwrap_or_default();
        Ok(StoredRemovals { pending: pending.collect(), departed, heeded })
    }

    /// Returns the record; `None` when there is nothing to remember.
    pub(crate) fn seal(&self) -> Option<Vec<u8>> {
        (!self.pending.is_empty() || !self.departed.is_empty() || !self.heeded.is_empty()).then(|| seal(self))
    }

    /// Returns how many log-outs wait.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether the log-out of this account waits.
    pub(crate) fn holds(&self, key: &AccountKey) -> bool {
        self.pending.iter().any(|(known, _)| known == key)
    }

    pub(crate) fn insert(&mut self, key: AccountKey, removal: StoredRemoval) {
        match self.pending.iter_mut().find(|(known, _)| *known == key) {
            Some((_, former)) => *former = removal,
            None => self.pending.push((key, removal)),
        }
    }

    pub(crate) fn remove(&mut self, key: &AccountKey) {
        self.pending.retain(|(known, _)| known != key);
    }

    /// Remembers `user@domain`, who logged out; of too many, the one who left first is forgotten.
    pub(crate) fn depart(&mut self, name: &str, wall: Duration) {
        self.return_of(name);
        self.forget_departed(wall);
        while self.departed.len() >= MAX_DEPARTED {
            self.departed.pop_front();
        }
        let (user, domain) = parts(name);
        let domain = domain.map(str::to_owned);
        self.departed.push_back(Departed { user: user.to_owned(), domain, at: wall.as_secs() });
    }

    /// Forgets that a user left, and keeps the domain of one with the same name elsewhere. Returns whether anything changed.
    pub(crate) fn return_of(&mut self, name: &str) -> bool {
        let mut changed = false;
        let (user, domain) = parts(name);
        self.departed.retain_mut(|departed| {
            let known = departed.name();
            let (other, elsewhere) = parts(&known);
            if !other.eq_ignore_ascii_case(user) {
                return true;
            }
            let apart = elsewhere.zip(domain).is_some_and(|(a, b)| !a.eq_ignore_ascii_case(b));
            changed |= !apart || departed.user != known;
            departed.user = known;
            apart
        });
        changed
    }

    /// Forgets who left longer ago than [`DEPARTED`]. A clock that was set back forgets nobody.
    pub(crate) fn forget_departed(&mut self, wall: Duration) {
        self.departed.retain(|departed| wall.as_secs().saturating_sub(departed.at) < DEPARTED.as_secs());
        while self.departed.len() > MAX_DEPARTED {
            self.departed.pop_front();
        }
    }

    /// Takes over the users that a reader had to know when they were last stored.
    pub(crate) fn recall_heeded(&mut self, earlier: Vec<Heeded>) {
        let unknown = |earlier: &Heeded| !self.heeded.iter().any(|known| known.is(&earlier.name));
        let earlier: Vec<Heeded> = earlier.into_iter().filter(unknown).take(MAX_ACCOUNTS).collect();
        self.heeded.extend(earlier);
    }

    /// Lists which of the `users` (with whether logged out) a reader must know, besides those who are not here. Returns
    /// whether that is new.
    pub(crate) fn list_heeded(&mut self, users: &[(Heeded, bool)], wall: Duration) -> bool {
        if users.is_empty() {
            // The accounts are yet to be added.
            return false;
        }
        let here = || users.iter().filter(|(_, left)| !left).map(|(user, _)| user);
        let (alone, sealed_alone) = (here().all(|user| user.until != 0), here().all(|user| user.sealed));
        let elsewhere = self.heeded.iter().filter(|known| {
            (known.sealed || known.until > wall.as_secs()) && !users.iter().any(|(user, _)| user.is(&known.name))
        });
        let heeded = elsewhere.chain(here().filter(|user| user.sealed || user.until != 0));
        let mut heeded: Vec<Heeded> = heeded.map(|user| Heeded { alone, sealed_alone, ..user.clone() }).collect();
        heeded.sort();
        heeded.truncate(MAX_ACCOUNTS);
        let changed = heeded != self.heeded;
        self.heeded = heeded;
        changed
    }
}

impl Departed {
    /// The user, with the domain where that is known.
    pub(crate) fn name(&self) -> String {
        match &self.domain {
            Some(domain) if !self.user.contains('@') => format!("{}@{domain}", self.user),
            _ => self.user.clone(),
        }
    }
}

fn parts(name: &str) -> (&str, Option<&str>) {
    name.rsplit_once('@').map_or((name, None), |(user, domain)| (user, Some(domain)))
}

/// A user who is more than a name to a reader without a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Heeded {
    /// `user@domain`.
    pub(crate) name: String,
    /// Wall time, in seconds since 1970, until which the user does not want to be disturbed; 0: may be.
    pub(crate) until: u64,
    /// No user here may be disturbed, so a push that names nobody is for one of them.
    #[serde(default)]
    pub(crate) alone: bool,
    /// Believes no word of a push that came unsealed.
    #[serde(default)]
    pub(crate) sealed: bool,
    /// No user here would, so a push that names nobody is not believed either.
    #[serde(default)]
    pub(crate) sealed_alone: bool,
}

impl Heeded {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// An object's entries in their order, each to be read on its own.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = object.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

fn as_written<S: Serializer>(pending: &[(AccountKey, StoredRemoval)], serializer: S) -> Result<S::Ok, S::Error> {
    let entries = pending.iter().map(|(key, removal)| {
        let written = serde_json::from_slice::<&RawValue>(removal);
        (key.as_str(), written.expect("it was written as JSON"))
    });
    serializer.collect_map(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn memory() -> Memory {
        Memory { realm: Some("asterisk".into()), ..Memory::fresh(&mut Random::new([1; 32])) }
    }

    #[test]
    fn a_log_out_that_cannot_be_read_takes_no_other_with_it() {
        let config = AccountConfig::new("sip:alice@example.com", "secret");
        let key = crate::account::Account::parse(config.clone()).expect("a sound account").key();
        let written = Removal::written(&config, &None, &memory());
        let mut removals = Removals::default();
        removals.insert(key.clone(), written.clone());
        removals.depart("alice", Duration::from_secs(1_790_000_000));
        let sound = removals.seal().expect("something is pending");
        let StoredRemovals { pending, departed, .. } = Removals::open(&sound).expect("sound");
        let [Some((of, Removal { account, push, memory }))] = &*pending else { panic!("one log-out") };
        assert_eq!((of, push, departed.len()), (&key, &None, 1));
        assert_eq!(Removal::written(account, push, memory), written);

        let written: &RawValue = serde_json::from_slice(&written).expect("JSON");
        let damaged = seal(&serde_json::json!({
            "pending": { "0123456789abcdef": { "account": 7 }, "no key": written, key.as_str(): written },
            "departed": [7, { "user": "bob", "at": 1 }],
            "quiet": [{ "name": 7 }, { "name": "carol@example.com", "until": 2 }],
        }));
        let read = Removals::open(&damaged).expect("its log-outs can be told apart");
        let StoredRemovals { pending, departed, heeded } = read;
        assert_eq!(pending.iter().flatten().map(|(of, _)| of).collect::<Vec<_>>(), [&key]);
        assert_eq!((pending.len(), departed.len()), (3, 1));
        assert_eq!(heeded, [Heeded { name: "carol@example.com".into(), until: 2, ..Heeded::default() }]);
    }

    #[test]
    fn of_too_many_departed_users_the_first_to_leave_is_forgotten() {
        let mut removals = Removals::default();
        for number in 0..=MAX_DEPARTED {
            removals.depart(&format!("user{number}"), Duration::from_secs(1_790_000_000));
        }
        assert_eq!(removals.departed.len(), MAX_DEPARTED);
        assert!(!removals.return_of("user0") && removals.return_of("user1"));
    }
}
