//! Where the core's records are kept. On a phone the app brings its own store; on a desktop there is [`FileStore`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Why a record could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Keeps a handful of small records. They hold secrets (tokens, HA1 values): encrypt them, and let no backup take them along.
///
/// The calls are made by the driver, which waits for them: a record must be safe before what depends on it is sent.
pub trait StateStore: Send + Sync {
    /// Returns the record under this key, or `None`.
    ///
    /// # Errors
    /// A [`StoreError`] when the store cannot be read; the client then goes on as if there were no record.
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores a record, replacing the one under the same key as a whole or not at all.
    ///
    /// # Errors
    /// A [`StoreError`], which the app is told as an event; the client goes on.
    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Stores a record that must survive the process, but need not survive a power cut: numbers reserved ahead, answers
    /// seen. Called far more often than [`save`](Self::save), which it is unless the store knows something faster.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn save_progress(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.save(key, bytes)
    }

    /// Removes a record; one that is not there is no error.
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

/// One file a record, in a folder that only its owner may read. A file is written beside, synced, and renamed, so
/// that after a crash there is the old record or the new one.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// Opens a folder, which is made if it does not exist.
    ///
    /// # Errors
    /// The reason why it cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(Self { folder })
    }

    /// Keys are made of letters, digits and `-`; anything else is no key of ours.
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let good = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if good { Ok(self.folder.join(key)) } else { Err(StoreError("not a record's key".into())) }
    }
}

impl FileStore {
    /// Writes beside and renames; with `synced`, waits for the disk at both steps.
    fn replace(&self, key: &str, bytes: &[u8], synced: bool) -> Result<(), StoreError> {
        let path = self.path(key)?;
        let beside = path.with_extension("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        if synced {
            file.sync_data()?;
        }
        drop(file);
        fs::rename(&beside, &path)?;
        if synced { sync_folder(&self.folder) } else { Ok(()) }
    }
}

impl StateStore for FileStore {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.path(key)?) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.replace(key, bytes, true)
    }

    fn save_progress(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.replace(key, bytes, false)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.path(key)?) {
            Ok(()) => sync_folder(&self.folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A rename is on disk once its folder is.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_replaced_whole_and_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = FileStore::open(folder.path().join("state")).expect("open");
        assert!(store.load("removals").expect("load").is_none());
        store.save("removals", b"one").expect("save");
        store.save("removals", b"two").expect("save");
        assert_eq!(store.load("removals").expect("load").as_deref(), Some(b"two".as_slice()));
        store.remove("removals").expect("remove");
        store.remove("removals").expect("removing what is gone is no error");
        assert!(store.load("removals").expect("load").is_none());
    }

    #[test]
    fn a_key_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = FileStore::open(folder.path()).expect("open");
        for key in ["", "../x", "a/b", "a.b"] {
            assert!(store.save(key, b"x").is_err(), "{key:?}");
        }
    }
}
