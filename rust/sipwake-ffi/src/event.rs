//! The events that apps get.

use sipwake::{Failure, FlowError};

use crate::call::{CallChange, CallTimes};
use crate::payload::{PayloadProblem, milliseconds};

/// Something that an app should know.
#[derive(Clone, PartialEq, uniffi::Enum)]
pub enum Event {
    /// The registrar accepted a REGISTER.
    Registered {
        /// The account's id.
        account: String,
        /// The registrar's response.
        registration: Registration,
    },
    /// A REGISTER, or the connection to the registrar, failed.
    RegistrationFailed {
        /// The account.
        account: String,
        /// The kind, to branch on.
        kind: FailureKind,
        /// The final response's status, if there was one.
        status: Option<u16>,
        /// In words.
        reason: String,
        /// Milliseconds until the next attempt. If it is not set, there is none before the app changes something.
        retry_in_ms: Option<u64>,
    },
    /// Too many pushes came, and the next REGISTER waits. Six are sent at once, then one every ten seconds.
    RegisterDelayed {
        /// The account.
        account: String,
        /// For how long, in milliseconds.
        wait_ms: u64,
    },
    /// Do not disturb is over. The client makes the push binding again.
    DoNotDisturbOver {
        /// The account.
        account: String,
    },
    /// A push was sealed and could not be opened. It is silent, or over PushKit a call from an unknown caller.
    PushUnopened {
        /// Why.
        problem: PayloadProblem,
    },
    /// A log-out is over.
    LoggedOut {
        /// The account.
        account: String,
        /// The address of record, because the account itself no longer exists.
        aor: String,
        /// What the server's response proves.
        removed: Removed,
    },
    /// A capability query was answered (RFC 8599 section 4.1.5).
    Capabilities {
        /// The account.
        account: String,
        /// The response's status. 555 means that the server does not support the provider.
        status: u16,
        /// The providers that the server named.
        providers: Vec<String>,
    },
    /// A call was announced, arrived, changed or ended.
    Call {
        /// The call's UUID: the same for its push and its INVITE.
        uuid: String,
        /// The account, when it is known.
        account: Option<String>,
        /// The change.
        change: CallChange,
        /// When it reached each stage so far.
        times: CallTimes,
    },
    /// A MESSAGE arrived (RFC 3428).
    ChatMessage {
        /// The account.
        account: String,
        /// The sender's URI.
        from: String,
        /// The sender's display name.
        display_name: Option<String>,
        /// The body's type, for example `text/plain`.
        content_type: String,
        /// The text. Not for logs.
        text: String,
        /// The Call-ID. A push for the same message has it, too.
        call_id: String,
        /// The id that its sender or its server gave it: `imdn.Message-ID` (RFC 5438) or `X-Push-ID`.
        message_id: Option<String>,
        /// When it was sent, as its sender says, unchecked (RFC 3261 section 20.17, RFC 3862).
        date: Option<String>,
    },
    /// Everything that the app asked for is stored, including commands that were not durable at first.
    Durable,
    /// Something on the network asked for something that the app did not allow, or something may be forged.
    Warning {
        /// The account.
        account: String,
        /// The kind, to branch on.
        kind: WarningKind,
        /// In words: the request, what happened, and what the app can do.
        reason: String,
        /// The realm that the server asked for, if the warning is about one. `accept_realm` takes it.
        realm: Option<String>,
    },
    /// The app's store refused a record, or returned one that cannot be read.
    StoreFailed {
        /// The record's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The app's listener threw. It still gets the next events.
    ListenerFailed {
        /// The error that it threw.
        reason: String,
    },
    /// Something from the network was dropped.
    Discarded {
        /// Why.
        reason: DiscardReason,
        /// How many so far for this reason. The event comes at 1, 2, 4, 8, …
        count: u64,
    },
    /// Events were not read in time and are lost.
    EventsLost {
        /// How many.
        count: u64,
    },
    /// Something that this version of the bindings has no name for.
    Other {
        /// In words.
        description: String,
    },
}

/// Something on the network was refused, or may be forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum WarningKind {
    /// A redirect names a host that the app did not configure for its secrets. Nothing was sent there.
    RedirectRefused,
    /// `X-Sy.AuthURI` names neither the registrar nor the upper server. It is not used.
    AuthUriRefused,
    /// A server asks for another realm than before, over a transport without TLS. The client responded to it.
    RealmChanged,
    /// The server asks for another realm than the one that `X-PIID` is pinned to. The pinned one stays.
    PinnedRealmChanged,
    /// Somebody inside a call asks for credentials. They got none.
    CallChallengeRefused,
    /// The server's proof that it knows the password is wrong.
    ServerProofWrong,
    /// Something that this version of the bindings has no name for.
    Other,
}

