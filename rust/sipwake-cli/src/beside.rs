//! `sipwake beside`: the companion of a SIP stack in any language. It reads requests on standard input, and writes
//! responses and commands on standard output: JSON, one object a line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use sipwake::core::beside::{Answer, Companion as Core, Error, Heard, Invite, Next, Output, Register};
use sipwake::core::call::{Decline, HangUp};
use sipwake::core::event::Removed;
use sipwake::core::push::Tag;
use sipwake::core::sip::Message;
use sipwake::{
    AccountKey, CallChange, Caller, Channel, Companion, Ended, Event, FileStore, Hints, Kept, MemoryStore, StateStore,
    Uuid,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::say;
use crate::server::ServerOptions;
use crate::settings::{self, PushSettings};

/// The longest request, in bytes: a whole SIP message, escaped as JSON.
const MAX_LINE: u64 = 1 << 20;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: ServerOptions,
    /// The device token
    #[arg(long)]
    token: Option<String>,
    #[command(flatten)]
    push: PushSettings,
    /// Keep the binding's state in this folder, as an app would. Without it, nothing is kept
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// The realm of the server, for a stack that hides the challenge from its app
    #[arg(long)]
    realm: Option<String>,
    /// Only continue the pending log-outs from the folder
    #[arg(long, requires = "state_dir", conflicts_with = "token")]
    pending: bool,
}

struct Session {
    companion: Companion,
    account: AccountKey,
}

pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let mut session = Session::start(options)?;
    session.tell();
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = Vec::new();
    loop {
        let wait = session.companion.timeout().unwrap_or(Duration::from_secs(3600));
        let mut bounded = (&mut input).take(MAX_LINE);
        tokio::select! {
            // If the time is up first, the bytes that were read stay in `line`.
            read = bounded.read_until(b'\n', &mut line) => {
                let read = read.map_err(|error| format!("standard input: {error}"))?;
                if read == 0 {
                    return Ok(());
                }
                if !line.ends_with(b"\n") && line.len() as u64 >= MAX_LINE {
                    return Err(format!("standard input: a line is longer than {} KiB", MAX_LINE >> 10));
                }
                if !line.trim_ascii().is_empty() {
                    println!("{}", session.answer(&line));
                }
                line.clear();
            }
            () = tokio::time::sleep(wait) => session.companion.handle_timeout(),
        }
        session.tell();
    }
}

impl Session {
    fn start(options: &Options) -> Result<Self, String> {
        let store: Arc<dyn StateStore> = match &options.state_dir {
            Some(folder) => {
                Arc::new(FileStore::open(folder).map_err(|error| format!("--state-dir {}: {error}", folder.display()))?)
            }
            None => Arc::new(MemoryStore::default()),
        };
        let mut config = options.server.account()?;
        config.user_agent = None;
        config.realm.clone_from(&options.realm);
        let push = options.push.parse()?;
        let token = settings::token(&push, "--token", options.token.as_deref(), None)?;
        let mut companion = Companion::start(store);
        if options.pending {
            let parsed = sipwake::core::account::Account::parse(config).map_err(|error| say::refused(&error))?;
            return Ok(Self { companion, account: parsed.key() });
        }
        let refused = |error: Error| match error {
            Error::Field(error) => say::refused(&error),
            other => other.to_string(),
        };
        let account = companion.add_account(config, Some(push.config())).map_err(refused)?;
        if let Some(token) = token {
            companion.with(|core, now| core.set_token(&account, token, now)).map_err(refused)?;
            options.push.tell_assumed_package();
        }
        Ok(Self { companion, account })
    }

    /// Prints the commands and events for the stack and its app.
    fn tell(&mut self) {
        while let Some(output) = self.companion.poll() {
            if let Some(told) = told(&output) {
                println!("{told}");
            }
        }
    }

    fn answer(&mut self, line: &[u8]) -> Value {
        let request = match serde_json::from_slice::<Value>(line) {
            Ok(Value::Object(request)) => request,
            _ => return json!({"ok": false, "error": "a request must be a JSON object on one line"}),
        };
        let mut answer = match self.act(&request) {
            Ok(Value::Object(mut fields)) => {
                fields.insert("ok".to_owned(), true.into());
                fields
            }
            Ok(_) => Map::from_iter([("ok".to_owned(), true.into())]),
            Err(error) => Map::from_iter([("ok".to_owned(), false.into()), ("error".to_owned(), error.into())]),
        };
        if let Some(id) = request.get("id") {
            answer.insert("id".to_owned(), id.clone());
        }
        answer.into()
    }

