//! Which of a server's addresses comes next (RFC 3263 section 4.3).

use std::net::SocketAddr;

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::FlowError;

use super::Network;
use crate::resolve::{Found, Way};

/// The addresses of one hop, and those among them that were left.
pub(super) struct Route<'n> {
    network: &'n Network,
    hop: &'n Hop,
    way: Way,
    /// The addresses are from before: the DNS may know others by now.
    may_be_stale: bool,
    left: Vec<SocketAddr>,
    fault: Option<FlowError>,
}

impl<'n> Route<'n> {
    pub(super) async fn find(hop: &'n Hop, network: &'n Network) -> Result<Self, FlowError> {
        let Found { way, remembered } = network.addresses.of(hop).await?;
        Ok(Self { network, hop, way, may_be_stale: remembered, left: Vec::new(), fault: None })
    }

    pub(super) fn transport(&self) -> Transport {
        self.way.transport
    }

    /// The addresses that were not left, best first.
    pub(super) fn untried(&self) -> Vec<SocketAddr> {
        self.way.addresses.iter().filter(|address| !self.left.contains(address)).copied().collect()
    }

    /// Whether there is another address to go to from this one.
    pub(super) fn leads_on_from(&self, here: SocketAddr) -> bool {
        self.untried().iter().any(|address| *address != here)
    }

    /// An address does not serve. It comes last for a while, for other flows too.
    pub(super) fn leave(&mut self, address: SocketAddr, why: FlowError) {
        log::debug!("{address}: {why}");
        self.network.addresses.failed(address);
        self.left.push(address);
        if self.fault.as_ref().is_none_or(|known| weight(&why) >= weight(known)) {
            self.fault = Some(why);
        }
    }

    /// An address served until now: those that were left before it may serve again.
    pub(super) fn served(&mut self) {
        self.left.clear();
        self.fault = None;
    }

    /// Takes back those that answered after they were left.
    pub(super) fn recall(&mut self) {
        self.left.retain(|address| self.network.addresses.is_silent(*address));
    }

    /// Asks the DNS once where all known addresses are from before. Returns whether there is another address.
    pub(super) async fn look_again(&mut self) -> bool {
        if !std::mem::take(&mut self.may_be_stale) {
            return false;
        }
        let found = self.network.addresses.look_up(self.hop).await;
        found.is_ok_and(|way| self.take(way))
    }

    /// Takes the addresses that the DNS gives by now. Returns whether one of them is untried.
    pub(super) fn take(&mut self, way: Way) -> bool {
        if way.transport == self.way.transport {
            self.way = way;
        }
        !self.untried().is_empty()
    }

    /// Why no address serves: the gravest reason, which is a certificate's fault where there was one.
    pub(super) fn fault(self) -> FlowError {
        self.fault.unwrap_or(FlowError::Unresolved)
    }
}

/// How much a reason says to whoever reads only one of them.
fn weight(error: &FlowError) -> u8 {
    match error {
        FlowError::Certificate(_) => 4,
        FlowError::ClientCertificate(_) => 3,
        FlowError::Tls(_) | FlowError::WebSocket(_) => 2,
        FlowError::Unresolved | FlowError::Unsupported => 0,
        _ => 1,
    }
}
