//! Keeps the nonces that are still good, and uses them without waiting for a challenge.

use std::time::Duration;

use super::challenge::{Challenge, MAX_LIVE, QopOffer, is_keepable};
use super::host::HostId;
use super::nonce::{Info, Nonce, ServerProof};
use super::{Algorithm, Credentials};
use crate::clock::Now;

/// The name of a header field, as it is sent.
pub type HeaderName = &'static str;

/// The live nonces of one account, at most four: one per realm, for servers and for proxies.
///
/// # Nonce counts and kills
///
/// A server may refuse a nonce count that it has seen. What is stored is therefore not the count in use but one
/// reserved ahead by [`NonceCache::reserve`], so that a process restored from it continues beyond anything sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NonceCache {
    /// The oldest comes first.
    pub(super) nonces: Vec<Nonce>,
    /// The current host. Nonces of other hosts are not touched.
    pub(super) host: HostId,
    /// Some realms were forgotten to make room. This is the most that any of them asked for on this network.
    pub(super) floor: Option<(Algorithm, QopOffer)>,
}

impl NonceCache {
    /// Remembers a challenge as the one to use for its realm from now on.
    ///
    /// Replaces the realm's former nonce. The same nonce again keeps its count, but a session (`-sess`) begins again.
    /// When a fifth realm comes in, the one learnt first is forgotten.
    pub fn learn(&mut self, challenge: &Challenge, now: Now) {
        let mut entry = Nonce::new(challenge, self.host, now);
        if !entry.is_keepable() {
            return;
        }
        if let Some(index) = self.position(&challenge.realm, challenge.proxy) {
            let former = self.nonces.remove(index);
            if former.value == entry.value {
                (entry.used, entry.reserved) = (former.used, former.reserved);
            }
        }
        if self.nonces.len() >= MAX_LIVE {
            let gone = self.nonces.remove(0);
            if gone.here && self.floor.is_none_or(|floor| is_more((gone.algorithm, gone.qop), floor)) {
                self.floor = Some((gone.algorithm, gone.qop));
            }
        }
        // Most accounts have one realm. A `Vec` would make room for four, and that is most of the memory of an idle
        // account.
        self.nonces.reserve_exact(1);
        self.nonces.push(entry);
    }

    /// Returns one header field (name and value) for each live realm that the credentials can answer.
    ///
    /// `uri` becomes the digest URI: the Request-URI, unless the server named another (`X-Sy.AuthURI`). `cnonce` is a
    /// new random text. A running `-sess` session sends its own instead, so that servers that keep the session key
    /// agree with servers that compute it from each request.
    pub fn authorize(
        &mut self,
        username: &str,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> Vec<(HeaderName, String)> {
        let mut fields = Vec::new();
        for entry in self.nonces.iter_mut().filter(|entry| entry.is_live() && entry.host == self.host) {
            if let Some(value) = entry.authorize(username, credentials, method, uri, body, cnonce) {
                fields.push((if entry.proxy { "Proxy-Authorization" } else { "Authorization" }, value));
            }
        }
        fields
    }

    /// Takes the next nonce from `Authentication-Info` (or, with `proxy`, `Proxy-Authentication-Info`) and checks the
    /// server's proof against the last request that [`NonceCache::authorize`] made a response for.
    ///
    /// A new nonce starts counting at 1. `body` is the response's body. It is needed if the server protects it
    /// (`auth-int`).
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
        let mut answered = 0;
        let mut wrong = 0;
        let mut meant = None;
        for entry in self
            .nonces
            .iter_mut()
            .filter(|entry| entry.proxy == proxy && entry.last.is_some() && entry.host == self.host)
        {
            let proof = entry.check(&info, username, credentials, body);
            answered += 1;
            wrong += u32::from(proof == ServerProof::Mismatch);
            if !matches!(meant, Some((ServerProof::Verified, _))) {
                meant = Some((proof, entry));
            }
        }
        let Some((proof, entry)) = meant else { return ServerProof::Absent };
        // The field does not name a realm. If several were answered, the proof shows which one it means.
        if answered > 1 && proof != ServerProof::Verified {
            return if wrong == answered { ServerProof::Mismatch } else { ServerProof::Absent };
        }
        if proof != ServerProof::Mismatch
            && let Some(nonce) = info.next_nonce
            && *nonce != *entry.value
            && is_keepable(&nonce)
        {
            entry.value = nonce.into();
            (entry.used, entry.reserved) = (0, 0);
            entry.learnt = now.wall;
        }
        proof
    }

