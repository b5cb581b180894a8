//! Matches pushes, INVITEs and cancels: one call, one UUID, one ringing, whichever comes first.
//!
//! `docs/calls.md` says what matches what, and why. `matching` follows it row by row.

mod matching;

use std::time::Duration;

use uuid::Uuid;

use super::judged::{Judged, MAX_ANNOUNCED};
use super::side::Side;
use crate::account::AccountKey;
use crate::clock::{NextTimeout, Timeout};
use crate::event::{CallTimes, Caller, Ended};
use crate::payload::{call_uuid, version_5};

/// The same limit for all accounts together.
const MAX_ANNOUNCED_OF_ALL: usize = 256;
/// How many calls pushes may announce in a minute, for one account. Otherwise anybody who learnt a token could keep a
/// phone busy.
const MAX_A_MINUTE: u32 = 64;
const MINUTE: Duration = Duration::from_secs(60);
/// How many calls may have their INVITE here at once.
const MAX_CALLS: usize = 128;
/// How many ended calls are remembered. Among the calls that only pushes named, the one that ended first is forgotten
/// first: anybody who learnt the token can send as many of these pushes as they like.
pub(crate) const MAX_TOMBSTONES: usize = 128;
/// How long an ended call is remembered. Pushes have come many minutes late.
pub(crate) const TOMBSTONE: Duration = Duration::from_secs(3600);
/// How long after its end a call can still get its missing half by its caller alone: the INVITE after the user refused
/// the call, or the push after its INVITE.
pub(super) const OWED: Duration = Duration::from_secs(40);
/// How long after the end of a call an INVITE with its Call-ID is a late branch of it. After that it is a hunt group
/// that calls again (ADR 13).
pub(super) const BRANCHES: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A push came. The INVITE has not come yet.
    Announced,
    /// The INVITE is here.
    Ringing,
    /// The user accepted it.
    Answered,
    Over(Ended),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) uuid: Uuid,
    pub(crate) account: Option<AccountKey>,
    pub(crate) state: State,
    /// The user answered. The app is asked for its session description when the INVITE is here.
    pub(crate) answer_wanted: bool,
    /// The caller that the app was last told of.
    pub(crate) caller: Option<Caller>,
    pub(crate) times: CallTimes,
    /// The status with which the app refused it. An INVITE that comes later gets the same.
    pub(crate) refusal: Option<u16>,
    /// What the push says, or the cancel that overtook it.
    push: Option<Side>,
    /// What the INVITE says.
    invite: Option<Side>,
    /// Boot time at which the INVITE came.
    invited_at: Duration,
    /// Boot time at which the call counts as missed or, once it is over, is forgotten.
    until: Duration,
    /// How long its INVITE is waited for.
    wait: Wait,
    ended_at: Duration,
    /// The call is up, and the server may wake the phone for a request inside it.
    pub(super) woken_inside: bool,
    /// Only a cancel push is known, which came before its call push. The app was never told of this call.
    overtaken: bool,
    /// No flow is left over which the server could cancel its INVITE.
    cut_off: bool,
}

/// How long the INVITE of an announced call is waited for (ADR 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Until the deadline in its push.
    Told,
    /// As long as this server usually takes, if that is known. `asked` is when the server was asked for the call.
    Usual { asked: Option<Duration> },
    /// The usual time of this server, which is shorter than the window. An INVITE that comes later still rings.
    Short,
}

/// How a push or an INVITE fits the known calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// It begins a new call.
    New(Uuid),
    /// It is the other half of a known call.
    Joined(Uuid),
    /// It is a duplicate.
    Repeated(Uuid),
    /// It belongs to a call that is over.
    Ghost(Uuid, Ended),
    /// There is no room for more.
    Full,
}

impl Entry {
    fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// What the INVITE says, then what the push says.
    pub(super) fn sides(&self) -> impl Iterator<Item = &Side> {
        self.invite.iter().chain(&self.push)
    }

