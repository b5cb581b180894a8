//! The record holds only codes and numbers. The last wakes survive the process.

use std::fmt::Write as _;

use sipwake_core::event::{Event, FlowError};
use sipwake_core::record::{CODES, Code, Kind, Network, Obstacle, Platform, Report, ReportError, Value};
use sipwake_core::snapshot::RECORD;

use crate::incoming::{CALL, invite, ready};
use crate::support::{CHALLENGE, Stage, account, fcm, push_config, response, rfc8599, seconds};

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/decisions.md");

fn report(stage: &Stage) -> Report {
    stage.agent.report(None, stage.now)
}

fn names(report: &Report) -> Vec<&'static str> {
    report.decisions.iter().map(|noted| noted.name).collect()
}

/// The decisions since the last push.
fn since_push(report: &Report) -> Vec<&'static str> {
    let names = names(report);
    let push = names.iter().rposition(|name| *name == "push-judged").expect("a push");
    names[push..].to_vec()
}

#[test]
fn a_wake_is_recorded_step_by_step_with_its_times() {
    let mut stage = ready();
    stage.advance(seconds(100));
    stage.push(CALL);
    let sent = stage.one();
    stage.now = stage.now.after(seconds(2));
    stage.ok(&sent, &[]);
    stage.input(invite("call-1", "1234"));
    stage.all();
    let report = report(&stage);
    let wake = since_push(&report);
    assert_eq!(
        wake,
        [
            "push-judged",
            "call-announced",
            "register-owed",
            "register-sent",
            "register-answered",
            "registered",
            "invite-joined",
            "ringing"
        ]
    );
    let push = report.decisions.iter().rev().find(|noted| noted.name == "push-judged").expect("it came");
    assert_eq!((push.word("asks"), push.word("told")), (Some("ring"), Some("full-screen-notification")));
    let ringing = report.decisions.last().expect("there are");
    assert_eq!((ringing.call, ringing.account), (push.call, push.account));
    assert!(ringing.call.is_some() && ringing.account.is_some());
    let answered = report.decisions.iter().rev().find(|noted| noted.name == "register-answered").expect("it was");
    assert_eq!((answered.number("status"), answered.number("took")), (Some(200), Some(2000)));
    let counters = &report.counters;
    assert_eq!((counters.wakes, counters.wakes_with_invite, counters.wakes_without_invite), (1, 1, 0));
    assert_eq!((counters.push_to_register.last, counters.push_to_ring.last), (0, 2000));
}

#[test]
fn an_invite_that_never_comes_is_counted_and_reported() {
    let mut stage = ready();
    stage.push(CALL);
    let sent = stage.one();
    stage.ok(&sent, &[]);
    stage.advance(seconds(60));
    let report = report(&stage);
    let ended = report.decisions.iter().find(|noted| noted.name == "call-ended").expect("it is over");
    assert_eq!((ended.word("how"), report.counters.wakes_without_invite), (Some("missed"), 1));
}

#[test]
fn a_failed_connection_is_recorded_with_its_reason() {
    let mut stage = ready();
    stage.flow_breaks();
    stage.opens = false;
    stage.push(CALL);
    let flow = stage.opening.pop().expect("a flow is opened");
    stage.agent.handle_flow_down(flow, FlowError::Unresolved, stage.now);
    stage.drain();
    let report = report(&stage);
    let down = report.decisions.iter().rev().find(|noted| noted.name == "flow-down").expect("it did not open");
    assert_eq!((down.word("why"), down.word("was_up")), (Some("dns"), Some("no")));
    let failed = report.decisions.iter().rev().find(|noted| noted.name == "registration-failed").expect("it failed");
    assert_eq!(failed.word("why"), Some("dns"));
}

#[test]
fn the_report_tells_a_refused_nonce_from_a_cached_one() {
    let mut stage = ready();
    stage.push(CALL);
    let first = stage.one();
    stage.input(response(&first, 401, "Unauthorized", &[CHALLENGE.replace("n1", "n2").as_str()]));
    let second = stage.one();
    stage.ok(&second, &[]);
    let report = report(&stage);
    let sent: Vec<_> = report.decisions.iter().rev().filter(|noted| noted.name == "register-sent").take(2).collect();
    assert_eq!([sent[1].word("auth"), sent[0].word("auth")], [Some("kept-nonce"), Some("challenge")]);
}

#[test]
fn each_warning_is_recorded_with_what_was_not_trusted() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.reply(&first, 302, &["Contact: <sip:evil.example>"]);
    let wrong = "Authentication-Info: qop=auth, rspauth=\"00f8f25752fb9db835043a59f6041c85\", nc=00000001";
    let mut proven = Stage::new(account(|_| {}), None);
    proven.registered_with(&[wrong, "X-Sy.AuthURI: sip:evil.example"]);
    for (stage, words) in [(&stage, &["redirect-to-foreign-host"][..]), (&proven, &["auth-uri", "wrong-server-proof"])]
    {
        let report = report(stage);
        let noted = report.decisions.iter().filter(|noted| noted.name == "not-trusted");
        let mut what: Vec<_> = noted.map(|noted| noted.word("what").expect("a word")).collect();
        what.sort_unstable();
        assert_eq!(what, words);
        let told = stage.events.iter().filter(|event| matches!(event, Event::Warning { .. })).count();
        assert_eq!(told, words.len(), "and the app is told");
    }
}

