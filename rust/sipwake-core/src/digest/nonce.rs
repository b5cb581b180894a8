//! One live nonce. Makes digest responses with it, and checks the server's proof.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answer::{FieldValue, Proof, Qop, nonce_count};
use super::challenge::{Challenge, MAX_VALUE, QopOffer, is_keepable};
use super::host::HostId;
use super::parameters::{Parameters, Part};
use super::{Algorithm, Credentials, hash};
use crate::clock::Now;
use crate::redact::{Secret, hint};

/// Whether the server proved in `Authentication-Info` that it knows the password too (RFC 7616 section 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProof {
    /// It gave no proof, or one that cannot be checked.
    Absent,
    /// The proof is right.
    Verified,
    /// The proof is wrong; the next nonce that came with it was not taken.
    Mismatch,
}

/// A nonce, with everything that its challenge said about the response.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nonce {
    pub(super) realm: Box<str>,
    #[serde(default)]
    pub(super) proxy: bool,
    /// The host that it came from. No other host gets a response with it.
    #[serde(default)]
    pub(super) host: HostId,
    #[serde(rename = "nonce")]
    pub(super) value: Box<str>,
    pub(super) opaque: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    pub(super) algorithm_token: Option<Box<str>>,
    pub(super) qop: QopOffer,
    #[serde(default)]
    pub(super) userhash: bool,
    /// The last nonce count sent, 0 before the first.
    #[serde(skip)]
    pub(super) used: u32,
    /// A restored process continues after this count. It is never below `used`.
    #[serde(rename = "nc")]
    pub(super) reserved: u32,
    pub(super) session: Option<Box<Session>>,
    #[serde(default)]
    pub(super) refused: bool,
    /// Wall time.
    #[serde(rename = "learnt_ms", with = "super::stored::milliseconds")]
    pub(super) learnt: Duration,
    /// It was learnt on the current network.
    #[serde(skip)]
    pub(super) here: bool,
    /// The last answer, kept until its response comes.
    #[serde(skip)]
    pub(super) last: Option<Box<Answered>>,
}

/// What the key of a `-sess` algorithm was made of. It stays after a `nextnonce`, and ends with the next challenge (RFC
/// 7616 section 3.4.2 and 3.6).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    nonce: Box<str>,
    cnonce: Box<str>,
}

/// The last answered request, as far as the server's proof covers it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Answered {
    nonce: Box<str>,
    cnonce: Box<str>,
    nc: u32,
    qop: Option<Qop>,
    uri: Box<str>,
}

impl Nonce {
    pub(super) fn new(challenge: &Challenge, host: HostId, now: Now) -> Self {
        Self {
            realm: challenge.realm.as_str().into(),
            proxy: challenge.proxy,
            host,
            value: challenge.nonce.as_str().into(),
            opaque: challenge.opaque.as_deref().map(Box::from),
            algorithm: challenge.algorithm,
            algorithm_token: challenge.algorithm_token.as_deref().map(Box::from),
            qop: challenge.qop,
            userhash: challenge.userhash,
            used: 0,
            reserved: 0,
            session: None,
            refused: false,
            learnt: now.wall,
            here: true,
            last: None,
        }
    }

    /// Whether a challenge asks for less than this one did.
    pub(super) fn is_stronger_than(&self, challenge: &Challenge) -> bool {
        challenge.algorithm.is_weaker_than(self.algorithm) || (self.qop.protects() && !challenge.qop.protects())
    }

    pub(super) fn is_live(&self) -> bool {
        !self.refused && self.used < u32::MAX
    }

    pub(super) fn is_keepable(&self) -> bool {
        let session = self.session.as_deref();
        is_keepable(&self.realm)
            && is_keepable(&self.value)
            && is_keepable(self.opaque.as_deref().unwrap_or_default())
            && is_keepable(self.algorithm_token.as_deref().unwrap_or_default())
            && session.is_none_or(|session| is_keepable(&session.nonce) && is_keepable(&session.cnonce))
    }

