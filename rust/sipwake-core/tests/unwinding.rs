//! A panic anywhere in a registration's life unwinds to the caller and drops everything in between.
//!
//! The build for phones makes the machine code smaller in ways that change how a panic unwinds: common parts of functions
//! are moved out of them, and the unwind tables hold less. `scripts/test --only arm64` runs this test with that code, too.
//! It has a process of its own, because its logger panics.
#![allow(clippy::print_stdout, reason = "scripts/test tells how many places there were")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Stage, account, mpush, seconds};

#[path = "core/support.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod support;

/// A logger that panics at the line with the number in `PANICS_AT`; 0 means at no line.
struct Panicking;

static LINE: AtomicUsize = AtomicUsize::new(0);
static PANICS_AT: AtomicUsize = AtomicUsize::new(0);

impl log::Log for Panicking {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = LINE.fetch_add(1, Ordering::Relaxed) + 1;
        if line == PANICS_AT.load(Ordering::Relaxed) {
            panic!("line {line}: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Answers whatever was sent.
fn answer(stage: &mut Stage, code: u16, lines: &[&str]) {
    for request in stage.all() {
        match code {
            200 => stage.ok(&request, lines),
            _ => stage.reply(&request, code, lines),
        }
    }
}

/// Refused, registered at another gateway, with rubbish received, a broken flow and a damaged record, and logged out.
fn life() {
    let gateways = || account(|config| config.gateways = vec!["sip:a.example.com".into(), "sip:b.example.com".into()]);
    let mut stage = Stage::new(gateways(), mpush());
    stage.set_token(support::fcm("a:1"));
    stage.start_registering();
    for (code, lines) in [(503, [].as_slice()), (401, &[support::CHALLENGE]), (200, &["Service-Route: nonsense"])] {
        answer(&mut stage, code, lines);
        stage.advance(seconds(1));
    }
    stage.input("\u{1f4de} no SIP");
    stage.flow_breaks();
    answer(&mut stage, 500, &[]);
    stage.advance(seconds(700));
    answer(&mut stage, 200, &[]);
    let damaged = stage.store.keys().map(|key| (key.clone(), b"sipwake 1 damaged\n{}".to_vec())).collect();
    let mut late = Stage::restored(gateways(), mpush(), damaged, stage.now, 2);
    late.start_registering();
    answer(&mut late, 403, &[]);
    late.log_out();
    for _ in 0..30 {
        answer(&mut late, 200, &[]);
        late.advance(seconds(60));
    }
}

#[test]
fn a_panic_at_any_log_line_unwinds() {
    log::set_logger(&Panicking).expect("nobody else has set one");
    log::set_max_level(log::LevelFilter::Trace);
    life();
    let lines = LINE.load(Ordering::Relaxed);
    assert!(lines >= 6, "too few lines for a real example: {lines}");
    std::panic::set_hook(Box::new(|_| {}));
    for line in 1..=lines {
        LINE.store(0, Ordering::Relaxed);
        PANICS_AT.store(line, Ordering::Relaxed);
        let held = Rc::new(());
        let passed = held.clone();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _passed = passed;
            life();
        }));
        let message = caught.expect_err("it panics").downcast::<String>().expect("of the logger's making");
        assert!(message.starts_with(&format!("line {line}: ")) && Rc::strong_count(&held) == 1, "{message}");
    }
    println!("unwound from {lines} places");
}
