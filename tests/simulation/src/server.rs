//! A registrar with push, for each kind of server, on simulated time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use md5::{Digest, Md5};

use crate::habits::{self, Habit};
use crate::script::{Profile, SECOND, Setting};
use crate::wire::{Contact, Wire, digest_param, param};

/// The realm of every server here.
pub(crate) const REALM: &str = "sim";

/// What the server holds for one device.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) contact: Contact,
    pub(crate) call_id: String,
    pub(crate) flow: Option<u64>,
    pub(crate) expires_at: u64,
    /// Where it pushes to.
    pub(crate) token: Option<String>,
    /// Another device of the same user, which does not concern our phone.
    pub(crate) foreign: bool,
    /// The REGISTER that made or renewed it.
    pub(crate) branch: String,
    /// The phone knows it: it got the response, and was not killed after that.
    pub(crate) confirmed: bool,
    /// There is a later one beside it. The phone may leave before the server has removed this one, which then expires.
    pub(crate) superseded: bool,
    /// Left to expire: its user logged out while the gateway was down at each attempt, and has logged in again since. Or the
    /// phone went elsewhere and came back without ever knowing of it.
    pub(crate) given_up: bool,
    /// It was removed once, without effect.
    overlooked: bool,
}

#[derive(Debug)]
struct Nonce {
    born: u64,
    count: u32,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    setting: Setting,
    place: usize,
    pub(crate) bindings: BTreeMap<String, Vec<Binding>>,
    nonces: BTreeMap<String, Nonce>,
    serial: u64,
    /// The nonces of a node that the other nodes do not know.
    lost: BTreeSet<String>,
    /// Nonces that have not been accepted yet.
    unused: BTreeSet<String>,
    /// How often in a row each user was refused because of such a nonce, with a response that does not say so.
    misled: BTreeMap<String, u32>,
    cseqs: BTreeMap<String, u32>,
    answers: VecDeque<(String, u32, Vec<u8>)>,
    trouble: VecDeque<u16>,
    /// Users who have another password than the phone.
    changed: BTreeSet<String>,
    /// Answers with the old password.
    pub(crate) wrong_answers: BTreeMap<String, u32>,
    /// Violations of a client.
    pub(crate) violations: Vec<String>,
    /// How many seconds the binding of each REGISTER got, by branch.
    granted: VecDeque<(String, u64)>,
    /// How often each user was accepted.
    let_in: BTreeMap<String, u32>,
    /// Users whose last removal here was refused, after the phone had gone elsewhere.
    turned_away: BTreeSet<String>,
    /// From now on, no user is refused without a reason.
    peaceful: bool,
}

/// Why a REGISTER is refused.
enum Refused {
    Challenged(String),
    Answered(u16),
}

/// The lifetime in seconds, if the server shortens it.
const CUT: u64 = 600;
/// One of this many REGISTERs of a known user gets a 403.
const FORBIDDEN_EACH: u32 = 9;
/// One of this many challenges has a nonce that gets lost.
const LOST_EACH: u64 = 5;

/// The result of a REGISTER.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// The user whose binding was renewed on this flow.
    pub(crate) registered: Option<String>,
}

impl Server {
    /// Returns the server or, of several gateways, the one with this index.
    pub(crate) fn new(setting: &Setting, place: usize) -> Self {
        let mut server = Self {
            setting: setting.clone(),
            place,
            bindings: BTreeMap::new(),
            nonces: BTreeMap::new(),
            serial: 0,
            lost: BTreeSet::new(),
            unused: BTreeSet::new(),
            misled: BTreeMap::new(),
            cseqs: BTreeMap::new(),
            answers: VecDeque::new(),
            trouble: VecDeque::new(),
            changed: BTreeSet::new(),
            wrong_answers: BTreeMap::new(),
            violations: Vec::new(),
            granted: VecDeque::new(),
            let_in: BTreeMap::new(),
            turned_away: BTreeSet::new(),
            peaceful: false,
        };
        server.place_foreign_bindings();
        server
    }

