//! Plants each fault in turn and checks whether the simulation finds it. `scripts/test --only faults` builds and runs
//! this. `PLANTED_FAULTS` selects some of them, separated by commas.
#![allow(clippy::print_stdout, reason = "which story finds which fault")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use simulation::{Script, play};
use sipwake_core::planted::{ALL, set};

/// The number of stories within which each fault must be found.
const STORIES: u64 = 3000;

fn found(fault: usize) -> Option<(u64, u8)> {
    (0..STORIES).find_map(|seed| {
        let script = Script::from_seed(seed);
        set(Some(fault));
        let broken = play(&script).broken;
        set(None);
        let promise = broken?.promise;
        // A promise that is also broken without the fault says nothing about the fault.
        play(&script).broken.is_none().then_some((seed, promise))
    })
}

#[test]
fn every_planted_fault_is_found() {
    let asked = std::env::var("PLANTED_FAULTS").ok();
    let is_asked = |name: &str| asked.as_deref().is_none_or(|names| names.split(',').any(|known| known == name));
    let planted: Vec<usize> = (0..ALL.len()).filter(|number| is_asked(ALL[*number].0)).collect();
    assert!(!planted.is_empty(), "no fault has such a name");
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(number) = planted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (name, what) = ALL[*number];
                    match found(*number) {
                        Some((seed, promise)) => println!("{name}: seed {seed} breaks promise {promise}"),
                        None => missed.lock().expect("nobody panics with it").push(format!("{name}: {what}")),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("nobody panics with it");
    assert_eq!(missed, [] as [String; 0], "not found within {STORIES} stories");
    assert!(ALL.len() >= 46, "only {} faults", ALL.len());
}
