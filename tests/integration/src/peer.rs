//! A small registrar over UDP, for what the mock gateway never does.

use std::net::{Ipv4Addr, SocketAddr};

use mock_gateway::Message;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::PATIENCE;

/// Accepts every REGISTER, and sends whatever a test wants.
#[derive(Debug)]
pub struct Peer {
    socket: UdpSocket,
    client: Option<SocketAddr>,
}

impl Peer {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        Self { socket, client: None }
    }

    /// Returns its address.
    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// Returns the next message that comes in.
    pub async fn receive(&mut self) -> Message {
        let mut buffer = vec![0; 65_535];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await.expect("a message in time");
        let (length, from) = received.expect("a datagram");
        self.client = Some(from);
        Message::parse(&buffer[..length]).expect("SIP")
    }

    /// Sends text to the sender of the last message.
    pub async fn send(&self, text: &str) {
        let client = self.client.expect("somebody wrote before");
        self.socket.send_to(text.as_bytes(), client).await.expect("loopback takes it");
    }

    /// Sends a request with this method, and returns the final answer.
    pub async fn ask(&mut self, method: &str, branch: &str, extra: &str) -> Message {
        let (own, client) = (self.addr(), self.client.expect("somebody wrote before"));
        self.send(&format!(
            "{method} sip:alice@{client} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@mock.example>;tag=bob\r\nTo: <sip:alice@mock.example>\r\nCall-ID: {branch}@peer\r\n\
             CSeq: 7 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        ))
        .await;
        loop {
            let answer = self.receive().await;
            if answer.call_id() == format!("{branch}@peer") && answer.status().is_some_and(|status| status >= 200) {
                return answer;
            }
        }
    }

    /// Waits for a REGISTER and accepts it.
    pub async fn take_register(&mut self) -> Message {
        let register = loop {
            let message = self.receive().await;
            if message.method() == "REGISTER" && message.status().is_none() {
                break message;
            }
        };
        let copied = ["Via", "From", "Call-ID", "CSeq", "Contact"]
            .map(|name| format!("{name}: {}\r\n", register.header(name).unwrap_or_default()))
            .concat();
        let to = register.header("To").unwrap_or_default();
        self.send(&format!("SIP/2.0 200 OK\r\n{copied}To: {to};tag=peer\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n"))
            .await;
        register
    }
}
