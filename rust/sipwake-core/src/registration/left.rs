//! Removes the bindings at left gateways, while the account stays registered at the one in use.
//!
//! The list of left gateways survives the process, and a log-out waits for them. They are asked one after the other,
//! the last one first, in three rounds. Each move begins the rounds again. If a gateway was down each time, its binding
//! ends by itself, unless a later process comes first. A log-out continues every hour, until it is given up. At most
//! [`MAX_LEFT`] are remembered.

use std::time::Duration;

use super::{Due, Life, Registration};
use crate::account::Hop;
use crate::binding::{Binding, Chain, MAX_CLEANUPS, Outcome, Purpose, Sending, Sent};
use crate::clock::{NextTimeout, Now};
use crate::event::{Event, Failure, FlowId, Removed};
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::redact::Secret;
use crate::sip::Message;
use crate::snapshot::{ConfirmedBinding, Durability, MAX_LEFT};

/// How long after the previous round each round begins. A left gateway may well be down.
const ROUNDS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(600)];
/// The same for each later round of a log-out. The part of a server that sends pushes may not know when a binding
/// expires.
const LATER: Duration = Duration::from_secs(3600);
/// How long after its expiry a binding may live on, in seconds. What sends the pushes for it may not know of the
/// expiry.
const LINGERS: u64 = 24 * 3600;

/// The rounds through the left gateways. What they may still hold is in
/// [`Memory::left`](crate::snapshot::Memory::left).
pub(super) struct Left {
    /// An earlier process left these gateways. Only the wall clock tells how long ago.
    restored: bool,
    round: usize,
    /// The gateway that is asked, by its place in [`Memory::left`](crate::snapshot::Memory::left).
    turn: usize,
    /// How many at the end of [`Memory::left`](crate::snapshot::Memory::left) have refused the credentials. This
    /// process does not ask them again.
    denied: usize,
    /// No flow to the gateway is opened before this.
    waits_until: Duration,
    /// When the gateway in use first accepted a binding after the move.
    since: Option<Duration>,
    /// How many more of our Contacts this gateway was asked to remove, because it listed them after a removal.
    cleanups: u8,
    /// What a gateway has said in this round instead of removing its binding.
    refusal: Option<Failure>,
    there: Binding,
}

impl Left {
    #[cfg(feature = "replay")]
    pub(super) fn there(&self) -> &Binding {
        &self.there
    }

    pub(super) fn binding_mut(&mut self) -> &mut Binding {
        &mut self.there
    }

    /// The gateway in use has accepted a binding.
    pub(super) fn begin(&mut self, now: Now) {
        self.since.get_or_insert(now.boot);
    }

    fn begin_turn(&mut self, turn: usize, until: Duration) {
        self.turn = turn;
        self.waits_until = until;
        self.cleanups = 0;
        self.there = Binding::left();
    }
}

/// How long a gateway that refused is left alone. Sometimes 403 means "not now".
const REFUSED: Duration = Duration::from_secs(600);
/// How often a gateway may refuse.
const MAX_REFUSALS: u8 = 3;

/// Whether the gateway need not be asked again, because it holds nothing more or will not change its mind. In a log-out
/// only 404 and 604 count: the user is unknown there.
fn is_final(code: u16, logs_out: bool) -> bool {
    matches!(code, 404 | 604) || (!logs_out && matches!(code, 200..=399 | 410 | 416 | 603))
}

pub(super) fn is_over(bound: &ConfirmedBinding, now: Now) -> bool {
    bound.expires_at.saturating_add(LINGERS) <= now.wall.as_secs()
}

impl Registration {
    /// The name of the gateway in use. `None` if one of several gateways redirected us: nobody knows which of them is
    /// behind the new address.
    pub(super) fn gateway_in_use(&self) -> Option<String> {
        let hops = self.account().hops();
        let chosen = hops.len() == 1 || !self.here.is_redirected();
        hops.get(self.hop).filter(|_| chosen).map(Hop::name)
    }

    /// The gateway that holds the present binding, by its place in the list.
    pub(super) fn home(&self) -> Option<usize> {
        self.place_of(self.who.memory().bound.as_ref()?)
    }

    fn place_of(&self, bound: &ConfirmedBinding) -> Option<usize> {
        let name = bound.gateway.as_deref()?;
        self.account().hops().iter().position(|hop| hop.name() == name)
    }

    /// Where a binding is removed, also if the account no longer names that gateway. If the registrar of the account is
    /// `sips:`, nothing goes there without TLS.
    fn hop_to(&self, bound: &ConfirmedBinding) -> Option<Hop> {
        let clear = !self.account().registrar().starts_with("sips:");
        let hop = Hop::named(bound.gateway.as_deref()?)?;
        (clear || hop.transport.is_secure()).then_some(hop)
    }

