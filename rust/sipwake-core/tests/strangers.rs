//! Calls that bypass the registrar, from an address that is not the flow's peer.

mod phone;

use std::net::SocketAddr;

use phone::{ANSWER, Caller, Phone};
use sipwake_core::account::Transport;
use sipwake_core::call::HangUp;
use sipwake_core::event::{Event, FlowId, Offer};

fn source(host: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, host], 5060))
}

/// Hands in a datagram of another peer. Returns the target and the text of each response.
fn hear(phone: &mut Phone, from: SocketAddr, text: &str) -> Vec<(Option<SocketAddr>, String)> {
    let flow = phone.flow.expect("it is registered");
    phone.agent.handle_stranger(flow, from, text.as_bytes(), phone.now);
    sent(phone)
}

fn sent(phone: &mut Phone) -> Vec<(Option<SocketAddr>, String)> {
    phone.drain();
    assert!(phone.take().is_empty(), "nothing goes to the registrar");
    phone.sent_aside.drain(..).map(|(to, text)| (Some(to), text)).collect()
}

fn gists(sent: &[(Option<SocketAddr>, String)]) -> Vec<(Option<SocketAddr>, String)> {
    sent.iter().map(|(to, text)| (*to, phone::gist(text))).collect()
}

#[test]
fn an_unsolicited_invite_is_dropped_and_counted_unless_the_app_allows_it() {
    let mut phone = Phone::new(Transport::Udp);
    assert!(hear(&mut phone, source(7), &Caller::new("c1").invite()).is_empty());
    assert_eq!(phone.happened(), ["dropped Unsolicited"]);
    phone.agent.allow_unsolicited_calls(true);
    assert!(!hear(&mut phone, source(7), &Caller::new("c1").invite()).is_empty());
    assert_eq!(phone.happened(), ["ringing"]);
}

#[test]
fn an_allowed_unsolicited_call_gets_every_response_at_its_own_address() {
    let mut phone = Phone::new(Transport::Udp);
    phone.agent.allow_unsolicited_calls(true);
    let (there, mut bob) = (Some(source(7)), Caller::new("c1"));
    let answers = hear(&mut phone, source(7), &bob.invite());
    assert_eq!(gists(&answers), [(there, "180 INVITE".into())]);
    let call = phone.call();
    assert!(phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    let ok = sent(&mut phone);
    assert_eq!(gists(&ok), [(there, "200 INVITE".into())]);
    bob.hear(&ok[0].1);
    assert!(hear(&mut phone, source(7), &bob.ack(false)).is_empty());
    assert!(phone.agent.hang_up(call, HangUp::Normal, phone.now));
    let bye = sent(&mut phone);
    assert_eq!(gists(&bye), [(there, "BYE".into())]);
    hear(&mut phone, source(7), &Caller::respond(&bye[0].1, "200 OK", ""));
    phone.pass(std::time::Duration::from_secs(60));
    assert!(phone.said().is_empty());
    assert_eq!(phone.happened(), ["ringing", "connected", "ended HungUp"]);
}

#[test]
fn another_peer_may_call_and_nothing_else() {
    let mut phone = Phone::new(Transport::Udp);
    phone.agent.allow_unsolicited_calls(true);
    for method in ["OPTIONS", "MESSAGE", "NOTIFY", "REGISTER"] {
        assert!(hear(&mut phone, source(7), &Caller::new("c1").within(method, "", None)).is_empty(), "{method}");
    }
    // Only the registrar may answer a REGISTER.
    phone.registrar_answers = false;
    phone.agent.register(&phone.account, phone.now).expect("it is there");
    assert!(sent(&mut phone).is_empty());
    let register = phone.registers.pop().expect("a REGISTER");
    hear(&mut phone, source(7), &Caller::respond(&register, "403 Forbidden", ""));
    assert!(!phone.events.iter().any(|event| matches!(event, Event::RegistrationFailed { .. })));
    assert_eq!(phone.happened().last().map(String::as_str), Some("dropped ForeignResponse"));
    phone.agent.handle_stranger(FlowId(999), source(7), Caller::new("c2").invite().as_bytes(), phone.now);
    assert!(sent(&mut phone).is_empty());
}

#[test]
fn endless_unsolicited_calls_do_not_fill_the_memory_or_end_a_call() {
    let mut phone = Phone::new(Transport::Udp);
    phone.agent.allow_unsolicited_calls(true);
    for host in 0..=255 {
        hear(&mut phone, source(host), &Caller::new(&format!("c{host}")).invite());
    }
    assert_eq!(phone.happened().iter().filter(|word| *word == "ringing").count(), 32);
    let first = hear(&mut phone, source(0), &Caller::new("c0").cancel(""));
    assert_eq!(gists(&first), [(Some(source(0)), "200 CANCEL".into()), (Some(source(0)), "487 INVITE".into())]);
}
