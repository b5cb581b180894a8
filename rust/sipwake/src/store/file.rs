//! One file for each record, in a folder that only its owner may write to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::{StateStore, StoreError, StoreFault};

/// The largest file of a record. The core reads no longer record.
const MAX_RECORD: u64 = 4 << 20;
/// The process that holds this file's lock may write.
const LOCK: &str = "writer.lock";

/// Keeps one file a record, readable by its owner alone. A file is written beside, synced, and renamed, so that after a
/// crash there is the old record or the new one. It does not encrypt: anybody who can read the owner's files can read
/// the records.
///
/// The first write makes this process the writer, until it ends or has dropped each `FileStore` on the folder that wrote. Writes
/// of another process are refused with [`StoreFault::NotTheWriter`]; everybody may read. On iOS, which ends an app
/// that holds a file's lock while it is suspended, a lock lasts for one write: there the last process that began to write is the
/// writer, and those before it are refused.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    /// `None` if the store is only for reading.
    writer: Option<Writer>,
}

impl FileStore {
    /// Opens a folder, which is made if it does not exist.
    ///
    /// # Errors
    /// The reason why it cannot be made or must not be trusted: others may write to it, or it is somebody else's.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        check(&folder)?;
        Ok(Self { folder: folder.canonicalize()?, writer: Some(Writer::new(&THIS_PROCESS)) })
    }

    /// Opens a folder for reading only, beside the process that writes: to judge pushes, for example.
    ///
    /// # Errors
    /// As [`open`](Self::open); the folder is not made.
    pub fn open_read_only(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        check(&folder)?;
        Ok(Self { folder, writer: None })
    }

    /// Returns the file of a key. Keys have letters, digits and `-`. Anything else is not one of our keys.
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let good = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if good { Ok(self.folder.join(key)) } else { Err(StoreError("not a record's key".into())) }
    }

    /// Does the work as the writer, or returns an error if another process is the writer.
    fn write(&self, work: impl FnOnce() -> io::Result<()>) -> Result<(), StoreError> {
        let refused = |why: &str| StoreError(StoreFault::NotTheWriter(why.to_owned()));
        let writer = self.writer.as_ref().ok_or_else(|| refused("the store was opened for reading only"))?;
        let done = writer.write(&self.folder.join(LOCK), work)?;
        done.ok_or_else(|| refused("another process writes to this folder"))
    }

    /// Writes a new file and renames it. With `synced`, waits for the disk after both steps.
    fn replace(&self, key: &str, bytes: &[u8], synced: bool) -> Result<(), StoreError> {
        let path = self.path(key)?;
        let beside = path.with_extension("new");
        self.write(|| {
            let mut file = create(&beside)?;
            file.write_all(bytes)?;
            if synced {
                file.sync_data()?;
            }
            drop(file);
            fs::rename(&beside, &path)?;
            if synced { sync_folder(&self.folder) } else { Ok(()) }
        })
    }
}

impl StateStore for FileStore {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let file = match private(File::options().read(true)).open(self.path(key)?) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let known = file.metadata()?;
        if !known.is_file() || known.len() > MAX_RECORD {
            return Err(StoreError("not a record's file".into()));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            if known.uid() != rustix::process::geteuid().as_raw() || known.mode() & 0o002 != 0 {
                let why = "a record's file belongs to another user or others may write to it: remove it, or take that from them";
                return Err(StoreError(why.into()));
            }
        }
        let mut bytes = Vec::with_capacity(usize::try_from(known.len()).unwrap_or_default());
        file.take(MAX_RECORD).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.replace(key, bytes, true)
    }

    fn save_progress(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.replace(key, bytes, false)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key)?;
        self.write(|| match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
    }
}

/// This process, shared by all its stores.
static THIS_PROCESS: LazyLock<Process> = LazyLock::new(|| Process::new(!cfg!(target_os = "ios")));

/// What a process knows about the folders that it writes to.
#[derive(Debug)]
struct Process {
    /// Whether a lock lasts as long as its stores, or for one write. iOS ends a suspended app that holds a lock.
    locks_last: bool,
    /// If locks do not last, the process writes this into the lock's file.
    name: [u8; 16],
    folders: Mutex<Folders>,
}

#[derive(Debug, Default)]
struct Folders {
    /// The held locks, by path.
    held: Vec<(PathBuf, Weak<File>)>,
    /// The lock files that have our name, or had it until another process came.
    begun: Vec<PathBuf>,
}

