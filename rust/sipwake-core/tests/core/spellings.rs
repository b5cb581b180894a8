//! The habits of `habits.rs`, in other spellings than the first ones that were seen.

use sipwake_core::event::{Event, Failure, Removed};

use crate::support::{Sent, Stage, fcm, seconds};

const OTHER: &str = "<sip:alice@198.51.100.9:5062>;expires=3000";

fn granted(lines: impl Fn(&Sent) -> Vec<String>) -> (u64, bool) {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("c-10:APA91bToken"));
    let first = stage.register();
    let lines = lines(&first);
    stage.reply(&first, 200, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    (stage.last().expires.as_secs(), stage.last().verdict.lifetime_unknown)
}

#[test]
fn our_contact_is_recognised_in_every_spelling_of_the_grammar() {
    type Lines<'a> = Box<dyn Fn(&Sent) -> Vec<String> + 'a>;
    let beside = |ours: String| vec![format!("Contact: {OTHER}"), format!("Contact: {ours}")];
    let bare = |sent: &Sent| sent.contact().split(";pn-").next().unwrap_or_default().to_owned();
    let cases: [(&str, Lines<'_>); 9] = [
        (
            "user escaped",
            Box::new(|sent| beside(format!("{};expires=120", sent.contact().replace("alice", "%61lice")))),
        ),
        (
            "a parameter more",
            Box::new(|sent| beside(format!("{};expires=120", sent.contact().replacen(";pn-", ";ob;pn-", 1)))),
        ),
        ("push parameters left out", Box::new(move |sent| beside(format!("{}>;expires=120", bare(sent))))),
        ("capitals", Box::new(|sent| beside(format!("{};EXPIRES=120", sent.contact())))),
        ("quoted", Box::new(|sent| beside(format!("{};expires=\"120\"", sent.contact())))),
        (
            "quoted commas before",
            Box::new(|sent| beside(format!("{};received=\"sip:192.0.2.1:9;a,b\";q=0.5;expires=120", sent.contact()))),
        ),
        ("compact", Box::new(|sent| vec![format!("m: {OTHER}, {};expires=120", sent.contact())])),
        ("a name before it", Box::new(|sent| beside(format!("\"Alice, at home\" {};expires=120", sent.contact())))),
        ("blanks", Box::new(|sent| beside(format!("{} ; q=1 ; expires = 120", sent.contact())))),
    ];
    for (what, lines) in cases {
        assert_eq!(granted(lines), (120, false), "{what}");
    }
}

#[test]
fn a_stale_nonce_is_recognised_in_every_spelling() {
    for stale in ["stale=TRUE", "stale=\"true\"", "Stale=true", "stale = true"] {
        let mut stage = Stage::bound();
        let challenge = |nonce: &str| {
            format!(
                "WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5, {stale}"
            )
        };
        let refresh = stage.register();
        stage.reply(&refresh, 401, &[&challenge("n7")]);
        let second = stage.one();
        stage.reply(&second, 401, &[&challenge("n8")]);
        let third = stage.one();
        assert_eq!(third.auth("nonce"), Some("n8"), "{stale}");
        stage.ok(&third, &[]);
        assert_eq!(stage.failures(), [], "{stale}");
    }
}

#[test]
fn a_used_nonce_may_be_refused_with_any_status_without_a_meaning_of_its_own() {
    for code in [402, 405, 416, 420, 481, 482, 488, 501, 502, 513, 600, 606] {
        let mut stage = Stage::bound();
        let refresh = stage.register();
        assert!(refresh.auth("nonce").is_some());
        stage.reply(&refresh, code, &[]);
        assert_eq!(stage.one().header("Authorization"), None, "{code}");
        assert_eq!(stage.failures(), [], "{code}");
    }
}

#[test]
fn a_log_out_goes_on_after_any_refusal_and_ends_when_the_server_accepts_it() {
    for code in [402, 405, 410, 416, 420, 482, 488, 501, 502, 513, 600, 603, 606] {
        let mut stage = Stage::bound();
        stage.log_out();
        for _ in 0..3 {
            let Some(removal) = stage.sent.pop_front() else { break };
            assert_eq!(removal.header("Expires"), Some("0"), "{code}");
            stage.reply(&removal, code, &[]);
        }
        assert!(!stage.is_logged_out(), "{code}");
        let waits = stage.failures().iter().all(|(_, wait)| wait.is_some());
        assert!(waits, "{code}: {:?}", stage.failures());
        stage.sent.clear();
        let again = (0..3600).find_map(|_| {
            stage.advance(seconds(1));
            stage.sent.pop_front()
        });
        let again = again.unwrap_or_else(|| panic!("{code}: it is not tried again"));
        stage.reply(&again, 200, &[]);
        assert!(stage.is_logged_out(), "{code}");
    }
}

#[test]
fn a_200_to_a_log_out_that_lists_our_contact_in_another_form_proves_nothing() {
    let forms: [fn(&Sent) -> String; 4] = [
        |sent| sent.contact_uri().replace("192.0.2.10:5070", "203.0.113.7:40123"),
        |sent| sent.contact_uri().replace("sip:", "SIP:"),
        |sent| sent.contact_uri().replace("alice", "%61lice"),
        |sent| sent.contact_uri().replace(":APA", "%3aAPA"),
    ];
    for (number, form) in forms.into_iter().enumerate() {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("c-10:APA91bToken"));
        let first = stage.register();
        stage.ok(&first, &[]);
        stage.log_out();
        while let Some(removal) = stage.sent.pop_front() {
            stage.reply(&removal, 200, &[&format!("Contact: <{}>;expires=600", form(&first))]);
        }
        let told = stage.events.iter().find_map(|event| match event {
            Event::LoggedOut { removed, .. } => Some(*removed),
            _ => None,
        });
        assert_eq!(told, Some(Removed::Accepted), "form {number}");
    }
}

