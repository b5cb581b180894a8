//! The records to ask for, and the addresses that they lead to (RFC 3263 section 4).

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Scope, scope};

use sipwake_core::account::{Hop, Transport};
use sipwake_core::sip::Host;

use super::select;
use super::{Located, Resolver, Srv};

/// How many addresses of one hop are tried.
pub(super) const MAX_ADDRESSES: usize = 16;
/// How many SRV targets are looked up.
const MAX_TARGETS: usize = 8;

/// The transports for a hop, the default first. The DNS chooses only if neither the app nor the URI named one (RFC 3263
/// section 4.1). It never leads from a transport with TLS to one without.
pub(super) fn candidates(hop: &Hop) -> &'static [Transport] {
    match hop.transport {
        Transport::Udp if !hop.explicit_transport && cfg!(feature = "tls") => {
            &[Transport::Udp, Transport::Tcp, Transport::Tls]
        }
        Transport::Udp if !hop.explicit_transport => &[Transport::Udp, Transport::Tcp],
        Transport::Udp => &[Transport::Udp],
        Transport::Tcp => &[Transport::Tcp],
        Transport::Tls => &[Transport::Tls],
        Transport::Ws | Transport::Wss => &[],
    }
}

/// Locates a hop (RFC 3263 section 4). It asks as much as possible at once: NAPTR, the SRV records under their usual
/// names, and the domain's own addresses. So a cold wake waits for the DNS once, or twice if SRV records lead to other
/// names.
pub(super) fn find(resolver: &dyn Resolver, hop: &Hop) -> Option<Located> {
    let Host::Name(name) = &hop.host else { return None };
    let candidates = if hop.port.is_none() { candidates(hop) } else { &[] };
    let asks_naptr = !candidates.is_empty() && !hop.explicit_transport;
    let mut naptr = Vec::new();
    let guesses = candidates.iter().filter_map(|transport| {
        let (prefix, _) = select::service(*transport)?;
        Some((*transport, format!("{prefix}.{name}"), Vec::new()))
    });
    let mut guessed: Vec<_> = guesses.collect();
    let own = scope(|scope| {
        if asks_naptr {
            beside(scope, Box::new(|| naptr = resolver.naptr(name)));
        }
        for (_, asked, records) in &mut guessed {
            beside(scope, Box::new(|| *records = resolver.srv(asked)));
        }
        resolver.addresses(name)
    });
    let mut services = select::services(naptr, candidates);
    services.truncate(MAX_TARGETS);
    if services.is_empty() {
        services = guessed.iter().map(|(transport, name, _)| (*transport, name.clone())).collect();
    }
    let mut absent = Vec::new();
    for (transport, name) in services {
        let known = guessed.iter().find(|(_, asked, _)| asked.eq_ignore_ascii_case(&name));
        let records = known.map_or_else(|| resolver.srv(&name), |(_, _, records)| records.clone());
        if select::denies_service(&records) {
            absent.push(transport);
        }
        let addresses = addresses_of(resolver, &select::order(records, random_below));
        if !addresses.is_empty() {
            return Some(Located { transport, addresses });
        }
    }
    // Only the domain's own addresses are left. They are not used for a service that the domain says it does not have.
    let transport = match candidates.iter().find(|candidate| !absent.contains(candidate)) {
        Some(candidate) => *candidate,
        None if candidates.is_empty() => hop.transport,
        None => return None,
    };
    let port = hop.port.unwrap_or(transport.default_port());
    let addresses: Vec<_> = own.into_iter().take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, port)).collect();
    (!addresses.is_empty()).then_some(Located { transport, addresses })
}

/// Looks up all targets at once.
fn addresses_of(resolver: &dyn Resolver, targets: &[Srv]) -> Vec<SocketAddr> {
    let mut found: Vec<(&Srv, Vec<IpAddr>)> =
        targets.iter().take(MAX_TARGETS).map(|target| (target, Vec::new())).collect();
    scope(|scope| {
        for (target, ips) in &mut found {
            let name = target.target.trim_end_matches('.');
            // RFC 2782 wants a name. Where there is an address, a resolver need not be asked.
            match name.parse() {
                Ok(ip) => ips.push(ip),
                Err(_) => beside(scope, Box::new(|| *ips = resolver.addresses(name))),
            }
        }
    });
    let mut addresses = Vec::new();
    for (target, ips) in found {
        addresses.extend(ips.into_iter().take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, target.port)));
    }
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// Asks on a separate thread. A resolver that panics gives no result.
fn beside<'scope>(scope: &'scope Scope<'scope, '_>, ask: Box<dyn FnOnce() + Send + 'scope>) {
    scope.spawn(|| drop(catch_unwind(AssertUnwindSafe(ask))));
}

