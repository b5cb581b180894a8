//! Which account a call is for, what happens to it when accounts leave, and what a later process knows about it.

use sipwake_core::account::{AccountKey, Transport};
use sipwake_core::event::{CallChange, Discard, Ended, Event, FlowId, Offer, Output};
use sipwake_core::payload::{ActionKind, Channel, Duty, Hints, Ignored, PushAction, parse_push};
use sipwake_core::snapshot::CALLS;

use crate::incoming::{CALL, call, invite, ready, request};
use crate::support::{Sent, Stage, account, fcm, mpush, response, seconds};

/// Alice and Bob, registered with one token.
fn one_token() -> (Stage, [(AccountKey, FlowId); 2]) {
    let mut stage = ready();
    let alice = (stage.key.clone(), stage.flow());
    stage.add(account(|config| config.aor = "sip:bob@example.com".into()), mpush());
    stage.set_token(fcm("a:1"));
    let register = stage.register();
    stage.input_on(register.flow, response(&register, 200, "OK", &[]));
    stage.all();
    let bob = (stage.key.clone(), register.flow);
    (stage, [alice, bob])
}

fn to(name: &str, text: String) -> String {
    text.replace("To: <sip:alice@example.com>", &format!("To: <sip:{name}>"))
}

fn of(stage: &Stage) -> Vec<Option<AccountKey>> {
    let of = |event: &Event| match event {
        Event::Call(call) => Some(call.account.clone()),
        Event::Message { account, .. } => Some(Some(account.clone())),
        _ => None,
    };
    stage.events.iter().filter_map(of).collect()
}

fn codes(stage: &mut Stage) -> Vec<u16> {
    stage.all().iter().filter_map(Sent::code).collect()
}

#[test]
fn where_accounts_share_a_token_the_to_header_decides_whose_call_or_message_it_is() {
    for (name, whose) in [
        ("bob@example.com", 1),
        ("%62ob@EXAMPLE.com;user=phone", 1),
        ("alice@example.com", 0),
        ("sales@example.com", 0),
        ("bob@elsewhere.example", 0),
        ("+4930123456@example.com", 0),
    ] {
        let (mut stage, accounts) = one_token();
        stage.input_on(accounts[0].1, to(name, invite("c", "1234")));
        let lines = "Content-Type: text/plain\r\n";
        stage.input_on(accounts[0].1, to(name, request("MESSAGE", "m", "m", "1234", lines, "hello")));
        let expected = Some(accounts[whose].0.clone());
        assert_eq!(of(&stage), [expected.clone(), expected], "{name}");
    }
}

