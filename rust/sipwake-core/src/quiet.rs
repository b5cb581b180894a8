//! Do not disturb: what is remembered of it, with each account and for readers beside the client.
//!
//! The push binding is taken back from the server, the registration stays, and late pushes are silent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Now;
use crate::push::PushToken;
use crate::snapshot::{MAX_ACCOUNTS, Memory, Removals, TokenWish};

/// The user does not want to be disturbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quiet {
    /// Wall time, in seconds since 1970, at which that is over; [`u64::MAX`]: when the user says so.
    pub(crate) until: u64,
    /// Wall time at which it was asked for.
    pub(crate) since: u64,
    /// What is wanted of the token then.
    pub(crate) then: TokenWish,
    /// When it is over, in boot time.
    #[serde(skip)]
    pub(crate) over_at: Option<Duration>,
}

impl Quiet {
    /// Looks at the clock. Returns whether the record has changed: a clock that was set to before the beginning was wrong then, or is
    /// now, so that what counts from here on is how long it was to be.
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

impl Memory {
    /// The user does not want to be disturbed until then, in wall time. Returns whether that is new.
    pub(crate) fn be_quiet(&mut self, until: Duration, now: Now) -> bool {
        let until = until.as_secs().saturating_add(u64::from(until.subsec_nanos() > 0));
        let since = now.wall.as_secs();
        if let Some(quiet) = &mut self.quiet {
            let changed = quiet.until != until;
            (quiet.until, quiet.since) = (until, since);
            quiet.look_at_clock(now);
            return changed;
        }
        let then = match std::mem::take(&mut self.token) {
            TokenWish::NoneYet => self.bound_token().map_or(TokenWish::NoneYet, TokenWish::Bind),
            wish => wish,
        };
        self.token = TokenWish::Unbind(then.last().cloned());
        let mut quiet = Quiet { until, since, then, over_at: None };
        quiet.look_at_clock(now);
        self.quiet = Some(Box::new(quiet));
        true
    }

    /// The user may be disturbed again. Returns whether anything changed.
    pub(crate) fn end_quiet(&mut self) -> bool {
        let Some(quiet) = self.quiet.take() else { return false };
        self.token = quiet.then;
        true
    }

    /// What is wanted of the token, apart from a user who does not want to be disturbed.
    pub(crate) fn lasting_wish(&mut self) -> &mut TokenWish {
        match &mut self.quiet {
            Some(quiet) => &mut quiet.then,
            None => &mut self.token,
        }
    }

    /// Takes over what an earlier process remembered, which could not be read until now. `is_said`: the app has told meanwhile whether
    /// the user may be disturbed.
    pub(crate) fn recall_wishes(&mut self, token: TokenWish, quiet: Option<Box<Quiet>>, is_said: bool) {
        let (earlier, quiet) = match quiet {
            Some(mut quiet) => (std::mem::take(&mut quiet.then), Some(quiet).filter(|_| !is_said)),
            None => (token, None),
        };
        if *self.lasting_wish() == TokenWish::NoneYet {
            *self.lasting_wish() = earlier;
        }
        if let Some(quiet) = quiet {
            let then = std::mem::take(&mut self.token);
            self.quiet = Some(Box::new(Quiet { then, ..*quiet }));
        }
        if let Some(quiet) = &self.quiet {
            self.token = TokenWish::Unbind(quiet.then.last().cloned());
        }
    }

    fn bound_token(&self) -> Option<PushToken> {
        self.bound.as_ref()?.token.clone()
    }
}

/// A user who does not want to be disturbed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Quieted {
    /// `user@domain`.
    pub(crate) name: String,
    /// Wall time, in seconds since 1970.
    pub(crate) until: u64,
    /// Nobody is here who may be disturbed: a push that names nobody is for one of those who may not.
    #[serde(default)]
    pub(crate) alone: bool,
}

impl Removals {
    /// Takes up who did not want to be disturbed when that was last stored.
    pub(crate) fn recall_quiet(&mut self, earlier: Vec<Quieted>) {
        let unknown = |earlier: &Quieted| !self.quiet.iter().any(|known| known.is(&earlier.name));
        let earlier: Vec<Quieted> = earlier.into_iter().filter(unknown).take(MAX_ACCOUNTS).collect();
        self.quiet.extend(earlier);
    }

    /// Lists who of the `users` (name, whether logged out, until when) does not want to be disturbed, beside those who are not here.
    /// Returns whether that is new.
    pub(crate) fn list_quiet(&mut self, users: &[(String, bool, u64)], wall: Duration) -> bool {
        if users.is_empty() {
            // The accounts are yet to be added.
            return false;
        }
        let alone = users.iter().all(|(_, left, until)| *left || *until != 0);
        let elsewhere = self
            .quiet
            .iter()
            .filter(|quiet| quiet.until > wall.as_secs() && !users.iter().any(|(name, ..)| quiet.is(name)));
        let here = users.iter().filter(|(_, left, until)| !left && *until != 0);
        let here = here.map(|(name, _, until)| Quieted { name: name.clone(), until: *until, alone });
        let mut quiet: Vec<Quieted> = elsewhere.map(|quiet| Quieted { alone, ..quiet.clone() }).chain(here).collect();
        quiet.sort();
        let changed = quiet != self.quiet;
        self.quiet = quiet;
        changed
    }
}

impl Quieted {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}
