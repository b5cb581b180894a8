//! Our Contact, and those that a REGISTER removes beside it.

use std::net::SocketAddr;

use super::{Binding, MAX_CLEANUPS, Purpose, Registrant};
use crate::account::Transport;
use crate::clock::Now;
use crate::flows::{Flows, Up};
use crate::push::{self, Dialect, Push, Removal, Tag, Tags};
use crate::redact::Secret;
use crate::snapshot::{ConfirmedBinding, WantedToken};

pub(super) struct OurContact {
    pub(super) uri: String,
    pub(super) params: String,
    pub(super) headers: Vec<Tag>,
}

impl Binding {
    /// Returns the Contact URI without push parameters. `None` while the flow is not up.
    pub(crate) fn contact_base(&self, who: &Registrant, flows: &Flows) -> Option<String> {
        let up = self.up(flows)?;
        Some(who.contact_base_at(&up, self.seen.as_deref(), &who.sent_by(&up)))
    }
}

impl Registrant {
    pub(super) fn contact_base_at(&self, up: &Up, seen: Option<&SocketAddr>, sent_by: &str) -> String {
        if let Some(base) = &self.stands_at {
            return base.to_string();
        }
        let aor = self.account.aor();
        let (user, secure) = (aor.user(), aor.as_str().starts_with("sips:"));
        let scheme = if secure { "sips:" } else { "sip:" };
        let seen = seen.map(|seen| seen.to_string());
        let address = seen.as_deref().unwrap_or(sent_by);
        match up.transport {
            Transport::Udp => [scheme, user, "@", address].concat(),
            // RFC 7118 5.2.2: the URI's transport is `ws` with and without TLS. The name leads nowhere, so it can stay
            // the same on every connection: the binding is renewed and leaves no old Contact behind.
            Transport::Ws | Transport::Wss => [scheme, user, "@", sent_by, ";transport=ws"].concat(),
            // RFC 5630 section 3.1.4: `sips:` already means TLS and does not go with `transport=tls`.
            Transport::Tls if secure => [scheme, user, "@", address, ";transport=tcp"].concat(),
            transport => [scheme, user, "@", address, ";transport=", transport.param()].concat(),
        }
    }

    /// Our host in Via: our address or, if nobody can connect to it, a name that leads nowhere (RFC 7118 section 5.1).
    pub(super) fn sent_by(&self, up: &Up) -> String {
        if up.transport.is_websocket() {
            return format!("{}.invalid", self.memory.from_tag);
        }
        up.local.to_string()
    }

    /// The binding that a REGISTER removes, if it removes one.
    pub(super) fn bound_for<'a>(&'a self, purpose: &'a Purpose) -> Option<&'a ConfirmedBinding> {
        match purpose {
            Purpose::Remove => self.memory.bound.as_ref(),
            Purpose::Vacate(bound) => Some(&**bound),
            Purpose::Bind | Purpose::Query(_) => None,
        }
    }

    /// `bare` leaves out the push parameters of the Contact, because the server refuses to read them.
    pub(super) fn contact(
        &self,
        push: Option<&Push>,
        spoken: &[Dialect],
        purpose: &Purpose,
        base: &str,
        bare: bool,
    ) -> OurContact {
        let bound = self.bound_for(purpose);
        let base = bound.map_or(base, ConfirmedBinding::base);
        let tags = match push {
            Some(push) => push.write(spoken, self.says(purpose), self.memory.token.last()),
            None => Tags::default(),
        };
        let mut params = self.instance_params();
        if bare {
            return OurContact { uri: base.to_owned(), params, headers: tags.headers };
        }
        tags.write_contact_params(&mut params);
        let same = push.is_none_or(|push| push.removal() == Removal::SameBinding);
        let uri = match bound.filter(|_| same) {
            Some(bound) => bound.uri.expose().to_owned(),
            None => {
                let mut uri = base.to_owned();
                tags.write_uri_params(&mut uri);
                uri
            }
        };
        OurContact { uri, params, headers: tags.headers }
    }

    /// What a REGISTER says about push.
    fn says<'a>(&'a self, purpose: &'a Purpose) -> push::Binding<'a> {
        let bound = self.memory.bound.as_ref().and_then(|bound| bound.token.as_ref());
        match (purpose, &self.memory.token) {
            (Purpose::Query(provider), _) => push::Binding::Query(provider.as_deref()),
            (Purpose::Remove, wanted) => push::Binding::LoggedOut(bound.or(wanted.last())),
            (Purpose::Vacate(bound), wanted) => push::Binding::LoggedOut(bound.token.as_ref().or(wanted.last())),
            (Purpose::Bind, WantedToken::Bind(token)) => push::Binding::Token(token),
            (Purpose::Bind, WantedToken::Unbind(_)) => push::Binding::Unbound,
            (Purpose::Bind, WantedToken::NoneYet) => push::Binding::NoneYet,
        }
    }

    /// The Contacts that the REGISTER names with `;expires=0` beside ours.
    pub(super) fn contacts_to_remove(
        &self,
        uri: &str,
        purpose: &Purpose,
        gateway: Option<&str>,
        lives: bool,
        now: Now,
    ) -> Vec<String> {
        let wall = now.wall.as_secs();
        // With an instance id the registrar replaces the binding by itself (RFC 5626 section 6), and some registrars do
        // so without one. If a 200 still lists the old Contact, it is removed anyway. A server without a list cannot be
        // relied on.
        let unseen = self.memory.bound.as_ref().is_some_and(|bound| !bound.listed);
        let instance = self.account.instance_id().is_some() && !self.memory.no_outbound && !unseen;
        let replaces = (instance || self.memory.separate_removal) && !purpose.removes();
        let mut removed: Vec<String> = Vec::new();
        let mut remove = |candidate: &Secret| {
            let candidate = candidate.expose();
            let apart = self.removes_apart(candidate) && !purpose.removes();
            if candidate != uri
                && !apart
                && !self.is_nowhere(candidate)
                && !removed.iter().any(|known| known == candidate)
            {
                removed.push(candidate.to_owned());
            }
        };
        // The wall clock may be wrong. So a log-out names all Contacts, and so does a REGISTER whose result no list
        // will show.
        let leaves = matches!(purpose, Purpose::Remove);
        let whatever = leaves || unseen;
        for former in &self.memory.former {
            let named = leaves || former.refusals <= MAX_CLEANUPS;
            if named && (whatever || former.expires_at > wall) && (!replaces || former.refusals > 0) {
                remove(&former.uri);
            }
        }
        if !replaces {
            if let Some(bound) = self.memory.bound.as_ref().filter(|bound| whatever || lives || bound.expires_at > wall)
            {
                remove(&bound.uri);
            }
            // Back at a gateway that was left: what it still holds is removed, unless the new binding replaces it
            // there.
            self.left_at(gateway).for_each(|left| remove(&left.uri));
        }
        removed
    }
}
