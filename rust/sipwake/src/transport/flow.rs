//! A flow at one of the server's addresses after the other, until one of them serves (RFC 3263 section 4.3).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::{FlowError, FlowId};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
#[cfg(feature = "ws")]
use tokio_tungstenite::WebSocketStream;

use super::line::Line;
use super::route::Route;
use super::{
    FlowHandle, Happening, Happenings, Network, Orders, Outgoing, Stream, Up, connect, stream, udp, unreachable,
};
use crate::task::Handful;

/// How long one of several addresses may take to shake hands, TLS and WebSocket together.
const HANDSHAKES_OF_ONE: Duration = Duration::from_secs(3);
/// How long the last address may take. A segment lost three times in a row is made good within it (RFC 6298: after 1, 2 and 4
/// seconds).
pub(crate) const HANDSHAKES: Duration = Duration::from_secs(8);
/// How long an address that was left is still heard: timer F, in which its answer counts (RFC 3261 section 17.1.2.2).
const LATE: Duration = Duration::from_secs(32);
/// How often a silent address, which is the last one, is looked at for another one.
const LOOK: Duration = Duration::from_secs(1);

type Carried = Pin<Box<dyn Future<Output = Result<(), FlowError>> + Send>>;

/// What a flow's task works with.
pub(super) struct Flow {
    pub(super) id: FlowId,
    pub(super) network: Arc<Network>,
    pub(super) orders: Arc<Orders>,
    pub(super) happenings: Happenings,
}

/// A connection to one address.
struct Reached {
    link: Link,
    remote: SocketAddr,
    local: SocketAddr,
}

enum Link {
    Udp(UdpSocket),
    Stream(Stream),
    #[cfg(feature = "ws")]
    Ws(Box<WebSocketStream<Stream>>),
}

impl Link {
    fn carry(self, queue: mpsc::Receiver<Outgoing>, line: Arc<Line>) -> Carried {
        match self {
            Self::Udp(socket) => Box::pin(udp::carry(socket, queue, line)),
            Self::Stream(stream) => Box::pin(stream::carry(stream, queue, line)),
            #[cfg(feature = "ws")]
            Self::Ws(socket) => Box::pin(super::ws::carry(*socket, queue, line)),
        }
    }
}

/// How a stay at one address ends.
enum Stay {
    Over(Result<(), FlowError>),
    /// The connection broke before the address was heard.
    Broken(FlowError),
    /// There is another address to go to. The connection still stands.
    Left(FlowError),
}

impl Flow {
    /// Carries the flow until it is over.
    pub(super) async fn run(
        self,
        hop: &Hop,
        mut local_port: Option<u16>,
        mut queue: mpsc::Receiver<Outgoing>,
    ) -> Result<(), FlowError> {
        let mut route = Route::find(hop, &self.network).await?;
        if route.transport() != hop.transport {
            self.tell(Happening::Chosen(route.transport())).await;
        }
        let hop = &Hop { transport: route.transport(), ..hop.clone() };
        let mut left = None;
        let mut moved = false;
        loop {
            let Some(Reached { link, remote, local }) = reach(hop, &mut route, local_port, &self.network).await else {
                return Err(route.fault());
            };
            if hop.transport == Transport::Udp {
                local_port = Some(local.port());
            }
            let peers = self.orders.peers.subscribe();
            let line = Line::new(self.id, remote, self.network.clone(), self.happenings.clone(), peers);
            let (outgoing, to_send) = mpsc::channel(1);
            let mut carried = link.carry(to_send, line.clone());
            // What waits is part of transactions that end with the address that was left.
            while moved && queue.try_recv().is_ok() {}
            self.tell(Happening::Up(Up { local, leads_on: route.leads_on_from(remote), left: left.take() })).await;
            match self.stay(hop, &mut route, &mut carried, &line, &outgoing, &mut queue, (remote, local)).await {
                Stay::Over(Ok(())) => {
                    drop(outgoing);
                    return carried.await;
                }
                Stay::Over(Err(error)) => return Err(error),
                Stay::Broken(error) => route.leave(remote, error),
                Stay::Left(error) => {
                    route.leave(remote, error);
                    left = Some(self.leave(carried, &line, outgoing));
                }
            }
            moved = true;
        }
    }

