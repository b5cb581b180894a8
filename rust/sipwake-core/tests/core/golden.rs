//! The wire text of a REGISTER in every dialect, as golden files.

use insta::assert_snapshot;
use sipwake_core::account::{AccountConfig, Transport};
use sipwake_core::push::{
    Dialect, Dialects, Environment, Mode, PortSipHeader, Provider, PushConfig, PushToken, Removal,
};

use crate::support::{CHALLENGE, Sent, Stage, account, over, push_config, token};

const APNS: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
const APNS_ALERT: &str = "1111222233334444555566667777888899990000aaaabbbbccccddddeeeeffff";
const FCM: &str = "c-10:APA91bFoobar_baz-9";
const WEB: &str = "https://updates.push.example.net/wpush/v2/gAAAAA?x=1;y";

fn sample(provider: &Provider) -> PushToken {
    match provider {
        Provider::Apns => token(provider, APNS),
        Provider::WebPush => token(provider, WEB),
        _ => token(provider, FCM),
    }
}

fn wire(sent: &Sent) -> String {
    assert_eq!(sent.text.matches('\n').count(), sent.text.matches("\r\n").count(), "every line ends in CRLF");
    sent.text.replace("\r\n", "\n")
}

/// The lines that push adds or changes.
fn lines(sent: &Sent) -> String {
    let told = ["REGISTER ", "Contact:", "Expires:", "X-", "x-p", "portsip"];
    let told: Vec<&str> =
        sent.text.split("\r\n").filter(|line| told.iter().any(|start| line.starts_with(start))).collect();
    told.join("\n") + "\n"
}

fn stage(config: AccountConfig, push: PushConfig, token: &PushToken) -> Stage {
    let mut stage = Stage::new(config, Some(push));
    stage.set_token(token.clone());
    stage
}

/// The wire text of a bound, an unbound and a logged-out client.
fn life(push: &PushConfig, token: &PushToken) -> String {
    let mut text = String::new();
    let mut unbinding = stage(account(|_| {}), push.clone(), token);
    let bound = unbinding.register();
    text += &format!("-- bound\n{}", lines(&bound));
    unbinding.ok(&bound, &[]);
    unbinding.unbind();
    text += &format!("-- unbound\n{}", lines(&unbinding.one()));
    let mut leaving = stage(account(|_| {}), push.clone(), token);
    let bound = leaving.register();
    leaving.ok(&bound, &[]);
    leaving.log_out();
    text + &format!("-- logged out\n{}", lines(&leaving.one()))
}

#[test]
fn the_whole_register_and_its_answer_to_a_challenge() {
    let config = account(|config| {
        config.display_name = Some("Alice \"A.\" \\ Liddell".into());
        config.user_agent = Some("Example/1.0".into());
        config.allow_cleartext_secrets = true;
        config.send_piid = Some(true);
    });
    let mut stage = stage(config, push_config(Provider::Fcm, &[Dialect::XMpush]), &sample(&Provider::Fcm));
    let first = stage.register();
    stage.reply(&first, 401, &[CHALLENGE]);
    let second = stage.one();
    assert_snapshot!("whole", format!("{}{}", wire(&first), wire(&second)));
}

#[test]
fn x_mpush_for_every_provider_and_environment() {
    let mut text = String::new();
    for provider in [Provider::Fcm, Provider::Apns, Provider::FcmOnIos, Provider::WebPush] {
        for environment in [Environment::ServerDefault, Environment::Sandbox, Environment::Production] {
            let mut config = push_config(provider.clone(), &[Dialect::XMpush]);
            config.environment = environment;
            let sent = stage(account(|_| {}), config, &sample(&provider)).register();
            text += &format!("{}\n", sent.header("X-MPUSH").expect("with a token"));
        }
    }
    assert_snapshot!("x_mpush_environments", text);
    assert_snapshot!("x_mpush_life", life(&push_config(Provider::Fcm, &[Dialect::XMpush]), &sample(&Provider::Fcm)));
}

