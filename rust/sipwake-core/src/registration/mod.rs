//! The policy for one account: what the app wants of its binding, what is due, at which gateway, and when.
//!
//! Commands (a token, an unbind, a log-out) and outside events (a push, another network, a timer) only mark what is
//! due. [`Registration::drive`] then sends at most one REGISTER at a time, and puts into it what has come in until
//! then. [`crate::binding`] writes a REGISTER and reads its response.

mod answer;
pub(crate) mod backoff;
mod beside;
mod bucket;
mod commands;
mod credentials;
mod flow;
mod late;
mod left;
pub(crate) mod list;
mod quiet;
mod timers;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
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
use crate::redact::Secret;
use crate::sip::Message;
use crate::snapshot::{ConfirmedBinding, Durability, Memory, PendingLogout, StoredLogout, WantedToken};

use bucket::{Bucket, Tries};
use late::Late;
use left::Left;

/// How long a log-out is tried. No push service keeps a message for longer.
const LOG_OUT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a process tries a log-out that is older than that.
const ONE_TRY: Duration = Duration::from_secs(60);
/// How long a 555 is remembered. Then the server is asked for RFC 8599 again, because it may have been upgraded.
const MAX_REFUSAL: Duration = Duration::from_secs(24 * 3600);

/// The stage of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The app has not asked for a registration, and no earlier one needs anything. Nothing is sent.
    Idle,
    /// The client keeps the binding as the app wants it.
    Active,
    /// The user logged out. The gateway in use does not know it yet.
    Leaving,
    /// The gateway in use has confirmed the log-out. The left gateways do not know it yet.
    Gone,
    /// The log-out is delivered.
    Finished,
}

/// What has to be sent. The order of the variants is the order of sending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The push settings no longer cover the binding. It is removed, even before the app registers.
    Unbind,
    /// The app asks for push capabilities.
    Query(Option<String>),
    /// The binding differs from what the app wants, or needs a refresh.
    Binding,
    /// A push needs a REGISTER that is sent after the push arrived. A REGISTER that was in flight at that time does not
    /// count.
    Push,
}

