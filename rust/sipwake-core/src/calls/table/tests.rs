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

fn invited(table: &mut Table, side: &Side, now: Duration) -> Arrival {
    table.invite(side, &[], now)
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
        let arrived = invited(&mut wake, &to_alice(&invite), at(1));
        assert!(matches!(announced, Arrival::New(_)) && matches!(arrived, Arrival::Joined(_)));
        assert_eq!(uuid(announced), uuid(arrived));

        let mut wake = Table::default();
        let arrived = invited(&mut wake, &to_alice(&invite), at(0));
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
    let call = uuid(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(0)));
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
    invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(1));
    wake.end(first, Ended::Cancelled, at(5));
    let second = wake.announce(&push, None, WINDOW, at(8));
    assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
}

#[test]
fn a_redial_whose_push_has_another_call_id_wakes_although_the_call_before_had_no_push() {
    let mut wake = Table::default();
    let first = uuid(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(0)));
    wake.end(first, Ended::Cancelled, at(5));
    let redial = wake.announce(&identity(Some("b"), "1234"), None, WINDOW, at(8));
    assert!(matches!(redial, Arrival::New(second) if second != first), "{redial:?}");
    let invite = invited(&mut wake, &to_alice(&identity(Some("b"), "sip:1234@x")), at(9));
    assert_eq!(invite, Arrival::Joined(uuid(redial)));
    let late = wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(10));
    assert_eq!(late, Arrival::Ghost(first, Ended::Cancelled), "the push that was owed is silent all the same");
}

#[test]
fn where_a_gateway_renames_calls_a_late_push_of_another_name_is_silent() {
    let mut wake = Table::default();
    let learnt = uuid(wake.announce(&identity(Some("upstream-1"), "1234"), None, WINDOW, at(0)));
    assert_eq!(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(1)), Arrival::Joined(learnt));
    wake.end(learnt, Ended::Cancelled, at(5));
    let second = uuid(invited(&mut wake, &to_alice(&identity(Some("b"), "1234")), at(10)));
    wake.end(second, Ended::Cancelled, at(15));
    let late = wake.announce(&identity(Some("upstream-2"), "1234"), None, WINDOW, at(16));
    assert_eq!(late, Arrival::Ghost(second, Ended::Cancelled));
}

#[test]
fn the_same_push_again_after_its_invite_got_another_call_id_is_no_second_call_and_its_cancel_is_left_to_sip() {
    let push = identity(Some("upstream"), "1234");
    let mut wake = Table::default();
    let call = uuid(wake.announce(&push, None, WINDOW, at(0)));
    invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(1));
    assert_eq!(wake.announce(&push, None, WINDOW, at(2)), Arrival::Repeated(call));
    assert_eq!(wake.cancel(&push, at(3)), None);
    wake.end(call, Ended::Cancelled, at(3));
    assert_eq!(wake.announce(&push, None, WINDOW, at(300)), Arrival::Ghost(call, Ended::Cancelled));
}

#[test]
fn a_push_without_an_id_is_owed_for_forty_seconds_from_the_invite_however_long_the_call_was() {
    let push = identity(None, "1234");
    for (ended, pushed, silent) in [(5, 39, true), (5, 40, false), (300, 301, false)] {
        let mut wake = Table::default();
        let call = uuid(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(0)));
        wake.end(call, Ended::HungUpByCaller, at(ended));
        let came = wake.announce(&push, None, WINDOW, at(pushed));
        assert_eq!(matches!(came, Arrival::Ghost(..)), silent, "ended at {ended} s, pushed at {pushed} s: {came:?}");
    }
}

#[test]
fn an_announced_call_is_missed_at_its_deadline_and_its_late_invite_is_a_ghost() {
    let mut wake = Table::default();
    let call = uuid(wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(0)));
    assert_eq!(wake.timeout().map(|(when, _)| when), Some(at(40)));
    assert!(wake.expire(at(39)).is_empty());
    assert_eq!(wake.expire(at(40)).len(), 1);
    assert_eq!(
        invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(41)),
        Arrival::Ghost(call, Ended::Missed)
    );
}

#[test]
fn what_was_declined_before_its_invite_came_stays_declined() {
    let mut wake = Table::default();
    let call = uuid(wake.announce(&identity(None, "1234"), None, WINDOW, at(0)));
    wake.end(call, Ended::Declined, at(2));
    let late = invited(&mut wake, &to_alice(&identity(Some("b"), "sip:1234@x")), at(4));
    assert_eq!(late, Arrival::Ghost(call, Ended::Declined));
    let again = invited(&mut wake, &to_alice(&identity(Some("c"), "sip:1234@x")), at(9));
    assert!(matches!(again, Arrival::New(_)), "the next call of that caller rings: {again:?}");
}

#[test]
fn a_push_without_content_is_the_call_whose_invite_comes_before_or_after() {
    let (push, invite) = (Side::default(), identity(Some("a"), "sip:1234@x"));
    let mut wake = Table::default();
    let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
    assert_eq!(wake.announce(&push, None, WINDOW, at(1)), Arrival::Repeated(first));
    assert_eq!(invited(&mut wake, &to_alice(&invite), at(2)), Arrival::Joined(first));
    let waiting = invited(&mut wake, &to_alice(&identity(Some("b"), "sip:99@x")), at(3));
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
        let second = invited(&mut wake, &to_alice(&invite), at(1));
        assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
    }
}

#[test]
fn a_push_without_content_after_such_a_call_has_ended_is_a_new_call() {
    let mut wake = Table::default();
    let first = uuid(wake.announce(&Side::default(), None, WINDOW, at(0)));
    invited(&mut wake, &to_alice(&identity(Some("a"), "sip:1234@x")), at(1));
    wake.end(first, Ended::Cancelled, at(2));
    let second = wake.announce(&Side::default(), None, WINDOW, at(3));
    assert!(matches!(second, Arrival::New(uuid) if uuid != first), "{second:?}");
}

#[test]
fn a_call_that_is_over_is_not_among_the_live_ones() {
    let mut wake = Table::default();
    let rings = uuid(invited(&mut wake, &to_alice(&identity(Some("a"), "1")), at(0)));
    let over = uuid(invited(&mut wake, &to_alice(&identity(Some("c"), "3")), at(0)));
    wake.end(over, Ended::Declined, at(1));
    assert_eq!(wake.live().map(|entry| entry.uuid).collect::<Vec<_>>(), [rings]);
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
        let call = uuid(invited(&mut wake, &to_alice(&identity(Some(&format!("i{i}")), &format!("u{i}"))), at(50)));
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
    let call = uuid(invited(&mut wake, &to_alice(&long), at(0)));
    for second in 1..=MAX_TOMBSTONES as u64 {
        let other = uuid(invited(&mut wake, &to_alice(&identity(Some(&second.to_string()), "99")), at(second)));
        wake.end(other, Ended::Cancelled, at(second));
    }
    wake.end(call, Ended::HungUpByCaller, at(1000));
    assert_eq!(wake.announce(&long, None, WINDOW, at(1001)), Arrival::Ghost(call, Ended::HungUpByCaller));
    let ended = |call_id| wake.peek(&identity(Some(call_id), "98"), at(1001)).is_some();
    assert_eq!([ended("1"), ended("2")], [false, true]);
}
