//! The whole life of a push binding, against every kind of server.

use integration::{SECOND_TOKEN, Stage, TOKEN, USER};
use mock_gateway::{CallOptions, CallState};
use sipwake::core::payload::{ActionKind, Duty, Ignored};
use sipwake::{CallChange, Ended, Standing, Transport};

macro_rules! stories {
    ($($name:ident),*) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_udp() { super::the_whole_story(stringify!($name), super::Transport::Udp).await }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_tcp() { super::the_whole_story(stringify!($name), super::Transport::Tcp).await }
        })*
    };
}

stories!(rfc8599, xmpush, mizutech, opensips, flexisip, portsip, kamailio);

async fn the_whole_story(profile: &str, transport: Transport) {
    let mut stage = Stage::new(profile, transport).await;
    let (app, registered) = stage.registered_app(TOKEN).await;
    let confirms = ["rfc8599", "opensips"].contains(&profile);
    let expected = if confirms { Standing::Confirmed } else { Standing::Unconfirmed };
    assert_eq!(registered.verdict.standing, expected, "{}", registered.verdict.text());
    assert!(!registered.verdict.text().is_empty());
    stage.wait_for_tokens(&[TOKEN]).await;
    let first = stage.bindings().await.remove(0);

    // The system kills the app.
    app.end().await;
    stage.gateway.sleep(USER, true).await;
    stage.wait_for_tokens(&[TOKEN]).await;

    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let payload = stage.next_push().await;
    let mark = stage.mark();
    let mut app = stage.app().await;
    let action = app.push(&payload);
    // RFC 8599 gives a push no content. The push of such a server only says that something waits.
    let bare = ["rfc8599", "opensips", "kamailio"].contains(&profile);
    if bare {
        assert_eq!(action.kind, ActionKind::RefreshBinding);
    } else {
        assert_eq!(action.kind, ActionKind::IncomingCall { video: false });
        assert_eq!(action.duty, Duty::StartForegroundService);
        assert!(action.caller_label().is_some());
    }
    app.registered().await;
    let ringing = app
        .call("the INVITE", |change| matches!(change, CallChange::Ringing { announced, .. } if *announced != bare))
        .await;
    assert!(bare || ringing == action.uuid, "the push and its INVITE are one call");
    assert_eq!(stage.requests_since(mark, "REGISTER").len(), 1, "{}", stage.ladder());

    call.wait(|state| state == CallState::Ringing, integration::PATIENCE).await.expect("the caller gets 180");
    call.cancel().await;
    let ended = app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await;
    assert_eq!(ended, ringing);
    let report = call.wait_end(integration::PATIENCE).await.expect("an end");
    assert_eq!(report.state, CallState::Cancelled);
    if !bare {
        let late = app.push(&payload);
        assert_eq!((late.kind, late.duty), (ActionKind::Ignore { reason: Ignored::CallOver }, Duty::Nothing));
    }

    app.client.set_token(&app.account, SECOND_TOKEN).await.expect("a good token");
    app.registered_with(SECOND_TOKEN).await;
    stage.wait_for_tokens(&[SECOND_TOKEN]).await;
    let second = stage.bindings().await.remove(0);
    assert_eq!(second.call_id, first.call_id, "one Call-ID, across restarts");
    assert!(second.cseq > first.cseq);

    app.log_out().await;
    assert_eq!(stage.bindings().await, []);
    let late = app.push(&payload);
    assert_eq!((late.kind, late.duty), (ActionKind::Ignore { reason: Ignored::LoggedOut }, Duty::Nothing));
}
