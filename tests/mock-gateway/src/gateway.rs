//! The one task that owns everything: messages, commands and timers come in, messages go out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::binding::User;
use crate::build::Builder;
use crate::call::{Call, LegState};
use crate::config::Config;
use crate::digest::Nonces;
use crate::faults::{Action, Faults, foreign, with_wrong_branch};
use crate::habits::Habit;
use crate::outside::Outside;
use crate::parse::Message;
use crate::push::{Push, PushService};
use crate::record::{Direction, Entry, Record};
use crate::transaction::{ClientTransaction, Replies};
use crate::transport::{Arrival, FlowId, Flows, Transport};
use crate::upstream::Job;

const MAX_TIMERS: usize = 100_000;
/// How long a slow server takes to respond.
const SLOW: Duration = Duration::from_secs(6);

/// Work for the gateway's task.
pub(crate) type Command = Box<dyn FnOnce(&mut Gateway) + Send>;

/// What a timer means.
#[derive(Debug)]
pub(crate) enum Timer {
    Retransmit { branch: String },
    Forget { branch: String },
    Hold { call: u64 },
    RingTime { call: u64 },
    PlannedEnd { call: u64 },
    Silence { call: u64, leg: usize },
    InviteLater { call: u64, binding: u64 },
    Expiry { user: String },
    RefreshPush { user: String, binding: u64, cseq: u32 },
    RefreshUpstream { user: String, completed: u32 },
    Send { flow: FlowId, text: String },
    Receive { flow: FlowId, bytes: Vec<u8> },
    Release { flow: FlowId, direction: Direction },
    Deliver { push: Box<Push> },
}

/// Everything the mock knows.
pub(crate) struct Gateway {
    pub(crate) config: Config,
    pub(crate) local: SocketAddr,
    pub(crate) upper: Option<SocketAddr>,
    /// The registrations at the upper server, for each user one after the other.
    pub(crate) upstream: HashMap<String, mpsc::UnboundedSender<Job>>,
    pub(crate) flows: Flows,
    pub(crate) record: Record,
    pub(crate) pushes: PushService,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) nonces: Nonces,
    pub(crate) faults: Faults,
    pub(crate) replies: Replies,
    pub(crate) clients: HashMap<String, ClientTransaction>,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) outside: Vec<Outside>,
    /// The last CSeq for each Call-ID of a REGISTER. The oldest is forgotten first.
    pub(crate) cseqs: HashMap<String, u32>,
    pub(crate) cseq_order: VecDeque<String>,
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    pub(crate) salt: u64,
    timers: BTreeMap<(Instant, u64), Timer>,
    serial: u64,
    stopping: bool,
}

