//! SIP over UDP, on a connected socket: only the peer's datagrams come in, and its ICMP errors are reported. If other
//! peers may send, too, a second socket on the same port receives their datagrams.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use sipwake_core::event::FlowError;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::line::Line;
use super::{FlowEvent, Outgoing, PIECE, unreachable};

/// Opens a socket to a server. Returns it with our address.
pub(super) fn open(remote: SocketAddr, local_port: Option<u16>) -> io::Result<(UdpSocket, SocketAddr)> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = match bind(SocketAddr::new(any, local_port.unwrap_or(0)), false) {
        Err(_) if local_port.is_some() => bind(SocketAddr::new(any, 0), false)?,
        bound => bound?,
    };
    socket.connect(&remote.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// Carries datagrams until one side ends.
pub(super) async fn carry(
    socket: UdpSocket,
    mut queue: mpsc::Receiver<Outgoing>,
    line: Arc<Line>,
) -> Result<(), FlowError> {
    let (mut wanted, mut asked_for) = (line.peers.clone(), true);
    let mut peers = None;
    let mut buffer = vec![0; PIECE];
    let mut from_peers = Vec::new();
    loop {
        if *wanted.borrow_and_update() != peers.is_some() {
            peers = match peers {
                Some(_) => None,
                None => beside(&socket).inspect_err(|error| log::warn!("no socket for other peers: {error}")).ok(),
            };
            from_peers.resize(if peers.is_some() { PIECE } else { 0 }, 0);
        }
        tokio::select! {
            received = socket.recv(&mut buffer) => {
                let length = received.map_err(|error| unreachable(&error))?;
                if line.input(buffer[..length].to_vec()).await.is_none() {
                    return Ok(());
                }
            }
            received = receive(peers.as_ref(), &mut from_peers) => match received {
                Ok((length, source)) => {
                    if line.tell(FlowEvent::Stranger(source, from_peers[..length].to_vec())).await.is_none() {
                        return Ok(());
                    }
                }
                // An error from another peer's network is not the flow's fault.
                Err(error) => log::debug!("from another peer: {error}"),
            },
            outgoing = queue.recv() => match outgoing {
                None => return Ok(()),
                Some(Outgoing { bytes, to: None }) => {
                    socket.send(&bytes).await.map_err(|error| unreachable(&error))?;
                }
                Some(Outgoing { bytes, to: Some(peer) }) => {
                    let sent = match &peers {
                        Some(peers) => peers.send_to(&bytes, peer).await.map(drop),
                        None => Err(io::ErrorKind::NotConnected.into()),
                    };
                    if let Err(error) = sent {
                        log::debug!("{peer}: {error}");
                    }
                }
            },
            // After the flow has moved on, nobody changes this here.
            changed = wanted.changed(), if asked_for => asked_for = changed.is_ok(),
        }
    }
}

async fn receive(peers: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match peers {
        Some(peers) => peers.recv_from(buffer).await,
        None => pending().await,
    }
}

/// Opens a second socket on the port of a connected one. The system gives the peer's datagrams to the connected socket,
/// and all others to this one.
fn beside(connected: &UdpSocket) -> io::Result<UdpSocket> {
    let known = SockRef::from(connected);
    share(&known)?;
    let socket = bind(connected.local_addr()?, true)?;
    // Linux gives datagrams to sockets on one port at random, unless one of them connects while it shares the port.
    known.connect(&connected.peer_addr()?.into())?;
    UdpSocket::from_std(socket.into())
}

fn bind(local: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if shared {
        share(&socket)?;
    }
    socket.bind(&local.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Only processes of the same user can share a port like this.
fn share(socket: &Socket) -> io::Result<()> {
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    #[cfg(not(unix))]
    socket.set_reuse_address(true)?;
    Ok(())
}