#[test]
fn the_report_says_that_a_push_should_have_been_sealed() {
    let mut stage = Stage::new(account(|config| config.sealed_pushes_only = true), rfc8599());
    stage.registered();
    stage.push(CALL);
    let report = report(&stage);
    let judged = report.decisions.iter().rev().find(|noted| noted.name == "push-judged").expect("it came");
    assert_eq!((judged.word("asks"), judged.word("silence")), (Some("refresh"), Some("not-sealed")));
}

#[test]
fn the_report_says_that_a_push_is_for_a_logged_out_user_or_for_nobody() {
    let mut stage = ready();
    stage.log_out();
    stage.push(CALL);
    let last = report(&stage);
    let judged = last.decisions.iter().rev().find(|noted| noted.name == "push-judged").expect("it came");
    assert_eq!((judged.word("asks"), judged.word("silence")), (Some("nothing"), Some("logged-out")));
    let mut stage = Stage::without_account(Default::default(), crate::support::START, 1);
    stage.push(CALL);
    let judged = report(&stage).decisions.last().cloned().expect("it came");
    assert_eq!(judged.word("silence"), Some("no-account"));
}

/// All that the test knows about a person. None of it may be in a report.
const PERSONAL: [&str; 9] = ["alice", "example", "1234", "secret", "c-10", "192.0.2", "call-1", "5070", "asterisk"];

#[test]
fn a_report_holds_no_name_number_token_or_address() {
    let mut stage = Stage::new(account(|_| {}), Some(push_config(sipwake_core::push::Provider::Fcm, &[])));
    stage.set_token(fcm("c-10:APA91bToken"));
    let first = stage.register();
    stage.input(response(&first, 401, "secret alice 1234", &[CHALLENGE]));
    let second = stage.one();
    stage.ok(&second, &[]);
    stage.push(CALL);
    let third = stage.one();
    stage.input(response(&third, 503, "call-1 of alice", &["Retry-After: 7"]));
    stage.input(invite("call-1", "1234"));
    stage.all();
    let platform =
        Platform { obstacles: vec![Obstacle::DataSaver], network: Some(Network::Mobile), ..Platform::default() };
    let text = stage.agent.report(Some(platform.clone()), stage.now).to_json();
    for personal in PERSONAL {
        // Times and ids have digits, too.
        let digits = personal.bytes().all(|byte| byte.is_ascii_digit());
        assert!(digits || !text.contains(personal), "{personal} in {text}");
    }
    let read = Report::read(text.as_bytes()).expect("its own");
    assert_eq!((read.platform, read.decisions), (Some(platform), report(&stage).decisions));
}

/// What survives a kill, stored as a driver stores it.
fn kill(stage: &mut Stage) -> Stage {
    if let Some(record) = stage.agent.poll_record() {
        stage.store.insert(RECORD.to_owned(), record);
    }
    let mut next = Stage::without_account(stage.store.clone(), stage.now.after(seconds(9)), 9);
    let record = stage.store.get(RECORD).cloned();
    next.agent.handle_loaded(RECORD, Ok(record.as_deref()), next.now);
    next.drain();
    next.add(account(|_| {}), rfc8599());
    next
}

#[test]
fn the_last_wakes_survive_a_kill() {
    let mut stage = ready();
    stage.push(CALL);
    let before = report(&stage);
    let push = before.decisions.iter().find(|noted| noted.name == "push-judged").expect("it came").clone();
    let mut next = kill(&mut stage);
    let after = report(&next);
    let kept = after.decisions.iter().position(|noted| *noted == push).expect("it survived");
    assert!(after.decisions[kept..].iter().any(|noted| noted.name == "process-started"), "{:?}", names(&after));
    assert_eq!(after.counters.wakes, 1);
    assert_eq!(after.accounts[0].account, push.account.expect("alice's"), "the account is the same to both");
    // The same again, with nothing new in between.
    next.push(CALL);
    let last = report(&kill(&mut next));
    assert_eq!(last.decisions.iter().filter(|noted| noted.name == "push-judged").count(), 2);
    assert_eq!(last.counters.wakes, 2);
}

#[test]
fn an_idle_phone_stores_nothing_about_wakes() {
    let mut stage = ready();
    assert_eq!(stage.agent.poll_record(), None);
    stage.push(CALL);
    assert!(stage.agent.poll_record().is_some());
    assert_eq!(stage.agent.poll_record(), None, "once");
}

