//! The client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sipwake::{AccountKey, Client, Events, Uuid, now};
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::account::AccountSetup;
use crate::call::{CallPolicy, DeclineHow, HangUp, SessionOffer};
use crate::decryptor::Decryptor;
use crate::error::SipWakeError;
use crate::logging;
use crate::options::{ClientOptions, TraceListener};
use crate::payload::{Channel, PushAction, PushHints, PushPayload, milliseconds};
use crate::report::PhoneState;
use crate::resolver::Resolver;
use crate::runtime::{OwnRuntime, start_thread};
use crate::store::{EventListener, ForeignStore, StateStore};
use crate::stream::{EventStream, MAX_FAILURES};
use crate::trust::ServerTrust;

/// What happened to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum TokenOutcome {
    /// It is stored, and sent if it is new.
    Taken,
    /// It is sent if it is new, but the store is shut or fails: the event `Durable` tells when it is stored.
    NotYetDurable,
    /// It was empty or `null`: the good token that may be there stays.
    Ignored,
}

impl From<sipwake::TokenUpdate> for TokenOutcome {
    fn from(update: sipwake::TokenUpdate) -> Self {
        match update {
            sipwake::TokenUpdate::Taken => Self::Taken,
            sipwake::TokenUpdate::NotYetDurable => Self::NotYetDurable,
            sipwake::TokenUpdate::Ignored => Self::Ignored,
        }
    }
}

/// Whether what the app asked for outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Kept {
    /// It is stored.
    Durable,
    /// It is done, but the store is shut or fails: a kill now would lose it. The event `Durable` tells when it is stored.
    NotYetDurable,
}

impl From<sipwake::Kept> for Kept {
    fn from(kept: sipwake::Kept) -> Self {
        match kept {
            sipwake::Kept::Durable => Self::Durable,
            sipwake::Kept::NotYetDurable => Self::NotYetDurable,
        }
    }
}

/// Accounts, bindings and calls. One client is meant to live as long as the process.
///
/// When a call returns, the command is stored and under way. The result comes as an event. Accounts are named by their
/// ids, see `account_id`.
#[derive(uniffi::Object)]
pub struct SipWakeClient {
    pub(crate) runtime: OwnRuntime,
    pub(crate) client: Client,
    /// Why the app's listener failed.
    failures: broadcast::Sender<String>,
    /// The events since the client was made, until the first stream takes them.
    first: Mutex<Option<Events>>,
}

