//! What each response to a REGISTER leads to, on virtual time.

use std::time::Duration;

use sipwake_core::account::Transport;
use sipwake_core::event::{Discard, Event, Failure};
use sipwake_core::push::{Dialect, Provider, Push, Standing};

use crate::support::{Stage, account, fcm, over, push_config, response, rfc8599, seconds};

fn discarded(stage: &Stage, what: Discard) -> u64 {
    let counts = stage.events.iter().filter_map(|event| match event {
        Event::Discarded { reason, count } if *reason == what => Some(*count),
        _ => None,
    });
    counts.max().unwrap_or_default()
}

#[test]
fn over_udp_a_request_is_sent_eleven_times_and_over_tcp_once() {
    for (transport, times) in [(Transport::Udp, 11), (Transport::Tcp, 1)] {
        let mut stage = Stage::new(over(transport), None);
        let first = stage.register();
        stage.advance(Duration::from_millis(31_999));
        let again = stage.all();
        assert_eq!(again.len(), times - 1);
        assert!(again.iter().all(|request| request.text == first.text), "byte for byte");
        stage.advance(Duration::from_millis(1));
        assert_eq!(stage.failures()[0].0, &Failure::TimedOut);
        let wait = stage.failures()[0].1.expect("it is tried again");
        assert!((seconds(1)..=seconds(60)).contains(&wait), "{wait:?}");
        stage.silent();
        stage.advance(wait);
        let next = stage.one();
        assert!(next.cseq() > first.cseq());
        assert_eq!(next.header("Call-ID"), first.header("Call-ID"));
    }
}

#[test]
fn the_waits_after_failures_grow_to_half_an_hour_at_most() {
    let mut stage = Stage::new(account(|_| {}), None);
    let mut next = stage.register();
    let mut longest = Duration::ZERO;
    for _ in 0..12 {
        stage.reply(&next, 500, &[]);
        let wait = stage.failures().pop().and_then(|(_, wait)| wait).expect("tried again");
        assert!((seconds(1)..=seconds(1800)).contains(&wait));
        longest = longest.max(wait);
        stage.advance(wait);
        next = stage.one();
    }
    assert!(longest > seconds(300), "{longest:?}");
    assert_eq!(stage.opened.len(), 1, "without another gateway the flow can be used");
}

#[test]
fn a_wake_that_fails_is_tried_four_times_soon_and_then_backs_off() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.registered();
    stage.push("{}");
    let with_the_nonce = stage.one();
    stage.reply(&with_the_nonce, 500, &[]);
    for soon in [1, 2, 4, 8] {
        let request = stage.one();
        stage.reply(&request, 500, &[]);
        assert_eq!(stage.failures().pop().and_then(|(_, wait)| wait), Some(seconds(soon)));
        stage.advance(seconds(soon));
    }
    let request = stage.one();
    stage.reply(&request, 500, &[]);
    let wait = stage.failures().pop().and_then(|(_, wait)| wait).expect("tried again");
    assert!(wait > seconds(8), "{wait:?}");
}

#[test]
fn retry_after_is_followed_within_reason() {
    for (line, wait) in
        [("Retry-After: 120", 120), ("Retry-After: 18 (soon);duration=5", 18), ("Retry-After: 99999999", 3600)]
    {
        let mut stage = Stage::new(account(|_| {}), None);
        let first = stage.register();
        stage.reply(&first, 503, &[line]);
        assert_eq!(stage.failures()[0].1, Some(seconds(wait)));
        stage.advance(seconds(wait) - Duration::from_millis(1));
        stage.silent();
        stage.advance(Duration::from_millis(1));
        stage.one();
    }
}

