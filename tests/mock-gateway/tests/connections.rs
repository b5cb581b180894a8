//! TCP, and the control port.

mod peer;

use std::time::Duration;

use mock_gateway::{Action, CallOptions, CallState, Fault, control};
use peer::{LIMIT, Peer, Register, open_mock};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn register(mock: &mock_gateway::MockGateway, cseq: u32) -> String {
    format!(
        "REGISTER sip:{0} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKt{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@{0}>;tag=t\r\nTo: <sip:alice@{0}>\r\nCall-ID: tcp\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:alice@127.0.0.1:9;transport=tcp>\r\nX-MPUSH: i:app:T\r\nContent-Length: 0\r\n\r\n",
        mock.addr()
    )
}

async fn read(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 65_536];
    let length = timeout(LIMIT, stream.read(&mut buffer)).await.expect("in time").expect("open");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test]
async fn tcp_is_framed_keep_alives_are_answered_and_a_close_means_asleep() {
    let mock = open_mock("xmpush").await;
    let mut stream = TcpStream::connect(mock.addr()).await.expect("listening");
    let text = register(&mock, 1);
    let (one, two) = text.split_at(60);
    stream.write_all(one.as_bytes()).await.expect("open");
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.write_all(two.as_bytes()).await.expect("open");
    assert!(read(&mut stream).await.starts_with("SIP/2.0 200"));
    stream.write_all(b"\r\n\r\n").await.expect("open");
    assert_eq!(read(&mut stream).await, "\r\n");
    drop(stream);
    let asleep = async || mock.bindings("alice").await.iter().all(|b| b.asleep);
    assert!(mock.wait_until(asleep, LIMIT).await);
    mock.place_call("alice", CallOptions::default()).await;
    assert!(mock.pushes(Some("T")).next_within(LIMIT).await.is_some());
    let mut back = TcpStream::connect(mock.addr()).await.expect("listening");
    back.write_all(register(&mock, 2).as_bytes()).await.expect("open");
    let mut seen = String::new();
    while !seen.contains("INVITE sip:alice@127.0.0.1:9;transport=tcp") {
        seen.push_str(&read(&mut back).await);
    }
}

#[tokio::test]
async fn half_a_message_and_a_reset_reach_a_tcp_client() {
    let mock = open_mock("none").await;
    let mut stream = TcpStream::connect(mock.addr()).await.expect("listening");
    mock.faults(vec![Fault::new(Action::Half).sent()]).await;
    stream.write_all(register(&mock, 1).as_bytes()).await.expect("open");
    let half = read(&mut stream).await;
    assert!(half.starts_with("SIP/2.0 200") && !half.contains("\r\n\r\n"));
    mock.faults(vec![Fault::new(Action::Reset).sent()]).await;
    stream.write_all(register(&mock, 2).as_bytes()).await.expect("open");
    let end = timeout(LIMIT, stream.read(&mut [0; 64])).await.expect("in time");
    assert_eq!(end.map_err(|e| e.kind()), Err(std::io::ErrorKind::ConnectionReset));
}

struct Control(BufReader<TcpStream>);

impl Control {
    async fn line(&mut self) -> Value {
        let mut line = String::new();
        timeout(LIMIT, self.0.read_line(&mut line)).await.expect("in time").expect("open");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn say(&mut self, request: Value) {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).await.expect("open");
    }

    async fn ask(&mut self, request: Value) -> Value {
        self.say(request).await;
        self.line().await
    }
}

