//! Calls and chats with a hand-written UDP peer, and faults on the path.

mod peer;

use std::time::Duration;

use mock_gateway::{Action, CallOptions, CallState, Entry, Fault, MockGateway, Phase, PlannedEnd, PushWhen, ladder};
use peer::{LIMIT, Peer, Register, open_mock};

async fn registered(mock: &MockGateway) -> Peer {
    let mut peer = Peer::new(mock).await;
    let ok = peer.register(&tags()).await;
    assert_eq!(ok.status(), Some(200));
    peer
}

fn tags() -> Register {
    Register { expires: 3600, headers: "X-MPUSH: a:project:tok:en\r\n".into(), ..Register::default() }
}

fn soon() -> CallOptions {
    CallOptions::default()
}

#[tokio::test]
async fn a_call_rings_is_answered_acked_and_hung_up_by_the_caller() {
    let mock = open_mock("xmpush").await;
    let peer = registered(&mock).await;
    let call = mock.place_call("alice", soon()).await;
    let invite = peer.request("INVITE").await;
    assert!(invite.text().starts_with("v=0"));
    peer.reply(&invite, "180 Ringing", "").await;
    assert!(call.wait(|s| s == CallState::Ringing, LIMIT).await.is_some());
    peer.reply(&invite, "200 OK", &peer.contact()).await;
    let ack = peer.request("ACK").await;
    assert_eq!((ack.cseq(), ack.tag("To").as_deref()), (Some((1, "ACK")), Some("callee")));
    assert!(call.reinvite("v=0\r\n").await);
    let again = peer.request("INVITE").await;
    peer.reply(&again, "200 OK", &peer.contact()).await;
    assert_eq!(peer.request("ACK").await.cseq(), Some((2, "ACK")));
    assert!(call.bye().await);
    let bye = peer.request("BYE").await;
    peer.reply(&bye, "200 OK", "").await;
    let report = call.wait_end(LIMIT).await.expect("it ends");
    assert_eq!((report.state, report.legs), (CallState::HungUpByCaller, 1));
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn an_invite_is_retransmitted_until_a_provisional_response() {
    let mock = open_mock("xmpush").await;
    let peer = registered(&mock).await;
    let call = mock.place_call("alice", CallOptions { push: PushWhen::Never, ..soon() }).await;
    let first = peer.request("INVITE").await;
    assert_eq!(peer.request("INVITE").await, first, "timer A");
    peer.reply(&first, "100 Trying", "").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        peer.receive_within(Duration::from_millis(1300)).await.is_none(),
        "the server is silent after it answered once"
    );
    peer.reply(&first, "486 Busy Here", "").await;
    assert_eq!(peer.request("ACK").await.via(), first.via());
    assert_eq!(call.wait_end(LIMIT).await.map(|r| r.state), Some(CallState::Rejected(486)));
}

