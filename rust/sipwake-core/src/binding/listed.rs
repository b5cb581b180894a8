//! The Contacts that a 200 lists. Finds the one that is ours, and those of this device that should not be there.

use std::net::SocketAddr;

use super::registrant::MAX_FORMER;
use super::{Purpose, Registrant, Sent};
use crate::clock::Now;
use crate::redact::Secret;
use crate::sip::{Contact, Host, Message, SipUri, same_uri, unescape};
use crate::snapshot::{ConfirmedBinding, MAX_LEFT, StaleContact};

/// How often a leftover is to be removed again because a 200 still lists it.
pub(crate) const MAX_CLEANUPS: u8 = 2;
/// How often a binding is renewed because of leftovers in a list. More of them may turn up while the first are removed.
pub(crate) const MAX_ROUNDS: u8 = 4;

impl StaleContact {
    /// Whether a 200 still lists it, and another removal may help.
    pub(crate) fn is_due(&self) -> bool {
        (1..=MAX_CLEANUPS).contains(&self.refusals)
    }

    pub(crate) fn try_again(&mut self) {
        self.refusals = self.refusals.min(MAX_CLEANUPS);
    }
}

impl Registrant {
    /// The listed Contact that is ours: exactly as we sent it or, if the server rewrites addresses, the one with our
    /// instance or our token. If several have them, it is the one at the address that the server saw. Otherwise it is
    /// the longest-lived one whose lifetime is no longer than what we asked for, because registrars shorten that.
    pub(crate) fn ours<'l, 'a>(
        &self,
        message: &Message,
        listed: &'l [Contact<'a>],
        sent: &Sent,
    ) -> Option<&'l Contact<'a>> {
        let instance = self.account.instance_id();
        let exact = listed.iter().filter(|contact| is_uri(contact, &sent.uri));
        let rank = |contact: &&Contact| {
            (lives(contact), contact.uri.eq_ignore_ascii_case(&sent.uri), contact.instance() == instance)
        };
        if let Some(exact) = exact.max_by_key(rank) {
            return Some(exact);
        }
        let seen = observed(message);
        let at_seen = |contact: &Contact| seen.is_some_and(|seen| is_at(contact, seen));
        let fits = |contact: &Contact| contact.expires().is_none_or(|granted| granted <= sent.expires);
        // No server writes another token into a Contact, though some leave it out.
        let token = SipUri::parse(&sent.uri).as_ref().and_then(prid);
        let has_token = |contact: &Contact| contact.parsed().is_some_and(|uri| prid(&uri) == token);
        let rank = |contact: &&Contact| {
            (lives(contact), has_token(contact), at_seen(contact), fits(contact), contact.expires())
        };
        let new = listed.iter().filter(|contact| self.may_be_ours(contact, sent)).max_by_key(rank)?;
        // A server that rewrites addresses may list our Contact as it listed a former one.
        let as_before = || {
            let marked = listed.iter().filter(|contact| self.has_our_mark(contact, sent) && has_token(contact));
            marked.filter(|contact| lives(contact) && fits(contact)).max_by_key(rank)
        };
        Some(if has_token(new) { new } else { as_before().unwrap_or(new) })
    }

    /// Whether a listed Contact has our instance or our token, and is not one that we knew before.
    fn may_be_ours(&self, contact: &Contact, sent: &Sent) -> bool {
        self.has_our_mark(contact, sent) && !self.is_known(contact, sent, |_| true)
    }

    /// Whether a listed Contact has our instance or our token.
    fn has_our_mark(&self, contact: &Contact, sent: &Sent) -> bool {
        let instance = self.account.instance_id();
        let token = SipUri::parse(&sent.uri).as_ref().and_then(prid);
        (instance.is_some() && contact.instance() == instance)
            || contact.parsed().is_some_and(|uri| token.is_some() && prid(&uri) == token)
    }

    /// Whether a listed Contact is the binding before this one, or one of the former ones for which `counts` is true.
    fn is_known(&self, contact: &Contact, sent: &Sent, counts: impl Fn(&StaleContact) -> bool) -> bool {
        let mut former = self.memory.former.iter().filter(|former| counts(former)).map(|former| former.uri.expose());
        former.any(|uri| uri != sent.uri && is_uri(contact, uri))
            || self.memory.bound.as_ref().is_some_and(|bound| is_uri(contact, bound.uri.expose()))
    }

    /// Whether a listed Contact belongs to this device and should not be there. It is known, has our instance, or has a
    /// token of ours. The token also identifies an old Contact whose address the server has rewritten.
    fn is_our_leftover(&self, contact: &Contact, sent: &Sent) -> bool {
        if matches!(sent.purpose(), Purpose::Bind) && is_uri(contact, &sent.uri) {
            return false;
        }
        let bound = self.memory.bound.iter().chain(&self.memory.left).map(|bound| &bound.uri);
        let mut known = self.memory.former.iter().map(|former| &former.uri).chain(bound).map(Secret::expose);
        if known.any(|uri| is_uri(contact, uri)) || is_uri(contact, &sent.uri) {
            return true;
        }
        let instance = self.account.instance_id();
        if instance.is_some() && contact.instance() == instance {
            return true;
        }
        let Some(named) = contact.parsed().and_then(|uri| prid(&uri)) else { return false };
        let bound = self.memory.bound.iter().chain(&self.memory.left).filter_map(|bound| bound.token.as_ref());
        let mut tokens = self.memory.token.last().into_iter().chain(bound);
        let mut former = self.memory.former.iter().filter_map(|former| SipUri::parse(former.uri.expose()));
        tokens.any(|token| token.call() == Some(named.as_str()))
            || former.any(|uri| prid(&uri).is_some_and(|known| known == named))
    }

    /// Returns the Contacts of ours that the 200 to a removal still lists.
    pub(crate) fn lingering(&self, sent: &Sent, listed: &[Contact]) -> Vec<StaleContact> {
        let ours = listed
            .iter()
            .filter(|contact| lives(contact))
            .filter(|contact| self.is_our_leftover(contact, sent))
            .take(MAX_FORMER);
        ours.map(|contact| StaleContact {
            uri: Secret::new(contact.uri),
            expires_at: u64::MAX,
            refusals: 1,
            confirmed: true,
        })
        .collect()
    }

    /// Whether a listed Contact may be a former one of ours that nobody can tell from another phone's: the server rewrites
    /// addresses, and this one has neither an instance nor a token.
    pub(crate) fn may_hide(&self, sent: &Sent, listed: &[Contact]) -> bool {
        let user =
            |uri: &SipUri| uri.user.as_deref().and_then(|user| unescape(user).ok()).map(|user| user.into_owned());
        let ours = SipUri::parse(&sent.uri);
        let anybodys = |contact: &Contact| {
            let uri = contact.parsed().filter(|uri| prid(uri).is_none() && contact.instance().is_none());
            uri.zip(ours.as_ref()).is_some_and(|(listed, ours)| user(&listed) == user(ours))
        };
        self.memory.rewrites && listed.iter().any(|contact| lives(contact) && anybodys(contact))
    }

    /// Returns a Contact of ours that the 200 of a left gateway still lists, as a binding to remove there. Its dialects
    /// are those of the binding that was just removed. What the gateway in use also lists is not left behind: the two
    /// share a registrar.
    pub(crate) fn left_behind(
        &self,
        sent: &Sent,
        listed: &[Contact],
        in_use: &LastList,
        now: Now,
    ) -> Option<ConfirmedBinding> {
        let Purpose::Vacate(removed) = sent.purpose() else { return None };
        let stays = |contact: &&Contact| {
            let bound = self.memory.bound.as_ref().is_some_and(|bound| is_uri(contact, bound.uri.expose()));
            !lives(contact) || bound || in_use.names(contact)
        };
        let contact =
            listed.iter().filter(|contact| !stays(contact)).find(|contact| self.is_our_leftover(contact, sent))?;
        let expires_at =
            contact.expires().map_or(removed.expires_at, |seconds| now.wall.as_secs().saturating_add(seconds.into()));
        removed.beside(contact.uri, expires_at)
    }

    /// Remembers the Contacts that a removal named and its 200 still lists. The next REGISTER removes them, too.
    pub(crate) fn remember_kept(&mut self, sent: &Sent, listed: &[Contact]) {
        let beside = |contact: &Contact| sent.removed.iter().any(|uri| contact.uri.eq_ignore_ascii_case(uri));
        for kept in listed.iter().filter(|contact| lives(contact) && (is_uri(contact, &sent.uri) || beside(contact))) {
            if self.memory.former.len() < MAX_FORMER {
                self.memory.former.push(StaleContact {
                    uri: Secret::new(kept.uri),
                    expires_at: u64::MAX,
                    refusals: 1,
                    confirmed: true,
                });
            }
        }
    }

    /// Returns the Contacts that were still to be removed at the previous gateway, as bindings left there. The gateway
    /// that has just accepted the binding does not list them, so it cannot remove them. Returns only as many as there
    /// is room for.
    pub(crate) fn former_elsewhere(
        &self,
        sent: &Sent,
        gateway: Option<&str>,
        listed: &[Contact],
        now: Now,
    ) -> Vec<ConfirmedBinding> {
        let at = self.memory.bound.iter().find(|bound| bound.gateway.is_some() && bound.gateway.as_deref() != gateway);
        let Some(at) = at else { return Vec::new() };
        let room = MAX_LEFT.saturating_sub(self.memory.left.len() + 1);
        let former = self.memory.former.iter().filter(|former| {
            let uri = former.uri.expose();
            former.confirmed
                && former.expires_at > now.wall.as_secs()
                && ![at.uri.expose(), &sent.uri].contains(&uri)
                && !listed.iter().any(|contact| is_uri(contact, uri))
        });
        former.filter_map(|former| at.beside(former.uri.expose(), former.expires_at)).take(room).collect()
    }

    /// Forgets what a gateway has just removed. A binding at another gateway stays known until a new one is accepted in
    /// its place. Then it is removed where it is.
    pub(crate) fn forget_removed(&mut self, sent: &Sent, listed: &[Contact], gateway: Option<&str>) {
        // A server that cannot read the Contact as it was bound got it without push parameters, and holds nothing else
        // unless its list says so.
        let bare = match sent.purpose() {
            Purpose::Vacate(bound) if sent.uri == bound.base() => Some(bound.uri.expose()),
            _ => None,
        };
        let bare = bare.filter(|uri| !listed.iter().any(|contact| lives(contact) && is_uri(contact, uri)));
        let gone =
            |uri: &str| uri == sent.uri || bare == Some(uri) || sent.removed.iter().any(|removed| removed == uri);
        let is_gone = |bound: &ConfirmedBinding| bound.gateway.as_deref() == gateway && gone(bound.uri.expose());
        if self.memory.bound.as_ref().is_some_and(is_gone) {
            self.memory.bound = None;
        }
        self.memory.left.retain(|left| left.gateway.as_deref() != gateway || !gone(left.uri.expose()));
        self.memory.former.retain(|known| !gone(known.uri.expose()));
    }

    /// Forgets the former Contacts that the 200 no longer lists, and remembers those that it still lists.
    pub(crate) fn reconcile_contacts(
        &mut self,
        sent: &Sent,
        listed: &[Contact],
        ours: Option<&Contact>,
        gateway: Option<&str>,
    ) {
        let mut former = self.memory.former.clone();
        let before = self.memory.bound.iter().chain(self.left_at(gateway));
        for bound in before.filter(|bound| bound.uri.expose() != sent.uri) {
            if !former.iter().any(|known| known.uri == bound.uri) {
                former.push(StaleContact {
                    uri: bound.uri.clone(),
                    expires_at: bound.expires_at,
                    refusals: 0,
                    confirmed: true,
                });
            }
        }
        former.retain(|known| known.uri.expose() != sent.uri);
        let mut kept: Vec<StaleContact> = Vec::new();
        // A query's Contact differs from ours only in what RFC 3261 19.1.4 ignores. If both are listed, they are two
        // Contacts.
        let exactly = listed.iter().any(|contact| contact.uri.eq_ignore_ascii_case(&sent.uri));
        // If the list leaves out tokens, the Contact at our address is the new one.
        let ours = ours.or_else(|| listed.iter().find(|contact| is_stripped(contact, &sent.uri)));
        // If ours has no token, nobody can tell whether the list would leave it out.
        let without = SipUri::parse(&sent.uri).is_some_and(|sent| prid(&sent).is_none());
        let bare = ours.is_some_and(|ours| without || is_stripped(ours, &sent.uri));
        let moved = Moved::read(&sent.uri, ours);
        self.memory.rewrites |= moved.is_some();
        let is_ours = |contact: &Contact, former: &[StaleContact]| {
            let known = || former.iter().any(|known| known.uri.expose().eq_ignore_ascii_case(contact.uri));
            is_uri(contact, &sent.uri) && !(exactly && known())
        };
        // A server that leaves out the transport lists our Contacts over UDP and over TCP with the same URI.
        let twin = |contact: &Contact| ours.is_some_and(|ours| ours.uri == contact.uri && !std::ptr::eq(ours, contact));
        for contact in listed.iter().filter(|contact| lives(contact)) {
            let twin = twin(contact);
            if !twin && (Some(contact) == ours || is_ours(contact, &former)) {
                continue;
            }
            let is_it = |known: &&StaleContact| {
                let uri = known.uri.expose();
                is_uri(contact, uri)
                    || moved.as_ref().is_some_and(|moved| moved.is_where(contact, uri))
                    || (bare && is_stripped(contact, uri))
            };
            let known = former.iter().find(is_it);
            if known.is_none() && (twin || !self.is_our_leftover(contact, sent)) {
                continue;
            }
            let refusals = known.map_or(0, |known| known.refusals) + 1;
            // The expiry is not looked at, because the server has just shown that it holds this Contact.
            // One that stays for good is named by a log-out alone, but no log-out is proven while it is listed.
            let refusals = refusals.min(MAX_CLEANUPS + 1);
            if kept.len() < MAX_FORMER {
                kept.push(StaleContact {
                    // Only by its own URI can the twin be told from the one that is ours.
                    uri: known.filter(|_| twin).map_or_else(|| Secret::new(contact.uri), |known| known.uri.clone()),
                    expires_at: u64::MAX,
                    refusals,
                    confirmed: true,
                });
            }
        }
        if listed.is_empty() || (ours.is_none() && self.account.hops().len() == 1) {
            // The server lists nothing, or not even ours in a form that we know. What we asked it to remove counts as
            // removed, and the rest waits for its turn. With several gateways, the rest may be at another one.
            former.retain(|known| !sent.removed.iter().any(|uri| uri == known.uri.expose()));
            former.retain(|known| !kept.iter().any(|kept| kept.uri == known.uri));
            former.truncate(MAX_FORMER - kept.len());
            kept.append(&mut former);
        }
        kept.shrink_to_fit();
        (self.memory.former, self.memory.bound) = (kept, None);
    }

    /// Notes the binding that a 200 has just confirmed, in place of `before`. If a dialect was used at the same gateway
    /// with the same settings, and this REGISTER did not use it, what it said must still be removed one day.
    pub(crate) fn bind(
        &mut self,
        sent: &Sent,
        expires_at: u64,
        gateway: Option<Box<str>>,
        before: Option<ConfirmedBinding>,
        listed: bool,
    ) {
        let before = before.filter(|before| before.gateway == gateway).and_then(|before| before.spoken);
        let Some(mut bound) = ConfirmedBinding::new(&sent.base, &sent.uri, sent.token.clone(), expires_at, gateway)
        else {
            return;
        };
        bound.spoken = sent.said();
        (bound.listed, bound.mizutech) = (listed, self.memory.mizutech);
        let unconfirmed = self.memory.unconfirmed.take().and_then(|unconfirmed| unconfirmed.spoken);
        if let Some(said) = &mut bound.spoken {
            for before in before.into_iter().chain(unconfirmed).filter(|before| before.push == said.push) {
                let more = before.dialects.into_iter().filter(|dialect| !said.dialects.contains(dialect));
                let more: Vec<_> = more.collect();
                said.dialects.extend(more);
            }
        }
        self.memory.bound = Some(bound);
    }
}

