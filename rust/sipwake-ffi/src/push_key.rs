//! The phone's keys for sealed pushes.

use sipwake::Client;

use crate::beside::SipWakeCompanion;
use crate::client::SipWakeClient;
use crate::error::SipWakeError;

/// The public part of this phone's key for sealed pushes. Anybody who has both values can seal pushes for this phone,
/// and forge them.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct PushKey {
    /// As `p256dh` of a web push subscription: 65 bytes in base64url without padding.
    pub p256dh: String,
    /// As `auth` of a web push subscription: 16 bytes in base64url without padding.
    pub auth: String,
}

impl From<sipwake::PushKey> for PushKey {
    fn from(key: sipwake::PushKey) -> Self {
        Self { p256dh: key.p256dh, auth: key.auth }
    }
}

#[uniffi::export]
impl SipWakeClient {
    /// Returns the public part of this phone's key for sealed pushes. The first call makes and stores the key.
    ///
    /// # Errors
    /// `Store` while the store is shut or fails, because a key that may be lost is of no use. `ShutDown`.
    pub async fn push_key(&self) -> Result<PushKey, SipWakeError> {
        self.with_keys(|client| client.push_key().map(Into::into)).await
    }

    /// Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30
    /// days.
    ///
    /// # Errors
    /// As `push_key`.
    pub async fn rotate_push_key(&self) -> Result<PushKey, SipWakeError> {
        self.with_keys(|client| client.rotate_push_key().map(Into::into)).await
    }

    /// Imports a key for sealed pushes that a server gave over a secure connection: 32 bytes in base64url, with the
    /// name that the pushes use for it. The same name again replaces the key.
    ///
    /// # Errors
    /// `InvalidField` says what is wrong with the key. Otherwise as `push_key`.
    pub async fn import_push_key(&self, id: String, key: String) -> Result<(), SipWakeError> {
        self.with_keys(move |client| client.import_push_key(&id, &key)).await
    }

    /// Forgets an imported key. Returns whether there was one.
    ///
    /// # Errors
    /// As `push_key`.
    pub async fn forget_push_key(&self, id: String) -> Result<bool, SipWakeError> {
        self.with_keys(move |client| client.forget_push_key(&id)).await
    }
}

#[uniffi::export]
impl SipWakeCompanion {
    /// Returns the public part of this phone's key for sealed pushes. The first call makes and stores the key.
    ///
    /// # Errors
    /// `Store` while the store is shut or fails, `ShutDown`.
    pub fn push_key(&self) -> Result<PushKey, SipWakeError> {
        self.with(|companion| Ok(companion.push_key()?.into()))
    }

    /// Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30 days.
    ///
    /// # Errors
    /// As `push_key`.
    pub fn rotate_push_key(&self) -> Result<PushKey, SipWakeError> {
        self.with(|companion| Ok(companion.rotate_push_key()?.into()))
    }

    /// Imports a key for sealed pushes that a server gave, as the client's `import_push_key` does.
    ///
    /// # Errors
    /// `InvalidField` says what is wrong with the key. Otherwise as `push_key`.
    pub fn import_push_key(&self, id: String, key: String) -> Result<(), SipWakeError> {
        self.with(|companion| Ok(companion.import_push_key(&id, &key)?))
    }

    /// Forgets an imported key. Returns whether there was one.
    ///
    /// # Errors
    /// As `push_key`.
    pub fn forget_push_key(&self, id: String) -> Result<bool, SipWakeError> {
        self.with(|companion| Ok(companion.forget_push_key(&id)?))
    }
}

impl SipWakeClient {
    /// Uses the keys on a separate thread, because it waits for the store.
    async fn with_keys<T: Send + 'static>(
        &self,
        act: impl FnOnce(Client) -> Result<T, sipwake::Error> + Send + 'static,
    ) -> Result<T, SipWakeError> {
        let client = self.client.clone();
        let done = self.runtime.handle().spawn_blocking(move || act(client));
        self.unless_over(async { done.await.unwrap_or(Err(sipwake::Error::ShutDown)) }).await
    }
}
