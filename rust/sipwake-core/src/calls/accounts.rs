//! What calls need to know about accounts and flows, and the struct that brings it together.

use std::time::Duration;

use crate::account::AccountKey;
use crate::clock::Now;
use crate::digest::{Challenge, Challenged};
use crate::event::FlowId;
use crate::flows::{Flows, Up};
use crate::outbox::{Destination, Outbox};

/// What calls need to know about the accounts.
pub(crate) trait Accounts {
    /// Whether the account is here, even if it is logging out.
    fn is_known(&self, account: &AccountKey) -> bool;

    /// Whether there is another account that is not logging out.
    fn is_anybody_else(&self, account: &AccountKey) -> bool;

    /// Boot time since which the registrar knows where we are. `None` if it has to be told again.
    fn served_at(&self, account: &AccountKey) -> Option<Duration>;

    /// The accounts that one token wakes together with this one, which is among them. Also those that are logging out.
    /// Empty if there is no other account.
    fn woken_with(&self, account: &AccountKey, flows: &Flows) -> Vec<Known>;

    /// Whether the user has logged out.
    fn is_leaving(&self, account: &AccountKey) -> bool;

    /// The flow in use, if it is up.
    fn up(&self, account: &AccountKey, flows: &Flows) -> Option<Up>;

    /// Our Contact URI on the flow in use, without push parameters.
    fn contact_uri(&self, account: &AccountKey, flows: &Flows) -> Option<String>;

    /// The `pn-purr` that the registrar gave (RFC 8599 section 6).
    fn purr(&self, account: &AccountKey) -> Option<&str>;

    /// Decides what to do about a 401 or 407 to a request other than REGISTER. Returns `true` if it should be sent
    /// again.
    fn is_answerable(
        &mut self,
        account: &AccountKey,
        challenges: &[Challenge],
        challenged: &mut Challenged,
        now: Now,
    ) -> bool;

    /// Returns the header fields that answer the challenges. They are empty if there was no challenge.
    fn answer_challenges(
        &mut self,
        account: &AccountKey,
        challenged: &mut Challenged,
        request: (&str, &str, &[u8]),
        outbox: &mut Outbox,
    ) -> Vec<(&'static str, String)>;
}

/// How an INVITE may name an account.
pub(crate) struct Known {
    pub(crate) account: AccountKey,
    pub(crate) aor: String,
    /// Our Contact URI on the flow in use.
    pub(crate) contact: Option<String>,
}

/// What calls work with.
pub(crate) struct Cx<'a> {
    pub(crate) accounts: &'a mut dyn Accounts,
    pub(crate) flows: &'a Flows,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) now: Now,
}

impl Cx<'_> {
    /// The account of a flow, if the flow carries calls.
    pub(crate) fn owner(&self, flow: FlowId) -> Option<&AccountKey> {
        let flow = self.flows.get(flow).filter(|flow| flow.carries_calls())?;
        Some(flow.account()).filter(|account| self.accounts.is_known(account))
    }

    pub(crate) fn is_alive(&self, destination: Destination) -> bool {
        self.owner(destination.flow).is_some()
    }

    /// The destination itself or, if its flow is gone, the account's flow in use: the server identifies transactions by
    /// branch.
    pub(crate) fn destination(&self, account: &AccountKey, destination: Destination) -> Option<Destination> {
        if self.is_alive(destination) && self.flows.up(destination.flow).is_some() {
            return Some(destination);
        }
        self.accounts.up(account, self.flows).map(Up::destination)
    }
}
