//! One account's policy: what is wanted of its binding, what is due, at which gateway, and when.
//!
//! Commands (a token, an unbind, a log-out) and occasions (a push, another network, a timer) only mark what is due.
//! [`Registration::drive`] then has at most one REGISTER sent at a time and folds into it whatever came in before it
//! left. How a REGISTER is written and its answer read is [`crate::binding`]'s.

mod answer;
pub(crate) mod backoff;
mod beside;
mod bucket;
mod credentials;
mod flow;
mod late;
mod left;
pub(crate) mod list;
mod pace;
mod quiet;
mod wishes;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::account::{Account, AccountKey};
use crate::binding::{Binding, Chain, LastList, MAX_CLEANUPS, Outcome, Purpose, Registrant, Sending};
use crate::clock::Now;
use crate::event::Removed;
use crate::flows::Flows;
use crate::gateway::Gateways;
use crate::outbox::Outbox;
use crate::push::{Dialect, Push, PushToken, Shown, Verdict};
use crate::random::Random;
use crate::record::AccountState;
use crate::sip::Message;
use crate::snapshot::{Bound, Durability, Memory, Removal, StoredRemoval, TokenWish};

use bucket::{Bucket, Tries};
use late::Late;
use left::Left;

/// How long a log-out is tried: no push service keeps a message for longer.
const LOG_OUT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a process tries a log-out that is older.
const ONE_TRY: Duration = Duration::from_secs(60);
/// How long a 555 is remembered: a server that was upgraded meanwhile is asked for RFC 8599 again.
const MAX_REFUSAL: Duration = Duration::from_secs(24 * 3600);

/// Where a registration is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The app has not asked for a registration, and nothing that was registered needs one: nothing is sent.
    Idle,
    /// The binding is kept as it is wished.
    Active,
    /// The user logged out: the gateway in use is to be told.
    Leaving,
    /// The gateway in use has confirmed the log-out; those that were left are still to be told.
    Gone,
    /// The log-out is delivered.
    Finished,
}

/// What is to be sent, the first of them first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The push settings no longer cover what is bound: it is taken back, also before the app registers.
    Unbind,
    /// The app asks for push capabilities.
    Query(Option<String>),
    /// The binding is not as it is wished, or is to be renewed.
    Binding,
    /// A push needs a REGISTER that is sent after it arrived. One that was in flight when it came does not count.
    Push,
}

/// Whether another REGISTER may be sent, apart from the one in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Free,
    BackingOff(Duration),
    /// The credentials are wrong: only the app starts again. What was learnt where others can write along may be a lie, and
    /// does not outlive the network.
    Stopped {
        in_the_clear: bool,
    },
}

pub(crate) struct Registration {
    key: AccountKey,
    who: Registrant,
    life: Life,
    due: BTreeSet<Due>,
    /// The settings have changed since the last REGISTER was written.
    outdated: bool,
    /// The app wants another token since the last REGISTER was written.
    rewished: bool,
    pace: Pace,
    failures: u32,
    /// Flows in a row that broke soon after a registration.
    short_flows: u32,
    /// A push came: should its REGISTER fail, so many more are sent soon; its call cannot wait for the back-off.
    hurry: u32,
    pushes: Bucket,
    /// A push came only to have the binding refreshed.
    refreshed_by_push: bool,
    /// When the REGISTER for a push is due, because too many pushes came at once.
    owed_at: Option<Duration>,
    tries: Tries,
    gateways: Gateways,
    /// The gateway in use, by its place in the list.
    hop: usize,
    /// The binding at the gateway in use.
    here: Binding,
    left: Option<Box<Left>>,
    /// Addresses of the gateway in use that were left with a REGISTER unanswered.
    late: Vec<Late>,
    refresh_at: Option<Duration>,
    registered_at: Option<Duration>,
    /// Boot time at which the binding expires.
    bound_until: Option<Duration>,
    last_list: LastList,
    cleanups: u8,
    /// When a log-out is given up.
    give_up_at: Option<Duration>,
    removed: Option<Removed>,
    verdict: Option<Verdict>,
    service_route: Box<[String]>,
}

