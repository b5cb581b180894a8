//! The INVITE server transaction: RFC 3261 section 17.2.1 with the `Accepted` state of RFC 6026, the retransmission of
//! 2xx (RFC 3261 section 13.3.1.4) and reliable provisional responses (RFC 3262).

use std::time::Duration;

use uuid::Uuid;

use super::uas::TransactionKey;
use crate::account::AccountKey;
use crate::call::Progress;
use crate::outbox::Destination;
use crate::sip::Message;
use crate::transaction::{T1, T2, T4};

/// What an INVITE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is refused and does nothing.
    Refused,
    /// It makes this call ring.
    Ring(Uuid),
    /// It offers other media inside this call.
    Change(Uuid),
}

/// An INVITE, from its arrival until it cannot come again.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(crate) key: TransactionKey,
    pub(crate) destination: Destination,
    pub(crate) account: AccountKey,
    pub(crate) purpose: Purpose,
    /// What its caller should get: 180 or 183.
    pub(crate) progress: Progress,
    pub(crate) request: Message,
    pub(crate) to_tag: String,
    /// The last response could not be sent, because there was no flow.
    pub(crate) unsent: bool,
    reliable: bool,
    last: Vec<u8>,
    provisional: Option<Reliable>,
    last_rseq: Option<u32>,
    /// What its caller got: 180 or 183.
    said: Progress,
    state: State,
}

/// A provisional response that waits for its PRACK.
#[derive(Debug)]
struct Reliable {
    rseq: u32,
    repeat: Repeat,
}

/// A message that is sent again at growing intervals, until it is given up.
#[derive(Debug)]
struct Repeat {
    at: Option<Duration>,
    interval: Duration,
    longest: Duration,
    until: Duration,
}

#[derive(Debug)]
enum State {
    /// It rings, or the app decides, until this time.
    Proceeding { until: Duration },
    /// Timer G repeats the refusal, timer H gives up on its ACK.
    Refused(Repeat),
    /// The 2xx is repeated until its ACK comes, over any transport.
    Accepted { repeat: Repeat, acknowledged: bool },
    /// Timer I swallows repeated ACKs.
    Confirmed { until: Duration },
}

/// What an INVITE's timer asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send the last response again.
    Repeat,
    /// It rang for long enough, or the app did not answer an offer in time.
    Unanswered,
    /// A reliable provisional response was never acknowledged (RFC 3262 section 3).
    NoPrack,
    /// The 2xx was never acknowledged (RFC 3261 section 13.3.1.4).
    NoAck,
    /// It is over.
    Done,
}

impl Repeat {
    fn start(first: bool, longest: Duration, now: Duration) -> Self {
        Self { at: first.then_some(now + T1), interval: T1, longest, until: now + 64 * T1 }
    }

    fn next(&self) -> Duration {
        self.at.map_or(self.until, |at| at.min(self.until))
    }

    /// If the device slept over several intervals, there is only one repetition.
    fn due(&mut self, now: Duration) -> bool {
        let Some(at) = self.at.filter(|at| now >= *at) else { return false };
        self.interval = (self.interval * 2).min(self.longest);
        self.at = Some(at.max(now) + self.interval);
        true
    }
}

impl Invitation {
    pub(crate) fn new(
        key: TransactionKey,
        destination: Destination,
        account: AccountKey,
        request: Message,
        to_tag: String,
        reliable: bool,
    ) -> Self {
        Self {
            key,
            destination,
            account,
            purpose: Purpose::Refused,
            progress: Progress::Ringing,
            request,
            to_tag,
            unsent: false,
            reliable,
            last: Vec::new(),
            provisional: None,
            last_rseq: None,
            said: Progress::Ringing,
            state: State::Proceeding { until: Duration::MAX },
        }
    }

