//! One account at one gateway: the flow to it and the REGISTER exchange on it. It is the same for the gateway in use
//! and for each left one. The registration decides what a REGISTER is for, and what follows from its response.

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
use crate::clock::{NextTimeout, Now};
use crate::digest::{self, NonceCache};
use crate::event::FlowId;
use crate::flows::{Carries, Flows, Up};
use crate::outbox::{Destination, Outbox};
use crate::push::{Asked, Dialect, Push, PushToken};
use crate::record::words::For;
use crate::snapshot::{ConfirmedBinding, Spoken};
use crate::transaction::{ClientTransaction, Due};
use crate::trust::Peer;

pub(crate) use answer::{MAX_MIN_EXPIRES, Outcome, reason};
pub(crate) use listed::{LastList, MAX_CLEANUPS, MAX_ROUNDS, observed};
use liveness::Liveness;
pub(crate) use liveness::Silent;
pub(crate) use registrant::Registrant;
pub(crate) use request::{RESERVE_NC, Sending};

/// The most requests of one chain: the first one, its answers to challenges and its corrections.
const MAX_REQUESTS: u8 = 8;
/// How often a Contact on one flow follows the address that the server saw. Behind some NATs that address never stays.
const MAX_MOVES: u8 = 2;

/// What a REGISTER is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// Keeps the binding as the app wants it.
    Bind,
    /// Removes the binding. The user logged out, or never registered and only asked something.
    Remove,
    /// Removes this one binding: of a former token, or at a left gateway.
    Vacate(Box<ConfirmedBinding>),
    /// Asks for push capabilities.
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

/// A request and its repetitions after 401, 423, 3xx and 555, with what must be remembered between them.
#[derive(Debug)]
pub(crate) struct Chain {
    purpose: Purpose,
    auth: digest::Attempt,
    /// A response to a challenge was sent. From now on a refusal has nothing to do with an old nonce.
    challenged: bool,
    /// The last request used a nonce from an earlier chain, without waiting for a challenge.
    ahead: bool,
    /// When the request was sent that met the last answered challenge. The nonce is at most as old.
    asked_at: Option<Duration>,
    /// The request was refused once with a 400, and was repeated unchanged.
    refused_as_it_is: bool,
    requests: u8,
    min_expires: u32,
    without_push: bool,
    single_contact: bool,
    /// It names a single Contact because of a 400. The reason for the 400 may have been the nonce.
    doubted: bool,
    /// The digest URI that the server asked for was refused.
    without_auth_uri: bool,
    /// A fresh nonce was refused once. The server may have lost it between its challenge and our response.
    refused_once: bool,
    /// A nonce was refused that may have expired on the way, as its challenge was slow.
    refused_late: bool,
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
            refused_late: false,
        })
    }

    pub(crate) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    pub(crate) fn into_purpose(self) -> Purpose {
        self.purpose
    }

    /// Names no other Contact than its own.
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
    /// Only on a wake, and if there is another gateway: when this one is left, if it stays silent.
    leave_at: Option<Duration>,
    sent_at: Duration,
    destination: Destination,
    branch: String,
    cseq: u32,
    /// The bytes for a retransmission. Empty over a transport that loses nothing.
    bytes: Vec<u8>,
    base: String,
    uri: String,
    /// The Contacts that it asks the server to remove.
    removed: Vec<String>,
    token: Option<PushToken>,
    asked: Asked,
    push: Option<Arc<Push>>,
    spoken: Vec<Dialect>,
    /// It says something about push in a header field of its own, which applies to all of the user's Contacts.
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

    /// The binding that a 2xx to it makes.
    pub(crate) fn bound(&self, now: Now) -> Option<ConfirmedBinding> {
        let expires_at = now.wall.as_secs().saturating_add(self.expires.into());
        let mut bound = ConfirmedBinding::new(&self.base, &self.uri, self.token.clone(), expires_at, None)?;
        bound.spoken = self.said();
        Some(bound)
    }

    /// What it says about push and a later removal must take back.
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

    /// What it asks for about push. If the REGISTER leaves push out because the server refuses it, this is `Refused`.
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

    /// Whether the Contact URI carries the parameters for push.
    fn pushes_in_uri(&self) -> bool {
        self.uri.len() > self.base.len()
    }

    pub(crate) fn names_others(&self) -> bool {
        !self.removed.is_empty()
    }

    /// Whether this is its own Contact.
    pub(crate) fn is_for(&self, uri: &str) -> bool {
        self.uri == uri
    }

    /// Whether it names none because the server has refused a request that did.
    pub(crate) fn leaves_others_out(&self) -> bool {
        self.chain.single_contact
    }
}

/// Whether TCP is used to a hop that is named for UDP, because our requests are too large (RFC 3261 18.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverTcp {
    Not,
    Wanted,
    /// The server does not accept TCP.
    Impossible,
}

/// Where a 3xx leads.
#[derive(Debug, Clone)]
struct Redirect {
    /// The new Request-URI. `None` keeps the old one, because a 305 names a proxy (RFC 3261 section 21.3.4).
    uri: Option<String>,
    hop: Hop,
}

