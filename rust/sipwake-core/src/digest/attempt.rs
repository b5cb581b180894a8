//! Decides after a 401 or 407 whether another response makes sense, or would only repeat a wrong password.

use super::{Algorithm, Challenge, Credentials, NonceCache, pick};
use crate::clock::Now;

/// How many responses to challenges one chain of requests may have, no matter what the server says.
const MAX_ANSWERS: u8 = 3;

/// What to do after a 401 or 407.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send the request again with [`NonceCache::authorize`].
    Answer,
    /// A fresh answer was refused: stop until the user gives other credentials.
    WrongCredentials,
    /// Nothing here can be answered: stop, and say why.
    NoUsableChallenge(Unusable),
}

/// Why the client cannot respond to any of the challenges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// None of the challenges was a Digest challenge with a known algorithm, a realm and a nonce.
    #[error("the server sent no Digest challenge that can be read")]
    NoDigestChallenge,
    /// Only hashes of the password are known, none of them for this realm and algorithm.
    #[error("the account has no HA1 for the realm \"{realm}\" with {algorithm}")]
    NoHa1 {
        /// The realm of the strongest challenge.
        realm: String,
        /// Its algorithm.
        algorithm: super::Algorithm,
    },
    /// The challenge asks for a weaker hash than the account allows
    /// ([`AccountConfig::minimum_digest`](crate::account::AccountConfig::minimum_digest)).
    #[error("the realm \"{realm}\" asks for {algorithm}, but the account requires at least {minimum}")]
    TooWeak {
        /// The realm of the strongest challenge.
        realm: String,
        /// Its algorithm.
        algorithm: super::Algorithm,
        /// What the account allows.
        minimum: super::Algorithm,
    },
    /// The realm asked for more before on the same network: another hash, or a quality of protection. Over a transport
    /// without TLS it may also be a new realm at a host whose realms asked for more. Somebody on the way may have
    /// weakened the challenge.
    #[error(
        "the realm \"{realm}\" asks for less than before on this network ({algorithm}): its challenge may be forged"
    )]
    Downgraded {
        /// The realm.
        realm: String,
        /// The algorithm that it asks for.
        algorithm: super::Algorithm,
    },
    /// The account accepts no success without a proof that the server knows the password
    /// ([`AccountConfig::require_server_proof`](crate::account::AccountConfig::require_server_proof)).
    #[error("the server did not prove that it knows the password (rspauth)")]
    NoServerProof,
    /// The server kept asking. Each of three responses got another challenge, and the last one does not say that the
    /// password is wrong.
    #[error("the server sends a new challenge after each digest")]
    EndlessChallenges,
}

/// The challenges met by one request and its repetitions, until a final response other than 401 and 407.
///
/// Begin with [`Attempt::default`] for each new request, also one that carries a cached answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    answers: u8,
    /// Realm and proxy flag of each challenge that the last request responded to for the first time.
    fresh: Vec<(String, bool)>,
    minimum: Option<Algorithm>,
    in_the_clear: bool,
}

impl Attempt {
    /// Refuses challenges with a weaker hash than this.
    pub(crate) fn demand(&mut self, minimum: Option<Algorithm>) {
        self.minimum = minimum;
    }

    /// The transport has no TLS, so others may have changed the challenges.
    pub(crate) fn doubt_realms(&mut self) {
        self.in_the_clear = true;
    }

    /// The last answer was on its way for so long that its nonce may have expired. Its refusal says nothing about the
    /// password.
    pub(crate) fn excuse(&mut self) {
        self.fresh.clear();
    }

