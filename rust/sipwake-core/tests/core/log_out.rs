//! The server forgets a user who logs out, however long that takes.

use std::collections::BTreeMap;

use sipwake_core::account::AccountConfig;
use sipwake_core::digest::Credentials;
use sipwake_core::event::{Event, Failure};
use sipwake_core::payload::{ActionKind, Channel, Hints, parse_push};
use sipwake_core::redact::Secret;
use sipwake_core::snapshot::{REMOVALS, binding_key};

use crate::support::{CHALLENGE, START, Stage, account, fcm, mpush, seconds};

/// The name of a logged-out user is remembered, so that a late push for them does not ring for another user. Nothing
/// else is kept.
fn assert_only_the_name_is_left(stage: &Stage) {
    assert_eq!(stage.store.keys().collect::<Vec<_>>(), [REMOVALS]);
    let record = String::from_utf8(stage.store[REMOVALS].clone()).expect("JSON");
    let (_, json) = record.split_once('\n').expect("a head line");
    let left: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let at = left["departed"][0]["at"].as_u64().expect("a time");
    assert_eq!(left, serde_json::json!({ "pending": {}, "departed": [{ "user": "alice", "at": at }] }));
}

#[test]
fn a_log_out_says_null_and_expires_0_in_one_register_and_then_nothing() {
    let mut stage = Stage::bound();
    stage.log_out();
    let removal = stage.one();
    assert_eq!((removal.header("X-MPUSH"), removal.header("Expires")), (Some("null"), Some("0")));
    assert_eq!(removal.auth("nc"), Some("00000002"));
    assert!(stage.store.contains_key(REMOVALS), "it must be stored before it was sent");
    assert!(!stage.is_logged_out());
    let saves = stage.saves;
    stage.ok(&removal, &[]);
    assert!(stage.is_logged_out());
    assert_only_the_name_is_left(&stage);
    assert_eq!(stage.saves - saves, 2, "the account's record and the record of log-outs, once each");
    stage.push("{\"ntype\":\"0\",\"nfrom\":\"1\",\"ntouser\":\"alice\"}");
    stage.network_changes();
    stage.advance(seconds(10 * 86_400));
    stage.silent();
    assert!(stage.calls().is_empty());
}

