//! Calls on real sockets, with the mock gateway as the caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mock_gateway::{CallHandle, CallOptions, CallState, Config, MockGateway, Phase, PlannedEnd, Profile, PushWhen};
use sipwake::{
    AccountConfig, AccountKey, Answer, CallChange, CallPolicy, Channel, Client, Ended, Error, Event, Events, HangUp,
    Hints, MemoryStore, Offer, Progress, Provider, PushConfig, Transport, Uuid,
};

const LIMIT: Duration = Duration::from_secs(120);
const SDP: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

struct App {
    client: Client,
    events: Events,
    account: AccountKey,
}

impl App {
    /// Starts and registers with a push token.
    async fn start(mock: &MockGateway, transport: Transport) -> Self {
        let (client, events) = Client::start(Arc::new(MemoryStore::default()));
        let mut config = AccountConfig::new("sip:alice@mock.example", "secret");
        config.gateways = vec![mock.addr().to_string()];
        config.transport = Some(transport);
        let push = PushConfig::new(Provider::Fcm, "project");
        let account = client.add_account(config, Some(push)).await.expect("a sound account");
        client.set_token(&account, "c-10:APA91bToken").await.expect("a sound token");
        client.register(&account).await.expect("it was added");
        let mut app = Self { client, events, account };
        app.event(|event| matches!(event, Event::Registered { .. }).then_some(())).await;
        app
    }

    async fn event<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let next = async {
            loop {
                let event = self.events.next().await.expect("the client runs");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(LIMIT, next).await.expect("it happens in time")
    }

    async fn call<T>(&mut self, wanted: impl Fn(&CallChange) -> Option<T>) -> (Uuid, T) {
        self.event(|event| match event {
            Event::Call(call) => wanted(&call.change).map(|found| (call.uuid, found)),
            _ => None,
        })
        .await
    }

    async fn ringing(&mut self) -> Uuid {
        self.call(|change| matches!(change, CallChange::Ringing { .. }).then_some(())).await.0
    }

    async fn connected(&mut self) {
        self.call(|change| matches!(change, CallChange::Connected { .. }).then_some(())).await;
    }

    async fn ended(&mut self) -> Ended {
        let end = |change: &CallChange| match change {
            CallChange::Ended(how) => Some(*how),
            _ => None,
        };
        self.call(end).await.1
    }
}

async fn mock() -> MockGateway {
    let profile = Profile::named("mizutech").expect("it is one of them");
    MockGateway::start(Config::new(profile).user("alice", "secret")).await.expect("loopback is there")
}

fn awake() -> CallOptions {
    CallOptions { push: PushWhen::Never, ..CallOptions::default() }
}

async fn over(call: &CallHandle) -> CallState {
    call.wait_end(LIMIT).await.expect("it ends").state
}

/// Places a call and accepts it.
async fn talk(mock: &MockGateway, app: &mut App, options: CallOptions) -> (CallHandle, Uuid) {
    let call = mock.place_call("alice", options).await;
    let uuid = app.ringing().await;
    app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it rings");
    app.connected().await;
    let report = call.wait(|state| state == CallState::Answered, LIMIT).await.expect("it is answered");
    assert_eq!(report.answer.as_deref(), Some(SDP));
    (call, uuid)
}

#[tokio::test]
async fn a_call_is_answered_and_hung_up_from_either_side_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mock = mock().await;
        let mut app = App::start(&mock, transport).await;
        let (call, _) = talk(&mock, &mut app, awake()).await;
        assert!(call.bye().await);
        assert_eq!((app.ended().await, over(&call).await), (Ended::HungUpByCaller, CallState::HungUpByCaller));
        let (call, uuid) = talk(&mock, &mut app, CallOptions { record_route: true, ..awake() }).await;
        app.client.hang_up(uuid, HangUp::Normal).await.expect("it is up");
        assert_eq!((app.ended().await, over(&call).await), (Ended::HungUp, CallState::HungUpByCallee));
        assert_eq!(app.client.hang_up(uuid, HangUp::Normal).await, Err(Error::NoSuchCall));
        assert_eq!(mock.violations(), [], "{transport:?}");
    }
}

#[tokio::test]
async fn the_cancel_push_of_an_answered_call_is_reported_to_ios_and_the_call_goes_on() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    let (call, uuid) = talk(&mock, &mut app, awake()).await;
    let invite = mock.messages().all().into_iter().find(|message| message.is_request("INVITE")).expect("it was sent");
    let call_id =
        invite.text.lines().find_map(|line| line.strip_prefix("Call-ID:")).expect("it has one").trim().to_owned();
    let cancel = format!(r#"{{"ntype":"2","nfrom":"x","ntouser":"alice","ncallid":"{call_id}"}}"#);
    let action = app.client.push(cancel.as_bytes(), Channel::PushKit, &Hints::at(sipwake::now()));
    assert_eq!((action.uuid, action.duty), (uuid, sipwake::core::payload::Duty::ReportCall));
    // The caller ends the call, and nothing comes before that.
    assert!(call.bye().await);
    assert_eq!((app.ended().await, over(&call).await), (Ended::HungUpByCaller, CallState::HungUpByCaller));
}

