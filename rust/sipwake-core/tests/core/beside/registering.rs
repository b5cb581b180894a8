//! What the other stack's REGISTER carries, and what the responses mean.

use sipwake_core::account::{Account, Transport};
use sipwake_core::beside::{Companion, Error, Heard, Next};
use sipwake_core::event::Failure;
use sipwake_core::push::{Provider, PushConfig, Reason, Standing, piid};

use super::{Beside, STACK, TOKEN, header, listed};
use crate::support::{START, Stage, fcm};

const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "Digest realm=\"asterisk\", nonce=\"n1\"");

/// The HA1 of Alice in the realm `asterisk`.
fn alices_piid() -> String {
    let account = Account::parse(super::config()).expect("valid");
    piid("alice", "asterisk", account.credentials()).expect("a password").expose().to_owned()
}

#[test]
fn the_other_stack_sends_the_same_tags_as_the_client() {
    let mut beside = Beside::new(|_, _| {});
    let register = beside.tags();
    let mut stage = Stage::new(super::config(), Some(PushConfig::new(Provider::Fcm, "my-project")));
    stage.set_token(fcm(TOKEN));
    let sent = stage.register();
    assert_eq!(register.expires.to_string(), sent.header("Expires").expect("always"));
    assert_eq!(Some(register.request_uri.as_str()), sent.start().split(' ').nth(1));
    assert!(sent.contact_uri().ends_with(&register.tags.uri_params_text()), "{sent:?}");
    assert_eq!(header(&register, "X-MPUSH"), sent.header("X-MPUSH"));
    assert_eq!((register.contact, register.removed), (None, vec![]), "the stack's Contact is not known yet");
}

#[test]
fn tags_stay_the_same_until_a_response_and_nothing_is_asked_for_twice() {
    let mut beside = Beside::new(|_, _| {});
    assert_eq!(beside.asked, 0, "the app has not registered");
    let first = beside.tags();
    assert_eq!((beside.tags(), beside.asked), (first, 0));
    let answer = beside.hear(200, &[("Expires", "600")]);
    assert_eq!((answer.next, answer.expires.map(|time| time.as_secs())), (Next::Nothing, Some(600)));
    let refresh = answer.refresh_in.expect("it must be refreshed").as_secs();
    assert!(refresh < 600, "{refresh}");
    beside.advance(refresh + 1);
    assert_eq!(beside.asked, 1, "the stack is asked in time");
}

#[test]
fn an_app_may_have_the_stack_register_and_it_is_asked_once() {
    let mut beside = Beside::bound();
    for _ in 0..3 {
        beside.companion.register(&beside.key, beside.now).expect("known");
        beside.drain();
    }
    assert_eq!(beside.asked, 1);
    beside.bind();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    beside.tags();
    let Next::Wait { .. } = beside.hear(500, &[]).next else { panic!("it failed") };
    let asked = beside.asked;
    beside.companion.register(&beside.key, beside.now).expect("it is leaving");
    beside.drain();
    assert_eq!(beside.asked, asked + 1, "although it waits for its time");
    assert!(beside.tags().removes());
    let other = Companion::new([9; 32], None, beside.now).register(&beside.key, beside.now);
    assert_eq!(other, Err(Error::NoSuchAccount));
}

#[test]
fn a_contact_that_the_app_does_not_give_is_learnt_from_the_registrars_list() {
    let mut beside = Beside::bound();
    beside.token("new-token");
    assert_eq!(beside.asked, 1, "a new token is sent at once");
    let register = beside.tags();
    let old = format!("{STACK};pn-provider=fcm;pn-param=my-project;pn-prid={TOKEN}");
    assert_eq!(register.removed.iter().map(|uri| uri.expose()).collect::<Vec<_>>(), [old]);
    assert_eq!(
        register.contact.expect("known by now").expose(),
        format!("{STACK};pn-provider=fcm;pn-param=my-project;pn-prid=new-token")
    );
}