#[test]
fn an_account_that_never_registered_is_logged_out_at_once() {
    let mut stage = Stage::mpush();
    stage.set_token(fcm("a:1"));
    stage.log_out();
    assert!(stage.is_logged_out() && stage.opened.is_empty());
    // An earlier installation may have been bound: its late pushes are silent, also after a kill.
    assert_only_the_name_is_left(&stage);
    let later = Stage::without_account(stage.store.clone(), stage.now, 9);
    let hints = Hints::at(later.now);
    let push = parse_push(r#"{"ntype":"0","nfrom":"1","ntouser":"alice"}"#, Channel::FcmAndroid, &hints);
    assert!(!later.agent.gate().judge(push, &hints, later.now.boot).is_call());
}

#[test]
fn a_log_out_while_offline_is_delivered_by_a_later_process_without_the_password() {
    let mut stage = Stage::bound();
    let call_id = stage.register().header("Call-ID").map(str::to_owned);
    stage.opens = false;
    stage.network_changes();
    stage.log_out();
    stage.silent();
    let record = String::from_utf8(stage.store[REMOVALS].clone()).expect("JSON");
    assert!(!record.contains("\"secret\""), "HA1 only: {record}");
    assert!(!stage.store.contains_key(&binding_key(&stage.key)));

    stage.now = stage.now.after(seconds(7 * 86_400));
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    let removal = later.one();
    assert_eq!(removal.header("Call-ID").map(str::to_owned), call_id);
    assert_eq!((removal.header("X-MPUSH"), removal.header("Expires")), (Some("null"), Some("0")));
    later.reply(&removal, 401, &[&CHALLENGE.replace("n1", "n9")]);
    let answer = later.one();
    let expected = {
        let ha1 = sipwake_core::digest::ha1(sipwake_core::digest::Algorithm::Md5, "alice", "asterisk", "secret");
        let ha2 = hex_md5("REGISTER:sip:example.com");
        let cnonce = answer.auth("cnonce").expect("qop is on offer");
        hex_md5(&format!("{}:n9:00000001:{cnonce}:auth:{ha2}", ha1.expose()))
    };
    assert_eq!(answer.auth("response"), Some(expected.as_str()));
    later.ok(&answer, &[]);
    assert!(later.is_logged_out());
    assert_only_the_name_is_left(&later);
}

fn hex_md5(text: &str) -> String {
    // HA1 of ("a", "b", "c") is MD5("a:b:c"). Splitting the text this way needs no second MD5.
    let (first, rest) = text.split_once(':').expect("a colon");
    let (second, third) = rest.split_once(':').expect("another colon");
    sipwake_core::digest::ha1(sipwake_core::digest::Algorithm::Md5, first, second, third).expose().to_owned()
}

#[test]
fn an_undelivered_log_out_is_tried_again_with_back_off() {
    let mut stage = Stage::bound();
    stage.log_out();
    let with_the_nonce = stage.one();
    stage.reply(&with_the_nonce, 500, &[]);
    for _ in 0..5 {
        let removal = stage.one();
        assert_eq!(removal.header("Expires"), Some("0"));
        stage.reply(&removal, 500, &[]);
        let wait = stage.failures().pop().and_then(|(_, wait)| wait).expect("tried again");
        stage.advance(wait);
    }
    let removal = stage.one();
    stage.ok(&removal, &[]);
    assert!(stage.is_logged_out());
}

#[test]
fn a_user_unknown_to_the_server_is_logged_out() {
    for code in [404, 604] {
        let mut stage = Stage::bound();
        stage.log_out();
        let removal = stage.one();
        stage.reply(&removal, code, &[]);
        assert!(stage.is_logged_out());
        assert_only_the_name_is_left(&stage);
    }
}

#[test]
fn a_log_out_with_a_wrong_password_stops_and_stays_stored() {
    let mut stage = Stage::bound();
    stage.log_out();
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    let removal = later.one();
    later.reply(&removal, 401, &[&CHALLENGE.replace("n1", "n2")]);
    let answer = later.one();
    later.reply(&answer, 401, &[&CHALLENGE.replace("n1", "n3")]);
    let again = later.one();
    later.reply(&again, 401, &[&CHALLENGE.replace("n1", "n4")]);
    assert_eq!(later.failures(), [(&Failure::WrongCredentials, None)]);
    later.advance(seconds(86_400));
    later.silent();
    assert!(later.store.contains_key(REMOVALS) && !later.is_logged_out());
}

#[test]
fn contacts_that_stay_listed_are_removed_as_the_server_spells_them() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let first = stage.registered();
    stage.log_out();
    let removal = stage.one();
    let lingering = "sip:alice@203.0.113.7:9999;X=%41;pn-prid=a:1";
    let foreign = "sip:alice@203.0.113.8:9999;pn-prid=b:2";
    stage.reply(&removal, 200, &[&format!("Contact: <{lingering}>;expires=90, <{foreign}>;expires=90")]);
    let again = stage.one();
    assert_eq!(again.headers("Contact")[0], format!("<{lingering}>;expires=0"), "byte for byte");
    assert!(!again.text.contains(foreign), "another device stays");
    assert_eq!(again.contact_uri(), first.contact_uri());
    stage.reply(&again, 200, &[&format!("Contact: <{foreign}>;expires=90")]);
    assert!(stage.is_logged_out());
}

