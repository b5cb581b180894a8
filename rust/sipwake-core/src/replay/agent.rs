//! A client that records its inputs and outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::mask::{Mask, stand_in};
use super::{Bytes, End, FORM, Head, Input, Last, Line, Out, TapedPush};
use crate::account::{Account, AccountKey, Transport};
use crate::call::{CallPolicy, Decline, HangUp};
use crate::clock::Now;
use crate::digest::Credentials;
use crate::error::FieldError;
use crate::event::{Answer, CallChange, Event, FlowError, FlowId, Output};
use crate::gateway::Load;
use crate::payload::PushAction;
use crate::push::{Push, PushToken};
use crate::random::{Draws, Random};
use crate::record::{Noted, Version};
use crate::redact::Secret;
use crate::snapshot::{RECORD, SaveId, resealed};
use crate::user_agent::{NoSuchAccount, Unreadable, UserAgent};

/// The size of a line besides its bytes.
const LINE: usize = 160;

/// A [`UserAgent`] with the same functions, which can record what passes through it. Functions that only look at the
/// client are not recorded.
pub struct RecordedAgent {
    agent: UserAgent,
    tape: Option<Box<Tape>>,
}

/// A recording with its secrets.
pub struct Taped {
    lines: Vec<Line>,
    size: usize,
    end: End,
}

struct Tape {
    lines: Vec<Line>,
    size: usize,
    cap: usize,
    /// The recording reached its largest size, with these decisions.
    full: Option<Vec<Noted>>,
    now: Now,
    /// UUIDs that gates have given and that are recorded.
    judged: BTreeSet<Uuid>,
    passwords: Vec<Secret>,
}

impl Deref for RecordedAgent {
    type Target = UserAgent;

    fn deref(&self) -> &UserAgent {
        &self.agent
    }
}

macro_rules! taped {
    ($($name:ident($($arg:ident: $type:ty),* $(; $now:ident)?) $(-> $returns:ty)? => $input:expr;)+) => {$(
        #[doc = concat!("As [`UserAgent::", stringify!($name), "`].")]
        #[allow(clippy::missing_errors_doc, reason = "as the other's")]
        pub fn $name(&mut self $(, $arg: $type)* $(, $now: Now)?) $(-> $returns)? {
            if self.tape.is_some() {
                let now: &[Now] = &[$($now)?];
                self.enter(now.first().copied(), $input);
            }
            self.agent.$name($($arg,)* $($now)?)
        }
    )+};
}

impl RecordedAgent {
    /// Returns a client as [`UserAgent::new`] does, which records what passes through it up to `cap` bytes, or not at all.
    pub fn new(seed: [u8; 32], removals: Option<&[u8]>, cap: Option<usize>, now: Now) -> Self {
        let mut random = Random::new(seed);
        let Some(cap) = cap else { return Self { agent: UserAgent::with(random, removals, now), tape: None } };
        random.tape(Draws::Kept(Vec::new()));
        let tape =
            Tape { lines: Vec::new(), size: 0, cap, full: None, now, judged: BTreeSet::new(), passwords: Vec::new() };
        let mut this = Self { agent: UserAgent::with(random, removals, now), tape: Some(Box::new(tape)) };
        if let Some(tape) = &mut this.tape {
            tape.write(Some(now), Input::Start { removals: removals.map(Bytes::from) }, Vec::new());
        }
        this
    }

    /// Returns the recording, with stand-ins instead of secrets. `None` if nothing is recorded.
    pub fn recording(&mut self) -> Option<String> {
        self.taped().map(Taped::into_file)
    }

    /// Returns what was recorded as it is, from which another thread can make the file: to find every secret in megabytes takes
    /// a while, and a call must not wait for it.
    pub fn taped(&mut self) -> Option<Taped> {
        let Self { agent, tape } = self;
        let tape = tape.as_deref_mut()?;
        tape.take_draws(agent);
        let (full, decisions) = (tape.full.is_some(), tape.full.clone().unwrap_or_else(|| decisions(agent)));
        Some(Taped { lines: tape.lines.clone(), size: tape.size, end: End { full, decisions } })
    }

