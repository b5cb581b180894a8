//! `sipwake register --record` and `sipwake replay`: a recording replays to the same end, and a file that is not a recording is
//! refused.

use std::path::Path;
use std::process::{Command, Output};

use mock_gateway::{Config, MockGateway, Profile};

const TOKEN: &str = "fjq8ZkqgTtGQd3s1Xw2v9y:APA91bHPRgkFLJu6orPN0eJbQ0uVg8Pq2yTWu3f8oV7mK1xZ4cD5rS6tN9aBvEeQwLkHjGfDs";

async fn sipwake(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipwake"));
    command.args(words).env("SIPWAKE_PASSWORD", "wonderland").env_remove("RUST_LOG");
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic")
}

async fn replay(file: &Path) -> (Option<i32>, String) {
    let output = sipwake(&["replay", file.to_str().expect("UTF-8")]).await;
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_of_register_replays_to_the_same_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("session.sipreplay");
    let path = file.to_str().expect("UTF-8");
    for (profile, transport) in [("rfc8599", "udp"), ("mizutech", "tcp")] {
        let profile = Profile::named(profile).expect("known");
        let mock = MockGateway::start(Config::new(profile).user("alice", "wonderland")).await.expect("loopback");
        let server = mock.addr().to_string();
        let who = ["register", "--aor", "alice@mock.example", "--server", &server, "--transport", transport];
        let output = sipwake(&[&who[..], &["--token", TOKEN, "--once", "--record", path]].concat()).await;
        assert!(output.status.success(), "{output:?}");
        let recorded = std::fs::read_to_string(&file).expect("it was written");
        for secret in ["wonderland", &TOKEN[..20], &TOKEN[30..60]] {
            assert!(!recorded.contains(secret), "{secret} in\n{recorded}");
        }
        let (code, said) = replay(&file).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(">>> REGISTER ") && said.contains("the same: "), "{said}");

        std::fs::write(&file, recorded.replace("Max-Forwards: 70", "Max-Forwards: 71")).expect("the folder is ours");
        let (code, said) = replay(&file).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("different: line ") && said.contains("Max-Forwards: 71"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_recording_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("session.sipreplay");
    let head = |version: &str| format!("{{\"sipwake_replay\":1,\"version\":\"{version}\"}}\n");
    let this = env!("CARGO_PKG_VERSION");
    for (text, reason) in [
        ("hello".to_owned(), "it is not a recording of sipwake"),
        (head("0.0.1"), "sipwake 0.0.1 recorded it, and this is "),
        (head(this), "it ends after line 1"),
        (format!("{}nonsense\n", head(this)), "line 2: "),
    ] {
        std::fs::write(&file, &text).expect("the folder is ours");
        let (code, said) = replay(&file).await;
        assert_eq!(code, Some(1), "{text}: {said}");
        assert!(said.contains(reason), "{text}: {said}");
    }
    let (code, said) = replay(&folder.path().join("none")).await;
    assert_eq!(code, Some(1), "{said}");
}
