//! Reads `WWW-Authenticate` and `Proxy-Authenticate`, and chooses which challenges to answer.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::parameters::{Parameters, Part};
use super::{Algorithm, Credentials};
use crate::redact::hint;

/// How many challenges are read from each of the two header fields of a response.
const MAX_CHALLENGES_PER_FIELD: usize = 8;
/// The longest value that is kept, in bytes.
pub(super) const MAX_VALUE: usize = 4096;
/// How many nonces are kept, and so how many challenges one request can answer.
pub(super) const MAX_LIVE: usize = 4;

/// One Digest challenge that the client can respond to in principle.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The realm, unescaped.
    pub realm: String,
    /// The nonce, unescaped.
    pub nonce: String,
    /// Returned unchanged.
    pub opaque: Option<String>,
    /// The algorithm; MD5 when none was named.
    pub algorithm: Algorithm,
    /// The algorithm as the server spelled it, `None` if it named none: servers that name none may choke on it.
    pub algorithm_token: Option<String>,
    /// The qualities of protection on offer.
    pub qop: QopOffer,
    /// The answer was right but its nonce too old: the same credentials are worth another try.
    pub stale: bool,
    /// The server understands a hashed user name (RFC 7616 section 3.4.4).
    pub userhash: bool,
    /// Came in `Proxy-Authenticate`.
    pub proxy: bool,
}

/// The `qop` values of a challenge that this client knows; none of them for an RFC 2069 server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QopOffer {
    /// `auth`.
    pub auth: bool,
    /// `auth-int`.
    pub auth_int: bool,
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge")
            .field("realm", &self.realm)
            .field("nonce", &hint(&self.nonce))
            .field("opaque", &self.opaque.as_deref().map(hint))
            .field("algorithm", &self.algorithm)
            .field("qop", &self.qop)
            .field("stale", &self.stale)
            .field("userhash", &self.userhash)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// Returns the Digest challenges of a response, strongest algorithm first.
///
/// Each item is the value of one `WWW-Authenticate` (`www`) or `Proxy-Authenticate` (`proxy`) header field, which may
/// hold several challenges. Other schemes, unknown algorithms, challenges without realm or nonce and challenges with
/// control characters or over-long values are left out.
///
/// ```
/// use sipwake_core::digest::{parse_challenges, Algorithm};
///
/// let offered = parse_challenges(
///     [r#"Digest realm="a", nonce="1", algorithm=MD5"#, r#"Digest realm="a", nonce="2", algorithm=SHA-256"#],
///     [],
/// );
/// assert_eq!(offered[0].algorithm, Algorithm::Sha256);
/// ```
pub fn parse_challenges<'a>(
    www: impl IntoIterator<Item = &'a str>,
    proxy: impl IntoIterator<Item = &'a str>,
) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    www.into_iter().for_each(|value| read_field(&mut challenges, value, false));
    proxy.into_iter().for_each(|value| read_field(&mut challenges, value, true));
    challenges
}

fn read_field(challenges: &mut Vec<Challenge>, value: &str, proxy: bool) {
    for challenge in Challenges::new(value, proxy) {
        if challenges.iter().filter(|other| other.proxy == proxy).count() >= MAX_CHALLENGES_PER_FIELD {
            return;
        }
        // Among equals, the server's order of preference counts (RFC 8760 section 2.4).
        let strength = challenge.algorithm.strength();
        let index = challenges.partition_point(|other| other.algorithm.strength() >= strength);
        challenges.insert(index, challenge);
    }
}