    fn enter(&mut self, now: Option<Now>, input: Input) {
        let Self { agent, tape: Some(tape) } = self else { return };
        if tape.full.is_some() {
            return;
        }
        tape.take_draws(agent);
        if tape.size >= tape.cap {
            tape.full = Some(decisions(agent));
            return;
        }
        for judged in agent.judgements().all().to_vec() {
            if tape.judged.insert(judged.uuid) {
                let input = Input::Judged { call: judged.uuid.to_string(), push: judged.push, at: judged.at };
                tape.write(now, input, Vec::new());
            }
        }
        let proofs = match &input {
            Input::Received { flow, .. } => agent.right_proofs(FlowId(*flow)),
            _ => Vec::new(),
        };
        tape.write(now, input, proofs);
    }

    /// The account's settings with a stand-in for its password. No message ever holds the password.
    fn settings(&mut self, account: &Account) -> Box<crate::account::AccountConfig> {
        let mut config = account.config();
        if let (Credentials::Password(password), Some(tape)) = (&config.credentials, &mut self.tape) {
            let known = tape.passwords.iter().position(|known| known == password);
            let number = known.unwrap_or_else(|| {
                tape.passwords.push(password.clone());
                tape.passwords.len() - 1
            });
            let stand_in = stand_in("password", number, &vec![b'x'; password.expose().len()]);
            config.credentials = Credentials::Password(Secret::new(String::from_utf8(stand_in).unwrap_or_default()));
        }
        Box::new(config)
    }

    /// As [`UserAgent::add_account`].
    ///
    /// # Errors
    /// As there.
    pub fn add_account(
        &mut self,
        account: Account,
        push: Option<Push>,
        stored: Option<&[u8]>,
        now: Now,
    ) -> Result<AccountKey, FieldError> {
        if self.tape.is_some() {
            let (settings, push) = (self.settings(&account), push.as_ref().map(Push::config));
            self.enter(Some(now), Input::AddAccount { account: settings, push, stored: stored.map(Bytes::from) });
        }
        self.agent.add_account(account, push, stored, now)
    }

    taped! {
        register(key: &AccountKey; now) -> Result<(), NoSuchAccount> => Input::Register { account: key.clone() };
        set_token(key: &AccountKey, token: PushToken; now) -> Result<(), NoSuchAccount>
            => Input::SetToken { account: key.clone(), token: token.clone() };
        unbind_push(key: &AccountKey; now) -> Result<(), NoSuchAccount> => Input::UnbindPush { account: key.clone() };
        log_out(key: &AccountKey; now) -> Result<(), NoSuchAccount> => Input::LogOut { account: key.clone() };
        accept_realm(key: &AccountKey, realm: &str; now) -> Result<(), FieldError>
            => Input::AcceptRealm { account: key.clone(), realm: realm.to_owned() };
        assume_bound(key: &AccountKey) -> Result<(), NoSuchAccount> => Input::AssumeBound { account: key.clone() };
        query_push(key: &AccountKey, provider: Option<String>; now) -> Result<(), NoSuchAccount>
            => Input::QueryPush { account: key.clone(), provider: provider.clone() };
        set_call_policy(policy: CallPolicy) => Input::SetCallPolicy { policy: policy.clone() };
        ringing(call: Uuid; now) -> bool => Input::Ringing { call: call.to_string() };
        answer(call: Uuid; now) -> bool => Input::Answer { call: call.to_string() };
        accept(call: Uuid, answer: Answer; now) -> bool
            => Input::Accept { call: call.to_string(), answer: answer.clone() };
        decline(call: Uuid, how: Decline; now) -> bool => Input::Decline { call: call.to_string(), how };
        hang_up(call: Uuid, why: HangUp; now) -> bool => Input::HangUp { call: call.to_string(), why };
        respond_offer(call: Uuid, answer: Option<Answer>; now) -> bool
            => Input::RespondOffer { call: call.to_string(), answer: answer.clone() };
        take_call_requests(take: bool) => Input::TakeCallRequests { take };
        respond_request(call: Uuid, request: u64, status: u16; now) -> bool
            => Input::RespondRequest { call: call.to_string(), request, status };
        allow_unsolicited_calls(allow: bool) => Input::AllowUnsolicitedCalls { allow };
        handle_push(action: &PushAction; now) => Input::Push { push: Box::new(TapedPush::of(action)) };
        network_changed(; now) => Input::NetworkChanged {};
        handle_gateway_load(key: &AccountKey, gateway: usize, load: Option<Load>, response_time: Duration)
            -> Result<(), NoSuchAccount>
            => Input::GatewayLoad { account: key.clone(), gateway, load, response_time };
        handle_flow_transport(flow: FlowId, transport: Transport) => Input::FlowTransport { flow: flow.0, transport };
        handle_flow_leads_on(flow: FlowId, leads_on: bool) => Input::FlowLeadsOn { flow: flow.0, leads_on };
        handle_flow_left(flow: FlowId, left: FlowId; now) => Input::FlowLeft { flow: flow.0, left: left.0 };
        handle_flow_up(flow: FlowId, local: SocketAddr; now) => Input::FlowUp { flow: flow.0, local };
        handle_flow_down(flow: FlowId, error: FlowError; now) => Input::FlowDown { flow: flow.0, error: error.clone() };
        handle_input(flow: FlowId, bytes: &[u8]; now) => Input::Received { flow: flow.0, bytes: bytes.into() };
        handle_stranger(flow: FlowId, source: SocketAddr, bytes: &[u8]; now)
            => Input::Stranger { flow: flow.0, from: source, bytes: bytes.into() };
        handle_timeout(; now) => Input::Timeout {};
        handle_saved(id: SaveId, result: Result<(), String>; now)
            => Input::Saved { id: id.0, failed: result.clone().err() };
        hold_until_saved(hold: bool) => Input::HoldUntilSaved { hold };
        handle_store_failure(key: &str, reason: String; now)
            => Input::StoreFailed { key: key.to_owned(), reason: reason.clone() };
        handle_loaded(key: &str, loaded: Result<Option<&[u8]>, Unreadable>; now) => match &loaded {
            // The black box of earlier processes does not belong to this recording. Its key must stay secret.
            Ok(record) => Input::Loaded { key: key.to_owned(), record: record.filter(|_| key != RECORD).map(Bytes::from) },
            Err(Unreadable::Shut) => Input::NotLoaded { key: key.to_owned(), failed: None },
            Err(Unreadable::Failed(reason)) => Input::NotLoaded { key: key.to_owned(), failed: Some(reason.clone()) },
        };
        store_available(; now) => Input::StoreAvailable {};
        set_do_not_disturb(key: &AccountKey, until: Option<Duration>; now) -> Result<(), NoSuchAccount>
            => Input::SetDoNotDisturb { account: key.clone(), until };
    }