    /// Every user also has a desk phone.
    fn place_foreign_bindings(&mut self) {
        for account in 0..self.setting.accounts {
            let user = crate::phone::user(account);
            let contact = Contact {
                uri: format!("sip:{user}@198.51.100.9:5060;pn-provider=fcm;pn-param=app;pn-prid=desk"),
                params: ";+sip.instance=\"<urn:uuid:desk>\"".to_owned(),
            };
            let desk = Binding {
                contact,
                call_id: "desk".to_owned(),
                flow: None,
                expires_at: u64::MAX,
                token: None,
                foreign: true,
                branch: String::new(),
                confirmed: true,
                superseded: false,
                given_up: false,
                overlooked: false,
            };
            let bindings = self.bindings.entry(user).or_default();
            bindings.retain(|binding| !binding.foreign);
            bindings.push(desk);
        }
    }

    pub(crate) fn restart(&mut self, keep: bool) {
        self.nonces.clear();
        self.answers.clear();
        self.trouble.clear();
        if !keep {
            self.bindings.clear();
            self.cseqs.clear();
            self.place_foreign_bindings();
        }
        for binding in self.bindings.values_mut().flatten() {
            binding.flow = None;
        }
    }

    pub(crate) fn forget_nonces(&mut self) {
        self.nonces.clear();
    }

    pub(crate) fn change_password(&mut self, user: String) {
        self.changed.insert(user);
    }

    pub(crate) fn knows_another_password(&self, user: &str) -> bool {
        self.changed.contains(user)
    }

    /// How often in a row a user was refused as if their password were wrong.
    pub(crate) fn misled(&self, user: &str) -> u32 {
        self.misled.get(user).copied().unwrap_or(0)
    }

    pub(crate) fn make_trouble(&mut self, status: u16, count: u8) {
        self.trouble.extend(std::iter::repeat_n(status, usize::from(count)));
    }

    /// Whether the next REGISTER is refused without a reason.
    pub(crate) fn is_troubled(&self) -> bool {
        !self.trouble.is_empty()
    }

    /// How many seconds the REGISTER of a branch got.
    pub(crate) fn granted(&self, branch: &str) -> Option<u64> {
        self.granted.iter().find(|(known, _)| known == branch).map(|(_, seconds)| *seconds)
    }

    pub(crate) fn make_peace(&mut self) {
        self.peaceful = true;
        self.trouble.clear();
    }

    /// The phone got the response to a REGISTER that bound something.
    pub(crate) fn confirm(&mut self, user: &str, branch: &str) {
        for binding in self.bindings.get_mut(user).into_iter().flatten() {
            binding.confirmed |= binding.branch == branch;
        }
    }

    /// The phone comes from another gateway. It does not look for bindings here that it does not know.
    pub(crate) fn give_up_unknown(&mut self, user: &str) {
        for binding in self.bindings.get_mut(user).into_iter().flatten() {
            binding.given_up |= !binding.confirmed;
        }
    }

    /// The user's earlier registration is over and forgotten.
    pub(crate) fn give_up(&mut self, user: &str) {
        for binding in self.bindings.get_mut(user).into_iter().flatten() {
            binding.given_up = true;
        }
    }

    pub(crate) fn expire(&mut self, now: u64) {
        for bindings in self.bindings.values_mut() {
            bindings.retain(|binding| binding.expires_at > now);
        }
    }

    /// Whether a nonce would be accepted.
    pub(crate) fn nonce_lives(&self, nonce: &str, now: u64) -> bool {
        self.nonces.get(nonce).is_some_and(|known| now < known.born + self.setting.nonce_life * SECOND)
    }

    /// `left` says that the phone has gone to another gateway.
    pub(crate) fn register(&mut self, request: &Wire, flow: u64, left: bool, now: u64) -> Reply {
        let (branch, cseq) = (request.branch().to_owned(), request.cseq());
        if let Some((_, _, known)) = self.answers.iter().find(|(known, seq, _)| *seq == cseq && *known == branch) {
            return Reply { bytes: known.clone(), registered: None };
        }
        let (status, phrase, extra, registered) = self.decide(request, flow, left, now);
        let bytes = request.answer(status, phrase, &extra);
        self.answers.push_back((branch, cseq, bytes.clone()));
        if self.answers.len() > 32 {
            self.answers.pop_front();
        }
        Reply { bytes, registered }
    }

