//! Requests too large for UDP (RFC 3261 section 18.1.1), on real sockets.

mod shared;

use std::sync::Arc;
use std::time::Duration;

use mock_gateway::{Config, Direction, MockGateway, Profile};
use sipwake::{AccountConfig, Client, Events, Failure, MemoryStore, Provider, PushConfig, StateStore, Transport};
use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_secs(60);

async fn register(gateway: String) -> (Client, Events) {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
    let (client, events) = Client::start(store);
    let mut account = AccountConfig::new("sip:alice@mock.example", "secret");
    account.gateways = vec![gateway];
    account.transport = Some(Transport::Udp);
    let push = PushConfig::new(Provider::Fcm, "project");
    let account = client.add_account(account, Some(push)).await.expect("a sound account");
    let token = format!("c-10:APA91b{}", "x".repeat(1500));
    client.set_token(&account, &token).await.expect("a sound token");
    client.register(&account).await.expect("it was added");
    (client, events)
}

async fn outcome(events: &mut Events) -> Result<(), Failure> {
    shared::outcome(events, PATIENCE).await
}

#[tokio::test]
async fn a_request_with_a_long_token_goes_over_tcp() {
    let profile = Profile::named("mizutech").expect("it is one of them");
    let config = Config::new(profile).user("alice", "secret");
    let mock = MockGateway::start(config).await.expect("loopback is there");
    let (_client, mut events) = register(mock.addr().to_string()).await;
    assert_eq!(outcome(&mut events).await, Ok(()));
    let all = mock.messages().all();
    let registers = all.iter().filter(|entry| entry.direction == Direction::Received && entry.is_request("REGISTER"));
    let texts: Vec<&str> = registers.map(|entry| entry.text.as_str()).collect();
    assert!(!texts.is_empty() && texts.iter().all(|text| text.contains("Via: SIP/2.0/TCP ")), "{texts:?}");
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn where_no_server_listens_on_tcp_a_large_request_goes_over_udp() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let address = server.local_addr().expect("bound");
    let (_client, mut events) = register(address.to_string()).await;
    let served = async {
        let mut buffer = vec![0; 65_535];
        let (length, from) = server.recv_from(&mut buffer).await.expect("a REGISTER");
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let copied = request.lines().filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"].iter().any(|name| line.starts_with(name))
        });
        let copied: String = copied.map(|line| format!("{line}\r\n")).collect();
        let answer = format!("SIP/2.0 200 OK\r\n{copied}Expires: 600\r\nContent-Length: 0\r\n\r\n");
        server.send_to(answer.as_bytes(), from).await.expect("it leaves");
        length
    };
    let length = tokio::time::timeout(PATIENCE, served).await.expect("in time");
    assert!(length > 1300, "{length}");
    assert_eq!(outcome(&mut events).await, Ok(()));
}
