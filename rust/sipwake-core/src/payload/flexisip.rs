//! Flexisip (Linphone): `loc-key`, `call-id`, `from-uri`, under `aps` and at the top (APNs) or all at the top (FCM).
//!
//! Its `uuid` is left alone: it names the device (the contact's `+sip.instance`), not the call, and two calls must not share one.

use std::time::Duration;

use super::Channel;
use super::action::{ActionKind, Reading};
use super::fields::{Field, Fields};

pub(super) fn read<'f>(fields: &'f Fields<'_>, channel: Channel) -> Option<Reading<'f>> {
    let loc_key = fields.text(Field::LocKey);
    let by_key = match loc_key {
        Some("IC_MSG") => Some(ActionKind::IncomingCall { video: false }),
        Some("IM_MSG" | "GC_MSG") => Some(ActionKind::chat(None)),
        Some("IC_SIL") => Some(ActionKind::RefreshBinding),
        _ => None,
    };
    if by_key.is_none() {
        fields.first(&[Field::CallId, Field::FromUri, Field::FormUri])?;
    }
    let kind = by_key.unwrap_or_else(|| match (channel, loc_key) {
        // It sends VoIP pushes for calls only, under whatever name the app gave to `pn-call-str`.
        (Channel::PushKit, _) => ActionKind::IncomingCall { video: false },
        (_, Some(own)) => ActionKind::custom(own),
        // Over FCM the key may be left blank, for calls and messages alike. Waking up in silence serves both: the
        // INVITE or MESSAGE says the rest, and no message rings.
        (_, None) => ActionKind::RefreshBinding,
    });
    let is_uri = |text: &&str| text.starts_with("sip:") || text.starts_with("sips:");
    // Name or URI, whichever the server had.
    let someone = fields.first(&[Field::SipFrom, Field::LocArgs]);
    Some(Reading {
        caller: fields.first(&[Field::FromUri, Field::FormUri]).or(someone.filter(is_uri)),
        display_name: fields.text(Field::DisplayName).or(someone.filter(|text| !is_uri(text))),
        title: fields.text(Field::Title),
        text: fields.text(Field::Body),
        call_id: fields.text(Field::CallId),
        time_to_live: fields.seconds(Field::PnTtl),
        sent: fields.text(Field::SendTime).and_then(utc),
        ..Reading::new(kind)
    })
}

/// Reads `YYYY-MM-DD HH:MM:SS` (UTC) as time since the Unix epoch.
fn utc(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(time, ':')?;
    let sound = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !sound {
        return None;
    }
    // Counting years from March puts the leap day last, and (153 * month + 2) / 5 gives the days before each month.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let since_epoch = days - DAYS_BEFORE_EPOCH;
    Some(Duration::from_secs(((since_epoch * 24 + hour) * 60 + minute) * 60 + second))
}

/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: u64 = 719_468;

fn three(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_time_is_read_as_utc() {
        for (text, seconds) in [
            ("1970-01-01 00:00:00", 0),
            ("2000-02-29 12:30:01", 951_827_401),
            ("2024-03-01 00:00:00", 1_709_251_200),
            ("2026-12-31 23:59:59", 1_798_761_599),
        ] {
            assert_eq!(utc(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01 00:00:00", "2026-01-01", "99999999999999999999-1-1 0:0:0"] {
            assert_eq!(utc(text), None, "{text}");
        }
    }
}
