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
    /// Writes are refused.
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

/// A client with a logged-in user.
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
async fn a_sealed_call_rings_with_its_caller_and_unsealed_fields_are_ignored() {
    let store = Arc::new(Store::default());
    let client = client(&store, Options::default()).await;
    let action = push(&client, &sealed_for(&client, CALL), Channel::FcmAndroid);
    assert!(action.is_call() && !action.unverified, "{action:?}");
    assert_eq!((action.caller.as_deref(), action.display_name.as_deref()), (Some("1234"), Some("Zoë")));
    client.shutdown().await;
}

#[tokio::test]
async fn a_repeated_push_is_silent_even_after_a_kill() {
    let store = Arc::new(Store::default());
    let first = client(&store, Options::default()).await;
    let payload = sealed_for(&first, CALL);
    assert!(push(&first, &payload, Channel::FcmAndroid).is_call());
    let again = push(&first, &payload, Channel::FcmAndroid);
    assert_eq!((again.duty, why(&again)), (Duty::Nothing, Some(Unopened::Replayed)));
    // Queued work is done before it ends.
    first.shutdown().await;
    let second = client(&store, Options::default()).await;
    let again = push(&second, &payload, Channel::FcmAndroid);
    assert_eq!((again.duty, why(&again)), (Duty::Nothing, Some(Unopened::Replayed)));
    let again = push(&second, &payload, Channel::PushKit);
    assert_eq!((again.duty, again.caller.as_deref()), (Duty::ReportCall, None), "the system wants to see a call");
    second.shutdown().await;
}

