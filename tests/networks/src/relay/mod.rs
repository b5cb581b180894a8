//! A relay for UDP datagrams and TCP byte streams that stands in for a bad network: it delays, loses, doubles and reorders
//! by a seed.
//!
//! The kernel of a test machine has seldom a network emulator; this one needs no rights. To the server, the relay is what a
//! NAT is: each client comes from a port of the relay's.

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
    /// How long the way takes, one way. A TCP connection takes two of them to open.
    pub delay: Duration,
    /// Of ten datagrams, so many are lost.
    pub lost: usize,
    /// Of ten datagrams, so many come twice.
    pub doubled: usize,
    /// Of ten datagrams, so many come [`OVERTAKEN`] later than the others.
    pub late: usize,
}

/// How much later a datagram comes that others overtake.
pub const OVERTAKEN: Duration = Duration::from_millis(80);

impl Path {
    /// Returns a path whose round trip takes so long.
    pub fn of_round_trip(round_trip: Duration) -> Self {
        Self { delay: round_trip / 2, ..Self::default() }
    }
}

/// What the clients of a relay have sent and received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Connections opened.
    pub connections: usize,
    /// Datagrams the clients sent, the lost ones included.
    pub datagrams: usize,
    /// Datagrams that were lost, either way.
    pub lost: usize,
    /// Bytes the clients sent, without the headers of IP, UDP and TCP.
    pub sent: usize,
    /// Bytes that reached the clients.
    pub received: usize,
    /// When the first client knocked.
    pub first: Option<Instant>,
    /// When the last bytes reached a client.
    pub last: Option<Instant>,
}

/// The way of a datagram or of a piece of a stream.
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
    /// Nothing passes while this is set: datagrams are lost, streams stand still.
    outage: watch::Sender<bool>,
    /// Counted up to break all connections.
    breaks: watch::Sender<u64>,
    /// Counted up to send from new ports.
    ports: watch::Sender<u64>,
}

struct State {
    up: Deck,
    down: Deck,
    tally: Tally,
    /// Connections to come break after so many bytes of the client's.
    short: Vec<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running relay; dropping it ends it with all that it carries.
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

    /// Begins or ends an outage: datagrams are lost, streams stand still.
    pub fn outage(&self, on: bool) {
        self.shared.outage.send_replace(on);
    }

    /// Breaks all connections with a reset to either side.
    pub fn break_connections(&self) {
        self.shared.breaks.send_modify(|count| *count += 1);
    }

    /// Lets each of the next connections break after so many bytes of the client's, in this order.
    pub fn break_after(&self, bytes: &[usize]) {
        self.shared.state().short = bytes.iter().rev().copied().collect();
    }

    /// Sends the datagrams that follow from new ports, as a NAT does that has forgotten its mappings. What the server
    /// still sends to the old ones is lost.
    pub fn rebind(&self) {
        self.shared.ports.send_modify(|count| *count += 1);
    }

    /// Returns what was carried since the start or the last [`reset`](Self::reset).
    pub fn tally(&self) -> Tally {
        self.shared.state().tally
    }

    /// Forgets what was carried.
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
