//! The platform's judgement of server certificates.

use crate::error::CallbackError;

/// Judges servers' certificates instead of the SDK, for example with Android's `X509TrustManager`. Pins are checked,
/// too.
#[uniffi::export(callback_interface)]
pub trait ServerTrust: Send + Sync {
    /// Judges a chain of DER certificates, the server's own first, for this server name. A thread of the client calls
    /// it and waits. Don't call the client from in here.
    ///
    /// The SDK checks nothing else in the chain. It always checks the server's name.
    ///
    /// # Errors
    /// An error refuses the server. The event `RegistrationFailed` has the reason.
    fn verify(&self, chain: Vec<Vec<u8>>, server_name: String) -> Result<(), CallbackError>;
}

#[cfg(feature = "tls")]
pub(crate) struct ForeignTrust(pub(crate) Box<dyn ServerTrust>);

#[cfg(feature = "tls")]
impl sipwake::ServerTrust for ForeignTrust {
    fn verify(&self, chain: &[Vec<u8>], server_name: &str) -> Result<(), String> {
        self.0.verify(chain.to_vec(), server_name.to_owned()).map_err(|error| error.to_string())
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    struct OnlyFor(&'static str);

    impl ServerTrust for OnlyFor {
        fn verify(&self, chain: Vec<Vec<u8>>, server_name: String) -> Result<(), CallbackError> {
            let known = chain == [vec![1], vec![2]] && server_name == self.0;
            known.then_some(()).ok_or_else(|| CallbackError::Failed { reason: "another one than before".into() })
        }
    }

    #[test]
    fn an_exception_of_the_verifier_refuses_the_server_with_its_reason() {
        let trust = ForeignTrust(Box::new(OnlyFor("sip.example.com")));
        let chain = [vec![1], vec![2]];
        assert_eq!(sipwake::ServerTrust::verify(&trust, &chain, "sip.example.com"), Ok(()));
        let refusal = sipwake::ServerTrust::verify(&trust, &chain, "sip.example.org");
        assert_eq!(refusal, Err("another one than before".to_owned()));
    }
}
