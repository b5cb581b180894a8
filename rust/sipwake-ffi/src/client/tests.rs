use std::collections::HashMap;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::*;
use crate::account::account_id;
use crate::account::tests::alice;
use crate::call::{CallChange, DeclineHow, EndReason, HangUp, SessionOffer};
use crate::error::CallbackError;
use crate::event::Event;
use crate::options::GatewayProbe;
use crate::payload::{IgnoreReason, PushKind};
use crate::push::{Provider, PushConfig};

/// Records that outlive a client. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Records(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl StateStore for Records {
    fn load(&self, key: String) -> Result<Option<Vec<u8>>, CallbackError> {
        Ok(self.0.lock().expect("not poisoned").get(&key).cloned())
    }

    fn save(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError> {
        self.0.lock().expect("not poisoned").insert(key, bytes);
        Ok(())
    }

    fn save_progress(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError> {
        self.save(key, bytes)
    }

    fn remove(&self, key: String) -> Result<(), CallbackError> {
        self.0.lock().expect("not poisoned").remove(&key);
        Ok(())
    }
}

/// Fails in every possible way.
struct Broken;

impl StateStore for Broken {
    fn load(&self, _: String) -> Result<Option<Vec<u8>>, CallbackError> {
        Err(CallbackError::Failed { reason: "locked".into() })
    }

    fn save(&self, _: String, _: Vec<u8>) -> Result<(), CallbackError> {
        Err(CallbackError::Failed { reason: "full".into() })
    }

    fn save_progress(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError> {
        self.save(key, bytes)
    }

    fn remove(&self, _: String) -> Result<(), CallbackError> {
        Ok(())
    }
}

impl EventListener for Broken {
    fn on_event(&self, _: Event) -> Result<(), CallbackError> {
        panic!("the listener is broken")
    }
}

pub(crate) fn setup() -> AccountSetup {
    let push = PushConfig::plain(Provider::Fcm, "app");
    AccountSetup { account: alice(), push: Some(push), mode: None }
}

fn made(
    store: impl StateStore + 'static,
    accounts: Vec<AccountSetup>,
    listener: Option<Box<dyn EventListener>>,
) -> Result<Arc<SipWakeClient>, SipWakeError> {
    SipWakeClient::new(Box::new(store), accounts, listener, ClientOptions::default(), None, None, None, None)
}

fn client(accounts: Vec<AccountSetup>) -> Arc<SipWakeClient> {
    made(Records::default(), accounts, None).expect("a client")
}

/// The longest time that a test waits for an event. A busy machine is slow, and not wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls like Kotlin and Swift: on a thread without a runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let end = Instant::now() + PATIENCE;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        assert!(Instant::now() < end, "not in time");
        thread::park_timeout(end - Instant::now());
    }
}

#[test]
fn a_registration_that_waits_for_probes_works_without_the_callers_runtime() {
    let mut setup = setup();
    setup.account.gateways = vec!["127.0.0.1:9".into(), "127.0.0.2:9".into()];
    let id = account_id(setup.account.clone()).expect("valid");
    let options = ClientOptions { probing: Some(GatewayProbe::SipOptions), ..ClientOptions::default() };
    let client = SipWakeClient::new(Box::new(Records::default()), vec![setup], None, options, None, None, None, None);
    assert_eq!(wait(client.expect("a client").register(id)), Ok(()));
}

pub(crate) fn call_push() -> PushPayload {
    let fields = [("ntype", "0"), ("nfrom", "1234"), ("ncallid", "c1")];
    PushPayload::Fields { entries: fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
}

#[test]
fn a_push_right_after_the_start_rings_for_an_account_given_at_the_start() {
    let client = client(vec![setup()]);
    let action = client.push(call_push(), Channel::FcmAndroid, PushHints::default()).expect("total");
    assert_eq!(action.kind, PushKind::IncomingCall { video: false });
}

#[test]
fn a_push_is_silent_without_an_account_and_after_the_log_out() {
    let silent = PushKind::Ignore { reason: IgnoreReason::LoggedOut };
    let nobody = client(Vec::new());
    let action = nobody.push(call_push(), Channel::FcmAndroid, PushHints::default()).expect("total");
    assert_eq!(action.kind, silent);

    let client = client(vec![setup()]);
    wait(client.log_out(account_id(alice()).expect("valid"))).expect("logged out");
    let action = client.push(call_push(), Channel::FcmAndroid, PushHints::default()).expect("total");
    assert_eq!(action.kind, silent);
}

#[test]
fn an_unknown_account_has_its_own_error() {
    let client = client(Vec::new());
    for id in ["", "no id", "0123456789abcdef"] {
        let error = wait(client.register(id.to_owned())).expect_err("there is none");
        assert!(matches!(error, SipWakeError::NoSuchAccount { .. }), "{error:?}");
    }
}

#[test]
fn a_token_that_means_none_yet_is_ignored_and_an_invalid_one_is_refused() {
    let client = client(vec![setup()]);
    let id = account_id(alice()).expect("valid");
    let hand_over = |token: Option<&str>| wait(client.set_token(id.clone(), token.map(str::to_owned), None));
    for none in [None, Some(""), Some("null")] {
        assert_eq!(hand_over(none), Ok(TokenOutcome::Ignored));
    }
    let error = hand_over(Some("a b")).expect_err("refused");
    assert!(matches!(error, SipWakeError::InvalidField { ref field, .. } if field == "push.token"), "{error:?}");
    assert_eq!(hand_over(Some("c-10:APA91b")), Ok(TokenOutcome::Taken));
}

#[test]
fn adding_an_account_later_returns_its_id() {
    let client = client(Vec::new());
    let id = account_id(alice()).expect("valid");
    assert_eq!(wait(client.add_account(setup())), Ok(id.clone()));
    assert_eq!(wait(client.register(id)), Ok(()));
}

#[test]
fn a_failing_store_and_a_panicking_listener_each_lead_to_an_event() {
    let client = made(Broken, vec![setup()], Some(Box::new(Broken))).expect("a client");
    let stream = client.events().expect("a stream");
    wait(client.unbind_push(account_id(alice()).expect("valid"))).expect("the client goes on");
    let (mut store, mut listener) = (false, false);
    while !(store && listener) {
        match wait(stream.next_event()).expect("no error").expect("an event") {
            Event::StoreFailed { reason, .. } => store |= reason == "locked",
            Event::ListenerFailed { .. } => listener = true,
            _ => {}
        }
    }
}

#[test]
fn a_waiting_reader_learns_that_the_client_has_ended() {
    let client = client(vec![setup()]);
    let (first, second) = (client.events().expect("a stream"), client.events().expect("a stream"));
    second.cancel().expect("cancelled");
    assert!(wait(second.next_event()).expect("no error").is_none());
    let ender = client.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        ender.shutdown().expect("shut down");
    });
    assert!(wait(first.next_event()).expect("no error").is_none());
    thread.join().expect("the thread ended well");
    let error = wait(client.network_changed()).expect_err("it is over");
    assert!(matches!(error, SipWakeError::ShutDown { .. }), "{error:?}");
    let action = client.push(call_push(), Channel::FcmAndroid, PushHints::default()).expect("total, even now");
    assert_eq!(action.kind, PushKind::IncomingCall { video: false });
}

