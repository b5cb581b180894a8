//! The events for the app, and the work for the driver.

use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::account::{AccountKey, Hop, Transport};
use crate::clock::Now;
use crate::digest::Unusable;
use crate::payload::Unopened;
use crate::push::{PushToken, Verdict};
use crate::snapshot::Record;
pub use crate::trust::{RedirectRefusal, Warning};

/// Names one flow: a connection, or a UDP socket towards one peer (RFC 5626 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

impl FlowId {
    /// From here on the driver gives names to former connections of flows that moved to another address.
    pub const FIRST_LEFT: Self = Self(1 << 63);
}

/// One complete piece of work for the driver. Do them in the order in which they come: a record is stored before
/// anything that depends on it is sent.
#[derive(Debug)]
pub enum Output {
    /// Store this record, or remove it, and report the result
    /// ([`handle_saved`](crate::user_agent::UserAgent::handle_saved)).
    Save(Record),
    /// Read the record under this key again, and hand it in ([`handle_loaded`](crate::user_agent::UserAgent::handle_loaded)).
    Load(String),
    /// Open a flow, then report it up or down.
    Open {
        /// Its name from now on.
        flow: FlowId,
        /// Where to.
        hop: Hop,
        /// The local port to use if it is free, so that the Contact stays the same.
        local_port: Option<u16>,
    },
    /// Close a flow. Nothing more is reported about it.
    Close(FlowId),
    /// Move a flow to the server's next address (RFC 3263 section 4.3), then report it up or down.
    NextAddress(FlowId),
    /// Over UDP: whether the app wants datagrams from other addresses than the flow's peer.
    HearPeers {
        /// On the port of this flow.
        flow: FlowId,
        /// From here on.
        wanted: bool,
    },
    /// Send these bytes.
    Transmit {
        /// On this flow.
        flow: FlowId,
        /// The flow's transport.
        transport: Transport,
        /// Over UDP, the address to send to if that is not the flow's peer.
        to: Option<SocketAddr>,
        /// One message, or a keep-alive.
        bytes: Vec<u8>,
    },
    /// Show this received message in a trace. Only after [`trace_received`](crate::user_agent::UserAgent::trace_received).
    Received {
        /// The flow that it came on.
        flow: FlowId,
        /// Over UDP, its sender if that is not the flow's peer.
        from: Option<SocketAddr>,
        /// One whole message with its secrets.
        bytes: Vec<u8>,
    },
    /// Tell the app.
    Event(Box<Event>),
}

/// Something that an app should know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The registrar accepted a REGISTER.
    Registered {
        /// The account.
        account: AccountKey,
        /// The registrar's response.
        registered: Registered,
    },
    /// A REGISTER, or the connection to the registrar, failed.
    RegistrationFailed {
        /// The account.
        account: AccountKey,
        /// Why.
        failure: Failure,
        /// The time until the next attempt. `None` means that there is none before the app changes something.
        retry_in: Option<Duration>,
    },
    /// Too many pushes came, and the next REGISTER waits: six are sent at once, one more every ten seconds.
    RegisterDelayed {
        /// The account.
        account: AccountKey,
        /// For how long.
        wait: Duration,
    },
    /// Do not disturb is over: the push binding is being made again.
    DoNotDisturbOver {
        /// The account.
        account: AccountKey,
    },
    /// A push was sealed and could not be opened. It is silent, or over PushKit a call from an unknown caller.
    PushUnopened {
        /// Why.
        why: Unopened,
    },
    /// A log-out is over. `removed` says what the server's response proves. With several gateways it is the weakest
    /// result.
    LoggedOut {
        /// The account.
        account: AccountKey,
        /// The address of record, since the account itself is gone.
        aor: String,
        /// What is known about its bindings.
        removed: Removed,
    },
    /// A capability query was answered (RFC 8599 section 4.1.5).
    Capabilities {
        /// The account.
        account: AccountKey,
        /// The response's status: 555 when the provider asked for is not supported.
        status: u16,
        /// The providers that the server named.
        providers: Vec<String>,
    },
    /// A call was announced, arrived, changed or ended.
    Call(CallEvent),
    /// A MESSAGE arrived (RFC 3428).
    Message {
        /// The account.
        account: AccountKey,
        /// The sender's URI.
        from: String,
        /// The sender's display name.
        display_name: Option<String>,
        /// The body's type, for example `text/plain`.
        content_type: String,
        /// The text. It is never logged.
        text: crate::redact::Secret,
        /// The Call-ID. A push for the same message has it, too.
        call_id: String,
        /// The id that its sender or its server gave it: `imdn.Message-ID` (RFC 5438) or `X-Push-ID`.
        message_id: Option<String>,
        /// When it was sent, as its `Date` (RFC 3261 section 20.17) or `DateTime` (RFC 3862) says, unchecked.
        date: Option<String>,
    },
    /// Something on the network asked for something that the app did not allow, or something may be forged. Its text
    /// says what the app can do.
    Warning {
        /// The account.
        account: AccountKey,
        /// The kind.
        warning: Warning,
    },
    /// Everything that the app asked for is stored, including commands that were not durable at first.
    Durable,
    /// The store refused a record, or gave back one that cannot be read.
    StoreFailed {
        /// The record's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Something from the network was dropped.
    Discarded {
        /// Why.
        reason: Discard,
        /// How many so far for this reason.
        count: u64,
    },
}

