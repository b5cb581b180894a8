//! Pushes and their calls: late ones, early ones, for another user, for nobody.

use sipwake_core::call::{CallPolicy, HangUp};
use sipwake_core::clock::Now;
use sipwake_core::event::{CallChange, Ended, Offer};
use sipwake_core::judge::Gate;
use sipwake_core::payload::{ActionKind, Channel, Duty, Hints, Ignored, parse_push};
use sipwake_core::push::Dialect;
use sipwake_core::user_agent::Decline;

use crate::incoming::{CALL, call, invite, ready, request};
use crate::support::{Stage, account, fcm, push_config, seconds};

const CANCEL: &str = r#"{"ntype":"2","nfrom":"1234","ncallid":"call-1","ntouser":"alice"}"#;

fn announced(stage: &mut Stage) -> sipwake_core::payload::PushAction {
    let action = stage.push(CALL);
    let request = stage.one();
    stage.ok(&request, &[]);
    action
}

#[test]
fn a_push_registers_in_one_round_trip_and_its_invite_is_the_same_call() {
    let mut stage = ready();
    stage.advance(seconds(100));
    let action = stage.push(CALL);
    let request = stage.one();
    assert!(request.is_register() && request.auth("nonce").is_some());
    stage.ok(&request, &[]);
    stage.silent();
    stage.input(invite("call-1", "1234"));
    stage.all();
    assert!(matches!(stage.calls()[..], [CallChange::Announced(_), CallChange::Ringing { announced: true, .. }]));
    assert!(call(&stage).iter().all(|uuid| *uuid == action.uuid));
}

#[test]
fn an_invite_before_its_push_keeps_its_uuid() {
    let mut stage = ready();
    stage.input(invite("call-1", "1234"));
    stage.all();
    let action = stage.push(CALL);
    assert_eq!(call(&stage), [action.uuid]);
    assert!(matches!(stage.calls()[..], [CallChange::Ringing { announced: false, .. }]), "it rings once");
}

#[test]
fn pushes_during_a_register_lead_to_one_more_after_it() {
    let mut stage = ready();
    stage.push(CALL);
    let request = stage.one();
    stage.push(CALL);
    stage.push("{}");
    stage.silent();
    stage.ok(&request, &[]);
    let after = stage.one();
    stage.ok(&after, &[]);
    stage.silent();
}

#[test]
fn a_call_push_after_its_cancel_is_silent() {
    let mut stage = ready();
    announced(&mut stage);
    stage.push(CANCEL);
    stage.all();
    assert_eq!(stage.calls().last(), Some(&&CallChange::Ended(Ended::Cancelled)));
    let before = stage.calls().len();
    let late = stage.push_on(CALL, Channel::PushKit);
    assert_eq!(late.kind, ActionKind::Ignore { reason: Ignored::CallOver });
    assert_eq!(late.duty, Duty::ReportThenEnd, "CallKit is told anyway");
    assert_eq!(stage.calls().len(), before);
}

#[test]
fn a_cancel_that_overtakes_its_call_silences_it() {
    let mut stage = ready();
    stage.push(CANCEL);
    let late = stage.push(CALL);
    assert_eq!(late.kind, ActionKind::Ignore { reason: Ignored::CallOver });
    assert!(stage.calls().is_empty());
}

#[test]
fn a_push_after_a_log_out_is_silent() {
    let mut stage = ready();
    stage.log_out();
    for delivered in [false, true] {
        let late = stage.push(CALL);
        assert_eq!(late.kind, ActionKind::Ignore { reason: Ignored::LoggedOut }, "delivered: {delivered}");
        assert!(stage.calls().is_empty());
        if let Some(removal) = stage.sent.pop_front() {
            stage.ok(&removal, &[]);
        }
    }
    assert!(stage.is_logged_out());
}

#[test]
fn a_push_for_a_logged_out_user_is_silent_while_another_stays() {
    let mut stage = ready();
    let alice = stage.key.clone();
    stage.add(account(|config| config.aor = "sip:bob@example.com".into()), None);
    stage.agent.log_out(&alice, stage.now).expect("the account is there");
    stage.drain();
    let removal = stage.one();
    stage.ok(&removal, &[]);
    let late = stage.push(CALL);
    assert_eq!(late.kind, ActionKind::Ignore { reason: Ignored::LoggedOut });
    let bobs = stage.push(&CALL.replace("alice", "bob").replace("call-1", "call-2"));
    assert!(bobs.is_call());
}

