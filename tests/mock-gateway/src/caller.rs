//! The caller: forks, holds, retransmits, cancels (RFC 3261, 9, 13.2, 16.7 and 17.1).

use tokio::time::Instant;

use crate::build::{Builder, quote};
use crate::call::{Answered, Call, CallOptions, CallReport, CallState, Leg, LegState, Phase, PushWhen};
use crate::gateway::{Gateway, Timer};
use crate::habits::Habit;
use crate::parse::{Message, NameAddr, Uri};
use crate::push::PushKind;
use crate::transaction::{ClientTransaction, Owner, T1, TIMEOUT};
use crate::transport::FlowId;

const MAX_CALLS: usize = 1000;
/// How many bytes of a To a server keeps whose habit is to cut it.
const TO_LIMIT: usize = 255;
pub(crate) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

impl Gateway {
    /// Places a call (INVITE) or a chat (MESSAGE) to every binding of a user.
    pub(crate) fn place(&mut self, name: &str, method: &'static str, options: CallOptions) -> u64 {
        let id = self.serial();
        if self.calls.len() >= MAX_CALLS {
            self.calls.pop_first();
        }
        let call_id =
            options.call_id.clone().unwrap_or_else(|| format!("call-{id}-{:x}@mock", self.salt & 0xffff_ffff));
        let display = options.display.as_ref().map(|d| format!("{} ", quote(d))).unwrap_or_default();
        let report = CallReport {
            id,
            call_id,
            user: name.to_owned(),
            state: CallState::Held,
            responses: Vec::new(),
            answer: None,
            pushes: 0,
            legs: 0,
            placed: self.record.elapsed(),
            answered: None,
            ended: None,
        };
        let habits = self.users.get(name).map(|u| u.profile.habits).unwrap_or_default();
        let user = if habits.has(Habit::AliasInTo) { "ring-group" } else { name };
        let long = if habits.has(Habit::ToCut) { format!(";x={}", "x".repeat(TO_LIMIT)) } else { String::new() };
        let hold = options.hold.or_else(|| self.users.get(name).map(|u| u.profile.hold)).unwrap_or_default();
        let call = Call {
            report,
            method,
            to_uri: format!("sip:{user}@{}{long}", self.local.ip()),
            from: format!("{display}<{}>", options.from),
            from_tag: self.fresh_tag(),
            push_id: format!("push-{id}"),
            legs: Vec::new(),
            pushed: Vec::new(),
            hold_over: false,
            rings: false,
            acks_to_lose: options.lose_acks,
            held: Vec::new(),
            options,
        };
        self.calls.insert(id, call);
        self.timer(hold, Timer::Hold { call: id });
        self.phase(id, Phase::Placed);
        if let Some(user) = self.users.get_mut(name) {
            user.expire(Instant::now());
        }
        let bindings: Vec<u64> =
            self.users.get(name).map(|u| u.bindings.iter().map(|b| b.id).collect()).unwrap_or_default();
        for binding in &bindings {
            self.reach(id, *binding);
        }
        let hopeless = self.calls.get(&id).is_some_and(|c| c.legs.is_empty() && c.pushed.is_empty());
        // Without any binding no client can wake up: the user is unknown or offline, and the call ends at once.
        if hopeless && bindings.is_empty() {
            self.finish(id, CallState::Unreachable);
        }
        self.bump();
        id
    }

    /// Sends the INVITE or MESSAGE to one binding.
    pub(crate) fn invite_binding(&mut self, id: u64, binding: u64) {
        let merged = self.calls.get(&id).is_some_and(|c| c.options.merged && !c.is_over());
        self.invite_once(id, binding);
        if merged {
            self.invite_once(id, binding);
        }
    }

