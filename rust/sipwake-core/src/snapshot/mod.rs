//! What survives the process: small records.

mod envelope;
mod memory;
mod removals;
mod wanted;

use std::fmt;

use crate::account::AccountKey;

pub use envelope::Damage;
#[cfg(feature = "replay")]
pub(crate) use envelope::resealed;
pub(crate) use envelope::{each_readable, open, seal};
pub(crate) use memory::{ConfirmedBinding, GIVEN_UP, MAX_LEFT, Memory, Spoken, StaleContact};
pub(crate) use removals::{LoggedOutUser, PendingLogout, PushRule, Removals, StoredLogout, StoredRemovals};
pub use removals::{MAX_ACCOUNTS, MAX_REMOVALS};
pub(crate) use wanted::{Quiet, WantedToken};

/// The key of the record with the pending removals and, by name only, the users who logged out lately and those that a
/// reader without a client must know. It is a record of its own, so that damage to others does not lose it.
pub const REMOVALS: &str = "removals";
/// The key of the record of calls that ended lately: at most 64, for an hour, as hashes alone.
pub const CALLS: &str = "calls";

/// The key of the black box's record: the decisions of the last wakes
/// ([`poll_record`](crate::user_agent::UserAgent::poll_record)).
pub const RECORD: &str = "record";

/// Names one [`Output::Save`](crate::event::Output::Save).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaveId(pub u64);

/// One record for the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// [`handle_saved`](crate::user_agent::UserAgent::handle_saved) names the save by it.
    pub id: SaveId,
    /// The key in the store: [`REMOVALS`], [`CALLS`], or `binding-` and an account's key.
    pub key: String,
    /// The content. `None` removes the record. It holds secrets, tokens and HA1 values: overwrite it after you have
    /// stored it.
    pub bytes: Option<Vec<u8>>,
    /// How safe it must be before the next output is done.
    pub durability: Durability,
}

/// How safe a record must be before what depends on it continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A command of the user. It must survive a power cut.
    Wish,
    /// Reserved numbers, and what responses said. They must survive the process. A power cut may lose them: that costs
    /// a round trip later, and no binding. To sync the disk would cost more than the round trip that a wake takes.
    Progress,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({}, {:?} bytes)", self.key, self.bytes.as_ref().map(Vec::len))
    }
}

/// Returns the key of an account's own record.
pub fn binding_key(account: &AccountKey) -> String {
    format!("binding-{account}")
}
