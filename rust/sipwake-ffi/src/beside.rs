//! The companion of another SIP stack, which registers and takes the calls.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sipwake::core::beside::{self, Error, Heard, Invite, Next, Output};
use sipwake::core::clock::Now;
use sipwake::{Companion, Secret};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::account::{AccountSetup, Credentials};
use crate::call::{CallChange, CallPolicy, DeclineHow, EndReason, HangUp};
use crate::client::{Kept, TokenOutcome, key, uuid};
use crate::companion::RegisterTags;
use crate::error::{CallbackError, SipWakeError};
use crate::event::{Event, FailureKind, Removed, Verdict};
use crate::logging;
use crate::payload::{Channel, PushAction, PushHints, PushPayload, milliseconds};
use crate::push::NamedValue;
use crate::report::PhoneState;
use crate::runtime::start_thread;
use crate::store::{ForeignStore, StateStore};

/// What the companion reports by itself.
#[expect(clippy::large_enum_variant, reason = "one at a time is told, and UniFFI takes no box")]
#[derive(Clone, PartialEq, uniffi::Enum)]
pub enum CompanionTold {
    /// To the app.
    Event {
        /// What happened.
        event: Event,
    },
    /// To the other stack: register now, with what `register_tags` says.
    Register {
        /// The account's id.
        account: String,
    },
    /// To the other stack: accept the INVITE of this call, because the user has answered. Then call `answered`.
    Accept {
        /// The call.
        call: String,
    },
    /// To the other stack: respond with this status to each INVITE of this call that it holds.
    Refuse {
        /// The call.
        call: String,
        /// The status.
        status: u16,
    },
    /// To the other stack: end this call, which was answered. Then call `ended`.
    HangUp {
        /// The call.
        call: String,
    },
}

/// Takes what the companion reports, one after the other, on a thread of its own.
#[uniffi::export(callback_interface)]
pub trait CompanionListener: Send + Sync {
    /// Takes something.
    ///
    /// # Errors
    /// What is thrown becomes the event `Event::ListenerFailed`.
    fn on_told(&self, told: CompanionTold) -> Result<(), CallbackError>;
}

/// What the next REGISTER of another stack must say. It holds tokens, so do not log it.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct CompanionRegister {
    /// The number that `heard` and `sent` name it by.
    pub number: u64,
    /// The account's id.
    pub account: String,
    /// What goes into header fields, the Contact URI and the Contact header.
    pub tags: RegisterTags,
    /// The whole Contact URI, if it is known. In a removal it is the one that was bound.
    pub contact: Option<String>,
    /// Contact URIs to add, each with `;expires=0`.
    pub removed: Vec<String>,
    /// The value of `Expires`. 0 removes the binding.
    pub expires_seconds: u32,
    /// The Request-URI.
    pub request_uri: String,
    /// The `uri` of the digest answer, if it is not the Request-URI.
    pub digest_uri: Option<String>,
    /// Where to send it: a SIP URI or a WebSocket address.
    pub gateway: String,
}

/// A response to a REGISTER, as the other stack shows it. It may hold tokens, so do not log it.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct RegisterResponse {
    /// The status. 408 if no response came.
    pub status: u16,
    /// The reason phrase. Empty if the stack does not show it.
    pub phrase: String,
    /// The header fields that the stack shows.
    pub headers: Vec<NamedValue>,
    /// The number of its REGISTER, if the app knows it.
    pub register: Option<u64>,
    /// The Call-ID of that REGISTER. If it is among the headers, it is taken from there.
    pub call_id: Option<String>,
    /// Its CSeq, in the same way.
    pub cseq: Option<u32>,
}

/// What follows from a response.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum CompanionNext {
    /// Nothing, until the companion asks for a REGISTER.
    Nothing,
    /// Take the tags and register at once.
    Again,
    /// Answer the challenge.
    Authenticate {
        /// Take the tags first, because they have changed.
        changed: bool,
        /// The `uri` of the digest answer, if it is not the Request-URI.
        digest_uri: Option<String>,
    },
    /// It failed.
    Wait {
        /// What to branch on.
        kind: FailureKind,
        /// The response's status, if that says why.
        status: Option<u16>,
        /// In words.
        reason: String,
        /// Milliseconds until the next attempt. Absent means: not before the app changes something.
        retry_in_ms: Option<u64>,
    },
    /// The log-out is over.
    LoggedOut {
        /// What the server's response proves.
        removed: Removed,
    },
    /// It is a response to an earlier REGISTER, and says nothing about the current one.
    Old,
    /// Something that this version of the bindings has no name for.
    Other {
        /// In words.
        description: String,
    },
}

