//! Pushes that nobody on the path can read. Google, Apple or a gateway carries them, and only this phone can open them.
//!
//! There are two envelopes. `aes128gcm` of web push (RFC 8188, RFC 8291) seals for a key pair that the phone made. Any
//! web-push library writes it. The other envelope is for servers that hand over a key on a secure way. `docs/sealed.md`
//! describes both, and says what stays readable.

mod shared_key;
mod web_push;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use shared_key::SharedKey;
use web_push::KeyPair;

pub use crate::error::Unopened;
use crate::snapshot::{Damage, open, seal};

/// The key of the record that holds the keys. It is a secret: it opens this phone's pushes.
pub const PUSH_KEYS: &str = "push-keys";
/// The key of the record that says which pushes were opened already.
pub const PUSHES_OPENED: &str = "pushes-opened";

/// The longest content, padding included, in bytes: with it a sealed push fits FCM's and APNs' 4,096.
pub const MAX_CONTENT: usize = 2800;
/// The longest text under `sealed`: the longest content with its overhead, in base64, and some room.
const MAX_SEALED: usize = 6 * 1024;
/// How long a former key pair still opens pushes. No push service keeps a message for longer.
const FORMER: Duration = Duration::from_secs(30 * 24 * 3600);
const MAX_FORMER: usize = 4;
/// How many imported keys there may be.
const MAX_SHARED: usize = 16;
/// How many opened pushes are remembered, so that none is accepted twice.
const MAX_OPENED: usize = 512;

/// The public part, for the server. Anybody who has both values can seal pushes for this phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushKey {
    /// The phone's P-256 key: 65 bytes, uncompressed, in base64url without padding, as `p256dh` of a web push subscription.
    pub p256dh: String,
    /// The auth secret: 16 bytes in base64url without padding, as `auth` of a web push subscription.
    pub auth: String,
}

/// Why a key was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyError {
    /// The name of a key has 1 to 64 characters: letters, digits, `-` and `_`.
    #[error("key id: must be 1 to 64 letters, digits, - or _")]
    Id,
    /// A key for AES-256 has 32 bytes.
    #[error("key: must be 32 bytes in base64url")]
    Key,
    /// There are 16 already: remove one.
    #[error("key: there are already 16 keys")]
    TooMany,
}

/// The keys of one phone, and which pushes they have opened.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PushKeys {
    current: Option<KeyPair>,
    #[serde(default)]
    former: Vec<FormerKey>,
    #[serde(default)]
    shared: Vec<SharedKey>,
    #[serde(skip)]
    opened: Opened,
    /// The keys cannot be read. Nobody knows which ones there are.
    #[serde(skip)]
    unreadable: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct FormerKey {
    pair: KeyPair,
    /// Until when the key opens pushes: wall time, in seconds since 1970.
    until: u64,
}

/// Hashes of the pushes that were opened, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Opened(VecDeque<u64>);

impl Opened {
    /// Notes a push. Returns `false` if it was noted before.
    fn note(&mut self, unique: &[u8]) -> bool {
        let digest = Sha256::digest(unique);
        let hash = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
        if self.0.contains(&hash) {
            return false;
        }
        if self.0.len() == MAX_OPENED {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        true
    }
}

impl PushKeys {
    /// Returns a stand-in for keys that cannot be read now. It opens nothing, and says of a sealed push that it may
    /// open later.
    pub fn unreadable() -> Self {
        Self { unreadable: true, ..Self::default() }
    }

    /// Returns `true` if there is no key, so that no push can be sealed for this phone.
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.former.is_empty() && self.shared.is_empty()
    }

    /// Returns the public part of the present key pair, for the server, or `None` before [`create`](Self::create).
    pub fn public(&self) -> Option<PushKey> {
        self.current.as_ref().map(KeyPair::public)
    }

    /// Returns the public part of the present key pair. If there is none, it makes one. `fill` must give unguessable
    /// bytes.
    pub fn create(&mut self, fill: impl FnMut(&mut [u8])) -> PushKey {
        self.current.get_or_insert_with(|| KeyPair::generate(fill)).public()
    }

    /// Makes a new key pair. The former one still opens pushes for 30 days. `wall` is the time since 1970.
    pub fn rotate(&mut self, wall: Duration, fill: impl FnMut(&mut [u8])) -> PushKey {
        let until = wall.saturating_add(FORMER).as_secs();
        self.former.retain(|former| former.until > wall.as_secs());
        if let Some(pair) = self.current.replace(KeyPair::generate(fill)) {
            self.former.insert(0, FormerKey { pair, until });
            self.former.truncate(MAX_FORMER);
        }
        self.create(|_| unreachable!("there is one"))
    }

