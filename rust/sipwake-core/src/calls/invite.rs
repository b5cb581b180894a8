//! INVITEs outside of a dialog, their CANCELs, and every INVITE's ACK (RFC 3261 sections 9.2, 13.3 and 17.2.1).

use std::time::Duration;

use uuid::Uuid;

use super::addressee::addressee;
use super::body::Unreadable;
use super::callers::Likeness;
use super::dialog::is_secure;
use super::session::{Leaving, Session};
use super::session_timer::{MIN_SE, SessionTimer};
use super::table::{Entry, Match, State};
use super::transaction::{Due, Invitation, Purpose};
use super::uas::TransactionKey;
use super::{ACCEPT, Calls, Cx, Refusal, SUPPORTED, Side, body, phrase, reason};
use crate::account::{AccountKey, Transport};
use crate::call::Progress;
use crate::event::{CallChange, Caller, Discard, Ended, Offer};
use crate::outbox::Destination;
use crate::payload::shown_name;
use crate::record::Decision;
use crate::record::words::{Milliseconds, Status, YesNo};
use crate::sip::{ALLOW, Builder, Message, NameAddr};

/// How many INVITEs may ring or wait for their ACK at once: room for a fork or a retry for each call.
const MAX_OPEN: usize = 256;
/// How many INVITEs are remembered, so that a late retransmission is not a new call. The oldest finished one goes
/// first.
const MAX_REMEMBERED: usize = 512;

impl Calls {
    pub(crate) fn handle_invite(
        &mut self,
        destination: Destination,
        key: TransactionKey,
        request: Message,
        cx: &mut Cx<'_>,
    ) {
        if let Some(index) = self.invitations.iter().position(|known| known.key == key) {
            if let Some(bytes) = self.invitations[index].repeated() {
                cx.outbox.transmit(destination, bytes);
            }
            return;
        }
        let Some(invitation) = self.receive(destination, key, request, cx) else { return };
        if invitation.request.to_tag().is_some() {
            return self.handle_invite_within(invitation, cx);
        }
        let account = addressee(destination, &invitation.request, cx).unwrap_or_else(|| invitation.account.clone());
        match self.admit(&invitation, &account, cx) {
            Ok(offer) => self.ring(invitation, account, offer, cx),
            Err(refusal) => self.refuse_new(invitation, &refusal, cx),
        }
    }

    /// Makes room for an INVITE, and notes the account of the flow that it came on.
    fn receive(
        &mut self,
        destination: Destination,
        key: TransactionKey,
        request: Message,
        cx: &mut Cx<'_>,
    ) -> Option<Invitation> {
        let Some(account) = cx.owner(destination.flow).cloned() else {
            cx.outbox.discard(Discard::DeadFlow);
            return None;
        };
        let reliable = destination.transport.is_reliable();
        if self.invitations.iter().filter(|known| known.is_open() || known.awaits_ack()).count() >= MAX_OPEN {
            cx.outbox.discard(Discard::TooManyCalls);
            return None;
        }
        if self.invitations.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.invitations.iter().position(|known| !known.is_open() && !known.awaits_ack())
        {
            self.invitations.remove(oldest);
        }
        let tag = request.to_tag().map(str::to_owned).unwrap_or_else(|| cx.outbox.token());
        Some(Invitation::new(key, destination, account, request, tag, reliable))
    }

    /// Returns the offer of an INVITE, or why the INVITE is refused before it rings.
    fn admit(&self, invitation: &Invitation, account: &AccountKey, cx: &Cx<'_>) -> Result<Option<Offer>, Refusal> {
        let request = &invitation.request;
        let unknown = unknown_extensions(request);
        if !unknown.is_empty() {
            return Err(Refusal::new(420, "Bad Extension").with("Unsupported", unknown));
        }
        if request.values("Contact").next().is_none() || request.check().is_err() {
            return Err(Refusal::new(400, "Bad Request"));
        }
        if cx.accounts.is_leaving(&invitation.account) || cx.accounts.is_leaving(account) {
            return Err(Refusal::new(480, "Temporarily Unavailable"));
        }
        if self.merged(invitation).is_some_and(|index| cx.is_alive(self.invitations[index].destination)) {
            return Err(Refusal::new(482, "Loop Detected"));
        }
        SessionTimer::asked(request, cx.now.boot).map_err(|_| too_brief())?;
        body::description(request).map_err(Unreadable::refusal)
    }

    /// RFC 3261 8.2.2.2: the same request is ringing already, over another route.
    fn merged(&self, invitation: &Invitation) -> Option<usize> {
        self.invitations.iter().position(|known| known.is_open() && known.is_same_request(&invitation.request))
    }

