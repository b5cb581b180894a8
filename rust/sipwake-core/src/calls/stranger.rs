//! Calls that come past the registrar: datagrams from elsewhere than a flow's peer. Refused unless the app allows them,
//! since whoever finds the port could make the phone ring (RFC 5626 section 5.3 has requests come on the flow alone).

use super::session::Session;
use super::uas::TransactionKey;
use super::{Calls, Cx};
use std::net::SocketAddr;

use crate::account::Transport;
use crate::event::{Discard, FlowId};
use crate::outbox::Way;
use crate::sip::{Message, Method};

/// Peers off the registrar's flow with a call at once.
const MAX_STRANGERS: usize = 32;

impl Calls {
    pub(crate) fn allow_unsolicited(&mut self, allow: bool) {
        self.unsolicited = allow;
    }

    /// Takes a datagram that came in on a flow's socket from another address than the flow's peer. It is dropped and
    /// counted, unless it belongs to a dialog of ours, or unsolicited calls are allowed and it belongs to one.
    pub(crate) fn handle_stranger(&mut self, flow: FlowId, source: SocketAddr, bytes: &[u8], cx: &mut Cx<'_>) {
        let way = Way { flow, transport: Transport::Udp, to: Some(source) };
        if !cx.is_alive(way) {
            return cx.outbox.discard(Discard::Unsolicited);
        }
        let Ok(message) = Message::parse(bytes) else { return cx.outbox.discard(Discard::Malformed) };
        // RFC 3261 section 12.1.1: without a route set, the caller's requests come straight to our Contact.
        let clear = cx.flows.up(flow).is_some_and(|up| up.transport == Transport::Udp);
        let takes =
            |session: &Session| session.way.flow == flow && session.is_in_the_clear() && session.dialog.takes(&message);
        if clear && self.sessions.iter().any(takes) {
            return self.handle_request(way, message, cx);
        }
        // The BYE that ended such a dialog comes again where our answer was lost.
        if clear && let Some(bytes) = self.answered_before(&message, cx) {
            return cx.outbox.transmit(way, bytes);
        }
        if !self.unsolicited {
            return cx.outbox.discard(Discard::Unsolicited);
        }
        if message.code().is_some() {
            // Never to a REGISTER: only the registrar answers those.
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
            self.handle_request(way, message, cx);
        } else {
            cx.outbox.discard(Discard::TooManyCalls);
        }
    }

    fn answered_before(&self, message: &Message, cx: &Cx<'_>) -> Option<Vec<u8>> {
        let key = TransactionKey::of(message).filter(|_| message.method() == Some(&Method::Bye))?;
        self.answers.find(&key, cx.now.boot).map(<[u8]>::to_vec)
    }

    fn has_room_for(&self, source: SocketAddr) -> bool {
        let invitations = self.invitations.iter().filter(|known| known.is_open()).filter_map(|known| known.way.to);
        let others: std::collections::BTreeSet<SocketAddr> =
            invitations.chain(self.sessions.iter().filter_map(|session| session.way.to)).collect();
        others.len() < MAX_STRANGERS || others.contains(&source)
    }
}
