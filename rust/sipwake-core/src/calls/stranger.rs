//! Calls that do not come over the registrar: datagrams from other addresses than the flow's peer. They are refused
//! unless the app allows them. Otherwise anybody who finds the port could make the phone ring (by RFC 5626 section 5.3
//! requests come only on the flow).

use super::session::Session;
use super::uas::TransactionKey;
use super::{Calls, Cx};
use std::net::SocketAddr;

use crate::account::Transport;
use crate::event::{Discard, FlowId};
use crate::outbox::Destination;
use crate::sip::{Message, Method};

/// How many peers besides the registrar may have a call at once.
const MAX_STRANGERS: usize = 32;

impl Calls {
    pub(crate) fn allow_unsolicited(&mut self, allow: bool) {
        self.unsolicited = allow;
    }

    /// Takes a datagram that came in on a flow's socket from another address than the flow's peer. It is dropped and
    /// counted, unless it belongs to a dialog of ours, or is part of a call and unsolicited calls are allowed.
    pub(crate) fn handle_stranger(&mut self, flow: FlowId, source: SocketAddr, bytes: &[u8], cx: &mut Cx<'_>) {
        let destination = Destination { flow, transport: Transport::Udp, to: Some(source) };
        if !cx.is_alive(destination) {
            return cx.outbox.discard(Discard::Unsolicited);
        }
        let Ok(message) = Message::parse(bytes) else { return cx.outbox.discard(Discard::Malformed) };
        // RFC 3261 section 12.1.1: without a route set, the caller's requests come straight to our Contact.
        let clear = cx.flows.up(flow).is_some_and(|up| up.transport == Transport::Udp);
        let takes = |session: &Session| {
            session.destination.flow == flow && session.is_in_the_clear() && session.dialog.takes(&message)
        };
        if clear && self.sessions.iter().any(takes) {
            return self.handle_request(destination, message, cx);
        }
        // If our response was lost, the BYE that ended such a dialog comes again.
        if clear && let Some(bytes) = self.answered_before(&message, cx) {
            return cx.outbox.transmit(destination, bytes);
        }
        if !self.unsolicited {
            return cx.outbox.discard(Discard::Unsolicited);
        }
        if message.code().is_some() {
            // This is never a response to a REGISTER, because only the registrar may send one.
            if !self.handle_call_response(&message, cx) {
                cx.outbox.discard(Discard::ForeignResponse);
            }
            return;
        }
        let within = message.to_tag().is_some();
        let of_call = matches!(message.method(), Some(Method::Invite | Method::Ack | Method::Cancel));
        if !within && !of_call {
            return cx.outbox.discard(Discard::Unsolicited);
        }
        if self.has_room_for(source) {
            self.handle_request(destination, message, cx);
        } else {
            cx.outbox.discard(Discard::TooManyCalls);
        }
    }

    fn answered_before(&self, message: &Message, cx: &Cx<'_>) -> Option<Vec<u8>> {
        let key = TransactionKey::of(message).filter(|_| message.method() == Some(&Method::Bye))?;
        self.answers.find(&key, cx.now.boot).map(<[u8]>::to_vec)
    }

    fn has_room_for(&self, source: SocketAddr) -> bool {
        let invitations =
            self.invitations.iter().filter(|known| known.is_open()).filter_map(|known| known.destination.to);
        let others: std::collections::BTreeSet<SocketAddr> =
            invitations.chain(self.sessions.iter().filter_map(|session| session.destination.to)).collect();
        others.len() < MAX_STRANGERS || others.contains(&source)
    }
}
