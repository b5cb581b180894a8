//! Pushes, INVITEs and cancels brought together: one call, one UUID, one ring, whichever comes first.
//!
//! What meets what, and why, is in `docs/calls.md`; `matching` follows it row by row.

mod matching;

use std::time::Duration;

use uuid::Uuid;

use super::judged::{Judged, MAX_ANNOUNCED};
use super::side::Side;
use crate::account::AccountKey;
use crate::clock::{Soonest, Timeout};
use crate::event::{CallTimes, Caller, Ended};
use crate::payload::call_uuid;

/// The same for all accounts together.
const MAX_ANNOUNCED_OF_ALL: usize = 256;
/// Calls that pushes may announce in a minute, for one account: anybody who learnt a token must not keep a phone busy.
const MAX_A_MINUTE: u32 = 64;
const MINUTE: Duration = Duration::from_secs(60);
/// Calls at once whose INVITE is here.
const MAX_CALLS: usize = 128;
/// Ended calls remembered. Among calls that only pushes named, the one that ended first goes first: anybody who learnt
/// the token can send as many of these as they like.
pub(crate) const MAX_TOMBSTONES: usize = 128;
/// How long an ended call is remembered: pushes have been seen to come many minutes late.
pub(crate) const TOMBSTONE: Duration = Duration::from_secs(3600);
/// How long a call that is over can still be matched, by its caller alone, with the half that is missing: the INVITE
/// after the user refused it, or the push after its INVITE.
pub(super) const OWED: Duration = Duration::from_secs(40);
/// How long an INVITE with the Call-ID of a call that is over is a late branch of it, and not a hunt group that comes round
/// again (ADR 13).
pub(super) const BRANCHES: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A push came, the INVITE not yet.
    Announced,
    /// The INVITE is here.
    Ringing,
    /// It was accepted.
    Answered,
    Over(Ended),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) uuid: Uuid,
    pub(crate) account: Option<AccountKey>,
    pub(crate) state: State,
    /// The user answered; carried out when it can be.
    pub(crate) answer_wanted: bool,
    /// The caller as it was last told.
    pub(crate) caller: Option<Caller>,
    pub(crate) times: CallTimes,
    /// The status that the app refused it with: an INVITE that comes later hears the same.
    pub(crate) refusal: Option<u16>,
    /// What the push told, or the cancel that overtook it.
    push: Option<Side>,
    /// What the INVITE tells.
    invite: Option<Side>,
    /// Boot time at which the INVITE came.
    invited_at: Duration,
    /// Boot time at which it is missed, or forgotten.
    until: Duration,
    /// How it is waited for.
    wait: Wait,
    ended_at: Duration,
    /// It is up, and the server may wake the phone for a request inside it.
    pub(super) woken_inside: bool,
    /// Known by a cancel push alone, which came first: nobody has heard of this call.
    overtaken: bool,
    /// No flow is left on which the server could take its INVITE back.
    cut_off: bool,
}

/// How the INVITE of an announced call is waited for (ADR 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Until the deadline that its push told.
    Told,
    /// As long as the server usually takes, if that is known; since when, once the server was asked for it.
    Usual { asked: Option<Duration> },
    /// That was cut short: an INVITE that comes after all rings.
    Short,
}

/// What a push or an INVITE turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A call not known before.
    New(Uuid),
    /// The other half of a known call.
    Joined(Uuid),
    /// The same again.
    Repeated(Uuid),
    /// Of a call that is over.
    Ghost(Uuid, Ended),
    /// There is no room for more.
    Full,
}

impl Entry {
    fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// What is known of it, the INVITE's word first.
    pub(super) fn sides(&self) -> impl Iterator<Item = &Side> {
        self.invite.iter().chain(&self.push)
    }

    pub(super) fn invite(&self) -> Option<&Side> {
        self.invite.as_ref()
    }

    /// The INVITE, if it came alone and its push may still come, late.
    pub(super) fn owes_push(&self) -> Option<&Side> {
        self.invite.as_ref().filter(|_| self.is_over() && self.push.is_none())
    }

    /// Whether it is over, and an INVITE of it that comes after all does not ring.
    pub(super) fn awaits_invite(&self) -> bool {
        self.is_over() && self.invite.is_none() && !self.overtaken && self.wait != Wait::Short
    }