/// What a response means.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct CompanionAnswer {
    /// What to do.
    pub next: CompanionNext,
    /// What a 2xx says about push.
    pub verdict: Option<Verdict>,
    /// How long the binding lives, in milliseconds.
    pub expires_ms: Option<u64>,
    /// Milliseconds until the companion asks for the next REGISTER.
    pub refresh_in_ms: Option<u64>,
}

/// What the other stack does with an INVITE.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum CompanionInvite {
    /// It rings.
    Ring {
        /// The call's UUID, which is that of its push if one came.
        call: String,
        /// Another INVITE of this call is ringing already.
        again: bool,
    },
    /// The user answered before it came. Accept it.
    Accept {
        /// The call.
        call: String,
    },
    /// It does not ring. Send this status.
    Refuse {
        /// The call. Absent if nobody here is called.
        call: Option<String>,
        /// The status.
        status: u16,
    },
}

/// A log-out that no response has proven or accepted.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct PendingLogOut {
    /// The account's id.
    pub account: String,
    /// The address of record.
    pub aor: String,
    /// The user name of the digest answer.
    pub auth_user: String,
    /// The password or, in a later process, HA1 for each realm that has asked.
    pub credentials: Credentials,
}

/// Keeps the promises of a client for another SIP stack, which registers and takes the calls. It opens no socket.
///
/// Each call reads or writes the store if necessary, on the caller's thread. It does not wait for the network.
#[derive(uniffi::Object)]
pub struct SipWakeCompanion(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// `None` after `shutdown`.
    companion: Option<Companion>,
    tell: UnboundedSender<CompanionTold>,
    told: Option<UnboundedReceiver<CompanionTold>>,
}

