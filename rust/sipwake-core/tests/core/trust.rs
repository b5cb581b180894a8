//! Which hosts get a password's digest, `X-PIID` and a push token, and which never do. Each test fails as long as its
//! attack works.

use sipwake_core::account::{AccountConfig, Transport};
use sipwake_core::digest::{Algorithm, Unusable, ha1};
use sipwake_core::event::{Event, Failure, RedirectRefusal, Warning};
use sipwake_core::push::{Mode, Provider, PushConfig};

use crate::support::{CHALLENGE, Sent, Stage, account, fcm, mpush, over, rfc8599, seconds};

const LIVE: &str = "WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"LIVE\", qop=\"auth\"";

fn warnings(stage: &Stage) -> Vec<Warning> {
    let warning = |event: &Event| match event {
        Event::Warning { warning, .. } => Some(warning.clone()),
        _ => None,
    };
    stage.events.iter().filter_map(warning).collect()
}

fn refused(stage: &Stage) -> Vec<RedirectRefusal> {
    let why = |warning: Warning| match warning {
        Warning::RedirectRefused { why, .. } => Some(why),
        _ => None,
    };
    warnings(stage).into_iter().filter_map(why).collect()
}

fn configured(change: impl FnOnce(&mut AccountConfig)) -> AccountConfig {
    account(|config| {
        config.transport = Some(Transport::Tls);
        change(config);
    })
}

fn of_mizutech(transport: Transport) -> AccountConfig {
    configured(|config| {
        config.transport = Some(transport);
        config.upper.server = Some("upper.example".into());
    })
}

/// A client that is registered at a Mizutech server over TLS, with the realm of that server.
fn pinned() -> Stage {
    let mut stage = Stage::new(of_mizutech(Transport::Tls), mpush());
    stage.set_token(fcm("a:1"));
    stage.registered();
    stage
}

fn asks(realm: &str, nonce: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\"")
}

/// Answers the first REGISTER with a 302 to these Contacts.
fn redirected(config: AccountConfig, contacts: &[&str]) -> Stage {
    let mut stage = Stage::new(config, rfc8599());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    let lines: Vec<String> = contacts.iter().map(|contact| format!("Contact: {contact}")).collect();
    stage.reply(&first, 302, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    stage
}

// Redirects.

#[test]
fn a_redirect_to_a_host_that_is_not_configured_is_reported_and_nothing_is_sent_there() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        for contact in [
            "<sip:evil.example;transport=tls>",
            "<sips:evil.example>",
            "<sip:203.0.113.66;transport=tls>",
            "<sip:[2001:db8::66]:5061;transport=tls>",
            "<sip:example.com.evil.example;transport=tls>",
            "<sip:evilexample.com;transport=tls>",
            "<sip:example.com@evil.example;transport=tls>",
            "<sip:com;transport=tls>",
            "<sip:evil.example;transport=wss>;q=1.0",
            "<sip:other.com;transport=tls>",
            "<sip:3405803842;transport=tls>",
            "<sip:example.com.:5061@evil.example;transport=tls>",
            "<sip:example.co;transport=tls>",
            "<sip:.example.com.evil.example;transport=tls>",
        ] {
            let mut stage = redirected(over(transport), &[contact]);
            assert_eq!(stage.opened.len(), 1, "{transport:?} {contact}: {:?}", stage.opened);
            assert_eq!(refused(&stage), [RedirectRefusal::ForeignHost], "{transport:?} {contact}");
            stage.silent();
            assert_eq!(stage.failures().len(), 1);
            let text = warnings(&stage)[0].to_string();
            assert!(text.contains("gateways"), "it says what to do: {text}");
        }
    }
}

#[test]
fn over_tls_a_redirect_to_a_subdomain_of_the_configured_name_is_followed() {
    for (contact, hop) in [
        ("<sip:eu.example.com;transport=tls>", "eu.example.com:5061/tls"),
        ("<sip:EU.Example.COM.:5071;transport=tls>", "EU.Example.COM.:5071/tls"),
        ("<sips:a.b.example.com>", "a.b.example.com:5061/tls"),
        ("<sip:example.com:5099;transport=tls;maddr=example.com.>", "example.com:5099/tls"),
        ("<sip:example.com;transport=wss>", "example.com:443/wss"),
    ] {
        let mut stage = redirected(over(Transport::Tls), &[contact]);
        assert_eq!(stage.opened.last().map(String::as_str), Some(hop), "{contact}");
        let there = stage.one();
        assert!(there.contact().contains("pn-prid=a:1"), "whole: {there:?}");
        stage.reply(&there, 401, &[CHALLENGE]);
        assert!(stage.one().auth("response").is_some(), "whole: {contact}");
    }
}

#[test]
fn in_the_clear_redirects_lead_only_to_configured_hosts() {
    for contact in ["<sip:eu.example.com>", "<sip:eu.example.com;transport=tls>", "<sips:eu.example.com>"] {
        let mut stage = redirected(account(|_| {}), &[contact]);
        assert_eq!(refused(&stage), [RedirectRefusal::Unauthenticated], "{contact}");
        stage.silent();
    }
    let names_more = |config: &mut AccountConfig| {
        config.gateways = vec!["sip:gw.example.net".into(), "sip:192.0.2.77:5080".into()];
        config.upper.proxy = Some("sip:proxy.example.org:5070".into());
    };
    for (contact, hop) in [
        ("<sip:GW.example.net.:5090>", "GW.example.net.:5090/udp"),
        ("<sip:192.0.2.77>", "192.0.2.77:5060/udp"),
        ("<sip:proxy.example.org;transport=tcp>", "proxy.example.org:5060/tcp"),
        ("<sip:example.com;transport=tls>", "example.com:5061/tls"),
    ] {
        let stage = redirected(account(names_more), &[contact]);
        assert_eq!(stage.opened.last().map(String::as_str), Some(hop));
    }
}

