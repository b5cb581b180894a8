//! The binding at a left gateway: it is removed beside the registration at the next gateway.

use std::time::Duration;

use sipwake_core::account::{AccountConfig, Transport};
use sipwake_core::event::{Event, Failure, FlowError, Removed};
use sipwake_core::gateway::Load;
use sipwake_core::push::{Dialect, Provider, PushConfig, Removal};
use sipwake_core::snapshot::REMOVALS;

use crate::support::{CHALLENGE, Sent, Stage, account, fcm, mpush, push_config, response, rfc8599, seconds};

mod given_up;
mod queried;
mod read_late;
mod replaced;
mod several;

fn settings(transport: Transport) -> (AccountConfig, Option<PushConfig>) {
    let config = account(|config| {
        config.gateways = vec!["a.example:5060".into(), "b.example:5060".into()];
        config.transport = Some(transport);
        config.expires = 600;
    });
    (config, mpush())
}

fn two_gateways(transport: Transport) -> Stage {
    let (account, push) = settings(transport);
    let mut stage = Stage::new(account, push);
    stage.set_token(fcm("a:1"));
    stage
}

/// The same device after a kill.
fn killed(stage: &Stage) -> Stage {
    let (account, push) = settings(Transport::Udp);
    stage.restart(account, push)
}

fn last_opened(stage: &Stage) -> &str {
    stage.opened.last().and_then(|hop| hop.split(':').next()).expect("one was opened")
}

fn grant(stage: &mut Stage, request: &Sent) {
    stage.reply(request, 200, &[&format!("Contact: <{}>;expires=600", request.contact_uri())]);
}

/// Confirms a binding for so long that no refresh is due during the story.
fn grant_for_long(stage: &mut Stage, request: &Sent) {
    stage.reply(request, 200, &[&format!("Contact: <{}>;expires=7200", request.contact_uri())]);
}

/// Goes on until the refresh, which the gateway in use refuses.
fn refresh_is_refused(stage: &mut Stage) {
    stage.advance(Duration::from_millis(540_100));
    let refresh = stage.one();
    stage.reply(&refresh, 503, &[]);
}

/// Registers at the first gateway, which then refuses the refresh, and at the second one. Returns both requests.
fn failed_over(stage: &mut Stage) -> (Sent, Sent) {
    let first = stage.register();
    grant(stage, &first);
    stage.silent();
    refresh_is_refused(stage);
    let second = stage.one();
    assert!(stage.opened.last().is_some_and(|hop| hop.starts_with("b.example")), "nothing comes before the new one");
    grant(stage, &second);
    (first, second)
}

#[test]
fn the_binding_at_the_gateway_that_failed_is_removed_there() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut stage = two_gateways(transport);
        let (first, second) = failed_over(&mut stage);
        assert!(stage.opened.last().is_some_and(|hop| hop.starts_with("a.example")), "{:?}", stage.opened);
        let removal = stage.one();
        assert_ne!(removal.flow, second.flow);
        assert_eq!((removal.header("Expires"), removal.header("X-MPUSH")), (Some("0"), Some("null")));
        assert_eq!((removal.contact_uri(), removal.header("X-PIID")), (first.contact_uri(), None));
        assert_eq!(removal.header("Call-ID"), first.header("Call-ID"));
        assert!(removal.cseq() > second.cseq());
        stage.reply(&removal, 401, &[CHALLENGE]);
        let again = stage.one();
        assert!(again.flow == removal.flow && again.auth("nonce") == Some("n1") && again.cseq() > removal.cseq());
        stage.reply(&again, 200, &[]);

        // The gateways may share a registrar: what was removed through one is bound again through the other.
        let bind = stage.one();
        assert_eq!((bind.flow, bind.header("X-MPUSH")), (second.flow, second.header("X-MPUSH")));
        assert_eq!(bind.auth("nonce"), None, "a nonce of one gateway is not valid at another");
        grant(&mut stage, &bind);
        stage.silent();
        assert!(stage.failures().is_empty() && !stage.is_logged_out());
    }
}

#[test]
fn a_gateway_left_for_its_load_gets_the_removal() {
    let mut stage = two_gateways(Transport::Tcp);
    let first = stage.register();
    grant(&mut stage, &first);
    let key = stage.key.clone();
    for (gateway, load) in [(0, "3"), (1, "0")] {
        let load = Load::parse(&format!("OK: WS Load: {load} type 1"));
        stage.agent.handle_gateway_load(&key, gateway, load, Duration::from_millis(20)).expect("the account is there");
    }
    stage.advance(Duration::from_millis(540_100));
    let second = stage.one();
    assert_eq!(stage.opened.last().map(String::as_str), Some("b.example:5060/tcp"));
    grant_for_long(&mut stage, &second);
    let removal = stage.one();
    assert_eq!(stage.opened.last().map(String::as_str), Some("a.example:5060/tcp"));
    assert_eq!(removal.header("Expires"), Some("0"));
    stage.reply(&removal, 403, &[]);
    stage.advance(seconds(300));
    stage.silent();
    stage.advance(seconds(301));
    let again = stage.one();
    assert_eq!(
        (last_opened(&stage), again.header("Expires")),
        ("a.example", Some("0")),
        "it may have meant: try later"
    );
    stage.reply(&again, 200, &[]);
}

