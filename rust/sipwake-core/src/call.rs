//! How the app wants calls to be treated, and why it ends one.

use std::time::Duration;

/// How calls are treated.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPolicy {
    /// How long to wait for an announced INVITE, if the payload's time to live is not shorter. The default is 40
    /// seconds. It counts from the arrival of the push or, if the payload has no time to live, from when it was sent.
    pub window: Duration,
    /// How long a phone rings, if the INVITE's `Expires` is not shorter. The default is 180 seconds.
    pub ring_limit: Duration,
    /// Whether the Contact of an answered call carries `pn-purr`, so that a registrar that gave one (RFC 8599 section
    /// 6) can wake the app for requests inside the call. Then a push without an id and a caller belongs to that call
    /// and announces no other. Not by default.
    pub mid_call_wakeups: bool,
    /// What the caller gets first. The default is [`Progress::Ringing`].
    pub progress: Progress,
    /// Whether to ask the user again if they answered a call before its INVITE came and the INVITE names a caller with
    /// another number. Then [`Ringing`](crate::event::CallChange::Ringing) comes instead of
    /// [`AnswerWanted`](crate::event::CallChange::AnswerWanted). This is off by default. Then only the change is
    /// reported.
    pub reconfirm: bool,
}

/// What the caller gets before the answer (RFC 3261 section 13.3.1.1).
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Progress {
    /// 180 (Ringing) as soon as the INVITE is here.
    #[default]
    Ringing,
    /// 183 (Session Progress), for an app that shows the call later. 180 follows with
    /// [`UserAgent::ringing`](crate::user_agent::UserAgent::ringing).
    Session,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            window: crate::payload::CALL_WINDOW,
            ring_limit: Duration::from_secs(180),
            mid_call_wakeups: false,
            progress: Progress::Ringing,
            reconfirm: false,
        }
    }
}

/// How a ringing call is declined.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decline {
    /// 603: on all of the user's devices.
    #[default]
    Everywhere,
    /// 486: this device is busy, and others still ring.
    Busy,
}

/// Why the app ends a call.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HangUp {
    /// The user wants it: 603 while it rings, BYE once it is answered.
    #[default]
    Normal,
    /// It cannot continue, for example with 488 for an offer that the media engine does not take. While it rings, the
    /// caller gets this status. After the answer they get a BYE with a `Reason` (RFC 3326). A number that is not a
    /// status from 400 to 699 becomes 500.
    Failed(u16),
}
