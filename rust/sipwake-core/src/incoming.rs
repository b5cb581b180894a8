//! What is done with the requests that come in on a registered flow.

use uuid::Uuid;

use crate::clock::Now;
use crate::event::{CallChange, Caller, Discard, Ended, Event, FlowId, Offer};
use crate::payload::CallIdentity;
use crate::redact::Secret;
use crate::registration::ALLOW;
use crate::sip::{Builder, Message, Method};
use crate::uas::{ACCEPT, Invitation, InvitationDue, TransactionKey};
use crate::user_agent::UserAgent;
use crate::wake::Arrival;

/// INVITEs that ring or wait for their ACK at once.
const MAX_INVITATIONS: usize = 64;
/// The largest text or offer that is handed to the app, in bytes.
const MAX_BODY: usize = 64 * 1024;

impl UserAgent {
    pub(crate) fn handle_request(&mut self, flow: FlowId, request: Message, now: Now) {
        let (Some(key), Some(method)) = (TransactionKey::of(&request), request.method().cloned()) else {
            return self.discard(Discard::Malformed);
        };
        if request.call_id().is_none() || request.cseq().is_none_or(|cseq| cseq.method != method) {
            return self.discard(Discard::Malformed);
        }
        match method {
            Method::Invite => self.handle_invite(flow, key, request, now),
            Method::Ack => self.handle_ack(&key, now),
            Method::Cancel => self.handle_cancel(flow, &key, &request, now),
            _ => self.handle_other(flow, key, &method, &request, now),
        }
    }

    fn handle_invite(&mut self, flow: FlowId, key: TransactionKey, request: Message, now: Now) {
        if let Some(known) = self.invitations.iter().find(|known| known.key == key) {
            if let Some(bytes) = known.repeated() {
                self.cx.transmit(flow, bytes);
            }
            return;
        }
        let Some(registration) = self.registrations.iter().find(|registration| registration.owns(flow)) else {
            return self.discard(Discard::DeadFlow);
        };
        if self.invitations.len() >= MAX_INVITATIONS {
            return self.discard(Discard::TooManyCalls);
        }
        let silent = registration.is_silent() && registration.is_leaving();
        let account = registration.key.clone();
        let Some(up) = registration.flow_up() else { return self.discard(Discard::DeadFlow) };
        let reliable = up.hop.transport.is_reliable();
        let contact = format!("<{}>", registration.contact_uri(up));
        let tag = self.cx.random.token();
        let mut invitation = Invitation::new(key, flow, None, request, tag, reliable, now.boot);

        let unknown: Vec<String> = invitation.request().values("Require").map(str::to_owned).collect();
        let merged =
            self.invitations.iter().position(|known| known.is_ringing() && known.is_same_request(invitation.request()));
        let stale_flow = merged.is_some_and(|index| {
            let old = self.invitations[index].flow;
            old != flow && !self.registrations.iter().any(|registration| registration.owns(old))
        });
        let refusal = if !unknown.is_empty() {
            Some((420, "Bad Extension"))
        } else if merged.is_some() && !stale_flow {
            Some((482, "Loop Detected"))
        } else if silent {
            Some((480, "Temporarily Unavailable"))
        } else if is_in_dialog(invitation.request()) {
            Some((481, "Call/Transaction Does Not Exist"))
        } else {
            None
        };
        if let Some((code, phrase)) = refusal {
            let unsupported = unknown.join(", ");
            let extra: &[(&str, &str)] = if code == 420 { &[("Unsupported", &unsupported)] } else { &[] };
            return self.refuse(invitation, code, phrase, extra, now);
        }
        if let Some(bytes) = invitation.provisional(100, "Trying", None) {
            self.cx.transmit(flow, bytes);
        }

        let identity = identity(invitation.request());
        let caller = caller(invitation.request());
        let (uuid, announced, tell) = match self.wake.invite(&identity, account.clone(), now.boot) {
            Arrival::New(uuid) => (uuid, false, true),
            Arrival::Joined(uuid) => (uuid, true, true),
            // The gateway tries again towards the Contact that came meanwhile: the same call, the same ring.
            Arrival::Repeated(uuid) => (uuid, true, false),
            Arrival::Ghost(_, how) => {
                let (code, phrase) = match how {
                    Ended::Declined => (603, "Decline"),
                    Ended::Cancelled | Ended::AnsweredElsewhere => (487, "Request Terminated"),
                    _ => (480, "Temporarily Unavailable"),
                };
                return self.refuse(invitation, code, phrase, &[], now);
            }
            Arrival::Full => {
                self.discard(Discard::TooManyCalls);
                return self.refuse(invitation, 486, "Busy Here", &[], now);
            }
        };
        if let Some(index) = merged.filter(|_| stale_flow) {
            self.invitations.remove(index);
        }
        invitation.uuid = Some(uuid);
        if let Some(bytes) = invitation.provisional(180, "Ringing", Some(&contact)) {
            self.cx.transmit(flow, bytes);
        }
        let offer = offer(invitation.request());
        self.invitations.push(invitation);
        if tell {
            self.tell_call(uuid, Some(account), CallChange::Ringing { caller, announced, offer });
        }
    }

