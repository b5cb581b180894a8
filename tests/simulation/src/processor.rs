//! The process's use of the processor (on a shared machine a better measure than the wall clock) and of memory.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Ticks per second in `/proc`, on every current Linux.
const TICKS: u64 = 100;

/// Returns the processor time of this process, to a hundredth of a second. Without `/proc`, returns the time since the first call.
pub fn processor_time() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = BEGAN.get_or_init(Instant::now);
    used().unwrap_or_else(|| began.elapsed())
}

/// Returns the memory of the process in bytes: `VmRSS` of proc(5).
pub fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

/// Fields 14 and 15 of proc(5), `utime` and `stime`; the second, a name in brackets, may hold spaces.
fn used() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks: u64 = fields.take(2).map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}