    pub(super) fn invite(&self) -> Option<&Side> {
        self.invite.as_ref()
    }

    /// The INVITE of a call that is over and whose push never came. The push may still come.
    pub(super) fn owes_push(&self) -> Option<&Side> {
        self.invite.as_ref().filter(|_| self.is_over() && self.push.is_none())
    }

    /// Whether the call is over before its INVITE came, and a late INVITE must not ring.
    pub(super) fn awaits_invite(&self) -> bool {
        self.is_over() && self.invite.is_none() && !self.overtaken && self.wait != Wait::Short
    }

    /// The push of a call that the user refused before its INVITE came.
    pub(super) fn refused_push(&self) -> Option<&Side> {
        self.push.as_ref().filter(|_| self.is_over() && self.invite.is_none() && self.was_refused())
    }

    /// The status that late INVITEs get once the call is over.
    pub(super) fn status(&self) -> u16 {
        match self.state {
            _ if self.refusal.is_some() => self.refusal.unwrap_or_default(),
            State::Over(Ended::Declined | Ended::DeclinedElsewhere) => 603,
            State::Over(Ended::Cancelled | Ended::AnsweredElsewhere | Ended::HungUpByCaller | Ended::HungUp) => 487,
            _ => 480,
        }
    }

    /// Whether the user refused it, or the app did for them.
    fn was_refused(&self) -> bool {
        self.refusal.is_some() || matches!(self.state, State::Over(Ended::Declined))
    }

    /// How much is lost if it is forgotten. A lone cancel push is worth nothing. A call that a push announced and
    /// nobody refused is worth little.
    fn weight(&self) -> u8 {
        match (self.invite.is_some() || self.was_refused(), self.overtaken) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        }
    }

    /// Whether a cancel push ends it. After the user has answered, a cancel is late, or it is for the user's other
    /// devices. A call that no push announced is ended by its INVITE's CANCEL alone. Anybody who learnt the token can
    /// announce a call of any caller, and that caller's INVITE then joins it. So once the INVITE is here, the push's
    /// own id counts only where the server's CANCEL cannot come.
    fn may_be_cancelled(&self, cancel: &Side) -> bool {
        let knows_invite = || self.invite.as_ref().is_some_and(|invite| invite.shares_id(cancel));
        match self.state {
            State::Announced => true,
            State::Ringing => self.push.is_some() && (self.cut_off || knows_invite()),
            State::Answered | State::Over(_) => false,
        }
    }

    /// Boot time at which its INVITE came.
    pub(super) fn invited_at(&self) -> Duration {
        self.invited_at
    }
}

/// All calls of a client: announced, ringing, answered, or over for less than an hour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    /// For each account: the start of the current minute, and the calls that were announced in it.
    announced: Vec<(Option<AccountKey>, Duration, u32)>,
}

impl Table {
    /// A push announced a call. Its INVITE must come within `window`. `judged` is the UUID that the platform was told.
    pub(crate) fn announce(&mut self, push: &Side, judged: Option<Uuid>, window: Duration, now: Duration) -> Match {
        let known = match judged {
            Some(uuid) => self.entries.iter().position(|entry| entry.uuid == uuid),
            None => self.pushed(push, now),
        };
        if let Some(index) = known {
            let entry = &mut self.entries[index];
            let repeated = entry.push.is_some();
            entry.push.get_or_insert_with(|| push.clone());
            return match entry.state {
                State::Over(how) => Match::Ghost(entry.uuid, how),
                _ if repeated => Match::Repeated(entry.uuid),
                _ => Match::Joined(entry.uuid),
            };
        }
        if !self.has_room(push, now) {
            return Match::Full;
        }
        self.count(push.account.as_ref(), now);
        let uuid = judged.unwrap_or_else(|| self.next_uuid(push));
        self.begin(uuid, Some(push), None, State::Announced, now + window, now);
        Match::New(uuid)
    }

