//! Calls: what happens to them, and what the app can do with one.

use std::time::Duration;

use sipwake::core::call::Progress;
use sipwake::core::clock::Now;

use crate::payload::milliseconds;

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum CallChange {
    /// A push announced it. The INVITE is on its way.
    Announced {
        /// Who calls.
        caller: Caller,
    },
    /// The INVITE is here: the phone can ring.
    Ringing {
        /// Who calls.
        caller: Caller,
        /// Whether a push had announced this call.
        announced: bool,
        /// The INVITE's body, for the app's media engine.
        offer: Option<SessionOffer>,
    },
    /// The user answered, and the INVITE is here: accept the call, without a further question to the user.
    AnswerWanted {
        /// Who calls.
        caller: Caller,
        /// The caller's offer. If it is not set, the caller wants our offer.
        offer: Option<SessionOffer>,
    },
    /// A later push or request names the caller better than before.
    CallerChanged {
        /// Who calls.
        caller: Caller,
    },
    /// The ACK came and the call is up. On iOS, fulfil `CXAnswerCallAction` now.
    Connected {
        /// The caller's answer, if the INVITE had no offer and ours was sent.
        answer: Option<SessionOffer>,
    },
    /// The caller offers other media. Respond with `respond_offer` within 20 seconds, or the offer counts as refused.
    Offered {
        /// The new offer. If it is not set, the caller wants our offer.
        offer: Option<SessionOffer>,
    },
    /// The caller answered the offer that the app gave to an `Offered` without one.
    Answered {
        /// The caller's answer.
        answer: SessionOffer,
    },
    /// The caller asks for something that only the app can do.
    Asked {
        /// The request, and whether it waits for a response.
        request: CallRequest,
    },
    /// The caller hangs up and says why, in the words of the `Reason` header (RFC 3326). `Ended` follows.
    Reason {
        /// For example `Q.850;cause=16;text="Normal call clearing"`.
        reason: String,
    },
    /// It is over.
    Ended {
        /// How.
        reason: EndReason,
        /// The status that says why, for `Failed` only.
        status: Option<u16>,
    },
    /// Something that this version of the bindings has no name for.
    Other {
        /// In words.
        description: String,
    },
}

/// A session description, as opaque text: an offer or an answer.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct SessionOffer {
    /// For example `application/sdp`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for SessionOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionOffer({}, {} bytes)", self.content_type, self.body.len())
    }
}

/// A caller's request to the app inside a call, by INFO (RFC 6086) or REFER (RFC 3515).
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct CallRequest {
    /// Its id, for `respond_request`.
    pub id: u64,
    /// Whether it waits ten seconds for the app's response, as `take_call_requests` says. Otherwise it was refused.
    pub awaits_response: bool,
    /// The kind of request.
    pub kind: RequestKind,
}

/// The kinds of a caller's requests to the app.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum RequestKind {
    /// A digit was dialled: `0` to `9`, `A` to `D`, `*`, `#` or `!` (flash).
    Digit {
        /// The digit.
        digit: String,
        /// For how long, in milliseconds, if the caller says so.
        duration_ms: Option<u64>,
    },
    /// Any other INFO.
    Info {
        /// The type of its body. It is empty without a body.
        content_type: String,
        /// Its `Info-Package`.
        package: Option<String>,
        /// Its body.
        body: Vec<u8>,
    },
    /// The caller asks the app to call somebody else and leave this call (a transfer).
    Refer {
        /// The URI to call, as it is in `Refer-To`.
        to: String,
        /// Who asks for it.
        by: Option<String>,
    },
    /// Something that this version of the bindings has no name for.
    Other {
        /// In words.
        description: String,
    },
}

