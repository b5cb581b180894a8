//! The requests of the control port: each op with its own fields, and nothing else.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::binding::Scripted;
use crate::call::{CallOptions, CallState, Phase, PlannedEnd, PushWhen};
use crate::digest::{Algorithm, Challenges, Offer};
use crate::faults::{Action, Fault, Kind};
use crate::habits::Habit;
use crate::profile::Profile;
use crate::push::PushKind;
use crate::record::Direction;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    Hello {
        code: String,
    },
    Info {},
    SetUser {
        user: String,
        password: String,
        auth_name: Option<String>,
        profile: Option<ProfileName>,
    },
    SetProfile {
        user: Option<String>,
        profile: ProfileName,
        #[serde(default)]
        flags: Flags,
    },
    ChangeProfile {
        user: Option<String>,
        flags: Flags,
    },
    SetHabits {
        user: Option<String>,
        habits: Vec<Habit>,
    },
    SetChallenge(SetChallenge),
    SetRealm {
        realm: String,
    },
    SealFor {
        user: String,
        p256dh: String,
        auth: String,
    },
    ForgetNonces {},
    Script {
        user: String,
        replies: Vec<Reply>,
    },
    PlaceCall(Box<CallFields>),
    SendChat(Box<CallFields>),
    Call {
        call: u64,
    },
    Calls {},
    WaitCall {
        call: u64,
        state: Option<StateName>,
        timeout_ms: Option<Ms>,
    },
    Cancel {
        call: u64,
    },
    AnsweredElsewhere {
        call: u64,
    },
    Bye {
        call: u64,
    },
    Reinvite {
        call: u64,
        sdp: Option<String>,
    },
    Options {
        call: u64,
    },
    Bindings {
        user: String,
    },
    ExpireBinding {
        user: String,
    },
    Sleep {
        user: String,
        #[serde(default)]
        close: bool,
    },
    SendPush {
        user: String,
        ntype: Option<Ntype>,
        #[serde(default)]
        text: String,
        payload: Option<Value>,
    },
    SetDelivery {
        token: String,
        delivery: DeliveryName,
        delay_ms: Option<Ms>,
    },
    Pushes {},
    Messages {
        #[serde(default)]
        after: u64,
    },
    WaitMessage(WaitMessage),
    Ladder {
        #[serde(default)]
        after: u64,
    },
    Violations {},
    ClearMessages {},
    Faults {
        faults: Vec<FaultFields>,
    },
    ClearFaults {},
    Upstream {
        user: String,
    },
    RefreshUpstream {
        user: String,
    },
    Restart {
        #[serde(default)]
        keep_bindings: bool,
    },
    Shutdown {},
    Subscribe {
        what: Vec<What>,
        token: Option<String>,
        #[serde(default)]
        after: u64,
    },
}

impl Request {
    /// Reads `{"op": …, …}` after `id` was removed.
    pub(crate) fn read(mut fields: Map<String, Value>) -> Result<Request, String> {
        let op = match fields.remove("op") {
            Some(Value::String(op)) => op,
            Some(_) => return Err("op: must be a text".into()),
            None => return Err("op is missing".into()),
        };
        let tagged = Value::Object(Map::from_iter([(op, Value::Object(fields))]));
        serde_path_to_error::deserialize(tagged).map_err(|error| error.to_string())
    }

    /// Returns the user that it names.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Request::SetProfile { user, .. }
            | Request::ChangeProfile { user, .. }
            | Request::SetHabits { user, .. } => user.as_deref(),
            Request::SetChallenge(challenge) => challenge.user.as_deref(),
            Request::PlaceCall(call) | Request::SendChat(call) => Some(&call.user),
            Request::Script { user, .. }
            | Request::Bindings { user }
            | Request::ExpireBinding { user }
            | Request::Sleep { user, .. }
            | Request::SendPush { user, .. }
            | Request::Upstream { user }
            | Request::RefreshUpstream { user } => Some(user),
            _ => None,
        }
    }
}

