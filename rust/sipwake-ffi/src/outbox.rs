//! A bounded queue to a thread of its own, where the app's code runs: a slow listener holds up nobody.

use std::sync::mpsc::{SyncSender, sync_channel};

use crate::error::SipWakeError;
use crate::runtime::{Work, start_thread};

/// The thread sleeps while the queue is empty, and ends with it.
pub(crate) struct Outbox(SyncSender<Work>);

impl Outbox {
    pub(crate) fn start(name: &str, size: usize) -> Result<Self, SipWakeError> {
        let (queue, waiting) = sync_channel::<Work>(size);
        start_thread(name, Box::new(move || waiting.into_iter().for_each(|work| work())))?;
        Ok(Self(queue))
    }

    /// Returns `false` when too much waits already.
    pub(crate) fn offer(&self, work: impl FnOnce() + Send + 'static) -> bool {
        self.0.try_send(Box::new(work)).is_ok()
    }
}
