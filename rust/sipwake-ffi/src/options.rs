//! The options of a client: what to trust, how to open payloads, who sees the messages. Callback interfaces are beside
//! the record of options, because a record cannot hold them.

use std::sync::Arc;

use crate::decryptor::{Decryptor, ForeignDecryptor};
use crate::error::{CallbackError, SipWakeError};
use crate::outbox::Outbox;
use crate::resolver::{ForeignResolver, Resolver};
#[cfg(feature = "tls")]
use crate::trust::ForeignTrust;
use crate::trust::ServerTrust;

/// How many messages may wait for the app's trace listener. If there are more, the newest are dropped and counted.
const MAX_TRACED: usize = 256;

/// The largest recording, in bytes. A file of 64 megabytes can be read, and a byte may take more than one in it.
const MAX_RECORDED: i64 = 32 << 20;

/// Options of a client besides its store, its accounts and its callbacks. All of them may be left out.
#[derive(Clone, Default, uniffi::Record)]
pub struct ClientOptions {
    /// Trusts only these authorities (PEM, or one in DER). Do not combine this with a `ServerTrust` of the app's own.
    #[uniffi(default = None)]
    pub authorities: Option<Vec<u8>>,
    /// Whether the `ServerTrust` is only the system's own verifier, on a platform where Rust cannot ask it (Android).
    /// It judges if there are no `authorities`, and a build without TLS ignores it.
    #[uniffi(default = false)]
    pub trust_is_the_systems: bool,
    /// Also demands one of these public keys, as `sha256/BASE64` (RFC 7469 section 2.4).
    #[uniffi(default = [])]
    pub pins: Vec<String>,
    /// The certificate for servers that ask for one.
    #[uniffi(default = None)]
    pub client_certificate: Option<ClientCertificate>,
    /// Whether a call may ring if it comes over UDP from another address than the registrar's.
    #[uniffi(default = false)]
    pub unsolicited_calls: bool,
    /// Refuses a certificate that names its server only by a wildcard (RFC 5922 section 7.2).
    #[uniffi(default = false)]
    pub refuse_wildcards: bool,
    /// How to probe the gateways of accounts that list several. If it is not set, they are tried in their order.
    #[uniffi(default = None)]
    pub probing: Option<GatewayProbe>,
    /// Records what enters the client from its start, up to this many bytes, for `recording`. If it is not set, nothing
    /// is recorded. A recording has names, numbers and addresses of callers, so the app must ask the user first.
    #[uniffi(default = None)]
    pub record_for_replay: Option<i64>,
}

/// How a gateway is asked for its load.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum GatewayProbe {
    /// By SIP OPTIONS (RFC 3261 section 11).
    SipOptions,
    /// By Mizutech's HTTP API `wsload`.
    WsLoad {
        /// Whether over HTTPS, with the client's trust.
        https: bool,
        /// The port. If it is not set, the gateway's own port is used.
        port: Option<u16>,
    },
}

/// A certificate and its private key.
#[derive(Clone, uniffi::Record)]
pub struct ClientCertificate {
    /// The certificate, then its chain, in PEM or DER.
    pub chain: Vec<u8>,
    /// The private key in PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: Vec<u8>,
}

/// Gets every message that is sent or received, without its secrets, one after the other, on its own thread.
#[uniffi::export(callback_interface)]
pub trait TraceListener: Send + Sync {
    /// Takes a message.
    ///
    /// # Errors
    /// An error is dropped.
    fn on_message(&self, message: TracedMessage) -> Result<(), CallbackError>;
}

/// A message as it went over the wire, but without its secrets: it shows only their length and last four characters.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct TracedMessage {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether we sent it.
    pub sent: bool,
    /// The number of the connection.
    pub flow: u64,
    /// The message.
    pub text: String,
}

impl ClientOptions {
    pub(crate) fn into_options(
        self,
        server_trust: Option<Box<dyn ServerTrust>>,
        decryptor: Option<Box<dyn Decryptor>>,
        trace: Option<Box<dyn TraceListener>>,
        resolver: Option<Box<dyn Resolver>>,
    ) -> Result<sipwake::Options, SipWakeError> {
        let mut options = sipwake::Options::default();
        if let Some(decryptor) = decryptor {
            options = options.decryptor(Arc::new(ForeignDecryptor(decryptor)));
        }
        if let Some(listener) = trace {
            options = options.trace(Arc::new(Tracer::start(listener)?));
        }
        if let Some(resolver) = resolver {
            options = options.resolver(Arc::new(ForeignResolver(resolver)));
        }
        options = options.unsolicited_calls(self.unsolicited_calls);
        if let Some(probe) = self.probing {
            options = options.probing(sipwake::Probing::new(match probe {
                GatewayProbe::SipOptions => sipwake::Probe::Options,
                GatewayProbe::WsLoad { https, port } => sipwake::Probe::WsLoad { https, port },
            }));
        }
        if let Some(cap) = self.record_for_replay {
            options = recorded(options, cap)?;
        }
        let (app, system) = if self.trust_is_the_systems { (None, server_trust) } else { (server_trust, None) };
        let judge = Judge { app, authorities: self.authorities, system };
        trust(options, judge, self.pins, self.client_certificate, self.refuse_wildcards)
    }
}

