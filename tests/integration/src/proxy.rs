//! A relay between a client and its server that does to the stream what networks do.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A TCP relay that passes on the server's bytes in small pieces, one at a time.
#[derive(Debug)]
pub struct Dribble {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Dribble {
    /// Starts a relay to a server. It passes on `piece` bytes at a time.
    pub async fn start(server: SocketAddr, piece: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("the server listens");
                client.set_nodelay(true).expect("a TCP option");
                let (client_in, client_out) = client.into_split();
                let (server_in, server_out) = server.into_split();
                wires.spawn(carry(client_in, server_out, usize::MAX));
                wires.spawn(carry(server_in, client_out, piece));
            }
        });
        Self { address, _task: task }
    }

    /// Returns the address of the client's end.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, piece: usize) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        for part in buffer[..length].chunks(piece) {
            if to.write_all(part).await.is_err() {
                return;
            }
            if piece < length {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
