//! Byte streams. TCP repairs the losses of a network, so streams are only delayed, stopped and broken.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Shared, Way};

/// Pieces in flight: a stream that nobody reads soon refuses further bytes.
const PIECES: usize = 64;

pub(super) async fn relay(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        let short = {
            let mut state = shared.state();
            state.tally.knocked();
            state.tally.connections += 1;
            state.short.pop()
        };
        connections.spawn(carry(client, short, shared.clone()));
    }
}

/// Why a connection ends.
struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

async fn carry(mut client: TcpStream, short: Option<usize>, shared: Arc<Shared>) {
    let mut breaks = shared.breaks.subscribe();
    let Ok(mut server) = TcpStream::connect(shared.to).await else { return };
    for stream in [&client, &server] {
        // The network's delay does not include this machine's own delays.
        let _ = stream.set_nodelay(true);
    }
    let whole = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, Way::Up, short, &shared);
        let down = pump(from_server, to_client, Way::Down, None, &shared);
        tokio::select! {
            // A side that ends its own direction still gets what comes from the other.
            ended = async { tokio::try_join!(up, down) } => ended.is_ok(),
            _ = breaks.changed() => false,
        }
    };
    if !whole {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Carries one direction until its end, or until it breaks.
async fn pump(
    mut reader: ReadHalf<'_>,
    mut writer: WriteHalf<'_>,
    way: Way,
    short: Option<usize>,
    shared: &Shared,
) -> Result<(), Broken> {
    let (pieces, mut waiting) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let reading = async move {
        let mut buffer = vec![0; 16 * 1024];
        let mut opening = shared.path.delay * if way == Way::Up { 2 } else { 0 };
        let mut left = short;
        loop {
            let length = reader.read(&mut buffer).await?;
            if way == Way::Up {
                shared.state().tally.sent += length;
            }
            // On loopback a connection opens at once. On a real path the first bytes would leave a round trip later.
            let due = Instant::now() + shared.path.delay + std::mem::take(&mut opening);
            let carried = left.map_or(length, |left| left.min(length));
            if pieces.send((due, buffer[..carried].to_vec())).await.is_err() || length == 0 {
                return Ok(());
            }
            if let Some(left) = &mut left {
                *left -= carried;
                if *left == 0 {
                    // What was read before still arrives. Then the connection ends.
                    sleep_until(due).await;
                    return Err(Broken);
                }
            }
        }
    };
    let writing = async {
        let mut outage = shared.outage.subscribe();
        while let Some((due, piece)) = waiting.recv().await {
            sleep_until(due).await;
            let _ = outage.wait_for(|on| !on).await;
            if piece.is_empty() {
                writer.shutdown().await?;
                break;
            }
            writer.write_all(&piece).await?;
            if way == Way::Down {
                shared.state().tally.arrived(piece.len());
            }
        }
        Ok(())
    };
    tokio::try_join!(reading, writing).map(|_: ((), ())| ())
}