#[test]
fn a_423_is_followed_within_reason_and_remembered() {
    const THIRTY_DAYS: &str = "2592000";
    for min in ["1800", THIRTY_DAYS] {
        let mut stage = Stage::new(account(|config| config.expires = 60), None);
        let first = stage.register();
        stage.reply(&first, 423, &[&format!("Min-Expires: {min}")]);
        let second = stage.one();
        assert_eq!(second.header("Expires"), Some(min));
        stage.ok(&second, &[]);
        assert_eq!(stage.register().header("Expires"), Some(min));
    }

    for absurd in
        ["Min-Expires: 4294967295", "Min-Expires: 2592001", "Min-Expires: 1", "Min-Expires: x", "X-Nothing: 1"]
    {
        let mut stage = Stage::new(account(|config| config.expires = 60), None);
        let first = stage.register();
        stage.reply(&first, 423, &[absurd]);
        stage.silent();
        assert!(stage.failures()[0].1.is_some(), "{absurd}");
    }
}

#[test]
fn a_min_expires_that_keeps_growing_is_given_up() {
    let mut stage = Stage::new(account(|config| config.expires = 60), None);
    let mut next = Some(stage.register());
    let mut count = 0;
    while let Some(request) = next {
        count += 1;
        stage.reply(&request, 423, &[&format!("Min-Expires: {}", 60 + count)]);
        next = stage.sent.pop_front();
    }
    assert_eq!(count, 8);
    assert_eq!(stage.failures()[0].0, &Failure::Circles);
}

#[test]
fn a_redirect_is_followed_and_kept_while_its_flow_lives() {
    let mut stage = Stage::new(over(Transport::Tls), None);
    let first = stage.register();
    stage.reply(&first, 302, &["Contact: <tel:+1>", "Contact: <sip:bob@eu.example.com:5080;transport=tls?X=y>;q=0.5"]);
    assert_eq!(stage.opened, ["example.com:5061/tls", "eu.example.com:5080/tls"]);
    let second = stage.one();
    assert_eq!(second.start(), "REGISTER sip:eu.example.com:5080;transport=tls SIP/2.0");
    stage.ok(&second, &[]);
    assert_eq!(stage.register().start(), second.start(), "a refresh goes where its binding is");

    let mut stage2 = Stage::new(account(|_| {}), None);
    let first = stage2.register();
    stage2.reply(&first, 302, &["Contact: <sip:example.com:5090>"]);
    let second = stage2.one();
    stage2.reply(&second, 503, &["Retry-After: 5"]);
    stage2.advance(seconds(5));
    assert_eq!(stage2.opened.last().map(String::as_str), Some("example.com:5060/udp"), "back to the registrar");
    assert!(stage2.one().start().starts_with("REGISTER sip:example.com "));
}

#[test]
fn redirects_in_a_circle_end() {
    let mut stage = Stage::new(account(|_| {}), None);
    let mut next = Some(stage.register());
    let mut count = 0;
    while let Some(request) = next {
        count += 1;
        stage.reply(&request, 301, &["Contact: <sip:example.com>"]);
        next = stage.sent.pop_front();
    }
    assert_eq!(count, 8);
    assert_eq!(stage.failures()[0].0, &Failure::Circles);
    assert!(stage.failures()[0].1.is_some());
}

#[test]
fn a_redirect_never_leads_from_a_secure_flow_to_a_clear_one() {
    let mut stage = Stage::new(account(|config| config.aor = "sips:alice@example.com".into()), None);
    let first = stage.register();
    stage.reply(
        &first,
        302,
        &["Contact: <sip:evil.example.net;transport=tcp>", "Contact: <sip:evil.example.net;maddr=1.2.3.4>"],
    );
    assert!(stage.opened.iter().all(|hop| hop.ends_with("/tls")), "{:?}", stage.opened);
}

#[test]
fn junk_in_a_redirect_leads_nowhere() {
    for contact in
        ["*", "<sip:>", "<sip:[::1>", "<http://example.com>", "", "<sip:a@b;maddr=%00\u{fffd}>;;;=", "<sips:"]
    {
        let mut stage = Stage::new(account(|_| {}), None);
        let first = stage.register();
        stage.reply(&first, 302, &[&format!("Contact: {contact}")]);
        let opened = stage.opened.len();
        assert!(opened <= 2 && stage.sent.len() + stage.failures().len() <= 1, "{contact}: {:?}", stage.opened);
    }
}

