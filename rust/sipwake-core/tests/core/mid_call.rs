//! Pushes that wake the phone for a request inside a call (RFC 8599 section 6). The phone cannot tell them from other pushes.

use sipwake_core::event::{CallChange, Ended, Event, Offer};
use sipwake_core::payload::Channel;
use uuid::Uuid;

use crate::incoming::{CALL, call, invite, ready, request};
use crate::support::{Stage, seconds};

/// A call that its push or only its INVITE announced. Returns our To, with its tag.
pub(crate) fn in_a_call(pushed: bool) -> (Stage, String) {
    let mut stage = ready();
    if pushed {
        stage.push(CALL);
        let register = stage.one();
        stage.ok(&register, &[]);
    }
    stage.input(invite("call-1", "1234"));
    let uuid = call(&stage)[0];
    stage.all();
    assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
    stage.drain();
    let to = stage.one().header("To").expect("it has one").to_owned();
    stage.input(within(&to, "ACK", 7));
    assert!(matches!(stage.calls().last(), Some(CallChange::Connected { .. })), "{:?}", stage.calls());
    (stage, to)
}

/// A request of the caller inside that call.
fn within(to: &str, method: &str, cseq: u32) -> String {
    let lines = if method == "INVITE" { "Content-Type: application/sdp\r\n" } else { "" };
    let body = if method == "INVITE" { "v=0\r\n" } else { "" };
    request(method, &format!("{method}{cseq}"), "call-1", "1234", lines, body)
        .replace("To: <sip:alice@example.com>", &format!("To: {to}"))
        .replace("CSeq: 7", &format!("CSeq: {cseq}"))
}

fn ends(stage: &Stage) -> Vec<(Uuid, Ended)> {
    let end = |event: &Event| match event {
        Event::Call(call) => match call.change {
            CallChange::Ended(how) => Some((call.uuid, how)),
            _ => None,
        },
        _ => None,
    };
    stage.events.iter().filter_map(end).collect()
}

#[test]
fn a_mid_call_push_registers_and_turns_out_to_be_no_call_once_a_request_of_that_dialog_comes() {
    for method in ["INVITE", "UPDATE", "INFO", "BYE"] {
        let (mut stage, to) = in_a_call(true);
        let talking = call(&stage)[0];
        stage.advance(seconds(3));
        let woken = stage.push_on("{}", Channel::PushKit).uuid;
        let register = stage.one();
        assert!(register.is_register(), "{method}: {register:?}");
        stage.ok(&register, &[]);
        assert!(ends(&stage).is_empty(), "{method}: it may be a second caller");
        stage.input(within(&to, method, 8));
        let mut ends = ends(&stage);
        assert_eq!(ends.remove(0), (woken, Ended::NoCall), "{method}");
        let over = (method == "BYE").then_some((talking, Ended::HungUpByCaller));
        assert_eq!(ends, Vec::from_iter(over), "{method}");
        stage.all();
        stage.advance(seconds(60));
        assert!(!self::ends(&stage).iter().any(|(_, how)| *how == Ended::Missed), "{method}: nobody called");
    }
}

#[test]
fn a_second_caller_rings_even_if_the_push_was_taken_for_a_request_inside_the_call() {
    let (mut stage, to) = in_a_call(true);
    stage.advance(seconds(3));
    stage.push_on("{}", Channel::PushKit);
    let register = stage.one();
    stage.ok(&register, &[]);
    stage.input(within(&to, "INVITE", 8));
    stage.all();
    stage.events.clear();
    stage.input(invite("call-2", "5678"));
    assert!(matches!(stage.calls()[..], [CallChange::Ringing { announced: false, .. }]), "{:?}", stage.calls());
}

#[test]
fn a_push_with_content_stays_a_call_even_if_a_request_comes_inside_another_one() {
    let (mut stage, to) = in_a_call(true);
    stage.advance(seconds(3));
    let second = stage.push(r#"{"ntype":"0","nfrom":"5678","ntouser":"alice"}"#).uuid;
    stage.all();
    stage.input(within(&to, "INVITE", 8));
    assert_eq!(ends(&stage), []);
    stage.input(invite("call-2", "5678"));
    assert!(call(&stage).iter().filter(|known| **known == second).count() >= 2, "announced, and ringing");
}

#[test]
fn an_empty_push_registers_even_if_an_invite_without_a_push_is_here() {
    let (mut stage, _) = in_a_call(false);
    stage.advance(seconds(3));
    stage.push_on("{}", Channel::PushKit);
    assert!(stage.one().is_register(), "it may be a second caller's");
}
