//! Writes the REGISTER: which Contacts, which tags, which credentials.

use std::sync::Arc;

use super::{Binding, Chain, OverTcp, Piid, Purpose, Registrant, Sent};
use crate::account::Transport;
use crate::clock::Now;
use crate::event::Failure;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::push::{Asked, Dialect, Push, Tags, piid, write_upper};
use crate::record::Decision;
use crate::record::words::Auth;
use crate::sip::{ALLOW, Builder, Method};
use crate::snapshot::{Durability, WantedToken};
use crate::transaction::ClientTransaction;
use crate::trust::{Leave, Trusted};

/// RFC 3261 18.1.1: the largest request over UDP if the MTU of the path is not known, in bytes.
const MAX_DATAGRAM: usize = 1300;
/// How many nonce counts one write reserves. Kamailio refuses a count above 255, so a restart must not skip many.
pub(crate) const RESERVE_NC: u32 = 8;

/// What became of a REGISTER that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    Sent,
    /// It is too large for UDP. The flow is closed, and the chain continues over TCP.
    TooLarge,
}

impl Binding {
    /// Sends the next REGISTER of a chain on the flow, which is up.
    ///
    /// `gateway` names the gateway, if there are several. `lives` says that the present binding has not expired by boot
    /// time.
    pub(crate) fn send(
        &mut self,
        mut chain: Box<Chain>,
        who: &mut Registrant,
        (gateway, lives): (Option<&str>, bool),
        flows: &mut Flows,
        outbox: &mut Outbox,
        now: Now,
    ) -> Result<Sending, Failure> {
        let Some(up) = self.up(flows) else { return Err(Failure::Unbuildable) };
        let transport = up.transport;
        let removes = chain.purpose.removes();
        let (push, spoken) = who.speaks(&chain.purpose);
        let spoken = if chain.without_push && !removes { Vec::new() } else { spoken };
        let bare = removes && (chain.without_push || self.removes_bare);
        let sent_by = who.sent_by(&up);
        let base = who.contact_base_at(&up, self.seen.as_deref(), &sent_by);
        let contact = who.contact(push.as_deref(), &spoken, &chain.purpose, &base, bare);
        let mut save = who.reserve();
        let new_contact = !chain.purpose.removes() && who.remember_contact(&contact.uri, now);
        save |= new_contact;
        if let Some(push) = push.as_ref().filter(|_| matches!(chain.purpose, Purpose::Bind)) {
            save |= who.note_unconfirmed((&base, &contact.uri), push, &spoken, gateway, now);
        }
        let kept = self.nonces.is_none();
        if self.nonces(who).reserve(RESERVE_NC) {
            save |= kept;
        }
        if save {
            who.save(outbox, Durability::Progress);
        }

        let cseq = who.next_cseq();
        let branch = outbox.branch();
        let redirected = self.redirect.as_ref().and_then(|redirect| redirect.uri.clone());
        let request_uri = redirected.unwrap_or_else(|| who.account.registrar().to_owned());
        let expires = if chain.purpose.removes() { 0 } else { self.wanted_expires(&chain, who) };
        let removed = if chain.single_contact {
            Vec::new()
        } else {
            let mut others = who.contacts_to_remove(&contact.uri, &chain.purpose, gateway, lives, now);
            if self.removes_bare && removes {
                others.iter_mut().for_each(|uri| uri.truncate(uri.find(";pn-").unwrap_or(uri.len())));
                others.sort_unstable();
                others.dedup();
                others.retain(|uri| *uri != contact.uri);
            }
            others
        };

        let via = ["SIP/2.0/", transport.via(), " ", &sent_by, ";branch=", &branch, ";rport"].concat();
        let mut builder = Builder::request(&Method::Register, &request_uri)
            .header("Via", &via)
            .header("Max-Forwards", "70")
            .header_of("From", &[&who.account.name_addr(), ";tag=", &who.memory.from_tag])
            .header_of("To", &["<", who.account.aor().as_str(), ">"])
            .header("Call-ID", &who.memory.call_id)
            .header_of("CSeq", &[&cseq.to_string(), " REGISTER"]);
        if let Some(route) = who.account.route() {
            builder = builder.header_of("Route", &["<", route, ">"]);
        }
        // The old Contacts come first. If a server takes them for the new binding, it removes it before it makes it.
        for uri in &removed {
            builder = builder.header_of("Contact", &["<", uri, ">;expires=0"]);
        }
        builder = builder
            .header_of("Contact", &["<", &contact.uri, ">", &contact.params])
            .header("Expires", &expires.to_string())
            .header("Supported", if who.account.instance_id().is_some() { "path, outbound" } else { "path" })
            .header("Allow", ALLOW);
        if let Some(agent) = who.account.user_agent() {
            builder = builder.header("User-Agent", agent);
        }
        let mut headers = Tags::default();
        let leave = Trusted::by(&who.account).piid(who.push(), self.peer, transport);
        let piid = who.write_piid(&spoken, &chain.purpose, leave, &mut headers);
        let binds = matches!((&chain.purpose, &who.memory.token), (Purpose::Bind, WantedToken::Bind(_)));
        if let Some(key) = who.push_key.as_ref().filter(|_| binds && !who.memory.asked_only)
            && Trusted::by(&who.account).push_key(self.peer, transport)
        {
            headers.header("X-Push-Key", key.expose().to_owned());
        }
        if !matches!(chain.purpose, Purpose::Query(_)) {
            write_upper(who.account.upper(), &mut headers);
        }
        for tag in contact.headers.iter().chain(&headers.headers) {
            builder = builder.header(&tag.name, tag.value.as_deref().unwrap_or_default());
        }
        let named = who.memory.auth_uri.as_deref().filter(|_| !chain.without_auth_uri && self.redirect.is_none());
        let digest_uri = named.unwrap_or(&request_uri).to_owned();
        let cnonce = outbox.token();
        let nonces = self.nonces.as_deref_mut().unwrap_or(&mut who.memory.nonces);
        nonces.turn_to(self.peer.host());
        nonces.demand(who.account.minimum_digest());
        let (user, credentials) = (who.account.auth_user(), who.account.credentials());
        let answers = nonces.authorize(user, credentials, "REGISTER", &digest_uri, b"", &cnonce);
        for (name, value) in &answers {
            builder = builder.header(name, value);
        }
        chain.ahead = !chain.challenged && !answers.is_empty();
        let bytes = builder.finish().map_err(|_| Failure::Unbuildable)?;
        if transport == Transport::Udp
            && bytes.len() > MAX_DATAGRAM
            && self.over_tcp == OverTcp::Not
            && !who.is_beside()
        {
            if new_contact {
                who.forget_contact(&contact.uri);
            }
            self.over_tcp = OverTcp::Wanted;
            self.chain = Some(chain);
            self.close(flows, outbox);
            return Ok(Sending::TooLarge);
        }

        chain.requests += 1;
        let (asked, token) = match (&chain.purpose, &who.memory.token) {
            (Purpose::Remove | Purpose::Vacate(_), _) | (_, WantedToken::Unbind(_)) => (Asked::NoPush, None),
            (Purpose::Query(_), _) | (_, WantedToken::NoneYet) => (Asked::Nothing, None),
            (Purpose::Bind, WantedToken::Bind(token)) => (Asked::Push, Some(token.clone())),
        };
        let reliable = transport.is_reliable();
        let repeats = if reliable { Vec::new() } else { bytes.clone() };
        outbox.transmit(up.destination(), bytes);
        let auth = Auth::of(chain.challenged, chain.ahead);
        outbox.note(who.key(), Decision::RegisterSent { purpose: (&chain.purpose).into(), auth });
        self.liveness.asked(reliable, now.boot);
        self.sent = Some(Box::new(Sent {
            transaction: ClientTransaction::start(reliable, now.boot),
            leave_at: None,
            sent_at: now.boot,
            destination: up.destination(),
            branch,
            cseq,
            bytes: repeats,
            base,
            uri: contact.uri,
            removed,
            token,
            asked,
            push,
            spoken,
            beside_contact: !contact.headers.is_empty(),
            expires,
            piid,
            chain,
        }));
        Ok(Sending::Sent)
    }

