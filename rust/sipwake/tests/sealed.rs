//! Pushes that a server sealed for this phone, from the client's own key to the action.
#![cfg(feature = "sealed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mock_gateway::seal;
use sipwake::core::payload::{Duty, Problem};
use sipwake::{
    AccountConfig, Channel, Client, Error, Event, Hints, MemoryStore, Options, PushAction, StateStore, StoreError,
    Unopened, parse_push_beside,
};

const CALL: &str = r#"{"ntype":"0","nfrom":"1234","nfromusername":"Zoë","ncallid":"call-1"}"#;

/// A store that can be shut.
#[derive(Default)]
struct Store {
    records: MemoryStore,
    shut: AtomicBool,
    /// What is written is refused.
    fails: AtomicBool,
    writes: AtomicUsize,
}

impl Store {
    fn check(&self) -> Result<(), StoreError> {
        if self.shut.load(Ordering::SeqCst) { Err(StoreError::shut("locked")) } else { Ok(()) }
    }
}

impl StateStore for Store {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        self.records.load(key)
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        self.writes.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError("the disk is full".into()));
        }
        self.records.save(key, bytes)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.check()?;
        self.records.remove(key)
    }
}

/// A client with somebody logged in.
async fn client(store: &Arc<Store>, options: Options) -> Client {
    client_of(store, options, |_| {}).await
}

async fn client_of(store: &Arc<Store>, options: Options, change: impl FnOnce(&mut AccountConfig)) -> Client {
    let (client, _) = Client::start_with(store.clone(), options);
    let mut account = AccountConfig::new("sip:alice@127.0.0.1:9", "secret");
    change(&mut account);
    client.add_account(account, None).await.expect("a sound account");
    client
}

fn push(client: &Client, payload: &str, channel: Channel) -> PushAction {
    client.push(payload, channel, &Hints::at(sipwake::now()))
}

