//! `aes128gcm` for web push: RFC 8188, with the keys of RFC 8291.

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes128Gcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::{PublicKey, SecretKey, ecdh};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::{Content, MAX_CONTENT, PushKey, Unopened};

const SALT: usize = 16;
const AUTH: usize = 16;
/// An uncompressed P-256 point (RFC 8291 section 3.1).
const POINT: usize = 65;
/// Salt, record size, length of the key id (RFC 8188 section 2.1).
const HEADER: usize = SALT + 4 + 1;
/// GCM's tag, and the byte that ends the content.
const OVERHEAD: usize = 16 + 1;
/// Ends the content of the last record; the zeros after it are padding (RFC 8188 section 2).
const LAST: u8 = 2;

/// Whether bytes begin like a web push's body. After salt and record size come the length of the sender's key and its
/// first byte, which is 4 for an uncompressed point. No JSON has that byte, whatever the salt looks like.
pub(super) fn is_envelope(body: &[u8]) -> bool {
    body.get(HEADER - 1..=HEADER) == Some(&[POINT as u8, 4])
}

/// A key pair that this phone made, and its auth secret.
pub(super) struct KeyPair {
    secret: SecretKey,
    public: [u8; POINT],
    auth: [u8; AUTH],
}

impl KeyPair {
    pub(super) fn generate(mut fill: impl FnMut(&mut [u8])) -> Self {
        let mut auth = [0; AUTH];
        fill(&mut auth);
        let mut scalar = Zeroizing::new([0; 32]);
        // One number in four thousand million is not a scalar of the curve.
        loop {
            fill(scalar.as_mut_slice());
            if let Ok(secret) = SecretKey::from_slice(scalar.as_slice()) {
                return Self::new(secret, auth);
            }
        }
    }

    fn new(secret: SecretKey, auth: [u8; AUTH]) -> Self {
        let point = secret.public_key().to_encoded_point(false);
        let public = point.as_bytes().try_into().expect("an uncompressed point has 65 bytes");
        Self { secret, public, auth }
    }

    pub(super) fn public(&self) -> PushKey {
        PushKey { p256dh: URL_SAFE_NO_PAD.encode(self.public), auth: URL_SAFE_NO_PAD.encode(self.auth) }
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        // The secret key wipes itself.
        self.auth.zeroize();
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair")
    }
}

impl Serialize for KeyPair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut both = Zeroizing::new([0; 32 + AUTH]);
        both[..32].copy_from_slice(Zeroizing::new(self.secret.to_bytes()).as_slice());
        both[32..].copy_from_slice(&self.auth);
        Zeroizing::new(URL_SAFE_NO_PAD.encode(both.as_slice())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map(Zeroizing::new).map_err(serde::de::Error::custom)?;
        let (secret, auth) = bytes.split_at_checked(32).ok_or_else(|| serde::de::Error::custom("too short"))?;
        let secret = SecretKey::from_slice(secret).map_err(serde::de::Error::custom)?;
        Ok(Self::new(secret, auth.try_into().map_err(serde::de::Error::custom)?))
    }
}

/// The parts of a web push's body.
pub(super) struct Message<'a> {
    salt: &'a [u8],
    /// The sender's key. It is made for this message only.
    sender: PublicKey,
    sender_bytes: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Message<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Unopened> {
        let (header, rest) = body.split_at_checked(HEADER).ok_or(Unopened::Torn)?;
        let (salt, sizes) = header.split_at(SALT);
        let record = u32::from_be_bytes(sizes[..4].try_into().expect("four bytes")) as usize;
        let id = usize::from(sizes[4]);
        let (sender_bytes, sealed) = rest.split_at_checked(id).ok_or(Unopened::Torn)?;
        // Only one record is allowed (RFC 8291 section 4). With more, a middlebox could cut some off unnoticed.
        if id != POINT || sealed.len() < OVERHEAD || record < sealed.len() {
            return Err(Unopened::Torn);
        }
        if sealed.len() > MAX_CONTENT + OVERHEAD {
            return Err(Unopened::TooLarge);
        }
        let sender = PublicKey::from_sec1_bytes(sender_bytes).map_err(|_| Unopened::Torn)?;
        Ok(Self { salt, sender, sender_bytes, sealed })
    }

    /// The part that is different in each message.
    pub(super) fn unique(&self) -> &'a [u8] {
        self.salt
    }

    /// Returns `None` if the message is not for this key pair.
    pub(super) fn open(&self, pair: &KeyPair) -> Option<Result<Content, Unopened>> {
        let (key, nonce) = self.keys(pair);
        let content = Aes128Gcm::new(key.as_slice().into()).decrypt(Nonce::from_slice(&nonce), self.sealed).ok()?;
        Some(unpadded(Content(content)))
    }

    /// RFC 8291 section 3.4.
    fn keys(&self, pair: &KeyPair) -> (Zeroizing<[u8; 16]>, [u8; 12]) {
        let shared = ecdh::diffie_hellman(pair.secret.to_nonzero_scalar(), self.sender.as_affine());
        let mut input = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(&pair.auth), shared.raw_secret_bytes())
            .expand_multi_info(&[b"WebPush: info\0", &pair.public, self.sender_bytes], input.as_mut_slice())
            .expect("32 bytes are not too many");
        record_keys(self.salt, input.as_slice())
    }
}

/// RFC 8188 sections 2.2 and 2.3, for the first record.
fn record_keys(salt: &[u8], input: &[u8]) -> (Zeroizing<[u8; 16]>, [u8; 12]) {
    let expand = Hkdf::<Sha256>::new(Some(salt), input);
    let (mut key, mut nonce) = (Zeroizing::new([0; 16]), [0; 12]);
    expand.expand(b"Content-Encoding: aes128gcm\0", key.as_mut_slice()).expect("16 bytes are not too many");
    expand.expand(b"Content-Encoding: nonce\0", &mut nonce).expect("12 bytes are not too many");
    (key, nonce)
}

/// Cuts off the padding and the byte that ends the content.
fn unpadded(mut content: Content) -> Result<Content, Unopened> {
    let end = content.0.iter().rposition(|byte| *byte != 0).ok_or(Unopened::Torn)?;
    if content.0[end] != LAST {
        return Err(Unopened::Torn);
    }
    content.0.truncate(end);
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(base64url: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(base64url).expect("base64url")
    }

    #[test]
    fn the_example_of_rfc_8291_opens() {
        let secret = SecretKey::from_slice(&bytes("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")).expect("a scalar");
        let pair = KeyPair::new(secret, bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().expect("16 bytes"));
        let public = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        assert_eq!(pair.public().p256dh, public);
        let body = bytes(concat!(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml",
            "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT",
            "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
        ));
        let content = Message::parse(&body).expect("one record").open(&pair).expect("for this pair").expect("it ends");
        assert_eq!(content.0, b"When I grow up, I want to be a watermelon");
    }

    #[test]
    fn the_keys_of_the_first_example_of_rfc_8188_open_its_record() {
        let body = bytes("I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg");
        let (key, nonce) = record_keys(&body[..SALT], &bytes("yqdlZ-tYemfogSmv7Ws5PQ"));
        let content = Aes128Gcm::new(key.as_slice().into()).decrypt(Nonce::from_slice(&nonce), &body[HEADER..]);
        assert_eq!(unpadded(Content(content.expect("it opens"))).expect("it ends").0, b"I am the walrus");
    }
}
