//! The stories that once broke a promise, and thousands of new ones.

use std::fs;
use std::path::Path;

use simulation::{Script, play};

/// Runs a range of seeds on all processors. `SIMULATION_SEEDS` sets how many.
fn seeds() -> u64 {
    let asked = std::env::var("SIMULATION_SEEDS").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(10_000)
}

#[test]
fn no_seed_breaks_a_promise() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let count = seeds();
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (first..count).step_by(threads as usize) {
                    if let Some(broken) = play(&Script::from_seed(seed)).broken {
                        panic!("seed {seed}: {broken}\nreplay with: scripts/simulate --seed {seed}");
                    }
                }
            });
        }
    });
}

#[test]
fn what_once_broke_a_promise_no_longer_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut played = 0;
    for entry in fs::read_dir(folder).expect("the folder is in the repository") {
        let path = entry.expect("readable").path();
        let script = Script::parse(&fs::read_to_string(&path).expect("text")).expect("a story");
        assert_eq!(play(&script).broken, None, "{}", path.display());
        played += 1;
    }
    assert!(played >= 14, "only {played} stories");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..40 {
        let script = Script::from_seed(seed);
        let outcome = play(&script);
        assert_eq!(play(&script), outcome, "seed {seed}");
        let read = Script::parse(&script.to_text()).expect("the written text");
        assert_eq!(play(&read), outcome, "seed {seed}, from text");
        assert!(outcome.registers > 0 && outcome.simulated > 0);
    }
}
