//! The log-outs that no server has confirmed yet, the users who logged out lately, and the users that a process without
//! a client must know.

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

/// How many accounts a client may have.
pub const MAX_ACCOUNTS: usize = 16;
/// How many log-outs may wait for delivery. If there are more, the one that has waited longest is given up.
pub const MAX_REMOVALS: usize = 16;
/// How many users who logged out are remembered. A late push for one of them must not count as one for another user.
const MAX_DEPARTED: usize = 16;
/// How long a user who logged out is remembered, also across restarts. Push services keep a message for at most four
/// weeks.
const DEPARTED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A log-out that the server has not confirmed yet, with all that is needed to deliver it without the app.
#[derive(Deserialize)]
pub(crate) struct PendingLogout {
    pub(crate) account: AccountConfig,
    pub(crate) push: Option<PushConfig>,
    pub(crate) memory: Memory,
}

/// The log-outs that an earlier process could not deliver. `None` for each one that cannot be read.
pub(crate) type PendingLogouts = Vec<Option<(AccountKey, PendingLogout)>>;

/// The stored form of a [`PendingLogout`].
pub(crate) type StoredLogout = Zeroizing<Vec<u8>>;

impl PendingLogout {
    pub(crate) fn written(account: &AccountConfig, push: &Option<PushConfig>, memory: &Memory) -> StoredLogout {
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

    pub(crate) fn read(stored: &StoredLogout) -> Option<Self> {
        serde_json::from_slice(stored).ok()
    }
}

/// The record [`REMOVALS`].
#[derive(Default, Serialize)]
pub(crate) struct Removals {
    /// The log-outs that the server has not confirmed, oldest first.
    #[serde(serialize_with = "as_written")]
    pending: Vec<(AccountKey, StoredLogout)>,
    pub(crate) departed: VecDeque<LoggedOutUser>,
    /// The users who do not want to be disturbed, and those who accept only sealed pushes, by name. A process that
    /// judges pushes without a client needs them. The client itself uses each account's own record and settings.
    #[serde(rename = "quiet", skip_serializing_if = "Vec::is_empty")]
    pub(crate) push_rules: Vec<PushRule>,
}

/// The content of the record [`REMOVALS`].
#[derive(Default)]
pub(crate) struct StoredRemovals {
    pub(crate) pending: PendingLogouts,
    pub(crate) departed: VecDeque<LoggedOutUser>,
    pub(crate) push_rules: Vec<PushRule>,
}

/// A user who logged out. A late push for them must not ring for somebody else. Nothing in here is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggedOutUser {
    /// The user part of the AOR, because most pushes name nothing else. If another account has the same one, it is
    /// `user@domain`.
    user: String,
    /// Known only in the process of the log-out, unless `user` has it.
    #[serde(skip)]
    domain: Option<String>,
    /// Wall time, in seconds since 1970.
    pub(crate) at: u64,
}

impl Removals {
    /// Reads the log-outs, the users who logged out, and the users that a process without a client must know. A part
    /// that cannot be read does not spoil the other log-outs.
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
        let push_rules = quiet.and_then(read_each).unwrap_or_default();
        Ok(StoredRemovals { pending: pending.collect(), departed, push_rules })
    }

    /// Returns the record, or `None` if there is nothing to remember.
    pub(crate) fn seal(&self) -> Option<Vec<u8>> {
        (!self.pending.is_empty() || !self.departed.is_empty() || !self.push_rules.is_empty()).then(|| seal(self))
    }

    /// Returns the number of log-outs that wait.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether a log-out of this account waits.
    pub(crate) fn holds(&self, key: &AccountKey) -> bool {
        self.pending.iter().any(|(known, _)| known == key)
    }

    pub(crate) fn insert(&mut self, key: AccountKey, removal: StoredLogout) {
        match self.pending.iter_mut().find(|(known, _)| *known == key) {
            Some((_, former)) => *former = removal,
            None => self.pending.push((key, removal)),
        }
    }

    pub(crate) fn remove(&mut self, key: &AccountKey) {
        self.pending.retain(|(known, _)| known != key);
    }

    /// Remembers that `user@domain` logged out. If there are too many, the one who logged out first is forgotten.
    pub(crate) fn depart(&mut self, name: &str, wall: Duration) {
        self.return_of(name);
        self.forget_departed(wall);
        while self.departed.len() >= MAX_DEPARTED {
            self.departed.pop_front();
        }
        let (user, domain) = parts(name);
        let domain = domain.map(str::to_owned);
        self.departed.push_back(LoggedOutUser { user: user.to_owned(), domain, at: wall.as_secs() });
    }

    /// Forgets that a user logged out. If somebody with the same user part logged out elsewhere, their domain is
    /// remembered. Returns whether anything changed.
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

    /// Forgets the users who logged out more than [`DEPARTED`] ago. If the clock was set back, nobody is forgotten.
    pub(crate) fn forget_departed(&mut self, wall: Duration) {
        self.departed.retain(|departed| wall.as_secs().saturating_sub(departed.at) < DEPARTED.as_secs());
        while self.departed.len() > MAX_DEPARTED {
            self.departed.pop_front();
        }
    }

    /// Takes over the stored list of users that a process without a client must know.
    pub(crate) fn recall_push_rules(&mut self, earlier: Vec<PushRule>) {
        let unknown = |earlier: &PushRule| !self.push_rules.iter().any(|known| known.is(&earlier.name));
        let earlier: Vec<PushRule> = earlier.into_iter().filter(unknown).take(MAX_ACCOUNTS).collect();
        self.push_rules.extend(earlier);
    }

    /// Lists the `users` that a process without a client must know. The flag says whether they logged out. Entries for
    /// users who are not here stay. Returns whether the list has changed.
    pub(crate) fn list_push_rules(&mut self, users: &[(PushRule, bool)], wall: Duration) -> bool {
        if users.is_empty() {
            // The app has not added the accounts yet.
            return false;
        }
        let here = || users.iter().filter(|(_, left)| !left).map(|(user, _)| user);
        let (alone, sealed_alone) = (here().all(|user| user.until != 0), here().all(|user| user.sealed));
        let elsewhere = self.push_rules.iter().filter(|known| {
            (known.sealed || known.until > wall.as_secs()) && !users.iter().any(|(user, _)| user.is(&known.name))
        });
        let push_rules = elsewhere.chain(here().filter(|user| user.sealed || user.until != 0));
        let mut push_rules: Vec<PushRule> =
            push_rules.map(|user| PushRule { alone, sealed_alone, ..user.clone() }).collect();
        push_rules.sort();
        push_rules.truncate(MAX_ACCOUNTS);
        let changed = push_rules != self.push_rules;
        self.push_rules = push_rules;
        changed
    }
}

