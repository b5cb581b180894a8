//! Random orders of pushes, tokens, networks, responses and kills: what must hold after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use sipwake_core::account::{Account, AccountKey};
use sipwake_core::clock::Now;
use sipwake_core::event::{Event, FlowError, FlowId, Output};
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::push::{Dialects, Provider, Push, PushConfig};
use sipwake_core::snapshot::{CALLS, REMOVALS, binding_key};

use crate::incoming::{CALL, invite};
use crate::support::Agent;
use crate::support::{LOCAL, START, Sent, account, fcm, response, seconds};

#[derive(Debug, Clone)]
enum Step {
    Register,
    Token(u8),
    Unbind,
    LogOut,
    Add,
    Push(u8),
    Network,
    FlowUp,
    FlowDown,
    /// A server's response to the oldest request that has none.
    Answer(u8),
    Invite(u8),
    Garbage(Vec<u8>),
    Timer,
    Sleep(u32),
    WallJumps(u32),
    /// The process is killed after this many further outputs.
    Kill(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Register),
        2 => (0u8..3).prop_map(Step::Token),
        1 => Just(Step::Unbind),
        1 => Just(Step::LogOut),
        1 => Just(Step::Add),
        3 => (0u8..4).prop_map(Step::Push),
        1 => Just(Step::Network),
        4 => Just(Step::FlowUp),
        1 => Just(Step::FlowDown),
        8 => (0u8..18).prop_map(Step::Answer),
        2 => (0u8..3).prop_map(Step::Invite),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
        3 => Just(Step::Timer),
        2 => (0u32..8000).prop_map(Step::Sleep),
        1 => any::<u32>().prop_map(Step::WallJumps),
        1 => (0u8..4).prop_map(Step::Kill),
    ]
}

struct World {
    agent: Agent,
    now: Now,
    key: AccountKey,
    store: BTreeMap<String, Vec<u8>>,
    up: BTreeSet<FlowId>,
    opening: BTreeSet<FlowId>,
    open: VecDeque<Sent>,
    /// (Call-ID, CSeq) and the text of every request; the text tells a retransmission from a reused number.
    used: BTreeMap<(String, u32), String>,
    counts: BTreeMap<String, u32>,
    /// The request without a final response, and when it was sent.
    in_flight: Option<((String, u32), Duration)>,
    present: bool,
    /// How many outputs are still done before the process is killed.
    until_kill: Option<u8>,
    seed: u8,
    nonce: u32,
}

fn push_settings() -> PushConfig {
    let mut config = PushConfig::new(Provider::Fcm, "com.example.app");
    config.dialects = Dialects::Auto;
    config
}

impl World {
    fn new() -> Self {
        let key = Account::parse(account(|_| {})).expect("valid").key();
        Self {
            agent: Agent::new([0; 32], None, START),
            now: START,
            key,
            store: BTreeMap::new(),
            up: BTreeSet::new(),
            opening: BTreeSet::new(),
            open: VecDeque::new(),
            used: BTreeMap::new(),
            counts: BTreeMap::new(),
            in_flight: None,
            present: false,
            until_kill: None,
            seed: 0,
            nonce: 0,
        }
    }

    fn add(&mut self) {
        let account = Account::parse(account(|config| config.allow_cleartext_secrets = true)).expect("valid");
        let push = Push::parse(push_settings()).expect("valid");
        let record = self.store.get(&binding_key(&self.key)).cloned();
        self.agent.add_account(account, Some(push), record.as_deref(), self.now).expect("one account");
        self.present = true;
    }

    fn restart(&mut self) {
        self.until_kill = None;
        self.seed += 1;
        self.agent = Agent::new([self.seed; 32], self.store.get(REMOVALS).map(Vec::as_slice), self.now);
        let calls = self.store.get(CALLS).map(Vec::as_slice);
        self.agent.handle_loaded(CALLS, Ok(calls), self.now);
        self.up.clear();
        self.opening.clear();
        self.open.clear();
        self.in_flight = None;
        self.present = false;
        if self.store.contains_key(&binding_key(&self.key)) && !self.store.contains_key(REMOVALS) {
            self.add();
        }
    }

    fn drain(&mut self) -> Result<(), TestCaseError> {
        let mut outputs = 0;
        while let Some(output) = self.agent.poll_output() {
            outputs += 1;
            prop_assert!(outputs < 40, "one input leads to few outputs");
            match &mut self.until_kill {
                Some(0) => {
                    self.restart();
                    continue;
                }
                Some(left) => *left -= 1,
                None => {}
            }
            self.perform(output)?;
        }
        Ok(())
    }

