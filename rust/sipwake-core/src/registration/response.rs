//! Reads the answer to a REGISTER and decides what follows.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Asks, Attempt, Chain, Flow, MAX_FORMER, MAX_MOVES, MAX_REQUESTS, Pace, Piid, Redirect, Registration};
use crate::account::Hop;
use crate::clock::Now;
use crate::digest::{Next, ServerProof, parse_challenges};
use crate::event::{Event, Failure, Registered};
use crate::mutation::{Mutation, active};
use crate::outbox::Outbox;
use crate::push::{Asked, Shown, Standing, Verdict};
use crate::redact::Secret;
use crate::sip::{Contact, Message, NameAddr, SipUri, same_uri, unescape};
use crate::snapshot::{Bound, Durability, Former, TokenWish};

/// A `Min-Expires` beyond this is no honest wish of a registrar, in seconds.
const MAX_MIN_EXPIRES: u32 = 30 * 24 * 3600;
/// The longest that `Retry-After` is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// How often a leftover that a 200 still lists is asked to be removed again.
const MAX_CLEANUPS: u8 = 2;
/// Proxies that a `Service-Route` may name.
const MAX_ROUTE: usize = 8;
/// How far ahead the CSeq goes after a 400 or 500. RFC 3261 section 10.3 has a registrar refuse a CSeq that is not above the
/// last one, without saying so; a process whose predecessor could not store its numbers begins below it.
const SKIP_CSEQ: u32 = 1000;

impl Registration {
    /// Deals with a final response to the REGISTER in flight.
    pub(super) fn conclude(
        &mut self,
        attempt: Box<Attempt>,
        code: u16,
        message: &Message,
        outbox: &mut Outbox,
        now: Now,
    ) {
        let asks = &attempt.chain.asks;
        self.follow_observed(message);
        self.take_auth_uri(message);
        self.skip_after(code);
        match code {
            200..=299 => self.accepted(attempt, code, message, outbox, now),
            401 | 407 => self.challenged(attempt, code, message, outbox, now),
            // Its Contact at least is removed beside the new one.
            _ if matches!(asks, Asks::Vacate(_)) => self.bind_next(),
            423 => self.interval_too_brief(attempt, message, outbox, now),
            300..=399 => self.redirected(attempt, code, message, outbox, now),
            555 if matches!(asks, Asks::Query(_)) => self.queried(code, message, outbox),
            555 => self.push_refused(attempt, message, outbox, now),
            // RFC 5626 11.6: the edge proxy cannot do outbound.
            439 if !self.memory.no_outbound => {
                self.memory.no_outbound = true;
                self.again(attempt, code, message, outbox, now);
            }
            400 if !attempt.removed.is_empty() && !attempt.chain.single_contact => {
                let mut attempt = attempt;
                attempt.chain.single_contact = true;
                self.again(attempt, code, message, outbox, now);
            }
            _ if matches!(asks, Asks::Query(_)) => self.queried(code, message, outbox),
            404 | 604 if matches!(asks, Asks::Remove) => self.gone(outbox, now),
            403 | 404 | 410 | 416 | 603 | 604 => {
                self.stop(Failure::Refused { code, reason: reason(message) }, outbox);
            }
            _ => {
                let retry_after = message.retry_after().map(|seconds| Duration::from_secs(u64::from(seconds)));
                let failure = Failure::Answered { code, reason: reason(message) };
                self.fail(failure, retry_after.map(|wait| wait.min(MAX_RETRY_AFTER)), outbox, now);
            }
        }
        self.memory.nonces.forget_answers();
    }

    pub(super) fn skip_after(&mut self, code: u16) {
        if matches!(code, 400 | 500) {
            self.cseq += SKIP_CSEQ;
        }
    }

    /// Moves our Contact to where the server saw us, if the app wants that. After a 401 this costs nothing.
    fn follow_observed(&mut self, message: &Message) {
        let wanted = self.account.follows_observed_address() && self.moves < MAX_MOVES;
        let Some(address) = observed(message).filter(|_| wanted) else { return };
        if let Flow::Up(up) = &mut self.flow
            && up.contact() != address
            && !up.transport.is_websocket()
        {
            up.seen = Some(Box::new(address));
            self.moves += 1;
        }
    }

    /// `X-Sy.AuthURI` comes with a 200, or with the very challenge that is to be answered with it.
    fn take_auth_uri(&mut self, message: &Message) {
        if let Some(uri) = message.header("X-Sy.AuthURI")
            && uri.len() <= crate::account::MAX_FIELD
            && SipUri::parse(uri).is_some()
        {
            self.memory.auth_uri = Some(uri.into());
        }
    }

