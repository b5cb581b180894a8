//! Seals a push as a server does: `aes128gcm` for web push (RFC 8188, RFC 8291), and the envelope for a key from the
//! server. It shares no code and no library with the code that opens it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// Content is padded to the next of these sizes, in bytes, so that its length says little.
const BUCKETS: [usize; 5] = [256, 512, 1024, 2048, 2800];
const RECORD: u32 = 4096;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(from: &Prk, info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    from.expand(info, Length(N)).and_then(|okm| okm.fill(&mut out)).expect("it must not take too long");
    out
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has a random source");
    bytes
}

fn decode(name: &str, text: &str, length: usize) -> Result<Vec<u8>, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).ok().filter(|bytes| bytes.len() == length);
    bytes.ok_or_else(|| format!("{name}: must be {length} bytes in base64url"))
}

/// Seals content for a phone, given the two values of its push key. Returns the body of a web push.
///
/// # Errors
/// What is wrong with the key, or that the content is longer than 2,800 bytes.
pub fn web_push(p256dh: &str, auth: &str, content: &[u8]) -> Result<Vec<u8>, String> {
    let (theirs, auth) = (decode("p256dh", p256dh, 65)?, decode("auth", auth, 16)?);
    let size =
        BUCKETS.into_iter().find(|size| *size >= content.len()).ok_or("the content is longer than 2,800 bytes")?;
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).expect("the system has a random source");
    let own_public = own.compute_public_key().expect("a key has a public part");
    let info = [b"WebPush: info\0".as_slice(), &theirs, own_public.as_ref()];
    let input = agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, &theirs), |shared| {
        expand::<32>(&Salt::new(HKDF_SHA256, &auth).extract(shared), &info)
    });
    let input = input.map_err(|_| "p256dh: is not a point of the curve".to_owned())?;
    let salt = random::<16>();
    let keys = Salt::new(HKDF_SHA256, &salt).extract(&input);
    let key: [u8; 16] = expand(&keys, &[b"Content-Encoding: aes128gcm\0"]);
    let nonce: [u8; NONCE_LEN] = expand(&keys, &[b"Content-Encoding: nonce\0"]);
    let mut record = [content, &[2]].concat();
    record.resize(size + 1, 0);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("16 bytes"));
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record).expect("short enough");
    Ok([&salt[..], &RECORD.to_be_bytes(), &[65], own_public.as_ref(), &record].concat())
}

/// As [`web_push`], but as the text under `sealed` in a push over FCM or APNs.
///
/// # Errors
/// As [`web_push`].
pub fn sealed(p256dh: &str, auth: &str, content: &[u8]) -> Result<String, String> {
    Ok(URL_SAFE_NO_PAD.encode(web_push(p256dh, auth, content)?))
}

/// Seals content with a key from the server. Returns the text under `sealed`.
///
/// # Errors
/// What is wrong with the key, or that the content is longer than 2,800 bytes.
pub fn with_shared_key(id: &str, key: &str, content: &[u8]) -> Result<String, String> {
    let key = decode("key", key, 32)?;
    if content.len() > BUCKETS[BUCKETS.len() - 1] {
        return Err("the content is longer than 2,800 bytes".to_owned());
    }
    let (nonce, head) = (random::<NONCE_LEN>(), format!("k1.{id}"));
    let mut sealed = content.to_vec();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("32 bytes"));
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(head.as_bytes()), &mut sealed)
        .expect("short enough");
    Ok(format!("{head}.{}.{}", URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(sealed)))
}
