//! The TLS handshake. After it, the stream is like any other.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sipwake_core::event::FlowError;
use sipwake_core::sip::Host;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::broken;

/// Does the handshake as a client of `host`. This is the name that the account gives, whatever SRV records lead to (RFC
/// 5922 section 4).
pub(crate) async fn handshake(
    stream: TcpStream,
    host: &Host,
    config: Arc<ClientConfig>,
    by: Instant,
) -> Result<TlsStream<TcpStream>, FlowError> {
    let name = match host {
        Host::V4(address) => ServerName::from(std::net::IpAddr::from(*address)),
        Host::V6(address) => ServerName::from(std::net::IpAddr::from(*address)),
        Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| FlowError::Tls("the server's name is not a host name".into()))?,
    };
    match timeout_at(by, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(FlowError::Tls("no answer to the handshake".into())),
    }
}
