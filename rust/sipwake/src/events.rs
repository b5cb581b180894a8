//! Events as a stream. An app may read it slowly and never holds up the driver.

use sipwake_core::event::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How many events are kept for a slow reader. If there are more, it misses the oldest ones.
pub(crate) const MAX_UNREAD: usize = 512;

/// The events of a client, from the moment this was made.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
    missed: u64,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self { receiver, missed: 0 }
    }

    /// Returns the next event, or `None` once the client has been shut down. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(count)) => {
                    log::warn!("{count} events were not read in time and are lost");
                    self.missed += count;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Returns how many events were lost because they were not read in time.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
