//! Reading a push in a process without a client, with the store that it shares with the client. It only reads the store.

use sipwake_core::judge::Gate;
use sipwake_core::payload::{Channel, Decryptor, Hints, Payload, PushAction, parse_push, parse_push_with};
use sipwake_core::snapshot::REMOVALS;

use crate::store::StateStore;

/// Says what a push means in a process that has no client, such as a notification service extension. It opens a sealed push with the keys
/// in the store. It is silent for users who, as the store says, logged out or do not want to be disturbed.
///
/// Any payload gives an action. A store that cannot be read silences nobody; then a sealed push says that its key cannot be read. Only the
/// client knows which pushes were opened: a push that comes again is opened again here.
pub fn parse_push_beside<'a>(
    store: &dyn StateStore,
    decryptor: Option<&dyn Decryptor>,
    payload: impl Into<Payload<'a>>,
    channel: Channel,
    hints: &Hints,
) -> PushAction {
    let action = read(store, decryptor, payload.into(), channel, hints);
    let removals = store.load(REMOVALS).unwrap_or_else(|error| {
        log::warn!("who is logged out or does not want to be disturbed is not known: {error}");
        None
    });
    Gate::of_log_outs(removals.as_deref()).judge(action, hints, hints.received.boot)
}

fn read(
    store: &dyn StateStore,
    decryptor: Option<&dyn Decryptor>,
    payload: Payload<'_>,
    channel: Channel,
    hints: &Hints,
) -> PushAction {
    #[cfg(feature = "sealed")]
    if let Some(action) = crate::keyring::open_beside(store, payload, channel, hints) {
        return action;
    }
    #[cfg(not(feature = "sealed"))]
    let _ = store;
    match decryptor {
        Some(decryptor) => parse_push_with(decryptor, payload, channel, hints),
        None => parse_push(payload, channel, hints),
    }
}