#[test]
fn no_redirect_leads_to_a_weaker_transport() {
    for contact in
        ["<sip:example.com;transport=udp>", "<sip:eu.example.com;transport=tcp>", "<sip:example.com;transport=ws>"]
    {
        let mut stage = redirected(over(Transport::Tls), &[contact]);
        assert_eq!(refused(&stage), [RedirectRefusal::WeakerTransport], "{contact}");
        stage.silent();
    }
    // A clear gateway cannot lead the client to a host in the clear that is configured only for TLS.
    let both = account(|config| {
        config.gateways =
            vec!["sip:clear.example.net;transport=udp".into(), "sip:safe.example.net;transport=tls".into()];
    });
    let stage = redirected(both, &["<sip:safe.example.net;transport=udp>"]);
    assert_eq!(refused(&stage), [RedirectRefusal::WeakerTransport]);
}

#[test]
fn a_maddr_does_not_send_a_redirect_to_another_host() {
    for contact in [
        "<sip:example.com;maddr=203.0.113.66>",
        "<sip:example.com;MADDR=evil.example>",
        "<sip:example.com;maddr>",
        "<sip:example.com;maddr=example.com;maddr=evil.example>",
    ] {
        let stage = redirected(account(|_| {}), &[contact]);
        let went = stage.opened.iter().all(|hop| hop.starts_with("example.com:"));
        assert!(went, "{contact}: {:?}", stage.opened);
    }
    let stage = redirected(account(|_| {}), &["<sip:example.com;maddr=203.0.113.66>"]);
    assert_eq!(refused(&stage), [RedirectRefusal::Maddr]);
}

#[test]
fn a_redirect_to_a_sibling_or_parent_domain_or_below_an_ip_address_is_not_followed() {
    let names = |config: &mut AccountConfig| {
        config.gateways = vec!["sip:a.gw.example.net".into(), "sip:192.0.2.77".into(), "sip:[2001:db8::7]".into()];
    };
    for contact in [
        "<sip:b.gw.example.net;transport=tls>",
        "<sip:gw.example.net;transport=tls>",
        "<sip:evil.192.0.2.77;transport=tls>",
        "<sip:192.0.2.7;transport=tls>",
        "<sip:192.0.2.77.evil.example;transport=tls>",
        "<sip:[2001:db8::77];transport=tls>",
    ] {
        let mut stage = redirected(configured(names), &[contact]);
        assert_eq!(refused(&stage), [RedirectRefusal::ForeignHost], "{contact}");
        assert_eq!(
            stage.opened.len(),
            1 + usize::from(stage.has_a_flow()),
            "the next gateway alone: {:?}",
            stage.opened
        );
        assert!(stage.opened.iter().all(|hop| !hop.contains("evil") && !hop.contains("b.gw")), "{:?}", stage.opened);
        stage.all();
    }
    // A text that is not a SIP URI does not lead there either.
    for contact in
        ["*", "<tel:+15550100>", "<https://evil.example>", "<>", "sip:", "<sip:evil.example", "<mailto:a@evil.example>"]
    {
        let stage = redirected(over(Transport::Tls), &[contact]);
        assert_eq!(stage.opened.len(), 1, "{contact}: {:?}", stage.opened);
        assert_eq!(stage.failures().len(), 1, "{contact}");
    }
}

#[test]
fn no_route_or_path_that_a_server_names_leads_to_another_host() {
    let mut stage = Stage::new(over(Transport::Tls), rfc8599());
    stage.set_token(fcm("a:1"));
    let routes = [
        "Service-Route: <sip:evil.example;lr>",
        "Path: <sip:evil.example;lr>",
        "Record-Route: <sip:evil.example;lr>",
        "Route: <sip:evil.example;lr>",
        "P-Associated-URI: <sip:evil.example>",
        "Contact: <sip:alice@evil.example>;expires=3600",
        "X-MPUSH: sip:evil.example",
        "X-Sy.AuthURI: sip:evil.example",
    ];
    stage.registered_with(&routes);
    let refresh = stage.register();
    assert!(!refresh.text.contains("evil.example"), "{refresh:?}");
    stage.reply(&refresh, 503, &routes);
    stage.advance(seconds(600));
    for request in stage.all() {
        assert!(!request.text.contains("evil.example"), "{request:?}");
    }
    assert!(stage.opened.iter().all(|hop| hop == "example.com:5061/tls"), "{:?}", stage.opened);
}

#[test]
fn of_several_redirect_contacts_the_preferred_allowed_one_is_followed() {
    let contacts = [
        "<sip:evil.example;transport=tls>;q=1",
        "<sip:second.example.com;transport=tls>;q=0.2, <sip:first.example.com;transport=tls>;q=0.75",
    ];
    let stage = redirected(over(Transport::Tls), &contacts);
    assert_eq!(stage.opened.last().map(String::as_str), Some("first.example.com:5061/tls"));
}

