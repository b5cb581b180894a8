//! None yet, late, refreshed, the same again, null, wrong, unbound, bound again.

use sipwake_core::account::Transport;
use sipwake_core::push::{Dialect, Provider, PushToken, Standing};

use crate::support::{CHALLENGE, Stage, account, fcm, over, push_config, seconds};

#[test]
fn without_a_token_nothing_is_said_of_push_least_of_all_null() {
    for mut stage in [Stage::rfc8599(), Stage::mpush()] {
        let first = stage.register();
        assert!(!first.text.contains("pn-") && !first.text.contains("MPUSH"), "{first:?}");
        stage.ok(&first, &[]);
        assert_eq!(stage.last().verdict.standing, Standing::NotAsked);
        assert_eq!(stage.last().token, None);
    }
}

#[test]
fn a_late_token_is_sent_at_once_and_the_same_again_costs_nothing() {
    let mut stage = Stage::rfc8599();
    stage.registered();
    stage.advance(seconds(90));
    stage.set_token(fcm("a:1"));
    let bound = stage.one();
    assert!(bound.contact_uri().contains("pn-prid=a:1"));
    stage.ok(&bound, &[]);
    stage.set_token(fcm("a:1"));
    stage.silent();
    assert_eq!(stage.last().token, Some(fcm("a:1")));
}

#[test]
fn a_token_alone_registers_nobody() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    stage.network_changes();
    stage.push("{}");
    stage.advance(seconds(86_400));
    stage.silent();
    assert!(stage.opened.is_empty(), "no flow before register()");
    assert!(stage.register().contact_uri().contains("pn-prid=a:1"), "the token waited");
}

#[test]
fn a_token_that_means_none_never_replaces_a_good_one() {
    for none in ["", " ", "null", "(null)"] {
        assert_eq!(PushToken::parse(&Provider::Fcm, none).expect("ignored, no error"), None);
    }
    assert_eq!(PushToken::parse(&Provider::Apns, "xyz").expect_err("no hex").field, "push.token");
}

#[test]
fn a_token_during_a_register_goes_with_the_next_one() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.set_token(fcm("a:1"));
    stage.set_token(fcm("a:2"));
    stage.silent();
    stage.reply(&first, 401, &[CHALLENGE]);
    let second = stage.one();
    assert!(second.contact_uri().contains("pn-prid=a:2"), "the answer to a challenge takes it along: {second:?}");
    stage.ok(&second, &[]);
    stage.silent();
}

#[test]
fn a_token_that_came_and_went_during_a_register_costs_nothing() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.set_token(fcm("a:2"));
    stage.set_token(fcm("a:1"));
    stage.ok(&first, &[]);
    stage.silent();
}

#[test]
fn a_token_and_a_contact_that_change_together_leave_no_push_binding_behind() {
    let push = || Some(push_config(Provider::Fcm, &[Dialect::XMpush]));
    for answer in [200, 403, 500] {
        let mut before = Stage::new(over(Transport::Tls), push());
        before.set_token(fcm("a:1"));
        let bound = before.registered();
        let mut stage = before.restart(over(Transport::Tls), push());
        stage.local.set_port(6070);
        stage.set_token(fcm("a:2"));
        let removal = stage.one();
        assert_eq!(removal.header("Expires"), Some("0"));
        assert_eq!(removal.header("X-MPUSH"), Some("null"));
        assert_eq!(removal.header("X-PIID"), None);
        assert_eq!(removal.contact_uri(), bound.contact_uri());
        stage.reply(&removal, answer, &[]);
        let bind = stage.one();
        assert_eq!(bind.header("X-MPUSH"), Some("a:com.example.app:a:2"), "{answer}: it is asked for once");
        assert_ne!(bind.header("Expires"), Some("0"));
        assert!(bind.contact_uri().contains(":6070") && bind.cseq() > removal.cseq(), "{bind:?}");
        assert_eq!(bind.removed().contains(&bound.contact_uri()), answer != 200);
        stage.ok(&bind, &[]);
        stage.silent();
        assert!(stage.failures().is_empty() && !stage.is_logged_out());
        assert_eq!(stage.last().token, Some(fcm("a:2")));
    }
}

#[test]
fn a_token_or_a_contact_that_changes_alone_costs_one_request() {
    let push = || Some(push_config(Provider::Fcm, &[Dialect::XMpush]));
    for (port, text) in [(6070, "a:1"), (5070, "a:2")] {
        let mut before = Stage::new(over(Transport::Tls), push());
        before.set_token(fcm("a:1"));
        before.registered();
        let mut stage = before.restart(over(Transport::Tls), push());
        stage.local.set_port(port);
        stage.set_token(fcm(text));
        stage.agent.register(&stage.key.clone(), stage.now).expect("the account is there");
        stage.drain();
        let bind = stage.one();
        assert_ne!(bind.header("Expires"), Some("0"));
        stage.ok(&bind, &[]);
        stage.silent();
    }
}

