//! What real servers do beyond the standards: refusals in other words, lifetimes in other places, lists in other forms.

use sipwake_core::account::Transport;
use sipwake_core::digest::{Algorithm, ha1};
use sipwake_core::event::Failure;
use sipwake_core::push::{Reason, Standing};

use crate::incoming::CALL;
use crate::support::{CHALLENGE, Sent, Stage, account, fcm, mpush, over, response, rfc8599, seconds};

fn challenge(nonce: &str) -> String {
    CHALLENGE.replace("n1", nonce)
}

fn bound_rfc8599() -> Stage {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("c-10:APA91bToken"));
    stage.registered_with(&["Feature-Caps: *;+sip.pns=\"fcm\""]);
    stage
}

/// Answers as a registrar that accepts each nonce once and refuses it the second time with `code`.
fn once_only(stage: &mut Stage, code: u16, used: &mut Vec<String>) -> bool {
    let mut registered = false;
    while let Some(sent) = stage.sent.pop_front() {
        match sent.auth("nonce").map(str::to_owned) {
            None => stage.reply(&sent, 401, &[&challenge(&format!("n{}", used.len() + 10))]),
            Some(nonce) if used.contains(&nonce) => stage.reply(&sent, code, &[]),
            Some(nonce) => {
                used.push(nonce);
                stage.ok(&sent, &[]);
                registered = true;
            }
        }
    }
    registered
}

// Nonces.

#[test]
fn a_cached_nonce_refused_with_any_status_is_forgotten_and_one_request_goes_without_it() {
    for code in [400, 403, 404, 406, 480, 500, 603] {
        let mut stage = bound_rfc8599();
        let refresh = stage.register();
        assert!(refresh.auth("nonce").is_some(), "the response came before the request");
        stage.reply(&refresh, code, &[]);
        let bare = stage.one();
        assert_eq!(bare.header("Authorization"), None, "{code}");
        stage.reply(&bare, 401, &[&challenge("n2")]);
        let fresh = stage.one();
        assert_eq!(fresh.auth("nonce"), Some("n2"));
        stage.ok(&fresh, &[]);
        assert_eq!(stage.failures(), []);
    }
}

#[test]
fn a_nonce_that_is_refused_without_a_new_challenge_is_forgotten() {
    for (code, line) in [(401, "X: y"), (401, "WWW-Authenticate: Basic realm=\"asterisk\""), (407, "X: y")] {
        let mut stage = bound_rfc8599();
        stage.push(CALL);
        let woken = stage.one();
        assert!(woken.auth("nonce").is_some(), "the response came before the request");
        stage.reply(&woken, code, &[line]);
        let bare = stage.one();
        assert_eq!(bare.header("Authorization"), None, "{code} {line}");
        stage.reply(&bare, 401, &[&challenge("n2")]);
        let fresh = stage.one();
        assert_eq!(fresh.auth("nonce"), Some("n2"));
        stage.ok(&fresh, &[]);
        assert_eq!(stage.failures(), []);
    }
    let mut stage = bound_rfc8599();
    let refresh = stage.register();
    stage.reply(&refresh, 401, &[]);
    let bare = stage.one();
    stage.reply(&bare, 401, &[]);
    stage.silent();
    assert!(matches!(stage.failures()[..], [(Failure::Unanswerable(_), Some(_))]), "{:?}", stage.failures());
}

#[test]
fn a_server_error_does_not_count_as_a_refused_nonce() {
    for code in [408, 503, 504] {
        let mut stage = bound_rfc8599();
        let refresh = stage.register();
        stage.reply(&refresh, code, &[]);
        stage.silent();
    }
}

