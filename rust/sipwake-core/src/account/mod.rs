//! Accounts: parsed once, always valid afterwards.

mod hop;

use std::time::Duration;

pub use hop::{Hop, Transport};
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Credentials, hex};
use crate::error::{FieldError, check_text};
use crate::sip::{SipUri, quote};

/// The longest text that any account field may hold, in bytes.
pub const MAX_FIELD: usize = 255;
/// The most gateways that an account may list.
pub const MAX_GATEWAYS: usize = 16;
/// The binding lifetime that is asked for unless the app says otherwise, in seconds (RFC 3261 section 10.2).
pub const DEFAULT_EXPIRES: u32 = 3600;

/// An address of record: `sip:alice@example.com` (RFC 3261 section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aor {
    text: Box<str>,
    /// The place of the user part in the text.
    user: (u16, u16),
}

impl Aor {
    /// Parses an address of record, with or without its scheme.
    ///
    /// # Errors
    /// A [`FieldError`] for the field `aor` if the text is not a SIP URI with a user part, or has parameters, headers
    /// or a password.
    ///
    /// ```
    /// use sipwake_core::account::Aor;
    ///
    /// assert_eq!(Aor::parse("alice@example.com")?.to_string(), "sip:alice@example.com");
    /// assert!(Aor::parse("sip:example.com").is_err());
    /// # Ok::<(), sipwake_core::error::FieldError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Ok(Self::of(&Self::uri(text)?))
    }

    fn uri(text: &str) -> Result<SipUri, FieldError> {
        let uri = parse_uri("aor", text)?;
        if uri.user.as_deref().unwrap_or_default().is_empty() {
            return Err(FieldError::malformed("aor", "a SIP URI with a user part, such as sip:alice@example.com"));
        }
        if !uri.params.is_empty() || uri.headers.is_some() || uri.password.is_some() {
            return Err(FieldError::malformed("aor", "a SIP URI without parameters, headers or password"));
        }
        Ok(uri)
    }

    fn of(uri: &SipUri) -> Self {
        let begin: u16 = if uri.secure { 5 } else { 4 };
        let length = uri.user.as_ref().map_or(0, String::len);
        let end = begin + u16::try_from(length).expect("a field is checked to be short");
        Self { text: uri.to_string().into(), user: (begin, end) }
    }

    /// Returns the user part as it is in the URI, escapes included.
    pub fn user(&self) -> &str {
        &self.text[usize::from(self.user.0)..usize::from(self.user.1)]
    }

    /// Returns the whole URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for Aor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Mizutech's `X-Sy.*` request headers: which SIP server is behind the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpperServer {
    /// `X-Sy.Uppersrv`: the target SIP server.
    pub server: Option<String>,
    /// `X-Sy.Upperproxy`: its proxy.
    pub proxy: Option<String>,
    /// `X-Sy.Uppersrvd`: its logical domain when the address differs.
    pub domain: Option<String>,
}