impl LoggedOutUser {
    /// The user, with the domain if that is known.
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

/// What a process without a client must know about a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct PushRule {
    /// `user@domain`.
    pub(crate) name: String,
    /// Wall time, in seconds since 1970, until which the user does not want to be disturbed. 0 if they may be
    /// disturbed.
    pub(crate) until: u64,
    /// No user of this phone may be disturbed. So a push that names nobody is silent, too.
    #[serde(default)]
    pub(crate) alone: bool,
    /// The user accepts only sealed pushes.
    #[serde(default)]
    pub(crate) sealed: bool,
    /// All users of this phone accept only sealed pushes. So a push that names nobody is not believed either.
    #[serde(default)]
    pub(crate) sealed_alone: bool,
}

impl PushRule {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The entries of an object in their order. Each is read on its own.
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

fn as_written<S: Serializer>(pending: &[(AccountKey, StoredLogout)], serializer: S) -> Result<S::Ok, S::Error> {
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
    fn a_log_out_that_cannot_be_read_does_not_drop_the_others() {
        let config = AccountConfig::new("sip:alice@example.com", "secret");
        let key = crate::account::Account::parse(config.clone()).expect("a sound account").key();
        let written = PendingLogout::written(&config, &None, &memory());
        let mut removals = Removals::default();
        removals.insert(key.clone(), written.clone());
        removals.depart("alice", Duration::from_secs(1_790_000_000));
        let sound = removals.seal().expect("something is pending");
        let StoredRemovals { pending, departed, .. } = Removals::open(&sound).expect("sound");
        let [Some((of, PendingLogout { account, push, memory }))] = &*pending else { panic!("one log-out") };
        assert_eq!((of, push, departed.len()), (&key, &None, 1));
        assert_eq!(PendingLogout::written(account, push, memory), written);

        let written: &RawValue = serde_json::from_slice(&written).expect("JSON");
        let damaged = seal(&serde_json::json!({
            "pending": { "0123456789abcdef": { "account": 7 }, "no key": written, key.as_str(): written },
            "departed": [7, { "user": "bob", "at": 1 }],
            "quiet": [{ "name": 7 }, { "name": "carol@example.com", "until": 2 }],
        }));
        let read = Removals::open(&damaged).expect("its log-outs can be distinguished");
        let StoredRemovals { pending, departed, push_rules } = read;
        assert_eq!(pending.iter().flatten().map(|(of, _)| of).collect::<Vec<_>>(), [&key]);
        assert_eq!((pending.len(), departed.len()), (3, 1));
        assert_eq!(push_rules, [PushRule { name: "carol@example.com".into(), until: 2, ..PushRule::default() }]);
    }

    #[test]
    fn of_too_many_logged_out_users_the_first_is_forgotten() {
        let mut removals = Removals::default();
        for number in 0..=MAX_DEPARTED {
            removals.depart(&format!("user{number}"), Duration::from_secs(1_790_000_000));
        }
        assert_eq!(removals.departed.len(), MAX_DEPARTED);
        assert!(!removals.return_of("user0") && removals.return_of("user1"));
    }
}
