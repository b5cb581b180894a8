//! The registrar: RFC 3261, 10.3, digest, and the push semantics of the user's profile.

use std::time::Duration;

use tokio::time::Instant;

use crate::binding::{Binding, BindingView, User, same_binding};
use crate::build::quote;
use crate::digest::{Answer, Challenges, NonceUse, Secret};
use crate::gateway::{Gateway, Timer};
use crate::habits::{Habit, Habits};
use crate::parse::{Message, NameAddr, Uri};
use crate::profile::{ContactMatch, FeatureCaps, Profile};
use crate::tags::{self, Tags};
use crate::transport::{FlowId, Transport};

const MAX_BINDINGS: usize = 64;
const MAX_CALL_IDS: usize = 4096;

type Headers = Vec<(String, String)>;

/// What one Contact of a REGISTER asks for.
struct WantedContact {
    contact: NameAddr,
    expires: u32,
    tags: Tags,
}

impl Gateway {
    pub(crate) fn register(&mut self, flow: FlowId, message: &Message) {
        let name = message
            .header("To")
            .and_then(|to| Uri::parse(&NameAddr::parse(to).uri))
            .and_then(|uri| uri.user)
            .unwrap_or_default();
        let Some(user) = self.users.get_mut(&name) else {
            return self.reply(flow, message, 404, &[]);
        };
        user.asked = user.asked.wrapping_add(1);
        let (profile, asked, registered) = (user.profile.clone(), user.asked, user.registered);
        let habits = profile.habits;
        if habits.has(Habit::Silent) {
            return;
        }
        if !self.cseq_grows(message) {
            return self.reply(flow, message, 500, &[]);
        }
        let transport = self.flows.get(flow).map_or(Transport::Udp, |f| f.transport);
        if let Some((status, headers)) = habits.refusal(asked, message, &self.own_uri("", transport)) {
            return self.reply(flow, message, status, &headers);
        }
        if let Some(status) = self.scripted(&name, false) {
            return self.reply(flow, message, status.0, &status.1);
        }
        let mut headers = match self.authenticate(&name, &profile, message) {
            Ok(headers) => headers,
            Err((status, headers)) => return self.reply(flow, message, status, &headers),
        };
        if let Some(status) = self.scripted(&name, true) {
            return self.reply(flow, message, status.0, &status.1);
        }
        let wanted = match self.wanted(&profile, message, registered) {
            Ok(wanted) => wanted,
            Err((status, headers)) => return self.reply(flow, message, status, &headers),
        };
        headers.extend(listing(&profile, &wanted));
        let touched = self.carry_out(&name, &profile, flow, message, &wanted);
        let now = Instant::now();
        if let Some(user) = self.users.get_mut(&name) {
            user.expire(now);
            for binding in user.bindings.iter().filter(|b| b.registered) {
                headers.push(("Contact".into(), binding.contact_line(now)));
            }
        }
        let ours: Vec<String> = wanted.iter().map(|want| want.contact.uri.clone()).collect();
        habits.twist(&mut headers, &ours, self.flows.get(flow).map(|f| f.remote));
        if let Some(user) = self.users.get_mut(&name).filter(|_| wanted.iter().any(|want| want.expires > 0)) {
            user.registered = user.registered.wrapping_add(1);
        }
        if let Some(route) = &profile.service_route {
            headers.push(("Service-Route".into(), route.clone()));
            headers.extend(message.all("Path").map(|p| ("Path".to_owned(), p.to_owned())));
        }
        let early: Vec<u64> = touched.iter().copied().filter(|_| self.invites_before_200(&name)).collect();
        for binding in &early {
            self.woken(&name, *binding);
        }
        self.reply(flow, message, 200, &headers);
        self.upstream_for(&name, &profile, message, &wanted.iter().map(|w| w.expires).collect::<Vec<_>>());
        for binding in touched {
            if !early.contains(&binding) {
                self.woken(&name, binding);
            }
        }
        if habits.has(Habit::ClosesAfterwards) && transport.is_reliable() {
            self.end_flow(flow, false);
        }
        self.bump();
    }

    fn scripted(&mut self, name: &str, after_auth: bool) -> Option<(u16, Headers)> {
        let user = self.users.get_mut(name)?;
        (user.scripted.front()?.after_auth == after_auth).then_some(())?;
        user.scripted.pop_front().map(|s| (s.status, s.headers))
    }

