//! The black box: decisions as codes and numbers only, so that a user can send it without reading it.
//!
//! Decisions are in a ring, and the oldest are dropped first. Those of the last wakes are kept apart and survive the
//! process, because a wake usually fails when the process is killed. An account or a call is named by a hash. Its key
//! is on no other device and is never sent. A `Fact` is a measured number or a word of a fixed list. So no name of a
//! person, phone number, token or address can get in.

mod counters;
mod decision;
mod report;
mod ring;
pub(crate) mod words;

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::counters::{Counters, Span};
pub(crate) use self::decision::Decision;
pub use self::decision::{CODES, Code};
pub use self::report::{
    AccountState, Id, Network, Noted, Obstacle, Platform, Priority, Report, ReportError, StandbyBucket, Value, Version,
};
use self::ring::{Entry, Ring};
pub use self::words::Kind;
use crate::account::AccountKey;
use crate::clock::Now;
use crate::event::{CallChange, Ended, Event};
use crate::payload::{ActionKind, Problem, PushAction};
use crate::snapshot::{Damage, open, seal};
use words::{Count, Seconds, Silence, Status, YesNo};

/// The most bytes for all decisions.
const ROOM: u16 = 32 * 1024;
/// The most bytes for the decisions of the last wakes, which survive the process.
const ROOM_OF_WAKES: u16 = 8 * 1024;
/// How long after a push a decision belongs to its wake, in milliseconds.
const WAKE: u64 = 120_000;
/// How many accounts and flows are told apart.
const MAX_KNOWN: usize = 64;
/// How far the wall clock may move against the boot time, in milliseconds. That is a correction. More means that it was
/// set.
const CLOCK_SET: u64 = 2_000;

/// The decisions, and the counters that follow from them.
pub(crate) struct Recorder {
    key: [u8; 16],
    /// Boot and wall time in milliseconds. Most phones are idle and hold this all day, so it is small.
    boot: u64,
    wall: u64,
    /// Boot time of the first input of this process.
    started: Option<NonZeroU64>,
    /// How many milliseconds after that the first registration came.
    ready_after: Option<u32>,
    all: Ring,
    /// `None` until there is a wake. That is most of the time on an idle phone.
    wakes: Option<Box<Ring>>,
    /// Boot time until which decisions belong to a wake.
    awake_until: u64,
    /// The hashes of accounts. Most phones have one account, and it needs no room in the `Vec`.
    first_account: u32,
    more_accounts: Vec<u32>,
    /// The account that was named last, and its place in the list.
    named: Option<(AccountKey, u8)>,
    /// Something about a wake is not stored yet.
    unsaved: bool,
    counters: Option<Box<Counters>>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    accounts: Vec<u32>,
    wakes: Ring,
    counters: Counters,
}

