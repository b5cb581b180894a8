//! The fake APNs and FCM: payloads as a server would send them, in a queue for each token.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::digest::md5_hex;
use crate::profile::Payload;
use crate::seal;
use crate::tags::{Channel, PushTarget};

/// The subject of a push. The number is Mizutech's `ntype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushKind {
    /// 0: an incoming call.
    Call,
    /// 1: a chat message.
    Chat,
    /// 2: the call was cancelled.
    Cancel,
    /// 3: anything else.
    Custom,
    /// 4: register again.
    Refresh,
}

impl PushKind {
    /// Returns the `ntype`.
    pub fn number(self) -> u8 {
        match self {
            PushKind::Call => 0,
            PushKind::Chat => 1,
            PushKind::Cancel => 2,
            PushKind::Custom => 3,
            PushKind::Refresh => 4,
        }
    }

    /// Reads the `ntype`.
    pub fn from_number(number: u64) -> Option<PushKind> {
        [PushKind::Call, PushKind::Chat, PushKind::Cancel, PushKind::Custom, PushKind::Refresh]
            .into_iter()
            .find(|k| u64::from(k.number()) == number)
    }
}

/// The content of a push.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its kind.
    pub kind: PushKind,
    /// The caller's number or user name.
    pub from: String,
    /// The caller's SIP URI.
    pub from_uri: String,
    /// The caller's display name; the number if there is none.
    pub display: String,
    /// The user called.
    pub to: String,
    /// Text of a chat, or of a custom push.
    pub text: String,
    /// Call-ID of the request that follows; empty if there is none.
    pub call_id: String,
    /// PortSIP's push id.
    pub push_id: String,
}

/// How a push service treats a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    #[default]
    Prompt,
    /// Later.
    Late(Duration),
    /// Accepted and never delivered.
    Lost,
    /// Twice.
    Twice,
    /// Refused: the token is no longer registered.
    Unregistered,
}

/// A push, as the push service got it.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// Counts from 1 and never repeats.
    pub seq: u64,
    /// Time since the mock started.
    pub at: Duration,
    /// The user it is for.
    pub user: String,
    /// Where it goes.
    pub target: PushTarget,
    /// The push service.
    pub channel: Channel,
    /// The payload the app receives.
    pub payload: Value,
    /// Its kind.
    pub kind: PushKind,
    /// Call-ID of the request that follows; empty if there is none.
    pub call_id: String,
    /// Whether the push service refused it: the token is dead.
    pub unregistered: bool,
}

/// Shapes the payload of a push as the app receives it (what a vendor sends over which service).
pub fn payload(vendor: Payload, channel: Channel, content: &Content) -> Value {
    match (vendor, channel) {
        (Payload::Mizutech, channel) => mizutech(channel, content),
        (Payload::Flexisip, Channel::PushKit) => flexisip_voip(content),
        (Payload::Flexisip, _) => flexisip_fcm(content),
        (Payload::PortSip, Channel::PushKit) => {
            let mut map = portsip(content);
            map.insert("aps".into(), alert(content));
            Value::Object(map)
        }
        (Payload::PortSip, _) => Value::Object(portsip(content)),
        (Payload::Bare, Channel::PushKit) => json!({ "aps": {} }),
        (Payload::Bare, _) => json!({}),
    }
}

/// Makes a payload that the push service cannot read.
pub(crate) fn sealed_payload(channel: Channel, p256dh: &str, auth: &str, content: &Value) -> Value {
    let text = content.to_string();
    // A text that is too long for a push is left out, so that it is not readable for everybody.
    let sealed = seal::sealed(p256dh, auth, text.as_bytes()).or_else(|_| seal::sealed(p256dh, auth, b"{}"));
    let mut map = Map::from_iter([("sealed".to_owned(), json!(sealed.unwrap_or_default()))]);
    if matches!(channel, Channel::PushKit | Channel::FcmIos) {
        map.insert("aps".into(), json!({ "content-available": 1, "mutable-content": 1 }));
    }
    Value::Object(map)
}

