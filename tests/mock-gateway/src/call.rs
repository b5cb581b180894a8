//! A call or chat that the mock places: what a test asks for, and how it went.

use std::time::Duration;

use crate::transport::FlowId;

/// When a push wakes a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushWhen {
    /// If its flow is gone, if it was put to sleep, or if it stays silent.
    #[default]
    Asleep,
    /// Always; the request waits for the next REGISTER (as at RFC 8599 proxies).
    Always,
    /// Never.
    Never,
}

/// A moment in the life of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The call was placed.
    Placed,
    /// The first push went out.
    Pushed,
    /// The first INVITE went out.
    Invited,
    /// The first 180 or 183 arrived.
    Ringing,
    /// The 2xx arrived; the planned end is a BYE.
    Answered,
}

/// An end that is planned with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedEnd {
    /// The phase after which it comes.
    pub phase: Phase,
    /// The time after it.
    pub after: Duration,
    /// Whether another phone answered: the CANCEL then carries a Reason (RFC 3326).
    pub elsewhere: bool,
}

/// The properties of a call or chat.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOptions {
    /// The caller's URI.
    pub from: String,
    /// The caller's display name.
    pub display: Option<String>,
    /// The offer, or the text of a chat; `None` sends no body.
    pub body: Option<String>,
    /// Its type.
    pub content_type: String,
    /// How long the callee may ring.
    pub ring_time: Duration,
    /// How long to wait for a sleeping client; `None` for the profile's time.
    pub hold: Option<Duration>,
    /// When to push.
    pub push: PushWhen,
    /// A payload instead of the profile's.
    pub payload: Option<serde_json::Value>,
    /// An end planned ahead.
    pub end: Option<PlannedEnd>,
    /// How many 2xx get no ACK.
    pub lose_acks: u32,
    /// More header fields.
    pub headers: Vec<(String, String)>,
    /// The Call-ID; `None` for a generated one.
    pub call_id: Option<String>,
    /// Whether the mock stays in the path of the dialog.
    pub record_route: bool,
    /// Whether the INVITE to a woken client comes before the 200 of its REGISTER.
    pub before_200: bool,
    /// How long after the 200 the INVITE comes.
    pub invite_delay: Duration,
    /// Whether each INVITE comes twice over different routes (a merged request, RFC 3261, 8.2.2.2).
    pub merged: bool,
    /// Whether the client's requests inside the dialog must carry credentials, as its REGISTERs do.
    pub challenges: bool,
}

impl Default for CallOptions {
    fn default() -> CallOptions {
        CallOptions {
            from: "sip:bob@mock.example".into(),
            display: Some("Bob".into()),
            body: Some(DEFAULT_OFFER.into()),
            content_type: "application/sdp".into(),
            ring_time: Duration::from_secs(30),
            hold: None,
            push: PushWhen::Asleep,
            payload: None,
            end: None,
            lose_acks: 0,
            headers: Vec::new(),
            call_id: None,
            record_route: false,
            before_200: false,
            invite_delay: Duration::ZERO,
            merged: false,
            challenges: false,
        }
    }
}

const DEFAULT_OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                             m=audio 40000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n";

/// The state of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Waiting for a client to wake.
    Held,
    /// An INVITE or MESSAGE is out.
    Calling,
    /// A phone rings.
    Ringing,
    /// A phone answered.
    Answered,
    /// Over: the caller gave up.
    Cancelled,
    /// Over: another phone answered.
    Elsewhere,
    /// Over: it rang for its whole time.
    NoAnswer,
    /// Over: refused with this status.
    Rejected(u16),
    /// Over: no phone could be reached in time.
    Unreachable,
    /// Over: the mock hung up.
    HungUpByCaller,
    /// Over: the client hung up.
    HungUpByCallee,
    /// Over: the chat was accepted.
    Delivered,
}

