//! Computes one answer and writes it as a header field value.

use zeroize::Zeroizing;

use super::{Algorithm, hash};

/// The quality of protection chosen from an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qop {
    Auth,
    AuthInt,
}

impl Qop {
    pub(super) const fn token(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    pub(super) fn parse(token: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|qop| qop.token().eq_ignore_ascii_case(token))
    }
}

/// The input of the hash (RFC 7616 section 3.4.1). HA1 is already computed.
pub(super) struct Proof<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) ha1: &'a str,
    pub(super) nonce: &'a str,
    /// The nonce and cnonce that began the session, for `-sess`.
    pub(super) session: Option<(&'a str, &'a str)>,
    pub(super) qop: Option<Qop>,
    /// The nonce count in the form of [`nonce_count`].
    pub(super) nc: &'a str,
    pub(super) cnonce: &'a str,
    /// Empty for the server's `rspauth` (RFC 7616 section 3.5).
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) body: &'a [u8],
}

impl Proof<'_> {
    /// Returns `response` or `rspauth` in lower-case hex.
    ///
    /// ```text
    /// A1       = unq(username) ":" unq(realm) ":" passwd
    /// A1-sess  = H(A1) ":" unq(nonce-prime) ":" unq(cnonce-prime)
    /// A2       = Method ":" request-uri [ ":" H(entity-body) ]
    /// response = KD(H(A1), unq(nonce) ":" nc ":" unq(cnonce) ":" unq(qop) ":" H(A2))
    /// without qop: KD(H(A1), unq(nonce) ":" H(A2))
    /// ```
    pub(super) fn response(&self) -> Zeroizing<String> {
        let h = |parts: &[&[u8]]| hash(self.algorithm, parts);
        let session_key =
            self.session.map(|(nonce, cnonce)| h(&[self.ha1.as_bytes(), nonce.as_bytes(), cnonce.as_bytes()]));
        let key = session_key.as_ref().map_or(self.ha1, |key| key.as_str()).as_bytes();
        let a2 = match self.qop {
            Some(Qop::AuthInt) => h(&[self.method.as_bytes(), self.uri.as_bytes(), h(&[self.body]).as_bytes()]),
            _ => h(&[self.method.as_bytes(), self.uri.as_bytes()]),
        };
        match self.qop {
            Some(qop) => h(&[
                key,
                self.nonce.as_bytes(),
                self.nc.as_bytes(),
                self.cnonce.as_bytes(),
                qop.token().as_bytes(),
                a2.as_bytes(),
            ]),
            None => h(&[key, self.nonce.as_bytes(), a2.as_bytes()]),
        }
    }
}

/// Returns `nc` in the form that is hashed and sent: `nc-value = 8LHEX`.
pub(super) fn nonce_count(nc: u32) -> String {
    format!("{nc:08x}")
}

/// Builds the value of `Authorization`, parameter by parameter.
///
/// ```abnf
/// credentials   = ("Digest" LWS digest-response) / other-response
/// dig-resp      = username / realm / nonce / digest-uri / dresponse / algorithm / cnonce / opaque / message-qop /
///                 nonce-count / auth-param
/// message-qop   = "qop" EQUAL qop-value        ; a bare token here, quoted only in the challenge
/// nonce-count   = "nc" EQUAL nc-value          ; bare
/// algorithm     = "algorithm" EQUAL ( "MD5" / "MD5-sess" / token )   ; bare
/// ```
/// (RFC 3261 section 25.1)
pub(super) struct FieldValue(String);

/// Enough for most answers, so that the text need not be moved while it grows.
const ROOM: usize = 384;

impl FieldValue {
    pub(super) fn new() -> Self {
        let mut text = String::with_capacity(ROOM);
        text.push_str("Digest");
        Self(text)
    }

    pub(super) fn quoted(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.push('"');
        if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            self.0.push_str(value);
        } else {
            self.quoted_pairs(value);
        }
        self.0.push('"');
        self
    }

    fn quoted_pairs(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                // Wherever a control character came from, it must not end the line here.
                c if c.is_control() && c != '\t' => {}
                c => self.0.push(c),
            }
        }
    }

    pub(super) fn bare(mut self, name: &str, token: &str) -> Self {
        self.name(name);
        self.0.extend(token.chars().filter(|c| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(*c)));
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(if self.0.len() == "Digest".len() { " " } else { ", " });
        self.0.push_str(name);
        self.0.push('=');
    }
}
