//! The whole client without its sockets: accounts, their bindings, and the calls that reach them.
//!
//! # The contract
//!
//! Hand in what happened (`handle_*`, or one of the app's commands). Then drain [`UserAgent::poll_output`] until it
//! returns `None`, and do what it says *in that order*. Then sleep until [`UserAgent::poll_timeout`] or until something
//! else happens. An [`Output::Save`] comes before the bytes that depend on it. Store it before you send them, and
//! report a failure with [`UserAgent::handle_saved`] before you poll again. With an asynchronous store, call
//! [`UserAgent::hold_until_saved`] first. Then the queue stops at each save until it is confirmed.

mod beside;

use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroize;

use crate::account::{Account, AccountKey, Transport};
pub use crate::call::Decline;
use crate::call::{CallPolicy, HangUp};
#[cfg(feature = "replay")]
use crate::calls::Judgements;
use crate::calls::{Calls, Cx};
use crate::clock::{NextTimeout, Now};
use crate::error::FieldError;
use crate::event::{Answer, CallTimes, Discard, Event, FlowError, FlowId, Output, Removed};
use crate::flows::{Flow, Flows};
use crate::gateway::Load;
use crate::judge::{self, Gate, User, name};
use crate::outbox::{Destination, Outbox};
use crate::payload::{ActionKind, Hints, Ignored, Judged, Problem, PushAction};
use crate::push::{Push, PushToken, Verdict};
use crate::random::Random;
use crate::record::{Decision, Platform, Report};
use crate::redact::Secret;
use crate::registration::{Registration, list};
#[cfg(feature = "sealed")]
use crate::sealed::PUSHES_OPENED;
use crate::sip::{Frame, Message, ParseError};
use crate::snapshot::{
    CALLS, Durability, MAX_ACCOUNTS, MAX_REMOVALS, Memory, PendingLogout, PushRule, RECORD, REMOVALS, Removals, SaveId,
    StoredLogout, StoredRemovals, binding_key, open,
};
use crate::unread::Unread;
use crate::unsaved::Unsaved;

/// Why a record cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// This is normal for a while, because the user has not unlocked the device yet. The app gets no event.
    Shut,
    /// The store fails. [`Event::StoreFailed`] carries this text.
    Failed(String),
}

/// Names no account of this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such account")]
pub struct NoSuchAccount;

/// The sans-IO client. See the [module](self) for how it is driven.
pub struct UserAgent {
    outbox: Outbox,
    flows: Flows,
    registrations: Vec<Registration>,
    calls: Calls,
    unsaved: Unsaved,
    unread: Unread,
    /// A command of the app was not durable at the last check.
    owes_durable: bool,
    /// Each received message becomes an output, too.
    traces: bool,
    /// The sealed pushes that were opened, in the form that is stored.
    #[cfg(feature = "sealed")]
    opened: Option<Vec<u8>>,
    /// The key for sealed pushes, in the form that a REGISTER carries.
    push_key: Option<Secret>,
}

impl UserAgent {
    /// Returns a client without accounts, which takes over the log-outs that an earlier process could not deliver.
    ///
    /// `seed` must be unguessable and new for each process. `removals` is the stored record [`REMOVALS`], if there is
    /// one.
    pub fn new(seed: [u8; 32], removals: Option<&[u8]>, now: Now) -> Self {
        Self::with(Random::new(seed), removals, now)
    }

    pub(crate) fn with(random: Random, removals: Option<&[u8]>, now: Now) -> Self {
        let mut agent = Self {
            outbox: Outbox::new(random),
            flows: Flows::default(),
            registrations: Vec::new(),
            calls: Calls::default(),
            unsaved: Unsaved::default(),
            unread: Unread::default(),
            owes_durable: false,
            traces: false,
            #[cfg(feature = "sealed")]
            opened: None,
            push_key: None,
        };
        agent.outbox.at(now);
        agent.take_removals(removals, now);
        agent.run_due(now);
        agent
    }

    /// Takes over the log-outs of earlier processes, and the users who logged out.
    fn take_removals(&mut self, record: Option<&[u8]>, now: Now) {
        let StoredRemovals { pending, departed, push_rules } = match record.map(Removals::open) {
            Some(Ok(read)) => read,
            Some(Err(damage)) => return self.store_failed(REMOVALS, damage.to_string()),
            None => return,
        };
        self.outbox.removals_mut().departed.extend(departed);
        self.outbox.removals_mut().recall_push_rules(push_rules);
        for present in self.registrations.iter().filter(|registration| !registration.is_leaving()) {
            self.outbox.removals_mut().return_of(&name(present.account()));
        }
        self.outbox.removals_mut().forget_departed(now.wall);
        for removal in pending.into_iter().take(MAX_REMOVALS) {
            let Some((key, removal)) = removal else {
                self.store_failed(REMOVALS, "a log-out in it cannot be read".to_owned());
                continue;
            };
            // Before the record could be read, the user came back or logged out again.
            if let Some(known) = self.registrations.iter_mut().find(|registration| *registration.key() == key) {
                known.recall(removal.memory, &mut self.flows, &mut self.outbox, now);
                // Otherwise a later process would continue the log-out that was taken back.
                known.save(&mut self.outbox, Durability::Wish);
                self.outbox.save_removals(Durability::Wish);
                continue;
            }
            match Registration::resume_removal(removal, self.outbox.random(), now) {
                Some(registration) => {
                    self.outbox.note(&key, Decision::LogOutResumed {});
                    self.outbox.removals_mut().insert(key, registration.removal());
                    self.insert_registration(registration);
                }
                None => self.store_failed(REMOVALS, "a log-out in it cannot be read".to_owned()),
            }
        }
    }