    fn perform(&mut self, output: Output) -> Result<(), TestCaseError> {
        match output {
            Output::Save(record) => {
                match record.bytes {
                    Some(bytes) => {
                        prop_assert!(bytes.len() < 32 * 1024, "a record of {} bytes", bytes.len());
                        self.store.insert(record.key, bytes)
                    }
                    None => self.store.remove(&record.key),
                };
            }
            Output::Open { flow, .. } => {
                prop_assert!(self.up.is_empty() && self.opening.is_empty(), "one flow at a time");
                self.opening.insert(flow);
            }
            Output::Close(flow) => {
                prop_assert!(self.up.remove(&flow) | self.opening.remove(&flow), "it closed an open flow");
                // There is one flow: a request on the old one gets no response any more.
                self.flow_gone();
            }
            Output::NextAddress(_) | Output::HearPeers { .. } | Output::Load(_) => {}
            Output::Transmit { flow, bytes, .. } => {
                prop_assert!(self.up.contains(&flow), "sent on a flow that is not up");
                let sent = Sent { flow, text: String::from_utf8(bytes).expect("UTF-8") };
                if sent.is_register() {
                    self.take_register(sent)?;
                }
            }
            Output::Received { .. } => {}
            Output::Event(event) => {
                if matches!(*event, Event::LoggedOut { .. }) {
                    prop_assert!(!self.present, "it knows only who logged out");
                    // The name of a user who left stays, and nothing that is secret.
                    let record = self.store.get(REMOVALS).map(|record| String::from_utf8_lossy(record).into_owned());
                    prop_assert!(self.store.keys().all(|key| key == REMOVALS), "{:?}", self.store.keys());
                    prop_assert!(record.is_none_or(|record| record.contains("\"pending\":{}")), "a log-out is left");
                }
            }
        }
        Ok(())
    }

    fn take_register(&mut self, sent: Sent) -> Result<(), TestCaseError> {
        let id = (sent.header("Call-ID").unwrap_or_default().to_owned(), sent.cseq());
        if let Some(known) = self.used.get(&id) {
            prop_assert_eq!(known, &sent.text, "a CSeq is used once, except in retransmissions");
            return Ok(());
        }
        let former = self.used.keys().filter(|(call_id, _)| *call_id == id.0).map(|(_, cseq)| *cseq).max();
        prop_assert!(former.is_none_or(|former| former < id.1), "the CSeq grows");
        prop_assert!(self.in_flight.is_none(), "two REGISTERs in flight: {:?} and {sent:?}", self.in_flight);
        if let (Some(nonce), Some(nc)) = (sent.auth("nonce"), sent.auth("nc")) {
            let nc = u32::from_str_radix(nc, 16).expect("hexadecimal");
            let former = self.counts.insert(nonce.to_owned(), nc).unwrap_or_default();
            prop_assert!(nc > former, "a nonce count is used once: {nc} after {former}");
        }
        prop_assert!(sent.headers("Contact").len() <= 11, "the former Contacts are bounded");
        // A user who stays keeps a binding. The old Contact may be removed before the new one is bound.
        let records =
            if self.present { vec![binding_key(&self.key), REMOVALS.to_owned()] } else { vec![REMOVALS.to_owned()] };
        let stored = records
            .iter()
            .filter_map(|record| self.store.get(record))
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .find(|stored| stored.contains(&id.0));
        prop_assert!(stored.is_some(), "it must be stored before it is sent");
        if sent.header("Expires") != Some("0") {
            prop_assert!(
                stored.is_some_and(|stored| stored.contains(sent.contact_uri())),
                "the Contact is stored before the server hears of it"
            );
        }
        self.used.insert(id.clone(), sent.text.clone());
        self.in_flight = Some((id, self.now.boot));
        self.open.push_back(sent);
        self.open.truncate(8);
        Ok(())
    }

