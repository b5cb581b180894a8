//! A second driver, written from the contract alone, with a store that answers at once or later.

mod driver;

use std::collections::BTreeMap;
use std::time::Duration;

use driver::Driver;
use sipwake_core::account::{Account, AccountConfig, AccountKey, Transport};
use sipwake_core::event::Event;

fn log_in(driver: &mut Driver) -> AccountKey {
    let mut config = AccountConfig::new("sip:alice@example.com", "secret");
    config.transport = Some(Transport::Tcp);
    let account = Account::parse(config).expect("a sound account");
    let key = driver.agent.add_account(account, None, None, driver.now).expect("there is room");
    driver.agent.register(&key, driver.now).expect("it was just added");
    driver.drain();
    key
}

fn contact(request: &str) -> &str {
    request.split("\r\n").find_map(|line| line.strip_prefix("Contact: ")).expect("a Contact")
}

/// Registers through a challenge; an asynchronous store is given its time.
fn registered(asynchronous: bool) -> (Driver, AccountKey) {
    let mut driver = Driver::new(BTreeMap::new(), asynchronous);
    let key = log_in(&mut driver);
    driver.store_all();
    driver.answer("401 Unauthorized", "WWW-Authenticate: Digest realm=\"a\", nonce=\"n\", qop=\"auth\"\r\n");
    driver.store_all();
    let request = driver.sent.last().expect("it answers").1.clone();
    driver.answer("200 OK", &format!("Contact: {};expires=3600\r\n", contact(&request)));
    driver.store_all();
    assert!(driver.events.iter().any(|event| matches!(event, Event::Registered { .. })), "{:?}", driver.events);
    (driver, key)
}

#[test]
fn the_same_life_is_led_with_a_store_that_answers_at_once_and_with_one_that_answers_later() {
    let lives = [false, true].map(|asynchronous| {
        let (mut driver, key) = registered(asynchronous);
        driver.pass(Duration::from_secs(60));
        driver.agent.log_out(&key, driver.now).expect("it is there");
        driver.drain();
        driver.store_all();
        let removal = driver.answer("200 OK", "");
        driver.store_all();
        assert!(removal.contains("\r\nExpires: 0\r\n"), "{removal}");
        assert!(driver.events.iter().any(|event| matches!(event, Event::LoggedOut { .. })));
        assert_eq!(driver.received.len(), 3, "each answer is there to be traced");
        driver.store
    });
    assert_eq!(lives[0], lives[1]);
}

#[test]
fn nothing_is_sent_before_what_it_depends_on_is_stored() {
    let mut driver = Driver::new(BTreeMap::new(), true);
    log_in(&mut driver);
    assert!(driver.sent.is_empty() && driver.storing.len() == 1);
    driver.pass(Duration::from_secs(5));
    assert!(driver.sent.is_empty(), "whatever time it takes");
    driver.store_all();
    assert_eq!(driver.sent.len(), 1);
}

#[test]
fn what_a_store_refuses_or_never_answers_is_told_and_goes_out_all_the_same() {
    for answers in [true, false] {
        let mut driver = Driver::new(BTreeMap::new(), true);
        log_in(&mut driver);
        if answers {
            driver.refuse();
        } else {
            driver.pass(Duration::from_secs(10));
        }
        assert!(driver.events.iter().any(|event| matches!(event, Event::StoreFailed { .. })), "answers: {answers}");
        assert_eq!(driver.sent.len(), 1, "a phone that cannot store rings all the same");
        driver.storing.clear();
        driver.pass(Duration::from_secs(20));
        assert!(!driver.storing.is_empty(), "it is to be stored again");
        driver.store_all();
        assert!(!driver.store.is_empty());
    }
}
