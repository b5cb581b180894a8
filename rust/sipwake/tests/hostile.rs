//! Hostile servers on real sockets, over each kind of connection: bounded time, memory and requests.
#![cfg(all(feature = "tls", feature = "ws"))]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use networks::Authority;
use rustls::version::{TLS12, TLS13};
use sipwake::{AccountConfig, Client, Event, Events, Failure, FlowError, MemoryStore, Options, Transport, Trust};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Makes a test of each function for each kind of connection.
macro_rules! over_every_connection {
    ($($name:ident),* $(,)?) => {
        over_every_connection!(@over tcp Tcp $($name)*);
        over_every_connection!(@over tls Tls $($name)*);
        over_every_connection!(@over ws Ws $($name)*);
        over_every_connection!(@over wss Wss $($name)*);
    };
    (@over $module:ident $transport:ident $($name:ident)*) => {
        mod $module {
            $(#[tokio::test]
            async fn $name() { super::$name(super::Transport::$transport).await })*
        }
    };
}

over_every_connection!(
    endless_headers_close_the_connection,
    the_client_does_not_wait_for_a_body_of_a_gigabyte,
    ten_thousand_contacts_do_no_harm,
    endless_challenges_end_after_a_few_requests,
    a_redirect_to_itself_ends_after_a_few_requests,
    a_response_in_single_bytes_is_still_a_response,
    garbage_is_no_answer,
);

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}
type Stream = Box<dyn Io>;

/// The server's end of a connection. Over WebSocket, each send is one message.
enum Wire {
    Stream(Stream),
    WebSocket(Box<WebSocketStream<Stream>>),
}

impl Wire {
    async fn open(stream: TcpStream, over: Transport, tls: &TlsAcceptor) -> Option<Self> {
        let mut stream: Stream = match over {
            Transport::Tls | Transport::Wss => Box::new(tls.accept(stream).await.ok()?),
            _ => Box::new(stream),
        };
        if !over.is_websocket() {
            return Some(Self::Stream(stream));
        }
        agree(&mut stream).await?;
        Some(Self::WebSocket(Box::new(WebSocketStream::from_raw_socket(stream, Role::Server, None).await)))
    }

    async fn receive(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Stream(stream) => {
                let mut piece = vec![0; 4096];
                let length = stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
                piece.truncate(length);
                Some(piece)
            }
            Self::WebSocket(socket) => loop {
                match socket.next().await?.ok()? {
                    Message::Text(text) => return Some(text.as_bytes().to_vec()),
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Option<()> {
        let bytes = bytes.as_ref();
        match self {
            Self::Stream(stream) => stream.write_all(bytes).await.ok(),
            Self::WebSocket(socket) => socket.send(Message::binary(bytes.to_vec())).await.ok(),
        }
    }

    /// Sends one byte at a time. Over WebSocket, each byte is a frame of one message.
    async fn drip(&mut self, bytes: impl AsRef<[u8]>) -> Option<()> {
        let bytes = bytes.as_ref();
        for (index, byte) in bytes.iter().enumerate() {
            match self {
                Self::Stream(stream) => {
                    stream.write_all(&[*byte]).await.ok()?;
                    stream.flush().await.ok()?;
                }
                Self::WebSocket(socket) => {
                    let kind = if index == 0 { Data::Binary } else { Data::Continue };
                    let last = index + 1 == bytes.len();
                    socket.send(Message::Frame(Frame::message(vec![*byte], OpCode::Data(kind), last))).await.ok()?;
                }
            }
            tokio::task::yield_now().await;
        }
        Some(())
    }
}

/// RFC 6455 section 4.2.2, with the sub-protocol of RFC 7118.
async fn agree(stream: &mut Stream) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let request = String::from_utf8(request).ok()?;
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("Sec-WebSocket-Key").then_some(value)
    })?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(answer.as_bytes()).await.ok()
}