    /// Stays at an address while it serves, or while there is no other.
    #[allow(clippy::too_many_arguments, reason = "all that a stay at an address knows")]
    async fn stay(
        &self,
        hop: &Hop,
        route: &mut Route<'_>,
        carried: &mut Carried,
        line: &Line,
        outgoing: &mpsc::Sender<Outgoing>,
        queue: &mut mpsc::Receiver<Outgoing>,
        (remote, local): (SocketAddr, SocketAddr),
    ) -> Stay {
        let mut looked = false;
        let mut look_at = Instant::now();
        let mut looking = Handful::new();
        loop {
            let silent_at = line.silent_at();
            tokio::select! {
                ended = &mut *carried => return match ended {
                    Err(error) if !line.heard() => Stay::Broken(error),
                    Err(error) => Stay::Over(Err(error)),
                    Ok(()) => Stay::Over(Err(FlowError::Closed)),
                },
                forwarded = forward(outgoing, queue, line) => if !forwarded {
                    return Stay::Over(Ok(()));
                },
                () = sleep_until(silent_at.unwrap_or(look_at).max(look_at)), if silent_at.is_some() => {
                    // An answer may have come, and another request gone out since.
                    if line.silent_at().is_none_or(|at| at > Instant::now()) {
                        continue;
                    }
                    if line.heard() {
                        route.served();
                    }
                    route.recall();
                    if route.leads_on_from(remote) {
                        return Stay::Left(FlowError::Unreachable("no answer".into()));
                    }
                    if !std::mem::replace(&mut looked, true) {
                        looking.push(self.network.addresses.look_up(hop));
                    }
                    look_at = Instant::now() + LOOK;
                }
                Some(found) = looking.next() => {
                    if let Ok(way) = found {
                        route.take(way);
                    }
                    // What it found counts at the next look.
                    look_at = Instant::now();
                }
                () = self.orders.next_address.notified() => {
                    if route.leads_on_from(remote) {
                        return Stay::Left(FlowError::Unreachable("the server cannot serve".into()));
                    }
                    self.tell(Happening::Up(Up { local, leads_on: false, left: None })).await;
                }
            }
        }
    }

    /// Leaves a connection, but hears it for a while: a binding that it brings about after all has to be removed.
    fn leave(&self, carried: Carried, line: &Line, outgoing: mpsc::Sender<Outgoing>) -> (FlowId, FlowHandle) {
        static NEXT: AtomicU64 = AtomicU64::new(FlowId::FIRST_LEFT.0);
        let id = FlowId(NEXT.fetch_add(1, Ordering::Relaxed));
        line.rename(id);
        let late = async move { timeout(LATE, carried).await.unwrap_or(Err(FlowError::Closed)) };
        (id, FlowHandle::carry(late, id, self.happenings.clone(), outgoing, self.orders.clone()))
    }

    async fn tell(&self, happening: Happening) {
        // Where the driver is gone, the flow ends with its handle.
        let _ = self.happenings.send((self.id, happening)).await;
    }
}

/// Hands one message on to the connection. Returns `false` when the driver has let go. Giving up waiting loses nothing.
async fn forward(outgoing: &mpsc::Sender<Outgoing>, queue: &mut mpsc::Receiver<Outgoing>, line: &Line) -> bool {
    let Ok(place) = outgoing.reserve().await else {
        // The connection has ended, and says so itself.
        return std::future::pending().await;
    };
    let Some(message) = queue.recv().await else { return false };
    if message.to.is_none() {
        line.sent(&message.bytes);
    }
    place.send(message);
    true
}

/// Connects to the first address that takes us; `None` when none does.
async fn reach(hop: &Hop, route: &mut Route<'_>, local_port: Option<u16>, network: &Network) -> Option<Reached> {
    loop {
        if hop.transport == Transport::Udp {
            let Some(remote) = route.untried().first().copied() else {
                if route.look_again().await { continue } else { return None }
            };
            match udp::open(remote, local_port) {
                Ok((socket, local)) => return Some(Reached { link: Link::Udp(socket), remote, local }),
                Err(error) => route.leave(remote, unreachable(&error)),
            }
            continue;
        }
        let (remote, stream) = dial(route).await?;
        let limit = if route.leads_on_from(remote) { HANDSHAKES_OF_ONE } else { HANDSHAKES };
        let agreed = match stream.local_addr() {
            Ok(local) => shake_hands(stream, hop, network, Instant::now() + limit).await.map(|link| (link, local)),
            Err(error) => Err(unreachable(&error)),
        };
        match agreed {
            Ok((link, local)) => return Some(Reached { link, remote, local }),
            Err(error) => route.leave(remote, error),
        }
    }
}

/// Connects to one of the addresses that are left; `None` when there is none.
pub(super) async fn dial(route: &mut Route<'_>) -> Option<(SocketAddr, TcpStream)> {
    loop {
        let untried = route.untried();
        if untried.is_empty() && !route.look_again().await {
            return None;
        }
        if let Some(connected) = connect::connect(&untried, |address, why| route.leave(address, why)).await {
            return Some(connected);
        }
    }
}

#[cfg_attr(
    not(any(feature = "tls", feature = "ws")),
    allow(unused_variables, clippy::unused_async, reason = "TCP has none")
)]
async fn shake_hands(stream: TcpStream, hop: &Hop, network: &Network, by: Instant) -> Result<Link, FlowError> {
    let stream: Stream = match hop.transport {
        Transport::Udp | Transport::Tcp | Transport::Ws => Box::new(stream),
        #[cfg(feature = "tls")]
        Transport::Tls | Transport::Wss => {
            Box::new(super::tls::handshake(stream, &hop.host, network.tls.clone()?, by).await?)
        }
        #[cfg(not(feature = "tls"))]
        Transport::Tls | Transport::Wss => return Err(FlowError::Unsupported),
    };
    if hop.transport.is_websocket() {
        #[cfg(feature = "ws")]
        return Ok(Link::Ws(Box::new(super::ws::handshake(stream, hop, by).await?)));
        #[cfg(not(feature = "ws"))]
        return Err(FlowError::Unsupported);
    }
    Ok(Link::Stream(stream))
}
