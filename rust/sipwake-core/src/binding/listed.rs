//! The Contacts that a 200 lists: which is ours, and which of this device should not be there.

use std::net::SocketAddr;

use super::registrant::MAX_FORMER;
use super::{Purpose, Registrant, Sent};
use crate::clock::Now;
use crate::redact::Secret;
use crate::sip::{Contact, Host, Message, SipUri, same_uri, unescape};
use crate::snapshot::{Bound, Former, MAX_LEFT};

/// How often a leftover that a 200 still lists is asked to be removed again.
pub(crate) const MAX_CLEANUPS: u8 = 2;
/// How often a binding is renewed for the leftovers of a list: others may turn up while the first are asked for.
pub(crate) const MAX_ROUNDS: u8 = 4;

impl Registrant {
    /// The listed Contact that stands for ours: as we sent it or, where the server rewrites addresses, the one with our instance
    /// or our token. If several have them, it is the one at the address that the server saw, or the longest-lived that has no
    /// longer lifetime than was asked for: registrars shorten that.
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
        let ours = listed.iter().filter(|contact| self.may_be_ours(contact, sent));
        let seen = observed(message);
        let at_seen = |contact: &Contact| seen.is_some_and(|seen| is_at(contact, seen));
        let fits = |contact: &Contact| contact.expires().is_none_or(|granted| granted <= sent.expires);
        ours.max_by_key(|contact| (lives(contact), at_seen(contact), fits(contact), contact.expires()))
    }

    /// Whether a listed Contact has our instance or our token, and is none that is known from before.
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

    /// Whether a listed Contact is the binding before this one, or one of these former ones.
    fn is_known(&self, contact: &Contact, sent: &Sent, counts: impl Fn(&Former) -> bool) -> bool {
        let mut former = self.memory.former.iter().filter(|former| counts(former)).map(|former| former.uri.expose());
        former.any(|uri| uri != sent.uri && is_uri(contact, uri))
            || self.memory.bound.as_ref().is_some_and(|bound| is_uri(contact, bound.uri.expose()))
    }

    /// Whether a listed Contact is one of this device that should not be there: known, of our instance, or with a token of ours,
    /// which tells also an old one whose address the server has rewritten.
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

    /// Returns which Contacts of ours the 200 to a removal still lists.
    pub(crate) fn lingering(&self, sent: &Sent, listed: &[Contact]) -> Vec<Former> {
        let ours = listed
            .iter()
            .filter(|contact| lives(contact))
            .filter(|contact| self.is_our_leftover(contact, sent))
            .take(MAX_FORMER);
        ours.map(|contact| Former { uri: Secret::new(contact.uri), expires_at: u64::MAX, refusals: 1, confirmed: true })
            .collect()
    }

    /// Returns which Contact of ours the 200 of a gateway that was left still lists, as a binding to be taken back there, too, with
    /// what was said for the one that it has just removed. What the gateway in use lists as well is not left behind: they share a
    /// registrar.
    pub(crate) fn left_behind(&self, sent: &Sent, listed: &[Contact], in_use: &LastList, now: Now) -> Option<Bound> {
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

    /// Remembers the Contact that was to be removed, where the 200 lists it anyway: its turn comes beside the next one.
    pub(crate) fn remember_kept(&mut self, sent: &Sent, listed: &[Contact]) {
        let kept = listed.iter().find(|contact| lives(contact) && is_uri(contact, &sent.uri));
        if let Some(kept) = kept.filter(|_| self.memory.former.len() < MAX_FORMER) {
            self.memory.former.push(Former {
                uri: Secret::new(kept.uri),
                expires_at: u64::MAX,
                refusals: 1,
                confirmed: true,
            });
        }
    }

    /// Returns the Contacts that were still to be taken back at the gateway that was used until now, as bindings that were left there:
    /// the one that has just taken the binding over does not list them, and so can remove none. As many as there is room for beside
    /// the binding itself.
    pub(crate) fn former_elsewhere(
        &self,
        sent: &Sent,
        gateway: Option<&str>,
        listed: &[Contact],
        now: Now,
    ) -> Vec<Bound> {
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

    /// Forgets what a gateway has just removed. A binding that another one holds is not gone: it is known until the
    /// next one is accepted instead, and then taken back where it is.
    pub(crate) fn forget_removed(&mut self, sent: &Sent, gateway: Option<&str>) {
        if self.memory.bound.as_ref().is_some_and(|bound| bound.gateway.as_deref() == gateway) {
            self.memory.bound = None;
        }
        let gone = |uri: &str| uri == sent.uri || sent.removed.iter().any(|removed| removed == uri);
        self.memory.left.retain(|left| left.gateway.as_deref() != gateway || !gone(left.uri.expose()));
        self.memory.former.retain(|known| !gone(known.uri.expose()));
    }

    /// Forgets the former Contacts that the 200 no longer lists, and finds those that it still lists.
    pub(crate) fn settle_former(
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
                former.push(Former {
                    uri: bound.uri.clone(),
                    expires_at: bound.expires_at,
                    refusals: 0,
                    confirmed: true,
                });
            }
        }
        former.retain(|known| known.uri.expose() != sent.uri);
        let mut kept: Vec<Former> = Vec::new();
        // A query's Contact differs from ours only in what RFC 3261 19.1.4 overlooks: where both are listed, each is its own.
        let exactly = listed.iter().any(|contact| contact.uri.eq_ignore_ascii_case(&sent.uri));
        // Where tokens are left out of the list, the one at our address is the new one.
        let ours = ours.or_else(|| listed.iter().find(|contact| is_stripped(contact, &sent.uri)));
        let bare = ours.is_some_and(|ours| is_stripped(ours, &sent.uri));
        let moved = Moved::read(&sent.uri, ours);
        let is_ours = |contact: &Contact, former: &[Former]| {
            let known = || former.iter().any(|known| known.uri.expose().eq_ignore_ascii_case(contact.uri));
            is_uri(contact, &sent.uri) && !(exactly && known())
        };
        for contact in
            listed.iter().filter(|contact| lives(contact) && Some(*contact) != ours && !is_ours(contact, &former))
        {
            let is_it = |known: &&Former| {
                let uri = known.uri.expose();
                is_uri(contact, uri)
                    || moved.as_ref().is_some_and(|moved| moved.is_where(contact, uri))
                    || (bare && is_stripped(contact, uri))
            };
            let known = former.iter().find(is_it);
            if known.is_none() && !self.is_our_leftover(contact, sent) {
                continue;
            }
            let refusals = known.map_or(0, |known| known.refusals) + 1;
            // The server has just shown that it holds it, whatever our clock says.
            if refusals <= MAX_CLEANUPS && kept.len() < MAX_FORMER {
                kept.push(Former { uri: Secret::new(contact.uri), expires_at: u64::MAX, refusals, confirmed: true });
            }
        }
        if listed.is_empty() {
            // The server lists nothing: what was asked to be removed counts as removed, the rest waits for its turn.
            former.retain(|known| !sent.removed.iter().any(|uri| uri == known.uri.expose()));
            former.truncate(MAX_FORMER);
            kept = former;
        }
        kept.shrink_to_fit();
        (self.memory.former, self.memory.bound) = (kept, None);
    }

    /// The binding that a 200 has just confirmed, in place of what was bound `before`. What was said at the same gateway with
    /// the same settings and is left out today stays to be taken back.
    pub(crate) fn bind(
        &mut self,
        sent: &Sent,
        expires_at: u64,
        gateway: Option<Box<str>>,
        before: Option<Bound>,
        listed: bool,
    ) {
        let before = before.filter(|before| before.gateway == gateway).and_then(|before| before.spoken);
        let Some(mut bound) = Bound::new(&sent.base, &sent.uri, sent.token.clone(), expires_at, gateway) else {
            return;
        };
        bound.spoken = sent.said();
        (bound.listed, bound.mizutech) = (listed, self.memory.mizutech);
        if let (Some(said), Some(before)) = (&mut bound.spoken, before)
            && said.push == before.push
        {
            let more = before.dialects.into_iter().filter(|dialect| !said.dialects.contains(dialect));
            let more: Vec<_> = more.collect();
            said.dialects.extend(more);
        }
        self.memory.bound = Some(bound);
    }
}

