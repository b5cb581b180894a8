//! A driver written from the contract of `user_agent` alone: it does each output once, in order, and asks nothing back.
//! Its store answers at once or, as a browser's would, later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::clock::Now;
use sipwake_core::event::{Event, FlowId, Output};
use sipwake_core::snapshot::{REMOVALS, Record};
use sipwake_core::user_agent::UserAgent;

pub(crate) struct Driver {
    pub(crate) agent: UserAgent,
    pub(crate) now: Now,
    /// Records as they are stored.
    pub(crate) store: BTreeMap<String, Vec<u8>>,
    /// Records that an asynchronous store was given and has not stored.
    pub(crate) storing: VecDeque<Record>,
    pub(crate) sent: Vec<(FlowId, String)>,
    pub(crate) events: Vec<Event>,
    pub(crate) received: Vec<String>,
    asynchronous: bool,
    open: BTreeSet<FlowId>,
}

impl Driver {
    pub(crate) fn new(store: BTreeMap<String, Vec<u8>>, asynchronous: bool) -> Self {
        let now = Now::new(Duration::from_secs(1000), Duration::from_secs(1_800_000_000));
        let mut agent = UserAgent::new([7; 32], store.get(REMOVALS).map(Vec::as_slice), now);
        agent.hold_until_saved(asynchronous);
        agent.trace_received(true);
        let mut driver = Self {
            agent,
            now,
            store,
            storing: VecDeque::new(),
            sent: Vec::new(),
            events: Vec::new(),
            received: Vec::new(),
            asynchronous,
            open: BTreeSet::new(),
        };
        driver.drain();
        driver
    }

    /// Does what the client says, until it says nothing more for now.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Save(record) if self.asynchronous => self.storing.push_back(record),
                Output::Save(record) => self.save(record),
                Output::Load(key) => {
                    let record = self.store.get(&key).map(Vec::as_slice);
                    self.agent.handle_loaded(&key, Ok(record), self.now);
                }
                Output::Open { flow, .. } => {
                    self.open.insert(flow);
                    self.agent.handle_flow_up(flow, SocketAddr::from(([192, 0, 2, 10], 5070)), self.now);
                }
                Output::Close(flow) => drop(self.open.remove(&flow)),
                Output::Transmit { flow, to, bytes, .. } => {
                    assert!(self.open.contains(&flow) && to.is_none(), "on a flow that is open");
                    self.sent.push((flow, String::from_utf8(bytes).expect("text")));
                }
                Output::Received { bytes, .. } => self.received.push(String::from_utf8(bytes).expect("text")),
                Output::NextAddress(_) | Output::HearPeers { .. } => {}
                Output::Event(event) => self.events.push(*event),
            }
        }
    }

    fn save(&mut self, record: Record) {
        match record.bytes {
            Some(bytes) => self.store.insert(record.key, bytes),
            None => self.store.remove(&record.key),
        };
        self.agent.handle_saved(record.id, Ok(()), self.now);
    }

    /// The asynchronous store has done all that it was asked, and what that sets free.
    pub(crate) fn store_all(&mut self) {
        while let Some(record) = self.storing.pop_front() {
            self.save(record);
            self.drain();
        }
    }

    /// The asynchronous store refuses what it was asked.
    pub(crate) fn refuse(&mut self) {
        let record = self.storing.pop_front().expect("something is to be stored");
        self.agent.handle_saved(record.id, Err("quota exceeded".to_owned()), self.now);
        self.drain();
    }

    pub(crate) fn input(&mut self, flow: FlowId, text: &str) {
        self.agent.handle_input(flow, text.as_bytes(), self.now);
        self.drain();
    }

    /// Lets time pass, every timer on its time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some((at, _)) = self.agent.poll_timeout().filter(|(at, _)| *at <= end.boot) {
            self.now = self.now.after(at.saturating_sub(self.now.boot));
            self.agent.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Answers the last request, which it returns.
    pub(crate) fn answer(&mut self, status: &str, headers: &str) -> String {
        let (flow, request) = self.sent.pop().expect("a request was sent");
        let copied: String = request
            .split("\r\n")
            .filter(|line| ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "].iter().any(|name| line.starts_with(name)))
            .map(|line| format!("{line}\r\n"))
            .collect();
        self.input(flow, &format!("SIP/2.0 {status}\r\n{copied}{headers}Content-Length: 0\r\n\r\n"));
        request
    }
}
