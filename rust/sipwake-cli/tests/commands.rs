//! The command line as its users see it: processes, exit codes, standard streams.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use serde_json::{Value, json};

const TOKEN: &str = "c-10-ap_Kt0:APA91bFirstTokenOfThisPhone0001";

fn sipwake(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipwake"));
    command.args(arguments).env("SIPWAKE_PASSWORD", "wonderland").env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    sipwake(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = sipwake(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin: ChildStdin = child.stdin.take().expect("it is piped");
    // It may stop reading before the end.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout).to_owned()
}

/// One line on standard error, nothing on standard output, exit code 1.
fn fails(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let reason = text(&output.stderr);
    assert_eq!(reason.lines().count(), 1, "{reason}");
    assert!(reason.starts_with("sipwake: "), "{reason}");
    reason.trim_end().to_owned()
}

/// `sipwake gateway` as a process, and its control port.
struct Gateway {
    process: Child,
    address: String,
    control: BufReader<TcpStream>,
}

impl Gateway {
    fn start(profile: &str) -> Self {
        let arguments = ["gateway", "--listen", "127.0.0.1:0", "--profile", profile, "--json"];
        let mut process = sipwake(&arguments).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut line = String::new();
        let stdout = process.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let addresses: Value = serde_json::from_str(&line).expect("JSON");
        let control = TcpStream::connect(addresses["control"].as_str().expect("an address")).expect("it listens");
        let address = addresses["address"].as_str().expect("an address").to_owned();
        Self { process, address, control: BufReader::new(control) }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.control.get_mut(), "{request}").expect("it listens");
        let mut line = String::new();
        self.control.read_line(&mut line).expect("an answer");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer["ok"], true, "{request}: {answer}");
        answer
    }

    fn bindings(&mut self) -> Vec<Value> {
        self.ask(&json!({"op": "bindings", "user": "alice"}))["bindings"].as_array().expect("a list").clone()
    }

    fn register<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["register", "--aor", "alice@mock.example", "--server", &self.address];
        arguments.extend(["--token", TOKEN]);
        arguments.extend(more);
        arguments
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // A process that outlives its test would hold the test runner's output open.
        let violations = (!std::thread::panicking()).then(|| self.ask(&json!({"op": "violations"})));
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(violations) = violations {
            assert_eq!(violations["violations"], json!([]));
        }
    }
}

/// Replaces each number with `#`: times differ from run to run.
fn without_numbers(line: &str) -> String {
    let parts = line.split(|c: char| c.is_ascii_digit() || c == '.').filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("#")
}

#[test]
fn the_readme_and_its_picture_show_the_steps_of_the_demo() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let output = succeeds(&["demo"]);
    let steps: Vec<&str> = output.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    let readme = std::fs::read_to_string(format!("{root}/README.md")).expect("it is in the repository");
    let (_, shown) = readme.split_once("$ scripts/demo\n").expect("the demo's block");
    let (shown, _) = shown.split_once("```").expect("its end");
    let compared = |lines: Vec<&str>| lines.into_iter().map(without_numbers).collect::<Vec<_>>();
    assert_eq!(compared(shown.lines().collect()), compared(steps.clone()), "copy the steps of scripts/demo");
    let picture = std::fs::read_to_string(format!("{root}/docs/ladder.svg")).expect("it is in the repository");
    let drawn = picture.split("class=\"step\">").skip(1).filter_map(|text| text.split('<').next()).collect();
    assert_eq!(compared(drawn), compared(steps), "scripts/demo --svg docs/ladder.svg draws it again");
}

#[test]
fn the_demo_sees_every_step_and_says_so_in_json() {
    for transport in ["udp", "tcp"] {
        let output = succeeds(&["demo", "--json", "--transport", transport]);
        let steps: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(steps.len() >= 6, "{steps:?}");
        for (number, step) in (1..).zip(&steps) {
            assert_eq!(step["step"], number);
        }
    }
    let reason = fails(&["demo", "--profile", "none"]);
    assert!(reason.contains("cannot wake a phone"), "{reason}");
}

