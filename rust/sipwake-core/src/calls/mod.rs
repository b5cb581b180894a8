//! The called side of calls: what the app can ask of a call from its push on, and what happens then.
//!
//! A call has one UUID and one end. The app can ask at any moment. A command is carried out when that is possible: an
//! answer before the INVITE waits for it ([`CallChange::AnswerWanted`]), and a hang-up before the ACK waits for the
//! ACK.

mod accounts;
mod addressee;
mod app_request;
mod beside;
mod body;
mod callers;
mod dialog;
mod habit;
mod in_dialog;
mod incoming;
mod invite;
mod judged;
mod message;
mod outgoing;
mod past;
mod reason;
mod session;
mod session_timer;
mod side;
mod stranger;
mod table;
mod transaction;
mod uas;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub(crate) use self::accounts::{Accounts, Cx, Known};
pub(crate) use self::beside::Invited;
use self::dialog::Dialog;
use self::invite::only;
pub(crate) use self::judged::{Judged, Judgements, Notes};
pub(crate) use self::past::Past;
pub(crate) use self::reason::of_cancel;
use self::session::{Leaving, Session};
use self::session_timer::SessionTimer;
pub(crate) use self::side::Side;
use self::table::Match;
pub(crate) use self::table::{State, Table};
use self::transaction::Invitation;
use self::uas::Answers;
use crate::account::AccountKey;
use crate::call::{CallPolicy, Decline, HangUp, Progress};
use crate::clock::NextTimeout;
use crate::event::{Answer, CallChange, CallEvent, CallTimes, Caller, Discard, Ended, Event, FlowId, Offer, Output};
use crate::flows::Flows;
use crate::outbox::{Destination, Outbox};
use crate::payload::{self, ActionKind, Duty, Ignored, PushAction};
use crate::record::Decision;
use crate::record::words::{Seconds, YesNo};
use crate::sip::{Builder, Message, Method, escape_paramchar};
use crate::snapshot::{CALLS, Damage, Durability};
use crate::transaction::T1;

/// The extensions that an INVITE may require.
pub(crate) const SUPPORTED: &str = "100rel, timer";
/// The types of bodies that are read.
pub(crate) const ACCEPT: &str = "application/sdp, text/plain, message/cpim";

/// All calls of a client, from their push or INVITE to their end.
#[derive(Default)]
pub(crate) struct Calls {
    table: Table,
    /// Ended calls, in the form that is stored.
    past: Option<Arc<Past>>,
    /// Pushes that another thread has judged and that have not arrived here yet.
    judged: Judgements,
    invitations: Vec<Invitation>,
    sessions: Vec<Session>,
    answers: Answers,
    policy: CallPolicy,
    /// Calls are accepted that do not come over the registrar's flow.
    unsolicited: bool,
    /// Flows whose socket also takes datagrams from other peers, because a dialog has no route. When the last such
    /// dialog is over, the time says how long this goes on.
    heard: Vec<(FlowId, Option<Duration>)>,
    /// Answers that wait for a flow.
    held_answers: BTreeMap<Uuid, Answer>,
    /// Calls whose INVITEs another stack has, as long as the device stays on the network that they came over.
    beside: Vec<Uuid>,
    /// The app itself responds to INFO and REFER.
    takes_requests: bool,
    /// How many requests the app was told of.
    requests: u64,
    /// Messages that the app was told of lately. A gateway sends them again to a new Contact.
    chats: VecDeque<String>,
}

impl Calls {
    pub(crate) fn set_policy(&mut self, policy: CallPolicy) {
        self.policy = policy;
    }

    pub(crate) fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    /// Returns a copy of the table to judge pushes by.
    pub(crate) fn judged_by(&self, flows: &Flows) -> Table {
        let mut table = self.table.clone();
        table.note_ways(&self.reached(flows));
        table
    }

