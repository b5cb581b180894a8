//! What a hostile server may have the client hold: all live requests together stay within 4 MiB.

use sipwake_core::event::{Discard, Event, Offer};

use crate::incoming::{call, invite, ready, request};
use crate::support::{Sent, Stage};

/// Of each request; some servers do send that much, and 64 KiB is the largest that is read.
const LARGE: usize = 56 * 1024;

fn large(method: &str, number: usize) -> String {
    let name = format!("{method}{number}");
    let padding = format!("X-Padding: {}\r\n", "x".repeat(7000));
    let lines = padding.repeat(8) + "Content-Type: application/sdp\r\n";
    let body = "v=0\r\n".to_owned();
    request(method, &name, &name, &format!("u{number}"), &lines, &body)
}

fn too_many(stage: &Stage) -> bool {
    stage.events.iter().any(|event| matches!(event, Event::Discarded { reason: Discard::TooManyCalls, .. }))
}

#[test]
fn large_invites_fill_no_more_than_four_mebibytes_and_calls_go_on() {
    let mut stage = ready();
    for number in 0..200 {
        stage.input(large("INVITE", number));
    }
    let codes: Vec<u16> = stage.all().iter().filter_map(Sent::code).collect();
    let ringing = codes.iter().filter(|code| **code == 180).count();
    assert!(
        (8..=4 * 1024 * 1024 / LARGE).contains(&ringing),
        "{ringing} of {LARGE} bytes each: {codes:?} {:?}",
        stage.events
    );
    assert!(too_many(&stage), "what is dropped is told");

    // A call that is over makes room.
    for uuid in call(&stage) {
        stage.agent.decline(uuid, sipwake_core::user_agent::Decline::Busy, stage.now);
    }
    stage.drain();
    stage.all();
    stage.input(invite("real", "1234"));
    assert_eq!(stage.all().iter().filter_map(Sent::code).collect::<Vec<_>>(), [180]);
}

#[test]
fn large_requests_of_other_kinds_leave_room_for_a_call() {
    for method in ["OPTIONS", "MESSAGE", "SUBSCRIBE", "INFO", "UPDATE"] {
        let mut stage = ready();
        for number in 0..300 {
            stage.input(large(method, number));
        }
        stage.all();
        stage.input(invite("real", "1234"));
        assert_eq!(stage.all().iter().filter_map(Sent::code).collect::<Vec<_>>(), [180], "after {method}");
    }
}

#[test]
fn a_bye_is_heard_however_full_it_is() {
    let mut stage = ready();
    stage.input(invite("c", "1234"));
    let uuid = call(&stage)[0];
    assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
    stage.drain();
    let ok = stage.all().pop().expect("the 200");
    let tagged = format!("To: {}\r\n", ok.header("To").expect("a To"));
    let within = |method: &str, branch: &str| {
        request(method, branch, "c", "1234", "", "").replace("To: <sip:alice@example.com>\r\n", &tagged)
    };
    stage.input(within("ACK", "ack"));
    for number in 0..200 {
        stage.input(large("INVITE", number));
    }
    stage.all();
    stage.input(within("BYE", "bye").replace("CSeq: 7 ", "CSeq: 8 "));
    assert!(stage.all().iter().any(|sent| sent.code() == Some(200)));
}
