//! Vialer (VoIPGRID): `type`, `unique_key`, `phonenumber`, `caller_id`, `message_start_time`.

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;

pub(super) fn read<'f>(fields: &'f Fields<'_>, channel: Channel) -> Option<Reading<'f>> {
    let key = fields.text("unique_key");
    if key.is_none() && !fields.names_any(&["phonenumber", "response_api"]) {
        return None;
    }
    let kind = match fields.text("type") {
        Some(kind) if kind.eq_ignore_ascii_case("call") => ActionKind::IncomingCall { video: false },
        Some(other) => ActionKind::custom(other),
        None if channel == Channel::PushKit => ActionKind::IncomingCall { video: false },
        None => ActionKind::RefreshBinding,
    };
    // A hidden number is the word, or the number with its digits crossed out.
    let hidden =
        |number: &&str| number.eq_ignore_ascii_case("supressed") || number.to_ascii_lowercase().contains("xxxx");
    Some(Reading {
        caller: fields.text("phonenumber").filter(|number| !hidden(number)),
        display_name: fields.text("caller_id"),
        title: fields.title(),
        text: fields.body(),
        vendor_id: key,
        ..Reading::new(kind)
    })
}