#[test]
fn x_piid_goes_only_where_it_is_allowed() {
    let mut text = String::new();
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        for allowed in [false, true] {
            for realm in [None, Some("upper".to_owned())] {
                let config = account(|config| {
                    config.aor = "sip:cool@example.com".into();
                    config.credentials =
                        sipwake_core::digest::Credentials::Password(sipwake_core::redact::Secret::new("xxx"));
                    config.transport = Some(transport);
                    config.allow_cleartext_secrets = allowed;
                    config.realm = realm.clone();
                    config.send_piid = Some(true);
                });
                let push = push_config(Provider::Fcm, &[Dialect::XMpush]);
                let mut stage = stage(config, push, &sample(&Provider::Fcm));
                let first = stage.register();
                stage.reply(&first, 401, &[CHALLENGE]);
                let second = stage.one();
                stage.ok(&second, &[]);
                let verdict = &stage.last().verdict;
                text += &format!(
                    "{transport:?} allowed={allowed} realm={realm:?}: first {:?}, second {:?}, withheld {}, clear {}\n",
                    first.header("X-PIID"),
                    second.header("X-PIID"),
                    verdict.piid_withheld,
                    verdict.piid_in_the_clear
                );
            }
        }
    }
    assert_snapshot!("x_piid", text);
}

#[test]
fn the_server_behind_the_gateway_is_named() {
    let config = account(|config| {
        config.gateways = vec!["gw.example.net:35060".into()];
        config.upper.server = Some("pbx.example.com:5080".into());
        config.upper.proxy = Some("proxy.example.com".into());
        config.upper.domain = Some("example.com".into());
    });
    let push = push_config(Provider::Fcm, &[Dialect::XMpush]);
    let mut direct = stage(config, push, &sample(&Provider::Fcm));
    let mut text = lines(&direct.register());

    let (mut config, mut push) = (account(|_| {}), PushConfig::new(Provider::Fcm, "com.example.app"));
    Mode::mizutech_gateway().apply(&mut config, &mut push);
    text += &lines(&stage(config, push, &sample(&Provider::Fcm)).register());
    assert_snapshot!("x_sy", text);
}

#[test]
fn rfc_8599_with_its_three_removals() {
    let mut text = String::new();
    for removal in [Removal::SameBinding, Removal::WithoutPrid, Removal::NullPrid] {
        let mut config = push_config(Provider::Apns, &[Dialect::Rfc8599]);
        config.team_id = Some("ABCDE12345.".into());
        config.removal = removal;
        text += &format!("== {removal:?}\n{}", life(&config, &sample(&Provider::Apns)));
    }
    assert_snapshot!("rfc8599_removals", text);
}

#[test]
fn rfc_8599_for_every_provider() {
    let mut text = String::new();
    for provider in
        [Provider::Fcm, Provider::FcmOnIos, Provider::Apns, Provider::WebPush, Provider::Other("acme".into())]
    {
        let mut config = push_config(provider.clone(), &[Dialect::Rfc8599]);
        config.wakes_itself = true;
        let sent = stage(account(|_| {}), config, &sample(&provider)).register();
        text += &format!("{provider:?}: {}\n", sent.contact());
    }
    let mut config = push_config(Provider::Other("acme".into()), &[Dialect::Rfc8599]);
    config.pn_param = Some("acme-param=1;ü /?@,%<>".into());
    for awkward in ["a=;?@,%<>b", "κλειδί", "[]/:&+$-_.!~*'()", "%41"] {
        let sent = stage(account(|_| {}), config.clone(), &token(&Provider::Other("acme".into()), awkward)).register();
        text += &format!("{awkward}: {}\n", sent.contact());
    }
    assert_snapshot!("rfc8599_providers", text);
}

#[test]
fn a_capability_query_names_one_provider_or_asks_for_all() {
    let mut text = String::new();
    for asked in [None, Some("webpush".to_owned()), Some("a;b".to_owned())] {
        let mut stage = Stage::rfc8599();
        stage.agent.query_push(&stage.key.clone(), asked, stage.now).expect("the account is there");
        stage.drain();
        text += &lines(&stage.one());
    }
    assert_snapshot!("rfc8599_query", text);
}

#[test]
fn linphone_puts_two_tokens_into_one() {
    let provider = Provider::Apns;
    let mut config = push_config(provider.clone(), &[Dialect::Linphone]);
    config.team_id = Some("ABCDE12345".into());
    config.linphone_params = vec![("pn-silent".into(), "1".into()), ("pn-msg-str".into(), "IM MSG".into())];
    let pair = |call, alert| PushToken::parse_pair(&provider, call, alert).expect("valid").expect("some");
    let mut text = String::new();
    for environment in [Environment::ServerDefault, Environment::Sandbox] {
        config.environment = environment;
        for pair in [pair(Some(APNS), Some(APNS_ALERT)), pair(Some(APNS), None), pair(None, Some(APNS_ALERT))] {
            text += &life(&config, &pair);
        }
    }
    text += &life(&push_config(Provider::Fcm, &[Dialect::Linphone]), &sample(&Provider::Fcm));
    assert_snapshot!("linphone", text);
}