#[test]
fn a_nonce_is_forgotten_after_two_server_errors_in_a_row() {
    for code in [408, 503, 504] {
        let mut stage = bound_rfc8599();
        let refresh = stage.register();
        stage.reply(&refresh, code, &[]);
        let next = |stage: &mut Stage| {
            let sent = (0..3600).find_map(|_| {
                stage.advance(seconds(1));
                stage.sent.pop_front()
            });
            sent.unwrap_or_else(|| panic!("{code}: it is not tried again"))
        };
        let again = next(&mut stage);
        assert_eq!(again.auth("nonce"), Some("n1"), "{code}: one failure means trouble");
        stage.reply(&again, code, &[]);
        let bare = next(&mut stage);
        assert_eq!(bare.header("Authorization"), None, "{code}");
        stage.reply(&bare, 401, &[&challenge("n2")]);
        let fresh = stage.one();
        assert_eq!(fresh.auth("nonce"), Some("n2"), "{code}");
        stage.ok(&fresh, &[]);
    }
}

#[test]
fn each_push_registers_at_a_registrar_that_accepts_a_nonce_once() {
    for code in [403, 400, 500] {
        let mut used = Vec::new();
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("c-10:APA91bToken"));
        stage.start_registering();
        assert!(once_only(&mut stage, code, &mut used));
        for call in 0..3 {
            stage.advance(seconds(600));
            once_only(&mut stage, code, &mut used);
            stage.push(&CALL.replace("call-1", &format!("call-{call}")));
            assert!(once_only(&mut stage, code, &mut used), "{code}: push {call}");
        }
        stage.log_out();
        assert!(stage.sent.front().is_some());
        once_only(&mut stage, code, &mut used);
        assert!(stage.is_logged_out(), "{code}");
    }
}

#[test]
fn repeated_stale_challenges_do_not_end_all_pushes() {
    let mut stage = Stage::bound();
    let mut request = stage.register();
    for nonce in 2..6 {
        stage.reply(&request, 401, &[&format!("{}, stale=true", challenge(&format!("n{nonce}")))]);
        match stage.sent.pop_front() {
            Some(next) => request = next,
            None => break,
        }
    }
    stage.silent();
    assert!(matches!(stage.failures()[..], [(Failure::Unanswerable(_), Some(_))]), "{:?}", stage.failures());
    stage.push(CALL);
    assert!(stage.one().is_register());
}

// Refusals.

#[test]
fn a_server_that_once_accepted_us_is_asked_again_after_a_refusal() {
    for code in [403, 404] {
        let mut stage = bound_rfc8599();
        let refresh = stage.moved_to(5072);
        stage.reply(&refresh, code, &[]);
        let bare = stage.one();
        stage.reply(&bare, code, &[]);
        assert!(matches!(stage.failures()[..], [(Failure::Refused { .. }, Some(_))]), "{:?}", stage.failures());
        stage.advance(seconds(60));
        stage.silent();
        stage.push(CALL);
        assert!(stage.one().is_register(), "{code}: a push rings and nobody registers");
    }
}

#[test]
fn credentials_that_never_worked_are_tried_again_only_for_the_app_or_on_another_network() {
    for (transport, follows) in [(Transport::Udp, true), (Transport::Tls, false)] {
        let mut stage = Stage::new(over(transport), rfc8599());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, 401, &[CHALLENGE]);
        let second = stage.one();
        stage.reply(&second, 403, &[]);
        assert!(matches!(stage.failures()[..], [(Failure::Refused { code: 403, .. }, None)]), "{:?}", stage.failures());
        stage.push(CALL);
        stage.advance(seconds(7200));
        stage.silent();
        stage.network_changes();
        assert_eq!(
            !stage.all().is_empty(),
            follows,
            "sipwake forgets what it learnt without TLS when the network changes"
        );
        let again = Stage::register;
        if !follows {
            assert!(again(&mut stage).is_register());
        }
    }
}