    pub(super) fn authorize(
        &mut self,
        username: &str,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> Option<String> {
        let ha1 = credentials.ha1(self.algorithm, username, &self.realm)?;
        if self.algorithm.is_session() && self.session.is_none() {
            self.session = Some(Box::new(Session { nonce: self.value.clone(), cnonce: cnonce.into() }));
        }
        let cnonce = self.session.as_ref().map_or(cnonce, |session| &session.cnonce);
        let qop = match self.qop {
            QopOffer { auth: true, .. } => Some(Qop::Auth),
            QopOffer { auth_int: true, .. } => Some(Qop::AuthInt),
            QopOffer { .. } => None,
        };
        self.used += 1;
        self.reserved = self.reserved.max(self.used);
        let nc = nonce_count(self.used);
        let proof = Proof {
            algorithm: self.algorithm,
            ha1: ha1.expose(),
            nonce: &self.value,
            session: self.session.as_ref().map(|session| (&*session.nonce, &*session.cnonce)),
            qop,
            nc: &nc,
            cnonce,
            method,
            uri,
            body,
        };

        let hashed_name = self.userhash.then(|| hash(self.algorithm, &[username.as_bytes(), self.realm.as_bytes()]));
        let mut value = FieldValue::new()
            .quoted("username", hashed_name.as_ref().map_or(username, |name| name.as_str()))
            .quoted("realm", &self.realm)
            .quoted("nonce", &self.value)
            .quoted("uri", uri)
            .quoted("response", &proof.response());
        if let Some(token) = &self.algorithm_token {
            value = value.bare("algorithm", token);
        }
        if qop.is_some() || self.session.is_some() {
            value = value.quoted("cnonce", cnonce);
        }
        if let Some(opaque) = &self.opaque {
            value = value.quoted("opaque", opaque);
        }
        if let Some(qop) = qop {
            value = value.bare("qop", qop.token()).bare("nc", &nc);
        }
        if self.userhash {
            value = value.bare("userhash", "true");
        }
        self.last = Some(Box::new(Answered {
            nonce: self.value.clone(),
            cnonce: cnonce.into(),
            nc: self.used,
            qop,
            uri: uri.into(),
        }));
        Some(value.finish())
    }

    pub(super) fn check(&self, info: &Info, username: &str, credentials: &Credentials, body: &[u8]) -> ServerProof {
        // Without qop the proof is that of RFC 2069. It covers other things, and implementations differ.
        let (Some(claimed), Some(last)) = (&info.rspauth, &self.last) else { return ServerProof::Absent };
        let (Some(sent_qop), Some(ha1)) = (last.qop, credentials.ha1(self.algorithm, username, &self.realm)) else {
            return ServerProof::Absent;
        };
        let nc = nonce_count(last.nc);
        if info.cnonce.as_ref().is_some_and(|cnonce| **cnonce != *last.cnonce)
            || info.nc.as_ref().is_some_and(|claimed| !claimed.eq_ignore_ascii_case(&nc))
        {
            return ServerProof::Mismatch;
        }
        let proof = self.proof(last, info.qop.unwrap_or(sent_qop), &ha1, body);
        if proof.eq_ignore_ascii_case(claimed) { ServerProof::Verified } else { ServerProof::Mismatch }
    }

    /// The proof of a server that knows the password.
    fn proof(&self, last: &Answered, qop: Qop, ha1: &Secret, body: &[u8]) -> Zeroizing<String> {
        let proof = Proof {
            algorithm: self.algorithm,
            ha1: ha1.expose(),
            nonce: &last.nonce,
            session: self.session.as_ref().map(|session| (&*session.nonce, &*session.cnonce)),
            qop: Some(qop),
            nc: &nonce_count(last.nc),
            cnonce: &last.cnonce,
            method: "",
            uri: &last.uri,
            body,
        };
        proof.response()
    }

    /// Every proof that can be right by now for a response without a body.
    #[cfg(feature = "replay")]
    pub(super) fn proofs(&self, username: &str, credentials: &Credentials) -> Vec<Zeroizing<String>> {
        let known = self.last.as_ref().zip(credentials.ha1(self.algorithm, username, &self.realm));
        let Some((last, ha1)) = known.filter(|(last, _)| last.qop.is_some()) else { return Vec::new() };
        [Qop::Auth, Qop::AuthInt].map(|qop| self.proof(last, qop, &ha1, b"")).into()
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonce")
            .field("realm", &self.realm)
            .field("proxy", &self.proxy)
            .field("nonce", &hint(&self.value))
            .field("algorithm", &self.algorithm)
            .field("used", &self.used)
            .field("reserved", &self.reserved)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// ```abnf
/// Authentication-Info = "Authentication-Info" HCOLON ainfo *(COMMA ainfo)
/// ainfo               = nextnonce / message-qop / response-auth / cnonce / nonce-count
/// ```
/// (RFC 3261 section 25.1)
#[derive(Default)]
pub(super) struct Info {
    pub(super) next_nonce: Option<String>,
    rspauth: Option<String>,
    qop: Option<Qop>,
    cnonce: Option<String>,
    nc: Option<String>,
}

impl Info {
    pub(super) fn parse(value: &str) -> Self {
        let mut info = Self::default();
        for part in Parameters::new(value) {
            let Part::Parameter(name, value) = part else { continue };
            if value.len() > MAX_VALUE {
                continue;
            }
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("nextnonce") {
                info.next_nonce.get_or_insert_with(|| value.into_owned());
            } else if is("rspauth") {
                info.rspauth.get_or_insert_with(|| value.into_owned());
            } else if is("cnonce") {
                info.cnonce.get_or_insert_with(|| value.into_owned());
            } else if is("nc") {
                info.nc.get_or_insert_with(|| value.into_owned());
            } else if is("qop") {
                info.qop = info.qop.or_else(|| Qop::parse(value.trim()));
            }
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{NonceCache, RealmHa1, ha1, parse_challenges};
    use crate::redact::Secret;

    const NOW: Now = Now::new(Duration::ZERO, Duration::ZERO);

    fn learnt(challenge: &str) -> NonceCache {
        let mut cache = NonceCache::default();
        cache.learn(&parse_challenges([challenge], [])[0], NOW);
        cache
    }

    fn password(password: &str) -> Credentials {
        Credentials::Password(Secret::new(password))
    }

    fn register(cache: &mut NonceCache, cnonce: &str) -> String {
        let mut fields = cache.authorize("cool", &password("xxx"), "REGISTER", "sip:gw.example.com", b"hello", cnonce);
        assert_eq!(fields.len(), 1);
        fields.remove(0).1
    }

    #[test]
    fn the_example_of_rfc_2617_section_3_5_is_reproduced() {
        let mut cache = learnt(
            r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
        );
        let fields = cache.authorize("Mufasa", &password("Circle Of Life"), "GET", "/dir/index.html", b"", "0a4f113b");
        let expected = concat!(
            r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", "#,
            r#"uri="/dir/index.html", response="6629fae49393a05397450978507c4ef1", cnonce="0a4f113b", "#,
            r#"opaque="5ccc069c403ebaf9f0171e9517f40e41", qop=auth, nc=00000001"#,
        );
        assert_eq!(fields, [("Authorization", expected.to_owned())]);
    }

    #[test]
    fn the_examples_of_rfc_7616_section_3_9_1_are_reproduced() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let mut cache = learnt(&format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            ));
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let fields = cache.authorize("Mufasa", &password("Circle of Life"), "GET", "/dir/index.html", b"", cnonce);
            assert!(fields[0].1.contains(&format!("response=\"{response}\", algorithm={algorithm}, ")));
        }
    }

    #[test]
    fn the_example_of_rfc_7616_section_3_9_2_is_reproduced_with_erratum_4897() {
        let mut cache = learnt(
            r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#,
        );
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let fields = cache.authorize("Jäsøn Doe", &password("Secret, or not?"), "GET", "/doe.json", b"", cnonce);
        let expected = concat!(
            r#"Digest username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b", "#,
            r#"realm="api@example.org", nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", uri="/doe.json", "#,
            r#"response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", algorithm=SHA-512-256, "#,
            r#"cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", "#,
            r#"opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", qop=auth, nc=00000001, userhash=true"#,
        );
        assert_eq!(fields[0].1, expected);
    }

    /// A separate script with another implementation of the hashes made the expected values.
    #[test]
    fn every_algorithm_is_answered_with_auth_auth_int_and_none() {
        for (algorithm, qop, response) in [
            ("MD5", "auth", "0d643fdc229ca994cfca0234d6bccd87"),
            ("MD5", "auth-int", "aed79c1871f73114b4de24819a875239"),
            ("MD5", "", "23d515eda3fd1ca4cee29a2c4599f66e"),
            ("MD5-sess", "auth", "e87830a249c9125612c05bb59d09add3"),
            ("MD5-sess", "auth-int", "349097a3f40afe18f01f6ce2190900ef"),
            ("MD5-sess", "", "274a81851ce0c690349fcac472922cf9"),
            ("SHA-256", "auth", "0e773cd2547a5e4c16757633ff866aa5224a0e06e058e1a49679b3501a77269f"),
            ("SHA-256", "auth-int", "c7058a0330bd8c326a0623adfba5b4f2680ab7cad34de97b9295781935d1c4c6"),
            ("SHA-256", "", "13a806fe340ffccec40aff32250e836e097b353e4e6785803f40d6971c54b959"),
            ("SHA-256-sess", "auth", "bee96e854e7dc0b4a195428a931584998c91f6331532ef316846252f5a587df8"),
            ("SHA-256-sess", "auth-int", "9850256fd6c418a9ca9216c3e6ac97c9fe53aecdd99c02f8969d1b02e4e8899c"),
            ("SHA-256-sess", "", "49978c54de5d550074faf18ba21dbe2c244f5680c5e0075f8afe936720ef5fdf"),
            ("SHA-512-256", "auth", "e9106504ef2a39cb755f7ade5d0c46276a60b431a777ceca4ad4e6d5355e1162"),
            ("SHA-512-256", "auth-int", "b90d859f22ab87647c0ee40acb695dffe92aa26f1138c6a5432fa754ceb93aa1"),
            ("SHA-512-256", "", "c6bba5cea6396e216d5104d5d5be802ad9825a8338d45825c0860b97e60d5621"),
            ("SHA-512-256-sess", "auth", "e04015d0db5f97f4f1749853f26af4de7cf0e076e8e2bc190d3ac4831918d53f"),
            ("SHA-512-256-sess", "auth-int", "8b2311e237c1cff02581c377f7626904d0de1087de3683dec87614d0a7dbc90f"),
            ("SHA-512-256-sess", "", "d0e3b845141682c41311292dd7909ecfaa0e05bc52c7e1025b5495741ff770a9"),
        ] {
            let challenge = format!(r#"Digest realm="asterisk", nonce="abc123", algorithm={algorithm}, qop="{qop}""#);
            let value = register(&mut learnt(&challenge), "0a4f113b");
            assert!(value.contains(&format!("response=\"{response}\"")), "{algorithm} {qop}");
            assert_eq!(value.contains(" nc=00000001"), !qop.is_empty());
            assert_eq!(value.contains("cnonce="), !qop.is_empty() || algorithm.ends_with("-sess"));
        }
    }

    #[test]
    fn an_ha1_gives_the_same_answer_as_the_password() {
        let challenge = r#"Digest realm="asterisk", nonce="abc123", qop="auth""#;
        let hash = ha1(Algorithm::Md5, "cool", "asterisk", "xxx");
        let hashes =
            Credentials::Ha1(vec![RealmHa1 { realm: "asterisk".into(), algorithm: Algorithm::Md5, ha1: hash }]);
        let with_hash = learnt(challenge).authorize("cool", &hashes, "REGISTER", "sip:gw.example.com", b"", "c");
        assert_eq!(with_hash[0].1, register(&mut learnt(challenge), "c"));
        let other = learnt("Digest realm=other, nonce=n").authorize("cool", &hashes, "REGISTER", "sip:a", b"", "c");
        assert_eq!(other, []);
    }

    #[test]
    fn the_algorithm_is_repeated_in_the_servers_spelling_and_only_if_it_sent_one() {
        assert!(!register(&mut learnt("Digest realm=r, nonce=n"), "c").contains("algorithm"));
        assert!(register(&mut learnt("Digest realm=r, nonce=n, algorithm=md5"), "c").contains(" algorithm=md5"));
    }

    #[test]
    fn a_user_name_is_quoted_and_kept_in_utf_8() {
        let mut cache = learnt("Digest realm=r, nonce=n");
        let fields = cache.authorize(r#"jö"\r"#, &password("xxx"), "REGISTER", "sip:a", b"", "c");
        assert!(fields[0].1.starts_with(r#"Digest username="jö\"\\r", "#), "{}", fields[0].1);
        for (name, quoted) in [("\"", r#""\"""#), ("\\", r#""\\""#)] {
            let fields = cache.authorize(name, &password("xxx"), "REGISTER", "sip:a", b"", "c");
            assert!(fields[0].1.starts_with(&format!("Digest username={quoted}, ")), "{}", fields[0].1);
        }
    }

    #[test]
    fn control_characters_never_leave() {
        let mut cache = learnt("Digest realm=r, nonce=n, qop=auth");
        let value = &cache.authorize("a\r\nX: y", &password("p"), "REGISTER", "sip:a\r\n\0", b"", "c\u{85}\n")[0].1;
        assert!(!value.chars().any(char::is_control), "{value:?}");
    }

    #[test]
    fn a_session_keeps_its_key_and_cnonce_until_the_next_challenge() {
        let challenge = r#"Digest realm="asterisk", nonce="abc123", algorithm=MD5-sess, qop="auth""#;
        let mut cache = learnt(challenge);
        register(&mut cache, "0a4f113b");
        cache.next_nonce(r#"nextnonce="next1""#, false, "cool", &password("xxx"), b"", NOW);
        let value = register(&mut cache, "another");
        assert!(value.contains(r#"response="6a5a5dc98807a133c83068ea5305bd93""#), "{value}");
        assert!(value.contains(r#"cnonce="0a4f113b""#));
        cache.learn(&parse_challenges([challenge], [])[0], NOW);
        assert!(register(&mut cache, "another").contains(r#"cnonce="another""#));
    }

    #[test]
    fn the_next_nonce_replaces_the_last_and_counts_from_one() {
        let mut cache = learnt(r#"Digest realm="r", nonce="first", qop="auth""#);
        register(&mut cache, "c");
        assert!(register(&mut cache, "c").contains("nc=00000002"));
        let proof = cache.next_nonce(r#" nextnonce = "second", qop=auth"#, false, "cool", &password("xxx"), b"", NOW);
        assert_eq!(proof, ServerProof::Absent);
        let value = register(&mut cache, "c");
        assert!(value.contains(r#"nonce="second""#) && value.contains("nc=00000001"), "{value}");
        cache.next_nonce(r#"nextnonce="third""#, true, "cool", &password("xxx"), b"", NOW);
        cache.next_nonce("nextnonce=\"a\rb\"", false, "cool", &password("xxx"), b"", NOW);
        let value = register(&mut cache, "c");
        assert!(value.contains(r#"nonce="second""#) && value.contains("nc=00000002"), "{value}");
    }

    #[test]
    fn a_next_nonce_that_is_too_long_to_keep_is_not_read() {
        for (length, taken) in [(MAX_VALUE, true), (MAX_VALUE + 1, false)] {
            let mut cache = learnt(r#"Digest realm="r", nonce="first", qop="auth""#);
            register(&mut cache, "c");
            let long = "n".repeat(length);
            cache.next_nonce(&format!("nextnonce={long}, nextnonce=x"), false, "cool", &password("xxx"), b"", NOW);
            let expected = if taken { long.as_str() } else { "x" };
            assert!(register(&mut cache, "c").contains(&format!("nonce=\"{expected}\"")), "{length}");
        }
    }

    #[test]
    fn the_servers_proof_is_checked_and_a_wrong_one_brings_no_nonce() {
        const PROOF: &str = "98f8f25752fb9db835043a59f6041c85";
        let check = |parameters: &str| {
            let mut cache = learnt(r#"Digest realm="asterisk", nonce="abc123", qop="auth""#);
            register(&mut cache, "0a4f113b");
            let info = format!(r#"{parameters}, nextnonce="next1""#);
            let proof = cache.next_nonce(&info, false, "cool", &password("xxx"), b"", NOW);
            (proof, register(&mut cache, "c").contains("next1"))
        };
        let full = format!(r#"qop=auth, rspauth="{PROOF}", cnonce="0a4f113b", nc=00000001"#);
        assert_eq!(check(&full), (ServerProof::Verified, true));
        assert_eq!(check(&format!(r#"rspauth="{PROOF}""#)), (ServerProof::Verified, true));
        assert_eq!(check(&full.replace("98f8", "98f9")), (ServerProof::Mismatch, false));
        // The proof says itself what it covers. This one claims to cover the body, too.
        assert_eq!(check(&full.replace("qop=auth", "qop=auth-int")), (ServerProof::Mismatch, false));
        assert_eq!(check(&full.replace("nc=00000001", "nc=00000002")), (ServerProof::Mismatch, false));
    }

    #[test]
    fn with_several_realms_the_server_proof_decides_which_nonce_is_renewed() {
        let mut cache = learnt(r#"Digest realm="other", nonce="o", qop="auth""#);
        cache.learn(&parse_challenges([r#"Digest realm="asterisk", nonce="abc123", qop="auth""#], [])[0], NOW);
        cache.authorize("cool", &password("xxx"), "REGISTER", "sip:gw.example.com", b"", "0a4f113b");
        let info = r#"rspauth="98f8f25752fb9db835043a59f6041c85", nextnonce="next1""#;
        assert_eq!(cache.next_nonce(info, false, "cool", &password("xxx"), b"", NOW), ServerProof::Verified);
        let fields = cache.authorize("cool", &password("xxx"), "REGISTER", "sip:gw.example.com", b"", "c");
        assert!(fields[0].1.contains(r#"nonce="o""#) && fields[1].1.contains(r#"nonce="next1""#));
        assert_eq!(
            cache.next_nonce(r#"nextnonce="whose""#, false, "cool", &password("xxx"), b"", NOW),
            ServerProof::Absent
        );
        assert!(!format!("{:?}", cache.nonces).contains("whose"));
        let wrong = r#"rspauth="00f8f25752fb9db835043a59f6041c85", nextnonce="whose""#;
        assert_eq!(cache.next_nonce(wrong, false, "cool", &password("xxx"), b"", NOW), ServerProof::Mismatch);
    }

    #[test]
    fn a_proof_for_a_forgotten_answer_is_ignored_and_brings_no_nonce() {
        let mut cache = learnt(r#"Digest realm="asterisk", nonce="abc123", qop="auth""#);
        register(&mut cache, "0a4f113b");
        cache.forget_answers();
        let info = r#"rspauth="98f8f25752fb9db835043a59f6041c85", nextnonce="next1""#;
        assert_eq!(cache.next_nonce(info, false, "cool", &password("xxx"), b"", NOW), ServerProof::Absent);
        assert!(register(&mut cache, "c").contains(r#"nonce="abc123""#));
    }
}
