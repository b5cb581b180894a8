//! Reads the response to a REGISTER. If another request of the same chain is enough, it continues by itself.

use std::time::Duration;

use super::{Binding, MAX_MOVES, MAX_REQUESTS, Purpose, Redirect, Registrant, Sent};
use crate::clock::Now;
use crate::digest::{self, Challenge, Next, ServerProof, Unusable, parse_challenges};
use crate::event::Failure;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::payload::shown_name;
use crate::push::Shown;
use crate::record::Decision;
use crate::record::words::{Milliseconds, Status};
use crate::sip::{CSeq, Contact, Message, NameAddr, SipUri, Start};
use crate::trust::{Trusted, Warning};

use super::listed::observed;

/// The longest `Min-Expires` that is believed, in seconds. No honest registrar asks for more.
pub(crate) const MAX_MIN_EXPIRES: u32 = 30 * 24 * 3600;
/// The longest `Retry-After` that is followed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A nonce that is older may have expired on its way. Not every server says `stale` then.
const SLOW: Duration = Duration::from_secs(10);

/// What a response to the REGISTER in flight means.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is not final.
    Provisional,
    /// The chain continues with another request.
    Again,
    /// A 2xx.
    Accepted(Box<Sent>, ServerProof),
    /// Another final response.
    Refused { sent: Box<Sent>, code: u16, failure: Failure, retry_after: Option<Duration> },
    /// The server or a proxy does not accept the credentials.
    Denied(Failure),
}

impl Binding {
    /// Takes a response. Returns `None` if it is not to the REGISTER in flight (RFC 3261 section 17.1.3).
    pub(crate) fn handle_response(
        &mut self,
        message: &Message,
        who: &mut Registrant,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) -> Option<Outcome> {
        // RFC 3261 section 8.1.3.3: a response with a second Via is meant for somebody else.
        if message.values("Via").count() != 1 {
            return None;
        }
        let ours = |sent: &&mut Box<Sent>| {
            let cseq = CSeq { seq: sent.cseq, method: "REGISTER" };
            message.branch() == Some(&sent.branch) && message.cseq() == Some(cseq)
        };
        let waiting = self.sent.as_mut().filter(ours)?;
        let code = message.code()?;
        if code < 200 {
            waiting.transaction.proceed(now.boot);
            waiting.leave_at = None;
            return Some(Outcome::Provisional);
        }
        let sent = self.sent.take()?;
        self.liveness.answered(sent.sent_at, now.boot);
        let took = Milliseconds(now.boot.saturating_sub(sent.sent_at));
        outbox.note(who.key(), Decision::RegisterAnswered { status: Status(code), took });
        self.follow_observed(message, who, flows);
        if self.nonces.is_none() && !sent.chain.without_auth_uri {
            self.take_auth_uri(message, who, flows, outbox);
        }
        if !sent.blames_nonce(code) {
            who.skip_after(code);
        }
        let names = ["Server", "User-Agent"].into_iter().filter_map(|name| message.header(name));
        who.memory.mizutech |= message.header("X-Sy.AuthURI").is_some()
            || names.into_iter().any(|name| name.to_ascii_lowercase().contains("mizu"));
        let outcome = match code {
            200..=299 => {
                self.proven |= self.flow == Some(sent.destination.flow);
                self.removes_bare = false;
                who.refused = false;
                let proof = self.take_next_nonce(message, who, now);
                if proof == ServerProof::Mismatch {
                    outbox.warn(&who.key, Warning::ServerProofWrong);
                }
                if who.account.requires_server_proof() && proof != ServerProof::Verified {
                    Outcome::Denied(Failure::Unanswerable(Unusable::NoServerProof))
                } else {
                    Outcome::Accepted(sent, proof)
                }
            }
            401 | 407 => self.challenged(sent, code, message, who, flows, outbox, now),
            _ => self.corrected(sent, code, message, who, flows, outbox, now),
        };
        self.nonces(who).forget_answers();
        if matches!(outcome, Outcome::Refused { .. } | Outcome::Denied(_)) && !matches!(code, 408 | 423 | 503) {
            // The server may have refused because of this URI.
            who.memory.auth_uri = None;
        }
        Some(outcome)
    }

