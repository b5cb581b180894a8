//! A process that starts before the device is unlocked: its store cannot be read yet (iOS: `errSecInteractionNotAllowed`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mock_gateway::{Action, Config, Fault, MockGateway, Profile};
use sipwake::{
    AccountConfig, AccountKey, Channel, Client, Event, Events, Hints, Kept, MemoryStore, Provider, PushConfig,
    StateStore, StoreError, TokenUpdate, Transport,
};

/// How long each step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "c-10:APA91bTokenTokenToken";

#[derive(Default)]
struct Keychain {
    inner: MemoryStore,
    locked: AtomicBool,
    /// How the store reports that it is shut.
    fails: bool,
}

impl Keychain {
    fn check(&self) -> Result<(), StoreError> {
        match (self.locked.load(Ordering::SeqCst), self.fails) {
            (false, _) => Ok(()),
            (true, false) => Err(StoreError::shut("errSecInteractionNotAllowed")),
            (true, true) => Err(StoreError("errSecNotAvailable".into())),
        }
    }

    fn pending(&self) -> String {
        let record = self.inner.load("removals").expect("memory");
        record.map(|record| String::from_utf8_lossy(&record).into_owned()).unwrap_or_default()
    }
}

impl StateStore for Keychain {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        self.inner.load(key)
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        self.inner.save(key, bytes)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.check()?;
        self.inner.remove(key)
    }
}

async fn mock() -> MockGateway {
    let profile = Profile::named("mizutech").expect("it is one of them");
    let config = Config::new(profile).user("alice", "secret").user("bob", "secret");
    MockGateway::start(config).await.expect("loopback is there")
}

async fn log_in(client: &Client, user: &str, mock: &MockGateway) -> AccountKey {
    let mut account = AccountConfig::new(format!("sip:{user}@mock.example"), "secret");
    account.gateways = vec![mock.addr().to_string()];
    account.transport = Some(Transport::Udp);
    let push = PushConfig::new(Provider::Fcm, "project");
    client.add_account(account, Some(push)).await.expect("a sound account")
}

async fn until(events: &mut Events, what: impl Fn(&Event) -> bool) {
    let wait = async { while !what(&events.next().await.expect("the client runs")) {} };
    tokio::time::timeout(PATIENCE, wait).await.expect("it happens in time");
}

fn registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

fn logged_out(event: &Event) -> bool {
    matches!(event, Event::LoggedOut { .. })
}

/// Alice registers, the gateway goes down, Alice logs out, and the process ends.
async fn alice_logs_out_in_vain(store: &Arc<Keychain>, mock: &MockGateway) {
    let (client, mut events) = Client::start(store.clone());
    let alice = log_in(&client, "alice", mock).await;
    assert_eq!(client.set_token(&alice, TOKEN).await, Ok(TokenUpdate::Taken));
    client.register(&alice).await.expect("it was added");
    until(&mut events, registered).await;
    mock.faults(vec![Fault::new(Action::Drop).received().times(u32::MAX)]).await;
    assert_eq!(client.log_out(&alice).await, Ok(Kept::Durable));
    client.shutdown().await;
    mock.clear_faults().await;
    assert_eq!(mock.bindings("alice").await.len(), 1);
    assert!(store.pending().contains("alice@mock.example"));
}

async fn a_log_out_outlives_a_start_before_the_first_unlock(store: Keychain) {
    let (one, two) = (mock().await, mock().await);
    let store = Arc::new(store);
    alice_logs_out_in_vain(&store, &one).await;

    store.locked.store(true, Ordering::SeqCst);
    let (client, mut events) = Client::start(store.clone());
    let bob = log_in(&client, "bob", &two).await;
    assert_eq!(client.set_token(&bob, TOKEN).await, Ok(TokenUpdate::NotYetDurable));
    client.register(&bob).await.expect("it was added");
    until(&mut events, registered).await;
    assert_eq!(client.log_out(&bob).await, Ok(Kept::NotYetDurable));
    until(&mut events, logged_out).await;
    assert!(store.pending().contains("alice@mock.example"), "an unread record must not be overwritten");
    assert_eq!(one.bindings("alice").await.len(), 1);

    store.locked.store(false, Ordering::SeqCst);
    client.store_available().await.expect("it runs");
    until(&mut events, |event| *event == Event::Durable).await;
    until(&mut events, logged_out).await;
    assert!(one.bindings("alice").await.is_empty());
    assert!(two.bindings("bob").await.is_empty());
}

#[tokio::test]
async fn a_log_out_outlives_a_start_while_the_store_is_shut() {
    a_log_out_outlives_a_start_before_the_first_unlock(Keychain::default()).await;
}

#[tokio::test]
async fn a_log_out_outlives_a_start_while_the_store_fails() {
    a_log_out_outlives_a_start_before_the_first_unlock(Keychain { fails: true, ..Keychain::default() }).await;
}

#[tokio::test]
async fn a_store_that_opens_without_notice_is_read_again() {
    let mock = mock().await;
    let store = Arc::new(Keychain::default());
    alice_logs_out_in_vain(&store, &mock).await;
    store.locked.store(true, Ordering::SeqCst);
    let (client, mut events) = Client::start(store.clone());
    let push =
        client.push(r#"{"ntype":"0","nfrom":"bob","ncallid":"c"}"#, Channel::FcmAndroid, &Hints::at(sipwake::now()));
    assert!(push.is_call(), "it is not known yet who is logged out");
    store.locked.store(false, Ordering::SeqCst);
    until(&mut events, logged_out).await;
    assert!(mock.bindings("alice").await.is_empty());
    let late =
        client.push(r#"{"ntype":"0","nfrom":"bob","ncallid":"d"}"#, Channel::FcmAndroid, &Hints::at(sipwake::now()));
    assert!(!late.is_call());
}
