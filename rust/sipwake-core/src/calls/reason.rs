//! Why a call ends, in the caller's words (RFC 3326).

use crate::event::Ended;
use crate::payload::shown_name;
use crate::sip::{Message, ParamsRef};

/// Returns how a CANCEL ends a call.
//
// Reason        =  "Reason" HCOLON reason-value *(COMMA reason-value)
// reason-value  =  protocol *(SEMI reason-params)
pub(crate) fn of_cancel(cancel: &Message) -> Ended {
    let mut ended = Ended::Cancelled;
    for value in cancel.values("Reason") {
        let (protocol, params) = value.split_once(';').unwrap_or((value, ""));
        if !protocol.trim().eq_ignore_ascii_case("SIP") {
            continue;
        }
        let params = ParamsRef::of(params);
        let cause = params.value("cause").and_then(|cause| cause.parse().ok()).unwrap_or(0);
        let text = params.value("text").unwrap_or_default();
        // 603 or 600: after one phone has declined for all, a proxy cancels the other branches (RFC 3261 16.7).
        match cause {
            200 => return Ended::AnsweredElsewhere,
            600 | 603 | 607 => ended = Ended::DeclinedElsewhere,
            _ if text.to_ascii_lowercase().contains("declined elsewhere") => ended = Ended::DeclinedElsewhere,
            _ => {}
        }
    }
    ended
}

/// Returns the reasons of a BYE in a form that may be shown. All of them, because a gateway adds its own to the
/// caller's.
pub(super) fn of_bye(bye: &Message) -> Option<String> {
    shown_name(&bye.values("Reason").collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_cancel_says_how_the_call_ended() {
        for (reason, how) in [
            ("SIP;cause=200;text=\"Call completed elsewhere\"", Ended::AnsweredElsewhere),
            ("Q.850;cause=16, sip ; text=\"a,b;c\" ; cause = 200", Ended::AnsweredElsewhere),
            ("Q.850;cause=200", Ended::Cancelled),
            ("SIP;cause=603;text=\"Decline\"", Ended::DeclinedElsewhere),
            ("SIP;cause=487", Ended::Cancelled),
            ("SIP;cause=99999999999", Ended::Cancelled),
            ("", Ended::Cancelled),
        ] {
            let text = format!("CANCEL sip:a@b SIP/2.0\r\nReason: {reason}\r\n\r\n");
            assert_eq!(of_cancel(&Message::parse(text.as_bytes()).expect("a message")), how, "{reason}");
        }
    }
}