thread_local! {
    /// Whether a companion runs on this thread. The app's store must not call one then.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

#[uniffi::export]
impl SipWakeCompanion {
    /// Makes a companion that knows these accounts, and takes over the log-outs that an earlier process could not
    /// deliver. Only one client or companion may use a store at a time.
    ///
    /// # Errors
    /// `InvalidField` for an account that cannot be used, `Unavailable` if the system gives no thread.
    #[uniffi::constructor]
    pub fn new(store: Box<dyn StateStore>, accounts: Vec<AccountSetup>) -> Result<Arc<Self>, SipWakeError> {
        logging::install();
        let (tell, told) = unbounded_channel();
        let shared = Arc::new(Shared {
            state: Mutex::new(State { companion: None, tell, told: Some(told) }),
            changed: Condvar::new(),
        });
        let companion = Self(shared);
        let made = at_work(|| {
            let mut made = Companion::start(Arc::new(ForeignStore(store)));
            for setup in accounts {
                let (account, push) = setup.into_parts();
                made.add_account(account, push)?;
            }
            Ok::<_, SipWakeError>(made)
        })?;
        companion.0.lock().companion = Some(made?);
        companion.with(|_| Ok(()))?;
        let shared = Arc::downgrade(&companion.0);
        start_thread(
            "sipwake-beside",
            Box::new(move || while shared.upgrade().is_some_and(|shared| shared.watch_the_time()) {}),
        )?;
        Ok(Arc::new(companion))
    }

    /// Reports to this listener from now on. It first gets what happened since the companion was made. Only the first
    /// listener counts.
    ///
    /// # Errors
    /// `Unavailable` if the system gives no thread.
    pub fn listen(&self, listener: Box<dyn CompanionListener>) -> Result<(), SipWakeError> {
        let Some(told) = self.0.lock().told.take() else { return Ok(()) };
        start_thread("sipwake-told", Box::new(move || tell(told, &*listener)))
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. Returns its id.
    ///
    /// # Errors
    /// `InvalidField`, which names the field and the rule. `ShutDown`.
    pub fn add_account(&self, setup: AccountSetup) -> Result<String, SipWakeError> {
        let (account, push) = setup.into_parts();
        self.with(|companion| Ok(companion.add_account(account, push)?.to_string()))
    }

    /// Sets the other stack's own Contact URI, whenever it changes.
    ///
    /// # Errors
    /// `NoSuchAccount`, `InvalidField`, `ShutDown`.
    pub fn stands_at(&self, account: String, contact: String) -> Result<(), SipWakeError> {
        let account = key(&account)?;
        self.core(|core, now| core.stands_at(&account, &contact, now))
    }

    /// Takes the push token that the provider gave and, on iOS, the one for alerts. A null or empty one is ignored.
    ///
    /// # Errors
    /// `InvalidField` for a token of the wrong shape, `NoPush`, `NoSuchAccount`, `ShutDown`.
    pub fn set_token(
        &self,
        account: String,
        token: Option<String>,
        alert: Option<String>,
    ) -> Result<TokenOutcome, SipWakeError> {
        let account = key(&account)?;
        self.with(|companion| Ok(companion.set_tokens(&account, token.as_deref(), alert.as_deref())?.into()))
    }

    /// Ends push and stays registered. From then on no push makes a sound.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub fn unbind_push(&self, account: String) -> Result<Kept, SipWakeError> {
        let account = key(&account)?;
        self.kept(|core, now| core.unbind_push(&account, now))
    }

    /// Keeps pushes from disturbing an account's user until then, in milliseconds since 1970 (`u64::MAX`: until further
    /// notice). Without a time, or with one that has passed, this ends. It is like the client's. The stack is asked to
    /// register.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub fn set_do_not_disturb(&self, account: String, until_ms: Option<u64>) -> Result<Kept, SipWakeError> {
        let account = key(&account)?;
        let until = until_ms.map(|until| if until == u64::MAX { Duration::MAX } else { Duration::from_millis(until) });
        self.kept(|core, now| core.set_do_not_disturb(&account, until, now))
    }

    /// Returns until when an account's user does not want to be disturbed, like the client's.
    ///
    /// # Errors
    /// `NoSuchAccount` for a text that is not an account's id, `ShutDown`.
    pub fn do_not_disturb(&self, account: String) -> Result<Option<u64>, SipWakeError> {
        let account = key(&account)?;
        self.core(|core, _| Ok(core.do_not_disturb(&account).map(milliseconds)))
    }

    /// Logs the user out. The log-out is stored. `pending` names it, in later processes too, until a response ends it.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub fn log_out(&self, account: String) -> Result<Kept, SipWakeError> {
        let account = key(&account)?;
        self.kept(|core, now| core.log_out(&account, now))
    }

    /// Accepts another realm for `X-PIID` than the pinned one.
    ///
    /// # Errors
    /// `InvalidField`, `NoSuchAccount`, `ShutDown`.
    pub fn accept_realm(&self, account: String, realm: String) -> Result<Kept, SipWakeError> {
        let account = key(&account)?;
        self.kept(|core, now| core.accept_realm(&account, &realm, now))
    }

    /// Says that the server may hold a binding that is in no record, as after an update from an app without sipwake.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub fn assume_bound(&self, account: String) -> Result<(), SipWakeError> {
        let account = key(&account)?;
        self.core(|core, _| core.assume_bound(&account))
    }

    /// Returns the log-outs that are not over.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn pending(&self) -> Result<Vec<PendingLogOut>, SipWakeError> {
        self.with(|companion| Ok(companion.core().pending().into_iter().map(Into::into).collect()))
    }

    /// Returns what the other stack's next REGISTER must say. Everything that it depends on is stored.
    ///
    /// # Errors
    /// `NoSuchAccount`, `NoSuchRegister` if there is nothing to send, `ShutDown`.
    pub fn register_tags(&self, account: String) -> Result<CompanionRegister, SipWakeError> {
        let account = key(&account)?;
        self.with(|companion| Ok(companion.register_tags(&account)?.into()))
    }

    /// Makes the other stack register now. Sends it `Register`, unless that was sent and its response is still to come.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub fn register(&self, account: String) -> Result<(), SipWakeError> {
        let account = key(&account)?;
        self.core(|core, now| core.register(&account, now))
    }

    /// Returns the REGISTERs that remove bindings at left gateways.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn registers_elsewhere(&self) -> Result<Vec<CompanionRegister>, SipWakeError> {
        let there = self.core(|core, _| Ok(core.registers_elsewhere()))?;
        Ok(there.into_iter().map(Into::into).collect())
    }

    /// Says with which Call-ID and CSeq the other stack has sent a REGISTER.
    ///
    /// # Errors
    /// `NoSuchRegister`, `NoSuchAccount`, `ShutDown`.
    pub fn sent(&self, account: String, number: u64, call_id: String, cseq: u32) -> Result<(), SipWakeError> {
        let account = key(&account)?;
        self.core(|core, _| core.sent(&account, number, &call_id, cseq))
    }

    /// Takes a response to a REGISTER of the other stack, and says what follows from it.
    ///
    /// # Errors
    /// `InvalidField` for what is not a response, `NoSuchRegister`, `NoSuchAccount`, `ShutDown`. They change nothing.
    pub fn heard(&self, account: String, response: RegisterResponse) -> Result<CompanionAnswer, SipWakeError> {
        let account = key(&account)?;
        let headers = borrowed(&response.headers);
        let heard = Heard {
            register: response.register,
            call_id: response.call_id.as_deref(),
            cseq: response.cseq,
            phrase: &response.phrase,
            ..Heard::new(response.status, &headers)
        };
        Ok(self.core(|core, now| core.heard(&account, &heard, now))?.into())
    }

    /// Takes a whole response to a REGISTER, as it came from the network.
    ///
    /// # Errors
    /// As `heard`.
    pub fn heard_message(
        &self,
        account: String,
        register: Option<u64>,
        response: Vec<u8>,
    ) -> Result<CompanionAnswer, SipWakeError> {
        let account = key(&account)?;
        Ok(self.core(|core, now| core.heard_message(&account, register, &response, now))?.into())
    }

    /// Says what a push means for the operating system, at once, and asks for the REGISTER that must follow.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn push(&self, payload: PushPayload, channel: Channel, hints: PushHints) -> Result<PushAction, SipWakeError> {
        let action = self.with(|companion| Ok(companion.push(&payload, channel.into(), &hints.into())))?;
        Ok(PushAction::convert(action, sipwake::now().boot))
    }

    /// The other stack got an INVITE for this account. Says whether it rings, and the UUID of its call.
    ///
    /// # Errors
    /// `InvalidField` if the headers cannot be read or lack `From` or `Call-ID`. `NoSuchAccount`, `ShutDown`.
    pub fn invited(&self, account: String, headers: Vec<NamedValue>) -> Result<CompanionInvite, SipWakeError> {
        let account = key(&account)?;
        let invite = self.core(|core, now| core.invited(&account, &borrowed(&headers), now))?;
        invite.try_into()
    }

    /// The user wants to answer, at any moment from the push on. If the INVITE is here, the listener gets `Accept`.
    /// Otherwise `invited` returns it when the INVITE comes.
    ///
    /// # Errors
    /// `NoSuchCall`, also for a call that is over or answered. `ShutDown`.
    pub fn answer(&self, call: String) -> Result<(), SipWakeError> {
        let id = uuid(&call)?;
        self.ordering(|core, now| Ok(core.answer(id, now)?.then_some(CompanionTold::Accept { call })))
    }

    /// The other stack has accepted an INVITE of this call.
    ///
    /// # Errors
    /// `NoSuchCall`, also for a call that is over, answered, or whose INVITE is not here. `ShutDown`.
    pub fn answered(&self, call: String) -> Result<(), SipWakeError> {
        let id = uuid(&call)?;
        self.ordering(|core, now| {
            core.answered(id, now)?;
            // The phone's own screens wait for this.
            let up = |times: sipwake::CallTimes| {
                let change = CallChange::Connected { answer: None };
                CompanionTold::Event { event: Event::Call { uuid: call, account: None, change, times: times.into() } }
            };
            Ok(core.call_times(id).map(up))
        })
    }

    /// The user declines. The listener gets `Refuse` for the INVITEs that the other stack holds.
    ///
    /// # Errors
    /// `NoSuchCall`, also for a call that is over or answered. `ShutDown`.
    pub fn decline(&self, call: String, how: DeclineHow) -> Result<(), SipWakeError> {
        let id = uuid(&call)?;
        self.ordering(|core, now| {
            let status = core.decline(id, how.into(), now)?;
            Ok(Some(CompanionTold::Refuse { call, status }))
        })
    }

    /// The user ends the call, in any state. The listener gets `Refuse`, or `HangUp` if the call was answered.
    ///
    /// # Errors
    /// `NoSuchCall`, also for a call that is over. `ShutDown`.
    pub fn hang_up(&self, call: String, why: HangUp) -> Result<(), SipWakeError> {
        let id = uuid(&call)?;
        self.ordering(|core, now| {
            Ok(Some(match core.hang_up(id, why.into(), now)? {
                Some(status) => CompanionTold::Refuse { call, status },
                None => CompanionTold::HangUp { call },
            }))
        })
    }

    /// The other stack got a CANCEL with these headers. Returns how the call ended, or nothing while another INVITE of
    /// it rings.
    ///
    /// # Errors
    /// `NoSuchCall`, also for a call that is over or answered. `InvalidField` if the headers cannot be read.
    /// `ShutDown`.
    pub fn cancelled(&self, call: String, headers: Vec<NamedValue>) -> Result<Option<EndReason>, SipWakeError> {
        let call = uuid(&call)?;
        Ok(self.core(|core, now| core.cancelled(call, &borrowed(&headers), now))?.map(Into::into))
    }

    /// Another device of the user has answered, and the server said so in another way than by a CANCEL.
    ///
    /// # Errors
    /// As `ended`.
    pub fn answered_elsewhere(&self, call: String) -> Result<(), SipWakeError> {
        let call = uuid(&call)?;
        self.core(|core, now| core.answered_elsewhere(call, now))
    }

    /// The call is over in the other stack. From here on, no late push or INVITE of it makes a sound.
    ///
    /// # Errors
    /// `NoSuchCall`, also for a call that is over, because an end is reported once. `ShutDown`.
    pub fn ended(&self, call: String, how: EndReason, status: Option<u16>) -> Result<(), SipWakeError> {
        let call = uuid(&call)?;
        self.core(|core, now| core.ended(call, how.with(status), now))
    }

    /// Sets how long an announced call is waited for. The stack itself decides about answers.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn set_call_policy(&self, policy: CallPolicy) -> Result<(), SipWakeError> {
        self.core(|core, _| {
            core.set_call_policy(policy.into());
            Ok(())
        })
    }

    /// The device is on another network. The other stack is asked to register again.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn network_changed(&self) -> Result<(), SipWakeError> {
        self.core(|core, now| {
            core.network_changed(now);
            Ok(())
        })
    }

    /// The device was unlocked. What could not be read or stored before is tried again at once.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn store_available(&self) -> Result<(), SipWakeError> {
        self.with(|companion| {
            companion.store_available();
            Ok(())
        })
    }

    /// Returns why the phone rang, or did not, as JSON, like the client's `report`.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn report(&self, phone: Option<PhoneState>) -> Result<String, SipWakeError> {
        self.core(|core, now| Ok(core.report(phone.map(Into::into), now).to_json()))
    }

    /// Ends the companion at once. Bindings stay on their servers.
    ///
    /// # Errors
    /// None of its own.
    pub fn shutdown(&self) -> Result<(), SipWakeError> {
        self.0.shut_down();
        Ok(())
    }
}

