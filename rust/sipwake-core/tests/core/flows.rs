//! Gateways that fail, dead connections and requests that are too large, on virtual time.

use std::time::Duration;

use sipwake_core::account::Transport;
use sipwake_core::event::{Event, Failure, FlowError, FlowId};
use sipwake_core::push::{Dialect, Provider};

use crate::support::{CHALLENGE, Stage, account, mpush, over, push_config, response, seconds, token};

fn accept(stage: &mut Stage, request: &crate::support::Sent) {
    let contact = format!("Contact: <{}>;expires=600", request.contact_uri());
    let text = response(request, 200, "OK", &[&contact]);
    stage.input(&text);
}

fn two_gateways() -> Stage {
    Stage::new(account(|config| config.gateways = vec!["a.example:5060".into(), "b.example:5060".into()]), None)
}

#[test]
fn a_503_with_retry_after_leads_to_the_next_gateway_at_once() {
    for (code, lines) in [(503, vec!["Retry-After: 120"]), (500, vec![]), (504, vec![]), (408, vec![])] {
        let mut stage = two_gateways();
        let first = stage.register();
        stage.input(response(&first, code, "No", &lines));
        let second = stage.one();
        assert_ne!(second.flow, first.flow);
        assert_eq!(stage.opened, ["a.example:5060/udp", "b.example:5060/udp"], "{code}");
        accept(&mut stage, &second);
        assert!(stage.failures().is_empty(), "{code}: the app gets no event while a gateway works");
    }
}

#[test]
fn after_a_408_or_503_the_servers_next_address_is_tried_before_a_failure_is_reported() {
    for code in [408, 503] {
        let mut stage = Stage::new(account(|_| {}), None);
        let first = stage.register();
        stage.agent.handle_flow_leads_on(first.flow, true);
        stage.reply(&first, code, &[]);
        assert_eq!(stage.next_addresses, [first.flow]);
        stage.silent();
        assert!(stage.failures().is_empty(), "{code}: another address may serve");

        stage.agent.handle_flow_leads_on(first.flow, false);
        stage.agent.handle_flow_up(first.flow, stage.local, stage.now);
        stage.drain();
        let second = stage.one();
        assert!(second.cseq() > first.cseq() && second.header("Call-ID") == first.header("Call-ID"));
        stage.reply(&second, code, &[]);
        assert_eq!(stage.next_addresses.len(), 1, "there is no third address");
        assert_eq!(stage.failures().len(), 1, "{code}");
        assert!(!stage.has_a_flow(), "the next try begins at the first address");
    }
}

#[test]
fn a_late_2xx_from_a_former_address_leads_to_a_removal_there() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let left = FlowId(FlowId::FIRST_LEFT.0);
    stage.agent.handle_flow_left(first.flow, left, stage.now);
    stage.up.insert(left);
    stage.drain();
    stage.silent();
    stage.agent.handle_flow_up(first.flow, "192.0.2.9:5999".parse().expect("an address"), stage.now);
    stage.drain();
    let second = stage.one();
    assert_ne!(second.contact_uri(), first.contact_uri());

    stage.input_on(left, response(&first, 200, "OK", &[&format!("Contact: <{}>;expires=600", first.contact_uri())]));
    stage.silent();
    stage.ok(&second, &[]);
    assert_eq!(stage.registrations().len(), 1, "a late response does not count as a registration");
    let removal = stage.one();
    assert_eq!((removal.flow, removal.contact_uri()), (left, first.contact_uri()), "at the gateway that made it");
    assert_eq!(removal.header("Expires"), Some("0"));
    assert!(removal.cseq() > second.cseq() && removal.header("Call-ID") == second.header("Call-ID"));
    stage.input_on(left, response(&removal, 401, "Who?", &[CHALLENGE]));
    let answered = stage.one();
    assert!(answered.flow == left && answered.header("Authorization").is_some());
    stage.input_on(left, response(&answered, 200, "OK", &[]));
    stage.silent();
    assert!(!stage.up.contains(&left), "it is over");
}

