//! Writes the REGISTER: which Contacts, which tags, which credentials.

use super::{Asks, Attempt, Chain, FlowUp, MAX_FORMER, RESERVE_CSEQ, RESERVE_NC, Registration};
use crate::account::Transport;
use crate::clock::Now;
use crate::digest::Algorithm;
use crate::event::Failure;
use crate::mutation::{Mutation, active};
use crate::outbox::Outbox;
use crate::push::{Asked, Binding, Dialect, PushToken, Removal, Tags, piid, write_upper};
use crate::redact::Secret;
use crate::registration::{OverTcp, Piid};
use crate::sip::{Builder, Method};
use crate::snapshot::{Bound, Durability, Former, TokenWish};
use crate::transaction::ClientTransaction;
use crate::uas::ALLOW;

/// RFC 3261 18.1.1: the largest request that goes over UDP where the path's MTU is not known, in bytes.
pub(super) const MAX_DATAGRAM: usize = 1300;

impl Registration {
    /// Sends the next REGISTER of a chain on a flow that is up.
    pub(super) fn send(
        &mut self,
        mut chain: Box<Chain>,
        flow: &FlowUp,
        outbox: &mut Outbox,
        now: Now,
    ) -> Result<(), Failure> {
        self.interrupt_former(outbox, now);
        let secure = flow.transport.is_secure();
        let spoken = if chain.without_push { Vec::new() } else { self.spoken(&chain.asks) };
        let sent_by = self.sent_by(flow);
        let base = self.contact_base_at(flow, &sent_by);
        let contact = self.contact(&spoken, &chain.asks, &base);
        let mut save = self.reserve();
        let new_contact = self.remember_contact(&contact.uri, &chain.asks, now);
        save |= new_contact;
        if self.memory.nonces.reserve(RESERVE_NC) {
            save |= !active(Mutation::NonceCountReused);
        }
        if save && !active(Mutation::SavedAfterSending) {
            self.save(outbox, Durability::Progress);
        }
        if active(Mutation::AlwaysChallenged) && chain.requests == 0 {
            self.memory.nonces.clear();
        }

        self.cseq += 1;
        let branch = outbox.branch();
        let request_uri = self.redirect.as_ref().map_or(self.account.registrar(), |redirect| &redirect.uri);
        let transport = flow.transport;
        let expires = if chain.asks.removes() { 0 } else { self.wanted_expires(&chain) };
        let former =
            if chain.single_contact { Vec::new() } else { self.contacts_to_remove(&contact.uri, &chain.asks, now) };

        let mut builder = self.head(request_uri, flow, &sent_by, &branch);
        // The old ones first: a server that takes them for the new one's binding then removes it before it makes it.
        for uri in &former {
            builder = builder.header_of("Contact", &["<", uri, ">;expires=0"]);
        }
        builder = builder.header_of("Contact", &["<", &contact.uri, ">", &contact.params]);
        builder = builder.header("Expires", &expires.to_string());
        builder = self.abilities(builder);
        let mut headers = Tags::default();
        let piid = self.write_piid(&spoken, &chain.asks, secure, &mut headers);
        if !matches!(chain.asks, Asks::Query(_)) {
            write_upper(self.account.upper(), &mut headers);
        }
        for tag in contact.headers.iter().chain(&headers.headers) {
            builder = builder.header(&tag.name, tag.value.as_deref().unwrap_or_default());
        }
        let digest_uri = self.memory.auth_uri.as_deref().unwrap_or(request_uri);
        let cnonce = outbox.token();
        let answers = self.memory.nonces.authorize(
            self.account.auth_user(),
            self.account.credentials(),
            "REGISTER",
            digest_uri,
            b"",
            &cnonce,
        );
        for (name, value) in &answers {
            builder = builder.header(name, value);
        }
        let bytes = builder.finish().map_err(|_| Failure::Unbuildable)?;
        if transport == Transport::Udp && bytes.len() > MAX_DATAGRAM && self.over_tcp == OverTcp::Not {
            if new_contact {
                self.memory.former.retain(|former| former.uri.expose() != contact.uri);
            }
            self.over_tcp = OverTcp::Wanted;
            self.resume = Some(chain);
            self.drop_flow(outbox);
            self.open(outbox, now);
            return Ok(());
        }

        chain.requests += 1;
        let asked = match (&chain.asks, &self.memory.token) {
            (Asks::Remove | Asks::Vacate(_), _) | (_, TokenWish::Unbind(_)) => Asked::NoPush,
            (Asks::Query(_), _) | (_, TokenWish::NoneYet) => Asked::Nothing,
            (Asks::Bind, TokenWish::Bind(_)) => Asked::Push,
        };
        let token = match (&chain.asks, &self.memory.token) {
            (Asks::Bind, TokenWish::Bind(token)) => Some(token.clone()),
            _ => None,
        };
        let repeats = if transport.is_reliable() { Vec::new() } else { bytes.clone() };
        outbox.transmit(flow.id, bytes);
        if save && active(Mutation::SavedAfterSending) {
            self.save(outbox, Durability::Progress);
        }
        self.liveness.asked(transport.is_reliable(), now.boot);
        self.attempt = Some(Box::new(Attempt {
            transaction: ClientTransaction::start(transport.is_reliable(), now.boot),
            leave_at: (self.hurry > 0).then(|| now.boot + super::backoff::SILENCE),
            sent_at: now.boot,
            flow: flow.id,
            branch,
            cseq: self.cseq,
            bytes: repeats,
            epoch: self.epoch,
            base,
            uri: contact.uri,
            removed: former,
            token,
            asked,
            spoken,
            expires,
            piid,
            chain,
        }));
        Ok(())
    }

