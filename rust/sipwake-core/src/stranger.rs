//! Calls that come past the registrar: datagrams from elsewhere than a flow's peer. Refused unless the app allows them,
//! since whoever finds the port could make the phone ring (RFC 5626 section 5.3 has requests come on the flow alone).
//!
//! A stranger gets a name of its own, like a flow: answers to it and requests inside its call are transmitted to that
//! name, which [`UserAgent::destination`] turns into the flow and the address.

use std::net::SocketAddr;

use crate::clock::Now;
use crate::event::{Discard, FlowId};
use crate::sip::{Message, Method};
use crate::user_agent::UserAgent;

/// Strangers with a call, or lately without one.
const MAX_STRANGERS: usize = 32;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stranger {
    name: FlowId,
    flow: FlowId,
    address: SocketAddr,
}

impl UserAgent {
    /// Allows calls from addresses that are not the registrar's, or refuses them (the default).
    pub fn allow_unsolicited_calls(&mut self, allow: bool) {
        self.unsolicited = allow;
    }

    /// Takes a datagram that came in on a flow's socket from another address than the flow's peer. It is dropped and
    /// counted, unless unsolicited calls are allowed and it belongs to one.
    pub fn handle_stranger(&mut self, flow: FlowId, source: SocketAddr, bytes: &[u8], now: Now) {
        if !self.unsolicited || !self.is_alive(flow) {
            return self.discard(Discard::Unsolicited);
        }
        let Ok(message) = Message::parse(bytes) else { return self.discard(Discard::Malformed) };
        if message.code().is_some() {
            // Never to a REGISTER: only the registrar answers those.
            if !self.handle_call_response(&message, now) {
                self.discard(Discard::ForeignResponse);
            }
            return self.settle(now);
        }
        let within = message.to_tag().is_some();
        let of_call = matches!(message.method(), Some(Method::Invite | Method::Ack | Method::Cancel));
        if !within && !of_call {
            return self.discard(Discard::Unsolicited);
        }
        match self.name_of(flow, source) {
            Some(name) => self.handle_request(name, message, now),
            None => self.discard(Discard::TooManyCalls),
        }
        self.settle(now);
    }

    /// Returns on which flow a [`Transmit`](crate::event::Output::Transmit) goes out and, if not to the flow's peer, whereto.
    pub fn destination(&self, flow: FlowId) -> (FlowId, Option<SocketAddr>) {
        let stranger = self.strangers.iter().find(|stranger| stranger.name == flow);
        stranger.map_or((flow, None), |stranger| (stranger.flow, Some(stranger.address)))
    }

    /// The flow behind a name.
    pub(crate) fn flow_of(&self, name: FlowId) -> FlowId {
        self.destination(name).0
    }

    fn name_of(&mut self, flow: FlowId, address: SocketAddr) -> Option<FlowId> {
        if let Some(known) = self.strangers.iter().find(|known| known.flow == flow && known.address == address) {
            return Some(known.name);
        }
        if self.strangers.len() >= MAX_STRANGERS {
            let idle = |stranger: &Stranger| {
                self.invitations.iter().all(|invitation| invitation.flow != stranger.name)
                    && self.sessions.iter().all(|session| session.flow != stranger.name)
            };
            let oldest = self.strangers.iter().position(idle)?;
            self.strangers.remove(oldest);
        }
        let name = self.outbox.flow_id();
        self.strangers.push(Stranger { name, flow, address });
        Some(name)
    }

    pub(crate) fn forget_strangers(&mut self) {
        let flows = &self.flows;
        self.strangers.retain(|stranger| flows.get(stranger.flow).is_some());
    }
}
