//! Pushes, INVITEs and cancels brought together: one call, one UUID, one ring, whichever comes first.
//!
//! `docs/calls.md` has the table of what meets what and why; this file follows it row by row.

use std::time::Duration;

use uuid::Uuid;

use super::side::{Callers, Side};
use crate::account::AccountKey;
use crate::clock::{Soonest, Timeout};
use crate::event::{CallTimes, Caller, Ended};
use crate::payload::call_uuid;

/// Calls at once that only a push has announced, for one account.
pub(crate) const MAX_ANNOUNCED: usize = 64;
/// The same for all accounts together.
const MAX_ANNOUNCED_OF_ALL: usize = 256;
/// Calls that pushes may announce in a minute, for one account: whoever learnt a token must not keep a phone busy.
const MAX_A_MINUTE: u32 = 64;
const MINUTE: Duration = Duration::from_secs(60);
/// Calls at once whose INVITE is here.
const MAX_CALLS: usize = 128;
/// Ended calls remembered; the one that ended first goes first.
pub(crate) const MAX_TOMBSTONES: usize = 128;
/// How long an ended call is remembered: pushes have been seen to come many minutes late.
pub(crate) const TOMBSTONE: Duration = Duration::from_secs(3600);
/// How long a call that is over may still meet, by its caller alone, the half that it owes: the INVITE after the user has
/// refused it, or the push after its INVITE.
const OWED: Duration = Duration::from_secs(40);
/// How long an INVITE with the Call-ID of a call that is over is a late branch of it, and not a hunt group that comes round
/// again (ADR 13).
const BRANCHES: Duration = Duration::from_secs(10);

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
    ended_at: Duration,
    /// Known by a cancel push alone, which came first: nobody has heard of this call.
    overtaken: bool,
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

    fn shares_id(&self, side: &Side) -> bool {
        self.sides().any(|known| known.shares_id(side))
    }

    fn callers(&self, side: &Side) -> Callers {
        let mut compared = self.sides().map(|known| known.callers(side)).filter(|callers| *callers != Callers::Unknown);
        compared.next().unwrap_or(Callers::Unknown)
    }

    /// Whether a cancel push ends it. That of a call that the user has answered is late, or means the user's other devices; and a
    /// call that no push announced is its INVITE's alone.
    fn may_be_cancelled(&self) -> bool {
        self.state == State::Announced || (self.state == State::Ringing && self.push.is_some())
    }

    /// Whether the user, or the app for him, refused it.
    fn was_refused(&self) -> bool {
        self.refusal.is_some() || matches!(self.state, State::Over(Ended::Declined))
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
        let known = judged.and_then(|uuid| self.entries.iter().position(|entry| entry.uuid == uuid));
        if let Some(index) = known.or_else(|| self.pushed(push, now)) {
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

    /// An INVITE came.
    pub(crate) fn invite(&mut self, invite: &Side, now: Duration) -> Arrival {
        if let Some(index) = self.invited(invite, now) {
            let entry = &mut self.entries[index];
            let repeated = entry.invite.is_some();
            if !repeated {
                entry.invited_at = now;
                entry.invite = Some(invite.clone());
            }
            return match entry.state {
                State::Over(how) => Arrival::Ghost(entry.uuid, how),
                _ if repeated || entry.state == State::Answered => Arrival::Repeated(entry.uuid),
                _ => {
                    entry.state = State::Ringing;
                    entry.account.clone_from(&invite.account);
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
        let uuid = self.next_uuid(invite);
        self.begin(uuid, None, Some(invite), State::Ringing, Duration::MAX, now);
        Arrival::New(uuid)
    }

    /// A cancel came by push. Returns the call it ended, if that was announced or ringing.
    ///
    /// The cancel of a call not known leaves a tombstone: its other push may come later.
    pub(crate) fn cancel(&mut self, cancel: &Side, now: Duration) -> Option<Uuid> {
        match self.cancelled(cancel) {
            Some(index) if !self.entries[index].may_be_cancelled() => None,
            Some(index) => {
                let uuid = self.entries[index].uuid;
                self.end(uuid, Ended::Cancelled, now).then_some(uuid)
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
            && let Some((oldest, _)) = tombstones().min_by_key(|(_, entry)| entry.ended_at)
        {
            self.entries.remove(oldest);
        }
        true
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

    /// The calls of an account that are not over; of any account with `None`.
    pub(crate) fn live(&self, account: Option<&AccountKey>) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| {
            !matches!(entry.state, State::Over(_)) && (account.is_none() || entry.account.as_ref() == account)
        })
    }

    /// What a call's push would meet, without changing anything.
    pub(crate) fn peek(&self, push: &Side, now: Duration) -> Option<(Uuid, State)> {
        self.pushed(push, now).map(|index| (self.entries[index].uuid, self.entries[index].state))
    }

    /// What a cancel would meet, and whether it ends that, without changing anything.
    pub(crate) fn peek_cancel(&self, cancel: &Side) -> Option<(Uuid, State, bool)> {
        let entry = &self.entries[self.cancelled(cancel)?];
        Some((entry.uuid, entry.state, entry.may_be_cancelled()))
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
            ended_at: Duration::ZERO,
            overtaken: false,
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

    /// The call that a push belongs to.
    fn pushed(&self, push: &Side, now: Duration) -> Option<usize> {
        if let Some(known) = self.entries.iter().position(|entry| entry.shares_id(push)) {
            return Some(known);
        }
        let renames = self.renames(push.account.as_ref());
        let mine = |entry: &Entry| push.may_be_for(entry.account.as_ref());
        let owed = self.half_met(push, renames, |entry| entry.push.is_none() && mine(entry));
        let late = |entry: &Entry| {
            let apart = entry.sides().any(|known| known.is_told_apart(push));
            entry.is_over()
                && entry.push.is_none()
                && entry.state != State::Over(Ended::Missed)
                && now.saturating_sub(entry.invited_at) < OWED
                && (!apart || renames == Some(true))
                && mine(entry)
                && entry.callers(push) == Callers::Same
        };
        // A push without any id, while a call of that caller is under way: its duplicate.
        let again = |entry: &Entry| {
            let alike = |first: &Side| !first.has_id() && !first.names_caller() && !push.names_caller();
            let unmet = entry.invite.is_none() && entry.push.as_ref().is_some_and(alike);
            !push.has_id()
                && !entry.is_over()
                && entry.push.is_some()
                && mine(entry)
                && (entry.callers(push) == Callers::Same || unmet)
        };
        owed.or_else(|| self.entries.iter().rposition(late)).or_else(|| self.entries.iter().rposition(again))
    }

    /// The call that an INVITE belongs to.
    fn invited(&self, invite: &Side, now: Duration) -> Option<usize> {
        let since = |entry: &Entry| now.saturating_sub(entry.ended_at);
        let same_id =
            self.entries.iter().rposition(|entry| entry.invite.as_ref().is_some_and(|known| known.shares_id(invite)));
        if let Some(index) = same_id {
            // The same again, or another branch of it; later a hunt group that comes round once more.
            let entry = &self.entries[index];
            return (!entry.is_over() || since(entry) < BRANCHES).then_some(index);
        }
        let announced =
            |entry: &Entry| !entry.overtaken && entry.push.as_ref().is_some_and(|push| push.shares_id(invite));
        if let Some(index) = self.entries.iter().rposition(announced) {
            // Another INVITE was taken for this one: the gateway keeps its ids, and these are two calls.
            return self.entries[index].invite.is_none().then_some(index);
        }
        let renames = self.renames(invite.account.as_ref());
        let mine = |entry: &Entry| invite.may_be_for(entry.account.as_ref());
        let owed = self.half_met(invite, renames, |entry| entry.invite.is_none() && mine(entry));
        let refused = |entry: &Entry| {
            let apart = entry.sides().any(|known| known.is_told_apart(invite));
            entry.is_over()
                && entry.invite.is_none()
                && entry.was_refused()
                && since(entry) < OWED
                && (!apart || renames == Some(true))
                && mine(entry)
                && entry.callers(invite) == Callers::Same
        };
        owed.or_else(|| self.entries.iter().rposition(refused))
    }

    /// The half-call under way that a side without a common id completes.
    fn half_met(&self, side: &Side, renames: Option<bool>, owes: impl Fn(&Entry) -> bool) -> Option<usize> {
        let half = |entry: &Entry| !entry.is_over() && owes(entry);
        // Where this gateway is known to keep ids, two ids are two calls.
        let apart = |entry: &Entry| renames == Some(false) && entry.sides().any(|known| known.is_told_apart(side));
        let same = |entry: &Entry| half(entry) && !apart(entry) && entry.callers(side) == Callers::Same;
        // Of two calls of one caller, the later is the one still under way.
        self.entries.iter().rposition(same).or_else(|| {
            let mut halves = self.entries.iter().enumerate().filter(|(_, entry)| half(entry));
            let (index, only) = halves.next()?;
            if halves.next().is_some() || only.callers(side) != Callers::Unknown || apart(only) {
                return None;
            }
            let tells = |known: &Side| known.names_caller() || (known.is_withheld() && known.has_id());
            let both_withheld = side.is_withheld() && only.sides().all(Side::is_withheld);
            let told_apart = only.sides().any(|known| known.is_told_apart(side));
            let silent = !tells(side) || !only.sides().all(tells);
            (silent && !(both_withheld && told_apart)).then_some(index)
        })
    }

    /// The call that a cancel ends: by its id or, where the call has none, the announced one of that caller.
    fn cancelled(&self, cancel: &Side) -> Option<usize> {
        let by_id = self.entries.iter().position(|entry| entry.shares_id(cancel));
        by_id.or_else(|| {
            let without_id = |entry: &Entry| {
                let push = entry.push.as_ref().is_some_and(|push| !push.has_id());
                push && entry.state == State::Announced && cancel.may_be_for(entry.account.as_ref())
            };
            let same = |entry: &Entry| without_id(entry) && entry.callers(cancel) == Callers::Same;
            self.entries.iter().rposition(same).or_else(|| {
                let mut unnamed = self.entries.iter().enumerate().filter(|(_, entry)| without_id(entry));
                let (index, only) = unnamed.next()?;
                let silent = !cancel.names_caller() && only.callers(cancel) == Callers::Unknown;
                (silent && unnamed.next().is_none()).then_some(index)
            })
        })
    }

    /// Whether the gateway of an account gave the last INVITE that a push with an id had announced another Call-ID; `None`
    /// where none was seen.
    fn renames(&self, account: Option<&AccountKey>) -> Option<bool> {
        let of_account = |entry: &&Entry| entry.account.as_ref().zip(account).is_none_or(|(a, b)| a == b);
        self.entries.iter().rev().filter(of_account).find_map(|entry| {
            let pushed = entry.push.as_ref()?.identity.call_id.as_ref()?;
            let called = entry.invite.as_ref()?.identity.call_id.as_ref()?;
            // Its own INVITE came later: the one that was taken for it is another call's.
            let mistaken = self.entries.iter().any(|other| {
                other.uuid != entry.uuid
                    && other.invite.as_ref().is_some_and(|invite| invite.identity.call_id.as_ref() == Some(pushed))
            });
            Some(pushed != called && !mistaken)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::CallIdentity;

    const WINDOW: Duration = Duration::from_secs(40);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn identity(call_id: Option<&str>, caller: &str) -> Side {
        Side::new(CallIdentity::new(call_id, None, None, Some(caller)), None)
    }

    fn of(account: AccountKey, mut side: Side) -> Side {
        side.account = Some(account);
        side
    }

    fn to_alice(side: &Side) -> Side {
        of(account(), side.clone())
    }

    fn account() -> AccountKey {
        let config = crate::account::AccountConfig::new("alice@example.com", "x");
        crate::account::Account::parse(config).expect("valid").key()
    }

    fn uuid(arrival: Arrival) -> Uuid {
        match arrival {
            Arrival::New(uuid) | Arrival::Joined(uuid) | Arrival::Repeated(uuid) | Arrival::Ghost(uuid, _) => uuid,
            Arrival::Full => panic!("full"),
        }
    }

    #[test]
    fn a_push_and_its_invite_are_one_call_in_either_order() {
        for (push, invite) in [
            (identity(Some("a"), "1234"), identity(Some("a"), "sip:1234@example.com")),
            (identity(None, "1234"), identity(Some("a"), "sip:1234@example.com")),
            (identity(Some("upstream-id"), "+1234"), identity(Some("a"), "sip:1234@example.com;user=phone")),
        ] {
            let mut wake = Table::default();
            let announced = wake.announce(&push, None, WINDOW, at(0));
            let arrived = wake.invite(&to_alice(&invite), at(1));
            assert!(matches!(announced, Arrival::New(_)) && matches!(arrived, Arrival::Joined(_)));
            assert_eq!(uuid(announced), uuid(arrived));

            let mut wake = Table::default();
            let arrived = wake.invite(&to_alice(&invite), at(0));
            let announced = wake.announce(&push, None, WINDOW, at(1));
            assert!(matches!(arrived, Arrival::New(_)) && matches!(announced, Arrival::Joined(_)));
            assert_eq!(uuid(announced), uuid(arrived));
        }
    }

    #[test]
    fn the_same_push_again_is_no_second_call() {
        for push in [identity(Some("a"), "1234"), identity(None, "1234")] {
            let mut wake = Table::default();
            let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
            assert_eq!(wake.announce(&push, None, WINDOW, at(2)), Arrival::Repeated(first));
        }
    }

    #[test]
    fn a_late_push_after_the_end_is_a_ghost() {
        let mut wake = Table::default();
        let call = uuid(wake.invite(&to_alice(&identity(Some("a"), "1234")), at(0)));
        assert!(wake.end(call, Ended::Cancelled, at(5)));
        assert!(!wake.end(call, Ended::Declined, at(6)), "an end is told once");
        assert_eq!(wake.announce(&identity(None, "1234"), None, WINDOW, at(8)), Arrival::Ghost(call, Ended::Cancelled));
        assert_eq!(
            wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(900)),
            Arrival::Ghost(call, Ended::Cancelled)
        );
    }

    #[test]
    fn a_cancel_that_overtakes_its_call_silences_it() {
        let mut wake = Table::default();
        assert_eq!(wake.cancel(&identity(Some("a"), "1234"), at(0)), None);
        assert!(matches!(
            wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(1)),
            Arrival::Ghost(_, Ended::Cancelled)
        ));
    }

    #[test]
    fn a_caller_who_tries_again_is_a_new_call_with_a_new_uuid() {
        let mut wake = Table::default();
        let push = identity(None, "1234");
        let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
        wake.invite(&to_alice(&identity(Some("a"), "1234")), at(1));
        wake.end(first, Ended::Cancelled, at(5));
        let second = wake.announce(&push, None, WINDOW, at(8));
        assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
    }

    #[test]
    fn a_redial_whose_push_has_another_call_id_wakes_although_the_call_before_had_no_push() {
        let mut wake = Table::default();
        let first = uuid(wake.invite(&to_alice(&identity(Some("a"), "1234")), at(0)));
        wake.end(first, Ended::Cancelled, at(5));
        let redial = wake.announce(&identity(Some("b"), "1234"), None, WINDOW, at(8));
        assert!(matches!(redial, Arrival::New(second) if second != first), "{redial:?}");
        let invite = wake.invite(&to_alice(&identity(Some("b"), "sip:1234@x")), at(9));
        assert_eq!(invite, Arrival::Joined(uuid(redial)));
        let late = wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(10));
        assert_eq!(late, Arrival::Ghost(first, Ended::Cancelled), "the push that was owed is silent all the same");
    }

    #[test]
    fn where_a_gateway_renames_calls_a_late_push_of_another_name_is_silent() {
        let mut wake = Table::default();
        let learnt = uuid(wake.announce(&identity(Some("upstream-1"), "1234"), None, WINDOW, at(0)));
        assert_eq!(wake.invite(&to_alice(&identity(Some("a"), "1234")), at(1)), Arrival::Joined(learnt));
        wake.end(learnt, Ended::Cancelled, at(5));
        let second = uuid(wake.invite(&to_alice(&identity(Some("b"), "1234")), at(10)));
        wake.end(second, Ended::Cancelled, at(15));
        let late = wake.announce(&identity(Some("upstream-2"), "1234"), None, WINDOW, at(16));
        assert_eq!(late, Arrival::Ghost(second, Ended::Cancelled));
    }

    #[test]
    fn the_same_push_again_after_its_invite_got_another_call_id_is_no_second_call_and_its_cancel_ends_it() {
        let push = identity(Some("upstream"), "1234");
        let mut wake = Table::default();
        let call = uuid(wake.announce(&push, None, WINDOW, at(0)));
        wake.invite(&to_alice(&identity(Some("a"), "1234")), at(1));
        assert_eq!(wake.announce(&push, None, WINDOW, at(2)), Arrival::Repeated(call));
        assert_eq!(wake.cancel(&push, at(3)), Some(call));
        assert_eq!(wake.announce(&push, None, WINDOW, at(300)), Arrival::Ghost(call, Ended::Cancelled));
    }

    #[test]
    fn a_push_without_an_id_is_owed_for_forty_seconds_from_the_invite_however_long_the_call_was() {
        let push = identity(None, "1234");
        for (ended, pushed, silent) in [(5, 39, true), (5, 40, false), (300, 301, false)] {
            let mut wake = Table::default();
            let call = uuid(wake.invite(&to_alice(&identity(Some("a"), "1234")), at(0)));
            wake.end(call, Ended::HungUpByCaller, at(ended));
            let came = wake.announce(&push, None, WINDOW, at(pushed));
            assert_eq!(
                matches!(came, Arrival::Ghost(..)),
                silent,
                "ended at {ended} s, pushed at {pushed} s: {came:?}"
            );
        }
    }

    #[test]
    fn an_announced_call_is_missed_at_its_deadline_and_its_late_invite_is_a_ghost() {
        let mut wake = Table::default();
        let call = uuid(wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(0)));
        assert_eq!(wake.timeout().map(|(when, _)| when), Some(at(40)));
        assert!(wake.expire(at(39)).is_empty());
        assert_eq!(wake.expire(at(40)).len(), 1);
        assert_eq!(wake.invite(&to_alice(&identity(Some("a"), "1234")), at(41)), Arrival::Ghost(call, Ended::Missed));
    }

    #[test]
    fn what_was_declined_before_its_invite_came_stays_declined() {
        let mut wake = Table::default();
        let call = uuid(wake.announce(&identity(None, "1234"), None, WINDOW, at(0)));
        wake.end(call, Ended::Declined, at(2));
        let late = wake.invite(&to_alice(&identity(Some("b"), "sip:1234@x")), at(4));
        assert_eq!(late, Arrival::Ghost(call, Ended::Declined));
        let again = wake.invite(&to_alice(&identity(Some("c"), "sip:1234@x")), at(9));
        assert!(matches!(again, Arrival::New(_)), "the next call of that caller rings: {again:?}");
    }

    #[test]
    fn a_push_without_content_is_the_call_whose_invite_comes_before_or_after() {
        let (push, invite) = (Side::default(), identity(Some("a"), "sip:1234@x"));
        let mut wake = Table::default();
        let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
        assert_eq!(wake.announce(&push, None, WINDOW, at(1)), Arrival::Repeated(first));
        assert_eq!(wake.invite(&to_alice(&invite), at(2)), Arrival::Joined(first));
        let waiting = wake.invite(&to_alice(&identity(Some("b"), "sip:99@x")), at(3));
        assert!(matches!(waiting, Arrival::New(second) if second != first), "{waiting:?}");
        assert_eq!(wake.announce(&push, None, WINDOW, at(4)), Arrival::Joined(uuid(waiting)));
    }

    #[test]
    fn what_another_caller_or_another_account_brings_is_a_call_of_its_own() {
        let bobs = crate::account::AccountConfig::new("bob@example.com", "x");
        let bobs = crate::account::Account::parse(bobs).expect("valid").key();
        for (push, invite) in [
            (identity(None, "1234"), identity(Some("a"), "sip:99@x")),
            (of(bobs, identity(None, "1234")), identity(Some("a"), "sip:1234@x")),
        ] {
            let mut wake = Table::default();
            let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
            let second = wake.invite(&to_alice(&invite), at(1));
            assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
        }
    }

    #[test]
    fn a_push_without_content_after_such_a_call_has_ended_is_a_new_call() {
        let mut wake = Table::default();
        let first = uuid(wake.announce(&Side::default(), None, WINDOW, at(0)));
        wake.invite(&to_alice(&identity(Some("a"), "sip:1234@x")), at(1));
        wake.end(first, Ended::Cancelled, at(2));
        let second = wake.announce(&Side::default(), None, WINDOW, at(3));
        assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
    }

    #[test]
    fn the_live_calls_of_an_account_are_neither_another_s_nor_over() {
        let other = crate::account::AccountConfig::new("bob@example.com", "x");
        let other = crate::account::Account::parse(other).expect("valid").key();
        let mut wake = Table::default();
        let of_alice = uuid(wake.invite(&to_alice(&identity(Some("a"), "1")), at(0)));
        let of_bob = uuid(wake.invite(&of(other.clone(), identity(Some("b"), "2")), at(0)));
        let over = uuid(wake.invite(&to_alice(&identity(Some("c"), "3")), at(0)));
        wake.end(over, Ended::Declined, at(1));
        let live = |account: Option<&AccountKey>| wake.live(account).map(|entry| entry.uuid).collect::<Vec<_>>();
        assert_eq!(live(None), [of_alice, of_bob]);
        assert_eq!(live(Some(&account())), [of_alice]);
        assert_eq!(live(Some(&other)), [of_bob]);
    }

    #[test]
    fn live_calls_and_tombstones_are_bounded() {
        let mut wake = Table::default();
        for i in 0..MAX_ANNOUNCED {
            wake.announce(&identity(Some(&i.to_string()), &i.to_string()), None, WINDOW, at(0));
        }
        assert_eq!(wake.announce(&identity(Some("x"), "x"), None, WINDOW, at(0)), Arrival::Full);
        wake.expire(at(40));
        for i in 0..1000 {
            let call = uuid(wake.invite(&to_alice(&identity(Some(&format!("i{i}")), &format!("u{i}"))), at(50)));
            wake.end(call, Ended::Cancelled, at(50));
        }
        assert_eq!(wake.entries.len(), MAX_TOMBSTONES);
        wake.expire(at(50) + TOMBSTONE);
        assert!(wake.entries.is_empty());
    }

    #[test]
    fn of_too_many_tombstones_that_of_the_call_that_ended_first_goes() {
        let mut wake = Table::default();
        let long = identity(Some("long"), "1234");
        let call = uuid(wake.invite(&to_alice(&long), at(0)));
        for second in 1..=MAX_TOMBSTONES as u64 {
            let other = uuid(wake.invite(&to_alice(&identity(Some(&second.to_string()), "99")), at(second)));
            wake.end(other, Ended::Cancelled, at(second));
        }
        wake.end(call, Ended::HungUpByCaller, at(1000));
        assert_eq!(wake.announce(&long, None, WINDOW, at(1001)), Arrival::Ghost(call, Ended::HungUpByCaller));
        let ended = |call_id| wake.peek(&identity(Some(call_id), "98"), at(1001)).is_some();
        assert_eq!([ended("1"), ended("2")], [false, true]);
    }
}
