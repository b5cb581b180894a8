//! The control port: JSON lines over TCP, so that tests in any language can drive the mock.
//!
//! The protocol is described op by op in this crate's README.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::binding::Scripted;
use crate::config::UserConfig;
use crate::handle::{MockGateway, WeakGateway};
use crate::json::{self, Args};
use crate::push::{Delivery, PushKind};
use crate::record::{Direction, ladder};

const MAX_LINE: u64 = 1 << 20;
const MAX_CLIENTS: usize = 64;
const MAX_OPEN: usize = 256;

/// Opens the control port of a mock; it closes when the mock ends. Returns its address.
///
/// # Errors
/// The address cannot be bound.
pub async fn listen(mock: &MockGateway, address: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    let weak = mock.weak();
    let served = mock.ask(move |g| drop(g.tasks.spawn(accept(listener, weak)))).await;
    served.map(|()| local).map_err(io::Error::other)
}

async fn accept(listener: TcpListener, weak: WeakGateway) {
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) if clients.len() < MAX_CLIENTS => drop(clients.spawn(serve(stream, weak.clone()))),
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn serve(stream: TcpStream, weak: WeakGateway) {
    let (read, mut write) = stream.into_split();
    let (lines, mut outgoing) = mpsc::channel::<String>(1024);
    let mut reader = BufReader::new(read);
    let mut work = JoinSet::new();
    work.spawn(async move {
        while let Some(line) = outgoing.recv().await {
            if write.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(1..) if line.ends_with(b"\n") => {}
            _ => return,
        }
        while work.try_join_next().is_some() {}
        let request = serde_json::from_slice::<Value>(&line);
        match request {
            Ok(request) if request.is_object() && work.len() < MAX_OPEN => {
                work.spawn(answer(weak.clone(), request, lines.clone()));
            }
            Ok(_) => send(&lines, json!({ "ok": false, "error": "not an object, or too many requests at once" })).await,
            Err(error) => send(&lines, json!({ "ok": false, "error": error.to_string() })).await,
        }
    }
}

async fn send(lines: &mpsc::Sender<String>, value: Value) {
    let _ = lines.send(format!("{value}\n")).await;
}

async fn answer(weak: WeakGateway, request: Value, lines: mpsc::Sender<String>) {
    let args = Args(&request);
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    if args.str("op") == Some("subscribe") {
        return subscribe(weak, &args, id, lines).await;
    }
    let result = match weak.upgrade() {
        Some(mock) => perform(&mock, &args).await,
        None => Err("the mock has ended".into()),
    };
    let mut reply = match result {
        Ok(Value::Object(map)) => Value::Object(map),
        Ok(other) => json!({ "result": other }),
        Err(error) => json!({ "error": error }),
    };
    reply["ok"] = json!(reply.get("error").is_none());
    reply["id"] = id;
    send(&lines, reply).await;
}

async fn subscribe(weak: WeakGateway, args: &Args<'_>, id: Value, lines: mpsc::Sender<String>) {
    let Some(mock) = weak.upgrade() else { return };
    let what = args.strings("what");
    let wants = |name: &str| what.iter().any(|w| w == name);
    let (pushes, messages) = (wants("pushes"), wants("messages"));
    if !pushes && !messages {
        return send(&lines, json!({ "id": id, "ok": false, "error": "what: [\"pushes\", \"messages\"]" })).await;
    }
    send(&lines, json!({ "id": id, "ok": true })).await;
    let mut stream = mock.pushes(args.str("token"));
    let record = mock.messages().clone();
    let (mut changes, mut seen) = (record.changes(), args.number("after").unwrap_or(0));
    // A subscription must not keep the mock alive.
    drop(mock);
    loop {
        if messages {
            changes.borrow_and_update();
            for entry in record.after(seen) {
                seen = entry.seq;
                send(&lines, json!({ "event": "message", "message": json::entry(&entry) })).await;
            }
        }
        tokio::select! {
            push = stream.next(), if pushes => send(&lines, json!({ "event": "push", "push": json::push(&push) })).await,
            changed = changes.changed(), if messages => if changed.is_err() { return },
        }
    }
}

async fn perform(mock: &MockGateway, args: &Args<'_>) -> Result<Value, String> {
    let user = args.str("user");
    let need_user = || user.ok_or_else(|| "user is missing".to_owned());
    let limit = args.ms("timeout_ms").unwrap_or(Duration::from_secs(5)).min(Duration::from_secs(120));
    match args.str("op").ok_or("op is missing")? {
        "info" => Ok(json!({
            "address": mock.addr().to_string(),
            "upper": mock.upper().map(|u| u.addr().to_string()),
            "profiles": crate::Profile::NAMES,
        })),
        "set_user" => {
            let profile = args.value("profile").map(|p| json::profile(Some(p), None)).transpose()?;
            let auth_name = args.str("auth_name").map(str::to_owned);
            let plain = UserConfig::new(need_user()?, args.str("password").unwrap_or_default());
            mock.set_user(UserConfig { auth_name, profile, ..plain }).await;
            Ok(json!({}))
        }
        "set_profile" => {
            mock.set_profile(user, json::profile(args.value("profile"), args.value("flags"))?).await;
            Ok(json!({}))
        }
        "change_profile" => {
            let flags = args.value("flags").cloned().ok_or("flags is missing")?;
            json::change_profile(&mut crate::Profile::plain(), &flags)?;
            mock.change_profile(user, move |p| drop(json::change_profile(p, &flags))).await;
            Ok(json!({}))
        }
        "set_challenge" => {
            mock.set_challenges(user, json::challenges(args)?).await;
            Ok(json!({}))
        }
        "set_realm" => {
            mock.set_realm(args.str("realm").ok_or("realm is missing")?).await;
            Ok(json!({}))
        }
        "forget_nonces" => {
            mock.forget_nonces().await;
            Ok(json!({}))
        }
        "script" => {
            let replies = args.list("replies").iter().map(scripted).collect::<Result<Vec<_>, _>>()?;
            mock.script(need_user()?, replies).await;
            Ok(json!({}))
        }
        "place_call" => {
            let call = mock.place_call(need_user()?, json::call_options(args)?).await;
            Ok(json::report(&call.report().await))
        }
        "send_chat" => {
            let text = args.str("text").ok_or("text is missing")?;
            let call = mock.send_chat(need_user()?, text, json::call_options(args)?).await;
            Ok(json::report(&call.report().await))
        }
        "calls" => {
            Ok(json!({ "calls": mock.calls().await.into_iter().map(|c| json::report(&Some(c))).collect::<Vec<_>>() }))
        }
        op @ ("call" | "wait_call" | "cancel" | "answered_elsewhere" | "bye" | "reinvite" | "options") => {
            in_call(mock, op, args, limit).await
        }
        "bindings" => {
            let bindings: Vec<Value> = mock.bindings(need_user()?).await.iter().map(json::binding).collect();
            Ok(json!({ "bindings": bindings }))
        }
        "expire_binding" => Ok(json!({ "expired": mock.expire_binding(need_user()?).await })),
        "sleep" => {
            mock.sleep(need_user()?, args.bool("close").unwrap_or(false)).await;
            Ok(json!({}))
        }
        "send_push" => {
            let kind = args.number("ntype").and_then(PushKind::from_number).unwrap_or(PushKind::Custom);
            let text = args.str("text").unwrap_or_default();
            Ok(json!({ "pushed": mock.send_push(need_user()?, kind, text, args.value("payload").cloned()).await }))
        }
        "set_delivery" => {
            let delivery = match args.str("delivery") {
                Some("prompt") => Delivery::Prompt,
                Some("late") => Delivery::Late(args.ms("delay_ms").unwrap_or(Duration::from_secs(1))),
                Some("lost") => Delivery::Lost,
                Some("twice") => Delivery::Twice,
                Some("unregistered") => Delivery::Unregistered,
                _ => return Err("delivery: prompt, late, lost, twice or unregistered".into()),
            };
            mock.set_delivery(args.str("token").ok_or("token is missing")?, delivery);
            Ok(json!({}))
        }
        "pushes" => {
            let pushes: Vec<Value> = mock.push_service().history().iter().map(json::push).collect();
            Ok(json!({ "pushes": pushes }))
        }
        "messages" => {
            let entries = mock.messages().after(args.number("after").unwrap_or(0));
            Ok(json!({ "messages": entries.iter().map(json::entry).collect::<Vec<_>>() }))
        }
        "wait_message" => wait_message(mock, args, limit).await,
        "ladder" => Ok(json!({ "ladder": ladder(&mock.messages().after(args.number("after").unwrap_or(0))) })),
        "violations" => {
            let all = mock.violations();
            let list = all.iter().map(|v| json!({ "at_ms": json::ms(v.at), "kind": v.kind, "detail": v.detail }));
            Ok(json!({ "violations": list.collect::<Vec<_>>() }))
        }
        "clear_messages" => {
            mock.messages().clear();
            Ok(json!({}))
        }
        "faults" => {
            let faults = args.list("faults").iter().map(json::fault).collect::<Result<Vec<_>, _>>()?;
            mock.faults(faults).await;
            Ok(json!({}))
        }
        "clear_faults" => Ok(json!({ "left": mock.clear_faults().await })),
        "upstream" => {
            let upper = match mock.upper() {
                Some(upper) => upper.bindings(need_user()?).await.iter().map(json::binding).collect(),
                None => Vec::new(),
            };
            Ok(
                json!({ "upstream": mock.upstream(need_user()?).await.as_ref().map(json::upstream), "upper_bindings": upper }),
            )
        }
        "refresh_upstream" => {
            mock.refresh_upstream(need_user()?).await;
            Ok(json!({}))
        }
        "restart" => {
            mock.restart(args.bool("keep_bindings").unwrap_or(false)).await;
            Ok(json!({}))
        }
        "shutdown" => {
            // The reply must be on its way before the port closes.
            let mock = mock.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                mock.shutdown().await;
            });
            Ok(json!({}))
        }
        other => Err(format!("unknown op {other}")),
    }
}

