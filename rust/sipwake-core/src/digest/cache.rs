//! Keeps the nonces that are still good, and answers with them ahead of being asked.

use std::fmt;
use std::time::Duration;

use super::answer::{FieldValue, Proof, Qop, nonce_count};
use super::challenge::{Challenge, MAX_LIVE, MAX_VALUE, QopOffer, is_keepable};
use super::parameters::{Parameters, Part};
use super::{Algorithm, Credentials, hash};
use crate::clock::Now;
use crate::redact::hint;

/// The name of a header field, as it is sent.
pub type HeaderName = &'static str;

/// The live nonces of one account, at most four: one per realm, for servers and for proxies.
///
/// # Nonce counts and kills
///
/// A server may refuse a nonce count that it has seen. What is serialized is therefore not the count in use but one
/// reserved ahead by [`NonceCache::reserve`], so that a process restored from it continues beyond anything sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "Vec<Stored>", into = "Vec<Stored>")]
pub struct NonceCache {
    /// Oldest first.
    entries: Vec<Entry>,
}

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

impl NonceCache {
    /// Remembers a challenge as the one to answer for its realm from here on.
    ///
    /// Replaces the realm's former nonce. The same nonce again keeps its count; a session (`-sess`) begins anew. When a
    /// fifth realm comes in, the one learnt first is forgotten.
    pub fn learn(&mut self, challenge: &Challenge, now: Now) {
        let mut entry = Entry {
            realm: challenge.realm.clone(),
            proxy: challenge.proxy,
            nonce: challenge.nonce.clone(),
            opaque: challenge.opaque.clone(),
            algorithm: challenge.algorithm,
            algorithm_token: challenge.algorithm_token.clone(),
            qop: challenge.qop,
            userhash: challenge.userhash,
            used: 0,
            reserved: 0,
            session: None,
            refused: false,
            learnt: now.wall,
            last: None,
        };
        if !entry.is_keepable() {
            return;
        }
        if let Some(index) = self.position(&challenge.realm, challenge.proxy) {
            let former = self.entries.remove(index);
            if former.nonce == entry.nonce {
                (entry.used, entry.reserved) = (former.used, former.reserved);
            }
        }
        if self.entries.len() >= MAX_LIVE {
            self.entries.remove(0);
        }
        self.entries.push(entry);
    }

