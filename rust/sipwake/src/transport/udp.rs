//! SIP over UDP, on a connected socket: only the peer's datagrams come in, and its ICMP errors are heard. Where the app
//! allows unsolicited calls the socket is not connected, and what strangers send is told apart.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sipwake_core::event::{FlowError, FlowId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Happening, Happenings, Network, Outgoing, PIECE, unreachable};

/// How long an address may leave everything unanswered while there is another one: four transmissions at the default timers.
/// RFC 3263 section 4.3 would wait for timer F, 32 seconds, in which an announced call is lost.
const SILENCE: Duration = Duration::from_secs(4);

/// Carries datagrams to and from the first address that answers. Each move to the next one is told as
/// [`Happening::Up`] again, upon which the core sends anew what is unanswered.
pub(super) async fn run(
    id: FlowId,
    remotes: &[SocketAddr],
    mut local_port: Option<u16>,
    mut queue: mpsc::Receiver<Outgoing>,
    happenings: &Happenings,
    network: &Network,
) -> Result<(), FlowError> {
    let mut last = FlowError::Unresolved;
    for (index, remote) in remotes.iter().enumerate() {
        let carried = async {
            let open = network.unsolicited;
            let (socket, local) =
                Socket::open(*remote, local_port, open).await.map_err(|error| (unreachable(&error), false))?;
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
                network.addresses.failed(*remote);
                last = error;
            }
        }
    }
    Err(last)
}

/// Carries datagrams until one side has had enough. An error comes with whether the address had been heard from.
async fn carry(
    id: FlowId,
    socket: &Socket,
    patience: Option<Duration>,
    queue: &mut mpsc::Receiver<Outgoing>,
    happenings: &Happenings,
) -> Result<(), (FlowError, bool)> {
    let mut heard = false;
    let mut silent_at = None;
    let mut buffer = vec![0; PIECE];
    loop {
        tokio::select! {
            received = socket.recv(&mut buffer) => match received {
                Ok((length, Some(stranger))) => {
                    let happening = Happening::Stranger(stranger, buffer[..length].to_vec());
                    if happenings.send((id, happening)).await.is_err() {
                        return Ok(());
                    }
                }
                Ok((length, None)) => {
                    heard = true;
                    if happenings.send((id, Happening::Input(buffer[..length].to_vec()))).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err((unreachable(&error), heard)),
            },
            bytes = queue.recv() => match bytes {
                Some(Outgoing { bytes, to: Some(stranger) }) => socket.send_to(&bytes, stranger).await,
                Some(Outgoing { bytes, to: None }) => {
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

struct Socket {
    socket: UdpSocket,
    remote: SocketAddr,
    open: bool,
}

impl Socket {
    /// Returns the socket and our address on it.
    async fn open(remote: SocketAddr, local_port: Option<u16>, open: bool) -> io::Result<(Self, SocketAddr)> {
        let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = match UdpSocket::bind((any, local_port.unwrap_or(0))).await {
            Err(_) if local_port.is_some() => UdpSocket::bind((any, 0)).await?,
            bound => bound?,
        };
        let mut local;
        if open {
            // Only a connected socket knows from which address the peer is reached.
            let guide = UdpSocket::bind((any, 0)).await?;
            guide.connect(remote).await?;
            local = guide.local_addr()?;
            local.set_port(socket.local_addr()?.port());
        } else {
            socket.connect(remote).await?;
            local = socket.local_addr()?;
        }
        Ok((Self { socket, remote, open }, local))
    }

    /// Receives a datagram, with its source if that is not the peer.
    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        if !self.open {
            return self.socket.recv(buffer).await.map(|length| (length, None));
        }
        let (length, source) = self.socket.recv_from(buffer).await?;
        let peer = (source.ip(), source.port()) == (self.remote.ip(), self.remote.port());
        Ok((length, (!peer).then_some(source)))
    }

    async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.open { self.socket.send_to(bytes, self.remote).await } else { self.socket.send(bytes).await }
    }

    /// What does not reach a stranger is no fault of the flow.
    async fn send_to(&self, bytes: &[u8], stranger: SocketAddr) {
        if let Err(error) = self.socket.send_to(bytes, stranger).await {
            log::debug!("{stranger}: {error}");
        }
    }
}
