//! From a hop to the addresses to try (RFC 3263).
//!
//! The transport is the account's to choose: NAPTR leads to the SRV records of that transport, never to another one.

mod select;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::FlowError;
use sipwake_core::sip::Host;

pub use select::{Naptr, Srv};

/// Addresses that are tried of one hop.
const MAX_ADDRESSES: usize = 16;
/// SRV targets that are looked up.
const MAX_TARGETS: usize = 8;
/// Hops whose addresses are remembered.
const MAX_REMEMBERED: usize = 32;

/// Looks names up. Each call may block: it is made on a thread that may. No answer is an empty one.
///
/// The system's resolver, which is the default, knows addresses only; a platform with its own DNS interface adds SRV and
/// NAPTR records.
pub trait Resolver: Send + Sync {
    /// Returns the addresses of a host, best first; on a network with NAT64 those that reach it there.
    fn addresses(&self, host: &str) -> Vec<IpAddr>;

    /// Returns the SRV records of a name such as `_sip._udp.example.com` (RFC 2782).
    fn srv(&self, name: &str) -> Vec<Srv> {
        let _ = name;
        Vec::new()
    }

    /// Returns the NAPTR records of a domain (RFC 3403).
    fn naptr(&self, domain: &str) -> Vec<Naptr> {
        let _ = domain;
        Vec::new()
    }
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        match std::net::ToSocketAddrs::to_socket_addrs(&(host, 0)) {
            Ok(addresses) => addresses.map(|address| address.ip()).collect(),
            Err(error) => {
                log::debug!("{host}: {error}");
                Vec::new()
            }
        }
    }
}

/// The addresses that were found before, by hop: a wake uses them at once.
pub(crate) struct Addresses {
    resolver: Arc<dyn Resolver>,
    known: Arc<Mutex<HashMap<Hop, Vec<SocketAddr>>>>,
}

/// The addresses of a hop, and whether they are from before.
pub(crate) struct Found {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) remembered: bool,
}

impl Addresses {
    pub(crate) fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, known: Arc::default() }
    }

    /// Returns what was found before, and looks it up anew behind that; else looks it up.
    pub(crate) async fn of(&self, hop: &Hop) -> Result<Found, FlowError> {
        if let Some(ip) = hop.host.ip() {
            let address = SocketAddr::new(ip, hop.port.unwrap_or(hop.transport.default_port()));
            return Ok(Found { addresses: vec![address], remembered: false });
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(hop).cloned();
        if let Some(addresses) = known {
            drop(self.look_up_behind(hop));
            return Ok(Found { addresses, remembered: true });
        }
        self.look_up(hop).await.map(|addresses| Found { addresses, remembered: false })
    }

    /// Looks a hop up, whatever was found before.
    pub(crate) async fn look_up(&self, hop: &Hop) -> Result<Vec<SocketAddr>, FlowError> {
        // A resolver that panics is one that knows nothing.
        let addresses = self.look_up_behind(hop).await.unwrap_or_default();
        if addresses.is_empty() { Err(FlowError::Unresolved) } else { Ok(addresses) }
    }

    /// Forgets everything: another network may have other answers.
    pub(crate) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn look_up_behind(&self, hop: &Hop) -> tokio::task::JoinHandle<Vec<SocketAddr>> {
        let (resolver, known, hop) = (self.resolver.clone(), self.known.clone(), hop.clone());
        tokio::task::spawn_blocking(move || {
            let addresses = find(&*resolver, &hop);
            if !addresses.is_empty() {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if known.len() >= MAX_REMEMBERED {
                    known.clear();
                }
                known.insert(hop, addresses.clone());
            }
            addresses
        })
    }
}

/// RFC 3263 section 4, for the transport of the hop.
fn find(resolver: &dyn Resolver, hop: &Hop) -> Vec<SocketAddr> {
    let Host::Name(name) = &hop.host else { return Vec::new() };
    let at = |host: &str, port: u16| -> Vec<SocketAddr> {
        resolver.addresses(host).into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
    };
    let mut found = Vec::new();
    if hop.port.is_none()
        && let Some(service) = service(hop.transport)
    {
        let replacement = (!hop.explicit_transport)
            .then(|| select::replacement(&resolver.naptr(name), hop.transport))
            .flatten()
            .unwrap_or_else(|| format!("{service}.{name}"));
        let targets = select::order(resolver.srv(&replacement), random_below);
        for target in targets.iter().take(MAX_TARGETS) {
            found.extend(at(target.target.trim_end_matches('.'), target.port));
        }
    }
    if found.is_empty() {
        found = at(name, hop.port.unwrap_or(hop.transport.default_port()));
    }
    found.truncate(MAX_ADDRESSES);
    found
}

