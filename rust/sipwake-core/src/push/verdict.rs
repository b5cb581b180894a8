//! What the server's response says about push, in words that a developer can act on.

use std::borrow::Cow;

use serde::Serialize;

use super::{Dialect, Environment, Provider, Push, PushToken, Shown, rfc8599};
use crate::sip::FeatureCaps;

/// Whether the app can count on pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The server said that it will push.
    Confirmed,
    /// The server accepted the REGISTER and said nothing about push. Many servers that push never say so.
    Unconfirmed,
    /// The server said that it will not push.
    Refused,
    /// Push was not asked for.
    NotAsked,
}

/// Why the verdict is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// `Feature-Caps` names our provider.
    #[error("the server named our provider in Feature-Caps (RFC 8599 section 4.1.1)")]
    Named,
    /// No `Feature-Caps`, but a dialect was used whose response never says anything about push.
    #[error("this dialect never confirms push: only a test call shows whether the server pushes")]
    NoAnswerInDialect,
    /// No `Feature-Caps` at all.
    #[error("2xx without Feature-Caps: the server does not support push, or it pushes without confirming it")]
    NoFeatureCaps,
    /// `Feature-Caps` names others.
    #[error("the server pushes through other providers only: {}", .0.join(", "))]
    OtherProviders(Vec<String>),
    /// 555.
    #[error("555: the server does not support this push provider (RFC 8599 section 14.2)")]
    ProviderRefused,
    /// 555 to RFC 8599; another dialect is used instead.
    #[error("the server responded 555 to RFC 8599; the other dialects never confirm push")]
    OtherDialectAfterRefusal,
    /// The server refused the Contact with its push parameters, in these words. Usually it is too long.
    #[error("the server refused the Contact that carries the push parameters: {0}")]
    ContactRefused(String),
    /// Another final response: nothing is known about push.
    #[error("the response to the REGISTER was {0}")]
    NotRegistered(u16),
    /// The REGISTER carried no token.
    #[error("no token was sent")]
    NoToken,
    /// The app unbound the token.
    #[error("the push binding was removed")]
    Unbound,
}

/// What was asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Push to a token.
    Push,
    /// Do not push any longer.
    NoPush,
    /// Nothing: there was no token yet, or push is disabled.
    Nothing,
    /// To register without push, after a 555.
    Refused,
}

/// What a response says about push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether the app can count on pushes.
    pub standing: Standing,
    /// Why.
    pub reason: Reason,
    /// What a developer can do about it; empty when there is nothing to do.
    pub advice: Cow<'static, str>,
    /// The server's VAPID key, for web push (`+sip.vapid`, RFC 8292).
    pub vapid: Option<String>,
    /// How many seconds before expiry an app that wakes itself must refresh at the latest (`+sip.pnsreg`).
    pub refresh_lead: Option<u32>,
    /// The value for `pn-purr` in the Contact of answered calls (`+sip.pnspurr`).
    pub purr: Option<String>,
    /// Neither our Contact's `expires` nor `Expires` says how long the binding lives. It is refreshed as if it were the
    /// shortest time that fits the response.
    pub lifetime_unknown: bool,
    /// `X-PIID` was left out because others can read the transport, or because a redirect led to the server.
    pub piid_withheld: bool,
    /// `X-PIID` went over a transport that others can read, as the app allowed.
    pub piid_in_the_clear: bool,
}

