//! A front for a server that only speaks TCP: it unwraps TLS, WebSocket (RFC 7118) or both, and passes on the content.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use mock_gateway::parse::frame;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};

/// Any port of this machine.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the front unwraps from a connection.
#[derive(Clone)]
enum Layers {
    Tls(TlsAcceptor),
    Ws,
    Wss(TlsAcceptor),
}

/// A certificate authority. Its servers are this machine, under `localhost` and 127.0.0.1 or under other names.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "Test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }
}

impl Authority {
    /// Returns the authority's own certificate, for the client to trust.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Returns what a server of this machine needs to speak these versions of TLS.
    pub fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        self.server_named(&["localhost", "127.0.0.1"], versions)
    }

    /// Returns what a server of these names needs to speak these versions of TLS.
    pub fn server_named(&self, names: &[&str], versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("ring has both")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they fit");
        Arc::new(config)
    }
}

/// A running front. Dropping it closes its connections.
pub struct Front {
    addr: SocketAddr,
    layers: Layers,
    _tasks: JoinSet<()>,
}

impl Front {
    /// Unwraps TLS.
    pub async fn tls(to: SocketAddr, config: Arc<ServerConfig>) -> Self {
        Self::start(LOOPBACK, to, Layers::Tls(config.into())).await
    }

    /// Unwraps WebSocket.
    pub async fn ws(to: SocketAddr) -> Self {
        Self::start(LOOPBACK, to, Layers::Ws).await
    }

    /// Unwraps WebSocket inside TLS.
    pub async fn wss(to: SocketAddr, config: Arc<ServerConfig>) -> Self {
        Self::start(LOOPBACK, to, Layers::Wss(config.into())).await
    }

    /// Unwraps the same on the same port of another address, in front of another server.
    pub async fn twin(&self, address: IpAddr, to: SocketAddr) -> Self {
        Self::start(SocketAddr::new(address, self.addr.port()), to, self.layers.clone()).await
    }

    async fn start(at: SocketAddr, to: SocketAddr, layers: Layers) -> Self {
        let listener = TcpListener::bind(at).await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let front = layers.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                let Ok((client, _)) = listener.accept().await else { continue };
                connections.spawn(carry(client, to, layers.clone()));
            }
        });
        Self { addr, layers: front, _tasks: tasks }
    }

    /// Returns where clients reach it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A broken connection concerns only its two ends.
async fn carry(client: TcpStream, to: SocketAddr, layers: Layers) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    match layers {
        Layers::Tls(acceptor) => {
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
        Layers::Ws => unframe(client, server).await,
        Layers::Wss(acceptor) => {
            let Ok(client) = acceptor.accept(client).await else { return };
            unframe(client, server).await;
        }
    }
}

/// Agrees to speak SIP, then passes on each WebSocket message as one SIP message, in both directions.
async fn unframe<S: AsyncRead + AsyncWrite + Unpin>(client: S, mut server: TcpStream) {
    #[allow(clippy::result_large_err, reason = "tungstenite's own type")]
    let agree = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        // As OpenSIPS does.
        if !request.headers().contains_key("Origin") {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            return Err(refusal);
        }
        if request.headers().get("Sec-WebSocket-Protocol").is_some_and(|asked| asked == "sip") {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
        }
        Ok(response)
    };
    let Ok(mut client) = accept_hdr_async(client, agree).await else { return };
    let (mut from_server, mut to_server) = server.split();
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            message = client.next() => {
                let sent = match message {
                    Some(Ok(Message::Text(text))) => to_server.write_all(text.as_bytes()).await,
                    Some(Ok(Message::Binary(bytes))) => to_server.write_all(&bytes).await,
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                if sent.is_err() {
                    return;
                }
            }
            read = from_server.read_buf(&mut waiting) => {
                if !matches!(read, Ok(1..)) {
                    let _ = client.close(None).await;
                    return;
                }
                while let Ok(Some(length)) = frame(&waiting) {
                    let message: Vec<u8> = waiting.drain(..length).collect();
                    if client.send(Message::binary(message)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
