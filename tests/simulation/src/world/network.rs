//! The network: bytes arrive at either side, flows open and break.

use std::cmp::Reverse;
use std::net::{Ipv4Addr, SocketAddr};

use sipwake_core::account::Transport;
use sipwake_core::event::{FlowError, FlowId};

use super::{Due, HOLD, World};
use crate::habits::Habit;
use crate::phone;
use crate::script::SECOND;
use crate::wire::{Wire, digest_param};

/// Answers with a password that the server does not know, since there was last a reason to register: the two of one
/// chain, and those of chains that a broken flow or a late response cut short.
const MOST_WRONG_ANSWERS: u32 = 8;
/// One before any challenge, and three to challenges that call each nonce stale.
const ANSWERS_AT_ONE_GATEWAY: u32 = 4;

impl World<'_> {
    pub(super) fn due(&mut self) {
        let Some(Reverse((_, serial))) = self.queue.pop() else { return };
        let Some(due) = self.dues.remove(&serial) else { return };
        let asleep = self.phone.asleep_until.saturating_sub(self.at);
        match due {
            Due::ToServer(flow, bytes) => self.at_server(flow, &bytes),
            Due::Push(index, call) => self.pushed(index, call),
            Due::Judged(process, action, index, call) => self.handed_over(process, &action, index, call),
            Due::Start => {
                if self.phone.agent.is_none() {
                    self.start();
                }
            }
            Due::Unlocked => {
                if self.at >= self.phone.shut_until {
                    self.unlock();
                }
            }
            Due::Invite(call, flow) => self.invite(call, flow),
            Due::Cancel(call) => self.cancel(call),
            Due::CallAgain(index) => self.place_call(index, 15 * SECOND),
            Due::Accept(process, call) => self.accept(process, call),
            Due::HangUp(process, call) => self.hang_up(process, call),
            Due::Judge(index) => self.judge_holding(index),
            Due::JudgeToken(index) => self.judge_token(index),
            // During deep sleep the radio drops datagrams, while a stream waits.
            Due::ToPhone(flow, _) if asleep > 0 && self.is_udp(flow) => {}
            due if asleep > 0 => self.missed.push(due),
            Due::ToPhone(flow, bytes) => self.at_phone(flow, &bytes),
            Due::Silent(flow) => self.moves_on(flow),
            Due::FlowUp(flow) => {
                let Some(known) = self.phone.flows.get_mut(&flow) else { return };
                known.up = true;
                let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, self.phone.address), known.port));
                let chosen = if self.is_udp(flow) { Transport::Udp } else { Transport::Tcp };
                let leads_on = self.dead.contains_key(&flow);
                self.with_agent(|agent, now| {
                    agent.handle_flow_leads_on(core_flow(flow), leads_on);
                    agent.handle_flow_transport(core_flow(flow), chosen);
                    agent.handle_flow_up(core_flow(flow), local, *now);
                });
            }
            Due::FlowDown(flow) => {
                if self.phone.flows.remove(&flow).is_some() {
                    self.watch.flow_closed(flow);
                    self.with_agent(|agent, now| {
                        agent.handle_flow_down(core_flow(flow), FlowError::Closed, *now);
                    });
                }
            }
        }
    }

    /// The first address of the server is dead: it sent no response, and the flow goes on at the second one.
    fn moves_on(&mut self, flow: u64) {
        let Some(known) = self.phone.flows.get(&flow).copied().filter(|flow| flow.up) else { return };
        if self.dead.remove(&flow).is_none() {
            return;
        }
        self.serial += 1;
        let left = flow & !0xffff_ffff | FlowId::FIRST_LEFT.0 | (self.serial & 0xffff_ffff);
        self.phone.flows.insert(left, known);
        self.routes.insert(left, self.routes[&flow]);
        self.dead.insert(left, true);
        self.watch.flow_moved(flow);
        let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, self.phone.address), known.port));
        self.with_agent(|agent, now| {
            agent.handle_flow_leads_on(core_flow(flow), false);
            agent.handle_flow_left(core_flow(flow), core_flow(left), *now);
            agent.handle_flow_up(core_flow(flow), local, *now);
        });
    }

    pub(super) fn at_phone(&mut self, flow: u64, bytes: &[u8]) {
        if !self.phone.flows.contains_key(&flow) {
            return;
        }
        let mut final_answer = false;
        let mut granted = Vec::new();
        if let Some(wire) = Wire::parse(bytes).filter(|wire| wire.cseq_method() == "REGISTER") {
            let refused = wire.status() == Some(401) && self.servers[0].knows_another_password(wire.to_user());
            for (index, (seen, app)) in self.watch.seen.iter_mut().zip(&self.phone.apps).enumerate() {
                if seen.in_flight.as_ref().is_some_and(|known| known.branch == wire.branch()) {
                    self.granted[index] = self.servers.iter().find_map(|server| server.granted(wire.branch()));
                    let request = seen.answered(&wire, app.logged_in);
                    granted.extend(
                        request.filter(|_| matches!(wire.status(), Some(200..300))).map(|asked| (index, asked)),
                    );
                    // The registration in use goes before a request to a left gateway.
                    final_answer = !seen.is_aside(flow);
                    seen.refusals += u32::from(refused && !seen.is_aside(flow));
                    if !seen.is_aside(flow)
                        && let Some(nonce) =
                            Some(digest_param(wire.one("www-authenticate").trim_start_matches("Digest "), "nonce"))
                                .filter(|nonce| !nonce.is_empty())
                    {
                        seen.nonce = Some((self.routes.get(&flow).map_or(0, |route| route.host), nonce.to_owned()));
                    }
                }
            }
        }
        self.show(|| format!("    <- {}", summary(bytes)));
        self.reacted = false;
        let process = self.phone.process;
        // A stream has no message boundaries: messages come in pieces.
        let in_pieces = self.setting.apart.is_some() && !self.is_udp(flow) && self.chance.hits(500);
        let cut = if in_pieces { self.chance.between(0, bytes.len() as u64) as usize } else { 0 };
        let (first, rest) = bytes.split_at(cut);
        let mut lives = true;
        for piece in [first, rest].into_iter().filter(|piece| !piece.is_empty()) {
            lives &= self.with_agent(|agent, now| agent.handle_input(core_flow(flow), piece, *now));
        }
        for (index, request) in granted.into_iter().filter(|_| lives) {
            self.settled(index, flow, &request);
        }
        // If no response names the password, each gateway is asked once before the app is told.
        let gateways =
            self.setting.apart.filter(|_| self.setting.has(Habit::StaleAlways)).map_or(1, |apart| apart.count);
        let most = MOST_WRONG_ANSWERS.max(gateways as u32 * ANSWERS_AT_ONE_GATEWAY);
        if self.watch.seen.iter().any(|seen| seen.refusals > most) {
            self.watch.fail(self.at, 5, "the app does not hear that the password is refused");
        }
        if final_answer && !self.reacted && lives && process == self.phone.process {
            self.watch.fail(self.at, 5, "an answer to a REGISTER met with silence");
        }
    }

    pub(super) fn at_server(&mut self, flow: u64, bytes: &[u8]) {
        if bytes == b"\r\n\r\n" && self.setting.has(Habit::FlowTimer) {
            return self.travel(flow, || Due::ToPhone(flow, b"\r\n".to_vec()));
        }
        let Some(wire) = Wire::parse(bytes) else { return };
        if let Some(status) = wire.status() {
            return self.answered(flow, &wire, status);
        }
        if wire.method() == "BYE" && self.setting.attacked {
            return self.challenge_bye(flow, &wire);
        }
        if wire.method() != "REGISTER" || self.forges_answer(flow, &wire) {
            return;
        }
        let gateway = self.gateway_of(flow);
        if self.at < self.down_until[gateway] {
            return;
        }
        self.check_via(flow, &wire);
        self.registers += 1;
        let home = phone::account_of(wire.to_user()).and_then(|index| self.holdings.get(index)?.home);
        let server = &mut self.servers[gateway];
        if server.is_troubled() {
            // It may have been unnoticed for a day.
            self.disturbed = self.disturbed.max(self.at);
        }
        let reply = server.register(&wire, flow, home.is_some_and(|home| home != gateway), self.at);
        if reply.bytes.starts_with(b"SIP/2.0 403") {
            // It is asked again some minutes later.
            self.disturbed = self.disturbed.max(self.at);
        }
        if server.wrong_answers.get(wire.to_user()).is_some_and(|count| *count > MOST_WRONG_ANSWERS)
            && !self.setting.has(Habit::StaleAlways)
        {
            self.watch.fail(self.at, 3, "a refused password is tried again and again");
        }
        let bytes = reply.bytes;
        self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
        let Some(user) = reply.registered else { return };
        self.forgotten.remove(&user);
        for call in 0..self.calls.len() {
            let known = &self.calls[call];
            let waits = !known.over && self.at < known.placed + HOLD && !known.legs.contains_key(&flow);
            let bindings = &self.servers[gateway].bindings;
            let here = bindings[&user].iter().find(|binding| binding.flow == Some(flow));
            let meant = |token: &str| {
                bindings[&phone::user(known.account)].iter().any(|binding| binding.token.as_deref() == Some(token))
            };
            let by_pn = self.setting.has(Habit::WaitsByPn);
            let waited_for = |token: Option<&str>| by_pn && token.is_some_and(meant);
            if waits && here.is_some_and(|b| phone::user(known.account) == user || waited_for(b.token.as_deref())) {
                self.begin_leg(call, flow);
            }
        }
    }
}

/// The core's name of a flow.
fn core_flow(flow: u64) -> FlowId {
    FlowId(flow & (0xffff_ffff | FlowId::FIRST_LEFT.0))
}

pub(super) fn summary(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let wanted = |line: &&str| {
        ["Contact", "CSeq", "Expires", "X-MPUSH", "X-Push", "Feature", "Call-ID"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let start = text.lines().next().unwrap_or_default();
    std::iter::once(start).chain(text.lines().filter(wanted)).collect::<Vec<_>>().join(" | ")
}