#[test]
fn a_redirected_removal_is_followed_only_where_a_registration_is() {
    for (contact, followed) in
        [("<sip:evil.example;transport=tls>", false), ("<sip:eu.example.com;transport=tls>", true)]
    {
        let mut stage = Stage::new(over(Transport::Tls), rfc8599());
        stage.set_token(fcm("a:1"));
        stage.registered();
        stage.log_out();
        let removal = stage.one();
        stage.reply(&removal, 302, &[&format!("Contact: {contact}")]);
        assert_eq!(stage.opened.len() == 2, followed, "{:?}", stage.opened);
        assert_eq!(refused(&stage).len(), usize::from(!followed));
        if followed {
            let there = stage.one();
            assert!(there.auth("nonce").is_none(), "no answer to another host's nonce: {there:?}");
            stage.reply(&there, 200, &[]);
        } else {
            assert!(!stage.is_logged_out(), "nothing is removed yet");
            while stage.sent.is_empty() {
                let (at, _) = stage.agent.poll_timeout().expect("it is tried again");
                stage.advance(at.saturating_sub(stage.now.boot));
            }
            let again = stage.one();
            stage.reply(&again, 200, &[]);
        }
        assert!(stage.is_logged_out());
    }
}

#[test]
fn x_piid_never_goes_to_the_target_of_a_redirect() {
    let mut stage = pinned();
    let refresh = stage.register();
    assert!(refresh.header("X-PIID").is_some());
    stage.reply(&refresh, 302, &["Contact: <sip:eu.example.com;transport=tls>"]);
    let there = stage.one();
    assert!(there.header("X-PIID").is_none() && there.header("X-MPUSH").is_some(), "{there:?}");
    stage.reply(&there, 401, &[&asks("upper", "n")]);
    let again = stage.one();
    assert!(again.header("X-PIID").is_none() && again.auth("response").is_some(), "{again:?}");
    stage.ok(&again, &[]);
    assert!(stage.last().verdict.piid_withheld);
}

#[test]
fn x_piid_is_in_no_removal_and_in_no_request_sent_again_elsewhere() {
    let mut stage = pinned();
    let refresh = stage.register();
    stage.reply(&refresh, 302, &["Contact: <sip:eu.example.com;transport=tls>"]);
    let there = stage.one();
    stage.reply(&there, 500, &[]);
    stage.advance(seconds(3600));
    let home = stage.all().pop().expect("it goes back");
    assert_eq!(home.header("X-PIID"), Some(&*piid("asterisk")), "at home the server is asked");
    stage.ok(&home, &[]);
    stage.unbind();
    let unbound = stage.one();
    assert_eq!(unbound.header("X-PIID"), None);
    stage.reply(&unbound, 302, &["Contact: <sip:eu.example.com;transport=tls>"]);
    let there = stage.one();
    assert_eq!(there.header("X-PIID"), None);
    stage.ok(&there, &[]);
    stage.log_out();
    assert_eq!(stage.one().header("X-PIID"), None);
}

#[test]
fn x_piid_withheld_in_the_clear_is_not_sent_by_a_retransmission_or_a_redirect_to_tls() {
    let mut config = of_mizutech(Transport::Udp);
    config.realm = Some("asterisk".into());
    let mut stage = Stage::new(config, mpush());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.advance(seconds(5));
    let repeated = stage.all();
    assert!(repeated.len() >= 2 && repeated.iter().all(|sent| sent.header("X-PIID").is_none()), "{repeated:?}");
    stage.reply(&first, 302, &["Contact: <sip:example.com;transport=tls>"]);
    let there = stage.one();
    assert_eq!((there.transport(), there.header("X-PIID")), ("TLS", None), "the redirect may be forged: {there:?}");
}

// Nonces.

#[test]
fn a_nonce_is_answered_only_at_the_host_that_gave_it() {
    let mut stage = Stage::new(over(Transport::Tls), None);
    let first = stage.register();
    stage.reply(&first, 401, &[LIVE]);
    let second = stage.one();
    stage.ok(&second, &[]);
    let refresh = stage.register();
    assert_eq!(refresh.auth("nonce"), Some("LIVE"));
    stage.reply(&refresh, 302, &["Contact: <sip:eu.example.com;transport=tls>"]);
    let there = stage.one();
    assert_eq!(there.header("Authorization"), None, "{there:?}");
    stage.reply(&there, 503, &[]);
    stage.advance(seconds(3600));
    let home = stage.all().pop().expect("it goes back");
    assert_eq!(home.auth("nonce"), Some("LIVE"), "at home it is still valid");
}

#[test]
fn a_gateway_gets_no_answer_to_the_nonce_of_the_one_before() {
    let config = account(|config| config.gateways = vec!["sip:a.example".into(), "sip:b.example".into()]);
    let mut stage = Stage::new(config.clone(), None);
    let first = stage.register();
    stage.reply(&first, 401, &[LIVE]);
    let second = stage.one();
    stage.ok(&second, &[]);
    let refresh = stage.register();
    stage.reply(&refresh, 503, &[]);
    let other = stage.one();
    assert_eq!(stage.opened.last().map(String::as_str), Some("b.example:5060/udp"));
    assert_eq!(other.header("Authorization"), None, "{other:?}");
    let mut later = stage.restart(config, None);
    assert_eq!(later.register().auth("nonce"), Some("LIVE"), "the process remembers its account");
}

