//! Requests inside a dialog: BYE, re-INVITE, UPDATE, PRACK, OPTIONS (RFC 3261 sections 12.2.2, 14.2 and 15.1.2; RFC 3311).

use uuid::Uuid;

use super::app_request::AppRequest;
use super::body::Unreadable;
use super::dialog::is_secure;
use super::invite::{CAPABILITIES, too_brief, unknown_extensions};
use super::session::{Change, Leaving, OFFER_WINDOW};
use super::session_timer::SessionTimer;
use super::transaction::{Invitation, Purpose};
use super::uas::TransactionKey;
use super::{Calls, Cx, Refusal, SUPPORTED, body, reason};
use crate::event::{Answer, CallChange, Discard, Ended, Offer};
use crate::outbox::Destination;
use crate::sip::{ALLOW, Builder, Message, Method};

const NO_SUCH_CALL: (u16, &str) = (481, "Call/Transaction Does Not Exist");

impl Calls {
    /// Handles a request with a tag in its To, other than INVITE, ACK and CANCEL.
    pub(crate) fn handle_within(
        &mut self,
        destination: Destination,
        key: TransactionKey,
        method: &Method,
        request: &Message,
        cx: &mut Cx<'_>,
    ) {
        let respond = |calls: &mut Self, cx: &mut Cx<'_>, code: u16, phrase: &str, extra: &[(&str, &str)]| {
            calls.answer_request(destination, Some(key.clone()), request, code, phrase, extra, cx);
        };
        let Some(index) = self.session_of(destination, request) else {
            return self.handle_early(destination, key, method, request, cx);
        };
        self.woken_for_it(index, cx);
        let unknown = unknown_extensions(request);
        if !unknown.is_empty() {
            return respond(self, cx, 420, "Bad Extension", &[("Unsupported", &unknown)]);
        }
        let cseq = request.cseq().map_or(0, |cseq| cseq.seq);
        if !self.sessions[index].dialog.advance(cseq) {
            return respond(self, cx, 500, "Server Internal Error", &[]);
        }
        match method {
            Method::Bye => {
                respond(self, cx, 200, "OK", &[]);
                if let Some(reason) = reason::of_bye(request) {
                    let uuid = self.sessions[index].uuid;
                    self.tell_call(uuid, CallChange::Reason(reason), cx);
                }
                self.hung_up_by_caller(index, cx);
            }
            Method::Options => respond(self, cx, 200, "OK", &CAPABILITIES),
            Method::Update => self.handle_update(index, destination, key, request, cx),
            Method::Info if request.body.is_empty() => respond(self, cx, 200, "OK", &[]),
            Method::Info | Method::Refer => self.ask_app(index, AppRequest::new(destination, key, request), cx),
            Method::Message => self.handle_chat(destination, Some(key), request, cx),
            // RFC 3262 section 3: the 200 may overtake the PRACK of a 180.
            Method::Prack if self.take_prack(request) => respond(self, cx, 200, "OK", &[]),
            Method::Prack | Method::Notify => respond(self, cx, NO_SUCH_CALL.0, NO_SUCH_CALL.1, &[]),
            _ => respond(self, cx, 405, "Method Not Allowed", &[("Allow", ALLOW)]),
        }
    }

    /// A request inside a call came. A push that named nothing may have been a wake-up for it, and then it announced no
    /// other call. If there is another call after all, its INVITE rings.
    fn woken_for_it(&mut self, index: usize, cx: &mut Cx<'_>) {
        if let Some(nothing) = self.table.perhaps_none(self.sessions[index].uuid) {
            self.end_call(nothing, Ended::NoCall, cx);
        }
    }

    /// Handles a request in the dialog of a ringing call.
    fn handle_early(
        &mut self,
        destination: Destination,
        key: TransactionKey,
        method: &Method,
        request: &Message,
        cx: &mut Cx<'_>,
    ) {
        let tag = request.to_tag();
        let rings = |known: &Invitation| {
            known.is_open() && tag == Some(known.local_tag()) && known.request.call_id() == request.call_id()
        };
        let found = self.invitations.iter().position(rings);
        let (code, phrase) = match (method, found) {
            (Method::Prack, Some(_)) if request.body.is_empty() => {
                if self.take_prack(request) {
                    (200, "OK")
                } else {
                    NO_SUCH_CALL
                }
            }
            (Method::Prack, Some(_)) => (488, "Not Acceptable Here"),
            (Method::Options, Some(_)) => (200, "OK"),
            (Method::Update, Some(_)) if request.body.is_empty() => (200, "OK"),
            // RFC 3311 5.2: the INVITE's own offer has no answer yet.
            (Method::Update, Some(_)) => (500, "Server Internal Error"),
            (Method::Bye, Some(_)) => (200, "OK"),
            _ => NO_SUCH_CALL,
        };
        let overdue = |index: &usize| {
            let invitation = &self.invitations[*index];
            *method == Method::Prack && code == 200 && invitation.wants_ringing()
        };
        let overdue = found.filter(overdue);
        let contact = found.and_then(|index| {
            let invitation = &self.invitations[index];
            self.contact_of(&invitation.account, is_secure(&invitation.request), cx)
        });
        let extra: Vec<(&str, &str)> = match (method, code, &contact) {
            (Method::Update, 200, Some(contact)) => vec![("Contact", contact)],
            (Method::Update, 500, _) => vec![("Retry-After", "5")],
            _ => Vec::new(),
        };
        self.answer_request(destination, Some(key), request, code, phrase, &extra, cx);
        if let Some(index) = overdue {
            self.send_progress(index, cx);
        }
        if let (Method::Bye, Some(index)) = (method, found)
            && let Purpose::Ring(uuid) = self.invitations[index].purpose
        {
            self.refuse_at(index, 487, "Request Terminated", &[], cx);
            if !self.invitations.iter().any(|known| known.rings(uuid)) {
                self.end_call(uuid, Ended::Cancelled, cx);
            }
        }
    }

    fn take_prack(&mut self, request: &Message) -> bool {
        let tag = request.to_tag();
        let rack = request.header("RAck").unwrap_or_default();
        let of_call =
            |known: &&mut Invitation| tag == Some(known.local_tag()) && known.request.call_id() == request.call_id();
        self.invitations.iter_mut().filter(of_call).any(|known| known.prack(rack))
    }

    fn hung_up_by_caller(&mut self, index: usize, cx: &mut Cx<'_>) {
        let uuid = self.sessions[index].uuid;
        // Section 15.1.2: requests without a response get 487.
        let change = self.sessions[index].change.take();
        self.refuse_change(change, 487, "Request Terminated", cx);
        for asked in std::mem::take(&mut self.sessions[index].asked) {
            self.answer_asked(&asked, Some(487), cx);
        }
        // The BYE shows that our 2xx arrived, even if its ACK was lost.
        let of_call =
            |known: &&mut Invitation| matches!(known.purpose, Purpose::Ring(of) | Purpose::Change(of) if of == uuid);
        for invitation in self.invitations.iter_mut().filter(of_call).filter(|known| known.awaits_ack()) {
            invitation.acknowledge(cx.now.boot);
        }
        self.sessions.remove(index);
        self.end_call(uuid, Ended::HungUpByCaller, cx);
    }

    pub(crate) fn handle_invite_within(&mut self, mut invitation: Invitation, cx: &mut Cx<'_>) {
        let Some(index) = self.session_of(invitation.destination, &invitation.request) else {
            return self.refuse_new(invitation, &Refusal::new(NO_SUCH_CALL.0, NO_SUCH_CALL.1), cx);
        };
        self.woken_for_it(index, cx);
        let offer = match self.admit_change(index, &invitation.request, cx) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_new(invitation, &refusal, cx),
        };
        let uuid = self.sessions[index].uuid;
        invitation.purpose = Purpose::Change(uuid);
        invitation.answer_by(cx.now.boot + OFFER_WINDOW);
        if let Ok(trying) = Builder::response(&invitation.request, 100, "Trying", None).finish() {
            invitation.proceed(trying.clone(), None, cx.now.boot);
            cx.outbox.transmit(invitation.destination, trying);
        }
        self.sessions[index].change = Some(Change::Invite(invitation.key.clone()));
        self.invitations.push(invitation);
        self.offered(index, offer, cx);
    }

    fn handle_update(
        &mut self,
        index: usize,
        destination: Destination,
        key: TransactionKey,
        request: &Message,
        cx: &mut Cx<'_>,
    ) {
        let change =
            |until| Change::Update { key: key.clone(), destination, request: Box::new(request.clone()), until };
        match self.admit_change(index, request, cx) {
            Err(refusal) => {
                let (code, phrase) = (refusal.code, refusal.phrase);
                let header = refusal.header.as_ref().map(|(name, value)| (*name, value.as_str()));
                self.answer_request(destination, Some(key), request, code, phrase, header.as_slice(), cx);
            }
            Ok(None) => {
                self.sessions[index].change = Some(change(cx.now.boot));
                let uuid = self.sessions[index].uuid;
                self.accept_change(uuid, None, cx);
            }
            Ok(Some(offer)) => {
                // If an UPDATE comes again before its response, it is the same one: `change` has its transaction.
                self.sessions[index].change = Some(change(cx.now.boot + OFFER_WINDOW));
                self.offered(index, Some(offer), cx);
            }
        }
    }

    /// Checks whether a re-INVITE or UPDATE can be handled now.
    fn admit_change(&mut self, index: usize, request: &Message, cx: &mut Cx<'_>) -> Result<Option<Offer>, Refusal> {
        let pending = || Refusal::new(500, "Server Internal Error").with("Retry-After", "3");
        let unknown = unknown_extensions(request);
        let session = &mut self.sessions[index];
        if !unknown.is_empty() {
            return Err(Refusal::new(420, "Bad Extension").with("Unsupported", unknown));
        }
        let invite = request.method() == Some(&Method::Invite);
        if invite && !session.dialog.advance(request.cseq().map_or(0, |cseq| cseq.seq)) {
            return Err(Refusal::new(500, "Server Internal Error"));
        }
        if session.leaving != Leaving::No {
            return Err(Refusal::new(NO_SUCH_CALL.0, NO_SUCH_CALL.1));
        }
        // Section 14.2: only one change of the caller at a time. One of ours comes first.
        if session.change.is_some() || session.awaits_answer {
            return Err(pending());
        }
        if session.request.as_ref().is_some_and(|ours| ours.method == Method::Invite) {
            return Err(Refusal::new(491, "Request Pending"));
        }
        SessionTimer::asked(request, cx.now.boot).map_err(|_| too_brief())?;
        let offer = body::description(request).map_err(Unreadable::refusal)?;
        session.dialog.refresh_target(request);
        Ok(offer)
    }

    /// Passes an offer to the app, unless it is only a refresh.
    fn offered(&mut self, index: usize, offer: Option<Offer>, cx: &mut Cx<'_>) {
        let session = &self.sessions[index];
        let uuid = session.uuid;
        if offer.as_ref().is_some_and(|offer| session.is_known(offer)) {
            let same = session.local.clone();
            self.accept_change(uuid, Some(same), cx);
            return;
        }
        self.tell_call(uuid, CallChange::Offered { offer }, cx);
    }

    pub(crate) fn respond_change(&mut self, call: Uuid, answer: Option<Answer>, cx: &mut Cx<'_>) -> bool {
        let Some(session) = self.sessions_of(call) else { return false };
        if session.change.is_none() {
            return false;
        }
        if let Some(answer) = answer.filter(|answer| !answer.body.is_empty()) {
            return self.accept_change(call, Some(answer), cx);
        }
        let change = session.change.take();
        self.refuse_change(change, 488, "Not Acceptable Here", cx);
        true
    }

    /// Refuses an offer of the caller that waits for the app.
    fn refuse_change(&mut self, change: Option<Change>, code: u16, phrase: &'static str, cx: &mut Cx<'_>) {
        match change {
            Some(Change::Invite(key)) => {
                if let Some(index) = self.invitations.iter().position(|known| known.key == key && known.is_open()) {
                    self.refuse_at(index, code, phrase, &[], cx);
                }
            }
            Some(Change::Update { key, destination, request, .. }) => {
                self.answer_request(destination, Some(key), &request, code, phrase, &[], cx);
            }
            None => {}
        }
    }

    fn accept_change(&mut self, call: Uuid, answer: Option<Answer>, cx: &mut Cx<'_>) -> bool {
        let Some(at) = self.sessions.iter().position(|session| session.uuid == call) else { return false };
        let Some(change) = self.sessions[at].change.take() else { return false };
        let request = match &change {
            Change::Update { request, .. } => (**request).clone(),
            Change::Invite(key) => match self.invitations.iter().find(|known| known.key == *key && known.is_open()) {
                Some(invitation) => invitation.request.clone(),
                None => return false,
            },
        };
        let offer = body::description(&request).ok().flatten();
        // RFC 4028 section 7.4: a request that asks for no timer ends the present one.
        let timer = SessionTimer::asked(&request, cx.now.boot).ok().flatten();
        let headers = timer.as_ref().map(SessionTimer::agreement).unwrap_or_default();
        match change {
            Change::Invite(key) => {
                let Some(answer) = &answer else { return false };
                let Some(index) = self.invitations.iter().position(|known| known.key == key) else { return false };
                if !self.send_accepting(index, &headers, answer, cx) {
                    self.refuse_at(index, 488, "Not Acceptable Here", &[], cx);
                    return false;
                }
                self.sessions[at].awaits_answer = offer.is_none();
            }
            Change::Update { key, destination, request, .. } => {
                let session = &self.sessions[at];
                let contact = self.contact_of(&session.account, session.dialog.is_secure(), cx);
                let Some(contact) = contact else { return false };
                let mut builder = Builder::response(&request, 200, "OK", None)
                    .header("Contact", &contact)
                    .header("Allow", self.allow())
                    .header("Supported", SUPPORTED);
                for (name, value) in &headers {
                    builder = builder.header(name, value);
                }
                if let Some(answer) = &answer {
                    builder = builder.body(&answer.content_type, &answer.body);
                }
                let Ok(bytes) = builder.finish() else {
                    self.answer_request(destination, Some(key), &request, 488, "Not Acceptable Here", &[], cx);
                    return false;
                };
                self.answers.keep(key, bytes.clone(), cx.now.boot);
                match cx.destination(&self.sessions[at].account, destination) {
                    Some(destination) => cx.outbox.transmit(destination, bytes),
                    None => cx.outbox.discard(Discard::DeadFlow),
                }
            }
        }
        let session = &mut self.sessions[at];
        session.timer = timer;
        if let Some(answer) = answer {
            session.local = answer;
        }
        if offer.is_some() {
            session.remote = offer;
        }
        true
    }

    /// Whether a request is an UPDATE, or one for the app, that still waits for the app.
    pub(crate) fn is_pondered(&self, key: &TransactionKey) -> bool {
        self.sessions.iter().any(|session| {
            matches!(&session.change, Some(Change::Update { key: of, .. }) if of == key)
                || session.asked.iter().any(|asked| asked.is_of(key))
        })
    }

    /// The caller took an offer back (CANCEL of a re-INVITE).
    pub(crate) fn forget_change(&mut self, call: Uuid) {
        if let Some(session) = self.sessions_of(call) {
            session.change = None;
        }
    }
}