#[test]
fn credentials_that_once_worked_get_one_try_per_push_thirty_seconds_apart_and_six_an_hour() {
    let mut stage = Stage::bound();
    let refresh = stage.register();
    stage.reply(&refresh, 401, &[&challenge("n2")]);
    let fresh = stage.one();
    stage.reply(&fresh, 401, &[&challenge("n3")]);
    let again = stage.one();
    stage.reply(&again, 401, &[&challenge("n4")]);
    assert_eq!(stage.failures(), [(&Failure::WrongCredentials, None)]);
    let (mut tried, mut answered) = (0, 0);
    for push in 0..120 {
        stage.push(&CALL.replace("call-1", &format!("call-{push}")));
        while let Some(sent) = stage.sent.pop_front() {
            tried += usize::from(sent.header("Authorization").is_none());
            answered += usize::from(sent.header("Authorization").is_some());
            stage.reply(&sent, 401, &[&challenge(&format!("p{push}-{tried}-{answered}"))]);
        }
        stage.advance(seconds(29));
    }
    assert!((5..=6).contains(&tried), "{tried} tries in an hour");
    assert_eq!(answered, tried, "a refused Contact is not tried twice again");
}

#[test]
fn a_contact_too_long_for_the_server_goes_without_push_and_the_reason_is_reported() {
    for line in [Some("P-Registrar-Error: Contact/received too long"), None] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm(&format!("c-10:{}", "A".repeat(163))));
        stage.start_registering();
        let mut asked = 0;
        while let Some(sent) = stage.sent.pop_front() {
            asked += 1;
            if sent.contact_uri().contains("pn-prid") {
                stage.reply(&sent, 400, &Vec::from_iter(line));
            } else {
                stage.ok(&sent, &[]);
            }
        }
        assert!(asked <= 3, "{asked} requests");
        let verdict = &stage.last().verdict;
        assert_eq!(verdict.standing, Standing::Refused);
        assert!(matches!(&verdict.reason, Reason::ContactRefused(why) if line.is_none() || why.contains("too long")));
        let next = stage.register();
        assert!(!next.contact_uri().contains("pn-prid"), "it is not refused again at each refresh");
    }
}

#[test]
fn a_contact_counts_as_too_long_with_any_status_if_the_server_says_so() {
    for (code, line) in [
        (500, "P-Registrar-Error: Contact/received too long"),
        (403, "Warning: 399 pbx \"contact too long\""),
        (488, "Reason: SIP;cause=488;text=\"Contact too big\""),
        (606, "Warning: 399 pbx \"Contact URI exceeds 255 bytes\""),
        (400, "Warning: 399 pbx \"Contact URI too long\""),
    ] {
        // A server that never accepted us, and one that did.
        for first in [true, false] {
            let mut stage = Stage::rfc8599();
            if !first {
                stage.registered();
            }
            stage.set_token(fcm(&format!("c-10:{}", "A".repeat(163))));
            if first {
                stage.start_registering();
            }
            let mut asked = 0;
            while let Some(sent) = stage.sent.pop_front() {
                asked += 1;
                if sent.contact_uri().contains("pn-prid") {
                    stage.reply(&sent, code, &[line]);
                } else {
                    stage.ok(&sent, &[]);
                }
            }
            assert!(asked <= 4, "{code}: {asked} requests");
            assert_eq!(stage.failures(), [], "{code}");
            assert!(matches!(&stage.last().verdict.reason, Reason::ContactRefused(_)), "{code}: {:?}", stage.last());
        }
    }
}

#[test]
fn too_many_contacts_do_not_count_as_a_contact_that_is_too_long() {
    let mut stage = bound_rfc8599();
    let refresh = stage.register();
    stage.reply(&refresh, 403, &["Warning: 399 pbx \"max_contacts exceeded\""]);
    let bare = stage.one();
    stage.reply(&bare, 403, &["Warning: 399 pbx \"max_contacts exceeded\""]);
    assert!(matches!(stage.failures()[..], [(Failure::Refused { code: 403, .. }, Some(_))]), "{:?}", stage.failures());
    stage.push(CALL);
    assert!(stage.one().contact_uri().contains("pn-prid"));
}

