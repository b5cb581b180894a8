//! Flows. Each has a task that opens it, carries bytes in both directions, and reports when it is over.

mod connect;
mod flow;
mod line;
mod route;
mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod udp;
#[cfg(feature = "ws")]
mod ws;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::{FlowError, FlowId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::resolve::Addresses;
use crate::task::spawn;
use flow::Flow;
#[cfg(feature = "tls")]
pub(crate) use flow::HANDSHAKES;
use route::Route;

/// How many messages may wait for one flow, and how many events for the driver. A full queue makes its writer wait. A
/// TCP peer then sees a closed window.
const QUEUE: usize = 64;
/// How long a closed flow may take to send its queue. A refusal from just before the end still gets out.
const LINGER: Duration = Duration::from_secs(1);
/// The most bytes that are read at once: the largest datagram.
const PIECE: usize = 65_535;

/// A connection with or without TLS. The code that runs over it exists once for both.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}
pub(crate) type Stream = Box<dyn Connection>;

/// What happens on a flow.
#[derive(Debug)]
pub(crate) enum FlowEvent {
    /// The flow is up. This comes again when it has moved to another address of the server.
    Up(Up),
    /// The DNS has chosen this transport for a flow that is being opened.
    Chosen(Transport),
    Input(Vec<u8>),
    /// A datagram that does not come from the flow's peer.
    Stranger(SocketAddr, Vec<u8>),
    Down(FlowError),
}

#[derive(Debug)]
pub(crate) struct Up {
    /// Our address.
    pub(crate) local: SocketAddr,
    /// The server has more addresses that were not tried.
    pub(crate) leads_on: bool,
    /// The flow at its old address. A response may still come there.
    pub(crate) left: Option<(FlowId, FlowHandle)>,
}

/// One message to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// Over UDP, the destination if it is not the flow's peer.
    to: Option<SocketAddr>,
}

/// What all flows of a client share.
pub(crate) struct Network {
    /// Over UDP, datagrams from all peers are accepted, and not only the server's.
    pub(crate) unsolicited: bool,
    pub(crate) addresses: Addresses,
    #[cfg(feature = "tls")]
    pub(crate) tls: Result<Arc<rustls::ClientConfig>, FlowError>,
}

impl Network {
    /// Opens a TCP stream to a hop, for another protocol than SIP.
    pub(crate) async fn dial_tcp(&self, hop: &Hop) -> Result<TcpStream, FlowError> {
        let mut route = Route::find(hop, self).await?;
        match flow::dial(&mut route).await {
            Some((_, stream)) => Ok(stream),
            None => Err(route.fault()),
        }
    }
}

pub(crate) type Happenings = mpsc::Sender<(FlowId, FlowEvent)>;

/// The driver's end of a flow. When it is dropped, the flow sends its queue within [`LINGER`] and closes.
#[derive(Debug)]
pub(crate) struct FlowHandle {
    outgoing: mpsc::Sender<Outgoing>,
    orders: Arc<Orders>,
    _alive: oneshot::Sender<()>,
}

/// What the driver asks of a flow besides sending.
#[derive(Debug)]
struct Orders {
    next_address: Notify,
    /// Whether datagrams from other peers are wanted.
    peers: watch::Sender<bool>,
}

impl FlowHandle {
    /// Opens a flow. Its events go to `happenings`.
    pub(crate) fn open(
        id: FlowId,
        hop: Hop,
        local_port: Option<u16>,
        network: Arc<Network>,
        happenings: Happenings,
    ) -> Self {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let orders = Arc::new(Orders { next_address: Notify::new(), peers: watch::channel(network.unsolicited).0 });
        let flow = Flow { id, network, orders: orders.clone(), happenings: happenings.clone() };
        Self::carry(async move { flow.run(&hop, local_port, queue).await }, id, happenings, outgoing, orders)
    }