    /// Every `rspauth` that can be right by now.
    #[cfg(feature = "replay")]
    pub(crate) fn right_proofs(
        &self,
        username: &str,
        credentials: &Credentials,
    ) -> impl Iterator<Item = zeroize::Zeroizing<String>> {
        self.nonces.iter().flat_map(|entry| entry.proofs(username, credentials))
    }

    /// Forgets the last request that was answered for: its response is here, and has been checked.
    pub fn forget_answers(&mut self) {
        self.nonces.iter_mut().for_each(|entry| entry.last = None);
    }

    /// Reserves nonce counts so that `ahead` more responses cannot be repeated after a kill.
    ///
    /// Returns `true` if the cache should be stored before [`NonceCache::authorize`] is called next. Reserves again when
    /// half is used, so a caller that stores a little later is safe as well. Keep `ahead` small: every restart skips up
    /// to that many counts, and Kamailio refuses those above 255 as stale.
    pub fn reserve(&mut self, ahead: u32) -> bool {
        let mut changed = false;
        for entry in self.nonces.iter_mut().filter(|entry| entry.is_live() && entry.host == self.host) {
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
            self.nonces[index].refused = true;
        }
    }

    /// Makes this the current host.
    pub(crate) fn turn_to(&mut self, host: HostId) {
        self.host = host;
    }

    /// Whether the challenge asks for less than its realm did before on this network, at any host and in either header
    /// field. Then somebody on the way may have written it. Without TLS they may also name another realm. So there, a
    /// new realm must not ask for less than every realm of this host did.
    pub(super) fn is_downgraded_by(&self, challenge: &Challenge, in_the_clear: bool) -> bool {
        let mut known = self.nonces.iter().filter(|known| known.here && *known.realm == *challenge.realm).peekable();
        if known.peek().is_some() {
            return known.any(|known| known.is_stronger_than(challenge));
        }
        let mut others = self.nonces.iter().filter(|known| known.here && known.host == self.host).peekable();
        let below_others =
            in_the_clear && others.peek().is_some() && others.all(|known| known.is_stronger_than(challenge));
        below_others || self.floor.is_some_and(|floor| is_more(floor, (challenge.algorithm, challenge.qop)))
    }

    /// Whether a challenge inside a call asks for no less than this host did for that realm. If the host never named
    /// the realm, the challenge may come from somebody who wants a digest to guess the password.
    pub(super) fn vouches_for(&self, challenge: &Challenge) -> bool {
        let own = |known: &&Nonce| *known.realm == *challenge.realm && known.host == self.host;
        let mut own = self.nonces.iter().filter(own).peekable();
        own.peek().is_some() && own.all(|known| !known.is_stronger_than(challenge))
    }

    /// Whether this host gave exactly this nonce, so that its count must continue.
    pub(crate) fn holds(&self, challenge: &Challenge) -> bool {
        let known = self.position(&challenge.realm, challenge.proxy).map(|index| &self.nonces[index]);
        known.is_some_and(|known| *known.value == *challenge.nonce)
    }

