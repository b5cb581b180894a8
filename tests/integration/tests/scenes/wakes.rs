//! What a push starts.

use std::time::{Duration, Instant};

use integration::{Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::{Action, CallOptions, CallState, Delivery, Direction, Fault, PushKind, PushWhen};
use serde_json::json;
use sipwake::core::payload::{ActionKind, Duty, Ignored};
use sipwake::{CallChange, Ended, Event, Transport};

over_udp_and_tcp!(
    a_hundred_pushes_for_one_call_lead_to_a_few_registers_and_one_call,
    pushes_during_a_register_lead_to_few_registers,
    a_wake_after_a_kill_takes_one_register,
    a_refresh_push_registers_silently,
    a_call_before_the_response_to_its_register_rings,
    a_call_some_time_after_its_register_rings,
    a_push_after_its_invite_is_the_same_call,
    a_push_after_the_end_of_its_call_is_silent,
    a_call_declined_on_its_push_stays_declined,
    a_cancel_push_ends_an_announced_call,
);

async fn a_hundred_pushes_for_one_call_lead_to_a_few_registers_and_one_call(transport: Transport) {
    let mut stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.end().await;
    stage.gateway.sleep(USER, true).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let payload = stage.next_push().await;
    let mark = stage.mark();
    let mut app = stage.app().await;
    let first = app.push(&payload);
    for _ in 0..99 {
        assert_eq!(app.push(&payload).uuid, first.uuid, "the same push is the same call");
    }
    app.registered().await;
    assert_eq!(app.ringing().await, first.uuid);
    let more = app.leftovers(Duration::from_millis(300)).await;
    assert!(!more.iter().any(|event| matches!(event, Event::Call(_))), "one call, one ring: {more:?}");
    let registers = stage.requests_since(mark, "REGISTER").len();
    // At most six for pushes until the INVITE is here, and the answer to one challenge.
    assert!(registers <= 7, "{registers} REGISTERs\n{}", stage.ladder());
    call.cancel().await;
    app.call("the end", |change| matches!(change, CallChange::Ended(Ended::Cancelled))).await;
}

async fn pushes_during_a_register_lead_to_few_registers(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let mark = stage.mark();
    // Less time than a phone waits before it tries the next address.
    const DELAY: Duration = Duration::from_secs(3);
    let slow = Fault::new(Action::Delay(DELAY)).received().request("REGISTER");
    stage.gateway.faults(vec![slow]).await;
    let begun = Instant::now();
    for number in 0..100 {
        app.push(&json!({"ntype": "0", "nfrom": format!("{number}"), "ncallid": format!("call-{number}")}));
    }
    // A machine that is slower than that sees more than one in flight, but never more than the account may send for pushes.
    let most = match transport {
        _ if begun.elapsed() > DELAY / 2 => 7,
        Transport::Udp => 3,
        _ => 2,
    };
    app.registered().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let registers = stage.requests_since(mark, "REGISTER").len();
    assert!(registers <= most, "{registers} REGISTERs\n{}", stage.ladder());
}

async fn a_wake_after_a_kill_takes_one_register(transport: Transport) {
    for profile in ["rfc8599", "xmpush", "mizutech", "opensips", "flexisip", "portsip", "kamailio"] {
        let mut stage = Stage::new(profile, transport).await;
        let (app, _) = stage.registered_app(TOKEN).await;
        app.end().await;
        stage.gateway.sleep(USER, true).await;
        stage.gateway.place_call(USER, CallOptions::default()).await;
        let payload = stage.next_push().await;
        let mark = stage.mark();
        let mut app = stage.app().await;
        app.push(&payload);
        app.ringing().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let registers = stage.requests_since(mark, "REGISTER");
        assert_eq!(registers.len(), 1, "{profile}\n{}", stage.ladder());
        assert!(registers[0].text.contains("Authorization: Digest"), "the response came before the request");
    }
}

async fn a_refresh_push_registers_silently(transport: Transport) {
    let mut stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.send_push(USER, PushKind::Refresh, "", None).await;
    let payload = stage.next_push().await;
    let mark = stage.mark();
    let action = app.push(&payload);
    assert_eq!((action.kind, action.duty), (ActionKind::RefreshBinding, Duty::Nothing));
    app.registered().await;
    assert_eq!(stage.requests_since(mark, "REGISTER").len(), 1);
}

async fn a_call_before_the_response_to_its_register_rings(transport: Transport) {
    let mut stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.end().await;
    stage.gateway.sleep(USER, true).await;
    let options = CallOptions { before_200: true, ..CallOptions::default() };
    let call = stage.gateway.place_call(USER, options).await;
    let payload = stage.next_push().await;
    let mark = stage.mark();
    let mut app = stage.app().await;
    let action = app.push(&payload);
    assert_eq!(app.ringing().await, action.uuid);
    let sent: Vec<_> = stage.gateway.messages().after(mark);
    let sent: Vec<_> = sent.iter().filter(|entry| entry.direction == Direction::Sent).collect();
    assert!(sent.first().is_some_and(|entry| entry.is_request("INVITE")), "{}", stage.ladder());
    call.wait(|state| state == CallState::Ringing, integration::PATIENCE).await.expect("it rings");
    call.cancel().await;
    app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await;
}

async fn a_call_some_time_after_its_register_rings(transport: Transport) {
    let mut stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.end().await;
    stage.gateway.sleep(USER, true).await;
    let options = CallOptions { invite_delay: Duration::from_millis(700), ..CallOptions::default() };
    stage.gateway.place_call(USER, options).await;
    let payload = stage.next_push().await;
    let mut app = stage.app().await;
    let action = app.push(&payload);
    app.registered().await;
    assert_eq!(app.ringing().await, action.uuid);
}

async fn a_push_after_its_invite_is_the_same_call(transport: Transport) {
    let mut stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    stage.gateway.set_delivery(TOKEN, Delivery::Twice);
    let options = CallOptions { push: PushWhen::Never, ..CallOptions::default() };
    let call = stage.gateway.place_call(USER, options).await;
    let uuid = app.ringing().await;
    let call_id = call.report().await.expect("it is new").call_id;
    let payload = json!({"ntype": "0", "nfrom": "bob", "ncallid": call_id, "ntouser": USER});
    stage.gateway.send_push(USER, PushKind::Call, "", Some(payload)).await;
    for _ in 0..2 {
        let action = app.push(&stage.next_push().await);
        assert_eq!(action.uuid, uuid);
    }
    let more = app.leftovers(Duration::from_millis(300)).await;
    assert!(!more.iter().any(|event| matches!(event, Event::Call(_))), "{more:?}");
}

async fn a_push_after_the_end_of_its_call_is_silent(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let call = stage.gateway.place_call(USER, CallOptions { push: PushWhen::Never, ..CallOptions::default() }).await;
    let uuid = app.ringing().await;
    let call_id = call.report().await.expect("it is new").call_id;
    call.cancel().await;
    app.call("the end", |change| matches!(change, CallChange::Ended(_))).await;
    let late = app.push(&json!({"ntype": "0", "nfrom": "bob", "ncallid": call_id, "ntouser": USER}));
    assert_eq!(late.kind, ActionKind::Ignore { reason: Ignored::CallOver });
    assert_eq!((late.duty, late.uuid), (Duty::Nothing, uuid));
    let more = app.leftovers(Duration::from_millis(200)).await;
    assert!(!more.iter().any(|event| matches!(event, Event::Call(_))), "{more:?}");
}

async fn a_call_declined_on_its_push_stays_declined(transport: Transport) {
    let mut stage = Stage::new("mizutech", transport).await;
    let (app, _) = stage.registered_app(TOKEN).await;
    app.end().await;
    stage.gateway.sleep(USER, true).await;
    let options = CallOptions { invite_delay: Duration::from_millis(500), ..CallOptions::default() };
    let call = stage.gateway.place_call(USER, options).await;
    let payload = stage.next_push().await;
    let mut app = stage.app().await;
    let action = app.push(&payload);
    app.client.decline(action.uuid, sipwake::Decline::Everywhere).await.expect("it is announced");
    let report = call.wait_end(integration::PATIENCE).await.expect("an end");
    assert_eq!(report.state, CallState::Rejected(603));
    let told = app.leftovers(Duration::from_millis(200)).await;
    let rang = |event: &Event| matches!(event, Event::Call(call) if matches!(call.change, CallChange::Ringing { .. }));
    assert!(!told.iter().any(rang), "{told:?}");
}

async fn a_cancel_push_ends_an_announced_call(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let call = json!({"ntype": "0", "nfrom": "123", "ncallid": "gone"});
    let uuid = app.push(&call).uuid;
    assert_eq!(app.call("the announcement", |change| matches!(change, CallChange::Announced(_))).await, uuid);
    let cancel = app.push(&json!({"ntype": "2", "nfrom": "123", "ncallid": "gone"}));
    assert_eq!((cancel.kind, cancel.uuid), (ActionKind::Cancel, uuid));
    assert_eq!(app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await, uuid);
    assert_eq!(app.push(&call).duty, Duty::Nothing);
}