    // Commands of the app.

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. It sends nothing before
    /// [`register`](Self::register). One exception: an account that is registered moves to other gateways at once.
    ///
    /// `stored` is the account's own record (see [`binding_key`]), if there is one. With it, the account keeps its
    /// Call-ID, its CSeq, its nonces and the Contacts that must still be removed. If a log-out of the same account is
    /// pending, this takes it back.
    ///
    /// # Errors
    /// A [`FieldError`] for the field `accounts` when there are [`MAX_ACCOUNTS`] already.
    pub fn add_account(
        &mut self,
        account: Account,
        push: Option<Push>,
        stored: Option<&[u8]>,
        now: Now,
    ) -> Result<AccountKey, FieldError> {
        self.outbox.at(now);
        let key = account.key();
        let known = self.registrations.iter().position(|registration| *registration.key() == key);
        let present = self.registrations.iter().filter(|registration| !registration.is_leaving()).count();
        let mut earlier = None;
        let memory = match known {
            Some(index) if !self.registrations[index].is_leaving() => {
                self.registrations[index].replace_account(account, push, &mut self.flows, &mut self.outbox);
                if let Some(key) = &self.push_key {
                    self.registrations[index].set_push_key(key);
                }
                self.run_due(now);
                return Ok(key);
            }
            _ if present >= MAX_ACCOUNTS => {
                return Err(FieldError::malformed("accounts", "at most 16 accounts"));
            }
            Some(index) => {
                let mut departing = self.registrations.remove(index);
                departing.close(&mut self.flows, &mut self.outbox);
                let memory = departing.into_memory();
                match stored.map(open::<Memory>) {
                    // While the log-out's record could not be read, the account went on with its own.
                    Some(Ok(own)) if own.call_id == memory.call_id && own.cseq_reserved > memory.cseq_reserved => {
                        earlier = Some(memory);
                        Some(own)
                    }
                    _ => Some(memory),
                }
            }
            // The store refused the newest record, so `stored` may be an older one. Or the record cannot be read yet.
            None if self.unsaved.holds(&binding_key(&key)) || self.unread.holds(&binding_key(&key)) => {
                Some(Memory::lost(self.outbox.random()))
            }
            None => match stored.map(open::<Memory>) {
                Some(Ok(memory)) => Some(memory),
                Some(Err(damage)) => {
                    self.store_failed(&binding_key(&key), damage.to_string());
                    Some(Memory::lost(self.outbox.random()))
                }
                None => None,
            },
        };
        let mut registration = Registration::new(account, push, memory, self.outbox.random());
        if let Some(earlier) = earlier {
            registration.recall(earlier, &mut self.flows, &mut self.outbox, now);
        }
        let returns = self.outbox.removals_mut().return_of(&name(registration.account()));
        if self.outbox.removals().holds(&key) {
            registration.save(&mut self.outbox, Durability::Wish);
            self.outbox.save_removal(&key, None, Durability::Wish);
        } else if returns {
            self.outbox.save_removals(Durability::Progress);
        }
        self.insert_registration(registration);
        self.run_due(now);
        Ok(key)
    }