#[tokio::test]
async fn a_push_for_another_phone_or_with_only_plain_fields_is_not_trusted() {
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
    assert!(
        push(&bob, CALL, Channel::FcmAndroid).is_call(),
        "an account that does not demand sealed pushes accepts others"
    );
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
    assert!(
        push(&second, &under_way, Channel::FcmAndroid).is_call(),
        "the former key opens pushes that were sent before"
    );
    let sealed = seal::with_shared_key("pbx", key, CALL.replace("call-1", "call-2").as_bytes()).expect("a sound key");
    let payload = format!(r#"{{"data":{{"sealed":"{sealed}"}}}}"#);
    assert!(push(&second, &payload, Channel::FcmIos).is_call());
    assert!(second.forget_push_key("pbx").expect("it can be stored"));
    assert_eq!(why(&push(&second, &payload, Channel::FcmIos)), Some(Unopened::Foreign));
    second.shutdown().await;
}

#[tokio::test]
async fn opened_pushes_that_cannot_be_stored_are_reported_and_stored_later() {
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
async fn each_sealed_push_that_does_not_open_leads_to_an_event_with_the_reason() {
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
async fn a_process_without_a_client_ignores_unsealed_pushes_where_sealed_ones_are_required() {
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
        assert_eq!(caller(&to_bob, channel), known, "bob accepts pushes without sealing");
        assert_eq!(caller(&nameless, channel), known, "it may be bob's");
    }
    // The app turns the setting off again.
    client.add_account(AccountConfig::new("sip:alice@127.0.0.1:9", "secret"), None).await.expect("a sound account");
    assert_eq!(caller(&to_alice, Channel::ApnsAlert), known);
    client.shutdown().await;
}

#[tokio::test]
async fn without_any_key_a_field_of_that_name_belongs_to_the_app() {
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
    assert_eq!(
        (action.duty, why(&action)),
        (Duty::Nothing, Some(Unopened::Torn)),
        "from the first key on, sipwake uses this field"
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_web_push_opens_as_a_raw_body() {
    let store = Arc::new(Store::default());
    let client = client(&store, Options::default()).await;
    let key = client.push_key().expect("it can be stored");
    let body = seal::web_push(&key.p256dh, &key.auth, CALL.as_bytes()).expect("a sound key");
    assert!(client.push(&body, Channel::WebPush, &Hints::at(sipwake::now())).is_call());
    client.shutdown().await;
}

#[tokio::test]
async fn a_web_push_opens_with_any_salt_or_says_why_it_does_not() {
    let store = Arc::new(Store::default());
    let client = client(&store, Options::default()).await;
    let key = client.push_key().expect("it can be stored");
    let web_push = |number: usize| {
        let content = CALL.replace("call-1", &format!("call-{number}"));
        seal::web_push(&key.p256dh, &key.auth, content.as_bytes()).expect("a sound key")
    };
    // One in 256 begins with the first byte of JSON.
    let body = (0..).map(web_push).find(|body| body[0] == b'{').expect("one of them");
    let read = |body: &[u8]| client.push(body, Channel::WebPush, &Hints::at(sipwake::now()));
    assert!(read(&body).is_call());
    assert_eq!(why(&read(&body)), Some(Unopened::Replayed));
    assert_eq!(why(&read(&body[..60])), Some(Unopened::Torn));
    let mut enlarged = body.clone();
    enlarged[16..20].copy_from_slice(&8192_u32.to_be_bytes());
    enlarged.resize(5000, 0);
    assert_eq!(why(&read(&enlarged)), Some(Unopened::TooLarge));
    for (changed, reason) in [(0, Unopened::Foreign), (30, Unopened::Torn), (100, Unopened::Foreign)] {
        let mut body = body.clone();
        body[changed] ^= 1;
        assert_eq!(why(&read(&body)), Some(reason), "changed at {changed}");
    }
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
    assert_eq!(why(&action), Some(Unopened::KeysUnreadable), "this does not mean that it is for another phone");
    let action = push(&second, &payload, Channel::FcmAndroid);
    assert_eq!((action.duty, why(&action)), (Duty::Nothing, Some(Unopened::KeysUnreadable)));
    store.shut.store(false, Ordering::SeqCst);
    assert!(push(&second, &payload, Channel::PushKit).caller.is_some(), "unlocked, the key is read");
    second.shutdown().await;
}

/// An account of a companion whose server may get the key, and the key in its tags.
fn given_beside(companion: &mut sipwake::Companion, account: &sipwake::AccountKey) -> Option<String> {
    let register = companion.register_tags(account).expect("something to send");
    register.tags.headers.into_iter().find(|tag| tag.name == "X-Push-Key")?.value
}

#[test]
fn a_companion_puts_the_key_into_its_tags_and_opens_pushes_sealed_with_it() {
    let store = Arc::new(Store::default());
    store.fails.store(true, Ordering::SeqCst);
    let mut companion = sipwake::Companion::start(store.clone());
    let mut config = AccountConfig::new("sip:alice@pbx.example", "secret");
    (config.transport, config.send_push_key) = (Some(sipwake::Transport::Tls), true);
    let push = sipwake::PushConfig::new(sipwake::Provider::Fcm, "my-project");
    let alice = companion.add_account(config, Some(push)).expect("a sound account");
    companion.set_token(&alice, "c-10:APA91b").expect("a token");
    assert_eq!(given_beside(&mut companion, &alice), None, "a key that is not stored is given to nobody");
    store.fails.store(false, Ordering::SeqCst);
    companion.store_available();
    let key = companion.push_key().expect("it can be stored");
    let given = |key: &sipwake::PushKey| Some(format!("auth={};p256dh={}", key.auth, key.p256dh));
    assert_eq!(given_beside(&mut companion, &alice), given(&key));

    let hints = Hints::at(sipwake::now());
    let payload = |key: &sipwake::PushKey, content: &str| {
        let sealed = seal::sealed(&key.p256dh, &key.auth, content.as_bytes()).expect("a sound key");
        format!(r#"{{"ntype":"2","nfrom":"mallory","sealed":"{sealed}"}}"#)
    };
    let first = payload(&key, CALL);
    let action = companion.push(&*first, Channel::FcmAndroid, &hints);
    assert!(action.is_call() && !action.unverified, "{action:?}");
    let again = companion.push(&*first, Channel::FcmAndroid, &hints);
    assert_eq!((again.duty, why(&again)), (Duty::Nothing, Some(Unopened::Replayed)));

    let new = companion.rotate_push_key().expect("it can be stored");
    assert_eq!(given_beside(&mut companion, &alice), given(&new), "the new one at once");
    let other = CALL.replace("call-1", "call-2");
    assert!(
        companion.push(&*payload(&key, &other), Channel::FcmAndroid, &hints).is_call(),
        "a push that was sent before opens"
    );
    let shared = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    assert!(matches!(companion.import_push_key("pbx", "AAAA"), Err(Error::Key(_))));
    companion.import_push_key("pbx", shared).expect("32 bytes");
    assert!(companion.forget_push_key("pbx").expect("it can be stored"));

    store.fails.store(true, Ordering::SeqCst);
    companion.push(&*payload(&new, &CALL.replace("call-1", "call-3")), Channel::FcmAndroid, &hints);
    let told = std::iter::from_fn(|| companion.poll()).any(|output| match output {
        sipwake::core::beside::Output::Event(event) => {
            matches!(*event, Event::StoreFailed { ref key, .. } if key == "pushes-opened")
        }
        _ => false,
    });
    assert!(told, "a kill would forget which pushes were opened");
}
