//! The soak over real sockets, for a few seconds: it runs, sees that nothing is left behind, and says so.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "the table is worth showing")]

use std::process::Command;

#[test]
fn phones_with_short_lives_leave_nothing_behind_and_the_process_does_not_grow() {
    let mut soak = Command::new(env!("CARGO_BIN_EXE_soak-sockets"));
    let output = soak.args(["--hours", "0.004"]).output().expect("it was built beside this test");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for step in ["calls by push and INVITE", "server restarts", "connections broken", "log-outs and log-ins"] {
        assert!(said.contains(step), "no {step}: {said}");
    }
    assert!(said.ends_with("flat\n"), "{said}");
}