    /// The gateway in use accepted a binding in place of `bound`, or a removal. Bindings at other gateways are removed
    /// there.
    pub(super) fn note_gateway_move(
        &mut self,
        bound: Option<ConfirmedBinding>,
        unnamed: &[Secret],
        flows: &mut Flows,
        outbox: &mut Outbox,
    ) {
        let Some(here) = self.gateway_in_use() else { return };
        let elsewhere = |bound: &ConfirmedBinding| bound.gateway.as_deref().is_some_and(|gateway| gateway != here);
        // A binding that the present settings do not cover is removed in a request of its own.
        let uncovered: Vec<_> = self
            .who
            .left_at(Some(&here))
            .filter(|bound| !self.who.covers(bound))
            .map(|bound| bound.uri.clone())
            .collect();
        let left = &mut self.who.memory_mut().left;
        let before = left.len();
        left.retain(|bound| elsewhere(bound) || uncovered.contains(&bound.uri) || unnamed.contains(&bound.uri));
        let bound = bound.filter(elsewhere);
        if bound.is_none() && left.len() == before {
            return;
        }
        if let Some(bound) = bound {
            let full = left.len() >= MAX_LEFT;
            if full {
                left.remove(MAX_LEFT - 1);
            }
            left.insert(0, bound);
            self.who.memory_mut().lost |= full;
        }
        self.close_left(flows, outbox);
        self.take_up_left(false);
    }

    /// Plans to ask the left gateways, also those of an earlier process, as soon as there is nothing else to do.
    pub(super) fn take_up_left(&mut self, restored: bool) {
        let known = self.who.memory().left.iter().any(|left| self.hop_to(left).is_some());
        let begun = || Left {
            restored,
            round: 0,
            turn: 0,
            denied: 0,
            waits_until: Duration::ZERO,
            since: None,
            cleanups: 0,
            refusal: None,
            there: Binding::left(),
        };
        self.left = known.then(|| Box::new(begun()));
    }

    pub(super) fn left_timeouts(&self, soonest: &mut NextTimeout) {
        let Some(left) = &self.left else { return };
        if left.there.flow().is_none() {
            soonest.add_at((!self.is_busy()).then(|| self.asks_left_at(left)), "removal at the former gateway");
        }
        left.there.timeouts(false, soonest);
    }

    /// When the current left gateway may be asked. A gateway that refused an earlier process is not asked at the start.
    fn asks_left_at(&self, left: &Left) -> Duration {
        let refused = self.who.memory().left.get(left.turn).is_some_and(|bound| bound.refusals > 0);
        let registered = left.since.or(self.registered_at).filter(|_| refused && self.life != Life::Gone);
        registered.map_or(left.waits_until, |at| left.waits_until.max(at + REFUSED))
    }

    /// Whether the registration in use has something to do. It comes first, and nothing is asked before it stands.
    fn is_busy(&self) -> bool {
        self.life != Life::Gone && (self.here.is_asking() || self.wants_to_send() || self.registered_at.is_none())
    }

    /// The current left gateway holds nothing any more, or need not be asked again.
    fn forget_left(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        let Some(left) = &mut self.left else { return };
        left.there.close(flows, outbox);
        let turn = left.turn;
        if turn < self.who.memory().left.len() {
            self.who.memory_mut().left.remove(turn);
        }
        self.next_turn(turn, outbox, now);
    }

    /// The current left gateway refuses the credentials. In a log-out, another process asks it again, until the time is
    /// up.
    fn denied_left(&mut self, failure: Failure, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        let Some(left) = self.left.as_mut().filter(|_| self.life == Life::Gone) else {
            // A refused password is not tried again and again.
            return self.close_left(flows, outbox);
        };
        left.there.close(flows, outbox);
        let turn = left.turn;
        let memory = self.who.memory_mut();
        if turn < memory.left.len() {
            memory.left[turn..].rotate_left(1);
            left.denied += 1;
        }
        outbox.tell(Event::RegistrationFailed { account: self.key.clone(), failure, retry_in: None });
        self.next_turn(turn, outbox, now);
    }

    /// The current left gateway refused. It is asked again after the others, but only for a limited time.
    fn refused_left(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        let Some(left) = self.left.as_mut().filter(|left| left.turn < self.who.memory().left.len()) else { return };
        left.there.close(flows, outbox);
        let turn = left.turn;
        let memory = self.who.memory_mut();
        let mut bound = memory.left.remove(turn);
        bound.refusals = bound.refusals.saturating_add(1);
        if bound.refusals < MAX_REFUSALS {
            memory.left.push(bound);
        } else {
            memory.lost = true;
        }
        self.next_turn(turn, outbox, now);
        let refusals = |turn: usize| self.who.memory().left.get(turn).map_or(0, |bound| bound.refusals);
        if let Some(wait) = self.left.as_ref().map(|left| refusals(left.turn)).filter(|refusals| *refusals > 0)
            && let Some(left) = &mut self.left
        {
            left.waits_until = left.waits_until.max(now.boot + REFUSED * u32::from(wait.min(MAX_REFUSALS)));
        }
        self.save(outbox, Durability::Progress);
    }