#[tokio::test]
async fn a_gateway_that_asks_for_credentials_in_a_call_gets_them() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    let (call, uuid) = talk(&mock, &mut app, CallOptions { challenges: true, ..awake() }).await;
    app.client.hang_up(uuid, HangUp::Normal).await.expect("it is up");
    assert_eq!((app.ended().await, over(&call).await), (Ended::HungUp, CallState::HungUpByCallee));
    let byes: Vec<bool> = mock
        .received()
        .iter()
        .filter(|entry| entry.is_request("BYE"))
        .map(|entry| entry.text.contains("\r\nAuthorization: Digest "))
        .collect();
    assert_eq!((byes.first(), byes.last()), (Some(&false), Some(&true)), "asked, and answered");
    assert_eq!(mock.violations(), [], "the nonce count continues after the REGISTER's");
}

#[tokio::test]
async fn a_caller_gets_183_first_if_the_app_wants_it() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    let policy = CallPolicy { progress: Progress::Session, ..CallPolicy::default() };
    app.client.set_call_policy(policy).await.expect("the client runs");
    let reliable = vec![("Require".to_owned(), "100rel".to_owned())];
    let call = mock.place_call("alice", CallOptions { headers: reliable, ..awake() }).await;
    let uuid = app.ringing().await;
    app.client.ringing(uuid).await.expect("it has received only 183");
    assert_eq!(app.client.ringing(uuid).await, Err(Error::NoSuchCall), "once");
    let heard = |status| mock.messages().all().iter().any(|entry| entry.is_response(status, "INVITE"));
    let ringing = mock.messages().wait_for(|entry| entry.is_response(180, "INVITE"), LIMIT).await;
    assert!(ringing.is_some() && heard(183), "183, its PRACK, then 180");
    app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it rings");
    app.connected().await;
    assert!(call.bye().await);
    assert_eq!(app.ended().await, Ended::HungUpByCaller);
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn an_answer_tapped_before_the_invite_takes_effect_when_it_arrives() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    let mut pushes = mock.pushes(None);
    let options = CallOptions { push: PushWhen::Always, invite_delay: Duration::from_millis(300), ..awake() };
    let call = mock.place_call("alice", options).await;
    let push = pushes.next_within(LIMIT).await.expect("a push");
    let hints = Hints::at(sipwake::now());
    let action = app.client.push(push.payload.to_string().as_str(), Channel::FcmAndroid, &hints);
    app.client.answer(action.uuid).await.expect("it is announced");
    let wanted = |change: &CallChange| match change {
        CallChange::Ringing { .. } => panic!("the user has answered: it must not ring"),
        CallChange::AnswerWanted { offer, .. } => Some(offer.clone()),
        _ => None,
    };
    let (uuid, offer) = app.call(wanted).await;
    assert!(offer.is_some_and(|offer: Offer| offer.content_type == "application/sdp"));
    assert_eq!(uuid, action.uuid);
    app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it is here");
    app.connected().await;
    call.bye().await;
    assert_eq!(over(&call).await, CallState::HungUpByCaller);
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn a_caller_who_gives_up_at_any_phase_leaves_one_outcome() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    for (phase, elsewhere) in [(Phase::Invited, false), (Phase::Ringing, false), (Phase::Ringing, true)] {
        let end = Some(PlannedEnd { phase, after: Duration::ZERO, elsewhere });
        let call = mock.place_call("alice", CallOptions { end, ..awake() }).await;
        let uuid = app.ringing().await;
        // The user may answer while the CANCEL is on its way. Both sides then agree on the one that came first.
        let accepted = app.client.accept(uuid, Answer::sdp(SDP)).await.is_ok();
        let (ended, state) = (app.ended().await, over(&call).await);
        let agreed = match ended {
            Ended::Cancelled => !elsewhere && state == CallState::Cancelled,
            Ended::AnsweredElsewhere => elsewhere && state == CallState::Elsewhere,
            Ended::HungUpByCaller => accepted,
            _ => false,
        };
        assert!(agreed, "{phase:?}: {ended:?}, {state:?}");
    }
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn a_lost_ack_is_sent_again_after_a_repeated_200() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Tcp).await;
    let begun = Instant::now();
    let (call, _) = talk(&mock, &mut app, CallOptions { lose_acks: 1, ..awake() }).await;
    assert!(begun.elapsed() >= Duration::from_millis(450), "the first ACK was lost");
    call.bye().await;
    assert_eq!(over(&call).await, CallState::HungUpByCaller);
}