impl Drop for SipWakeCompanion {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

impl SipWakeCompanion {
    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&mut Companion) -> Result<T, SipWakeError>,
    ) -> Result<T, SipWakeError> {
        self.0.with(act)
    }

    fn core<T>(&self, act: impl FnOnce(&mut beside::Companion, Now) -> Result<T, Error>) -> Result<T, SipWakeError> {
        self.with(|companion| Ok(companion.with(act)?))
    }

    fn kept(&self, act: impl FnOnce(&mut beside::Companion, Now) -> Result<(), Error>) -> Result<Kept, SipWakeError> {
        self.with(|companion| {
            companion.with(act)?;
            Ok(companion.kept().into())
        })
    }

    /// Does something after which the other stack may have to act.
    fn ordering(
        &self,
        act: impl FnOnce(&mut beside::Companion, Now) -> Result<Option<CompanionTold>, Error>,
    ) -> Result<(), SipWakeError> {
        let order = self.core(act)?;
        if let Some(order) = order {
            // There may be no listener any more.
            let _ = self.0.lock().tell.send(order);
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Companion) -> Result<T, SipWakeError>) -> Result<T, SipWakeError> {
        at_work(|| {
            let mut state = self.lock();
            let companion = state.companion.as_mut().ok_or_else(SipWakeError::shut_down)?;
            let done = act(companion);
            state.pass_on();
            drop(state);
            self.changed.notify_all();
            done
        })?
    }

    /// Waits for the next timeout and handles it. Returns `false` when there is nothing more to watch.
    fn watch_the_time(&self) -> bool {
        let mut state = self.lock();
        let Some(companion) = &state.companion else { return false };
        // A command or the shutdown wakes this earlier.
        let wait = companion.timeout().unwrap_or(Duration::from_secs(3600));
        if !wait.is_zero() {
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        let due =
            state.companion.as_ref().is_some_and(|companion| companion.timeout().is_some_and(|left| left.is_zero()));
        drop(state);
        if due {
            // The companion may have been shut down meanwhile. The next call notices that.
            let _ = self.with(|companion| {
                companion.handle_timeout();
                Ok(())
            });
        }
        true
    }

    fn shut_down(&self) {
        let mut state = self.lock();
        let over = state.companion.take();
        // The listener still gets what was sent, and then nothing.
        state.tell = unbounded_channel().0;
        drop(state);
        drop(over);
        self.changed.notify_all();
    }
}

