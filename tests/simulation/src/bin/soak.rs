//! `soak`: plays stories for hours and checks whether the process grows.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use simulation::{Script, play, resident};

/// How much an allocator may keep.
const SLACK_KIB: usize = 8 * 1024;

struct Look {
    rss_kib: usize,
    descriptors: usize,
    threads: usize,
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let hours = match words.as_slice() {
        [] => Some(1.0),
        [option, hours] if option == "--hours" => {
            hours.parse::<f64>().ok().filter(|hours| (0.0..=1000.0).contains(hours))
        }
        _ => None,
    };
    let Some(hours) = hours else {
        println!("soak [--hours H], parts of an hour, too");
        return ExitCode::from(64);
    };
    let (began, length) = (Instant::now(), Duration::from_secs_f64(hours * 3600.0));
    let (mut seed, mut days) = (1_000_000, 0.0);
    let mut looks: Vec<Look> = Vec::new();
    // During the first tenth, the allocator's pools fill up.
    for (name, share) in [("start", 0.1), ("middle", 0.5), ("end", 1.0)] {
        while began.elapsed() < length.mul_f64(share) {
            let outcome = play(&Script::from_seed(seed));
            if let Some(broken) = outcome.broken {
                println!("seed {seed}: {broken}");
                return ExitCode::FAILURE;
            }
            days += outcome.simulated as f64 / 86_400_000.0;
            seed += 1;
        }
        let Some(look) = look() else {
            println!("no /proc to look at");
            return ExitCode::from(69);
        };
        println!(
            "{name}: {days:.0} simulated days, {} KiB resident, {} file descriptors, {} threads",
            look.rss_kib, look.descriptors, look.threads
        );
        looks.push(look);
    }
    let grew = looks[2].rss_kib > looks[0].rss_kib + SLACK_KIB
        || looks[2].descriptors > looks[0].descriptors
        || looks[2].threads > looks[0].threads;
    println!("{}", if grew { "it grew" } else { "flat" });
    if grew { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn look() -> Option<Look> {
    Some(Look {
        rss_kib: resident()? / 1024,
        descriptors: std::fs::read_dir("/proc/self/fd").ok()?.count(),
        threads: std::fs::read_dir("/proc/self/task").ok()?.count(),
    })
}