    /// Returns one header field (name and value) for each live realm that the credentials can answer.
    ///
    /// `uri` becomes the digest URI: the Request-URI, unless the server named another (`X-Sy.AuthURI`). `cnonce` is a
    /// fresh random text; a running `-sess` session sends its own instead, so that servers that keep the session key
    /// and servers that compute it anew from each request agree.
    pub fn authorize(
        &mut self,
        username: &str,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> Vec<(HeaderName, String)> {
        self.entries
            .iter_mut()
            .filter(|entry| entry.is_live())
            .filter_map(|entry| {
                let value = entry.authorize(username, credentials, method, uri, body, cnonce)?;
                Some((if entry.proxy { "Proxy-Authorization" } else { "Authorization" }, value))
            })
            .collect()
    }

    /// Takes the next nonce from `Authentication-Info` (or, with `proxy`, `Proxy-Authentication-Info`) and checks the
    /// server's proof against the last request that [`NonceCache::authorize`] answered for.
    ///
    /// A new nonce starts counting at 1. `body` is the response's, needed where the server protects it (`auth-int`).
    pub fn next_nonce(
        &mut self,
        authentication_info: &str,
        proxy: bool,
        username: &str,
        credentials: &Credentials,
        body: &[u8],
        now: Now,
    ) -> ServerProof {
        let info = Info::parse(authentication_info);
        let mut candidates: Vec<(ServerProof, &mut Entry)> = self
            .entries
            .iter_mut()
            .filter(|entry| entry.proxy == proxy && entry.last.is_some())
            .map(|entry| (entry.check(&info, username, credentials, body), entry))
            .collect();
        // The field names no realm: of several that answered, the proof tells which one is meant.
        let index = match candidates.as_slice() {
            [] => return ServerProof::Absent,
            [_] => 0,
            several => match several.iter().position(|(proof, _)| *proof == ServerProof::Verified) {
                Some(index) => index,
                None if several.iter().all(|(proof, _)| *proof == ServerProof::Mismatch) => {
                    return ServerProof::Mismatch;
                }
                None => return ServerProof::Absent,
            },
        };
        let (proof, entry) = candidates.swap_remove(index);
        if proof != ServerProof::Mismatch
            && let Some(nonce) = info.next_nonce
            && nonce != entry.nonce
            && is_keepable(&nonce)
        {
            entry.nonce = nonce;
            (entry.used, entry.reserved) = (0, 0);
            entry.learnt = now.wall;
        }
        proof
    }

    /// Reserves nonce counts so that `ahead` more answers are safe from being repeated after a kill.
    ///
    /// Returns `true` if the cache should be stored before [`NonceCache::authorize`] is called next. Reserves again when
    /// half is used, so a caller that stores a little later is safe as well. Keep `ahead` small: every restart skips up
    /// to that many counts, and Kamailio refuses those above 255 as stale.
    pub fn reserve(&mut self, ahead: u32) -> bool {
        let mut changed = false;
        for entry in self.entries.iter_mut().filter(|entry| entry.is_live()) {
            if entry.reserved.saturating_sub(entry.used) < ahead.div_ceil(2) {
                entry.reserved = entry.used.saturating_add(ahead);
                changed = true;
            }
        }
        changed
    }

    /// Stops answering for a realm until it challenges again. Its nonce and count are kept, in case it is the same one.
    pub fn invalidate(&mut self, realm: &str, proxy: bool) {
        if let Some(index) = self.position(realm, proxy) {
            self.entries[index].refused = true;
        }
    }

    /// Forgets the nonces learnt more than `age` ago on the wall clock.
    pub fn forget_older_than(&mut self, age: Duration, now: Now) {
        self.entries.retain(|entry| now.wall.saturating_sub(entry.learnt) <= age);
    }

    /// Forgets everything: the user or the password changed.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Returns `true` if no realm can be answered ahead of a challenge.
    pub fn is_empty(&self) -> bool {
        !self.entries.iter().any(Entry::is_live)
    }

    /// Returns the realms that can be answered ahead of a challenge, each with whether a proxy asked for it.
    pub fn realms(&self) -> impl Iterator<Item = (&str, bool)> {
        self.entries.iter().filter(|entry| entry.is_live()).map(|entry| (entry.realm.as_str(), entry.proxy))
    }

    fn position(&self, realm: &str, proxy: bool) -> Option<usize> {
        self.entries.iter().position(|entry| entry.realm == realm && entry.proxy == proxy)
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    realm: String,
    proxy: bool,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    algorithm_token: Option<String>,
    qop: QopOffer,
    userhash: bool,
    /// The last nonce count sent, 0 before the first.
    used: u32,
    /// The count that a restored process begins after.
    reserved: u32,
    session: Option<Session>,
    refused: bool,
    /// Wall time.
    learnt: Duration,
    last: Option<Answered>,
}

/// What the key of a `-sess` algorithm was made of. It outlives `nextnonce`, and ends with the next challenge
/// (RFC 7616 section 3.4.2 and 3.6).
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Session {
    nonce: String,
    cnonce: String,
}

/// The last request answered, as far as the server's proof covers it.
#[derive(Clone, PartialEq, Eq)]
struct Answered {
    nonce: String,
    cnonce: String,
    nc: u32,
    qop: Option<Qop>,
    uri: String,
}

impl Entry {
    fn is_live(&self) -> bool {
        !self.refused && self.used < u32::MAX
    }

    fn is_keepable(&self) -> bool {
        let kept = [Some(&self.realm), Some(&self.nonce), self.opaque.as_ref(), self.algorithm_token.as_ref()];
        let session = self.session.iter().flat_map(|session| [&session.nonce, &session.cnonce]);
        kept.into_iter().flatten().chain(session).all(|value| is_keepable(value))
    }

    fn authorize(
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
            self.session = Some(Session { nonce: self.nonce.clone(), cnonce: cnonce.to_owned() });
        }
        let cnonce = self.session.as_ref().map_or(cnonce, |session| &session.cnonce);
        let qop = match self.qop {
            QopOffer { auth: true, .. } => Some(Qop::Auth),
            QopOffer { auth_int: true, .. } => Some(Qop::AuthInt),
            QopOffer { .. } => None,
        };
        self.used += 1;
        let proof = Proof {
            algorithm: self.algorithm,
            ha1: ha1.expose(),
            nonce: &self.nonce,
            session: self.session.as_ref().map(|session| (session.nonce.as_str(), session.cnonce.as_str())),
            qop,
            nc: self.used,
            cnonce,
            method,
            uri,
            body,
        };

        let hashed_name = self.userhash.then(|| hash(self.algorithm, &[username.as_bytes(), self.realm.as_bytes()]));
        let mut value = FieldValue::new()
            .quoted("username", hashed_name.as_ref().map_or(username, |name| name.as_str()))
            .quoted("realm", &self.realm)
            .quoted("nonce", &self.nonce)
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
            value = value.bare("qop", qop.token()).bare("nc", &nonce_count(self.used));
        }
        if self.userhash {
            value = value.bare("userhash", "true");
        }
        self.last = Some(Answered {
            nonce: self.nonce.clone(),
            cnonce: cnonce.to_owned(),
            nc: self.used,
            qop,
            uri: uri.to_owned(),
        });
        Some(value.finish())
    }

