//! `simulate`: runs any number of seeds, or one story from a file.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use simulation::{Habit, Script, play, processor_time, run_shown, shrink};

const HELP: &str = "simulate [--seeds N | --seconds N] [--from SEED] [--habit NAME]… [--keep FOLDER] | --seed SEED | --script FILE | --show FILE";

fn main() -> ExitCode {
    let mut many = Many { from: 0, seeds: 10_000, length: None, habits: Vec::new(), keep: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (word.as_str(), value.parse::<u64>()) {
            ("--seeds", Ok(count)) => many.seeds = count,
            ("--seconds", Ok(seconds)) => {
                (many.seeds, many.length) = (u64::MAX, Some(Duration::from_secs(seconds)));
            }
            ("--from", Ok(seed)) => many.from = seed,
            ("--habit", _) if Habit::named(&value).is_some() => many.habits.extend(Habit::named(&value)),
            ("--keep", _) => many.keep = Some(value.into()),
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
                return ExitCode::from(64);
            }
        }
    }
    many.play()
}

fn one(script: &Script) -> ExitCode {
    let outcome = play(script);
    println!("{outcome:?}");
    let Some(broken) = outcome.broken else { return ExitCode::SUCCESS };
    println!("{broken}\n# shrunk:\n{}", shrink(script).to_text());
    ExitCode::FAILURE
}

struct Many {
    from: u64,
    seeds: u64,
    length: Option<Duration>,
    /// The habits of every server, instead of random ones.
    habits: Vec<Habit>,
    /// The folder for a failing story, after it was made short.
    keep: Option<PathBuf>,
}

impl Many {
    fn play(&self) -> ExitCode {
        let (began, used) = (Instant::now(), processor_time());
        let mut lives_with: BTreeMap<Habit, u64> = BTreeMap::new();
        let (mut played, mut days, mut registers, mut violations) = (0, 0.0, 0, 0);
        for seed in self.from..self.from.saturating_add(self.seeds) {
            if self.length.is_some_and(|length| began.elapsed() >= length) {
                break;
            }
            let mut script = Script::from_seed(seed);
            if !self.habits.is_empty() {
                script.setting.habits.clone_from(&self.habits);
            }
            let outcome = play(&script);
            played += 1;
            script.setting.habits.iter().for_each(|habit| *lives_with.entry(*habit).or_insert(0) += 1);
            days += outcome.simulated as f64 / 86_400_000.0;
            registers += outcome.registers;
            if let Some(broken) = outcome.broken {
                violations += 1;
                println!("seed {seed}: {broken}");
                if let Some(folder) = &self.keep {
                    let path = folder.join(format!("seed-{seed}.jsonl"));
                    let text = format!("# {broken}\n{}", shrink(&script).to_text());
                    println!("{}: {:?}", path.display(), std::fs::write(&path, text));
                }
            }
        }
        for (habit, lives) in lives_with {
            println!("{habit:?}: {lives} lives, {:.1} %", 100.0 * lives as f64 / played.max(1) as f64);
        }
        let seconds = (processor_time() - used).as_secs_f64().max(0.01);
        println!(
            "{played} seeds, {days:.0} days, {registers} REGISTERs in {seconds:.1} s of processor time: {:.0} seeds a second, {:.0} days a minute; {violations} violations",
            played as f64 / seconds,
            days / seconds * 60.0
        );
        if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
