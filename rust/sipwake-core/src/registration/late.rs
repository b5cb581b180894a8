//! Old addresses of a server where a REGISTER got no response. If a 2xx comes after all, it has made a binding, which
//! is removed there.

use super::{Due, Registration};
use crate::binding::{Binding, Chain, Outcome, Purpose};
use crate::clock::{NextTimeout, Now};
use crate::event::FlowId;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::sip::Message;

/// How many old addresses are listened to at once. If a server is silent at more of them, they are not worth the room.
const MAX_LATE: usize = 4;

/// An old address of the server, which may still respond.
pub(super) struct Late {
    there: Binding,
    /// It responded with a 2xx, and was asked to remove the binding that this made.
    removing: bool,
}

impl Late {
    pub(super) fn binding_mut(&mut self) -> &mut Binding {
        &mut self.there
    }
}

impl Registration {
    /// The flow moves to another address. A response from the old address may still come, on `left`.
    pub(crate) fn flow_left(&mut self, flow: FlowId, left: FlowId, flows: &mut Flows, outbox: &mut Outbox) {
        flows.leave(flow, left);
        if !self.here.owns(flow) {
            // This is the flow to a left gateway. It is asked again at its next address, and the registration in use
            // goes on.
            flows.close(left, outbox);
            return self.ask_left_anew(flow);
        }
        // The next address of a gateway does not keep the caller waiting for longer than one would.
        self.leave_at = self.here.leaves_at().map(Box::new);
        match self.here.part(flow, left) {
            Some(there) if self.late.len() < MAX_LATE => self.late.push(Late { there, removing: false }),
            _ => flows.close(left, outbox),
        }
        self.due.insert(Due::Binding);
        self.interrupt();
    }

    pub(super) fn late_timeouts(&self, soonest: &mut NextTimeout) {
        for late in self.late.iter().filter(|late| late.removing) {
            late.there.timeouts(false, soonest);
        }
    }

    pub(super) fn expire_late(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        self.late.retain_mut(|late| {
            let over = late.removing && late.there.is_timed_out(false, outbox, now);
            if over {
                late.there.close(flows, outbox);
            }
            !over
        });
    }

    /// Sends waiting removals when nothing else is on its way.
    pub(super) fn drive_late(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        if self.here.is_asking() || self.wants_to_send() {
            return;
        }
        let who = &mut self.who;
        self.late.retain_mut(|late| {
            let Some(chain) = late.there.take_more() else { return true };
            let sent = late.there.send(chain, who, (None, false), flows, outbox, now).is_ok();
            if !sent || late.there.flow().is_none() {
                late.there.close(flows, outbox);
                return false;
            }
            true
        });
    }

    /// Takes the response to a REGISTER that was given up, or to the removal of its binding.
    pub(super) fn handle_late_response(
        &mut self,
        message: &Message,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) -> bool {
        for (index, late) in self.late.iter_mut().enumerate() {
            let Some(outcome) = late.there.handle_response(message, &mut self.who, flows, outbox, now) else {
                continue;
            };
            match outcome {
                Outcome::Provisional => return true,
                // The server challenges the removal.
                Outcome::Again if late.removing => return true,
                Outcome::Accepted(sent, _) if !late.removing => {
                    if let Some(bound) = sent.bound(now) {
                        log::info!("{}: an address that was left has answered; taking its binding back", self.key);
                        late.there.go_on_with(Chain::new(Purpose::Vacate(Box::new(bound))).alone());
                        late.removing = true;
                        return true;
                    }
                }
                Outcome::Accepted(sent, _) => {
                    // The addresses may share a registrar that takes the new binding for the old one.
                    if self.is_rebound_after(&sent) && !self.is_leaving() {
                        self.due.insert(Due::Binding);
                    }
                }
                Outcome::Again | Outcome::Refused { .. } | Outcome::Denied(_) => {}
            }
            self.late.remove(index).there.close(flows, outbox);
            return true;
        }
        false
    }

    /// Returns whether the flow that broke was one of these.
    pub(super) fn late_went_down(&mut self, flow: FlowId) -> bool {
        let before = self.late.len();
        self.late.retain(|late| !late.there.owns(flow));
        self.late.len() < before
    }

    pub(super) fn close_late(&mut self, flows: &mut Flows, outbox: &mut Outbox) {
        for mut late in std::mem::take(&mut self.late) {
            late.there.close(flows, outbox);
        }
    }
}
