//! The one small runtime that a client owns: a thread that drives everything, and a few that may wait.

use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use crate::error::SipWakeError;

/// Threads that wait for the resolver.
const BLOCKING_THREADS: usize = 4;

/// What runs on another thread, in a box: what starts a thread is then there once.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// A runtime that may be given up from anywhere, also from its own thread.
pub(crate) struct OwnRuntime {
    handle: Handle,
    over: watch::Sender<bool>,
}

impl OwnRuntime {
    pub(crate) fn start() -> Result<Self, SipWakeError> {
        if Handle::try_current().is_ok() {
            return Err(SipWakeError::Unavailable { reason: "a client cannot be made inside a callback".to_owned() });
        }
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("sipwake")
            .enable_all()
            .build()
            .map_err(|error| SipWakeError::Unavailable { reason: format!("no runtime: {error}") })?;
        let handle = runtime.handle().clone();
        let (over, mut ended) = watch::channel(false);
        let drive = move || {
            // An error would say that nobody is left to end it.
            let _ = runtime.block_on(ended.wait_for(|over| *over));
            runtime.shutdown_background();
        };
        start_thread("sipwake", Box::new(drive))?;
        Ok(Self { handle, over })
    }

    /// Runs a future on the caller's thread, inside the runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends it without waiting: whoever drops the last reference may be its own thread.
    pub(crate) fn shut_down(&self) {
        self.over.send_replace(true);
    }
}

pub(crate) fn start_thread(name: &str, work: Work) -> Result<(), SipWakeError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| SipWakeError::Unavailable { reason: format!("no thread: {error}") })
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.shut_down();
    }
}
