//! Which account an INVITE or a MESSAGE is for.

use super::accounts::{Cx, Known};
use crate::account::AccountKey;
use crate::outbox::Destination;
use crate::payload::user_part;
use crate::sip::{Message, SipUri};

/// The account of a request that begins something, by `docs/calls.md`. It is the account of its flow. If one token
/// wakes several accounts, To decides, then the Request-URI. A server that waits for the token alone sends the request
/// to the account that registers first.
pub(super) fn addressee(destination: Destination, request: &Message, cx: &Cx<'_>) -> Option<AccountKey> {
    let owner = cx.owner(destination.flow)?;
    let together = cx.accounts.woken_with(owner, cx.flows);
    if together.len() < 2 {
        return Some(owner.clone());
    }
    let to = request.to().and_then(|to| to.parsed());
    let named = |known: &&Known| aor(known).zip(to.as_ref()).is_some_and(|(aor, to)| is_of(&aor, to));
    let target = request.uri().and_then(SipUri::parse);
    let reached = |known: &&Known| {
        let ours = contact(known).zip(target.as_ref());
        ours.is_some_and(|(ours, uri)| is_of(&ours, uri) && ours.port == uri.port)
    };
    let meant = together.iter().find(named).or_else(|| together.iter().find(reached));
    Some(meant.map_or(owner, |known| &known.account).clone())
}

fn contact(known: &Known) -> Option<SipUri> {
    SipUri::parse(known.contact.as_deref()?)
}

fn aor(known: &Known) -> Option<SipUri> {
    SipUri::parse(&known.aor)
}

/// The user part without escapes, and without a number's parameters.
fn user(uri: &SipUri) -> Option<String> {
    user_part(uri.user.as_deref()?)
}

/// Whether user and host are the same.
fn is_of(ours: &SipUri, uri: &SipUri) -> bool {
    user(ours) == user(uri) && ours.host.to_string().eq_ignore_ascii_case(&uri.host.to_string())
}
