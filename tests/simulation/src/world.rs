//! Runs a story: time, network, operating system and server around the real core.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};

use sipwake_core::event::{Event, FlowError, FlowId, Output};
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::push::{Provider, PushToken};
use sipwake_core::snapshot::{REMOVALS, Record, binding_key};
use sipwake_core::user_agent::UserAgent;

use crate::chance::Chance;
use crate::phone::{self, Flow, Phone};
use crate::promises::{Broken, Watch};
use crate::script::{Happening, Profile, SECOND, Script, Setting};
use crate::server::Server;
use crate::wire::{Wire, digest_param};

/// How long it is quiet at the end: the longest back-off, twice, and some more.
const QUIET: u64 = 2 * 3600 * SECOND;
/// Steps that no honest story needs.
const MAX_STEPS: u64 = 3_000_000;
/// How long the server tries to reach a woken phone (S2, `waittime`).
const HOLD: u64 = 40 * SECOND;

/// How a story went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first promise that was broken.
    pub broken: Option<Broken>,
    /// The time that passed, in milliseconds.
    pub simulated: u64,
    /// Requests that the server saw.
    pub registers: u64,
    /// Fingerprint of all that was sent: the same for the same story.
    pub fingerprint: u64,
}

enum Due {
    ToServer(u64, Vec<u8>),
    ToPhone(u64, Vec<u8>),
    FlowUp(u64),
    FlowDown(u64),
    Push(usize, usize),
    Start,
    Invite(usize, u64),
    Cancel(usize),
}

struct Call {
    account: usize,
    placed: u64,
    over: bool,
    legs: BTreeMap<u64, bool>,
}

struct World<'s> {
    setting: &'s Setting,
    at: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    dues: BTreeMap<u64, Due>,
    chance: Chance,
    server: Server,
    phone: Phone,
    watch: Watch,
    calls: Vec<Call>,
    cut_until: u64,
    quiet: bool,
    reacted: bool,
    registers: u64,
    fingerprint: u64,
    disturbed: u64,
    /// What waits for the phone to wake.
    missed: Vec<Due>,
    /// Users whom the server forgot and who cannot know it yet.
    forgotten: BTreeSet<String>,
    show: Option<&'s mut dyn FnMut(&str)>,
}

/// Runs a story to its end, or to the first broken promise.
pub fn run(script: &Script) -> Outcome {
    run_shown(script, None)
}

/// As [`run`], and shows each step as a line.
pub fn run_shown<'s>(script: &'s Script, show: Option<&'s mut dyn FnMut(&str)>) -> Outcome {
    let setting = &script.setting;
    let mut world = World {
        setting,
        at: 0,
        serial: 0,
        queue: BinaryHeap::new(),
        dues: BTreeMap::new(),
        chance: Chance::new(setting.seed),
        server: Server::new(setting),
        phone: Phone::new(setting),
        watch: Watch::default(),
        calls: Vec::new(),
        cut_until: 0,
        quiet: false,
        reacted: false,
        registers: 0,
        fingerprint: 0,
        disturbed: 0,
        missed: Vec::new(),
        forgotten: BTreeSet::new(),
        show,
    };
    world.watch.seen.resize_with(setting.accounts, Default::default);
    world.start();
    let mut happenings = script.happenings.iter().peekable();
    let mut steps = 0;
    while world.watch.broken.is_none() {
        steps += 1;
        if steps > MAX_STEPS {
            world.watch.fail(world.at, 8, "the story does not end");
            break;
        }
        world.wake();
        let until = if world.quiet { setting.length + QUIET } else { setting.length };
        let story = happenings.peek().map_or(until, |(at, _)| *at);
        let queued = world.queue.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let timer = world.timer();
        let waking = if world.missed.is_empty() { u64::MAX } else { world.phone.asleep_until };
        let next = story.min(queued).min(timer).min(waking);
        world.at = world.at.max(next);
        if waking < story.min(queued).min(timer) {
            continue;
        }
        if next == timer && timer < queued && timer < story {
            world.timer_fires();
        } else if next == queued && queued < story {
            world.due();
        } else if let Some((_, happening)) = happenings.next() {
            if world.at > world.disturbed + 9000 * SECOND {
                world.agreed(false);
            }
            world.disturbed = world.at.max(world.cut_until).max(world.phone.asleep_until);
            world.watch.reason();
            world.show(|| format!("*** {happening:?}"));
            world.happen(*happening);
            world.disturbed = world.disturbed.max(world.cut_until).max(world.phone.asleep_until);
        } else if !world.quiet {
            world.make_quiet();
        } else {
            world.agreed(true);
            break;
        }
        if world.timer() > world.at && world.phone.asleep_until <= world.at {
            world.watch.calls_are_over(world.at);
        }
        if let Some(violation) = world.server.violations.pop() {
            world.watch.fail(world.at, 3, violation);
        }
    }
    Outcome {
        broken: world.watch.broken,
        simulated: world.at,
        registers: world.registers,
        fingerprint: world.fingerprint,
    }
}