impl Verdict {
    pub(crate) fn read(
        push: &Push,
        spoken: &[Dialect],
        (shown, mizutech): (Shown, bool),
        asked: Asked,
        status: u16,
        caps: &[FeatureCaps],
    ) -> Self {
        let provider = push.pn_provider(spoken);
        let caps = provider.map(|provider| rfc8599::read(provider, caps)).unwrap_or_default();
        let (standing, reason) = match asked {
            Asked::NoPush => (Standing::NotAsked, Reason::Unbound),
            Asked::Nothing => (Standing::NotAsked, Reason::NoToken),
            Asked::Refused => (Standing::Refused, Reason::ProviderRefused),
            Asked::Push if shown == Shown::NoRfc8599 && !push.could_push(spoken, mizutech) => {
                (Standing::Refused, Reason::ProviderRefused)
            }
            Asked::Push if shown == Shown::NoRfc8599 && (200..300).contains(&status) => {
                (Standing::Unconfirmed, Reason::OtherDialectAfterRefusal)
            }
            Asked::Push if status == 555 => (Standing::Refused, Reason::ProviderRefused),
            Asked::Push if !(200..300).contains(&status) => (Standing::Unconfirmed, Reason::NotRegistered(status)),
            Asked::Push if spoken.is_empty() => (Standing::NotAsked, Reason::NoToken),
            Asked::Push if caps.ours => (Standing::Confirmed, Reason::Named),
            Asked::Push if provider.is_none() => (Standing::Unconfirmed, Reason::NoAnswerInDialect),
            Asked::Push if caps.providers.is_empty() => (Standing::Unconfirmed, Reason::NoFeatureCaps),
            Asked::Push if spoken.iter().any(|d| !matches!(d, Dialect::Rfc8599 | Dialect::Linphone)) => {
                (Standing::Unconfirmed, Reason::OtherProviders(caps.providers.clone()))
            }
            Asked::Push => (Standing::Refused, Reason::OtherProviders(caps.providers.clone())),
        };
        Self {
            advice: advice(push, standing, &reason),
            standing,
            reason,
            vapid: caps.vapid,
            refresh_lead: caps.refresh_lead,
            purr: caps.purr,
            lifetime_unknown: false,
            piid_withheld: false,
            piid_in_the_clear: false,
        }
    }

    /// Adds what the server must know about this token. Firebase's HTTP API takes an installation id under another name
    /// than a token.
    pub(crate) fn on(mut self, push: &Push, token: Option<&PushToken>) -> Self {
        let by_firebase = matches!(push.provider(), Provider::Fcm | Provider::FcmOnIos);
        if by_firebase && token.is_some_and(PushToken::is_installation_id) {
            let space = if self.advice.is_empty() { "" } else { " " };
            let field = "The token is a Firebase installation id: the server must send to `fid`, not to `token`.";
            self.advice = format!("{}{space}{field}", self.advice).into();
        }
        self
    }

    /// The verdict on a REGISTER of an account without push settings.
    pub(crate) fn without_push() -> Self {
        Self {
            standing: Standing::NotAsked,
            reason: Reason::NoToken,
            advice: Cow::Borrowed(""),
            vapid: None,
            refresh_lead: None,
            purr: None,
            lifetime_unknown: false,
            piid_withheld: false,
            piid_in_the_clear: false,
        }
    }

    /// Adds advice: the server wakes the app to refresh its binding (`ntype` 4), because it has no `X-PIID`.
    pub(crate) fn advise_piid(&mut self) {
        const ADVICE: &str = "the server wakes the app to refresh its binding (ntype 4): a Mizutech server refreshes the binding itself if \
             the account has `send_piid` (its X-PIID works like the password: only for a server that you trust).";
        let before = std::mem::take(&mut self.advice);
        self.advice = if before.is_empty() { ADVICE.into() } else { format!("{before} {ADVICE}").into() };
    }

    /// Returns the reason and the advice in one line.
    pub fn text(&self) -> String {
        if self.advice.is_empty() { self.reason.to_string() } else { format!("{}; {}", self.reason, self.advice) }
    }
}

fn advice(push: &Push, standing: Standing, reason: &Reason) -> Cow<'static, str> {
    const TEST_CALL: &str = "close the app and make a test call; if the phone stays silent, check the server's push settings and package name.";
    const REFRESH: &str = "iOS shows each VoIP push as a call: let the server send a push that only refreshes a binding as a background \
        push to the alert token, and allow bindings that last for days.";
    let environment = match (push.provider(), push.environment()) {
        (Provider::Apns, Environment::ServerDefault) => {
            " A sandbox token (an app started from Xcode) fails at APNs' production server, and a production token fails at the sandbox: state the environment."
        }
        (Provider::Apns, Environment::Sandbox) => " The token is for APNs' sandbox: the server must use the sandbox.",
        _ => "",
    };
    match (standing, reason) {
        (Standing::Unconfirmed, Reason::NotRegistered(_)) => Cow::Borrowed(""),
        (Standing::Unconfirmed, _) if *push.provider() == Provider::Apns => {
            format!("{TEST_CALL}{environment} {REFRESH}").into()
        }
        (Standing::Unconfirmed, _) => TEST_CALL.into(),
        (Standing::Confirmed, _) if *push.provider() == Provider::Apns => REFRESH.into(),
        (Standing::Refused, Reason::ProviderRefused) => {
            "the user is registered without push; ask the server's operator to enable this provider, or choose another dialect.".into()
        }
        (Standing::Refused, _) => "use one of the providers that the server names, or another dialect.".into(),
        _ => Cow::Borrowed(""),
    }
}