#[test]
fn a_rotated_token_removes_the_old_binding_in_the_same_register() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let first = stage.registered();
    stage.set_token(fcm("a:2"));
    let second = stage.one();
    assert_eq!(second.removed(), [first.contact_uri()]);
    stage.ok(&second, &[]);
    stage.silent();
    assert_eq!(stage.register().removed(), Vec::<&str>::new(), "the 200 did not list it any more");
}

#[test]
fn the_old_binding_is_removed_also_when_the_clock_was_set_meanwhile() {
    for wall in [0, 4_000_000_000] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        let first = stage.registered();
        stage.now.wall = seconds(wall);
        stage.set_token(fcm("a:2"));
        assert_eq!(stage.one().removed(), [first.contact_uri()], "wall clock at {wall}");
    }
}

#[test]
fn an_old_contact_that_is_listed_still_is_removed_again_but_not_for_ever() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let first = stage.registered();
    stage.set_token(fcm("a:2"));
    let lingering = format!("Contact: {};expires=3000", first.contact());
    for _ in 0..20 {
        let Some(next) = stage.sent.pop_front() else { break };
        assert_eq!(next.removed(), [first.contact_uri()]);
        stage.ok(&next, &[&lingering]);
    }
    stage.silent();
    assert!((2..=4).contains(&(stage.registrations().len() - 1)), "{}", stage.registrations().len());
    stage.advance(seconds(3000));
    stage.silent();
}

#[test]
fn a_server_that_rewrites_our_address_is_not_asked_to_remove_it() {
    for instance in [None, Some("urn:uuid:1".to_owned())] {
        let config = account(|config| config.instance_id = instance.clone());
        let mut stage = Stage::new(config, Some(push_config(Provider::Fcm, &[Dialect::Rfc8599])));
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        let seen = first.contact().replace("192.0.2.10:5070", "203.0.113.7:40123");
        stage.reply(&first, 200, &[&format!("Contact: {seen};expires=120")]);
        stage.silent();
        assert_eq!(stage.last().expires, seconds(120), "its lifetime is ours");
        stage.advance(seconds(108));
        let refresh = stage.one();
        assert_eq!(refresh.removed(), Vec::<&str>::new());
    }
}

#[test]
fn an_unbound_token_is_taken_away_and_bound_again_on_wish() {
    let mut stage = Stage::mpush();
    stage.set_token(fcm("a:1"));
    stage.registered();
    stage.unbind();
    let null = stage.one();
    assert_eq!(null.header("X-MPUSH"), Some("null"));
    assert_ne!(null.header("Expires"), Some("0"), "he stays registered");
    stage.ok(&null, &[]);
    stage.unbind();
    stage.silent();
    stage.push("{\"ntype\":\"0\",\"nfrom\":\"1\"}");
    stage.silent();
    assert!(stage.calls().is_empty(), "no sound after an unbind");
    stage.advance(seconds(3480));
    let refresh = stage.one();
    assert_eq!(refresh.header("X-MPUSH"), Some("null"));
    stage.ok(&refresh, &[]);
    stage.set_token(fcm("a:1"));
    assert_eq!(stage.one().header("X-MPUSH"), Some("a:com.example.app:a:1"));
}

#[test]
fn an_unbind_before_the_first_register_of_a_new_process_is_delivered() {
    let mut first = Stage::mpush();
    first.set_token(fcm("a:1"));
    first.registered();
    let push = push_config(Provider::Fcm, &[Dialect::XMpush]);
    let mut second = first.restart(account(|_| {}), Some(push.clone()));
    second.unbind();
    assert_eq!(second.one().header("X-MPUSH"), Some("null"));

    let mut third = second.restart(account(|_| {}), Some(push));
    assert_eq!(third.register().header("X-MPUSH"), Some("null"), "the wish survives a kill");
}

#[test]
fn x_piid_goes_with_the_first_register_after_a_restart() {
    let config = account(|config| config.allow_cleartext_secrets = true);
    let push = push_config(Provider::Fcm, &[Dialect::XMpush]);
    let mut first = Stage::new(config.clone(), Some(push.clone()));
    first.set_token(fcm("a:1"));
    let bound = first.registered();
    let mut second = first.restart(config, Some(push));
    let again = second.register();
    assert!(again.header("X-PIID").is_some());
    assert_eq!(again.header("X-PIID"), bound.header("X-PIID"));
    assert_eq!(again.header("X-MPUSH"), bound.header("X-MPUSH"));
}

#[test]
fn a_process_started_by_the_provider_for_a_new_token_sends_it_at_once() {
    let mut first = Stage::rfc8599();
    first.set_token(fcm("a:1"));
    let bound = first.registered();
    let push = push_config(Provider::Fcm, &[Dialect::Rfc8599]);
    let mut second = first.restart(account(|_| {}), Some(push));
    second.set_token(fcm("a:1"));
    second.silent();
    second.set_token(fcm("a:2"));
    let sent = second.one();
    assert!(sent.contact_uri().contains("pn-prid=a:2"));
    assert_eq!(sent.removed(), [bound.contact_uri()]);
}
