//! The one small runtime that a client owns.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::SipWakeError;

/// Threads that wait for the resolver or for a slow listener.
const BLOCKING_THREADS: usize = 4;

/// A runtime that may be given up from anywhere, also from one of its own threads.
pub(crate) struct OwnRuntime(Mutex<Option<Runtime>>);

impl OwnRuntime {
    pub(crate) fn start() -> Result<Self, SipWakeError> {
        if Handle::try_current().is_ok() {
            return Err(SipWakeError::Unavailable { reason: "a client cannot be made inside a callback".to_owned() });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("sipwake")
            .enable_all()
            .build()
            .map_err(|error| SipWakeError::Unavailable { reason: format!("no runtime: {error}") })?;
        Ok(Self(Mutex::new(Some(runtime))))
    }

    /// Runs a future on the caller's thread, inside the runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, SipWakeError> {
        let handle = self.lock().as_ref().map(|runtime| runtime.handle().clone());
        Ok(handle.ok_or_else(SipWakeError::shut_down)?.block_on(future))
    }

    /// Ends it without waiting: whoever drops the last reference may be a thread of it.
    pub(crate) fn shut_down(&self) {
        if let Some(runtime) = self.lock().take() {
            runtime.shutdown_background();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Runtime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.shut_down();
    }
}
