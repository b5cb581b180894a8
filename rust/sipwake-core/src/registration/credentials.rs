//! Lends the account's credentials to requests inside calls (RFC 3261 section 22).

use super::Registration;
use crate::binding::RESERVE_NC;
use crate::clock::Now;
use crate::digest::{Challenge, Challenged};
use crate::outbox::Outbox;
use crate::snapshot::Durability;

impl Registration {
    /// Decides what to do about a 401 or 407 to a request other than REGISTER. Returns `true` if it should be sent
    /// again.
    pub(crate) fn is_answerable(&mut self, challenges: &[Challenge], challenged: &mut Challenged, now: Now) -> bool {
        self.here.turn_to(&mut self.who);
        let (account, nonces) = self.who.credentials();
        challenged.is_answerable(challenges, account, nonces, now)
    }

    /// Returns the header fields that answer the challenges. They are empty if there was no challenge.
    pub(crate) fn answer_challenges(
        &mut self,
        challenged: &mut Challenged,
        (method, uri, body): (&str, &str, &[u8]),
        outbox: &mut Outbox,
    ) -> Vec<(&'static str, String)> {
        self.here.turn_to(&mut self.who);
        if challenged.uses_registrars() && self.who.memory_mut().nonces.reserve(RESERVE_NC) {
            self.save(outbox, Durability::Progress);
        }
        let (account, nonces) = self.who.credentials();
        let Some(nonces) = challenged.nonces(nonces) else { return Vec::new() };
        let cnonce = outbox.token();
        nonces.authorize(account.auth_user(), account.credentials(), method, uri, body, &cnonce)
    }
}
