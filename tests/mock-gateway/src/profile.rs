//! Server profiles as data: what each kind of server reads, responds and forgets.

use std::time::Duration;

use crate::digest::{Algorithm, Challenges, Offer};
use crate::habits::Habits;

/// How a server lists its push services in a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureCaps {
    /// Not at all.
    Silent,
    /// `*;+sip.pns="fcm"` (RFC 8599).
    Standard,
    /// `+sip.pns="fcm"` without the `*;`, as OpenSIPS writes it.
    WithoutStar,
}

/// How a server decides whether two Contacts are the same binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactMatch {
    /// `+sip.instance` with `reg-id` (RFC 5626), else the URI by RFC 3261, 19.1.4.
    Standard,
    /// Byte by byte.
    Exact,
    /// The `pn-*` parameters that are present in both, else byte by byte (OpenSIPS).
    PushParams,
}

/// The vendor whose push payloads are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// `ntype`, `nfrom`, …
    Mizutech,
    /// `loc-key`, `call-id`, …
    Flexisip,
    /// `msg_type`, `send_from`, …
    PortSip,
    /// An empty push: RFC 8599 gives it no content.
    Bare,
}

/// Everything in which one kind of server differs from another.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The name, for logs.
    pub name: String,
    /// Reads `pn-provider`, `pn-param`, `pn-prid`.
    pub reads_rfc8599: bool,
    /// Reads X-MPUSH, X-PIID and the X-Sy headers.
    pub reads_mpush: bool,
    /// Reads X-Push, x-p-push and portsip-push.
    pub reads_portsip: bool,
    /// Reads `push-token-*` and `app-id`/`pn-type`/`pn-tok`.
    pub reads_legacy: bool,
    /// How push services are listed.
    pub feature_caps: FeatureCaps,
    /// The providers served; an empty list serves every one.
    pub providers: Vec<String>,
    /// Whether an unknown provider is refused with 555.
    pub sends_555: bool,
    /// Whether `webpush` without `pn-param` is refused with 555.
    pub webpush_needs_param: bool,
    /// Whether a capability query leaves a binding behind.
    pub query_leaves_binding: bool,
    /// The `+sip.pnsreg` value, in seconds.
    pub pnsreg: Option<u32>,
    /// Whether a `+sip.pnspurr` is given out.
    pub purr: bool,
    /// The `+sip.vapid` value, given with webpush.
    pub vapid: Option<String>,
    /// How Contacts are matched.
    pub contact_match: ContactMatch,
    /// Whether the push binding survives an unregister or an expiry.
    pub keeps_push: bool,
    /// Whether X-PIID makes the server register at the upper server.
    pub registers_upstream: bool,
    /// Whether a push asks for a new REGISTER before the binding expires (without X-PIID).
    pub sends_refresh_push: bool,
    /// Whether a cancelled call also sends a push.
    pub sends_cancel_push: bool,
    /// Whether the server removes `pn-*` from the Request-URI of an INVITE or MESSAGE.
    pub strips_pn: bool,
    /// Whether INVITE and MESSAGE carry the push's id in X-Push-ID.
    pub sends_x_push_id: bool,
    /// The payloads' vendor.
    pub payload: Payload,
    /// How REGISTER is challenged.
    pub challenges: Challenges,
    /// The shortest accepted `expires`, in seconds; a shorter one gets 423.
    pub min_expires: u32,
    /// The longest lifetime, in seconds.
    pub max_expires: u32,
    /// If set, the server accepts `Path` and returns this `Service-Route`.
    pub service_route: Option<String>,
    /// The X-Sy.AuthURI to send; the digest `uri` must then be this.
    pub auth_uri: Option<String>,
    /// How long an INVITE or MESSAGE waits for a sleeping client.
    pub hold: Duration,
    /// How long a leg may stay silent before its client counts as asleep and gets a push.
    pub silence: Duration,
    /// What it does differently from the standards.
    pub habits: Habits,
}