/// The settings of an account as the app writes them, in plain text. [`Account::parse`] checks them.
///
/// The serialized form shows the credentials. Keep it where you keep secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountConfig {
    /// The address of record, `sip:alice@example.com` or `alice@example.com`.
    pub aor: String,
    /// The name shown to others.
    pub display_name: Option<String>,
    /// The user name for the digest. `None` means the AOR's user part.
    pub auth_user: Option<String>,
    /// The password, or HA1 values per realm.
    pub credentials: Credentials,
    /// The registrar's URI, which becomes the Request-URI. `None` means the AOR's domain.
    pub registrar: Option<String>,
    /// A proxy that every request is sent to (RFC 3261 section 8.1.2), as a URI. A `Route` with `lr` names it.
    pub outbound_proxy: Option<String>,
    /// Push gateways in order of preference, as SIP URIs, `host:port`, or `ws://` and `wss://` addresses with a path.
    /// Requests are sent to them with the registrar's domain in the Request-URI.
    pub gateways: Vec<String>,
    /// The server behind the gateway.
    pub upper: UpperServer,
    /// The realm of the upper server, for `X-PIID`. `None` means that the client learns it from the challenge.
    pub realm: Option<String>,
    /// The transport, if no URI names one.
    pub transport: Option<Transport>,
    /// The lifetime to ask for, in seconds, at least 1.
    pub expires: u32,
    /// The `User-Agent` header. `None` leaves it out.
    pub user_agent: Option<String>,
    /// The instance id of RFC 5626, a URN such as `urn:uuid:…`. It must stay the same for one installation.
    pub instance_id: Option<String>,
    /// Seconds between keep-alives on an idle flow (RFC 5626 section 3.5). `None` sends none.
    pub keep_alive: Option<u32>,
    /// Registers the address that the server saw (RFC 3581) if it differs from ours, for servers that send calls to the
    /// Contact itself. Not for WebSocket, whose Contact is not an address.
    #[serde(default)]
    pub follow_observed_address: bool,
    /// Allows `X-PIID`, which works like the password, over a transport that others can read.
    #[serde(default)]
    pub allow_cleartext_secrets: bool,
    /// The weakest hash that a challenge may ask for. The client refuses a challenge that asks for a weaker one, with a
    /// warning. `-sess` means the same as its base. `None` accepts any hash, except on a network where the same realm
    /// asked for a stronger one before.
    #[serde(default)]
    pub minimum_digest: Option<Algorithm>,
    /// Takes a 2xx for a success only if the server proves that it knows the password (`rspauth`, RFC 7616 section
    /// 3.5). Few servers do.
    #[serde(default)]
    pub require_server_proof: bool,
    /// Answers no challenge to a request inside a call, because such a challenge may come from the caller.
    #[serde(default)]
    pub ignore_challenges_in_calls: bool,
    /// Whether `X-PIID` is sent. `None` sends it if a gateway or a server by Mizutech is configured: by one of the
    /// [modes](crate::push::Mode), by [`upper`](Self::upper), or by [`gateways`](Self::gateways) with push settings
    /// that name the `X-MPUSH` dialect. A plain registrar does not get it.
    #[serde(default)]
    pub send_piid: Option<bool>,
    /// Sends this phone's key for sealed pushes, as `X-Push-Key`, in each REGISTER that binds a token. It goes out only
    /// over TLS and to a host in this configuration, never to a redirect's target. Every hop that sees the key can
    /// forge sealed pushes.
    #[serde(default)]
    pub send_push_key: bool,
    /// Trusts the content of a push only if the app's decryptor or the phone's own key opened it. Any other push
    /// registers like one without content, and announces and ends no call. PushKit needs a call, so there it becomes a
    /// call from an unknown caller.
    #[serde(default)]
    pub sealed_pushes_only: bool,
}

impl AccountConfig {
    /// Returns a configuration with an AOR and a password, and defaults for the rest.
    pub fn new(aor: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            aor: aor.into(),
            display_name: None,
            auth_user: None,
            credentials: Credentials::Password(crate::redact::Secret::new(password)),
            registrar: None,
            outbound_proxy: None,
            gateways: Vec::new(),
            upper: UpperServer::default(),
            realm: None,
            transport: None,
            expires: DEFAULT_EXPIRES,
            user_agent: None,
            instance_id: None,
            keep_alive: None,
            follow_observed_address: false,
            allow_cleartext_secrets: false,
            minimum_digest: None,
            require_server_proof: false,
            ignore_challenges_in_calls: false,
            send_piid: None,
            send_push_key: false,
            sealed_pushes_only: false,
        }
    }
}

/// An account that can be registered: every field is checked, every URI parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    aor: Aor,
    registrar: Box<str>,
    hops: Box<[Hop]>,
    credentials: Credentials,
    display_name: Option<Box<str>>,
    auth_user: Option<Box<str>>,
    realm: Option<Box<str>>,
    user_agent: Option<Box<str>>,
    instance_id: Option<Box<str>>,
    server: Option<Box<Server>>,
    keep_alive: Option<u32>,
    expires: u32,
    transport: Option<Transport>,
    follow_observed_address: bool,
    allow_cleartext_secrets: bool,
    minimum_digest: Option<Algorithm>,
    require_server_proof: bool,
    ignore_challenges_in_calls: bool,
    send_piid: Option<bool>,
    send_push_key: bool,
    sealed_pushes_only: bool,
}

