//! Datagrams: each one travels on its own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::chance::Fate;
use super::{OVERTAKEN, Shared, Way};

/// The largest number of clients at once.
const MAX_CLIENTS: usize = 256;

pub(super) async fn relay(front: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut readers = JoinSet::new();
    let mut ports = shared.ports.subscribe();
    let mut buffer = vec![0; 65_536];
    loop {
        let received = tokio::select! {
            received = front.recv_from(&mut buffer) => Some(received),
            _ = ports.changed() => None,
        };
        // Both may have happened. In that case the received datagram leaves from a new port.
        if received.is_none() || ports.has_changed().unwrap_or(false) {
            ports.mark_unchanged();
            clients.clear();
            readers.abort_all();
        }
        // An ICMP error for an earlier send may show up here. It says nothing about this socket.
        let Some(Ok((length, client))) = received else { continue };
        if !clients.contains_key(&client) {
            if clients.len() >= MAX_CLIENTS {
                continue;
            }
            let socket = Arc::new(towards(shared.to).await);
            clients.insert(client, socket.clone());
            readers.spawn(answers(socket, front.clone(), client, shared.clone()));
        }
        let bytes: Arc<[u8]> = buffer[..length].into();
        for delay in shared.deal(Way::Up, length) {
            let (socket, bytes, shared) = (clients[&client].clone(), bytes.clone(), shared.clone());
            tokio::spawn(async move {
                sleep(delay).await;
                // A server that is down is not a fault of the network.
                let _ = socket.send_to(&bytes, shared.to).await;
            });
        }
    }
}

/// Passes on what the server sends to one client.
async fn answers(socket: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr, shared: Arc<Shared>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer).await else { continue };
        let bytes: Arc<[u8]> = buffer[..length].into();
        for delay in shared.deal(Way::Down, length) {
            let (front, bytes, shared) = (front.clone(), bytes.clone(), shared.clone());
            tokio::spawn(async move {
                sleep(delay).await;
                let sent = front.send_to(&bytes, client).await;
                if sent.is_ok() {
                    shared.state().tally.arrived(bytes.len());
                }
            });
        }
    }
}

async fn towards(server: SocketAddr) -> UdpSocket {
    let any =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    UdpSocket::bind((any, 0)).await.expect("a free port")
}

impl Shared {
    /// Returns the times after which the datagram arrives: one, two or none.
    fn deal(&self, way: Way, length: usize) -> Vec<Duration> {
        let out = *self.outage.borrow();
        let mut state = self.state();
        if way == Way::Up {
            state.tally.knocked();
            state.tally.datagrams += 1;
            state.tally.sent += length;
        }
        let fate = match way {
            Way::Up => state.up.deal(),
            Way::Down => state.down.deal(),
        };
        let delay = self.path.delay;
        match fate {
            _ if out => Vec::new(),
            Fate::Passes => vec![delay],
            Fate::Doubled => vec![delay, delay + OVERTAKEN / 4],
            Fate::Late => vec![delay + OVERTAKEN],
            Fate::Lost => {
                state.tally.lost += 1;
                Vec::new()
            }
        }
    }
}

impl super::Tally {
    pub(super) fn knocked(&mut self) {
        self.first.get_or_insert_with(Instant::now);
    }

    pub(super) fn arrived(&mut self, length: usize) {
        self.received += length;
        self.last = Some(Instant::now());
    }
}
