//! The two clocks for the core's time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use sipwake_core::clock::Now;

/// The clock that goes on while the device sleeps. On Linux and Android this is `CLOCK_BOOTTIME`, on Apple
/// `CLOCK_MONOTONIC`. `std`'s `Instant` stops on both Apple and Android.
#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: ClockId = ClockId::Monotonic;

/// Returns the present moment on both clocks.
pub fn now() -> Now {
    let boot = clock_gettime(BOOT);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(boot.tv_nsec).unwrap_or_default();
    Now::new(Duration::new(seconds, nanos), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Fills a buffer with bytes that nobody can guess, from the operating system.
///
/// # Panics
/// If the system has none, which no platform of ours does.
pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("every supported platform has a random source");
}