/// What is known about the bindings of a user who logged out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Removed {
    /// The server no longer lists our Contact, has listed it before, and the Contact carried everything about push.
    Proven,
    /// The server accepted the removal, and its effect cannot be seen.
    Accepted,
    /// Nothing was ever sent to a server, or a server that never accepted anything does not know the user.
    NeverBound,
    /// No server could be reached for 30 days, or there were too many log-outs. The bindings have expired, or will
    /// expire.
    GivenUp,
}

/// A registrar's response to a REGISTER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// How long the binding lives.
    pub expires: Duration,
    /// What the response says about push.
    pub verdict: Verdict,
    /// The push token that the binding carries.
    pub token: Option<PushToken>,
    /// Our Contact URI as it was sent. Holds tokens: not for logs.
    pub contact: crate::redact::Secret,
    /// Our address as the server saw it (`received` and `rport`, RFC 3581).
    pub observed: Option<SocketAddr>,
    /// The proxies that the registrar wants requests outside of dialogs to pass, in this order, each as a `Route` value
    /// (`Service-Route`, RFC 3608): for an app that sends some through another stack. sipwake itself sends none.
    pub service_route: Vec<String>,
    /// The server's proof in `Authentication-Info` is wrong: somebody may be between.
    pub suspicious_server: bool,
}

