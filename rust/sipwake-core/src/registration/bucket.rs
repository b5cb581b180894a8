//! How many REGISTERs pushes can lead to. Each push leads to one, but a flood of pushes must not become a flood of
//! REGISTERs.

use std::time::Duration;

/// How many pushes lead to a REGISTER at once.
const SIZE: u32 = 6;
/// How long it takes until one more is allowed.
const REFILL: Duration = Duration::from_secs(10);

/// A token bucket in boot time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    /// When it is full again. Each token that is taken delays this.
    full_at: Duration,
}

impl Bucket {
    /// Takes a token, or returns when there will be one.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + REFILL;
        let soonest = full_at.saturating_sub(REFILL * SIZE);
        if soonest > now {
            return Err(soonest);
        }
        self.full_at = full_at;
        Ok(())
    }
}

/// When credentials that worked before and are refused now are tried again. A push shows that the server still knows
/// us.
#[derive(Debug, Clone, Default)]
pub(super) struct Tries(Vec<Duration>);

/// The most tries in an hour.
const MAX_TRIES: usize = 6;
/// The shortest time between two of them.
const APART: Duration = Duration::from_secs(30);

impl Tries {
    /// Returns whether a try is allowed, and counts it.
    pub(super) fn may(&mut self, now: Duration) -> bool {
        self.0.retain(|at| now.saturating_sub(*at) < Duration::from_secs(3600));
        let may = self.0.len() < MAX_TRIES && self.0.last().is_none_or(|last| now.saturating_sub(*last) >= APART);
        if may {
            self.0.push(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn six_pushes_pass_at_once_and_one_more_every_ten_seconds() {
        let mut bucket = Bucket::default();
        let mut now = 1000 * SECOND;
        assert!((0..6).all(|_| bucket.take(now).is_ok()));
        for _ in 0..10 {
            let next = bucket.take(now).expect_err("it is empty");
            assert_eq!(next, now + 10 * SECOND);
            now = next;
            assert_eq!(bucket.take(now), Ok(()));
        }
        now += 60 * SECOND;
        assert_eq!((0..9).filter(|_| bucket.take(now).is_ok()).count(), 6);
    }

    #[test]
    fn refused_credentials_are_tried_thirty_seconds_apart_and_six_times_an_hour() {
        let mut tries = Tries::default();
        let made = (0..3600).filter(|second| tries.may(5000 * SECOND + *second * SECOND)).count();
        assert_eq!(made, 6);
        assert!(!Tries(vec![5000 * SECOND]).may(5029 * SECOND) && Tries(vec![5000 * SECOND]).may(5030 * SECOND));
    }
}