impl Process {
    fn new(locks_last: bool) -> Self {
        let mut name = [0; 16];
        getrandom::fill(&mut name).expect("every supported platform has a random source");
        Self { locks_last, name, folders: Mutex::default() }
    }
}

/// The part of a store that may write.
#[derive(Debug)]
struct Writer {
    process: &'static Process,
    /// If locks last: the lock, once this store has written.
    held: Mutex<Option<Arc<File>>>,
}

impl Writer {
    fn new(process: &'static Process) -> Self {
        Self { process, held: Mutex::default() }
    }

    /// Does the work as the writer. `None` if another process is the writer.
    fn write<T>(&self, path: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<Option<T>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() {
            return work().map(Some);
        }
        let mut folders = self.process.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.process.locks_last {
            // The stores of this process write one after the other. They also wait for a write of another process.
            let file = open_lock(path)?;
            lock_when_free(&file)?;
            return if folders.is_ours(path, &file, self.process.name)? { work().map(Some) } else { Ok(None) };
        }
        folders.held.retain(|(_, lock)| lock.strong_count() > 0);
        let known = folders.held.iter().find(|(known, _)| known == path).and_then(|(_, lock)| lock.upgrade());
        let lock = if let Some(lock) = known {
            lock
        } else {
            let file = open_lock(path)?;
            if !try_lock(&file)? {
                return Ok(None);
            }
            let lock = Arc::new(file);
            folders.held.push((path.to_owned(), Arc::downgrade(&lock)));
            lock
        };
        drop(folders);
        *held = Some(lock);
        work().map(Some)
    }
}

impl Folders {
    /// Whether we are the last process that began to write here. The first call begins.
    fn is_ours(&mut self, path: &Path, mut file: &File, name: [u8; 16]) -> io::Result<bool> {
        if self.begun.iter().any(|known| known == path) {
            let mut last = Vec::new();
            file.take(64).read_to_end(&mut last)?;
            return Ok(last == name);
        }
        file.set_len(0)?;
        file.write_all(&name)?;
        self.begun.push(path.to_owned());
        Ok(true)
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options).open(path)
}

/// Takes a file's lock. The system releases it when the file is closed or the process ends. Returns `false` if another
/// one holds it.
#[cfg(unix)]
fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a file's lock, and takes it.
#[cfg(unix)]
fn lock_when_free(file: &File) -> io::Result<()> {
    use rustix::fs::{FlockOperation, flock};
    Ok(rustix::io::retry_on_intr(|| flock(file, FlockOperation::LockExclusive))?)
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "as where there are locks")]
fn try_lock(_: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "as where there are locks")]
fn lock_when_free(_: &File) -> io::Result<()> {
    Ok(())
}

/// Makes a new file. What a crash has left under its name is removed first. It does not follow a planted link.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = private(options.write(true).create_new(true));
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

/// A new file is readable by its owner only. Links are never followed.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(no_follow.bits().cast_signed());
    }
    options
}

/// Makes sure that nobody else can put files into a folder or replace it.
fn check(folder: &Path) -> io::Result<()> {
    let known = fs::metadata(folder)?;
    #[cfg(unix)]
    let link = fs::symlink_metadata(folder)?;
    if !known.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let refuse = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        if known.uid() != rustix::process::geteuid().as_raw() {
            return refuse("the store's folder belongs to another user");
        }
        if link.is_symlink() && ![0, known.uid()].contains(&link.uid()) {
            return refuse("the store's folder is a link that another user made");
        }
        if known.mode() & 0o022 != 0 {
            return refuse("others may write to the store's folder: take that from them (chmod go-w)");
        }
    }
    Ok(())
}

