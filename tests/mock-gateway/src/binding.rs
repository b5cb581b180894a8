//! Users and the bindings of their addresses of record.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::UserConfig;
use crate::parse::{NameAddr, Uri};
use crate::profile::{ContactMatch, Profile};
use crate::tags::PushTarget;
use crate::transport::FlowId;

/// A reply that a test wants instead of the registrar's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripted {
    /// The status.
    pub status: u16,
    /// More header fields, e.g. `Retry-After` or `Contact` for a 302.
    pub headers: Vec<(String, String)>,
    /// Whether the REGISTER must authenticate first.
    pub after_auth: bool,
}

/// One binding, as a test reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingView {
    /// The Contact URI as sent.
    pub contact: String,
    /// Whether the registration itself is alive; a kept push binding may outlive it.
    pub registered: bool,
    /// Whether the mock takes the client for asleep.
    pub asleep: bool,
    /// Its remaining lifetime.
    pub expires: Duration,
    /// The push target, if one is bound.
    pub push: Option<PushTarget>,
    /// Call-ID of the REGISTER that made it.
    pub call_id: String,
    /// CSeq of the last REGISTER.
    pub cseq: u32,
    /// The flow of the last REGISTER.
    pub flow: FlowId,
    /// The `+sip.instance`.
    pub instance: Option<String>,
}

/// A binding, as the registrar stores it.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) id: u64,
    pub(crate) contact: NameAddr,
    pub(crate) registered: bool,
    pub(crate) asleep: bool,
    pub(crate) until: Instant,
    pub(crate) push: Option<PushTarget>,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) flow: FlowId,
}

impl Binding {
    pub(crate) fn view(&self, now: Instant) -> BindingView {
        BindingView {
            contact: self.contact.uri.clone(),
            registered: self.registered,
            asleep: self.asleep,
            expires: self.until.saturating_duration_since(now),
            push: self.push.clone(),
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            flow: self.flow,
            instance: self.contact.param("+sip.instance").map(str::to_owned),
        }
    }

    /// Returns the Contact element for a 200: URI, remaining expiry, and what identifies the client.
    pub(crate) fn contact_line(&self, now: Instant) -> String {
        let left = self.until.saturating_duration_since(now).as_secs_f64().ceil();
        let mut out = format!("<{}>;expires={left:.0}", self.contact.uri);
        for name in ["q", "reg-id"] {
            if let Some(value) = self.contact.param(name) {
                out.push_str(&format!(";{name}={value}"));
            }
        }
        if let Some(instance) = self.contact.param("+sip.instance") {
            out.push_str(&format!(";+sip.instance=\"{instance}\""));
        }
        out
    }
}

/// Tells whether an incoming Contact refers to a stored one.
pub(crate) fn same_binding(rule: ContactMatch, stored: &NameAddr, incoming: &NameAddr) -> bool {
    let (Some(a), Some(b)) = (Uri::parse(&stored.uri), Uri::parse(&incoming.uri)) else {
        return stored.uri == incoming.uri;
    };
    match rule {
        ContactMatch::Exact => stored.uri == incoming.uri,
        ContactMatch::Standard => {
            // RFC 5626, 6: instance and reg-id decide when both are there.
            let key = |c: &NameAddr| {
                Some((c.param("+sip.instance")?.to_owned(), c.param("reg-id").unwrap_or_default().to_owned()))
            };
            match (key(stored), key(incoming)) {
                (Some(one), Some(other)) => one == other,
                _ => without_push(&a).same_as(&without_push(&b)),
            }
        }
        ContactMatch::PushParams => {
            let names = ["pn-provider", "pn-param", "pn-prid"];
            let present: Vec<&str> = names.into_iter().filter(|n| b.param(n).is_some()).collect();
            if present.is_empty() {
                stored.uri == incoming.uri
            } else {
                present.iter().all(|n| a.param(n) == b.param(n))
            }
        }
    }
}

/// A rotated token must not turn one client into two bindings. RFC 8599, 4.1.1 demands nothing here of the registrar,
/// so the standard rule compares the rest of the URI.
fn without_push(uri: &Uri) -> Uri {
    let mut uri = uri.clone();
    uri.params.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("pn-"));
    uri
}

/// A user of the registrar.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) config: UserConfig,
    pub(crate) profile: Profile,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) scripted: VecDeque<Scripted>,
    pub(crate) wrong_passwords: u32,
    /// REGISTERs that were received.
    pub(crate) asked: u32,
    /// REGISTERs that were answered with 200.
    pub(crate) registered: u32,
    /// Answers to a challenge that a habit refused as stale.
    pub(crate) staled: u32,
    pub(crate) upstream: Option<Upstream>,
    /// The two values of the phone's push key: its pushes are sealed with it.
    pub(crate) push_key: Option<(String, String)>,
}

impl User {
    pub(crate) fn new(config: UserConfig, default: &Profile) -> User {
        let profile = config.profile.clone().unwrap_or_else(|| default.clone());
        User {
            config,
            profile,
            bindings: Vec::new(),
            scripted: VecDeque::new(),
            wrong_passwords: 0,
            asked: 0,
            registered: 0,
            staled: 0,
            upstream: None,
            push_key: None,
        }
    }

    /// Drops expired bindings. A kept push binding stays without its registration.
    pub(crate) fn expire(&mut self, now: Instant) {
        let keeps = self.profile.keeps_push;
        for binding in &mut self.bindings {
            binding.registered &= binding.until > now;
        }
        let habits = self.profile.habits;
        self.bindings.retain(|b| b.registered || b.push.as_ref().is_some_and(|push| keeps || habits.keeps(push)));
    }
}

/// The state of the mock's registration at the upper SIP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// X-PIID, the HA1 that the mock registers with.
    pub piid: String,
    /// X-Sy.Uppersrv.
    pub server: Option<String>,
    /// X-Sy.Uppersrvd.
    pub domain: Option<String>,
    /// X-Sy.Upperproxy.
    pub proxy: Option<String>,
    /// The last final status from the upper server; `None` while under way.
    pub status: Option<u16>,
    /// How many upper registrations were completed.
    pub completed: u32,
    /// The lifetime; 0 after an unregister.
    pub expires: u32,
}