    fn decide(
        &mut self,
        request: &Wire,
        flow: u64,
        left: bool,
        now: u64,
    ) -> (u16, &'static str, Vec<String>, Option<String>) {
        self.expire(now);
        if let Some(status) = self.trouble.pop_front() {
            return match status {
                503 => (503, "Service Unavailable", vec!["Retry-After: 20".into()], None),
                423 if request.one("expires") != "0" && self.wanted(request) < 4000 => {
                    (423, "Interval Too Brief", vec!["Min-Expires: 4000".into()], None)
                }
                423 => (500, "Server Internal Error", Vec::new(), None),
                status => (status, "Trouble", Vec::new(), None),
            };
        }
        match self.authenticate(request, now) {
            Ok(()) => {}
            Err(Refused::Challenged(challenge)) => return (401, "Unauthorized", vec![challenge], None),
            Err(Refused::Answered(status)) => return (status, "Nonce Reused", Vec::new(), None),
        }
        let let_in = self.let_in.entry(request.to_user().to_owned()).or_default();
        *let_in += 1;
        let is_nth = let_in.is_multiple_of(FORBIDDEN_EACH);
        // A node that has not seen the user for a while refuses once.
        let clears = left && self.wanted(request) == 0;
        let again = clears && self.turned_away.remove(request.to_user());
        if self.setting.has(Habit::ForbiddenAtTimes) && (is_nth || clears) && !again && !self.peaceful {
            if clears {
                self.turned_away.insert(request.to_user().to_owned());
            }
            return (403, "Forbidden", Vec::new(), None);
        }
        let call_id = request.one("call-id").to_owned();
        // RFC 3261 10.3, step 7.
        if self.cseqs.get(&call_id).is_some_and(|last| request.cseq() <= *last) {
            return (500, "CSeq Out Of Order", Vec::new(), None);
        }
        self.cseqs.insert(call_id, request.cseq());
        if self.setting.has(Habit::ContactTooLong) && request.contacts().iter().any(|contact| contact.uri.len() > 255) {
            return (400, "Bad Request", vec!["P-Registrar-Error: Contact/received too long".to_owned()], None);
        }
        let speaks = request.contacts().iter().any(|contact| contact.uri.contains(";pn-provider"));
        let dropped = self.setting.has(Habit::ProviderDropped) && now > self.setting.length / 2;
        if (dropped || self.setting.profile == Profile::Rfc8599Refusing) && speaks && self.wanted(request) > 0 {
            return (555, "Push Notification Service Not Supported", Vec::new(), None);
        }
        let user = request.to_user().to_owned();
        // A user who comes back after a log-out is accepted at first.
        if self.wanted(request) == 0 {
            self.let_in.remove(&user);
        }
        self.bind(request, &user, flow, now);
        let ours = self.bindings[&user].iter().find(|binding| binding.branch == request.branch());
        let seconds = ours.map(|binding| binding.expires_at.saturating_sub(now) / SECOND);
        if let Some(seconds) = seconds {
            self.granted.push_back((request.branch().to_owned(), seconds));
            self.granted.truncate(self.granted.len().min(64));
        }
        let mut extra = self.list(&user, seconds, now);
        if speaks && self.wanted(request) > 0 {
            match self.setting.profile {
                Profile::Rfc8599 => extra.push("Feature-Caps: *;+sip.pns=\"fcm\"".into()),
                Profile::OpenSips => {
                    extra.push("Feature-Caps: +sip.pns=\"fcm\";+sip.pnsreg=\"130\";+sip.pnspurr=\"p1\"".into());
                }
                _ => {}
            }
        }
        (200, "OK", extra, Some(user))
    }

    /// The Contacts of a 200 and its Expires, in the form of this server.
    fn list(&self, user: &str, granted: Option<u64>, now: u64) -> Vec<String> {
        let has = |habit| self.setting.has(habit);
        let in_header = has(Habit::LifetimeInHeader);
        let mut contacts = Vec::new();
        for binding in &self.bindings[user] {
            let expires = (binding.expires_at.saturating_sub(now) / SECOND).min(100_000);
            let uri = habits::listed(&self.setting.habits, &binding.contact.uri);
            let contact = format!("<{uri}>{}", binding.contact.params);
            if has(Habit::EndListed) && !binding.foreign {
                contacts.push(format!("{contact};expires=0"));
            }
            contacts.push(if in_header { contact } else { format!("{contact};expires={expires}") });
        }
        if has(Habit::ManyDevices) {
            let others =
                (0..40).map(|number| format!("<sip:{user}@198.51.100.{number}:5062>;expires={}", 70 + number * 90));
            contacts.extend(others);
        }
        let mut lines: Vec<String> = match () {
            () if has(Habit::NothingListed) => Vec::new(),
            () if has(Habit::OneLine) => vec![format!("Contact: {}", contacts.join(", "))],
            () => contacts.iter().map(|contact| format!("Contact: {contact}")).collect(),
        };
        if let Some(seconds) = granted {
            if in_header || has(Habit::NothingListed) {
                lines.push(format!("Expires: {seconds}"));
            } else if has(Habit::ZeroInHeader) {
                lines.push("Expires: 0".to_owned());
            }
            if has(Habit::FlowTimer) {
                lines.push("Flow-Timer: 120".to_owned());
            }
        }
        lines
    }