#[test]
fn a_server_that_never_removes_the_binding_is_asked_three_times() {
    let mut stage = Stage::bound();
    stage.log_out();
    let mut asked = 0;
    while let Some(removal) = stage.sent.pop_front() {
        asked += 1;
        stage.reply(&removal, 200, &[&format!("Contact: {};expires=90", removal.contact())]);
    }
    assert_eq!(asked, 3);
    assert!(stage.is_logged_out());
}

#[test]
fn a_log_out_during_a_register_is_sent_after_it_without_events() {
    let mut stage = Stage::mpush();
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.log_out();
    stage.silent();
    assert!(stage.store.contains_key(REMOVALS));
    stage.ok(&first, &[]);
    let removal = stage.one();
    assert_eq!(removal.header("Expires"), Some("0"));
    assert!(stage.registrations().is_empty(), "no event says that a logged-out user is registered");
    stage.ok(&removal, &[]);
    assert!(stage.is_logged_out());
}

#[test]
fn logging_in_again_cancels_a_pending_log_out() {
    let mut stage = Stage::bound();
    let before = stage.register();
    stage.ok(&before, &[]);
    stage.opens = false;
    stage.network_changes();
    stage.log_out();
    assert!(stage.store.contains_key(REMOVALS));
    stage.opens = true;
    stage.add(account(|_| {}), mpush());
    assert!(!stage.store.contains_key(REMOVALS));
    assert!(stage.store.contains_key(&binding_key(&stage.key)));
    stage.silent();
    let again = stage.register();
    assert_eq!(again.header("Call-ID"), before.header("Call-ID"));
    assert!(again.cseq() > before.cseq());
    assert_ne!(again.header("Expires"), Some("0"));
    stage.ok(&again, &[]);
    stage.advance(seconds(60));
    stage.silent();
    assert!(!stage.is_logged_out());
}

