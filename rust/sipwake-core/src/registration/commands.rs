//! What the app wants of a binding, and what happens outside. Both only mark what is due.

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
use crate::snapshot::WantedToken;

impl Registration {
    // Commands.

    /// Registers, also if the account is registered: the app started, or the user asked for it.
    pub(crate) fn register(&mut self) {
        self.start();
        self.who.memory_mut().asked_only = false;
        self.pace = Pace::Free;
        self.failures = 0;
        if !self.here.is_asking() || self.outdated {
            self.due.insert(Due::Binding);
        }
    }

    /// Allows REGISTERs from now on.
    fn start(&mut self) {
        if self.life == Life::Idle {
            self.life = Life::Active;
        }
    }

    /// Takes a token. Returns whether anything changed and must be stored.
    pub(crate) fn set_token(&mut self, token: PushToken) -> bool {
        let (wanted, known) = (WantedToken::Bind(token), self.who.memory_mut().lasting_token());
        if *known == wanted {
            return false;
        }
        *known = wanted;
        if self.is_quiet() {
            return true;
        }
        // The server still pushes to the old token. So a process that the app started for the new token need not
        // register first.
        if self.who.memory().bound.is_some() {
            self.start();
        }
        self.want_binding();
        true
    }

    /// Removes the push binding. The account stays registered.
    pub(crate) fn unbind_push(&mut self) -> bool {
        let memory = self.who.memory_mut();
        if matches!(memory.lasting_token(), WantedToken::Unbind(_)) {
            return false;
        }
        if let Some(quiet) = &mut memory.quiet {
            quiet.then = WantedToken::Unbind(quiet.then.last().cloned());
            return true;
        }
        let last = memory.token.last().or(memory.bound.as_ref().and_then(|bound| bound.token.as_ref())).cloned();
        memory.token = WantedToken::Unbind(last);
        if self.was_ever_registered() {
            self.start();
        }
        self.want_binding();
        true
    }

    /// Removes the registration and the push binding.
    pub(crate) fn log_out(&mut self, now: Now) {
        // The user came back after an earlier log-out, so the time begins again.
        self.who.memory_mut().left_at = None;
        self.leave(now);
        self.pace = Pace::Free;
        self.here.take_more();
        self.due.clear();
        self.want_binding();
    }

    /// Notes that a server may hold a binding that is in no record.
    pub(crate) fn assume_bound(&mut self) {
        let memory = self.who.memory_mut();
        memory.cseq_reserved = memory.cseq_reserved.max(1);
        memory.lost = true;
    }

    /// Whether this process or an earlier one was asked to register.
    pub(super) fn was_ever_registered(&self) -> bool {
        self.was_ever_sent() && !self.who.memory().asked_only
    }

    /// Whether a server may hold anything of this account.
    pub(crate) fn was_ever_sent(&self) -> bool {
        self.who.memory().cseq_reserved > 0
    }

    /// Makes `X-PIID` for this realm from now on.
    pub(crate) fn accept_realm(&mut self, realm: &str) {
        let memory = self.who.memory_mut();
        (memory.realm, memory.realm_pinned) = (Some(realm.into()), true);
        if self.life == Life::Active {
            self.due.insert(Due::Binding);
        }
    }

    /// Takes this phone's key for sealed pushes, if the account sends it.
    pub(crate) fn set_push_key(&mut self, key: &Secret) {
        if self.account().sends_push_key() && self.who.set_push_key(key) && self.life == Life::Active {
            self.want_binding();
        }
    }

    /// A push came that announces nothing. The server only wants a refresh.
    pub(crate) fn woken_to_refresh(&mut self) {
        self.refreshed_by_push = true;
    }

    pub(super) fn want_binding(&mut self) {
        self.changed_since_sent = true;
        self.due.insert(Due::Binding);
        self.begin_cleanup();
        if !matches!(self.pace, Pace::Stopped { .. }) {
            self.pace = Pace::Free;
        }
    }

    pub(crate) fn query(&mut self, provider: Option<String>) {
        self.who.memory_mut().asked_only |= self.life == Life::Idle && !self.was_ever_registered();
        self.start();
        self.due.insert(Due::Query(provider));
    }

    // What happens outside.

    /// A push came. If `owed`, a REGISTER must follow that is sent after the push arrived. It is not `owed` if the call
    /// is over or its INVITE is here. Then a REGISTER follows only if there is no fresh binding.
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
        self.urgent_retries = backoff::URGENT_RETRIES;
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

    /// Takes the result of probing a gateway.
    pub(crate) fn gateway_probed(&mut self, gateway: usize, answer: Option<Load>, response_time: Duration) {
        self.gateways.probed(gateway, answer, response_time);
    }
}