/// What nobody may see: the password, tokens, and anything that looks like an HA1, X-PIID or a digest answer.
fn assert_silent_about(secrets: &[&str], said: &str, by: &str) {
    for secret in secrets {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{by}: {secret} in {line:?}");
    }
    let hash = said.split(|c: char| !c.is_ascii_hexdigit()).find(|digits| digits.len() >= 32);
    assert!(hash.is_none(), "{by}: {hash:?}");
}

#[test]
fn the_ladders_of_the_demo_and_its_log_hold_no_secret() {
    const SECRETS: [&str; 3] = ["wonderland", TOKEN, "c-10-ap_Kt0:APA91bSecondTokenOfThisPhone02"];
    let folder = tempfile::tempdir().expect("a folder");
    for profile in mock_gateway::Profile::NAMES.into_iter().filter(|name| *name != "none") {
        for transport in ["udp", "tcp"] {
            let svg = folder.path().join(format!("{profile}-{transport}.svg"));
            let drawn = svg.to_str().expect("UTF-8");
            let mut command = sipwake(&["demo", "--profile", profile, "--transport", transport, "--svg", drawn]);
            let output = command.env("RUST_LOG", "trace").output().expect("it runs");
            let by = format!("demo as {profile} over {transport}");
            assert!(output.status.success(), "{by}: {output:?}");
            assert!(text(&output.stdout).contains("phone ──▶ gateway   REGISTER"), "{by} draws a ladder");
            assert!(text(&output.stderr).contains("sipwake_core"), "{by} logs");
            let picture = std::fs::read_to_string(&svg).expect("it was drawn");
            assert!(picture.contains("REGISTER"), "{by} draws a picture");
            for said in [text(&output.stdout), text(&output.stderr), &picture] {
                assert_silent_about(&SECRETS, said, &by);
            }
        }
    }
}

/// Runs `sipwake register` until it has had a chat and a call. Returns its output and the messages on the wire.
fn a_traced_life(profile: &str, transport: &str, dialect: &str) -> (String, String) {
    const CHAT: &str = "meet me at the white rabbit's at noon";
    let mut gateway = Gateway::start(profile);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let to = gateway.address.parse().expect("an address");
    let front = (transport == "ws").then(|| runtime.block_on(networks::Front::ws(to)));
    let server = front.as_ref().map_or(to, networks::Front::addr).to_string();
    let mut arguments = vec!["register", "--aor", "alice@mock.example", "--server", &server, "--token", TOKEN];
    arguments.extend(["--transport", transport, "--dialect", dialect, "--allow-cleartext-secrets", "--trace"]);
    let mut command = sipwake(&arguments);
    command.env("RUST_LOG", "trace").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("it runs");
    gateway.ask(
        &json!({"op": "wait_message", "method": "REGISTER", "direction": "sent", "status": 200, "timeout_ms": 60_000}),
    );
    let chat = gateway.ask(&json!({"op": "send_chat", "user": "alice", "text": CHAT}))["call"].clone();
    gateway.ask(&json!({"op": "wait_call", "call": chat, "state": "delivered", "timeout_ms": 60_000}));
    let call = gateway.ask(&json!({"op": "place_call", "user": "alice"}))["call"].clone();
    gateway.ask(&json!({"op": "wait_call", "call": call, "state": "ringing", "timeout_ms": 60_000}));
    gateway.ask(&json!({"op": "cancel", "call": call}));
    gateway.ask(&json!({"op": "wait_call", "call": call, "timeout_ms": 60_000}));
    process.kill().expect("it lives");
    let output = process.wait_with_output().expect("it ends");
    let (said, log) = (text(&output.stdout), text(&output.stderr));
    let wire = gateway.ask(&json!({"op": "messages"}))["messages"].to_string();
    assert!(wire.contains(CHAT) && said.contains("a message from") && said.contains(">>> flow"), "{said}");
    assert!(log.contains("sipwake_core"), "{log}");
    let both = format!("{said}{log}");
    assert!(!both.contains(CHAT), "{profile} over {transport}: {both}");
    (both, wire)
}

