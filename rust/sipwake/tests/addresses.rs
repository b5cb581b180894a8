//! From a name to the server that answers, on real sockets: several addresses, and transports that the DNS chooses.
//!
//! Only Linux has the whole of 127.0.0.0/8 on loopback.
#![cfg(target_os = "linux")]

mod shared;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mock_gateway::{Config, Direction, MockGateway, Profile};
use sipwake::{
    AccountConfig, AccountKey, Client, Events, Failure, MemoryStore, Naptr, Options, Provider, PushConfig, Resolver,
    Srv, Transport,
};
use tokio::net::UdpSocket;

/// How long each step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "sip.example.com";

/// Knows one name with these addresses, and these records for its services.
#[derive(Default)]
struct Zone {
    addresses: Vec<IpAddr>,
    srv: Vec<(&'static str, u16)>,
    naptr: Vec<(&'static str, &'static str)>,
}

impl Resolver for Zone {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if host == NAME { self.addresses.clone() } else { Vec::new() }
    }

    fn srv(&self, name: &str) -> Vec<Srv> {
        let known = self.srv.iter().filter(|(known, _)| *known == name);
        known.map(|(_, port)| Srv { priority: 1, weight: 1, port: *port, target: NAME.into() }).collect()
    }

    fn naptr(&self, domain: &str) -> Vec<Naptr> {
        let known = self.naptr.iter().filter(|_| domain == NAME).enumerate();
        let record = |(index, (service, replacement)): (usize, &(&str, &str))| Naptr {
            order: u16::try_from(index).unwrap_or_default(),
            preference: 1,
            flags: "s".into(),
            service: (*service).into(),
            replacement: (*replacement).into(),
        };
        known.map(record).collect()
    }
}

struct Phone {
    client: Client,
    events: Events,
    account: AccountKey,
}

impl Phone {
    async fn start(zone: Zone, port: Option<u16>, transport: Option<Transport>) -> Self {
        let options = Options::default().resolver(Arc::new(zone));
        let (client, events) = Client::start_with(Arc::new(MemoryStore::default()), options);
        let push = PushConfig::new(Provider::Fcm, "project");
        let account = client.add_account(account("alice", port, transport), Some(push)).await.expect("a sound account");
        client.set_token(&account, "c-10:APA91bToken").await.expect("a sound token");
        Self { client, events, account }
    }

    async fn register(&mut self) -> Result<(), Failure> {
        self.client.register(&self.account).await.expect("it was added");
        self.outcome().await
    }

    async fn outcome(&mut self) -> Result<(), Failure> {
        shared::outcome(&mut self.events, PATIENCE).await
    }
}

fn account(user: &str, port: Option<u16>, transport: Option<Transport>) -> AccountConfig {
    let mut account = AccountConfig::new(format!("sip:{user}@mock.example"), "secret");
    account.gateways = vec![port.map_or(NAME.to_owned(), |port| format!("{NAME}:{port}"))];
    account.transport = transport;
    account
}

fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

async fn mock() -> MockGateway {
    let profile = Profile::named("mizutech").expect("it is one of them");
    MockGateway::start(Config::new(profile).user("alice", "secret").user("bob", "secret"))
        .await
        .expect("loopback is there")
}

/// Returns the transports in the Vias of the REGISTERs.
fn vias(mock: &MockGateway) -> Vec<String> {
    let all = mock.messages().all();
    let registers = all.iter().filter(|entry| entry.direction == Direction::Received && entry.is_request("REGISTER"));
    registers
        .filter_map(|entry| entry.text.lines().find(|line| line.starts_with("Via:")))
        .map(|via| via.split(' ').nth(1).unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn where_one_udp_address_is_closed_the_next_one_is_used_at_once() {
    let mock = mock().await;
    let zone = Zone { addresses: vec![loopback(44), loopback(45), loopback(1)], ..Zone::default() };
    let mut phone = Phone::start(zone, Some(mock.addr().port()), Some(Transport::Udp)).await;
    assert_eq!(phone.register().await, Ok(()), "an ICMP error is not the end of the server");
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn where_one_udp_address_is_silent_the_next_one_is_used_and_remembered() {
    let mock = mock().await;
    let port = mock.addr().port();
    let mute = UdpSocket::bind(SocketAddr::new(loopback(46), port)).await.expect("an address of its own");
    let zone = Zone { addresses: vec![loopback(46), loopback(1)], ..Zone::default() };
    let mut phone = Phone::start(zone, Some(port), Some(Transport::Udp)).await;
    assert_eq!(phone.register().await, Ok(()));
    let mut buffer = vec![0; 4096];
    let mut sent = 0;
    let mut first_branch = None;
    while let Ok((length, _)) = mute.try_recv_from(&mut buffer) {
        sent += 1;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        first_branch = text.lines().find(|line| line.starts_with("Via:")).map(str::to_owned);
    }
    assert!((1..=5).contains(&sent), "tried and left before timer F: {sent}");
    let branch = first_branch.expect("it was tried");
    assert!(!mock.messages().all().iter().any(|entry| entry.text.contains(&branch)), "RFC 3263 4.3: a new transaction");

    let account = account("bob", Some(port), Some(Transport::Udp));
    phone.account = phone.client.add_account(account, None).await.expect("a sound account");
    assert_eq!(phone.register().await, Ok(()));
    assert!(mute.try_recv_from(&mut buffer).is_err(), "another flow goes straight to the address that answers");
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn a_udp_address_that_falls_silent_later_is_left_at_the_next_wake() {
    let mock = mock().await;
    let port = mock.addr().port();
    let dying = UdpSocket::bind(SocketAddr::new(loopback(47), port)).await.expect("an address of its own");
    let served = tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        let (length, from) = dying.recv_from(&mut buffer).await.expect("a REGISTER");
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let copied = request.lines().filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"].iter().any(|name| line.starts_with(name))
        });
        let copied: String = copied.map(|line| format!("{line}\r\n")).collect();
        let answer = format!("SIP/2.0 200 OK\r\n{copied}Expires: 600\r\nContent-Length: 0\r\n\r\n");
        dying.send_to(answer.as_bytes(), from).await.expect("it leaves");
        dying
    });
    let zone = Zone { addresses: vec![loopback(47), loopback(1)], ..Zone::default() };
    let mut phone = Phone::start(zone, Some(port), Some(Transport::Udp)).await;
    assert_eq!(phone.register().await, Ok(()));
    assert!(mock.bindings("alice").await.is_empty(), "the first address answered");
    let _kept_open = served.await.expect("it served");
    assert_eq!(phone.register().await, Ok(()));
    assert_eq!(mock.bindings("alice").await.len(), 1);
}