    /// As [`UserAgent::save_opened`]. The recording does not say which pushes these were.
    #[cfg(feature = "sealed")]
    pub fn save_opened(&mut self, record: Vec<u8>, now: Now) {
        self.enter(Some(now), Input::SaveOpened {});
        self.agent.save_opened(record, now);
    }

    /// As [`UserAgent::set_push_key`].
    #[cfg(feature = "sealed")]
    pub fn set_push_key(&mut self, key: &crate::sealed::PushKey, now: Now) {
        self.enter(Some(now), Input::SetPushKey { auth: key.auth.clone(), p256dh: key.p256dh.clone() });
        self.agent.set_push_key(key, now);
    }

    /// As [`UserAgent::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.agent.poll_output();
        if let Some(tape) = &mut self.tape {
            tape.leave(output.as_ref());
        }
        output
    }

    /// As [`UserAgent::poll_record`], which is not part of a recording.
    pub fn poll_record(&mut self) -> Option<Vec<u8>> {
        self.agent.poll_record()
    }

    /// As [`UserAgent::trace_received`], which is not part of a recording.
    pub fn trace_received(&mut self, trace: bool) {
        self.agent.trace_received(trace);
    }
}

/// The decisions of this process.
pub(super) fn decisions(agent: &UserAgent) -> Vec<Noted> {
    const STARTED: u16 = 100;
    let decisions = agent.report(None, Now::new(Duration::ZERO, Duration::ZERO)).decisions;
    let begin = decisions.iter().rposition(|noted| noted.code == STARTED).unwrap_or(0);
    decisions[begin..].to_vec()
}

