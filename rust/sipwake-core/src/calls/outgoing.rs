//! Our own requests inside a call: BYE, and the UPDATE or re-INVITE that refreshes a session or moves it to another flow.

use std::time::Duration;

use uuid::Uuid;

use super::session::{Leaving, Outgoing, Session};
use super::session_timer::SessionTimer;
use super::{Calls, Cx, SUPPORTED};
use crate::digest::{Challenged, parse_challenges};
use crate::event::{Answer, CallChange, Ended};
use crate::flows::Up;
use crate::outbox::Destination;
use crate::sip::{Message, Method};
use crate::transaction::{ClientTransaction, Due};
use crate::trust::Warning;

/// How many challenges are answered in one call. Each answer is a digest from which its receiver can guess the
/// password.
const MAX_ANSWERS_A_CALL: u8 = 2;
/// RFC 3261 section 14.1, for the side that did not choose the Call-ID.
const AGAIN: Duration = Duration::from_secs(2);

impl Calls {
    /// Leaves a call. The BYE is sent as soon as it is allowed.
    pub(crate) fn leave(&mut self, call: Uuid, status: Option<u16>, cx: &mut Cx<'_>) {
        if let Some(session) = self.sessions_of(call)
            && session.leaving == Leaving::No
        {
            session.leaving = Leaving::Wanted(status);
            session.timer = None;
        }
        self.respond_change(call, None, cx);
    }

    /// Ends an answered call that cannot continue, because an ACK or the response to a refresh never came.
    pub(crate) fn fail_session(&mut self, call: Uuid, status: u16, cx: &mut Cx<'_>) {
        self.end_call(call, Ended::Failed(status), cx);
        self.leave(call, Some(status), cx);
        if let Some(session) = self.sessions_of(call) {
            // Section 15: without an ACK, the BYE may be sent when the wait for the ACK has ended.
            session.connected = true;
        }
    }

    /// Sends what is due in each call, if there is a flow for it.
    pub(crate) fn drive_sessions(&mut self, cx: &mut Cx<'_>) {
        for index in 0..self.sessions.len() {
            let session = &self.sessions[index];
            let Some(destination) = cx.destination(&session.account, session.destination).filter(|_| session.connected)
            else {
                continue;
            };
            match session.leaving {
                Leaving::Wanted(status) => {
                    let mut headers = Vec::new();
                    if let Some(status) = status {
                        headers.push(("Reason", format!("SIP;cause={status};text=\"{}\"", super::phrase(status))));
                    }
                    self.sessions[index].leaving = Leaving::Sent;
                    self.sessions[index].request = None;
                    self.send_request(index, &Method::Bye, headers, Challenged::default(), cx);
                }
                // The caller learns the Contact on the new flow (RFC 3261 section 12.2: a target refresh).
                Leaving::No if destination != session.destination && session.request.is_none() => {
                    self.sessions[index].destination = destination;
                    self.refresh(index, cx);
                }
                Leaving::No | Leaving::Sent => {}
            }
        }
        self.sessions.retain(|session| {
            let over = session.leaving == Leaving::Sent && session.request.is_none();
            !over && cx.accounts.is_known(&session.account)
        });
    }

    /// Sends an UPDATE. If the caller does not support that, sends a re-INVITE with what was agreed before.
    fn refresh(&mut self, index: usize, cx: &mut Cx<'_>) {
        let session = &self.sessions[index];
        if session.change.is_some() {
            return;
        }
        let method = if session.takes_update { Method::Update } else { Method::Invite };
        let mut headers = session.timer.as_ref().map(SessionTimer::refresh).unwrap_or_default();
        let Some(contact) = self.contact_of(&session.account, session.dialog.is_secure(), cx) else { return };
        headers.extend([("Contact", contact), ("Supported", SUPPORTED.to_owned()), ("Allow", self.allow().to_owned())]);
        self.send_request(index, &method, headers, Challenged::default(), cx);
    }

