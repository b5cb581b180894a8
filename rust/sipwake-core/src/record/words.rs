//! What a decision may carry: measured numbers, and words of fixed lists.

use std::time::Duration;

use crate::account::Transport;
use crate::call::Decline;
use crate::digest::Unusable;
use crate::event::{CertificateFault, Discard, Ended, Failure, FlowError, Removed};
use crate::payload::{self, ActionKind, Duty, Ignored, Problem, PushAction};
use crate::push::Standing;
use crate::trust::{RedirectRefusal, Warning};

/// What a decision may carry besides its code: a measured number, or a word of a fixed list. A fact cannot be made from
/// a text, so no name, phone number, token or address gets in.
pub(super) trait Fact: Copy {
    const KIND: Kind;
    fn number(self) -> u32;
}

/// How to read a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How many.
    Count,
    /// A SIP status.
    Status,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// One of these words, each with its number.
    Word(&'static [(u32, &'static str)]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u16);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Milliseconds(pub(crate) Duration);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Fact for Count {
    const KIND: Kind = Kind::Count;
    fn number(self) -> u32 {
        self.0.into()
    }
}

impl Fact for Status {
    const KIND: Kind = Kind::Status;
    fn number(self) -> u32 {
        self.0.into()
    }
}

impl Fact for Milliseconds {
    const KIND: Kind = Kind::Milliseconds;
    fn number(self) -> u32 {
        u32::try_from(self.0.as_millis()).unwrap_or(u32::MAX)
    }
}

impl Fact for Seconds {
    const KIND: Kind = Kind::Seconds;
    fn number(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($variant = $number,)+ }

        impl Fact for $name {
            const KIND: Kind = Kind::Word(&[$(($number, $word),)+]);
            fn number(self) -> u32 {
                self as u32
            }
        }
    )+};
}

