//! The life of a binding against a real Kamailio, over every transport, and real calls by SIPp.

use std::sync::Arc;

use interop::{Algorithm, Kamailio, Sipp, TOKEN, Watched, account, options, push};
use sipwake::core::sip::{SipUri, unescape};
use sipwake::{AccountConfig, CallChange, Ended, Event, Failure, MemoryStore, Transport};

const NEXT_TOKEN: &str = "c-2:+/&%=~ö";

fn token_of(contact: &str) -> Option<String> {
    let uri = SipUri::parse(contact).expect("the server has a URI");
    uri.params.value("pn-prid").map(|prid| unescape(prid).expect("well escaped").into_owned())
}

/// A push that only asks for a REGISTER.
fn wake(phone: &Watched) {
    assert_eq!(phone.pushed(r#"{"ntype":"4"}"#).caller, None);
}

async fn live_a_life(transport: Transport, algorithm: Algorithm) {
    let Some(mut server) = Kamailio::start(algorithm).await else { return };
    let mut phone = Watched::start(account(&server, "alice", transport), Some(push()), options(&server)).await;
    phone.client.set_token(&phone.account, TOKEN).await.expect("a token");
    phone.client.register(&phone.account).await.expect("it was added");
    let registered = phone.registered().await;
    let held = server.contacts("alice").await;
    assert_eq!(held, [registered.contact.expose()], "byte for byte");
    assert_eq!(token_of(&held[0]).as_deref(), Some(TOKEN));
    assert_eq!(phone.sent.take(), 2, "a REGISTER, and the one with credentials");

    wake(&phone);
    assert_eq!(phone.registered().await.contact, registered.contact, "escaped in the same way at every refresh");
    assert_eq!(phone.sent.take(), 1, "one round trip while the nonce lives");

    phone.client.set_token(&phone.account, NEXT_TOKEN).await.expect("a token");
    let rotated = phone.registered().await;
    let held = server.contacts("alice").await;
    assert_eq!(held, [rotated.contact.expose()], "the old token's binding is gone");
    assert_eq!(token_of(&held[0]).as_deref(), Some(NEXT_TOKEN));
    assert_eq!(phone.sent.take(), 1);

    server.restart().await;
    assert!(server.contacts("alice").await.is_empty());
    wake(&phone);
    let again = phone.registered().await;
    assert_eq!(server.contacts("alice").await, [again.contact.expose()]);
    assert!(phone.sent.take() <= 3, "a stale nonce is answered once");

    phone.client.unbind_push(&phone.account).await.expect("it was added");
    phone.registered().await;
    let held = server.contacts("alice").await;
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(token_of(&held[0]), None);

    phone.client.log_out(&phone.account).await.expect("it was added");
    phone.wait_for("logged out", |event| matches!(event, Event::LoggedOut { .. }).then_some(())).await;
    assert!(server.contacts("alice").await.is_empty());
}

#[tokio::test]
async fn a_binding_lives_over_udp() {
    live_a_life(Transport::Udp, Algorithm::Md5).await;
}

#[tokio::test]
async fn a_binding_lives_over_udp_with_sha_256() {
    live_a_life(Transport::Udp, Algorithm::Sha256).await;
}

#[tokio::test]
async fn a_binding_lives_over_tcp() {
    live_a_life(Transport::Tcp, Algorithm::Sha256).await;
}

#[tokio::test]
async fn a_binding_lives_over_tls() {
    live_a_life(Transport::Tls, Algorithm::Sha256).await;
}

#[tokio::test]
async fn a_binding_lives_over_websocket() {
    live_a_life(Transport::Ws, Algorithm::Md5).await;
}

#[tokio::test]
async fn a_binding_lives_over_websocket_with_sha_256() {
    live_a_life(Transport::Ws, Algorithm::Sha256).await;
}

#[tokio::test]
async fn a_binding_lives_over_websocket_and_tls() {
    live_a_life(Transport::Wss, Algorithm::Sha256).await;
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_not_tried_again() {
    let Some(server) = Kamailio::start(Algorithm::Sha256).await else { return };
    let mut wrong = account(&server, "alice", Transport::Udp);
    wrong.credentials = AccountConfig::new("x", "no").credentials;
    let mut phone = Watched::start(wrong, None, options(&server)).await;
    phone.client.register(&phone.account).await.expect("it was added");
    assert_eq!(phone.failed().await, Failure::WrongCredentials);
    let sent = phone.sent.take();
    assert!(sent <= 3, "{sent}");
}

#[tokio::test]
async fn a_killed_app_goes_on_where_it_stopped() {
    let Some(server) = Kamailio::start(Algorithm::Md5).await else { return };
    let store = Arc::new(MemoryStore::default());
    for round in 0..3 {
        let config = account(&server, "alice", Transport::Tcp);
        let mut phone = Watched::start_on(store.clone(), config, Some(push()), options(&server)).await;
        phone.client.set_token(&phone.account, TOKEN).await.expect("a token");
        phone.client.register(&phone.account).await.expect("it was added");
        let registered = phone.registered().await;
        assert_eq!(server.contacts("alice").await, [registered.contact.expose()]);
        assert_eq!(
            phone.sent.take(),
            if round == 0 { 2 } else { 1 },
            "the nonce survives, and the old Contact does not"
        );
    }
}

/// A call that waits at the server, as after a push, reaches the client after it has registered.
async fn be_called(transport: Transport) {
    let Some(server) = Kamailio::start(Algorithm::Md5).await else { return };
    let Some(caller) = Sipp::call("invite-cancel.xml", "alice", server.port) else { return };
    server.holds_a_call_to("alice").await;
    let mut phone = Watched::start(account(&server, "alice", transport), Some(push()), options(&server)).await;
    phone.client.set_token(&phone.account, TOKEN).await.expect("a token");
    phone.client.register(&phone.account).await.expect("it was added");
    let shown = |change: &CallChange| match change {
        CallChange::Ringing { caller, .. } => Some(caller.clone()),
        _ => None,
    };
    let (uuid, caller_shown) = phone.change("ringing", shown).await;
    assert_eq!(caller_shown.display_name.as_deref(), Some("Bob Müller"));
    assert_eq!(phone.ended().await, (uuid, Ended::Cancelled));
    caller.succeed().await;

    let Some(caller) = Sipp::call("message.xml", "alice", server.port) else { return };
    let text = phone
        .wait_for("a message", |event| match event {
            Event::Message { text, .. } => Some(text.expose().to_owned()),
            _ => None,
        })
        .await;
    assert_eq!(text.trim_end(), "Grüße aus Köln");
    caller.succeed().await;
}

#[tokio::test]
async fn a_call_and_a_message_reach_the_woken_client_over_udp() {
    be_called(Transport::Udp).await;
}

#[tokio::test]
async fn a_call_and_a_message_reach_the_woken_client_over_tcp() {
    be_called(Transport::Tcp).await;
}

#[tokio::test]
async fn a_call_and_a_message_reach_the_woken_client_over_tls() {
    be_called(Transport::Tls).await;
}

#[tokio::test]
async fn a_call_and_a_message_reach_the_woken_client_over_websocket() {
    be_called(Transport::Ws).await;
}

#[tokio::test]
async fn a_call_and_a_message_reach_the_woken_client_over_websocket_and_tls() {
    be_called(Transport::Wss).await;
}
