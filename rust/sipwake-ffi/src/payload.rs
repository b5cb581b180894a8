//! Pushes: what came in, and what to do about it.

use std::collections::HashMap;
use std::time::Duration;

use sipwake::core::payload;
use sipwake::{Payload, now};

/// How a push came to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
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
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum PushPayload {
    /// JSON text. Any other text gives an action, too.
    Json {
        /// UTF-8. At most 64 KiB of it are read.
        bytes: Vec<u8>,
    },
    /// A flat map, as FCM gives it on Android.
    Fields {
        /// The entries.
        entries: HashMap<String, String>,
    },
}

impl<'a> From<&'a PushPayload> for Payload<'a> {
    fn from(payload: &'a PushPayload) -> Self {
        match payload {
            PushPayload::Json { bytes } => Self::Bytes(bytes),
            PushPayload::Fields { entries } => Self::Map(entries),
        }
    }
}

/// The priority of an FCM message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Priority {
    /// `PRIORITY_HIGH`.
    High,
    /// `PRIORITY_NORMAL`.
    Normal,
}

impl From<Priority> for payload::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
        }
    }
}

/// The app's state when the push came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum AppState {
    /// Unknown.
    Unknown,
    /// In the foreground, and the user is looking at it.
    Foreground,
    /// In the background.
    Background,
    /// This push started it.
    NotRunning,
}

/// What the operating system says about a push besides its content. Leave out what you do not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, uniffi::Record)]
pub struct PushHints {
    /// `PKVoIPPushMetadata.mustReport` (iOS 26.4 and later). Unknown means yes.
    #[uniffi(default = None)]
    pub must_report: Option<bool>,
    /// `RemoteMessage.getPriority()`.
    #[uniffi(default = None)]
    pub delivered_priority: Option<Priority>,
    /// `RemoteMessage.getOriginalPriority()`.
    #[uniffi(default = None)]
    pub original_priority: Option<Priority>,
    /// The app's state.
    #[uniffi(default = None)]
    pub app_state: Option<AppState>,
}

impl From<PushHints> for sipwake::Hints {
    fn from(hints: PushHints) -> Self {
        let mut converted = Self::at(now());
        converted.must_report = hints.must_report;
        converted.delivered_priority = hints.delivered_priority.map(Into::into);
        converted.original_priority = hints.original_priority.map(Into::into);
        converted.app_state = match hints.app_state {
            None | Some(AppState::Unknown) => payload::AppState::Unknown,
            Some(AppState::Foreground) => payload::AppState::Foreground,
            Some(AppState::Background) => payload::AppState::Background,
            Some(AppState::NotRunning) => payload::AppState::NotRunning,
        };
        converted
    }
}

/// The kinds of actions.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum PushKind {
    /// A call is about to come.
    IncomingCall {
        /// The server announced video.
        video: bool,
    },
    /// A message is waiting.
    Chat {
        /// Its MIME type, if the payload has it.
        mime_type: Option<String>,
    },
    /// A call that was announced is over.
    Cancel,
    /// Something that the app and its server agreed on. The app reads the payload itself.
    Custom {
        /// The type as it was sent: Mizutech's `ntype`, Flexisip's `loc-key`, PortSIP's `msg_type`, … It is empty for a
        /// notification of an unknown vendor.
        ntype: String,
    },
    /// Register again, silently.
    RefreshBinding,
    /// Nothing.
    Ignore {
        /// Why.
        reason: IgnoreReason,
    },
}

/// Why a push asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum IgnoreReason {
    /// It could not be understood. The action's `problem` says why.
    NotUnderstood,
    /// It is for a user who is not logged in.
    LoggedOut,
    /// The user does not want to be disturbed.
    DoNotDisturb,
    /// Its call is over.
    CallOver,
    /// More calls are announced than a client can hold.
    NoRoom,
}

