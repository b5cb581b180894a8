//! From a hop to the addresses to try (RFC 3263).
//!
//! The transport is the account's to choose. If neither it nor a URI names one, NAPTR and SRV records do. Without
//! records it is UDP.

mod locate;
mod nat64;
mod select;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::FlowError;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::task::Futures;
use locate::{MAX_ADDRESSES, find};
pub use select::{Naptr, Srv};

/// How many hops, and how many silent addresses, are remembered.
const MAX_REMEMBERED: usize = 32;
/// How many hops are looked up at once, each on a thread. A resolver that never returns keeps its thread.
const MAX_LOOK_UPS: usize = 64;
/// How long the DNS may take for one hop.
const LOOK_UP: Duration = Duration::from_secs(10);
/// After this time the DNS is asked again, at the same time: a query or its response may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(4);
/// For how long an address that did not respond comes after the others.
const SILENT: Duration = Duration::from_secs(600);
/// How long an address may leave a request without a response if there is another one: four transmissions over UDP with
/// the default timers. RFC 3263 section 4.3 would wait for timer F, 32 seconds. An announced call would be lost by
/// then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);
/// How long a response may take that does not count as late.
const SLOW: Duration = Duration::from_millis(125);
/// The longest that an address may take that is known to respond late.
const LONGEST_PATIENCE: Duration = Duration::from_secs(32);

/// Looks names up. Each call may block. It runs on its own thread, and several run at once. No answer is an empty one;
/// after ten seconds a server counts as one that cannot be found.
///
/// The system's resolver, which is the default, knows addresses only. A platform with its own DNS interface
/// (`DnsResolver` on Android, `DNSServiceQueryRecord` on Apple's systems, a crate such as hickory on desktops) adds SRV
/// and NAPTR records:
///
/// ```
/// use std::net::IpAddr;
/// use std::sync::Arc;
///
/// use sipwake::{Naptr, Options, Resolver, Srv, SystemResolver};
///
/// /// Addresses from the system, other records from the platform.
/// struct PlatformResolver;
///
/// impl Resolver for PlatformResolver {
///     fn addresses(&self, host: &str) -> Vec<IpAddr> {
///         SystemResolver.addresses(host)
///     }
///
///     fn srv(&self, name: &str) -> Vec<Srv> {
///         // Here the platform is asked for records of type 33. Each one holds four fields.
///         match name {
///             "_sips._tcp.example.com" => {
///                 vec![Srv { priority: 10, weight: 5, port: 5061, target: "sip1.example.com.".into() }]
///             }
///             _ => Vec::new(),
///         }
///     }
///
///     fn naptr(&self, domain: &str) -> Vec<Naptr> {
///         // Type 35. Its regular expression is not used by SIP.
///         let _ = domain;
///         Vec::new()
///     }
/// }
///
/// assert_eq!(PlatformResolver.srv("_sips._tcp.example.com")[0].port, 5061);
/// let options = Options::default().resolver(Arc::new(PlatformResolver));
/// ```
pub trait Resolver: Send + Sync {
    /// Returns the addresses of a host, best first. It is asked for `ipv4only.arpa` too, where only IPv6 leads out: the
    /// answer tells the prefix of the network's NAT64 (RFC 7050).
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

/// The known addresses of each hop. A wake uses them at once.
pub(crate) struct Addresses {
    resolver: Arc<dyn Resolver>,
    known: Arc<Mutex<HashMap<Hop, Located>>>,
    /// Each thread that looks something up holds a clone.
    looking_up: Arc<()>,
    /// Addresses that did not respond. They come last for a while.
    silent: Mutex<HashMap<SocketAddr, Instant>>,
    /// Addresses that respond late, and how long they may take.
    slow: Mutex<HashMap<SocketAddr, Duration>>,
    nat64: Mutex<Option<Vec<nat64::Prefix>>>,
    /// Whether this network has a route to an address.
    reaches: fn(SocketAddr) -> bool,
}

/// How to reach a hop. The transport is the hop's own, unless the account left it to the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) transport: Transport,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The addresses of a hop, and whether they are from an earlier look-up.
pub(crate) struct Found {
    pub(crate) located: Located,
    pub(crate) remembered: bool,
}

impl Addresses {
    pub(crate) fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self {
            resolver,
            known: Arc::default(),
            looking_up: Arc::default(),
            silent: Mutex::default(),
            slow: Mutex::default(),
            nat64: Mutex::default(),
            reaches: nat64::has_route,
        }
    }

