//! The one task that owns the core. It does what the core says, in the same order, and sleeps until something happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sipwake_core::clock::Now;
use sipwake_core::event::{Event, FlowId, Output};
use sipwake_core::judge::Gate;
use sipwake_core::snapshot::{Durability, RECORD, Record};
use sipwake_core::trace::redacted;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use zeroize::{Zeroize, Zeroizing};

use crate::clock::now;
use crate::job::{Agent, Job, Kept};
use crate::store::StateStore;
use crate::trace::Trace;
use crate::transport::{FlowEvent, FlowHandle, Happenings, Network, Up};

/// How many events of all flows may wait for the driver.
const HAPPENINGS: usize = 256;
/// The longest sleep. The timer stops while the device sleeps, and the core's boot time does not.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub(crate) struct Driver {
    pub(crate) agent: Agent,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) gate: Arc<ArcSwap<Gate>>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) trace: Option<Arc<dyn Trace>>,
    pub(crate) network: Arc<Network>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) stop: Arc<Notify>,
    /// Dropped when the last flow is closed.
    pub(crate) running: watch::Sender<()>,
}

type Flows = HashMap<FlowId, FlowHandle>;

/// Reads a record that could not be read before.
fn load(agent: &mut Agent, store: &dyn StateStore, key: &str, now: Now) {
    match store.load(key) {
        Ok(record) => {
            let record = record.map(Zeroizing::new);
            agent.handle_loaded(key, Ok(record.as_ref().map(|record| record.as_slice())), now);
        }
        Err(error) => agent.handle_loaded(key, Err(error.into()), now),
    }
}

impl Driver {
    /// Runs until the last handle is dropped or one of them asks for the end. Then the flows send their queues and
    /// close.
    pub(crate) async fn run(mut self) {
        let (sender, mut happenings) = mpsc::channel(HAPPENINGS);
        let mut flows = Flows::default();
        self.agent.trace_received(self.trace.is_some());
        loop {
            self.drain(&mut flows, &sender);
            let wait = self.agent.poll_timeout().map(|(at, _)| at.saturating_sub(now().boot).min(LONGEST_SLEEP));
            tokio::select! {
                job = self.jobs.recv() => {
                    let Some(Job { work, done }) = job else { break };
                    let result = work(&mut self.agent, &*self.store, now());
                    self.drain(&mut flows, &sender);
                    // An account that was only added has caused no event yet, but a push may already be for it.
                    self.gate.store(Arc::new(self.agent.gate()));
                    if let Some(done) = done {
                        // The caller may have stopped waiting. The work is done anyway.
                        let kept = if self.agent.is_durable() { Kept::Durable } else { Kept::NotYetDurable };
                        let _ = done.send(result.map(|()| kept));
                    }
                }
                // Queued jobs are still done. Then the queue ends.
                () = self.stop.notified() => self.jobs.close(),
                Some((flow, happening)) = happenings.recv() => self.happened(flow, happening, &mut flows),
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    self.agent.handle_timeout(now());
                }
            }
        }
        drop((flows, sender));
        // Each flow holds a sender until its socket is closed. Its last events are of no interest.
        while happenings.recv().await.is_some() {}
        // A caller who waits for the end may open the store right after it.
        let Self { running, store, .. } = self;
        drop(store);
        drop(running);
    }

    fn happened(&mut self, flow: FlowId, happening: FlowEvent, flows: &mut Flows) {
        // Events from before the flow was closed may still be in the queue.
        if !flows.contains_key(&flow) {
            return;
        }
        match happening {
            FlowEvent::Up(Up { local, leads_on, left }) => {
                self.agent.handle_flow_leads_on(flow, leads_on);
                if let Some((left, handle)) = left {
                    flows.insert(left, handle);
                    self.agent.handle_flow_left(flow, left, now());
                }
                self.agent.handle_flow_up(flow, local, now());
            }
            FlowEvent::Chosen(transport) => self.agent.handle_flow_transport(flow, transport),
            FlowEvent::Input(bytes) => self.agent.handle_input(flow, &bytes, now()),
            FlowEvent::Stranger(source, bytes) => self.agent.handle_stranger(flow, source, &bytes, now()),
            FlowEvent::Down(error) => {
                flows.remove(&flow);
                self.agent.handle_flow_down(flow, error, now());
            }
        }
    }

    fn drain(&mut self, flows: &mut Flows, happenings: &Happenings) {
        let mut changed = false;
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Save(record) => {
                    self.save(record);
                    changed = true;
                }
                Output::Load(key) => {
                    load(&mut self.agent, &*self.store, &key, now());
                    changed = true;
                }
                Output::Open { flow, hop, local_port } => {
                    let handle = FlowHandle::open(flow, hop, local_port, self.network.clone(), happenings.clone());
                    flows.insert(flow, handle);
                }
                Output::Close(flow) => drop(flows.remove(&flow)),
                Output::NextAddress(flow) => {
                    if let Some(flow) = flows.get(&flow) {
                        flow.next_address();
                    }
                }
                Output::HearPeers { flow, wanted } => {
                    if let Some(flow) = flows.get(&flow) {
                        flow.hear_peers(wanted);
                    }
                }
                Output::Transmit { flow, to, bytes, .. } => {
                    self.trace(true, flow, &bytes);
                    if let Some(handle) = flows.get(&flow) {
                        handle.send_to(bytes, to);
                    }
                }
                Output::Received { flow, bytes, .. } => self.trace(false, flow, &bytes),
                Output::Event(event) => {
                    changed = true;
                    // The gate comes first. After the app knows that a call has ended, its late push must not ring.
                    self.gate.store(Arc::new(self.agent.gate()));
                    let _ = self.events.send(*event);
                }
            }
        }
        // This comes last. Nothing waits for it, and a failure only loses this record.
        if let Some(record) = self.agent.poll_record()
            && let Err(error) = self.store.save_progress(RECORD, &record)
        {
            log::debug!("the black box is not stored: {error}");
        }
        if changed {
            self.gate.store(Arc::new(self.agent.gate()));
        }
    }

    fn save(&mut self, mut record: Record) {
        let result = match &record.bytes {
            Some(bytes) if record.durability == Durability::Progress => self.store.save_progress(&record.key, bytes),
            Some(bytes) => self.store.save(&record.key, bytes),
            None => self.store.remove(&record.key),
        };
        record.bytes.zeroize();
        self.agent.handle_saved(record.id, result.map_err(|error| error.to_string()), now());
    }

    fn trace(&self, sent: bool, flow: FlowId, bytes: &[u8]) {
        if let Some(trace) = &self.trace {
            trace.message(sent, flow.0, &redacted(bytes));
        }
    }
}
