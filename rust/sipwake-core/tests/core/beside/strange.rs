//! Unexpected things that other stacks, servers and apps do. Each leads to a typed error or a documented outcome.

use std::collections::BTreeMap;

use sipwake_core::account::{Account, Transport};
use sipwake_core::beside::{Companion, Error, Heard, Invite, Next, Output};
use sipwake_core::event::{CallChange, Ended, Event, Failure, Removed};
use sipwake_core::payload::{ActionKind, Channel, Duty, Hints, Ignored};
use sipwake_core::push::{Dialect, Dialects, Provider, Push, PushConfig, Standing};
use sipwake_core::snapshot::{REMOVALS, binding_key};
use sipwake_core::user_agent::Unreadable;
use uuid::Uuid;

use super::{Beside, STACK, TOKEN, header, listed};
use crate::incoming::CALL;
use crate::support::{START, seconds};

const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "Digest realm=\"asterisk\", nonce=\"n1\"");

fn invite(beside: &mut Beside, headers: &[(&str, &str)]) -> Result<Invite, Error> {
    let invited = beside.companion.invited(&beside.key, headers, beside.now);
    beside.drain();
    invited
}

/// An INVITE on this branch, in the short header names of some stacks.
fn on_branch(branch: &'static str) -> [(&'static str, &'static str); 5] {
    let via = match branch {
        "a" => "SIP/2.0/TLS gw.example.com;branch=z9hG4bKa, SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKz",
        _ => "SIP/2.0/TLS gw.example.com;rport;branch=z9hG4bKb",
    };
    [
        ("V", via),
        ("F", "<sip:1234@example.com>;tag=1"),
        ("t", "<sip:alice@example.com>"),
        ("I", "call-1"),
        ("cseq", "7 INVITE"),
    ]
}

fn ends(beside: &mut Beside) -> Vec<(Uuid, Ended)> {
    let changes = beside.calls().into_iter();
    changes
        .filter_map(|(call, change)| if let CallChange::Ended(how) = change { Some((call, how)) } else { None })
        .collect()
}

// Calls.

#[test]
fn one_cancel_ends_a_retransmitted_invite() {
    let mut beside = Beside::bound();
    let Ok(Invite::Ring { call, again: false }) = invite(&mut beside, &on_branch("a")) else { panic!("it rings") };
    assert_eq!(invite(&mut beside, &on_branch("a")), Ok(Invite::Ring { call, again: true }));
    let cancel = [on_branch("a")[0], ("CSeq", "7 CANCEL")];
    assert_eq!(beside.companion.cancelled(call, &cancel, beside.now), Ok(Some(Ended::Cancelled)));
    beside.drain();
    assert_eq!(ends(&mut beside), [(call, Ended::Cancelled)]);
}

#[test]
fn a_cancel_ends_its_own_fork_and_only_once() {
    let mut beside = Beside::bound();
    let Ok(Invite::Ring { call, .. }) = invite(&mut beside, &on_branch("a")) else { panic!("it rings") };
    invite(&mut beside, &on_branch("b")).expect("the same call over another branch");
    for _ in 0..2 {
        assert_eq!(beside.companion.cancelled(call, &on_branch("b")[..1], beside.now), Ok(None), "the other one rings");
    }
    assert_eq!(beside.companion.cancelled(call, &on_branch("a")[..1], beside.now), Ok(Some(Ended::Cancelled)));
}

#[test]
fn endless_forks_are_one_call_and_cost_no_memory() {
    let mut beside = Beside::bound();
    let mut calls = Vec::new();
    for number in 0..5_000 {
        let via = format!("SIP/2.0/UDP gw;branch=z9hG4bK{number}");
        let headers = [("Via", via.as_str()), ("From", "<sip:1234@example.com>;tag=1"), ("Call-ID", "call-1")];
        let Ok(Invite::Ring { call, .. }) = invite(&mut beside, &headers) else { panic!("it rings") };
        calls.push(call);
    }
    calls.dedup();
    let [call] = calls[..] else { panic!("{} calls", calls.len()) };
    let cancels = (0..5_000).take_while(|_| beside.companion.cancelled(call, &[], beside.now) == Ok(None)).count();
    assert!(cancels < 32, "{cancels}");
}