    fn wanted(&self, request: &Wire) -> u64 {
        request.one("expires").parse().unwrap_or(3600)
    }

    fn authenticate(&mut self, request: &Wire, now: u64) -> Result<(), Refused> {
        let answer = request.one("authorization");
        let nonce = digest_param(answer, "nonce");
        let (mut stale, mut lost) = (false, false);
        if !answer.is_empty() {
            let user = request.to_user();
            let known = self.nonce_lives(nonce, now);
            let count = u32::from_str_radix(digest_param(answer, "nc"), 16).unwrap_or(0);
            let ha1 = hex(&format!("{user}:{REALM}:{}", crate::phone::password(user)));
            let ha2 = hex(&format!("REGISTER:{}", digest_param(answer, "uri")));
            let wanted = hex(&format!("{ha1}:{nonce}:{count:08x}:{}:auth:{ha2}", digest_param(answer, "cnonce")));
            if self.changed.contains(user) {
                *self.wrong_answers.entry(user.to_owned()).or_default() += 1;
            } else if wanted != digest_param(answer, "response") {
                self.violations.push("wrong digest response".to_owned());
            } else if !known {
                stale = true;
                lost = self.lost.contains(nonce);
            } else {
                let nonce = self.nonces.get_mut(nonce).expect("it lives");
                let once = self.setting.habits.iter().find_map(|habit| habit.refuses_used_nonces());
                if let Some(status) = once.filter(|_| nonce.count > 0) {
                    return Err(Refused::Answered(status));
                }
                if count > nonce.count {
                    nonce.count = count;
                    self.unused.remove(digest_param(answer, "nonce"));
                    self.misled.remove(user);
                    return Ok(());
                }
                // A datagram that was overtaken looks like a count that was used twice. The phone's side tells them
                // apart.
                stale = true;
            }
        }
        self.serial += 1;
        let fresh = hex(&format!("nonce {} {} {}", self.setting.seed, self.place, self.serial));
        if self.setting.has(Habit::NonceLost) && self.serial.is_multiple_of(LOST_EACH) {
            self.lost.insert(fresh.clone());
        } else {
            self.nonces.insert(fresh.clone(), Nonce { born: now, count: 0 });
        }
        if self.nonces.len() > 64 {
            let life = self.setting.nonce_life * SECOND;
            self.nonces.retain(|_, nonce| now < nonce.born + life);
        }
        let said = (stale && !lost && !self.setting.has(Habit::StaleUnsaid)) || self.setting.has(Habit::StaleAlways);
        if !said && self.unused.contains(nonce) {
            *self.misled.entry(request.to_user().to_owned()).or_default() += 1;
        }
        self.unused.insert(fresh.clone());
        let stale = if said { ", stale=true" } else { "" };
        Err(Refused::Challenged(format!(
            "WWW-Authenticate: Digest realm=\"{REALM}\", nonce=\"{fresh}\", qop=\"auth\", algorithm=MD5{stale}"
        )))
    }

