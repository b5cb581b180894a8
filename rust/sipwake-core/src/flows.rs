//! All flows, each with its account, its purpose, its transport, our address on it, and the beginning of its next
//! message.

use std::net::SocketAddr;

use crate::account::{AccountKey, Hop, Transport};
use crate::event::{FlowId, Output};
use crate::outbox::{Destination, Outbox};
use crate::record::Decision;
use crate::sip::Framer;

/// What a flow is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// The registration in use, and the calls that come over it.
    Calls,
    /// Removals at a left gateway.
    Removals,
}

/// One flow, from the request to open it until it is closed or breaks.
pub(crate) struct Flow {
    id: FlowId,
    account: AccountKey,
    carries: Carries,
    transport: Transport,
    /// The hop names its transport, so the DNS must not choose another one.
    explicit: bool,
    /// Our address on it, once it is up.
    local: Option<SocketAddr>,
    /// A message that has come only in part.
    framer: Option<Box<Framer>>,
    /// The server has more addresses that were not tried.
    leads_on: bool,
    /// It is no longer at the server's first address.
    moved: bool,
}

impl Flow {
    pub(crate) fn account(&self) -> &AccountKey {
        &self.account
    }

    pub(crate) fn has_moved(&self) -> bool {
        self.moved
    }

    pub(crate) fn carries_calls(&self) -> bool {
        self.carries == Carries::Calls
    }

    /// Whether messages must be cut out of a stream of bytes.
    pub(crate) fn is_stream(&self) -> bool {
        self.transport.is_reliable() && !self.transport.is_websocket()
    }
}

/// A flow that is up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Up {
    pub(crate) id: FlowId,
    pub(crate) transport: Transport,
    pub(crate) local: SocketAddr,
}

impl Up {
    /// The destination of what is sent to the flow's peer.
    pub(crate) fn destination(self) -> Destination {
        Destination { flow: self.id, transport: self.transport, to: None }
    }
}

/// All flows of a client.
#[derive(Default)]
pub(crate) struct Flows(Vec<Flow>);

impl Flows {
    /// Asks for a flow.
    pub(crate) fn open(
        &mut self,
        account: &AccountKey,
        carries: Carries,
        hop: Hop,
        local_port: Option<u16>,
        outbox: &mut Outbox,
    ) -> FlowId {
        let id = outbox.flow_id();
        let (transport, explicit) = (hop.transport, hop.explicit_transport);
        // Most clients have one flow. A `Vec` would make room for four, and that is most of the memory of an idle
        // client.
        self.0.reserve_exact(1);
        let account = account.clone();
        let (local, framer, leads_on, moved) = (None, None, false, false);
        self.0.push(Flow { id, account, carries, transport, explicit, local, framer, leads_on, moved });
        outbox.note(&self.0[self.0.len() - 1].account, Decision::FlowOpened { over: hop.transport.into() });
        outbox.push(Output::Open { flow: id, hop, local_port });
        id
    }

    pub(crate) fn close(&mut self, id: FlowId, outbox: &mut Outbox) {
        self.forget(id);
        outbox.push(Output::Close(id));
    }

    /// Removes a flow that broke or never opened.
    pub(crate) fn forget(&mut self, id: FlowId) {
        self.0.retain(|flow| flow.id != id);
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.0.iter().find(|flow| flow.id == id)
    }

    /// Returns a flow if it is up.
    pub(crate) fn up(&self, id: FlowId) -> Option<Up> {
        let flow = self.get(id)?;
        Some(Up { id, transport: flow.transport, local: flow.local? })
    }

    pub(crate) fn came_up(&mut self, id: FlowId, local: SocketAddr) {
        if let Some(flow) = self.get_mut(id) {
            flow.moved |= flow.local.is_some();
            flow.local = Some(local);
            flow.framer = None;
        }
    }

    pub(crate) fn leads_on(&mut self, id: FlowId, leads_on: bool) {
        if let Some(flow) = self.get_mut(id) {
            flow.leads_on = leads_on;
        }
    }

    /// Asks for a flow's next address. Returns whether there is one. If so, the flow is down until it comes up there.
    pub(crate) fn next_address(&mut self, id: FlowId, outbox: &mut Outbox) -> bool {
        let Some(flow) = self.get_mut(id).filter(|flow| flow.leads_on) else { return false };
        (flow.local, flow.leads_on, flow.moved) = (None, false, true);
        outbox.note(&flow.account, Decision::NextAddress {});
        outbox.push(Output::NextAddress(id));
        true
    }

    /// A flow moves to another address. What still comes from the old address comes on `left`.
    pub(crate) fn leave(&mut self, id: FlowId, left: FlowId) {
        let Some(flow) = self.get_mut(id) else { return };
        let (account, carries) = (flow.account.clone(), Carries::Removals);
        let was = Flow { id: left, account, carries, framer: None, leads_on: false, ..*flow };
        (flow.local, flow.moved) = (None, true);
        self.0.push(was);
    }

    /// Takes the transport that the DNS chose for a flow that is being opened. It does not replace one that the hop
    /// names, and a transport without TLS does not replace one with TLS.
    pub(crate) fn choose_transport(&mut self, id: FlowId, chosen: Transport) {
        if let Some(flow) = self.get_mut(id)
            && flow.local.is_none()
            && !flow.explicit
            && (chosen.is_secure() || !flow.transport.is_secure())
        {
            flow.transport = chosen;
        }
    }

    /// Takes the framer of a stream. [`keep_framer`](Self::keep_framer) gives it back.
    pub(crate) fn take_framer(&mut self, id: FlowId) -> Framer {
        self.get_mut(id).and_then(|flow| flow.framer.take()).map(|framer| *framer).unwrap_or_default()
    }

    /// Keeps the part of a message that has come.
    pub(crate) fn keep_framer(&mut self, id: FlowId, framer: Framer) {
        if let Some(flow) = self.get_mut(id).filter(|_| !framer.is_idle()) {
            flow.framer = Some(Box::new(framer));
        }
    }

    fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.0.iter_mut().find(|flow| flow.id == id)
    }
}