    fn check(&self, info: &Info, username: &str, credentials: &Credentials, body: &[u8]) -> ServerProof {
        // Without qop the proof is that of RFC 2069, which covers other things and is computed by nobody alike.
        let (Some(claimed), Some(last)) = (&info.rspauth, &self.last) else { return ServerProof::Absent };
        let (Some(sent_qop), Some(ha1)) = (last.qop, credentials.ha1(self.algorithm, username, &self.realm)) else {
            return ServerProof::Absent;
        };
        if info.cnonce.as_ref().is_some_and(|cnonce| *cnonce != last.cnonce)
            || info.nc.as_ref().is_some_and(|nc| !nc.eq_ignore_ascii_case(&nonce_count(last.nc)))
        {
            return ServerProof::Mismatch;
        }
        let proof = Proof {
            algorithm: self.algorithm,
            ha1: ha1.expose(),
            nonce: &last.nonce,
            session: self.session.as_ref().map(|session| (session.nonce.as_str(), session.cnonce.as_str())),
            qop: Some(info.qop.unwrap_or(sent_qop)),
            nc: last.nc,
            cnonce: &last.cnonce,
            method: "",
            uri: &last.uri,
            body,
        };
        if proof.response().eq_ignore_ascii_case(claimed) { ServerProof::Verified } else { ServerProof::Mismatch }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("realm", &self.realm)
            .field("proxy", &self.proxy)
            .field("nonce", &hint(&self.nonce))
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
struct Info {
    next_nonce: Option<String>,
    rspauth: Option<String>,
    qop: Option<Qop>,
    cnonce: Option<String>,
    nc: Option<String>,
}

impl Info {
    fn parse(value: &str) -> Self {
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

/// The form on disk. Whatever is there is read entry by entry; what this version would not have kept is dropped.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Stored {
    realm: String,
    proxy: bool,
    nonce: String,
    opaque: Option<String>,
    algorithm: String,
    algorithm_token: Option<String>,
    qop: QopOffer,
    userhash: bool,
    nc: u32,
    session: Option<Session>,
    refused: bool,
    learnt_ms: u64,
}

impl From<Vec<Stored>> for NonceCache {
    fn from(stored: Vec<Stored>) -> Self {
        let mut cache = Self::default();
        for entry in stored.into_iter().filter_map(Stored::restore) {
            if cache.entries.len() < MAX_LIVE && cache.position(&entry.realm, entry.proxy).is_none() {
                cache.entries.push(entry);
            }
        }
        cache
    }
}

impl From<NonceCache> for Vec<Stored> {
    fn from(cache: NonceCache) -> Self {
        cache.entries.into_iter().map(Stored::from).collect()
    }
}

impl From<Entry> for Stored {
    fn from(entry: Entry) -> Self {
        Self {
            realm: entry.realm,
            proxy: entry.proxy,
            nonce: entry.nonce,
            opaque: entry.opaque,
            algorithm: entry.algorithm.token().to_owned(),
            algorithm_token: entry.algorithm_token,
            qop: entry.qop,
            userhash: entry.userhash,
            nc: entry.reserved.max(entry.used),
            session: entry.session,
            refused: entry.refused,
            learnt_ms: u64::try_from(entry.learnt.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Stored {
    fn restore(self) -> Option<Entry> {
        let entry = Entry {
            realm: self.realm,
            proxy: self.proxy,
            nonce: self.nonce,
            opaque: self.opaque,
            algorithm: self.algorithm.parse().ok()?,
            algorithm_token: self.algorithm_token,
            qop: self.qop,
            userhash: self.userhash,
            used: self.nc,
            reserved: self.nc,
            session: self.session,
            refused: self.refused,
            learnt: Duration::from_millis(self.learnt_ms),
            last: None,
        };
        entry.is_keepable().then_some(entry)
    }
}