#[test]
fn the_reason_that_the_server_gives_reaches_the_app() {
    let mut stage = Stage::mpush();
    let first = stage.register();
    let lines = ["Warning: 399 pbx \"licence expired\"", "Reason: Q.850;cause=47"];
    stage.reply(&first, 480, &lines);
    let told = stage.failures()[0].0.to_string();
    assert!(told.contains("licence expired") && told.contains("Q.850;cause=47"), "{told}");
}

#[test]
fn a_305_keeps_the_domain_in_the_request_uri() {
    let gateways = || vec!["example.com".to_owned(), "proxy.example.net".to_owned()];
    let mut stage = Stage::new(account(|config| config.gateways = gateways()), None);
    let first = stage.register();
    stage.reply(&first, 305, &["Contact: <sip:proxy.example.net;lr>"]);
    assert_eq!(stage.one().start(), "REGISTER sip:example.com SIP/2.0");
    assert_eq!(stage.opened.last().map(String::as_str), Some("proxy.example.net:5060/udp"));
}

#[test]
fn a_sips_aor_registers_a_sips_contact() {
    let mut stage = Stage::new(account(|config| config.aor = "sips:alice@example.com".into()), None);
    let first = stage.register();
    assert!(first.contact_uri().starts_with("sips:alice@"), "{}", first.contact());
}

#[test]
fn a_response_with_two_vias_is_ignored() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let more = "Via: SIP/2.0/UDP elsewhere;branch=z9hG4bKx\r\nFrom: ";
    stage.input(response(&first, 200, "OK", &[]).replacen("From: ", more, 1));
    assert!(stage.registrations().is_empty());
}

#[test]
fn an_observed_address_of_zero_is_ignored() {
    let mut stage = Stage::new(account(|config| config.follow_observed_address = true), None);
    let first = stage.register();
    let via = first.header("Via").expect("always").to_owned();
    let seen = via.replace(";rport", ";rport=0;received=0.0.0.0");
    stage.input(response(&first, 401, "Unauthorized", &[CHALLENGE]).replace(&via, &seen));
    let second = stage.one();
    assert!(!second.contact().contains("0.0.0.0"), "{}", second.contact());
}

// X-PIID.

#[test]
fn x_piid_uses_the_upper_servers_realm_even_if_others_challenge_too() {
    let own = |nonce: &str, name: &str| format!("{name}: Digest realm=\"gw\", nonce=\"{nonce}\", qop=\"auth\"");
    for (code, name) in [(407, "Proxy-Authenticate"), (401, "WWW-Authenticate")] {
        let mut config = over(Transport::Tls);
        config.upper.server = Some("upper.example".into());
        let mut stage = Stage::new(config, mpush());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, code, &[&own("p1", name)]);
        let second = stage.one();
        stage.reply(&second, 401, &[CHALLENGE]);
        let third = stage.one();
        let right = ha1(Algorithm::Md5, "alice", "asterisk", "secret");
        assert_eq!(third.header("X-PIID"), Some(right.expose()));
        stage.ok(&third, &[]);
        let refresh = stage.register();
        stage.reply(&refresh, code, &[&(own("p2", name) + ", stale=true")]);
        let again = stage.one();
        assert_eq!(again.header("X-PIID"), Some(right.expose()), "after {code} at the refresh");
        stage.ok(&again, &[]);
        assert_eq!(stage.register().header("X-PIID"), Some(right.expose()));
    }
}

// Lifetimes.

/// Registers without an Expires header field and with these Contacts, written with ours. Returns the lifetime and whether it
/// is a guess.
fn granted(list: impl Fn(&Sent) -> String) -> (u64, bool) {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("c-10:APA91bToken"));
    let first = stage.register();
    stage.reply(&first, 200, &[&format!("Contact: {}", list(&first))]);
    (stage.last().expires.as_secs(), stage.last().verdict.lifetime_unknown)
}