    /// RFC 3261, 10.2: CSeq grows by one with each REGISTER of a Call-ID.
    fn cseq_grows(&mut self, message: &Message) -> bool {
        let (call_id, number) = (message.call_id().to_owned(), message.cseq().map_or(0, |(n, _)| n));
        match self.cseqs.get(&call_id) {
            Some(last) if number <= *last => {
                self.record.violation("cseq-not-growing", format!("{number} after {last}"));
                return false;
            }
            Some(_) => {}
            None => {
                if self.cseq_order.len() >= MAX_CALL_IDS
                    && let Some(oldest) = self.cseq_order.pop_front()
                {
                    self.cseqs.remove(&oldest);
                }
                self.cseq_order.push_back(call_id.clone());
            }
        }
        self.cseqs.insert(call_id, number);
        true
    }

    /// Returns header fields for the success, or the challenge.
    pub(crate) fn authenticate(
        &mut self,
        name: &str,
        profile: &Profile,
        message: &Message,
    ) -> Result<Headers, (u16, Headers)> {
        let rules = &profile.challenges;
        if rules.offers.is_empty() {
            return Ok(Vec::new());
        }
        let field = if rules.status == 407 { "Proxy-Authorization" } else { "Authorization" };
        let realm = self.realm_for(name, profile.habits);
        let answer = message.all(field).filter_map(Answer::parse).find(|a| a.get("realm") == Some(&realm));
        let Some(answer) = answer else { return Err(self.challenge(name, profile, false)) };
        let Some(user) = self.users.get_mut(name) else { return Err((404, Vec::new())) };
        let login = user.config.auth_name.as_deref().unwrap_or(name);
        let offered = answer.algorithm().and_then(|a| rules.offers.iter().find(|o| o.algorithm == a));
        let offered = offered.filter(|offer| match (answer.get("qop"), offer.qop.as_deref()) {
            (None, None) => true,
            (Some(used), Some(qop)) => qop.split(',').any(|q| q.trim() == used),
            _ => false,
        });
        if offered.is_none() {
            self.record.violation("not-as-offered", format!("{:?} {:?}", answer.algorithm(), answer.get("qop")));
            return Err(self.challenge(name, profile, false));
        }
        let nc = answer.get("qop").map_or(Some(0), |_| answer.get("nc").and_then(nc_of));
        let Some(nc) = nc else {
            self.record.violation("bad-nc", answer.get("nc").unwrap_or_default().into());
            return Err(self.challenge(name, profile, false));
        };
        let nonce = answer.get("nonce").unwrap_or_default();
        if let Some(status) = profile.habits.nonce_once().filter(|_| self.nonces.was_used(nonce)) {
            return Err((status, Vec::new()));
        }
        let told = profile.auth_uri.as_deref().filter(|_| message.method() == "REGISTER");
        let uri = told.or(message.request_uri()).unwrap_or_default();
        if answer.get("uri") != Some(uri) {
            self.record.violation("digest-uri", answer.get("uri").unwrap_or_default().into());
            return Err(self.challenge(name, profile, false));
        }
        let right = answer.get("username") == Some(login)
            && answer.matches(&Secret::Password(&user.config.password), message.method(), &message.body);
        if !right {
            user.wrong_passwords += 1;
            if user.wrong_passwords > 2 {
                self.record.violation("password-hammering", format!("{} wrong answers in a row", user.wrong_passwords));
            }
            return Err(match rules.wrong_password_status {
                401 | 407 => self.challenge(name, profile, false),
                other => (other, Vec::new()),
            });
        }
        if profile.habits.has(Habit::StaleFourTimes) && user.staled < 4 {
            user.staled += 1;
            return Err(self.challenge(name, profile, true));
        }
        match self.nonces.spend(nonce, nc, rules, Instant::now()) {
            NonceUse::Good => {}
            NonceUse::Stale => return Err(self.challenge(name, profile, true)),
            NonceUse::Replayed => {
                self.record.violation("nc-not-growing", answer.get("nc").unwrap_or_default().into());
                return Err(self.challenge(name, profile, true));
            }
        }
        if let Some(user) = self.users.get_mut(name) {
            user.wrong_passwords = 0;
        }
        let next = rules.nextnonce.then(|| self.nonces.issue(self.salt, Instant::now()));
        let field = if rules.status == 407 { "Proxy-Authentication-Info" } else { "Authentication-Info" };
        Ok(next.map(|nonce| (field.to_owned(), format!("nextnonce=\"{nonce}\""))).into_iter().collect())
    }

