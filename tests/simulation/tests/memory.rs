//! The memory of an idle account, counted by the allocator.

use std::alloc::System;

use simulation::fleet::{Disaster, Patience, play};
use sipwake_core::user_agent::UserAgent;
use stats_alloc::{Region, StatsAlloc};

#[global_allocator]
static HEAP: StatsAlloc<System> = StatsAlloc::system();

/// A registered account that waits for its next timer, in bytes, without its client.
const BUDGET: usize = 2048;

#[test]
fn an_idle_account_takes_at_most_two_kibibytes() {
    let region = Region::new(&HEAP);
    let live = || {
        let stats = region.change();
        stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
    };
    let course = play(1000, Disaster::CellChange, Patience::BackOff, Some(&live));
    let device = course.bytes_per_device.expect("the heap is counted");
    let account = device - size_of::<UserAgent>();
    assert!((500..=BUDGET).contains(&account), "{account} bytes");
}