/// Returns the strongest challenge of each realm that the credentials are for, strongest first.
pub fn pick<'a>(challenges: &'a [Challenge], credentials: &Credentials) -> Vec<&'a Challenge> {
    let mut answerable: Vec<&Challenge> = Vec::new();
    for challenge in challenges.iter().filter(|challenge| credentials.can_answer(challenge.algorithm, &challenge.realm))
    {
        let strength = challenge.algorithm.strength();
        let index = answerable.partition_point(|other| other.algorithm.strength() >= strength);
        answerable.insert(index, challenge);
    }
    let mut picked: Vec<&Challenge> = Vec::new();
    for challenge in answerable {
        let is_new = !picked.iter().any(|other| other.proxy == challenge.proxy && other.realm == challenge.realm);
        if is_new && picked.len() < MAX_LIVE {
            picked.push(challenge);
        }
    }
    picked
}

/// Returns `true` for a value that can be kept and sent back: short, and free of control characters.
pub(super) fn is_keepable(value: &str) -> bool {
    value.len() <= MAX_VALUE && !value.chars().any(|c| c.is_control() && c != '\t')
}

/// Walks the challenges of one header field value.
///
/// ```abnf
/// challenge       = ("Digest" LWS digest-cln *(COMMA digest-cln)) / other-challenge
/// other-challenge = auth-scheme LWS auth-param *(COMMA auth-param)
/// digest-cln      = realm / domain / nonce / opaque / stale / algorithm / qop-options / auth-param
/// ```
/// (RFC 3261 section 25.1; several in one field value as in RFC 7235 section 4.1)
struct Challenges<'a> {
    parameters: Parameters<'a>,
    draft: Option<Draft<'a>>,
    proxy: bool,
}

impl<'a> Challenges<'a> {
    fn new(value: &'a str, proxy: bool) -> Self {
        Self { parameters: Parameters::new(value), draft: None, proxy }
    }

    fn begin(&mut self, scheme: &str) -> Option<Challenge> {
        let next = scheme.eq_ignore_ascii_case("Digest").then(Draft::default);
        std::mem::replace(&mut self.draft, next)?.finish(self.proxy)
    }
}

impl Iterator for Challenges<'_> {
    type Item = Challenge;

    fn next(&mut self) -> Option<Challenge> {
        while let Some(part) = self.parameters.next() {
            match part {
                Part::Parameter(name, value) => {
                    if let Some(draft) = &mut self.draft {
                        draft.set(name, value);
                    }
                }
                Part::Word(word) => {
                    // `qop=auth,auth-int` without its quotes: the second half is not a scheme.
                    if let Some(draft) = &mut self.draft
                        && draft.continue_qop(word)
                    {
                        continue;
                    }
                    if let Some(challenge) = self.begin(word) {
                        return Some(challenge);
                    }
                }
            }
        }
        self.draft.take()?.finish(self.proxy)
    }
}

/// The parameters of one challenge as they come in. Of duplicates, the first counts.
#[derive(Default)]
struct Draft<'a> {
    realm: Option<Cow<'a, str>>,
    nonce: Option<Cow<'a, str>>,
    opaque: Option<Cow<'a, str>>,
    algorithm: Option<Cow<'a, str>>,
    qop: Option<QopOffer>,
    stale: Option<bool>,
    userhash: Option<bool>,
    in_qop: bool,
}

impl<'a> Draft<'a> {
    fn set(&mut self, name: &str, value: Cow<'a, str>) {
        self.in_qop = false;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("realm") {
            self.realm.get_or_insert(value);
        } else if is("nonce") {
            self.nonce.get_or_insert(value);
        } else if is("opaque") {
            self.opaque.get_or_insert(value);
        } else if is("algorithm") {
            self.algorithm.get_or_insert(value);
        } else if is("stale") {
            self.stale.get_or_insert(value.trim().eq_ignore_ascii_case("true"));
        } else if is("userhash") {
            self.userhash.get_or_insert(value.trim().eq_ignore_ascii_case("true"));
        } else if is("qop") && self.qop.is_none() {
            self.in_qop = true;
            let mut offer = QopOffer::default();
            value.split(|c: char| c == ',' || c.is_ascii_whitespace()).for_each(|option| {
                offer.add(option);
            });
            self.qop = Some(offer);
        }
    }

