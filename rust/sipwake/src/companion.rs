//! The companion of another SIP stack, with a store and a clock: no socket, no runtime, no task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sipwake_core::account::{Account, AccountConfig, AccountKey};
use sipwake_core::beside::{self, Output, Register};
use sipwake_core::clock::Now;
#[cfg(feature = "sealed")]
use sipwake_core::event::Event;
use sipwake_core::payload::{Channel, Hints, Payload, PushAction, parse_push};
use sipwake_core::push::{Push, PushConfig};
use sipwake_core::snapshot::{CALLS, Durability, RECORD, REMOVALS, Record, binding_key};
use zeroize::{Zeroize, Zeroizing};

use crate::client::TokenUpdate;
use crate::clock::{fill_random, now};
#[cfg(feature = "sealed")]
use crate::error::Error;
use crate::job::Kept;
use crate::store::StateStore;

/// Another SIP stack registers and takes calls; the companion does everything that needs no socket. See
/// [`beside`] for what it does, and `docs/beside.md` for what the other stack must do.
///
/// ```
/// use std::sync::Arc;
/// use sipwake::{AccountConfig, Companion, Provider, PushConfig};
/// use sipwake::core::beside::{Heard, Next};
///
/// # let folder = tempfile::tempdir()?;
/// let mut companion = Companion::start(Arc::new(sipwake::FileStore::open(folder.path())?));
/// let push = PushConfig::new(Provider::Fcm, "my-project");
/// let alice = companion.add_account(AccountConfig::new("sip:alice@example.com", "wonderland"), Some(push))?;
/// companion.set_token(&alice, "c-10:APA91b")?;
///
/// let register = companion.register_tags(&alice)?; // into the other stack's next REGISTER
/// let answer = companion.with(|core, now| core.heard(&alice, &Heard::new(200, &[("Expires", "600")]), now))?;
/// assert_eq!(answer.next, Next::Nothing);
/// # assert_eq!(register.tags.headers.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Companion {
    core: beside::Companion,
    store: Arc<dyn StateStore>,
    told: VecDeque<Output>,
    #[cfg(feature = "sealed")]
    keyring: crate::keyring::Keyring,
}

impl std::fmt::Debug for Companion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Companion")
    }
}

