//! What the handles ask of the driver.

use sipwake_core::clock::Now;
#[cfg(feature = "replay")]
pub(crate) use sipwake_core::replay::RecordedAgent as Agent;
#[cfg(not(feature = "replay"))]
pub(crate) use sipwake_core::user_agent::UserAgent as Agent;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::store::StateStore;

/// What a handle asks the driver to do with the core.
pub(crate) type Work = Box<dyn FnOnce(&mut Agent, &dyn StateStore, Now) -> Result<(), Error> + Send>;

/// Work, and the one who waits for it.
pub(crate) struct Job {
    pub(crate) work: Work,
    /// Gets the result when everything that the work asked for is stored.
    pub(crate) done: Option<oneshot::Sender<Result<Kept, Error>>>,
}

/// How many jobs may wait for the driver.
pub(crate) const JOBS: usize = 256;

/// Whether what the app asked for outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// It is stored.
    Durable,
    /// It is done, but the store is shut or fails, so a kill now would lose it. [`Event::Durable`](crate::Event::Durable) says when
    /// it is stored.
    NotYetDurable,
}
