//! Whose bindings they are: the account, what is remembered of it, and the numbers that all its REGISTERs share.

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
use crate::snapshot::{self, Bound, Durability, Former, MAX_LEFT, Memory, StoredRemoval, binding_key, seal};
use crate::trust::{Trusted, Warning};

/// CSeq numbers reserved by one write to the store.
const RESERVE_CSEQ: u32 = 32;
/// Where a Call-ID has had enough of them: a CSeq stays below 2^31 (RFC 3261 section 8.1.1.5).
const MAX_CSEQ: u32 = 1 << 30;
/// Former Contacts remembered for removal.
pub(super) const MAX_FORMER: usize = 8;
/// How far ahead the CSeq goes after a 400 or 500. RFC 3261 section 10.3 has a registrar refuse a CSeq that is not above the
/// last one, without saying so; a process whose predecessor could not store its numbers begins below it.
const SKIP_CSEQ: u32 = 1000;

/// The account that registers, the same at each gateway.
pub(crate) struct Registrant {
    pub(super) key: AccountKey,
    pub(super) account: Account,
    pub(super) push: Option<Arc<Push>>,
    pub(super) memory: Memory,
    cseq: u32,
    /// The user logged out: what is remembered is stored as a pending log-out.
    pub(super) leaving: bool,
    /// The credentials were refused, and nothing was accepted since: they are not tried twice again.
    pub(super) refused: bool,
    /// The phone's key for sealed pushes, as a REGISTER carries it.
    pub(super) push_key: Option<Box<Secret>>,
    /// This process was told whether the user may be disturbed.
    quiet_said: bool,
    /// The Contact URI of another SIP stack, which registers in our place, without push parameters.
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
        // What was bound with the same settings shares them.
        for spoken in memory.bound.iter_mut().chain(&mut memory.left).filter_map(|bound| bound.spoken.as_mut()) {
            if let Some(push) = push.as_ref().filter(|push| **push == spoken.push) {
                spoken.push = push.clone();
            }
        }
        Self {
            key: account.key(),
            cseq: memory.cseq_reserved,
            account,
            push,
            memory,
            leaving: false,
            refused: false,
            push_key: None,
            quiet_said: false,
            stands_at: None,
        }
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

    /// Returns the account and the nonces that its credentials answer.
    pub(crate) fn credentials(&mut self) -> (&Account, &mut NonceCache) {
        (&self.account, &mut self.memory.nonces)
    }

    pub(crate) fn into_memory(self) -> Memory {
        self.memory
    }

