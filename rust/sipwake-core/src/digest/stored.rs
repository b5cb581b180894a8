//! The stored form of the nonce cache.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::NonceCache;
use super::challenge::MAX_LIVE;
use super::host::HostId;
use super::nonce::Nonce;
use crate::snapshot::each_readable;

impl Serialize for NonceCache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.nonces.serialize(serializer)
    }
}

/// Reads the stored nonces one by one, and drops those that this version would not keep.
impl<'de> Deserialize<'de> for NonceCache {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut cache = Self::default();
        for mut entry in each_readable::<_, Nonce, Vec<_>>(deserializer)? {
            entry.used = entry.reserved;
            if !entry.algorithm.is_session() {
                entry.session = None;
            }
            cache.turn_to(entry.host);
            let is_new = cache.nonces.len() < MAX_LIVE && cache.position(&entry.realm, entry.proxy).is_none();
            if is_new && entry.is_keepable() {
                cache.nonces.push(entry);
            }
        }
        cache.turn_to(HostId::default());
        Ok(cache)
    }
}

pub(super) mod milliseconds {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Now;
    use crate::digest::{Credentials, parse_challenges};
    use crate::redact::Secret;

    const NOW: Now = Now::new(Duration::ZERO, Duration::from_secs(1_700_000_000));
    const AHEAD: u32 = 8;

    fn learn(cache: &mut NonceCache, parameters: &str) {
        cache.learn(&parse_challenges([format!("Digest {parameters}").as_str()], [])[0], NOW);
    }

    fn answer(cache: &mut NonceCache) -> Vec<String> {
        let credentials = Credentials::Password(Secret::new("xxx"));
        let fields = cache.authorize("cool", &credentials, "REGISTER", "sip:example.com", b"", "c");
        fields.into_iter().map(|(_, value)| value).collect()
    }

    fn store(cache: &NonceCache) -> String {
        serde_json::to_string(cache).expect("it has only text keys")
    }

    fn restore(disk: &str) -> NonceCache {
        serde_json::from_str(disk).expect("stored by this version")
    }

    #[test]
    fn a_restored_cache_counts_on_after_the_reserved_counts() {
        let mut cache = NonceCache::default();
        learn(&mut cache, r#"realm="r", nonce="n", opaque="o", algorithm=MD5-sess, qop="auth""#);
        assert!(cache.reserve(AHEAD));
        let first = answer(&mut cache).remove(0);
        assert!(!cache.reserve(AHEAD));
        let later = answer(&mut restore(&store(&cache))).remove(0);
        assert!(first.contains("nc=00000001") && later.contains("nc=00000009"), "{first} {later}");
        assert!(later.contains(r#"opaque="o""#) && later.contains(r#"cnonce="c""#));
    }

    #[test]
    fn entries_that_this_version_would_not_keep_are_dropped_one_by_one() {
        let mut cache = NonceCache::default();
        learn(&mut cache, "realm=good, nonce=n");
        learn(&mut cache, "realm=line, nonce=n");
        learn(&mut cache, "realm=hash, nonce=n, algorithm=SHA-256");
        let disk =
            store(&cache).replace("line", "li\\r\\nne").replace(r#""algorithm":"SHA-256""#, r#""algorithm":"SHA-9""#);
        assert_eq!(restore(&disk).realms().collect::<Vec<_>>(), [("good", false)]);
        let one = store(&restore(&disk)).trim_matches(['[', ']']).to_owned();
        let many: Vec<String> = (0..9).map(|index| one.replace("good", &format!("r{index}"))).collect();
        assert_eq!(restore(&format!("[{}]", many.join(","))).realms().count(), 4);
    }

    #[test]
    fn a_spent_count_is_not_sent_again() {
        let mut cache = NonceCache::default();
        learn(&mut cache, "realm=r, nonce=n");
        let mut spent = restore(&store(&cache).replace(r#""nc":0"#, &format!(r#""nc":{}"#, u32::MAX)));
        assert!(spent.is_empty() && !spent.reserve(AHEAD));
        assert_eq!(answer(&mut spent), Vec::<String>::new());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Answer,
        Store,
        Kill,
        SameChallenge,
        NewChallenge,
        NextNonce,
        Refused,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => Just(Step::Answer),
            1 => Just(Step::Store),
            2 => Just(Step::Kill),
            1 => Just(Step::SameChallenge),
            1 => Just(Step::NewChallenge),
            1 => Just(Step::NextNonce),
            1 => Just(Step::Refused),
        ];
        proptest::collection::vec(step, 1..120)
    }

    proptest! {
        #[test]
        fn a_nonce_count_only_grows_even_if_the_process_is_killed(steps in steps()) {
            let credentials = Credentials::Password(Secret::new("xxx"));
            let mut cache = NonceCache::default();
            let mut disk = store(&cache);
            let mut nonce = 0;
            let mut sent: HashMap<String, u32> = HashMap::new();
            for step in steps {
                match step {
                    Step::Answer => {
                        if cache.reserve(AHEAD) {
                            disk = store(&cache);
                        }
                        for value in answer(&mut cache) {
                            let (head, nc) = value.split_once("nc=").expect("qop is on offer");
                            let (_, used) = head.split_once(" nonce=").expect("always there");
                            let used = used.split(',').next().expect("never empty").to_owned();
                            let nc = u32::from_str_radix(nc, 16).expect("hex");
                            let former = sent.insert(used, nc).unwrap_or(0);
                            prop_assert!(nc > former && nc <= former + 1 + AHEAD * 120);
                        }
                    }
                    Step::Store => disk = store(&cache),
                    Step::Kill => cache = restore(&disk),
                    Step::SameChallenge => learn(&mut cache, &format!("realm=r, nonce=n{nonce}, qop=auth")),
                    Step::NewChallenge => {
                        nonce += 1;
                        learn(&mut cache, &format!("realm=r, nonce=n{nonce}, qop=auth"));
                    }
                    Step::NextNonce => {
                        nonce += 1;
                        let info = format!("nextnonce=\"n{nonce}\"");
                        cache.next_nonce(&info, false, "cool", &credentials, b"", NOW);
                    }
                    Step::Refused => cache.invalidate("r", false),
                }
            }
        }

        #[test]
        fn arbitrary_stored_text_never_panics(disk in r#"\[(\{"realm":"[a-z]{0,3}","proxy":(true|1),"nonce":"\PC{0,9}"\}?,?){0,3}\]?"#) {
            let _ = serde_json::from_str::<NonceCache>(&disk);
        }
    }
}