#[tokio::test]
async fn the_control_port_drives_a_call_from_push_to_end() {
    let mock = open_mock("xmpush").await;
    let address = control::listen(&mock, "127.0.0.1:0".parse().expect("an address")).await.expect("loopback is there");
    let connect = async || Control(BufReader::new(TcpStream::connect(address).await.expect("listening")));
    let (mut control, mut events) = (connect().await, connect().await);
    let mut peer = Peer::new(&mock).await;
    let tags = Register { expires: 600, headers: "X-MPUSH: a:project:tok\r\n".into(), ..Register::default() };
    peer.register(&tags).await;
    assert_eq!(events.ask(json!({"id": 1, "op": "subscribe", "what": ["pushes"]})).await["ok"], true);
    assert_eq!(control.ask(json!({"id": 2, "op": "sleep", "user": "alice"})).await, json!({"id": 2, "ok": true}));
    let placed = control.ask(json!({"id": 3, "op": "place_call", "user": "alice", "from": "sip:77@x"})).await;
    assert_eq!((&placed["ok"], &placed["state"]), (&json!(true), &json!("held")));
    let push = events.line().await;
    assert_eq!((&push["event"], &push["push"]["payload"]["nfrom"]), (&json!("push"), &json!("77")));
    peer.register(&tags).await;
    let invite = peer.request("INVITE").await;
    peer.reply(&invite, "180 Ringing", "").await;
    let call = placed["call"].clone();
    let ringing = control.ask(json!({"id": 4, "op": "wait_call", "call": call, "state": "ringing"})).await;
    assert_eq!(ringing["state"], "ringing");
    control.ask(json!({"id": 5, "op": "cancel", "call": call})).await;
    peer.request("CANCEL").await;
    let waited = control.ask(json!({"id": 6, "op": "wait_message", "method": "REGISTER", "after": 2})).await;
    assert_eq!(waited["message"]["direction"], "received");
    let bindings = control.ask(json!({"id": 7, "op": "bindings", "user": "alice"})).await;
    assert_eq!(bindings["bindings"][0]["push"]["token"], "tok");
    assert_eq!(control.ask(json!({"id": 8, "op": "no such"})).await["ok"], false);
    let bad = control.ask(json!({"id": 9, "op": "faults", "faults": [{"action": "explode"}]})).await;
    assert_eq!(bad["ok"], false);
    let nobody = control.ask(json!({"id": 10, "op": "bindings", "user": "alcie"})).await;
    assert!(nobody["error"].as_str().is_some_and(|error| error.contains("alcie")), "{nobody}");
}

#[tokio::test]
async fn the_control_port_closes_after_a_line_that_is_no_json_object_and_ignores_the_rest() {
    let mock = peer::mock("none").await;
    let address = control::listen(&mock, "127.0.0.1:0".parse().expect("an address")).await.expect("loopback is there");
    let huge = "x".repeat(2 << 20) + "\n";
    for first in [
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\r\n",
        "POST /{\"op\":\"info\"} HTTP/1.1\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{0}\n",
        "[]\n",
        "\"shutdown\"\n",
        "\n",
        "\r\n",
        "null\n",
        "{\"op\":\"info\"",
        "{\"op\":\"info\"} {\"op\":\"info\"}\n",
        "{\"op\":\"info\"};\n",
        "\u{feff}{\"op\":\"info\"}\n",
        huge.as_str(),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("listening");
        let text = format!("{first}{}\n", json!({"op": "set_realm", "realm": "stolen"}));
        // It may close before it has read everything.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        // The unread rest may reset the connection. It is closed in both cases.
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("it closes");
        let first = &first[..first.len().min(80)];
        assert!(!String::from_utf8_lossy(&answer).contains("\"ok\":true"), "{first:?}: {answer:?}");
    }
    let mut peer = Peer::new(&mock).await;
    let text = peer.register_text(&Register { expires: 60, ..Register::default() });
    peer.send(&text).await;
    let challenge = format!("{:?}", peer.receive().await);
    assert!(challenge.contains("asterisk"), "the realm is as before: {challenge}");
}

#[tokio::test]
async fn a_code_is_valid_once() {
    let mock = open_mock("none").await;
    let any = "0.0.0.0:0".parse().expect("an address");
    assert!(control::listen(&mock, any).await.is_err(), "another machine needs the code");
    let open = control::open(&mock, any).await.expect("it can be bound");
    let near = std::net::SocketAddr::from(([127, 0, 0, 1], open.address.port()));
    let connect = async |to| Control(BufReader::new(TcpStream::connect(to).await.expect("listening")));
    let hello = |code: &str| json!({"op": "hello", "code": code});
    let mut first = connect(near).await;
    assert_eq!(first.ask(json!({"op": "info"})).await["ok"], true, "loopback needs no code");
    let answer = first.ask(hello(&open.code)).await;
    let next = answer["next_code"].as_str().expect("the next one").to_owned();
    assert_eq!(connect(near).await.ask(hello(&open.code)).await["ok"], false, "it was valid once");
    assert_eq!(connect(near).await.ask(hello(&next)).await["ok"], true);
}

#[tokio::test]
async fn the_mock_ends_when_its_last_handle_is_dropped() {
    let mock = open_mock("none").await;
    let sip = mock.addr();
    let address = control::listen(&mock, "127.0.0.1:0".parse().expect("an address")).await.expect("loopback is there");
    let call = mock.place_call("alice", CallOptions::default()).await;
    assert_eq!(call.report().await.map(|r| r.state), Some(CallState::Unreachable));
    drop((mock, call));
    let gone = async || {
        while TcpStream::connect(sip).await.is_ok() || TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, gone()).await.expect("both ports close");
}
