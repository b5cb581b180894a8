//! A server with several addresses, some of which do not work (RFC 3263 section 4.3), on real sockets.
//!
//! Only Linux has the whole of 127.0.0.0/8 on loopback.
#![cfg(all(target_os = "linux", feature = "tls", feature = "ws"))]

mod shared;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mock_gateway::{Config, MockGateway, Profile};
use networks::{Authority, Front};
use rustls::version::{TLS12, TLS13};
use sipwake::{
    AccountConfig, AccountKey, Channel, Client, Events, Failure, FlowError, Hints, MemoryStore, Options, Resolver, Srv,
    Transport, Trust,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::sleep;

/// How long each step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// The name that the certificates of the tests are for.
const NAME: &str = "localhost";
const HEALTHY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The address that does not work: another one in each test, so that the tests can share a port.
fn dead_address() -> IpAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(50);
    let last = NEXT.fetch_add(1, Ordering::SeqCst);
    Ipv4Addr::new(127, 0, 1, u8::try_from(last).expect("few tests")).into()
}

/// Knows one name.
struct Zone(Vec<IpAddr>);

impl Resolver for Zone {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if host == NAME { self.0.clone() } else { Vec::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Closed,
    Silent,
    HangsUp,
    Answers(u16),
    /// What another protocol would say.
    Says(&'static str),
}

/// A server that does not work, and how many REGISTERs it got.
struct Dead {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    registers: Arc<AtomicUsize>,
}

impl Dead {
    async fn tcp(at: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind(at).await.expect("an address of its own");
        let (addr, registers) = (listener.local_addr().expect("bound"), Arc::new(AtomicUsize::new(0)));
        let (connections, count) = (Arc::new(AtomicUsize::new(0)), registers.clone());
        let connected = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connected.fetch_add(1, Ordering::SeqCst);
                let count = count.clone();
                tokio::spawn(async move {
                    let mut piece = vec![0; 16 * 1024];
                    while let Ok(length @ 1..) = stream.read(&mut piece).await {
                        let text = String::from_utf8_lossy(&piece[..length]).into_owned();
                        if !text.starts_with("REGISTER") {
                            continue;
                        }
                        count.fetch_add(1, Ordering::SeqCst);
                        match fault {
                            Fault::HangsUp => return,
                            Fault::Answers(code) => {
                                let _ = stream.write_all(answer(&text, code, "").as_bytes()).await;
                            }
                            Fault::Says(text) => {
                                let _ = stream.write_all(text.as_bytes()).await;
                            }
                            Fault::Silent | Fault::Closed => {}
                        }
                    }
                });
            }
        });
        Self { addr, connections, registers }
    }

    async fn udp(at: SocketAddr, fault: Fault) -> Self {
        let socket = UdpSocket::bind(at).await.expect("an address of its own");
        let (addr, registers) = (socket.local_addr().expect("bound"), Arc::new(AtomicUsize::new(0)));
        let count = registers.clone();
        tokio::spawn(async move {
            loop {
                let (text, from) = receive(&socket).await;
                count.fetch_add(usize::from(text.starts_with("REGISTER")), Ordering::SeqCst);
                let said = match fault {
                    Fault::Answers(code) => answer(&text, code, ""),
                    Fault::Says(text) => text.to_owned(),
                    _ => continue,
                };
                socket.send_to(said.as_bytes(), from).await.expect("it leaves");
            }
        });
        Self { addr, connections: Arc::default(), registers }
    }

    fn registers(&self) -> usize {
        self.registers.load(Ordering::SeqCst)
    }
}

fn answer(request: &str, code: u16, lines: &str) -> String {
    let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let copied = request.lines().filter(|line| copied.iter().any(|name| line.starts_with(name)));
    let copied: String = copied.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 {code} As told\r\n{copied}{lines}Content-Length: 0\r\n\r\n")
}

