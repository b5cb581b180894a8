//! What a push asks for, and what to tell the operating system before anything else.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::identity::{self, CallIdentity, call_uuid, push_uuid, version_5};
use super::shown::MAX_NAME;
use super::{AppState, Channel, Hints, Payload, Priority, Unopened, Vendor, shown};

/// How long an announced INVITE is waited for, unless the payload or the app says otherwise.
pub(crate) const CALL_WINDOW: Duration = Duration::from_secs(40);

/// The sender's clock and the phone's may differ. So even a push that looks long expired gets the time that a REGISTER
/// and an INVITE need.
const SHORTEST_CALL_WINDOW: Duration = Duration::from_secs(5);

const MAX_TEXT: usize = 4096;

/// The one thing that a push asks for.
///
/// Its `Debug` shows the length of title and text, not their content.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PushAction {
    /// What the push asks for.
    pub kind: ActionKind,
    /// What to tell the operating system, at once and on the same thread.
    pub duty: Duty,
    /// How the push came.
    pub channel: Channel,
    /// Whose payload it is; `None` if no vendor knew it.
    pub vendor: Option<Vendor>,
    /// Why the payload could not be understood. A VoIP push is still a call from an unknown caller.
    pub problem: Option<Problem>,
    /// The account that is called, as the payload spells it.
    pub account: Option<String>,
    /// The caller's or sender's number or URI, as the payload spells it.
    pub caller: Option<String>,
    /// The caller's or sender's name, if it differs from `caller`.
    pub display_name: Option<String>,
    /// The title that the server suggests for a notification.
    pub title: Option<String>,
    /// The text that comes along. For a chat message it is only the first part.
    pub text: Option<String>,
    /// What identifies this call, or the cancelled one. `call_id` of a chat is that of its MESSAGE.
    pub identity: CallIdentity,
    /// The call's UUID, for a call and its cancel. Any other push gets a new one, for the call that is reported to
    /// CallKit and ended at once.
    #[serde(serialize_with = "as_text")]
    pub uuid: Uuid,
    /// When the call is over unless its INVITE has come, in boot time (see [`crate::clock::Now`]). Calls only.
    ///
    /// That is the time to live after the push was sent, at most 40 seconds after it came. Without a time to live, it
    /// is 40 seconds after it was sent. If a client judges the push, its
    /// [`CallPolicy::window`](crate::call::CallPolicy::window) replaces the 40 seconds.
    #[serde(rename = "deadline_ms", serialize_with = "as_milliseconds")]
    pub deadline: Option<Duration>,
    /// The server sent the push with high priority, and it was delivered with normal priority.
    pub downgraded: bool,
    /// Anybody who knows the token can have sent this. What it says about the caller is a claim until the INVITE comes.
    /// `false` if the app's decryptor opened the payload.
    pub unverified: bool,
    #[serde(skip)]
    pub(crate) age: Age,
    /// What a [`Gate`](crate::judge::Gate) has decided about it.
    #[serde(skip)]
    pub(crate) judged: Judged,
}

/// What a [`Gate`](crate::judge::Gate) decided about a push. The platform was told so, and it stays.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Judged {
    #[default]
    Not,
    /// It is the call with its UUID, or it is silent.
    Yes,
    /// It is the cancel of the call with its UUID, which was announced or rang.
    Ends,
}

/// What a payload says about its time.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// When the push came, in boot time.
    received: Duration,
    /// How long before that it was sent. Zero if that is unknown.
    #[cfg_attr(feature = "replay", serde(alias = "gone"))] // as recordings of 0.1.0 have it
    elapsed: Duration,
    time_to_live: Option<Duration>,
    /// The payload says when it was sent.
    is_dated: bool,
}

impl Age {
    /// How long before its arrival it was sent. Zero if that is unknown.
    pub(crate) fn elapsed(self) -> Duration {
        self.elapsed
    }

