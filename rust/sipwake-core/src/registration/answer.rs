//! Decides what follows from the response to a REGISTER.

use std::time::Duration;

use super::{Chain, Due, Life, Outcome, Pace, Purpose, Registration};
use crate::binding::{MAX_CLEANUPS, MAX_MIN_EXPIRES, MAX_ROUNDS, Piid, Sent, observed, reason};
use crate::clock::Now;
use crate::digest::{ServerProof, Unusable};
use crate::event::{Event, Failure, Registered, Removed};
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::push::{Reason, Shown, Standing, Verdict};
use crate::redact::Secret;
use crate::sip::{Contact, Message, NameAddr};
use crate::snapshot::{Durability, StaleContact, WantedToken};

/// How many proxies a `Service-Route` may name.
const MAX_ROUTE: usize = 8;
/// A binding is never refreshed more often than this, even if its lifetime is shorter.
const MIN_REFRESH: Duration = Duration::from_secs(5);
/// The same for a binding whose lifetime is unknown.
const GUESSED: Duration = Duration::from_secs(60);
/// How long a server is left alone that refuses what it accepted before.
const REFUSED: Duration = Duration::from_secs(600);
/// The same for a server that has accepted nothing yet, the first time.
const FIRST_REFUSED: Duration = Duration::from_secs(30);

impl Registration {
    /// Handles the response to the REGISTER in flight.
    pub(super) fn conclude(
        &mut self,
        outcome: Outcome,
        message: &Message,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) {
        let (sent, code, failure, retry_after) = match outcome {
            Outcome::Provisional | Outcome::Again => return,
            Outcome::Accepted(sent, proof) => return self.accepted(sent, proof, message, flows, outbox, now),
            Outcome::Denied(failure @ (Failure::WrongCredentials | Failure::Unanswerable(Unusable::NoHa1 { .. }))) => {
                let in_the_clear = self.is_in_the_clear(flows);
                return self.stop(failure, in_the_clear, outbox);
            }
            // The server calls each nonce stale. If the password worked before, or this is the second time, somebody
            // has to repair the server. And a log-out has time.
            Outcome::Denied(failure @ Failure::Unanswerable(Unusable::EndlessChallenges)) => {
                let again = self.failures > 0 || self.who.has_worked() || self.is_leaving();
                let wait = if again { REFUSED } else { FIRST_REFUSED };
                return self.fail(failure, Some(wait), flows, outbox, now);
            }
            Outcome::Denied(failure) => return self.fail(failure, None, flows, outbox, now),
            Outcome::Refused { sent, code, failure, retry_after } => (sent, code, failure, retry_after),
        };
        if matches!(code, 408 | 500 | 502..=504) && self.here.next_address(flows, outbox) {
            log::info!("{}: {failure}; trying the server's next address", self.key);
            return self.here.go_on_with(Chain::new(sent.into_purpose()));
        }
        let in_trouble = matches!(code, 408 | 503 | 504);
        if std::mem::replace(&mut self.in_trouble, in_trouble) && in_trouble {
            // Once, the server had some trouble. Twice in a row, it may be a way to refuse a used nonce.
            self.here.doubt_nonce(&sent, code, &mut self.who, outbox);
        }
        match (sent.purpose(), code) {
            // At least the new REGISTER removes its Contact, too.
            (Purpose::Vacate(_), _) => self.bind_next(),
            // If the app has asked for a log-out meanwhile, it comes next in any case.
            (purpose, _) if self.life == Life::Leaving && !purpose.removes() => {
                self.due.insert(Due::Binding);
            }
            (Purpose::Query(_), code) if failure != Failure::Circles && !matches!(code, 300..=399 | 423) => {
                self.queried(code, message, outbox);
            }
            (Purpose::Remove, 404 | 604) => {
                // A user who was never accepted, and is unknown there, was never bound. Otherwise 404 proves little:
                // push data may be kept apart from users, and a proxy may not know the route.
                let memory = self.who.memory();
                let never = memory.bound.is_none() && memory.left.is_empty() && !memory.worked && !memory.lost;
                self.removed = Some(if never { Removed::NeverBound } else { Removed::Accepted });
                self.finish_log_out(&[], flows, outbox);
            }
            // The server accepted these credentials before, so it refuses something else.
            (_, 403 | 404 | 410 | 416 | 603 | 604) if self.who.has_worked() || self.is_leaving() => {
                let failure = Failure::Refused { code, reason: reason(message) };
                self.fail(failure, Some(retry_after.unwrap_or(REFUSED)), flows, outbox, now);
            }
            (_, 403 | 404 | 410 | 416 | 603 | 604) => {
                let in_the_clear = self.is_in_the_clear(flows);
                self.stop(Failure::Refused { code, reason: reason(message) }, in_the_clear, outbox);
            }
            _ => self.fail(failure, retry_after, flows, outbox, now),
        }
    }

