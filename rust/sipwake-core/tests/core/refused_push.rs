//! Servers that refuse push with a 555 (RFC 8599 section 4.1.1), on virtual time.

use sipwake_core::account::{AccountConfig, Transport};
use sipwake_core::event::{Event, Removed};
use sipwake_core::push::{Dialect, Provider, PushConfig, Reason, Standing};

use crate::support::{CHALLENGE, START, Sent, Stage, account, fcm, mpush, over, push_config, rfc8599, seconds, token};

/// Over TLS: what the client learns in the clear ends with the process (`trust`).
fn believed() -> AccountConfig {
    over(Transport::Tls)
}

/// Registered without push, which the server has just refused.
fn refused() -> Stage {
    let mut stage = Stage::new(believed(), rfc8599());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.reply(&first, 555, &[]);
    let second = stage.one();
    stage.ok(&second, &[]);
    stage
}

#[test]
fn after_a_555_the_client_registers_without_push_and_push_stays_refused() {
    let push = push_config(Provider::Fcm, &[Dialect::Rfc8599]);
    let mut stage = Stage::new(believed(), rfc8599());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.reply(&first, 401, &[CHALLENGE]);
    let second = stage.one();
    stage.reply(&second, 555, &[]);
    let third = stage.one();
    assert!(!third.contact().contains("pn-"), "the user is registered: {third:?}");
    assert!(third.removed().is_empty(), "a refused call is not kept: {third:?}");
    stage.ok(&third, &[]);
    assert_eq!(stage.last().verdict.standing, Standing::Refused);
    assert_eq!(stage.last().verdict.reason, Reason::ProviderRefused);
    assert!(!stage.last().verdict.advice.is_empty());

    stage.advance(seconds(3480));
    let refresh = stage.one();
    assert!(!refresh.contact().contains("pn-"));
    stage.ok(&refresh, &[]);
    assert_eq!(stage.last().verdict.standing, Standing::Refused);

    let mut later = stage.restart(believed(), Some(push.clone()));
    let again = later.register();
    later.ok(&again, &[]);
    assert_eq!(later.last().verdict.standing, Standing::Refused);

    let mut other = push;
    other.provider = Provider::Other("acme".into());
    later.add(believed(), Some(other));
    assert!(later.register().contact().contains("pn-provider=acme"), "another provider may be asked for");
}

#[test]
fn after_a_555_push_is_tried_again_once_a_day_but_not_while_a_call_waits() {
    const DAY: u64 = 86_400;
    let pn = |sent: &Sent| sent.contact().contains("pn-");
    let mut stage = refused();
    let mut asked_at = vec![0];
    while stage.now.boot < START.boot + seconds(2 * DAY + 3600) {
        let (at, _) = stage.agent.poll_timeout().expect("a refresh will be due");
        stage.advance(at - stage.now.boot);
        for request in stage.all() {
            if pn(&request) {
                asked_at.push((stage.now.boot - START.boot).as_secs());
                stage.reply(&request, 555, &[]);
            } else {
                stage.ok(&request, &[]);
            }
        }
    }
    assert_eq!(asked_at.len(), 3, "{asked_at:?}");
    assert!(asked_at.windows(2).all(|two| two[1] - two[0] >= DAY), "{asked_at:?}");

    stage.now.wall += seconds(DAY);
    let mut woken = stage.restart(believed(), rfc8599());
    woken.push("{}");
    let request = woken.one();
    assert!(!pn(&request), "a call may wait: {request:?}");
    woken.ok(&request, &[]);
    let request = woken.register();
    assert!(pn(&request), "the app starts: {request:?}");
    woken.ok(&request, &["Feature-Caps: *;+sip.pns=\"fcm\""]);
    assert_eq!(woken.last().verdict.standing, Standing::Confirmed, "the server was upgraded");
}

#[test]
fn a_555_is_remembered_for_a_day_to_the_second() {
    let stage = refused();
    for (age, asks) in [(86_399, false), (86_400, true)] {
        let mut now = stage.now;
        now.wall += seconds(age);
        let mut later = Stage::restored(believed(), rfc8599(), stage.store.clone(), now, 2);
        assert_eq!(later.register().contact().contains("pn-"), asks, "after {age} s");
    }
}

#[test]
fn a_refused_push_contact_is_not_removed_beside_the_bound_one() {
    let mut stage = Stage::rfc8599();
    let plain = stage.registered();
    stage.set_token(fcm("a:1"));
    let refused = stage.one();
    stage.reply(&refused, 555, &[]);
    let again = stage.one();
    assert_eq!(again.contact_uri(), plain.contact_uri());
    assert!(again.removed().is_empty(), "its pn-* would be refused again: {again:?}");
}

