//! Woken inside a call: the client sleeps during the call, and the server wakes it for the next request of the dialog (RFC
//! 8599, section 6.1.2).

use integration::{PATIENCE, Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::{CallOptions, CallState};
use serde_json::json;
use sipwake::{Answer, CallChange, CallPolicy, Channel, Ended, Event, Hints, Transport};

over_udp_and_tcp!(
    a_request_inside_a_call_wakes_its_client_without_a_new_call,
    without_the_policy_no_client_is_woken_inside_a_call
);

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n";

async fn a_request_inside_a_call_wakes_its_client_without_a_new_call(transport: Transport) {
    for (other_media, channel) in [(false, Channel::FcmAndroid), (true, Channel::PushKit), (false, Channel::PushKit)] {
        let mut stage = Stage::new("rfc8599", transport).await;
        let (mut app, _) = stage.registered_app(TOKEN).await;
        let policy = CallPolicy { mid_call_wakeups: true, ..CallPolicy::default() };
        app.client.set_call_policy(policy).await.expect("the client runs");
        let call = stage.gateway.place_call(USER, CallOptions::default()).await;
        let uuid = app.ringing().await;
        app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it rings");
        app.call("connected", |change| matches!(change, CallChange::Connected { .. })).await;

        stage.gateway.sleep(USER, transport == Transport::Tcp).await;
        let asked = if other_media { call.reinvite(SDP).await } else { call.bye().await };
        assert!(asked, "it is up");
        // The push has no content. Over PushKit it must still be treated as a call.
        assert_eq!(stage.next_push().await, json!({}));
        let action = app.client.push(r#"{"aps":{}}"#, channel, &Hints::at(sipwake::now()));
        let is_voip = channel == Channel::PushKit;
        assert_eq!((action.is_call(), action.uuid == uuid), (is_voip, is_voip), "the call is connected");
        if other_media {
            app.call("other media", |change| matches!(change, CallChange::Offered { .. })).await;
            app.client.respond_offer(uuid, Some(Answer::sdp(SDP))).await.expect("it waits");
            assert!(call.bye().await, "it is up");
        }
        let end = |event: &Event| match event {
            Event::Call(call) => match &call.change {
                CallChange::Ended(how) => Some((call.uuid, *how)),
                CallChange::Ringing { .. } | CallChange::Announced(_) => panic!("no new call: {call:?}"),
                _ => None,
            },
            _ => None,
        };
        assert_eq!(app.wait("the end", end).await, (uuid, Ended::HungUpByCaller));
        let report = call.wait_end(PATIENCE).await.expect("an end");
        assert_eq!((report.state, report.pushes), (CallState::HungUpByCaller, 1));
    }
}

async fn without_the_policy_no_client_is_woken_inside_a_call(transport: Transport) {
    let stage = Stage::new("rfc8599", transport).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    let uuid = app.ringing().await;
    app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it rings");
    app.call("connected", |change| matches!(change, CallChange::Connected { .. })).await;
    stage.gateway.sleep(USER, false).await;
    assert!(call.bye().await, "it is up");
    app.call("the end", |change| matches!(change, CallChange::Ended(Ended::HungUpByCaller))).await;
    assert_eq!(call.wait_end(PATIENCE).await.expect("an end").pushes, 0);
}
