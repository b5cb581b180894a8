//! How long to wait after a failure (RFC 5626 section 4.5), spread so that a fleet does not come back at once.

use std::time::Duration;

use crate::random::Random;

/// RFC 5626's `base-time` when all flows have failed.
const BASE: Duration = Duration::from_secs(30);
/// RFC 5626's `max-time`.
const MAX: Duration = Duration::from_secs(1800);
/// The shortest wait. A jitter down to zero would be a loop.
pub(super) const MIN: Duration = Duration::from_secs(1);
/// How often a failed wake is tried again soon. Its caller waits for about 40 seconds, and a back-off may take longer.
pub(super) const URGENT_RETRIES: u32 = 4;
/// How long a gateway may be silent on a wake if there is another one: five transmissions over UDP. Timer F would take
/// 32 of the caller's 40 seconds.
pub(super) const SILENCE: Duration = Duration::from_secs(8);

/// Returns the wait before the next try of a wake that has `left` such tries: 1, 2, 4 and 8 seconds.
pub(super) fn urgent(left: u32) -> Duration {
    MIN * (1 << URGENT_RETRIES.saturating_sub(left))
}

/// Returns the wait after `failures` failures in a row: a random time between one second and
/// `min(max-time, base-time * 2 ^ failures)`.
///
/// The RFC uses only the upper half of that span. The whole span spreads a fleet over twice the time.
pub(crate) fn wait(failures: u32, random: &mut Random) -> Duration {
    let upper = BASE.saturating_mul(1 << failures.min(16)).min(MAX);
    random.up_to(upper).max(MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_tried_four_more_times_while_the_caller_waits() {
        let waits: Vec<u64> = (1..=URGENT_RETRIES).rev().map(|left| urgent(left).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8]);
    }

    #[test]
    fn waits_grow_to_half_an_hour_with_random_spread() {
        let mut random = Random::new([7; 32]);
        for (failures, upper) in [(1, 60), (2, 120), (5, 960), (6, 1800), (40, 1800)] {
            let waits: Vec<u64> = (0..500).map(|_| wait(failures, &mut random).as_secs()).collect();
            assert!(waits.iter().all(|seconds| *seconds <= upper));
            assert!(waits.iter().any(|seconds| *seconds < upper / 4), "{failures}");
            assert!(waits.iter().any(|seconds| *seconds > upper * 3 / 4), "{failures}");
        }
    }
}