impl Profile {
    /// The names that [`Profile::named`] knows.
    pub const NAMES: [&'static str; 8] =
        ["rfc8599", "xmpush", "mizutech", "opensips", "flexisip", "portsip", "kamailio", "none"];

    /// Returns a ready-made profile.
    pub fn named(name: &str) -> Option<Profile> {
        let plain = Profile::plain();
        let offers = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let mut profile = match name {
            "none" => plain,
            "rfc8599" => Profile {
                reads_rfc8599: true,
                feature_caps: FeatureCaps::Standard,
                providers: offers(&["apns", "fcm", "webpush"]),
                sends_555: true,
                pnsreg: Some(121),
                purr: true,
                vapid: Some(
                    "BHFJbVcbuk1AEaqTPnr8vYBGPCqPNqFZhMUXbVhwmiHsl2sM4Wev5nuEUGgYsFSmf4OZ7nKxnMUkLkrFoqh1v5w".into(),
                ),
                payload: Payload::Bare,
                ..plain
            },
            "xmpush" => Profile {
                reads_mpush: true,
                keeps_push: true,
                registers_upstream: true,
                sends_refresh_push: true,
                ..plain
            },
            "mizutech" => Profile {
                reads_mpush: true,
                reads_rfc8599: true,
                reads_legacy: true,
                keeps_push: true,
                registers_upstream: true,
                sends_refresh_push: true,
                feature_caps: FeatureCaps::Standard,
                providers: offers(&["apns", "fcm", "webpush"]),
                ..plain
            },
            "opensips" => Profile {
                reads_rfc8599: true,
                feature_caps: FeatureCaps::WithoutStar,
                providers: offers(&["apns", "fcm", "webpush"]),
                sends_555: true,
                webpush_needs_param: true,
                query_leaves_binding: true,
                pnsreg: Some(130),
                purr: true,
                contact_match: ContactMatch::PushParams,
                strips_pn: true,
                payload: Payload::Bare,
                challenges: Challenges {
                    nonce_life: Duration::from_secs(30),
                    ..Challenges::one(Offer::new(Algorithm::Md5))
                },
                ..plain
            },
            "flexisip" => Profile {
                reads_rfc8599: true,
                reads_legacy: true,
                providers: offers(&["apns", "apns.dev", "fcm"]),
                payload: Payload::Flexisip,
                challenges: Challenges {
                    offers: vec![Offer::new(Algorithm::Sha256), Offer::new(Algorithm::Md5)],
                    ..Challenges::one(Offer::new(Algorithm::Md5))
                },
                ..plain
            },
            "portsip" => Profile { reads_portsip: true, sends_x_push_id: true, payload: Payload::PortSip, ..plain },
            "kamailio" => Profile {
                reads_rfc8599: true,
                contact_match: ContactMatch::Exact,
                payload: Payload::Bare,
                challenges: Challenges {
                    stale_flag: false,
                    offers: vec![Offer { names_algorithm: false, ..Offer::new(Algorithm::Md5) }],
                    ..Challenges::one(Offer::new(Algorithm::Md5))
                },
                ..plain
            },
            _ => return None,
        };
        profile.name = name.to_owned();
        Some(profile)
    }

    /// A registrar that knows nothing about push.
    pub fn plain() -> Profile {
        Profile {
            name: "none".into(),
            reads_rfc8599: false,
            reads_mpush: false,
            reads_portsip: false,
            reads_legacy: false,
            feature_caps: FeatureCaps::Silent,
            providers: Vec::new(),
            sends_555: false,
            webpush_needs_param: false,
            query_leaves_binding: false,
            pnsreg: None,
            purr: false,
            vapid: None,
            contact_match: ContactMatch::Standard,
            keeps_push: false,
            registers_upstream: false,
            sends_refresh_push: false,
            sends_cancel_push: false,
            strips_pn: false,
            sends_x_push_id: false,
            payload: Payload::Mizutech,
            challenges: Challenges::one(Offer::new(Algorithm::Md5)),
            min_expires: 10,
            max_expires: 3600,
            service_route: None,
            auth_uri: None,
            hold: Duration::from_secs(40),
            silence: Duration::from_millis(1500),
            habits: Habits::default(),
        }
    }

    pub(crate) fn serves(&self, provider: &str) -> bool {
        self.providers.is_empty() || self.providers.iter().any(|p| p.eq_ignore_ascii_case(provider))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_has_a_profile_and_others_have_none() {
        for name in Profile::NAMES {
            assert_eq!(Profile::named(name).map(|p| p.name).as_deref(), Some(name));
        }
        assert_eq!(Profile::named("asterisk"), None);
    }
}
