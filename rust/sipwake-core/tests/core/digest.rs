//! Challenges: each gets one answer, and none leads to a loop.

use sipwake_core::digest::{Algorithm, Credentials, Unusable};
use sipwake_core::event::Failure;
use sipwake_core::redact::Secret;

use crate::support::{CHALLENGE, Stage, account, fcm, push_config, rfc8599, seconds};

fn challenge(nonce: &str, more: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{more}")
}

#[test]
fn each_challenge_is_answered_in_its_own_header() {
    for (code, ask, name) in
        [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")]
    {
        let mut stage = Stage::rfc8599();
        let first = stage.register();
        stage.reply(&first, code, &[&format!("{ask}: Digest realm=\"r\", nonce=\"n\"")]);
        let second = stage.one();
        assert!(second.header(name).is_some(), "{second:?}");
        assert_eq!(second.cseq(), first.cseq() + 1);
        assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
        assert_ne!(second.header("Via"), first.header("Via"), "a new transaction");
        stage.ok(&second, &[]);
        assert_eq!(stage.registrations().len(), 1);
    }
}

#[test]
fn a_registrar_and_a_proxy_may_both_ask() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 407, &["Proxy-Authenticate: Digest realm=\"p\", nonce=\"pn\", qop=\"auth\""]);
    let second = stage.one();
    stage.reply(&second, 401, &[&challenge("n1", "")]);
    let third = stage.one();
    assert!(third.header("Authorization").is_some() && third.header("Proxy-Authorization").is_some());
    stage.ok(&third, &[]);
    assert_eq!(stage.registrations().len(), 1);
}

#[test]
fn the_strongest_of_several_challenges_is_answered() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    let ask = |algorithm: &str| {
        format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{algorithm}\", algorithm={algorithm}, qop=\"auth\"")
    };
    let asks = ["MD5", "SHA-512-256", "UNKNOWN-1", "SHA-256"].map(ask);
    stage.reply(&first, 401, &asks.each_ref().map(String::as_str));
    let second = stage.one();
    assert_eq!(second.headers("Authorization").len(), 1);
    assert_eq!(second.auth("algorithm"), Some("SHA-512-256"));
}

#[test]
fn a_live_nonce_makes_a_refresh_and_a_restart_one_round_trip() {
    let mut stage = Stage::rfc8599();
    let bound = stage.registered();
    assert_eq!(bound.auth("nc"), Some("00000001"));
    let refresh = stage.register();
    assert_eq!(refresh.auth("nc"), Some("00000002"));
    stage.ok(&refresh, &[]);

    let push = push_config(sipwake_core::push::Provider::Fcm, &[sipwake_core::push::Dialect::Rfc8599]);
    let mut again = stage.restart(account(|_| {}), Some(push));
    let first = again.register();
    assert_eq!(first.auth("nonce"), Some("n1"));
    let count = u32::from_str_radix(first.auth("nc").expect("counted"), 16).expect("hexadecimal");
    assert!(count > 2, "no count is used twice: {count}");
    again.ok(&first, &[]);
    assert_eq!(again.registrations().len(), 1);
}

#[test]
fn a_stale_or_changed_nonce_is_answered_once_more() {
    for more in [", stale=true", ", stale=TRUE", ""] {
        let mut stage = Stage::rfc8599();
        stage.registered();
        let refresh = stage.register();
        stage.reply(&refresh, 401, &[&CHALLENGE.replace("n1", "n2"), &format!("X-Nothing: 1{more}")]);
        let answer = stage.one();
        assert_eq!((answer.auth("nonce"), answer.auth("nc")), (Some("n2"), Some("00000001")));
        stage.ok(&answer, &[]);
        stage.silent();
    }
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 401, &[&challenge("n1", "")]);
    let second = stage.one();
    stage.reply(&second, 401, &[&challenge("n2", ", stale=true")]);
    let third = stage.one();
    assert_eq!(third.auth("nonce"), Some("n2"));
    stage.ok(&third, &[]);
    assert_eq!(stage.registrations().len(), 1);
}

