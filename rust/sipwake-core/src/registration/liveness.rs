//! Is the flow still alive? A connection that the network forgot takes bytes and answers nothing: TCP itself notices that
//! after minutes, a ringing phone has seconds.

use std::time::Duration;

use super::{Flow, Registration};
use crate::account::Transport;
use crate::clock::{Now, Soonest};
use crate::event::{FlowError, FlowId};
use crate::outbox::Outbox;
use crate::transaction::T1;

/// RFC 6298's first retransmission time-out, which is also how long an answer may take before an old flow is doubted.
const RTO: Duration = Duration::from_secs(1);
/// The longest that an old flow is trusted with a REGISTER.
const MAX_RTO: Duration = Duration::from_secs(4);
/// A flow that was heard from this recently is alive: an answer that takes its time is the server's doing.
const RECENT: Duration = Duration::from_secs(5);
/// RFC 5626 section 4.4.1: how long a pong may take.
const PONG: Duration = Duration::from_secs(10);

/// What is known of the flow in use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Liveness {
    /// When the peer was last heard.
    heard_at: Option<Duration>,
    /// How long the last answer took.
    round_trip: Option<Duration>,
    /// When the REGISTER in flight is taken for lost with its flow.
    doubted_at: Option<Duration>,
    /// When a pong must have come.
    pong_by: Option<Duration>,
    /// The server has answered a ping before: only then is silence a sign.
    pongs: bool,
}

impl Liveness {
    pub(super) fn timeouts(&self, soonest: &mut Soonest) {
        soonest.add_at(self.doubted_at, "half-open connection");
        soonest.add_at(self.pong_by, "pong");
    }

    /// A flow has just been opened: whatever answers on it, it is not half-open.
    pub(super) fn opened(&mut self) {
        *self = Self::default();
    }

    /// A REGISTER leaves on the flow.
    pub(super) fn asked(&mut self, reliable: bool, now: Duration) {
        let old = self.heard_at.is_some_and(|at| now.saturating_sub(at) > RECENT);
        let patience = self.round_trip.map_or(RTO, |round_trip| (round_trip * 3).clamp(RTO, MAX_RTO));
        self.doubted_at = (reliable && old).then(|| now + patience);
    }

    /// The answer to a REGISTER of `sent_at` has come.
    pub(super) fn answered(&mut self, sent_at: Duration, now: Duration) {
        self.round_trip = Some(now.saturating_sub(sent_at).max(T1 / 10));
    }

    pub(super) fn pinged(&mut self, now: Duration) {
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

impl Registration {
    /// The peer sent something, whatever it was.
    pub(crate) fn heard(&mut self, flow: FlowId, now: Now) {
        if self.owns(flow) {
            self.liveness.heard(now.boot);
        }
    }

    /// The peer answered a ping.
    pub(crate) fn ponged(&mut self, flow: FlowId) {
        if self.owns(flow) {
            self.liveness.pongs = true;
        }
    }

    /// Leaves a flow that has given no sign of life in time: the REGISTER goes out again on a new one.
    pub(super) fn check_liveness(&mut self, outbox: &mut Outbox, now: Now) {
        let due = |at: Option<Duration>| at.is_some_and(|at| now.boot >= at);
        if due(self.liveness.doubted_at) {
            self.liveness.doubted_at = None;
            if let Some(attempt) = self.attempt.take() {
                log::info!("{}: no answer on an old connection; opening a new one", self.key);
                self.resume = Some(attempt.chain);
                self.drop_flow(outbox);
            }
        }
        if due(self.liveness.pong_by) {
            self.liveness.pong_by = None;
            self.drop_flow_as_failed(outbox, now);
        }
    }

    fn drop_flow_as_failed(&mut self, outbox: &mut Outbox, now: Now) {
        let Flow::Up(up) = &self.flow else { return };
        outbox.push(crate::event::Output::Close(up.id));
        self.flow_went_down(FlowError::Unreachable("no answer to a keep-alive".into()), outbox, now);
    }

    /// Whether CRLF keep-alives are of use: a WebSocket has its own.
    pub(super) fn wants_keep_alive(transport: Transport) -> bool {
        !transport.is_websocket()
    }
}
