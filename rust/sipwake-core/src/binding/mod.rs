//! One account at one gateway: the flow to it and the REGISTER exchange on it. The same for the gateway in use and for each
//! that was left: what a REGISTER is for, and what follows from its answer, is the registration's to say.

mod answer;
mod beside;
mod contact;
mod listed;
mod liveness;
mod registrant;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{AccountKey, Hop, Transport};
use crate::clock::{Now, Soonest};
use crate::digest::{self, NonceCache};
use crate::event::FlowId;
use crate::flows::{Carries, Flows, Up};
use crate::outbox::{Outbox, Way};
use crate::push::{Asked, Dialect, Push, PushToken};
use crate::record::words::For;
use crate::snapshot::{Bound, Spoken};
use crate::transaction::{ClientTransaction, Due};
use crate::trust::Peer;

pub(crate) use answer::{MAX_MIN_EXPIRES, Outcome, reason};
pub(crate) use listed::{LastList, MAX_CLEANUPS, MAX_ROUNDS, observed};
use liveness::Liveness;
pub(crate) use liveness::Silent;
pub(crate) use registrant::Registrant;
pub(crate) use request::{RESERVE_NC, Sending};

/// Requests of one chain: one, its answers to challenges and its corrections.
const MAX_REQUESTS: u8 = 8;
/// How often a Contact follows the address that the server saw, on one flow: behind some NATs it never stays.
const MAX_MOVES: u8 = 2;

/// What a REGISTER is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// Keep the binding as it is wished.
    Bind,
    /// Remove it: the user logged out, or never registered and only asked something.
    Remove,
    /// Remove this one binding: of a former token, or at a gateway that was left.
    Vacate(Box<Bound>),
    /// Ask for push capabilities.
    Query(Option<String>),
}

impl Purpose {
    pub(crate) fn removes(&self) -> bool {
        matches!(self, Self::Remove | Self::Vacate(_))
    }
}

impl From<&Purpose> for For {
    fn from(purpose: &Purpose) -> Self {
        match purpose {
            Purpose::Bind => Self::Bind,
            Purpose::Remove => Self::Remove,
            Purpose::Vacate(_) => Self::Vacate,
            Purpose::Query(_) => Self::Query,
        }
    }
}

/// A request and its repetitions after 401, 423, 3xx, 555: what must not be forgotten between them.
#[derive(Debug)]
pub(crate) struct Chain {
    purpose: Purpose,
    auth: digest::Attempt,
    /// A challenge was answered: from here on a refusal is not the old nonce's.
    challenged: bool,
    /// The last request answered a challenge of an earlier chain, ahead of being asked.
    ahead: bool,
    /// When the request was sent whose challenge was answered last: its nonce is no younger.
    asked_at: Option<Duration>,
    /// The request as it is was refused with a 400 once.
    refused_as_it_is: bool,
    requests: u8,
    min_expires: u32,
    without_push: bool,
    single_contact: bool,
    /// It names one Contact alone because of a 400 that may have been the nonce's.
    doubted: bool,
    /// The server's own digest URI was refused.
    without_auth_uri: bool,
    /// A fresh nonce was refused once: the server may have lost it between its challenge and our answer.
    refused_once: bool,
}

impl Chain {
    pub(crate) fn new(purpose: Purpose) -> Box<Self> {
        Box::new(Self {
            purpose,
            auth: digest::Attempt::default(),
            challenged: false,
            ahead: false,
            asked_at: None,
            refused_as_it_is: false,
            requests: 0,
            min_expires: 0,
            without_push: false,
            single_contact: false,
            doubted: false,
            without_auth_uri: false,
            refused_once: false,
        })
    }

    pub(crate) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    pub(crate) fn into_purpose(self) -> Purpose {
        self.purpose
    }