/// How long a 200 says that our binding lasts, if its list does not name our Contact exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GrantedLifetime {
    pub(crate) seconds: u32,
    /// It is not certain that this is our binding's lifetime. It is the shortest possible one.
    pub(crate) guessed: bool,
}

/// The shortest lifetime that is accepted from bindings that may belong to other devices, in seconds.
const SHORTEST_GUESS: u32 = 60;

impl Registrant {
    /// Reads the lifetime of our binding from a 200. It looks for our own Contact, then for one that differs only in
    /// what servers rewrite, then for the address that the server saw, then for the only Contact that is new or was
    /// prolonged. If there is none, it takes `Expires`, or else the shortest possible lifetime. A lifetime longer than
    /// the server's would be wrong: the binding would end without our knowledge.
    pub(crate) fn granted(
        &self,
        message: &Message,
        listed: &[Contact],
        ours: Option<&Contact>,
        sent: &Sent,
        last: &LastList,
    ) -> GrantedLifetime {
        let sure = |seconds| GrantedLifetime { seconds, guessed: false };
        let sent_uri = SipUri::parse(&sent.uri);
        let seen = observed(message);
        let others: Vec<&Contact> = listed.iter().filter(|contact| !self.is_known_otherwise(contact, sent)).collect();
        let alive = |contact: &&&Contact| lives(contact);
        let find = |is_it: &dyn Fn(&Contact) -> bool| {
            let those = || others.iter().filter(|contact| is_it(contact));
            those().find(alive).or_else(|| those().next())
        };
        let rewritten = || find(&|c| c.parsed().zip(sent_uri.as_ref()).is_some_and(|(c, s)| is_rewritten(&c, s)));
        let from_seen = || find(&|contact| seen.is_some_and(|seen| is_at(contact, seen)));
        // Registrars shorten what we ask for. A longer lifetime belongs to another device.
        let changed =
            || last.only_change(&others).filter(|c| c.expires().is_none_or(|granted| granted <= sent.expires));
        let meant = ours.or_else(|| rewritten().copied()).or_else(|| from_seen().copied()).or_else(changed);
        let guess = |seconds: u32| GrantedLifetime { seconds: seconds.min(sent.expires), guessed: true };
        if let Some(seconds) = meant.and_then(Contact::expires) {
            // If the store lost its records, an old binding of ours may have our token, too, and live longer than the
            // new one.
            let named = |ours: &Contact| is_uri(ours, &sent.uri) || seen.is_some_and(|seen| is_at(ours, seen));
            // A Contact that is known only from a list may be the new one, and not an old one.
            let may_be = |contact: &&Contact| {
                self.has_our_mark(contact, sent) && !self.is_known(contact, sent, |former| former.refusals == 0)
            };
            let several = listed.iter().filter(|_| ours.is_some_and(|ours| !named(ours))).filter(may_be);
            let shortest = several.filter_map(Contact::expires).filter(|seconds| *seconds >= SHORTEST_GUESS).min();
            return shortest.filter(|shortest| *shortest < seconds).map_or(sure(seconds), guess);
        }
        match message.expires() {
            // Old scripts send a zero although they bind. At least it says that no time was promised.
            Some(0) => return guess(SHORTEST_GUESS),
            Some(seconds) => return sure(seconds),
            None => {}
        }
        let known = listed.iter().filter_map(Contact::expires).filter(|seconds| *seconds >= SHORTEST_GUESS);
        guess(known.min().unwrap_or(sent.expires))
    }

