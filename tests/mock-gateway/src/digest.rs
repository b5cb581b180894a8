//! Digest access authentication (RFC 7616, RFC 8760). It is separate from the client's code, so that both cannot be
//! wrong together.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};
use tokio::time::Instant;

use crate::parse::{Param, param, split_outside, unquote};

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`, which a challenge without an algorithm also means.
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-512-256`
    Sha512_256,
}

impl Algorithm {
    /// Returns the token of the `algorithm` parameter.
    pub fn token(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512_256 => "SHA-512-256",
        }
    }

    /// Reads the token, in any case.
    pub fn from_token(token: &str) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Md5Sess, Algorithm::Sha256, Algorithm::Sha512_256]
            .into_iter()
            .find(|a| a.token().eq_ignore_ascii_case(token))
    }

    fn hash(self, text: &[u8]) -> String {
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => hex(&Md5::digest(text)),
            Algorithm::Sha256 => hex(&Sha256::digest(text)),
            Algorithm::Sha512_256 => hex(&Sha512_256::digest(text)),
        }
    }
}

/// One challenge that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The `qop` parameter as sent: `None`, `auth`, `auth-int`, `auth,auth-int`.
    pub qop: Option<String>,
    /// Whether the challenge names the algorithm; Kamailio leaves `MD5` out.
    pub names_algorithm: bool,
}

impl Offer {
    /// An offer with `qop="auth"` and its algorithm named.
    pub fn new(algorithm: Algorithm) -> Offer {
        Offer { algorithm, qop: Some("auth".into()), names_algorithm: true }
    }
}

/// How the registrar challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenges {
    /// The challenges, in the order sent; none means no authentication.
    pub offers: Vec<Offer>,
    /// 401 or 407.
    pub status: u16,
    /// Whether a challenge for an expired or used nonce says `stale=true`.
    pub stale_flag: bool,
    /// How long a nonce is valid.
    pub nonce_life: Duration,
    /// How often a nonce may be used; `None` for any number of times during its lifetime.
    pub nonce_uses: Option<u32>,
    /// Whether every success sends a new nonce in Authentication-Info.
    pub nextnonce: bool,
    /// The `opaque` parameter.
    pub opaque: Option<String>,
    /// The status for a wrong password; 401 challenges again.
    pub wrong_password_status: u16,
}

impl Challenges {
    /// 401 with one offer, and nonces that live five minutes.
    pub fn one(offer: Offer) -> Challenges {
        Challenges {
            offers: vec![offer],
            status: 401,
            stale_flag: true,
            nonce_life: Duration::from_secs(300),
            nonce_uses: None,
            nextnonce: false,
            opaque: None,
            wrong_password_status: 401,
        }
    }

    /// No authentication at all.
    pub fn none() -> Challenges {
        Challenges { offers: Vec::new(), ..Challenges::one(Offer::new(Algorithm::Md5)) }
    }
}

/// The parameters of an Authorization header field.
#[derive(Clone, Debug)]
pub struct Answer {
    params: Vec<Param>,
}

impl Answer {
    /// Reads `Digest name=value, …`.
    pub fn parse(value: &str) -> Option<Answer> {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        let params = split_outside(rest, ',')
            .into_iter()
            .filter_map(|p| p.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), Some(unquote(value))))
            .collect();
        scheme.eq_ignore_ascii_case("Digest").then_some(Answer { params })
    }

    /// Returns a parameter without quotes.
    pub fn get(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }

    /// Returns the algorithm, MD5 if unnamed; `None` if unknown.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_token(self.get("algorithm").unwrap_or("MD5"))
    }

    /// Checks the response against a secret.
    pub fn matches(&self, secret: &Secret<'_>, method: &str, body: &[u8]) -> bool {
        let (Some(algorithm), Some(user), Some(realm)) = (self.algorithm(), self.get("username"), self.get("realm"))
        else {
            return false;
        };
        let ha1 = secret.ha1(algorithm, user, realm);
        let input = Input {
            algorithm,
            ha1: &ha1,
            nonce: self.get("nonce").unwrap_or_default(),
            cnonce: self.get("cnonce").unwrap_or_default(),
            nc: self.get("nc").unwrap_or_default(),
            qop: self.get("qop"),
            method,
            uri: self.get("uri").unwrap_or_default(),
            body,
        };
        self.get("response").is_some_and(|r| r == input.response())
    }
}

/// What the registrar knows about a user.
#[derive(Clone, Copy)]
pub enum Secret<'a> {
    /// The password.
    Password(&'a str),
    /// MD5(user:realm:password), as X-PIID carries it.
    Ha1(&'a str),
}

impl Secret<'_> {
    fn ha1(&self, algorithm: Algorithm, user: &str, realm: &str) -> String {
        match self {
            Secret::Password(password) => algorithm.hash(format!("{user}:{realm}:{password}").as_bytes()),
            Secret::Ha1(ha1) => (*ha1).to_ascii_lowercase(),
        }
    }
}

/// Everything that goes into a response (RFC 7616, 3.4.1).
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) algorithm: Algorithm,
    /// H(user:realm:password), before the session variant is applied.
    pub(crate) ha1: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) cnonce: &'a str,
    pub(crate) nc: &'a str,
    pub(crate) qop: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) body: &'a [u8],
}