impl State {
    fn pass_on(&mut self) {
        let Some(companion) = &mut self.companion else { return };
        while let Some(output) = companion.poll() {
            let told = match output {
                Output::Event(event) => CompanionTold::Event { event: (*event).into() },
                Output::Register(account) => CompanionTold::Register { account: account.to_string() },
                Output::Refuse { call, status } => CompanionTold::Refuse { call: call.to_string(), status },
                Output::Save(_) | Output::Load(_) => continue,
            };
            // There may be no listener any more.
            let _ = self.tell.send(told);
        }
    }
}

/// Works on a companion, unless this thread already does. It must not take the lock twice.
fn at_work<T>(work: impl FnOnce() -> T) -> Result<T, SipWakeError> {
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            AT_WORK.set(false);
        }
    }
    if AT_WORK.replace(true) {
        let reason = "a companion cannot be called from inside of its store".to_owned();
        return Err(SipWakeError::Unavailable { reason });
    }
    let _over = Over;
    Ok(work())
}

fn tell(mut told: UnboundedReceiver<CompanionTold>, listener: &dyn CompanionListener) {
    while let Some(what) = told.blocking_recv() {
        let reason = match catch_unwind(AssertUnwindSafe(|| listener.on_told(what))) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        log::warn!("the app's listener failed: {reason}");
        let failed = CompanionTold::Event { event: Event::ListenerFailed { reason } };
        // If the listener throws at this, too, only the log says so.
        let _ = catch_unwind(AssertUnwindSafe(|| listener.on_told(failed)));
    }
}