    /// Its size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.key.size() + self.request.size() + self.last.len() + size_of::<Self>()
    }

    /// Limits how long the INVITE may wait for a final response.
    pub(crate) fn answer_by(&mut self, until: Duration) {
        if let State::Proceeding { until: limit } = &mut self.state {
            *limit = until;
        }
    }

    /// Whether there was no final response.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether there was a final response, and only repetitions can still come.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_open() && !self.awaits_ack()
    }

    /// Whether a 2xx was sent and has no ACK.
    pub(crate) fn awaits_ack(&self) -> bool {
        matches!(self.state, State::Accepted { acknowledged: false, .. })
    }

    /// Whether a 2xx was sent, with or without an ACK.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted { .. })
    }

    /// The tag of all our responses to it, and of its dialog.
    pub(crate) fn local_tag(&self) -> &str {
        &self.to_tag
    }

    /// Whether this INVITE makes the call ring.
    pub(crate) fn rings(&self, call: Uuid) -> bool {
        self.purpose == Purpose::Ring(call) && self.is_open()
    }

    /// The call that this INVITE makes ring.
    pub(crate) fn call_that_rings(&self) -> Option<Uuid> {
        match self.purpose {
            Purpose::Ring(call) if self.is_open() => Some(call),
            _ => None,
        }
    }

    /// RFC 3261 8.2.2.2: whether this is the same request, over another route.
    pub(crate) fn is_same_request(&self, other: &Message) -> bool {
        self.request.call_id() == other.call_id()
            && self.request.cseq().map(|cseq| cseq.seq) == other.cseq().map(|cseq| cseq.seq)
            && self.request.from_tag() == other.from_tag()
    }

    /// Notes a provisional response that is sent. With `rseq`, it is repeated until its PRACK comes.
    pub(crate) fn proceed(&mut self, bytes: Vec<u8>, rseq: Option<u32>, now: Duration) {
        self.last = bytes;
        self.said = self.progress;
        if let Some(rseq) = rseq {
            // RFC 3262 section 3: T1, which is doubled without a limit, for 64*T1.
            self.last_rseq = Some(rseq);
            self.provisional = Some(Reliable { rseq, repeat: Repeat::start(true, 64 * T1, now) });
        }
    }

    /// Whether a reliable provisional response still waits for its PRACK. Until then there must be no second one.
    pub(crate) fn awaits_prack(&self) -> bool {
        self.provisional.is_some()
    }

    /// Whether the phone rings and its caller only got 183.
    pub(crate) fn wants_ringing(&self) -> bool {
        self.progress == Progress::Ringing && self.said == Progress::Session && self.is_open() && !self.awaits_prack()
    }

    pub(crate) fn last_rseq(&self) -> Option<u32> {
        self.last_rseq
    }

    /// Takes a PRACK's `RAck`. Returns `false` if it acknowledges nothing.
    //
    // RAck  =  "RAck" HCOLON response-num LWS CSeq-num LWS Method                                       (RFC 3262)
    pub(crate) fn prack(&mut self, rack: &str) -> bool {
        let mut parts = rack.split([' ', '\t']).filter(|part| !part.is_empty());
        let rseq = parts.next().and_then(|part| part.parse::<u32>().ok());
        let cseq = parts.next().and_then(|part| part.parse::<u32>().ok());
        let ours = cseq.is_some()
            && cseq == self.request.cseq().map(|cseq| cseq.seq)
            && parts.next() == Some("INVITE")
            && rseq.is_some()
            && self.provisional.as_ref().map(|provisional| provisional.rseq) == rseq;
        if ours {
            self.provisional = None;
        }
        ours
    }

    /// Notes a refusal that is sent. Over UDP it is repeated until its ACK comes.
    pub(crate) fn refuse(&mut self, bytes: Vec<u8>, now: Duration) {
        self.last = bytes;
        self.provisional = None;
        self.state = State::Refused(Repeat::start(!self.reliable, T2, now));
    }

    /// Notes a 2xx that is sent.
    pub(crate) fn accept(&mut self, bytes: Vec<u8>, now: Duration) {
        self.last = bytes;
        self.state = State::Accepted { repeat: Repeat::start(true, T2, now), acknowledged: false };
    }

    /// Returns the response to a retransmitted INVITE, or `None` after its ACK.
    pub(crate) fn repeated(&self) -> Option<Vec<u8>> {
        let silent = matches!(self.state, State::Confirmed { .. } | State::Accepted { acknowledged: true, .. });
        (!silent && !self.last.is_empty()).then(|| self.last.clone())
    }

    /// Takes an ACK. Returns `false` if there is nothing to acknowledge yet.
    pub(crate) fn acknowledge(&mut self, now: Duration) -> bool {
        self.unsent = false;
        match &mut self.state {
            State::Proceeding { .. } => return false,
            // Timer L goes on, so that a late INVITE is not a new one (RFC 6026 section 7.1).
            State::Accepted { repeat, acknowledged } => {
                *acknowledged = true;
                repeat.at = None;
            }
            State::Refused(_) => {
                // Timer I: T4 over UDP, zero over TCP (17.2.1).
                let linger = if self.reliable { Duration::ZERO } else { T4 };
                self.state = State::Confirmed { until: now + linger };
            }
            State::Confirmed { .. } => {}
        }
        true
    }

    pub(crate) fn timeout(&self) -> (Duration, &'static str) {
        match &self.state {
            State::Proceeding { until } => match &self.provisional {
                Some(reliable) if reliable.repeat.next() < *until => {
                    (reliable.repeat.next(), "provisional answer's retransmission (RFC 3262)")
                }
                _ => (*until, "ringing"),
            },
            State::Refused(repeat) => (repeat.next(), "missing ACK (timers G and H)"),
            State::Accepted { repeat, .. } => (repeat.next(), "missing ACK of a 2xx (timer L)"),
            State::Confirmed { until } => (*until, "repeated ACKs (timer I)"),
        }
    }

    pub(crate) fn due(&mut self, now: Duration) -> Option<Due> {
        match &mut self.state {
            State::Proceeding { until } if now >= *until => Some(Due::Unanswered),
            State::Proceeding { .. } => {
                let reliable = self.provisional.as_mut()?;
                if now >= reliable.repeat.until {
                    return Some(Due::NoPrack);
                }
                reliable.repeat.due(now).then_some(Due::Repeat)
            }
            State::Refused(repeat) if now >= repeat.until => Some(Due::Done),
            State::Refused(repeat) => repeat.due(now).then_some(Due::Repeat),
            State::Accepted { repeat, acknowledged: true } => (now >= repeat.until).then_some(Due::Done),
            State::Accepted { repeat, .. } if now >= repeat.until => Some(Due::NoAck),
            State::Accepted { repeat, .. } => repeat.due(now).then_some(Due::Repeat),
            State::Confirmed { until } => (now >= *until).then_some(Due::Done),
        }
    }

    pub(crate) fn last(&self) -> Vec<u8> {
        self.last.clone()
    }
}
