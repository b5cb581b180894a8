//! Removals cover what was bound, in every dialect that was used, whatever the current settings say.

use sipwake_core::event::{Event, Removed};
use sipwake_core::push::{Dialect, Dialects, Provider, PushConfig};

use crate::support::{Sent, Stage, account, fcm, mpush, push_config, rfc8599, seconds, token};

fn with(provider: Provider, dialects: &[Dialect]) -> Stage {
    let text = if provider == Provider::Apns { "ABCDEF01" } else { "c-10:APA91bToken" };
    let mut stage = Stage::new(account(|_| {}), Some(push_config(provider.clone(), dialects)));
    stage.set_token(token(&provider, text));
    stage.registered();
    stage
}

fn removed(stage: &Stage) -> Option<Removed> {
    stage.events.iter().find_map(|event| match event {
        Event::LoggedOut { removed, .. } => Some(*removed),
        _ => None,
    })
}

/// Changes the settings of the existing account.
fn change(stage: &mut Stage, push: Option<PushConfig>) {
    stage.add(account(|_| {}), push);
}

const BESIDE: [&[Dialect]; 4] =
    [&[Dialect::Rfc8599], &[Dialect::Abto], &[Dialect::AppIdInUri], &[Dialect::AppIdInHeader]];

#[test]
fn each_removal_carries_the_null_that_a_mizutech_server_needs() {
    for dialects in BESIDE {
        let mut stage = with(Provider::Fcm, dialects);
        stage.unbind();
        let unbind = stage.one();
        assert_eq!(unbind.header("X-MPUSH"), Some("null"), "{dialects:?}");
        stage.ok(&unbind, &[]);
        let mut stage = with(Provider::Fcm, dialects);
        let bound = stage.last().contact.expose().to_owned();
        stage.log_out();
        let removal = stage.one();
        assert_eq!((removal.header("X-MPUSH"), removal.header("Expires")), (Some("null"), Some("0")), "{dialects:?}");
        assert_eq!(removal.contact_uri(), bound);
    }
}

#[test]
fn a_removal_at_another_product_carries_no_null() {
    for dialect in [Dialect::PortSip(sipwake_core::push::PortSipHeader::XPush), Dialect::Linphone] {
        let mut stage = with(Provider::Fcm, &[dialect]);
        stage.log_out();
        assert_eq!(stage.one().header("X-MPUSH"), None, "{dialect:?}");
    }
}

fn is_null(sent: &Sent) -> bool {
    sent.header("Expires") == Some("0") && sent.header("X-MPUSH") == Some("null")
}

#[test]
fn settings_that_no_longer_cover_a_binding_remove_it_first_and_by_themselves() {
    let other_package =
        || PushConfig { package: "com.example.other".into(), ..push_config(Provider::Fcm, &[Dialect::XMpush]) };
    let none = || push_config(Provider::Fcm, &[]);
    for push in [None, Some(none()), Some(push_config(Provider::Fcm, &[Dialect::Rfc8599])), Some(other_package())] {
        for refused in [false, true] {
            let mut stage = with(Provider::Fcm, &[Dialect::XMpush]);
            let bound = stage.last().contact.expose().to_owned();
            change(&mut stage, push.clone());
            let null = stage.one();
            assert!(is_null(&null) && null.contact_uri() == bound, "{push:?}: {null:?}");
            stage.reply(&null, if refused { 403 } else { 200 }, &[]);
            let mut bind = stage.one();
            if refused {
                // The nonce may have been the reason.
                assert!(is_null(&bind) && bind.header("Authorization").is_none(), "{push:?}: {bind:?}");
                stage.reply(&bind, 403, &[]);
                bind = stage.one();
            }
            assert_ne!(bind.header("Expires"), Some("0"), "{push:?}");
            assert_ne!(bind.header("X-MPUSH"), Some("null"), "a null and a live token never share a REGISTER");
            stage.ok(&bind, &[]);
            stage.silent();
        }
    }
}

