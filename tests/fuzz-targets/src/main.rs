//! A small fuzzer without instrumentation: it changes the corpus at random for a given time. Where cargo-fuzz is
//! installed, `scripts/fuzz` uses that instead.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzz_targets::{TARGETS, Target, corpus, corpus_folder, mutated};

const HELP: &str = "fuzz --seconds N [--from NUMBER] [--keep]";

fn main() -> ExitCode {
    let (mut seconds, mut from, mut keep) = (None, 0, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|text| text.parse::<u64>().ok());
        match word.as_str() {
            "--seconds" => seconds = number(),
            "--from" => from = number().unwrap_or(0),
            "--keep" => keep = true,
            _ => seconds = None,
        }
    }
    let Some(seconds) = seconds else {
        println!("{HELP}");
        return ExitCode::from(64);
    };
    let share = Duration::from_secs(seconds) / TARGETS.len() as u32;
    let mut crashed = false;
    for (name, target) in TARGETS {
        match fuzz(name, target, share, from) {
            Ok(runs) => println!("{name}: {runs} inputs, no crash"),
            Err(input) => {
                crashed = true;
                let path = corpus_folder(name).join(format!("found-{from}"));
                println!("{name}: crashed on {} bytes: {}", input.len(), kept(keep, &path, &input));
            }
        }
    }
    if crashed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Returns how many inputs went in, or the one that made the target panic.
fn fuzz(name: &str, target: Target, length: Duration, from: u64) -> Result<u64, Vec<u8>> {
    let seeds = corpus(name);
    let (began, mut runs) = (Instant::now(), 0);
    while began.elapsed() < length {
        let input = mutated(&seeds, from.wrapping_add(runs));
        if catch_unwind(|| target(&input)).is_err() {
            return Err(input);
        }
        runs += 1;
    }
    Ok(runs)
}

fn kept(keep: bool, path: &Path, input: &[u8]) -> String {
    match keep.then(|| std::fs::write(path, input)) {
        Some(Ok(())) => path.display().to_string(),
        Some(Err(error)) => format!("{}: {error}", path.display()),
        None => input.escape_ascii().to_string(),
    }
}