    /// Returns the known addresses, and looks them up again in the background. If there are none, looks them up first.
    pub(crate) async fn of(&self, hop: &Hop) -> Result<Found, FlowError> {
        if let Some(ip) = hop.host.ip() {
            let address = SocketAddr::new(ip, hop.port.unwrap_or(hop.transport.default_port()));
            let located = Located { transport: hop.transport, addresses: vec![address] };
            return Ok(Found { located: self.here(located).await, remembered: false });
        }
        let known = locked(&self.known).get(hop).cloned();
        if let Some(located) = known {
            drop(self.look_up_behind(hop));
            return Ok(Found { located: self.here(located).await, remembered: true });
        }
        self.look_up(hop).await.map(|located| Found { located, remembered: false })
    }

    /// Looks a hop up, even if its addresses are known.
    pub(crate) async fn look_up(&self, hop: &Hop) -> Result<Located, FlowError> {
        // A resolver that panics or never returns counts as one without a result.
        let search = async {
            let mut asked = Futures::new();
            asked.push(self.look_up_behind(hop));
            let mut again = false;
            loop {
                tokio::select! {
                    found = asked.next() => if let Ok(Some(located)) = found? {
                        return Some(located);
                    },
                    () = sleep(LOOK_AGAIN), if !again => {
                        again = true;
                        asked.push(self.look_up_behind(hop));
                    }
                }
            }
        };
        match timeout(LOOK_UP, search).await {
            Ok(Some(located)) => Ok(self.here(located).await),
            _ => Err(FlowError::Unresolved),
        }
    }

    /// Notes that an address did not respond.
    pub(crate) fn failed(&self, address: SocketAddr) {
        let mut silent = locked(&self.silent);
        if silent.len() >= MAX_REMEMBERED && !silent.contains_key(&address) {
            *silent = HashMap::default();
        }
        silent.insert(address, Instant::now());
    }

    /// Notes how long an address took to respond.
    pub(crate) fn answered(&self, address: SocketAddr, took: Duration) {
        locked(&self.silent).remove(&address);
        let mut slow = locked(&self.slow);
        if took > SLOW {
            if slow.len() >= MAX_REMEMBERED && !slow.contains_key(&address) {
                *slow = HashMap::default();
            }
            slow.insert(address, (took * 2).min(LONGEST_PATIENCE));
        } else {
            slow.remove(&address);
        }
    }

    /// How long an address may leave a request without a response if there is another one. One that is known to
    /// respond late may take longer than the others.
    pub(crate) fn patience(&self, address: SocketAddr, others: Duration) -> Duration {
        locked(&self.slow).get(&address).copied().unwrap_or(others).max(others)
    }

    /// Whether an address did not respond the last time.
    pub(crate) fn is_silent(&self, address: SocketAddr) -> bool {
        locked(&self.silent).get(&address).is_some_and(|since| since.elapsed() < SILENT)
    }

    /// Forgets everything, because another network may give other results.
    pub(crate) fn forget(&self) {
        *locked(&self.known) = HashMap::default();
        *locked(&self.silent) = HashMap::default();
        *locked(&self.slow) = HashMap::default();
        *locked(&self.nat64) = None;
    }

    /// Adapts the addresses to this network. If only IPv6 works, they go through NAT64. Silent addresses come last.
    async fn here(&self, mut located: Located) -> Located {
        let stranded = |address: &SocketAddr| address.is_ipv4() && !(self.reaches)(*address);
        if !located.addresses.is_empty() && located.addresses.iter().all(stranded) {
            let prefixes = self.nat64_prefixes().await;
            let mut through = Vec::new();
            for address in &located.addresses {
                for ip in prefixes.iter().filter_map(|prefix| prefix.address(address.ip())) {
                    through.push(SocketAddr::new(ip, address.port()));
                }
            }
            through.truncate(MAX_ADDRESSES);
            if !through.is_empty() {
                located.addresses = through;
            }
        }
        let (last, mut first): (Vec<_>, Vec<_>) =
            located.addresses.into_iter().partition(|address| self.is_silent(*address));
        first.extend(last);
        Located { addresses: first, ..located }
    }

    async fn nat64_prefixes(&self) -> Vec<nat64::Prefix> {
        if let Some(known) = locked(&self.nat64).clone() {
            return known;
        }
        let resolver = self.resolver.clone();
        let asked = self.aside(move || resolver.addresses(nat64::WELL_KNOWN_NAME));
        let Ok(Ok(addresses)) = timeout(LOOK_UP, asked).await else { return Vec::new() };
        let prefixes = nat64::prefixes(&addresses);
        *locked(&self.nat64) = Some(prefixes.clone());
        prefixes
    }

