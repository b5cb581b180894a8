//! Push payloads: from what the operating system delivers to one [`PushAction`].
//!
//! [`parse_push`] needs no network, lock or runtime, and it is total: any bytes give an action. A PushKit push always
//! gives one for CallKit, because the system demands it first. Vendors are asked in order; the first that knows the
//! payload reads it. The payload only announces: calls and messages themselves come over SIP.

use std::collections::HashMap;

use serde::Serialize;

use crate::clock::Now;
pub use crate::error::Unopened;
#[cfg(feature = "sealed")]
use crate::sealed::PushKeys;
#[cfg(feature = "replay")]
pub(crate) use action::Age;
use action::Seen;
pub(crate) use action::{CALL_WINDOW, Judged};
use fields::Fields;

mod action;
mod fields;
pub mod identity;
mod shown;
mod time;
mod vendor;

pub use action::{ActionKind, Duty, Ignored, Problem, PushAction};
pub use identity::{CallIdentity, call_uuid};
pub(crate) use identity::{user_part, version_5};
pub(crate) use shown::{name as shown_name, whole as shown_whole};
pub use vendor::Vendor;

/// The longest payload that is read. FCM and APNs carry 4 KiB, and APNs 5 KiB for VoIP.
const MAX_PAYLOAD: usize = 64 * 1024;

/// How a push came to the app.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// FCM on Android: `RemoteMessage.getData()`.
    FcmAndroid,
    /// Apple's VoIP pushes: `PKPushPayload.dictionaryPayload`.
    PushKit,
    /// FCM on iOS: the notification's user info.
    FcmIos,
    /// APNs without FCM: the notification's user info.
    ApnsAlert,
    /// A browser's service worker.
    WebPush,
}

/// A payload as the operating system delivers it.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// JSON text.
    Bytes(&'a [u8]),
    /// A flat map, as FCM gives it on Android.
    Map(&'a HashMap<String, String>),
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(json: &'a str) -> Self {
        Self::Bytes(json.as_bytes())
    }
}

impl<'a> From<&'a HashMap<String, String>> for Payload<'a> {
    fn from(map: &'a HashMap<String, String>) -> Self {
        Self::Map(map)
    }
}

impl<'a> Payload<'a> {
    pub(crate) fn fields(self) -> Result<Fields<'a>, Problem> {
        let length = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Map(map) => map.iter().map(|(name, value)| name.len() + value.len()).sum(),
        };
        if length > MAX_PAYLOAD {
            return Err(Problem::TooLarge);
        }
        match self {
            Self::Bytes(bytes) => Fields::from_json(bytes),
            Self::Map(map) => Fields::from_map(map),
        }
    }

    /// Returns the same bytes for the same payload, in any order of a map's entries.
    pub(super) fn content(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes[..bytes.len().min(MAX_PAYLOAD)].to_vec(),
            Self::Map(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable();
                let mut content = Vec::new();
                for text in entries.into_iter().flat_map(|(name, value)| [name, value]) {
                    let room = (MAX_PAYLOAD - content.len()).min(text.len());
                    content.extend_from_slice(&text.as_bytes()[..room]);
                    content.extend_from_slice(&b"\0"[..usize::from(content.len() < MAX_PAYLOAD)]);
                }
                content
            }
        }
    }
}

/// The priority of an FCM message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// `PRIORITY_HIGH`.
    High,
    /// `PRIORITY_NORMAL`.
    Normal,
}

/// What the app was doing when the push came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// Nobody said.
    #[default]
    Unknown,
    /// In front, with the user looking at it.
    Foreground,
    /// Running, out of sight.
    Background,
    /// Started by this push.
    NotRunning,
}

/// What the operating system says about a push besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// `PKVoIPPushMetadata.mustReport` (iOS 26.4 and later). `None` (unknown) means yes.
    pub must_report: Option<bool>,
    /// `RemoteMessage.getPriority()`.
    pub delivered_priority: Option<Priority>,
    /// `RemoteMessage.getOriginalPriority()`.
    pub original_priority: Option<Priority>,
    /// What the app was doing.
    pub app_state: AppState,
    /// When the push came.
    pub received: Now,
}

impl Hints {
    /// Returns the hints of somebody who knows only when the push came.
    pub const fn at(received: Now) -> Self {
        Self {
            must_report: None,
            delivered_priority: None,
            original_priority: None,
            app_state: AppState::Unknown,
            received,
        }
    }

    /// Returns `true` if the message was sent with high priority and delivered with normal priority.
    pub fn is_downgraded(&self) -> bool {
        self.original_priority == Some(Priority::High) && self.delivered_priority == Some(Priority::Normal)
    }
}

