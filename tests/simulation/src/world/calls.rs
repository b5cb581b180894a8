//! Calls: the server rings, sends pushes and gives up, and the phone wakes.

use std::collections::BTreeMap;

use sipwake_core::event::{CallChange, CallEvent};
use sipwake_core::payload::{Channel, Hints, PushAction, parse_push};

use super::{Call, Due, World};
use crate::habits::Habit;
use crate::phone;
use crate::script::{Profile, SECOND};
use crate::wire::Wire;

/// How long a REGISTER may take at most without other problems: a refill of the bucket, and a failing REGISTER before it.
const MOST_OWED: u64 = 120 * SECOND;
/// How much longer it may take if no connection could be opened for it: the call has ended then, and each attempt waits for the longest
/// back-off.
const LONGEST_BACK_OFF: u64 = 1800 * SECOND;
/// The longest time for a push without an id. Later the caller no longer identifies its call.
const NAMELESS: u64 = 30 * SECOND;

impl World<'_> {
    pub(super) fn place_call(&mut self, index: usize, patience: u64) {
        let call = self.calls.len();
        self.calls.push(Call { account: index, placed: self.at, over: false, legs: BTreeMap::new() });
        self.servers.iter_mut().for_each(|server| server.expire(self.at));
        let user = phone::user(index);
        let bindings: Vec<_> = self.servers.iter().flat_map(|server| server.bindings[&user].clone()).collect();
        let mut pushed = false;
        for binding in bindings.iter().filter(|binding| !binding.foreign) {
            // Two pushes without any id are two calls.
            if binding.token.is_some() && !(pushed && self.is_nameless(call)) {
                pushed = true;
                let twice = self.chance.hits(self.setting.push_loss) && !self.is_nameless(call);
                let copies = if twice { 2 } else { 1 };
                for _ in 0..copies {
                    if !self.chance.hits(self.setting.push_loss) {
                        let longest = if self.is_nameless(call) { NAMELESS } else { u64::MAX };
                        let delay = self.chance.between(10, self.setting.push_delay.min(longest));
                        self.later(delay, Due::Push(index, call));
                    }
                }
            }
            let is_pushed_first = self.setting.has(Habit::PushedFirst) && binding.token.is_some();
            if let Some(flow) = binding.flow.filter(|_| !is_pushed_first) {
                self.begin_leg(call, flow);
            }
        }
        self.later(patience, Due::Cancel(call));
    }

    pub(super) fn begin_leg(&mut self, call: usize, flow: u64) {
        self.calls[call].legs.insert(flow, false);
        for delay in [1, 500, 1500] {
            self.later(delay, Due::Invite(call, flow));
        }
    }

    pub(super) fn call_request(&self, method: &str, call: usize, flow: u64) -> Vec<u8> {
        let to = phone::user(self.calls[call].account);
        let aor = phone::aor(self.setting, self.calls[call].account);
        let contact = || {
            let bindings = self.servers[self.gateway_of(flow)].bindings[&to].iter();
            let known = bindings.clone().find(|binding| binding.flow == Some(flow));
            known.map_or_else(|| format!("sip:{aor}"), |binding| binding.contact.uri.clone())
        };
        let mut named = match () {
            () if self.setting.has(Habit::AliasInTo) => "<sip:sales@example.com>".to_owned(),
            () if self.setting.has(Habit::ToCut) => format!("<{}>", contact()),
            () => format!("<sip:{aor}>"),
        };
        if method == "ACK" {
            named.truncate(249);
        }
        let renamed = self.setting.has(Habit::CallIdRenamed);
        let call_id = if renamed { format!("b2b-{call}") } else { format!("call-{call}") };
        let push_id = match self.setting.profile {
            Profile::PortSip => format!("X-Push-ID: push-{call}\r\n"),
            _ => String::new(),
        };
        format!(
            "{method} sip:{to}@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcall{call}.{flow}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+49{call}@example.com>;tag=c{call}\r\nTo: {named}\r\n\
             Call-ID: {call_id}@example.com\r\nCSeq: 1 {method}\r\nContact: <sip:192.0.2.1>\r\n{push_id}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    pub(super) fn invite(&mut self, call: usize, flow: u64) {
        if self.calls[call].over || self.calls[call].legs.get(&flow).is_some_and(|answered| *answered) {
            return;
        }
        let bytes = self.call_request("INVITE", call, flow);
        self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
    }

    pub(super) fn cancel(&mut self, call: usize) {
        self.calls[call].over = true;
        // Another caller, because each caller here has a number of their own.
        if self.setting.has(Habit::CalledAgain) && call.is_multiple_of(2) && !self.quiet {
            self.later(5 * SECOND, Due::CallAgain(self.calls[call].account));
        }
        for flow in self.calls[call].legs.keys().copied().collect::<Vec<_>>() {
            let bytes = self.call_request("CANCEL", call, flow);
            self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
        }
    }

    pub(super) fn answered(&mut self, flow: u64, wire: &Wire, status: u16) {
        let branch = wire.branch().trim_start_matches("z9hG4bKcall");
        let Some(call) = branch.split('.').next().and_then(|call| call.parse::<usize>().ok()) else { return };
        if wire.cseq_method() != "INVITE" || call >= self.calls.len() {
            return;
        }
        self.calls[call].legs.insert(flow, status >= 200 || !self.setting.attacked);
        if status == 200 && self.setting.attacked {
            return self.acknowledge(flow, wire, call);
        }
        if status >= 300 {
            let bytes = self.call_request("ACK", call, flow);
            self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
        }
    }

    /// Whether the push of a call carries no id.
    pub(super) fn is_nameless(&self, call: usize) -> bool {
        let has_ids = matches!(self.setting.profile, Profile::Flexisip | Profile::PortSip);
        !has_ids && call.is_multiple_of(3)
    }

    pub(super) fn payload(&self, index: usize, call: usize) -> String {
        let user = phone::user(if self.setting.shared_extension { 0 } else { index });
        match self.setting.profile {
            Profile::Flexisip => format!(
                r#"{{"loc-key":"IC_MSG","call-id":"call-{call}@example.com","from-uri":"sip:+49{call}@example.com"}}"#
            ),
            Profile::PortSip => format!(
                r#"{{"msg_type":"audio","send_from":"+49{call}","send_to":"{user}","x-push-id":"push-{call}"}}"#
            ),
            _ if self.is_nameless(call) => {
                format!(r#"{{"ntype":"0","nfrom":"+49{call}","ntouser":"{user}"}}"#)
            }
            _ => {
                format!(r#"{{"ntype":"0","nfrom":"+49{call}","ntouser":"{user}","ncallid":"call-{call}@example.com"}}"#)
            }
        }
    }

    pub(super) fn pushed(&mut self, index: usize, call: usize) {
        self.phone.asleep_until = 0;
        self.reason();
        if self.phone.agent.is_none() {
            self.start();
        }
        let now = self.phone.now(self.at);
        let hints = Hints::at(now);
        let payload = self.payload(index, call);
        let Some(agent) = &self.phone.agent else { return };
        let action = agent.gate().judge(parse_push(payload.as_str(), Channel::FcmAndroid, &hints), &hints, now.boot);
        let app = &self.phone.apps[index];
        // One extension at two domains: the push does not say which domain.
        let named = action.identity.account.is_some() && !self.setting.shared_extension;
        let other = self.phone.apps.iter().any(|app| app.logged_in && app.wants_push);
        let unwanted = !(app.logged_in && app.wants_push);
        // It is not known yet who is logged out.
        let excused = app.excused || app.long_gone || self.is_shut();
        if action.is_call() && unwanted && (named || !other) && !excused {
            self.watch.fail(self.at, 1, "a late push makes a sound");
        }
        let process = self.phone.process;
        if self.setting.push_gap == 0 {
            self.handed_over(process, &action, index, call);
        } else {
            self.later(self.setting.push_gap, Due::Judged(process, Box::new(action), index, call));
        }
    }

    /// The app hands over a push that it judged, unless its process has died since.
    pub(super) fn handed_over(&mut self, process: u64, action: &PushAction, index: usize, call: usize) {
        if process != self.phone.process || self.phone.agent.is_none() {
            return;
        }
        // Its call's INVITE or end may have come already. Then no REGISTER is due.
        let waits = action.is_call() && !self.calls[call].over && self.calls[call].legs.is_empty();
        let app = &self.phone.apps[index];
        if waits && app.logged_in && app.wants_push && !self.servers[0].knows_another_password(&phone::user(index)) {
            self.owed_since[index].get_or_insert(self.at);
        }
        self.with_agent(|agent, now| agent.handle_push(action, *now));
    }

    /// Promise 6: a call is reported for its own account.
    pub(super) fn rings_for_the_right_one(&mut self, event: &CallEvent) {
        let CallChange::Ringing { caller, .. } = &event.change else { return };
        let number = caller.uri.trim_start_matches("sip:+49").split('@').next();
        let call = number.and_then(|number| number.parse().ok()).and_then(|number: usize| self.calls.get(number));
        // If the server identifies a phone only by `pn-*`, a call for a logged-out user comes to the other user, like a forwarded call:
        // To still names the called user.
        let gone = |call: &Call| self.setting.has(Habit::WaitsByPn) && !self.phone.apps[call.account].logged_in;
        let wrong = |call: &Call| {
            !gone(call) && event.account.as_ref().is_some_and(|told| *told != self.phone.apps[call.account].key)
        };
        if !self.setting.has(Habit::AliasInTo) && call.is_some_and(wrong) {
            self.watch.fail(self.at, 6, "a call is told under another account than the one it is for");
        }
    }

    /// Promise 3: a push leads to a REGISTER that is sent after it.
    pub(super) fn pushes_are_answered(&mut self) {
        let back_off = |since: u64| if self.silent_until > since { LONGEST_BACK_OFF } else { 0 };
        let late = |since: u64| since.max(self.disturbed) + MOST_OWED + back_off(since) < self.at;
        if self.phone.asleep_until <= self.at && self.owed_since.iter().flatten().any(|since| late(*since)) {
            self.watch.fail(self.at, 3, "a push was not answered by a REGISTER");
        }
    }
}
