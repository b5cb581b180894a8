//! Sockets: one UDP socket, and any number of connections that carry SIP.
//!
//! A connection-oriented transport implements `Connection`. TCP is here; TLS and WebSocket can be added.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::parse::frame;

/// The id of a flow (RFC 5626): a connection, or a pair of UDP addresses. No id is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

static LAST_FLOW: AtomicU64 = AtomicU64::new(0);

impl FlowId {
    fn fresh() -> FlowId {
        FlowId(LAST_FLOW.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A SIP transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams, with the timers of RFC 3261.
    Udp,
    /// A stream.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket inside TLS.
    Wss,
}

impl Transport {
    /// Returns the name in the Via.
    pub fn via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    pub(crate) fn is_reliable(self) -> bool {
        self != Transport::Udp
    }
}

/// A connection that delivers whole messages and sends any bytes.
pub(crate) trait Connection: Send + 'static {
    /// Returns the next message or keep-alive; `None` when the peer has finished. Safe to cancel.
    fn receive(&mut self) -> impl Future<Output = Option<Vec<u8>>> + Send;
    /// Sends bytes as they are.
    fn send(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Makes the next drop abort the connection instead of closing it.
    fn arm_reset(&mut self);
}

/// SIP over TCP (RFC 3261, 18.3).
pub(crate) struct TcpConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection for TcpConnection {
    async fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            match frame(&self.buffer) {
                Ok(Some(length)) => return Some(self.buffer.drain(..length).collect()),
                Ok(None) => {}
                Err(_) => return None,
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    fn arm_reset(&mut self) {
        let _ = self.stream.set_zero_linger();
    }
}

/// What the sockets report to the gateway.
#[derive(Debug)]
pub(crate) enum Arrival {
    Opened { out: mpsc::Sender<Outgoing>, transport: Transport, remote: SocketAddr, flow: FlowId },
    Bytes { flow: FlowId, bytes: Vec<u8> },
    Datagram { remote: SocketAddr, bytes: Vec<u8> },
    Closed { flow: FlowId },
    Upstream { user: String, status: u16, expires: u32 },
}

/// What the gateway tells a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Bytes(Vec<u8>),
    Close,
    Reset,
}

enum Out {
    Udp,
    Connection(mpsc::Sender<Outgoing>),
}

/// An open flow.
pub(crate) struct Flow {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    out: Out,
}

const MAX_FLOWS: usize = 10_000;

/// Every open flow, and the tasks that serve them. Dropping it closes all.
pub(crate) struct Flows {
    udp: Arc<UdpSocket>,
    open: HashMap<FlowId, Flow>,
    by_address: HashMap<SocketAddr, FlowId>,
    _tasks: JoinSet<()>,
}

impl Flows {
    /// Binds UDP and TCP to the same port and starts to listen.
    pub(crate) async fn listen(
        address: SocketAddr,
        arrivals: mpsc::Sender<Arrival>,
    ) -> io::Result<(Flows, SocketAddr)> {
        let (udp, tcp) = bind_both(address).await?;
        let local = tcp.local_addr()?;
        let udp = Arc::new(udp);
        let mut tasks = JoinSet::new();
        tasks.spawn(read_datagrams(Arc::clone(&udp), arrivals.clone()));
        tasks.spawn(accept(tcp, arrivals));
        let flows = Flows { udp, open: HashMap::new(), by_address: HashMap::new(), _tasks: tasks };
        Ok((flows, local))
    }

    /// Returns the flow of a UDP peer, and creates it if it is new.
    pub(crate) fn datagram_flow(&mut self, remote: SocketAddr) -> FlowId {
        if let Some(flow) = self.by_address.get(&remote) {
            return *flow;
        }
        if self.by_address.len() >= MAX_FLOWS {
            self.by_address.clear();
            self.open.retain(|_, flow| flow.transport != Transport::Udp);
        }
        let id = FlowId::fresh();
        self.by_address.insert(remote, id);
        self.open.insert(id, Flow { transport: Transport::Udp, remote, out: Out::Udp });
        id
    }

    pub(crate) fn opened(&mut self, id: FlowId, out: mpsc::Sender<Outgoing>, transport: Transport, remote: SocketAddr) {
        self.open.insert(id, Flow { transport, remote, out: Out::Connection(out) });
    }

    pub(crate) fn closed(&mut self, id: FlowId) {
        if let Some(flow) = self.open.remove(&id) {
            self.by_address.remove(&flow.remote);
        }
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.open.get(&id)
    }

    pub(crate) fn ids(&self) -> Vec<FlowId> {
        self.open.keys().copied().collect()
    }

    /// Sends bytes. What the socket cannot take at once is lost, as on a real network.
    pub(crate) fn send(&self, id: FlowId, bytes: Vec<u8>) -> bool {
        let Some(flow) = self.open.get(&id) else { return false };
        match &flow.out {
            Out::Udp => self.udp.try_send_to(&bytes, flow.remote).is_ok(),
            Out::Connection(out) => out.try_send(Outgoing::Bytes(bytes)).is_ok(),
        }
    }

    /// Ends a flow; on UDP it is only forgotten.
    pub(crate) fn end(&mut self, id: FlowId, reset: bool) {
        if let Some(Flow { out: Out::Connection(out), .. }) = self.open.get(&id) {
            let _ = out.try_send(if reset { Outgoing::Reset } else { Outgoing::Close });
        }
        self.closed(id);
    }
}

async fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tries = if address.port() == 0 { 20 } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..tries {
        let tcp = TcpListener::bind(address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn read_datagrams(socket: Arc<UdpSocket>, arrivals: mpsc::Sender<Arrival>) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An ICMP error for an earlier send may show up here. It says nothing about this socket.
        let Ok((length, remote)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        if arrivals.send(Arrival::Datagram { remote, bytes: buffer[..length].to_vec() }).await.is_err() {
            return;
        }
    }
}

async fn accept(listener: TcpListener, arrivals: mpsc::Sender<Arrival>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, remote)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if connections.len() >= MAX_FLOWS {
            continue;
        }
        let _ = stream.set_nodelay(true);
        let connection = TcpConnection { stream, buffer: Vec::new() };
        connections.spawn(serve(connection, Transport::Tcp, remote, FlowId::fresh(), arrivals.clone()));
    }
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(
    mut connection: impl Connection,
    transport: Transport,
    remote: SocketAddr,
    flow: FlowId,
    arrivals: mpsc::Sender<Arrival>,
) {
    let (out, mut outgoing) = mpsc::channel(1024);
    if arrivals.send(Arrival::Opened { out, transport, remote, flow }).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            message = connection.receive() => match message {
                Some(bytes) => if arrivals.send(Arrival::Bytes { flow, bytes }).await.is_err() { break },
                None => break,
            },
            order = outgoing.recv() => match order {
                Some(Outgoing::Bytes(bytes)) => if connection.send(&bytes).await.is_err() { break },
                Some(Outgoing::Reset) => { connection.arm_reset(); break }
                Some(Outgoing::Close) | None => break,
            },
        }
    }
    drop(connection);
    let _ = arrivals.send(Arrival::Closed { flow }).await;
}
