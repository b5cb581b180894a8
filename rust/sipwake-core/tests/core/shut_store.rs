//! A store that cannot be read yet, as before the first unlock. It is not empty.

use sipwake_core::account::Account;
use sipwake_core::event::{Event, Removed};
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::push::{Dialect, PortSipHeader, Provider, Push, PushConfig};
use sipwake_core::snapshot::{REMOVALS, binding_key};
use sipwake_core::user_agent::Unreadable;

use crate::support::{CHALLENGE, Sent, Stage, account, fcm, mpush, push_config, rfc8599, seconds};

/// A process that starts while the store of an earlier one is shut.
fn shut(earlier: &Stage) -> Stage {
    let mut stage = Stage::without_account(std::collections::BTreeMap::new(), earlier.now, 7);
    (stage.store, stage.store_is_shut) = (earlier.store.clone(), true);
    stage.agent.handle_loaded(REMOVALS, Err(Unreadable::Shut), stage.now);
    stage.drain();
    stage
}

impl Stage {
    /// Adds the account as the app does while the record cannot be read.
    fn add_unread(&mut self) {
        self.add_unread_with(mpush());
    }

    fn add_unread_with(&mut self, push: Option<PushConfig>) {
        let account = Account::parse(account(|_| {})).expect("valid");
        self.key = account.key();
        self.agent.handle_loaded(&binding_key(&self.key), Err(Unreadable::Shut), self.now);
        let push = push.map(|push| Push::parse(push).expect("valid"));
        self.agent.add_account(account, push, None, self.now).expect("there is room");
        self.drain();
    }

    fn unlock(&mut self) {
        self.store_is_shut = false;
        self.agent.store_available(self.now);
        self.drain();
    }

    fn told_durable(&self) -> usize {
        self.events.iter().filter(|event| **event == Event::Durable).count()
    }
}

/// A log-out that the server has not confirmed.
fn pending() -> Stage {
    let mut stage = Stage::bound();
    stage.opens = false;
    stage.network_changes();
    stage.log_out();
    assert!(stage.store.contains_key(REMOVALS));
    stage
}

#[test]
fn a_pending_log_out_continues_once_the_store_can_be_read() {
    let earlier = pending();
    let mut stage = shut(&earlier);
    stage.advance(seconds(600));
    stage.silent();
    assert_eq!(stage.store, earlier.store, "an unread record must not be overwritten");
    stage.unlock();
    let removal = stage.one();
    assert_eq!(removal.header("Expires"), Some("0"));
    stage.ok(&removal, &[]);
    assert!(stage.events.iter().any(|event| matches!(event, Event::LoggedOut { .. })));
}

#[test]
fn a_shut_store_is_read_again_with_back_off_until_it_opens() {
    let mut stage = shut(&pending());
    stage.advance(seconds(130));
    stage.store_is_shut = false;
    stage.advance(seconds(60));
    let sent = stage.all();
    assert!(
        !sent.is_empty() && sent.iter().all(|sent| sent.header("Expires") == Some("0")),
        "although the app did not say so"
    );
    assert!(!stage.events.iter().any(|event| matches!(event, Event::StoreFailed { .. })), "this was expected");
}

#[test]
fn another_users_log_out_meanwhile_does_not_drop_a_pending_one() {
    let mut stage = shut(&pending());
    let mut other = account(|config| config.aor = "sip:bob@example.com".into());
    other.auth_user = None;
    let bob = Account::parse(other).expect("valid");
    stage.key = bob.key();
    stage.agent.handle_loaded(&binding_key(&stage.key), Err(Unreadable::Shut), stage.now);
    stage.agent.add_account(bob, None, None, stage.now).expect("there is room");
    stage.drain();
    let first = stage.register();
    stage.ok(&first, &[]);
    stage.opens = false;
    stage.network_changes();
    stage.log_out();
    assert!(!stage.agent.is_durable());
    stage.unlock();
    assert!(stage.agent.is_durable());
    assert_eq!(stage.told_durable(), 1);
    let removals = String::from_utf8(stage.store[REMOVALS].clone()).expect("JSON");
    assert!(removals.contains("alice@") && removals.contains("bob@"), "{removals}");
}

#[test]
fn an_earlier_binding_is_removed_even_if_its_record_is_read_late() {
    let earlier = Stage::bound();
    let mut stage = shut(&earlier);
    stage.local = "192.0.2.77:5077".parse().expect("an address");
    stage.add_unread();
    stage.set_token(fcm("a:2"));
    assert!(!stage.agent.is_durable());
    let register = stage.register();
    stage.ok(&register, &[]);
    stage.silent();
    stage.unlock();
    let cleanup = stage.one();
    assert_eq!(cleanup.header("Call-ID"), register.header("Call-ID"));
    let removed = cleanup.text.lines().filter(|line| line.starts_with("Contact:") && line.ends_with(";expires=0"));
    assert_eq!(removed.count(), 1, "{}", cleanup.text);
    let record = String::from_utf8(stage.store[&binding_key(&stage.key)].clone()).expect("JSON");
    assert!(record.contains("a:2"), "the new token is stored by now");
    assert_eq!(stage.told_durable(), 1);
}

#[test]
fn a_record_read_late_brings_back_nothing_that_was_learnt_in_the_clear() {
    let mut earlier = Stage::rfc8599();
    earlier.set_token(fcm("a:1"));
    let first = earlier.register();
    earlier.reply(&first, 555, &[]);
    let second = earlier.one();
    assert!(!second.contact().contains("pn-"));
    earlier.ok(&second, &[]);
    let mut stage = shut(&earlier);
    stage.add_unread_with(rfc8599());
    stage.unlock();
    assert!(stage.register().contact().contains("pn-"));
}