    /// Names no Contact beside the one it is for.
    pub(crate) fn alone(mut self: Box<Self>) -> Box<Self> {
        self.single_contact = true;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piid {
    None,
    Sent,
    Withheld,
    InTheClear,
}

/// The REGISTER in flight.
#[derive(Debug)]
pub(crate) struct Sent {
    transaction: ClientTransaction,
    /// On a wake: when its gateway is left, if it is silent until then and there is another one.
    leave_at: Option<Duration>,
    sent_at: Duration,
    way: Way,
    branch: String,
    cseq: u32,
    /// To be sent again; empty over a transport that loses nothing.
    bytes: Vec<u8>,
    base: String,
    uri: String,
    /// The Contacts that it names for removal.
    removed: Vec<String>,
    token: Option<PushToken>,
    asked: Asked,
    push: Option<Arc<Push>>,
    spoken: Vec<Dialect>,
    /// It says something about push in a header field of its own, for all of the user's Contacts.
    beside_contact: bool,
    expires: u32,
    piid: Piid,
    chain: Box<Chain>,
}

impl Sent {
    pub(crate) fn purpose(&self) -> &Purpose {
        &self.chain.purpose
    }

    pub(crate) fn into_purpose(self) -> Purpose {
        self.chain.purpose
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What a 2xx to it has bound.
    pub(crate) fn bound(&self, now: Now) -> Option<Bound> {
        let expires_at = now.wall.as_secs().saturating_add(self.expires.into());
        let mut bound = Bound::new(&self.base, &self.uri, self.token.clone(), expires_at, None)?;
        bound.spoken = self.said();
        Some(bound)
    }

    /// What it says about push that is to be taken back one day.
    fn said(&self) -> Option<Spoken> {
        self.token.as_ref()?;
        Some(Spoken { push: self.push.clone()?, dialects: self.spoken.clone() })
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn token(&self) -> Option<&PushToken> {
        self.token.as_ref()
    }

    /// What it asks for about push; a registration that was made without it since the server refuses it is told as such.
    pub(crate) fn asked(&self) -> Asked {
        if self.chain.without_push { Asked::Refused } else { self.asked }
    }

    pub(crate) fn asked_nothing_of_push(&self) -> bool {
        self.asked == Asked::NoPush
    }

    pub(crate) fn spoken(&self) -> &[Dialect] {
        &self.spoken
    }

    pub(crate) fn says_beside_contact(&self) -> bool {
        self.beside_contact
    }

    pub(crate) fn piid(&self) -> Piid {
        self.piid
    }

    /// The parameters that the server is to push to stand in the Contact URI.
    fn pushes_in_uri(&self) -> bool {
        self.uri.len() > self.base.len()
    }

    pub(crate) fn names_others(&self) -> bool {
        !self.removed.is_empty()
    }
}

/// Whether a hop that is named for UDP is reached over TCP, because our requests are too large (RFC 3261 18.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverTcp {
    Not,
    Wanted,
    /// The server does not take it.
    Impossible,
}

/// Where a 3xx sent us.
#[derive(Debug, Clone)]
struct Redirect {
    /// The new Request-URI; `None` keeps it: 305 names a proxy (RFC 3261 section 21.3.4).
    uri: Option<String>,
    hop: Hop,
}

/// One account at one gateway.
pub(crate) struct Binding {
    carries: Carries,
    flow: Option<FlowId>,
    /// The flow runs over TCP only because our requests are too large for UDP.
    for_size: bool,
    /// Who is at the other end of the flow.
    peer: Peer,
    /// A REGISTER was accepted on the flow.
    proven: bool,
    /// The address in our Contact, where that follows what the server saw.
    seen: Option<Box<SocketAddr>>,
    /// How often the Contact on this flow has followed the address that the server saw.
    moves: u8,
    over_tcp: OverTcp,
    local_port: Option<u16>,
    redirect: Option<Box<Redirect>>,
    liveness: Liveness,
    min_expires: u32,
    /// A removal was too long with `pn-*`, and none was accepted since.
    removes_bare: bool,
    /// Its own nonces; `None`: those that are kept with the account. A gateway's nonce is worth nothing to another with the
    /// same realm.
    nonces: Option<Box<NonceCache>>,
    sent: Option<Box<Sent>>,
    /// A chain that continues: after an answer, or on another flow.
    chain: Option<Box<Chain>>,
}

impl Binding {
    /// At the gateway in use.
    pub(crate) fn in_use(local_port: Option<u16>) -> Self {
        Self {
            carries: Carries::Calls,
            flow: None,
            for_size: false,
            peer: Peer::none(),
            proven: false,
            seen: None,
            moves: 0,
            over_tcp: OverTcp::Not,
            local_port,
            redirect: None,
            liveness: Liveness::default(),
            min_expires: 0,
            removes_bare: false,
            nonces: None,
            sent: None,
            chain: None,
        }
    }

    /// At a gateway that was left.
    pub(crate) fn left() -> Self {
        Self { carries: Carries::Removals, over_tcp: OverTcp::Not, nonces: Some(Box::default()), ..Self::in_use(None) }
    }

    // The flow.

    /// Asks for a flow to a hop, or to where a redirect led; over TCP where our requests are too large for UDP.
    pub(crate) fn open(&mut self, account: &AccountKey, hop: &Hop, flows: &mut Flows, outbox: &mut Outbox) {
        self.peer = Peer::configured(hop);
        let mut hop = hop.clone();
        if let Some(redirect) = &self.redirect {
            hop = redirect.hop.clone();
            self.peer = Peer::redirected(&hop);
        }
        self.for_size = hop.transport == Transport::Udp && self.over_tcp == OverTcp::Wanted;
        if self.for_size {
            hop.transport = Transport::Tcp;
        }
        (self.proven, self.seen, self.moves) = (false, None, 0);
        self.flow = Some(flows.open(account, self.carries, hop, self.local_port, outbox));
    }

    pub(crate) fn flow(&self) -> Option<FlowId> {
        self.flow
    }

    pub(crate) fn owns(&self, flow: FlowId) -> bool {
        self.flow == Some(flow)
    }

    /// Returns the flow, if it can be sent on.
    pub(crate) fn up(&self, flows: &Flows) -> Option<Up> {
        flows.up(self.flow?)
    }

    /// Our flow was opened, or has `moved` to another address of the server.
    pub(crate) fn came_up(&mut self, moved: bool, flows: &Flows) {
        let Some(up) = self.up(flows).filter(|_| !moved) else { return self.seen = None };
        if up.transport == Transport::Udp && self.carries == Carries::Calls {
            // The same port at the next try: else each try would leave another Contact that the server may hold.
            self.local_port = Some(up.local.port());
        }
        self.liveness.opened();
    }

    /// Our flow broke, or could not be opened.
    pub(crate) fn went_down(&mut self) {
        self.flow = None;
        self.liveness.rest();
    }

    /// Whether a flow that is being opened was wanted over TCP for its size alone. From here on it is not.
    pub(crate) fn give_up_tcp(&mut self) -> bool {
        if self.for_size {
            self.over_tcp = OverTcp::Impossible;
        }
        std::mem::take(&mut self.for_size)
    }

    pub(crate) fn close(&mut self, flows: &mut Flows, outbox: &mut Outbox) {
        if let Some(flow) = self.flow.take() {
            flows.close(flow, outbox);
        }
        self.liveness.rest();
    }

    /// Whether a REGISTER was accepted on the flow.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn is_redirected(&self) -> bool {
        self.redirect.is_some()
    }

    /// Forgets where a redirect led. Returns whether there was one.
    pub(crate) fn end_redirect(&mut self) -> bool {
        self.redirect.take().is_some()
    }

    /// Another gateway may listen on TCP though one did not; and one that could not be reached may have been down.
    pub(crate) fn hope_for_tcp(&mut self) {
        if self.over_tcp == OverTcp::Impossible {
            self.over_tcp = OverTcp::Wanted;
        }
    }

    /// Expects requests of the same size as at the gateway in use.
    pub(crate) fn expect_size_of(&mut self, in_use: &Self) {
        if self.over_tcp == OverTcp::Not && in_use.over_tcp != OverTcp::Not {
            self.over_tcp = OverTcp::Wanted;
        }
    }

    /// On another network requests may be small enough again.
    pub(crate) fn forget_tcp(&mut self) {
        self.over_tcp = OverTcp::Not;
    }

    /// Our flow moves to another address: what was learnt at this one no longer counts. Returns the address that the
    /// server saw.
    fn moves_on(&mut self, flow: FlowId) -> Option<Option<Box<SocketAddr>>> {
        (self.flow == Some(flow)).then(|| {
            (self.proven, self.moves) = (false, 0);
            self.seen.take()
        })
    }

    /// Asks for the server's next address. Returns whether there is one.
    pub(crate) fn next_address(&mut self, flows: &mut Flows, outbox: &mut Outbox) -> bool {
        let Some(flow) = self.flow else { return false };
        if flows.next_address(flow, outbox) {
            self.moves_on(flow);
            return true;
        }
        if flows.get(flow).is_some_and(|flow| flow.has_moved()) {
            // The next try begins at the first address.
            self.close(flows, outbox);
        }
        false
    }

    /// Our flow moves to another address. Returns, where the REGISTER of a binding is in flight, what waits for its answer at
    /// the one that is left.
    pub(crate) fn part(&mut self, flow: FlowId, left: FlowId) -> Option<Self> {
        let seen = self.moves_on(flow)?;
        let sent = self.sent.take_if(|sent| matches!(sent.purpose(), Purpose::Bind))?;
        let (flow, peer, over_tcp) = (Some(left), self.peer, self.over_tcp);
        Some(Self { flow, peer, seen, sent: Some(sent), over_tcp, ..Self::left() })
    }

    // The exchange.

    pub(crate) fn is_asking(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether a chain waits to continue.
    pub(crate) fn has_more(&self) -> bool {
        self.chain.is_some()
    }

    pub(crate) fn take_more(&mut self) -> Option<Box<Chain>> {
        self.chain.take()
    }

    pub(crate) fn go_on_with(&mut self, chain: Box<Chain>) {
        self.chain = Some(chain);
    }

    /// Gives up waiting for the answer in flight. Returns what it was for.
    pub(crate) fn interrupt(&mut self) -> Option<Purpose> {
        Some(self.sent.take()?.into_purpose())
    }

    /// Gives up waiting for the answer in flight; its chain continues with the same request. Returns whether one was in
    /// flight.
    pub(crate) fn ask_anew(&mut self) -> bool {
        let sent = self.sent.take();
        let asked = sent.is_some();
        if let Some(sent) = sent {
            self.chain = Some(sent.chain);
        }
        asked
    }

    /// Sets when the gateway is left if it stays silent, unless that is set already.
    pub(crate) fn leave_at(&mut self, at: Duration) {
        if let Some(sent) = &mut self.sent {
            sent.leave_at.get_or_insert(at);
        }
    }

    pub(crate) fn timeouts(&self, has_another: bool, soonest: &mut Soonest) {
        soonest.add(self.sent.as_ref().map(|sent| sent.transaction.timeout()));
        soonest.add_at(self.silent_at(has_another), "silent gateway");
        self.liveness.timeouts(soonest);
    }

    fn silent_at(&self, has_another: bool) -> Option<Duration> {
        self.sent.as_ref()?.leave_at.filter(|_| has_another)
    }

    /// Sends again what is due. Returns whether the answer is not waited for any longer.
    pub(crate) fn is_timed_out(&mut self, has_another: bool, outbox: &mut Outbox, now: Now) -> bool {
        if self.silent_at(has_another).is_some_and(|at| now.boot >= at) {
            return true;
        }
        let Some(sent) = &mut self.sent else { return false };
        match sent.transaction.due(now.boot) {
            Some(Due::Retransmit) => outbox.transmit(sent.way, sent.bytes.clone()),
            Some(Due::TimedOut) => return true,
            None => {}
        }
        false
    }

    /// The nonces that are kept for it, of the peer alone.
    fn nonces<'a>(&'a mut self, who: &'a mut Registrant) -> &'a mut NonceCache {
        let nonces = self.nonces.as_deref_mut().unwrap_or(&mut who.memory.nonces);
        nonces.turn_to(self.peer.host());
        nonces
    }

    /// Has the account's nonces be those of this peer.
    pub(crate) fn turn_to(&self, who: &mut Registrant) {
        who.memory.nonces.turn_to(self.peer.host());
    }
}
