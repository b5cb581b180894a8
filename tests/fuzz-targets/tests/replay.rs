//! The corpus, and some thousands of changes to it, on the stable toolchain.

use fuzz_targets::{TARGETS, corpus, mutated};

#[test]
fn the_corpus_and_changed_inputs_harm_no_target() {
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        assert!(seeds.len() >= 3, "{name} has seeds");
        seeds.iter().for_each(|seed| target(seed));
        // A whole client for each input needs time.
        let rounds = if ["beside", "calls", "multipart", "pushed_calls", "replay", "sealed"].contains(&name) {
            200
        } else {
            3000
        };
        for number in 0..rounds {
            target(&mutated(&seeds, number));
        }
    }
}
