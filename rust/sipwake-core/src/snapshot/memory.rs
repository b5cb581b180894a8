//! What is remembered about one registration.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::envelope::each_readable;
use super::wanted::{Quiet, WantedToken};
use crate::clock::Now;
use crate::digest::NonceCache;
use crate::push::{Dialect, Push, PushConfig, PushToken, Shown};
use crate::random::Random;
use crate::redact::Secret;

/// How many bindings at left gateways are remembered. Each is removed at its gateway.
pub(crate) const MAX_LEFT: usize = 4;
/// In place of the number of refusals: the gateway did not respond, and the binding is over by the wall clock.
pub(crate) const GIVEN_UP: u8 = u8::MAX;

/// What is remembered about one registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// One Call-ID for all REGISTERs of a registration (RFC 3261 10.2).
    pub(crate) call_id: Box<str>,
    pub(crate) from_tag: Box<str>,
    /// No CSeq up to this one is used again. 0 means that nothing was ever sent.
    pub(crate) cseq_reserved: u32,
    pub(crate) nonces: NonceCache,
    /// The realm of the last challenge, for `X-PIID`.
    pub(crate) realm: Option<Box<str>>,
    /// A server has accepted a REGISTER with the `X-PIID` of this realm, or the app has accepted the realm.
    #[serde(default)]
    pub(crate) realm_pinned: bool,
    /// `X-Sy.AuthURI` of the last response.
    pub(crate) auth_uri: Option<Box<str>>,
    pub(crate) shown: Shown,
    pub(crate) token: WantedToken,
    /// The user does not want to be disturbed. `token` is what is wanted meanwhile, and this holds what will be wanted
    /// again.
    #[serde(default)]
    pub(crate) quiet: Option<Box<Quiet>>,
    /// The binding that the server holds, as far as is known.
    pub(crate) bound: Option<ConfirmedBinding>,
    /// What a REGISTER said about push that has no 2xx yet. If its response is lost, the server may still have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unconfirmed: Option<Box<ConfirmedBinding>>,
    /// Contacts that the server may hold and should not.
    #[serde(deserialize_with = "each_readable")]
    pub(crate) former: Vec<StaleContact>,
    /// The edge proxy responded with 439, so `reg-id` is left out (RFC 5626 11.6).
    #[serde(default)]
    pub(crate) no_outbound: bool,
    /// The server takes an old Contact of ours and the new one for the same binding. One request must not have both.
    #[serde(default)]
    pub(crate) separate_removal: bool,
    /// The server has listed our Contact at another host than we sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rewrites: bool,
    /// The port of the Contact. It is used again, so that the Contact stays the same.
    pub(crate) local_port: Option<u16>,
    /// The account is not registered and only sent a query. The query's binding is removed, and no other one is made.
    #[serde(default)]
    pub(crate) asked_only: bool,
    /// Wall time, in seconds since 1970, of the last 555 to RFC 8599.
    pub(crate) refused_at: Option<u64>,
    /// Why the server refused a Contact with `pn-*`, in its own words. `None` after a 555.
    pub(crate) refused_why: Option<Box<str>>,
    /// Our address when a server was last believed over a transport without TLS, where others can write, too. What it
    /// said counts only on that network and in this process, because another network may give us the same address.
    #[serde(default)]
    pub(crate) heard_at: Option<IpAddr>,
    /// The server has shown that it is one of Mizutech's.
    #[serde(default)]
    pub(crate) mizutech: bool,
    /// Wall time, in seconds since 1970, at which the user logged out.
    pub(crate) left_at: Option<NonZeroU64>,
    /// A server accepted the credentials once.
    #[serde(default)]
    pub(crate) worked: bool,
    /// A server may hold what no record names: the record of an earlier process could not be read, or a gateway that was left
    /// never took its removal. From then on no log-out is proven.
    #[serde(default)]
    pub(crate) lost: bool,
    /// What the left gateways may still hold, beginning with the one that was left last.
    #[serde(default, deserialize_with = "each_readable")]
    pub(crate) left: Vec<ConfirmedBinding>,
}

impl Memory {
    pub(crate) fn fresh(random: &mut Random) -> Self {
        Self { call_id: random.token().into(), from_tag: random.token().into(), ..Self::default() }
    }

    /// Forgets what somebody may have forged.
    pub(crate) fn forget_hearsay(&mut self) {
        if self.heard_at.is_none() {
            return;
        }
        (self.heard_at, self.auth_uri, self.refused_at, self.refused_why) = (None, None, None, None);
        (self.shown, self.no_outbound) = (Shown::Nothing, false);
        self.realm = self.realm.take().filter(|_| self.realm_pinned);
    }

