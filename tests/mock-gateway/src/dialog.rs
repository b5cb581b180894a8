//! Inside a dialog: ACK, BYE, re-INVITE, OPTIONS, PRACK from the mock; BYE and the rest from the client.

use crate::build::Builder;
use crate::call::{CallState, Held, Leg, LegState};
use crate::gateway::Gateway;
use crate::parse::{Message, NameAddr};
use crate::push::PushKind;
use crate::registrar::purr;
use crate::transaction::Owner;
use crate::transport::FlowId;

impl Gateway {
    /// Sends a request inside the answered dialog of a call; false if there is none.
    pub(crate) fn in_call(&mut self, id: u64, method: &str, body: Option<String>) -> bool {
        let leg = self.calls.get(&id).filter(|c| !c.is_over()).and_then(|c| c.answered_leg());
        let Some(leg) = leg else { return false };
        self.in_dialog(Owner { call: id, leg }, method, body);
        true
    }

    pub(crate) fn in_dialog(&mut self, owner: Owner, method: &str, body: Option<String>) {
        if let Some(binding) = self.wakes_inside(owner) {
            if let Some(call) = self.calls.get_mut(&owner.call) {
                call.held.push(Held { leg: owner.leg, method: method.to_owned(), body });
            }
            self.push_call(owner.call, binding, PushKind::Call);
            return;
        }
        let branch = self.fresh_branch();
        let flow = self.dialog_flow(owner);
        let Some(leg) = self.leg_mut(owner) else { return };
        leg.local_cseq += 1;
        let cseq = leg.local_cseq;
        let Some(request) = self.dialog_request(owner, method, &branch, cseq, flow) else { return };
        let text = match body {
            Some(body) => request.body("application/sdp", &body).finish(),
            None => request.finish(),
        };
        self.ask(branch, method, text, flow, owner);
    }

    /// ACKs each 2xx, unless the ACK is to be lost. `branch` names the re-INVITE's transaction, or is empty for the
    /// first INVITE.
    pub(crate) fn ack(&mut self, owner: Owner, branch: &str, message: &Message) {
        if message.status().is_some_and(|s| s >= 300) {
            return self.ack_reinvite_refusal(owner, branch, message);
        }
        if let Some(call) = self.calls.get_mut(&owner.call)
            && call.acks_to_lose > 0
        {
            call.acks_to_lose -= 1;
            return;
        }
        let cseq = message.cseq().map_or(1, |(n, _)| n);
        let (branch, flow) = (self.fresh_branch(), self.dialog_flow(owner));
        if let Some(request) = self.dialog_request(owner, "ACK", &branch, cseq, flow) {
            self.send(flow, request.finish());
        }
    }

    /// RFC 3261, 17.1.1.3: the ACK of a refusal belongs to the INVITE's transaction.
    pub(crate) fn ack_refusal(&mut self, owner: Owner, message: &Message) {
        let Some(call) = self.calls.get(&owner.call) else { return };
        let Some(leg) = call.legs.get(owner.leg) else { return };
        let request = Builder::request("ACK", &leg.request_uri)
            .header("Via", &leg.via)
            .header("Max-Forwards", "69")
            .header("From", &format!("{};tag={}", call.from, call.from_tag))
            .header("To", message.header("To").unwrap_or_default())
            .header("Call-ID", &call.report.call_id)
            .header("CSeq", "1 ACK");
        let (flow, text) = (leg.flow, request.finish());
        self.send(flow, text);
    }

    fn ack_reinvite_refusal(&mut self, owner: Owner, branch: &str, message: &Message) {
        let cseq = message.cseq().map_or(1, |(n, _)| n);
        let flow = self.dialog_flow(owner);
        if let Some(request) = self.dialog_request(owner, "ACK", branch, cseq, flow) {
            self.send(flow, request.finish());
        }
    }

    /// RFC 3262, 4: a reliable provisional response is acknowledged by PRACK, once.
    pub(crate) fn prack(&mut self, owner: Owner, message: &Message) {
        let rseq = message.header("RSeq").and_then(|v| v.parse::<u32>().ok()).unwrap_or(0);
        let (to, tag) = (message.header("To").unwrap_or_default().to_owned(), message.tag("To").unwrap_or_default());
        let target = message.list("Contact").first().map(|c| NameAddr::parse(c).uri);
        let routes = message.list("Record-Route").into_iter().rev().collect();
        let Some(leg) = self.leg_mut(owner) else { return };
        if rseq <= leg.last_rseq {
            return;
        }
        leg.last_rseq = rseq;
        leg.to = to;
        leg.to_tag = tag;
        leg.target = target.unwrap_or_else(|| leg.request_uri.clone());
        leg.routes = routes;
        leg.local_cseq += 1;
        let cseq = leg.local_cseq;
        let (branch, flow) = (self.fresh_branch(), self.dialog_flow(owner));
        if let Some(request) = self.dialog_request(owner, "PRACK", &branch, cseq, flow) {
            let text = request.header("RAck", &format!("{rseq} 1 INVITE")).finish();
            self.ask(branch, "PRACK", text, flow, owner);
        }
    }

