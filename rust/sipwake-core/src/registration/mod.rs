//! The binding's state machine, one per account: what is wanted, what the server holds, and the one REGISTER between them.
//!
//! Wishes (a token, none any more, log out) and occasions (a push, another network, a timer) only mark what is due.
//! [`Registration::drive`] then sends at most one REGISTER at a time and folds into it whatever came in before it left.

pub(crate) mod backoff;
mod credentials;
mod flow;
mod former_gateway;
mod liveness;
mod pace;
mod request;
mod response;
mod wishes;

use std::time::Duration;

use crate::account::{Account, AccountKey};
use crate::clock::Now;
use crate::event::{FlowId, Output};
use crate::few::Few;
use crate::gateway::Gateways;
use crate::json::Kept;
use crate::mutation::{Mutation, active};
use crate::outbox::Outbox;
use crate::push::{Asked, Dialect, Push, PushToken, Shown, Verdict};
use crate::random::Random;
use crate::sip::{CSeq, Message};
use crate::snapshot::{Bound, Durability, Memory, Record, Removal, StoredRemoval, TokenWish, binding_key, seal};
use crate::transaction::ClientTransaction;

pub(crate) use credentials::Challenged;
pub(crate) use flow::FlowUp;
use flow::{Flow, Redirect};
use former_gateway::FormerGateway;

/// CSeq numbers reserved by one write to the store.
const RESERVE_CSEQ: u32 = 32;
/// Where a Call-ID has had enough of them: a CSeq stays below 2^31 (RFC 3261 section 8.1.1.5).
const MAX_CSEQ: u32 = 1 << 30;
/// Nonce counts reserved by one write. Kamailio refuses a count above 255, so a restart must not skip many.
const RESERVE_NC: u32 = 8;
/// Former Contacts remembered for removal.
const MAX_FORMER: usize = 8;
/// How often a Contact follows the address that the server saw, on one flow: behind some NATs it never stays.
const MAX_MOVES: u8 = 2;
/// How long a 555 is remembered: a server that was upgraded meanwhile is asked for RFC 8599 again.
const MAX_REFUSAL: Duration = Duration::from_secs(24 * 3600);
/// Requests of one chain: one, its answers to challenges and its corrections.
const MAX_REQUESTS: u8 = 8;

/// What a REGISTER is for.
#[derive(Debug)]
pub(crate) enum Asks {
    /// Keep the binding as it is wished.
    Bind,
    /// Remove it: the user logged out, or never registered and only asked something.
    Remove,
    /// Remove this binding of a former token, before the present one is bound elsewhere.
    Vacate(Box<Bound>),
    /// Ask for push capabilities.
    Query(Option<String>),
}

impl Asks {
    fn removes(&self) -> bool {
        matches!(self, Self::Remove | Self::Vacate(_))
    }
}

/// A request and its repetitions after 401, 423, 3xx, 555: what must not be forgotten between them.
#[derive(Debug)]
pub(crate) struct Chain {
    asks: Asks,
    auth: crate::digest::Attempt,
    requests: u8,
    min_expires: u32,
    without_push: bool,
    single_contact: bool,
}