    /// Decides what to do about the challenges of a 401 or 407, and teaches or clears the cache accordingly.
    ///
    /// * A refused *cached* answer gets a fresh one, even without `stale`: Kamailio leaves it out.
    /// * A refused *fresh* answer is a wrong password, even with a new nonce, unless `stale` says that it was right.
    /// * After three answers it is over.
    pub fn judge(
        &mut self,
        challenges: &[Challenge],
        credentials: &Credentials,
        cache: &mut NonceCache,
        now: Now,
    ) -> Next {
        let mut picked = pick(challenges, credentials);
        let Some(strongest) = challenges.first() else {
            return Next::NoUsableChallenge(Unusable::NoDigestChallenge);
        };
        if let Some(minimum) = self.minimum {
            picked.retain(|challenge| !challenge.algorithm.is_weaker_than(minimum));
            if strongest.algorithm.is_weaker_than(minimum) {
                let (realm, algorithm) = (strongest.realm.clone(), strongest.algorithm);
                return Next::NoUsableChallenge(Unusable::TooWeak { realm, algorithm, minimum });
            }
        }
        if let Some(weakened) = picked.iter().find(|challenge| cache.is_downgraded_by(challenge, self.in_the_clear)) {
            let (realm, algorithm) = (weakened.realm.clone(), weakened.algorithm);
            return Next::NoUsableChallenge(Unusable::Downgraded { realm, algorithm });
        }
        if picked.is_empty() {
            return Next::NoUsableChallenge(Unusable::NoHa1 {
                realm: strongest.realm.clone(),
                algorithm: strongest.algorithm,
            });
        }
        let refused = picked.iter().any(|challenge| !challenge.stale && self.has_answered(challenge));
        if refused || self.answers >= MAX_ANSWERS {
            for challenge in picked {
                cache.invalidate(&challenge.realm, challenge.proxy);
            }
            return if refused { Next::WrongCredentials } else { Next::NoUsableChallenge(Unusable::EndlessChallenges) };
        }
        self.answers += 1;
        self.fresh.clear();
        for challenge in picked {
            self.fresh.push((challenge.realm.clone(), challenge.proxy));
            cache.learn(challenge, now);
        }
        Next::Answer
    }

