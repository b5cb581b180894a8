//! SIGKILL at every write and every send, with every kind of server.
#![allow(clippy::print_stdout, reason = "how many points were tried is worth a line")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mock_gateway::{Config, MockGateway, Profile};
use tokio::process::Command;

const PROFILES: [&str; 4] = ["rfc8599", "xmpush", "opensips", "portsip"];
/// How long a log-out may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// More points than any story has.
const MAX_POINTS: u32 = 200;

/// Runs the process. Returns its output, or `None` if it was killed.
async fn run(mock: &MockGateway, folder: &Path, kill_at: Option<u32>, stay: bool) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
    command.arg(mock.addr().to_string()).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(at) = kill_at {
        command.env("KILL_AT", at.to_string());
    }
    if stay {
        command.env("STAY", "1");
    }
    let mut victim = command.spawn().expect("the program to kill was built with this test");
    let stdin = victim.stdin.take();
    let gone = mock.wait_until(async || mock.bindings("alice").await.is_empty(), PATIENCE);
    let ended = victim.wait_with_output();
    tokio::pin!(ended);
    let output = tokio::select! {
        output = &mut ended => output,
        _ = gone => {
            drop(stdin);
            ended.await
        }
    };
    let output = output.expect("it can be waited for");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn dialect_aware_violations(mock: &MockGateway) -> Vec<String> {
    let forbidden = ["cseq-not-growing", "call-id-changed", "nc-not-growing", "bad-nc", "unreadable"];
    let violations = mock.violations().into_iter().filter(|violation| forbidden.contains(&violation.kind));
    violations.map(|violation| format!("{}: {}", violation.kind, violation.detail)).collect()
}

/// Kills at each point in turn. Every third time it also kills the next process a little later.
async fn kill_everywhere(profile: &str, stay: bool) -> u32 {
    for at in 1..MAX_POINTS {
        let profile = Profile::named(profile).expect("a known profile");
        let mock = MockGateway::start(Config::new(profile).user("alice", "wonderland")).await.expect("loopback");
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(said) = run(&mock, folder.path(), Some(at), stay).await {
            assert_eq!(said, "done", "{} without a kill", mock.addr());
            mock.shutdown().await;
            return at - 1;
        }
        if at % 3 == 0 {
            let _ = run(&mock, folder.path(), Some(at % 7 + 1), stay).await;
        }
        assert_eq!(run(&mock, folder.path(), None, stay).await.as_deref(), Some("done"), "after a kill at {at}");
        let bindings = mock.bindings("alice").await;
        let tokens: Vec<&str> =
            bindings.iter().filter_map(|binding| Some(binding.push.as_ref()?.token.as_str())).collect();
        if stay {
            assert!(tokens.iter().all(|token| *token == "token-two:APA91bVerySecret"), "kill at {at}: {tokens:?}");
            assert_eq!(bindings.iter().filter(|binding| binding.registered).count(), 1, "kill at {at}: {bindings:?}");
        } else {
            assert!(bindings.is_empty(), "kill at {at}: {bindings:?}");
        }
        assert_eq!(dialect_aware_violations(&mock), Vec::<String>::new(), "kill at {at}");
        mock.shutdown().await;
    }
    panic!("the story does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_survives_a_kill_at_every_point() {
    for profile in PROFILES {
        let points = kill_everywhere(profile, false).await;
        println!("{profile}: killed at {points} points");
        assert!(points >= 15, "{profile}: only {points} points");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_old_token_lives_after_a_kill_at_any_point() {
    for profile in PROFILES {
        let points = kill_everywhere(profile, true).await;
        println!("{profile}: killed at {points} points");
        assert!(points >= 10, "{profile}: only {points} points");
    }
}