    fn continue_qop(&mut self, word: &str) -> bool {
        self.in_qop && self.qop.as_mut().is_some_and(|offer| offer.add(word))
    }

    fn finish(self, proxy: bool) -> Option<Challenge> {
        let (realm, nonce) = (self.realm?, self.nonce?);
        let kept = [Some(&realm), Some(&nonce), self.opaque.as_ref()];
        if !kept.into_iter().flatten().all(|value| is_keepable(value)) {
            return None;
        }
        let algorithm_token = self.algorithm.map(|token| token.trim().to_owned());
        let algorithm = match &algorithm_token {
            Some(token) => token.parse().ok()?,
            None => Algorithm::Md5,
        };
        Some(Challenge {
            realm: realm.into_owned(),
            nonce: nonce.into_owned(),
            opaque: self.opaque.map(Cow::into_owned),
            algorithm,
            algorithm_token,
            qop: self.qop.unwrap_or_default(),
            stale: self.stale.unwrap_or(false),
            userhash: self.userhash.unwrap_or(false),
            proxy,
        })
    }
}

impl QopOffer {
    /// Whether any protection is on offer. Without it, no text of ours goes into the answer, which makes it easier to
    /// crack.
    pub(super) fn protects(self) -> bool {
        self.auth || self.auth_int
    }

