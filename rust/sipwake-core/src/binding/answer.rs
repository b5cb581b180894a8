//! Reads the answer to a REGISTER: goes on by itself where another request of the same chain will do.

use std::time::Duration;

use super::{Binding, MAX_MOVES, MAX_REQUESTS, Purpose, Redirect, Registrant, Sent};
use crate::account::Hop;
use crate::clock::Now;
use crate::digest::{Next, ServerProof, parse_challenges};
use crate::event::Failure;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::push::Shown;
use crate::sip::{CSeq, Contact, Message, SipUri, Start};

use super::listed::observed;

/// A `Min-Expires` beyond this is no honest wish of a registrar, in seconds.
pub(crate) const MAX_MIN_EXPIRES: u32 = 30 * 24 * 3600;
/// The longest that `Retry-After` is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What an answer to the REGISTER in flight means.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is not final.
    Provisional,
    /// The chain goes on with another request.
    Again,
    /// A 2xx.
    Accepted(Box<Sent>, ServerProof),
    /// Another final answer.
    Refused { sent: Box<Sent>, code: u16, failure: Failure, retry_after: Option<Duration> },
    /// The credentials do not satisfy those who ask for them.
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
        self.follow_observed(message, who, flows);
        if self.nonces.is_none() {
            take_auth_uri(message, who);
        }
        who.skip_after(code);
        let outcome = match code {
            200..=299 => {
                self.proven |= self.flow == Some(sent.way.flow);
                Outcome::Accepted(sent, self.take_next_nonce(message, who, now))
            }
            401 | 407 => self.challenged(sent, code, message, who, now),
            _ => self.corrected(sent, code, message, who, flows, outbox, now),
        };
        self.nonces(who).forget_answers();
        Some(outcome)
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
        match code {
            _ if matches!(sent.purpose(), Purpose::Vacate(_)) => {}
            423 => {
                let min = message.min_expires().filter(|min| *min > sent.expires && *min <= MAX_MIN_EXPIRES);
                if let Some(min) = min.filter(|_| !sent.purpose().removes()) {
                    sent.chain.min_expires = min;
                    self.min_expires = min;
                    return self.again(sent, code, message);
                }
            }
            300..=399 => {
                if let Some(redirect) = self.redirect_to(message, flows) {
                    self.close(flows, outbox);
                    let outcome = self.again(sent, code, message);
                    if self.has_more() {
                        self.redirect = Some(Box::new(redirect));
                    }
                    return outcome;
                }
            }
            // RFC 8599 4.1.1: a 555 leaves the user without service unless he registers again without push.
            555 if !asks && !sent.chain.without_push => {
                push_refused(&mut sent, who, now);
                return self.again(sent, code, message);
            }
            // RFC 5626 11.6: the edge proxy cannot do outbound.
            439 if !who.memory.no_outbound => {
                who.memory.no_outbound = true;
                return self.again(sent, code, message);
            }
            400 if !sent.removed.is_empty() && !sent.chain.single_contact => {
                sent.chain.single_contact = true;
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

    /// Sends the chain's next request, unless it has gone on for too long.
    pub(crate) fn again(&mut self, sent: Box<Sent>, code: u16, message: &Message) -> Outcome {
        if sent.chain.requests >= MAX_REQUESTS {
            log::warn!("{code} {} after {MAX_REQUESTS} requests", reason(message));
            return Outcome::Refused { sent, code, failure: Failure::Circles, retry_after: None };
        }
        self.chain = Some(sent.chain);
        Outcome::Again
    }

    fn challenged(
        &mut self,
        mut sent: Box<Sent>,
        code: u16,
        message: &Message,
        who: &mut Registrant,
        now: Now,
    ) -> Outcome {
        let challenges = parse_challenges(message.headers("WWW-Authenticate"), message.headers("Proxy-Authenticate"));
        // The upper server's realm, for X-PIID: its 401 comes through, a 407 is the proxy's own.
        if let Some(challenge) = challenges.iter().find(|challenge| !challenge.proxy).or(challenges.first())
            && self.nonces.is_none()
        {
            who.memory.realm = Some(challenge.realm.as_str().into());
        }
        let nonces = self.nonces.as_deref_mut().unwrap_or(&mut who.memory.nonces);
        match sent.chain.auth.judge(&challenges, who.account.credentials(), nonces, now) {
            Next::Answer => self.again(sent, code, message),
            Next::WrongCredentials => Outcome::Denied(Failure::WrongCredentials),
            Next::NoUsableChallenge(unusable) => Outcome::Denied(Failure::Unanswerable(unusable)),
        }
    }

    /// Moves our Contact to where the server saw us, if the app wants that. After a 401 this costs nothing.
    fn follow_observed(&mut self, message: &Message, who: &Registrant, flows: &Flows) {
        let wanted = who.account.follows_observed_address() && self.moves < MAX_MOVES;
        let (Some(address), Some(up)) = (observed(message).filter(|_| wanted), self.up(flows)) else { return };
        if *self.seen.as_deref().unwrap_or(&up.local) != address && !up.transport.is_websocket() {
            self.seen = Some(Box::new(address));
            self.moves += 1;
        }
    }

    fn redirect_to(&self, message: &Message, flows: &Flows) -> Option<Redirect> {
        let from = self.up(flows)?.transport;
        let contacts = message.contacts();
        let mut targets = contacts.iter().filter_map(Contact::parsed);
        let (mut uri, hop) = targets.find_map(|uri| Some((uri.clone(), Hop::redirected(from, &uri)?)))?;
        (uri.user, uri.headers) = (None, None);
        Some(Redirect { uri: uri.to_string(), hop })
    }

    fn take_next_nonce(&mut self, message: &Message, who: &mut Registrant, now: Now) -> ServerProof {
        let nonces = self.nonces.as_deref_mut().unwrap_or(&mut who.memory.nonces);
        let (user, credentials) = (who.account.auth_user(), who.account.credentials());
        let mut proof = ServerProof::Absent;
        for (name, proxy) in [("Authentication-Info", false), ("Proxy-Authentication-Info", true)] {
            if let Some(info) = message.header(name) {
                proof = nonces.next_nonce(info, proxy, user, credentials, &message.body, now);
            }
        }
        proof
    }
}

fn push_refused(sent: &mut Sent, who: &mut Registrant, now: Now) {
    let spoke_rfc8599 = who.push.as_ref().and_then(|push| push.pn_provider(&sent.spoken)).is_some();
    // What the server refuses it does not hold, and its `pn-*` would be refused again if it were named for removal.
    if who.memory.bound.as_ref().is_none_or(|bound| bound.uri.expose() != sent.uri) {
        who.forget_contact(&sent.uri);
    }
    if spoke_rfc8599 {
        who.memory.shown = Shown::NoRfc8599;
        who.memory.refused_at = Some(now.wall.as_secs());
    } else if !sent.removed.is_empty() && !sent.chain.single_contact {
        sent.chain.single_contact = true;
    } else {
        sent.chain.without_push = true;
    }
}

/// `X-Sy.AuthURI` comes with a 200, or with the very challenge that is to be answered with it.
fn take_auth_uri(message: &Message, who: &mut Registrant) {
    if let Some(uri) = message.header("X-Sy.AuthURI")
        && uri.len() <= crate::account::MAX_FIELD
        && SipUri::parse(uri).is_some()
    {
        who.memory.auth_uri = Some(uri.into());
    }
}

pub(crate) fn reason(message: &Message) -> String {
    match &message.start {
        Start::Response { reason, .. } => reason.chars().filter(|c| !c.is_control()).take(80).collect(),
        Start::Request { .. } => String::new(),
    }
}