    /// Registers now, even after a refusal, because the app started or the user asked for it. Call it at every start.
    /// Servers drop push bindings for many reasons, and the next REGISTER restores them.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn register(&mut self, key: &AccountKey, now: Now) -> Result<(), NoSuchAccount> {
        self.outbox.at(now);
        self.find(key)?.register();
        self.outbox.note(key, Decision::RegisterAsked {});
        self.run_due(now);
        Ok(())
    }

    /// Takes the push token that the provider gave. The same token again costs nothing. If this process or an earlier
    /// one registered the account, a new token is sent at once, and its binding replaces the old one. Otherwise it
    /// waits for [`register`](Self::register).
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn set_token(&mut self, key: &AccountKey, token: PushToken, now: Now) -> Result<(), NoSuchAccount> {
        self.outbox.at(now);
        let index = self.position(key)?;
        if self.registrations[index].set_token(token) {
            self.outbox.note(key, Decision::TokenChanged {});
            self.registrations[index].save(&mut self.outbox, Durability::Wish);
        }
        self.run_due(now);
        Ok(())
    }

    /// Removes the push binding and keeps the account registered. From here on no push for this account makes a sound.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn unbind_push(&mut self, key: &AccountKey, now: Now) -> Result<(), NoSuchAccount> {
        self.outbox.at(now);
        let index = self.position(key)?;
        if self.registrations[index].unbind_push() {
            self.outbox.note(key, Decision::UnbindAsked {});
            self.registrations[index].save(&mut self.outbox, Durability::Wish);
        }
        self.run_due(now);
        Ok(())
    }

    /// Keeps pushes from disturbing the account's user until `until`, a time since 1970. [`Duration::MAX`] means until
    /// further notice. `None`, or a time that has passed, ends this.
    ///
    /// Meanwhile the account stays registered without a push binding, as after [`unbind_push`](Self::unbind_push), and
    /// no push makes a sound. When the time is over, the binding comes back with the newest token, and
    /// [`Event::DoNotDisturbOver`] says so. If no process runs at that moment, this happens when the account is added.
    /// A running client still reports a call whose INVITE arrives. If somebody sets the clock back to before this call,
    /// the client counts the length that the app asked for.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn set_do_not_disturb(
        &mut self,
        key: &AccountKey,
        until: Option<Duration>,
        now: Now,
    ) -> Result<(), NoSuchAccount> {
        self.outbox.at(now);
        let index = self.position(key)?;
        if self.registrations[index].set_do_not_disturb(until, now) {
            let on = self.registrations[index].is_quiet().into();
            self.outbox.note(key, Decision::DoNotDisturb { on });
            self.registrations[index].save(&mut self.outbox, Durability::Wish);
        }
        self.run_due(now);
        Ok(())
    }

    /// Removes the binding and the account. The client stores the log-out first. It repeats the log-out with back-off
    /// until the server confirms it, and later processes continue. Of the credentials it keeps only HA1.
    ///
    /// If no server has asked for credentials before, that is HA1 for the configured realm or the AOR's domain. If a
    /// server asks a later process for another realm, the log-out fails with
    /// [`Failure::Unanswerable`](crate::event::Failure::Unanswerable) and waits. [`add_account`](Self::add_account)
    /// with the password and a second `log_out` then deliver it.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn log_out(&mut self, key: &AccountKey, now: Now) -> Result<(), NoSuchAccount> {
        self.outbox.at(now);
        let index = self.position(key)?;
        self.with_calls(now, |calls, cx| calls.end_calls_of(key, cx));
        self.outbox.note(key, Decision::LogOutAsked {});
        let registration = &mut self.registrations[index];
        registration.log_out(now);
        if registration.was_ever_sent() {
            if self.outbox.removals().len() >= MAX_REMOVALS {
                self.give_up_oldest_removal(key, now);
            }
            let index = self.position_of_leaving(key).ok_or(NoSuchAccount)?;
            let removal = self.registrations[index].removal();
            self.outbox.save_removal(key, Some(removal), Durability::Wish);
        } else {
            registration.finish(Removed::NeverBound);
        }
        self.forget_record(key);
        self.run_due(now);
        Ok(())
    }

    /// Accepts another realm for `X-PIID` than the pinned one. Call it after
    /// [`Warning::PinnedRealmChanged`](crate::trust::Warning::PinnedRealmChanged), when somebody has confirmed the
    /// realm. `X-PIID` is sent at once. A realm in the account's configuration still takes precedence.
    ///
    /// # Errors
    /// A [`FieldError`] for the field `realm`, or for `account` when there is no such account.
    pub fn accept_realm(&mut self, key: &AccountKey, realm: &str, now: Now) -> Result<(), FieldError> {
        crate::error::check_text("realm", realm, crate::account::MAX_FIELD)?;
        let unknown = |_| FieldError::malformed("account", "an account of this client");
        let index = self.position(key).map_err(unknown)?;
        self.registrations[index].accept_realm(realm);
        self.registrations[index].save(&mut self.outbox, Durability::Wish);
        self.run_due(now);
        Ok(())
    }

    /// Says that a server may hold a binding that no record knows, from an earlier installation or another program. A
    /// [`log_out`](Self::log_out) then asks the server to remove the binding that the account's token and settings
    /// would have made, and every binding of ours that the server lists in its response.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn assume_bound(&mut self, key: &AccountKey) -> Result<(), NoSuchAccount> {
        self.find(key)?.assume_bound();
        Ok(())
    }

    /// Asks the server whether it supports a push provider or, with `None`, which ones it supports (RFC 8599 section
    /// 4.1.5). The outcome is an [`Event::Capabilities`]. A REGISTER follows and removes the binding that the query
    /// left behind. If the account is not registered, the query does not register it.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn query_push(&mut self, key: &AccountKey, provider: Option<String>, now: Now) -> Result<(), NoSuchAccount> {
        self.outbox.at(now);
        self.find(key)?.query(provider);
        self.run_due(now);
        Ok(())
    }

    /// Asks for the record [`PUSHES_OPENED`] to be stored. Nothing waits for it. If the store refuses it,
    /// [`Event::StoreFailed`] says so, and the client tries again with back-off.
    #[cfg(feature = "sealed")]
    pub fn save_opened(&mut self, record: Vec<u8>, now: Now) {
        self.outbox.at(now);
        self.opened = Some(record);
        self.store_anew(PUSHES_OPENED.to_owned(), Durability::Progress);
        self.run_due(now);
    }

    /// Takes this phone's key for sealed pushes, for the accounts that send it
    /// ([`send_push_key`](crate::account::AccountConfig::send_push_key)). A new key is sent at once.
    #[cfg(feature = "sealed")]
    pub fn set_push_key(&mut self, key: &crate::sealed::PushKey, now: Now) {
        self.outbox.at(now);
        let header = Secret::new(format!("auth={};p256dh={}", key.auth, key.p256dh));
        for registration in &mut self.registrations {
            registration.set_push_key(&header);
        }
        self.push_key = Some(header);
        self.run_due(now);
    }

    /// Returns `true` if an account sends the key for sealed pushes and the key is not here yet.
    #[cfg(feature = "sealed")]
    pub fn wants_push_key(&self) -> bool {
        self.push_key.is_none() && self.accounts().any(Account::sends_push_key)
    }

    // Calls.

    /// Sets how calls are treated from here on.
    pub fn set_call_policy(&mut self, policy: CallPolicy) {
        self.calls.set_policy(policy);
    }

    /// Says that the phone rings. With [`Progress::Session`](crate::call::Progress::Session) the caller now gets 180.
    /// If the caller required reliable responses, the 180 waits for their PRACK of the 183 (RFC 3262 section 3).
    ///
    /// Returns `false` for a call that is not ringing, or whose caller already knows it.
    pub fn ringing(&mut self, call: Uuid, now: Now) -> bool {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.ringing(call, cx))
    }

    /// Answers for the user. This works at any time after the push.
    ///
    /// When the INVITE is here, now or later, [`AnswerWanted`](crate::event::CallChange::AnswerWanted) brings its
    /// offer. Then the app calls [`accept`](Self::accept) with its session description. Returns `false` for a call that
    /// is unknown, over or accepted already.
    pub fn answer(&mut self, call: Uuid, now: Now) -> bool {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.answer(call, cx))
    }

    /// Accepts a call whose INVITE is here, with the answer to its offer or, if it had none, with our offer. The 200
    /// goes out at once, or as soon as there is a flow. [`Connected`](crate::event::CallChange::Connected) follows with
    /// the ACK.
    ///
    /// Returns `false` for a call that is not ringing: not known, not here yet, accepted already, or over.
    pub fn accept(&mut self, call: Uuid, answer: Answer, now: Now) -> bool {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.accept(call, answer, cx))
    }

    /// Declines a call that rings or was announced. If the call was announced, the refusal goes out when its INVITE
    /// comes. Returns `false` for a call that is unknown, answered or over.
    pub fn decline(&mut self, call: Uuid, how: Decline, now: Now) -> bool {
        self.outbox.at(now);
        self.outbox.note_call(None, call, Decision::Declined { how: how.into() });
        self.command(now, |calls, cx| calls.decline(call, how, cx))
    }

    /// Ends a call in any state. Returns `false` for a call that is unknown or over.
    pub fn hang_up(&mut self, call: Uuid, why: HangUp, now: Now) -> bool {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.hang_up(call, why, cx))
    }

    /// Responds to an [`Offered`](crate::event::CallChange::Offered) with the app's answer or, if it had no offer, with
    /// the app's own offer. `None` refuses it with 488, and the call continues as it was. Returns `false` if no offer
    /// waits for a response.
    pub fn respond_offer(&mut self, call: Uuid, answer: Option<Answer>, now: Now) -> bool {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.respond_offer(call, answer, cx))
    }

    /// Says whether the app responds to requests inside a call that only an app can serve, with
    /// [`respond_request`](Self::respond_request): INFO (digits, for example) and REFER (a transfer). This is off by
    /// default. Then the app still gets an event for each of them, an INFO with a body gets 415, and a REFER gets 405.
    pub fn take_call_requests(&mut self, take: bool) {
        self.calls.take_requests(take);
    }

    /// Responds to an [`Asked`](crate::event::CallChange::Asked) that waits for it, with a status from 200 to 699. Any
    /// other status becomes 500. A REFER that the app accepts gets 202 and one NOTIFY, which says that the app tries.
    /// The app hangs up when the transfer is done.
    ///
    /// Returns `false` if no request with this id waits for a response.
    pub fn respond_request(&mut self, call: Uuid, request: u64, status: u16, now: Now) -> bool {
        self.command(now, |calls, cx| calls.respond_request(call, request, status, cx))
    }

    /// Returns the times of a call. A call that ended within the last hour is included.
    pub fn call_times(&self, call: Uuid) -> Option<CallTimes> {
        self.calls.call_times(call)
    }

    /// Allows or refuses calls from addresses that are not the registrar's. By default they are refused.
    pub fn allow_unsolicited_calls(&mut self, allow: bool) {
        self.calls.allow_unsolicited(allow);
    }

    // What happens outside.

    /// Takes a push that [`parse_push`](crate::payload::parse_push) read. The client registers and expects the
    /// announced call.
    pub fn handle_push(&mut self, action: &PushAction, now: Now) {
        self.outbox.at(now);
        self.end_quiet_in_time(now);
        if action.judged == Judged::Not {
            let judged = self.gate().judge(action.clone(), &Hints::at(now), now.boot);
            return self.handle_push(&judged, now);
        }
        let users = self.users();
        let meant = judge::meant(&users, action);
        let account = judge::account(&meant, action);
        self.outbox.recorder().push(action, account.as_ref(), users.is_empty(), judge::is_nobody(&meant, action));
        if let Some(Problem::Unopened(why)) = action.problem {
            self.outbox.tell(Event::PushUnopened { why });
        }
        if matches!(action.kind, ActionKind::Ignore { reason: Ignored::LoggedOut | Ignored::DoNotDisturb }) {
            return self.run_due(now);
        }
        let repeated = self.with_calls(now, |calls, cx| calls.handle_push(action, account, cx));
        for user in meant {
            let mut registrations = self.registrations.iter_mut();
            if let Some(registration) =
                registrations.find(|known| Some(known.key()) == user.account.as_ref() && !user.is_silent(now.wall))
            {
                if action.kind == ActionKind::RefreshBinding && action.problem.is_none() {
                    registration.woken_to_refresh();
                }
                registration.wake(!repeated, &self.flows, &mut self.outbox, now);
            }
        }
        self.run_due(now);
    }

    /// Says that the device's network changed. All flows are opened again, and the bindings follow.
    pub fn network_changed(&mut self, now: Now) {
        self.outbox.at(now);
        for registration in &mut self.registrations {
            self.outbox.note(registration.key(), Decision::NetworkChanged {});
            registration.network_changed(&mut self.flows, &mut self.outbox, now);
        }
        self.run_due(now);
    }

    /// Takes the result of a probe of a gateway. `answer` is the load that the gateway reported, or `None` if it gave
    /// no usable response. It counts from the next refresh on. A gateway is named by its place in the account's list.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn handle_gateway_load(
        &mut self,
        key: &AccountKey,
        gateway: usize,
        answer: Option<Load>,
        response_time: Duration,
    ) -> Result<(), NoSuchAccount> {
        self.find(key)?.gateway_probed(gateway, answer, response_time);
        Ok(())
    }

    /// Says that the flow that is being opened uses another transport than its hop names, because the DNS says so (RFC
    /// 3263 section 4.1). This is ignored if the hop's transport is fixed, or if it would lead from a secure transport
    /// to a clear one.
    pub fn handle_flow_transport(&mut self, flow: FlowId, transport: Transport) {
        self.flows.choose_transport(flow, transport);
    }

    /// Says, before the flow is reported up, whether the server has more addresses to try. [`Output::NextAddress`] can
    /// then ask the flow to move to one of them.
    pub fn handle_flow_leads_on(&mut self, flow: FlowId, leads_on: bool) {
        self.flows.leads_on(flow, leads_on);
    }

    /// Says, before a flow is reported up again, that its old connection now has the name `left`, from
    /// [`FlowId::FIRST_LEFT`] on. A late response may come in under this name. The old connection ends by
    /// [`Output::Close`], or is reported down.
    pub fn handle_flow_left(&mut self, flow: FlowId, left: FlowId, now: Now) {
        self.outbox.at(now);
        if let Some(registration) = list::owner(&self.flows, &mut self.registrations, flow) {
            registration.flow_left(flow, left, &mut self.flows, &mut self.outbox);
        }
        self.run_due(now);
    }

    /// Says that the flow is open. `local` is our address on it. If the flow was open before, it has moved to another
    /// address of the server because the first one did not respond. Then what is in flight is sent again (RFC 3263
    /// section 4.3).
    pub fn handle_flow_up(&mut self, flow: FlowId, local: SocketAddr, now: Now) {
        self.outbox.at(now);
        if let Some(registration) = list::owner(&self.flows, &mut self.registrations, flow) {
            let moved = self.flows.up(flow).is_some();
            let decision = if moved { Decision::FlowMoved {} } else { Decision::FlowUp {} };
            self.outbox.note(registration.key(), decision);
            registration.flow_came_up(flow, local, &mut self.flows);
        }
        self.run_due(now);
    }

    /// Says that the flow could not be opened, or broke.
    pub fn handle_flow_down(&mut self, flow: FlowId, error: FlowError, now: Now) {
        self.outbox.at(now);
        if let Some(registration) = list::owner(&self.flows, &mut self.registrations, flow) {
            let was_up = self.flows.up(flow).is_some();
            self.outbox.note(registration.key(), Decision::FlowDown { why: (&error).into(), was_up: was_up.into() });
            registration.flow_went_down(flow, error, &mut self.flows, &mut self.outbox, now);
        }
        self.run_due(now);
    }

    /// Takes bytes that came in on a flow: one datagram, or any piece of a stream.
    pub fn handle_input(&mut self, flow: FlowId, bytes: &[u8], now: Now) {
        self.outbox.at(now);
        let Some(up) = self.flows.up(flow) else { return self.outbox.discard(Discard::DeadFlow) };
        let owner_of_flow = list::owner(&self.flows, &mut self.registrations, flow);
        let pong_due = owner_of_flow.is_some_and(|registration| {
            registration.heard(flow, now);
            registration.is_pong_due(flow)
        });
        if !self.flows.get(flow).is_some_and(Flow::is_stream) {
            let empty = bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0);
            let message = Message::parse(bytes);
            if !empty && !self.handle_message(up.destination(), bytes, message, now) && up.transport != Transport::Udp {
                return self.close_garbled(flow, now);
            }
            return self.run_due(now);
        }
        let mut framer = self.flows.take_framer(flow);
        framer.set_pong_due(pong_due);
        let mut pushed = framer.push(bytes);
        loop {
            match pushed.and_then(|()| framer.next()) {
                Ok(Some(Frame::Message(bytes))) => {
                    if !self.handle_message(up.destination(), &bytes, framer.parse(&bytes), now) {
                        return self.close_garbled(flow, now);
                    }
                }
                Ok(Some(Frame::Ping)) => self.outbox.transmit(up.destination(), b"\r\n".to_vec()),
                Ok(Some(Frame::Pong)) => {
                    if let Some(registration) = list::owner(&self.flows, &mut self.registrations, flow) {
                        registration.ponged(flow);
                    }
                }
                Ok(None) => {
                    self.flows.keep_framer(flow, framer);
                    break;
                }
                Err(error) => {
                    log::warn!("closing a flow: {error}");
                    self.outbox.discard(Discard::Malformed);
                    return self.close_garbled(flow, now);
                }
            }
            pushed = Ok(());
        }
        self.run_due(now);
    }

    /// Takes a datagram that came in on a flow's socket, from another address than the flow's peer. The client drops
    /// and counts it, unless it belongs to one of our calls, or it is a call and unsolicited calls are allowed.
    pub fn handle_stranger(&mut self, flow: FlowId, source: SocketAddr, bytes: &[u8], now: Now) {
        self.outbox.at(now);
        self.trace(flow, Some(source), bytes);
        self.command(now, |calls, cx| calls.handle_stranger(flow, source, bytes, cx));
    }

    /// Does everything that is due at `now`. Calling it too early or too late does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.outbox.at(now);
        self.unsaved.retry_due(now.boot);
        for registration in &mut self.registrations {
            registration.handle_timeout(&mut self.flows, &mut self.outbox, now);
        }
        self.with_calls(now, Calls::handle_timeout);
        if let Some(id) = self.unsaved.overdue() {
            self.save_failed(id, "the store did not answer".to_owned());
        }
        self.store_again(now);
        self.read_again(now);
        self.run_due(now);
    }

    /// Takes the result of an [`Output::Save`]. If the store refused the record, the client tries again after 5
    /// seconds, then after twice as long each time, at most ten minutes, until the store takes it.
    ///
    /// Without [`hold_until_saved`](Self::hold_until_saved), report a failure before the next
    /// [`poll_output`](Self::poll_output). A poll without a report means that the record is stored.
    pub fn handle_saved(&mut self, id: SaveId, result: Result<(), String>, now: Now) {
        self.outbox.at(now);
        self.unsaved.retry_due(now.boot);
        match result {
            Ok(()) => self.unsaved.stored(id),
            Err(reason) => self.save_failed(id, reason),
        }
        self.run_due(now);
    }

    /// Says that the store is asynchronous. From here on [`poll_output`](Self::poll_output) returns nothing after an
    /// [`Output::Save`] until [`handle_saved`](Self::handle_saved) reports its result. So nothing is sent before the
    /// record that it depends on is stored. A save without a result after ten seconds counts as refused.
    pub fn hold_until_saved(&mut self, hold: bool) {
        self.unsaved.hold(hold);
    }

    /// Says that a record could not be read, or that the one of the last [`Output::Save`] could not be stored.
    pub fn handle_store_failure(&mut self, key: &str, reason: String, now: Now) {
        self.outbox.at(now);
        self.unsaved.retry_due(now.boot);
        match self.unsaved.asked(key) {
            Some(id) => self.save_failed(id, reason),
            None => return self.handle_loaded(key, Err(Unreadable::Failed(reason)), now),
        }
        self.run_due(now);
    }

    /// Takes a record that could not be read at first, or the reason why it still cannot be read. Until then the client
    /// stores nothing under its key, because a store that cannot be read now is not an empty one. [`Output::Load`] asks
    /// for the record again after a second, then after twice as long each time, at most a minute, or after
    /// [`store_available`](Self::store_available).
    ///
    /// Hand in [`CALLS`] after [`new`](Self::new), so that a late push for a call of an earlier process makes no sound.
    /// If [`REMOVALS`] cannot be read, create the client without it and then say so here. Do the same for an account's
    /// own record before [`add_account`](Self::add_account).
    pub fn handle_loaded(&mut self, key: &str, loaded: Result<Option<&[u8]>, Unreadable>, now: Now) {
        self.outbox.at(now);
        match loaded {
            Ok(record) => self.recall(key, record, now),
            Err(why) => {
                let is_new = self.unread.failed(key, now.boot);
                match why {
                    Unreadable::Shut => {
                        log::info!("record {key}: the store is shut");
                        self.outbox.recorder().write(None, None, Decision::StoreShut {});
                    }
                    Unreadable::Failed(reason) if key == RECORD => log::debug!("record {key}: {reason}"),
                    Unreadable::Failed(reason) if is_new => self.store_failed(key, reason),
                    Unreadable::Failed(reason) => log::debug!("record {key}: {reason}"),
                }
            }
        }
        self.run_due(now);
    }

    /// The store can be read, or written to, again: the device was unlocked.
    pub fn store_available(&mut self, now: Now) {
        self.outbox.at(now);
        self.unread.retry_now(now.boot);
        self.read_again(now);
        self.unsaved.retry_now(now.boot);
        self.store_again(now);
    }

    /// Whether everything that the app asked for is stored. If it is not, [`Event::Durable`] says when it is.
    pub fn is_durable(&self) -> bool {
        !self.unread.withholds_a_command() && !self.unsaved.holds_a_command()
    }

    // Outputs.

    /// Returns the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.unsaved.is_held() {
            return None;
        }
        let mut output = self.outbox.pop();
        while let Some(Output::Save(record)) = &mut output
            && self.unread.withhold(&record.key, record.durability)
        {
            record.bytes.zeroize();
            output = self.outbox.pop();
        }
        self.unsaved.polled(match &output {
            Some(Output::Save(record)) => Some(record),
            _ => None,
        });
        if output.is_none() {
            if !self.is_durable() {
                self.owes_durable = true;
            } else if std::mem::take(&mut self.owes_durable) {
                return Some(Output::Event(Box::new(Event::Durable)));
            }
        }
        output
    }

    /// Returns the black box to store under [`RECORD`], if its wakes have changed, so that they survive the process.
    /// Ask after [`poll_output`](Self::poll_output) has returned `None`, store it as [`Durability::Progress`], and
    /// never mind a failure: nothing waits for it.
    pub fn poll_record(&mut self) -> Option<Vec<u8>> {
        if self.unread.holds(RECORD) { None } else { self.outbox.recorder().take_unsaved() }
    }

    /// Returns the decisions and the current state. It has no names, numbers, tokens or addresses, so users can send it
    /// without reading it. `platform` is what the app's platform layer knows.
    pub fn report(&self, platform: Option<Platform>, now: Now) -> Report {
        let present = self.registrations.iter().filter(|registration| !registration.is_leaving());
        let accounts = present.map(|registration| registration.report(&self.outbox, now)).collect();
        Report::new(self.outbox.recorded(), accounts, platform, now)
    }

    /// Sets whether each whole message that is received comes as an [`Output::Received`], too. Not by default.
    pub fn trace_received(&mut self, trace: bool) {
        self.traces = trace;
    }

    /// Returns the boot time at which [`handle_timeout`](Self::handle_timeout) wants to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        let mut soonest = NextTimeout::default();
        for registration in &self.registrations {
            registration.timeouts(&mut soonest);
        }
        self.calls.timeouts(&mut soonest);
        soonest.add(self.unsaved.timeout());
        soonest.add(self.unread.timeout());
        soonest.0
    }

    /// Returns the gate, which judges pushes from outside. It knows who is logged in, and which calls there are.
    pub fn gate(&self) -> Gate {
        let known = (self.calls.judged_by(&self.flows), self.calls.past());
        let window = self.calls.policy().window;
        Gate::new(self.users(), self.unread.holds(REMOVALS), known, window, self.calls.judgements().notes())
    }

    /// Returns the last verdict of an account.
    pub fn verdict(&self, key: &AccountKey) -> Option<&Verdict> {
        self.registration_of(key)?.verdict()
    }

    /// Returns the route that the registrar last asked for (`Service-Route`, RFC 3608). It is empty if the registrar
    /// asked for none.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn service_route(&self, key: &AccountKey) -> Result<&[String], NoSuchAccount> {
        Ok(self.registrations[self.position(key)?].service_route())
    }

    /// Returns an account's push settings.
    ///
    /// # Errors
    /// [`NoSuchAccount`].
    pub fn push(&self, key: &AccountKey) -> Result<Option<&Push>, NoSuchAccount> {
        Ok(self.registrations[self.position(key)?].push())
    }

    /// Returns the accounts, without those that are logged out.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.registrations.iter().filter(|registration| !registration.is_leaving()).map(Registration::account)
    }

    // Internals.

    #[cfg(feature = "replay")]
    pub(crate) fn random(&mut self) -> &mut Random {
        self.outbox.random()
    }

    #[cfg(feature = "replay")]
    pub(crate) fn judgements(&mut self) -> &mut Judgements {
        self.calls.judgements_mut()
    }

    /// Returns every `rspauth` that a server on this flow can have sent by now, if it knows the password.
    #[cfg(feature = "replay")]
    pub(crate) fn right_proofs(&self, flow: FlowId) -> Vec<zeroize::Zeroizing<String>> {
        let account = self.flows.get(flow).map(Flow::account);
        let of_flow = self.registrations.iter().find(|registration| Some(registration.key()) == account);
        of_flow.map(Registration::right_proofs).unwrap_or_default()
    }

    fn run_due(&mut self, now: Now) {
        self.unsaved.retry_due(now.boot);
        self.end_quiet_in_time(now);
        self.list_push_rules(now);
        self.with_calls(now, Calls::drive);
        for registration in &mut self.registrations {
            if registration.doubted_flow(now).is_some_and(|flow| !self.calls.need(flow)) {
                registration.leave_flow(&mut self.flows, &mut self.outbox);
            }
            registration.drive(&mut self.flows, &mut self.outbox, now);
        }
        while let Some(index) = self.registrations.iter().position(Registration::is_finished) {
            let mut done = self.registrations.remove(index);
            done.close(&mut self.flows, &mut self.outbox);
            self.outbox.removals_mut().depart(&name(done.account()), now.wall);
            if self.outbox.removals().holds(done.key()) {
                // A kill during the log-out may have left this record behind.
                self.forget_record(done.key());
                self.outbox.save_removal(done.key(), None, Durability::Wish);
            } else {
                // No server has to be told anything. But a push for an earlier installation may be on its way.
                self.outbox.save_removals(Durability::Wish);
            }
            let record = binding_key(done.key());
            if self.unread.holds(&record) {
                // The record may name more bindings to remove.
                self.unread.keep(&record, done.removal());
            }
            if self.registrations.is_empty() {
                self.calls.forget_past(&mut self.outbox);
            }
            log::info!("{}: logged out", done.key());
            let (aor, removed) = (done.account().aor().to_string(), done.how_removed());
            self.outbox.tell(Event::LoggedOut { account: done.key().clone(), aor, removed });
        }
    }

    fn end_quiet_in_time(&mut self, now: Now) {
        for registration in &mut self.registrations {
            registration.end_quiet_in_time(&mut self.outbox, now);
        }
    }

    /// Updates the stored list of users with a do-not-disturb time or with sealed pushes only. A process that judges a
    /// push without a client reads it.
    fn list_push_rules(&mut self, now: Now) {
        let has_push_rule = |user: &Registration| user.is_quiet() || user.account().believes_sealed_pushes_only();
        if self.outbox.removals().push_rules.is_empty() && !self.registrations.iter().any(has_push_rule) {
            return;
        }
        let rule_of = |user: &Registration| PushRule {
            name: name(user.account()),
            until: user.quiet_until(),
            sealed: user.account().believes_sealed_pushes_only(),
            ..PushRule::default()
        };
        let users: Vec<_> = self.registrations.iter().map(|user| (rule_of(user), user.is_leaving())).collect();
        if self.outbox.removals_mut().list_push_rules(&users, now.wall) {
            self.outbox.save_removals(Durability::Wish);
        }
    }

    /// Closes the connection of a peer that sends something other than SIP.
    fn close_garbled(&mut self, flow: FlowId, now: Now) {
        self.outbox.push(Output::Close(flow));
        self.handle_flow_down(flow, FlowError::Garbage, now);
    }

    /// Returns whether the bytes were a SIP message.
    fn handle_message(
        &mut self,
        destination: Destination,
        bytes: &[u8],
        message: Result<Message, ParseError>,
        now: Now,
    ) -> bool {
        self.trace(destination.flow, destination.to, bytes);
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                log::debug!("dropped {} bytes: {error}", bytes.len());
                self.outbox.discard(Discard::Malformed);
                return false;
            }
        };
        if message.code().is_some() {
            let (flows, outbox) = (&mut self.flows, &mut self.outbox);
            let mut registrations = self.registrations.iter_mut();
            let taken = registrations.any(|registration| registration.handle_response(&message, flows, outbox, now));
            if !taken && !self.with_calls(now, |calls, cx| calls.handle_call_response(&message, cx)) {
                self.outbox.discard(Discard::ForeignResponse);
            }
            return true;
        }
        if self.flows.get(destination.flow).is_some_and(|flow| !flow.carries_calls()) {
            // A call over a left gateway also comes over the gateway in use, or comes again.
            self.outbox.discard(Discard::DeadFlow);
            return true;
        }
        self.with_calls(now, |calls, cx| calls.handle_request(destination, message, cx));
        true
    }

    fn trace(&mut self, flow: FlowId, from: Option<SocketAddr>, bytes: &[u8]) {
        if self.traces {
            self.outbox.push(Output::Received { flow, from, bytes: bytes.to_vec() });
        }
    }

    fn forget_record(&mut self, key: &AccountKey) {
        self.outbox.save(binding_key(key), None, Durability::Wish);
    }

    fn save_failed(&mut self, id: SaveId, reason: String) {
        let Some(key) = self.unsaved.failed(id) else { return };
        self.store_failed(&key, reason);
    }

    fn store_failed(&mut self, key: &str, reason: String) {
        log::warn!("record {key}: {reason}");
        self.outbox.tell(Event::StoreFailed { key: key.to_owned(), reason });
    }

    /// Saves the records again that the store refused, in their current form.
    fn store_again(&mut self, now: Now) {
        while let Some((key, durability)) = self.unsaved.due(now.boot) {
            self.store_anew(key, durability);
        }
    }

    fn store_anew(&mut self, key: String, durability: Durability) {
        let present = self.registrations.iter().find(|r| !r.is_leaving() && binding_key(r.key()) == key);
        match present {
            Some(registration) => registration.save(&mut self.outbox, durability),
            None if key == REMOVALS => self.outbox.save_removals(durability),
            None if key == CALLS => self.calls.save_past(&mut self.outbox),
            #[cfg(feature = "sealed")]
            None if key == PUSHES_OPENED => self.outbox.save(key, self.opened.clone(), durability),
            None => self.outbox.save(key, None, durability),
        }
    }

    fn read_again(&mut self, now: Now) {
        while let Some(key) = self.unread.due(now.boot) {
            self.outbox.push(Output::Load(key));
        }
    }

    /// Takes a record that could not be read before, and merges it with what has happened since.
    fn recall(&mut self, key: &str, record: Option<&[u8]>, now: Now) {
        let read = self.unread.read(key);
        if key == CALLS
            && let Some(Err(damage)) = record.map(|record| self.calls.restore(record))
        {
            self.store_failed(key, damage.to_string());
        }
        if key == RECORD
            && let Some(Err(damage)) = record.map(|record| self.outbox.recorder().restore(record))
        {
            log::info!("the black box of an earlier process: {damage}");
        }
        let Some((withheld, departed)) = read else { return };
        if key == REMOVALS {
            self.take_removals(record, now);
        } else if let Some(record) = record.filter(|_| key != CALLS && key != RECORD) {
            match open::<Memory>(record) {
                Ok(memory) => self.recall_account(key, memory, departed.as_ref(), now),
                Err(damage) => self.store_failed(key, damage.to_string()),
            }
        }
        if let Some(durability) = withheld {
            self.store_anew(key.to_owned(), durability);
        }
    }

    fn recall_account(&mut self, record: &str, memory: Memory, departed: Option<&StoredLogout>, now: Now) {
        if let Some(known) = self.registrations.iter_mut().find(|known| binding_key(known.key()) == record) {
            known.recall(memory, &mut self.flows, &mut self.outbox, now);
            if known.is_leaving() {
                // The account's own record goes. From here on, its content is part of the log-out.
                known.save(&mut self.outbox, Durability::Wish);
            }
            return;
        }
        // The user has logged out in the meantime. The binding of an earlier process is still there.
        let removal = departed.and_then(PendingLogout::read).filter(|_| memory.bound.is_some());
        let removal = removal.map(|removal| PendingLogout { memory, ..removal });
        if let Some(registration) =
            removal.and_then(|removal| Registration::resume_removal(removal, self.outbox.random(), now))
        {
            self.outbox.save_removal(registration.key(), Some(registration.removal()), Durability::Wish);
            self.insert_registration(registration);
        }
    }

    /// The users who are logged in, and those who logged out lately.
    fn users(&self) -> Vec<User> {
        let present = self.registrations.iter().map(|registration| User {
            name: name(registration.account()),
            account: Some(registration.key().clone()),
            silent: registration.is_silent(),
            quiet_until: registration.quiet_until(),
            sealed: registration.account().believes_sealed_pushes_only(),
            leaving: registration.is_leaving(),
            bound_until: registration.bound_until(),
        });
        let departed = self.outbox.removals().departed.iter();
        present.chain(departed.map(|gone| User::logged_out(gone.name()))).collect()
    }

    /// Most clients have one account. A `Vec` would make room for four, and that is most of the memory of an idle
    /// client.
    fn insert_registration(&mut self, mut registration: Registration) {
        if let Some(key) = &self.push_key {
            registration.set_push_key(key);
        }
        self.registrations.reserve_exact(1);
        self.registrations.push(registration);
    }

    fn registration_of(&self, key: &AccountKey) -> Option<&Registration> {
        list::find(&self.registrations, key)
    }

    fn with_calls<T>(&mut self, now: Now, act: impl FnOnce(&mut Calls, &mut Cx<'_>) -> T) -> T {
        let Self { calls, registrations, flows, outbox, .. } = self;
        act(calls, &mut Cx { accounts: registrations, flows, outbox, now })
    }

    /// Runs a command for a call.
    fn command<T>(&mut self, now: Now, act: impl FnOnce(&mut Calls, &mut Cx<'_>) -> T) -> T {
        let done = self.with_calls(now, act);
        self.run_due(now);
        done
    }

    fn position(&self, key: &AccountKey) -> Result<usize, NoSuchAccount> {
        self.registrations
            .iter()
            .position(|registration| registration.key() == key && !registration.is_leaving())
            .ok_or(NoSuchAccount)
    }

    fn position_of_leaving(&self, key: &AccountKey) -> Option<usize> {
        self.registrations.iter().position(|registration| registration.key() == key)
    }

    fn find(&mut self, key: &AccountKey) -> Result<&mut Registration, NoSuchAccount> {
        let index = self.position(key)?;
        Ok(&mut self.registrations[index])
    }

    fn give_up_oldest_removal(&mut self, except: &AccountKey, now: Now) {
        let Some(index) = self.registrations.iter().position(|r| r.is_leaving() && r.key() != except) else { return };
        let mut given_up = self.registrations.remove(index);
        given_up.close(&mut self.flows, &mut self.outbox);
        self.outbox.removals_mut().depart(&name(given_up.account()), now.wall);
        self.outbox.save_removal(given_up.key(), None, Durability::Wish);
        self.store_failed(REMOVALS, format!("more than {MAX_REMOVALS} log-outs are pending; the oldest was given up"));
    }
}
