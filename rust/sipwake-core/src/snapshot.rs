//! What survives the process: small records, versioned and checked.
//!
//! ```text
//! "sipwake " version " " checksum LF JSON     ; checksum: 16 hex digits of the JSON's SHA-256
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::account::{AccountConfig, AccountKey};
use crate::digest::{NonceCache, hex};
use crate::push::{Dialect, Push, PushConfig, PushToken, Shown};
use crate::quiet::{Quiet, Quieted};
use crate::random::Random;
use crate::redact::Secret;

/// The version of the records' form. A record of another version is not read.
const VERSION: &str = "1";
/// The largest record that is read, in bytes. Sixteen log-outs with the longest nonces and Contacts that a server may give
/// them take some three megabytes.
const MAX_RECORD: usize = 8 * 1024 * 1024;
/// Room for a common record, in bytes, so that no piece of it stays behind where it grew.
const ROOM: usize = 2048;
/// Accounts of one client.
pub const MAX_ACCOUNTS: usize = 16;
/// Log-outs waiting to be delivered; the one that waited longest is given up for a new one.
pub const MAX_REMOVALS: usize = 16;
/// Users that logged out and are remembered, so that a late push for one of them is no push for another.
const MAX_DEPARTED: usize = 16;
/// How long a user who logged out is remembered, across restarts too: push services keep a message for four weeks at most.
const DEPARTED: Duration = Duration::from_secs(30 * 24 * 3600);
/// The gateways that were left and are remembered for it.
pub(crate) const MAX_LEFT: usize = 4;
/// The key of the record that holds the pending removals and, by name alone, the users who logged out lately and those who do not want
/// to be disturbed: apart from all else, so that damage there does not lose them.
pub const REMOVALS: &str = "removals";
/// The key of the record of calls that ended lately: at most 64, for an hour, as hashes alone.
pub const CALLS: &str = "calls";

/// The key of the black box's record: the decisions of the last wakes
/// ([`poll_record`](crate::user_agent::UserAgent::poll_record)).
pub const RECORD: &str = "record";

/// Names one [`Output::Save`](crate::event::Output::Save).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaveId(pub u64);

/// One record for the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// By which [`handle_saved`](crate::user_agent::UserAgent::handle_saved) tells what became of it.
    pub id: SaveId,
    /// Where it is kept: [`REMOVALS`], [`CALLS`], or `binding-` and an account's key.
    pub key: String,
    /// What is kept; `None` removes the record. Holds secrets, tokens and HA1 values: overwrite it once it is stored.
    pub bytes: Option<Vec<u8>>,
    /// How safe it must be before the next output is done.
    pub durability: Durability,
}

/// How safe a record must be before what depends on it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A wish of the user: it must survive a power cut.
    Wish,
    /// Numbers reserved and answers seen: it must survive the process. A power cut may take it back, which costs a
    /// round trip later, not a binding; and a disk's sync would cost more than the round trip that a wake takes.
    Progress,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}, {:?} bytes)", self.key, self.bytes.as_ref().map(Vec::len))
    }
}

/// Returns the key of an account's own record.
pub fn binding_key(account: &AccountKey) -> String {
    format!("binding-{account}")
}

/// What is remembered of one registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// One Call-ID for all REGISTERs of a registration (RFC 3261 10.2).
    pub(crate) call_id: Box<str>,
    pub(crate) from_tag: Box<str>,
    /// No CSeq up to this one is used again; 0: nothing was ever sent.
    pub(crate) cseq_reserved: u32,
    pub(crate) nonces: NonceCache,
    /// The realm of the last challenge, for `X-PIID`.
    pub(crate) realm: Option<Box<str>>,
    /// A server has accepted a REGISTER with the `X-PIID` of this realm, or the app has accepted the realm.
    #[serde(default)]
    pub(crate) realm_pinned: bool,
    /// `X-Sy.AuthURI` of the last response.
    pub(crate) auth_uri: Option<Box<str>>,
    pub(crate) shown: Shown,
    pub(crate) token: TokenWish,
    /// The user does not want to be disturbed: `token` says so, and this says what it will be again.
    #[serde(default)]
    pub(crate) quiet: Option<Box<Quiet>>,
    /// What the server holds, as far as it is known.
    pub(crate) bound: Option<Bound>,
    /// Contacts that the server may hold and should not.
    #[serde(deserialize_with = "each_readable")]
    pub(crate) former: Vec<Former>,
    /// The edge proxy answered 439: no `reg-id` (RFC 5626 11.6).
    #[serde(default)]
    pub(crate) no_outbound: bool,
    /// The server takes an old Contact of ours and the new one for the same binding: they must not go together.
    #[serde(default)]
    pub(crate) separate_removal: bool,
    /// The port of the Contact, to be used again so that it stays the same.
    pub(crate) local_port: Option<u16>,
    /// Nobody has registered, something was only asked: the binding that the question makes is removed, and no other made.
    #[serde(default)]
    pub(crate) asked_only: bool,
    /// Wall time, in seconds since 1970, at which the server last answered 555 to RFC 8599.
    pub(crate) refused_at: Option<u64>,
    /// Why a Contact with `pn-*` was refused, in the server's words; `None` after a 555.
    pub(crate) refused_why: Option<Box<str>>,
    /// Our address when a server was last believed over a transport on which others can write along: what it said does not
    /// outlive that network, nor the process, since another network may give the same address.
    #[serde(default)]
    pub(crate) heard_at: Option<IpAddr>,
    /// The server has shown that it is one of Mizutech's.
    #[serde(default)]
    pub(crate) mizutech: bool,
    /// Wall time, in seconds since 1970, at which the user logged out.
    pub(crate) left_at: Option<u64>,
    /// The credentials were accepted once.
    #[serde(default)]
    pub(crate) worked: bool,
    /// The record of an earlier process could not be read: what that had bound nobody knows.
    #[serde(default)]
    pub(crate) lost: bool,
    /// What the gateways that were left may still hold, the last of them first.
    #[serde(default, deserialize_with = "each_readable")]
    pub(crate) left: Vec<Bound>,
}

