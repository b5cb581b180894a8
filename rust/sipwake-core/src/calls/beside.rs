//! Calls whose INVITEs another SIP stack takes and answers. This part says which call each one is, and whether it is
//! over.

use uuid::Uuid;

use super::invite::caller;
use super::table::Match;
use super::{Calls, Cx, Side, State};
use crate::account::AccountKey;
use crate::event::Discard;
use crate::sip::Message;

/// What the other stack does with an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invited {
    /// It rings. `again` means that another INVITE of the call is ringing.
    Rings { uuid: Uuid, again: bool },
    /// The user has answered already.
    Wanted(Uuid),
    /// The user has answered another INVITE of this call.
    Taken(Uuid),
    /// Its call is over.
    Over(Uuid, u16),
    /// Nobody here is called, or there are too many calls.
    Refused(u16),
}

impl Calls {
    /// The other stack got an INVITE outside of a dialog for this account.
    pub(crate) fn invited_beside(&mut self, account: &AccountKey, invite: &Message, cx: &mut Cx<'_>) -> Invited {
        if cx.accounts.is_leaving(account) {
            return Invited::Refused(480);
        }
        let side = Side::of_invite(invite, account.clone(), true);
        if let Some(code) = self.refuses_earlier(&side, account, cx) {
            return Invited::Refused(code);
        }
        let arrival = self.arrive(&side, account, cx);
        let uuid = match arrival {
            Match::New(uuid) | Match::Joined(uuid) | Match::Repeated(uuid) => uuid,
            Match::Ghost(uuid, _) => return Invited::Over(uuid, self.ghost_answer(uuid)),
            Match::Full => {
                cx.outbox.discard(Discard::TooManyCalls);
                return Invited::Refused(486);
            }
        };
        if self.table.get(uuid).is_some_and(|entry| entry.state == State::Answered) {
            return Invited::Taken(uuid);
        }
        self.beside.retain(|held| self.table.get(*held).is_some_and(|entry| entry.state == State::Ringing));
        if !self.beside.contains(&uuid) {
            self.beside.push(uuid);
        }
        self.tell_invited(arrival, caller(invite, true), None, cx);
        match self.table.get(uuid) {
            Some(entry) if entry.answer_wanted => Invited::Wanted(uuid),
            _ => Invited::Rings { uuid, again: matches!(arrival, Match::Repeated(_)) },
        }
    }

    /// The other stack has accepted an INVITE of this call. Returns `false` if the call does not ring.
    pub(crate) fn answered_beside(&mut self, call: Uuid, cx: &Cx<'_>) -> bool {
        let Some(entry) = self.table.live_mut(call).filter(|entry| entry.state == State::Ringing) else { return false };
        entry.state = State::Answered;
        entry.times.answered.get_or_insert(cx.now);
        true
    }

    /// The other stack is on another network. No CANCEL can come for the INVITEs that it holds.
    pub(crate) fn cut_off_beside(&mut self) {
        self.beside.clear();
    }

    pub(crate) fn ringing_beside(&self) -> Vec<Uuid> {
        self.table.live().filter(|entry| entry.state == State::Ringing).map(|entry| entry.uuid).collect()
    }

    /// The state of a call. `None` if it is unknown.
    pub(crate) fn state_of(&self, call: Uuid) -> Option<State> {
        self.table.get(call).map(|entry| entry.state)
    }
}
