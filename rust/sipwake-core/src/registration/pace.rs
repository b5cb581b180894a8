//! When the next REGISTER may go: timers, and the wait after a failure.

use std::time::Duration;

use super::flow::Flow;
use super::{Asks, Pace, Registration, backoff};
use crate::clock::{Now, Soonest};
use crate::event::{Event, Failure};
use crate::mutation::{Mutation, active};
use crate::outbox::Outbox;
use crate::transaction::Due;

impl Registration {
    pub(crate) fn timeouts(&self, soonest: &mut Soonest) {
        soonest.add(self.attempt.as_ref().map(|attempt| attempt.transaction.timeout()));
        soonest.add_at(self.leave_at(), "silent gateway");
        if let Pace::BackingOff(until) = self.pace {
            soonest.add_at(Some(until), "back-off");
        }
        if self.pace != Pace::Stopped {
            soonest.add_at(self.refresh_at, "binding refresh");
        }
        soonest.add_at(self.keep_alive_at, "keep-alive");
        self.liveness.timeouts(soonest);
        soonest.add(self.former_timeout());
    }

    /// When a silent gateway is left for another one: on a wake, long before timer F.
    pub(super) fn leave_at(&self) -> Option<Duration> {
        let at = self.attempt.as_ref()?.leave_at?;
        self.gateways.has_another(self.hop).then_some(at)
    }

    pub(crate) fn handle_timeout(&mut self, outbox: &mut Outbox, now: Now) {
        self.check_liveness(outbox, now);
        self.expire_former(outbox, now);
        let silent = self.leave_at().filter(|at| now.boot >= *at).map(|_| Due::TimedOut);
        if let Some(attempt) = &mut self.attempt {
            match silent.or(attempt.transaction.due(now.boot)) {
                Some(Due::Retransmit) => outbox.transmit(attempt.flow, attempt.bytes.clone()),
                Some(Due::TimedOut) => {
                    self.interrupt();
                    self.drop_flow(outbox);
                    self.fail(Failure::TimedOut, None, outbox, now);
                }
                None => {}
            }
        }
        if self.refresh_at.is_some_and(|at| now.boot >= at) {
            self.refresh_at = None;
            self.due |= self.attempt.is_none();
            // Not on a push: then the gateway that works is the one that will send the INVITE.
            if self.attempt.is_none() && self.gateways.should_leave(self.hop, now.boot) {
                log::info!("{}: a better gateway may be used again", self.key);
                self.drop_flow(outbox);
            }
        }
        if let (Some(at), Some(period), Flow::Up(up)) = (self.keep_alive_at, self.account.keep_alive(), &self.flow)
            && now.boot >= at
        {
            if Self::wants_keep_alive(up.transport) {
                // RFC 5626 3.5.1: a double CRLF; over UDP it keeps the address translation open.
                outbox.transmit(up.id, b"\r\n\r\n".to_vec());
                self.liveness.pinged(now.boot);
            }
            self.keep_alive_at = Some(now.boot + period);
        }
    }

    /// Notes a failure: the next gateway at once, and after the last of them a wait.
    pub(super) fn fail(&mut self, failure: Failure, retry_after: Option<Duration>, outbox: &mut Outbox, now: Now) {
        self.finished |= self.leaving && active(Mutation::LogOutGivenUp);
        self.due = true;
        self.failures += 1;
        if self.redirect.take().is_some() {
            self.drop_flow(outbox);
        }
        if let Some(Asks::Query(provider)) = self.resume.take().map(|chain| chain.asks) {
            self.query.get_or_insert(provider);
        }
        self.hope_for_tcp();
        let hops = self.account.hops().len();
        self.gateways.failed(self.hop, retry_after, now.boot);
        if hops > 1 {
            self.drop_flow(outbox);
        }
        if self.gateways.next(now.boot).is_some() {
            log::info!("{}: {failure}; trying the next gateway", self.key);
            return;
        }
        self.gateways.end_round();
        let retry_after = self.gateways.retry_after(now.boot);
        let rounds = self.failures.div_ceil(u32::try_from(hops).unwrap_or(u32::MAX));
        let hurry = std::mem::take(&mut self.hurry);
        let wait = match retry_after {
            Some(wait) => wait,
            None if hurry > 0 => {
                self.hurry = hurry - 1;
                backoff::hurried(hurry)
            }
            None => backoff::wait(rounds, outbox.random()),
        };
        self.pace = Pace::BackingOff(now.boot + wait);
        log::info!("{}: {failure}; trying again in {} s", self.key, wait.as_secs());
        if !active(Mutation::FailureSilent) {
            outbox.tell(Event::RegistrationFailed { account: self.key.clone(), failure, retry_in: Some(wait) });
        }
    }

    /// Stops until the app changes something: what was refused for good is not asked again in a loop.
    pub(super) fn stop(&mut self, failure: Failure, outbox: &mut Outbox) {
        self.pace = Pace::Stopped;
        self.due = true;
        self.refresh_at = None;
        log::warn!("{}: {failure}; nothing more is sent until the app asks for it", self.key);
        outbox.tell(Event::RegistrationFailed { account: self.key.clone(), failure, retry_in: None });
    }
}