    fn look_up_behind(&self, hop: &Hop) -> oneshot::Receiver<Option<Located>> {
        let (resolver, known, hop) = (self.resolver.clone(), self.known.clone(), hop.clone());
        self.aside(move || {
            let located = find(&*resolver, &hop)?;
            let mut known = locked(&known);
            if known.len() >= MAX_REMEMBERED && !known.contains_key(&hop) {
                *known = HashMap::default();
            }
            known.insert(hop, located.clone());
            Some(located)
        })
    }

    /// Asks on a separate thread. There is no result if the resolver panics, or if too many threads already wait for
    /// it.
    fn aside<T: Send + 'static>(&self, ask: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let thread = self.looking_up.clone();
        let work: Box<dyn FnOnce() + Send> = Box::new(move || {
            // The caller may have stopped waiting.
            let _ = answer.send(ask());
            drop(thread);
        });
        let free = Arc::strong_count(&self.looking_up) <= 1 + MAX_LOOK_UPS;
        if free && let Err(error) = thread::Builder::new().name("sipwake-dns".to_owned()).spawn(work) {
            log::warn!("no thread to look a server up: {error}");
        }
        answered
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::locate::candidates;
    use super::locate::tests::{Zone, hop};
    use super::*;

    /// A resolver that responds only after all questions were asked that can be asked at once.
    struct Together(std::sync::Barrier);

    impl Resolver for Together {
        fn addresses(&self, host: &str) -> Vec<IpAddr> {
            if host == "example.com" {
                self.0.wait();
            }
            vec!["192.0.2.1".parse().expect("an address")]
        }

        fn srv(&self, _: &str) -> Vec<Srv> {
            self.0.wait();
            Vec::new()
        }

        fn naptr(&self, _: &str) -> Vec<Naptr> {
            self.0.wait();
            Vec::new()
        }
    }

    #[tokio::test]
    async fn a_cold_wake_waits_for_the_dns_once() {
        // NAPTR, the domain's addresses, and SRV for each transport. If they were asked one after the other, none would
        // return.
        let questions = 2 + candidates(&hop("example.com", None)).len();
        let addresses = Addresses::new(Arc::new(Together(std::sync::Barrier::new(questions))));
        let found = addresses.of(&hop("example.com", None)).await.expect("it has an address");
        assert_eq!(found.located.addresses, ["192.0.2.1:5060".parse().expect("an address")]);
    }

    /// Knows one prefix, and only the name that shows it.
    struct Nat64(AtomicUsize);

    impl Resolver for Nat64 {
        fn addresses(&self, host: &str) -> Vec<IpAddr> {
            assert_eq!(host, "ipv4only.arpa");
            self.0.fetch_add(1, Ordering::SeqCst);
            vec!["64:ff9b::192.0.0.170".parse().expect("an address")]
        }
    }

    #[tokio::test]
    async fn an_ipv4_server_is_reached_through_nat64_where_only_ipv6_leads_out() {
        let zone = Arc::new(Nat64(AtomicUsize::new(0)));
        let mut addresses = Addresses::new(zone.clone());
        addresses.reaches = |_| false;
        for _ in 0..2 {
            let literal = addresses.of(&hop("192.0.2.33:5070", None)).await.expect("an address");
            assert_eq!(literal.located.addresses, ["[64:ff9b::c000:221]:5070".parse().expect("an address")]);
        }
        assert_eq!(zone.0.load(Ordering::SeqCst), 1, "the prefix is asked for once");
        addresses.forget();
        addresses.reaches = |_| true;
        let literal = addresses.of(&hop("192.0.2.33:5070", None)).await.expect("an address");
        assert_eq!(literal.located.addresses, ["192.0.2.33:5070".parse().expect("an address")]);
        assert_eq!(zone.0.load(Ordering::SeqCst), 1, "and only if it is needed");
    }

    #[tokio::test]
    async fn an_address_that_did_not_answer_comes_last_until_the_network_changes() {
        let addresses = Addresses::new(Arc::new(Zone::default()));
        let hop = hop("example.com", Some(Transport::Udp));
        let order = async || addresses.of(&hop).await.expect("it has addresses").located.addresses;
        let first = order().await;
        addresses.failed(first[0]);
        assert_eq!(order().await, [first[1], first[0]]);
        addresses.forget();
        assert_eq!(order().await, first);
    }