#[test]
fn a_weaker_challenge_is_refused_even_from_a_proxy_or_after_many_others() {
    let weak = "Digest realm=\"asterisk\", nonce=\"weak\"";
    let many: Vec<String> = (0..4).map(|number| asks(&format!("r{number}"), "n") + ", algorithm=SHA-256").collect();
    for crowd in [false, true] {
        let mut stage = Stage::new(account(|_| {}), None);
        let first = stage.register();
        stage.reply(
            &first,
            401,
            &["WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256"],
        );
        let second = stage.one();
        stage.ok(&second, &[]);
        let mut refresh = stage.register();
        if crowd {
            stage.reply(&refresh, 401, &many.iter().map(String::as_str).collect::<Vec<_>>());
            refresh = stage.one();
        }
        let name = if crowd { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        stage.reply(&refresh, if crowd { 401 } else { 407 }, &[&format!("{name}: {weak}")]);
        let answered = stage.all().iter().any(|sent| sent.text.contains("nonce=\"weak\""));
        assert!(!answered, "crowd {crowd}");
    }
}

#[test]
fn in_the_clear_a_new_realm_may_not_ask_for_a_weaker_digest_than_its_host_did() {
    let strong = "WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";
    for (transport, refused) in [
        (Transport::Udp, true),
        (Transport::Tcp, true),
        (Transport::Ws, true),
        (Transport::Tls, false),
        (Transport::Wss, false),
    ] {
        for (code, less) in [
            (401, "WWW-Authenticate: Digest realm=\"moved\", nonce=\"weak\", qop=\"auth\""),
            (401, "WWW-Authenticate: Digest realm=\"moved\", nonce=\"weak\", algorithm=SHA-256"),
            (407, "Proxy-Authenticate: Digest realm=\"moved\", nonce=\"weak\""),
        ] {
            let mut stage = Stage::new(over(transport), None);
            let first = stage.register();
            stage.reply(&first, 401, &[strong]);
            let second = stage.one();
            stage.ok(&second, &[]);
            let refresh = stage.register();
            stage.reply(&refresh, code, &[less]);
            let is_weak = |sent: &Sent| sent.text.contains("nonce=\"weak\"");
            assert_eq!(stage.all().iter().any(is_weak), !refused, "{transport:?} {less}");
            if refused {
                let failures = stage.failures();
                assert!(
                    matches!(failures[..], [(Failure::Unanswerable(Unusable::Downgraded { .. }), _)]),
                    "{failures:?}"
                );
                assert!(warnings(&stage).is_empty(), "it says that a changed realm was answered");
                stage.network_changes();
                let elsewhere = stage.one();
                stage.reply(&elsewhere, code, &[less]);
                assert!(stage.all().iter().any(is_weak), "another network may have another server");
            }
        }
    }
}

#[test]
fn in_the_clear_a_changed_realm_is_reported_and_answered() {
    for (transport, told) in [(Transport::Udp, 1), (Transport::Tls, 0)] {
        let mut stage = Stage::new(over(transport), None);
        stage.registered();
        for nonce in ["n2", "n3"] {
            let refresh = stage.register();
            stage.reply(&refresh, 401, &[&asks("moved", nonce)]);
            let again = stage.one();
            assert!(again.text.contains("realm=\"moved\""), "servers migrate: {again:?}");
            stage.ok(&again, &[]);
        }
        assert_eq!(warnings(&stage).len(), told, "{transport:?}: {:?}", warnings(&stage));
    }
}

// X-PIID.

#[test]
fn a_plain_registrar_gets_no_x_piid_in_any_dialect() {
    for push in [mpush(), rfc8599(), Some(PushConfig::new(Provider::Fcm, "com.example.app"))] {
        for realm in [None, Some("asterisk".to_owned())] {
            let mut stage = Stage::new(configured(|config| config.realm = realm), push.clone());
            stage.set_token(fcm("a:1"));
            let bound = stage.registered();
            let refresh = stage.register();
            assert_eq!((bound.header("X-PIID"), refresh.header("X-PIID")), (None, None));
            assert!(warnings(&stage).is_empty());
        }
    }
}

#[test]
fn a_mode_an_upper_server_or_its_own_setting_turns_on_x_piid() {
    let sends = |config: AccountConfig, push: Option<PushConfig>| {
        let mut stage = Stage::new(config, push);
        stage.set_token(fcm("a:1"));
        stage.registered().header("X-PIID").is_some()
    };
    let by_mode = |mode: Mode| {
        let (mut config, mut push) = (configured(|_| {}), PushConfig::new(Provider::Fcm, "com.example.app"));
        mode.apply(&mut config, &mut push);
        sends(config, Some(push))
    };
    assert!(
        by_mode(Mode::Direct) && by_mode(Mode::Gateway("gw.example:5061".into())) && by_mode(Mode::mizutech_gateway())
    );
    assert!(!by_mode(Mode::Auto) && !by_mode(Mode::Disabled));
    assert!(sends(of_mizutech(Transport::Tls), mpush()) && sends(of_mizutech(Transport::Tls), rfc8599()));
    assert!(sends(configured(|config| config.send_piid = Some(true)), mpush()));
    assert!(sends(configured(|config| config.gateways = vec!["gw.example:5061".into()]), mpush()));
    assert!(!sends(configured(|config| config.gateways = vec!["edge.example:5061".into()]), rfc8599()));
    let off = |config: &mut AccountConfig| {
        config.upper.server = Some("upper.example".into());
        config.send_piid = Some(false);
    };
    assert!(!sends(configured(off), mpush()));
}

fn piid(realm: &str) -> String {
    ha1(Algorithm::Md5, "alice", realm, "secret").expose().to_owned()
}

#[test]
fn x_piid_stays_with_the_realm_it_was_pinned_to_until_the_app_accepts_another() {
    let mut stage = pinned();
    let refresh = stage.register();
    stage.reply(&refresh, 401, &[&asks("elsewhere", "n2")]);
    let again = stage.one();
    assert_eq!(again.header("X-PIID"), Some(&*piid("asterisk")), "a realm that the server chose must not be used");
    let told = Warning::PinnedRealmChanged { pinned: "asterisk".into(), asked: "elsewhere".into() };
    assert_eq!(warnings(&stage), [told]);
    stage.ok(&again, &[]);

    let mut later = stage.restart(of_mizutech(Transport::Tls), mpush());
    let woken = later.register();
    assert_eq!(woken.header("X-PIID"), Some(&*piid("asterisk")), "a kill forgets no pin");
    later.ok(&woken, &[]);

    stage.agent.accept_realm(&stage.key.clone(), "elsewhere", stage.now).expect("the account is there");
    stage.drain();
    let accepted = stage.one();
    assert_eq!(accepted.header("X-PIID"), Some(&*piid("elsewhere")));
    stage.ok(&accepted, &[]);
    let mut later = stage.restart(of_mizutech(Transport::Tls), mpush());
    assert_eq!(later.register().header("X-PIID"), Some(&*piid("elsewhere")), "it is stored");
    let refused = stage.agent.accept_realm(&stage.key.clone(), "a\r\nb", stage.now).expect_err("a control character");
    assert_eq!(refused.field, "realm");
}

#[test]
fn no_realm_is_pinned_in_the_clear() {
    let config = account(|config| {
        config.gateways = vec!["sip:clear.example;transport=udp".into(), "sip:safe.example;transport=tls".into()];
        config.send_piid = Some(true);
    });
    let mut stage = Stage::new(config, mpush());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.reply(&first, 401, &[&asks("forged", "n")]);
    let second = stage.one();
    stage.reply(&second, 503, &[]);
    let safe = stage.one();
    assert_eq!((safe.transport(), safe.header("X-PIID")), ("TLS", None), "{safe:?}");
    stage.reply(&safe, 401, &[CHALLENGE]);
    assert_eq!(stage.one().header("X-PIID"), Some(&*piid("asterisk")));
}

#[test]
fn a_refresh_push_makes_the_verdict_advise_x_piid() {
    for (config, advised) in [(configured(|_| {}), true), (of_mizutech(Transport::Tls), false)] {
        let mut stage = Stage::new(config, mpush());
        stage.set_token(fcm("a:1"));
        stage.registered();
        assert!(!stage.last().verdict.advice.contains("send_piid"));
        stage.push(r#"{"ntype":"4"}"#);
        let refresh = stage.one();
        stage.ok(&refresh, &[]);
        let advice = &stage.last().verdict.advice;
        assert_eq!(advice.contains("send_piid"), advised, "{advice}");
    }
}

// What lasts.

fn digest_uri(sent: &Sent) -> &str {
    sent.auth("uri").expect("it answers")
}

#[test]
fn an_auth_uri_of_another_host_than_the_registrar_or_the_upper_server_is_reported_and_ignored() {
    for (uri, taken) in [
        ("sip:other-server.example", false),
        ("sip:evil.upper.example", false),
        ("sip:example.com.evil.example", false),
        ("sip:UPPER.example.:5070", true),
        ("sip:example.com:5099;transport=tcp", true),
    ] {
        for transport in [Transport::Udp, Transport::Tls] {
            let mut stage = Stage::new(of_mizutech(transport), mpush());
            stage.registered_with(&[&format!("X-Sy.AuthURI: {uri}")]);
            let refresh = stage.register();
            assert_eq!(digest_uri(&refresh), if taken { uri } else { "sip:example.com" }, "{transport:?}");
            let told = warnings(&stage).iter().any(|warning| matches!(warning, Warning::AuthUriRefused { .. }));
            assert_eq!(told, !taken);
            let stored = stage.store.values().any(|record| String::from_utf8_lossy(record).contains(uri));
            assert_eq!(stored, taken, "{uri}");
        }
    }
}

#[test]
fn an_auth_uri_is_read_in_brackets_and_beside_others_and_what_is_no_sip_uri_is_reported() {
    let upper = Some("sip:upper.example");
    for (lines, uri, is_told) in [
        ("X-Sy.AuthURI: <sip:upper.example>", upper, false),
        ("X-Sy.AuthURI: \"Upper\" <sip:upper.example>;x", upper, false),
        ("X-Sy.AuthURI: sip:evil.example\r\nX-Sy.AuthURI: sip:upper.example", upper, false),
        ("X-Sy.AuthURI: sip:upper.example\r\nX-Sy.AuthURI: sip:evil.example", upper, false),
        ("X-Sy.AuthURI: ", None, false),
        ("X-Sy.AuthURI: tel:+15550100", None, true),
        ("X-Sy.AuthURI: upper.example", None, true),
        ("X-Sy.AuthURI: <sip:evil.example>", None, true),
        ("X-Sy.AuthURI: sip:upper.example:99999", None, true),
        ("X-Sy.AuthURI: sip:upper.example, sip:evil.example", None, true),
    ] {
        for transport in [Transport::Udp, Transport::Tls] {
            let mut stage = Stage::new(of_mizutech(transport), mpush());
            let first = stage.register();
            stage.reply(&first, 401, &[&asks("asterisk", "n1"), lines]);
            let second = stage.one();
            assert_eq!(digest_uri(&second), uri.unwrap_or("sip:example.com"), "{lines}");
            let told = warnings(&stage).iter().any(|warning| matches!(warning, Warning::AuthUriRefused { .. }));
            assert_eq!(told, is_told, "{lines}");
        }
    }
}

#[test]
fn an_auth_uri_learnt_in_the_clear_ends_with_the_network_and_a_refused_one_at_once() {
    for (transport, lasts) in [(Transport::Udp, false), (Transport::Tls, true)] {
        let mut stage = Stage::new(of_mizutech(transport), mpush());
        stage.registered_with(&["X-Sy.AuthURI: sip:upper.example"]);
        stage.network_changes();
        let elsewhere = stage.one();
        assert_eq!(digest_uri(&elsewhere) == "sip:upper.example", lasts, "{transport:?}");
    }
    let mut stage = Stage::new(of_mizutech(Transport::Tls), mpush());
    stage.registered_with(&["X-Sy.AuthURI: sip:upper.example"]);
    let refresh = stage.register();
    stage.reply(&refresh, 401, &[&asks("asterisk", "n2")]);
    let fresh = stage.one();
    assert_eq!(digest_uri(&fresh), "sip:upper.example");
    stage.reply(&fresh, 401, &[&asks("asterisk", "n3"), "X-Sy.AuthURI: sip:upper.example"]);
    let without = stage.one();
    assert_eq!(digest_uri(&without), "sip:example.com", "the URI may be wrong");
    stage.reply(&without, 401, &[&asks("asterisk", "n4"), "X-Sy.AuthURI: sip:upper.example"]);
    stage.silent();
    assert_eq!(stage.failures().len(), 1, "and then the password is wrong");

    let mut stage = Stage::new(of_mizutech(Transport::Tls), mpush());
    let first = stage.register();
    stage.reply(&first, 403, &["X-Sy.AuthURI: sip:upper.example"]);
    assert!(!stage.store.values().any(|record| String::from_utf8_lossy(record).contains("sip:upper.example")));
}

#[test]
fn a_refusal_of_push_in_the_clear_ends_with_the_network() {
    for (transport, asks) in [(Transport::Udp, true), (Transport::Tls, false)] {
        let mut stage = Stage::new(over(transport), rfc8599());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, 555, &[]);
        let second = stage.one();
        stage.ok(&second, &[]);

        stage.network_changes();
        assert_eq!(stage.one().contact().contains("pn-"), asks, "{transport:?}");
    }
}

fn of_a_device(transport: Transport) -> AccountConfig {
    let mut config = of_mizutech(transport);
    config.instance_id = Some("urn:uuid:00000000-0000-4000-8000-000000000001".into());
    config
}

/// Registered at a server that says this about itself: with a status of its own, or in the 200.
fn heard(transport: Transport, says: &str) -> Stage {
    let mut stage = Stage::new(of_a_device(transport), rfc8599());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    match says {
        "555" | "439" => {
            stage.reply(&first, says.parse().expect("a status"), &[]);
            let second = stage.one();
            stage.ok(&second, &[]);
        }
        _ => {
            stage.reply(&first, 401, &[&asks("asterisk", "n1")]);
            let second = stage.one();
            stage.ok(&second, &[says]);
        }
    }
    stage
}

#[test]
fn a_later_process_trusts_nothing_learnt_in_the_clear_even_at_the_same_address() {
    type Marked = fn(&Sent) -> bool;
    let is_marked: [(&str, Marked); 3] = [
        ("555", |sent| !sent.contact().contains("pn-")),
        ("439", |sent| !sent.contact().contains("reg-id")),
        ("X-Sy.AuthURI: sip:upper.example", |sent| sent.auth("uri") == Some("sip:upper.example")),
    ];
    for (says, marked) in is_marked {
        for (transport, lasts) in [(Transport::Udp, false), (Transport::Tcp, false), (Transport::Tls, true)] {
            let mut stage = heard(transport, says);
            assert!(marked(&stage.register()), "{says} is followed in its own process");
            let mut later = stage.restart(of_a_device(transport), rfc8599());
            assert_eq!(later.local, stage.local);
            assert_eq!(marked(&later.register()), lasts, "{says} over {transport:?}");
        }
    }
}

#[test]
fn a_forged_refusal_in_the_clear_ends_with_the_network() {
    for status in [403, 404, 604] {
        let mut stage = Stage::new(account(|_| {}), rfc8599());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, status, &[]);
        stage.advance(seconds(7200));
        stage.silent();
        stage.network_changes();
        let elsewhere = stage.one();
        stage.ok(&elsewhere, &[]);
        assert_eq!(stage.registrations().len(), 1, "after {status}");
    }
}

