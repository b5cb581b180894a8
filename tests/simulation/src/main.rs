//! `simulate`: runs any number of seeds, or one story from a file.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::process::ExitCode;

use simulation::{Script, play, processor_time, run_shown, shrink};

const HELP: &str = "simulate [--seeds N] [--from SEED] | --seed SEED | --script FILE | --show FILE";

fn main() -> ExitCode {
    let mut seeds = 10_000;
    let mut from = 0;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (word.as_str(), value.parse::<u64>()) {
            ("--seeds", Ok(count)) => seeds = count,
            ("--from", Ok(seed)) => from = seed,
            ("--seed", Ok(seed)) => return one(&Script::from_seed(seed)),
            ("--show", _) => match std::fs::read_to_string(&value).map(|text| Script::parse(&text)) {
                Ok(Ok(script)) => {
                    println!("{:?}", run_shown(&script, Some(&mut |line| println!("{line}"))));
                    return ExitCode::SUCCESS;
                }
                problem => println!("{value}: {problem:?}"),
            },
            ("--script", _) => match std::fs::read_to_string(&value).map(|text| Script::parse(&text)) {
                Ok(Ok(script)) => return one(&script),
                problem => println!("{value}: {problem:?}"),
            },
            _ => {
                println!("{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    many(from, seeds)
}

fn one(script: &Script) -> ExitCode {
    let outcome = play(script);
    println!("{outcome:?}");
    let Some(broken) = outcome.broken else { return ExitCode::SUCCESS };
    println!("{broken}\n# shrunk:\n{}", shrink(script).to_text());
    ExitCode::FAILURE
}

fn many(from: u64, seeds: u64) -> ExitCode {
    let (began, mut days, mut registers, mut violations) = (processor_time(), 0.0, 0, 0);
    for seed in from..from + seeds {
        let outcome = play(&Script::from_seed(seed));
        days += outcome.simulated as f64 / 86_400_000.0;
        registers += outcome.registers;
        if let Some(broken) = outcome.broken {
            violations += 1;
            println!("seed {seed}: {broken}");
        }
    }
    let seconds = (processor_time() - began).as_secs_f64().max(0.01);
    println!(
        "{seeds} seeds, {days:.0} days, {registers} REGISTERs in {seconds:.1} s of processor time: {:.0} seeds a second, {:.0} days a minute; {violations} violations",
        seeds as f64 / seconds,
        days / seconds * 60.0
    );
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