    fn has_answered(&self, challenge: &Challenge) -> bool {
        self.fresh.iter().any(|(realm, proxy)| *realm == challenge.realm && *proxy == challenge.proxy)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::digest::{RealmHa1, ha1, parse_challenges};
    use crate::redact::Secret;

    struct Client {
        attempt: Attempt,
        cache: NonceCache,
        credentials: Credentials,
    }

    impl Client {
        fn new() -> Self {
            let credentials = Credentials::Password(Secret::new("xxx"));
            Self { attempt: Attempt::default(), cache: NonceCache::default(), credentials }
        }

        /// A client with a cached nonce that worked, at the start of its next request.
        fn with_live_nonce() -> Self {
            let mut client = Self::new();
            assert_eq!(client.refused("realm=r, nonce=n0"), Next::Answer);
            client.attempt = Attempt::default();
            client
        }

        fn refused(&mut self, parameters: &str) -> Next {
            let challenges = parse_challenges([format!("Digest {parameters}").as_str()], []);
            self.judge(&challenges)
        }

        fn judge(&mut self, challenges: &[Challenge]) -> Next {
            let now = Now::new(Duration::ZERO, Duration::ZERO);
            let next = self.attempt.judge(challenges, &self.credentials, &mut self.cache, now);
            assert!(next != Next::Answer || !self.fields().is_empty());
            next
        }

        fn fields(&mut self) -> Vec<(super::super::HeaderName, String)> {
            self.cache.authorize("cool", &self.credentials, "REGISTER", "sip:example.com", b"", "c")
        }
    }

    #[test]
    fn a_wrong_password_is_tried_once() {
        for second in ["realm=r, nonce=n1", "realm=r, nonce=n2"] {
            let mut client = Client::new();
            assert_eq!(client.refused("realm=r, nonce=n1"), Next::Answer);
            assert_eq!(client.refused(second), Next::WrongCredentials);
            assert_eq!(client.fields(), []);
        }
    }

    #[test]
    fn a_stale_nonce_is_answered_again() {
        let mut client = Client::new();
        assert_eq!(client.refused("realm=r, nonce=n1"), Next::Answer);
        assert_eq!(client.refused("realm=r, nonce=n2, stale=true"), Next::Answer);
        assert_eq!(client.refused("realm=r, nonce=n3"), Next::WrongCredentials);
    }

    #[test]
    fn after_a_refused_cached_answer_one_fresh_answer_is_sent_even_without_stale() {
        for nonce in ["n0", "n1"] {
            let mut client = Client::with_live_nonce();
            assert_eq!(client.refused(&format!("realm=r, nonce={nonce}")), Next::Answer);
            assert_eq!(client.refused("realm=r, nonce=n2"), Next::WrongCredentials);
        }
    }

    #[test]
    fn endless_challenges_get_three_answers() {
        let mut client = Client::new();
        for round in 0..3 {
            assert_eq!(client.refused(&format!("realm=r, nonce=n{round}, stale=true")), Next::Answer);
        }
        let end = Next::NoUsableChallenge(Unusable::EndlessChallenges);
        assert_eq!(client.refused("realm=r, nonce=n4, stale=true"), end);

        let mut client = Client::new();
        for realm in ["a", "b", "a"] {
            assert_eq!(client.refused(&format!("realm={realm}, nonce=n")), Next::Answer);
        }
        assert_eq!(client.refused("realm=b, nonce=n"), end);
    }

    #[test]
    fn a_proxy_may_challenge_after_the_registrar() {
        let mut client = Client::new();
        assert_eq!(client.refused("realm=r, nonce=n1"), Next::Answer);
        let proxy = parse_challenges([], ["Digest realm=r, nonce=n2"]);
        assert_eq!(client.judge(&proxy), Next::Answer);
        let names: Vec<_> = client.fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Authorization", "Proxy-Authorization"]);
        assert_eq!(client.judge(&proxy), Next::WrongCredentials);
    }

    #[test]
    fn a_challenge_that_asks_for_less_than_before_on_this_network_is_refused() {
        for (before, less) in [
            ("algorithm=SHA-256, qop=auth", "algorithm=MD5, qop=auth"),
            ("algorithm=SHA-512-256, qop=auth", "algorithm=SHA-256-sess, qop=auth"),
            ("qop=auth", "opaque=x"),
            ("algorithm=SHA-256, qop=auth-int", "algorithm=SHA-256"),
        ] {
            let mut client = Client::new();
            assert_eq!(client.refused(&format!("realm=r, nonce=n1, {before}")), Next::Answer);
            client.attempt = Attempt::default();
            let next = client.refused(&format!("realm=r, nonce=n2, {less}, stale=true"));
            assert!(matches!(next, Next::NoUsableChallenge(Unusable::Downgraded { .. })), "{less}: {next:?}");
            assert_eq!(client.refused(&format!("realm=r, nonce=n3, {before}")), Next::Answer, "as before");
            client.attempt = Attempt::default();
            client.cache.network_changed();
            assert_eq!(client.refused(&format!("realm=r, nonce=n4, {less}")), Next::Answer, "on another network");
        }
    }

    #[test]
    fn no_hash_below_the_accounts_minimum_is_answered() {
        let mut client = Client::new();
        client.attempt.demand(Some(Algorithm::Sha256));
        let next = client.refused("realm=r, nonce=n, qop=auth");
        let (algorithm, minimum) = (Algorithm::Md5, Algorithm::Sha256);
        assert_eq!(next, Next::NoUsableChallenge(Unusable::TooWeak { realm: "r".into(), algorithm, minimum }));
        assert_eq!(client.refused("realm=r, nonce=n, algorithm=SHA-256-sess, qop=auth"), Next::Answer);
        client.cache.demand(Some(Algorithm::Sha512_256));
        assert_eq!(client.fields(), [], "a stored nonce must not lead around the check");
    }

    #[test]
    fn a_challenge_that_cannot_be_answered_is_reported_with_the_reason() {
        let mut client = Client::new();
        assert_eq!(client.judge(&[]), Next::NoUsableChallenge(Unusable::NoDigestChallenge));
        client.credentials = Credentials::Ha1(vec![RealmHa1 {
            realm: "r".into(),
            algorithm: Algorithm::Md5,
            ha1: ha1(Algorithm::Md5, "cool", "r", "xxx"),
        }]);
        let no_hash = Unusable::NoHa1 { realm: "r".into(), algorithm: Algorithm::Sha256 };
        assert_eq!(client.refused("realm=r, nonce=n, algorithm=SHA-256"), Next::NoUsableChallenge(no_hash));
        assert_eq!(client.refused("realm=r, nonce=n"), Next::Answer);
    }
}