#[test]
fn a_stack_that_moves_gets_its_old_contact_removed() {
    let mut beside = Beside::new(|_, _| {});
    beside
        .companion
        .stands_at(&beside.key, &format!("\"Alice\" <{STACK};pn-prid=x>;expires=60"), START)
        .expect("a URI");
    beside.bind();
    beside.companion.stands_at(&beside.key, "sip:alice-x7@10.9.9.9:5060;ob", beside.now).expect("a URI");
    beside.drain();
    assert_eq!(beside.asked, 1);
    let first = beside.tags();
    // X-MPUSH: null, for the former Contact itself, in a request of its own, as the client does it.
    assert!(
        first.removes() && first.contact.is_some_and(|uri| uri.expose().starts_with(STACK))
            || !first.removed.is_empty()
    );
}

#[test]
fn a_contact_given_during_a_register_belongs_to_that_register() {
    let mut beside = Beside::new(|_, _| {});
    beside.tags();
    beside.companion.stands_at(&beside.key, "sip:alice-x7@host.invalid;transport=ws", beside.now).expect("a URI");
    beside.hear(200, &[("Expires", "600")]);
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    let register = beside.tags();
    let bound = format!("sip:alice-x7@host.invalid;transport=ws;pn-provider=fcm;pn-param=my-project;pn-prid={TOKEN}");
    assert_eq!(register.contact.map(|uri| uri.expose().to_owned()), Some(bound));
}

#[test]
fn x_piid_goes_to_a_realm_learnt_over_tls_and_to_none_learnt_in_the_clear() {
    let upper = |config: &mut sipwake_core::account::AccountConfig, transport| {
        config.upper.server = Some("pbx.example.com".into());
        config.transport = Some(transport);
    };
    let mut clear = Beside::new(|config, _| upper(config, Transport::Udp));
    clear.tags();
    clear.hear(401, &[CHALLENGE]);
    assert_eq!(header(&clear.tags(), "X-PIID"), None);
    let answer = clear.hear(200, &[("Expires", "600")]);
    assert!(answer.verdict.expect("a verdict").piid_withheld);

    let mut secure = Beside::new(|config, _| upper(config, Transport::Tls));
    let first = secure.tags();
    assert_eq!((header(&first, "X-PIID"), header(&first, "X-Sy.Uppersrv")), (None, Some("pbx.example.com")));
    let answer = secure.hear(401, &[CHALLENGE]);
    assert_eq!(answer.next, Next::Authenticate { changed: true, digest_uri: None });
    let second = secure.tags();
    assert_eq!(header(&second, "X-PIID"), Some(alices_piid().as_str()));
    assert!(!format!("{second:?}").contains(&alices_piid()[28..]), "{second:?}");
    assert_eq!(secure.hear(200, &[("Expires", "600")]).next, Next::Nothing);
}

#[test]
fn a_stack_that_answers_challenges_by_itself_is_asked_to_register_again() {
    let mut beside = Beside::new(|config, _| {
        config.upper.server = Some("pbx.example.com".into());
        config.transport = Some(Transport::Tls);
    });
    let register = beside.tags();
    beside.hear_all(&Heard { register: Some(register.number), ..Heard::new(401, &[CHALLENGE]) });
    // The stack repeated its former number, and the companion uses that number.
    let answer = beside.hear_all(&Heard { register: Some(register.number), ..Heard::new(200, &[("Expires", "600")]) });
    assert_eq!(answer.next, Next::Again);
    assert_eq!(header(&beside.tags(), "X-PIID"), Some(alices_piid().as_str()));
    assert_eq!(beside.hear(200, &[("Expires", "600")]).next, Next::Nothing);
}

#[test]
fn a_stack_that_hides_the_challenge_needs_the_realm_to_be_configured() {
    let mut beside = Beside::new(|config, _| {
        config.upper.server = Some("pbx.example.com".into());
        config.transport = Some(Transport::Wss);
        config.realm = Some("asterisk".into());
    });
    assert_eq!(header(&beside.tags(), "X-PIID"), Some(alices_piid().as_str()));
}

