//! The part of Mizutech's HTTP API that says how busy a gateway is, on its own port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

const MAX_REQUEST: usize = 8 * 1024;
/// An API that reads the question and never answers.
const MUTE: i8 = i8::MIN;

/// `GET /mvapireq/?apientry=wsload`, answered until this is dropped.
#[derive(Debug)]
pub struct LoadApi {
    address: SocketAddr,
    load: Arc<AtomicI8>,
    asked: Arc<watch::Sender<usize>>,
    _task: JoinSet<()>,
}

impl LoadApi {
    /// Starts to answer with this load.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(address: SocketAddr, load: u8) -> io::Result<LoadApi> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (told, asked) = (Arc::new(AtomicI8::new(0)), Arc::new(watch::Sender::new(0)));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&told), Arc::clone(&asked)));
        let api = LoadApi { address, load: told, asked, _task: task };
        api.set(Some(load));
        Ok(api)
    }

    /// Returns the address.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Sets the reported load; `None` for a gateway that says it malfunctions.
    pub fn set(&self, load: Option<u8>) {
        self.load.store(load.and_then(|load| i8::try_from(load).ok()).unwrap_or(-1), Ordering::SeqCst);
    }

    /// Reads further questions and never answers.
    pub fn fall_silent(&self) {
        self.load.store(MUTE, Ordering::SeqCst);
    }

    /// Returns how often it was asked for the load.
    pub fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until it was asked this often; false if that takes longer than the limit.
    pub async fn wait_asked(&self, times: usize, limit: Duration) -> bool {
        let mut asked = self.asked.subscribe();
        let reached = timeout(limit, asked.wait_for(|count| *count >= times)).await;
        matches!(reached, Ok(Ok(_)))
    }
}

async fn accept(listener: TcpListener, load: Arc<AtomicI8>, asked: Arc<watch::Sender<usize>>) {
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => drop(clients.spawn(serve(stream, Arc::clone(&load), Arc::clone(&asked)))),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, load: Arc<AtomicI8>, asked: Arc<watch::Sender<usize>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(1..) if request.len() <= MAX_REQUEST => {}
            _ => return,
        }
    }
    let known = request.starts_with(b"GET /mvapireq/?apientry=wsload HTTP/1.");
    asked.send_modify(|count| *count += usize::from(known));
    let (status, body) = match load.load(Ordering::SeqCst) {
        _ if !known => ("404 Not Found", "no such page".to_owned()),
        MUTE => std::future::pending().await,
        load @ 0.. => ("200 OK", format!("OK: WS Load: {load} type gateway")),
        _ => ("200 OK", "ERROR, the gateway malfunctions".to_owned()),
    };
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
