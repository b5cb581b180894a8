//! A bounded queue to a thread of its own, where the app's code runs: a slow listener holds up nobody.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use crate::error::SipWakeError;

type Work = Box<dyn FnOnce() + Send>;

/// The thread sleeps while the queue is empty, and ends with it.
pub(crate) struct Outbox(SyncSender<Work>);

impl Outbox {
    pub(crate) fn start(name: &str, size: usize) -> Result<Self, SipWakeError> {
        let (queue, waiting) = sync_channel::<Work>(size);
        let work = move || waiting.into_iter().for_each(|work| work());
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
        thread.map_err(|error| SipWakeError::Unavailable { reason: format!("no thread: {error}") })?;
        Ok(Self(queue))
    }

    /// Returns `false` when too much waits already.
    pub(crate) fn offer(&self, work: impl FnOnce() + Send + 'static) -> bool {
        self.0.try_send(Box::new(work)).is_ok()
    }
}