fn borrowed(headers: &[NamedValue]) -> Vec<(&str, &str)> {
    headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect()
}

impl From<beside::Register> for CompanionRegister {
    fn from(register: beside::Register) -> Self {
        let exposed = |secret: &Secret| secret.expose().to_owned();
        Self {
            number: register.number,
            account: register.account.to_string(),
            contact: register.contact.as_ref().map(exposed),
            removed: register.removed.iter().map(exposed).collect(),
            expires_seconds: register.expires,
            tags: register.tags.into(),
            request_uri: register.request_uri,
            digest_uri: register.digest_uri,
            gateway: register.gateway,
        }
    }
}

impl From<beside::Answer> for CompanionAnswer {
    fn from(answer: beside::Answer) -> Self {
        Self {
            next: answer.next.into(),
            verdict: answer.verdict.map(Into::into),
            expires_ms: answer.expires.map(milliseconds),
            refresh_in_ms: answer.refresh_in.map(milliseconds),
        }
    }
}

impl From<Next> for CompanionNext {
    fn from(next: Next) -> Self {
        match next {
            Next::Nothing => Self::Nothing,
            Next::Again => Self::Again,
            Next::Authenticate { changed, digest_uri } => Self::Authenticate { changed, digest_uri },
            Next::Wait { failure, retry_in } => Self::Wait {
                kind: crate::event::kind(&failure),
                status: crate::event::status(&failure),
                reason: failure.to_string(),
                retry_in_ms: retry_in.map(milliseconds),
            },
            Next::LoggedOut(removed) => Self::LoggedOut { removed: removed.into() },
            Next::Old => Self::Old,
            other => Self::Other { description: format!("{other:?}") },
        }
    }
}

impl TryFrom<Invite> for CompanionInvite {
    type Error = SipWakeError;

    fn try_from(invite: Invite) -> Result<Self, SipWakeError> {
        Ok(match invite {
            Invite::Ring { call, again } => Self::Ring { call: call.to_string(), again },
            Invite::Accept { call } => Self::Accept { call: call.to_string() },
            Invite::Refuse { call, status } => Self::Refuse { call: call.map(|call| call.to_string()), status },
            other => return Err(SipWakeError::Unavailable { reason: format!("unknown error: {other:?}") }),
        })
    }
}

impl From<beside::Pending> for PendingLogOut {
    fn from(pending: beside::Pending) -> Self {
        Self {
            account: pending.account.to_string(),
            aor: pending.aor,
            auth_user: pending.auth_user,
            credentials: pending.credentials.into(),
        }
    }
}

#[cfg(test)]
mod tests;
