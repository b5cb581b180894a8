//! An app's own decryption of payloads.

use std::collections::HashMap;

use sipwake::Payload;

use crate::error::CallbackError;
use crate::payload::PushPayload;

/// Opens payloads that a server encrypts before Google or Apple carries them.
///
/// It is called on the thread that hands over the push, while the operating system waits. Use no network, take no lock
/// that somebody holds for long, and do not call the client.
#[uniffi::export(callback_interface)]
pub trait Decryptor: Send + Sync {
    /// Returns the fields inside, under the names of any vendor that sipwake knows (simplest: `ntype`, `nfrom`,
    /// `nfromusername`, `ncallid`, `nmsg`). Returns nothing if the payload is not encrypted or cannot be opened.
    ///
    /// # Errors
    /// An error counts as if it returned nothing: the payload is read as it is. A push that came over PushKit is then a
    /// call from an unknown caller.
    fn decrypt(&self, payload: PushPayload) -> Result<Option<HashMap<String, String>>, CallbackError>;
}

pub(crate) struct ForeignDecryptor(pub(crate) Box<dyn Decryptor>);

impl sipwake::Decryptor for ForeignDecryptor {
    fn decrypt(&self, payload: Payload<'_>) -> Option<HashMap<String, String>> {
        let payload = match payload {
            Payload::Bytes(bytes) => PushPayload::Json { bytes: bytes.to_vec() },
            Payload::Map(entries) => PushPayload::Fields { entries: entries.clone() },
        };
        self.0.decrypt(payload).unwrap_or_else(|_| {
            // The reason may quote the decrypted text.
            log::warn!("the app's decryptor failed; the payload is read as it is");
            None
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::parse::parse_push;
    use crate::payload::{Channel, Duty, PushAction, PushHints, PushKind};

    /// Opens the payload `{"box":"…"}`, and throws for any other.
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

    fn opened(payload: PushPayload, channel: Channel) -> PushAction {
        parse_push(payload, channel, PushHints::default(), Some(Box::new(Opener))).expect("total")
    }

    #[test]
    fn a_sealed_call_shows_its_caller() {
        let action = opened(sealed(), Channel::FcmAndroid);
        assert_eq!(action.kind, PushKind::IncomingCall { video: false });
        assert_eq!(action.caller.as_deref(), Some("1234"));
    }

    #[test]
    fn a_push_that_cannot_be_opened_is_a_call_to_report_over_pushkit() {
        let payload = PushPayload::Json { bytes: br#"{"sealed":"x"}"#.to_vec() };
        let action = opened(payload, Channel::PushKit);
        assert_eq!(action.duty, Duty::ReportCall);
        assert_eq!(action.caller, None);
    }

    #[test]
    fn an_exception_of_the_decryptor_leaves_an_unsealed_payload_as_it_is() {
        let entries = HashMap::from([("ntype".to_owned(), "0".to_owned()), ("nfrom".to_owned(), "7".to_owned())]);
        let action = opened(PushPayload::Fields { entries }, Channel::FcmAndroid);
        assert_eq!(action.caller.as_deref(), Some("7"));
    }
}
