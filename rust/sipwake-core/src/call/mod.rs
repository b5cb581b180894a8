//! The called side of calls: what the app may wish of a call from its push on, and what becomes of it.
//!
//! A call has one name, its UUID, and one end. The app wishes at any moment; a wish is carried out when it can be: an
//! answer before the INVITE came waits for it ([`CallChange::AnswerWanted`]), a hang-up before the ACK waits for that.

pub(crate) mod body;
mod dialog;
mod invite;
mod outgoing;
mod reason;
pub(crate) mod session;
mod session_timer;
pub(crate) mod transaction;
mod within;

use std::time::Duration;

use uuid::Uuid;

pub(crate) use self::invite::{CAPABILITIES, caller};

use self::dialog::Dialog;
use self::session::{Leaving, Session};
use self::session_timer::SessionTimer;
use crate::account::AccountKey;
use crate::clock::Now;
use crate::event::{Answer, CallChange, CallEvent, CallTimes, Caller, Discard, Ended, Event, Offer};
use crate::flows::Up;
use crate::outbox::Way;
use crate::registration::Registration;
use crate::sip::{Builder, Message, escape_paramchar};
use crate::uas::ALLOW;
use crate::user_agent::{Decline, UserAgent};
use crate::wake::State;

/// The extensions that an INVITE may require.
pub(crate) const SUPPORTED: &str = "100rel, timer";
/// Types of bodies that are read.
pub(crate) const ACCEPT: &str = "application/sdp, text/plain, message/cpim";

/// How calls are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPolicy {
    /// The longest that an announced INVITE is waited for, if its payload's time to live does not say less; 40 seconds by
    /// default. Counts from when the push came or, where the payload tells no time to live, from when it was sent.
    pub window: Duration,
    /// The longest that a phone rings, if the INVITE's `Expires` does not say less; 180 seconds by default.
    pub ring_limit: Duration,
    /// Whether the Contact of an answered call carries `pn-purr`, so that a registrar that gave one (RFC 8599 section 6)
    /// can wake the app for requests inside the call. Not by default.
    pub mid_call_wakeups: bool,
    /// What the caller hears first; [`Progress::Ringing`] by default.
    pub progress: Progress,
}

/// What the caller hears of a call before it is answered (RFC 3261 section 13.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Progress {
    /// 180 (Ringing) as soon as the INVITE is here.
    #[default]
    Ringing,
    /// 183 (Session Progress), for an app that shows the call later than it hears of it; 180 follows with
    /// [`UserAgent::ringing`].
    Session,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            window: crate::payload::CALL_WINDOW,
            ring_limit: Duration::from_secs(180),
            mid_call_wakeups: false,
            progress: Progress::Ringing,
        }
    }
}

/// Why the app ends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HangUp {
    /// The user wants it: 603 while it rings, BYE once it is answered.
    #[default]
    Normal,
    /// It cannot go on, for example with 488 for an offer that the media engine does not take: this status while it rings,
    /// BYE with a `Reason` (RFC 3326) once it is answered. What is no status from 400 to 699 becomes 500.
    Failed(u16),
}

impl UserAgent {
    /// Sets how calls are treated from here on.
    pub fn set_call_policy(&mut self, policy: CallPolicy) {
        self.policy = policy;
    }

    /// Says that the phone rings: the callers of [`Progress::Session`] hear 180, one who required reliable responses
    /// once its PRACK of the 183 is here (RFC 3262 section 3).
    ///
    /// Returns `false` for a call that is not ringing, or whose caller has heard so.
    pub fn ringing(&mut self, call: Uuid, now: Now) -> bool {
        let mut told = false;
        for index in 0..self.invitations.len() {
            let invitation = &mut self.invitations[index];
            if invitation.rings(call) && invitation.progress == Progress::Session {
                invitation.progress = Progress::Ringing;
                told = true;
                if !invitation.awaits_prack() {
                    self.send_progress(index, now);
                }
            }
        }
        self.settle(now);
        told
    }