impl Memory {
    pub(crate) fn fresh(random: &mut Random) -> Self {
        Self { call_id: random.token().into(), from_tag: random.token().into(), ..Self::default() }
    }

    /// Forgets what may have been a lie.
    pub(crate) fn forget_hearsay(&mut self) {
        if self.heard_at.is_none() {
            return;
        }
        (self.heard_at, self.auth_uri, self.refused_at, self.refused_why) = (None, None, None, None);
        (self.shown, self.no_outbound) = (Shown::Nothing, false);
        self.realm = self.realm.take().filter(|_| self.realm_pinned);
    }

    /// What is left when the record cannot be read: a server may hold something, nobody knows what.
    pub(crate) fn lost(random: &mut Random) -> Self {
        Self { cseq_reserved: 1, lost: true, ..Self::fresh(random) }
    }
}

/// What the app wants of its token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TokenWish {
    /// There is none yet.
    #[default]
    NoneYet,
    /// Push to it.
    Bind(PushToken),
    /// Push no more; the token that was bound.
    Unbind(Option<PushToken>),
}

impl TokenWish {
    /// The token that is bound, or was.
    pub(crate) fn last(&self) -> Option<&PushToken> {
        match self {
            Self::NoneYet => None,
            Self::Bind(token) => Some(token),
            Self::Unbind(last) => last.as_ref(),
        }
    }
}

/// A Contact that a 200 confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredBound", into = "StoredBound")]
pub(crate) struct Bound {
    /// The whole Contact URI as it was sent.
    pub(crate) uri: Secret,
    /// How much of it stands before the push parameters.
    base: usize,
    pub(crate) token: Option<PushToken>,
    /// Wall time, in seconds since 1970.
    pub(crate) expires_at: u64,
    /// The gateway that took it, by its [`name`](crate::account::Hop::name); `None` where a redirect led, or in old records.
    pub(crate) gateway: Option<Box<str>>,
    /// What was said about push with it, all of which is to be taken back; `None` where nothing was.
    pub(crate) spoken: Option<Spoken>,
    /// The server's list named it: when it does so no more, it is gone.
    pub(crate) listed: bool,
    /// The server that took it had shown that it is one of Mizutech's.
    pub(crate) mizutech: bool,
    /// How often its gateway, which was left, has refused to remove it.
    pub(crate) refusals: u8,
}

/// What was said about push with a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The settings; shared with the account's while they are the same.
    pub(crate) push: Arc<Push>,
    /// Every dialect that was spoken, also those that the server later showed no need of.
    pub(crate) dialects: Vec<Dialect>,
}

impl Spoken {
    /// Whether all of it stood in the Contact, so that nothing outlives that.
    pub(crate) fn lives_in_contact(&self) -> bool {
        !self.dialects.iter().any(|dialect| matches!(dialect, Dialect::XMpush | Dialect::PortSip(_)))
    }
}

impl Bound {
    /// `None` if the Contact URI does not begin with its base.
    pub(crate) fn new(
        base: &str,
        uri: &str,
        token: Option<PushToken>,
        expires_at: u64,
        gateway: Option<Box<str>>,
    ) -> Option<Self> {
        uri.starts_with(base).then(|| Self {
            uri: Secret::new(uri),
            base: base.len(),
            token,
            expires_at,
            gateway,
            spoken: None,
            listed: false,
            mizutech: false,
            refusals: 0,
        })
    }

