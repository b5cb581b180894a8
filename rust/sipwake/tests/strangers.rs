//! Calls that bypass the registrar, on real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mock_gateway::{CallOptions, Config, MockGateway, Profile, PushWhen};
use sipwake::{AccountConfig, Answer, CallChange, Client, Event, Events, MemoryStore, Options, Transport, Uuid};
use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_secs(60);
const SDP: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

struct App {
    client: Client,
    events: Events,
    address: SocketAddr,
}

async fn event<T>(events: &mut Events, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let next = async {
        loop {
            if let Some(found) = wanted(&events.next().await.expect("the client runs")) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("it happens in time")
}

async fn ringing(events: &mut Events) -> (Uuid, String) {
    let rings = |event: &Event| match event {
        Event::Call(call) => match &call.change {
            CallChange::Ringing { caller, .. } => Some((call.uuid, caller.uri.clone())),
            _ => None,
        },
        _ => None,
    };
    event(events, rings).await
}

async fn start(mock: &MockGateway, options: Options) -> App {
    let (client, mut events) = Client::start_with(Arc::new(MemoryStore::default()), options);
    let mut config = AccountConfig::new("sip:alice@mock.example", "secret");
    config.gateways = vec![mock.addr().to_string()];
    config.transport = Some(Transport::Udp);
    let account = client.add_account(config, None).await.expect("a sound account");
    client.register(&account).await.expect("it was added");
    let contact = |event: &Event| match event {
        Event::Registered { registered, .. } => Some(registered.contact.expose().to_owned()),
        _ => None,
    };
    let contact = event(&mut events, contact).await;
    let host = contact.split(['@', ';']).nth(1).expect("a host and port");
    App { address: host.parse().unwrap_or_else(|_| panic!("{contact}")), client, events }
}

async fn mock() -> MockGateway {
    let profile = Profile::named("mizutech").expect("it is one of them");
    MockGateway::start(Config::new(profile).user("alice", "secret")).await.expect("loopback is there")
}

fn request(method: &str, from: SocketAddr, branch: &str, to_tag: &str, body: &str) -> String {
    format!(
        "{method} sip:alice@phone SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:mallory@elsewhere.example>;tag=m\r\nTo: <sip:alice@mock.example>{to_tag}\r\nCall-ID: past\r\n\
         CSeq: 1 {method}\r\nContact: <sip:mallory@{from}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Waits for a response with this status.
async fn status(stranger: &UdpSocket, wanted: &str) -> String {
    let mut buffer = vec![0; 4096];
    let next = async {
        loop {
            let length = stranger.recv(&mut buffer).await.expect("loopback is there");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(&format!("SIP/2.0 {wanted} ")) {
                return text;
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("it answers in time")
}

#[tokio::test]
async fn by_default_a_call_past_the_registrar_does_not_ring() {
    let mock = mock().await;
    let mut app = start(&mock, Options::default()).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is there");
    let from = stranger.local_addr().expect("it is bound");
    stranger.send_to(request("INVITE", from, "1", "", SDP).as_bytes(), app.address).await.expect("it is sent");
    mock.place_call("alice", CallOptions { push: PushWhen::Never, ..CallOptions::default() }).await;
    let (_, caller) = ringing(&mut app.events).await;
    assert!(!caller.contains("mallory"), "the first call that rings comes from the registrar: {caller}");
    let mut buffer = [0; 64];
    assert!(stranger.try_recv(&mut buffer).is_err(), "and the unknown host gets nothing");
}

#[tokio::test]
async fn an_allowed_unsolicited_call_is_answered_at_its_own_address_and_the_registrar_can_still_call() {
    let mock = mock().await;
    let mut app = start(&mock, Options::default().unsolicited_calls(true)).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is there");
    let from = stranger.local_addr().expect("it is bound");
    stranger.send_to(request("INVITE", from, "1", "", SDP).as_bytes(), app.address).await.expect("it is sent");
    status(&stranger, "180").await;
    let (call, caller) = ringing(&mut app.events).await;
    assert!(caller.contains("mallory"), "{caller}");
    app.client.accept(call, Answer::sdp(SDP)).await.expect("it rings");
    let ok = status(&stranger, "200").await;
    let to = ok.lines().find_map(|line| line.strip_prefix("To: ")).expect("a To");
    let tag = &to[to.find(";tag=").expect("a tag")..];
    stranger.send_to(request("ACK", from, "2", tag, "").as_bytes(), app.address).await.expect("it is sent");
    let up = |event: &Event| match event {
        Event::Call(call) => matches!(call.change, CallChange::Connected { .. }).then_some(call.uuid),
        _ => None,
    };
    assert_eq!(event(&mut app.events, up).await, call);
    mock.place_call("alice", CallOptions { push: PushWhen::Never, ..CallOptions::default() }).await;
    assert_ne!(ringing(&mut app.events).await.0, call);
}
