//! A driver written only from the contract of `user_agent`: it does each output once, in order, and asks nothing back. All
//! stories of the core run on it. Each harness describes its device.

#![allow(dead_code, reason = "each harness uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::account::{Hop, Transport};
use sipwake_core::clock::Now;
use sipwake_core::event::{Event, FlowId, Output};
use sipwake_core::snapshot::{Record, SaveId};
use sipwake_core::user_agent::Unreadable;

pub(crate) use agent::Agent;

mod agent;

/// How many timers may fire within one step of time.
const MAX_TIMERS: usize = 100_000;

/// What a device does for its client.
pub(crate) trait Driver {
    fn parts(&mut self) -> (&mut Agent, &mut Now);

    /// Stores a record and reports the result, at once or later.
    fn save(&mut self, record: Record);
    fn load(&mut self, key: &str) -> Result<Option<Vec<u8>>, Unreadable>;
    fn open(&mut self, flow: FlowId, hop: Hop, local_port: Option<u16>);
    fn close(&mut self, flow: FlowId);
    fn transmit(&mut self, sent: Transmit);
    fn tell(&mut self, event: Event);

    /// The client wants to try the next address of the server.
    fn next_address(&mut self, _: FlowId) {}
    /// A message came in and can be traced.
    fn received(&mut self, _: String) {}

    /// Does what the client asks for, until it asks for nothing more.
    fn perform(&mut self) {
        while let Some(output) = self.parts().0.poll_output() {
            match output {
                Output::Save(record) => self.save(record),
                Output::Load(key) => {
                    let record = self.load(&key);
                    let (agent, now) = self.parts();
                    agent.handle_loaded(
                        &key,
                        record.as_ref().map(|found| found.as_deref()).map_err(Clone::clone),
                        *now,
                    );
                }
                Output::Open { flow, hop, local_port } => self.open(flow, hop, local_port),
                Output::Close(flow) => self.close(flow),
                Output::NextAddress(flow) => self.next_address(flow),
                Output::HearPeers { .. } => {}
                Output::Transmit { flow, transport, to, bytes } => {
                    let text = String::from_utf8(bytes).expect("the client writes UTF-8");
                    self.transmit(Transmit { flow, transport, to, text });
                }
                Output::Received { bytes, .. } => self.received(String::from_utf8_lossy(&bytes).into_owned()),
                Output::Event(event) => self.tell(*event),
            }
        }
    }

    /// Reports whether a record was stored.
    fn saved(&mut self, record: SaveId, result: Result<(), String>) {
        let (agent, now) = self.parts();
        agent.handle_saved(record, result, *now);
    }

    /// Lets time pass. Each timer fires at its time.
    fn run(&mut self, time: Duration) {
        let end = self.parts().1.after(time);
        for _ in 0..MAX_TIMERS {
            let (agent, now) = self.parts();
            let Some((at, _)) = agent.poll_timeout().filter(|(at, _)| *at <= end.boot) else {
                *now = end;
                return;
            };
            *now = now.after(at.saturating_sub(now.boot));
            agent.handle_timeout(*now);
            self.perform();
        }
        panic!("the timers fire without end: {:?}", self.parts().0.poll_timeout());
    }
}

/// A message to be sent.
pub(crate) struct Transmit {
    pub(crate) flow: FlowId,
    pub(crate) transport: Transport,
    /// Over UDP: an address that is not the flow's peer.
    pub(crate) to: Option<SocketAddr>,
    pub(crate) text: String,
}
