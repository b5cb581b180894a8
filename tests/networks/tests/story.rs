//! The story of the demo on bad networks: the phone registers with a token, and the app is killed. A push wakes it for
//! a call that is cancelled, then for one that is answered and hung up. The token changes, the user logs out, and the
//! server has forgotten them.
//!
//! Nothing here depends on how long a step takes.

use std::time::Duration;

use integration::{App, PATIENCE, SECOND_TOKEN, Stage, TOKEN, USER};
use mock_gateway::{CallHandle, CallOptions, CallState, Config};
use networks::{Path, Relay};
use sipwake::core::payload::{ActionKind, Duty, Ignored};
use sipwake::{Answer, CallChange, Ended, HangUp, Transport};

const SDP: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

/// A phone that reaches its server through a relay.
struct Scene {
    stage: Stage,
    relay: Relay,
}

impl Scene {
    async fn new(path: Path, transport: Transport) -> Self {
        let mut profile = integration::named("mizutech");
        // A phone on a slow network is not a sleeping phone.
        (profile.hold, profile.silence) = (PATIENCE, PATIENCE);
        let stage = Stage::with(Config::new(profile), transport).await;
        let relay = Relay::start(stage.gateway.addr(), path).await;
        Self { stage, relay }
    }

    async fn app(&self) -> App {
        let mut account = self.stage.account();
        account.gateways = vec![self.relay.addr().to_string()];
        App::start(self.stage.store(), account, Some(self.stage.push())).await
    }

    async fn register(&self) -> App {
        let mut app = self.app().await;
        app.client.set_token(&app.account, TOKEN).await.expect("a good token");
        app.client.register(&app.account).await.expect("it was added");
        app.registered_with(TOKEN).await;
        self.stage.wait_for_tokens(&[TOKEN]).await;
        app
    }

    /// The system kills the app.
    async fn kill(&self, app: App) {
        app.end().await;
        self.stage.gateway.sleep(USER, true).await;
    }

    /// Bob calls, a push starts the app, and Bob gives up.
    async fn missed_call(&mut self) -> App {
        let call = self.stage.gateway.place_call(USER, CallOptions::default()).await;
        let payload = self.push_of(&call).await;
        let mut app = self.app().await;
        self.miss(&mut app, &call, &payload).await;
        app
    }

    /// Returns the push of a call. If its connection broke, the server may have sent more than one push.
    async fn push_of(&mut self, call: &CallHandle) -> serde_json::Value {
        let id = call.report().await.expect("it was placed").call_id;
        loop {
            let payload = self.stage.next_push().await;
            if payload["ncallid"] == id.as_str() {
                return payload;
            }
        }
    }

    /// The app gets the push of a call, and rings until Bob gives up.
    async fn miss(&self, app: &mut App, call: &CallHandle, payload: &serde_json::Value) {
        let action = app.push(payload);
        assert!(action.is_call(), "{:?}", action.kind);
        assert_eq!(app.ringing().await, action.uuid, "the push and its INVITE are one call");
        // This also works if the first 180 is lost: the INVITE comes again.
        call.wait(|state| state == CallState::Ringing, PATIENCE).await.expect("the caller gets 180");
        call.cancel().await;
        app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await;
        assert_eq!(call.wait_end(PATIENCE).await.map(|report| report.state), Some(CallState::Cancelled));
        assert_eq!(app.push(payload).duty, Duty::Nothing, "a late push must not ring");
    }

    /// Bob calls again, and the user answers and hangs up.
    async fn talk(&self, app: &mut App) {
        let call = self.stage.gateway.place_call(USER, CallOptions::default()).await;
        let uuid = app.ringing().await;
        app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it rings");
        app.call("the ACK", |change| matches!(change, CallChange::Connected { .. })).await;
        let report = call.wait(|state| state == CallState::Answered, PATIENCE).await.expect("it is answered");
        assert_eq!(report.answer.as_deref(), Some(SDP));
        app.client.hang_up(uuid, HangUp::Normal).await.expect("it is up");
        app.call("the end", |change| *change == CallChange::Ended(Ended::HungUp)).await;
        assert_eq!(call.wait_end(PATIENCE).await.map(|report| report.state), Some(CallState::HungUpByCallee));
    }

