//! A store that returns nonsense or refuses everything: the client reports an event and works.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mock_gateway::{Config, MockGateway, Profile};
use sipwake::{AccountConfig, AccountKey, Client, Event, Events, FileStore, Provider, PushConfig, Transport};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(120);

async fn mock() -> MockGateway {
    let profile = Profile::named("rfc8599").expect("a known profile");
    let config = Config::new(profile).user("alice", "wonderland").user("bob", "builder");
    MockGateway::start(config).await.expect("loopback")
}

fn client(folder: &Path) -> (Client, Events) {
    Client::start(Arc::new(FileStore::open(folder).expect("a folder of our own")))
}

async fn add(client: &Client, mock: &MockGateway, user: &str, password: &str) -> AccountKey {
    let mut account = AccountConfig::new(format!("sip:{user}@example.com"), password);
    account.gateways = vec![mock.addr().to_string()];
    account.transport = Some(Transport::Udp);
    let key = client.add_account(account, Some(PushConfig::new(Provider::Fcm, "app"))).await.expect("a good account");
    client.set_token(&key, &format!("token-{user}:APA91b")).await.expect("a good token");
    client.register(&key).await.expect("it was added");
    key
}

async fn wait(events: &mut Events, mut wanted: impl FnMut(&Event) -> bool) {
    let found = async { while !events.next().await.as_ref().is_none_or(&mut wanted) {} };
    timeout(PATIENCE, found).await.expect("the event comes");
}

fn is_registered(event: &Event, key: &AccountKey) -> bool {
    matches!(event, Event::Registered { account, .. } if account == key)
}

/// Each form of damage that a stored record may have.
type Damage = fn(&Path);

fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("empty", |path| fs::write(path, b"").expect("written")),
        ("torn", |path| {
            let bytes = fs::read(path).expect("there");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
        }),
        ("a flipped bit", |path| {
            let mut bytes = fs::read(path).expect("there");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).expect("written");
        }),
        ("another version", |path| fs::write(path, b"sipwake 9 0000000000000000\n{}").expect("written")),
        ("foreign", |path| fs::write(path, [0xff; 300]).expect("written")),
        ("huge", |path| fs::write(path, vec![b'x'; 2_000_000]).expect("written")),
        ("unreadable and not writable", |path| {
            fs::remove_file(path).expect("there");
            fs::create_dir(path).expect("a folder in the record's place");
        }),
    ]
}

#[tokio::test]
async fn a_pending_log_out_survives_damage_to_the_other_record() {
    for (name, damage) in damages() {
        let mock = mock().await;
        let folder = tempfile::tempdir().expect("a folder");
        let (first, mut events) = client(folder.path());
        let alice = add(&first, &mock, "alice", "wonderland").await;
        wait(&mut events, |event| is_registered(event, &alice)).await;
        let bob = add(&first, &mock, "bob", "builder").await;
        wait(&mut events, |event| is_registered(event, &bob)).await;
        // The log-out is stored, and the process ends before the response comes.
        let fault = mock_gateway::Fault::new(mock_gateway::Action::Drop);
        mock.faults(vec![fault]).await;
        first.log_out(&alice).await.expect("it was added");
        drop((first, events));
        mock.clear_faults().await;
        damage(&folder.path().join(format!("binding-{bob}")));

        let (second, mut events) = client(folder.path());
        let mut failures = second.events();
        wait(&mut events, |event| matches!(event, Event::LoggedOut { .. })).await;
        let bob = add(&second, &mock, "bob", "builder").await;
        wait(&mut failures, |event| matches!(event, Event::StoreFailed { .. })).await;
        wait(&mut events, |event| is_registered(event, &bob)).await;
        assert!(mock.bindings("alice").await.is_empty(), "{name}");
        assert!(!mock.bindings("bob").await.is_empty(), "{name}");
        mock.shutdown().await;
    }
}

#[tokio::test]
async fn damaged_removals_are_reported_and_the_client_works() {
    for (name, damage) in damages() {
        let mock = mock().await;
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("removals"), b"sipwake 1 0000000000000000\n{}").expect("written");
        damage(&folder.path().join("removals"));
        let (client, mut events) = client(folder.path());
        wait(&mut events, |event| matches!(event, Event::StoreFailed { .. })).await;
        let key = add(&client, &mock, "alice", "wonderland").await;
        wait(&mut events, |event| is_registered(event, &key)).await;
        assert_eq!(mock.bindings("alice").await.len(), 1, "{name}");
        mock.shutdown().await;
    }
}
