//! Each value that an app sets leads either to a field error or to a message from which an independent reader gets the same
//! value.

use proptest::prelude::*;
use sipwake_core::account::{Account, AccountConfig, Transport, UpperServer};
use sipwake_core::digest::Credentials;
use sipwake_core::error::{FieldError, Rule};
use sipwake_core::push::{Binding, Dialect, Dialects, PortSipHeader, Provider, Push, PushConfig, PushToken, Removal};
use sipwake_core::redact::Secret;

use crate::support::{CHALLENGE, Sent, Stage, account, mpush, push_config};

/// Any text. Every second one holds characters that break messages.
fn text() -> impl Strategy<Value = String> {
    let awkward = prop_oneof![
        Just('\r'),
        Just('\n'),
        Just('\0'),
        Just('"'),
        Just('\\'),
        Just(';'),
        Just(','),
        Just('='),
        Just('<'),
        Just('>'),
        Just(' '),
        Just('\t'),
        Just('@'),
        Just('%'),
        Just(':'),
        Just('é'),
        Just('\u{202e}'),
        Just('\u{85}'),
        Just('a'),
        any::<char>(),
    ];
    prop_oneof![proptest::collection::vec(awkward, 0..12).prop_map(String::from_iter), "[a-z0-9.]{1,12}", "[ -~]{1,20}"]
}

/// A text that is valid often enough to lead to messages.
fn field() -> impl Strategy<Value = Option<String>> {
    prop_oneof![3 => Just(None), 1 => text().prop_map(Some)]
}

fn provider() -> impl Strategy<Value = Provider> {
    prop_oneof![
        Just(Provider::Apns),
        Just(Provider::Fcm),
        Just(Provider::FcmOnIos),
        Just(Provider::WebPush),
        text().prop_map(Provider::Other),
    ]
}

fn dialects() -> impl Strategy<Value = Dialects> {
    let one = prop_oneof![
        Just(Dialect::XMpush),
        Just(Dialect::Rfc8599),
        Just(Dialect::Linphone),
        Just(Dialect::PortSip(PortSipHeader::XPush)),
        Just(Dialect::Abto),
        Just(Dialect::AppIdInUri),
        Just(Dialect::AppIdInHeader),
    ];
    prop_oneof![Just(Dialects::Auto), proptest::collection::vec(one, 0..4).prop_map(Dialects::Only)]
}

fn a_token() -> impl Strategy<Value = String> {
    prop_oneof![text(), "[0-9a-f]{64}", "[A-Za-z0-9:_-]{20,60}", "https://push.example.net/[!-~]{1,30}"]
}

/// An independent reader: splits a head into fields and a field into its parts, without any of sipwake's code.
mod reader {
    use std::collections::BTreeMap;

    pub(super) fn lines(text: &str) -> Vec<(&str, &str)> {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head ends in an empty line");
        assert_eq!(body, "", "no field can begin a body");
        let mut lines = head.split("\r\n");
        assert!(lines.next().is_some_and(|start| start.starts_with("REGISTER sip") && start.ends_with(" SIP/2.0")));
        lines
            .map(|line| {
                assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
                let (name, value) = line.split_once(": ").expect("a field has a name");
                assert!(
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
                );
                (name, value)
            })
            .collect()
    }

