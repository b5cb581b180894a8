//! Requests that come in on a registered flow.

use integration::peer::Peer;
use integration::{App, PATIENCE, Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::{CallOptions, CallState};
use sipwake::{AccountConfig, CallChange, Decline, Ended, Error, Event, MemoryStore, Transport, Uuid};
use std::sync::Arc;

over_udp_and_tcp!(
    a_call_rings_and_is_cancelled,
    a_call_answered_on_another_phone_ends_as_such,
    a_declined_call_is_refused_on_all_phones_or_on_this_one,
    a_refusal_queued_just_before_the_end_is_still_sent,
    a_message_arrives_with_its_text,
    a_merged_call_rings_once,
    a_log_out_ends_a_ringing_call,
);

async fn a_call_rings_and_is_cancelled(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mark = stage.mark();
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let (uuid, offer) = app
        .wait("the INVITE", |event| match event {
            Event::Call(call) => match &call.change {
                CallChange::Ringing { caller, announced: false, offer } => {
                    assert_eq!(caller.display_name.as_deref(), Some("Bob"));
                    assert_eq!(caller.uri, "sip:bob@mock.example");
                    Some((call.uuid, offer.clone().expect("it carries one")))
                }
                other => panic!("{other:?}"),
            },
            _ => None,
        })
        .await;
    assert_eq!(offer.content_type, "application/sdp");
    assert!(offer.body.starts_with(b"v=0"));
    stage.wait_for_response(mark, 180, "INVITE").await;
    call.cancel().await;
    assert_eq!(app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await, uuid);
    stage.wait_for_response(mark, 487, "INVITE").await;
    stage.wait_for_response(mark, 200, "CANCEL").await;
    let report = call.wait_end(PATIENCE).await.expect("an end");
    assert_eq!(report.state, CallState::Cancelled);
}

async fn a_call_answered_on_another_phone_ends_as_such(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let uuid = app.ringing().await;
    call.answered_elsewhere().await;
    assert_eq!(app.call("the end", |change| *change == CallChange::Ended(Ended::AnsweredElsewhere)).await, uuid);
}

async fn a_declined_call_is_refused_on_all_phones_or_on_this_one(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    for (how, status) in [(Decline::Everywhere, 603), (Decline::Busy, 486)] {
        let call = stage.gateway.place_call(USER, CallOptions::default()).await;
        let uuid = app.ringing().await;
        app.client.decline(uuid, how).await.expect("it rings");
        assert_eq!(app.call("the end", |change| *change == CallChange::Ended(Ended::Declined)).await, uuid);
        let report = call.wait_end(PATIENCE).await.expect("an end");
        assert_eq!(report.state, CallState::Rejected(status));
        assert_eq!(app.client.decline(uuid, how).await, Err(Error::NoSuchCall), "it is over");
    }
    assert_eq!(app.client.decline(Uuid::nil(), Decline::Busy).await, Err(Error::NoSuchCall));
}

async fn a_refusal_queued_just_before_the_end_is_still_sent(transport: Transport) {
    for _ in 0..20 {
        let stage = Stage::new("mizutech", transport).await;
        let (mut app, _) = stage.registered_app(TOKEN).await;
        let call = stage.gateway.place_call(USER, CallOptions::default()).await;
        let uuid = app.ringing().await;
        app.client.decline(uuid, Decline::Everywhere).await.expect("it rings");
        drop(app);
        let report = call.wait_end(PATIENCE).await.expect("an end");
        assert_eq!(report.state, CallState::Rejected(603));
    }
}

async fn a_message_arrives_with_its_text(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    for text in ["hello", "Grüße, 世界\r\nand a second line", ""] {
        let chat = stage.gateway.send_chat(USER, text, CallOptions::default()).await;
        let heard = app
            .wait("the message", |event| match event {
                Event::Message { text, from, display_name, .. } => {
                    assert_eq!((from.as_str(), display_name.as_deref()), ("sip:bob@mock.example", Some("Bob")));
                    Some(text.expose().to_owned())
                }
                _ => None,
            })
            .await;
        assert_eq!(heard, text);
        let report = chat.wait_end(PATIENCE).await.expect("an answer");
        assert_eq!(report.state, CallState::Delivered);
    }
}

async fn a_merged_call_rings_once(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let options = CallOptions { merged: true, ..CallOptions::default() };
    let call = stage.gateway.place_call(USER, options).await;
    app.ringing().await;
    let more = app.leftovers(std::time::Duration::from_millis(200)).await;
    assert!(!more.iter().any(|event| matches!(event, Event::Call(_))), "{more:?}");
    call.cancel().await;
}

async fn a_log_out_ends_a_ringing_call(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let uuid = app.ringing().await;
    app.client.log_out(&app.account).await.expect("the account is there");
    assert_eq!(app.call("the end", |change| *change == CallChange::Ended(Ended::LoggedOut)).await, uuid);
    let report = call.wait_end(PATIENCE).await.expect("an end");
    assert_eq!(report.state, CallState::Rejected(480));
    app.logged_out().await;
}

async fn beside_a_peer() -> (Peer, App) {
    let mut peer = Peer::start().await;
    let mut account = AccountConfig::new("alice@mock.example", "secret");
    account.gateways = vec![peer.addr().to_string()];
    let mut app = App::start(Arc::new(MemoryStore::default()), account, None).await;
    app.client.register(&app.account).await.expect("the account is there");
    peer.take_register().await;
    app.registered().await;
    (peer, app)
}

#[tokio::test]
async fn options_is_answered_with_what_the_client_can_do() {
    let (mut peer, _app) = beside_a_peer().await;
    let answer = peer.ask("OPTIONS", "options", "").await;
    assert_eq!(answer.status(), Some(200));
    assert!(answer.header("Allow").is_some_and(|allow| allow.contains("INVITE") && allow.contains("MESSAGE")));
    assert!(answer.header("Accept").is_some());
    let again = peer.ask("OPTIONS", "options", "").await;
    assert_eq!(again.header("To"), answer.header("To"), "a retransmission gets the same response");
}

#[tokio::test]
async fn unknown_requests_get_the_response_that_the_rfc_asks_for() {
    let (mut peer, _app) = beside_a_peer().await;
    for (method, status) in [("FROBNICATE", 405), ("REGISTER", 405), ("SUBSCRIBE", 405), ("BYE", 481), ("NOTIFY", 481)]
    {
        let answer = peer.ask(method, method, "").await;
        assert_eq!(answer.status(), Some(status), "{method}");
        assert!(status != 405 || answer.header("Allow").is_some());
    }
    let answer = peer.ask("INVITE", "extension", "Require: telepathy\r\nContact: <sip:bob@127.0.0.1>\r\n").await;
    assert_eq!((answer.status(), answer.header("Unsupported")), (Some(420), Some("telepathy")));
    let answer = peer.ask("CANCEL", "nothing-to-cancel", "").await;
    assert_eq!(answer.status(), Some(481));
}

#[tokio::test]
async fn stray_messages_are_counted_and_harm_nothing() {
    let (mut peer, mut app) = beside_a_peer().await;
    for stray in [
        "ACK sip:alice@x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKstray\r\nFrom: <sip:b@x>;tag=b\r\nTo: <sip:a@x>\r\n\
         Call-ID: stray\r\nCSeq: 1 ACK\r\n\r\n",
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKstray\r\nFrom: <sip:b@x>;tag=b\r\nTo: <sip:a@x>\r\n\
         Call-ID: stray\r\nCSeq: 1 REGISTER\r\n\r\n",
        "REGISTER\r\n\r\n",
        "\r\n\r\n",
        "\0",
    ] {
        peer.send(stray).await;
    }
    assert_eq!(peer.ask("OPTIONS", "after-the-strays", "").await.status(), Some(200));
    for _ in 0..3 {
        app.wait("a stray message", |event| matches!(event, Event::Discarded { .. }).then_some(())).await;
    }
    let more = app.leftovers(std::time::Duration::from_millis(100)).await;
    assert!(!more.iter().any(|event| matches!(event, Event::Discarded { .. })), "{more:?}");
}