    /// Takes over what an earlier process remembered, which could not be read until now. Call-ID and CSeq are ours; whatever
    /// the server may hold of then is to be removed, with all that was said for it. Returns whether there is any of that.
    pub(crate) fn recall(&mut self, mut earlier: Memory, asking: bool) -> bool {
        earlier.forget_hearsay();
        locate(&mut earlier, &self.account);
        let mut former = earlier.former;
        match (earlier.bound, &self.memory.bound) {
            (None, _) => {}
            // Nothing else was bound meanwhile: it is what the server holds.
            (Some(bound), None) if !asking || self.covers(&bound) => self.memory.bound = Some(bound),
            (Some(bound), Some(ours)) if bound.gateway == ours.gateway && self.covers(&bound) => {
                former.push(Former { uri: bound.uri, expires_at: bound.expires_at, refusals: 0, confirmed: true });
            }
            (Some(bound), _) => self.memory.left.insert(0, bound),
        }
        let ours = self.memory.bound.as_ref().map(|bound| &bound.uri);
        former.retain(|known| Some(&known.uri) != ours);
        self.memory.left.extend(earlier.left);
        self.memory.left.truncate(MAX_LEFT);
        self.memory.worked |= earlier.worked;
        self.memory.lost = earlier.lost;
        self.memory.mizutech |= earlier.mizutech;
        self.memory.no_outbound |= earlier.no_outbound;
        self.memory.separate_removal |= earlier.separate_removal;
        self.memory.realm = self.memory.realm.take().or(earlier.realm);
        self.memory.left_at = self.memory.left_at.or(earlier.left_at);
        if self.memory.nonces.asked().next().is_none() {
            // They tell which realms a log-out without the password needs HA1 for.
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
        self.memory.recall_wishes(earlier.token, earlier.quiet, self.quiet_said || self.leaving);
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
    }

    /// Sets until when the user does not want to be disturbed, in wall time; `None`: not any more. Returns whether anything changed.
    pub(crate) fn be_quiet(&mut self, until: Option<Duration>, now: Now) -> bool {
        self.quiet_said = true;
        match until.filter(|until| *until > now.wall) {
            Some(until) => self.memory.be_quiet(until, now),
            None => self.memory.end_quiet(),
        }
    }

    /// Takes this phone's key for sealed pushes. Returns whether it is another one.
    pub(crate) fn set_push_key(&mut self, key: &Secret) -> bool {
        let is_new = self.push_key.as_deref() != Some(key);
        self.push_key = Some(Box::new(key.clone()));
        is_new
    }

    /// From here on what is remembered is stored as a log-out.
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

    /// Returns what is needed to deliver the log-out without the app.
    pub(crate) fn removal(&self) -> StoredRemoval {
        let mut account = self.account.config();
        account.credentials = self.ha1_only();
        snapshot::Removal::written(&account, &self.push().map(Push::config), &self.memory)
    }

    /// The HA1 values that are needed to deliver a removal without the password: the one for each realm that has asked, with the
    /// hash that it wants. Where none has yet, those for the domain of the AOR, which is most servers' realm.
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

    /// Learns the upper server's realm, for `X-PIID`. Its 401 comes through, a 407 is the proxy's own; and a realm that has
    /// asked before asks again only for its own sake.
    ///
    /// Until a server has accepted a REGISTER with it, the realm may change; then it is pinned, and a change is told.
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

    /// The device is on another network, where other servers may answer in the name of ours.
    pub(crate) fn network_changed(&mut self) {
        self.memory.nonces.network_changed();
        self.memory.forget_hearsay();
    }

    /// A flow is up: what was heard at another address was of another network, which nobody told us of.
    pub(crate) fn is_at(&mut self, address: IpAddr) {
        if self.memory.heard_at != Some(address) {
            self.memory.forget_hearsay();
        }
    }

    /// Reserves CSeq numbers ahead, so that none is used twice across a kill. Returns whether the record must be stored.
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

    /// The settings and the dialects that take a binding back: all that was said with it and, under the same settings, what
    /// would be said today.
    pub(super) fn takes_back(&self, bound: Option<&Bound>) -> (Option<Arc<Push>>, Vec<Dialect>) {
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

    /// Whether the server is one of Mizutech's: it has shown so, or the app says so.
    pub(crate) fn is_mizutechs(&self, bound: Option<&Bound>) -> bool {
        let named = Trusted::by(&self.account).names_mizutechs();
        let null = self.push.as_ref().is_some_and(|push| push.removal() == Removal::NullPrid);
        named || null || bound.map_or(self.memory.mizutech, |bound| bound.mizutech || self.holds_here(bound))
    }

    /// Whether the server that has shown that it is Mizutech's is the one that holds this binding.
    fn holds_here(&self, bound: &Bound) -> bool {
        self.memory.mizutech && self.account.names(bound.gateway.as_deref())
    }

    /// Whether a 2xx to a removal that lists none of our Contacts proves that nothing is left: the server has listed this one
    /// before, and all that was said about push stood in it. Mizutech's keep a push binding apart from Contacts; and what no record
    /// tells of may be anywhere.
    pub(crate) fn is_proven_gone(&self, bound: Option<&Bound>) -> bool {
        if self.memory.lost {
            return false;
        }
        let Some(bound) = bound.filter(|bound| bound.listed && !self.is_mizutechs(Some(bound))) else { return false };
        match &bound.spoken {
            Some(spoken) => spoken.lives_in_contact(),
            None => bound.token.is_none(),
        }
    }

    /// The binding at this gateway whose push settings the present ones do not take the place of.
    pub(crate) fn uncovered<'a>(&'a self, gateway: Option<&str>) -> Option<&'a Bound> {
        let here = self.memory.bound.iter().filter(|bound| bound.gateway.as_deref() == gateway);
        here.chain(self.left_at(gateway)).find(|bound| !self.covers(bound))
    }

    /// Whether the present push settings take the place of all that was said with this binding.
    fn covers(&self, bound: &Bound) -> bool {
        let Some(said) = bound.spoken.as_ref().filter(|said| !said.dialects.is_empty()) else { return true };
        self.push().is_some_and(|push| push.covers(&said.push, &said.dialects))
    }

    /// Remembers, before it is sent, a Contact that the server may soon hold: a kill must not make it an unknown leftover.
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
            // An outage makes many that no server ever heard of.
            let least = self.memory.former.iter().position(|former| !former.confirmed).unwrap_or_default();
            self.memory.former.remove(least);
        }
        self.memory.former.push(Former { uri: Secret::new(uri), expires_at, refusals: 0, confirmed: false });
        true
    }

    pub(super) fn forget_contact(&mut self, uri: &str) {
        self.memory.former.retain(|former| former.uri.expose() != uri);
    }

    /// What a gateway holds of the time before it was left.
    pub(crate) fn left_at<'a, 'g>(&'a self, gateway: Option<&'g str>) -> impl Iterator<Item = &'a Bound> + use<'a, 'g> {
        self.memory.left.iter().filter(move |left| left.gateway.as_deref() == gateway)
    }
}

/// Old records do not say where something is bound if there was no choice.
fn locate(memory: &mut Memory, account: &Account) {
    let [only] = account.hops() else { return };
    for bound in memory.bound.iter_mut().chain(&mut memory.left).filter(|bound| bound.gateway.is_none()) {
        bound.gateway = Some(only.name().into());
    }
}

/// What a server has shown counts for what it holds, and not for the one that the account goes to from here on.
fn part_from_server(memory: &mut Memory) {
    let shown = std::mem::take(&mut memory.mizutech);
    for bound in memory.bound.iter_mut().chain(&mut memory.left) {
        bound.mizutech |= shown;
    }
}
