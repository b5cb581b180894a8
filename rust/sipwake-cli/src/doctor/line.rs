//! The doctor's own connection to the server, beside the phone's, message by message: over UDP or TCP a socket at one
//! address, over TLS and WebSocket a flow as the phone opens it.

use std::net::SocketAddr;
use std::time::Duration;

use sipwake::core::sip::{Frame, Framer};
use sipwake::{Flow, FlowError, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::transcript::Message;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// When a datagram is sent again. The last pause ends the wait. Together they are ten seconds.
const PAUSES: [u64; 5] = [500, 1000, 2000, 2500, 4000];

pub(super) enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream, Framer),
    Flow(Flow),
}

impl Line {
    /// `None` over a transport that takes a [`Flow`].
    pub(super) async fn open(transport: Transport, to: SocketAddr) -> std::io::Result<Option<Self>> {
        match transport {
            Transport::Udp => {
                let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(to).await?;
                Ok(Some(Self::Udp(socket)))
            }
            Transport::Tcp => {
                let connected = timeout(CONNECT, TcpStream::connect(to)).await;
                Ok(Some(Self::Tcp(connected.map_err(|_| std::io::ErrorKind::TimedOut)??, Framer::new())))
            }
            _ => Ok(None),
        }
    }

    /// The transport's name in a Via.
    pub(super) fn via(&self) -> &'static str {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Tcp(..) => Transport::Tcp,
            Self::Flow(flow) => flow.transport(),
        }
        .via()
    }

    pub(super) fn local(&self) -> String {
        let address = match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
            // RFC 7118 section 5: the Via needs no real address.
            Self::Flow(flow) if flow.transport().is_websocket() => return "doctor.invalid".to_owned(),
            Self::Flow(flow) => Ok(flow.local_addr()),
        };
        address.map_or_else(|_| "doctor.invalid".to_owned(), |address| address.to_string())
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(bytes).await.map(drop),
            Self::Tcp(stream, _) => stream.write_all(bytes).await,
            Self::Flow(flow) => {
                flow.send(bytes);
                Ok(())
            }
        }
    }

    /// Returns the next whole message.
    pub(super) async fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer).await?;
                buffer.truncate(length);
                Ok(buffer)
            }
            Self::Tcp(stream, framer) => loop {
                while let Some(frame) = framer.next().map_err(|_| no_sip())? {
                    if let Frame::Message(bytes) = frame {
                        return Ok(bytes);
                    }
                }
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await?;
                if length == 0 {
                    return Err(std::io::Error::other("the server closed the connection"));
                }
                framer.push(&buffer[..length]).map_err(|_| no_sip())?;
            },
            Self::Flow(flow) => flow.receive().await.map_err(std::io::Error::other),
        }
    }

    /// Sends a request, again over UDP, and returns the first of its responses that is `wanted`.
    pub(super) async fn ask(
        &mut self,
        request: &[u8],
        wanted: impl Fn(&Message) -> bool,
    ) -> std::io::Result<Option<Vec<u8>>> {
        let repeats = matches!(self, Self::Udp(_));
        for (index, pause) in PAUSES.into_iter().enumerate() {
            if index == 0 || repeats {
                self.send(request).await?;
            }
            let answer = async {
                loop {
                    let bytes = self.receive().await?;
                    if wanted(&Message::parse(&String::from_utf8_lossy(&bytes))) {
                        return Ok(bytes);
                    }
                }
            };
            if let Ok(answer) = timeout(Duration::from_millis(pause), answer).await {
                return answer.map(Some);
            }
        }
        Ok(None)
    }
}

/// The data is not SIP.
fn no_sip() -> std::io::Error {
    std::io::Error::other(FlowError::Garbage)
}