#[test]
fn a_former_address_that_refuses_late_gets_no_further_request() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    let left = FlowId(FlowId::FIRST_LEFT.0);
    stage.agent.handle_flow_left(first.flow, left, stage.now);
    stage.up.insert(left);
    stage.agent.handle_flow_up(first.flow, stage.local, stage.now);
    stage.drain();
    let second = stage.one();
    stage.input_on(left, response(&first, 401, "Who?", &[CHALLENGE]));
    assert!(!stage.up.contains(&left));
    stage.ok(&second, &[]);
    stage.silent();
    assert_eq!(stage.registrations().len(), 1);
}

#[test]
fn a_server_with_one_address_is_asked_again_on_its_flow_after_a_503() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.register();
    stage.reply(&first, 503, &[]);
    assert!(stage.next_addresses.is_empty() && stage.has_a_flow());
    assert_eq!(stage.failures().len(), 1);
}

#[test]
fn after_three_503_in_a_row_the_next_try_asks_the_dns_again() {
    for code in [408, 503, 504] {
        let mut stage = Stage::new(account(|_| {}), None);
        stage.registered();
        let mut request = stage.register();
        for trouble in 1..=3 {
            request = troubled(&mut stage, &request, code, trouble);
        }
        assert_eq!(stage.opened.len(), 2, "on another flow");
        stage.ok(&request, &[]);
        assert_eq!(stage.registrations().len(), 2);
    }
}

#[test]
fn a_call_keeps_its_flow_though_the_server_is_in_trouble() {
    let (mut stage, _) = crate::mid_call::in_a_call(false);
    let mut request = stage.register();
    for trouble in 1..=4 {
        request = troubled(&mut stage, &request, 503, trouble);
    }
    assert_eq!(stage.opened.len(), 1);
}

/// The server is in trouble with this request. Returns the next try's.
fn troubled(stage: &mut Stage, request: &crate::support::Sent, code: u16, trouble: usize) -> crate::support::Sent {
    stage.reply(request, code, &[]);
    assert!(stage.has_a_flow(), "calls may still come over it");
    assert_eq!((stage.failures().len(), stage.opened.len()), (trouble, 1));
    let wait = stage.failures().last().and_then(|(_, wait)| *wait).expect("a wait");
    stage.advance(wait);
    stage.all().pop().expect("the next try")
}

#[test]
fn a_gateway_that_never_answers_is_left_for_the_next_after_32_seconds() {
    let mut stage = two_gateways();
    let first = stage.register();
    stage.advance(Duration::from_millis(31_999));
    assert!(stage.all().iter().all(|again| again.text == first.text), "retransmissions");
    assert_eq!(stage.opened.len(), 1);
    stage.advance(Duration::from_millis(1));
    let second = stage.one();
    assert_eq!(stage.opened, ["a.example:5060/udp", "b.example:5060/udp"], "timer F (RFC 3261 section 17.1.2.2)");
    assert!(second.cseq() > first.cseq() && second.header("Call-ID") == first.header("Call-ID"));
    accept(&mut stage, &second);
    assert_eq!(stage.registrations().len(), 1);
    assert!(stage.failures().is_empty(), "the app gets no event while a gateway works");
}

#[test]
fn on_a_wake_a_silent_gateway_is_left_for_the_next_while_the_caller_waits() {
    const PUSH: &str = r#"{"ntype":"0","nfrom":"1234","ncallid":"c1"}"#;
    let mut stage = two_gateways();
    let first = stage.registered();
    stage.push(PUSH);
    stage.one();
    stage.advance(Duration::from_millis(7_999));
    assert_eq!(stage.all().len(), 4, "retransmissions");
    stage.advance(Duration::from_millis(1));
    let second = stage.one();
    assert_ne!(second.flow, first.flow);
    stage.advance(Duration::from_millis(31_999));
    stage.all();
    assert_eq!(stage.opened.len(), 2, "the last one has its full time");

    let mut stage = two_gateways();
    stage.registered();
    stage.push(PUSH);
    let asked = stage.one();
    stage.input(response(&asked, 100, "Trying", &[]));
    stage.advance(seconds(20));
    stage.all();
    assert_eq!(stage.opened.len(), 1, "it is not silent");
}

