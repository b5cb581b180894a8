//! Gateways that the account no longer names: what they hold is still removed there.

use sipwake_core::account::AccountConfig;
use sipwake_core::event::{Event, Removed};

use super::{failed_over, last_opened, settings, two_gateways};
use crate::support::{CHALLENGE, Sent, Stage, account, fcm, mpush, rfc8599, seconds};

fn through(gateway: &str) -> AccountConfig {
    account(|config| config.gateways = vec![gateway.into()])
}

fn bound_at(config: AccountConfig) -> (Stage, Sent) {
    let mut stage = Stage::new(config, mpush());
    stage.set_token(fcm("a:1"));
    let bound = stage.registered();
    (stage, bound)
}

/// Answers what is sent until the former server gets its removal. Returns the removal.
#[track_caller]
fn taken_back_at(stage: &mut Stage, host: &str) -> Sent {
    while let Some(sent) = stage.sent.pop_front() {
        if last_opened(stage) == host && sent.header("Expires") == Some("0") {
            return sent;
        }
        stage.ok(&sent, &[]);
    }
    panic!("{host} gets no message: {:?}", stage.opened);
}

#[test]
fn a_gateway_that_the_settings_replace_gets_the_removal() {
    let places = [
        through("gw2.example:5080"),
        account(|config| config.outbound_proxy = Some("proxy.example".into())),
        account(|_| {}),
    ];
    for place in places {
        let (mut stage, bound) = bound_at(through("gw1.example"));
        stage.add(place, mpush());
        let removal = taken_back_at(&mut stage, "gw1.example");
        assert_eq!(removal.header("X-MPUSH"), Some("null"));
        assert_eq!(removal.contact_uri(), bound.contact_uri());
        stage.reply(&removal, 401, &[CHALLENGE]);
        let again = stage.one();
        stage.reply(&again, 200, &[]);
        let bind = stage.one();
        assert!(bind.header("X-MPUSH").is_some_and(|value| value.ends_with("a:1")), "they may share a registrar");
        stage.ok(&bind, &[]);
        stage.silent();
    }
}

#[test]
fn a_server_replaced_while_the_app_is_not_running_gets_the_removal_too() {
    let (stage, bound) =
        bound_at(account(|config| config.outbound_proxy = Some("sip:one.example;transport=tcp".into())));
    let mut later = stage.restart(through("gw2.example"), mpush());
    later.silent();
    later.start_registering();
    let removal = taken_back_at(&mut later, "one.example");
    assert_eq!(later.opened.last().map(String::as_str), Some("one.example:5060/tcp"));
    assert_eq!(removal.contact_uri(), bound.contact_uri());
}

#[test]
fn a_gateway_dropped_from_the_settings_gets_the_removal() {
    let mut stage = two_gateways(sipwake_core::account::Transport::Udp);
    let (first, _) = failed_over(&mut stage);
    stage.all();
    let (mut config, push) = settings(sipwake_core::account::Transport::Udp);
    config.gateways.remove(0);
    stage.add(config, push);
    let removal = taken_back_at(&mut stage, "a.example");
    assert_eq!(removal.contact_uri(), first.contact_uri());
}

#[test]
fn a_log_out_after_a_gateway_was_replaced_waits_for_the_one_with_the_binding() {
    let (mut stage, bound) = bound_at(through("gw1.example"));
    stage.opens = false;
    stage.add(through("gw2.example"), mpush());
    stage.log_out();
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    let removal = taken_back_at(&mut later, "gw1.example");
    assert!(!later.is_logged_out());
    assert_eq!((removal.header("X-MPUSH"), removal.contact_uri()), (Some("null"), bound.contact_uri()));
    later.ok(&removal, &[]);
    let told = later.events.iter().any(|event| matches!(event, Event::LoggedOut { removed: Removed::Accepted, .. }));
    assert!(told, "{:?}", later.events);
}

#[test]
fn a_gateway_written_differently_that_leads_to_the_same_address_is_the_same() {
    let (mut stage, _) = bound_at(through("gw1.example:5060"));
    stage.add(through("sip:gw1.example:5060"), mpush());
    stage.advance(seconds(60));
    stage.silent();
}

#[test]
fn an_account_that_wants_tls_sends_nothing_in_the_clear_to_a_former_server() {
    let secure = |config: &mut AccountConfig| config.registrar = Some("sips:example.com".into());
    let mut stage = Stage::new(account(secure), rfc8599());
    stage.set_token(fcm("a:1"));
    stage.registered();
    // A record that names a server in the clear, as another version of the app may have written it.
    let key = sipwake_core::snapshot::binding_key(&stage.key);
    assert!(String::from_utf8_lossy(&stage.store[&key]).contains("sips:example.com"));
    let moved = |config: &mut AccountConfig| {
        secure(config);
        config.gateways = vec!["sips:gw.example".into()];
    };
    stage.add(account(moved), rfc8599());
    let removal = taken_back_at(&mut stage, "example.com");
    assert_eq!(stage.opened.last().map(String::as_str), Some("example.com:5061/tls"));
    assert_eq!(removal.header("Expires"), Some("0"));
}
