use std::time::Duration;

use proptest::collection::{hash_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

const RECEIVED: Now = Now::new(Duration::from_secs(1_000), Duration::from_secs(1_785_585_600)); // 2026-08-01 12:00:00
const CALL: ActionKind = ActionKind::IncomingCall { video: false };
const FULL_SCREEN: Duty = Duty::ShowNotification { full_screen: true };
const NOTIFICATION: Duty = Duty::ShowNotification { full_screen: false };
const CHANNELS: [Channel; 5] =
    [Channel::FcmAndroid, Channel::PushKit, Channel::FcmIos, Channel::ApnsAlert, Channel::WebPush];

/// The sample of the vendor's iOS page, with `ntousr` as there. Number and name are swapped in it.
const MIZUTECH_PUSHKIT: &str = r#"{
  "headers": {"apns-priority": 10, "apns-expiration": 0, "apns-push-type": "voip", "apns-topic": "PACKAGE.voip"},
  "aps": {
    "alert": {"title": "Incoming call from 1234", "body": "Incoming VoIP call from 1234"},
    "content-available": 1, "sound": "default", "badge": 1
  },
  "data": {
    "ntype": 0, "nfromusername": "John Smith", "nfrom": "1234", "nmsg": "Incoming call from 1234",
    "ncallid": "abcdef", "ntousr": "9876"
  }
}"#;

const FLEXISIP_PUSHKIT: &str = r#"{
  "aps": {
    "sound": "", "loc-key": "IC_MSG", "loc-args": ["Alice"], "call-id": "Xy7~q1", "send-time": "2026-08-01 11:59:30",
    "uuid": "<urn:uuid:00000000-0000-0000-0000-0200aa00bb01>"
  },
  "from-uri": "sip:alice@sip.example.org", "display-name": "Alice", "pn_ttl": 60, "customPayload": {}
}"#;

fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn hints() -> Hints {
    Hints::at(RECEIVED)
}

fn android(entries: &[(&str, &str)]) -> PushAction {
    parse_push(&map(entries), Channel::FcmAndroid, &hints())
}

fn pushkit(json: &str) -> PushAction {
    parse_push(json, Channel::PushKit, &hints())
}

#[test]
fn mizutechs_pushkit_sample_is_a_call_to_report() {
    let action = pushkit(MIZUTECH_PUSHKIT);
    assert_eq!((&action.kind, action.duty), (&CALL, Duty::ReportCall));
    assert_eq!(action.vendor, Some(Vendor::Mizutech));
    assert_eq!(action.caller.as_deref(), Some("1234"));
    assert_eq!(action.display_name.as_deref(), Some("John Smith"));
    assert_eq!(action.account.as_deref(), Some("9876"));
    assert_eq!(action.identity.call_id.as_deref(), Some("abcdef"));
    assert_eq!(action.text.as_deref(), Some("Incoming call from 1234"));
    assert_eq!(action.deadline, Some(Duration::from_secs(1_040)));
    assert_eq!(action.uuid, call_uuid(&CallIdentity::new(Some("abcdef"), None, Some("sip:9876@x"), None)));
}