impl std::fmt::Debug for RequestKind {
    /// Digits can be a PIN.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digit { .. } => f.write_str("Digit"),
            Self::Info { content_type, body, .. } => write!(f, "Info({content_type}, {} bytes)", body.len()),
            Self::Refer { to, .. } => write!(f, "Refer({to:?})"),
            Self::Other { description } => write!(f, "Other({description})"),
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Caller {
    /// The caller's URI or number. It may be empty.
    pub uri: String,
    /// The name to show.
    pub display_name: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum EndReason {
    /// The caller gave up.
    Cancelled,
    /// Another device of the user answered (RFC 3326).
    AnsweredElsewhere,
    /// Another device of the user declined for all of them (RFC 3326).
    DeclinedElsewhere,
    /// We declined.
    Declined,
    /// The caller hung up.
    HungUpByCaller,
    /// We hung up.
    HungUp,
    /// It failed. The status says why: 408 without an ACK or a refresh of the session, 481 if the caller no longer
    /// knows the call, 504 without a PRACK, or the status that the app gave.
    Failed,
    /// The announced INVITE never came.
    Missed,
    /// It rang until its time limit.
    Unanswered,
    /// The user logged out.
    LoggedOut,
    /// Anything else.
    Other,
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct Moment {
    /// Milliseconds since the Unix epoch, for a call log.
    pub wall_ms: u64,
    /// Milliseconds of the clock that only goes forward, also while the device sleeps. The difference of two values is
    /// a duration.
    pub boot_ms: u64,
}

/// When a call reached each of its stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct CallTimes {
    /// A push announced it.
    pub announced: Option<Moment>,
    /// Its INVITE came.
    pub ringing: Option<Moment>,
    /// The user answered: the 200 was sent.
    pub answered: Option<Moment>,
    /// The caller's ACK came: both sides can talk.
    pub connected: Option<Moment>,
    /// It ended.
    pub ended: Option<Moment>,
}

/// How a ringing call is declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum DeclineHow {
    /// 603: on all of the user's devices.
    Everywhere,
    /// 486: this device is busy, and others still ring.
    Busy,
}

/// Why the app ends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum HangUp {
    /// The user asked for it.
    Normal,
    /// It cannot continue, for example with 488 for an offer that the media engine refuses.
    Failed {
        /// A SIP status from 400 to 699. Any other number becomes 500.
        status: u16,
    },
}

/// How calls are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct CallPolicy {
    /// How long to wait for an announced INVITE, in milliseconds. The payload can name a shorter time.
    #[uniffi(default = 40000)]
    pub window_ms: u64,
    /// How long the phone rings at most, in milliseconds. The INVITE's `Expires` can name a shorter time.
    #[uniffi(default = 180000)]
    pub ring_limit_ms: u64,
    /// Whether a registrar that gave a `pn-purr` can wake the app for requests inside the call (RFC 8599 section 6).
    #[uniffi(default = false)]
    pub mid_call_wakeups: bool,
    /// Whether a caller gets 183 first, and 180 when the app says that it rings (`ringing`). This is for an app that
    /// shows a call later.
    #[uniffi(default = false)]
    pub session_progress: bool,
    /// Whether to ask the user again if they answered a call before its INVITE came and the INVITE names a caller with
    /// another number.
    #[uniffi(default = false)]
    pub reconfirm: bool,
}

impl From<CallPolicy> for sipwake::CallPolicy {
    fn from(policy: CallPolicy) -> Self {
        Self {
            window: Duration::from_millis(policy.window_ms),
            ring_limit: Duration::from_millis(policy.ring_limit_ms),
            mid_call_wakeups: policy.mid_call_wakeups,
            progress: if policy.session_progress { Progress::Session } else { Progress::Ringing },
            reconfirm: policy.reconfirm,
        }
    }
}

impl From<DeclineHow> for sipwake::Decline {
    fn from(how: DeclineHow) -> Self {
        match how {
            DeclineHow::Everywhere => Self::Everywhere,
            DeclineHow::Busy => Self::Busy,
        }
    }
}

impl From<HangUp> for sipwake::HangUp {
    fn from(why: HangUp) -> Self {
        match why {
            HangUp::Normal => Self::Normal,
            HangUp::Failed { status } => Self::Failed(status),
        }
    }
}

impl From<SessionOffer> for sipwake::Offer {
    fn from(offer: SessionOffer) -> Self {
        Self { content_type: offer.content_type, body: offer.body }
    }
}

impl From<sipwake::Offer> for SessionOffer {
    fn from(offer: sipwake::Offer) -> Self {
        Self { content_type: offer.content_type, body: offer.body }
    }
}