#[test]
fn settings_changed_while_the_app_was_not_running_remove_the_old_binding_before_registering() {
    let before = with(Provider::Fcm, &[Dialect::XMpush]);
    let mut later = before.restart(account(|_| {}), rfc8599());
    let null = later.one();
    assert!(is_null(&null), "{null:?}");
    later.ok(&null, &[]);
    later.silent();
    let bind = later.register();
    assert!(bind.contact_uri().contains("pn-prid") && bind.header("X-MPUSH").is_none());
}

#[test]
fn a_log_out_after_the_settings_changed_removes_the_binding() {
    for push in [None, rfc8599()] {
        let mut stage = with(Provider::Apns, &[Dialect::XMpush]);
        stage.opens = false;
        change(&mut stage, push);
        stage.all();
        stage.log_out();
        let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
        let removal = later.one();
        assert!(is_null(&removal), "{removal:?}");
    }
}

#[test]
fn the_same_settings_and_additional_ones_send_nothing() {
    let mut stage = with(Provider::Fcm, &[Dialect::XMpush]);
    change(&mut stage, mpush());
    change(&mut stage, Some(push_config(Provider::Fcm, &[Dialect::XMpush, Dialect::Rfc8599])));
    stage.silent();
}

#[test]
fn auto_removes_the_binding_in_both_dialects_even_after_it_uses_only_one() {
    let mut config = PushConfig::new(Provider::Fcm, "com.example.app");
    config.dialects = Dialects::Auto;
    let mut stage = Stage::new(account(|_| {}), Some(config));
    stage.set_token(fcm("a:1"));
    stage.registered_with(&["Feature-Caps: *;+sip.pns=\"fcm\""]);
    let refresh = stage.register();
    assert_eq!(refresh.header("X-MPUSH"), None);
    stage.ok(&refresh, &["Feature-Caps: *;+sip.pns=\"fcm\""]);
    change(&mut stage, None);
    assert!(is_null(&stage.one()));
}

#[test]
fn a_log_out_reports_only_what_the_response_proves() {
    let log_out = |stage: &mut Stage, lines: &[&str]| {
        stage.log_out();
        while let Some(removal) = stage.sent.pop_front() {
            stage.reply(&removal, 200, lines);
        }
        removed(stage)
    };
    assert_eq!(log_out(&mut with(Provider::Fcm, &[Dialect::Rfc8599]), &[]), Some(Removed::Proven));
    assert_eq!(
        log_out(&mut with(Provider::Fcm, &[Dialect::XMpush]), &[]),
        Some(Removed::Accepted),
        "beside the Contact"
    );
    let mut mizutech = with(Provider::Fcm, &[Dialect::Rfc8599]);
    assert_eq!(
        log_out(&mut mizutech, &["Server: Mizu VoIP Server"]),
        Some(Removed::Accepted),
        "it stores it in another place"
    );
    let mut lists = with(Provider::Fcm, &[Dialect::Rfc8599]);
    let still = format!("Contact: <{}>;expires=100", lists.last().contact.expose());
    assert_eq!(log_out(&mut lists, &[&still]), Some(Removed::Accepted), "the server still lists it");
    let mut unlisted = Stage::rfc8599();
    unlisted.set_token(fcm("c-10:APA91bToken"));
    let first = unlisted.register();
    unlisted.reply(&first, 200, &["Expires: 3600"]);
    assert_eq!(log_out(&mut unlisted, &[]), Some(Removed::Accepted), "this server never listed it");
    assert_eq!(log_out(&mut Stage::rfc8599(), &[]), Some(Removed::NeverBound));
}