fn accepted(request: &str) -> String {
    // A Contact to remove comes first.
    let contact = request.lines().rfind(|line| line.starts_with("Contact:")).unwrap_or_default();
    answer(request, 200, &format!("{contact};expires=3600\r\n"))
}

async fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (length, from) = socket.recv_from(&mut buffer).await.expect("received");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

struct Phone {
    client: Client,
    events: Events,
    account: AccountKey,
}

impl Phone {
    async fn start(options: Options, port: Option<u16>, transport: Transport) -> Self {
        let phone = Self::wakes(Arc::new(MemoryStore::default()), options, port, transport).await;
        phone.client.register(&phone.account).await.expect("it was added");
        phone
    }

    /// A process that a push started. It has not registered yet.
    async fn wakes(store: Arc<MemoryStore>, options: Options, port: Option<u16>, transport: Transport) -> Self {
        let (client, events) = Client::start_with(store, options);
        let mut config = AccountConfig::new("sip:alice@mock.example", "secret");
        let server = port.map_or(NAME.to_owned(), |port| format!("{NAME}:{port}"));
        config.gateways =
            vec![if transport.is_websocket() { format!("{}://{server}", transport.param()) } else { server }];
        config.transport = Some(transport);
        let account = client.add_account(config, None).await.expect("a sound account");
        Self { client, events, account }
    }

    async fn outcome(&mut self) -> Result<(), Failure> {
        shared::outcome(&mut self.events, PATIENCE).await
    }

    fn push(&self) {
        let json = br#"{"ntype":"0","nfrom":"bob","ncallid":"c"}"#;
        self.client.push(json.as_slice(), Channel::FcmAndroid, &Hints::at(sipwake::now()));
    }
}

/// What stands in front of the mock, to remove TLS and WebSocket.
async fn front(transport: Transport, mock: &MockGateway, authority: &Authority) -> Option<Front> {
    let config = authority.server(&[&TLS12, &TLS13]);
    match transport {
        Transport::Udp | Transport::Tcp => None,
        Transport::Tls => Some(Front::tls(mock.addr(), config).await),
        Transport::Ws => Some(Front::ws(mock.addr()).await),
        Transport::Wss => Some(Front::wss(mock.addr(), config).await),
    }
}

async fn mock() -> MockGateway {
    let profile = Profile::named("mizutech").expect("it is one of them");
    MockGateway::start(Config::new(profile).user("alice", "secret")).await.expect("loopback is there")
}

/// The first address of a server has this fault, and the second one works. The phone registers at the second one, and only
/// spends the time on the first one that it needs to find the fault.
async fn the_second_address_serves(transport: Transport, fault: Fault) {
    let (mock, authority, dead_ip) = (mock().await, Authority::default(), dead_address());
    let front = front(transport, &mock, &authority).await;
    let port = front.as_ref().map_or(mock.addr(), Front::addr).port();
    let at = SocketAddr::new(dead_ip, port);
    let mut twin = None;
    let dead = match (&front, fault) {
        (_, Fault::Closed) => None,
        (None, _) if transport == Transport::Udp => Some(Dead::udp(at, fault).await),
        (None, _) => Some(Dead::tcp(at, fault).await),
        (Some(front), _) => {
            let dead = Dead::tcp(SocketAddr::new(HEALTHY, 0), fault).await;
            twin = Some(front.twin(dead_ip, dead.addr).await);
            Some(dead)
        }
    };
    let trust = Trust::default().only_authorities(authority.pem().as_bytes()).expect("an authority");
    let options = Options::default().resolver(Arc::new(Zone(vec![dead_ip, HEALTHY]))).trust(trust);
    let mut phone = Phone::start(options, Some(port), transport).await;
    assert_eq!(phone.outcome().await, Ok(()));
    assert_eq!(mock.bindings("alice").await.len(), 1);
    if let Some(dead) = dead {
        let is_answered = matches!(fault, Fault::Answers(200..) | Fault::HangsUp);
        let most = if transport == Transport::Udp && !is_answered { 5 } else { 1 };
        assert!((1..=most).contains(&dead.registers()), "it was asked {} times", dead.registers());
    }
    drop(twin);
}

