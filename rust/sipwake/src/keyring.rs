//! The phone's keys for sealed pushes in its store.

use std::sync::{Arc, Mutex, PoisonError};

use sipwake_core::clock::Now;
use sipwake_core::payload::{Channel, Hints, Payload, PushAction, parse_push_with_keys};
use sipwake_core::sealed::{PUSH_KEYS, PUSHES_OPENED, PushKeys};
use sipwake_core::snapshot::Damage;
use zeroize::Zeroizing;

use crate::clock::fill_random;
use crate::error::Error;
use crate::job::Agent;
use crate::store::{StateStore, StoreError};

/// The keys in a store. They are read when they are first needed. While the store is shut, they are read again each
/// time.
pub(crate) struct Keyring {
    store: Arc<dyn StateStore>,
    keys: Mutex<Option<PushKeys>>,
}

impl Keyring {
    pub(crate) fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store, keys: Mutex::new(None) }
    }

    /// Reads a push that is sealed for this phone. Also returns the record to store under [`PUSHES_OPENED`].
    pub(crate) fn open(
        &self,
        payload: Payload<'_>,
        channel: Channel,
        hints: &Hints,
    ) -> Option<(PushAction, Option<Vec<u8>>)> {
        let mut held = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unreadable = PushKeys::unreadable();
        let keys = match self.read(&mut held) {
            Ok(keys) if keys.is_empty() => return None,
            Ok(keys) => keys,
            Err(error) => {
                // Without its key a sealed push says nothing, but it is recognised.
                log::info!("the keys for sealed pushes cannot be read now: {error}");
                &mut unreadable
            }
        };
        let action = parse_push_with_keys(keys, payload, channel, hints)?;
        let opened = (!action.unverified).then(|| keys.opened_record());
        Some((action, opened))
    }

    /// Gives the core the public part of this phone's key, if an account sends it.
    pub(crate) fn hand_over(&self, agent: &mut Agent, now: Now) {
        if !agent.wants_push_key() {
            return;
        }
        match self.change(|keys| keys.create(fill_random)) {
            Ok(key) => agent.set_push_key(&key, now),
            Err(error) => log::info!("the key for sealed pushes is not sent yet: {error}"),
        }
    }

    /// Changes the keys, and stores them before it returns.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut PushKeys) -> R) -> Result<R, Error> {
        let mut held = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.read(&mut held).map_err(Error::Store)?;
        let result = change(keys);
        let record = Zeroizing::new(keys.to_record());
        if let Err(error) = self.store.save(PUSH_KEYS, &record) {
            // What is not stored does not count: a server must not seal for a key that is lost with the process.
            *held = None;
            return Err(Error::Store(error));
        }
        Ok(result)
    }

    fn read<'k>(&self, held: &'k mut Option<PushKeys>) -> Result<&'k mut PushKeys, StoreError> {
        if held.is_none() {
            let mut keys = stored_keys(&*self.store)?;
            if let Some(opened) = self.store.load(PUSHES_OPENED)?
                && let Err(why) = keys.recall_record(&opened)
            {
                damaged(PUSHES_OPENED, &why);
            }
            *held = Some(keys);
        }
        Ok(held.as_mut().expect("it was just read"))
    }
}

/// Reads a push that is sealed for this phone, in a process that has no client. `None` if it is not sealed.
pub(crate) fn open_beside(
    store: &dyn StateStore,
    payload: Payload<'_>,
    channel: Channel,
    hints: &Hints,
) -> Option<PushAction> {
    let mut keys = match stored_keys(store) {
        Ok(keys) if keys.is_empty() => return None,
        Ok(keys) => keys,
        Err(error) => {
            log::info!("the keys for sealed pushes cannot be read now: {error}");
            PushKeys::unreadable()
        }
    };
    parse_push_with_keys(&mut keys, payload, channel, hints)
}

fn stored_keys(store: &dyn StateStore) -> Result<PushKeys, StoreError> {
    let record = store.load(PUSH_KEYS)?.map(Zeroizing::new);
    let keys = record.and_then(|record| PushKeys::from_record(&record).inspect_err(|why| damaged(PUSH_KEYS, why)).ok());
    Ok(keys.unwrap_or_default())
}

fn damaged(what: &str, damage: &Damage) {
    log::warn!("{what}: {damage}; it begins empty");
}