fn recorded(options: sipwake::Options, cap: i64) -> Result<sipwake::Options, SipWakeError> {
    let refused = || SipWakeError::InvalidField {
        field: "options.record_for_replay".to_owned(),
        reason: format!("must be between 1 and {MAX_RECORDED}"),
    };
    let cap = usize::try_from(cap).ok().filter(|_| (1..=MAX_RECORDED).contains(&cap)).ok_or_else(refused)?;
    #[cfg(feature = "replay")]
    return Ok(options.record_for_replay(cap));
    #[cfg(not(feature = "replay"))]
    {
        let _ = (options, cap);
        let reason = "this build of sipwake is without replay: build the library with --features replay".to_owned();
        Err(SipWakeError::Unavailable { reason })
    }
}

/// The judge of the servers' certificates.
struct Judge {
    app: Option<Box<dyn ServerTrust>>,
    authorities: Option<Vec<u8>>,
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there is nothing to judge"))]
    system: Option<Box<dyn ServerTrust>>,
}

#[cfg(feature = "tls")]
fn trust(
    options: sipwake::Options,
    judge: Judge,
    pins: Vec<String>,
    certificate: Option<ClientCertificate>,
    refuse_wildcards: bool,
) -> Result<sipwake::Options, SipWakeError> {
    let refused = |field: &str| {
        let field = field.to_owned();
        move |error: sipwake::TrustError| SipWakeError::InvalidField { field, reason: error.to_string() }
    };
    let mut trust = sipwake::Trust::default().refuse_wildcards(refuse_wildcards);
    match (judge.app, judge.authorities, judge.system) {
        (Some(_), Some(_), _) => {
            let reason = "must be left out where server_trust judges".to_owned();
            return Err(SipWakeError::InvalidField { field: "options.authorities".to_owned(), reason });
        }
        (Some(judge), None, _) | (None, None, Some(judge)) => trust = trust.asking(Arc::new(ForeignTrust(judge))),
        (None, Some(authorities), _) => {
            trust = trust.only_authorities(&authorities).map_err(refused("options.authorities"))?;
        }
        (None, None, None) => {}
    }
    for pin in pins {
        trust = trust.pin(sipwake::SpkiPin::parse(&pin).map_err(refused("options.pins"))?);
    }
    if let Some(ClientCertificate { chain, key }) = certificate {
        trust = trust.client_certificate(&chain, &key).map_err(refused("options.client_certificate"))?;
    }
    Ok(options.trust(trust))
}

#[cfg(not(feature = "tls"))]
fn trust(
    options: sipwake::Options,
    judge: Judge,
    pins: Vec<String>,
    certificate: Option<ClientCertificate>,
    refuse_wildcards: bool,
) -> Result<sipwake::Options, SipWakeError> {
    let asks_nothing = judge.app.is_none() && judge.authorities.is_none() && pins.is_empty() && !refuse_wildcards;
    if asks_nothing && certificate.is_none() {
        return Ok(options);
    }
    Err(SipWakeError::Unavailable { reason: "this build of sipwake is without TLS".to_owned() })
}

/// Passes messages to the app.
struct Tracer {
    listener: Arc<dyn TraceListener>,
    queue: Outbox,
}

impl Tracer {
    fn start(listener: Box<dyn TraceListener>) -> Result<Self, SipWakeError> {
        Ok(Self { listener: listener.into(), queue: Outbox::start("sipwake trace", MAX_TRACED)? })
    }
}