impl From<&sipwake::Warning> for WarningKind {
    fn from(warning: &sipwake::Warning) -> Self {
        match warning {
            sipwake::Warning::RedirectRefused { .. } => Self::RedirectRefused,
            sipwake::Warning::AuthUriRefused { .. } => Self::AuthUriRefused,
            sipwake::Warning::RealmChanged { .. } => Self::RealmChanged,
            sipwake::Warning::PinnedRealmChanged { .. } => Self::PinnedRealmChanged,
            sipwake::Warning::CallChallengeRefused { .. } => Self::CallChallengeRefused,
            sipwake::Warning::ServerProofWrong => Self::ServerProofWrong,
            _ => Self::Other,
        }
    }
}

/// A registrar's response to a REGISTER.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Registration {
    /// How long the binding lives, in milliseconds.
    pub expires_ms: u64,
    /// What it says about push.
    pub verdict: Verdict,
    /// The token that calls are pushed to. Not for logs.
    pub token: Option<String>,
    /// The token that alerts are pushed to (iOS). Not for logs.
    pub alert_token: Option<String>,
    /// Our address and port as the server saw them (RFC 3581).
    pub observed_address: Option<String>,
    /// The server's proof of the password is wrong. Somebody may be between the phone and the server.
    pub suspicious_server: bool,
    /// The routes that the registrar gives for our requests outside of dialogs, in order (RFC 3608).
    pub service_route: Vec<String>,
}

/// Whether the app can count on pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Standing {
    /// The server said that it will push.
    Confirmed,
    /// The server accepted the REGISTER and said nothing about push. Many servers that push never say so.
    Unconfirmed,
    /// The server said that it will not push.
    Refused,
    /// The REGISTER did not ask for push.
    NotAsked,
}

/// What a response says about push.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Verdict {
    /// Whether the app can count on pushes.
    pub standing: Standing,
    /// Why, in words.
    pub reason: String,
    /// What a developer can do about it. It is empty if there is nothing to do.
    pub advice: String,
    /// The server's VAPID key, for web push (RFC 8292).
    pub vapid: Option<String>,
    /// How many seconds before expiry an app that wakes itself must refresh at the latest (`+sip.pnsreg`).
    pub refresh_lead_seconds: Option<u32>,
    /// The value for `pn-purr` in the Contact of answered calls (`+sip.pnspurr`).
    pub purr: Option<String>,
    /// The server does not say how long the binding lives. The client refreshes it as if it were the shortest time that
    /// the response allows.
    pub lifetime_unknown: bool,
    /// `X-PIID` was left out because others can read the transport.
    pub piid_withheld: bool,
    /// `X-PIID` went over a transport that others can read, as the app allowed.
    pub piid_in_the_clear: bool,
}

/// Why a registration failed, coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum FailureKind {
    /// The server refused the user name or password. Nothing is sent until the credentials change.
    WrongCredentials,
    /// No response to the server's challenge is possible.
    UnanswerableChallenge,
    /// The server refuses this account. Nothing is sent until the app asks again.
    Refused,
    /// The server responded with an error. Another attempt later may work.
    Answered,
    /// No response in time.
    TimedOut,
    /// No connection to the server, or it broke.
    Unreachable,
    /// The server's certificate was refused. The reason says why.
    Certificate,
    /// The server redirects or challenges the request in a loop.
    Circles,
    /// Any other reason.
    Other,
}

/// Why something from the network was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum DiscardReason {
    /// Not a SIP message.
    Malformed,
    /// A response that none of our requests waits for.
    ForeignResponse,
    /// A request that we cannot respond to.
    StrayRequest,
    /// It came from a flow that is closed.
    DeadFlow,
    /// Too many calls at once.
    TooManyCalls,
    /// A cancel push that names no announced call. It ended nothing.
    StrayCancel,
    /// A request that did not come from the registrar.
    Unsolicited,
    /// Any other reason.
    Other,
}

/// What is known about the bindings of a user who logged out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Removed {
    /// The server no longer lists our Contact, has listed it before, and the Contact carried everything about push.
    Proven,
    /// The server accepted the removal, but the client cannot see its effect.
    Accepted,
    /// Nothing was ever sent to a server, or a server does not know the user and never accepted anything.
    NeverBound,
    /// No server could be reached for 30 days, or there were too many log-outs.
    GivenUp,
}

