//! SIP over a stream, TCP or TLS. Messages are framed by the core.

use std::net::SocketAddr;

use sipwake_core::event::{FlowError, FlowId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::mpsc;

use super::{Happening, Happenings, Outgoing, Stream, broken};

/// The largest piece read at once.
const PIECE: usize = 16 * 1024;

/// Carries bytes both ways until one side has had enough.
pub(super) async fn run(
    id: FlowId,
    stream: Stream,
    local: SocketAddr,
    mut queue: mpsc::Receiver<Outgoing>,
    happenings: &Happenings,
) -> Result<(), FlowError> {
    if happenings.send((id, Happening::Up(local))).await.is_err() {
        return Ok(());
    }
    let (mut reader, mut writer) = split(stream);
    let reading = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return Err(FlowError::Closed),
                Ok(length) => {
                    if happenings.send((id, Happening::Input(buffer[..length].to_vec()))).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(broken(&error)),
            }
        }
    };
    let writing = async {
        while let Some(Outgoing { bytes, .. }) = queue.recv().await {
            writer.write_all(&bytes).await.map_err(|error| broken(&error))?;
            writer.flush().await.map_err(|error| broken(&error))?;
        }
        // Let go by the driver: say so to the peer (close_notify, FIN).
        let _ = writer.shutdown().await;
        Ok(())
    };
    // Apart from each other: a peer that does not read must not keep us from hearing it.
    tokio::select! {
        result = reading => result,
        result = writing => result,
    }
}
