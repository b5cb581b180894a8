//! What survives the process: commands, Call-ID, CSeq, nonces.

use std::time::Duration;

use integration::{App, PASSWORD, PATIENCE, Stage, TOKEN, USER, named, over_udp_and_tcp, quiet_address};
use mock_gateway::{Action, Config, Fault, MockGateway};
use sipwake::{Client, Event, Transport};

over_udp_and_tcp!(
    a_log_out_that_nobody_heard_is_delivered_by_the_next_process,
    a_log_out_while_the_server_is_down_is_delivered_by_the_next_process,
    a_log_out_without_an_account_added_again_needs_the_store_alone,
    logging_in_again_takes_back_a_log_out_that_was_not_delivered,
    an_unbind_that_nobody_heard_is_delivered_by_the_next_process,
    a_kill_in_the_middle_of_a_register_keeps_the_call_id_and_the_cseq_growing,
    a_server_that_lost_everything_learns_it_again,
    a_restarted_server_does_not_keep_the_client_from_being_bound_again,
);

fn deaf() -> Vec<Fault> {
    vec![Fault::new(Action::Drop).received().times(u32::MAX)]
}

async fn a_log_out_that_nobody_heard_is_delivered_by_the_next_process(transport: Transport) {
    for profile in ["mizutech", "rfc8599", "opensips", "portsip"] {
        let stage = Stage::new(profile, transport).await;
        let (app, _) = stage.registered_app(TOKEN).await;
        stage.gateway.faults(deaf()).await;
        let mark = stage.mark();
        app.client.log_out(&app.account).await.expect("the account is there");
        // Sent, and lost: what still is on its way would meet a server that hears again.
        stage.wait_for_request(mark, "REGISTER").await;
        app.client.shutdown().await;
        assert_eq!(stage.tokens().await, [TOKEN], "the server heard nothing");
        stage.gateway.clear_faults().await;

        let (_client, mut events) = Client::start(stage.store());
        let aor = loop {
            match tokio::time::timeout(PATIENCE, events.next()).await.expect("in time").expect("it runs") {
                Event::LoggedOut { aor, .. } => break aor,
                other => assert!(!matches!(other, Event::RegistrationFailed { .. }), "{other:?}"),
            }
        };
        assert_eq!(aor, format!("sip:{USER}@mock.example"));
        assert_eq!(stage.bindings().await, [], "{profile}");
        let left = stage.store().load("removals").expect("it can be read").expect("who left is remembered by name");
        let left = String::from_utf8(left).expect("JSON");
        assert!(left.contains(r#""pending":{}"#), "nothing is left to be delivered: {left}");
    }
}

async fn a_log_out_while_the_server_is_down_is_delivered_by_the_next_process(transport: Transport) {
    let listen = quiet_address();
    let config = Config { listen, ..Config::new(named("mizutech")) };
    let stage = Stage::with(config.clone(), transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.shutdown().await;
    app.client.log_out(&app.account).await.expect("the account is there");
    app.client.shutdown().await;

    // The sockets of the old server close a moment after it.
    let config = config.user(USER, PASSWORD);
    let gateway = loop {
        match MockGateway::start(config.clone()).await {
            Ok(gateway) => break gateway,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let mark = gateway.messages().all().len();
    let (_client, mut events) = Client::start(stage.store());
    let delivered = async { while !matches!(events.next().await, Some(Event::LoggedOut { .. })) {} };
    tokio::time::timeout(PATIENCE, delivered).await.expect("the log-out is delivered");
    let registers = gateway.received();
    let last = registers.iter().rfind(|e| e.is_request("REGISTER")).and_then(|e| e.message()).expect("a REGISTER");
    assert_eq!(mark, 0);
    assert_eq!((last.header("Expires"), last.header("X-MPUSH")), (Some("0"), Some("null")));
    assert_eq!(gateway.bindings(USER).await, []);
    assert_eq!(gateway.violations(), []);
}

async fn a_log_out_without_an_account_added_again_needs_the_store_alone(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(deaf()).await;
    let mark = stage.mark();
    app.client.log_out(&app.account).await.expect("the account is there");
    // Sent, and lost: what still is on its way would meet a server that hears again.
    stage.wait_for_request(mark, "REGISTER").await;
    app.client.shutdown().await;
    let stored = stage.store().load("removals").expect("it can be read").expect("the wish is stored");
    let text = String::from_utf8_lossy(&stored);
    assert!(!text.contains(PASSWORD), "the password outlives the log-out as HA1 only");
    // The nonce of the server that comes back is another one.
    stage.gateway.forget_nonces().await;
    stage.gateway.clear_faults().await;
    let (_client, mut events) = Client::start(stage.store());
    let delivered = async { while !matches!(events.next().await, Some(Event::LoggedOut { .. })) {} };
    tokio::time::timeout(PATIENCE, delivered).await.expect("the log-out is delivered");
    assert_eq!(stage.bindings().await, []);
}

async fn logging_in_again_takes_back_a_log_out_that_was_not_delivered(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(deaf()).await;
    let mark = stage.mark();
    app.client.log_out(&app.account).await.expect("the account is there");
    // Sent, and lost: what still is on its way would meet a server that hears again.
    stage.wait_for_request(mark, "REGISTER").await;
    app.client.shutdown().await;
    let mut app = stage.app().await;
    stage.gateway.clear_faults().await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.client.register(&app.account).await.expect("the account is there");
    app.registered_with(TOKEN).await;
    stage.wait_for_tokens(&[TOKEN]).await;
    app.client.shutdown().await;
    let mut again = stage.app().await;
    again.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn an_unbind_that_nobody_heard_is_delivered_by_the_next_process(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(deaf()).await;
    let mark = stage.mark();
    app.client.unbind_push(&app.account).await.expect("the account is there");
    // Sent, and lost: what still is on its way would meet a server that hears again.
    stage.wait_for_request(mark, "REGISTER").await;
    app.client.shutdown().await;
    stage.gateway.clear_faults().await;
    let mut app = stage.app().await;
    app.register().await;
    assert_eq!(stage.tokens().await, [""; 0]);
    assert_eq!(stage.bindings().await.len(), 1, "still registered, without push");
}

async fn a_kill_in_the_middle_of_a_register_keeps_the_call_id_and_the_cseq_growing(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    let before = stage.bindings().await.remove(0);
    stage.gateway.faults(vec![Fault::new(Action::Drop).sent().response(200, "REGISTER").times(u32::MAX)]).await;
    let mark = stage.mark();
    app.client.register(&app.account).await.expect("the account is there");
    let interrupted = stage.wait_for_request(mark, "REGISTER").await;
    app.client.shutdown().await;

    stage.gateway.clear_faults().await;
    let mark = stage.mark();
    let mut app = stage.app().await;
    app.register().await;
    let after = stage.wait_for_request(mark, "REGISTER").await;
    assert_eq!(after.call_id(), interrupted.call_id());
    assert_eq!(after.call_id(), before.call_id);
    assert!(after.cseq().map(|(number, _)| number) > interrupted.cseq().map(|(number, _)| number));
    stage.wait_for_tokens(&[TOKEN]).await;
}

/// Over UDP alone: what two processes wrote into two connections may be read in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_after_every_step_never_repeats_a_cseq() {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.client.shutdown().await;
    for life in 0..40 {
        let (store, account, push) = (stage.store(), stage.account(), stage.push());
        // A life is a runtime of its own: dropped, it stops where it stands, as a killed process does. Each is killed at
        // another moment; the stage itself checks every CSeq and every nonce count.
        let life = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let app = App::start(store, account, Some(push)).await;
                app.client.register(&app.account).await.expect("the account is there");
                tokio::time::sleep(Duration::from_micros(life * 200)).await;
                std::mem::forget(app);
            });
        };
        tokio::task::spawn_blocking(life).await.expect("a life");
    }
    let mut app = stage.app().await;
    app.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
    let registers = stage.gateway.received().into_iter().filter_map(|entry| entry.message());
    let call_ids: std::collections::BTreeSet<String> = registers.map(|m| m.call_id().to_owned()).collect();
    assert_eq!(call_ids.len(), 1);
}

async fn a_server_that_lost_everything_learns_it_again(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.restart(false).await;
    assert_eq!(stage.bindings().await, []);
    app.client.network_changed().await.expect("it runs");
    app.registered().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_restarted_server_does_not_keep_the_client_from_being_bound_again(transport: Transport) {
    let stage = Stage::new("opensips", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.client.shutdown().await;
    stage.gateway.restart(true).await;
    let mark = stage.mark();
    let mut app = stage.app().await;
    app.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
    let registers = stage.requests_since(mark, "REGISTER").len();
    assert_eq!(registers, 2, "one with the nonce that the server forgot, one with its new one");
}