    /// Returns the driver's end of a flow that runs from here on, until it ends or is dropped.
    fn carry(
        carried: impl Future<Output = Result<(), FlowError>> + Send + 'static,
        id: FlowId,
        happenings: Happenings,
        outgoing: mpsc::Sender<Outgoing>,
        orders: Arc<Orders>,
    ) -> Self {
        let (alive, dropped) = oneshot::channel::<()>();
        spawn(async move {
            let carry = async {
                let error = carried.await.err().unwrap_or(FlowError::Closed);
                // The driver may have ended already.
                let _ = happenings.send((id, FlowEvent::Down(error))).await;
            };
            let linger = async {
                let _ = dropped.await;
                sleep(LINGER).await;
            };
            tokio::select! {
                () = carry => {}
                () = linger => {}
            }
        });
        Self { outgoing, orders, _alive: alive }
    }

    /// Asks the flow to leave its address, if there is another one.
    pub(crate) fn next_address(&self) {
        self.orders.next_address.notify_one();
    }

    /// Says whether datagrams from other peers are wanted.
    pub(crate) fn hear_peers(&self, wanted: bool) {
        self.orders.peers.send_replace(wanted);
    }

    /// Queues bytes for the peer, as [`send_to`](Self::send_to) does.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        self.send_to(bytes, None);
    }

    /// Queues bytes for the peer or, over UDP, for another address. A flow that cannot keep up loses them: over UDP,
    /// SIP retransmits, and a stream that is stuck like this is dead.
    pub(crate) fn send_to(&self, bytes: Vec<u8>, to: Option<SocketAddr>) {
        if self.outgoing.try_send(Outgoing { bytes, to }).is_err() {
            log::warn!("a flow does not take what is sent; dropped");
        }
    }
}

fn unreachable(error: &std::io::Error) -> FlowError {
    FlowError::Unreachable(error.kind().to_string())
}

/// Returns why a connection broke. TLS puts its own reason inside an I/O error.
fn broken(error: &std::io::Error) -> FlowError {
    #[cfg(feature = "tls")]
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return crate::trust::flow_error(error);
    }
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => FlowError::Closed,
        _ => unreachable(error),
    }
}

#[cfg(test)]
mod tests {
    use sipwake_core::account::{Account, AccountConfig};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::options::Options;

    const MESSAGE: usize = 60_000;

    fn message(number: usize) -> Vec<u8> {
        vec![number as u8; MESSAGE]
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_costs_at_most_64_messages_and_gets_no_partial_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let mut config = AccountConfig::new("alice@example.com", "secret");
        config.gateways = vec![listener.local_addr().expect("bound").to_string()];
        config.transport = Some(Transport::Tcp);
        let hop = Account::parse(config).expect("valid").hops()[0].clone();
        let (happenings, mut happened) = mpsc::channel(4);
        let handle = FlowHandle::open(FlowId(1), hop, None, Arc::new(Options::default().network()), happenings);
        let (mut peer, _) = listener.accept().await.expect("it connects");
        assert!(matches!(happened.recv().await, Some((_, FlowEvent::Up(_)))));

        // What fits into the system's buffers does not wait here.
        let mut sent = 0;
        while handle.outgoing.capacity() > 0 {
            assert!(sent < 2000, "a hundred megabytes are taken from a peer that does not read");
            handle.send(message(sent));
            sent += 1;
            sleep(Duration::from_millis(1)).await;
        }
        for number in sent..sent + 1000 {
            handle.send(message(number));
        }
        assert_eq!((handle.outgoing.capacity(), handle.outgoing.max_capacity()), (0, QUEUE));

        let mut heard = vec![0; MESSAGE];
        for number in 0..sent {
            timeout(Duration::from_secs(20), peer.read_exact(&mut heard)).await.expect("in time").expect("all of it");
            assert!(heard == message(number), "message {number} is whole and in its place");
        }
        handle.send(message(7));
        timeout(Duration::from_secs(20), peer.read_exact(&mut heard)).await.expect("in time").expect("all of it");
        assert!(heard == message(7), "the part that did not fit is dropped, later parts are not");
    }
}
