//! Pushes, INVITEs and cancels brought together: one call, one UUID, one ring, whichever comes first.
//!
//! A call *owes* one push and one INVITE. What comes in is first matched by its ids; where one side has none, or a
//! gateway gave the INVITE another Call-ID than the push told, by its caller, and then only with a call that still owes
//! what came. What has ended leaves a tombstone, so that late pushes and INVITEs find it and stay silent; but a push that
//! can be told apart from the call that is over is the caller's next try, and wakes (ADR 11).

use std::time::Duration;

use uuid::Uuid;

use crate::account::AccountKey;
use crate::clock::{Soonest, Timeout};
use crate::event::{CallTimes, Caller, Ended};
use crate::payload::{CallIdentity, call_uuid};

/// Calls announced, ringing or answered at once.
pub(crate) const MAX_CALLS: usize = 128;
/// Ended calls remembered; the one that ended first goes first.
pub(crate) const MAX_TOMBSTONES: usize = 128;
/// How long an ended call is remembered: pushes have been seen to come many minutes late.
pub(crate) const TOMBSTONE: Duration = Duration::from_secs(3600);
/// How long a call that is over may still meet, by its caller alone, the INVITE that it owes after its end, or the push that it
/// owes after its INVITE: no server sends the push later than the INVITE.
const OWED: Duration = Duration::from_secs(40);

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
    identity: CallIdentity,
    pub(crate) account: Option<AccountKey>,
    pub(crate) state: State,
    /// The user answered; carried out when it can be.
    pub(crate) answer_wanted: bool,
    /// The caller as it was last told.
    pub(crate) caller: Option<Caller>,
    pub(crate) times: CallTimes,
    /// The status that the app refused it with: an INVITE that comes later hears the same.
    pub(crate) refusal: Option<u16>,
    pushed: bool,
    /// The Call-ID that the push told: a gateway may give the INVITE another one.
    pushed_as: Option<String>,
    /// Boot time at which the INVITE came.
    invited: Option<Duration>,
    /// Boot time at which it is missed, or forgotten.
    until: Duration,
    ended_at: Duration,
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

/// All calls of a client that are announced, ringing, or not long over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
}

impl Table {
    /// A push announced a call; its INVITE must come within `window`.
    pub(crate) fn announce(
        &mut self,
        identity: &CallIdentity,
        account: Option<AccountKey>,
        window: Duration,
        now: Duration,
    ) -> Arrival {
        if let Some(index) = self.pushed(identity, now) {
            let entry = &mut self.entries[index];
            let repeated = entry.pushed;
            entry.pushed = true;
            if entry.pushed_as.is_none() {
                entry.pushed_as.clone_from(&identity.call_id);
            }
            return match entry.state {
                State::Over(how) => Arrival::Ghost(entry.uuid, how),
                _ if repeated => Arrival::Repeated(entry.uuid),
                _ => Arrival::Joined(entry.uuid),
            };
        }
        self.begin(identity, account, State::Announced, now + window, now)
    }

    /// An INVITE came.
    pub(crate) fn invite(&mut self, identity: &CallIdentity, account: AccountKey, now: Duration) -> Arrival {
        if let Some(index) = self.invited(identity, now) {
            let entry = &mut self.entries[index];
            let repeated = entry.invited.is_some();
            entry.invited.get_or_insert(now);
            entry.identity.call_id.clone_from(&identity.call_id);
            if entry.identity.caller.is_none() {
                entry.identity.caller.clone_from(&identity.caller);
            }
            return match entry.state {
                State::Over(how) => Arrival::Ghost(entry.uuid, how),
                _ if repeated || entry.state == State::Answered => Arrival::Repeated(entry.uuid),
                _ => {
                    entry.state = State::Ringing;
                    entry.account = Some(account);
                    Arrival::Joined(entry.uuid)
                }
            };
        }
        self.begin(identity, Some(account), State::Ringing, Duration::MAX, now)
    }

    /// A cancel came by push. Returns the call it ended, if that was announced or ringing.
    ///
    /// The cancel of a call not known leaves a tombstone: its other push may come later.
    pub(crate) fn cancel(&mut self, identity: &CallIdentity, now: Duration) -> Option<(Uuid, State)> {
        match self.pushed(identity, now) {
            Some(index) => {
                let (uuid, state) = (self.entries[index].uuid, self.entries[index].state);
                // The cancel of a call that the user has answered is late, or means the user's other devices.
                if state == State::Answered {
                    return None;
                }
                self.end(uuid, Ended::Cancelled, now).then_some((uuid, state))
            }
            None => {
                let has_id = identity.call_id.is_some() || identity.vendor_id.is_some();
                if has_id && let Arrival::New(uuid) = self.begin(identity, None, State::Announced, Duration::MAX, now) {
                    self.end(uuid, Ended::Cancelled, now);
                }
                None
            }
        }
    }