#[test]
fn a_response_that_matches_no_request_is_counted_and_changes_nothing() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let good = response(&first, 200, "OK", &[&format!("Contact: {}", first.contact())]);
    for foreign in [
        good.replace("branch=z9hG4bK", "branch=z9hG4bKx"),
        good.replace(" REGISTER\r\n", " INVITE\r\n"),
        good.replace("CSeq: 1 ", "CSeq: 2 "),
    ] {
        assert_ne!(foreign, good);
        stage.input(foreign);
    }
    assert!(discarded(&stage, Discard::ForeignResponse) + discarded(&stage, Discard::Malformed) >= 2);
    for malformed in
        ["SIP/2.0 200\r\n\r\n", "\u{0}\u{1}", "HTTP/1.1 200 OK\r\n\r\n", "SIP/2.0 200 OK\r\nVia: ;;;\r\n\r\n"]
    {
        stage.input(malformed);
    }
    assert!(discarded(&stage, Discard::Malformed) >= 2);
    stage.silent();
    assert!(stage.registrations().is_empty());
    stage.input(&good);
    assert_eq!(stage.registrations().len(), 1);
    stage.input(&good);
    assert_eq!(stage.registrations().len(), 1, "the same 200 again");
}

#[test]
fn a_provisional_response_slows_the_retransmissions_and_ends_nothing() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    stage.reply(&first, 100, &[]);
    stage.advance(Duration::from_millis(3_999));
    stage.silent();
    stage.advance(Duration::from_millis(1));
    assert_eq!(stage.one().text, first.text);
    stage.ok(&first, &[]);
    assert_eq!(stage.registrations().len(), 1);
}

#[test]
fn our_own_lifetime_counts_among_many() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let ours = format!("Contact: \"Alice\" {};q=0.7;expires=1800", first.contact());
    stage.reply(
        &first,
        200,
        &[
            "Contact: <sip:alice@198.51.100.1:5070>;expires=7",
            &ours,
            "Contact: <sip:alice@192.0.2.10:5071>;expires=9",
            "Expires: 11",
        ],
    );
    assert_eq!(stage.last().expires, seconds(1800));
    stage.silent();

    for (lines, expires) in [(&["Expires: 600"][..], 600), (&[][..], 3600), (&["Expires: x"][..], 3600)] {
        let mut stage = Stage::new(account(|_| {}), None);
        let first = stage.register();
        stage.reply(&first, 200, lines);
        assert_eq!(stage.last().expires, seconds(expires), "{lines:?}");
    }
}

#[test]
fn a_200_with_a_lifetime_of_zero_is_a_failure_and_starts_no_loop() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    stage.reply(&first, 200, &[&format!("Contact: {};expires=0", first.contact())]);
    stage.silent();
    assert!(stage.registrations().is_empty());
    assert!(matches!(stage.failures()[..], [(Failure::Answered { code: 200, .. }, Some(_))]));
}

#[test]
fn after_a_final_refusal_only_the_app_can_ask_again() {
    for code in [403, 404, 410, 416, 603, 604] {
        let mut stage = Stage::new(account(|_| {}), None);
        let first = stage.register();
        stage.reply(&first, code, &[]);
        assert!(matches!(stage.failures()[..], [(Failure::Refused { .. }, None)]), "{code}");
        stage.advance(seconds(86_400));
        stage.silent();
        stage.register();
    }
}