    /// Takes the user's wish to answer, at any moment from the push on.
    ///
    /// When the INVITE is here, now or later, [`CallChange::AnswerWanted`] tells its offer; the app then calls
    /// [`accept`](Self::accept) with its session description. Returns `false` for a call that is not known, over, or
    /// accepted already.
    pub fn answer(&mut self, call: Uuid, now: Now) -> bool {
        let Some(entry) = self.wake.live_mut(call).filter(|entry| entry.state != State::Answered) else { return false };
        if std::mem::replace(&mut entry.answer_wanted, true) || entry.state == State::Announced {
            return true;
        }
        let caller = entry.caller.clone().unwrap_or_default();
        if let Some(index) = self.best_invitation(call) {
            let offer = body::description(&self.invitations[index].request).ok().flatten();
            self.tell_call(call, CallChange::AnswerWanted { caller, offer }, now);
        }
        self.settle(now);
        true
    }

    /// Accepts a call whose INVITE is here, with the answer to its offer or, if it had none, with our offer. The 200 goes
    /// out at once, or as soon as there is a flow; [`CallChange::Connected`] follows with the ACK.
    ///
    /// Returns `false` for a call that is not ringing: not known, not here yet, accepted already, or over.
    pub fn accept(&mut self, call: Uuid, answer: Answer, now: Now) -> bool {
        let rings = self.wake.live_mut(call).is_some_and(|entry| entry.state == State::Ringing);
        if !rings || answer.body.is_empty() || self.best_invitation(call).is_none() {
            return false;
        }
        let accepted = self.carry_out_answer(call, &answer, now);
        if accepted.is_none() {
            self.held_answers.insert(call, answer);
        }
        self.settle(now);
        accepted.unwrap_or(true)
    }

    /// Declines a call that rings or was announced; the refusal of an announced one is sent when its INVITE comes.
    /// Returns `false` for a call that is not known, answered or over.
    pub fn decline(&mut self, call: Uuid, how: Decline, now: Now) -> bool {
        if self.wake.live_mut(call).is_none_or(|entry| entry.state == State::Answered) {
            return false;
        }
        let code = match how {
            Decline::Everywhere => 603,
            Decline::Busy => 486,
        };
        let ended = self.end_call(call, Ended::Declined, now);
        self.refuse_call(call, code, now);
        self.settle(now);
        ended
    }

    /// Ends a call, whatever its state. Returns `false` for a call that is not known or over.
    pub fn hang_up(&mut self, call: Uuid, why: HangUp, now: Now) -> bool {
        let Some(state) = self.wake.live_mut(call).map(|entry| entry.state) else { return false };
        let status = match why {
            HangUp::Normal => None,
            HangUp::Failed(status @ 400..=699) => Some(status),
            HangUp::Failed(_) => Some(500),
        };
        let ended = match (state, status) {
            (_, Some(status)) => Ended::Failed(status),
            (State::Answered, None) => Ended::HungUp,
            (_, None) => Ended::Declined,
        };
        self.end_call(call, ended, now);
        self.refuse_call(call, status.unwrap_or(603), now);
        self.leave(call, status, now);
        self.settle(now);
        true
    }

    /// Responds to a [`CallChange::Offered`]: with the app's answer (or, if it had no offer, its own), or with `None` to
    /// refuse (488); the call goes on as it was. Returns `false` if no offer waits for a response.
    pub fn respond_offer(&mut self, call: Uuid, answer: Option<Answer>, now: Now) -> bool {
        let responded = self.respond_change(call, answer, now);
        self.settle(now);
        responded
    }

    /// Returns the times of a call, also of one that ended within the last hour.
    pub fn call_times(&self, call: Uuid) -> Option<CallTimes> {
        self.wake.get(call).map(|entry| entry.times)
    }

    pub(crate) fn tell_call(&mut self, uuid: Uuid, change: CallChange, now: Now) {
        let Some(entry) = self.wake.get_mut(uuid) else { return };
        let stage = match &change {
            CallChange::Announced(_) => Some(&mut entry.times.announced),
            CallChange::Ringing { .. } | CallChange::AnswerWanted { .. } => Some(&mut entry.times.ringing),
            CallChange::Connected { .. } => Some(&mut entry.times.connected),
            CallChange::Ended(_) => Some(&mut entry.times.ended),
            _ => None,
        };
        if let Some(stage) = stage {
            stage.get_or_insert(now);
        }
        let (account, times) = (entry.account.clone(), entry.times);
        self.outbox.tell(Event::Call(CallEvent { uuid, account, times, change }));
    }