impl From<sipwake::core::event::Removed> for Removed {
    fn from(removed: sipwake::core::event::Removed) -> Self {
        match removed {
            sipwake::core::event::Removed::Proven => Self::Proven,
            sipwake::core::event::Removed::NeverBound => Self::NeverBound,
            sipwake::core::event::Removed::GivenUp => Self::GivenUp,
            _ => Self::Accepted,
        }
    }
}

impl From<sipwake::Event> for Event {
    fn from(event: sipwake::Event) -> Self {
        match event {
            sipwake::Event::Registered { account, registered } => {
                Self::Registered { account: account.to_string(), registration: registered.into() }
            }
            sipwake::Event::RegistrationFailed { account, failure, retry_in } => Self::RegistrationFailed {
                account: account.to_string(),
                kind: kind(&failure),
                status: status(&failure),
                reason: failure.to_string(),
                retry_in_ms: retry_in.map(milliseconds),
            },
            sipwake::Event::RegisterDelayed { account, wait } => {
                Self::RegisterDelayed { account: account.to_string(), wait_ms: milliseconds(wait) }
            }
            sipwake::Event::Durable => Self::Durable,
            sipwake::Event::DoNotDisturbOver { account } => Self::DoNotDisturbOver { account: account.to_string() },
            sipwake::Event::PushUnopened { why } => Self::PushUnopened { problem: why.into() },
            sipwake::Event::LoggedOut { account, aor, removed } => {
                Self::LoggedOut { account: account.to_string(), aor, removed: removed.into() }
            }
            sipwake::Event::Capabilities { account, status, providers } => {
                Self::Capabilities { account: account.to_string(), status, providers }
            }
            sipwake::Event::Call(call) => Self::Call {
                uuid: call.uuid.to_string(),
                account: call.account.map(|account| account.to_string()),
                change: call.change.into(),
                times: call.times.into(),
            },
            sipwake::Event::Message { account, from, display_name, content_type, text, call_id, message_id, date } => {
                Self::ChatMessage {
                    account: account.to_string(),
                    from,
                    display_name,
                    content_type,
                    text: text.expose().to_owned(),
                    call_id,
                    message_id,
                    date,
                }
            }
            sipwake::Event::Warning { account, warning } => Self::Warning {
                account: account.to_string(),
                kind: (&warning).into(),
                reason: warning.to_string(),
                realm: warning.realm().map(str::to_owned),
            },
            sipwake::Event::StoreFailed { key, reason } => Self::StoreFailed { key, reason },
            sipwake::Event::Discarded { reason, count } => Self::Discarded { reason: reason.into(), count },
            other => Self::Other { description: format!("{other:?}") },
        }
    }
}

pub(crate) fn kind(failure: &Failure) -> FailureKind {
    match failure {
        Failure::WrongCredentials => FailureKind::WrongCredentials,
        Failure::Unanswerable(_) => FailureKind::UnanswerableChallenge,
        Failure::Refused { .. } => FailureKind::Refused,
        Failure::Answered { .. } => FailureKind::Answered,
        Failure::TimedOut => FailureKind::TimedOut,
        Failure::Flow(FlowError::Certificate(_)) => FailureKind::Certificate,
        Failure::Flow(_) => FailureKind::Unreachable,
        Failure::Circles => FailureKind::Circles,
        _ => FailureKind::Other,
    }
}

pub(crate) fn status(failure: &Failure) -> Option<u16> {
    match failure {
        Failure::Refused { code, .. } | Failure::Answered { code, .. } => Some(*code),
        _ => None,
    }
}

impl From<sipwake::Registered> for Registration {
    fn from(registered: sipwake::Registered) -> Self {
        let token = registered.token.as_ref();
        Self {
            expires_ms: milliseconds(registered.expires),
            token: token.and_then(|token| token.call()).map(str::to_owned),
            alert_token: token.and_then(|token| token.alert()).map(str::to_owned),
            verdict: registered.verdict.into(),
            observed_address: registered.observed.map(|address| address.to_string()),
            suspicious_server: registered.suspicious_server,
            service_route: registered.service_route,
        }
    }
}

