//! Takes the bindings back from the gateways that were left, beside the registration at the one in use.
//!
//! Which gateways these are survives the process, and the log-out waits for them. They are asked one after the other, the
//! last one first, in three rounds, which begin anew with each move and with a log-out. Of one that was down each time the
//! binding lapses by itself, unless a later process comes first. At most [`MAX_LEFT`] are remembered.

use std::time::Duration;

use super::flow::Opening;
use super::request::MAX_DATAGRAM;
use super::{FlowUp, OverTcp, Registration, answers};
use crate::account::Transport;
use crate::clock::Now;
use crate::digest::{Attempt, Next, NonceCache, parse_challenges};
use crate::event::{FlowId, Output};
use crate::mutation::{Mutation, active};
use crate::outbox::Outbox;
use crate::push::{Binding, Removal, write_upper};
use crate::sip::Message;
use crate::snapshot::{Bound, Durability, MAX_LEFT};
use crate::transaction::{ClientTransaction, Due};

/// How long after the one before each round begins: a gateway that was left may well be down.
const ROUNDS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(600)];
/// How long after its expiry a binding may live on: what pushes for it may not know of the expiry.
const LINGERS: u64 = 24 * 3600;

/// The rounds. What the gateways may still hold is in [`Memory::left`](crate::snapshot::Memory::left).
#[derive(Debug)]
pub(super) struct FormerGateway {
    /// Begun by a process that has but the wall clock to tell how long ago these gateways were left.
    restored: bool,
    round: usize,
    /// The place in [`Memory::left`](crate::snapshot::Memory::left) of the one that is asked.
    turn: usize,
    over_tcp: OverTcp,
    state: State,
    auth: Attempt,
    /// Its own: a gateway's nonce is worth nothing to another with the same realm.
    nonces: NonceCache,
}

#[derive(Debug)]
enum State {
    Waiting(Duration),
    Opening(Opening),
    /// Nothing is sent while another REGISTER is on its way.
    Ready(FlowUp),
    Asked(Box<Asked>),
}

#[derive(Debug)]
struct Asked {
    up: FlowUp,
    transaction: ClientTransaction,
    branch: String,
    cseq: u32,
    /// To be sent again; empty over a transport that loses nothing.
    bytes: Vec<u8>,
    /// The gateways may share a registrar, which then takes the new binding for the old one: it is made once more.
    rebind: bool,
}

impl FormerGateway {
    fn flow(&self) -> Option<FlowId> {
        match &self.state {
            State::Waiting(_) => None,
            State::Opening(opening) => Some(opening.id),
            State::Ready(_) | State::Asked(_) => self.up().map(|up| up.id),
        }
    }

    fn up(&self) -> Option<&FlowUp> {
        match &self.state {
            State::Waiting(_) | State::Opening(_) => None,
            State::Ready(up) => Some(up),
            State::Asked(asked) => Some(&asked.up),
        }
    }

    /// The next turn, or the same one again for the gateway that has come into its place, or over UDP.
    fn wait(&mut self, until: Duration) {
        self.state = State::Waiting(until);
        self.auth = Attempt::default();
    }

    fn begin_turn(&mut self, turn: usize, until: Duration) {
        self.turn = turn;
        self.over_tcp = untried();
        self.nonces = NonceCache::default();
        self.wait(until);
    }

    pub(super) fn opening(&mut self) -> Option<&mut Opening> {
        match &mut self.state {
            State::Opening(opening) => Some(opening),
            State::Waiting(_) | State::Ready(_) | State::Asked(_) => None,
        }
    }
}

/// Whether the gateway need not be asked again: it holds nothing more, or will not be moved.
fn is_final(code: u16) -> bool {
    matches!(code, 200..=399 | 403 | 404 | 410 | 416 | 603 | 604) || active(Mutation::TroubleTakenForGone)
}

fn untried() -> OverTcp {
    if active(Mutation::FormerOverUdpAlone) { OverTcp::Impossible } else { OverTcp::Not }
}

fn is_over(bound: &Bound, now: Now) -> bool {
    bound.expires_at.saturating_add(LINGERS) <= now.wall.as_secs()
}

