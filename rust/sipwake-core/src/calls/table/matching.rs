//! Which call a push, an INVITE or a cancel belongs to: the tables of `docs/calls.md`, row by row.

use std::time::Duration;

use super::super::callers::Likeness;
use super::super::side::Side;
use super::{BRANCHES, Entry, OWED, State, Table, Wait};
use crate::account::AccountKey;

impl Entry {
    pub(super) fn shares_id(&self, side: &Side) -> bool {
        self.sides().any(|known| known.shares_id(side))
    }

    fn likeness(&self, side: &Side) -> Likeness {
        let mut compared = self.sides().map(|known| known.likeness(side)).filter(|like| *like != Likeness::Unknown);
        compared.next().unwrap_or(Likeness::Unknown)
    }

    /// Whether the ids show that these are two calls. A vendor's ids always show it, Call-IDs only if the gateway keeps
    /// them.
    fn is_apart(&self, side: &Side, keeps_ids: bool) -> bool {
        self.sides().any(|known| known.differs_in_vendor_id(side) || (keeps_ids && known.differs_in_call_id(side)))
    }
}

impl Table {
    /// The call that a push belongs to.
    pub(super) fn pushed(&self, push: &Side, now: Duration) -> Option<usize> {
        if let Some(known) = self.by_id(push) {
            return Some(known);
        }
        // A push that names no account is compared according to the account of each call.
        let named = push.account.as_ref().map(|account| self.renames(Some(account)));
        let renames = |entry: &Entry| named.unwrap_or_else(|| self.renames(entry.account.as_ref()));
        let mine = |entry: &Entry| push.may_be_for(entry.account.as_ref());
        let late = |entry: &Entry| {
            entry.owes_push().is_some()
                && now.saturating_sub(entry.invited_at) < OWED
                && mine(entry)
                && entry.likeness(push) == Likeness::Same
                && !entry.is_apart(push, renames(entry) != Some(true))
        };
        // A push without an id, while a call of this caller is under way, is a duplicate.
        let again = |entry: &Entry| {
            let alike = |first: &Side| !first.has_id() && !first.names_caller() && !push.names_caller();
            let unmet = entry.invite.is_none() && entry.push.as_ref().is_some_and(alike);
            !push.has_id()
                && !entry.is_over()
                && entry.push.is_some()
                && mine(entry)
                && (entry.likeness(push) == Likeness::Same || unmet)
        };
        // A push that names nothing is a wake-up for a request inside a call, if the server may send such pushes.
        let inside = |entry: &Entry| {
            entry.woken_inside
                && entry.state == State::Answered
                && mine(entry)
                && !push.has_id()
                && !push.names_caller()
        };
        let newest = |fits: &dyn Fn(&Entry) -> bool| self.entries.iter().rposition(fits);
        let owed = self.half_met(push, renames, |entry| entry.push.is_none() && mine(entry));
        owed.or_else(|| newest(&late)).or_else(|| newest(&again)).or_else(|| newest(&inside))
    }

    /// The call that an INVITE belongs to.
    pub(super) fn invited(&self, invite: &Side, now: Duration) -> Option<usize> {
        let since = |entry: &Entry| now.saturating_sub(entry.ended_at);
        let same_id = |entry: &Entry| entry.invite.as_ref().is_some_and(|known| known.shares_id(invite));
        if let Some(index) = self.entries.iter().rposition(|entry| !entry.is_over() && same_id(entry)) {
            return Some(index);
        }
        if let Some(index) = self.entries.iter().rposition(same_id) {
            // Soon after the end it is another branch of the call. Later it is a hunt group that calls again.
            return (since(&self.entries[index]) < BRANCHES).then_some(index);
        }
        let announced =
            |entry: &Entry| !entry.overtaken && entry.push.as_ref().is_some_and(|push| push.shares_id(invite));
        if let Some(index) = self.entries.iter().rposition(announced) {
            // If the call has an INVITE, another call's INVITE was matched to it: the gateway keeps its ids, and these
            // are two calls. If the wait for the call was cut short, its late INVITE rings.
            let entry = &self.entries[index];
            let short = entry.is_over() && entry.wait == Wait::Short;
            return (entry.invite.is_none() && !short).then_some(index);
        }
        let renames = self.renames(invite.account.as_ref());
        let mine = |entry: &Entry| invite.may_be_for(entry.account.as_ref());
        let refused = |entry: &Entry| {
            entry.is_over()
                && entry.invite.is_none()
                && entry.was_refused()
                && since(entry) < OWED
                && !entry.is_apart(invite, renames != Some(true))
                && mine(entry)
                && entry.likeness(invite) == Likeness::Same
        };
        let owed = self.half_met(invite, |_| renames, |entry| entry.invite.is_none() && mine(entry));
        owed.or_else(|| self.entries.iter().rposition(refused))
    }

