use std::sync::mpsc;

use super::*;
use crate::account::account_id;
use crate::account::tests::alice;
use crate::client::tests::{PATIENCE, Records, call_push, setup};
use crate::payload::{IgnoreReason, PushKind};
use crate::push::{Dialect, Provider, PushConfig};

struct Ear(mpsc::Sender<CompanionTold>);

impl CompanionListener for Ear {
    fn on_told(&self, told: CompanionTold) -> Result<(), CallbackError> {
        // The test may have ended already.
        let _ = self.0.send(told);
        Ok(())
    }
}

struct Beside {
    companion: Arc<SipWakeCompanion>,
    told: mpsc::Receiver<CompanionTold>,
    alice: String,
}

fn beside(store: impl StateStore + 'static, accounts: Vec<AccountSetup>) -> Beside {
    let companion = SipWakeCompanion::new(Box::new(store), accounts).expect("a companion");
    let (tell, told) = mpsc::channel();
    companion.listen(Box::new(Ear(tell))).expect("a thread");
    Beside { companion, told, alice: account_id(alice()).expect("valid") }
}

impl Beside {
    fn await_told(&self, wanted: impl Fn(&CompanionTold) -> bool) -> CompanionTold {
        loop {
            let told = self.told.recv_timeout(PATIENCE).expect("it is reported in time");
            if wanted(&told) {
                return told;
            }
        }
    }

    fn set_token(&self) {
        let token = Some("c-10:APA91b".to_owned());
        assert_eq!(self.companion.set_token(self.alice.clone(), token, None), Ok(TokenOutcome::Taken));
    }

    /// The other stack registers with the tags, and the server responds with 200 and its list.
    fn register(&self) -> CompanionAnswer {
        let register = self.companion.register_tags(self.alice.clone()).expect("something to send");
        let contact = register
            .contact
            .clone()
            .unwrap_or_else(|| "sip:alice@192.0.2.7".to_owned() + &register.tags.uri_params_text);
        let list = if register.expires_seconds == 0 {
            Vec::new()
        } else {
            vec![header("Contact", &format!("<{contact}>;expires=600"))]
        };
        self.heard(200, list).expect("an answer")
    }

    fn heard(&self, status: u16, headers: Vec<NamedValue>) -> Result<CompanionAnswer, SipWakeError> {
        let response =
            RegisterResponse { status, phrase: String::new(), headers, register: None, call_id: None, cseq: None };
        self.companion.heard(self.alice.clone(), response)
    }

    fn invited(&self) -> CompanionInvite {
        let headers = vec![header("From", "<sip:1234@example.com>;tag=1"), header("Call-ID", "c1")];
        self.companion.invited(self.alice.clone(), headers).expect("read")
    }

    fn push(&self) -> PushAction {
        self.companion.push(call_push(), Channel::FcmAndroid, PushHints::default()).expect("total")
    }
}

fn header(name: &str, value: &str) -> NamedValue {
    NamedValue { name: name.to_owned(), value: value.to_owned() }
}

fn is_register(told: &CompanionTold) -> bool {
    matches!(told, CompanionTold::Register { .. })
}

#[test]
fn a_push_and_its_invite_are_one_call_that_the_other_stack_takes() {
    let phone = beside(Records::default(), vec![setup()]);
    phone.set_token();
    assert_eq!(phone.register().next, CompanionNext::Nothing);
    let action = phone.push();
    assert_eq!(action.kind, PushKind::IncomingCall { video: false });
    phone.await_told(is_register);
    let call = action.uuid;
    phone.companion.answer(call.clone()).expect("known from the push on");
    assert_eq!(phone.invited(), CompanionInvite::Accept { call: call.clone() });
    phone.companion.answered(call.clone()).expect("it rings");
    phone.companion.hang_up(call.clone(), HangUp::Normal).expect("it is live");
    phone.await_told(|told| *told == CompanionTold::HangUp { call: call.clone() });
    phone.companion.ended(call.clone(), EndReason::HungUp, None).expect("it is live");
    let again = phone.companion.ended(call, EndReason::HungUp, None);
    assert!(matches!(again, Err(SipWakeError::NoSuchCall { .. })), "an end is reported once: {again:?}");
}

