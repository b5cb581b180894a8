//! What the server sends on a registered flow.

use sipwake_core::event::{CallChange, Discard, Ended, Event};
use sipwake_core::user_agent::Decline;
use uuid::Uuid;

use crate::support::{Stage, seconds};

pub(crate) const CALL: &str = r#"{"ntype":"0","nfrom":"1234","ncallid":"call-1","ntouser":"alice"}"#;

/// A client that is registered over UDP.
pub(crate) fn ready() -> Stage {
    Stage::bound()
}

/// The UUIDs of the reported calls, one for each event.
pub(crate) fn call(stage: &Stage) -> Vec<Uuid> {
    stage
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Call(call) => Some(call.uuid),
            _ => None,
        })
        .collect()
}

pub(crate) fn request(method: &str, branch: &str, call_id: &str, from: &str, lines: &str, body: &str) -> String {
    let cseq = if matches!(method, "ACK" | "CANCEL") { "INVITE" } else { method };
    let cseq = if method == "CANCEL" || method == "ACK" { method } else { cseq };
    format!(
        "{method} sip:alice@192.0.2.10:5070 SIP/2.0\r\nVia: SIP/2.0/UDP gw.example.net:5060;rport;branch=z9hG4bK{branch}\r\n\
         Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKup\r\nMax-Forwards: 70\r\nRecord-Route: <sip:gw.example.net;lr>\r\n\
         From: \"Mad Hatter\" <sip:{from}@example.com>;tag=f{call_id}\r\nTo: <sip:alice@example.com>\r\nCall-ID: {call_id}\r\n\
         CSeq: 7 {cseq}\r\nContact: <sip:{from}@198.51.100.1>\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn invite(call_id: &str, from: &str) -> String {
    request("INVITE", call_id, call_id, from, "Content-Type: application/sdp\r\n", "v=0\r\n")
}

fn codes(stage: &mut Stage) -> Vec<u16> {
    stage.all().iter().filter_map(crate::support::Sent::code).collect()
}

fn ended(stage: &Stage) -> Option<Ended> {
    match stage.calls().last() {
        Some(CallChange::Ended(how)) => Some(*how),
        _ => None,
    }
}

#[test]
fn an_invite_rings_with_180_and_its_offer_goes_to_the_app() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    let sent = stage.one();
    assert_eq!(sent.code(), Some(180));
    assert_eq!(sent.headers("Via").len(), 2);
    assert!(sent.header("To").is_some_and(|to| to.contains(";tag=")));
    assert!(sent.header("Contact").is_some());
    let [CallChange::Ringing { caller, announced: false, offer: Some(offer) }] = stage.calls()[..] else {
        panic!("{:?}", stage.calls())
    };
    assert_eq!((caller.uri.as_str(), caller.display_name.as_deref()), ("sip:1234@example.com", Some("Mad Hatter")));
    assert_eq!((offer.content_type.as_str(), offer.body.as_slice()), ("application/sdp", &b"v=0\r\n"[..]));
}

#[test]
fn a_repeated_invite_gets_the_same_response_and_rings_once() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    let first = stage.one();
    stage.input(invite("c", "1234"));
    assert_eq!(stage.one(), first);
    assert_eq!(stage.calls().len(), 1);
}

#[test]
fn a_cancel_gets_200_and_its_invite_487_until_the_ack() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    stage.all();
    stage.input(request("CANCEL", "c", "c", "1234", "", ""));
    let sent = stage.all();
    assert_eq!(sent.iter().filter_map(crate::support::Sent::code).collect::<Vec<_>>(), [200, 487]);
    assert_eq!(sent[0].header("CSeq"), Some("7 CANCEL"));
    assert_eq!(sent[1].header("CSeq"), Some("7 INVITE"));
    assert_eq!(ended(&stage), Some(Ended::Cancelled));
    stage.advance(seconds(2));
    assert_eq!(codes(&mut stage), [487, 487], "timer G");
    stage.input(request("ACK", "c", "c", "1234", "", ""));
    stage.advance(seconds(40));
    stage.silent();
    stage.input(request("CANCEL", "c", "c", "1234", "", ""));
    assert_eq!(codes(&mut stage), [481], "the transaction has ended");
}