    /// Sends the chain's next request, unless it has gone on for too long.
    fn again(&mut self, attempt: Box<Attempt>, code: u16, message: &Message, outbox: &mut Outbox, now: Now) {
        if attempt.chain.requests >= MAX_REQUESTS {
            log::warn!("{}: {code} {} after {MAX_REQUESTS} requests", self.key, reason(message));
            return self.fail(Failure::Circles, None, outbox, now);
        }
        self.resume = Some(attempt.chain);
    }

    fn challenged(&mut self, mut attempt: Box<Attempt>, code: u16, message: &Message, outbox: &mut Outbox, now: Now) {
        let challenges = parse_challenges(message.headers("WWW-Authenticate"), message.headers("Proxy-Authenticate"));
        // The upper server's realm, for X-PIID: its 401 comes through, a 407 is the proxy's own.
        if let Some(challenge) = challenges.iter().find(|challenge| !challenge.proxy).or(challenges.first()) {
            self.memory.realm = Some(challenge.realm.as_str().into());
        }
        let judged = attempt.chain.auth.judge(&challenges, self.account.credentials(), &mut self.memory.nonces, now);
        match judged {
            Next::Answer => self.again(attempt, code, message, outbox, now),
            Next::WrongCredentials if active(Mutation::WrongPasswordRetried) => {
                self.fail(Failure::WrongCredentials, None, outbox, now);
            }
            Next::WrongCredentials => self.stop(Failure::WrongCredentials, outbox),
            Next::NoUsableChallenge(unusable) => self.stop(Failure::Unanswerable(unusable), outbox),
        }
    }

    fn interval_too_brief(&mut self, mut attempt: Box<Attempt>, message: &Message, outbox: &mut Outbox, now: Now) {
        match message.min_expires() {
            Some(min)
                if min > attempt.expires && min <= MAX_MIN_EXPIRES && !matches!(attempt.chain.asks, Asks::Remove) =>
            {
                attempt.chain.min_expires = min;
                self.min_expires = min;
                self.again(attempt, 423, message, outbox, now);
            }
            _ => self.fail(Failure::Answered { code: 423, reason: reason(message) }, None, outbox, now),
        }
    }

    fn redirected(&mut self, attempt: Box<Attempt>, code: u16, message: &Message, outbox: &mut Outbox, now: Now) {
        if let Some(up) = self.flow_up() {
            for mut uri in message.contacts().iter().filter_map(Contact::parsed) {
                let Some(hop) = Hop::redirected(up.transport, &uri) else { continue };
                self.drop_flow(outbox);
                self.again(attempt, code, message, outbox, now);
                if self.resume.is_some() {
                    (uri.user, uri.headers) = (None, None);
                    self.redirect = Some(Box::new(Redirect { uri: uri.to_string(), hop }));
                }
                return;
            }
        }
        self.fail(Failure::Answered { code, reason: reason(message) }, None, outbox, now);
    }

    /// RFC 8599 4.1.1: a 555 leaves the user without service unless he registers again without push.
    fn push_refused(&mut self, mut attempt: Box<Attempt>, message: &Message, outbox: &mut Outbox, now: Now) {
        if attempt.chain.without_push {
            return self.fail(Failure::Answered { code: 555, reason: reason(message) }, None, outbox, now);
        }
        let spoke_rfc8599 = self.push.as_ref().and_then(|push| push.pn_provider(&attempt.spoken)).is_some();
        // What the server refuses it does not hold, and its `pn-*` would be refused again if it were named for removal.
        let held = self.memory.bound.as_ref().is_some_and(|bound| bound.uri.expose() == attempt.uri);
        if !held {
            self.memory.former.retain(|known| known.uri.expose() != attempt.uri);
        }
        if spoke_rfc8599 {
            self.memory.shown = Shown::NoRfc8599;
            self.memory.refused_at = Some(now.wall.as_secs());
        } else if !attempt.removed.is_empty() && !attempt.chain.single_contact {
            attempt.chain.single_contact = true;
        } else {
            attempt.chain.without_push = true;
        }
        self.again(attempt, 555, message, outbox, now);
    }

    fn queried(&mut self, status: u16, message: &Message, outbox: &mut Outbox) {
        let providers = crate::push::providers(&message.feature_caps());
        self.due = true;
        outbox.tell(Event::Capabilities { account: self.key.clone(), status, providers });
    }