/// A server, and how many requests it got.
struct Server {
    addr: SocketAddr,
    over: Transport,
    authority: Authority,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Listens, counts the requests, and lets `answer` respond to each.
async fn serve<F, A>(over: Transport, answer: F) -> Server
where
    F: Fn(String, Wire, u16) -> A + Send + Sync + 'static,
    A: Future<Output = Option<Wire>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let authority = Authority::default();
    let tls = TlsAcceptor::from(authority.server(&[&TLS13, &TLS12]));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, counted, tls) = (answer.clone(), counted.clone(), tls.clone());
            tokio::spawn(async move {
                let mut wire = Wire::open(stream, over, &tls).await?;
                let mut request = Vec::new();
                loop {
                    request.extend(wire.receive().await?);
                    if request.ends_with(b"\r\n\r\n") {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let text = String::from_utf8_lossy(&request).into_owned();
                        request.clear();
                        wire = answer(text, wire, addr.port()).await?;
                    }
                }
                #[allow(unreachable_code, reason = "it names the task's type")]
                Some(())
            });
        }
    });
    Server { addr, over, authority, requests }
}

fn response(request: &str, status: &str, lines: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    text + lines + "Content-Length: 0\r\n\r\n"
}

async fn register(server: &Server) -> (Client, Events) {
    let trust = Trust::default().only_authorities(server.authority.pem().as_bytes()).expect("an authority");
    let (client, events) = Client::start_with(Arc::new(MemoryStore::default()), Options::default().trust(trust));
    let mut account = AccountConfig::new("sip:alice@example.com", "secret");
    account.gateways = vec![server.addr.to_string()];
    account.transport = Some(server.over);
    let account = client.add_account(account, None).await.expect("a valid account");
    client.register(&account).await.expect("it was added");
    (client, events)
}

