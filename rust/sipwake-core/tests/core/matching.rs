//! Which push belongs to which INVITE: the rows of `docs/calls.md` that a caller and a gateway can cause.

use std::collections::BTreeMap;

use sipwake_core::event::{CallChange, Offer, Output};
use sipwake_core::payload::{Channel, Duty, Hints, PushAction, parse_push};
use sipwake_core::push::{Dialect, PortSipHeader, Provider, PushConfig};
use sipwake_core::snapshot::CALLS;
use sipwake_core::user_agent::Decline;
use uuid::Uuid;

use crate::incoming::{CALL, call, invite, ready, request};
use crate::support::{START, Sent, Stage, account, fcm, mpush, push_config, seconds};

const NO_ID: &str = r#"{"ntype":"0","nfrom":"1234","ntouser":"alice"}"#;

fn cancel(push: &str) -> String {
    push.replace("\"0\"", "\"2\"")
}

fn to_an_alias(invite: &str) -> String {
    invite.replace("To: <sip:alice@example.com>", "To: <sip:+4930123456@example.com>")
}

fn calls(stage: &Stage) -> usize {
    let mut uuids: Vec<Uuid> = call(stage);
    uuids.sort_unstable();
    uuids.dedup();
    uuids.len()
}

fn codes(stage: &mut Stage) -> Vec<u16> {
    stage.all().iter().filter_map(Sent::code).collect()
}

/// A complete call beforehand shows that the gateway's INVITEs carry the Call-ID of their pushes.
fn at_a_gateway_that_keeps_ids() -> Stage {
    let mut stage = ready();
    stage.push(&CALL.replace("call-1", "call-0"));
    stage.input(invite("call-0", "1234"));
    stage.input(request("CANCEL", "call-0", "call-0", "1234", "", ""));
    stage.advance(seconds(100));
    stage.all();
    stage.events.clear();
    stage
}

#[test]
fn a_push_and_an_invite_to_an_alias_or_a_ring_group_are_one_call() {
    for (push, call_id) in [(NO_ID, "call-1"), (CALL, "leg-b")] {
        let mut stage = ready();
        stage.push(push);
        stage.input(to_an_alias(&invite(call_id, "1234")));
        assert_eq!(calls(&stage), 1, "{:#?}", stage.calls());
    }
}

