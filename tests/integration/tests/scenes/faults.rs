//! What networks do to messages.

use std::time::Duration;

use integration::proxy::Dribble;
use integration::{Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::{Action, CallOptions, Direction, Fault};
use sipwake::{CallChange, Discard, Ended, Event, Failure, FlowError, Transport};

over_udp_and_tcp!(
    the_client_waits_for_late_responses,
    repeated_responses_count_once,
    repeated_requests_are_answered_once,
    reordered_responses_do_no_harm,
    a_response_to_another_request_is_ignored,
    after_half_a_response_a_new_flow_is_opened,
    a_call_survives_lost_and_doubled_messages,
);

async fn the_client_waits_for_late_responses(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let late = Fault::new(Action::Delay(Duration::from_millis(900))).sent().times(2);
    stage.gateway.faults(vec![late]).await;
    stage.registered_app(TOKEN).await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn repeated_responses_count_once(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage.gateway.faults(vec![Fault::new(Action::Duplicate).sent().times(u32::MAX)]).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let more = app.leftovers(Duration::from_millis(300)).await;
    assert!(!more.iter().any(|event| matches!(event, Event::Registered { .. })), "{more:?}");
    assert_eq!(stage.requests_since(0, "REGISTER").len(), 2, "{}", stage.ladder());
}

async fn repeated_requests_are_answered_once(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(vec![Fault::new(Action::Duplicate).sent().times(u32::MAX)]).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let uuid = app.ringing().await;
    let chat = stage.gateway.send_chat(USER, "hello", CallOptions::default()).await;
    app.wait("the chat", |event| matches!(event, Event::Message { .. }).then_some(())).await;
    chat.wait_end(integration::PATIENCE).await.expect("delivered");
    call.cancel().await;
    assert_eq!(app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await, uuid);
    let more = app.leftovers(Duration::from_millis(300)).await;
    let told = more.iter().any(|event| matches!(event, Event::Call(_) | Event::Message { .. }));
    assert!(!told, "everything is reported once: {more:?}");
}

async fn reordered_responses_do_no_harm(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage.gateway.faults(vec![Fault::new(Action::Reorder).sent().times(2)]).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(vec![Fault::new(Action::Reorder).sent().request("INVITE")]).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    app.ringing().await;
    call.cancel().await;
    app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_response_to_another_request_is_ignored(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage.gateway.faults(vec![Fault::new(Action::ForeignResponse).sent().times(2)]).await;
    let mut app = stage.app().await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.client.register(&app.account).await.expect("the account is there");
    app.wait("the discard", |event| match event {
        Event::Discarded { reason: Discard::ForeignResponse, .. } => Some(()),
        Event::Registered { .. } => panic!("it accepted a response to another request"),
        _ => None,
    })
    .await;
    app.registered().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn after_half_a_response_a_new_flow_is_opened(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage.gateway.faults(vec![Fault::new(Action::Half).sent().response(200, "REGISTER")]).await;
    let mut app = stage.app().await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.client.register(&app.account).await.expect("the account is there");
    let half = |e: &mock_gateway::Entry| e.fault == Some("half");
    stage.gateway.wait_for(half, integration::PATIENCE).await.expect("half a response");
    app.client.network_changed().await.expect("it runs");
    app.registered().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_call_survives_lost_and_doubled_messages(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mut faults = vec![Fault::new(Action::Duplicate).received().times(3)];
    if transport == Transport::Udp {
        faults.push(Fault::new(Action::Drop).sent().request("INVITE"));
        faults.push(Fault::new(Action::Drop).sent().request("CANCEL"));
    }
    stage.gateway.faults(faults).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let uuid = app.ringing().await;
    call.wait(|state| state == mock_gateway::CallState::Ringing, integration::PATIENCE).await.expect("it rings");
    call.cancel().await;
    assert_eq!(app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await, uuid);
    call.wait_end(integration::PATIENCE).await.expect("an end");
}

#[tokio::test]
async fn a_lost_register_is_sent_again() {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    let lost = Fault::new(Action::Drop).received().request("REGISTER");
    stage.gateway.faults(vec![lost]).await;
    stage.registered_app(TOKEN).await;
    let sent = stage.sent_since(0, "REGISTER");
    assert_eq!(sent[0].text, sent[1].text, "the same bytes");
    assert_eq!(stage.requests_since(0, "REGISTER").len(), 2, "challenged, taken");
}

#[tokio::test]
async fn a_register_is_sent_again_after_a_lost_response() {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    stage.gateway.faults(vec![Fault::new(Action::Drop).sent().times(2)]).await;
    stage.registered_app(TOKEN).await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

#[tokio::test]
async fn a_response_with_another_branch_is_ignored() {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    stage.gateway.faults(vec![Fault::new(Action::WrongBranch).sent()]).await;
    let mut app = stage.app().await;
    app.client.register(&app.account).await.expect("the account is there");
    let told = |event: &Event| matches!(event, Event::Discarded { reason: Discard::ForeignResponse, .. }).then_some(());
    app.wait("the discard", told).await;
    app.registered().await;
}

#[tokio::test]
async fn a_datagram_of_garbage_is_dropped_and_counted() {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    stage.gateway.faults(vec![Fault::new(Action::Garbage).sent(), Fault::new(Action::Half).sent().after(1)]).await;
    let mut app = stage.app().await;
    app.client.register(&app.account).await.expect("the account is there");
    let told = |event: &Event| matches!(event, Event::Discarded { reason: Discard::Malformed, .. }).then_some(());
    app.wait("the discard", told).await;
    app.registered().await;
}

#[tokio::test]
async fn a_stream_of_garbage_is_closed_and_the_next_one_is_good() {
    let stage = Stage::new("mizutech", Transport::Tcp).await;
    stage.gateway.faults(vec![Fault::new(Action::Garbage).sent()]).await;
    let mut app = stage.app().await;
    let (failure, retry_in) = app.fail_to_register().await;
    assert_eq!(failure, Failure::Flow(FlowError::Garbage));
    assert!(retry_in.is_some());
    app.register().await;
}

#[tokio::test]
async fn a_reset_during_a_register_is_reported_and_the_register_is_tried_again() {
    for action in [Action::Reset, Action::Close] {
        let stage = Stage::new("mizutech", Transport::Tcp).await;
        stage.gateway.faults(vec![Fault::new(action).received().request("REGISTER")]).await;
        let mut app = stage.app().await;
        app.client.set_token(&app.account, TOKEN).await.expect("a good token");
        let (failure, retry_in) = app.fail_to_register().await;
        assert!(matches!(failure, Failure::Flow(_)), "{failure:?}");
        assert!(retry_in.is_some());
        app.register().await;
        stage.wait_for_tokens(&[TOKEN]).await;
    }
}

#[tokio::test]
async fn a_reset_between_challenge_and_answer_is_survived() {
    let stage = Stage::new("mizutech", Transport::Tcp).await;
    stage.gateway.faults(vec![Fault::new(Action::Reset).received().request("REGISTER").after(1)]).await;
    let mut app = stage.app().await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    let (failure, _) = app.fail_to_register().await;
    assert!(matches!(failure, Failure::Flow(_)), "{failure:?}");
    app.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_pieces_of_any_size_is_put_together() {
    for piece in [1, 7, 100] {
        let stage = Stage::new("mizutech", Transport::Tcp).await;
        let wire = Dribble::start(stage.gateway.addr(), piece).await;
        let mut account = stage.account();
        account.gateways = vec![wire.addr().to_string()];
        let mut app = integration::App::start(stage.store(), account, Some(stage.push())).await;
        app.client.set_token(&app.account, TOKEN).await.expect("a good token");
        app.register().await;
        let call = stage.gateway.place_call(USER, CallOptions::default()).await;
        app.ringing().await;
        let chat = stage.gateway.send_chat(USER, "in pieces", CallOptions::default()).await;
        let text = app
            .wait("the chat", |event| match event {
                Event::Message { text, .. } => Some(text.expose().to_owned()),
                _ => None,
            })
            .await;
        assert_eq!(text, "in pieces");
        chat.wait_end(integration::PATIENCE).await.expect("delivered");
        call.cancel().await;
        app.call("the end", |change| matches!(change, CallChange::Ended(_))).await;
        app.log_out().await;
        assert_eq!(stage.bindings().await, []);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_opened_again() {
    let stage = Stage::new("mizutech", Transport::Tcp).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.sleep(USER, true).await;
    // It would reconnect by itself after a wait of up to half a minute. A push does not wait.
    app.push(&serde_json::json!({"ntype": "4"}));
    app.registered().await;
    stage.wait_for_tokens(&[TOKEN]).await;
    let flows: std::collections::BTreeSet<_> = stage.gateway.received().iter().map(|entry| entry.flow).collect();
    assert_eq!(flows.len(), 2);
    assert!(stage.gateway.messages().all().iter().any(|entry| entry.direction == Direction::Sent));
}