/// The servers of an account other than its domain: the registrar, and the servers before and behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Server {
    registrar: Option<String>,
    outbound_proxy: Option<String>,
    /// The outbound proxy in the form of a `Route`.
    route: Option<String>,
    gateways: Vec<String>,
    upper: UpperServer,
}

impl Account {
    /// Checks and parses the app's settings.
    ///
    /// # Errors
    /// A [`FieldError`] names the field and the rule that it broke. Then nothing was sent or stored.
    ///
    /// ```
    /// use sipwake_core::account::{Account, AccountConfig};
    ///
    /// let mut config = AccountConfig::new("alice@example.com", "wonderland");
    /// config.display_name = Some("Alice\r\nX-Evil: 1".into());
    /// let refused = Account::parse(config).unwrap_err();
    /// assert_eq!(refused.to_string(), "display_name: must not hold control characters");
    /// ```
    pub fn parse(config: AccountConfig) -> Result<Self, FieldError> {
        let aor_uri = Aor::uri(&config.aor)?;
        let aor = Aor::of(&aor_uri);
        for (field, value) in [
            ("display_name", &config.display_name),
            ("auth_user", &config.auth_user),
            ("realm", &config.realm),
            ("user_agent", &config.user_agent),
            ("upper.server", &config.upper.server),
            ("upper.proxy", &config.upper.proxy),
            ("upper.domain", &config.upper.domain),
        ] {
            if let Some(value) = value {
                check_text(field, value, MAX_FIELD)?;
            }
        }
        check_credentials(&config.credentials)?;
        check_instance(config.instance_id.as_deref())?;
        if config.expires == 0 {
            return Err(FieldError::malformed("expires", "at least 1 second; log out to remove the binding"));
        }
        let registrar = match &config.registrar {
            Some(text) => parse_uri("registrar", text)?,
            None => SipUri { user: None, ..aor_uri },
        };
        if registrar.user.is_some() || registrar.headers.is_some() {
            return Err(FieldError::malformed(
                "registrar",
                "a SIP URI without user or headers, such as sip:example.com",
            ));
        }
        let proxy = config.outbound_proxy.as_deref().map(|text| parse_uri("outbound_proxy", text)).transpose()?;
        if config.gateways.len() > MAX_GATEWAYS {
            return Err(FieldError::malformed("gateways", "at most 16 gateways"));
        }
        let mut hops = Vec::new();
        for text in &config.gateways {
            check_text("gateways", text, MAX_FIELD)?;
            hops.push(match Hop::of_websocket(text) {
                Some(hop) => hop,
                None => Hop::of(&parse_uri("gateways", text)?, config.transport),
            });
        }
        if hops.is_empty() {
            hops.push(Hop::of(proxy.as_ref().unwrap_or(&registrar), config.transport));
        }
        if registrar.secure && hops.iter().any(|hop| !hop.transport.is_secure()) {
            return Err(FieldError::new(
                "transport",
                crate::error::Rule::Conflict { conflict: "a sips: registrar is reached over TLS or WSS only" },
            ));
        }
        let route = proxy.map(|mut uri| {
            if !uri.params.has("lr") {
                uri.params.push("lr", None);
            }
            uri.to_string()
        });
        let mut registrar = registrar;
        registrar.params.remove("transport");
        let AccountConfig { registrar: stated, outbound_proxy, gateways, upper, .. } = config;
        let server = Server { registrar: stated, outbound_proxy, route, gateways, upper };
        let exact = |text: Option<String>| text.map(String::into_boxed_str);
        Ok(Self {
            aor,
            registrar: registrar.to_string().into(),
            hops: hops.into(),
            credentials: config.credentials,
            display_name: exact(config.display_name),
            auth_user: exact(config.auth_user),
            realm: exact(config.realm),
            user_agent: exact(config.user_agent),
            instance_id: exact(config.instance_id),
            server: (server != Server::default()).then(|| Box::new(server)),
            keep_alive: config.keep_alive,
            expires: config.expires,
            transport: config.transport,
            follow_observed_address: config.follow_observed_address,
            allow_cleartext_secrets: config.allow_cleartext_secrets,
            minimum_digest: config.minimum_digest,
            require_server_proof: config.require_server_proof,
            ignore_challenges_in_calls: config.ignore_challenges_in_calls,
            send_piid: config.send_piid,
            send_push_key: config.send_push_key,
            sealed_pushes_only: config.sealed_pushes_only,
        })
    }