    /// The realm that this host asked for before, if none of the challenges is for it. With `answered`, only if the
    /// client answers the new realm without TLS.
    pub(crate) fn changed_realm(&self, challenges: &[Challenge], answered: bool) -> Option<(&str, String)> {
        let asked = challenges.iter().find(|challenge| {
            let own = |known: &&Nonce| known.host == self.host && known.proxy == challenge.proxy;
            let mut known = self.nonces.iter().filter(own).peekable();
            let changed = known.peek().is_some() && known.all(|known| *known.realm != *challenge.realm);
            changed && !(answered && self.is_downgraded_by(challenge, true))
        })?;
        let known = self.nonces.iter().rfind(|known| known.host == self.host && known.proxy == asked.proxy)?;
        Some((&known.realm, asked.realm.clone()))
    }

    /// The device is on another network. Other servers may answer for the same realm there.
    pub(crate) fn network_changed(&mut self) {
        self.nonces.iter_mut().for_each(|entry| entry.here = false);
        self.floor = None;
    }

    /// Stops answering for realms that asked for a weaker hash than this.
    pub(crate) fn demand(&mut self, minimum: Option<Algorithm>) {
        for entry in &mut self.nonces {
            entry.refused |= minimum.is_some_and(|minimum| entry.algorithm.is_weaker_than(minimum));
        }
    }

    /// Stops answering for every realm until it challenges again.
    pub fn invalidate_all(&mut self) {
        let host = self.host;
        self.nonces.iter_mut().filter(|entry| entry.host == host).for_each(|entry| entry.refused = true);
    }

    /// Whether a realm has asked before, whether or not its nonce is still good.
    pub fn knows(&self, realm: &str, proxy: bool) -> bool {
        self.position(realm, proxy).is_some()
    }

    /// Forgets the nonces learnt more than `age` ago on the wall clock.
    pub fn forget_older_than(&mut self, age: Duration, now: Now) {
        self.nonces.retain(|entry| now.wall.saturating_sub(entry.learnt) <= age);
    }

    /// Forgets everything: the user or the password changed.
    pub fn clear(&mut self) {
        self.nonces.clear();
    }

    /// Returns `true` if no realm can be answered ahead of a challenge.
    pub fn is_empty(&self) -> bool {
        self.realms().next().is_none()
    }

    /// Returns the realms that can be answered ahead of a challenge, each with whether a proxy asked for it.
    pub fn realms(&self) -> impl Iterator<Item = (&str, bool)> {
        let ours = |entry: &&Nonce| entry.is_live() && entry.host == self.host;
        self.nonces.iter().filter(ours).map(|entry| (&*entry.realm, entry.proxy))
    }

    /// Returns each realm that any host asked for, with its hash.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (&str, Algorithm)> {
        self.nonces.iter().map(|entry| (&*entry.realm, entry.algorithm.base()))
    }

    pub(super) fn position(&self, realm: &str, proxy: bool) -> Option<usize> {
        let wanted = |entry: &Nonce| *entry.realm == *realm && entry.proxy == proxy && entry.host == self.host;
        self.nonces.iter().position(wanted)
    }
}