    /// Whether the payload says when it was sent.
    pub(crate) fn is_dated(self) -> bool {
        self.is_dated
    }

    /// How long its INVITE is waited for, as a boot time. The app wants to wait for `longest` at most.
    pub(crate) fn deadline(self, longest: Duration) -> Duration {
        let left = self.time_to_live.unwrap_or(longest).saturating_sub(self.elapsed);
        self.received.saturating_add(left.max(SHORTEST_CALL_WINDOW).min(longest))
    }
}

impl PushAction {
    /// Returns `true` for an incoming call.
    pub fn is_call(&self) -> bool {
        matches!(self.kind, ActionKind::IncomingCall { .. })
    }

    /// Returns `true` if the app must report this push to CallKit before PushKit's delegate returns.
    pub fn must_be_reported(&self) -> bool {
        matches!(self.duty, Duty::ReportCall | Duty::ReportThenEnd)
    }

    /// Returns what to show as the caller: the name, or the number or URI, or nothing.
    pub fn caller_label(&self) -> Option<&str> {
        self.display_name.as_deref().or(self.caller.as_deref())
    }

    /// Ignores the content of a push that is not sealed although it has to be. It is then a push without content.
    pub(crate) fn forget_words(&mut self, hints: &Hints) {
        let is_voip = self.channel == Channel::PushKit;
        self.kind = if is_voip { ActionKind::IncomingCall { video: false } } else { ActionKind::RefreshBinding };
        self.duty = if is_voip { Duty::ReportCall } else { Duty::Nothing };
        // If it was sealed and could not be opened, that says more.
        let unopened = self.problem.take().filter(|problem| matches!(problem, Problem::Unopened(_)));
        self.problem = unopened.or(Some(Problem::NotSealed));
        (self.account, self.caller, self.display_name) = (None, None, None);
        (self.title, self.text) = (None, None);
        self.identity = CallIdentity::default();
        // The call does not get the UUID that the content would have given it.
        self.uuid = version_5(self.uuid, [b"not sealed"]);
        self.age = Age { received: hints.received.boot, elapsed: Duration::ZERO, time_to_live: None, is_dated: false };
        self.deadline = is_voip.then(|| self.age.deadline(CALL_WINDOW));
    }

    /// Makes a push silent. The duty to report a PushKit push stays, unless the system said that there is none.
    pub(crate) fn silence(&mut self, reason: Ignored, hints: &Hints) {
        self.quiet(ActionKind::Ignore { reason }, hints);
    }

    /// Makes a push silent and removes its text, so that nobody sees who called.
    pub(crate) fn hush(&mut self, hints: &Hints) {
        self.silence(Ignored::DoNotDisturb, hints);
        (self.caller, self.display_name, self.title, self.text) = (None, None, None, None);
    }

    /// Makes a push silent that only refreshes the binding.
    pub(crate) fn refresh(&mut self, hints: &Hints) {
        self.quiet(ActionKind::RefreshBinding, hints);
    }

    fn quiet(&mut self, kind: ActionKind, hints: &Hints) {
        self.duty = match (self.channel, hints.must_report) {
            (Channel::PushKit, None | Some(true)) => Duty::ReportThenEnd,
            _ => Duty::Nothing,
        };
        self.kind = kind;
        self.deadline = None;
    }