impl From<sipwake::CallChange> for CallChange {
    fn from(change: sipwake::CallChange) -> Self {
        match change {
            sipwake::CallChange::Announced(caller) => Self::Announced { caller: caller.into() },
            sipwake::CallChange::Ringing { caller, announced, offer } => {
                Self::Ringing { caller: caller.into(), announced, offer: offer.map(Into::into) }
            }
            sipwake::CallChange::AnswerWanted { caller, offer } => {
                Self::AnswerWanted { caller: caller.into(), offer: offer.map(Into::into) }
            }
            sipwake::CallChange::CallerChanged(caller) => Self::CallerChanged { caller: caller.into() },
            sipwake::CallChange::Connected { answer } => Self::Connected { answer: answer.map(Into::into) },
            sipwake::CallChange::Offered { offer } => Self::Offered { offer: offer.map(Into::into) },
            sipwake::CallChange::Answered(answer) => Self::Answered { answer: answer.into() },
            sipwake::CallChange::Asked(request) => Self::Asked { request: request.into() },
            sipwake::CallChange::Reason(reason) => Self::Reason { reason },
            sipwake::CallChange::Ended(how) => Self::Ended { reason: how.into(), status: status(how) },
            other => Self::Other { description: format!("{other:?}") },
        }
    }
}

impl From<sipwake::CallRequest> for CallRequest {
    fn from(request: sipwake::CallRequest) -> Self {
        let kind = match request.kind {
            sipwake::RequestKind::Digit { digit, duration } => {
                RequestKind::Digit { digit: digit.to_string(), duration_ms: duration.map(milliseconds) }
            }
            sipwake::RequestKind::Info { content_type, package, body } => {
                RequestKind::Info { content_type, package, body }
            }
            sipwake::RequestKind::Refer { to, by } => RequestKind::Refer { to, by },
            other => RequestKind::Other { description: format!("{other:?}") },
        };
        Self { id: request.id, awaits_response: request.awaits_response, kind }
    }
}

fn status(how: sipwake::Ended) -> Option<u16> {
    match how {
        sipwake::Ended::Failed(status) => Some(status),
        _ => None,
    }
}

impl From<sipwake::Caller> for Caller {
    fn from(caller: sipwake::Caller) -> Self {
        Self { uri: caller.uri, display_name: caller.display_name }
    }
}

impl From<sipwake::Ended> for EndReason {
    fn from(how: sipwake::Ended) -> Self {
        match how {
            sipwake::Ended::Cancelled => Self::Cancelled,
            sipwake::Ended::AnsweredElsewhere => Self::AnsweredElsewhere,
            sipwake::Ended::DeclinedElsewhere => Self::DeclinedElsewhere,
            sipwake::Ended::Declined => Self::Declined,
            sipwake::Ended::HungUpByCaller => Self::HungUpByCaller,
            sipwake::Ended::HungUp => Self::HungUp,
            sipwake::Ended::Failed(_) => Self::Failed,
            sipwake::Ended::Missed => Self::Missed,
            sipwake::Ended::Unanswered => Self::Unanswered,
            sipwake::Ended::LoggedOut => Self::LoggedOut,
            _ => Self::Other,
        }
    }
}

impl EndReason {
    /// Converts it for the client, with the status of a failed call.
    pub(crate) fn with(self, status: Option<u16>) -> sipwake::Ended {
        match self {
            Self::Cancelled => sipwake::Ended::Cancelled,
            Self::AnsweredElsewhere => sipwake::Ended::AnsweredElsewhere,
            Self::DeclinedElsewhere => sipwake::Ended::DeclinedElsewhere,
            Self::Declined => sipwake::Ended::Declined,
            Self::HungUpByCaller => sipwake::Ended::HungUpByCaller,
            Self::HungUp => sipwake::Ended::HungUp,
            Self::Missed => sipwake::Ended::Missed,
            Self::Unanswered => sipwake::Ended::Unanswered,
            Self::LoggedOut => sipwake::Ended::LoggedOut,
            Self::Failed | Self::Other => sipwake::Ended::Failed(status.unwrap_or(500)),
        }
    }
}