    /// The Contact URI without push parameters.
    pub(crate) fn base(&self) -> &str {
        &self.uri.expose()[..self.base]
    }
}

/// A [`Bound`] as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredBound {
    base: Secret,
    uri: Secret,
    token: Option<PushToken>,
    expires_at: u64,
    gateway: Option<Box<str>>,
    push: Option<PushConfig>,
    #[serde(default)]
    dialects: Vec<Dialect>,
    #[serde(default)]
    listed: bool,
    #[serde(default)]
    mizutech: bool,
    #[serde(default)]
    refusals: u8,
}

impl From<Bound> for StoredBound {
    fn from(bound: Bound) -> Self {
        let base = Secret::new(bound.base());
        let Bound { uri, token, expires_at, gateway, spoken, listed, mizutech, refusals, .. } = bound;
        let push = spoken.as_ref().map(|spoken| spoken.push.config());
        let dialects = spoken.map(|spoken| spoken.dialects).unwrap_or_default();
        Self { base, uri, token, expires_at, gateway, push, dialects, listed, mizutech, refusals }
    }
}

impl TryFrom<StoredBound> for Bound {
    type Error = &'static str;

    fn try_from(stored: StoredBound) -> Result<Self, Self::Error> {
        let StoredBound { base, uri, token, expires_at, gateway, push, dialects, listed, mizutech, refusals } = stored;
        let mut bound = Self::new(base.expose(), uri.expose(), token, expires_at, gateway)
            .ok_or("the Contact URI does not begin with its base")?;
        let push = push.and_then(|push| Push::parse(push).ok());
        bound.spoken = push.map(|push| Spoken { push: Arc::new(push), dialects });
        (bound.listed, bound.mizutech, bound.refusals) = (listed, mizutech, refusals);
        Ok(bound)
    }
}

/// A Contact that is ours no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) uri: Secret,
    /// Wall time, in seconds since 1970, after which the server has forgotten it by itself.
    pub(crate) expires_at: u64,
    /// How many 200s still listed it after its removal was asked for.
    pub(crate) refusals: u8,
}

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
    /// Those who do not want to be disturbed, by name: for who reads this without a client. Each account's own record says what is
    /// done about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) quiet: Vec<Quieted>,
}

/// What the record [`REMOVALS`] holds.
#[derive(Default)]
pub(crate) struct StoredRemovals {
    pub(crate) pending: PendingRemovals,
    pub(crate) departed: VecDeque<Departed>,
    pub(crate) quiet: Vec<Quieted>,
}

/// A user who logged out: a late push for him is for nobody else. Nothing of this is secret.
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
    /// Reads the log-outs, the users who are gone and those who do not want to be disturbed. What of it cannot be read takes no
    /// other log-out with it.
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
        let pending =
            entries.map(|(key, removal)| AccountKey::parse(&key).zip(serde_json::from_str(removal.get()).ok()));
        let departed = departed.and_then(|departed| each_readable(departed).ok()).unwrap_or_default();
        let quiet = quiet.and_then(|quiet| each_readable(quiet).ok()).unwrap_or_default();
        Ok(StoredRemovals { pending: pending.collect(), departed, quiet })
    }

    /// Returns the record; `None` when there is nothing to remember.
    pub(crate) fn seal(&self) -> Option<Vec<u8>> {
        (!self.pending.is_empty() || !self.departed.is_empty() || !self.quiet.is_empty()).then(|| seal(self))
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

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is larger than any record we write.
    #[error("larger than any record")]
    TooLarge,
    /// It does not begin as our records do.
    #[error("not a record of sipwake")]
    Foreign,
    /// It was written by another version.
    #[error("written by another version")]
    OtherVersion,
    /// The checksum does not fit: torn, truncated or changed.
    #[error("the checksum does not fit")]
    Torn,
    /// The checksum fits but the content does not.
    #[error("the content cannot be read")]
    Unreadable,
}

fn checksum(body: &[u8]) -> [u8; 16] {
    hex(&Sha256::digest(body))
}

pub(crate) fn seal(value: &impl Serialize) -> Vec<u8> {
    let mut record = Vec::with_capacity(ROOM);
    for piece in ["sipwake ", VERSION, " 0123456789abcdef\n"] {
        record.extend_from_slice(piece.as_bytes());
    }
    let begin = record.len();
    write(&mut record, value);
    let sum = checksum(&record[begin..]);
    record[begin - 1 - sum.len()..begin - 1].copy_from_slice(&sum);
    record
}

