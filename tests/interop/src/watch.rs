//! What the client sent, and which events it reported.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sipwake::{
    AccountConfig, AccountKey, CallChange, Client, Event, Events, Failure, MemoryStore, Options, PushConfig,
    Registered, StateStore, Trace, Uuid,
};

/// How long each step on loopback may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Counts the requests that the client sends.
#[derive(Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    /// Returns how many REGISTERs were sent since the last call.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Trace for Counter {
    fn message(&self, sent: bool, _: u64, text: &str) {
        if sent && text.starts_with("REGISTER ") {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        if std::env::var_os("SIPWAKE_TEST_TRACE").is_some() {
            eprintln!("{} {text}", if sent { ">>>" } else { "<<<" });
        }
    }
}

/// A client with one account, and its events.
pub struct Watched {
    /// The client.
    pub client: Client,
    /// Its events.
    pub events: Events,
    /// Its one account.
    pub account: AccountKey,
    /// The REGISTERs it sends.
    pub sent: Arc<Counter>,
    pub(crate) ends: HashSet<Uuid>,
}

impl Watched {
    /// Starts a client with a store of its own. Nothing is sent yet.
    ///
    /// # Panics
    /// When the account is not valid.
    pub async fn start(account: AccountConfig, push: Option<PushConfig>, options: Options) -> Self {
        Self::start_on(Arc::new(MemoryStore::default()), account, push, options).await
    }

    /// Starts a client with the store of an earlier one.
    ///
    /// # Panics
    /// When the account is not valid.
    pub async fn start_on(
        store: Arc<dyn StateStore>,
        account: AccountConfig,
        push: Option<PushConfig>,
        options: Options,
    ) -> Self {
        let sent = Arc::new(Counter::default());
        let (client, events) = Client::start_with(store, options.trace(sent.clone()));
        let account = client.add_account(account, push).await.expect("a valid account");
        Self { client, events, account, sent, ends: HashSet::new() }
    }

    /// Waits for the first event of a kind, and skips others.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let wait = async {
            loop {
                let event = self.events.next().await.expect("the client runs");
                self.note(&event);
                if let Some(found) = wanted(&event) {
                    return found;
                }
                seen.push(event);
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        found.unwrap_or_else(|_| panic!("{what}: not in time, but {seen:#?}"))
    }

    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::Call(call) = event
            && let CallChange::Ended(how) = call.change
        {
            assert!(self.ends.insert(call.uuid), "its end was reported again: {how:?}");
        }
    }

    /// Waits for a 200 to a REGISTER.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn registered(&mut self) -> Registered {
        self.wait_for("registered", |event| match event {
            Event::Registered { registered, .. } => Some(registered.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for a failure.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn failed(&mut self) -> Failure {
        self.wait_for("a failure", |event| match event {
            Event::RegistrationFailed { failure, .. } => Some(failure.clone()),
            _ => None,
        })
        .await
    }
}