    /// The push, if the user refused the call before its INVITE came.
    pub(super) fn refused_push(&self) -> Option<&Side> {
        self.push.as_ref().filter(|_| self.is_over() && self.invite.is_none() && self.was_refused())
    }

    /// The status that its INVITEs hear once it is over.
    pub(super) fn status(&self) -> u16 {
        match self.state {
            _ if self.refusal.is_some() => self.refusal.unwrap_or_default(),
            State::Over(Ended::Declined | Ended::DeclinedElsewhere) => 603,
            State::Over(Ended::Cancelled | Ended::AnsweredElsewhere | Ended::HungUpByCaller | Ended::HungUp) => 487,
            _ => 480,
        }
    }

    /// Whether the user, or the app in the user's place, refused it.
    fn was_refused(&self) -> bool {
        self.refusal.is_some() || matches!(self.state, State::Over(Ended::Declined))
    }

    /// How much is lost if it is forgotten: nothing by which a cancel push came first, little by what a push announced and nobody
    /// refused.
    fn weight(&self) -> u8 {
        match (self.invite.is_some() || self.was_refused(), self.overtaken) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        }
    }

    /// Whether a cancel push ends it. That of a call that the user has answered is late, or means the user's other
    /// devices; and a call that no push announced is its INVITE's alone. Anybody who learnt the token can announce a
    /// call of any caller, whose INVITE then joins it: from there on the push's own id counts only where the server's
    /// CANCEL cannot come.
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

/// All calls of a client that are announced, ringing, or not long over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    /// For each account, since when how many calls were announced.
    announced: Vec<(Option<AccountKey>, Duration, u32)>,
}

impl Table {
    /// A push announced a call; its INVITE must come within `window`. `judged` is the UUID that the platform was told.
    pub(crate) fn announce(&mut self, push: &Side, judged: Option<Uuid>, window: Duration, now: Duration) -> Arrival {
        let known = match judged {
            Some(uuid) => self.entries.iter().position(|entry| entry.uuid == uuid),
            None => self.pushed(push, now),
        };
        if let Some(index) = known {
            let entry = &mut self.entries[index];
            let repeated = entry.push.is_some();
            entry.push.get_or_insert_with(|| push.clone());
            return match entry.state {
                State::Over(how) => Arrival::Ghost(entry.uuid, how),
                _ if repeated => Arrival::Repeated(entry.uuid),
                _ => Arrival::Joined(entry.uuid),
            };
        }
        if !self.has_room(push, now) {
            return Arrival::Full;
        }
        self.count(push.account.as_ref(), now);
        let uuid = judged.unwrap_or_else(|| self.next_uuid(push));
        self.begin(uuid, Some(push), None, State::Announced, now + window, now);
        Arrival::New(uuid)
    }