#[uniffi::export]
impl SipWakeClient {
    /// Makes a client that knows these accounts. Log-outs that an earlier process could not deliver go out at once.
    ///
    /// Give the accounts of the logged-in users here. Then a push that comes right after is judged with them. A client
    /// without accounts is silent for every push. Nothing is registered before `register`.
    ///
    /// Reads the store from another thread, and waits for it.
    ///
    /// # Errors
    /// `InvalidField` for an account or option that cannot be used, `Unavailable` when the system gives no thread.
    #[uniffi::constructor]
    #[allow(
        clippy::too_many_arguments,
        reason = "Kotlin and Swift name them, each with a default, in types of their own"
    )]
    pub fn new(
        store: Box<dyn StateStore>,
        accounts: Vec<AccountSetup>,
        listener: Option<Box<dyn EventListener>>,
        options: ClientOptions,
        server_trust: Option<Box<dyn ServerTrust>>,
        decryptor: Option<Box<dyn Decryptor>>,
        trace: Option<Box<dyn TraceListener>>,
        resolver: Option<Box<dyn Resolver>>,
    ) -> Result<Arc<Self>, SipWakeError> {
        logging::install();
        let options = options.into_options(server_trust, decryptor, trace, resolver)?;
        let runtime = OwnRuntime::start()?;
        let (failures, _) = broadcast::channel(MAX_FAILURES);
        let (client, first) = runtime.block_on(async {
            let (client, first) = Client::start_with(Arc::new(ForeignStore(store)), options);
            if let Some(listener) = listener {
                let (runtime, events, failures) = (runtime.handle(), client.events(), failures.clone());
                start_thread("sipwake-events", Box::new(move || tell(&runtime, events, &*listener, &failures)))?;
            }
            for setup in accounts {
                let (account, push) = setup.into_parts();
                client.add_account(account, push).await?;
            }
            Ok::<_, SipWakeError>((client, first))
        })?;
        Ok(Arc::new(Self { runtime, client, failures, first: Mutex::new(Some(first)) }))
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. Returns its id. It
    /// continues with what an earlier process stored. Nothing is sent before `register`.
    ///
    /// # Errors
    /// `InvalidField`, which names the field and the rule; `ShutDown`.
    pub async fn add_account(&self, setup: AccountSetup) -> Result<String, SipWakeError> {
        let (account, push) = setup.into_parts();
        let key = self.unless_over(self.client.add_account(account, push)).await?;
        Ok(key.to_string())
    }

    /// Registers now, also after a refusal. To be called at every start of the app. The outcome comes as an event.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn register(&self, account: String) -> Result<(), SipWakeError> {
        self.unless_over(self.client.register(&key(&account)?)).await
    }

    /// Hands over the push token that the provider gave: the one for calls (FCM's, PushKit's) and, on iOS, the one for alerts.
    ///
    /// A null or empty token is ignored. The same token again costs no traffic.
    ///
    /// # Errors
    /// `InvalidField` for a token of the wrong shape, `NoPush` for an account without push settings, `NoSuchAccount`,
    /// `ShutDown`.
    pub async fn set_token(
        &self,
        account: String,
        token: Option<String>,
        alert: Option<String>,
    ) -> Result<TokenOutcome, SipWakeError> {
        let account = key(&account)?;
        let update = self.unless_over(self.client.set_tokens(&account, token.as_deref(), alert.as_deref())).await?;
        Ok(update.into())
    }

    /// Removes the push binding and stays registered. Stored before the call returns, unless it says `NotYetDurable`; from there
    /// on no push makes a sound.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn unbind_push(&self, account: String) -> Result<Kept, SipWakeError> {
        Ok(self.unless_over(self.client.unbind_push(&key(&account)?)).await?.into())
    }

    /// Has an account's user not disturbed until then, in milliseconds since 1970 (`u64::MAX`: until further notice), or without a time,
    /// or with one that has passed, disturbed again. Stored before the call returns, unless it says `NotYetDurable`.
    ///
    /// Meanwhile the account stays registered without a push binding, and no push makes a sound. When the time is over,
    /// the binding comes back (`DoNotDisturbOver`). A process that is not running then does this when it has the
    /// account.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn set_do_not_disturb(&self, account: String, until_ms: Option<u64>) -> Result<Kept, SipWakeError> {
        let until = until_ms.map(|until| if until == u64::MAX { Duration::MAX } else { Duration::from_millis(until) });
        Ok(self.unless_over(self.client.set_do_not_disturb(&key(&account)?, until)).await?.into())
    }

    /// Returns until when an account's user does not want to be disturbed, in milliseconds since 1970 (`u64::MAX`: until further
    /// notice); nothing: the user may be.
    ///
    /// # Errors
    /// `NoSuchAccount` for what cannot be an account's id.
    pub fn do_not_disturb(&self, account: String) -> Result<Option<u64>, SipWakeError> {
        Ok(self.client.do_not_disturb(&key(&account)?).map(milliseconds))
    }

    /// Accepts another realm for `X-PIID` than the pinned one, after the event `Warning`.
    ///
    /// # Errors
    /// `InvalidField` for a realm that cannot be one, `NoSuchAccount`, `ShutDown`.
    pub async fn accept_realm(&self, account: String, realm: String) -> Result<Kept, SipWakeError> {
        Ok(self.unless_over(self.client.accept_realm(&key(&account)?, &realm)).await?.into())
    }

    /// Logs the user out: stored before the call returns, unless it says `NotYetDurable`, and delivered until the server confirms
    /// it (`LoggedOut`), by later processes if need be. From there on no push makes a sound.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn log_out(&self, account: String) -> Result<Kept, SipWakeError> {
        Ok(self.unless_over(self.client.log_out(&key(&account)?)).await?.into())
    }

    /// Says that the store can be read and written again, because the device was unlocked. The client tries at once
    /// what it could not read or store. Without this call it tries with back-off, at least once a minute.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn store_available(&self) -> Result<(), SipWakeError> {
        self.unless_over(self.client.store_available()).await
    }

    /// Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.5). Answered by the
    /// event `Capabilities`.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn query_push(&self, account: String, provider: Option<String>) -> Result<(), SipWakeError> {
        self.unless_over(self.client.query_push(&key(&account)?, provider)).await
    }

    /// Says that the user answers, at any moment from the push on. Once the INVITE is here, `AnswerWanted` brings its offer,
    /// which `accept` answers.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is not known, over or accepted already; `ShutDown`.
    pub async fn answer(&self, call: String) -> Result<(), SipWakeError> {
        self.unless_over(self.client.answer(uuid(&call)?)).await
    }

    /// Says that the app rings, where `CallPolicy::session_progress` holds back the 180 until then.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is not ringing; `ShutDown`.
    pub async fn ringing(&self, call: String) -> Result<(), SipWakeError> {
        self.unless_over(self.client.ringing(uuid(&call)?)).await
    }

    /// Accepts a ringing call, whose INVITE is here, with the answer to its offer or, if it had none, with our offer.
    /// `Connected` follows with the caller's ACK.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is not ringing, or an empty answer; `ShutDown`.
    pub async fn accept(&self, call: String, answer: SessionOffer) -> Result<(), SipWakeError> {
        self.unless_over(self.client.accept(uuid(&call)?, answer.into())).await
    }

    /// Declines a call that rings or was announced.
    ///
    /// # Errors
    /// `NoSuchCall`, `ShutDown`.
    pub async fn decline(&self, call: String, how: DeclineHow) -> Result<(), SipWakeError> {
        self.unless_over(self.client.decline(uuid(&call)?, how.into())).await
    }

    /// Ends a call, whatever its state: announced, ringing or answered.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is not known or over; `ShutDown`.
    pub async fn hang_up(&self, call: String, why: HangUp) -> Result<(), SipWakeError> {
        self.unless_over(self.client.hang_up(uuid(&call)?, why.into())).await
    }

    /// Responds to `Offered` with the app's answer; without one the offer is refused, and the call continues as it was.
    ///
    /// # Errors
    /// `NoSuchCall` if no offer waits for a response; `ShutDown`.
    pub async fn respond_offer(&self, call: String, answer: Option<SessionOffer>) -> Result<(), SipWakeError> {
        self.unless_over(self.client.respond_offer(uuid(&call)?, answer.map(Into::into))).await
    }

    /// Says whether the app answers INFO (digits, for example) and REFER (a transfer) inside a call with
    /// `respond_request`. Off by default: then it is told about them, while an INFO with a body gets 415 and a REFER
    /// 405.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn take_call_requests(&self, take: bool) -> Result<(), SipWakeError> {
        self.unless_over(self.client.take_call_requests(take)).await
    }

    /// Responds to an `Asked` that awaits it, with a status from 200 to 699; another becomes 500.
    ///
    /// # Errors
    /// `NoSuchCall` if nothing of that name awaits a response; `ShutDown`.
    pub async fn respond_request(&self, call: String, request: u64, status: u16) -> Result<(), SipWakeError> {
        self.unless_over(self.client.respond_request(uuid(&call)?, request, status)).await
    }

    /// Sets how calls are treated from here on.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn set_call_policy(&self, policy: CallPolicy) -> Result<(), SipWakeError> {
        self.unless_over(self.client.set_call_policy(policy.into())).await
    }

    /// Says that the device's network changed. The client opens its flows again, and the bindings follow.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn network_changed(&self) -> Result<(), SipWakeError> {
        self.unless_over(self.client.network_changed()).await
    }

    /// Returns why the phone rang or did not, as JSON: the decisions in codes and numbers, with what the app knows
    /// about `phone`. It has no name, number, token or address, so users can send it without reading it. `sipwake
    /// explain` reads it.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn report(&self, phone: Option<PhoneState>) -> Result<String, SipWakeError> {
        Ok(self.unless_over(self.client.report(phone.map(Into::into))).await?.to_json())
    }

    /// Says what a push means for the operating system, at once, and wakes the account behind it.
    ///
    /// It waits for no network, lock or task. Whatever the payload, there is an action; for a PushKit push it is one
    /// that can be shown to CallKit. A push for a user who logged out, or for a call that is over, makes no sound.
    ///
    /// # Errors
    /// None. The `Result` makes a bug an error in Swift, too.
    pub fn push(&self, payload: PushPayload, channel: Channel, hints: PushHints) -> Result<PushAction, SipWakeError> {
        let action = self.client.push(&payload, channel.into(), &hints.into());
        Ok(PushAction::convert(action, now().boot))
    }

    /// Returns how many log-outs the servers have not confirmed yet, those of earlier processes included.
    ///
    /// # Errors
    /// None.
    pub fn pending_log_outs(&self) -> Result<u32, SipWakeError> {
        Ok(u32::try_from(self.client.pending_log_outs()).unwrap_or(u32::MAX))
    }

    /// Returns a stream of events: the first one with all that happened since the client was made, later ones from now on.
    ///
    /// # Errors
    /// None.
    pub fn events(&self) -> Result<Arc<EventStream>, SipWakeError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let events = first.unwrap_or_else(|| self.client.events());
        Ok(Arc::new(EventStream::new(events, self.failures.subscribe(), self.runtime.over())))
    }

    /// Ends the client at once: who waits gets `ShutDown`, streams end, sockets close. Bindings stay on their servers.
    ///
    /// # Errors
    /// None.
    pub fn shutdown(&self) -> Result<(), SipWakeError> {
        self.runtime.shut_down();
        Ok(())
    }
}

