//! The sipwake command line.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

/// Prints a line; where nobody reads it any more (`sipwake … | head -1`), the process ends, as others do on SIGPIPE. It takes
/// the place of the standard library's, which panics then.
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
    /// codes: 0 healthy, 1 works with remarks, 2 will not ring, 3 it could not be tried
    Doctor(Box<doctor::Options>),
    /// Say why a phone did not ring, from the report that its app gives (client.report())
    Explain(explain::Options),
    /// Play what an app recorded (Options::record_for_replay, register --record) again, and say where the core decides
    /// differently. Exit codes: 0 the same, 1 it cannot be read, 2 different
    Replay(replay::Options),
    /// Be the companion of another SIP stack, in any language: JSON on standard input and output, one object per line
    Beside(Box<beside::Options>),
    /// Print the tags that another SIP stack must put into its REGISTER
    Tags(tags::Options),
    /// Say what the response to such a REGISTER means for push
    Verdict(verdict::Options),
    /// Say what to tell the operating system about a push payload
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
        Err(error) => return failed(&format!("no runtime: {error}")),
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
    // A read of standard input may still hold a thread: don't wait for it.
    runtime.shutdown_background();
    let code = result.unwrap_or_else(|(reason, code)| {
        note(&reason);
        code
    });
    ExitCode::from(code)
}

/// `RUST_LOG` as everywhere, but without what other crates say below a warning: that of WebSocket traces whole messages.
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

/// What a shell reports of a process that SIGPIPE ended.
const BROKEN_PIPE: i32 = 128 + 13;

fn line(text: std::fmt::Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}") {
        end_without_a_reader(&error);
    }
}

/// Ends the process where standard output takes nothing more: quietly if its reader went away, else with the reason.
fn end_without_a_reader(error: &std::io::Error) -> ! {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(BROKEN_PIPE);
    }
    note(&format!("standard output: {error}"));
    std::process::exit(1);
}

/// Tells the user something beside the output.
fn note(text: &str) {
    // Standard error may be gone too; the exit code says enough then.
    let _ = writeln!(std::io::stderr(), "sipwake: {text}");
}

fn failed(reason: &str) -> ExitCode {
    note(reason);
    ExitCode::FAILURE
}
