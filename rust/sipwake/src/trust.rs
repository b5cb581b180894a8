//! What a TLS flow trusts (the platform, the app's authorities, pinned keys), and our own certificate.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use sipwake_core::event::{CertificateFault, FlowError};

/// The rule of `options.trust` for accounts and probes over TLS, if nothing can judge a server's certificate.
pub(crate) const NOBODY_JUDGES: &str =
    "must name what judges servers' certificates: Rust cannot ask the system's verifier on this platform";

/// Asks the platform whether to trust a certificate chain: Android's `X509TrustManagerExtensions`, for example.
///
/// It is called on the client's runtime and must not wait for the network. The server's name is always checked too.
pub trait ServerTrust: Send + Sync {
    /// Judges a chain of DER certificates, the server's own first.
    ///
    /// # Errors
    /// The reason, which the app gets as [`CertificateFault::Platform`].
    fn verify(&self, chain: &[Vec<u8>], server_name: &str) -> Result<(), String>;
}

/// Why a certificate, key or pin that the app gave cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is no certificate in it.
    #[error("the file has no certificate (PEM or DER)")]
    NoCertificate,
    /// A certificate in it cannot be read.
    #[error("a certificate cannot be read: {0}")]
    Unreadable(String),
    /// The private key cannot be read.
    #[error("the private key cannot be used (it must be PKCS#8, PKCS#1 or SEC1, in PEM)")]
    UnusableKey,
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    ForeignKey,
    /// Not the SHA-256 of a key.
    #[error("a pin must be sha256/ and 44 characters of base64")]
    MalformedPin,
}

/// The SHA-256 of a server's public key (its SubjectPublicKeyInfo), as RFC 7469 section 2.4 has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpkiPin([u8; 32]);

impl SpkiPin {
    /// Reads `sha256/BASE64`, the form that `openssl` recipes and OkHttp give; the prefix may be missing.
    ///
    /// # Errors
    /// [`TrustError::MalformedPin`].
    ///
    /// ```
    /// use sipwake::SpkiPin;
    ///
    /// assert!(SpkiPin::parse("sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").is_ok());
    /// assert!(SpkiPin::parse("sha1/…").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let text = text.trim();
        let digest = BASE64.decode(text.strip_prefix("sha256/").unwrap_or(text));
        let digest = digest.map_err(|_| TrustError::MalformedPin)?;
        Ok(Self(digest.try_into().map_err(|_| TrustError::MalformedPin)?))
    }

    /// Returns the pin of a certificate's key.
    ///
    /// # Errors
    /// [`TrustError::Unreadable`] if it is not a certificate in DER.
    pub fn of_certificate(der: &[u8]) -> Result<Self, TrustError> {
        Self::of(&CertificateDer::from(der)).map_err(|error| TrustError::Unreadable(error.to_string()))
    }

    fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        Ok(Self(Sha256::digest(key.as_ref()).into()))
    }
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a client trusts. The default is the platform: its verifier on iOS, Mozilla's list on desktops. Rust alone cannot reach
/// Android's verifier, so an account that uses TLS is refused there until [`asking`](Self::asking) or
/// [`only_authorities`](Self::only_authorities) says what to trust.
///
/// ```
/// use sipwake::{SpkiPin, Trust};
///
/// let trust = Trust::default().pin(SpkiPin::parse("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")?);
/// # Ok::<(), sipwake::TrustError>(())
/// ```
#[derive(Clone, Default)]
pub struct Trust {
    anchor: Anchor,
    pins: Vec<SpkiPin>,
    client: Option<Arc<CertifiedKey>>,
    refuses_wildcards: bool,
}

#[derive(Clone, Default)]
enum Anchor {
    #[default]
    Platform,
    Own(Arc<RootCertStore>),
    Asked(Arc<dyn ServerTrust>),
}

impl Trust {
    /// Trusts only these authorities (PEM, or one in DER).
    ///
    /// # Errors
    /// [`TrustError::NoCertificate`], [`TrustError::Unreadable`].
    pub fn only_authorities(mut self, certificates: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(certificates)? {
            roots.add(certificate).map_err(|error| TrustError::Unreadable(error.to_string()))?;
        }
        self.anchor = Anchor::Own(Arc::new(roots));
        Ok(self)
    }

    /// Lets the platform judge the chains.
    #[must_use]
    pub fn asking(mut self, platform: Arc<dyn ServerTrust>) -> Self {
        self.anchor = Anchor::Asked(platform);
        self
    }

    /// Also demands that the server's own key is this one, or another pinned one. Pin the next key too: if a server loses its only
    /// pinned key, this app cannot reach it.
    #[must_use]
    pub fn pin(mut self, pin: SpkiPin) -> Self {
        self.pins.push(pin);
        self
    }

