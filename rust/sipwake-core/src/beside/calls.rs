//! Which call an INVITE of the other stack belongs to, and what became of it there.

use uuid::Uuid;

use super::headers::is_of;
use super::{Companion, Error, headers};
use crate::account::AccountKey;
use crate::call::{Decline, HangUp};
use crate::calls::{Invited, State, of_cancel};
use crate::clock::Now;
use crate::event::Ended;
use crate::sip::Message;

/// What the other stack does with an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invite {
    /// It rings, with the UUID of its push if one came.
    Ring {
        /// The call.
        call: Uuid,
        /// Another INVITE of this call, over another route, is ringing already. Show no second screen, and answer only
        /// one of them.
        again: bool,
    },
    /// The user answered before it came. Accept it without asking the user again.
    Accept {
        /// The call.
        call: Uuid,
    },
    /// It does not ring. Send this status.
    Refuse {
        /// The call, which is over or answered already. `None` if nobody here is called.
        call: Option<Uuid>,
        /// The status.
        status: u16,
    },
}

/// How many INVITEs of one call are told apart. Of the others, only their number is known.
const MAX_BRANCHES: usize = 16;

/// The INVITEs of each call that the other stack holds. A gateway that forks cancels one while another one continues.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<(Uuid, Vec<HeldInvite>)>);

/// One INVITE that rings, or rang.
#[derive(Debug)]
struct HeldInvite {
    /// The branch of its topmost Via, if the stack shows it. Its CANCEL and its retransmissions have the same one (RFC
    /// 3261 section 9.1).
    branch: Option<String>,
    cancelled: bool,
}

impl Held {
    fn add(&mut self, call: Uuid, invite: &Message) {
        let branch = invite.branch();
        let index = self.0.iter().position(|(known, _)| *known == call).unwrap_or_else(|| {
            self.0.push((call, Vec::new()));
            self.0.len() - 1
        });
        let all = &mut self.0[index].1;
        let retransmitted = branch.is_some() && all.iter().any(|known| known.branch.as_deref() == branch);
        if !retransmitted && all.len() < MAX_BRANCHES {
            all.push(HeldInvite { branch: branch.map(str::to_owned), cancelled: false });
        }
    }

    /// Cancels one of them. Returns whether none is left.
    fn take(&mut self, call: Uuid, cancel: &Message) -> bool {
        let Some((_, all)) = self.0.iter_mut().find(|(known, _)| *known == call) else { return true };
        let branch = cancel.branch();
        let same = all.iter().position(|known| branch.is_some() && known.branch.as_deref() == branch);
        // If the CANCEL or the stack does not show the branch, any INVITE counts as the cancelled one.
        let index = same.or_else(|| all.iter().position(|known| !known.cancelled));
        if let Some(index) = index {
            all[index].cancelled = true;
        }
        let last = all.iter().all(|known| known.cancelled);
        if last {
            self.forget(call);
        }
        last
    }

    pub(super) fn forget(&mut self, call: Uuid) {
        self.0.retain(|(known, _)| *known != call);
    }
}

/// The status for the INVITEs of a call that ended without the other stack.
pub(super) fn refusal(state: Option<State>) -> Option<u16> {
    match state {
        Some(State::Over(Ended::LoggedOut)) => Some(480),
        Some(State::Over(_)) => Some(487),
        _ => None,
    }
}

impl Companion {
    /// The other stack got an INVITE outside of a dialog for this account. `headers` are all of its header fields, or
    /// at least `From`, `Call-ID` and, if it has them, `P-Asserted-Identity` and `X-Push-ID`.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`], [`Error::Lacks`], [`Error::Method`], [`Error::InDialog`], and other errors of headers.
    pub fn invited(&mut self, account: &AccountKey, headers: &[(&str, &str)], now: Now) -> Result<Invite, Error> {
        self.agent.registration(account)?;
        let invite = headers::message("INVITE sip:beside.invalid SIP/2.0", headers)?;
        is_of(&invite, "INVITE")?;
        if invite.to().is_some_and(|to| to.tag().is_some()) {
            return Err(Error::InDialog);
        }
        if invite.call_id().is_none_or(str::is_empty) {
            return Err(Error::Lacks("Call-ID"));
        }
        if invite.from().is_none() {
            return Err(Error::Lacks("From"));
        }
        let invited = match self.agent.invited_beside(account, &invite, now) {
            Invited::Rings { uuid, again } => Invite::Ring { call: uuid, again },
            Invited::Wanted(uuid) => Invite::Accept { call: uuid },
            Invited::Taken(uuid) => Invite::Refuse { call: Some(uuid), status: 486 },
            Invited::Over(uuid, status) => Invite::Refuse { call: Some(uuid), status },
            Invited::Refused(status) => Invite::Refuse { call: None, status },
        };
        if let Invite::Ring { call, .. } | Invite::Accept { call } = invited {
            self.held.add(call, &invite);
        }
        self.drain(now);
        Ok(invited)
    }

