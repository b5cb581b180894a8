//! Digest authentication in SIP: reads challenges, writes answers and keeps nonces (RFC 3261 section 22, RFC 7616, RFC
//! 8760).
//!
//! A 401 or 407 goes through [`parse_challenges`] and [`Attempt::judge`], which says whether to respond and
//! teaches the [`NonceCache`]; every request, first or repeated, then takes its header fields from
//! [`NonceCache::authorize`]. A request that goes out with a live nonce needs one round trip.
//!
//! ```
//! use std::time::Duration;
//! use sipwake_core::clock::Now;
//! use sipwake_core::digest::{parse_challenges, Attempt, Credentials, Next, NonceCache};
//! use sipwake_core::redact::Secret;
//!
//! let now = Now::new(Duration::ZERO, Duration::ZERO);
//! let credentials = Credentials::Password(Secret::new("xxx"));
//! let (mut cache, mut attempt) = (NonceCache::default(), Attempt::default());
//!
//! let refused = parse_challenges([r#"Digest realm="asterisk", nonce="abc123", qop="auth""#], []);
//! assert_eq!(attempt.judge(&refused, &credentials, &mut cache, now), Next::Answer);
//! let fields = cache.authorize("cool", &credentials, "REGISTER", "sip:gw.example.com", b"", "0a4f113b");
//! let (name, value) = &fields[0];
//! assert_eq!(*name, "Authorization");
//! assert!(value.contains(r#"response="0d643fdc229ca994cfca0234d6bccd87""#));
//!
//! assert_eq!(attempt.judge(&refused, &credentials, &mut cache, now), Next::WrongCredentials);
//! ```

mod answer;
mod attempt;
mod cache;
mod challenge;
mod challenged;
mod host;
mod nonce;
mod parameters;
mod stored;

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::digest::Digest;
use sha2::{Sha256, Sha512_256};
use zeroize::{Zeroize, Zeroizing};

use crate::error::FieldError;
use crate::redact::Secret;

pub use attempt::{Attempt, Next, Unusable};
pub use cache::{HeaderName, NonceCache};
pub use challenge::{Challenge, QopOffer, parse_challenges, pick};
pub(crate) use challenged::Challenged;
pub(crate) use host::HostId;
pub use nonce::ServerProof;

/// The hash that a challenge asks for, and whether its key is made once per session (RFC 7616 section 3.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// `MD5`, also what a challenge without the parameter means.
    #[default]
    #[serde(rename = "MD5")]
    Md5,
    /// `MD5-sess`.
    #[serde(rename = "MD5-sess")]
    Md5Sess,
    /// `SHA-256`.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// `SHA-256-sess`.
    #[serde(rename = "SHA-256-sess")]
    Sha256Sess,
    /// `SHA-512-256`: SHA-512/256 of FIPS 180-4, not the first half of SHA-512.
    #[serde(rename = "SHA-512-256")]
    Sha512_256,
    /// `SHA-512-256-sess`.
    #[serde(rename = "SHA-512-256-sess")]
    Sha512_256Sess,
}

impl Algorithm {
    const ALL: [Self; 6] =
        [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess, Self::Sha512_256, Self::Sha512_256Sess];

    /// Returns the token that RFC 7616 section 6.1 registers.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// Returns the same hash without `-sess`.
    #[must_use]
    pub const fn base(self) -> Self {
        match self {
            Self::Md5 | Self::Md5Sess => Self::Md5,
            Self::Sha256 | Self::Sha256Sess => Self::Sha256,
            Self::Sha512_256 | Self::Sha512_256Sess => Self::Sha512_256,
        }
    }

    /// Returns how many hexadecimal digits its digests have.
    pub const fn hex_len(self) -> usize {
        match self {
            Self::Md5 | Self::Md5Sess => 32,
            _ => 64,
        }
    }

    /// Returns `true` for the `-sess` variants.
    pub fn is_session(self) -> bool {
        self != self.base()
    }

    /// Whether the hash is weaker than that of another algorithm.
    pub(crate) fn is_weaker_than(self, other: Self) -> bool {
        self.base().strength() < other.base().strength()
    }

    /// Orders by preference: the hash first, then plain before `-sess`.
    fn strength(self) -> u8 {
        match self {
            Self::Md5Sess => 0,
            Self::Md5 => 1,
            Self::Sha256Sess => 2,
            Self::Sha256 => 3,
            Self::Sha512_256Sess => 4,
            Self::Sha512_256 => 5,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

impl FromStr for Algorithm {
    type Err = FieldError;

    /// Reads an algorithm token in any case.
    fn from_str(token: &str) -> Result<Self, FieldError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.token().eq_ignore_ascii_case(token))
            .ok_or_else(|| FieldError::malformed("algorithm", "a digest algorithm of RFC 7616 section 6.1"))
    }
}

/// What the user can prove who they are with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// The password itself: answers any realm and algorithm.
    Password(Secret),
    /// Hashes of it: each is for one realm and one hash.
    Ha1(Vec<RealmHa1>),
}

/// `H(username ":" realm ":" password)` for one realm. In that realm it works like the password; elsewhere it is useless.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmHa1 {
    /// The realm that went into the hash, compared exactly.
    pub realm: String,
    /// The hash; `-sess` means the same as its base.
    pub algorithm: Algorithm,
    /// The hash in hex.
    pub ha1: Secret,
}