/// Milliseconds, at most a day.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Ms(u64);

impl Ms {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.0.min(86_400_000))
    }
}

/// Tells `null` from a missing key.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A type whose value is read from the text or number of another type.
macro_rules! parsed {
    ($(#[$doc:meta])* $name:ident($of:ty) from $raw:ty, $read:expr, $expected:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name(pub(crate) $of);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
                let raw = <$raw>::deserialize(value)?;
                let read: fn(&$raw) -> Option<$of> = $read;
                read(&raw).map($name).ok_or_else(|| serde::de::Error::custom(format!("{raw:?} is unknown: {}", $expected)))
            }
        }
    };
}

parsed!(ProfileName(Profile) from String, |name| Profile::named(name), Profile::NAMES.join(", "));
parsed!(AlgorithmName(Algorithm) from String, |name| Algorithm::from_token(name), "MD5, MD5-sess, SHA-256, SHA-512-256");
parsed!(Ntype(PushKind) from u64, |number| PushKind::from_number(*number), "0 to 4");
parsed!(Status(u16) from u16, |status| (100..700).contains(status).then_some(*status), "100 to 699");
parsed!(
    /// A state, or `over` for all states that end a call.
    StateName(String) from String,
    |name| (name == "over" || CallState::NAMES.contains(&name.as_str())).then(|| name.clone()),
    format!("over, {}", CallState::NAMES.join(", "))
);
parsed!(Method(String) from String, |name| METHODS.contains(&name.as_str()).then(|| name.clone()), METHODS.join(", "));

const METHODS: [&str; 14] = [
    "REGISTER",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "MESSAGE",
    "INFO",
    "UPDATE",
    "PRACK",
    "NOTIFY",
    "SUBSCRIBE",
    "REFER",
    "PUBLISH",
];

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Pushes,
    Messages,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryName {
    Prompt,
    Late,
    Lost,
    Twice,
    Unregistered,
}

/// Single flags of a profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flags {
    sends_555: Option<bool>,
    keeps_push: Option<bool>,
    purr: Option<bool>,
    strips_pn: Option<bool>,
    query_leaves_binding: Option<bool>,
    registers_upstream: Option<bool>,
    sends_refresh_push: Option<bool>,
    sends_cancel_push: Option<bool>,
    providers: Option<Vec<String>>,
    #[serde(default, deserialize_with = "said")]
    pnsreg: Option<Option<u32>>,
    min_expires: Option<u32>,
    max_expires: Option<u32>,
    #[serde(default, deserialize_with = "said")]
    service_route: Option<Option<String>>,
    #[serde(default, deserialize_with = "said")]
    auth_uri: Option<Option<String>>,
    #[serde(default, deserialize_with = "said")]
    vapid: Option<Option<String>>,
    hold_ms: Option<Ms>,
    silence_ms: Option<Ms>,
}