/// How long a 200 grants our binding, where its list does not name our Contact outright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) seconds: u32,
    /// Nothing says that this is our binding's: it is the shortest that it can be.
    pub(crate) guessed: bool,
}

/// The shortest lifetime that is taken from bindings which may be other devices', in seconds.
const SHORTEST_GUESS: u32 = 60;

impl Registrant {
    /// Reads for how long a 200 binds us: by our own Contact, by one that differs from it only as servers rewrite it,
    /// by the address that the server saw, or by the only one that is new or was prolonged; else by `Expires`; else as
    /// short as it can be. Never longer than the server said, or the binding would end without our knowledge.
    pub(crate) fn granted(
        &self,
        message: &Message,
        listed: &[Contact],
        ours: Option<&Contact>,
        sent: &Sent,
        last: &LastList,
    ) -> Granted {
        let sure = |seconds| Granted { seconds, guessed: false };
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
        // Registrars shorten what was asked for; what is longer is another device's.
        let changed =
            || last.only_change(&others).filter(|c| c.expires().is_none_or(|granted| granted <= sent.expires));
        let meant = ours.or_else(|| rewritten().copied()).or_else(|| from_seen().copied()).or_else(changed);
        let guess = |seconds: u32| Granted { seconds: seconds.min(sent.expires), guessed: true };
        if let Some(seconds) = meant.and_then(Contact::expires) {
            // After a loss of what was stored, an old binding of ours may have our token, too, and live longer than the new one.
            let named = |ours: &Contact| is_uri(ours, &sent.uri) || seen.is_some_and(|seen| is_at(ours, seen));
            // What a list alone told of may be the new one, taken for an old one.
            let may_be = |contact: &&Contact| {
                self.has_our_mark(contact, sent) && !self.is_known(contact, sent, |former| former.refusals == 0)
            };
            let several = listed.iter().filter(|_| ours.is_some_and(|ours| !named(ours))).filter(may_be);
            let shortest = several.filter_map(Contact::expires).filter(|seconds| *seconds >= SHORTEST_GUESS).min();
            return shortest.filter(|shortest| *shortest < seconds).map_or(sure(seconds), guess);
        }
        match message.expires() {
            // Beside what it binds, a zero is a habit of old scripts; it says at least that no time was promised.
            Some(0) => return guess(SHORTEST_GUESS),
            Some(seconds) => return sure(seconds),
            None => {}
        }
        let known = listed.iter().filter_map(Contact::expires).filter(|seconds| *seconds >= SHORTEST_GUESS);
        guess(known.min().unwrap_or(sent.expires))
    }

