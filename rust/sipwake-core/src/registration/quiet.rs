//! Do not disturb: the push binding is taken back, the registration stays.

use std::time::Duration;

use super::{Life, Registration};
use crate::clock::Now;
use crate::event::Event;
use crate::outbox::Outbox;
use crate::record::Decision;
use crate::snapshot::Durability;
use crate::snapshot::Quiet;

impl Registration {
    /// Sets until when the user does not want to be disturbed, in wall time; `None` or a time that has passed: not any more. Returns
    /// whether anything changed, so that it must be stored.
    pub(crate) fn set_do_not_disturb(&mut self, until: Option<Duration>, now: Now) -> bool {
        let was_quiet = self.is_quiet();
        let changed = self.who.be_quiet(until, now);
        if was_quiet != self.is_quiet() {
            self.follow_the_wish();
        }
        changed
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet().is_some()
    }

    /// Until when the user does not want to be disturbed, in seconds since 1970; 0: the user may be.
    pub(crate) fn quiet_until(&self) -> u64 {
        self.quiet().map_or(0, |quiet| quiet.until)
    }

    /// When that is over, in boot time.
    pub(super) fn quiet_over_at(&self) -> Option<Duration> {
        self.quiet()?.over_at
    }

    /// Ends it where its time has come, also in a process that was started later: the push binding comes back by itself.
    pub(crate) fn end_quiet_in_time(&mut self, outbox: &mut Outbox, now: Now) {
        let Some(quiet) = &mut self.who.memory_mut().quiet else { return };
        let moved = quiet.look_at_clock(now);
        if quiet.is_over(now) {
            self.who.memory_mut().end_quiet();
            self.follow_the_wish();
            outbox.note(&self.key, Decision::DoNotDisturbOver {});
            self.save(outbox, Durability::Wish);
            outbox.tell(Event::DoNotDisturbOver { account: self.key.clone() });
        } else if moved {
            self.save(outbox, Durability::Progress);
        }
    }

    fn follow_the_wish(&mut self) {
        // Where nobody has registered yet, the first REGISTER says what is wished by then.
        if self.life == Life::Idle && self.was_ever_registered() {
            self.life = Life::Active;
        }
        self.wish();
    }

    fn quiet(&self) -> Option<&Quiet> {
        self.who.memory().quiet.as_deref()
    }
}
