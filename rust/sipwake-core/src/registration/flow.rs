//! The flow to the gateway in use. It is opened when something has to be sent. When it breaks, or the network changes,
//! a new one is opened.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Due, Pace, Registration, backoff};
use crate::binding::Silent;
use crate::clock::Now;
use crate::event::{Failure, FlowError, FlowId};
use crate::flows::{Flows, Up};
use crate::outbox::Outbox;
use crate::record::Decision;

impl Registration {
    /// Returns the flow to the gateway in use, if it is up.
    pub(crate) fn flow_up(&self, flows: &Flows) -> Option<Up> {
        self.here.up(flows)
    }

    pub(super) fn open(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        if !self.here.is_redirected() {
            // A waiting call is at the gateway that has the binding, and a log-out must go there. Otherwise the best
            // gateway is chosen.
            let home = self.home().filter(|home| self.gateways.is_untried(*home));
            let home = home.filter(|_| self.urgent_retries > 0 || self.is_leaving());
            let waited_for = self.urgent_retries > 0;
            let best = || self.gateways.next(now.boot, waited_for).unwrap_or_else(|| self.gateways.best(now.boot));
            let hop = home.unwrap_or_else(best);
            if hop != self.hop {
                self.here.hope_for_tcp();
            }
            self.hop = hop;
        }
        self.leave_at = None;
        self.here.open(&self.key, &self.who.account().hops()[self.hop], flows, outbox);
    }

    pub(crate) fn flow_came_up(&mut self, flow: FlowId, local: SocketAddr, flows: &mut Flows) {
        let known = flows.up(flow).is_some();
        flows.came_up(flow, local);
        if self.here.owns(flow) {
            self.who.is_at(local.ip());
            self.here.came_up(known, flows);
            if known {
                return self.interrupt();
            }
            // A new flow means a new Contact. The old one may need as many removals as the one before it.
            self.begin_cleanup();
        }
    }

    pub(crate) fn flow_went_down(
        &mut self,
        flow: FlowId,
        error: FlowError,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) {
        let was_up = flows.up(flow).is_some();
        flows.forget(flow);
        if self.late_went_down(flow) {
            return;
        }
        if !self.here.owns(flow) {
            return self.left_went_down(was_up, outbox, now);
        }
        let idle = was_up && !self.here.is_asking();
        self.here.went_down();
        if matches!(self.pace, Pace::Stopped { .. }) {
            return;
        }
        if !was_up && self.here.give_up_tcp() {
            log::info!("{}: {error}; sending a large request over UDP anyway", self.key);
            self.due.insert(Due::Binding);
            return;
        }
        if !idle {
            self.interrupt();
            // The REGISTER of a wake has found a connection that died unnoticed. Its call cannot wait for a back-off. A
            // new flow is not proven, so this happens once.
            if was_up && self.here.is_proven() {
                return;
            }
            return self.fail(Failure::Flow(error), None, flows, outbox, now);
        }
        // Otherwise a server that closes each connection after it has accepted a REGISTER would be called in a loop.
        const SETTLED: Duration = Duration::from_secs(60);
        self.due.insert(Due::Binding);
        self.here.end_redirect();
        if self.registered_at.is_none_or(|at| now.boot.saturating_sub(at) < SETTLED) {
            self.pace = Pace::BackingOff(now.boot + backoff::wait(self.short_flows, outbox.random()));
            self.short_flows += 1;
        } else {
            self.short_flows = 0;
        }
    }

    /// The device's network changed, so the old flow is of no use.
    pub(crate) fn network_changed(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        self.who.network_changed();
        self.here.close(flows, outbox);
        self.close_late(flows, outbox);
        self.give_left_up(flows, outbox, now);
        self.interrupt();
        self.due.insert(Due::Binding);
        if !matches!(self.pace, Pace::Stopped { in_the_clear: false }) {
            self.pace = Pace::Free;
        }
        self.failures = 0;
        self.gateways.forget_failures();
        self.here.forget_tcp();
        self.here.end_redirect();
    }

    /// The flow that the next try should not use: the server has been in trouble for so long that the DNS may name
    /// another one by now. Until that try the flow stays, because calls may still come over it.
    pub(crate) fn doubted_flow(&self, now: Now) -> Option<FlowId> {
        const TROUBLES: u32 = 3;
        let tries_again = matches!(self.pace, Pace::BackingOff(until) if now.boot >= until);
        self.here.flow().filter(|_| tries_again && self.in_trouble && self.failures >= TROUBLES)
    }

    /// Leaves the flow in use. The next REGISTER opens another one.
    pub(crate) fn leave_flow(&mut self, flows: &mut Flows, outbox: &mut Outbox) {
        self.here.close(flows, outbox);
    }

    /// Closes every flow and gives up the registration.
    pub(crate) fn close(&mut self, flows: &mut Flows, outbox: &mut Outbox) {
        self.here.close(flows, outbox);
        self.close_late(flows, outbox);
        self.close_left(flows, outbox);
    }

    /// The peer sent something, no matter what.
    pub(crate) fn heard(&mut self, flow: FlowId, now: Now) {
        self.here.heard(flow, now);
    }

    /// Whether a ping has no pong yet.
    pub(crate) fn is_pong_due(&self, flow: FlowId) -> bool {
        self.here.is_pong_due(flow)
    }

    /// The peer answered a ping.
    pub(crate) fn ponged(&mut self, flow: FlowId) {
        self.here.ponged(flow);
    }

    /// Leaves a flow that has given no sign of life in time. The REGISTER is sent again on a new one.
    pub(super) fn check_liveness(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        while let Some(silent) = self.here.silent(now) {
            outbox.note(&self.key, Decision::FlowSilent { missing: silent.into() });
            match (silent, self.here.up(flows)) {
                (Silent::Answer, _) => {
                    if self.here.ask_anew() {
                        log::info!("{}: no answer on an old connection; opening a new one", self.key);
                        self.here.close(flows, outbox);
                    }
                }
                (Silent::Pong, Some(up)) => {
                    outbox.push(crate::event::Output::Close(up.id));
                    let error = FlowError::Unreachable("no answer to a keep-alive".into());
                    self.flow_went_down(up.id, error, flows, outbox, now);
                }
                (Silent::Pong, None) => {}
            }
        }
    }
}