    /// Begins a REGISTER with the present CSeq, up to its Contacts.
    pub(super) fn head(&self, request_uri: &str, flow: &FlowUp, sent_by: &str, branch: &str) -> Builder {
        let via = flow.transport.via();
        let builder = Builder::request(&Method::Register, request_uri)
            .header_of("Via", &["SIP/2.0/", via, " ", sent_by, ";branch=", branch, ";rport"])
            .header("Max-Forwards", "70")
            .header_of("From", &[&self.account.name_addr(), ";tag=", &self.memory.from_tag])
            .header_of("To", &["<", self.account.aor().as_str(), ">"])
            .header("Call-ID", &self.memory.call_id)
            .header_of("CSeq", &[&self.cseq.to_string(), " REGISTER"]);
        match self.account.route() {
            Some(route) => builder.header_of("Route", &["<", route, ">"]),
            None => builder,
        }
    }

    /// Adds what we are and can.
    pub(super) fn abilities(&self, builder: Builder) -> Builder {
        let supported = if self.account.instance_id().is_some() { "path, outbound" } else { "path" };
        let builder = builder.header("Supported", supported).header("Allow", ALLOW);
        match self.account.user_agent() {
            Some(agent) => builder.header("User-Agent", agent),
            None => builder,
        }
    }

    /// The Contact parameters of RFC 5626.
    pub(super) fn instance_params(&self) -> String {
        match self.account.instance_id() {
            Some(instance) if self.memory.no_outbound => [";+sip.instance=\"<", instance, ">\""].concat(),
            Some(instance) => [";+sip.instance=\"<", instance, ">\";reg-id=1"].concat(),
            None => String::new(),
        }
    }

    fn wanted_expires(&self, chain: &Chain) -> u32 {
        chain.min_expires.max(self.min_expires).max(self.account.expires())
    }

    fn spoken(&self, asks: &Asks) -> Vec<Dialect> {
        let Some(push) = &self.push else { return Vec::new() };
        let removes = asks.removes() || matches!(self.memory.token, TokenWish::Unbind(_));
        if removes { push.spoken_to_remove(self.memory.shown) } else { push.spoken(self.memory.shown) }
    }

    /// The Contact URI without push parameters.
    pub(super) fn contact_base(&self, flow: &FlowUp) -> String {
        self.contact_base_at(flow, &self.sent_by(flow))
    }

