//! The envelope for servers that pass on a key in a secure way: AES-256-GCM.
//!
//! ```text
//! "k1." key-id "." base64url(nonce, 12 bytes) "." base64url(ciphertext and tag)
//! ```
//!
//! Everything before the nonce is authenticated, too. A nonce is used only once with a key.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Content, KeyError, MAX_CONTENT, Unopened, decode};
use crate::redact::Secret;

/// The version at the start. It tells this envelope from `aes128gcm`.
pub(super) const PREFIX: &str = "k1.";
const MAX_ID: usize = 64;
const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// A key that came from a server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SharedKey {
    id: String,
    /// In base64.
    key: Secret,
}

impl SharedKey {
    pub(super) fn parse(id: &str, key: &str) -> Result<Self, KeyError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(legal) {
            return Err(KeyError::Id);
        }
        let key = key.trim();
        decoded(key).ok_or(KeyError::Key)?;
        Ok(Self { id: id.to_owned(), key: Secret::new(key) })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

fn decoded(key: &str) -> Option<Zeroizing<Vec<u8>>> {
    decode(key).map(Zeroizing::new).filter(|key| key.len() == KEY)
}

/// Opens what follows the version. Returns the part that is different in each envelope, and the content.
pub(super) fn open(keys: &[SharedKey], envelope: &str) -> Result<(Vec<u8>, Content), Unopened> {
    let mut parts = envelope.split('.');
    let (Some(id), Some(nonce), Some(sealed), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Unopened::Torn);
    };
    let bytes = |text: &str| decode(text).ok_or(Unopened::Torn);
    let (nonce, sealed) = (bytes(nonce)?, bytes(sealed)?);
    if nonce.len() != NONCE || sealed.len() < TAG {
        return Err(Unopened::Torn);
    }
    if sealed.len() > MAX_CONTENT + TAG {
        return Err(Unopened::TooLarge);
    }
    let key =
        keys.iter().find(|key| key.id == id).and_then(|key| decoded(key.key.expose())).ok_or(Unopened::Foreign)?;
    let aad = [PREFIX, id].concat();
    let payload = Payload { msg: &sealed, aad: aad.as_bytes() };
    let content = Aes256Gcm::new(key.as_slice().into()).decrypt(Nonce::from_slice(&nonce), payload);
    let content = content.map_err(|_| Unopened::Foreign)?;
    Ok(([id.as_bytes(), &nonce].concat(), Content(content)))
}