#[test]
fn damage_in_the_store_is_reported_and_the_client_works() {
    let healthy = Stage::bound();
    let key = binding_key(&healthy.key);
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.truncate(40),
        |bytes| *bytes = b"{}".to_vec(),
        |bytes| bytes.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1),
        |bytes| bytes.clear(),
    ];
    for damage in damages {
        let mut store = healthy.store.clone();
        store.get_mut(&key).into_iter().for_each(&damage);
        store.insert(REMOVALS.to_owned(), b"sipwake 1 0000000000000000\n{}".to_vec());
        let mut stage = Stage::restored(account(|_| {}), mpush(), store, healthy.now, 3);
        let told: Vec<&str> = stage
            .events
            .iter()
            .filter_map(|event| match event {
                Event::StoreFailed { key, .. } => Some(key.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(told, [REMOVALS, key.as_str()]);
        stage.set_token(fcm("a:1"));
        stage.registered();
    }
}

#[test]
fn a_log_out_after_the_record_was_damaged_still_reaches_the_server() {
    let healthy = Stage::bound();
    let mut store = healthy.store.clone();
    store.insert(binding_key(&healthy.key), b"torn".to_vec());
    let mut stage = Stage::restored(account(|_| {}), mpush(), store, healthy.now, 3);
    stage.log_out();
    let removal = stage.one();
    assert_eq!((removal.header("X-MPUSH"), removal.header("Expires")), (Some("null"), Some("0")));
}

#[test]
fn pending_log_outs_are_bounded() {
    let mut stage = Stage::without_account(Default::default(), crate::support::START, 1);
    for user in 0..40 {
        let config = account(|config| {
            config.aor = format!("sip:user{user}@example.com");
            config.credentials = Credentials::Password(Secret::new("secret"));
        });
        stage.add(config, mpush());
        stage.register();
        stage.log_out();
        stage.sent.clear();
    }
    let pending = stage.agent.poll_timeout().is_some();
    assert!(pending);
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 2);
    assert_eq!(later.all().len(), sipwake_core::snapshot::MAX_REMOVALS);
}

fn bob() -> AccountConfig {
    account(|config| config.aor = "sip:bob@example.com".into())
}

const FOR_ALICE: &str = "{\"ntype\":\"0\",\"nfrom\":\"1\",\"ntouser\":\"alice\"}";

fn sounds(stage: &Stage, push: &str) -> bool {
    let hints = Hints::at(stage.now);
    let action = parse_push(push, Channel::FcmAndroid, &hints);
    let judged = stage.agent.gate().judge(action, &hints, stage.now.boot);
    matches!(judged.kind, ActionKind::IncomingCall { .. })
}

fn logged_out_alice() -> Stage {
    let mut stage = Stage::bound();
    stage.log_out();
    let removal = stage.one();
    stage.ok(&removal, &[]);
    stage
}

#[test]
fn a_late_push_for_a_logged_out_user_is_silent_after_a_restart_with_another_account() {
    let stage = logged_out_alice();
    let later = Stage::restored(bob(), mpush(), stage.store.clone(), stage.now.after(seconds(29 * 86_400)), 7);
    assert!(!sounds(&later, FOR_ALICE));
    assert!(sounds(&later, &FOR_ALICE.replace("alice", "bob")), "a user who is logged in is called");
    let much_later = Stage::restored(bob(), mpush(), stage.store.clone(), stage.now.after(seconds(31 * 86_400)), 7);
    assert!(sounds(&much_later, FOR_ALICE), "an unknown name is for anyone who is logged in");
}

#[test]
fn a_user_who_logs_in_again_gets_calls_after_the_next_restart_too() {
    let stage = logged_out_alice();
    let mut later = Stage::restored(account(|_| {}), mpush(), stage.store.clone(), stage.now, 7);
    assert!(sounds(&later, FOR_ALICE));
    assert!(!later.store.contains_key(REMOVALS), "nobody has logged out");
    later.set_token(fcm("a:1"));
    later.registered();
    let last = Stage::restored(account(|_| {}), mpush(), later.store.clone(), later.now, 8);
    assert!(sounds(&last, FOR_ALICE));
}

#[test]
fn the_number_of_remembered_logged_out_users_is_bounded() {
    let mut stage = Stage::without_account(Default::default(), crate::support::START, 1);
    for user in 0..40 {
        stage.add(account(|config| config.aor = format!("sip:user{user}@example.com")), mpush());
        stage.registered();
        stage.log_out();
        let removal = stage.one();
        stage.ok(&removal, &[]);
    }
    let record = String::from_utf8(stage.store[REMOVALS].clone()).expect("JSON");
    assert_eq!(record.matches("\"user\"").count(), 16);
    assert!(record.contains("user39") && record.contains("user24") && !record.contains("user23\""));
}

/// The store of a user whose server never asked for credentials and who logged out while it could not be reached.
fn never_challenged() -> Stage {
    let mut stage = Stage::mpush();
    stage.set_token(fcm("a:1"));
    let first = stage.register();
    stage.ok(&first, &[]);
    stage.opens = false;
    stage.network_changes();
    stage.log_out();
    stage
}

#[test]
fn after_a_restart_a_log_out_never_challenged_before_can_answer_for_the_aors_domain() {
    let stage = never_challenged();
    let record = String::from_utf8(stage.store[REMOVALS].clone()).expect("JSON");
    assert!(!record.contains("\"secret\""), "HA1 only: {record}");
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    let removal = later.one();
    later.reply(&removal, 401, &["WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n1\""]);
    let answer = later.one();
    let ha1 = sipwake_core::digest::ha1(sipwake_core::digest::Algorithm::Md5, "alice", "example.com", "secret");
    let expected = hex_md5(&format!("{}:n1:{}", ha1.expose(), hex_md5("REGISTER:sip:example.com")));
    assert_eq!(answer.auth("response"), Some(expected.as_str()));
    later.ok(&answer, &[]);
    assert!(later.is_logged_out());
}

#[test]
fn a_log_out_challenged_for_an_unknown_realm_is_delivered_once_the_app_gives_the_password() {
    let stage = never_challenged();
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    let removal = later.one();
    later.reply(&removal, 401, &[CHALLENGE]);
    assert!(matches!(later.failures()[..], [(Failure::Unanswerable(_), None)]), "{:?}", later.failures());
    later.advance(seconds(86_400));
    later.silent();
    assert!(later.store.contains_key(REMOVALS) && !later.is_logged_out(), "it stays stored");

    later.add(account(|_| {}), mpush());
    later.log_out();
    let removal = later.one();
    assert_eq!((removal.header("X-MPUSH"), removal.header("Expires")), (Some("null"), Some("0")));
    later.reply(&removal, 401, &[CHALLENGE]);
    let answer = later.one();
    assert!(answer.auth("response").is_some());
    later.ok(&answer, &[]);
    assert!(later.is_logged_out());
    assert_only_the_name_is_left(&later);
}

#[test]
fn a_logged_out_account_keeps_no_flow() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.registered();
    stage.log_out();
    let removal = stage.one();
    assert!(stage.has_a_flow());
    stage.reply(&removal, 200, &[]);
    assert!(stage.is_logged_out() && !stage.has_a_flow());
}

