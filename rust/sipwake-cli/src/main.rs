//! The sipwake command line.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

/// Prints a line. If nobody reads it any more (`sipwake … | head -1`), the process ends, as others do on SIGPIPE. The
/// standard library's `println` would panic then, so this one replaces it.
macro_rules! println {
    ($($text:tt)*) => { crate::line(format_args!($($text)*)) };
}

mod beside;
mod capture;
mod demo;
mod doctor;
mod explain;
mod input;
mod ladder;
mod payload;
mod register;
mod replay;
mod say;
mod sealed;
mod server;
mod settings;
mod tags;
mod verdict;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Wakes a phone for a SIP call: registers for push, reads pushes, and shows what goes over the wire.
#[derive(Parser)]
#[command(name = "sipwake", version, propagate_version = true)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the whole life of a push binding, against a mock gateway in this process
    Demo(demo::Options),
    /// Register with a real server, show its verdict about push, and wait for calls
    Register(Box<register::Options>),
    /// Test the whole life of a push binding at a server, and say what the server does wrong and what to change. Exit
    /// codes: 0 healthy, 1 works with remarks, 2 will not ring, 3 could not be tested
    Doctor(Box<doctor::Options>),
    /// Say why a phone did not ring, from its app's report (client.report())
    Explain(explain::Options),
    /// Replay an app's recording (Options::record_for_replay, register --record), and say where the core decides
    /// differently. Exit codes: 0 the same, 1 the file cannot be read, 2 different
    Replay(replay::Options),
    /// Act as the companion of another SIP stack, in any language: JSON on standard input and output, one object per
    /// line
    Beside(Box<beside::Options>),
    /// Print the tags that another SIP stack must put into its REGISTER
    Tags(tags::Options),
    /// Say what the response to such a REGISTER means for push
    Verdict(verdict::Options),
    /// Say what the app must tell the operating system about a push payload
    Payload(payload::Options),
    /// Print this phone's key for sealed pushes, for their sender
    PushKey(sealed::KeyOptions),
    /// Seal a push payload for a phone, as a server does
    Seal(sealed::SealOptions),
    /// Open a sealed push with the keys in a folder
    Unseal(sealed::UnsealOptions),
    /// Run the mock gateway alone: a registrar, a push gateway and a fake APNs/FCM
    Gateway(mock_gateway::program::Options),
}

fn main() -> ExitCode {
    log_to_standard_error();
    let command = match Options::try_parse() {
        Ok(options) => options.command,
        Err(told) => {
            if let Err(error) = told.print() {
                end_without_a_reader(&error);
            }
            return if told.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the async runtime cannot start: {error}")),
    };
    let result = runtime.block_on(async {
        let done = match command {
            // Its exit codes are its verdict.
            Command::Doctor(options) => return doctor::run(*options).await.map_err(|reason| (reason, 3)),
            Command::Replay(options) => return replay::run(&options).map_err(|reason| (reason, 1)),
            Command::Demo(options) => demo::run(options).await,
            Command::Register(options) => register::run(*options).await,
            Command::Explain(options) => explain::run(&options),
            Command::Beside(options) => beside::run(&options).await,
            Command::Tags(options) => tags::run(&options),
            Command::Verdict(options) => verdict::run(&options),
            Command::Payload(options) => payload::run(&options),
            Command::PushKey(options) => sealed::push_key(&options),
            Command::Seal(options) => sealed::seal(&options),
            Command::Unseal(options) => sealed::unseal(&options),
            Command::Gateway(options) => mock_gateway::program::run(options, |text| println!("{text}")).await,
        };
        done.map(|()| 0).map_err(|reason| (reason, 1))
    });
    // A read of standard input may still block a thread. Don't wait for it.
    runtime.shutdown_background();
    let code = result.unwrap_or_else(|(reason, code)| {
        note(&reason);
        code
    });
    ExitCode::from(code)
}

/// Filters by `RUST_LOG` as usual, but shows only warnings and errors of other crates, because the WebSocket crate
/// traces whole messages.
struct OwnWords(env_logger::Logger);

impl log::Log for OwnWords {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let own = metadata.level() <= log::Level::Warn || metadata.target().starts_with("sipwake");
        own && self.0.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn log_to_standard_error() {
    let environment = env_logger::Env::default().default_filter_or("off");
    let logger = env_logger::Builder::from_env(environment).format_timestamp_millis().build();
    let level = logger.filter();
    if log::set_boxed_logger(Box::new(OwnWords(logger))).is_ok() {
        log::set_max_level(level);
    }
}

/// The exit code that a shell reports for a process that SIGPIPE ended.
const BROKEN_PIPE: i32 = 128 + 13;

/// Texts from servers, pushes and files must not move the terminal's cursor. This shows control characters as JSON
/// escapes. JSON has them only inside strings, so a program reads the same text.
fn for_terminals(text: &str) -> String {
    let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let mut shown = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if moves(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn line(text: std::fmt::Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout(), "{}", for_terminals(&text.to_string())) {
        end_without_a_reader(&error);
    }
}

/// Ends the process if standard output accepts nothing more. If its reader went away, it ends silently, otherwise with
/// the reason.
fn end_without_a_reader(error: &std::io::Error) -> ! {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(BROKEN_PIPE);
    }
    note(&format!("standard output: {error}"));
    std::process::exit(1);
}

/// Tells the user something that is not part of the output.
fn note(text: &str) {
    // Standard error may be gone, too. Then the exit code says enough.
    let _ = writeln!(std::io::stderr(), "sipwake: {}", for_terminals(text));
}

fn failed(reason: &str) -> ExitCode {
    note(reason);
    ExitCode::FAILURE
}
