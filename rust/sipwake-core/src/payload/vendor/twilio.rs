//! Twilio Voice: `twi_message_type`, `twi_call_sid`, `twi_from`, `twi_to`.

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;

pub(super) fn read<'f>(fields: &'f Fields<'_>, _: Channel) -> Option<Reading<'f>> {
    let message_type = fields.text("twi_message_type")?;
    let kind = match message_type.to_ascii_lowercase().as_str() {
        "twilio.voice.call" => ActionKind::IncomingCall { video: false },
        "twilio.voice.cancel" => ActionKind::Cancel,
        _ => ActionKind::custom(message_type),
    };
    // `client:alice` names a user of the app, not a number.
    let address = |name| fields.text(name).map(|text| text.strip_prefix("client:").unwrap_or(text));
    Some(Reading {
        account: address("twi_to"),
        caller: address("twi_from"),
        title: fields.first(&["twi_title", "title"]),
        text: fields.message("twi_body", &[]).or(fields.body()),
        // It is not the Call-ID: the INVITE has its own.
        vendor_id: fields.text("twi_call_sid"),
        ..Reading::new(kind)
    })
}
