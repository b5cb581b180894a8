//! A store that answers later, as a browser's does.

use sipwake_core::account::Transport;
use sipwake_core::event::Event;

use crate::support::{Stage, over, seconds};

/// A client that was asked to register, with a store that answers at once or later.
fn registering(asynchronous: bool) -> Stage {
    let mut stage = if asynchronous { Stage::with_asynchronous_store() } else { Stage::empty() };
    stage.agent.trace_received(true);
    stage.add(over(Transport::Tcp), None);
    stage.start_registering();
    stage
}

/// Registers through a challenge. An asynchronous store gets its time.
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
fn a_slow_store_ends_with_the_same_records_as_one_that_answers_at_once() {
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
    assert!(stage.sent.is_empty(), "no matter how long it takes");
    stage.store_all();
    assert_eq!(stage.sent.len(), 1);
}

#[test]
fn a_record_that_the_store_refuses_or_never_confirms_is_reported_and_the_request_still_goes_out() {
    for answers in [true, false] {
        let mut stage = registering(true);
        if answers {
            stage.refuse_first();
        } else {
            stage.advance(seconds(10));
        }
        assert!(stage.events.iter().any(|event| matches!(event, Event::StoreFailed { .. })), "answers: {answers}");
        assert_eq!(stage.sent.len(), 1, "a phone that cannot store still rings");
        stage.storing.clear();
        stage.advance(seconds(20));
        assert!(!stage.storing.is_empty(), "it must be stored again");
        stage.store_all();
        assert!(!stage.store.is_empty());
    }
}