/// Why a payload could not be understood. A VoIP push is still a call from an unknown caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum PayloadProblem {
    /// There was nothing in it.
    Empty,
    /// It is not JSON.
    Unreadable,
    /// It is longer than 64 KiB.
    TooLarge,
    /// It is readable, but it belongs to no vendor that sipwake knows.
    Unrecognised,
    /// The app takes only sealed payloads, and its decryptor did not open this one.
    NotSealed,
    /// It is sealed, and no key of this phone opens it. It is for another phone, or somebody changed it.
    SealedForeign,
    /// It is sealed, and cut short or in an unknown form.
    SealedTorn,
    /// It is sealed, and longer than 2,800 bytes.
    SealedTooLarge,
    /// It is sealed, and was opened before.
    SealedReplayed,
    /// The sealed content is not a JSON object.
    SealedUnreadable,
    /// It is sealed, and the keys cannot be read now, because the user has not unlocked the phone yet or the store
    /// fails.
    SealedKeysUnreadable,
}

impl From<sipwake::Unopened> for PayloadProblem {
    fn from(why: sipwake::Unopened) -> Self {
        match why {
            sipwake::Unopened::Torn => Self::SealedTorn,
            sipwake::Unopened::TooLarge => Self::SealedTooLarge,
            sipwake::Unopened::Replayed => Self::SealedReplayed,
            sipwake::Unopened::Unreadable => Self::SealedUnreadable,
            sipwake::Unopened::KeysUnreadable => Self::SealedKeysUnreadable,
            _ => Self::SealedForeign,
        }
    }
}

impl From<payload::Problem> for PayloadProblem {
    fn from(problem: payload::Problem) -> Self {
        match problem {
            payload::Problem::Empty => Self::Empty,
            payload::Problem::Unreadable => Self::Unreadable,
            payload::Problem::TooLarge => Self::TooLarge,
            payload::Problem::Unrecognised => Self::Unrecognised,
            payload::Problem::NotSealed => Self::NotSealed,
            payload::Problem::Unopened(why) => why.into(),
        }
    }
}

/// The vendor whose payload a push carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Vendor {
    /// Mizutech's server, gateway and SDKs.
    Mizutech,
    /// Flexisip (Linphone), and Kazoo, which sends the same fields.
    Flexisip,
    /// PortSIP PBX.
    PortSip,
    /// Acrobits: calls without its SIPIS, and messages.
    Acrobits,
    /// Twilio Voice.
    Twilio,
    /// Telnyx Voice.
    Telnyx,
    /// Vialer (VoIPGRID).
    Vialer,
    /// One that this version of the bridge has no name for.
    Other,
}

/// What to tell the operating system about a push. Do it at once, on the same thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Duty {
    /// iOS: report an incoming call to CallKit before PushKit's delegate returns.
    ReportCall,
    /// iOS: report a call to CallKit before PushKit's delegate returns, and end it at once.
    ReportThenEnd,
    /// Show a notification.
    ShowNotification {
        /// Android: with a full-screen intent, because a foreground service may not be started for this call.
        full_screen: bool,
    },
    /// Android: a foreground service may be started for this call.
    StartForegroundService,
    /// Nothing.
    Nothing,
}

impl From<payload::Duty> for Duty {
    fn from(duty: payload::Duty) -> Self {
        match duty {
            payload::Duty::ReportCall => Self::ReportCall,
            payload::Duty::ReportThenEnd => Self::ReportThenEnd,
            payload::Duty::ShowNotification { full_screen } => Self::ShowNotification { full_screen },
            payload::Duty::StartForegroundService => Self::StartForegroundService,
            payload::Duty::Nothing => Self::Nothing,
        }
    }
}

