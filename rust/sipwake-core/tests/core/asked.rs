//! Requests inside a call that only the app can answer: digits by INFO, a transfer by REFER.

use std::time::Duration;

use sipwake_core::event::{CallChange, CallRequest, Ended, Offer, RequestKind};
use uuid::Uuid;

use crate::incoming::{call, invite, ready, request};
use crate::support::{Sent, Stage, seconds};

const DIGIT: &str = "Signal=5\r\nDuration=160\r\n";

/// An answered call, with our To.
fn connected(takes: bool) -> (Stage, Uuid, String) {
    let mut stage = ready();
    stage.agent.take_call_requests(takes);
    stage.input(invite("c", "1234"));
    let uuid = call(&stage)[0];
    stage.all();
    assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
    stage.drain();
    let to = stage.one().header("To").expect("it has one").to_owned();
    stage.input(within(&to, request("ACK", "c-ack", "c", "1234", "", "")));
    stage.events.clear();
    (stage, uuid, to)
}

fn within(to: &str, text: String) -> String {
    text.replace("To: <sip:alice@example.com>", &format!("To: {to}"))
}

fn info(to: &str, number: u32, kind: &str, body: &str) -> String {
    let text = request("INFO", &format!("i{number}"), "c", "1234", &format!("Content-Type: {kind}\r\n"), body);
    within(to, text.replace("CSeq: 7", &format!("CSeq: {number}")))
}

fn refer(to: &str, lines: &str) -> String {
    within(to, request("REFER", "r", "c", "1234", lines, "").replace("CSeq: 7", "CSeq: 9"))
}

fn asked(stage: &Stage) -> Vec<CallRequest> {
    let of = |change: &&CallChange| match change {
        CallChange::Asked(request) => Some(request.clone()),
        _ => None,
    };
    stage.calls().iter().filter_map(of).collect()
}

#[test]
fn digits_and_transfers_are_reported_and_refused_unless_the_app_responds() {
    let (mut stage, uuid, to) = connected(false);
    stage.input(info(&to, 8, "application/dtmf-relay", DIGIT));
    assert_eq!(stage.one().code(), Some(415));
    stage.input(refer(
        &to,
        "Refer-To: \"Bob\" <sip:bob@example.com?Replaces=x>\r\nReferred-By: <sip:1234@example.com>\r\n",
    ));
    let refused = stage.one();
    assert_eq!(
        (refused.code(), refused.header("Allow").is_some_and(|allow| !allow.contains("REFER"))),
        (Some(405), true)
    );
    let kinds: Vec<RequestKind> = asked(&stage).into_iter().map(|request| request.kind).collect();
    let transfer = |to: &str, by: &str| RequestKind::Refer { to: to.to_owned(), by: Some(by.to_owned()) };
    assert_eq!(
        kinds,
        [
            RequestKind::Digit { digit: '5', duration: Some(Duration::from_millis(160)) },
            transfer("sip:bob@example.com?Replaces=x", "sip:1234@example.com")
        ]
    );
    let id = asked(&stage)[0].id;
    assert!(!asked(&stage)[0].awaits_response && !stage.agent.respond_request(uuid, id, 200, stage.now));
}

#[test]
fn the_caller_gets_the_apps_response_once() {
    let (mut stage, uuid, to) = connected(true);
    for (number, status, heard) in [(8, 200, 200), (9, 603, 603), (10, 99, 500), (11, 700, 500)] {
        let text = info(&to, number, "application/dtmf-relay", DIGIT);
        stage.input(&text);
        stage.input(&text);
        stage.silent();
        let waiting = asked(&stage);
        assert_eq!(waiting.len(), 1, "a retransmission is reported once");
        assert!(waiting[0].awaits_response);
        stage.events.clear();
        assert!(stage.agent.respond_request(uuid, waiting[0].id, status, stage.now));
        assert!(!stage.agent.respond_request(uuid, waiting[0].id, status, stage.now));
        stage.drain();
        let answer = stage.one();
        assert_eq!((answer.code(), answer.cseq()), (Some(heard), number));
        stage.input(&text);
        assert_eq!(stage.one(), answer);
    }
}

#[test]
fn a_request_that_the_app_leaves_open_is_refused_after_ten_seconds_and_a_bye_ends_the_wait() {
    let (mut stage, _, to) = connected(true);
    stage.input(info(&to, 8, "application/x-own", "hello"));
    stage.advance(Duration::from_millis(9_999));
    stage.silent();
    stage.advance(Duration::from_millis(1));
    assert_eq!(stage.one().code(), Some(415));
    stage.input(info(&to, 9, "application/dtmf", "#"));
    stage.input(within(&to, request("BYE", "b", "c", "1234", "", "").replace("CSeq: 7", "CSeq: 10")));
    let codes: Vec<_> = stage.all().iter().filter_map(Sent::code).collect();
    assert_eq!(codes, [200, 487]);
    assert_eq!(stage.calls().last(), Some(&&CallChange::Ended(Ended::HungUpByCaller)));
    stage.advance(seconds(60));
    stage.silent();
}

#[test]
fn an_accepted_transfer_gets_202_and_a_notify_unless_it_wants_none() {
    for (lines, notified) in [("", true), ("Refer-Sub: false\r\n", false)] {
        let (mut stage, uuid, to) = connected(true);
        stage.input(refer(&to, &format!("Refer-To: sip:bob@example.com\r\n{lines}")));
        let id = asked(&stage)[0].id;
        assert!(stage.agent.respond_request(uuid, id, 200, stage.now));
        stage.drain();
        let sent = stage.all();
        assert_eq!((sent[0].code(), sent.len()), (Some(202), if notified { 2 } else { 1 }));
        if notified {
            let notify = &sent[1];
            assert!(notify.start().starts_with("NOTIFY sip:1234@198.51.100.1 "), "{notify:?}");
            assert_eq!(notify.header("Event"), Some("refer;id=9"));
            assert_eq!(notify.header("Subscription-State"), Some("terminated;reason=noresource"));
            assert!(notify.text.ends_with("\r\n\r\nSIP/2.0 100 Trying\r\n"), "{notify:?}");
            stage.reply(notify, 481, &[]);
            stage.advance(seconds(60));
            assert!(!stage.calls().iter().any(|change| matches!(change, CallChange::Ended(_))), "the call goes on");
        }
    }
}

#[test]
fn endless_or_senseless_requests_do_not_fill_the_memory() {
    let (mut stage, _, to) = connected(true);
    for number in 8..40 {
        stage.input(info(&to, number, "application/dtmf", "1"));
    }
    let waiting = asked(&stage).iter().filter(|request| request.awaits_response).count();
    assert_eq!((waiting, stage.all().len()), (8, 24), "the rest is refused at once");
    let (mut stage, _, to) = connected(true);
    stage.input(refer(&to, ""));
    assert_eq!(stage.one().code(), Some(400));
    assert!(asked(&stage).is_empty());
}

#[test]
fn a_caller_learns_that_it_may_transfer_where_the_app_responds_to_transfers() {
    let (mut stage, _, to) = connected(true);
    let update = within(&to, request("UPDATE", "u", "c", "1234", "", "").replace("CSeq: 7", "CSeq: 8"));
    stage.input(update);
    assert!(stage.one().header("Allow").is_some_and(|allow| allow.contains("REFER") && allow.contains("INFO")));
}
