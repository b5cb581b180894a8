//! What the app wants of a binding, and what gives occasion to send: both only mark what is due.

use std::time::Duration;

use super::{Due, Life, Pace, Registration, backoff};
use crate::clock::Now;
use crate::event::Event;
use crate::flows::Flows;
use crate::gateway::Load;
use crate::outbox::Outbox;
use crate::push::PushToken;
use crate::record::Decision;
use crate::record::words::{NoRegister, Seconds};
use crate::redact::Secret;
use crate::snapshot::TokenWish;

impl Registration {
    // Commands.

    /// Registers, or registers again: the app started, or the user asked for it.
    pub(crate) fn register(&mut self) {
        self.start();
        self.who.memory_mut().asked_only = false;
        self.pace = Pace::Free;
        self.failures = 0;
        if !self.here.is_asking() || self.outdated {
            self.due.insert(Due::Binding);
        }
    }

    /// From here on REGISTERs are sent.
    fn start(&mut self) {
        if self.life == Life::Idle {
            self.life = Life::Active;
        }
    }

    /// Takes a token. Returns whether anything changed, so that it must be stored.
    pub(crate) fn set_token(&mut self, token: PushToken) -> bool {
        let (wish, known) = (TokenWish::Bind(token), self.who.memory_mut().lasting_wish());
        if *known == wish {
            return false;
        }
        *known = wish;
        if self.is_quiet() {
            return true;
        }
        // A process that was started for this very token need not register first: the server still pushes to the old one.
        if self.who.memory().bound.is_some() {
            self.start();
        }
        self.wish();
        true
    }

    /// Removes the push binding, and stays registered.
    pub(crate) fn unbind_push(&mut self) -> bool {
        let memory = self.who.memory_mut();
        if matches!(memory.lasting_wish(), TokenWish::Unbind(_)) {
            return false;
        }
        if let Some(quiet) = &mut memory.quiet {
            quiet.then = TokenWish::Unbind(quiet.then.last().cloned());
            return true;
        }
        let last = memory.token.last().or(memory.bound.as_ref().and_then(|bound| bound.token.as_ref())).cloned();
        memory.token = TokenWish::Unbind(last);
        if self.was_ever_registered() {
            self.start();
        }
        self.wish();
        true
    }

    /// Removes the registration and the push binding.
    pub(crate) fn log_out(&mut self, now: Now) {
        // An earlier log-out was taken back.
        self.who.memory_mut().left_at = None;
        self.leave(now);
        self.pace = Pace::Free;
        self.here.take_more();
        self.due.clear();
        self.wish();
    }

    /// A server may hold what no record tells of.
    pub(crate) fn assume_bound(&mut self) {
        let memory = self.who.memory_mut();
        memory.cseq_reserved = memory.cseq_reserved.max(1);
        memory.lost = true;
    }

    /// Whether a registration was asked for, by this process or an earlier one.
    pub(super) fn was_ever_registered(&self) -> bool {
        self.was_ever_sent() && !self.who.memory().asked_only
    }

    /// Whether a server may hold anything of this account.
    pub(crate) fn was_ever_sent(&self) -> bool {
        self.who.memory().cseq_reserved > 0
    }

    /// Makes `X-PIID` for this realm from here on.
    pub(crate) fn accept_realm(&mut self, realm: &str) {
        let memory = self.who.memory_mut();
        (memory.realm, memory.realm_pinned) = (Some(realm.into()), true);
        if self.life == Life::Active {
            self.due.insert(Due::Binding);
        }
    }

    /// Takes this phone's key for sealed pushes, where the account sends it.
    pub(crate) fn set_push_key(&mut self, key: &Secret) {
        if self.account().sends_push_key() && self.who.set_push_key(key) && self.life == Life::Active {
            self.wish();
        }
    }

    /// A push came that announces nothing: the server only wants the binding refreshed.
    pub(crate) fn woken_to_refresh(&mut self) {
        self.refreshed_by_push = true;
    }

    pub(super) fn wish(&mut self) {
        self.rewished = true;
        self.due.insert(Due::Binding);
        self.cleanups = 0;
        if !matches!(self.pace, Pace::Stopped { .. }) {
            self.pace = Pace::Free;
        }
    }

    pub(crate) fn query(&mut self, provider: Option<String>) {
        self.who.memory_mut().asked_only |= self.life == Life::Idle && !self.was_ever_registered();
        self.start();
        self.due.insert(Due::Query(provider));
    }

    // Occasions.

    /// A push came. It is `owed` a REGISTER sent after it arrived, unless its call is over or that call's INVITE is here: then
    /// one is sent only where there is no fresh binding.
    pub(crate) fn wake(&mut self, owed: bool, flows: &Flows, outbox: &mut Outbox, now: Now) {
        let idle = self.life == Life::Idle && !self.was_ever_registered();
        let no = |why| Decision::NoRegister { why };
        if idle {
            return outbox.note(&self.key, no(NoRegister::NeverRegistered));
        }
        if matches!(self.pace, Pace::Stopped { .. }) && !(self.who.has_worked() && self.tries.may(now.boot)) {
            return outbox.note(&self.key, no(NoRegister::Stopped));
        }
        self.start();
        let asking = self.here.is_asking();
        const FRESH: Duration = Duration::from_secs(30);
        let fresh = self.registered_at.is_some_and(|at| now.boot.saturating_sub(at) < FRESH);
        if !owed && (asking || (fresh && self.here.up(flows).is_some())) {
            return outbox.note(&self.key, no(if asking { NoRegister::InFlight } else { NoRegister::Fresh }));
        }
        self.note_wake(asking, outbox, now);
        let covered = self.due.contains(&Due::Push) || self.owed_at.is_some();
        if owed
            && !covered
            && let Err(at) = self.pushes.take(now.boot)
        {
            log::warn!("{}: many pushes at once; a REGISTER follows in {} s", self.key, (at - now.boot).as_secs());
            self.owed_at = Some(at);
            return outbox.tell(Event::RegisterDelayed { account: self.key.clone(), wait: at - now.boot });
        }
        self.hurry = backoff::HURRIED;
        if asking {
            self.here.leave_at(now.boot + backoff::SILENCE);
        }
        if self.owed_at.is_none() {
            self.pace = Pace::Free;
            self.failures = 0;
            self.due.insert(if owed { Due::Push } else { Due::Binding });
        }
    }

    fn note_wake(&self, in_flight: bool, outbox: &mut Outbox, now: Now) {
        outbox.note(&self.key, Decision::RegisterOwed { in_flight: in_flight.into() });
        let lapsed = self.who.memory().bound.as_ref().map(|bound| now.wall.as_secs().saturating_sub(bound.expires_at));
        if let Some(ago) = lapsed.filter(|ago| *ago > 0 && self.bound_until.is_none_or(|until| now.boot >= until)) {
            outbox.note(&self.key, Decision::Lapsed { ago: Seconds(Duration::from_secs(ago)) });
        }
    }

    /// Takes what a probe of a gateway has found.
    pub(crate) fn gateway_probed(&mut self, gateway: usize, answer: Option<Load>, response_time: Duration) {
        self.gateways.probed(gateway, answer, response_time);
    }
}
