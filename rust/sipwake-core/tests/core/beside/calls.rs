//! One call, one name, though push and INVITE come to two programs.

use sipwake_core::beside::{Error, Invite};
use sipwake_core::event::{CallChange, Ended};
use sipwake_core::payload::{ActionKind, Ignored};
use sipwake_core::user_agent::Decline;
use uuid::Uuid;

use super::Beside;
use crate::incoming::CALL;

const INVITE: [(&str, &str); 3] =
    [("f", "\"Mad Hatter\" <sip:1234@example.com>;tag=1"), ("Call-ID", "call-1"), ("CSEQ", "7 INVITE")];
const CANCEL: &str = r#"{"ntype":"2","nfrom":"1234","ncallid":"call-1","ntouser":"alice"}"#;

fn invite(beside: &mut Beside, headers: &[(&str, &str)]) -> Invite {
    let invited = beside.companion.invited(&beside.key, headers, beside.now).expect("an INVITE");
    beside.drain();
    invited
}

#[test]
fn a_push_and_its_invite_have_one_name_whichever_comes_first() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    assert_eq!(beside.asked, 1, "a push is owed a REGISTER");
    assert_eq!(invite(&mut beside, &INVITE), Invite::Ring { call, again: false });
    let changes = beside.calls();
    assert!(matches!(&changes[..], [(_, CallChange::Announced(_)), (_, CallChange::Ringing { announced: true, .. })]));

    let mut beside = Beside::bound();
    assert_eq!(invite(&mut beside, &INVITE), Invite::Ring { call, again: false });
    let action = beside.push(CALL);
    assert!(action.is_call() && action.uuid == call);
    assert_eq!(invite(&mut beside, &INVITE), Invite::Ring { call, again: true });
}

#[test]
fn a_call_that_was_answered_before_its_invite_is_accepted_when_that_comes() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    assert_eq!(beside.companion.answer(call, beside.now), Ok(false));
    assert_eq!(beside.companion.answered(call, beside.now), Err(Error::NotInvited));
    assert_eq!(invite(&mut beside, &INVITE), Invite::Accept { call });
    assert_eq!(beside.companion.answered(call, beside.now), Ok(()));
    assert_eq!(beside.companion.answered(call, beside.now), Err(Error::Answered));
    assert_eq!(invite(&mut beside, &INVITE), Invite::Refuse { call: Some(call), status: 486 });
    beside.companion.ended(call, Ended::HungUp, beside.now).expect("it is up");
    assert_eq!(beside.companion.ended(call, Ended::HungUp, beside.now), Err(Error::Over));
    beside.drain();
    assert!(matches!(beside.calls().last(), Some((_, CallChange::Ended(Ended::HungUp)))));
}

#[test]
fn a_call_that_was_declined_before_its_invite_is_refused_when_that_comes() {
    for (how, status) in [(Decline::Everywhere, 603), (Decline::Busy, 486)] {
        let mut beside = Beside::bound();
        let call = beside.push(CALL).uuid;
        assert_eq!(beside.companion.decline(call, how, beside.now), Ok(status));
        assert_eq!(invite(&mut beside, &INVITE), Invite::Refuse { call: Some(call), status });
        assert_eq!(beside.companion.answer(call, beside.now), Err(Error::Over));
    }
}

#[test]
fn a_cancel_by_push_has_the_stack_refuse_the_invite_that_rings() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    invite(&mut beside, &INVITE);
    beside.push(CANCEL);
    assert_eq!(beside.refused, [(call, 487)]);
    assert!(matches!(beside.calls().last(), Some((_, CallChange::Ended(Ended::Cancelled)))));
    assert_eq!(invite(&mut beside, &INVITE), Invite::Refuse { call: Some(call), status: 487 });
}

#[test]
fn the_id_of_the_push_alone_ends_what_rings_only_where_no_cancel_can_come() {
    let renamed = [INVITE[0], ("Call-ID", "another-1"), INVITE[2]];
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    assert_eq!(invite(&mut beside, &renamed), Invite::Ring { call, again: false });
    beside.push(CANCEL);
    assert_eq!(beside.refused, [], "whoever learnt the token could have announced it");
    beside.companion.network_changed(beside.now);
    beside.drain();
    beside.push(CANCEL);
    assert_eq!(beside.refused, [(call, 487)]);
}

#[test]
fn a_log_out_has_the_stack_refuse_what_rings() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    invite(&mut beside, &INVITE);
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    assert_eq!(beside.refused, [(call, 480)]);
    assert_eq!(invite(&mut beside, &INVITE), Invite::Refuse { call: None, status: 480 });
}

#[test]
fn a_cancel_tells_who_answered_and_ends_the_call_with_its_last_branch() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    invite(&mut beside, &INVITE);
    invite(&mut beside, &INVITE);
    let reason = [("reason", "SIP;cause=200;text=\"Call completed elsewhere\"")];
    assert_eq!(beside.companion.cancelled(call, &reason, beside.now), Ok(None));
    assert_eq!(beside.companion.cancelled(call, &reason, beside.now), Ok(Some(Ended::AnsweredElsewhere)));
    assert_eq!(beside.companion.cancelled(call, &reason, beside.now), Err(Error::Over));
}

#[test]
fn an_invite_that_never_comes_is_told_as_missed_and_comes_to_nothing_later() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    for _ in 0..41 {
        beside.advance(1);
    }
    assert!(beside.calls().contains(&(call, CallChange::Ended(Ended::Missed))));
    assert!(matches!(invite(&mut beside, &INVITE), Invite::Refuse { call: Some(known), .. } if known == call));
}

#[test]
fn a_late_push_rings_no_ghost_though_the_process_was_killed_meanwhile() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    invite(&mut beside, &INVITE);
    beside.companion.answered_elsewhere(call, beside.now).expect("it rings");
    beside.drain();
    beside.restart();
    beside.log_in();
    assert_eq!(beside.push(CALL).kind, ActionKind::Ignore { reason: Ignored::CallOver });
}

#[test]
fn an_invite_without_what_tells_it_is_an_error() {
    let mut beside = Beside::bound();
    let (key, now) = (beside.key.clone(), beside.now);
    assert_eq!(beside.companion.invited(&key, &INVITE[..1], now), Err(Error::Lacks("Call-ID")));
    assert_eq!(beside.companion.invited(&key, &INVITE[1..], now), Err(Error::Lacks("From")));
    assert_eq!(beside.companion.ended(Uuid::nil(), Ended::HungUp, now), Err(Error::NoSuchCall));
    assert_eq!(beside.companion.answer(Uuid::nil(), now), Err(Error::NoSuchCall));
}
