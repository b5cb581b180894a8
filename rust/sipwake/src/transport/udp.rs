//! SIP over UDP, on a connected socket: only the peer's datagrams come in, and its ICMP errors are heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sipwake_core::event::{FlowError, FlowId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Happening, Happenings, PIECE, unreachable};
use crate::resolve::Addresses;

/// How long an address may leave everything unanswered while there is another one: four transmissions at the default timers.
/// RFC 3263 section 4.3 would wait for timer F, 32 seconds, in which an announced call is lost.
const SILENCE: Duration = Duration::from_secs(4);

/// Carries datagrams to and from the first address that answers. Each move to the next one is told as
/// [`Happening::Up`] again, upon which the core sends anew what is unanswered.
pub(super) async fn run(
    id: FlowId,
    remotes: &[SocketAddr],
    mut local_port: Option<u16>,
    mut queue: mpsc::Receiver<Vec<u8>>,
    happenings: &Happenings,
    addresses: &Addresses,
) -> Result<(), FlowError> {
    let mut last = FlowError::Unresolved;
    for (index, remote) in remotes.iter().enumerate() {
        let carried = async {
            let socket = connect(*remote, local_port).await?;
            let local = socket.local_addr().map_err(|error| (unreachable(&error), false))?;
            local_port = Some(local.port());
            if happenings.send((id, Happening::Up(local))).await.is_err() {
                return Ok(());
            }
            let patience = (index + 1 < remotes.len()).then_some(SILENCE);
            carry(id, &socket, patience, &mut queue, happenings).await
        };
        match carried.await {
            Ok(()) => return Ok(()),
            Err((error, true)) => return Err(error),
            Err((error, false)) => {
                log::debug!("{remote}: {error}");
                addresses.failed(*remote);
                last = error;
            }
        }
    }
    Err(last)
}

/// Carries datagrams until one side has had enough. An error comes with whether the address had been heard from.
async fn carry(
    id: FlowId,
    socket: &UdpSocket,
    patience: Option<Duration>,
    queue: &mut mpsc::Receiver<Vec<u8>>,
    happenings: &Happenings,
) -> Result<(), (FlowError, bool)> {
    let mut heard = false;
    let mut silent_at = None;
    let mut buffer = vec![0; PIECE];
    loop {
        tokio::select! {
            received = socket.recv(&mut buffer) => match received {
                Ok(length) => {
                    heard = true;
                    if happenings.send((id, Happening::Input(buffer[..length].to_vec()))).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err((unreachable(&error), heard)),
            },
            bytes = queue.recv() => match bytes {
                Some(bytes) => {
                    if let Err(error) = socket.send(&bytes).await {
                        return Err((unreachable(&error), heard));
                    }
                    silent_at = silent_at.or_else(|| patience.map(|patience| Instant::now() + patience));
                }
                None => return Ok(()),
            },
            () = sleep_until(silent_at.unwrap_or_else(Instant::now)), if silent_at.is_some() && !heard => {
                return Err((FlowError::Unreachable("no answer".into()), false));
            }
        }
    }
}

async fn connect(remote: SocketAddr, local_port: Option<u16>) -> Result<UdpSocket, (FlowError, bool)> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let bound = match UdpSocket::bind((any, local_port.unwrap_or(0))).await {
        Err(_) if local_port.is_some() => UdpSocket::bind((any, 0)).await,
        bound => bound,
    };
    let connected = match bound {
        Ok(socket) => socket.connect(remote).await.map(|()| socket),
        Err(error) => Err(error),
    };
    connected.map_err(|error| (unreachable(&error), false))
}