#[test]
fn a_log_out_is_not_proven_if_a_rewritten_address_may_be_a_former_one_of_ours() {
    let told = |rewrites: bool, listed: &str| {
        let mut stage = Stage::rfc8599();
        stage.set_token(fcm("c-10:APA91bToken"));
        let first = stage.register();
        let ours = first.contact().replace("192.0.2.10", if rewrites { "203.0.113.7" } else { "192.0.2.10" });
        stage.reply(&first, 200, &[&format!("Contact: {ours};expires=3600")]);
        stage.log_out();
        let removal = stage.one();
        stage.reply(&removal, 200, &[&format!("Contact: {listed};expires=1561")]);
        removed(&stage)
    };
    assert_eq!(told(true, "<sip:alice@203.0.113.2:5070>"), Some(Removed::Accepted));
    assert_eq!(told(false, "<sip:alice@203.0.113.2:5070>"), Some(Removed::Proven), "this server rewrites none");
    for others in [
        "<sip:alice@203.0.113.2:5070>;+sip.instance=\"<urn:uuid:desk>\"",
        "<sip:alice@203.0.113.2:5070;pn-provider=fcm;pn-param=app;pn-prid=desk>",
        "<sip:bob@203.0.113.2:5070>",
    ] {
        assert_eq!(told(true, others), Some(Removed::Proven), "{others}");
    }
}

#[test]
fn a_removal_that_was_sent_to_another_host_proves_nothing() {
    let mut stage = with(Provider::Fcm, &[Dialect::Rfc8599]);
    stage.log_out();
    let removal = stage.one();
    stage.reply(&removal, 302, &["Contact: <sip:example.com:5090>"]);
    let again = stage.one();
    stage.reply(&again, 200, &[]);
    assert_eq!(removed(&stage), Some(Removed::Accepted));
}

#[test]
fn a_log_out_is_delivered_to_a_server_that_dropped_the_push_provider() {
    let mut stage = with(Provider::Fcm, &[Dialect::Rfc8599]);
    stage.log_out();
    let removal = stage.one();
    stage.reply(&removal, 555, &[]);
    let bare = stage.one();
    assert!(!bare.text.contains("pn-") && is_null(&bare), "{bare:?}");
    stage.reply(&bare, 200, &[]);
    assert!(stage.is_logged_out());
}

#[test]
fn a_log_out_is_tried_again_after_any_refusal() {
    let mut stage = Stage::bound();
    let refresh = stage.register();
    stage.log_out();
    stage.reply(&refresh, 403, &[]);
    let removal = stage.one();
    assert!(is_null(&removal), "the server refused another request, not the removal");
    stage.reply(&removal, 403, &[]);
    stage.silent();
    stage.advance(seconds(3600));
    assert!(!stage.all().is_empty(), "{:?}", stage.failures());
}

#[test]
fn a_log_out_goes_on_after_any_status_and_sends_no_flood() {
    const SAYS_IT_IS_DONE: [u16; 4] = [401, 404, 407, 604];
    for code in (300..700).filter(|code| !SAYS_IT_IS_DONE.contains(code)) {
        let mut stage = Stage::bound();
        stage.log_out();
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..180 {
            while let Some(sent) = stage.sent.pop_front() {
                asked.insert(sent.cseq());
                assert!(is_null(&sent), "{code}: {sent:?}");
                stage.reply(&sent, code, &[]);
            }
            stage.advance(seconds(60));
        }
        let asked = asked.len();
        assert!(!stage.is_logged_out() && (4..60).contains(&asked), "{code}: {asked} in three hours");
        let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
        let again = later.one();
        assert!(is_null(&again));
        later.ok(&again, &[]);
        assert!(later.is_logged_out(), "{code}");
    }
}

#[test]
fn a_token_in_flight_is_removed_together_with_the_one_before_it() {
    for answered in [true, false] {
        let mut stage = with(Provider::Fcm, &[Dialect::Rfc8599]);
        stage.set_token(fcm("a:2"));
        let rotation = stage.one();
        stage.log_out();
        let mut later = if answered {
            stage.ok(&rotation, &[]);
            stage
        } else {
            Stage::without_account(stage.store.clone(), stage.now, 9)
        };
        let contacts = later.one().headers("Contact").join(", ");
        let before = contacts.contains("pn-prid=c-10:APA91bToken");
        assert!(contacts.contains("pn-prid=a:2") && (answered || before), "{contacts}");
    }
}