    /// Returns the realm of a user's challenge.
    fn realm_for(&self, name: &str, habits: Habits) -> String {
        let moved = habits.has(Habit::RealmChanges) && self.users.get(name).is_some_and(|u| u.registered > 0);
        if moved { format!("{}-2", self.config.realm) } else { self.config.realm.clone() }
    }

    fn challenge(&mut self, name: &str, profile: &Profile, stale: bool) -> (u16, Headers) {
        let (habits, realm) = (profile.habits, self.realm_for(name, profile.habits));
        let Challenges { offers, status, stale_flag, opaque, .. } = &profile.challenges;
        let field = if *status == 407 { "Proxy-Authenticate" } else { "WWW-Authenticate" };
        let mut headers = Vec::new();
        for offer in offers {
            let nonce = self.nonces.issue(self.salt, Instant::now());
            let mut value = format!("Digest realm={}, nonce=\"{nonce}\"", quote(&realm));
            if let Some(qop) = &offer.qop {
                value.push_str(&format!(", qop=\"{qop}\""));
            }
            if habits.has(Habit::AlgorithmUnknown) {
                value.push_str(", algorithm=AKAv2-SHA-256");
            } else if offer.names_algorithm {
                value.push_str(&format!(", algorithm={}", offer.algorithm.token()));
            }
            if let Some(opaque) = opaque {
                value.push_str(&format!(", opaque={}", quote(opaque)));
            }
            if habits.has(Habit::StaleAlways) || (stale && *stale_flag && !habits.has(Habit::StaleMissing)) {
                value.push_str(", stale=true");
            }
            headers.push((field.to_owned(), value));
        }
        let elsewhere = habits.has(Habit::AuthUriElsewhere).then(|| "sip:elsewhere.example".to_owned());
        headers.extend(elsewhere.or(profile.auth_uri.clone()).map(|uri| ("X-Sy.AuthURI".to_owned(), uri)));
        (*status, headers)
    }

    fn wanted(
        &mut self,
        profile: &Profile,
        message: &Message,
        registered: u32,
    ) -> Result<Vec<WantedContact>, (u16, Headers)> {
        let habits = profile.habits;
        let longest = if habits.has(Habit::LifetimeCut) { profile.max_expires.min(60) } else { profile.max_expires };
        let of_message = message.header("Expires").and_then(|v| v.parse::<u32>().ok());
        let contacts = message.list("Contact");
        let star = contacts.iter().any(|c| c == "*");
        if star && (contacts.len() > 1 || of_message != Some(0)) {
            self.record.violation("bad-star", message.header("Expires").unwrap_or_default().into());
            return Err((400, Vec::new()));
        }
        let mut wanted = Vec::new();
        for contact in contacts.iter().take(MAX_BINDINGS) {
            let contact = NameAddr::parse(contact);
            let asked =
                contact.param("expires").and_then(|v| v.parse().ok()).or(of_message).unwrap_or(profile.max_expires);
            if let Some(refusal) = habits.contact_refusal(&contact, asked, registered) {
                return Err(refusal);
            }
            if asked > 0 && asked < profile.min_expires {
                return Err((423, vec![("Min-Expires".into(), profile.min_expires.to_string())]));
            }
            let mut tags = tags::read(profile, message, &contact);
            for (kind, detail) in &tags.wrong {
                self.record.violation(kind, detail.clone());
            }
            let provider = tags.bind.as_ref().filter(|b| b.dialect == tags::Dialect::Rfc8599).map(|b| (&b.provider, b));
            let queried = tags.query.as_ref().filter(|q| !q.is_empty());
            let refused = provider.is_some_and(|(p, target)| {
                !profile.serves(p) || (profile.webpush_needs_param && p == "webpush" && target.app.is_empty())
            });
            if profile.sends_555 && asked > 0 && (refused || queried.is_some_and(|q| !profile.serves(q))) {
                return Err((555, Vec::new()));
            }
            if habits.has(Habit::PushStripped) {
                tags.bind = None;
            }
            wanted.push(WantedContact { expires: asked.min(longest), contact, tags });
        }
        let removes = !wanted.is_empty() && wanted.iter().all(|want| want.expires == 0);
        let pushes = contacts.iter().any(|contact| contact.contains(";pn-"));
        if let Some(refusal) = habits.removal_refusal(pushes).filter(|_| removes) {
            return Err(refusal);
        }
        Ok(wanted)
    }

