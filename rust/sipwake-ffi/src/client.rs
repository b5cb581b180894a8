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

/// What the client did with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum TokenOutcome {
    /// It is stored, and it is sent if it is new.
    Taken,
    /// It is sent if it is new, but the store is shut or fails. The event `Durable` tells when it is stored.
    NotYetDurable,
    /// It was empty or `null`. If there is a good token, it stays.
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

/// Whether a command of the app survives the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Kept {
    /// It is stored.
    Durable,
    /// The command is carried out, but the store is shut or fails, so a kill now would lose it. The event `Durable`
    /// tells when it is stored.
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

/// Accounts, bindings and calls. Keep one client as long as the process lives.
///
/// When a call returns, the command is stored and under way. The outcome comes as an event. Accounts are named by their
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
    /// Give the accounts of the logged-in users here. Then the client knows them when it judges a push that comes right
    /// after. A client without accounts is silent for every push. Nothing is registered before `register`.
    ///
    /// It reads the store on another thread, and waits for it.
    ///
    /// # Errors
    /// `InvalidField` for an account or option that cannot be used, `Unavailable` if the system gives no thread.
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

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. Returns its id. The account
    /// continues with what an earlier process stored. Nothing is sent before `register`.
    ///
    /// # Errors
    /// `InvalidField` names the field and the rule, `ShutDown`.
    pub async fn add_account(&self, setup: AccountSetup) -> Result<String, SipWakeError> {
        let (account, push) = setup.into_parts();
        let key = self.unless_over(self.client.add_account(account, push)).await?;
        Ok(key.to_string())
    }

    /// Registers now, even after a refusal. Call it at every start of the app. The outcome comes as an event.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn register(&self, account: String) -> Result<(), SipWakeError> {
        self.unless_over(self.client.register(&key(&account)?)).await
    }

    /// Hands over the push token that the provider gave: the one for calls (FCM's, PushKit's) and, on iOS, also the one
    /// for alerts.
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

    /// Removes the push binding and keeps the account registered. The command is stored before this returns, or it
    /// returns `NotYetDurable`. From then on no push makes a sound.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn unbind_push(&self, account: String) -> Result<Kept, SipWakeError> {
        Ok(self.unless_over(self.client.unbind_push(&key(&account)?)).await?.into())
    }

    /// Keeps pushes from disturbing an account's user until a time, in milliseconds since 1970. `u64::MAX` means until
    /// further notice. No time, or a time that has passed, ends this. The command is stored before this returns, or it
    /// returns `NotYetDurable`.
    ///
    /// Meanwhile the account stays registered without a push binding, and no push makes a sound. When the time is over,
    /// the binding comes back (`DoNotDisturbOver`). If no process runs at that moment, this happens when a client gets
    /// the account.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn set_do_not_disturb(&self, account: String, until_ms: Option<u64>) -> Result<Kept, SipWakeError> {
        let until = until_ms.map(|until| if until == u64::MAX { Duration::MAX } else { Duration::from_millis(until) });
        Ok(self.unless_over(self.client.set_do_not_disturb(&key(&account)?, until)).await?.into())
    }

    /// Returns until when an account's user does not want to be disturbed, in milliseconds since 1970. `u64::MAX` means
    /// until further notice. Returns nothing if they may be disturbed.
    ///
    /// # Errors
    /// `NoSuchAccount` if the text cannot be an account's id.
    pub fn do_not_disturb(&self, account: String) -> Result<Option<u64>, SipWakeError> {
        Ok(self.client.do_not_disturb(&key(&account)?).map(milliseconds))
    }

    /// Accepts another realm for `X-PIID` than the pinned one. Call it after the event `Warning`.
    ///
    /// # Errors
    /// `InvalidField` for a text that cannot be a realm, `NoSuchAccount`, `ShutDown`.
    pub async fn accept_realm(&self, account: String, realm: String) -> Result<Kept, SipWakeError> {
        Ok(self.unless_over(self.client.accept_realm(&key(&account)?, &realm)).await?.into())
    }

    /// Logs the user out. The log-out is stored before this returns, or it returns `NotYetDurable`. The client repeats
    /// it until the server confirms it (`LoggedOut`), and later processes continue. From then on no push makes a sound.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn log_out(&self, account: String) -> Result<Kept, SipWakeError> {
        Ok(self.unless_over(self.client.log_out(&key(&account)?)).await?.into())
    }

    /// Says that the user unlocked the device, so that the store can be read and written again. The client tries at
    /// once what it could not read or store. Without this call it tries with back-off, at least once a minute.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn store_available(&self) -> Result<(), SipWakeError> {
        self.unless_over(self.client.store_available()).await
    }

    /// Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.5). The event
    /// `Capabilities` brings the response.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn query_push(&self, account: String, provider: Option<String>) -> Result<(), SipWakeError> {
        self.unless_over(self.client.query_push(&key(&account)?, provider)).await
    }

    /// Says that the user answers. This works at any time after the push. When the INVITE is here, `AnswerWanted`
    /// brings its offer. Answer the offer with `accept`.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is unknown, over or accepted already, `ShutDown`.
    pub async fn answer(&self, call: String) -> Result<(), SipWakeError> {
        self.unless_over(self.client.answer(uuid(&call)?)).await
    }

    /// Says that the app rings. With `CallPolicy::session_progress` the caller gets 180 only then.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is not ringing, `ShutDown`.
    pub async fn ringing(&self, call: String) -> Result<(), SipWakeError> {
        self.unless_over(self.client.ringing(uuid(&call)?)).await
    }

    /// Accepts a ringing call whose INVITE is here, with the answer to its offer or, if it had none, with our offer.
    /// `Connected` follows with the caller's ACK.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is not ringing or for an empty answer, `ShutDown`.
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

    /// Ends a call in any state: announced, ringing or answered.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is unknown or over, `ShutDown`.
    pub async fn hang_up(&self, call: String, why: HangUp) -> Result<(), SipWakeError> {
        self.unless_over(self.client.hang_up(uuid(&call)?, why.into())).await
    }

    /// Responds to `Offered` with the app's answer. Without one, the offer is refused and the call continues as it was.
    ///
    /// # Errors
    /// `NoSuchCall` if no offer waits for a response, `ShutDown`.
    pub async fn respond_offer(&self, call: String, answer: Option<SessionOffer>) -> Result<(), SipWakeError> {
        self.unless_over(self.client.respond_offer(uuid(&call)?, answer.map(Into::into))).await
    }

    /// Says whether the app responds to INFO (digits, for example) and REFER (a transfer) inside a call, with
    /// `respond_request`. This is off by default. Then the app still gets an event for each of them, an INFO with a
    /// body gets 415, and a REFER gets 405.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn take_call_requests(&self, take: bool) -> Result<(), SipWakeError> {
        self.unless_over(self.client.take_call_requests(take)).await
    }

    /// Responds to an `Asked` that waits for it, with a status from 200 to 699. Any other status becomes 500.
    ///
    /// # Errors
    /// `NoSuchCall` if no request with that id waits for a response, `ShutDown`.
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

    /// Returns why the phone rang or did not, as JSON. The report has the decisions in codes and numbers, and what the
    /// app knows about `phone`. It has no name, number, token or address, so users can send it without reading it.
    /// `sipwake explain` reads it.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn report(&self, phone: Option<PhoneState>) -> Result<String, SipWakeError> {
        Ok(self.unless_over(self.client.report(phone.map(Into::into))).await?.to_json())
    }

    /// Returns the recording since the client was made, as a file for `sipwake replay`, or nothing without
    /// `record_for_replay` in its options. It has no password, digest, token, key or message text, but it shows who
    /// called. Ask the user before you send it.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn recording(&self) -> Result<Option<String>, SipWakeError> {
        #[cfg(feature = "replay")]
        let recording = self.client.recording();
        // Without the feature, a client that should record cannot be made.
        #[cfg(not(feature = "replay"))]
        let recording = std::future::ready(Ok(None));
        self.unless_over(recording).await
    }

    /// Says at once what a push means for the operating system, and wakes the push's account.
    ///
    /// It waits for no network, lock or task. Any payload gives an action, and CallKit can show the action of any
    /// PushKit push. A push for a user who logged out, or for a call that is over, makes no sound.
    ///
    /// # Errors
    /// None. The `Result` makes a bug an error in Swift, too.
    pub fn push(&self, payload: PushPayload, channel: Channel, hints: PushHints) -> Result<PushAction, SipWakeError> {
        let action = self.client.push(&payload, channel.into(), &hints.into());
        Ok(PushAction::convert(action, now().boot))
    }

    /// Returns how many log-outs the servers have not confirmed yet. It counts those of earlier processes, too.
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
    /// Waits for a command, but not longer than the client lives.
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

/// Tells the app's listener of each event. A slow listener delays only itself.
fn tell(runtime: &Handle, mut events: Events, listener: &dyn EventListener, failures: &broadcast::Sender<String>) {
    // The listener runs inside the runtime, so it cannot make a client.
    let _inside = runtime.enter();
    while let Some(event) = runtime.block_on(events.next()) {
        let reason = match catch_unwind(AssertUnwindSafe(|| listener.on_event(event.into()))) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        log::warn!("the app's listener failed: {reason}");
        // There may be no stream that reads it.
        let _ = failures.send(reason);
    }
}

#[cfg(test)]
pub(crate) mod tests;