#[test]
fn the_digest_uri_is_passed_on_only_if_it_is_trusted() {
    let mut beside = Beside::new(|_, _| {});
    beside.tags();
    let foreign = ("X-Sy.AuthURI", "sip:evil.example");
    let Next::Authenticate { digest_uri: None, .. } = beside.hear(401, &[CHALLENGE, foreign]).next else {
        panic!("the URI of an unknown host is not used")
    };
    assert_eq!(beside.events.len(), 1, "and told: {:?}", beside.events);
    let own = ("x-sy.authuri", "sip:example.com:5070");
    let answer = beside.hear(401, &[CHALLENGE, own]);
    assert_eq!(answer.next, Next::Authenticate { changed: false, digest_uri: Some("sip:example.com:5070".into()) });
}

#[test]
fn endless_challenges_are_reported_as_a_wrong_password() {
    let mut beside = Beside::new(|_, _| {});
    beside.tags();
    let last = (0..5).map(|_| beside.hear(401, &[CHALLENGE]).next).last();
    assert_eq!(last, Some(Next::Wait { failure: Failure::WrongCredentials, retry_in: None }));
}

#[test]
fn a_part_that_the_server_refuses_is_left_out_of_the_next_register() {
    let mut beside = Beside::new(|_, _| {});
    beside.tags();
    assert_eq!(beside.hear(555, &[]).next, Next::Again);
    let second = beside.tags();
    assert!(second.tags.uri_params.is_empty() && header(&second, "X-MPUSH").is_some(), "{second:?}");
    let verdict = beside.hear(200, &[("Expires", "600")]).verdict.expect("a verdict");
    assert_eq!((verdict.standing, verdict.reason), (Standing::Refused, Reason::ProviderRefused));
    // The stack refreshes by itself with its first tags.
    let mut stubborn = Beside::new(|_, _| {});
    stubborn.tags();
    stubborn.hear(555, &[]);
    assert_eq!(stubborn.hear(555, &[]).next, Next::Again, "it was taken for the other one");
}

#[test]
fn the_next_register_asks_for_the_longer_lifetime_that_the_server_wants() {
    let mut beside = Beside::new(|config, _| config.expires = 60);
    beside.tags();
    assert_eq!(beside.hear(423, &[("min-expires", "1800")]).next, Next::Again);
    assert_eq!(beside.tags().expires, 1800);
}

#[test]
fn headers_are_understood_as_other_stacks_print_them() {
    let mut beside = Beside::new(|_, _| {});
    let register = beside.tags();
    let contacts = format!("<sip:bob@10.0.0.3>;expires=9,\r\n {}", listed(&register, STACK));
    let caps = "*;+sip.pns=\"apns\",\r\n\t*;+sip.pns=\"fcm\"; +sip.pnsreg=\"121\"";
    let answer = beside.hear(200, &[("m", &contacts), ("FEATURE-CAPS", caps), ("Content-Length", "12")]);
    let verdict = answer.verdict.expect("a verdict");
    assert_eq!((verdict.standing, verdict.refresh_lead), (Standing::Confirmed, Some(121)));
    assert_eq!(answer.expires.map(|time| time.as_secs()), Some(3600));
}

#[test]
fn a_stack_may_refresh_by_itself_and_one_that_sends_old_tags_is_asked_again() {
    let mut beside = Beside::bound();
    assert_eq!(beside.hear(200, &[("Expires", "900")]).next, Next::Nothing);
    let registered = beside.events.len();
    assert_eq!(registered, 1, "it counts: {:?}", beside.events);
    beside.companion.unbind_push(&beside.key, beside.now).expect("known");
    beside.drain();
    assert_eq!(beside.hear(200, &[("Expires", "900")]).next, Next::Again, "what it sent still bound the token");
    assert_eq!(header(&beside.tags(), "X-MPUSH"), Some("null"));
}

#[test]
fn a_late_response_says_nothing_about_a_later_register() {
    let mut beside = Beside::new(|_, _| {});
    let bind = beside.tags();
    beside.companion.unbind_push(&beside.key, beside.now).expect("known");
    let unbind = beside.tags();
    assert_ne!(bind.number, unbind.number);
    let heard = |cseq| Heard { call_id: Some("c1"), cseq: Some(cseq), ..Heard::new(200, &[("Expires", "600")]) };
    assert_eq!(beside.hear_all(&heard(7)).next, Next::Old, "with two in flight, it belongs to the first");
    assert_eq!(beside.hear_all(&heard(7)).next, Next::Old, "the same again");
    let answer = beside.hear_all(&heard(8));
    assert_eq!((answer.next, answer.verdict.map(|verdict| verdict.reason)), (Next::Nothing, Some(Reason::Unbound)));
    assert_eq!(beside.hear_all(&heard(6)).next, Next::Old);
}