/// Decrypts payloads that a server encrypts so that Google and Apple cannot read them, as innovaphone's does.
///
/// It runs while the operating system waits for an answer: no network, no lock that somebody holds for long.
pub trait Decryptor {
    /// Returns the fields inside, under the names of any vendor known here (simplest: `ntype`, `nfrom`,
    /// `nfromusername`, `ncallid`, `nmsg`), or `None` if the payload is not encrypted or cannot be opened.
    fn decrypt(&self, payload: Payload<'_>) -> Option<HashMap<String, String>>;
}

/// Turns a push into what it asks for and what to tell the operating system.
///
/// Never fails. What cannot be read is [`ActionKind::Ignore`], except over [`Channel::PushKit`]. A VoIP push is most
/// likely a call, and the system demands one, so there it is a call from an unknown caller.
///
/// ```
/// use std::time::Duration;
/// use sipwake_core::clock::Now;
/// use sipwake_core::payload::{Channel, Duty, Hints, parse_push};
///
/// let hints = Hints::at(Now::new(Duration::from_secs(100), Duration::from_secs(1_790_000_000)));
/// let json = r#"{"aps":{"content-available":1},"data":{"ntype":0,"nfrom":"1234","ncallid":"abcdef"}}"#;
/// let action = parse_push(json, Channel::PushKit, &hints);
/// assert!(action.is_call());
/// assert_eq!(action.duty, Duty::ReportCall);
/// assert_eq!(action.caller.as_deref(), Some("1234"));
/// assert_eq!(action.deadline, Some(Duration::from_secs(140)));
/// ```
pub fn parse_push<'a>(payload: impl Into<Payload<'a>>, channel: Channel, hints: &Hints) -> PushAction {
    let payload = payload.into();
    action_of(payload.fields(), payload, channel, hints, false)
}

/// Does as [`parse_push`], with an app's or operator's own decryption first.
///
/// A payload that the decryptor does not open is read as it is.
pub fn parse_push_with<'a>(
    decryptor: &(impl Decryptor + ?Sized),
    payload: impl Into<Payload<'a>>,
    channel: Channel,
    hints: &Hints,
) -> PushAction {
    let payload = payload.into();
    match decryptor.decrypt(payload) {
        Some(opened) => action_of(Payload::Map(&opened).fields(), payload, channel, hints, true),
        None => action_of(payload.fields(), payload, channel, hints, false),
    }
}

/// Does as [`parse_push_with`], and believes no word that the decryptor did not open: such a push is one without
/// content. It refreshes the binding and, over [`Channel::PushKit`], is a call from an unknown caller. For a process
/// without a client; in one with a client the account's setting
/// ([`sealed_pushes_only`](crate::account::AccountConfig::sealed_pushes_only)) does it.
pub fn parse_sealed_push<'a>(
    decryptor: &(impl Decryptor + ?Sized),
    payload: impl Into<Payload<'a>>,
    channel: Channel,
    hints: &Hints,
) -> PushAction {
    let payload = payload.into();
    match decryptor.decrypt(payload) {
        Some(opened) => action_of(Payload::Map(&opened).fields(), payload, channel, hints, true),
        None => action_of(Err(Problem::NotSealed), payload, channel, hints, false),
    }
}

/// Does as [`parse_push`] with a push that is sealed for this phone; `None` for one that is not sealed. Nothing else in
/// a sealed push counts, whether it opens or not.
#[cfg(feature = "sealed")]
pub fn parse_push_with_keys<'a>(
    keys: &mut PushKeys,
    payload: impl Into<Payload<'a>>,
    channel: Channel,
    hints: &Hints,
) -> Option<PushAction> {
    let payload = payload.into();
    let wall = hints.received.wall;
    // A web push may arrive in the form in which it was sent. Otherwise one field holds the sealed content.
    let opened = match payload {
        Payload::Bytes(body) if PushKeys::is_envelope(body) => keys.open_body(body, wall),
        _ => keys.open(payload.fields().ok()?.text("sealed")?, wall),
    };
    Some(match opened {
        Ok(opened) => action_of(Payload::Map(&opened).fields(), payload, channel, hints, true),
        Err(why) => action_of(Err(Problem::Unopened(why)), payload, channel, hints, false),
    })
}

fn action_of(
    fields: Result<Fields<'_>, Problem>,
    payload: Payload<'_>,
    channel: Channel,
    hints: &Hints,
    opened: bool,
) -> PushAction {
    let alert = fields.as_ref().is_ok_and(Fields::has_alert);
    let seen = Seen { vendor: None, problem: None, channel, hints, alert, opened };
    let problem = match &fields {
        Ok(fields) => {
            let known = vendor::VENDORS.iter().find_map(|(vendor, read)| Some((*vendor, read(fields, channel)?)));
            if let Some((vendor, mut reading)) = known {
                reading.sent = fields.sent();
                let sent = reading.sent.unwrap_or(hints.received.wall);
                reading.time_to_live = reading.time_to_live.or_else(|| fields.time_to_live(sent));
                let seen = Seen { vendor: Some(vendor), ..seen };
                return PushAction::from_reading(&reading, seen, payload);
            }
            Problem::Unrecognised
        }
        Err(problem) => *problem,
    };
    let mut reading = action::Reading::new(match channel {
        // If iOS lets an app be silent, the INVITE says whether there is a call.
        Channel::PushKit if hints.must_report == Some(false) => ActionKind::RefreshBinding,
        Channel::PushKit => ActionKind::IncomingCall { video: false },
        // With RFC 8599, a push has no content. So the binding is refreshed, and the server sends the rest.
        _ if !alert && problem.is_without_content() => ActionKind::RefreshBinding,
        _ => ActionKind::Ignore { reason: Ignored::Problem(problem) },
    });
    if let Ok(fields) = &fields {
        (reading.title, reading.text, reading.sent) = (fields.title(), fields.body(), fields.sent());
        let is_notification = alert && reading.title.or(reading.text).is_some();
        if is_notification && channel != Channel::PushKit {
            reading.kind = ActionKind::custom("");
        }
    }
    PushAction::from_reading(&reading, Seen { problem: Some(problem), ..seen }, payload)
}

#[cfg(test)]
mod tests;