#[test]
fn with_an_installation_id_the_server_must_send_to_fid() {
    for (token, said) in [("dQw4w9WgXcQ_a-b0123456", true), ("dQw4w9WgXcQ_a-b0123456:APA91b", false), ("a:1", false)] {
        for caps in ["Feature-Caps: *;+sip.pns=\"fcm\"", "X-Nothing: 1"] {
            let mut stage = Stage::rfc8599();
            stage.set_token(fcm(token));
            stage.registered_with(&[caps]);
            assert_eq!(stage.last().verdict.advice.contains("`fid`"), said, "{token}");
        }
    }
}

#[test]
fn feature_caps_are_read_in_every_spelling() {
    for (caps, standing) in [
        ("Feature-Caps: *;+sip.pns=\"fcm\"", Standing::Confirmed),
        ("feature-caps:  * ; +SIP.PNS=\"FCM\"", Standing::Confirmed),
        ("Feature-Caps: +sip.pns=\"fcm\";+sip.pnsreg=\"130\";+sip.pnspurr=\"x\"", Standing::Confirmed),
        ("Feature-Caps: *;+sip.pns=\"apns\", *;+sip.pns=\"fcm\"", Standing::Confirmed),
        ("Feature-Caps: *;+sip.pns=\"apns\"", Standing::Refused),
        ("Feature-Caps: *;+g.3gpp.x", Standing::Unconfirmed),
        ("X-Nothing: 1", Standing::Unconfirmed),
    ] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        stage.registered_with(&[caps]);
        assert_eq!(stage.last().verdict.standing, standing, "{caps}");
    }
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    stage.registered_with(&[
        "Feature-Caps: *;+sip.pns=\"webpush\";+sip.vapid=\"no\";+sip.pnsreg=\"999\"",
        "Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreq=\"121\";+sip.pnspurr=\"purr\"",
    ]);
    let verdict = &stage.last().verdict;
    assert_eq!(
        (verdict.refresh_lead, verdict.purr.as_deref(), verdict.vapid.as_deref()),
        (Some(121), Some("purr"), None)
    );
}

#[test]
fn a_refresh_is_sent_when_it_is_due_and_not_before() {
    for (caps, at) in [
        ("X-Nothing: 1", 3600 - 120),
        ("Feature-Caps: *;+sip.pns=\"fcm\"", 3600),
        ("Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreg=\"121\"", 3600 - 125),
        ("Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreg=\"9999\"", 1800),
    ] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        stage.registered_with(&[caps]);
        stage.advance(seconds(at) - Duration::from_millis(1));
        stage.silent();
        stage.advance(Duration::from_millis(1));
        stage.one();
    }
}

#[test]
fn a_device_that_slept_for_days_registers_once() {
    let mut stage = Stage::rfc8599();
    stage.registered();
    stage.now = stage.now.after(seconds(5 * 86_400));
    stage.agent.handle_timeout(stage.now);
    stage.drain();
    stage.one();

    let mut stage = Stage::rfc8599();
    stage.register();
    stage.now = stage.now.after(seconds(5 * 86_400));
    stage.push("{}");
    stage.agent.handle_timeout(stage.now);
    stage.drain();
    stage.advance(seconds(1));
    stage.one();
    assert_eq!(stage.failures().len(), 1, "no response came, and the push did not wait for a back-off");
}

#[test]
fn a_flow_that_breaks_after_each_registration_is_reopened_less_and_less_often() {
    let mut stage = Stage::new(over(Transport::Tcp), None);
    let first = stage.register();
    stage.ok(&first, &[]);
    let mut registered = 1;
    let end = stage.now.boot + seconds(86_400);
    while stage.now.boot < end {
        stage.flow_breaks();
        while stage.sent.is_empty() && stage.now.boot < end {
            stage.advance(seconds(1));
        }
        let Some(request) = stage.sent.pop_front() else { break };
        stage.ok(&request, &[]);
        registered += 1;
    }
    assert!(registered < 250, "{registered} in a day");
}

