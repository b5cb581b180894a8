//! SIP over TLS, against a small server in this file: each fault of a certificate has its name, and nothing is sent to a
//! server that is not trusted.
#![cfg(feature = "tls")]

mod shared;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sipwake::{
    AccountConfig, CertificateFault, Client, Event, Events, Failure, FlowError, MemoryStore, Naptr, Options, Probe,
    Probing, Resolver, ServerTrust, SpkiPin, Srv, Transport, Trust,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

type Authority = CertifiedIssuer<'static, KeyPair>;

struct Server {
    port: u16,
    /// Messages that arrived through TLS.
    received: Arc<AtomicUsize>,
    handshakes: mpsc::UnboundedReceiver<HandshakeKind>,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn issue(by: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    (params.signed_by(&key, by).expect("a certificate"), key)
}

async fn serve(certificate: &(Certificate, KeyPair)) -> Server {
    serve_to(certificate, None, &[&rustls::version::TLS13, &rustls::version::TLS12]).await
}

/// A registrar that accepts every client that gets through its TLS.
async fn serve_to(
    (certificate, key): &(Certificate, KeyPair),
    clients_of: Option<&Authority>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("ring has both");
    let builder = match clients_of {
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
        None => builder.with_no_client_auth(),
    };
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8");
    let config = builder.with_single_cert(chain, key).expect("they fit");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let received = Arc::new(AtomicUsize::new(0));
    let counted = received.clone();
    let (sender, handshakes) = mpsc::unbounded_channel();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted, sender) = (acceptor.clone(), counted.clone(), sender.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let kind = stream.get_ref().1.handshake_kind().expect("the handshake has ended");
                let mut request = Vec::new();
                let mut piece = [0; 2048];
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    request.extend_from_slice(&piece[..length]);
                    if request.ends_with(b"\r\n\r\n") {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let _ = sender.send(kind);
                        let _ = stream.write_all(&agree(&request)).await;
                        request.clear();
                    }
                }
            });
        }
    });
    Server { port, received, handshakes }
}

fn agree(request: &[u8]) -> Vec<u8> {
    let request = String::from_utf8_lossy(request);
    if request.starts_with("GET /mvapireq/?apientry=wsload HTTP/1.0\r\n") {
        return b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\nOK: WS Load: 2 type 1\r\n".to_vec();
    }
    let mut response = "SIP/2.0 200 OK\r\n".to_owned();
    for line in request.lines() {
        if ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"].iter().any(|name| line.starts_with(name)) {
            response.push_str(line);
            response.push_str("\r\n");
        }
    }
    response.push_str("Expires: 600\r\nContent-Length: 0\r\n\r\n");
    response.into_bytes()
}

async fn client(trust: Trust, host: &str, server: &Server) -> (Client, Events) {
    let (client, events) = Client::start_with(Arc::new(MemoryStore::default()), Options::default().trust(trust));
    let mut account = AccountConfig::new("sips:alice@example.com", "secret");
    account.gateways = vec![format!("{host}:{}", server.port)];
    account.transport = Some(Transport::Tls);
    let account = client.add_account(account, None).await.expect("a valid account");
    client.register(&account).await.expect("it was added");
    (client, events)
}

async fn outcome(events: &mut Events) -> Result<(), Failure> {
    shared::outcome(events, Duration::from_secs(120)).await
}

async fn register(trust: Trust, host: &str, server: &Server) -> Result<(), Failure> {
    let (_client, mut events) = client(trust, host, server).await;
    outcome(&mut events).await
}

fn trusting(authority: &Authority) -> Trust {
    Trust::default().only_authorities(authority.pem().as_bytes()).expect("an authority")
}