#[test]
fn a_register_is_recognised_by_its_call_id_and_cseq_where_they_are_given() {
    let mut beside = Beside::new(|_, _| {});
    let bind = beside.tags();
    beside.companion.sent(&beside.key, bind.number, "c1", 7).expect("written");
    beside.companion.unbind_push(&beside.key, beside.now).expect("known");
    let unbind = beside.tags();
    beside.companion.sent(&beside.key, unbind.number, "c1", 8).expect("written");
    let heard = |cseq| Heard { call_id: Some("c1"), cseq: Some(cseq), ..Heard::new(200, &[("Expires", "600")]) };
    assert_eq!(beside.hear_all(&heard(8)).verdict.map(|verdict| verdict.reason), Some(Reason::Unbound));
    assert_eq!(beside.hear_all(&heard(7)).next, Next::Old);
    assert_eq!(beside.companion.sent(&beside.key, 99, "c1", 9), Err(Error::NoSuchRegister(99)));
}

#[test]
fn a_failure_is_reported_with_its_phrase_and_retried_in_time() {
    let mut beside = Beside::bound();
    beside.tags();
    let heard = Heard { phrase: "Too Busy", ..Heard::new(503, &[("Retry-After", "40")]) };
    let Next::Wait { failure, retry_in: Some(wait) } = beside.hear_all(&heard).next else { panic!("it failed") };
    assert_eq!((failure.to_string().as_str(), wait.as_secs()), ("the server responded 503 Too Busy", 40));
    assert_eq!(beside.asked, 0);
    beside.advance(41);
    assert_eq!(beside.asked, 1);
}

#[test]
fn a_complete_response_is_read_as_it_came() {
    let mut beside = Beside::new(|_, _| {});
    let register = beside.tags();
    let text = format!(
        "SIP/2.0 200 Fine\r\nVia: SIP/2.0/TCP 10.0.0.2;branch=z9hG4bKother\r\nCall-ID: theirs\r\nCSeq: 12 REGISTER\r\n\
         Contact: {}\r\nContent-Length: 0\r\n\r\n",
        listed(&register, STACK)
    );
    let answer = beside.companion.heard_message(&beside.key, Some(register.number), text.as_bytes(), beside.now);
    assert_eq!(answer.expect("taken").expires.map(|time| time.as_secs()), Some(3600));
}

#[test]
fn steps_out_of_order_and_broken_headers_are_errors_and_change_nothing() {
    let mut beside = Beside::new(|_, _| {});
    let ok = Heard::new(200, &[]);
    let key = beside.key.clone();
    let now = beside.now;
    assert_eq!(beside.companion.heard(&key, &ok, now), Err(Error::NothingAsked));
    let register = beside.tags();
    let status = Heard::new(99, &[]);
    assert_eq!(beside.companion.heard(&key, &status, now), Err(Error::Status(99)));
    let header = [("Contact", "<sip:a@b>\r\nX-Evil: 1")];
    assert_eq!(beside.companion.heard(&key, &Heard::new(200, &header), now), Err(Error::Header(0)));
    let unknown = Heard { register: Some(40), ..ok };
    assert_eq!(beside.companion.heard(&key, &unknown, now), Err(Error::NoSuchRegister(40)));
    assert_eq!(beside.companion.stands_at(&key, "tel:123", now), Err(Error::Contact));
    assert_eq!(beside.tags(), register);
    assert_eq!(beside.hear(180, &[]).next, Next::Nothing, "it is not final");
    let other = Companion::new([9; 32], None, now).register_tags(&key, now);
    assert_eq!(other, Err(Error::NoSuchAccount));
    let mut account = super::config();
    account.require_server_proof = true;
    let account = Account::parse(account).expect("valid");
    let refused = beside.companion.add_account(account, None, None, now).expect_err("only the stack can");
    assert!(refused.to_string().starts_with("require_server_proof: "), "{refused}");
}