impl Out {
    /// Returns `None` for an output that only a trace shows.
    pub(super) fn of(output: Option<&Output>) -> Option<Self> {
        Some(match output {
            None => Self::Done {},
            Some(Output::Save(record)) => {
                Self::Save { id: record.id.0, key: record.key.clone(), removes: record.bytes.is_none() }
            }
            Some(Output::Load(key)) => Self::Load { key: key.clone() },
            Some(Output::Open { flow, hop, local_port }) => {
                let stream = hop.transport.is_reliable() && !hop.transport.is_websocket();
                Self::Open { flow: flow.0, hop: hop.to_string(), stream, local_port: *local_port }
            }
            Some(Output::Close(flow)) => Self::Close { flow: flow.0 },
            Some(Output::NextAddress(flow)) => Self::NextAddress { flow: flow.0 },
            Some(Output::HearPeers { flow, wanted }) => Self::HearPeers { flow: flow.0, wanted: *wanted },
            Some(Output::Transmit { flow, to, bytes, .. }) => {
                Self::Transmit { flow: flow.0, to: *to, bytes: bytes.as_slice().into() }
            }
            Some(Output::Received { .. }) => return None,
            Some(Output::Event(event)) => Self::Event { name: name(event) },
        })
    }
}

/// Returns the event's name and, for a call, what changed.
fn name(event: &Event) -> String {
    let word = |shown: String| shown.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned();
    match event {
        Event::Call(call) => format!("Call {}", word(change(&call.change))),
        event => word(format!("{event:?}")),
    }
}

fn change(change: &CallChange) -> String {
    format!("{change:?}")
}

impl Tape {
    fn write(&mut self, now: Option<Now>, input: Input, proofs: Vec<Zeroizing<String>>) {
        self.now = now.unwrap_or(self.now);
        self.size += LINE
            + match &input {
                Input::Received { bytes, .. } | Input::Stranger { bytes, .. } => bytes.0.len(),
                Input::Loaded { record: Some(bytes), .. } | Input::Start { removals: Some(bytes) } => bytes.0.len(),
                Input::AddAccount { stored, .. } => 1024 + stored.as_ref().map_or(0, |stored| stored.0.len()),
                Input::Push { .. } | Input::Judged { .. } => 1024,
                Input::Accept { answer, .. } | Input::RespondOffer { answer: Some(answer), .. } => answer.body.len(),
                _ => 0,
            };
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (boot, wall) = (nanos(self.now.boot), nanos(self.now.wall));
        self.lines.push(Line { boot, wall, input, drawn: Vec::new(), out: Vec::new(), proofs });
    }

    fn take_draws(&mut self, agent: &mut UserAgent) {
        if let Some(line) = self.lines.last_mut().filter(|_| self.full.is_none()) {
            let drawn = agent.random().drawn();
            self.size += 24 * drawn.len();
            line.drawn.extend(drawn);
        }
    }

    fn leave(&mut self, output: Option<&Output>) {
        let (Some(line), Some(out)) = (self.lines.last_mut().filter(|_| self.full.is_none()), Out::of(output)) else {
            return;
        };
        if out == (Out::Done {}) && line.out.last() == Some(&out) {
            return;
        }
        self.size += LINE / 4 + if let Out::Transmit { bytes, .. } = &out { bytes.0.len() } else { 0 };
        line.out.push(out);
    }
}

impl Taped {
    /// Makes the file, with stand-ins in the place of secrets.
    pub fn into_file(self) -> String {
        let mut mask = Mask::default();
        self.learn(&mut mask);
        let Self { mut lines, size, end } = self;
        mask_streams(&mut lines, &mask);
        let mut file = String::with_capacity(size);
        // These are numbers, texts and lists, so this cannot fail.
        let mut write = |value: serde_json::Result<String>| {
            let _ = writeln!(file, "{}", value.unwrap_or_default());
        };
        write(serde_json::to_string(&Head { sipwake_replay: FORM, version: Version::this() }));
        for mut line in lines {
            for bytes in line.bytes_mut() {
                mask.apply(&mut bytes.0);
            }
            if let Some(record) = line.record_mut() {
                *record = Bytes(Zeroizing::new(resealed(&record.0, |body| mask.apply(body))));
            }
            let masked = serde_json::to_value(&line).map(|value| masked(value, &mask));
            write(masked.and_then(|value| serde_json::to_string(&value)));
        }
        write(serde_json::to_string(&Last { end }));
        file
    }

