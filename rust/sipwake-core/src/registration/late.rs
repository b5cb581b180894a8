//! Addresses that were left with a REGISTER unanswered: a 2xx that comes after all is a binding, which is taken back there.

use super::{Due, Registration};
use crate::binding::{Binding, Chain, Outcome, Purpose};
use crate::clock::{Now, Soonest};
use crate::event::FlowId;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::sip::Message;

/// Addresses that are heard at once: a server that is silent at more of them is not worth more room.
const MAX_LATE: usize = 4;

/// An address that was left.
pub(super) struct Late {
    there: Binding,
    /// It answered with a 2xx, and is asked to remove what that made.
    removing: bool,
}

impl Late {
    pub(super) fn binding_mut(&mut self) -> &mut Binding {
        &mut self.there
    }
}

impl Registration {
    /// The flow moves to another address. What was asked at this one may be answered yet, on `left`.
    pub(crate) fn flow_left(&mut self, flow: FlowId, left: FlowId, flows: &mut Flows, outbox: &mut Outbox) {
        flows.leave(flow, left);
        if !self.here.owns(flow) {
            // A gateway that was left is asked again at its next address. The registration in use is not affected.
            flows.close(left, outbox);
            return self.ask_left_anew(flow);
        }
        match self.here.part(flow, left) {
            Some(there) if self.late.len() < MAX_LATE => self.late.push(Late { there, removing: false }),
            _ => flows.close(left, outbox),
        }
        self.due.insert(Due::Binding);
        self.interrupt();
    }

    pub(super) fn late_timeouts(&self, soonest: &mut Soonest) {
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

    /// Sends the removals that wait, once nothing else is on its way.
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

    /// Takes the answer to a REGISTER that was given up, or to the removal of what it made.
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
                // The removal is challenged.
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
                    // The addresses may share a registrar, which then takes the new binding for the old one.
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

    /// Returns whether it was one of these flows that broke.
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
