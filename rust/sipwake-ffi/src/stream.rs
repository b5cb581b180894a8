//! Events as a stream to wait for.

use sipwake::Events;
use tokio::sync::{Mutex, broadcast, watch};

use crate::error::SipWakeError;
use crate::event::Event;
use crate::runtime::Over;

/// How many failures of the app's listener are kept for a slow stream.
pub(crate) const MAX_FAILURES: usize = 16;

/// A client's events, in order. Each stream sees all of them. Two readers of one stream share them.
#[derive(uniffi::Object)]
pub struct EventStream {
    source: Mutex<Source>,
    shut_down: Over,
    cancelled: watch::Sender<bool>,
}

struct Source {
    events: Events,
    /// Why the app's listener failed.
    failures: broadcast::Receiver<String>,
    missed: u64,
    /// The event that was read after a gap. It waits until the gap is reported.
    after_gap: Option<Event>,
}

impl EventStream {
    pub(crate) fn new(events: Events, failures: broadcast::Receiver<String>, shut_down: Over) -> Self {
        let source = Source { events, failures, missed: 0, after_gap: None };
        Self { source: Mutex::new(source), shut_down, cancelled: watch::Sender::new(false) }
    }
}

#[uniffi::export]
impl EventStream {
    /// Waits for the next event. Returns nothing after the stream was cancelled or the client shut down. If the caller
    /// stops waiting, no event is lost.
    ///
    /// # Errors
    /// None. The `Result` makes a bug an error in Swift, too.
    pub async fn next_event(&self) -> Result<Option<Event>, SipWakeError> {
        let (mut shut_down, mut cancelled) = (self.shut_down.clone(), Over(self.cancelled.subscribe()));
        Ok(tokio::select! {
            biased;
            () = cancelled.wait() => None,
            event = self.next() => event,
            () = shut_down.wait() => None,
        })
    }

    /// Ends the stream. From then on, everybody who waits for an event gets nothing.
    ///
    /// # Errors
    /// None.
    pub fn cancel(&self) -> Result<(), SipWakeError> {
        self.cancelled.send_replace(true);
        Ok(())
    }
}

impl EventStream {
    async fn next(&self) -> Option<Event> {
        let mut source = self.source.lock().await;
        let Source { events, failures, missed, after_gap } = &mut *source;
        if let Some(event) = after_gap.take() {
            return Some(event);
        }
        let event = tokio::select! {
            biased;
            Ok(reason) = failures.recv() => return Some(Event::ListenerFailed { reason }),
            event = events.next() => event.map(Event::from),
        };
        let lost = events.missed() - *missed;
        if lost == 0 {
            return event;
        }
        *missed = events.missed();
        *after_gap = event;
        Some(Event::EventsLost { count: lost })
    }
}