/// One account at one gateway.
pub(crate) struct Binding {
    carries: Carries,
    flow: Option<FlowId>,
    /// The flow uses TCP only because our requests are too large for UDP.
    for_size: bool,
    /// Who is at the other end of the flow.
    peer: Peer,
    /// A REGISTER was accepted on the flow.
    proven: bool,
    /// The address in our Contact, if it follows what the server saw.
    seen: Option<Box<SocketAddr>>,
    /// How often the Contact on this flow has followed the address that the server saw.
    moves: u8,
    over_tcp: OverTcp,
    local_port: Option<u16>,
    redirect: Option<Box<Redirect>>,
    liveness: Liveness,
    min_expires: u32,
    /// A removal with `pn-*` was too long, and none was accepted since.
    removes_bare: bool,
    /// Its own nonces. `None` means the account's nonces. A gateway's nonce has no value for another gateway with the
    /// same realm.
    nonces: Option<Box<NonceCache>>,
    sent: Option<Box<Sent>>,
    /// A chain that continues after a response, or on another flow.
    chain: Option<Box<Chain>>,
}

impl Binding {
    /// The binding at the gateway in use.
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

    /// The binding at a left gateway.
    pub(crate) fn left() -> Self {
        Self { carries: Carries::Removals, over_tcp: OverTcp::Not, nonces: Some(Box::default()), ..Self::in_use(None) }
    }

    // The flow.

    /// Asks for a flow to a hop or to the target of a redirect. The flow uses TCP if our requests are too large for
    /// UDP.
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

    /// Returns the flow if it is up.
    pub(crate) fn up(&self, flows: &Flows) -> Option<Up> {
        flows.up(self.flow?)
    }

    /// Our flow is open, or has `moved` to another address of the server.
    pub(crate) fn came_up(&mut self, moved: bool, flows: &Flows) {
        let Some(up) = self.up(flows).filter(|_| !moved) else { return self.seen = None };
        if up.transport == Transport::Udp && self.carries == Carries::Calls {
            // The next try uses the same port. Otherwise each try would add another Contact that the server may keep.
            self.local_port = Some(up.local.port());
        }
        self.liveness.opened();
    }

    /// Our flow broke, or could not be opened.
    pub(crate) fn went_down(&mut self) {
        self.flow = None;
        self.liveness.rest();
    }

    /// Whether the flow that is being opened uses TCP only because of the size. If so, TCP is not tried again.
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

    /// Forgets the target of a redirect. Returns whether there was one.
    pub(crate) fn end_redirect(&mut self) -> bool {
        self.redirect.take().is_some()
    }

    /// Allows TCP again. Another gateway may accept it, and one that could not be reached may have been down.
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

    /// Uses UDP again. On another network the requests may be small enough.
    pub(crate) fn forget_tcp(&mut self) {
        self.over_tcp = OverTcp::Not;
    }

    /// Our flow moves to another address, and what is known about the old one no longer counts. Returns the address
    /// that the server saw.
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
            // The next try begins with the first address.
            self.close(flows, outbox);
        }
        false
    }

    /// Our flow moves to another address. If a binding's REGISTER is in flight, returns what waits for its response at
    /// the old address.
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

    /// Whether a chain wants to continue.
    pub(crate) fn has_more(&self) -> bool {
        self.chain.is_some()
    }

    pub(crate) fn take_more(&mut self) -> Option<Box<Chain>> {
        self.chain.take()
    }

    pub(crate) fn go_on_with(&mut self, chain: Box<Chain>) {
        self.chain = Some(chain);
    }

    /// Stops waiting for the response in flight. Returns what the request was for.
    pub(crate) fn interrupt(&mut self) -> Option<Purpose> {
        Some(self.sent.take()?.into_purpose())
    }

    /// Stops waiting for the response in flight. Its chain continues with the same request. Returns whether one was in
    /// flight.
    pub(crate) fn ask_anew(&mut self) -> bool {
        let sent = self.sent.take();
        let asked = sent.is_some();
        if let Some(sent) = sent {
            self.chain = Some(sent.chain);
        }
        asked
    }

    /// Sets when a silent gateway is left, unless that is set already.
    pub(crate) fn leave_at(&mut self, at: Duration) {
        if let Some(sent) = &mut self.sent {
            sent.leave_at.get_or_insert(at);
        }
    }

    /// When a silent gateway is left, if that is set.
    pub(crate) fn leaves_at(&self) -> Option<Duration> {
        self.sent.as_ref()?.leave_at
    }

    pub(crate) fn timeouts(&self, has_another: bool, soonest: &mut NextTimeout) {
        soonest.add(self.sent.as_ref().map(|sent| sent.transaction.timeout()));
        soonest.add_at(self.silent_at(has_another), "silent gateway");
        self.liveness.timeouts(soonest);
    }

    fn silent_at(&self, has_another: bool) -> Option<Duration> {
        self.leaves_at().filter(|_| has_another)
    }

    /// Retransmits what is due. Returns whether it is time to stop waiting for the response.
    pub(crate) fn is_timed_out(&mut self, has_another: bool, outbox: &mut Outbox, now: Now) -> bool {
        if self.silent_at(has_another).is_some_and(|at| now.boot >= at) {
            return true;
        }
        let Some(sent) = &mut self.sent else { return false };
        match sent.transaction.due(now.boot) {
            Some(Due::Retransmit) => outbox.transmit(sent.destination, sent.bytes.clone()),
            Some(Due::TimedOut) => return true,
            None => {}
        }
        false
    }

    /// The nonces for it, only those of this peer.
    fn nonces<'a>(&'a mut self, who: &'a mut Registrant) -> &'a mut NonceCache {
        let nonces = self.nonces.as_deref_mut().unwrap_or(&mut who.memory.nonces);
        nonces.turn_to(self.peer.host());
        nonces
    }

    /// Makes the account's nonces those of this peer.
    pub(crate) fn turn_to(&self, who: &mut Registrant) {
        who.memory.nonces.turn_to(self.peer.host());
    }
}
