//! The control port's JSON: reads arguments, writes what tests ask to see.

use std::time::Duration;

use serde_json::{Value, json};

use crate::binding::{BindingView, Upstream};
use crate::call::{CallOptions, CallReport, CallState, Phase, PlannedEnd, PushWhen};
use crate::digest::{Algorithm, Challenges, Offer};
use crate::faults::{Action, Fault, Kind};
use crate::profile::Profile;
use crate::push::Push;
use crate::record::{Direction, Entry};
use crate::tags::PushTarget;

/// The members of a request.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a>(pub(crate) &'a Value);

impl<'a> Args<'a> {
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    pub(crate) fn str(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.as_str()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_u64()
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    pub(crate) fn ms(&self, name: &str) -> Option<Duration> {
        self.number(name).map(|ms| Duration::from_millis(ms.min(86_400_000)))
    }

    pub(crate) fn list(&self, name: &str) -> &'a [Value] {
        self.value(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn strings(&self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Reads `[["Name", "value"], …]`.
    pub(crate) fn headers(&self, name: &str) -> Vec<(String, String)> {
        let pair = |v: &Value| Some((v.get(0)?.as_str()?.to_owned(), v.get(1)?.as_str()?.to_owned()));
        self.list(name).iter().filter_map(pair).collect()
    }
}

pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

pub(crate) fn profile(name: Option<&Value>, flags: Option<&Value>) -> Result<Profile, String> {
    let name = name.and_then(Value::as_str).ok_or("profile is missing")?;
    let mut profile = Profile::named(name).ok_or_else(|| format!("profile: one of {}", Profile::NAMES.join(", ")))?;
    if let Some(flags) = flags {
        change_profile(&mut profile, flags)?;
    }
    Ok(profile)
}

/// Changes single flags of a profile.
pub(crate) fn change_profile(profile: &mut Profile, flags: &Value) -> Result<(), String> {
    let args = Args(flags);
    for (name, value) in flags.as_object().ok_or("flags: an object")? {
        let number = || value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or(format!("{name}: a number"));
        let flag = || value.as_bool().ok_or(format!("{name}: true or false"));
        let time = || args.ms(name).ok_or(format!("{name}: milliseconds"));
        match name.as_str() {
            "sends_555" => profile.sends_555 = flag()?,
            "keeps_push" => profile.keeps_push = flag()?,
            "purr" => profile.purr = flag()?,
            "strips_pn" => profile.strips_pn = flag()?,
            "query_leaves_binding" => profile.query_leaves_binding = flag()?,
            "registers_upstream" => profile.registers_upstream = flag()?,
            "sends_refresh_push" => profile.sends_refresh_push = flag()?,
            "sends_cancel_push" => profile.sends_cancel_push = flag()?,
            "providers" => profile.providers = args.strings(name),
            "pnsreg" => profile.pnsreg = if value.is_null() { None } else { Some(number()?) },
            "min_expires" => profile.min_expires = number()?,
            "max_expires" => profile.max_expires = number()?,
            "service_route" => profile.service_route = value.as_str().map(str::to_owned),
            "auth_uri" => profile.auth_uri = value.as_str().map(str::to_owned),
            "vapid" => profile.vapid = value.as_str().map(str::to_owned),
            "hold_ms" => profile.hold = time()?,
            "silence_ms" => profile.silence = time()?,
            other => return Err(format!("unknown flag {other}")),
        }
    }
    Ok(())
}

pub(crate) fn challenges(args: &Args<'_>) -> Result<Challenges, String> {
    let offer = |value: &Value| {
        let args = Args(value);
        let algorithm = args.str("algorithm").unwrap_or("MD5");
        Ok::<Offer, String>(Offer {
            algorithm: Algorithm::from_token(algorithm).ok_or_else(|| format!("unknown algorithm {algorithm}"))?,
            qop: if value.get("qop").is_some_and(Value::is_null) {
                None
            } else {
                Some(args.str("qop").unwrap_or("auth").to_owned())
            },
            names_algorithm: args.bool("names_algorithm").unwrap_or(true),
        })
    };
    let plain = Challenges::none();
    let status = |name: &str, default: u16| args.number(name).and_then(|s| u16::try_from(s).ok()).unwrap_or(default);
    Ok(Challenges {
        offers: args.list("offers").iter().map(offer).collect::<Result<_, _>>()?,
        status: status("status", plain.status),
        stale_flag: args.bool("stale_flag").unwrap_or(plain.stale_flag),
        nonce_life: args.ms("nonce_life_ms").unwrap_or(plain.nonce_life),
        nonce_uses: args.number("nonce_uses").and_then(|n| u32::try_from(n).ok()),
        nextnonce: args.bool("nextnonce").unwrap_or(false),
        opaque: args.str("opaque").map(str::to_owned),
        wrong_password_status: status("wrong_password_status", plain.wrong_password_status),
    })
}

pub(crate) fn call_options(args: &Args<'_>) -> Result<CallOptions, String> {
    let mut options = CallOptions::default();
    if let Some(from) = args.str("from") {
        options.from = from.to_owned();
        options.display = None;
    }
    if let Some(display) = args.str("display") {
        options.display = Some(display.to_owned());
    }
    if let Some(sdp) = args.0.get("sdp") {
        options.body = sdp.as_str().map(str::to_owned);
    }
    if let Some(kind) = args.str("content_type") {
        options.content_type = kind.to_owned();
    }
    options.ring_time = args.ms("ring_time_ms").unwrap_or(options.ring_time);
    options.hold = args.ms("hold_ms");
    options.push = match args.str("push") {
        None | Some("asleep") => PushWhen::Asleep,
        Some("always") => PushWhen::Always,
        Some("never") => PushWhen::Never,
        Some(_) => return Err("push: asleep, always or never".into()),
    };
    options.payload = args.value("payload").cloned();
    options.end = args.value("end").map(|end| planned_end(&Args(end))).transpose()?;
    options.lose_acks = args.number("lose_acks").and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    options.headers = args.headers("headers");
    options.call_id = args.str("call_id").map(str::to_owned);
    options.record_route = args.bool("record_route").unwrap_or(false);
    options.before_200 = args.bool("before_200").unwrap_or(false);
    options.invite_delay = args.ms("invite_delay_ms").unwrap_or_default();
    options.merged = args.bool("merged").unwrap_or(false);
    options.challenges = args.bool("challenges").unwrap_or(false);
    Ok(options)
}

fn planned_end(args: &Args<'_>) -> Result<PlannedEnd, String> {
    let phase = match args.str("phase") {
        Some("placed") => Phase::Placed,
        Some("pushed") => Phase::Pushed,
        Some("invited") => Phase::Invited,
        Some("ringing") => Phase::Ringing,
        Some("answered") => Phase::Answered,
        _ => return Err("end.phase: placed, pushed, invited, ringing or answered".into()),
    };
    let elsewhere = args.bool("elsewhere").unwrap_or(false);
    Ok(PlannedEnd { phase, after: args.ms("after_ms").unwrap_or_default(), elsewhere })
}

pub(crate) fn fault(value: &Value) -> Result<Fault, String> {
    let args = Args(value);
    let action = match args.str("action") {
        Some("drop") => Action::Drop,
        Some("delay") => Action::Delay(args.ms("delay_ms").unwrap_or(Duration::from_millis(500))),
        Some("duplicate") => Action::Duplicate,
        Some("reorder") => Action::Reorder,
        Some("garbage") => Action::Garbage,
        Some("half") => Action::Half,
        Some("close") => Action::Close,
        Some("reset") => Action::Reset,
        Some("wrong_branch") => Action::WrongBranch,
        Some("foreign_response") => Action::ForeignResponse,
        Some("replace") => Action::Replace(args.str("text").unwrap_or_default().to_owned()),
        _ => return Err("action is missing or unknown".into()),
    };
    let small = |name: &str, default: u32| args.number(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    Ok(Fault {
        direction: match args.str("direction") {
            Some("sent") => Some(Direction::Sent),
            Some("received") => Some(Direction::Received),
            _ => None,
        },
        kind: match args.str("kind") {
            Some("request") => Kind::Request,
            Some("response") => Kind::Response,
            _ => Kind::Any,
        },
        method: args.str("method").map(str::to_owned),
        status: args.number("status").and_then(|s| u16::try_from(s).ok()),
        skip: small("skip", 0),
        count: small("count", 1),
        action,
    })
}

pub(crate) fn report(report: &Option<CallReport>) -> Value {
    let Some(report) = report else { return json!({}) };
    let status = match report.state {
        CallState::Rejected(status) => Some(status),
        _ => None,
    };
    let responses: Vec<Value> = report
        .responses
        .iter()
        .map(|r| json!({ "at_ms": ms(r.at), "method": r.method, "status": r.status, "contact": r.contact }))
        .collect();
    json!({
        "call": report.id, "call_id": report.call_id, "user": report.user, "state": report.state.as_str(),
        "over": report.state.is_over(), "status": status, "responses": responses, "answer": report.answer,
        "pushes": report.pushes, "legs": report.legs, "placed_ms": ms(report.placed),
        "answered_ms": report.answered.map(ms), "ended_ms": report.ended.map(ms),
    })
}

fn target(target: &PushTarget) -> Value {
    json!({
        "dialect": target.dialect.as_str(), "provider": target.provider, "app": target.app, "token": target.token,
        "environment": target.environment.map(String::from), "channel": target.channel().as_str(),
        "calls": target.calls, "chats": target.chats,
    })
}

pub(crate) fn binding(binding: &BindingView) -> Value {
    json!({
        "contact": binding.contact, "registered": binding.registered, "asleep": binding.asleep,
        "expires_ms": ms(binding.expires), "push": binding.push.as_ref().map(target), "call_id": binding.call_id,
        "cseq": binding.cseq, "flow": binding.flow.0, "instance": binding.instance,
    })
}

pub(crate) fn push(push: &Push) -> Value {
    json!({
        "seq": push.seq, "at_ms": ms(push.at), "user": push.user, "target": target(&push.target),
        "channel": push.channel.as_str(), "payload": push.payload, "ntype": push.kind.number(),
        "call_id": push.call_id, "unregistered": push.unregistered,
    })
}

pub(crate) fn entry(entry: &Entry) -> Value {
    json!({
        "seq": entry.seq, "at_ms": ms(entry.at), "direction": entry.direction.as_str(), "flow": entry.flow.0,
        "transport": entry.transport.via(), "remote": entry.remote.to_string(), "text": entry.text, "fault": entry.fault,
    })
}

pub(crate) fn upstream(upstream: &Upstream) -> Value {
    json!({
        "piid": upstream.piid, "server": upstream.server, "domain": upstream.domain, "proxy": upstream.proxy,
        "status": upstream.status, "completed": upstream.completed, "expires": upstream.expires,
    })
}
