//! SIP over a stream, TCP or TLS. Messages are framed by the core.

use std::sync::Arc;

use sipwake_core::event::FlowError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::mpsc;

use super::line::Line;
use super::{Outgoing, Stream, broken};

/// The most bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Carries bytes in both directions until one side ends.
pub(super) async fn carry(
    stream: Stream,
    mut queue: mpsc::Receiver<Outgoing>,
    line: Arc<Line>,
) -> Result<(), FlowError> {
    let (mut reader, mut writer) = split(stream);
    let reading = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return Err(FlowError::Closed),
                Ok(length) => {
                    if line.input(buffer[..length].to_vec()).await.is_none() {
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
        // The driver has dropped the flow. The peer is told (close_notify, FIN).
        let _ = writer.shutdown().await;
        Ok(())
    };
    // Reading and writing run separately: a peer that does not read must not keep us from reading.
    tokio::select! {
        result = reading => result,
        result = writing => result,
    }
}
