//! The control port: JSON lines over TCP, so that tests in any language can drive the mock.
//!
//! This crate's README describes each op of the protocol.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::call::CallState;
use crate::config::UserConfig;
use crate::habits::Habit;
use crate::handle::{CallHandle, MockGateway, WeakGateway};
use crate::json;
use crate::push::{Delivery, PushKind};
use crate::record::ladder;
use crate::request::{DeliveryName, Ms, Request, WaitMessage, What};

const MAX_LINE: u64 = 1 << 20;
const MAX_CLIENTS: usize = 64;
const MAX_OPEN: usize = 256;

/// An open control port.
#[derive(Clone, Debug)]
pub struct Control {
    /// Where it listens.
    pub address: SocketAddr,
    /// What a client outside loopback must send first, `{"op":"hello","code":…}`. Each code is valid once; the answer has the
    /// next one.
    pub code: String,
}

/// Opens the control port of a mock on loopback; it closes when the mock ends. Returns its address.
///
/// # Errors
/// The address cannot be bound, or is not on loopback: see [`open`].
pub async fn listen(mock: &MockGateway, address: SocketAddr) -> io::Result<SocketAddr> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "off loopback the port needs a code: use open"));
    }
    open(mock, address).await.map(|control| control.address)
}

/// Opens the control port of a mock on any address; it closes when the mock ends.
///
/// # Errors
/// The address cannot be bound.
pub async fn open(mock: &MockGateway, address: SocketAddr) -> io::Result<Control> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (weak, code) = (mock.weak(), fresh_code());
    let next = Arc::new(Mutex::new(code.clone()));
    let served = mock.ask(move |g| drop(g.tasks.spawn(accept(listener, weak, next)))).await;
    served.map(|()| Control { address, code }).map_err(io::Error::other)
}

/// Returns 128 bits that nobody can guess: the standard library's hash keys come from the system's random source.
fn fresh_code() -> String {
    let half = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", half(), half())
}