impl From<Now> for Moment {
    fn from(now: Now) -> Self {
        Self { wall_ms: milliseconds(now.wall), boot_ms: milliseconds(now.boot) }
    }
}

impl From<sipwake::CallTimes> for CallTimes {
    fn from(times: sipwake::CallTimes) -> Self {
        Self {
            announced: times.announced.map(Into::into),
            ringing: times.ringing.map(Into::into),
            answered: times.answered.map(Into::into),
            connected: times.connected.map(Into::into),
            ended: times.ended.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_name_and_only_a_failure_has_a_status() {
        use sipwake::Ended;
        let ends = [
            (Ended::Cancelled, EndReason::Cancelled),
            (Ended::AnsweredElsewhere, EndReason::AnsweredElsewhere),
            (Ended::DeclinedElsewhere, EndReason::DeclinedElsewhere),
            (Ended::Declined, EndReason::Declined),
            (Ended::HungUpByCaller, EndReason::HungUpByCaller),
            (Ended::HungUp, EndReason::HungUp),
            (Ended::Missed, EndReason::Missed),
            (Ended::Unanswered, EndReason::Unanswered),
            (Ended::LoggedOut, EndReason::LoggedOut),
        ];
        for (how, reason) in ends {
            assert_eq!(CallChange::from(sipwake::CallChange::Ended(how)), CallChange::Ended { reason, status: None });
            assert_eq!(reason.with(None), how);
        }
        let failed = CallChange::from(sipwake::CallChange::Ended(Ended::Failed(488)));
        assert_eq!(failed, CallChange::Ended { reason: EndReason::Failed, status: Some(488) });
        assert_eq!(EndReason::Failed.with(Some(488)), Ended::Failed(488));
    }

    #[test]
    fn every_change_has_a_name_and_keeps_its_description() {
        let (offer, converted) =
            (sipwake::Offer::sdp("v=0"), SessionOffer { content_type: "application/sdp".into(), body: b"v=0".into() });
        let from = CallChange::from;
        assert_eq!(
            from(sipwake::CallChange::AnswerWanted { caller: sipwake::Caller::default(), offer: Some(offer.clone()) }),
            CallChange::AnswerWanted { caller: sipwake::Caller::default().into(), offer: Some(converted.clone()) }
        );
        assert_eq!(
            from(sipwake::CallChange::Connected { answer: Some(offer.clone()) }),
            CallChange::Connected { answer: Some(converted.clone()) }
        );
        assert_eq!(from(sipwake::CallChange::Offered { offer: None }), CallChange::Offered { offer: None });
        assert_eq!(from(sipwake::CallChange::Answered(offer)), CallChange::Answered { answer: converted });
        let reason = || "SIP;cause=200".to_owned();
        assert_eq!(from(sipwake::CallChange::Reason(reason())), CallChange::Reason { reason: reason() });
        let (digit, duration) = ('#', Some(Duration::from_millis(160)));
        let kind = sipwake::RequestKind::Digit { digit, duration };
        let asked = from(sipwake::CallChange::Asked(sipwake::CallRequest { id: 7, awaits_response: true, kind }));
        let CallChange::Asked { request } = &asked else { panic!("{asked:?}") };
        let kind = RequestKind::Digit { digit: "#".into(), duration_ms: Some(160) };
        assert_eq!(*request, CallRequest { id: 7, awaits_response: true, kind });
        assert!(!format!("{asked:?}").contains('#'), "a digit may be of a PIN");
    }

    #[test]
    fn the_policys_defaults_are_those_of_the_core() {
        let policy = CallPolicy {
            window_ms: 40_000,
            ring_limit_ms: 180_000,
            mid_call_wakeups: false,
            session_progress: false,
            reconfirm: false,
        };
        assert_eq!(sipwake::CallPolicy::from(policy), sipwake::CallPolicy::default());
    }

    #[test]
    fn debug_shows_no_session_description() {
        let offer = SessionOffer { content_type: "application/sdp".into(), body: b"a=crypto:1".into() };
        assert_eq!(format!("{offer:?}"), "SessionOffer(application/sdp, 10 bytes)");
    }
}