/// Makes a test of each fault for each transport.
macro_rules! each_fault {
    ($($module:ident $transport:ident: $($name:ident $fault:expr),*;)*) => {
        $(mod $module {
            use super::{Fault, Transport, the_second_address_serves};

            $(#[tokio::test]
            async fn $name() { the_second_address_serves(Transport::$transport, $fault).await })*
        })*
    };
}

each_fault!(
    udp Udp: after_a_closed_port Fault::Closed, after_silence Fault::Silent, after_a_503 Fault::Answers(503),
        after_a_408 Fault::Answers(408), after_a_500 Fault::Answers(500), after_a_504 Fault::Answers(504),
        after_a_100_only Fault::Answers(100), after_what_is_not_sip Fault::Says("hello");
    tcp Tcp: after_a_closed_port Fault::Closed, after_silence Fault::Silent, after_a_503 Fault::Answers(503),
        after_a_408 Fault::Answers(408), after_it_hung_up Fault::HangsUp, after_a_100_only Fault::Answers(100),
        after_a_banner Fault::Says("SSH-2.0-x\r\n"), after_half_a_response Fault::Says("SIP/2.0 200 OK\r\nVia: SIP/2"),
        after_half_a_body Fault::Says("SIP/2.0 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        after_100_and_half_a_body Fault::Says("SIP/2.0 100 Trying\r\n\r\nSIP/2.0 503 Busy\r\nl : 3\r\n\r\n"),
        after_a_status_line Fault::Says("SIP/2.0 401 Unauthorized\r\n"), after_a_keep_alive Fault::Says("\r\n");
    tls Tls: after_a_closed_port Fault::Closed, after_silence Fault::Silent, after_a_503 Fault::Answers(503),
        after_it_hung_up Fault::HangsUp;
    ws Ws: after_a_closed_port Fault::Closed, after_silence Fault::Silent, after_a_503 Fault::Answers(503),
        after_it_hung_up Fault::HangsUp;
    wss Wss: after_silence Fault::Silent;
);

#[tokio::test]
async fn an_address_with_another_protocol_comes_last_the_next_time() {
    let (mock, dead_ip) = (mock().await, dead_address());
    let port = mock.addr().port();
    let fault = Fault::Says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let dead = Dead::tcp(SocketAddr::new(dead_ip, port), fault).await;
    let options = Options::default().resolver(Arc::new(Zone(vec![dead_ip, HEALTHY])));
    let mut phone = Phone::start(options, Some(port), Transport::Tcp).await;
    assert_eq!(phone.outcome().await, Err(Failure::Flow(FlowError::Garbage)));
    phone.push();
    assert_eq!(phone.outcome().await, Ok(()));
    assert_eq!(dead.registers(), 1);
}

/// Returns how long the phone takes to register once the first address is reached. From then on the runtime's clock stands still while
/// anything can go on, so the speed of this machine does not count.
async fn registered_after(phone: &mut Phone, is_reached: impl Fn() -> bool) -> Duration {
    let wait = async {
        while !is_reached() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the first address comes first");
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert_eq!(phone.outcome().await, Ok(()));
    let took = begun.elapsed();
    tokio::time::resume();
    took
}

/// A phone is woken, and the first address of its server has this fault. From the moment at which the phone reaches it, the
/// runtime's clock stands still while anything can go on, so that the speed of this machine does not count.
async fn the_working_address_is_tried_in_time(transport: Transport, fault: Fault, in_handshake: bool) {
    let (mock, authority, dead_ip) = (mock().await, Authority::default(), dead_address());
    let front = front(transport, &mock, &authority).await;
    let port = front.as_ref().map_or(mock.addr(), Front::addr).port();
    let options = |addresses: &[IpAddr]| {
        let trust = Trust::default().only_authorities(authority.pem().as_bytes()).expect("an authority");
        Options::default().resolver(Arc::new(Zone(addresses.to_vec()))).trust(trust)
    };
    let store = Arc::new(MemoryStore::default());
    let mut before = Phone::wakes(store.clone(), options(&[HEALTHY]), Some(port), transport).await;
    before.client.register(&before.account).await.expect("it was added");
    assert_eq!(before.outcome().await, Ok(()));
    before.client.shutdown().await;

    let at = SocketAddr::new(dead_ip, port);
    let mut twin = None;
    let dead = match &front {
        None if transport == Transport::Udp => Dead::udp(at, fault).await,
        Some(front) if !in_handshake => {
            let behind = Dead::tcp(SocketAddr::new(HEALTHY, 0), fault).await;
            twin = Some(front.twin(dead_ip, behind.addr).await);
            behind
        }
        _ => Dead::tcp(at, fault).await,
    };
    let mut phone = Phone::wakes(store, options(&[dead_ip, HEALTHY]), Some(port), transport).await;
    phone.push();
    let reached = if in_handshake { &dead.connections } else { &dead.registers };
    let took = registered_after(&mut phone, || reached.load(Ordering::SeqCst) > 0).await;
    // Before that come a look-up, which has four seconds, and a connection that opens.
    assert!(took <= Duration::from_secs(5), "{transport:?}, {fault:?}, in the handshake: {in_handshake}: {took:?}");
    drop(twin);
}

#[tokio::test]
async fn over_each_transport_a_woken_phone_tries_the_working_address_within_ten_seconds() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        the_working_address_is_tried_in_time(transport, Fault::Silent, false).await;
        the_working_address_is_tried_in_time(transport, Fault::Answers(503), false).await;
        if !matches!(transport, Transport::Udp | Transport::Tcp) {
            the_working_address_is_tried_in_time(transport, Fault::Silent, true).await;
        }
    }
}