    /// Notes who calls. Returns `true` if the app was told somebody else, or less.
    pub(crate) fn learn_caller(&mut self, uuid: Uuid, caller: &Caller) -> bool {
        let Some(entry) = self.wake.get_mut(uuid) else { return false };
        match &mut entry.caller {
            None => {
                entry.caller = Some(caller.clone());
                true
            }
            Some(known) if known.display_name != caller.display_name && caller.display_name.is_some() => {
                *known = caller.clone();
                true
            }
            Some(_) => false,
        }
    }

    /// Ends a call and tells it, once.
    pub(crate) fn end_call(&mut self, uuid: Uuid, how: Ended, now: Now) -> bool {
        self.held_answers.remove(&uuid);
        let ended = self.wake.end(uuid, how, now.boot);
        if ended {
            self.tell_call(uuid, CallChange::Ended(how), now);
        }
        ended
    }

    pub(crate) fn end_calls_of(&mut self, key: &AccountKey, now: Now) {
        let calls: Vec<Uuid> = self.wake.live(Some(key)).map(|entry| entry.uuid).collect();
        for uuid in calls {
            self.end_call(uuid, Ended::LoggedOut, now);
            self.refuse_invitations(uuid, 480, "Temporarily Unavailable", now);
            self.leave(uuid, None, now);
        }
    }

    /// Does what waited for a flow.
    pub(crate) fn drive_calls(&mut self, now: Now) {
        let held: Vec<Uuid> = self.held_answers.iter().map(|(call, _)| *call).collect();
        for call in held {
            if let Some(answer) = self.held_answers.get(&call).cloned()
                && self.carry_out_answer(call, &answer, now).is_some()
            {
                self.held_answers.remove(&call);
            }
        }
        for index in 0..self.invitations.len() {
            if self.invitations[index].unsent {
                let bytes = self.invitations[index].last();
                self.send_answer(index, bytes);
            }
        }
        self.drive_sessions(now);
    }

    /// The INVITE that an answer is best given to: the newest, of those that came on a living flow if there is one.
    fn best_invitation(&self, call: Uuid) -> Option<usize> {
        let rings = |index: &usize| self.invitations[*index].rings(call);
        let newest = || (0..self.invitations.len()).rev().filter(rings);
        newest().find(|index| self.is_alive(self.invitations[*index].way)).or_else(|| newest().next())
    }

    /// Sends the 200. Returns `None` while there is no flow to send it on.
    fn carry_out_answer(&mut self, call: Uuid, answer: &Answer, now: Now) -> Option<bool> {
        let Some(index) = self.best_invitation(call) else { return Some(false) };
        let (account, way) = (self.invitations[index].account.clone(), self.invitations[index].way);
        let way = self.way(&account, way)?;
        let Some(mut session) = self.begin_session(call, index, way, answer, now) else { return Some(false) };
        let headers = session.timer.as_ref().map(SessionTimer::agreement).unwrap_or_default();
        if !self.send_accepting(index, &headers, answer, now) {
            return Some(false);
        }
        session.awaits_answer = session.remote.is_none();
        self.sessions.push(session);
        if let Some(entry) = self.wake.live_mut(call) {
            entry.state = State::Answered;
            entry.times.answered.get_or_insert(now);
        }
        self.refuse_invitations(call, 486, "Busy Here", now);
        Some(true)
    }

    fn begin_session(&self, call: Uuid, index: usize, way: Way, answer: &Answer, now: Now) -> Option<Box<Session>> {
        let invitation = &self.invitations[index];
        let request = &invitation.request;
        Some(Box::new(Session {
            uuid: call,
            account: invitation.account.clone(),
            way,
            dialog: Dialog::accept(request, &invitation.to_tag)?,
            connected: false,
            awaits_answer: false,
            local: answer.clone(),
            remote: body::description(request).ok().flatten(),
            change: None,
            timer: SessionTimer::asked(request, now.boot).ok().flatten(),
            takes_update: request.has_value("Allow", "UPDATE"),
            request: None,
            last_ack: None,
            leaving: Leaving::No,
        }))
    }

