//! The mock as a program: `mock-gateway` and `sipwake gateway` are this one, with one set of options and one output.

use std::io::IsTerminal;
use std::net::SocketAddr;

use clap::Args;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::control::{self, Control};
use crate::{Config, Habit, Habits, MockGateway, Profile};

/// What the program is started with.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Address for SIP over UDP and TCP; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the control port (TCP, JSON lines). A client outside loopback must first send the printed code
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// The kind of server to play
    #[arg(long, default_value = "mizutech", value_parser = Profile::NAMES)]
    profile: String,
    /// A difference of the server from the standards, as in --list-habits. You can give it several times
    #[arg(long = "habit", value_name = "NAME", value_parser = habit)]
    habits: Vec<Habit>,
    /// Print the habits, each with its effect and its source
    #[arg(long)]
    list_habits: bool,
    /// Digest realm, of the gateway and of the upper server behind it
    #[arg(long, default_value = "asterisk")]
    realm: String,
    /// A user and their password. You can give it several times
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = user, default_value = "alice:wonderland")]
    users: Vec<(String, String)>,
    /// Ask for no authentication
    #[arg(long)]
    no_auth: bool,
    /// End when standard input ends, so that a test that dies leaves no process
    #[arg(long)]
    exit_with_stdin: bool,
    /// Print one line of JSON. This is the default if standard output is not a terminal
    #[arg(long)]
    json: bool,
}

fn user(text: &str) -> Result<(String, String), String> {
    let (name, password) = text.split_once(':').ok_or("expected NAME:PASSWORD")?;
    if name.is_empty() { Err("the name is empty".into()) } else { Ok((name.to_owned(), password.to_owned())) }
}

fn habit(name: &str) -> Result<Habit, String> {
    Habit::named(name).ok_or_else(|| "unknown habit; --list-habits prints them all".to_owned())
}

/// Runs the mock until it is told to stop, by a signal, its control port or the end of standard input. `print` takes the lines
/// for standard output.
///
/// # Errors
/// An address cannot be bound.
pub async fn run(options: Options, print: impl Fn(&str)) -> Result<(), String> {
    if options.list_habits {
        for habit in Habit::ALL {
            print(&if options.json {
                json!({"name": habit.name(), "does": habit.does(), "seen": habit.seen()}).to_string()
            } else {
                format!("{:<24} {} Seen: {}.", habit.name(), habit.does(), habit.seen())
            });
        }
        return Ok(());
    }
    let mut profile = Profile::named(&options.profile).ok_or("unknown profile")?;
    profile.habits = Habits::of(&options.habits);
    if options.no_auth {
        profile.challenges.offers.clear();
    }
    let mut config = Config { listen: options.listen, realm: options.realm.clone(), ..Config::new(profile) };
    for (name, password) in &options.users {
        config = config.user(name, password);
    }
    let cannot = |address: SocketAddr, error: std::io::Error| format!("cannot listen on {address}: {error}");
    let mock = MockGateway::start(config).await.map_err(|error| cannot(options.listen, error))?;
    let control = control::open(&mock, options.control).await.map_err(|error| cannot(options.control, error))?;
    if options.json || !std::io::stdout().is_terminal() {
        print(&announcement(&options, &mock, &control).to_string());
    } else {
        print(&format!("SIP over UDP and TCP on {}, as a {} server", mock.addr(), options.profile));
        print(&format!("control port (JSON lines) on {}", control.address));
        if !control.address.ip().is_loopback() {
            print(&format!("from elsewhere its first line must be {}", json!({"op": "hello", "code": control.code})));
        }
        print("Ctrl-C ends it");
    }
    tokio::select! {
        () = stdin_ended(), if options.exit_with_stdin => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        () = mock.stopped() => Ok(()),
    }
}

fn announcement(options: &Options, mock: &MockGateway, control: &Control) -> Value {
    let off_loopback = !control.address.ip().is_loopback();
    json!({
        "address": mock.addr().to_string(),
        "control": control.address.to_string(),
        "upper": mock.upper().map(|u| u.addr().to_string()),
        "profile": options.profile,
        "habits": options.habits.iter().map(|habit| habit.name()).collect::<Vec<_>>(),
        "code": off_loopback.then_some(&control.code),
    })
}

async fn stdin_ended() {
    let (mut stdin, mut buffer) = (tokio::io::stdin(), [0; 256]);
    while matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
}
