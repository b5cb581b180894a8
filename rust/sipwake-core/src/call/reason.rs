//! Why a call ends, as the caller says it (RFC 3326).

use crate::event::Ended;
use crate::sip::{Message, Params};

/// Returns how a CANCEL ends a call.
//
// Reason        =  "Reason" HCOLON reason-value *(COMMA reason-value)
// reason-value  =  protocol *(SEMI reason-params)
pub(crate) fn of_cancel(cancel: &Message) -> Ended {
    let said: Vec<(u16, String)> = cancel.values("Reason").filter_map(sip_cause).collect();
    if said.iter().any(|(cause, _)| *cause == 200) {
        return Ended::AnsweredElsewhere;
    }
    // 603 or 600: a proxy cancels the other branches once one has declined for all (RFC 3261 16.7).
    let declined = |(cause, text): &(u16, String)| {
        matches!(cause, 600 | 603 | 607) || text.to_ascii_lowercase().contains("declined elsewhere")
    };
    if said.iter().any(declined) { Ended::DeclinedElsewhere } else { Ended::Cancelled }
}

fn sip_cause(value: &str) -> Option<(u16, String)> {
    let (protocol, params) = value.split_at(value.find(';').unwrap_or(value.len()));
    let params = Params::parse(params);
    let cause = params.value("cause").and_then(|cause| cause.parse().ok()).unwrap_or(0);
    let text = params.value("text").unwrap_or_default().to_owned();
    protocol.trim().eq_ignore_ascii_case("SIP").then_some((cause, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_cancel_tells_what_became_of_the_call() {
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