    fn ring(&mut self, mut invitation: Invitation, account: AccountKey, offer: Option<Offer>, cx: &mut Cx<'_>) {
        // No 100 is sent. RFC 3261 17.2.1 does not want one if another response is sent within 200 ms. A 100 would also
        // keep the caller from sending its INVITE again, and only that makes up for a lost 180.
        let trusted = invitation.destination.to.is_none();
        let caller = caller(&invitation.request, trusted);
        let side = Side::of_invite(&invitation.request, account.clone(), trusted);
        if let Some(code) = self.refuses_earlier(&side, &account, cx) {
            return self.refuse_new(invitation, &Refusal::new(code, phrase(code)), cx);
        }
        let arrival = self.arrive(&side, &account, cx);
        let uuid = match arrival {
            Match::New(uuid) | Match::Joined(uuid) | Match::Repeated(uuid) => uuid,
            Match::Ghost(uuid, _) => {
                let code = self.ghost_answer(uuid);
                return self.refuse_new(invitation, &Refusal::new(code, phrase(code)), cx);
            }
            Match::Full => {
                cx.outbox.discard(Discard::TooManyCalls);
                return self.refuse_new(invitation, &Refusal::new(486, "Busy Here"), cx);
            }
        };
        if self.table.get(uuid).is_some_and(|entry| entry.state == State::Answered) {
            return self.invited_again(uuid, invitation, cx);
        }
        if let Some(index) = self.merged(&invitation) {
            // Its flow is gone, so nobody would get a response there.
            self.invitations.remove(index);
        }
        let rings = invitation.request.expires().map_or(self.policy.ring_limit, |s| Duration::from_secs(u64::from(s)));
        invitation.answer_by(cx.now.boot + rings.min(self.policy.ring_limit).max(Duration::from_secs(1)));
        invitation.purpose = Purpose::Ring(uuid);
        invitation.progress = self.policy.progress;
        self.invitations.push(invitation);
        self.send_progress(self.invitations.len() - 1, cx);
        self.tell_invited(arrival, caller, offer, cx);
    }

    /// Why an INVITE does not ring if an earlier process has refused its call, or saw it end.
    pub(super) fn refuses_earlier(&mut self, side: &Side, account: &AccountKey, cx: &mut Cx<'_>) -> Option<u16> {
        let code = self.refused_earlier(side, cx)?;
        let ended = match code {
            480 => Ended::Missed,
            487 => Ended::Cancelled,
            _ => Ended::Declined,
        };
        let decision = Decision::Tombstone { invite: YesNo::Yes, ended: ended.into() };
        cx.outbox.note_call(Some(account), self.table.next_uuid(side), decision);
        Some(code)
    }

    /// Matches an INVITE with what announced it.
    pub(super) fn arrive(&mut self, side: &Side, account: &AccountKey, cx: &mut Cx<'_>) -> Match {
        let arrival = self.table.invite(side, self.judged.all(), cx.now.boot);
        self.note_arrival(account, arrival, cx);
        if let Match::Joined(uuid) = arrival
            && let Some(took) = self.table.took(uuid)
        {
            self.past_mut().habits().learn(account, took);
        }
        arrival
    }

    /// The status for an INVITE whose call is over.
    pub(super) fn ghost_answer(&self, uuid: Uuid) -> u16 {
        self.table.get(uuid).map_or(480, Entry::status)
    }

    /// Tells the app of an INVITE that rings.
    pub(super) fn tell_invited(&mut self, arrival: Match, caller: Caller, offer: Option<Offer>, cx: &mut Cx<'_>) {
        // When a new Contact comes in, the gateway sends the INVITE there again. It is the same call and the same
        // ringing.
        let (uuid, announced, tell) = match arrival {
            Match::New(uuid) => (uuid, false, true),
            Match::Joined(uuid) => (uuid, true, true),
            Match::Repeated(uuid) => (uuid, true, false),
            Match::Ghost(..) | Match::Full => return,
        };
        let told_before = self.table.get(uuid).is_some_and(|entry| entry.caller.is_some());
        let changed = self.learn_caller(uuid, &caller);
        if !tell {
            if changed {
                self.tell_call(uuid, CallChange::CallerChanged(caller), cx);
            }
            return;
        }
        if self.table.contradicts(uuid) {
            // The screen shows another caller. It is corrected before any answer.
            self.correct_caller(uuid, &caller);
            self.tell_call(uuid, CallChange::CallerChanged(caller.clone()), cx);
            if let Some(entry) = self.table.live_mut(uuid).filter(|_| self.policy.reconfirm) {
                entry.answer_wanted = false;
            }
        }
        let known = self.table.get(uuid).and_then(|entry| entry.caller.clone()).filter(|_| told_before && !changed);
        // An INVITE that says less than its push does not remove the name.
        let name = caller.display_name.clone().or(known.and_then(|known| known.display_name));
        let caller = Caller { display_name: name, ..caller };
        if self.table.get(uuid).is_some_and(|entry| entry.answer_wanted) {
            self.tell_call(uuid, CallChange::AnswerWanted { caller, offer }, cx);
        } else {
            self.tell_call(uuid, CallChange::Ringing { caller, announced, offer }, cx);
        }
    }