words! {
    YesNo { No = 0 "no", Yes = 1 "yes", }
    /// What a push asks for.
    Asks {
        Ring = 1 "ring", Cancel = 2 "cancel", Chat = 3 "chat", Custom = 4 "custom", Refresh = 5 "refresh", Nothing = 6 "nothing",
    }
    /// Why a push asks for nothing.
    Silence {
        None = 0 "none", LoggedOut = 1 "logged-out", CallOver = 2 "call-over", Unreadable = 3 "unreadable", NoAccount = 4 "no-account",
        Unrecognised = 5 "unknown-vendor", TooLarge = 6 "too-large", NotSealed = 7 "not-sealed", Empty = 8 "empty",
        NoRoom = 9 "no-room", DoNotDisturb = 10 "do-not-disturb",
    }
    /// Why a sealed push was not opened.
    Unopened {
        Foreign = 1 "foreign", Torn = 2 "torn", TooLarge = 3 "too-large", Replayed = 4 "replayed", Unreadable = 5 "unreadable",
        KeysUnreadable = 6 "keys-unreadable",
    }
    /// What the system was told.
    Told {
        Nothing = 0 "nothing", ReportCall = 1 "report-call", ReportThenEnd = 2 "report-then-end", Notification = 3 "notification",
        FullScreen = 4 "full-screen-notification", Service = 5 "foreground-service",
    }
    /// Why a push leads to no REGISTER of its own.
    NoRegister {
        NeverRegistered = 1 "never-registered", Stopped = 2 "stopped", Fresh = 3 "fresh-binding", InFlight = 4 "in-flight",
    }
    /// What a REGISTER is for.
    For { Bind = 1 "bind", Remove = 2 "remove", Vacate = 3 "vacate", Query = 4 "query", }
    /// With which answer to a challenge a REGISTER goes out.
    Auth { None = 0 "none", Kept = 1 "kept-nonce", Asked = 2 "challenge", }
    /// What the server says about push.
    Push { Confirmed = 1 "confirmed", Unconfirmed = 2 "unconfirmed", Refused = 3 "refused", NotAsked = 4 "not-asked", }
    Over { Udp = 1 "udp", Tcp = 2 "tcp", Tls = 3 "tls", Ws = 4 "ws", Wss = 5 "wss", }
    /// What went wrong on the way to the server, or there.
    Trouble {
        WrongCredentials = 1 "wrong-credentials", Unanswerable = 2 "unanswerable-challenge", NoServerProof = 3 "no-server-proof",
        Refused = 4 "account-refused", Answered = 5 "refused-for-now", TimedOut = 6 "no-answer", Circles = 7 "circles",
        Unbuildable = 8 "unbuildable", EndlessChallenges = 9 "endless-challenges", TooWeak = 10 "digest-too-weak",
        Downgraded = 11 "digest-downgraded", NoHa1 = 12 "no-ha1", Dns = 20 "dns", Unreachable = 21 "unreachable",
        Closed = 22 "closed", Garbage = 23 "not-sip", Unsupported = 24 "transport-not-built-in", Tls = 25 "tls",
        ClientCertificate = 26 "client-certificate", WebSocket = 27 "websocket", UnknownIssuer = 30 "certificate-issuer",
        WrongName = 31 "certificate-name", OnlyCommonName = 32 "certificate-common-name", Authority = 33 "certificate-authority",
        Expired = 34 "certificate-expired", NotYetValid = 35 "certificate-not-yet-valid", Revoked = 36 "certificate-revoked",
        Pin = 37 "certificate-pin", Platform = 38 "certificate-platform", OtherCertificate = 39 "certificate-broken",
        WildcardName = 40 "certificate-wildcard",
    }
    /// How a call ended.
    End {
        Cancelled = 1 "cancelled", AnsweredElsewhere = 2 "answered-elsewhere", DeclinedElsewhere = 3 "declined-elsewhere",
        Declined = 4 "declined", HungUpByCaller = 5 "hung-up-by-caller", HungUp = 6 "hung-up", Failed = 7 "failed", Missed = 8 "missed",
        Unanswered = 9 "unanswered", LoggedOut = 10 "logged-out", NoCall = 11 "no-call",
    }
    /// What is known of what was removed.
    Gone { Proven = 1 "proven", Accepted = 2 "accepted", NeverBound = 3 "never-bound", GivenUp = 4 "given-up", }
    /// What was dropped.
    Dropped {
        Malformed = 1 "malformed", ForeignResponse = 2 "foreign-response", StrayRequest = 3 "stray-request", DeadFlow = 4 "dead-flow",
        Unsolicited = 5 "past-the-registrar", TooManyCalls = 6 "too-many-calls",
        StrayCancel = 7 "stray-cancel",
    }
    /// Something on the network was refused, or may be forged.
    Distrust {
        ForeignHost = 1 "redirect-to-foreign-host", Unauthenticated = 2 "redirect-in-the-clear", Weaker = 3 "redirect-to-weaker-transport",
        Maddr = 4 "redirect-by-maddr", AuthUri = 5 "auth-uri", Realm = 6 "realm-changed", PinnedRealm = 7 "pinned-realm-changed",
        CallChallenge = 8 "challenge-in-call", ServerProof = 9 "wrong-server-proof",
    }
    Sign { Answer = 1 "answer", Pong = 2 "pong", }
    How { Everywhere = 1 "everywhere", Busy = 2 "busy", }
}

impl Auth {
    /// Whether a request answers a challenge, or uses the nonce of an earlier one without waiting for a challenge.
    pub(crate) fn of(challenged: bool, ahead: bool) -> Self {
        match (challenged, ahead) {
            (true, _) => Self::Asked,
            (_, true) => Self::Kept,
            _ => Self::None,
        }
    }
}

impl From<bool> for YesNo {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl From<Transport> for Over {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
            Transport::Tls => Self::Tls,
            Transport::Ws => Self::Ws,
            Transport::Wss => Self::Wss,
        }
    }
}