/// Makes a client at each event, and reports the result.
struct Maker(mpsc::Sender<Option<SipWakeError>>);

impl EventListener for Maker {
    fn on_event(&self, _: Event) -> Result<(), CallbackError> {
        // The test may have ended already.
        let _ = self.0.send(made(Records::default(), Vec::new(), None).err());
        Ok(())
    }
}

#[test]
fn a_listener_cannot_create_a_client() {
    let (sender, made) = mpsc::channel();
    let maker = Box::new(Maker(sender));
    let client = self::made(Broken, vec![setup()], Some(maker)).expect("a client");
    wait(client.unbind_push(account_id(alice()).expect("valid"))).expect("known");
    let error = made.recv_timeout(PATIENCE).expect("the store's failure is an event");
    assert!(matches!(error, Some(SipWakeError::Unavailable { .. })), "{error:?}");
}

#[test]
fn a_client_cannot_be_created_on_its_own_runtime() {
    let runtime = OwnRuntime::start().expect("a runtime");
    let error = runtime.block_on(async { made(Records::default(), Vec::new(), None).err() });
    assert!(matches!(error, Some(SipWakeError::Unavailable { .. })), "{error:?}");
}

#[test]
fn every_request_for_an_unknown_call_is_an_error() {
    let client = client(vec![setup()]);
    let sdp = || SessionOffer { content_type: "application/sdp".into(), body: b"v=0".into() };
    for call in ["no uuid", "00000000-0000-0000-0000-000000000007"] {
        let call = || call.to_owned();
        let results = [
            wait(client.answer(call())),
            wait(client.ringing(call())),
            wait(client.accept(call(), sdp())),
            wait(client.decline(call(), DeclineHow::Busy)),
            wait(client.hang_up(call(), HangUp::Failed { status: 488 })),
            wait(client.respond_offer(call(), Some(sdp()))),
            wait(client.respond_request(call(), 1, 200)),
        ];
        for result in results {
            assert!(matches!(result, Err(SipWakeError::NoSuchCall { .. })), "{result:?}");
        }
    }
}

#[test]
fn an_announced_call_is_answered_and_hung_up_before_its_invite() {
    let client = client(vec![setup()]);
    let stream = client.events().expect("a stream");
    let policy = CallPolicy {
        window_ms: 30_000,
        ring_limit_ms: 60_000,
        mid_call_wakeups: true,
        session_progress: false,
        reconfirm: true,
    };
    wait(client.set_call_policy(policy)).expect("set");
    let call = client.push(call_push(), Channel::FcmAndroid, PushHints::default()).expect("total").uuid;
    wait(client.answer(call.clone())).expect("known from the push on");
    wait(client.hang_up(call.clone(), HangUp::Normal)).expect("it is live");
    loop {
        let event = wait(stream.next_event()).expect("no error").expect("an event");
        if let Event::Call { uuid, change: CallChange::Ended { reason, status }, times, .. } = event {
            assert_eq!((uuid, reason, status), (call, EndReason::Declined, None));
            let (announced, ended) = (times.announced.expect("by the push"), times.ended.expect("just now"));
            assert!(announced.boot_ms <= ended.boot_ms && announced.wall_ms > 0);
            break;
        }
    }
}

#[test]
fn a_client_with_a_decryptor_rings_for_a_sealed_push() {
    let decryptor = Some(Box::new(crate::decryptor::tests::Opener) as Box<dyn crate::decryptor::Decryptor>);
    let (store, options) = (Box::new(Records::default()), ClientOptions::default());
    let client =
        SipWakeClient::new(store, vec![setup()], None, options, None, decryptor, None, None).expect("a client");
    let action = client.push(crate::decryptor::tests::sealed(), Channel::FcmAndroid, PushHints::default());
    assert_eq!(action.expect("total").kind, PushKind::IncomingCall { video: false });
    let action = client
        .push(call_push(), Channel::FcmAndroid, PushHints::default())
        .expect("always a result, even if it throws");
    assert_eq!(action.kind, PushKind::IncomingCall { video: false });
}