    /// The status for an INVITE whose call ended in an earlier process.
    fn refused_earlier(&mut self, invite: &Side, cx: &mut Cx<'_>) -> Option<u16> {
        if !self.past.as_ref().is_some_and(|past| past.has_earlier()) || self.table.knows(invite, true, cx.now.boot) {
            return None;
        }
        let met = self.judged.all().iter().any(|judged| judged.push.likeness(invite) == Likeness::Same);
        let by_id = self.past_mut().invited(invite, cx.now.wall);
        let code = by_id.or_else(|| {
            let known = met || self.table.knows(invite, false, cx.now.boot);
            if known { None } else { self.past_mut().invited_by_caller(invite, cx.now.wall) }
        })?;
        self.save_past(cx.outbox);
        Some(code)
    }

    fn note_arrival(&self, account: &AccountKey, arrival: Match, cx: &mut Cx<'_>) {
        let (uuid, decision) = match arrival {
            Match::New(uuid) => (uuid, Decision::InviteNew {}),
            Match::Joined(uuid) => {
                let announced = self.table.get(uuid).and_then(|entry| entry.times.announced);
                let after = announced.map_or(Duration::ZERO, |at| cx.now.boot.saturating_sub(at.boot));
                (uuid, Decision::InviteJoined { after: Milliseconds(after) })
            }
            Match::Repeated(uuid) => (uuid, Decision::InviteAgain {}),
            Match::Ghost(uuid, how) => (uuid, Decision::Tombstone { invite: YesNo::Yes, ended: how.into() }),
            Match::Full => return,
        };
        cx.outbox.note_call(Some(account), uuid, decision);
    }

    /// Another INVITE of an accepted call came. If our 200 was sent on a flow that is gone, and its ACK never came, the
    /// gateway tries again and gets the same response.
    fn invited_again(&mut self, uuid: Uuid, invitation: Invitation, cx: &mut Cx<'_>) {
        let lost = self.sessions.iter().position(|session| {
            session.uuid == uuid
                && !session.connected
                && session.leaving == Leaving::No
                && !cx.is_alive(session.destination)
        });
        let Some(index) = lost else { return self.refuse_new(invitation, &Refusal::new(486, "Busy Here"), cx) };
        let session = self.sessions.remove(index);
        self.invitations.retain(|known| known.purpose != Purpose::Ring(uuid));
        let mut invitation = invitation;
        invitation.purpose = Purpose::Ring(uuid);
        invitation.answer_by(cx.now.boot + self.policy.ring_limit);
        self.invitations.push(invitation);
        self.held_answers.insert(uuid, session.local);
    }

    /// Sends the 180 or 183, reliably if the caller requires it (RFC 3262 section 3).
    pub(crate) fn send_progress(&mut self, index: usize, cx: &mut Cx<'_>) {
        let invitation = &self.invitations[index];
        // RFC 3262 section 5: if the INVITE has no offer, a reliable response must carry ours. But ours waits for the
        // user.
        let required = invitation.request.has_option("Require", "100rel") && !invitation.request.body.is_empty();
        let first = || u32::try_from(cx.outbox.random().below(1 << 30)).unwrap_or(0) + 1;
        let rseq = required.then(|| invitation.last_rseq().map_or_else(first, |last| last + 1));
        let (code, phrase) = match invitation.progress {
            Progress::Ringing => (180, "Ringing"),
            Progress::Session => (183, "Session Progress"),
        };
        let mut builder = Builder::response(&invitation.request, code, phrase, Some(&invitation.to_tag))
            .record_route(&invitation.request)
            .header("Allow", self.allow());
        if let Some(contact) = self.contact_of(&invitation.account, is_secure(&invitation.request), cx) {
            builder = builder.header("Contact", &contact);
        }
        if let Some(rseq) = rseq {
            builder = builder.header("Require", "100rel").header("RSeq", &rseq.to_string());
        }
        let Ok(bytes) = builder.finish() else { return cx.outbox.discard(Discard::Malformed) };
        self.invitations[index].proceed(bytes.clone(), rseq, cx.now.boot);
        self.send_answer(index, bytes, cx);
    }