    fn refuse(&mut self, mut invitation: Invitation, code: u16, phrase: &str, extra: &[(&str, &str)], now: Now) {
        if let Some(bytes) = invitation.refuse(code, phrase, extra, now.boot) {
            self.cx.transmit(invitation.flow, bytes);
            self.invitations.push(invitation);
        }
    }

    /// Refuses every INVITE of a call that still rings.
    pub(crate) fn refuse_invitation(&mut self, call: Uuid, code: u16, phrase: &str, now: Now) {
        let mut refusals = Vec::new();
        for invitation in self.invitations.iter_mut().filter(|known| known.uuid == Some(call) && known.is_ringing()) {
            let flow = invitation.flow;
            refusals.extend(invitation.refuse(code, phrase, &[], now.boot).map(|bytes| (flow, bytes)));
        }
        for (flow, bytes) in refusals {
            self.transmit_if_up(flow, bytes);
        }
    }

    /// A call outlives its flow; an answer to it does not.
    fn transmit_if_up(&mut self, flow: FlowId, bytes: Vec<u8>) {
        if self.registrations.iter().any(|registration| registration.owns(flow)) {
            self.cx.transmit(flow, bytes);
        }
    }

    fn handle_ack(&mut self, key: &TransactionKey, now: Now) {
        let acknowledged = self
            .invitations
            .iter_mut()
            .find(|known| known.key == *key)
            .is_some_and(|invitation| invitation.acknowledged(now.boot));
        if !acknowledged {
            self.discard(Discard::StrayRequest);
        }
    }

    fn handle_cancel(&mut self, flow: FlowId, key: &TransactionKey, request: &Message, now: Now) {
        let Some(index) = self.invitations.iter().position(|known| known.key == *key) else {
            return self.answer(flow, None, request, 481, "Call/Transaction Does Not Exist", &[], now);
        };
        self.answer(flow, None, request, 200, "OK", &[], now);
        if !self.invitations[index].is_ringing() {
            return;
        }
        if let Some(bytes) = self.invitations[index].refuse(487, "Request Terminated", &[], now.boot) {
            self.cx.transmit(flow, bytes);
        }
        let Some(uuid) = self.invitations[index].uuid else { return };
        // A gateway that forks cancels one branch while another goes on.
        if !self.invitations.iter().any(|known| known.uuid == Some(uuid) && known.is_ringing()) {
            self.end_call(uuid, cancel_reason(request), now);
        }
    }

    fn handle_other(&mut self, flow: FlowId, key: TransactionKey, method: &Method, request: &Message, now: Now) {
        if let Some(bytes) = self.answers.find(&key, now.boot) {
            let bytes = bytes.to_vec();
            return self.cx.transmit(flow, bytes);
        }
        let key = Some(key);
        match method {
            Method::Options => {
                self.answer(flow, key, request, 200, "OK", &[("Allow", ALLOW), ("Accept", ACCEPT)], now);
            }
            Method::Message => self.handle_chat(flow, key, request, now),
            Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Notify | Method::Refer => {
                self.answer(flow, key, request, 481, "Call/Transaction Does Not Exist", &[], now);
            }
            _ => self.answer(flow, key, request, 405, "Method Not Allowed", &[("Allow", ALLOW)], now),
        }
    }

