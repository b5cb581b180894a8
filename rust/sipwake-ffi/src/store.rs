//! What the app brings along: a place for records, an ear for events.

use sipwake::StoreError;

use crate::error::CallbackError;
use crate::event::Event;

/// Keeps a handful of small records. They hold secrets (tokens, HA1 values): encrypt them, and let no backup take them along.
///
/// Called from a thread of the client, which waits, because a record must be safe before what depends on it is sent.
/// Don't call the client from in here. What is thrown becomes an event.
#[uniffi::export(callback_interface)]
pub trait StateStore: Send + Sync {
    /// Returns the record under this key, or nothing.
    ///
    /// # Errors
    /// When it cannot be known whether there is one: `Shut` while that is to be expected, as before the first unlock.
    /// The client continues without the record, does not overwrite it, and asks again with back-off or after
    /// `store_available`.
    fn load(&self, key: String) -> Result<Option<Vec<u8>>, CallbackError>;

    /// Stores a record, replacing the one under the same key as a whole or not at all.
    ///
    /// # Errors
    /// When the record could not be stored; the client continues.
    fn save(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError>;

    /// Stores a record that must survive the process, but need not survive a power cut. Called far more often than `save`,
    /// which it may be; a store that waits for the disk in `save` need not wait here.
    ///
    /// # Errors
    /// As `save`.
    fn save_progress(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError>;

    /// Removes a record. A missing record is not an error.
    ///
    /// # Errors
    /// When the record could not be removed.
    fn remove(&self, key: String) -> Result<(), CallbackError>;
}

/// Gets every event, one after the other, on its own thread.
#[uniffi::export(callback_interface)]
pub trait EventListener: Send + Sync {
    /// Takes an event.
    ///
    /// # Errors
    /// What is thrown becomes [`Event::ListenerFailed`] on the event streams.
    fn on_event(&self, event: Event) -> Result<(), CallbackError>;
}

/// An app's store as the client wants it.
pub(crate) struct ForeignStore(pub(crate) Box<dyn StateStore>);

impl sipwake::StateStore for ForeignStore {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load(key.to_owned()).map_err(store_error)
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.save(key.to_owned(), bytes.to_vec()).map_err(store_error)
    }

    fn save_progress(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.save_progress(key.to_owned(), bytes.to_vec()).map_err(store_error)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.0.remove(key.to_owned()).map_err(store_error)
    }
}

fn store_error(error: CallbackError) -> StoreError {
    match error {
        CallbackError::Shut { reason } => StoreError::shut(reason),
        CallbackError::Failed { reason } => StoreError(reason.into()),
    }
}
