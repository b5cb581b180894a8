//! PortSIP PBX: `msg_type`, `send_from`, `send_to`, and an `x-push-id` that comes again in the INVITE.

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;

pub(super) fn read<'f>(fields: &'f Fields<'_>, channel: Channel) -> Option<Reading<'f>> {
    let vendor_id = fields.first(&["x-push-id", "portsip-push-id"]);
    let msg_type = fields.text("msg_type");
    vendor_id.or(msg_type).or(fields.text("send_from"))?;
    let kind = match msg_type {
        // Before audio and video were told apart, the type was `call`.
        Some("audio" | "call") => ActionKind::IncomingCall { video: false },
        Some("video") => ActionKind::IncomingCall { video: true },
        Some("im") => ActionKind::chat(fields.text("mime_type")),
        Some(other) => ActionKind::custom(other),
        None if channel == Channel::PushKit => ActionKind::IncomingCall { video: false },
        None => ActionKind::RefreshBinding,
    };
    Some(Reading {
        account: fields.text("send_to"),
        caller: fields.text("send_from"),
        title: fields.text("msg_title").or(fields.title()),
        text: fields.text("msg_content").or(fields.body()),
        vendor_id,
        ..Reading::new(kind)
    })
}