#[test]
fn a_traced_registration_and_its_log_hold_no_secret() {
    for (profile, transport, dialect, on_the_wire) in [
        ("mizutech", "udp", "auto", "X-PIID: "),
        ("mizutech", "tcp", "xmpush", "X-MPUSH: "),
        ("rfc8599", "ws", "rfc8599", "pn-prid="),
        ("portsip", "tcp", "portsip", "X-Push: "),
        ("flexisip", "ws", "linphone,app-id-uri,abto", "pn-tok="),
    ] {
        let (said, wire) = a_traced_life(profile, transport, dialect);
        assert!(wire.contains(on_the_wire) && wire.contains(r#"response=\""#), "{wire}");
        // Some dialects escape the token. It is still a secret.
        let escaped = [TOKEN.replace(':', "%3a"), TOKEN.replace(':', "%3A")];
        let secrets = ["wonderland", TOKEN, &escaped[0], &escaped[1], "APA91bFirstTokenOf"];
        assert_silent_about(&secrets, &said, &format!("register at {profile} over {transport}"));
    }
}

#[test]
fn the_output_of_tags_and_payload_is_in_no_log() {
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = sipwake(arguments);
        command.env("RUST_LOG", "trace").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        child.stdin.take().expect("it is piped").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        (text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    let (said, log) = run(&["tags", "--token", TOKEN], b"");
    assert!(said.contains(TOKEN), "this command exists to show it");
    assert_silent_about(&["wonderland"], &said, "tags");
    assert_silent_about(&["wonderland", TOKEN], &log, "the log of tags");
    let chat = br#"{"ntype":"1","nfrom":"bob","nmsg":"meet me at noon","ntouser":"alice"}"#;
    let (said, log) = run(&["payload", "-"], chat);
    assert!(said.contains("meet me at noon"), "this command exists to show it");
    assert_silent_about(&["wonderland"], &said, "payload");
    assert_silent_about(&["wonderland", "meet me at noon"], &log, "the log of payload");
}

#[test]
fn a_payload_is_read_from_standard_input_or_a_file() {
    let payload = br#"{"ntype":"0","nfrom":"1234","nfromusername":"Bob"}"#;
    let output = run_with_input(&["payload", "-", "--json"], payload);
    assert!(output.status.success(), "{output:?}");
    let action: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(action["kind"]["type"], "incoming_call");
    assert_eq!(action["caller"], "1234");
    let output = run_with_input(&["payload", "-", "--channel", "pushkit"], b"\xff not JSON");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(text(&output.stderr), "sipwake: the payload is not JSON\n");
    // Any bytes lead to an action.
    let shown = text(&output.stdout);
    assert!(shown.contains("problem: unreadable") && shown.contains("report_call"), "{shown}");
    for garbage in [&vec![b'['; 3 << 20], &vec![b'['; 100 << 10], &Vec::new()] {
        let output = run_with_input(&["payload", "-"], garbage);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("push.json");
    std::fs::write(&file, payload).expect("it can be written");
    let shown = succeeds(&["payload", file.to_str().expect("UTF-8")]);
    assert!(shown.contains("caller: 1234"), "{shown}");
    let reason = fails(&["payload", folder.path().join("absent").to_str().expect("UTF-8")]);
    assert!(reason.contains("absent: "), "{reason}");
}

#[test]
fn a_sealed_push_opens_only_with_this_phones_key_and_no_error_shows_its_text() {
    const CALL: &str = r#"{"ncallid":"c-1","nfrom":"1234","nfromusername":"Zaphod"}"#;
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let [here, there] = [&here, &there].map(|folder| folder.path().to_str().expect("UTF-8"));
    let key: Value = serde_json::from_str(&succeeds(&["push-key", "--state-dir", here, "--json"])).expect("JSON");
    succeeds(&["push-key", "--state-dir", there]);
    let shared = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    succeeds(&["push-key", "--state-dir", here, "--import", &format!("pbx:{shared}")]);
    let (p256dh, auth) = (key["p256dh"].as_str().expect("a key"), key["auth"].as_str().expect("a secret"));
    let by_key = ["seal", "--p256dh", p256dh, "--auth", auth, "-"];
    let by_shared_key = ["seal", "--key-id", "pbx", "--key", shared, "-"];
    for seal in [&by_key[..], &by_shared_key[..]] {
        let sealed = run_with_input(seal, CALL.as_bytes()).stdout;
        let opened = run_with_input(&["unseal", "--state-dir", here, "-"], &sealed);
        assert_eq!(text(&opened.stdout).trim(), CALL, "{}", text(&opened.stderr));
        let cut = &sealed[..sealed.len() / 2];
        for (folder, payload, error) in [
            (there, &sealed[..], "no key of this phone opens the push"),
            (here, cut, "the sealed push is damaged or incomplete"),
        ] {
            let refused = run_with_input(&["unseal", "--state-dir", folder, "-"], payload);
            assert_eq!(refused.status.code(), Some(1));
            let said = text(&refused.stderr);
            assert!(said.contains(error) && !said.contains("Zaphod") && refused.stdout.is_empty(), "{said}");
        }
    }
    let body = mock_gateway::seal::web_push(p256dh, auth, CALL.as_bytes()).expect("a sound key");
    let opened = run_with_input(&["unseal", "--state-dir", here, "-"], &body);
    assert_eq!(text(&opened.stdout).trim(), CALL, "in the form in which web push delivers it");
}

#[test]
fn secrets_that_begin_with_a_hyphen_are_taken_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("UTF-8");
    let key: Value = serde_json::from_str(&succeeds(&["push-key", "--state-dir", folder, "--json"])).expect("JSON");
    let p256dh = key["p256dh"].as_str().expect("a key");
    let (auth, shared) = (format!("-{}", "A".repeat(21)), format!("-{}", "A".repeat(42)));
    for seal in [["seal", "--p256dh", p256dh, "--auth", &auth, "-"], ["seal", "--key-id", "pbx", "--key", &shared, "-"]]
    {
        let sealed = run_with_input(&seal, b"{}");
        assert!(sealed.status.success() && !sealed.stdout.is_empty(), "{sealed:?}");
    }
}

#[test]
fn tags_are_printed_for_other_stacks() {
    let shown = succeeds(&["tags", "--token", TOKEN, "--package", "com.example.app"]);
    assert!(shown.contains(&format!("X-MPUSH: a:com.example.app:{TOKEN}\n")), "{shown}");
    assert!(shown.contains(";pn-provider=fcm;pn-param=com.example.app;pn-prid="), "{shown}");
    let tags: Value = serde_json::from_str(&succeeds(&["tags", "--json", "--dialect", "xmpush"])).expect("JSON");
    assert_eq!(tags["headers"], json!([{"name": "X-MPUSH", "value": "null"}]));
    let reason = fails(&["tags", "--token", "two words"]);
    assert!(reason.contains("--token: "), "{reason}");
    let reason = fails(&["tags", "--package", "a:b"]);
    assert!(reason.contains("--package: "), "{reason}");
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    for arguments in [&["frobnicate"][..], &["register"], &["demo", "--profile", "asterisk"], &[]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn register_binds_and_logs_out_beside_a_gateway_process() {
    for transport in ["udp", "tcp"] {
        let mut gateway = Gateway::start("rfc8599");
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_str().expect("UTF-8");
        let common = ["--transport", transport, "--state-dir", state];
        let register = [&common[..], &["--once", "--json"]].concat();
        let shown: Value = serde_json::from_str(&succeeds(&gateway.register(&register))).expect("JSON");
        assert_eq!(shown["verdict"]["standing"], "confirmed");
        assert_eq!(gateway.bindings().len(), 1);
        let log_out = [&common[..], &["--log-out"]].concat();
        let shown = succeeds(&gateway.register(&log_out));
        assert!(shown.contains("logged out"), "{shown}");
        assert_eq!(gateway.bindings(), [] as [Value; 0]);
    }
}

#[test]
fn a_log_out_without_a_state_folder_reaches_the_server_too() {
    let mut gateway = Gateway::start("mizutech");
    succeeds(&gateway.register(&["--log-out"]));
    assert_eq!(gateway.bindings(), [] as [Value; 0]);
    let messages = gateway.ask(&json!({"op": "messages"}))["messages"].to_string();
    assert!(messages.contains("X-MPUSH: null"), "{messages}");
}

#[test]
fn an_error_is_one_line_and_exit_code_1() {
    let mut gateway = Gateway::start("mizutech");
    let mut wrong = sipwake(&gateway.register(&["--once"]));
    let output = wrong.env("SIPWAKE_PASSWORD", "not it").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "sipwake: the server refused the user name or password\n");
    assert!(!text(&output.stdout).contains("not it"));
    gateway.ask(&json!({"op": "set_user", "user": "alice", "password": "wonderland"}));

    let nobody = ["register", "--aor", "alice@mock.example", "--server", "127.0.0.1:1", "--transport", "tcp", "--once"];
    let reason = fails(&nobody);
    assert!(reason.contains("flow to the server failed"), "{reason}");
    let reason = fails(&["register", "--aor", "not an address", "--once"]);
    assert!(reason.starts_with("sipwake: --aor: "), "{reason}");
    let reason = fails(&["register", "--aor", "alice@mock.example", "--server", "127.0.0.1:99999", "--once"]);
    assert!(reason.starts_with("sipwake: --server: ") && reason.contains("65535"), "{reason}");
    let reason = fails(&["register", "--aor", "alice@mock.example", "--transport", "ws", "--path", "nope", "--once"]);
    assert!(reason.starts_with("sipwake: --path: "), "{reason}");
    let reason = fails(&gateway.register(&["--once", "--pin", "sha1/x"]));
    assert!(reason.starts_with("sipwake: --pin "), "{reason}");
    let reason = fails(&gateway.register(&["--once", "--state-dir", "/dev/null/state"]));
    assert!(reason.contains("/dev/null/state"), "{reason}");
    let taken = gateway.address.clone();
    let reason = fails(&["gateway", "--listen", &taken]);
    assert!(reason.contains("cannot listen on"), "{reason}");
}

#[test]
fn after_a_kill_during_a_register_the_next_process_goes_on() {
    let mut gateway = Gateway::start("mizutech");
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().to_str().expect("UTF-8").to_owned();
    succeeds(&gateway.register(&["--state-dir", &state, "--once"]));
    let before = gateway.bindings().remove(0);
    gateway.ask(&json!({"op": "faults", "faults": [
        {"action": "drop", "direction": "sent", "kind": "response", "method": "REGISTER", "count": 1000}
    ]}));
    for _ in 0..3 {
        let after = gateway.ask(&json!({"op": "messages"}))["messages"].as_array().and_then(|all| all.last().cloned());
        let after = after.expect("there was one")["seq"].clone();
        let mut process = sipwake(&gateway.register(&["--state-dir", &state]));
        let mut process = process.stdout(Stdio::null()).spawn().expect("it runs");
        gateway.ask(&json!({"op": "wait_message", "method": "REGISTER", "after": after, "timeout_ms": 30_000}));
        process.kill().expect("it lives");
        process.wait().expect("it is dead");
    }
    gateway.ask(&json!({"op": "clear_faults"}));
    succeeds(&gateway.register(&["--state-dir", &state, "--once"]));
    let after = gateway.bindings();
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(after[0]["call_id"], before["call_id"]);
    assert!(after[0]["cseq"].as_u64() > before["cseq"].as_u64());
}

#[test]
fn a_payload_is_judged_by_its_priority_and_its_deadline_counts_from_now() {
    let payload = br#"{"ntype":"0","nfrom":"1234"}"#;
    let action = |more: &[&str]| -> Value {
        let arguments = [&["payload", "-", "--json"], more].concat();
        serde_json::from_slice(&run_with_input(&arguments, payload).stdout).expect("JSON")
    };
    let high = action(&["--priority", "high"]);
    assert_eq!(high["duty"]["type"], "start_foreground_service", "{high}");
    assert_eq!(high["deadline_in_seconds"], 40, "{high}");
    assert!(high.get("deadline_ms").is_none(), "{high}");
    let normal = action(&["--priority", "normal", "--sent-priority", "high"]);
    assert_ne!(normal["duty"], high["duty"]);
    assert_eq!(normal["downgraded"], true, "{normal}");
}

#[test]
fn an_empty_shell_variable_does_not_unbind() {
    for token in ["", " ", "\t", "null", "NULL", "(null)", "nil", "undefined"] {
        for purpose in [&[][..], &["--unbind"], &["--log-out"]] {
            let reason = fails(&[&["tags", "--token", token], purpose].concat());
            assert!(reason.starts_with("sipwake: --token: "), "{token:?} {purpose:?}: {reason}");
            let reason = fails(&[&["tags", "--dialect", "xmpush", "--token", token], purpose].concat());
            assert!(reason.starts_with("sipwake: --token: "), "{token:?} {purpose:?}: {reason}");
        }
        let reason = fails(&["tags", "--token", TOKEN, "--old-token", token]);
        assert!(reason.starts_with("sipwake: --old-token: "), "{token:?}: {reason}");
        for purpose in ["--once", "--log-out"] {
            let reason = fails(&["register", "--aor", "alice@mock.example", "--token", token, purpose]);
            assert!(reason.starts_with("sipwake: --token: "), "{token:?} {purpose}: {reason}");
        }
    }
    for arguments in [&["tags"][..], &["tags", "--unbind"], &["tags", "--log-out"]] {
        assert!(fails(arguments).contains("--token"), "{arguments:?}");
    }
}

#[test]
fn tags_name_the_bound_contact_for_each_purpose() {
    let bound = format!(";pn-provider=fcm;pn-param=my-project;pn-prid={TOKEN}");
    let tags = |more: &[&str]| succeeds(&[&["tags", "--package", "my-project", "--token", TOKEN], more].concat());
    assert_eq!(
        tags(&["--log-out"]),
        format!("X-MPUSH: null\nContact: <sip:user@host{bound}>\nExpires: 0\n"),
        "the Contact that was bound, for servers that compare it"
    );
    assert_eq!(
        tags(&["--unbind"]),
        format!("X-MPUSH: null\nContact: <sip:user@host>\nContact: <sip:user@host{bound}>;expires=0\n")
    );
    let rotated = succeeds(&["tags", "--package", "my-project", "--token", "new:token", "--old-token", TOKEN]);
    assert_eq!(
        rotated,
        format!(
            "X-MPUSH: a:my-project:new:token\nContact: <sip:user@host{}>\nContact: <sip:user@host{bound}>;expires=0\n",
            bound.replace(TOKEN, "new:token")
        )
    );
    for dialect in ["linphone", "app-id-uri", "rfc8599"] {
        let shown = tags(&["--dialect", dialect, "--log-out"]);
        assert!(shown.contains("APA91bFirstTokenOf") && shown.contains("Expires: 0"), "{dialect}: {shown}");
    }
    let portsip = tags(&["--dialect", "portsip", "--unbind"]);
    assert!(portsip.contains(TOKEN) && portsip.contains("allow-call-push=false"), "{portsip}");
    // A null beside a live token could remove that token.
    let null = succeeds(&["tags", "--token", "new:token", "--old-token", TOKEN, "--removal", "null-prid"]);
    assert_eq!(null.matches("Contact").count(), 1, "{null}");
}

#[test]
fn tags_without_a_package_print_a_warning() {
    let output = run(&["tags", "--token", TOKEN]);
    assert!(text(&output.stderr).contains("--package"), "{output:?}");
    let output = run(&["tags", "--token", TOKEN, "--package", "my-project"]);
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_verdict_is_read_from_standard_input() {
    let response = b"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\nFeature-Caps: *;+sip.pns=\"fcm\"\r\n\r\n";
    let output = run_with_input(&["verdict"], response);
    assert!(output.status.success() && text(&output.stdout).starts_with("push: Confirmed: "), "{output:?}");
    let output = run_with_input(&["verdict", "-", "--json", "--provider", "apns", "--dialect", "rfc8599"], response);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(verdict["standing"], "refused");
    for garbage in [&b""[..], b"\xff", b"HTTP/1.1 200 OK\r\n\r\n", b"SIP/2.0 100 Trying\r\n\r\n", &[b'x'; 2 << 20]] {
        let output = run_with_input(&["verdict"], garbage);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// The REGISTERs that a gateway received, as text.
fn registers(gateway: &mut Gateway) -> Vec<String> {
    let messages = gateway.ask(&json!({"op": "messages"}))["messages"].as_array().expect("a list").clone();
    let texts = messages.iter().filter(|message| message["direction"] == "received");
    texts
        .filter_map(|message| message["text"].as_str().map(str::to_owned))
        .filter(|t| t.starts_with("REGISTER"))
        .collect()
}

#[test]
fn a_log_out_of_an_unknown_account_says_so_and_sends_nothing() {
    let mut gateway = Gateway::start("rfc8599");
    let reason = fails(&["register", "--aor", "alice@mock.example", "--server", &gateway.address, "--log-out"]);
    assert!(reason.contains("never registered") && !reason.contains("confirmed"), "{reason}");
    assert_eq!(registers(&mut gateway), [] as [String; 0]);
}

#[test]
fn a_second_log_out_binds_nothing_again() {
    let mut gateway = Gateway::start("rfc8599");
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().to_str().expect("UTF-8").to_owned();
    succeeds(&gateway.register(&["--state-dir", &state, "--once"]));
    succeeds(&gateway.register(&["--state-dir", &state, "--log-out"]));
    let before = registers(&mut gateway).len();
    succeeds(&gateway.register(&["--state-dir", &state, "--log-out"]));
    let after = registers(&mut gateway);
    assert!(after[before..].iter().all(|register| register.contains("\r\nExpires: 0\r\n")), "{:?}", &after[before..]);
    assert_eq!(gateway.bindings(), [] as [Value; 0]);
}

#[test]
fn a_log_out_that_the_server_does_not_accept_is_stored_and_the_output_says_so() {
    let mut gateway = Gateway::start("rfc8599");
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().to_str().expect("UTF-8").to_owned();
    let tcp = ["--transport", "tcp", "--state-dir", &state];
    succeeds(&gateway.register(&[&tcp[..], &["--once"]].concat()));
    gateway.ask(&json!({"op": "faults", "faults": [{"action": "close", "direction": "received", "method": "REGISTER", "count": 1000}]}));
    let reason = fails(&gateway.register(&[&tcp[..], &["--log-out"]].concat()));
    assert!(reason.contains("the log-out is stored in") && reason.contains(&state), "{reason}");
    gateway.ask(&json!({"op": "clear_faults"}));
    let before = registers(&mut gateway).len();
    succeeds(&gateway.register(&[&tcp[..], &["--log-out"]].concat()));
    assert_eq!(gateway.bindings(), [] as [Value; 0]);
    let after = registers(&mut gateway);
    assert!(after[before..].iter().all(|register| register.contains("\r\nExpires: 0\r\n")), "nothing was bound again");
}

#[test]
fn a_repeated_log_out_after_a_refusal_binds_nothing_with_any_token() {
    for remembers in [true, false] {
        let mut gateway = Gateway::start("rfc8599");
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_str().expect("UTF-8").to_owned();
        let state = if remembers { vec!["--state-dir", &state] } else { Vec::new() };
        succeeds(&gateway.register(&[&state[..], &["--once"]].concat()));
        let before = registers(&mut gateway).len();
        let refusal = json!({"status": 403, "after_auth": true});
        gateway.ask(&json!({"op": "script", "user": "alice", "replies": vec![refusal; 1 + usize::from(remembers)]}));
        let log_out = [&state[..], &["--log-out"]].concat();
        fails(&gateway.register(&log_out));
        // The log-out is asked for again, once with another token, and again after it was done.
        let address = gateway.address.clone();
        let mut other = vec!["register", "--aor", "alice@mock.example", "--server", &address];
        other.extend(["--token", if remembers { "c-10:AnotherTokenThanTheOneThatIsBound" } else { TOKEN }]);
        other.extend(&log_out);
        succeeds(&other);
        assert_eq!(gateway.bindings(), [] as [Value; 0]);
        succeeds(&gateway.register(&log_out));
        let after = registers(&mut gateway);
        let binds = after[before..].iter().filter(|register| !register.contains("\r\nExpires: 0\r\n"));
        assert_eq!(binds.collect::<Vec<_>>(), [] as [&String; 0]);
        assert_eq!(gateway.bindings(), [] as [Value; 0]);
    }
}

#[test]
fn a_query_leaves_no_binding_behind() {
    let mut gateway = Gateway::start("opensips");
    let shown =
        succeeds(&["register", "--aor", "alice@mock.example", "--server", &gateway.address, "--query", "--once"]);
    assert!(shown.contains("pushes through apns, fcm, webpush"), "{shown}");
    assert_eq!(gateway.bindings(), [] as [Value; 0]);
}

#[test]
fn a_password_on_the_command_line_leads_to_a_warning_and_one_in_a_file_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "wonderland\n").expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    for (arguments, warns) in [(["--password", "wonderland"], true), (["--password-file", file], false)] {
        let gateway = Gateway::start("mizutech");
        let mut command = sipwake(&gateway.register(&["--once", "--package", "my-project"]));
        let output = command.args(arguments).env_remove("SIPWAKE_PASSWORD").output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(&output.stderr).contains("process list"), warns, "{output:?}");
    }
    let gateway = Gateway::start("mizutech");
    let output = sipwake(&gateway.register(&["--once"])).env_remove("SIPWAKE_PASSWORD").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("SIPWAKE_PASSWORD"), "{output:?}");
}

#[test]
fn the_gateway_refuses_unknown_operations_keys_and_users() {
    let mut gateway = Gateway::start("mizutech");
    for request in [
        json!({"op": "plcae_call", "user": "alice"}),
        json!({"op": "place_call", "user": "alice", "ring_time": 5}),
        json!({"op": "wait_message", "direction": "recieved"}),
        json!({"op": "bindings", "user": "alcie"}),
    ] {
        writeln!(gateway.control.get_mut(), "{request}").expect("it listens");
        let mut line = String::new();
        gateway.control.read_line(&mut line).expect("an answer");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer["ok"], false, "{request}: {answer}");
    }
    assert_eq!(run(&["gateway", "--habit", "contact-rewriten"]).status.code(), Some(2));
    let habits = succeeds(&["gateway", "--list-habits"]);
    assert!(habits.lines().count() >= 30, "{habits}");
}

#[cfg(target_os = "linux")]
/// Answers each request with a 403 whose text would clear the terminal and set its title.
fn hostile_server() -> String {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = socket.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let request = String::from_utf8_lossy(&buffer[..length]);
            let echoed = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| {
                let line = request.lines().find(|line| line.starts_with(&format!("{name}: "))).unwrap_or_default();
                format!("{line}{}\r\n", if name == "To" { ";tag=x" } else { "" })
            });
            let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m";
            let answer = format!(
                "SIP/2.0 403 {evil}no\r\n{}Server: {evil}evil\r\nWarning: 399 x \"{evil}\"\r\nContent-Length: 0\r\n\r\n",
                echoed.concat()
            );
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    });
    address
}

