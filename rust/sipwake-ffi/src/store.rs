//! Parts that the app brings: a store for records, and a listener for events.

use sipwake::StoreError;

use crate::error::CallbackError;
use crate::event::Event;

/// Keeps a handful of small records. They hold secrets (tokens, HA1 values): encrypt them, and let no backup take them along.
///
/// A thread of the client calls it and waits, because a record must be safe before anything that depends on it is sent.
/// Don't call the client from in here. An error becomes an event.
#[uniffi::export(callback_interface)]
pub trait StateStore: Send + Sync {
    /// Returns the record under this key, or nothing.
    ///
    /// # Errors
    /// If it is unknown whether there is a record. Throw `Shut` while that is normal, such as before the first unlock.
    /// The client continues without the record and does not overwrite it. It asks again with back-off, or after
    /// `store_available`.
    fn load(&self, key: String) -> Result<Option<Vec<u8>>, CallbackError>;

    /// Stores a record. It replaces the one under the same key completely or not at all.
    ///
    /// # Errors
    /// If the record could not be stored. The client continues.
    fn save(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError>;

    /// Stores a record that must survive the process, but need not survive a power cut. The client calls this far more
    /// often than `save`. It may do the same as `save`. If `save` waits for the disk, this need not.
    ///
    /// # Errors
    /// As `save`.
    fn save_progress(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError>;

    /// Removes a record. A missing record is not an error.
    ///
    /// # Errors
    /// If the record could not be removed.
    fn remove(&self, key: String) -> Result<(), CallbackError>;
}

/// Gets every event, one after the other, on its own thread.
#[uniffi::export(callback_interface)]
pub trait EventListener: Send + Sync {
    /// Takes an event.
    ///
    /// # Errors
    /// An error becomes [`Event::ListenerFailed`] on the event streams.
    fn on_event(&self, event: Event) -> Result<(), CallbackError>;
}

/// An app's store in the form that the client needs.
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
