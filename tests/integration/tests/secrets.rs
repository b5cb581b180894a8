//! Runs the whole story with a logger that remembers every line, and looks for secrets in them.

use std::sync::Arc;
use std::time::Duration;

use integration::leaks::{Listener, lines, note, secrets_of};
use integration::{App, PASSWORD, SECOND_TOKEN, Stage, TOKEN, USER};
use mock_gateway::{Action, CallOptions, Fault};
use sipwake::{CallChange, Client, Event, StateStore, Transport, UpperServer};

const CHAT: &str = "meet me at the white rabbit's at noon";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_traced_or_shown_by_debug() {
    let mut forbidden = vec![PASSWORD.to_owned(), TOKEN.to_owned(), SECOND_TOKEN.to_owned(), CHAT.to_owned()];
    for transport in [Transport::Udp, Transport::Tcp] {
        for profile in ["xmpush", "rfc8599", "opensips", "flexisip", "portsip"] {
            let stage = Stage::new(profile, transport).await;
            live(&stage).await;
            forbidden.extend(secrets_of(&stage.gateway.messages().all(), USER, PASSWORD));
            let stored = stage.store().load("removals").expect("it can be read");
            let left = String::from_utf8(stored.unwrap_or_default()).expect("JSON");
            assert!(left.is_empty() || left.contains(r#"{"pending":{},"#), "only a name may be left: {left}");
            assert!(!forbidden.iter().any(|secret| left.contains(secret.as_str())));
        }
    }
    forbidden.sort();
    forbidden.dedup();
    assert!(forbidden.len() > 20, "digest answers were seen");
    let lines = lines();
    assert!(lines.iter().any(|line| line.starts_with("sipwake_core")), "the core logs something");
    assert!(lines.iter().any(|line| line.starts_with("trace ") && line.contains("REGISTER")), "messages are traced");
    for secret in &forbidden {
        let leak = lines.iter().find(|line| line.contains(secret.as_str()));
        assert!(leak.is_none(), "{secret:?} in {leak:?}");
    }
}

async fn live(stage: &Stage) {
    let mut account = stage.account();
    account.upper = UpperServer { server: Some("upper.example".into()), ..UpperServer::default() };
    account.allow_cleartext_secrets = true;
    note(format!("{account:?} {:?}", stage.push()));
    let start = async |store: Arc<dyn StateStore>| {
        let (client, events) = Client::start_traced(store, Some(Arc::new(Listener)));
        let account = client.add_account(account.clone(), Some(stage.push())).await.expect("a good account");
        App { client, events, account }
    };
    let mut app = start(stage.store()).await;
    let mut seen = app.client.events();
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    let refused = app.client.set_token(&app.account, &format!("{TOKEN} with spaces")).await.expect_err("refused");
    note(format!("{refused} {refused:?}"));
    app.register().await;
    stage.gateway.faults(vec![Fault::new(Action::ForeignResponse).sent(), Fault::new(Action::Duplicate).sent()]).await;
    app.register().await;
    stage.gateway.forget_nonces().await;
    app.register().await;
    let chat = stage.gateway.send_chat(USER, CHAT, CallOptions::default()).await;
    app.wait("the chat", |event| matches!(event, Event::Message { .. }).then_some(())).await;
    chat.wait_end(integration::PATIENCE).await.expect("delivered");
    let action = app.push(&serde_json::json!({"ntype": "1", "nfrom": "bob", "nmsg": CHAT, "ntouser": USER}));
    note(format!("{action:?}"));
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    app.ringing().await;
    call.cancel().await;
    app.call("the end", |change| matches!(change, CallChange::Ended(_))).await;
    app.client.set_token(&app.account, SECOND_TOKEN).await.expect("a good token");
    app.registered_with(SECOND_TOKEN).await;
    app.client.unbind_push(&app.account).await.expect("the account is there");
    app.registered().await;
    app.client.shutdown().await;
    let mut again = start(stage.store()).await;
    again.log_out().await;
    note(format!("{:?} {:?} {:?}", again.client, again.account, again.events));
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(50), seen.next()).await {
        note(format!("{event:?}"));
    }
}
