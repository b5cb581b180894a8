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
const UNSEEN: [(Habit, &str); 7] = [
    (Habit::StaleMissing, "a nonce must expire first"),
    (Habit::RemovalKeepsRfc8599, "only a push after the log-out shows it"),
    (Habit::RemovalKeepsXmpush, "only a push after the log-out shows it"),
    (Habit::PushNever, "the doctor simulates the push; only a phone shows it"),
    (Habit::NoPong, "a connection must be idle first"),
    (Habit::ToCut, "only a call that is answered shows it"),
    (Habit::CallIdRenamed, "only the push itself shows it"),
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
    command.env("SIPWAKE_PASSWORD", password).env("SIPWAKE_CALLER_PASSWORD", "builder").env_remove("RUST_LOG");
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

const CALL: [&str; 4] = ["--json", "--call", "--caller", "bob@mock.example"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_wakes_the_sleeping_phone_and_its_caller_is_heard_to_give_up() {
    for transport in ["udp", "tcp"] {
        let mock = mock("rfc8599", &[]).await;
        let output = doctor(&mock, "wonderland", &[&CALL[..], &["--transport", transport]].concat()).await;
        let report = report(&output);
        assert_eq!((output.status.code(), codes(&report)), (Some(0), vec![]), "{report:#}");
        let steps = report["steps"].as_array().expect("a list");
        let called = steps.iter().find(|step| step["step"] == "call the sleeping phone").expect("it was done");
        assert!(called["text"].as_str().is_some_and(|text| text.starts_with("rings ")), "{report:#}");
        assert!(mock.bindings("alice").await.is_empty());
        assert_eq!(mock.violations(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_waits_for_no_sleeping_phone_is_named() {
    let mock = mock("rfc8599", &[]).await;
    let mut profile = Profile::named("rfc8599").expect("known");
    profile.hold = std::time::Duration::from_millis(500);
    mock.set_profile(None, profile).await;
    let output = doctor(&mock, "wonderland", &[&CALL[..], &["--transport", "tcp"]].concat()).await;
    let report = report(&output);
    assert!(codes(&report).contains(&"call-not-held".to_owned()), "{report:#}");
    assert_eq!(output.status.code(), Some(2));
    assert!(mock.bindings("alice").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_needs_its_caller_and_the_callers_password() {
    let mock = mock("rfc8599", &[]).await;
    let output = doctor(&mock, "wonderland", &["--call"]).await;
    assert_eq!(output.status.code(), Some(2), "clap's own: {output:?}");
    let output = doctor(&mock, "wonderland", &["--call", "--caller", "nobody@"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(mock.bindings("alice").await.is_empty(), "what was made is removed all the same");
}

/// What the doctor finds of a habit by a call, and under which code.
const BY_CALL: [(Habit, &str); 1] = [(Habit::AliasInTo, "alias-in-to")];

/// Runs the doctor against one habit; returns its report.
async fn examine(habit: Habit) -> Value {
    let mock = mock("rfc8599", &[habit]).await;
    // Over UDP a retransmission gets the answer that was slow, there is no connection to close and no transport to leave out.
    let connected = matches!(habit, Habit::Slow | Habit::ClosesAfterwards | Habit::ContactShortened);
    let transport = if connected { "tcp" } else { "udp" };
    let calls = BY_CALL.iter().any(|(known, _)| *known == habit);
    let more = if calls { &CALL[..] } else { &["--json"] };
    let output = doctor(&mock, "wonderland", &[more, &["--write", "--transport", transport]].concat()).await;
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
        let code = BY_CALL.iter().find(|(known, _)| *known == habit).map_or(habit.name(), |(_, code)| code);
        let finding = report["findings"].as_array().expect("a list").iter().find(|finding| finding["code"] == code);
        let unseen = UNSEEN.iter().find(|(unseen, _)| *unseen == habit);
        let (code, weight, change) = match (finding, unseen) {
            (Some(finding), None) => {
                let text = |name: &str| finding[name].as_str().expect("a text").to_owned();
                (format!("`{code}`"), text("weight"), text("change"))
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