    pub(super) fn from_reading(reading: &Reading<'_>, seen: Seen<'_>, payload: Payload<'_>) -> Self {
        let Seen { vendor, problem, channel, hints, alert, opened } = seen;
        let (caller, display_name) = identity::address_and_name(reading.caller, reading.display_name);
        let identity = CallIdentity::new(reading.call_id, reading.vendor_id, reading.account, caller);
        let is_call = matches!(reading.kind, ActionKind::IncomingCall { .. });
        let uuid = if (is_call || reading.kind == ActionKind::Cancel) && !identity.is_empty() {
            call_uuid(&identity)
        } else {
            push_uuid(&payload.content())
        };
        let caller = caller.and_then(|caller| shown::line(caller, MAX_NAME));
        let display_name = display_name.and_then(|name| shown::line(&name, MAX_NAME));
        let elapsed = reading.sent.map_or(Duration::ZERO, |sent| hints.received.wall.saturating_sub(sent));
        let age = Age {
            received: hints.received.boot,
            elapsed,
            time_to_live: reading.time_to_live,
            is_dated: reading.sent.is_some(),
        };
        Self {
            duty: duty(reading, channel, hints, alert),
            kind: reading.kind.clone(),
            channel,
            vendor,
            problem,
            account: reading.account.and_then(|account| shown::line(account, MAX_NAME)),
            display_name: display_name.filter(|name| caller.as_ref() != Some(name)),
            caller,
            title: reading.title.and_then(|title| shown::line(title, MAX_NAME)),
            text: reading.text.and_then(|text| shown::line(text, MAX_TEXT)),
            identity,
            uuid,
            deadline: is_call.then(|| age.deadline(CALL_WINDOW)),
            downgraded: hints.is_downgraded(),
            unverified: !opened,
            age,
            judged: Judged::Not,
        }
    }
}

impl fmt::Debug for PushAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |text: &Option<String>| text.as_ref().map(|text| text.chars().count());
        f.debug_struct("PushAction")
            .field("kind", &self.kind)
            .field("duty", &self.duty)
            .field("channel", &self.channel)
            .field("vendor", &self.vendor)
            .field("problem", &self.problem)
            .field("account", &self.account)
            .field("caller", &self.caller)
            .field("display_name", &self.display_name)
            .field("title_length", &length(&self.title))
            .field("text_length", &length(&self.text))
            .field("identity", &self.identity)
            .field("uuid", &self.uuid)
            .field("deadline", &self.deadline)
            .field("downgraded", &self.downgraded)
            .field("unverified", &self.unverified)
            .finish()
    }
}

/// What a push asks for.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ActionKind {
    /// A call is about to come: register at once and wait for its INVITE.
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
    /// Something the app agreed on with its server. The payload itself is the app's to read.
    Custom {
        /// The type as it was sent: Mizutech's `ntype`, Flexisip's `loc-key`, PortSIP's `msg_type`, … Empty for a
        /// notification of no vendor known here.
        ntype: String,
    },
    /// Register again, in silence.
    RefreshBinding,
    /// Nothing that this crate knows of.
    Ignore {
        /// Why.
        reason: Ignored,
    },
}

/// Why a push asks for nothing.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// It could not be understood.
    Problem(Problem),
    /// It is for nobody who is logged in.
    LoggedOut,
    /// The user does not want to be disturbed.
    DoNotDisturb,
    /// Its call is over.
    CallOver,
    /// More calls are announced than a client can hold.
    NoRoom,
}

impl ActionKind {
    /// Returns [`ActionKind::Custom`] with the type as it was sent, cut to a safe length.
    pub(super) fn custom(ntype: &str) -> Self {
        Self::Custom { ntype: shown::line(ntype, MAX_NAME).unwrap_or_default() }
    }

    pub(super) fn chat(mime_type: Option<&str>) -> Self {
        Self::Chat { mime_type: mime_type.and_then(|mime_type| shown::line(mime_type, MAX_NAME)) }
    }
}

/// What to tell the operating system about a push.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Duty {
    /// iOS: report an incoming call to CallKit before PushKit's delegate returns.
    ReportCall,
    /// iOS: report a call to CallKit before PushKit's delegate returns, and end it at once.
    ReportThenEnd,
    /// Show a notification.
    ShowNotification {
        /// Android: with a full-screen intent, since a foreground service may not be started for this call.
        full_screen: bool,
    },
    /// Android: a foreground service may be started for this call.
    StartForegroundService,
    /// Nothing.
    Nothing,
}

