//! The one small runtime that a client owns: a thread that drives everything, and a few that may wait.

use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use crate::error::SipWakeError;

/// Threads that wait for the resolver or for a slow listener.
const BLOCKING_THREADS: usize = 4;

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
        let refused = |error: std::io::Error| SipWakeError::Unavailable { reason: format!("no runtime: {error}") };
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("sipwake")
            .enable_all()
            .build()
            .map_err(refused)?;
        let handle = runtime.handle().clone();
        let (over, mut ended) = watch::channel(false);
        let drive = move || {
            // An error would say that nobody is left to end it.
            let _ = runtime.block_on(ended.wait_for(|over| *over));
            runtime.shutdown_background();
        };
        thread::Builder::new().name("sipwake".to_owned()).spawn(drive).map_err(refused)?;
        Ok(Self { handle, over })
    }

    /// Runs a future on the caller's thread, inside the runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// Ends it without waiting: whoever drops the last reference may be its own thread.
    pub(crate) fn shut_down(&self) {
        self.over.send_replace(true);
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.shut_down();
    }
}