/// The action that a push asks for, and what to tell the operating system about it.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct PushAction {
    /// The action.
    pub kind: PushKind,
    /// What to tell the operating system, at once and on the same thread.
    pub duty: Duty,
    /// How the push came.
    pub channel: Channel,
    /// The payload's vendor. It is not set if no vendor knew the payload.
    pub vendor: Option<Vendor>,
    /// Why the payload could not be understood.
    pub problem: Option<PayloadProblem>,
    /// The account that is called, as the payload spells it.
    pub account: Option<String>,
    /// The caller's or sender's number or URI, as the payload spells it.
    pub caller: Option<String>,
    /// The caller's or sender's name, if it differs from `caller`.
    pub display_name: Option<String>,
    /// The text to show as the caller: the name, or the number or URI, or nothing.
    pub caller_label: Option<String>,
    /// The title that the server suggests for a notification.
    pub title: Option<String>,
    /// The text that comes along. For a chat message it is only the first part.
    pub text: Option<String>,
    /// The Call-ID of the call or of the chat's MESSAGE, if the payload has it.
    pub call_id: Option<String>,
    /// The call's UUID. It is the same for a call's push, INVITE and cancel. Any other push gets a new one, for the
    /// call that CallKit shows and that ends at once.
    pub uuid: String,
    /// Milliseconds until the call ends if its INVITE does not come. Only for calls.
    pub time_left_ms: Option<u64>,
    /// The server sent the push with high priority, but it was delivered with normal priority.
    pub downgraded: bool,
    /// Anybody who knows the token can have sent this. The caller is only a claim until the INVITE comes.
    pub unverified: bool,
}

impl PushAction {
    pub(crate) fn convert(action: sipwake::PushAction, now: Duration) -> Self {
        let caller_label = action.caller_label().map(str::to_owned);
        Self {
            kind: match action.kind {
                payload::ActionKind::IncomingCall { video } => PushKind::IncomingCall { video },
                payload::ActionKind::Chat { mime_type } => PushKind::Chat { mime_type },
                payload::ActionKind::Cancel => PushKind::Cancel,
                payload::ActionKind::Custom { ntype } => PushKind::Custom { ntype },
                payload::ActionKind::RefreshBinding => PushKind::RefreshBinding,
                payload::ActionKind::Ignore { reason } => PushKind::Ignore {
                    reason: match reason {
                        payload::Ignored::Problem(_) => IgnoreReason::NotUnderstood,
                        payload::Ignored::LoggedOut => IgnoreReason::LoggedOut,
                        payload::Ignored::DoNotDisturb => IgnoreReason::DoNotDisturb,
                        payload::Ignored::CallOver => IgnoreReason::CallOver,
                        payload::Ignored::NoRoom => IgnoreReason::NoRoom,
                    },
                },
            },
            duty: action.duty.into(),
            channel: match action.channel {
                sipwake::Channel::FcmAndroid => Channel::FcmAndroid,
                sipwake::Channel::PushKit => Channel::PushKit,
                sipwake::Channel::FcmIos => Channel::FcmIos,
                sipwake::Channel::ApnsAlert => Channel::ApnsAlert,
                sipwake::Channel::WebPush => Channel::WebPush,
            },
            vendor: action.vendor.map(|vendor| match vendor {
                payload::Vendor::Mizutech => Vendor::Mizutech,
                payload::Vendor::Flexisip => Vendor::Flexisip,
                payload::Vendor::PortSip => Vendor::PortSip,
                payload::Vendor::Acrobits => Vendor::Acrobits,
                payload::Vendor::Twilio => Vendor::Twilio,
                payload::Vendor::Telnyx => Vendor::Telnyx,
                payload::Vendor::Vialer => Vendor::Vialer,
                _ => Vendor::Other,
            }),
            problem: action.problem.map(Into::into),
            account: action.account,
            caller: action.caller,
            display_name: action.display_name,
            caller_label,
            title: action.title,
            text: action.text,
            call_id: action.identity.call_id,
            uuid: action.uuid.to_string(),
            time_left_ms: action.deadline.map(|deadline| milliseconds(deadline.saturating_sub(now))),
            downgraded: action.downgraded,
            unverified: action.unverified,
        }
    }
}

impl From<Channel> for sipwake::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::FcmAndroid => Self::FcmAndroid,
            Channel::PushKit => Self::PushKit,
            Channel::FcmIos => Self::FcmIos,
            Channel::ApnsAlert => Self::ApnsAlert,
            Channel::WebPush => Self::WebPush,
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
