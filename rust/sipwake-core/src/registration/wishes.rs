//! What the app wants of a binding, and what gives occasion to send: both only mark what is due.

use std::time::Duration;

use super::flow::Flow;
use super::{Asks, Pace, Registration, backoff};
use crate::clock::Now;
use crate::gateway::Load;
use crate::mutation::{Mutation, active};
use crate::push::PushToken;
use crate::snapshot::TokenWish;

impl Registration {
    // Wishes.

    /// Registers, or registers again: the app started, or the user asked for it.
    pub(crate) fn register(&mut self) {
        self.started = true;
        self.memory.asked_only = false;
        self.pace = Pace::Free;
        self.failures = 0;
        if self.attempt.as_ref().is_none_or(|attempt| attempt.epoch != self.epoch) {
            self.due = true;
        }
    }

    /// Takes a token. Returns whether anything changed, so that it must be stored.
    pub(crate) fn set_token(&mut self, token: PushToken) -> bool {
        if self.memory.token == TokenWish::Bind(token.clone()) && !active(Mutation::SameTokenSent) {
            return false;
        }
        self.memory.token = TokenWish::Bind(token);
        // A process that was started for this very token need not register first: the server still pushes to the old one.
        self.started |= self.memory.bound.is_some();
        if !active(Mutation::NewTokenWaits) {
            self.wish();
        }
        true
    }

    /// Removes the push binding, and stays registered.
    pub(crate) fn unbind_push(&mut self) -> bool {
        if matches!(self.memory.token, TokenWish::Unbind(_)) || active(Mutation::UnbindIgnored) {
            return false;
        }
        let last =
            self.memory.token.last().or(self.memory.bound.as_ref().and_then(|bound| bound.token.as_ref())).cloned();
        self.memory.token = TokenWish::Unbind(last);
        self.started |= self.was_ever_registered();
        self.wish();
        true
    }

    /// Removes the registration and the push binding.
    pub(crate) fn log_out(&mut self) {
        self.leaving = true;
        self.started = true;
        self.pace = Pace::Free;
        self.resume = None;
        self.query = None;
        self.wish();
    }

    /// Whether a registration was asked for, by this process or an earlier one.
    pub(super) fn was_ever_registered(&self) -> bool {
        self.was_ever_sent() && !self.memory.asked_only
    }

    /// Whether a server may hold anything of this account.
    pub(crate) fn was_ever_sent(&self) -> bool {
        self.memory.cseq_reserved > 0
    }

    pub(super) fn wish(&mut self) {
        self.due = true;
        self.cleanups = 0;
        if self.pace != Pace::Stopped {
            self.pace = Pace::Free;
        }
    }

    pub(crate) fn query(&mut self, provider: Option<String>) {
        self.memory.asked_only |= !self.started && !self.was_ever_registered();
        self.started = true;
        self.query = Some(provider);
    }

    // Occasions.

    /// A push came: registers at once, unless a REGISTER is under way, or this push was answered already.
    pub(crate) fn wake(&mut self, repeated: bool, now: Now) {
        if self.pace == Pace::Stopped || !(self.started || self.was_ever_registered()) {
            return;
        }
        if !active(Mutation::TwoInFlight)
            && let Some(attempt) = &mut self.attempt
        {
            self.hurry = backoff::HURRIED;
            attempt.leave_at.get_or_insert(now.boot + backoff::SILENCE);
            return;
        }
        self.started = true;
        const FRESH: Duration = Duration::from_secs(30);
        let fresh = self.registered_at.is_some_and(|at| now.boot.saturating_sub(at) < FRESH);
        if repeated && fresh && matches!(self.flow, Flow::Up(_)) {
            return;
        }
        self.hurry = backoff::HURRIED;
        self.pace = Pace::Free;
        self.failures = 0;
        self.due = true;
    }

    /// Takes what a probe of a gateway has found.
    pub(crate) fn gateway_probed(&mut self, gateway: usize, answer: Option<Load>, response_time: Duration) {
        self.gateways.probed(gateway, answer, response_time);
    }

    /// Gives up waiting for the answer in flight; what it asked for is due again.
    pub(super) fn interrupt(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.due = true;
            if let Asks::Query(provider) = attempt.chain.asks {
                self.query.get_or_insert(provider);
            }
        }
    }
}