    pub(super) fn is_in_the_clear(&self, flows: &Flows) -> bool {
        self.here.up(flows).is_none_or(|up| !up.transport.is_secure())
    }

    fn queried(&mut self, status: u16, message: &Message, outbox: &mut Outbox) {
        let providers = crate::push::providers(&message.feature_caps());
        self.due.insert(Due::Binding);
        outbox.tell(Event::Capabilities { account: self.key.clone(), status, providers });
    }

    fn accepted(
        &mut self,
        sent: Box<Sent>,
        proof: ServerProof,
        message: &Message,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) {
        self.pace = Pace::Free;
        self.in_trouble = false;
        self.who.memory_mut().worked = true;
        let code = message.code().unwrap_or_default();
        let listed = message.contacts();
        if !matches!(sent.purpose(), Purpose::Bind) {
            self.worked();
        }
        match sent.purpose() {
            Purpose::Query(_) => {
                let lists_it = self.who.ours(message, &listed, &sent).is_some();
                if let Some(gateway) = self.gateway_in_use()
                    && self.who.remember_queried(&sent, &gateway, lists_it, now)
                    && self.left.is_none()
                {
                    self.take_up_left(false);
                }
                self.save(outbox, Durability::Progress);
                return self.queried(code, message, outbox);
            }
            Purpose::Remove => return self.removed(&sent, &listed, flows, outbox),
            Purpose::Vacate(_) => return self.vacated(&sent, &listed, outbox),
            Purpose::Bind => {}
        }

        let ours = self.who.ours(message, &listed, &sent);
        let granted = self.who.granted(message, &listed, ours, &sent, &self.last_list);
        let lapsed = granted.seconds == 0;
        let gateway = self.gateway_in_use();
        if (ours.is_none() || lapsed) && sent.names_others() && !self.who.memory().separate_removal {
            // The server reads only one Contact, or takes the old one and the new one for the same binding and removed
            // both.
            self.who.memory_mut().separate_removal = true;
            let elsewhere = self.who.memory().bound.clone().filter(|bound| bound.gateway.is_some());
            self.who.forget_removed(&sent, &listed, gateway.as_deref());
            if self.who.remember_refused(elsewhere.as_ref(), &sent, gateway.as_deref()) {
                self.close_left(flows, outbox);
                self.take_up_left(false);
            }
            if !lapsed {
                // The next request may get no response, and this one may have made the binding.
                let expires_at = now.wall.as_secs().saturating_add(granted.seconds.into());
                self.who.bind(&sent, expires_at, gateway.map(Into::into), None, false);
                self.note_gateway_move(elsewhere, &[], flows, outbox);
                self.save(outbox, Durability::Progress);
            }
            if let Outcome::Refused { failure, .. } = self.here.again(sent, code, message) {
                self.fail(failure, None, flows, outbox, now);
            }
            return;
        }
        if lapsed {
            let failure = Failure::Answered { code, reason: "with a binding that is over already".to_owned() };
            return self.fail(failure, None, flows, outbox, now);
        }
        self.worked();
        self.last_list.remember(&listed);
        let expires = Duration::from_secs(u64::from(granted.seconds.min(MAX_MIN_EXPIRES)));
        let before = self.who.memory().bound.clone();
        let replaced = before.clone().filter(|bound| bound.gateway.is_some());
        let elsewhere = self.who.former_elsewhere(&sent, gateway.as_deref(), &listed, now);
        self.who.reconcile_contacts(&sent, &listed, ours, gateway.as_deref());
        let expires_at = now.wall.saturating_add(expires).as_secs();
        let refused = self.who.remember_refused(before.as_ref(), &sent, gateway.as_deref());
        self.who.bind(&sent, expires_at, gateway.map(Into::into), before, ours.is_some());
        if self.who.memory().bound.as_ref().is_some_and(|bound| !self.who.covers(bound)) {
            // The push settings have changed while this REGISTER was in flight.
            self.due.insert(Due::Unbind);
        }
        if sent.leaves_others_out() {
            self.who.remove_one_by_one();
        }
        if self.needs_cleanup() {
            self.cleanups += 1;
            self.due.insert(Due::Binding);
        } else if self.who.memory().former.is_empty() {
            self.cleanups = 0;
        }
        for left in elsewhere {
            self.note_gateway_move(Some(left), &[], flows, outbox);
        }
        self.note_gateway_move(replaced, &[], flows, outbox);
        if refused {
            self.close_left(flows, outbox);
            self.take_up_left(false);
        }
        self.who.memory_mut().local_port = self.here.up(flows).map(|up| up.local.port());
        if self.is_satisfied_by(&sent) {
            self.due.remove(&Due::Binding);
        }

        // The server saw us at another address than our Contact. It is told at once, and the old Contact is removed.
        if self.contact_uri(flows).is_some_and(|base| base != sent.base()) {
            self.due.insert(Due::Binding);
        }

        let mut verdict = self.read_verdict(&sent, code, message, flows);
        verdict.lifetime_unknown = granted.guessed;
        self.registered_at = Some(now.boot);
        if let Some(left) = &mut self.left {
            left.begin(now);
        }
        self.bound_until = Some(now.boot + expires);
        self.refresh_at = Some(now.boot + refresh_after(expires, &verdict));
        self.here.keep_alive(self.account().keep_alive(), message.flow_timer(), now);
        self.verdict = Some(verdict.clone());
        let service_route = service_route(message);
        self.service_route = service_route.clone().into();
        self.save(outbox, Durability::Progress);
        if self.is_leaving() {
            return;
        }
        log::info!("{}: registered for {} s; push {:?}", self.key, expires.as_secs(), verdict.standing);
        outbox.tell(Event::Registered {
            account: self.key.clone(),
            registered: Registered {
                expires,
                verdict,
                token: sent.token().cloned(),
                contact: Secret::new(sent.uri()),
                observed: observed(message),
                service_route,
                suspicious_server: proof == ServerProof::Mismatch,
            },
        });
    }