    async fn rotate(&self, app: &mut App) {
        app.client.set_token(&app.account, SECOND_TOKEN).await.expect("a good token");
        app.registered_with(SECOND_TOKEN).await;
        self.stage.wait_for_tokens(&[SECOND_TOKEN]).await;
    }

    async fn log_out(&self, app: &mut App) {
        app.log_out().await;
        assert_eq!(self.stage.bindings().await, [], "the server has forgotten the user");
        let late = serde_json::json!({"ntype": "0", "nfrom": "1234", "ncallid": "late"});
        let late = app.push(&late);
        assert_eq!((late.kind, late.duty), (ActionKind::Ignore { reason: Ignored::LoggedOut }, Duty::Nothing));
    }
}

async fn the_story(path: Path, transport: Transport) -> Scene {
    let mut scene = Scene::new(path, transport).await;
    let app = scene.register().await;
    scene.kill(app).await;
    let mut app = scene.missed_call().await;
    scene.talk(&mut app).await;
    scene.rotate(&mut app).await;
    scene.log_out(&mut app).await;
    scene
}

fn lossy(lost: usize, seed: u64) -> Path {
    Path { seed, lost, ..Path::of_round_trip(Duration::from_millis(20)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_milliseconds_away() {
    let path = Path::of_round_trip(Duration::from_millis(100));
    tokio::join!(the_story(path.clone(), Transport::Udp), the_story(path, Transport::Tcp));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hundred_milliseconds_away() {
    let path = Path::of_round_trip(Duration::from_millis(600));
    tokio::join!(the_story(path.clone(), Transport::Udp), the_story(path, Transport::Tcp));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_datagram_in_ten_is_lost() {
    let scene = the_story(lossy(1, 1), Transport::Udp).await;
    assert!(scene.relay.tally().lost > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_datagrams_in_ten_are_lost() {
    let (one, other) = tokio::join!(the_story(lossy(3, 2), Transport::Udp), the_story(lossy(3, 3), Transport::Udp));
    for scene in [one, other] {
        assert!(scene.relay.tally().lost > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_overtake_each_other() {
    let path = Path { seed: 4, late: 4, ..Path::of_round_trip(Duration::from_millis(20)) };
    the_story(path, Transport::Udp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_come_twice() {
    let path = Path { seed: 5, doubled: 5, ..Path::of_round_trip(Duration::from_millis(20)) };
    the_story(path, Transport::Udp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once() {
    let path = Path { seed: 6, lost: 2, doubled: 2, late: 2, delay: Duration::from_millis(50) };
    the_story(path, Transport::Udp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_twenty_seconds_while_registering() {
    const OUTAGE: Duration = Duration::from_secs(20);
    let outage = async |transport| {
        let mut scene = Scene::new(Path::of_round_trip(Duration::from_millis(20)), transport).await;
        scene.relay.outage(true);
        let back = async {
            tokio::time::sleep(OUTAGE).await;
            scene.relay.outage(false);
        };
        let (app, ()) = tokio::join!(scene.register(), back);
        scene.kill(app).await;
        let mut app = scene.missed_call().await;
        scene.talk(&mut app).await;
        scene.rotate(&mut app).await;
        scene.log_out(&mut app).await;
    };
    tokio::join!(outage(Transport::Udp), outage(Transport::Tcp));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_break_between_and_inside_of_requests() {
    let mut scene = Scene::new(Path::of_round_trip(Duration::from_millis(20)), Transport::Tcp).await;
    let app = scene.register().await;
    scene.kill(app).await;

    // The wake's connection breaks during its REGISTER, and the next one during the answer that follows.
    scene.relay.break_after(&[200, 1]);
    let mut app = scene.missed_call().await;
    assert!(scene.relay.tally().connections >= 4, "{:?}", scene.relay.tally());
    scene.talk(&mut app).await;

    // One connection breaks while no request is open: the client backs off, and the push for the next call ends that. The
    // caller is another one, since a push of Bob's so soon after a call without a push would count as that call's.
    scene.relay.break_connections();
    let (from, display) = ("sip:carol@mock.example".to_owned(), Some("Carol".to_owned()));
    let carol = CallOptions { from, display, ..CallOptions::default() };
    let call = scene.stage.gateway.place_call(USER, carol).await;
    let payload = scene.push_of(&call).await;
    scene.miss(&mut app, &call, &payload).await;
    scene.rotate(&mut app).await;
    scene.relay.break_connections();
    scene.log_out(&mut app).await;
}
