//! Breaks the core on purpose, once for each promise and more, and asks whether the simulation finds out.
//!
//! `cargo test -p simulation --release --features mutations --test mutations`

#![allow(clippy::print_stdout, reason = "which story finds which break")]

use simulation::{Script, play};
use sipwake_core::mutation::{Mutation, set};

/// Stories within which each break must be found.
const STORIES: u64 = 3000;

fn found(mutation: Mutation) -> Option<(u64, u8)> {
    set(Some(mutation));
    let found = (0..STORIES).find_map(|seed| {
        let broken = play(&Script::from_seed(seed)).broken?;
        Some((seed, broken.promise))
    });
    set(None);
    found
}

#[test]
fn every_break_of_the_core_is_found() {
    let missed: Vec<Mutation> = Mutation::ALL
        .into_iter()
        .filter(|mutation| {
            let found = found(*mutation);
            match found {
                Some((seed, promise)) => println!("{mutation:?}: seed {seed} breaks promise {promise}"),
                None => println!("{mutation:?}: not found in {STORIES} stories"),
            }
            found.is_none()
        })
        .collect();
    assert_eq!(missed, [], "not found");
}
