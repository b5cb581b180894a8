//! The other stack delivers a log-out. The companion remembers it.

use sipwake_core::beside::{Error, Heard, Next};
use sipwake_core::event::{Event, Removed};
use sipwake_core::payload::{ActionKind, Ignored};

use super::{Beside, STACK, TOKEN, header};
use crate::incoming::CALL;

fn bound_uri() -> String {
    format!("{STACK};pn-provider=fcm;pn-param=my-project;pn-prid={TOKEN}")
}

#[test]
fn a_log_out_is_pending_across_processes_until_an_answer_ends_it() {
    let mut beside = Beside::bound();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    assert_eq!((beside.asked, beside.companion.pending().len()), (1, 1));
    for _ in 0..2 {
        beside.restart();
        let [pending] = &beside.companion.pending()[..] else { panic!("it is remembered") };
        assert_eq!((pending.aor.as_str(), pending.auth_user.as_str()), ("sip:alice@example.com", "alice"));
        assert!(!format!("{pending:?}").contains("wonderland"));
        assert_eq!(beside.asked, 1, "the companion asks the stack without a request of the app");
        let register = beside.tags();
        assert_eq!((register.expires, register.removes()), (0, true));
        assert_eq!(register.contact.as_ref().map(|uri| uri.expose().to_owned()), Some(bound_uri()));
        assert_eq!(header(&register, "X-MPUSH"), Some("null"));
        let action = beside.push(CALL);
        assert_eq!(action.kind, ActionKind::Ignore { reason: Ignored::LoggedOut });
    }
    assert_eq!(
        beside.hear(401, &[("WWW-Authenticate", "Digest realm=\"asterisk\", nonce=\"n\"")]).next,
        Next::Authenticate { changed: false, digest_uri: None }
    );
    assert_eq!(beside.companion.pending().len(), 1, "a challenge proves nothing");
    let answer = beside.hear(200, &[]);
    assert_eq!(answer.next, Next::LoggedOut(Removed::Accepted), "X-MPUSH never confirms push");
    assert!(beside.companion.pending().is_empty());
    assert_eq!(beside.companion.register_tags(&beside.key, beside.now), Err(Error::NoSuchAccount));
    beside.restart();
    assert!(beside.companion.pending().is_empty(), "and it stays like this");
    assert_eq!(beside.push(CALL).kind, ActionKind::Ignore { reason: Ignored::LoggedOut });
}

#[test]
fn a_log_out_is_proven_where_the_contact_carried_everything_about_push() {
    let mut beside = Beside::new(|_, push| {
        push.dialects = sipwake_core::push::Dialects::Only(vec![sipwake_core::push::Dialect::Rfc8599]);
    });
    beside.bind();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    let register = beside.tags();
    assert_eq!(register.contact.map(|uri| uri.expose().to_owned()), Some(bound_uri()));
    assert_eq!(
        beside.hear(200, &[("Contact", "<sip:alice@10.0.0.3>;expires=60")]).next,
        Next::LoggedOut(Removed::Proven)
    );
}

#[test]
fn a_contact_that_the_server_still_lists_is_removed_again() {
    let mut beside = Beside::bound();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.tags();
    let contact = format!("<{}>;expires=3000", bound_uri());
    assert_eq!(beside.hear(200, &[("Contact", &contact)]).next, Next::Again);
    assert!(beside.tags().removes());
    assert!(matches!(beside.hear(200, &[]).next, Next::LoggedOut(_)));
}

#[test]
fn the_response_to_a_register_in_flight_does_not_prove_the_log_out() {
    let mut beside = Beside::bound();
    beside.tags();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    let register = beside.tags();
    assert!(register.removes());
    assert_eq!(beside.hear(200, &[("Expires", "600")]).next, Next::Old);
    assert_eq!(beside.companion.pending().len(), 1);
    let answer = beside.hear_all(&Heard { register: Some(register.number), ..Heard::new(200, &[]) });
    assert!(matches!(answer.next, Next::LoggedOut(_)), "{answer:?}");
}

#[test]
fn a_register_confirmed_after_the_log_out_command_is_followed_by_the_log_out() {
    let mut beside = Beside::bound();
    beside.tags();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    assert_eq!(beside.hear(200, &[("Expires", "600")]).next, Next::Again, "what was in flight is answered first");
    assert!(beside.tags().removes());
}

#[test]
fn a_refused_log_out_stays_and_is_asked_for_again() {
    let mut beside = Beside::bound();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.tags();
    let Next::Wait { retry_in: Some(wait), .. } = beside.hear(500, &[]).next else { panic!("it failed") };
    assert_eq!(beside.companion.pending().len(), 1);
    let asked = beside.asked;
    beside.advance(wait.as_secs() + 1);
    assert_eq!(beside.asked, asked + 1);
}

#[test]
fn a_user_who_logs_in_again_is_bound_again_and_no_log_out_is_pending() {
    let mut beside = Beside::bound();
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    beside.restart();
    beside.log_in();
    beside.token(TOKEN);
    assert!(beside.companion.pending().is_empty());
    let (register, answer) = beside.bind();
    assert!(!register.removes() && answer.verdict.is_some());
}

#[test]
fn an_account_that_never_registered_needs_no_log_out() {
    let mut beside = Beside::new(|_, _| {});
    beside.companion.log_out(&beside.key, beside.now).expect("known");
    beside.drain();
    assert!(matches!(&beside.events[..], [Event::LoggedOut { removed: Removed::NeverBound, .. }]));
}
