//! Every constructor that takes a text refuses control characters and direction marks. `fields` tests what else a text may
//! hold.

use proptest::prelude::*;
use sipwake_core::account::{Account, AccountConfig, Aor};
use sipwake_core::digest::{Algorithm, Credentials, RealmHa1};
use sipwake_core::error::{FieldError, Rule};
use sipwake_core::push::{Dialect, Dialects, Provider, Push, PushConfig, PushToken};
use sipwake_core::redact::Secret;

use crate::support::{Stage, account, push_config};

type Constructor = (&'static str, &'static str, fn(String) -> Result<(), FieldError>);

fn parsed(change: impl FnOnce(&mut AccountConfig)) -> Result<(), FieldError> {
    Account::parse(account(change)).map(|_| ())
}

fn push(change: impl FnOnce(&mut PushConfig)) -> Result<(), FieldError> {
    let mut config = push_config(Provider::Apns, &[Dialect::Linphone]);
    change(&mut config);
    Push::parse(config).map(|_| ())
}

fn hashed(realm: &str, ha1: &str) -> Credentials {
    let (realm, ha1) = (realm.to_owned(), Secret::new(ha1));
    Credentials::Ha1(vec![RealmHa1 { realm, algorithm: Algorithm::Md5, ha1 }])
}

const HA1: &str = "b7cfad8f31893933560dae61622ed255";

/// Each text that an app can set, with a valid value.
const CONSTRUCTORS: [Constructor; 26] = [
    ("aor", "sip:alice@example.com", |text| parsed(|config| config.aor = text)),
    ("Aor", "sip:alice@example.com", |text| Aor::parse(&text).map(|_| ())),
    ("display_name", "Alice", |text| parsed(|config| config.display_name = Some(text))),
    ("auth_user", "alice", |text| parsed(|config| config.auth_user = Some(text))),
    ("password", "secret", |text| parsed(|config| config.credentials = Credentials::Password(Secret::new(text)))),
    ("ha1's realm", "asterisk", |text| parsed(|config| config.credentials = hashed(&text, HA1))),
    ("ha1", HA1, |text| parsed(|config| config.credentials = hashed("asterisk", &text))),
    ("registrar", "sip:example.com", |text| parsed(|config| config.registrar = Some(text))),
    ("outbound_proxy", "proxy.example.com", |text| parsed(|config| config.outbound_proxy = Some(text))),
    ("gateways", "gw.example.com", |text| parsed(|config| config.gateways = vec!["gw1.example.com".into(), text])),
    ("upper.server", "up.example.com", |text| parsed(|config| config.upper.server = Some(text))),
    ("upper.proxy", "up.example.com", |text| parsed(|config| config.upper.proxy = Some(text))),
    ("upper.domain", "example.com", |text| parsed(|config| config.upper.domain = Some(text))),
    ("realm", "asterisk", |text| parsed(|config| config.realm = Some(text))),
    ("user_agent", "phone/1.0", |text| parsed(|config| config.user_agent = Some(text))),
    ("instance_id", "urn:uuid:00000000-0000-4000-8000-00000000000a", |text| {
        parsed(|config| config.instance_id = Some(text))
    }),
    ("package", "com.example.app", |text| push(|config| config.package = text)),
    ("team_id", "ABCDE12345", |text| push(|config| config.team_id = Some(text))),
    ("pn_param", "ABCDE12345.com.example.app.voip", |text| push(|config| config.pn_param = Some(text))),
    ("a Linphone parameter's name", "pn-silent", |text| {
        push(|config| config.linphone_params = vec![(text, "1".into())])
    }),
    ("a Linphone parameter's value", "1", |text| {
        push(|config| config.linphone_params = vec![("pn-silent".into(), text)])
    }),
    ("a provider's name", "acme", |text| {
        push(|config| {
            (config.provider, config.dialects) = (Provider::Other(text), Dialects::Only(vec![Dialect::Rfc8599]))
        })
    }),
    ("a token", "c-10-ap_Kt0:APA91bToken", |text| PushToken::parse(&Provider::Fcm, &text).map(|_| ())),
    ("a token for calls", "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0", |text| {
        PushToken::parse_pair(&Provider::Apns, Some(&text), None).map(|_| ())
    }),
    ("a token for alerts", "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0", |text| {
        PushToken::parse_pair(&Provider::Apns, None, Some(&text)).map(|_| ())
    }),
    ("an algorithm", "MD5", |text| text.parse::<Algorithm>().map(|_| ())),
];

fn hostile() -> impl Strategy<Value = char> {
    prop_oneof![
        Just('\r'),
        Just('\n'),
        Just('\0'),
        Just('\u{7f}'),
        Just('\u{85}'),
        proptest::char::range('\u{1}', '\u{1f}'),
        Just('\u{061c}'),
        proptest::char::range('\u{200e}', '\u{200f}'),
        proptest::char::range('\u{202a}', '\u{202e}'),
        proptest::char::range('\u{2066}', '\u{2069}'),
    ]
}

#[test]
fn each_constructor_accepts_a_valid_text() {
    for (name, good, construct) in CONSTRUCTORS {
        assert_eq!(construct(good.to_owned()), Ok(()), "{name}");
    }
}

proptest! {
    #[test]
    fn no_constructor_accepts_a_control_character_or_a_direction_mark(c in hostile(), at in any::<proptest::sample::Index>()) {
        for (name, good, construct) in CONSTRUCTORS {
            // Inside the text: white space at either end of a token is trimmed.
            let mut text = good.to_owned();
            text.insert(if good.len() < 2 { 0 } else { 1 + at.index(good.len() - 1) }, c);
            let error = construct(text);
            prop_assert!(error.is_err(), "{name} takes {c:?}");
            let error = error.expect_err("just seen");
            let by_name = matches!(
                error.rule,
                Rule::ControlCharacter | Rule::BidirectionalControl | Rule::Malformed { .. }
            );
            prop_assert!(by_name && !error.to_string().contains(c), "{name}: {error}");
        }
    }

    #[test]
    fn the_provider_of_a_query_cannot_end_its_line(c in hostile()) {
        let mut stage = Stage::mpush();
        stage.registered();
        let key = stage.key.clone();
        stage.agent.query_push(&key, Some(format!("fcm{c}X-Evil: 1")), stage.now).expect("the account is there");
        stage.drain();
        for sent in stage.all() {
            prop_assert!(!sent.text.contains("\nX-Evil") && (c == '\r' || c == '\n' || !sent.text.contains(c)), "{}", sent.text);
        }
    }
}
