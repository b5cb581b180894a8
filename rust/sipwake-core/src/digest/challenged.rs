//! What one request inside a call, and its repetitions, have been through with those who ask for credentials.

use super::{Attempt, Challenge, Next, NonceCache};
use crate::account::Account;
use crate::clock::Now;

/// The challenges to one request.
#[derive(Debug, Default)]
pub(crate) struct Challenged {
    attempt: Attempt,
    /// Nonces of whoever asks inside the call: a REGISTER must not answer those.
    nonces: NonceCache,
    answers: Option<Answers>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Every nonce is the registrations': their counts continue where they are.
    Registrars,
    Others,
}

impl Challenged {
    /// Decides about a 401 or 407. Returns `true` if the request is to be sent again.
    ///
    /// `registrars` has been turned to the host whose flow carries the call.
    pub(crate) fn is_answerable(
        &mut self,
        challenges: &[Challenge],
        account: &Account,
        registrars: &mut NonceCache,
        now: Now,
    ) -> bool {
        if account.ignores_challenges_in_calls() {
            return false;
        }
        // Everybody we talk to can send a challenge. Nobody gets a response that is easier to crack than the
        // registrar's.
        let vouched: Vec<Challenge> =
            challenges.iter().filter(|challenge| registrars.vouches_for(challenge)).cloned().collect();
        let challenges = vouched.as_slice();
        self.attempt.demand(account.minimum_digest());
        let own = challenges.iter().all(|challenge| registrars.holds(challenge));
        let answers = if own { Answers::Registrars } else { Answers::Others };
        let cache = match answers {
            Answers::Registrars => registrars,
            Answers::Others => &mut self.nonces,
        };
        self.answers = Some(answers);
        self.attempt.judge(challenges, account.credentials(), cache, now) == Next::Answer
    }

    /// Whether the answer uses the registration's own nonces.
    pub(crate) fn uses_registrars(&self) -> bool {
        self.answers == Some(Answers::Registrars)
    }

    /// The nonces to answer from; `None` where nothing was asked.
    pub(crate) fn nonces<'a>(&'a mut self, registrars: &'a mut NonceCache) -> Option<&'a mut NonceCache> {
        Some(match self.answers? {
            Answers::Registrars => registrars,
            Answers::Others => &mut self.nonces,
        })
    }
}