    fn learn(&self, mask: &mut Mask) {
        for line in &self.lines {
            line.proofs.iter().for_each(|proof| mask.expect(proof));
            if let Input::SetToken { token, .. } = &line.input {
                for token in [token.call(), token.alert()].into_iter().flatten() {
                    mask.learn(token.as_bytes());
                }
            }
            #[cfg(feature = "sealed")]
            if let Input::SetPushKey { auth, p256dh } = &line.input {
                mask.learn(auth.as_bytes());
                mask.learn(p256dh.as_bytes());
            }
            if let Input::AddAccount { account, .. } = &line.input
                && let Credentials::Ha1(known) = &account.credentials
            {
                known.iter().for_each(|known| mask.learn(known.ha1.expose().as_bytes()));
            }
        }
        let mut lines = self.lines.clone();
        for line in &mut lines {
            if let Some(record) = line.record_mut() {
                let body = record.0.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
                if let Ok(value) = serde_json::from_slice(body) {
                    learn_record(&value, mask);
                }
            }
        }
        // The pieces of a stream are joined first, because a token may be split between two of them.
        let mut streams: BTreeMap<(bool, u64), Zeroizing<Vec<u8>>> = BTreeMap::new();
        for line in &lines {
            if let Input::Received { flow, bytes } = &line.input {
                streams.entry((true, *flow)).or_default().extend_from_slice(&bytes.0);
            }
            if let Input::Stranger { bytes, .. } = &line.input {
                mask.learn_from(&bytes.0);
            }
            for out in &line.out {
                if let Out::Transmit { bytes, .. } = out {
                    mask.learn_from(&bytes.0);
                }
            }
        }
        streams.values().for_each(|bytes| mask.learn_from(bytes));
    }
}

impl std::fmt::Debug for Taped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Taped({} lines)", self.lines.len())
    }
}

impl Line {
    /// The messages that came or went. `mask_streams` handles those from streams.
    fn bytes_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        let came = match &mut self.input {
            Input::Received { bytes, .. } | Input::Stranger { bytes, .. } => Some(bytes),
            _ => None,
        };
        let went = self.out.iter_mut().filter_map(|out| match out {
            Out::Transmit { bytes, .. } => Some(bytes),
            _ => None,
        });
        came.into_iter().chain(went)
    }

    fn record_mut(&mut self) -> Option<&mut Bytes> {
        match &mut self.input {
            Input::Start { removals: record }
            | Input::AddAccount { stored: record, .. }
            | Input::Loaded { record, .. } => record.as_mut(),
            _ => None,
        }
    }
}

/// Masks the bytes of each stream as a whole, and cuts them into the same pieces. A stand-in is as long as the secret.
fn mask_streams(lines: &mut [Line], mask: &Mask) {
    let mut streams = BTreeSet::new();
    for line in lines.iter() {
        for out in &line.out {
            if let Out::Open { flow, stream: true, .. } = out {
                streams.insert(*flow);
            }
        }
        if let Input::FlowTransport { flow, transport } = &line.input {
            match transport.is_reliable() && !transport.is_websocket() {
                true => streams.insert(*flow),
                false => streams.remove(flow),
            };
        }
    }
    for stream in streams {
        let pieces = || |line: &&mut Line| matches!(line.input, Input::Received { flow, .. } if flow == stream);
        let mut whole = Zeroizing::new(Vec::new());
        for line in lines.iter_mut().filter(pieces()) {
            line.bytes_mut().take(1).for_each(|bytes| whole.extend_from_slice(&bytes.0));
        }
        mask.apply(&mut whole);
        let mut rest = whole.as_slice();
        for line in lines.iter_mut().filter(pieces()) {
            for bytes in line.bytes_mut().take(1) {
                let (piece, after) = rest.split_at(bytes.0.len());
                bytes.0.copy_from_slice(piece);
                rest = after;
            }
        }
    }
}

/// Learns the secrets of a stored record.
fn learn_record(value: &serde_json::Value, mask: &mut Mask) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value.as_str()) {
                    ("ha1" | "Password" | "call" | "alert", Some(secret)) => mask.learn(secret.as_bytes()),
                    ("uri" | "base", Some(uri)) => mask.learn_from(uri.as_bytes()),
                    _ => learn_record(value, mask),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| learn_record(value, mask)),
        _ => {}
    }
}

/// Masks all texts that are left. Masked texts stay as they are.
fn masked(value: serde_json::Value, mask: &Mask) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(mask.text(&text)),
        Value::Array(values) => values.into_iter().map(|value| masked(value, mask)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, masked(value, mask))).collect(),
        other => other,
    }
}
