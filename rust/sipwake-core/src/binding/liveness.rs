//! Is the flow still alive? A connection that the network has forgotten accepts bytes and returns nothing. TCP itself
//! notices that after minutes, but a ringing phone has seconds.

use std::time::Duration;

use super::Binding;
use crate::clock::{NextTimeout, Now};
use crate::event::FlowId;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::record::words::Sign;
use crate::transaction::T1;

/// RFC 6298's first retransmission time-out. If a response on an old flow takes longer, the flow is doubted.
const RTO: Duration = Duration::from_secs(1);
/// The longest time that an old flow gets for a REGISTER.
const MAX_RTO: Duration = Duration::from_secs(4);
/// A flow on which something arrived this recently is alive. If a response takes longer, the server is slow.
const RECENT: Duration = Duration::from_secs(5);
/// How long a pong may take (RFC 5626 section 4.4.1).
const PONG: Duration = Duration::from_secs(10);

/// Pings are never sent more often than this, even if `Flow-Timer` is shorter.
const MIN_PERIOD: Duration = Duration::from_secs(10);

/// What is known about the flow in use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Liveness {
    /// When something last came from the peer.
    heard_at: Option<Duration>,
    /// How long the last response took.
    round_trip: Option<Duration>,
    /// When the REGISTER in flight, and its flow, count as lost.
    doubted_at: Option<Duration>,
    /// When the next keep-alive is due, and how often.
    keep_alive_at: Option<Duration>,
    every: Option<Duration>,
    /// When a pong must have come.
    pong_by: Option<Duration>,
    /// The server has sent a pong before. Only then does silence mean something.
    pongs: bool,
    /// A ping has no pong yet.
    pong_due: bool,
}

/// The flow gave no sign of life in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silent {
    /// A REGISTER on an old connection got no response.
    Answer,
    /// A ping got no pong.
    Pong,
}

impl From<Silent> for Sign {
    fn from(silent: Silent) -> Self {
        match silent {
            Silent::Answer => Self::Answer,
            Silent::Pong => Self::Pong,
        }
    }
}

impl Liveness {
    pub(super) fn timeouts(&self, soonest: &mut NextTimeout) {
        soonest.add_at(self.doubted_at, "half-open connection");
        soonest.add_at(self.pong_by, "pong");
        soonest.add_at(self.keep_alive_at, "keep-alive");
    }

    /// A flow has just been opened. It cannot be half-open, so a slow response does not count against it.
    pub(super) fn opened(&mut self) {
        *self = Self::default();
    }

    /// There is no flow to keep alive.
    pub(super) fn rest(&mut self) {
        self.keep_alive_at = None;
    }

    /// A REGISTER is sent on the flow.
    pub(super) fn asked(&mut self, reliable: bool, now: Duration) {
        let old = self.heard_at.is_some_and(|at| now.saturating_sub(at) > RECENT);
        let patience = self.round_trip.map_or(RTO, |round_trip| (round_trip * 3).clamp(RTO, MAX_RTO));
        self.doubted_at = (reliable && old).then(|| now + patience);
    }

    /// The response to a REGISTER of `sent_at` has come.
    pub(super) fn answered(&mut self, sent_at: Duration, now: Duration) {
        self.round_trip = Some(now.saturating_sub(sent_at).max(T1 / 10));
    }

    fn pinged(&mut self, now: Duration) {
        self.pong_due = true;
        if self.pongs && self.pong_by.is_none() {
            self.pong_by = Some(now + PONG);
        }
    }

    fn heard(&mut self, now: Duration) {
        self.heard_at = Some(now);
        self.doubted_at = None;
        self.pong_by = None;
    }
}

impl Binding {
    /// The peer sent something, no matter what.
    pub(crate) fn heard(&mut self, flow: FlowId, now: Now) {
        if self.owns(flow) {
            self.liveness.heard(now.boot);
        }
    }

    /// The peer answered a ping.
    pub(crate) fn ponged(&mut self, flow: FlowId) {
        if self.owns(flow) {
            (self.liveness.pongs, self.liveness.pong_due) = (true, false);
        }
    }

    /// Whether a ping has no pong yet.
    pub(crate) fn is_pong_due(&self, flow: FlowId) -> bool {
        self.owns(flow) && self.liveness.pong_due
    }

    /// Returns which sign of life is overdue.
    pub(crate) fn silent(&mut self, now: Now) -> Option<Silent> {
        for (at, silent) in
            [(&mut self.liveness.doubted_at, Silent::Answer), (&mut self.liveness.pong_by, Silent::Pong)]
        {
            if at.take_if(|at| now.boot >= *at).is_some() {
                return Some(silent);
            }
        }
        None
    }

    /// Keeps the flow alive from now on, as often as the app wants it, or more often if the server's `Flow-Timer` asks
    /// for it. The server takes a flow for dead that was silent for longer (RFC 5626 section 4.4).
    pub(crate) fn keep_alive(&mut self, wanted: Option<Duration>, flow_timer: Option<u32>, now: Now) {
        let asked = flow_timer.map(|seconds| Duration::from_secs(u64::from(seconds)).mul_f32(0.9).max(MIN_PERIOD));
        let every = [wanted, asked].into_iter().flatten().min();
        self.liveness.every = every;
        self.liveness.keep_alive_at = every.map(|every| now.boot + every);
    }

    pub(crate) fn stop_keep_alive(&mut self) {
        self.liveness.keep_alive_at = None;
    }

    /// Sends a keep-alive that is due: a double CRLF (RFC 5626 3.5.1). Over UDP it keeps the NAT binding open. A
    /// WebSocket has keep-alives of its own.
    pub(crate) fn ping(&mut self, flows: &Flows, outbox: &mut Outbox, now: Now) {
        let (Some(every), Some(up)) = (self.liveness.every, self.up(flows)) else { return };
        if self.liveness.keep_alive_at.is_none_or(|at| now.boot < at) {
            return;
        }
        if !up.transport.is_websocket() {
            outbox.transmit(up.destination(), b"\r\n\r\n".to_vec());
            self.liveness.pinged(now.boot);
        }
        self.liveness.keep_alive_at = Some(now.boot + every);
    }
}