    /// Notes that the gateway in use works.
    fn worked(&mut self) {
        self.failures = 0;
        self.gateways.worked(self.hop);
        if !self.due.contains(&Due::Push) {
            self.urgent_retries = 0;
        }
    }

    fn is_satisfied_by(&self, sent: &Sent) -> bool {
        let token = match &self.who.memory().token {
            WantedToken::Bind(token) => sent.token() == Some(token),
            WantedToken::Unbind(_) => sent.asked_nothing_of_push(),
            WantedToken::NoneYet => true,
        };
        token && !self.is_leaving() && !self.outdated && !self.needs_cleanup()
    }

    /// From here on leftovers are removed as often as at first. Each that stayed in spite of its removals is tried once
    /// more.
    pub(super) fn begin_cleanup(&mut self) {
        self.cleanups = 0;
        self.who.memory_mut().former.iter_mut().for_each(StaleContact::try_again);
    }

    fn needs_cleanup(&self) -> bool {
        let listed = self.who.memory().former.iter().any(StaleContact::is_due);
        (listed && self.cleanups < MAX_ROUNDS) || self.stray().is_some()
    }

    fn read_verdict(&mut self, sent: &Sent, code: u16, message: &Message, flows: &Flows) -> Verdict {
        let Some(push) = self.who.push() else { return Verdict::without_push() };
        let asked = sent.asked();
        let shown = (self.who.memory().shown, self.who.is_mizutechs(None));
        let mut verdict =
            Verdict::read(push, sent.spoken(), shown, asked, code, &message.feature_caps()).on(push, sent.token());
        if let (Reason::ProviderRefused | Reason::OtherDialectAfterRefusal, Some(why)) =
            (&verdict.reason, self.who.memory().refused_why.as_deref())
        {
            verdict.reason = Reason::ContactRefused(why.to_owned());
        }
        verdict.piid_withheld = sent.piid() == Piid::Withheld;
        verdict.piid_in_the_clear = sent.piid() == Piid::InTheClear;
        if self.refreshed_by_push && sent.piid() == Piid::None {
            verdict.advise_piid();
        }
        let shows = verdict.standing == Standing::Confirmed && push.is_auto();
        self.who.memory_mut().realm_pinned |= sent.piid() == Piid::Sent;
        if shows {
            self.who.memory_mut().shown = Shown::Rfc8599;
            self.here.note_learnt(&mut self.who, flows);
        }
        verdict
    }