/// RFC 3263 section 4.1; RFC 7118 has none for WebSocket that anyone uses.
fn service(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Udp => Some("_sip._udp"),
        Transport::Tcp => Some("_sip._tcp"),
        Transport::Tls => Some("_sips._tcp"),
        Transport::Ws | Transport::Wss => None,
    }
}

fn random_below(bound: u64) -> u64 {
    getrandom::u64().unwrap_or_default() % bound.max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sipwake_core::account::{Account, AccountConfig};

    use super::*;

    #[derive(Default)]
    struct Zone {
        asked: AtomicUsize,
    }

    fn srv(priority: u16, port: u16, target: &str) -> Srv {
        Srv { priority, weight: 1, port, target: target.into() }
    }

    impl Resolver for Zone {
        fn addresses(&self, host: &str) -> Vec<IpAddr> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let text = match host {
                "example.com" => "192.0.2.1",
                "one.example.com" => "192.0.2.11",
                "two.example.com" => "2001:db8::2",
                _ => return Vec::new(),
            };
            vec![text.parse().expect("an address")]
        }

        fn srv(&self, name: &str) -> Vec<Srv> {
            match name {
                "_sip._udp.example.com" => vec![srv(20, 5062, "two.example.com."), srv(10, 5061, "one.example.com")],
                "_sips._tcp.example.com" => vec![srv(1, 443, "nowhere.example.com")],
                "special.example.com" => vec![srv(1, 7000, "two.example.com")],
                _ => Vec::new(),
            }
        }

        fn naptr(&self, domain: &str) -> Vec<Naptr> {
            let record = |order, service: &str, replacement: &str| Naptr {
                order,
                preference: 1,
                flags: "s".into(),
                service: service.into(),
                replacement: replacement.into(),
            };
            match domain {
                "naptr.example.com" => {
                    vec![record(1, "SIPS+D2T", "other"), record(2, "SIP+D2U", "special.example.com.")]
                }
                _ => Vec::new(),
            }
        }
    }

    fn hop(server: &str, transport: Option<Transport>) -> Hop {
        let mut config = AccountConfig::new("alice@example.com", "secret");
        config.gateways = vec![server.into()];
        config.transport = transport;
        Account::parse(config).expect("valid").hops()[0].clone()
    }

    fn found(server: &str, transport: Option<Transport>) -> Vec<String> {
        find(&Zone::default(), &hop(server, transport)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn srv_records_count_only_without_a_port() {
        assert_eq!(found("example.com", Some(Transport::Udp)), ["192.0.2.11:5061", "[2001:db8::2]:5062"]);
        assert_eq!(found("example.com:5099", Some(Transport::Udp)), ["192.0.2.1:5099"]);
        assert_eq!(found("example.com", Some(Transport::Tcp)), ["192.0.2.1:5060"]);
        assert_eq!(found("wss://example.com/ws", None), ["192.0.2.1:443"]);
    }

    #[test]
    fn a_naptr_record_leads_to_srv_records_of_the_same_transport() {
        assert_eq!(found("naptr.example.com", None), ["[2001:db8::2]:7000"]);
        assert!(found("naptr.example.com", Some(Transport::Udp)).is_empty(), "given, so not looked up");
    }

    #[test]
    fn srv_records_whose_targets_have_no_address_are_not_the_end() {
        assert_eq!(found("example.com", Some(Transport::Tls)), ["192.0.2.1:5061"]);
    }

    #[tokio::test]
    async fn what_was_found_before_is_used_at_once_and_looked_up_behind() {
        let zone = Arc::new(Zone::default());
        let addresses = Addresses::new(zone.clone());
        let hop = hop("example.com:5060", None);
        assert!(!addresses.of(&hop).await.expect("it has an address").remembered);
        assert!(addresses.of(&hop).await.expect("it has an address").remembered);
        for _ in 0..200 {
            if zone.asked.load(Ordering::SeqCst) == 2 {
                addresses.forget();
                assert!(!addresses.of(&hop).await.expect("it has an address").remembered);
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("it was not looked up again");
    }

    #[tokio::test]
    async fn literal_addresses_ask_nobody() {
        let zone = Arc::new(Zone::default());
        let addresses = Addresses::new(zone.clone());
        let literal = addresses.of(&hop("[2001:db8::9]", Some(Transport::Tls))).await.expect("an address");
        assert_eq!(literal.addresses, ["[2001:db8::9]:5061".parse().expect("an address")]);
        assert_eq!(zone.asked.load(Ordering::SeqCst), 0);
    }
}
