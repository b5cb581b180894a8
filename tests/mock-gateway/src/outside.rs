//! A call that a foreign user agent places through the mock. It becomes one of the mock's own calls, whose states go back as
//! responses. As on a trunk, nobody has to give a password.

use crate::build::Builder;
use crate::call::{CallOptions, CallState};
use crate::gateway::Gateway;
use crate::parse::{Message, NameAddr, Uri};
use crate::transport::FlowId;

/// The largest number of calls from outside at once. The oldest is forgotten.
const MAX_OUTSIDE: usize = 100;

/// Where the caller's request waits.
pub(crate) struct Outside {
    call: u64,
    flow: FlowId,
    invite: Message,
    told: CallState,
}

impl Gateway {
    /// An INVITE that begins a call.
    pub(crate) fn outside_invite(&mut self, flow: FlowId, invite: &Message) {
        // A retransmission, before there is an answer that could be sent again.
        if self
            .outside
            .iter()
            .any(|known| known.invite.call_id() == invite.call_id() && known.invite.cseq() == invite.cseq())
        {
            return;
        }
        let user = invite.request_uri().and_then(Uri::parse).and_then(|uri| uri.user).unwrap_or_default();
        if !self.users.contains_key(&user) {
            return self.reply(flow, invite, 404, &[]);
        }
        self.send(flow, Builder::response(invite, 100, "").finish());
        let from = NameAddr::parse(invite.header("From").unwrap_or_default()).uri;
        let options =
            CallOptions { from, display: None, call_id: Some(invite.call_id().to_owned()), ..CallOptions::default() };
        let call = self.place(&user, "INVITE", options);
        if self.outside.len() >= MAX_OUTSIDE {
            self.outside.remove(0);
        }
        self.outside.push(Outside { call, flow, invite: invite.clone(), told: CallState::Held });
    }

    /// A CANCEL. Returns whether it belongs to a call from outside.
    pub(crate) fn outside_cancel(&mut self, flow: FlowId, cancel: &Message) -> bool {
        let number = |message: &Message| message.cseq().map(|(number, _)| number);
        let found = self
            .outside
            .iter()
            .find(|known| known.invite.call_id() == cancel.call_id() && number(&known.invite) == number(cancel));
        let Some(call) = found.map(|known| known.call) else { return false };
        self.reply(flow, cancel, 200, &[]);
        self.give_up(call, false);
        true
    }

    /// Tells callers from outside the state of their calls.
    pub(crate) fn tell_outside(&mut self) {
        for index in 0..self.outside.len() {
            let known = &self.outside[index];
            let state = self.calls.get(&known.call).map_or(CallState::Unreachable, |call| call.report.state);
            if state == known.told {
                continue;
            }
            let status = match state {
                CallState::Held | CallState::Calling => continue,
                CallState::Ringing => 180,
                CallState::Answered => 200,
                CallState::Cancelled => 487,
                CallState::NoAnswer => 408,
                CallState::Rejected(status) => status,
                _ => 480,
            };
            let (flow, invite) = (known.flow, known.invite.clone());
            self.outside[index].told = state;
            if status < 200 {
                let tag = self.fresh_tag();
                self.send(flow, Builder::response(&invite, status, &tag).finish());
            } else {
                self.reply(flow, &invite, status, &[]);
            }
        }
        self.outside.retain(|known| matches!(known.told, CallState::Held | CallState::Calling | CallState::Ringing));
    }
}