#[test]
fn recorded_wakes_that_cannot_be_read_yet_are_not_overwritten() {
    use sipwake_core::user_agent::Unreadable;
    let mut stage = ready();
    stage.agent.handle_loaded(RECORD, Err(Unreadable::Shut), stage.now);
    stage.push(CALL);
    assert_eq!(stage.agent.poll_record(), None);
    stage.agent.handle_loaded(RECORD, Ok(None), stage.now);
    assert!(stage.agent.poll_record().is_some());
}

#[test]
fn a_damaged_black_box_starts_empty_and_reports_nothing() {
    let mut stage = ready();
    let events = stage.events.len();
    for damaged in [&b""[..], b"sipwake 1 0000000000000000\n{}", b"\xff\xfe"] {
        stage.agent.handle_loaded(RECORD, Ok(Some(damaged)), stage.now);
        stage.drain();
    }
    assert_eq!(stage.events.len(), events);
    assert!(!report(&stage).decisions.is_empty());
}

#[test]
fn a_flood_of_decisions_takes_at_most_64_kib() {
    let mut stage = ready();
    for number in 0..2_000_u32 {
        stage.push(&CALL.replace("call-1", &format!("call-{number}")));
        stage.advance(seconds(1));
        for sent in stage.all() {
            if sent.is_register() {
                stage.ok(&sent, &[]);
            }
        }
    }
    let kept = report(&stage).decisions.len();
    assert!((1_000..9_000).contains(&kept), "{kept}");
    let stored = stage.agent.poll_record().expect("wakes");
    assert!(stored.len() < 20 * 1024, "{}", stored.len());
}

fn unit(kind: Kind) -> String {
    match kind {
        Kind::Count => "number".to_owned(),
        Kind::Status => "SIP status".to_owned(),
        Kind::Milliseconds => "ms".to_owned(),
        Kind::Seconds => "s".to_owned(),
        Kind::Word(words) => words.iter().map(|(_, word)| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    }
}

#[test]
fn each_code_has_a_number_and_a_name_of_its_own_in_order() {
    assert!(CODES.windows(2).all(|pair| pair[0].number < pair[1].number));
    let mut names: Vec<&str> = CODES.iter().map(|code| code.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(CODES.iter().all(|code| Code::of(code.number).is_some_and(|found| found.name == code.name)));
}

#[test]
fn the_docs_list_the_codes_of_the_code() {
    const BEGIN: &str = "<!-- codes -->\n";
    const END: &str = "<!-- /codes -->";
    let mut table = String::from("| code | name | what was decided | what it carries |\n|---|---|---|---|\n");
    for code in CODES {
        let facts: Vec<String> = code.facts.iter().map(|(name, kind)| format!("{name}: {}", unit(*kind))).collect();
        let _ =
            writeln!(table, "| {} | `{}` | {} | {} |", code.number, code.name, code.meaning.trim(), facts.join("; "));
    }
    let doc = std::fs::read_to_string(DOC).expect("it is in the repository");
    let (before, rest) = doc.split_once(BEGIN).expect("a mark");
    let (listed, after) = rest.split_once(END).expect("a mark");
    if std::env::var_os("SIPWAKE_WRITE_DOCS").is_some() {
        return std::fs::write(DOC, format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
    }
    assert_eq!(listed, table, "SIPWAKE_WRITE_DOCS=1 cargo test -p sipwake-core --test core writes it again");
}

#[test]
fn torn_foreign_and_hostile_reports_are_refused_with_the_reason() {
    let stage = ready();
    let text = report(&stage).to_json();
    for cut in 1..text.len() - 1 {
        let refused = Report::read(&text.as_bytes()[..cut]).expect_err("it is torn");
        assert!(matches!(refused, ReportError::Torn { .. }), "{cut}: {refused:?}");
    }
    for foreign in ["", "null", "[1]", "{}", "{\"sipwake_report\":\"1\"}", "SIP/2.0 200 OK"] {
        let refused = Report::read(foreign.as_bytes()).expect_err("it is foreign");
        assert!(matches!(refused, ReportError::Foreign(_)), "{foreign}: {refused:?}");
    }
    let other = text.replace("\"sipwake_report\":1", "\"sipwake_report\":2");
    assert_eq!(Report::read(other.as_bytes()), Err(ReportError::OtherForm(2)));
    for (from, to) in [
        ("\"version\":\"", "\"version\":\"<script>"),
        ("\"code\":100", "\"code\":100,\"facts\":{\"<b>\":1}"),
        ("\"code\":100", "\"code\":100,\"account\":\"alice\""),
        ("\"code\":100", "\"code\":\"process-started\""),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let refused = Report::read(text.replace(from, to).as_bytes()).expect_err("it does not belong to a report");
        assert!(matches!(refused, ReportError::Wrong { .. }), "{to}: {refused:?}");
    }
    let newer = text.replace("\"code\":100", "\"code\":9999");
    let read = Report::read(newer.as_bytes()).expect("a newer version has more codes");
    assert_eq!((read.unknown, read.decisions.len()), (1, report(&stage).decisions.len() - 1));
    assert!(
        read.decisions.iter().flat_map(|noted| noted.facts.values()).all(|value| !matches!(value, Value::Word("")))
    );
}