    fn contact_base_at(&self, flow: &FlowUp, sent_by: &str) -> String {
        let user = self.account.aor().user();
        let seen = flow.seen.as_ref().map(|seen| seen.to_string());
        let address = seen.as_deref().unwrap_or(sent_by);
        match flow.transport {
            Transport::Udp => ["sip:", user, "@", address].concat(),
            // RFC 7118 5.2.2: the URI's transport is `ws` for both, TLS or not. The name goes nowhere, so it can stay the
            // same on every connection: the binding is renewed and leaves no old Contact behind.
            Transport::Ws | Transport::Wss => ["sip:", user, "@", sent_by, ";transport=ws"].concat(),
            transport => ["sip:", user, "@", address, ";transport=", transport.param()].concat(),
        }
    }

    /// What stands for us in Via: our address or, where nobody could connect to it, a name that goes nowhere (RFC 7118 5.1).
    pub(super) fn sent_by(&self, flow: &FlowUp) -> String {
        if flow.transport.is_websocket() {
            return format!("{}.invalid", self.memory.from_tag);
        }
        flow.local.to_string()
    }

    fn contact(&self, spoken: &[Dialect], asks: &Asks, base: &str) -> Contact {
        let bound = match asks {
            Asks::Remove => self.memory.bound.as_ref(),
            Asks::Vacate(bound) => Some(&**bound),
            Asks::Bind | Asks::Query(_) => None,
        };
        let base = bound.map_or(base, Bound::base);
        let tags = match &self.push {
            Some(push) => push.write(spoken, self.binding(asks), self.memory.token.last()),
            None => Tags::default(),
        };
        let mut params = self.instance_params();
        tags.write_contact_params(&mut params);
        let same = self.push.as_ref().is_none_or(|push| push.removal() == Removal::SameBinding);
        let uri = match bound.filter(|_| same) {
            Some(bound) => bound.uri.expose().to_owned(),
            None => {
                let mut uri = base.to_owned();
                tags.write_uri_params(&mut uri);
                uri
            }
        };
        Contact { uri, params, headers: tags.headers }
    }

    fn binding<'a>(&'a self, asks: &'a Asks) -> Binding<'a> {
        let bound = self.memory.bound.as_ref().and_then(|bound| bound.token.as_ref());
        match (asks, &self.memory.token) {
            (Asks::Query(provider), _) => Binding::Query(provider.as_deref()),
            (Asks::Remove, wish) => Binding::LoggedOut(bound.or(wish.last())),
            (Asks::Vacate(bound), wish) => Binding::LoggedOut(bound.token.as_ref().or(wish.last())),
            (Asks::Bind, TokenWish::Bind(token)) => Binding::Token(token),
            (Asks::Bind, TokenWish::Unbind(_)) => Binding::Unbound,
            (Asks::Bind, TokenWish::NoneYet) => Binding::NoneYet,
        }
    }

    /// Remembers, before it is sent, a Contact that the server may soon hold: a kill must not make it an unknown leftover.
    fn remember_contact(&mut self, uri: &str, asks: &Asks, now: Now) -> bool {
        if asks.removes() {
            return false;
        }
        let known = |secret: &Secret| secret.expose() == uri;
        if self.memory.bound.as_ref().is_some_and(|bound| known(&bound.uri))
            || self.memory.former.iter().any(|former| known(&former.uri))
        {
            return false;
        }
        let expires_at = now.wall.as_secs().saturating_add(u64::from(self.account.expires().max(3600)));
        if self.memory.former.len() >= MAX_FORMER {
            self.memory.former.remove(0);
        }
        self.memory.former.push(Former { uri: Secret::new(uri), expires_at, refusals: 0 });
        true
    }

