//! What one side tells of a call: the push that announces it, or its INVITE.

use crate::account::AccountKey;
use crate::payload::{CallIdentity, PushAction, user_part};
use crate::sip::{Message, NameAddr};

/// Digits that two spellings of one number must have in common at their end.
const SUFFIX: usize = 7;
/// Names by which networks say that a caller withheld the number (RFC 3323 and what is seen).
const WITHHELD: [&str; 8] =
    ["anonymous", "restricted", "unknown", "private", "withheld", "unavailable", "no number", "caller id blocked"];

/// What is known of a call from one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub(super) identity: CallIdentity,
    /// Whose call it is, where that is certain.
    pub(super) account: Option<AccountKey>,
    /// Users, numbers and names by which the caller goes.
    callers: Vec<String>,
    withheld: bool,
}

/// How the callers of two sides compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callers {
    Same,
    Different,
    /// One of them does not tell.
    Unknown,
}

impl Side {
    pub(crate) fn new(identity: CallIdentity, account: Option<AccountKey>) -> Self {
        let caller = identity.caller.clone();
        Self { identity, account, ..Self::default() }.called(caller.as_deref())
    }

    /// What the push of a call, or of its cancel, tells.
    pub(crate) fn of_push(push: &PushAction, account: Option<AccountKey>) -> Self {
        Self::new(push.identity.clone(), account).called(push.display_name.as_deref())
    }

    /// What an INVITE on this account's flow tells; `trusted`, one that came from the registrar.
    pub(crate) fn of_invite(invite: &Message, account: AccountKey, trusted: bool) -> Self {
        let vendor_id = invite.header("X-Push-ID").or(invite.header("portsip-push-id"));
        let from = invite.from();
        let identity = CallIdentity::new(invite.call_id(), vendor_id, None, from.map(|from| from.uri));
        let mut side = Self::new(identity, Some(account)).called(from.and_then(|from| from.display_name()).as_deref());
        for asserted in invite.values("P-Asserted-Identity").filter(|_| trusted).filter_map(NameAddr::parse) {
            side = side.called(user_part(asserted.uri).as_deref()).called(asserted.display_name().as_deref());
        }
        side
    }

    /// Adds a user, number or name by which the caller goes.
    #[must_use]
    pub(crate) fn called(mut self, caller: Option<&str>) -> Self {
        let Some(caller) = caller else { return self };
        let caller = caller.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if WITHHELD.contains(&caller.as_str()) {
            self.withheld = true;
        } else if !caller.is_empty() && !self.callers.contains(&caller) {
            self.callers.push(caller);
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

    /// Whether it says that the caller does not want to be known.
    pub(super) fn is_withheld(&self) -> bool {
        self.withheld && self.callers.is_empty()
    }

    pub(super) fn shares_id(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        same(&self.identity.call_id, &other.identity.call_id)
            || same(&self.identity.vendor_id, &other.identity.vendor_id)
    }

    /// Whether both have an id of the same kind: they are not the same, or the two would have met by it.
    pub(super) fn is_told_apart(&self, other: &Self) -> bool {
        let both = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some();
        both(&self.identity.call_id, &other.identity.call_id)
            || both(&self.identity.vendor_id, &other.identity.vendor_id)
    }

    /// Whether both may be for one account.
    pub(super) fn may_be_for(&self, account: Option<&AccountKey>) -> bool {
        self.account.as_ref().zip(account).is_none_or(|(a, b)| a == b)
    }

    pub(super) fn callers(&self, other: &Self) -> Callers {
        if self.callers.is_empty() || other.callers.is_empty() {
            return Callers::Unknown;
        }
        let (ours, theirs) = (self.numbers(), other.numbers());
        let same = if ours.is_empty() || theirs.is_empty() {
            self.callers.iter().any(|caller| other.callers.contains(caller))
        } else {
            ours.iter().any(|a| theirs.iter().any(|b| same_number(a, b)))
        };
        if same { Callers::Same } else { Callers::Different }
    }

    /// Whether both give numbers, of which the last seven digits differ.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.numbers(), other.numbers());
        let end = |number: &String| number[number.len().saturating_sub(SUFFIX)..].to_owned();
        let differ = |a: &String| theirs.iter().all(|b| end(a) != end(b));
        !ours.is_empty() && !theirs.is_empty() && ours.iter().all(differ)
    }

    /// The digits of those callers that are numbers.
    fn numbers(&self) -> Vec<String> {
        self.callers.iter().filter_map(|caller| digits(caller)).collect()
    }
}

/// The digits of a number, without what says how it is dialled: `+`, leading zeros, blanks, `-`, `.`, `/` and brackets.
fn digits(text: &str) -> Option<String> {
    let rest = text.strip_prefix('+').unwrap_or(text);
    let number: String = rest.chars().filter(|c| !" -./()".contains(*c)).collect();
    let all = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| number.trim_start_matches('0').to_owned())
}

/// International and national forms of a number end alike.
fn same_number(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    long == short || (short.len() >= SUFFIX && long.ends_with(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(callers: &[&str]) -> Side {
        callers.iter().fold(Side::default(), |side, caller| side.called(Some(caller)))
    }

    #[test]
    fn callers_compare_by_number_in_its_common_forms_else_by_name() {
        for (push, invite, expected) in [
            (&["+4930123456"][..], &["030123456"][..], Callers::Same),
            (&["004930123456"], &["+49 30 123-456", "bob"], Callers::Same),
            (&["1234"], &["1234"], Callers::Same),
            (&["1234"], &["91234"], Callers::Different),
            (&["John  Smith"], &["1234", "john smith"], Callers::Same),
            (&["bob"], &["BOB"], Callers::Same),
            (&["1234", "Bob"], &["5678", "Bob"], Callers::Different),
            (&["John"], &["1234"], Callers::Different),
            (&["anonymous"], &["1234"], Callers::Unknown),
            (&["anonymous", "1234"], &["1234"], Callers::Same),
            (&[], &["1234"], Callers::Unknown),
            (&["anonymous"], &["Anonymous"], Callers::Unknown),
        ] {
            assert_eq!(of(push).callers(&of(invite)), expected, "{push:?} {invite:?}");
            assert_eq!(of(invite).callers(&of(push)), expected, "{invite:?} {push:?}");
        }
    }
}