impl From<Standing> for Push {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Confirmed => Self::Confirmed,
            Standing::Unconfirmed => Self::Unconfirmed,
            Standing::Refused => Self::Refused,
            Standing::NotAsked => Self::NotAsked,
        }
    }
}

impl From<Removed> for Gone {
    fn from(removed: Removed) -> Self {
        match removed {
            Removed::Proven => Self::Proven,
            Removed::Accepted => Self::Accepted,
            Removed::NeverBound => Self::NeverBound,
            Removed::GivenUp => Self::GivenUp,
        }
    }
}

impl From<Discard> for Dropped {
    fn from(discard: Discard) -> Self {
        match discard {
            Discard::Malformed => Self::Malformed,
            Discard::ForeignResponse => Self::ForeignResponse,
            Discard::StrayRequest => Self::StrayRequest,
            Discard::DeadFlow => Self::DeadFlow,
            Discard::Unsolicited => Self::Unsolicited,
            Discard::TooManyCalls => Self::TooManyCalls,
            Discard::StrayCancel => Self::StrayCancel,
        }
    }
}

impl From<&Warning> for Distrust {
    fn from(warning: &Warning) -> Self {
        match warning {
            Warning::RedirectRefused { why, .. } => match why {
                RedirectRefusal::ForeignHost => Self::ForeignHost,
                RedirectRefusal::Unauthenticated => Self::Unauthenticated,
                RedirectRefusal::WeakerTransport => Self::Weaker,
                RedirectRefusal::Maddr => Self::Maddr,
            },
            Warning::AuthUriRefused { .. } => Self::AuthUri,
            Warning::RealmChanged { .. } => Self::Realm,
            Warning::PinnedRealmChanged { .. } => Self::PinnedRealm,
            Warning::CallChallengeRefused { .. } => Self::CallChallenge,
            Warning::ServerProofWrong => Self::ServerProof,
        }
    }
}

impl From<Decline> for How {
    fn from(how: Decline) -> Self {
        match how {
            Decline::Everywhere => Self::Everywhere,
            Decline::Busy => Self::Busy,
        }
    }
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Cancelled => Self::Cancelled,
            Ended::AnsweredElsewhere => Self::AnsweredElsewhere,
            Ended::DeclinedElsewhere => Self::DeclinedElsewhere,
            Ended::Declined => Self::Declined,
            Ended::HungUpByCaller => Self::HungUpByCaller,
            Ended::HungUp => Self::HungUp,
            Ended::Failed(_) => Self::Failed,
            Ended::Missed => Self::Missed,
            Ended::Unanswered => Self::Unanswered,
            Ended::LoggedOut => Self::LoggedOut,
            Ended::NoCall => Self::NoCall,
        }
    }
}

impl From<&FlowError> for Trouble {
    fn from(error: &FlowError) -> Self {
        match error {
            FlowError::Unresolved => Self::Dns,
            FlowError::Unreachable(_) => Self::Unreachable,
            FlowError::Closed => Self::Closed,
            FlowError::Garbage => Self::Garbage,
            FlowError::Unsupported => Self::Unsupported,
            FlowError::ClientCertificate(_) => Self::ClientCertificate,
            FlowError::Tls(_) => Self::Tls,
            FlowError::WebSocket(_) => Self::WebSocket,
            FlowError::Certificate(fault) => match fault {
                CertificateFault::UnknownIssuer => Self::UnknownIssuer,
                CertificateFault::WrongName => Self::WrongName,
                CertificateFault::OnlyCommonName => Self::OnlyCommonName,
                CertificateFault::Wildcard => Self::WildcardName,
                CertificateFault::Authority => Self::Authority,
                CertificateFault::Expired => Self::Expired,
                CertificateFault::NotYetValid => Self::NotYetValid,
                CertificateFault::Revoked => Self::Revoked,
                CertificateFault::PinMismatch => Self::Pin,
                CertificateFault::Platform(_) => Self::Platform,
                CertificateFault::Other(_) => Self::OtherCertificate,
            },
        }
    }
}