    /// Imports a key from a server, in base64url, with the name that its pushes use for it. The same name again
    /// replaces the key.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with the key. Then nothing has changed.
    pub fn import(&mut self, id: &str, key: &str) -> Result<(), KeyError> {
        let key = SharedKey::parse(id, key)?;
        let others = self.shared.iter().filter(|known| known.id() != id).count();
        if others == MAX_SHARED {
            return Err(KeyError::TooMany);
        }
        self.shared.retain(|known| known.id() != id);
        self.shared.push(key);
        Ok(())
    }

    /// Forgets an imported key. Returns whether there was one.
    pub fn forget(&mut self, id: &str) -> bool {
        let before = self.shared.len();
        self.shared.retain(|known| known.id() != id);
        self.shared.len() < before
    }

    /// Takes over which pushes an earlier process has opened.
    fn recall(&mut self, earlier: Opened) {
        let since = std::mem::replace(&mut self.opened, earlier);
        for hash in since.0.into_iter().filter(|hash| !self.opened.0.contains(hash)).collect::<Vec<_>>() {
            self.opened.0.push_back(hash);
        }
        self.opened.0.drain(..self.opened.0.len().saturating_sub(MAX_OPENED));
    }

    /// Opens the text that a payload has under `sealed`. `wall` is the time since 1970.
    ///
    /// # Errors
    /// [`Unopened`]. Then nothing is noted.
    pub fn open(&mut self, sealed: &str, wall: Duration) -> Result<HashMap<String, String>, Unopened> {
        let sealed = sealed.trim();
        if sealed.len() > MAX_SEALED {
            return Err(Unopened::TooLarge);
        }
        if let Some(envelope) = sealed.strip_prefix(shared_key::PREFIX) {
            let opened = shared_key::open(&self.shared, envelope);
            let (unique, content) =
                opened.map_err(|why| if why == Unopened::Foreign { self.is_for_nobody() } else { why })?;
            return self.read(&unique, content);
        }
        let body = decode(sealed).ok_or(Unopened::Torn)?;
        self.open_body(&body, wall)
    }

    /// Opens the unchanged body of a web push, for instance from UnifiedPush. `wall` is the time since 1970.
    ///
    /// # Errors
    /// [`Unopened`]. Then nothing is noted.
    pub fn open_body(&mut self, body: &[u8], wall: Duration) -> Result<HashMap<String, String>, Unopened> {
        let message = web_push::Message::parse(body)?;
        let alive = self.former.iter().filter(|former| former.until > wall.as_secs()).map(|former| &former.pair);
        let content = self.current.iter().chain(alive).find_map(|pair| message.open(pair));
        let content = content.ok_or_else(|| self.is_for_nobody())?;
        self.read(message.unique(), content?)
    }

    /// Whether bytes have the form of a web push's body, even if they are torn or too large.
    pub(crate) fn is_envelope(body: &[u8]) -> bool {
        web_push::is_envelope(body)
    }

    fn is_for_nobody(&self) -> Unopened {
        if self.unreadable { Unopened::KeysUnreadable } else { Unopened::Foreign }
    }

    /// Returns the keys as a record. Store it as [`PUSH_KEYS`], then overwrite it in memory.
    pub fn to_record(&self) -> Vec<u8> {
        seal(self)
    }

    /// Reads the record [`PUSH_KEYS`].
    ///
    /// # Errors
    /// [`Damage`] if it is not such a record.
    pub fn from_record(record: &[u8]) -> Result<Self, Damage> {
        open(record)
    }

    /// Returns which pushes were opened, as a record. Store it as [`PUSHES_OPENED`].
    pub fn opened_record(&self) -> Vec<u8> {
        seal(&self.opened)
    }

    /// Takes up the record [`PUSHES_OPENED`] of an earlier process.
    ///
    /// # Errors
    /// [`Damage`] if it is not such a record.
    pub fn recall_record(&mut self, record: &[u8]) -> Result<(), Damage> {
        self.recall(open(record)?);
        Ok(())
    }

    fn read(&mut self, unique: &[u8], content: Content) -> Result<HashMap<String, String>, Unopened> {
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&content.0).map_err(|_| Unopened::Unreadable)?;
        if !self.opened.note(unique) {
            return Err(Unopened::Replayed);
        }
        let text = |value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(fields.into_iter().map(|(name, value)| (name, text(value))).collect())
    }
}

/// Reads base64 in either alphabet, with or without padding. Servers write all of them.
fn decode(text: &str) -> Option<Vec<u8>> {
    let url_safe = |letter| match letter {
        '+' => '-',
        '/' => '_',
        other => other,
    };
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=').chars().map(url_safe).collect::<String>()).ok()
}

/// Decrypted content, which is wiped when it is dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Content(Vec<u8>);

#[cfg(test)]
mod tests;
