//! Flexisip (Linphone): `loc-key`, `call-id`, `from-uri`, under `aps` and at the top (APNs) or all at the top (FCM).
//!
//! Its `uuid` is not used. It names the device (the Contact's `+sip.instance`) and not the call, and two calls must not
//! share one.

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;
use super::is_address;

pub(super) fn read<'f>(fields: &'f Fields<'_>, channel: Channel) -> Option<Reading<'f>> {
    let loc_key = fields.text("loc-key");
    let by_key = match loc_key.map(str::to_ascii_uppercase).as_deref() {
        Some("IC_MSG") => Some(ActionKind::IncomingCall { video: false }),
        Some("IM_MSG" | "GC_MSG") => Some(ActionKind::chat(None)),
        Some("IC_SIL") => Some(ActionKind::RefreshBinding),
        _ => None,
    };
    if by_key.is_none() {
        fields.first(&["call-id", "from-uri", "form-uri"])?;
    }
    let kind = by_key.unwrap_or_else(|| match (channel, loc_key) {
        // It sends VoIP pushes only for calls. The app chooses their name with `pn-call-str`.
        (Channel::PushKit, _) => ActionKind::IncomingCall { video: false },
        (_, Some(own)) => ActionKind::custom(own),
        // Over FCM the key may be blank, both for calls and for messages. A silent wake-up works for both: the INVITE
        // or MESSAGE says the rest, and no message rings.
        (_, None) => ActionKind::RefreshBinding,
    });
    // A name, number or URI, whichever the server had.
    let someone = fields.first(&["sip-from", "loc-args"]);
    Some(Reading {
        caller: fields.first(&["from-uri", "form-uri"]).or(someone.filter(|text| is_address(text))),
        display_name: fields.text("display-name").or(someone.filter(|text| !is_address(text))),
        title: fields.title(),
        text: fields.body(),
        call_id: fields.text("call-id"),
        time_to_live: fields.seconds("pn_ttl"),
        ..Reading::new(kind)
    })
}
