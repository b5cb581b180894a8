//! When the next REGISTER may be sent: timers, and the wait after a failure.

use std::time::Duration;

use super::{Due, Pace, Registration, backoff};
use crate::binding::Purpose;
use crate::clock::{NextTimeout, Now};
use crate::event::{Event, Failure, Removed};
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::record::Decision;

impl Registration {
    pub(crate) fn timeouts(&self, soonest: &mut NextTimeout) {
        self.here.timeouts(self.gateways.has_another(self.hop), soonest);
        if let Pace::BackingOff(until) = self.pace {
            soonest.add_at(Some(until), "back-off");
        }
        soonest.add_at(self.owed_at, "push that needs a REGISTER");
        if !matches!(self.pace, Pace::Stopped { .. }) {
            soonest.add_at(self.refresh_at, "binding refresh");
        }
        soonest.add_at(self.give_up_at.as_deref().copied(), "log-out to be given up");
        soonest.add_at(self.quiet_over_at(), "end of do not disturb");
        self.left_timeouts(soonest);
        self.late_timeouts(soonest);
    }

    pub(crate) fn handle_timeout(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        self.check_liveness(flows, outbox, now);
        self.expire_left(flows, outbox, now);
        self.expire_late(flows, outbox, now);
        if self.here.is_timed_out(self.gateways.has_another(self.hop), outbox, now) {
            outbox.note(&self.key, Decision::RegisterUnanswered {});
            self.interrupt();
            self.here.close(flows, outbox);
            self.fail(Failure::TimedOut, None, flows, outbox, now);
        }
        if self.give_up_at.as_deref().is_some_and(|at| now.boot >= *at) && !self.is_finished() {
            log::warn!("{}: the log-out is given up", self.key);
            return self.finish(Removed::GivenUp);
        }
        if self.owed_at.take_if(|at| now.boot >= *at).is_some() {
            self.wake(true, flows, outbox, now);
        }
        if self.refresh_at.take_if(|at| now.boot >= *at).is_some() && !self.here.is_asking() {
            outbox.note(&self.key, Decision::RefreshDue {});
            self.due.insert(Due::Binding);
            // A push does not change the gateway: the one that works will send the INVITE.
            if self.gateways.should_leave(self.hop, now.boot) {
                log::info!("{}: a better gateway may be used again", self.key);
                self.here.close(flows, outbox);
            }
        }
        self.here.ping(flows, outbox, now);
    }

    /// Notes a failure. The next gateway is tried at once. After the last one, the client waits.
    pub(super) fn fail(
        &mut self,
        failure: Failure,
        retry_after: Option<Duration>,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) {
        self.due.insert(Due::Binding);
        self.take_back_uncovered();
        self.failures += 1;
        if self.here.end_redirect() {
            self.here.close(flows, outbox);
        }
        if let Some(Purpose::Query(provider)) = self.here.take_more().map(|chain| chain.into_purpose()) {
            self.due.insert(Due::Query(provider));
        }
        self.here.hope_for_tcp();
        let hops = self.account().hops().len();
        self.gateways.failed(self.hop, retry_after, now.boot);
        if hops > 1 {
            self.here.close(flows, outbox);
        }
        if self.gateways.next(now.boot, self.urgent_retries > 0).is_some() {
            log::info!("{}: {failure}; trying the next gateway", self.key);
            outbox.note(&self.key, Decision::next_gateway(&failure));
            return;
        }
        self.gateways.end_round();
        let retry_after = self.gateways.retry_after(now.boot);
        let rounds = self.failures.div_ceil(u32::try_from(hops).unwrap_or(u32::MAX));
        let urgent_retries = std::mem::take(&mut self.urgent_retries);
        let wait = match retry_after {
            Some(wait) => wait,
            None if urgent_retries > 0 => {
                self.urgent_retries = urgent_retries - 1;
                backoff::urgent(urgent_retries)
            }
            None => backoff::wait(rounds, outbox.random()),
        };
        self.pace = Pace::BackingOff(now.boot + wait);
        log::info!("{}: {failure}; trying again in {} s", self.key, wait.as_secs());
        outbox.tell(Event::RegistrationFailed { account: self.key.clone(), failure, retry_in: Some(wait) });
    }

    /// Stops until the app changes something, so that wrong credentials are not tried in a loop.
    pub(super) fn stop(&mut self, failure: Failure, in_the_clear: bool, outbox: &mut Outbox) {
        self.pace = Pace::Stopped { in_the_clear };
        if !self.who.has_worked() {
            self.who.memory_mut().unconfirmed = None;
        }
        self.due.insert(Due::Binding);
        self.refresh_at = None;
        log::warn!("{}: {failure}; nothing more is sent until the app asks for it", self.key);
        outbox.tell(Event::RegistrationFailed { account: self.key.clone(), failure, retry_in: None });
    }

    /// Stops waiting for the response in flight. What the request asked for is due again.
    pub(super) fn interrupt(&mut self) {
        if let Some(purpose) = self.here.interrupt() {
            self.due.insert(Due::Binding);
            self.take_back_uncovered();
            if let Purpose::Query(provider) = purpose {
                self.due.insert(Due::Query(provider));
            }
        }
    }
}
