//! How much heap an idle account takes: registered with push, every output drained, nothing going on.
//!
//! `scripts/bench --only heap`. Nothing is asserted.
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::alloc::System;

use sipwake_core::push::Dialects;
use sipwake_core::snapshot::MAX_ACCOUNTS;
use sipwake_core::user_agent::UserAgent;
use stats_alloc::{Region, StatsAlloc};

#[allow(dead_code, reason = "each bench uses its part")]
mod client;

#[global_allocator]
static HEAP: StatsAlloc<System> = StatsAlloc::system();

const BUDGET: usize = 4096;

fn main() {
    let region = Region::new(&HEAP);
    let mut agent = UserAgent::new([7; 32], None, client::NOW);
    let mut grown = vec![live(&region)];
    for number in 0..MAX_ACCOUNTS {
        client::add_account(&mut agent, number, Dialects::Auto);
        client::let_register(&mut agent);
        grown.push(live(&region));
    }
    let (first, all) = (grown[1] - grown[0], grown[MAX_ACCOUNTS] - grown[0]);
    println!("{:<46} {:>9} {:>9}", "heap of the core", "sipwake", "budget");
    println!("{:<46} {first:>7} B {BUDGET:>7} B", "idle account, the first");
    println!("{:<46} {:>7} B {BUDGET:>7} B", format!("idle account, mean of {MAX_ACCOUNTS}"), all / MAX_ACCOUNTS);
}

fn live(region: &Region<'_, System>) -> usize {
    let stats = region.change();
    stats.bytes_allocated - stats.bytes_deallocated
}