    fn act(&mut self, request: &Map<String, Value>) -> Result<Value, String> {
        let account = self.account.clone();
        let said = |error: Error| error.to_string();
        match text(request, "op")? {
            "register" => {
                self.companion.register_tags(&account).map(|register| self::register(&register)).map_err(said)
            }
            "elsewhere" => {
                let there = self.companion.with(|core, _| core.registers_elsewhere());
                Ok(json!({"registers": there.iter().map(register).collect::<Vec<_>>()}))
            }
            "sent" => {
                let (number, cseq) = (number(request, "number")?, cseq(request)?);
                let call_id = text(request, "call_id")?;
                self.done(|core, _| core.sent(&account, number, call_id, cseq))
            }
            "heard" => self.heard(request),
            "contact" => {
                let contact = text(request, "contact")?;
                self.done(|core, now| core.stands_at(&account, contact, now))
            }
            "token" => {
                let token = text(request, "token")?;
                self.companion.set_token(&account, token).map(kept).map_err(said)
            }
            "unbind" => {
                self.companion.with(|core, now| core.unbind_push(&account, now)).map_err(said)?;
                Ok(kept(self.companion.kept()))
            }
            "do_not_disturb" => {
                let until = match request.get("until") {
                    None | Some(Value::Null) => None,
                    Some(_) => Some(Duration::from_secs(number(request, "until")?)),
                };
                self.companion.set_do_not_disturb(&account, until).map(kept).map_err(said)
            }
            "accept_realm" => {
                let realm = text(request, "realm")?;
                self.companion.with(|core, now| core.accept_realm(&account, realm, now)).map_err(said)?;
                Ok(kept(self.companion.kept()))
            }
            "push_key" => {
                let key = self.companion.push_key().map_err(|error| error.to_string())?;
                Ok(json!({"p256dh": key.p256dh, "auth": key.auth}))
            }
            "log_out" => self.companion.log_out(&account).map(kept).map_err(said),
            "pending" => {
                let pending = self.companion.core().pending();
                let pending = pending.iter().map(|one| json!({"account": one.account.as_str(), "aor": one.aor}));
                Ok(json!({"pending": pending.collect::<Vec<_>>()}))
            }
            "network_changed" => {
                self.companion.with(Core::network_changed);
                Ok(Value::Null)
            }
            "push" => {
                let payload = match request.get("payload") {
                    Some(Value::String(text)) => text.clone(),
                    Some(payload) => payload.to_string(),
                    None => return Err("payload: missing".to_owned()),
                };
                let channel = request.get("channel").map_or(Ok("fcm"), |_| text(request, "channel"))?;
                let action = self.companion.push(payload.as_bytes(), channel_of(channel)?, &Hints::at(sipwake::now()));
                let call = action.is_call().then(|| action.uuid.to_string());
                let value = serde_json::to_value(&action).map_err(|error| error.to_string())?;
                Ok(json!({"call": call, "kind": value["kind"], "duty": value["duty"], "uuid": value["uuid"]}))
            }
            "invited" => {
                let headers = headers(request)?;
                let invite = self.companion.with(|core, now| core.invited(&account, &borrowed(&headers), now));
                Ok(match invite.map_err(said)? {
                    Invite::Ring { call, again } => json!({"do": "ring", "call": call.to_string(), "again": again}),
                    Invite::Accept { call } => json!({"do": "accept", "call": call.to_string()}),
                    Invite::Refuse { call, status } => {
                        json!({"do": "refuse", "call": call.map(|call| call.to_string()), "status": status})
                    }
                    other => return Err(format!("unknown error: {other:?}")),
                })
            }
            "answer" => {
                let call = call(request)?;
                let invited = self.companion.with(|core, now| core.answer(call, now)).map_err(said)?;
                Ok(json!({"invited": invited}))
            }
            "answered" => {
                let call = call(request)?;
                self.done(|core, now| core.answered(call, now))
            }
            "decline" => {
                let call = call(request)?;
                let how = if request.get("busy") == Some(&true.into()) { Decline::Busy } else { Decline::Everywhere };
                let status = self.companion.with(|core, now| core.decline(call, how, now)).map_err(said)?;
                Ok(json!({"status": status}))
            }
            "cancelled" => {
                let (call, headers) = (call(request)?, headers(request)?);
                let how =
                    self.companion.with(|core, now| core.cancelled(call, &borrowed(&headers), now)).map_err(said)?;
                Ok(json!({"over": how.is_some()}))
            }
            "hang_up" => {
                let call = call(request)?;
                let status = self.companion.with(|core, now| core.hang_up(call, HangUp::Normal, now)).map_err(said)?;
                Ok(json!({"status": status}))
            }
            "ended" => {
                let (call, how) = (call(request)?, ended_as(request)?);
                self.done(|core, now| core.ended(call, how, now))
            }
            other => Err(format!("op: {other:?} is unknown; docs/beside.md lists the operations")),
        }
    }