    /// An INVITE came. `judged` holds pushes that were judged as calls and have not arrived here yet: their UUIDs are
    /// in use.
    pub(crate) fn invite(&mut self, invite: &Side, judged: &[Judged], now: Duration) -> Match {
        let known = self.entries.len();
        for Judged { uuid, push, at } in judged {
            if now.saturating_sub(*at) >= OWED {
                continue;
            }
            match self.get_mut(*uuid) {
                Some(entry) => drop(entry.push.get_or_insert_with(|| push.clone())),
                None => self.begin(*uuid, Some(push), None, State::Announced, Duration::MAX, now),
            }
        }
        let found = self.invited(invite, now);
        let promised =
            found.and_then(|index| self.entries.get(index).filter(|_| index >= known)).map(|entry| entry.uuid);
        self.entries.truncate(known);
        if let Some(entry) = found.and_then(|index| self.entries.get_mut(index)) {
            let repeated = entry.invite.is_some();
            if !repeated {
                entry.invited_at = now;
                entry.invite = Some(invite.clone());
                entry.account.clone_from(&invite.account);
            }
            return match entry.state {
                State::Over(how) => Match::Ghost(entry.uuid, how),
                _ if repeated || entry.state == State::Answered => Match::Repeated(entry.uuid),
                _ => {
                    entry.state = State::Ringing;
                    Match::Joined(entry.uuid)
                }
            };
        }
        let ringing = |entry: &&Entry| matches!(entry.state, State::Ringing | State::Answered);
        if self.entries.iter().filter(ringing).count() >= MAX_CALLS {
            return Match::Full;
        }
        // A cancel that overtook its push has told the app nothing. The INVITE says that the call is alive.
        self.entries.retain(|entry| !(entry.overtaken && entry.shares_id(invite)));
        let uuid = promised.unwrap_or_else(|| self.next_uuid(invite));
        self.begin(uuid, None, Some(invite), State::Ringing, Duration::MAX, now);
        Match::New(uuid)
    }

    /// Notes the push that was missing when the call ended. The next push is for another call, or a duplicate.
    pub(crate) fn take_late_push(&mut self, uuid: Uuid, push: &Side) {
        if let Some(entry) = self.get_mut(uuid).filter(|entry| entry.is_over()) {
            entry.push.get_or_insert_with(|| push.clone());
        }
    }

    /// Whether this process knows the call of an INVITE: by an id if `by_id`, otherwise by anything.
    pub(crate) fn knows(&self, invite: &Side, by_id: bool, now: Duration) -> bool {
        self.entries.iter().any(|entry| entry.shares_id(invite)) || (!by_id && self.invited(invite, now).is_some())
    }

    /// A cancel came by push. Returns the call that it ends, if that call is announced or ringing.
    ///
    /// The cancel of an unknown call leaves a tombstone, because the call's own push may come later.
    pub(crate) fn cancel(&mut self, cancel: &Side, now: Duration) -> Option<Uuid> {
        match self.cancelled(cancel) {
            Some(index) => {
                let entry = &self.entries[index];
                entry.may_be_cancelled(cancel).then_some(entry.uuid)
            }
            None if cancel.has_id() => {
                let uuid = self.next_uuid(cancel);
                self.begin(uuid, Some(cancel), None, State::Announced, Duration::MAX, now);
                self.end(uuid, Ended::Cancelled, now);
                if let Some(entry) = self.get_mut(uuid) {
                    entry.overtaken = true;
                }
                None
            }
            None => None,
        }
    }