    fn wanted_expires(&self, chain: &Chain, who: &Registrant) -> u32 {
        chain.min_expires.max(self.min_expires).max(who.account.expires())
    }
}

impl Registrant {
    /// The settings and the dialects of what a REGISTER says about push.
    fn speaks(&self, purpose: &Purpose) -> (Option<Arc<Push>>, Vec<Dialect>) {
        match purpose {
            Purpose::Remove if self.memory.asked_only => (self.push.clone(), self.says_now()),
            Purpose::Remove | Purpose::Vacate(_) => self.takes_back(self.bound_for(purpose)),
            Purpose::Bind if matches!(self.memory.token, WantedToken::Unbind(_)) => {
                self.takes_back(self.memory.bound.as_ref())
            }
            Purpose::Bind | Purpose::Query(_) => (self.push.clone(), self.says_now()),
        }
    }

    fn says_now(&self) -> Vec<Dialect> {
        self.push.as_ref().map(|push| push.spoken(self.memory.shown)).unwrap_or_default()
    }

    /// Writes `X-PIID`. Mizutech's gateways also accept it beside RFC 8599 (S2, "RFC 8599").
    fn write_piid(&self, spoken: &[Dialect], purpose: &Purpose, leave: Leave, tags: &mut Tags) -> Piid {
        let speaks = spoken.iter().any(|dialect| matches!(dialect, Dialect::XMpush | Dialect::Rfc8599));
        let wants = speaks
            && leave != Leave::No
            && matches!(self.memory.token, WantedToken::Bind(_))
            && !self.leaving
            && !purpose.removes()
            && !self.memory.asked_only;
        if wants && leave == Leave::Withheld {
            return Piid::Withheld;
        }
        let Some(realm) = self.account.realm().or(self.memory.realm.as_deref()).filter(|_| wants) else {
            return Piid::None;
        };
        let Some(value) = piid(self.account.auth_user(), realm, self.account.credentials()) else { return Piid::None };
        tags.headers.push(crate::push::Tag { name: "X-PIID".into(), value: Some(value.expose().to_owned()) });
        if leave == Leave::InTheClear { Piid::InTheClear } else { Piid::Sent }
    }
}