#[test]
fn the_stack_learns_what_the_user_does_with_a_ringing_call() {
    let phone = beside(Records::default(), vec![setup()]);
    let CompanionInvite::Ring { call, again: false } = phone.invited() else { panic!("it rings") };
    phone.companion.answer(call.clone()).expect("it rings");
    phone.await_told(|told| *told == CompanionTold::Accept { call: call.clone() });
    phone.companion.decline(call.clone(), DeclineHow::Busy).expect("it still rings");
    phone.await_told(|told| *told == CompanionTold::Refuse { call: call.clone(), status: 486 });
    assert_eq!(phone.invited(), CompanionInvite::Refuse { call: Some(call), status: 486 });
}

#[test]
fn a_hang_up_refuses_a_ringing_call_with_the_status_for_its_reason() {
    let phone = beside(Records::default(), vec![setup()]);
    let CompanionInvite::Ring { call, .. } = phone.invited() else { panic!("it rings") };
    phone.companion.hang_up(call.clone(), HangUp::Failed { status: 488 }).expect("it rings");
    phone.await_told(|told| *told == CompanionTold::Refuse { call: call.clone(), status: 488 });
}

#[test]
fn a_late_push_for_a_cancelled_call_does_not_ring() {
    let phone = beside(Records::default(), vec![setup()]);
    let CompanionInvite::Ring { call, .. } = phone.invited() else { panic!("it rings") };
    let reason = vec![header("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"")];
    assert_eq!(phone.companion.cancelled(call, reason), Ok(Some(EndReason::AnsweredElsewhere)));
    assert_eq!(phone.push().kind, PushKind::Ignore { reason: IgnoreReason::CallOver });
}

#[test]
fn a_call_without_an_invite_is_missed_by_itself() {
    let phone = beside(Records::default(), vec![setup()]);
    let policy = CallPolicy {
        window_ms: 50,
        ring_limit_ms: 180_000,
        mid_call_wakeups: false,
        session_progress: false,
        reconfirm: false,
    };
    phone.companion.set_call_policy(policy).expect("set");
    let call = phone.push().uuid;
    phone.await_told(|told| {
        let CompanionTold::Event { event: Event::Call { uuid, change, .. } } = told else { return false };
        *uuid == call && matches!(change, CallChange::Ended { reason: EndReason::Missed, .. })
    });
}

#[test]
fn a_log_out_is_pending_in_later_processes_until_an_answer_proves_it() {
    let store = Records::default();
    // X-MPUSH is left out: no list of Contacts shows what it says.
    let push = PushConfig { dialects: Some(vec![Dialect::Rfc8599]), ..PushConfig::plain(Provider::Fcm, "app") };
    let phone = beside(store.clone(), vec![AccountSetup { push: Some(push), ..setup() }]);
    phone.set_token();
    phone.register();
    assert_eq!(phone.companion.log_out(phone.alice.clone()), Ok(Kept::Durable));
    drop(phone);
    let later = beside(store.clone(), Vec::new());
    let pending = later.companion.pending().expect("readable");
    assert_eq!((pending.len(), pending[0].aor.as_str()), (1, "sip:alice@example.com"));
    assert!(matches!(pending[0].credentials, Credentials::Hashes { .. }), "no password is stored");
    later.await_told(is_register);
    assert_eq!(later.companion.register_tags(later.alice.clone()).expect("a removal").expires_seconds, 0);
    assert_eq!(later.register().next, CompanionNext::LoggedOut { removed: Removed::Proven });
    assert!(later.companion.pending().expect("readable").is_empty());
    drop(later);
    assert!(beside(store, Vec::new()).companion.pending().expect("readable").is_empty());
}

#[test]
fn an_impossible_request_is_a_typed_error_and_changes_nothing() {
    let phone = beside(Records::default(), vec![setup()]);
    let field = |error: SipWakeError| match error {
        SipWakeError::InvalidField { field, .. } => field,
        other => panic!("{other:?}"),
    };
    let unasked = phone.heard(200, Vec::new()).expect_err("no tags were taken");
    assert!(matches!(unasked, SipWakeError::NoSuchRegister { .. }), "{unasked:?}");
    assert_eq!(field(phone.heard(7, Vec::new()).expect_err("no status")), "status");
    assert_eq!(field(phone.heard(200, vec![header("X", "a\r\nY: b")]).expect_err("no header")), "headers");
    let contact = phone.companion.stands_at(phone.alice.clone(), "nowhere".to_owned());
    assert_eq!(field(contact.expect_err("no URI")), "contact");
    let lacking = phone.companion.invited(phone.alice.clone(), Vec::new());
    assert_eq!(field(lacking.expect_err("no From")), "headers");
    let nobody = phone.companion.register_tags("0123456789abcdef".to_owned());
    assert!(matches!(nobody.err(), Some(SipWakeError::NoSuchAccount { .. })));
    let unknown = phone.companion.answer("00000000-0000-0000-0000-000000000007".to_owned());
    assert!(matches!(unknown, Err(SipWakeError::NoSuchCall { .. })), "{unknown:?}");
    phone.companion.shutdown().expect("shut down");
    let late = phone.companion.pending().err();
    assert!(matches!(late, Some(SipWakeError::ShutDown { .. })), "{late:?}");
}

/// A store that calls its own companion, and reports the result.
struct Meddler(Arc<Mutex<Option<Arc<SipWakeCompanion>>>>, mpsc::Sender<SipWakeError>);

impl StateStore for Meddler {
    fn load(&self, _: String) -> Result<Option<Vec<u8>>, CallbackError> {
        Ok(None)
    }

    fn save(&self, _: String, _: Vec<u8>) -> Result<(), CallbackError> {
        let companion = self.0.lock().expect("not poisoned").clone();
        if let Some(Err(error)) = companion.map(|companion| companion.network_changed()) {
            self.1.send(error).expect("the test waits for it");
        }
        Ok(())
    }

    fn save_progress(&self, key: String, bytes: Vec<u8>) -> Result<(), CallbackError> {
        self.save(key, bytes)
    }

    fn remove(&self, _: String) -> Result<(), CallbackError> {
        Ok(())
    }
}

#[test]
fn a_store_that_calls_its_companion_gets_an_error_and_does_not_block() {
    let (own, (tell, refused)) = (Arc::new(Mutex::new(None)), mpsc::channel());
    let phone = beside(Meddler(own.clone(), tell), vec![setup()]);
    *own.lock().expect("not poisoned") = Some(phone.companion.clone());
    phone.set_token();
    let error = refused.recv_timeout(PATIENCE).expect("it was called");
    assert!(matches!(error, SipWakeError::Unavailable { .. }), "{error:?}");
    own.lock().expect("not poisoned").take();
}

/// Throws at the first order, and reports what it gets.
struct Broken(Mutex<bool>, mpsc::Sender<CompanionTold>);

impl CompanionListener for Broken {
    fn on_told(&self, told: CompanionTold) -> Result<(), CallbackError> {
        if !std::mem::replace(&mut *self.0.lock().expect("not poisoned"), true) {
            return Err(CallbackError::Failed { reason: "no network".into() });
        }
        let _ = self.1.send(told);
        Ok(())
    }
}

#[test]
fn a_listener_that_throws_gets_its_failure_and_later_events() {
    let companion = SipWakeCompanion::new(Box::new(Records::default()), vec![setup()]).expect("a companion");
    let (tell, told) = mpsc::channel();
    companion.listen(Box::new(Broken(Mutex::new(false), tell))).expect("a thread");
    let action = companion.push(call_push(), Channel::FcmAndroid, PushHints::default()).expect("total");
    let call = action.uuid;
    let failed = told.recv_timeout(PATIENCE).expect("it goes on");
    let CompanionTold::Event { event: Event::ListenerFailed { reason } } = failed else { panic!("not that") };
    assert_eq!(reason, "no network");
    companion.decline(call, DeclineHow::Busy).expect("announced");
    told.recv_timeout(PATIENCE).expect("and on");
}

#[test]
fn do_not_disturb_asks_for_a_register_without_push_and_survives_the_process() {
    let store = Records::default();
    let phone = beside(store.clone(), vec![setup()]);
    phone.set_token();
    phone.register();
    let until = 4_000_000_000_000;
    assert_eq!(phone.companion.set_do_not_disturb(phone.alice.clone(), Some(until)), Ok(Kept::Durable));
    phone.await_told(is_register);
    let tags = phone.companion.register_tags(phone.alice.clone()).expect("something to send");
    assert!(tags.expires_seconds > 0 && tags.tags.uri_params_text.is_empty());
    assert_eq!(phone.push().kind, PushKind::Ignore { reason: IgnoreReason::DoNotDisturb });
    drop(phone);
    let later = beside(store, vec![setup()]);
    assert_eq!(later.companion.do_not_disturb(later.alice.clone()), Ok(Some(until)));
    assert_eq!(later.push().kind, PushKind::Ignore { reason: IgnoreReason::DoNotDisturb });
    assert_eq!(later.companion.set_do_not_disturb(later.alice.clone(), None), Ok(Kept::Durable));
    assert_eq!(later.companion.do_not_disturb(later.alice.clone()), Ok(None));
    assert!(matches!(later.push().kind, PushKind::IncomingCall { .. }));
}
