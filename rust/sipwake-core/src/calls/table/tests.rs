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

fn invited(table: &mut Table, side: &Side, now: Duration) -> Match {
    table.invite(side, &[], now)
}

fn uuid(arrival: Match) -> Uuid {
    match arrival {
        Match::New(uuid) | Match::Joined(uuid) | Match::Repeated(uuid) | Match::Ghost(uuid, _) => uuid,
        Match::Full => panic!("full"),
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
        assert!(matches!(announced, Match::New(_)) && matches!(arrived, Match::Joined(_)));
        assert_eq!(uuid(announced), uuid(arrived));

        let mut wake = Table::default();
        let arrived = invited(&mut wake, &to_alice(&invite), at(0));
        let announced = wake.announce(&push, None, WINDOW, at(1));
        assert!(matches!(arrived, Match::New(_)) && matches!(announced, Match::Joined(_)));
        assert_eq!(uuid(announced), uuid(arrived));
    }
}

#[test]
fn a_repeated_push_is_the_same_call() {
    for push in [identity(Some("a"), "1234"), identity(None, "1234")] {
        let mut wake = Table::default();
        let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
        assert_eq!(wake.announce(&push, None, WINDOW, at(2)), Match::Repeated(first));
    }
}

#[test]
fn a_late_push_after_the_end_of_its_call_does_not_ring() {
    let mut wake = Table::default();
    let call = uuid(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(0)));
    assert!(wake.end(call, Ended::Cancelled, at(5)));
    assert!(!wake.end(call, Ended::Declined, at(6)), "an end is reported once");
    assert_eq!(wake.announce(&identity(None, "1234"), None, WINDOW, at(8)), Match::Ghost(call, Ended::Cancelled));
    assert_eq!(
        wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(900)),
        Match::Ghost(call, Ended::Cancelled)
    );
}

#[test]
fn a_cancel_that_overtakes_its_call_silences_it() {
    let mut wake = Table::default();
    assert_eq!(wake.cancel(&identity(Some("a"), "1234"), at(0)), None);
    assert!(matches!(
        wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(1)),
        Match::Ghost(_, Ended::Cancelled)
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
    assert!(matches!(second, Match::New(uuid) if uuid != first), "{second:?}");
}

#[test]
fn a_redial_whose_push_has_another_call_id_wakes_even_if_the_call_before_had_no_push() {
    let mut wake = Table::default();
    let first = uuid(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(0)));
    wake.end(first, Ended::Cancelled, at(5));
    let redial = wake.announce(&identity(Some("b"), "1234"), None, WINDOW, at(8));
    assert!(matches!(redial, Match::New(second) if second != first), "{redial:?}");
    let invite = invited(&mut wake, &to_alice(&identity(Some("b"), "sip:1234@x")), at(9));
    assert_eq!(invite, Match::Joined(uuid(redial)));
    let late = wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(10));
    assert_eq!(late, Match::Ghost(first, Ended::Cancelled), "the push is silent even though a REGISTER follows it");
}

#[test]
fn where_a_gateway_changes_call_ids_a_late_push_with_another_id_is_silent() {
    let mut wake = Table::default();
    let learnt = uuid(wake.announce(&identity(Some("upstream-1"), "1234"), None, WINDOW, at(0)));
    assert_eq!(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(1)), Match::Joined(learnt));
    wake.end(learnt, Ended::Cancelled, at(5));
    let second = uuid(invited(&mut wake, &to_alice(&identity(Some("b"), "1234")), at(10)));
    wake.end(second, Ended::Cancelled, at(15));
    let late = wake.announce(&identity(Some("upstream-2"), "1234"), None, WINDOW, at(16));
    assert_eq!(late, Match::Ghost(second, Ended::Cancelled));
}

#[test]
fn a_repeated_push_whose_invite_has_another_call_id_is_the_same_call_and_only_sip_can_cancel_it() {
    let push = identity(Some("upstream"), "1234");
    let mut wake = Table::default();
    let call = uuid(wake.announce(&push, None, WINDOW, at(0)));
    invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(1));
    assert_eq!(wake.announce(&push, None, WINDOW, at(2)), Match::Repeated(call));
    assert_eq!(wake.cancel(&push, at(3)), None);
    wake.end(call, Ended::Cancelled, at(3));
    assert_eq!(wake.announce(&push, None, WINDOW, at(300)), Match::Ghost(call, Ended::Cancelled));
}

