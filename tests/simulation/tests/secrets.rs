//! Promise 7 in the simulation's stories: each log line, and the `Debug` of each output of the core.

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use md5::{Digest, Md5};
use simulation::{Script, run_shown};

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LINES: Mutex<usize> = Mutex::new(0);

struct Reader;

impl Log for Reader {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        read(&format!("{} {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// What no line may hold: the start of each password, the end of each token, each HA1, an answer to a challenge.
fn secrets() -> Vec<String> {
    let ha1 = |user: usize| {
        let hash = Md5::digest(format!("user{user}:sim:open-sesame-user{user}"));
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let fixed = ["open-sesame", "APA91bVerySecretIndeed", "response=\""].map(str::to_owned);
    fixed.into_iter().chain((0..2).map(ha1)).collect()
}

fn read(line: &str) {
    *LINES.lock().expect("no test panics with it") += 1;
    if secrets().iter().any(|secret| line.contains(secret.as_str())) {
        LEAKS.lock().expect("no test panics with it").push(line.to_owned());
    }
}

#[test]
fn no_log_line_and_no_debug_of_an_output_shows_a_secret() {
    log::set_logger(&Reader).expect("the only logger");
    log::set_max_level(LevelFilter::Trace);
    log::debug!("password: open-sesame-user0");
    assert_eq!(
        std::mem::take(&mut *LEAKS.lock().expect("no test panics with it")).len(),
        1,
        "the reader recognises nothing"
    );
    for seed in 0..100 {
        let script = Script::from_seed(seed);
        // The lines of the messages themselves show what the server must learn.
        let mut show = |line: &str| {
            if !line.contains("    -> ") && !line.contains("    <- ") {
                read(line);
            }
        };
        run_shown(&script, Some(&mut show));
    }
    let leaks = LEAKS.lock().expect("no test panics with it");
    assert!(leaks.is_empty(), "{} lines, the first: {}", leaks.len(), leaks[0]);
    assert!(*LINES.lock().expect("no test panics with it") > 10_000, "too little was read");
}
