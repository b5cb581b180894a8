//! What survives the process: commands, Call-ID, CSeq, nonces.

use std::time::Duration;

use integration::{App, PASSWORD, PATIENCE, Stage, TOKEN, USER, named, over_udp_and_tcp, quiet_address};
use mock_gateway::{Action, Config, Fault, MockGateway};
use sipwake::{Client, Event, Transport};

over_udp_and_tcp!(
    a_lost_log_out_is_delivered_by_the_next_process,
    a_log_out_while_the_server_is_down_is_delivered_by_the_next_process,
    the_next_process_delivers_a_log_out_without_the_account,
    logging_in_again_cancels_an_undelivered_log_out,
    a_lost_unbind_is_delivered_by_the_next_process,
    after_a_kill_during_a_register_the_call_id_stays_and_the_cseq_grows,
    a_server_that_lost_its_bindings_gets_them_again,
    the_client_is_bound_again_at_a_restarted_server,
);

fn deaf() -> Vec<Fault> {
    vec![Fault::new(Action::Drop).received().times(u32::MAX)]
}

async fn a_lost_log_out_is_delivered_by_the_next_process(transport: Transport) {
    for profile in ["mizutech", "rfc8599", "opensips", "portsip"] {
        let stage = Stage::new(profile, transport).await;
        let (app, _) = stage.registered_app(TOKEN).await;
        stage.gateway.faults(deaf()).await;
        let mark = stage.mark();
        app.client.log_out(&app.account).await.expect("the account is there");
        // Sent and lost: a message still on its way would reach a server that is up again.
        stage.wait_for_request(mark, "REGISTER").await;
        app.client.shutdown().await;
        assert_eq!(stage.tokens().await, [TOKEN], "the server received nothing");
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
        let left = stage
            .store()
            .load("removals")
            .expect("it can be read")
            .expect("a user who logged out is remembered by name");
        let left = String::from_utf8(left).expect("JSON");
        assert!(left.contains(r#""pending":{}"#), "nothing is left to deliver: {left}");
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

    // The sockets of the old server close a moment later.
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

async fn the_next_process_delivers_a_log_out_without_the_account(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(deaf()).await;
    let mark = stage.mark();
    app.client.log_out(&app.account).await.expect("the account is there");
    // Sent and lost: a message still on its way would reach a server that is up again.
    stage.wait_for_request(mark, "REGISTER").await;
    app.client.shutdown().await;
    let stored = stage.store().load("removals").expect("it can be read").expect("the command is stored");
    let text = String::from_utf8_lossy(&stored);
    assert!(!text.contains(PASSWORD), "the password outlives the log-out as HA1 only");
    // The restarted server has another nonce.
    stage.gateway.forget_nonces().await;
    stage.gateway.clear_faults().await;
    let (_client, mut events) = Client::start(stage.store());
    let delivered = async { while !matches!(events.next().await, Some(Event::LoggedOut { .. })) {} };
    tokio::time::timeout(PATIENCE, delivered).await.expect("the log-out is delivered");
    assert_eq!(stage.bindings().await, []);
}

async fn logging_in_again_cancels_an_undelivered_log_out(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(deaf()).await;
    let mark = stage.mark();
    app.client.log_out(&app.account).await.expect("the account is there");
    // Sent and lost: a message still on its way would reach a server that is up again.
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

async fn a_lost_unbind_is_delivered_by_the_next_process(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.faults(deaf()).await;
    let mark = stage.mark();
    app.client.unbind_push(&app.account).await.expect("the account is there");
    // Sent and lost: a message still on its way would reach a server that is up again.
    stage.wait_for_request(mark, "REGISTER").await;
    app.client.shutdown().await;
    stage.gateway.clear_faults().await;
    let mut app = stage.app().await;
    app.register().await;
    assert_eq!(stage.tokens().await, [""; 0]);
    assert_eq!(stage.bindings().await.len(), 1, "still registered, without push");
}

async fn after_a_kill_during_a_register_the_call_id_stays_and_the_cseq_grows(transport: Transport) {
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

/// Only over UDP: the messages of two processes on two connections may be read in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_after_every_step_never_repeats_a_cseq() {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.client.shutdown().await;
    for life in 0..40 {
        let (store, account, push) = (stage.store(), stage.account(), stage.push());
        // Each life has a runtime of its own. When that is dropped, it stops where it is, like a killed process. Each
        // life is killed at another moment, and the stage checks every CSeq and every nonce count.
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

async fn a_server_that_lost_its_bindings_gets_them_again(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.restart(false).await;
    assert_eq!(stage.bindings().await, []);
    app.client.network_changed().await.expect("it runs");
    app.registered().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn the_client_is_bound_again_at_a_restarted_server(transport: Transport) {
    let stage = Stage::new("opensips", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.client.shutdown().await;
    stage.gateway.restart(true).await;
    let mark = stage.mark();
    let mut app = stage.app().await;
    app.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
    let registers = stage.requests_since(mark, "REGISTER").len();
    assert_eq!(registers, 2, "one with the nonce that the server forgot, one with a new nonce");
}
