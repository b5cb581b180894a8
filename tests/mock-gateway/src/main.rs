//! `mock-gateway`: the mock as a program.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use mock_gateway::{Config, MockGateway, Profile, control};
use serde_json::json;
use tokio::io::AsyncReadExt;

/// A SIP registrar, a push gateway and a fake APNs/FCM in one, on loopback, for tests.
///
/// Prints one line of JSON with its addresses when it is ready:
/// {"address":"127.0.0.1:5070","control":"127.0.0.1:5071","upper":"127.0.0.1:5072","profile":"mizutech"}.
/// Drive it through the control port with one JSON object a line; the ops are in the crate's README.
#[derive(Parser)]
#[command(name = "mock-gateway", version)]
struct Options {
    /// Address for SIP over UDP and TCP; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the control port (TCP, JSON lines)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// The kind of server to be
    #[arg(long, default_value = "mizutech", value_parser = Profile::NAMES)]
    profile: String,
    /// Digest realm, of the gateway and of the upper server behind it
    #[arg(long, default_value = "asterisk")]
    realm: String,
    /// A user and its password; may be given many times
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = user)]
    users: Vec<(String, String)>,
    /// Ask for no authentication
    #[arg(long)]
    no_auth: bool,
    /// End when standard input ends, so that a test that dies leaves nothing behind
    #[arg(long)]
    exit_with_stdin: bool,
}

fn user(text: &str) -> Result<(String, String), String> {
    let (name, password) = text.split_once(':').ok_or("expected NAME:PASSWORD")?;
    if name.is_empty() { Err("the name is empty".into()) } else { Ok((name.to_owned(), password.to_owned())) }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let mut profile = Profile::named(&options.profile).ok_or("unknown profile")?;
    if options.no_auth {
        profile.challenges.offers.clear();
    }
    let mut config = Config { listen: options.listen, realm: options.realm, ..Config::new(profile) };
    for (name, password) in &options.users {
        config = config.user(name, password);
    }
    let mock = MockGateway::start(config).await.map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    let control = control::listen(&mock, options.control).await;
    let control = control.map_err(|e| format!("cannot listen on {}: {e}", options.control))?;
    announce(&json!({
        "address": mock.addr().to_string(),
        "control": control.to_string(),
        "upper": mock.upper().map(|u| u.addr().to_string()),
        "profile": options.profile,
    }));
    tokio::select! {
        () = stdin_ended(), if options.exit_with_stdin => {}
        () = mock.stopped() => {}
    }
    // A read of standard input may still block a thread of the runtime: don't wait for it.
    std::process::exit(0)
}

async fn stdin_ended() {
    let (mut stdin, mut buffer) = (tokio::io::stdin(), [0; 256]);
    while matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
}

#[allow(clippy::print_stdout, reason = "the one line other programs read")]
fn announce(line: &serde_json::Value) {
    println!("{line}");
}

#[allow(clippy::print_stderr, reason = "a program says why it ends")]
fn complain(error: &str) {
    eprintln!("mock-gateway: {error}");
}
