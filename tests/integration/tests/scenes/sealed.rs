//! Pushes that the server seals for the phone: what an eavesdropper can read, and what the phone does with them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use integration::{Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::{CallOptions, PushKind};
use serde_json::Value;
use sipwake::core::payload::{ActionKind, Duty};
use sipwake::{CallChange, Ended, Transport};

over_udp_and_tcp!(
    an_eavesdropper_at_the_push_service_finds_no_name_number_or_text,
    do_not_disturb_silences_calls_until_it_ends,
);

const NAME: &str = "Zaphod Beeblebrox";
const NUMBER: &str = "+4930987654321";
const TEXT: &str = "meet me at the old harbour";
const NOTE: &str = "your voicemail is full";

/// What anybody can read in a payload: its text, and every base64 text in it, decoded.
fn readable(value: &Value) -> String {
    fn strings<'v>(value: &'v Value, all: &mut Vec<&'v str>) {
        match value {
            Value::String(text) => all.push(text),
            Value::Array(items) => items.iter().for_each(|item| strings(item, all)),
            Value::Object(fields) => fields.values().for_each(|field| strings(field, all)),
            _ => {}
        }
    }
    let (mut all, mut seen) = (Vec::new(), value.to_string());
    strings(value, &mut all);
    for piece in all.iter().flat_map(|text| text.split('.')) {
        for alphabet in [URL_SAFE_NO_PAD, STANDARD_NO_PAD] {
            if let Ok(bytes) = alphabet.decode(piece.trim_end_matches('=')) {
                seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    seen
}

fn caller() -> CallOptions {
    CallOptions { from: format!("sip:{NUMBER}@mock.example"), display: Some(NAME.into()), ..CallOptions::default() }
}

/// A cancelled call, a message, a notice and a refresh, each of which wakes the phone. Returns what the push service saw, and what
/// it must not see.
async fn story(profile: &str, transport: Transport, seals: bool) -> (Vec<String>, Vec<String>) {
    let mut stage = Stage::new(profile, transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    if seals {
        let key = app.client.push_key().expect("it can be stored");
        stage.gateway.seal_for(USER, &key.p256dh, &key.auth).await.expect("a sound key");
    }
    app.end().await;

    stage.gateway.sleep(USER, true).await;
    let call = stage.gateway.place_call(USER, caller()).await;
    let payload = stage.next_push().await;
    let mut app = stage.app().await;
    let action = app.push(&payload);
    if seals && action.is_call() {
        assert!(!action.unverified, "{action:?}");
        assert_eq!(action.caller_label(), Some(NAME), "{profile}");
    }
    app.ringing().await;
    call.cancel().await;
    app.call("the end", |change| matches!(change, CallChange::Ended(Ended::Cancelled))).await;
    assert_eq!(app.push(&payload).duty, Duty::Nothing, "the same push again");
    if seals {
        // It is not opened twice, so it may belong to another call, and a REGISTER must follow.
        app.registered().await;
    }
    app.end().await;

    stage.gateway.sleep(USER, true).await;
    let chat = stage.gateway.send_chat(USER, TEXT, caller()).await;
    let payload = stage.next_push().await;
    let mut app = stage.app().await;
    let action = app.push(&payload);
    assert!(matches!(action.kind, ActionKind::Chat { .. } | ActionKind::RefreshBinding), "{action:?}");
    app.registered().await;
    for (kind, text) in [(PushKind::Custom, NOTE), (PushKind::Refresh, "")] {
        assert_eq!(stage.gateway.send_push(USER, kind, text, None).await, 1);
        app.push(&stage.next_push().await);
    }
    let ids = [call.report().await, chat.report().await].map(|report| report.expect("it is known").call_id);
    let mut secrets = [NAME, "Beeblebrox", NUMBER, TEXT, NOTE, "mock.example", "ntype"].map(str::to_owned).to_vec();
    secrets.extend(ids);
    let history = stage.gateway.push_service().history();
    (history.iter().map(|push| readable(&push.payload)).collect(), secrets)
}

async fn an_eavesdropper_at_the_push_service_finds_no_name_number_or_text(transport: Transport) {
    for profile in ["mizutech", "flexisip", "rfc8599"] {
        let (seen, secrets) = story(profile, transport, true).await;
        assert!(seen.len() >= 4, "{profile}: {} pushes", seen.len());
        for (seen, secret) in seen.iter().flat_map(|seen| secrets.iter().map(move |secret| (seen, secret))) {
            assert!(!seen.contains(secret.as_str()), "{profile}: {secret} in {seen}");
        }
    }
    // The same eavesdropper can read nearly all of it at a server that does not seal.
    let (seen, secrets) = story("mizutech", transport, false).await;
    let found = |secret: &&String| seen.iter().any(|seen| seen.contains(secret.as_str()));
    let missed: Vec<&String> = secrets.iter().filter(|secret| !found(secret)).collect();
    assert!(missed.iter().all(|missed| *missed == "mock.example"), "{missed:?}");
}

async fn do_not_disturb_silences_calls_until_it_ends(transport: Transport) {
    for profile in ["mizutech", "rfc8599", "opensips", "flexisip", "kamailio"] {
        let mut stage = Stage::new(profile, transport).await;
        let (app, _) = stage.registered_app(TOKEN).await;
        stage.gateway.sleep(USER, false).await;
        stage.gateway.place_call(USER, CallOptions::default()).await.cancel().await;
        let late = stage.next_push().await;
        let until = sipwake::now().wall + std::time::Duration::from_secs(3600);
        app.client.set_do_not_disturb(&app.account, Some(until)).await.expect("the account is there");
        assert_eq!(app.push(&late).duty, Duty::Nothing, "{profile}");
        let unbound = async || stage.tokens().await.is_empty() && !stage.bindings().await.is_empty();
        let reached = stage.gateway.wait_until(unbound, integration::PATIENCE).await;
        assert!(reached, "{profile}: {:?}\n{}", stage.bindings().await, stage.ladder());
        app.end().await;
        // The next process, in which the user turns do not disturb off.
        let app = stage.app().await;
        assert!(app.client.do_not_disturb(&app.account).is_some(), "{profile}");
        app.client.set_do_not_disturb(&app.account, None).await.expect("the account is there");
        stage.wait_for_tokens(&[TOKEN]).await;
    }
}