#[test]
fn a_next_nonce_is_used_without_a_challenge() {
    let mut stage = Stage::rfc8599();
    stage.registered_with(&["Authentication-Info: nextnonce=\"n7\""]);
    let refresh = stage.register();
    assert_eq!((refresh.auth("nonce"), refresh.auth("nc")), (Some("n7"), Some("00000001")));
}

#[test]
fn after_a_fresh_nonce_is_refused_twice_the_password_is_wrong_and_nothing_is_tried_again() {
    let mut stage = Stage::new(crate::support::over(sipwake_core::account::Transport::Tls), crate::support::rfc8599());
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.reply(&first, 401, &[&challenge("n1", "")]);
    let second = stage.one();
    stage.reply(&second, 401, &[&challenge("n2", "")]);
    let third = stage.one();
    assert_eq!(third.auth("nonce"), Some("n2"), "the first nonce may have been lost");
    stage.reply(&third, 401, &[&challenge("n3", "")]);
    assert_eq!(stage.failures(), [(&Failure::WrongCredentials, None)]);
    stage.push("{\"ntype\":\"0\",\"nfrom\":\"1\"}");
    stage.set_token(fcm("a:2"));
    stage.network_changes();
    stage.advance(seconds(86_400));
    stage.silent();

    stage.opens = true;
    let again = stage.register();
    assert_eq!(again.auth("nonce"), None, "the user asked: one more attempt, the first request without credentials");
}

#[test]
fn a_server_that_hangs_up_after_a_wrong_password_is_not_called_again() {
    let mut stage = Stage::new(crate::support::over(sipwake_core::account::Transport::Tcp), None);
    let first = stage.register();
    stage.reply(&first, 401, &[&challenge("n1", "")]);
    let second = stage.one();
    stage.reply(&second, 401, &[&challenge("n1", "")]);
    stage.flow_breaks();
    stage.advance(seconds(86_400));
    stage.silent();
}

#[test]
fn a_nonce_that_the_server_lost_does_not_mean_a_wrong_password() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 401, &[&challenge("n1", "")]);
    let second = stage.one();
    // The server restarted in between and does not say `stale`.
    stage.reply(&second, 401, &[&challenge("n2", "")]);
    let third = stage.one();
    stage.ok(&third, &[]);
    assert_eq!((stage.failures(), stage.registrations().len()), (Vec::new(), 1));
}

#[test]
fn after_a_slow_answer_and_a_423_a_lost_nonce_is_still_excused() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 401, &[&challenge("n1", "")]);
    let slow = stage.one();
    stage.advance(seconds(11));
    stage.sent.clear();
    stage.reply(&slow, 401, &[&challenge("n2", "")]);
    let brief = stage.one();
    stage.reply(&brief, 423, &["Min-Expires: 7200"]);
    let longer = stage.one();
    stage.reply(&longer, 401, &[&challenge("n3", "")]);
    let lost = stage.one();
    stage.reply(&lost, 401, &[&challenge("n4", "")]);
    let last = stage.one();
    stage.ok(&last, &[]);
    assert_eq!((stage.failures(), stage.registrations().len()), (Vec::new(), 1));
}

#[test]
fn after_a_slow_answer_to_a_stale_nonce_a_lost_nonce_is_still_excused() {
    for stale in [", stale=true", ", stale=TRUE", ", stale=\"true\""] {
        let mut stage = Stage::rfc8599();
        let first = stage.register();
        stage.reply(&first, 401, &[&challenge("n1", "")]);
        let slow = stage.one();
        stage.advance(seconds(11));
        stage.sent.clear();
        stage.reply(&slow, 401, &[&challenge("n2", stale)]);
        let lost = stage.one();
        stage.reply(&lost, 401, &[&challenge("n3", "")]);
        let last = stage.one();
        stage.ok(&last, &[]);
        assert_eq!((stage.failures(), stage.registrations().len()), (Vec::new(), 1), "{stale}");
    }
}

