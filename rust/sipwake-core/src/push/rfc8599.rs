//! RFC 8599: `pn-*` in the Contact URI, `Feature-Caps` in the answer.
//!
//! ```text
//! pn-provider [= pvalue], pn-param = pvalue, pn-prid = pvalue     ; Contact URI parameters (section 9)
//! +sip.pns = "<provider>", +sip.vapid, +sip.pnsreg, +sip.pnspurr  ; Feature-Caps (sections 10 and 11)
//! ```

use super::{Binding, Provider, Push, Removal, Tags};
use crate::sip::FeatureCaps;

/// The `pn-provider` value of a provider.
pub(super) fn provider_name(provider: &Provider) -> &str {
    match provider {
        Provider::Apns => "apns",
        Provider::Fcm | Provider::FcmOnIos => "fcm",
        Provider::WebPush => "webpush",
        Provider::Other(name) => name,
    }
}

/// Adds the `pn-*` parameters.
pub(super) fn write(push: &Push, binding: Binding<'_>, tags: &mut Tags) {
    let provider = provider_name(push.provider());
    match binding {
        Binding::Token(token) => {
            triple(push, provider, Some(token.single()), tags);
            if push.wakes_itself() {
                tags.bare_contact_param("+sip.pnsreg");
            }
        }
        Binding::Unbound if push.removal() == Removal::NullPrid => triple(push, provider, Some("null"), tags),
        Binding::Unbound | Binding::NoneYet => {}
        Binding::LoggedOut(last) => match (push.removal(), last) {
            (Removal::NullPrid, _) => triple(push, provider, Some("null"), tags),
            (Removal::SameBinding, Some(token)) => {
                triple(push, provider, Some(token.single()), tags);
            }
            (Removal::SameBinding, None) => {}
            (Removal::WithoutPrid, _) => triple(push, provider, None, tags),
        },
        Binding::Query(Some(asked)) => tags.uri_param("pn-provider", asked),
        Binding::Query(None) => tags.bare_uri_param("pn-provider"),
    }
}

fn triple(push: &Push, provider: &str, prid: Option<&str>, tags: &mut Tags) {
    tags.uri_param("pn-provider", provider);
    if let Some(param) = push.pn_param() {
        tags.uri_param("pn-param", &param);
    }
    if let Some(prid) = prid {
        tags.uri_param("pn-prid", prid);
    }
}

/// What the `Feature-Caps` of a response say about one provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Caps {
    /// Every provider that they name, in order.
    pub(super) providers: Vec<String>,
    /// Our provider is one of them.
    pub(super) ours: bool,
    pub(super) vapid: Option<String>,
    pub(super) refresh_lead: Option<u32>,
    pub(super) purr: Option<String>,
}

/// Reads the capabilities. Those beside the `+sip.pns` of another provider do not count (RFC 8599 section 11).
pub(super) fn read(provider: &str, fields: &[FeatureCaps]) -> Caps {
    let mut caps = Caps::default();
    for field in fields {
        let Some(named) = value(field, &["+sip.pns", "sip.pns"]) else { continue };
        let ours = named.eq_ignore_ascii_case(provider);
        if ours && !caps.ours {
            caps.ours = true;
            caps.vapid = value(field, &["+sip.vapid", "sip.vapid"]).map(str::to_owned);
            // The text of the RFC misspells the tag twice as `sip.pnsreq`.
            caps.refresh_lead = value(field, &["+sip.pnsreg", "+sip.pnsreq", "sip.pnsreg", "sip.pnsreq"])
                .and_then(|seconds| seconds.trim().parse().ok());
            caps.purr = value(field, &["+sip.pnspurr", "sip.pnspurr"]).map(str::to_owned);
        }
        if caps.providers.len() < MAX_PROVIDERS {
            caps.providers.push(named.to_owned());
        }
    }
    caps
}

/// Returns every provider that a response names.
pub(crate) fn providers(fields: &[FeatureCaps]) -> Vec<String> {
    read("", fields).providers
}

const MAX_PROVIDERS: usize = 32;

fn value<'a>(field: &'a FeatureCaps, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| field.value(name))
}
