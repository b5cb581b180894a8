//! Left gateways that are named in a record which could not be read at first.

use sipwake_core::account::Account;
use sipwake_core::push::Push;
use sipwake_core::snapshot::binding_key;
use sipwake_core::user_agent::Unreadable;

use super::*;

/// A process that starts while the store of an earlier one is shut, and adds the account.
fn shut(earlier: &Stage) -> Stage {
    let mut stage = Stage::without_account(std::collections::BTreeMap::new(), earlier.now, 7);
    (stage.store, stage.store_is_shut) = (earlier.store.clone(), true);
    stage.local.set_port(9070);
    let (account, push) = settings(Transport::Udp);
    let account = Account::parse(account).expect("valid");
    stage.key = account.key();
    for key in [REMOVALS, &binding_key(&stage.key)] {
        stage.agent.handle_loaded(key, Err(Unreadable::Shut), stage.now);
    }
    let push = push.map(|push| Push::parse(push).expect("valid"));
    stage.agent.add_account(account, push, None, stage.now).expect("there is room");
    stage.drain();
    stage
}

fn unlock(stage: &mut Stage) {
    stage.store_is_shut = false;
    stage.agent.store_available(stage.now);
    stage.drain();
}

/// Registers at the second gateway, because the first one refuses.
fn registered_at_the_second(stage: &mut Stage) -> Sent {
    let refused = stage.register();
    stage.reply(&refused, 503, &[]);
    let second = stage.one();
    assert_eq!(last_opened(stage), "b.example");
    grant_for_long(stage, &second);
    second
}

#[test]
fn a_record_read_during_a_removal_at_a_left_gateway_starts_no_second_register() {
    let mut earlier = two_gateways(Transport::Udp);
    let bound = earlier.register();
    grant_for_long(&mut earlier, &bound);
    let mut stage = shut(&earlier);
    let first = stage.register();
    grant_for_long(&mut stage, &first);
    registered_at_the_second(&mut stage);
    let removal = stage.one();
    assert_eq!((last_opened(&stage), removal.header("Expires")), ("a.example", Some("0")));
    unlock(&mut stage);
    assert!(!stage.up.contains(&removal.flow), "the flow of the one in flight is closed");
    while let Some(sent) = stage.sent.pop_front() {
        assert_ne!(sent.flow, removal.flow);
        grant_for_long(&mut stage, &sent);
    }
}

#[test]
fn a_log_out_before_the_record_is_read_reaches_the_gateway_named_in_it_even_after_a_kill() {
    let mut earlier = two_gateways(Transport::Udp);
    let bound = earlier.register();
    grant_for_long(&mut earlier, &bound);
    let mut stage = shut(&earlier);
    let second = registered_at_the_second(&mut stage);
    stage.log_out();
    stage.all();
    unlock(&mut stage);

    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    let here = later.one();
    assert_eq!((last_opened(&later), here.contact_uri()), ("b.example", second.contact_uri()));
    later.reply(&here, 200, &[]);
    assert!(!later.is_logged_out());
    taken_back(&mut later, &bound);
    assert!(later.is_logged_out());
}