fn scripted(value: &Value) -> Result<Scripted, String> {
    let args = Args(value);
    let status = args.number("status").and_then(|s| u16::try_from(s).ok()).filter(|s| (100..700).contains(s));
    Ok(Scripted {
        status: status.ok_or("status is missing")?,
        headers: args.headers("headers"),
        after_auth: args.bool("after_auth").unwrap_or(false),
    })
}

async fn in_call(mock: &MockGateway, op: &str, args: &Args<'_>, limit: Duration) -> Result<Value, String> {
    let call = mock.call(args.number("call").ok_or("call is missing")?);
    if call.report().await.is_none() {
        return Err("no such call".into());
    }
    let done = match op {
        "bye" => call.bye().await,
        "reinvite" => call.reinvite(args.str("sdp").unwrap_or("v=0\r\n")).await,
        "options" => call.options().await,
        "cancel" => {
            call.cancel().await;
            true
        }
        "answered_elsewhere" => {
            call.answered_elsewhere().await;
            true
        }
        "wait_call" => {
            let wanted = args.str("state").unwrap_or("over");
            call.wait(|s| s.as_str() == wanted || (wanted == "over" && s.is_over()), limit).await.is_some()
        }
        _ => true,
    };
    if done { Ok(json::report(&call.report().await)) } else { Err(format!("{op}: not possible, or timed out")) }
}

async fn wait_message(mock: &MockGateway, args: &Args<'_>, limit: Duration) -> Result<Value, String> {
    let direction = match args.str("direction") {
        Some("sent") => Some(Direction::Sent),
        Some("received") | None => Some(Direction::Received),
        Some(_) => None,
    };
    let after = args.number("after").unwrap_or(0);
    let (method, status, contains) = (args.str("method"), args.number("status"), args.str("contains"));
    let found = mock.wait_for(
        |entry| {
            let message = entry.message();
            entry.seq > after
                && direction.is_none_or(|d| d == entry.direction)
                && method.is_none_or(|m| message.as_ref().is_some_and(|x| x.method() == m))
                && message.as_ref().and_then(|m| m.status()).map(u64::from) == status
                && contains.is_none_or(|c| entry.text.contains(c))
        },
        limit,
    );
    let found = found.await.ok_or("no such message in time")?;
    Ok(json!({ "message": json::entry(&found) }))
}
