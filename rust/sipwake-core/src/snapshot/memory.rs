//! What is remembered of one registration.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::envelope::each_readable;
use super::wish::{Quiet, TokenWish};
use crate::clock::Now;
use crate::digest::NonceCache;
use crate::push::{Dialect, Push, PushConfig, PushToken, Shown};
use crate::random::Random;
use crate::redact::Secret;

/// The bindings at gateways that were left, each of which is to be taken back there.
pub(crate) const MAX_LEFT: usize = 4;

/// What is remembered of one registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// One Call-ID for all REGISTERs of a registration (RFC 3261 10.2).
    pub(crate) call_id: Box<str>,
    pub(crate) from_tag: Box<str>,
    /// No CSeq up to this one is used again; 0: nothing was ever sent.
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
    pub(crate) token: TokenWish,
    /// The user does not want to be disturbed: `token` says so, and this says what it will be again.
    #[serde(default)]
    pub(crate) quiet: Option<Box<Quiet>>,
    /// What the server holds, as far as it is known.
    pub(crate) bound: Option<Bound>,
    /// Contacts that the server may hold and should not.
    #[serde(deserialize_with = "each_readable")]
    pub(crate) former: Vec<Former>,
    /// The edge proxy answered 439: no `reg-id` (RFC 5626 11.6).
    #[serde(default)]
    pub(crate) no_outbound: bool,
    /// The server takes an old Contact of ours and the new one for the same binding: they must not go together.
    #[serde(default)]
    pub(crate) separate_removal: bool,
    /// The port of the Contact, to be used again so that it stays the same.
    pub(crate) local_port: Option<u16>,
    /// The account is not registered and only sent a query: the binding of the query is removed, and no other is made.
    #[serde(default)]
    pub(crate) asked_only: bool,
    /// Wall time, in seconds since 1970, at which the server last answered 555 to RFC 8599.
    pub(crate) refused_at: Option<u64>,
    /// Why a Contact with `pn-*` was refused, in the server's words; `None` after a 555.
    pub(crate) refused_why: Option<Box<str>>,
    /// Our address when a server was last believed over a transport on which others can write along: what it said does not
    /// outlive that network, nor the process, since another network may give the same address.
    #[serde(default)]
    pub(crate) heard_at: Option<IpAddr>,
    /// The server has shown that it is one of Mizutech's.
    #[serde(default)]
    pub(crate) mizutech: bool,
    /// Wall time, in seconds since 1970, at which the user logged out.
    pub(crate) left_at: Option<u64>,
    /// The credentials were accepted once.
    #[serde(default)]
    pub(crate) worked: bool,
    /// The record of an earlier process could not be read: what that had bound nobody knows.
    #[serde(default)]
    pub(crate) lost: bool,
    /// What the gateways that were left may still hold, the last of them first.
    #[serde(default, deserialize_with = "each_readable")]
    pub(crate) left: Vec<Bound>,
}

impl Memory {
    pub(crate) fn fresh(random: &mut Random) -> Self {
        Self { call_id: random.token().into(), from_tag: random.token().into(), ..Self::default() }
    }

    /// Forgets what may have been a lie.
    pub(crate) fn forget_hearsay(&mut self) {
        if self.heard_at.is_none() {
            return;
        }
        (self.heard_at, self.auth_uri, self.refused_at, self.refused_why) = (None, None, None, None);
        (self.shown, self.no_outbound) = (Shown::Nothing, false);
        self.realm = self.realm.take().filter(|_| self.realm_pinned);
    }

    /// What is left if the record cannot be read: a server may hold something unknown.
    pub(crate) fn lost(random: &mut Random) -> Self {
        Self { cseq_reserved: 1, lost: true, ..Self::fresh(random) }
    }

    /// The user does not want to be disturbed until then, in wall time. Returns whether that is new.
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
            TokenWish::NoneYet => self.bound_token().map_or(TokenWish::NoneYet, TokenWish::Bind),
            wish => wish,
        };
        self.token = TokenWish::Unbind(then.last().cloned());
        let mut quiet = Quiet { until, since, then, over_at: None };
        quiet.look_at_clock(now);
        self.quiet = Some(Box::new(quiet));
        true
    }

    /// The user may be disturbed again. Returns whether anything changed.
    pub(crate) fn end_quiet(&mut self) -> bool {
        let Some(quiet) = self.quiet.take() else { return false };
        self.token = quiet.then;
        true
    }

    /// What is wanted of the token, apart from a user who does not want to be disturbed.
    pub(crate) fn lasting_wish(&mut self) -> &mut TokenWish {
        match &mut self.quiet {
            Some(quiet) => &mut quiet.then,
            None => &mut self.token,
        }
    }

    /// Takes over what an earlier process remembered, which could not be read until now. `is_said`: the app has told meanwhile whether
    /// the user may be disturbed.
    pub(crate) fn recall_wishes(&mut self, token: TokenWish, quiet: Option<Box<Quiet>>, is_said: bool) {
        let (earlier, quiet) = match quiet {
            Some(mut quiet) => (std::mem::take(&mut quiet.then), Some(quiet).filter(|_| !is_said)),
            None => (token, None),
        };
        if *self.lasting_wish() == TokenWish::NoneYet {
            *self.lasting_wish() = earlier;
        }
        if let Some(quiet) = quiet {
            let then = std::mem::take(&mut self.token);
            self.quiet = Some(Box::new(Quiet { then, ..*quiet }));
        }
        if let Some(quiet) = &self.quiet {
            self.token = TokenWish::Unbind(quiet.then.last().cloned());
        }
    }

    fn bound_token(&self) -> Option<PushToken> {
        self.bound.as_ref()?.token.clone()
    }
}