    /// Whether a listed Contact is one of our earlier ones, and not the one that was just sent.
    fn is_known_otherwise(&self, contact: &Contact, sent: &Sent) -> bool {
        let bound = self.memory.bound.iter().map(|bound| bound.uri.expose());
        let mut known = self.memory.former.iter().map(|former| former.uri.expose()).chain(bound);
        !is_uri(contact, &sent.uri) && known.any(|uri| is_uri(contact, uri))
    }
}

/// The Contacts that the last 200 listed: a hash of each, and its lifetime in seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastList(Box<[(u32, u32)]>);

/// How many Contacts of the last list are remembered.
const MAX_LIST: usize = 64;

impl LastList {
    pub(crate) fn remember(&mut self, listed: &[Contact]) {
        self.0 =
            listed.iter().take(MAX_LIST).map(|contact| (hash(contact.uri), contact.expires().unwrap_or(0))).collect();
    }

    fn names(&self, contact: &Contact) -> bool {
        self.0.iter().any(|(known, _)| *known == hash(contact.uri))
    }

    /// The only Contact that is new or lives longer than before. `None` if there are several.
    fn only_change<'l, 'a>(&self, listed: &[&'l Contact<'a>]) -> Option<&'l Contact<'a>> {
        let is_changed = |contact: &&&Contact| {
            let was = self.0.iter().find(|(known, _)| *known == hash(contact.uri));
            was.is_none_or(|(_, was)| contact.expires().is_some_and(|expires| expires > *was))
        };
        let mut changed = listed.iter().filter(is_changed);
        changed.next().filter(|_| changed.next().is_none()).copied()
    }
}

