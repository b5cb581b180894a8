//! Clones, drops and shutdown.

use std::sync::Arc;
use std::time::Duration;

use integration::{PATIENCE, Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::CallOptions;
use sipwake::core::payload::Duty;
use sipwake::{Client, Decline, Error, Event, MemoryStore, Transport};
use tokio::time::timeout;

over_udp_and_tcp!(
    clones_share_one_driver_that_ends_with_the_last_clone,
    after_a_shutdown_every_clone_says_so_and_the_sockets_are_closed,
    a_shutdown_sends_what_was_queued_before_it,
    a_shutdown_while_the_server_does_not_answer_does_not_wait_for_it,
);

async fn clones_share_one_driver_that_ends_with_the_last_clone(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let clone = app.client.clone();
    let mut second_stream = clone.events();
    drop(std::mem::replace(&mut app.client, clone));
    app.register().await;
    let told = timeout(PATIENCE, second_stream.next()).await.expect("in time");
    assert!(matches!(told, Some(Event::Registered { .. })));
    drop(app.client);
    assert_eq!(timeout(PATIENCE, second_stream.next()).await.expect("in time"), None);
    while timeout(PATIENCE, app.events.next()).await.expect("in time").is_some() {}
    closed(&stage).await;
}

async fn after_a_shutdown_every_clone_says_so_and_the_sockets_are_closed(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let clone = app.client.clone();
    let port = stage.gateway.received().last().expect("a REGISTER").remote.port();
    timeout(PATIENCE, app.client.shutdown()).await.expect("in time");
    if transport == Transport::Udp {
        std::net::UdpSocket::bind(("0.0.0.0", port)).expect("the socket is closed");
    }
    closed(&stage).await;
    assert_eq!(clone.register(&app.account).await, Err(Error::ShutDown));
    assert_eq!(clone.log_out(&app.account).await, Err(Error::ShutDown));
    assert_eq!(clone.set_token(&app.account, TOKEN).await.err(), Some(Error::ShutDown));
    assert_eq!(clone.network_changed().await, Err(Error::ShutDown));
    assert_eq!(app.events.next().await, None);
    assert_eq!(clone.events().next().await, None);
    let action = app.push(&serde_json::json!({"ntype": "0", "nfrom": "123"}));
    assert_eq!(action.duty, Duty::StartForegroundService, "the push is judged anyway");
    // A second time is harmless and returns.
    timeout(PATIENCE, clone.shutdown()).await.expect("in time");
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_shutdown_sends_what_was_queued_before_it(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let uuid = app.ringing().await;
    let (declined, ()) = tokio::join!(app.client.decline(uuid, Decline::Everywhere), app.client.shutdown());
    declined.expect("it was asked for first");
    let report = call.wait_end(PATIENCE).await.expect("an end");
    assert_eq!(report.state, mock_gateway::CallState::Rejected(603));
}

async fn a_shutdown_while_the_server_does_not_answer_does_not_wait_for_it(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let deaf = mock_gateway::Fault::new(mock_gateway::Action::Drop).received().times(u32::MAX);
    stage.gateway.faults(vec![deaf]).await;
    let app = stage.app().await;
    app.client.register(&app.account).await.expect("the account is there");
    timeout(Duration::from_secs(25), app.client.shutdown()).await.expect("this was long before timer F");
}

/// Waits until the server sees no open connection. UDP has none.
async fn closed(stage: &Stage) {
    if stage.transport == Transport::Tcp {
        let asleep = async || stage.bindings().await.iter().all(|binding| binding.asleep);
        assert!(stage.gateway.wait_until(asleep, PATIENCE).await, "the connection is still open");
    }
}

#[tokio::test]
async fn a_client_that_never_did_anything_ends_too() {
    let (client, mut events) = Client::start(Arc::new(MemoryStore::default()));
    drop(client);
    assert_eq!(timeout(PATIENCE, events.next()).await.expect("in time"), None);
    let (client, _) = Client::start(Arc::new(MemoryStore::default()));
    timeout(PATIENCE, client.shutdown()).await.expect("in time");
}

#[tokio::test]
async fn a_client_ends_while_it_waits_for_a_connection() {
    let (client, mut events) = Client::start(Arc::new(MemoryStore::default()));
    // TEST-NET-1 (RFC 5737): no host answers there, if the packets are sent at all.
    let mut account = sipwake::AccountConfig::new("alice@192.0.2.1", "secret");
    account.transport = Some(Transport::Tcp);
    let account = client.add_account(account, None).await.expect("a good account");
    client.register(&account).await.expect("the account is there");
    timeout(Duration::from_secs(25), client.shutdown()).await.expect("it does not wait for the connection");
    while events.next().await.is_some() {}
}