impl Companion {
    /// Returns a companion with its records in this store. It continues log-outs that an earlier process could not deliver. A
    /// store has one client or companion at a time.
    pub fn start(store: Arc<dyn StateStore>) -> Self {
        let mut seed = [0; 32];
        fill_random(&mut seed);
        let (removals, failure) = match store.load(REMOVALS) {
            Ok(removals) => (removals.map(Zeroizing::new), None),
            Err(error) => (None, Some(error)),
        };
        let mut core = beside::Companion::new(seed, removals.as_ref().map(|record| record.as_slice()), now());
        if let Some(error) = failure {
            core.handle_loaded(REMOVALS, Err(error.into()), now());
        }
        let mut companion = Self {
            core,
            #[cfg(feature = "sealed")]
            keyring: crate::keyring::Keyring::new(store.clone()),
            store,
            told: VecDeque::new(),
        };
        companion.load(CALLS);
        companion.load(RECORD);
        companion.drain();
        companion
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. Its record is read from the store.
    ///
    /// # Errors
    /// A [`beside::Error::Field`] that names the field and the rule that it broke.
    pub fn add_account(
        &mut self,
        account: AccountConfig,
        push: Option<PushConfig>,
    ) -> Result<AccountKey, beside::Error> {
        let account = Account::parse(account)?;
        let push = push.map(Push::parse).transpose()?;
        let record = binding_key(&account.key());
        let stored = match self.store.load(&record) {
            Ok(stored) => stored.map(Zeroizing::new),
            Err(error) => {
                self.core.handle_loaded(&record, Err(error.into()), now());
                None
            }
        };
        self.with(|core, now| core.add_account(account, push, stored.as_ref().map(|record| record.as_slice()), now))
    }

    /// Sets the push token that the provider gave. An empty text, `null` and other words for nothing leave a good token as it is.
    ///
    /// # Errors
    /// [`beside::Error`] for an unknown account, one without push settings, or a text that is not a token.
    pub fn set_token(&mut self, account: &AccountKey, token: &str) -> Result<Kept, beside::Error> {
        self.set_tokens(account, Some(token), None)?;
        Ok(self.kept())
    }

    /// Takes PushKit's token and the one for alerts.
    ///
    /// # Errors
    /// As [`set_token`](Self::set_token).
    pub fn set_tokens(
        &mut self,
        account: &AccountKey,
        call: Option<&str>,
        alert: Option<&str>,
    ) -> Result<TokenUpdate, beside::Error> {
        let push = self.core.push_settings(account)?.ok_or(beside::Error::NoPush)?;
        let Some(token) = push.parse_token(call, alert)? else { return Ok(TokenUpdate::Ignored) };
        self.with(|core, now| core.set_token(account, token, now))?;
        Ok(match self.kept() {
            Kept::Durable => TokenUpdate::Taken,
            Kept::NotYetDurable => TokenUpdate::NotYetDurable,
        })
    }

    /// Returns what the other stack's next REGISTER must say. Everything that it depends on is stored first.
    ///
    /// # Errors
    /// As [`beside::Companion::register_tags`].
    pub fn register_tags(&mut self, account: &AccountKey) -> Result<Register, beside::Error> {
        self.with(|core, now| core.register_tags(account, now))
    }

    /// Logs out. If this returns [`Kept::Durable`], the log-out survives the process. It is over when a response to it has been
    /// handed in that ends it.
    ///
    /// # Errors
    /// [`beside::Error::NoSuchAccount`].
    pub fn log_out(&mut self, account: &AccountKey) -> Result<Kept, beside::Error> {
        self.with(|core, now| core.log_out(account, now))?;
        Ok(self.kept())
    }

    /// Opens a push if it is sealed, reads it and judges it. The action says what to tell the platform.
    pub fn push<'a>(&mut self, payload: impl Into<Payload<'a>>, channel: Channel, hints: &Hints) -> PushAction {
        let payload = payload.into();
        #[cfg(feature = "sealed")]
        if let Some((action, opened)) = self.keyring.open(payload, channel, hints) {
            if let Some(record) = opened
                && let Err(error) = self.store.save_progress(sipwake_core::sealed::PUSHES_OPENED, &record)
            {
                let (key, reason) = (sipwake_core::sealed::PUSHES_OPENED.to_owned(), error.to_string());
                self.told.push_back(Output::Event(Box::new(Event::StoreFailed { key, reason })));
            }
            return self.judge(action, hints);
        }
        self.judge(parse_push(payload, channel, hints), hints)
    }

    fn judge(&mut self, action: PushAction, hints: &Hints) -> PushAction {
        let action = self.core.gate().judge(action, hints, hints.received.boot);
        self.with(|core, now| core.handle_push(&action, now));
        action
    }

    /// Calls the core's companion with the current time, and stores the result before it returns.
    pub fn with<T>(&mut self, act: impl FnOnce(&mut beside::Companion, Now) -> T) -> T {
        let done = act(&mut self.core, now());
        self.drain();
        done
    }

    /// Returns the core's companion, to read.
    pub fn core(&self) -> &beside::Companion {
        &self.core
    }

    /// Returns what to tell the stack or the app next: [`Output::Register`], [`Output::Refuse`] or [`Output::Event`].
    pub fn poll(&mut self) -> Option<Output> {
        self.told.pop_front()
    }