async fn accept(listener: TcpListener, weak: WeakGateway, code: Arc<Mutex<String>>) {
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) if clients.len() < MAX_CLIENTS => {
                let trusted = peer.ip().to_canonical().is_loopback();
                clients.spawn(serve(stream, weak.clone(), code.clone(), trusted));
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Serves one client. The first line that is no JSON object ends the connection: a client that speaks HTTP here is a web page
/// that tries to break in.
async fn serve(stream: TcpStream, weak: WeakGateway, code: Arc<Mutex<String>>, mut trusted: bool) {
    let (read, mut write) = stream.into_split();
    let (lines, mut outgoing) = mpsc::channel::<String>(1024);
    let mut reader = BufReader::new(read);
    let mut work = JoinSet::new();
    let writer = tokio::spawn(async move {
        while let Some(line) = outgoing.recv().await {
            if write.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let mut line = Vec::new();
    let refusal = loop {
        line.clear();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(1..) if line.ends_with(b"\n") => {}
            _ => break None,
        }
        while work.try_join_next().is_some() {}
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(&line) else { break Some("not a JSON object") };
        let id = fields.remove("id").unwrap_or(Value::Null);
        if !trusted || fields.get("op").is_some_and(|op| op == "hello") {
            let Ok(Request::Hello { code: said }) = Request::read(fields) else {
                break Some("hello with the code comes first");
            };
            let Some(next) = spend(&code, &said) else { break Some("this is not the code") };
            trusted = true;
            send(&lines, json!({"id": id, "ok": true, "next_code": next})).await;
        } else if work.len() >= MAX_OPEN {
            send(&lines, json!({"id": id, "ok": false, "error": "too many requests at once"})).await;
        } else {
            match Request::read(fields) {
                Ok(request) => drop(work.spawn(answer(weak.clone(), request, id, lines.clone()))),
                Err(error) => send(&lines, json!({"id": id, "ok": false, "error": error})).await,
            }
        }
    };
    work.shutdown().await;
    if let Some(error) = refusal {
        send(&lines, json!({"ok": false, "error": error})).await;
    }
    drop(lines);
    let _ = writer.await;
}

/// Checks the code. If it is right, returns the next valid one.
fn spend(code: &Mutex<String>, said: &str) -> Option<String> {
    let mut code = code.lock().unwrap_or_else(PoisonError::into_inner);
    (*code == said).then(|| {
        *code = fresh_code();
        code.clone()
    })
}

async fn send(lines: &mpsc::Sender<String>, value: Value) {
    let _ = lines.send(format!("{value}\n")).await;
}

async fn answer(weak: WeakGateway, request: Request, id: Value, lines: mpsc::Sender<String>) {
    if let Request::Subscribe { what, token, after } = request {
        return subscribe(weak, &what, token.as_deref(), after, id, lines).await;
    }
    let result = match weak.upgrade() {
        Some(mock) => perform(&mock, request).await,
        None => Err("the mock has ended".into()),
    };
    let mut reply = result.unwrap_or_else(|error| json!({ "error": error }));
    reply["ok"] = json!(reply.get("error").is_none());
    reply["id"] = id;
    send(&lines, reply).await;
}

async fn subscribe(
    weak: WeakGateway,
    what: &[What],
    token: Option<&str>,
    after: u64,
    id: Value,
    lines: mpsc::Sender<String>,
) {
    let Some(mock) = weak.upgrade() else { return };
    let (pushes, messages) = (what.contains(&What::Pushes), what.contains(&What::Messages));
    if !pushes && !messages {
        return send(&lines, json!({ "id": id, "ok": false, "error": "what: [\"pushes\", \"messages\"]" })).await;
    }
    send(&lines, json!({ "id": id, "ok": true })).await;
    let mut stream = mock.pushes(token);
    let record = mock.messages().clone();
    let (mut changes, mut seen) = (record.changes(), after);
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

async fn perform(mock: &MockGateway, request: Request) -> Result<Value, String> {
    if let Some(user) = request.user()
        && !mock.knows(user).await
    {
        return Err(format!("user: there is no {user}"));
    }
    match request {
        Request::Hello { .. } | Request::Subscribe { .. } => {}
        Request::Info {} => {
            let habits =
                Habit::ALL.map(|habit| json!({"name": habit.name(), "does": habit.does(), "seen": habit.seen()}));
            return Ok(json!({
                "address": mock.addr().to_string(),
                "upper": mock.upper().map(|u| u.addr().to_string()),
                "profiles": crate::Profile::NAMES,
                "habits": habits.as_slice(),
            }));
        }
        Request::SetUser { user, password, auth_name, profile } => {
            let profile = profile.map(|profile| profile.0);
            mock.set_user(UserConfig { auth_name, profile, ..UserConfig::new(&user, &password) }).await;
        }
        Request::SetProfile { user, profile, flags } => {
            let mut profile = profile.0;
            flags.change(&mut profile);
            mock.set_profile(user.as_deref(), profile).await;
        }
        Request::ChangeProfile { user, flags } => {
            mock.change_profile(user.as_deref(), move |profile| flags.clone().change(profile)).await;
        }
        Request::SetHabits { user, habits } => mock.set_habits(user.as_deref(), &habits).await,
        Request::SetChallenge(mut challenge) => {
            let user = challenge.user.take();
            mock.set_challenges(user.as_deref(), challenge.challenges()).await;
        }
        Request::SetRealm { realm } => mock.set_realm(&realm).await,
        Request::SealFor { user, p256dh, auth } => mock.seal_for(&user, &p256dh, &auth).await?,
        Request::ForgetNonces {} => mock.forget_nonces().await,
        Request::Script { user, replies } => {
            mock.script(&user, replies.into_iter().map(|reply| reply.scripted()).collect()).await;
        }
        Request::PlaceCall(call) => {
            if call.text.is_some() {
                return Err("text: goes with send_chat".into());
            }
            let user = call.user.clone();
            return Ok(json::report(&mock.place_call(&user, call.options()).await.report().await));
        }
        Request::SendChat(mut call) => {
            let (user, text) = (call.user.clone(), call.text.take().ok_or("text is missing")?);
            return Ok(json::report(&mock.send_chat(&user, &text, call.options()).await.report().await));
        }
        Request::Calls {} => {
            let calls: Vec<Value> = mock.calls().await.into_iter().map(|call| json::report(&Some(call))).collect();
            return Ok(json!({ "calls": calls }));
        }
        Request::Call { call } => return known(mock, call).await.map(|(_, report)| report),
        Request::WaitCall { call, state, timeout_ms } => {
            let (handle, _) = known(mock, call).await?;
            let wanted = |now: CallState| match &state {
                Some(state) if state.0 != "over" => now.as_str() == state.0,
                _ => now.is_over(),
            };
            let reached = handle.wait(wanted, limit(timeout_ms)).await;
            return reached.map(|report| json::report(&Some(report))).ok_or_else(|| "wait_call: timed out".into());
        }
        Request::Cancel { call } => {
            let (handle, _) = known(mock, call).await?;
            handle.cancel().await;
            return Ok(json::report(&handle.report().await));
        }
        Request::AnsweredElsewhere { call } => {
            let (handle, _) = known(mock, call).await?;
            handle.answered_elsewhere().await;
            return Ok(json::report(&handle.report().await));
        }
        Request::Bye { call } => {
            let (handle, _) = known(mock, call).await?;
            return in_call(&handle, handle.bye().await).await;
        }
        Request::Reinvite { call, sdp } => {
            let (handle, _) = known(mock, call).await?;
            return in_call(&handle, handle.reinvite(sdp.as_deref().unwrap_or("v=0\r\n")).await).await;
        }
        Request::Options { call } => {
            let (handle, _) = known(mock, call).await?;
            return in_call(&handle, handle.options().await).await;
        }
        Request::Bindings { user } => {
            let bindings: Vec<Value> = mock.bindings(&user).await.iter().map(json::binding).collect();
            return Ok(json!({ "bindings": bindings }));
        }
        Request::ExpireBinding { user } => return Ok(json!({ "expired": mock.expire_binding(&user).await })),
        Request::Sleep { user, close } => mock.sleep(&user, close).await,
        Request::SendPush { user, ntype, text, payload } => {
            let kind = ntype.map_or(PushKind::Custom, |ntype| ntype.0);
            return Ok(json!({ "pushed": mock.send_push(&user, kind, &text, payload).await }));
        }
        Request::SetDelivery { token, delivery, delay_ms } => {
            if delay_ms.is_some() && !matches!(delivery, DeliveryName::Late) {
                return Err("delay_ms: goes with the delivery late".into());
            }
            let delivery = match delivery {
                DeliveryName::Prompt => Delivery::Prompt,
                DeliveryName::Late => Delivery::Late(delay_ms.map_or(Duration::from_secs(1), Ms::duration)),
                DeliveryName::Lost => Delivery::Lost,
                DeliveryName::Twice => Delivery::Twice,
                DeliveryName::Unregistered => Delivery::Unregistered,
            };
            mock.set_delivery(&token, delivery);
        }
        Request::Pushes {} => {
            let pushes: Vec<Value> = mock.push_service().history().iter().map(json::push).collect();
            return Ok(json!({ "pushes": pushes }));
        }
        Request::Messages { after } => {
            let entries = mock.messages().after(after);
            return Ok(json!({ "messages": entries.iter().map(json::entry).collect::<Vec<_>>() }));
        }
        Request::WaitMessage(wanted) => return wait_message(mock, wanted).await,
        Request::Ladder { after } => return Ok(json!({ "ladder": ladder(&mock.messages().after(after)) })),
        Request::Violations {} => {
            let all = mock.violations();
            let list = all.iter().map(|v| json!({ "at_ms": json::ms(v.at), "kind": v.kind, "detail": v.detail }));
            return Ok(json!({ "violations": list.collect::<Vec<_>>() }));
        }
        Request::ClearMessages {} => mock.messages().clear(),
        Request::Faults { faults } => {
            let faults = faults.into_iter().map(|fault| fault.fault()).collect::<Result<Vec<_>, _>>()?;
            mock.faults(faults).await;
        }
        Request::ClearFaults {} => return Ok(json!({ "left": mock.clear_faults().await })),
        Request::Upstream { user } => {
            let upper = match mock.upper() {
                Some(upper) => upper.bindings(&user).await.iter().map(json::binding).collect(),
                None => Vec::new(),
            };
            let upstream = mock.upstream(&user).await;
            return Ok(json!({ "upstream": upstream.as_ref().map(json::upstream), "upper_bindings": upper }));
        }
        Request::RefreshUpstream { user } => mock.refresh_upstream(&user).await,
        Request::Restart { keep_bindings } => mock.restart(keep_bindings).await,
        Request::Shutdown {} => {
            // The reply must be sent before the port closes.
            let mock = mock.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                mock.shutdown().await;
            });
        }
    }
    Ok(json!({}))
}

fn limit(timeout: Option<Ms>) -> Duration {
    timeout.map_or(Duration::from_secs(5), Ms::duration).min(Duration::from_secs(120))
}

/// Returns a call that is still remembered, and its state.
async fn known(mock: &MockGateway, call: u64) -> Result<(CallHandle, Value), String> {
    let handle = mock.call(call);
    let report = handle.report().await;
    if report.is_none() {
        return Err(format!("call: there is no {call}"));
    }
    Ok((handle, json::report(&report)))
}

async fn in_call(handle: &CallHandle, done: bool) -> Result<Value, String> {
    if done { Ok(json::report(&handle.report().await)) } else { Err("nobody has answered this call".into()) }
}

async fn wait_message(mock: &MockGateway, wanted: WaitMessage) -> Result<Value, String> {
    let direction = wanted.direction.direction();
    let status = wanted.status.map(|status| status.0);
    let found = mock.wait_for(
        |entry| {
            let message = entry.message();
            entry.seq > wanted.after
                && direction.is_none_or(|d| d == entry.direction)
                && wanted.method.as_ref().is_none_or(|m| message.as_ref().is_some_and(|x| x.method() == m.0))
                && message.as_ref().and_then(|m| m.status()) == status
                && wanted.contains.as_deref().is_none_or(|c| entry.text.contains(c))
        },
        limit(wanted.timeout_ms),
    );
    let found = found.await.ok_or("no such message in time")?;
    Ok(json!({ "message": json::entry(&found) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Profile};

    const LIMIT: Duration = Duration::from_secs(60);

    /// Serves a connection as one from another machine. Returns its answers until it is closed.
    async fn from_elsewhere(mock: &MockGateway, code: &Arc<Mutex<String>>, lines: &[Value]) -> Vec<Value> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let mut client = TcpStream::connect(address).await.expect("listening");
        let (stream, _) = listener.accept().await.expect("it has connected");
        let (reader, mut writer) = client.split();
        for line in lines {
            writer.write_all(format!("{line}\n").as_bytes()).await.expect("open");
        }
        let served = serve(stream, mock.weak(), code.clone(), false);
        let answers = async {
            let mut answers = Vec::new();
            let mut reader = BufReader::new(reader).lines();
            while answers.len() < lines.len()
                && let Ok(Some(line)) = reader.next_line().await
            {
                answers.push(serde_json::from_str(&line).expect("JSON"));
            }
            answers
        };
        let talk = async {
            tokio::select! { answers = answers => answers, () = async { served.await; std::future::pending().await } => Vec::new() }
        };
        tokio::time::timeout(LIMIT, talk).await.expect("it is answered, or closed")
    }

    #[tokio::test]
    async fn outside_loopback_nothing_is_done_without_the_code() {
        let profile = Profile::named("none").expect("known");
        let mock = MockGateway::start(Config::new(profile)).await.expect("loopback is there");
        let code = Arc::new(Mutex::new("secret".to_owned()));
        let info = json!({"op": "info"});
        let hello = |code: &str| json!({"op": "hello", "code": code});
        for first in [&info, &hello("guess")] {
            let answers = from_elsewhere(&mock, &code, &[first.clone(), info.clone()]).await;
            assert!(answers.iter().all(|answer| answer["ok"] == false), "{first}: {answers:?}");
        }
        let answers = from_elsewhere(&mock, &code, &[hello("secret"), info.clone()]).await;
        assert!(answers.len() == 2 && answers.iter().all(|answer| answer["ok"] == true), "{answers:?}");
        let again = from_elsewhere(&mock, &code, &[hello("secret")]).await;
        assert_eq!(again[0]["ok"], false, "the code works once");
    }
}
