//! What gates have judged and the client has not seen yet.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::side::Side;
use super::table::MAX_ANNOUNCED;

/// A push that a gate judged to be a call of this name.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) uuid: Uuid,
    pub(crate) push: Side,
    /// Boot time.
    pub(crate) at: Duration,
}

/// The calls that gates have given a name to, until the client takes their pushes: an INVITE that comes in between has that
/// name, too. All gates of a client share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judgements(OnceLock<Arc<Mutex<Vec<Judged>>>>);

impl Judgements {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<Judged>) -> T) -> T {
        act(&mut self.0.get_or_init(Arc::default).lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, for a gate.
    pub(crate) fn share(&self) -> Self {
        self.0.get_or_init(Arc::default);
        self.clone()
    }

    pub(crate) fn note(&self, judged: Judged) {
        self.with(|noted| {
            noted.retain(|known| known.uuid != judged.uuid);
            if noted.len() >= MAX_ANNOUNCED {
                noted.remove(0);
            }
            noted.push(judged);
        });
    }

    /// The push of this call is here.
    pub(crate) fn take(&self, uuid: Uuid) {
        if self.0.get().is_none() {
            return;
        }
        self.with(|noted| noted.retain(|known| known.uuid != uuid));
    }

    pub(crate) fn all(&self) -> Vec<Judged> {
        if self.0.get().is_none() {
            return Vec::new();
        }
        self.with(|noted| noted.clone())
    }
}
