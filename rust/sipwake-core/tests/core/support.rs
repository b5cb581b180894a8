//! A client on virtual time, and the hand-written messages of its server. Nothing here uses sipwake's own builder.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::account::{Account, AccountConfig, AccountKey, Hop, Transport};
use sipwake_core::clock::Now;
use sipwake_core::event::{CallChange, Event, Failure, FlowError, FlowId, Registered};
use sipwake_core::payload::{Channel, Hints, PushAction, parse_push};
use sipwake_core::push::{Dialect, Dialects, Provider, Push, PushConfig, PushToken};
use sipwake_core::snapshot::{CALLS, REMOVALS, Record};
use sipwake_core::user_agent::Unreadable;

pub(crate) use driver::Agent;
use driver::{Driver, Transmit};

#[path = "../driver/mod.rs"]
mod driver;

pub(crate) const START: Now = Now::new(Duration::from_secs(1_000), Duration::from_secs(1_800_000_000));
pub(crate) const LOCAL: &str = "192.0.2.10:5070";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A message that the client sent, with a minimal reader.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) flow: FlowId,
    pub(crate) text: String,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Sent {
    pub(crate) fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    pub(crate) fn cseq(&self) -> u32 {
        let cseq = self.header("CSeq").expect("every request has a CSeq");
        cseq.split(' ').next().expect("never empty").parse().expect("a number")
    }

    /// The Contact that the request binds; in a removal, the last one.
    pub(crate) fn contact(&self) -> &str {
        self.headers("Contact").last().copied().expect("every REGISTER has a Contact")
    }

    pub(crate) fn contact_uri(&self) -> &str {
        inside(self.contact())
    }

    /// The Contact URIs beside ours that the request removes.
    pub(crate) fn removed(&self) -> Vec<&str> {
        self.headers("Contact").into_iter().filter(|contact| contact.ends_with(">;expires=0")).map(inside).collect()
    }

    pub(crate) fn auth(&self, name: &str) -> Option<&str> {
        self.header("Authorization").and_then(|value| parameter(value, name))
    }

    /// The transport that the Via names.
    pub(crate) fn transport(&self) -> &str {
        let via = self.header("Via").and_then(|via| via.strip_prefix("SIP/2.0/")).expect("every request has a Via");
        via.split(' ').next().expect("never empty")
    }

    pub(crate) fn is_register(&self) -> bool {
        self.start().starts_with("REGISTER ")
    }

    pub(crate) fn code(&self) -> Option<u16> {
        self.start().strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }
}

pub(crate) fn inside(contact: &str) -> &str {
    contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).expect("in angle brackets").0
}

/// The value of `name="value"` or `name=value` in a digest header.
pub(crate) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let at = value
        .match_indices(name)
        .find(|(at, _)| value[at + name.len()..].starts_with('=') && value[..*at].ends_with([' ', ',']))?;
    let rest = &value[at.0 + name.len() + 1..];
    match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next(),
        None => rest.split([',', ' ']).next(),
    }
}

/// A response to a request, with further header lines.
pub(crate) fn response(request: &Sent, code: u16, reason: &str, lines: &[&str]) -> String {
    let mut text = format!("SIP/2.0 {code} {reason}\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        text += &format!("{name}: {}\r\n", request.header(name).unwrap_or_default());
    }
    text += &format!("To: {};tag=srv\r\n", request.header("To").unwrap_or_default());
    for line in lines {
        text += line;
        text += "\r\n";
    }
    text + "Content-Length: 0\r\n\r\n"
}

pub(crate) const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";

/// The client, its store, and what it did.
pub(crate) struct Stage {
    pub(crate) agent: Agent,
    pub(crate) now: Now,
    pub(crate) key: AccountKey,
    pub(crate) store: BTreeMap<String, Vec<u8>>,
    pub(crate) sent: VecDeque<Sent>,
    pub(crate) events: Vec<Event>,
    pub(crate) opened: Vec<String>,
    /// The local port that the client asked for, for each flow.
    pub(crate) ports: Vec<Option<u16>>,
    pub(crate) next_addresses: Vec<FlowId>,
    /// How often the client stored a record.
    pub(crate) saves: usize,
    pub(crate) local: SocketAddr,
    /// Whether flows open as soon as the client asks for them.
    pub(crate) opens: bool,
    pub(crate) opening: Vec<FlowId>,
    pub(crate) up: BTreeSet<FlowId>,
    pub(crate) keep_alives: usize,
    /// Whether the store refuses to store and to remove.
    pub(crate) store_refuses: bool,
    pub(crate) store_is_shut: bool,
    store_is_asynchronous: bool,
    /// Records that an asynchronous store got and has not stored yet.
    pub(crate) storing: VecDeque<Record>,
    /// Messages that came in, as the trace shows them.
    pub(crate) received: Vec<String>,
}

