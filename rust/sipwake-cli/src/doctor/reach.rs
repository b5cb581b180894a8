//! The transports that reach the server, and its TLS: not only for the chosen transport.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sipwake::core::account::Hop;
use sipwake::core::sip::{Builder, Method};
use sipwake::{Transport, Uuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::findings::{Finding, Weight};
use super::line::Line;

/// How long one transport is tried.
const PATIENCE: Duration = Duration::from_secs(3);
/// A certificate that expires sooner than this is reported.
const SOON: i64 = 21;
const DAY: i64 = 86_400;

/// The result of one transport.
pub(super) struct Tried {
    pub(super) transport: Transport,
    pub(super) said: Result<String, String>,
    pub(super) finding: Option<Finding>,
}

/// Tries UDP, TCP and TLS at once: on the given port, or else each on its default one. A given port other than SIP's says
/// nothing about a second port for TLS.
pub(super) async fn transports(hop: &Hop, ips: &[IpAddr]) -> Vec<Tried> {
    let Some(ip) = ips.first().copied() else { return Vec::new() };
    let at = |transport: Transport| {
        let given = hop.port.filter(|port| *port != 5060 && *port != 5061);
        match (transport, given) {
            (Transport::Tls, Some(port)) => (hop.transport.is_secure()).then_some(port),
            (_, Some(port)) => (!hop.transport.is_secure()).then_some(port),
            (transport, None) => Some(transport.default_port()),
        }
        .map(|port| SocketAddr::new(ip, port))
    };
    let name = hop.host.ip().map_or_else(|| hop.host.to_string(), |ip| ip.to_string());
    let (udp, tcp, tls) =
        tokio::join!(udp(at(Transport::Udp)), tcp(at(Transport::Tcp)), tls(at(Transport::Tls), &name));
    [
        (Transport::Udp, udp.map(|said| (said, None))),
        (Transport::Tcp, tcp.map(|said| (said, None))),
        (Transport::Tls, tls),
    ]
    .into_iter()
    .filter_map(|(transport, tried)| {
        let (said, finding) = tried?;
        Some(Tried { transport, said, finding })
    })
    .collect()
}

async fn udp(to: Option<SocketAddr>) -> Option<Result<String, String>> {
    let to = to?;
    let asked = async {
        let mut line = Line::open(Transport::Udp, to).await.ok().flatten().ok_or("no socket")?;
        let id = Uuid::new_v5(&Uuid::nil(), format!("{:?}", sipwake::now()).as_bytes()).simple().to_string();
        let request = Builder::request(&Method::Options, &format!("sip:{to}"))
            .header("Via", &format!("SIP/2.0/UDP {};branch=z9hG4bK{id};rport", line.local()))
            .header("Max-Forwards", "70")
            .header("From", "<sip:doctor@doctor.invalid>;tag=doctor")
            .header("To", &format!("<sip:{to}>"))
            .header("Call-ID", &id)
            .header("CSeq", "1 OPTIONS")
            .finish()
            .map_err(|_| "no request")?;
        let answer = line.ask(&request, |message| message.status().is_some()).await;
        answer.ok().flatten().map(|_| format!("{to} answers")).ok_or("no answer")
    };
    Some(match timeout(PATIENCE, asked).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(reason)) => Err(format!("{to}: {reason}")),
        Err(_) => Err(format!("{to}: no answer")),
    })
}

async fn connected(to: SocketAddr) -> Result<TcpStream, String> {
    match timeout(PATIENCE, TcpStream::connect(to)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("{to}: {error}")),
        Err(_) => Err(format!("{to}: no connection")),
    }
}

async fn tcp(to: Option<SocketAddr>) -> Option<Result<String, String>> {
    let to = to?;
    Some(connected(to).await.map(|_| format!("{to} is open")))
}

async fn tls(to: Option<SocketAddr>, name: &str) -> Option<(Result<String, String>, Option<Finding>)> {
    let to = to?;
    let mut versions = Vec::new();
    let (mut certificate, mut failed) = (None, String::new());
    for (version, word) in [(&TLS13, "1.3"), (&TLS12, "1.2")] {
        match handshake(to, name, version).await {
            Ok(der) => {
                versions.push(word);
                certificate = der.or(certificate);
            }
            Err(reason) => failed = reason,
        }
    }
    if versions.is_empty() {
        return Some((Err(failed), None));
    }
    let read = certificate.as_deref().and_then(|der| X509Certificate::from_der(der).ok());
    let now = i64::try_from(sipwake::now().wall.as_secs()).unwrap_or(i64::MAX);
    let days = read.map(|(_, certificate)| (certificate.validity().not_after.timestamp() - now).div_euclid(DAY));
    let until = match days {
        Some(days) if days < 0 => format!(", its certificate expired {} days ago", -days),
        Some(days) => format!(", its certificate is valid for {days} days"),
        None => String::new(),
    };
    let finding = days.filter(|days| (0..SOON).contains(days)).map(|days| {
        Finding::new(
            "certificate-ends-soon",
            Weight::Remark,
            format!("the server's certificate expires in {days} days"),
            "renew it, and automate the renewal (ACME)",
        )
    });
    Some((Ok(format!("{to} speaks TLS {}{until}", versions.join(" and "))), finding))
}

/// Returns the server's certificate. Nothing is sent to the server after that.
async fn handshake(
    to: SocketAddr,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> Result<Option<Vec<u8>>, String> {
    let shown = Arc::new(Shown::default());
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[version]).map_err(|error| error.to_string())?;
    let config = builder.dangerous().with_custom_certificate_verifier(shown.clone()).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let stream = connected(to).await?;
    match timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await {
        Ok(Ok(_)) => Ok(shown.0.lock().unwrap_or_else(PoisonError::into_inner).take()),
        Ok(Err(error)) => Err(format!("{to}: {error}")),
        Err(_) => Err(format!("{to}: no TLS handshake")),
    }
}

/// Reads a certificate without verifying it: the phone's own connection does that.
#[derive(Debug, Default)]
struct Shown(Mutex<Option<Vec<u8>>>);

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, tokio_rustls::rustls::Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the server responds to a keep-alive on a connection (RFC 5626 section 4.4.1); `None` without a connection.
pub(super) async fn pong(to: SocketAddr) -> Option<bool> {
    let mut stream = connected(to).await.ok()?;
    stream.write_all(b"\r\n\r\n").await.ok()?;
    let mut answer = [0; 2];
    Some(matches!(timeout(PATIENCE, stream.read_exact(&mut answer)).await, Ok(Ok(_)) if answer == *b"\r\n"))
}