impl Flags {
    pub(crate) fn change(self, profile: &mut Profile) {
        fn set<T>(flag: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *flag = value;
            }
        }
        set(&mut profile.sends_555, self.sends_555);
        set(&mut profile.keeps_push, self.keeps_push);
        set(&mut profile.purr, self.purr);
        set(&mut profile.strips_pn, self.strips_pn);
        set(&mut profile.query_leaves_binding, self.query_leaves_binding);
        set(&mut profile.registers_upstream, self.registers_upstream);
        set(&mut profile.sends_refresh_push, self.sends_refresh_push);
        set(&mut profile.sends_cancel_push, self.sends_cancel_push);
        set(&mut profile.providers, self.providers);
        set(&mut profile.pnsreg, self.pnsreg);
        set(&mut profile.min_expires, self.min_expires);
        set(&mut profile.max_expires, self.max_expires);
        set(&mut profile.service_route, self.service_route);
        set(&mut profile.auth_uri, self.auth_uri);
        set(&mut profile.vapid, self.vapid);
        set(&mut profile.hold, self.hold_ms.map(Ms::duration));
        set(&mut profile.silence, self.silence_ms.map(Ms::duration));
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetChallenge {
    pub(crate) user: Option<String>,
    #[serde(default)]
    offers: Vec<OfferFields>,
    status: Option<Status>,
    stale_flag: Option<bool>,
    nonce_life_ms: Option<Ms>,
    nonce_uses: Option<u32>,
    #[serde(default)]
    nextnonce: bool,
    opaque: Option<String>,
    wrong_password_status: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferFields {
    algorithm: Option<AlgorithmName>,
    #[serde(default, deserialize_with = "said")]
    qop: Option<Option<String>>,
    names_algorithm: Option<bool>,
}

impl SetChallenge {
    pub(crate) fn challenges(self) -> Challenges {
        let plain = Challenges::none();
        let offer = |fields: OfferFields| Offer {
            algorithm: fields.algorithm.map_or(Algorithm::Md5, |name| name.0),
            qop: fields.qop.unwrap_or_else(|| Some("auth".into())),
            names_algorithm: fields.names_algorithm.unwrap_or(true),
        };
        Challenges {
            offers: self.offers.into_iter().map(offer).collect(),
            status: self.status.map_or(plain.status, |status| status.0),
            stale_flag: self.stale_flag.unwrap_or(plain.stale_flag),
            nonce_life: self.nonce_life_ms.map_or(plain.nonce_life, Ms::duration),
            nonce_uses: self.nonce_uses,
            nextnonce: self.nextnonce,
            opaque: self.opaque,
            wrong_password_status: self.wrong_password_status.map_or(plain.wrong_password_status, |status| status.0),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reply {
    status: Status,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    after_auth: bool,
}

impl Reply {
    pub(crate) fn scripted(self) -> Scripted {
        Scripted { status: self.status.0, headers: self.headers, after_auth: self.after_auth }
    }
}

/// A call or chat to place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallFields {
    pub(crate) user: String,
    /// Only for a chat.
    pub(crate) text: Option<String>,
    from: Option<String>,
    display: Option<String>,
    #[serde(default, deserialize_with = "said")]
    sdp: Option<Option<String>>,
    content_type: Option<String>,
    ring_time_ms: Option<Ms>,
    hold_ms: Option<Ms>,
    push: Option<PushName>,
    payload: Option<Value>,
    end: Option<EndFields>,
    #[serde(default)]
    lose_acks: u32,
    #[serde(default)]
    headers: Vec<(String, String)>,
    call_id: Option<String>,
    #[serde(default)]
    record_route: bool,
    #[serde(default)]
    before_200: bool,
    invite_delay_ms: Option<Ms>,
    #[serde(default)]
    merged: bool,
    #[serde(default)]
    challenges: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PushName {
    Asleep,
    Always,
    Never,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndFields {
    phase: PhaseName,
    after_ms: Option<Ms>,
    #[serde(default)]
    elsewhere: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PhaseName {
    Placed,
    Pushed,
    Invited,
    Ringing,
    Answered,
}

impl CallFields {
    pub(crate) fn options(self) -> CallOptions {
        let plain = CallOptions::default();
        let end = |end: EndFields| PlannedEnd {
            phase: match end.phase {
                PhaseName::Placed => Phase::Placed,
                PhaseName::Pushed => Phase::Pushed,
                PhaseName::Invited => Phase::Invited,
                PhaseName::Ringing => Phase::Ringing,
                PhaseName::Answered => Phase::Answered,
            },
            after: end.after_ms.map_or(Duration::ZERO, Ms::duration),
            elsewhere: end.elsewhere,
        };
        CallOptions {
            display: self.display.or(if self.from.is_some() { None } else { plain.display }),
            from: self.from.unwrap_or(plain.from),
            body: self.sdp.unwrap_or(plain.body),
            content_type: self.content_type.unwrap_or(plain.content_type),
            ring_time: self.ring_time_ms.map_or(plain.ring_time, Ms::duration),
            hold: self.hold_ms.map(Ms::duration),
            push: match self.push {
                None | Some(PushName::Asleep) => PushWhen::Asleep,
                Some(PushName::Always) => PushWhen::Always,
                Some(PushName::Never) => PushWhen::Never,
            },
            payload: self.payload,
            end: self.end.map(end),
            lose_acks: self.lose_acks,
            headers: self.headers,
            call_id: self.call_id,
            record_route: self.record_route,
            before_200: self.before_200,
            invite_delay: self.invite_delay_ms.map_or(Duration::ZERO, Ms::duration),
            merged: self.merged,
            challenges: self.challenges,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitMessage {
    pub(crate) method: Option<Method>,
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default)]
    pub(crate) direction: DirectionName,
    pub(crate) status: Option<Status>,
    pub(crate) contains: Option<String>,
    pub(crate) timeout_ms: Option<Ms>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DirectionName {
    Sent,
    #[default]
    Received,
    Any,
}

impl DirectionName {
    pub(crate) fn direction(self) -> Option<Direction> {
        match self {
            DirectionName::Sent => Some(Direction::Sent),
            DirectionName::Received => Some(Direction::Received),
            DirectionName::Any => None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultFields {
    action: ActionName,
    delay_ms: Option<Ms>,
    text: Option<String>,
    direction: Option<DirectionName>,
    kind: Option<KindName>,
    method: Option<Method>,
    status: Option<Status>,
    #[serde(default)]
    skip: u32,
    count: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum ActionName {
    Drop,
    Delay,
    Duplicate,
    Reorder,
    Garbage,
    Half,
    Close,
    Reset,
    WrongBranch,
    ForeignResponse,
    Replace,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum KindName {
    Any,
    Request,
    Response,
}

impl FaultFields {
    /// # Errors
    /// Fields that do not go together, and would hit nothing or something else than meant.
    pub(crate) fn fault(self) -> Result<Fault, String> {
        let on_sent_only = matches!(
            self.action,
            ActionName::Garbage
                | ActionName::Half
                | ActionName::WrongBranch
                | ActionName::ForeignResponse
                | ActionName::Replace
        );
        if on_sent_only && matches!(self.direction, Some(DirectionName::Received | DirectionName::Any)) {
            return Err("direction: this action is for sent messages".into());
        }
        if self.status.is_some() && self.kind == Some(KindName::Request) {
            return Err("status: a request has none".into());
        }
        if self.delay_ms.is_some() && self.action != ActionName::Delay {
            return Err("delay_ms: goes with the action delay".into());
        }
        if self.text.is_some() != (self.action == ActionName::Replace) {
            return Err("text: goes with the action replace, which needs it".into());
        }
        if self.count == Some(0) {
            return Err("count: at least 1".into());
        }
        let direction = match self.direction {
            None if on_sent_only => Some(Direction::Sent),
            None => None,
            Some(name) => name.direction(),
        };
        Ok(Fault {
            direction,
            kind: match self.kind {
                None | Some(KindName::Any) => Kind::Any,
                Some(KindName::Request) => Kind::Request,
                Some(KindName::Response) => Kind::Response,
            },
            method: self.method.map(|method| method.0),
            status: self.status.map(|status| status.0),
            skip: self.skip,
            count: self.count.unwrap_or(1),
            action: match self.action {
                ActionName::Drop => Action::Drop,
                ActionName::Delay => Action::Delay(self.delay_ms.map_or(Duration::from_millis(500), Ms::duration)),
                ActionName::Duplicate => Action::Duplicate,
                ActionName::Reorder => Action::Reorder,
                ActionName::Garbage => Action::Garbage,
                ActionName::Half => Action::Half,
                ActionName::Close => Action::Close,
                ActionName::Reset => Action::Reset,
                ActionName::WrongBranch => Action::WrongBranch,
                ActionName::ForeignResponse => Action::ForeignResponse,
                ActionName::Replace => Action::Replace(self.text.unwrap_or_default()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(request: Value) -> Result<Request, String> {
        let Value::Object(fields) = request else { panic!("an object") };
        Request::read(fields)
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_name() {
        for (request, named) in [
            (json!({"op": "plcae_call", "user": "alice"}), "plcae_call"),
            (json!({"op": 7}), "op"),
            (json!({}), "op"),
            (json!({"op": "info", "verbose": true}), "verbose"),
            (json!({"op": "place_call", "user": "alice", "ring_time": 5}), "ring_time"),
            (json!({"op": "place_call"}), "user"),
            (json!({"op": "place_call", "user": "alice", "push": "alwasy"}), "alwasy"),
            (json!({"op": "change_profile", "flags": {"send_555": true}}), "send_555"),
            (json!({"op": "change_profile", "flags": {"sends_555": "yes"}}), "sends_555"),
            (json!({"op": "set_profile", "profile": "asterix"}), "asterix"),
            (json!({"op": "set_habits", "habits": ["contact-rewriten"]}), "contact-rewriten"),
            (json!({"op": "wait_message", "direction": "recieved"}), "recieved"),
            (json!({"op": "wait_message", "method": "REGSITER"}), "REGSITER"),
            (json!({"op": "wait_message", "status": 2000}), "status"),
            (json!({"op": "wait_call", "call": 1, "state": "answerd"}), "answerd"),
            (json!({"op": "faults", "faults": [{"action": "drop", "methd": "INVITE"}]}), "methd"),
            (json!({"op": "faults", "faults": [{"action": "explode"}]}), "explode"),
            (
                json!({"op": "script", "user": "alice", "replies": [{"status": 503, "headers": ["Retry-After"]}]}),
                "headers",
            ),
            (json!({"op": "set_challenge", "offers": [{"algorithm": "MD6"}]}), "MD6"),
            (json!({"op": "subscribe", "what": ["pushs"]}), "pushs"),
            (json!({"op": "send_push", "user": "alice", "ntype": 9}), "ntype"),
            (json!({"op": "set_delivery", "token": "t", "delivery": "slow"}), "slow"),
        ] {
            let refused = read(request.clone()).expect_err(&request.to_string());
            assert!(refused.contains(named), "{request}: {refused}");
        }
    }

    #[test]
    fn each_operation_of_the_readme_works_and_refuses_an_unknown_key() {
        let readme = include_str!("../README.md");
        let examples = readme.split('`').filter(|text| text.starts_with('{') && text.contains("\"op\""));
        let mut operations = std::collections::BTreeSet::new();
        for text in examples {
            let example = text.replace("{…}", "{}");
            let Ok(Value::Object(mut fields)) = serde_json::from_str(&example) else { panic!("{text}") };
            fields.remove("id");
            operations.insert(fields["op"].to_string());
            assert!(Request::read(fields.clone()).is_ok(), "{text}: {:?}", Request::read(fields));
            fields.insert("surplus".to_owned(), json!(1));
            let refused = Request::read(fields).expect_err(text);
            assert!(refused.contains("surplus"), "{text}: {refused}");
        }
        assert!(operations.len() > 25, "{operations:?}");
    }

    #[test]
    fn a_null_is_told_from_a_missing_key() {
        let sdp = |request| match read(request) {
            Ok(Request::PlaceCall(call)) => call.options().body,
            other => panic!("{other:?}"),
        };
        assert_eq!(sdp(json!({"op": "place_call", "user": "alice", "sdp": null})), None);
        assert!(sdp(json!({"op": "place_call", "user": "alice"})).is_some());
    }

    #[test]
    fn fault_fields_that_exclude_each_other_are_refused() {
        for fault in [
            json!({"action": "garbage", "direction": "received"}),
            json!({"action": "drop", "kind": "request", "status": 200}),
            json!({"action": "drop", "delay_ms": 5}),
            json!({"action": "replace"}),
            json!({"action": "drop", "count": 0}),
        ] {
            let fields: FaultFields = serde_json::from_value(fault.clone()).expect("each field alone is sound");
            assert!(fields.fault().is_err(), "{fault}");
        }
    }
}
