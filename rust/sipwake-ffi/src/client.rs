//! The client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use sipwake::{AccountKey, Client, Events, Uuid, now};
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::account::AccountSetup;
use crate::call::{CallPolicy, CallWish};
use crate::decryptor::Decryptor;
use crate::error::SipWakeError;
use crate::logging;
use crate::options::{ClientOptions, TraceListener};
use crate::payload::{Channel, PushAction, PushHints, PushPayload};
use crate::runtime::{OwnRuntime, start_thread};
use crate::store::{EventListener, ForeignStore, StateStore};
use crate::stream::{EventStream, MAX_FAILURES};
use crate::trust::ServerTrust;

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum TokenOutcome {
    /// It is stored, and sent if it is new.
    Taken,
    /// It was empty or `null`: the good token that may be there stays.
    Ignored,
}

impl From<sipwake::TokenUpdate> for TokenOutcome {
    fn from(update: sipwake::TokenUpdate) -> Self {
        match update {
            sipwake::TokenUpdate::Taken => Self::Taken,
            sipwake::TokenUpdate::Ignored => Self::Ignored,
        }
    }
}

/// What an app wishes of a client.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
#[expect(clippy::large_enum_variant, reason = "the bridge makes one at a time")]
pub enum Wish {
    /// Adds an account, or changes the settings of the one with the same AOR and registrar. What was stored of it by an
    /// earlier process lives on. Nothing is sent before the wish `Register`. Refused with `InvalidField`, which names the field
    /// and the rule.
    AddAccount {
        /// The account.
        setup: AccountSetup,
    },
    /// Something for an account; refused with `NoSuchAccount`.
    ForAccount {
        /// Its id.
        account: String,
        /// What.
        wish: AccountWish,
    },
    /// Something for a call; refused with `NoSuchCall` where the call is not known or over, or the wish does not fit.
    ForCall {
        /// Its UUID.
        call: String,
        /// What.
        wish: CallWish,
    },
    /// Treats calls so from here on.
    SetCallPolicy {
        /// How.
        policy: CallPolicy,
    },
    /// Takes notice that the device's network changed: flows are opened anew, the bindings follow.
    NetworkChanged,
}

/// What is said to a wish.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Granted {
    /// It is stored, and under way.
    Done,
    /// To `AddAccount`.
    Account {
        /// The account's id.
        id: String,
    },
    /// To `SetToken`.
    Token {
        /// What became of the token.
        outcome: TokenOutcome,
    },
}

/// What an app wishes for an account.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
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
    /// Hands over the push token that the provider gave: the one for calls (FCM's, PushKit's) and, on iOS, the one for alerts.
    ///
    /// A null, empty or "not yet" token is ignored; the same token costs no traffic. Refused with `InvalidField` for a token of
    /// the wrong shape, `NoPush` for an account without push settings.
    SetToken {
        /// The token for calls.
        token: Option<String>,
        /// The token for alerts (iOS).
        alert: Option<String>,
    },
}

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
        server_trust: Option<Box<dyn ServerTrust>>,
        decryptor: Option<Box<dyn Decryptor>>,
        trace: Option<Box<dyn TraceListener>>,
    ) -> Result<Arc<Self>, SipWakeError> {
        logging::install();
        let options = options.into_options(server_trust, decryptor, trace)?;
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

    /// Does what the app wishes. One function for all of it: each asynchronous one brings kilobytes of the bridge.
    ///
    /// # Errors
    /// As the wish says; `ShutDown`.
    pub async fn wish(&self, wish: Wish) -> Result<Granted, SipWakeError> {
        let mut over = self.runtime.over();
        tokio::select! {
            biased;
            () = over.wait() => Err(SipWakeError::shut_down()),
            granted = self.grant(wish) => granted,
        }
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

    /// Returns a stream of events: the first one with all that happened since the client was made, later ones from now on.
    ///
    /// # Errors
    /// None of its own.
    pub fn events(&self) -> Result<Arc<EventStream>, SipWakeError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let events = first.unwrap_or_else(|| self.client.events());
        Ok(Arc::new(EventStream::new(events, self.failures.subscribe(), self.runtime.over())))
    }

    /// Ends the client at once: who waits gets `ShutDown`, streams end, sockets close. Bindings stay on their servers.
    ///
    /// # Errors
    /// None of its own.
    pub fn shutdown(&self) -> Result<(), SipWakeError> {
        self.runtime.shut_down();
        Ok(())
    }
}

impl SipWakeClient {
    async fn grant(&self, wish: Wish) -> Result<Granted, SipWakeError> {
        let client = &self.client;
        let account_key;
        // In a box, so that there is one of what awaits them.
        let granted: Pin<Box<dyn Future<Output = Result<(), sipwake::Error>> + Send>> = match wish {
            Wish::AddAccount { setup } => {
                let (account, push) = setup.into_parts();
                let id = client.add_account(account, push).await?.to_string();
                return Ok(Granted::Account { id });
            }
            Wish::ForAccount { account, wish } => {
                account_key = key(&account)?;
                match wish {
                    AccountWish::Register => Box::pin(client.register(&account_key)),
                    AccountWish::UnbindPush => Box::pin(client.unbind_push(&account_key)),
                    AccountWish::LogOut => Box::pin(client.log_out(&account_key)),
                    AccountWish::QueryPush { provider } => Box::pin(client.query_push(&account_key, provider)),
                    AccountWish::SetToken { token, alert } => {
                        let update = client.set_tokens(&account_key, token.as_deref(), alert.as_deref()).await?;
                        return Ok(Granted::Token { outcome: update.into() });
                    }
                }
            }
            Wish::ForCall { call, wish } => {
                let call = uuid(&call)?;
                match wish {
                    CallWish::Answer => Box::pin(client.answer(call)),
                    CallWish::Ringing => Box::pin(client.ringing(call)),
                    CallWish::Accept { answer } => Box::pin(client.accept(call, answer.into())),
                    CallWish::Decline { how } => Box::pin(client.decline(call, how.into())),
                    CallWish::End { why } => Box::pin(client.hang_up(call, why.into())),
                    CallWish::RespondOffer { answer } => Box::pin(client.respond_offer(call, answer.map(Into::into))),
                }
            }
            Wish::SetCallPolicy { policy } => Box::pin(client.set_call_policy(policy.into())),
            Wish::NetworkChanged => Box::pin(client.network_changed()),
        };
        granted.await?;
        Ok(Granted::Done)
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
