//! `soak-sockets`: phones on UDP, TCP, TLS and WebSocket go through registrations, pushes, calls and failures as fast as
//! they can. The process is watched all the time and must not grow.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command's output")]

mod control;
mod looks;
mod phone;
mod server;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use looks::{Look, Table};
use phone::Phone;
use server::{Servers, Site};

/// The argument that makes this process the one of the servers.
const SERVE: &str = "--serve";
/// The smallest number of looks in the whole time; there are more if they would be further apart than [`LONGEST_PAUSE`].
const LOOKS: u32 = 90;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long leftovers may take to go: a closed flow may stay for a second, an idle thread for ten.
const SETTLED: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let hours = match words.as_slice() {
        [word] if word == SERVE => return end(server::serve()),
        [] => Some(1.0),
        [option, hours] if option == "--hours" => {
            hours.parse::<f64>().ok().filter(|hours| (0.001..=1000.0).contains(hours))
        }
        _ => None,
    };
    let Some(hours) = hours else {
        println!("soak-sockets [--hours H], parts of an hour, too, from 0.001 on");
        return ExitCode::from(64);
    };
    end(soak(Duration::from_secs_f64(hours * 3600.0)))
}

fn end(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("soak-sockets: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn soak(length: Duration) -> Result<(), String> {
    let servers = Servers::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime: {error}"))?;
    runtime.block_on(live(&servers.sites, length))
}

async fn live(sites: &[Site], length: Duration) -> Result<(), String> {
    let runtime = Handle::current();
    let before = Look::now(&runtime)?;
    let until = Instant::now() + length;
    let stop = Arc::new(AtomicBool::new(false));
    let mut phones = JoinSet::new();
    for (seed, site) in (1..).zip(sites) {
        phones.spawn(life(site.clone(), seed, stop.clone()));
    }
    let pause = (length / LOOKS).min(LONGEST_PAUSE);
    let mut looks = Vec::new();
    let mut done = BTreeMap::new();
    let mut next = Instant::now() + pause;
    while next < until {
        tokio::select! {
            Some(ended) = phones.join_next() => return Err(ended.map_or_else(|error| error.to_string(), broken)),
            () = sleep_until(next) => looks.push(Look::now(&runtime)?),
        }
        next += pause;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = phones.join_next().await {
        for (what, times) in ended.map_err(|error| error.to_string())?? {
            *done.entry(what).or_insert(0_u64) += times;
        }
    }
    let told: Vec<String> = done.iter().map(|(what, times)| format!("{times} {what}")).collect();
    println!("{} steps in {:.0} s: {}", done.values().sum::<u64>(), length.as_secs_f64(), told.join(", "));
    let table = Table::of(&looks);
    println!("{table}");
    let mut grown = table.grown();
    let after = settled(&runtime, before).await?;
    println!(
        "after the last phone: {} descriptors, {} tasks; before: {}, {}",
        after.descriptors, after.tasks, before.descriptors, before.tasks
    );
    if after.descriptors > before.descriptors || after.tasks > before.tasks {
        grown.push("something was left behind".to_owned());
    }
    if grown.is_empty() {
        println!("flat");
        return Ok(());
    }
    Err(format!("it grew; {}", grown.join("; ")))
}

fn broken(ended: Result<BTreeMap<&'static str, u64>, String>) -> String {
    ended.err().unwrap_or_else(|| "a phone ended early".to_owned())
}

/// Lives until it is told to stop. Returns how often it did each step.
async fn life(site: Site, seed: u64, stop: Arc<AtomicBool>) -> Result<BTreeMap<&'static str, u64>, String> {
    let transport = site.transport;
    let named = |reason: String| format!("over {}: {reason}", transport.via());
    let mut phone = Phone::start(site, seed).await.map_err(named)?;
    let mut done = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let (what, result) = phone.step().await;
        result.map_err(|reason| named(format!("{what}: {reason}")))?;
        *done.entry(what).or_insert(0) += 1;
    }
    phone.end().await.map_err(named)?;
    Ok(done)
}

/// Waits until nothing new is open, or until the time limit.
async fn settled(runtime: &Handle, before: Look) -> Result<Look, String> {
    let by = Instant::now() + SETTLED;
    loop {
        let look = Look::now(runtime)?;
        if (look.descriptors <= before.descriptors && look.tasks <= before.tasks) || Instant::now() >= by {
            return Ok(look);
        }
        sleep(Duration::from_millis(50)).await;
    }
}
