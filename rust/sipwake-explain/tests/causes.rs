//! Each cause has a report that shows it, and `docs/explain.md` lists all causes.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sipwake_core::record::CODES;
use sipwake_explain::{CAUSES, Explanation, Outcome};

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain.md");
const CALL: &str = "0a0b0c0d";
const ACCOUNT: &str = "01020304";
const BEGAN: u64 = 1_790_000_000_000;

/// `milliseconds name fact=value …`, one decision per line; `call` marks the decisions of the call.
fn decisions(story: &str) -> Vec<Value> {
    let lines = story.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let at: u64 = words.next().and_then(|at| at.parse().ok()).expect("a time");
            let name = words.next().expect("a name");
            let code = CODES.iter().find(|code| code.name == name).unwrap_or_else(|| panic!("{name} is in no list"));
            let mut noted = json!({"at": BEGAN + at, "code": code.number, "name": name, "account": ACCOUNT});
            let mut facts = Map::new();
            for word in words {
                if word == "call" {
                    noted["call"] = json!(CALL);
                    continue;
                }
                let (fact, value) = word.split_once('=').expect("fact=value");
                let number = value.parse::<u32>().map(|number| json!(number));
                facts.insert(fact.to_owned(), number.unwrap_or_else(|_| json!(value)));
            }
            noted["facts"] = Value::Object(facts);
            noted
        })
        .collect()
}