    fn invite_once(&mut self, id: u64, binding: u64) {
        let branch = self.fresh_branch();
        let Some(call) = self.calls.get(&id).filter(|c| !c.is_over()) else { return };
        let Some(user) = self.users.get(&call.report.user) else { return };
        let Some(found) = user.bindings.iter().find(|b| b.id == binding) else { return };
        let (Some(flow), flow_id) = (self.flows.get(found.flow), found.flow) else { return };
        let contact = found.contact.uri.clone();
        let request_uri = if user.profile.strips_pn { without_pn(&contact) } else { contact.clone() };
        let via = format!("SIP/2.0/{} {};branch={branch};rport", flow.transport.via(), self.local);
        let own = self.own_uri("caller", flow.transport);
        let mut request = Builder::request(call.method, &request_uri)
            .header("Via", &via)
            .header("Max-Forwards", "69")
            .header("From", &format!("{};tag={}", call.from, call.from_tag))
            .header("To", &format!("<{}>", call.to_uri))
            .header("Call-ID", &call.report.call_id)
            .header("CSeq", &format!("1 {}", call.method));
        if call.method == "INVITE" {
            request = request
                .header("Contact", &format!("<{own}>"))
                .header("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, PRACK, UPDATE");
            if call.options.record_route {
                request = request.header("Record-Route", &format!("<{};lr>", self.own_uri("", flow.transport)));
            }
        }
        if user.profile.sends_x_push_id {
            request = request.header("X-Push-ID", &call.push_id);
        }
        request = request.headers(&call.options.headers);
        if let Some(body) = &call.options.body {
            request = request.body(&call.options.content_type, body);
        }
        let (text, method, silence) = (request.finish(), call.method, user.profile.silence);
        let can_push = found.push.is_some() && call.options.push == PushWhen::Asleep && !call.pushed.contains(&binding);
        let leg = Leg {
            binding,
            contact,
            request_uri,
            flow: flow_id,
            via,
            branch: branch.clone(),
            state: LegState::Calling,
            status: None,
            cancel: None,
            cancel_sent: false,
            to: format!("<{}>", call.to_uri),
            to_tag: String::new(),
            target: String::new(),
            routes: Vec::new(),
            local_cseq: 1,
            remote_cseq: 0,
            last_rseq: 0,
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.legs.push(leg);
        let number = call.legs.len() - 1;
        call.report.legs = call.legs.len();
        if call.report.state == CallState::Held {
            call.report.state = CallState::Calling;
        }
        self.ask(branch, method, text, flow_id, Owner { call: id, leg: number });
        self.phase(id, Phase::Invited);
        if can_push {
            self.timer(silence, Timer::Silence { call: id, leg: number });
        }
        self.bump();
    }

    /// Starts a client transaction.
    pub(crate) fn ask(&mut self, branch: String, method: &str, text: String, flow: FlowId, owner: Owner) {
        let transaction = ClientTransaction {
            method: method.to_owned(),
            text: text.clone(),
            flow,
            owner,
            interval: T1,
            deadline: Instant::now() + TIMEOUT,
            provisional: false,
            done: false,
        };
        self.clients.insert(branch.clone(), transaction);
        self.timer(T1, Timer::Retransmit { branch });
        self.send(flow, text);
    }

    /// Timers A and B, or E and F.
    pub(crate) fn retransmit(&mut self, branch: &str) {
        let reliable =
            self.clients.get(branch).and_then(|t| self.flows.get(t.flow)).is_none_or(|f| f.transport.is_reliable());
        let Some(transaction) = self.clients.get_mut(branch) else { return };
        if transaction.done || (transaction.provisional && transaction.method == "INVITE") {
            return;
        }
        if Instant::now() >= transaction.deadline {
            let (owner, method) = (transaction.owner, transaction.method.clone());
            self.clients.remove(branch);
            return self.timed_out(owner, &method, branch);
        }
        transaction.next_interval();
        let (wait, flow, text) = (transaction.interval, transaction.flow, transaction.text.clone());
        let left = transaction.deadline.saturating_duration_since(Instant::now());
        self.timer(wait.min(left), Timer::Retransmit { branch: branch.to_owned() });
        if !reliable && !left.is_zero() {
            self.send(flow, text);
        }
    }

    fn timed_out(&mut self, owner: Owner, method: &str, branch: &str) {
        let Some(call) = self.calls.get_mut(&owner.call) else { return };
        let Some(leg) = call.legs.get_mut(owner.leg) else { return };
        if leg.branch == branch && leg.state == LegState::Calling {
            leg.state = LegState::Done;
            self.weigh(owner.call);
        } else if method == "BYE" && self.is_answered(owner) {
            self.finish(owner.call, CallState::HungUpByCaller);
        }
    }

    /// A response arrived: to an INVITE, a CANCEL or another open request.
    pub(crate) fn response(&mut self, flow: FlowId, message: &Message) {
        let branch = message.via().map(|v| v.branch().to_owned()).unwrap_or_default();
        let status = message.status().unwrap_or_default();
        let method = message.method().to_owned();
        let key = if method == "CANCEL" { format!("{branch}/cancel") } else { branch };
        let Some(transaction) = self.clients.get_mut(&key).filter(|t| t.method == method) else {
            return self.record.violation("stray-response", format!("{status} to {method}"));
        };
        let (owner, again) = (transaction.owner, transaction.done);
        transaction.provisional = true;
        if status >= 200 && !again {
            transaction.done = true;
            self.timer(TIMEOUT, Timer::Forget { branch: key.clone() });
        }
        let at = self.record.elapsed();
        if let Some(call) = self.calls.get_mut(&owner.call)
            && let Some(leg) = call.legs.get(owner.leg)
            && call.report.responses.len() < 500
        {
            let contact = leg.contact.clone();
            call.report.responses.push(Answered { at, method: method.clone(), status, contact });
        }
        if status > 100 && message.tag("To").is_none() {
            self.record.violation("no-to-tag", format!("{status} to {method}"));
        }
        match method.as_str() {
            "INVITE" | "MESSAGE" if self.is_first_request(owner, &key) => {
                self.leg_response(flow, owner, status, message, again)
            }
            "INVITE" if status >= 200 => self.ack(owner, &key, message),
            "BYE" if !again && self.is_answered(owner) => self.finish(owner.call, CallState::HungUpByCaller),
            _ => {}
        }
        self.bump();
    }

    fn is_answered(&self, owner: Owner) -> bool {
        self.calls.get(&owner.call).is_some_and(|c| c.answered_leg() == Some(owner.leg))
    }

    fn is_first_request(&self, owner: Owner, branch: &str) -> bool {
        self.calls.get(&owner.call).and_then(|c| c.legs.get(owner.leg)).is_some_and(|l| l.branch == branch)
    }

    fn leg_response(&mut self, flow: FlowId, owner: Owner, status: u16, message: &Message, again: bool) {
        let Some(call) = self.calls.get_mut(&owner.call) else { return };
        let (over, invite) = (call.is_over(), call.method == "INVITE");
        let cut = self.users.get(&call.report.user).is_some_and(|u| u.profile.habits.has(Habit::ToCut));
        let taken = call.answered_leg().is_some_and(|l| l != owner.leg);
        let Some(leg) = call.legs.get_mut(owner.leg) else { return };
        match status {
            100..=199 => {
                if leg.state == LegState::Calling {
                    leg.state = LegState::Early;
                }
                let wanted = leg.cancel.is_some() && !leg.cancel_sent;
                if !over && status > 100 {
                    self.ringing(owner.call);
                }
                if wanted {
                    self.send_cancel(owner);
                }
                self.prack(owner, message);
            }
            200..=299 => {
                let first = !again;
                if first {
                    leg.state = if invite { LegState::Answered } else { LegState::Done };
                    leg.status = Some(status);
                    leg.flow = flow;
                    leg.to = message.header("To").unwrap_or_default().to_owned();
                    if cut {
                        leg.to = leg.to.chars().take(TO_LIMIT).collect();
                    }
                    leg.to_tag = message.tag("To").unwrap_or_default();
                    leg.routes = message.list("Record-Route").into_iter().rev().collect();
                    match message.list("Contact").first() {
                        Some(contact) => leg.target = NameAddr::parse(contact).uri,
                        None if invite => self.record.violation("no-contact", "2xx to INVITE".into()),
                        None => {}
                    }
                }
                if !invite {
                    return self.finish(owner.call, CallState::Delivered);
                }
                self.ack(owner, "", message);
                if first && (over || taken) {
                    // Two phones answered. The mock hangs up on the later one, and the call stays with the first.
                    self.in_dialog(owner, "BYE", None);
                    if let Some(leg) = self.calls.get_mut(&owner.call).and_then(|c| c.legs.get_mut(owner.leg)) {
                        leg.state = LegState::Done;
                    }
                } else if first {
                    self.answered(owner, message);
                }
            }
            _ => {
                if invite {
                    self.ack_refusal(owner, message);
                }
                if !again {
                    if let Some(leg) = self.calls.get_mut(&owner.call).and_then(|c| c.legs.get_mut(owner.leg)) {
                        leg.state = LegState::Done;
                        leg.status = Some(status);
                    }
                    self.weigh(owner.call);
                }
            }
        }
    }

    fn ringing(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.report.state = if call.answered_leg().is_some() { CallState::Answered } else { CallState::Ringing };
        if !call.rings {
            call.rings = true;
            let ring_time = call.options.ring_time;
            self.timer(ring_time, Timer::RingTime { call: id });
            self.phase(id, Phase::Ringing);
        }
    }

    fn answered(&mut self, owner: Owner, message: &Message) {
        let at = self.record.elapsed();
        let Some(call) = self.calls.get_mut(&owner.call) else { return };
        call.report.state = CallState::Answered;
        call.report.answered = Some(at);
        call.report.answer = Some(message.text()).filter(|t| !t.is_empty());
        let others: Vec<usize> = (0..call.legs.len()).filter(|l| *l != owner.leg).collect();
        for leg in others {
            self.cancel_leg(Owner { leg, ..owner }, Some(ELSEWHERE.into()));
        }
        self.phase(owner.call, Phase::Answered);
    }

    /// Decides whether a call whose legs have failed is over (RFC 3261, 16.7).
    pub(crate) fn weigh(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id).filter(|c| !c.is_over()) else { return };
        let statuses = call.legs.iter().filter_map(|l| l.status).filter(|s| *s >= 300);
        // A 6xx wins over all, else the lowest class.
        let best = statuses.min_by_key(|s| if *s >= 600 { 0 } else { *s });
        // A request to a binding that is gone by now does not delay the end.
        let bindings = self.users.get(&call.report.user).map(|u| u.bindings.as_slice()).unwrap_or_default();
        let exists = |id: u64| bindings.iter().any(|b| b.id == id);
        let open = call.legs.iter().any(|l| match l.state {
            LegState::Done => false,
            LegState::Calling => exists(l.binding),
            _ => true,
        });
        let answered_by = |b: &u64| call.legs.iter().any(|l| l.binding == *b && l.status.is_some());
        let awaited = !call.hold_over && call.pushed.iter().any(|b| exists(*b) && !answered_by(b));
        match best {
            Some(status) if status >= 600 || (!open && !awaited) => self.finish(id, CallState::Rejected(status)),
            None if !open && call.hold_over => self.finish(id, CallState::Unreachable),
            _ => {}
        }
    }