    fn handle_chat(&mut self, flow: FlowId, key: Option<TransactionKey>, request: &Message, now: Now) {
        let Some(registration) = self.registrations.iter().find(|registration| registration.owns(flow)) else {
            return self.discard(Discard::DeadFlow);
        };
        if registration.is_leaving() {
            return self.answer(flow, key, request, 480, "Temporarily Unavailable", &[], now);
        }
        let account = registration.key.clone();
        let content_type = request.header("Content-Type").unwrap_or("text/plain").to_owned();
        if !content_type.to_ascii_lowercase().starts_with("text/") {
            return self.answer(flow, key, request, 415, "Unsupported Media Type", &[("Accept", "text/plain")], now);
        }
        self.answer(flow, key, request, 200, "OK", &[], now);
        let Caller { uri, display_name } = caller(request);
        let body = &request.body[..request.body.len().min(MAX_BODY)];
        self.cx.tell(Event::Message {
            account,
            from: uri,
            display_name,
            content_type,
            text: Secret::new(String::from_utf8_lossy(body)),
            call_id: request.call_id().unwrap_or_default().to_owned(),
        });
    }

    #[expect(clippy::too_many_arguments, reason = "one answer, all of whose parts differ")]
    fn answer(
        &mut self,
        flow: FlowId,
        key: Option<TransactionKey>,
        request: &Message,
        code: u16,
        phrase: &str,
        extra: &[(&str, &str)],
        now: Now,
    ) {
        let tag = self.cx.random.token();
        let mut builder = Builder::response(request, code, phrase, Some(&tag));
        for (name, value) in extra {
            builder = builder.header(name, value);
        }
        let Ok(bytes) = builder.finish() else { return self.discard(Discard::Malformed) };
        if let Some(key) = key {
            self.answers.keep(key, bytes.clone(), now.boot);
        }
        self.cx.transmit(flow, bytes);
    }

    pub(crate) fn expire_invitations(&mut self, now: Now) {
        let mut unanswered = Vec::new();
        let mut repeats = Vec::new();
        self.invitations.retain_mut(|invitation| match invitation.due(now.boot) {
            Some(InvitationDue::Repeat) => {
                repeats.push((invitation.flow, invitation.last()));
                true
            }
            Some(InvitationDue::Unanswered) => {
                unanswered.extend(invitation.uuid);
                true
            }
            Some(InvitationDue::Done) => false,
            None => true,
        });
        for (flow, bytes) in repeats {
            self.transmit_if_up(flow, bytes);
        }
        for uuid in unanswered {
            self.refuse_invitation(uuid, 480, "Temporarily Unavailable", now);
            self.end_call(uuid, Ended::Unanswered, now);
        }
    }
}

fn is_in_dialog(request: &Message) -> bool {
    request.to().is_some_and(|to| to.tag().is_some())
}

fn identity(request: &Message) -> CallIdentity {
    let vendor_id = request.header("X-Push-ID").or(request.header("portsip-push-id"));
    let (from, to) = (request.from(), request.to());
    CallIdentity::new(
        request.call_id(),
        vendor_id,
        to.as_ref().map(|to| to.uri.as_str()),
        from.as_ref().map(|from| from.uri.as_str()),
    )
}

fn caller(request: &Message) -> Caller {
    let from = request.from();
    Caller {
        display_name: from.as_ref().and_then(|from| from.display_name.as_deref()).and_then(crate::payload::shown_name),
        uri: from.and_then(|from| crate::payload::shown_name(&from.uri)).unwrap_or_default(),
    }
}

fn offer(request: &Message) -> Option<Offer> {
    let body = &request.body;
    (!body.is_empty() && body.len() <= MAX_BODY).then(|| Offer {
        content_type: request.header("Content-Type").unwrap_or("application/sdp").to_owned(),
        body: body.clone(),
    })
}

/// RFC 3326: `Reason: SIP;cause=200;text="Call completed elsewhere"`.
fn cancel_reason(request: &Message) -> Ended {
    let elsewhere = request.values("Reason").any(|reason| {
        let mut parts = reason.split(';').map(str::trim);
        parts.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case("SIP"))
            && parts.any(|part| {
                part.split_once('=')
                    .is_some_and(|(name, value)| name.trim().eq_ignore_ascii_case("cause") && value.trim() == "200")
            })
    });
    if elsewhere { Ended::AnsweredElsewhere } else { Ended::Cancelled }
}
