//! The one flow that a registration runs on: opened when something is to be sent, followed when it breaks or the network changes.

use std::net::SocketAddr;
use std::time::Duration;

use super::{OverTcp, Pace, Registration, backoff};
use crate::account::{Hop, Transport};
use crate::clock::Now;
use crate::event::{Failure, FlowError, FlowId, Output};
use crate::mutation::{Mutation, active};
use crate::outbox::Outbox;

/// A flow that can be sent on.
#[derive(Debug, Clone)]
pub(crate) struct FlowUp {
    pub(crate) id: FlowId,
    pub(crate) transport: Transport,
    pub(crate) local: SocketAddr,
    /// The address in our Contact, where that follows what the server saw.
    pub(super) seen: Option<Box<SocketAddr>>,
    /// A REGISTER was accepted on it.
    pub(super) proven: bool,
}

impl FlowUp {
    /// The address in our Contact: the local one, or the one the server saw.
    pub(super) fn contact(&self) -> SocketAddr {
        self.seen.as_deref().copied().unwrap_or(self.local)
    }
}

/// A flow that was asked for.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) id: FlowId,
    pub(super) transport: Transport,
    /// The transport was given, not taken by default.
    explicit: bool,
    /// Over TCP only because our requests are too large for UDP.
    pub(super) for_size: bool,
}

impl Opening {
    /// Asks for a flow to a hop, over TCP where our requests are too large for UDP.
    pub(super) fn ask(mut hop: Hop, over_tcp: OverTcp, local_port: Option<u16>, outbox: &mut Outbox) -> Self {
        let for_size = hop.transport == Transport::Udp && over_tcp == OverTcp::Wanted;
        if for_size {
            hop.transport = Transport::Tcp;
        }
        let (id, explicit) = (outbox.flow_id(), hop.explicit_transport);
        let opening = Self { id, transport: hop.transport, explicit, for_size };
        outbox.push(Output::Open { flow: opening.id, hop, local_port });
        opening
    }

    pub(super) fn take_transport(&mut self, chosen: Transport) {
        if !self.explicit && (chosen.is_secure() || !self.transport.is_secure()) {
            self.transport = chosen;
        }
    }

    pub(super) fn came_up(&self, local: SocketAddr) -> FlowUp {
        FlowUp { id: self.id, transport: self.transport, local, seen: None, proven: false }
    }
}

#[derive(Debug)]
pub(super) enum Flow {
    None,
    Opening(Opening),
    Up(FlowUp),
}

/// Where a 3xx sent us.
#[derive(Debug, Clone)]
pub(super) struct Redirect {
    pub(super) uri: String,
    pub(super) hop: Hop,
}

impl Registration {
    pub(crate) fn owns(&self, flow: FlowId) -> bool {
        match &self.flow {
            Flow::None => false,
            Flow::Opening(opening) => opening.id == flow,
            Flow::Up(up) => up.id == flow,
        }
    }

    pub(crate) fn flow_up(&self) -> Option<&FlowUp> {
        match &self.flow {
            Flow::Up(up) => Some(up),
            Flow::None | Flow::Opening(_) => None,
        }
    }

    pub(super) fn open(&mut self, outbox: &mut Outbox, now: Now) {
        let hop = match &self.redirect {
            Some(redirect) => redirect.hop.clone(),
            None => {
                // A call waits where the binding is, and there it is to be removed; else the best gateway is chosen.
                let home = self.home().filter(|home| self.gateways.is_untried(*home));
                let home = home.filter(|_| self.hurry > 0 || self.leaving);
                let best = || self.gateways.next(now.boot).unwrap_or_else(|| self.gateways.best(now.boot));
                let hop = home.unwrap_or_else(best);
                if hop != self.hop {
                    self.hope_for_tcp();
                }
                self.hop = hop;
                self.account.hops()[self.hop].clone()
            }
        };
        self.flow = Flow::Opening(Opening::ask(hop, self.over_tcp, self.local_port, outbox));
    }