#[test]
fn a_log_out_delivered_before_the_record_is_read_later_removes_the_bindings_in_the_record() {
    let earlier = Stage::bound();
    let mut stage = shut(&earlier);
    stage.local = "192.0.2.77:5077".parse().expect("an address");
    stage.add_unread();
    let register = stage.register();
    stage.ok(&register, &[]);
    stage.log_out();
    let removal = stage.one();
    stage.ok(&removal, &[]);
    let told = |event: &Event| matches!(event, Event::LoggedOut { removed: Removed::Accepted, .. });
    assert!(stage.events.iter().any(told), "an unreadable list proves nothing");
    stage.unlock();
    let second = stage.one();
    assert_eq!(second.header("Expires"), Some("0"));
    assert!(stage.store.contains_key(REMOVALS), "until it is delivered");
}

#[test]
fn a_refusal_before_the_record_is_read_is_not_final() {
    let earlier = Stage::bound();
    let mut stage = shut(&earlier);
    stage.add_unread();
    let register = stage.register();
    stage.reply(&register, 403, &[]);
    assert!(matches!(stage.failures()[..], [(_, None)]), "{:?}", stage.failures());
    stage.advance(seconds(600));
    stage.silent();
    stage.unlock();
    assert!(stage.one().is_register(), "the record says that these credentials once worked");
}

#[test]
fn a_push_rings_while_the_list_of_logged_out_users_cannot_be_read() {
    let rings = |stage: &Stage| {
        let hints = Hints::at(stage.now);
        let push = parse_push(r#"{"ntype":"0","nfrom":"1234","ncallid":"c1"}"#, Channel::FcmAndroid, &hints);
        stage.agent.gate().judge(push, &hints, stage.now.boot).is_call()
    };
    let mut stage = shut(&pending());
    assert!(rings(&stage));
    stage.unlock();
    assert!(!rings(&stage), "it is now known that nobody is logged in");
}

/// What an earlier process sent to the server in another dialect than the app uses today.
fn said_in(dialect: Dialect) -> Stage {
    let mut earlier = Stage::new(account(|_| {}), Some(push_config(Provider::Fcm, &[dialect])));
    earlier.set_token(fcm("a:1"));
    earlier.registered();
    earlier
}

/// Whether a removal removes what was sent in a dialect.
fn takes_back(sent: &Sent, dialect: Dialect) -> bool {
    sent.header("Expires") == Some("0")
        && match dialect {
            Dialect::XMpush => sent.header("X-MPUSH") == Some("null"),
            _ => sent.header("X-Push").is_some_and(|value| value.contains("allow-call-push=false")),
        }
}

#[test]
fn an_earlier_push_binding_is_removed_in_its_dialect_even_if_its_record_is_read_late() {
    for dialect in [Dialect::XMpush, Dialect::PortSip(PortSipHeader::XPush)] {
        // The record is read before anything is sent, while the REGISTER is in flight, after its response, and after a
        // log-out.
        for moment in 0..4 {
            let mut stage = shut(&said_in(dialect));
            stage.local = "192.0.2.77:5077".parse().expect("an address");
            stage.add_unread_with(rfc8599());
            stage.set_token(fcm("a:2"));
            let mut taken_back = 0;
            if moment == 0 {
                stage.unlock();
            }
            stage.start_registering();
            if moment == 1 {
                stage.unlock();
            }
            let answer = |stage: &mut Stage, taken_back: &mut usize| {
                while let Some(sent) = stage.sent.pop_front() {
                    *taken_back += usize::from(takes_back(&sent, dialect));
                    stage.ok(&sent, &[]);
                }
            };
            answer(&mut stage, &mut taken_back);
            if moment == 3 {
                stage.log_out();
                answer(&mut stage, &mut taken_back);
                taken_back = 0;
            }
            if moment >= 2 {
                stage.unlock();
                answer(&mut stage, &mut taken_back);
            }
            assert!(taken_back > 0, "{dialect:?}, moment {moment}");
            if moment < 3 {
                let mut later = stage.restart(account(|_| {}), rfc8599());
                later.silent();
                assert!(later.register().contact_uri().contains("a:2"), "and the new one is bound");
            }
        }
    }
}

#[test]
fn a_pending_log_out_cancelled_before_it_could_be_read_does_not_continue_in_a_later_process() {
    let earlier = pending();
    let mut stage = shut(&earlier);
    stage.add_unread();
    let register = stage.register();
    stage.ok(&register, &[]);
    stage.unlock();
    while let Some(sent) = stage.sent.pop_front() {
        assert_ne!(sent.header("Expires"), Some("0"), "{sent:?}");
        stage.ok(&sent, &[]);
    }
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    later.advance(seconds(60));
    later.silent();
    later.add(account(|_| {}), mpush());
    assert_eq!(later.register().header("Call-ID"), register.header("Call-ID"));
}

#[test]
fn a_log_out_before_the_record_is_read_is_delivered_later_in_the_realm_from_the_record() {
    let earlier = Stage::bound();
    let mut stage = shut(&earlier);
    stage.opens = false;
    stage.add_unread();
    stage.start_registering();
    stage.log_out();
    stage.unlock();
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    while let Some(sent) = later.sent.pop_front() {
        assert_eq!(sent.header("Expires"), Some("0"));
        let known = sent.auth("nonce") == Some("n2");
        later.reply(&sent, if known { 200 } else { 401 }, &[&CHALLENGE.replace("n1", "n2")]);
    }
    assert!(later.is_logged_out(), "{:?}", later.failures());
}
