//! What an idle device takes, counted by the allocator.

use std::alloc::System;

use simulation::fleet::{Disaster, Patience, play};
use stats_alloc::{Region, StatsAlloc};

#[global_allocator]
static HEAP: StatsAlloc<System> = StatsAlloc::system();

#[test]
fn a_registered_device_takes_no_more_than_two_kibibytes() {
    let region = Region::new(&HEAP);
    let live = || {
        let stats = region.change();
        stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
    };
    let course = play(1000, Disaster::CellChange, Patience::BackOff, Some(&live));
    let bytes = course.bytes_per_device.expect("the heap is counted");
    assert!((500..=2048).contains(&bytes), "{bytes} bytes");
}