    pub(super) fn send_request(
        &mut self,
        index: usize,
        method: &Method,
        headers: Vec<(&'static str, String)>,
        mut challenged: Challenged,
        cx: &mut Cx<'_>,
    ) {
        let branch = cx.outbox.branch();
        let session = &self.sessions[index];
        let Some((destination, up)) = way_up(session, cx) else { return };
        let (via, reliable) = (via(&up, &branch), up.transport.is_reliable());
        let session = &mut self.sessions[index];
        let cseq = session.dialog.next_cseq();
        let body = match method {
            Method::Invite => Some(session.local.clone()),
            // RFC 3515 section 2.4.5.
            Method::Notify => Some(Answer {
                content_type: "message/sipfrag;version=2.0".to_owned(),
                body: b"SIP/2.0 100 Trying\r\n".to_vec(),
            }),
            _ => None,
        };
        let (uri, bytes) = (session.dialog.request_uri(), body.as_ref().map_or(&[][..], |body| &body.body));
        let request = (method.as_str(), uri.as_str(), bytes);
        let answers = cx.accounts.answer_challenges(&session.account, &mut challenged, request, cx.outbox);
        let mut builder = session.dialog.request(method, cseq, &via);
        for (name, value) in headers.iter().chain(&answers) {
            builder = builder.header(name, value);
        }
        if let Some(body) = &body {
            builder = builder.body(&body.content_type, &body.body);
        }
        let Ok(bytes) = builder.finish() else {
            // The caller's part of the dialog cannot be written into a request, so there is nobody to send it to.
            log::warn!("a {method} cannot be built");
            return;
        };
        session.request = Some(Outgoing {
            method: method.clone(),
            branch,
            cseq,
            bytes: bytes.clone(),
            transaction: ClientTransaction::start(reliable, cx.now.boot),
            headers,
            challenged,
            heard: false,
        });
        cx.outbox.transmit(destination, bytes);
    }

    /// Takes a response to one of our requests. Returns `false` if it belongs to none of them.
    pub(crate) fn handle_call_response(&mut self, response: &Message, cx: &mut Cx<'_>) -> bool {
        let Some(code) = response.code() else { return false };
        if self.acknowledge_again(response, code, cx) {
            return true;
        }
        let ours = |session: &Session| session.request.as_ref().is_some_and(|request| request.is_answered_by(response));
        let Some(index) = self.sessions.iter().position(ours) else { return false };
        let session = &mut self.sessions[index];
        let Some(request) = session.request.as_mut() else { return false };
        if code < 200 {
            request.heard = true;
            request.transaction.proceed(cx.now.boot);
            return true;
        }
        let (method, cseq, branch) = (request.method.clone(), request.cseq, request.branch.clone());
        let concluded = session.request.take();
        if method == Method::Invite {
            self.acknowledge(index, cseq, code, branch, cx);
        }
        if matches!(code, 401 | 407)
            && let Some(request) = concluded
            && self.answer_with_credentials(index, request, response, cx)
        {
            return true;
        }
        let session = &mut self.sessions[index];
        match (&method, code) {
            // After any response to a BYE, the call is over (RFC 3261 section 15.1.1).
            (Method::Bye, _) => drop(self.sessions.remove(index)),
            // After any response to the one NOTIFY of a transfer, the call continues.
            (Method::Notify, _) => {}
            (_, 200..=299) => {
                session.dialog.refresh_target(response);
                let timer = session.timer.as_ref().and_then(|timer| timer.refreshed(response, cx.now.boot));
                session.timer = timer;
                let described = super::body::description(response).ok().flatten();
                if let Some(answer) = described.filter(|answer| !session.is_known(answer)) {
                    session.remote = Some(answer.clone());
                    let uuid = session.uuid;
                    self.tell_call(uuid, CallChange::Answered(answer), cx);
                }
            }
            (_, 422) => {
                let min_se = response.header("Min-SE").and_then(|value| value.trim().parse().ok()).unwrap_or(0);
                if session.timer.as_mut().is_some_and(|timer| timer.lengthen(min_se)) {
                    self.refresh(index, cx);
                }
            }
            (Method::Update, 405 | 501) => {
                session.takes_update = false;
                self.refresh(index, cx);
            }
            // Section 12.2.1.2: the caller does not know this call.
            (_, 408 | 481) => {
                let uuid = session.uuid;
                self.fail_session(uuid, code, cx);
            }
            // Section 14.1: both sides asked at once. The side that did not begin the call waits for up to two seconds.
            // After 500 and 503, the caller says how long to wait.
            (_, 491) => session.again_at = Some(cx.now.boot + cx.outbox.random().up_to(AGAIN)),
            (_, 500 | 503) => {
                let wait =
                    response.header("Retry-After").and_then(|value| value.split([' ', ';', '(']).next()?.parse().ok());
                session.again_at = Some(cx.now.boot + Duration::from_secs(wait.unwrap_or(5).clamp(1, 60)));
            }
            // Anything else leaves the session as it was (14.1). Its timer decides.
            _ => {}
        }
        true
    }

    /// Sends a request again with the account's credentials (RFC 3261 section 22.1). Returns `false` if they were
    /// refused, or if none of the challenges can be answered.
    fn answer_with_credentials(
        &mut self,
        index: usize,
        request: Outgoing,
        response: &Message,
        cx: &mut Cx<'_>,
    ) -> bool {
        let account = &self.sessions[index].account;
        let challenges = parse_challenges(response.headers("WWW-Authenticate"), response.headers("Proxy-Authenticate"));
        let Outgoing { method, headers, mut challenged, .. } = request;
        if self.sessions[index].answers_given >= MAX_ANSWERS_A_CALL {
            log::warn!("{account}: a {method} in a call asks for credentials too often");
            if let Some(challenge) = challenges.first() {
                cx.outbox.warn(account, Warning::CallChallengeRefused { realm: challenge.realm.clone() });
            }
            return false;
        }
        // Over UDP the other end may be the caller, and not one of our servers.
        let ours = self.sessions[index].destination.to.is_none();
        if !ours || !cx.accounts.is_answerable(account, &challenges, &mut challenged, cx.now) {
            if let Some(challenge) = challenges.first() {
                cx.outbox.warn(account, Warning::CallChallengeRefused { realm: challenge.realm.clone() });
            }
            return false;
        }
        self.sessions[index].answers_given += 1;
        self.send_request(index, &method, headers, challenged, cx);
        self.sessions[index].request.is_some()
    }

    /// Sends the ACK of our re-INVITE: after a 2xx in a transaction of its own, otherwise in the INVITE's.
    fn acknowledge(&mut self, index: usize, cseq: u32, code: u16, branch: String, cx: &mut Cx<'_>) {
        let branch = if code < 300 { cx.outbox.branch() } else { branch };
        let session = &self.sessions[index];
        let Some((destination, up)) = way_up(session, cx) else { return };
        if let Ok(bytes) = session.dialog.request(&Method::Ack, cseq, &via(&up, &branch)).finish() {
            self.sessions[index].last_ack = Some((cseq, bytes.clone()));
            cx.outbox.transmit(destination, bytes);
        }
    }

    /// Section 13.2.2.4: if a 2xx comes again, its ACK was lost.
    fn acknowledge_again(&mut self, response: &Message, code: u16, cx: &mut Cx<'_>) -> bool {
        let Some(cseq) = response.cseq().filter(|cseq| code >= 200 && cseq.method == Method::Invite.as_str()) else {
            return false;
        };
        let again = self.sessions.iter().find_map(|session| {
            let (acknowledged, bytes) = session.last_ack.as_ref()?;
            let same = *acknowledged == cseq.seq && session.dialog.is_answered_by(response);
            same.then(|| (cx.destination(&session.account, session.destination), bytes.clone()))
        });
        let Some((destination, bytes)) = again else { return false };
        if let Some(destination) = destination {
            cx.outbox.transmit(destination, bytes);
        }
        true
    }

    pub(crate) fn expire_sessions(&mut self, cx: &mut Cx<'_>) {
        let calls: Vec<Uuid> = self.sessions.iter().map(|session| session.uuid).collect();
        for call in calls {
            let Some(index) = self.sessions.iter().position(|session| session.uuid == call) else { continue };
            self.expire_request(index, cx);
            let Some(session) = self.sessions_of(call) else { continue };
            if matches!(&session.change, Some(super::session::Change::Update { until, .. }) if cx.now.boot >= *until) {
                self.respond_change(call, None, cx);
            }
            self.expire_asked(call, cx);
            let Some(index) = self.sessions.iter().position(|session| session.uuid == call) else { continue };
            let session = &mut self.sessions[index];
            if session.leaving == Leaving::No
                && session.request.is_none()
                && session.again_at.take_if(|at| cx.now.boot >= *at).is_some()
            {
                self.refresh(index, cx);
            }
            let session = &mut self.sessions[index];
            let Some(timer) = session.timer.as_mut().filter(|timer| cx.now.boot >= timer.at()) else { continue };
            if timer.is_over(cx.now.boot) {
                // RFC 4028 section 10.
                self.fail_session(call, 408, cx);
            } else if session.leaving == Leaving::No && session.request.is_none() {
                timer.asked_already();
                self.refresh(index, cx);
            } else {
                timer.asked_already();
            }
        }
    }

    fn expire_request(&mut self, index: usize, cx: &mut Cx<'_>) {
        let session = &mut self.sessions[index];
        let Some(request) = session.request.as_mut() else { return };
        match request.due(cx.now.boot) {
            Some(Due::Retransmit) => {
                let bytes = request.bytes.clone();
                if let Some(destination) =
                    cx.destination(&self.sessions[index].account, self.sessions[index].destination)
                {
                    cx.outbox.transmit(destination, bytes);
                }
            }
            Some(Due::TimedOut) if request.method == Method::Bye => drop(self.sessions.remove(index)),
            Some(Due::TimedOut) if request.method == Method::Notify => session.request = None,
            Some(Due::TimedOut) => {
                let uuid = session.uuid;
                session.request = None;
                self.fail_session(uuid, 408, cx);
            }
            None => {}
        }
    }
}

/// The destination of a request of ours, and the flow for it.
fn way_up(session: &Session, cx: &Cx<'_>) -> Option<(Destination, Up)> {
    let destination = cx.destination(&session.account, session.destination)?;
    Some((destination, cx.flows.up(destination.flow)?))
}

fn via(up: &Up, branch: &str) -> String {
    format!("SIP/2.0/{} {};branch={branch};rport", up.transport.via(), up.local)
}