/// A phone is woken, and all addresses of its server but the last one are silent.
async fn the_last_of_eight_addresses_is_asked_in_time(transport: Transport) {
    let (mock, authority) = (mock().await, Authority::default());
    let front = match transport {
        Transport::Tls => Some(Front::tls(mock.addr(), authority.server(&[&TLS13])).await),
        _ => None,
    };
    let port = front.as_ref().map_or(mock.addr(), Front::addr).port();
    let (mut dead, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let ip = dead_address();
        let at = SocketAddr::new(ip, port);
        addresses.push(ip);
        dead.push(match transport {
            Transport::Udp => Dead::udp(at, Fault::Silent).await,
            _ => Dead::tcp(at, Fault::Silent).await,
        });
    }
    addresses.push(HEALTHY);
    let options = |addresses: Vec<IpAddr>| {
        let trust = Trust::default().only_authorities(authority.pem().as_bytes()).expect("an authority");
        Options::default().resolver(Arc::new(Zone(addresses))).trust(trust)
    };
    let store = Arc::new(MemoryStore::default());
    let mut before = Phone::wakes(store.clone(), options(vec![HEALTHY]), Some(port), transport).await;
    before.client.register(&before.account).await.expect("it was added");
    assert_eq!(before.outcome().await, Ok(()));
    before.client.shutdown().await;

    let mut phone = Phone::wakes(store, options(addresses), Some(port), transport).await;
    phone.push();
    let is_reached = || dead[0].connections.load(Ordering::SeqCst) + dead[0].registers() > 0;
    let took = registered_after(&mut phone, is_reached).await;
    assert!(took <= Duration::from_secs(10), "{transport:?}: {took:?}");
}

#[tokio::test]
async fn of_eight_addresses_the_only_working_one_is_asked_within_ten_seconds() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        the_last_of_eight_addresses_is_asked_in_time(transport).await;
    }
}