    /// Reads a quoted string at the start. Returns its value and the rest.
    pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
        let mut said = String::new();
        let mut chars = text.strip_prefix('"')?.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => said.push(chars.next()?.1),
                '"' => return Some((said, &text[at + 2..])),
                c => said.push(c),
            }
        }
        None
    }

    pub(super) struct Contact {
        pub(super) uri: String,
        pub(super) uri_params: BTreeMap<String, Option<String>>,
        pub(super) params: BTreeMap<String, Option<String>>,
    }

    /// `<URI;name=value>;name=value`: each name once, values without the characters that would end them.
    pub(super) fn contact(text: &str) -> Contact {
        let (inside, outside) = text.strip_prefix('<').and_then(|text| text.split_once('>')).expect("in brackets");
        // A user part may hold `;` itself. Parameters hold no raw `@`.
        let (user, rest) = inside.rsplit_once('@').expect("our Contacts have a user");
        assert!(!user.contains([' ', '"', '<', '@', '\t']), "{text}");
        let mut parts = rest.split(';');
        let uri = format!("{user}@{}", parts.next().expect("never empty"));
        let params = |parts: &mut dyn Iterator<Item = &str>, also: &str| {
            let mut read = BTreeMap::new();
            for part in parts {
                let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()%+`".contains(&byte);
                let fits = |value: &str| value.bytes().all(|byte| plain(byte) || also.as_bytes().contains(&byte));
                assert!(!name.is_empty() && name.bytes().all(plain), "{text}");
                assert!(value.is_none_or(|value| fits(value) || value.starts_with("\"<urn:")), "{text}");
                assert!(read.insert(name.to_owned(), value.map(said)).is_none(), "{name} twice: {text}");
            }
            read
        };
        let uri_params = params(&mut parts, "[]/:&$");
        let mut in_quotes = false;
        let mut outside = outside.split(|c: char| {
            in_quotes ^= c == '"';
            c == ';' && !in_quotes
        });
        assert_eq!(outside.next(), Some(""), "{text}");
        let params = params(&mut outside, "");
        Contact { uri, uri_params, params }
    }

    fn said(value: &str) -> String {
        if value.starts_with('"') {
            return value.to_owned();
        }
        let mut bytes = Vec::new();
        let mut rest = value.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            if *first == b'%' {
                let pair = std::str::from_utf8(&rest[..2]).expect("ASCII");
                bytes.push(u8::from_str_radix(pair, 16).expect("two hexadecimal digits"));
                rest = &rest[2..];
            } else {
                bytes.push(*first);
            }
        }
        String::from_utf8(bytes).expect("the escaped bytes were text")
    }
}

fn one<'a>(lines: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let mut found = lines.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let first = found.next();
    assert_eq!(found.next(), None, "{name} twice");
    first
}

/// Reads back everything from a REGISTER and its answer to a challenge.
fn check(sent: &Sent, config: &AccountConfig, auth_user: &str) {
    let lines = reader::lines(&sent.text);
    let from = one(&lines, "From").expect("there is a From");
    let rest = match &config.display_name {
        Some(name) => {
            let (said, rest) = reader::quoted(from).expect("a display name is quoted");
            assert_eq!(said, *name);
            rest.strip_prefix(' ').expect("a space")
        }
        None => from,
    };
    assert!(rest.starts_with("<sip") && rest.matches('>').count() == 1, "{rest}");
    assert_eq!(one(&lines, "User-Agent"), config.user_agent.as_deref());
    for (name, value) in [
        ("X-Sy.Uppersrv", &config.upper.server),
        ("X-Sy.Upperproxy", &config.upper.proxy),
        ("X-Sy.Uppersrvd", &config.upper.domain),
    ] {
        assert_eq!(one(&lines, name), value.as_deref());
    }
    let contact = reader::contact(one(&lines, "Contact").expect("one Contact"));
    let instance = contact.params.get("+sip.instance").cloned().flatten();
    assert_eq!(instance, config.instance_id.as_ref().map(|id| format!("\"<{id}>\"")));
    if let Some(answer) = one(&lines, "Authorization") {
        let rest = answer.strip_prefix("Digest username=").expect("the user comes first");
        let (said, rest) = reader::quoted(rest).expect("quoted");
        assert_eq!(said, auth_user);
        assert!(rest.starts_with(", realm=\"asterisk\", nonce=\"n1\", uri=\"sip"), "{rest}");
    }
    let known = [
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Route",
        "Contact",
        "Expires",
        "Supported",
        "Allow",
        "User-Agent",
        "X-Sy.Uppersrv",
        "X-Sy.Upperproxy",
        "X-Sy.Uppersrvd",
        "Authorization",
        "Content-Length",
        "X-MPUSH",
        "X-PIID",
        "X-Push",
    ];
    assert!(lines.iter().all(|(name, _)| known.contains(name)), "an unknown header field: {lines:?}");
}

fn names_the_field(error: &FieldError) -> bool {
    !error.field.is_empty() && !error.to_string().contains(['\r', '\n', '\0'])
}

proptest! {
    #[test]
    fn an_account_is_refused_or_its_messages_carry_its_exact_values(
        user in prop_oneof![Just("alice".to_owned()), text()],
        names in (field(), field(), field(), field()),
        uris in (field(), field(), field()),
        upper in (field(), field(), field()),
        instance in prop_oneof![Just(None), text().prop_map(|text| Some(format!("urn:{text}")))],
    ) {
        let (display_name, auth_user, user_agent, realm) = names;
        let (registrar, outbound_proxy, gateway) = uris;
        let config = AccountConfig {
            display_name,
            auth_user,
            user_agent,
            realm,
            registrar,
            outbound_proxy,
            gateways: gateway.into_iter().collect(),
            upper: UpperServer { server: upper.0, proxy: upper.1, domain: upper.2 },
            instance_id: instance,
            ..account(|config| {
                config.aor = format!("sip:{user}@example.com");
                config.allow_cleartext_secrets = true;
            })
        };
        match Account::parse(config.clone()) {
            Err(error) => prop_assert!(names_the_field(&error)),
            Ok(parsed) => {
                let auth_user = parsed.auth_user().to_owned();
                let mut stage = Stage::new(config.clone(), mpush());
                let first = stage.register();
                check(&first, &config, &auth_user);
                stage.reply(&first, 401, &[CHALLENGE]);
                check(&stage.one(), &config, &auth_user);
            }
        }
    }

    #[test]
    fn push_settings_are_refused_or_the_tags_carry_their_exact_values(
        provider in provider(),
        package in prop_oneof![2 => Just("com.example.app".to_owned()), 1 => text()],
        dialects in dialects(),
        team in field(),
        pn_param in field(),
        linphone in proptest::collection::vec((prop_oneof![Just("pn-silent".to_owned()), text()], text()), 0..2),
        removal in prop_oneof![Just(Removal::SameBinding), Just(Removal::WithoutPrid), Just(Removal::NullPrid)],
        call in a_token(),
        alert in prop_oneof![Just(None), a_token().prop_map(Some)],
    ) {
        let mut config = PushConfig::new(provider.clone(), package.clone());
        config.dialects = dialects;
        config.team_id = team;
        config.pn_param = pn_param.clone();
        config.linphone_params = linphone;
        config.removal = removal;
        let push = match Push::parse(config.clone()) {
            Ok(push) => push,
            Err(error) => {
                prop_assert!(names_the_field(&error) && error.field.starts_with("push."));
                return Ok(());
            }
        };
        let token = match push.parse_token(Some(&call), alert.as_deref()) {
            Ok(Some(token)) => token,
            Ok(None) => return Ok(()),
            Err(error) => {
                prop_assert!(names_the_field(&error));
                return Ok(());
            }
        };
        for binding in [
            Binding::Token(&token),
            Binding::Unbound,
            Binding::LoggedOut(Some(&token)),
            Binding::LoggedOut(None),
            Binding::Query(Some(&call)),
        ] {
            let tags = push.tags(binding);
            prop_assert!(
                tags.headers.iter().all(|tag| !tag.value.as_deref().unwrap_or_default().contains(char::is_control))
            );
            let text = format!("<sip:a@b{}>{}", tags.uri_params_text(), tags.contact_params_text());
            let contact = reader::contact(&text);
            prop_assert_eq!(&contact.uri, "sip:a@b");
            let speaks = |dialect| matches!(&config.dialects, Dialects::Only(all) if all.contains(&dialect));
            if binding == Binding::Token(&token) {
                let single = token.call().or(token.alert()).map(str::to_owned);
                if let (Provider::Other(name), Some(said)) = (&provider, contact.uri_params.get("pn-provider")) {
                    prop_assert_eq!(said.as_ref(), Some(name));
                }
                if speaks(Dialect::Rfc8599) || config.dialects == Dialects::Auto {
                    prop_assert_eq!(contact.uri_params.get("pn-prid"), Some(&single));
                    let param = contact.uri_params.get("pn-param").cloned().flatten();
                    match (&provider, &pn_param) {
                        (Provider::WebPush, _) => prop_assert_eq!(param, None),
                        (_, Some(stated)) => prop_assert_eq!(param.as_ref(), Some(stated)),
                        _ => prop_assert!(param.is_some_and(|param| param.contains(package.trim()))),
                    }
                }
                if speaks(Dialect::Abto) {
                    prop_assert_eq!(contact.params.get("push-token-id"), Some(&single));
                    prop_assert_eq!(contact.params.get("push-token-app"), Some(&Some(package.clone())));
                }
                if speaks(Dialect::AppIdInUri) {
                    prop_assert_eq!(contact.uri_params.get("pn-tok"), Some(&single));
                }
                if let Some(value) = tags.headers.iter().find(|tag| tag.name == "X-MPUSH").and_then(|tag| tag.value.as_ref()) {
                    let mut parts = value.splitn(3, ':');
                    prop_assert!(parts.next().is_some_and(|letter| letter.len() == 1), "{value}");
                    prop_assert_eq!(parts.next(), Some(package.as_str()));
                    prop_assert_eq!(parts.next().map(str::to_owned), single.clone(), "the token is the rest of the line");
                }
                if let Some(value) = tags.headers.iter().find(|tag| tag.name == "X-Push").and_then(|tag| tag.value.as_ref()) {
                    let fields: Vec<&str> = value.split(';').collect();
                    prop_assert_eq!(fields.len(), 5, "{}", value);
                    prop_assert_eq!(fields[4], format!("app-id={package}"));
                }
            }
        }
    }

    #[test]
    fn a_register_carries_a_valid_token_unchanged(call in a_token(), package in text()) {
        let config = PushConfig::new(Provider::Other("acme".into()), package);
        let token = PushToken::parse(&config.provider, &call).ok().flatten();
        let (Ok(_), Some(token)) = (Push::parse(config.clone()), token) else { return Ok(()) };
        let mut stage = Stage::new(account(|_| {}), Some(config));
        stage.set_token(token.clone());
        let sent = stage.register();
        let lines = reader::lines(&sent.text);
        let contact = reader::contact(one(&lines, "Contact").expect("one Contact"));
        prop_assert_eq!(contact.uri_params.get("pn-prid").cloned().flatten(), token.call().map(str::to_owned));
    }
}

#[test]
fn an_app_name_with_a_space_is_refused() {
    let config = push_config(Provider::Fcm, &[Dialect::Abto]);
    let error = Push::parse(PushConfig { package: "My App".into(), ..config }).expect_err("a raw space");
    assert_eq!(error.field, "push.package");
}

#[test]
fn a_password_of_any_shape_is_hashed_and_never_sent() {
    let config = account(|config| {
        config.credentials = Credentials::Password(Secret::new("p\"a;s,s<w>ö%00rd"));
        config.transport = Some(Transport::Tcp);
    });
    let mut stage = Stage::new(config, None);
    let first = stage.register();
    stage.reply(&first, 401, &[CHALLENGE]);
    assert!(!stage.one().text.contains("p\\\"a"));
    let config = account(|config| config.credentials = Credentials::Password(Secret::new("a\r\nb")));
    assert_eq!(Account::parse(config).expect_err("a line break").rule, Rule::ControlCharacter);
}

#[test]
fn each_field_in_a_contact_is_escaped() {
    for dialect in [Dialect::Rfc8599, Dialect::Linphone, Dialect::Abto, Dialect::AppIdInUri, Dialect::AppIdInHeader] {
        let mut config = push_config(Provider::Other("50%`".into()), &[dialect]);
        config.package = "app%?`".into();
        config.linphone_params = vec![("pn-%41".into(), "100%".into())];
        let push = Push::parse(config).expect("each is a token or free text");
        let token = push.parse_token(Some("to%k?n"), None).expect("valid").expect("a token");
        let tags = push.tags(Binding::Token(&token));
        let contact = reader::contact(&format!("<sip:a@b{}>{}", tags.uri_params_text(), tags.contact_params_text()));
        let said: Vec<_> = contact.uri_params.into_iter().chain(contact.params).filter_map(|(_, said)| said).collect();
        for field in ["50%`", "app%?`", "to%k?n"] {
            assert!(said.iter().any(|said| said == field), "{dialect:?} {field}: {said:?}");
        }
        let named = tags.uri_params_text().contains(";pn-%2541=100%25");
        assert_eq!(named, dialect == Dialect::Linphone, "a name is escaped, too");
    }
}

#[test]
fn a_token_with_a_semicolon_is_refused_where_portsips_header_would_end_it() {
    let tokens = |dialect, call, alert| {
        let push = Push::parse(push_config(Provider::Other("acme".into()), &[dialect])).expect("valid");
        push.parse_token(call, alert).map_err(|error| error.field)
    };
    let portsip = Dialect::PortSip(PortSipHeader::XPush);
    assert_eq!(tokens(portsip, Some("a;allow-call-push=false"), None), Err("push.token"));
    assert_eq!(tokens(portsip, None, Some("a;b")), Err("push.alert_token"));
    assert!(matches!(tokens(Dialect::Rfc8599, Some("a;b"), None), Ok(Some(_))));
}