#[test]
fn a_left_gateway_that_refuses_is_asked_three_times_in_all() {
    let mut stage = two_gateways(Transport::Tcp);
    let first = stage.register();
    grant(&mut stage, &first);
    refresh_is_refused(&mut stage);
    let mut asked = 0;
    for _ in 0..60 {
        while let Some(sent) = stage.sent.pop_front() {
            if sent.header("Expires") == Some("0") {
                asked += 1;
                stage.reply(&sent, 403, &[]);
            } else {
                grant_for_long(&mut stage, &sent);
            }
        }
        stage.advance(seconds(60));
    }
    assert_eq!(asked, 3);
}

#[test]
fn a_left_gateway_that_stays_down_is_tried_three_times_and_forgotten() {
    let mut stage = two_gateways(Transport::Tcp);
    stage.opens = false;
    let mut tried = Vec::new();
    let start = stage.now.boot;
    stage.start_registering();
    let mut down = false;
    while stage.now.boot < start + seconds(7200) {
        for flow in std::mem::take(&mut stage.opening) {
            let hop = stage.opened.last().expect("one is being opened").clone();
            if down && hop.starts_with("a.example") {
                tried.push((stage.now.boot - start).as_secs());
                stage.agent.handle_flow_down(flow, FlowError::Unreachable("down".into()), stage.now);
                stage.drain();
            } else {
                stage.opening.push(flow);
                stage.open_up();
                stage.drain();
            }
        }
        while let Some(request) = stage.sent.pop_front() {
            grant(&mut stage, &request);
        }
        if !down && !stage.registrations().is_empty() {
            down = true;
            stage.flow_breaks();
        }
        match stage.agent.poll_timeout() {
            Some((at, _)) if stage.opening.is_empty() => stage.advance(at - stage.now.boot),
            _ => {}
        }
    }
    let moved = tried[0];
    assert_eq!(tried[1], moved, "the fail-over, then the first removal");
    // A refresh returns to the preferred gateway. What comes in between is a removal.
    let later: Vec<u64> = tried[2..].iter().map(|at| at - moved).filter(|after| after % 540 != 0).collect();
    assert_eq!(later, [60, 660], "{tried:?}");
    assert!(stage.failures().is_empty(), "{:?}", stage.failures());
}

#[test]
fn an_unanswered_removal_delays_nothing_else() {
    let mut stage = two_gateways(Transport::Udp);
    let (_, second) = failed_over(&mut stage);
    stage.one();
    let again = stage.register();
    assert_eq!(again.flow, second.flow, "a command of the app does not wait");
    grant(&mut stage, &again);
    stage.advance(seconds(59));
    stage.silent();
    stage.advance(seconds(1));
    let next = stage.sent.pop_front().expect("it is tried again");
    assert!(next.cseq() > again.cseq() && next.header("Expires") == Some("0"));
}

#[test]
fn an_unanswered_removal_is_given_up_for_a_while() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    let removal = stage.one();
    stage.advance(seconds(40));
    let repeats = stage.all();
    assert!(repeats.len() == 10 && repeats.iter().all(|repeat| repeat.text == removal.text), "{repeats:?}");
    stage.advance(Duration::from_millis(52_100));
    let next = stage.one();
    assert!(next.flow != removal.flow && next.cseq() > removal.cseq());
}

#[test]
fn a_gateway_that_the_client_returns_to_keeps_its_binding() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    let removal = stage.one();
    stage.reply(&removal, 503, &[]);
    stage.silent();
    // The removal is due again in a minute. The other gateway fails first, and this one works again.
    let bind = stage.register();
    stage.reply(&bind, 503, &[]);
    let back = stage.one();
    assert!(stage.opened.last().is_some_and(|hop| hop.starts_with("a.example")));
    grant(&mut stage, &back);
    let other = stage.one();
    assert!(stage.opened.last().is_some_and(|hop| hop.starts_with("b.example")), "{:?}", stage.opened);
    assert_eq!(other.header("Expires"), Some("0"));
    stage.reply(&other, 404, &[]);
    stage.advance(seconds(500));
    stage.silent();
}

#[test]
fn a_call_over_a_left_gateway_is_ignored() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    let removal = stage.one();
    stage.agent.handle_input(removal.flow, crate::incoming::invite("call-1", "1234").as_bytes(), stage.now);
    stage.drain();
    stage.silent();
    assert!(stage.calls().is_empty());
}

#[test]
fn a_later_process_that_returns_to_the_first_gateway_removes_the_binding_at_the_second() {
    let mut stage = two_gateways(Transport::Udp);
    let (_, second) = failed_over(&mut stage);
    let mut stage = killed(&stage);
    let back = stage.register();
    assert_eq!(last_opened(&stage), "a.example");
    grant(&mut stage, &back);
    let removal = stage.one();
    assert_eq!((last_opened(&stage), removal.header("Expires")), ("b.example", Some("0")));
    assert_eq!(removal.contact_uri(), second.contact_uri());
    stage.reply(&removal, 403, &[]);
    // A later process does not begin by asking again.
    let mut stage = killed(&stage);
    let again = stage.register();
    grant(&mut stage, &again);
    stage.silent();
}

