//! Acrobits: `verb`, `Selector`, `UserName`, `DisplayName` (doc.acrobits.net, "SIPIS-less push calls" and "Push Notifications over HTTP").

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;

pub(super) fn read<'f>(fields: &'f Fields<'_>, _: Channel) -> Option<Reading<'f>> {
    let verb = fields.text("verb")?;
    let kind = match verb.to_ascii_lowercase().as_str() {
        "notifyincomingcall" => ActionKind::IncomingCall { video: false },
        "notifyincomingcallmissed" | "notifyincomingcallansweredelsewhere" => ActionKind::Cancel,
        "notifytextmessage" | "notifytextmessage2" => ActionKind::chat(fields.text("ContentType")),
        lower if lower.starts_with("notify") => ActionKind::custom(verb),
        _ => return None,
    };
    // The call's Call-ID or, if the server has another one, the `X-Push-ID` of its INVITE.
    let id = fields.text("Id");
    Some(Reading {
        account: fields.text("Selector"),
        caller: fields.text("UserName"),
        display_name: fields.first(&["DisplayName", "UserDisplayName"]),
        title: fields.title(),
        text: fields.message("Message", &[]).or(fields.body()),
        call_id: id,
        vendor_id: id,
        ..Reading::new(kind)
    })
}
