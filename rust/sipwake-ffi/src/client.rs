//! The client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use sipwake::{AccountKey, Client, Events, Uuid, now};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use crate::account::AccountSetup;
use crate::call::{CallPolicy, CallWish};
use crate::error::SipWakeError;
use crate::logging;
use crate::options::ClientOptions;
use crate::payload::{Channel, PushAction, PushHints, PushPayload};
use crate::runtime::{OwnRuntime, start_thread};
use crate::store::{EventListener, ForeignStore, StateStore};
use crate::stream::{EventStream, MAX_FAILURES};

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum TokenOutcome {
    /// It is stored, and sent if it is new.
    Taken,
    /// It was empty or `null`: the good token that may be there stays.
    Ignored,
}

/// What an app wishes for an account.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum AccountWish {
    /// Registers now, also after a refusal. To be wished at every start of the app. The outcome comes as an event.
    Register,
    /// Removes the push binding and stays registered. Stored before the call returns; from there on no push makes a sound.
    UnbindPush,
    /// Logs the user out: the wish is stored before the call returns, and delivered until the server confirms it
    /// (`LoggedOut`), by later processes if need be. From there on no push makes a sound.
    LogOut,
    /// Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.3). Answered by
    /// the event `Capabilities`.
    QueryPush {
        /// The provider; all of them when absent.
        provider: Option<String>,
    },
}

/// What the driver does for the app.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, sipwake::Error>> + Send + 'a>>;

/// Accounts, bindings and calls. One client is meant to live as long as the process.
///
/// What is asked for is stored and under way when a call returns; what becomes of it comes as an event. Accounts are named
/// by their ids, see `account_id`.
#[derive(uniffi::Object)]
pub struct SipWakeClient {
    runtime: OwnRuntime,
    client: Client,
    /// Why the app's listener failed.
    failures: broadcast::Sender<String>,
    shut_down: watch::Sender<bool>,
    /// The events since the client was made, until the first stream takes them.
    first: Mutex<Option<Events>>,
}

