//! A server that challenges requests inside a call with the nonce of its registrations.

use sipwake_core::call::HangUp;
use sipwake_core::event::Offer;

use crate::incoming::{call, invite, ready, request};
use crate::support::{CHALLENGE, Sent, Stage, account, fcm, inside, mpush};

/// An answered call that the phone hangs up: the REGISTER before it, and its BYE.
fn hanging_up() -> (Stage, Sent, Sent) {
    hanging_up_at(ready())
}

fn hanging_up_at(mut stage: Stage) -> (Stage, Sent, Sent) {
    stage.push(r#"{"ntype":"0","nfrom":"1234","ncallid":"c","ntouser":"alice"}"#);
    let register = stage.one();
    stage.ok(&register, &[]);
    stage.input(invite("c", "1234"));
    let uuid = call(&stage)[0];
    assert!(stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), stage.now));
    stage.drain();
    let ok = stage.all().pop().expect("the 200");
    let tagged = format!("To: {}\r\n", ok.header("To").expect("a To"));
    let ack = request("ACK", "c-ack", "c", "1234", "", "").replace("To: <sip:alice@example.com>\r\n", &tagged);
    stage.input(ack);
    assert!(stage.agent.hang_up(uuid, HangUp::Normal, stage.now));
    stage.drain();
    let bye = stage.one();
    assert!(bye.start().starts_with("BYE ") && bye.auth("nonce").is_none(), "nobody asked yet");
    (stage, register, bye)
}

#[test]
fn a_nonce_of_the_registrations_continues_its_count_in_a_call() {
    let (mut stage, register, bye) = hanging_up();
    let count = |nc: &str| u32::from_str_radix(nc, 16).expect("a nonce count");
    let (nonce, used) = (register.auth("nonce").expect("it answers"), count(register.auth("nc").expect("it counts")));
    let challenge = format!(
        "WWW-Authenticate: Digest realm=\"{}\", nonce=\"{nonce}\", qop=\"auth\"",
        register.auth("realm").expect("a realm")
    );
    stage.reply(&bye, 401, &[&challenge]);
    let again = stage.one();
    assert_eq!((again.auth("nonce"), again.auth("nc").map(count)), (Some(nonce), Some(used + 1)));
    assert_eq!(again.auth("uri"), Some(inside("<sip:1234@198.51.100.1>")), "the Request-URI");
    stage.reply(&again, 200, &[]);
    stage.silent();
}

#[test]
fn a_challenge_seen_only_inside_a_call_is_not_answered_in_a_register() {
    let (mut stage, _, bye) = hanging_up();
    stage.reply(&bye, 407, &["Proxy-Authenticate: Digest realm=\"asterisk\", nonce=\"p\", qop=\"auth\""]);
    let again = stage.one();
    assert!(again.header("Proxy-Authorization").is_some_and(|answer| answer.contains("nonce=\"p\"")), "{again:?}");
    stage.reply(&again, 200, &[]);
    let register = stage.register();
    assert!(register.header("Authorization").is_some() && register.header("Proxy-Authorization").is_none());
}

#[test]
fn a_challenge_in_a_call_gets_no_digest_that_is_easier_to_crack_than_the_registrars() {
    for challenge in [
        "realm=\"elsewhere\", nonce=\"p\", qop=\"auth\"",
        "realm=\"elsewhere\", nonce=\"p\", algorithm=SHA-256, qop=\"auth\"",
        "realm=\"asterisk\", nonce=\"0\"",
        "realm=\"asterisk\", nonce=\"0\", algorithm=SHA-256",
        "realm=\"ASTERISK\", nonce=\"0\", qop=\"auth\"",
        "realm=\"asterisk \", nonce=\"0\", qop=\"auth\"",
        "realm=\"example.com\", nonce=\"0\", qop=\"auth\"",
        "realm=\"asterisk\", nonce=\"0\", qop=\"auth-conf\"",
        "realm=\"\", nonce=\"0\", qop=\"auth\"",
        "realm=\"elsewhere\", nonce=\"p\", qop=\"auth\", Digest realm=\"elsewhere\", nonce=\"p\"",
    ] {
        for (code, name) in [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")] {
            let (mut stage, _, bye) = hanging_up();
            stage.reply(&bye, code, &[&format!("{name}: Digest {challenge}")]);
            stage.silent();
        }
    }
}