#[tokio::test]
async fn an_address_that_is_silent_in_the_handshake_is_left_for_the_next_one() {
    for transport in [Transport::Tls, Transport::Ws] {
        let (mock, authority, dead_ip) = (mock().await, Authority::default(), dead_address());
        let front = match transport {
            Transport::Tls => Front::tls(mock.addr(), authority.server(&[&TLS13])).await,
            _ => Front::ws(mock.addr()).await,
        };
        let port = front.addr().port();
        let dead = Dead::tcp(SocketAddr::new(dead_ip, port), Fault::Silent).await;
        let trust = Trust::default().only_authorities(authority.pem().as_bytes()).expect("an authority");
        let options = Options::default().resolver(Arc::new(Zone(vec![dead_ip, HEALTHY]))).trust(trust);
        assert_eq!(Phone::start(options, Some(port), transport).await.outcome().await, Ok(()));
        assert_eq!(dead.registers(), 0);
    }
}

#[tokio::test]
async fn where_no_address_works_a_certificate_fault_is_reported_before_a_closed_port() {
    let (mock, stranger, dead_ip) = (mock().await, Authority::default(), dead_address());
    let front = Front::tls(mock.addr(), stranger.server(&[&TLS13])).await;
    let trust = Trust::default().only_authorities(Authority::default().pem().as_bytes()).expect("an authority");
    for addresses in [vec![dead_ip, HEALTHY], vec![HEALTHY, dead_ip]] {
        let options = Options::default().resolver(Arc::new(Zone(addresses))).trust(trust.clone());
        let outcome = Phone::start(options, Some(front.addr().port()), Transport::Tls).await.outcome().await;
        assert!(matches!(outcome, Err(Failure::Flow(FlowError::Certificate(_)))), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_client_waits_for_a_slow_address_where_no_other_one_answers() {
    let (late, silent_ip) = (UdpSocket::bind("127.0.0.1:0").await.expect("loopback"), dead_address());
    let port = late.local_addr().expect("bound").port();
    let _silent = Dead::udp(SocketAddr::new(silent_ip, port), Fault::Silent).await;
    let late = Arc::new(late);
    tokio::spawn(async move {
        loop {
            let (text, from) = receive(&late).await;
            let late = late.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(6)).await;
                late.send_to(accepted(&text).as_bytes(), from).await.expect("it leaves");
            });
        }
    });
    let options = Options::default().resolver(Arc::new(Zone(vec![HEALTHY, silent_ip])));
    assert_eq!(Phone::start(options, Some(port), Transport::Udp).await.outcome().await, Ok(()));
}

#[tokio::test]
async fn an_address_that_sends_a_request_is_waited_for() {
    let (mock, busy_ip) = (mock().await, dead_address());
    let port = mock.addr().port();
    let busy = TcpListener::bind(SocketAddr::new(busy_ip, port)).await.expect("an address of its own");
    tokio::spawn(async move {
        let (mut stream, _) = busy.accept().await.expect("it connects");
        let mut piece = vec![0; 16 * 1024];
        let length = stream.read(&mut piece).await.expect("it sends");
        let text = String::from_utf8_lossy(&piece[..length]).into_owned();
        let ping = "OPTIONS sip:alice@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKp\r\n\
            From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: p\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(ping.as_bytes()).await.expect("it leaves");
        sleep(Duration::from_secs(7)).await;
        stream.write_all(accepted(&text).as_bytes()).await.expect("it leaves");
        std::future::pending::<()>().await;
    });
    let options = Options::default().resolver(Arc::new(Zone(vec![busy_ip, HEALTHY])));
    assert_eq!(Phone::start(options, Some(port), Transport::Tcp).await.outcome().await, Ok(()));
    assert_eq!(mock.bindings("alice").await.len(), 0, "the other address was asked");
}

