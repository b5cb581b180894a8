//! SIP over TCP. Messages are framed by the core.

use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::event::{FlowError, FlowId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Happening, Happenings, unreachable};

/// How long one address is tried before the next: well within the 32 seconds of timer F.
const CONNECT: Duration = Duration::from_secs(6);
/// The largest piece read at once.
const PIECE: usize = 16 * 1024;

pub(super) async fn run(
    id: FlowId,
    addresses: &[SocketAddr],
    mut queue: mpsc::Receiver<Vec<u8>>,
    happenings: &Happenings,
) -> Result<(), FlowError> {
    let mut stream = connect(addresses).await?;
    let local = stream.local_addr().map_err(|error| unreachable(&error))?;
    if happenings.send((id, Happening::Up(local))).await.is_err() {
        return Ok(());
    }
    let (mut reader, mut writer) = stream.split();
    let mut buffer = vec![0; PIECE];
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(0) => return Err(FlowError::Closed),
                Ok(length) => {
                    if happenings.send((id, Happening::Input(buffer[..length].to_vec()))).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(unreachable(&error)),
            },
            bytes = queue.recv() => match bytes {
                Some(bytes) => {
                    if let Err(error) = writer.write_all(&bytes).await {
                        return Err(unreachable(&error));
                    }
                }
                None => return Ok(()),
            },
        }
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, FlowError> {
    let mut last = FlowError::Unresolved;
    for remote in addresses {
        match timeout(CONNECT, TcpStream::connect(remote)).await {
            Ok(Ok(stream)) => {
                // A REGISTER is one segment; waiting to fill it up only delays the ring.
                if let Err(error) = stream.set_nodelay(true) {
                    log::debug!("TCP_NODELAY: {error}");
                }
                return Ok(stream);
            }
            Ok(Err(error)) => last = unreachable(&error),
            Err(_) => last = FlowError::Unreachable("no answer to the connection".into()),
        }
    }
    Err(last)
}