    /// Adds a `qop` value. Returns `false` for an unknown one, which is ignored (RFC 7616 section 3.3).
    fn add(&mut self, option: &str) -> bool {
        if option.eq_ignore_ascii_case("auth") {
            self.auth = true;
        } else if option.eq_ignore_ascii_case("auth-int") {
            self.auth_int = true;
        } else {
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::redact::Secret;

    fn www(value: &str) -> Vec<Challenge> {
        parse_challenges([value], [])
    }

    fn only(value: &str) -> Challenge {
        let mut challenges = www(value);
        assert_eq!(challenges.len(), 1, "{value}");
        challenges.remove(0)
    }

    fn password() -> Credentials {
        Credentials::Password(Secret::new("xxx"))
    }

    #[test]
    fn the_challenge_of_rfc_3261_is_read_completely() {
        let challenge = only(
            r#"Digest realm="atlanta.com", domain="sip:ss1.carrier.com", qop="auth,auth-int",
               nonce="f84f1cec41e6cbe5aea9c8e88d359", opaque="", stale=FALSE, algorithm=MD5"#,
        );
        assert_eq!(challenge.realm, "atlanta.com");
        assert_eq!(challenge.nonce, "f84f1cec41e6cbe5aea9c8e88d359");
        assert_eq!(challenge.opaque.as_deref(), Some(""));
        assert_eq!(challenge.algorithm_token.as_deref(), Some("MD5"));
        assert_eq!(challenge.qop, QopOffer { auth: true, auth_int: true });
        assert!(!challenge.stale && !challenge.userhash && !challenge.proxy);
    }

    #[test]
    fn the_samples_of_mizutechs_documents_are_read() {
        let upper = only(r#"Digest realm="asterisk",nonce="xxx",algorithm=md5"#);
        assert_eq!((upper.realm.as_str(), upper.algorithm), ("asterisk", Algorithm::Md5));
        let spaced = only(
            r#" Digest  realm="sip.mydomain.com", nonce="WvDOe1rwzc2EDrmrsjELzwQLYnJ7tD3H", username="1111",  uri="sip:gw.mydomain.com""#,
        );
        assert_eq!(spaced.nonce, "WvDOe1rwzc2EDrmrsjELzwQLYnJ7tD3H");
        assert_eq!(spaced.algorithm_token, None);
    }

    #[test]
    fn every_legal_and_common_spelling_means_the_same() {
        let plain = only(r#"Digest realm="r", nonce="n==", qop="auth", stale=true, algorithm=SHA-256"#);
        for value in [
            r#"DIGEST REALM="r",NONCE="n==",QOP="AUTH",STALE=TRUE,ALGORITHM=SHA-256"#,
            r#"Digest   realm = "r" , nonce = "n==" ,, qop="auth" , stale=true , algorithm=SHA-256 ,"#,
            "Digest\r\n realm=\"r\",\r\n\tnonce=\"n==\",\r\n qop=\"auth\", stale=true, algorithm=SHA-256",
            r#"Digest realm=r, nonce=n==, qop=auth, stale="true", algorithm="SHA-256""#,
            r#"Digest realm="r" nonce="n==" qop="auth" stale=true algorithm=SHA-256"#,
            r#"Digest realm="r", nonce="n==", qop="auth,token", stale=true, algorithm=SHA-256, charset=UTF-8, x="a,\"b", y=z"#,
            r#"Digest realm="r", realm="s", nonce="n==", nonce="m", qop="auth", qop="auth-int", stale=true, algorithm=SHA-256, algorithm=MD5"#,
        ] {
            let read = only(value);
            assert_eq!(read.algorithm_token.as_deref(), Some("SHA-256"), "{value}");
            assert_eq!(read, plain, "{value}");
        }
    }

    #[test]
    fn both_values_of_qop_are_read_with_and_without_quotes() {
        let both = QopOffer { auth: true, auth_int: true };
        assert_eq!(only(r#"Digest realm="r", nonce="n", qop="auth , auth-int""#).qop, both);
        let unquoted = only(r#"Digest qop=auth,auth-int, realm="r", nonce="n""#);
        assert_eq!((unquoted.qop, unquoted.realm.as_str()), (both, "r"));
        assert_eq!(only(r#"Digest realm="r", nonce="n", qop="""#).qop, QopOffer::default());
    }

    #[test]
    fn several_challenges_in_one_field_are_told_apart_from_other_schemes() {
        let challenges = www(concat!(
            r#"Bearer authz_server="https://a.example.com", scope="sip", Negotiate YII/+a==, "#,
            r#"Digest realm="one", nonce="1", NoOneKnowsThisScheme opaque-data=here, Digest realm="two", nonce="2", Basic"#
        ));
        let realms: Vec<&str> = challenges.iter().map(|challenge| challenge.realm.as_str()).collect();
        assert_eq!(realms, ["one", "two"]);
    }

    #[test]
    fn the_unknown_scheme_of_rfc_4475_regaut01_is_no_challenge() {
        assert_eq!(www("NoOneKnowsThisScheme opaque-data=here"), []);
    }

    #[test]
    fn a_list_that_begins_with_the_strongest_is_answered_with_the_strongest() {
        let lines = [
            r#"Digest realm="sip.example.org", nonce="1", opaque="+GNywA==", algorithm=SHA-512-256, qop="auth""#,
            r#"Digest realm="sip.example.org", nonce="2", opaque="+GNywA==", algorithm=SHA-256, qop="auth""#,
            r#"Digest realm="sip.example.org", nonce="3", opaque="+GNywA==", algorithm=MD5, qop="auth""#,
        ];
        let forwards = parse_challenges(lines, []);
        assert_eq!(forwards, parse_challenges(lines.into_iter().rev(), []));
        let picked = pick(&forwards, &password());
        assert_eq!(picked.len(), 1);
        assert_eq!(picked[0].nonce, "1");
        let unknown_first = lines[0].replace("SHA-512-256", "SHA-3");
        let picked = parse_challenges([unknown_first.as_str(), lines[2], lines[1]], []);
        assert_eq!(pick(&picked, &password())[0].algorithm, Algorithm::Sha256);
    }

    #[test]
    fn a_plain_algorithm_is_preferred_only_to_the_sess_form_of_the_same_hash() {
        let order: Vec<Algorithm> = parse_challenges(
            Algorithm::ALL
                .map(|algorithm| format!("Digest realm=r, nonce=n, algorithm={algorithm}"))
                .iter()
                .map(String::as_str),
            [],
        )
        .into_iter()
        .map(|challenge| challenge.algorithm)
        .collect();
        use Algorithm::*;
        assert_eq!(order, [Sha512_256, Sha512_256Sess, Sha256, Sha256Sess, Md5, Md5Sess]);
    }

    #[test]
    fn for_each_realm_of_a_server_or_a_proxy_one_challenge_is_picked() {
        let challenges = parse_challenges(
            ["Digest realm=a, nonce=1", "Digest realm=a, nonce=2, algorithm=SHA-256", "Digest realm=b, nonce=3"],
            ["Digest realm=a, nonce=4"],
        );
        let picked = pick(&challenges, &password());
        let nonces: Vec<&str> = picked.iter().map(|challenge| challenge.nonce.as_str()).collect();
        assert_eq!(nonces, ["2", "3", "4"]);
        let hash = super::super::RealmHa1 {
            realm: "a".into(),
            algorithm: Algorithm::Md5,
            ha1: super::super::ha1(Algorithm::Md5, "aaa", "a", "xxx"),
        };
        let nonces: Vec<String> = pick(&challenges, &Credentials::Ha1(vec![hash]))
            .into_iter()
            .map(|challenge| challenge.nonce.clone())
            .collect();
        assert_eq!(nonces, ["1", "4"]);
        let five = ["a", "b", "c", "d", "e"].map(|realm| format!("Digest realm={realm}, nonce=n"));
        let five = parse_challenges(five.iter().map(String::as_str), []);
        assert_eq!(pick(&five, &password()).len(), MAX_LIVE, "no more than can be kept");
    }

    #[test]
    fn challenges_that_could_break_a_line_or_the_memory_are_left_out() {
        assert_eq!(www("Digest realm=\"a\r\nX: y\", nonce=\"n\""), []);
        assert_eq!(www("Digest realm=\"a\", nonce=\"n\\\r\""), []);
        assert_eq!(www("Digest realm=\"a\", nonce=\"n\", opaque=\"\0\""), []);
        assert_eq!(www(&format!("Digest realm=r, nonce={}", "n".repeat(MAX_VALUE + 1))), []);
        assert_eq!(www(&"Digest realm=r, nonce=n, ".repeat(1000)).len(), MAX_CHALLENGES_PER_FIELD);
    }

    #[test]
    fn a_challenge_cut_short_loses_only_what_was_cut() {
        assert_eq!(www(r#"Digest realm="r", nonce="n"#), []);
        assert_eq!(www(r#"Digest realm="r""#), []);
        assert_eq!(only(r#"Digest realm="r", nonce="n", opaque="o"#).opaque, None);
    }

    #[test]
    fn debug_hints_at_the_nonce() {
        let shown =
            format!("{:?}", only(r#"Digest realm="r", nonce="0123456789abcdefghij", opaque="0123456789abcdefghij""#));
        assert!(shown.contains("…ghij (20)") && !shown.contains("0123"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_input_panics_and_the_parsed_values_are_clean(value in r#"(Digest|realm|nonce|qop|algorithm|MD5|auth|[ ,="\\\r\n\tä\x00x]){0,60}"#) {
            for challenge in parse_challenges([value.as_str()], [value.as_str()]) {
                prop_assert!(is_keepable(&challenge.realm) && is_keepable(&challenge.nonce));
            }
        }

        #[test]
        fn quoted_values_round_trip(realm in "[^\\p{Cc}]{0,40}", nonce in "[ -~]{0,40}") {
            let value = super::super::answer::FieldValue::new().quoted("realm", &realm).quoted("nonce", &nonce).finish();
            let challenge = only(&value);
            prop_assert_eq!(challenge.realm, realm);
            prop_assert_eq!(challenge.nonce, nonce);
        }
    }
}