impl CallState {
    /// What [`as_str`](Self::as_str) can return.
    pub(crate) const NAMES: [&'static str; 12] = [
        "held",
        "calling",
        "ringing",
        "answered",
        "cancelled",
        "elsewhere",
        "no_answer",
        "rejected",
        "unreachable",
        "hung_up_by_caller",
        "hung_up_by_callee",
        "delivered",
    ];

    /// Tells whether nothing more can happen.
    pub fn is_over(self) -> bool {
        !matches!(self, CallState::Held | CallState::Calling | CallState::Ringing | CallState::Answered)
    }

    /// Returns the stable name used by the control port.
    pub fn as_str(self) -> &'static str {
        match self {
            CallState::Held => "held",
            CallState::Calling => "calling",
            CallState::Ringing => "ringing",
            CallState::Answered => "answered",
            CallState::Cancelled => "cancelled",
            CallState::Elsewhere => "elsewhere",
            CallState::NoAnswer => "no_answer",
            CallState::Rejected(_) => "rejected",
            CallState::Unreachable => "unreachable",
            CallState::HungUpByCaller => "hung_up_by_caller",
            CallState::HungUpByCallee => "hung_up_by_callee",
            CallState::Delivered => "delivered",
        }
    }
}

/// A status that a client answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Time since the mock started.
    pub at: Duration,
    /// The method of the request.
    pub method: String,
    /// The status.
    pub status: u16,
    /// The Contact URI it was sent to.
    pub contact: String,
}

/// A call, as a test reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The mock's number for the call.
    pub id: u64,
    /// Its Call-ID.
    pub call_id: String,
    /// The called user.
    pub user: String,
    /// Its state.
    pub state: CallState,
    /// Every response, in order.
    pub responses: Vec<Answered>,
    /// The body of the 2xx.
    pub answer: Option<String>,
    /// How many pushes were sent for it.
    pub pushes: u32,
    /// How many INVITEs or MESSAGEs were sent, without retransmissions.
    pub legs: usize,
    /// When it was placed, since the mock started.
    pub placed: Duration,
    /// When it was answered.
    pub answered: Option<Duration>,
    /// When it ended.
    pub ended: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegState {
    Calling,
    Early,
    Answered,
    Done,
}

/// One fork of a call.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) binding: u64,
    pub(crate) contact: String,
    pub(crate) request_uri: String,
    pub(crate) flow: FlowId,
    pub(crate) via: String,
    pub(crate) branch: String,
    pub(crate) state: LegState,
    pub(crate) status: Option<u16>,
    /// The Reason of a CANCEL that will be sent. It goes out after a provisional response (RFC 3261, 9.1).
    pub(crate) cancel: Option<Option<String>>,
    pub(crate) cancel_sent: bool,
    pub(crate) to: String,
    pub(crate) to_tag: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) local_cseq: u32,
    pub(crate) remote_cseq: u32,
    pub(crate) last_rseq: u32,
}

/// A call, as the mock stores it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) report: CallReport,
    pub(crate) options: CallOptions,
    pub(crate) method: &'static str,
    pub(crate) to_uri: String,
    pub(crate) from: String,
    pub(crate) from_tag: String,
    pub(crate) push_id: String,
    pub(crate) legs: Vec<Leg>,
    pub(crate) pushed: Vec<u64>,
    pub(crate) hold_over: bool,
    pub(crate) rings: bool,
    pub(crate) acks_to_lose: u32,
    /// Requests inside the call that wait for a sleeping client.
    pub(crate) held: Vec<Held>,
}

/// A request inside a call that waits for its client to wake.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) leg: usize,
    pub(crate) method: String,
    pub(crate) body: Option<String>,
}

impl Call {
    pub(crate) fn is_over(&self) -> bool {
        self.report.state.is_over()
    }

    /// Ends a call without sending anything.
    pub(crate) fn abandon(&mut self, at: Duration) {
        if !self.is_over() {
            self.report.state = CallState::Unreachable;
            self.report.ended = Some(at);
        }
    }

    /// Returns the answered leg.
    pub(crate) fn answered_leg(&self) -> Option<usize> {
        self.legs.iter().position(|l| l.state == LegState::Answered)
    }
}