impl Credentials {
    /// Returns the HA1 for a realm and algorithm, or `None` if only hashes for others are at hand.
    pub fn ha1(&self, algorithm: Algorithm, username: &str, realm: &str) -> Option<Secret> {
        match self {
            Self::Password(password) => Some(ha1(algorithm, username, realm, password.expose())),
            // The text of the HA1 is hashed again, and upper case would give another answer.
            Self::Ha1(known) => known
                .iter()
                .find(|known| known.opens(algorithm, realm))
                .map(|known| Secret::new(known.ha1.expose().to_ascii_lowercase())),
        }
    }

    /// Returns `true` if there are credentials for a challenge of this realm and algorithm.
    pub fn can_answer(&self, algorithm: Algorithm, realm: &str) -> bool {
        match self {
            Self::Password(_) => true,
            Self::Ha1(known) => known.iter().any(|known| known.opens(algorithm, realm)),
        }
    }
}

impl RealmHa1 {
    fn opens(&self, algorithm: Algorithm, realm: &str) -> bool {
        self.realm == realm && self.algorithm.base() == algorithm.base()
    }
}

/// Returns `H(username ":" realm ":" password)` in lower-case hex; for a `-sess` algorithm that of its base.
///
/// With [`Algorithm::Md5`] this is the value of `X-PIID`.
///
/// ```
/// use sipwake_core::digest::{ha1, Algorithm};
///
/// assert_eq!(ha1(Algorithm::Md5, "aaa", "cool", "xxx").expose(), "b7cfad8f31893933560dae61622ed255");
/// ```
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Secret {
    let mut hex = hash(algorithm, &[username.as_bytes(), realm.as_bytes(), password.as_bytes()]);
    Secret::new(std::mem::take(&mut *hex))
}

/// Returns the hash of the parts joined by `:`, in lower-case hex. The joined text is never in memory.
fn hash(algorithm: Algorithm, parts: &[&[u8]]) -> Zeroizing<String> {
    match algorithm.base() {
        Algorithm::Sha256 => hash_with::<Sha256>(parts),
        Algorithm::Sha512_256 => hash_with::<Sha512_256>(parts),
        _ => hash_with::<Md5>(parts),
    }
}

/// Returns the first `N` digits of the bytes in lower-case hex.
pub(crate) fn hex<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| hex_digit(bytes[at / 2] >> (4 * (1 - at % 2)) & 15))
}

/// Returns the hex digit of a value below 16, in lower case.
fn hex_digit(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value)]
}

fn hash_with<H: Digest>(parts: &[&[u8]]) -> Zeroizing<String> {
    let mut hasher = H::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    let mut output = hasher.finalize();
    let hex = secret_hex(&output);
    output.as_mut_slice().zeroize();
    hex
}

fn secret_hex(bytes: &[u8]) -> Zeroizing<String> {
    // The string has room for all digits. If it grew, it would leave copies in memory that nobody wipes.
    let mut hex = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        hex.push(char::from(hex_digit(byte >> 4)));
        hex.push(char::from(hex_digit(byte & 15)));
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_stored_by_its_token_and_its_hashes_have_its_length() {
        for algorithm in Algorithm::ALL {
            assert_eq!(serde_json::to_value(algorithm).expect("a name"), algorithm.token());
            assert_eq!(serde_json::from_value(algorithm.token().into()).ok(), Some(algorithm));
            assert_eq!(ha1(algorithm, "aaa", "cool", "xxx").expose().len(), algorithm.hex_len());
        }
    }

    #[test]
    fn ha1_of_the_wire_notes_is_reproduced() {
        assert_eq!(ha1(Algorithm::Md5, "aaa", "cool", "xxx").expose(), "b7cfad8f31893933560dae61622ed255");
        assert_eq!(ha1(Algorithm::Md5Sess, "aaa", "cool", "xxx").expose(), "b7cfad8f31893933560dae61622ed255");
    }

    #[test]
    fn algorithm_tokens_are_read_in_any_case_and_unknown_ones_refused() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.token().to_ascii_lowercase().parse(), Ok(algorithm));
        }
        assert!("AKAv1-MD5".parse::<Algorithm>().is_err());
        assert!("".parse::<Algorithm>().is_err());
    }

    #[test]
    fn an_ha1_answers_only_its_own_realm_and_hash() {
        let credentials = Credentials::Ha1(vec![RealmHa1 {
            realm: "asterisk".into(),
            algorithm: Algorithm::Md5,
            ha1: Secret::new("B7CFAD8F31893933560DAE61622ED255"),
        }]);
        assert!(credentials.can_answer(Algorithm::Md5Sess, "asterisk"));
        assert!(!credentials.can_answer(Algorithm::Sha256, "asterisk"));
        assert!(!credentials.can_answer(Algorithm::Md5, "Asterisk"));
        let lower = credentials.ha1(Algorithm::Md5, "cool", "asterisk").expect("same realm and hash");
        assert_eq!(lower.expose(), "b7cfad8f31893933560dae61622ed255");
    }

    #[test]
    fn debug_of_credentials_shows_neither_password_nor_hash() {
        let hashes = Credentials::Ha1(vec![RealmHa1 {
            realm: "cool".into(),
            algorithm: Algorithm::Md5,
            ha1: ha1(Algorithm::Md5, "aaa", "cool", "hunter2"),
        }]);
        let shown = format!("{:?} {hashes:?}", Credentials::Password(Secret::new("hunter2")));
        assert!(!shown.contains("hunter2"));
        assert!(!shown.contains(ha1(Algorithm::Md5, "aaa", "cool", "hunter2").expose()));
    }
}