impl Recorder {
    /// Only this process has `key`. The hashes are made with it.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self {
            key,
            boot: 0,
            wall: 0,
            started: None,
            ready_after: None,
            all: Ring::new(ROOM),
            wakes: None,
            awake_until: 0,
            first_account: 0,
            more_accounts: Vec::new(),
            named: None,
            unsaved: false,
            counters: None,
        }
    }

    /// Takes over the last wakes of an earlier process.
    pub(crate) fn restore(&mut self, record: &[u8]) -> Result<(), Damage> {
        let Stored { key, mut accounts, wakes, counters } = open(record)?;
        accounts.retain(|id| *id != 0);
        accounts.truncate(MAX_KNOWN);
        let before = accounts.len();
        let key = unhex(&key).filter(|key| key.len() == self.key.len()).ok_or(Damage::Foreign)?;
        // The decisions that this process wrote before it could read the record follow the stored ones. Hashes under
        // another key stay as they are.
        let mine = std::mem::replace(&mut self.all, Ring::new(ROOM));
        let mine_before: Vec<u32> = self.accounts().collect();
        if mine_before.is_empty() {
            self.key.copy_from_slice(&key);
        }
        let mut known = accounts.into_iter().chain(mine_before).filter(|id| *id != 0);
        let shift = u8::try_from(before).unwrap_or(u8::MAX);
        self.named = None;
        self.first_account = known.next().unwrap_or(0);
        self.more_accounts = known.take(MAX_KNOWN).collect();
        for entry in wakes.entries() {
            self.all.push(entry);
        }
        let mine_of_wakes = self.wakes.replace(Box::new(wakes.within(ROOM_OF_WAKES)));
        for entry in mine.entries() {
            self.all.push(entry.of_account_after(shift));
        }
        for entry in mine_of_wakes.iter().flat_map(|mine| mine.entries()) {
            self.wakes().push(entry.of_account_after(shift));
        }
        self.counters.get_or_insert_default().add(&counters);
        Ok(())
    }

    /// Returns the record to store, if it has changed since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        Some(seal(&Stored {
            key: hex(&self.key),
            accounts: self.accounts().collect(),
            wakes: self.wakes.as_deref().cloned().unwrap_or_else(|| Ring::new(ROOM_OF_WAKES)),
            counters: self.counters(),
        }))
    }

    /// Sets the current time.
    pub(crate) fn at(&mut self, now: Now) {
        let (boot, wall) = (millis(now.boot), millis(now.wall));
        let ahead = |boot: u64, wall: u64| wall.wrapping_sub(boot).cast_signed();
        let set = ahead(boot, wall).saturating_sub(ahead(self.boot, self.wall));
        (self.boot, self.wall) = (boot, wall);
        if self.started.is_none() {
            self.started = NonZeroU64::new(boot.max(1));
            return self.write(None, None, Decision::Started {});
        }
        if set.unsigned_abs() > CLOCK_SET {
            let by = Seconds(Duration::from_millis(set.unsigned_abs()));
            self.write(None, None, Decision::ClockSet { by, back: YesNo::from(set < 0) });
        }
    }

    /// Records a decision.
    pub(crate) fn write(&mut self, account: Option<&AccountKey>, call: Option<Uuid>, decision: Decision) {
        let account = account.map_or(0, |key| self.account(key));
        let call = call.map_or(0, |uuid| self.hash(b"call", uuid.as_bytes()));
        let begins = matches!(decision, Decision::PushJudged { .. });
        if begins {
            self.awake_until = self.boot.saturating_add(WAKE);
        }
        let (code, count, facts) = decision.parts();
        let entry = Entry { at: self.wall, code, account, call, count, facts, times: 1 };
        self.all.push(entry);
        if call != 0 || self.boot < self.awake_until {
            self.wakes().push(entry);
            self.unsaved = true;
        }
        if matches!(decision, Decision::Registered { .. }) && self.ready_after.is_none() {
            let after = self.started.map(|started| self.boot.saturating_sub(started.get()));
            self.ready_after = after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        }
        if begins || self.counters.is_some() {
            self.counters.get_or_insert_default().count(&decision, self.boot);
        }
    }

    /// Records how a push was judged. `nobody` means that nobody is logged in. `unknown` means that the push names an
    /// unknown user.
    pub(crate) fn push(&mut self, action: &PushAction, account: Option<&AccountKey>, nobody: bool, unknown: bool) {
        let call =
            (action.is_call() || action.kind == ActionKind::Cancel || action.must_be_reported()).then_some(action.uuid);
        let (asks, silence, told) = ((&action.kind).into(), Silence::of(action, nobody), action.duty.into());
        self.write(account, call, Decision::PushJudged { asks, silence, told });
        let age = Seconds(action.age.elapsed());
        if age.0 >= Duration::from_secs(1) || action.downgraded {
            self.write(account, call, Decision::PushDelivered { age, downgraded: action.downgraded.into() });
        }
        if unknown && !nobody {
            self.write(account, call, Decision::PushForNobodyKnown {});
        }
        if let Some(Problem::Unopened(why)) = action.problem {
            self.write(account, call, Decision::PushUnopened { why: why.into() });
        }
    }

    /// Records the decision behind an event for the app.
    pub(crate) fn event(&mut self, event: &Event) {
        let (account, decision) = match event {
            Event::Registered { account, registered } => {
                if registered.suspicious_server {
                    self.write(Some(account), None, Decision::Suspicious {});
                }
                let push = registered.verdict.standing.into();
                (Some(account), Decision::Registered { lifetime: Seconds(registered.expires), push })
            }
            Event::RegistrationFailed { account, failure, retry_in } => {
                (Some(account), Decision::failed(failure, *retry_in))
            }
            Event::RegisterDelayed { account, wait } => {
                (Some(account), Decision::RegisterDelayed { wait: Seconds(*wait) })
            }
            Event::LoggedOut { account, removed, .. } => {
                (Some(account), Decision::LoggedOut { removed: (*removed).into() })
            }
            Event::Warning { account, warning } => (Some(account), Decision::NotTrusted { what: warning.into() }),
            Event::StoreFailed { .. } => (None, Decision::StoreFailed {}),
            Event::Durable => (None, Decision::Durable {}),
            Event::Discarded { reason, count } => {
                let times = Count(u16::try_from(*count).unwrap_or(u16::MAX));
                (None, Decision::Dropped { what: (*reason).into(), times })
            }
            Event::Call(call) => {
                let decision = match &call.change {
                    CallChange::Ringing { .. } => Decision::Ringing {},
                    CallChange::AnswerWanted { .. } => Decision::AnswerWanted {},
                    CallChange::Connected { .. } => Decision::Connected {},
                    CallChange::Ended(how) => {
                        let status = Status(if let Ended::Failed(code) = how { *code } else { 0 });
                        Decision::CallEnded { how: (*how).into(), status }
                    }
                    _ => return,
                };
                return self.write(call.account.as_ref(), Some(call.uuid), decision);
            }
            _ => return,
        };
        self.write(account, None, decision);
    }

    fn wakes(&mut self) -> &mut Ring {
        self.wakes.get_or_insert_with(|| Box::new(Ring::new(ROOM_OF_WAKES)))
    }

    /// The counts of this process and of those before it.
    fn counters(&self) -> Counters {
        let mut counters = self.counters.as_deref().cloned().unwrap_or_default();
        if let Some(after) = self.ready_after {
            counters.registered(after.into());
        }
        counters
    }

    /// All recorded decisions, oldest first.
    fn entries(&self) -> Vec<Entry> {
        let all: Vec<Entry> = self.all.entries().collect();
        let oldest = all.first().map_or(u64::MAX, |entry| entry.at);
        let of_wakes = self.wakes.iter().flat_map(|wakes| wakes.entries());
        // The decisions of earlier wakes are kept longer than others.
        let mut entries: Vec<Entry> = of_wakes.take_while(|entry| entry.at < oldest).collect();
        entries.extend(all);
        entries
    }

    /// The place of an account's hash, counted from 1.
    fn account(&mut self, key: &AccountKey) -> u8 {
        if let Some((_, place)) = self.named.as_ref().filter(|(named, _)| named == key) {
            return *place;
        }
        let Id(id) = self.id(key);
        let known = self.accounts().position(|known| known == id);
        let place = known.unwrap_or_else(|| self.accounts().count());
        if known.is_none() {
            match (self.first_account, self.more_accounts.len()) {
                (0, _) => self.first_account = id,
                (_, MAX_KNOWN..) => return 0,
                _ => self.more_accounts.push(id),
            }
        }
        let place = u8::try_from(place + 1).unwrap_or(0);
        self.named = Some((key.clone(), place));
        place
    }

    fn accounts(&self) -> impl Iterator<Item = u32> {
        [self.first_account].into_iter().filter(|id| *id != 0).chain(self.more_accounts.iter().copied())
    }

    /// Returns the id that names an account in a report.
    pub(crate) fn id(&self, key: &AccountKey) -> Id {
        Id(self.hash(b"account", key.as_str().as_bytes()))
    }

    fn hash(&self, kind: &[u8], of: &[u8]) -> u32 {
        let digest = Sha256::new().chain_update(self.key).chain_update(kind).chain_update(of).finalize();
        // 0 means that there is no account or call.
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
