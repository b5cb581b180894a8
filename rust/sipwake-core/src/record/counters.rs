//! The numbers for an operator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::millis;
use super::words::{Asks, End, For};

/// Durations that were measured, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    /// How often.
    pub count: u32,
    /// All of them together.
    pub total: u64,
    /// The last one.
    pub last: u64,
    /// The longest.
    pub longest: u64,
}

impl Span {
    fn measured(&mut self, time: u64) {
        self.count = self.count.saturating_add(1);
        self.total = self.total.saturating_add(time);
        self.last = time;
        self.longest = self.longest.max(time);
    }

    fn add(&mut self, earlier: &Self) {
        if self.count == 0 {
            self.last = earlier.last;
        }
        self.count = self.count.saturating_add(earlier.count);
        self.total = self.total.saturating_add(earlier.total);
        self.longest = self.longest.max(earlier.longest);
    }

    /// Returns their mean.
    pub fn mean(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_millis(self.total / u64::from(self.count)))
    }
}

/// How often a phone was woken, and how fast it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Processes that registered.
    pub processes: u32,
    /// Pushes that announced a call.
    pub wakes: u32,
    /// Those whose INVITE came.
    pub wakes_with_invite: u32,
    /// Those whose INVITE did not come in time.
    pub wakes_without_invite: u32,
    /// Pushes that made no sound.
    pub silent_pushes: u32,
    /// From the start of the process to its first registration.
    pub start_to_registered: Span,
    /// From a push to the REGISTER that followed it.
    pub push_to_register: Span,
    /// From a push to its INVITE.
    pub push_to_ring: Span,
    /// Boot time, in milliseconds, of the last push that still waits for its REGISTER.
    #[serde(skip)]
    pushed_at: Option<u64>,
}

impl Counters {
    /// A process was registered this long after its start.
    pub(super) fn registered(&mut self, after: u64) {
        self.processes = self.processes.saturating_add(1);
        self.start_to_registered.measured(after);
    }

    pub(super) fn count(&mut self, decision: &Decision, now: u64) {
        match decision {
            Decision::PushJudged { asks: Asks::Ring, .. } => {
                self.wakes = self.wakes.saturating_add(1);
                self.pushed_at.get_or_insert(now);
            }
            Decision::PushJudged { asks: Asks::Nothing, .. } => {
                self.silent_pushes = self.silent_pushes.saturating_add(1);
            }
            Decision::RegisterSent { purpose: For::Bind, .. } => {
                if let Some(pushed_at) = self.pushed_at.take() {
                    self.push_to_register.measured(now.saturating_sub(pushed_at));
                }
            }
            Decision::InviteJoined { after } => {
                self.wakes_with_invite = self.wakes_with_invite.saturating_add(1);
                self.push_to_ring.measured(millis(after.0));
            }
            Decision::CallEnded { how: End::Missed, .. } => {
                self.wakes_without_invite = self.wakes_without_invite.saturating_add(1);
            }
            _ => {}
        }
    }

    /// Adds the counts of earlier processes.
    pub(super) fn add(&mut self, earlier: &Self) {
        let numbers = [
            (&mut self.processes, earlier.processes),
            (&mut self.wakes, earlier.wakes),
            (&mut self.wakes_with_invite, earlier.wakes_with_invite),
            (&mut self.wakes_without_invite, earlier.wakes_without_invite),
            (&mut self.silent_pushes, earlier.silent_pushes),
        ];
        for (number, earlier) in numbers {
            *number = number.saturating_add(earlier);
        }
        self.start_to_registered.add(&earlier.start_to_registered);
        self.push_to_register.add(&earlier.push_to_register);
        self.push_to_ring.add(&earlier.push_to_ring);
    }
}