#[test]
fn the_push_of_the_account_in_the_to_header_belongs_to_that_call() {
    let (mut stage, accounts) = one_token();
    let pushed = stage.push(r#"{"ntype":"0","nfrom":"1234","ntouser":"bob"}"#);
    stage.input_on(accounts[0].1, to("bob@example.com", invite("c", "1234")));
    assert!(call(&stage).iter().all(|uuid| *uuid == pushed.uuid), "{:#?}", stage.calls());
    assert_eq!(of(&stage).last(), Some(&Some(accounts[1].0.clone())));
}

#[test]
fn where_accounts_share_no_token_the_to_header_decides_nothing() {
    let (mut stage, accounts) = one_token();
    stage.set_token(fcm("b:2"));
    for register in stage.all() {
        stage.ok(&register, &[]);
    }
    stage.all();
    stage.input_on(accounts[0].1, to("bob@example.com", invite("c", "1234")));
    assert_eq!(of(&stage), [Some(accounts[0].0.clone())]);
}

#[test]
fn a_call_whose_request_uri_is_another_accounts_contact_is_for_that_account() {
    for (uri, whose) in
        [("sip:bob@192.0.2.10:5070", 1), ("sip:bob@192.0.2.99:5070", 0), ("sip:alias@192.0.2.10:5070", 0)]
    {
        let (mut stage, accounts) = one_token();
        let text = to("sales@example.com", invite("c", "1234"));
        stage.input_on(accounts[0].1, text.replace("INVITE sip:alice@192.0.2.10:5070", &format!("INVITE {uri}")));
        assert_eq!(of(&stage), [Some(accounts[whose].0.clone())], "{uri}");
    }
}

#[test]
fn a_call_for_one_account_on_the_flow_of_another_ends_when_either_leaves() {
    for leaves in [0, 1] {
        let (mut stage, accounts) = one_token();
        stage.input_on(accounts[0].1, to("bob@example.com", invite("c", "1234")));
        stage.all();
        stage.agent.log_out(&accounts[leaves].0, stage.now).expect("it is there");
        stage.drain();
        assert_eq!(stage.calls().last(), Some(&&CallChange::Ended(Ended::LoggedOut)), "{leaves}");
        assert!(codes(&mut stage).contains(&480));
        // A user who left gets no call on the flow of a user who stays.
        stage.input_on(accounts[1 - leaves].1, to(["alice@example.com", "bob@example.com"][leaves], invite("d", "9")));
        assert_eq!(codes(&mut stage), [480], "{leaves}");
    }
}

#[test]
fn a_call_announced_for_no_account_ends_with_the_last_account() {
    let (mut stage, accounts) = one_token();
    stage.push(r#"{"ntype":"0","nfrom":"1234"}"#);
    assert_eq!(of(&stage), [None]);
    for (index, ended) in [(0, false), (1, true)] {
        stage.agent.log_out(&accounts[index].0, stage.now).expect("it is there");
        stage.drain();
        let over = stage.calls().iter().any(|change| matches!(change, CallChange::Ended(Ended::LoggedOut)));
        assert_eq!(over, ended, "{index}");
    }
}

fn judge(stage: &Stage, json: &str, channel: Channel) -> PushAction {
    let hints = Hints::at(stage.now);
    stage.agent.gate().judge(parse_push(json, channel, &hints), &hints, stage.now.boot)
}

#[test]
fn an_invite_between_the_gate_and_the_handling_of_its_push_gets_the_uuid_that_the_platform_knows() {
    for (json, call_id) in [
        (r#"{"ntype":"0","nfrom":"1234"}"#, "call-1"),
        (r#"{"ntype":"0","nfrom":"1234","ncallid":"upstream"}"#, "call-1"),
        (r#"{"ntype":"0","nfrom":"Mad Hatter","ntouser":"alice"}"#, "call-1"),
        (r#"{"ntype":"0"}"#, "call-1"),
        (CALL, "call-1"),
    ] {
        let mut stage = ready();
        let judged = judge(&stage, json, Channel::PushKit);
        assert!(judged.is_call());
        stage.input(invite(call_id, "1234"));
        stage.agent.handle_push(&judged, stage.now);
        stage.drain();
        assert!(call(&stage).iter().all(|uuid| *uuid == judged.uuid), "{json}: {:#?}", stage.calls());
        assert!(stage.agent.answer(judged.uuid, stage.now), "{json}");
        // It was one call. The next call of that caller is another one.
        stage.input(invite("call-2", "1234"));
        assert_ne!(call(&stage).last(), Some(&judged.uuid), "{json}");
    }
}

#[test]
fn a_push_that_was_judged_but_never_handled_gives_its_uuid_to_no_later_call() {
    let mut stage = ready();
    let judged = judge(&stage, r#"{"ntype":"0","nfrom":"1234"}"#, Channel::FcmAndroid);
    stage.input(invite("call-1", "99"));
    assert_ne!(call(&stage).last(), Some(&judged.uuid), "another caller");
    stage.advance(seconds(41));
    stage.input(invite("call-2", "1234"));
    assert_ne!(call(&stage).last(), Some(&judged.uuid), "it is too old");
}

#[test]
fn a_call_that_the_platform_was_told_to_end_ends_even_if_the_user_answers_in_between() {
    for (channel, ends) in [(Channel::PushKit, true), (Channel::FcmAndroid, false)] {
        let mut stage = ready();
        stage.push(CALL);
        stage.input(invite("call-1", "1234"));
        stage.all();
        let uuid = call(&stage)[0];
        let cancel = judge(&stage, &CALL.replace("\"0\"", "\"2\""), channel);
        assert_eq!((cancel.uuid, cancel.duty == Duty::ReportThenEnd), (uuid, ends));
        assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
        stage.drain();
        let to = stage.all().last().and_then(|ok| ok.header("To").map(str::to_owned)).expect("a 200");
        let ack = request("ACK", "a", "call-1", "1234", "", "");
        stage.input(ack.replace("To: <sip:alice@example.com>", &format!("To: {to}")));
        stage.agent.handle_push(&cancel, stage.now);
        stage.drain();
        let over = matches!(stage.calls().last(), Some(CallChange::Ended(Ended::Cancelled)));
        let bye = stage.all().iter().any(|sent| sent.start().starts_with("BYE "));
        assert_eq!((over, bye), (ends, ends), "{channel:?}");
    }
}

#[test]
fn a_cancel_ends_the_call_that_the_gate_chose_even_if_a_newer_one_comes() {
    let mut stage = ready();
    let first = stage.push(r#"{"ntype":"0","nfrom":"1234"}"#);
    let cancel = judge(&stage, r#"{"ntype":"2","nfrom":"1234"}"#, Channel::PushKit);
    assert_eq!(cancel.uuid, first.uuid);
    stage.input(invite("call-1", "1234"));
    let second = stage.push(r#"{"ntype":"0","nfrom":"99"}"#);
    stage.agent.handle_push(&cancel, stage.now);
    stage.drain();
    assert_eq!(call(&stage).last(), Some(&first.uuid));
    assert!(stage.agent.answer(second.uuid, stage.now) && !stage.agent.answer(first.uuid, stage.now));
}

#[test]
fn a_push_that_there_is_no_room_for_is_reported_as_such() {
    let mut stage = ready();
    for number in 0..64 {
        assert!(
            stage
                .push(&format!(r#"{{"ntype":"0","nfrom":"x{number}","ncallid":"f{number}","ntouser":"alice"}}"#))
                .is_call()
        );
    }
    let full = stage.push_on(CALL, Channel::PushKit);
    assert_eq!((full.kind, full.duty), (ActionKind::Ignore { reason: Ignored::NoRoom }, Duty::ReportThenEnd));
    let told = |event: &Event| matches!(event, Event::Discarded { reason: Discard::TooManyCalls, .. });
    assert!(stage.events.iter().any(told));
}

/// A call that only its INVITE announced and that has ended.
fn came_alone(from: &str, lines: &str) -> Stage {
    let mut stage = ready();
    stage.input(request("INVITE", "c", "c", from, lines, ""));
    stage.input(request("CANCEL", "c", "c", from, "", ""));
    stage
}

#[test]
fn a_late_push_that_names_only_the_caller_stays_silent_after_a_kill() {
    for (from, lines, push, silent) in [
        ("1234", "", "1234", true),
        ("+4930123456", "", "030 123456", true),
        ("030123456", "", "+49 30 123456", true),
        ("+49301234", "", "0301234", true),
        ("1234", "", "mad hatter", true),
        ("anonymous", "P-Asserted-Identity: <tel:+49-30-123456>\r\n", "0049 30 123456", true),
        ("1234", "", "91234", false),
        ("1234", "", "5678", false),
        ("anonymous", "", "1234", false),
    ] {
        let stage = came_alone(from, lines);
        let record = String::from_utf8(stage.store[CALLS].clone()).expect("text");
        assert!(!record.contains("1234") && !record.to_lowercase().contains("hatter"), "{record}");
        let mut later = stage.restart(account(|_| {}), mpush());
        later.now = later.now.after(seconds(20));
        let late = later.push(&format!(r#"{{"ntype":"0","nfrom":"{push}","ntouser":"alice"}}"#));
        assert_eq!(!late.is_call(), silent, "{from} {push}");
        later.now = later.now.after(seconds(20));
        let redial = later.push(&format!(r#"{{"ntype":"0","nfrom":"{push}","ntouser":"alice"}}"#));
        assert!(redial.is_call() || !silent, "after forty seconds it is the next call");
        let redial = stage.restart(account(|_| {}), mpush()).push(CALL);
        assert!(redial.is_call(), "its id distinguishes it");
    }
}

#[test]
fn calls_that_ended_while_the_store_was_shut_and_those_of_earlier_processes_are_remembered() {
    let mut first = ready();
    first.push(CALL);
    first.push(&CALL.replace("\"0\"", "\"2\""));
    let mut later = Stage::without_account(first.store.clone(), first.now, 2);
    later.store.clone_from(&first.store);
    later.agent.handle_loaded(CALLS, Err(sipwake_core::user_agent::Unreadable::Shut), later.now);
    later.drain();
    later.add(account(|_| {}), mpush());
    later.set_token(fcm("a:1"));
    let register = later.register();
    later.ok(&register, &[]);
    let other = CALL.replace("call-1", "call-2").replace("1234", "55");
    later.push(&other);
    later.push(&other.replace("\"0\"", "\"2\""));
    let record = later.store[CALLS].clone();
    later.agent.handle_loaded(CALLS, Ok(Some(&record)), later.now);
    later.drain();
    for mut stage in [later.restart(account(|_| {}), mpush()), later] {
        assert!(!stage.push(CALL).is_call() && !stage.push(&other).is_call());
        assert!(stage.push(&CALL.replace("call-1", "call-3")).is_call());
    }
}

/// A server whose INVITE comes at once, for this many calls.
fn prompt(times: u32) -> Stage {
    let mut stage = ready();
    for number in 0..times {
        let id = format!("p{number}");
        stage.push(&CALL.replace("call-1", &id));
        registers(&mut stage);
        stage.advance(seconds(1));
        stage.input(invite(&id, "1234"));
        stage.input(request("CANCEL", &id, &id, "1234", "", ""));
        stage.input(request("ACK", &id, &id, "1234", "", ""));
        stage.advance(seconds(60));
        registers(&mut stage);
    }
    stage.events.clear();
    stage
}

fn registers(stage: &mut Stage) {
    for sent in stage.all() {
        if sent.is_register() {
            stage.ok(&sent, &[]);
        }
    }
}

fn is_over(stage: &Stage) -> bool {
    stage.calls().iter().any(|change| matches!(change, CallChange::Ended(Ended::Missed)))
}

#[test]
fn an_announced_call_without_an_invite_ends_early_at_a_server_known_to_be_quick() {
    for (times, ends) in [(2, 40), (3, 10)] {
        let mut stages = vec![prompt(times)];
        // What the client learnt about the server survives the process.
        let mut later = stages[0].restart(account(|_| {}), mpush());
        let register = later.register();
        later.ok(&register, &[]);
        later.advance(seconds(60));
        stages.push(later);
        for mut stage in stages {
            stage.push(CALL);
            registers(&mut stage);
            stage.advance(seconds(ends - 1));
            assert!(!is_over(&stage), "{times}");
            stage.advance(seconds(1));
            assert!(is_over(&stage), "{times}");
        }
    }
}

#[test]
fn the_invite_of_a_call_that_ended_early_still_rings_and_the_server_no_longer_counts_as_quick() {
    let mut stage = prompt(3);
    let pushed = stage.push(CALL);
    registers(&mut stage);
    stage.advance(seconds(11));
    assert!(is_over(&stage));
    stage.input(invite("call-1", "1234"));
    assert_eq!(codes(&mut stage), [180]);
    assert_ne!(call(&stage).last(), Some(&pushed.uuid), "a call that has ended must not start again");
    stage.input(request("CANCEL", "call-1", "call-1", "1234", "", ""));
    stage.advance(seconds(60));
    registers(&mut stage);
    stage.events.clear();
    stage.push(&CALL.replace("call-1", "call-2"));
    registers(&mut stage);
    stage.advance(seconds(39));
    assert!(!is_over(&stage));
}

#[test]
fn a_call_does_not_end_early_if_its_push_has_a_time_or_its_register_got_no_response() {
    let dated = |stage: &Stage| {
        format!(
            r#"{{"aps":{{"alert":{{"loc-key":"IC_MSG"}},"call-id":"call-1"}},"from-uri":"sip:1234@x","send-time":"{}"}}"#,
            stage.now.wall.as_secs()
        )
    };
    let mut stage = prompt(3);
    let push = dated(&stage);
    stage.push(&push);
    registers(&mut stage);
    stage.advance(seconds(39));
    assert!(!is_over(&stage));
    let mut stage = prompt(3);
    stage.push(CALL);
    stage.advance(seconds(20));
    assert!(!is_over(&stage));
}

#[test]
fn a_sips_account_or_a_sips_request_uri_gives_a_sips_contact() {
    for (aor, uri, route, secure) in [
        ("sip:alice@example.com", "sip:alice@192.0.2.10:5070", "", false),
        ("sips:alice@example.com", "sip:alice@192.0.2.10:5070", "", true),
        ("sip:alice@example.com", "sips:alice@192.0.2.10:5070", "", true),
        ("sip:alice@example.com", "sip:alice@192.0.2.10:5070", "Record-Route: <sips:p.example;lr>\r\n", true),
    ] {
        let mut stage = Stage::new(
            account(|config| {
                config.aor = aor.to_owned();
                config.transport = Some(Transport::Tls);
            }),
            None,
        );
        let register = stage.register();
        stage.ok(&register, &[]);
        let text = invite("c", "1234").replace("INVITE sip:alice@192.0.2.10:5070", &format!("INVITE {uri}"));
        stage.input(text.replace("Record-Route: <sip:gw.example.net;lr>\r\n", route));
        let uuid = call(&stage)[0];
        assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
        stage.drain();
        for sent in stage.all() {
            let contact = sent.header("Contact").expect("a Contact");
            assert_eq!(contact.starts_with("<sips:"), secure, "{aor} {uri}: {contact}");
            assert_eq!(contact.contains("transport=tls"), !secure, "RFC 5630: {contact}");
        }
    }
}

#[test]
fn requests_from_other_peers_reach_no_dialog_over_tls_or_sips_and_none_of_another_flow() {
    let source = "203.0.113.7:5080".parse().expect("an address");
    for (uri, contact, taken) in [
        ("sip:alice@192.0.2.10:5070", "sip:1234@198.51.100.1", true),
        ("sips:alice@192.0.2.10:5070", "sip:1234@198.51.100.1", false),
        ("sip:alice@192.0.2.10:5070", "sips:1234@198.51.100.1", false),
    ] {
        for other in [false, true] {
            let (mut stage, accounts) = one_token();
            let text = invite("c", "1234").replace("INVITE sip:alice@192.0.2.10:5070", &format!("INVITE {uri}"));
            let text = text.replace("Record-Route: <sip:gw.example.net;lr>\r\n", "");
            stage.input_on(
                accounts[0].1,
                text.replace("Contact: <sip:1234@198.51.100.1>", &format!("Contact: <{contact}>")),
            );
            let uuid = call(&stage)[0];
            stage.all();
            assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
            let mut heard = false;
            while let Some(output) = stage.agent.poll_output() {
                match output {
                    Output::HearPeers { wanted: true, .. } => heard = true,
                    Output::Transmit { flow, bytes, .. } => {
                        stage.sent.push_back(Sent { flow, text: String::from_utf8(bytes).expect("text") });
                    }
                    _ => {}
                }
            }
            assert_eq!(heard, taken, "{uri} {contact}");
            let whole = stage.one().header("To").expect("a To").to_owned();
            let ack = request("ACK", "a", "c", "1234", "", "");
            let ack = ack.replace("To: <sip:alice@example.com>", &format!("To: {whole}"));
            let flow = accounts[usize::from(other)].1;
            stage.agent.handle_stranger(flow, source, ack.as_bytes(), stage.now);
            stage.drain();
            let connected = stage.calls().iter().any(|change| matches!(change, CallChange::Connected { .. }));
            assert_eq!(connected, taken && !other, "{uri} {contact} {other}");
        }
    }
}
