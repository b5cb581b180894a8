//! Runs a story: time, network, operating system and server around the real core.

mod agreement;
mod app;
mod attack;
mod calls;
mod gateways;
mod network;
mod phone_side;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use sipwake_core::payload::PushAction;
use sipwake_core::record::Report;

use crate::chance::Chance;
use crate::phone::Phone;
use crate::promises::{Broken, Watch};
use crate::script::{SECOND, Script, Setting};
use crate::server::Server;
pub use attack::Attack;
use attack::Attacker;
use gateways::{Holding, Route};
use uuid::Uuid;

/// How long the quiet time at the end is: twice the longest back-off, and some more.
const QUIET: u64 = 2 * 3600 * SECOND;
/// More steps than any normal story needs.
const MAX_STEPS: u64 = 3_000_000;
/// How long the server tries to reach a woken phone (S2, `waittime`).
const HOLD: u64 = 40 * SECOND;
/// How long an address may stay silent if there is another one.
const SILENCE: u64 = 4 * SECOND;

/// The result of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first promise that was broken.
    pub broken: Option<Broken>,
    /// The time that passed, in milliseconds.
    pub simulated: u64,
    /// Requests that the server saw.
    pub registers: u64,
    /// A fingerprint of everything that was sent: the same for the same story.
    pub fingerprint: u64,
}

enum Due {
    ToServer(u64, Vec<u8>),
    ToPhone(u64, Vec<u8>),
    FlowUp(u64),
    FlowDown(u64),
    Push(usize, usize),
    /// The app of a process hands over a push that it judged earlier.
    Judged(u64, Box<PushAction>, usize, usize),
    Start,
    /// Somebody unlocks the phone.
    Unlocked,
    Invite(usize, u64),
    Cancel(usize),
    CallAgain(usize),
    /// A dead address has been silent for as long as it is allowed to.
    Silent(u64),
    /// In an attacked story, the user of a process answers a call, or hangs up.
    Accept(u64, Uuid),
    HangUp(u64, Uuid),
    /// Time to check what an account's gateways hold.
    Judge(usize),
    /// Time to check for which users the gateway in use sends pushes.
    JudgeToken(usize),
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
    /// One server, or several gateways.
    servers: Vec<Server>,
    routes: BTreeMap<u64, Route>,
    /// Flows to a dead address, and whether the phone noticed that.
    dead: BTreeMap<u64, bool>,
    /// Until when each of them receives nothing.
    down_until: Vec<u64>,
    holdings: Vec<Holding>,
    /// When each account's token was last bound, unless something has happened since.
    token_bound: Vec<Option<u64>>,
    /// Whether each account is registered, according to what this process last told the app.
    told: Vec<Option<bool>>,
    phone: Phone,
    watch: Watch,
    calls: Vec<Call>,
    cut_until: u64,
    /// Until when the network or a gateway was to be silent, even if quiet time begins earlier.
    silent_until: u64,
    quiet: bool,
    reacted: bool,
    registers: u64,
    fingerprint: u64,
    disturbed: u64,
    /// The lifetime in seconds from the last 200 to each account's REGISTER.
    granted: Vec<Option<u64>>,
    /// Since when each account must send a REGISTER because of a push.
    owed_since: Vec<Option<u64>>,
    /// Records that the store refused and that the app does not know about.
    untold: Vec<String>,
    /// Events that wait until the phone wakes.
    missed: Vec<Due>,
    /// Users that the server forgot and who cannot know it yet.
    forgotten: BTreeSet<String>,
    attacker: Attacker,
    show: Option<&'s mut dyn FnMut(&str)>,
}

/// Runs a story to its end, or to the first broken promise.
pub fn run(script: &Script) -> Outcome {
    run_shown(script, None)
}

/// As [`run`], and prints each step as a line.
pub fn run_shown<'s>(script: &'s Script, show: Option<&'s mut dyn FnMut(&str)>) -> Outcome {
    tell(script, show).0
}

/// As [`run`]. Returns the phone's report at the end, if its app runs then.
pub fn run_reported(script: &Script) -> (Outcome, Option<Report>) {
    tell(script, None)
}

fn tell<'s>(script: &'s Script, show: Option<&'s mut dyn FnMut(&str)>) -> (Outcome, Option<Report>) {
    let setting = &script.setting;
    let gateways = setting.apart.map_or(1, |apart| apart.count);
    let mut world = World {
        setting,
        at: 0,
        serial: 0,
        queue: BinaryHeap::new(),
        dues: BTreeMap::new(),
        chance: Chance::new(setting.seed),
        servers: (0..gateways).map(|place| Server::new(setting, place)).collect(),
        routes: BTreeMap::new(),
        dead: BTreeMap::new(),
        down_until: vec![0; gateways],
        holdings: vec![Holding::default(); setting.accounts],
        token_bound: vec![None; setting.accounts],
        told: vec![None; setting.accounts],
        phone: Phone::new(setting),
        watch: Watch::default(),
        calls: Vec::new(),
        cut_until: 0,
        silent_until: 0,
        quiet: false,
        reacted: false,
        registers: 0,
        fingerprint: 0,
        disturbed: 0,
        granted: vec![None; setting.accounts],
        owed_since: vec![None; setting.accounts],
        untold: Vec::new(),
        missed: Vec::new(),
        forgotten: BTreeSet::new(),
        attacker: Attacker::default(),
        show,
    };
    world.watch.is_attacked = setting.attacked;
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
            world.reason();
            world.show(|| format!("*** {happening:?}"));
            world.happen(*happening);
            let phone = &world.phone;
            let disturbances = [world.cut_until, phone.asleep_until, phone.store_fails_until, phone.shut_until];
            let disturbances = disturbances.into_iter().chain(world.down_until.iter().copied());
            world.disturbed = disturbances.fold(world.disturbed, u64::max);
        } else if !world.quiet {
            world.make_quiet();
        } else {
            world.agreed(true);
            break;
        }
        if world.watch.knows_calls() && world.timer() > world.at && world.phone.asleep_until <= world.at {
            world.watch.calls_are_over(world.at);
        }
        world.pushes_are_answered();
        if let Some(violation) = world.servers.iter_mut().find_map(|server| server.violations.pop()) {
            world.watch.fail(world.at, 3, violation);
        }
    }
    let now = world.phone.now(world.at);
    let report = world.phone.agent.as_ref().map(|agent| agent.report(None, now));
    let outcome = Outcome {
        broken: world.watch.broken,
        simulated: world.at,
        registers: world.registers,
        fingerprint: world.fingerprint,
    };
    (outcome, report)
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

    /// Delivers what has waited while the phone slept.
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

    /// There is a reason to register.
    fn reason(&mut self) {
        self.watch.reason();
        self.servers.iter_mut().for_each(|server| server.wrong_answers.clear());
    }

    fn make_quiet(&mut self) {
        self.quiet = true;
        self.occupied();
        self.cut_until = 0;
        self.phone.asleep_until = 0;
        self.phone.kill_after = None;
        self.phone.store_fails_until = 0;
        self.unlock();
        self.servers.iter_mut().for_each(Server::make_peace);
        self.down_until.fill(0);
        self.reason();
        // Another process may reach all gateways that were down.
        if self.setting.apart.is_some() && self.setting.seed.is_multiple_of(2) && self.phone.agent.is_some() {
            self.die();
        } else if self.phone.agent.is_none() {
            self.start();
        }
    }
}
