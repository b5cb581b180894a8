//! A flow of the app's own beside the client's. It carries only what the app sends.

use std::sync::Arc;

use mock_gateway::{Config, MockGateway, Profile};
use networks::{Authority, Front};
use sipwake::core::event::{CertificateFault, FlowError};
use sipwake::{AccountConfig, Client, Error, Flow, MemoryStore, Options, Transport, Trust};

const OPTIONS: &str = "OPTIONS sip:mock.example SIP/2.0\r\nVia: SIP/2.0/TCP own.invalid;branch=z9hG4bKown\r\n\
    Max-Forwards: 70\r\nFrom: <sip:alice@mock.example>;tag=own\r\nTo: <sip:mock.example>\r\nCall-ID: own\r\n\
    CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

async fn opened(gateway: String, transport: Transport, trust: Trust) -> Result<Flow, Error> {
    let (client, _events) = Client::start_with(Arc::new(MemoryStore::default()), Options::default().trust(trust));
    let mut account = AccountConfig::new("sip:alice@mock.example", "wonderland");
    account.gateways = vec![gateway];
    account.transport = Some(transport);
    let key = client.add_account(account, None).await.expect("a usable account");
    client.open_flow(&key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_each_transport_a_flow_carries_only_what_the_app_sends() {
    let profile = Profile::named("rfc8599").expect("known");
    let mock = MockGateway::start(Config::new(profile).user("alice", "wonderland")).await.expect("loopback is there");
    let authority = Authority::default();
    let config = authority.server(&[&rustls::version::TLS13]);
    let trust = || Trust::default().only_authorities(authority.pem().as_bytes()).expect("an authority");
    let (tls, ws) = (Front::tls(mock.addr(), config).await, Front::ws(mock.addr()).await);
    for (gateway, transport) in [
        (mock.addr().to_string(), Transport::Udp),
        (mock.addr().to_string(), Transport::Tcp),
        (format!("localhost:{}", tls.addr().port()), Transport::Tls),
        (format!("ws://{}", ws.addr()), Transport::Ws),
    ] {
        let mut flow = opened(gateway, transport, trust()).await.expect("there is a flow");
        assert_eq!(flow.transport(), transport);
        let before = mock.received().len();
        // Two messages at once, as a stream may deliver them.
        flow.send(OPTIONS.as_bytes());
        flow.send(OPTIONS.replace("1 OPTIONS", "2 OPTIONS").replace("bKown", "bKown2").as_bytes());
        for cseq in ["1 OPTIONS", "2 OPTIONS"] {
            let answer = String::from_utf8(flow.receive().await.expect("an answer")).expect("a text");
            assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains(cseq), "{transport:?}: {answer}");
        }
        assert_eq!(mock.received().len(), before + 2, "{transport:?}");
    }
    assert!(mock.bindings("alice").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_cannot_be_opened_says_why() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("loopback");
    let refused = opened(closed.to_string(), Transport::Tcp, Trust::default()).await;
    assert!(matches!(refused, Err(Error::Flow(FlowError::Unreachable(_)))), "{refused:?}");
    let config = Authority::default().server(&[&rustls::version::TLS13]);
    let profile = Profile::named("rfc8599").expect("known");
    let mock = MockGateway::start(Config::new(profile)).await.expect("loopback is there");
    let front = Front::tls(mock.addr(), config).await;
    let stranger = opened(format!("localhost:{}", front.addr().port()), Transport::Tls, Trust::default()).await;
    assert!(
        matches!(stranger, Err(Error::Flow(FlowError::Certificate(CertificateFault::UnknownIssuer)))),
        "{stranger:?}"
    );
    let (client, _events) = Client::start(Arc::new(MemoryStore::default()));
    let other = sipwake::AccountKey::parse("0123456789abcdef").expect("an id");
    assert!(matches!(client.open_flow(&other).await, Err(Error::NoSuchAccount(_))));
}