    /// The ringing calls whose INVITE came on a flow that is up, or to another stack.
    fn reached(&self, flows: &Flows) -> Vec<Uuid> {
        let reached = self.invitations.iter().filter(|invitation| flows.up(invitation.destination.flow).is_some());
        reached.filter_map(Invitation::call_that_rings).chain(self.beside.iter().copied()).collect()
    }

    /// Whether a call lives on this flow.
    pub(crate) fn need(&self, flow: FlowId) -> bool {
        self.sessions.iter().any(|session| session.destination.flow == flow)
            || self.invitations.iter().any(|invitation| invitation.destination.flow == flow)
    }

    /// Reads the calls that ended in an earlier process.
    pub(crate) fn restore(&mut self, record: &[u8]) -> Result<(), Damage> {
        let earlier = Past::open(record)?;
        self.past_mut().recall(earlier);
        Ok(())
    }

    pub(crate) fn past(&self) -> Option<Arc<Past>> {
        self.past.clone()
    }

    fn past_mut(&mut self) -> &mut Past {
        Arc::make_mut(self.past.get_or_insert_default())
    }

    #[cfg(feature = "replay")]
    pub(crate) fn judgements_mut(&mut self) -> &mut Judgements {
        &mut self.judged
    }

    pub(crate) fn judgements(&self) -> &Judgements {
        &self.judged
    }

    pub(crate) fn save_past(&self, outbox: &mut Outbox) {
        outbox.save(CALLS.to_owned(), self.past.as_ref().and_then(|past| past.seal()), Durability::Progress);
    }

    /// Forgets the ended calls. Without an account every push is silent.
    pub(crate) fn forget_past(&mut self, outbox: &mut Outbox) {
        if self.past.take().is_some_and(|past| past.seal().is_some()) {
            self.save_past(outbox);
        }
    }

    /// Stores that a call is over, before the bytes that end it are sent.
    fn remember(&mut self, uuid: Uuid, cx: &mut Cx<'_>) {
        let Some(entry) = self.table.get(uuid) else { return };
        let renames = self.table.renames(entry.account.as_ref()) == Some(true);
        let past = Arc::make_mut(self.past.get_or_insert_default());
        if past.remember(entry, renames, || cx.outbox.token(), cx.now) {
            self.save_past(cx.outbox);
        }
    }

    pub(crate) fn timeouts(&self, soonest: &mut NextTimeout) {
        for invitation in &self.invitations {
            soonest.add(Some(invitation.timeout()));
        }
        for session in &self.sessions {
            session.timeouts(soonest);
        }
        for (_, until) in &self.heard {
            soonest.add_at(*until, "caller that asks again (timer J)");
        }
        soonest.add(self.table.timeout());
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        for uuid in self.table.expire(cx.now.boot) {
            if self.table.was_cut_short(uuid)
                && let Some(account) = self.table.get(uuid).and_then(|entry| entry.account.clone())
            {
                self.past_mut().habits().doubt(&account);
            }
            self.remember(uuid, cx);
            self.tell_call(uuid, CallChange::Ended(Ended::Missed), cx);
        }
        self.expire_invitations(cx);
        self.expire_sessions(cx);
    }