impl Driver for Stage {
    fn parts(&mut self) -> (&mut Agent, &mut Now) {
        (&mut self.agent, &mut self.now)
    }

    fn save(&mut self, record: Record) {
        assert!(!self.store_is_shut, "{} is written to a store that is shut", record.key);
        if self.store_refuses {
            self.saved(record.id, Err("the disk is full".into()));
        } else if self.store_is_asynchronous {
            self.storing.push_back(record);
        } else {
            self.keep(record);
        }
    }

    fn load(&mut self, key: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        if self.store_is_shut { Err(Unreadable::Shut) } else { Ok(self.store.get(key).cloned()) }
    }

    fn open(&mut self, flow: FlowId, hop: Hop, local_port: Option<u16>) {
        self.opened.push(hop.to_string());
        self.ports.push(local_port);
        self.opening.push(flow);
        if self.opens {
            self.open_up();
        }
    }

    fn close(&mut self, flow: FlowId) {
        self.up.remove(&flow);
        self.opening.retain(|opening| *opening != flow);
    }

    fn next_address(&mut self, flow: FlowId) {
        self.next_addresses.push(flow);
    }

    fn transmit(&mut self, sent: Transmit) {
        assert!(self.up.contains(&sent.flow), "sent on a flow that is not up");
        if sent.text.trim_ascii().is_empty() {
            self.keep_alives += 1;
        } else {
            self.sent.push_back(Sent { flow: sent.flow, text: sent.text });
        }
    }

    fn received(&mut self, text: String) {
        self.received.push(text);
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }
}

pub(crate) fn account(change: impl FnOnce(&mut AccountConfig)) -> AccountConfig {
    let mut config = AccountConfig::new("sip:alice@example.com", "secret");
    change(&mut config);
    config
}

pub(crate) fn push_config(provider: Provider, dialects: &[Dialect]) -> PushConfig {
    let mut config = PushConfig::new(provider, "com.example.app");
    config.dialects = Dialects::Only(dialects.to_vec());
    config
}

pub(crate) fn mpush() -> Option<PushConfig> {
    Some(push_config(Provider::Fcm, &[Dialect::XMpush]))
}

pub(crate) fn rfc8599() -> Option<PushConfig> {
    Some(push_config(Provider::Fcm, &[Dialect::Rfc8599]))
}

pub(crate) fn token(provider: &Provider, text: &str) -> PushToken {
    PushToken::parse(provider, text).expect("of the right form").expect("a token")
}

pub(crate) fn fcm(text: &str) -> PushToken {
    token(&Provider::Fcm, text)
}

impl Stage {
    pub(crate) fn new(config: AccountConfig, push: Option<PushConfig>) -> Self {
        Self::restored(config, push, BTreeMap::new(), START, 1)
    }

    /// A client with RFC 8599 and FCM, not registered yet.
    pub(crate) fn rfc8599() -> Self {
        Self::new(account(|_| {}), rfc8599())
    }

    pub(crate) fn mpush() -> Self {
        Self::new(account(|_| {}), mpush())
    }

    /// A client with a token, registered at a server that reads `X-MPUSH`.
    pub(crate) fn bound() -> Self {
        let mut stage = Self::mpush();
        stage.set_token(fcm("a:1"));
        stage.registered();
        stage
    }

    pub(crate) fn restored(
        config: AccountConfig,
        push: Option<PushConfig>,
        store: BTreeMap<String, Vec<u8>>,
        now: Now,
        seed: u8,
    ) -> Self {
        let mut stage = Self::without_account(store, now, seed);
        stage.add(config, push);
        stage
    }

