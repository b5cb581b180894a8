//! Dialogs as real peers make them: with cut-off tags, requests straight to our Contact, and texts in Latin-1.

use sipwake_core::call::HangUp;
use sipwake_core::event::{CallChange, Event, Offer};

use crate::incoming::{call, invite, ready, request};
use crate::support::{Sent, Stage, seconds};

/// A call that was answered with SDP. Its ACK has not come.
fn answered(invite: &str) -> (Stage, String) {
    let mut stage = ready();
    stage.input(invite);
    let uuid = call(&stage)[0];
    stage.all();
    assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
    stage.drain();
    let ok = stage.one();
    assert_eq!(ok.code(), Some(200));
    (stage, ok.header("To").expect("it has one").to_owned())
}

fn is_connected(stage: &Stage) -> bool {
    stage.calls().iter().any(|change| matches!(change, CallChange::Connected { .. }))
}

fn is_over(stage: &Stage) -> bool {
    stage.calls().iter().any(|change| matches!(change, CallChange::Ended(_)))
}

#[test]
fn an_ack_and_a_bye_without_their_to_tag_belong_to_the_only_call_that_fits() {
    let long = format!("<sip:alice@192.0.2.10:5070;pn-prid=c-10:{};transport=udp>", "A".repeat(190));
    for (to, keep) in [(long.as_str(), 255), ("<sip:alice@example.com>", 23)] {
        let (mut stage, whole) = answered(&invite("c", "1234").replace("<sip:alice@example.com>", to));
        let cut = |text: String| text.replace("<sip:alice@example.com>", &whole[..keep.min(whole.len())]);
        stage.input(cut(request("ACK", "c-ack", "c", "1234", "", "")));
        stage.advance(seconds(40));
        assert!(is_connected(&stage) && !is_over(&stage), "{:?}", stage.calls());
        stage.all();
        stage.input(cut(request("BYE", "c-bye", "c", "1234", "", "").replace("CSeq: 7", "CSeq: 8")));
        assert_eq!(stage.one().code(), Some(200));
        assert!(is_over(&stage));
    }
}

#[test]
fn without_a_route_the_callers_ack_and_bye_are_accepted_from_any_address() {
    let source = "203.0.113.7:5080".parse().expect("an address");
    let (mut stage, to) = answered(&invite("c", "1234").replace("Record-Route: <sip:gw.example.net;lr>\r\n", ""));
    let from_there = |stage: &mut Stage, text: String| {
        let flow = stage.flow();
        stage.agent.handle_stranger(flow, source, text.as_bytes(), stage.now);
        stage.drain();
    };
    let tagged = |text: String| text.replace("To: <sip:alice@example.com>", &format!("To: {to}"));
    // A request with only one of the tags is not from the peer.
    from_there(&mut stage, request("ACK", "x", "c", "1234", "", ""));
    from_there(&mut stage, tagged(request("BYE", "y", "c", "1234", "", "").replace("tag=fc", "tag=guessed")));
    assert!(!is_connected(&stage) && !is_over(&stage));
    from_there(&mut stage, tagged(request("ACK", "c-ack", "c", "1234", "", "")));
    assert!(is_connected(&stage), "{:?}", stage.calls());
    let reason = "Reason: Q.850;cause=16;text=\"Bye bye\"\r\n";
    from_there(&mut stage, tagged(request("BYE", "c-bye", "c", "1234", reason, "").replace("CSeq: 7", "CSeq: 8")));
    let told = stage.calls();
    assert!(matches!(&told[told.len() - 2..], [CallChange::Reason(why), CallChange::Ended(_)] if why.contains("Bye")));
}

#[test]
fn an_ack_with_the_branch_of_its_invite_connects_the_call() {
    // Callers that follow RFC 2543 have no branch that tells the two apart.
    for branch in ["z9hG4bKc", "1"] {
        let theirs = |text: String| text.replace("branch=z9hG4bKc\r\n", &format!("branch={branch}\r\n"));
        let (mut stage, to) = answered(&theirs(invite("c", "1234")));
        let uuid = call(&stage)[0];
        stage.input(theirs(tagged(&to, request("ACK", "c", "c", "1234", "", ""))));
        assert!(is_connected(&stage), "{branch}: {:?}", stage.calls());
        stage.advance(seconds(40));
        stage.silent();
        assert!(stage.agent.hang_up(uuid, HangUp::Normal, stage.now));
        stage.drain();
        assert!(stage.one().start().starts_with("BYE "), "no BYE goes before the ACK");
    }
}

fn tagged(to: &str, text: String) -> String {
    text.replace("To: <sip:alice@example.com>", &format!("To: {to}"))
}