    /// Goes to the next gateway, to the first one in the next round, or to the end.
    fn next_turn(&mut self, turn: usize, outbox: &mut Outbox, now: Now) {
        let named = self.who.memory().left.iter().any(|left| self.hop_to(left).is_some());
        let Some(left) = &mut self.left else { return };
        let known = self.who.memory().left.len().saturating_sub(left.denied);
        if turn < known {
            return left.begin_turn(turn, now.boot);
        }
        left.round += 1;
        let failure = left.refusal.take().unwrap_or(Failure::TimedOut);
        let later = (self.life == Life::Gone && named).then_some(LATER);
        let wait = ROUNDS.get(left.round).copied().or(later).filter(|_| known > 0);
        if left.round >= ROUNDS.len() && wait.is_some() {
            log::info!("{}: a left gateway: {failure}; its log-out continues", self.key);
            outbox.tell(Event::RegistrationFailed { account: self.key.clone(), failure, retry_in: wait });
        }
        match wait {
            Some(wait) => left.begin_turn(0, now.boot + wait),
            None => {
                // Only after the gateways were asked, because the wall clock may be wrong.
                let restored = left.restored && self.life != Life::Gone;
                self.left = None;
                if restored && self.who.give_up_left(|left| is_over(left, now)) {
                    self.save(outbox, Durability::Progress);
                }
            }
        }
    }

    pub(super) fn close_left(&mut self, flows: &mut Flows, outbox: &mut Outbox) {
        if let Some(mut left) = self.left.take() {
            left.there.close(flows, outbox);
        }
    }

    /// Opens the flow to a left gateway, and asks it when nothing else is on its way.
    pub(super) fn drive_left(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        if self.is_busy() {
            return;
        }
        while let Some(left) = &mut self.left {
            let turn = left.turn;
            if let Some(flow) = left.there.flow() {
                if left.there.is_asking() || flows.up(flow).is_none() {
                    return;
                }
                let Some(bound) = self.who.memory().left.get(turn) else { return self.close_left(flows, outbox) };
                let vacate = || Chain::new(Purpose::Vacate(Box::new(bound.clone()))).alone();
                let chain = left.there.take_more().unwrap_or_else(vacate);
                match left.there.send(chain, &mut self.who, (None, false), flows, outbox, now) {
                    Ok(Sending::Sent) => return,
                    Ok(Sending::TooLarge) => continue,
                    Err(_) => return self.close_left(flows, outbox),
                }
            }
            if self.left.as_ref().is_some_and(|left| now.boot < self.asks_left_at(left)) {
                return;
            }
            let Some(left) = &mut self.left else { return };
            left.there.expect_size_of(&self.here);
            match self.who.memory().left.get(turn).map(|bound| self.hop_to(bound)) {
                Some(Some(hop)) => {
                    if let Some(left) = &mut self.left {
                        left.there.open(&self.key, &hop, flows, outbox);
                    }
                    return;
                }
                Some(None) => self.next_turn(turn + 1, outbox, now),
                None => self.next_turn(turn, outbox, now),
            }
        }
        // A gateway that cannot be asked may still push. The result of the log-out says so.
        if self.life == Life::Gone && !self.who.memory().left.iter().any(|left| self.hop_to(left).is_some()) {
            if !self.who.memory().left.is_empty() {
                self.removed = Some(Removed::Accepted);
            }
            self.life = Life::Finished;
        }
    }

    /// The flow to the left gateway could not be opened, or broke.
    pub(super) fn left_went_down(&mut self, was_up: bool, outbox: &mut Outbox, now: Now) {
        let Some(left) = &mut self.left else { return };
        left.there.went_down();
        left.there.interrupt();
        if !was_up && left.there.give_up_tcp() {
            left.waits_until = now.boot;
            return;
        }
        let turn = left.turn + 1;
        self.next_turn(turn, outbox, now);
    }

    /// Tries again in the next round, or gives up.
    pub(super) fn give_left_up(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        let Some(left) = self.left.as_mut().filter(|left| left.there.flow().is_some()) else { return };
        left.there.close(flows, outbox);
        let turn = left.turn + 1;
        self.next_turn(turn, outbox, now);
    }

