//! The user whose bindings these are: the account, what is remembered about it, and the numbers that all its REGISTERs
//! share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{Account, AccountKey};
use crate::clock::Now;
use crate::digest::{Algorithm, Challenge, Credentials, NonceCache, RealmHa1};
use crate::outbox::Outbox;
use crate::push::{Dialect, Push, Removal, Shown};
use crate::random::Random;
use crate::redact::Secret;
use crate::snapshot::{
    self, ConfirmedBinding, Durability, GIVEN_UP, MAX_LEFT, Memory, Spoken, StaleContact, StoredLogout, WantedToken,
    binding_key, seal,
};
use crate::trust::{Trusted, Warning};

use super::Sent;

/// How many CSeq numbers one write to the store reserves.
const RESERVE_CSEQ: u32 = 32;
/// At this number a new Call-ID begins: a CSeq stays below 2^31 (RFC 3261 section 8.1.1.5).
const MAX_CSEQ: u32 = 1 << 30;
/// How many former Contacts are remembered for removal.
pub(super) const MAX_FORMER: usize = 8;
/// How far the CSeq jumps after a 400 or 500. By RFC 3261 section 10.3 a registrar refuses a CSeq that is not above the
/// last one, without saying why. A process begins below it if its predecessor could not store its numbers.
const SKIP_CSEQ: u32 = 1000;

/// The account that registers. It is the same at each gateway.
pub(crate) struct Registrant {
    pub(super) key: AccountKey,
    pub(super) account: Account,
    pub(super) push: Option<Arc<Push>>,
    pub(super) memory: Memory,
    cseq: u32,
    /// The user logged out. From here on the record is that of a pending log-out.
    pub(super) leaving: bool,
    /// The credentials were refused, and none were accepted since. They are not tried twice again.
    pub(super) refused: bool,
    /// The server has refused a REGISTER that named former Contacts for removal, and accepted it without them. From then
    /// on each is removed in a request of its own.
    one_by_one: bool,
    /// The phone's key for sealed pushes, in the form that a REGISTER carries.
    pub(super) push_key: Option<Box<Secret>>,
    /// The app told this process whether the user may be disturbed.
    quiet_said: bool,
    /// The Contact URI of another SIP stack that registers in our place, without push parameters.
    #[allow(clippy::box_collection, reason = "one word in each account, of which few have it")]
    pub(super) stands_at: Option<Box<String>>,
}

impl Registrant {
    pub(crate) fn new(account: Account, push: Option<Push>, memory: Option<Memory>, random: &mut Random) -> Self {
        let mut memory = match memory {
            Some(memory) if memory.cseq_reserved < MAX_CSEQ => memory,
            Some(memory) => Memory { call_id: random.token().into(), cseq_reserved: 1, ..memory },
            None => Memory::fresh(random),
        };
        memory.forget_hearsay();
        locate(&mut memory, &account);
        if memory.bound.as_ref().is_some_and(|bound| !account.names(bound.gateway.as_deref())) {
            part_from_server(&mut memory);
        }
        let push = push.map(Arc::new);
        // Bindings with the same settings share them.
        for spoken in memory.bound.iter_mut().chain(&mut memory.left).filter_map(|bound| bound.spoken.as_mut()) {
            if let Some(push) = push.as_ref().filter(|push| **push == spoken.push) {
                spoken.push = push.clone();
            }
        }
        let mut registrant = Self {
            key: account.key(),
            cseq: memory.cseq_reserved,
            account,
            push,
            memory,
            leaving: false,
            refused: false,
            one_by_one: false,
            push_key: None,
            quiet_said: false,
            stands_at: None,
        };
        registrant.leave_unconfirmed();
        registrant
    }