#[test]
fn our_lifetime_is_found_in_each_form_in_which_servers_write_our_contact() {
    let other = "<sip:alice@198.51.100.9:5062>;expires=3000";
    let with = |ours: String| format!("{other}, {ours};expires=120");
    assert_eq!(
        granted(|sent| with(sent.contact().replace("192.0.2.10:5070", "203.0.113.7:40123"))),
        (120, false),
        "prid"
    );
    assert_eq!(granted(|sent| with(sent.contact().replace(":APA", "%3AAPA"))), (120, false), "escaped");
    assert_eq!(
        granted(|_| with("<sip:ALICE@192.0.2.10:5070;transport=UDP>".into())),
        (120, false),
        "transport and case"
    );
    assert_eq!(
        granted(|_| "<sip:90001@203.0.113.5:53951;transport=ws>;expires=300".into()),
        (300, false),
        "the only one"
    );
    assert_eq!(granted(|sent| format!("{0};expires=0, {0};expires=90", sent.contact())), (90, false), "a live twin");
}

#[test]
fn our_lifetime_is_found_with_what_servers_add_to_our_contact() {
    let other = "<sip:bob@198.51.100.9:5062;pn-provider=fcm;pn-prid=other>;expires=3000";
    let spellings: [fn(&str, &str) -> String; 8] = [
        |ours, other| format!("CONTACT : {other} , {ours} ; EXPIRES = \"0120\""),
        |ours, other| format!("Contact: {other},\r\n {ours}\r\n\t;expires=120"),
        // Kamailio, FreeSWITCH and Asterisk.
        |ours, other| format!("Contact: {other}, {};expires=120", ours.replace('>', ";alias=203.0.113.9~4444~1>")),
        |ours, other| {
            format!("Contact: {other}, {};expires=120", ours.replace('>', ";fs_nat=yes;fs_path=sip%3Ax%40y>"))
        },
        |ours, other| {
            let moved =
                ours.replace("192.0.2.10:5070", "203.0.113.7:4001").replace('>', ";x-ast-orig-host=192.0.2.10>");
            format!("Contact: {other}, {moved};expires=120")
        },
        |_, other| {
            let turned = "pn-prid=c-10:APA91bToken;pn-param=com.example.app;ob;pn-provider=fcm";
            format!("Contact: {other}, <sip:alice@192.0.2.10:5070;{turned}>;q=1;expires=120")
        },
        |ours, other| format!("Contact: {other}, {};expires=120", ours.replace("pn-prid", "PN-PRID")),
        |_, other| format!("Contact: {other}, <SIP:alice@192.0.2.10:5070;Transport=udp>;expires=120"),
    ];
    for spelling in spellings {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("c-10:APA91bToken"));
        let first = stage.register();
        let line = spelling(first.contact(), other);
        stage.reply(&first, 200, &[&line]);
        assert_eq!((stage.last().expires, stage.last().verdict.lifetime_unknown), (seconds(120), false), "{line}");
    }
}

#[test]
fn our_lifetime_is_found_over_every_transport_and_in_both_forms_of_an_address() {
    let other = "<sip:bob@198.51.100.9:5062>;expires=3000";
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        for local in ["192.0.2.10:5070", "[2001:db8::10]:5070"] {
            let mut stage = Stage::new(over(transport), mpush());
            stage.local = local.parse().expect("an address");
            stage.set_token(fcm("a:1"));
            let first = stage.register();
            let ours = first.contact().replace("2001:db8::10", "2001:DB8:0:0:0:0:0:10");
            stage.reply(&first, 200, &[&format!("Contact: {other}, {ours};expires=120")]);
            assert_eq!((stage.last().expires, stage.last().verdict.lifetime_unknown), (seconds(120), false), "{ours}");
            // The list has our observed address.
            let second = stage.register();
            let via = second.header("Via").expect("always");
            let seen = via.replace(";rport", ";rport=4001;received=203.0.113.7");
            let new = "<sip:carol@198.51.100.4>;expires=2000";
            let line = format!("Contact: {other}, {new}, <sip:alice@203.0.113.7:4001>;expires=90");
            stage.input(response(&second, 200, "OK", &[&line]).replace(via, &seen));
            assert_eq!((stage.last().expires, stage.last().verdict.lifetime_unknown), (seconds(90), false), "{ours}");
        }
    }
}