#[test]
fn no_forged_status_in_the_clear_outlives_the_network() {
    for status in
        [400, 402, 405, 406, 410, 413, 414, 416, 420, 421, 436, 484, 485, 488, 493, 500, 501, 505, 513, 600, 603, 606]
    {
        for before in [false, true] {
            let mut stage = Stage::new(account(|_| {}), rfc8599());
            stage.set_token(fcm("a:1"));
            if before {
                stage.registered();
            }
            stage.start_registering();
            // Every other attempt is refused in the same way.
            for _ in 0..20 {
                for request in stage.all().into_iter().filter(Sent::is_register) {
                    stage.reply(
                        &request,
                        status,
                        &["Retry-After: 999999999", "Reason: SIP;cause=603", "X-Sy.AuthURI: sip:example.com"],
                    );
                }
                stage.advance(seconds(1));
            }
            stage.all();
            stage.events.clear();
            stage.network_changes();
            let elsewhere = stage.all().into_iter().find(Sent::is_register).expect("it asks on another network");
            assert!(elsewhere.contact().contains("pn-prid=a:1"), "whole, after {status}: {elsewhere:?}");
            stage.reply(&elsewhere, 401, &[CHALLENGE]);
            let again = stage.all().into_iter().find(Sent::is_register).expect("it answers");
            stage.ok(&again, &[]);
            assert_eq!(stage.registrations().len(), 1, "after {status}, registered before: {before}");
        }
    }
}