    /// Parses the stored settings of one of our accounts. The server chose the realms of its HA1 values, so they may be
    /// empty, long or odd.
    pub(crate) fn restore(mut config: AccountConfig) -> Result<Self, FieldError> {
        let credentials = std::mem::replace(&mut config.credentials, Credentials::Ha1(Vec::new()));
        Ok(Self { credentials, ..Self::parse(config)? })
    }

    /// Returns the address of record.
    pub fn aor(&self) -> &Aor {
        &self.aor
    }

    /// Returns a configuration that this account could be parsed from.
    pub fn config(&self) -> AccountConfig {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let server = self.server.as_deref().cloned().unwrap_or_default();
        AccountConfig {
            aor: self.aor.to_string(),
            display_name: text(&self.display_name),
            auth_user: text(&self.auth_user),
            credentials: self.credentials.clone(),
            registrar: server.registrar,
            outbound_proxy: server.outbound_proxy,
            gateways: server.gateways,
            upper: server.upper,
            realm: text(&self.realm),
            transport: self.transport,
            expires: self.expires,
            user_agent: text(&self.user_agent),
            instance_id: text(&self.instance_id),
            keep_alive: self.keep_alive,
            follow_observed_address: self.follow_observed_address,
            allow_cleartext_secrets: self.allow_cleartext_secrets,
            minimum_digest: self.minimum_digest,
            require_server_proof: self.require_server_proof,
            ignore_challenges_in_calls: self.ignore_challenges_in_calls,
            send_piid: self.send_piid,
            send_push_key: self.send_push_key,
            sealed_pushes_only: self.sealed_pushes_only,
        }
    }

    /// Returns the Request-URI of a REGISTER.
    pub fn registrar(&self) -> &str {
        &self.registrar
    }

    /// Returns the outbound proxy to name in a `Route`.
    pub fn route(&self) -> Option<&str> {
        self.server.as_deref()?.route.as_deref()
    }

    /// Returns the names of the gateways as the app gave them. If there are any, they are the [`hops`](Self::hops).
    pub(crate) fn gateways(&self) -> &[String] {
        self.server.as_deref().map_or(&[], |server| &server.gateways)
    }

    /// Whether one of the [`hops`](Self::hops) has this name.
    pub(crate) fn names(&self, gateway: Option<&str>) -> bool {
        gateway.is_none_or(|gateway| self.hops.iter().any(|hop| hop.name() == gateway))
    }

    /// Returns the server behind the gateway, if the app named one.
    pub(crate) fn upper(&self) -> Option<&UpperServer> {
        self.server.as_deref().map(|server| &server.upper)
    }

    /// Returns the lifetime to ask for, in seconds.
    pub(crate) fn expires(&self) -> u32 {
        self.expires
    }

    /// Returns how often to send keep-alives on an idle flow.
    pub(crate) fn keep_alive(&self) -> Option<Duration> {
        self.keep_alive.map(|seconds| Duration::from_secs(u64::from(seconds.max(1))))
    }