#[test]
fn without_a_lifetime_of_ours_the_shortest_possible_one_is_assumed() {
    let three = "<sip:x@198.51.100.9>;expires=3000, <sip:y@198.51.100.8>;expires=200, <sip:z@198.51.100.7>;expires=20";
    assert_eq!(granted(|_| three.into()), (200, true));
}

#[test]
fn the_default_port_may_be_left_out_of_our_contact() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.local = "192.0.2.10:5060".parse().expect("an address");
    let first = stage.register();
    let listed = first.contact().replace(":5060", "");
    stage.reply(
        &first,
        200,
        &["Contact: <sip:bob@198.51.100.9>;expires=3000", &format!("Contact: {listed};expires=120")],
    );
    assert_eq!(stage.last().expires, seconds(120), "{listed}");
}

#[test]
fn the_only_contact_with_a_longer_lifetime_is_ours() {
    let mut stage = Stage::new(account(|_| {}), None);
    let list =
        |own: u32| format!("Contact: <sip:other@198.51.100.9>;expires=3000, <sip:renamed@203.0.113.5>;expires={own}");
    let first = stage.register();
    stage.reply(&first, 200, &[&list(100)]);
    stage.advance(seconds(60));
    let second = stage.all().pop().unwrap_or_else(|| stage.register());
    stage.reply(&second, 200, &[&list(130).replace("3000", "2940")]);
    assert_eq!(stage.last().expires, seconds(130));
}

#[test]
fn a_rewritten_contact_is_refreshed_before_it_expires() {
    let mut stage = Stage::mpush();
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    let seen = first.contact().replace("192.0.2.10:5070", "203.0.113.7:40123");
    stage.reply(&first, 200, &[&format!("Contact: {seen};expires=120")]);
    stage.advance(seconds(119));
    assert!(!stage.all().is_empty(), "nothing is sent in two minutes");
}

#[test]
fn hundreds_of_bindings_in_one_line_are_read() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    let other = |index| {
        let prid = format!("{index}:APA91b{}", "x".repeat(140));
        format!("<sip:alice@198.51.100.1:{index};pn-provider=fcm;pn-param=com.example.app;pn-prid={prid}>;expires=3000")
    };
    let mut contacts: Vec<String> = (1000..1250).map(other).collect();
    contacts.push(format!("{};expires=1800", first.contact()));
    let line = format!("Contact: {}", contacts.join(", "));
    assert!(line.len() > 50_000 && line.len() < 65_000, "{}", line.len());
    stage.reply(&first, 200, &[&line]);
    assert_eq!(stage.last().expires, seconds(1800));
}

#[test]
fn a_200_with_no_lifetime_starts_no_loop() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.start_registering();
    let mut asked = 0;
    for _ in 0..100 {
        while let Some(next) = stage.sent.pop_front() {
            asked += 1;
            stage.reply(&next, 200, &[&format!("Contact: {}", next.contact()), "Expires: 0"]);
        }
        stage.advance(seconds(6));
    }
    assert!((9..=11).contains(&asked), "{asked} REGISTERs in ten minutes, more than one per minute");
    assert!(stage.last().verdict.lifetime_unknown && stage.last().expires <= seconds(60), "{:?}", stage.last());
}

