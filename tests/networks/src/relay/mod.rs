//! A relay for UDP datagrams and TCP byte streams that acts as a bad network: it delays, loses, doubles and reorders them,
//! depending on a seed.
//!
//! The kernel of a test machine rarely has a network emulator; this relay needs no special rights. To the server, the relay
//! looks like a NAT: each client comes from a port of the relay.

mod chance;
mod tcp;
mod udp;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use chance::Deck;

/// What a network does to its traffic, the same in both directions.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// Decides which datagrams are hit.
    pub seed: u64,
    /// The delay in one direction. Opening a TCP connection takes two delays.
    pub delay: Duration,
    /// How many of ten datagrams are lost.
    pub lost: usize,
    /// How many of ten datagrams come twice.
    pub doubled: usize,
    /// How many of ten datagrams come [`OVERTAKEN`] later than the others.
    pub late: usize,
}

/// How much later a datagram comes that others overtake.
pub const OVERTAKEN: Duration = Duration::from_millis(80);

impl Path {
    /// Returns a path with this round-trip time.
    pub fn of_round_trip(round_trip: Duration) -> Self {
        Self { delay: round_trip / 2, ..Self::default() }
    }
}

/// What the clients of a relay have sent and received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Connections opened.
    pub connections: usize,
    /// Datagrams that the clients sent, including lost ones.
    pub datagrams: usize,
    /// Datagrams that were lost, in either direction.
    pub lost: usize,
    /// Bytes that the clients sent, without the headers of IP, UDP and TCP.
    pub sent: usize,
    /// Bytes that reached the clients.
    pub received: usize,
    /// When the first client connected or sent something.
    pub first: Option<Instant>,
    /// When the last bytes reached a client.
    pub last: Option<Instant>,
}

/// The direction of a datagram or of a piece of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What the tasks of a relay share.
struct Shared {
    path: Path,
    to: SocketAddr,
    state: Mutex<State>,
    /// While this is set, nothing passes: datagrams are lost, and streams stop.
    outage: watch::Sender<bool>,
    /// Increased to break all connections.
    breaks: watch::Sender<u64>,
    /// Increased to send from new ports.
    ports: watch::Sender<u64>,
}

struct State {
    up: Deck,
    down: Deck,
    tally: Tally,
    /// Future connections break after this many bytes from the client.
    short: Vec<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running relay. Dropping it ends everything that it carries.
pub struct Relay {
    shared: Arc<Shared>,
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Starts a relay to a server on a free port of loopback, for UDP and for TCP.
    pub async fn start(to: SocketAddr, path: Path) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), to, path).await
    }

    /// Starts a relay to a server on a free port of an address.
    pub async fn start_at(address: std::net::IpAddr, to: SocketAddr, path: Path) -> Self {
        let (udp, tcp) = bind(address).await;
        let addr = tcp.local_addr().expect("it is bound");
        let state = State {
            up: Deck::new(path.seed, &path),
            down: Deck::new(!path.seed, &path),
            tally: Tally::default(),
            short: Vec::new(),
        };
        let shared = Arc::new(Shared {
            path,
            to,
            state: Mutex::new(state),
            outage: watch::Sender::new(false),
            breaks: watch::Sender::new(0),
            ports: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(udp::relay(Arc::new(udp), shared.clone()));
        tasks.spawn(tcp::relay(tcp, shared.clone()));
        Self { shared, addr, _tasks: tasks }
    }

    /// Returns where clients reach it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Begins or ends an outage: datagrams are lost, and streams stop.
    pub fn outage(&self, on: bool) {
        self.shared.outage.send_replace(on);
    }

    /// Breaks all connections with a reset to both sides.
    pub fn break_connections(&self) {
        self.shared.breaks.send_modify(|count| *count += 1);
    }

    /// Lets each of the next connections break after this many bytes from the client, in this order.
    pub fn break_after(&self, bytes: &[usize]) {
        self.shared.state().short = bytes.iter().rev().copied().collect();
    }

    /// Sends later datagrams from new ports, like a NAT that has forgotten its mappings. What the server still sends to
    /// the old ports is lost.
    pub fn rebind(&self) {
        self.shared.ports.send_modify(|count| *count += 1);
    }

    /// Returns what the relay carried since the start or the last [`reset`](Self::reset).
    pub fn tally(&self) -> Tally {
        self.shared.state().tally
    }

    /// Sets these counts to zero.
    pub fn reset(&self) {
        self.shared.state().tally = Tally::default();
    }
}

/// Binds UDP and TCP to the same port.
async fn bind(address: std::net::IpAddr) -> (UdpSocket, TcpListener) {
    for _ in 0..50 {
        let tcp = TcpListener::bind((address, 0)).await.expect("a free port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("it is bound")).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}
