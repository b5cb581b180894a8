//! The black box: what was decided, in codes and numbers alone, so that it can be sent unread.
//!
//! Decisions stand in a ring, the oldest go first. Those of the last wakes are kept apart and survive the process, since what
//! fails is usually a process that was killed. What names an account or a call here is a hash under a key that no other device has
//! and that is not told; a `Fact` is a number that was measured or a word of a fixed list. So no person's name,
//! number, token or address can get in.

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

/// Bytes of all decisions, at most.
const ROOM: u16 = 32 * 1024;
/// Bytes of the decisions of the last wakes, at most: these survive the process.
const ROOM_OF_WAKES: u16 = 8 * 1024;
/// How many milliseconds after a push what is decided belongs to its wake.
const WAKE: u64 = 120_000;
/// Accounts and flows that are told from each other.
const MAX_KNOWN: usize = 64;
/// A wall clock that moves by so many milliseconds against the boot time was corrected, not set.
const CLOCK_SET: u64 = 2_000;

/// What is written down, and the numbers that follow from it.
pub(crate) struct Recorder {
    key: [u8; 16],
    /// Boot and wall time, in milliseconds: most phones are idle, and this is with them all day.
    boot: u64,
    wall: u64,
    /// Boot time at which this process was first told the time.
    started: Option<NonZeroU64>,
    /// How many milliseconds after that it was first registered.
    ready_after: Option<u32>,
    all: Ring,
    /// `None` until there was a wake: most of an idle phone's life.
    wakes: Option<Box<Ring>>,
    /// Boot time until which what is decided belongs to a wake.
    awake_until: u64,
    /// The hashes of accounts: most phones have one, which takes no room of its own.
    first_account: u32,
    more_accounts: Vec<u32>,
    /// The account that was named last, and its place among them.
    named: Option<(AccountKey, u8)>,
    /// Something of a wake is not stored yet.
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
    /// `key` makes the hashes: nobody else has it.
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

    /// What an earlier process kept of its last wakes.
    pub(crate) fn restore(&mut self, record: &[u8]) -> Result<(), Damage> {
        let Stored { key, mut accounts, wakes, counters } = open(record)?;
        accounts.retain(|id| *id != 0);
        accounts.truncate(MAX_KNOWN);
        let before = accounts.len();
        let key = unhex(&key).filter(|key| key.len() == self.key.len()).ok_or(Damage::Foreign)?;
        // What this process wrote before the record could be read goes behind it; hashes under another key stay as they are.
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

    /// Returns what is to survive the process, if that has changed since it was last asked for.
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

    /// It is now so late.
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

    /// Writes a decision down.
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

    /// Writes down what a push was judged to be. `nobody` is logged in at all; it names somebody who is `unknown`.
    pub(crate) fn push(&mut self, action: &PushAction, account: Option<&AccountKey>, nobody: bool, unknown: bool) {
        let call =
            (action.is_call() || action.kind == ActionKind::Cancel || action.must_be_reported()).then_some(action.uuid);
        let (asks, silence, told) = ((&action.kind).into(), Silence::of(action, nobody), action.duty.into());
        self.write(account, call, Decision::PushJudged { asks, silence, told });
        let age = Seconds(action.age.gone());
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

    /// Writes down the decision that an event tells the app of.
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

    /// What this process and those before it counted.
    fn counters(&self) -> Counters {
        let mut counters = self.counters.as_deref().cloned().unwrap_or_default();
        if let Some(after) = self.ready_after {
            counters.registered(after.into());
        }
        counters
    }

    /// Everything that is written down, the oldest first.
    fn entries(&self) -> Vec<Entry> {
        let all: Vec<Entry> = self.all.entries().collect();
        let oldest = all.first().map_or(u64::MAX, |entry| entry.at);
        let of_wakes = self.wakes.iter().flat_map(|wakes| wakes.entries());
        // Those of earlier wakes outlive many other decisions.
        let mut entries: Vec<Entry> = of_wakes.take_while(|entry| entry.at < oldest).collect();
        entries.extend(all);
        entries
    }

    /// The place of an account's hash, from 1 on.
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

    /// Returns what stands for an account in a report.
    pub(crate) fn id(&self, key: &AccountKey) -> Id {
        Id(self.hash(b"account", key.as_str().as_bytes()))
    }

    fn hash(&self, kind: &[u8], of: &[u8]) -> u32 {
        let digest = Sha256::new().chain_update(self.key).chain_update(kind).chain_update(of).finalize();
        // 0 stands for nobody.
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