#[test]
fn a_repeated_bye_from_another_peer_is_answered_again_and_an_old_cseq_is_refused() {
    let (mut stage, to) = answered(&invite("c", "1234").replace("Record-Route: <sip:gw.example.net;lr>\r\n", ""));
    let from_there = |stage: &mut Stage, text: String| {
        let source = "203.0.113.7:5080".parse().expect("an address");
        stage.agent.handle_stranger(stage.flow(), source, tagged(&to, text).as_bytes(), stage.now);
        stage.drain();
        stage.all().iter().filter_map(Sent::code).collect::<Vec<_>>()
    };
    let bye =
        |branch: &str, cseq| request("BYE", branch, "c", "1234", "", "").replace("CSeq: 7", &format!("CSeq: {cseq}"));
    assert!(from_there(&mut stage, request("ACK", "a", "c", "1234", "", "")).is_empty());
    assert_eq!(from_there(&mut stage, bye("equal", 7)), [500]);
    assert!(from_there(&mut stage, bye("lower", 6)).is_empty() && !is_over(&stage));
    assert_eq!(from_there(&mut stage, bye("b", 8)), [200]);
    assert!(is_over(&stage));
    stage.advance(seconds(20));
    assert_eq!(from_there(&mut stage, bye("b", 8)), [200], "the first answer was lost");
    assert!(from_there(&mut stage, bye("another", 8)).is_empty());
    stage.advance(seconds(20));
    assert!(from_there(&mut stage, bye("b", 8)).is_empty());
}

#[test]
fn each_reason_of_a_bye_is_reported() {
    let (mut stage, to) = answered(&invite("c", "1234"));
    stage.input(tagged(&to, request("ACK", "a", "c", "1234", "", "")));
    let reasons = "Reason: Q.850;cause=16;text=\"Bye, bye\"\r\nReason: SIP;cause=200\r\n";
    stage.input(tagged(&to, request("BYE", "b", "c", "1234", reasons, "").replace("CSeq: 7", "CSeq: 8")));
    let told = |change: &&CallChange| match change {
        CallChange::Reason(why) => Some(why.clone()),
        _ => None,
    };
    let told: Vec<_> = stage.calls().iter().filter_map(told).collect();
    assert_eq!(told, ["Q.850;cause=16;text=\"Bye, bye\", SIP;cause=200"]);
}

#[test]
fn an_invite_from_another_address_is_ignored_even_during_a_call() {
    let source = "203.0.113.7:5080".parse().expect("an address");
    let (mut stage, _) = answered(&invite("c", "1234"));
    let flow = stage.flow();
    let before = stage.calls().len();
    stage.agent.handle_stranger(flow, source, invite("other", "1234").as_bytes(), stage.now);
    stage.drain();
    assert_eq!(stage.calls().len(), before);
}

#[test]
fn the_answers_to_an_invite_and_to_its_cancel_have_one_to_tag() {
    let mut stage = ready();
    stage.input(invite("call-1", "1234"));
    let mut sent = stage.all();
    stage.input(request("CANCEL", "call-1", "call-1", "1234", "", ""));
    sent.extend(stage.all());
    let tags: Vec<_> = sent.iter().map(|sent| sent.header("To").expect("a To").split("tag=").nth(1)).collect();
    assert_eq!((tags.len(), tags[0]), (3, tags[1]));
    assert_eq!(tags[1], tags[2]);
}

#[test]
fn an_invite_that_expires_ends_with_487() {
    let mut stage = ready();
    let expires = "Expires: 20\r\nContent-Type: application/sdp\r\n";
    stage.input(request("INVITE", "c", "c", "1234", expires, "v=0\r\n"));
    stage.all();
    stage.advance(seconds(21));
    assert_eq!(stage.all().first().and_then(Sent::code), Some(487));
}

/// The text with this one byte in place of `X`.
fn with_byte(text: String, byte: u8) -> Vec<u8> {
    text.into_bytes().into_iter().map(|known| if known == b'X' { byte } else { known }).collect()
}

#[test]
fn a_message_and_a_session_name_in_latin_1_are_read() {
    let wrapped = "From: BXb <sip:bob@example.com>\r\n\r\nContent-Type: text/plain\r\n\r\nhXllo";
    for (kind, body, byte, read) in [
        ("text/plain;charset=ISO-8859-1", "hXllo", 0xe9, "h\u{e9}llo"),
        ("text/plain", "hXllo", 0xe9, "h\u{e9}llo"),
        ("text/plain;charset=windows-1252", "itXs", 0x92, "it\u{2019}s"),
        ("text/plain", "5 X", 0x80, "5 \u{20ac}"),
        ("message/cpim", wrapped, 0xe9, "h\u{e9}llo"),
    ] {
        let mut stage = ready();
        let head = format!("Content-Type: {kind}\r\n");
        stage.input(with_byte(request("MESSAGE", "m", "m", "1234", &head, body), byte));
        let text = stage.events.iter().find_map(|event| match event {
            Event::Message { text, .. } => Some(text.expose().to_owned()),
            _ => None,
        });
        assert_eq!(text.as_deref(), Some(read), "{kind}");
    }
    let mut stage = ready();
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.3\r\ns=TXl\r\nt=0 0\r\n";
    stage.input(with_byte(request("INVITE", "c", "c", "1234", "Content-Type: application/sdp\r\n", sdp), 0xe9));
    assert_eq!(stage.one().code(), Some(180));
}

#[test]
fn an_sdp_may_end_with_zero_bytes_or_a_blank_line() {
    for end in ["\0", "\r\n\0\0", " \r\n", "\r\n"] {
        let mut stage = ready();
        let sdp = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.3\r\ns=-\r\n{end}");
        stage.input(request("INVITE", "c", "c", "1234", "Content-Type: application/sdp\r\n", &sdp));
        assert_eq!(stage.one().code(), Some(180), "{end:?}");
    }
}
