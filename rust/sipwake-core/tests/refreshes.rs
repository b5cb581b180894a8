//! Session refreshes, holds and option tags as callers really send them.

mod phone;

use std::time::Duration;

use phone::{ANSWER, Caller, OFFER, Phone, gist};
use sipwake_core::account::Transport;
use sipwake_core::event::Offer;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_refresh_that_is_refused_for_now_is_tried_again() {
    for (status, extra) in [("491 Request Pending", ""), ("500 Server Internal Error", "Retry-After: 3\r\n")] {
        let (mut phone, _, _) = Phone::connected("Session-Expires: 1800\r\nAllow: UPDATE, INVITE\r\n");
        phone.pass(seconds(901));
        let update = phone.take().remove(0);
        phone.receive(&Caller::respond(&update, status, extra));
        assert!(phone.take().is_empty());
        phone.pass(seconds(6));
        let again = phone.take();
        assert_eq!(again.first().map(|text| gist(text)).as_deref(), Some("UPDATE"), "{status}");
        phone.receive(&Caller::respond(&again[0], "200 OK", "Session-Expires: 1800;refresher=uac\r\n"));
        phone.pass(seconds(850));
        assert!(phone.happened().is_empty(), "{status}");
    }
}

#[test]
fn a_session_refresh_that_keeps_colliding_is_tried_until_the_session_ends() {
    let (mut phone, _, _) = Phone::connected("Session-Expires: 1800\r\nAllow: UPDATE, INVITE\r\n");
    phone.pass(seconds(901));
    for _ in 0..3 {
        let update = phone.take().remove(0);
        assert_eq!(gist(&update), "UPDATE");
        phone.receive(&Caller::respond(&update, "491 Request Pending", ""));
        phone.pass(seconds(3));
    }
    let update = phone.take().remove(0);
    phone.receive(&Caller::respond(&update, "200 OK", "Session-Expires: 1800;refresher=uac\r\n"));
    phone.pass(seconds(850));
    assert!(phone.happened().is_empty());
}

#[test]
fn a_hold_without_session_expires_ends_the_timer() {
    let (mut phone, mut bob, call) = Phone::connected("Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\n");
    phone.pass(seconds(1700));
    phone.receive(&bob.within("INVITE", "", Some(&OFFER.replace("1 1 IN", "1 2 IN"))));
    assert!(phone.agent.respond_offer(call, Some(Offer::sdp(ANSWER)), phone.now));
    phone.drain();
    assert_eq!(phone.said().last().map(String::as_str), Some("200 INVITE"));
    phone.receive(&bob.ack(false));
    phone.happened();
    phone.pass(seconds(4000));
    assert!(phone.happened().is_empty());
}

#[test]
fn a_hold_by_update_without_session_expires_ends_the_timer_and_one_with_it_renews_it() {
    for (again, ends) in [("", false), ("Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\n", true)] {
        let (mut phone, mut bob, call) =
            Phone::connected("Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\n");
        phone.pass(seconds(1700));
        let hold = format!("{}a=sendonly\r\n", OFFER.replace("1 1 IN", "1 2 IN"));
        phone.receive(&bob.within("UPDATE", again, Some(&hold)));
        assert_eq!(phone.happened(), ["offered"]);
        assert!(phone.agent.respond_offer(call, Some(Offer::sdp(ANSWER)), phone.now));
        phone.drain();
        assert_eq!(phone.said().last().map(String::as_str), Some("200 UPDATE"), "no ACK follows it");
        phone.pass(seconds(1000));
        assert!(phone.happened().is_empty(), "the first timer has ended, but not the call: {again}");
        phone.pass(seconds(3000));
        assert_eq!(!phone.happened().is_empty(), ends, "{again}");
    }
}

#[test]
fn another_body_with_the_same_sdp_version_is_reported() {
    let (mut phone, mut bob, _) = Phone::connected("");
    phone.receive(&bob.within("INVITE", "", Some(&OFFER.replace("4000", "4002"))));
    assert_eq!(phone.happened(), ["offered"]);
}

#[test]
fn without_an_offer_in_the_invite_the_180_is_not_reliable() {
    let mut phone = Phone::new(Transport::Udp);
    phone.receive(&Caller::new("c1").with("Require: 100rel\r\n").without_offer().invite());
    let sent = phone.take();
    assert!(sent[0].starts_with("SIP/2.0 180") && !sent[0].contains("RSeq"), "{sent:#?}");
}

#[test]
fn option_tags_are_read_in_any_case() {
    let mut phone = Phone::new(Transport::Udp);
    phone.receive(&Caller::new("c1").with("Require: 100REL\r\n").invite());
    assert!(phone.take()[0].contains("\r\nRSeq: "));
}