    fn accepted(&mut self, attempt: Box<Attempt>, code: u16, message: &Message, outbox: &mut Outbox, now: Now) {
        if let Flow::Up(up) = &mut self.flow {
            up.proven |= up.id == attempt.flow;
        }
        self.failures = 0;
        self.gateways.worked(self.hop);
        self.pace = Pace::Free;
        self.hurry = 0;
        let proof = self.take_next_nonce(message, now);
        let observed = observed(message);
        let listed = message.contacts();
        match &attempt.chain.asks {
            Asks::Query(_) => {
                self.save(outbox, Durability::Progress);
                return self.queried(code, message, outbox);
            }
            Asks::Remove => return self.removed(&attempt, &listed, outbox, now),
            Asks::Vacate(_) => return self.vacated(&attempt, outbox),
            Asks::Bind => {}
        }

        let ours = self.ours(&listed, &attempt);
        let lapsed = match ours.and_then(|ours| ours.expires()) {
            Some(granted) => granted == 0,
            None => listed.is_empty() && message.expires() == Some(0),
        };
        if (ours.is_none() || lapsed) && !attempt.removed.is_empty() && !self.memory.separate_removal {
            // The server reads one Contact only, or takes the old one and the new one for the same binding and removed both.
            self.memory.separate_removal = true;
            self.forget_removed(&attempt);
            return self.again(attempt, code, message, outbox, now);
        }
        if lapsed {
            let failure = Failure::Answered { code, reason: "with a binding that is over already".to_owned() };
            return self.fail(failure, None, outbox, now);
        }
        let expires = ours
            .and_then(|ours| ours.expires())
            .or(message.expires())
            .unwrap_or(attempt.expires)
            .clamp(MIN_GRANTED, MAX_MIN_EXPIRES);
        let expires = Duration::from_secs(u64::from(expires));
        let replaced = self.memory.bound.clone().filter(|bound| bound.gateway.is_some());
        self.settle_former(&attempt, &listed, ours);
        let expires_at = now.wall.saturating_add(expires).as_secs();
        let here = self.here().map(Into::into);
        self.memory.bound = Bound::new(&attempt.base, &attempt.uri, attempt.token.clone(), expires_at, here);
        self.settle_at(replaced, outbox, now);
        self.memory.local_port = self.flow_up().map(|up| up.local.port());
        self.due &= !self.is_satisfied_by(&attempt);

        // Seen elsewhere than our Contact says: told at once, and the old Contact removed.
        self.due |= self.flow_up().is_some_and(|up| self.contact_base(up) != attempt.base);

        let verdict = self.read_verdict(&attempt, code, message);
        self.registered_at = Some(now.boot);
        self.bound_until = Some(now.boot + expires);
        self.refresh_at = (!active(Mutation::NeverRefreshed)).then(|| now.boot + refresh_after(expires, &verdict));
        self.keep_alive_at = self.account.keep_alive().map(|period| now.boot + period);
        self.verdict = Some(verdict.clone());
        let service_route = service_route(message);
        self.service_route = service_route.clone().into();
        self.save(outbox, Durability::Progress);
        if self.leaving {
            return;
        }
        log::info!("{}: registered for {} s; push {:?}", self.key, expires.as_secs(), verdict.standing);
        outbox.tell(Event::Registered {
            account: self.key.clone(),
            registered: Registered {
                expires,
                verdict,
                token: attempt.token,
                contact: Secret::new(attempt.uri),
                observed,
                service_route,
                suspicious_server: proof == ServerProof::Mismatch,
            },
        });
    }

    fn is_satisfied_by(&self, attempt: &Attempt) -> bool {
        let token = match &self.memory.token {
            TokenWish::Bind(token) => attempt.token.as_ref() == Some(token),
            TokenWish::Unbind(_) => attempt.asked == Asked::NoPush,
            TokenWish::NoneYet => true,
        };
        token && !self.leaving && attempt.epoch == self.epoch && !self.needs_cleanup()
    }

    fn needs_cleanup(&self) -> bool {
        self.memory.former.iter().any(|former| former.refusals > 0) && self.cleanups <= MAX_CLEANUPS
    }

    fn read_verdict(&mut self, attempt: &Attempt, code: u16, message: &Message) -> Verdict {
        let Some(push) = &self.push else { return Verdict::without_push() };
        let asked = if attempt.chain.without_push { Asked::Refused } else { attempt.asked };
        let mut verdict = Verdict::read(push, &attempt.spoken, self.memory.shown, asked, code, &message.feature_caps());
        if active(Mutation::VerdictGuessed) && asked == Asked::Push {
            verdict.standing = Standing::Confirmed;
        }
        verdict.piid_withheld = attempt.piid == Piid::Withheld;
        verdict.piid_in_the_clear = attempt.piid == Piid::InTheClear;
        if verdict.standing == Standing::Confirmed && push.is_auto() {
            self.memory.shown = Shown::Rfc8599;
        }
        verdict
    }

