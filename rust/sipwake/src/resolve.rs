//! From a hop to the addresses to try.

use std::net::{IpAddr, SocketAddr};

use sipwake_core::account::Hop;
use sipwake_core::event::FlowError;
use sipwake_core::sip::Host;

/// Returns the addresses of a hop, as the system's resolver orders them.
pub(crate) async fn resolve(hop: &Hop) -> Result<Vec<SocketAddr>, FlowError> {
    let port = hop.port.unwrap_or(hop.transport.default_port());
    let addresses = match &hop.host {
        Host::V4(address) => vec![SocketAddr::new(IpAddr::V4(*address), port)],
        Host::V6(address) => vec![SocketAddr::new(IpAddr::V6(*address), port)],
        Host::Name(name) => match tokio::net::lookup_host((name.as_str(), port)).await {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                log::debug!("{name}: {error}");
                Vec::new()
            }
        },
    };
    if addresses.is_empty() { Err(FlowError::Unresolved) } else { Ok(addresses) }
}