impl sipwake::Trace for Tracer {
    fn message(&self, sent: bool, flow: u64, text: &str) {
        let at_ms = crate::payload::milliseconds(sipwake::now().wall);
        let message = TracedMessage { at_ms, sent, flow, text: text.to_owned() };
        let listener = self.listener.clone();
        // What the listener throws is ignored. If 256 messages wait for it, it misses some.
        self.queue.offer(move || drop(listener.on_message(message)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;
    use std::time::Duration;

    use sipwake::Trace;

    use super::*;

    fn plain() -> ClientOptions {
        ClientOptions::default()
    }

    fn judged_by(
        judge: Option<Box<dyn ServerTrust>>,
        options: ClientOptions,
    ) -> Result<sipwake::Options, SipWakeError> {
        options.into_options(judge, None, None, None)
    }

    fn anyone() -> Option<Box<dyn ServerTrust>> {
        Some(Box::new(Anyone))
    }

    #[cfg(feature = "tls")]
    fn refused_field(judge: Option<Box<dyn ServerTrust>>, options: ClientOptions) -> String {
        match judged_by(judge, options) {
            Err(SipWakeError::InvalidField { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    struct Anyone;

    impl ServerTrust for Anyone {
        fn verify(&self, _: Vec<Vec<u8>>, _: String) -> Result<(), CallbackError> {
            Ok(())
        }
    }

    #[test]
    fn a_recording_is_limited_and_has_its_own_error_where_it_is_not_built_in() {
        let recorded = |cap| judged_by(None, ClientOptions { record_for_replay: Some(cap), ..plain() });
        for cap in [i64::MIN, -1, 0, MAX_RECORDED + 1, i64::MAX] {
            let refused = recorded(cap).expect_err("no such cap");
            let said = "options.record_for_replay: must be between 1 and 33554432";
            assert_eq!(refused.to_string(), said, "{cap}");
        }
        for cap in [1, MAX_RECORDED] {
            match recorded(cap) {
                Ok(options) if cfg!(feature = "replay") => {
                    assert!(format!("{options:?}").contains(&format!("recorded: Some({cap})")), "{options:?}");
                }
                Err(SipWakeError::Unavailable { reason }) if cfg!(not(feature = "replay")) => {
                    assert!(reason.contains("--features replay"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_unusable_option_is_refused_with_its_name() {
        assert!(judged_by(None, plain()).is_ok());
        assert_eq!(refused_field(None, ClientOptions { pins: vec!["sha1/x".into()], ..plain() }), "options.pins");
        let authorities = || ClientOptions { authorities: Some(b"x".to_vec()), ..plain() };
        assert_eq!(refused_field(None, authorities()), "options.authorities");
        assert_eq!(refused_field(anyone(), authorities()), "options.authorities");
        let certificate = ClientCertificate { chain: b"x".to_vec(), key: b"y".to_vec() };
        let field = refused_field(None, ClientOptions { client_certificate: Some(certificate), ..plain() });
        assert_eq!(field, "options.client_certificate");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_system_verifies_servers_unless_the_app_does() {
        let judge = |judge, options| format!("{:?}", judged_by(judge, options).expect("usable"));
        let system = || ClientOptions { trust_is_the_systems: true, ..plain() };
        assert!(judge(anyone(), system()).contains("Trust(asks,"));
        assert!(judge(None, plain()).contains("Trust(platform,"));
        let authority = rcgen::generate_simple_self_signed(vec!["sip.example.com".into()]).expect("a certificate");
        let own = ClientOptions { authorities: Some(authority.cert.pem().into_bytes()), ..system() };
        assert!(judge(anyone(), own).contains("Trust(own authorities,"));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_the_apps_verifier_is_refused_and_the_systems_is_allowed() {
        assert!(judged_by(anyone(), ClientOptions { trust_is_the_systems: true, ..plain() }).is_ok());
        let refused = judged_by(anyone(), plain());
        assert!(matches!(refused, Err(SipWakeError::Unavailable { .. })));
    }

    struct Tell(Sender<TracedMessage>);

    impl TraceListener for Tell {
        fn on_message(&self, message: TracedMessage) -> Result<(), CallbackError> {
            let told = self.0.send(message);
            told.map_err(|_| CallbackError::Failed { reason: "gone".into() })
        }
    }

    #[test]
    fn a_trace_listener_sees_messages_in_their_order() {
        let (sender, seen) = std::sync::mpsc::channel();
        let tracer = Tracer::start(Box::new(Tell(sender))).expect("a thread");
        tracer.message(true, 1, "REGISTER");
        tracer.message(false, 1, "SIP/2.0 200 OK");
        let seen: Vec<_> = (0..2).map(|_| seen.recv_timeout(Duration::from_secs(10)).expect("a message")).collect();
        assert_eq!(
            seen.iter().map(|message| (message.sent, message.text.as_str())).collect::<Vec<_>>(),
            [(true, "REGISTER"), (false, "SIP/2.0 200 OK"),]
        );
    }
}