    /// Changes the bindings. Returns the ids of those that were made or refreshed.
    fn carry_out(
        &mut self,
        name: &str,
        profile: &Profile,
        flow: FlowId,
        message: &Message,
        wanted: &[WantedContact],
    ) -> Vec<u64> {
        let now = Instant::now();
        let (call_id, cseq) = (message.call_id(), message.cseq().map_or(0, |(n, _)| n));
        let piid = message.header("X-PIID").is_some();
        let apart = profile.habits.has(Habit::OldTokenStays);
        let rule = if apart { ContactMatch::Exact } else { profile.contact_match };
        let mut touched = Vec::new();
        for want in wanted {
            let id = self.serial();
            let Some(user) = self.users.get_mut(name) else { return touched };
            if want.contact.uri == "*" {
                user.bindings.retain_mut(|b| outlives_unregister(profile, b));
                continue;
            }
            if want.tags.unbind {
                unbind(user, profile, &want.contact, call_id);
            }
            let found = user.bindings.iter().position(|b| same_binding(rule, &b.contact, &want.contact));
            if want.expires == 0 {
                // The Contact with the old token counts as another device's, so this one may not remove it.
                let another = profile.habits.has(Habit::OldTokenStays) && wanted.iter().any(|w| w.expires > 0);
                if profile.habits.has(Habit::RemovalNotDone) || another {
                    continue;
                }
                if let Some(at) = found
                    && !outlives_unregister(profile, &mut user.bindings[at])
                {
                    user.bindings.remove(at);
                }
                continue;
            }
            if want.tags.query.is_some() && !profile.query_leaves_binding && profile.sends_555 {
                continue;
            }
            let previous = found.map(|at| user.bindings.remove(at));
            if let Some(before) = previous.as_ref().filter(|b| b.call_id != call_id) {
                self.record.violation("call-id-changed", format!("{} after {}", call_id, before.call_id));
            }
            let push =
                want.tags.bind.clone().filter(|t| t.dialect != tags::Dialect::Rfc8599 || profile.serves(&t.provider));
            let push = match (push, &previous) {
                (Some(push), _) => Some(push),
                // Mizutech keeps a binding whose refresh came without tags; RFC 8599 does not.
                (None, Some(before)) if profile.keeps_push && !want.tags.unbind => before.push.clone(),
                _ => None,
            };
            let mut known = previous.as_ref().map(|b| b.id);
            if let Some(push) = &push
                && profile.reads_mpush
            {
                // One token is one device: a client that comes back on another port replaces itself.
                let same = |b: &Binding| !apart && b.push.as_ref().is_some_and(|p| p.token == push.token);
                if user.bindings.iter().any(|b| same(b) && b.call_id != call_id) {
                    self.record.violation("call-id-changed", format!("{call_id}, with the same token"));
                }
                known = known.or(user.bindings.iter().find(|b| same(b)).map(|b| b.id));
                user.bindings.retain(|b| !same(b));
            }
            if user.bindings.len() >= MAX_BINDINGS {
                user.bindings.remove(0);
            }
            let id = known.unwrap_or(id);
            user.bindings.push(Binding {
                id,
                contact: want.contact.clone(),
                registered: true,
                asleep: false,
                until: now + Duration::from_secs(u64::from(want.expires)),
                push: push.clone(),
                call_id: call_id.into(),
                cseq,
                flow,
            });
            touched.push(id);
            let user = name.to_owned();
            self.timer(Duration::from_secs(u64::from(want.expires)), Timer::Expiry { user: user.clone() });
            if profile.sends_refresh_push && push.is_some() && !piid {
                let lead = want.expires / 4;
                let after = Duration::from_secs(u64::from(want.expires - lead.min(30)));
                self.timer(after, Timer::RefreshPush { user, binding: id, cseq });
            }
        }
        touched
    }

