//! Several left gateways, and one that is asked several times.

use super::*;

/// The gateway in use refuses. Returns the REGISTER at the next one.
fn moves_on(stage: &mut Stage) -> Sent {
    let refused = stage.register();
    stage.reply(&refused, 503, &[]);
    stage.one()
}

/// Registers at the first gateway, at the second one, which the first one does not learn about, and at the third one. Returns
/// these three requests, and the unanswered removal at the second gateway.
fn moved_twice(stage: &mut Stage) -> ([Sent; 3], Sent) {
    let first = stage.register();
    grant_for_long(stage, &first);
    let second = moves_on(stage);
    grant_for_long(stage, &second);
    let removal = stage.one();
    assert_eq!(last_opened(stage), "a.example");
    stage.reply(&removal, 503, &[]);
    stage.local.set_port(6070);
    let third = moves_on(stage);
    assert_eq!(last_opened(stage), "c.example");
    grant_for_long(stage, &third);
    let removal = stage.one();
    ([first, second, third], removal)
}

fn three_gateways() -> (AccountConfig, Option<PushConfig>) {
    let (mut config, push) = settings(Transport::Udp);
    config.gateways.push("c.example:5060".into());
    (config, push)
}

#[test]
fn every_left_gateway_is_asked_the_last_one_first() {
    for killed in [false, true] {
        let (account, push) = three_gateways();
        let mut stage = Stage::new(account, push);
        stage.set_token(fcm("a:1"));
        let ([first, second, third], removal) = moved_twice(&mut stage);
        assert_eq!((last_opened(&stage), removal.contact_uri()), ("b.example", second.contact_uri()));
        if killed {
            let (account, push) = three_gateways();
            stage = stage.restart(account, push);
            stage.log_out();
            let here = stage.one();
            assert_eq!((last_opened(&stage), here.contact_uri()), ("c.example", third.contact_uri()));
            stage.reply(&here, 200, &[]);
            let there = stage.one();
            assert_eq!((last_opened(&stage), there.contact_uri()), ("b.example", second.contact_uri()));
            stage.reply(&there, 200, &[]);
        } else {
            stage.reply(&removal, 404, &[]);
        }
        taken_back(&mut stage, &first);
        assert_eq!(stage.is_logged_out(), killed);
        stage.silent();
    }
}

#[test]
fn of_too_many_left_gateways_the_first_ones_binding_is_left_to_expire() {
    let (mut config, push) = settings(Transport::Udp);
    config.gateways = ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}.example:5060")).to_vec();
    let mut stage = Stage::new(config, push);
    let first = stage.register();
    grant_for_long(&mut stage, &first);
    for _ in 0..5 {
        let next = moves_on(&mut stage);
        grant_for_long(&mut stage, &next);
        while let Some(removal) = stage.sent.pop_front() {
            stage.reply(&removal, 503, &[]);
        }
    }
    stage.log_out();
    let here = stage.one();
    stage.reply(&here, 200, &[]);
    let mut told = Vec::new();
    while let Some(removal) = stage.sent.pop_front() {
        told.extend(last_opened(&stage).chars().next());
        stage.reply(&removal, 200, &[]);
    }
    assert_eq!((told.as_slice(), stage.is_logged_out()), (['e', 'd', 'c', 'b'].as_slice(), true));
}

#[test]
fn a_left_gateway_that_is_down_does_not_delay_the_removal_at_another() {
    let (account, push) = three_gateways();
    let mut stage = Stage::new(account, push);
    stage.set_token(fcm("a:1"));
    let ([first, second, _], removal) = moved_twice(&mut stage);
    stage.reply(&removal, 503, &[]);
    taken_back(&mut stage, &first);
    stage.advance(seconds(60));
    let again = stage.one();
    assert_eq!((last_opened(&stage), again.contact_uri()), ("b.example", second.contact_uri()));
}