#[test]
fn a_call_answered_on_another_device_is_reported_as_such() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    stage.input(request(
        "CANCEL",
        "c",
        "c",
        "1234",
        "Reason: Q.850;cause=16, SIP;cause=200;text=\"Call, completed\"\r\n",
        "",
    ));
    assert_eq!(ended(&stage), Some(Ended::AnsweredElsewhere));
}

#[test]
fn an_answer_without_an_ack_is_given_up() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    let uuid = call(&stage)[0];
    stage.all();
    assert!(stage.agent.decline(uuid, Decline::Busy, stage.now));
    stage.drain();
    stage.advance(seconds(60));
    let sent = codes(&mut stage);
    assert!(sent.len() == 11 && sent.iter().all(|code| *code == 486), "{sent:?}");
}

#[test]
fn declining_is_603_everywhere_and_486_here() {
    for (how, code) in [(Decline::Everywhere, 603), (Decline::Busy, 486)] {
        let mut stage = ready();
        stage.input(invite("c", "1234"));
        stage.all();
        let uuid = call(&stage)[0];
        assert!(stage.agent.decline(uuid, how, stage.now));
        stage.drain();
        assert_eq!(codes(&mut stage), [code]);
        assert_eq!(ended(&stage), Some(Ended::Declined));
        assert!(!stage.agent.decline(uuid, how, stage.now));
    }
}

#[test]
fn ringing_stops_by_itself() {
    for (lines, after, code) in [("", 180, 480), ("Expires: 20\r\n", 20, 487), ("Expires: 99999\r\n", 180, 480)] {
        let mut stage = ready();
        stage.input(request("INVITE", "c", "c", "1234", lines, ""));
        stage.all();
        stage.advance(seconds(after - 1));
        stage.silent();
        stage.advance(seconds(1));
        assert_eq!(codes(&mut stage), [code]);
        assert_eq!(ended(&stage), Some(Ended::Unanswered));
    }
}

#[test]
fn two_calls_are_two_calls() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    stage.input(invite("d", "5678"));
    let uuids = call(&stage);
    assert!(uuids.len() == 2 && uuids[0] != uuids[1]);
    stage.all();
    stage.agent.decline(uuids[0], Decline::Busy, stage.now);
    stage.drain();
    let refused = stage.one();
    assert_eq!((refused.code(), refused.header("Call-ID")), (Some(486), Some("c")), "the other one keeps ringing");
}

#[test]
fn the_same_invite_over_another_route_is_merged() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    stage.all();
    stage.input(request("INVITE", "other-branch", "c", "1234", "", ""));
    assert_eq!(codes(&mut stage), [482], "RFC 3261 section 8.2.2.2");
    assert_eq!(stage.calls().len(), 1);
}

#[test]
fn an_extension_that_is_required_and_not_known_is_refused_by_name() {
    let mut stage = ready();
    stage.input(request("INVITE", "c", "c", "1234", "Require: 100rel, x-foo\r\n", ""));
    let refused = stage.one();
    assert_eq!(refused.code(), Some(420));
    assert_eq!(refused.header("Unsupported"), Some("x-foo"));
    assert!(stage.calls().is_empty());
}

#[test]
fn a_chat_is_reported_once_and_a_repeated_one_gets_the_same_response() {
    let mut stage = ready();
    let chat = request("MESSAGE", "m", "m", "1234", "Content-Type: text/plain;charset=utf-8\r\n", "Grüße");
    stage.input(&chat);
    let first = stage.one();
    assert_eq!(first.code(), Some(200));
    stage.input(&chat);
    assert_eq!(stage.one(), first);
    let told: Vec<&Event> = stage.events.iter().filter(|event| matches!(event, Event::Message { .. })).collect();
    let [Event::Message { from, text, call_id, .. }] = told[..] else { panic!("{told:?}") };
    assert_eq!((from.as_str(), text.expose(), call_id.as_str()), ("sip:1234@example.com", "Grüße", "m"));
    assert!(!format!("{told:?}").contains("Grüße"), "the text is not for logs");
}