    pub(crate) fn expire_user(&mut self, name: &str) {
        if let Some(user) = self.users.get_mut(name) {
            user.expire(Instant::now());
            self.bump();
        }
    }

    /// Ends the registration of a user's bindings as if they had expired.
    pub(crate) fn expire_bindings(&mut self, name: &str) -> usize {
        let now = Instant::now();
        let Some(user) = self.users.get_mut(name) else { return 0 };
        let count = user.bindings.iter().filter(|b| b.registered).count();
        for binding in &mut user.bindings {
            binding.until = now;
        }
        user.expire(now);
        self.bump();
        count
    }

    pub(crate) fn bindings_of(&mut self, name: &str) -> Vec<BindingView> {
        let now = Instant::now();
        let Some(user) = self.users.get_mut(name) else { return Vec::new() };
        user.expire(now);
        user.bindings.iter().map(|b| b.view(now)).collect()
    }
}

/// Tells whether a binding survives its unregister as a push binding. If so, marks it.
fn outlives_unregister(profile: &Profile, binding: &mut Binding) -> bool {
    let keeps = binding.push.as_ref().is_some_and(|push| profile.keeps_push || profile.habits.keeps(push));
    if keeps {
        binding.registered = false;
        binding.asleep = true;
    }
    keeps
}

/// Removes the push of the client that sends null. The client is found by its Contact or its Call-ID, or because it is
/// the only one.
fn unbind(user: &mut User, profile: &Profile, contact: &NameAddr, call_id: &str) {
    let alone = user.bindings.iter().filter(|b| b.push.is_some()).count() == 1;
    let mut hit = false;
    for binding in &mut user.bindings {
        if same_binding(profile.contact_match, &binding.contact, contact) || binding.call_id == call_id {
            hit |= binding.push.take().is_some();
        }
    }
    if !hit && alone {
        user.bindings.iter_mut().for_each(|b| b.push = None);
    }
    user.bindings.retain(|b| b.registered || b.push.is_some());
}

/// `nc-value = 8LHEX` (RFC 7616, 3.4).
fn nc_of(text: &str) -> Option<u32> {
    let good = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Returns the Feature-Caps of a 200 (RFC 8599, 4 and RFC 6809).
fn listing(profile: &Profile, wanted: &[WantedContact]) -> Headers {
    let star = match profile.feature_caps {
        FeatureCaps::Silent => return Vec::new(),
        FeatureCaps::Standard => "*;",
        FeatureCaps::WithoutStar => "",
    };
    let mut headers: Headers = Vec::new();
    for want in wanted {
        let bound = want.tags.bind.as_ref().filter(|b| b.dialect == tags::Dialect::Rfc8599);
        let named = bound.map(|b| b.provider.clone()).or_else(|| want.tags.query.clone());
        let providers = match named.as_deref() {
            None => continue,
            Some("") => profile.providers.clone(),
            Some(one) if profile.serves(one) => vec![one.to_owned()],
            Some(_) => continue,
        };
        let wakes_itself = want.contact.param("+sip.pnsreg").is_some();
        for provider in providers {
            let mut value = format!("{star}+sip.pns={}", quote(&provider));
            if let Some(vapid) = profile.vapid.as_ref().filter(|_| provider == "webpush") {
                value.push_str(&format!(";+sip.vapid={}", quote(vapid)));
            }
            if bound.is_some() && want.expires > 0 {
                if let Some(seconds) = profile.pnsreg.filter(|_| wakes_itself || star.is_empty()) {
                    value.push_str(&format!(";+sip.pnsreg=\"{seconds}\""));
                }
                if profile.purr {
                    value.push_str(&format!(";+sip.pnspurr=\"{}\"", purr(&want.contact.uri)));
                }
            }
            if !headers.iter().any(|(_, v)| *v == value) {
                headers.push(("Feature-Caps".into(), value));
            }
        }
    }
    headers
}

/// The `pn-purr` that a dialog's Contact must carry so that its client can be woken inside the call (RFC 8599, 6).
pub(crate) fn purr(contact: &str) -> String {
    crate::digest::md5_hex(contact)[..16].to_owned()
}
