//! Several gateways that share nothing: which one a flow leads to, which one can be reached, and what must be gone from
//! left ones.

use sipwake_core::account::{Hop, Transport};

use super::{Due, World};
use crate::habits::Habit;
use crate::phone;
use crate::script::{Apart, SECOND};
use crate::server::Binding;
use crate::wire::Wire;

/// The core asks a left gateway at once, after a minute and after ten more. Any obstacle must have ended by then for it to get the
/// removal.
const HEARD_BY: u64 = 450 * SECOND;
/// When all three attempts are over, with their time-outs.
const JUDGED: u64 = 1000 * SECOND;
/// A gateway that refuses with a 403 is asked again ten minutes later, and then twenty minutes later. By then it has accepted the removal
/// of each of two Contacts.
const REFUSED: u64 = (600 + 1200) * SECOND;
/// The same after a log-out, whose rounds come each hour after the third.
const REFUSED_GOOD_BYE: u64 = 2 * 3600 * SECOND;
/// How long after a new token is bound the gateway in use may still push to the former one.
const LINGERS: u64 = 150 * SECOND;
/// RFC 3261 18.1.1.
const MAX_DATAGRAM: usize = 1300;

/// Where a flow leads, even after the phone closed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) gateway: usize,
    pub(super) udp: bool,
    /// The host's name and port.
    pub(super) host: u64,
}

/// What an account's gateways should hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    /// The gateway that, as the phone knows, holds its binding.
    pub(super) home: Option<usize>,
    /// When it last had reason to contact the others. The gateways of these bits respond with an error.
    occasion: Option<(u64, u8)>,
    /// The process that is known to have had such a reason.
    process: u64,
}

