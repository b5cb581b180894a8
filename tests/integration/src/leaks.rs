//! Everything that the client outputs in the stories: log lines, traces, and the `Debug` of its events. When a
//! [`Stage`](crate::Stage) is dropped, none of that may hold a secret of that stage.

use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};
use md5::{Digest, Md5};
use mock_gateway::Entry;
use sipwake::Trace;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers a line.
pub fn note(line: String) {
    lines().push(line);
}

/// Returns all lines of this process so far.
pub fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A logger and a trace that remember every line.
#[derive(Debug)]
pub struct Listener;

impl Listener {
    /// Makes it the logger of this process, once.
    pub fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&Listener).expect("no other logger is set in these tests");
            log::set_max_level(LevelFilter::Trace);
        });
    }
}

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The mock and the runtime are not shipped. What TLS or DNS say about a name is not ours.
        if record.target().starts_with("sipwake") {
            note(format!("{} {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

impl Trace for Listener {
    fn message(&self, _: bool, _: u64, text: &str) {
        note(format!("trace {text}"));
    }
}

/// Returns the parts of these messages that may appear nowhere else: digest answers and the HA1 behind them, next nonces,
/// X-PIID, the auth secret for sealed pushes, and the texts of chats.
pub fn secrets_of(messages: &[Entry], user: &str, password: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in messages {
        for line in entry.text.lines() {
            if let Some(piid) = line.strip_prefix("X-PIID: ") {
                found.push(piid.to_owned());
            }
            let key = line.strip_prefix("X-Push-Key: ").and_then(|key| key.split("auth=").nth(1));
            found.extend(key.and_then(|key| key.split(';').next()).map(str::to_owned));
            for name in [" response=\"", ",response=\"", "nextnonce=\""] {
                found.extend(after(line, name).map(str::to_owned));
            }
            if let Some(realm) = after(line, "realm=\"") {
                let hash = Md5::digest(format!("{user}:{realm}:{password}"));
                found.push(hash.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
        if entry.is_request("MESSAGE")
            && let Some((_, text)) = entry.text.split_once("\r\n\r\n")
            && text.len() >= 12
        {
            found.push(text.to_owned());
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The rest of a quoted value.
fn after<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(name)?.1.split('"').next().filter(|value| value.len() >= 12)
}

/// Fails for the first of the lines after `from` that holds one of the secrets.
pub fn assert_none(from: usize, secrets: &[String]) {
    let lines = lines();
    for secret in secrets {
        let leak = lines[from..].iter().find(|line| line.contains(secret.as_str()));
        assert!(leak.is_none(), "{secret:?} in {leak:?}");
    }
}