    /// Handles a 200 to the removal. It ends the log-out, unless its list shows that the server still holds one of our
    /// Contacts.
    fn removed(&mut self, sent: &Sent, listed: &[Contact], flows: &mut Flows, outbox: &mut Outbox) {
        let lingering = self.who.lingering(sent, listed);
        if lingering.is_empty() || self.cleanups >= MAX_CLEANUPS {
            let bound = self.who.memory().bound.as_ref();
            let proven = lingering.is_empty()
                && !self.here.is_redirected()
                && self.who.is_proven_gone(bound)
                && !self.who.may_hide(sent, listed);
            self.removed = Some(if proven { Removed::Proven } else { Removed::Accepted });
            let unnamed = if listed.is_empty() { self.unnamed(sent) } else { Vec::new() };
            return self.finish_log_out(&unnamed, flows, outbox);
        }
        self.cleanups += 1;
        self.who.memory_mut().former = lingering;
        self.due.insert(Due::Binding);
        self.save(outbox, Durability::Progress);
    }

    /// What this gateway held when it was left, and a request for one Contact alone did not remove.
    fn unnamed(&self, sent: &Sent) -> Vec<Secret> {
        let here = self.gateway_in_use();
        let uris = self.who.left_at(here.as_deref()).map(|left| left.uri.clone());
        uris.filter(|uri| sent.leaves_others_out() && !sent.is_for(uri.expose())).collect()
    }

    /// The former token's binding is removed. The new one is bound next.
    fn vacated(&mut self, sent: &Sent, listed: &[Contact], outbox: &mut Outbox) {
        let gateway = self.gateway_in_use();
        self.who.forget_removed(sent, listed, gateway.as_deref());
        self.who.remember_kept(sent, listed);
        self.bind_next();
        self.save(outbox, Durability::Progress);
    }

    /// Goes on after the removal of a former token's binding, whatever its result. If the app has asked for a log-out
    /// meanwhile, that comes first.
    fn bind_next(&mut self) {
        if self.life == Life::Idle {
            // The app has not asked for a registration. The REGISTER only removed what the settings no longer cover.
            return;
        }
        self.due.insert(Due::Binding);
        if self.life == Life::Active {
            self.here.go_on_with(Chain::new(Purpose::Bind));
        }
    }
}

/// When to refresh: before the binding expires. If the server has promised a push before that, only when the push does
/// not come.
fn refresh_after(expires: Duration, verdict: &Verdict) -> Duration {
    let lead = match (verdict.standing, verdict.refresh_lead) {
        (Standing::Confirmed, Some(lead)) => Duration::from_secs(u64::from(lead)) + Duration::from_secs(4),
        (Standing::Confirmed, None) => return expires,
        _ => (expires / 10).clamp(Duration::from_secs(4), Duration::from_secs(120)),
    };
    let shortest = if verdict.lifetime_unknown { GUESSED } else { MIN_REFRESH };
    expires.saturating_sub(lead).max(expires / 2).max(shortest)
}

/// The route that the registrar wants for requests, as the last 2xx says (RFC 3608 section 6.1). If it cannot be read
/// completely, none of it is used, because a part of a route leads elsewhere.
///
/// ```abnf
/// Service-Route = "Service-Route" HCOLON sr-value *( COMMA sr-value)
/// sr-value      = name-addr *( SEMI rr-param )
/// ```
fn service_route(message: &Message) -> Vec<String> {
    let mut route = Vec::new();
    for value in message.values("Service-Route") {
        let hop = NameAddr::parse(value).filter(|_| value.contains('<') && value.len() <= crate::account::MAX_FIELD);
        if route.len() >= MAX_ROUTE || hop.is_none_or(|hop| hop.parsed().is_none()) {
            log::warn!("a Service-Route cannot be read");
            return Vec::new();
        }
        route.push(value.to_owned());
    }
    route
}
