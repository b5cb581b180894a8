//! An app's own decryption of payloads.

use std::collections::HashMap;
use std::sync::Arc;

use sipwake::Payload;

use crate::error::{CallbackError, SipWakeError};
use crate::payload::{Channel, PushAction, PushHints, PushPayload};

/// Opens payloads that a server encrypts before they pass Google's or Apple's hands.
///
/// Called on the thread that hands over the push, while the operating system waits for an answer: no network, no lock that
/// somebody holds for long, no call of the client.
#[uniffi::export(rust, foreign)]
pub trait Decryptor: Send + Sync {
    /// Returns the fields inside, under the names of any vendor known here (simplest: `ntype`, `nfrom`, `nfromusername`,
    /// `ncallid`, `nmsg`), or nothing if the payload is not encrypted or cannot be opened.
    ///
    /// # Errors
    /// What is thrown is as if nothing were returned: the payload is read as it is. What came over PushKit is a call from an
    /// unknown caller then.
    fn decrypt(&self, payload: PushPayload) -> Result<Option<HashMap<String, String>>, CallbackError>;
}

pub(crate) struct ForeignDecryptor(pub(crate) Arc<dyn Decryptor>);

impl sipwake::Decryptor for ForeignDecryptor {
    fn decrypt(&self, payload: Payload<'_>) -> Option<HashMap<String, String>> {
        let payload = match payload {
            Payload::Bytes(bytes) => PushPayload::Json { bytes: bytes.to_vec() },
            Payload::Map(entries) => PushPayload::Fields { entries: entries.clone() },
        };
        self.0.decrypt(payload).unwrap_or_else(|_| {
            // Its reason may quote what it decrypted.
            log::warn!("the app's decryptor failed; the payload is read as it is");
            None
        })
    }
}

/// Does as `parse_push`, with the app's own decryption first. Needs no client, also in a notification service extension.
///
/// # Errors
/// None of its own: the `Result` is there so that a bug is an error in Swift, too.
#[uniffi::export]
pub fn parse_push_with(
    decryptor: Arc<dyn Decryptor>,
    payload: PushPayload,
    channel: Channel,
    hints: PushHints,
) -> Result<PushAction, SipWakeError> {
    let hints = sipwake::Hints::from(hints);
    let now = hints.received.boot;
    let action = sipwake::parse_push_with(&ForeignDecryptor(decryptor), &payload, channel.into(), &hints);
    Ok(PushAction::convert(action, now))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::payload::{Duty, PushKind};

    /// Opens the payload `{"box":"…"}`, and throws at any other.
    pub(crate) struct Opener;

    impl Decryptor for Opener {
        fn decrypt(&self, payload: PushPayload) -> Result<Option<HashMap<String, String>>, CallbackError> {
            match payload {
                PushPayload::Fields { entries } if entries.contains_key("box") => {
                    let inside = [("ntype", "0"), ("nfrom", "1234"), ("ncallid", "c1")];
                    Ok(Some(inside.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
                }
                _ => Err(CallbackError::Failed { reason: "no key".into() }),
            }
        }
    }

    pub(crate) fn sealed() -> PushPayload {
        PushPayload::Fields { entries: HashMap::from([("box".to_owned(), "...".to_owned())]) }
    }

    #[test]
    fn a_sealed_call_is_a_call_from_whom_it_is() {
        let action = parse_push_with(Arc::new(Opener), sealed(), Channel::FcmAndroid, PushHints::default());
        let action = action.expect("total");
        assert_eq!(action.kind, PushKind::IncomingCall { video: false });
        assert_eq!(action.caller.as_deref(), Some("1234"));
    }

    #[test]
    fn what_cannot_be_opened_over_pushkit_is_a_call_to_report() {
        let payload = PushPayload::Json { bytes: br#"{"sealed":"x"}"#.to_vec() };
        let action = parse_push_with(Arc::new(Opener), payload, Channel::PushKit, PushHints::default()).expect("total");
        assert_eq!(action.duty, Duty::ReportCall);
        assert_eq!(action.caller, None);
    }

    #[test]
    fn a_throw_leaves_a_payload_that_is_not_sealed_as_it_is() {
        let entries = HashMap::from([("ntype".to_owned(), "0".to_owned()), ("nfrom".to_owned(), "7".to_owned())]);
        let action = parse_push_with(
            Arc::new(Opener),
            PushPayload::Fields { entries },
            Channel::FcmAndroid,
            PushHints::default(),
        );
        assert_eq!(action.expect("total").caller.as_deref(), Some("7"));
    }
}