    /// The Contacts that go with `;expires=0` beside ours.
    fn contacts_to_remove(&self, uri: &str, asks: &Asks, now: Now) -> Vec<String> {
        let wall = now.wall.as_secs();
        if active(Mutation::OldContactStays) {
            return Vec::new();
        }
        // The wall clock may have been set meanwhile; the boot time knows better, as far as this process goes back.
        let lives = self.bound_until.is_some_and(|until| now.boot < until);
        // With an instance id the registrar replaces the binding by itself (RFC 5626 section 6), and some do so without; a
        // 200 that still lists the old one is reason to remove it all the same.
        let instance = self.account.instance_id().is_some() && !self.memory.no_outbound;
        let replaces = (instance || self.memory.separate_removal) && !asks.removes();
        let mut removed: Vec<String> = Vec::new();
        let mut remove = |candidate: &Secret| {
            let candidate = candidate.expose();
            if candidate != uri && !removed.iter().any(|known| known == candidate) {
                removed.push(candidate.to_owned());
            }
        };
        for former in &self.memory.former {
            if former.expires_at > wall && (!replaces || former.refusals > 0) {
                remove(&former.uri);
            }
        }
        if !replaces {
            if let Some(bound) = self.memory.bound.as_ref().filter(|bound| lives || bound.expires_at > wall) {
                remove(&bound.uri);
            }
            // Back at a gateway that was left: what it still holds goes, unless the new binding takes its place there.
            self.left_here().for_each(|left| remove(&left.uri));
        }
        removed
    }

    /// Reserves CSeq numbers ahead, so that none is used twice across a kill. Returns whether the record must be stored.
    pub(super) fn reserve(&mut self) -> bool {
        if self.cseq < self.memory.cseq_reserved {
            return false;
        }
        self.memory.cseq_reserved = self.cseq + RESERVE_CSEQ;
        true
    }

    fn write_piid(&self, spoken: &[Dialect], asks: &Asks, secure: bool, tags: &mut Tags) -> Piid {
        // Mizutech's gateways take it beside RFC 8599 as well (S2, "RFC 8599").
        let gateway = !self.account.gateways().is_empty() && spoken.contains(&Dialect::Rfc8599);
        let speaks = spoken.contains(&Dialect::XMpush) || gateway;
        let wants = speaks
            && matches!(self.memory.token, TokenWish::Bind(_))
            && !self.leaving
            && !asks.removes()
            && !self.memory.asked_only;
        let Some(realm) = self.account.realm().or(self.memory.realm.as_deref()).filter(|_| wants) else {
            return Piid::None;
        };
        if !secure && !self.account.allows_cleartext_secrets() {
            return Piid::Withheld;
        }
        let Some(value) = piid(self.account.auth_user(), realm, self.account.credentials()) else { return Piid::None };
        tags.headers.push(crate::push::Tag { name: "X-PIID".into(), value: Some(value.expose().to_owned()) });
        if secure { Piid::Sent } else { Piid::InTheClear }
    }

    /// The HA1 values that are needed to deliver a removal without the password: for each realm that has asked
    /// and, where none has yet, for the domain of the AOR, which is most servers' realm.
    pub(super) fn ha1_only(&self) -> crate::digest::Credentials {
        use crate::digest::{Credentials, RealmHa1};
        let password = match self.account.credentials() {
            Credentials::Password(password) => password,
            known @ Credentials::Ha1(_) => return known.clone(),
        };
        let mut realms: Vec<&str> = self.memory.nonces.realms().map(|(realm, _)| realm).collect();
        realms.extend(self.memory.realm.as_deref());
        realms.extend(self.account.realm());
        if realms.is_empty() {
            realms.extend(self.account.aor().as_str().rsplit('@').next());
        }
        realms.sort_unstable();
        realms.dedup();
        let mut values = Vec::new();
        for realm in realms {
            for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
                let ha1 = crate::digest::ha1(algorithm, self.account.auth_user(), realm, password.expose());
                values.push(RealmHa1 { realm: realm.to_owned(), algorithm, ha1 });
            }
        }
        Credentials::Ha1(values)
    }
}

struct Contact {
    uri: String,
    params: String,
    headers: Vec<crate::push::Tag>,
}

impl TokenWish {
    pub(super) fn last(&self) -> Option<&PushToken> {
        match self {
            Self::NoneYet => None,
            Self::Bind(token) => Some(token),
            Self::Unbind(last) => last.as_ref(),
        }
    }
}