#[test]
fn a_log_out_that_no_server_accepts_is_dropped_and_reported_after_thirty_days() {
    let day = 24 * 3600;
    let mut stage = Stage::bound();
    stage.opens = false;
    stage.network_changes();
    stage.log_out();
    stage.advance(seconds(29 * day));
    assert_eq!(removed(&stage), None);
    let mut later = Stage::without_account(stage.store.clone(), stage.now, 9);
    later.all();
    later.advance(seconds(day + 60));
    assert_eq!(removed(&later), Some(Removed::GivenUp));
    assert!(Stage::without_account(later.store.clone(), later.now, 10).all().is_empty());
}

#[test]
fn auto_keeps_x_mpush_where_pn_parameters_cannot_express_the_same() {
    use sipwake_core::push::Environment;
    for (provider, environment) in
        [(Provider::Apns, Environment::Sandbox), (Provider::FcmOnIos, Environment::ServerDefault)]
    {
        let mut config = PushConfig::new(provider.clone(), "com.example.app");
        config.environment = environment;
        let mut stage = Stage::new(account(|_| {}), Some(config));
        stage.set_token(token(&provider, "ABCDEF01"));
        let named = if provider == Provider::Apns { "apns" } else { "fcm" };
        stage.registered_with(&[&format!("Feature-Caps: *;+sip.pns=\"{named}\"")]);
        assert!(stage.register().header("X-MPUSH").is_some(), "{provider:?}");
    }
}

#[test]
fn only_a_server_that_identifies_as_mizutech_gets_pn_prid_null() {
    let shows = ["Server: Mizu VoIP Server", "User-Agent: MizuGateway 9", "X-Sy.AuthURI: sip:upper.example"];
    for line in [None].into_iter().chain(shows.map(Some)) {
        for log_out in [false, true] {
            let mut stage = Stage::rfc8599();
            stage.set_token(fcm("a:1"));
            let bound = stage.registered_with(&Vec::from_iter(line));
            if log_out {
                stage.log_out()
            } else {
                stage.unbind()
            }
            let sent = stage.one();
            let null = sent.headers("Contact").iter().any(|contact| contact.contains("pn-prid=null"));
            assert_eq!(null, line.is_some(), "{line:?}: {sent:?}");
            assert_eq!(sent.header("X-MPUSH"), Some("null"));
            assert!(sent.headers("Contact").iter().any(|contact| contact.contains(bound.contact_uri())) || !log_out);
            let live = |contact: &&&str| contact.contains("pn-prid=a:1") && !contact.ends_with(";expires=0");
            assert!(
                line.is_none() || sent.headers("Contact").iter().find(live).is_none(),
                "a null beside a live token"
            );
        }
    }
}

#[test]
fn what_a_server_has_shown_counts_only_for_that_server() {
    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    stage.registered_with(&["Server: Mizu VoIP Server"]);
    stage.add(account(|config| config.outbound_proxy = Some("other.example".into())), rfc8599());
    let bind = stage.one();
    stage.ok(&bind, &["Server: Kamailio"]);
    let there = stage.one();
    assert!(there.text.contains("pn-prid=null"), "{there:?}");
    stage.reply(&there, 200, &[]);
    while let Some(sent) = stage.sent.pop_front() {
        stage.ok(&sent, &["Server: Kamailio"]);
    }
    stage.log_out();
    assert!(!stage.one().text.contains("pn-prid=null"));
}

#[test]
fn a_404_to_a_removal_means_accepted_or_never_bound_if_no_register_ever_succeeded() {
    let mut bound = with(Provider::Fcm, &[Dialect::Rfc8599]);
    bound.log_out();
    let removal = bound.one();
    bound.reply(&removal, 404, &[]);
    assert_eq!(removed(&bound), Some(Removed::Accepted), "a push may be told from the users' messages");
    let mut never = Stage::rfc8599();
    never.set_token(fcm("a:1"));
    let first = never.register();
    never.reply(&first, 404, &[]);
    never.log_out();
    let removal = never.one();
    never.reply(&removal, 404, &[]);
    assert_eq!(removed(&never), Some(Removed::NeverBound));
}