impl Input<'_> {
    pub(crate) fn response(&self) -> String {
        let Input { algorithm, ha1, nonce, cnonce, nc, qop, method, uri, body } = *self;
        let ha1 = match algorithm {
            Algorithm::Md5Sess => algorithm.hash(format!("{ha1}:{nonce}:{cnonce}").as_bytes()),
            _ => ha1.to_owned(),
        };
        let a2 = match qop {
            Some(q) if q.eq_ignore_ascii_case("auth-int") => format!("{method}:{uri}:{}", algorithm.hash(body)),
            _ => format!("{method}:{uri}"),
        };
        let ha2 = algorithm.hash(a2.as_bytes());
        let text = match qop {
            Some(qop) => format!("{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}"),
            None => format!("{ha1}:{nonce}:{ha2}"),
        };
        algorithm.hash(text.as_bytes())
    }
}

/// The state of a nonce in a digest response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceUse {
    Good,
    /// Unknown, expired or used up.
    Stale,
    /// `nc` did not grow.
    Replayed,
}

struct Issued {
    at: Instant,
    last_nc: u32,
    uses: u32,
}

const MAX_NONCES: usize = 4096;

/// The nonces that were sent. The oldest is forgotten first.
#[derive(Default)]
pub(crate) struct Nonces {
    issued: HashMap<String, Issued>,
    order: VecDeque<String>,
    count: u64,
}

impl Nonces {
    pub(crate) fn issue(&mut self, salt: u64, now: Instant) -> String {
        self.count += 1;
        let nonce = Algorithm::Md5.hash(format!("{salt}:{}", self.count).as_bytes());
        if self.order.len() >= MAX_NONCES
            && let Some(oldest) = self.order.pop_front()
        {
            self.issued.remove(&oldest);
        }
        self.issued.insert(nonce.clone(), Issued { at: now, last_nc: 0, uses: 0 });
        self.order.push_back(nonce.clone());
        nonce
    }

    /// Notes a use. `nc` is 0 for an answer without qop.
    pub(crate) fn spend(&mut self, nonce: &str, nc: u32, rules: &Challenges, now: Instant) -> NonceUse {
        let Some(issued) = self.issued.get_mut(nonce) else { return NonceUse::Stale };
        if now.duration_since(issued.at) > rules.nonce_life || rules.nonce_uses.is_some_and(|max| issued.uses >= max) {
            return NonceUse::Stale;
        }
        if nc > 0 && nc <= issued.last_nc {
            return NonceUse::Replayed;
        }
        issued.last_nc = issued.last_nc.max(nc);
        issued.uses += 1;
        NonceUse::Good
    }

    /// Tells whether a nonce that is known has been used.
    pub(crate) fn was_used(&self, nonce: &str) -> bool {
        self.issued.get(nonce).is_some_and(|issued| issued.uses > 0)
    }

    pub(crate) fn forget_all(&mut self) {
        self.issued.clear();
        self.order.clear();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Returns the MD5 of a text in lower-case hex, the form of X-PIID.
pub fn md5_hex(text: &str) -> String {
    Algorithm::Md5.hash(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc_7616(algorithm: &str, response: &str) -> Answer {
        let header = format!(
            "Digest  username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\""
        );
        Answer::parse(&header).expect("the RFC's example")
    }

    #[test]
    fn the_examples_of_rfc_7616_are_accepted_and_a_wrong_password_is_not() {
        let secret = Secret::Password("Circle of Life");
        let sha = rfc_7616("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        let md5 = rfc_7616("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        assert!(sha.matches(&secret, "GET", b""));
        assert!(md5.matches(&secret, "GET", b""));
        assert!(!md5.matches(&Secret::Password("Circle of Lice"), "GET", b""));
    }

    #[test]
    fn the_example_of_rfc_2617_is_accepted_from_its_ha1() {
        let answer = Answer::parse(
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
             response=\"6629fae49393a05397450978507c4ef1\"",
        )
        .expect("the RFC's example");
        let ha1 = md5_hex("Mufasa:testrealm@host.com:Circle Of Life");
        assert!(answer.matches(&Secret::Ha1(&ha1), "GET", b""));
    }

    #[test]
    fn the_x_piid_of_the_documents_is_reproduced() {
        assert_eq!(md5_hex("aaa:cool:xxx"), "b7cfad8f31893933560dae61622ed255");
    }

    #[test]
    fn sha_512_256_is_the_one_of_fips_180_4() {
        let hash = Algorithm::Sha512_256.hash(b"abc");
        assert_eq!(hash, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
    }

    #[test]
    fn auth_int_covers_the_body() {
        let mut input = Input {
            algorithm: Algorithm::Md5Sess,
            ha1: "a",
            nonce: "n",
            cnonce: "c",
            nc: "00000001",
            qop: Some("auth-int"),
            method: "REGISTER",
            uri: "sip:x",
            body: b"one",
        };
        let one = input.response();
        input.body = b"two";
        assert_ne!(one, input.response());
    }

    #[test]
    fn a_nonce_is_stale_after_its_lifetime_and_replayed_if_nc_does_not_grow() {
        let (mut nonces, rules) = (Nonces::default(), Challenges::one(Offer::new(Algorithm::Md5)));
        let now = Instant::now();
        let nonce = nonces.issue(7, now);
        assert_eq!(nonces.spend(&nonce, 1, &rules, now), NonceUse::Good);
        assert_eq!(nonces.spend(&nonce, 1, &rules, now), NonceUse::Replayed);
        assert_eq!(nonces.spend(&nonce, 2, &rules, now + Duration::from_secs(301)), NonceUse::Stale);
        assert_eq!(nonces.spend("never issued", 1, &rules, now), NonceUse::Stale);
    }
}
