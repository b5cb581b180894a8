//! The life of a binding against a real Kamailio, over every transport, and real calls by SIPp.

use std::sync::Arc;

use interop::{Algorithm, Kamailio, PASSWORD, Sipp, Watched};
use sipwake::core::sip::{SipUri, unescape};
use sipwake::{
    AccountConfig, CallChange, Channel, Dialect, Dialects, Ended, Event, Failure, Hints, MemoryStore, Options,
    Provider, PushConfig, Transport, Trust,
};

/// Every character that is delicate in a URI parameter, in a token.
const TOKEN: &str = "c-1:APA91b+/&%=;?@,ü漢🔔~%41";
const NEXT_TOKEN: &str = "c-2:+/&%=~ö";

fn account(server: &Kamailio, transport: Transport) -> AccountConfig {
    let mut account = AccountConfig::new("sip:alice@example.com", PASSWORD);
    account.gateways = vec![match transport {
        Transport::Udp | Transport::Tcp => format!("127.0.0.1:{}", server.port),
        Transport::Tls => format!("localhost:{}", server.tls_port),
        Transport::Ws => format!("ws://127.0.0.1:{}/sip", server.port),
        Transport::Wss => format!("wss://localhost:{}/sip", server.tls_port),
    }];
    account.transport = Some(transport);
    account
}

fn push() -> PushConfig {
    let mut push = PushConfig::new(Provider::Other("acme".into()), "com.example.app");
    push.dialects = Dialects::Only(vec![Dialect::Rfc8599]);
    push
}

fn options(server: &Kamailio) -> Options {
    let trust = Trust::default().only_authorities(server.authority.as_bytes()).expect("an authority");
    Options::default().trust(trust)
}

fn token_of(contact: &str) -> Option<String> {
    let uri = SipUri::parse(contact).expect("the server holds a URI");
    uri.params.value("pn-prid").map(|prid| unescape(prid).expect("well escaped").into_owned())
}

/// A push that asks for nothing but a REGISTER.
fn wake(phone: &Watched) {
    let payload: &[u8] = br#"{"ntype":"4"}"#;
    let action = phone.client.push(payload, Channel::FcmAndroid, &Hints::at(sipwake::now()));
    assert_eq!(action.caller, None);
}

async fn live_a_life(transport: Transport, algorithm: Algorithm) {
    let Some(mut server) = Kamailio::start(algorithm).await else { return };
    let mut phone = Watched::start(account(&server, transport), Some(push()), options(&server)).await;
    phone.client.set_token(&phone.account, TOKEN).await.expect("a token");
    phone.client.register(&phone.account).await.expect("it was added");
    let registered = phone.registered().await;
    let held = server.contacts("alice").await;
    assert_eq!(held, [registered.contact.expose()], "byte for byte");
    assert_eq!(token_of(&held[0]).as_deref(), Some(TOKEN));
    assert_eq!(phone.sent.take(), 2, "a REGISTER and its answer to the challenge");

    wake(&phone);
    assert_eq!(phone.registered().await.contact, registered.contact, "escaped alike at every refresh");
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
async fn a_binding_lives_over_websocket_and_tls() {
    live_a_life(Transport::Wss, Algorithm::Sha256).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again() {
    let Some(server) = Kamailio::start(Algorithm::Sha256).await else { return };
    let mut wrong = account(&server, Transport::Udp);
    wrong.credentials = AccountConfig::new("x", "no").credentials;
    let mut phone = Watched::start(wrong, None, options(&server)).await;
    phone.client.register(&phone.account).await.expect("it was added");
    assert_eq!(phone.failed().await, Failure::WrongCredentials);
    let sent = phone.sent.take();
    assert!(sent <= 3, "{sent}");
}

#[tokio::test]
async fn a_killed_app_goes_on_where_it_was() {
    let Some(server) = Kamailio::start(Algorithm::Md5).await else { return };
    let store = Arc::new(MemoryStore::default());
    for round in 0..3 {
        let config = account(&server, Transport::Tcp);
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

/// A call that waits at the server, as after a push, reaches the client once it has registered.
async fn be_called(transport: Transport) {
    let Some(server) = Kamailio::start(Algorithm::Md5).await else { return };
    let Some(caller) = Sipp::call("invite-cancel.xml", "alice", server.port) else { return };
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut phone = Watched::start(account(&server, transport), Some(push()), options(&server)).await;
    phone.client.set_token(&phone.account, TOKEN).await.expect("a token");
    phone.client.register(&phone.account).await.expect("it was added");
    let (uuid, caller_shown) = phone
        .wait_for("ringing", |event| match event {
            Event::Call(call) => match &call.change {
                CallChange::Ringing { caller, .. } => Some((call.uuid, caller.clone())),
                _ => None,
            },
            _ => None,
        })
        .await;
    assert_eq!(caller_shown.display_name.as_deref(), Some("Bob Müller"));
    let ended = phone
        .wait_for("the end", |event| match event {
            Event::Call(call) if call.uuid == uuid => match call.change {
                CallChange::Ended(how) => Some(how),
                _ => None,
            },
            _ => None,
        })
        .await;
    assert_eq!(ended, Ended::Cancelled);
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
