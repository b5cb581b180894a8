//! The settings of accounts.

use sipwake::core::account::Account;
use sipwake::core::digest::Algorithm;
use sipwake::core::push::Mode;
use sipwake::{Secret, core};

use crate::error::SipWakeError;
use crate::push::{PushConfig, PushMode};

/// The transport that a flow runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Transport {
    /// RFC 3261 over UDP.
    Udp,
    /// RFC 3261 over TCP.
    Tcp,
    /// RFC 3261 over TLS.
    Tls,
    /// RFC 7118 over WebSocket.
    Ws,
    /// RFC 7118 over WebSocket and TLS.
    Wss,
}

impl From<Transport> for sipwake::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
            Transport::Tls => Self::Tls,
            Transport::Ws => Self::Ws,
            Transport::Wss => Self::Wss,
        }
    }
}

/// The hash that a digest challenge asks for (RFC 7616 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum DigestAlgorithm {
    /// `MD5`.
    Md5,
    /// `SHA-256`.
    Sha256,
    /// `SHA-512-256`.
    Sha512Slash256,
}

/// `H(username ":" realm ":" password)` for one realm. In that realm it works like the password; elsewhere it is useless.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct RealmHa1 {
    /// The realm that went into the hash. It is compared exactly.
    pub realm: String,
    /// The hash.
    pub algorithm: DigestAlgorithm,
    /// Its hexadecimal digits.
    pub ha1: String,
}

/// How the user proves who they are.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Credentials {
    /// The password.
    Password {
        /// It is never logged and never stored.
        password: String,
    },
    /// Hashes of the password: each answers one realm and one hash.
    Hashes {
        /// One for each realm and algorithm.
        hashes: Vec<RealmHa1>,
    },
}

/// Mizutech's `X-Sy.*` request headers: which SIP server is behind the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, uniffi::Record)]
pub struct UpperServer {
    /// `X-Sy.Uppersrv`: the target SIP server.
    #[uniffi(default = None)]
    pub server: Option<String>,
    /// `X-Sy.Upperproxy`: its proxy.
    #[uniffi(default = None)]
    pub proxy: Option<String>,
    /// `X-Sy.Uppersrvd`: its logical domain when the address differs.
    #[uniffi(default = None)]
    pub domain: Option<String>,
}

/// The settings of an account. The client checks them when it gets them.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct AccountConfig {
    /// The address of record, `sip:alice@example.com` or `alice@example.com`.
    pub aor: String,
    /// How the user proves who they are.
    pub credentials: Credentials,
    /// The name shown to others.
    #[uniffi(default = None)]
    pub display_name: Option<String>,
    /// The user name for the digest. If it is not set, the AOR's user part is used.
    #[uniffi(default = None)]
    pub auth_user: Option<String>,
    /// The registrar's URI, which becomes the Request-URI. If it is not set, the AOR's domain is used.
    #[uniffi(default = None)]
    pub registrar: Option<String>,
    /// A proxy that every request is sent to (RFC 3261 section 8.1.2), as a URI.
    #[uniffi(default = None)]
    pub outbound_proxy: Option<String>,
    /// Push gateways in order of preference, as URIs or `host:port`.
    #[uniffi(default)]
    pub gateways: Vec<String>,
    /// The server behind the gateway.
    #[uniffi(default = None)]
    pub upper: Option<UpperServer>,
    /// The realm of the upper server, for `X-PIID`. If it is not set, the client learns it from the challenge.
    #[uniffi(default = None)]
    pub realm: Option<String>,
    /// The transport, if no URI names one.
    #[uniffi(default = None)]
    pub transport: Option<Transport>,
    /// The lifetime to ask for, in seconds, at least 1.
    #[uniffi(default = 3600)]
    pub expires_seconds: u32,
    /// The `User-Agent` header. If it is not set, the header is left out.
    #[uniffi(default = None)]
    pub user_agent: Option<String>,
    /// The instance id of RFC 5626, a URN such as `urn:uuid:…`. It must always be the same for one installation.
    #[uniffi(default = None)]
    pub instance_id: Option<String>,
    /// Seconds between keep-alives on an idle flow (RFC 5626 section 3.5). If it is not set, none are sent.
    #[uniffi(default = None)]
    pub keep_alive_seconds: Option<u32>,
    /// Allows `X-PIID`, which works like the password, over a transport that others can read.
    #[uniffi(default = false)]
    pub allow_cleartext_secrets: bool,
    /// The weakest hash that a challenge may ask for. The client refuses a challenge that asks for a weaker one, with a
    /// warning. If it is not set, any hash is accepted, except on a network where the same realm asked for a stronger
    /// one before.
    #[uniffi(default = None)]
    pub minimum_digest: Option<DigestAlgorithm>,
    /// Takes a 2xx for a success only if the server proves that it knows the password (`rspauth`, RFC 7616 section
    /// 3.5).
    #[uniffi(default = false)]
    pub require_server_proof: bool,
    /// Answers no challenge to a request inside a call, because such a challenge may come from the caller.
    #[uniffi(default = false)]
    pub ignore_challenges_in_calls: bool,
    /// Whether `X-PIID` is sent. If it is not set, it is sent if a gateway or a server by Mizutech is configured: by a
    /// mode, by `upper`, or by `gateways` with push settings that name the `X-MPUSH` dialect.
    #[uniffi(default = None)]
    pub send_piid: Option<bool>,
    /// Sends this phone's key for sealed pushes, as `X-Push-Key`, in each REGISTER that binds a token. It goes out only
    /// over TLS and to a host in this configuration, never to a redirect's target. Every hop that sees the key can
    /// forge sealed pushes.
    #[uniffi(default = false)]
    pub send_push_key: bool,
    /// Trusts the content of a push only if the app's decryptor or the phone's own key opened it. Any other push
    /// registers like one without content, and announces and ends no call. PushKit needs a call, so there it becomes a
    /// call from an unknown caller.
    #[uniffi(default = false)]
    pub sealed_pushes_only: bool,
    /// Registers again with the address that the server saw (RFC 3581), for servers that do not use it by themselves.
    #[uniffi(default = false)]
    pub follow_observed_address: bool,
}