    /// Refuses a certificate that names its server only by a wildcard (`*.example.com`), as RFC 5922 section 7.2 demands for SIP. By
    /// default wildcards count, because many servers' certificates have them.
    #[must_use]
    pub fn refuse_wildcards(mut self, refuse: bool) -> Self {
        self.refuses_wildcards = refuse;
        self
    }

    /// Shows this certificate (with its chain, PEM or DER) to servers that ask for one.
    ///
    /// # Errors
    /// A [`TrustError`] when the two cannot be read, or don't belong together.
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TrustError> {
        let chain = read_certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TrustError::UnusableKey)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| TrustError::UnusableKey)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| TrustError::ForeignKey)?;
        self.client = Some(Arc::new(certified));
        Ok(self)
    }

    /// Returns the settings for all TLS flows of a client. They share its sessions, so that one can be resumed.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, FlowError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = |error: rustls::Error| FlowError::Tls(error.to_string());
        let (anchor, pins) = (self.chain(&provider)?, self.pins.clone());
        let verifier = Verifier { anchor, pins, refuses_wildcards: self.refuses_wildcards, provider };
        let builder = ClientConfig::builder_with_provider(verifier.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        Ok(Arc::new(match &self.client {
            Some(certified) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(certified))))
            }
            None => builder.with_no_client_auth(),
        }))
    }

    fn chain(&self, provider: &Arc<CryptoProvider>) -> Result<Chain, FlowError> {
        match &self.anchor {
            Anchor::Asked(platform) => Ok(Chain::Asked(platform.clone())),
            Anchor::Own(roots) => Ok(Chain::Roots(roots.clone())),
            Anchor::Platform => platform(provider),
        }
    }
}

#[cfg(target_os = "ios")]
fn platform(provider: &Arc<CryptoProvider>) -> Result<Chain, FlowError> {
    let verifier = rustls_platform_verifier::Verifier::new(provider.clone());
    Ok(Chain::Checked(Arc::new(verifier.map_err(|error| FlowError::Tls(error.to_string()))?)))
}

#[cfg(target_os = "android")]
fn platform(_: &Arc<CryptoProvider>) -> Result<Chain, FlowError> {
    Err(FlowError::Tls(format!("options.trust {NOBODY_JUDGES}")))
}

#[cfg(not(any(target_os = "android", target_os = "ios")))]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn platform(_: &Arc<CryptoProvider>) -> Result<Chain, FlowError> {
    Ok(Chain::Roots(Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })))
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anchor = match &self.anchor {
            Anchor::Platform => "platform",
            Anchor::Own(_) => "own authorities",
            Anchor::Asked(_) => "asks",
        };
        write!(f, "Trust({anchor}, {} pins, client certificate: {})", self.pins.len(), self.client.is_some())
    }
}

fn read_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    const DER_SEQUENCE: u8 = 0x30;
    if bytes.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let certificates = read.map_err(|error| TrustError::Unreadable(error.to_string()))?;
    if certificates.is_empty() { Err(TrustError::NoCertificate) } else { Ok(certificates) }
}

#[derive(Debug, thiserror::Error)]
#[error("the key is not one of the pinned keys")]
struct PinMismatch;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

#[derive(Debug, thiserror::Error)]
#[error("the certificate names its server with a wildcard")]
struct Wildcard;

/// Whether a certificate for this server names it without a wildcard.
fn names_exactly(certificate: &CertificateDer<'_>, server: &ServerName<'_>) -> Result<bool, rustls::Error> {
    let ServerName::DnsName(server) = server else { return Ok(true) };
    let server = server.as_ref();
    let certificate = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| rustls::Error::from(CertificateError::Other(OtherError(Arc::new(error)))))?;
    let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    Ok(certificate.valid_dns_names().any(|name| plain(name) == plain(server)))
}

enum Chain {
    Roots(Arc<RootCertStore>),
    #[cfg(target_os = "ios")]
    Checked(Arc<dyn ServerCertVerifier>),
    Asked(Arc<dyn ServerTrust>),
}

