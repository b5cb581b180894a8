//! The companion as a process beside a SIP stack in another language: `tests/beside/stack.py`, over a raw socket.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mock_gateway::{CallOptions, CallState, Config, Habit, MockGateway, Profile, PushWhen};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "c-10-ap_Kt0:APA91bFirstTokenOfThisPhone0001";

fn has_python() -> bool {
    let found =
        Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        let _ = writeln!(std::io::stderr(), "\nNOT RUN: a life in Python: python3 is missing");
    }
    found
}

/// A process that reads and writes lines.
struct Lines {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Lines {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self { input: process.stdin.take(), process, lines }
    }

    fn say(&mut self, line: &str) {
        // It may have ended. The next read shows that.
        let _ = writeln!(self.input.as_mut().expect("open"), "{line}");
    }

    /// The next line; `Null` if the process has ended.
    fn hear(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).ok();
        line.map(|line| serde_json::from_str(&line).expect("JSON")).unwrap_or_default()
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.say(&request.to_string());
        loop {
            let answer = self.hear();
            if answer.get("event").is_none() {
                return answer;
            }
        }
    }

    /// The next line about this.
    fn until(&self, what: &str) -> Value {
        loop {
            let line = self.hear();
            if line["what"] == what || line.is_null() {
                return line;
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn companion(server: &str, state: &Path, more: &[&str]) -> Vec<String> {
    let state = state.to_str().expect("UTF-8");
    let mut command =
        vec![env!("CARGO_BIN_EXE_sipwake"), "beside", "--aor", "sip:alice@mock.example", "--server", server];
    command.extend(["--package", "com.example.app", "--state-dir", state]);
    command.extend(more);
    command.into_iter().map(str::to_owned).collect()
}

/// The companion without a stack.
fn alone(server: &str, state: &Path, more: &[&str]) -> Lines {
    let command = companion(server, state, more);
    let mut process = Command::new(&command[0]);
    process.args(&command[1..]).env("SIPWAKE_PASSWORD", "wonderland");
    Lines::start(process)
}

fn stack(server: &str, state: &Path, more: &[&str]) -> Lines {
    let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/beside/stack.py");
    let mut process = Command::new("python3");
    process.arg(script).args([server, "alice", "wonderland"]).args(companion(server, state, more));
    process.env("SIPWAKE_PASSWORD", "wonderland");
    Lines::start(process)
}

/// The companion of a killed stack must have ended, too: one process at a time writes to a store.
fn stack_when_free(server: &str, state: &Path, more: &[&str]) -> Lines {
    let mut free = alone(server, state, more);
    while free.ask(&json!({"op": "pending"})).is_null() {
        std::thread::sleep(Duration::from_millis(100));
        free = alone(server, state, more);
    }
    drop(free);
    stack(server, state, more)
}

async fn life(profile: Profile) {
    let name = profile.name.clone();
    let pushes_calls = name != "none";
    let server = MockGateway::start(Config::new(profile).user("alice", "wonderland")).await.expect("loopback");
    let address = server.addr().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let dialect = match name.as_str() {
        "flexisip" => "linphone",
        "portsip" => "portsip",
        _ => "auto",
    };
    let token = ["--token", TOKEN, "--dialect", dialect];
    let mut phone = stack(&address, folder.path(), &token);
    let registered = phone.until("nothing");
    assert!(registered["verdict"].is_string(), "{name}: {registered}");

    // The phone sleeps, where the server can know that, and somebody calls.
    if pushes_calls {
        server.sleep("alice", false).await;
    }
    let mut pushes = server.pushes(None);
    let when = if pushes_calls { PushWhen::Asleep } else { PushWhen::Never };
    let call = server.place_call("alice", CallOptions { push: when, ..CallOptions::default() }).await;
    let mut announced = Value::Null;
    if pushes_calls {
        let push = tokio::time::timeout(PATIENCE, pushes.next()).await.expect("it is pushed");
        phone.say(&push.payload.to_string());
        announced = phone.until("push")["call"].clone();
        // A push of RFC 8599 has no content: it leads to a REGISTER, and the INVITE rings.
        assert_eq!(announced.is_null(), push.payload == json!({}), "{name}");
    }
    let ringing = phone.until("ringing")["call"].clone();
    assert!(announced.is_null() || ringing == announced, "{name}: {ringing} was announced as {announced}");
    let answered = call.wait(|state| state == CallState::Answered, PATIENCE).await;
    assert!(answered.is_some(), "{name}: the caller talks to it");
    assert!(call.bye().await, "{name}");
    assert_eq!(phone.until("over")["call"], ringing, "{name}");
    if let (true, Some(push)) = (pushes_calls, server.push_service().history().last().cloned()) {
        phone.say(&push.payload.to_string());
        assert_eq!(phone.until("push")["call"], Value::Null, "{name}: the same push again rings no ghost");
    }

    // It logs out while the server is down, and is killed. Another process delivers the log-out.
    server.set_habits(None, &[Habit::Silent]).await;
    phone.say("log out");
    assert_eq!(phone.until("asked")["durable"], true, "{name}");
    drop(phone);
    server.set_habits(None, &[]).await;
    let mut later = stack_when_free(&address, folder.path(), &["--pending", "--dialect", dialect]);
    let gone = later.until("logged_out");
    assert!(gone["removed"] == "proven" || gone["removed"] == "accepted", "{name}: {gone}");
    let bindings = server.bindings("alice").await;
    assert!(bindings.iter().all(|binding| !binding.registered && binding.push.is_none()), "{name}: {bindings:?}");
    later.say(r#"{"ntype":"0","nfrom":"1234","ncallid":"late","ntouser":"alice"}"#);
    assert_eq!(later.until("push")["call"], Value::Null, "{name}: who logged out is not rung");
    assert!(server.violations().is_empty(), "{name}: {:?}", server.violations());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_stack_with_the_companion_works_with_each_profile() {
    if !has_python() {
        return;
    }
    for name in ["rfc8599", "xmpush", "mizutech", "opensips", "flexisip", "portsip", "kamailio", "none"] {
        life(Profile::named(name).expect("a profile")).await;
    }
}

#[test]
fn the_companion_answers_each_line_with_one_line_and_names_its_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut companion = alone("127.0.0.1:9", folder.path(), &["--token", TOKEN]);
    for (request, error) in [
        (
            json!({"op": "heard", "status": 200}),
            "a response to a REGISTER whose tags were never requested: ask for the tags before you send a REGISTER",
        ),
        (json!({"op": "fly"}), "op: \"fly\" is unknown; docs/beside.md lists the operations"),
        (json!({"op": 7}), "op: must be a text"),
        (json!({"op": "ended", "call": "x", "how": "hung_up"}), "call: must be the UUID of a call"),
        (json!({"op": "invited", "headers": [["From"]]}), "headers: must be a list of [name, value]"),
        (json!({"op": "invited", "headers": [["From", "<sip:a@b>;tag=1"]]}), "the header Call-ID is missing"),
        (json!({"op": "token", "token": "a b"}), "push.token: must be a token without white space"),
    ] {
        let answer = companion.ask(&request);
        assert_eq!(answer["ok"], false, "{request}: {answer}");
        let told = answer["error"].as_str().unwrap_or_default();
        assert!(
            told == error || (error.starts_with("push.token") && told.starts_with("push.token")),
            "{request}: {answer}"
        );
    }
    companion.say("no JSON");
    assert_eq!(companion.hear()["ok"], false);
    let register = companion.ask(&json!({"op": "register", "id": 7}));
    assert_eq!(
        (register["ok"].clone(), register["id"].clone(), register["expires"].clone()),
        (true.into(), 7.into(), 3600.into())
    );
    let heard = companion
        .ask(&json!({"op": "heard", "number": register["number"], "status": 200, "headers": [["expires", "60"]]}));
    assert_eq!((heard["next"].clone(), heard["expires"].clone()), ("nothing".into(), 60.into()));
    assert_eq!(companion.ask(&json!({"op": "token", "token": ""}))["ok"], true, "an empty one changes nothing");
    let again = companion.ask(&json!({"op": "register"}));
    assert_eq!(again["headers"], register["headers"]);
}

#[test]
fn the_companion_knows_do_not_disturb_hanging_up_and_the_push_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut companion = alone("127.0.0.1:9", folder.path(), &["--token", TOKEN]);
    let bound = companion.ask(&json!({"op": "register"}));
    companion.ask(&json!({"op": "heard", "number": bound["number"], "status": 200, "headers": [["Expires", "600"]]}));
    let push = |id: &str| json!({"ntype": "0", "nfrom": "1234", "ncallid": id, "ntouser": "alice"});

    let call = companion.ask(&json!({"op": "push", "payload": push("one")}))["call"].clone();
    let headers = json!([["f", "<sip:1234@mock.example>;tag=1"], ["i", "one"], ["CSeq", "1 INVITE"]]);
    let rings = companion.ask(&json!({"op": "invited", "headers": headers}));
    assert_eq!((&rings["do"], &rings["call"]), (&json!("ring"), &call));
    assert_eq!(companion.ask(&json!({"op": "hang_up", "call": call}))["status"], 603);
    assert_eq!(companion.ask(&json!({"op": "invited", "headers": headers}))["do"], "refuse");
    let how = json!({"op": "ended", "call": call, "how": "failed", "status": 99});
    assert_eq!(companion.ask(&how)["error"], "status: must be a number from 400 to 699");

    let on = companion.ask(&json!({"op": "do_not_disturb", "until": 4_000_000_000_u64}));
    assert_eq!((&on["ok"], &on["durable"]), (&json!(true), &json!(true)));
    assert_eq!(companion.ask(&json!({"op": "push", "payload": push("two")}))["call"], Value::Null);
    let without = companion.ask(&json!({"op": "register"}));
    assert_eq!((&without["removes"], &without["uri_params"]), (&json!(false), &json!("")));
    companion.ask(&json!({"op": "heard", "number": without["number"], "status": 200, "headers": [["Expires", "600"]]}));
    assert_eq!(companion.ask(&json!({"op": "do_not_disturb", "until": null}))["ok"], true);
    let mut again = companion.ask(&json!({"op": "register"}));
    if again["removes"] == true {
        // What a server without a list may still hold is removed first.
        companion.ask(&json!({"op": "heard", "number": again["number"], "status": 200, "headers": []}));
        again = companion.ask(&json!({"op": "register"}));
    }
    assert_eq!(again["uri_params"], bound["uri_params"], "{again}");

    let key = companion.ask(&json!({"op": "push_key"}));
    let (p256dh, auth) = (key["p256dh"].as_str().expect("a key"), key["auth"].as_str().expect("a secret"));
    let sealed = mock_gateway::seal::sealed(p256dh, auth, push("three").to_string().as_bytes()).expect("a sound key");
    let payload = json!({"sealed": sealed});
    assert!(companion.ask(&json!({"op": "push", "payload": payload}))["call"].is_string());
    assert_eq!(companion.ask(&json!({"op": "push", "payload": payload}))["call"], Value::Null, "once");
    loop {
        let line = companion.hear();
        if line["event"] == "push_unopened" {
            assert_eq!(line["why"], "the same sealed push came a second time");
            break;
        }
    }
}