    pub(crate) fn key(&self) -> &AccountKey {
        &self.key
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn push(&self) -> Option<&Push> {
        self.push.as_deref()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Returns the account, and the nonces for its credentials.
    pub(crate) fn credentials(&mut self) -> (&Account, &mut NonceCache) {
        (&self.account, &mut self.memory.nonces)
    }

    pub(crate) fn into_memory(self) -> Memory {
        self.memory
    }

    /// Takes over the record of an earlier process, which could not be read until now. Our Call-ID and CSeq stay. All
    /// Contacts that the server may hold since then are to be removed, with what was said for them. Returns whether
    /// there are any.
    pub(crate) fn recall(&mut self, mut earlier: Memory, asking: bool) -> bool {
        earlier.forget_hearsay();
        locate(&mut earlier, &self.account);
        let mut former = earlier.former;
        match (earlier.bound, &self.memory.bound) {
            (None, _) => {}
            // This process has bound nothing, so the server still holds this binding.
            (Some(bound), None) if !asking || self.covers(&bound) => self.memory.bound = Some(bound),
            // The next REGISTER removes it, too. Of several gateways, it must be this one.
            (Some(bound), Some(ours))
                if bound.gateway == ours.gateway && self.account.hops().len() == 1 && self.covers(&bound) =>
            {
                former.push(StaleContact {
                    uri: bound.uri,
                    expires_at: bound.expires_at,
                    refusals: 0,
                    confirmed: true,
                });
            }
            (Some(bound), _) => self.memory.left.insert(0, bound),
        }
        let ours = self.memory.bound.as_ref().map(|bound| &bound.uri);
        former.retain(|known| Some(&known.uri) != ours);
        self.memory.left.extend(earlier.left);
        self.memory.left.truncate(MAX_LEFT);
        self.memory.unconfirmed = self.memory.unconfirmed.take().or(earlier.unconfirmed);
        self.leave_unconfirmed();
        self.memory.worked |= earlier.worked;
        self.memory.lost = earlier.lost;
        self.memory.mizutech |= earlier.mizutech;
        self.memory.no_outbound |= earlier.no_outbound;
        self.memory.separate_removal |= earlier.separate_removal;
        self.memory.rewrites |= earlier.rewrites;
        self.memory.realm = self.memory.realm.take().or(earlier.realm);
        self.memory.left_at = self.memory.left_at.or(earlier.left_at);
        if self.memory.nonces.asked().next().is_none() {
            // They tell for which realms a log-out without the password needs HA1.
            self.memory.nonces = earlier.nonces;
        }
        if self.memory.shown == Shown::Nothing {
            self.memory.shown = earlier.shown;
            (self.memory.refused_at, self.memory.refused_why) = (earlier.refused_at, earlier.refused_why);
        }
        former.retain(|known| self.memory.former.iter().all(|ours| ours.uri != known.uri));
        let room = MAX_FORMER.saturating_sub(self.memory.former.len());
        former.sort_by_key(|known| known.confirmed);
        self.memory.former.extend(former.into_iter().rev().take(room));
        self.memory.restore_token(earlier.token, earlier.quiet, self.quiet_said || self.leaving);
        self.memory.asked_only &= earlier.asked_only;
        self.memory.bound.is_some() || !self.memory.former.is_empty() || !self.memory.left.is_empty()
    }

    pub(crate) fn replace(&mut self, account: Account, push: Option<Push>) {
        if account.hops() != self.account.hops() {
            part_from_server(&mut self.memory);
        }
        self.refused = false;
        self.account = account;
        self.push = push.map(Arc::new);
        self.leave_unconfirmed();
    }

    /// Sets until when the user does not want to be disturbed, in wall time. `None` ends it. Returns whether anything
    /// changed.
    pub(crate) fn be_quiet(&mut self, until: Option<Duration>, now: Now) -> bool {
        self.quiet_said = true;
        match until.filter(|until| *until > now.wall) {
            Some(until) => self.memory.be_quiet(until, now),
            None => self.memory.end_quiet(),
        }
    }

    /// Takes this phone's key for sealed pushes. Returns whether it has changed.
    pub(crate) fn set_push_key(&mut self, key: &Secret) -> bool {
        let is_new = self.push_key.as_deref() != Some(key);
        self.push_key = Some(Box::new(key.clone()));
        is_new
    }

    /// From here on the record is stored as a pending log-out.
    pub(crate) fn leave(&mut self) {
        self.memory.end_quiet();
        self.leaving = true;
    }

    pub(crate) fn save(&self, outbox: &mut Outbox, durability: Durability) {
        if self.leaving {
            return outbox.save_removal(&self.key, Some(self.removal()), durability);
        }
        let bytes = Some(seal(&self.memory));
        outbox.save(binding_key(&self.key), bytes, durability);
    }

    /// Returns what a later process needs to deliver the log-out without the app.
    pub(crate) fn removal(&self) -> StoredLogout {
        let mut account = self.account.config();
        account.credentials = self.ha1_only();
        snapshot::PendingLogout::written(&account, &self.push().map(Push::config), &self.memory)
    }

    /// The HA1 values that a removal without the password needs. There is one for each realm that has asked, with the
    /// hash that it wants. If none has asked yet, they are for the domain of the AOR, which is the realm of most
    /// servers.
    fn ha1_only(&self) -> Credentials {
        let password = match self.account.credentials() {
            Credentials::Password(password) => password,
            known @ Credentials::Ha1(_) => return known.clone(),
        };
        let mut asked: Vec<(&str, Algorithm)> = self.memory.nonces.asked().collect();
        if asked.is_empty() {
            let domain = self.account.aor().as_str().rsplit('@').next();
            let realm = self.memory.realm.as_deref().or(self.account.realm()).or(domain).unwrap_or_default();
            asked.extend([Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256].map(|hash| (realm, hash)));
        }
        asked.sort_unstable_by_key(|(realm, hash)| (*realm, hash.token()));
        asked.dedup();
        let value = |(realm, algorithm): (&str, Algorithm)| {
            let ha1 = crate::digest::ha1(algorithm, self.account.auth_user(), realm, password.expose());
            RealmHa1 { realm: realm.to_owned(), algorithm, ha1 }
        };
        Credentials::Ha1(asked.into_iter().map(value).collect())
    }

    /// Whether a server has accepted these credentials before.
    pub(crate) fn has_worked(&self) -> bool {
        self.memory.worked || self.memory.bound.is_some()
    }

    /// Notes the upper server's realm for `X-PIID`. The upper server's challenge is a 401, and a 407 is the proxy's
    /// own. A realm that has asked before is not the upper server's: it asks again only for itself.
    ///
    /// The realm may change until a server has accepted a REGISTER with it. Then it is pinned, and the app is told of a
    /// change.
    pub(super) fn learn_upper_realm(&mut self, challenges: &[Challenge], outbox: &mut Outbox) {
        if !Trusted::by(&self.account).wants_piid(self.push()) {
            return;
        }
        let new = |challenge: &&Challenge| !self.memory.nonces.knows(&challenge.realm, challenge.proxy);
        let upper = challenges.iter().find(|challenge| !challenge.proxy).filter(new);
        let proxy = challenges.first().filter(|_| self.memory.realm.is_none());
        let Some(challenge) = upper.or(proxy) else { return };
        match &self.memory.realm {
            Some(pinned) if self.memory.realm_pinned => {
                if **pinned != *challenge.realm && self.account.realm().is_none() {
                    let (pinned, asked) = (pinned.to_string(), challenge.realm.clone());
                    outbox.warn(&self.key, Warning::PinnedRealmChanged { pinned, asked });
                }
            }
            _ => self.memory.realm = Some(challenge.realm.as_str().into()),
        }
    }

    /// The device is on another network. Other servers may answer there in the name of ours.
    pub(crate) fn network_changed(&mut self) {
        self.memory.nonces.network_changed();
        self.memory.forget_hearsay();
    }

    /// A flow is up. What a server said at another address belongs to another network, even if nobody reported a
    /// change.
    pub(crate) fn is_at(&mut self, address: IpAddr) {
        if self.memory.heard_at != Some(address) {
            self.memory.forget_hearsay();
        }
    }

    /// Reserves CSeq numbers, so that no number is used twice after a kill. Returns whether the record must be stored.
    pub(super) fn reserve(&mut self) -> bool {
        if self.cseq < self.memory.cseq_reserved {
            return false;
        }
        self.memory.cseq_reserved = self.cseq + RESERVE_CSEQ;
        true
    }

    pub(super) fn next_cseq(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }

    pub(super) fn skip_after(&mut self, code: u16) {
        if matches!(code, 400 | 500) {
            self.cseq += SKIP_CSEQ;
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

    /// The settings and the dialects for removing a binding: all those that made it and, if the settings are the same,
    /// those that would be used today.
    pub(super) fn takes_back(&self, bound: Option<&ConfirmedBinding>) -> (Option<Arc<Push>>, Vec<Dialect>) {
        let said = bound.and_then(|bound| bound.spoken.as_ref());
        let Some(push) = said.map(|said| &said.push).or(self.push.as_ref()) else { return (None, Vec::new()) };
        let same = self.push.as_ref() == Some(push);
        let mut dialects = if same { push.spoken_to_remove(self.memory.shown) } else { Vec::new() };
        for dialect in said.into_iter().flat_map(|said| &said.dialects) {
            if !dialects.contains(dialect) {
                dialects.push(*dialect);
            }
        }
        let mut push = push.clone();
        if self.is_mizutechs(bound) && push.removal() == Removal::SameBinding {
            Arc::make_mut(&mut push).remove_by_null();
        }
        (Some(push), Push::with_null(dialects))
    }

    /// Whether the server is one of Mizutech's. The server has shown it, or the app says so.
    pub(crate) fn is_mizutechs(&self, bound: Option<&ConfirmedBinding>) -> bool {
        let named = Trusted::by(&self.account).names_mizutechs();
        let null = self.push.as_ref().is_some_and(|push| push.removal() == Removal::NullPrid);
        named || null || bound.map_or(self.memory.mizutech, |bound| bound.mizutech || self.holds_here(bound))
    }

    /// Whether the server that has shown that it is Mizutech's holds this binding.
    fn holds_here(&self, bound: &ConfirmedBinding) -> bool {
        self.memory.mizutech && self.account.names(bound.gateway.as_deref())
    }

    /// A REGISTER that named no former Contact was accepted, after one that did was refused.
    pub(crate) fn remove_one_by_one(&mut self) {
        self.one_by_one = true;
    }

    pub(crate) fn is_one_by_one(&self) -> bool {
        self.one_by_one
    }

    /// Whether a former Contact is removed in a request that binds nothing: the server refuses the push provider that it
    /// names, or any former Contact.
    pub(crate) fn removes_apart(&self, uri: &str) -> bool {
        self.one_by_one || (self.memory.shown == Shown::NoRfc8599 && uri.contains(";pn-"))
    }

    /// Whether a 2xx to a removal that lists none of our Contacts proves that nothing is left. It does if the server
    /// listed this binding before and everything about push was in the Contact. Mizutech's servers keep push bindings
    /// apart from Contacts. And if the record was lost, there may be a binding anywhere.
    pub(crate) fn is_proven_gone(&self, bound: Option<&ConfirmedBinding>) -> bool {
        if self.memory.lost {
            return false;
        }
        let Some(bound) = bound.filter(|bound| bound.listed && !self.is_mizutechs(Some(bound))) else { return false };
        match &bound.spoken {
            Some(spoken) => spoken.lives_in_contact(),
            None => bound.token.is_none(),
        }
    }

    /// The binding at this gateway that the present push settings do not replace.
    pub(crate) fn uncovered<'a>(&'a self, gateway: Option<&str>) -> Option<&'a ConfirmedBinding> {
        let here = self.memory.bound.iter().filter(|bound| bound.gateway.as_deref() == gateway);
        here.chain(self.left_at(gateway)).find(|bound| !self.covers(bound))
    }

    /// Notes what a REGISTER is about to say about push, unless that is known already. Returns whether the record must
    /// be stored: if the response is lost, the server may still have it.
    pub(super) fn note_unconfirmed(
        &mut self,
        (base, uri): (&str, &str),
        push: &Arc<Push>,
        spoken: &[Dialect],
        gateway: Option<&str>,
        now: Now,
    ) -> bool {
        let (WantedToken::Bind(token), Some(gateway)) = (&self.memory.token, gateway) else { return false };
        let said = |bound: &ConfirmedBinding| bound.spoken.as_ref().filter(|said| said.push == *push).cloned();
        let known = self.memory.unconfirmed.as_deref().and_then(said);
        let mut dialects = known.map(|said| said.dialects).unwrap_or_default();
        let bound = self.memory.bound.as_ref().and_then(said).map(|said| said.dialects).unwrap_or_default();
        let before = dialects.len();
        for dialect in spoken {
            if !dialects.contains(dialect) && !bound.contains(dialect) {
                dialects.push(*dialect);
            }
        }
        if dialects.len() == before {
            return false;
        }
        let expires_at = now.wall.as_secs().saturating_add(u64::from(self.account.expires().max(3600)));
        let noted = ConfirmedBinding::new(base, uri, Some(token.clone()), expires_at, Some(gateway.into()));
        let Some(mut noted) = noted else { return false };
        noted.spoken = Some(Spoken { push: push.clone(), dialects });
        self.memory.unconfirmed = Some(Box::new(noted));
        true
    }

    /// What no response has confirmed, and the present settings do not cover, is taken back as what was left.
    fn leave_unconfirmed(&mut self) {
        let stays = |said: &ConfirmedBinding| self.covers(said) && self.account.names(said.gateway.as_deref());
        let stays = self.memory.unconfirmed.as_deref().is_none_or(stays);
        if let Some(said) = self.memory.unconfirmed.take_if(|_| !stays) {
            self.leave_binding(*said);
        }
    }

    /// Remembers a binding that is to be removed in a request of its own.
    fn leave_binding(&mut self, bound: ConfirmedBinding) {
        let left = &mut self.memory.left;
        let same = |known: &ConfirmedBinding| {
            known.uri == bound.uri && known.gateway == bound.gateway && known.spoken == bound.spoken
        };
        if !left.iter().any(same) {
            left.insert(0, bound);
            self.memory.lost |= left.len() > MAX_LEFT;
            self.memory.left.truncate(MAX_LEFT);
        }
    }

    /// One of several gateways accepted a capability query, and with it our Contact. If the account registers at another
    /// one, it is removed where it is. Returns whether it was unknown.
    pub(crate) fn remember_queried(&mut self, sent: &Sent, gateway: &str, listed: bool, now: Now) -> bool {
        let known =
            |bound: &ConfirmedBinding| bound.uri.expose() == sent.uri && bound.gateway.as_deref() == Some(gateway);
        if self.account.hops().len() == 1 || self.memory.bound.iter().chain(&self.memory.left).any(known) {
            return false;
        }
        if self.memory.left.len() >= MAX_LEFT {
            // It gets no pushes, and those that it would displace do.
            self.memory.lost = true;
            return false;
        }
        let Some(mut bound) = sent.bound(now) else { return false };
        (bound.gateway, bound.listed) = (Some(gateway.into()), listed);
        self.memory.left.push(bound);
        true
    }

    /// The server has refused to take back what was said for the binding before this REGISTER. It is asked again later.
    /// Returns whether there is such a binding.
    pub(crate) fn remember_refused(
        &mut self,
        before: Option<&ConfirmedBinding>,
        sent: &Sent,
        gateway: Option<&str>,
    ) -> bool {
        let replaces = |said: &Spoken| sent.push.as_ref().is_some_and(|push| push.covers(&said.push, &said.dialects));
        let refused = before.filter(|before| gateway.is_some() && before.gateway.as_deref() == gateway);
        let refused = refused
            .filter(|before| before.spoken.as_ref().is_some_and(|said| !said.dialects.is_empty() && !replaces(said)));
        let Some(refused) = refused else { return false };
        let mut refused = refused.clone();
        refused.refusals = 1;
        self.leave_binding(refused);
        true
    }

    /// Whether a REGISTER with the present push settings replaces all that was said for this binding.
    pub(crate) fn covers(&self, bound: &ConfirmedBinding) -> bool {
        let Some(said) = bound.spoken.as_ref().filter(|said| !said.dialects.is_empty()) else { return true };
        self.push().is_some_and(|push| push.covers(&said.push, &said.dialects))
    }

    /// Remembers a Contact before it is sent, because the server may soon hold it. After a kill it would be unknown
    /// otherwise.
    pub(super) fn remember_contact(&mut self, uri: &str, now: Now) -> bool {
        let known = |secret: &Secret| secret.expose() == uri;
        if self.is_nowhere(uri) {
            return false;
        }
        if self.memory.bound.as_ref().is_some_and(|bound| known(&bound.uri))
            || self.memory.former.iter().any(|former| known(&former.uri))
        {
            return false;
        }
        let expires_at = now.wall.as_secs().saturating_add(u64::from(self.account.expires().max(3600)));
        if self.memory.former.len() >= MAX_FORMER {
            // During an outage there are many Contacts that no server has ever seen.
            let least = self.memory.former.iter().position(|former| !former.confirmed).unwrap_or_default();
            self.memory.former.remove(least);
        }
        self.memory.former.push(StaleContact { uri: Secret::new(uri), expires_at, refusals: 0, confirmed: false });
        true
    }

    pub(super) fn forget_contact(&mut self, uri: &str) {
        self.memory.former.retain(|former| former.uri.expose() != uri);
    }

    /// Gives up left bindings that are over by the wall clock, and that no gateway has removed in all rounds: a log-out
    /// does not wait for them. If the account still has the gateway, later processes ask it, because the wall clock may be
    /// wrong. Returns whether there are any.
    pub(crate) fn give_up_left(&mut self, over: impl Fn(&ConfirmedBinding) -> bool) -> bool {
        let Self { account, memory, .. } = self;
        let mut any = false;
        for left in memory.left.iter_mut().filter(|left| left.refusals != GIVEN_UP && over(left)) {
            (left.refusals, memory.lost, any) = (GIVEN_UP, true, true);
        }
        memory.left.retain(|left| left.refusals != GIVEN_UP || account.names(left.gateway.as_deref()));
        any
    }

    /// Takes up what was given up while the wall clock was wrong.
    pub(crate) fn take_up_again(&mut self, lives: impl Fn(&ConfirmedBinding) -> bool) {
        for left in self.memory.left.iter_mut().filter(|left| left.refusals == GIVEN_UP && lives(left)) {
            left.refusals = 0;
        }
    }

    /// A log-out does not wait for what was given up. Returns whether there was any.
    pub(crate) fn leave_given_up(&mut self) -> bool {
        let before = self.memory.left.len();
        self.memory.left.retain(|left| left.refusals != GIVEN_UP);
        self.memory.left.len() < before
    }

    /// What a gateway still holds from before the account moved away from it.
    pub(crate) fn left_at<'a, 'g>(
        &'a self,
        gateway: Option<&'g str>,
    ) -> impl Iterator<Item = &'a ConfirmedBinding> + use<'a, 'g> {
        self.memory.left.iter().filter(move |left| left.gateway.as_deref() == gateway)
    }
}

/// Names the gateway of a binding. Old records leave it out if there was only one.
fn locate(memory: &mut Memory, account: &Account) {
    let [only] = account.hops() else { return };
    for bound in memory.bound.iter_mut().chain(&mut memory.left).filter(|bound| bound.gateway.is_none()) {
        bound.gateway = Some(only.name().into());
    }
}

/// What a server has shown applies to the bindings that it holds, and not to the server that the account uses next.
fn part_from_server(memory: &mut Memory) {
    let shown = std::mem::take(&mut memory.mizutech);
    for bound in memory.bound.iter_mut().chain(&mut memory.left) {
        bound.mizutech |= shown;
    }
}