#[test]
fn after_a_slow_challenge_that_says_nothing_of_stale_a_lost_nonce_is_still_excused() {
    // The challenge comes late, or the refusal of its nonce does.
    for (first_wait, second_wait) in [(31, 0), (0, 11), (31, 11)] {
        let mut stage = Stage::rfc8599();
        let first = stage.register();
        stage.advance(seconds(first_wait));
        stage.sent.clear();
        stage.reply(&first, 401, &[&challenge("n1", "")]);
        let late = stage.one();
        stage.advance(seconds(second_wait));
        stage.sent.clear();
        stage.reply(&late, 401, &[&challenge("n2", "")]);
        let lost = stage.one();
        stage.reply(&lost, 401, &[&challenge("n3", "")]);
        let last = stage.one();
        stage.ok(&last, &[]);
        assert_eq!((stage.failures(), stage.registrations().len()), (Vec::new(), 1), "{first_wait} {second_wait}");
    }
}

#[test]
fn a_wrong_password_is_reported_even_if_every_challenge_is_slow() {
    let mut stage = Stage::rfc8599();
    let mut request = stage.register();
    for nonce in ["n1", "n2", "n3", "n4"] {
        stage.advance(seconds(11));
        stage.sent.clear();
        stage.reply(&request, 401, &[&challenge(nonce, "")]);
        if nonce != "n4" {
            request = stage.one();
        }
    }
    assert_eq!(stage.failures(), [(&Failure::WrongCredentials, None)]);
    stage.silent();
}

#[test]
fn the_same_nonce_again_is_a_wrong_password_at_once() {
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 401, &[&challenge("n1", "")]);
    let second = stage.one();
    stage.reply(&second, 401, &[&challenge("n1", "")]);
    assert_eq!(stage.failures(), [(&Failure::WrongCredentials, None)]);
    stage.silent();
}

#[test]
fn other_credentials_are_tried_when_the_app_gives_them() {
    let mut stage = Stage::new(account(|_| {}), None);
    let first = stage.registered();
    stage.add(account(|config| config.credentials = Credentials::Password(Secret::new("other"))), None);
    stage.silent();
    let again = stage.register();
    assert_eq!(again.auth("nonce"), None, "the old responses are forgotten");
    assert_eq!(again.header("Call-ID"), first.header("Call-ID"));
    assert!(again.cseq() > first.cseq());
}

#[test]
fn the_nonces_live_on_while_user_and_password_stay_the_same() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.registered();
    stage.add(account(|config| config.display_name = Some("Alice".into())), None);
    let again = stage.register();
    assert_eq!(again.auth("nonce"), Some("n1"));
    stage.ok(&again, &[]);
    stage.add(account(|config| config.auth_user = Some("alice2".into())), None);
    assert_eq!(stage.register().auth("nonce"), None, "another user's response differs");
}

#[test]
fn the_app_is_warned_of_a_server_that_does_not_know_the_password() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.registered();
    assert!(!stage.last().suspicious_server, "it did not mention it");
    let again = stage.register();
    stage.ok(&again, &["Authentication-Info: rspauth=\"00000000000000000000000000000000\""]);
    assert!(stage.last().suspicious_server);
}

#[test]
fn endless_challenges_are_given_up_until_later() {
    let mut stage = Stage::rfc8599();
    let mut next = Some(stage.register());
    let mut answers = 0;
    while let Some(request) = next {
        answers += 1;
        assert!(answers < 10, "bounded");
        stage.reply(&request, 401, &[&challenge(&format!("n{answers}"), ", stale=true")]);
        next = stage.sent.pop_front();
    }
    let failures = stage.failures();
    assert!(matches!(failures[..], [(Failure::Unanswerable(Unusable::EndlessChallenges), Some(_))]), "{failures:?}");
    stage.advance(seconds(60));
    assert!(!stage.all().is_empty());
}