    /// Forgets the nonces if this REGISTER used one without being asked.
    pub(crate) fn doubt_nonce(&mut self, sent: &Sent, code: u16, who: &mut Registrant, outbox: &mut Outbox) {
        if sent.chain.ahead {
            self.nonces(who).invalidate_all();
            outbox.note(who.key(), Decision::NonceForgotten { status: Status(code) });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts that an answer may touch")]
    fn corrected(
        &mut self,
        mut sent: Box<Sent>,
        code: u16,
        message: &Message,
        who: &mut Registrant,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) -> Outcome {
        let asks = matches!(sent.purpose(), Purpose::Query(_));
        let blames_nonce = sent.blames_nonce(code);
        // The nonce has done its work for this request. The next one uses it without waiting for a challenge, as a new
        // chain would.
        (sent.chain.challenged, sent.chain.auth) = (false, digest::Attempt::default());
        // That also clears earlier doubts.
        (sent.chain.asked_at, sent.chain.refused_once) = (None, false);
        if blames_nonce {
            self.nonces(who).invalidate_all();
            outbox.note(who.key(), Decision::NonceForgotten { status: Status(code) });
            // The reason may be the several Contacts. A challenge will tell.
            sent.chain.doubted = code == 400 && !sent.chain.single_contact;
            sent.chain.single_contact |= code == 400;
            // If each nonce is valid only once, every other request is refused for it. Those do not count.
            sent.chain.requests = sent.chain.requests.saturating_sub(1);
            return self.again(sent, code, message);
        }
        match code {
            // A server that dropped the push provider still holds the Contact, and finds it without `pn-*` (RFC 3261
            // 19.1.4).
            555 if sent.purpose().removes() && !sent.chain.without_push => {
                (sent.chain.without_push, sent.chain.single_contact) = (true, true);
                return self.again(sent, code, message);
            }
            // If the server can't read a URI of this length, it holds the Contact without what makes it long, if at
            // all.
            _ if sent.purpose().removes()
                && sent.pushes_in_uri()
                && may_be_too_long(code, message)
                && (code != 400 || sent.removed.is_empty()) =>
            {
                let too_long = sent.chain.refused_as_it_is || speaks_of_length(message) || code != 400;
                sent.chain.refused_as_it_is = true;
                sent.chain.without_push |= too_long;
                self.removes_bare |= too_long;
                // The number of Contacts was not the reason. But what is removed beside a live binding stays alone.
                sent.chain.single_contact &= !too_long || matches!(sent.purpose(), Purpose::Vacate(_));
                return self.again(sent, code, message);
            }
            300..=399 => {
                if let Some(redirect) = self.redirect_to(message, who, flows, outbox) {
                    self.close(flows, outbox);
                    let outcome = self.again(sent, code, message);
                    if self.has_more() {
                        self.redirect = Some(Box::new(redirect));
                    }
                    return outcome;
                }
            }
            _ if matches!(sent.purpose(), Purpose::Vacate(_)) => {}
            423 => {
                let min = message.min_expires().filter(|min| *min > sent.expires && *min <= MAX_MIN_EXPIRES);
                if let Some(min) = min.filter(|_| !sent.purpose().removes()) {
                    sent.chain.min_expires = min;
                    self.min_expires = min;
                    return self.again(sent, code, message);
                }
            }
            // RFC 8599 section 4.1.1: after a 555 the user has no service unless the phone registers again without
            // push.
            555 if !asks && !sent.chain.without_push => {
                outbox.note(who.key(), Decision::PushRefused { status: Status(code) });
                push_refused(&mut sent, who, now);
                self.note_learnt(who, flows);
                return self.again(sent, code, message);
            }
            // RFC 5626 11.6: the edge proxy does not support outbound.
            439 if !who.memory.no_outbound => {
                who.memory.no_outbound = true;
                self.note_learnt(who, flows);
                return self.again(sent, code, message);
            }
            // One Contact too many, or a former one that is too long.
            _ if !sent.removed.is_empty()
                && !sent.chain.single_contact
                && (code == 400 || (!sent.pushes_in_uri() && may_be_too_long(code, message))) =>
            {
                sent.chain.single_contact = true;
                return self.again(sent, code, message);
            }
            // OpenSIPS and Asterisk accept Contacts of at most 255 bytes. As after a 555, service without push is
            // better than none.
            _ if matches!(sent.purpose(), Purpose::Bind) && sent.pushes_in_uri() && may_be_too_long(code, message) => {
                outbox.note(who.key(), Decision::PushRefused { status: Status(code) });
                if sent.chain.refused_as_it_is || speaks_of_length(message) || code != 400 {
                    contact_refused(&mut sent, message, who, now);
                    self.note_learnt(who, flows);
                } else {
                    sent.chain.refused_as_it_is = true;
                }
                return self.again(sent, code, message);
            }
            _ => {}
        }
        let retry_after = message.retry_after().map(|seconds| Duration::from_secs(u64::from(seconds)));
        Outcome::Refused {
            sent,
            code,
            failure: Failure::Answered { code, reason: reason(message) },
            retry_after: retry_after
                .map(|wait| wait.min(MAX_RETRY_AFTER))
                .filter(|_| !matches!(code, 300..=399 | 423 | 555)),
        }
    }

    /// Sends the chain's next request, unless the chain has had too many.
    pub(crate) fn again(&mut self, mut sent: Box<Sent>, code: u16, message: &Message) -> Outcome {
        if code < 300 {
            // The nonce has done its work for this request.
            (sent.chain.challenged, sent.chain.auth) = (false, digest::Attempt::default());
        }
        if sent.chain.requests >= MAX_REQUESTS {
            log::warn!("{code} {} after {MAX_REQUESTS} requests", reason(message));
            return Outcome::Refused { sent, code, failure: Failure::Circles, retry_after: None };
        }
        self.chain = Some(sent.chain);
        Outcome::Again
    }

    #[expect(clippy::too_many_arguments, reason = "the parts that an answer may touch")]
    fn challenged(
        &mut self,
        mut sent: Box<Sent>,
        code: u16,
        message: &Message,
        who: &mut Registrant,
        flows: &Flows,
        outbox: &mut Outbox,
        now: Now,
    ) -> Outcome {
        let challenges = parse_challenges(message.headers("WWW-Authenticate"), message.headers("Proxy-Authenticate"));
        self.note_realm(&challenges, who, flows, outbox);
        let nonces = self.nonces.as_deref_mut().unwrap_or(&mut who.memory.nonces);
        nonces.turn_to(self.peer.host());
        sent.chain.auth.demand(who.account.minimum_digest());
        if !sent.destination.transport.is_secure() {
            sent.chain.auth.doubt_realms();
        }
        let slow = sent.chain.asked_at.is_some_and(|at| now.boot.saturating_sub(at) >= SLOW);
        if slow && challenges.iter().all(|challenge| !challenge.stale) {
            sent.chain.auth.excuse();
            sent.chain.refused_late = true;
        }
        sent.chain.asked_at = Some(sent.sent_at);
        let same_nonce = challenges.iter().any(|challenge| nonces.holds(challenge));
        let mut next = sent.chain.auth.judge(&challenges, who.account.credentials(), nonces, now);
        if next == Next::WrongCredentials && who.memory.auth_uri.take().is_some() {
            // The reason may not be the password, but the URI that the server wanted in the digest.
            (sent.chain.without_auth_uri, sent.chain.refused_once) = (true, true);
            sent.chain.auth.excuse();
            next = sent.chain.auth.judge(&challenges, who.account.credentials(), nonces, now);
        }
        let doubtful = next == Next::WrongCredentials && !same_nonce && !who.refused;
        if doubtful && !std::mem::replace(&mut sent.chain.refused_once, true) {
            // A server that restarts loses its nonces, and not every server says `stale` then.
            sent.chain.auth.excuse();
            next = sent.chain.auth.judge(&challenges, who.account.credentials(), nonces, now);
        }
        let exhausted = next == Next::NoUsableChallenge(Unusable::EndlessChallenges);
        let refused = sent.chain.refused_once || sent.chain.refused_late;
        if exhausted && refused && challenges.iter().all(|challenge| !challenge.stale) {
            // It never said that the nonce was stale.
            next = Next::WrongCredentials;
        }
        if sent.chain.ahead && next == Next::NoUsableChallenge(Unusable::NoDigestChallenge) {
            // The server refuses the nonce at hand and forgets to give another one.
            self.nonces(who).invalidate_all();
            outbox.note(who.key(), Decision::NonceForgotten { status: Status(code) });
            return self.again(sent, code, message);
        }
        match next {
            Next::Answer => {
                sent.chain.challenged = true;
                sent.chain.single_contact &= !std::mem::take(&mut sent.chain.doubted);
                self.again(sent, code, message)
            }
            Next::WrongCredentials => {
                who.refused = true;
                Outcome::Denied(Failure::WrongCredentials)
            }
            Next::NoUsableChallenge(unusable) => Outcome::Denied(Failure::Unanswerable(unusable)),
        }
    }

    /// Moves our Contact to the address that the server saw, if the app wants that. After a 401 this costs nothing.
    fn follow_observed(&mut self, message: &Message, who: &Registrant, flows: &Flows) {
        let wanted = who.account.follows_observed_address() && self.moves < MAX_MOVES;
        let (Some(address), Some(up)) = (observed(message).filter(|_| wanted), self.up(flows)) else { return };
        if *self.seen.as_deref().unwrap_or(&up.local) != address && !up.transport.is_websocket() {
            self.seen = Some(Box::new(address));
            self.moves += 1;
        }
    }

    /// Where a 3xx leads: the server's first choice that may be followed (RFC 3261 section 8.1.3.4). Refused targets
    /// become warnings.
    fn redirect_to(&self, message: &Message, who: &Registrant, flows: &Flows, outbox: &mut Outbox) -> Option<Redirect> {
        let from = self.up(flows)?.transport;
        let contacts = message.contacts();
        let mut targets: Vec<&Contact> = contacts.iter().collect();
        targets.sort_by_key(|contact| std::cmp::Reverse(contact.preference()));
        let mut refused = Vec::new();
        let mut followed = None;
        for uri in targets.into_iter().filter_map(Contact::parsed) {
            match Trusted::by(&who.account).redirect(from, &uri) {
                Ok(hop) => {
                    followed = Some((uri, hop));
                    break;
                }
                Err(warning) => refused.push(warning),
            }
        }
        if let (None, Some(warning)) = (&followed, refused.into_iter().next()) {
            outbox.warn(&who.key, warning);
        }
        let (mut uri, hop) = followed?;
        (uri.user, uri.headers, uri.password) = (None, None, None);
        Some(Redirect { uri: (message.code() != Some(305)).then(|| uri.to_string()), hop })
    }

    /// Every `rspauth` that can be right by now.
    #[cfg(feature = "replay")]
    pub(crate) fn right_proofs(&self, who: &Registrant) -> Vec<zeroize::Zeroizing<String>> {
        let nonces = self.nonces.as_deref().unwrap_or(&who.memory.nonces);
        nonces.right_proofs(who.account.auth_user(), who.account.credentials()).collect()
    }

    fn take_next_nonce(&mut self, message: &Message, who: &mut Registrant, now: Now) -> ServerProof {
        let nonces = self.nonces.as_deref_mut().unwrap_or(&mut who.memory.nonces);
        nonces.turn_to(self.peer.host());
        let (user, credentials) = (who.account.auth_user(), who.account.credentials());
        let mut proof = ServerProof::Absent;
        for (name, proxy) in [("Authentication-Info", false), ("Proxy-Authentication-Info", true)] {
            if let Some(info) = message.header(name) {
                proof = nonces.next_nonce(info, proxy, user, credentials, &message.body, now);
            }
        }
        proof
    }

    /// Notes the realm for `X-PIID`, and warns if it differs from the one before.
    pub(super) fn note_realm(
        &mut self,
        challenges: &[Challenge],
        who: &mut Registrant,
        flows: &Flows,
        outbox: &mut Outbox,
    ) {
        let Some(up) = self.up(flows) else { return };
        let kept = self.nonces.is_none();
        let answered = !who.is_beside();
        let known = self.nonces(who);
        if let Some((known, asked)) = known.changed_realm(challenges, answered).filter(|_| !up.transport.is_secure()) {
            let known = known.to_owned();
            outbox.warn(&who.key, Warning::RealmChanged { known, asked });
        }
        if kept && Trusted::by(&who.account).realm_from(self.peer, up.transport) {
            who.learn_upper_realm(challenges, outbox);
        }
    }

    /// Takes `X-Sy.AuthURI`. It comes with a 200, or with the challenge whose response has to use it.
    pub(super) fn take_auth_uri(&self, message: &Message, who: &mut Registrant, flows: &Flows, outbox: &mut Outbox) {
        let mut refused = None;
        for text in message.headers("X-Sy.AuthURI").filter(|text| !text.is_empty()) {
            let in_brackets = NameAddr::parse(text).filter(|_| text.contains('<'));
            let uri = in_brackets.map_or(text, |name_addr| name_addr.uri);
            let is_allowed = |uri: &SipUri| Trusted::by(&who.account).digest_uri(uri);
            if uri.len() <= crate::account::MAX_FIELD && SipUri::parse(uri).as_ref().is_some_and(is_allowed) {
                if who.memory.auth_uri.as_deref() != Some(uri) {
                    who.memory.auth_uri = Some(uri.into());
                    self.note_learnt(who, flows);
                }
                return;
            }
            refused.get_or_insert(uri);
        }
        if let Some(uri) = refused.and_then(shown_name) {
            outbox.warn(&who.key, Warning::AuthUriRefused { uri });
        }
    }

    /// On a flow without TLS somebody else may have forged what the server just said. So it is remembered with its
    /// network.
    pub(crate) fn note_learnt(&self, who: &mut Registrant, flows: &Flows) {
        if let Some(up) = self.up(flows).filter(|up| !up.transport.is_secure()) {
            who.memory.heard_at = Some(up.local.ip());
        }
    }
}

impl Sent {
    /// Whether the nonce may be the reason for a refusal. Servers refuse a used nonce with many statuses. It is
    /// forgotten then, and the server gives a new one.
    fn blames_nonce(&self, code: u16) -> bool {
        let unrelated = match &self.chain.purpose {
            Purpose::Bind => false,
            Purpose::Remove | Purpose::Vacate(_) => matches!(code, 404 | 604),
            Purpose::Query(_) => true,
        };
        self.chain.ahead && code >= 400 && !unrelated && !matches!(code, 408 | 423 | 439 | 503 | 504 | 555)
    }
}

fn push_refused(sent: &mut Sent, who: &mut Registrant, now: Now) {
    who.memory.unconfirmed = None;
    if !sent.pushes_in_uri() && sent.removed.iter().any(|uri| uri.contains(";pn-")) {
        // The provider of a former Contact is refused. Nothing is known of the one in use.
        sent.chain.single_contact = true;
        return;
    }
    let spoke_rfc8599 = who.push.as_ref().and_then(|push| push.pn_provider(&sent.spoken)).is_some();
    // The server does not hold what it refuses. If its `pn-*` were named in a removal, the server would refuse that,
    // too.
    if who.memory.bound.as_ref().is_none_or(|bound| bound.uri.expose() != sent.uri) {
        who.forget_contact(&sent.uri);
    }
    if spoke_rfc8599 && who.memory.shown != Shown::NoRfc8599 {
        who.memory.shown = Shown::NoRfc8599;
        who.memory.refused_at = Some(now.wall.as_secs());
        who.memory.refused_why = None;
    } else if !sent.removed.is_empty() && !sent.chain.single_contact {
        sent.chain.single_contact = true;
    } else {
        sent.chain.without_push = true;
    }
}

/// Whether the server complains about a length. A server that stores Contacts in a short column says so in its own
/// words.
fn speaks_of_length(message: &Message) -> bool {
    let text = reason(message).to_ascii_lowercase();
    ["too long", "too large", "too big", "length", "exceed"].iter().any(|words| text.contains(words))
}

/// Whether the length of our Contact may be the reason. With other statuses, servers have to say that something is too
/// long: "exceeded" may be the number of Contacts there.
fn may_be_too_long(code: u16, message: &Message) -> bool {
    let says = || {
        let text = reason(message).to_ascii_lowercase();
        let long = ["too long", "too large", "too big"].iter().any(|words| text.contains(words));
        long || (text.contains("exceed") && ["uri", "length"].iter().any(|words| text.contains(words)))
    };
    matches!(code, 400 | 413 | 414 | 513)
        || (code >= 400 && !matches!(code, 408 | 423 | 439 | 503 | 504 | 555) && says())
}

fn contact_refused(sent: &mut Sent, message: &Message, who: &mut Registrant, now: Now) {
    who.memory.unconfirmed = None;
    who.forget_contact(&sent.uri);
    who.memory.shown = Shown::NoRfc8599;
    who.memory.refused_at = Some(now.wall.as_secs());
    who.memory.refused_why = Some(reason(message).into());
    // Another dialect that writes into the Contact URI would be refused, too.
    sent.chain.without_push = who.push.as_ref().is_some_and(|push| push.spoken(Shown::NoRfc8599) == sent.spoken);
}

/// The header fields in which servers say more than in the status line.
const SAYS_WHY: [&str; 3] = ["Warning", "P-Registrar-Error", "Reason"];

/// Returns the reason of a response in the server's own words.
pub(crate) fn reason(message: &Message) -> String {
    let Start::Response { reason, .. } = &message.start else { return String::new() };
    let printable = |text: &str, most| text.chars().filter(|c| !c.is_control()).take(most).collect::<String>();
    let mut text = printable(reason, 80);
    for name in SAYS_WHY {
        if let Some(value) = message.header(name) {
            text.push_str("; ");
            text.push_str(name);
            text.push_str(": ");
            text.push_str(&printable(value, 160));
        }
    }
    text
}
