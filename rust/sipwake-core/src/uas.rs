//! The server's side of a transaction: what is answered to requests that come in on a registered flow
//! (RFC 3261 section 17.2).

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use crate::event::FlowId;
use crate::registration::ALLOW;
use crate::sip::{Builder, Message};
use crate::transaction::{T1, T2};

/// Answers kept for retransmitted requests; the oldest goes first.
const MAX_ANSWERS: usize = 64;
/// How long a phone rings at most, unless the INVITE's `Expires` says less.
const MAX_RINGING: Duration = Duration::from_secs(180);
/// Types of bodies that are read.
pub(crate) const ACCEPT: &str = "application/sdp, text/plain";

/// RFC 3261 17.2.3: the branch, the sent-by and the method; an ACK or CANCEL has its INVITE's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionKey(String);

impl TransactionKey {
    pub(crate) fn of(request: &Message) -> Option<Self> {
        let via = request.via()?;
        let method = match request.method()?.as_str() {
            "ACK" | "CANCEL" => "INVITE",
            method => method,
        };
        let branch = via.branch()?;
        // Before RFC 3261 branches were not unique: there the whole request is its own name.
        if branch.starts_with("z9hG4bK") {
            return Some(Self(format!("{branch} {} {:?} {method}", via.host, via.port)));
        }
        let cseq = request.cseq()?.seq;
        Some(Self(format!(
            "{} {:?} {cseq} {method}",
            request.call_id()?,
            request.from().and_then(|from| from.tag().map(str::to_owned))
        )))
    }
}

/// The answers given to requests other than INVITE, for the time in which these may come again (timer J).
#[derive(Debug, Default)]
pub(crate) struct Answers {
    given: VecDeque<(TransactionKey, Vec<u8>, Duration)>,
}

impl Answers {
    pub(crate) fn find(&self, key: &TransactionKey, now: Duration) -> Option<&[u8]> {
        let found = self.given.iter().find(|(known, _, until)| known == key && *until > now);
        found.map(|(_, bytes, _)| bytes.as_slice())
    }

    pub(crate) fn keep(&mut self, key: TransactionKey, bytes: Vec<u8>, now: Duration) {
        self.given.retain(|(_, _, until)| *until > now);
        if self.given.len() >= MAX_ANSWERS {
            self.given.pop_front();
        }
        self.given.push_back((key, bytes, now + 64 * T1));
    }
}

/// An INVITE that rings, or whose refusal waits for its ACK.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(crate) key: TransactionKey,
    pub(crate) flow: FlowId,
    /// The call's name; `None` for an INVITE that is refused unheard.
    pub(crate) uuid: Option<Uuid>,
    request: Message,
    to_tag: String,
    reliable: bool,
    last: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Proceeding: it rings until this time.
    Ringing { until: Duration },
    /// Completed: timer G repeats the answer, timer H gives up on the ACK.
    Refused { repeat_at: Option<Duration>, interval: Duration, until: Duration },
    /// Confirmed: timer I swallows repeated ACKs.
    Confirmed { until: Duration },
}

/// What a timer of an INVITE asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InvitationDue {
    /// Send the last answer again.
    Repeat,
    /// It rang for long enough.
    Unanswered,
    /// It is over.
    Done,
}

impl Invitation {
    pub(crate) fn new(
        key: TransactionKey,
        flow: FlowId,
        uuid: Option<Uuid>,
        request: Message,
        to_tag: String,
        reliable: bool,
        now: Duration,
    ) -> Self {
        let rings = request.expires().map_or(MAX_RINGING, |seconds| Duration::from_secs(u64::from(seconds)));
        let until = now + rings.min(MAX_RINGING).max(Duration::from_secs(1));
        Self { key, flow, uuid, request, to_tag, reliable, last: Vec::new(), state: State::Ringing { until } }
    }

    pub(crate) fn is_ringing(&self) -> bool {
        matches!(self.state, State::Ringing { .. })
    }

    /// RFC 3261 8.2.2.2: the same request on another way.
    pub(crate) fn is_same_request(&self, other: &Message) -> bool {
        let tag = |message: &Message| message.from().and_then(|from| from.tag().map(str::to_owned));
        self.request.call_id() == other.call_id()
            && self.request.cseq().map(|cseq| cseq.seq) == other.cseq().map(|cseq| cseq.seq)
            && tag(&self.request) == tag(other)
    }

    /// Builds a provisional answer.
    pub(crate) fn provisional(&mut self, code: u16, phrase: &str, contact: Option<&str>) -> Option<Vec<u8>> {
        let tag = (code > 100).then_some(self.to_tag.as_str());
        let mut builder = Builder::response(&self.request, code, phrase, tag);
        if code > 100 {
            if let Some(contact) = contact {
                builder = builder.header("Contact", contact);
            }
            builder = builder.header("Allow", ALLOW);
        }
        self.last = builder.finish().ok()?;
        Some(self.last.clone())
    }

    /// Builds a final refusal, which is repeated over UDP until its ACK comes.
    pub(crate) fn refuse(&mut self, code: u16, phrase: &str, extra: &[(&str, &str)], now: Duration) -> Option<Vec<u8>> {
        let mut builder = Builder::response(&self.request, code, phrase, Some(&self.to_tag));
        for (name, value) in extra {
            builder = builder.header(name, value);
        }
        self.last = builder.finish().ok()?;
        self.state =
            State::Refused { repeat_at: (!self.reliable).then_some(now + T1), interval: T1, until: now + 64 * T1 };
        Some(self.last.clone())
    }

    /// Returns the answer to a retransmitted INVITE; once it is acknowledged, none.
    pub(crate) fn repeated(&self) -> Option<Vec<u8>> {
        (!matches!(self.state, State::Confirmed { .. }) && !self.last.is_empty()).then(|| self.last.clone())
    }

    /// Takes the ACK of a refusal. Returns `false` for one that comes before there is anything to acknowledge.
    pub(crate) fn acknowledged(&mut self, now: Duration) -> bool {
        if self.is_ringing() {
            return false;
        }
        // Timer I: T4 over UDP, nothing over TCP (17.2.1).
        let linger = if self.reliable { Duration::ZERO } else { crate::transaction::T4 };
        self.state = State::Confirmed { until: now + linger };
        true
    }

    pub(crate) fn timeout(&self) -> (Duration, &'static str) {
        match self.state {
            State::Ringing { until } => (until, "ringing"),
            State::Refused { repeat_at, until, .. } => match repeat_at {
                Some(at) if at < until => (at, "answer's retransmission (timer G)"),
                _ => (until, "missing ACK (timer H)"),
            },
            State::Confirmed { until } => (until, "repeated ACKs (timer I)"),
        }
    }

    pub(crate) fn due(&mut self, now: Duration) -> Option<InvitationDue> {
        match &mut self.state {
            State::Ringing { until } => (now >= *until).then_some(InvitationDue::Unanswered),
            State::Refused { until, .. } if now >= *until => Some(InvitationDue::Done),
            State::Refused { repeat_at: Some(at), interval, .. } if now >= *at => {
                *interval = (*interval * 2).min(T2);
                *at = now + *interval;
                Some(InvitationDue::Repeat)
            }
            State::Refused { .. } => None,
            State::Confirmed { until } => (now >= *until).then_some(InvitationDue::Done),
        }
    }

    pub(crate) fn last(&self) -> Vec<u8> {
        self.last.clone()
    }

    pub(crate) fn request(&self) -> &Message {
        &self.request
    }
}
