//! Which of several gateways the client uses: it probes their load, leaves a full one, and returns later.
//!
//! The gateways have addresses of their own and share one port for their API, as real gateways do. Only Linux has the whole
//! of 127.0.0.0/8 on loopback.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use integration::{App, PASSWORD, PATIENCE, TOKEN, USER, named, quiet_address};
use mock_gateway::{Config, Direction, LoadApi, MockGateway};
use sipwake::{
    AccountConfig, Channel, Client, Hints, MemoryStore, Options, Probe, Probing, Provider, PushConfig, StateStore,
    Transport,
};

struct Gateway {
    sip: MockGateway,
    api: LoadApi,
}

impl Gateway {
    async fn start(last: u8, port: u16, load: u8) -> Self {
        let ip = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
        let mut profile = named("mizutech");
        profile.min_expires = 1;
        let mut config = Config::new(profile).user(USER, PASSWORD);
        config.listen = SocketAddr::new(ip, 0);
        let sip = MockGateway::start(config).await.expect("loopback is there");
        let api = LoadApi::start(SocketAddr::new(ip, port), load).await.expect("a quiet port");
        Self { sip, api }
    }

    fn asked(&self, method: &str) -> usize {
        let all = self.sip.messages().all();
        all.iter().filter(|entry| entry.direction == Direction::Received && entry.is_request(method)).count()
    }

    async fn is_bound(&self) -> bool {
        !self.sip.bindings(USER).await.is_empty()
    }
}

/// An address that accepts datagrams and connections and never answers.
struct Mute {
    address: SocketAddr,
    _sockets: (std::net::UdpSocket, std::net::TcpListener),
}

impl Mute {
    fn new() -> Self {
        let address = quiet_address();
        let sockets = (std::net::UdpSocket::bind(address), std::net::TcpListener::bind(address));
        let (Ok(udp), Ok(tcp)) = sockets else { panic!("the port was quiet a moment ago") };
        Self { address, _sockets: (udp, tcp) }
    }
}

fn wsload(port: u16) -> Probing {
    // Long enough for a busy machine: the test wants the responses, not the time limit.
    Probing::new(Probe::WsLoad { https: false, port: Some(port) }).first_wait(PATIENCE)
}

async fn app(gateways: &[String], transport: Transport, probing: Option<Probing>, expires: u32) -> App {
    app_with(Arc::new(MemoryStore::default()), gateways, transport, probing, expires).await
}

async fn app_with(
    store: Arc<dyn StateStore>,
    gateways: &[String],
    transport: Transport,
    probing: Option<Probing>,
    expires: u32,
) -> App {
    let options = probing.map_or_else(Options::default, |probing| Options::default().probing(probing));
    let (client, events) = Client::start_with(store, options);
    let mut account = AccountConfig::new(format!("sip:{USER}@mock.example"), PASSWORD);
    account.gateways = gateways.to_vec();
    account.transport = Some(transport);
    account.expires = expires;
    let push = PushConfig::new(Provider::Fcm, "com.example.app");
    let account = client.add_account(account, Some(push)).await.expect("a good account");
    client.set_token(&account, TOKEN).await.expect("a good token");
    App { client, events, account }
}

fn addresses(gateways: &[&Gateway]) -> Vec<String> {
    gateways.iter().map(|gateway| gateway.sip.addr().to_string()).collect()
}

