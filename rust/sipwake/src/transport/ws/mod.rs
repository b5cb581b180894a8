//! SIP over WebSocket (RFC 7118): each message is one of WebSocket's.

mod frame;
mod handshake;

use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::account::Hop;
use sipwake_core::event::{FlowError, FlowId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Happening, Happenings, Outgoing, Stream, broken};
use frame::{Incoming, Opcode, Reader};
use handshake::Handshake;

/// How long the connection may be silent before we ping: proxies close what is idle for a minute.
const PING: Duration = Duration::from_secs(25);
/// How long after a ping the server may be silent (RFC 5626 section 4.4.1 has the same for its pong).
const PONG: Duration = Duration::from_secs(10);
/// The largest piece read at once.
const PIECE: usize = 16 * 1024;

/// Agrees with the server to speak SIP, then carries messages both ways.
pub(super) async fn run(
    id: FlowId,
    stream: Stream,
    hop: &Hop,
    (local, by): (SocketAddr, Instant),
    mut queue: mpsc::Receiver<Outgoing>,
    happenings: &Happenings,
) -> Result<(), FlowError> {
    let opened = timeout_at(by, Socket::open(stream, hop)).await;
    let mut socket = opened.map_err(|_| FlowError::WebSocket("no answer to the handshake".into()))??;
    if happenings.send((id, Happening::Up(local))).await.is_err() {
        return Ok(());
    }
    let mut pinged = false;
    let mut deadline = Instant::now() + PING;
    loop {
        tokio::select! {
            received = socket.receive() => {
                pinged = false;
                deadline = Instant::now() + PING;
                match received? {
                    Incoming::Message(bytes) => {
                        if happenings.send((id, Happening::Input(bytes))).await.is_err() {
                            return Ok(());
                        }
                    }
                    Incoming::Ping(content) => socket.send(Opcode::Pong, &content).await?,
                    Incoming::Pong => {}
                    Incoming::Close(content) => {
                        let _ = socket.send(Opcode::Close, &content).await;
                        return Err(FlowError::Closed);
                    }
                }
            }
            bytes = queue.recv() => {
                let Some(Outgoing { bytes, .. }) = bytes else {
                    let _ = socket.send(Opcode::Close, &[]).await;
                    let _ = socket.stream.shutdown().await;
                    return Ok(());
                };
                // RFC 7118 section 4.2 allows both kinds; servers in the field expect text.
                let kind = if std::str::from_utf8(&bytes).is_ok() { Opcode::Text } else { Opcode::Binary };
                socket.send(kind, &bytes).await?;
            }
            () = sleep_until(deadline) => {
                if pinged {
                    return Err(FlowError::Unreachable("no answer to a ping".into()));
                }
                pinged = true;
                deadline = Instant::now() + PONG;
                socket.send(Opcode::Ping, &[]).await?;
            }
        }
    }
}

struct Socket {
    stream: Stream,
    reader: Reader,
    piece: Vec<u8>,
}

impl Socket {
    async fn open(mut stream: Stream, hop: &Hop) -> Result<Self, FlowError> {
        let handshake = Handshake::new(random());
        write(&mut stream, handshake.request(hop).as_bytes()).await?;
        let (mut read, mut piece) = (Vec::new(), vec![0; PIECE]);
        loop {
            let length = stream.read(&mut piece).await.map_err(|error| broken(&error))?;
            if length == 0 {
                return Err(FlowError::Closed);
            }
            read.extend_from_slice(&piece[..length]);
            if let Some(head) = handshake.answer(&read)? {
                let mut reader = Reader::default();
                reader.push(&read[head..]);
                return Ok(Self { stream, reader, piece });
            }
        }
    }

    /// Returns what comes next. Dropping the future loses nothing.
    async fn receive(&mut self) -> Result<Incoming, FlowError> {
        loop {
            if let Some(incoming) = self.reader.next()? {
                return Ok(incoming);
            }
            let length = self.stream.read(&mut self.piece).await.map_err(|error| broken(&error))?;
            if length == 0 {
                return Err(FlowError::Closed);
            }
            self.reader.push(&self.piece[..length]);
        }
    }

    async fn send(&mut self, opcode: Opcode, content: &[u8]) -> Result<(), FlowError> {
        write(&mut self.stream, &frame::write(opcode, content, random())).await
    }
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> Result<(), FlowError> {
    stream.write_all(bytes).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))
}

fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).expect("every platform of ours has a random source");
    bytes
}