impl From<sipwake::Verdict> for Verdict {
    fn from(verdict: sipwake::Verdict) -> Self {
        Self {
            standing: match verdict.standing {
                sipwake::Standing::Confirmed => Standing::Confirmed,
                sipwake::Standing::Unconfirmed => Standing::Unconfirmed,
                sipwake::Standing::Refused => Standing::Refused,
                sipwake::Standing::NotAsked => Standing::NotAsked,
            },
            reason: verdict.reason.to_string(),
            advice: verdict.advice.into_owned(),
            vapid: verdict.vapid,
            refresh_lead_seconds: verdict.refresh_lead,
            purr: verdict.purr,
            lifetime_unknown: verdict.lifetime_unknown,
            piid_withheld: verdict.piid_withheld,
            piid_in_the_clear: verdict.piid_in_the_clear,
        }
    }
}

impl From<sipwake::Discard> for DiscardReason {
    fn from(reason: sipwake::Discard) -> Self {
        match reason {
            sipwake::Discard::Malformed => Self::Malformed,
            sipwake::Discard::ForeignResponse => Self::ForeignResponse,
            sipwake::Discard::StrayRequest => Self::StrayRequest,
            sipwake::Discard::DeadFlow => Self::DeadFlow,
            sipwake::Discard::TooManyCalls => Self::TooManyCalls,
            sipwake::Discard::StrayCancel => Self::StrayCancel,
            sipwake::Discard::Unsolicited => Self::Unsolicited,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sipwake::{CallEvent, FlowError, Uuid};

    use super::*;

    fn key() -> sipwake::AccountKey {
        let config = sipwake::AccountConfig::new("alice@example.com", "x");
        sipwake::core::account::Account::parse(config).expect("valid").key()
    }

    #[test]
    fn a_failure_keeps_its_kind_its_status_and_its_phrase() {
        let failure = Failure::Answered { code: 503, reason: "Busy".into() };
        let event =
            sipwake::Event::RegistrationFailed { account: key(), failure, retry_in: Some(Duration::from_millis(1500)) };
        let expected = Event::RegistrationFailed {
            account: key().to_string(),
            kind: FailureKind::Answered,
            status: Some(503),
            reason: "the server responded 503 Busy".into(),
            retry_in_ms: Some(1500),
        };
        assert!(Event::from(event) == expected);
        assert_eq!(kind(&Failure::Flow(FlowError::Closed)), FailureKind::Unreachable);
        let refused = FlowError::Certificate(sipwake::CertificateFault::Expired);
        assert_eq!(kind(&Failure::Flow(refused)), FailureKind::Certificate);
        assert_eq!(kind(&Failure::WrongCredentials), FailureKind::WrongCredentials);
    }

    #[test]
    fn each_event_of_the_store_and_of_log_outs_has_a_name() {
        assert!(Event::from(sipwake::Event::Durable) == Event::Durable);
        let delayed = sipwake::Event::RegisterDelayed { account: key(), wait: Duration::from_secs(7) };
        assert!(Event::from(delayed) == Event::RegisterDelayed { account: key().to_string(), wait_ms: 7000 });
        use sipwake::core::event::Removed as Core;
        for (core, removed) in [
            (Core::Proven, Removed::Proven),
            (Core::Accepted, Removed::Accepted),
            (Core::NeverBound, Removed::NeverBound),
            (Core::GivenUp, Removed::GivenUp),
        ] {
            let event = sipwake::Event::LoggedOut { account: key(), aor: "sip:a@b".into(), removed: core };
            assert!(
                Event::from(event) == Event::LoggedOut { account: key().to_string(), aor: "sip:a@b".into(), removed }
            );
        }
    }

    #[test]
    fn a_call_keeps_its_uuid_and_its_offer() {
        let uuid = Uuid::from_u128(7);
        let change = sipwake::CallChange::Ringing {
            caller: sipwake::Caller { uri: "sip:bob@example.com".into(), display_name: Some("Bob".into()) },
            announced: true,
            offer: Some(sipwake::Offer { content_type: "application/sdp".into(), body: b"v=0".to_vec() }),
        };
        let Event::Call { uuid: converted, account, change, .. } =
            sipwake::Event::Call(CallEvent { uuid, account: None, times: sipwake::CallTimes::default(), change })
                .into()
        else {
            panic!("another event")
        };
        assert_eq!((converted, account), (uuid.to_string(), None));
        let CallChange::Ringing { caller, announced: true, offer: Some(offer) } = change else {
            panic!("another change")
        };
        assert_eq!(caller.display_name.as_deref(), Some("Bob"));
        assert_eq!(offer.body, b"v=0");
    }
}