async fn outcome(events: &mut Events) -> Result<usize, Failure> {
    let wait = async {
        loop {
            match events.next().await.expect("the client runs") {
                Event::Registered { registered, .. } => return Ok(registered.contact.expose().len()),
                Event::RegistrationFailed { failure, .. } => return Err(failure),
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(120), wait).await.expect("an outcome in bounded time")
}

async fn endless_headers_close_the_connection(over: Transport) {
    let server = serve(over, |_, mut wire, _| async move {
        wire.send("SIP/2.0 200 OK\r\n").await?;
        // Far more than the client ever holds. It closes the connection long before.
        let line = [b"X-Padding: ".as_slice(), &[b'a'; 1000], b"\r\n"].concat();
        for _ in 0..100_000 {
            wire.send(&line).await?;
        }
        panic!("100 MB of headers were taken");
    })
    .await;
    let (_client, mut events) = register(&server).await;
    assert_eq!(outcome(&mut events).await, Err(Failure::Flow(FlowError::Garbage)));
    assert_eq!(server.requests(), 1);
}

async fn the_client_does_not_wait_for_a_body_of_a_gigabyte(over: Transport) {
    let server = serve(over, |request, mut wire, _| async move {
        wire.send(response(&request, "200 OK", "").replace("Content-Length: 0", "Content-Length: 1073741824")).await?;
        Some(wire)
    })
    .await;
    let (_client, mut events) = register(&server).await;
    assert_eq!(outcome(&mut events).await, Err(Failure::Flow(FlowError::Garbage)));
}

async fn ten_thousand_contacts_do_no_harm(over: Transport) {
    let server = serve(over, |request, mut wire, _| async move {
        let mut lines = String::new();
        for index in 0..10_000 {
            lines.push_str(&format!("Contact: <sip:alice@192.0.2.1:{index}>;expires=60\r\n"));
        }
        wire.send(response(&request, "200 OK", &lines)).await?;
        Some(wire)
    })
    .await;
    let (_client, mut events) = register(&server).await;
    let outcome = outcome(&mut events).await;
    assert!(matches!(outcome, Err(Failure::Flow(FlowError::Garbage)) | Ok(_)), "{outcome:?}");
    assert!(server.requests() <= 2);
}

async fn endless_challenges_end_after_a_few_requests(over: Transport) {
    let server = serve(over, |request, mut wire, _| async move {
        static NONCE: AtomicUsize = AtomicUsize::new(0);
        let nonce = NONCE.fetch_add(1, Ordering::SeqCst);
        let challenge =
            format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\", stale=true\r\n");
        wire.send(response(&request, "401 Unauthorized", &challenge)).await?;
        Some(wire)
    })
    .await;
    let (_client, mut events) = register(&server).await;
    let outcome = outcome(&mut events).await;
    assert!(matches!(outcome, Err(Failure::Unanswerable(_))), "{outcome:?}");
    sleep(Duration::from_millis(300)).await;
    assert!(server.requests() <= 8);
}

async fn a_redirect_to_itself_ends_after_a_few_requests(over: Transport) {
    let server = serve(over, move |request, mut wire, port| async move {
        let contact = format!("Contact: <sip:127.0.0.1:{port};transport={}>\r\n", over.param());
        wire.send(response(&request, "302 Moved", &contact)).await?;
        Some(wire)
    })
    .await;
    let (_client, mut events) = register(&server).await;
    assert_eq!(outcome(&mut events).await, Err(Failure::Circles));
    sleep(Duration::from_millis(300)).await;
    assert!(server.requests() <= 8);
}

async fn a_response_in_single_bytes_is_still_a_response(over: Transport) {
    let server = serve(over, |request, mut wire, _| async move {
        wire.drip(response(&request, "200 OK", "Expires: 600\r\n")).await?;
        Some(wire)
    })
    .await;
    let (_client, mut events) = register(&server).await;
    assert!(outcome(&mut events).await.is_ok());
    assert_eq!(server.requests(), 1);
}

async fn garbage_is_no_answer(over: Transport) {
    let server = serve(over, |_, mut wire, _| async move {
        wire.send(b"\xff\x00\x80 none of it\r\nis SIP\r\n\r\n").await?;
        Some(wire)
    })
    .await;
    let (_client, mut events) = register(&server).await;
    assert_eq!(outcome(&mut events).await, Err(Failure::Flow(FlowError::Garbage)));
    assert_eq!(server.requests(), 1, "back-off");
}

/// Answers a REGISTER over WebSocket with bytes that no library would send.
async fn raw(over: Transport, answer: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
    let answer = Arc::new(answer);
    serve(over, move |_, wire, _| {
        let answer = answer.clone();
        async move {
            let Wire::WebSocket(mut socket) = wire else { panic!("there are no frames") };
            let pieces = (0..).map_while(|index| answer(index));
            for piece in pieces {
                socket.get_mut().write_all(&piece).await.ok()?;
            }
            socket.get_mut().flush().await.ok()?;
            Some(Wire::WebSocket(socket))
        }
    })
    .await
}

#[tokio::test]
async fn the_client_does_not_wait_for_a_frame_of_a_gigabyte() {
    for over in [Transport::Ws, Transport::Wss] {
        // RFC 6455 section 5.2: FIN, binary; no mask, 64 bits of length.
        let head = [vec![0x82, 127], (1_u64 << 30).to_be_bytes().to_vec()].concat();
        let server = raw(over, move |index| (index == 0).then(|| head.clone())).await;
        let (_client, mut events) = register(&server).await;
        assert_eq!(outcome(&mut events).await, Err(Failure::Flow(FlowError::Garbage)));
    }
}

#[tokio::test]
async fn an_endless_message_in_fragments_closes_the_connection() {
    for over in [Transport::Ws, Transport::Wss] {
        let fragment = |index: usize| {
            assert!(index < 100_000, "100 MB of fragments were taken");
            // Not FIN; binary, then its continuation; 1000 bytes.
            let head = [u8::from(index == 0) * 2, 126, 0x03, 0xe8];
            Some([head.as_slice(), &[b'a'; 1000]].concat())
        };
        let server = raw(over, fragment).await;
        let (_client, mut events) = register(&server).await;
        assert_eq!(outcome(&mut events).await, Err(Failure::Flow(FlowError::Garbage)));
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn bytes_that_are_no_websocket_frame_close_the_connection() {
    for over in [Transport::Ws, Transport::Wss] {
        let server = raw(over, |index| (index == 0).then(|| vec![0xff; 5000])).await;
        let (_client, mut events) = register(&server).await;
        let outcome = outcome(&mut events).await;
        assert!(matches!(outcome, Err(Failure::Flow(FlowError::WebSocket(_)))), "{outcome:?}");
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn an_endless_http_response_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let flood = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let line = [b"X-Padding: ".as_slice(), &[b'a'; 1000], b"\r\n"].concat();
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await.ok()?;
        for _ in 0..100_000 {
            stream.write_all(&line).await.ok()?;
        }
        Some(())
    });
    let server = Server { addr, over: Transport::Ws, authority: Authority::default(), requests: Arc::default() };
    let (_client, mut events) = register(&server).await;
    let outcome = outcome(&mut events).await;
    assert!(matches!(outcome, Err(Failure::Flow(_))), "{outcome:?}");
    assert_eq!(flood.await.expect("the server ends"), None, "100 MB of headers were taken");
}