impl Registration {
    pub(crate) fn owns_former(&self, flow: FlowId) -> bool {
        self.former_gateway.as_ref().is_some_and(|former| former.flow() == Some(flow))
    }

    pub(crate) fn former_flow_up(&self) -> Option<&FlowUp> {
        self.former_gateway.as_ref()?.up()
    }

    /// The name of the gateway in use; `None` where there is no choice of gateways.
    pub(super) fn here(&self) -> Option<&str> {
        let chosen = self.account.hops().len() > 1 && self.redirect.is_none();
        self.account.gateways().get(self.hop).filter(|_| chosen).map(String::as_str)
    }

    /// The gateway that holds the present binding, by its place in the list.
    pub(super) fn home(&self) -> Option<usize> {
        self.place_of(self.memory.bound.as_ref()?)
    }

    fn place_of(&self, bound: &Bound) -> Option<usize> {
        let name = bound.gateway.as_deref()?;
        self.account.gateways().iter().position(|gateway| gateway == name)
    }

    /// The gateway in use accepted a binding in place of `bound`, or its removal: what was bound elsewhere is taken back there.
    pub(super) fn settle_at(&mut self, bound: Option<Bound>, outbox: &mut Outbox, now: Now) {
        let Some(here) = self.here().map(str::to_owned) else { return };
        let elsewhere = |bound: &Bound| bound.gateway.as_deref().is_some_and(|gateway| gateway != here);
        let before = self.memory.left.len();
        self.memory.left.retain(elsewhere);
        let bound = bound.filter(elsewhere);
        let bound = bound.filter(|bound| !(active(Mutation::LeftForgottenByTheClock) && is_over(bound, now)));
        if bound.is_none() && self.memory.left.len() == before {
            return;
        }
        self.close_former(outbox);
        if let Some(bound) = bound {
            if active(Mutation::OneLeftRemembered) {
                self.memory.left.clear();
            }
            if self.memory.left.len() >= MAX_LEFT {
                self.memory.left.remove(MAX_LEFT - 1);
            }
            self.memory.left.push(bound);
            self.memory.left.rotate_right(1);
        }
        self.take_up_former(false);
    }

    /// Means to ask the gateways that were left, by this process or an earlier one, as soon as there is nothing else to do.
    pub(super) fn take_up_former(&mut self, restored: bool) {
        let known = self.memory.left.iter().any(|left| self.place_of(left).is_some());
        self.former_gateway = known.then(|| {
            Box::new(FormerGateway {
                restored,
                round: 0,
                turn: 0,
                over_tcp: untried(),
                state: State::Waiting(Duration::ZERO),
                auth: Attempt::default(),
                nonces: NonceCache::default(),
            })
        });
    }

    /// What the gateway in use holds of the time before it was left.
    pub(super) fn left_here(&self) -> impl Iterator<Item = &Bound> {
        let here = self.here();
        let left = self.memory.left.iter().filter(|_| !active(Mutation::LeftHereStays));
        left.filter(move |left| left.gateway.as_deref() == here)
    }

    pub(super) fn former_timeout(&self) -> Option<(Duration, &'static str)> {
        match &self.former_gateway.as_ref()?.state {
            State::Waiting(until) => (!self.is_busy()).then_some((*until, "removal at the former gateway")),
            State::Opening(_) | State::Ready(_) => None,
            State::Asked(asked) => Some(asked.transaction.timeout()),
        }
    }

    /// The registration in use comes first; before there is one, nothing is asked.
    fn is_busy(&self) -> bool {
        let waits = self.due || self.resume.is_some() || self.query.is_some();
        !self.gone && (self.attempt.is_some() || waits || self.registered_at.is_none())
    }

    /// The gateway whose turn it is holds nothing any more, or is not to be asked again.
    fn forget_former(&mut self, outbox: &mut Outbox, now: Now) {
        let Some(turn) = self.former_gateway.as_ref().map(|former| former.turn) else { return };
        self.close_former_flow(outbox);
        if turn < self.memory.left.len() {
            self.memory.left.remove(turn);
        }
        self.next_turn(turn, now);
    }

