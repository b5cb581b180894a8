//! Requests that must never ring, and the response to each, as a hostile or a broken network sends them.

mod phone;

use phone::{ANSWER, Caller, OFFER, Phone};
use sipwake_core::account::Transport;
use sipwake_core::event::{FlowId, Offer};

const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::Tcp];

/// Sends one text to a registered phone. Returns its responses and its events.
fn meets(transport: Transport, text: &str) -> (Vec<String>, Vec<String>) {
    let mut phone = Phone::new(transport);
    phone.receive(text);
    (phone.said(), phone.happened())
}

fn in_a_call() -> (Phone, Caller) {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1");
    phone.receive(&bob.invite());
    assert!(phone.accept(Offer::sdp(ANSWER)));
    phone.drain();
    bob.hear(phone.sent.last().expect("a 200"));
    phone.receive(&bob.ack(false));
    phone.take();
    assert_eq!(phone.happened(), ["ringing", "connected"]);
    (phone, bob)
}

#[test]
fn an_invite_with_garbage_sdp_gets_488() {
    for garbage in ["garbage", "v=0\r\nrubbish\r\n", "\0\u{1}\u{2}", "o=- 1 1 IN IP4 x\r\n"] {
        let bob = Caller { body: Some(("application/sdp".into(), garbage.into())), ..Caller::new("c1") };
        for transport in TRANSPORTS {
            assert_eq!(meets(transport, &bob.invite()), (vec!["488 INVITE".into()], vec![]), "{garbage:?}");
        }
    }
}

#[test]
fn an_invite_without_sdp_rings_without_an_offer_and_waits_for_ours() {
    let mut phone = Phone::new(Transport::Udp);
    phone.receive(&Caller::new("c1").without_offer().invite());
    assert!(phone.events.iter().any(|event| matches!(event, sipwake_core::event::Event::Call(call)
        if matches!(call.change, sipwake_core::event::CallChange::Ringing { offer: None, .. }))));
    assert!(!phone.accept(Offer::sdp("")), "a 200 without an offer would be no call");
    assert!(phone.accept(Offer::sdp(OFFER)));
}

#[test]
fn an_invite_with_64_kib_of_headers_is_dropped_and_counted() {
    for headers in [
        format!("X-Long: {}\r\n", "y".repeat(64 * 1024)),
        "X-Many: z\r\n".repeat(64 * 1024 / 11),
        format!("Via: {}\r\n", "SIP/2.0/UDP h;branch=z9hG4bKx, ".repeat(2_000)),
    ] {
        let (said, happened) = meets(Transport::Udp, &Caller::new("c1").with(&headers).invite());
        assert_eq!((said, happened), (vec![], vec!["dropped Malformed".into()]));
    }
    let mut phone = Phone::new(Transport::Tcp);
    phone.receive(&Caller::new("c1").with(&format!("X-Long: {}\r\n", "y".repeat(64 * 1024))).invite());
    assert!(phone.happened().iter().all(|word| word == "dropped Malformed"), "and a stream like that is closed");
}

#[test]
fn a_replayed_cseq_in_a_call_gets_500_and_changes_nothing() {
    let (mut phone, bob) = in_a_call();
    for (method, body) in [("BYE", None), ("UPDATE", Some(OFFER)), ("INVITE", Some(OFFER))] {
        let mut replayed = Caller { cseq: 0, ..bob.clone() };
        let text =
            replayed.within(method, "", body).replace("branch=z9hG4bK-c1-1", &format!("branch=z9hG4bK-{method}"));
        phone.receive(&text);
        assert_eq!(phone.said(), [format!("500 {method}")]);
        if method == "INVITE" {
            phone.receive(&text.replace("INVITE", "ACK"));
        }
    }
    assert!(phone.happened().is_empty(), "the call goes on");
}

#[test]
fn an_ack_that_matches_no_call_is_dropped_and_counted() {
    for ack in [Caller::new("c1").ack(true), Caller { to_tag: "x".into(), ..Caller::new("c1") }.ack_with(ANSWER)] {
        assert_eq!(meets(Transport::Udp, &ack), (vec![], vec!["dropped StrayRequest".into()]));
    }
}

#[test]
fn a_bye_with_another_tag_or_call_id_gets_481_and_ends_no_call() {
    let (mut phone, mut bob) = in_a_call();
    let bye = bob.within("BYE", "", None);
    for (from, to) in [
        ("tag=bob-c1", "tag=mallory"),
        ("Call-ID: c1", "Call-ID: c9"),
        (&*format!(";tag={}", bob.to_tag), ";tag=guess"),
    ] {
        let stranger = bye.replace(from, to).replace("z9hG4bK-c1", &format!("z9hG4bK-{}", to.len()));
        phone.receive(&stranger);
        assert_eq!(phone.said(), ["481 BYE"], "{stranger}");
    }
    assert!(phone.happened().is_empty());
    phone.receive(&bye);
    assert_eq!((phone.said(), phone.happened()), (vec!["200 BYE".into()], vec!["ended HungUpByCaller".into()]));
}

#[test]
fn an_invite_that_does_not_come_over_the_registrars_flow_is_dropped_and_counted() {
    let mut phone = Phone::new(Transport::Udp);
    let flow = phone.flow.expect("it is registered");
    for other in [FlowId(flow.0 + 1), FlowId(0), FlowId(u64::MAX)] {
        phone.agent.handle_input(other, Caller::new("c1").invite().as_bytes(), phone.now);
    }
    phone.drain();
    assert!(phone.said().is_empty());
    assert_eq!(phone.happened(), ["dropped DeadFlow", "dropped DeadFlow"], "told at 1, 2, 4, …");
}