#[test]
fn after_a_555_to_another_dialect_the_client_sends_one_contact_and_then_no_push() {
    for moved in [false, true] {
        let mut before = Stage::mpush();
        before.set_token(fcm("a:1"));
        let mut stage = if moved {
            before.registered();
            before.restart(account(|_| {}), mpush())
        } else {
            before
        };
        stage.local.set_port(if moved { 6070 } else { 5070 });
        let mut request = stage.register();
        assert_eq!(request.removed().is_empty(), !moved);
        if moved {
            stage.reply(&request, 555, &[]);
            request = stage.one();
            assert!(request.removed().is_empty() && request.header("X-MPUSH").is_some(), "{request:?}");
        }
        stage.reply(&request, 555, &[]);
        let without = stage.one();
        assert!(without.header("X-MPUSH").is_none(), "{without:?}");
        stage.ok(&without, &[]);
        assert_eq!(stage.last().verdict.standing, Standing::Refused);
    }
}

/// The verdict after a 555 to RFC 8599, if the server says this about itself.
fn verdict_after_555(push: PushConfig, lines: &[&str]) -> (Standing, Reason) {
    let provider = push.provider.clone();
    let mut stage = Stage::new(account(|_| {}), Some(push));
    stage.set_token(token(&provider, "a:1"));
    let first = stage.register();
    stage.reply(&first, 555, lines);
    let second = stage.one();
    assert!(!second.contact().contains("pn-"));
    stage.ok(&second, lines);
    (stage.last().verdict.standing, stage.last().verdict.reason.clone())
}

#[test]
fn after_a_555_push_is_refused_unless_something_else_could_push() {
    let auto = |provider| PushConfig::new(provider, "com.example.app");
    let refused = (Standing::Refused, Reason::ProviderRefused);
    let maybe = (Standing::Unconfirmed, Reason::OtherDialectAfterRefusal);
    assert_eq!(verdict_after_555(auto(Provider::Other("acme".into())), &[]), refused);
    assert_eq!(verdict_after_555(auto(Provider::Fcm), &[]), refused, "nothing says that it reads X-MPUSH");
    assert_eq!(verdict_after_555(auto(Provider::Fcm), &["Server: Mizu VoIP Server"]), maybe);
    let both = push_config(Provider::Fcm, &[Dialect::Rfc8599, Dialect::XMpush]);
    assert_eq!(verdict_after_555(both, &[]), maybe, "the app says that the server reads both");
}

/// Bound with RFC 8599, then the user wants no pushes. The server no longer takes a REGISTER that names the provider. Returns
/// what comes after the 555.
fn dropped_before_the_unbind() -> (Stage, Sent, Sent) {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let bound = stage.registered();
    stage.unbind();
    let unbind = stage.one();
    assert_eq!(unbind.removed(), [bound.contact_uri()]);
    stage.reply(&unbind, 555, &[]);
    let again = stage.one();
    assert!(again.removed().is_empty() && !again.contact().contains("pn-"), "{again:?}");
    (stage, bound, again)
}

#[test]
fn a_former_contact_whose_provider_is_refused_is_removed_in_a_request_of_its_own() {
    for listed in [false, true] {
        let (mut stage, bound, again) = dropped_before_the_unbind();
        let lines = [&bound, &again].map(|sent| format!("Contact: {};expires=3600", sent.contact()));
        let lines = lines.iter().map(String::as_str).collect::<Vec<_>>();
        stage.reply(&again, 200, if listed { &lines } else { &["Expires: 3600"] });
        let removal = stage.one();
        assert_eq!((removal.contact_uri(), removal.header("Expires")), (bound.contact_uri(), Some("0")), "{listed}");
        stage.reply(&removal, 200, &[]);
        let bind = stage.one();
        assert!(bind.removed().is_empty() && !bind.contact().contains("pn-"), "{bind:?}");
        stage.ok(&bind, &[]);
        stage.silent();
    }
}

#[test]
fn a_refused_provider_does_not_stop_the_removal_of_another_contact() {
    let mut stage = Stage::rfc8599();
    let plain = stage.registered();
    stage.set_token(fcm("a:1"));
    let unanswered = stage.one();
    let mut later = stage.restart(account(|_| {}), rfc8599());
    later.local.set_port(6070);
    later.unbind();
    let both = later.one();
    let mut removed = both.removed();
    removed.sort_unstable();
    assert_eq!(removed, [plain.contact_uri(), unanswered.contact_uri()]);
    later.reply(&both, 555, &[]);
    let again = later.one();
    assert!(again.removed().is_empty(), "{again:?}");
    let lines = [&plain, &again].map(|sent| format!("Contact: {};expires=3600", sent.contact()));
    later.reply(&again, 200, &[&lines[0], &lines[1]]);
    let removal = later.one();
    assert_eq!((removal.contact_uri(), removal.header("Expires")), (plain.contact_uri(), Some("0")));
    assert!(removal.removed().is_empty(), "by itself: {removal:?}");
}

