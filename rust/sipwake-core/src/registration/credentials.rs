//! Lends the account's credentials to requests inside calls (RFC 3261 section 22).

use super::Registration;
use crate::binding::RESERVE_NC;
use crate::clock::Now;
use crate::digest::{Attempt, Challenge, Next, NonceCache};
use crate::outbox::Outbox;
use crate::snapshot::Durability;

/// What one request and its repetitions have been through with those who ask for credentials.
#[derive(Debug, Default)]
pub(crate) struct Challenged {
    attempt: Attempt,
    /// Nonces of realms that the registrar never named: a REGISTER must not answer those.
    nonces: NonceCache,
    answers: Option<Answers>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Every realm that asks is one of the registrations': the nonce counts go on where they are.
    Registrars,
    Others,
}

impl Registration {
    /// Decides about a 401 or 407 to a request other than REGISTER. Returns `true` if it is to be sent again.
    pub(crate) fn is_answerable(&mut self, challenges: &[Challenge], challenged: &mut Challenged, now: Now) -> bool {
        let (account, nonces) = self.who.credentials();
        let known = |challenge: &Challenge| {
            nonces.realms().any(|(realm, proxy)| realm == challenge.realm && proxy == challenge.proxy)
        };
        let answers = if challenges.iter().all(known) { Answers::Registrars } else { Answers::Others };
        let cache = match answers {
            Answers::Registrars => nonces,
            Answers::Others => &mut challenged.nonces,
        };
        challenged.answers = Some(answers);
        challenged.attempt.judge(challenges, account.credentials(), cache, now) == Next::Answer
    }

    /// Returns the header fields that answer what was asked; none where nothing was.
    pub(crate) fn answer_challenges(
        &mut self,
        challenged: &mut Challenged,
        method: &str,
        uri: &str,
        body: &[u8],
        outbox: &mut Outbox,
    ) -> Vec<(&'static str, String)> {
        if challenged.answers == Some(Answers::Registrars) && self.who.memory_mut().nonces.reserve(RESERVE_NC) {
            self.save(outbox, Durability::Progress);
        }
        let (account, nonces) = self.who.credentials();
        let cache = match challenged.answers {
            None => return Vec::new(),
            Some(Answers::Others) => &mut challenged.nonces,
            Some(Answers::Registrars) => nonces,
        };
        let cnonce = outbox.token();
        cache.authorize(account.auth_user(), account.credentials(), method, uri, body, &cnonce)
    }
}