/// A rename is on disk only when its folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, FileStore) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = FileStore::open(folder.path().join("state")).expect("open");
        (folder, store)
    }

    #[test]
    fn a_record_is_replaced_completely_and_removed() {
        let (_folder, store) = store();
        assert!(store.load("removals").expect("load").is_none());
        store.save("removals", b"one").expect("save");
        store.save("removals", b"two").expect("save");
        assert_eq!(store.load("removals").expect("load").as_deref(), Some(b"two".as_slice()));
        store.remove("removals").expect("remove");
        store.remove("removals").expect("removing a missing record is not an error");
        assert!(store.load("removals").expect("load").is_none());
    }

    #[test]
    fn a_key_cannot_leave_the_folder() {
        let (_folder, store) = store();
        for key in ["", "../x", "a/b", "a.b"] {
            assert!(store.save(key, b"x").is_err(), "{key:?}");
        }
    }

    #[test]
    fn a_second_process_may_always_read_but_not_write_until_the_first_has_ended() {
        let (_folder, second) = store();
        fs::write(second.folder.join("removals"), b"one").expect("ours");
        // A lock belongs to an open file, so this one works like another process's.
        let first = File::create(second.folder.join(LOCK)).expect("ours");
        assert!(try_lock(&first).expect("it can be locked"));
        let refused = |result: Result<(), StoreError>| matches!(result, Err(StoreError(StoreFault::NotTheWriter(_))));
        assert!(refused(second.save("removals", b"two")));
        assert!(refused(second.save_progress("removals", b"two")));
        assert!(refused(second.remove("removals")));
        assert_eq!(second.load("removals").expect("load").as_deref(), Some(b"one".as_slice()));
        drop(first);
        second.save("removals", b"two").expect("now it is the writer");
    }

    #[test]
    fn two_stores_of_one_process_on_one_folder_can_both_write() {
        let (_folder, one) = store();
        one.save("removals", b"one").expect("save");
        let two = FileStore::open(&one.folder).expect("open");
        two.save("removals", b"two").expect("save");
        drop(one);
        two.save("removals", b"three").expect("it is still the writer");
    }

    /// Stores as on iOS, each in a process of its own.
    #[cfg(unix)]
    fn without_lasting_locks(folder: &Path, processes: [&'static Process; 2]) -> [FileStore; 2] {
        processes.map(|process| FileStore {
            writer: Some(Writer::new(process)),
            ..FileStore::open(folder.join("state")).expect("open")
        })
    }

    #[cfg(unix)]
    fn another_process() -> &'static Process {
        Box::leak(Box::new(Process::new(false)))
    }

    #[cfg(unix)]
    #[test]
    fn on_ios_no_lock_outlives_a_write() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = another_process();
        let [one, two] = without_lasting_locks(folder.path(), [process, process]);
        let free = || try_lock(&File::open(one.folder.join(LOCK)).expect("it is there")).expect("it can be asked");
        one.save("removals", b"one").expect("save");
        assert!(free());
        two.save_progress("removals", b"two").expect("save");
        assert!(free());
        one.remove("removals").expect("both stores are of the process that writes");
        assert!(free());
        fs::create_dir(one.folder.join("blocked")).expect("ours");
        assert!(one.save("blocked", b"x").is_err(), "a folder cannot be replaced");
        assert!(free(), "even after a failed write");
    }

    #[cfg(unix)]
    #[test]
    fn on_ios_the_last_process_that_began_to_write_is_the_writer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let earlier = another_process();
        let [first, second] = without_lasting_locks(folder.path(), [earlier, another_process()]);
        first.save("removals", b"one").expect("save");
        second.save("removals", b"two").expect("it writes first, so it is the writer");
        let refused = |result: Result<(), StoreError>| matches!(result, Err(StoreError(StoreFault::NotTheWriter(_))));
        assert!(refused(first.save("removals", b"three")));
        assert!(refused(first.remove("removals")));
        let [again, _] = without_lasting_locks(folder.path(), [earlier, earlier]);
        assert!(refused(again.save("removals", b"three")), "a new store makes no new process");
        assert_eq!(first.load("removals").expect("load").as_deref(), Some(b"two".as_slice()));
        second.save("removals", b"four").expect("it still is");
    }

    #[cfg(unix)]
    #[test]
    fn on_ios_a_write_waits_for_one_of_another_process() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [store, _] = without_lasting_locks(folder.path(), [another_process(), another_process()]);
        let other = open_lock(&store.folder.join(LOCK)).expect("ours");
        assert!(try_lock(&other).expect("it can be locked"));
        let (started, goes_on) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let writes = scope.spawn(|| {
                started.send(()).expect("somebody waits");
                store.save("removals", b"one")
            });
            goes_on.recv().expect("it runs");
            assert!(store.load("removals").expect("load").is_none());
            drop(other);
            writes.join().expect("no panic").expect("saved once the other one was done");
        });
        assert_eq!(store.load("removals").expect("load").as_deref(), Some(b"one".as_slice()));
    }

    #[test]
    fn a_store_opened_for_reading_never_writes() {
        let (_folder, writer) = store();
        let reader = FileStore::open_read_only(&writer.folder).expect("open");
        assert!(matches!(reader.save("removals", b"x"), Err(StoreError(StoreFault::NotTheWriter(_)))));
        writer.save("removals", b"one").expect("a reader does not block writers");
        assert_eq!(reader.load("removals").expect("load").as_deref(), Some(b"one".as_slice()));
        assert!(FileStore::open_read_only(writer.folder.join("nowhere")).is_err());
    }

    #[cfg(unix)]
    mod at_rest {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).expect("it is there").mode() & 0o777
        }

        fn allow(path: &Path, mode: u32) {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
        }

        #[test]
        fn only_the_owner_can_access_folder_and_files() {
            let (_folder, store) = store();
            store.save("binding-1", b"ha1").expect("save");
            assert_eq!(mode(&store.folder), 0o700);
            for entry in fs::read_dir(&store.folder).expect("a folder") {
                let path = entry.expect("a file").path();
                assert_eq!(mode(&path), 0o600, "{path:?}");
            }
        }

        #[test]
        fn a_folder_that_others_can_write_to_is_refused() {
            let (_folder, store) = store();
            for open in [0o777, 0o770, 0o720, 0o702] {
                allow(&store.folder, open);
                let refused = FileStore::open(&store.folder).expect_err("refused");
                assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
                assert!(FileStore::open_read_only(&store.folder).is_err());
            }
            allow(&store.folder, 0o755);
            assert!(FileStore::open(&store.folder).is_ok(), "reading does not write");
        }

        #[test]
        fn a_foreign_file_or_link_is_neither_written_nor_read() {
            let (folder, store) = store();
            let elsewhere = folder.path().join("elsewhere");
            let beside = store.folder.join("removals.new");
            fs::write(&beside, b"planted").expect("ours");
            allow(&beside, 0o666);
            store.save("removals", b"ha1").expect("save");
            assert_eq!(mode(&store.folder.join("removals")), 0o600);

            symlink(&elsewhere, store.folder.join("departed.new")).expect("ours");
            store.save("departed", b"secret").expect("save");
            assert!(!elsewhere.exists(), "it wrote through a link");
            assert!(!fs::symlink_metadata(store.folder.join("departed")).expect("there").is_symlink());

            fs::write(&elsewhere, b"of somebody else").expect("ours");
            symlink(&elsewhere, store.folder.join("binding-2")).expect("ours");
            assert!(store.load("binding-2").is_err(), "read through a link");
            fs::create_dir(store.folder.join("binding-3")).expect("ours");
            assert!(store.load("binding-3").is_err());

            let own = folder.path().join("own");
            fs::write(&own, b"kept").expect("ours");
            fs::hard_link(&own, store.folder.join("departed.new")).expect("ours");
            store.save("departed", b"secret").expect("save");
            assert_eq!(fs::read(&own).expect("there"), b"kept", "it wrote through a second name");

            for name in ["binding-4", "binding-5.new"] {
                let pipe = store.folder.join(name);
                rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).expect("ours");
            }
            assert!(store.load("binding-4").is_err(), "a pipe is neither waited for nor read");
            store.save("binding-5", b"ha1").expect("save");
            assert_eq!(store.load("binding-5").expect("load").as_deref(), Some(b"ha1".as_slice()));
        }

        #[test]
        fn files_that_others_wrote_while_they_could_are_not_read() {
            let (folder, store) = store();
            let planted = store.folder.join("binding-1");
            fs::write(&planted, b"planted").expect("ours");
            allow(&planted, 0o646);
            assert!(store.load("binding-1").is_err(), "others may write to it");
            store.save("binding-1", b"ha1").expect("save");
            assert_eq!(store.load("binding-1").expect("load").as_deref(), Some(b"ha1".as_slice()));

            let link = folder.path().join("link");
            symlink(&store.folder, &link).expect("ours");
            assert!(FileStore::open(&link).is_ok(), "the owner may have moved the folder");
            // Only root can give files away.
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::chown(&planted, Some(65_534), None).expect("root may");
                assert!(store.load("binding-1").is_err(), "it is somebody else's");
                std::os::unix::fs::lchown(&link, Some(65_534), None).expect("root may");
                let refused = FileStore::open(&link).expect_err("refused");
                assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
                assert!(FileStore::open_read_only(&link).is_err());
            }
        }
    }
}
