//! PortSIP PBX: `msg_type`, `send_from`, `send_to`, and an `x-push-id` that comes again in the INVITE.

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;

pub(super) fn read<'f>(fields: &'f Fields<'_>, channel: Channel) -> Option<Reading<'f>> {
    let vendor_id = fields.first(&["x-push-id", "portsip-push-id"]);
    let msg_type = fields.text("msg_type");
    vendor_id.or(msg_type).or(fields.text("send_from"))?;
    let kind = match msg_type.map(str::to_ascii_lowercase).as_deref() {
        // Older servers send the type `call` for audio and for video.
        Some("audio" | "call") => ActionKind::IncomingCall { video: false },
        Some("video") => ActionKind::IncomingCall { video: true },
        Some("im") => ActionKind::chat(fields.text("mime_type")),
        Some(_) => ActionKind::custom(msg_type.unwrap_or_default()),
        None if channel == Channel::PushKit => ActionKind::IncomingCall { video: false },
        None => ActionKind::RefreshBinding,
    };
    Some(Reading {
        account: fields.text("send_to"),
        caller: fields.text("send_from"),
        title: fields.text("msg_title").or(fields.title()),
        text: fields.message("msg_content", &[]).or(fields.body()),
        vendor_id,
        ..Reading::new(kind)
    })
}
