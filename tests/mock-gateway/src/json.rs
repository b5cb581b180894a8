//! The control port's JSON: writes what tests want to see.

use std::time::Duration;

use serde_json::{Value, json};

use crate::binding::{BindingView, Upstream};
use crate::call::{CallReport, CallState};
use crate::push::Push;
use crate::record::Entry;
use crate::tags::PushTarget;

pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
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
