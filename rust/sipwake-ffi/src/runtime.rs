//! The one small runtime that a client owns: a thread that drives everything.

use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use crate::error::SipWakeError;

/// Boxed work for another thread, so that the code that starts a thread exists once.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// A runtime that may be ended from any thread, also from its own.
pub(crate) struct OwnRuntime {
    handle: Handle,
    over: watch::Sender<bool>,
}

impl OwnRuntime {
    pub(crate) fn start() -> Result<Self, SipWakeError> {
        if Handle::try_current().is_ok() {
            return Err(SipWakeError::Unavailable { reason: "a client cannot be made inside a callback".to_owned() });
        }
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            SipWakeError::Unavailable { reason: format!("the async runtime cannot start: {error}") }
        })?;
        let handle = runtime.handle().clone();
        let over = watch::Sender::new(false);
        let mut ended = Over(over.subscribe());
        let drive = move || {
            runtime.block_on(ended.wait());
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

    pub(crate) fn over(&self) -> Over {
        Over(self.over.subscribe())
    }

    /// Ends it without waiting. The last reference may be dropped on its own thread.
    pub(crate) fn shut_down(&self) {
        self.over.send_replace(true);
    }
}

/// Reports the end of something.
#[derive(Clone)]
pub(crate) struct Over(pub(crate) watch::Receiver<bool>);

impl Over {
    pub(crate) async fn wait(&mut self) {
        // An error means that there is nobody left to end it.
        let _ = self.0.wait_for(|over| *over).await;
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