#[test]
fn a_push_during_a_log_out_registers_no_account() {
    let mut stage = Stage::bound();
    stage.log_out();
    let removal = stage.one();
    for push in ["{}", r#"{"aps":{"alert":{"title":"Somebody"}}}"#, r#"{"ntype":"0","nfrom":"1","ntouser":"alice"}"#] {
        stage.push(push);
    }
    stage.silent();
    stage.ok(&removal, &[]);
    stage.silent();
    assert!(stage.is_logged_out() && stage.calls().is_empty());
}

#[test]
fn a_contact_can_be_refused_as_too_long_in_other_words() {
    for (code, line) in [
        (400, "Warning: 399 registrar \"Contact header length exceeds 255\""),
        (400, "Reason: SIP;cause=400;text=\"URI too large\""),
        (413, "Server: x"),
        (513, "Server: x"),
    ] {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, code, &[line]);
        let mut last = stage.one();
        while last.contact_uri().contains("pn-") {
            stage.reply(&last, code, &[line]);
            last = stage.one();
        }
        stage.ok(&last, &[]);
        assert!(!stage.last().verdict.text().is_empty());
        assert_eq!(stage.last().verdict.standing, sipwake_core::push::Standing::Refused, "{code} {line}");
    }
}

#[test]
fn wrong_credentials_are_reported_as_such_after_a_407_too() {
    let mut stage = Stage::rfc8599();
    let challenge = |nonce: &str| format!("Proxy-Authenticate: Digest realm=\"p\", nonce=\"{nonce}\", qop=\"auth\"");
    let mut next = Some(stage.register());
    let mut answers = 0;
    while let Some(request) = next {
        answers += 1;
        stage.reply(&request, 407, &[&challenge(&format!("n{answers}"))]);
        next = stage.sent.pop_front();
    }
    assert_eq!((answers, stage.failures()), (3, vec![(&Failure::WrongCredentials, None)]));
}

#[test]
fn an_expired_contact_listed_again_without_a_lifetime_is_still_bound() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let sent = stage.register();
    let prid = sent
        .contact()
        .split("pn-prid=")
        .nth(1)
        .and_then(|rest| rest.split(['>', ';']).next())
        .expect("it is there")
        .to_owned();
    let moved = |port: u16| format!("<sip:alice@203.0.113.1:{port};pn-provider=fcm;pn-prid={prid}>");
    let lines =
        [format!("Contact: {};expires=0", moved(9)), format!("Contact: {}", moved(9)), "Expires: 900".to_owned()];
    stage.reply(&sent, 200, &lines.each_ref().map(String::as_str));
    assert_eq!(stage.last().expires.as_secs(), 900);
}