    /// Ends a call. Returns `false` if it is not known or over already: an end is told once.
    pub(crate) fn end(&mut self, uuid: Uuid, how: Ended, now: Duration) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.uuid == uuid) else { return false };
        if matches!(entry.state, State::Over(_)) {
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

    /// What a push with this identity would meet, without changing anything.
    pub(crate) fn peek(&self, identity: &CallIdentity, now: Duration) -> Option<(Uuid, State)> {
        self.pushed(identity, now).map(|index| (self.entries[index].uuid, self.entries[index].state))
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
        identity: &CallIdentity,
        account: Option<AccountKey>,
        state: State,
        until: Duration,
        now: Duration,
    ) -> Arrival {
        if self.live(None).count() >= MAX_CALLS {
            return Arrival::Full;
        }
        let uuid = self.next_uuid(identity);
        self.entries.push(Entry {
            uuid,
            identity: identity.clone(),
            account,
            state,
            answer_wanted: false,
            caller: None,
            times: CallTimes::default(),
            refusal: None,
            pushed: state == State::Announced,
            pushed_as: identity.call_id.clone().filter(|_| state == State::Announced),
            invited: (state == State::Ringing).then_some(now),
            until,
            ended_at: Duration::ZERO,
        });
        Arrival::New(uuid)
    }

    /// The UUID that a new call gets: a caller without any id who calls again would else get that of the call before.
    pub(crate) fn next_uuid(&self, identity: &CallIdentity) -> Uuid {
        let mut uuid = call_uuid(identity);
        while self.get(uuid).is_some() {
            uuid = Uuid::new_v5(&uuid, b"again");
        }
        uuid
    }

    fn pushed(&self, identity: &CallIdentity, now: Duration) -> Option<usize> {
        let renamed = self.renames(identity);
        let late = |entry: &Entry| {
            let since = now.saturating_sub(entry.invited.unwrap_or_default());
            since < OWED && (renamed || !are_told_apart(&entry.identity, identity))
        };
        self.find(identity, |entry| !entry.pushed, late)
    }

    fn invited(&self, identity: &CallIdentity, now: Duration) -> Option<usize> {
        let late = |entry: &Entry| now.saturating_sub(entry.ended_at) < OWED;
        self.find(identity, |entry| entry.invited.is_none(), late)
    }

    /// Whether a gateway gave the last INVITE for this user that a push had announced another Call-ID than the push told.
    fn renames(&self, identity: &CallIdentity) -> bool {
        let same_user = |entry: &&Entry| {
            let users = entry.identity.account.as_deref().zip(identity.account.as_deref());
            users.is_none_or(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        let named = |entry: &Entry| {
            entry.invited?;
            Some(entry.pushed_as.as_deref()? != entry.identity.call_id.as_deref()?)
        };
        self.entries.iter().rev().filter(same_user).find_map(named).unwrap_or(false)
    }

    /// Finds the call to which something belongs: one that has its id, or by its caller one that `owes` it, if it is under way
    /// or if what comes `late` may still be of it.
    fn find(
        &self,
        identity: &CallIdentity,
        owes: impl Fn(&Entry) -> bool,
        late: impl Fn(&Entry) -> bool,
    ) -> Option<usize> {
        let by_id = self.entries.iter().position(|entry| {
            let as_pushed = identity.call_id.is_some() && entry.pushed_as == identity.call_id;
            as_pushed || shares_id(&entry.identity, identity)
        });
        if by_id.is_some() {
            return by_id;
        }
        let has_id = identity.call_id.is_some() || identity.vendor_id.is_some();
        let by_caller = |entry: &Entry| {
            let recent = match entry.state {
                // A call that nobody took and that never met its INVITE is no reason to silence the next one.
                State::Over(Ended::Missed) => false,
                State::Over(_) => late(entry),
                State::Announced | State::Ringing | State::Answered => true,
            };
            recent && same_caller(&entry.identity, identity)
        };
        // The newest first: of two calls of one caller, the later is the one still under way.
        let owing = self.entries.iter().rposition(|entry| owes(entry) && by_caller(entry));
        let under_way = |entry: &Entry| !matches!(entry.state, State::Over(_));
        let unknown = |entry: &Entry| entry.identity.is_empty() || identity.is_empty();
        owing
            // A push without content, as RFC 8599 has them, says only that a call is there: it goes with whichever call
            // under way still lacks its other half. Two entries for one call would ring twice.
            .or_else(|| self.entries.iter().rposition(|entry| owes(entry) && under_way(entry) && unknown(entry)))
            .or_else(|| {
                // A push without any id, while a call of that caller is under way: its duplicate.
                let same = |entry: &Entry| entry.identity == *identity || by_caller(entry);
                (!has_id).then(|| self.entries.iter().rposition(|entry| under_way(entry) && same(entry))).flatten()
            })
    }
}

fn shares_id(a: &CallIdentity, b: &CallIdentity) -> bool {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    same(&a.call_id, &b.call_id) || same(&a.vendor_id, &b.vendor_id)
}

/// Whether both have an id of the same kind: they are not the same, or they would have met by it.
fn are_told_apart(a: &CallIdentity, b: &CallIdentity) -> bool {
    a.call_id.as_ref().zip(b.call_id.as_ref()).is_some() || a.vendor_id.as_ref().zip(b.vendor_id.as_ref()).is_some()
}

fn same_caller(a: &CallIdentity, b: &CallIdentity) -> bool {
    let same = |a: &str, b: &str| number(a).eq_ignore_ascii_case(number(b));
    let caller = a.caller.as_deref().zip(b.caller.as_deref()).is_some_and(|(a, b)| same(a, b));
    caller && a.account.as_deref().zip(b.account.as_deref()).is_none_or(|(a, b)| same(a, b))
}

/// Pushes and INVITEs spell the same number with and without its `+`.
fn number(user: &str) -> &str {
    user.strip_prefix('+').unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(40);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn identity(call_id: Option<&str>, caller: &str) -> CallIdentity {
        CallIdentity::new(call_id, None, None, Some(caller))
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
            let arrived = wake.invite(&invite, account(), at(1));
            assert!(matches!(announced, Arrival::New(_)) && matches!(arrived, Arrival::Joined(_)));
            assert_eq!(uuid(announced), uuid(arrived));

            let mut wake = Table::default();
            let arrived = wake.invite(&invite, account(), at(0));
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
        let call = uuid(wake.invite(&identity(Some("a"), "1234"), account(), at(0)));
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
        wake.invite(&identity(Some("a"), "1234"), account(), at(1));
        wake.end(first, Ended::Cancelled, at(5));
        let second = wake.announce(&push, None, WINDOW, at(8));
        assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
    }

    #[test]
    fn a_redial_whose_push_has_another_call_id_wakes_although_the_call_before_had_no_push() {
        let mut wake = Table::default();
        let first = uuid(wake.invite(&identity(Some("a"), "1234"), account(), at(0)));
        wake.end(first, Ended::Cancelled, at(5));
        let redial = wake.announce(&identity(Some("b"), "1234"), None, WINDOW, at(8));
        assert!(matches!(redial, Arrival::New(second) if second != first), "{redial:?}");
        let invite = wake.invite(&identity(Some("b"), "sip:1234@x"), account(), at(9));
        assert_eq!(invite, Arrival::Joined(uuid(redial)));
        let late = wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(10));
        assert_eq!(late, Arrival::Ghost(first, Ended::Cancelled), "the push that was owed is silent all the same");
    }

    #[test]
    fn where_a_gateway_renames_calls_a_late_push_of_another_name_is_silent() {
        let mut wake = Table::default();
        let learnt = uuid(wake.announce(&identity(Some("upstream-1"), "1234"), None, WINDOW, at(0)));
        assert_eq!(wake.invite(&identity(Some("a"), "1234"), account(), at(1)), Arrival::Joined(learnt));
        wake.end(learnt, Ended::Cancelled, at(5));
        let second = uuid(wake.invite(&identity(Some("b"), "1234"), account(), at(10)));
        wake.end(second, Ended::Cancelled, at(15));
        let late = wake.announce(&identity(Some("upstream-2"), "1234"), None, WINDOW, at(16));
        assert_eq!(late, Arrival::Ghost(second, Ended::Cancelled));
    }

    #[test]
    fn the_same_push_again_after_its_invite_got_another_call_id_is_no_second_call_and_its_cancel_ends_it() {
        let push = identity(Some("upstream"), "1234");
        let mut wake = Table::default();
        let call = uuid(wake.announce(&push, None, WINDOW, at(0)));
        wake.invite(&identity(Some("a"), "1234"), account(), at(1));
        assert_eq!(wake.announce(&push, None, WINDOW, at(2)), Arrival::Repeated(call));
        assert_eq!(wake.cancel(&push, at(3)), Some((call, State::Ringing)));
        assert_eq!(wake.announce(&push, None, WINDOW, at(300)), Arrival::Ghost(call, Ended::Cancelled));
    }

    #[test]
    fn a_push_without_an_id_is_owed_for_forty_seconds_from_the_invite_however_long_the_call_was() {
        let push = identity(None, "1234");
        for (ended, pushed, silent) in [(5, 39, true), (5, 40, false), (300, 301, false)] {
            let mut wake = Table::default();
            let call = uuid(wake.invite(&identity(Some("a"), "1234"), account(), at(0)));
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
        assert_eq!(wake.invite(&identity(Some("a"), "1234"), account(), at(41)), Arrival::Ghost(call, Ended::Missed));
    }

    #[test]
    fn what_was_declined_before_its_invite_came_stays_declined() {
        let mut wake = Table::default();
        let call = uuid(wake.announce(&identity(None, "1234"), None, WINDOW, at(0)));
        wake.end(call, Ended::Declined, at(2));
        let late = wake.invite(&identity(Some("b"), "sip:1234@x"), account(), at(4));
        assert_eq!(late, Arrival::Ghost(call, Ended::Declined));
        let again = wake.invite(&identity(Some("c"), "sip:1234@x"), account(), at(9));
        assert!(matches!(again, Arrival::New(_)), "the next call of that caller rings: {again:?}");
    }

    #[test]
    fn a_push_without_content_is_the_call_whose_invite_comes_before_or_after() {
        let (push, invite) = (CallIdentity::default(), identity(Some("a"), "sip:1234@x"));
        let mut wake = Table::default();
        let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
        assert_eq!(wake.announce(&push, None, WINDOW, at(1)), Arrival::Repeated(first));
        assert_eq!(wake.invite(&invite, account(), at(2)), Arrival::Joined(first));
        let waiting = wake.invite(&identity(Some("b"), "sip:99@x"), account(), at(3));
        assert!(matches!(waiting, Arrival::New(second) if second != first), "{waiting:?}");
        assert_eq!(wake.announce(&push, None, WINDOW, at(4)), Arrival::Joined(uuid(waiting)));
    }

    #[test]
    fn what_another_caller_or_another_account_brings_is_a_call_of_its_own() {
        let of = |call_id, account, caller| CallIdentity::new(call_id, None, Some(account), Some(caller));
        for (push, invite) in [
            (identity(None, "1234"), identity(Some("a"), "sip:99@x")),
            (of(None, "alice", "1234"), of(Some("a"), "alice", "sip:99@x")),
            (of(None, "alice", "1234"), of(Some("a"), "bob", "sip:1234@x")),
        ] {
            let mut wake = Table::default();
            let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
            let second = wake.invite(&invite, account(), at(1));
            assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
        }
    }

    #[test]
    fn a_push_without_content_after_such_a_call_has_ended_is_a_new_call() {
        let mut wake = Table::default();
        let first = uuid(wake.announce(&CallIdentity::default(), None, WINDOW, at(0)));
        wake.invite(&identity(Some("a"), "sip:1234@x"), account(), at(1));
        wake.end(first, Ended::Cancelled, at(2));
        let second = wake.announce(&CallIdentity::default(), None, WINDOW, at(3));
        assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
    }

    #[test]
    fn the_live_calls_of_an_account_are_neither_another_s_nor_over() {
        let other = crate::account::AccountConfig::new("bob@example.com", "x");
        let other = crate::account::Account::parse(other).expect("valid").key();
        let mut wake = Table::default();
        let of_alice = uuid(wake.invite(&identity(Some("a"), "1"), account(), at(0)));
        let of_bob = uuid(wake.invite(&identity(Some("b"), "2"), other.clone(), at(0)));
        let over = uuid(wake.invite(&identity(Some("c"), "3"), account(), at(0)));
        wake.end(over, Ended::Declined, at(1));
        let live = |account: Option<&AccountKey>| wake.live(account).map(|entry| entry.uuid).collect::<Vec<_>>();
        assert_eq!(live(None), [of_alice, of_bob]);
        assert_eq!(live(Some(&account())), [of_alice]);
        assert_eq!(live(Some(&other)), [of_bob]);
    }

    #[test]
    fn live_calls_and_tombstones_are_bounded() {
        let mut wake = Table::default();
        for i in 0..MAX_CALLS {
            wake.announce(&identity(Some(&i.to_string()), &i.to_string()), None, WINDOW, at(0));
        }
        assert_eq!(wake.announce(&identity(Some("x"), "x"), None, WINDOW, at(0)), Arrival::Full);
        wake.expire(at(40));
        for i in 0..1000 {
            let call = uuid(wake.invite(&identity(Some(&format!("i{i}")), &format!("u{i}")), account(), at(50)));
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
        let call = uuid(wake.invite(&long, account(), at(0)));
        for second in 1..=MAX_TOMBSTONES as u64 {
            let other = uuid(wake.invite(&identity(Some(&second.to_string()), "99"), account(), at(second)));
            wake.end(other, Ended::Cancelled, at(second));
        }
        wake.end(call, Ended::HungUpByCaller, at(1000));
        assert_eq!(wake.announce(&long, None, WINDOW, at(1001)), Arrival::Ghost(call, Ended::HungUpByCaller));
        let ended = |call_id| wake.peek(&identity(Some(call_id), "98"), at(1001)).is_some();
        assert_eq!([ended("1"), ended("2")], [false, true]);
    }
}