/// An account with its push settings.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct AccountSetup {
    /// The account.
    pub account: AccountConfig,
    /// Its push settings. Without them it registers without push.
    #[uniffi(default = None)]
    pub push: Option<PushConfig>,
    /// One of Mizutech's push modes. It changes the dialects and, for a gateway, also where the account registers.
    #[uniffi(default = None)]
    pub mode: Option<PushMode>,
}

impl AccountSetup {
    /// Returns the account and push settings for the client.
    pub(crate) fn into_parts(self) -> (sipwake::AccountConfig, Option<sipwake::PushConfig>) {
        let mut account = sipwake::AccountConfig::from(self.account);
        let mut push = self.push.map(sipwake::PushConfig::from);
        if let (Some(mode), Some(push)) = (self.mode, &mut push) {
            Mode::from(mode).apply(&mut account, push);
        }
        (account, push)
    }
}

impl From<AccountConfig> for sipwake::AccountConfig {
    fn from(config: AccountConfig) -> Self {
        let mut account = Self::new(config.aor, "");
        account.credentials = config.credentials.into();
        account.display_name = config.display_name;
        account.auth_user = config.auth_user;
        account.registrar = config.registrar;
        account.outbound_proxy = config.outbound_proxy;
        account.gateways = config.gateways;
        if let Some(UpperServer { server, proxy, domain }) = config.upper {
            account.upper = sipwake::UpperServer { server, proxy, domain };
        }
        account.realm = config.realm;
        account.transport = config.transport.map(Into::into);
        account.expires = config.expires_seconds;
        account.user_agent = config.user_agent;
        account.instance_id = config.instance_id;
        account.keep_alive = config.keep_alive_seconds;
        account.allow_cleartext_secrets = config.allow_cleartext_secrets;
        account.minimum_digest = config.minimum_digest.map(Into::into);
        account.require_server_proof = config.require_server_proof;
        account.ignore_challenges_in_calls = config.ignore_challenges_in_calls;
        account.send_piid = config.send_piid;
        account.send_push_key = config.send_push_key;
        account.sealed_pushes_only = config.sealed_pushes_only;
        account.follow_observed_address = config.follow_observed_address;
        account
    }
}