/// Returns a record with its content changed, of the same length; one that cannot be read stays one that cannot be read.
#[cfg(feature = "replay")]
pub(crate) fn resealed(record: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let Ok(body) = body(record) else { return b"damaged".to_vec() };
    let mut changed = record.to_vec();
    let begin = record.len() - body.len();
    change(&mut changed[begin..]);
    let sum = checksum(&changed[begin..]);
    changed[begin - 1 - sum.len()..begin - 1].copy_from_slice(&sum);
    changed
}

/// Reads what was sealed.
pub(crate) fn open<T: DeserializeOwned>(record: &[u8]) -> Result<T, Damage> {
    read(body(record)?)
}

fn body(record: &[u8]) -> Result<&[u8], Damage> {
    if record.len() > MAX_RECORD {
        return Err(Damage::TooLarge);
    }
    let end = record.iter().position(|byte| *byte == b'\n').ok_or(Damage::Foreign)?;
    let (head, body) = (&record[..end], &record[end + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| Damage::Foreign)?;
    let mut words = head.split(' ');
    if words.next() != Some("sipwake") {
        return Err(Damage::Foreign);
    }
    if words.next() != Some(VERSION) {
        return Err(Damage::OtherVersion);
    }
    if words.next().map(str::as_bytes) != Some(&checksum(body)) || words.next().is_some() {
        return Err(Damage::Torn);
    }
    Ok(body)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Damage> {
    serde_json::from_slice(body).map_err(|_| Damage::Unreadable)
}

fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("records have text keys, and memory takes every byte");
}

/// Reads a list entry by entry: one that cannot be read takes no other with it.
pub(crate) fn each_readable<'de, D, T, C>(deserializer: D) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    C: FromIterator<T>,
{
    let entries = Vec::<&RawValue>::deserialize(deserializer)?;
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect())
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
    use proptest::prelude::*;

    use super::*;

    fn memory() -> Memory {
        Memory { realm: Some("asterisk".into()), ..Memory::fresh(&mut Random::new([1; 32])) }
    }

    #[test]
    fn what_is_sealed_can_be_opened() {
        assert_eq!(open::<Memory>(&seal(&memory())), Ok(memory()));
    }

    #[test]
    fn each_damage_has_its_name() {
        let good = seal(&memory());
        assert_eq!(open::<Memory>(&good[..good.len() - 1]), Err(Damage::Torn));
        assert_eq!(open::<Memory>(b""), Err(Damage::Foreign));
        assert_eq!(open::<Memory>(b"hello\nworld"), Err(Damage::Foreign));
        assert_eq!(open::<Memory>(b"sipwake 2 00\n{}"), Err(Damage::OtherVersion));
        assert_eq!(open::<Memory>(&seal(&"text".to_owned())), Err(Damage::Unreadable));
        assert_eq!(open::<Memory>(&vec![b'x'; MAX_RECORD + 1]), Err(Damage::TooLarge));
    }

    #[test]
    fn a_bound_contact_is_stored_with_its_base_and_read_if_it_begins_with_it() {
        let bound = Bound::new("sip:a@b", "sip:a@b;pn-prid=t", None, 7, Some("gw.example".into()));
        let memory = Memory { bound: bound.clone(), ..memory() };
        let record = seal(&memory);
        let stored = String::from_utf8(record.clone()).expect("JSON");
        let text = r#""bound":{"base":"sip:a@b","uri":"sip:a@b;pn-prid=t","token":null,"expires_at":7,"gateway":"gw.example"}"#;
        // What else a binding remembers comes after this, and may be missing.
        assert!(stored.contains(text.trim_end_matches('}')), "{stored}");
        let read = open::<Memory>(&record).expect("sound").bound.expect("bound");
        assert_eq!((read.base(), Some(&read)), ("sip:a@b", bound.as_ref()));
        let read = |text: &str| serde_json::from_str::<Bound>(text).ok();
        assert_eq!(read(&text[8..].replace("sip:a@b\"", "sip:c@d\"")), None);
        let old = read(&text[8..].replace(r#","gateway":"gw.example""#, ""));
        assert_eq!(old.expect("from before gateways were remembered").gateway, None);
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
        let StoredRemovals { pending, departed, quiet } = read;
        assert_eq!(pending.iter().flatten().map(|(of, _)| of).collect::<Vec<_>>(), [&key]);
        assert_eq!((pending.len(), departed.len()), (3, 1));
        assert_eq!(quiet, [Quieted { name: "carol@example.com".into(), until: 2, alone: false }]);
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

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unnoticed(bit in 0usize..8, at in any::<proptest::sample::Index>()) {
            let mut record = seal(&memory());
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert!(open::<Memory>(&record).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = open::<Memory>(&bytes);
        }
    }
}
