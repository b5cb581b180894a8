//! The client beside another SIP stack. The test plays that stack and its registrar: it sends what the companion asks for, and
//! passes on each response.

mod calls;
mod leaving;
mod matching;
mod random_life;
mod registering;
mod strange;

use std::collections::BTreeMap;

use sipwake_core::account::{Account, AccountConfig, AccountKey};
use sipwake_core::beside::{Answer, Companion, Heard, Output, Register};
use sipwake_core::clock::Now;
use sipwake_core::event::{CallChange, Event};
use sipwake_core::payload::{Channel, Hints, PushAction};
use sipwake_core::push::{Provider, Push, PushConfig};
use sipwake_core::snapshot::{CALLS, REMOVALS, binding_key};
use uuid::Uuid;

use crate::support::{START, seconds};

pub(crate) const TOKEN: &str = "c-10:APA91bExample";
/// The other stack's own Contact.
pub(crate) const STACK: &str = "sip:alice-x7@10.0.0.2:40112;ob";

/// A companion, its store, and what it asked the stack for.
pub(crate) struct Beside {
    pub(crate) companion: Companion,
    pub(crate) key: AccountKey,
    pub(crate) now: Now,
    pub(crate) store: BTreeMap<String, Vec<u8>>,
    pub(crate) events: Vec<Event>,
    /// How often it asked the stack to register.
    pub(crate) asked: usize,
    pub(crate) refused: Vec<(Uuid, u16)>,
    processes: u8,
    account: AccountConfig,
    push: PushConfig,
}

pub(crate) fn config() -> AccountConfig {
    AccountConfig::new("sip:alice@example.com", "wonderland")
}

impl Beside {
    /// An account with a token. Nothing was sent for it yet.
    pub(crate) fn new(change: impl FnOnce(&mut AccountConfig, &mut PushConfig)) -> Self {
        let (mut account, mut push) = (config(), PushConfig::new(Provider::Fcm, "my-project"));
        change(&mut account, &mut push);
        let key = Account::parse(account.clone()).expect("valid").key();
        let mut beside = Self {
            companion: Companion::new([1; 32], None, START),
            key,
            now: START,
            store: BTreeMap::new(),
            events: Vec::new(),
            asked: 0,
            refused: Vec::new(),
            processes: 1,
            account,
            push,
        };
        beside.log_in();
        beside.token(TOKEN);
        beside
    }

    /// A registered account. The stack's Contact is known.
    pub(crate) fn bound() -> Self {
        let mut beside = Self::new(|_, _| {});
        beside.bind();
        beside.events.clear();
        beside
    }

    /// Adds the account, or adds it again.
    pub(crate) fn log_in(&mut self) {
        let stored = self.store.get(&binding_key(&self.key)).cloned();
        let account = Account::parse(self.account.clone()).expect("valid");
        let push = Push::parse(self.push.clone()).expect("valid");
        self.companion.add_account(account, Some(push), stored.as_deref(), self.now).expect("room");
        self.drain();
    }

    pub(crate) fn token(&mut self, token: &str) {
        let push = Push::parse(self.push.clone()).expect("valid");
        let token = push.parse_token(Some(token), None).expect("valid").expect("a token");
        self.companion.set_token(&self.key, token, self.now).expect("known");
        self.drain();
    }

    pub(crate) fn tags(&mut self) -> Register {
        let register = self.companion.register_tags(&self.key, self.now).expect("something to send");
        self.drain();
        register
    }

    pub(crate) fn hear(&mut self, status: u16, headers: &[(&str, &str)]) -> Answer {
        self.hear_all(&Heard::new(status, headers))
    }

    pub(crate) fn hear_all(&mut self, heard: &Heard<'_>) -> Answer {
        let answer = self.companion.heard(&self.key, heard, self.now).expect("taken");
        self.drain();
        answer
    }

    /// Registers. The registrar accepts and lists the Contact that was sent.
    pub(crate) fn bind(&mut self) -> (Register, Answer) {
        let register = self.tags();
        let contact = listed(&register, STACK);
        let answer = self.hear(200, &[("Contact", &contact), ("Expires", "3600")]);
        (register, answer)
    }

    pub(crate) fn push(&mut self, json: &str) -> PushAction {
        let action = self.companion.push(json, Channel::FcmAndroid, &Hints::at(self.now));
        self.drain();
        action
    }

    pub(crate) fn advance(&mut self, time: u64) {
        self.now = self.now.after(seconds(time));
        self.companion.handle_timeout(self.now);
        self.drain();
    }

    /// Does everything that the companion asks for.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.companion.poll_output() {
            match output {
                Output::Save(record) => {
                    match record.bytes {
                        Some(bytes) => self.store.insert(record.key, bytes),
                        None => self.store.remove(&record.key),
                    };
                    self.companion.handle_saved(record.id, Ok(()), self.now);
                }
                Output::Register(account) => {
                    assert_eq!(account, self.key);
                    self.asked += 1;
                }
                Output::Refuse { call, status } => self.refused.push((call, status)),
                Output::Event(event) => self.events.push(*event),
                Output::Load(_) => {}
            }
        }
    }

    /// Kills the process and starts another one a minute later.
    pub(crate) fn restart(&mut self) {
        self.processes += 1;
        self.now = Now::new(seconds(10), self.now.wall + seconds(60));
        self.companion = Companion::new([self.processes; 32], self.store.get(REMOVALS).map(Vec::as_slice), self.now);
        self.companion.handle_loaded(CALLS, Ok(self.store.get(CALLS).map(Vec::as_slice)), self.now);
        (self.events, self.asked) = (Vec::new(), 0);
        self.drain();
    }

    pub(crate) fn calls(&mut self) -> Vec<(Uuid, CallChange)> {
        let change = |event| match event {
            Event::Call(call) => Some((call.uuid, call.change)),
            _ => None,
        };
        std::mem::take(&mut self.events).into_iter().filter_map(change).collect()
    }
}

/// The Contact as a registrar lists it.
pub(crate) fn listed(register: &Register, base: &str) -> String {
    format!("<{base}{}>{};expires=3600", register.tags.uri_params_text(), register.tags.contact_params_text())
}

pub(crate) fn header<'a>(register: &'a Register, name: &str) -> Option<&'a str> {
    register.tags.headers.iter().find(|tag| tag.name == name)?.value.as_deref()
}
