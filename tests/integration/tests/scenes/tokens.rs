//! The life of a token.

use std::collections::HashSet;
use std::time::Duration;

use integration::{SECOND_TOKEN, Stage, TOKEN, over_udp_and_tcp};
use mock_gateway::{Action, Fault};
use sipwake::core::payload::Duty;
use sipwake::{Error, Standing, TokenUpdate, Transport};

over_udp_and_tcp!(
    a_rotated_token_leaves_exactly_one_binding_on_every_server,
    a_token_rotated_while_the_app_was_dead_leaves_exactly_one_binding,
    the_same_token_sends_nothing,
    a_missing_token_does_not_replace_a_valid_one,
    a_token_that_comes_late_is_sent_at_once,
    after_an_unbind_pushes_are_silent_and_can_be_bound_again,
    of_tokens_in_quick_succession_the_last_one_is_bound,
);

const PROFILES: [&str; 7] = ["rfc8599", "xmpush", "mizutech", "opensips", "flexisip", "portsip", "kamailio"];

async fn a_rotated_token_leaves_exactly_one_binding_on_every_server(transport: Transport) {
    for profile in PROFILES {
        let stage = Stage::new(profile, transport).await;
        let (mut app, _) = stage.registered_app(TOKEN).await;
        for token in [SECOND_TOKEN, "third:APA91bToken_of-this.phone", TOKEN] {
            app.client.set_token(&app.account, token).await.expect("a good token");
            app.registered_with(token).await;
            stage.wait_for_tokens(&[token]).await;
        }
    }
}

async fn a_token_rotated_while_the_app_was_dead_leaves_exactly_one_binding(transport: Transport) {
    for profile in PROFILES {
        let stage = Stage::new(profile, transport).await;
        let (app, _) = stage.registered_app(TOKEN).await;
        app.client.shutdown().await;
        let (_app, _) = stage.registered_app(SECOND_TOKEN).await;
        stage.wait_for_tokens(&[SECOND_TOKEN]).await;
    }
}

async fn the_same_token_sends_nothing(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    let mark = stage.mark();
    for _ in 0..10 {
        let update = app.client.set_token(&app.account, TOKEN).await.expect("a good token");
        assert_eq!(update, TokenUpdate::Taken);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stage.requests_since(mark, "REGISTER").len(), 0);
}

async fn a_missing_token_does_not_replace_a_valid_one(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    for none in ["", "null", "(null)", " "] {
        let update = app.client.set_token(&app.account, none).await.expect("ignored");
        assert_eq!(update, TokenUpdate::Ignored);
    }
    for wrong in ["two words", "line\r\nX-Evil: 1", "tab\there"] {
        let refused = app.client.set_token(&app.account, wrong).await.expect_err(wrong);
        assert!(matches!(refused, Error::Field(field) if field.field == "push.token"));
    }
    app.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_token_that_comes_late_is_sent_at_once(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let mut app = stage.app().await;
    let registered = app.register().await;
    assert_eq!(registered.verdict.standing, Standing::NotAsked);
    assert!(!stage.gateway.received().iter().any(|entry| entry.text.contains("null")), "no binding is removed");
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.registered_with(TOKEN).await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn after_an_unbind_pushes_are_silent_and_can_be_bound_again(transport: Transport) {
    for profile in PROFILES {
        let stage = Stage::new(profile, transport).await;
        let (mut app, _) = stage.registered_app(TOKEN).await;
        app.client.unbind_push(&app.account).await.expect("the account is there");
        let call = serde_json::json!({"ntype": "0", "nfrom": "123", "ncallid": "late"});
        assert_eq!(app.push(&call).duty, Duty::Nothing, "from this moment on");
        app.registered().await;
        let unbound = async || stage.tokens().await.is_empty() && stage.bindings().await.len() == 1;
        let reached = stage.gateway.wait_until(unbound, integration::PATIENCE).await;
        assert!(reached, "{profile}: {:?}\n{}", stage.bindings().await, stage.ladder());
        app.client.set_token(&app.account, TOKEN).await.expect("a good token");
        app.registered_with(TOKEN).await;
        stage.wait_for_tokens(&[TOKEN]).await;
        assert_ne!(app.push(&call).duty, Duty::Nothing);
    }
}

async fn of_tokens_in_quick_succession_the_last_one_is_bound(transport: Transport) {
    let stage = Stage::new("opensips", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mark = stage.mark();
    let slow = Fault::new(Action::Delay(Duration::from_millis(300))).received().request("REGISTER").times(u32::MAX);
    stage.gateway.faults(vec![slow]).await;
    for number in 0..50 {
        app.client.set_token(&app.account, &format!("token-{number}:APA91b")).await.expect("a good token");
    }
    app.registered_with("token-49:APA91b").await;
    stage.wait_for_tokens(&["token-49:APA91b"]).await;
    // Over UDP, one of them may be retransmitted.
    let sent = stage.requests_since(mark, "REGISTER");
    let registers: HashSet<_> =
        sent.iter().map(|entry| entry.message().and_then(|m| m.header("CSeq").map(str::to_owned))).collect();
    assert!(registers.len() < 25, "commands are joined in the next REGISTER; {registers:?}\n{}", stage.ladder());
}
