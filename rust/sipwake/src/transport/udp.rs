//! SIP over UDP, on a connected socket: only the peer's datagrams come in, and its ICMP errors are heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sipwake_core::event::{FlowError, FlowId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::{Happening, Happenings, PIECE, unreachable};

pub(super) async fn run(
    id: FlowId,
    addresses: &[SocketAddr],
    local_port: Option<u16>,
    mut queue: mpsc::Receiver<Vec<u8>>,
    happenings: &Happenings,
) -> Result<(), FlowError> {
    let socket = connect(addresses, local_port).await?;
    let local = socket.local_addr().map_err(|error| unreachable(&error))?;
    if happenings.send((id, Happening::Up(local))).await.is_err() {
        return Ok(());
    }
    let mut buffer = vec![0; PIECE];
    loop {
        tokio::select! {
            received = socket.recv(&mut buffer) => match received {
                Ok(length) => {
                    if happenings.send((id, Happening::Input(buffer[..length].to_vec()))).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(unreachable(&error)),
            },
            bytes = queue.recv() => match bytes {
                Some(bytes) => {
                    if let Err(error) = socket.send(&bytes).await {
                        return Err(unreachable(&error));
                    }
                }
                None => return Ok(()),
            },
        }
    }
}

async fn connect(addresses: &[SocketAddr], local_port: Option<u16>) -> Result<UdpSocket, FlowError> {
    let mut last = FlowError::Unresolved;
    for remote in addresses {
        let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let bound = match local_port {
            Some(port) => match UdpSocket::bind((any, port)).await {
                Ok(socket) => Ok(socket),
                Err(_) => UdpSocket::bind((any, 0)).await,
            },
            None => UdpSocket::bind((any, 0)).await,
        };
        let attempt = match bound {
            Ok(socket) => socket.connect(remote).await.map(|()| socket),
            Err(error) => Err(error),
        };
        match attempt {
            Ok(socket) => return Ok(socket),
            Err(error) => last = unreachable(&error),
        }
    }
    Err(last)
}