#[test]
fn control_characters_of_a_server_do_not_reach_the_terminal() {
    let server = hostile_server();
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let page = page.to_str().expect("UTF-8");
    let account = ["--aor", "alice@mock.example", "--server", &server];
    for arguments in [
        &["doctor", "--package", "a.b", "--html", page][..],
        &["doctor", "--package", "a.b", "--json"],
        &["register", "--token", TOKEN, "--package", "a.b", "--once", "--trace", "--ladder", page],
    ] {
        let output = run(&[arguments, &account].concat());
        let drawn = std::fs::read_to_string(page).expect("it is written");
        let said = format!("{}{}{drawn}", text(&output.stdout), text(&output.stderr));
        assert!(said.contains("403"), "{arguments:?} was refused: {said}");
        let moves = |c: char| c.is_control() && c != '\n';
        assert!(!said.contains(moves), "{arguments:?}: {said:?}");
        assert!(said.contains("\\u001b[2J"), "{arguments:?} shows what came: {said:?}");
        if arguments.contains(&"--json") {
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert!(report["product"].as_str().is_some_and(|product| product.ends_with("evil")), "{report:#}");
        }
    }
}

#[test]
fn a_full_disk_is_an_error() {
    for arguments in [&["tags", "--token", TOKEN][..], &["register", "--help"], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = sipwake(arguments).stdout(full).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains("standard output: "), "{arguments:?}: {output:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_panic() {
    for arguments in [&["demo"][..], &["tags", "--token", TOKEN], &["register", "--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child = sipwake(arguments).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn();
        let output = child.expect("it starts").wait_with_output().expect("it ends");
        assert!(!text(&output.stderr).contains("panicked"), "{arguments:?}: {}", text(&output.stderr));
        assert_ne!(output.status.code(), Some(101), "{arguments:?}");
    }
}