    /// Returns the realm for `X-PIID`, if the app named one.
    pub(crate) fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }

    /// Returns the `User-Agent`.
    pub(crate) fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// Returns the instance id of RFC 5626.
    pub(crate) fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    /// Whether the Contact follows the address that the server saw.
    pub(crate) fn follows_observed_address(&self) -> bool {
        self.follow_observed_address
    }

    /// Whether `X-PIID` may go over a transport without TLS.
    pub(crate) fn allows_cleartext_secrets(&self) -> bool {
        self.allow_cleartext_secrets
    }

    /// Returns the weakest hash that may be used.
    pub(crate) fn minimum_digest(&self) -> Option<Algorithm> {
        self.minimum_digest
    }

    /// Whether a server must prove that it knows the password.
    pub(crate) fn requires_server_proof(&self) -> bool {
        self.require_server_proof
    }

    /// Whether challenges inside a call get no answer.
    pub(crate) fn ignores_challenges_in_calls(&self) -> bool {
        self.ignore_challenges_in_calls
    }

    /// Whether the app wants `X-PIID` to be sent. `None` if it does not say.
    pub(crate) fn send_piid(&self) -> Option<bool> {
        self.send_piid
    }

    /// Whether the key for sealed pushes goes with the REGISTER.
    pub fn sends_push_key(&self) -> bool {
        self.send_push_key
    }

    /// Whether only pushes count that the app's decryptor opened.
    pub(crate) fn believes_sealed_pushes_only(&self) -> bool {
        self.sealed_pushes_only
    }

    /// Returns the servers that a REGISTER can go to, best first. The list is never empty.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Returns the user name of the digest answer.
    pub fn auth_user(&self) -> &str {
        self.auth_user.as_deref().unwrap_or_else(|| self.aor.user())
    }

    /// Returns the credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Returns the key under which this account's state is stored: one binding per AOR and registrar.
    pub fn key(&self) -> AccountKey {
        AccountKey::of(&self.aor, &self.registrar)
    }

    /// Returns the user as a name-addr, for `From`.
    pub(crate) fn name_addr(&self) -> String {
        match &self.display_name {
            Some(name) => [&quote(name), " <", self.aor.as_str(), ">"].concat(),
            None => ["<", self.aor.as_str(), ">"].concat(),
        }
    }
}

/// Names one account of a client, the same across restarts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey([u8; KEY]);

/// The length of an [`AccountKey`], in hexadecimal digits.
const KEY: usize = 16;

impl AccountKey {
    fn of(aor: &Aor, registrar: &str) -> Self {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("{}\n{registrar}", aor.as_str()));
        Self(hex(&digest))
    }

    /// Returns the key that was shown as these 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = <[u8; KEY]>::try_from(text.as_bytes()).ok()?;
        digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(Self(digits))
    }

    /// Returns the key's 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("it holds digits only")
    }
}

#[cfg(feature = "replay")]
impl Serialize for AccountKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "replay")]
impl<'de> Deserialize<'de> for AccountKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a key has 16 hexadecimal digits"))
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountKey({:?})", self.as_str())
    }
}

impl std::fmt::Display for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn parse_uri(field: &'static str, text: &str) -> Result<SipUri, FieldError> {
    check_text(field, text, MAX_FIELD)?;
    uri_or_host(text).ok_or_else(|| FieldError::malformed(field, "a sip: or sips: URI (RFC 3261 section 19.1)"))
}

/// Reads a SIP URI, with or without its scheme.
pub(crate) fn uri_or_host(text: &str) -> Option<SipUri> {
    let text = text.trim();
    let has_scheme = text.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("sip:"))
        || text.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("sips:"));
    if has_scheme { SipUri::parse(text) } else { SipUri::parse(&format!("sip:{text}")) }
}

fn check_credentials(credentials: &Credentials) -> Result<(), FieldError> {
    match credentials {
        Credentials::Password(password) => check_text("credentials.password", password.expose(), MAX_FIELD),
        Credentials::Ha1(values) => {
            for value in values {
                check_text("credentials.realm", &value.realm, MAX_FIELD)?;
                let ha1 = value.ha1.expose();
                if ha1.len() != value.algorithm.hex_len() || !ha1.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(FieldError::malformed(
                        "credentials.ha1",
                        "hexadecimal digits as long as the algorithm's digest",
                    ));
                }
            }
            Ok(())
        }
    }
}