#[tokio::test]
async fn both_versions_of_tls_register() {
    let ca = authority("Test");
    let certificate = issue(&ca, "localhost", |_| {});
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = serve_to(&certificate, None, &[version]).await;
        assert_eq!(register(trusting(&ca), "localhost", &server).await, Ok(()), "{version:?}");
        assert_eq!(server.received.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_certificate_for_an_ip_address_is_accepted() {
    let ca = authority("Test");
    let server = serve(&issue(&ca, "127.0.0.1", |_| {})).await;
    assert_eq!(register(trusting(&ca), "127.0.0.1", &server).await, Ok(()));
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_reported_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 2048]).await;
            let _ = stream.write_all(b"SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let server = Server { port, received: Arc::default(), handshakes: mpsc::unbounded_channel().1 };
    match register(trusting(&authority("Test")), "localhost", &server).await {
        Err(Failure::Flow(FlowError::Tls(why))) => assert!(why.contains("does not speak TLS on this port"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_certificate_fault_has_its_name_and_nothing_is_sent_after_it() {
    let ca = authority("Test");
    let stranger = authority("Stranger");
    let good = issue(&ca, "localhost", |_| {});
    let other = SpkiPin::of_certificate(stranger.der()).expect("a key");
    let expired = issue(&ca, "localhost", |params| params.not_after = date_time_ymd(2020, 1, 1));
    let early = issue(&ca, "localhost", |params| params.not_before = date_time_ymd(2090, 1, 1));
    let common_name = issue(&ca, "localhost", |params| {
        params.subject_alt_names.clear();
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    });
    let authority_as_server =
        issue(&ca, "localhost", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let cases = [
        (trusting(&stranger), &good, CertificateFault::UnknownIssuer),
        (Trust::default(), &good, CertificateFault::UnknownIssuer),
        (trusting(&ca), &issue(&ca, "elsewhere.example", |_| {}), CertificateFault::WrongName),
        (trusting(&ca), &common_name, CertificateFault::OnlyCommonName),
        (trusting(&ca), &authority_as_server, CertificateFault::Authority),
        (trusting(&ca), &expired, CertificateFault::Expired),
        (trusting(&ca), &early, CertificateFault::NotYetValid),
        (trusting(&ca).pin(other), &good, CertificateFault::PinMismatch),
        (Trust::default().asking(Arc::new(Never)), &good, CertificateFault::Platform("no".into())),
    ];
    for (trust, certificate, fault) in cases {
        let server = serve(certificate).await;
        let outcome = register(trust, "localhost", &server).await;
        assert_eq!(outcome, Err(Failure::Flow(FlowError::Certificate(fault))));
        assert_eq!(server.received.load(Ordering::SeqCst), 0);
    }
}

/// Answers each REGISTER with a 302 to this Contact, and keeps what it received.
async fn redirects_to(contact: String) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let (address, heard) = (udp.local_addr().expect("bound"), Arc::new(Mutex::new(Vec::new())));
    let noted = heard.clone();
    tokio::spawn(async move {
        let mut piece = vec![0; 8192];
        while let Ok((length, from)) = udp.recv_from(&mut piece).await {
            let text = String::from_utf8_lossy(&piece[..length]).into_owned();
            let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let head: String = text
                .lines()
                .filter(|line| copied.iter().any(|name| line.starts_with(name)))
                .map(|line| format!("{line}\r\n"))
                .collect();
            let answer = format!("SIP/2.0 302 Moved\r\n{head}Contact: <{contact}>\r\nContent-Length: 0\r\n\r\n");
            noted.lock().expect("whole").push(text);
            let _ = udp.send_to(answer.as_bytes(), from).await;
        }
    });
    (address, heard)
}

#[tokio::test]
async fn a_forged_redirect_in_the_clear_reaches_no_attacker_even_with_a_valid_certificate() {
    let ca = authority("Stands for any public CA");
    let attacker = serve(&issue(&ca, "localhost", |_| {})).await;
    let (gateway, heard) = redirects_to(format!("sip:localhost:{};transport=tls", attacker.port)).await;
    let options = Options::default().trust(trusting(&ca));
    let (client, mut events) = Client::start_with(Arc::new(MemoryStore::default()), options);
    let mut account = AccountConfig::new("sip:alice@bank.example", "wonderland");
    account.gateways = vec![gateway.to_string()];
    account.transport = Some(Transport::Udp);
    account.upper.server = Some("bank.example".into());
    let push = sipwake::PushConfig::new(sipwake::Provider::Fcm, "project");
    let account = client.add_account(account, Some(push)).await.expect("valid");
    client.set_token(&account, "c-10:APA91bTokenTokenToken").await.expect("stored");
    client.register(&account).await.expect("it was added");
    let told = async {
        loop {
            match events.next().await.expect("the client runs") {
                Event::Warning { warning: sipwake::Warning::RedirectRefused { target, .. }, .. } => return target,
                Event::Registered { .. } => panic!("registered at the attacker's"),
                _ => {}
            }
        }
    };
    let target = tokio::time::timeout(Duration::from_secs(120), told).await.expect("it is reported");
    assert!(target.starts_with("localhost:"), "{target}");
    assert!(outcome(&mut events).await.is_err());
    assert_eq!(attacker.received.load(Ordering::SeqCst), 0);
    assert!(heard.lock().expect("whole").iter().all(|text| !text.contains("X-PIID") && !text.contains("response=")));
}

#[tokio::test]
async fn one_matching_pin_among_several_is_enough() {
    let ca = authority("Test");
    let certificate = issue(&ca, "localhost", |_| {});
    let server = serve(&certificate).await;
    let trust = trusting(&ca)
        .pin(SpkiPin::of_certificate(ca.der()).expect("a key"))
        .pin(SpkiPin::of_certificate(certificate.0.der()).expect("a key"));
    assert_eq!(register(trust, "localhost", &server).await, Ok(()));
}

struct Never;

impl ServerTrust for Never {
    fn verify(&self, _: &[Vec<u8>], _: &str) -> Result<(), String> {
        Err("no".into())
    }
}

struct Always;

impl ServerTrust for Always {
    fn verify(&self, chain: &[Vec<u8>], server_name: &str) -> Result<(), String> {
        if chain.len() == 1 && server_name == "localhost" { Ok(()) } else { Err(format!("{server_name}?")) }
    }
}

#[tokio::test]
async fn the_platform_verifies_the_chain_and_sipwake_the_name() {
    let ca = authority("Test");
    let server = serve(&issue(&ca, "localhost", |_| {})).await;
    assert_eq!(register(Trust::default().asking(Arc::new(Always)), "localhost", &server).await, Ok(()));
    let server = serve(&issue(&ca, "elsewhere.example", |_| {})).await;
    let outcome = register(Trust::default().asking(Arc::new(Always)), "localhost", &server).await;
    assert_eq!(outcome, Err(Failure::Flow(FlowError::Certificate(CertificateFault::WrongName))));
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let ca = authority("Test");
    let certificate = issue(&ca, "localhost", |_| {});
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = serve_to(&certificate, Some(&ca), &[version]).await;
        let (ours, key) = issue(&ca, "alice", |_| {});
        let trust = trusting(&ca)
            .client_certificate(ours.pem().as_bytes(), key.serialize_pem().as_bytes())
            .expect("they belong together");
        assert_eq!(register(trust, "localhost", &server).await, Ok(()), "{version:?}");

        let outcome = register(trusting(&ca), "localhost", &server).await;
        assert!(matches!(outcome, Err(Failure::Flow(FlowError::ClientCertificate(_)))), "{version:?}: {outcome:?}");
        assert_eq!(server.received.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_second_connection_resumes_the_session() {
    let ca = authority("Test");
    let certificate = issue(&ca, "localhost", |_| {});
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut server = serve_to(&certificate, None, &[version]).await;
        let (client, mut events) = client(trusting(&ca), "localhost", &server).await;
        assert_eq!(outcome(&mut events).await, Ok(()));
        assert_eq!(server.handshakes.recv().await, Some(HandshakeKind::Full));
        client.network_changed().await.expect("it runs");
        assert_eq!(outcome(&mut events).await, Ok(()));
        assert_eq!(server.handshakes.recv().await, Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[tokio::test]
async fn a_gateway_whose_tls_fails_is_followed_by_the_next_one() {
    let (ca, stranger) = (authority("Test"), authority("Stranger"));
    let false_one = serve(&issue(&stranger, "localhost", |_| {})).await;
    let good = serve(&issue(&ca, "localhost", |_| {})).await;
    let options = Options::default().trust(trusting(&ca));
    let (client, mut events) = Client::start_with(Arc::new(MemoryStore::default()), options);
    let mut account = AccountConfig::new("sips:alice@example.com", "secret");
    account.gateways = vec![format!("localhost:{}", false_one.port), format!("localhost:{}", good.port)];
    account.transport = Some(Transport::Tls);
    let account = client.add_account(account, None).await.expect("a valid account");
    client.register(&account).await.expect("it was added");
    assert_eq!(outcome(&mut events).await, Ok(()));
    assert_eq!((false_one.received.load(Ordering::SeqCst), good.received.load(Ordering::SeqCst)), (0, 1));
}

/// Resolves to loopback, and recommends every clear transport.
struct Tempter(u16);

impl Resolver for Tempter {
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }

    fn srv(&self, _: &str) -> Vec<Srv> {
        vec![Srv { priority: 1, weight: 1, port: self.0, target: "localhost".into() }]
    }

    fn naptr(&self, _: &str) -> Vec<Naptr> {
        let record = |service: &str, replacement: &str| Naptr {
            order: 1,
            preference: 1,
            flags: "s".into(),
            service: service.into(),
            replacement: replacement.into(),
        };
        vec![record("SIP+D2U", "_sip._udp.localhost"), record("SIP+D2T", "_sip._tcp.localhost")]
    }
}

/// A domain whose records lead to a server of another name.
struct Elsewhere(u16);

impl Resolver for Elsewhere {
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }

    fn srv(&self, _: &str) -> Vec<Srv> {
        vec![Srv { priority: 1, weight: 1, port: self.0, target: "evil.example".into() }]
    }

    fn naptr(&self, _: &str) -> Vec<Naptr> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_forged_dns_answer_still_needs_a_certificate_for_the_configured_name() {
    let ca = authority("Test");
    for (name, registers) in [("evil.example", false), ("bank.example", true)] {
        let server = serve(&issue(&ca, name, |_| {})).await;
        let options = Options::default().trust(trusting(&ca)).resolver(Arc::new(Elsewhere(server.port)));
        let (client, mut events) = Client::start_with(Arc::new(MemoryStore::default()), options);
        let account = client.add_account(AccountConfig::new("sips:alice@bank.example", "secret"), None).await;
        client.register(&account.expect("a valid account")).await.expect("it was added");
        let outcome = outcome(&mut events).await;
        if registers {
            assert_eq!(outcome, Ok(()));
        } else {
            let fault = Failure::Flow(FlowError::Certificate(CertificateFault::WrongName));
            assert_eq!(outcome, Err(fault), "RFC 5922 section 4: the domain's name, not the record's");
            assert_eq!(server.received.load(Ordering::SeqCst), 0, "nothing was sent to it");
        }
    }
}

#[tokio::test]
async fn a_sips_account_whose_tls_fails_sends_nothing_over_udp_or_tcp() {
    let ca = authority("Test");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).await.expect("the same port");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"no TLS here\r\n\r\n").await;
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            noted.lock().expect("not poisoned").extend(said);
        }
    });
    let options = Options::default().trust(trusting(&ca)).resolver(Arc::new(Tempter(port)));
    let (client, mut events) = Client::start_with(Arc::new(MemoryStore::default()), options);
    let mut account = AccountConfig::new("sips:alice@localhost", "secret");
    // Without a gateway, so that the domain's own records decide; and with a clear one, which is refused.
    account.gateways = vec!["sip:localhost;transport=udp".into()];
    assert!(client.add_account(account.clone(), None).await.is_err());
    account.gateways.clear();
    let account = client.add_account(account, None).await.expect("a valid account");
    for _ in 0..2 {
        client.register(&account).await.expect("it was added");
        let outcome = outcome(&mut events).await;
        assert!(matches!(outcome, Err(Failure::Flow(FlowError::Tls(_)))), "{outcome:?}");
    }
    let heard = heard.lock().expect("not poisoned");
    assert!(!heard.is_empty(), "TLS was tried");
    assert!(!String::from_utf8_lossy(&heard).contains("SIP/2.0"));
    assert!(datagrams.try_recv_from(&mut [0; 64]).is_err(), "not a datagram");
}

#[tokio::test]
async fn gateways_are_probed_with_the_trust_of_the_client() {
    let ca = authority("Test");
    let server = serve(&issue(&ca, "localhost", |_| {})).await;
    let api = Probe::WsLoad { https: true, port: Some(server.port) };
    for (probe, expected) in [(api, 2), (Probe::Options, 0)] {
        for (trust, load) in [(trusting(&ca), Some(expected)), (trusting(&authority("Stranger")), None)] {
            let options = Options::default().trust(trust).probing(Probing::new(probe).timeout(Duration::from_secs(20)));
            let (client, _events) = Client::start_with(Arc::new(MemoryStore::default()), options);
            let mut account = AccountConfig::new("sips:alice@example.com", "secret");
            account.gateways = vec![format!("localhost:{}", server.port)];
            account.transport = Some(Transport::Tls);
            let account = client.add_account(account, None).await.expect("a valid account");
            let found = client.probe_gateways(&account).await.expect("it was added");
            assert_eq!(found.iter().map(|health| health.load).collect::<Vec<_>>(), [load], "{probe:?}");
        }
    }
    assert_eq!(server.received.load(Ordering::SeqCst), 2, "no request goes to an unknown host");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_gets_no_sip() {
    let ca = authority("Test");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.write_all(b"SIP/2.0 200 OK\r\n\r\n").await;
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let server = Server { port, received: Arc::default(), handshakes: mpsc::unbounded_channel().1 };
    let outcome = register(trusting(&ca), "localhost", &server).await;
    assert!(matches!(outcome, Err(Failure::Flow(FlowError::Tls(_)))), "{outcome:?}");
    let heard = heard.await.expect("the server ends");
    assert!(!String::from_utf8_lossy(&heard).contains("REGISTER"));
}

#[tokio::test]
async fn a_handshake_that_fails_is_not_followed_by_clear_text() {
    let ca = authority("Test");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = tokio::net::UdpSocket::bind(("127.0.0.1", port)).await.expect("the same port of UDP");
    let (sender, mut firsts) = mpsc::unbounded_channel();
    // Ends the connection at the first flight. Whatever the client tries next is a new connection, and counts here.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0];
            if stream.read_exact(&mut first).await.is_ok() {
                let _ = sender.send(first[0]);
            }
        }
    });
    let server = Server { port, received: Arc::default(), handshakes: mpsc::unbounded_channel().1 };
    let outcome = register(trusting(&ca), "localhost", &server).await;
    assert!(matches!(outcome, Err(Failure::Flow(_))), "{outcome:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    // RFC 8446 5.1: 22 is a handshake record. No SIP method begins with it.
    let mut seen = 0;
    while let Ok(first) = firsts.try_recv() {
        assert_eq!(first, 22);
        seen += 1;
    }
    assert!((1..=4).contains(&seen), "{seen} connections");
    assert!(datagrams.try_recv(&mut [0; 16]).is_err());
}

#[tokio::test]
async fn endless_headers_inside_tls_close_the_connection() {
    let ca = authority("Test");
    let (certificate, key) = issue(&ca, "localhost", |_| {});
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has it")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8"),
        )
        .expect("they fit");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let flood = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.expect("a trusted handshake");
        let _ = stream.read(&mut [0; 4096]).await;
        let line = [b"X-Padding: ".as_slice(), &[b'a'; 1000], b"\r\n"].concat();
        let _ = stream.write_all(b"SIP/2.0 200 OK\r\n").await;
        for _ in 0..20_000 {
            if stream.write_all(&line).await.is_err() {
                return true;
            }
        }
        false
    });
    let server = Server { port, received: Arc::default(), handshakes: mpsc::unbounded_channel().1 };
    assert_eq!(register(trusting(&ca), "localhost", &server).await, Err(Failure::Flow(FlowError::Garbage)));
    assert!(flood.await.expect("the server ends"), "20 MB of headers were taken");
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up_in_bounded_time() {
    let ca = authority("Test");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            held.push(stream);
        }
    });
    let server = Server { port, received: Arc::default(), handshakes: mpsc::unbounded_channel().1 };
    let outcome = register(trusting(&ca), "localhost", &server).await;
    assert!(matches!(outcome, Err(Failure::Flow(_))), "{outcome:?}");
    assert!(connections.load(Ordering::SeqCst) <= 4);
}