#[test]
fn a_woken_process_registers_where_its_call_waits() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    let mut stage = killed(&stage);
    stage.push("{\"ntype\":\"0\",\"nfrom\":\"1\",\"ntouser\":\"alice\"}");
    let wake = stage.one();
    assert_eq!(last_opened(&stage), "b.example");
    stage.reply(&wake, 503, &[]);
    stage.one();
    assert_eq!(last_opened(&stage), "a.example", "if it is down, the other one is tried at once");
}

#[test]
fn a_log_out_waits_for_the_left_gateway() {
    let mut stage = two_gateways(Transport::Udp);
    let (first, second) = failed_over(&mut stage);
    let mut stage = killed(&stage);
    stage.log_out();
    let removal = stage.one();
    assert_eq!((last_opened(&stage), removal.contact_uri()), ("b.example", second.contact_uri()));
    stage.reply(&removal, 200, &[]);
    assert!(!stage.is_logged_out(), "the other one would still ring");
    let left = stage.one();
    assert_eq!((last_opened(&stage), left.header("X-MPUSH")), ("a.example", Some("null")));
    assert_eq!((left.contact_uri(), left.header("Expires")), (first.contact_uri(), Some("0")));

    // A kill changes nothing, with or without the app's help.
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 3);
    later.advance(Duration::ZERO);
    let again = later.one();
    later.reply(&again, 200, &[]);
    assert!(later.is_logged_out());

    stage.reply(&left, 200, &[]);
    assert!(stage.is_logged_out());
    stage.silent();
}

/// How the log-out ended, if it has ended.
fn how_removed(stage: &Stage) -> Option<Removed> {
    stage.events.iter().find_map(|event| match event {
        Event::LoggedOut { removed, .. } => Some(*removed),
        _ => None,
    })
}

#[test]
fn a_log_out_at_a_left_gateway_that_stays_down_is_tried_for_thirty_days() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    stage.one();
    stage.log_out();
    let removal = stage.one();
    stage.reply(&removal, 200, &[]);
    stage.advance(seconds(1200));
    let sent = stage.all();
    assert!(sent.iter().all(|request| request.header("Expires") == Some("0")), "{sent:?}");
    assert!(!stage.is_logged_out(), "it would still ring");
    stage.advance(seconds(86_400));
    let sent = stage.all().len();
    assert!((23 * 11..=25 * 11).contains(&sent), "{sent} datagrams in a day");
    assert!(stage.failures().iter().any(|(_, wait)| wait.is_some()), "the app gets an event");

    // A later process goes on with it.
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 3);
    let again = later.one();
    assert_eq!((last_opened(&later), again.header("Expires")), ("a.example", Some("0")));
    later.reply(&again, 200, &[]);
    assert_eq!(how_removed(&later), Some(Removed::Accepted));

    for _ in 0..30 {
        stage.advance(seconds(86_400));
    }
    assert_eq!(how_removed(&stage), Some(Removed::GivenUp), "dropped, and told");
    stage.sent.clear();
    stage.advance(seconds(86_400));
    stage.silent();
}

#[test]
fn a_log_out_that_a_left_gateway_refuses_for_now_goes_on_and_says_why() {
    let mut stage = two_gateways(Transport::Tcp);
    failed_over(&mut stage);
    stage.one();
    stage.log_out();
    let removal = stage.one();
    stage.reply(&removal, 200, &[]);
    let mut asked = 0;
    while stage.failures().is_empty() {
        stage.advance(seconds(10));
        while let Some(removal) = stage.sent.pop_front() {
            asked += 1;
            assert!(asked <= 3, "{removal:?}");
            stage.reply(&removal, 403, &[]);
        }
    }
    let [(failure, Some(_))] = &stage.failures()[..] else { panic!("{:?}", stage.failures()) };
    assert!(matches!(failure, Failure::Answered { code: 403, .. }), "{failure:?}");
    stage.advance(seconds(3600));
    let again = stage.one();
    stage.reply(&again, 200, &[]);
    assert!(stage.is_logged_out());
}

#[test]
fn a_log_out_whose_password_a_left_gateway_refuses_stays_stored_and_is_never_reported_as_done() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    stage.one();
    stage.log_out();
    let removal = stage.one();
    stage.reply(&removal, 200, &[]);
    let mut wrong = 0;
    stage.advance(Duration::ZERO);
    while let Some(asked) = stage.sent.pop_front() {
        wrong += 1;
        assert!(wrong < 9, "this is not a guess");
        stage.reply(&asked, 401, &[&CHALLENGE.replace("n1", &format!("w{wrong}"))]);
    }
    assert_eq!(last_opened(&stage), "a.example");
    stage.advance(seconds(86_400));
    stage.silent();
    assert!(!stage.is_logged_out() && stage.store.contains_key(REMOVALS));
    assert!(stage.failures().contains(&(&Failure::WrongCredentials, None)), "{:?}", stage.failures());
}

