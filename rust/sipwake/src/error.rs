//! Why something could not be done.

use sipwake_core::error::FieldError;
use sipwake_core::event::FlowError;
use sipwake_core::user_agent::NoSuchAccount;

/// Why a call on a [`Client`](crate::Client) failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field was refused. Nothing was sent and nothing was stored.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The account was never added, or is logged out.
    #[error(transparent)]
    NoSuchAccount(#[from] NoSuchAccount),
    /// The account has no push settings.
    #[error("the account has no push settings")]
    NoPush,
    /// No call with that id is in a state for this.
    #[error("no such call")]
    NoSuchCall,
    /// The store cannot be read or written now, and this must be stored before it is of use.
    #[error("the store: {0}")]
    Store(crate::StoreError),
    /// A key for sealed pushes was refused.
    #[cfg(feature = "sealed")]
    #[error(transparent)]
    Key(#[from] sipwake_core::sealed::KeyError),
    /// No flow to the server could be opened.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The client has been shut down.
    #[error("the client has been shut down")]
    ShutDown,
}
