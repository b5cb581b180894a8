//! Our own requests inside a call: BYE, and the UPDATE or re-INVITE that refreshes a session or moves it to another flow.

use uuid::Uuid;

use super::SUPPORTED;
use super::session::{Leaving, Outgoing, Session};
use super::session_timer::SessionTimer;
use crate::clock::Now;
use crate::digest::parse_challenges;
use crate::event::{CallChange, Ended};
use crate::flows::Up;
use crate::outbox::Way;
use crate::registration::Challenged;
use crate::sip::{Message, Method};
use crate::transaction::{ClientTransaction, Due};
use crate::uas::ALLOW;
use crate::user_agent::UserAgent;

impl UserAgent {
    /// Leaves a call: the BYE goes out as soon as it may.
    pub(crate) fn leave(&mut self, call: Uuid, status: Option<u16>, now: Now) {
        if let Some(session) = self.sessions_of(call)
            && session.leaving == Leaving::No
        {
            session.leaving = Leaving::Wanted(status);
            session.timer = None;
        }
        self.respond_change(call, None, now);
    }

    /// Ends an answered call that cannot go on: an ACK or a refresh never came.
    pub(crate) fn fail_session(&mut self, call: Uuid, status: u16, now: Now) {
        self.end_call(call, Ended::Failed(status), now);
        self.leave(call, Some(status), now);
        if let Some(session) = self.sessions_of(call) {
            // 15: without the ACK, the BYE may go out once it is no longer waited for.
            session.connected = true;
        }
    }

    /// Sends what is due in each call, if there is a flow for it.
    pub(crate) fn drive_sessions(&mut self, now: Now) {
        for index in 0..self.sessions.len() {
            let session = &self.sessions[index];
            let Some(way) = self.way(&session.account, session.way).filter(|_| session.connected) else { continue };
            match session.leaving {
                Leaving::Wanted(status) => {
                    let mut headers = Vec::new();
                    if let Some(status) = status {
                        headers.push(("Reason", format!("SIP;cause={status};text=\"{}\"", super::phrase(status))));
                    }
                    self.sessions[index].leaving = Leaving::Sent;
                    self.sessions[index].request = None;
                    self.send_request(index, &Method::Bye, headers, Challenged::default(), now);
                }
                // The caller learns the Contact on the new flow (RFC 3261 section 12.2: a target refresh).
                Leaving::No if way != session.way && session.request.is_none() => {
                    self.sessions[index].way = way;
                    self.refresh(index, now);
                }
                Leaving::No | Leaving::Sent => {}
            }
        }
        let registrations = &self.registrations;
        self.sessions.retain(|session| {
            let over = session.leaving == Leaving::Sent && session.request.is_none();
            !over && registrations.iter().any(|registration| registration.key == session.account)
        });
    }

    /// Sends UPDATE or, where the caller does not take it, a re-INVITE with what was agreed before.
    fn refresh(&mut self, index: usize, now: Now) {
        let session = &self.sessions[index];
        if session.change.is_some() {
            return;
        }
        let method = if session.takes_update { Method::Update } else { Method::Invite };
        let mut headers = session.timer.as_ref().map(SessionTimer::refresh).unwrap_or_default();
        let Some(contact) = self.contact_of(&session.account) else { return };
        headers.extend([("Contact", contact), ("Supported", SUPPORTED.to_owned()), ("Allow", ALLOW.to_owned())]);
        self.send_request(index, &method, headers, Challenged::default(), now);
    }

