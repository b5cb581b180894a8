//! The operating system and the app: starts, kills, and what the user does. Each command returns whether its call
//! returned or the process died.

use std::collections::BTreeMap;
use std::time::Duration;

use sipwake_core::gateway::Load;
use sipwake_core::push::{Provider, PushToken};
use sipwake_core::snapshot::{RECORD, REMOVALS, binding_key};
use sipwake_core::user_agent::{Unreadable, UserAgent};

use super::{Call, Due, World};
use crate::habits::Habit;
use crate::phone;
use crate::script::{Happening, SECOND, Setting};
use crate::server::Server;

impl World<'_> {
    pub(super) fn start(&mut self) {
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
        self.reason();
        let seed = self.chance.seed();
        let now = self.phone.now(self.at);
        let shut = self.is_shut();
        let removals = self.phone.store.get(REMOVALS).filter(|_| !shut);
        let mut agent = UserAgent::new(seed, removals.map(Vec::as_slice), now);
        self.phone.unread.clear();
        self.phone.born_shut = shut;
        if shut {
            for key in [REMOVALS, RECORD] {
                self.phone.unread.insert(key.to_owned());
                agent.handle_loaded(key, Err(Unreadable::Shut), now);
            }
            // A process that cannot read the store starts empty.
            (0..self.phone.apps.len()).for_each(|index| self.watch.forgotten(index));
        } else if let Some(black_box) = self.phone.black_box.take() {
            agent.handle_loaded(RECORD, Ok(Some(&black_box)), now);
        }
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

    pub(super) fn is_shut(&self) -> bool {
        self.at < self.phone.shut_until
    }

    /// Somebody unlocks the phone, and the store can be read.
    pub(super) fn unlock(&mut self) {
        self.phone.shut_until = 0;
        if !self.phone.unread.is_empty() {
            // From here on, the phone knows what earlier processes left at other gateways.
            self.look_again();
            for index in 0..self.phone.apps.len() {
                // A log-out of an earlier process goes on with the Call-ID of that process.
                let key = &self.phone.apps[index].key;
                if self.phone.agent.as_ref().is_some_and(|agent| agent.push(key).is_err()) {
                    self.watch.forgotten(index);
                }
            }
            if self.with_agent(|agent, now| agent.store_available(*now)) {
                self.phone.born_shut = false;
            }
        }
    }

    /// The core wants to read a record again.
    pub(super) fn load(&mut self, key: &str) {
        let now = self.phone.now(self.at);
        let shut = self.is_shut();
        let Some(agent) = &mut self.phone.agent else { return };
        if shut {
            return agent.handle_loaded(key, Err(Unreadable::Shut), now);
        }
        let record = if key == RECORD { self.phone.black_box.take() } else { self.phone.store.get(key).cloned() };
        self.phone.unread.remove(key);
        agent.handle_loaded(key, Ok(record.as_deref()), now);
    }

    /// Nobody can expect what was promised for an account: its record is damaged or out of date.
    fn excuse(&mut self, index: usize) {
        self.phone.apps[index].excused = true;
        self.watch.record_lost(index);
    }

    fn is_unstored(&self, key: &str) -> bool {
        self.phone.unstored.contains(key)
    }

    pub(super) fn die(&mut self) {
        self.occupied();
        self.phone.agent = None;
        for (flow, _) in std::mem::take(&mut self.phone.flows) {
            self.watch.flow_closed(flow);
        }
        self.watch.killed();
        self.owed_since.fill(None);
        self.told.fill(None);
        // Records that the store refused are lost with the process, unless the store accepts them in time.
        for index in 0..self.phone.apps.len() {
            if self.is_unstored(REMOVALS) || self.is_unstored(&binding_key(&self.phone.apps[index].key)) {
                self.excuse(index);
            }
        }
        // Commands while the store was shut are lost with the process, too: the app was told that they are not durable.
        if self.phone.born_shut || !self.phone.unread.is_empty() {
            (0..self.phone.apps.len()).for_each(|index| self.excuse(index));
            self.phone.unread.clear();
        }
        self.phone.stale.append(&mut self.phone.unstored);
        self.untold.clear();
        let (_, down, reboot) = self.phone.kill_after.take().unwrap_or((0, SECOND, false));
        if reboot {
            self.phone.reboot(self.at);
        }
        self.later(down, Due::Start);
    }

    // The app. Each function returns whether its call returned before the process died.

    pub(super) fn with_agent(&mut self, call: impl FnOnce(&mut UserAgent, &sipwake_core::clock::Now)) -> bool {
        let now = self.phone.now(self.at);
        let Some(agent) = &mut self.phone.agent else { return false };
        call(agent, &now);
        self.drain()
    }

    pub(super) fn add_account(&mut self, index: usize) -> bool {
        let account = phone::account(self.setting, index);
        let push = phone::push(self.setting, self.phone.apps[index].settings);
        let own = binding_key(&account.key());
        if self.is_unstored(&own) || self.phone.stale.contains(&own) {
            self.excuse(index);
        }
        let known = self.phone.agent.as_ref().is_some_and(|agent| agent.push(&account.key()).is_ok());
        let shut = self.is_shut() && !known;
        if shut {
            self.phone.unread.insert(own.clone());
            self.watch.forgotten(index);
        }
        let stored = self.phone.store.get(&own).filter(|_| !shut).cloned();
        self.with_agent(|agent, now| {
            if shut {
                agent.handle_loaded(&own, Err(Unreadable::Shut), *now);
            }
            agent.add_account(account, Some(push), stored.as_deref(), *now).expect("room for two");
        })
    }

    pub(super) fn say_token(&mut self, index: usize) -> bool {
        let app = self.phone.apps[index].clone();
        if !app.wants_push {
            return self.with_agent(|agent, now| agent.unbind_push(&app.key, *now).expect("it was added"));
        }
        let Some(token) = token(self.setting, index, app.token) else { return true };
        self.with_agent(|agent, now| agent.set_token(&app.key, token, *now).expect("it was added"))
    }

    pub(super) fn ask_register(&mut self, index: usize) -> bool {
        let key = self.phone.apps[index].key.clone();
        self.with_agent(|agent, now| agent.register(&key, *now).expect("it was added"))
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        self.occupied();
        let alive = self.phone.agent.is_some();
        if matches!(
            happening,
            Happening::Register(_) | Happening::Unbind(_) | Happening::LogOut(_) | Happening::LogIn(_)
        ) {
            // The user is using the phone.
            self.phone.asleep_until = 0;
        }
        let logged_in: Vec<bool> = self.phone.apps.iter().map(|app| app.logged_in).collect();
        let active = |index: usize| alive && logged_in[index];
        match happening {
            Happening::Attack(attack) => self.attack(attack),
            Happening::Register(index) if active(index) => {
                self.ask_register(index);
            }
            Happening::NewToken(index) => {
                // A device has one token for all its users.
                let all = self.setting.has(Habit::WaitsByPn);
                for index in if all { 0..self.phone.apps.len() } else { index..index + 1 } {
                    self.phone.apps[index].token += 1;
                    let app = &self.phone.apps[index];
                    if app.logged_in && app.wants_push && self.phone.agent.is_some() {
                        self.say_token(index);
                    }
                }
            }
            Happening::Settings(index) => {
                self.phone.apps[index].settings += 1;
                if active(index) {
                    self.add_account(index);
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
            Happening::Partition(length) => {
                self.cut_until = self.cut_until.max(self.at + length);
                self.silent_until = self.silent_until.max(self.cut_until);
            }
            Happening::ServerRestart { keep } => {
                self.servers.iter_mut().for_each(|server| server.restart(keep));
                if !keep {
                    self.forgotten.extend((0..self.setting.accounts).map(phone::user));
                }
                self.connections_break(None);
            }
            Happening::NoncesExpire => self.servers.iter_mut().for_each(Server::forget_nonces),
            Happening::Trouble(status, count) => {
                self.servers.iter_mut().for_each(|server| server.make_trouble(status, count));
            }
            Happening::TroubleAt(gateway, status, count) => {
                self.servers[gateway].make_trouble(status, count);
            }
            Happening::Down(gateway, length) => self.goes_down(gateway, length),
            Happening::Load(gateway, load) => self.load_told(gateway, load),
            Happening::WallJump(seconds) => {
                self.phone.wall_jumps(seconds);
                for app in self.phone.apps.iter_mut().filter(|app| !app.logged_in) {
                    app.long_gone |= seconds > 28 * 86_400;
                }
            }
            Happening::LatePush(index) => {
                let call = self.calls.len();
                self.calls.push(Call { account: index, placed: self.at, over: true, legs: BTreeMap::new() });
                self.pushed(index, call);
            }
            Happening::StoreShut(length) => {
                if alive {
                    self.phone.kill_after = Some((0, SECOND, true));
                    self.die();
                }
                self.phone.shut_until = self.at + length;
                self.later(length, Due::Unlocked);
            }
            Happening::StoreFails(length) => {
                self.phone.store_fails_until = self.phone.store_fails_until.max(self.at + length);
            }
            Happening::PasswordChanges(index) => {
                self.servers.iter_mut().for_each(|server| server.change_password(phone::user(index)));
            }
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

    fn load_told(&mut self, gateway: usize, load: u8) {
        let load = Load::parse(&format!("OK: WS Load: {load} type 1"));
        for index in 0..self.phone.apps.len() {
            let key = self.phone.apps[index].key.clone();
            self.with_agent(|agent, _| {
                let _ = agent.handle_gateway_load(&key, gateway, load, Duration::from_millis(20));
            });
        }
    }

    /// Promise 2: the same token again sends nothing.
    pub(super) fn say_token_again(&mut self, index: usize) {
        let app = self.phone.apps[index].clone();
        let Some(token) = token(self.setting, index, app.token)
            .filter(|_| self.timer() > self.at && self.phone.asleep_until <= self.at)
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

    pub(super) fn log_out(&mut self, index: usize) {
        let key = self.phone.apps[index].key.clone();
        let ever_sent = self.watch.seen[index].ever_sent();
        if self.with_agent(|agent, now| agent.log_out(&key, *now).expect("it was added")) {
            self.phone.apps[index].logged_in = false;
            self.owed_since[index] = None;
            self.phone.apps[index].long_gone = false;
            let withheld = self.phone.agent.as_ref().is_some_and(|agent| self.is_shut() && !agent.is_durable());
            let kept = self.phone.store.contains_key(REMOVALS) || self.is_unstored(REMOVALS) || withheld;
            let delivered = self.phone.agent.as_ref().is_some_and(|agent| agent.accounts().count() == 0);
            if ever_sent && !kept && !delivered {
                self.watch.fail(self.at, 1, "log_out returned before the command was stored");
            }
        }
    }

    pub(super) fn log_in(&mut self, index: usize) {
        let was_in = self.phone.apps[index].logged_in;
        self.phone.apps[index].wants_push = true;
        let known = self.phone.agent.as_ref().is_some_and(|agent| agent.push(&self.phone.apps[index].key).is_ok());
        if self.setting.apart.is_some() && !known {
            self.servers.iter_mut().for_each(|server| server.give_up(&phone::user(index)));
        }
        if (was_in || self.add_account(index)) && self.phone.agent.is_some() {
            self.phone.apps[index].logged_in = true;
            self.watch.logged_in(index);
            let _ = self.say_token(index) && self.ask_register(index);
        }
    }
}

fn token(setting: &Setting, index: usize, number: u32) -> Option<PushToken> {
    if number == 0 {
        return None;
    }
    PushToken::parse(&Provider::Fcm, &phone::token_text(setting, index, number)).expect("a token's form")
}