impl From<&Failure> for Trouble {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::WrongCredentials => Self::WrongCredentials,
            Failure::Unanswerable(Unusable::NoServerProof) => Self::NoServerProof,
            Failure::Unanswerable(Unusable::EndlessChallenges) => Self::EndlessChallenges,
            Failure::Unanswerable(Unusable::TooWeak { .. }) => Self::TooWeak,
            Failure::Unanswerable(Unusable::Downgraded { .. }) => Self::Downgraded,
            Failure::Unanswerable(Unusable::NoHa1 { .. }) => Self::NoHa1,
            Failure::Unanswerable(_) => Self::Unanswerable,
            Failure::Refused { .. } => Self::Refused,
            Failure::Answered { .. } => Self::Answered,
            Failure::TimedOut => Self::TimedOut,
            Failure::Circles => Self::Circles,
            Failure::Unbuildable => Self::Unbuildable,
            Failure::Flow(error) => error.into(),
        }
    }
}

impl From<&ActionKind> for Asks {
    fn from(kind: &ActionKind) -> Self {
        match kind {
            ActionKind::IncomingCall { .. } => Self::Ring,
            ActionKind::Cancel => Self::Cancel,
            ActionKind::Chat { .. } => Self::Chat,
            ActionKind::Custom { .. } => Self::Custom,
            ActionKind::RefreshBinding => Self::Refresh,
            ActionKind::Ignore { .. } => Self::Nothing,
        }
    }
}

impl Silence {
    /// Why a push asks for nothing, or why nothing in it was believed. `nobody` means that nobody is logged in.
    pub(super) fn of(action: &PushAction, nobody: bool) -> Self {
        let reason = match &action.kind {
            ActionKind::Ignore { reason } => reason,
            _ if matches!(action.problem, Some(Problem::NotSealed | Problem::Unopened(_))) => return Self::NotSealed,
            _ => return Self::None,
        };
        match reason {
            Ignored::LoggedOut if nobody => Self::NoAccount,
            Ignored::LoggedOut => Self::LoggedOut,
            Ignored::CallOver => Self::CallOver,
            Ignored::DoNotDisturb => Self::DoNotDisturb,
            Ignored::NoRoom => Self::NoRoom,
            Ignored::Problem(Problem::Empty) => Self::Empty,
            Ignored::Problem(Problem::Unreadable) => Self::Unreadable,
            Ignored::Problem(Problem::TooLarge) => Self::TooLarge,
            Ignored::Problem(Problem::Unrecognised) => Self::Unrecognised,
            Ignored::Problem(Problem::NotSealed | Problem::Unopened(_)) => Self::NotSealed,
        }
    }
}

impl From<payload::Unopened> for Unopened {
    fn from(why: payload::Unopened) -> Self {
        match why {
            payload::Unopened::Foreign => Self::Foreign,
            payload::Unopened::Torn => Self::Torn,
            payload::Unopened::TooLarge => Self::TooLarge,
            payload::Unopened::Replayed => Self::Replayed,
            payload::Unopened::Unreadable => Self::Unreadable,
            payload::Unopened::KeysUnreadable => Self::KeysUnreadable,
        }
    }
}

impl From<Duty> for Told {
    fn from(duty: Duty) -> Self {
        match duty {
            Duty::ReportCall => Self::ReportCall,
            Duty::ReportThenEnd => Self::ReportThenEnd,
            Duty::ShowNotification { full_screen: false } => Self::Notification,
            Duty::ShowNotification { full_screen: true } => Self::FullScreen,
            Duty::StartForegroundService => Self::Service,
            Duty::Nothing => Self::Nothing,
        }
    }
}