#[test]
fn of_too_many_chats_the_first_reported_one_is_forgotten() {
    const REMEMBERED: usize = 64;
    let mut stage = ready();
    let mut say = |branch: &str, call_id: &str| {
        stage.input(request("MESSAGE", branch, call_id, "1234", "Content-Type: text/plain\r\n", "hello"));
        assert_eq!(stage.one().code(), Some(200));
        let told = stage.events.iter().filter(|event| matches!(event, Event::Message { .. })).count();
        stage.events.clear();
        told
    };
    for number in 0..REMEMBERED {
        assert_eq!(say(&format!("a{number}"), &format!("m{number}")), 1);
    }
    // Each in a transaction of its own, as from a server that forgot that it had sent it.
    assert_eq!(say("again", "m0"), 0, "the oldest of so many is known");
    assert_eq!(say("one-more", "one-more"), 1);
    assert_eq!(say("and-again", "m0"), 1, "and with one more it is not");
    assert_eq!(say("last", "one-more"), 0);
}

#[test]
fn other_requests_get_the_response_that_the_rfc_asks_for() {
    for (method, code) in [
        ("OPTIONS", 200),
        ("BYE", 481),
        ("NOTIFY", 481),
        ("INFO", 481),
        ("UPDATE", 481),
        ("SUBSCRIBE", 405),
        ("PUBLISH", 405),
        ("REGISTER", 405),
        ("CANCEL", 481),
        ("X-UNHEARD.OF", 405),
    ] {
        let mut stage = ready();
        stage.input(request(method, "x", "x", "1234", "", ""));
        let answer = stage.one();
        assert_eq!(answer.code(), Some(code), "{method}");
        if code != 481 {
            assert!(answer.header("Allow").is_some_and(|allow| allow.contains("INVITE")), "{method}");
        }
        assert!(stage.calls().is_empty());
    }
    let mut stage = ready();
    stage.input(request("MESSAGE", "x", "x", "1234", "Content-Type: image/png\r\n", "x"));
    assert_eq!(codes(&mut stage), [415]);
}

#[test]
fn an_ack_that_matches_no_call_is_counted_and_not_answered() {
    let mut stage = ready();
    stage.input(request("ACK", "x", "x", "1234", "", ""));
    stage.silent();
    assert!(stage.events.iter().any(|event| matches!(event, Event::Discarded { reason: Discard::StrayRequest, .. })));
}

#[test]
fn a_request_on_a_closed_flow_is_counted_and_not_answered() {
    let mut stage = ready();
    let flow = stage.flow();
    stage.opens = false;
    stage.network_changes();
    stage.agent.handle_input(flow, invite("c", "1234").as_bytes(), stage.now);
    stage.drain();
    stage.silent();
    assert!(stage.calls().is_empty());
}

#[test]
fn a_call_that_rings_when_the_network_fails_sends_no_response_on_a_dead_flow() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    stage.all();
    stage.opens = false;
    stage.network_changes();
    let uuid = call(&stage)[0];
    stage.agent.decline(uuid, Decline::Busy, stage.now);
    stage.drain();
    stage.advance(seconds(60));
    stage.silent();
}

#[test]
fn endless_calls_do_not_fill_the_memory() {
    let mut stage = ready();
    for index in 0..500 {
        stage.input(invite(&format!("c{index}"), &format!("u{index}")));
        stage.sent.clear();
    }
    assert!(stage.calls().len() <= 128);
    stage.advance(seconds(400));
    stage.sent.clear();
    stage.events.clear();
    stage.input(invite("later", "later"));
    assert_eq!(codes(&mut stage), [180]);
}