impl Gateway {
    #[allow(clippy::too_many_arguments, reason = "called once, from start")]
    pub(crate) fn new(
        config: Config,
        flows: Flows,
        local: SocketAddr,
        upper: Option<SocketAddr>,
        record: Record,
        pushes: PushService,
        changed: watch::Sender<u64>,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Gateway {
        let profile = &config.profile;
        let users = config.users.iter().map(|u| (u.name.clone(), User::new(u.clone(), profile))).collect();
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Gateway {
            users,
            local,
            upper,
            upstream: HashMap::new(),
            flows,
            record,
            pushes,
            changed,
            arrivals,
            nonces: Nonces::default(),
            faults: Faults::default(),
            replies: Replies::default(),
            clients: HashMap::new(),
            calls: BTreeMap::new(),
            outside: Vec::new(),
            cseqs: HashMap::new(),
            cseq_order: VecDeque::new(),
            tasks: JoinSet::new(),
            salt: u64::from(clock.subsec_nanos()) ^ (u64::from(local.port()) << 32) ^ clock.as_secs(),
            timers: BTreeMap::new(),
            serial: 0,
            stopping: false,
            config,
        }
    }

    /// Runs until a stop command, or until every handle is dropped.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut arrivals: mpsc::Receiver<Arrival>) {
        while !self.stopping {
            while self.tasks.try_join_next().is_some() {}
            let next = self.timers.first_key_value().map(|((at, _), _)| *at);
            let wake = sleep_until(next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600)));
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => command(&mut self),
                    None => break,
                },
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.arrived(arrival),
                    None => break,
                },
                () = wake => self.fire_due(),
            }
            self.tell_outside();
        }
    }

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Returns a branch with the magic cookie (RFC 3261, 8.1.1.7).
    pub(crate) fn fresh_branch(&mut self) -> String {
        let serial = self.serial();
        format!("z9hG4bK{:x}.{serial}", self.salt)
    }

    pub(crate) fn fresh_tag(&mut self) -> String {
        let serial = self.serial();
        format!("m{:x}-{serial}", self.salt & 0xffff_ffff)
    }

    pub(crate) fn timer(&mut self, after: Duration, timer: Timer) {
        if self.timers.len() >= MAX_TIMERS {
            return log::warn!("too many timers: one is dropped");
        }
        let serial = self.serial();
        self.timers.insert((Instant::now() + after, serial), timer);
    }

    /// Tells everything that waits for a state that it may have changed.
    pub(crate) fn bump(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn fire_due(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            match entry.remove() {
                Timer::Retransmit { branch } => self.retransmit(&branch),
                Timer::Forget { branch } => drop(self.clients.remove(&branch)),
                Timer::Hold { call } => self.hold_over(call),
                Timer::RingTime { call } => self.ring_time_over(call),
                Timer::PlannedEnd { call } => self.planned_end(call),
                Timer::Silence { call, leg } => self.leg_is_silent(call, leg),
                Timer::InviteLater { call, binding } => self.invite_binding(call, binding),
                Timer::Expiry { user } => self.expire_user(&user),
                Timer::RefreshPush { user, binding, cseq } => self.push_refresh(&user, binding, cseq),
                Timer::RefreshUpstream { user, completed } => self.refresh_upstream(&user, completed),
                Timer::Send { flow, text } => self.send_now(flow, text.into_bytes(), Some("delay")),
                Timer::Receive { flow, bytes } => self.take_in(flow, &bytes),
                Timer::Release { flow, direction } => self.release(flow, direction),
                Timer::Deliver { push } => self.pushes.deliver(*push),
            }
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Opened { out, transport, remote, flow } => self.flows.opened(flow, out, transport, remote),
            Arrival::Closed { flow } => self.flow_closed(flow),
            Arrival::Bytes { flow, bytes } => self.received(flow, bytes),
            Arrival::Datagram { remote, bytes } => {
                let flow = self.flows.datagram_flow(remote);
                self.received(flow, bytes);
            }
            Arrival::Upstream { user, status, expires } => self.upstream_done(&user, status, expires),
        }
    }

    fn flow_closed(&mut self, flow: FlowId) {
        self.flows.closed(flow);
        for user in self.users.values_mut() {
            for binding in user.bindings.iter_mut().filter(|b| b.flow == flow) {
                binding.asleep = true;
            }
        }
        self.legs_lost_flow(flow);
        self.bump();
    }

    /// Ends a flow from the mock's side.
    pub(crate) fn end_flow(&mut self, flow: FlowId, reset: bool) {
        self.flows.end(flow, reset);
        self.flow_closed(flow);
    }

    fn note(&self, direction: Direction, flow: FlowId, bytes: &[u8], fault: Option<&'static str>) {
        let Some(open) = self.flows.get(flow) else { return };
        self.record.add(Entry {
            seq: 0,
            at: Duration::ZERO,
            direction,
            flow,
            transport: open.transport,
            remote: open.remote,
            text: String::from_utf8_lossy(bytes).into_owned(),
            fault,
        });
    }

    fn received(&mut self, flow: FlowId, bytes: Vec<u8>) {
        let action = Message::parse(&bytes).ok().and_then(|m| self.faults.hit(Direction::Received, &m));
        self.note(Direction::Received, flow, &bytes, action.as_ref().map(Action::name));
        match action {
            None => self.take_in(flow, &bytes),
            Some(Action::Delay(delay)) => self.timer(delay, Timer::Receive { flow, bytes }),
            Some(Action::Duplicate) => {
                self.take_in(flow, &bytes);
                self.take_in(flow, &bytes);
            }
            Some(Action::Reorder) => return self.hold_back(flow, Direction::Received, bytes),
            Some(Action::Close) => self.end_flow(flow, false),
            Some(Action::Reset) => self.end_flow(flow, true),
            Some(_) => {}
        }
        self.release(flow, Direction::Received);
    }

    fn take_in(&mut self, flow: FlowId, bytes: &[u8]) {
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            let ping = bytes == b"\r\n\r\n" && self.flows.get(flow).is_some_and(|f| f.transport.is_reliable());
            // RFC 5626, 3.5.1: a double CRLF is answered by a single one.
            if ping && !self.config.profile.habits.has(Habit::NoPong) {
                self.send_now(flow, b"\r\n".to_vec(), None);
            }
            return;
        }
        match Message::parse(bytes) {
            Ok(message) if message.status().is_some() => self.response(flow, &message),
            Ok(message) => self.request(flow, &message),
            Err(error) => self.record.violation("unreadable", error.to_string()),
        }
    }

    fn request(&mut self, flow: FlowId, message: &Message) {
        for name in ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards"] {
            if message.header(name).is_none() {
                self.record.violation("missing-header", format!("{} without {name}", message.method()));
            }
        }
        let Some(key) = Replies::key(message) else { return };
        if message.cseq().is_none_or(|(_, method)| method != message.method()) {
            self.record.violation("bad-cseq", message.header("CSeq").unwrap_or_default().into());
            return self.reply(flow, message, 400, &[]);
        }
        if let Some(again) = self.replies.find(&key).map(str::to_owned) {
            return self.send(flow, again);
        }
        match message.method() {
            "REGISTER" => self.register(flow, message),
            "ACK" => {}
            "INVITE" if message.tag("To").is_none() => self.outside_invite(flow, message),
            "CANCEL" if self.outside_cancel(flow, message) => {}
            "BYE" | "UPDATE" | "INVITE" | "INFO" | "NOTIFY" => self.in_dialog_request(flow, message),
            "OPTIONS" | "MESSAGE" => self.reply(flow, message, 200, &[]),
            "CANCEL" => self.reply(flow, message, 481, &[]),
            _ => self.reply(flow, message, 501, &[]),
        }
    }

    /// Answers a request and stores the answer for retransmissions.
    pub(crate) fn reply(&mut self, flow: FlowId, request: &Message, status: u16, headers: &[(String, String)]) {
        let tag = self.fresh_tag();
        let text = Builder::response(request, status, &tag).headers(headers).header("Server", "mock-gateway").finish();
        let text = self.with_received(flow, text);
        if let Some(key) = Replies::key(request) {
            self.replies.keep(key, text.clone());
        }
        if request.method() == "REGISTER" && self.config.profile.habits.has(Habit::Slow) {
            return self.timer(SLOW, Timer::Send { flow, text });
        }
        self.send(flow, text);
    }

    /// Fills in `received` and `rport` (RFC 3261, 18.2.1; RFC 3581).
    fn with_received(&self, flow: FlowId, text: String) -> String {
        if self.config.profile.habits.has(Habit::ViaUnfilled) {
            return text;
        }
        let Some(remote) = self.flows.get(flow).map(|f| f.remote) else { return text };
        let Some(line_end) = text.find("\r\nVia:").and_then(|at| text[at + 2..].find("\r\n").map(|n| at + 2 + n))
        else {
            return text;
        };
        let (head, rest) = text.split_at(line_end);
        let at = head.find("\r\nVia:").map_or(0, |at| at + 2);
        let (before, via) = head.split_at(at);
        let (first, others) = via.split_at(via.find(',').unwrap_or(via.len()));
        let filled = first
            .split(';')
            .map(|p| if p.trim().eq_ignore_ascii_case("rport") { format!("rport={}", remote.port()) } else { p.into() })
            .collect::<Vec<String>>()
            .join(";");
        format!("{before}{filled};received={}{others}{rest}", remote.ip())
    }

    /// Sends a message through the faults.
    pub(crate) fn send(&mut self, flow: FlowId, text: String) {
        let action = Message::parse(text.as_bytes()).ok().and_then(|m| self.faults.hit(Direction::Sent, &m));
        let fault = action.as_ref().map(Action::name);
        match action {
            None => self.send_now(flow, text.into_bytes(), None),
            Some(Action::Drop) => self.note(Direction::Sent, flow, text.as_bytes(), fault),
            Some(Action::Delay(delay)) => self.timer(delay, Timer::Send { flow, text }),
            Some(Action::Duplicate) => {
                self.send_now(flow, text.clone().into_bytes(), None);
                self.send_now(flow, text.into_bytes(), fault);
            }
            Some(Action::Reorder) => return self.hold_back(flow, Direction::Sent, text.into_bytes()),
            Some(Action::Garbage) => self.send_now(flow, b"\x16\x03\x01 not SIP at all\r\n\r\n".to_vec(), fault),
            Some(Action::Half) => self.send_now(flow, text.as_bytes()[..text.len() / 2].to_vec(), fault),
            Some(Action::Close) => self.end_flow(flow, false),
            Some(Action::Reset) => self.end_flow(flow, true),
            Some(Action::WrongBranch) => self.send_now(flow, with_wrong_branch(&text).into_bytes(), fault),
            Some(Action::ForeignResponse) => {
                self.send_now(flow, foreign(&text).into_bytes(), fault);
                self.send_now(flow, text.into_bytes(), None);
            }
            Some(Action::Replace(other)) => self.send_now(flow, other.into_bytes(), fault),
        }
        self.release(flow, Direction::Sent);
    }

    fn send_now(&mut self, flow: FlowId, bytes: Vec<u8>, fault: Option<&'static str>) {
        self.note(Direction::Sent, flow, &bytes, fault);
        if !self.flows.send(flow, bytes) {
            log::debug!("flow {} takes nothing", flow.0);
        }
    }

    fn hold_back(&mut self, flow: FlowId, direction: Direction, bytes: Vec<u8>) {
        self.faults.held.insert((flow, direction), bytes);
        self.timer(Duration::from_millis(500), Timer::Release { flow, direction });
    }

    fn release(&mut self, flow: FlowId, direction: Direction) {
        let Some(bytes) = self.faults.held.remove(&(flow, direction)) else { return };
        match direction {
            Direction::Sent => self.send_now(flow, bytes, Some("reorder")),
            Direction::Received => self.take_in(flow, &bytes),
        }
    }

    /// Forgets what a restarted server forgets: connections, nonces, transactions, calls and, unless they are kept,
    /// bindings.
    pub(crate) fn restart(&mut self, keep_bindings: bool) {
        for call in self.calls.values_mut() {
            call.abandon(self.record.elapsed());
            call.legs.iter_mut().for_each(|leg| leg.state = LegState::Done);
        }
        for flow in self.flows.ids() {
            self.end_flow(flow, false);
        }
        self.nonces.forget_all();
        self.replies.forget_all();
        self.clients.clear();
        self.cseqs.clear();
        self.cseq_order.clear();
        if !keep_bindings {
            for user in self.users.values_mut() {
                user.bindings.clear();
                user.upstream = None;
            }
        }
        self.bump();
    }

    /// Returns the mock's own URI, for Contact and Record-Route.
    pub(crate) fn own_uri(&self, user: &str, transport: Transport) -> String {
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        match transport {
            Transport::Udp => format!("sip:{user}{}", self.local),
            other => format!("sip:{user}{};transport={}", self.local, other.via().to_ascii_lowercase()),
        }
    }
}