#[tokio::test]
async fn where_every_udp_address_is_closed_the_failure_is_reported() {
    let port = mock().await.addr().port();
    let zone = Zone { addresses: vec![loopback(44), loopback(45)], ..Zone::default() };
    let mut phone = Phone::start(zone, Some(port), Some(Transport::Udp)).await;
    assert!(matches!(phone.register().await, Err(Failure::Flow(_))));
}

#[tokio::test]
async fn a_closed_tcp_address_is_followed_by_the_next_one() {
    let mock = mock().await;
    let zone = Zone { addresses: vec![loopback(44), loopback(1)], ..Zone::default() };
    let mut phone = Phone::start(zone, Some(mock.addr().port()), Some(Transport::Tcp)).await;
    assert_eq!(phone.register().await, Ok(()));
}

#[tokio::test]
async fn a_naptr_record_chooses_the_transport_of_an_account_that_names_none() {
    let mock = mock().await;
    let zone = Zone {
        addresses: vec![loopback(1)],
        srv: vec![("_sip._tcp.sip.example.com", mock.addr().port()), ("_sip._udp.sip.example.com", mock.addr().port())],
        naptr: vec![("SIP+D2T", "_sip._tcp.sip.example.com."), ("SIP+D2U", "_sip._udp.sip.example.com.")],
    };
    let mut phone = Phone::start(zone, None, None).await;
    assert_eq!(phone.register().await, Ok(()));
    let seen = vias(&mock);
    assert!(!seen.is_empty() && seen.iter().all(|via| via == "SIP/2.0/TCP"), "{seen:?}");
    let named = account("bob", None, Some(Transport::Udp));
    phone.account = phone.client.add_account(named, None).await.expect("a sound account");
    assert_eq!(phone.register().await, Ok(()));
    assert_eq!(vias(&mock).last().map(String::as_str), Some("SIP/2.0/UDP"), "the account's own setting counts");
    assert_eq!(mock.violations(), []);
}

/// A network whose DNS64 uses the well-known prefix, or one without DNS64.
struct Nat64(bool);

impl Resolver for Nat64 {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let shows = self.0 && host == "ipv4only.arpa";
        shows.then(|| "64:ff9b::192.0.0.170".parse().expect("an address")).into_iter().collect()
    }
}

/// Runs this test again in a network namespace that has only IPv6. Returns whether this process is the one inside; `None`
/// if the system cannot create such a namespace.
fn inside_ipv6_only(test: &str) -> Option<bool> {
    const INSIDE: &str = "SIPWAKE_INSIDE_IPV6_ONLY";
    if std::env::var_os(INSIDE).is_some() {
        return Some(true);
    }
    let set_up = "ip link set lo up && ip -6 address add 64:ff9b::c000:201/128 dev lo nodad";
    let run = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "sh", "-c"]).arg(format!("{set_up} && {command}"));
        unshare.env(INSIDE, "1").env("EXECUTABLE", std::env::current_exe().expect("it runs"));
        unshare.status().is_ok_and(|status| status.success())
    };
    if !run("true") {
        skipped("no network namespaces here");
        return None;
    }
    assert!(run(&format!("exec \"$EXECUTABLE\" --exact {test} --nocapture")), "inside an IPv6-only network");
    Some(false)
}

#[allow(clippy::print_stderr, reason = "a test that could not be made must not pass for one that was")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

#[tokio::test]
async fn an_ipv4_server_is_reached_from_a_network_that_has_ipv6_only() {
    if inside_ipv6_only("an_ipv4_server_is_reached_from_a_network_that_has_ipv6_only") != Some(true) {
        return;
    }
    let profile = Profile::named("mizutech").expect("it is one of them");
    let mut config = Config::new(profile).user("alice", "secret");
    config.listen = "[64:ff9b::192.0.2.1]:0".parse().expect("an address");
    // The address that NAT64 makes from 192.0.2.1. It is local on this side.
    let mock = MockGateway::start(config).await.expect("the address is there");
    for (shown, transport) in [(true, Transport::Udp), (true, Transport::Tcp), (false, Transport::Tcp)] {
        let options = Options::default().resolver(Arc::new(Nat64(shown)));
        let (client, events) = Client::start_with(Arc::new(MemoryStore::default()), options);
        let mut account = account("alice", None, Some(transport));
        account.gateways = vec![format!("192.0.2.1:{}", mock.addr().port())];
        let account = client.add_account(account, None).await.expect("a sound account");
        let outcome = Phone { client, events, account }.register().await;
        assert_eq!(outcome.is_ok(), shown, "{transport:?}: {outcome:?}");
    }
    assert_eq!(mock.violations(), []);
}