impl World<'_> {
    pub(super) fn route_of(&mut self, hop: &Hop) -> Route {
        let host = format!("{}:{:?}", hop.host, hop.port);
        let host = host.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        // A message that is too large for a datagram goes over TCP, where nothing is lost.
        let Some(apart) = self.setting.apart else {
            return Route { gateway: 0, udp: self.setting.udp && hop.transport == Transport::Udp, host };
        };
        let gateway = phone::gateway_of(&hop.host.to_string()).unwrap_or(0);
        let chosen = hop.transport == Transport::Udp && !hop.explicit_transport && apart.is_tcp(gateway);
        Route { gateway, udp: hop.transport == Transport::Udp && !chosen, host }
    }

    pub(super) fn gateway_of(&self, flow: u64) -> usize {
        self.routes.get(&flow).map_or(0, |route| route.gateway)
    }

    pub(super) fn is_udp(&self, flow: u64) -> bool {
        self.routes.get(&flow).is_none_or(|route| route.udp)
    }

    /// Whether nothing gets through between the phone and the gateway of a flow.
    pub(super) fn is_cut(&self, flow: u64) -> bool {
        self.at < self.cut_until || self.at < self.down_until[self.gateway_of(flow)]
    }

    /// Whether the gateway refuses connections: it gets large requests in datagrams, and listens only on UDP.
    pub(super) fn refuses(&self, flow: u64) -> bool {
        let gateway = self.gateway_of(flow);
        let takes = |apart: Apart| apart.is_tcp(gateway) || apart.wants_large_over_tcp(gateway);
        self.setting.udp_at_first() && !self.is_udp(flow) && self.setting.apart.is_some_and(|apart| !takes(apart))
    }

    /// Whether a datagram is too large to arrive.
    pub(super) fn is_too_large(&self, flow: u64, bytes: &[u8]) -> bool {
        let gateway = self.gateway_of(flow);
        self.is_udp(flow)
            && bytes.len() > MAX_DATAGRAM
            && self.setting.apart.is_some_and(|apart| apart.wants_large_over_tcp(gateway))
    }

    pub(super) fn goes_down(&mut self, gateway: usize, length: u64) {
        self.down_until[gateway] = self.down_until[gateway].max(self.at + length);
        self.silent_until = self.silent_until.max(self.at + length);
        self.connections_break(Some(gateway));
    }

    /// The connections to one gateway, or to all.
    pub(super) fn connections_break(&mut self, gateway: Option<usize>) {
        for flow in self.phone.flows.keys().copied().collect::<Vec<_>>() {
            if !self.is_udp(flow) && gateway.is_none_or(|gateway| self.gateway_of(flow) == gateway) {
                self.later(20, Due::FlowDown(flow));
            }
        }
    }

    /// RFC 3261 18.1.1: Via names the transport that the request came over.
    pub(super) fn check_via(&mut self, flow: u64, wire: &Wire) {
        let wanted = if self.is_udp(flow) { "SIP/2.0/UDP" } else { "SIP/2.0/TCP" };
        if self.setting.apart.is_some() && !wire.one("via").starts_with(wanted) {
            self.watch.fail(self.at, 3, format!("{} where {wanted} is spoken", wire.one("via")));
        }
    }

    /// The phone knows that a gateway bound something, or removed it.
    pub(super) fn settled(&mut self, index: usize, flow: u64, request: &[u8]) {
        let Some(wire) = Wire::parse(request) else { return };
        let (gateway, process) = (self.gateway_of(flow), self.phone.process);
        let removes = wire.one("expires") == "0";
        let questions = |contact: &crate::wire::Contact| {
            contact.uri.contains(";pn-provider") && contact.pn("pn-prid").is_empty() && contact.expires().is_none()
        };
        if !removes {
            self.servers[gateway].confirm(&phone::user(index), wire.branch());
        }
        if !removes && wire.contacts().iter().any(questions) {
            return;
        }
        if !removes {
            self.token_bound[index] = Some(self.at);
            self.later(LINGERS, Due::JudgeToken(index));
        }
        if self.setting.apart.is_none() {
            return;
        }
        let holding = &mut self.holdings[index];
        let moved = !removes && (holding.home != Some(gateway) || holding.process != process);
        if moved || (removes && !self.phone.apps[index].logged_in) {
            let troubled = (0..self.servers.len()).filter(|gateway| self.servers[*gateway].is_troubled());
            holding.occasion = Some((self.at, troubled.fold(0, |bits, gateway| bits | 1 << gateway)));
            holding.process = process;
            self.later(self.judged(index), Due::Judge(index));
        }
        if !removes && self.holdings[index].home.replace(gateway) != Some(gateway) {
            self.servers[gateway].give_up_unknown(&phone::user(index));
        }
    }

    /// From here on, the phone knows what may be left elsewhere.
    pub(super) fn look_again(&mut self) {
        let at = self.at;
        for index in 0..self.holdings.len() {
            if let Some((since, _)) = &mut self.holdings[index].occasion {
                *since = at;
                self.later(self.judged(index), Due::Judge(index));
            }
        }
    }

    /// An event that may keep the phone from reaching the left gateways.
    pub(super) fn occupied(&mut self) {
        self.holdings.iter_mut().for_each(|holding| holding.occasion = None);
        self.token_bound.fill(None);
    }

    /// Promise 2: the binding of an old token does not stay beside the new one.
    pub(super) fn judge_token(&mut self, index: usize) {
        let (user, app) = (phone::user(index), &self.phone.apps[index]);
        let Some(since) = self.token_bound[index].filter(|since| since + LINGERS <= self.at) else { return };
        let is_still = self.cut_until <= since && self.phone.asleep_until <= since && !self.is_shut();
        let wanted = (app.wants_push && app.token > 0).then(|| phone::token_text(self.setting, index, app.token));
        let home = self.holdings[index].home.unwrap_or(0);
        let server = &mut self.servers[home];
        // A refused removal is tried again ten minutes later.
        let refuses = self.setting.has(Habit::ForbiddenAtTimes) || server.is_troubled();
        // At an unknown address the phone cannot always tell an old Contact from the new one. It expires.
        let refuses = refuses || self.setting.has(Habit::ContactRewritten);
        if !is_still || refuses || app.excused || !app.logged_in || self.down_until[home] > since {
            return;
        }
        server.expire(self.at);
        let old = |binding: &&Binding| {
            let counts = binding.confirmed && !(binding.foreign || binding.given_up);
            counts && binding.token.is_some() && binding.token != wanted
        };
        let old = server.bindings[&user].iter().find(old).map(|binding| binding.contact.uri.clone());
        if let Some(old) = old {
            self.watch.fail(self.at, 2, format!("an old token lingers: {old}"));
        }
    }

    /// How long after an event a left gateway must hold nothing. Each gateway that refuses is asked again later, and they are asked one
    /// after the other.
    fn judged(&self, index: usize) -> u64 {
        let refusing = if self.setting.has(Habit::ForbiddenAtTimes) { self.servers.len() as u64 - 1 } else { 0 };
        JUDGED + refusing * if self.phone.apps[index].logged_in { REFUSED } else { REFUSED_GOOD_BYE }
    }

    /// A left gateway that could be reached since holds nothing.
    pub(super) fn judge_holding(&mut self, index: usize) {
        let (user, app, holding) = (phone::user(index), &self.phone.apps[index], self.holdings[index].clone());
        let judged = self.judged(index);
        let Some((since, troubled)) = holding.occasion.filter(|(since, _)| since + judged <= self.at) else { return };
        let latest = since + HEARD_BY;
        if app.excused || self.cut_until > latest || self.phone.asleep_until > latest || self.is_shut() {
            return;
        }
        if self.servers[0].knows_another_password(&user) || self.forgotten.contains(&user) {
            return;
        }
        let (promise, at) = (if app.logged_in { 2 } else { 1 }, self.at);
        for (gateway, server) in self.servers.iter_mut().enumerate() {
            let is_home = app.logged_in && holding.home == Some(gateway);
            if is_home || self.down_until[gateway] > latest || troubled >> gateway & 1 == 1 {
                continue;
            }
            server.expire(at);
            let counts =
                |binding: &&Binding| !binding.foreign && binding.confirmed && !(binding.superseded || binding.given_up);
            let left = server.bindings[&user].iter().find(counts);
            if let Some(left) = left {
                self.watch.fail(at, promise, format!("gateway {gateway} was left and holds {}", left.contact.uri));
            }
        }
    }
}
