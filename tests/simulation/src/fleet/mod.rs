//! A whole fleet at once: the real core as many devices, each with its own connection to one gateway.
//!
//! The gateway accepts a limited number of REGISTERs per second and refuses the rest with 503. Either the gateway
//! restarts (all connections break, none can be opened for a while, nonces and bindings are forgotten), or all devices
//! change their radio cell within some seconds. The simulation counts the REGISTERs that arrive in each second.

mod gateway;
pub mod plot;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sipwake_core::account::{Account, AccountConfig, AccountKey, Transport};
use sipwake_core::clock::Now;
use sipwake_core::event::{Event, FlowError, FlowId, Output};
use sipwake_core::push::{Provider, Push, PushConfig, PushToken};
use sipwake_core::user_agent::UserAgent;

use crate::chance::Chance;
use crate::processor::resident;
use gateway::Gateway;

const SECOND: u64 = 1000;
/// How long it takes until all devices have started: a fleet in its ordinary state.
const STARTING: u64 = 600 * SECOND;
/// When it happens.
const DISASTER: u64 = 900 * SECOND;
/// How long the simulation goes on after that.
const WATCHED: u64 = 1800 * SECOND;

/// What happens to all devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disaster {
    /// The gateway restarts and cannot be reached for 30 seconds.
    GatewayRestart,
    /// Every device gets a new address, within 10 seconds.
    CellChange,
}

/// How a device tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As the core does.
    BackOff,
    /// One second after each failure: the same core, in an app that does not wait.
    EverySecond,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Course {
    /// REGISTERs that arrived in each second after the disaster began.
    pub registers: Vec<u32>,
    /// After how many seconds 500, 990 and 1000 of 1000 devices were registered again.
    pub back: [Option<u64>; 3],
    /// Heap and own size of a registered, idle device, in bytes, where the heap is counted.
    pub bytes_per_device: Option<usize>,
    /// The memory of the whole process at that time, per device, in bytes; only on Linux.
    pub resident_per_device: Option<usize>,
}

impl Course {
    /// Returns the largest number of REGISTERs in one second.
    pub fn peak(&self) -> u32 {
        self.registers.iter().copied().max().unwrap_or(0)
    }

    /// Returns the number of all REGISTERs.
    pub fn total(&self) -> u64 {
        self.registers.iter().copied().map(u64::from).sum()
    }
}

enum Happens {
    Start,
    Timer,
    Up(FlowId),
    Down(FlowId),
    Bytes(FlowId, Box<[u8]>),
    NewCell,
    Hasty,
}

/// What the simulation notes about each device.
struct Device {
    agent: Option<Box<UserAgent>>,
    flow: Option<FlowId>,
    timer: u64,
    back: bool,
}

struct Fleet {
    at: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<(u64, u64, u32)>>,
    happenings: slab::Slab<Happens>,
    devices: Vec<Device>,
    gateway: Gateway,
    chance: Chance,
    patience: Patience,
    back: usize,
    course: Course,
}

/// Plays a disaster with `devices` devices. `heap` returns the currently allocated bytes.
pub fn play(devices: u32, disaster: Disaster, patience: Patience, heap: Option<&dyn Fn() -> usize>) -> Course {
    let before = heap.map(|heap| heap());
    let device = || Device { agent: None, flow: None, timer: u64::MAX, back: false };
    let mut fleet = Fleet {
        at: 0,
        serial: 0,
        queue: BinaryHeap::new(),
        happenings: slab::Slab::new(),
        devices: (0..devices).map(|_| device()).collect(),
        gateway: Gateway::new((devices / 50).max(1)),
        chance: Chance::new(u64::from(devices)),
        patience,
        back: 0,
        course: Course {
            registers: vec![0; (WATCHED / SECOND) as usize],
            back: [None; 3],
            bytes_per_device: None,
            resident_per_device: None,
        },
    };
    for index in 0..devices {
        fleet.run_until(STARTING * u64::from(index) / u64::from(devices));
        fleet.happens(index, Happens::Start);
    }
    fleet.run_until(DISASTER);
    // The queue's own memory belongs to the simulation, not to a device.
    let queue =
        fleet.happenings.capacity() * size_of::<Happens>() + fleet.queue.capacity() * size_of::<(u64, u64, u32)>();
    fleet.course.bytes_per_device = heap
        .zip(before)
        .map(|(heap, before)| heap().saturating_sub(before).saturating_sub(queue) / devices.max(1) as usize);
    fleet.course.resident_per_device = resident().map(|bytes| bytes / devices.max(1) as usize);
    fleet.strike(disaster);
    fleet.run_until(DISASTER + WATCHED);
    fleet.course
}

impl Fleet {
    fn strike(&mut self, disaster: Disaster) {
        for index in 0..self.devices.len() as u32 {
            self.devices[index as usize].back = false;
            match disaster {
                Disaster::GatewayRestart => {
                    if let Some(flow) = self.devices[index as usize].flow.take() {
                        self.later(1, index, Happens::Down(flow));
                    }
                }
                Disaster::CellChange => {
                    let delay = self.chance.between(0, 10 * SECOND);
                    self.later(delay, index, Happens::NewCell);
                }
            }
        }
        self.back = 0;
        if disaster == Disaster::GatewayRestart {
            self.gateway.restart(self.at + 30 * SECOND);
        }
    }