impl Chain {
    fn new(asks: Asks) -> Box<Self> {
        Box::new(Self {
            asks,
            auth: crate::digest::Attempt::default(),
            requests: 0,
            min_expires: 0,
            without_push: false,
            single_contact: false,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piid {
    None,
    Sent,
    Withheld,
    InTheClear,
}

/// The REGISTER in flight.
#[derive(Debug)]
struct Attempt {
    transaction: ClientTransaction,
    /// On a wake: when its gateway is left, if it is silent until then and there is another one.
    leave_at: Option<Duration>,
    sent_at: Duration,
    flow: FlowId,
    branch: String,
    cseq: u32,
    /// To be sent again; empty over a transport that loses nothing.
    bytes: Vec<u8>,
    epoch: u64,
    base: String,
    uri: String,
    removed: Vec<String>,
    token: Option<PushToken>,
    asked: Asked,
    spoken: Vec<Dialect>,
    expires: u32,
    piid: Piid,
    chain: Box<Chain>,
}

/// Whether a hop that is named for UDP is reached over TCP, because our requests are too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverTcp {
    Not,
    Wanted,
    /// The server does not take it.
    Impossible,
}

/// Whether another REGISTER may be sent, apart from the one in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Free,
    BackingOff(Duration),
    /// The server refused for good: only the app starts again.
    Stopped,
}

pub(crate) struct Registration {
    pub(crate) key: AccountKey,
    account: Account,
    push: Option<Push>,
    memory: Memory,
    cseq: u32,
    /// Counts the log-ins, which an answer to an older REGISTER does not satisfy.
    epoch: u64,
    due: bool,
    /// The app has asked for a registration, or something that was registered needs one. Before that nothing is sent.
    started: bool,
    query: Option<Option<String>>,
    pace: Pace,
    failures: u32,
    /// Flows in a row that broke soon after a registration.
    short_flows: u32,
    /// The gateway in use, by its place in the list.
    hop: usize,
    gateways: Gateways,
    liveness: liveness::Liveness,
    /// How often the Contact on this flow has followed the address that the server saw.
    moves: u8,
    /// A REGISTER that is too large for UDP goes over TCP (RFC 3261 18.1.1), unless that has failed.
    over_tcp: OverTcp,
    redirect: Option<Box<Redirect>>,
    flow: Flow,
    local_port: Option<u16>,
    attempt: Option<Box<Attempt>>,
    /// A chain that waits for its flow: a redirect, or the removal of what a 200 still listed.
    resume: Option<Box<Chain>>,
    /// A push came: should its REGISTER fail, so many more are sent soon; its call cannot wait for the back-off.
    hurry: u32,
    refresh_at: Option<Duration>,
    registered_at: Option<Duration>,
    /// Boot time at which the binding lapses.
    bound_until: Option<Duration>,
    keep_alive_at: Option<Duration>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) service_route: Few<String>,
    leaving: bool,
    /// The server in use has confirmed the log-out; the gateway that was left is still to be told.
    gone: bool,
    /// The log-out is delivered.
    pub(crate) finished: bool,
    former_gateway: Option<Box<FormerGateway>>,
    cleanups: u8,
    min_expires: u32,
}

impl Registration {
    pub(crate) fn new(account: Account, push: Option<Push>, memory: Option<Memory>, random: &mut Random) -> Self {
        let memory = match memory {
            Some(memory) if memory.cseq_reserved < MAX_CSEQ => memory,
            Some(memory) => Memory { call_id: random.token().into(), cseq_reserved: 1, ..memory },
            None => Memory::fresh(random),
        };
        let memory = match memory {
            memory if active(Mutation::CallIdChanges) => Memory { call_id: random.token().into(), ..memory },
            memory if active(Mutation::CseqReused) => {
                Memory { cseq_reserved: memory.cseq_reserved.saturating_sub(RESERVE_CSEQ), ..memory }
            }
            memory => memory,
        };
        let mut registration = Self {
            key: account.key(),
            cseq: memory.cseq_reserved,
            local_port: memory.local_port,
            gateways: Gateways::new(account.hops().len()),
            liveness: liveness::Liveness::default(),
            moves: 0,
            over_tcp: OverTcp::Not,
            account,
            push,
            memory,
            epoch: 0,
            due: false,
            started: false,
            query: None,
            pace: Pace::Free,
            failures: 0,
            short_flows: 0,
            hop: 0,
            redirect: None,
            flow: Flow::None,
            attempt: None,
            resume: None,
            hurry: 0,
            refresh_at: None,
            registered_at: None,
            bound_until: None,
            keep_alive_at: None,
            verdict: None,
            service_route: Few::default(),
            leaving: false,
            gone: false,
            finished: false,
            former_gateway: None,
            cleanups: 0,
            min_expires: 0,
        };
        registration.take_up_former(true);
        registration
    }

