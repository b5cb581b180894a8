//! What a hostile server can make the client hold: all live requests together take at most 4 MiB.

use sipwake_core::account::Transport;
use sipwake_core::event::{CallChange, Discard, Event, Offer};

use crate::incoming::{call, invite, ready, request};
use crate::support::{Sent, Stage, fcm, mpush, over};

/// The size of each request. Some servers do send that much, and 64 KiB is the most that is read.
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
fn large_invites_take_at_most_four_mebibytes_and_calls_go_on() {
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
    assert!(too_many(&stage), "a dropped message is reported");

    // A call that has ended makes room.
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
fn a_bye_is_handled_even_when_the_memory_limit_is_reached() {
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

/// Responses repeat the Via.
fn wide(method: &str, number: usize) -> String {
    let via = format!("Via: SIP/2.0/UDP 198.51.100.2;branch=z9hG4bK{number};x={}\r\n", "x".repeat(7000));
    request(method, &format!("{method}{number}"), &format!("{method}{number}"), "1234", &via.repeat(8), "")
}

#[test]
fn stored_responses_to_such_requests_take_at_most_four_mebibytes() {
    let mut stage = ready();
    let mut answer = |text: &str| {
        stage.input(text);
        let answer = stage.one();
        (answer.header("To").expect("a To").to_owned(), answer.text.len())
    };
    let first: Vec<_> = (0..250).map(|number| answer(&wide("BYE", number))).collect();
    assert!(first[0].1 > 8 * 7000, "each is large");
    // A stored response is repeated with its tag.
    let kept = first.iter().enumerate().rev().take_while(|(number, first)| answer(&wide("BYE", *number)) == **first);
    let size: usize = kept.map(|(_, (_, size))| size).sum();
    assert!((8 * 7000..=4 * 1024 * 1024).contains(&size), "{size} bytes are kept");
    stage.input(invite("real", "1234"));
    assert_eq!(stage.all().iter().filter_map(Sent::code).collect::<Vec<_>>(), [180]);
}

#[test]
fn the_routes_of_answered_calls_count_towards_the_limit() {
    let mut stage = ready();
    let route = format!("Record-Route: <sip:p.example.com;lr;x={}>\r\n", "x".repeat(7000));
    for number in 0..120 {
        let name = format!("c{number}");
        stage.input(request("INVITE", &name, &name, &format!("u{number}"), &route.repeat(7), ""));
        stage.all();
        let Some(uuid) = call(&stage).last().copied() else { continue };
        if !stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now) {
            continue;
        }
        stage.drain();
        let ok = stage.all().pop().expect("the 200");
        let tagged = format!("To: {}\r\n", ok.header("To").expect("a To"));
        let ack = request("ACK", &format!("ack{number}"), &name, &format!("u{number}"), "", "");
        stage.input(ack.replace("To: <sip:alice@example.com>\r\n", &tagged));
    }
    let up = stage.calls().iter().filter(|change| matches!(change, CallChange::Connected { .. })).count();
    assert!((8..=4 * 1024 * 1024 / (7 * 7000)).contains(&up), "{up} calls");
    assert!(too_many(&stage), "a dropped message is reported");
}

#[test]
fn multipart_bodies_and_halves_of_requests_take_at_most_four_mebibytes() {
    let mut stage = ready();
    let part = format!("--b\r\nContent-Type: application/x\r\n\r\n{}\r\n", "x".repeat(3500));
    let body = part.repeat(15) + "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b--\r\n";
    let named = |number: usize| {
        let name = format!("m{number}");
        let lines = "Content-Type: multipart/mixed;boundary=b\r\n";
        request("INVITE", &name, &name, &format!("u{number}"), lines, &body)
    };
    for number in 0..200 {
        stage.input(named(number));
    }
    let ringing = stage.all().iter().filter(|sent| sent.code() == Some(180)).count();
    assert!((8..=4 * 1024 * 1024 / body.len()).contains(&ringing), "{ringing} of {} bytes each", body.len());

    // Over a stream, halves belong to one request at a time, and a request that never ends is dropped with its flow.
    let mut stage = Stage::new(over(Transport::Tcp), mpush());
    stage.set_token(fcm("a:1"));
    stage.registered();
    let half = named(0);
    stage.input(&half[..half.len() / 2]);
    stage.input(&half[half.len() / 2..]);
    assert_eq!(stage.all().iter().filter_map(Sent::code).collect::<Vec<_>>(), [180]);
    let flow = stage.flow();
    for _ in 0..100 {
        if stage.up.contains(&flow) {
            stage.input_on(flow, "X-Padding: ".to_owned() + &"x".repeat(1000) + "\r\n");
        }
    }
    assert!(!stage.up.contains(&flow), "100 kB without an end");
}
