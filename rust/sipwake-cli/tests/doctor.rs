//! `sipwake doctor` against the mock: a healthy server, and each habit of a real one.

use std::process::{Command, Output};
use std::sync::Arc;

use mock_gateway::{Config, Habit, MockGateway, Profile};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md");
const BEGIN: &str = "<!-- habits -->\n";
const END: &str = "<!-- /habits -->";

/// What the doctor cannot see by registering, and why.
const UNSEEN: [(Habit, &str); 8] = [
    (Habit::StaleMissing, "a nonce must expire first"),
    (Habit::RemovalKeepsRfc8599, "only a call shows it"),
    (Habit::RemovalKeepsXmpush, "only a call shows it"),
    (Habit::PushNever, "only a call shows it"),
    (Habit::NoPong, "a connection must be idle first"),
    (Habit::ToCut, "only a call shows it"),
    (Habit::CallIdRenamed, "only a call shows it"),
    (Habit::AliasInTo, "only a call shows it"),
];

async fn mock(profile: &str, habits: &[Habit]) -> MockGateway {
    let profile = Profile::named(profile).expect("known");
    let mock = MockGateway::start(Config::new(profile).user("alice", "wonderland")).await.expect("loopback is there");
    mock.set_habits(None, habits).await;
    mock
}

async fn doctor(mock: &MockGateway, password: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipwake"));
    command.args(["doctor", "--aor", "alice@mock.example", "--server", &mock.addr().to_string()]);
    command.args(["--package", "my-project", "--dialect", "rfc8599"]).args(more);
    command.env("SIPWAKE_PASSWORD", password).env_remove("RUST_LOG");
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn codes(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_server_is_left_as_it_was_found() {
    for transport in ["udp", "tcp"] {
        let mock = mock("rfc8599", &[]).await;
        let output = doctor(&mock, "wonderland", &["--json", "--transport", transport]).await;
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!(codes(&report), [] as [&str; 0]);
        assert!(report["steps"].as_array().is_some_and(|steps| steps.len() == 8), "{report:#}");
        assert!(mock.bindings("alice").await.is_empty());
        assert_eq!(mock.violations(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_pushes_without_saying_so_is_told_from_one_that_says_it() {
    let silent = mock("kamailio", &[]).await;
    let output = doctor(&silent, "wonderland", &["--json"]).await;
    assert_eq!((output.status.code(), codes(&report(&output))), (Some(1), vec!["push-unsaid".to_owned()]));
    let mut profile = Profile::named("kamailio").expect("known");
    profile.feature_caps = mock_gateway::profile::FeatureCaps::Standard;
    silent.set_profile(None, profile).await;
    let output = doctor(&silent, "wonderland", &["--json"]).await;
    assert_eq!((output.status.code(), codes(&report(&output))), (Some(0), vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_beside_another_device() {
    let mock = mock("rfc8599", &[Habit::ContactCrowd]).await;
    let output = doctor(&mock, "wonderland", &["--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(codes(&report(&output)), ["needs-write", "contact-crowd"]);
    let wrote = mock.received().iter().any(|entry| entry.text.contains("Contact:"));
    assert!(!wrote, "a REGISTER without a Contact changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_at_most_three_times() {
    for habits in [&[][..], &[Habit::StaleAlways], &[Habit::StaleFourTimes]] {
        let mock = mock("rfc8599", habits).await;
        let output = doctor(&mock, "not it", &["--json", "--write"]).await;
        assert_eq!(output.status.code(), Some(2), "{habits:?}: {output:?}");
        let answers = mock.received().into_iter().filter(|entry| entry.text.contains("Authorization:")).count();
        assert!(answers <= 3, "{habits:?}: {answers} answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_holds_the_ladder_and_no_secret() {
    let mock = mock("mizutech", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.html");
    let output = doctor(&mock, "wonderland", &["--html", file.to_str().expect("UTF-8"), "--write"]).await;
    let page = std::fs::read_to_string(&file).expect("it was written");
    assert!(page.contains("<svg") && page.contains("REGISTER"), "{page}");
    for said in [page.as_str(), std::str::from_utf8(&output.stdout).expect("UTF-8")] {
        assert!(!said.contains("wonderland") && !said.contains(&"A".repeat(60)), "{said}");
        let hash = said.split(|c: char| !c.is_ascii_hexdigit()).find(|digits| digits.len() >= 32);
        assert_eq!(hash, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_speaks_another_transport_is_named() {
    let mock = mock("rfc8599", &[]).await;
    for (transport, code) in [("tls", "tls"), ("wss", "tls"), ("ws", "websocket")] {
        let output = doctor(&mock, "wonderland", &["--json", "--write", "--transport", transport]).await;
        let report = report(&output);
        assert_eq!((output.status.code(), codes(&report)), (Some(2), vec![code.to_owned()]), "{transport}: {report:#}");
        let output = doctor(&mock, "wonderland", &["--json", "--transport", transport]).await;
        assert_eq!(codes(&self::report(&output)), ["needs-write"], "{transport}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_no_password_is_told() {
    let mock = mock("rfc8599", &[]).await;
    mock.set_challenges(None, mock_gateway::Challenges::none()).await;
    let output = doctor(&mock, "wonderland", &["--json"]).await;
    assert_eq!((output.status.code(), codes(&report(&output))), (Some(1), vec!["no-authentication".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_tried_has_an_exit_code_of_its_own() {
    let mock = mock("rfc8599", &[]).await;
    let output = doctor(&mock, "wonderland", &["--path", "nope"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

/// Runs the doctor against one habit; returns its report.
async fn examine(habit: Habit) -> Value {
    let mock = mock("rfc8599", &[habit]).await;
    // Over UDP a retransmission gets the answer that was slow, there is no connection to close and no transport to leave out.
    let connected = matches!(habit, Habit::Slow | Habit::ClosesAfterwards | Habit::ContactShortened);
    let transport = if connected { "tcp" } else { "udp" };
    let output = doctor(&mock, "wonderland", &["--json", "--write", "--transport", transport]).await;
    let report = report(&output);
    assert_eq!(output.status.code().map(Value::from), Some(report["exit_code"].clone()), "{habit}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_habit_is_named_and_the_page_lists_them() {
    let (room, mut running) = (Arc::new(Semaphore::new(6)), JoinSet::new());
    for (index, habit) in Habit::ALL.into_iter().enumerate() {
        let room = room.clone();
        running.spawn(async move {
            let _place = room.acquire().await.expect("it is open");
            (index, habit, examine(habit).await)
        });
    }
    let mut rows = vec![String::new(); Habit::ALL.len()];
    let (mut seen, mut missed) = (0, Vec::new());
    while let Some(done) = running.join_next().await {
        let (index, habit, report) = done.expect("no panic");
        let finding =
            report["findings"].as_array().expect("a list").iter().find(|finding| finding["code"] == habit.name());
        let unseen = UNSEEN.iter().find(|(unseen, _)| *unseen == habit);
        let (code, weight, change) = match (finding, unseen) {
            (Some(finding), None) => {
                let text = |name: &str| finding[name].as_str().expect("a text").to_owned();
                (format!("`{habit}`"), text("weight"), text("change"))
            }
            (None, Some((_, why))) => ("not seen".to_owned(), String::new(), (*why).to_owned()),
            (Some(_), Some(_)) => {
                missed.push(format!("{habit} is seen after all"));
                continue;
            }
            (None, None) => {
                missed.push(format!("{habit}: {:?}, {report:#}", codes(&report)));
                continue;
            }
        };
        seen += usize::from(finding.is_some());
        rows[index] = format!("| {} | {code} | {weight} | {change} |\n", habit.does());
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(seen >= 30, "{seen}");
    let table = format!("| the server | finding | weight | what to change |\n|---|---|---|---|\n{}", rows.concat());
    let page = std::fs::read_to_string(DOC).expect("it is there");
    let (before, rest) = page.split_once(BEGIN).expect("the mark is there");
    let (listed, after) = rest.split_once(END).expect("the mark is there");
    if std::env::var_os("SIPWAKE_WRITE_DOCS").is_some() {
        return std::fs::write(DOC, format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
    }
    assert_eq!(listed, table, "SIPWAKE_WRITE_DOCS=1 cargo test -p sipwake-cli --test doctor writes it anew");
}
