//! What calls need to know of accounts and flows, and the one place where it all comes together.

use std::time::Duration;

use crate::account::AccountKey;
use crate::clock::Now;
use crate::digest::{Challenge, Challenged};
use crate::event::FlowId;
use crate::flows::{Flows, Up};
use crate::outbox::{Outbox, Way};
use crate::push::PushToken;

/// The accounts, as calls see them.
pub(crate) trait Accounts {
    /// Whether the account is there, perhaps about to leave.
    fn is_known(&self, account: &AccountKey) -> bool;

    /// Whether another account is there to stay.
    fn is_anybody_else(&self, account: &AccountKey) -> bool;

    /// Boot time since which the registrar knows where we are, unless it is to be told again.
    fn served_at(&self, account: &AccountKey) -> Option<Duration>;

    /// All of them, those about to leave, too.
    fn all(&self, flows: &Flows) -> Vec<Known>;

    /// Whether the user has logged out.
    fn is_leaving(&self, account: &AccountKey) -> bool;

    /// The flow in use, if it is open.
    fn up(&self, account: &AccountKey, flows: &Flows) -> Option<Up>;

    /// Our Contact URI on the flow in use, without push parameters.
    fn contact_uri(&self, account: &AccountKey, flows: &Flows) -> Option<String>;

    /// The `pn-purr` that the registrar gave (RFC 8599 section 6).
    fn purr(&self, account: &AccountKey) -> Option<&str>;

    /// Decides about a 401 or 407 to a request other than REGISTER. Returns `true` if it is to be sent again.
    fn is_answerable(
        &mut self,
        account: &AccountKey,
        challenges: &[Challenge],
        challenged: &mut Challenged,
        now: Now,
    ) -> bool;

    /// Returns the header fields that answer what was asked; none where nothing was.
    fn answer_challenges(
        &mut self,
        account: &AccountKey,
        challenged: &mut Challenged,
        request: (&str, &str, &[u8]),
        outbox: &mut Outbox,
    ) -> Vec<(&'static str, String)>;
}

/// By what an INVITE may name an account.
pub(crate) struct Known {
    pub(crate) account: AccountKey,
    pub(crate) aor: String,
    /// Our Contact URI on the flow in use.
    pub(crate) contact: Option<String>,
    /// The token that its server pushes to.
    pub(crate) token: Option<PushToken>,
}

/// What calls act with.
pub(crate) struct Cx<'a> {
    pub(crate) accounts: &'a mut dyn Accounts,
    pub(crate) flows: &'a Flows,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) now: Now,
}

impl Cx<'_> {
    /// The account whose calls a flow carries.
    pub(crate) fn owner(&self, flow: FlowId) -> Option<&AccountKey> {
        let flow = self.flows.get(flow).filter(|flow| flow.carries_calls())?;
        Some(flow.account()).filter(|account| self.accounts.is_known(account))
    }

    pub(crate) fn is_alive(&self, way: Way) -> bool {
        self.owner(way.flow).is_some()
    }

    /// The way itself or, if its flow is gone, the account's present one: the server knows its transactions by their branch.
    pub(crate) fn way(&self, account: &AccountKey, way: Way) -> Option<Way> {
        if self.is_alive(way) && self.flows.up(way.flow).is_some() {
            return Some(way);
        }
        self.accounts.up(account, self.flows).map(Up::way)
    }
}