    fn send_request(
        &mut self,
        index: usize,
        method: &Method,
        headers: Vec<(&'static str, String)>,
        mut challenged: Challenged,
        now: Now,
    ) {
        let branch = self.outbox.branch();
        let session = &self.sessions[index];
        let Some((way, up)) = self.way_up(session) else { return };
        let (via, reliable) = (via(&up, &branch), up.transport.is_reliable());
        let session = &mut self.sessions[index];
        let cseq = session.dialog.next_cseq();
        let body = (*method == Method::Invite).then_some(&session.local);
        let account = self.registrations.iter_mut().find(|registration| registration.key == session.account);
        let answers = account.map(|registration| {
            let (uri, bytes) = (session.dialog.request_uri(), body.map_or(&[][..], |body| &body.body));
            registration.answer_challenges(&mut challenged, method.as_str(), &uri, bytes, &mut self.outbox)
        });
        let answers = answers.unwrap_or_default();
        let mut builder = session.dialog.request(method, cseq, &via);
        for (name, value) in headers.iter().chain(&answers) {
            builder = builder.header(name, value);
        }
        if let Some(body) = body {
            builder = builder.body(&body.content_type, &body.body);
        }
        let Ok(bytes) = builder.finish() else {
            // What the caller gave for a dialog cannot be written: there is nobody to talk to.
            log::warn!("a {method} cannot be built");
            return;
        };
        session.request = Some(Outgoing {
            method: method.clone(),
            branch,
            cseq,
            bytes: bytes.clone(),
            transaction: ClientTransaction::start(reliable, now.boot),
            headers,
            challenged,
            heard: false,
        });
        self.outbox.transmit(way, bytes);
    }

    /// The flow that a request of ours takes, and what carries it.
    fn way_up(&self, session: &Session) -> Option<(Way, Up)> {
        let way = self.way(&session.account, session.way)?;
        let up = self.flows.up(way.flow)?;
        Some((way, up))
    }

    /// Takes a response to one of our requests. Returns `false` for one that is to none of them.
    pub(crate) fn handle_call_response(&mut self, response: &Message, now: Now) -> bool {
        let Some(code) = response.code() else { return false };
        if self.acknowledge_again(response, code) {
            return true;
        }
        let ours = |session: &Session| session.request.as_ref().is_some_and(|request| request.is_answered_by(response));
        let Some(index) = self.sessions.iter().position(|session| ours(session)) else { return false };
        let session = &mut self.sessions[index];
        let Some(request) = session.request.as_mut() else { return false };
        if code < 200 {
            request.heard = true;
            request.transaction.proceed(now.boot);
            return true;
        }
        let (method, cseq, branch) = (request.method.clone(), request.cseq, request.branch.clone());
        let concluded = session.request.take();
        if method == Method::Invite {
            self.acknowledge(index, cseq, code, branch);
        }
        if matches!(code, 401 | 407)
            && let Some(request) = concluded
            && self.answer_with_credentials(index, request, response, now)
        {
            return true;
        }
        let session = &mut self.sessions[index];
        match (&method, code) {
            // Whatever is said to a BYE, the call is over (RFC 3261 section 15.1.1).
            (Method::Bye, _) => drop(self.sessions.remove(index)),
            (_, 200..=299) => {
                session.dialog.refresh_target(response);
                let timer = session.timer.as_ref().and_then(|timer| timer.refreshed(response, now.boot));
                session.timer = timer;
                let described = super::body::description(response).ok().flatten();
                if let Some(answer) = described.filter(|answer| !session.is_known(answer)) {
                    session.remote = Some(answer.clone());
                    let uuid = session.uuid;
                    self.tell_call(uuid, CallChange::Answered(answer), now);
                }
            }
            (_, 422) => {
                let min_se = response.header("Min-SE").and_then(|value| value.trim().parse().ok()).unwrap_or(0);
                if session.timer.as_mut().is_some_and(|timer| timer.lengthen(min_se)) {
                    self.refresh(index, now);
                }
            }
            (Method::Update, 405 | 501) => {
                session.takes_update = false;
                self.refresh(index, now);
            }
            // Section 12.2.1.2: the caller knows nothing of this call.
            (_, 408 | 481) => {
                let uuid = session.uuid;
                self.fail_session(uuid, code, now);
            }
            // Anything else leaves the session as it was (14.1); its timer decides.
            _ => {}
        }
        true
    }

    /// Sends a request again with the account's credentials (RFC 3261 section 22.1). Returns `false` where they were
    /// refused, or nothing that asks for them can be answered.
    fn answer_with_credentials(&mut self, index: usize, request: Outgoing, response: &Message, now: Now) -> bool {
        let account = &self.sessions[index].account;
        let Some(registration) = self.registrations.iter_mut().find(|registration| registration.key == *account) else {
            return false;
        };
        let challenges = parse_challenges(response.headers("WWW-Authenticate"), response.headers("Proxy-Authenticate"));
        let Outgoing { method, headers, mut challenged, .. } = request;
        if !registration.is_answerable(&challenges, &mut challenged, now) {
            log::warn!("{}: a {method} in a call asks for credentials that nobody here has", registration.key);
            return false;
        }
        self.send_request(index, &method, headers, challenged, now);
        self.sessions[index].request.is_some()
    }

    /// Sends the ACK of our re-INVITE: of a 2xx in a transaction of its own, else in the INVITE's.
    fn acknowledge(&mut self, index: usize, cseq: u32, code: u16, branch: String) {
        let branch = if code < 300 { self.outbox.branch() } else { branch };
        let session = &self.sessions[index];
        let Some((way, up)) = self.way_up(session) else { return };
        if let Ok(bytes) = session.dialog.request(&Method::Ack, cseq, &via(&up, &branch)).finish() {
            self.sessions[index].last_ack = Some((cseq, bytes.clone()));
            self.outbox.transmit(way, bytes);
        }
    }

    /// Section 13.2.2.4: a 2xx that comes again means that its ACK was lost.
    fn acknowledge_again(&mut self, response: &Message, code: u16) -> bool {
        let Some(cseq) = response.cseq().filter(|cseq| code >= 200 && cseq.method == Method::Invite.as_str()) else {
            return false;
        };
        let again = self.sessions.iter().find_map(|session| {
            let (acknowledged, bytes) = session.last_ack.as_ref()?;
            let same = *acknowledged == cseq.seq && session.dialog.is_answered_by(response);
            same.then(|| (self.way(&session.account, session.way), bytes.clone()))
        });
        let Some((way, bytes)) = again else { return false };
        if let Some(way) = way {
            self.outbox.transmit(way, bytes);
        }
        true
    }

    pub(crate) fn expire_sessions(&mut self, now: Now) {
        let calls: Vec<Uuid> = self.sessions.iter().map(|session| session.uuid).collect();
        for call in calls {
            let Some(index) = self.sessions.iter().position(|session| session.uuid == call) else { continue };
            self.expire_request(index, now);
            let Some(session) = self.sessions_of(call) else { continue };
            if matches!(&session.change, Some(super::session::Change::Update { until, .. }) if now.boot >= *until) {
                self.respond_change(call, None, now);
            }
            let Some(index) = self.sessions.iter().position(|session| session.uuid == call) else { continue };
            let session = &mut self.sessions[index];
            let Some(timer) = session.timer.as_mut().filter(|timer| now.boot >= timer.at()) else { continue };
            if timer.is_over(now.boot) {
                // RFC 4028 section 10.
                self.fail_session(call, 408, now);
            } else if session.leaving == Leaving::No && session.request.is_none() {
                timer.asked_already();
                self.refresh(index, now);
            } else {
                timer.asked_already();
            }
        }
    }

    fn expire_request(&mut self, index: usize, now: Now) {
        let session = &mut self.sessions[index];
        let Some(request) = session.request.as_mut() else { return };
        match request.due(now.boot) {
            Some(Due::Retransmit) => {
                let bytes = request.bytes.clone();
                if let Some(way) = self.way(&self.sessions[index].account, self.sessions[index].way) {
                    self.outbox.transmit(way, bytes);
                }
            }
            Some(Due::TimedOut) if request.method == Method::Bye => drop(self.sessions.remove(index)),
            Some(Due::TimedOut) => {
                let uuid = session.uuid;
                session.request = None;
                self.fail_session(uuid, 408, now);
            }
            None => {}
        }
    }
}

fn via(up: &Up, branch: &str) -> String {
    format!("SIP/2.0/{} {};branch={branch};rport", up.transport.via(), up.local)
}
