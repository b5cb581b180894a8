//! Time as it is handed in: the core never asks a clock.

use std::time::Duration;

/// A moment, read by the driver from two clocks at once.
///
/// * `boot` counts from some fixed point and continues while the device sleeps (`CLOCK_BOOTTIME` on Linux and Android,
///   `mach_continuous_time` on Apple). Timers run on it.
/// * `wall` is the time since the Unix epoch. It may jump either way, but survives a restart, so what is
///   stored is stamped with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since an arbitrary start, including device sleep.
    pub boot: Duration,
    /// Time since 1970-01-01T00:00:00Z.
    pub wall: Duration,
}

/// A time to wake up at, in boot time, and why.
pub(crate) type Timeout = (Duration, &'static str);

/// Finds the soonest of several timeouts. Of several at the same time, the first one counts.
#[derive(Debug, Default)]
pub(crate) struct NextTimeout(pub(crate) Option<Timeout>);

impl NextTimeout {
    pub(crate) fn add(&mut self, timeout: Option<Timeout>) {
        if let Some((at, _)) = timeout
            && self.0.is_none_or(|(soonest, _)| at < soonest)
        {
            self.0 = timeout;
        }
    }

    pub(crate) fn add_at(&mut self, at: Option<Duration>, why: &'static str) {
        self.add(at.map(|at| (at, why)));
    }
}

impl Now {
    /// Returns the moment with the given boot and wall time.
    pub const fn new(boot: Duration, wall: Duration) -> Self {
        Self { boot, wall }
    }

    /// Returns this moment moved forward by `by` on both clocks.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self { boot: self.boot.saturating_add(by), wall: self.wall.saturating_add(by) }
    }
}
