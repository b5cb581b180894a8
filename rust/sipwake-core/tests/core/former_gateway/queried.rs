//! A gateway that accepted a capability query, and with it our Contact.

use super::*;

fn queries(stage: &mut Stage) -> Sent {
    stage.agent.query_push(&stage.key.clone(), None, stage.now).expect("the account is there");
    stage.drain();
    let query = stage.one();
    assert!(query.header("Expires") != Some("0") && !query.contact_uri().contains("pn-prid"), "{query:?}");
    query
}

fn register(stage: &mut Stage) {
    stage.agent.register(&stage.key.clone(), stage.now).expect("the account is there");
    stage.drain();
}

/// The gateway asked says nothing. Returns the first REGISTER at another one.
fn is_silent(stage: &mut Stage) -> Sent {
    let asked = last_opened(stage).to_owned();
    for _ in 0..300 {
        stage.sent.clear();
        stage.advance(seconds(1));
        if last_opened(stage) != asked {
            return stage.all().pop().expect("it is asked");
        }
    }
    panic!("no other gateway is asked");
}

#[test]
fn the_contact_of_a_query_is_removed_where_the_account_does_not_register() {
    for registered in [true, false] {
        let mut stage = two_gateways(Transport::Udp);
        if registered {
            let first = stage.register();
            grant_for_long(&mut stage, &first);
        }
        let first = queries(&mut stage);
        if !registered {
            register(&mut stage);
        }
        let query = is_silent(&mut stage);
        assert_eq!((last_opened(&stage), query.contact_uri()), ("b.example", first.contact_uri()));
        stage.reply(&query, 200, &[&format!("Contact: <{}>;expires=3600", query.contact_uri())]);
        let bind = stage.one();
        assert_eq!(last_opened(&stage), "b.example", "{bind:?}");
        let again = is_silent(&mut stage);
        assert_eq!(last_opened(&stage), "a.example", "registered before: {registered}");
        grant_for_long(&mut stage, &again);
        let removal = stage.one();
        assert_eq!(
            (last_opened(&stage), removal.contact_uri(), removal.header("Expires")),
            ("b.example", query.contact_uri(), Some("0")),
            "registered before: {registered}"
        );
        stage.reply(&removal, 200, &[]);
        let bind = stage.one();
        assert_eq!(bind.flow, again.flow, "the gateways may share a registrar");
        grant_for_long(&mut stage, &bind);
        stage.log_out();
        let last = stage.one();
        stage.reply(&last, 200, &[]);
        assert!(stage.is_logged_out(), "registered before: {registered}");
    }
}

#[test]
fn the_gateway_that_answers_a_query_and_the_register_is_asked_nothing_else() {
    let mut stage = two_gateways(Transport::Udp);
    let query = queries(&mut stage);
    register(&mut stage);
    stage.reply(&query, 200, &[]);
    let bind = stage.one();
    grant_for_long(&mut stage, &bind);
    stage.advance(seconds(600));
    stage.silent();
}

#[test]
fn a_query_without_a_registration_is_taken_back_by_a_later_log_out() {
    let mut stage = two_gateways(Transport::Udp);
    let query = queries(&mut stage);
    stage.reply(&query, 200, &[&format!("Contact: <{}>;expires=3600", query.contact_uri())]);
    let removal = stage.one();
    assert_eq!(removal.header("Expires"), Some("0"));
    let removal = is_silent(&mut stage);
    assert_eq!((last_opened(&stage), removal.header("Expires")), ("b.example", Some("0")));
    stage.reply(&removal, 200, &[]);
    stage.advance(seconds(600));
    stage.silent();

    let mut later = killed(&stage);
    later.log_out();
    let removal = later.one();
    assert_eq!((last_opened(&later), removal.header("Expires")), ("a.example", Some("0")));
    assert!(
        removal.contact_uri() == query.contact_uri() || removal.removed().contains(&query.contact_uri()),
        "{removal:?}"
    );
    later.reply(&removal, 200, &[]);
    assert!(later.is_logged_out());
}