    fn done(
        &mut self,
        act: impl FnOnce(&mut Core, sipwake::core::clock::Now) -> Result<(), Error>,
    ) -> Result<Value, String> {
        self.companion.with(act).map(|()| Value::Null).map_err(|error| error.to_string())
    }

    fn heard(&mut self, request: &Map<String, Value>) -> Result<Value, String> {
        let account = self.account.clone();
        let register = request.get("number").map(|_| number(request, "number")).transpose()?;
        let answer = if request.contains_key("message") {
            let message = text(request, "message")?;
            self.companion.with(|core, now| core.heard_message(&account, register, message.as_bytes(), now))
        } else {
            let headers = headers(request)?;
            let borrowed = borrowed(&headers);
            let status = u16::try_from(number(request, "status")?)
                .map_err(|_| "status: must be a number below 700".to_owned())?;
            let optional = |name| request.get(name).map(|_| text(request, name)).transpose();
            let heard = Heard {
                register,
                call_id: optional("call_id")?,
                cseq: request.get("cseq").map(|_| cseq(request)).transpose()?,
                phrase: optional("phrase")?.unwrap_or_default(),
                ..Heard::new(status, &borrowed)
            };
            self.companion.with(|core, now| core.heard(&account, &heard, now))
        };
        answer.map(|answer| meaning(&answer)).map_err(|error| error.to_string())
    }
}

fn register(register: &Register) -> Value {
    let list = |tags: &[Tag]| tags.iter().map(|tag| json!([tag.name, tag.value])).collect::<Vec<_>>();
    json!({
        "number": register.number,
        "removes": register.removes(),
        "headers": list(&register.tags.headers),
        "uri_params": register.tags.uri_params_text(),
        "contact_params": register.tags.contact_params_text(),
        "contact": register.contact.as_ref().map(|uri| uri.expose()),
        "removed": register.removed.iter().map(|uri| uri.expose()).collect::<Vec<_>>(),
        "expires": register.expires,
        "request_uri": register.request_uri,
        "digest_uri": register.digest_uri,
        "gateway": register.gateway,
    })
}

fn meaning(answer: &Answer) -> Value {
    let mut fields = match &answer.next {
        Next::Nothing => json!({"next": "nothing"}),
        Next::Again => json!({"next": "again"}),
        Next::Authenticate { changed, digest_uri } => {
            json!({"next": "authenticate", "changed": changed, "digest_uri": digest_uri})
        }
        Next::Wait { failure, retry_in } => {
            json!({"next": "wait", "failure": failure.to_string(), "retry_in": retry_in.map(|wait| wait.as_secs())})
        }
        Next::LoggedOut(removed) => json!({"next": "logged_out", "removed": known(*removed)}),
        Next::Old => json!({"next": "old"}),
        other => json!({"next": format!("{other:?}")}),
    };
    fields["verdict"] = answer.verdict.as_ref().and_then(|verdict| serde_json::to_value(verdict).ok()).into();
    fields["expires"] = answer.expires.map(|time| time.as_secs()).into();
    fields["refresh_in"] = answer.refresh_in.map(|time| time.as_secs()).into();
    fields
}

/// Returns a command or an event as one line. An event without a text here is left out.
fn told(output: &Output) -> Option<Value> {
    Some(match output {
        Output::Register(_) => json!({"event": "register"}),
        Output::Refuse { call, status } => json!({"event": "refuse", "call": call.to_string(), "status": status}),
        Output::Event(event) => match &**event {
            Event::Call(call) => {
                let mut told = change(&call.change)?;
                told["event"] = "call".into();
                told["call"] = call.uuid.to_string().into();
                told
            }
            Event::LoggedOut { aor, removed, .. } => {
                json!({"event": "logged_out", "aor": aor, "removed": known(*removed)})
            }
            Event::DoNotDisturbOver { .. } => json!({"event": "do_not_disturb_over"}),
            Event::PushUnopened { why } => json!({"event": "push_unopened", "why": why.to_string()}),
            Event::Durable => json!({"event": "durable"}),
            Event::StoreFailed { key, reason } => json!({"event": "store_failed", "key": key, "reason": reason}),
            Event::Warning { warning, .. } => {
                json!({"event": "warning", "code": warning.code(), "text": warning.to_string()})
            }
            _ => return None,
        },
        Output::Save(_) | Output::Load(_) => return None,
    })
}