    /// Takes up a log-out that an earlier process could not deliver.
    pub(crate) fn resume_removal(removal: Removal, random: &mut Random) -> Option<Self> {
        if active(Mutation::LogOutForgotten) {
            return None;
        }
        let account = Account::parse(removal.account).ok()?;
        let push = removal.push.map(Push::parse).transpose().ok()?;
        let mut registration = Self::new(account, push, Some(removal.memory), random);
        registration.leaving = true;
        registration.due = true;
        registration.started = true;
        Some(registration)
    }

    /// Returns what is needed to deliver the log-out without the app.
    pub(crate) fn removal(&self) -> StoredRemoval {
        let mut account = self.account.config();
        if !active(Mutation::PasswordStored) {
            account.credentials = self.ha1_only();
        }
        Removal::written(&account, &self.push.as_ref().map(Push::config), &self.memory)
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn push(&self) -> Option<&Push> {
        self.push.as_ref()
    }

    /// Our Contact URI on a flow, without push parameters, for dialogs.
    pub(crate) fn contact_uri(&self, up: &FlowUp) -> String {
        self.contact_base(up)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether pushes for this account may make a sound.
    pub(crate) fn is_silent(&self) -> bool {
        (self.leaving || matches!(self.memory.token, TokenWish::Unbind(_))) && !active(Mutation::LatePushSounds)
    }

    pub(crate) fn into_memory(self) -> Memory {
        self.memory
    }

    /// Keeps the Call-ID, CSeq and Contacts of an earlier life of the same account, and takes over new settings.
    pub(crate) fn replace_account(&mut self, account: Account, push: Option<Push>, outbox: &mut Outbox) {
        if account.credentials() != self.account.credentials() || account.auth_user() != self.account.auth_user() {
            self.memory.nonces.clear();
        }
        if push != self.push {
            self.memory.shown = Shown::Nothing;
        }
        let moved = account.hops() != self.account.hops();
        if moved {
            self.gateways = Gateways::new(account.hops().len());
            self.close_former(outbox);
        }
        self.account = account;
        self.push = push;
        self.epoch += 1;
        if moved {
            self.take_up_former(false);
            self.due |= !matches!(self.flow, Flow::None);
            self.drop_flow(outbox);
            self.interrupt();
            self.redirect = None;
        }
        if self.account.keep_alive().is_none() {
            self.keep_alive_at = None;
        }
    }

    /// Does what is due, if it may be done now.
    pub(crate) fn drive(&mut self, outbox: &mut Outbox, now: Now) {
        self.drive_binding(outbox, now);
        self.drive_former(outbox, now);
    }

    fn drive_binding(&mut self, outbox: &mut Outbox, now: Now) {
        let waits = self.attempt.is_some() && !active(Mutation::TwoInFlight);
        if self.finished || self.gone || waits || matches!(self.flow, Flow::Opening(_)) {
            return;
        }
        if let Pace::BackingOff(until) = self.pace
            && now.boot >= until
        {
            self.pace = Pace::Free;
        }
        let wanted = self.due || self.resume.is_some() || self.query.is_some();
        if !self.started || !wanted || self.pace != Pace::Free {
            return;
        }
        let up = match &self.flow {
            Flow::Up(up) => up.clone(),
            _ => return self.open(outbox, now),
        };
        let chain = self.resume.take().unwrap_or_else(|| match self.query.take() {
            Some(provider) if !self.leaving => Chain::new(Asks::Query(provider)),
            _ => {
                self.due = false;
                self.forget_refusal(now);
                Chain::new(if self.leaving || self.memory.asked_only {
                    Asks::Remove
                } else {
                    self.to_vacate(&up).map_or(Asks::Bind, |bound| Asks::Vacate(Box::new(bound.clone())))
                })
            }
        });
        if let Err(failure) = self.send(chain, &up, outbox, now) {
            self.stop(failure, outbox);
        }
    }

    /// Forgets a 555 of long ago. Not on a push: its call would wait for the server to refuse once more.
    fn forget_refusal(&mut self, now: Now) {
        // A clock that was wrong when the 555 came must not keep it for ever.
        let recent = |at: u64| now.wall.as_secs().abs_diff(at) < MAX_REFUSAL.as_secs();
        if self.memory.shown == Shown::NoRfc8599 && self.hurry == 0 && !self.memory.refused_at.is_some_and(recent) {
            self.memory.shown = Shown::Nothing;
        }
    }

    /// The old token's binding, if it would outlive the new one's: token and Contact have both changed, and a server that
    /// reads `X-MPUSH` may go on pushing for a Contact that is gone, unless it is told `null` for that very Contact. It
    /// costs a round trip, and only then.
    fn to_vacate(&self, up: &FlowUp) -> Option<&Bound> {
        let TokenWish::Bind(token) = &self.memory.token else { return None };
        self.push.as_ref().filter(|push| push.spoken_to_remove(self.memory.shown).contains(&Dialect::XMpush))?;
        let base = self.contact_base(up);
        let outlives = |bound: &&Bound| bound.token.as_ref().is_some_and(|old| old != token) && bound.base() != base;
        // The gateway in use knows nothing of what another one holds, unless they share a registrar.
        self.left_here().chain(&self.memory.bound).find(outlives)
    }

    /// The server holds nothing that is ours any more: the user is logged out or, after a mere question, as before it.
    fn gone(&mut self, outbox: &mut Outbox, now: Now) {
        let bound = self.memory.bound.take();
        if self.leaving {
            self.settle_at(bound, outbox, now);
            // However often they were down: they are asked anew for it.
            if !active(Mutation::LogOutAsksNobodyAnew) {
                self.close_former(outbox);
                self.take_up_former(false);
            }
            self.gone = true;
            self.refresh_at = None;
            self.drop_flow(outbox);
            // Where nobody is left to be told, the log-out's record goes at once.
            if self.former_gateway.is_some() {
                self.save(outbox, Durability::Progress);
            }
            return;
        }
        if !self.memory.asked_only {
            // The user registered while the answer was on its way.
            self.due = true;
            return;
        }
        self.started = false;
        self.due = false;
        self.memory.former.clear();
        self.close(outbox);
        self.save(outbox, Durability::Progress);
    }

    pub(crate) fn save(&self, outbox: &mut Outbox, durability: Durability) {
        if self.leaving {
            return outbox.save_removal(&self.key, Some(self.removal()), durability);
        }
        let bytes = Some(seal(&|out| self.memory.write(out)));
        outbox.push(Output::Save(Record { key: binding_key(&self.key), bytes, durability }));
    }

    pub(crate) fn handle_response(&mut self, message: &Message, outbox: &mut Outbox, now: Now) -> bool {
        let Some(attempt) = &mut self.attempt else { return self.handle_former_response(message, outbox, now) };
        let Some(code) = message.code().filter(|_| answers(message, &attempt.branch, attempt.cseq)) else {
            return self.handle_former_response(message, outbox, now);
        };
        if code < 200 {
            attempt.transaction.proceed(now.boot);
            attempt.leave_at = None;
            return true;
        }
        let attempt = self.attempt.take().expect("it was there a moment ago");
        self.liveness.answered(attempt.sent_at, now.boot);
        self.conclude(attempt, code, message, outbox, now);
        true
    }
}

/// Whether a response is to the REGISTER of this branch and CSeq (RFC 3261 section 17.1.3).
fn answers(message: &Message, branch: &str, cseq: u32) -> bool {
    message.branch() == Some(branch) && message.cseq() == Some(CSeq { seq: cseq, method: "REGISTER" })
}
