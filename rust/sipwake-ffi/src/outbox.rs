//! A bounded queue to a separate thread that runs the app's code, so that a slow listener blocks nothing.

use tokio::sync::mpsc;

use crate::error::SipWakeError;
use crate::runtime::{Work, start_thread};

/// The thread sleeps while the queue is empty, and ends with it.
pub(crate) struct Outbox(mpsc::Sender<Work>);

impl Outbox {
    pub(crate) fn start(name: &str, size: usize) -> Result<Self, SipWakeError> {
        let (queue, mut waiting) = mpsc::channel::<Work>(size);
        let run = move || {
            while let Some(work) = waiting.blocking_recv() {
                work();
            }
        };
        start_thread(name, Box::new(run))?;
        Ok(Self(queue))
    }

    /// Returns `false` if the queue is full.
    pub(crate) fn offer(&self, work: impl FnOnce() + Send + 'static) -> bool {
        self.0.try_send(Box::new(work)).is_ok()
    }
}