/// Whether another REGISTER may be sent, apart from the one in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Free,
    BackingOff(Duration),
    /// The credentials are wrong. Only the app starts again. On a flow without TLS somebody else may have forged the
    /// refusal, so it counts only until the network changes.
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
    /// The last response said that the server is in trouble.
    in_trouble: bool,
    /// The app wants another token since the last REGISTER was written.
    changed_since_sent: bool,
    pace: Pace,
    failures: u32,
    /// How many flows in a row broke soon after a registration.
    short_flows: u32,
    /// A push came, and its call cannot wait for the back-off. If the REGISTER fails, this many more are sent soon.
    urgent_retries: u32,
    /// When the gateway is left that has moved to its next address, if it stays silent.
    leave_at: Option<Box<Duration>>,
    pushes: Bucket,
    /// A push came only to refresh the binding.
    refreshed_by_push: bool,
    /// When the REGISTER for a push is due. Too many pushes came at once.
    owed_at: Option<Duration>,
    tries: Tries,
    gateways: Gateways,
    /// The gateway in use, by its place in the list.
    hop: usize,
    /// The binding at the gateway in use.
    here: Binding,
    left: Option<Box<Left>>,
    /// Addresses of the gateway in use that the flow moved away from while a REGISTER had no response.
    late: Vec<Late>,
    refresh_at: Option<Duration>,
    registered_at: Option<Duration>,
    /// Boot time at which the binding expires.
    bound_until: Option<Duration>,
    last_list: LastList,
    cleanups: u8,
    /// When the log-out is given up.
    give_up_at: Option<Box<Duration>>,
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
            in_trouble: false,
            changed_since_sent: false,
            pace: Pace::Free,
            failures: 0,
            short_flows: 0,
            urgent_retries: 0,
            leave_at: None,
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

    /// If the present push settings do not cover a binding, asks for its removal in a REGISTER of its own, before all
    /// others.
    fn take_back_uncovered(&mut self) {
        if self.who.uncovered(self.gateway_in_use().as_deref()).is_some() {
            self.due.insert(Due::Unbind);
        }
    }

    /// Continues a log-out that an earlier process could not deliver.
    pub(crate) fn resume_removal(removal: PendingLogout, random: &mut Random, now: Now) -> Option<Self> {
        let account = Account::restore(removal.account).ok()?;
        let push = removal.push.map(Push::parse).transpose().ok()?;
        let mut registration = Self::new(account, push, Some(removal.memory), random);
        registration.leave(now);
        Some(registration)
    }

    /// Takes over the record of an earlier process, which could not be read until now.
    pub(crate) fn recall(&mut self, earlier: Memory, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        let was_bound = earlier.bound.is_some();
        let token_is_new = !self.due.is_empty() && self.who.memory().token != WantedToken::NoneYet;
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
            // A refusal without the earlier record says nothing about the credentials.
            self.pace = Pace::Free;
        }
        if was_bound && token_is_new && self.life == Life::Idle {
            self.life = Life::Active;
        }
        if self.is_quiet() && !was_quiet && self.life == Life::Active {
            self.want_binding();
        }
    }

    fn leave(&mut self, now: Now) {
        self.life = Life::Leaving;
        self.who.leave();
        self.who.take_up_again(|left| !left::is_over(left, now));
        let left_at = NonZeroU64::MIN.saturating_add(now.wall.as_secs().saturating_sub(1));
        let left_at = *self.who.memory_mut().left_at.get_or_insert(left_at);
        let waited = Duration::from_secs(now.wall.as_secs().saturating_sub(left_at.get()));
        // The wall clock may be wrong, so each process tries it once.
        self.give_up_at = Some(Box::new(now.boot + LOG_OUT.saturating_sub(waited).max(ONE_TRY)));
        self.due.insert(Due::Binding);
    }

    /// Returns what a later process needs to deliver the log-out without the app.
    pub(crate) fn removal(&self) -> StoredLogout {
        self.who.removal()
    }

    pub(crate) fn key(&self) -> &AccountKey {
        &self.key
    }

    /// What the server's last response says about push.
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

    /// Our Contact URI on the flow, without push parameters, for dialogs. `None` while there is no flow.
    pub(crate) fn contact_uri(&self, flows: &Flows) -> Option<String> {
        self.here.contact_base(&self.who, flows)
    }

    /// The token that the server pushes to, or that it is to push to.
    pub(crate) fn token(&self) -> Option<&PushToken> {
        let memory = self.who.memory();
        memory.token.last().or_else(|| memory.bound.as_ref()?.token.as_ref())
    }

    /// Boot time since which the server knows where we are. `None` if it has to be told again.
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

    /// Ends the log-out. With several gateways, the weakest result counts.
    pub(crate) fn finish(&mut self, how: Removed) {
        self.life = Life::Finished;
        self.removed = Some(how);
    }

    /// How the log-out ended.
    pub(crate) fn how_removed(&self) -> Removed {
        self.removed.unwrap_or(Removed::Accepted)
    }

    /// Whether pushes for this account must be silent, because the app asked for it.
    pub(crate) fn is_silent(&self) -> bool {
        let memory = self.who.memory();
        let wanted = memory.quiet.as_ref().map_or(&memory.token, |quiet| &quiet.then);
        self.is_leaving() || matches!(wanted, WantedToken::Unbind(_))
    }

    /// Every `rspauth` that can be right by now, from any of the account's gateways.
    #[cfg(feature = "replay")]
    pub(crate) fn right_proofs(&self) -> Vec<zeroize::Zeroizing<String>> {
        let bindings = [&self.here].into_iter().chain(self.left.as_deref().map(Left::there));
        bindings.flat_map(|binding| binding.right_proofs(&self.who)).collect()
    }

    /// The state of the account for a report.
    pub(crate) fn report(&self, outbox: &Outbox, now: Now) -> AccountState {
        let bound_for = self.bound_until.map_or(Duration::ZERO, |until| until.saturating_sub(now.boot));
        AccountState {
            account: outbox.recorded().id(&self.key),
            registered: self.registered_at.is_some() && !bound_for.is_zero(),
            bound_for: bound_for.as_secs(),
            token: matches!(self.who.memory().token, WantedToken::Bind(_)),
            stopped: matches!(self.pace, Pace::Stopped { .. }),
            gateways: self.account().hops().len(),
        }
    }

    /// When the binding ends, in seconds since 1970, also if an earlier process made it. 0 if there is none.
    pub(crate) fn bound_until(&self) -> u64 {
        self.who.memory().bound.as_ref().map_or(0, |bound| bound.expires_at)
    }

    pub(crate) fn into_memory(self) -> Memory {
        self.who.into_memory()
    }

    pub(crate) fn save(&self, outbox: &mut Outbox, durability: Durability) {
        self.who.save(outbox, durability);
    }

    /// Takes over new settings, and keeps the Call-ID, CSeq and Contacts of the account.
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
        if self.left.is_none() {
            self.take_up_left(false);
        }
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

    /// Sends what is due, as far as it may be sent now.
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
        // If the app has asked for a log-out meanwhile, it comes before a chain that wants to continue.
        let leaving = self.life == Life::Leaving;
        let more = self.here.take_more().filter(|chain| !leaving || chain.purpose().removes());
        // If the token changed while the previous one was being bound, the old binding is still removed first.
        let changed_since_sent = std::mem::take(&mut self.changed_since_sent) && self.unseen(flows).is_some();
        let more = more.filter(|chain| !(changed_since_sent && matches!(chain.purpose(), Purpose::Bind)));
        let chain = more.unwrap_or_else(|| match self.next_purpose(flows, now) {
            purpose @ Purpose::Vacate(_) if self.who.is_one_by_one() => Chain::new(purpose).alone(),
            purpose => Chain::new(purpose),
        });
        self.interrupt_left(flows, outbox, now);
        // Somebody may have set the wall clock. For a binding that this process made, the boot time is reliable.
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
                let leave_at = self.leave_at.take();
                if self.urgent_retries > 0 {
                    self.here.leave_at(leave_at.map_or(now.boot + backoff::SILENCE, |at| *at));
                }
            }
            Ok(Sending::TooLarge) => self.open(flows, outbox, now),
            Err(failure) => self.stop(failure, false, outbox),
        }
    }

    fn wants_to_send(&self) -> bool {
        !self.due.is_empty() || self.here.has_more()
    }

    /// Takes what is due first, and returns what its REGISTER is for.
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

    /// Forgets an old 555. A push does not do that, because its call would have to wait for another refusal.
    fn forget_refusal(&mut self, now: Now) {
        // If the clock was wrong when the 555 came, it would otherwise never expire.
        let recent = |at: u64| now.wall.as_secs().abs_diff(at) < MAX_REFUSAL.as_secs();
        let urgent_retries = self.urgent_retries;
        let memory = self.who.memory_mut();
        if memory.shown == Shown::NoRfc8599 && urgent_retries == 0 && !memory.refused_at.is_some_and(recent) {
            memory.shown = Shown::Nothing;
        }
    }

    /// The old token's binding, if it would outlive the new one. This happens when token and Contact have both changed:
    /// a server that reads `X-MPUSH` may continue to push for the old Contact until it gets `null` for exactly that
    /// Contact. It costs a round trip, so it is done only then.
    fn to_vacate(&self, flows: &Flows) -> Option<&ConfirmedBinding> {
        let memory = self.who.memory();
        if let Some(bound) = self.unseen(flows) {
            return Some(bound);
        }
        let WantedToken::Bind(token) = &memory.token else { return None };
        self.who.push().filter(|push| push.spoken_to_remove(memory.shown).contains(&Dialect::XMpush))?;
        let has_moved = |bound: &ConfirmedBinding| self.contact_uri(flows).is_some_and(|base| bound.base() != base);
        let outlives =
            |bound: &&ConfirmedBinding| bound.token.as_ref().is_some_and(|old| old != token) && has_moved(bound);
        // The gateway in use does not know the bindings of another one, unless they share a registrar.
        self.who.left_at(self.gateway_in_use().as_deref()).chain(&memory.bound).find(outlives)
    }

    /// The former binding at a server that does not accept its removal beside the new one, and whose lists do not show
    /// whether it is still there. It is removed first, in a request of its own.
    fn unseen(&self, flows: &Flows) -> Option<&ConfirmedBinding> {
        let memory = self.who.memory();
        if !memory.separate_removal {
            return None;
        }
        let wanted = match &memory.token {
            WantedToken::Bind(token) => Some(token),
            WantedToken::Unbind(_) | WantedToken::NoneYet => None,
        };
        let base = self.contact_uri(flows)?;
        let gateway = self.gateway_in_use();
        let here = memory.bound.iter().filter(|bound| bound.gateway == gateway.as_deref().map(Into::into));
        let other =
            |bound: &&ConfirmedBinding| !bound.listed && (bound.token.as_ref() != wanted || bound.base() != base);
        here.chain(self.who.left_at(gateway.as_deref())).find(other)
    }

    /// A leftover that the server lists, and that it does not remove in a request that binds something.
    fn refused_leftover(&self) -> Option<ConfirmedBinding> {
        if self.urgent_retries > 0 {
            // Its call waits.
            return None;
        }
        let former = self.who.memory().former.iter();
        let mut leftovers = former.filter(|former| former.is_due()).map(|former| former.uri.expose());
        let uri = leftovers.find(|uri| self.who.removes_apart(uri))?;
        let base = uri.split(";pn-").next()?;
        ConfirmedBinding::new(base, uri, None, u64::MAX, self.gateway_in_use().map(Into::into))
    }

    /// A former Contact that the server may still push to. No list shows whether it is there, and it must not be
    /// removed in the same request as the new one. Its removal was refused, and is tried again. A push does not do
    /// that, because its call waits.
    fn stray(&self) -> Option<ConfirmedBinding> {
        let memory = self.who.memory();
        let unseen = memory.bound.as_ref().filter(|bound| !bound.listed)?;
        let apart = |uri: &&str| memory.separate_removal || self.who.removes_apart(uri);
        if self.urgent_retries > 0 || self.cleanups > MAX_CLEANUPS {
            return None;
        }
        // The expiry is not looked at: the wall clock may be wrong, and no list corrects it.
        let strays = memory.former.iter().filter(|known| known.refusals == 0).map(|known| known.uri.expose());
        let uri = strays.filter(apart).find(|uri| *uri != unseen.uri.expose())?;
        if let Some(left) = self.who.left_at(self.gateway_in_use().as_deref()).find(|left| left.uri.expose() == uri) {
            // What was said for it is known.
            return Some(left.clone());
        }
        let base = uri.split(";pn-").next()?;
        ConfirmedBinding::new(base, uri, None, u64::MAX, self.gateway_in_use().map(Into::into))
    }

    /// The server holds none of our bindings any more. Either the user is logged out, or the account only asked
    /// something and is as idle as before.
    /// Only `unnamed` may still be there: this gateway lists nothing, and the request could not name them.
    fn finish_log_out(&mut self, unnamed: &[Secret], flows: &mut Flows, outbox: &mut Outbox) {
        let bound = self.who.memory_mut().bound.take();
        if self.life == Life::Leaving {
            self.note_gateway_move(bound, unnamed, flows, outbox);
            // The left gateways are asked again, however often they were down.
            self.close_left(flows, outbox);
            self.life = Life::Gone;
            if self.who.leave_given_up() {
                self.removed = Some(Removed::Accepted);
            }
            self.take_up_left(false);
            self.refresh_at = None;
            self.here.close(flows, outbox);
            // If no gateway is left to be told, the log-out's record is removed at once.
            if self.left.is_some() {
                self.save(outbox, Durability::Progress);
            }
            return;
        }
        if !self.who.memory().asked_only {
            // The user registered while the response was on its way.
            self.due.insert(Due::Binding);
            return;
        }
        self.note_gateway_move(bound, unnamed, flows, outbox);
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