impl Registration {
    pub(crate) fn new(account: Account, push: Option<Push>, memory: Option<Memory>, random: &mut Random) -> Self {
        let gateways = Gateways::new(account.hops().len());
        let who = Registrant::new(account, push, memory, random);
        let mut registration = Self {
            key: who.key().clone(),
            here: Binding::in_use(who.memory().local_port),
            who,
            life: Life::Idle,
            due: BTreeSet::new(),
            outdated: false,
            rewished: false,
            pace: Pace::Free,
            failures: 0,
            short_flows: 0,
            hurry: 0,
            pushes: Bucket::default(),
            refreshed_by_push: false,
            owed_at: None,
            tries: Tries::default(),
            gateways,
            hop: 0,
            left: None,
            late: Vec::new(),
            refresh_at: None,
            registered_at: None,
            bound_until: None,
            last_list: LastList::default(),
            cleanups: 0,
            give_up_at: None,
            removed: None,
            verdict: None,
            service_route: Box::default(),
        };
        registration.take_up_left(true);
        registration.take_back_uncovered();
        registration
    }

    /// What was bound with other push settings than the present ones is taken back first, in a REGISTER of its own.
    fn take_back_uncovered(&mut self) {
        if self.who.uncovered(self.gateway_in_use().as_deref()).is_some() {
            self.due.insert(Due::Unbind);
        }
    }

    /// Takes up a log-out that an earlier process could not deliver.
    pub(crate) fn resume_removal(removal: Removal, random: &mut Random, now: Now) -> Option<Self> {
        let account = Account::restore(removal.account).ok()?;
        let push = removal.push.map(Push::parse).transpose().ok()?;
        let mut registration = Self::new(account, push, Some(removal.memory), random);
        registration.leave(now);
        Some(registration)
    }

    /// Takes over what an earlier process remembered of this account, which could not be read until now.
    pub(crate) fn recall(&mut self, earlier: Memory, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        let was_bound = earlier.bound.is_some();
        let token_is_new = !self.due.is_empty() && self.who.memory().token != TokenWish::NoneYet;
        let was_quiet = self.is_quiet();
        if self.who.recall(earlier, self.here.is_asking()) {
            self.close_left(flows, outbox);
            self.take_up_left(false);
            self.take_back_uncovered();
            if self.is_leaving() {
                self.leave(now);
            }
            if self.life != Life::Idle {
                self.due.insert(Due::Binding);
            }
        }
        if matches!(self.pace, Pace::Stopped { .. }) && self.who.has_worked() {
            // What was refused meanwhile is not what the credentials are worth.
            self.pace = Pace::Free;
        }
        if was_bound && token_is_new && self.life == Life::Idle {
            self.life = Life::Active;
        }
        if self.is_quiet() && !was_quiet && self.life == Life::Active {
            self.wish();
        }
    }

    fn leave(&mut self, now: Now) {
        self.life = Life::Leaving;
        self.who.leave();
        let left_at = *self.who.memory_mut().left_at.get_or_insert(now.wall.as_secs());
        let waited = Duration::from_secs(now.wall.as_secs().saturating_sub(left_at));
        // Whatever the wall clock says, each process tries it once.
        self.give_up_at = Some(now.boot + LOG_OUT.saturating_sub(waited).max(ONE_TRY));
        self.due.insert(Due::Binding);
    }

    /// Returns what is needed to deliver the log-out without the app.
    pub(crate) fn removal(&self) -> StoredRemoval {
        self.who.removal()
    }