/// Why a registration failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A new response to a challenge was refused. Nothing is sent until the credentials change.
    #[error("the server refused the user name or password")]
    WrongCredentials,
    /// No response to the challenge is possible.
    #[error("sipwake cannot respond to the server's challenge: {0}")]
    Unanswerable(#[from] Unusable),
    /// 403, 404, 604 and similar. Nothing is sent until the app asks again.
    #[error("the server refuses this account: {code} {reason}")]
    Refused {
        /// The status.
        code: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// Another final response. Another attempt later may work.
    #[error("the server responded {code} {reason}")]
    Answered {
        /// The status.
        code: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// No answer within 32 seconds (Timer F).
    #[error("the server did not respond")]
    TimedOut,
    /// The flow could not be opened, or broke.
    #[error("the flow to the server failed: {0}")]
    Flow(FlowError),
    /// More redirects, challenges or corrections than a registration can need.
    #[error("the server redirects or challenges the request in a loop")]
    Circles,
    /// A message could not be built. This is a bug, reported instead of a crash.
    #[error("the REGISTER cannot be built")]
    Unbuildable,
}

/// Why a flow could not be opened, or broke.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The name has no address.
    #[error("no address for the server's name")]
    Unresolved,
    /// Nothing listens there, or there is no network.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The peer closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The peer sent something that is not SIP, and the connection was closed.
    #[error("the server sent something that is not SIP")]
    Garbage,
    /// This build does not have the transport.
    #[error("the transport is not built in")]
    Unsupported,
    /// The server's certificate is not trusted. Nothing was sent to it.
    #[error("the server's certificate: {0}")]
    Certificate(CertificateFault),
    /// The server wants a client certificate, wants another one, or does not trust it.
    #[error("the server refuses our certificate: {0}")]
    ClientCertificate(String),
    /// TLS could not be set up, or broke.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server did not accept SIP over WebSocket (RFC 7118).
    #[error("WebSocket: {0}")]
    WebSocket(String),
}

/// Why a server's certificate is not trusted.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// No authority that we trust has issued it.
    #[error("issued by an authority that is not trusted")]
    UnknownIssuer,
    /// It is for another name than the account's.
    #[error("not for this name")]
    WrongName,
    /// It names its server only by the subject's common name, which TLS libraries no longer read.
    #[error(
        "it names its server by a common name (CN) alone, which counts no more: issue it with a subjectAltName, with openssl by \
         -addext subjectAltName=DNS:<the server's name>"
    )]
    OnlyCommonName,
    /// It names its server only by a wildcard, and the app refuses wildcards (RFC 5922 section 7.2).
    #[error(
        "it names its server by a wildcard, which the app refuses (RFC 5922 section 7.2): issue it with the server's own name as \
         subjectAltName, or allow wildcards"
    )]
    Wildcard,
    /// It is an authority's own certificate, not a server's.
    #[error(
        "it is an authority's own (CA:TRUE), as `openssl req -x509` makes them: issue the server one with CA:FALSE, with openssl \
         by -addext basicConstraints=critical,CA:FALSE"
    )]
    Authority,
    /// It is no longer valid.
    #[error("expired")]
    Expired,
    /// It is not valid yet. Often the device's clock is wrong.
    #[error("not valid yet")]
    NotYetValid,
    /// Its issuer has revoked it.
    #[error("revoked")]
    Revoked,
    /// The app has not pinned its key.
    #[error("its key is not one of the pinned keys")]
    PinMismatch,
    /// The platform's trust manager refused it.
    #[error("refused by the platform: {0}")]
    Platform(String),
    /// It, or what was signed with it, is broken in another way.
    #[error("{0}")]
    Other(String),
}

/// Why something from the network was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Discard {
    /// Not a SIP message.
    #[error("not a SIP message")]
    Malformed,
    /// A response that none of our requests waits for.
    #[error("a response that no request waits for")]
    ForeignResponse,
    /// A request that cannot be answered, such as an ACK that fits no call.
    #[error("a request that fits no call and no transaction")]
    StrayRequest,
    /// It came from a flow that is closed.
    #[error("a message on a closed flow")]
    DeadFlow,
    /// It came from an address that is not the registrar's.
    #[error("a message that did not come from the registrar")]
    Unsolicited,
    /// Too many calls at once.
    #[error("too many calls at once")]
    TooManyCalls,
    /// A cancel push that names no announced call, or a call whose INVITE is here under another id. It ends nothing.
    /// Somebody who learnt the token can send such pushes. A gateway sends them, too, if its INVITE has another Call-ID
    /// than its push. It ends the call by SIP.
    #[error("a cancel push that names no announced call")]
    StrayCancel,
}

/// A call, and what just happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// The call's id for the operating system, the same for its push and its INVITE.
    pub uuid: Uuid,
    /// The account, when it is known.
    pub account: Option<AccountKey>,
    /// When it reached each stage so far.
    pub times: CallTimes,
    /// The change.
    pub change: CallChange,
}

