//! Reading a push without a client.

use crate::decryptor::{Decryptor, ForeignDecryptor};
use crate::error::SipWakeError;
use crate::payload::{Channel, PushAction, PushHints, PushPayload};
use crate::store::{ForeignStore, StateStore};

/// Says what a push means, without a client and without knowing who is logged in. If there is a client, use its `push`.
/// A decryptor opens the payload before it is read, also in a notification service extension.
///
/// Any payload gives an action, and CallKit can show the action of any PushKit push.
///
/// # Errors
/// None. The `Result` makes a bug an error in Swift, too.
#[uniffi::export]
pub fn parse_push(
    payload: PushPayload,
    channel: Channel,
    hints: PushHints,
    decryptor: Option<Box<dyn Decryptor>>,
) -> Result<PushAction, SipWakeError> {
    let hints = sipwake::Hints::from(hints);
    Ok(PushAction::convert(read(&payload, channel, &hints, decryptor), hints.received.boot))
}

/// Reads a push as `parse_push` does, for a process beside the client, such as a notification service extension. The
/// keys in the shared store open a sealed push, and the store says who logged out or does not want to be disturbed. The
/// store is read and never written.
///
/// # Errors
/// None. A store that cannot be read silences nobody.
#[uniffi::export]
pub fn parse_push_beside(
    payload: PushPayload,
    channel: Channel,
    hints: PushHints,
    decryptor: Option<Box<dyn Decryptor>>,
    store: Box<dyn StateStore>,
) -> Result<PushAction, SipWakeError> {
    let hints = sipwake::Hints::from(hints);
    let (store, decryptor) = (ForeignStore(store), decryptor.map(ForeignDecryptor));
    let decryptor = decryptor.as_ref().map(|decryptor| decryptor as &dyn sipwake::Decryptor);
    let action = sipwake::parse_push_beside(&store, decryptor, &payload, channel.into(), &hints);
    Ok(PushAction::convert(action, hints.received.boot))
}

fn read(
    payload: &PushPayload,
    channel: Channel,
    hints: &sipwake::Hints,
    decryptor: Option<Box<dyn Decryptor>>,
) -> sipwake::PushAction {
    match decryptor.map(ForeignDecryptor) {
        Some(decryptor) => sipwake::parse_push_with(&decryptor, payload, channel.into(), hints),
        None => sipwake::parse_push(payload, channel.into(), hints),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Duty, PayloadProblem, Priority, PushKind};

    fn entries(pairs: &[(&str, &str)]) -> PushPayload {
        PushPayload::Fields { entries: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
    }

    #[test]
    fn a_parsed_call_has_time_left() {
        let hints = PushHints { delivered_priority: Some(Priority::High), ..PushHints::default() };
        let payload = entries(&[("ntype", "0"), ("nfrom", "1234"), ("nfromusername", "John"), ("ncallid", "c1")]);
        let action = parse_push(payload, Channel::FcmAndroid, hints, None).expect("total");
        assert_eq!(action.kind, PushKind::IncomingCall { video: false });
        assert_eq!(action.duty, Duty::StartForegroundService);
        assert_eq!(action.caller_label.as_deref(), Some("John"));
        assert_eq!(action.call_id.as_deref(), Some("c1"));
        assert_eq!(action.uuid.len(), 36);
        assert_eq!(action.time_left_ms, Some(40_000));
    }

    #[test]
    fn garbage_over_pushkit_is_a_call_to_report_from_an_unknown_caller() {
        let action =
            parse_push(PushPayload::Json { bytes: vec![0xff; 4096] }, Channel::PushKit, PushHints::default(), None);
        let action = action.expect("total");
        assert_eq!(action.duty, Duty::ReportCall);
        assert_eq!(action.problem, Some(PayloadProblem::Unreadable));
        assert_eq!(action.caller_label, None);
    }

    #[test]
    fn a_downgraded_call_is_shown_full_screen() {
        let hints = PushHints {
            delivered_priority: Some(Priority::Normal),
            original_priority: Some(Priority::High),
            ..PushHints::default()
        };
        let action =
            parse_push(entries(&[("ntype", "0"), ("nfrom", "1")]), Channel::FcmAndroid, hints, None).expect("total");
        assert!(action.downgraded);
        assert_eq!(action.duty, Duty::ShowNotification { full_screen: true });
    }
}