fn explained(story: &str, platform: &Value, accounts: &Value) -> Explanation {
    let report = json!({
        "sipwake_report": 1,
        "version": "0.1.0",
        "at": BEGAN + 600_000,
        "accounts": accounts,
        "platform": platform,
        "decisions": decisions(story),
    });
    Explanation::of(report.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {report:#}"))
}

fn alice() -> Value {
    json!([{"account": ACCOUNT, "registered": true, "bound_for": 600, "token": true, "stopped": false, "gateways": 1}])
}

const RINGS: &str = "0 push-judged call asks=ring silence=none told=report-call
    0 call-announced call window=40
    0 register-owed in_flight=no
    5 register-sent purpose=bind auth=kept-nonce";
const REGISTERED: &str = "120 register-answered status=200 took=115
    120 registered lifetime=600 push=confirmed";
const MISSED: &str = "40000 call-ended call how=missed status=0";

fn silent(why: &str) -> String {
    format!("0 push-judged call asks=nothing silence={why} told=report-then-end")
}

fn unopened(why: &str) -> String {
    format!("0 push-judged call asks=ring silence=none told=report-call\n0 push-unopened call why={why}\n{MISSED}")
}

/// The connection to the server failed.
fn no_way(why: &str) -> String {
    format!(
        "0 push-judged call asks=ring silence=none told=report-call\n1 flow-opened over=tls\n90 flow-down why={why} was_up=no
         90 registration-failed why={why} status=0 wait=2\n{MISSED}"
    )
}

fn answered(status: u16, why: &str) -> String {
    format!(
        "{RINGS}\n60 register-answered status={status} took=55\n60 registration-failed why={why} status={status} wait=30\n{MISSED}"
    )
}

/// For each cause of a failed wake, a story in which that cause must be the first.
fn stories() -> Vec<(&'static str, String, Value)> {
    let none = Value::Null;
    let plain = |code, story: String| (code, story, none.clone());
    let after = |how: &str| {
        format!(
            "0 push-judged call asks=ring silence=none told=report-call\n900 call-ended call how={how} status=0\n400000 {}",
            &silent("call-over")[2..]
        )
    };
    vec![
        plain("logged-out", silent("logged-out")),
        plain("user-not-disturbed", silent("do-not-disturb")),
        plain("keys-unreadable", unopened("keys-unreadable")),
        plain("push-unopened", unopened("foreign")),
        plain("store-shut", format!("0 store-shut\n1 {}", &silent("no-account")[2..])),
        plain("no-account", silent("no-account")),
        plain("late-push-of-a-cancelled-call", after("cancelled")),
        plain(
            "answered-on-another-device",
            format!("{RINGS}\n{REGISTERED}\n500 call-ended call how=answered-elsewhere status=0"),
        ),
        plain("late-push-of-a-missed-call", after("missed")),
        plain("tombstone", silent("call-over")),
        plain("empty-payload", silent("empty")),
        plain("unreadable-payload", silent("unreadable")),
        plain("unknown-payload", silent("unknown-vendor")),
        plain("not-sealed", silent("not-sealed")),
        plain(
            "too-many-calls",
            "0 push-judged call asks=ring silence=none told=report-call\n0 push-full call".to_owned(),
        ),
        plain(
            "killed-before-register",
            "0 push-judged call asks=ring silence=none told=foreground-service\n9000 process-started".to_owned(),
        ),
        plain("killed-while-waiting", format!("{RINGS}\n{REGISTERED}\n9000 process-started")),
        plain(
            "never-registered",
            format!(
                "0 push-judged call asks=ring silence=none told=report-call\n0 no-register why=never-registered\n{MISSED}"
            ),
        ),
        plain(
            "wrong-credentials",
            format!("{RINGS}\n60 registration-stopped why=wrong-credentials status=0\n{MISSED}"),
        ),
        plain("account-refused", answered(403, "account-refused")),
        plain(
            "stopped",
            format!("0 push-judged call asks=ring silence=none told=report-call\n0 no-register why=stopped\n{MISSED}"),
        ),
        ("no-network", no_way("dns"), json!({"network": "none"})),
        ("data-saver", no_way("unreachable"), json!({"obstacles": ["data-saver"]})),
        plain("dns", no_way("dns")),
        plain("certificate-expired", no_way("certificate-expired")),
        plain("clock-wrong", no_way("certificate-not-yet-valid")),
        plain("certificate-name", no_way("certificate-common-name")),
        plain("certificate", no_way("certificate-issuer")),
        plain("tls", no_way("tls")),
        plain("closed-by-server", no_way("closed")),
        plain("unreachable", no_way("unreachable")),
        plain("network-changed", format!("{RINGS}\n30 network-changed\n{MISSED}")),
        plain("nonce-expired-and-silent", format!("{RINGS}\n32000 register-unanswered\n{MISSED}")),
        plain("no-answer", format!("{}\n32000 register-unanswered\n{MISSED}", RINGS.replace("kept-nonce", "none"))),
        plain(
            "challenge",
            format!(
                "{RINGS}\n60 register-answered status=401 took=9\n60 registration-failed why=digest-too-weak status=0 wait=9\n{MISSED}"
            ),
        ),
        plain("server-busy", answered(503, "refused-for-now")),
        plain("flood-of-pushes", format!("{RINGS}\n0 register-delayed wait=30\n{REGISTERED}\n{MISSED}")),
        plain("cancelled-meanwhile", format!("{RINGS}\n{REGISTERED}\n700 call-ended call how=cancelled status=0")),
        plain("logged-out-meanwhile", format!("{RINGS}\n{REGISTERED}\n700 call-ended call how=logged-out status=0")),
        plain("refused-by-user", format!("{RINGS}\n{REGISTERED}\n700 call-ended call how=declined status=0")),
        plain("invite-refused", format!("{RINGS}\n{REGISTERED}\n700 invite-refused status=420\n{MISSED}")),
        plain("other-way", format!("{RINGS}\n{REGISTERED}\n700 dropped what=past-the-registrar times=1\n{MISSED}")),
        plain("dropped", format!("{RINGS}\n{REGISTERED}\n700 dropped what=malformed times=1\n{MISSED}")),
        plain("push-late", format!("{RINGS}\n0 push-delivered call age=90 downgraded=no\n{REGISTERED}\n{MISSED}")),
        plain("downgraded", format!("{RINGS}\n0 push-delivered call age=0 downgraded=yes\n{REGISTERED}\n{MISSED}")),
        plain("push-for-another-account", format!("{RINGS}\n0 push-for-nobody-known call\n{REGISTERED}\n{MISSED}")),
        plain("binding-lapsed", format!("{RINGS}\n0 binding-lapsed ago=3600\n{REGISTERED}\n{MISSED}")),
        plain(
            "slow-register",
            format!(
                "{RINGS}\n20000 register-answered status=200 took=20000\n20000 registered lifetime=600 push=confirmed\n{MISSED}"
            ),
        ),
        plain("invite-never-came", format!("{RINGS}\n{REGISTERED}\n{MISSED}")),
        plain("unfinished", format!("0 push-judged call asks=ring silence=none told=report-call\n{MISSED}")),
    ]
}

/// What can come beside any wake.
fn standing() -> Vec<(&'static str, &'static str, Value, Value)> {
    let with = |obstacle: &str| json!({"obstacles": [obstacle]});
    let without_token = json!([{"account": ACCOUNT, "registered": true, "bound_for": 9, "token": false, "stopped": false, "gateways": 1}]);
    let stopped = json!([{"account": ACCOUNT, "registered": false, "bound_for": 0, "token": true, "stopped": true, "gateways": 1}]);
    vec![
        ("do-not-disturb", "", with("do-not-disturb"), alice()),
        ("notifications-off", "", with("channel-off"), alice()),
        ("caller-blocked", "", with("caller-blocked"), alice()),
        ("no-full-screen", "", with("no-full-screen"), alice()),
        ("no-play-services", "", with("old-play-services"), alice()),
        ("battery-settings", "", with("maker-stops-apps"), alice()),
        ("background-off", "", with("low-power"), alice()),
        ("pushes-lowered", "", with("deprioritised"), alice()),
        ("not-entitled", "", with("no-push-entitlement"), alice()),
        ("wrong-push-environment", "", with("wrong-push-environment"), alice()),
        ("no-token", "", Value::Null, without_token),
        ("no-account-at-all", "", Value::Null, json!([])),
        ("push-refused", "0 registered lifetime=600 push=refused", Value::Null, alice()),
        ("not-registered", "", Value::Null, stopped),
        ("no-push-came", "0 registered lifetime=600 push=confirmed", Value::Null, alice()),
    ]
}

#[test]
fn each_cause_is_found_in_a_story_that_shows_it() {
    let mut shown = Vec::new();
    for (code, story, platform) in stories() {
        let explanation = explained(&story, &platform, &alice());
        let wake = explanation.wakes().last().unwrap_or_else(|| panic!("{code}: no wake"));
        let causes: Vec<&str> = explanation.causes(wake).iter().map(|cause| cause.code).collect();
        assert_eq!(causes.first(), Some(&code), "{causes:?}\n{}", explanation.text());
        shown.push(code);
    }
    for (code, story, platform, accounts) in standing() {
        let explanation = explained(story, &platform, &accounts);
        let causes: Vec<&str> = explanation.standing().iter().map(|cause| cause.code).collect();
        assert!(causes.contains(&code), "{code}: {causes:?}");
        shown.push(code);
    }
    assert_eq!(shown, CAUSES.iter().map(|cause| cause.code).collect::<Vec<_>>(), "each has a story, in this order");
    assert!(shown.len() >= 25);
}

#[test]
fn a_wake_that_rang_has_no_cause() {
    for end in [
        "",
        "900 connected call",
        "30000 call-ended call how=unanswered status=0",
        "900 call-ended call how=cancelled status=0",
    ] {
        let explanation = explained(
            &format!("{RINGS}\n{REGISTERED}\n500 invite-joined call after=500\n500 ringing call\n{end}"),
            &Value::Null,
            &alice(),
        );
        let [wake] = explanation.wakes() else { panic!("{}", explanation.text()) };
        assert!(matches!(wake.outcome(), Outcome::Rang | Outcome::Answered), "{end}: {:?}", wake.outcome());
        assert!(explanation.causes(wake).is_empty());
        assert_eq!((wake.time_to("register-sent"), wake.time_to_ring()), (Some(5), Some(500)));
    }
}

#[test]
fn each_wake_has_its_own_steps() {
    let other = RINGS
        .replace(" call ", " ")
        .replace("\n    0 ", "\n60000 ")
        .replacen("0 push", "60000 push", 1)
        .replace("\n    5 ", "\n60005 ");
    let explanation = explained(&format!("{RINGS}\n{REGISTERED}\n{MISSED}\n{other}"), &Value::Null, &alice());
    let [first, second] = explanation.wakes() else { panic!("{}", explanation.text()) };
    assert_eq!((first.outcome(), second.outcome()), (Outcome::NoInvite, Outcome::Open));
    assert!(first.steps().last().is_some_and(|noted| noted.name == "call-ended"));
}

#[test]
fn text_page_and_picture_agree_and_show_no_markup_from_the_file() {
    let explanation = explained(&format!("{RINGS}\n{REGISTERED}\n{MISSED}"), &Value::Null, &alice());
    let what = "the phone registered in time, but the server never sent the INVITE";
    assert!(explanation.text().contains(what) && explanation.html().contains(what));
    assert!(explanation.verdict().starts_with("1 of 1 wakes did not go well."), "{}", explanation.verdict());
    assert_eq!(explanation.json()["wakes"][0]["causes"][0]["code"], "invite-never-came");
    assert!(explanation.svg().starts_with("<svg ") && explanation.svg().contains("REGISTER with the stored nonce"));
}

#[test]
fn every_code_has_a_text() {
    for code in CODES {
        let explanation = explained(
            &format!("0 push-judged call asks=ring silence=none told=report-call\n1 {} call", code.name),
            &Value::Null,
            &alice(),
        );
        let text = explanation.text();
        assert!(!text.contains("  \n"), "{}: {text}", code.name);
    }
}

#[test]
fn a_yes_or_no_is_written_in_words() {
    for (decision, words) in [
        ("register-owed in_flight=no", "the push leads to a REGISTER"),
        ("register-owed in_flight=yes", "a REGISTER is in flight; another one will follow"),
        ("push-again call invite_here=no", "another push for this call"),
        ("push-again call invite_here=yes", "another push for this call, whose INVITE is here"),
        ("clock-set by=9 back=yes", "the clock was set back by 9 s"),
    ] {
        let explanation = explained(
            &format!("0 push-judged call asks=ring silence=none told=report-call\n1 {decision}"),
            &Value::Null,
            &alice(),
        );
        let text = explanation.text();
        assert!(text.lines().any(|line| line.ends_with(&format!("  {words}"))), "{decision}: {text}");
        assert!(!text.contains("(no)") && !text.contains("(yes)"), "{text}");
    }
}

#[test]
fn a_call_whose_end_is_unknown_is_counted_as_such() {
    let report = json!({
        "sipwake_report": 1, "version": "0.1.0", "at": BEGAN, "accounts": [], "platform": null, "decisions": [],
        "counters": {"wakes": 5, "wakes_with_invite": 2, "wakes_without_invite": 1},
    });
    let explanation = Explanation::of(report.to_string().as_bytes()).expect("a report");
    let counted = "5 calls announced by push, 2 of them came, 1 did not, 2 were still open when their process or this report ended;";
    assert!(explanation.text().contains(counted), "{}", explanation.text());
}

#[test]
fn the_docs_list_the_causes_of_the_code() {
    const BEGIN: &str = "<!-- causes -->\n";
    const END: &str = "<!-- /causes -->";
    let mut table = String::from("| cause | what happened | who can fix it | what to do |\n|---|---|---|---|\n");
    for cause in CAUSES {
        let _ = writeln!(table, "| `{}` | {} | {} | {} |", cause.code, cause.what, cause.who.name(), cause.mend);
    }
    let doc = std::fs::read_to_string(DOC).expect("it is in the repository");
    let (before, rest) = doc.split_once(BEGIN).expect("a mark");
    let (listed, after) = rest.split_once(END).expect("a mark");
    if std::env::var_os("SIPWAKE_WRITE_DOCS").is_some() {
        return std::fs::write(DOC, format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
    }
    assert_eq!(listed, table, "SIPWAKE_WRITE_DOCS=1 cargo test -p sipwake-explain --test causes writes it again");
}
