//! All registrations of a client. Finds them by account or flow, and shows them to calls.

use std::time::Duration;

use super::Registration;
use crate::account::AccountKey;
use crate::calls::{Accounts, Known};
use crate::clock::Now;
use crate::digest::{Challenge, Challenged};
use crate::event::FlowId;
use crate::flows::{Flows, Up};
use crate::outbox::Outbox;

impl Accounts for Vec<Registration> {
    fn is_known(&self, account: &AccountKey) -> bool {
        find(self, account).is_some()
    }

    fn is_leaving(&self, account: &AccountKey) -> bool {
        find(self, account).is_some_and(Registration::is_leaving)
    }

    fn is_anybody_else(&self, account: &AccountKey) -> bool {
        self.iter().any(|other| *other.key() != *account && !other.is_leaving())
    }

    fn served_at(&self, account: &AccountKey) -> Option<Duration> {
        find(self, account)?.served_at()
    }

    fn woken_with(&self, account: &AccountKey, flows: &Flows) -> Vec<Known> {
        let token = find(self, account).and_then(Registration::token);
        let mut together = Vec::new();
        if token.is_none() || self.len() < 2 {
            return together;
        }
        for registration in self.iter().filter(|registration| registration.token() == token) {
            let (account, contact) = (registration.key().clone(), registration.contact_uri(flows));
            together.push(Known { account, aor: registration.account().aor().to_string(), contact });
        }
        together
    }

    fn up(&self, account: &AccountKey, flows: &Flows) -> Option<Up> {
        find(self, account)?.flow_up(flows)
    }

    fn contact_uri(&self, account: &AccountKey, flows: &Flows) -> Option<String> {
        find(self, account)?.contact_uri(flows)
    }

    fn purr(&self, account: &AccountKey) -> Option<&str> {
        find(self, account)?.verdict()?.purr.as_deref()
    }

    fn is_answerable(
        &mut self,
        account: &AccountKey,
        challenges: &[Challenge],
        challenged: &mut Challenged,
        now: Now,
    ) -> bool {
        let registration = self.iter_mut().find(|registration| registration.key() == account);
        registration.is_some_and(|registration| registration.is_answerable(challenges, challenged, now))
    }

    fn answer_challenges(
        &mut self,
        account: &AccountKey,
        challenged: &mut Challenged,
        request: (&str, &str, &[u8]),
        outbox: &mut Outbox,
    ) -> Vec<(&'static str, String)> {
        let registration = self.iter_mut().find(|registration| registration.key() == account);
        registration.map(|registration| registration.answer_challenges(challenged, request, outbox)).unwrap_or_default()
    }
}

pub(crate) fn find<'a>(registrations: &'a [Registration], account: &AccountKey) -> Option<&'a Registration> {
    registrations.iter().find(|registration| registration.key() == account)
}

/// The registration that a flow belongs to, either to the gateway in use or to a left one.
pub(crate) fn owner<'a>(
    flows: &Flows,
    registrations: &'a mut [Registration],
    flow: FlowId,
) -> Option<&'a mut Registration> {
    let account = flows.get(flow)?.account();
    registrations.iter_mut().find(|registration| registration.key() == account)
}