#[test]
fn expires_0_in_a_200_is_never_taken_for_the_lifetime_that_was_asked_for() {
    let other = "<sip:bob@198.51.100.9>;expires=3000";
    let lists: [fn(&Sent) -> Vec<String>; 4] = [
        |sent| vec![format!("Contact: {}", sent.contact())],
        |sent| vec![format!("Contact: {}", sent.contact().replace("192.0.2.10:5070", "203.0.113.7:40123"))],
        |sent| vec![format!("Contact: {}, <sip:bob@198.51.100.9>;expires=3000", sent.contact())],
        |_| Vec::new(),
    ];
    for list in lists {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("c-10:APA91bToken"));
        let first = stage.register();
        let mut lines = list(&first);
        lines.push("Expires: 0".to_owned());
        lines.push("Feature-Caps: *;+sip.pns=\"fcm\"".to_owned());
        stage.reply(&first, 200, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(stage.last().expires <= seconds(60) && stage.last().verdict.lifetime_unknown, "{lines:?}");
        stage.advance(seconds(59));
        stage.silent();
        stage.advance(seconds(2));
        assert!(!stage.all().is_empty(), "{lines:?}");
    }
    assert_eq!(granted(|sent| format!("{other}, {};expires=90", sent.contact())), (90, false));
}

#[test]
fn a_lifetime_that_the_server_does_not_give_is_reported_as_unknown() {
    assert!(granted(|sent| sent.contact().to_owned()).1);
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("c-10:APA91bToken"));
    let first = stage.register();
    stage.reply(&first, 200, &[]);
    assert!(stage.last().verdict.lifetime_unknown);
}

#[test]
fn a_flow_timer_is_followed() {
    let config = account(|config| {
        config.instance_id = Some("urn:uuid:1".into());
        config.transport = Some(Transport::Tcp);
    });
    let mut stage = Stage::new(config, rfc8599());
    stage.set_token(fcm("a:1"));
    stage.registered_with(&["Require: outbound", "Flow-Timer: 30"]);
    stage.advance(seconds(120));
    assert!(stage.keep_alives >= 4, "{} keep-alives in two minutes", stage.keep_alives);
}

// Pushes.

const NO_ID: &str = r#"{"ntype":"0","nfrom":"1234","ntouser":"alice"}"#;

#[test]
fn each_push_leads_to_a_register_that_is_sent_after_it() {
    let mut stage = Stage::bound();
    for _ in 0..3 {
        stage.push(NO_ID);
        let register = stage.one();
        stage.ok(&register, &[]);
        stage.silent();
        stage.advance(seconds(5));
    }
    stage.push(NO_ID);
    let in_flight = stage.one();
    stage.push(NO_ID);
    stage.silent();
    stage.ok(&in_flight, &[]);
    let after = stage.one();
    stage.ok(&after, &[]);
    stage.silent();
}

#[test]
fn a_push_leads_to_a_register_even_during_a_query_a_back_off_or_a_removal_for_former_settings() {
    let mut asks = Stage::bound();
    asks.agent.query_push(&asks.key.clone(), None, asks.now).expect("the account is there");
    asks.drain();
    let question = asks.one();
    asks.push(NO_ID);
    asks.ok(&question, &[]);
    assert_ne!(asks.one().header("Expires"), Some("0"));

    for code in [480, 486, 500, 600] {
        let mut waits = Stage::bound();
        waits.start_registering();
        while let Some(sent) = waits.sent.pop_front() {
            waits.reply(&sent, code, &["Retry-After: 1800"]);
        }
        waits.push("{}");
        assert!(waits.one().is_register(), "{code}");
    }

    let mut changed = Stage::bound();
    changed.add(account(|_| {}), rfc8599());
    let null = changed.one();
    changed.push("{}");
    changed.silent();
    changed.ok(&null, &[]);
    assert!(changed.one().contact_uri().contains("pn-prid"));
}

