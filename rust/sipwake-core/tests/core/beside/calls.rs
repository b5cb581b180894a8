//! A call has one UUID, even though its push and its INVITE reach two programs.

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
fn a_push_and_its_invite_have_one_uuid_in_either_order() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    assert_eq!(beside.asked, 1, "a REGISTER must follow the push");
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
fn a_call_answered_before_its_invite_is_accepted_when_the_invite_comes() {
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
fn a_call_declined_on_its_push_is_refused_when_the_invite_comes() {
    for (how, status) in [(Decline::Everywhere, 603), (Decline::Busy, 486)] {
        let mut beside = Beside::bound();
        let call = beside.push(CALL).uuid;
        assert_eq!(beside.companion.decline(call, how, beside.now), Ok(status));
        assert_eq!(invite(&mut beside, &INVITE), Invite::Refuse { call: Some(call), status });
        assert_eq!(beside.companion.answer(call, beside.now), Err(Error::Over));
    }
}

#[test]
fn a_cancel_push_makes_the_stack_refuse_the_ringing_invite() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    invite(&mut beside, &INVITE);
    beside.push(CANCEL);
    assert_eq!(beside.refused, [(call, 487)]);
    assert!(matches!(beside.calls().last(), Some((_, CallChange::Ended(Ended::Cancelled)))));
    assert_eq!(invite(&mut beside, &INVITE), Invite::Refuse { call: Some(call), status: 487 });
}

#[test]
fn a_cancel_push_with_only_the_pushs_id_ends_a_ringing_call_only_where_no_cancel_can_come() {
    let renamed = [INVITE[0], ("Call-ID", "another-1"), INVITE[2]];
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    assert_eq!(invite(&mut beside, &renamed), Invite::Ring { call, again: false });
    beside.push(CANCEL);
    assert_eq!(beside.refused, [], "anybody who knows the token could have announced it");
    beside.companion.network_changed(beside.now);
    beside.drain();
    beside.push(CANCEL);
    assert_eq!(beside.refused, [(call, 487)]);
}

#[test]
fn a_log_out_makes_the_stack_refuse_a_ringing_call() {
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
fn a_call_without_an_invite_is_missed_and_its_late_invite_does_not_ring() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    for _ in 0..41 {
        beside.advance(1);
    }
    assert!(beside.calls().contains(&(call, CallChange::Ended(Ended::Missed))));
    assert!(matches!(invite(&mut beside, &INVITE), Invite::Refuse { call: Some(known), .. } if known == call));
}

#[test]
fn a_late_push_for_an_ended_call_does_not_ring_after_a_kill() {
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
fn an_invite_without_its_call_id_or_from_is_an_error() {
    let mut beside = Beside::bound();
    let (key, now) = (beside.key.clone(), beside.now);
    assert_eq!(beside.companion.invited(&key, &INVITE[..1], now), Err(Error::Lacks("Call-ID")));
    assert_eq!(beside.companion.invited(&key, &INVITE[1..], now), Err(Error::Lacks("From")));
    assert_eq!(beside.companion.ended(Uuid::nil(), Ended::HungUp, now), Err(Error::NoSuchCall));
    assert_eq!(beside.companion.answer(Uuid::nil(), now), Err(Error::NoSuchCall));
}