impl SipWakeClient {
    /// Waits for a command, but not past the end of the client.
    pub(crate) async fn unless_over<T>(
        &self,
        command: impl Future<Output = Result<T, sipwake::Error>>,
    ) -> Result<T, SipWakeError> {
        let mut over = self.runtime.over();
        tokio::select! {
            biased;
            () = over.wait() => Err(SipWakeError::shut_down()),
            outcome = command => outcome.map_err(Into::into),
        }
    }
}

pub(crate) fn key(account: &str) -> Result<AccountKey, SipWakeError> {
    AccountKey::parse(account)
        .ok_or_else(|| sipwake::Error::NoSuchAccount(sipwake::core::user_agent::NoSuchAccount).into())
}

pub(crate) fn uuid(call: &str) -> Result<Uuid, SipWakeError> {
    Uuid::try_parse(call).map_err(|_| sipwake::Error::NoSuchCall.into())
}

/// Tells the app's listener of each event. A slow one holds up itself alone.
fn tell(runtime: &Handle, mut events: Events, listener: &dyn EventListener, failures: &broadcast::Sender<String>) {
    // What the listener does is done inside of the runtime: it must not make a client.
    let _inside = runtime.enter();
    while let Some(event) = runtime.block_on(events.next()) {
        let reason = match catch_unwind(AssertUnwindSafe(|| listener.on_event(event.into()))) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        log::warn!("the app's listener failed: {reason}");
        // Perhaps nobody reads a stream.
        let _ = failures.send(reason);
    }
}

#[cfg(test)]
pub(crate) mod tests;