#[test]
fn a_push_that_names_no_account_registers_each_account_with_the_token() {
    let mut stage = Stage::empty();
    for domain in ["pbx1.example", "pbx2.example"] {
        stage.add(account(|config| config.aor = format!("sip:100@{domain}")), mpush());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.ok(&first, &[]);
    }
    stage.push("{}");
    let in_flight = stage.all();
    assert_eq!(in_flight.len(), 2);
    stage.push(r#"{"ntype":"0","nfrom":"5","ntouser":"100"}"#);
    stage.silent();
    for sent in &in_flight {
        stage.ok(sent, &[]);
    }
    assert_eq!(stage.all().len(), 2, "both were sent before the second push");
}

#[test]
fn a_flood_of_pushes_leads_to_few_registers_and_no_push_is_forgotten() {
    use sipwake_core::event::Event;
    let mut stage = Stage::bound();
    let mut sent = 0;
    let mut answer = |stage: &mut Stage| {
        while let Some(register) = stage.sent.pop_front() {
            sent += 1;
            stage.ok(&register, &[]);
        }
        sent
    };
    for _ in 0..50 {
        stage.push(NO_ID);
        answer(&mut stage);
    }
    assert_eq!(answer(&mut stage), 6);
    assert!(
        stage.events.iter().any(|event| matches!(event, Event::RegisterDelayed { wait, .. } if *wait == seconds(10)))
    );
    stage.advance(seconds(10));
    assert_eq!(answer(&mut stage), 7);
    stage.advance(seconds(60));
    assert_eq!(answer(&mut stage), 7);
}

#[test]
fn a_contact_with_our_token_and_a_longer_lifetime_than_asked_for_is_not_ours() {
    // The record of the old binding is lost. That binding lives on beside the new one, both at rewritten addresses.
    let mut stage = Stage::new(account(|config| config.expires = 300), rfc8599());
    stage.set_token(fcm("c-10:APA91bToken"));
    let list = |sent: &Sent, old: u32| {
        let ours = sent.contact().replace("192.0.2.10:5070", "203.0.113.7:40123");
        let former = sent.contact().replace("192.0.2.10:5070", "203.0.113.7:40100");
        format!("Contact: {former};expires={old}, {ours};expires=300")
    };
    let first = stage.register();
    stage.reply(&first, 200, &[&list(&first, 3551)]);
    assert_eq!(stage.last().expires, seconds(300));
    let cleanup = stage.one();
    assert_eq!(cleanup.removed(), [first.contact_uri().replace("192.0.2.10:5070", "203.0.113.7:40100")]);
    stage.reply(&cleanup, 200, &[&list(&cleanup, 3551)]);
    assert_eq!(stage.last().expires, seconds(300), "even if the server keeps it");
}

#[test]
fn a_contact_taken_for_an_old_one_gives_no_more_than_its_own_lifetime() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("c-10:APA91bToken"));
    let list = |sent: &Sent| {
        let listed = |port: u16, expires: u32| {
            let contact = sent.contact().replace("192.0.2.10:5070", &format!("203.0.113.7:{port}"));
            format!("{contact};expires={expires}")
        };
        format!("Contact: {}, {}", listed(40100, 3000), listed(40123, 300))
    };
    let first = stage.register();
    stage.reply(&first, 200, &[&list(&first)]);
    while let Some(again) = stage.sent.pop_front() {
        stage.reply(&again, 200, &[&list(&again)]);
    }
    let granted = |stage: &Stage| stage.registrations().iter().map(|told| told.expires.as_secs()).collect::<Vec<_>>();
    assert!(granted(&stage).iter().all(|expires| *expires == 300), "{:?}", granted(&stage));
}

#[test]
fn a_former_contact_is_removed_even_if_only_an_unlisted_transport_tells_it_from_ours() {
    let at = |transport| account(|config| config.transport = Some(transport));
    let mut tcp = Stage::new(at(Transport::Tcp), rfc8599());
    tcp.set_token(fcm("c-10:APA91bToken"));
    let former = tcp.registered();
    let mut udp = tcp.restart(at(Transport::Udp), rfc8599());
    let bind = udp.register();
    assert_eq!(former.contact_uri().replace(";transport=tcp", ""), bind.contact_uri(), "at the same port");
    udp.reply(&bind, 200, &[&format!("Contact: {0};expires=3600, {0};expires=3600", bind.contact())]);
    let cleanup = udp.one();
    assert_eq!(cleanup.removed(), [former.contact_uri()]);
    assert_eq!(cleanup.contact_uri(), bind.contact_uri());
}