/// When a call reached each of its stages, on both clocks: the difference of two boot times is a duration, the wall time
/// is for the call log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTimes {
    /// A push announced it.
    pub announced: Option<Now>,
    /// Its INVITE came.
    pub ringing: Option<Now>,
    /// The user answered: the 200 was sent.
    pub answered: Option<Now>,
    /// The caller's ACK came: both sides can talk.
    pub connected: Option<Now>,
    /// It ended.
    pub ended: Option<Now>,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallChange {
    /// A push announced it. The INVITE is on its way.
    Announced(Caller),
    /// The INVITE is here: the phone can ring. `announced` says whether a push came before.
    Ringing {
        /// Who calls.
        caller: Caller,
        /// Whether a push had announced this call.
        announced: bool,
        /// The INVITE's body type and body, for the app's media engine.
        offer: Option<Offer>,
    },
    /// The user answered before the INVITE came, and the INVITE is here now. The app accepts it with its session
    /// description, without asking the user again.
    AnswerWanted {
        /// Who calls.
        caller: Caller,
        /// The caller's offer. `None` means that the caller wants our offer.
        offer: Option<Offer>,
    },
    /// A later push or request names the caller better than before.
    CallerChanged(Caller),
    /// The ACK came: the call is up (on iOS, `CXAnswerCallAction` is fulfilled now).
    Connected {
        /// The caller's answer, if the INVITE had no offer and ours was sent.
        answer: Option<Answer>,
    },
    /// The caller offers other media. The app responds with its answer, or refuses, within 20 seconds. After that the
    /// offer counts as refused.
    Offered {
        /// The new offer. `None` means that the caller wants our offer.
        offer: Option<Offer>,
    },
    /// The caller answered the offer that the app gave to an [`Offered`](Self::Offered) without one.
    Answered(Answer),
    /// The caller asks for something that only the app can do.
    Asked(CallRequest),
    /// The caller hangs up and says why in `Reason` (RFC 3326). [`Ended`](Self::Ended) follows.
    Reason(String),
    /// It is over.
    Ended(Ended),
}

/// A caller's request to the app inside a call, by INFO (RFC 6086) or REFER (RFC 3515).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    /// Its name towards [`respond_request`](crate::user_agent::UserAgent::respond_request).
    pub id: u64,
    /// Whether it waits for the app's response, for ten seconds, as
    /// [`take_call_requests`](crate::user_agent::UserAgent::take_call_requests) says. Otherwise it was refused.
    pub awaits_response: bool,
    /// The kind of request.
    pub kind: RequestKind,
}

/// The kinds of a caller's requests to the app.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestKind {
    /// A digit was dialled: `0` to `9`, `A` to `D`, `*`, `#` or `!` (flash).
    Digit {
        /// The digit.
        digit: char,
        /// For how long, if the caller says so.
        duration: Option<Duration>,
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
        /// The URI to call, as in `Refer-To`, with its header fields (`?Replaces=`).
        to: String,
        /// Who asks for it, by `Referred-By`.
        by: Option<String>,
    },
}

impl std::fmt::Debug for RequestKind {
    /// Digits can be a PIN.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digit { .. } => f.write_str("Digit"),
            Self::Info { content_type, body, .. } => write!(f, "Info({content_type}, {} bytes)", body.len()),
            Self::Refer { to, .. } => write!(f, "Refer({to:?})"),
        }
    }
}

/// The other half of an [`Offer`], equally opaque.
pub type Answer = Offer;

/// A session description, as opaque text.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// For example `application/sdp`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Offer {
    /// Returns a description of the type `application/sdp`.
    pub fn sdp(text: impl Into<Vec<u8>>) -> Self {
        Self { content_type: "application/sdp".to_owned(), body: text.into() }
    }
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offer({}, {} bytes)", self.content_type, self.body.len())
    }
}

/// Who calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The caller's URI or number.
    pub uri: String,
    /// The name to show.
    pub display_name: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
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
    Failed(u16),
    /// The announced INVITE never came.
    Missed,
    /// It rang until its time limit.
    Unanswered,
    /// The user logged out.
    LoggedOut,
    /// There was no call: the push woke the phone for a request inside a call that continues (RFC 8599 section 6).
    NoCall,
}
