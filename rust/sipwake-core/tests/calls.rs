//! The called side of a call, message by message.

mod phone;

use std::time::Duration;

use phone::{ANSWER, Caller, OFFER, Phone, header};
use sipwake_core::account::Transport;
use sipwake_core::call::{CallPolicy, HangUp};
use sipwake_core::event::{CallChange, Ended, Event, Offer};
use sipwake_core::user_agent::Decline;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A phone with an answered call. Its events are read.
fn connected(transport: Transport, headers: &str) -> (Phone, Caller, uuid::Uuid) {
    let mut phone = Phone::new(transport);
    let mut bob = Caller::new("c1").with(headers);
    phone.receive(&bob.invite());
    let call = phone.call();
    assert!(phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    phone.drain();
    bob.hear(phone.sent.last().expect("a 200"));
    phone.receive(&bob.ack(false));
    assert_eq!(phone.said(), ["180 INVITE", "200 INVITE"]);
    assert_eq!(phone.happened(), ["ringing", "connected"]);
    (phone, bob, call)
}

#[test]
fn a_call_rings_is_answered_connected_and_hung_up_by_the_caller() {
    let (mut phone, mut bob, call) = connected(Transport::Udp, "");
    phone.pass(seconds(100));
    assert!(phone.take().is_empty(), "the ACK stopped the 200");
    phone.receive(&bob.within("BYE", "", None));
    assert_eq!((phone.said(), phone.happened()), (vec!["200 BYE".into()], vec!["ended HungUpByCaller".into()]));
    let times = phone.agent.call_times(call).expect("it is remembered");
    let lasted = times.ended.expect("over").boot - times.connected.expect("connected").boot;
    assert_eq!((lasted, times.announced, times.answered.is_some()), (seconds(100), None, true));
    assert!(!phone.agent.hang_up(call, HangUp::Normal, phone.now), "an end is reported once");
}

#[test]
fn our_bye_follows_the_route_and_is_sent_until_it_is_answered() {
    let (mut phone, _, call) = connected(Transport::Udp, "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n");
    assert!(phone.agent.hang_up(call, HangUp::Normal, phone.now));
    phone.drain();
    assert_eq!(phone.happened(), ["ended HungUp"]);
    let bye = phone.sent.last().expect("a BYE").clone();
    assert!(bye.starts_with("BYE sip:bob@192.0.2.1:5070 SIP/2.0\r\n"), "{bye}");
    assert!(bye.contains("Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n") && bye.contains("CSeq: 1 BYE\r\n"), "{bye}");
    phone.pass(seconds(2));
    assert_eq!(phone.said(), ["BYE", "BYE", "BYE"]);
    phone.receive(&Caller::respond(&bye, "200 OK", ""));
    phone.pass(seconds(60));
    assert!(phone.said().is_empty() && phone.happened().is_empty());
}

#[test]
fn an_answer_before_the_invite_waits_for_it_and_does_not_ring() {
    let mut phone = Phone::new(Transport::Udp);
    let call = phone.push("c1");
    assert!(phone.agent.answer(call, phone.now));
    assert!(!phone.agent.accept(call, Offer::sdp(ANSWER), phone.now), "there is no offer yet");
    phone.drain();
    phone.receive(&Caller::new("c1").invite());
    assert_eq!(phone.call(), call);
    assert!(matches!(&phone.events.last(), Some(Event::Call(event))
        if matches!(&event.change, CallChange::AnswerWanted { offer: Some(offer), .. } if offer.body == OFFER.as_bytes())));
    assert_eq!(phone.happened(), ["announced", "answer wanted"]);
    assert!(phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    phone.drain();
    assert!(phone.sent.last().is_some_and(|ok| ok.starts_with("SIP/2.0 200") && ok.ends_with(ANSWER)));
}

#[test]
fn a_decline_before_the_invite_is_sent_when_the_invite_arrives() {
    let mut phone = Phone::new(Transport::Udp);
    let call = phone.push("c1");
    assert!(phone.agent.decline(call, Decline::Everywhere, phone.now));
    phone.drain();
    phone.receive(&Caller::new("c1").invite());
    assert_eq!(phone.said(), ["603 INVITE"]);
    assert_eq!(phone.happened(), ["announced", "ended Declined"]);
}

#[test]
fn a_cancel_that_crosses_the_answer_has_one_outcome() {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1");
    phone.receive(&bob.invite());
    let call = phone.call();
    assert!(phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    phone.drain();
    bob.hear(phone.sent.last().expect("a 200"));
    phone.receive(&bob.cancel(""));
    phone.receive(&bob.ack(false));
    phone.receive(&bob.within("BYE", "", None));
    assert_eq!(phone.said(), ["180 INVITE", "200 INVITE", "200 CANCEL", "200 BYE"]);
    assert_eq!(phone.happened(), ["ringing", "connected", "ended HungUpByCaller"]);
    let mut phone = Phone::new(Transport::Udp);
    let bob = Caller::new("c2");
    phone.receive(&bob.invite());
    let call = phone.call();
    phone.receive(&bob.cancel("Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"));
    assert!(!phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    assert_eq!(phone.happened(), ["ringing", "ended AnsweredElsewhere"]);
}

#[test]
fn a_200_is_sent_until_its_ack_over_any_transport_and_given_up_with_a_bye() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut phone = Phone::new(transport);
        phone.receive(&Caller::new("c1").invite());
        let call = phone.call();
        phone.agent.accept(call, Offer::sdp(ANSWER), phone.now);
        phone.drain();
        phone.take();
        phone.pass(seconds(31));
        assert_eq!(phone.said(), vec!["200 INVITE"; 9], "{transport:?}");
        phone.pass(seconds(2));
        assert_eq!(phone.said()[..2], ["200 INVITE", "BYE"]);
        assert_eq!(phone.happened(), ["ringing", "ended Failed(408)"]);
    }
}

#[test]
fn a_hang_up_before_the_ack_waits_for_it() {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1");
    phone.receive(&bob.invite());
    let call = phone.call();
    phone.agent.accept(call, Offer::sdp(ANSWER), phone.now);
    phone.agent.hang_up(call, HangUp::Normal, phone.now);
    phone.drain();
    bob.hear(phone.sent.last().expect("a 200"));
    assert_eq!(phone.said(), ["180 INVITE", "200 INVITE"]);
    phone.receive(&bob.ack(false));
    assert_eq!(phone.said(), ["BYE"]);
    assert_eq!(phone.happened(), ["ringing", "ended HungUp"]);
}

#[test]
fn a_repeated_invite_gets_the_same_180_or_200_again() {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1");
    phone.receive(&bob.invite());
    phone.receive(&bob.invite());
    assert_eq!(phone.said(), ["180 INVITE", "180 INVITE"]);
    phone.accept(Offer::sdp(ANSWER));
    phone.drain();
    phone.receive(&bob.invite());
    let said = phone.take();
    assert_eq!((said.len(), &said[0]), (2, &said[1]));
    bob.hear(&said[0]);
    phone.receive(&bob.ack(false));
    phone.receive(&bob.ack(false));
    phone.receive(&bob.invite());
    assert!(phone.said().is_empty(), "a late INVITE is absorbed (RFC 6026)");
    assert_eq!(phone.happened(), ["ringing", "connected"]);
}

#[test]
fn the_app_answers_a_new_offer_and_an_old_one_gets_the_same_answer_again() {
    let (mut phone, mut bob, call) = connected(Transport::Udp, "");
    phone.receive(&bob.within("INVITE", "", Some(OFFER)));
    assert_eq!(phone.said(), ["100 INVITE", "200 INVITE"], "a refresh");
    phone.receive(&bob.ack(false));
    let held = OFFER.replace("- 1 1", "- 1 2");
    phone.receive(&bob.within("INVITE", "", Some(&held)));
    assert_eq!((phone.said(), phone.happened()), (vec!["100 INVITE".into()], vec!["offered".into()]));
    let mut second = bob.clone();
    phone.receive(&second.within("INVITE", "", Some(&held)));
    assert_eq!(phone.said(), ["500 INVITE"], "one at a time");
    phone.receive(&second.ack(true));
    assert!(phone.agent.respond_offer(call, Some(Offer::sdp(ANSWER)), phone.now));
    assert!(!phone.agent.respond_offer(call, None, phone.now));
    phone.drain();
    phone.receive(&bob.ack(false));
    assert_eq!(phone.said(), ["200 INVITE"]);
    bob.cseq += 1;
    phone.receive(&bob.within("UPDATE", "", Some(&held.replace("- 1 2", "- 1 3"))));
    assert!(phone.agent.respond_offer(call, None, phone.now));
    phone.drain();
    assert_eq!(phone.said(), ["488 UPDATE"]);
    phone.receive(&bob.within("INVITE", "", None));
    assert!(phone.agent.respond_offer(call, Some(Offer::sdp(ANSWER)), phone.now));
    phone.drain();
    phone.receive(&bob.ack_with(OFFER));
    assert_eq!(phone.happened(), ["offered", "offered nothing", "answered"]);
    phone.take();
    phone.receive(&bob.within("UPDATE", "", Some(&held.replace("- 1 2", "- 1 9"))));
    phone.pass(seconds(21));
    assert_eq!(phone.said(), ["488 UPDATE"], "the app did not answer in time");
    assert_eq!(phone.happened(), ["offered"]);
}

#[test]
fn an_invite_without_an_offer_is_accepted_with_ours_and_answered_in_the_ack() {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1").without_offer();
    phone.receive(&bob.invite());
    phone.accept(Offer::sdp(OFFER));
    phone.drain();
    bob.hear(phone.sent.last().expect("a 200"));
    phone.receive(&bob.ack_with(ANSWER));
    assert_eq!(phone.happened(), ["ringing", "connected with answer"]);
}

#[test]
fn a_required_reliable_180_is_sent_until_its_prack() {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1").with("Require: 100rel\r\n");
    phone.receive(&bob.invite());
    let ringing = phone.sent.last().expect("a 180").clone();
    bob.hear(&ringing);
    let rseq = header(&ringing, "RSeq").expect("it is reliable");
    assert_eq!(header(&ringing, "Require").as_deref(), Some("100rel"));
    phone.pass(Duration::from_millis(1600));
    assert_eq!(phone.said(), ["180 INVITE", "180 INVITE", "180 INVITE"]);
    phone.receive(&bob.clone().within("PRACK", &format!("RAck: {rseq} 2 INVITE\r\n"), None));
    phone.receive(&bob.clone().within("PRACK", &format!("RAck: {rseq} 2 INVITE\r\n"), None));
    bob.cseq = 7;
    phone.receive(&bob.within("PRACK", &format!("RAck: {rseq} 1 INVITE\r\n"), None));
    phone.pass(seconds(30));
    assert_eq!(phone.said(), ["481 PRACK", "481 PRACK", "200 PRACK"]);
    let mut phone = Phone::new(Transport::Udp);
    phone.receive(&Caller::new("c2").with("Require: 100rel\r\n").invite());
    phone.pass(seconds(33));
    assert_eq!(phone.said().last().map(String::as_str), Some("504 INVITE"));
    assert_eq!(phone.happened(), ["ringing", "ended Failed(504)"]);
}

#[test]
fn a_bye_to_a_ringing_call_cancels_it() {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1");
    phone.receive(&bob.invite());
    bob.hear(phone.sent.last().expect("a 180"));
    phone.receive(&bob.within("BYE", "", None));
    assert_eq!(phone.said(), ["180 INVITE", "200 BYE", "487 INVITE"]);
    assert_eq!(phone.happened(), ["ringing", "ended Cancelled"]);
}

#[test]
fn a_caller_who_does_not_refresh_its_session_is_hung_up_on() {
    let (mut phone, mut bob, _) = connected(Transport::Udp, "Session-Expires: 120\r\nSupported: timer\r\n");
    phone.pass(seconds(50));
    phone.receive(&bob.within("UPDATE", "Session-Expires: 120;refresher=uac\r\nSupported: timer\r\n", None));
    let ok = phone.sent.last().expect("a 200");
    assert_eq!(header(ok, "Session-Expires").as_deref(), Some("120;refresher=uac"));
    phone.take();
    phone.pass(seconds(87));
    assert!(phone.said().is_empty());
    phone.pass(seconds(2));
    assert!(header(&phone.sent[0], "Reason").is_some_and(|reason| reason.starts_with("SIP;cause=408")));
    assert_eq!(phone.happened(), ["ended Failed(408)"]);
}

#[test]
fn a_session_that_we_refresh_goes_on() {
    let (mut phone, bob, call) = connected(
        Transport::Udp,
        "Session-Expires: 100;refresher=uas\r\nSupported: timer\r\nAllow: INVITE, UPDATE\r\n",
    );
    for _ in 0..3 {
        phone.pass(seconds(50));
        let update = phone.take().pop().expect("a refresh");
        assert_eq!(phone::gist(&update), "UPDATE");
        assert_eq!(header(&update, "Session-Expires").as_deref(), Some("100;refresher=uac"));
        let headers = "Session-Expires: 100;refresher=uac\r\nContact: <sip:bob@192.0.2.1:5099>\r\n";
        phone.receive(&Caller::respond(&update, "200 OK", headers));
    }
    phone.agent.hang_up(call, HangUp::Failed(488), phone.now);
    phone.drain();
    let bye = phone.sent.last().expect("a BYE").clone();
    assert!(bye.starts_with("BYE sip:bob@192.0.2.1:5099 "), "the target moved: {bye}");
    assert!(header(&bye, "Reason").is_some_and(|reason| reason.starts_with("SIP;cause=488")));
    assert_eq!(phone.happened(), ["ended Failed(488)"]);
    drop(bob);
    let (mut phone, _, _) = connected(Transport::Udp, "Session-Expires: 100;refresher=uas\r\nSupported: timer\r\n");
    phone.pass(seconds(50));
    let again = phone.take().pop().expect("a refresh");
    assert!(again.starts_with("INVITE ") && again.ends_with(ANSWER), "no UPDATE for who does not allow it: {again}");
    phone.receive(&Caller::respond(&again, "200 OK", "Session-Expires: 100;refresher=uac\r\n"));
    phone.receive(&Caller::respond(&again, "200 OK", "Session-Expires: 100;refresher=uac\r\n"));
    assert_eq!(phone.said(), ["ACK", "ACK"]);
}

#[test]
fn an_invite_that_cannot_be_a_call_gets_the_rfcs_response_and_never_rings() {
    let garbage = |kind: &str, body: &str| Caller { body: Some((kind.into(), body.into())), ..Caller::new("c1") };
    for (bob, said) in [
        (Caller::new("c1").with("Require: replaces, 100rel\r\n"), "420 INVITE"),
        (Caller::new("c1").with("Session-Expires: 30\r\nSupported: timer\r\n"), "422 INVITE"),
        (garbage("application/sdp", "garbage"), "488 INVITE"),
        (garbage("text/html", "<p>"), "415 INVITE"),
        (Caller { to_tag: "gone".into(), ..Caller::new("c1") }, "481 INVITE"),
    ] {
        let mut phone = Phone::new(Transport::Udp);
        let mut bob = bob;
        let invite = if bob.to_tag.is_empty() { bob.invite() } else { bob.within("INVITE", "", Some(OFFER)) };
        phone.receive(&invite);
        assert_eq!(phone.said(), [said]);
        assert!(phone.happened().is_empty());
        phone.pass(seconds(40));
        assert!(phone.agent.poll_timeout().is_none_or(|(_, why)| why == "binding refresh"), "nothing is left behind");
    }
    let mut phone = Phone::new(Transport::Udp);
    phone.receive(&Caller::new("c1").invite().replace("Contact: <sip:bob@192.0.2.1:5070>\r\n", ""));
    assert_eq!(phone.said(), ["400 INVITE"]);
    phone.receive(&Caller::new("c1").ack(false));
    phone.receive(&Caller::new("c2").within("BYE", "", None));
    phone.receive(&Caller { to_tag: "x".into(), ..Caller::new("c3") }.within("BYE", "", None));
    phone.receive(&Caller::new("c4").with(&format!("X: {}\r\n", "y".repeat(70_000))).invite());
    assert_eq!(phone.said(), ["481 BYE", "481 BYE"]);
    assert_eq!(phone.happened(), ["dropped StrayRequest", "dropped Malformed"]);
}

#[test]
fn a_replayed_cseq_is_refused_and_a_bye_with_another_tag_or_call_id_ends_no_call() {
    let (mut phone, mut bob, _) = connected(Transport::Udp, "");
    phone.receive(&bob.clone().within("OPTIONS", "", None));
    phone.receive(&bob.clone().within("OPTIONS", "", None).replace("z9hG4bK-c1-2", "z9hG4bK-replayed"));
    assert_eq!(phone.said(), ["200 OPTIONS", "500 OPTIONS"]);
    let bye = bob.within("BYE", "", None);
    phone.receive(&bye.replace("tag=bob-c1", "tag=mallory"));
    phone.receive(&bye.replace("Call-ID: c1", "Call-ID: c9").replace("z9hG4bK-c1", "z9hG4bK-c9"));
    assert_eq!(phone.said(), ["481 BYE", "481 BYE"]);
    assert!(phone.happened().is_empty());
}

#[test]
fn a_forked_invite_rings_once_and_its_other_branch_gets_482() {
    let mut phone = Phone::new(Transport::Udp);
    let bob = Caller::new("c1");
    phone.receive(&bob.invite());
    let fork = Caller { branch: "z9hG4bK-other".into(), ..bob.clone() };
    phone.receive(&fork.invite());
    assert_eq!(phone.said(), ["180 INVITE", "482 INVITE"]);
    assert_eq!(phone.happened(), ["ringing"]);
}

#[test]
fn an_answer_given_without_a_network_is_sent_when_there_is_one() {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Caller::new("c1");
    phone.receive(&bob.invite());
    let call = phone.call();
    phone.take();
    phone.online = false;
    phone.reconnect();
    assert!(phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    phone.drain();
    assert!(phone.said().is_empty());
    phone.online = true;
    phone.reconnect();
    let ok = phone.take().pop().expect("the 200");
    bob.hear(&ok);
    assert!(
        header(&ok, "Contact")
            .is_some_and(|contact| contact.contains(&format!(":{}", 40000 + phone.flow.expect("up").0)))
    );
    phone.receive(&bob.ack(false));
    assert_eq!(phone.happened(), ["ringing", "connected"]);
    phone.reconnect();
    let moved = phone.take().pop().expect("a target refresh");
    assert!(moved.starts_with("INVITE ") && moved.contains(&format!(":{}", 40000 + phone.flow.expect("up").0)));
}

#[test]
fn a_gateway_that_repeats_its_invite_gets_the_lost_answer_on_the_new_flow() {
    let mut phone = Phone::new(Transport::Udp);
    let bob = Caller::new("c1");
    phone.receive(&bob.invite());
    phone.accept(Offer::sdp(ANSWER));
    phone.drain();
    phone.reconnect();
    phone.take();
    let mut again = Caller { branch: "z9hG4bK-again".into(), ..bob };
    phone.receive(&again.invite());
    let ok = phone.take().pop().expect("the 200");
    assert!(ok.starts_with("SIP/2.0 200") && ok.contains("z9hG4bK-again"), "{ok}");
    again.hear(&ok);
    phone.receive(&again.ack(false));
    phone.pass(seconds(40));
    assert_eq!(phone.happened(), ["ringing", "connected"]);
}

#[test]
fn the_contact_carries_purr_only_if_the_app_wants_it() {
    for wanted in [false, true] {
        let mut phone = Phone::with_purr("a1-B2");
        phone.agent.set_call_policy(CallPolicy { mid_call_wakeups: wanted, ..CallPolicy::default() });
        phone.receive(&Caller::new("c1").invite());
        phone.accept(Offer::sdp(ANSWER));
        phone.drain();
        let contact = header(phone.sent.last().expect("a 200"), "Contact").expect("it has one");
        assert_eq!(contact.contains(";pn-purr=a1-B2>"), wanted, "{contact}");
    }
}

#[test]
fn a_hundred_calls_ring_at_once_and_none_loses_its_timer() {
    let mut phone = Phone::new(Transport::Udp);
    for n in 0..100 {
        phone.receive(&Caller::new(&format!("c{n}")).with(&format!("Expires: {}\r\n", 30 + n)).invite());
    }
    assert_eq!(phone.happened(), vec!["ringing"; 100]);
    for n in 0..100 {
        phone.pass(if n == 0 { seconds(30) } else { seconds(1) });
        assert_eq!(phone.happened(), ["ended Unanswered"], "call {n}");
    }
}

#[test]
fn a_message_that_comes_several_times_is_reported_once() {
    let mut phone = Phone::new(Transport::Udp);
    let message = |branch: &str, kind: &str, body: &str| {
        format!(
            "MESSAGE sip:alice@x SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK{branch}\r\nFrom: <sip:bob@x>;tag=1\r\n\
             To: <sip:alice@x>\r\nCall-ID: m\r\nCSeq: 1 MESSAGE\r\nContent-Type: {kind}\r\n\r\n{body}"
        )
    };
    phone.receive(&message("1", "text/plain", "hello"));
    phone.receive(&message("2", "text/plain", "hello"));
    phone.receive(&message("3", "image/png", "hello"));
    assert_eq!(phone.said(), ["200 MESSAGE", "200 MESSAGE", "415 MESSAGE"]);
    assert_eq!(phone.happened(), ["message hello"]);
}

#[test]
fn a_better_name_after_the_first_report_is_an_update() {
    let mut phone = Phone::new(Transport::Udp);
    phone.push("c1");
    phone.push("c1");
    let named = "{\"ntype\":\"0\",\"nfrom\":\"Robert\",\"nfromusername\":\"bob\",\"ncallid\":\"c1\"}";
    let hints = sipwake_core::payload::Hints::at(phone.now);
    let action = sipwake_core::payload::parse_push(named, sipwake_core::payload::Channel::FcmAndroid, &hints);
    phone.agent.handle_push(&action, phone.now);
    phone.drain();
    assert_eq!(phone.happened(), ["announced", "caller Robert"]);
    phone.receive(&Caller::new("c1").invite());
    phone.agent.handle_push(&action, phone.now);
    phone.drain();
    assert_eq!(phone.happened(), ["ringing"], "the name in the INVITE replaces the one in a late push");
    assert_eq!(phone.ends(), Vec::<(uuid::Uuid, Ended)>::new());
}