    #[tokio::test]
    async fn a_resolver_that_panics_counts_as_one_without_an_answer() {
        struct Panics;
        impl Resolver for Panics {
            fn addresses(&self, _: &str) -> Vec<IpAddr> {
                panic!("as a test")
            }
        }
        let addresses = Addresses::new(Arc::new(Panics));
        assert!(matches!(addresses.of(&hop("example.com", None)).await, Err(FlowError::Unresolved)));
    }

    #[tokio::test]
    async fn a_question_without_an_answer_is_asked_again() {
        struct LosesOne(Mutex<Option<std::sync::mpsc::Receiver<()>>>);
        impl Resolver for LosesOne {
            fn addresses(&self, _: &str) -> Vec<IpAddr> {
                let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
                // It returns at the end of the test.
                if let Some(end) = first {
                    let _ = end.recv();
                }
                vec!["192.0.2.1".parse().expect("an address")]
            }
        }
        let (_end, ended) = std::sync::mpsc::channel();
        let addresses = Addresses::new(Arc::new(LosesOne(Mutex::new(Some(ended)))));
        let found = addresses.look_up(&hop("example.com:5060", None)).await.expect("the second response came");
        assert_eq!(found.addresses, ["192.0.2.1:5060".parse().expect("an address")]);
    }

    #[tokio::test]
    async fn a_resolver_that_never_returns_takes_at_most_64_threads() {
        struct Hangs(Mutex<Option<std::sync::mpsc::Receiver<()>>>, AtomicUsize);
        impl Resolver for Hangs {
            fn addresses(&self, _: &str) -> Vec<IpAddr> {
                self.1.fetch_add(1, Ordering::SeqCst);
                // The first one waits for the end of the test, and the others wait for the first one.
                let end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = end.as_ref().map(std::sync::mpsc::Receiver::recv);
                Vec::new()
            }
        }
        let (end, ended) = std::sync::mpsc::channel();
        let resolver = Arc::new(Hangs(Mutex::new(Some(ended)), AtomicUsize::default()));
        let addresses = Addresses::new(resolver.clone());
        let hop = hop("example.com:5060", None);
        let asked: Vec<_> = (0..3 * MAX_LOOK_UPS).map(|_| addresses.look_up_behind(&hop)).collect();
        assert!(matches!(addresses.look_up(&hop).await, Err(FlowError::Unresolved)), "at once");
        drop(end);
        let mut answers = 0;
        for answer in asked {
            answers += usize::from(answer.await.is_ok());
        }
        assert_eq!((answers, resolver.1.load(Ordering::SeqCst)), (MAX_LOOK_UPS, MAX_LOOK_UPS));
    }

    #[tokio::test]
    async fn a_known_address_is_used_at_once_and_looked_up_again_in_the_background() {
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
    async fn the_numbers_of_remembered_names_and_silent_addresses_are_bounded() {
        struct Any;
        impl Resolver for Any {
            fn addresses(&self, _: &str) -> Vec<IpAddr> {
                vec!["192.0.2.1".parse().expect("an address")]
            }
        }
        let addresses = Addresses::new(Arc::new(Any));
        let name = |number: usize| hop(&format!("host{number}.example.com:5060"), None);
        for number in 0..MAX_REMEMBERED {
            addresses.of(&name(number)).await.expect("it has an address");
        }
        addresses.look_up(&name(0)).await.expect("it has an address");
        assert_eq!(locked(&addresses.known).len(), MAX_REMEMBERED, "a known name does not remove another one");
        for number in MAX_REMEMBERED..10 * MAX_REMEMBERED {
            let hop = name(number);
            assert!(!addresses.of(&hop).await.expect("it has an address").remembered);
            // It is known, and looked up again in the background.
            addresses.of(&hop).await.expect("it has an address");
            addresses.failed(SocketAddr::from(([192, 0, 2, 1], number as u16)));
            assert!(locked(&addresses.known).len() <= MAX_REMEMBERED);
            assert!(locked(&addresses.silent).len() <= MAX_REMEMBERED);
        }
        assert!(!locked(&addresses.known).is_empty() && !locked(&addresses.silent).is_empty());
    }

    #[tokio::test]
    async fn literal_addresses_need_no_resolver() {
        let zone = Arc::new(Zone::default());
        let addresses = Addresses::new(zone.clone());
        let literal = addresses.of(&hop("[2001:db8::9]", Some(Transport::Tls))).await.expect("an address");
        assert_eq!(literal.located.addresses, ["[2001:db8::9]:5061".parse().expect("an address")]);
        assert_eq!(zone.asked.load(Ordering::SeqCst), 0);
    }
}