    fn later(&mut self, delay: u64, device: u32, what: Happens) {
        self.serial += 1;
        let slot = self.happenings.insert(what) as u32;
        self.queue.push(Reverse((self.at + delay, u64::from(device) << 32 | u64::from(slot), self.serial as u32)));
    }

    fn run_until(&mut self, until: u64) {
        while let Some(Reverse((at, which, _))) = self.queue.peek().copied()
            && at <= until
        {
            self.queue.pop();
            self.at = at;
            let (device, what) = ((which >> 32) as u32, self.happenings.remove(which as u32 as usize));
            self.happens(device, what);
        }
        self.at = until;
    }

    fn happens(&mut self, index: u32, what: Happens) {
        let now = Now::new(Duration::from_millis(self.at + 5000), Duration::from_millis(1_790_000_000_000 + self.at));
        let known = &mut self.devices[index as usize];
        if matches!(what, Happens::Start) {
            known.agent = Some(Box::new(started(index, &mut self.chance, now)));
        }
        let Some(agent) = &mut known.agent else { return };
        match what {
            Happens::Start => {}
            Happens::Timer => {
                if known.timer > self.at {
                    return;
                }
                known.timer = u64::MAX;
                agent.handle_timeout(now);
            }
            Happens::Up(flow) => {
                known.flow = Some(flow);
                agent.handle_flow_up(flow, SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + index), 40_000)), now);
            }
            Happens::Down(flow) => agent.handle_flow_down(flow, FlowError::Closed, now),
            Happens::Bytes(flow, bytes) => {
                if known.flow == Some(flow) {
                    agent.handle_input(flow, &bytes, now);
                }
            }
            Happens::NewCell => {
                known.flow = None;
                agent.network_changed(now);
            }
            Happens::Hasty => {
                if !known.back {
                    let key = key(agent);
                    agent.register(&key, now).expect("it was added");
                }
            }
        }
        self.drain(index);
    }

    fn drain(&mut self, index: u32) {
        loop {
            let known = &mut self.devices[index as usize];
            let Some(agent) = &mut known.agent else { return };
            let Some(output) = agent.poll_output() else { break };
            match output {
                Output::Open { flow, .. } => {
                    let delay = self.chance.between(20, 80);
                    let what = if self.gateway.is_down(self.at) { Happens::Down(flow) } else { Happens::Up(flow) };
                    self.later(delay, index, what);
                }
                Output::Close(flow) if known.flow == Some(flow) => known.flow = None,
                Output::Transmit { flow, bytes, .. } if known.flow == Some(flow) => {
                    if let Some(second) = self.at.checked_sub(DISASTER)
                        && let Some(count) = self.course.registers.get_mut((second / SECOND) as usize)
                    {
                        *count += 1;
                    }
                    if let Some(answer) = self.gateway.register(&bytes, self.at) {
                        let delay = self.chance.between(20, 80);
                        self.later(delay, index, Happens::Bytes(flow, answer));
                    }
                }
                Output::Event(event) => match *event {
                    Event::Registered { .. } if !known.back => {
                        known.back = true;
                        self.back += 1;
                        self.note_back();
                    }
                    Event::RegistrationFailed { .. } if self.patience == Patience::EverySecond => {
                        self.later(SECOND, index, Happens::Hasty);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        let known = &mut self.devices[index as usize];
        let wanted = known.agent.as_ref().and_then(|agent| agent.poll_timeout());
        let wanted =
            wanted.map_or(u64::MAX, |(boot, _)| (boot.as_nanos().div_ceil(1_000_000) as u64).saturating_sub(5000));
        // A device that is queued too early does no harm: it asks again.
        if wanted < known.timer && wanted < DISASTER + WATCHED {
            known.timer = wanted;
            self.later(wanted.saturating_sub(self.at), index, Happens::Timer);
        }
    }

    fn note_back(&mut self) {
        if self.at < DISASTER {
            return;
        }
        let seconds = (self.at - DISASTER).div_ceil(SECOND);
        for (share, slot) in [500, 990, 1000].into_iter().zip(&mut self.course.back) {
            if slot.is_none() && self.back * 1000 >= self.devices.len() * share {
                *slot = Some(seconds);
            }
        }
    }
}

fn user(index: u32) -> String {
    format!("user{index}")
}

fn key(agent: &UserAgent) -> AccountKey {
    agent.accounts().next().expect("each device has one account").key()
}

fn started(index: u32, chance: &mut Chance, now: Now) -> UserAgent {
    let mut config = AccountConfig::new(format!("sip:{}@example.com", user(index)), "open-sesame");
    config.transport = Some(Transport::Tcp);
    config.allow_cleartext_secrets = true;
    let account = Account::parse(config).expect("a good account");
    let push = Push::parse(PushConfig::new(Provider::Fcm, "app")).expect("good settings");
    let token = PushToken::parse(&Provider::Fcm, &format!("token-{index}:APA91bVerySecretIndeed"));
    let mut agent = UserAgent::new(chance.seed(), None, now);
    let key = agent.add_account(account, Some(push), None, now).expect("room for one");
    if let Ok(Some(token)) = token {
        agent.set_token(&key, token, now).expect("it was added");
    }
    agent.register(&key, now).expect("it was added");
    agent
}
