//! Twilio Voice: `twi_message_type`, `twi_call_sid`, `twi_from`, `twi_to`.

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;

pub(super) fn read<'f>(fields: &'f Fields<'_>, _: Channel) -> Option<Reading<'f>> {
    let kind = match fields.text("twi_message_type")? {
        "twilio.voice.call" => ActionKind::IncomingCall { video: false },
        "twilio.voice.cancel" => ActionKind::Cancel,
        other => ActionKind::custom(other),
    };
    // `client:alice` names a user of the app, not a number.
    let address = |name| fields.text(name).map(|text| text.strip_prefix("client:").unwrap_or(text));
    Some(Reading {
        account: address("twi_to"),
        caller: address("twi_from"),
        title: fields.first(&["twi_title", "title"]),
        text: fields.text("twi_body").or(fields.body()),
        // It is no Call-ID: the INVITE has one of its own.
        vendor_id: fields.text("twi_call_sid"),
        ..Reading::new(kind)
    })
}
