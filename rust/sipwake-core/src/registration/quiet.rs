//! Do not disturb: the push binding is removed, and the registration stays.

use std::time::Duration;

use super::{Life, Registration};
use crate::clock::Now;
use crate::event::Event;
use crate::outbox::Outbox;
use crate::record::Decision;
use crate::snapshot::Durability;
use crate::snapshot::Quiet;

impl Registration {
    /// Sets until when the user does not want to be disturbed, in wall time. `None`, or a time that has passed, ends
    /// it. Returns whether anything changed and must be stored.
    pub(crate) fn set_do_not_disturb(&mut self, until: Option<Duration>, now: Now) -> bool {
        let was_quiet = self.is_quiet();
        let changed = self.who.be_quiet(until, now);
        if was_quiet != self.is_quiet() {
            self.register_again();
        }
        changed
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet().is_some()
    }

    /// Until when the user does not want to be disturbed, in seconds since 1970. 0 if they may be disturbed.
    pub(crate) fn quiet_until(&self) -> u64 {
        self.quiet().map_or(0, |quiet| quiet.until)
    }

    /// When do not disturb is over, in boot time.
    pub(super) fn quiet_over_at(&self) -> Option<Duration> {
        self.quiet()?.over_at
    }

    /// Ends do not disturb when its time has come, also if a later process finds that out. The push binding comes back
    /// by itself.
    pub(crate) fn end_quiet_in_time(&mut self, outbox: &mut Outbox, now: Now) {
        let Some(quiet) = &mut self.who.memory_mut().quiet else { return };
        let moved = quiet.look_at_clock(now);
        if quiet.is_over(now) {
            self.who.memory_mut().end_quiet();
            self.register_again();
            outbox.note(&self.key, Decision::DoNotDisturbOver {});
            self.save(outbox, Durability::Wish);
            outbox.tell(Event::DoNotDisturbOver { account: self.key.clone() });
        } else if moved {
            self.save(outbox, Durability::Progress);
        }
    }

    fn register_again(&mut self) {
        // If nothing is registered yet, the first REGISTER will say what the app wants at that time.
        if self.life == Life::Idle && self.was_ever_registered() {
            self.life = Life::Active;
        }
        self.want_binding();
    }

    fn quiet(&self) -> Option<&Quiet> {
        self.who.memory().quiet.as_deref()
    }
}
