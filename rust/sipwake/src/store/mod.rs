//! Where the core's records are kept. On a phone the app brings its own store; on a desktop there is [`FileStore`].

mod file;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use sipwake_core::user_agent::Unreadable;

pub use file::FileStore;

/// Why a record could not be stored or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub StoreFault);

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// It is shut for now, as a phone's is before it was unlocked for the first time (iOS: `errSecInteractionNotAllowed`).
    #[error("the store is shut: {0}")]
    Shut(String),
    /// Another process writes to it, or it was opened for reading only.
    #[error("{0}")]
    NotTheWriter(String),
    /// It fails, or what it holds cannot be read.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for StoreFault {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<&str> for StoreFault {
    fn from(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string().into())
    }
}

impl From<StoreError> for Unreadable {
    fn from(StoreError(fault): StoreError) -> Self {
        match fault {
            StoreFault::Shut(_) => Self::Shut,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl StoreError {
    /// The store is shut for now.
    pub fn shut(reason: impl Into<String>) -> Self {
        Self(StoreFault::Shut(reason.into()))
    }
}

/// Keeps a handful of small records. They hold secrets (tokens, HA1 values): encrypt them, and let no backup take them along.
///
/// The calls are made by the driver, which waits for them: a record must be safe before what depends on it is sent.
///
/// One process writes to a store at a time; any number may read. A store that cannot be read *now* is not an empty one: what
/// [`load`](Self::load) refuses to tell is asked for again, and nothing is written under its key before.
pub trait StateStore: Send + Sync {
    /// Returns the record under this key, or `None` where there is none.
    ///
    /// # Errors
    /// A [`StoreError`] when it cannot be known whether there is one: [`StoreError::shut`] while that is to be
    /// expected, as before the first unlock. The client continues without the record, and asks again with back-off, or
    /// as soon as the app says [`Client::store_available`](crate::Client::store_available).
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores a record, replacing the one under the same key as a whole or not at all.
    ///
    /// # Errors
    /// A [`StoreError`]. The app gets it as an event; the client continues and tries again.
    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Stores a record that must survive the process, but need not survive a power cut: numbers reserved ahead, answers
    /// seen. Called far more often than [`save`](Self::save), which it is unless the store knows something faster.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn save_progress(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.save(key, bytes)
    }

    /// Removes a record. A missing record is not an error.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn remove(&self, key: &str) -> Result<(), StoreError>;
}

/// Keeps nothing beyond the process: for tests, and for servers that are asked once.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl StateStore for MemoryStore {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }
}
