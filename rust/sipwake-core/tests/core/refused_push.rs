//! Servers that refuse push with a 555 (RFC 8599 section 4.1.1), over virtual time.

use sipwake_core::account::{AccountConfig, Transport};
use sipwake_core::push::{Dialect, Provider, PushConfig, Reason, Standing};

use crate::support::{CHALLENGE, START, Sent, Stage, account, fcm, mpush, over, push_config, rfc8599, seconds, token};

/// Over TLS: what is heard in the clear ends with the process (`trust`).
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
fn a_555_is_answered_without_push_and_stays_refused() {
    let push = push_config(Provider::Fcm, &[Dialect::Rfc8599]);
    let mut stage = Stage::new(believed(), rfc8599());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.reply(&first, 401, &[CHALLENGE]);
    let second = stage.one();
    stage.reply(&second, 555, &[]);
    let third = stage.one();
    assert!(!third.contact().contains("pn-"), "the user has service: {third:?}");
    assert!(third.removed().is_empty(), "what was refused is not held: {third:?}");
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
fn a_555_is_tried_again_once_a_day_but_not_when_a_call_waits() {
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
fn what_was_refused_is_not_named_for_removal_beside_what_is_bound() {
    let mut stage = Stage::rfc8599();
    let plain = stage.registered();
    stage.set_token(fcm("a:1"));
    let refused = stage.one();
    stage.reply(&refused, 555, &[]);
    let again = stage.one();
    assert_eq!(again.contact_uri(), plain.contact_uri());
    assert!(again.removed().is_empty(), "its pn-* would be refused once more: {again:?}");
}

#[test]
fn a_555_to_another_dialect_is_answered_with_one_contact_and_then_without_push() {
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

/// The verdict after a 555 to RFC 8599, where the server says this of itself.
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
