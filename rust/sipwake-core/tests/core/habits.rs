//! What real servers do that the standards do not foresee: refusals in other words, lifetimes told in other places, lists
//! written otherwise.

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

/// Answers what was sent as a registrar that takes each nonce once and refuses it the second time with `code`.
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
fn a_cached_nonce_that_is_refused_in_any_words_is_forgotten_and_one_request_goes_without() {
    for code in [400, 403, 404, 406, 480, 500, 603] {
        let mut stage = bound_rfc8599();
        let refresh = stage.register();
        assert!(refresh.auth("nonce").is_some(), "answered ahead of being asked");
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
fn a_trouble_of_the_server_is_no_refusal_of_the_nonce() {
    for code in [408, 503, 504] {
        let mut stage = bound_rfc8599();
        let refresh = stage.register();
        stage.reply(&refresh, code, &[]);
        stage.silent();
    }
}

#[test]
fn a_registrar_that_takes_a_nonce_once_is_reached_by_each_push() {
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
fn stale_again_and_again_does_not_end_all_pushes() {
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
fn credentials_that_never_worked_stay_stopped_but_for_the_app_and_another_network() {
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
        assert_eq!(!stage.all().is_empty(), follows, "what was learnt in the clear does not outlive the network");
        let again = Stage::register;
        if !follows {
            assert!(again(&mut stage).is_register());
        }
    }
}

#[test]
fn credentials_that_once_worked_get_one_try_a_push_thirty_seconds_apart_and_six_an_hour() {
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
    assert_eq!(answered, tried, "what was refused is not tried twice again");
}

#[test]
fn a_contact_that_is_too_long_for_the_server_goes_without_push_and_the_reason_is_told() {
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
fn what_the_server_says_of_its_reason_reaches_the_app() {
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
fn a_response_with_two_vias_is_nobodys() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let more = "Via: SIP/2.0/UDP elsewhere;branch=z9hG4bKx\r\nFrom: ";
    stage.input(response(&first, 200, "OK", &[]).replacen("From: ", more, 1));
    assert!(stage.registrations().is_empty());
}

#[test]
fn an_observed_address_of_zero_is_none() {
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
fn the_realm_of_x_piid_is_the_upper_servers_whoever_else_asks() {
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
fn a_lifetime_is_ours_however_the_server_writes_our_contact() {
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
fn a_lifetime_that_nobody_tells_is_the_shortest_that_it_can_be() {
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
fn the_only_contact_that_was_prolonged_is_ours() {
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
fn a_rewritten_contact_is_refreshed_before_it_lapses() {
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
fn a_200_that_grants_no_time_is_no_loop() {
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
    assert!((9..=11).contains(&asked), "{asked} REGISTERs in ten minutes: one a minute");
    assert!(stage.last().verdict.lifetime_unknown && stage.last().expires <= seconds(60), "{:?}", stage.last());
}

#[test]
fn no_time_in_the_header_is_never_believed_to_be_what_was_asked_for() {
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
fn a_lifetime_of_which_nothing_is_said_is_told_as_unknown() {
    assert!(granted(|sent| sent.contact().to_owned()).1);
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("c-10:APA91bToken"));
    let first = stage.register();
    stage.reply(&first, 200, &[]);
    assert!(stage.last().verdict.lifetime_unknown);
}

#[test]
fn a_flow_timer_is_kept() {
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
fn a_flood_of_pushes_is_no_flood_of_registers_and_none_is_forgotten() {
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
fn of_several_contacts_with_our_token_none_that_lives_longer_than_was_asked_for_is_ours() {
    // The record of what was bound is lost; that lives on beside the new one, both at rewritten addresses.
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
    assert_eq!(stage.last().expires, seconds(300), "also where the server keeps it");
}

#[test]
fn a_contact_that_was_taken_for_an_old_one_grants_no_more_than_it_has_itself() {
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