fn title(content: &Content) -> String {
    match content.kind {
        PushKind::Call => format!("Call from {}", content.from),
        PushKind::Chat => format!("Message from {}", content.from),
        PushKind::Cancel => format!("Missed call from {}", content.from),
        PushKind::Custom | PushKind::Refresh => String::new(),
    }
}

fn body(content: &Content) -> String {
    match content.kind {
        PushKind::Call => format!("Incoming VoIP call from {}", content.display),
        _ => content.text.clone(),
    }
}

fn alert(content: &Content) -> Value {
    json!({
        "alert": { "title": title(content), "body": body(content) },
        "content-available": 1, "sound": "default", "badge": 1
    })
}

fn mizutech(channel: Channel, content: &Content) -> Value {
    let kind = content.kind.number();
    let text = if content.kind == PushKind::Call { body(content) } else { content.text.clone() };
    let number = if channel == Channel::PushKit { json!(kind) } else { json!(kind.to_string()) };
    let data = json!({
        "ntype": number,
        "nfromusername": content.display,
        "nfrom": content.from,
        "nmsg": text,
        "ncallid": content.call_id,
        "ntouser": content.to,
    });
    match channel {
        Channel::Fcm | Channel::Web => data,
        Channel::PushKit => json!({
            "headers": { "apns-priority": 10, "apns-expiration": 0, "apns-push-type": "voip", "apns-topic": "PACKAGE.voip" },
            "aps": alert(content),
            "data": data,
        }),
        Channel::FcmIos => {
            let mut map = data.as_object().cloned().unwrap_or_default();
            map.insert("aps".into(), alert(content));
            map.insert("gcm.message_id".into(), json!(md5_hex(&content.call_id)));
            map.insert("google.c.sender.id".into(), json!("1234567890"));
            map.insert("google.c.a.e".into(), json!("1"));
            Value::Object(map)
        }
    }
}

fn flexisip_key(kind: PushKind) -> &'static str {
    match kind {
        PushKind::Call => "IC_MSG",
        PushKind::Chat | PushKind::Custom => "IM_MSG",
        PushKind::Cancel | PushKind::Refresh => "IC_SIL",
    }
}

fn uuid_of(content: &Content) -> String {
    let hex = md5_hex(&content.call_id);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn flexisip_voip(content: &Content) -> Value {
    json!({
        "aps": {
            "sound": "", "loc-key": flexisip_key(content.kind), "loc-args": [content.display],
            "call-id": content.call_id, "uuid": uuid_of(content), "send-time": send_time(),
        },
        "from-uri": content.from_uri, "display-name": content.display, "pn_ttl": 60,
    })
}

fn flexisip_fcm(content: &Content) -> Value {
    json!({
        "uuid": uuid_of(content), "from-uri": content.from_uri, "display-name": content.display,
        "call-id": content.call_id, "sip-from": content.display, "loc-key": flexisip_key(content.kind),
        "loc-args": content.display, "send-time": send_time(), "pn_ttl": "60",
    })
}

fn portsip(content: &Content) -> Map<String, Value> {
    let (kind, mime) = match content.kind {
        PushKind::Call | PushKind::Cancel => ("audio", "application/sdp"),
        _ => ("im", "text/plain"),
    };
    let pairs = [
        ("msg_type", kind),
        ("msg_content", content.text.as_str()),
        ("send_from", &content.from_uri),
        ("send_to", &content.to),
        ("x-push-id", &content.push_id),
        ("mime_type", mime),
    ];
    pairs.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect()
}

/// `YYYY-MM-DD hh:mm:ss` in UTC, as Flexisip writes it.
fn send_time() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    civil(seconds)
}