    /// Takes a push. `account` is the account that it is for, if only one is possible. Returns whether nothing more has
    /// to come from the server for it: the INVITE is here, or the call is over.
    pub(crate) fn handle_push(&mut self, action: &PushAction, account: Option<AccountKey>, cx: &mut Cx<'_>) -> bool {
        let of = account.clone();
        let push = Side::of_push(action, account);
        match &action.kind {
            ActionKind::IncomingCall { .. } => {
                let window = action.age.deadline(self.policy.window).saturating_sub(cx.now.boot);
                let caller = Caller {
                    uri: action.caller.clone().unwrap_or_default(),
                    display_name: action.display_name.clone(),
                };
                self.judged.take(action.uuid);
                match self.table.announce(&push, Some(action.uuid), window, cx.now.boot) {
                    Match::New(uuid) => {
                        cx.outbox.note_call(of.as_ref(), uuid, Decision::Announced { window: Seconds(window) });
                        if !action.age.is_dated() {
                            self.table.expect_as_usual(uuid);
                        }
                        self.learn_caller(uuid, &caller);
                        self.tell_call(uuid, CallChange::Announced(caller), cx);
                        false
                    }
                    Match::Repeated(uuid) | Match::Joined(uuid) => {
                        // What the INVITE says about the caller counts more than what a late push says.
                        let entry = self.table.get(uuid).filter(|entry| entry.state != State::Announced);
                        let is_here = entry.is_some();
                        // The server may hold back a request inside the call until the phone registers.
                        let woken_inside = entry.is_some_and(|entry| entry.woken_inside);
                        cx.outbox.note_call(of.as_ref(), uuid, Decision::PushAgain { invite_here: is_here.into() });
                        let told = entry.and_then(|entry| entry.caller.as_ref());
                        let known = told.is_some_and(|caller| caller.display_name.is_some());
                        if !known && !self.table.contradicts(uuid) && self.learn_caller(uuid, &caller) {
                            self.tell_call(uuid, CallChange::CallerChanged(caller), cx);
                        }
                        // A push that names no call may be for another call, or for a request inside this one.
                        is_here && !woken_inside && (push.has_id() || push.names_caller())
                    }
                    Match::Ghost(uuid, how) => {
                        let decision = Decision::Tombstone { invite: YesNo::No, ended: how.into() };
                        cx.outbox.note_call(of.as_ref(), uuid, decision);
                        true
                    }
                    Match::Full => {
                        cx.outbox.note_call(of.as_ref(), action.uuid, Decision::PushFull {});
                        cx.outbox.discard(Discard::TooManyCalls);
                        false
                    }
                }
            }
            ActionKind::Cancel => {
                let mut stray = false;
                let ends = match action.judged {
                    // If the user answered meanwhile, the cancel ends the call only where the platform was told that it
                    // is over.
                    payload::Judged::Ends => {
                        let answered = self.table.get(action.uuid).is_some_and(|entry| entry.state == State::Answered);
                        (!answered || action.duty == Duty::ReportThenEnd).then_some(action.uuid)
                    }
                    _ => {
                        let reached = self.reached(cx.flows);
                        self.table.note_ways(&reached);
                        stray = self.table.is_stray(&push);
                        if stray {
                            cx.outbox.discard(Discard::StrayCancel);
                        }
                        self.table.cancel(&push, cx.now.boot)
                    }
                };
                if let Some(uuid) = ends {
                    self.end_call(uuid, Ended::Cancelled, cx);
                    self.refuse_invitations(uuid, 487, "Request Terminated", cx);
                    self.leave(uuid, None, cx);
                }
                // A stray cancel ends nothing here, and the server waits for nobody.
                stray
            }
            ActionKind::Ignore { reason: Ignored::CallOver } => {
                self.judged.take(action.uuid);
                self.table.take_late_push(action.uuid, &push);
                true
            }
            ActionKind::Ignore { reason: Ignored::NoRoom } => {
                cx.outbox.note_call(of.as_ref(), action.uuid, Decision::PushFull {});
                cx.outbox.discard(Discard::TooManyCalls);
                false
            }
            _ => false,
        }
    }

    /// Says that the phone rings. The callers who got [`Progress::Session`] get 180 now. A caller who required reliable
    /// responses gets it after their PRACK of the 183 (RFC 3262 section 3).
    ///
    /// Returns `false` for a call that is not ringing, or whose caller already knows it.
    pub(crate) fn ringing(&mut self, call: Uuid, cx: &mut Cx<'_>) -> bool {
        let mut told = false;
        for index in 0..self.invitations.len() {
            let invitation = &mut self.invitations[index];
            if invitation.rings(call) && invitation.progress == Progress::Session {
                invitation.progress = Progress::Ringing;
                told = true;
                if !invitation.awaits_prack() {
                    self.send_progress(index, cx);
                }
            }
        }
        told
    }

