//! What the user wants of pushes.
//!
//! With do not disturb the account stays registered, the push binding is removed, and late pushes are silent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Now;
use crate::push::PushToken;

/// What the app wants of its token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WantedToken {
    /// There is no token yet.
    #[default]
    NoneYet,
    /// The server should push to it.
    Bind(PushToken),
    /// The server should no longer push. This is the token that was bound.
    Unbind(Option<PushToken>),
}

impl WantedToken {
    /// The token that is bound, or was bound last.
    pub(crate) fn last(&self) -> Option<&PushToken> {
        match self {
            Self::NoneYet => None,
            Self::Bind(token) => Some(token),
            Self::Unbind(last) => last.as_ref(),
        }
    }
}

/// The user does not want to be disturbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quiet {
    /// Wall time, in seconds since 1970, at which that is over. [`u64::MAX`] means: when the user says so.
    pub(crate) until: u64,
    /// Wall time at which the app asked for it.
    pub(crate) since: u64,
    /// What is wanted of the token after that.
    pub(crate) then: WantedToken,
    /// Boot time at which it is over.
    #[serde(skip)]
    pub(crate) over_at: Option<Duration>,
}

impl Quiet {
    /// Looks at the clock. Returns whether the record has changed. If the wall time is before the beginning, the clock
    /// was wrong then or is wrong now. From here on the length of the time counts.
    pub(crate) fn look_at_clock(&mut self, now: Now) -> bool {
        let wall = now.wall.as_secs();
        let moved = self.until != u64::MAX && wall < self.since;
        if moved {
            self.until = wall.saturating_add(self.until.saturating_sub(self.since));
            self.since = wall;
        }
        let left = (self.until != u64::MAX).then(|| Duration::from_secs(self.until).saturating_sub(now.wall));
        self.over_at = left.map(|left| now.boot.saturating_add(left));
        moved
    }

    /// Whether it is over by the wall clock.
    pub(crate) fn is_over(&self, now: Now) -> bool {
        self.until != u64::MAX && now.wall.as_secs() >= self.until
    }
}
