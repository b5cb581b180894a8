//! Tests with what other libraries sealed: `http-ece` (PyPI) and `web-push` (npm) for web push, Python's `cryptography`
//! for the keys from a server. `tests/sealed` seals again with them. `fixtures/sealed.json` came from there.

use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn fixture(name: &str) -> String {
    let all: HashMap<String, String> =
        serde_json::from_str(include_str!("fixtures/sealed.json")).expect("a flat object of texts");
    all[name].clone()
}

fn keys() -> PushKeys {
    let mut keys: PushKeys =
        serde_json::from_str(&format!(r#"{{"current":"{}"}}"#, fixture("pair"))).expect("a key pair");
    keys.import("pbx-1", &fixture("shared_key")).expect("a key");
    keys
}

#[test]
fn a_push_sealed_by_other_libraries_opens_once() {
    let mut keys = keys();
    let public = keys.public().expect("there is a pair");
    assert_eq!((public.p256dh, public.auth), (fixture("p256dh"), fixture("auth")));
    for name in ["by_http_ece", "by_web_push", "second_by_web_push", "by_shared_key"] {
        let sealed = fixture(name);
        let opened = keys.open(&format!(" {sealed}\n"), NOW).expect(name);
        assert_eq!(
            (&*opened["nfrom"], &*opened["nfromusername"], &*opened["ncallid"]),
            ("1234", "Zoë", "abc"),
            "{name}"
        );
        assert_eq!(keys.open(&sealed, NOW), Err(Unopened::Replayed), "{name}");
    }
    let opened = keys.open(&fixture("numbers_and_objects"), NOW).expect("an object");
    assert_eq!((&*opened["ntype"], &*opened["data"], &*opened["nmsg"]), ("0", r#"{"nfrom":"99"}"#, "null"));
    assert_eq!(keys.open(&fixture("longest"), NOW).expect("2,800 bytes fit")["nmsg"].len(), 2800 - 11);
}

#[test]
fn base64_opens_in_either_alphabet_with_or_without_padding() {
    for name in ["by_http_ece", "by_web_push", "by_shared_key"] {
        let (mut keys, sealed) = (keys(), fixture(name));
        let (head, body) = sealed.rsplit_once('.').map_or(("", &*sealed), |_| sealed.split_at("k1.pbx-1.".len()));
        let padding = "=".repeat((4 - body.rsplit('.').next().map_or(0, str::len) % 4) % 4);
        let other = [head, &body.replace('-', "+").replace('_', "/"), &padding].concat();
        assert!(keys.open(&other, NOW).is_ok(), "{name}");
        assert_eq!(keys.open(&sealed, NOW), Err(Unopened::Replayed), "{name}: the same push");
    }
}

#[test]
fn a_push_that_does_not_open_says_why_and_is_not_remembered() {
    let mut keys = keys();
    for (name, why) in [
        ("for_another_phone", Unopened::Foreign),
        ("with_another_auth_secret", Unopened::Foreign),
        ("by_another_shared_key", Unopened::Foreign),
        ("by_an_unknown_shared_key", Unopened::Foreign),
        ("in_many_records", Unopened::Torn),
        ("too_long", Unopened::TooLarge),
        ("too_long_by_shared_key", Unopened::TooLarge),
        ("no_object", Unopened::Unreadable),
        ("no_json", Unopened::Unreadable),
        ("empty", Unopened::Unreadable),
    ] {
        for _ in 0..2 {
            assert_eq!(keys.open(&fixture(name), NOW), Err(why), "{name}");
        }
    }
    assert_eq!(keys.opened, Opened::default());
}

#[test]
fn a_push_that_was_cut_changed_or_extended_does_not_open() {
    for name in ["by_web_push", "by_shared_key"] {
        let (mut keys, whole) = (keys(), fixture(name));
        for end in 0..whole.len() {
            assert!(keys.open(&whole[..end], NOW).is_err(), "{name} up to {end}");
            // Bytes 16 to 19 are the record size. It has no meaning here, and it is not sealed (RFC 8188 section 2.1).
            if name == "by_web_push" && (21..27).contains(&end) {
                continue;
            }
            let mut changed = whole.clone().into_bytes();
            changed[end] = if changed[end] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            // Some bits of base64's last letter have no meaning. They must be zero.
            assert!(keys.open(&changed, NOW).is_err(), "{name} changed at {end}");
        }
        assert!(keys.open(&format!("{whole}AAAA"), NOW).is_err(), "{name} enlarged");
        assert!(keys.open(&whole, NOW).is_ok(), "{name}");
    }
    let mut keys = keys();
    for text in ["", ".", "k1.", "k1...", "k1.pbx-1.AAAA.", "k1.pbx-1.é.é", "\u{0}", &"A".repeat(10_000)] {
        assert!(matches!(keys.open(text, NOW), Err(Unopened::Torn | Unopened::TooLarge)), "{text:?}");
    }
}

#[test]
fn a_former_key_pair_opens_pushes_for_thirty_days() {
    let mut keys = keys();
    let mut byte = 0;
    let mut fill = |bytes: &mut [u8]| bytes.fill_with(|| (byte = u8::wrapping_add(byte, 37), byte).1);
    let before = keys.public();
    let now = keys.rotate(NOW, &mut fill);
    assert_eq!(keys.public().as_ref(), Some(&now));
    assert_ne!(before, keys.public());
    assert!(keys.open(&fixture("by_http_ece"), NOW + FORMER - Duration::from_secs(1)).is_ok());
    assert_eq!(keys.open(&fixture("by_web_push"), NOW + FORMER), Err(Unopened::Foreign));
    for _ in 0..10 {
        keys.rotate(NOW, &mut fill);
    }
    assert_eq!(keys.former.len(), MAX_FORMER);
    let read = PushKeys::from_record(&keys.to_record()).expect("it can be read");
    assert_eq!(read.public(), keys.public());
    assert!(!format!("{keys:?}").contains(&fixture("shared_key")));
}

#[test]
fn opened_pushes_are_remembered_across_processes_and_their_number_is_bounded() {
    let (mut first, mut second) = (keys(), keys());
    first.open(&fixture("by_web_push"), NOW).expect("it opens");
    let stored = first.opened_record();
    second.open(&fixture("by_http_ece"), NOW).expect("before the record could be read");
    second.recall_record(&stored).expect("it can be read");
    for name in ["by_web_push", "by_http_ece"] {
        assert_eq!(second.open(&fixture(name), NOW), Err(Unopened::Replayed), "{name}");
    }
    let mut opened = Opened::default();
    for number in 0..2000_u32 {
        assert!(opened.note(&number.to_be_bytes()));
    }
    assert_eq!(opened.0.len(), MAX_OPENED);
}

#[test]
fn an_invalid_key_or_id_is_refused_with_the_reason() {
    let mut keys = PushKeys::default();
    assert!(keys.is_empty() && keys.public().is_none());
    let key = fixture("shared_key");
    for id in ["", "a b", "a.b", "é", &"x".repeat(65)] {
        assert_eq!(keys.import(id, &key), Err(KeyError::Id), "{id:?}");
    }
    for wrong in ["", "AAAA", &key[1..], "not base64!", &format!("{key}AAAA")] {
        assert_eq!(keys.import("a", wrong), Err(KeyError::Key), "{wrong:?}");
    }
    for number in 0..MAX_SHARED {
        keys.import(&format!("key-{number}"), &key).expect("there is room");
    }
    keys.import("key-3", &key).expect("the same again");
    assert_eq!(keys.import("one-more", &key), Err(KeyError::TooMany));
    assert!(keys.forget("key-3") && !keys.forget("key-3"));
    keys.import("one-more", &key).expect("there is room again");
}