    /// The turn of the next one, or of the first one in the next round, or the end.
    fn next_turn(&mut self, turn: usize, now: Now) {
        let Some(former) = &mut self.former_gateway else { return };
        if turn < self.memory.left.len() {
            return former.begin_turn(turn, now.boot);
        }
        former.round += 1;
        match ROUNDS.get(former.round).filter(|_| !self.memory.left.is_empty()) {
            Some(wait) => former.begin_turn(0, now.boot + *wait),
            None => {
                // Not before they were asked: the wall clock may be wrong.
                let restored = former.restored;
                self.memory.left.retain(|left| !(restored && is_over(left, now)));
                self.former_gateway = None;
            }
        }
    }

    fn close_former_flow(&self, outbox: &mut Outbox) {
        if let Some(flow) = self.former_gateway.as_ref().and_then(|former| former.flow()) {
            outbox.push(Output::Close(flow));
        }
    }

    pub(super) fn close_former(&mut self, outbox: &mut Outbox) {
        self.close_former_flow(outbox);
        self.former_gateway = None;
    }

    /// Opens the flow to the former gateway, and asks it once nothing else is on its way.
    pub(super) fn drive_former(&mut self, outbox: &mut Outbox, now: Now) {
        if self.is_busy() {
            return;
        }
        while let Some(former) = &mut self.former_gateway {
            match &former.state {
                State::Waiting(until) if now.boot >= *until => {}
                State::Ready(up) => {
                    let up = up.clone();
                    self.ask_former(up, outbox, now);
                    return;
                }
                State::Waiting(_) | State::Opening(_) | State::Asked(_) => return,
            }
            if former.over_tcp == OverTcp::Not && self.over_tcp != OverTcp::Not {
                former.over_tcp = OverTcp::Wanted;
            }
            let (turn, over_tcp) = (former.turn, former.over_tcp);
            match self.memory.left.get(turn).map(|left| self.place_of(left)) {
                Some(Some(place)) => {
                    let opening = Opening::ask(self.account.hops()[place].clone(), over_tcp, None, outbox);
                    if let Some(former) = &mut self.former_gateway {
                        former.state = State::Opening(opening);
                    }
                    return;
                }
                // The account names it no more.
                Some(None) => self.next_turn(turn + 1, now),
                None => self.next_turn(turn, now),
            }
        }
        self.finished |= self.gone;
    }

    fn ask_former(&mut self, up: FlowUp, outbox: &mut Outbox, now: Now) {
        let Some(mut former) = self.former_gateway.take() else { return };
        if self.reserve() {
            self.save(outbox, Durability::Progress);
        }
        self.cseq += 1;
        let branch = outbox.branch();
        let Some(bound) = self.memory.left.get(former.turn) else { return outbox.push(Output::Close(up.id)) };
        let spoken = self.push.as_ref().map(|push| push.spoken_to_remove(self.memory.shown)).unwrap_or_default();
        let tags = self.push.as_ref().map(|push| push.write(&spoken, Binding::LoggedOut(bound.token.as_ref()), None));
        let mut tags = tags.unwrap_or_default();
        let same = self.memory.bound.as_ref().is_some_and(|now| now.base() == bound.base());
        let rebind = same || !tags.headers.is_empty() || self.account.instance_id().is_some();
        let mut uri = bound.uri.expose().to_owned();
        if self.push.as_ref().is_some_and(|push| push.removal() != Removal::SameBinding) {
            uri = [bound.base(), &tags.uri_params_text()].concat();
        }
        let params = [self.instance_params(), tags.contact_params_text()].concat();
        let mut builder = self
            .head(self.account.registrar(), &up, &self.sent_by(&up), &branch)
            .header_of("Contact", &["<", &uri, ">", &params])
            .header("Expires", "0");
        builder = self.abilities(builder);
        write_upper(self.account.upper(), &mut tags);
        for tag in &tags.headers {
            builder = builder.header(&tag.name, tag.value.as_deref().unwrap_or_default());
        }
        let (user, credentials) = (self.account.auth_user(), self.account.credentials());
        let uri = self.memory.auth_uri.as_deref().unwrap_or(self.account.registrar());
        let cnonce = outbox.token();
        for (name, value) in former.nonces.authorize(user, credentials, "REGISTER", uri, b"", &cnonce) {
            builder = builder.header(name, &value);
        }
        let Ok(bytes) = builder.finish() else {
            outbox.push(Output::Close(up.id));
            return;
        };
        if up.transport == Transport::Udp && bytes.len() > MAX_DATAGRAM && former.over_tcp == OverTcp::Not {
            former.over_tcp = OverTcp::Wanted;
            former.wait(now.boot);
            self.former_gateway = Some(former);
            return outbox.push(Output::Close(up.id));
        }
        let reliable = up.transport.is_reliable();
        let repeats = if reliable { Vec::new() } else { bytes.clone() };
        outbox.transmit(up.id, bytes);
        former.state = State::Asked(Box::new(Asked {
            up,
            transaction: ClientTransaction::start(reliable, now.boot),
            branch,
            cseq: self.cseq,
            bytes: repeats,
            rebind,
        }));
        self.former_gateway = Some(former);
    }