    /// Returns how long it is until [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn timeout(&self) -> Option<Duration> {
        self.core.poll_timeout().map(|(at, _)| at.saturating_sub(now().boot))
    }

    /// Does what is due. It is harmless to call it too early or too late.
    pub fn handle_timeout(&mut self) {
        self.with(beside::Companion::handle_timeout);
    }

    /// Whether everything that was asked for is stored.
    pub fn kept(&self) -> Kept {
        if self.core.is_durable() { Kept::Durable } else { Kept::NotYetDurable }
    }

    /// Says that the store can be read and written again, because the device was unlocked.
    pub fn store_available(&mut self) {
        self.with(beside::Companion::store_available);
    }

    /// Switches do not disturb on until a time since 1970 ([`Duration::MAX`]: until further notice), or off: as
    /// [`Client::set_do_not_disturb`](crate::Client::set_do_not_disturb).
    ///
    /// # Errors
    /// [`beside::Error::NoSuchAccount`].
    pub fn set_do_not_disturb(&mut self, account: &AccountKey, until: Option<Duration>) -> Result<Kept, beside::Error> {
        self.with(|core, now| core.set_do_not_disturb(account, until, now))?;
        Ok(self.kept())
    }

    /// Returns the key for sealed pushes: as [`Client::push_key`](crate::Client::push_key).
    ///
    /// # Errors
    /// [`Error::Store`] while the store is shut or fails.
    #[cfg(feature = "sealed")]
    pub fn push_key(&self) -> Result<crate::PushKey, Error> {
        self.keyring.change(|keys| keys.create(fill_random))
    }

    /// Makes a new key pair for sealed pushes: as [`Client::rotate_push_key`](crate::Client::rotate_push_key). The tags of accounts that
    /// send it have the new one at once.
    ///
    /// # Errors
    /// As [`push_key`](Self::push_key).
    #[cfg(feature = "sealed")]
    pub fn rotate_push_key(&mut self) -> Result<crate::PushKey, Error> {
        let key = self.keyring.change(|keys| keys.rotate(now().wall, fill_random))?;
        self.with(|core, now| core.set_push_key(&key, now));
        Ok(key)
    }

    /// Imports a key for sealed pushes from a server: as [`Client::import_push_key`](crate::Client::import_push_key).
    ///
    /// # Errors
    /// [`Error::Key`], which says what is wrong with it, or as [`push_key`](Self::push_key).
    #[cfg(feature = "sealed")]
    pub fn import_push_key(&self, id: &str, key: &str) -> Result<(), Error> {
        Ok(self.keyring.change(|keys| keys.import(id, key))??)
    }

    /// Forgets an imported key. Returns whether there was one.
    ///
    /// # Errors
    /// As [`push_key`](Self::push_key).
    #[cfg(feature = "sealed")]
    pub fn forget_push_key(&self, id: &str) -> Result<bool, Error> {
        self.keyring.change(|keys| keys.forget(id))
    }

    /// Stores what must be stored, and keeps what the app must be told.
    fn drain(&mut self) {
        #[cfg(feature = "sealed")]
        if self.core.wants_push_key() {
            match self.push_key() {
                Ok(key) => self.core.set_push_key(&key, now()),
                Err(error) => log::info!("the key for sealed pushes is not in the tags yet: {error}"),
            }
        }
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Save(record) => self.save(record),
                Output::Load(key) => self.load(&key),
                told => self.told.push_back(told),
            }
        }
        if let Some(record) = self.core.poll_record()
            && let Err(error) = self.store.save_progress(RECORD, &record)
        {
            log::debug!("the black box is not stored: {error}");
        }
    }

    fn save(&mut self, mut record: Record) {
        let result = match &record.bytes {
            Some(bytes) if record.durability == Durability::Progress => self.store.save_progress(&record.key, bytes),
            Some(bytes) => self.store.save(&record.key, bytes),
            None => self.store.remove(&record.key),
        };
        record.bytes.zeroize();
        self.core.handle_saved(record.id, result.map_err(|error| error.to_string()), now());
    }

    fn load(&mut self, key: &str) {
        let loaded = self.store.load(key).map(|record| record.map(Zeroizing::new));
        let loaded = loaded.as_ref().map(|record| record.as_ref().map(|record| record.as_slice()));
        self.core.handle_loaded(key, loaded.map_err(|error| error.clone().into()), now());
    }
}