fn hash(text: &str) -> u32 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    // Half of the hash is enough: an account has few Contacts, and the list is kept for days.
    hasher.finish() as u32
}

/// How a server has rewritten the address of our Contact. It rewrites others from the same address in the same way.
struct Moved {
    from: SipUri,
    to: SipUri,
}

impl Moved {
    fn read(sent: &str, ours: Option<&Contact>) -> Option<Self> {
        let (from, to) = (SipUri::parse(sent)?, ours?.parsed()?);
        (!from.host.same(&to.host)).then_some(Self { from, to })
    }

    /// Whether a listed Contact is this former one of ours, rewritten in the same way.
    fn is_where(&self, contact: &Contact, former: &str) -> bool {
        let Some(mut uri) = SipUri::parse(former).filter(|uri| uri.host.same(&self.from.host)) else { return false };
        if self.from.port != self.to.port && uri.port != self.from.port {
            return false;
        }
        if uri.port == self.from.port {
            uri.port = self.to.port;
        }
        uri.host = self.to.host.clone();
        is_uri(contact, &uri.to_string())
    }
}

/// Whether a listed URI differs from ours only in what servers rewrite: the default port, the transport, escapes, case
/// and parameters.
fn is_rewritten(listed: &SipUri, sent: &SipUri) -> bool {
    let bare = |uri: &SipUri| {
        let secure = uri.secure || uri.params.value("transport").is_some_and(|named| named.eq_ignore_ascii_case("tls"));
        let port = uri.port.unwrap_or(if secure { 5061 } else { 5060 });
        let user = uri.user.as_deref().and_then(|user| unescape(user).ok()).map(|user| user.to_ascii_lowercase());
        (user, port)
    };
    let prids = (prid(listed), prid(sent));
    bare(listed) == bare(sent) && listed.host.same(&sent.host) && (prids.0.is_none() || prids.0 == prids.1)
}