#[test]
fn a_flow_that_breaks_within_a_minute_of_its_registration_is_not_reopened_at_once() {
    for (lived, opened) in [(59_999, 1), (60_000, 2)] {
        let mut stage = Stage::new(over(Transport::Tcp), None);
        stage.registered();
        stage.advance(Duration::from_millis(lived));
        stage.flow_breaks();
        assert_eq!(stage.opened.len(), opened, "{lived} ms");
    }
}

#[test]
fn a_flow_that_cannot_be_opened_is_tried_again_with_back_off() {
    let mut stage = Stage::new(over(Transport::Tcp), None);
    stage.opens = false;
    stage.start_registering();
    stage.flow_breaks();
    let wait = stage.failures()[0].1.expect("tried again");
    stage.advance(wait);
    assert_eq!(stage.opened.len(), 2);
    stage.push("{}");
    stage.start_registering();
    assert_eq!(stage.opened.len(), 2, "one flow is being opened already");
    stage.open_up();
    stage.drain();
    stage.one();
}

#[test]
fn a_push_after_a_flow_died_silently_registers_on_a_new_one_at_once_but_not_in_a_loop() {
    let mut stage = Stage::new(over(Transport::Tcp), None);
    stage.registered();
    stage.advance(seconds(100));
    stage.push("{}");
    stage.one();
    stage.flow_breaks();
    assert!(stage.failures().is_empty());
    let again = stage.one();
    stage.reply(&again, 500, &[]);
    let without_the_nonce = stage.one();
    stage.reply(&without_the_nonce, 500, &[]);
    assert_eq!(stage.failures()[0].1, Some(seconds(1)), "a wake-up gets one more quick attempt");
    stage.advance(seconds(1));
    let last = stage.one();
    stage.reply(&last, 500, &[]);
    assert_eq!(stage.failures().len(), 2);
    stage.advance(Duration::from_millis(999));
    stage.silent();
}

#[test]
fn another_gateway_is_tried_at_once_and_the_first_again_after_the_last() {
    let gateways = ["gw1.example.net", "gw2.example.net", "gw3.example.net"];
    let config = account(|config| config.gateways = gateways.map(str::to_owned).to_vec());
    let mut stage = Stage::new(config, None);
    let first = stage.register();
    stage.reply(&first, 503, &[]);
    let second = stage.one();
    stage.reply(&second, 500, &[]);
    let third = stage.one();
    assert!(stage.failures().is_empty());
    stage.reply(&third, 500, &[]);
    assert_eq!(stage.failures().len(), 1);
    let hosts: Vec<&str> = stage.opened.iter().filter_map(|hop| hop.split(':').next()).collect();
    assert_eq!(hosts, gateways);
    assert!([first, second, third].iter().all(|request| request.start() == "REGISTER sip:example.com SIP/2.0"));
}

#[test]
fn other_gateways_take_effect_at_once_where_a_flow_is_up() {
    let mut stage = Stage::new(account(|config| config.gateways = vec!["gw1.example.net".into()]), None);
    stage.registered();
    stage.add(account(|config| config.gateways = vec!["gw2.example.net".into()]), None);
    stage.one();
    assert_eq!(stage.opened.last().map(String::as_str), Some("gw2.example.net:5060/udp"));
}

#[test]
fn settings_changed_during_a_register_are_sent_after_it() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    stage.add(account(|config| config.user_agent = Some("Later/2".into())), None);
    stage.start_registering();
    stage.silent();
    stage.ok(&first, &[]);
    assert_eq!(stage.one().header("User-Agent"), Some("Later/2"));
}

#[test]
fn the_push_settings_in_use_can_be_asked_for() {
    let stage = Stage::rfc8599();
    let provider = stage.agent.push(&stage.key).expect("the account is there").map(|push| push.provider().clone());
    assert_eq!(provider, Some(Provider::Fcm));
    let stage = Stage::new(account(|_| {}), None);
    assert!(stage.agent.push(&stage.key).expect("the account is there").is_none());
}

