//! SIP over UDP, on a connected socket: only the peer's datagrams come in, and its ICMP errors are heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sipwake_core::event::{FlowError, FlowId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Happening, Happenings, PIECE, unreachable};
use crate::resolve::Addresses;

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
    mut queue: mpsc::Receiver<Vec<u8>>,
    happenings: &Happenings,
    addresses: &Addresses,
) -> Result<(), FlowError> {
    let mut order = remotes.to_vec();
    // Addresses in a row that were not heard from.
    let mut silent = 0;
    loop {
        let Some(remote) = order.first().copied() else { return Err(FlowError::Unresolved) };
        let mut heard = false;
        let carried = async {
            let socket = connect(remote, local_port).await.map_err(Left::Silent)?;
            let local = socket.local_addr().map_err(|error| Left::Silent(unreachable(&error)))?;
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
                addresses.failed(remote);
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
    socket: &UdpSocket,
    (others, untried): (bool, bool),
    heard: &mut bool,
    queue: &mut mpsc::Receiver<Vec<u8>>,
    happenings: &Happenings,
) -> Result<(), Left> {
    let mut asked = None;
    let mut buffer = vec![0; PIECE];
    loop {
        let error = tokio::select! {
            received = socket.recv(&mut buffer) => match received {
                Ok(length) => {
                    (*heard, asked) = (true, None);
                    if happenings.send((id, Happening::Input(buffer[..length].to_vec()))).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => error,
            },
            bytes = queue.recv() => match bytes {
                Some(bytes) => match socket.send(&bytes).await {
                    Ok(_) => {
                        if is_request(&bytes) && (untried || others && *heard) {
                            asked.get_or_insert_with(Instant::now);
                        }
                        continue;
                    }
                    Err(error) => error,
                },
                None => return Ok(()),
            },
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

async fn connect(remote: SocketAddr, local_port: Option<u16>) -> Result<UdpSocket, FlowError> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let bound = match UdpSocket::bind((any, local_port.unwrap_or(0))).await {
        Err(_) if local_port.is_some() => UdpSocket::bind((any, 0)).await,
        bound => bound,
    };
    let connected = match bound {
        Ok(socket) => socket.connect(remote).await.map(|()| socket),
        Err(error) => Err(error),
    };
    connected.map_err(|error| unreachable(&error))
}
