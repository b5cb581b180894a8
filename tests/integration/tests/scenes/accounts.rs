//! Several accounts in one client.

use integration::{PATIENCE, SECOND_TOKEN, Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::{CallOptions, UserConfig};
use serde_json::json;
use sipwake::core::payload::Duty;
use sipwake::{AccountConfig, CallChange, Error, Event, Transport};

over_udp_and_tcp!(two_accounts_on_two_servers_work_side_by_side, two_accounts_on_one_server_work_side_by_side,);

async fn two_accounts_on_two_servers_work_side_by_side(transport: Transport) {
    let (stage, other) = (Stage::new("mizutech", transport).await, Stage::new("rfc8599", transport).await);
    two_accounts(&stage, &other).await;
}

async fn two_accounts_on_one_server_work_side_by_side(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    two_accounts(&stage, &stage).await;
}

async fn two_accounts(stage: &Stage, other: &Stage) {
    other.gateway.set_user(UserConfig::new("carol", "looking-glass")).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mut carol = AccountConfig::new("sip:carol@mock.example", "looking-glass");
    carol.gateways = vec![other.gateway.addr().to_string()];
    carol.transport = Some(other.transport);
    let carol = app.client.add_account(carol, Some(other.push())).await.expect("a good account");
    assert_ne!(carol, app.account);
    app.client.set_token(&carol, SECOND_TOKEN).await.expect("a good token");
    app.client.register(&carol).await.expect("the account is there");
    app.wait("carol's registration", |event| match event {
        Event::Registered { account, .. } => (*account == carol).then_some(()),
        Event::RegistrationFailed { failure, .. } => panic!("{failure}"),
        _ => None,
    })
    .await;

    // Each call reaches its own account.
    for (gateway, user, expected) in
        [(&stage.gateway, USER, app.account.clone()), (&other.gateway, "carol", carol.clone())]
    {
        let call = gateway.place_call(user, CallOptions::default()).await;
        let account = app
            .wait("the INVITE", |event| match event {
                Event::Call(call) if matches!(call.change, CallChange::Ringing { .. }) => call.account.clone(),
                _ => None,
            })
            .await;
        assert_eq!(account, expected);
        call.cancel().await;
        app.call("the end", |change| matches!(change, CallChange::Ended(_))).await;
        call.wait_end(PATIENCE).await.expect("an end");
    }

    // One user logs out. The other one stays, and only their pushes make a sound.
    app.log_out().await;
    assert_eq!(stage.gateway.bindings(USER).await, []);
    assert_eq!(other.gateway.bindings("carol").await.len(), 1);
    let push = |user: &str| json!({"ntype": "0", "nfrom": "123", "ncallid": format!("for-{user}"), "ntouser": user});
    assert_eq!(app.push(&push(USER)).duty, Duty::Nothing);
    assert_eq!(app.push(&push("carol")).duty, Duty::StartForegroundService);
    let gone = app.client.register(&app.account).await;
    assert!(matches!(gone, Err(Error::NoSuchAccount(_))));
}

#[tokio::test]
async fn a_push_that_names_nobody_wakes_every_account() {
    let (stage, other) = (Stage::new("mizutech", Transport::Udp).await, Stage::new("kamailio", Transport::Tcp).await);
    other.gateway.set_user(UserConfig::new("carol", "looking-glass")).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mut carol = AccountConfig::new("sip:carol@mock.example", "looking-glass");
    carol.gateways = vec![other.gateway.addr().to_string()];
    carol.transport = Some(Transport::Tcp);
    let carol = app.client.add_account(carol, Some(other.push())).await.expect("a good account");
    app.client.register(&carol).await.expect("the account is there");
    app.registered().await;
    let marks = (stage.mark(), other.mark());
    app.push(&json!({}));
    app.registered().await;
    app.registered().await;
    assert_eq!(stage.requests_since(marks.0, "REGISTER").len(), 1);
    assert_eq!(other.requests_since(marks.1, "REGISTER").len(), 1);
}

#[tokio::test]
async fn a_bad_account_is_refused_and_nothing_is_sent_or_stored() {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    let mark = stage.mark();
    let mut bad = stage.account();
    bad.display_name = Some("Alice\r\nX-Evil: 1".into());
    let refused = app.client.add_account(bad, None).await.expect_err("refused");
    assert_eq!(refused.to_string(), "display_name: must not hold control characters");
    let mut seventeenth = None;
    for number in 0..16 {
        let mut account = stage.account();
        account.aor = format!("sip:user{number}@mock.example");
        seventeenth = app.client.add_account(account, None).await.err();
    }
    assert!(matches!(seventeenth, Some(Error::Field(field)) if field.field == "accounts"));
    assert_eq!(stage.requests_since(mark, "REGISTER").len(), 0);
}
