//! Messages before a call is answered, and our own requests inside it.

mod phone;

use std::time::Duration;

use phone::{ANSWER, Caller, Phone, gist, header};
use sipwake_core::account::Transport;
use sipwake_core::call::{CallPolicy, HangUp, Progress};
use sipwake_core::event::Offer;
use uuid::Uuid;

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\"\r\n";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// In a call. The registrar has the same realm as the side that challenges.
fn asked(headers: &str) -> (Phone, Caller, Uuid) {
    let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"r1\", qop=\"auth\"\r\n";
    Phone::connected_where_asked(challenge, headers)
}

/// A phone whose callers get 183 first.
fn progressing(headers: &str) -> (Phone, Caller, Uuid) {
    let mut phone = Phone::new(Transport::Udp);
    phone.agent.set_call_policy(CallPolicy { progress: Progress::Session, ..CallPolicy::default() });
    let bob = Caller::new("c1").with(headers);
    phone.receive(&bob.invite());
    let call = phone.call();
    (phone, bob, call)
}

#[test]
fn a_caller_gets_183_until_the_phone_rings() {
    let (mut phone, bob, call) = progressing("");
    phone.receive(&bob.invite());
    assert_eq!(phone.said(), ["183 INVITE", "183 INVITE"]);
    assert!(phone.agent.ringing(call, phone.now));
    assert!(!phone.agent.ringing(call, phone.now), "once");
    phone.drain();
    phone.receive(&bob.invite());
    assert_eq!(phone.said(), ["180 INVITE", "180 INVITE"]);
    assert!(phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    assert!(!phone.agent.ringing(call, phone.now));
    phone.drain();
    assert_eq!(phone.said(), ["200 INVITE"]);
    assert_eq!(phone.happened(), ["ringing"]);
}

#[test]
fn a_reliable_180_waits_for_the_prack_of_the_183() {
    let (mut phone, mut bob, call) = progressing("Require: 100rel\r\n");
    let progress = phone.sent.last().expect("a 183").clone();
    bob.hear(&progress);
    let rseq: u32 = header(&progress, "RSeq").expect("it is reliable").parse().expect("a number");
    assert_eq!(header(&progress, "Require").as_deref(), Some("100rel"));
    phone.pass(Duration::from_millis(600));
    assert!(phone.agent.ringing(call, phone.now));
    phone.drain();
    assert_eq!(phone.said(), ["183 INVITE", "183 INVITE"]);
    phone.receive(&bob.within("PRACK", &format!("RAck: {rseq} 1 INVITE\r\n"), None));
    let ringing = phone.sent.last().expect("a 180").clone();
    assert_eq!(header(&ringing, "RSeq"), Some((rseq + 1).to_string()));
    assert_eq!(phone.said(), ["200 PRACK", "180 INVITE"]);
    phone.pass(Duration::from_millis(600));
    phone.receive(&bob.within("PRACK", &format!("RAck: {} 1 INVITE\r\n", rseq + 1), None));
    phone.pass(seconds(30));
    assert_eq!(phone.said(), ["180 INVITE", "200 PRACK"]);
}

#[test]
fn a_183_that_is_never_acknowledged_ends_the_call() {
    let (mut phone, _, _) = progressing("Require: 100rel\r\n");
    phone.pass(seconds(33));
    assert_eq!(phone.said().last().map(String::as_str), Some("504 INVITE"));
    assert_eq!(phone.happened(), ["ringing", "ended Failed(504)"]);
}

#[test]
fn a_challenged_bye_is_answered_once_and_the_call_is_over_either_way() {
    for last in ["401 Unauthorized", "403 Forbidden", "200 OK"] {
        let (mut phone, _, call) = asked("");
        assert!(phone.agent.hang_up(call, HangUp::Failed(488), phone.now));
        phone.drain();
        let bye = phone.take().pop().expect("a BYE");
        assert_eq!(header(&bye, "Authorization"), None);
        phone.receive(&Caller::respond(&bye, "401 Unauthorized", CHALLENGE));
        let again = phone.take().pop().expect("a BYE with credentials");
        let answer = header(&again, "Authorization").expect("it answers");
        for part in
            ["username=\"alice\"", "realm=\"pbx\"", "nonce=\"n1\"", "nc=00000001", "uri=\"sip:bob@192.0.2.1:5070\""]
        {
            assert!(answer.contains(part), "{part} in {answer}");
        }
        assert_eq!(header(&again, "CSeq").as_deref(), Some("2 BYE"));
        assert_eq!(header(&again, "Reason"), header(&bye, "Reason"), "all that it carried");
        assert_ne!(header(&again, "Via"), header(&bye, "Via"));
        phone.receive(&Caller::respond(&again, last, &CHALLENGE.replace("n1", "n2")));
        phone.pass(seconds(60));
        assert!(phone.said().is_empty(), "{last}");
        assert_eq!(phone.happened(), ["ended Failed(488)"]);
    }
}

#[test]
fn a_challenge_to_a_bye_that_cannot_be_answered_still_ends_the_call() {
    let (mut phone, _, call) = Phone::connected("");
    phone.agent.hang_up(call, HangUp::Normal, phone.now);
    phone.drain();
    let bye = phone.take().pop().expect("a BYE");
    phone.receive(&Caller::respond(
        &bye,
        "407 Proxy Authentication Required",
        "Proxy-Authenticate: Basic realm=\"x\"\r\n",
    ));
    phone.pass(seconds(60));
    assert!(phone.said().is_empty());
}

#[test]
fn a_challenged_refresh_is_sent_again_with_credentials_and_a_stale_one_too() {
    let (mut phone, _, _) = asked("Session-Expires: 100;refresher=uas\r\nSupported: timer\r\nAllow: UPDATE\r\n");
    phone.pass(seconds(50));
    let update = phone.take().pop().expect("a refresh");
    let asks = CHALLENGE.replace("WWW", "Proxy");
    phone.receive(&Caller::respond(&update, "407 Proxy Authentication Required", &asks));
    let again = phone.take().pop().expect("with credentials");
    assert!(header(&again, "Proxy-Authorization").is_some_and(|answer| answer.contains("nonce=\"n1\"")));
    assert_eq!(header(&again, "Session-Expires"), header(&update, "Session-Expires"));
    let stale = asks.replace("n1", "n2").replace("qop", "stale=true, qop");
    phone.receive(&Caller::respond(&again, "407 Proxy Authentication Required", &stale));
    let third = phone.take().pop().expect("with the new nonce");
    assert!(header(&third, "Proxy-Authorization").is_some_and(|answer| answer.contains("nonce=\"n2\"")));
    phone.receive(&Caller::respond(&third, "200 OK", "Session-Expires: 100;refresher=uac\r\n"));
    phone.pass(seconds(40));
    assert!(phone.said().is_empty() && phone.happened().is_empty(), "it was refreshed");
}

#[test]
fn a_challenged_reinvite_is_acknowledged_and_sent_again() {
    let (mut phone, _, _) = asked("Session-Expires: 100;refresher=uas\r\nSupported: timer\r\n");
    phone.pass(seconds(50));
    let invite = phone.take().pop().expect("a refresh");
    phone.receive(&Caller::respond(&invite, "401 Unauthorized", CHALLENGE));
    let sent = phone.take();
    assert_eq!(sent.iter().map(|text| gist(text)).collect::<Vec<_>>(), ["ACK", "INVITE"]);
    let branch = |text: &str| header(text, "Via").expect("a Via");
    assert_eq!(branch(&sent[0]), branch(&invite), "17.1.1.3: the ACK of a refusal is the INVITE's");
    assert!(header(&sent[1], "Authorization").is_some() && sent[1].ends_with(ANSWER));
}

#[test]
fn a_session_refresh_that_gets_481_or_408_ends_the_call() {
    for status in ["481 Gone", "408 Request Timeout"] {
        let (mut phone, _, _) =
            Phone::connected("Session-Expires: 100;refresher=uas\r\nSupported: timer\r\nAllow: UPDATE\r\n");
        phone.pass(seconds(50));
        let update = phone.take().pop().expect("a refresh");
        phone.receive(&Caller::respond(&update, status, ""));
        assert_eq!(phone.said(), ["BYE"]);
        assert_eq!(phone.happened(), [format!("ended Failed({})", &status[..3])]);
    }
}

#[test]
fn a_realm_that_challenges_inside_a_call_gets_no_credentials_in_a_register() {
    let (mut phone, _, call) = asked("");
    phone.agent.hang_up(call, HangUp::Normal, phone.now);
    phone.drain();
    let bye = phone.take().pop().expect("a BYE");
    phone.receive(&Caller::respond(&bye, "401 Unauthorized", CHALLENGE));
    assert!(header(&phone.take().pop().expect("a BYE"), "Authorization").is_some());
    let before = phone.registers.len();
    phone.agent.register(&phone.account, phone.now).expect("it is there");
    phone.drain();
    let register = phone.registers.last().expect("a REGISTER");
    let answer = header(register, "Authorization").expect("it answers the registrar's own nonce");
    assert!(phone.registers.len() > before && answer.contains("nonce=\"r1\""), "{register}");
}

#[test]
fn no_caller_gets_a_digest_that_is_easier_to_crack_than_the_registrars() {
    for asks in [
        "WWW-Authenticate: Digest realm=\"bank.example\", nonce=\"0\"\r\n",
        "Proxy-Authenticate: Digest realm=\"bank.example\", nonce=\"0\", algorithm=MD5\r\n",
        // The registrar never named this realm, or it named none at all.
        CHALLENGE,
    ] {
        let (mut phone, _, call) = Phone::connected("");
        phone.agent.hang_up(call, HangUp::Normal, phone.now);
        phone.drain();
        let bye = phone.take().pop().expect("a BYE");
        phone.receive(&Caller::respond(&bye, "401 Unauthorized", asks));
        phone.pass(seconds(60));
        assert!(phone.said().is_empty(), "{asks}");
    }
}