    /// Another gateway may listen on TCP though one did not; and one that could not be reached may have been down.
    pub(super) fn hope_for_tcp(&mut self) {
        if self.over_tcp == OverTcp::Impossible && !active(Mutation::TcpGivenUpForGood) {
            self.over_tcp = OverTcp::Wanted;
        }
    }

    pub(crate) fn flow_transport_chosen(&mut self, flow: FlowId, chosen: Transport) {
        let used = match &mut self.flow {
            Flow::Opening(opening) => Some(opening),
            Flow::None | Flow::Up(_) => None,
        };
        let former = self.former_gateway.as_mut().filter(|_| !active(Mutation::FormerIgnoresDns));
        let former = former.and_then(|former| former.opening());
        if let Some(opening) = used.into_iter().chain(former).find(|opening| opening.id == flow) {
            opening.take_transport(chosen);
        }
    }

    pub(crate) fn flow_came_up(&mut self, flow: FlowId, local: SocketAddr) {
        self.former_flow_came_up(flow, local);
        if let Flow::Up(up) = &mut self.flow
            && up.id == flow
        {
            (up.local, up.seen) = (local, None);
            return self.interrupt();
        }
        if let Flow::Opening(opening) = &self.flow
            && opening.id == flow
        {
            let up = opening.came_up(local);
            if up.transport == Transport::Udp {
                // The same port at the next try: else each try would leave another Contact that the server may hold.
                self.local_port = Some(local.port());
            }
            // A new flow is a new Contact, whose predecessor may need removing as often as the one before.
            self.cleanups = 0;
            self.flow = Flow::Up(up);
            self.liveness.opened();
            self.moves = 0;
        }
    }

    pub(crate) fn flow_went_down(&mut self, error: FlowError, outbox: &mut Outbox, now: Now) {
        let idle = self.attempt.is_none() && matches!(self.flow, Flow::Up(_));
        let for_size = matches!(&self.flow, Flow::Opening(opening) if opening.for_size);
        let proven = self.flow_up().is_some_and(|up| up.proven);
        self.flow = Flow::None;
        self.keep_alive_at = None;
        if self.pace == Pace::Stopped {
            return;
        }
        if for_size {
            log::info!("{}: {error}; sending a large request over UDP all the same", self.key);
            self.over_tcp = OverTcp::Impossible;
            self.due = true;
            return;
        }
        if !idle {
            self.interrupt();
            // A connection that died unnoticed, found out by the REGISTER of a wake: its call cannot wait for a back-off. A
            // new flow is not proven, so this happens once.
            if proven {
                return;
            }
            return self.fail(Failure::Flow(error), None, outbox, now);
        }
        // A server that closes what it just accepted would otherwise be called in a loop.
        const SETTLED: Duration = Duration::from_secs(60);
        self.due = true;
        self.redirect = None;
        if self.registered_at.is_none_or(|at| now.boot.saturating_sub(at) < SETTLED) {
            self.pace = Pace::BackingOff(now.boot + backoff::wait(self.short_flows, outbox.random()));
            self.short_flows += 1;
        } else {
            self.short_flows = 0;
        }
    }

    /// The device's network changed: the old flow is worth nothing.
    pub(crate) fn network_changed(&mut self, outbox: &mut Outbox, now: Now) {
        self.drop_flow(outbox);
        self.give_former_up(outbox, now);
        self.interrupt();
        self.due = true;
        if self.pace != Pace::Stopped {
            self.pace = Pace::Free;
        }
        self.failures = 0;
        self.gateways.forget_failures();
        self.over_tcp = OverTcp::Not;
        self.redirect = None;
    }

    /// Closes every flow: the registration is given up.
    pub(crate) fn close(&mut self, outbox: &mut Outbox) {
        self.drop_flow(outbox);
        self.close_former(outbox);
    }

    pub(crate) fn drop_flow(&mut self, outbox: &mut Outbox) {
        match std::mem::replace(&mut self.flow, Flow::None) {
            Flow::None => {}
            Flow::Opening(Opening { id: flow, .. }) | Flow::Up(FlowUp { id: flow, .. }) => {
                outbox.push(Output::Close(flow))
            }
        }
        self.keep_alive_at = None;
    }
}