    /// Ends a call. Returns `false` if it is unknown or has already ended, so that the app gets one event for the end.
    pub(crate) fn end(&mut self, uuid: Uuid, how: Ended, now: Duration) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.uuid == uuid) else { return false };
        if entry.is_over() {
            return false;
        }
        entry.state = State::Over(how);
        entry.until = now + TOMBSTONE;
        entry.ended_at = now;
        let tombstones = || self.entries.iter().enumerate().filter(|(_, entry)| matches!(entry.state, State::Over(_)));
        if tombstones().count() > MAX_TOMBSTONES
            && let Some((oldest, _)) = tombstones().min_by_key(|(_, entry)| (entry.weight(), entry.ended_at))
        {
            self.entries.remove(oldest);
        }
        true
    }

    /// An announced call that may not exist. Its push came during the call `during`, was for the same account or for
    /// any, and named no id and no caller. It may have been a wake-up for a request inside that call.
    pub(crate) fn perhaps_none(&self, during: Uuid) -> Option<Uuid> {
        let call = self.get(during)?;
        let nothing = |entry: &&Entry| {
            entry.state == State::Announced
                && entry.push.as_ref().is_some_and(|push| {
                    !push.has_id() && !push.names_caller() && push.may_be_for(call.account.as_ref())
                })
                && entry.times.announced.is_some_and(|announced| announced.boot > call.invited_at)
        };
        self.entries.iter().find(nothing).map(|entry| entry.uuid)
    }

    /// The call with this UUID, unless it is over.
    pub(crate) fn live_mut(&mut self, uuid: Uuid) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.uuid == uuid && !matches!(entry.state, State::Over(_)))
    }

    pub(crate) fn get_mut(&mut self, uuid: Uuid) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.uuid == uuid)
    }

    pub(crate) fn get(&self, uuid: Uuid) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.uuid == uuid)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_over())
    }

    /// The push of this call gave no time. The call is waited for as long as this server usually takes.
    pub(crate) fn expect_as_usual(&mut self, uuid: Uuid) {
        if let Some(entry) = self.live_mut(uuid) {
            entry.wait = Wait::Usual { asked: None };
        }
    }

    /// Shortens the wait for announced calls once the server was asked for their INVITEs. `asked` takes an account and
    /// a boot time. It returns when the server was asked after that time, and how long it usually takes.
    pub(crate) fn shorten(&mut self, asked: impl Fn(&AccountKey, Duration) -> Option<(Duration, Option<Duration>)>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state == State::Announced) {
            let (Wait::Usual { asked: None }, Some(account)) = (entry.wait, &entry.account) else { continue };
            let since = entry.times.announced.map_or(Duration::MAX, |announced| announced.boot);
            let Some((at, usual)) = asked(account, since) else { continue };
            entry.wait = Wait::Usual { asked: Some(at) };
            if let Some(until) = usual.map(|usual| at + usual).filter(|until| *until < entry.until) {
                (entry.until, entry.wait) = (until, Wait::Short);
            }
        }
    }

    /// How long the INVITE of an announced call took after the server was asked for it: zero if it came before. `None`
    /// where this says nothing about the server.
    pub(crate) fn took(&self, uuid: Uuid) -> Option<Duration> {
        let entry = self.get(uuid)?;
        entry.push.as_ref()?;
        match entry.wait {
            Wait::Usual { asked } => Some(asked.map_or(Duration::ZERO, |at| entry.invited_at.saturating_sub(at))),
            Wait::Told | Wait::Short => None,
        }
    }

    /// Whether the wait for a call was shorter than its window.
    pub(crate) fn was_cut_short(&self, uuid: Uuid) -> bool {
        self.get(uuid).is_some_and(|entry| entry.wait == Wait::Short)
    }

    /// Returns which call a push would meet, and changes nothing.
    pub(crate) fn peek(&self, push: &Side, now: Duration) -> Option<(Uuid, State)> {
        self.pushed(push, now).map(|index| (self.entries[index].uuid, self.entries[index].state))
    }

    /// Returns which call a cancel would meet and whether it would end it, and changes nothing.
    pub(crate) fn peek_cancel(&self, cancel: &Side) -> Option<(Uuid, State, bool)> {
        let entry = &self.entries[self.cancelled(cancel)?];
        Some((entry.uuid, entry.state, entry.may_be_cancelled(cancel)))
    }

    /// Whether a cancel names no call that a push announced, neither a current one nor one that is over.
    pub(crate) fn is_stray(&self, cancel: &Side) -> bool {
        self.cancelled(cancel).is_none_or(|index| {
            let entry = &self.entries[index];
            entry.state == State::Ringing && !entry.may_be_cancelled(cancel)
        })
    }

    /// Notes which of the ringing calls the server can no longer cancel, because no flow is left for it.
    pub(crate) fn note_ways(&mut self, reached: &[Uuid]) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state == State::Ringing) {
            entry.cut_off = !reached.contains(&entry.uuid);
        }
    }

    /// Whether a push for this account may announce another call. INVITEs have a limit of their own.
    pub(crate) fn has_room(&self, push: &Side, now: Duration) -> bool {
        let account = push.account.as_ref();
        let announced = || self.entries.iter().filter(|entry| entry.state == State::Announced);
        let lately = self
            .announced
            .iter()
            .find(|(known, since, _)| known.as_ref() == account && now.saturating_sub(*since) < MINUTE);
        lately.is_none_or(|(_, _, count)| *count < MAX_A_MINUTE)
            && announced().filter(|entry| entry.account.as_ref() == account).count() < MAX_ANNOUNCED
            && announced().count() < MAX_ANNOUNCED_OF_ALL
    }

    fn count(&mut self, account: Option<&AccountKey>, now: Duration) {
        self.announced.retain(|(_, since, _)| now.saturating_sub(*since) < MINUTE);
        match self.announced.iter_mut().find(|(known, ..)| known.as_ref() == account) {
            Some((_, _, count)) => *count += 1,
            None => self.announced.push((account.cloned(), now, 1)),
        }
    }

    /// Whether push and INVITE of a call name callers with different numbers.
    pub(crate) fn contradicts(&self, uuid: Uuid) -> bool {
        let sides = self.get(uuid).and_then(|entry| entry.push.as_ref().zip(entry.invite.as_ref()));
        sides.is_some_and(|(push, invite)| push.contradicts(invite))
    }

    pub(crate) fn timeout(&self) -> Option<Timeout> {
        let mut soonest = NextTimeout::default();
        for entry in self.entries.iter().filter(|entry| entry.state == State::Announced) {
            soonest.add_at(Some(entry.until), "announced call's deadline");
        }
        soonest.0
    }

    /// Ends the announced calls whose INVITE never came, and forgets old tombstones.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<Uuid> {
        self.entries.retain(|entry| !matches!(entry.state, State::Over(_)) || entry.until > now);
        let overdue = |entry: &&Entry| entry.state == State::Announced && entry.until <= now;
        let missed: Vec<Uuid> = self.entries.iter().filter(overdue).map(|entry| entry.uuid).collect();
        for uuid in &missed {
            self.end(*uuid, Ended::Missed, now);
        }
        missed
    }

    fn begin(
        &mut self,
        uuid: Uuid,
        push: Option<&Side>,
        invite: Option<&Side>,
        state: State,
        until: Duration,
        now: Duration,
    ) {
        self.entries.push(Entry {
            uuid,
            account: invite.or(push).and_then(|side| side.account.clone()),
            state,
            answer_wanted: false,
            caller: None,
            times: CallTimes::default(),
            refusal: None,
            push: push.cloned(),
            invite: invite.cloned(),
            invited_at: now,
            until,
            wait: Wait::Told,
            ended_at: Duration::ZERO,
            woken_inside: false,
            overtaken: false,
            cut_off: false,
        });
    }

    /// The UUID of a new call. If a caller without any id calls again, the UUID of their last call is taken.
    pub(crate) fn next_uuid(&self, side: &Side) -> Uuid {
        let mut uuid = call_uuid(&side.identity);
        while self.get(uuid).is_some() {
            uuid = version_5(uuid, [b"again"]);
        }
        uuid
    }
}

#[cfg(test)]
mod tests;