    /// Refuses an INVITE that is not in the list yet.
    pub(crate) fn refuse_new(&mut self, invitation: Invitation, refusal: &Refusal, cx: &mut Cx<'_>) {
        cx.outbox.note(&invitation.account, Decision::InviteRefused { status: Status(refusal.code) });
        self.invitations.push(invitation);
        self.refuse_at(self.invitations.len() - 1, refusal.code, refusal.phrase, refusal.header.as_slice(), cx);
    }

    pub(crate) fn handle_ack(
        &mut self,
        destination: Destination,
        key: &TransactionKey,
        ack: &Message,
        cx: &mut Cx<'_>,
    ) {
        // The ACK of a 2xx has a branch of its own (13.2.2.4). Old callers use their INVITE's.
        let refused = |known: &&mut Invitation| known.key == *key && !known.is_accepted();
        if let Some(refused) = self.invitations.iter_mut().find(refused) {
            if !refused.acknowledge(cx.now.boot) {
                cx.outbox.discard(Discard::StrayRequest);
            }
            return;
        }
        let cseq = ack.cseq().map(|cseq| cseq.seq);
        let tag = ack.to_tag();
        let of_invite = |known: &Invitation| {
            !known.is_open()
                && known.request.call_id() == ack.call_id()
                && known.request.cseq().map(|cseq| cseq.seq) == cseq
        };
        let heard = |known: &Invitation| {
            destination.to.is_none() || (known.destination.transport == Transport::Udp && !is_secure(&known.request))
        };
        let exact = |known: &Invitation| of_invite(known) && tag == Some(known.local_tag()) && heard(known);
        let exact = self.invitations.iter().position(exact);
        // Some servers cut the To and its tag. On the registrar's flow, the ACK is accepted if it fits exactly one
        // INVITE.
        let cut = || {
            let fits = |known: &Invitation| {
                of_invite(known)
                    && known.awaits_ack()
                    && known.local_tag().starts_with(tag.unwrap_or_default())
                    && known.request.from_tag() == ack.from_tag()
            };
            only(self.invitations.iter().map(fits)).filter(|_| destination.to.is_none())
        };
        let Some(index) = exact.or_else(cut) else { return cx.outbox.discard(Discard::StrayRequest) };
        let known = &mut self.invitations[index];
        if !known.awaits_ack() {
            return;
        }
        known.acknowledge(cx.now.boot);
        let (Purpose::Ring(uuid) | Purpose::Change(uuid)) = known.purpose else { return };
        self.acknowledged(uuid, ack, cx);
    }

    fn acknowledged(&mut self, uuid: Uuid, ack: &Message, cx: &mut Cx<'_>) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.uuid == uuid) else { return };
        let answer =
            if std::mem::take(&mut session.awaits_answer) { body::description(ack).ok().flatten() } else { None };
        if answer.is_some() {
            session.remote.clone_from(&answer);
        }
        let first = !std::mem::replace(&mut session.connected, true);
        let live = self.table.live_mut(uuid).is_some();
        if live && first {
            self.tell_call(uuid, CallChange::Connected { answer }, cx);
        } else if live && let Some(answer) = answer {
            self.tell_call(uuid, CallChange::Answered(answer), cx);
        }
    }

    pub(crate) fn handle_cancel(
        &mut self,
        destination: Destination,
        key: &TransactionKey,
        request: &Message,
        cx: &mut Cx<'_>,
    ) {
        let Some(index) = self.invitations.iter().position(|known| known.key == *key) else {
            return self.answer_request(destination, None, request, 481, "Call/Transaction Does Not Exist", &[], cx);
        };
        // Section 9.2: the response has the same tag as those to the INVITE.
        let tag = self.invitations[index].to_tag.clone();
        self.answer_with_tag(destination, None, request, (200, "OK", &tag), &[], cx);
        if !self.invitations[index].is_open() {
            return;
        }
        match self.invitations[index].purpose {
            // A gateway that forks cancels one branch while another one continues.
            Purpose::Ring(uuid) if self.invitations.iter().filter(|known| known.rings(uuid)).count() == 1 => {
                self.end_call(uuid, reason::of_cancel(request), cx);
            }
            Purpose::Change(uuid) => self.forget_change(uuid),
            Purpose::Ring(_) | Purpose::Refused => {}
        }
        self.refuse_at(index, 487, "Request Terminated", &[], cx);
    }