    /// Ends a call and cancels what is still open.
    pub(crate) fn finish(&mut self, id: u64, state: CallState) {
        let at = self.record.elapsed();
        let Some(call) = self.calls.get_mut(&id).filter(|c| !c.is_over()) else { return };
        call.report.state = state;
        call.report.ended = Some(at);
        let reason = (state == CallState::Elsewhere).then(|| ELSEWHERE.to_owned());
        let (legs, pushed) = (call.legs.len(), call.pushed.clone());
        let unanswered = call.report.answered.is_none() && call.method == "INVITE";
        let tells = self
            .calls
            .get(&id)
            .and_then(|c| self.users.get(&c.report.user))
            .is_some_and(|u| u.profile.sends_cancel_push);
        for leg in 0..legs {
            self.cancel_leg(Owner { call: id, leg }, reason.clone());
        }
        if tells && unanswered && !matches!(state, CallState::Rejected(_)) {
            for binding in pushed {
                self.push_call(id, binding, PushKind::Cancel);
            }
        }
        self.bump();
    }

    fn cancel_leg(&mut self, owner: Owner, reason: Option<String>) {
        let Some(call) = self.calls.get_mut(&owner.call).filter(|c| c.method == "INVITE") else { return };
        let Some(leg) = call.legs.get_mut(owner.leg) else { return };
        if leg.cancel.is_some() || !matches!(leg.state, LegState::Calling | LegState::Early) {
            return;
        }
        leg.cancel = Some(reason);
        if leg.state == LegState::Early {
            self.send_cancel(owner);
        }
    }