    /// An INVITE came. What was judged to be a call, and is not here yet, has its name already.
    pub(crate) fn invite(&mut self, invite: &Side, judged: &[Judged], now: Duration) -> Arrival {
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
                State::Over(how) => Arrival::Ghost(entry.uuid, how),
                _ if repeated || entry.state == State::Answered => Arrival::Repeated(entry.uuid),
                _ => {
                    entry.state = State::Ringing;
                    Arrival::Joined(entry.uuid)
                }
            };
        }
        let ringing = |entry: &&Entry| matches!(entry.state, State::Ringing | State::Answered);
        if self.entries.iter().filter(ringing).count() >= MAX_CALLS {
            return Arrival::Full;
        }
        // A cancel that overtook its push has made no sound yet: the INVITE says that the call lives.
        self.entries.retain(|entry| !(entry.overtaken && entry.shares_id(invite)));
        let uuid = promised.unwrap_or_else(|| self.next_uuid(invite));
        self.begin(uuid, None, Some(invite), State::Ringing, Duration::MAX, now);
        Arrival::New(uuid)
    }

    /// The push came that was still missing when the call ended: the next one is for another call, or the same again.
    pub(crate) fn take_late_push(&mut self, uuid: Uuid, push: &Side) {
        if let Some(entry) = self.get_mut(uuid).filter(|entry| entry.is_over()) {
            entry.push.get_or_insert_with(|| push.clone());
        }
    }

    /// Whether an INVITE is of a call that this process knows; by an id alone, or in any way.
    pub(crate) fn knows(&self, invite: &Side, by_id: bool, now: Duration) -> bool {
        self.entries.iter().any(|entry| entry.shares_id(invite)) || (!by_id && self.invited(invite, now).is_some())
    }

    /// A cancel came by push. Returns the call that it ends, if that is announced or ringing.
    ///
    /// The cancel of a call not known leaves a tombstone: its other push may come later.
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

    /// Ends a call. Returns `false` if it is not known or over already: an end is told once.
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

    /// The announced call that may be none: its push came during the call of this name, for its account or any, and told nothing.
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

    /// The live call of this name.
    pub(crate) fn live_mut(&mut self, uuid: Uuid) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.uuid == uuid && !matches!(entry.state, State::Over(_)))
    }

    pub(crate) fn get_mut(&mut self, uuid: Uuid) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.uuid == uuid)
    }

    pub(crate) fn get(&self, uuid: Uuid) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.uuid == uuid)
    }

    /// The calls that are not over.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_over())
    }

    /// A call whose push told nothing of its time is waited for as long as this server usually takes.
    pub(crate) fn expect_as_usual(&mut self, uuid: Uuid) {
        if let Some(entry) = self.live_mut(uuid) {
            entry.wait = Wait::Usual { asked: None };
        }
    }

    /// Looks when the server was asked for the INVITEs that are waited for; `asked` tells it of an account, with what is usual
    /// there, since a moment in boot time.
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

    /// How long after the server was asked the INVITE of an announced call came: nothing, if it came before. `None` where
    /// that says nothing of the server's habit.
    pub(crate) fn took(&self, uuid: Uuid) -> Option<Duration> {
        let entry = self.get(uuid)?;
        entry.push.as_ref()?;
        match entry.wait {
            Wait::Usual { asked } => Some(asked.map_or(Duration::ZERO, |at| entry.invited_at.saturating_sub(at))),
            Wait::Told | Wait::Short => None,
        }
    }

    /// Whether a call was not waited for to its end.
    pub(crate) fn was_cut_short(&self, uuid: Uuid) -> bool {
        self.get(uuid).is_some_and(|entry| entry.wait == Wait::Short)
    }

    /// What a call's push would meet, without changing anything.
    pub(crate) fn peek(&self, push: &Side, now: Duration) -> Option<(Uuid, State)> {
        self.pushed(push, now).map(|index| (self.entries[index].uuid, self.entries[index].state))
    }

    /// What a cancel would meet, and whether it ends that, without changing anything.
    pub(crate) fn peek_cancel(&self, cancel: &Side) -> Option<(Uuid, State, bool)> {
        let entry = &self.entries[self.cancelled(cancel)?];
        Some((entry.uuid, entry.state, entry.may_be_cancelled(cancel)))
    }

    /// Whether a cancel names no call that a push announced: neither one under way nor one that is over.
    pub(crate) fn is_stray(&self, cancel: &Side) -> bool {
        self.cancelled(cancel).is_none_or(|index| {
            let entry = &self.entries[index];
            entry.state == State::Ringing && !entry.may_be_cancelled(cancel)
        })
    }

    /// Notes which of the calls that ring have a flow left on which the server can take them back.
    pub(crate) fn note_ways(&mut self, reached: &[Uuid]) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state == State::Ringing) {
            entry.cut_off = !reached.contains(&entry.uuid);
        }
    }

    /// Whether another push for this account may announce a call. An INVITE needs no such room.
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

    /// Whether push and INVITE of a call name callers of different numbers.
    pub(crate) fn contradicts(&self, uuid: Uuid) -> bool {
        let sides = self.get(uuid).and_then(|entry| entry.push.as_ref().zip(entry.invite.as_ref()));
        sides.is_some_and(|(push, invite)| push.contradicts(invite))
    }

    pub(crate) fn timeout(&self) -> Option<Timeout> {
        let mut soonest = Soonest::default();
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

    /// The UUID that a new call gets: a caller without any id who calls again would else get that of the call before.
    pub(crate) fn next_uuid(&self, side: &Side) -> Uuid {
        let mut uuid = call_uuid(&side.identity);
        while self.get(uuid).is_some() {
            uuid = Uuid::new_v5(&uuid, b"again");
        }
        uuid
    }
}

#[cfg(test)]
mod tests;
