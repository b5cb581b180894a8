//! Pushes: who gets one, and when.

use std::time::Duration;

use tokio::time::Instant;

use crate::gateway::{Gateway, Timer};
use crate::habits::Habit;
use crate::parse::Uri;
use crate::push::{Content, Delivery, Push, PushKind, payload, sealed_payload};
use crate::tags::{Channel, PushTarget};

impl Gateway {
    /// Gives a push to the push service. A dead token also removes its binding.
    pub(crate) fn push(
        &mut self,
        name: &str,
        target: &PushTarget,
        content: &Content,
        own: Option<serde_json::Value>,
    ) -> bool {
        let Some(user) = self.users.get_mut(name) else { return false };
        if user.profile.habits.has(Habit::PushNever) {
            return false;
        }
        let delivery = self.pushes.delivery(&target.token);
        let unregistered = delivery == Delivery::Unregistered;
        let channel = target.channel();
        let mut body = match &user.push_key {
            Some((p256dh, auth)) => {
                let content = own.unwrap_or_else(|| payload(user.profile.payload, Channel::Fcm, content));
                sealed_payload(channel, p256dh, auth, &content)
            }
            None => own.unwrap_or_else(|| payload(user.profile.payload, channel, content)),
        };
        if let Some(topic) = body.pointer_mut("/headers/apns-topic") {
            *topic = format!("{}.voip", target.app).into();
        }
        let push = self.pushes.accept(Push {
            seq: 0,
            at: self.record.elapsed(),
            user: name.to_owned(),
            target: target.clone(),
            channel,
            payload: body,
            kind: content.kind,
            call_id: content.call_id.clone(),
            unregistered,
        });
        if unregistered {
            for binding in &mut user.bindings {
                if binding.push.as_ref().is_some_and(|p| p.token == target.token) {
                    binding.push = None;
                }
            }
            user.expire(Instant::now());
        }
        match delivery {
            Delivery::Prompt => self.pushes.deliver(push),
            Delivery::Late(after) => self.timer(after, Timer::Deliver { push: Box::new(push) }),
            Delivery::Twice => {
                self.pushes.deliver(push.clone());
                self.timer(Duration::from_millis(50), Timer::Deliver { push: Box::new(push) });
            }
            Delivery::Lost | Delivery::Unregistered => {}
        }
        self.bump();
        !unregistered
    }

    /// Sends a push that belongs to no call to every device of a user. Returns to how many.
    pub(crate) fn push_user(
        &mut self,
        name: &str,
        kind: PushKind,
        text: &str,
        own: Option<serde_json::Value>,
    ) -> usize {
        let targets: Vec<PushTarget> = self
            .users
            .get(name)
            .map(|u| u.bindings.iter().filter_map(|b| b.push.clone()).collect())
            .unwrap_or_default();
        let content = Content {
            kind,
            from: String::new(),
            from_uri: String::new(),
            display: String::new(),
            to: name.to_owned(),
            text: text.to_owned(),
            call_id: String::new(),
            push_id: format!("push-{}", self.serial()),
        };
        targets.iter().filter(|target| self.push(name, target, &content, own.clone())).count()
    }

    /// Wakes a client whose registration is about to expire, unless it has refreshed since.
    pub(crate) fn push_refresh(&mut self, name: &str, binding: u64, cseq: u32) {
        let found = self.users.get(name).and_then(|u| u.bindings.iter().find(|b| b.id == binding && b.cseq == cseq));
        if found.is_some_and(|b| b.push.is_some()) {
            self.push_user(name, PushKind::Refresh, "", None);
        }
    }

    /// Sends a push for a call to one binding. Returns whether the push service accepted it.
    pub(crate) fn push_call(&mut self, call_id: u64, binding: u64, kind: PushKind) -> bool {
        let Some(call) = self.calls.get(&call_id) else { return false };
        let name = call.report.user.clone();
        let chat = call.method == "MESSAGE";
        let target = self
            .users
            .get(&name)
            .and_then(|u| u.bindings.iter().find(|b| b.id == binding))
            .and_then(|b| b.push.clone())
            .filter(|t| if chat { t.chats } else { t.calls });
        let (Some(target), Some(call)) = (target, self.calls.get(&call_id)) else { return false };
        let number = Uri::parse(&call.options.from).and_then(|u| u.user).unwrap_or_else(|| call.options.from.clone());
        let renamed = self.users.get(&name).is_some_and(|u| u.profile.habits.has(Habit::CallIdRenamed));
        let text = if chat { call.options.body.clone().unwrap_or_default() } else { String::new() };
        let content = Content {
            kind,
            display: call.options.display.clone().unwrap_or_else(|| number.clone()),
            from: number,
            from_uri: call.options.from.clone(),
            to: name.clone(),
            text: text.chars().take(200).collect(),
            call_id: if renamed { format!("announced-{}", call.report.call_id) } else { call.report.call_id.clone() },
            push_id: call.push_id.clone(),
        };
        let own = call.options.payload.clone().filter(|_| kind != PushKind::Cancel);
        let taken = self.push(&name, &target, &content, own);
        if let Some(call) = self.calls.get_mut(&call_id) {
            call.report.pushes += u32::from(taken);
            if taken && kind != PushKind::Cancel {
                call.pushed.push(binding);
            }
        }
        taken
    }
}
