//! SIP over UDP, on a connected socket: only the peer's datagrams come in, and its ICMP errors are heard. Where the app
//! allows unsolicited calls the socket is not connected, and what strangers send is told apart.

use std::future::poll_fn;
use std::io;
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sipwake_core::event::{FlowError, FlowId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Happening, Happenings, Network, Outgoing, PIECE, unreachable};

/// How long an address may leave a request unanswered while there is another one: four transmissions at the default timers.
/// RFC 3263 section 4.3 would wait for timer F, 32 seconds, in which an announced call is lost.
const SILENCE: Duration = Duration::from_secs(4);

/// Why an address is left.
enum Left {
    /// It was never heard from, or does not answer any more.
    Silent(FlowError),
    /// The socket broke on an address that works: the core decides.
    Broken(FlowError),
}

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
    let mut order = remotes.to_vec();
    // Addresses in a row that were not heard from.
    let mut silent = 0;
    loop {
        let Some(remote) = order.first().copied() else { return Err(FlowError::Unresolved) };
        let mut heard = false;
        let carried = async {
            let opened = Socket::open(remote, local_port, network.unsolicited);
            let (socket, local) = opened.map_err(|error| Left::Silent(unreachable(&error)))?;
            local_port = Some(local.port());
            if happenings.send((id, Happening::Up(local))).await.is_err() {
                return Ok(());
            }
            let others = (order.len() > 1, silent + 1 < order.len());
            carry(id, &socket, others, &mut heard, &mut queue, happenings).await
        };
        match carried.await {
            Ok(()) => return Ok(()),
            Err(Left::Broken(error)) => return Err(error),
            Err(Left::Silent(error)) => {
                log::debug!("{remote}: {error}");
                network.addresses.failed(remote);
                silent = if heard { 1 } else { silent + 1 };
                if silent >= order.len() {
                    return Err(error);
                }
                order.rotate_left(1);
            }
        }
    }
}

/// Carries datagrams until one side has had enough, or a request has no answer although there are other addresses: any, and
/// ones that were not tried since the last answer.
async fn carry(
    id: FlowId,
    socket: &Socket,
    (others, untried): (bool, bool),
    heard: &mut bool,
    queue: &mut mpsc::Receiver<Outgoing>,
    happenings: &Happenings,
) -> Result<(), Left> {
    let mut asked = None;
    let mut buffer = vec![0; PIECE];
    loop {
        let error = tokio::select! {
            received = socket.recv(&mut buffer) => match received {
                Ok((length, Some(stranger))) => {
                    let happening = Happening::Stranger(stranger, buffer[..length].to_vec());
                    if happenings.send((id, happening)).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                Ok((length, None)) => {
                    (*heard, asked) = (true, None);
                    if happenings.send((id, Happening::Input(buffer[..length].to_vec()))).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => error,
            },
            bytes = queue.recv() => {
                let Some(Outgoing { bytes, to }) = bytes else { return Ok(()) };
                match (socket.send(&bytes, to).await, to) {
                    (Ok(_), None) => {
                        if is_request(&bytes) && (untried || others && *heard) {
                            asked.get_or_insert_with(Instant::now);
                        }
                        continue;
                    }
                    (Ok(_), Some(_)) => continue,
                    (Err(error), None) => error,
                    // What does not reach a stranger is no fault of the flow.
                    (Err(error), Some(stranger)) => {
                        log::debug!("{stranger}: {error}");
                        continue;
                    }
                }
            }
            () = sleep_until(asked.unwrap_or_else(Instant::now) + SILENCE), if asked.is_some() => {
                return Err(Left::Silent(FlowError::Unreachable("no answer".into())));
            }
        };
        let error = unreachable(&error);
        return Err(if *heard { Left::Broken(error) } else { Left::Silent(error) });
    }
}

/// Whether an answer is owed: not to an answer, and not to a keep-alive, which many servers leave alone.
fn is_request(bytes: &[u8]) -> bool {
    !bytes.starts_with(b"SIP/2.0 ") && !bytes.iter().all(u8::is_ascii_whitespace)
}

struct Socket {
    socket: UdpSocket,
    remote: SocketAddr,
    open: bool,
}

impl Socket {
    /// Returns the socket and our address on it.
    fn open(remote: SocketAddr, local_port: Option<u16>, open: bool) -> io::Result<(Self, SocketAddr)> {
        let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = match net::UdpSocket::bind((any, local_port.unwrap_or(0))) {
            Err(_) if local_port.is_some() => net::UdpSocket::bind((any, 0))?,
            bound => bound?,
        };
        let mut local;
        if open {
            // Only a connected socket knows from which address the peer is reached.
            let guide = net::UdpSocket::bind((any, 0))?;
            guide.connect(remote)?;
            local = guide.local_addr()?;
            local.set_port(socket.local_addr()?.port());
        } else {
            socket.connect(remote)?;
            local = socket.local_addr()?;
        }
        socket.set_nonblocking(true)?;
        Ok((Self { socket: UdpSocket::from_std(socket)?, remote, open }, local))
    }

    /// Receives a datagram, with its source if that is not the peer.
    async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        let (length, source) = self.socket.recv_from(buffer).await?;
        let peer = (source.ip(), source.port()) == (self.remote.ip(), self.remote.port());
        Ok((length, (!peer).then_some(source)))
    }

    /// Sends to the peer, or to a stranger. A connected socket must not be told where to.
    async fn send(&self, bytes: &[u8], stranger: Option<SocketAddr>) -> io::Result<usize> {
        match stranger.or(self.open.then_some(self.remote)) {
            Some(to) => poll_fn(|context| self.socket.poll_send_to(context, bytes, to)).await,
            None => self.socket.send(bytes).await,
        }
    }
}