/// RFC 5626 4.1: a URN, with only those characters that may be between `<` and `>` inside a quoted string.
fn check_instance(instance: Option<&str>) -> Result<(), FieldError> {
    let Some(instance) = instance else { return Ok(()) };
    check_text("instance_id", instance, MAX_FIELD)?;
    let urn = instance.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"));
    if !urn || instance.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'"' | b'<' | b'>' | b'\\')) {
        return Err(FieldError::malformed("instance_id", "a URN such as urn:uuid:… (RFC 5626 section 4.1)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut AccountConfig)) -> FieldError {
        let mut config = AccountConfig::new("sip:alice@example.com", "secret");
        change(&mut config);
        Account::parse(config).expect_err("the field must be refused")
    }

    #[test]
    fn an_error_names_the_field_and_the_rule() {
        assert_eq!(refused(|c| c.aor = String::new()).to_string(), "aor: must not be empty");
        assert_eq!(refused(|c| c.user_agent = Some("a\0".into())).field, "user_agent");
        assert_eq!(refused(|c| c.gateways = vec!["sip:[::1".into()]).field, "gateways");
        assert_eq!(refused(|c| c.display_name = Some("x".repeat(256))).field, "display_name");
        assert_eq!(refused(|c| c.instance_id = Some("urn:x\">".into())).field, "instance_id");
        assert_eq!(refused(|c| c.expires = 0).field, "expires");
        assert_eq!(refused(|c| c.registrar = Some("sip:bob@example.com".into())).field, "registrar");
    }

    #[test]
    fn no_error_repeats_the_value_that_was_refused() {
        let error = refused(|c| c.credentials = Credentials::Password(crate::redact::Secret::new("hun\nter2")));
        assert_eq!(error.to_string(), "credentials.password: must not hold control characters");
    }

    #[test]
    fn a_websocket_gateway_has_a_path() {
        let hop = |text: &str| {
            let mut config = AccountConfig::new("alice@example.com", "secret");
            config.gateways = vec![text.into()];
            Account::parse(config).map(|account| account.hops()[0].clone())
        };
        let named = hop("wss://edge.example.com/sip/ws?x=1").expect("valid");
        assert_eq!((named.transport, named.port, named.path.as_deref()), (Transport::Wss, None, Some("/sip/ws?x=1")));
        let literal = hop("ws://[::1]:8080").expect("valid");
        assert_eq!((literal.to_string().as_str(), literal.path), ("[::1]:8080/ws", None));
        for wrong in ["http://a/", "wss://a/b c", "wss://u@a/", "wss:///x", "ws://a/#b", "ws://a/\"", "tcp://a"] {
            assert_eq!(hop(wrong).map_err(|error| error.field), Err("gateways"), "{wrong}");
        }
    }

    #[test]
    fn gateways_come_before_the_proxy_and_the_registrar() {
        let mut config = AccountConfig::new("alice@example.com", "secret");
        config.gateways = vec!["gw1.example.net:35060".into(), "sip:[2001:db8::1]:5070;transport=tcp".into()];
        let account = Account::parse(config).expect("valid");
        let hops: Vec<String> = account.hops().iter().map(ToString::to_string).collect();
        assert_eq!(hops, ["gw1.example.net:35060/udp", "[2001:db8::1]:5070/tcp"]);
        assert_eq!(account.registrar(), "sip:example.com");
    }

    #[test]
    fn a_sips_registrar_is_never_reached_in_the_clear() {
        let mut config = AccountConfig::new("sips:alice@example.com", "secret");
        assert_eq!(Account::parse(config.clone()).expect("valid").hops()[0].transport, Transport::Tls);
        config.gateways = vec!["sip:gw.example.net;transport=udp".into()];
        assert_eq!(Account::parse(config).expect_err("clear gateway").field, "transport");
    }

    #[test]
    fn an_outbound_proxy_becomes_a_loose_route() {
        let mut config = AccountConfig::new("alice@example.com", "secret");
        config.outbound_proxy = Some("proxy.example.com;transport=tcp".into());
        let account = Account::parse(config).expect("valid");
        assert_eq!(account.route().expect("route"), "sip:proxy.example.com;transport=tcp;lr");
        assert_eq!(account.hops()[0].transport, Transport::Tcp);
    }
}