#[test]
fn a_log_out_is_sent_to_a_gateway_that_was_down_three_times() {
    let mut stage = two_gateways(Transport::Udp);
    let first = stage.register();
    grant_for_long(&mut stage, &first);
    let second = moves_on(&mut stage);
    grant_for_long(&mut stage, &second);
    for wait in [60, 600, 600] {
        let removal = stage.one();
        stage.reply(&removal, 503, &[]);
        stage.advance(seconds(wait));
    }
    stage.silent();
    stage.log_out();
    let here = stage.one();
    stage.reply(&here, 200, &[]);
    assert!(!stage.is_logged_out());
    taken_back(&mut stage, &first);
    assert!(stage.is_logged_out());
}

#[test]
fn a_passing_failure_of_a_left_gateway_does_not_leave_the_binding_there() {
    for code in [400, 408, 480, 500, 503] {
        let mut stage = two_gateways(Transport::Udp);
        let (first, _) = failed_over(&mut stage);
        let removal = stage.one();
        stage.reply(&removal, code, &[]);
        stage.silent();
        stage.advance(seconds(60));
        taken_back(&mut stage, &first);
    }
}

#[test]
fn a_wall_clock_set_ahead_does_not_leave_the_binding_there() {
    let mut stage = two_gateways(Transport::Udp);
    let first = stage.register();
    grant(&mut stage, &first);
    stage.now.wall += seconds(400 * 86_400);
    refresh_is_refused(&mut stage);
    let second = stage.one();
    grant(&mut stage, &second);
    taken_back(&mut stage, &first);
}

/// The account moved to the second gateway, and the process was killed before the first one was asked. Returns what the first
/// one holds, and the next process.
fn killed_after_a_move() -> (Sent, Stage) {
    let mut before = two_gateways(Transport::Udp);
    let first = before.register();
    grant_for_long(&mut before, &first);
    let second = moves_on(&mut before);
    grant_for_long(&mut before, &second);
    before.one();
    let stage = killed(&before);
    (first, stage)
}

#[test]
fn a_left_gateway_in_trouble_is_not_forgotten_when_its_binding_is_over_by_the_wall_clock() {
    let (first, mut stage) = killed_after_a_move();
    stage.local.set_port(6071);
    let here = moves_on(&mut stage);
    assert_eq!(last_opened(&stage), "b.example");
    grant_for_long(&mut stage, &here);
    stage.now.wall += seconds(400 * 86_400);
    for wait in [60, 600, 600] {
        let removal = stage.one();
        assert_eq!((last_opened(&stage), removal.contact_uri()), ("a.example", first.contact_uri()));
        stage.reply(&removal, 503, &[]);
        stage.advance(seconds(wait));
    }
    let again = moves_on(&mut stage);
    assert_eq!(last_opened(&stage), "a.example");
    assert!(again.removed().contains(&first.contact_uri()), "{again:?}");
}

#[test]
fn a_log_out_does_not_wait_for_a_gateway_whose_binding_is_long_over() {
    let (first, mut stage) = killed_after_a_move();
    let here = moves_on(&mut stage);
    grant_for_long(&mut stage, &here);
    stage.now.wall += seconds(400 * 86_400);
    stage.advance(seconds(1200));
    assert!(stage.all().iter().all(|sent| sent.contact_uri() == first.contact_uri()), "it is asked, and silent");

    // A later process asks it again. But a log-out ends without it.
    let mut later = killed(&stage);
    let here = moves_on(&mut later);
    grant_for_long(&mut later, &here);
    later.advance(seconds(601));
    let asked = later.all();
    assert!(asked.iter().any(|sent| sent.contact_uri() == first.contact_uri()), "{asked:?}");
    later.log_out();
    let removal = later.one();
    assert_eq!((last_opened(&later), removal.flow), ("a.example", here.flow));
    later.reply(&removal, 200, &[]);
    assert_eq!(how_removed(&later), Some(Removed::Accepted));
}
