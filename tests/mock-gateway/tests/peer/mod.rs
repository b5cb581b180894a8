//! A tiny hand-written UDP client that knows just enough SIP to check the mock.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::time::Duration;

use mock_gateway::digest::md5_hex;
use mock_gateway::{Config, Message, MockGateway, Profile};
use tokio::net::UdpSocket;
use tokio::time::timeout;

pub(crate) const LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
    pub(crate) server: SocketAddr,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
}

/// One REGISTER to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    pub(crate) contact_params: String,
    pub(crate) uri_params: String,
    pub(crate) headers: String,
    pub(crate) expires: u32,
    pub(crate) authorization: String,
}

pub(crate) async fn mock(profile: &str) -> MockGateway {
    let profile = Profile::named(profile).expect("a known profile");
    MockGateway::start(Config::new(profile).user("alice", "secret")).await.expect("loopback is there")
}

/// A mock that asks for no authentication.
pub(crate) async fn open_mock(profile: &str) -> MockGateway {
    let mock = mock(profile).await;
    mock.set_challenges(None, mock_gateway::Challenges::none()).await;
    mock
}

impl Peer {
    pub(crate) async fn new(mock: &MockGateway) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is there");
        Peer { socket, server: mock.addr(), call_id: format!("peer-{:?}", std::time::Instant::now()), cseq: 0 }
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }

    pub(crate) async fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).await.expect("loopback takes it");
    }

    pub(crate) async fn receive(&self) -> Message {
        self.receive_within(LIMIT).await.expect("a message in time")
    }

    pub(crate) async fn receive_within(&self, limit: Duration) -> Option<Message> {
        let mut buffer = vec![0; 65_536];
        let (length, _) = timeout(limit, self.socket.recv_from(&mut buffer)).await.ok()?.expect("loopback works");
        Some(Message::parse(&buffer[..length]).expect("the mock sends SIP"))
    }

    /// Receives until a request with this method comes.
    pub(crate) async fn request(&self, method: &str) -> Message {
        loop {
            let message = self.receive().await;
            if message.status().is_none() && message.method() == method {
                return message;
            }
        }
    }

    pub(crate) fn register_text(&mut self, register: &Register) -> String {
        self.cseq += 1;
        let (port, cseq, server, call_id) = (self.port(), self.cseq, self.server, &self.call_id);
        let Register { contact_params, uri_params, headers, expires, authorization } = register;
        format!(
            "REGISTER sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKp{port}.{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@{server}>;tag=peer\r\nTo: <sip:alice@{server}>\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:alice@127.0.0.1:{port}{uri_params}>{contact_params}\r\nExpires: {expires}\r\n\
             {authorization}{headers}Content-Length: 0\r\n\r\n"
        )
    }

    pub(crate) async fn register(&mut self, register: &Register) -> Message {
        let text = self.register_text(register);
        self.send(&text).await;
        loop {
            let message = self.receive().await;
            if message.status().is_some() && message.method() == "REGISTER" {
                return message;
            }
        }
    }

    /// Answers `WWW-Authenticate` with MD5 and qop=auth.
    pub(crate) fn answer(&self, challenge: &str, password: &str, nc: u32) -> String {
        let nonce = part(challenge, "nonce");
        let realm = part(challenge, "realm");
        let uri = format!("sip:{}", self.server);
        let ha1 = md5_hex(&format!("alice:{realm}:{password}"));
        let ha2 = md5_hex(&format!("REGISTER:{uri}"));
        let response = md5_hex(&format!("{ha1}:{nonce}:{nc:08x}:c:auth:{ha2}"));
        format!(
            "Authorization: Digest username=\"alice\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, qop=auth, nc={nc:08x}, cnonce=\"c\"\r\n"
        )
    }

    /// Answers a request.
    pub(crate) async fn reply(&self, request: &Message, status: &str, extra: &str) {
        let copy = |name: &str| format!("{name}: {}\r\n", request.header(name).unwrap_or_default());
        let tag = if status.starts_with("100") || request.tag("To").is_some() { "" } else { ";tag=callee" };
        let to = request.header("To").unwrap_or_default();
        self.send(&format!(
            "SIP/2.0 {status}\r\n{}{}To: {to}{tag}\r\n{}{}{extra}Content-Length: 0\r\n\r\n",
            copy("Via"),
            copy("From"),
            copy("Call-ID"),
            copy("CSeq"),
        ))
        .await;
    }

    pub(crate) fn contact(&self) -> String {
        format!("Contact: <sip:alice@127.0.0.1:{}>\r\n", self.port())
    }
}

pub(crate) fn part(challenge: &str, name: &str) -> String {
    challenge.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}
