//! Helpers of several tests.

use std::time::Duration;

use sipwake::{Event, Events, Failure};

/// Waits for the next outcome of a registration.
pub(crate) async fn outcome(events: &mut Events, patience: Duration) -> Result<(), Failure> {
    let wait = async {
        loop {
            match events.next().await.expect("the client runs") {
                Event::Registered { .. } => return Ok(()),
                Event::RegistrationFailed { failure, .. } => return Err(failure),
                _ => {}
            }
        }
    };
    tokio::time::timeout(patience, wait).await.expect("an outcome in time")
}