#[uniffi::export]
impl SipWakeClient {
    /// Makes a client that knows these accounts. Log-outs that an earlier process could not deliver go out at once.
    ///
    /// Hand over the accounts of the logged-in users here: a push that comes right after is then judged with them. A client
    /// without accounts makes no sound for any push. Nothing is registered before the wish `Register`.
    ///
    /// Reads the store from another thread, and waits for it.
    ///
    /// # Errors
    /// `InvalidField` for an account or option that cannot be used, `Unavailable` when the system gives no thread.
    #[uniffi::constructor]
    pub fn new(
        store: Box<dyn StateStore>,
        accounts: Vec<AccountSetup>,
        listener: Option<Box<dyn EventListener>>,
        options: ClientOptions,
    ) -> Result<Arc<Self>, SipWakeError> {
        logging::install();
        let options = options.into_options()?;
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
        let shut_down = watch::Sender::new(false);
        Ok(Arc::new(Self { runtime, client, failures, shut_down, first: Mutex::new(Some(first)) }))
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar; returns its id. What was
    /// stored of it by an earlier process lives on. Nothing is sent before the wish `Register`.
    ///
    /// # Errors
    /// `InvalidField`, which names the field and the rule; `ShutDown`.
    pub async fn add_account(&self, setup: AccountSetup) -> Result<String, SipWakeError> {
        let (account, push) = setup.into_parts();
        self.until_shut_down(Box::pin(self.client.add_account(account, push))).await.map(|key| key.to_string())
    }

    /// Does what the app wishes for an account.
    ///
    /// # Errors
    /// `NoSuchAccount`, `ShutDown`.
    pub async fn for_account(&self, account: String, wish: AccountWish) -> Result<(), SipWakeError> {
        let (client, key) = (&self.client, key(&account)?);
        self.until_shut_down(match wish {
            AccountWish::Register => Box::pin(client.register(&key)),
            AccountWish::UnbindPush => Box::pin(client.unbind_push(&key)),
            AccountWish::LogOut => Box::pin(client.log_out(&key)),
            AccountWish::QueryPush { provider } => Box::pin(client.query_push(&key, provider)),
        })
        .await
    }

    /// Hands over the push token that the provider gave: the one for calls (FCM's, PushKit's) and, on iOS, the one for alerts.
    ///
    /// A null, empty or "not yet" token is ignored; the same token costs no traffic.
    ///
    /// # Errors
    /// `InvalidField` for a token of the wrong shape, `NoPush` for an account without push settings, `NoSuchAccount`, `ShutDown`.
    #[uniffi::method(default(alert = None))]
    pub async fn set_token(
        &self,
        account: String,
        token: Option<String>,
        alert: Option<String>,
    ) -> Result<TokenOutcome, SipWakeError> {
        let key = key(&account)?;
        let update =
            self.until_shut_down(Box::pin(self.client.set_tokens(&key, token.as_deref(), alert.as_deref()))).await?;
        Ok(match update {
            sipwake::TokenUpdate::Taken => TokenOutcome::Taken,
            sipwake::TokenUpdate::Ignored => TokenOutcome::Ignored,
        })
    }

    /// Says what a push means for the operating system, at once, and wakes the account behind it.
    ///
    /// Waits for no network, no lock and no task. Whatever the payload, there is an action; for a PushKit push it is one
    /// that can be shown to CallKit. A push for a logged-out user, or of a call that is over, makes no sound.
    ///
    /// # Errors
    /// None of its own: the `Result` is there so that a bug is an error in Swift, too.
    pub fn push(&self, payload: PushPayload, channel: Channel, hints: PushHints) -> Result<PushAction, SipWakeError> {
        let action = self.client.push(&payload, channel.into(), &hints.into());
        Ok(PushAction::convert(action, now().boot))
    }

    /// Does what the app wishes for a call.
    ///
    /// # Errors
    /// `NoSuchCall` for a call that is not known or over, or that the wish does not fit; `ShutDown`.
    pub async fn for_call(&self, call: String, wish: CallWish) -> Result<(), SipWakeError> {
        let (client, call) = (&self.client, uuid(&call)?);
        self.until_shut_down(match wish {
            CallWish::Answer => Box::pin(client.answer(call)),
            CallWish::Ringing => Box::pin(client.ringing(call)),
            CallWish::Accept { answer } => Box::pin(client.accept(call, answer.into())),
            CallWish::Decline { how } => Box::pin(client.decline(call, how.into())),
            CallWish::End { why } => Box::pin(client.hang_up(call, why.into())),
            CallWish::RespondOffer { answer } => Box::pin(client.respond_offer(call, answer.map(Into::into))),
        })
        .await
    }

    /// Sets how calls are treated from here on.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn set_call_policy(&self, policy: CallPolicy) -> Result<(), SipWakeError> {
        self.until_shut_down(Box::pin(self.client.set_call_policy(policy.into()))).await
    }

    /// Says that the device's network changed: flows are opened anew, the bindings follow.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn network_changed(&self) -> Result<(), SipWakeError> {
        self.until_shut_down(Box::pin(self.client.network_changed())).await
    }

    /// Returns a stream of events: the first one with all that happened since the client was made, later ones from now on.
    ///
    /// # Errors
    /// None of its own.
    pub fn events(&self) -> Result<Arc<EventStream>, SipWakeError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let events = first.unwrap_or_else(|| self.client.events());
        Ok(Arc::new(EventStream::new(events, self.failures.subscribe(), self.shut_down.subscribe())))
    }

    /// Ends the client at once: who waits gets `ShutDown`, streams end, sockets close. Bindings stay on their servers.
    ///
    /// # Errors
    /// None of its own.
    pub fn shutdown(&self) -> Result<(), SipWakeError> {
        self.shut_down.send_replace(true);
        self.runtime.shut_down();
        Ok(())
    }
}

impl SipWakeClient {
    /// Awaits what the driver does, but not longer than there is a driver. In a box, so that there is one of it for a kind of
    /// answer and not one for each function.
    async fn until_shut_down<T>(&self, work: Work<'_, T>) -> Result<T, SipWakeError> {
        let mut shut_down = self.shut_down.subscribe();
        tokio::select! {
            biased;
            _ = shut_down.wait_for(|shut_down| *shut_down) => Err(SipWakeError::shut_down()),
            result = work => result.map_err(Into::into),
        }
    }
}

fn key(account: &str) -> Result<AccountKey, SipWakeError> {
    AccountKey::parse(account)
        .ok_or_else(|| sipwake::Error::NoSuchAccount(sipwake::core::user_agent::NoSuchAccount).into())
}

fn uuid(call: &str) -> Result<Uuid, SipWakeError> {
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
mod tests;