#[test]
fn on_a_wake_all_addresses_of_a_silent_gateway_together_have_eight_seconds() {
    let mut stage = two_gateways();
    stage.registered();
    stage.push(r#"{"ntype":"0","nfrom":"1234","ncallid":"c1"}"#);
    let asked = stage.one();
    stage.advance(seconds(4));
    stage.all();
    stage.agent.handle_flow_left(asked.flow, FlowId(FlowId::FIRST_LEFT.0), stage.now);
    stage.agent.handle_flow_up(asked.flow, stage.local, stage.now);
    stage.drain();
    assert_eq!(stage.one().flow, asked.flow, "its next address");
    stage.advance(Duration::from_millis(3_999));
    stage.all();
    assert_eq!(stage.opened.len(), 1);
    stage.advance(Duration::from_millis(1));
    assert_eq!(stage.opened.len(), 2);
    let next = stage.one();
    stage.advance(Duration::from_millis(7_999));
    stage.all();
    assert_eq!(stage.opened.len(), 2, "the next gateway has its own time");
    assert_ne!(next.flow, asked.flow);
}

#[test]
fn a_wake_during_a_register_gives_its_gateway_eight_seconds_more() {
    let mut stage = two_gateways();
    stage.register();
    stage.advance(seconds(5));
    stage.push("{}");
    stage.advance(Duration::from_millis(7_999));
    assert_eq!(stage.opened.len(), 1);
    stage.advance(Duration::from_millis(1));
    assert_eq!(stage.opened.len(), 2);
}

#[test]
fn the_app_hears_of_a_failure_when_every_gateway_has_failed() {
    let mut stage = two_gateways();
    let first = stage.register();
    stage.input(response(&first, 503, "No", &["Retry-After: 120"]));
    let second = stage.one();
    stage.input(response(&second, 503, "No", &["Retry-After: 300"]));
    assert_eq!(stage.failures().len(), 1);
    assert_eq!(stage.failures()[0].1, Some(seconds(120)), "both sent Retry-After");
    stage.advance(seconds(119));
    stage.silent();
    stage.advance(seconds(1));
    stage.one();
    assert_eq!(stage.opened.last().map(String::as_str), Some("a.example:5060/udp"));
}

#[test]
fn a_refresh_returns_to_the_preferred_gateway() {
    let mut stage = two_gateways();
    let first = stage.register();
    stage.input(response(&first, 500, "No", &[]));
    let second = stage.one();
    accept(&mut stage, &second);
    stage.advance(Duration::from_millis(540_100));
    let back = stage.one();
    assert_eq!(stage.opened.last().map(String::as_str), Some("a.example:5060/udp"));
    accept(&mut stage, &back);
}

#[test]
fn a_wake_on_a_dead_connection_is_sent_again_on_a_new_one_within_a_second() {
    let mut stage = Stage::new(over(Transport::Tcp), None);
    let first = stage.register();
    accept(&mut stage, &first);
    stage.advance(seconds(60));
    let unanswered = stage.register();
    assert_eq!(unanswered.flow, first.flow, "it looks alive");
    stage.advance(Duration::from_millis(999));
    stage.silent();
    stage.advance(Duration::from_millis(1));
    let again = stage.one();
    assert_ne!(again.flow, first.flow);
    assert!(again.cseq() > unanswered.cseq());
    stage.advance(seconds(30));
    stage.silent();
    accept(&mut stage, &again);
    assert!(stage.failures().is_empty());
}

#[test]
fn a_new_udp_flow_keeps_the_local_port_and_a_tcp_flow_asks_for_none() {
    for (transport, port) in [(Transport::Udp, Some(5070)), (Transport::Tcp, None)] {
        let mut stage = Stage::new(over(transport), None);
        stage.register();
        stage.network_changes();
        stage.one();
        assert_eq!(stage.ports, [None, port], "{transport:?}");
    }
}

#[test]
fn a_connection_that_just_received_something_is_not_replaced() {
    let mut stage = Stage::new(over(Transport::Tcp), None);
    let first = stage.register();
    accept(&mut stage, &first);
    stage.advance(seconds(5));
    let second = stage.register();
    stage.advance(seconds(20));
    stage.silent();
    accept(&mut stage, &second);
    assert_eq!(stage.opened.len(), 1);
}

#[test]
fn a_slow_server_gets_three_times_its_last_response_time() {
    let mut stage = Stage::new(over(Transport::Tcp), None);
    let first = stage.register();
    stage.advance(seconds(1));
    accept(&mut stage, &first);
    stage.advance(seconds(120));
    stage.register();
    stage.advance(Duration::from_millis(2_999));
    stage.silent();
    stage.advance(Duration::from_millis(1));
    stage.one();
    assert_eq!(stage.opened.len(), 2);
}

#[test]
fn a_missing_pong_ends_the_flow_only_where_the_server_has_ponged_before() {
    for pongs in [false, true] {
        let mut config = over(Transport::Tcp);
        config.keep_alive = Some(30);
        let mut stage = Stage::new(config, None);
        let first = stage.register();
        accept(&mut stage, &first);
        stage.advance(seconds(30));
        assert_eq!(stage.keep_alives, 1);
        if pongs {
            stage.input("\r\n");
            stage.advance(seconds(39));
            assert_eq!((stage.keep_alives, stage.opened.len()), (2, 1), "a pong may take ten seconds");
            stage.input("\r\n");
            stage.advance(seconds(30));
            assert_eq!(stage.opened.len(), 1, "it came in time");
        }
        stage.advance(seconds(if pongs { 11 } else { 41 }));
        assert_eq!(stage.opened.len(), if pongs { 2 } else { 1 });
    }
}

#[test]
fn pongs_on_an_idle_connection_get_no_reply() {
    let mut config = over(Transport::Tcp);
    config.keep_alive = Some(30);
    let mut stage = Stage::new(config, None);
    let first = stage.register();
    accept(&mut stage, &first);
    stage.all();
    for sent in 1..=4 {
        stage.advance(seconds(30));
        stage.input("\r\n");
        assert_eq!(stage.keep_alives, sent, "pings alone");
    }
    stage.input("\r\n\r\n");
    assert_eq!(stage.keep_alives, 5, "the server's own ping");
    stage.advance(seconds(30));
    stage.input("\r");
    stage.input("\n");
    assert_eq!(stage.keep_alives, 6, "a pong in halves");
    stage.input("\r\n");
    stage.input("\r\n");
    assert_eq!(stage.keep_alives, 7, "a ping in halves");
}

#[test]
fn over_a_websocket_no_line_ends_keep_the_connection_open() {
    let mut config = over(Transport::Wss);
    config.keep_alive = Some(30);
    let mut stage = Stage::new(config, None);
    let first = stage.register();
    accept(&mut stage, &first);
    stage.advance(seconds(120));
    assert_eq!(stage.keep_alives, 0, "it has pings of its own");
}

fn with_long_token() -> Stage {
    with_token_of(1200)
}

fn with_token_of(length: usize) -> Stage {
    let provider = Provider::Other("acme".into());
    let mut stage = Stage::new(account(|_| {}), Some(push_config(provider.clone(), &[Dialect::Rfc8599])));
    let key = stage.key.clone();
    stage.agent.set_token(&key, token(&provider, &"t".repeat(length)), stage.now).expect("the account is there");
    stage.drain();
    stage
}

#[test]
fn a_request_too_large_for_udp_goes_over_tcp() {
    let mut stage = with_long_token();
    let first = stage.register();
    assert_eq!(stage.opened, ["example.com:5060/udp", "example.com:5060/tcp"]);
    assert_eq!(first.transport(), "TCP");
    assert!(first.contact_uri().contains(";transport=tcp"));
    assert!(first.removed().is_empty(), "no binding was made over UDP");
    accept(&mut stage, &first);
    assert!(stage.failures().is_empty());
}

#[test]
fn a_request_of_1300_bytes_still_goes_over_udp() {
    let sizes = (100..1200).map_while(|length| {
        let mut stage = with_token_of(length);
        let first = stage.register();
        (stage.opened.len() == 1).then_some(first.text.len())
    });
    assert_eq!(sizes.last(), Some(1300), "RFC 3261 section 18.1.1");
}

#[test]
fn where_tcp_is_refused_a_large_request_goes_over_udp() {
    let mut stage = with_long_token();
    stage.opens = false;
    stage.start_registering();
    stage.open_up();
    stage.drain();
    let tcp = *stage.opening.first().expect("TCP is being opened");
    stage.opening.clear();
    stage.agent.handle_flow_down(tcp, FlowError::Unreachable("refused".into()), stage.now);
    stage.opens = true;
    stage.drain();
    stage.open_up();
    stage.drain();
    let sent = stage.one();
    assert_eq!(stage.opened.last().map(String::as_str), Some("example.com:5060/udp"));
    assert!(sent.text.len() > 1300);
    accept(&mut stage, &sent);
    assert!(!stage.failures().iter().any(|(failure, _)| matches!(failure, Failure::Flow(_))));
}

#[test]
fn where_a_large_request_fails_over_udp_too_tcp_is_tried_again() {
    let mut stage = with_long_token();
    stage.opens = false;
    stage.start_registering();
    stage.open_up();
    stage.drain();
    stage.flow_breaks();
    stage.opens = true;
    stage.open_up();
    stage.drain();
    let sent = stage.one();
    assert_eq!((sent.transport(), stage.opened.last().map(String::as_str)), ("UDP", Some("example.com:5060/udp")));
    // Its first connection failed because the server was down, not because it refuses TCP.
    stage.advance(Duration::from_secs(32 + 40));
    assert_eq!(stage.opened.last().map(String::as_str), Some("example.com:5060/tcp"), "{:?}", stage.opened);
}

/// The response of a server that saw us at another address.
fn seen_at(request: &crate::support::Sent, code: u16, lines: &[&str], address: &str) -> String {
    let (host, port) = address.split_once(':').expect("an address");
    response(request, code, "Whatever", lines).replacen(";rport", &format!(";received={host};rport={port}"), 1)
}

#[test]
fn the_contact_follows_the_observed_address_if_the_app_wants_it() {
    for follows in [false, true] {
        let mut stage = Stage::new(account(|config| config.follow_observed_address = follows), None);
        let first = stage.register();
        stage.input(seen_at(&first, 401, &[crate::support::CHALLENGE], "203.0.113.7:40000"));
        let second = stage.one();
        let expected = if follows { "sip:alice@203.0.113.7:40000" } else { "sip:alice@192.0.2.10:5070" };
        assert_eq!(second.contact_uri(), expected, "after a challenge it needs no further round trip");
        let contact = format!("Contact: <{}>;expires=600", second.contact_uri());
        stage.input(seen_at(&second, 200, &[&contact], "203.0.113.7:40000"));
        stage.silent();
    }
}

#[test]
fn an_address_that_never_stays_is_not_followed_for_ever() {
    let mut stage = Stage::new(account(|config| config.follow_observed_address = true), None);
    let mut request = stage.register();
    for port in 40_000..40_010 {
        let contact = format!("Contact: <{}>;expires=600", request.contact_uri());
        stage.input(seen_at(&request, 200, &[&contact], &format!("203.0.113.7:{port}")));
        match stage.all().pop() {
            Some(next) => request = next,
            None => {
                assert_eq!(port, 40_002, "twice, then it is left alone");
                return;
            }
        }
    }
    panic!("ten moves are too many");
}

#[test]
fn a_mizutech_gateway_works_in_front_of_the_server_and_in_its_place() {
    let mut before = Stage::new(account(|config| config.gateways = vec!["gw.example.net:35060".into()]), None);
    let request = before.register();
    assert_eq!(before.opened, ["gw.example.net:35060/udp"]);
    assert_eq!(request.start(), "REGISTER sip:example.com SIP/2.0");
    assert_eq!(request.header("X-Sy.Uppersrv"), None);

    let mut instead = Stage::new(
        account(|config| {
            config.registrar = Some("sip:gw.example.net:35060".into());
            config.upper.server = Some("example.com".into());
        }),
        None,
    );
    let request = instead.register();
    assert_eq!(instead.opened, ["gw.example.net:35060/udp"]);
    assert_eq!(request.start(), "REGISTER sip:gw.example.net:35060 SIP/2.0");
    assert_eq!(request.header("X-Sy.Uppersrv"), Some("example.com"));
}

#[test]
fn a_flow_that_moves_to_another_address_sends_the_request_in_flight_again() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    let flow = stage.flow();
    stage.agent.handle_flow_up(flow, "[2001:db8::7]:5070".parse().expect("an address"), stage.now);
    stage.drain();
    let second = stage.one();
    assert_ne!(second.header("Via"), first.header("Via"), "RFC 3263 section 4.3: a new transaction");
    assert!(second.header("Via").is_some_and(|via| via.starts_with("SIP/2.0/UDP [2001:db8::7]:5070;")));
    assert!(second.contact_uri().starts_with("sip:alice@[2001:db8::7]:5070"), "{}", second.contact_uri());
    assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
    let registered = |stage: &Stage| stage.events.iter().filter(|e| matches!(e, Event::Registered { .. })).count();
    stage.input(response(&first, 200, "OK", &[]));
    assert_eq!(registered(&stage), 0, "a response to the first is not a response to the second");
    accept(&mut stage, &second);
    assert_eq!(registered(&stage), 1);
    stage.agent.handle_flow_up(flow, "[2001:db8::7]:5070".parse().expect("an address"), stage.now);
    stage.drain();
    stage.silent();
}