fn sealed_for(client: &Client, content: &str) -> String {
    let key = client.push_key().expect("it can be stored");
    let sealed = seal::sealed(&key.p256dh, &key.auth, content.as_bytes()).expect("a sound key");
    format!(r#"{{"aps":{{"content-available":1}},"ntype":"2","nfrom":"mallory","sealed":"{sealed}"}}"#)
}

fn why(action: &PushAction) -> Option<Unopened> {
    match action.problem {
        Some(Problem::Unopened(why)) => Some(why),
        _ => None,
    }
}

#[tokio::test]
async fn a_sealed_call_rings_as_who_it_is_and_no_word_beside_it_counts() {
    let store = Arc::new(Store::default());
    let client = client(&store, Options::default()).await;
    let action = push(&client, &sealed_for(&client, CALL), Channel::FcmAndroid);
    assert!(action.is_call() && !action.unverified, "{action:?}");
    assert_eq!((action.caller.as_deref(), action.display_name.as_deref()), (Some("1234"), Some("Zoë")));
    client.shutdown().await;
}

#[tokio::test]
async fn a_push_that_comes_again_makes_no_sound_even_after_a_kill() {
    let store = Arc::new(Store::default());
    let first = client(&store, Options::default()).await;
    let payload = sealed_for(&first, CALL);
    assert!(push(&first, &payload, Channel::FcmAndroid).is_call());
    let again = push(&first, &payload, Channel::FcmAndroid);
    assert_eq!((again.duty, why(&again)), (Duty::Nothing, Some(Unopened::Replayed)));
    // What was queued is done before it ends.
    first.shutdown().await;
    let second = client(&store, Options::default()).await;
    let again = push(&second, &payload, Channel::FcmAndroid);
    assert_eq!((again.duty, why(&again)), (Duty::Nothing, Some(Unopened::Replayed)));
    let again = push(&second, &payload, Channel::PushKit);
    assert_eq!((again.duty, again.caller.as_deref()), (Duty::ReportCall, None), "the system wants to see a call");
    second.shutdown().await;
}

#[tokio::test]
async fn a_push_for_another_phone_or_with_plain_words_alone_is_not_believed() {
    let (store, others) = (Arc::new(Store::default()), Arc::new(Store::default()));
    let alice = client_of(&store, Options::default(), |account| account.sealed_pushes_only = true).await;
    let bob = client(&others, Options::default()).await;
    alice.push_key().expect("it can be stored");
    let foreign = push(&alice, &sealed_for(&bob, CALL), Channel::FcmAndroid);
    assert_eq!((foreign.duty, why(&foreign)), (Duty::Nothing, Some(Unopened::Foreign)));
    let foreign = push(&alice, &sealed_for(&bob, CALL), Channel::PushKit);
    assert_eq!((foreign.duty, foreign.caller), (Duty::ReportCall, None));
    let plain = push(&alice, CALL, Channel::FcmAndroid);
    assert_eq!((plain.duty, plain.problem), (Duty::Nothing, Some(Problem::NotSealed)));
    assert!(push(&bob, CALL, Channel::FcmAndroid).is_call(), "who does not ask for sealed pushes takes others");
    for client in [alice, bob] {
        client.shutdown().await;
    }
}

#[tokio::test]
async fn keys_are_rotated_and_handed_over_and_survive_the_process() {
    let store = Arc::new(Store::default());
    let first = client(&store, Options::default()).await;
    let under_way = sealed_for(&first, CALL);
    let before = first.push_key().expect("there is one");
    assert_ne!(first.rotate_push_key().expect("it can be stored"), before);
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    first.import_push_key("pbx", key).expect("32 bytes");
    assert!(matches!(first.import_push_key("pbx", "AAAA"), Err(Error::Key(_))));
    let after = first.push_key().expect("there is one");
    first.shutdown().await;
    let second = client(&store, Options::default()).await;
    assert_eq!(second.push_key().expect("there is one"), after);
    assert!(push(&second, &under_way, Channel::FcmAndroid).is_call(), "the former key opens what was under way");
    let sealed = seal::with_shared_key("pbx", key, CALL.replace("call-1", "call-2").as_bytes()).expect("a sound key");
    let payload = format!(r#"{{"data":{{"sealed":"{sealed}"}}}}"#);
    assert!(push(&second, &payload, Channel::FcmIos).is_call());
    assert!(second.forget_push_key("pbx").expect("it can be stored"));
    assert_eq!(why(&push(&second, &payload, Channel::FcmIos)), Some(Unopened::Foreign));
    second.shutdown().await;
}

#[tokio::test]
async fn a_store_that_does_not_keep_which_pushes_were_opened_is_told_and_asked_again() {
    let store = Arc::new(Store::default());
    let first = client(&store, Options::default()).await;
    let mut events = first.events();
    let payload = sealed_for(&first, CALL);
    store.fails.store(true, Ordering::SeqCst);
    assert!(push(&first, &payload, Channel::FcmAndroid).is_call());
    let told = async |events: &mut sipwake::Events, wanted: fn(&Event) -> bool| loop {
        let next = tokio::time::timeout(std::time::Duration::from_secs(120), events.next()).await.expect("in time");
        if wanted(&next.expect("the client runs")) {
            return;
        }
    };
    told(&mut events, |event| matches!(event, Event::StoreFailed { key, .. } if key == "pushes-opened")).await;
    store.fails.store(false, Ordering::SeqCst);
    first.store_available().await.expect("it runs");
    first.shutdown().await;
    let second = client(&store, Options::default()).await;
    let again = push(&second, &payload, Channel::FcmAndroid);
    assert_eq!((again.duty, why(&again)), (Duty::Nothing, Some(Unopened::Replayed)));
    second.shutdown().await;
}

#[tokio::test]
async fn each_sealed_push_that_does_not_open_is_told_by_an_event_with_its_reason() {
    let (store, others) = (Arc::new(Store::default()), Arc::new(Store::default()));
    let (alice, bob) = (client(&store, Options::default()).await, client(&others, Options::default()).await);
    let mut events = alice.events();
    let whole = sealed_for(&alice, CALL);
    assert!(push(&alice, &whole, Channel::FcmAndroid).is_call());
    let foreign = sealed_for(&bob, CALL);
    let torn = whole.replace(r#""sealed":""#, r#""sealed":"!"#);
    let list = sealed_for(&alice, "[1]");
    let large = format!(r#"{{"sealed":"{}"}}"#, "A".repeat(9000));
    let wanted = [
        (&whole, Unopened::Replayed),
        (&foreign, Unopened::Foreign),
        (&list, Unopened::Unreadable),
        (&large, Unopened::TooLarge),
        (&torn, Unopened::Torn),
    ];
    for (payload, reason) in wanted {
        for (channel, duty) in [(Channel::FcmAndroid, Duty::Nothing), (Channel::PushKit, Duty::ReportCall)] {
            let action = push(&alice, payload, channel);
            assert_eq!((action.duty, why(&action), action.caller_label()), (duty, Some(reason), None));
            let told = async {
                while let Some(event) = events.next().await {
                    if let Event::PushUnopened { why } = event {
                        return Some(why);
                    }
                }
                None
            };
            let told = tokio::time::timeout(std::time::Duration::from_secs(120), told).await.expect("in time");
            assert_eq!(told, Some(reason));
        }
    }
    for client in [alice, bob] {
        client.shutdown().await;
    }
}

#[tokio::test]
async fn a_process_without_a_client_opens_it_with_the_keys_in_the_store_and_writes_nothing() {
    let store = Arc::new(Store::default());
    let client = client(&store, Options::default()).await;
    let payload = sealed_for(&client, CALL);
    let beside = || parse_push_beside(&*store, None, payload.as_str(), Channel::ApnsAlert, &Hints::at(sipwake::now()));
    let before = store.writes.load(Ordering::SeqCst);
    for _ in 0..2 {
        let action = beside();
        assert_eq!((action.caller_label(), action.unverified), (Some("Zoë"), false));
    }
    assert_eq!(store.writes.load(Ordering::SeqCst), before);
    assert!(push(&client, &payload, Channel::FcmAndroid).is_call(), "a look leaves it to the client");
    store.shut.store(true, Ordering::SeqCst);
    assert_eq!(why(&beside()), Some(Unopened::KeysUnreadable));
    client.shutdown().await;
}

#[tokio::test]
async fn a_process_without_a_client_believes_no_word_that_came_unsealed_of_who_wants_them_sealed() {
    let store = Arc::new(Store::default());
    let client = client_of(&store, Options::default(), |alice| alice.sealed_pushes_only = true).await;
    let plain = |user: &str| format!(r#"{{"ntype":"0","nfrom":"1234","ncallid":"call-1"{user}}}"#);
    let [nameless, to_alice, to_bob] = ["", r#","ntouser":"alice""#, r#","ntouser":"bob""#].map(plain);
    let sealed = sealed_for(&client, CALL);
    let caller = |payload: &str, channel| {
        let action = parse_push_beside(&*store, None, payload, channel, &Hints::at(sipwake::now()));
        (action.caller, action.problem == Some(Problem::NotSealed))
    };
    let known = (Some("1234".to_owned()), false);
    for channel in [Channel::ApnsAlert, Channel::FcmIos, Channel::PushKit] {
        assert_eq!(caller(&nameless, channel), (None, true), "nobody else is here");
        assert_eq!(caller(&to_alice, channel), (None, true));
        assert_eq!(caller(&sealed, channel), known);
    }
    client.add_account(AccountConfig::new("sip:bob@127.0.0.1:9", "secret"), None).await.expect("a sound account");
    for channel in [Channel::ApnsAlert, Channel::PushKit] {
        assert_eq!(caller(&to_alice, channel), (None, true));
        assert_eq!(caller(&to_bob, channel), known, "bob takes pushes as they come");
        assert_eq!(caller(&nameless, channel), known, "it may be bob's");
    }
    // The setting is taken back.
    client.add_account(AccountConfig::new("sip:alice@127.0.0.1:9", "secret"), None).await.expect("a sound account");
    assert_eq!(caller(&to_alice, Channel::ApnsAlert), known);
    client.shutdown().await;
}

#[tokio::test]
async fn without_any_key_a_field_of_that_name_is_the_apps_own() {
    struct Opener;
    impl sipwake::Decryptor for Opener {
        fn decrypt(&self, payload: sipwake::Payload<'_>) -> Option<std::collections::HashMap<String, String>> {
            let sipwake::Payload::Bytes(json) = payload else { return None };
            let fields = [("ntype", "0"), ("nfrom", "5678"), ("ncallid", "own")]
                .map(|(name, value)| (name.into(), value.into()));
            json.windows(3).any(|text| text == b"own").then(|| fields.into())
        }
    }
    let store = Arc::new(Store::default());
    let client = client(&store, Options::default().decryptor(Arc::new(Opener))).await;
    let payload = r#"{"sealed":"own","ntype":"0","nfrom":"1234","ncallid":"plain"}"#;
    assert_eq!(push(&client, payload, Channel::FcmAndroid).caller.as_deref(), Some("5678"));
    client.push_key().expect("it can be stored");
    let action = push(&client, payload, Channel::FcmAndroid);
    assert_eq!((action.duty, why(&action)), (Duty::Nothing, Some(Unopened::Torn)), "from the first key on it is ours");
    client.shutdown().await;
}

#[tokio::test]
async fn a_web_push_opens_as_it_was_sent() {
    let store = Arc::new(Store::default());
    let client = client(&store, Options::default()).await;
    let key = client.push_key().expect("it can be stored");
    let body = seal::web_push(&key.p256dh, &key.auth, CALL.as_bytes()).expect("a sound key");
    assert!(client.push(&body, Channel::WebPush, &Hints::at(sipwake::now())).is_call());
    client.shutdown().await;
}

#[tokio::test]
async fn while_the_store_is_shut_no_key_is_made_and_a_sealed_push_rings_as_unknown() {
    let store = Arc::new(Store::default());
    let first = client(&store, Options::default()).await;
    let payload = sealed_for(&first, CALL);
    first.shutdown().await;
    store.shut.store(true, Ordering::SeqCst);
    let second = client(&store, Options::default()).await;
    assert!(matches!(second.push_key(), Err(Error::Store(_))));
    let action = push(&second, &payload, Channel::PushKit);
    assert_eq!((action.duty, action.caller.as_deref()), (Duty::ReportCall, None));
    assert_eq!(why(&action), Some(Unopened::KeysUnreadable), "which is not that it is for another phone");
    let action = push(&second, &payload, Channel::FcmAndroid);
    assert_eq!((action.duty, why(&action)), (Duty::Nothing, Some(Unopened::KeysUnreadable)));
    store.shut.store(false, Ordering::SeqCst);
    assert!(push(&second, &payload, Channel::PushKit).caller.is_some(), "unlocked, the key is read");
    second.shutdown().await;
}