    /// The call that a cancel ends, by its id. If the call has no id, the announced one of that caller.
    pub(super) fn cancelled(&self, cancel: &Side) -> Option<usize> {
        self.by_id(cancel).or_else(|| {
            let without_id = |entry: &Entry| {
                let push = entry.push.as_ref().is_some_and(|push| !push.has_id());
                push && entry.state == State::Announced && cancel.may_be_for(entry.account.as_ref())
            };
            let same = |entry: &Entry| without_id(entry) && entry.likeness(cancel) == Likeness::Same;
            self.entries.iter().rposition(same).or_else(|| {
                let mut unnamed = self.entries.iter().enumerate().filter(|(_, entry)| without_id(entry));
                let (index, _) = unnamed.next()?;
                (!cancel.names_caller() && unnamed.next().is_none()).then_some(index)
            })
        })
    }

    /// The newest call that shares an id. A call under way comes before one that is over.
    fn by_id(&self, side: &Side) -> Option<usize> {
        let under_way = |entry: &Entry| !entry.is_over() && entry.shares_id(side);
        self.entries
            .iter()
            .rposition(under_way)
            .or_else(|| self.entries.iter().rposition(|entry| entry.shares_id(side)))
    }

    /// The call in progress that has only one half, and whose other half is this side, although they share no id.
    fn half_met(
        &self,
        side: &Side,
        renames: impl Fn(&Entry) -> Option<bool>,
        owes: impl Fn(&Entry) -> bool,
    ) -> Option<usize> {
        let keeps_ids = |entry: &Entry| renames(entry) == Some(false);
        let half = |entry: &Entry| !entry.is_over() && owes(entry);
        let same = |entry: &Entry| {
            half(entry) && entry.likeness(side) == Likeness::Same && !entry.is_apart(side, keeps_ids(entry))
        };
        // Of two calls of one caller, the later one is still under way.
        self.entries.iter().rposition(same).or_else(|| {
            let mut halves = self.entries.iter().enumerate().filter(|(_, entry)| half(entry));
            let (index, only) = halves.next()?;
            let keeps_ids = keeps_ids(only);
            if halves.next().is_some() || only.likeness(side) != Likeness::Unknown || only.is_apart(side, keeps_ids) {
                return None;
            }
            let told_apart = only.is_apart(side, true);
            let undecidable =
                !side.tells(keeps_ids, told_apart) || only.sides().any(|known| !known.tells(keeps_ids, told_apart));
            undecidable.then_some(index)
        })
    }

    /// Whether the gateway of an account changes the Call-ID: the last call whose push had an id tells, if its INVITE
    /// had another one. `None` if there was no such call.
    pub(in crate::calls) fn renames(&self, account: Option<&AccountKey>) -> Option<bool> {
        let of_account = |entry: &&Entry| entry.account.as_ref().zip(account).is_none_or(|(a, b)| a == b);
        self.entries.iter().rev().filter(of_account).find_map(|entry| {
            let pushed = entry.push.as_ref()?.identity.call_id.as_ref()?;
            let called = entry.invite.as_ref()?.identity.call_id.as_ref()?;
            // If another INVITE with the push's Call-ID came, the matched INVITE belongs to another call.
            let mistaken = self.entries.iter().any(|other| {
                other.uuid != entry.uuid
                    && other.invite.as_ref().is_some_and(|invite| invite.identity.call_id.as_ref() == Some(pushed))
            });
            Some(pushed != called && !mistaken)
        })
    }
}