    /// Returns the binding of a client that sleeps during an answered call and that the `pn-purr` of its Contact can wake.
    fn wakes_inside(&self, owner: Owner) -> Option<u64> {
        let call = self.calls.get(&owner.call)?;
        let leg = call.legs.get(owner.leg).filter(|leg| leg.state == LegState::Answered)?;
        let binding = self.users.get(&call.report.user)?.bindings.iter().find(|known| known.id == leg.binding)?;
        let sleeps = binding.asleep || self.flows.get(binding.flow).is_none();
        let purr = format!("pn-purr={}", purr(&binding.contact.uri));
        (sleeps && leg.target.split(';').any(|parameter| parameter == purr)).then_some(binding.id)
    }

    /// A client is awake: requests that waited inside its calls are sent to it.
    pub(crate) fn woken_inside(&mut self, name: &str, binding: u64, flow: FlowId) {
        let bindings = self.users.get(name).map(|user| user.bindings.iter().map(|known| known.id).collect());
        let bindings: Vec<u64> = bindings.unwrap_or_default();
        let mut held = Vec::new();
        for (id, call) in self.calls.iter_mut().filter(|(_, call)| call.report.user == name) {
            // On a new connection a client has a new Contact, and so another binding.
            let legs = &mut call.legs;
            let is_here = |leg: &Leg| leg.binding == binding || !bindings.contains(&leg.binding);
            let (now, later) =
                std::mem::take(&mut call.held).into_iter().partition(|held: &Held| is_here(&legs[held.leg]));
            call.held = later;
            for Held { leg, method, body } in now {
                (legs[leg].binding, legs[leg].flow) = (binding, flow);
                held.push((Owner { call: *id, leg }, method, body));
            }
        }
        for (owner, method, body) in held {
            self.in_dialog(owner, &method, body);
        }
    }

    fn leg_mut(&mut self, owner: Owner) -> Option<&mut Leg> {
        self.calls.get_mut(&owner.call)?.legs.get_mut(owner.leg)
    }

    /// Returns the flow of the dialog or, if that is gone, the flow of the client's newest binding.
    fn dialog_flow(&self, owner: Owner) -> FlowId {
        let Some(call) = self.calls.get(&owner.call) else { return FlowId(0) };
        let Some(leg) = call.legs.get(owner.leg) else { return FlowId(0) };
        if self.flows.get(leg.flow).is_some() {
            return leg.flow;
        }
        let newest = self.users.get(&call.report.user).and_then(|u| u.bindings.last());
        newest.map_or(leg.flow, |b| b.flow)
    }

    fn dialog_request(&self, owner: Owner, method: &str, branch: &str, cseq: u32, flow: FlowId) -> Option<Builder> {
        let call = self.calls.get(&owner.call)?;
        let leg = call.legs.get(owner.leg)?;
        let transport = self.flows.get(flow)?.transport;
        let target = if leg.target.is_empty() { &leg.request_uri } else { &leg.target };
        let mut request = Builder::request(method, target)
            .header("Via", &format!("SIP/2.0/{} {};branch={branch};rport", transport.via(), self.local))
            .header("Max-Forwards", "70");
        // The mock is its own first hop, so its Record-Route needs no Route in its own requests.
        let own = self.local.to_string();
        for route in leg.routes.iter().filter(|r| !r.contains(&own)) {
            request = request.header("Route", route);
        }
        request = request
            .header("From", &format!("{};tag={}", call.from, call.from_tag))
            .header("To", &leg.to)
            .header("Call-ID", &call.report.call_id)
            .header("CSeq", &format!("{cseq} {method}"));
        if method == "INVITE" {
            request = request.header("Contact", &format!("<{}>", self.own_uri("caller", transport)));
        }
        Some(request)
    }

    /// A request from the client that belongs to a dialog.
    pub(crate) fn in_dialog_request(&mut self, flow: FlowId, message: &Message) {
        let (from_tag, to_tag) = (message.tag("From").unwrap_or_default(), message.tag("To").unwrap_or_default());
        let found = self.calls.iter().find_map(|(id, call)| {
            let ours = call.report.call_id == message.call_id() && call.from_tag == to_tag;
            let leg = call.legs.iter().position(|l| l.state == LegState::Answered && l.to_tag == from_tag);
            ours.then_some(leg).flatten().map(|leg| Owner { call: *id, leg })
        });
        let Some(owner) = found else {
            let status = if message.method() == "INVITE" && to_tag.is_empty() { 405 } else { 481 };
            return self.reply(flow, message, status, &[]);
        };
        let number = message.cseq().map_or(0, |(n, _)| n);
        let routed = self.calls.get(&owner.call).is_some_and(|c| c.options.record_route);
        if routed && message.header("Route").is_none() {
            self.record.violation("no-route", message.method().to_owned());
        }
        let Some(leg) = self.leg_mut(owner) else { return };
        if number <= leg.remote_cseq {
            self.record.violation("cseq-not-growing", format!("{} in a dialog", message.method()));
            return self.reply(flow, message, 500, &[]);
        }
        leg.remote_cseq = number;
        let asks = self.calls.get(&owner.call).filter(|call| call.options.challenges);
        if let Some(name) = asks.map(|call| call.report.user.clone())
            && let Some(profile) = self.users.get(&name).map(|user| user.profile.clone())
            && let Err((status, headers)) = self.authenticate(&name, &profile, message)
        {
            return self.reply(flow, message, status, &headers);
        }
        match message.method() {
            "BYE" => {
                self.reply(flow, message, 200, &[]);
                self.finish(owner.call, CallState::HungUpByCallee);
            }
            "INVITE" | "UPDATE" => self.reply(flow, message, 488, &[]),
            _ => self.reply(flow, message, 200, &[]),
        }
    }
}