    /// Answers for the user, at any time after the push.
    ///
    /// When the INVITE is here, now or later, [`CallChange::AnswerWanted`] brings its offer. Then the app calls
    /// [`accept`](Self::accept) with its session description. Returns `false` for a call that is unknown, over, or
    /// accepted already.
    pub(crate) fn answer(&mut self, call: Uuid, cx: &mut Cx<'_>) -> bool {
        let Some(entry) = self.table.live_mut(call).filter(|entry| entry.state != State::Answered) else {
            return false;
        };
        if std::mem::replace(&mut entry.answer_wanted, true) || entry.state == State::Announced {
            return true;
        }
        let caller = entry.caller.clone().unwrap_or_default();
        if let Some(index) = self.best_invitation(call, cx) {
            let offer = body::description(&self.invitations[index].request).ok().flatten();
            self.tell_call(call, CallChange::AnswerWanted { caller, offer }, cx);
        }
        true
    }

    /// Accepts a call whose INVITE is here, with the answer to its offer or, if it had none, with our offer. The 200
    /// goes out at once, or as soon as there is a flow. [`CallChange::Connected`] follows with the ACK.
    ///
    /// Returns `false` for a call that is not ringing: unknown, not here yet, accepted already, or over.
    pub(crate) fn accept(&mut self, call: Uuid, answer: Answer, cx: &mut Cx<'_>) -> bool {
        let rings = self.table.live_mut(call).is_some_and(|entry| entry.state == State::Ringing);
        if !rings || answer.body.is_empty() || self.best_invitation(call, cx).is_none() {
            return false;
        }
        let accepted = self.carry_out_answer(call, &answer, cx);
        if accepted.is_none() {
            self.held_answers.insert(call, answer);
        }
        accepted.unwrap_or(true)
    }

    /// Declines a call that rings or was announced. For an announced call, the refusal is sent when its INVITE comes.
    /// Returns `false` for a call that is unknown, answered or over.
    pub(crate) fn decline(&mut self, call: Uuid, how: Decline, cx: &mut Cx<'_>) -> bool {
        if self.table.live_mut(call).is_none_or(|entry| entry.state == State::Answered) {
            return false;
        }
        let code = match how {
            Decline::Everywhere => 603,
            Decline::Busy => 486,
        };
        self.refuse_with(call, code);
        let ended = self.end_call(call, Ended::Declined, cx);
        self.refuse_invitations(call, code, phrase(code), cx);
        ended
    }

    /// Ends a call in any state. Returns `false` for a call that is unknown or over.
    pub(crate) fn hang_up(&mut self, call: Uuid, why: HangUp, cx: &mut Cx<'_>) -> bool {
        let Some(state) = self.table.live_mut(call).map(|entry| entry.state) else { return false };
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
        let code = status.unwrap_or(603);
        self.refuse_with(call, code);
        self.end_call(call, ended, cx);
        self.refuse_invitations(call, code, phrase(code), cx);
        self.leave(call, status, cx);
        true
    }

    /// Responds to a [`CallChange::Offered`] with the app's answer (or with its own offer, if there was none). `None`
    /// refuses (488), and the call continues as before. Returns `false` if no offer waits for a response.
    pub(crate) fn respond_offer(&mut self, call: Uuid, answer: Option<Answer>, cx: &mut Cx<'_>) -> bool {
        self.respond_change(call, answer, cx)
    }

    /// Responds to a [`CallChange::Asked`] that waits for it. Returns `false` if no request with this number waits.
    pub(crate) fn respond_request(&mut self, call: Uuid, request: u64, status: u16, cx: &mut Cx<'_>) -> bool {
        let Some(session) = self.sessions_of(call) else { return false };
        let Some(at) = session.asked.iter().position(|asked| asked.id() == request) else { return false };
        let asked = session.asked.remove(at);
        self.answer_asked(&asked, Some(status), cx);
        true
    }