#[test]
fn a_push_with_only_a_name_and_the_invite_with_that_name_are_one_call() {
    let mut stage = ready();
    stage.push(r#"{"ntype":"0","nfrom":"Mad Hatter","ntouser":"alice"}"#);
    stage.input(invite("call-1", "1234"));
    assert_eq!(calls(&stage), 1, "{:#?}", stage.calls());
}

#[test]
fn the_forms_of_one_number_are_one_caller() {
    let mut stage = ready();
    stage.push(r#"{"ntype":"0","nfrom":"+49 30 123456","ntouser":"alice"}"#);
    stage.input(invite("call-1", "030123456"));
    assert_eq!(calls(&stage), 1, "{:#?}", stage.calls());
}

#[test]
fn the_registrars_assertion_names_an_anonymous_caller() {
    let mut stage = ready();
    stage.push(NO_ID);
    let asserted = "P-Asserted-Identity: \"Alice's boss\" <sip:1234@example.com>\r\n";
    stage.input(request("INVITE", "c", "call-1", "anonymous", asserted, "").replace("Mad Hatter", "Anonymous"));
    assert_eq!(calls(&stage), 1, "{:#?}", stage.calls());
    let Some(CallChange::Ringing { caller, .. }) = stage.calls().last() else { panic!("{:#?}", stage.calls()) };
    assert_eq!((caller.uri.as_str(), caller.display_name.as_deref()), ("sip:1234@example.com", Some("Alice's boss")));
}

#[test]
fn both_identities_that_the_registrar_asserts_are_the_callers_and_either_can_have_the_name() {
    for lines in [
        "P-Asserted-Identity: <tel:+49-30-123456>, \"Bob, B\" <sip:1234@example.com>\r\n",
        "P-Asserted-Identity: <tel:+49-30-123456>\r\nP-Asserted-Identity: \"Bob, B\" <sip:1234@example.com>\r\n",
    ] {
        for push in [NO_ID.to_owned(), NO_ID.replace("1234", "030 123456")] {
            let mut stage = ready();
            stage.push(&push);
            stage.input(request("INVITE", "c", "call-1", "anonymous", lines, "").replace("Mad Hatter", "Anonymous"));
            assert_eq!(calls(&stage), 1, "{:#?}", stage.calls());
            let Some(CallChange::Ringing { caller, .. }) = stage.calls().last() else { panic!("{:#?}", stage.calls()) };
            assert_eq!((caller.uri.as_str(), caller.display_name.as_deref()), ("tel:+49-30-123456", Some("Bob, B")));
        }
    }
}

#[test]
fn a_push_with_its_own_id_and_no_caller_and_its_invite_are_one_call() {
    for push in [
        r#"{"aps":{"alert":{"loc-key":"IC_MSG","loc-args":["Bob"]},"call-id":"206"},"from-uri":"sip:1234@pbx.example.com"}"#,
        r#"{"aps":{"alert":{"loc-key":"IC_MSG"},"sound":"ring.caf"},"call-id":"206"}"#,
    ] {
        let mut stage = ready();
        let action = stage.push_on(push, Channel::PushKit);
        let register = stage.one();
        assert!(stage.agent.answer(action.uuid, stage.now));
        stage.drain();
        stage.ok(&register, &[]);
        stage.input(invite("7b2e-9@pbx", "1234"));
        assert!(call(&stage).iter().all(|uuid| *uuid == action.uuid), "{:#?}", stage.calls());
        assert!(stage.calls().iter().any(|change| matches!(change, CallChange::AnswerWanted { .. })));
    }
}

#[test]
fn a_push_stays_the_call_that_the_gate_chose_even_if_others_come_in_between() {
    let mut stage = ready();
    stage.push(NO_ID);
    stage.input(invite("call-0", "1234"));
    let hints = Hints::at(stage.now);
    let judged = stage.agent.gate().judge(parse_push(CALL, Channel::PushKit, &hints), &hints, stage.now.boot);
    stage.input(request("CANCEL", "call-0", "call-0", "1234", "", ""));
    stage.agent.handle_push(&judged, stage.now);
    stage.drain();
    stage.input(invite("call-1", "1234"));
    assert_eq!(call(&stage).last(), Some(&judged.uuid), "{:#?}", stage.calls());
    assert!(stage.agent.answer(judged.uuid, stage.now));
}

#[test]
fn the_cancel_push_of_a_connected_call_is_reported_and_ends_nothing() {
    let mut stage = ready();
    stage.input(invite("call-1", "1234"));
    let uuid = call(&stage)[0];
    assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
    stage.drain();
    let action = stage.push_on(&cancel(CALL), Channel::PushKit);
    assert_eq!((action.uuid, action.duty), (uuid, Duty::ReportCall));
    assert!(!matches!(stage.calls().last(), Some(CallChange::Ended(_))), "{:#?}", stage.calls());
}

#[test]
fn two_anonymous_callers_are_two_calls() {
    let mut stage = ready();
    stage.push(r#"{"ntype":"0","nfrom":"anonymous","ncallid":"call-1","ntouser":"alice"}"#);
    stage.input(invite("call-2", "anonymous").replace("Mad Hatter", "Anonymous"));
    stage.input(invite("call-1", "anonymous").replace("Mad Hatter", "Anonymous"));
    assert_eq!(calls(&stage), 2, "{:#?}", stage.calls());
}

#[test]
fn two_calls_of_one_caller_stay_two_even_if_the_first_push_joined_the_seconds_invite() {
    let mut stage = ready();
    stage.push(CALL);
    stage.input(invite("call-2", "1234"));
    stage.input(invite("call-1", "1234"));
    assert_eq!(calls(&stage), 2, "{:#?}", stage.calls());
    assert_eq!(codes(&mut stage), [180, 180]);
}

#[test]
fn a_redial_after_a_cancel_push_rings() {
    for (mut stage, push) in [(ready(), CALL), (at_a_gateway_that_keeps_ids(), CALL), (ready(), NO_ID)] {
        stage.push(push);
        stage.push(&cancel(push));
        stage.advance(seconds(10));
        stage.all();
        stage.input(invite("call-2", "1234"));
        assert_eq!(codes(&mut stage), [180], "{:#?}", stage.calls());
    }
}

#[test]
fn a_redial_after_a_decline_rings_if_it_has_another_id() {
    let mut stage = ready();
    let action = stage.push(CALL);
    assert!(stage.agent.decline(action.uuid, Decline::Everywhere, stage.now));
    stage.drain();
    stage.all();
    stage.input(invite("call-2", "1234"));
    assert_eq!(codes(&mut stage), [180], "{:#?}", stage.calls());
}

#[test]
fn the_cancel_of_another_call_does_not_end_the_one_that_rings() {
    for push in [
        r#"{"ntype":"2","nfrom":"1234","ncallid":"call-1","ntouser":"alice"}"#,
        r#"{"ntype":"2","nfrom":"1234","ntouser":"alice"}"#,
        r#"{"ntype":"2"}"#,
    ] {
        let mut stage = ready();
        stage.input(invite("call-2", "1234"));
        stage.all();
        stage.push(push);
        assert!(!matches!(stage.calls().last(), Some(CallChange::Ended(_))), "{push}: {:#?}", stage.calls());
        assert!(stage.all().is_empty(), "{push}: the caller has given up, and nobody waits for a REGISTER");
    }
}

#[test]
fn a_cancel_push_after_an_unbind_ends_the_announced_call() {
    let mut stage = ready();
    stage.push(CALL);
    let register = stage.one();
    stage.ok(&register, &[]);
    stage.unbind();
    stage.push(&cancel(CALL));
    assert!(matches!(stage.calls().last(), Some(CallChange::Ended(_))), "{:#?}", stage.calls());
}

#[test]
fn a_forged_cancel_does_not_silence_the_next_call() {
    let mut stage = ready();
    for (id, seconds_later) in [("invented", 39), ("invented-2", 1)] {
        stage.push(&format!(r#"{{"ntype":"2","nfrom":"1234","ncallid":"{id}"}}"#));
        stage.all();
        stage.advance(seconds(seconds_later));
        stage.all();
        stage.input(invite(&format!("real-{seconds_later}"), "1234"));
        assert_eq!(codes(&mut stage), [180]);
    }
}

#[test]
fn endless_pushes_leave_room_for_an_invite_and_those_that_cannot_ring_are_silent() {
    let mut stage = ready();
    let flood = |number: u32| format!(r#"{{"ntype":"0","nfrom":"x{number}","ncallid":"f{number}","ntouser":"alice"}}"#);
    let judged: Vec<PushAction> = (0..200).map(|number| stage.push(&flood(number))).collect();
    let told = stage.calls().iter().filter(|change| matches!(change, CallChange::Announced(_))).count();
    assert_eq!(judged.iter().filter(|action| action.is_call()).count(), told, "the ringing calls are the stored calls");
    assert!(told < 128, "{told}");
    stage.all();
    stage.input(invite("real", "1234"));
    assert_eq!(codes(&mut stage), [180]);
}

#[test]
fn a_hunt_group_that_calls_again_with_the_same_call_id_rings_again() {
    for cancelled in [true, false] {
        let mut stage = ready();
        stage.input(invite("c", "1234"));
        let uuid = call(&stage)[0];
        if cancelled {
            stage.input(request("CANCEL", "c", "c", "1234", "", ""));
        } else {
            assert!(stage.agent.decline(uuid, Decline::Busy, stage.now));
            stage.drain();
        }
        stage.input(request("ACK", "c", "c", "1234", "", ""));
        stage.advance(seconds(20));
        stage.all();
        stage.input(request("INVITE", "c2", "c", "1234", "Content-Type: application/sdp\r\n", "v=0\r\n"));
        assert_eq!(codes(&mut stage), [180], "cancelled: {cancelled}");
    }
}

fn at(domain: &str) -> sipwake_core::account::AccountConfig {
    account(|config| config.aor = format!("sip:100@{domain}"))
}

fn portsip() -> Option<PushConfig> {
    Some(push_config(Provider::Fcm, &[Dialect::PortSip(PortSipHeader::XPush)]))
}

fn add_registered(stage: &mut Stage, domain: &str) {
    stage.add(at(domain), portsip());
    stage.set_token(fcm("a:1"));
    let register = stage.register();
    stage.ok(&register, &[]);
}

#[test]
fn a_late_push_for_a_logged_out_user_is_silent_even_if_another_domain_has_the_same_extension() {
    const LATE: &str =
        r#"{"msg_type":"audio","send_from":"sip:200@pbx1.example","send_to":"sip:100@pbx1.example","x-push-id":"7"}"#;
    for other_first in [true, false] {
        let mut stage = Stage::without_account(BTreeMap::new(), START, 1);
        if other_first {
            add_registered(&mut stage, "pbx2.example");
        }
        add_registered(&mut stage, "pbx1.example");
        stage.log_out();
        let removal = stage.one();
        stage.ok(&removal, &[]);
        assert!(stage.is_logged_out());
        if !other_first {
            add_registered(&mut stage, "pbx2.example");
        }
        let action = stage.push(LATE);
        assert!(!action.is_call(), "{action:?}");
        assert!(stage.push(&LATE.replace("pbx1", "pbx2")).is_call());
    }
}

#[test]
fn a_late_push_is_silent_after_a_kill_and_the_stored_record_names_nobody() {
    let mut stage = ready();
    stage.push(CALL);
    stage.input(invite("call-1", "1234"));
    stage.input(request("CANCEL", "call-1", "call-1", "1234", "", ""));
    let record = String::from_utf8(stage.store[CALLS].clone()).expect("text");
    assert!(!record.contains("1234") && !record.contains("call-1"), "{record}");
    let mut later = stage.restart(account(|_| {}), mpush());
    let late = later.push(CALL);
    assert!(!late.is_call(), "{late:?}");
    let redial = later.push(&CALL.replace("call-1", "call-2"));
    assert!(redial.is_call());
    later.now = later.now.after(seconds(3600));
    assert!(later.push(CALL).is_call(), "after an hour it is forgotten");
}

#[test]
fn the_end_of_a_call_is_stored_before_the_message_that_ends_it() {
    let mut stage = ready();
    stage.input(invite("call-1", "1234"));
    stage.all();
    let uuid = call(&stage)[0];
    assert!(stage.agent.decline(uuid, Decline::Everywhere, stage.now));
    let mut order = Vec::new();
    while let Some(output) = stage.agent.poll_output() {
        match output {
            Output::Save(record) => order.push(record.key),
            Output::Transmit { .. } => order.push("sent".to_owned()),
            _ => {}
        }
    }
    assert_eq!(order, [CALLS, "sent"]);
}

/// A push woke this client for a call, which the user declined. Then the process was killed, and the next one has registered.
fn declined_and_killed(push: &str, how: Decline) -> Stage {
    let mut stage = ready();
    let action = stage.push(push);
    assert!(stage.agent.decline(action.uuid, how, stage.now));
    stage.drain();
    awake(&stage)
}

fn awake(killed: &Stage) -> Stage {
    let mut later = killed.restart(account(|_| {}), mpush());
    later.set_token(fcm("a:1"));
    let register = later.register();
    later.ok(&register, &[]);
    later.all();
    later.events.clear();
    later
}

fn heard(stage: &mut Stage, text: String) -> Vec<u16> {
    stage.input(text);
    codes(stage)
}

const VENDORS: &str = r#"{"msg_type":"audio","send_from":"1234","x-push-id":"77"}"#;

#[test]
fn a_call_declined_before_its_invite_does_not_ring_after_a_kill() {
    for (push, call_id, from, how, code) in [
        (CALL, "call-1", "1234", Decline::Everywhere, 603),
        (CALL, "call-1", "5678", Decline::Busy, 486),
        (CALL, "call-2", "1234", Decline::Everywhere, 180),
        (NO_ID, "call-1", "1234", Decline::Everywhere, 603),
        (NO_ID, "call-1", "mad", Decline::Everywhere, 180),
        (VENDORS, "call-1", "1234", Decline::Busy, 486),
    ] {
        let mut later = declined_and_killed(push, how);
        assert_eq!(heard(&mut later, invite(call_id, from)), [code], "{push} {call_id} {from}");
        assert_eq!(later.calls().is_empty(), code != 180, "{push} {call_id} {from}");
        let redial = heard(&mut later, invite("call-9", from));
        assert_eq!(redial, [180], "it is refused once: {push} {call_id} {from}");
    }
}

#[test]
fn a_call_declined_before_a_kill_is_refused_for_as_long_as_without_one() {
    for (push, after, code) in [(CALL, 41, 603), (CALL, 3601, 180), (NO_ID, 38, 603), (NO_ID, 41, 180)] {
        let mut later = declined_and_killed(push, Decline::Everywhere);
        later.now = later.now.after(seconds(after));
        assert_eq!(heard(&mut later, invite("call-1", "1234")), [code], "{push} {after}");
    }
}

#[test]
fn after_a_kill_a_late_branch_is_refused_and_a_hunt_group_rings() {
    for (after, code) in [(3, 487), (12, 180)] {
        let mut stage = ready();
        stage.input(invite("call-1", "1234"));
        stage.input(request("CANCEL", "call-1", "call-1", "1234", "", ""));
        let mut later = awake(&stage);
        later.now = later.now.after(seconds(after));
        let branch = request("INVITE", "branch-2", "call-1", "1234", "Content-Type: application/sdp\r\n", "v=0\r\n");
        assert_eq!(heard(&mut later, branch), [code], "{after}");
    }
}

#[test]
fn a_call_announced_after_a_kill_rings_even_if_an_earlier_one_of_that_caller_was_declined() {
    let mut later = declined_and_killed(NO_ID, Decline::Everywhere);
    assert!(later.push(CALL).is_call());
    later.all();
    assert_eq!(heard(&mut later, invite("call-1", "1234")), [180]);
}

#[test]
fn a_call_that_an_earlier_process_missed_is_refused_when_its_invite_comes() {
    let mut stage = ready();
    stage.push(CALL);
    stage.all();
    stage.advance(seconds(41));
    let mut later = awake(&stage);
    assert_eq!(heard(&mut later, invite("call-1", "1234")), [480]);
    let record = String::from_utf8(later.store[CALLS].clone()).expect("text");
    assert!(!record.contains("1234") && !record.contains("call-1"), "{record}");
}

/// A later process does not know the call that went on. The caller and the server learn that, and the phone does not ring.
#[test]
fn a_request_inside_a_call_that_a_kill_ended_is_answered_with_481_and_the_next_call_rings() {
    let mut killed = ready();
    killed.input(invite("call-1", "1234"));
    let uuid = call(&killed)[0];
    killed.all();
    assert!(killed.agent.accept(uuid, Offer::sdp("v=0\r\n"), killed.now));
    killed.drain();
    let to = killed.one().header("To").expect("it has one").to_owned();
    let within = |method: &str, cseq: u32| {
        request(method, &format!("{method}{cseq}"), "call-1", "1234", "", "")
            .replace("To: <sip:alice@example.com>", &format!("To: {to}"))
            .replace("CSeq: 7", &format!("CSeq: {cseq}"))
    };
    killed.input(within("ACK", 7));
    assert!(matches!(killed.calls().last(), Some(CallChange::Connected { .. })), "{:?}", killed.calls());
    let mut later = awake(&killed);
    for (cseq, method) in (8..).zip(["INVITE", "UPDATE", "INFO", "BYE"]) {
        assert_eq!(heard(&mut later, within(method, cseq)), [481], "{method}");
    }
    assert!(heard(&mut later, within("ACK", 8)).is_empty());
    assert!(later.calls().is_empty(), "{:?}", later.calls());
    assert_eq!(heard(&mut later, invite("call-2", "1234")), [180]);
}