    /// Sends the 2xx to an INVITE. Returns `false` if it cannot be built.
    fn send_accepting(&mut self, index: usize, headers: &[(&str, String)], answer: &Offer, now: Now) -> bool {
        let invitation = &self.invitations[index];
        let Some(contact) = self.contact_of(&invitation.account) else { return false };
        let mut builder = Builder::response(&invitation.request, 200, "OK", Some(&invitation.to_tag))
            .record_route(&invitation.request)
            .header("Contact", &contact)
            .header("Allow", ALLOW)
            .header("Supported", SUPPORTED);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let Ok(bytes) = builder.body(&answer.content_type, &answer.body).finish() else { return false };
        self.invitations[index].accept(bytes.clone(), now.boot);
        self.send_answer(index, bytes);
        true
    }

    /// Sends the answer to an INVITE, now or when there is a flow again.
    pub(crate) fn send_answer(&mut self, index: usize, bytes: Vec<u8>) {
        let invitation = &self.invitations[index];
        let way = self.way(&invitation.account, invitation.way);
        self.invitations[index].unsent = way.is_none();
        if let Some(way) = way {
            self.outbox.transmit(way, bytes);
        }
    }

    /// The flow itself or, if it is gone, the account's present one: the server knows its transactions by their branch.
    pub(crate) fn way(&self, account: &AccountKey, way: Way) -> Option<Way> {
        if self.owner_of(way.flow).is_some() && self.flows.up(way.flow).is_some() {
            return Some(way);
        }
        self.registration_of(account)?.flow_up(&self.flows).map(Up::way)
    }

    /// Our Contact in dialogs of an account.
    pub(crate) fn contact_of(&self, account: &AccountKey) -> Option<String> {
        let registration = self.registration_of(account)?;
        let uri = registration.contact_uri(&self.flows)?;
        let purr = self.purr(registration).map(|purr| format!(";pn-purr={}", escape_paramchar(purr)));
        Some(format!("<{uri}{}>", purr.unwrap_or_default()))
    }

    fn purr<'a>(&self, registration: &'a Registration) -> Option<&'a str> {
        let purr = registration.verdict.as_ref().and_then(|verdict| verdict.purr.as_deref());
        purr.filter(|_| self.policy.mid_call_wakeups)
    }

    /// Refuses a call as the app wants it: the INVITEs that ring, and those that are still to come.
    fn refuse_call(&mut self, call: Uuid, code: u16, now: Now) {
        if let Some(entry) = self.wake.get_mut(call) {
            entry.refusal = Some(code);
        }
        self.refuse_invitations(call, code, phrase(code), now);
    }

    /// Refuses every INVITE of a call that still rings.
    pub(crate) fn refuse_invitations(&mut self, call: Uuid, code: u16, phrase: &str, now: Now) {
        for index in 0..self.invitations.len() {
            if self.invitations[index].rings(call) {
                self.refuse_at(index, code, phrase, &[], now);
            }
        }
    }

    pub(crate) fn refuse_at(&mut self, index: usize, code: u16, phrase: &str, extra: &[(&str, String)], now: Now) {
        let invitation = &mut self.invitations[index];
        let mut builder = Builder::response(&invitation.request, code, phrase, Some(&invitation.to_tag));
        for (name, value) in extra {
            builder = builder.header(name, value);
        }
        match builder.finish() {
            Ok(bytes) => {
                invitation.refuse(bytes.clone(), now.boot);
                self.send_answer(index, bytes);
            }
            Err(_) => self.discard(Discard::Malformed),
        }
    }

    /// The session that a request belongs to.
    pub(crate) fn session_of(&self, request: &Message) -> Option<usize> {
        self.sessions.iter().position(|session| session.dialog.has(request))
    }
}

/// Why a request is refused: status, phrase and the header that goes with them.
pub(crate) struct Refusal {
    code: u16,
    phrase: &'static str,
    header: Option<(&'static str, String)>,
}

impl Refusal {
    fn new(code: u16, phrase: &'static str) -> Self {
        Self { code, phrase, header: None }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }
}

/// The reason phrase of a status that the app may choose.
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        600 => "Busy Everywhere",
        603 => "Decline",
        606 => "Not Acceptable",
        status if status < 500 => "Request Failure",
        status if status < 600 => "Server Failure",
        _ => "Global Failure",
    }
}