    pub(crate) fn expire_invitations(&mut self, cx: &mut Cx<'_>) {
        let mut due: Vec<(TransactionKey, Due)> = Vec::new();
        for invitation in self.invitations.iter_mut() {
            if let Some(what) = invitation.due(cx.now.boot) {
                due.push((invitation.key.clone(), what));
            }
        }
        for (key, what) in due {
            let Some(index) = self.invitations.iter().position(|known| known.key == key) else { continue };
            let purpose = self.invitations[index].purpose;
            match (what, purpose) {
                (Due::Repeat, _) => {
                    let bytes = self.invitations[index].last();
                    self.send_answer(index, bytes, cx);
                }
                (Due::Done, _) => drop(self.invitations.remove(index)),
                (Due::Unanswered, Purpose::Change(uuid)) => {
                    self.respond_change(uuid, None, cx);
                    if self.invitations[index].is_open() {
                        self.refuse_at(index, 500, "Server Internal Error", &[], cx);
                    }
                }
                (Due::Unanswered, _) => {
                    // RFC 3261 section 13.3.1: when the INVITE's own `Expires` ends, the status is 487.
                    let limit = self.policy.ring_limit;
                    let expires = self.invitations[index].request.expires();
                    let expired = expires.is_some_and(|expires| Duration::from_secs(u64::from(expires)) <= limit);
                    self.give_up_ringing(index, if expired { 487 } else { 480 }, Ended::Unanswered, cx);
                }
                (Due::NoPrack, _) => self.give_up_ringing(index, 504, Ended::Failed(504), cx),
                (Due::NoAck, Purpose::Ring(uuid) | Purpose::Change(uuid)) => {
                    self.invitations.remove(index);
                    self.fail_session(uuid, 408, cx);
                }
                (Due::NoAck, Purpose::Refused) => drop(self.invitations.remove(index)),
            }
        }
    }

    /// Refuses one INVITE. If it was the last one, its call is over.
    fn give_up_ringing(&mut self, index: usize, code: u16, how: Ended, cx: &mut Cx<'_>) {
        let phrase = match code {
            487 => "Request Terminated",
            504 => "Server Time-out",
            _ => "Temporarily Unavailable",
        };
        self.refuse_at(index, code, phrase, &[], cx);
        if let Purpose::Ring(uuid) = self.invitations[index].purpose
            && !self.invitations.iter().any(|known| known.rings(uuid))
        {
            self.end_call(uuid, how, cx);
        }
    }

    pub(crate) fn sessions_of(&mut self, uuid: Uuid) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.uuid == uuid)
    }
}

/// The caller asks for a shorter session interval than we accept (RFC 4028 section 6).
pub(crate) fn too_brief() -> Refusal {
    Refusal::new(422, "Session Interval Too Small").with("Min-SE", MIN_SE.to_string())
}

/// The position of the only `true`. `None` if there are several, or none.
pub(super) fn only(fits: impl Iterator<Item = bool>) -> Option<usize> {
    let mut found = fits.enumerate().filter_map(|(index, fits)| fits.then_some(index));
    found.next().filter(|_| found.next().is_none())
}

/// The extensions that a request requires and that we do not support.
pub(crate) fn unknown_extensions(request: &Message) -> String {
    let known = |tag: &&str| SUPPORTED.split(", ").any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<&str> = request.values("Require").filter(|tag| !known(tag)).collect();
    unknown.join(", ")
}

/// Who calls. `trusted` says whether the registrar vouches for `P-Asserted-Identity` (RFC 3325 section 5).
pub(crate) fn caller(request: &Message, trusted: bool) -> Caller {
    let from = request.from();
    // There is at most one `tel:` and one `sip:` (9.1). Either may have the name.
    let all = || request.values("P-Asserted-Identity").filter(|_| trusted).filter_map(NameAddr::parse);
    let asserted = all().next();
    let shown = |named: Option<NameAddr<'_>>| named.and_then(|named| shown_name(&named.display_name()?));
    // A name is not used if the caller's own network says that the caller is anonymous.
    let withheld = || from.is_some_and(|from| from.uri.to_ascii_lowercase().contains("anonymous"));
    let name = all()
        .find_map(|named| shown(Some(named)))
        .or_else(|| shown(from).filter(|_| asserted.is_none() || !withheld()));
    Caller { display_name: name, uri: asserted.or(from).and_then(|named| shown_name(named.uri)).unwrap_or_default() }
}

/// The headers of the response to OPTIONS, inside a call and outside (RFC 3261 section 11.2).
pub(crate) const CAPABILITIES: [(&str, &str); 3] = [("Allow", ALLOW), ("Accept", ACCEPT), ("Supported", SUPPORTED)];
