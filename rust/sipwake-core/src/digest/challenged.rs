//! The challenges that one request inside a call, and its repetitions, have met.

use super::{Attempt, Challenge, Next, NonceCache};
use crate::account::Account;
use crate::clock::Now;

/// The challenges to one request.
#[derive(Debug, Default)]
pub(crate) struct Challenged {
    attempt: Attempt,
    /// Nonces of other servers inside the call. A REGISTER must not use them.
    nonces: NonceCache,
    answers: Option<Answers>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Every nonce is one of the registration's. Their counts continue.
    Registrars,
    Others,
}

impl Challenged {
    /// Decides what to do about a 401 or 407. Returns `true` if the request should be sent again.
    ///
    /// The current host of `registrars` must be the one whose flow carries the call.
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

    /// The nonces to answer with. `None` if there was no challenge.
    pub(crate) fn nonces<'a>(&'a mut self, registrars: &'a mut NonceCache) -> Option<&'a mut NonceCache> {
        Some(match self.answers? {
            Answers::Registrars => registrars,
            Answers::Others => &mut self.nonces,
        })
    }
}