#[test]
fn another_gateways_response_to_a_removal_does_not_count_for_the_gateway_with_the_binding() {
    let mut stage = two_gateways(Transport::Udp);
    let first = stage.register();
    grant(&mut stage, &first);
    stage.log_out();
    let removal = stage.one();
    stage.reply(&removal, 503, &[]);
    let elsewhere = stage.one();
    assert_eq!(last_opened(&stage), "b.example");
    stage.reply(&elsewhere, 200, &[]);
    let there = stage.one();
    assert!(!stage.is_logged_out() && last_opened(&stage) == "a.example");
    stage.reply(&there, 200, &[]);
    assert!(stage.is_logged_out());
}

#[test]
fn a_command_of_the_app_goes_before_a_removal_that_is_due() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    let removal = stage.one();
    stage.reply(&removal, 503, &[]);
    stage.advance(Duration::from_millis(59_900));
    let (bind, opened) = (stage.register(), stage.opened.len());
    stage.advance(Duration::from_millis(300));
    stage.silent();
    assert_eq!(stage.opened.len(), opened, "one REGISTER at a time");
    grant(&mut stage, &bind);
    assert_eq!(stage.one().header("Expires"), Some("0"));
}

#[test]
fn after_a_final_refusal_nothing_is_removed_at_the_left_gateway() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    let removal = stage.one();
    stage.reply(&removal, 503, &[]);
    let mut bind = Some(stage.register());
    while let Some(refused) = bind {
        stage.reply(&refused, 401, &[crate::support::CHALLENGE]);
        bind = stage.sent.pop_front();
    }
    let opened = stage.opened.len();
    stage.advance(seconds(3600));
    stage.silent();
    assert_eq!(stage.opened.len(), opened);
}