#[test]
fn a_cancel_that_overtakes_its_invite_ends_the_call() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    assert_eq!(beside.companion.cancelled(call, &on_branch("a")[..1], beside.now), Ok(Some(Ended::Cancelled)));
    assert_eq!(invite(&mut beside, &on_branch("a")), Ok(Invite::Refuse { call: Some(call), status: 487 }));
    assert_eq!(beside.companion.cancelled(Uuid::from_u128(7), &[], beside.now), Err(Error::NoSuchCall));
}

#[test]
fn only_an_invite_outside_a_dialog_announces_a_call() {
    let mut beside = Beside::bound();
    let mut options = on_branch("a");
    options[4] = ("CSeq", "8 OPTIONS");
    assert_eq!(invite(&mut beside, &options), Err(Error::Method("INVITE")));
    let mut within = on_branch("a");
    within[2] = ("t", "<sip:alice@example.com>;TAG=ours");
    assert_eq!(invite(&mut beside, &within), Err(Error::InDialog));
    assert_eq!(beside.calls(), []);
}

#[test]
fn a_cancel_that_names_another_phone_does_not_end_a_call_answered_here() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    invite(&mut beside, &on_branch("a")).expect("it rings");
    beside.companion.answered(call, beside.now).expect("it rings");
    beside.events.clear();
    let elsewhere = [on_branch("a")[0], ("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"")];
    assert_eq!(beside.companion.cancelled(call, &elsewhere, beside.now), Err(Error::Answered));
    beside.push(r#"{"ntype":"2","nfrom":"1234","ncallid":"call-1","ntouser":"alice"}"#);
    assert_eq!((ends(&mut beside), beside.refused.len()), (vec![], 0), "a late push must not match a connected call");
    // If the server says the same in another way, the call ends, once.
    assert_eq!(beside.companion.answered_elsewhere(call, beside.now), Ok(()));
    assert_eq!(beside.companion.answered_elsewhere(call, beside.now), Err(Error::Over));
    beside.drain();
    assert_eq!(ends(&mut beside), [(call, Ended::AnsweredElsewhere)]);
}

#[test]
fn a_push_before_any_account_makes_no_sound() {
    let mut companion = Companion::new([3; 32], None, START);
    let action = companion.push(CALL, Channel::FcmAndroid, &Hints::at(START));
    assert_eq!(action.duty, Duty::Nothing, "{action:?}");
    let voip = companion.push(CALL, Channel::PushKit, &Hints::at(START));
    assert_eq!(voip.duty, Duty::ReportThenEnd, "the system wants to see a call");
}

#[test]
fn two_accounts_of_one_extension_have_a_call_each() {
    let mut companion = Companion::new([4; 32], None, START);
    let keys = ["sip:100@a.example", "sip:100@b.example"].map(|aor| {
        let account = Account::parse(sipwake_core::account::AccountConfig::new(aor, "secret")).expect("valid");
        let key = companion.add_account(account, None, None, START).expect("room");
        companion.register_tags(&key, START).expect("known");
        companion.heard(&key, &Heard::new(200, &[("Expires", "600")]), START).expect("asked");
        key
    });
    let push = r#"{"ntype":"0","nfrom":"1234","ncallid":"call-1","ntouser":"100"}"#;
    let call = companion.push(push, Channel::FcmAndroid, &Hints::at(START)).uuid;
    let other = [("From", "<sip:99@b.example>;tag=1"), ("Call-ID", "call-2")];
    let Ok(Invite::Ring { call: second, .. }) = companion.invited(&keys[1], &other, START) else { panic!("it rings") };
    let first = [("From", "<sip:1234@a.example>;tag=1"), ("Call-ID", "call-1")];
    assert_eq!(companion.invited(&keys[0], &first, START), Ok(Invite::Ring { call, again: false }));
    assert_ne!(call, second);
}

// Responses.

#[test]
fn a_wrong_password_is_not_tried_again_until_the_app_asks() {
    let mut beside = Beside::new(|_, _| {});
    beside.tags();
    for _ in 0..4 {
        assert!(matches!(beside.hear(401, &[CHALLENGE]).next, Next::Authenticate { .. }));
    }
    let wrong = Next::Wait { failure: Failure::WrongCredentials, retry_in: None };
    assert_eq!(beside.hear(401, &[CHALLENGE]).next, wrong);
    assert!(
        matches!(beside.events.last(), Some(Event::RegistrationFailed { retry_in: None, .. })),
        "{:?}",
        beside.events
    );
    for _ in 0..200 {
        beside.advance(60);
    }
    assert_eq!(beside.asked, 0, "one attempt each minute would lock the user out");
    // The app asks again, this time with the right password.
    beside.tags();
    assert!(matches!(beside.hear(401, &[CHALLENGE]).next, Next::Authenticate { .. }));
    assert_eq!(beside.hear(200, &[("Expires", "600")]).next, Next::Nothing);
}

#[test]
fn a_log_out_whose_password_stays_wrong_stays_pending() {
    let mut beside = Beside::bound();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.tags();
    let asked = beside.asked;
    let last = (0..5).map(|_| beside.hear(401, &[CHALLENGE]).next).last();
    assert_eq!(last, Some(Next::Wait { failure: Failure::WrongCredentials, retry_in: None }));
    assert_eq!((beside.companion.pending().len(), beside.asked), (1, asked));
    beside.restart();
    assert_eq!((beside.companion.pending().len(), beside.asked), (1, 1), "each process tries it");
    assert!(beside.tags().removes());
    assert!(matches!(beside.hear(200, &[]).next, Next::LoggedOut(_)));
}

#[test]
fn a_response_to_another_method_does_not_answer_the_register() {
    let mut beside = Beside::new(|_, _| {});
    let register = beside.tags();
    let ok = [("CSeq", "4 INVITE"), ("Expires", "600")];
    let heard = beside.companion.heard(&beside.key, &Heard::new(200, &ok), beside.now);
    assert_eq!(heard, Err(Error::Method("REGISTER")));
    assert_eq!(beside.tags(), register, "nothing was changed");
}

#[test]
fn a_423_that_asks_for_no_longer_lifetime_leads_to_a_wait() {
    for headers in
        [&[][..], &[("Min-Expires", "1")], &[("Min-Expires", "soon")], &[("Min-Expires", "99999999999999999999")]]
    {
        let mut beside = Beside::new(|_, _| {});
        let mut asked = 0;
        beside.tags();
        let mut next = beside.hear(423, headers).next;
        while next == Next::Again {
            asked += 1;
            assert!(asked < 10, "{headers:?} never ends");
            beside.tags();
            next = beside.hear(423, headers).next;
        }
        assert!(matches!(next, Next::Wait { .. }), "{headers:?}: {next:?}");
    }
}

/// Returns how many REGISTERs a stack sends if it follows each step, and the last step. The server always responds the
/// same.
fn at_last(beside: &mut Beside, status: u16) -> (usize, Next) {
    let headers =
        [("Contact", "<sip:edge.example.com>"), ("Min-Expires", "7200"), ("Unsupported", "path"), ("Retry-After", "5")];
    for sent in 1..20 {
        beside.tags();
        match beside.hear(status, &headers).next {
            Next::Again | Next::Authenticate { .. } => {}
            next => return (sent, next),
        }
    }
    panic!("{status}: it never ends");
}

#[test]
fn a_server_that_always_gives_the_same_response_leads_to_a_reported_end() {
    for status in 300..700 {
        let mut beside = Beside::new(|_, _| {});
        let (sent, next) = at_last(&mut beside, status);
        assert!(matches!(next, Next::Wait { .. }), "{status}: {next:?}");
        assert!(sent <= 12, "{status}: {sent} REGISTERs");
        let mut beside = Beside::bound();
        beside.companion.log_out(&beside.key, beside.now).expect("known");
        beside.drain();
        let (_, next) = at_last(&mut beside, status);
        let pending = beside.companion.pending().len();
        match next {
            Next::Wait { .. } => assert_eq!(pending, 1, "{status}: nothing of it is lost"),
            Next::LoggedOut(removed) => {
                assert!(matches!(status, 404 | 604), "{status}");
                assert_eq!((pending, removed), (0, Removed::Accepted), "{status}");
            }
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[test]
fn a_200_that_does_not_list_us_counts_for_the_lifetime_that_was_asked_for() {
    for headers in
        [&[][..], &[("Contact", "<sip:bob@10.0.0.3>;expires=30")], &[("Contact", "*")], &[("Contact", "<<>>;;,\"")]]
    {
        let mut beside = Beside::new(|_, _| {});
        let register = beside.tags();
        let answer = beside.hear(200, headers);
        assert_eq!(answer.next, Next::Nothing, "{headers:?}");
        let expires = answer.expires.expect("it is registered").as_secs();
        assert!(expires <= register.expires.into(), "{headers:?}: {expires}");
        assert!(answer.refresh_in.is_some_and(|refresh| refresh.as_secs() <= expires), "{headers:?}");
    }
}

#[test]
fn every_request_for_an_unknown_or_logged_out_account_is_an_error() {
    let mut beside = Beside::new(|_, _| {});
    let unknown =
        Account::parse(sipwake_core::account::AccountConfig::new("sip:eve@example.com", "x")).expect("valid").key();
    let (companion, now) = (&mut beside.companion, beside.now);
    let ok = Heard::new(200, &[]);
    assert_eq!(companion.heard(&unknown, &ok, now), Err(Error::NoSuchAccount));
    assert_eq!(companion.heard_message(&unknown, None, b"SIP/2.0 200 OK\r\n\r\n", now), Err(Error::NoSuchAccount));
    assert_eq!(companion.invited(&unknown, &on_branch("a"), now), Err(Error::NoSuchAccount));
    assert_eq!(companion.stands_at(&unknown, STACK, now), Err(Error::NoSuchAccount));
    assert_eq!(companion.sent(&unknown, 1, "c", 1), Err(Error::NoSuchRegister(1)));
    assert_eq!(companion.log_out(&unknown, now), Err(Error::NoSuchAccount));
    assert_eq!(companion.set_do_not_disturb(&unknown, None, now), Err(Error::NoSuchAccount));
    assert_eq!(companion.assume_bound(&unknown), Err(Error::NoSuchAccount));
    assert!(companion.heard_message(&beside.key, None, b"INVITE sip:a@b SIP/2.0\r\n\r\n", now).is_err(), "a request");
    assert!(companion.heard_message(&beside.key, None, b"\xff\xfe", now).is_err());
}

#[test]
fn responses_out_of_order_are_told_apart_by_the_numbers_of_the_tags() {
    let mut beside = Beside::bound();
    let numbers: Vec<u64> = (0..3)
        .map(|number| {
            beside.token(&format!("token-{number}"));
            beside.tags().number
        })
        .collect();
    let heard = |number, status| Heard { register: Some(number), ..Heard::new(status, &[("Expires", "600")]) };
    assert_eq!(beside.hear_all(&heard(numbers[1], 503)).next, Next::Old);
    assert_ne!(beside.hear_all(&heard(numbers[2], 200)).next, Next::Old);
    assert_eq!(beside.hear_all(&heard(numbers[0], 401)).next, Next::Old);
    assert_eq!(beside.hear_all(&heard(numbers[2], 200)).next, Next::Old, "the same again");
}

#[test]
fn a_push_during_a_register_leads_to_another_register() {
    let mut beside = Beside::bound();
    let sent = beside.tags();
    beside.push(CALL);
    let answer = beside.hear_all(&Heard { register: Some(sent.number), ..Heard::new(200, &[("Expires", "600")]) });
    assert!(answer.next == Next::Again || beside.asked == 1, "{answer:?}, asked {}", beside.asked);
    let next = beside.tags();
    assert_ne!(next.number, sent.number);
    assert_eq!(beside.hear(200, &[("Expires", "600")]).next, Next::Nothing);
}

#[test]
fn a_stack_that_never_reports_a_response_is_told_so_and_asked_again_at_a_push() {
    let mut beside = Beside::bound();
    let call = beside.push(CALL).uuid;
    beside.tags();
    let mut asked = 0;
    for _ in 0..60 {
        beside.advance(1);
        if beside.asked > asked {
            asked = beside.asked;
            beside.tags();
        }
    }
    assert!(asked >= 2, "{asked}");
    let failed = |event: &Event| matches!(event, Event::RegistrationFailed { failure: Failure::TimedOut, .. });
    assert!(beside.events.iter().any(failed), "{:?}", beside.events);
    assert!(beside.calls().contains(&(call, CallChange::Ended(Ended::Missed))));
}

#[test]
fn a_gateway_that_is_silent_is_left_for_the_next_and_what_it_holds_is_removed_there() {
    let mut beside = Beside::new(|account, _| {
        account.gateways = vec!["one.example.com".into(), "two.example.com".into()];
    });
    let (register, _) = beside.bind();
    assert!(register.gateway.contains("one.example.com"), "{register:?}");
    let at_one = register.number;
    beside.tags();
    assert_eq!(beside.hear(503, &[]).next, Next::Again);
    let (register, answer) = beside.bind();
    assert!(register.gateway.contains("two.example.com") && answer.verdict.is_some(), "{register:?} {answer:?}");

    for _ in 0..120 {
        beside.advance(1);
    }
    let elsewhere = beside.companion.registers_elsewhere();
    beside.drain();
    let [there] = &elsewhere[..] else { panic!("one gateway was left: {elsewhere:?}") };
    assert!(there.removes() && there.gateway.contains("one.example.com") && there.number != at_one, "{there:?}");
    assert_eq!(there.contact.as_ref().map(|uri| uri.expose().starts_with(STACK)), Some(true));
    // The user logs out before that gateway answers the removal.
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    let here = beside.tags();
    assert!(here.removes() && here.gateway.contains("two.example.com"), "{here:?}");
    beside.hear_all(&Heard { register: Some(here.number), ..Heard::new(200, &[]) });
    assert_eq!(beside.companion.pending().len(), 1, "the other one still holds it");
    assert_eq!(beside.companion.register_tags(&beside.key, beside.now), Err(Error::NothingToSend));
    let mut next = Next::Nothing;
    for _ in 0..5 {
        let Some(there) = beside.companion.registers_elsewhere().pop() else {
            beside.advance(60);
            continue;
        };
        next = beside.hear_all(&Heard { register: Some(there.number), ..Heard::new(200, &[]) }).next;
        if matches!(next, Next::LoggedOut(_)) {
            break;
        }
    }
    assert!(matches!(next, Next::LoggedOut(_)), "{next:?}");
    assert_eq!(beside.companion.pending(), []);
}

// The stack's own Contact.

#[test]
fn a_contact_with_its_own_push_parameters_is_recognised_without_them() {
    for told in [
        "<sip:alice-x7@10.0.0.2:40112;ob;pn-provider=apns;PN-PRID=old;pn-param=x>;expires=60;q=0.5",
        "sip:alice-x7@10.0.0.2:40112;ob;app-id=1;pn-tok=2",
    ] {
        let mut beside = Beside::new(|_, _| {});
        beside.companion.stands_at(&beside.key, told, beside.now).expect("a URI");
        let contact = beside.tags().contact.expect("told");
        assert_eq!(contact.expose(), format!("{STACK};pn-provider=fcm;pn-param=my-project;pn-prid={TOKEN}"), "{told}");
    }
}

#[test]
fn a_later_process_with_another_contact_still_removes_the_one_that_was_bound() {
    let mut beside = Beside::bound();
    let bound = format!("{STACK};pn-provider=fcm;pn-param=my-project;pn-prid={TOKEN}");
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    beside.restart();
    beside.companion.stands_at(&beside.key, "sip:alice-new@10.0.0.2:555", beside.now).expect("a URI");
    beside.drain();
    let register = beside.tags();
    let mut named: Vec<_> = register.removed.iter().map(|uri| uri.expose().to_owned()).collect();
    named.extend(register.contact.as_ref().map(|uri| uri.expose().to_owned()));
    assert!(register.removes() && named.contains(&bound), "{named:?}");
}

#[test]
fn a_log_out_of_a_stack_that_moved_silently_leaves_no_binding() {
    let mut beside = Beside::bound();
    beside.restart();
    beside.log_in();
    beside.token(TOKEN);
    // It has another Contact in each process and reports none.
    let register = beside.tags();
    let (old, new) = (listed(&register, STACK), listed(&register, "sip:alice-y9@10.0.0.2:999"));
    let both = format!("{old}, {new}");
    beside.hear(200, &[("Contact", &both)]);
    let mut named = Vec::new();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    for _ in 0..4 {
        if beside.companion.pending().is_empty() {
            break;
        }
        let register = beside.tags();
        named.extend(register.removed.iter().chain(&register.contact).map(|uri| uri.expose().to_owned()));
        let left: Vec<_> = [&old, &new]
            .into_iter()
            .filter(|uri| !named.iter().any(|known| uri.contains(&format!("<{known}>"))))
            .collect();
        let left = left.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let headers = [("Contact", left.as_str())];
        beside.hear(200, if left.is_empty() { &[] } else { &headers });
    }
    assert!(beside.companion.pending().is_empty());
    assert!(named.iter().any(|uri| uri.starts_with("sip:alice-y9@")), "{named:?}");
}

// Tokens and log-outs.

#[test]
fn a_token_that_comes_during_a_log_out_changes_nothing() {
    let mut beside = Beside::bound();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    let register = beside.tags();
    let push = Push::parse(PushConfig::new(Provider::Fcm, "my-project")).expect("valid");
    let token = push.parse_token(Some("rotated"), None).expect("valid").expect("a token");
    assert_eq!(beside.companion.set_token(&beside.key, token, beside.now), Err(Error::NoSuchAccount));
    assert_eq!(beside.companion.unbind_push(&beside.key, beside.now), Err(Error::NoSuchAccount));
    assert_eq!(beside.tags(), register);
    assert!(matches!(beside.hear(200, &[]).next, Next::LoggedOut(_)));
}

#[test]
fn a_log_out_removes_a_binding_made_under_former_settings() {
    let mut beside = Beside::new(|_, push| push.dialects = Dialects::Only(vec![Dialect::XMpush, Dialect::Rfc8599]));
    beside.bind();
    beside.restart();
    // An update of the app uses another dialect and another project. It has no token yet.
    beside.push =
        PushConfig { dialects: Dialects::Only(vec![Dialect::AppIdInUri]), ..PushConfig::new(Provider::Fcm, "other") };
    beside.log_in();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    let register = beside.tags();
    let bound = format!("{STACK};pn-provider=fcm;pn-param=my-project;pn-prid={TOKEN}");
    assert_eq!((register.removes(), header(&register, "X-MPUSH")), (true, Some("null")));
    let mut named = register.removed.iter().chain(&register.contact).map(|uri| uri.expose());
    assert!(named.any(|uri| uri == bound), "{register:?}");
}

#[test]
fn a_log_out_while_the_store_is_shut_removes_the_binding_once_its_record_can_be_read() {
    log_out_while_shut(false);
    log_out_while_shut(true);
}

fn log_out_while_shut(delivered: bool) {
    let mut earlier = Beside::bound();
    let (key, now) = (earlier.key.clone(), earlier.now.after(seconds(60)));
    let stored: BTreeMap<_, _> = std::mem::take(&mut earlier.store);
    let mut companion = Companion::new([9; 32], None, now);
    companion.handle_loaded(REMOVALS, Err(Unreadable::Shut), now);
    companion.handle_loaded(&binding_key(&key), Err(Unreadable::Shut), now);
    let account = Account::parse(super::config()).expect("valid");
    let push = Push::parse(PushConfig::new(Provider::Fcm, "my-project")).expect("valid");
    companion.add_account(account, Some(push), None, now).expect("room");
    companion.log_out(&key, now).expect("known");
    let outputs = |companion: &mut Companion, open: bool| {
        let (mut told, mut asked) = (Vec::new(), 0);
        while let Some(output) = companion.poll_output() {
            match output {
                Output::Save(record) => {
                    let result = if open { Ok(()) } else { Err("locked".to_owned()) };
                    companion.handle_saved(record.id, result, now);
                }
                Output::Load(name) if open => {
                    companion.handle_loaded(&name, Ok(stored.get(&name).map(Vec::as_slice)), now);
                }
                Output::Load(name) => companion.handle_loaded(&name, Err(Unreadable::Shut), now),
                Output::Register(_) => asked += 1,
                Output::Event(event) => told.push(*event),
                Output::Refuse { .. } => {}
            }
        }
        (told, asked)
    };
    let (told, asked) = outputs(&mut companion, false);
    assert_eq!((told, asked, companion.is_durable()), (vec![], 1, false), "it is asked for, and not durable yet");
    if delivered {
        // The record is not read yet, so the removal does not name what was bound.
        companion.register_tags(&key, now).expect("it must be removed");
        let answer = companion.heard(&key, &Heard::new(200, &[]), now).expect("asked");
        assert!(matches!(answer.next, Next::LoggedOut(_)), "{answer:?}");
        let (told, _) = outputs(&mut companion, false);
        assert!(!told.contains(&Event::Durable), "{told:?}");
    }
    companion.store_available(now);
    let (told, _) = outputs(&mut companion, true);
    assert!(told.contains(&Event::Durable) && companion.is_durable(), "{told:?}");
    assert_eq!(companion.pending().len(), 1, "now the old bindings are known, and so is what is left to do");
    let register = companion.register_tags(&key, now).expect("it must be removed");
    assert_eq!(register.contact.map(|uri| uri.expose().starts_with(STACK)), Some(true));
    let answer = companion.heard(&key, &Heard::new(200, &[]), now).expect("asked");
    assert!(matches!(answer.next, Next::LoggedOut(_)), "{answer:?}");
    assert_eq!(companion.pending(), []);
}

// Secrets.

#[test]
fn x_piid_is_left_out_once_the_stack_falls_back_to_a_clear_transport() {
    let upper = |transport| {
        move |config: &mut sipwake_core::account::AccountConfig, _: &mut PushConfig| {
            config.upper.server = Some("pbx.example.com".into());
            config.realm = Some("asterisk".into());
            config.transport = Some(transport);
        }
    };
    let mut beside = Beside::new(upper(Transport::Tls));
    assert!(header(&beside.tags(), "X-PIID").is_some());
    beside.hear(200, &[("Expires", "600")]);
    upper(Transport::Tcp)(&mut beside.account, &mut PushConfig::new(Provider::Fcm, "x"));
    beside.log_in();
    let register = beside.tags();
    assert_eq!(header(&register, "X-PIID"), None);
    assert!(beside.hear(200, &[("Expires", "600")]).verdict.expect("a verdict").piid_withheld);
}

#[cfg(feature = "sealed")]
#[test]
fn the_tags_carry_the_newest_push_key_and_only_over_tls() {
    let key = |auth: &str| sipwake_core::sealed::PushKey { p256dh: "BPublic".into(), auth: auth.into() };
    for (transport, goes) in
        [(Transport::Tls, true), (Transport::Wss, true), (Transport::Udp, false), (Transport::Ws, false)]
    {
        let mut beside = Beside::new(|config, _| {
            (config.transport, config.send_push_key) = (Some(transport), true);
            config.allow_cleartext_secrets = true;
        });
        assert!(beside.companion.wants_push_key());
        beside.companion.set_push_key(&key("AAA"), beside.now);
        let (register, _) = beside.bind();
        assert_eq!(header(&register, "X-Push-Key"), goes.then_some("auth=AAA;p256dh=BPublic"), "{transport:?}");
        assert!(!format!("{register:?}").contains("AAA"));
        let asked = beside.asked;
        beside.companion.set_push_key(&key("BBB"), beside.now);
        beside.drain();
        assert_eq!(beside.asked, asked + 1, "a new key is sent at once");
        assert_eq!(header(&beside.tags(), "X-Push-Key"), goes.then_some("auth=BBB;p256dh=BPublic"));
    }
}

// Do not disturb.

#[test]
fn do_not_disturb_registers_without_push_and_binds_push_again_in_time() {
    let mut beside = Beside::bound();
    let until = beside.now.wall + seconds(900);
    beside.companion.set_do_not_disturb(&beside.key, Some(until), beside.now).expect("known");
    beside.drain();
    assert_eq!((beside.asked, beside.companion.do_not_disturb(&beside.key)), (1, Some(until)));
    let register = beside.tags();
    assert!(!register.removes() && register.tags.uri_params.is_empty(), "{register:?}");
    assert_eq!(header(&register, "X-MPUSH"), Some("null"));
    assert_eq!(beside.push(CALL).kind, ActionKind::Ignore { reason: Ignored::DoNotDisturb });
    beside.bind();

    beside.restart();
    beside.log_in();
    assert_eq!(
        beside.push(CALL).kind,
        ActionKind::Ignore { reason: Ignored::DoNotDisturb },
        "also in the next process"
    );
    assert_eq!(beside.companion.poll_timeout().map(|(at, _)| at <= beside.now.boot + seconds(900)), Some(true));
    beside.asked = 0;
    for _ in 0..10 {
        beside.advance(100);
    }
    assert!(beside.events.iter().any(|event| matches!(event, Event::DoNotDisturbOver { .. })), "{:?}", beside.events);
    assert_eq!((beside.asked, beside.companion.do_not_disturb(&beside.key)), (1, None), "it is asked for once");
    let (register, answer) = beside.bind();
    assert!(register.tags.uri_params_text().contains(TOKEN), "with the token from before: {register:?}");
    assert_ne!(answer.verdict.map(|verdict| verdict.standing), Some(Standing::Refused));
}

#[test]
fn a_log_out_ends_do_not_disturb_and_an_unknown_end_is_reported_as_unknown() {
    let mut beside = Beside::bound();
    beside.companion.set_do_not_disturb(&beside.key, Some(std::time::Duration::MAX), beside.now).expect("known");
    beside.drain();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    assert!(beside.tags().removes());
    let Next::LoggedOut(removed) = beside.hear(200, &[]).next else { panic!("it is over") };
    assert_ne!(removed, Removed::NeverBound);
    assert_eq!(beside.companion.do_not_disturb(&beside.key), None);
}
