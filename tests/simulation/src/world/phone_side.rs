//! What the core asks for: records are stored, flows opened, bytes sent, events read.

use sipwake_core::account::AccountKey;
use sipwake_core::account::Hop;
use sipwake_core::event::{Event, Failure, FlowId, Output, Removed};
use sipwake_core::snapshot::{REMOVALS, Record, binding_key};
use sipwake_core::user_agent::UserAgent;

use super::network::summary;
use super::{Due, SILENCE, World};
use crate::habits::Habit;
use crate::phone::{self, Flow};
use crate::script::SECOND;
use crate::server::Binding;
use crate::wire::Wire;

impl World<'_> {
    /// Does everything that the core asks for. Returns whether the process survives.
    pub(super) fn drain(&mut self) -> bool {
        let mut count = 0;
        loop {
            let Some(output) = self.phone.agent.as_mut().and_then(UserAgent::poll_output) else {
                if let Some(key) = self.untold.pop() {
                    self.watch.fail(self.at, 1, format!("the app does not hear that {key} was not stored"));
                }
                self.keep_black_box();
                return true;
            };
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
                Output::Open { flow, hop, local_port } => self.open(flow, &hop, local_port),
                Output::Close(flow) => {
                    let flow = self.flow(flow);
                    self.phone.flows.remove(&flow);
                    self.watch.flow_closed(flow);
                    self.reacted = true;
                }
                Output::NextAddress(_) | Output::HearPeers { .. } => {}
                Output::Load(key) => self.load(&key),
                Output::Transmit { flow, bytes, .. } => self.transmit(self.flow(flow), bytes),
                Output::Received { .. } => {}
                Output::Event(event) => self.hear(&event),
            }
        }
    }

    /// It is separate from the other records: nothing depends on it.
    fn keep_black_box(&mut self) {
        if let Some(record) = self.phone.agent.as_mut().and_then(UserAgent::poll_record) {
            self.phone.black_box = Some(record);
        }
    }

    pub(super) fn flow(&self, flow: FlowId) -> u64 {
        self.phone.process << 32 | flow.0
    }

    pub(super) fn save(&mut self, record: Record) {
        if self.phone.unread.contains(&record.key) {
            self.watch.fail(self.at, 1, format!("{} is written over what was not read", record.key));
        }
        let refused = self.at < self.phone.store_fails_until;
        if refused {
            let now = self.phone.now(self.at);
            if let Some(agent) = &mut self.phone.agent {
                agent.handle_saved(record.id, Err("the disk is full".to_owned()), now);
            }
            self.untold.push(record.key.clone());
            self.phone.unstored.insert(record.key.clone());
        } else {
            self.phone.unstored.remove(&record.key);
            self.phone.stale.remove(&record.key);
        }
        let Some(bytes) = record.bytes else {
            if !refused {
                self.phone.store.remove(&record.key);
            }
            if record.key == REMOVALS {
                self.removals_saved(b"");
            }
            return;
        };
        if contains(&bytes, phone::PASSWORDS.as_bytes()) {
            self.watch.fail(self.at, 7, "a password in the store");
        }
        for index in 0..self.phone.apps.len() {
            let own = record.key == binding_key(&self.phone.apps[index].key);
            let leaving = record.key == REMOVALS && contains(&bytes, self.phone.apps[index].key.as_str().as_bytes());
            if (own || leaving) && !refused {
                let seen = &mut self.watch.seen[index];
                seen.stored_nonce.clone_from(&seen.nonce);
            }
        }
        if record.key == REMOVALS {
            self.removals_saved(&bytes);
        }
        if !refused {
            self.phone.store.insert(record.key, bytes);
        }
    }

    /// Removals that are no longer stored were delivered or cancelled.
    pub(super) fn removals_saved(&mut self, bytes: &[u8]) {
        for index in 0..self.phone.apps.len() {
            let app = &self.phone.apps[index];
            let in_memory = self.phone.agent.as_ref().is_some_and(|agent| agent.push(&app.key).is_ok());
            if !contains(bytes, app.key.as_str().as_bytes()) && !in_memory {
                self.watch.forgotten(index);
            }
        }
    }

    pub(super) fn open(&mut self, flow: FlowId, hop: &Hop, local_port: Option<u16>) {
        let id = self.flow(flow);
        let route = self.route_of(hop);
        self.routes.insert(id, route);
        self.note_host(id, hop);
        // Each connection has a new port.
        let kept = route.udp || self.setting.apart.is_none();
        let port = match local_port.filter(|_| kept) {
            Some(port) if self.chance.hits(900) => port,
            _ => self.chance.between(1024, 65_000) as u16,
        };
        self.phone.flows.insert(id, Flow { up: false, port });
        if route.udp && self.setting.has(Habit::FirstAddressDead) {
            self.dead.insert(id, false);
        }
        self.reacted = true;
        if route.udp {
            self.later(0, Due::FlowUp(id));
        } else {
            let delay = self.delay();
            if self.refuses(id) {
                self.later(delay, Due::FlowDown(id));
            } else if self.is_cut(id) {
                self.later(10 * SECOND, Due::FlowDown(id));
            } else {
                self.later(delay, Due::FlowUp(id));
            }
        }
    }

    pub(super) fn delay(&mut self) -> u64 {
        let (low, high) = if self.quiet { (5, 30) } else { self.setting.delay };
        self.chance.between(low, high)
    }

    /// Sends a datagram or a piece of a stream on its way.
    pub(super) fn travel(&mut self, flow: u64, due: impl Fn() -> Due) {
        if self.is_udp(flow) {
            let (loss, duplication) = if self.quiet { (0, 0) } else { (self.setting.loss, self.setting.duplication) };
            let copies = if self.chance.hits(duplication) { 2 } else { 1 };
            for _ in 0..copies {
                let delay = self.delay();
                if !self.is_cut(flow) && !self.chance.hits(loss) {
                    self.later(delay, due());
                }
            }
        } else if self.is_cut(flow) {
            self.later(20 * SECOND, Due::FlowDown(flow));
        } else {
            let low = self.setting.delay.0;
            self.later(low, due());
        }
    }

    pub(super) fn transmit(&mut self, flow: u64, bytes: Vec<u8>) {
        if self.setting.attacked {
            self.watch_secrets(flow, &bytes);
            self.watch_refusals(&bytes);
        }
        for byte in bytes.iter().step_by(7) {
            self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(wire) = Wire::parse(&bytes)
            && wire.method() == "REGISTER"
            && let Some(index) = phone::account_of(wire.to_user()).filter(|index| *index < self.setting.accounts)
        {
            // If a server refuses each response as stale, the phone cannot tell a dead nonce from a wrong password.
            if self.setting.has(Habit::StaleAlways) && self.servers[0].knows_another_password(&phone::user(index)) {
                self.watch.seen[index].nonce = None;
            }
            let host = self.routes.get(&flow).map_or(0, |route| route.host);
            // A REGISTER from before the push that is lost or goes to a dead address does not count.
            let seen = &self.watch.seen[index];
            let again = seen.in_flight.as_ref().is_some_and(|known| known.branch == wire.branch());
            let binds = wire.one("expires") != "0" || !self.phone.apps[index].logged_in;
            if binds && !again && !self.dead.contains_key(&flow) {
                self.owed_since[index] = None;
            }
            self.watch.register_sent(index, &wire, &bytes, (flow, host), self.at);
            self.reacted = true;
        }
        if let Some(noticed) = self.dead.get_mut(&flow) {
            if !std::mem::replace(noticed, true) {
                self.later(SILENCE, Due::Silent(flow));
            }
            return;
        }
        if self.phone.flows.get(&flow).is_some_and(|flow| flow.up) && !self.is_too_large(flow, &bytes) {
            self.travel(flow, || Due::ToServer(flow, bytes.clone()));
        }
    }

    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Registered { account, registered, .. } => {
                self.reacted = true;
                let refusing = self.setting.has(Habit::ProviderDropped) || self.setting.has(Habit::ContactTooLong);
                self.watch.registered(self.setting.profile, refusing, registered, self.at);
                let index = self.phone.apps.iter().position(|app| app.key == *account);
                self.tell(account, true);
                if let Some(granted) = index.and_then(|index| self.granted[index])
                    && registered.expires.as_secs() > granted
                {
                    let believed = registered.expires.as_secs();
                    self.watch.fail(self.at, 10, format!("bound for {granted} s, and told as {believed} s"));
                }
            }
            Event::StoreFailed { key, .. } => self.untold.retain(|untold| untold != key),
            Event::Call(call) => {
                self.rings_for_the_right_one(call);
                if self.setting.attacked {
                    self.watch_call(call);
                }
                let renamed = self.setting.has(Habit::CallIdRenamed);
                self.watch.call(call, renamed, self.at);
            }
            Event::RegistrationFailed { account, retry_in: None, failure } => {
                self.reacted = true;
                self.tell(account, false);
                if *failure == Failure::WrongCredentials {
                    self.is_refused(account);
                }
                // The nonce is useless to a phone that cannot respond.
                for (app, seen) in self.phone.apps.iter().zip(&mut self.watch.seen) {
                    if app.key == *account {
                        seen.nonce = None;
                        seen.refusals = 0;
                    }
                }
            }
            Event::RegistrationFailed { account, .. } if self.setting.has(Habit::StaleAlways) => {
                self.reacted = true;
                self.tell(account, false);
                // A wrong password looks like a series of dead nonces.
                for (app, seen) in self.phone.apps.iter().zip(&mut self.watch.seen) {
                    if app.key == *account {
                        seen.nonce = None;
                        seen.refusals = 0;
                    }
                }
            }
            Event::LoggedOut { account, removed, .. } => {
                self.reacted = true;
                match removed {
                    Removed::Proven => self.is_proven(account),
                    Removed::GivenUp => {
                        let index = self.phone.apps.iter().position(|app| app.key == *account).unwrap_or_default();
                        self.servers.iter_mut().for_each(|server| server.give_up(&phone::user(index)));
                    }
                    _ => {}
                }
            }
            Event::RegistrationFailed { account, .. } => {
                self.reacted = true;
                self.tell(account, false);
            }
            Event::Capabilities { .. } => {
                self.reacted = true;
            }
            _ => {}
        }
    }
}