#[test]
fn a_forged_challenge_or_wait_in_the_clear_ends_with_the_network() {
    let basic = "WWW-Authenticate: Basic realm=\"x\"";
    let again = ["0", "1", "2"].map(|nonce| asks("asterisk", nonce));
    let forgeries: [&[(u16, &str)]; 6] = [
        &[(401, basic)],
        &[(401, "WWW-Authenticate: Digest realm=\"x\", nonce=\"0\", algorithm=MD6")],
        &[(401, &again[0]), (401, &again[1]), (401, &again[2])],
        &[(503, "Retry-After: 999999999")],
        &[(480, "Retry-After: 999999999")],
        &[(302, "Contact: <sip:evil.example>")],
    ];
    for forged in forgeries {
        let mut stage = Stage::new(account(|_| {}), rfc8599());
        stage.set_token(fcm("a:1"));
        let mut last = Some(stage.register());
        for (status, line) in forged {
            let request = last.take().expect("it is still asking");
            stage.reply(&request, *status, &[line]);
            last = stage.all().into_iter().find(Sent::is_register);
        }
        assert!(last.is_none() && !stage.failures().is_empty(), "{forged:?}");
        stage.network_changes();
        let elsewhere = stage.one();
        stage.ok(&elsewhere, &[]);
        assert_eq!(stage.registrations().len(), 1, "after {forged:?}");
    }
}