    /// Whether a listed Contact is one of ours from before, and not the one that was just sent.
    fn is_known_otherwise(&self, contact: &Contact, sent: &Sent) -> bool {
        let bound = self.memory.bound.iter().map(|bound| bound.uri.expose());
        let mut known = self.memory.former.iter().map(|former| former.uri.expose()).chain(bound);
        !is_uri(contact, &sent.uri) && known.any(|uri| is_uri(contact, uri))
    }
}

/// The Contacts that the last 200 listed, by a hash and their lifetime in seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastList(Box<[(u32, u32)]>);

/// Contacts of the last list that are remembered.
const MAX_LIST: usize = 64;

impl LastList {
    pub(crate) fn remember(&mut self, listed: &[Contact]) {
        self.0 =
            listed.iter().take(MAX_LIST).map(|contact| (hash(contact.uri), contact.expires().unwrap_or(0))).collect();
    }

    fn names(&self, contact: &Contact) -> bool {
        self.0.iter().any(|(known, _)| *known == hash(contact.uri))
    }

    /// The one Contact that is new or lives longer than it did; `None` if there are several.
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
    // Half of it: one account has few Contacts, and waits with them for days.
    hasher.finish() as u32
}

/// How a server has rewritten the address of our Contact: what came from the same place is where ours is.
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

/// Whether a listed URI is ours except for what servers rewrite: the default port, the transport, escapes, case,
/// parameters.
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

/// Whether a listed Contact is bound: servers also list one at its end, alone or beside the live twin that took its place.
fn lives(contact: &Contact) -> bool {
    contact.expires() != Some(0)
}

/// Whether a listed URI is this one without its token, as servers list it that leave the parameters out.
fn is_stripped(contact: &Contact, uri: &str) -> bool {
    let is_it = |(listed, known): (SipUri, SipUri)| {
        prid(&listed).is_none() && prid(&known).is_some() && is_rewritten(&listed, &known)
    };
    contact.parsed().zip(SipUri::parse(uri)).is_some_and(is_it)
}

/// Whether a Contact names the address that the server saw us at.
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