    pub(crate) fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The server's word on push, as of its last answer.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    pub(crate) fn service_route(&self) -> &[String] {
        &self.service_route
    }

    pub(crate) fn account(&self) -> &Account {
        self.who.account()
    }

    pub(crate) fn push(&self) -> Option<&Push> {
        self.who.push()
    }

    /// Our Contact URI on the flow, without push parameters, for dialogs; `None` while there is no flow.
    pub(crate) fn contact_uri(&self, flows: &Flows) -> Option<String> {
        self.here.contact_base(&self.who, flows)
    }

    /// The token that the server pushes to, or must.
    pub(crate) fn token(&self) -> Option<&PushToken> {
        let memory = self.who.memory();
        memory.token.last().or_else(|| memory.bound.as_ref()?.token.as_ref())
    }

    /// Boot time since which the server knows where we are, unless it is to be told again.
    pub(crate) fn served_at(&self) -> Option<Duration> {
        let asks = self.here.is_asking() || self.owed_at.is_some() || self.due.contains(&Due::Push);
        self.registered_at.filter(|_| !asks && self.life == Life::Active)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.life, Life::Leaving | Life::Gone | Life::Finished)
    }

    /// Whether the log-out is delivered.
    pub(crate) fn is_finished(&self) -> bool {
        self.life == Life::Finished
    }

    /// The log-out ends like this. With several gateways, the weakest result counts.
    pub(crate) fn finish(&mut self, how: Removed) {
        self.life = Life::Finished;
        self.removed = Some(how);
    }

    /// How the log-out ended.
    pub(crate) fn how_removed(&self) -> Removed {
        self.removed.unwrap_or(Removed::Accepted)
    }

    /// Whether no push for this account may make a sound, as long as the app says nothing else.
    pub(crate) fn is_silent(&self) -> bool {
        let memory = self.who.memory();
        let wish = memory.quiet.as_ref().map_or(&memory.token, |quiet| &quiet.then);
        self.is_leaving() || matches!(wish, TokenWish::Unbind(_))
    }

    /// How it stands, for a report.
    /// The server's proofs that would be right by now, at any of the account's gateways.
    #[cfg(feature = "replay")]
    pub(crate) fn right_proofs(&self) -> Vec<zeroize::Zeroizing<String>> {
        let bindings = [&self.here].into_iter().chain(self.left.as_deref().map(Left::there));
        bindings.flat_map(|binding| binding.right_proofs(&self.who)).collect()
    }

    pub(crate) fn report(&self, outbox: &Outbox, now: Now) -> AccountState {
        let bound_for = self.bound_until.map_or(Duration::ZERO, |until| until.saturating_sub(now.boot));
        AccountState {
            account: outbox.recorded().id(&self.key),
            registered: self.registered_at.is_some() && !bound_for.is_zero(),
            bound_for: bound_for.as_secs(),
            token: matches!(self.who.memory().token, TokenWish::Bind(_)),
            stopped: matches!(self.pace, Pace::Stopped { .. }),
            gateways: self.account().hops().len(),
        }
    }

    /// When the binding ends, also one that an earlier process made: in seconds since 1970, 0 where there is none.
    pub(crate) fn bound_until(&self) -> u64 {
        self.who.memory().bound.as_ref().map_or(0, |bound| bound.expires_at)
    }

    pub(crate) fn into_memory(self) -> Memory {
        self.who.into_memory()
    }

    pub(crate) fn save(&self, outbox: &mut Outbox, durability: Durability) {
        self.who.save(outbox, durability);
    }

    /// Keeps the Call-ID, CSeq and Contacts of an earlier life of the same account, and takes over new settings.
    pub(crate) fn replace_account(
        &mut self,
        account: Account,
        push: Option<Push>,
        flows: &mut Flows,
        outbox: &mut Outbox,
    ) {
        let former = self.who.account();
        let moved = account.hops() != former.hops();
        let other = account.credentials() != former.credentials() || account.auth_user() != former.auth_user();
        if other {
            self.who.memory_mut().nonces.clear();
            if matches!(self.pace, Pace::Stopped { .. }) {
                self.pace = Pace::Free;
            }
        }
        self.who.memory_mut().worked &= !other && !moved;
        if push.as_ref() != self.who.push() {
            self.who.memory_mut().shown = Shown::Nothing;
        }
        if moved {
            self.gateways = Gateways::new(account.hops().len());
            self.hop = 0;
            self.who.memory_mut().mizutech = false;
            self.close_left(flows, outbox);
        }
        self.who.replace(account, push);
        self.take_back_uncovered();
        self.outdated = true;
        if moved {
            self.take_up_left(false);
            if self.here.flow().is_some() {
                self.due.insert(Due::Binding);
            }
            self.here.close(flows, outbox);
            self.interrupt();
            self.here.end_redirect();
        }
        if self.account().keep_alive().is_none() {
            self.here.stop_keep_alive();
        }
    }

    /// Does what is due, if it may be done now.
    pub(crate) fn drive(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        self.drive_here(flows, outbox, now);
        self.drive_late(flows, outbox, now);
        self.drive_left(flows, outbox, now);
    }

    fn drive_here(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        let waits = self.here.is_asking();
        let unbinds = self.life == Life::Idle && (self.due.contains(&Due::Unbind) || self.here.has_more());
        if !(unbinds || matches!(self.life, Life::Active | Life::Leaving)) || waits {
            return;
        }
        if let Pace::BackingOff(until) = self.pace
            && now.boot >= until
        {
            self.pace = Pace::Free;
        }
        if !self.wants_to_send() || self.pace != Pace::Free {
            return;
        }
        match self.here.flow() {
            None => return self.open(flows, outbox, now),
            Some(flow) if flows.up(flow).is_none() => return,
            Some(_) => {}
        }
        // A log-out that was asked for meanwhile comes before what continued.
        let leaving = self.life == Life::Leaving;
        let more = self.here.take_more().filter(|chain| !leaving || chain.purpose().removes());
        // What is to go before another token is bound goes first also where the token came while one was being bound.
        let rewished = std::mem::take(&mut self.rewished) && self.unseen(flows).is_some();
        let more = more.filter(|chain| !(rewished && matches!(chain.purpose(), Purpose::Bind)));
        let chain = more.unwrap_or_else(|| Chain::new(self.next_purpose(flows, now)));
        self.interrupt_left(flows, outbox, now);
        // The wall clock may have been set meanwhile; the boot time knows better, as far as this process goes back.
        let lives = self.bound_until.is_some_and(|until| now.boot < until);
        let gateway = self.gateway_in_use();
        let settles = matches!(chain.purpose(), Purpose::Bind | Purpose::Remove);
        match self.here.send(chain, &mut self.who, (gateway.as_deref(), lives), flows, outbox, now) {
            Ok(Sending::Sent) => {
                self.outdated = false;
                if settles {
                    self.due.remove(&Due::Push);
                    self.owed_at = None;
                }
                if self.hurry > 0 {
                    self.here.leave_at(now.boot + backoff::SILENCE);
                }
            }
            Ok(Sending::TooLarge) => self.open(flows, outbox, now),
            Err(failure) => self.stop(failure, false, outbox),
        }
    }

    fn wants_to_send(&self) -> bool {
        !self.due.is_empty() || self.here.has_more()
    }

    /// Takes what is due first and says what a REGISTER is sent for.
    fn next_purpose(&mut self, flows: &Flows, now: Now) -> Purpose {
        let leaving = self.life == Life::Leaving;
        match self.due.pop_first() {
            Some(Due::Query(provider)) if !leaving => return Purpose::Query(provider),
            Some(Due::Unbind) if !leaving => {
                if let Some(bound) = self.who.uncovered(self.gateway_in_use().as_deref()) {
                    return Purpose::Vacate(Box::new(bound.clone()));
                }
            }
            _ => {}
        }
        self.due.clear();
        self.forget_refusal(now);
        if self.life == Life::Leaving || self.who.memory().asked_only {
            return Purpose::Remove;
        }
        let former = self.to_vacate(flows).cloned().or_else(|| self.refused_leftover()).or_else(|| self.stray());
        former.map_or(Purpose::Bind, |bound| Purpose::Vacate(Box::new(bound)))
    }

    /// Forgets a 555 of long ago. Not on a push: its call would wait for another refusal.
    fn forget_refusal(&mut self, now: Now) {
        // A clock that was wrong when the 555 came must not keep it for ever.
        let recent = |at: u64| now.wall.as_secs().abs_diff(at) < MAX_REFUSAL.as_secs();
        let hurry = self.hurry;
        let memory = self.who.memory_mut();
        if memory.shown == Shown::NoRfc8599 && hurry == 0 && !memory.refused_at.is_some_and(recent) {
            memory.shown = Shown::Nothing;
        }
    }

    /// The old token's binding, if it would outlive the new one's: token and Contact have both changed, and a server
    /// that reads `X-MPUSH` may continue pushing for a Contact that is gone, unless it is told `null` for that very
    /// Contact. It costs a round trip, and only then.
    fn to_vacate(&self, flows: &Flows) -> Option<&Bound> {
        let memory = self.who.memory();
        if let Some(bound) = self.unseen(flows) {
            return Some(bound);
        }
        let TokenWish::Bind(token) = &memory.token else { return None };
        self.who.push().filter(|push| push.spoken_to_remove(memory.shown).contains(&Dialect::XMpush))?;
        let base = self.contact_uri(flows)?;
        let outlives = |bound: &&Bound| bound.token.as_ref().is_some_and(|old| old != token) && bound.base() != base;
        // The gateway in use knows nothing of what another one holds, unless they share a registrar.
        self.who.left_at(self.gateway_in_use().as_deref()).chain(&memory.bound).find(outlives)
    }

    /// The former binding at a server that must not be asked for its removal beside the new one, and lists nothing from which
    /// one could tell later that it is still there: it goes first, in a request of its own.
    fn unseen(&self, flows: &Flows) -> Option<&Bound> {
        let memory = self.who.memory();
        let wished = match &memory.token {
            TokenWish::Bind(token) => Some(token),
            TokenWish::Unbind(_) | TokenWish::NoneYet => None,
        };
        let base = self.contact_uri(flows)?;
        let gateway = self.gateway_in_use();
        let here = memory.bound.iter().filter(|bound| bound.gateway == gateway.as_deref().map(Into::into));
        let other = |bound: &&Bound| !bound.listed && (bound.token.as_ref() != wished || bound.base() != base);
        here.chain(self.who.left_at(gateway.as_deref())).find(other).filter(|_| memory.separate_removal)
    }

    /// A leftover that names the push provider that the server refuses, in a REGISTER that binds, even where it is to be
    /// removed: it goes in a request that binds nothing.
    fn refused_leftover(&self) -> Option<Bound> {
        let memory = self.who.memory();
        let mut leftovers = memory.former.iter().filter(|former| former.refusals > 0).map(|former| former.uri.expose());
        let uri = leftovers.find(|uri| uri.contains(";pn-")).filter(|_| memory.shown == Shown::NoRfc8599)?;
        let base = uri.split(";pn-").next()?;
        Bound::new(base, uri, None, u64::MAX, self.gateway_in_use().map(Into::into))
    }

    /// A former Contact that the server may push to, where no list tells whether it is gone and it must not be named for removal
    /// beside the new one: its turn was refused, and comes again. Not on a push, whose call waits.
    fn stray(&self) -> Option<Bound> {
        let memory = self.who.memory();
        let unseen = memory.bound.as_ref().filter(|bound| !bound.listed && memory.separate_removal)?;
        if self.hurry > 0 || self.cleanups > MAX_CLEANUPS {
            return None;
        }
        // Whatever the wall clock says: it may be wrong, and no list tells.
        let mut strays = memory.former.iter().filter(|known| known.refusals == 0).map(|known| known.uri.expose());
        let uri = strays.find(|uri| *uri != unseen.uri.expose())?;
        let base = uri.split(";pn-").next()?;
        Bound::new(base, uri, None, u64::MAX, self.gateway_in_use().map(Into::into))
    }

    /// The server holds nothing that is ours any more: the user is logged out or, after a mere question, as before it.
    fn gone(&mut self, flows: &mut Flows, outbox: &mut Outbox) {
        let bound = self.who.memory_mut().bound.take();
        if self.life == Life::Leaving {
            self.settle_at(bound, flows, outbox);
            // However often they were down, they are asked again.
            self.close_left(flows, outbox);
            self.take_up_left(false);
            self.life = Life::Gone;
            self.refresh_at = None;
            self.here.close(flows, outbox);
            // Where nobody is left to be told, the log-out's record goes at once.
            if self.left.is_some() {
                self.save(outbox, Durability::Progress);
            }
            return;
        }
        if !self.who.memory().asked_only {
            // The user registered while the answer was on its way.
            self.due.insert(Due::Binding);
            return;
        }
        self.life = Life::Idle;
        self.due.clear();
        self.who.memory_mut().former.clear();
        self.close(flows, outbox);
        self.save(outbox, Durability::Progress);
    }

    pub(crate) fn handle_response(
        &mut self,
        message: &Message,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) -> bool {
        if let Some(outcome) = self.here.handle_response(message, &mut self.who, flows, outbox, now) {
            self.conclude(outcome, message, flows, outbox, now);
            return true;
        }
        self.handle_late_response(message, flows, outbox, now) || self.handle_left_response(message, flows, outbox, now)
    }
}