#[test]
fn an_empty_rfc_8599_push_registers_every_binding_silently() {
    let push = || Some(push_config(sipwake_core::push::Provider::Fcm, &[Dialect::Rfc8599]));
    let mut stage = ready();
    stage.add(account(|config| config.aor = "sip:bob@example.com".into()), push());
    stage.set_token(fcm("a:1"));
    let bob = stage.register();
    let flow = bob.flow;
    let text = crate::support::response(&bob, 200, "OK", &[]);
    stage.agent.handle_input(flow, text.as_bytes(), stage.now);
    stage.drain();
    stage.advance(seconds(60));
    let action = stage.push("{}");
    assert_eq!(action.kind, ActionKind::RefreshBinding);
    assert_eq!(action.duty, Duty::Nothing);
    assert_eq!(stage.all().len(), 2, "RFC 8599 section 4.1: every binding");
    assert!(stage.calls().is_empty());
}

#[test]
fn beside_the_client_a_push_for_a_logged_out_user_is_silent_and_no_other() {
    let mut stage = ready();
    stage.log_out();
    let hints = Hints::at(stage.now);
    let beside = |stage: &Stage, json: &str| {
        let record = stage.store.get(sipwake_core::snapshot::REMOVALS).map(Vec::as_slice);
        Gate::of_log_outs(record).judge(parse_push(json, Channel::FcmIos, &hints), &hints, stage.now.boot).kind
    };
    for delivered in [false, true] {
        let silent = ActionKind::Ignore { reason: Ignored::LoggedOut };
        assert_eq!(stage.agent.gate().pending_log_outs(), usize::from(!delivered));
        assert_eq!(beside(&stage, CALL), silent, "delivered: {delivered}");
        for other in [CALL.replace("alice", "bob"), CALL.replace(r#","ntouser":"alice""#, "")] {
            assert_ne!(beside(&stage, &other), silent, "delivered: {delivered}, {other}");
        }
        if let Some(removal) = stage.sent.pop_front() {
            stage.ok(&removal, &[]);
        }
    }
    stage.store.clear();
    assert!(matches!(beside(&stage, CALL), ActionKind::IncomingCall { .. }));
}

/// A phone whose process ended, and which a push wakes this many seconds before its binding ends.
fn woken_before_the_end(left: u64) -> Stage {
    let mut stage = ready();
    let bound = stage.now;
    stage.now = Now::new(bound.boot + seconds(3600 - left), bound.wall + seconds(3600 - left));
    stage.restart(account(|_| {}), crate::support::mpush())
}

#[test]
fn a_voip_push_without_content_shortly_before_the_binding_ends_refreshes_it_silently() {
    let mut stage = woken_before_the_end(120);
    let refresh = stage.push_on("{}", Channel::PushKit);
    assert_eq!((&refresh.kind, refresh.duty), (&ActionKind::RefreshBinding, Duty::ReportThenEnd));
    assert_eq!(refresh.deadline, None);
    let register = stage.one();
    stage.reply(&register, 401, &[crate::support::CHALLENGE]);
    let register = stage.one();
    stage.ok(&register, &[]);
    assert!(stage.calls().is_empty(), "nothing is announced, and nothing is missed");
    stage.input(invite("call-1", "1234"));
    stage.all();
    assert!(matches!(stage.calls()[..], [CallChange::Ringing { announced: false, .. }]), "the call rings anyway");
    let call = stage.push_on("{}", Channel::PushKit);
    assert!(call.is_call(), "the binding is new, so this is not a refresh");
}

#[test]
fn a_voip_push_without_content_is_a_call_while_the_binding_lives_and_after_it_ended() {
    for left in [3000, 600, 160] {
        assert!(woken_before_the_end(left).push_on("{}", Channel::PushKit).is_call(), "{left}");
    }
    let mut stage = ready();
    stage.now = Now::new(stage.now.boot + seconds(9000), stage.now.wall + seconds(9000));
    let mut stage = stage.restart(account(|_| {}), crate::support::mpush());
    assert!(stage.push_on("{}", Channel::PushKit).is_call());
    let mut stage = woken_before_the_end(120);
    assert!(stage.push_on(CALL, Channel::PushKit).is_call(), "the caller in the push counts");
}

#[test]
fn an_announced_call_without_an_invite_is_missed_and_its_late_invite_is_refused() {
    let mut stage = ready();
    announced(&mut stage);
    stage.advance(seconds(41));
    stage.all();
    assert_eq!(stage.calls().last(), Some(&&CallChange::Ended(Ended::Missed)));
    stage.input(invite("call-1", "1234"));
    let codes: Vec<_> = stage.all().iter().filter_map(crate::support::Sent::code).collect();
    assert_eq!(codes, [480]);
    assert_eq!(stage.calls().len(), 2, "no ring");
}

#[test]
fn the_app_decides_how_long_to_wait_for_an_invite() {
    for window in [10, 90] {
        let mut stage = ready();
        stage.agent.set_call_policy(CallPolicy { window: seconds(window), ..CallPolicy::default() });
        let action = announced(&mut stage);
        assert_eq!(action.deadline, Some(stage.now.boot + seconds(window)), "the duty is the same");
        stage.advance(seconds(window - 1));
        assert_eq!(stage.calls().len(), 1, "still announced");
        stage.advance(seconds(1));
        assert_eq!(stage.calls().last(), Some(&&CallChange::Ended(Ended::Missed)));
    }
}

#[test]
fn a_payload_that_expires_earlier_ends_its_call_earlier() {
    const LIVES: &str = r#"{"aps":{},"pn_ttl":60,"loc-key":"IC_MSG","from-uri":"sip:1234@x","call-id":"call-1"}"#;
    for (window, ends) in [(20, 20), (90, 60)] {
        let mut stage = ready();
        stage.agent.set_call_policy(CallPolicy { window: seconds(window), ..CallPolicy::default() });
        let action = stage.push(LIVES);
        assert_eq!(action.deadline, Some(stage.now.boot + seconds(ends)));
    }
}

#[test]
fn a_caller_who_tries_again_within_seconds_is_a_new_call() {
    for pushed in [true, false] {
        let mut stage = ready();
        if pushed {
            stage.push(CALL);
        }
        stage.input(invite("call-1", "1234"));
        stage.input(request("CANCEL", "call-1", "call-1", "1234", "", ""));
        let first = call(&stage)[0];
        stage.advance(seconds(3));
        stage.all();
        stage.events.clear();
        let again = stage.push(&CALL.replace("call-1", "call-2"));
        assert!(again.is_call(), "{again:?}");
        stage.input(invite("call-2", "1234"));
        let codes: Vec<_> = stage.all().iter().filter_map(crate::support::Sent::code).collect();
        assert_eq!(codes, [180]);
        assert!(matches!(stage.calls()[..], [CallChange::Announced(_), CallChange::Ringing { announced: true, .. }]));
        assert!(call(&stage).iter().all(|uuid| *uuid != first) && !call(&stage).is_empty());
    }
}

/// A client with two registered accounts, and the flow of each.
fn two_accounts() -> (Stage, [sipwake_core::event::FlowId; 2]) {
    let mut stage = ready();
    let alice = stage.flow();
    stage.add(account(|config| config.aor = "sip:bob@example.com".into()), None);
    let bob = stage.register();
    let text = crate::support::response(&bob, 200, "OK", &[]);
    stage.agent.handle_input(bob.flow, text.as_bytes(), stage.now);
    stage.drain();
    (stage, [alice, bob.flow])
}

#[test]
fn the_same_call_over_two_accounts_rings_once_and_is_answered_once() {
    let (mut stage, flows) = two_accounts();
    let first = stage.push(CALL);
    let second = stage.push(&CALL.replace("alice", "bob"));
    assert_eq!(first.uuid, second.uuid);
    stage.all();
    for (flow, branch) in flows.iter().zip(["a", "b"]) {
        let invite =
            request("INVITE", branch, "call-1", "1234", "", "").replace("tag=fcall-1", &format!("tag=f{branch}"));
        stage.agent.handle_input(*flow, invite.as_bytes(), stage.now);
        stage.drain();
    }
    let codes = |stage: &mut Stage| -> Vec<_> {
        stage.all().iter().filter_map(|sent| Some((sent.flow, sent.code()?))).collect()
    };
    assert_eq!(codes(&mut stage), [(flows[0], 180), (flows[1], 180)]);
    assert!(matches!(stage.calls()[..], [CallChange::Announced(_), CallChange::Ringing { .. }]), "{:?}", stage.calls());
    assert!(stage.agent.accept(first.uuid, Offer::sdp("v=0\r\n"), stage.now));
    stage.drain();
    let mut said = codes(&mut stage);
    said.sort_unstable_by_key(|(_, code)| *code);
    assert_eq!(
        said.iter().map(|(_, code)| *code).collect::<Vec<_>>(),
        [200, 486],
        "one answer, the other branch is busy"
    );
}

#[test]
fn one_request_that_comes_over_two_accounts_is_merged() {
    let (mut stage, flows) = two_accounts();
    stage.all();
    for (flow, branch) in flows.iter().zip(["a", "b"]) {
        stage.agent.handle_input(*flow, request("INVITE", branch, "c", "1234", "", "").as_bytes(), stage.now);
        stage.drain();
    }
    let codes: Vec<_> = stage.all().iter().filter_map(crate::support::Sent::code).collect();
    assert_eq!(codes, [180, 482], "RFC 3261 section 8.2.2.2");
}

#[test]
fn a_call_declined_before_its_invite_is_refused_when_the_invite_comes() {
    for (how, code) in [(Decline::Everywhere, 603), (Decline::Busy, 486)] {
        let mut stage = ready();
        let action = announced(&mut stage);
        assert!(stage.agent.decline(action.uuid, how, stage.now));
        stage.drain();
        assert!(!stage.agent.decline(action.uuid, how, stage.now), "it has already ended");
        stage.input(invite("call-1", "1234"));
        let codes: Vec<_> = stage.all().iter().filter_map(crate::support::Sent::code).collect();
        assert_eq!(codes, [code]);
    }
}

#[test]
fn a_late_invite_gets_the_status_that_its_call_was_refused_with() {
    type Refuse = fn(&mut Stage, uuid::Uuid) -> bool;
    let refusals: [(u16, Refuse); 5] = [
        (603, |stage, call| stage.agent.decline(call, Decline::Everywhere, stage.now)),
        (486, |stage, call| stage.agent.decline(call, Decline::Busy, stage.now)),
        (603, |stage, call| stage.agent.hang_up(call, HangUp::Normal, stage.now)),
        (488, |stage, call| stage.agent.hang_up(call, HangUp::Failed(488), stage.now)),
        (500, |stage, call| stage.agent.hang_up(call, HangUp::Failed(200), stage.now)),
    ];
    for (code, refuse) in refusals {
        let mut stage = ready();
        let action = announced(&mut stage);
        assert!(refuse(&mut stage, action.uuid));
        stage.drain();
        let told = stage.calls().len();
        let answers = |stage: &mut Stage, invite: String| {
            stage.input(invite);
            let answers: Vec<_> = stage.all().iter().filter_map(crate::support::Sent::code).collect();
            answers
        };
        assert_eq!(answers(&mut stage, invite("call-1", "1234")), [code]);
        assert_eq!(answers(&mut stage, invite("call-1", "1234")), [code], "a retransmission");
        stage.input(request("ACK", "call-1", "call-1", "1234", "", ""));
        let retried = request("INVITE", "again", "call-1", "1234", "Content-Type: application/sdp\r\n", "v=0\r\n");
        assert_eq!(answers(&mut stage, retried), [code], "the gateway tries the Contact that came in between");
        assert_eq!(stage.calls().len(), told, "it never rings");
    }
}

#[test]
fn the_push_of_a_ringing_call_registers_only_if_the_registration_is_half_a_minute_old() {
    for (age, registers) in [(29_999, 0), (30_000, 1)] {
        let mut stage = ready();
        stage.push(CALL);
        let request = stage.one();
        stage.ok(&request, &[]);
        stage.input(invite("call-1", "1234"));
        stage.all();
        stage.advance(std::time::Duration::from_millis(age));
        stage.push(CALL);
        assert_eq!(stage.all().len(), registers, "{age} ms");
    }
}