#[test]
fn of_several_challenges_in_a_call_only_the_registrars_is_answered() {
    let own = "Digest realm=\"asterisk\", nonce=\"own\", qop=\"auth\"";
    for others in [
        &["WWW-Authenticate: Digest realm=\"elsewhere\", nonce=\"x\""][..],
        &["WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"x\""],
        &["Proxy-Authenticate: Digest realm=\"asterisk\", nonce=\"x\""],
        &[
            "Proxy-Authenticate: Digest realm=\"asterisk\", nonce=\"x\", algorithm=SHA-512-256",
            "WWW-Authenticate: Basic realm=\"x\"",
        ],
    ] {
        for first in [true, false] {
            let (mut stage, _, bye) = hanging_up();
            let own = format!("WWW-Authenticate: {own}");
            let mut lines = others.to_vec();
            lines.insert(if first { 0 } else { lines.len() }, &own);
            stage.reply(&bye, 401, &lines);
            let again = stage.one();
            assert_eq!((again.auth("nonce"), again.headers("Authorization").len()), (Some("own"), 1), "{others:?}");
            assert!(!again.text.contains("nonce=\"x\""), "{again:?}");
        }
    }
}

#[test]
fn no_weaker_hash_is_answered_in_a_call_than_the_registrar_asked_for() {
    for (challenge, answered) in [
        ("qop=\"auth\"", false),
        ("qop=\"auth\", algorithm=MD5", false),
        ("qop=\"auth-int\", algorithm=MD5-sess", false),
        ("algorithm=SHA-256", false),
        ("qop=\"\", algorithm=SHA-256", false),
        ("qop=\"auth\", algorithm=SHA-256", true),
        ("qop=\"auth-int\", algorithm=SHA-256-sess, userhash=true", true),
        ("qop=\"auth\", algorithm=SHA-512-256", true),
    ] {
        let mut stage = Stage::mpush();
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, 401, &[&CHALLENGE.replace("algorithm=MD5", "algorithm=SHA-256")]);
        let second = stage.one();
        stage.ok(&second, &[]);
        let (mut stage, _, bye) = hanging_up_at(stage);
        stage.reply(&bye, 401, &[&format!("WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"c\", {challenge}")]);
        assert_eq!(stage.all().iter().any(|sent| sent.text.contains("nonce=\"c\"")), answered, "{challenge}");
    }
}

#[test]
fn a_challenge_from_one_gateway_does_not_allow_an_answer_in_a_call_at_another() {
    let config = account(|config| config.gateways = vec!["sip:a.example".into(), "sip:b.example".into()]);
    for asks in [false, true] {
        let mut stage = Stage::new(config.clone(), mpush());
        stage.set_token(fcm("a:1"));
        stage.registered();
        let refresh = stage.register();
        stage.reply(&refresh, 503, &[]);
        let mut other = stage.one();
        assert_eq!(stage.opened.last().map(String::as_str), Some("b.example:5060/udp"));
        if asks {
            stage.reply(&other, 401, &[CHALLENGE]);
            other = stage.one();
        }
        stage.ok(&other, &[]);
        stage.all();
        let (mut stage, _, bye) = hanging_up_at(stage);
        stage.reply(&bye, 401, &["WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"c\", qop=\"auth\""]);
        assert_eq!(stage.all().iter().any(|sent| sent.text.contains("nonce=\"c\"")), asks);
    }
}

#[test]
fn endless_challenges_in_a_call_get_two_answers() {
    let (mut stage, register, mut last) = hanging_up();
    let realm = register.auth("realm").expect("a realm").to_owned();
    for round in 0..2 {
        let asks = format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"c{round}\", qop=\"auth\", stale=true");
        stage.reply(&last, 401, &[&asks]);
        last = stage.one();
        assert_eq!(last.auth("nonce"), Some(&*format!("c{round}")));
    }
    let asks = format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"c2\", qop=\"auth\", stale=true");
    stage.reply(&last, 401, &[&asks]);
    stage.silent();
}

#[test]
fn an_app_may_forbid_answers_in_calls() {
    let (mut stage, register, bye) = hanging_up();
    let realm = register.auth("realm").expect("a realm").to_owned();
    let config = account(|config| config.ignore_challenges_in_calls = true);
    stage.add(config, mpush());
    stage.reply(&bye, 401, &[&format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"c\", qop=\"auth\"")]);
    assert!(stage.all().iter().all(|sent| !sent.start().starts_with("BYE ")));
}