#[test]
fn portsip_under_its_three_names() {
    let provider = Provider::Apns;
    let pair = |call, alert| PushToken::parse_pair(&provider, call, alert).expect("valid").expect("some");
    let mut text = String::new();
    for header in [PortSipHeader::XPush, PortSipHeader::XPPush, PortSipHeader::PortsipPush] {
        let config = push_config(provider.clone(), &[Dialect::PortSip(header)]);
        for pair in [pair(Some(APNS), Some(APNS_ALERT)), pair(Some(APNS), None), pair(None, Some(APNS_ALERT))] {
            text += &life(&config, &pair);
        }
    }
    let mut quiet = push_config(Provider::Fcm, &[Dialect::PortSip(PortSipHeader::XPush)]);
    quiet.push_messages = false;
    text += &life(&quiet, &sample(&Provider::Fcm));
    assert_snapshot!("portsip", text);
}

#[test]
fn the_older_contact_parameters() {
    let mut text = String::new();
    for dialect in [Dialect::Abto, Dialect::AppIdInUri, Dialect::AppIdInHeader] {
        for provider in [Provider::Fcm, Provider::FcmOnIos, Provider::Apns] {
            let mut config = push_config(provider.clone(), &[dialect]);
            if provider == Provider::Apns {
                config.environment = Environment::Sandbox;
            }
            text += &format!("== {dialect:?} {provider:?}\n{}", life(&config, &sample(&provider)));
        }
    }
    assert_snapshot!("older", text);
}

#[test]
fn all_dialects_fit_into_one_register() {
    let mut config = push_config(Provider::Apns, &[]);
    config.dialects = Dialects::Only(vec![
        Dialect::XMpush,
        Dialect::Rfc8599,
        Dialect::PortSip(PortSipHeader::XPush),
        Dialect::Abto,
        Dialect::AppIdInUri,
    ]);
    assert_snapshot!("together", life(&config, &sample(&Provider::Apns)));
}

#[test]
fn auto_speaks_two_dialects_until_the_server_confirms_one() {
    let mut config = push_config(Provider::Fcm, &[]);
    config.dialects = Dialects::Auto;
    let mut text = life(&config, &sample(&Provider::Fcm));
    let mut stage = stage(account(|_| {}), config, &sample(&Provider::Fcm));
    let first = stage.register();
    stage.ok(&first, &["Feature-Caps: *;+sip.pns=\"fcm\""]);
    text += &format!("-- after its Feature-Caps\n{}", lines(&stage.register()));
    assert_snapshot!("auto", text);
}

#[test]
fn a_rotated_token_removes_the_old_contact_in_the_same_request() {
    let mut text = String::new();
    for instance in [None, Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128".to_owned())] {
        let mut stage = stage(
            account(|config| config.instance_id = instance.clone()),
            push_config(Provider::Fcm, &[Dialect::Rfc8599]),
            &sample(&Provider::Fcm),
        );
        let first = stage.register();
        stage.ok(&first, &[]);
        stage.set_token(token(&Provider::Fcm, "new:token"));
        text += &lines(&stage.one());
    }
    assert_snapshot!("rotation", text);
}

#[test]
fn an_outbound_proxy_is_a_route_and_an_ipv6_contact_has_brackets() {
    let config = account(|config| {
        config.outbound_proxy = Some("sip:proxy.example.com;transport=tcp".into());
        config.instance_id = Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128".into());
        config.auth_user = Some("a\"lice\\".into());
    });
    let mut stage = Stage::new(config, None);
    stage.local = "[2001:db8::5]:5070".parse().expect("an address");
    let first = stage.register();
    stage.reply(&first, 407, &["Proxy-Authenticate: Digest realm=\"p\", nonce=\"n\""]);
    assert_snapshot!("route_and_ipv6", wire(&stage.one()));
}

#[test]
fn every_transport_shows_in_via_and_contact() {
    let mut text = String::new();
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        let sent = Stage::new(over(transport), None).register();
        text += &format!("{} | {}\n", sent.header("Via").unwrap_or_default(), sent.contact());
    }
    assert_snapshot!("transports", text);
}
