//! `sipwake replay`: replays an app's recording.

use clap::Args;
use serde_json::json;
use sipwake::core::replay::{Played, Recording};

use crate::input;

#[derive(Args)]
pub(crate) struct Options {
    /// A file with a recording from Client::recording() or register --record, or - for standard input
    file: String,
    /// Print every message, with placeholders for secrets
    #[arg(long)]
    messages: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A recording has 64 megabytes at most.
const MAX_RECORDING: u64 = 64 << 20;

/// Returns the exit code: 0 if the core decides the same, 2 if it does not.
pub(crate) fn run(options: &Options) -> Result<u8, String> {
    let file = input::read_up_to(&options.file, MAX_RECORDING)?;
    let recording = Recording::read(&file).map_err(|error| format!("{}: {error}", options.file))?;
    let played = recording.play();
    if options.json {
        println!("{:#}", as_json(&played));
    } else {
        show(&played, options.messages);
    }
    Ok(if played.difference.is_some() { 2 } else { 0 })
}

fn as_json(played: &Played) -> serde_json::Value {
    json!({
        "same": played.difference.is_none(),
        "difference": played.difference.as_ref().map(ToString::to_string),
        "inputs": played.steps.len(),
        "messages": messages(played),
        "full": played.full,
        "decisions": played.decisions,
    })
}

fn messages(played: &Played) -> usize {
    played.steps.iter().map(|step| step.sent.len()).sum()
}

fn show(played: &Played, with_messages: bool) {
    for step in &played.steps {
        println!("{:>10.3} s  {}", step.at.as_secs_f64(), step.input);
        let received = step.received.as_ref().map(|bytes| ("<<<", bytes));
        for (way, bytes) in received.into_iter().chain(step.sent.iter().map(|bytes| (">>>", bytes))) {
            let text = String::from_utf8_lossy(bytes);
            // A text from a server must not move the terminal's cursor.
            let lines = text.lines().map(|line| line.replace(|c: char| c.is_control(), " "));
            for (index, line) in lines.take(if with_messages { usize::MAX } else { 1 }).enumerate() {
                println!("              {} {line}", if index == 0 { way } else { "   " });
            }
        }
    }
    println!("\ndecisions:");
    for decision in &played.decisions {
        let facts: Vec<String> =
            decision.facts.iter().map(|(name, value)| format!("{name}={}", json!(value))).collect();
        println!("    {} {} {}", decision.code, decision.name, facts.join(" ").replace('"', ""));
    }
    println!("");
    if played.full {
        println!("the recording reached its size limit: later events are missing");
    }
    match &played.difference {
        None => println!(
            "the same: {} inputs, {} messages, {} decisions",
            played.steps.len(),
            messages(played),
            played.decisions.len()
        ),
        Some(difference) => println!("different: {difference}"),
    }
}
