//! What is given up at left gateways, and what must not be forgotten.

use super::*;

fn three_gateways() -> (AccountConfig, Option<PushConfig>) {
    let (mut config, push) = settings(Transport::Udp);
    config.gateways.push("c.example:5060".into());
    (config, push)
}

fn restarted(stage: &Stage) -> Stage {
    let (account, push) = three_gateways();
    stage.restart(account, push)
}

/// Registers. Every gateway but the wanted one refuses.
fn grant_at(stage: &mut Stage, wanted: &str) -> Sent {
    stage.start_registering();
    for _ in 0..12 {
        let sent = stage.all().into_iter().rfind(|sent| sent.header("Expires") != Some("0")).expect("a REGISTER");
        if last_opened(stage) == wanted {
            grant_for_long(stage, &sent);
            return sent;
        }
        stage.reply(&sent, 503, &[]);
        if stage.sent.is_empty() {
            stage.advance(seconds(40));
        }
    }
    panic!("{wanted} is not asked");
}

/// The second gateway is in use. The first was silent in all rounds, and the wall clock is 400 days ahead.
fn given_up() -> Stage {
    let (account, push) = three_gateways();
    let mut stage = Stage::new(account, push);
    stage.set_token(fcm("a:1"));
    grant_at(&mut stage, "a.example");
    grant_at(&mut stage, "b.example");
    let mut stage = restarted(&stage);
    grant_at(&mut stage, "b.example");
    stage.now.wall += seconds(400 * 86_400);
    stage.advance(seconds(1300));
    stage.sent.clear();
    stage
}

#[test]
fn a_log_out_asks_a_gateway_that_was_given_up_while_the_clock_was_wrong() {
    let mut stage = given_up();
    stage.now.wall -= seconds(400 * 86_400);
    let mut stage = restarted(&stage);
    grant_at(&mut stage, "b.example");
    stage.log_out();
    let removal = stage.all().pop().expect("one");
    stage.reply(&removal, 200, &[]);
    assert!(!stage.is_logged_out());
    let removal = stage.one();
    assert_eq!((last_opened(&stage), removal.header("Expires")), ("a.example", Some("0")));
    stage.reply(&removal, 200, &[]);
    assert!(stage.is_logged_out());
}

#[test]
fn a_gateway_that_was_given_up_does_not_hold_up_another_one() {
    let mut stage = restarted(&given_up());
    grant_at(&mut stage, "b.example");
    grant_at(&mut stage, "c.example");
    let removal = stage.one();
    assert_eq!(last_opened(&stage), "b.example");
    stage.reply(&removal, 403, &[]);
    let opened = stage.opened.len();
    stage.advance(seconds(3600));
    assert!(stage.opened[opened..].iter().any(|hop| hop.starts_with("b.example")), "{:?}", stage.opened);
}

#[test]
fn a_log_out_waits_for_left_gateways_but_not_for_one_that_was_given_up() {
    for denied in [false, true] {
        let mut stage = restarted(&given_up());
        grant_at(&mut stage, "b.example");
        grant_at(&mut stage, "c.example");
        stage.sent.clear();
        stage.log_out();
        let removal = stage.all().pop().expect("at c.example");
        stage.reply(&removal, 200, &[]);
        let removal = stage.all().pop().expect("at b.example");
        assert_eq!(last_opened(&stage), "b.example");
        if !denied {
            stage.reply(&removal, 200, &[]);
            assert_eq!(how_removed(&stage), Some(Removed::Accepted));
            continue;
        }
        stage.reply(&removal, 401, &[CHALLENGE]);
        let again = stage.all().pop().expect("with the password");
        stage.reply(&again, 401, &[CHALLENGE]);
        let failures = stage.failures().len();
        stage.sent.clear();
        stage.advance(seconds(86_400));
        assert!(stage.sent.is_empty() && !stage.is_logged_out());
        assert_eq!(stage.failures().len(), failures, "nobody is asked");
    }
}

#[test]
fn a_contact_whose_removal_was_accepted_in_a_shorter_form_is_remembered_while_it_is_listed() {
    let config = account(|config| config.transport = Some(Transport::Tcp));
    let mut stage = Stage::new(config, Some(push_config(Provider::Fcm, &[Dialect::XMpush, Dialect::Rfc8599])));
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    let old = first.contact_uri().to_owned();
    stage.reply(&first, 200, &[&format!("Contact: <{old}>;expires=7200")]);
    stage.flow_breaks();
    stage.local.set_port(6090);
    stage.set_token(fcm("a:2"));
    stage.advance(seconds(5));
    let vacate = stage.one();
    stage.reply(&vacate, 555, &[]);
    let bare = stage.one();
    let still = format!("Contact: <{old}>;expires=7100");
    stage.reply(&bare, 200, &[&still]);
    let mut named = false;
    for log_out in [false, true] {
        if log_out {
            stage.log_out();
        }
        while let Some(sent) = stage.sent.pop_front() {
            named |= sent.removed().contains(&old.as_str()) || sent.contact_uri() == old;
            if sent.contact_uri().contains("pn-prid") {
                stage.reply(&sent, 555, &[]);
            } else if sent.header("Expires") == Some("0") {
                stage.reply(&sent, 200, &[&still]);
            } else {
                stage.reply(&sent, 200, &[&still, &format!("Contact: <{}>;expires=7200", sent.contact_uri())]);
            }
        }
    }
    assert!(named);
}

#[test]
fn a_contact_that_no_removal_has_named_is_not_forgotten() {
    for removal in [Removal::NullPrid, Removal::WithoutPrid] {
        let config = account(|config| config.transport = Some(Transport::Tcp));
        let mut push = push_config(Provider::Fcm, &[Dialect::XMpush, Dialect::Rfc8599]);
        push.removal = removal;
        let mut stage = Stage::new(config, Some(push));
        stage.set_token(fcm("a:0"));
        let first = stage.register();
        let old = first.contact_uri().to_owned();
        stage.reply(&first, 200, &["Expires: 7200"]);
        stage.set_token(fcm("a:1"));
        let mut named = false;
        for log_out in [false, true] {
            if log_out {
                stage.log_out();
            }
            while let Some(next) = stage.sent.pop_front() {
                named |= next.removed().contains(&old.as_str()) && log_out;
                named |= next.header("Expires") == Some("0") && next.contact_uri() == old;
                let several = next.headers("Contact").len() > 1;
                stage.reply(&next, if several { 400 } else { 200 }, &["Expires: 7200"]);
            }
        }
        assert!(named, "{removal:?}: {old}");
    }
}