/// A Contact that a 200 confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredBound", into = "StoredBound")]
pub(crate) struct Bound {
    /// The whole Contact URI as it was sent.
    pub(crate) uri: Secret,
    /// How much of it stands before the push parameters.
    base: usize,
    pub(crate) token: Option<PushToken>,
    /// Wall time, in seconds since 1970.
    pub(crate) expires_at: u64,
    /// The gateway that took it, by its [`name`](crate::account::Hop::name); `None` where a redirect led, or in old records.
    pub(crate) gateway: Option<Box<str>>,
    /// What was said about push with it, all of which is to be taken back; `None` where nothing was.
    pub(crate) spoken: Option<Spoken>,
    /// The server's list named it. When it no longer does, it is gone.
    pub(crate) listed: bool,
    /// The server that took it had shown that it is one of Mizutech's.
    pub(crate) mizutech: bool,
    /// How often its gateway, which was left, has refused to remove it.
    pub(crate) refusals: u8,
}

/// What was said about push with a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The settings; shared with the account's while they are the same.
    pub(crate) push: Arc<Push>,
    /// Every dialect that was spoken, also those that the server later showed no need of.
    pub(crate) dialects: Vec<Dialect>,
}

impl Spoken {
    /// Whether all of it stood in the Contact, so that nothing outlives that.
    pub(crate) fn lives_in_contact(&self) -> bool {
        !self.dialects.iter().any(|dialect| matches!(dialect, Dialect::XMpush | Dialect::PortSip(_)))
    }
}

impl Bound {
    /// `None` if the Contact URI does not begin with its base.
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

    /// Another Contact that the same gateway holds, with all that was said there. `None` for what is no Contact of ours.
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

/// A [`Bound`] as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredBound {
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

impl From<Bound> for StoredBound {
    fn from(bound: Bound) -> Self {
        let base = Secret::new(bound.base());
        let Bound { uri, token, expires_at, gateway, spoken, listed, mizutech, refusals, .. } = bound;
        let push = spoken.as_ref().map(|spoken| spoken.push.config());
        let dialects = spoken.map(|spoken| spoken.dialects).unwrap_or_default();
        Self { base, uri, token, expires_at, gateway, push, dialects, listed, mizutech, refusals }
    }
}

impl TryFrom<StoredBound> for Bound {
    type Error = &'static str;

    fn try_from(stored: StoredBound) -> Result<Self, Self::Error> {
        let StoredBound { base, uri, token, expires_at, gateway, push, dialects, listed, mizutech, refusals } = stored;
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
pub(crate) struct Former {
    pub(crate) uri: Secret,
    /// Wall time, in seconds since 1970, after which the server has forgotten it by itself.
    pub(crate) expires_at: u64,
    /// How many 200s still listed it after its removal was asked for.
    pub(crate) refusals: u8,
    /// A server has shown that it holds it; of any other one nobody knows whether it was ever heard.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) confirmed: bool,
}

#[cfg(test)]
mod tests {
    use super::super::{open, seal};
    use super::*;

    #[test]
    fn a_bound_contact_is_stored_with_its_base_and_read_if_it_begins_with_it() {
        let bound = Bound::new("sip:a@b", "sip:a@b;pn-prid=t", None, 7, Some("gw.example".into()));
        let memory = Memory { bound: bound.clone(), ..Memory::fresh(&mut Random::new([1; 32])) };
        let record = seal(&memory);
        let stored = String::from_utf8(record.clone()).expect("JSON");
        let text = r#""bound":{"base":"sip:a@b","uri":"sip:a@b;pn-prid=t","token":null,"expires_at":7,"gateway":"gw.example"}"#;
        // What else a binding remembers comes after this, and may be missing.
        assert!(stored.contains(text.trim_end_matches('}')), "{stored}");
        let read = open::<Memory>(&record).expect("sound").bound.expect("bound");
        assert_eq!((read.base(), Some(&read)), ("sip:a@b", bound.as_ref()));
        let read = |text: &str| serde_json::from_str::<Bound>(text).ok();
        assert_eq!(read(&text[8..].replace("sip:a@b\"", "sip:c@d\"")), None);
        let old = read(&text[8..].replace(r#","gateway":"gw.example""#, ""));
        assert_eq!(old.expect("from before gateways were remembered").gateway, None);
    }
}
