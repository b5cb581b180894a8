//! Calls over TLS and WebSocket, with a front that unwraps them before the mock gateway.

use std::net::SocketAddr;

use integration::{App, PATIENCE, Stage, TOKEN, USER};
use mock_gateway::{CallHandle, CallOptions, CallState};
use networks::{Authority, Front};
use rustls::version::{TLS12, TLS13};
use sipwake::{Answer, CallChange, Client, Ended, HangUp, Options, Transport, Trust, Uuid};
use tokio::net::TcpListener;

const SDP: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

struct Scene {
    stage: Stage,
    front: Front,
    authority: Authority,
}

impl Scene {
    async fn new(transport: Transport) -> Self {
        let stage = Stage::new("mizutech", transport).await;
        let authority = Authority::default();
        let (to, config) = (stage.gateway.addr(), authority.server(&[&TLS13, &TLS12]));
        let front = match transport {
            Transport::Tls => Front::tls(to, config).await,
            Transport::Wss => Front::wss(to, config).await,
            _ => Front::ws(to).await,
        };
        Self { stage, front, authority }
    }

    async fn app(&self) -> App {
        self.app_with(&[self.front.addr()]).await
    }

    async fn app_with(&self, gateways: &[SocketAddr]) -> App {
        let trust = Trust::default().only_authorities(self.authority.pem().as_bytes()).expect("an authority");
        let (client, events) = Client::start_with(self.stage.store(), Options::default().trust(trust));
        let mut account = self.stage.account();
        account.gateways = gateways.iter().map(SocketAddr::to_string).collect();
        let account = client.add_account(account, Some(self.stage.push())).await.expect("a good account");
        App { client, events, account }
    }

    async fn answered(&self, app: &mut App, call: &CallHandle) -> Uuid {
        let uuid = app.ringing().await;
        app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it rings");
        app.call("the ACK", |change| matches!(change, CallChange::Connected { .. })).await;
        let report = call.wait(|state| state == CallState::Answered, PATIENCE).await.expect("it is answered");
        assert_eq!(report.answer.as_deref(), Some(SDP));
        uuid
    }
}

async fn calls_over(transport: Transport) {
    let mut scene = Scene::new(transport).await;
    let mut app = scene.app().await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.register().await;
    let call = scene.stage.gateway.place_call(USER, CallOptions::default()).await;
    let uuid = scene.answered(&mut app, &call).await;
    app.client.hang_up(uuid, HangUp::Normal).await.expect("it is up");
    app.call("the end", |change| *change == CallChange::Ended(Ended::HungUp)).await;
    assert_eq!(call.wait_end(PATIENCE).await.map(|report| report.state), Some(CallState::HungUpByCallee));

    // The system kills the app. The next call wakes it, and the caller hangs up.
    app.end().await;
    scene.stage.gateway.sleep(USER, true).await;
    let call = scene.stage.gateway.place_call(USER, CallOptions::default()).await;
    let payload = scene.stage.next_push().await;
    let mut app = scene.app().await;
    let action = app.push(&payload);
    assert_eq!(scene.answered(&mut app, &call).await, action.uuid, "the push and its INVITE are one call");
    assert!(call.bye().await);
    app.call("the end", |change| *change == CallChange::Ended(Ended::HungUpByCaller)).await;
    assert_eq!(call.wait_end(PATIENCE).await.map(|report| report.state), Some(CallState::HungUpByCaller));
    let via = format!("Via: SIP/2.0/{} ", transport.via());
    let requests = scene.stage.gateway.received();
    let mut vias = requests.iter().filter(|entry| entry.is_request("REGISTER") || entry.is_request("BYE"));
    assert!(vias.all(|entry| entry.text.contains(&via)), "{}", scene.stage.ladder());
    app.log_out().await;
    assert_eq!(scene.stage.bindings().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_tls_is_answered_and_hung_up() {
    calls_over(Transport::Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_websocket_is_answered_and_hung_up() {
    calls_over(Transport::Ws).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_websocket_inside_of_tls_is_answered_and_hung_up() {
    calls_over(Transport::Wss).await;
}

/// The caller of a wake waits for 40 seconds, so the phone must reach the next gateway well before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_accepts_connections_and_stays_silent_is_left_for_the_next() {
    let leave = async |transport| {
        let stalled = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let scene = Scene::new(transport).await;
        let mut app = scene.app_with(&[stalled.local_addr().expect("bound"), scene.front.addr()]).await;
        app.client.set_token(&app.account, TOKEN).await.expect("a good token");
        app.client.register(&app.account).await.expect("it was added");
        app.registered_with(TOKEN).await;
        assert!(stalled.accept().await.is_ok(), "it was tried first");
    };
    tokio::join!(leave(Transport::Tls), leave(Transport::Ws), leave(Transport::Wss));
}