impl From<Credentials> for sipwake::Credentials {
    fn from(credentials: Credentials) -> Self {
        match credentials {
            Credentials::Password { password } => Self::Password(Secret::new(password)),
            Credentials::Hashes { hashes } => Self::Ha1(hashes.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<sipwake::Credentials> for Credentials {
    fn from(credentials: sipwake::Credentials) -> Self {
        match credentials {
            sipwake::Credentials::Password(password) => Self::Password { password: password.expose().to_owned() },
            sipwake::Credentials::Ha1(hashes) => Self::Hashes { hashes: hashes.into_iter().map(Into::into).collect() },
        }
    }
}

impl From<core::digest::RealmHa1> for RealmHa1 {
    fn from(known: core::digest::RealmHa1) -> Self {
        let algorithm = match known.algorithm {
            Algorithm::Md5 | Algorithm::Md5Sess => DigestAlgorithm::Md5,
            Algorithm::Sha256 | Algorithm::Sha256Sess => DigestAlgorithm::Sha256,
            Algorithm::Sha512_256 | Algorithm::Sha512_256Sess => DigestAlgorithm::Sha512Slash256,
        };
        Self { realm: known.realm, algorithm, ha1: known.ha1.expose().to_owned() }
    }
}

impl From<RealmHa1> for core::digest::RealmHa1 {
    fn from(known: RealmHa1) -> Self {
        Self { realm: known.realm, algorithm: known.algorithm.into(), ha1: Secret::new(known.ha1) }
    }
}

impl From<DigestAlgorithm> for Algorithm {
    fn from(algorithm: DigestAlgorithm) -> Self {
        match algorithm {
            DigestAlgorithm::Md5 => Self::Md5,
            DigestAlgorithm::Sha256 => Self::Sha256,
            DigestAlgorithm::Sha512Slash256 => Self::Sha512_256,
        }
    }
}

/// Returns the id that an account has in every client and event. It is 16 hexadecimal digits made from the AOR and the
/// registrar. It stays the same across restarts, and the other fields do not change it.
///
/// # Errors
/// `InvalidField` if the account cannot be used.
#[uniffi::export]
pub fn account_id(account: AccountConfig) -> Result<String, SipWakeError> {
    Ok(Account::parse(account.into())?.key().to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn alice() -> AccountConfig {
        AccountConfig {
            aor: "alice@example.com".to_owned(),
            credentials: Credentials::Password { password: "wonderland".to_owned() },
            display_name: None,
            auth_user: None,
            registrar: None,
            outbound_proxy: None,
            gateways: Vec::new(),
            upper: None,
            realm: None,
            transport: None,
            expires_seconds: 3600,
            user_agent: None,
            instance_id: None,
            keep_alive_seconds: None,
            allow_cleartext_secrets: false,
            minimum_digest: None,
            require_server_proof: false,
            ignore_challenges_in_calls: false,
            send_piid: None,
            send_push_key: false,
            sealed_pushes_only: false,
            follow_observed_address: false,
        }
    }

    #[test]
    fn the_id_depends_only_on_aor_and_registrar() {
        let id = account_id(alice()).expect("valid");
        assert_eq!(id.len(), 16);
        assert_eq!(account_id(AccountConfig { display_name: Some("Alice".into()), ..alice() }).expect("valid"), id);
        assert_ne!(account_id(AccountConfig { registrar: Some("example.net".into()), ..alice() }).expect("valid"), id);
    }

    #[test]
    fn every_field_of_an_account_arrives() {
        let account = AccountConfig {
            credentials: Credentials::Hashes {
                hashes: vec![RealmHa1 { realm: "r".into(), algorithm: DigestAlgorithm::Sha256, ha1: "00".repeat(32) }],
            },
            display_name: Some("Alice".into()),
            auth_user: Some("a1".into()),
            registrar: Some("sip:reg.example.com".into()),
            outbound_proxy: Some("sip:proxy.example.com".into()),
            gateways: vec!["gw.example.net:35060".into()],
            upper: Some(UpperServer {
                server: Some("up".into()),
                proxy: Some("px".into()),
                domain: Some("dom".into()),
            }),
            realm: Some("asterisk".into()),
            transport: Some(Transport::Wss),
            expires_seconds: 60,
            user_agent: Some("x/1".into()),
            instance_id: Some("urn:uuid:1".into()),
            keep_alive_seconds: Some(25),
            allow_cleartext_secrets: true,
            minimum_digest: Some(DigestAlgorithm::Sha256),
            require_server_proof: true,
            ignore_challenges_in_calls: true,
            send_piid: Some(true),
            send_push_key: true,
            sealed_pushes_only: true,
            follow_observed_address: true,
            ..alice()
        };
        let converted = sipwake::AccountConfig::from(account);
        let mut expected = sipwake::AccountConfig::new("alice@example.com", "");
        expected.credentials = sipwake::Credentials::Ha1(vec![core::digest::RealmHa1 {
            realm: "r".into(),
            algorithm: Algorithm::Sha256,
            ha1: Secret::new("00".repeat(32)),
        }]);
        expected.display_name = Some("Alice".into());
        expected.auth_user = Some("a1".into());
        expected.registrar = Some("sip:reg.example.com".into());
        expected.outbound_proxy = Some("sip:proxy.example.com".into());
        expected.gateways = vec!["gw.example.net:35060".into()];
        expected.upper =
            sipwake::UpperServer { server: Some("up".into()), proxy: Some("px".into()), domain: Some("dom".into()) };
        expected.realm = Some("asterisk".into());
        expected.transport = Some(sipwake::Transport::Wss);
        expected.expires = 60;
        expected.user_agent = Some("x/1".into());
        expected.instance_id = Some("urn:uuid:1".into());
        expected.keep_alive = Some(25);
        expected.allow_cleartext_secrets = true;
        expected.minimum_digest = Some(Algorithm::Sha256);
        expected.require_server_proof = true;
        expected.ignore_challenges_in_calls = true;
        expected.send_piid = Some(true);
        expected.send_push_key = true;
        expected.sealed_pushes_only = true;
        expected.follow_observed_address = true;
        assert_eq!(converted, expected);
    }

    #[test]
    fn a_gateway_mode_sends_the_account_there_and_speaks_x_mpush() {
        let push = PushConfig::plain(crate::push::Provider::Fcm, "app");
        let setup = AccountSetup { account: alice(), push: Some(push), mode: Some(PushMode::MizutechGateway) };
        let (account, push) = setup.into_parts();
        assert_eq!(account.gateways, [core::push::MIZUTECH_GATEWAY]);
        let dialects = push.expect("kept").dialects;
        assert_eq!(dialects, sipwake::Dialects::Only(vec![sipwake::Dialect::XMpush]));
    }
}