fn random_below(bound: u64) -> u64 {
    getrandom::u64().unwrap_or_default() % bound.max(1)
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sipwake_core::account::{Account, AccountConfig};

    use super::super::Naptr;
    use super::*;

    #[derive(Default)]
    pub(crate) struct Zone {
        pub(crate) asked: AtomicUsize,
    }

    fn srv(priority: u16, port: u16, target: &str) -> Srv {
        Srv { priority, weight: 1, port, target: target.into() }
    }

    impl Resolver for Zone {
        fn addresses(&self, host: &str) -> Vec<IpAddr> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let text = match host {
                "example.com" | "noudp.example.com" | "nothing.example.com" => "192.0.2.1",
                "one.example.com" => "192.0.2.11",
                "two.example.com" => "2001:db8::2",
                "tcponly.example.com" => "192.0.2.12",
                _ => return Vec::new(),
            };
            vec![text.parse().expect("an address")]
        }

        fn srv(&self, name: &str) -> Vec<Srv> {
            match name {
                "_sip._udp.example.com" => vec![srv(20, 5062, "two.example.com."), srv(10, 5061, "one.example.com")],
                "_sips._tcp.example.com" => vec![srv(1, 443, "nowhere.example.com")],
                "_sip._tcp.tcponly.example.com" => vec![srv(1, 5062, "one.example.com")],
                "_sips._tcp.secure.example.com" => vec![srv(1, 5071, "one.example.com")],
                "_sip._udp.secure.example.com" => vec![srv(1, 5072, "one.example.com")],
                "_sip._udp.literal.example.com" => vec![srv(1, 5063, "192.0.2.44"), srv(2, 5064, "2001:db8::44")],
                "special.example.com" => vec![srv(1, 7000, "two.example.com")],
                "_sip._udp.noudp.example.com" | "_sip._udp.nothing.example.com" => vec![srv(0, 0, ".")],
                "_sip._tcp.nothing.example.com" | "_sips._tcp.nothing.example.com" => vec![srv(0, 0, ".")],
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
                "secure.example.com" => vec![
                    record(20, "SIP+D2U", "_sip._udp.secure.example.com."),
                    record(10, "SIPS+D2T", "_sips._tcp.secure.example.com."),
                ],
                _ => Vec::new(),
            }
        }
    }

    pub(crate) fn hop(server: &str, transport: Option<Transport>) -> Hop {
        let mut config = AccountConfig::new("alice@example.com", "secret");
        config.gateways = vec![server.into()];
        config.transport = transport;
        Account::parse(config).expect("valid").hops()[0].clone()
    }

    fn found(server: &str, transport: Option<Transport>) -> Vec<String> {
        let located = find(&Zone::default(), &hop(server, transport));
        located.map(|located| located.addresses.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn srv_records_count_only_without_a_port() {
        assert_eq!(found("example.com", Some(Transport::Udp)), ["192.0.2.11:5061", "[2001:db8::2]:5062"]);
        assert_eq!(found("example.com:5099", Some(Transport::Udp)), ["192.0.2.1:5099"]);
        assert_eq!(found("example.com", Some(Transport::Tcp)), ["192.0.2.1:5060"]);
        assert_eq!(found("wss://example.com/ws", None), ["192.0.2.1:443"]);
    }

    #[test]
    fn an_srv_target_that_is_an_address_needs_no_resolver() {
        let addresses = found("literal.example.com", Some(Transport::Udp));
        assert_eq!(addresses, ["192.0.2.44:5063", "[2001:db8::44]:5064"]);
    }

    fn chosen(server: &str) -> (Transport, String) {
        let located = find(&Zone::default(), &hop(server, None)).expect("it has an address");
        (located.transport, located.addresses[0].to_string())
    }

    #[test]
    fn naptr_records_choose_the_transport_that_the_account_leaves_open() {
        assert_eq!(
            chosen("naptr.example.com"),
            (Transport::Udp, "[2001:db8::2]:7000".into()),
            "the first has no target"
        );
        assert!(
            found("naptr.example.com", Some(Transport::Udp)).is_empty(),
            "it was configured, so it is not looked up"
        );
        #[cfg(feature = "tls")]
        assert_eq!(chosen("secure.example.com"), (Transport::Tls, "192.0.2.11:5071".into()));
    }

    #[test]
    fn without_naptr_records_srv_records_choose_the_transport_and_udp_is_the_fallback() {
        assert_eq!(chosen("tcponly.example.com"), (Transport::Tcp, "192.0.2.11:5062".into()));
        assert_eq!(chosen("example.com"), (Transport::Udp, "192.0.2.11:5061".into()));
        assert_eq!(chosen("one.example.com"), (Transport::Udp, "192.0.2.11:5060".into()));
        assert_eq!(chosen("tcponly.example.com:5099"), (Transport::Udp, "192.0.2.12:5099".into()), "a port ends it");
    }

    #[test]
    fn a_service_that_the_domain_denies_is_not_tried_at_the_domains_addresses() {
        assert!(found("noudp.example.com", Some(Transport::Udp)).is_empty());
        assert_eq!(found("noudp.example.com", Some(Transport::Tcp)), ["192.0.2.1:5060"]);
        assert_eq!(chosen("noudp.example.com"), (Transport::Tcp, "192.0.2.1:5060".into()));
        assert!(found("nothing.example.com", None).is_empty());
        assert_eq!(found("nothing.example.com:5060", None), ["192.0.2.1:5060"], "with a port there is no SRV query");
    }

    #[test]
    fn the_dns_never_leads_from_a_secure_transport_to_a_clear_one() {
        let mut config = AccountConfig::new("sips:alice@naptr.example.com", "secret");
        config.transport = None;
        let hop = Account::parse(config).expect("valid").hops()[0].clone();
        assert!(!hop.explicit_transport);
        assert_eq!(find(&Zone::default(), &hop), None, "the domain's services without TLS do not count");
    }

    /// Has more of everything than anybody needs, and counts the questions.
    #[derive(Default)]
    struct Flood {
        hosts: AtomicUsize,
        services: AtomicUsize,
        with_targets: bool,
    }

    impl Resolver for Flood {
        fn addresses(&self, _: &str) -> Vec<IpAddr> {
            self.hosts.fetch_add(1, Ordering::SeqCst);
            (0..1000_u32).map(|number| std::net::Ipv4Addr::from(0x0a00_0000 + number).into()).collect()
        }

        fn srv(&self, _: &str) -> Vec<Srv> {
            self.services.fetch_add(1, Ordering::SeqCst);
            let targets = if self.with_targets { 1000 } else { 0 };
            (0..targets).map(|number| srv(number, 5060, "host.example.com")).collect()
        }

        fn naptr(&self, _: &str) -> Vec<Naptr> {
            let record = |order: u16| Naptr {
                order,
                preference: 1,
                flags: "s".into(),
                service: "SIP+D2U".into(),
                replacement: format!("s{order}.example.com"),
            };
            (0..1000).map(record).collect()
        }
    }

    #[test]
    fn of_too_many_records_and_addresses_only_the_first_are_used() {
        let flood = Flood { with_targets: true, ..Flood::default() };
        let located = find(&flood, &hop("example.com", Some(Transport::Udp))).expect("it has addresses");
        assert_eq!(located.addresses.len(), MAX_ADDRESSES);
        // The domain itself is looked up, too.
        assert_eq!(flood.hosts.load(Ordering::SeqCst), MAX_TARGETS + 1);

        let flood = Flood::default();
        let located = find(&flood, &hop("example.com", None)).expect("it has addresses");
        assert_eq!(located.addresses.len(), MAX_ADDRESSES, "those of the domain");
        let guessed = candidates(&hop("example.com", None)).len();
        assert_eq!(flood.services.load(Ordering::SeqCst), guessed + MAX_TARGETS);
    }

    /// Knows one address, and panics at any other question.
    struct Fragile;

    impl Resolver for Fragile {
        fn addresses(&self, _: &str) -> Vec<IpAddr> {
            vec![std::net::Ipv4Addr::new(192, 0, 2, 1).into()]
        }

        fn srv(&self, _: &str) -> Vec<Srv> {
            panic!("as a test")
        }

        fn naptr(&self, _: &str) -> Vec<Naptr> {
            panic!("as a test")
        }
    }

    #[test]
    fn a_question_that_makes_a_resolver_panic_has_no_answer() {
        let located = find(&Fragile, &hop("example.com", None)).expect("it has an address");
        assert_eq!(located.addresses[0].to_string(), "192.0.2.1:5060");
    }

    #[test]
    fn srv_records_whose_targets_have_no_address_do_not_end_the_search() {
        assert_eq!(found("example.com", Some(Transport::Tls)), ["192.0.2.1:5061"]);
    }
}