impl World<'_> {
    fn show(&mut self, line: impl FnOnce() -> String) {
        if let Some(show) = &mut self.show {
            show(&format!("{:>12.3} {}", self.at as f64 / 1000.0, line()));
        }
    }

    fn later(&mut self, delay: u64, due: Due) {
        self.serial += 1;
        self.queue.push(Reverse((self.at + delay, self.serial)));
        self.dues.insert(self.serial, due);
    }

    /// Delivers what waited while the phone slept.
    fn wake(&mut self) {
        if self.phone.asleep_until <= self.at {
            for due in std::mem::take(&mut self.missed) {
                self.later(0, due);
            }
        }
    }

    fn timer(&self) -> u64 {
        let asked = self.phone.agent.as_ref().and_then(|agent| agent.poll_timeout());
        asked.map_or(u64::MAX, |(boot, _)| self.phone.at(boot).max(self.phone.asleep_until))
    }

    fn timer_fires(&mut self) {
        let now = self.phone.now(self.at);
        if let Some(agent) = &mut self.phone.agent {
            agent.handle_timeout(now);
        }
        self.drain();
    }

    fn is_cut(&self) -> bool {
        self.at < self.cut_until
    }

    fn make_quiet(&mut self) {
        self.quiet = true;
        self.cut_until = 0;
        self.phone.asleep_until = 0;
        self.phone.kill_after = None;
        self.server.make_peace();
        self.watch.reason();
        if self.phone.agent.is_none() {
            self.start();
        }
    }

    // The operating system.

    fn start(&mut self) {
        for whose in self.phone.suffer_damage() {
            for (index, app) in self.phone.apps.iter_mut().enumerate() {
                if whose.is_none_or(|hit| hit == index) {
                    app.excused = true;
                    self.watch.forgotten(index);
                }
            }
        }
        self.phone.process += 1;
        self.disturbed = self.disturbed.max(self.at);
        self.phone.asleep_until = 0;
        self.watch.reason();
        let seed = self.chance.seed();
        let now = self.phone.now(self.at);
        let agent = UserAgent::new(seed, self.phone.store.get(REMOVALS).map(Vec::as_slice), now);
        self.phone.agent = Some(agent);
        if !self.drain() {
            return;
        }
        for index in 0..self.phone.apps.len() {
            if self.phone.apps[index].logged_in
                && !(self.add_account(index) && self.say_token(index) && self.ask_register(index))
            {
                return;
            }
        }
    }

    fn die(&mut self) {
        self.phone.agent = None;
        for (flow, _) in std::mem::take(&mut self.phone.flows) {
            self.watch.flow_closed(flow);
        }
        self.watch.killed();
        let (_, down, reboot) = self.phone.kill_after.take().unwrap_or((0, SECOND, false));
        if reboot {
            self.phone.reboot(self.at);
        }
        self.later(down, Due::Start);
    }

    // The app. Each returns whether the call returned, rather than the process dying under it.

    fn with_agent(&mut self, call: impl FnOnce(&mut UserAgent, &sipwake_core::clock::Now)) -> bool {
        let now = self.phone.now(self.at);
        let Some(agent) = &mut self.phone.agent else { return false };
        call(agent, &now);
        self.drain()
    }

    fn add_account(&mut self, index: usize) -> bool {
        let account = phone::account(self.setting, index);
        let push = phone::push(self.setting);
        let stored = self.phone.store.get(&binding_key(&account.key())).cloned();
        self.with_agent(|agent, now| {
            agent.add_account(account, Some(push), stored.as_deref(), *now).expect("room for two");
        })
    }

    fn say_token(&mut self, index: usize) -> bool {
        let app = self.phone.apps[index].clone();
        if !app.wants_push {
            return self.with_agent(|agent, now| agent.unbind_push(&app.key, *now).expect("it was added"));
        }
        let Some(token) = token(index, app.token) else { return true };
        self.with_agent(|agent, now| agent.set_token(&app.key, token, *now).expect("it was added"))
    }

    fn ask_register(&mut self, index: usize) -> bool {
        let key = self.phone.apps[index].key.clone();
        self.with_agent(|agent, now| agent.register(&key, *now).expect("it was added"))
    }

    fn happen(&mut self, happening: Happening) {
        let alive = self.phone.agent.is_some();
        if matches!(
            happening,
            Happening::Register(_) | Happening::Unbind(_) | Happening::LogOut(_) | Happening::LogIn(_)
        ) {
            // The user has the phone in hand.
            self.phone.asleep_until = 0;
        }
        let active = |index: usize| alive && self.phone.apps[index].logged_in;
        match happening {
            Happening::Register(index) if active(index) => {
                self.ask_register(index);
            }
            Happening::NewToken(index) => {
                self.phone.apps[index].token += 1;
                if alive && self.phone.apps[index].logged_in && self.phone.apps[index].wants_push {
                    self.say_token(index);
                }
            }
            Happening::SameToken(index) if active(index) && self.phone.apps[index].wants_push => {
                self.say_token_again(index);
            }
            Happening::NullToken(index) => {
                for none in ["", "null", "(null)"] {
                    if PushToken::parse(&Provider::Fcm, none) != Ok(None) {
                        self.watch.fail(self.at, 2, format!("{none:?} is taken for a token of {index}"));
                    }
                }
            }
            Happening::Unbind(index) if active(index) => {
                let key = self.phone.apps[index].key.clone();
                if self.with_agent(|agent, now| agent.unbind_push(&key, *now).expect("it was added")) {
                    self.phone.apps[index].wants_push = false;
                }
            }
            Happening::LogOut(index) if active(index) => self.log_out(index),
            Happening::LogIn(index) if alive => self.log_in(index),
            Happening::Query(index) if active(index) => {
                let key = self.phone.apps[index].key.clone();
                self.with_agent(|agent, now| agent.query_push(&key, Some("fcm".into()), *now).expect("it was added"));
            }
            Happening::NetworkChange => {
                self.phone.address = self.phone.address % 200 + 1;
                for flow in self.phone.flows.keys().copied().collect::<Vec<_>>() {
                    self.phone.flows.remove(&flow);
                }
                self.with_agent(|agent, now| agent.network_changed(*now));
            }
            Happening::Partition(length) => self.cut_until = self.cut_until.max(self.at + length),
            Happening::ServerRestart { keep } => {
                self.server.restart(keep);
                if !keep {
                    self.forgotten.extend((0..self.setting.accounts).map(phone::user));
                }
                if !self.setting.udp {
                    for flow in self.phone.flows.keys().copied().collect::<Vec<_>>() {
                        self.later(20, Due::FlowDown(flow));
                    }
                }
            }
            Happening::NoncesExpire => self.server.forget_nonces(),
            Happening::Trouble(status, count) => self.server.make_trouble(status, count),
            Happening::WallJump(seconds) => self.phone.wall_jumps(seconds),
            Happening::Sleep(length) => self.phone.asleep_until = self.at + length,
            Happening::Kill { after, down, reboot } if alive => {
                self.phone.kill_after = Some((after, down, reboot));
                if after == 0 {
                    self.die();
                }
            }
            Happening::Damage(whose, damage) if whose.is_none_or(|index| index < self.setting.accounts) => {
                self.phone.damage.push((whose, damage));
            }
            Happening::Call(index, patience) => self.place_call(index, patience),
            _ => {}
        }
    }

    /// Promise 2: the same token again costs no traffic.
    fn say_token_again(&mut self, index: usize) {
        let app = self.phone.apps[index].clone();
        let Some(token) =
            token(index, app.token).filter(|_| self.timer() > self.at && self.phone.asleep_until <= self.at)
        else {
            return;
        };
        let now = self.phone.now(self.at);
        let Some(agent) = &mut self.phone.agent else { return };
        agent.set_token(&app.key, token, now).expect("it was added");
        if let Some(output) = agent.poll_output() {
            self.watch.fail(self.at, 2, format!("the same token again: {output:?}"));
        }
    }

    fn log_out(&mut self, index: usize) {
        let key = self.phone.apps[index].key.clone();
        let ever_sent = self.watch.seen[index].ever_sent();
        if self.with_agent(|agent, now| agent.log_out(&key, *now).expect("it was added")) {
            self.phone.apps[index].logged_in = false;
            let kept = self.phone.store.contains_key(REMOVALS);
            let delivered = self.phone.agent.as_ref().is_some_and(|agent| agent.accounts().count() == 0);
            if ever_sent && !kept && !delivered {
                self.watch.fail(self.at, 1, "log_out returned before the wish was stored");
            }
        }
    }

    fn log_in(&mut self, index: usize) {
        let was_in = self.phone.apps[index].logged_in;
        self.phone.apps[index].wants_push = true;
        if (was_in || self.add_account(index)) && self.phone.agent.is_some() {
            self.phone.apps[index].logged_in = true;
            let _ = self.say_token(index) && self.ask_register(index);
        }
    }

    // What the core asks for.

    /// Does all that the core wants. Returns whether the process lives on.
    fn drain(&mut self) -> bool {
        let mut count = 0;
        loop {
            let Some(output) = self.phone.agent.as_mut().and_then(UserAgent::poll_output) else { return true };
            count += 1;
            if count > 200 {
                self.watch.fail(self.at, 8, "more than 200 outputs of one input");
                return true;
            }
            if let Some((left, _, _)) = &mut self.phone.kill_after {
                if *left == 0 {
                    self.die();
                    return false;
                }
                *left -= 1;
            }
            self.show(|| shown(&output));
            match output {
                Output::Save(record) => self.save(record),
                Output::Open { flow, local_port, .. } => self.open(flow, local_port),
                Output::Close(flow) => {
                    let flow = self.flow(flow);
                    self.phone.flows.remove(&flow);
                    self.watch.flow_closed(flow);
                    self.reacted = true;
                }
                Output::Transmit { flow, bytes } => self.transmit(self.flow(flow), bytes),
                Output::Event(event) => self.hear(&event),
            }
        }
    }

    fn flow(&self, flow: FlowId) -> u64 {
        self.phone.process << 32 | flow.0
    }

    fn save(&mut self, record: Record) {
        let Some(bytes) = record.bytes else {
            self.phone.store.remove(&record.key);
            if record.key == REMOVALS {
                self.removals_saved(b"");
            }
            return;
        };
        for index in 0..self.phone.apps.len() {
            let name = phone::user(index);
            if contains(&bytes, phone::password(&name).as_bytes()) {
                self.watch.fail(self.at, 7, "a password in the store");
            }
            let own = record.key == binding_key(&self.phone.apps[index].key);
            let leaving = record.key == REMOVALS && contains(&bytes, self.phone.apps[index].key.as_str().as_bytes());
            if own || leaving {
                let seen = &mut self.watch.seen[index];
                seen.stored_nonce.clone_from(&seen.nonce);
            }
        }
        if record.key == REMOVALS {
            self.removals_saved(&bytes);
        }
        self.phone.store.insert(record.key, bytes);
    }

    /// The removals that are not stored any more are delivered, or taken back.
    fn removals_saved(&mut self, bytes: &[u8]) {
        for index in 0..self.phone.apps.len() {
            let app = &self.phone.apps[index];
            let in_memory = self.phone.agent.as_ref().is_some_and(|agent| agent.push(&app.key).is_ok());
            if !contains(bytes, app.key.as_str().as_bytes()) && !in_memory {
                self.watch.forgotten(index);
            }
        }
    }

    fn open(&mut self, flow: FlowId, local_port: Option<u16>) {
        let id = self.flow(flow);
        let port = match local_port {
            Some(port) if self.chance.hits(900) => port,
            _ => self.chance.between(1024, 65_000) as u16,
        };
        self.phone.flows.insert(id, Flow { up: false, port });
        self.reacted = true;
        if self.setting.udp {
            self.later(0, Due::FlowUp(id));
        } else {
            let delay = self.delay();
            if self.is_cut() {
                self.later(10 * SECOND, Due::FlowDown(id));
            } else {
                self.later(delay, Due::FlowUp(id));
            }
        }
    }

    fn delay(&mut self) -> u64 {
        let (low, high) = if self.quiet { (5, 30) } else { self.setting.delay };
        self.chance.between(low, high)
    }

    /// Lets a datagram or a piece of a stream go its way.
    fn travel(&mut self, flow: u64, due: impl Fn() -> Due) {
        if self.setting.udp {
            let (loss, duplication) = if self.quiet { (0, 0) } else { (self.setting.loss, self.setting.duplication) };
            let copies = if self.chance.hits(duplication) { 2 } else { 1 };
            for _ in 0..copies {
                let delay = self.delay();
                if !self.is_cut() && !self.chance.hits(loss) {
                    self.later(delay, due());
                }
            }
        } else if self.is_cut() {
            self.later(20 * SECOND, Due::FlowDown(flow));
        } else {
            let low = self.setting.delay.0;
            self.later(low, due());
        }
    }

    fn transmit(&mut self, flow: u64, bytes: Vec<u8>) {
        for byte in bytes.iter().step_by(7) {
            self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(wire) = Wire::parse(&bytes)
            && wire.method() == "REGISTER"
            && let Some(index) = (0..self.setting.accounts).find(|index| phone::user(*index) == wire.to_user())
        {
            self.watch.register_sent(index, &wire, &bytes, flow, self.at);
            self.reacted = true;
        }
        if self.phone.flows.get(&flow).is_some_and(|flow| flow.up) {
            self.travel(flow, || Due::ToServer(flow, bytes.clone()));
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Registered { registered, .. } => {
                self.reacted = true;
                self.watch.registered(self.setting.profile, registered, self.at);
            }
            Event::Call(call) => self.watch.call(call, self.at),
            Event::RegistrationFailed { account, retry_in: None, .. } => {
                self.reacted = true;
                // The nonce is of no use to somebody who cannot answer.
                for (app, seen) in self.phone.apps.iter().zip(&mut self.watch.seen) {
                    if app.key == *account {
                        seen.nonce = None;
                    }
                }
            }
            Event::RegistrationFailed { .. } | Event::LoggedOut { .. } | Event::Capabilities { .. } => {
                self.reacted = true;
            }
            _ => {}
        }
    }

    // What comes to pass.

    fn due(&mut self) {
        let Some(Reverse((_, serial))) = self.queue.pop() else { return };
        let Some(due) = self.dues.remove(&serial) else { return };
        let asleep = self.phone.asleep_until.saturating_sub(self.at);
        match due {
            Due::ToServer(flow, bytes) => self.at_server(flow, &bytes),
            Due::Push(index, call) => self.pushed(index, call),
            Due::Start => {
                if self.phone.agent.is_none() {
                    self.start();
                }
            }
            Due::Invite(call, flow) => self.invite(call, flow),
            Due::Cancel(call) => self.cancel(call),
            // The radio of a phone in deep sleep drops datagrams; a stream waits.
            Due::ToPhone(..) if asleep > 0 && self.setting.udp => {}
            due if asleep > 0 => self.missed.push(due),
            Due::ToPhone(flow, bytes) => self.at_phone(flow, &bytes),
            Due::FlowUp(flow) => {
                let Some(known) = self.phone.flows.get_mut(&flow) else { return };
                known.up = true;
                let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, self.phone.address), known.port));
                self.with_agent(|agent, now| agent.handle_flow_up(FlowId(flow & 0xffff_ffff), local, *now));
            }
            Due::FlowDown(flow) => {
                if self.phone.flows.remove(&flow).is_some() {
                    self.watch.flow_closed(flow);
                    self.with_agent(|agent, now| {
                        agent.handle_flow_down(FlowId(flow & 0xffff_ffff), FlowError::Closed, *now);
                    });
                }
            }
        }
    }

    fn at_phone(&mut self, flow: u64, bytes: &[u8]) {
        if !self.phone.flows.contains_key(&flow) {
            return;
        }
        let mut final_answer = false;
        if let Some(wire) = Wire::parse(bytes).filter(|wire| wire.cseq_method() == "REGISTER") {
            for seen in &mut self.watch.seen {
                if seen.in_flight.as_ref().is_some_and(|known| known.branch == wire.branch()) {
                    seen.in_flight = None;
                    final_answer = true;
                    if let Some(nonce) =
                        Some(digest_param(wire.one("www-authenticate").trim_start_matches("Digest "), "nonce"))
                            .filter(|nonce| !nonce.is_empty())
                    {
                        seen.nonce = Some(nonce.to_owned());
                    }
                }
            }
        }
        self.show(|| format!("    <- {}", summary(bytes)));
        self.reacted = false;
        let process = self.phone.process;
        let lives = self.with_agent(|agent, now| agent.handle_input(FlowId(flow & 0xffff_ffff), bytes, *now));
        if final_answer && !self.reacted && lives && process == self.phone.process {
            self.watch.fail(self.at, 5, "an answer to a REGISTER met with silence");
        }
    }

    fn at_server(&mut self, flow: u64, bytes: &[u8]) {
        let Some(wire) = Wire::parse(bytes) else { return };
        if let Some(status) = wire.status() {
            return self.answered(flow, &wire, status);
        }
        if wire.method() != "REGISTER" {
            return;
        }
        self.registers += 1;
        let reply = self.server.register(&wire, flow, self.at);
        let bytes = reply.bytes;
        self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
        let Some(user) = reply.registered else { return };
        self.forgotten.remove(&user);
        for call in 0..self.calls.len() {
            let known = &self.calls[call];
            let waits = !known.over && self.at < known.placed + HOLD && !known.legs.contains_key(&flow);
            if waits
                && phone::user(known.account) == user
                && self.server.bindings[&user].iter().any(|b| b.flow == Some(flow))
            {
                self.begin_leg(call, flow);
            }
        }
    }

    // Calls.

    fn place_call(&mut self, index: usize, patience: u64) {
        let call = self.calls.len();
        self.calls.push(Call { account: index, placed: self.at, over: false, legs: BTreeMap::new() });
        self.server.expire(self.at);
        let bindings = self.server.bindings[&phone::user(index)].clone();
        for binding in bindings.iter().filter(|binding| !binding.foreign) {
            if binding.token.is_some() {
                // Two pushes without any id are two calls.
                let twice = self.chance.hits(self.setting.push_loss) && !self.is_nameless(call);
                let copies = if twice { 2 } else { 1 };
                for _ in 0..copies {
                    if !self.chance.hits(self.setting.push_loss) {
                        let delay = self.chance.between(10, self.setting.push_delay);
                        self.later(delay, Due::Push(index, call));
                    }
                }
            }
            if let Some(flow) = binding.flow {
                self.begin_leg(call, flow);
            }
        }
        self.later(patience, Due::Cancel(call));
    }

    fn begin_leg(&mut self, call: usize, flow: u64) {
        self.calls[call].legs.insert(flow, false);
        for delay in [1, 500, 1500] {
            self.later(delay, Due::Invite(call, flow));
        }
    }

    fn call_request(&self, method: &str, call: usize, flow: u64) -> Vec<u8> {
        let to = phone::user(self.calls[call].account);
        let push_id = match self.setting.profile {
            Profile::PortSip => format!("X-Push-ID: push-{call}\r\n"),
            _ => String::new(),
        };
        format!(
            "{method} sip:{to}@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcall{call}.{flow}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+49{call}@example.com>;tag=c{call}\r\nTo: <sip:{to}@example.com>\r\n\
             Call-ID: call-{call}@example.com\r\nCSeq: 1 {method}\r\nContact: <sip:192.0.2.1>\r\n{push_id}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn invite(&mut self, call: usize, flow: u64) {
        if self.calls[call].over || self.calls[call].legs.get(&flow).is_some_and(|answered| *answered) {
            return;
        }
        let bytes = self.call_request("INVITE", call, flow);
        self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
    }

    fn cancel(&mut self, call: usize) {
        self.calls[call].over = true;
        for flow in self.calls[call].legs.keys().copied().collect::<Vec<_>>() {
            let bytes = self.call_request("CANCEL", call, flow);
            self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
        }
    }

    fn answered(&mut self, flow: u64, wire: &Wire, status: u16) {
        let branch = wire.branch().trim_start_matches("z9hG4bKcall");
        let Some(call) = branch.split('.').next().and_then(|call| call.parse::<usize>().ok()) else { return };
        if wire.cseq_method() != "INVITE" || call >= self.calls.len() {
            return;
        }
        self.calls[call].legs.insert(flow, true);
        if status >= 300 {
            let bytes = self.call_request("ACK", call, flow);
            self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
        }
    }

    /// Whether the push of a call carries no id.
    fn is_nameless(&self, call: usize) -> bool {
        let has_ids = matches!(self.setting.profile, Profile::Flexisip | Profile::PortSip);
        !has_ids && call.is_multiple_of(3) && self.setting.push_delay < 5 * SECOND
    }

    fn payload(&self, index: usize, call: usize) -> String {
        let user = phone::user(index);
        match self.setting.profile {
            Profile::Flexisip => format!(
                r#"{{"loc-key":"IC_MSG","call-id":"call-{call}@example.com","from-uri":"sip:+49{call}@example.com"}}"#
            ),
            Profile::PortSip => format!(
                r#"{{"msg_type":"audio","send_from":"+49{call}","send_to":"{user}","x-push-id":"push-{call}"}}"#
            ),
            _ if self.is_nameless(call) => {
                format!(r#"{{"ntype":"0","nfrom":"+49{call}","ntouser":"{user}"}}"#)
            }
            _ => {
                format!(r#"{{"ntype":"0","nfrom":"+49{call}","ntouser":"{user}","ncallid":"call-{call}@example.com"}}"#)
            }
        }
    }

    fn pushed(&mut self, index: usize, call: usize) {
        self.phone.asleep_until = 0;
        self.watch.reason();
        if self.phone.agent.is_none() {
            self.start();
        }
        let now = self.phone.now(self.at);
        let hints = Hints::at(now);
        let payload = self.payload(index, call);
        let Some(agent) = &mut self.phone.agent else { return };
        let action = agent.gate().judge(parse_push(payload.as_str(), Channel::FcmAndroid, &hints), &hints, now.boot);
        agent.handle_push(&action, now);
        let app = &self.phone.apps[index];
        let named = action.identity.account.is_some();
        let other = self.phone.apps.iter().any(|app| app.logged_in && app.wants_push);
        if action.is_call() && !(app.logged_in && app.wants_push) && (named || !other) && !app.excused {
            self.watch.fail(self.at, 1, "a late push makes a sound");
        }
        self.drain();
    }

    // The end.

    /// After quiet time both sides agree.
    fn agreed(&mut self, finally: bool) {
        // Where the server promises to push in time, a binding is renewed only as it lapses.
        self.server.expire(self.at.saturating_sub(60 * SECOND));
        if self.phone.agent.is_none() {
            return;
        }
        for index in 0..self.phone.apps.len() {
            if let Some(what) = self.disagreement(index) {
                let promise = if self.phone.apps[index].logged_in { 2 } else { 1 };
                self.watch.fail(self.at, promise, format!("{what} (finally: {finally})"));
            }
        }
    }

    fn disagreement(&self, index: usize) -> Option<String> {
        let app = &self.phone.apps[index];
        let bindings = &self.server.bindings[&phone::user(index)];
        if !bindings.iter().any(|binding| binding.foreign) {
            return Some("another device's binding was removed".to_owned());
        }
        let ours: Vec<_> = bindings.iter().filter(|binding| !binding.foreign).collect();
        if !app.logged_in {
            return (!ours.is_empty() && !app.excused)
                .then(|| format!("a logged-out binding is left: {}", ours[0].contact.uri));
        }
        let pushes = !matches!(self.setting.profile, Profile::None | Profile::Rfc8599Refusing);
        let wanted = (app.wants_push && app.token > 0 && pushes).then(|| phone::token_text(index, app.token));
        if self.forgotten.contains(&phone::user(index)) {
            return None;
        }
        if !ours.iter().any(|binding| binding.token == wanted) {
            let seen: Vec<_> = ours.iter().map(|binding| &binding.token).collect();
            return Some(format!("no binding with {wanted:?}, but {seen:?}"));
        }
        if app.excused {
            return None;
        }
        let old = ours.iter().find(|binding| binding.token.is_some() && binding.token != wanted);
        if let Some(old) = old {
            return Some(format!("an old token is still pushed to: {}", old.contact.uri));
        }
        (ours.len() > 1).then(|| {
            format!("{} bindings of one phone: {} and {}", ours.len(), ours[0].contact.uri, ours[1].contact.uri)
        })
    }
}

fn token(index: usize, number: u32) -> Option<PushToken> {
    if number == 0 {
        return None;
    }
    PushToken::parse(&Provider::Fcm, &phone::token_text(index, number)).expect("a token's form")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

fn shown(output: &Output) -> String {
    match output {
        Output::Transmit { flow, bytes } => format!("    -> {} {}", flow.0, summary(bytes)),
        other => format!("    {other:?}"),
    }
}

fn summary(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let wanted = |line: &&str| {
        ["Contact", "CSeq", "Expires", "X-MPUSH", "X-Push", "Feature", "Call-ID"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let start = text.lines().next().unwrap_or_default();
    std::iter::once(start).chain(text.lines().filter(wanted)).collect::<Vec<_>>().join(" | ")
}
