//! What one side says about a call: the push that announces it, or its INVITE.

use super::callers::{Callers, Likeness};
use crate::account::AccountKey;
use crate::payload::{CallIdentity, PushAction, shown_name, user_part};
use crate::sip::{Message, NameAddr};

/// What one side, push or INVITE, says about a call.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub(super) identity: CallIdentity,
    /// The account of the call, if that is certain.
    pub(super) account: Option<AccountKey>,
    pub(super) callers: Callers,
}

impl Side {
    pub(crate) fn new(identity: CallIdentity, account: Option<AccountKey>) -> Self {
        let caller = identity.caller.clone();
        Self { identity, account, ..Self::default() }.called(caller.as_deref())
    }

    /// What the push of a call, or of its cancel, says.
    pub(crate) fn of_push(push: &PushAction, account: Option<AccountKey>) -> Self {
        Self::new(push.identity.clone(), account).called(push.display_name.as_deref())
    }

    /// What an INVITE on this account's flow says. `trusted` means that it came from the registrar.
    pub(crate) fn of_invite(invite: &Message, account: AccountKey, trusted: bool) -> Self {
        let vendor_id = invite.header("X-Push-ID").or(invite.header("portsip-push-id"));
        let from = invite.from();
        let identity = CallIdentity::new(invite.call_id(), vendor_id, None, from.map(|from| from.uri));
        let mut side = Self::new(identity, Some(account)).called(from.and_then(shown).as_deref());
        for asserted in invite.values("P-Asserted-Identity").filter(|_| trusted).filter_map(NameAddr::parse) {
            side = side.called(user_part(asserted.uri).as_deref()).called(shown(asserted).as_deref());
        }
        side
    }

    /// Adds a user, number or name of the caller.
    #[must_use]
    pub(crate) fn called(mut self, caller: Option<&str>) -> Self {
        if let Some(caller) = caller {
            self.callers.add(caller);
        }
        self
    }

    pub(super) fn has_id(&self) -> bool {
        self.identity.call_id.is_some() || self.identity.vendor_id.is_some()
    }

    /// Whether it names a caller.
    pub(super) fn names_caller(&self) -> bool {
        !self.callers.is_empty()
    }

    pub(super) fn shares_id(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        same(&self.identity.call_id, &other.identity.call_id)
            || same(&self.identity.vendor_id, &other.identity.vendor_id)
    }

    pub(super) fn differs_in_call_id(&self, other: &Self) -> bool {
        differ(&self.identity.call_id, &other.identity.call_id)
    }

    pub(super) fn differs_in_vendor_id(&self, other: &Self) -> bool {
        differ(&self.identity.vendor_id, &other.identity.vendor_id)
    }

    /// Whether both may be for the same account.
    pub(super) fn may_be_for(&self, account: Option<&AccountKey>) -> bool {
        self.account.as_ref().zip(account).is_none_or(|(a, b)| a == b)
    }

    pub(super) fn likeness(&self, other: &Self) -> Likeness {
        self.callers.likeness(&other.callers)
    }

    /// Whether both have numbers whose last seven digits differ.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        self.callers.contradict(&other.callers)
    }

    /// Whether it says which call it belongs to, if there is another possible one. A caller who withholds their name
    /// does so on purpose. Then another id means another call, even if the gateway was not seen to keep ids.
    pub(super) fn tells(&self, keeps_ids: bool, told_apart: bool) -> bool {
        self.names_caller()
            || (self.identity.call_id.is_some() && keeps_ids)
            || (self.callers.is_withheld() && told_apart)
    }
}

/// The display name in the form that a push has, too.
fn shown(named: NameAddr<'_>) -> Option<String> {
    shown_name(&named.display_name()?)
}

fn differ(a: &Option<String>, b: &Option<String>) -> bool {
    a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| a != b)
}
