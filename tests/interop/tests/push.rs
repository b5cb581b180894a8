//! The server of docs/servers/kamailio.md wakes a phone: Kamailio waits, asks a gateway for a push, and continues the call.

use std::sync::Arc;
use std::time::Duration;

use interop::{Kamailio, Place, Watched, account, answer, options};
use sipwake::{CallChange, Dialect, Dialects, Ended, Event, MemoryStore, Provider, PushConfig, Standing, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const TOKEN: &str = "c-10_ap-Kt0:APA91b+/%&=TokenOfThisPhone";
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts Alice's phone. It sends nothing yet.
async fn phone(server: &Kamailio, store: Arc<MemoryStore>, transport: Transport) -> Watched {
    let mut push = PushConfig::new(Provider::Fcm, "my-project");
    push.dialects = Dialects::Only(vec![Dialect::Rfc8599]);
    let phone = Watched::start_on(store, account(server, "alice", transport), Some(push), options(server)).await;
    phone.client.set_token(&phone.account, TOKEN).await.expect("a token");
    phone
}

/// The value of a field of a form, unescaped.
fn field(form: &str, name: &str) -> String {
    let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).expect("two digits");
        bytes.push(if byte == b'%' { u8::try_from(digit() * 16 + digit()).expect("a byte") } else { byte });
    }
    String::from_utf8(bytes).expect("text")
}

/// The gateway between Kamailio and the push service: it accepts one request, answers with `status`, and returns the request's
/// body.
async fn gateway(listener: &TcpListener, status: &str) -> String {
    let exchange = async {
        let (mut stream, _) = listener.accept().await.expect("loopback");
        let mut request = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    stream.write_all(reply.as_bytes()).await.expect("kamailio reads it");
                    return body.to_owned();
                }
            }
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await.expect("kamailio sends it");
            assert!(length > 0, "the request is incomplete: {text}");
            request.extend_from_slice(&piece[..length]);
        }
    };
    timeout(PATIENCE, exchange).await.expect("kamailio asks for a push")
}

#[tokio::test]
async fn the_server_of_the_guide_sends_a_push_and_a_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let Some(server) = Kamailio::start_as_in_the_guide(port).await else { return };
    let place = Place { server: &server, user: "alice", transport: Transport::Tcp };

    let store = Arc::<MemoryStore>::default();
    let mut asleep = phone(&server, store.clone(), Transport::Tcp).await;
    asleep.client.register(&asleep.account).await.expect("it was added");
    let registered = asleep.registered().await;
    assert_eq!(registered.verdict.standing, Standing::Confirmed, "{}", registered.verdict.text());
    asleep.leave(0).await;

    let Some(caller) = place.called("talk.xml") else { return };
    let push = gateway(&listener, "200 OK").await;
    let told = ["provider", "param", "token", "from", "to"].map(|name| field(&push, name));
    assert_eq!(told, ["fcm", "my-project", TOKEN, "bob", "alice"].map(str::to_owned), "{push}");

    let mut phone = phone(&server, store, Transport::Tcp).await;
    let action = phone.pushed(r#"{"ntype":"0","nfrom":"bob"}"#);
    assert!(action.is_call());
    phone.client.answer(action.uuid).await.expect("it is announced");
    let wanted = |change: &CallChange| matches!(change, CallChange::AnswerWanted { .. }).then_some(());
    assert_eq!(phone.change("an answer is wanted", wanted).await, (action.uuid, ()));
    phone.client.accept(action.uuid, answer("caller")).await.expect("it is here");
    assert_eq!(phone.connected().await, action.uuid);
    assert_eq!(phone.ended().await, (action.uuid, Ended::HungUpByCaller));
    caller.succeed().await;

    // After a log-out the phone is silent: the server asks for no push.
    phone.client.log_out(&phone.account).await.expect("it was added");
    phone.wait_for("logged out", |event| matches!(event, Event::LoggedOut { .. }).then_some(())).await;
    phone.client.shutdown().await;
    let Some(refused) = place.called("unavailable.xml") else { return };
    refused.succeed().await;
    assert!(timeout(Duration::ZERO, listener.accept()).await.is_err(), "a push for a user who is logged out");
}

#[tokio::test]
async fn a_token_that_the_push_service_no_longer_knows_ends_the_call_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let Some(server) = Kamailio::start_as_in_the_guide(port).await else { return };
    let place = Place { server: &server, user: "alice", transport: Transport::Udp };
    let mut phone = phone(&server, Arc::default(), Transport::Udp).await;
    phone.client.register(&phone.account).await.expect("it was added");
    phone.registered().await;
    let Some(refused) = place.called("unavailable.xml") else { return };
    gateway(&listener, "410 Gone").await;
    refused.succeed().await;
    phone.client.shutdown().await;
}

/// The pushes have no content, so the second one looks like the first.
async fn two_calls_to_a_killed_phone_both_ring(transport: Transport) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let Some(server) = Kamailio::start_as_in_the_guide(port).await else { return };
    let place = Place { server: &server, user: "alice", transport };
    let store = Arc::<MemoryStore>::default();
    let mut killed = phone(&server, store.clone(), transport).await;
    killed.client.register(&killed.account).await.expect("it was added");
    killed.registered().await;
    killed.leave(0).await;

    let Some(first) = place.called("invite-cancel.xml") else { return };
    gateway(&listener, "200 OK").await;
    let rings = |change: &CallChange| matches!(change, CallChange::Ringing { .. }).then_some(());
    let mut phone = phone(&server, store, transport).await;
    phone.pushed("{}");
    let (one, ()) = phone.change("the first call rings", rings).await;
    first.succeed().await;
    assert_eq!(phone.ended().await, (one, Ended::Cancelled));

    tokio::time::sleep(Duration::from_secs(5)).await;
    let Some(second) = place.called("invite-cancel.xml") else { return };
    gateway(&listener, "200 OK").await;
    phone.sent.take();
    phone.pushed("{}");
    let (two, ()) = phone.change("the second call rings", rings).await;
    assert!(phone.sent.take() > 0, "the call waits for a REGISTER");
    assert_ne!(one, two);
    second.succeed().await;
    assert_eq!(phone.ended().await, (two, Ended::Cancelled));
    phone.client.shutdown().await;
}

#[tokio::test]
async fn two_calls_five_seconds_apart_to_a_killed_phone_both_ring() {
    two_calls_to_a_killed_phone_both_ring(Transport::Udp).await;
}

#[tokio::test]
async fn two_calls_five_seconds_apart_to_a_killed_phone_both_ring_over_tcp() {
    two_calls_to_a_killed_phone_both_ring(Transport::Tcp).await;
}