#[tokio::test]
async fn a_cancel_waits_for_a_provisional_response_and_carries_its_reason() {
    let mock = open_mock("xmpush").await;
    let peer = registered(&mock).await;
    let call = mock.place_call("alice", soon()).await;
    let invite = peer.request("INVITE").await;
    call.answered_elsewhere().await;
    assert!(peer.receive_within(Duration::from_millis(200)).await.is_none());
    peer.reply(&invite, "180 Ringing", "").await;
    let cancel = peer.request("CANCEL").await;
    assert_eq!(cancel.via(), invite.via());
    assert_eq!(cancel.header("Reason"), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    peer.reply(&cancel, "200 OK", "").await;
    peer.reply(&invite, "487 Request Terminated", "").await;
    peer.request("ACK").await;
    assert_eq!(call.report().await.map(|r| r.state), Some(CallState::Elsewhere));
}

#[tokio::test]
async fn a_sleeping_client_gets_a_push_and_its_call_waits_until_it_registers() {
    let mock = open_mock("xmpush").await;
    let mut peer = registered(&mock).await;
    mock.sleep("alice", false).await;
    let mut pushes = mock.pushes(Some("tok:en"));
    let call = mock.place_call("alice", soon()).await;
    let push = pushes.next_within(LIMIT).await.expect("a push");
    assert_eq!((&push.payload["ntype"], push.payload["nfrom"].as_str()), (&"0".into(), Some("bob")));
    assert_eq!(call.report().await.map(|r| (r.state, r.legs)), Some((CallState::Held, 0)));
    peer.register(&tags()).await;
    let invite = peer.request("INVITE").await;
    assert_eq!(Some(invite.call_id()), push.payload["ncallid"].as_str());
    peer.reply(&invite, "603 Decline", "").await;
    assert_eq!(call.wait_end(LIMIT).await.map(|r| r.state), Some(CallState::Rejected(603)));
}

#[tokio::test]
async fn a_client_that_comes_back_on_another_port_gets_the_call_there_and_can_refuse_it() {
    let mock = open_mock("xmpush").await;
    let old = registered(&mock).await;
    mock.change_profile(None, |p| p.silence = Duration::from_millis(50)).await;
    let call = mock.place_call("alice", soon()).await;
    assert!(mock.pushes(None).next_within(LIMIT).await.is_some(), "it was silent");
    let mut new = Peer::new(&mock).await;
    (new.call_id, new.cseq) = (old.call_id.clone(), old.cseq);
    new.register(&tags()).await;
    let invite = new.request("INVITE").await;
    new.reply(&invite, "486 Busy Here", "").await;
    assert_eq!(call.wait_end(LIMIT).await.map(|r| r.state), Some(CallState::Rejected(486)));
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn the_invite_may_come_before_the_200() {
    let mock = open_mock("xmpush").await;
    let mut peer = registered(&mock).await;
    mock.sleep("alice", false).await;
    mock.place_call("alice", CallOptions { before_200: true, ..soon() }).await;
    let text = peer.register_text(&tags());
    peer.send(&text).await;
    assert_eq!(peer.receive().await.method(), "INVITE");
    assert_eq!(peer.receive().await.status(), Some(200));
}

#[tokio::test]
async fn a_client_that_never_wakes_is_unreachable_and_a_silent_one_gets_a_push() {
    let mock = open_mock("xmpush").await;
    let _peer = registered(&mock).await;
    mock.change_profile(None, |p| p.silence = Duration::from_millis(100)).await;
    let hold = Some(Duration::from_millis(400));
    let call = mock.place_call("alice", CallOptions { hold, ..soon() }).await;
    let report = call.wait_end(LIMIT).await.expect("it ends");
    assert_eq!((report.state, report.pushes), (CallState::Unreachable, 1));
}

#[tokio::test]
async fn a_call_forks_and_the_other_phone_learns_that_it_was_answered_elsewhere() {
    let mock = open_mock("none").await;
    let (one, two) = (registered(&mock).await, registered(&mock).await);
    let call = mock.place_call("alice", soon()).await;
    let (first, second) = (one.request("INVITE").await, two.request("INVITE").await);
    two.reply(&second, "180 Ringing", "").await;
    one.reply(&first, "200 OK", &one.contact()).await;
    one.request("ACK").await;
    assert!(two.request("CANCEL").await.header("Reason").is_some());
    let bye = format!(
        "BYE sip:bob@{} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@x>;tag=callee\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        mock.addr(),
        one.port(),
        first.header("From").expect("has From"),
        first.call_id(),
    );
    one.send(&bye).await;
    assert_eq!(one.receive().await.status(), Some(200));
    assert_eq!(call.wait_end(LIMIT).await.map(|r| r.state), Some(CallState::HungUpByCallee));
}

#[tokio::test]
async fn a_lost_ack_is_sent_for_the_retransmitted_2xx() {
    let mock = open_mock("none").await;
    let peer = registered(&mock).await;
    mock.place_call("alice", CallOptions { lose_acks: 1, ..soon() }).await;
    let invite = peer.request("INVITE").await;
    peer.reply(&invite, "200 OK", &peer.contact()).await;
    assert!(peer.receive_within(Duration::from_millis(200)).await.is_none());
    peer.reply(&invite, "200 OK", &peer.contact()).await;
    peer.request("ACK").await;
}

#[tokio::test]
async fn a_planned_cancel_comes_at_its_phase_and_ringing_stops_after_its_time() {
    let mock = open_mock("none").await;
    let peer = registered(&mock).await;
    let end = Some(PlannedEnd { phase: Phase::Ringing, after: Duration::from_millis(50), elsewhere: false });
    let call = mock.place_call("alice", CallOptions { end, ..soon() }).await;
    let invite = peer.request("INVITE").await;
    peer.reply(&invite, "180 Ringing", "").await;
    peer.request("CANCEL").await;
    assert_eq!(call.report().await.map(|r| r.state), Some(CallState::Cancelled));
    let call = mock.place_call("alice", CallOptions { ring_time: Duration::from_millis(50), ..soon() }).await;
    let invite = peer.request("INVITE").await;
    peer.reply(&invite, "180 Ringing", "").await;
    assert_eq!(call.wait_end(LIMIT).await.map(|r| r.state), Some(CallState::NoAnswer));
}

#[tokio::test]
async fn a_chat_leads_to_a_push_waits_and_is_delivered() {
    let mock = open_mock("xmpush").await;
    let mut peer = registered(&mock).await;
    mock.sleep("alice", false).await;
    let chat = mock.send_chat("alice", "hello", soon()).await;
    let push = mock.pushes(None).next_within(LIMIT).await.expect("a push");
    assert_eq!((&push.payload["ntype"], &push.payload["nmsg"]), (&"1".into(), &"hello".into()));
    peer.register(&tags()).await;
    let message = peer.request("MESSAGE").await;
    assert_eq!(message.text(), "hello");
    peer.reply(&message, "200 OK", "").await;
    assert_eq!(chat.wait_end(LIMIT).await.map(|r| r.state), Some(CallState::Delivered));
}

#[tokio::test]
async fn reliable_provisional_responses_are_pracked_once() {
    let mock = open_mock("none").await;
    let peer = registered(&mock).await;
    mock.place_call("alice", soon()).await;
    let invite = peer.request("INVITE").await;
    peer.reply(&invite, "183 Session Progress", &format!("Require: 100rel\r\nRSeq: 7\r\n{}", peer.contact())).await;
    let prack = peer.request("PRACK").await;
    assert_eq!(prack.header("RAck"), Some("7 1 INVITE"));
}

#[tokio::test]
async fn opensips_strips_push_parameters_from_the_request_uri_and_portsip_adds_its_id() {
    let mock = open_mock("opensips").await;
    let mut peer = Peer::new(&mock).await;
    let uri_params = ";pn-provider=fcm;pn-param=p;pn-prid=t;ob".into();
    peer.register(&Register { expires: 60, uri_params, ..Register::default() }).await;
    mock.place_call("alice", CallOptions { push: PushWhen::Never, ..soon() }).await;
    let uri = peer.request("INVITE").await.request_uri().expect("a request").to_owned();
    assert!(!uri.contains("pn-") && uri.ends_with(";ob"), "{uri}");
    let mock = open_mock("portsip").await;
    let peer = registered(&mock).await;
    mock.place_call("alice", soon()).await;
    assert!(peer.request("INVITE").await.header("X-Push-ID").is_some());
}

#[tokio::test]
async fn faults_drop_delay_duplicate_reorder_and_forge() {
    let mock = open_mock("none").await;
    let mut peer = Peer::new(&mock).await;
    let text = peer.register_text(&tags());
    mock.faults(vec![Fault::new(Action::Drop).sent().response(200, "REGISTER")]).await;
    peer.send(&text).await;
    assert!(peer.receive_within(Duration::from_millis(100)).await.is_none(), "dropped");
    mock.faults(vec![Fault::new(Action::Duplicate).sent()]).await;
    peer.send(&text).await;
    assert_eq!(peer.receive().await, peer.receive().await);
    mock.faults(vec![Fault::new(Action::Delay(Duration::from_millis(200))).sent()]).await;
    peer.send(&text).await;
    assert!(peer.receive_within(Duration::from_millis(100)).await.is_none(), "delayed");
    peer.receive().await;
    mock.faults(vec![Fault::new(Action::WrongBranch).sent()]).await;
    peer.send(&text).await;
    assert!(peer.receive().await.via().expect("a Via").branch().starts_with("z9hG4bKwrong"));
    mock.faults(vec![Fault::new(Action::ForeignResponse).sent()]).await;
    peer.send(&text).await;
    assert_ne!(peer.receive().await.call_id(), peer.call_id);
    assert_eq!(peer.receive().await.call_id(), peer.call_id);
    mock.faults(vec![Fault::new(Action::Reorder).received().request("REGISTER")]).await;
    peer.send(&text).await;
    let options = text.replace("REGISTER", "OPTIONS");
    peer.send(&options).await;
    assert_eq!(peer.receive().await.method(), "OPTIONS");
    assert_eq!(peer.receive().await.method(), "REGISTER");
    let faults: Vec<&str> = mock.messages().all().iter().filter_map(|e: &Entry| e.fault).collect();
    assert_eq!(faults, ["drop", "duplicate", "delay", "wrong_branch", "foreign_response", "reorder"]);
    assert!(ladder(&mock.messages().all()).contains("[drop]"));
}

#[tokio::test]
async fn a_restart_forgets_bindings_unless_told_to_keep_them() {
    let mock = open_mock("xmpush").await;
    let _peer = registered(&mock).await;
    mock.restart(true).await;
    assert_eq!(mock.bindings("alice").await.len(), 1);
    mock.restart(false).await;
    assert_eq!(mock.bindings("alice").await, []);
}
