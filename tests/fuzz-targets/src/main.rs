//! A small fuzzer without instrumentation: changes the corpus at random for so many minutes. Where cargo-fuzz is
//! installed `scripts/fuzz` uses that instead.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::time::{Duration, Instant};

use fuzz_targets::{TARGETS, corpus, mutated};

fn main() {
    let minutes: u64 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1);
    let share = Duration::from_secs(minutes * 60) / TARGETS.len() as u32;
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        let (began, mut runs) = (Instant::now(), 0u64);
        while began.elapsed() < share {
            target(&mutated(&seeds, runs));
            runs += 1;
        }
        println!("{name}: {runs} inputs from {} seeds, no crash", seeds.len());
    }
}
