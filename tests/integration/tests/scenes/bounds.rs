//! Readers that do not read, stores that do not store, servers that never stop: the client goes on and stays small.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use integration::{App, PATIENCE, Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::CallOptions;
use sipwake::core::payload::Duty;
use sipwake::{Event, MemoryStore, StateStore, StoreError, Transport};

over_udp_and_tcp!(
    a_reader_that_never_reads_misses_the_oldest_events_and_blocks_nothing,
    an_idle_client_sends_nothing,
    a_client_whose_store_fails_says_so_and_works,
    a_store_with_unreadable_records_leads_to_a_fresh_start,
    a_flood_of_pushes_leads_to_a_few_registers,
);

async fn a_reader_that_never_reads_misses_the_oldest_events_and_blocks_nothing(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mut lazy = app.client.events();
    for number in 0..600 {
        let text = format!("message {number}");
        stage.gateway.send_chat(USER, &text, CallOptions::default()).await;
        app.wait("the message", |event| match event {
            Event::Message { text: heard, .. } => (heard.expose() == text).then_some(()),
            _ => None,
        })
        .await;
    }
    assert!(matches!(lazy.next().await, Some(Event::Message { .. })));
    assert!(lazy.missed() >= 600 - 512, "{} missed", lazy.missed());
    let mut kept = 1;
    while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(50), lazy.next()).await {
        kept += 1;
    }
    assert!(kept <= 512, "{kept} kept");
}

async fn an_idle_client_sends_nothing(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (_app, _) = stage.registered_app(TOKEN).await;
    let mark = stage.mark();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(stage.gateway.messages().after(mark).is_empty(), "{}", stage.ladder());
}

#[derive(Default)]
struct Failing {
    inner: MemoryStore,
    broken: AtomicBool,
    failures: AtomicUsize,
}

impl Failing {
    fn check(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError("the disk is full".into()));
        }
        Ok(())
    }
}

impl StateStore for Failing {
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

async fn a_client_whose_store_fails_says_so_and_works(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let store = Arc::new(Failing::default());
    store.broken.store(true, Ordering::SeqCst);
    let mut app = App::start(store.clone(), stage.account(), Some(stage.push())).await;
    let told = |event: &Event| match event {
        Event::StoreFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(app.wait("the failure", told).await, "the disk is full");
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    app.ringing().await;
    call.cancel().await;
    app.log_out().await;
    assert_eq!(stage.bindings().await, []);
    assert!(store.failures.load(Ordering::SeqCst) > 0);
}

async fn a_store_with_unreadable_records_leads_to_a_fresh_start(transport: Transport) {
    let stage = Stage::new("flexisip", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    let store = stage.store();
    let key = sipwake::core::snapshot::binding_key(&app.account);
    app.client.shutdown().await;
    let good = store.load(&key).expect("it can be read").expect("it is stored");
    for bytes in [&good[..good.len() / 2], b"", b"\xff\xfe\x00", b"sipwake 9 0 {}\n"] {
        store.save(&key, bytes).expect("it can be written");
        store.save("removals", bytes).expect("it can be written");
        // Whatever was stored, the server must not know the device twice.
        stage.gateway.restart(false).await;
        let mut app = stage.app().await;
        let told = |event: &Event| matches!(event, Event::StoreFailed { .. }).then_some(());
        app.wait("the failure", told).await;
        app.client.set_token(&app.account, TOKEN).await.expect("a good token");
        app.client.register(&app.account).await.expect("the account is there");
        app.registered_with(TOKEN).await;
        stage.wait_for_tokens(&[TOKEN]).await;
        app.client.shutdown().await;
    }
}

async fn a_flood_of_pushes_leads_to_a_few_registers(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mark = stage.mark();
    for number in 0..10_000 {
        let action = app.push(&serde_json::json!({"ntype": "0", "nfrom": "123", "ncallid": format!("{number}")}));
        // When the client holds the largest number of announced calls, a further one cannot ring.
        assert!(matches!(action.duty, Duty::StartForegroundService | Duty::Nothing), "{action:?}");
        assert!(number > 0 || action.duty == Duty::StartForegroundService, "the first one rings: {action:?}");
    }
    app.registered().await;
    app.register().await;
    assert!(stage.requests_since(mark, "REGISTER").len() < 1000, "single flight");
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let report = call.wait(|state| state != mock_gateway::CallState::Calling, PATIENCE).await;
    assert!(report.is_some(), "the INVITE is answered, busy or not");
}
