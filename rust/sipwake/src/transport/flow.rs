//! A flow tries the server's addresses one after the other, until one of them serves (RFC 3263 section 4.3).

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
    FlowEvent, FlowHandle, Happenings, Network, Orders, Outgoing, Stream, Up, connect, stream, udp, unreachable,
};
use crate::resolve::PATIENCE;
use crate::task::Futures;

/// How long the handshakes of TLS and WebSocket together may take at one of several addresses.
const HANDSHAKES_OF_ONE: Duration = Duration::from_secs(3);
/// How long they may take at the last address. That is enough for a segment that is lost three times in a row (RFC
/// 6298: it is sent again after 1, 2 and 4 seconds).
pub(crate) const HANDSHAKES: Duration = Duration::from_secs(8);
/// How long an old address is still listened to: timer F, during which its response counts (RFC 3261 section 17.1.2.2).
const LATE: Duration = Duration::from_secs(32);
/// How often a flow at a silent last address looks for another one.
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

/// How the stay at one address ends.
enum Stay {
    Over(Result<(), FlowError>),
    /// The connection broke before anything came from the address.
    Broken(FlowError),
    /// There is another address to go to. The connection is still open.
    Left(FlowError),
}

impl Flow {
    /// Runs the flow until it is over.
    pub(super) async fn run(
        self,
        hop: &Hop,
        mut local_port: Option<u16>,
        mut queue: mpsc::Receiver<Outgoing>,
    ) -> Result<(), FlowError> {
        let mut route = Route::find(hop, &self.network).await?;
        if route.transport() != hop.transport {
            self.tell(FlowEvent::Chosen(route.transport())).await;
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
            let is_stream = hop.transport.is_reliable() && !hop.transport.is_websocket();
            let line = Line::new(self.id, (remote, is_stream), self.network.clone(), self.happenings.clone(), peers);
            let (outgoing, to_send) = mpsc::channel(1);
            let mut carried = link.carry(to_send, line.clone());
            // Queued messages belong to transactions that end with the old address.
            while moved && queue.try_recv().is_ok() {}
            self.tell(FlowEvent::Up(Up { local, leads_on: route.leads_on_from(remote), left: left.take() })).await;
            match self.stay(hop, &mut route, &mut carried, &line, &outgoing, &mut queue, (remote, local)).await {
                Stay::Over(Ok(())) => {
                    line.end();
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

    /// Stays at an address as long as it serves, or as long as there is no other.
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
        let mut looking = Futures::new();
        loop {
            let patience = if line.heard() { PATIENCE } else { route.share(remote, PATIENCE) };
            let silent_at = line.silent_at(patience);
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
                    // Meanwhile a response may have come, and another request may have been sent.
                    if line.silent_at(patience).is_none_or(|at| at > Instant::now()) {
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
                    if let Ok(located) = found {
                        route.take(located);
                    }
                    // The next check, which follows at once, uses what was found.
                    look_at = Instant::now();
                }
                () = self.orders.next_address.notified() => {
                    if route.leads_on_from(remote) {
                        return Stay::Left(FlowError::Unreachable("the server cannot serve".into()));
                    }
                    self.tell(FlowEvent::Up(Up { local, leads_on: false, left: None })).await;
                }
            }
        }
    }

    /// Leaves a connection, but listens to it for a while. If it makes a binding after all, that must be removed.
    fn leave(&self, carried: Carried, line: &Line, outgoing: mpsc::Sender<Outgoing>) -> (FlowId, FlowHandle) {
        static NEXT: AtomicU64 = AtomicU64::new(FlowId::FIRST_LEFT.0);
        let id = FlowId(NEXT.fetch_add(1, Ordering::Relaxed));
        line.rename(id);
        let late = async move { timeout(LATE, carried).await.unwrap_or(Err(FlowError::Closed)) };
        (id, FlowHandle::carry(late, id, self.happenings.clone(), outgoing, self.orders.clone()))
    }

    async fn tell(&self, happening: FlowEvent) {
        // Without a driver, the flow ends with its handle.
        let _ = self.happenings.send((self.id, happening)).await;
    }
}

/// Passes one message on to the connection. Returns `false` if the driver has dropped the flow. If the caller stops
/// waiting, nothing is lost.
async fn forward(outgoing: &mpsc::Sender<Outgoing>, queue: &mut mpsc::Receiver<Outgoing>, line: &Line) -> bool {
    let Ok(place) = outgoing.reserve().await else {
        // The connection has ended, and reports that itself.
        return std::future::pending().await;
    };
    let Some(message) = queue.recv().await else { return false };
    if message.to.is_none() {
        line.sent(&message.bytes);
    }
    place.send(message);
    true
}

/// Connects to the first address that accepts. `None` if none does.
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
        let limit = if route.leads_on_from(remote) { route.share(remote, HANDSHAKES_OF_ONE) } else { HANDSHAKES };
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

/// Connects to one of the addresses that are left. `None` if there is none.
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