#[test]
fn a_binding_is_renewed_if_the_removal_at_the_left_gateway_may_have_removed_it_too() {
    for (push, instance, moved, rebinds) in [
        (None, None, false, true),
        (None, None, true, false),
        (None, Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128"), true, true),
        (mpush(), None, true, true),
    ] {
        let mut stage = Stage::new(
            account(|config| {
                config.gateways = vec!["a.example:5060".into(), "b.example:5060".into()];
                config.instance_id = instance.map(str::to_owned);
                config.expires = 600;
                config.transport = Some(Transport::Tcp);
            }),
            push,
        );
        let case = format!("{instance:?}, moved: {moved}");
        let first = stage.register();
        grant(&mut stage, &first);
        stage.advance(Duration::from_millis(540_100));
        let refresh = stage.one();
        if moved {
            stage.local = "192.0.2.11:5070".parse().expect("an address");
        }
        stage.reply(&refresh, 503, &[]);
        let second = stage.one();
        grant(&mut stage, &second);
        let removal = stage.one();
        stage.reply(&removal, 200, &[]);
        assert_eq!(stage.all().len(), usize::from(rebinds), "{case}");
    }
}

#[test]
fn a_push_binding_at_a_left_gateway_is_removed_in_the_accounts_dialect() {
    for (way, same) in [(Removal::SameBinding, true), (Removal::WithoutPrid, false)] {
        let mut config = push_config(Provider::Fcm, &[Dialect::Rfc8599]);
        config.removal = way;
        let mut stage = Stage::new(
            account(|config| {
                config.gateways = vec!["a.example:5060".into(), "b.example:5060".into()];
                config.expires = 600;
            }),
            Some(config),
        );
        stage.set_token(fcm("a:1"));
        let (first, _) = failed_over(&mut stage);
        let removal = stage.one();
        assert!(first.contact_uri().contains(";pn-prid=a:1"));
        assert_eq!(removal.contact_uri() == first.contact_uri(), same, "{way:?}: {removal:?}");
        assert!(first.contact_uri().starts_with(removal.contact_uri()), "{way:?}: {removal:?}");
    }
}

#[test]
fn only_a_confirmed_removal_at_the_left_gateway_leads_to_a_new_binding() {
    for (code, rebinds) in [(200, true), (300, false), (404, false)] {
        let mut stage = two_gateways(Transport::Tcp);
        failed_over(&mut stage);
        let removal = stage.one();
        stage.reply(&removal, 100, &[]);
        stage.silent();
        stage.reply(&removal, code, &[]);
        let bind = stage.sent.pop_front();
        assert_eq!(bind.is_some(), rebinds, "{code}");
        if let Some(bind) = bind {
            grant(&mut stage, &bind);
        }
        stage.advance(seconds(120));
        stage.silent();
        assert_eq!(stage.opened.len(), 3, "{code}: it is over: {:?}", stage.opened);
    }
}

#[test]
fn nothing_is_removed_at_the_target_of_a_redirect() {
    let mut stage = two_gateways(Transport::Tcp);
    let first = stage.register();
    stage.reply(&first, 302, &["Contact: <sip:a.example:5099;transport=tcp>"]);
    let there = stage.one();
    assert_eq!(stage.opened, ["a.example:5060/tcp", "a.example:5099/tcp"]);
    grant(&mut stage, &there);
    refresh_is_refused(&mut stage);
    let second = stage.one();
    grant(&mut stage, &second);
    stage.silent();
    assert_eq!(stage.opened.len(), 3, "{:?}", stage.opened);
}

#[test]
fn the_dns_may_choose_the_transport_to_a_left_gateway() {
    let mut stage = Stage::new(
        account(|config| {
            config.gateways = vec!["a.example:5060".into(), "b.example:5060".into()];
            config.expires = 600;
        }),
        mpush(),
    );
    stage.set_token(fcm("a:1"));
    stage.opens = false;
    let came_up_over = |stage: &mut Stage, transport| {
        let flow = *stage.opening.first().expect("one is being opened");
        stage.agent.handle_flow_transport(flow, transport);
        stage.open_up();
        stage.drain();
        let request = stage.one();
        assert_eq!(request.transport(), transport.via());
        request
    };
    stage.start_registering();
    let first = came_up_over(&mut stage, Transport::Tcp);
    grant(&mut stage, &first);
    refresh_is_refused(&mut stage);
    let second = came_up_over(&mut stage, Transport::Udp);
    grant(&mut stage, &second);
    let removal = came_up_over(&mut stage, Transport::Tcp);
    assert_eq!((last_opened(&stage), removal.header("Expires")), ("a.example", Some("0")));
    assert_eq!(removal.transport(), "TCP");
    stage.advance(seconds(5));
    stage.silent();
    for piece in response(&removal, 200, "OK", &[]).as_bytes().chunks(100) {
        stage.agent.handle_input(removal.flow, piece, stage.now);
        stage.drain();
    }
    assert_eq!(stage.one().flow, second.flow, "an answer in pieces was read");
}

#[test]
fn large_requests_to_a_left_gateway_go_over_tcp_or_over_udp_if_it_takes_no_tcp() {
    for (takes_tcp, over) in [(true, "TCP"), (false, "UDP")] {
        let (mut config, push) = settings(Transport::Udp);
        config.user_agent = Some("x".repeat(200));
        let mut stage = Stage::new(config, push);
        stage.set_token(fcm(&format!("a:{}", "1".repeat(1000))));
        let first = stage.register();
        grant(&mut stage, &first);
        refresh_is_refused(&mut stage);
        let second = stage.one();
        stage.opens = takes_tcp;
        grant(&mut stage, &second);
        assert_eq!(stage.opened[1..], ["a.example:5060/tcp", "b.example:5060/tcp", "a.example:5060/tcp"]);
        if !takes_tcp {
            stage.opens = true;
            stage.flow_breaks();
        }
        let removal = stage.one();
        assert_eq!((last_opened(&stage), removal.header("Expires")), ("a.example", Some("0")));
        assert!(removal.transport() == over, "{removal:?}");
    }
}

/// Registers at the first gateway, and fails over to the second one with another token and another Contact. Returns the
/// first REGISTER at each.
fn moved_with_a_new_token(stage: &mut Stage) -> (Sent, Sent) {
    let first = stage.register();
    grant(stage, &first);
    stage.set_token(fcm("a:2"));
    let refused = stage.one();
    stage.local = "192.0.2.11:5070".parse().expect("an address");
    stage.reply(&refused, 503, &[]);
    let second = stage.one();
    assert_eq!(last_opened(stage), "b.example");
    (first, second)
}

/// Takes the request that removes the binding of `first` at the first gateway.
#[track_caller]
fn taken_back(stage: &mut Stage, first: &Sent) {
    let removal = stage.one();
    assert_eq!((last_opened(stage), removal.header("Expires")), ("a.example", Some("0")));
    assert_eq!(removal.contact_uri(), first.contact_uri());
    stage.reply(&removal, 404, &[]);
}

#[test]
fn another_gateways_response_about_a_former_token_does_not_count_for_the_one_that_pushes_to_it() {
    for code in [200, 403] {
        let mut stage = two_gateways(Transport::Udp);
        let (first, vacates) = moved_with_a_new_token(&mut stage);
        assert_eq!(
            (vacates.header("Expires"), vacates.header("X-MPUSH"), vacates.contact_uri()),
            (Some("0"), Some("null"), first.contact_uri())
        );
        stage.reply(&vacates, code, &[]);
        let bind = stage.one();
        assert!(bind.flow == vacates.flow && bind.header("X-MPUSH").is_some_and(|token| token.contains("a:2")));
        grant(&mut stage, &bind);
        taken_back(&mut stage, &first);
        stage.silent();
    }
}

#[test]
fn a_former_token_is_removed_at_its_own_gateway_if_the_other_one_accepted_no_binding() {
    for code in [200, 503] {
        let mut stage = two_gateways(Transport::Udp);
        let (first, vacates) = moved_with_a_new_token(&mut stage);
        stage.reply(&vacates, code, &[]);
        let bind = stage.one();
        stage.reply(&bind, 503, &[]);
        if let Some((back_off, _)) = stage.agent.poll_timeout().filter(|_| stage.sent.is_empty()) {
            stage.advance(back_off - stage.now.boot);
        }
        let again = stage.one();
        assert_eq!((last_opened(&stage), again.header("X-MPUSH")), ("a.example", Some("null")), "{code}");
        assert_eq!(again.contact_uri(), first.contact_uri());
    }
}

#[test]
fn a_log_out_while_another_gateway_removes_a_former_token_reaches_the_one_that_pushes_to_it() {
    for code in [200, 403] {
        let mut stage = two_gateways(Transport::Udp);
        let (first, vacates) = moved_with_a_new_token(&mut stage);
        stage.log_out();
        stage.reply(&vacates, code, &[]);
        let removal = stage.one();
        assert_eq!((removal.flow, removal.header("Expires")), (vacates.flow, Some("0")));
        stage.reply(&removal, 200, &[]);
        assert!(!stage.is_logged_out(), "{code}");
        taken_back(&mut stage, &first);
        assert!(stage.is_logged_out(), "{code}");
    }
}

#[test]
fn a_gateway_that_reads_only_one_contact_does_not_count_for_the_left_one() {
    let (account, _) = settings(Transport::Udp);
    let mut stage = Stage::new(account, rfc8599());
    stage.set_token(fcm("a:1"));
    let (first, both) = moved_with_a_new_token(&mut stage);
    assert!(both.removed().contains(&first.contact_uri()), "{both:?}");
    stage.reply(&both, 200, &[]);
    let alone = stage.one();
    assert!(alone.removed().is_empty(), "{alone:?}");
    grant(&mut stage, &alone);
    taken_back(&mut stage, &first);
}

#[test]
fn returning_to_a_gateway_with_another_contact_removes_the_one_that_it_still_held() {
    for instance in [None, Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128")] {
        for logs_out in [false, true] {
            let (mut config, push) = settings(Transport::Tcp);
            config.instance_id = instance.map(str::to_owned);
            let mut stage = Stage::new(config, push);
            stage.set_token(fcm("a:1"));
            let first = stage.register();
            grant(&mut stage, &first);
            stage.advance(Duration::from_millis(540_100));
            let refresh = stage.one();
            stage.local.set_port(6070);
            stage.reply(&refresh, 503, &[]);
            let second = stage.one();
            grant(&mut stage, &second);
            let removal = stage.one();
            stage.reply(&removal, 503, &[]);
            stage.local.set_port(7070);
            let refused = if logs_out {
                stage.log_out();
                stage.one()
            } else {
                stage.register()
            };
            assert_eq!(refused.flow, second.flow);
            assert!(!refused.removed().contains(&first.contact_uri()), "it is not held here: {refused:?}");
            stage.reply(&refused, 503, &[]);
            let back = stage.one();
            assert_eq!(last_opened(&stage), "a.example");
            let named = back.removed().contains(&first.contact_uri());
            assert_eq!(named, instance.is_none() || logs_out, "an instance id replaces it: {back:?}");
        }
    }
}

#[test]
fn a_left_gateway_is_not_asked_while_the_one_in_use_has_an_open_request() {
    let mut stage = two_gateways(Transport::Tcp);
    failed_over(&mut stage);
    let removal = stage.one();
    stage.reply(&removal, 503, &[]);
    stage.advance(seconds(30));
    let refresh = stage.register();
    stage.opens = false;
    // The connection was silent for half a minute, so the REGISTER waits for another one.
    stage.advance(seconds(31));
    assert!(stage.opened.last().is_some_and(|hop| hop.starts_with("b.example")), "{:?}", stage.opened);
    stage.opens = true;
    stage.open_up();
    stage.drain();
    let again = stage.one();
    assert_eq!((again.header("Expires"), again.cseq() > refresh.cseq()), (Some("600"), true));
    grant(&mut stage, &again);
    assert_eq!(stage.one().header("Expires"), Some("0"));
}

#[test]
fn returning_to_a_gateway_with_another_token_removes_the_old_one_there() {
    let mut stage = two_gateways(Transport::Tcp);
    let (first, second) = failed_over(&mut stage);
    let removal = stage.one();
    stage.reply(&removal, 503, &[]);
    stage.set_token(fcm("a:2"));
    let bind = stage.one();
    stage.local.set_port(7070);
    stage.reply(&bind, 503, &[]);
    let vacates = stage.one();
    assert_eq!(last_opened(&stage), "a.example");
    assert_eq!((vacates.header("Expires"), vacates.header("X-MPUSH")), (Some("0"), Some("null")));
    assert_eq!(vacates.contact_uri(), first.contact_uri());
    stage.reply(&vacates, 200, &[]);
    let bind = stage.one();
    assert!(bind.header("X-MPUSH").is_some_and(|token| token.contains("a:2")) && bind.flow == vacates.flow);
    assert!(!bind.removed().contains(&first.contact_uri()) || first.contact_uri() == second.contact_uri());
    grant(&mut stage, &bind);
    let removal = stage.one();
    assert_eq!((last_opened(&stage), removal.contact_uri()), ("b.example", second.contact_uri()));
}

#[test]
fn a_removal_that_is_too_large_for_udp_goes_over_tcp_even_if_the_gateway_in_use_is_on_tcp() {
    let mut stage = Stage::new(
        account(|config| config.gateways = vec!["a.example:5060".into(), "b.example:5060".into()]),
        rfc8599(),
    );
    stage.opens = false;
    let came_up_over = |stage: &mut Stage, transport| {
        let flow = stage.opening.pop().expect("one is being opened");
        stage.agent.handle_flow_transport(flow, transport);
        stage.opening.push(flow);
        stage.open_up();
        stage.drain();
    };
    // The first gateway uses TCP when the binding is made, and UDP when it is removed.
    stage.set_token(fcm(&format!("a:{}", "1".repeat(1200))));
    stage.start_registering();
    came_up_over(&mut stage, Transport::Tcp);
    let first = stage.one();
    grant_for_long(&mut stage, &first);
    let refused = stage.register();
    stage.reply(&refused, 503, &[]);
    came_up_over(&mut stage, Transport::Tcp);
    let second = stage.one();
    grant_for_long(&mut stage, &second);
    came_up_over(&mut stage, Transport::Udp);
    stage.advance(Duration::ZERO);
    assert_eq!(stage.opened.last().map(String::as_str), Some("a.example:5060/tcp"), "{:?}", stage.opened);
    came_up_over(&mut stage, Transport::Tcp);
    let removal = stage.one();
    assert_eq!((removal.header("Expires"), removal.transport()), (Some("0"), "TCP"));
}

#[test]
fn a_left_gateway_is_asked_at_its_next_address_while_the_registration_goes_on() {
    let mut stage = two_gateways(Transport::Udp);
    failed_over(&mut stage);
    let removal = stage.one();
    let left = sipwake_core::event::FlowId(sipwake_core::event::FlowId::FIRST_LEFT.0 + 1);
    stage.agent.handle_flow_left(removal.flow, left, stage.now);
    stage.agent.handle_flow_up(removal.flow, stage.local, stage.now);
    stage.drain();
    let again = stage.one();
    assert_eq!((again.flow, again.header("Expires")), (removal.flow, Some("0")), "it leads to no REGISTER");
    stage.reply(&again, 200, &[]);
}

/// As [`two_gateways`], with RFC 8599, whose token is in the Contact.
fn two_with_rfc8599() -> Stage {
    let (account, _) = settings(Transport::Udp);
    let mut stage = Stage::new(account, rfc8599());
    stage.set_token(fcm("a:1"));
    stage
}

/// Plays an hour with a left gateway that gives this response to each removal. Then the user logs out, and the gateway in
/// use removes everything.
fn told_after_an_hour(stage: &mut Stage, answer: u16) -> Option<Removed> {
    for _ in 0..60 {
        while let Some(sent) = stage.sent.pop_front() {
            if sent.header("Expires") == Some("0") {
                stage.reply(&sent, answer, &[]);
            } else {
                grant_for_long(stage, &sent);
            }
        }
        stage.advance(seconds(60));
    }
    stage.log_out();
    let removal = stage.one();
    stage.reply(&removal, 200, &[]);
    how_removed(stage)
}

#[test]
fn a_log_out_is_proven_only_if_each_left_gateway_confirmed_its_removal() {
    for (answer, told) in [(200, Removed::Proven), (403, Removed::Accepted)] {
        let mut stage = two_with_rfc8599();
        let first = stage.register();
        grant(&mut stage, &first);
        refresh_is_refused(&mut stage);
        assert_eq!(told_after_an_hour(&mut stage, answer), Some(told), "{answer}");
    }
}

#[test]
fn another_contact_of_ours_that_a_left_gateway_lists_is_removed_there_too() {
    for logs_out in [false, true] {
        let mut stage = two_with_rfc8599();
        let (first, second) = failed_over(&mut stage);
        if logs_out {
            stage.all();
            stage.log_out();
            let here = stage.one();
            stage.reply(&here, 200, &[]);
        }
        let removal = stage.one();
        let unknown = first.contact_uri().replace("5070", "4444");
        stage.reply(&removal, 200, &[&format!("Contact: <{unknown}>;expires=500")]);
        let too = stage.one();
        assert_eq!((too.flow, too.header("Expires"), too.contact_uri()), (removal.flow, Some("0"), unknown.as_str()));
        stage.reply(&too, 200, &[]);
        assert_eq!(how_removed(&stage), logs_out.then_some(Removed::Accepted));
        if !logs_out {
            // It may be one of ours.
            let bind = stage.one();
            assert_eq!((bind.flow, bind.contact_uri()), (second.flow, second.contact_uri()));
            grant(&mut stage, &bind);
        }
        stage.silent();
    }
}

#[test]
fn a_removal_still_open_when_a_gateway_was_left_is_done_there() {
    let mut stage = two_with_rfc8599();
    let first = stage.register();
    grant_for_long(&mut stage, &first);
    let moved = stage.moved_to(6070);
    // It still holds the old Contact, and goes down before it is asked again.
    let list = [first.contact_uri(), moved.contact_uri()].map(|uri| format!("Contact: <{uri}>;expires=7200"));
    stage.reply(&moved, 200, &[&list[0], &list[1]]);
    let again = stage.one();
    assert_eq!(again.removed(), [first.contact_uri()]);
    stage.reply(&again, 503, &[]);
    stage.local.set_port(7070);
    let mut taken_back = Vec::new();
    while let Some(sent) = stage.sent.pop_front() {
        if sent.header("Expires") == Some("0") {
            assert_eq!(last_opened(&stage), "a.example");
            taken_back.push(sent.contact_uri().to_owned());
            stage.reply(&sent, 200, &[]);
        } else {
            grant_for_long(&mut stage, &sent);
        }
    }
    assert!(
        [&first, &moved].iter().all(|bound| taken_back.contains(&bound.contact_uri().to_owned())),
        "{taken_back:?}"
    );
}

#[test]
fn after_a_kill_a_later_process_does_the_removal() {
    let mut stage = two_with_rfc8599();
    let (first, _) = failed_over(&mut stage);
    let removal = stage.one();
    let unknown = first.contact_uri().replace("5070", "4444");
    stage.reply(&removal, 200, &[&format!("Contact: <{unknown}>;expires=500")]);
    let (account, _) = settings(Transport::Udp);
    let mut later = stage.restart(account, rfc8599());
    let bind = later.register();
    grant(&mut later, &bind);
    let mut named = Vec::new();
    while let Some(sent) = later.sent.pop_front() {
        named.extend(sent.headers("Contact").into_iter().map(|contact| crate::support::inside(contact).to_owned()));
        later.reply(&sent, 200, &[]);
    }
    assert!(named.contains(&unknown) || bind.text.contains(&unknown), "{named:?}");
}

#[test]
fn a_binding_removed_through_a_left_gateway_is_renewed_where_both_share_a_registrar() {
    let mut stage = two_with_rfc8599();
    let first = stage.register();
    grant_for_long(&mut stage, &first);
    stage.local.set_port(6070);
    let refused = stage.register();
    stage.reply(&refused, 503, &[]);
    let second = stage.one();
    let list = format!("Contact: <{}>;expires=7200", second.contact_uri().replace("192.0.2.10", "203.0.113.7"));
    stage.reply(&second, 200, &[&list]);
    let removal = stage.one();
    assert_eq!((last_opened(&stage), removal.contact_uri()), ("a.example", first.contact_uri()));
    // They share a registrar, which also lists the Contact in use.
    stage.reply(&removal, 200, &[&list]);
    let bind = stage.one();
    assert_eq!((bind.flow, bind.header("Expires")), (second.flow, Some("600")));
    stage.reply(&bind, 200, &[&list]);
    stage.silent();
}

#[test]
fn a_left_gateway_that_never_removes_a_contact_is_not_asked_for_ever() {
    let mut stage = two_with_rfc8599();
    let (first, second) = failed_over(&mut stage);
    let kept = format!("Contact: <{}>;expires=500", first.contact_uri().replace("5070", "4444"));
    let mut removals = 0;
    for _ in 0..3600 {
        while let Some(sent) = stage.sent.pop_front() {
            if sent.header("Expires") == Some("0") {
                removals += 1;
                stage.reply(&sent, 200, &[&kept]);
            } else {
                assert_eq!(sent.flow, second.flow);
                grant_for_long(&mut stage, &sent);
            }
        }
        stage.advance(seconds(1));
    }
    assert!((2..=9).contains(&removals), "{removals} in an hour");
}

#[test]
fn a_left_gateway_that_refused_once_is_asked_again_even_if_the_binding_is_often_renewed() {
    let mut stage = two_gateways(Transport::Tcp);
    failed_over(&mut stage);
    let removal = stage.one();
    stage.reply(&removal, 403, &[]);
    let mut asked_after = Vec::new();
    for minute in 1..15 {
        stage.advance(seconds(60));
        if stage.sent.is_empty() {
            stage.start_registering();
        }
        while let Some(sent) = stage.sent.pop_front() {
            if sent.header("Expires") == Some("0") {
                asked_after.push(minute);
            }
            grant(&mut stage, &sent);
        }
    }
    assert_eq!(asked_after, [10], "minutes");
}

#[test]
fn a_contact_that_a_one_contact_gateway_may_have_bound_earlier_is_removed_there() {
    for killed in [false, true] {
        let mut stage = two_with_rfc8599();
        let unanswered = stage.register();
        let both = stage.moved_to(6070);
        assert_eq!(both.removed(), [unanswered.contact_uri()]);
        stage.reply(&both, 200, &["Expires: 600"]);
        let alone = stage.one();
        assert_eq!(alone.removed(), Vec::<&str>::new());
        let refused = if killed {
            let (account, _) = settings(Transport::Udp);
            stage = stage.restart(account, rfc8599());
            stage.local.set_port(6070);
            stage.register()
        } else {
            alone
        };
        stage.local.set_port(7070);
        stage.reply(&refused, 503, &[]);
        let second = stage.one();
        assert_eq!(last_opened(&stage), "b.example");
        grant(&mut stage, &second);
        taken_back(&mut stage, &both);
    }
}

#[test]
fn a_log_out_names_an_older_binding_again_as_long_as_the_gateway_lists_it() {
    let (account, _) = settings(Transport::Tcp);
    let mut stage = Stage::new(account, None);
    let first = stage.register();
    grant_for_long(&mut stage, &first);
    stage.local.set_port(6070);
    let refused = stage.register();
    stage.reply(&refused, 503, &[]);
    let second = stage.one();
    grant_for_long(&mut stage, &second);
    let removal = stage.one();
    stage.reply(&removal, 503, &[]);
    stage.log_out();
    let here = stage.one();
    stage.reply(&here, 503, &[]);
    let back = stage.one();
    assert_eq!((last_opened(&stage), back.contact_uri()), ("a.example", second.contact_uri()));
    // It still holds the first binding, and only the address shows that it is ours.
    stage.reply(&back, 200, &[&format!("Contact: <{}>;expires=500", first.contact_uri())]);
    let again = stage.one();
    assert!(again.flow == back.flow && again.removed().contains(&first.contact_uri()), "{again:?}");
}