#[test]
fn a_late_push_without_an_id_is_silent_for_forty_seconds_after_the_invite_of_a_short_or_long_call() {
    let push = identity(None, "1234");
    for (ended, pushed, silent) in [(5, 39, true), (5, 40, false), (300, 301, false)] {
        let mut wake = Table::default();
        let call = uuid(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(0)));
        wake.end(call, Ended::HungUpByCaller, at(ended));
        let came = wake.announce(&push, None, WINDOW, at(pushed));
        assert_eq!(matches!(came, Match::Ghost(..)), silent, "ended at {ended} s, pushed at {pushed} s: {came:?}");
    }
}

#[test]
fn an_announced_call_is_missed_at_its_deadline_and_its_late_invite_does_not_ring() {
    let mut wake = Table::default();
    let call = uuid(wake.announce(&identity(Some("a"), "1234"), None, WINDOW, at(0)));
    assert_eq!(wake.timeout().map(|(when, _)| when), Some(at(40)));
    assert!(wake.expire(at(39)).is_empty());
    assert_eq!(wake.expire(at(40)).len(), 1);
    assert_eq!(invited(&mut wake, &to_alice(&identity(Some("a"), "1234")), at(41)), Match::Ghost(call, Ended::Missed));
}

#[test]
fn a_call_declined_before_its_invite_stays_declined() {
    let mut wake = Table::default();
    let call = uuid(wake.announce(&identity(None, "1234"), None, WINDOW, at(0)));
    wake.end(call, Ended::Declined, at(2));
    let late = invited(&mut wake, &to_alice(&identity(Some("b"), "sip:1234@x")), at(4));
    assert_eq!(late, Match::Ghost(call, Ended::Declined));
    let again = invited(&mut wake, &to_alice(&identity(Some("c"), "sip:1234@x")), at(9));
    assert!(matches!(again, Match::New(_)), "the next call of that caller rings: {again:?}");
}

#[test]
fn a_push_without_content_joins_the_invite_that_comes_before_or_after_it() {
    let (push, invite) = (Side::default(), identity(Some("a"), "sip:1234@x"));
    let mut wake = Table::default();
    let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
    assert_eq!(wake.announce(&push, None, WINDOW, at(1)), Match::Repeated(first));
    assert_eq!(invited(&mut wake, &to_alice(&invite), at(2)), Match::Joined(first));
    let waiting = invited(&mut wake, &to_alice(&identity(Some("b"), "sip:99@x")), at(3));
    assert!(matches!(waiting, Match::New(second) if second != first), "{waiting:?}");
    assert_eq!(wake.announce(&push, None, WINDOW, at(4)), Match::Joined(uuid(waiting)));
}

#[test]
fn another_caller_or_another_account_means_another_call() {
    let bobs = crate::account::AccountConfig::new("bob@example.com", "x");
    let bobs = crate::account::Account::parse(bobs).expect("valid").key();
    for (push, invite) in [
        (identity(None, "1234"), identity(Some("a"), "sip:99@x")),
        (of(bobs, identity(None, "1234")), identity(Some("a"), "sip:1234@x")),
    ] {
        let mut wake = Table::default();
        let first = uuid(wake.announce(&push, None, WINDOW, at(0)));
        let second = invited(&mut wake, &to_alice(&invite), at(1));
        assert!(matches!(second, Match::New(uuid) if uuid != first), "{second:?}");
    }
}

#[test]
fn a_push_without_content_after_such_a_call_has_ended_is_a_new_call() {
    let mut wake = Table::default();
    let first = uuid(wake.announce(&Side::default(), None, WINDOW, at(0)));
    invited(&mut wake, &to_alice(&identity(Some("a"), "sip:1234@x")), at(1));
    wake.end(first, Ended::Cancelled, at(2));
    let second = wake.announce(&Side::default(), None, WINDOW, at(3));
    assert!(matches!(second, Match::New(uuid) if uuid != first), "{second:?}");
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
    assert_eq!(wake.announce(&identity(Some("x"), "x"), None, WINDOW, at(0)), Match::Full);
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
fn of_too_many_tombstones_the_call_that_ended_first_goes() {
    let mut wake = Table::default();
    let long = identity(Some("long"), "1234");
    let call = uuid(invited(&mut wake, &to_alice(&long), at(0)));
    for second in 1..=MAX_TOMBSTONES as u64 {
        let other = uuid(invited(&mut wake, &to_alice(&identity(Some(&second.to_string()), "99")), at(second)));
        wake.end(other, Ended::Cancelled, at(second));
    }
    wake.end(call, Ended::HungUpByCaller, at(1000));
    assert_eq!(wake.announce(&long, None, WINDOW, at(1001)), Match::Ghost(call, Ended::HungUpByCaller));
    let ended = |call_id| wake.peek(&identity(Some(call_id), "98"), at(1001)).is_some();
    assert_eq!([ended("1"), ended("2")], [false, true]);
}