#[test]
fn a_redirect_goes_no_further_by_a_second_redirect_or_another_status() {
    for status in [300, 301, 302, 305, 380] {
        let mut stage = Stage::new(over(Transport::Tls), rfc8599());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, status, &["Contact: <sip:eu.example.com;transport=tls>"]);
        let there = stage.one();
        stage.reply(&there, status, &["Contact: <sip:evil.example;transport=tls>"]);
        assert_eq!(refused(&stage), [RedirectRefusal::ForeignHost], "{status}");
        assert!(stage.opened.iter().all(|hop| hop.contains("example.com")), "{status}: {:?}", stage.opened);

        // A subdomain of the redirect's target is a subdomain of the configured name, too. A sibling domain is not.
        let mut stage = Stage::new(over(Transport::Tls), rfc8599());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, status, &["Contact: <sip:anotherexample.com;transport=tls>"]);
        assert_eq!(refused(&stage), [RedirectRefusal::ForeignHost], "{status}");
    }
}

#[test]
fn a_raised_min_expires_lasts_for_the_process_at_most() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 423, &["Min-Expires: 2000000"]);
    let longer = stage.one();
    assert_eq!(longer.header("Expires"), Some("2000000"));
    stage.ok(&longer, &[]);
    let mut later = stage.restart(account(|_| {}), rfc8599());
    assert_eq!(later.register().header("Expires"), Some("3600"));
}

// Proofs.

#[test]
fn a_wrong_server_proof_is_reported() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage
        .registered_with(&["Authentication-Info: qop=auth, rspauth=\"00f8f25752fb9db835043a59f6041c85\", nc=00000001"]);
    assert_eq!(warnings(&stage), [Warning::ServerProofWrong]);
    assert!(stage.last().suspicious_server);
}

// At rest.

#[test]
fn a_stored_log_out_holds_the_one_ha1_that_it_needs() {
    let mut stage = Stage::rfc8599();
    stage.registered();
    stage.store_refuses = false;
    stage.log_out();
    let record = String::from_utf8_lossy(&stage.store[sipwake_core::snapshot::REMOVALS]).into_owned();
    assert!(!record.contains("\"secret\""), "the password itself is not kept");
    let hash = |algorithm| ha1(algorithm, "alice", "asterisk", "secret").expose().to_owned();
    assert!(record.contains(&hash(Algorithm::Md5)));
    for other in [Algorithm::Sha256, Algorithm::Sha512_256] {
        assert!(!record.contains(&hash(other)), "{other} was never asked for");
    }
}

