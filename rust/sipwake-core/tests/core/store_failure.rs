//! A store that refuses everything for a while. The app learns of it, and no command is lost.

use sipwake_core::event::Event;
use sipwake_core::snapshot::{REMOVALS, binding_key};

use crate::support::{CHALLENGE, Sent, Stage, account, fcm, mpush, seconds};

fn refused(stage: &Stage) -> Vec<&str> {
    let told = stage.events.iter().filter_map(|event| match event {
        Event::StoreFailed { key, .. } => Some(key.as_str()),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_token_that_could_not_be_stored_is_still_sent_and_stored_later() {
    let mut stage = Stage::bound();
    let before = stage.store.clone();
    stage.store_refuses = true;
    stage.set_token(fcm("a:2"));
    let request = stage.one();
    assert!(request.header("X-MPUSH").is_some_and(|value| value.ends_with("a:2")));
    stage.ok(&request, &[]);
    let own = binding_key(&stage.key);
    assert!(refused(&stage).iter().all(|key| *key == own) && !refused(&stage).is_empty());
    assert_eq!(stage.store, before);

    stage.advance(seconds(3));
    stage.store_refuses = false;
    stage.advance(seconds(600));
    let record = String::from_utf8(stage.store[&own].clone()).expect("JSON");
    assert!(record.contains("a:2"), "stored again: {record}");
    let told = refused(&stage).len();
    stage.advance(seconds(3000));
    assert_eq!(refused(&stage).len(), told);
}

#[test]
fn a_log_out_that_could_not_be_stored_is_delivered_and_stored_once_the_store_works() {
    let mut stage = Stage::bound();
    stage.opens = false;
    stage.network_changes();
    stage.store_refuses = true;
    stage.log_out();
    let own = binding_key(&stage.key);
    assert!(refused(&stage).contains(&REMOVALS) && refused(&stage).contains(&own.as_str()));
    assert!(!stage.store.contains_key(REMOVALS) && stage.store.contains_key(&own));
    stage.advance(seconds(60));
    assert!(refused(&stage).len() > 4, "reported each time: {:?}", refused(&stage));

    stage.store_refuses = false;
    stage.advance(seconds(600));
    assert!(stage.store.contains_key(REMOVALS) && !stage.store.contains_key(&own));
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    assert_eq!(later.one().header("Expires"), Some("0"));
}

#[test]
fn a_record_that_could_not_be_removed_is_not_used_at_the_next_log_in() {
    let mut stage = Stage::bound();
    stage.store_refuses = true;
    stage.log_out();
    let removal = stage.one();
    stage.ok(&removal, &[]);
    assert!(stage.is_logged_out() && stage.store.contains_key(&binding_key(&stage.key)));
    stage.add(account(|_| {}), mpush());
    let again = stage.register();
    assert_ne!(again.header("Call-ID"), removal.header("Call-ID"), "its CSeqs may have been used");
}

#[test]
fn a_process_after_one_that_could_not_store_its_numbers_catches_up_with_the_server() {
    let mut stage = Stage::bound();
    let stored = stage.store.clone();
    stage.store_refuses = true;
    for _ in 0..40 {
        let request = stage.register();
        stage.ok(&request, &[]);
    }
    let last = stage.register();
    stage.store = stored;
    let mut later = stage.restart(account(|_| {}), mpush());
    let refused = later.register();
    assert_eq!(refused.header("Call-ID"), last.header("Call-ID"));
    assert!(refused.cseq() <= last.cseq(), "{} after {}", refused.cseq(), last.cseq());
    later.reply(&refused, 500, &[]);
    let bare = later.one();
    assert_eq!(bare.header("Authorization"), None, "it may have been the nonce");
    later.reply(&bare, 500, &[]);
    later.advance(seconds(60));
    assert!(later.all()[0].cseq() > last.cseq());
}

#[test]
fn a_record_is_stored_once_before_a_register_and_only_if_it_must_be() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    assert_eq!(stage.saves, 1, "its numbers");
    stage.reply(&first, 401, &[CHALLENGE]);
    let second = stage.one();
    assert_eq!(stage.saves, 2, "the nonce and its counts");
    stage.ok(&second, &[]);
    assert_eq!(stage.saves, 3, "the binding");
    stage.register();
    assert_eq!(stage.saves, 3, "its numbers are already reserved");
}

#[test]
fn no_nonce_count_is_used_twice_if_the_process_is_killed_between_a_register_and_its_response() {
    let count = |sent: &Sent| u32::from_str_radix(sent.auth("nc").expect("it counts"), 16).expect("a nonce count");
    let mut stage = Stage::new(account(|_| {}), None);
    stage.registered();
    for _ in 0..20 {
        let request = stage.register();
        let mut next = stage.restart(account(|_| {}), None);
        assert!(count(&next.register()) > count(&request), "{request:?}");
        stage.ok(&request, &[]);
    }
}