    /// A new client with nothing in its store.
    pub(crate) fn empty() -> Self {
        Self::without_account(BTreeMap::new(), START, 1)
    }

    pub(crate) fn without_account(store: BTreeMap<String, Vec<u8>>, now: Now, seed: u8) -> Self {
        let mut agent = Agent::new([seed; 32], store.get(REMOVALS).map(Vec::as_slice), now);
        if let Some(calls) = store.get(CALLS) {
            agent.handle_loaded(CALLS, Ok(Some(calls)), now);
        }
        let key = Account::parse(account(|_| {})).expect("valid").key();
        let mut stage = Self {
            agent,
            now,
            key,
            store,
            sent: VecDeque::new(),
            events: Vec::new(),
            opened: Vec::new(),
            ports: Vec::new(),
            next_addresses: Vec::new(),
            saves: 0,
            local: LOCAL.parse().expect("an address"),
            opens: true,
            opening: Vec::new(),
            up: BTreeSet::new(),
            keep_alives: 0,
            store_refuses: false,
            store_is_shut: false,
            store_is_asynchronous: false,
            storing: VecDeque::new(),
            received: Vec::new(),
        };
        stage.drain();
        stage
    }

    pub(crate) fn add(&mut self, config: AccountConfig, push: Option<PushConfig>) {
        let account = Account::parse(config).expect("a valid account");
        let push = push.map(|push| Push::parse(push).expect("valid push settings"));
        self.key = account.key();
        let record = self.store.get(&sipwake_core::snapshot::binding_key(&self.key)).cloned();
        self.agent.add_account(account, push, record.as_deref(), self.now).expect("there is room");
        self.drain();
    }

    /// The same device after the process was killed. Only the store is left.
    pub(crate) fn restart(&self, config: AccountConfig, push: Option<PushConfig>) -> Self {
        Self::restored(config, push, self.store.clone(), self.now, 2)
    }

    /// Does what the client asks for, in order.
    pub(crate) fn drain(&mut self) {
        self.perform();
    }

    /// The same device with a store that answers later, as a browser's does: when [`store_all`](Self::store_all) is called.
    pub(crate) fn with_asynchronous_store() -> Self {
        let mut stage = Self::empty();
        stage.agent.hold_until_saved(true);
        stage.store_is_asynchronous = true;
        stage
    }

    /// Lets the asynchronous store do everything that it was asked, and the client what follows from it.
    pub(crate) fn store_all(&mut self) {
        while let Some(record) = self.storing.pop_front() {
            self.keep(record);
            self.drain();
        }
    }

    /// Lets the asynchronous store refuse its first task.
    pub(crate) fn refuse_first(&mut self) {
        let record = self.storing.pop_front().expect("something must be stored");
        self.saved(record.id, Err("quota exceeded".into()));
        self.drain();
    }

    fn keep(&mut self, record: Record) {
        self.saves += 1;
        match record.bytes {
            Some(bytes) => self.store.insert(record.key, bytes),
            None => self.store.remove(&record.key),
        };
        self.saved(record.id, Ok(()));
    }

    pub(crate) fn open_up(&mut self) {
        for flow in std::mem::take(&mut self.opening) {
            self.up.insert(flow);
            self.agent.handle_flow_up(flow, self.local, self.now);
        }
    }

    pub(crate) fn flow(&self) -> FlowId {
        *self.up.iter().next_back().expect("a flow is up")
    }

    pub(crate) fn has_a_flow(&self) -> bool {
        !self.up.is_empty() || !self.opening.is_empty()
    }

    pub(crate) fn flow_breaks(&mut self) {
        let flow = self.opening.pop().unwrap_or_else(|| self.flow());
        self.up.remove(&flow);
        self.agent.handle_flow_down(flow, FlowError::Closed, self.now);
        self.drain();
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.run(by);
    }

    /// Takes the one message that was sent since the last look.
    #[track_caller]
    pub(crate) fn one(&mut self) -> Sent {
        assert_eq!(self.sent.len(), 1, "{:#?}\n{:#?}", self.sent, self.events);
        self.sent.pop_front().expect("there is one")
    }

    #[track_caller]
    pub(crate) fn silent(&mut self) {
        assert!(self.sent.is_empty(), "{:#?}", self.sent);
    }