/// Whether a listed Contact is bound. Servers also list one whose lifetime is 0, alone or beside its successor.
fn lives(contact: &Contact) -> bool {
    contact.expires() != Some(0)
}

/// Whether a listed URI is this one without its token. Some servers leave out the parameters.
fn is_stripped(contact: &Contact, uri: &str) -> bool {
    let is_it = |(listed, known): (SipUri, SipUri)| {
        prid(&listed).is_none() && prid(&known).is_some() && is_rewritten(&listed, &known)
    };
    contact.parsed().zip(SipUri::parse(uri)).is_some_and(is_it)
}

/// Whether a Contact names the address that the server saw.
fn is_at(contact: &Contact, seen: SocketAddr) -> bool {
    contact.parsed().is_some_and(|uri| Host::from(seen.ip()).same(&uri.host) && uri.port.unwrap_or(5060) == seen.port())
}

fn is_uri(contact: &Contact, uri: &str) -> bool {
    contact.uri == uri
        || match (contact.parsed(), SipUri::parse(uri)) {
            (Some(listed), Some(known)) => {
                let same_token = prid(&listed) == prid(&known);
                same_token && (same_uri(&listed, &known) || is_rewritten(&listed, &known))
            }
            _ => false,
        }
}

fn prid(uri: &SipUri) -> Option<String> {
    uri.params.value("pn-prid").and_then(|prid| unescape(prid).ok().map(|prid| prid.into_owned()))
}

/// Our address as the top Via shows it (RFC 3581 section 4).
pub(crate) fn observed(message: &Message) -> Option<SocketAddr> {
    let via = message.via()?;
    let address = SocketAddr::new(via.received()?, via.rport()?);
    (address.port() != 0 && !address.ip().is_unspecified()).then_some(address)
}