struct Verifier {
    anchor: Chain,
    pins: Vec<SpkiPin>,
    refuses_wildcards: bool,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ServerCertVerifier for Verifier {
    #[cfg_attr(not(target_os = "ios"), allow(unused_variables, reason = "only Apple's verifier reads OCSP"))]
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.anchor {
            Chain::Roots(roots) => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                let algorithms = self.provider.signature_verification_algorithms.all;
                verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
                verify_server_name(&certificate, server_name)?;
            }
            #[cfg(target_os = "ios")]
            Chain::Checked(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
            }
            Chain::Asked(platform) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                let chain: Vec<Vec<u8>> =
                    std::iter::once(end_entity).chain(intermediates).map(|der| der.as_ref().to_vec()).collect();
                platform.verify(&chain, &server_name.to_str()).map_err(|reason| other(Refused(reason)))?;
            }
        }
        if self.refuses_wildcards && !names_exactly(end_entity, server_name)? {
            return Err(other(Wildcard));
        }
        // Only the server's own key counts. The other certificates that it sends do not prove that the chain uses them.
        if !self.pins.is_empty() && !self.pins.contains(&SpkiPin::of(end_entity)?) {
            return Err(other(PinMismatch));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

/// Turns an error into one that an app can branch on.
pub(crate) fn flow_error(error: &rustls::Error) -> FlowError {
    use rustls::{AlertDescription as Alert, Error};
    match error {
        Error::InvalidCertificate(fault) => FlowError::Certificate(certificate_fault(fault)),
        Error::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::UnknownCA),
        ) => FlowError::ClientCertificate(format!("{alert:?}")),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => FlowError::Tls(
            "the server does not speak TLS on this port: check the port, or choose another transport".into(),
        ),
        other => FlowError::Tls(other.to_string()),
    }
}

fn certificate_fault(fault: &CertificateError) -> CertificateFault {
    match fault {
        CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            CertificateFault::OnlyCommonName
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => CertificateFault::NotYetValid,
        CertificateError::Revoked => CertificateFault::Revoked,
        CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<Refused>() {
            Some(Refused(reason)) => CertificateFault::Platform(reason.clone()),
            None if inner.is::<PinMismatch>() => CertificateFault::PinMismatch,
            None if inner.is::<Wildcard>() => CertificateFault::Wildcard,
            // webpki's own error, which rustls passes on without its type.
            None if inner.to_string() == "CaUsedAsEndEntity" => CertificateFault::Authority,
            None => CertificateFault::Other(inner.to_string()),
        },
        other => CertificateFault::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_certificate_is_refused_when_it_is_set() {
        assert!(matches!(Trust::default().only_authorities(b""), Err(TrustError::NoCertificate)));
        assert!(matches!(Trust::default().only_authorities(b"\x30\x03abc"), Err(TrustError::Unreadable(_))));
        let torn = b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(Trust::default().only_authorities(torn), Err(TrustError::Unreadable(_))));
    }

    #[test]
    fn a_client_certificate_needs_its_own_key() {
        let name = || vec!["alice".to_owned()];
        let one = rcgen::generate_simple_self_signed(name()).expect("a certificate");
        let two = rcgen::generate_simple_self_signed(name()).expect("a certificate");
        let give = |key: &rcgen::KeyPair| {
            Trust::default().client_certificate(one.cert.pem().as_bytes(), key.serialize_pem().as_bytes())
        };
        assert!(give(&one.signing_key).is_ok());
        assert_eq!(give(&two.signing_key).err(), Some(TrustError::ForeignKey));
    }

    #[test]
    fn a_pin_is_read_in_its_written_form() {
        let certificate = rcgen::generate_simple_self_signed(vec!["a".into()]).expect("a certificate");
        let pin = SpkiPin::of_certificate(certificate.cert.der()).expect("it has a key");
        assert_eq!(SpkiPin::parse(&pin.to_string()), Ok(pin));
        assert_eq!(SpkiPin::parse("sha256/AAAA"), Err(TrustError::MalformedPin));
    }

    #[test]
    fn a_wildcard_is_valid_unless_the_app_refuses_it_and_an_exact_name_stays_valid() {
        let judge = |names: &[&str], refuse: bool| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let certificate = rcgen::generate_simple_self_signed(names).expect("a certificate");
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            struct Any;
            impl ServerTrust for Any {
                fn verify(&self, _: &[Vec<u8>], _: &str) -> Result<(), String> {
                    Ok(())
                }
            }
            let anchor = Chain::Asked(Arc::new(Any));
            let verifier = Verifier { anchor, pins: Vec::new(), refuses_wildcards: refuse, provider };
            let server = ServerName::try_from("SIP.example.com").expect("a name");
            let judged =
                verifier.verify_server_cert(certificate.cert.der(), &[], &server, &[], UnixTime::now()).map(drop);
            judged.map_err(|error| flow_error(&error))
        };
        let refused = Err(FlowError::Certificate(CertificateFault::Wildcard));
        assert_eq!(judge(&["*.example.com"], false), Ok(()));
        assert_eq!(judge(&["*.example.com"], true), refused);
        assert_eq!(judge(&["*.example.com", "sip.example.com"], true), Ok(()));
        assert_eq!(judge(&["sip.example.com"], true), Ok(()));
        let told = CertificateFault::Wildcard.to_string();
        assert!(told.contains("RFC 5922") && told.contains("subjectAltName"), "{told}");
    }
}