#[tokio::test]
async fn other_media_is_offered_to_the_app_and_options_is_answered() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    let (call, uuid) = talk(&mock, &mut app, awake()).await;
    let told = async |method: &str, status: u16, times: usize| {
        let seen = async || {
            let report = call.report().await.expect("it is remembered");
            let seen = report.responses.iter().filter(|seen| seen.method == method && seen.status == status);
            seen.count() >= times
        };
        mock.wait_until(seen, LIMIT).await
    };
    let other = "v=0\r\no=- 9 9 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    for (offer, answer) in [(other.replace("9 9", "9 8"), None), (other.to_owned(), Some(Answer::sdp(SDP)))] {
        assert!(call.reinvite(&offer).await);
        app.call(|change| matches!(change, CallChange::Offered { offer: Some(_) }).then_some(())).await;
        let code = if answer.is_some() { 200 } else { 488 };
        app.client.respond_offer(uuid, answer).await.expect("it waits");
        assert!(told("INVITE", code, 1 + usize::from(code == 200)).await, "{code}");
    }
    assert!(call.reinvite(other).await, "the same again is a refresh, and nobody is asked");
    assert!(told("INVITE", 200, 3).await);
    assert!(call.options().await && told("OPTIONS", 200, 1).await);
    app.client.hang_up(uuid, HangUp::Failed(488)).await.expect("it is up");
    assert_eq!((app.ended().await, over(&call).await), (Ended::Failed(488), CallState::HungUpByCallee));
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn a_reliable_180_is_acknowledged_and_a_merged_invite_rings_once() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    let options = CallOptions { headers: vec![("Require".into(), "100rel".into())], ..awake() };
    let (call, _) = talk(&mock, &mut app, options).await;
    let told = async || {
        let report = call.report().await.expect("it is remembered");
        report.responses.iter().any(|response| response.method == "PRACK" && response.status == 200)
    };
    assert!(mock.wait_until(told, LIMIT).await, "even after the 200");
    call.bye().await;
    over(&call).await;
    let (call, _) = talk(&mock, &mut app, CallOptions { merged: true, ..awake() }).await;
    let report = call.report().await.expect("it is remembered");
    assert!(report.responses.iter().any(|response| response.status == 482));
    call.bye().await;
    over(&call).await;
}

#[tokio::test]
async fn two_hundred_calls_in_a_row_leave_none_stuck() {
    let mock = mock().await;
    let mut app = App::start(&mock, Transport::Udp).await;
    for number in 0..200 {
        let call = mock.place_call("alice", awake()).await;
        let uuid = app.ringing().await;
        match number % 4 {
            0 => {
                app.client.hang_up(uuid, HangUp::Normal).await.expect("it rings");
                assert_eq!((app.ended().await, over(&call).await), (Ended::Declined, CallState::Rejected(603)));
                continue;
            }
            1 => {
                call.wait(|state| state == CallState::Ringing, LIMIT).await.expect("it rings");
                call.cancel().await;
                assert_eq!((app.ended().await, over(&call).await), (Ended::Cancelled, CallState::Cancelled));
                continue;
            }
            _ => {}
        }
        app.client.accept(uuid, Answer::sdp(SDP)).await.expect("it rings");
        app.connected().await;
        if number % 4 == 2 {
            call.bye().await;
            assert_eq!((app.ended().await, over(&call).await), (Ended::HungUpByCaller, CallState::HungUpByCaller));
        } else {
            app.client.hang_up(uuid, HangUp::Normal).await.expect("it is up");
            assert_eq!((app.ended().await, over(&call).await), (Ended::HungUp, CallState::HungUpByCallee));
        }
    }
    assert_eq!(mock.violations(), []);
    app.client.log_out(&app.account.clone()).await.expect("it is there");
}

#[tokio::test]
async fn a_push_right_after_its_account_was_added_is_a_call() {
    let (client, _events) = Client::start(Arc::new(MemoryStore::default()));
    client.add_account(AccountConfig::new("sip:alice@mock.example", "secret"), None).await.expect("a sound account");
    let payload = "{\"ntype\":\"0\",\"nfrom\":\"1234\",\"ncallid\":\"c1\"}";
    let action = client.push(payload, Channel::FcmAndroid, &Hints::at(sipwake::now()));
    assert!(action.is_call(), "{:?}", action.kind);
}
