//! Telnyx Voice: `metadata` with `voice_sdk_id`, `call_id`, `caller_name`, `caller_number`, as an object or as JSON text.

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;

/// How a text of a push begins that ends a call, in `message` or in the alert.
const MISSED: &str = "missed call";

pub(super) fn read<'f>(fields: &'f Fields<'_>, _: Channel) -> Option<Reading<'f>> {
    if !fields.names_any(&["voice_sdk_id", "caller_number"]) {
        return None;
    }
    let begins = |text: &str| text.get(..MISSED.len()).is_some_and(|start| start.eq_ignore_ascii_case(MISSED));
    let missed =
        [fields.text("message"), fields.text("type"), fields.title(), fields.body()].into_iter().flatten().any(begins);
    let kind = if missed { ActionKind::Cancel } else { ActionKind::IncomingCall { video: false } };
    Some(Reading {
        caller: fields.text("caller_number"),
        display_name: fields.text("caller_name"),
        title: fields.title(),
        text: fields.body(),
        call_id: fields.text("call_id"),
        ..Reading::new(kind)
    })
}