/// Why a payload could not be understood.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// There was nothing in it.
    #[error("the payload is empty")]
    Empty,
    /// It is not JSON.
    #[error("the payload is not JSON")]
    Unreadable,
    /// It is longer than 64 KiB.
    #[error("the payload is longer than 64 KiB")]
    TooLarge,
    /// It is readable, and no vendor's.
    #[error("the payload is not of a known vendor")]
    Unrecognised,
    /// The app takes sealed payloads only ([`parse_sealed_push`](super::parse_sealed_push)), and this one its decryptor did not
    /// open.
    #[error("the payload is not sealed, or cannot be opened")]
    NotSealed,
    /// It is sealed, and was not opened.
    #[error("{0}")]
    Unopened(Unopened),
}

impl Problem {
    /// Whether the push counts as one without content, which refreshes the binding.
    pub(super) fn is_without_content(self) -> bool {
        matches!(self, Self::Empty | Self::Unrecognised | Self::NotSealed | Self::Unopened(_))
    }
}

/// What a vendor's parser read from a payload.
#[derive(Debug)]
pub(super) struct Reading<'f> {
    pub(super) kind: ActionKind,
    pub(super) account: Option<&'f str>,
    pub(super) caller: Option<&'f str>,
    pub(super) display_name: Option<&'f str>,
    pub(super) title: Option<&'f str>,
    pub(super) text: Option<&'f str>,
    pub(super) call_id: Option<&'f str>,
    pub(super) vendor_id: Option<&'f str>,
    /// How long the push is of use.
    pub(super) time_to_live: Option<Duration>,
    /// When it was sent, since the Unix epoch.
    pub(super) sent: Option<Duration>,
}

impl Reading<'_> {
    pub(super) fn new(kind: ActionKind) -> Self {
        Self {
            kind,
            account: None,
            caller: None,
            display_name: None,
            title: None,
            text: None,
            call_id: None,
            vendor_id: None,
            time_to_live: None,
            sent: None,
        }
    }
}

/// What is known about a push besides its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'h> {
    pub(super) vendor: Option<Vendor>,
    pub(super) problem: Option<Problem>,
    pub(super) channel: Channel,
    pub(super) hints: &'h Hints,
    pub(super) alert: bool,
    /// The app's decryptor opened it.
    pub(super) opened: bool,
}

fn duty(reading: &Reading<'_>, channel: Channel, hints: &Hints, alert: bool) -> Duty {
    let is_call = matches!(reading.kind, ActionKind::IncomingCall { .. });
    let is_message = match reading.kind {
        ActionKind::Chat { .. } => true,
        ActionKind::Custom { .. } => reading.title.is_some() || (alert && reading.text.is_some()),
        _ => false,
    };
    match channel {
        // Apple counts every VoIP push, whatever is in it. An app that does not report one gets no further ones.
        Channel::PushKit if is_call => Duty::ReportCall,
        Channel::PushKit if hints.must_report != Some(false) => Duty::ReportThenEnd,
        // If it is not allowed, starting it throws an exception that ends the app. So if we do not know, the duty is a
        // notification.
        Channel::FcmAndroid if is_call => {
            let allowed = hints.delivered_priority == Some(Priority::High) || hints.app_state == AppState::Foreground;
            if allowed { Duty::StartForegroundService } else { Duty::ShowNotification { full_screen: true } }
        }
        // iOS and the browser have shown the alert themselves unless the app is in front.
        Channel::FcmIos | Channel::ApnsAlert | Channel::WebPush
            if alert && matches!(hints.app_state, AppState::Background | AppState::NotRunning) =>
        {
            Duty::Nothing
        }
        _ if is_call || is_message => Duty::ShowNotification { full_screen: false },
        _ => Duty::Nothing,
    }
}

fn as_text<S: serde::Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uuid)
}

fn as_milliseconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}