    fn take_next_nonce(&mut self, message: &Message, now: Now) -> ServerProof {
        let mut proof = ServerProof::Absent;
        for (name, proxy) in [("Authentication-Info", false), ("Proxy-Authentication-Info", true)] {
            if let Some(info) = message.header(name) {
                proof = self.memory.nonces.next_nonce(
                    info,
                    proxy,
                    self.account.auth_user(),
                    self.account.credentials(),
                    &message.body,
                    now,
                );
            }
        }
        proof
    }

    /// A 200 to the removal ends it, unless its own list shows that the server still holds one of our Contacts.
    fn removed(&mut self, attempt: &Attempt, listed: &[Contact], outbox: &mut Outbox, now: Now) {
        let mut lingering = Vec::new();
        for contact in listed {
            if lingering.len() < MAX_FORMER && self.is_our_leftover(contact, attempt) {
                lingering.push(Former { uri: Secret::new(contact.uri), expires_at: u64::MAX, refusals: 1 });
            }
        }
        if lingering.is_empty() || self.cleanups >= MAX_CLEANUPS {
            return self.gone(outbox, now);
        }
        self.cleanups += 1;
        self.memory.former = lingering;
        self.due = true;
        self.save(outbox, Durability::Progress);
    }

    /// The former token's binding is gone: the new one is bound now.
    fn vacated(&mut self, attempt: &Attempt, outbox: &mut Outbox) {
        self.forget_removed(attempt);
        self.bind_next();
        self.save(outbox, Durability::Progress);
    }

    /// Whatever became of the former token, its turn is over; but a log-out that was asked for meanwhile comes first.
    fn bind_next(&mut self) {
        self.due = true;
        self.resume = (!self.leaving).then(|| Chain::new(Asks::Bind));
    }

    /// Forgets what the gateway in use has just removed. A binding that another one holds is not gone: it is known until the
    /// next one is accepted in its place, and then taken back where it is.
    fn forget_removed(&mut self, attempt: &Attempt) {
        if self.memory.bound.as_ref().is_some_and(|bound| bound.gateway.as_deref() == self.here())
            || active(Mutation::BoundElsewhereForgotten)
        {
            self.memory.bound = None;
        }
        let here = self.here().map(str::to_owned);
        let gone = |uri: &str| uri == attempt.uri || attempt.removed.iter().any(|removed| removed == uri);
        self.memory.left.retain(|left| left.gateway.as_deref() != here.as_deref() || !gone(left.uri.expose()));
        self.memory.former.retain(|known| !attempt.removed.iter().any(|uri| uri == known.uri.expose()));
    }

    /// Forgets the former Contacts that the 200 lists no more, and finds those that it still does.
    fn settle_former(&mut self, attempt: &Attempt, listed: &[Contact], ours: Option<&Contact>) {
        let mut former = std::mem::take(&mut self.memory.former);
        let bound = self.memory.bound.take();
        for bound in bound.iter().chain(self.left_here()).filter(|bound| bound.uri.expose() != attempt.uri) {
            if !former.iter().any(|known| known.uri == bound.uri) {
                former.push(Former { uri: bound.uri.clone(), expires_at: bound.expires_at, refusals: 0 });
            }
        }
        former.retain(|known| known.uri.expose() != attempt.uri);
        let mut kept: Vec<Former> = Vec::new();
        // A query's Contact differs from ours only in what RFC 3261 19.1.4 overlooks: where both are listed, each is its own.
        let exactly = listed.iter().any(|contact| contact.uri == attempt.uri);
        let is_ours = |contact: &Contact, former: &[Former]| {
            let known = || former.iter().any(|known| known.uri.expose() == contact.uri);
            is_uri(contact, &attempt.uri) && !(exactly && known())
        };
        for contact in listed.iter().filter(|contact| Some(*contact) != ours && !is_ours(contact, &former)) {
            let known = former.iter().find(|known| is_uri(contact, known.uri.expose()));
            if known.is_none() && !self.is_our_leftover(contact, attempt) {
                continue;
            }
            let refusals = known.map_or(0, |known| known.refusals) + 1;
            // The server has just shown that it holds it, whatever our clock says.
            if refusals <= MAX_CLEANUPS && kept.len() < MAX_FORMER {
                kept.push(Former { uri: Secret::new(contact.uri), expires_at: u64::MAX, refusals });
            }
        }
        if listed.is_empty() {
            // The server lists nothing: what was asked to be removed counts as removed, the rest waits for its turn.
            former.retain(|known| !attempt.removed.iter().any(|uri| uri == known.uri.expose()));
            former.truncate(MAX_FORMER);
            kept = former;
        }
        kept.shrink_to_fit();
        self.memory.former = kept;
        if self.needs_cleanup() {
            self.cleanups += 1;
            self.due = true;
        }
    }