    /// The replacement for an unreadable record: a server may have an unknown binding.
    pub(crate) fn lost(random: &mut Random) -> Self {
        Self { cseq_reserved: 1, lost: true, ..Self::fresh(random) }
    }

    /// Notes that the user does not want to be disturbed until then, in wall time. Returns whether that is new.
    pub(crate) fn be_quiet(&mut self, until: Duration, now: Now) -> bool {
        let until = until.as_secs().saturating_add(u64::from(until.subsec_nanos() > 0));
        let since = now.wall.as_secs();
        if let Some(quiet) = &mut self.quiet {
            let changed = quiet.until != until;
            (quiet.until, quiet.since) = (until, since);
            quiet.look_at_clock(now);
            return changed;
        }
        let then = match std::mem::take(&mut self.token) {
            WantedToken::NoneYet => self.bound_token().map_or(WantedToken::NoneYet, WantedToken::Bind),
            wanted => wanted,
        };
        self.token = WantedToken::Unbind(then.last().cloned());
        let mut quiet = Quiet { until, since, then, over_at: None };
        quiet.look_at_clock(now);
        self.quiet = Some(Box::new(quiet));
        true
    }

    /// Notes that "do not disturb" is over. Returns whether anything changed.
    pub(crate) fn end_quiet(&mut self) -> bool {
        let Some(quiet) = self.quiet.take() else { return false };
        self.token = quiet.then;
        true
    }

    /// What is wanted of the token when do not disturb is off.
    pub(crate) fn lasting_token(&mut self) -> &mut WantedToken {
        match &mut self.quiet {
            Some(quiet) => &mut quiet.then,
            None => &mut self.token,
        }
    }

    /// Takes over the record of an earlier process, which could not be read until now. `is_said` means that the app has
    /// said meanwhile whether the user may be disturbed.
    pub(crate) fn restore_token(&mut self, token: WantedToken, quiet: Option<Box<Quiet>>, is_said: bool) {
        let (earlier, quiet) = match quiet {
            Some(mut quiet) => (std::mem::take(&mut quiet.then), Some(quiet).filter(|_| !is_said)),
            None => (token, None),
        };
        if *self.lasting_token() == WantedToken::NoneYet {
            *self.lasting_token() = earlier;
        }
        if let Some(quiet) = quiet {
            let then = std::mem::take(&mut self.token);
            self.quiet = Some(Box::new(Quiet { then, ..*quiet }));
        }
        if let Some(quiet) = &self.quiet {
            self.token = WantedToken::Unbind(quiet.then.last().cloned());
        }
    }

    fn bound_token(&self) -> Option<PushToken> {
        self.bound.as_ref()?.token.clone()
    }
}

/// A binding that a 200 confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredBinding", into = "StoredBinding")]
pub(crate) struct ConfirmedBinding {
    /// The whole Contact URI as it was sent.
    pub(crate) uri: Secret,
    /// The length of the URI before the push parameters.
    base: usize,
    pub(crate) token: Option<PushToken>,
    /// Wall time, in seconds since 1970.
    pub(crate) expires_at: u64,
    /// The [`name`](crate::account::Hop::name) of the gateway that accepted it. `None` after a redirect, or in old
    /// records.
    pub(crate) gateway: Option<Box<str>>,
    /// What the client said about push with it. A removal must take all of it back. `None` if it said nothing.
    pub(crate) spoken: Option<Spoken>,
    /// The server's list has named it. When the list no longer does, the binding is gone.
    pub(crate) listed: bool,
    /// The server that accepted it had shown that it is one of Mizutech's.
    pub(crate) mizutech: bool,
    /// How often the left gateway that holds it has refused to remove it, or [`GIVEN_UP`].
    pub(crate) refusals: u8,
}

/// What the client said about push with a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The settings. They are shared with the account's as long as they are the same.
    pub(crate) push: Arc<Push>,
    /// Every dialect that was used, also those that turned out not to be needed.
    pub(crate) dialects: Vec<Dialect>,
}

impl Spoken {
    /// Whether all of it was in the Contact, so that it ends with the Contact.
    pub(crate) fn lives_in_contact(&self) -> bool {
        !self.dialects.iter().any(|dialect| matches!(dialect, Dialect::XMpush | Dialect::PortSip(_)))
    }
}