    /// Returns the times of a call, also of a call that ended within the last hour.
    pub(crate) fn call_times(&self, call: Uuid) -> Option<CallTimes> {
        self.table.get(call).map(|entry| entry.times)
    }

    pub(crate) fn tell_call(&mut self, uuid: Uuid, change: CallChange, cx: &mut Cx<'_>) {
        let Some(entry) = self.table.get_mut(uuid) else { return };
        let now = cx.now;
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
        cx.outbox.tell(Event::Call(CallEvent { uuid, account, times, change }));
    }

    /// Replaces the caller that the app was told of.
    pub(crate) fn correct_caller(&mut self, uuid: Uuid, caller: &Caller) {
        if let Some(entry) = self.table.get_mut(uuid) {
            entry.caller = Some(caller.clone());
        }
    }

    /// Notes who calls. Returns `true` if this is new to the app: it knew no caller, or another display name.
    pub(crate) fn learn_caller(&mut self, uuid: Uuid, caller: &Caller) -> bool {
        let Some(entry) = self.table.get_mut(uuid) else { return false };
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

    /// Ends a call and tells the app, once.
    pub(crate) fn end_call(&mut self, uuid: Uuid, how: Ended, cx: &mut Cx<'_>) -> bool {
        self.held_answers.remove(&uuid);
        let ended = self.table.end(uuid, how, cx.now.boot);
        if ended {
            // Pushes for a user who has logged out are silent without this record.
            if how != Ended::LoggedOut {
                self.remember(uuid, cx);
            }
            self.tell_call(uuid, CallChange::Ended(how), cx);
        }
        ended
    }

    pub(crate) fn end_calls_of(&mut self, key: &AccountKey, cx: &mut Cx<'_>) {
        // A call whose push named no account ends with the last account.
        let nobody = !cx.accounts.is_anybody_else(key);
        let over_it = |uuid: Uuid| {
            self.sessions.iter().any(|session| session.uuid == uuid && session.account == *key)
                || self.invitations.iter().any(|known| known.rings(uuid) && known.account == *key)
        };
        let its = |entry: &&table::Entry| match &entry.account {
            Some(account) => account == key || over_it(entry.uuid),
            None => nobody,
        };
        let calls: Vec<Uuid> = self.table.live().filter(its).map(|entry| entry.uuid).collect();
        for uuid in calls {
            self.end_call(uuid, Ended::LoggedOut, cx);
            self.refuse_invitations(uuid, 480, "Temporarily Unavailable", cx);
            self.leave(uuid, None, cx);
        }
    }

    /// Does what could not be done without a flow, or before the server was asked.
    pub(crate) fn drive(&mut self, cx: &mut Cx<'_>) {
        let habits = self.past.as_ref().map(|past| past.known_habits());
        self.table.shorten(|account, since| {
            let at = cx.accounts.served_at(account).filter(|at| *at >= since)?;
            Some((at, habits.and_then(|habits| habits.patience(account))))
        });
        let held: Vec<Uuid> = self.held_answers.keys().copied().collect();
        for call in held {
            if let Some(answer) = self.held_answers.get(&call).cloned()
                && self.carry_out_answer(call, &answer, cx).is_some()
            {
                self.held_answers.remove(&call);
            }
        }
        for index in 0..self.invitations.len() {
            if self.invitations[index].unsent {
                let bytes = self.invitations[index].last();
                self.send_answer(index, bytes, cx);
            }
        }
        self.drive_sessions(cx);
        self.hear_peers(cx);
    }

    /// Asks the driver for the requests that callers send straight to our Contact, past the registrar (RFC 3261 section
    /// 12.1.1). It wants them while there is a dialog without a route. Then it goes on for 64*T1: the response to a BYE
    /// may be lost, and the BYE comes again.
    fn hear_peers(&mut self, cx: &mut Cx<'_>) {
        if self.unsolicited {
            return;
        }
        let mut wanted = Vec::new();
        for session in self.sessions.iter().filter(|session| session.dialog.is_without_route()) {
            let Destination { flow, .. } = session.destination;
            if session.is_in_the_clear() && cx.flows.up(flow).is_some() && !wanted.contains(&flow) {
                wanted.push(flow);
            }
        }
        for (flow, until) in &mut self.heard {
            *until = if wanted.contains(flow) { None } else { until.or(Some(cx.now.boot + 64 * T1)) };
        }
        let (outbox, flows, now) = (&mut *cx.outbox, cx.flows, cx.now.boot);
        self.heard.retain(|(flow, until)| {
            let is_up = flows.up(*flow).is_some();
            let wanted = until.is_none_or(|until| now < until);
            if is_up && !wanted {
                outbox.push(Output::HearPeers { flow: *flow, wanted: false });
            }
            is_up && wanted
        });
        for flow in wanted {
            if self.heard.iter().all(|(heard, _)| *heard != flow) {
                cx.outbox.push(Output::HearPeers { flow, wanted: true });
                self.heard.push((flow, None));
            }
        }
    }

    /// The INVITE to answer: the newest one that came on a living flow or, if there is none, the newest.
    fn best_invitation(&self, call: Uuid, cx: &Cx<'_>) -> Option<usize> {
        let rings = |index: &usize| self.invitations[*index].rings(call);
        let newest = || (0..self.invitations.len()).rev().filter(rings);
        newest().find(|index| cx.is_alive(self.invitations[*index].destination)).or_else(|| newest().next())
    }

    /// Sends the 200. Returns `None` while there is no flow for it.
    fn carry_out_answer(&mut self, call: Uuid, answer: &Answer, cx: &mut Cx<'_>) -> Option<bool> {
        let Some(index) = self.best_invitation(call, cx) else { return Some(false) };
        let (account, destination) = (self.invitations[index].account.clone(), self.invitations[index].destination);
        let destination = cx.destination(&account, destination)?;
        let Some(mut session) = self.begin_session(call, index, destination, answer, cx) else { return Some(false) };
        let headers = session.timer.as_ref().map(SessionTimer::agreement).unwrap_or_default();
        if !self.send_accepting(index, &headers, answer, cx) {
            return Some(false);
        }
        session.awaits_answer = session.remote.is_none();
        self.sessions.push(session);
        let woken_inside = self.policy.mid_call_wakeups && cx.accounts.purr(&account).is_some();
        if let Some(entry) = self.table.live_mut(call) {
            entry.state = State::Answered;
            entry.woken_inside = woken_inside;
            entry.times.answered.get_or_insert(cx.now);
        }
        self.refuse_invitations(call, 486, "Busy Here", cx);
        Some(true)
    }

    fn begin_session(
        &self,
        call: Uuid,
        index: usize,
        destination: Destination,
        answer: &Answer,
        cx: &mut Cx<'_>,
    ) -> Option<Session> {
        let invitation = &self.invitations[index];
        let request = &invitation.request;
        Some(Session {
            uuid: call,
            account: invitation.account.clone(),
            destination,
            dialog: Dialog::accept(request, &invitation.to_tag)?,
            connected: false,
            awaits_answer: false,
            local: answer.clone(),
            remote: body::description(request).ok().flatten(),
            change: None,
            asked: Vec::new(),
            timer: SessionTimer::asked(request, cx.now.boot).ok().flatten(),
            takes_update: request.has_value("Allow", "UPDATE"),
            request: None,
            again_at: None,
            last_ack: None,
            leaving: Leaving::No,
            answers_given: 0,
        })
    }

    /// Sends the 2xx to an INVITE. Returns `false` if it cannot be built.
    fn send_accepting(&mut self, index: usize, headers: &[(&str, String)], answer: &Offer, cx: &mut Cx<'_>) -> bool {
        let invitation = &self.invitations[index];
        let secure = dialog::is_secure(&invitation.request);
        let Some(contact) = self.contact_of(&invitation.account, secure, cx) else { return false };
        let mut builder = Builder::response(&invitation.request, 200, "OK", Some(&invitation.to_tag))
            .record_route(&invitation.request)
            .header("Contact", &contact)
            .header("Allow", self.allow())
            .header("Supported", SUPPORTED);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let Ok(bytes) = builder.body(&answer.content_type, &answer.body).finish() else { return false };
        self.invitations[index].accept(bytes.clone(), cx.now.boot);
        self.send_answer(index, bytes, cx);
        true
    }

    /// Sends a response to an INVITE, now or when there is a flow again.
    pub(crate) fn send_answer(&mut self, index: usize, bytes: Vec<u8>, cx: &mut Cx<'_>) {
        let invitation = &self.invitations[index];
        let destination = cx.destination(&invitation.account, invitation.destination);
        self.invitations[index].unsent = destination.is_none();
        if let Some(destination) = destination {
            cx.outbox.transmit(destination, bytes);
        }
    }

    /// Our Contact in the dialogs of an account.
    fn contact_of(&self, account: &AccountKey, secure: bool, cx: &Cx<'_>) -> Option<String> {
        let mut uri = cx.accounts.contact_uri(account, cx.flows)?;
        if let Some(rest) = uri.strip_prefix("sip:").filter(|_| secure) {
            // RFC 5630 section 3.1.4: `sips:` does not go with `transport=tls`.
            uri = ["sips:", &rest.replace(";transport=tls", ";transport=tcp")].concat();
        }
        let purr = cx.accounts.purr(account).filter(|_| self.policy.mid_call_wakeups);
        let purr = purr.map(|purr| [";pn-purr=", &escape_paramchar(purr)].concat());
        Some(["<", &uri, purr.as_deref().unwrap_or_default(), ">"].concat())
    }

    /// Notes the status with which the app refuses a call. INVITEs that come later get the same.
    fn refuse_with(&mut self, call: Uuid, code: u16) {
        if let Some(entry) = self.table.get_mut(call) {
            entry.refusal = Some(code);
        }
    }

    /// Refuses every INVITE of a call that still rings.
    pub(crate) fn refuse_invitations(&mut self, call: Uuid, code: u16, phrase: &str, cx: &mut Cx<'_>) {
        for index in 0..self.invitations.len() {
            if self.invitations[index].rings(call) {
                self.refuse_at(index, code, phrase, &[], cx);
            }
        }
    }

    pub(crate) fn refuse_at(
        &mut self,
        index: usize,
        code: u16,
        phrase: &str,
        extra: &[(&str, String)],
        cx: &mut Cx<'_>,
    ) {
        let invitation = &mut self.invitations[index];
        let mut builder = Builder::response(&invitation.request, code, phrase, Some(&invitation.to_tag));
        for (name, value) in extra {
            builder = builder.header(name, value);
        }
        match builder.finish() {
            Ok(bytes) => {
                invitation.refuse(bytes.clone(), cx.now.boot);
                self.send_answer(index, bytes, cx);
            }
            Err(_) => cx.outbox.discard(Discard::Malformed),
        }
    }

    /// The session that a request belongs to. A BYE whose To was cut off counts only on the registrar's flow, and only
    /// if it fits exactly one session.
    fn session_of(&self, destination: Destination, request: &Message) -> Option<usize> {
        // A request from another peer counts only in a dialog that allows this.
        let heard = |session: &Session| destination.to.is_none() || session.is_in_the_clear();
        let exact = self.sessions.iter().position(|session| session.dialog.has(request) && heard(session));
        exact.or_else(|| {
            let cut = destination.to.is_none() && request.method() == Some(&Method::Bye);
            only(self.sessions.iter().map(|session| session.dialog.may_have(request))).filter(|_| cut)
        })
    }
}

/// How a request is refused: status, phrase and the header that goes with them.
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
        487 => "Request Terminated",
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