    /// The user wants to answer, at any moment from the push on. Returns whether the INVITE is here. Then the other
    /// stack accepts it now. Otherwise [`invited`](Self::invited) returns [`Invite::Accept`] when it comes.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`], [`Error::Answered`], [`Error::Over`].
    pub fn answer(&mut self, call: Uuid, now: Now) -> Result<bool, Error> {
        let state = self.live(call)?;
        if state == State::Answered {
            return Err(Error::Answered);
        }
        self.agent.answer(call, now);
        self.drain(now);
        Ok(state == State::Ringing)
    }

    /// The other stack has accepted an INVITE of this call. Others of the same call get 486.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`], [`Error::NotInvited`], [`Error::Answered`], [`Error::Over`].
    pub fn answered(&mut self, call: Uuid, now: Now) -> Result<(), Error> {
        match self.live(call)? {
            State::Announced => return Err(Error::NotInvited),
            State::Answered => return Err(Error::Answered),
            State::Ringing | State::Over(_) => {}
        }
        self.agent.answered_beside(call, now);
        self.held.forget(call);
        self.drain(now);
        Ok(())
    }

    /// The user declines. Returns the status for the INVITEs that the other stack holds. Later ones get the same.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`], [`Error::Answered`], [`Error::Over`].
    pub fn decline(&mut self, call: Uuid, how: Decline, now: Now) -> Result<u16, Error> {
        if self.live(call)? == State::Answered {
            return Err(Error::Answered);
        }
        self.agent.decline(call, how, now);
        self.held.forget(call);
        self.drain(now);
        Ok(match how {
            Decline::Everywhere => 603,
            Decline::Busy => 486,
        })
    }

    /// The user ends the call, whatever its state. Returns the status that the INVITEs which the other stack holds are answered with;
    /// `None` for a call that was answered: the stack sends its BYE, and says that it [`ended`](Self::ended).
    ///
    /// # Errors
    /// [`Error::NoSuchCall`], [`Error::Over`].
    pub fn hang_up(&mut self, call: Uuid, why: HangUp, now: Now) -> Result<Option<u16>, Error> {
        if self.live(call)? == State::Answered {
            return Ok(None);
        }
        self.agent.hang_up(call, why, now);
        self.held.forget(call);
        self.drain(now);
        Ok(Some(match why {
            HangUp::Normal => 603,
            HangUp::Failed(status @ 400..=699) => status,
            HangUp::Failed(_) => 500,
        }))
    }

    /// The other stack got a CANCEL, and responds to its INVITE with 487. `headers` are those of the CANCEL: `Reason`
    /// says whether the call was answered elsewhere (RFC 3326), and `Via` says which of several INVITEs it is for.
    /// Returns how the call ended, or `None` while another INVITE of it rings.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`], [`Error::Answered`], [`Error::Over`], and what may be wrong with headers.
    pub fn cancelled(&mut self, call: Uuid, headers: &[(&str, &str)], now: Now) -> Result<Option<Ended>, Error> {
        let cancel = headers::message("CANCEL sip:beside.invalid SIP/2.0", headers)?;
        if self.live(call)? == State::Answered {
            // RFC 3261 section 9.2: a CANCEL has no effect on a call that was accepted.
            return Err(Error::Answered);
        }
        if !self.held.take(call, &cancel) {
            return Ok(None);
        }
        let how = of_cancel(&cancel);
        self.ended(call, how, now)?;
        Ok(Some(how))
    }

    /// Another device of the user has answered, and the server said so in another way than by a CANCEL.
    ///
    /// # Errors
    /// As [`ended`](Self::ended).
    pub fn answered_elsewhere(&mut self, call: Uuid, now: Now) -> Result<(), Error> {
        self.ended(call, Ended::AnsweredElsewhere, now)
    }

    /// The call is over in the other stack. From here on, no late push or INVITE of it makes a sound.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`], [`Error::Over`]: an end is reported once.
    pub fn ended(&mut self, call: Uuid, how: Ended, now: Now) -> Result<(), Error> {
        self.live(call)?;
        self.agent.ended_beside(call, how, now);
        self.held.forget(call);
        self.drain(now);
        Ok(())
    }

    /// The state of a call, or an error if it is over or unknown.
    fn live(&self, call: Uuid) -> Result<State, Error> {
        match self.agent.state_of(call).ok_or(Error::NoSuchCall)? {
            State::Over(_) => Err(Error::Over),
            state => Ok(state),
        }
    }
}
