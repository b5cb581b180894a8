//! Which call an INVITE of the other stack belongs to, and what became of it there.

use uuid::Uuid;

use super::{Companion, Error, headers};
use crate::account::AccountKey;
use crate::call::{Decline, HangUp};
use crate::calls::{Invited, State, of_cancel};
use crate::clock::Now;
use crate::event::Ended;

/// What the other stack does with an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invite {
    /// It rings, under the name that its push has, if one came.
    Ring {
        /// The call.
        call: Uuid,
        /// Another INVITE of this call rings already, on another way: no second screen, and one of them is answered.
        again: bool,
    },
    /// The user answered before it came: accept it without a further question.
    Accept {
        /// The call.
        call: Uuid,
    },
    /// It does not ring: answer it with this status.
    Refuse {
        /// The call, which is over or answered already; `None` where nobody is called here.
        call: Option<Uuid>,
        /// The status.
        status: u16,
    },
}

/// How many INVITEs of each call the other stack holds: a gateway that forks cancels one while another continues.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<(Uuid, u32)>);

impl Held {
    fn add(&mut self, call: Uuid) {
        match self.0.iter_mut().find(|(known, _)| *known == call) {
            Some((_, count)) => *count += 1,
            None => self.0.push((call, 1)),
        }
    }

    /// One of them is gone. Returns whether it was the last.
    fn take(&mut self, call: Uuid) -> bool {
        let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == call) else { return true };
        *count = count.saturating_sub(1);
        let last = *count == 0;
        if last {
            self.forget(call);
        }
        last
    }

    pub(super) fn forget(&mut self, call: Uuid) {
        self.0.retain(|(known, _)| *known != call);
    }
}

/// What is answered to the INVITEs of a call that is over without the other stack's doing.
pub(super) fn refusal(state: Option<State>) -> Option<u16> {
    match state {
        Some(State::Over(Ended::LoggedOut)) => Some(480),
        Some(State::Over(_)) => Some(487),
        _ => None,
    }
}

impl Companion {
    /// An INVITE outside of a dialog came to the other stack, for this account; `headers` are all of its header fields,
    /// or at least `From`, `Call-ID` and, if it has them, `P-Asserted-Identity` and `X-Push-ID`.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`], [`Error::Lacks`], and other errors of headers.
    pub fn invited(&mut self, account: &AccountKey, headers: &[(&str, &str)], now: Now) -> Result<Invite, Error> {
        self.agent.registration(account)?;
        let invite = headers::message("INVITE sip:beside.invalid SIP/2.0", headers)?;
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
            self.held.add(call);
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

    /// The other stack has accepted an INVITE of this call; others of the same call are answered with 486.
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

    /// A CANCEL came to the other stack, which answers its INVITE with 487; `headers` are the CANCEL's; `Reason` says
    /// whether the call was answered elsewhere (RFC 3326). Returns how the call ended; `None` while another INVITE of
    /// it rings.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`], [`Error::Answered`], [`Error::Over`], and what may be wrong with headers.
    pub fn cancelled(&mut self, call: Uuid, headers: &[(&str, &str)], now: Now) -> Result<Option<Ended>, Error> {
        let cancel = headers::message("CANCEL sip:beside.invalid SIP/2.0", headers)?;
        if self.live(call)? == State::Answered {
            // RFC 3261 section 9.2: it has no effect on a call that was accepted.
            return Err(Error::Answered);
        }
        if !self.held.take(call) {
            return Ok(None);
        }
        let how = of_cancel(&cancel);
        self.ended(call, how, now)?;
        Ok(Some(how))
    }

    /// Another device of the user has answered: the server has said so in another way than a CANCEL.
    ///
    /// # Errors
    /// As [`ended`](Self::ended).
    pub fn answered_elsewhere(&mut self, call: Uuid, now: Now) -> Result<(), Error> {
        self.ended(call, Ended::AnsweredElsewhere, now)
    }

    /// The call is over at the other stack. From here on no late push or INVITE of it makes a sound.
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

    /// How a call stands that is not over.
    fn live(&self, call: Uuid) -> Result<State, Error> {
        match self.agent.state_of(call).ok_or(Error::NoSuchCall)? {
            State::Over(_) => Err(Error::Over),
            state => Ok(state),
        }
    }
}