#[test]
fn keep_alives_stop_when_the_account_no_longer_wants_them() {
    let mut stage = Stage::new(account(|config| config.keep_alive = Some(25)), None);
    stage.registered();
    stage.advance(seconds(100));
    assert_eq!(stage.keep_alives, 4);
    stage.add(account(|_| {}), None);
    stage.advance(seconds(100));
    assert_eq!(stage.keep_alives, 4);
}

#[test]
fn a_server_without_outbound_or_with_room_for_one_contact_gets_a_register_that_it_accepts() {
    let mut stage = Stage::new(account(|config| config.instance_id = Some("urn:uuid:1".into())), None);
    let first = stage.register();
    assert!(first.contact().contains(";reg-id=1"));
    stage.reply(&first, 439, &[]);
    assert!(!stage.one().contact().contains(";reg-id"));

    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    stage.registered();
    stage.set_token(fcm("a:2"));
    let two = stage.one();
    assert_eq!(two.headers("Contact").len(), 2);
    stage.reply(&two, 400, &[]);
    assert_eq!(stage.one().headers("Contact").len(), 1);
}

#[test]
fn a_refusal_that_another_request_cannot_correct_is_reported() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let same = format!("Min-Expires: {}", first.header("Expires").expect("always there"));
    stage.reply(&first, 423, &[&same]);
    stage.silent();
    assert!(matches!(stage.failures()[0].0, Failure::Answered { code: 423, .. }));

    let mut stage = Stage::new(account(|_| {}), None);
    let plain = stage.register();
    stage.reply(&plain, 400, &[]);
    stage.silent();
    assert_eq!(*stage.failures()[0].0, Failure::Answered { code: 400, reason: "Whatever".into() });

    let mut stage = Stage::new(account(|config| config.instance_id = Some("urn:uuid:0".into())), None);
    let outbound = stage.register();
    stage.reply(&outbound, 439, &[]);
    let without = stage.one();
    assert!(outbound.contact().contains("reg-id") && !without.contact().contains("reg-id"));
    stage.reply(&without, 439, &[]);
    stage.silent();
    assert!(matches!(stage.failures()[0].0, Failure::Answered { code: 439, .. }));
}

#[test]
fn a_query_gets_its_answer_and_its_binding_is_removed() {
    for (code, caps, providers) in [
        (200, "Feature-Caps: *;+sip.pns=\"apns\", *;+sip.pns=\"fcm\"", &["apns", "fcm"][..]),
        (555, "X-Nothing: 1", &[][..]),
        (403, "X-Nothing: 1", &[][..]),
    ] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        stage.registered();
        stage.agent.query_push(&stage.key.clone(), None, stage.now).expect("the account is there");
        stage.drain();
        let query = stage.one();
        assert!(query.contact_uri().ends_with(";pn-provider"), "{query:?}");
        stage.reply(&query, code, &[caps]);
        let told = stage.events.iter().any(|event| {
            matches!(event, Event::Capabilities { status, providers: named, .. } if *status == code && named == providers)
        });
        assert!(told, "{:?}", stage.events);
        let bind = stage.one();
        assert_eq!(bind.removed(), [query.contact_uri()]);
        assert!(bind.contact_uri().contains("pn-prid=a:1"));
    }
}

#[test]
fn the_binding_of_a_query_is_told_apart_from_ours_in_upper_and_lower_case() {
    for scheme in ["sip", "SIP"] {
        let mut stage = Stage::rfc8599();
        stage.registered();
        stage.agent.query_push(&stage.key.clone(), None, stage.now).expect("the account is there");
        stage.drain();
        let query = stage.one();
        stage.reply(&query, 200, &[]);
        let bind = stage.one();
        assert_eq!(bind.removed(), [query.contact_uri()]);
        let ours = bind.contact().replace("sip:", &format!("{scheme}:"));
        let lines = [query.contact(), &ours].map(|contact| format!("Contact: {contact};expires=3600"));
        stage.reply(&bind, 200, &[&lines[0], &lines[1]]);
        let removed = stage.all().iter().any(|next| next.removed() == [query.contact_uri()]);
        assert!(removed, "{scheme}");
    }
}

