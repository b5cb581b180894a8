//! What a [`Companion`](crate::beside::Companion) needs of the client. Its flows stand for another SIP stack.

use uuid::Uuid;

use super::{NoSuchAccount, UserAgent};
use crate::account::{Account, AccountKey};
use crate::calls::{Invited, State};
use crate::clock::Now;
use crate::event::{Ended, FlowId};
use crate::registration::Registration;
use crate::sip::Message;

impl UserAgent {
    /// The driver reports later what became of a save, and continues meanwhile.
    pub(crate) fn saves_are_answered_later(&mut self) {
        self.unsaved.answered_later();
    }

    /// Says that another stack registers, for all accounts that were added or taken over.
    pub(crate) fn stand_beside(&mut self) {
        self.registrations.iter_mut().for_each(Registration::stand_beside);
    }

    /// The registration of an account, also while the account logs out.
    pub(crate) fn registration(&self, key: &AccountKey) -> Result<&Registration, NoSuchAccount> {
        self.registration_of(key).ok_or(NoSuchAccount)
    }

    /// Lets the registration of an account do something, also while the account logs out. Then does what follows from
    /// it.
    pub(crate) fn with_registration<T>(
        &mut self,
        key: &AccountKey,
        now: Now,
        act: impl FnOnce(&mut Registration) -> T,
    ) -> Result<T, NoSuchAccount> {
        self.outbox.at(now);
        let index = self.position_of_leaving(key).ok_or(NoSuchAccount)?;
        let done = act(&mut self.registrations[index]);
        self.run_due(now);
        Ok(done)
    }

    /// The account of a flow, and whether its calls come over this flow.
    pub(crate) fn account_of(&self, flow: FlowId) -> Option<(AccountKey, bool)> {
        let flow = self.flows.get(flow)?;
        Some((flow.account().clone(), flow.carries_calls()))
    }

    pub(crate) fn base_of(&mut self, key: &AccountKey, branch: &str) -> Option<String> {
        let index = self.position_of_leaving(key)?;
        self.registrations[index].base_of(branch)
    }

    /// Takes the response to a REGISTER.
    pub(crate) fn handle_answer(&mut self, flow: FlowId, answer: &[u8], now: Now) {
        self.outbox.at(now);
        if let Some(up) = self.flows.up(flow) {
            self.handle_message(up.destination(), answer, Message::parse(answer), now);
        }
        self.run_due(now);
    }

    /// Takes a challenge to a REGISTER. The other stack responds to it.
    pub(crate) fn handle_challenge(&mut self, key: &AccountKey, branch: &str, message: &Message, now: Now) {
        self.outbox.at(now);
        let Some(index) = self.position_of_leaving(key) else { return };
        self.registrations[index].challenged_beside(branch, message, &self.flows, &mut self.outbox, now);
        self.run_due(now);
    }

    /// The other stack answered the challenges to this REGISTER several times. Its password is wrong.
    pub(crate) fn give_up_credentials(&mut self, key: &AccountKey, branch: &str, now: Now) {
        self.outbox.at(now);
        let Some(index) = self.position_of_leaving(key) else { return };
        self.registrations[index].give_up_credentials(branch, &self.flows, &mut self.outbox);
        self.run_due(now);
    }

    /// The accounts that are logging out.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = &Account> {
        self.registrations.iter().filter(|registration| registration.is_leaving()).map(Registration::account)
    }

    /// The device is on another network, and so is the other stack.
    pub(crate) fn network_changed_beside(&mut self, now: Now) {
        self.calls.cut_off_beside();
        self.network_changed(now);
    }

    pub(crate) fn invited_beside(&mut self, account: &AccountKey, invite: &Message, now: Now) -> Invited {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.invited_beside(account, invite, cx))
    }

    pub(crate) fn answered_beside(&mut self, call: Uuid, now: Now) -> bool {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.answered_beside(call, cx))
    }

    pub(crate) fn ended_beside(&mut self, call: Uuid, how: Ended, now: Now) -> bool {
        self.outbox.at(now);
        self.command(now, |calls, cx| calls.end_call(call, how, cx))
    }

    pub(crate) fn ringing_beside(&self) -> Vec<Uuid> {
        self.calls.ringing_beside()
    }

    pub(crate) fn state_of(&self, call: Uuid) -> Option<State> {
        self.calls.state_of(call)
    }
}
