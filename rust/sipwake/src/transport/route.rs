//! Which of a server's addresses comes next (RFC 3263 section 4.3).

use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::FlowError;

use tokio::time::Instant;

use super::Network;
use crate::resolve::{Found, Located};

/// How long the search may take once the first address was left.
const SEARCH: Duration = Duration::from_millis(4500);
/// The least that an address has: a round trip.
const SHORTEST: Duration = Duration::from_millis(250);

/// The addresses of one hop, and those that the flow has left.
pub(super) struct Route<'n> {
    network: &'n Network,
    hop: &'n Hop,
    located: Located,
    /// The addresses are from an earlier look-up. The DNS may have others by now.
    may_be_stale: bool,
    left: Vec<SocketAddr>,
    /// When the first of them was left.
    searching_since: Option<Instant>,
    fault: Option<FlowError>,
}

impl<'n> Route<'n> {
    pub(super) async fn find(hop: &'n Hop, network: &'n Network) -> Result<Self, FlowError> {
        let Found { located, remembered } = network.addresses.of(hop).await?;
        Ok(Self {
            network,
            hop,
            located,
            may_be_stale: remembered,
            left: Vec::new(),
            searching_since: None,
            fault: None,
        })
    }

    pub(super) fn transport(&self) -> Transport {
        self.located.transport
    }

    /// The addresses that the flow has not left, best first.
    pub(super) fn untried(&self) -> Vec<SocketAddr> {
        self.located.addresses.iter().filter(|address| !self.left.contains(address)).copied().collect()
    }

    /// Whether there is another address to go to.
    pub(super) fn leads_on_from(&self, here: SocketAddr) -> bool {
        self.untried().iter().any(|address| *address != here)
    }

    /// How long an address may take that others come after. The first one has the usual time. The others share what is
    /// left of the ten seconds that a caller is kept waiting.
    pub(super) fn share(&self, here: SocketAddr, usual: Duration) -> Duration {
        let Some(since) = self.searching_since else { return usual };
        let others = self.untried().iter().filter(|address| **address != here).count();
        let each = SEARCH.saturating_sub(since.elapsed()) / u32::try_from(others).unwrap_or(u32::MAX).max(1);
        each.clamp(SHORTEST, usual)
    }

    /// Leaves an address that does not serve. It comes last for a while, for other flows, too.
    pub(super) fn leave(&mut self, address: SocketAddr, why: FlowError) {
        log::debug!("{address}: {why}");
        self.network.addresses.failed(address);
        self.left.push(address);
        self.searching_since.get_or_insert_with(Instant::now);
        if self.fault.as_ref().is_none_or(|known| weight(&why) >= weight(known)) {
            self.fault = Some(why);
        }
    }

    /// An address has served until now, so the addresses that were left before it may serve again.
    pub(super) fn served(&mut self) {
        self.left.clear();
        self.searching_since = None;
        self.fault = None;
    }

    /// Takes back the addresses that have responded since they were left.
    pub(super) fn recall(&mut self) {
        self.left.retain(|address| self.network.addresses.is_silent(*address));
    }

    /// Asks the DNS once, if the addresses are from an earlier look-up. Returns whether there is another address.
    pub(super) async fn look_again(&mut self) -> bool {
        if !std::mem::take(&mut self.may_be_stale) {
            return false;
        }
        let found = self.network.addresses.look_up(self.hop).await;
        found.is_ok_and(|located| self.take(located))
    }

    /// Takes the addresses that the DNS gives now. Returns whether one of them is untried.
    pub(super) fn take(&mut self, located: Located) -> bool {
        if located.transport == self.located.transport {
            self.located = located;
        }
        !self.untried().is_empty()
    }

    /// Why no address serves: the reason that says most. That is a certificate's fault, if there is one.
    pub(super) fn fault(self) -> FlowError {
        self.fault.unwrap_or(FlowError::Unresolved)
    }
}

/// How much a reason says to a reader who sees only one.
fn weight(error: &FlowError) -> u8 {
    match error {
        FlowError::Certificate(_) => 4,
        FlowError::ClientCertificate(_) => 3,
        FlowError::Tls(_) | FlowError::WebSocket(_) => 2,
        FlowError::Unresolved | FlowError::Unsupported => 0,
        _ => 1,
    }
}
