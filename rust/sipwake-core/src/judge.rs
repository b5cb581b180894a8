//! Judges a push at once, from outside the client: is it for somebody who is logged in, and of a call that is not over?
//!
//! A [`Gate`] is a small copy of what the client knows. Whoever drives the client publishes a new one whenever something
//! changed, so that a push is judged without waiting for the client.

use std::time::Duration;

use crate::calls::{State, Table};
use crate::payload::{ActionKind, Hints, Ignored, PushAction};

/// What a push is judged by.
#[derive(Debug, Clone)]
pub struct Gate {
    users: Vec<(String, bool)>,
    calls: Table,
    window: Duration,
}

impl Gate {
    /// `users` are those who are logged in or were lately, and whether pushes for them are silent.
    pub(crate) fn new(users: Vec<(String, bool)>, calls: Table, window: Duration) -> Self {
        Self { users, calls, window }
    }

    /// Returns the action as it stands for this client: without a sound if nobody is logged in whom it could be for, or
    /// if its call is over; with the UUID that the call has already, if its INVITE or another push came before.
    ///
    /// PushKit's duty to report stays: such a call is reported and ended at once.
    pub fn judge(&self, mut action: PushAction, hints: &Hints, now: Duration) -> PushAction {
        if self.is_silent_for(&action) {
            action.silence(Ignored::LoggedOut, hints);
            return action;
        }
        if action.is_call() {
            action.deadline = Some(action.age.deadline(self.window));
        }
        match action.kind {
            ActionKind::IncomingCall { .. } => match self.calls.peek(&action.identity, now) {
                Some((uuid, State::Over(_))) => {
                    action.uuid = uuid;
                    action.silence(Ignored::CallOver, hints);
                }
                Some((uuid, _)) => action.uuid = uuid,
                None => action.uuid = self.calls.next_uuid(&action.identity),
            },
            ActionKind::Cancel => {
                if let Some((uuid, _)) = self.calls.peek(&action.identity, now) {
                    action.uuid = uuid;
                }
            }
            _ => {}
        }
        action
    }

    /// A push without an account, or with a name that no account has, is for anyone who is logged in.
    fn is_silent_for(&self, action: &PushAction) -> bool {
        let named = action.identity.account.as_deref();
        let mut meant = self.users.iter().filter(|(user, _)| named.is_some_and(|name| user.eq_ignore_ascii_case(name)));
        match meant.next() {
            Some((_, silent)) => *silent && meant.all(|(_, silent)| *silent),
            None => self.users.iter().all(|(_, silent)| *silent),
        }
    }
}