    /// The listed Contact that stands for ours: as we sent it or, where the server rewrites addresses, the longest-lived
    /// with our instance or our token.
    fn ours<'l, 'a>(&self, listed: &'l [Contact<'a>], attempt: &Attempt) -> Option<&'l Contact<'a>> {
        let instance = self.account.instance_id();
        let exact = listed.iter().filter(|contact| is_uri(contact, &attempt.uri));
        if let Some(exact) = exact.max_by_key(|contact| (contact.uri == attempt.uri, contact.instance() == instance)) {
            return Some(exact);
        }
        let sent = SipUri::parse(&attempt.uri);
        let prid = sent.as_ref().and_then(|uri| uri.params.value("pn-prid"));
        let known = |contact: &Contact| {
            let mut known = self.memory.former.iter().map(|former| &former.uri);
            known.any(|uri| uri.expose() != attempt.uri && is_uri(contact, uri.expose()))
                || self.memory.bound.as_ref().is_some_and(|bound| is_uri(contact, bound.uri.expose()))
        };
        listed
            .iter()
            .filter(|contact| {
                let same = (instance.is_some() && contact.instance() == instance)
                    || contact.parsed().is_some_and(|uri| prid.is_some() && uri.params.value("pn-prid") == prid);
                same && !known(contact)
            })
            .max_by_key(|contact| contact.expires())
    }

    /// Whether a listed Contact is one of this device that should not be there: known, of our instance, or with our token.
    fn is_our_leftover(&self, contact: &Contact, attempt: &Attempt) -> bool {
        if matches!(attempt.chain.asks, Asks::Bind) && is_uri(contact, &attempt.uri) {
            return false;
        }
        if active(Mutation::ForeignContactRemoved) {
            return true;
        }
        let bound = self.memory.bound.iter().map(|bound| &bound.uri);
        let mut known = self.memory.former.iter().map(|former| &former.uri).chain(bound).map(Secret::expose);
        if known.any(|uri| is_uri(contact, uri)) || is_uri(contact, &attempt.uri) {
            return true;
        }
        let instance = self.account.instance_id();
        if instance.is_some() && contact.instance() == instance {
            return true;
        }
        let tokens = [self.memory.token.last(), self.memory.bound.as_ref().and_then(|bound| bound.token.as_ref())];
        let prid =
            contact.parsed().and_then(|uri| unescape(uri.params.value("pn-prid")?).ok().map(|prid| prid.into_owned()));
        prid.is_some_and(|prid| tokens.into_iter().flatten().any(|token| token.call() == Some(prid.as_str())))
    }
}

/// A granted lifetime below this is not worth a timer that fires all the time, in seconds.
const MIN_GRANTED: u32 = 10;

/// When to refresh: before the binding lapses, or, where the server has promised to push before it does, only if it did not.
fn refresh_after(expires: Duration, verdict: &Verdict) -> Duration {
    let lead = match (verdict.standing, verdict.refresh_lead) {
        (Standing::Confirmed, Some(lead)) => Duration::from_secs(u64::from(lead)) + Duration::from_secs(4),
        (Standing::Confirmed, None) => return expires,
        _ => (expires / 10).clamp(Duration::from_secs(4), Duration::from_secs(120)),
    };
    expires.saturating_sub(lead).max(expires / 2)
}

fn is_uri(contact: &Contact, uri: &str) -> bool {
    contact.uri == uri
        || match (contact.parsed(), SipUri::parse(uri)) {
            (Some(listed), Some(known)) => {
                listed.params.value("pn-prid") == known.params.value("pn-prid") && same_uri(&listed, &known)
            }
            _ => false,
        }
}

/// Our address as the top Via shows it (RFC 3581 section 4).
fn observed(message: &Message) -> Option<SocketAddr> {
    let via = message.via()?;
    Some(SocketAddr::new(via.received()?, via.rport()?))
}

/// The route that the registrar wants requests to take, as each 2xx tells it anew (RFC 3608 section 6.1). Of one that cannot
/// be read as a whole nothing is taken: a part of a way leads elsewhere.
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

fn reason(message: &Message) -> String {
    match &message.start {
        crate::sip::Start::Response { reason, .. } => reason.chars().filter(|c| !c.is_control()).take(80).collect(),
        crate::sip::Start::Request { .. } => String::new(),
    }
}