#[test]
fn an_unconfirmed_contact_is_removed_again_while_the_server_lists_it() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.registered();
    let unanswered = stage.moved_to(6070);
    stage.log_out();
    stage.network_changes();
    let removal = stage.one();
    stage.reply(&removal, 200, &[&format!("Contact: {};expires=3000", unanswered.contact())]);
    assert!(stage.one().removed().contains(&unanswered.contact_uri()));
}

#[test]
fn a_stored_log_out_is_delivered_with_any_realm_of_the_server() {
    for realm in ["", " ", "my\trealm", "\u{202e}mlaer", &"r".repeat(4000)] {
        let mut stage = Stage::mpush();
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, 401, &[&format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n1\", qop=\"auth\"")]);
        let second = stage.one();
        stage.ok(&second, &[]);
        stage.log_out();
        let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
        let removal = later.one();
        assert_eq!((removal.header("X-MPUSH"), removal.header("Expires")), (Some("null"), Some("0")), "{realm:?}");
        assert_eq!(removal.auth("realm"), Some(realm));
    }
}

#[test]
fn sixteen_log_outs_with_long_challenges_are_delivered_after_a_kill() {
    let challenge = |number: usize| {
        let [realm, nonce, opaque] = [("r", 200), ("n", 3500), ("o", 3500)].map(|(letter, times)| letter.repeat(times));
        format!(
            "WWW-Authenticate: Digest realm=\"{number}{realm}\", nonce=\"{nonce}\", opaque=\"{opaque}\", qop=\"auth\""
        )
    };
    let challenges: Vec<String> = (0..4).map(challenge).collect();
    let challenges: Vec<&str> = challenges.iter().map(String::as_str).collect();
    let mut stage = Stage::without_account(BTreeMap::new(), START, 1);
    for user in 0..16 {
        stage.add(account(|config| config.aor = format!("sip:user{user}@example.com")), mpush());
        stage.set_token(fcm("a:1"));
        let first = stage.register();
        stage.reply(&first, 401, &challenges);
        let second = stage.one();
        stage.ok(&second, &[]);
        stage.log_out();
        stage.all();
    }
    let later = Stage::without_account(stage.store.clone(), stage.now, 9);
    assert_eq!(later.sent.len(), 16, "{:?}", later.events);
}

#[test]
fn the_thirty_days_of_a_log_out_do_not_start_with_an_earlier_cancelled_one() {
    let mut stage = never_challenged();
    stage.add(account(|_| {}), mpush());
    stage.now.wall += seconds(31 * 86_400);
    stage.log_out();
    stage.advance(seconds(3600));
    assert!(!stage.is_logged_out(), "{:?}", stage.events.last());
}