#[tokio::test]
async fn a_late_2xx_of_a_former_address_leads_to_a_removal_there() {
    let (mock, late_ip) = (mock().await, dead_address());
    let port = mock.addr().port();
    let late = UdpSocket::bind(SocketAddr::new(late_ip, port)).await.expect("an address of its own");
    let options = Options::default().resolver(Arc::new(Zone(vec![late_ip, HEALTHY])));
    let mut phone = Phone::start(options, Some(port), Transport::Udp).await;
    let (first, from) = receive(&late).await;
    assert_eq!(phone.outcome().await, Ok(()));
    late.send_to(accepted(&first).as_bytes(), from).await.expect("it leaves");

    let contact = |text: &str| text.lines().rfind(|line| line.starts_with("Contact:")).map(str::to_owned);
    let removal = async {
        loop {
            let (text, _) = receive(&late).await;
            if text.contains("\r\nExpires: 0\r\n") {
                return text;
            }
            assert_eq!(text, first, "a retransmission that was sent before the address was left");
        }
    };
    let removal = tokio::time::timeout(PATIENCE, removal).await.expect("it is removed");
    assert_eq!(contact(&removal), contact(&first));
    assert_eq!(mock.bindings("alice").await.len(), 1, "and nothing else");
}

/// `_sip._udp` leads to the first port, later to the second one.
struct Moves(u16, u16, Arc<AtomicBool>);

impl Resolver for Moves {
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        vec![HEALTHY]
    }

    fn srv(&self, name: &str) -> Vec<Srv> {
        let port = if self.2.load(Ordering::SeqCst) { self.1 } else { self.0 };
        let known = name == "_sip._udp.localhost";
        known.then(|| Srv { priority: 1, weight: 1, port, target: NAME.into() }).into_iter().collect()
    }
}

#[tokio::test]
async fn a_push_after_the_dns_has_changed_leads_to_the_new_server() {
    let bind = async || UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let (old, new) = (bind().await, bind().await);
    let port = |socket: &UdpSocket| socket.local_addr().expect("bound").port();
    let moved = Arc::new(AtomicBool::new(false));
    let options = Options::default().resolver(Arc::new(Moves(port(&old), port(&new), moved.clone())));
    let mut phone = Phone::start(options, None, Transport::Udp).await;
    let (text, from) = receive(&old).await;
    old.send_to(accepted(&text).as_bytes(), from).await.expect("it leaves");
    assert_eq!(phone.outcome().await, Ok(()));

    moved.store(true, Ordering::SeqCst);
    phone.push();
    let (text, from) = tokio::time::timeout(PATIENCE, receive(&new)).await.expect("the new server is asked");
    let mut asked = 0;
    let mut buffer = vec![0; 65_535];
    while old.try_recv_from(&mut buffer).is_ok() {
        asked += 1;
    }
    assert!((1..=5).contains(&asked), "the old server was asked {asked} times and was left long before timer F");
    new.send_to(accepted(&text).as_bytes(), from).await.expect("it leaves");
    assert_eq!(phone.outcome().await, Ok(()));
    assert!(phone.client.register(&phone.account).await.is_ok());
}

/// RFC 2782: a target of "." says that the service is not available at this domain.
struct NoService;

impl Resolver for NoService {
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        vec![Ipv4Addr::new(127, 0, 0, 77).into()]
    }

    fn srv(&self, name: &str) -> Vec<Srv> {
        let denied = name == "_sip._udp.localhost";
        denied.then(|| Srv { priority: 0, weight: 0, port: 0, target: ".".into() }).into_iter().collect()
    }
}

#[tokio::test]
async fn a_service_that_the_dns_denies_is_not_asked() {
    let listener = UdpSocket::bind("127.0.0.77:5060").await.expect("the port is free");
    let options = Options::default().resolver(Arc::new(NoService));
    let mut phone = Phone::start(options, None, Transport::Udp).await;
    assert_eq!(phone.outcome().await, Err(Failure::Flow(FlowError::Unresolved)));
    assert!(listener.try_recv_from(&mut [0; 2048]).is_err(), "a REGISTER went to the domain itself");
}
