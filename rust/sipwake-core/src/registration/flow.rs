//! The one flow that a registration runs on: opened when something is to be sent, followed when it breaks or the network changes.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Context, OverTcp, Pace, Registration, backoff};
use crate::account::{Hop, Transport};
use crate::clock::Now;
use crate::event::{Failure, FlowError, FlowId, Output};

/// A flow that can be sent on.
#[derive(Debug, Clone)]
pub(crate) struct FlowUp {
    pub(crate) id: FlowId,
    pub(crate) hop: Hop,
    pub(crate) local: SocketAddr,
    /// The address in our Contact: the local one, or the one the server saw.
    pub(crate) contact: SocketAddr,
}

#[derive(Debug)]
pub(super) enum Flow {
    None,
    Opening(FlowId, Hop),
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
            Flow::Opening(id, _) => *id == flow,
            Flow::Up(up) => up.id == flow,
        }
    }

    pub(crate) fn flow_up(&self) -> Option<&FlowUp> {
        match &self.flow {
            Flow::Up(up) => Some(up),
            Flow::None | Flow::Opening(..) => None,
        }
    }

    pub(super) fn open(&mut self, cx: &mut Context, now: Now) {
        let mut hop = match &self.redirect {
            Some(redirect) => redirect.hop.clone(),
            None => {
                self.hop = self.gateways.next(now.boot).unwrap_or_else(|| self.gateways.best(now.boot));
                self.account.hops()[self.hop].clone()
            }
        };
        if hop.transport == Transport::Udp && self.over_tcp == OverTcp::Wanted {
            hop.transport = Transport::Tcp;
        }
        let flow = FlowId(cx.next_flow);
        cx.next_flow += 1;
        self.flow = Flow::Opening(flow, hop.clone());
        cx.outputs.push_back(Output::Open { flow, hop, local_port: self.local_port });
    }

    pub(crate) fn flow_transport_chosen(&mut self, flow: FlowId, transport: Transport) {
        if let Flow::Opening(id, hop) = &mut self.flow
            && *id == flow
            && !hop.explicit_transport
            && (transport.is_secure() || !hop.transport.is_secure())
        {
            hop.transport = transport;
        }
    }

    pub(crate) fn flow_came_up(&mut self, flow: FlowId, local: SocketAddr) {
        self.former_flow_came_up(flow, local);
        if let Flow::Up(up) = &mut self.flow
            && up.id == flow
        {
            (up.local, up.contact) = (local, local);
            return self.interrupt();
        }
        if let Flow::Opening(id, hop) = &self.flow
            && *id == flow
        {
            if hop.transport == Transport::Udp {
                // The same port at the next try: else each try would leave another Contact that the server may hold.
                self.local_port = Some(local.port());
            }
            // A new flow is a new Contact, whose predecessor may need removing as often as the one before.
            self.cleanups = 0;
            self.flow = Flow::Up(FlowUp { id: flow, hop: hop.clone(), local, contact: local });
            self.liveness.opened();
            self.moves = 0;
        }
    }

    pub(crate) fn flow_went_down(&mut self, error: FlowError, cx: &mut Context, now: Now) {
        let idle = self.attempt.is_none() && matches!(self.flow, Flow::Up(_));
        let opening = matches!(self.flow, Flow::Opening(..));
        let proven = self.flow_up().is_some_and(|up| self.proven_flow == Some(up.id));
        self.flow = Flow::None;
        self.keep_alive_at = None;
        if self.pace == Pace::Stopped {
            return;
        }
        if opening && self.over_tcp == OverTcp::Wanted {
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
            return self.fail(Failure::Flow(error), None, cx, now);
        }
        // A server that closes what it just accepted would otherwise be called in a loop.
        const SETTLED: Duration = Duration::from_secs(60);
        self.due = true;
        self.redirect = None;
        if self.registered_at.is_none_or(|at| now.boot.saturating_sub(at) < SETTLED) {
            self.pace = Pace::BackingOff(now.boot + backoff::wait(self.short_flows, &mut cx.random));
            self.short_flows += 1;
        } else {
            self.short_flows = 0;
        }
    }

    /// The device's network changed: the old flow is worth nothing.
    pub(crate) fn network_changed(&mut self, cx: &mut Context, now: Now) {
        self.drop_flow(cx);
        self.give_former_up(cx, now);
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
    pub(crate) fn close(&mut self, cx: &mut Context) {
        self.drop_flow(cx);
        self.forget_former(cx);
    }

    pub(crate) fn drop_flow(&mut self, cx: &mut Context) {
        match std::mem::replace(&mut self.flow, Flow::None) {
            Flow::None => {}
            Flow::Opening(flow, _) | Flow::Up(FlowUp { id: flow, .. }) => cx.outputs.push_back(Output::Close(flow)),
        }
        self.keep_alive_at = None;
    }
}
