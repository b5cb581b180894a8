//! A store that answers later, as a browser's does.

use sipwake_core::account::Transport;
use sipwake_core::event::Event;

use crate::support::{Stage, over, seconds};

/// A client that asks to be registered, with a store that answers at once or later.
fn registering(asynchronous: bool) -> Stage {
    let mut stage = if asynchronous { Stage::with_asynchronous_store() } else { Stage::empty() };
    stage.agent.trace_received(true);
    stage.add(over(Transport::Tcp), None);
    stage.start_registering();
    stage
}

/// Registers through a challenge; an asynchronous store is given its time.
fn registered(asynchronous: bool) -> Stage {
    let mut stage = registering(asynchronous);
    stage.store_all();
    let request = stage.one();
    stage.reply(&request, 401, &["WWW-Authenticate: Digest realm=\"a\", nonce=\"n\", qop=\"auth\""]);
    stage.store_all();
    let request = stage.one();
    stage.ok(&request, &[]);
    stage.store_all();
    assert_eq!(stage.registrations().len(), 1, "{:?}", stage.events);
    stage
}

#[test]
fn the_same_life_is_led_with_a_store_that_answers_at_once_and_with_one_that_answers_later() {
    let lives = [false, true].map(|asynchronous| {
        let mut stage = registered(asynchronous);
        stage.advance(seconds(60));
        stage.log_out();
        stage.store_all();
        let removal = stage.one();
        assert_eq!(removal.header("Expires"), Some("0"));
        stage.ok(&removal, &[]);
        stage.store_all();
        assert!(stage.is_logged_out());
        assert_eq!(stage.received.len(), 3, "each answer is there to be traced");
        stage.store
    });
    assert_eq!(lives[0], lives[1]);
}

#[test]
fn nothing_is_sent_before_what_it_depends_on_is_stored() {
    let mut stage = registering(true);
    assert!(stage.sent.is_empty() && stage.storing.len() == 1);
    stage.advance(seconds(5));
    assert!(stage.sent.is_empty(), "whatever time it takes");
    stage.store_all();
    assert_eq!(stage.sent.len(), 1);
}

#[test]
fn what_a_store_refuses_or_never_answers_is_told_and_goes_out_all_the_same() {
    for answers in [true, false] {
        let mut stage = registering(true);
        if answers {
            stage.refuse_first();
        } else {
            stage.advance(seconds(10));
        }
        assert!(stage.events.iter().any(|event| matches!(event, Event::StoreFailed { .. })), "answers: {answers}");
        assert_eq!(stage.sent.len(), 1, "a phone that cannot store rings all the same");
        stage.storing.clear();
        stage.advance(seconds(20));
        assert!(!stage.storing.is_empty(), "it is to be stored again");
        stage.store_all();
        assert!(!stage.store.is_empty());
    }
}
