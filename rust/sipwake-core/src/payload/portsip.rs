//! PortSIP PBX: `msg_type`, `send_from`, `send_to`, and an `x-push-id` that comes again in the INVITE.

use super::Channel;
use super::action::{ActionKind, Reading};
use super::fields::{Field, Fields};

pub(super) fn read<'f>(fields: &'f Fields<'_>, channel: Channel) -> Option<Reading<'f>> {
    let vendor_id = fields.first(&[Field::XPushId, Field::PortsipPushId]);
    let msg_type = fields.text(Field::MsgType);
    vendor_id.or(msg_type).or(fields.text(Field::SendFrom))?;
    let kind = match msg_type {
        // Before audio and video were told apart, the type was `call`.
        Some("audio" | "call") => ActionKind::IncomingCall { video: false },
        Some("video") => ActionKind::IncomingCall { video: true },
        Some("im") => ActionKind::chat(fields.text(Field::MimeType)),
        Some(other) => ActionKind::custom(other),
        None if channel == Channel::PushKit => ActionKind::IncomingCall { video: false },
        None => ActionKind::RefreshBinding,
    };
    Some(Reading {
        account: fields.text(Field::SendTo),
        caller: fields.text(Field::SendFrom),
        title: fields.first(&[Field::MsgTitle, Field::Title]),
        text: fields.first(&[Field::MsgContent, Field::Body]),
        vendor_id,
        ..Reading::new(kind)
    })
}