fn change(change: &CallChange) -> Option<Value> {
    let who = |caller: &Caller| json!({"uri": caller.uri, "name": caller.display_name});
    Some(match change {
        CallChange::Announced(caller) => json!({"change": "announced", "caller": who(caller)}),
        CallChange::Ringing { caller, announced, .. } => {
            json!({"change": "ringing", "caller": who(caller), "announced": announced})
        }
        CallChange::AnswerWanted { caller, .. } => json!({"change": "answer_wanted", "caller": who(caller)}),
        CallChange::CallerChanged(caller) => json!({"change": "caller_changed", "caller": who(caller)}),
        CallChange::Ended(how) => {
            let (name, status) = match how {
                Ended::Failed(status) => ("failed", Some(status)),
                how => (HOWS.iter().find(|(_, end)| end == how).map_or("over", |(name, _)| name), None),
            };
            json!({"change": "ended", "how": name, "status": status})
        }
        _ => return None,
    })
}

/// The ways in which a call ends, as the protocol names them.
const HOWS: [(&str, Ended); 10] = [
    ("cancelled", Ended::Cancelled),
    ("answered_elsewhere", Ended::AnsweredElsewhere),
    ("declined_elsewhere", Ended::DeclinedElsewhere),
    ("declined", Ended::Declined),
    ("hung_up_by_caller", Ended::HungUpByCaller),
    ("hung_up", Ended::HungUp),
    ("missed", Ended::Missed),
    ("unanswered", Ended::Unanswered),
    ("logged_out", Ended::LoggedOut),
    ("no_call", Ended::NoCall),
];

fn ended_as(request: &Map<String, Value>) -> Result<Ended, String> {
    let how = text(request, "how")?;
    if how == "failed" {
        let status = u16::try_from(number(request, "status")?).ok().filter(|status| (400..700).contains(status));
        return status.map(Ended::Failed).ok_or_else(|| "status: must be a number from 400 to 699".to_owned());
    }
    let known = HOWS.iter().find(|(name, _)| *name == how).map(|(_, ended)| *ended);
    known.ok_or_else(|| format!("how: must be one of failed, {}", HOWS.map(|(name, _)| name).join(", ")))
}

fn known(removed: Removed) -> &'static str {
    match removed {
        Removed::Proven => "proven",
        Removed::NeverBound => "never_bound",
        Removed::GivenUp => "given_up",
        _ => "accepted",
    }
}

fn kept(kept: Kept) -> Value {
    json!({"durable": kept == Kept::Durable})
}

fn channel_of(name: &str) -> Result<Channel, String> {
    Ok(match name {
        "fcm" => Channel::FcmAndroid,
        "pushkit" => Channel::PushKit,
        "fcm-ios" => Channel::FcmIos,
        "apns" => Channel::ApnsAlert,
        "web" => Channel::WebPush,
        _ => return Err("channel: must be fcm, pushkit, fcm-ios, apns or web".to_owned()),
    })
}

fn text<'a>(request: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    request.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name}: must be a text"))
}

fn number(request: &Map<String, Value>, name: &str) -> Result<u64, String> {
    request.get(name).and_then(Value::as_u64).ok_or_else(|| format!("{name}: must be a number"))
}

fn cseq(request: &Map<String, Value>) -> Result<u32, String> {
    u32::try_from(number(request, "cseq")?).map_err(|_| "cseq: must be a number below 2^32".to_owned())
}

fn call(request: &Map<String, Value>) -> Result<Uuid, String> {
    Uuid::parse_str(text(request, "call")?).map_err(|_| "call: must be the UUID of a call".to_owned())
}

/// Returns `headers` as a list of pairs, or the header fields of a whole `message`. Without both, it returns none.
fn headers(request: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    if request.contains_key("message") {
        let message =
            Message::parse(text(request, "message")?.as_bytes()).map_err(|error| format!("message: {error}"))?;
        return Ok(message.all_headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    }
    let Some(list) = request.get("headers") else { return Ok(Vec::new()) };
    let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned()));
    let pairs = list.as_array().and_then(|list| list.iter().map(pair).collect::<Option<Vec<_>>>());
    pairs.ok_or_else(|| "headers: must be a list of [name, value]".to_owned())
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