// The threat model.

fn sources(folder: &std::path::Path, text: &mut String) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, text);
        } else if name.ends_with(".rs") {
            *text += &std::fs::read_to_string(&path).unwrap_or_default();
        }
    }
}

#[test]
fn every_test_that_the_threat_model_and_the_promises_name_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = String::new();
    for folder in ["rust", "tests"] {
        sources(&root.join(folder), &mut text);
    }
    let is_name = |word: &&str| {
        word.matches('_').count() >= 4
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
    };
    for (page, most) in [("docs/security.md", 30), ("docs/reliability.md", 90)] {
        let page = std::fs::read_to_string(root.join(page)).expect("the page is there");
        let named: Vec<&str> = page.split('`').filter(is_name).collect();
        assert!(named.len() > most, "{named:?}");
        for name in named {
            assert!(text.contains(&format!("fn {name}(")), "no test is called {name}");
        }
    }
}

#[cfg(feature = "sealed")]
mod push_key {
    use sipwake_core::sealed::PushKey;

    use super::*;

    fn key(auth: &str) -> PushKey {
        PushKey { p256dh: "BPublic".into(), auth: auth.into() }
    }

    fn with_key(config: AccountConfig) -> Stage {
        let mut stage = Stage::new(config, rfc8599());
        stage.agent.set_push_key(&key("AAA"), stage.now);
        stage.set_token(fcm("a:1"));
        stage
    }

    fn asking(transport: Transport) -> AccountConfig {
        configured(|config| {
            config.transport = Some(transport);
            config.send_push_key = true;
            config.allow_cleartext_secrets = true;
        })
    }

    #[test]
    fn the_push_key_goes_only_to_a_configured_host_over_tls_and_only_if_the_app_wants_it() {
        for (transport, goes) in [
            (Transport::Tls, true),
            (Transport::Wss, true),
            (Transport::Tcp, false),
            (Transport::Udp, false),
            (Transport::Ws, false),
        ] {
            let sent = with_key(asking(transport)).registered();
            assert_eq!(sent.header("X-Push-Key"), goes.then_some("auth=AAA;p256dh=BPublic"), "{transport:?}");
        }
        assert_eq!(with_key(configured(|_| {})).registered().header("X-Push-Key"), None, "nobody asked for it");
        let mut stage = Stage::new(asking(Transport::Tls), rfc8599());
        stage.agent.set_push_key(&key("AAA"), stage.now);
        assert_eq!(stage.registered().header("X-Push-Key"), None, "without a token there is nothing to seal");
    }

    #[test]
    fn the_push_key_never_goes_to_the_target_of_a_redirect() {
        let mut stage = with_key(asking(Transport::Tls));
        let first = stage.register();
        assert!(first.header("X-Push-Key").is_some());
        stage.reply(&first, 302, &["Contact: <sip:edge.example.com;transport=tls>"]);
        let there = stage.one();
        assert!(stage.opened.iter().any(|hop| hop.contains("edge.example.com")), "{:?}", stage.opened);
        assert_eq!(there.header("X-Push-Key"), None);
    }

    #[test]
    fn a_new_push_key_is_sent_at_once_and_a_removal_carries_none() {
        let mut stage = with_key(asking(Transport::Tls));
        stage.registered();
        stage.agent.set_push_key(&key("AAA"), stage.now);
        stage.drain();
        stage.silent();
        stage.agent.set_push_key(&key("BBB"), stage.now);
        stage.drain();
        let sent = stage.one();
        assert_eq!(sent.header("X-Push-Key"), Some("auth=BBB;p256dh=BPublic"));
        stage.ok(&sent, &[]);
        stage.unbind();
        let unbound = stage.one();
        assert_eq!(unbound.header("X-Push-Key"), None);
        stage.ok(&unbound, &[]);
        stage.log_out();
        assert_eq!(stage.one().header("X-Push-Key"), None);
    }

    #[test]
    fn an_account_added_or_changed_later_sends_the_push_key_too() {
        let mut stage = Stage::empty();
        stage.agent.set_push_key(&key("AAA"), stage.now);
        stage.add(configured(|_| {}), rfc8599());
        assert!(!stage.agent.wants_push_key());
        stage.set_token(fcm("a:1"));
        assert_eq!(stage.registered().header("X-Push-Key"), None);
        stage.add(asking(Transport::Tls), rfc8599());
        stage.start_registering();
        assert!(stage.all().pop().expect("sent").header("X-Push-Key").is_some());
        let mut stage = Stage::new(asking(Transport::Tls), rfc8599());
        assert!(stage.agent.wants_push_key());
        stage.agent.set_push_key(&key("AAA"), stage.now);
        assert!(!stage.agent.wants_push_key());
    }

    #[test]
    fn no_trace_shows_the_push_key() {
        let sent = with_key(asking(Transport::Tls)).registered();
        let shown = sipwake_core::trace::redacted(sent.text.as_bytes());
        assert!(shown.contains("X-Push-Key") && !shown.contains("AAA"), "{shown}");
    }
}
