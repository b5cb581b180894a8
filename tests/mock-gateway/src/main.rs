//! `mock-gateway`: the mock as a program, the same as `sipwake gateway`.
#![forbid(unsafe_code)]

use std::io::Write;

use clap::Parser;
use mock_gateway::program;

/// A SIP registrar, a push gateway and a fake APNs/FCM in one, on loopback, for tests.
///
/// Prints one line of JSON with its addresses when it is ready:
/// {"address":"127.0.0.1:5070","control":"127.0.0.1:5071","upper":"127.0.0.1:5072","profile":"mizutech","habits":[],"code":null}.
/// Drive it through the control port with one JSON object a line; the ops are in the crate's README.
#[derive(Parser)]
#[command(name = "mock-gateway", version)]
struct Command {
    #[command(flatten)]
    options: program::Options,
}

#[tokio::main]
async fn main() {
    let print = |line: &str| {
        if let Err(error) = writeln!(std::io::stdout(), "{line}") {
            complain(&format!("standard output: {error}"));
            std::process::exit(1);
        }
    };
    let result = program::run(Command::parse().options, print).await;
    if let Err(error) = &result {
        complain(error);
    }
    // A read of standard input may still block a thread of the runtime: don't wait for it.
    std::process::exit(i32::from(result.is_err()))
}

fn complain(error: &str) {
    // Standard error may be gone too; the exit code says enough then.
    let _ = writeln!(std::io::stderr(), "mock-gateway: {error}");
}