    fn bind(&mut self, request: &Wire, user: &str, flow: u64, now: u64) {
        let mut contacts = request.contacts();
        let default = self.wanted(request);
        let call_id = request.one("call-id");
        let profile = self.setting.profile;
        let bindings = self.bindings.entry(user.to_owned()).or_default();
        let header_token = match profile {
            Profile::XMpush => header_token(request.one("x-mpush")),
            Profile::PortSip => portsip_token(request.one("x-push")),
            _ => HeaderToken::Absent,
        };
        for contact in &mut contacts {
            let cut = if self.setting.has(Habit::LifetimeCut) { CUT } else { u64::MAX };
            let expires = contact.expires().unwrap_or(default).min(cut);
            if expires == 0
                && let Some(uri) =
                    habits::meant(&self.setting.habits, bindings.iter().map(|known| &known.contact), contact)
            {
                contact.uri = uri;
            }
            let bare = self.setting.has(Habit::ParametersIgnored);
            let found = bindings.iter().position(|known| same_binding(profile, bare, known, contact, call_id));
            if expires == 0 {
                // Mizutech ignores `Expires: 0` alone (S2): the push binding stays until `X-MPUSH: null`.
                let ignored = profile == Profile::XMpush && header_token == HeaderToken::Absent && default == 0;
                let alone = self.setting.apart.is_none() && !habits::hide(&self.setting.habits);
                let overlooks = alone && self.setting.has(Habit::RemovalOverlooked);
                if let Some(index) = found.filter(|_| !ignored)
                    && (!overlooks || std::mem::replace(&mut bindings[index].overlooked, true))
                {
                    bindings.remove(index);
                }
                continue;
            }
            let mut token = found.and_then(|index| bindings[index].token.clone());
            match profile {
                Profile::Rfc8599 | Profile::OpenSips | Profile::Flexisip => {
                    let prid = contact.pn("pn-prid");
                    token = (!prid.is_empty() && prid != "null").then_some(prid);
                }
                Profile::XMpush | Profile::PortSip => match &header_token {
                    HeaderToken::Token(given) => token = Some(given.clone()),
                    HeaderToken::Null => token = None,
                    HeaderToken::Absent => {}
                },
                Profile::Rfc8599Refusing | Profile::None => token = None,
            }
            let binding = Binding {
                contact: Contact {
                    uri: contact.uri.clone(),
                    params: contact
                        .params
                        .split(';')
                        .filter(|part| !part.is_empty() && !part.starts_with("expires="))
                        .map(|part| format!(";{part}"))
                        .collect(),
                },
                call_id: call_id.to_owned(),
                flow: Some(flow),
                expires_at: now + expires * SECOND,
                token,
                foreign: false,
                branch: request.branch().to_owned(),
                confirmed: false,
                superseded: false,
                given_up: false,
                overlooked: false,
            };
            match found {
                Some(index) => bindings[index] = binding,
                None => {
                    bindings.iter_mut().for_each(|known| known.superseded = true);
                    bindings.push(binding);
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum HeaderToken {
    Absent,
    Null,
    Token(String),
}

fn header_token(value: &str) -> HeaderToken {
    match value {
        "" => HeaderToken::Absent,
        "null" => HeaderToken::Null,
        value => HeaderToken::Token(value.splitn(3, ':').nth(2).unwrap_or_default().to_owned()),
    }
}

fn portsip_token(value: &str) -> HeaderToken {
    match param(value, "allow-call-push") {
        "" => HeaderToken::Absent,
        "true" => HeaderToken::Token(param(value, "device-uid").to_owned()),
        _ => HeaderToken::Null,
    }
}

/// `bare` leaves out the parameters of the URIs.
fn same_binding(profile: Profile, bare: bool, known: &Binding, contact: &Contact, call_id: &str) -> bool {
    let (a, b) = (&known.contact, contact);
    let pn = |name| (a.pn(name), b.pn(name));
    let instance = !b.instance().is_empty() && a.instance() == b.instance();
    match profile {
        Profile::XMpush | Profile::PortSip => {
            a.address() == b.address() || (known.call_id == call_id && b.expires() != Some(0))
        }
        _ if bare => instance || a.address() == b.address(),
        // First RFC 5626 section 6, then RFC 3261 19.1.4, where a parameter that only one URI has does not count.
        Profile::Rfc8599 | Profile::Rfc8599Refusing | Profile::None => {
            let differs = ["pn-provider", "pn-param", "pn-prid"].into_iter().any(|name| {
                let (a, b) = pn(name);
                !a.is_empty() && !b.is_empty() && a != b
            });
            instance || (a.address() == b.address() && !differs)
        }
        Profile::OpenSips => {
            let given: Vec<_> =
                ["pn-provider", "pn-param", "pn-prid"].into_iter().map(pn).filter(|(_, b)| !b.is_empty()).collect();
            if given.len() < 2 { a.uri == b.uri } else { given.iter().all(|(a, b)| a == b) }
        }
        Profile::Flexisip => instance || (a.address() == b.address() && pn("pn-prid").0 == pn("pn-prid").1),
    }
}

/// MD5 in hexadecimal.
pub(crate) fn hex(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