#[test]
fn a_query_in_a_later_process_leaves_the_registration_as_it_is() {
    let mut before = Stage::rfc8599();
    before.set_token(fcm("a:1"));
    before.registered();
    let mut stage = before.restart(account(|_| {}), rfc8599());
    stage.agent.query_push(&stage.key.clone(), None, stage.now).expect("the account is there");
    stage.drain();
    let query = stage.one();
    stage.reply(&query, 200, &[]);
    let bind = stage.one();
    assert!(bind.header("Expires") != Some("0") && bind.contact_uri().contains("pn-prid=a:1"), "{bind:?}");
}

#[test]
fn a_query_is_not_repeated_after_a_log_out() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    stage.registered();
    stage.agent.query_push(&stage.key.clone(), None, stage.now).expect("the account is there");
    stage.drain();
    stage.one();
    stage.log_out();
    stage.flow_breaks();
    let removal = stage.one();
    assert_eq!(removal.header("Expires"), Some("0"), "{removal:?}");
    stage.reply(&removal, 200, &[]);
    assert!(stage.is_logged_out());
}

#[test]
fn a_query_before_the_first_register_leaves_no_binding() {
    for code in [200, 404] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        stage.agent.query_push(&stage.key.clone(), None, stage.now).expect("the account is there");
        stage.drain();
        let query = stage.one();
        stage.reply(&query, 200, &[&format!("Contact: {};expires=3600", query.contact())]);
        let removal = stage.one();
        assert_eq!(removal.header("Expires"), Some("0"));
        assert!(removal.removed().contains(&query.contact_uri()), "{removal:?}");
        stage.reply(&removal, code, &[]);
        assert!(stage.registrations().is_empty() && !stage.is_logged_out());
        stage.advance(seconds(86_400));
        stage.silent();
        // A push or an unbind does not register either, in this process or in the next one.
        let mut next = stage.restart(account(|_| {}), rfc8599());
        next.push("{}");
        next.unbind();
        next.advance(seconds(86_400));
        next.silent();
        stage.push("{}");
        stage.silent();
        let bind = stage.register();
        assert_ne!(bind.header("Expires"), Some("0"));
        assert!(bind.contact_uri().contains("pn-prid=a:1") && bind.removed().is_empty(), "{bind:?}");
    }
}

#[test]
fn a_register_during_the_removal_of_a_querys_binding_is_sent_after_it() {
    for code in [200, 404, 500] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        stage.agent.query_push(&stage.key.clone(), None, stage.now).expect("the account is there");
        stage.drain();
        let query = stage.one();
        stage.reply(&query, 200, &[]);
        let removal = stage.one();
        stage.start_registering();
        stage.silent();
        stage.reply(&removal, code, &[]);
        stage.advance(seconds(if code == 500 { 120 } else { 0 }));
        assert!(!stage.is_logged_out());
        let bind = stage.sent.pop_front().expect("the binding is made");
        assert_ne!(bind.header("Expires"), Some("0"));
        assert!(bind.contact_uri().contains("pn-prid=a:1"), "{bind:?}");
    }
}

#[test]
fn a_verdict_says_how_to_avoid_refresh_pushes_on_ios() {
    let verdict = |provider, caps: &str| {
        let push = Push::parse(push_config(provider, &[Dialect::Rfc8599])).expect("valid");
        push.verdict(200, [("Feature-Caps", caps)])
    };
    for caps in ["*;+sip.pns=\"apns\"", "*;+sip.other"] {
        assert!(verdict(Provider::Apns, caps).advice.contains("as a background push to the alert token"), "{caps}");
    }
    assert_eq!(verdict(Provider::Fcm, "*;+sip.pns=\"fcm\"").advice, "", "Android has silent pushes");
}