    /// Takes all that was sent since the last look.
    pub(crate) fn all(&mut self) -> Vec<Sent> {
        self.sent.drain(..).collect()
    }

    pub(crate) fn input(&mut self, text: impl AsRef<[u8]>) {
        self.input_on(self.flow(), text);
    }

    pub(crate) fn input_on(&mut self, flow: FlowId, text: impl AsRef<[u8]>) {
        self.agent.handle_input(flow, text.as_ref(), self.now);
        self.drain();
    }

    /// Answers on the flow of the request.
    pub(crate) fn reply(&mut self, request: &Sent, code: u16, lines: &[&str]) {
        self.input_on(request.flow, response(request, code, "Whatever", lines));
    }

    /// A 200 that lists the Contact of the request, for an hour unless the request is a removal.
    pub(crate) fn ok(&mut self, request: &Sent, lines: &[&str]) {
        let contact = format!("Contact: {};expires=3600", request.contact());
        let mut all = Vec::new();
        if request.header("Expires") != Some("0") {
            all.push(contact.as_str());
        }
        all.extend_from_slice(lines);
        self.reply(request, 200, &all);
    }

    /// Asks to register, whatever follows.
    pub(crate) fn start_registering(&mut self) {
        self.agent.register(&self.key, self.now).expect("the account is there");
        self.drain();
    }

    #[track_caller]
    pub(crate) fn register(&mut self) -> Sent {
        self.start_registering();
        self.one()
    }

    /// Registers through a challenge, up to the 200.
    #[track_caller]
    pub(crate) fn registered(&mut self) -> Sent {
        self.registered_with(&[])
    }

    #[track_caller]
    pub(crate) fn registered_with(&mut self, lines: &[&str]) -> Sent {
        let second = self.registered_without_silence(lines);
        self.silent();
        second
    }

    /// As [`Self::registered_with`], for a 200 that leads to another request.
    #[track_caller]
    pub(crate) fn registered_without_silence(&mut self, lines: &[&str]) -> Sent {
        let first = self.register();
        self.reply(&first, 401, &[CHALLENGE]);
        let second = self.one();
        self.ok(&second, lines);
        second
    }

    pub(crate) fn set_token(&mut self, token: PushToken) {
        self.agent.set_token(&self.key, token, self.now).expect("the account is there");
        self.drain();
    }

    pub(crate) fn unbind(&mut self) {
        self.agent.unbind_push(&self.key, self.now).expect("the account is there");
        self.drain();
    }

    pub(crate) fn log_out(&mut self) {
        self.agent.log_out(&self.key, self.now).expect("the account is there");
        self.drain();
    }

    pub(crate) fn network_changes(&mut self) {
        self.up.clear();
        self.opening.clear();
        self.agent.network_changed(self.now);
        self.drain();
    }

    /// Moves to another network, where the phone has another port. Returns the request that says so.
    #[track_caller]
    pub(crate) fn moved_to(&mut self, port: u16) -> Sent {
        self.local.set_port(port);
        self.network_changes();
        self.one()
    }

    /// Handles a push as the app does: parses it, lets the gate judge it, then hands it to the client.
    pub(crate) fn push(&mut self, json: &str) -> PushAction {
        self.push_on(json, Channel::FcmAndroid)
    }

    pub(crate) fn push_on(&mut self, json: &str, channel: Channel) -> PushAction {
        let hints = Hints::at(self.now);
        let action = self.agent.gate().judge(parse_push(json, channel, &hints), &hints, self.now.boot);
        self.agent.handle_push(&action, self.now);
        self.drain();
        action
    }

    pub(crate) fn registrations(&self) -> Vec<&Registered> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Registered { registered, .. } => Some(registered),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn last(&self) -> &Registered {
        self.registrations().pop().expect("it was registered")
    }

    pub(crate) fn failures(&self) -> Vec<(&Failure, Option<Duration>)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::RegistrationFailed { failure, retry_in, .. } => Some((failure, *retry_in)),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn calls(&self) -> Vec<&CallChange> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Call(call) => Some(&call.change),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn is_logged_out(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::LoggedOut { .. }))
    }
}

pub(crate) fn over(transport: Transport) -> AccountConfig {
    account(|config| config.transport = Some(transport))
}