fn civil(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that a leap day ends its year (the usual civil-from-days conversion).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

const MAX_PUSHES: usize = 2000;

/// The push service; clones share it.
#[derive(Clone)]
pub struct PushService {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    history: VecDeque<Push>,
    waiting: VecDeque<Push>,
    delivery: HashMap<String, Delivery>,
}

impl PushService {
    pub(crate) fn new() -> PushService {
        PushService { inner: Arc::default(), changed: Arc::new(watch::channel(0).0) }
    }

    /// Sets how pushes to a token are delivered from this moment on.
    pub fn set_delivery(&self, token: &str, delivery: Delivery) {
        self.with(|inner| {
            if inner.delivery.len() < MAX_PUSHES {
                inner.delivery.insert(token.to_owned(), delivery);
            }
        });
    }

    pub(crate) fn delivery(&self, token: &str) -> Delivery {
        self.with(|inner| inner.delivery.get(token).copied().unwrap_or_default())
    }

    /// Notes a push for the service. Returns it with its number.
    pub(crate) fn accept(&self, mut push: Push) -> Push {
        self.with(|inner| {
            inner.last += 1;
            push.seq = inner.last;
            bounded(&mut inner.history, push.clone());
        });
        push
    }

    /// Puts a push into its token's queue.
    pub(crate) fn deliver(&self, push: Push) {
        let seq = push.seq;
        self.with(|inner| bounded(&mut inner.waiting, push));
        self.changed.send_modify(|n| *n = n.wrapping_add(seq.max(1)));
    }

    /// Returns every push for the service, including refused ones.
    pub fn history(&self) -> Vec<Push> {
        self.with(|inner| inner.history.iter().cloned().collect())
    }

    /// Subscribes to one token, or to all; queued pushes come first.
    pub fn subscribe(&self, token: Option<&str>) -> PushStream {
        PushStream { service: self.clone(), token: token.map(str::to_owned), changes: self.changed.subscribe() }
    }

    fn take(&self, token: Option<&str>) -> Option<Push> {
        self.with(|inner| {
            let at = inner.waiting.iter().position(|p| token.is_none_or(|t| p.target.is_for(t)))?;
            inner.waiting.remove(at)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn bounded(queue: &mut VecDeque<Push>, push: Push) {
    if queue.len() >= MAX_PUSHES {
        queue.pop_front();
    }
    queue.push_back(push);
}

/// The pushes of one device, as they arrive; each push goes to one subscriber.
pub struct PushStream {
    service: PushService,
    token: Option<String>,
    changes: watch::Receiver<u64>,
}

impl PushStream {
    /// Returns the next push. Safe to cancel.
    pub async fn next(&mut self) -> Push {
        loop {
            self.changes.borrow_and_update();
            if let Some(push) = self.service.take(self.token.as_deref()) {
                return push;
            }
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns the next push, or `None` if none comes in time.
    pub async fn next_within(&mut self, limit: Duration) -> Option<Push> {
        timeout(limit, self.next()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Content {
        Content {
            kind: PushKind::Call,
            from: "1234".into(),
            from_uri: "sip:1234@mock".into(),
            display: "John Smith".into(),
            to: "9876".into(),
            text: String::new(),
            call_id: "abcdef".into(),
            push_id: "p1".into(),
        }
    }

    #[test]
    fn mizutech_payloads_have_the_shape_of_their_channel() {
        let fcm = payload(Payload::Mizutech, Channel::Fcm, &call());
        assert!(fcm.as_object().expect("a map").values().all(Value::is_string), "FCM data are strings");
        assert_eq!(fcm["ntype"], "0");
        let voip = payload(Payload::Mizutech, Channel::PushKit, &call());
        assert_eq!((&voip["data"]["ntype"], &voip["aps"]["content-available"]), (&json!(0), &json!(1)));
        let ios = payload(Payload::Mizutech, Channel::FcmIos, &call());
        assert_eq!((&ios["ncallid"], ios["gcm.message_id"].is_string()), (&json!("abcdef"), true));
    }

    #[test]
    fn flexisip_and_portsip_payloads_carry_their_ids() {
        let voip = payload(Payload::Flexisip, Channel::PushKit, &call());
        assert_eq!((&voip["aps"]["loc-key"], &voip["aps"]["call-id"]), (&json!("IC_MSG"), &json!("abcdef")));
        let portsip = payload(Payload::PortSip, Channel::Fcm, &call());
        assert_eq!((&portsip["msg_type"], &portsip["x-push-id"]), (&json!("audio"), &json!("p1")));
    }

    #[test]
    fn times_are_written_in_the_civil_calendar() {
        assert_eq!(civil(0), "1970-01-01 00:00:00");
        assert_eq!(civil(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(civil(1_798_761_599), "2026-12-31 23:59:59");
    }
}
