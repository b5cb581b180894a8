//! Holding: a request waits for a sleeping client, and goes to where the client registers.

use std::time::Duration;

use crate::call::{CallState, Leg, LegState, Phase, PushWhen};
use crate::gateway::{Gateway, Timer};
use crate::push::PushKind;
use crate::transaction::TIMEOUT;
use crate::transport::FlowId;

impl Gateway {
    /// Calls a binding, or wakes its client first.
    pub(crate) fn reach(&mut self, id: u64, binding: u64) {
        let Some(call) = self.calls.get(&id) else { return };
        let when = call.options.push;
        let found = self.users.get(&call.report.user).and_then(|u| u.bindings.iter().find(|b| b.id == binding));
        let Some(found) = found else { return };
        let awake = found.registered && !found.asleep && self.flows.get(found.flow).is_some();
        let wakes = found.push.is_some();
        match when {
            PushWhen::Always if wakes => self.wake(id, binding),
            PushWhen::Asleep if !awake && wakes => self.wake(id, binding),
            _ if awake => self.invite_binding(id, binding),
            _ => {}
        }
    }

    fn wake(&mut self, id: u64, binding: u64) {
        if self.push_call(id, binding, if self.is_chat(id) { PushKind::Chat } else { PushKind::Call }) {
            self.phase(id, Phase::Pushed);
        }
    }

    fn is_chat(&self, id: u64) -> bool {
        self.calls.get(&id).is_some_and(|c| c.method == "MESSAGE")
    }

    /// Tells whether the INVITE of a held call must go out before the 200 of the wake-up's REGISTER.
    pub(crate) fn invites_before_200(&self, name: &str) -> bool {
        self.calls.values().any(|c| c.report.user == name && !c.is_over() && c.options.before_200)
    }

    /// A client has registered: all held requests for its user are sent there.
    pub(crate) fn woken(&mut self, name: &str, binding: u64) {
        let Some(flow) = self.users.get(name).and_then(|u| u.bindings.iter().find(|b| b.id == binding)).map(|b| b.flow)
        else {
            return;
        };
        self.woken_inside(name, binding, flow);
        let mut moved = Vec::new();
        for call in self.calls.values_mut().filter(|c| c.report.user == name) {
            // The client has moved, so a call to its old address rings nowhere.
            for leg in call.legs.iter_mut().filter(|l| l.binding == binding && l.flow != flow) {
                if leg.state == LegState::Calling {
                    leg.state = LegState::Done;
                    if let Some(transaction) = self.clients.get_mut(&leg.branch) {
                        transaction.done = true;
                    }
                    moved.push(leg.branch.clone());
                }
            }
        }
        for branch in moved {
            self.timer(TIMEOUT, Timer::Forget { branch });
        }
        let waiting: Vec<(u64, Duration)> = self
            .calls
            .iter()
            .filter(|(_, c)| {
                c.report.user == name && !c.is_over() && c.report.state != CallState::Answered && !c.hold_over
            })
            .filter(|(_, c)| {
                let tried = |l: &Leg| {
                    l.binding == binding && l.flow == flow && (l.state != LegState::Done || l.status.is_some())
                };
                !c.legs.iter().any(|l| tried(l) || (l.binding == binding && l.status.is_some_and(|s| s >= 300)))
            })
            .map(|(id, c)| (*id, c.options.invite_delay))
            .collect();
        for (call, delay) in waiting {
            if delay.is_zero() {
                self.invite_binding(call, binding);
            } else {
                self.timer(delay, Timer::InviteLater { call, binding });
            }
        }
    }

    pub(crate) fn hold_over(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id).filter(|c| !c.is_over()) else { return };
        call.hold_over = true;
        let heard = call.legs.iter().any(|l| matches!(l.state, LegState::Early | LegState::Answered));
        if !heard {
            let refused = call.legs.iter().filter_map(|l| l.status).find(|s| *s >= 300);
            self.finish(id, refused.map_or(CallState::Unreachable, CallState::Rejected));
        }
    }

    pub(crate) fn leg_is_silent(&mut self, id: u64, leg: usize) {
        let Some(call) = self.calls.get(&id).filter(|c| !c.is_over()) else { return };
        let silent = call.legs.get(leg).filter(|l| l.state == LegState::Calling).map(|l| l.binding);
        if let Some(binding) = silent.filter(|b| !call.pushed.contains(b)) {
            self.wake(id, binding);
        }
    }

    /// A connection is gone: its unanswered legs can be tried again.
    pub(crate) fn legs_lost_flow(&mut self, flow: FlowId) {
        let mut touched = Vec::new();
        for (id, call) in &mut self.calls {
            for leg in call.legs.iter_mut().filter(|l| l.flow == flow) {
                if matches!(leg.state, LegState::Calling | LegState::Early) {
                    leg.state = LegState::Done;
                    touched.push((*id, leg.binding));
                }
            }
        }
        for (id, binding) in touched {
            let again = self.calls.get(&id).is_some_and(|c| !c.is_over() && c.options.push != PushWhen::Never);
            if again && self.calls.get(&id).is_some_and(|c| !c.pushed.contains(&binding)) {
                self.wake(id, binding);
            }
            self.weigh(id);
        }
    }
}