/// Whether one asks for more than the other: a stronger hash, or protection against chosen nonces.
fn is_more(one: (Algorithm, QopOffer), other: (Algorithm, QopOffer)) -> bool {
    other.0.is_weaker_than(one.0) || (one.1.protects() && !other.1.protects())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::parse_challenges;
    use crate::redact::Secret;

    fn at(seconds: u64) -> Now {
        Now::new(Duration::ZERO, Duration::from_secs(seconds))
    }

    fn learn(cache: &mut NonceCache, parameters: &str, now: Now) {
        cache.learn(&parse_challenges([format!("Digest {parameters}").as_str()], [])[0], now);
    }

    fn answer(cache: &mut NonceCache) -> Vec<(HeaderName, String)> {
        cache.authorize("cool", &Credentials::Password(Secret::new("xxx")), "REGISTER", "sip:example.com", b"", "c")
    }

    #[test]
    fn a_new_nonce_of_a_realm_replaces_the_old_one_and_the_same_nonce_keeps_its_count() {
        let mut cache = NonceCache::default();
        learn(&mut cache, "realm=r, nonce=n1, qop=auth", at(0));
        answer(&mut cache);
        learn(&mut cache, "realm=r, nonce=n1, qop=auth", at(0));
        assert!(answer(&mut cache)[0].1.ends_with("nc=00000002"));
        learn(&mut cache, "realm=r, nonce=n2, qop=auth", at(0));
        let fields = answer(&mut cache);
        assert_eq!(fields.len(), 1);
        assert!(fields[0].1.contains(r#"nonce="n2""#) && fields[0].1.ends_with("nc=00000001"));
    }

    #[test]
    fn a_server_and_a_proxy_of_one_realm_each_get_an_answer_in_their_own_header() {
        let mut cache = NonceCache::default();
        for challenge in parse_challenges(["Digest realm=r, nonce=a"], ["Digest realm=r, nonce=b"]) {
            cache.learn(&challenge, at(0));
        }
        let fields = answer(&mut cache);
        assert_eq!((fields[0].0, fields[1].0), ("Authorization", "Proxy-Authorization"));
        assert!(fields[1].1.contains(r#"nonce="b""#));
    }

    #[test]
    fn a_fifth_realm_replaces_the_one_learnt_first() {
        let mut cache = NonceCache::default();
        for realm in ["a", "b", "c", "d", "a", "e"] {
            learn(&mut cache, &format!("realm={realm}, nonce=n"), at(0));
        }
        let realms: Vec<&str> = cache.realms().map(|(realm, _)| realm).collect();
        assert_eq!(realms, ["c", "d", "a", "e"]);
    }

    #[test]
    fn a_refused_realm_gets_no_answer_until_it_challenges_again() {
        let mut cache = NonceCache::default();
        learn(&mut cache, "realm=r, nonce=n, qop=auth", at(0));
        answer(&mut cache);
        cache.invalidate("r", true);
        assert!(!cache.is_empty());
        cache.invalidate("r", false);
        assert!(cache.is_empty() && answer(&mut cache).is_empty());
        learn(&mut cache, "realm=r, nonce=n, qop=auth", at(0));
        assert!(answer(&mut cache)[0].1.ends_with("nc=00000002"));
    }

    #[test]
    fn old_nonces_expire_by_the_wall_clock() {
        let mut cache = NonceCache::default();
        learn(&mut cache, "realm=old, nonce=n", at(100));
        learn(&mut cache, "realm=new, nonce=n", at(200));
        cache.forget_older_than(Duration::from_secs(60), at(50));
        assert_eq!(cache.realms().count(), 2);
        cache.forget_older_than(Duration::from_secs(60), at(161));
        assert_eq!(cache.realms().collect::<Vec<_>>(), [("new", false)]);
        cache.clear();
        assert!(cache.is_empty());
    }

    #[test]
    fn nonce_counts_are_reserved_again_when_half_of_them_are_used() {
        let mut cache = NonceCache::default();
        assert!(!cache.reserve(8));
        learn(&mut cache, "realm=r, nonce=n, qop=auth", at(0));
        let reserved: Vec<bool> = (0..6)
            .map(|_| {
                let reserved = cache.reserve(8);
                answer(&mut cache);
                reserved
            })
            .collect();
        assert_eq!(reserved, [true, false, false, false, false, true]);
    }

    #[test]
    fn debug_shows_no_answer() {
        let mut cache = NonceCache::default();
        learn(&mut cache, r#"realm="r", nonce="0123456789abcdefghij", qop="auth", opaque="topsecret""#, at(0));
        let value = answer(&mut cache).remove(0).1;
        let (_, response) = value.split_once("response=\"").expect("always there");
        let shown = format!("{cache:?}");
        assert!(!shown.contains(&response[..32]) && !shown.contains("012345") && !shown.contains("topsecret"));
        assert!(shown.contains("…ghij (20)"));
    }
}