#[test]
fn the_dns_chooses_the_transport_only_where_none_is_named_and_never_makes_a_secure_one_clear() {
    let over = |change: fn(&mut sipwake_core::account::AccountConfig), chosen| {
        let mut stage = Stage::new(account(change), None);
        stage.opens = false;
        stage.start_registering();
        let flow = *stage.opening.first().expect("one is being opened");
        stage.agent.handle_flow_transport(flow, chosen);
        stage.open_up();
        stage.drain();
        stage.one().transport().to_owned()
    };
    assert_eq!(over(|config| config.transport = None, Transport::Tls), "TLS");
    assert_eq!(over(|config| config.transport = None, Transport::Tcp), "TCP");
    assert_eq!(over(|config| config.transport = Some(Transport::Udp), Transport::Tcp), "UDP");
    let secure = |config: &mut sipwake_core::account::AccountConfig| {
        config.transport = None;
        config.registrar = Some("sips:example.com".into());
    };
    assert_eq!(over(secure, Transport::Udp), "TLS");
}

#[test]
fn a_fail_over_from_tls_to_a_clear_gateway_drops_x_piid() {
    let config = account(|config| {
        config.gateways = vec!["sip:a.example;transport=tls".into(), "sip:b.example;transport=udp".into()];
        config.realm = Some("upper".into());
    });
    let mut stage = Stage::new(config, mpush());
    let key = stage.key.clone();
    stage.agent.set_token(&key, token(&Provider::Fcm, "c-10:APA91b"), stage.now).expect("the account is there");
    let secure = stage.register();
    assert!(secure.header("X-PIID").is_some(), "{}", secure.text);
    stage.input(response(&secure, 503, "No", &[]));
    let clear = stage.one();
    assert_eq!(stage.opened, ["a.example:5061/tls", "b.example:5060/udp"]);
    assert_eq!(clear.header("X-PIID"), None);
}

#[test]
fn of_too_many_former_contacts_the_oldest_is_left_to_expire() {
    let mut stage = Stage::rfc8599();
    let mut contacts = vec![stage.registered().contact_uri().to_owned()];
    let mut last = None;
    for number in 1..=20 {
        // The network changes before any response, so each Contact may have reached the server.
        stage.local = format!("192.0.2.{number}:6000").parse().expect("an address");
        stage.network_changes();
        let sent = stage.one();
        contacts.push(sent.contact_uri().to_owned());
        last = Some(sent);
    }
    let last = last.expect("there were twenty");
    let removed = last.removed();
    // Eight are kept, and the last of them is in use. The request removes the other seven and the bound one.
    assert_eq!(removed.len(), 8, "{removed:?}");
    assert!(removed.contains(&contacts[0].as_str()), "the bound one is removed: {removed:?}");
    let newest = &contacts[contacts.len() - 8..contacts.len() - 1];
    assert!(newest.iter().all(|contact| removed.contains(&contact.as_str())), "{newest:?} in {removed:?}");
    assert!(!removed.contains(&contacts[1].as_str()), "the oldest that was only tried is forgotten: {removed:?}");
}