    pub(super) fn former_flow_came_up(&mut self, flow: FlowId, local: std::net::SocketAddr) {
        let Some(former) = &mut self.former_gateway else { return };
        if let Some(opening) = former.opening().filter(|opening| opening.id == flow) {
            former.state = State::Ready(opening.came_up(local));
        }
    }

    /// Its flow could not be opened, or broke.
    pub(crate) fn former_flow_went_down(&mut self, now: Now) {
        let Some(former) = &mut self.former_gateway else { return };
        if former.opening().is_some_and(|opening| opening.for_size) {
            former.over_tcp = OverTcp::Impossible;
            return former.wait(now.boot);
        }
        let turn = former.turn + 1;
        self.next_turn(turn, now);
    }

    /// Tries again in the next round, or no more.
    pub(super) fn give_former_up(&mut self, outbox: &mut Outbox, now: Now) {
        let Some(former) = self.former_gateway.as_ref().filter(|former| former.flow().is_some()) else { return };
        let turn = former.turn + 1;
        self.close_former_flow(outbox);
        self.next_turn(turn, now);
    }

    /// The registration in use needs a REGISTER, and there is one on its way at a time: the removal is tried again later.
    pub(super) fn interrupt_former(&mut self, outbox: &mut Outbox, now: Now) {
        if self.former_gateway.as_ref().is_some_and(|former| matches!(former.state, State::Asked(_))) {
            self.give_former_up(outbox, now);
        }
    }

    pub(super) fn expire_former(&mut self, outbox: &mut Outbox, now: Now) {
        let Some(State::Asked(asked)) = self.former_gateway.as_mut().map(|former| &mut former.state) else { return };
        match asked.transaction.due(now.boot) {
            Some(Due::Retransmit) => outbox.transmit(asked.up.id, asked.bytes.clone()),
            Some(Due::TimedOut) => self.give_former_up(outbox, now),
            None => {}
        }
    }

    pub(super) fn handle_former_response(&mut self, message: &Message, outbox: &mut Outbox, now: Now) -> bool {
        let Some(former) = &mut self.former_gateway else { return false };
        let State::Asked(asked) = &mut former.state else { return false };
        let Some(code) = message.code().filter(|_| answers(message, &asked.branch, asked.cseq)) else {
            return false;
        };
        match code {
            ..200 => asked.transaction.proceed(now.boot),
            401 | 407 => {
                let challenges =
                    parse_challenges(message.headers("WWW-Authenticate"), message.headers("Proxy-Authenticate"));
                let next = former.auth.judge(&challenges, self.account.credentials(), &mut former.nonces, now);
                if next == Next::Answer {
                    former.state = State::Ready(asked.up.clone());
                } else {
                    // A password that one refused is not tried again and again.
                    self.close_former(outbox);
                }
            }
            _ if !is_final(code) => {
                self.skip_after(code);
                self.give_former_up(outbox, now);
            }
            _ => {
                self.due |= asked.rebind && code < 300 && !self.leaving;
                log::info!("{}: the gateway that was left answered {code} to the removal of its binding", self.key);
                self.forget_former(outbox, now);
                self.save(outbox, Durability::Progress);
            }
        }
        true
    }
}
