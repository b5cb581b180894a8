//! The life of a token: none yet, late, refreshed, the same again, null, wrong, unbound, bound again.

use sipwake_core::account::Transport;
use sipwake_core::push::{Dialect, Dialects, Provider, PushToken, Standing};

use crate::support::{CHALLENGE, Stage, account, fcm, mpush, over, push_config, rfc8599, seconds};

#[test]
fn without_a_token_nothing_is_sent_about_push_and_no_null() {
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
fn a_token_alone_registers_no_account() {
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
fn a_token_that_means_none_never_replaces_a_valid_one() {
    for none in ["", " ", "null", "(null)"] {
        assert_eq!(PushToken::parse(&Provider::Fcm, none).expect("ignored, no error"), None);
    }
    assert!(PushToken::parse(&Provider::Apns, "xyz").expect("opaque").is_some(), "no provider promised hexadecimal");
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
    assert!(
        second.contact_uri().contains("pn-prid=a:2"),
        "the REGISTER with credentials has the new token: {second:?}"
    );
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
    for answer in [200, 403, 500] {
        let mut before = Stage::new(over(Transport::Tls), mpush());
        before.set_token(fcm("a:1"));
        let bound = before.registered();
        let mut stage = before.restart(over(Transport::Tls), mpush());
        stage.local.set_port(6070);
        stage.set_token(fcm("a:2"));
        let removal = stage.one();
        assert_eq!(removal.header("Expires"), Some("0"));
        assert_eq!(removal.header("X-MPUSH"), Some("null"));
        assert_eq!(removal.header("X-PIID"), None);
        assert_eq!(removal.contact_uri(), bound.contact_uri());
        stage.reply(&removal, answer, &[]);
        let mut bind = stage.one();
        if answer != 200 {
            assert_eq!(
                (bind.header("X-MPUSH"), bind.header("Authorization")),
                (Some("null"), None),
                "perhaps the nonce"
            );
            stage.reply(&bind, answer, &[]);
            bind = stage.one();
        }
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
fn an_old_contact_still_listed_after_its_removal_is_removed_beside_the_new_one() {
    let mut before = Stage::new(over(Transport::Tls), mpush());
    before.set_token(fcm("a:1"));
    let bound = before.registered();
    let mut stage = before.restart(over(Transport::Tls), mpush());
    stage.local.set_port(6070);
    stage.set_token(fcm("a:2"));
    let removal = stage.one();
    assert_eq!((removal.header("Expires"), removal.contact_uri()), (Some("0"), bound.contact_uri()));
    stage.reply(&removal, 200, &[&format!("Contact: {};expires=3000", bound.contact())]);
    let bind = stage.one();
    assert_eq!(bind.removed(), [bound.contact_uri()]);
    stage.ok(&bind, &[]);
    stage.silent();
}

#[test]
fn a_token_or_a_contact_that_changes_alone_costs_one_request() {
    for (port, text) in [(6070, "a:1"), (5070, "a:2")] {
        let mut before = Stage::new(over(Transport::Tls), mpush());
        before.set_token(fcm("a:1"));
        before.registered();
        let mut stage = before.restart(over(Transport::Tls), mpush());
        stage.local.set_port(port);
        stage.set_token(fcm(text));
        stage.start_registering();
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
    assert_eq!(stage.register().removed(), Vec::<&str>::new(), "the 200 no longer listed it");
}

#[test]
fn the_old_binding_is_removed_even_if_the_clock_was_set_meanwhile() {
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
fn an_old_contact_that_stays_listed_is_removed_again_but_not_for_ever() {
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
        let mut stage = Stage::new(config, rfc8599());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        let seen = first.contact().replace("192.0.2.10:5070", "203.0.113.7:40123");
        stage.reply(&first, 200, &[&format!("Contact: {seen};expires=120")]);
        stage.silent();
        assert_eq!(stage.last().expires, seconds(120), "it has the lifetime of our Contact");
        stage.advance(seconds(108));
        let refresh = stage.one();
        assert_eq!(refresh.removed(), Vec::<&str>::new());
    }
}

#[test]
fn an_unbound_token_is_removed_and_bound_again_on_command() {
    let mut stage = Stage::bound();
    stage.unbind();
    let null = stage.one();
    assert_eq!(null.header("X-MPUSH"), Some("null"));
    assert_ne!(null.header("Expires"), Some("0"), "the user stays registered");
    stage.ok(&null, &[]);
    stage.unbind();
    stage.silent();
    stage.push("{\"ntype\":\"0\",\"nfrom\":\"1\"}");
    stage.silent();
    assert!(stage.calls().is_empty(), "no push makes a sound after an unbind");
    stage.advance(seconds(3480));
    let refresh = stage.one();
    assert_eq!(refresh.header("X-MPUSH"), Some("null"));
    stage.ok(&refresh, &[]);
    stage.set_token(fcm("a:1"));
    assert_eq!(stage.one().header("X-MPUSH"), Some("a:com.example.app:a:1"));
}

#[test]
fn an_unbind_before_the_first_register_of_a_new_process_is_delivered() {
    let mut second = Stage::bound().restart(account(|_| {}), mpush());
    second.unbind();
    assert_eq!(second.one().header("X-MPUSH"), Some("null"));

    let mut third = second.restart(account(|_| {}), mpush());
    assert_eq!(third.register().header("X-MPUSH"), Some("null"), "the command survives a kill");
}

#[test]
fn x_piid_goes_with_the_first_register_after_a_restart() {
    let config = account(|config| {
        config.allow_cleartext_secrets = true;
        config.send_piid = Some(true);
    });
    let mut first = Stage::new(config.clone(), mpush());
    first.set_token(fcm("a:1"));
    let bound = first.registered();
    let mut second = first.restart(config, mpush());
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
    let mut second = first.restart(account(|_| {}), rfc8599());
    second.set_token(fcm("a:1"));
    second.silent();
    second.set_token(fcm("a:2"));
    let sent = second.one();
    assert!(sent.contact_uri().contains("pn-prid=a:2"));
    assert_eq!(sent.removed(), [bound.contact_uri()]);
}

#[test]
fn an_expired_contact_is_not_removed() {
    // Bound, or only sent: a later process computes the expiry from the wall clock.
    for bound in [true, false] {
        let mut stage = Stage::new(account(|_| {}), None);
        let old = if bound { stage.registered() } else { stage.register() };
        for (age, removed) in [(3_599, vec![old.contact_uri()]), (3_600, vec![])] {
            let mut now = stage.now;
            now.wall += seconds(age);
            let mut later = Stage::without_account(stage.store.clone(), now, 2);
            later.local.set_port(6070);
            later.add(account(|_| {}), None);
            assert_eq!(later.register().removed(), removed, "bound: {bound}, after {age} s");
        }
    }
    // The process that bound it also knows the expiry when that clock is wrong.
    for (age, removes) in [(3_599, true), (3_600, false)] {
        let mut stage = Stage::new(account(|_| {}), None);
        let old = stage.registered();
        stage.advance(seconds(age));
        stage.all();
        stage.now.wall = seconds(4_000_000_000);
        assert_eq!(stage.moved_to(6070).removed().contains(&old.contact_uri()), removes, "after {age} s");
    }
}

#[test]
fn contacts_that_were_never_confirmed_are_removed_beside_the_one_that_was() {
    for (instance, removed) in [(None, 2), (Some("urn:uuid:1".to_owned()), 0)] {
        let mut stage = Stage::new(account(|config| config.instance_id = instance.clone()), None);
        let bound = stage.registered();
        let unanswered = stage.moved_to(6070);
        let last = stage.moved_to(7070);
        assert_eq!(last.removed().len(), removed, "an instance id replaces them: {last:?}");
        let listed = [&bound, &unanswered].map(|old| format!("Contact: {};expires=3000", old.contact()));
        stage.ok(&last, &[&listed[0], &listed[1]]);
        let cleanup = stage.one();
        assert_eq!(cleanup.removed().len(), 2, "the server still has them: {cleanup:?}");
        stage.ok(&cleanup, &[]);
        stage.silent();
    }
}

#[test]
fn a_server_that_lists_nothing_is_not_asked_to_remove_what_an_instance_id_replaces() {
    let mut stage = Stage::new(account(|config| config.instance_id = Some("urn:uuid:1".into())), None);
    stage.registered();
    let moved = stage.moved_to(6070);
    stage.reply(&moved, 200, &["Expires: 3600"]);
    stage.silent();
    stage.log_out();
    assert_eq!(stage.one().removed().len(), 1, "it may have been replaced or not");
}

#[test]
fn an_unknown_contact_of_our_instance_is_removed() {
    const LEFT: &str = "<sip:alice@203.0.113.9:5060>;+sip.instance=\"<urn:uuid:1>\";expires=3000";
    let mut stage = Stage::new(account(|config| config.instance_id = Some("urn:uuid:1".into())), None);
    stage.registered_without_silence(&[&format!("Contact: {LEFT}")]);
    assert_eq!(stage.one().removed(), ["sip:alice@203.0.113.9:5060"]);
}

#[test]
fn many_unknown_contacts_of_our_instance_are_removed_eight_at_a_time_and_not_for_ever() {
    let left =
        |port: u16| format!("Contact: <sip:alice@203.0.113.9:{port}>;+sip.instance=\"<urn:uuid:1>\";expires=3000");
    let mut stage = Stage::new(account(|config| config.instance_id = Some("urn:uuid:1".into())), None);
    let many: Vec<String> = (1000..1012).map(left).collect();
    stage.registered_without_silence(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let mut requests = 0;
    for port in 2000..2020 {
        let Some(request) = stage.sent.pop_front() else { break };
        assert_eq!(request.removed().len(), if requests == 0 { 8 } else { 1 }, "{request:?}");
        requests += 1;
        stage.ok(&request, &[&left(port)]);
    }
    assert!(requests <= 4, "{requests}");
}

#[test]
fn our_lifetime_is_not_taken_from_a_former_contact_or_another_instance() {
    const OURS: &str = "urn:uuid:1";
    let with_instance = || account(|config| config.instance_id = Some(OURS.into()));
    let rewritten = |contact: &str| contact.replace("192.0.2.10", "203.0.113.7");

    let mut stage = Stage::new(with_instance(), None);
    let bound = stage.registered();
    let unanswered = stage.moved_to(6070);
    let last = stage.moved_to(7070);
    let ours = format!("Contact: {};expires=120", rewritten(last.contact()));
    let left = [&bound, &unanswered].map(|old| format!("Contact: {};expires=3000", old.contact()));
    stage.reply(&last, 200, &[&ours, &left[0], &left[1]]);
    assert_eq!(stage.last().expires, seconds(120), "of this device, but left");

    let mut stage = Stage::new(with_instance(), None);
    let request = stage.register();
    let ours = format!("Contact: {};expires=120", rewritten(request.contact()));
    let other =
        format!("Contact: {};expires=3000", request.contact().replace(OURS, "urn:uuid:2").replace("10:", "11:"));
    stage.reply(&request, 200, &[&ours, &other]);
    assert_eq!(stage.last().expires, seconds(120), "of another instance");

    let mut stage = Stage::new(with_instance(), None);
    let request = stage.register();
    let ours = format!("Contact: {};expires=120", request.contact());
    let other = format!("Contact: {};expires=3000", request.contact().replace(OURS, "urn:uuid:2"));
    stage.reply(&request, 200, &[&ours, &other]);
    assert_eq!(stage.last().expires, seconds(120), "of another instance at the same address");

    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let request = stage.register();
    let ours = format!("Contact: {};expires=120", rewritten(request.contact()));
    let other = format!("Contact: {};expires=3000", request.contact().replace("a:1", "a:2").replace("10:", "11:"));
    stage.reply(&request, 200, &[&ours, &other]);
    assert_eq!(stage.last().expires, seconds(120), "of another token");

    let mut stage = Stage::new(account(|_| {}), None);
    let request = stage.register();
    stage.reply(&request, 200, &[&format!("Contact: {};expires=120", request.contact().replace("sip:", "SIP:"))]);
    assert_eq!(stage.last().expires, seconds(120), "the same header in another spelling");
}

#[test]
fn a_contact_is_stored_before_it_is_sent() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let second = stage.moved_to(6070);
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 2);
    later.local.set_port(7070);
    later.add(account(|_| {}), None);
    assert_eq!(later.register().removed(), [first.contact_uri(), second.contact_uri()]);
}

#[test]
fn a_server_that_reads_only_one_contact_gets_one_and_removals_only_for_what_it_holds() {
    let mut stage = Stage::new(account(|_| {}), None);
    let unanswered = stage.register();
    let both = stage.moved_to(6070);
    assert_eq!(both.removed(), [unanswered.contact_uri()]);
    stage.reply(&both, 200, &[&format!("Contact: {};expires=3600", unanswered.contact())]);
    let alone = stage.one();
    assert!(alone.removed().is_empty(), "{alone:?}");
    stage.reply(&alone, 200, &["Expires: 3600"]);
    stage.silent();
    stage.log_out();
    let removal = stage.one();
    assert!(removal.removed().is_empty(), "it was removed a moment ago: {removal:?}");
}

#[test]
fn a_removal_counts_as_done_at_a_server_that_lists_nothing() {
    let mut stage = Stage::new(account(|_| {}), None);
    let unanswered = stage.register();
    let both = stage.moved_to(6070);
    stage.reply(&both, 200, &[&format!("Contact: {};expires=3600", unanswered.contact())]);
    let bound = stage.one();
    stage.ok(&bound, &[]);
    let moved = stage.moved_to(7070);
    assert!(moved.removed().is_empty(), "this server reads one Contact: {moved:?}");
    stage.ok(&moved, &[&format!("Contact: {};expires=3000", bound.contact())]);
    let cleanup = stage.one();
    assert_eq!(cleanup.removed(), [bound.contact_uri()]);
    stage.reply(&cleanup, 200, &["Expires: 3600"]);
    stage.silent();
    stage.log_out();
    assert!(stage.one().removed().is_empty());
}

#[test]
fn a_contact_removed_with_the_former_token_is_not_removed_twice() {
    let mut stage = Stage::new(over(Transport::Tls), mpush());
    stage.set_token(fcm("a:1"));
    stage.registered();
    let unanswered = stage.moved_to(6070);
    stage.local.set_port(7070);
    stage.set_token(fcm("a:2"));
    stage.network_changes();
    let vacates = stage.one();
    assert_eq!((vacates.header("X-MPUSH"), vacates.removed()), (Some("null"), vec![unanswered.contact_uri()]));
    stage.reply(&vacates, 200, &[]);
    let bind = stage.one();
    assert!(bind.removed().is_empty() && bind.header("Expires") != Some("0"), "{bind:?}");
}

#[test]
fn an_unbind_during_a_register_is_sent_after_it() {
    let mut stage = Stage::mpush();
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.unbind();
    stage.silent();
    stage.ok(&first, &[]);
    assert_eq!(stage.one().header("X-MPUSH"), Some("null"));
}

#[test]
fn at_most_eight_contacts_wait_for_their_removal() {
    let mut stage = Stage::new(over(Transport::Tls), mpush());
    stage.set_token(fcm("a:1"));
    let bound = stage.registered();
    for port in 6000..6012 {
        stage.moved_to(port);
    }
    stage.set_token(fcm("a:2"));
    stage.network_changes();
    let vacates = stage.one();
    assert_eq!(vacates.header("X-MPUSH"), Some("null"));
    stage.reply(&vacates, 403, &[]);
    let without_the_nonce = stage.one();
    stage.reply(&without_the_nonce, 403, &[]);
    let bind = stage.one();
    assert_eq!(bind.removed().len(), 8, "{bind:?}");
    assert!(bind.removed().contains(&bound.contact_uri()), "{bind:?}");
}

#[test]
fn x_piid_goes_only_to_servers_that_can_read_it() {
    for (gateway, dialect, goes) in [
        (false, Dialect::Rfc8599, true),
        (true, Dialect::Rfc8599, true),
        (true, Dialect::Linphone, false),
        (false, Dialect::XMpush, true),
    ] {
        let mut config = over(Transport::Tls);
        config.realm = Some("asterisk".into());
        config.gateways.extend(gateway.then(|| "gw.example:5061".to_owned()));
        config.send_piid = Some(true);
        let mut stage = Stage::new(config, Some(push_config(Provider::Fcm, &[dialect])));
        stage.set_token(fcm("a:1"));
        let request = stage.register();
        assert_eq!(request.header("X-PIID").is_some(), goes, "{dialect:?}, gateway: {gateway}");
        stage.ok(&request, &[]);
        assert!(!stage.last().verdict.piid_withheld);
    }
    let mut stage = Stage::new(account(|config| config.send_piid = Some(true)), mpush());
    stage.set_token(fcm("a:1"));
    assert_eq!(stage.registered().header("X-PIID"), None);
    assert!(stage.last().verdict.piid_withheld, "never without TLS");
}

#[test]
fn x_piid_uses_the_realm_of_the_server_and_not_that_of_the_proxy_before_it() {
    const PROXY: &str = "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"p\", qop=\"auth\", algorithm=SHA-256";
    let piid = |challenges: &[&str]| {
        let mut config = over(Transport::Tls);
        config.send_piid = Some(true);
        let mut stage = Stage::new(config, mpush());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, 401, challenges);
        stage.one().header("X-PIID").map(str::to_owned)
    };
    assert!(piid(&[CHALLENGE]).is_some());
    assert_eq!(piid(&[PROXY, CHALLENGE]), piid(&[CHALLENGE]));
    assert_ne!(piid(&[PROXY]), piid(&[CHALLENGE]));
}

#[test]
fn a_binding_is_removed_in_every_dialect_even_in_those_that_the_server_does_not_need() {
    let mut config = push_config(Provider::Fcm, &[]);
    config.dialects = Dialects::Auto;
    for log_out in [false, true] {
        let mut stage = Stage::new(over(Transport::Tls), Some(config.clone()));
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.ok(&first, &["Feature-Caps: *;+sip.pns=\"fcm\""]);
        let again = stage.register();
        assert_eq!(again.header("X-MPUSH"), None, "RFC 8599 is enough");
        stage.ok(&again, &[]);
        if log_out {
            stage.log_out()
        } else {
            stage.unbind()
        }
        assert_eq!(stage.one().header("X-MPUSH"), Some("null"), "log-out: {log_out}");
    }
    let mut stage = Stage::new(over(Transport::Tls), Some(config));
    stage.set_token(fcm("a:1"));
    stage.registered();
    assert!(stage.register().header("X-MPUSH").is_some(), "the server has shown nothing");
}

#[test]
fn an_old_token_at_a_rewritten_address_is_removed_even_if_the_first_request_cannot_name_it() {
    let rewritten = |contact: &str| contact.replace("192.0.2.10", "203.0.113.7");
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 200, &[&format!("Contact: {};expires=3600", rewritten(first.contact()))]);
    stage.set_token(fcm("a:1"));
    // It lists no Contact with the new token, because it took both for one.
    let both = stage.one();
    stage.reply(&both, 200, &["Expires: 3600"]);
    let alone = stage.one();
    assert_eq!(alone.removed(), Vec::<&str>::new());
    let old = format!("Contact: {};expires=3600", rewritten(alone.contact()));
    stage.reply(&alone, 200, &[&old]);
    stage.set_token(fcm("a:2"));
    let new = stage.one();
    assert_eq!(new.removed(), Vec::<&str>::new());
    stage.reply(&new, 200, &[&old, &format!("Contact: {};expires=3600", rewritten(new.contact()))]);
    let cleanup = stage.one();
    assert_eq!(cleanup.removed(), [rewritten(alone.contact_uri())]);
    stage.reply(&cleanup, 200, &[&format!("Contact: {};expires=3600", rewritten(cleanup.contact()))]);
    stage.silent();
}

#[test]
fn an_old_contact_is_recognised_by_how_the_server_rewrote_ours() {
    let rewritten = |contact: &str| contact.replace("192.0.2.10", "203.0.113.7");
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    let old = format!("Contact: {};expires=3600", rewritten(first.contact()));
    stage.reply(&first, 200, &[&old]);
    stage.set_token(fcm("a:1"));
    let new = stage.one();
    let stranger = "Contact: <sip:alice@203.0.113.7:5071>;expires=3600";
    stage.reply(&new, 200, &[&old, stranger, &format!("Contact: {};expires=3600", rewritten(new.contact()))]);
    let cleanup = stage.one();
    assert!(cleanup.removed().contains(&rewritten(first.contact_uri()).as_str()), "{cleanup:?}");
    assert!(!cleanup.text.contains("203.0.113.7:5071"), "that Contact may belong to anybody: {cleanup:?}");
}

/// Registers without a token, then with one, at a server that lists nothing and reads only one Contact.
fn bound_where_nothing_is_listed() -> (Stage, String) {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 200, &["Expires: 3600"]);
    stage.set_token(fcm("a:1"));
    while let Some(sent) = stage.sent.pop_front() {
        stage.reply(&sent, 200, &["Expires: 3600"]);
    }
    let bound = stage.last().contact.expose().to_owned();
    assert!(bound.contains("a:1"), "{bound}");
    (stage, bound)
}

#[test]
fn a_refused_removal_of_a_former_token_is_sent_again_where_nothing_is_listed() {
    let (mut stage, bound) = bound_where_nothing_is_listed();
    stage.unbind();
    let vacates = stage.one();
    assert_eq!((vacates.header("Expires"), vacates.contact_uri()), (Some("0"), bound.as_str()));
    stage.reply(&vacates, 480, &[]);
    let bind = stage.one();
    assert!(bind.header("Expires") != Some("0") && !bind.text.contains("a:1"), "{bind:?}");
    stage.reply(&bind, 200, &["Expires: 3600"]);
    let again = stage.one();
    assert_eq!((again.header("Expires"), again.contact_uri()), (Some("0"), bound.as_str()));
    stage.reply(&again, 200, &[]);
    let bind = stage.one();
    assert!(bind.header("Expires") != Some("0"), "{bind:?}");
    stage.reply(&bind, 200, &["Expires: 3600"]);
    stage.silent();
    stage.advance(seconds(10_000));
    assert!(stage.all().iter().all(|sent| !sent.text.contains("a:1")), "it is gone");
}

#[test]
fn a_removal_of_a_former_token_that_stays_refused_is_given_up() {
    let (mut stage, bound) = bound_where_nothing_is_listed();
    stage.unbind();
    let mut turns = 0;
    for _ in 0..40 {
        let Some(sent) = stage.sent.pop_front() else { break };
        let vacates = sent.header("Expires") == Some("0") && sent.contact_uri() == bound;
        turns += usize::from(vacates);
        stage.reply(&sent, if vacates { 480 } else { 200 }, &["Expires: 3600"]);
    }
    stage.silent();
    assert!((2..=4).contains(&turns), "{turns}");
}