impl ConfirmedBinding {
    /// Returns `None` if the Contact URI does not begin with its base.
    pub(crate) fn new(
        base: &str,
        uri: &str,
        token: Option<PushToken>,
        expires_at: u64,
        gateway: Option<Box<str>>,
    ) -> Option<Self> {
        uri.starts_with(base).then(|| Self {
            uri: Secret::new(uri),
            base: base.len(),
            token,
            expires_at,
            gateway,
            spoken: None,
            listed: false,
            mizutech: false,
            refusals: 0,
        })
    }

    /// Another Contact that the same gateway holds, with what was said there. `None` if the URI is not a Contact of
    /// ours.
    pub(crate) fn beside(&self, uri: &str, expires_at: u64) -> Option<Self> {
        let base = uri.split(";pn-").next()?;
        let there = Self::new(base, uri, self.token.clone(), expires_at, self.gateway.clone())?;
        Some(Self { spoken: self.spoken.clone(), listed: true, mizutech: self.mizutech, ..there })
    }

    /// The Contact URI without push parameters.
    pub(crate) fn base(&self) -> &str {
        &self.uri.expose()[..self.base]
    }
}

/// The stored form of a [`ConfirmedBinding`].
#[derive(Serialize, Deserialize)]
struct StoredBinding {
    base: Secret,
    uri: Secret,
    token: Option<PushToken>,
    expires_at: u64,
    gateway: Option<Box<str>>,
    push: Option<PushConfig>,
    #[serde(default)]
    dialects: Vec<Dialect>,
    #[serde(default)]
    listed: bool,
    #[serde(default)]
    mizutech: bool,
    #[serde(default)]
    refusals: u8,
}

impl From<ConfirmedBinding> for StoredBinding {
    fn from(bound: ConfirmedBinding) -> Self {
        let base = Secret::new(bound.base());
        let ConfirmedBinding { uri, token, expires_at, gateway, spoken, listed, mizutech, refusals, .. } = bound;
        let push = spoken.as_ref().map(|spoken| spoken.push.config());
        let dialects = spoken.map(|spoken| spoken.dialects).unwrap_or_default();
        Self { base, uri, token, expires_at, gateway, push, dialects, listed, mizutech, refusals }
    }
}

impl TryFrom<StoredBinding> for ConfirmedBinding {
    type Error = &'static str;

    fn try_from(stored: StoredBinding) -> Result<Self, Self::Error> {
        let StoredBinding { base, uri, token, expires_at, gateway, push, dialects, listed, mizutech, refusals } =
            stored;
        let mut bound = Self::new(base.expose(), uri.expose(), token, expires_at, gateway)
            .ok_or("the Contact URI does not begin with its base")?;
        let push = push.and_then(|push| Push::parse(push).ok());
        bound.spoken = push.map(|push| Spoken { push: Arc::new(push), dialects });
        (bound.listed, bound.mizutech, bound.refusals) = (listed, mizutech, refusals);
        Ok(bound)
    }
}

/// A Contact that is no longer ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StaleContact {
    pub(crate) uri: Secret,
    /// Wall time, in seconds since 1970, at which the server forgets it by itself.
    pub(crate) expires_at: u64,
    /// How many 200s still listed it after its removal was asked for.
    pub(crate) refusals: u8,
    /// A server has shown that it holds it. For the others, nobody knows whether a server ever saw them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) confirmed: bool,
}

#[cfg(test)]
mod tests {
    use super::super::{open, seal};
    use super::*;

    #[test]
    fn a_bound_contact_is_stored_with_its_base_and_read_only_if_it_begins_with_the_base() {
        let bound = ConfirmedBinding::new("sip:a@b", "sip:a@b;pn-prid=t", None, 7, Some("gw.example".into()));
        let memory = Memory { bound: bound.clone(), ..Memory::fresh(&mut Random::new([1; 32])) };
        let record = seal(&memory);
        let stored = String::from_utf8(record.clone()).expect("JSON");
        let text = r#""bound":{"base":"sip:a@b","uri":"sip:a@b;pn-prid=t","token":null,"expires_at":7,"gateway":"gw.example"}"#;
        // The other things that a binding remembers come after this, and may be missing.
        assert!(stored.contains(text.trim_end_matches('}')), "{stored}");
        let read = open::<Memory>(&record).expect("sound").bound.expect("bound");
        assert_eq!((read.base(), Some(&read)), ("sip:a@b", bound.as_ref()));
        let read = |text: &str| serde_json::from_str::<ConfirmedBinding>(text).ok();
        assert_eq!(read(&text[8..].replace("sip:a@b\"", "sip:c@d\"")), None);
        let old = read(&text[8..].replace(r#","gateway":"gw.example""#, ""));
        assert_eq!(old.expect("a record of a version that stored no gateways").gateway, None);
    }
}