    fn answer(&mut self, kind: u8) {
        let Some(request) = self.open.pop_front() else { return };
        if !self.up.contains(&request.flow) {
            return;
        }
        self.nonce += 1;
        let challenge =
            |more: &str| format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"n{}\", qop=\"auth\"{more}", self.nonce);
        // No server repeats a nonce that was used long ago.
        let first = format!("first{}", self.nonce);
        let again = request.auth("nonce").unwrap_or(&first);
        let same = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{again}\", qop=\"auth\", stale=true");
        let next = format!("Authentication-Info: nextnonce=\"next{}\"", self.nonce);
        let ours = format!("Contact: {};expires=3600", request.contact());
        let all: Vec<String> =
            request.headers("Contact").iter().map(|contact| format!("Contact: {contact};expires=500")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let rewritten = ours.replace("192.0.2.10", "203.0.113.9");
        let text = match kind {
            0..=4 => response(&request, 200, "OK", &[&ours]),
            5 => response(&request, 200, "OK", &[&ours, &next]),
            6 => response(&request, 200, "OK", &all),
            7 => response(&request, 200, "OK", &[]),
            8 => response(&request, 200, "OK", &[&rewritten, "Feature-Caps: +sip.pns=\"fcm\""]),
            9 => response(&request, 401, "Unauthorized", &[&challenge("")]),
            10 => response(&request, 401, "Unauthorized", &[&same]),
            11 => response(&request, 401, "Unauthorized", &[&challenge(", stale=true")]),
            12 => response(&request, 423, "Interval Too Brief", &["Min-Expires: 7200"]),
            13 => response(&request, 302, "Moved", &["Contact: <sip:other.example.com;transport=tcp>"]),
            14 => response(&request, 555, "Push Notification Service Not Supported", &[]),
            15 => response(&request, 503, "Service Unavailable", &["Retry-After: 30"]),
            16 => response(&request, 400, "Bad Request", &[]),
            _ => response(&request, 404, "Not Found", &[]),
        };
        self.in_flight = None;
        let flow = request.flow;
        self.agent.handle_input(flow, text.as_bytes(), self.now);
    }

    fn flow_gone(&mut self) {
        self.in_flight = None;
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Register => _ = self.agent.register(&self.key, self.now),
            Step::Token(which) => _ = self.agent.set_token(&self.key, fcm(&format!("a:{which}")), self.now),
            Step::Unbind => _ = self.agent.unbind_push(&self.key, self.now),
            Step::LogOut => {
                self.present = false;
                let _ = self.agent.log_out(&self.key, self.now);
            }
            Step::Add => self.add(),
            Step::Push(which) => {
                let json = match which {
                    0 => CALL,
                    1 => r#"{"ntype":"2","nfrom":"1234","ncallid":"call-1"}"#,
                    2 => r#"{"ntype":"4"}"#,
                    _ => "{}",
                };
                let hints = Hints::at(self.now);
                let action = parse_push(json, Channel::FcmAndroid, &hints);
                let action = self.agent.gate().judge(action, &hints, self.now.boot);
                self.agent.handle_push(&action, self.now);
            }
            Step::Network => self.agent.network_changed(self.now),
            Step::FlowUp => {
                for flow in std::mem::take(&mut self.opening) {
                    self.up.insert(flow);
                    self.agent.handle_flow_up(flow, LOCAL.parse().expect("an address"), self.now);
                }
            }
            Step::FlowDown => {
                let Some(flow) = self.up.pop_first().or_else(|| self.opening.pop_first()) else { return Ok(()) };
                self.flow_gone();
                self.agent.handle_flow_down(flow, FlowError::Closed, self.now);
            }
            Step::Answer(kind) => self.answer(kind),
            Step::Invite(which) => {
                if let Some(flow) = self.up.first().copied() {
                    self.agent.handle_input(flow, invite(&format!("call-{which}"), "1234").as_bytes(), self.now);
                }
            }
            Step::Garbage(bytes) => {
                if let Some(flow) = self.up.first().copied() {
                    self.agent.handle_input(flow, &bytes, self.now);
                }
            }
            Step::Timer => {
                if let Some((at, _)) = self.agent.poll_timeout() {
                    self.pass(at.saturating_sub(self.now.boot));
                }
            }
            Step::Sleep(length) => self.pass(seconds(u64::from(length))),
            Step::WallJumps(to) => self.now.wall = seconds(u64::from(to)),
            Step::Kill(after) => self.until_kill = Some(after),
        }
        self.drain()
    }

    /// Timer F gives the request up. Only then may another one go out.
    fn pass(&mut self, by: Duration) {
        self.now = self.now.after(by);
        if self.in_flight.as_ref().is_some_and(|(_, since)| self.now.boot >= *since + seconds(32)) {
            self.in_flight = None;
        }
        self.agent.handle_timeout(self.now);
    }

    /// Lets a well-behaved server answer everything until no request is open. Then a day must pass in which only
    /// refreshes are sent.
    fn rest(&mut self) -> Result<(), TestCaseError> {
        self.until_kill = None;
        let mut sent_in_a_day = 0;
        let end = self.now.boot + seconds(2 * 86_400);
        let quiet = self.now.boot + seconds(86_400);
        let mut turns = 0;
        while self.now.boot < end {
            turns += 1;
            prop_assert!(turns < 20_000, "the timers fire again and again: {:?}", self.agent.poll_timeout());
            if !self.opening.is_empty() {
                self.take(Step::FlowUp)?;
            } else if !self.open.is_empty() {
                if self.now.boot >= quiet {
                    sent_in_a_day += 1;
                }
                self.take(Step::Answer(0))?;
            } else if let Some((at, _)) = self.agent.poll_timeout() {
                self.pass(at.saturating_sub(self.now.boot).min(seconds(86_400)));
                self.drain()?;
            } else {
                break;
            }
        }
        // The lifetime is an hour, and the first ones may have been shorter: one refresh each.
        prop_assert!(sent_in_a_day <= 30, "{sent_in_a_day} in a quiet day");
        Ok(())
    }
}

proptest! {
    #[test]
    fn in_every_random_life_one_register_is_in_flight_and_no_number_is_used_twice(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        world.add();
        world.drain()?;
        for step in steps {
            world.take(step)?;
        }
        world.rest()?;
    }
}

#[test]
fn an_idle_client_sends_nothing_for_a_day_if_no_refresh_is_due() {
    let mut stage = crate::support::Stage::rfc8599();
    let first = stage.register();
    let contact = format!("Contact: {};expires=172800", first.contact());
    stage.reply(&first, 200, &[&contact]);
    stage.advance(seconds(86_400));
    stage.silent();
    assert_eq!(stage.keep_alives, 0);
}