    /// Stops a removal, which is tried again later. The registration in use needs a REGISTER, and only one is on its
    /// way at a time.
    pub(super) fn interrupt_left(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        if self.left.as_ref().is_some_and(|left| left.there.is_asking()) {
            self.give_left_up(flows, outbox, now);
        }
    }

    /// The flow has moved to another address. The request is sent again there.
    pub(super) fn ask_left_anew(&mut self, flow: FlowId) {
        if let Some(left) = self.left.as_mut().filter(|left| left.there.owns(flow)) {
            left.there.ask_anew();
        }
    }

    pub(super) fn expire_left(&mut self, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        if self.left.as_mut().is_some_and(|left| left.there.is_timed_out(false, outbox, now)) {
            self.give_left_up(flows, outbox, now);
        }
    }

    pub(super) fn handle_left_response(
        &mut self,
        message: &Message,
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) -> bool {
        let Some(left) = &mut self.left else { return false };
        let Some(outcome) = left.there.handle_response(message, &mut self.who, flows, outbox, now) else {
            return false;
        };
        match outcome {
            Outcome::Provisional | Outcome::Again => {}
            Outcome::Accepted(sent, _) => {
                let bound = match sent.purpose() {
                    Purpose::Vacate(bound) => Some(&**bound),
                    _ => None,
                };
                let listed = message.contacts();
                let lingering = self.who.lingering(&sent, &listed);
                if self.life == Life::Gone && !(lingering.is_empty() && self.who.is_proven_gone(bound)) {
                    self.removed = Some(Removed::Accepted);
                }
                let behind = self.who.left_behind(&sent, &listed, &self.last_list, now);
                let stays = behind.is_some();
                if behind.is_some_and(|behind| self.take_back_too(behind, &sent, outbox)) {
                    return true;
                }
                // A Contact that was listed as ours may have been the binding in use, spelled differently.
                let asked_more = self.left.as_ref().is_some_and(|left| left.cleanups > 0);
                if (asked_more || self.is_rebound_after(&sent)) && !self.is_leaving() {
                    self.due.insert(Due::Binding);
                }
                if stays && self.life != Life::Gone {
                    self.give_left_up(flows, outbox, now);
                } else {
                    self.told_left("accepted", flows, outbox, now);
                }
            }
            // A redirect that must not be followed has removed nothing. Its sender may have no right to send it.
            Outcome::Refused { code: 300..=399, .. } if !message.contacts().is_empty() => {
                self.give_left_up(flows, outbox, now);
            }
            Outcome::Refused { code: 403, .. } if self.life != Life::Gone => self.refused_left(flows, outbox, now),
            Outcome::Refused { code, .. } if is_final(code, self.life == Life::Gone) => {
                if self.life == Life::Gone {
                    self.removed = Some(Removed::Accepted);
                }
                self.told_left("refused", flows, outbox, now);
            }
            Outcome::Refused { failure, .. } => {
                left.refusal = Some(failure);
                self.give_left_up(flows, outbox, now);
            }
            Outcome::Denied(failure) => self.denied_left(failure, flows, outbox, now),
        }
        true
    }

    /// The current left gateway holds another binding of ours, which is in no record. It is asked for in place of the
    /// one that was just removed. Returns whether it is. A binding that stays after it was named exactly as the gateway
    /// lists it waits for the next round.
    fn take_back_too(&mut self, bound: ConfirmedBinding, sent: &Sent, outbox: &mut Outbox) -> bool {
        let stays = bound.uri.expose() == sent.uri();
        let Some(left) = self.left.as_mut().filter(|left| left.cleanups < MAX_CLEANUPS && !stays) else { return false };
        left.cleanups += 1;
        left.there.go_on_with(Chain::new(Purpose::Vacate(Box::new(bound.clone()))).alone());
        if let Some(known) = self.who.memory_mut().left.get_mut(left.turn) {
            *known = bound;
        }
        self.save(outbox, Durability::Progress);
        true
    }

    fn told_left(&mut self, how: &str, flows: &mut Flows, outbox: &mut Outbox, now: Now) {
        log::info!("{}: the gateway that was left {how} the removal of its binding", self.key);
        self.forget_left(flows, outbox, now);
        self.save(outbox, Durability::Progress);
    }

    /// Whether the removal may have removed the new binding, too, so that it must be made again: the gateways may share
    /// a registrar that takes the two for one.
    pub(super) fn is_rebound_after(&self, sent: &Sent) -> bool {
        let Purpose::Vacate(left) = sent.purpose() else { return false };
        let same = self.who.memory().bound.as_ref().is_some_and(|bound| bound.base() == left.base());
        same || sent.says_beside_contact() || self.account().instance_id().is_some()
    }
}