#[test]
fn a_log_out_whose_contact_is_too_long_for_the_server_leaves_out_the_push_parameters() {
    for line in [Some("P-Registrar-Error: Contact/received too long"), None] {
        let mut stage = with(Provider::Fcm, &[Dialect::Rfc8599]);
        stage.log_out();
        let (mut asked, mut bare) = (0, 0);
        while let Some(sent) = stage.sent.pop_front() {
            (asked, bare) = (asked + 1, bare + usize::from(!sent.text.contains("pn-prid")));
            assert!(is_null(&sent) && sent.header("Expires") == Some("0"), "{sent:?}");
            let long = sent.text.contains("pn-prid");
            stage.reply(&sent, if long { 400 } else { 200 }, &Vec::from_iter(line.filter(|_| long)));
        }
        assert!(asked <= 5 && bare == 1, "{asked} requests, {bare} without");
        assert!(stage.is_logged_out());
    }
}

#[test]
fn a_contact_that_is_listed_with_expires_0_is_gone() {
    for end in ["expires=0", "Expires=\"0\"", "q=0.5;EXPIRES=00"] {
        let mut stage = with(Provider::Fcm, &[Dialect::Rfc8599]);
        stage.log_out();
        let removal = stage.one();
        stage.reply(&removal, 200, &[&format!("Contact: {};{end}", removal.contact())]);
        assert!(stage.sent.is_empty() && stage.is_logged_out(), "{end}: {:?}", stage.sent);
    }
}

#[test]
fn a_log_out_remembers_that_its_contact_is_too_long() {
    for (status, line) in
        [(400, "P-Registrar-Error: Contact/received too long"), (414, "X: y"), (513, "X: y"), (413, "X: y")]
    {
        let mut stage = with(Provider::Fcm, &[Dialect::Rfc8599]);
        stage.log_out();
        let (mut long, mut refused) = (0, false);
        for _ in 0..200 {
            while let Some(sent) = stage.sent.pop_front() {
                let too_long = sent.text.contains("pn-prid");
                assert!(!(too_long && refused), "it was too long before: {sent:?}");
                assert!(!sent.removed().contains(&sent.contact_uri()), "one Contact twice: {sent:?}");
                long += usize::from(too_long);
                refused |= !too_long;
                stage.reply(&sent, if too_long { status } else { 503 }, &[line]);
            }
            stage.advance(seconds(1));
        }
        assert!(refused && (1..=2).contains(&long), "{status}: {long} too long");
    }
}

#[test]
fn a_log_out_names_every_contact_that_the_server_may_hold_even_if_the_wall_clock_is_wrong() {
    let mut stage = Stage::new(account(|_| {}), None);
    let bound = stage.registered();
    let unanswered = stage.moved_to(6070);
    stage.now.wall += seconds(400 * 86_400);
    stage.log_out();
    let removal = stage.moved_to(7070);
    assert_eq!((removal.contact_uri(), removal.removed()), (bound.contact_uri(), vec![unanswered.contact_uri()]));
}

#[test]
fn a_log_out_stops_asking_where_each_nonce_is_called_stale() {
    let mut stage = Stage::mpush();
    stage.register();
    stage.log_out();
    let mut nonces = 0;
    let mut asked = 0;
    for _ in 0..600 {
        while let Some(sent) = stage.sent.pop_front() {
            (nonces, asked) = (nonces + 1, asked + usize::from(sent.is_register()));
            let challenge = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"s{nonces}\", stale=true");
            stage.reply(&sent, 401, &[&challenge]);
        }
        stage.advance(seconds(1));
    }
    assert!((2..=10).contains(&asked), "{asked} in ten minutes");
}

#[test]
fn contacts_that_a_server_listed_are_not_forgotten_for_contacts_that_none_ever_got() {
    let mut stage = Stage::new(account(|_| {}), None);
    let bound = stage.registered();
    let moved = stage.moved_to(6070);
    let list = [bound.contact_uri(), moved.contact_uri()].map(|uri| format!("Contact: <{uri}>;expires=3600"));
    stage.reply(&moved, 200, &[&list[0], &list[1]]);
    stage.all();
    let last = (7001..7020).map(|port| stage.moved_to(port)).last().expect("it goes from network to network");
    let removed = last.removed();
    assert!(removed.contains(&bound.contact_uri()) && removed.contains(&moved.contact_uri()), "{removed:?}");
}
