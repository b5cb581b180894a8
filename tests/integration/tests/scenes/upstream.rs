//! X-PIID: the gateway keeps the upper registration while the app is dead.

use integration::{App, Stage, TOKEN, USER, over_udp_and_tcp};
use sipwake::{AccountConfig, Registered, Transport, UpperServer};

over_udp_and_tcp!(
    with_permission_x_piid_registers_the_user_upstream,
    without_permission_x_piid_is_left_out_and_the_verdict_says_so,
    a_realm_known_beforehand_sends_x_piid_at_once,
);

async fn registered(stage: &Stage, change: impl Fn(&mut AccountConfig)) -> (App, Registered) {
    let mut account = stage.account();
    account.upper = UpperServer { server: Some("upper.example".into()), ..UpperServer::default() };
    change(&mut account);
    let mut app = App::start(stage.store(), account, Some(stage.push())).await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    let registered = app.register().await;
    (app, registered)
}

async fn with_permission_x_piid_registers_the_user_upstream(transport: Transport) {
    let stage = Stage::new("xmpush", transport).await;
    let (mut app, registered) = registered(&stage, |account| account.allow_cleartext_secrets = true).await;
    assert!(registered.verdict.piid_in_the_clear && !registered.verdict.piid_withheld);
    let done = async || stage.gateway.upstream(USER).await.is_some_and(|upstream| upstream.status == Some(200));
    assert!(stage.gateway.wait_until(done, integration::PATIENCE).await, "{:?}", stage.gateway.upstream(USER).await);
    let upstream = stage.gateway.upstream(USER).await.expect("there is one");
    assert_eq!(upstream.server.as_deref(), Some("upper.example"));
    let upper = stage.gateway.upper().expect("it runs");
    assert_eq!(upper.bindings(USER).await.len(), 1);

    app.log_out().await;
    let gone = async || upper.bindings(USER).await.is_empty();
    assert!(upper.wait_until(gone, integration::PATIENCE).await, "the upper registration ends with the binding");
}

async fn without_permission_x_piid_is_left_out_and_the_verdict_says_so(transport: Transport) {
    let stage = Stage::new("xmpush", transport).await;
    let (mut app, registered) = registered(&stage, |_| {}).await;
    assert!(registered.verdict.piid_withheld && !registered.verdict.piid_in_the_clear);
    app.register().await;
    assert!(!stage.gateway.received().iter().any(|entry| entry.text.contains("X-PIID")));
    assert!(stage.gateway.upstream(USER).await.is_none());
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_realm_known_beforehand_sends_x_piid_at_once(transport: Transport) {
    let stage = Stage::new("xmpush", transport).await;
    let leave = |account: &mut AccountConfig| {
        account.allow_cleartext_secrets = true;
        account.realm = Some("asterisk".into());
    };
    registered(&stage, leave).await;
    let first = stage.requests_since(0, "REGISTER").remove(0);
    assert!(first.text.contains("X-PIID: "));
}