#[test]
fn a_log_out_is_not_proven_while_a_removed_contact_is_still_listed() {
    let mut stage = Stage::rfc8599();
    let plain = stage.registered();
    let stays = format!("Contact: {};expires=3600", plain.contact());
    let moved = stage.moved_to(6070);
    stage.ok(&moved, &[&stays]);
    let mut rounds = 0;
    while let Some(again) = stage.sent.pop_front() {
        assert_eq!(again.removed(), [plain.contact_uri()]);
        stage.ok(&again, &[&stays]);
        rounds += 1;
    }
    assert_eq!(rounds, 2, "then it is not removed any more");
    let later = stage.moved_to(6080);
    assert!(later.removed().contains(&plain.contact_uri()), "and tried again from another address: {later:?}");
    stage.ok(&later, &[&stays]);
    stage.silent();
    stage.log_out();
    while let Some(removal) = stage.sent.pop_front() {
        assert!(removal.removed().contains(&plain.contact_uri()) || removal.contact_uri() == plain.contact_uri());
        stage.reply(&removal, 200, &[&stays]);
    }
    let told = stage.events.iter().find_map(|event| match event {
        Event::LoggedOut { removed, .. } => Some(*removed),
        _ => None,
    });
    assert_ne!(told, Some(Removed::Proven));
}

#[test]
fn a_former_push_contact_that_is_listed_without_its_token_is_removed_after_a_555() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let bound = stage.register();
    let listed = |at: &str| format!("Contact: <sip:alice@192.0.2.10:{at}>;expires=3600");
    stage.reply(&bound, 200, &[&listed("5070")]);
    let moved = stage.moved_to(6070);
    assert_eq!(moved.removed(), [bound.contact_uri()]);
    stage.reply(&moved, 555, &[]);
    let without = stage.one();
    assert!(without.removed().is_empty() && !without.contact().contains("pn-"), "{without:?}");
    stage.reply(&without, 200, &[&listed("5070"), &listed("6070")]);
    assert_eq!(stage.one().removed(), ["sip:alice@192.0.2.10:5070"]);
}

#[test]
fn a_server_that_takes_one_contact_is_asked_to_remove_each_former_one_by_itself() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.registered();
    let moved = stage.moved_to(6070);
    assert_eq!(moved.removed(), [first.contact_uri()]);
    stage.reply(&moved, 400, &[]);
    let alone = stage.one();
    assert!(alone.removed().is_empty());
    let lines = [&first, &alone].map(|sent| format!("Contact: {};expires=3600", sent.contact()));
    stage.reply(&alone, 200, &[&lines[0], &lines[1]]);
    let removal = stage.one();
    assert_eq!((removal.contact_uri(), removal.header("Expires")), (first.contact_uri(), Some("0")));
    assert!(removal.removed().is_empty());
    stage.reply(&removal, 200, &[&lines[1]]);
    let bind = stage.one();
    assert_eq!((bind.contact_uri(), bind.removed().len()), (alone.contact_uri(), 0));
    stage.ok(&bind, &[]);
    stage.silent();
}

#[test]
fn a_former_contact_that_is_too_long_in_any_words_does_not_stop_the_registration() {
    for (code, line) in [
        (403, "Warning: 399 x \"Contact too long\""),
        (413, "Content-Length: 0"),
        (500, "P-Registrar-Error: Contact/received too long"),
        (513, "Content-Length: 0"),
    ] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        let bound = stage.registered();
        stage.unbind();
        let unbind = stage.one();
        assert_eq!(unbind.removed(), [bound.contact_uri()]);
        stage.reply(&unbind, code, &[line]);
        let alone = loop {
            let next = stage.one();
            if next.removed().is_empty() {
                break next;
            }
            // The nonce may have been the reason.
            stage.reply(&next, code, &[line]);
        };
        assert!(!alone.contact().contains("pn-"), "{code}: {alone:?}");
        let lines = [&bound, &alone].map(|sent| format!("Contact: {};expires=3600", sent.contact()));
        stage.reply(&alone, 200, &[&lines[0], &lines[1]]);
        let removal = stage.one();
        assert_eq!((removal.contact_uri(), removal.header("Expires")), (bound.contact_uri(), Some("0")), "{code}");
    }
}