impl World<'_> {
    /// The app learns whether an account is registered.
    fn tell(&mut self, account: &AccountKey, registered: bool) {
        if let Some(index) = self.phone.apps.iter().position(|app| app.key == *account) {
            self.told[index] = Some(registered);
        }
    }

    /// Promise 5: the password is reported as wrong only if it is, or if two fresh nonces in a row were refused as if it were.
    fn is_refused(&mut self, account: &AccountKey) {
        let Some(index) = self.phone.apps.iter().position(|app| app.key == *account) else { return };
        let user = phone::user(index);
        let misled: u32 = self.servers.iter().map(|server| server.misled(&user)).sum();
        if !self.servers[0].knows_another_password(&user) && misled < 2 {
            self.watch.fail(self.at, 5, "a password that is right is told to be wrong");
        }
    }

    /// Promise 1: a log-out that is reported as proven has left nothing that pushes.
    fn is_proven(&mut self, account: &AccountKey) {
        let Some(index) = self.phone.apps.iter().position(|app| app.key == *account) else { return };
        let user = phone::user(index);
        let at = self.at;
        let left = self.servers.iter_mut().find_map(|server| {
            server.expire(at);
            // A list says of the last second that it is over.
            let known = |binding: &&Binding| {
                binding.confirmed && !(binding.foreign || binding.given_up) && binding.expires_at >= at + SECOND
            };
            server.bindings[&user].iter().find(known).map(|binding| binding.contact.uri.clone())
        });
        if let Some(left) = left.filter(|_| !self.phone.apps[index].excused) {
            self.watch.fail(at, 1, format!("a log-out is reported as proven, but {left} is still there"));
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

fn shown(output: &Output) -> String {
    match output {
        Output::Transmit { flow, bytes, .. } => format!("    -> {} {}", flow.0, summary(bytes)),
        other => format!("    {other:?}"),
    }
}