    fn send_cancel(&mut self, owner: Owner) {
        let Some(call) = self.calls.get_mut(&owner.call) else { return };
        let Some(leg) = call.legs.get_mut(owner.leg) else { return };
        leg.cancel_sent = true;
        let mut request = Builder::request("CANCEL", &leg.request_uri)
            .header("Via", &leg.via)
            .header("Max-Forwards", "69")
            .header("From", &format!("{};tag={}", call.from, call.from_tag))
            .header("To", &format!("<{}>", call.to_uri))
            .header("Call-ID", &call.report.call_id)
            .header("CSeq", "1 CANCEL");
        if let Some(reason) = leg.cancel.as_ref().and_then(Option::as_ref) {
            request = request.header("Reason", reason);
        }
        let (branch, flow, text) = (format!("{}/cancel", leg.branch), leg.flow, request.finish());
        // RFC 3261, 9.1: without a final response in 64 × T1 the INVITE counts as cancelled.
        let invite = leg.branch.clone();
        self.timer(TIMEOUT, Timer::Forget { branch: invite });
        self.ask(branch, "CANCEL", text, flow, owner);
    }

    pub(crate) fn phase(&mut self, id: u64, phase: Phase) {
        let end = self.calls.get(&id).and_then(|c| c.options.end).filter(|e| e.phase == phase);
        if let Some(end) = end {
            self.timer(end.after, Timer::PlannedEnd { call: id });
        }
    }

    pub(crate) fn planned_end(&mut self, id: u64) {
        let elsewhere = self.calls.get(&id).and_then(|c| c.options.end).is_some_and(|e| e.elsewhere);
        self.give_up(id, elsewhere);
    }

    /// Ends a call from the caller's side: CANCEL before the answer, BYE after it.
    pub(crate) fn give_up(&mut self, id: u64, elsewhere: bool) {
        let Some(call) = self.calls.get(&id) else { return };
        match call.answered_leg() {
            Some(_) => drop(self.in_call(id, "BYE", None)),
            None => self.finish(id, if elsewhere { CallState::Elsewhere } else { CallState::Cancelled }),
        }
    }

    pub(crate) fn ring_time_over(&mut self, id: u64) {
        if self.calls.get(&id).is_some_and(|c| c.report.state == CallState::Ringing) {
            self.finish(id, CallState::NoAnswer);
        }
    }
}

fn without_pn(uri: &str) -> String {
    let names = Uri::parse(uri).map(|u| u.params).unwrap_or_default();
    if names.iter().all(|(name, _)| !name.starts_with("pn-")) {
        return uri.to_owned();
    }
    uri.split(';').filter(|part| !part.starts_with("pn-")).collect::<Vec<_>>().join(";")
}