async fn the_least_loaded_gateway_is_chosen(transport: Transport) {
    let port = quiet_address().port();
    let (full, busy, free) =
        (Gateway::start(1, port, 4).await, Gateway::start(2, port, 3).await, Gateway::start(3, port, 1).await);
    let mut all = vec![format!("127.0.0.4:{port}")];
    all.extend(addresses(&[&full, &busy, &free]));
    let mut app = app(&all, transport, Some(wsload(port)), 600).await;
    app.register().await;
    assert!(free.is_bound().await);
    for other in [&full, &busy] {
        assert_eq!((other.asked("REGISTER"), other.api.asked()), (0, 1), "asked by HTTP, and left alone");
    }

    free.api.set(None);
    let loads = app.client.probe_gateways(&app.account).await.expect("it is there");
    let loads: Vec<_> = loads.iter().map(|health| health.load).collect();
    assert_eq!(loads, [None, Some(4), Some(3), None], "dead, full, busy, and one that reports a malfunction");
    app.client.network_changed().await.expect("it runs");
    app.registered().await;
    assert!(busy.is_bound().await, "the next choice uses the last probe");
    assert_eq!(full.asked("REGISTER"), 0);
    let again = full.api.wait_asked(3, PATIENCE).await;
    assert!(again, "on another network they are asked again, even if they were asked just before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_loaded_gateway_is_chosen_over_udp() {
    the_least_loaded_gateway_is_chosen(Transport::Udp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_loaded_gateway_is_chosen_over_tcp() {
    the_least_loaded_gateway_is_chosen(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_returns_to_a_gateway_that_was_full() {
    let port = quiet_address().port();
    let (preferred, other) = (Gateway::start(1, port, 4).await, Gateway::start(2, port, 1).await);
    let probing = wsload(port).every(Duration::ZERO);
    let mut app = app(&addresses(&[&preferred, &other]), Transport::Udp, Some(probing), 4).await;
    app.register().await;
    assert!(other.is_bound().await);
    assert_eq!(preferred.asked("REGISTER"), 0);
    preferred.api.set(Some(0));
    let moved = preferred.sip.wait_until(async || preferred.is_bound().await, PATIENCE).await;
    assert!(moved, "the probe after a registration showed that there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sip_options_show_which_gateway_answers() {
    let port = quiet_address().port();
    let gateway = Gateway::start(1, port, 0).await;
    let mute = Mute::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        let all = [mute.address.to_string(), format!("127.0.0.4:{port}"), gateway.sip.addr().to_string()];
        let probing = Probing::new(Probe::Options).first_wait(PATIENCE).timeout(Duration::from_secs(3));
        let mut app = app(&all, transport, Some(probing), 600).await;
        app.register().await;
        assert!(gateway.is_bound().await);
        let found = app.client.probe_gateways(&app.account).await.expect("it is there");
        let found: Vec<_> = found.iter().map(|health| (health.gateway, health.load)).collect();
        assert_eq!(found, [(0, None), (1, None), (2, Some(0))], "{transport:?}");
        app.log_out().await;
    }
    assert!(gateway.asked("OPTIONS") >= 4, "before the first registration, and when the app asked, so twice");
    assert_eq!(gateway.api.asked(), 0);
    assert_eq!(gateway.sip.violations(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_gateways_delay_a_first_registration_only_to_the_limit_and_a_push_not_at_all() {
    let port = quiet_address().port();
    let (slow, other) = (Gateway::start(1, port, 0).await, Gateway::start(2, port, 0).await);
    slow.api.fall_silent();
    other.api.fall_silent();
    let never = Probing::new(Probe::WsLoad { https: false, port: Some(port) }).timeout(Duration::from_secs(3600));
    let bound = Duration::from_millis(200);
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
    let both = addresses(&[&slow, &other]);
    let probing = never.clone().first_wait(bound);
    let mut first = app_with(store.clone(), &both, Transport::Udp, Some(probing), 600).await;
    let begun = Instant::now();
    first.register().await;
    assert!(begun.elapsed() >= bound && begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(slow.is_bound().await, "without results of a probe, the app's order counts");
    first.client.shutdown().await;

    let mut woken = app_with(store, &both, Transport::Udp, Some(never.first_wait(PATIENCE * 10)), 600).await;
    let before = slow.asked("REGISTER");
    woken.client.push("{\"ntype\":\"4\"}", Channel::FcmAndroid, &Hints::at(sipwake::now()));
    woken.registered().await;
    assert!(slow.asked("REGISTER") > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_option_or_with_one_gateway_there_are_no_probes() {
    let port = quiet_address().port();
    let (one, two) = (Gateway::start(1, port, 4).await, Gateway::start(2, port, 0).await);
    let mut unasked = app(&addresses(&[&one, &two]), Transport::Udp, None, 600).await;
    unasked.register().await;
    let mut alone = app(&addresses(&[&one]), Transport::Udp, Some(wsload(port)), 600).await;
    alone.register().await;
    assert!(one.is_bound().await);
    assert_eq!((one.api.asked(), two.api.asked(), one.asked("OPTIONS")), (0, 0, 0));
}