#[test]
fn endless_challenges_at_several_gateways_lead_to_few_requests() {
    let gateways = ["a.example:5060".to_owned(), "b.example:5060".to_owned()].to_vec();
    let mut stage = Stage::new(account(|config| config.gateways = gateways), rfc8599());
    stage.start_registering();
    let mut asked = 0;
    for _ in 0..600 {
        while let Some(request) = stage.sent.pop_front() {
            asked += 1;
            stage.reply(&request, 401, &[&challenge(&format!("n{asked}"), ", stale=true")]);
        }
        stage.advance(seconds(1));
    }
    assert!((8..=24).contains(&asked), "{asked} in ten minutes");
}

#[test]
fn a_401_without_a_challenge_is_reported_as_such() {
    for lines in [&[][..], &["WWW-Authenticate: Basic realm=\"r\""][..], &["WWW-Authenticate: \u{1}"][..]] {
        let mut stage = Stage::rfc8599();
        let first = stage.register();
        stage.reply(&first, 401, lines);
        let end = stage.failures().len() + stage.sent.len();
        assert!(end <= 1);
        stage.silent();
    }
}

#[test]
fn a_server_may_name_another_digest_uri() {
    let mut stage = Stage::new(account(|config| config.upper.server = Some("upper.example.com".into())), rfc8599());
    let bound = stage.registered_with(&["X-Sy.AuthURI: sip:upper.example.com"]);
    assert_eq!(bound.auth("uri"), Some("sip:example.com"));
    let refresh = stage.register();
    assert_eq!(refresh.auth("uri"), Some("sip:upper.example.com"));
    assert!(refresh.start().starts_with("REGISTER sip:example.com "));
}

#[test]
fn a_weakened_challenge_is_refused_and_reported_until_the_network_changes() {
    let ask = |nonce: &str, more: &str| format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"{more}");
    let mut stage = Stage::rfc8599();
    let first = stage.register();
    stage.reply(&first, 401, &[&ask("n1", ", algorithm=SHA-256, qop=\"auth\"")]);
    let second = stage.one();
    stage.ok(&second, &[]);
    let refresh = stage.register();
    stage.reply(&refresh, 401, &[&ask("n2", "")]);
    stage.silent();
    let failures = stage.failures();
    assert!(matches!(failures[..], [(Failure::Unanswerable(Unusable::Downgraded { .. }), _)]), "{failures:?}");
    stage.network_changes();
    let elsewhere = stage.one();
    stage.reply(&elsewhere, 401, &[&ask("n3", "")]);
    assert_eq!(stage.one().auth("nonce"), Some("n3"));
}

#[test]
fn a_hash_below_the_accounts_minimum_is_refused_and_reported() {
    let config = account(|config| config.minimum_digest = Some(Algorithm::Sha256));
    let mut stage = Stage::new(config, None);
    let first = stage.register();
    stage.reply(&first, 401, &[&challenge("n1", "")]);
    stage.silent();
    let failures = stage.failures();
    assert!(matches!(failures[..], [(Failure::Unanswerable(Unusable::TooWeak { .. }), _)]), "{failures:?}");
}

#[test]
fn where_a_server_proof_is_required_a_200_without_one_is_a_failure() {
    for info in [None, Some("Authentication-Info: qop=auth, rspauth=\"00f8f25752fb9db835043a59f6041c85\", nc=00000001")]
    {
        let mut stage = Stage::new(account(|config| config.require_server_proof = true), None);
        let first = stage.register();
        stage.reply(&first, 401, &[&challenge("n1", "")]);
        let second = stage.one();
        stage.ok(&second, info.as_slice());
        let failures = stage.failures();
        assert!(matches!(failures[..], [(Failure::Unanswerable(Unusable::NoServerProof), _)]), "{info:?} {failures:?}");
        assert!(stage.registrations().is_empty());
    }
}
