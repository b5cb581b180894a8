//! What all parts write to: the queue of outputs, the randomness, and the ids of flows and saves.

use std::collections::VecDeque;
use std::net::SocketAddr;

use uuid::Uuid;

use crate::account::{AccountKey, Transport};
use crate::clock::Now;
use crate::event::{Discard, Event, FlowId, Output};
use crate::random::Random;
use crate::record::{Decision, Recorder};
use crate::snapshot::{Durability, REMOVALS, Record, Removals, SaveId, StoredLogout};
use crate::trust::Warning;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) flow: FlowId,
    pub(crate) transport: Transport,
    /// Over UDP, the address of another peer than the flow's.
    pub(crate) to: Option<SocketAddr>,
}

pub(crate) struct Outbox {
    random: Random,
    outputs: VecDeque<Output>,
    next_flow: u64,
    next_save: u64,
    discarded: Vec<(Discard, u64)>,
    /// The unconfirmed log-outs and the users who logged out, in the form that is stored.
    removals: Removals,
    recorder: Recorder,
}

impl Outbox {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            recorder: Recorder::new(random.key_for("record")),
            random,
            outputs: VecDeque::new(),
            next_flow: 1,
            next_save: 1,
            discarded: Vec::new(),
            removals: Removals::default(),
        }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn transmit(&mut self, destination: Destination, bytes: Vec<u8>) {
        let Destination { flow, transport, to } = destination;
        self.push(Output::Transmit { flow, transport, to, bytes });
    }

    /// Stores a record before anything that is pushed after it. `None` removes it.
    pub(crate) fn save(&mut self, key: String, bytes: Option<Vec<u8>>, durability: Durability) {
        let id = SaveId(self.next_save);
        self.next_save += 1;
        self.push(Output::Save(Record { id, key, bytes, durability }));
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.recorder.event(&event);
        self.push(Output::Event(Box::new(event)));
    }

    /// Warns the app of something from the network that was refused or may be forged.
    pub(crate) fn warn(&mut self, account: &AccountKey, warning: Warning) {
        log::warn!("{account}: {warning}");
        self.tell(Event::Warning { account: account.clone(), warning });
    }

    /// Counts what was dropped. The app is told at 1, 2, 4, 8, …, so that a flood from outside is not a flood of
    /// events.
    pub(crate) fn discard(&mut self, reason: Discard) {
        let index = self.discarded.iter().position(|(known, _)| *known == reason).unwrap_or_else(|| {
            self.discarded.push((reason, 0));
            self.discarded.len() - 1
        });
        let count = &mut self.discarded[index].1;
        *count += 1;
        if count.is_power_of_two() {
            let count = *count;
            self.tell(Event::Discarded { reason, count });
        }
    }

    /// Returns the next output.
    pub(crate) fn pop(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A client is idle most of the time, so it gives the memory back.
            self.outputs = VecDeque::new();
            self.random.rest();
        }
        output
    }

    /// Returns an id that no flow had before.
    pub(crate) fn flow_id(&mut self) -> FlowId {
        let flow = FlowId(self.next_flow);
        self.next_flow += 1;
        flow
    }

    /// Records a decision about an account.
    pub(crate) fn note(&mut self, account: &AccountKey, decision: Decision) {
        self.recorder.write(Some(account), None, decision);
    }

    /// Records a decision about a call.
    pub(crate) fn note_call(&mut self, account: Option<&AccountKey>, call: Uuid, decision: Decision) {
        self.recorder.write(account, Some(call), decision);
    }

    /// Sets the current time.
    pub(crate) fn at(&mut self, now: Now) {
        self.recorder.at(now);
    }

    pub(crate) fn recorded(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Returns an unguessable token, for a tag or a cnonce.
    pub(crate) fn token(&mut self) -> String {
        self.random.token()
    }

    /// Returns a branch for a new transaction (RFC 3261 section 8.1.1.7).
    pub(crate) fn branch(&mut self) -> String {
        ["z9hG4bK", &self.token()].concat()
    }

    pub(crate) fn removals(&self) -> &Removals {
        &self.removals
    }

    pub(crate) fn removals_mut(&mut self) -> &mut Removals {
        &mut self.removals
    }

    /// Stores the pending log-outs after adding or changing this one. `None` means that it was delivered.
    pub(crate) fn save_removal(&mut self, key: &AccountKey, removal: Option<StoredLogout>, durability: Durability) {
        match removal {
            Some(removal) => self.removals.insert(key.clone(), removal),
            None => self.removals.remove(key),
        };
        self.save_removals(durability);
    }

    pub(crate) fn save_removals(&mut self, durability: Durability) {
        self.save(REMOVALS.to_owned(), self.removals.seal(), durability);
    }
}