#[test]
fn each_ntype_has_its_action_on_every_channel() {
    let kinds = [
        ("0", CALL),
        (" 0 ", CALL),
        ("1", ActionKind::Chat { mime_type: None }),
        ("2", ActionKind::Cancel),
        ("3", ActionKind::Custom { ntype: "3".to_owned() }),
        ("4", ActionKind::RefreshBinding),
        ("door-bell", ActionKind::Custom { ntype: "door-bell".to_owned() }),
    ];
    for channel in CHANNELS {
        for (ntype, kind) in &kinds {
            let flat = map(&[("ntype", ntype), ("nfrom", "1002"), ("nmsg", "hello")]);
            assert_eq!(parse_push(&flat, channel, &hints()).kind, *kind, "{ntype} as map over {channel:?}");
            let data = format!(r#"{{"data":{{"ntype":"{ntype}","nfrom":"1002"}}}}"#);
            assert_eq!(parse_push(data.as_str(), channel, &hints()).kind, *kind, "{ntype} as data over {channel:?}");
        }
    }
}

#[test]
fn a_type_may_be_a_number_a_text_a_float_or_missing() {
    for ntype in ["0", "0.0", "\"0\"", "\" 0 \"", "null", "\"\"", "\"TYPE\"", "{}", "[]", "[0]"] {
        let json = format!(r#"{{"data":{{"ntype":{ntype},"nfrom":"1234"}}}}"#);
        assert_eq!(pushkit(&json).kind, CALL, "{ntype}");
    }
    for (ntype, kept) in [("true", "true"), ("false", "false"), ("7", "7"), ("-1", "-1"), ("0.5", "0.5")] {
        let json = format!(r#"{{"data":{{"ntype":{ntype},"nfrom":"1234"}}}}"#);
        assert_eq!(pushkit(&json).kind, ActionKind::Custom { ntype: kept.to_owned() }, "{ntype}");
    }
    assert_eq!(android(&[("nfrom", "1002")]).kind, CALL);
}

#[test]
fn placeholders_that_the_server_forgot_to_replace_count_as_absent() {
    let action = android(&[
        ("ntype", "TYPE"),
        ("nfromusername", "FROMUSERNAME"),
        ("nfrom", "FROM"),
        ("nmsg", "MSG"),
        ("ncallid", "CALLID"),
        ("ntouser", "TOUSERNAME"),
    ]);
    assert_eq!(action.kind, CALL);
    assert_eq!((action.caller, action.display_name, action.text, action.account), (None, None, None, None));
    assert!(action.identity.is_empty());
}

#[test]
fn fcm_on_ios_has_its_data_at_the_top_and_no_callkit_duty() {
    let json = r#"{"aps":{"alert":"Call from 1002","content-available":1},"gcm.message_id":"1785585600000000",
        "google.c.sender.id":"123","ntype":"0","nfrom":"1002","ncallid":"abcdef","ntouser":"9876"}"#;
    let in_front = Hints { app_state: AppState::Foreground, ..hints() };
    let behind = Hints { app_state: AppState::Background, ..hints() };
    let action = parse_push(json, Channel::FcmIos, &hints());
    assert_eq!((&action.kind, action.duty), (&CALL, NOTIFICATION));
    assert_eq!((action.caller.as_deref(), action.text.as_deref()), (Some("1002"), Some("Call from 1002")));
    assert_eq!(parse_push(json, Channel::FcmIos, &in_front).duty, NOTIFICATION);
    assert_eq!(parse_push(json, Channel::FcmIos, &behind).duty, Duty::Nothing, "iOS has shown the alert");
    let silent = r#"{"aps":{"content-available":1},"ntype":"0","nfrom":"1002"}"#;
    assert_eq!(parse_push(silent, Channel::FcmIos, &behind).duty, NOTIFICATION);
}

#[test]
fn over_pushkit_the_channel_decides_and_not_the_type() {
    let freed = Hints { must_report: Some(false), ..hints() };
    let bound = Hints { must_report: Some(true), ..hints() };
    for (ntype, duty, freed_duty) in [
        (0, Duty::ReportCall, Duty::ReportCall),
        (1, Duty::ReportThenEnd, NOTIFICATION),
        (2, Duty::ReportThenEnd, Duty::Nothing),
        (3, Duty::ReportThenEnd, Duty::Nothing),
        (4, Duty::ReportThenEnd, Duty::Nothing),
    ] {
        let json = format!(r#"{{"data":{{"ntype":{ntype},"ncallid":"abcdef"}}}}"#);
        assert_eq!(pushkit(&json).duty, duty, "{ntype}");
        assert_eq!(parse_push(json.as_str(), Channel::PushKit, &bound).duty, duty, "{ntype}");
        assert_eq!(parse_push(json.as_str(), Channel::PushKit, &freed).duty, freed_duty, "{ntype}");
    }
}

#[test]
fn an_unreadable_payload_is_an_unknown_call_over_pushkit_and_silent_elsewhere() {
    let too_large = format!(r#"{{"ntype":0,"nmsg":"{}"}}"#, "x".repeat(MAX_PAYLOAD));
    for (payload, problem) in [
        (&b""[..], Problem::Empty),
        (b" \r\n", Problem::Empty),
        (b"\xff\xfe\0", Problem::Unreadable),
        (b"{\"ntype\":1,\"other\":\"\xff\"}", Problem::Unreadable),
        (br#"{"data":{"ntype":0,"#, Problem::Unreadable),
        (br#"{"data":{"ntype": TYPE}}"#, Problem::Unreadable),
        (b"{}", Problem::Unrecognised),
        (b"[0]", Problem::Unrecognised),
        (br#"{"aps":{"alert":{"loc-key":"SALE"}},"shop":1}"#, Problem::Unrecognised),
        (too_large.as_bytes(), Problem::TooLarge),
    ] {
        let call = parse_push(payload, Channel::PushKit, &hints());
        assert_eq!((&call.kind, call.duty, call.problem), (&CALL, Duty::ReportCall, Some(problem)));
        assert_eq!(call.deadline, Some(Duration::from_secs(1_040)));
        let silent = parse_push(payload, Channel::FcmAndroid, &hints());
        let bare = matches!(problem, Problem::Empty | Problem::Unrecognised) && !payload.contains(&b'a');
        let ignored = ActionKind::Ignore { reason: Ignored::Problem(problem) };
        assert_eq!(
            (silent.kind, silent.duty),
            (if bare { ActionKind::RefreshBinding } else { ignored }, Duty::Nothing)
        );
    }
    let freed = Hints { must_report: Some(false), ..hints() };
    for payload in [&b""[..], b"{}", br#"{"data":{"ntype":0,"#, br#"{"aps":{"alert":"SALE"}}"#] {
        let quiet = parse_push(payload, Channel::PushKit, &freed);
        assert_eq!(
            (quiet.kind, quiet.duty),
            (ActionKind::RefreshBinding, Duty::Nothing),
            "its INVITE rings, if there is one"
        );
    }
    assert_eq!(android(&[]).problem, Some(Problem::Empty));
    assert_ne!(pushkit("{}").uuid, pushkit("[]").uuid, "two unknown calls are two calls");
}

#[test]
fn a_foreground_service_is_allowed_by_high_delivered_priority_or_an_app_in_front() {
    use Priority::{High, Normal};
    let call = map(&[("ntype", "0"), ("nfrom", "1002")]);
    for (delivered_priority, app_state, duty) in [
        (Some(High), AppState::NotRunning, Duty::StartForegroundService),
        (Some(Normal), AppState::NotRunning, FULL_SCREEN),
        (Some(Normal), AppState::Foreground, Duty::StartForegroundService),
        (None, AppState::Unknown, FULL_SCREEN),
    ] {
        let hints = Hints { delivered_priority, app_state, original_priority: Some(High), ..hints() };
        let action = parse_push(&call, Channel::FcmAndroid, &hints);
        assert_eq!(action.duty, duty, "{delivered_priority:?} {app_state:?}");
        assert_eq!(action.downgraded, delivered_priority == Some(Normal));
        let chat = parse_push(&map(&[("ntype", "1"), ("nmsg", "hi")]), Channel::FcmAndroid, &hints);
        assert_eq!(chat.duty, NOTIFICATION);
    }
}

#[test]
fn a_cancel_has_the_uuid_of_its_call_and_a_chat_has_its_own() {
    let call = android(&[("ntype", "0"), ("nfrom", "1002"), ("ncallid", "abcdef")]);
    let cancel = android(&[("ntype", "2"), ("ncallid", "abcdef")]);
    let chat = android(&[("ntype", "1"), ("nfrom", "1002"), ("ncallid", "abcdef")]);
    assert_eq!(call.uuid, cancel.uuid);
    assert_ne!(call.uuid, chat.uuid);
    assert_eq!(chat.identity.call_id.as_deref(), Some("abcdef"));
    assert_eq!((cancel.deadline, chat.deadline), (None, None));
}

#[test]
fn a_call_without_a_call_id_is_identified_by_account_and_caller() {
    let push = android(&[("ntype", "0"), ("nfrom", "1002"), ("ntousr", "9876")]);
    let invite =
        CallIdentity::new(Some("abcdef"), None, Some("sip:9876@example.com"), Some("<sip:1002@example.com>;tag=1"));
    assert_ne!(push.uuid, call_uuid(&invite));
    assert!(invite.candidates().any(|uuid| uuid == push.uuid));
}

#[test]
fn flexisips_voip_push_is_a_call_with_the_lifetime_that_it_gives() {
    let action = pushkit(FLEXISIP_PUSHKIT);
    assert_eq!((&action.kind, action.duty, action.vendor), (&CALL, Duty::ReportCall, Some(Vendor::Flexisip)));
    assert_eq!(action.caller.as_deref(), Some("sip:alice@sip.example.org"));
    assert_eq!(action.display_name.as_deref(), Some("Alice"));
    assert_eq!(action.identity.call_id.as_deref(), Some("Xy7~q1"));
    assert_eq!(action.identity.vendor_id, None, "its uuid is the device's");
    assert_eq!(action.deadline, Some(Duration::from_secs(1_030)));
    let deadline = |ttl: &str, sent: &str| {
        let json = FLEXISIP_PUSHKIT.replace("\"pn_ttl\": 60", ttl).replace("2026-08-01 11:59:30", sent);
        pushkit(&json).deadline.expect("it is a call").as_secs() - 1_000
    };
    assert_eq!(deadline("\"pn_ttl\": 90", "2026-08-01 11:59:30"), 40);
    assert_eq!(deadline("\"pn_ttl\": \"60\"", "2026-08-01 11:59:30"), 30);
    assert_eq!(deadline("\"pn_ttl\": 60", "2026-08-01 12:03:00"), 40, "the sender's clock is ahead");
    assert_eq!(deadline("\"pn_ttl\": 60", "2026-08-01 11:00:00"), 5, "it is late, or the phone's clock is ahead");
    let unlimited = |sent: &str| deadline("\"pn_ttl\": 0", sent);
    assert_eq!(
        unlimited("2026-08-01 11:59:30"),
        10,
        "a lifetime of zero is about delivery, so the default counts from the time of sending"
    );
    assert_eq!(unlimited("soon"), 40, "or from when it came");
}

#[test]
fn flexisip_is_recognised_by_its_keys_at_the_top_and_in_an_alert() {
    for (key, kind) in [
        ("IC_MSG", CALL),
        ("IM_MSG", ActionKind::Chat { mime_type: None }),
        ("GC_MSG", ActionKind::Chat { mime_type: None }),
        ("IC_SIL", ActionKind::RefreshBinding),
        ("MY_MISSED", ActionKind::Custom { ntype: "MY_MISSED".to_owned() }),
        ("", ActionKind::RefreshBinding),
    ] {
        let flat = android(&[("loc-key", key), ("loc-args", "Bob"), ("call-id", "c1"), ("from-uri", "sip:bob@x")]);
        assert_eq!((&flat.kind, flat.vendor), (&kind, Some(Vendor::Flexisip)), "{key}");
        let alert = format!(
            r#"{{"aps":{{"alert":{{"loc-key":"{key}","loc-args":["Bob"]}},"badge":1}},"form-uri":"sip:bob@x","call-id":"c1"}}"#
        );
        let alert = parse_push(alert.as_str(), Channel::ApnsAlert, &hints());
        assert_eq!((&alert.kind, alert.vendor), (&kind, Some(Vendor::Flexisip)), "{key}");
        for action in [flat, alert] {
            assert_eq!(action.caller.as_deref(), Some("sip:bob@x"));
            assert_eq!(action.display_name.as_deref(), Some("Bob"));
        }
    }
    let own_name = pushkit(r#"{"aps":{"loc-key":"MY_CALL","loc-args":["sip:bob@x"],"call-id":"c1"}}"#);
    assert_eq!((own_name.kind, own_name.caller.as_deref()), (CALL, Some("sip:bob@x")));
}

#[test]
fn portsips_types_and_both_of_its_ids_are_read() {
    for (msg_type, kind) in [
        ("audio", CALL),
        ("call", CALL),
        ("video", ActionKind::IncomingCall { video: true }),
        ("im", ActionKind::Chat { mime_type: Some("text/plain".to_owned()) }),
        ("fax", ActionKind::Custom { ntype: "fax".to_owned() }),
    ] {
        for id in ["x-push-id", "portsip-push-id", "X-Push-Id"] {
            let action = android(&[
                ("msg_type", msg_type),
                ("msg_content", "Received a call."),
                ("send_from", "102"),
                ("send_to", "sip:105@portsip.com"),
                ("mime_type", "text/plain"),
                (id, "pvqxCpo-j485AYo9J1cP5A.."),
            ]);
            assert_eq!((&action.kind, action.vendor), (&kind, Some(Vendor::PortSip)), "{msg_type}");
            assert_eq!(action.identity.vendor_id.as_deref(), Some("pvqxCpo-j485AYo9J1cP5A.."));
            assert_eq!(
                (action.caller.as_deref(), action.account.as_deref()),
                (Some("102"), Some("sip:105@portsip.com"))
            );
            let invite = CallIdentity::new(None, Some("pvqxCpo-j485AYo9J1cP5A.."), None, None);
            assert_eq!(action.is_call(), action.uuid == call_uuid(&invite));
        }
    }
    assert_eq!(pushkit(r#"{"x-push-id":"1","send_from":"102"}"#).kind, CALL);
    assert_eq!(android(&[("x-push-id", "1"), ("send_from", "102")]).kind, ActionKind::RefreshBinding);
}

#[test]
fn kazoos_number_is_the_caller_even_if_the_alert_is_json_in_a_string() {
    let voip = pushkit(
        r#"{"aps":{"alert":{"loc-key":"IC_MSG","loc-args":["+15550100"]},"sound":"ring.caf"},"call-id":"a-leg-1"}"#,
    );
    assert_eq!((&voip.kind, voip.caller.as_deref(), voip.display_name.as_deref()), (&CALL, Some("+15550100"), None));
    let alert = r#"{"loc-key":"IC_MSG","loc-args":["+15550100"]}"#;
    let embedded = serde_json::json!({ "alert": alert, "sound": "ring.caf", "Call-ID": "a-leg-1" }).to_string();
    let map = map(&[("alert", alert), ("sound", "ring.caf"), ("Call-ID", "a-leg-1")]);
    for action in
        [parse_push(embedded.as_str(), Channel::FcmAndroid, &hints()), parse_push(&map, Channel::FcmAndroid, &hints())]
    {
        assert_eq!((&action.kind, action.caller.as_deref()), (&CALL, Some("+15550100")));
        assert_eq!(action.identity.call_id.as_deref(), Some("a-leg-1"));
    }
    for (someone, caller, name) in [
        ("+1 (555) 0100", Some("+1 (555) 0100"), None),
        ("tel:+15550100", Some("tel:+15550100"), None),
        ("SIP:bob@x", Some("SIP:bob@x"), None),
        ("Bob 2", None, Some("Bob 2")),
        ("Agent", None, Some("Agent")),
    ] {
        let action = android(&[("loc-key", "IC_MSG"), ("loc-args", someone), ("call-id", "c")]);
        assert_eq!((action.caller.as_deref(), action.display_name.as_deref()), (caller, name), "{someone}");
    }
}

#[test]
fn data_may_be_json_in_a_string() {
    let action = pushkit(
        r#"{"aps":{"alert":"New Incoming Call"},"data":"{\"ntype\":0,\"nfrom\":\"1234\",\"ncallid\":\"c1\",\"ntouser\":\"alice\"}"}"#,
    );
    assert_eq!((&action.kind, action.vendor), (&CALL, Some(Vendor::Mizutech)));
    assert_eq!((action.caller.as_deref(), action.account.as_deref()), (Some("1234"), Some("alice")));
    assert_eq!(action.identity.call_id.as_deref(), Some("c1"));
}

#[test]
fn acrobits_calls_are_announced_and_ended() {
    let push = |verb: &str| {
        android(&[
            ("verb", verb),
            ("Selector", "alice@example.com"),
            ("Id", "f00d-1"),
            ("UserName", "1234"),
            ("DisplayName", "Bob"),
        ])
    };
    let call = push("NotifyIncomingCall");
    assert_eq!((&call.kind, call.vendor), (&CALL, Some(Vendor::Acrobits)));
    assert_eq!((call.caller.as_deref(), call.display_name.as_deref()), (Some("1234"), Some("Bob")));
    assert_eq!((call.account.as_deref(), call.identity.account.as_deref()), (Some("alice@example.com"), Some("alice")));
    assert_eq!(
        (call.identity.call_id.as_deref(), call.identity.vendor_id.as_deref()),
        (Some("f00d-1"), Some("f00d-1"))
    );
    for over in ["NotifyIncomingCallMissed", "NotifyIncomingCallAnsweredElsewhere"] {
        assert_eq!((push(over).kind, push(over).uuid), (ActionKind::Cancel, call.uuid), "{over}");
    }
    assert_eq!(push("NotifyTextMessage").kind, ActionKind::Chat { mime_type: None });
    assert_eq!(push("Reboot").vendor, None);
}

#[test]
fn twilios_calls_are_announced_and_ended() {
    let push = |kind: &str| {
        android(&[
            ("twi_message_type", kind),
            ("twi_call_sid", "CA1"),
            ("twi_from", "client:alice"),
            ("twi_to", "client:bob"),
        ])
    };
    let call = push("twilio.voice.call");
    assert_eq!((&call.kind, call.vendor), (&CALL, Some(Vendor::Twilio)));
    assert_eq!((call.caller.as_deref(), call.account.as_deref()), (Some("alice"), Some("bob")));
    let cancel = push("twilio.voice.cancel");
    assert_eq!((cancel.kind, cancel.uuid), (ActionKind::Cancel, call.uuid));
    assert_eq!(push("data").kind, ActionKind::Custom { ntype: "data".to_owned() });
}

#[test]
fn telnyx_announces_a_call_in_metadata_and_its_end_in_a_text() {
    let metadata = r#"{"voice_sdk_id":"v1","call_id":"c1","caller_name":"John Doe","caller_number":"+123456789"}"#;
    let call = android(&[("type", "voip"), ("message", "Incoming call"), ("metadata", metadata)]);
    let voip = pushkit(&format!(r#"{{"metadata":{metadata},"aps":{{"alert":"Incoming call!"}}}}"#));
    for action in [&call, &voip] {
        assert_eq!((&action.kind, action.vendor), (&CALL, Some(Vendor::Telnyx)));
        assert_eq!((action.caller.as_deref(), action.display_name.as_deref()), (Some("+123456789"), Some("John Doe")));
        assert_eq!(action.identity.call_id.as_deref(), Some("c1"));
    }
    let plain = android(&[("message", "missed call"), ("metadata", metadata)]);
    assert_eq!((plain.kind, plain.uuid), (ActionKind::Cancel, call.uuid));
    let missed = android(&[("message", "Missed call!"), ("metadata", metadata)]);
    let missed_voip = pushkit(&format!(r#"{{"metadata":{metadata},"aps":{{"alert":"Missed call!"}}}}"#));
    let titled = pushkit(&format!(r#"{{"metadata":{metadata},"aps":{{"alert":{{"title":"Missed call!"}}}}}}"#));
    let named = android(&[("message", "Missed call from John Doe"), ("metadata", metadata)]);
    for action in [missed, missed_voip, titled, named] {
        assert_eq!((action.kind, action.uuid), (ActionKind::Cancel, call.uuid));
    }
}

#[test]
fn vialers_call_counts_from_when_its_message_was_made() {
    let push = |number: &str| {
        android(&[
            ("type", "call"),
            ("unique_key", "k1"),
            ("phonenumber", number),
            ("caller_id", "Bob"),
            ("message_start_time", "1785585590.25"),
        ])
    };
    let call = push("0501234567");
    assert_eq!((&call.kind, call.vendor, call.caller.as_deref()), (&CALL, Some(Vendor::Vialer), Some("0501234567")));
    assert_eq!(call.identity.vendor_id.as_deref(), Some("k1"));
    assert_eq!(call.deadline, Some(Duration::from_secs(1_030)), "ten seconds are gone");
    for hidden in ["supressed", "05012xxxxx"] {
        assert_eq!(push(hidden).caller, None, "{hidden}");
    }
}

#[test]
fn a_stale_push_of_any_vendor_is_recognised_by_its_time_in_any_form() {
    for time in
        ["1785585580", "1785585580000", "2026-08-01T11:59:40Z", "2026-08-01T13:59:40+02:00", "2026-08-01 11:59:40"]
    {
        for name in ["send-time", "timestamp", "sent_at"] {
            let call = android(&[("ntype", "0"), ("nfrom", "1002"), (name, time)]);
            assert_eq!(call.deadline, Some(Duration::from_secs(1_020)), "{name} {time}");
        }
    }
}

/// These are not from a vendor's page. Each says the same in another form that JSON and FCM allow.
#[test]
fn vendors_are_recognised_in_forms_that_their_pages_do_not_show() {
    use Vendor::{Acrobits, Flexisip, Mizutech, Telnyx, Twilio, Vialer};
    let cancel = ActionKind::Cancel;
    for (json, vendor, kind, caller) in [
        (
            r#"{"data":"{\"twi_message_type\":\"twilio.voice.call\",\"twi_from\":\"+15550100\"}"}"#,
            Twilio,
            &CALL,
            Some("+15550100"),
        ),
        (
            r#"{"message":{"data":{"TWI_MESSAGE_TYPE":"twilio.voice.cancel","twi_call_sid":"CA9"}}}"#,
            Twilio,
            &cancel,
            None,
        ),
        (
            r#"{"data":{"metadata":"{\"caller_number\":15550100,\"voice_sdk_id\":null}"}}"#,
            Telnyx,
            &CALL,
            Some("15550100"),
        ),
        (
            r#"{"data":"{\"metadata\":{\"voice_sdk_id\":\"v\",\"caller_number\":\"\"},\"message\":\"MISSED CALL!\"}"}"#,
            Telnyx,
            &cancel,
            None,
        ),
        (r#"{"aps":{},"type":"call","unique_key":17,"phonenumber":501234567}"#, Vialer, &CALL, Some("501234567")),
        (r#"{"data":{"type":"call","unique_key":"k","phonenumber":"SUPRESSED"}}"#, Vialer, &CALL, None),
        (r#"{"aps":{"alert":"x"},"VERB":"NotifyIncomingCall","username":1234}"#, Acrobits, &CALL, Some("1234")),
        (
            r#"{"data":"{\"verb\":\"NotifyIncomingCallAnsweredElsewhere\",\"UserName\":\"bob\"}"}"#,
            Acrobits,
            &cancel,
            Some("bob"),
        ),
        (r#"{"data":{"loc-key":"IC_MSG","loc-args":["0301234567","ignored"]}}"#, Flexisip, &CALL, Some("0301234567")),
        (r#"{"data":{"loc-key":"IC_MSG","loc-args":[301234567]}}"#, Flexisip, &CALL, Some("301234567")),
        (
            r#"{"data":{"loc-key":"IC_MSG","loc-args":[],"from-uri":"sip:bob@x","call-id":7}}"#,
            Flexisip,
            &CALL,
            Some("sip:bob@x"),
        ),
        (
            r#"{"aps":{"loc-key":"IC_MSG","loc-args":"*31#0301234"},"call-id":"c"}"#,
            Flexisip,
            &CALL,
            Some("*31#0301234"),
        ),
        (
            r#"{"message":"{\"data\":\"{\\\"ntype\\\":\\\"2\\\",\\\"nfrom\\\":\\\"1234\\\"}\"}"}"#,
            Mizutech,
            &cancel,
            Some("1234"),
        ),
        (
            r#"{"notification":{"title":"Call"},"data":" {\"ntype\":0.0,\"nfrom\":\"1234\"} "}"#,
            Mizutech,
            &CALL,
            Some("1234"),
        ),
    ] {
        let action = parse_push(json, Channel::FcmAndroid, &hints());
        assert_eq!((action.vendor, &action.kind, action.caller.as_deref()), (Some(vendor), kind, caller), "{json}");
    }
}

#[test]
fn a_date_in_words_is_read_with_the_zone_that_it_names() {
    for time in [
        "Sat, 01 Aug 2026 11:59:40 GMT",
        "1 Aug 2026 06:59:40 -0500",
        "Sat, 1 Aug 2026 07:59:40 EDT",
        "Sat Aug  1 13:59:40 CEST 2026",
        "Sat Aug 01 2026 13:59:40 GMT+0200 (Central European Summer Time)",
        "Aug 1, 2026, 11:59:40 AM",
        "August 1 2026 11:59:40 pm UTC+12",
        "2026-08-01T13:59:40+02:00[Europe/Berlin]",
        "2026/08/01 11:59:40",
        "\"2026-08-01T11:59:40Z\"",
    ] {
        let call = android(&[("ntype", "0"), ("nfrom", "1002"), ("created_at", time)]);
        assert_eq!(call.deadline, Some(Duration::from_secs(1_020)), "{time}");
    }
    for time in
        ["Sat, 01 Aug 2026", "Aug 11:59:40", "Sat Aug 1 11:59:40 XYZ 2026", "1 Aug 2026 25:00:00", "99 Aug 2026 1:00"]
    {
        let call = android(&[("ntype", "0"), ("nfrom", "1002"), ("created_at", time)]);
        assert_eq!(call.deadline, Some(Duration::from_secs(1_040)), "{time}");
    }
}

#[test]
fn a_push_says_how_long_or_until_when_it_is_of_use() {
    let left = |entries: &[(&str, &str)]| {
        let call = android(&[&[("ntype", "0"), ("nfrom", "1002")], entries].concat());
        call.deadline.expect("it is a call").as_secs() - 1_000
    };
    for (name, value, seconds) in [
        ("ttl", "20", 20),
        ("ttl", "20s", 20),
        ("time_to_live", "20.5", 20),
        ("expires", "1785585620", 20),
        ("expires_at", "2026-08-01T12:00:20Z", 20),
        ("expiry", "1785585620000", 20),
        ("expires", "20", 20),
        ("expires", "Sat, 01 Aug 2026 11:00:00 GMT", 5),
        ("expires", "2026-08-02T00:00:00Z", 40),
        ("ttl", "0s", 40),
        ("ttl", "-20", 40),
        ("ttl", "soon", 40),
    ] {
        assert_eq!(left(&[(name, value)]), seconds, "{name} {value}");
    }
    let sent = ("sent_at", "2026-08-01T11:59:50Z");
    assert_eq!(left(&[sent, ("ttl", "30")]), 20);
    assert_eq!(left(&[sent, ("expires", "1785585620")]), 20);
}

/// `String(null)` in many languages. Two calls with the Call-ID "null" are not one call.
#[test]
fn a_word_for_nothing_is_no_name_and_no_call_id() {
    for word in ["null", "NULL", "(null)", "<null>", "nil", "<nil>", "None", "undefined", "\"\""] {
        let call = android(&[
            ("ntype", word),
            ("nfrom", word),
            ("nfromusername", word),
            ("ncallid", word),
            ("ntouser", word),
            ("nmsg", "null"),
        ]);
        assert_eq!(
            (&call.kind, &call.caller, &call.display_name, &call.account),
            (&CALL, &None, &None, &None),
            "{word}"
        );
        assert!(call.identity.is_empty(), "{word}");
        let push = android(&[("msg_type", "audio"), ("send_from", "102"), ("x-push-id", word)]);
        assert_eq!((push.kind, push.identity.vendor_id), (CALL, None), "{word}");
    }
    let chat = android(&[("ntype", "1"), ("nfrom", "1002"), ("nfromusername", "Null"), ("nmsg", "None")]);
    assert_eq!((chat.text.as_deref(), chat.display_name.as_deref()), (Some("None"), Some("Null")));
}

#[test]
fn data_is_read_in_each_wrapping() {
    let inner = serde_json::json!({ "ntype": 0, "nfrom": "1002", "ncallid": "c" });
    let text = inner.to_string();
    let quoted = serde_json::json!(text).to_string();
    let twice = serde_json::json!(quoted).to_string();
    let within = serde_json::json!({ "data": text }).to_string();
    for payload in [
        serde_json::json!({ "data": quoted }).to_string(),
        serde_json::json!({ "data": twice }).to_string(),
        serde_json::json!({ "data": format!("\u{feff}{text}") }).to_string(),
        serde_json::json!({ "data": { "data": inner } }).to_string(),
        serde_json::json!({ "data": { "data": text } }).to_string(),
        serde_json::json!({ "message": { "data": within } }).to_string(),
        serde_json::json!({ "aps": { "content-available": 1, "data": inner } }).to_string(),
        quoted,
        serde_json::json!(within).to_string(),
    ] {
        for channel in CHANNELS {
            let call = parse_push(payload.as_str(), channel, &hints());
            assert_eq!((&call.kind, call.vendor), (&CALL, Some(Vendor::Mizutech)), "{payload}");
            assert_eq!(
                (call.caller.as_deref(), call.identity.call_id.as_deref()),
                (Some("1002"), Some("c")),
                "{payload}"
            );
        }
    }
    let alert = parse_push(r#"{"aps":{"alert":"\"Hello\""}}"#, Channel::ApnsAlert, &hints());
    assert_eq!(alert.text.as_deref(), Some("\"Hello\""), "a text in quotes stays one");
    let deep = format!("{}1{}", r#"{"data":"#.repeat(5_000), "}".repeat(5_000));
    assert_eq!(parse_push(deep.as_str(), Channel::FcmAndroid, &hints()).problem, Some(Problem::Unrecognised));
}

#[test]
fn name_and_address_are_told_apart_in_one_field() {
    for (nfrom, caller, name) in [
        (r#""Bob B" <sip:1002@example.com>;tag=1"#, "sip:1002@example.com", Some("Bob B")),
        (r#""Bob \"B\" <3" <SIPS:1002@x;user=phone>"#, "SIPS:1002@x;user=phone", Some("Bob \"B\" <3")),
        ("Bob <tel:1002;ext=5>", "tel:1002;ext=5", Some("Bob")),
        (r#""" <sip:1002@x>"#, "sip:1002@x", None),
        ("<sip:1002@x:5061>", "sip:1002@x:5061", None),
    ] {
        let call = android(&[("ntype", "0"), ("nfrom", nfrom)]);
        assert_eq!((call.caller.as_deref(), call.display_name.as_deref()), (Some(caller), name), "{nfrom}");
        let flexisip = android(&[("loc-key", "IC_MSG"), ("loc-args", nfrom)]);
        assert_eq!((flexisip.caller.as_deref(), flexisip.display_name.as_deref()), (Some(caller), name), "{nfrom}");
        assert_eq!(call.identity.caller.as_deref(), Some("1002"), "{nfrom}");
        assert_eq!(flexisip.identity, call.identity);
    }
    for nfrom in [r#""Bob" <sip:1002@x>"#, r#""Bob""#] {
        let call = android(&[("ntype", "0"), ("nfrom", nfrom), ("nfromusername", "1002")]);
        assert_eq!((call.caller.as_deref(), call.display_name.as_deref()), (Some("1002"), Some("Bob")), "{nfrom}");
    }
    let name = "Bob <b> & <3";
    assert_eq!(android(&[("ntype", "0"), ("nfrom", name)]).caller.as_deref(), Some(name));
}

#[test]
fn a_type_is_read_in_upper_and_lower_case() {
    for entries in [
        [("msg_type", "AUDIO"), ("send_from", "1002")],
        [("verb", "notifyincomingcall"), ("UserName", "1002")],
        [("twi_message_type", "Twilio.Voice.Call"), ("twi_from", "1002")],
        [("loc-key", "ic_msg"), ("from-uri", "1002")],
        [("type", "CALL"), ("phonenumber", "1002")],
    ] {
        let call = android(&entries);
        assert_eq!((&call.kind, call.caller.as_deref()), (&CALL, Some("1002")), "{entries:?}");
    }
    let fax = android(&[("msg_type", "Fax"), ("send_from", "1")]);
    assert_eq!(fax.kind, ActionKind::Custom { ntype: "Fax".to_owned() });
}

#[test]
fn a_time_is_read_in_each_form_of_json() {
    for time in [
        "1785585580",
        "1785585580.0",
        "1785585580000.0",
        "1785585580000.25",
        "\"2026-08-01T13:59:40+0200\"",
        "1.78558558e9",
        "\"1785585580000000\"",
        "\" 2026-08-01T11:59:40,5+00:00 \"",
    ] {
        let json = format!(r#"{{"data":{{"ntype":"0","nfrom":"1002","send-time":{time}}}}}"#);
        let call = parse_push(json.as_str(), Channel::FcmAndroid, &hints());
        assert_eq!(call.deadline, Some(Duration::from_secs(1_020)), "{time}");
    }
}

#[test]
fn a_push_with_its_own_title_is_shown() {
    let custom = android(&[("ntype", "3"), ("title", "Voicemail"), ("nmsg", "2 new messages")]);
    assert_eq!((custom.duty, custom.title.as_deref()), (NOTIFICATION, Some("Voicemail")));
    assert_eq!(android(&[("ntype", "3"), ("nmsg", "{}")]).duty, Duty::Nothing, "it is the app's to read");
    let message = r#"{"message":{"notification":{"title":"Voicemail","body":"2 new messages"},"data":{"shop":"1"}}}"#;
    let unknown = parse_push(message, Channel::FcmAndroid, &hints());
    assert_eq!((unknown.kind, unknown.duty), (ActionKind::Custom { ntype: String::new() }, NOTIFICATION));
    assert_eq!((unknown.title.as_deref(), unknown.text.as_deref()), (Some("Voicemail"), Some("2 new messages")));
    let behind = Hints { app_state: AppState::Background, ..hints() };
    assert_eq!(parse_push(message, Channel::FcmIos, &behind).duty, Duty::Nothing, "iOS has shown it");
}

#[test]
fn where_only_sealed_pushes_count_unsealed_fields_are_ignored() {
    let sealed = |payload: &str, channel| parse_sealed_push(&Rot13, payload, channel, &hints());
    let opened = sealed(r#"{"type":"call","enc":"bcde"}"#, Channel::PushKit);
    assert_eq!((opened.caller.as_deref(), opened.unverified), (Some("1234"), false));
    let forged = sealed(MIZUTECH_PUSHKIT, Channel::PushKit);
    assert_eq!((&forged.kind, forged.duty, forged.problem), (&CALL, Duty::ReportCall, Some(Problem::NotSealed)));
    assert_eq!((&forged.caller, &forged.display_name, &forged.title, &forged.text), (&None, &None, &None, &None));
    assert!(forged.identity.is_empty() && forged.account.is_none() && forged.unverified);
    let cancel = sealed(r#"{"ntype":"2","ncallid":"abcdef"}"#, Channel::FcmAndroid);
    assert_eq!((cancel.kind, cancel.duty), (ActionKind::RefreshBinding, Duty::Nothing));
    assert!(pushkit(MIZUTECH_PUSHKIT).unverified);
}

struct Rot13;

impl Decryptor for Rot13 {
    fn decrypt(&self, payload: Payload<'_>) -> Option<HashMap<String, String>> {
        let Payload::Bytes(bytes) = payload else { return None };
        let number = bytes.strip_prefix(br#"{"type":"call","enc":""#)?.strip_suffix(br#""}"#)?;
        let number: String = number.iter().map(|byte| char::from(byte - b'a' + b'0')).collect();
        Some(map(&[("ntype", "0"), ("nfrom", &number)]))
    }
}

#[test]
fn a_decryptor_opens_what_is_encrypted_and_its_failure_is_still_a_call_over_pushkit() {
    let opened = parse_push_with(&Rot13, r#"{"type":"call","enc":"bcde"}"#, Channel::PushKit, &hints());
    assert_eq!((opened.caller.as_deref(), opened.duty), (Some("1234"), Duty::ReportCall));
    let closed = parse_push_with(&Rot13, r#"{"type":"call","enc":7}"#, Channel::PushKit, &hints());
    assert_eq!((closed.kind, closed.caller, closed.duty), (CALL, None, Duty::ReportCall));
    let clear = parse_push_with(&Rot13, MIZUTECH_PUSHKIT, Channel::PushKit, &hints());
    assert_eq!(clear, pushkit(MIZUTECH_PUSHKIT));
}

#[test]
fn debug_shows_no_text_of_a_message() {
    let chat = android(&[("ntype", "1"), ("nfrom", "1002"), ("nmsg", "the code is 4711"), ("title", "From your bank")]);
    assert_eq!(chat.text.as_deref(), Some("the code is 4711"));
    let debug = format!("{chat:?}");
    assert!(!debug.contains("4711") && !debug.contains("bank"), "{debug}");
    assert!(debug.contains("text_length: Some(16)"), "{debug}");
}

#[test]
fn long_texts_are_cut() {
    let long = "x".repeat(10_000);
    let action = android(&[("ntype", &long), ("nfrom", &long), ("nmsg", &long), ("ncallid", &long)]);
    assert_eq!(action.kind, ActionKind::Custom { ntype: "x".repeat(256) });
    assert_eq!(action.caller.map(|caller| caller.len()), Some(256));
    assert_eq!(action.text.map(|text| text.len()), Some(4096));
    assert_eq!(action.identity.call_id, None);
}

#[test]
fn an_action_is_written_as_json() {
    let json = serde_json::to_value(pushkit(MIZUTECH_PUSHKIT)).expect("an action has text keys only");
    assert_eq!(json["kind"]["type"], "incoming_call");
    assert_eq!(json["duty"]["type"], "report_call");
    assert_eq!(json["vendor"], "mizutech");
    assert_eq!(json["deadline_ms"], 1_040_000);
    assert_eq!(json["uuid"], "d6ddfc5b-bf4c-5af7-a8b8-257ee6ae29b4");
}

fn any_channel() -> impl Strategy<Value = Channel> {
    prop::sample::select(&CHANNELS[..])
}

fn any_hints() -> impl Strategy<Value = Hints> {
    let priority = || option::of(prop::sample::select(&[Priority::High, Priority::Normal][..]));
    let states = [AppState::Unknown, AppState::Foreground, AppState::Background, AppState::NotRunning];
    (option::of(any::<bool>()), priority(), priority(), prop::sample::select(states.to_vec()), any::<[Duration; 2]>())
        .prop_map(|(must_report, delivered_priority, original_priority, app_state, [boot, wall])| Hints {
            must_report,
            delivered_priority,
            original_priority,
            app_state,
            received: Now::new(boot, wall),
        })
}

fn any_name() -> impl Strategy<Value = String> {
    let known = [
        "ntype",
        "nfrom",
        "nfromusername",
        "nmsg",
        "ncallid",
        "ntouser",
        "ntousr",
        "title",
        "body",
        "loc-key",
        "loc-args",
        "call-id",
        "send-time",
        "from-uri",
        "form-uri",
        "sip-from",
        "display-name",
        "pn_ttl",
        "msg_type",
        "msg_content",
        "send_from",
        "send_to",
        "x-push-id",
        "portsip-push-id",
        "mime_type",
        "aps",
        "data",
        "alert",
        "message",
        "notification",
        "android",
        "metadata",
        "timestamp",
        "ttl",
        "expires",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,20}"]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[\\x00-\\x1f\u{202a}-\u{202e}\u{2066}-\u{2069}a ]{0,12}",
        "[0-9.]{1,5}",
        "IC_MSG|IM_MSG|IC_SIL",
        r#"["\\ A-C]{0,6}<?(sip|tel):[a-c@;]{0,6}>?[;<>"]{0,3}"#,
        "(Sat, )?[0-9]{1,3} (Aug|AM|pm) [0-9]{2,20} [0-9]{1,3}:[0-9:]{1,4} ?(GMT|EST)?[+-]?[0-9:]{0,5}",
        r#"[0-9]{1,20}s?|"{1,3}[{}\\" ]{0,8}"{0,3}"#
    ]
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        6 => any_text().prop_map(serde_json::Value::from),
        1 => any::<i64>().prop_map(serde_json::Value::from),
        1 => any::<f64>().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        prop_oneof![
            4 => hash_map(any_name(), inner.clone(), 0..8).prop_map(|map| map.into_iter().collect()),
            1 => vec(inner, 0..4).prop_map(serde_json::Value::from),
        ]
    })
}

fn check(action: &PushAction, channel: Channel, hints: &Hints) -> Result<(), TestCaseError> {
    if channel == Channel::PushKit && hints.must_report != Some(false) {
        prop_assert!(action.must_be_reported());
    }
    if channel != Channel::PushKit {
        prop_assert!(!action.must_be_reported());
    }
    prop_assert_eq!(action.is_call(), action.deadline.is_some());
    prop_assert_eq!(action.vendor.is_none(), action.problem.is_some());
    let shown = [&action.caller, &action.display_name, &action.title, &action.text, &action.account];
    for text in shown.into_iter().flatten() {
        prop_assert!(!text.trim().is_empty());
        prop_assert!(!text.chars().any(|c| c.is_control() || crate::error::is_bidirectional_control(c)), "{:?}", text);
        prop_assert!(text.chars().count() <= 4096);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_give_an_action(bytes in vec(any::<u8>(), 0..400), channel in any_channel(), hints in any_hints()) {
        let action = parse_push(&bytes, channel, &hints);
        check(&action, channel, &hints)?;
        prop_assert_eq!(action, parse_push(&bytes, channel, &hints));
    }

    #[test]
    fn any_json_gives_an_action(json in any_json(), channel in any_channel(), hints in any_hints()) {
        let text = json.to_string();
        let action = parse_push(text.as_str(), channel, &hints);
        check(&action, channel, &hints)?;
        prop_assert_eq!(action, parse_push(text.as_str(), channel, &hints));
    }

    #[test]
    fn any_map_gives_an_action(
        map in hash_map(any_name(), any_text(), 0..10),
        channel in any_channel(),
        hints in any_hints(),
    ) {
        let action = parse_push(&map, channel, &hints);
        check(&action, channel, &hints)?;
        let shuffled: HashMap<_, _> = map.clone().into_iter().collect();
        prop_assert_eq!(action, parse_push(&shuffled, channel, &hints));
    }

    #[test]
    fn a_truncated_payload_gives_an_action(end in 0..MIZUTECH_PUSHKIT.len(), channel in any_channel()) {
        let action = parse_push(&MIZUTECH_PUSHKIT.as_bytes()[..end], channel, &hints());
        check(&action, channel, &hints())?;
        prop_assert!(action.problem.is_some());
    }

    #[test]
    fn the_uuid_of_a_call_depends_only_on_its_call_id(
        id in "[a-zA-Z0-9@.~-]{1,60}", from in any_text(), channel in any_channel(), hints in any_hints(),
    ) {
        prop_assume!(id != "CALLID");
        let map = map(&[("ntype", "0"), ("nfrom", &from), ("ncallid", &id)]);
        let identity = CallIdentity::new(Some(&id), None, None, None);
        prop_assert_eq!(parse_push(&map, channel, &hints).uuid, call_uuid(&identity));
    }
}
