//! The account and how to reach its server, for every command that needs one.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sipwake::core::redact::Secret;
use sipwake::{AccountConfig, Credentials, SpkiPin, Transport, Trust};

use crate::input;

/// The source of the password if no flag gives it.
const PASSWORD_VARIABLE: &str = "SIPWAKE_PASSWORD";

/// The account, and how to reach its server.
#[derive(Args)]
pub(crate) struct ServerOptions {
    /// The address of record, such as sip:alice@example.com
    #[arg(long)]
    pub(crate) aor: String,
    /// The password. The process list shows it, so use SIPWAKE_PASSWORD or --password-file instead
    #[arg(long, conflicts_with = "password_file")]
    password: Option<String>,
    /// A file whose first line is the password, or - for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
    /// Where to send the REGISTER (a host, host:port or SIP URI), if it is not the AOR's domain
    #[arg(long)]
    server: Option<String>,
    /// The transport
    #[arg(long, value_enum, default_value = "udp")]
    pub(crate) transport: TransportName,
    /// The path of a WebSocket server
    #[arg(long, default_value = "/")]
    path: String,
    /// Trust only the authorities in this PEM file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Require this key from the server, sha256/BASE64. You can give it several times
    #[arg(long)]
    pin: Vec<String>,
    /// A client certificate for the server, PEM. It needs --client-key
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// The user name for the digest, if it differs from the AOR's
    #[arg(long)]
    auth_user: Option<String>,
    /// The lifetime to ask for, in seconds
    #[arg(long, default_value_t = 3600)]
    pub(crate) expires: u32,
    /// Send X-PIID to a Mizutech server. It works like the password
    #[arg(long)]
    piid: bool,
    /// Send X-PIID even over UDP or TCP, where others can read it
    #[arg(long)]
    allow_cleartext_secrets: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TransportName {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Udp => Self::Udp,
            TransportName::Tcp => Self::Tcp,
            TransportName::Tls => Self::Tls,
            TransportName::Ws => Self::Ws,
            TransportName::Wss => Self::Wss,
        }
    }
}

impl ServerOptions {
    /// Returns what to trust.
    pub(crate) fn trust(&self) -> Result<Trust, String> {
        let read = |flag: &str, path: &PathBuf| {
            std::fs::read(path).map_err(|error| format!("{flag} {}: {error}", path.display()))
        };
        let mut trust = Trust::default();
        if let Some(path) = &self.ca {
            let authorities = read("--ca", path)?;
            trust =
                trust.only_authorities(&authorities).map_err(|error| format!("--ca {}: {error}", path.display()))?;
        }
        for pin in &self.pin {
            trust = trust.pin(SpkiPin::parse(pin).map_err(|error| format!("--pin {pin}: {error}"))?);
        }
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            let (certificate, key) = (read("--client-certificate", certificate)?, read("--client-key", key)?);
            let shown = trust.client_certificate(&certificate, &key);
            trust = shown.map_err(|error| format!("--client-certificate and --client-key: {error}"))?;
        }
        Ok(trust)
    }

    /// Returns the account, with its password.
    pub(crate) fn account(&self) -> Result<AccountConfig, String> {
        if !self.path.starts_with('/') || !self.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("--path: must begin with / and have no spaces".to_owned());
        }
        let mut account = AccountConfig::new(&self.aor, "");
        account.credentials = Credentials::Password(self.password()?);
        account.auth_user.clone_from(&self.auth_user);
        account.gateways = self.gateway().into_iter().collect();
        account.expires = self.expires;
        account.allow_cleartext_secrets = self.allow_cleartext_secrets;
        account.send_piid = (self.piid || self.allow_cleartext_secrets).then_some(true);
        account.user_agent = Some(concat!("sipwake/", env!("CARGO_PKG_VERSION")).to_owned());
        account.transport = Some(self.transport.into());
        Ok(account)
    }

    fn password(&self) -> Result<Secret, String> {
        if let Some(password) = &self.password {
            crate::note(&format!(
                "--password can be read in the process list; {PASSWORD_VARIABLE} or --password-file keeps it out"
            ));
            return Ok(Secret::new(password));
        }
        if let Some(file) = &self.password_file {
            let bytes = input::read(file).map_err(|error| format!("--password-file {error}"))?;
            let text = String::from_utf8(bytes).map_err(|_| format!("--password-file {file}: not UTF-8"))?;
            return Ok(Secret::new(text.lines().next().unwrap_or_default()));
        }
        let missing =
            |_| format!("no password: set {PASSWORD_VARIABLE}, or use --password-file FILE (- for standard input)");
        std::env::var(PASSWORD_VARIABLE).map(Secret::new).map_err(missing)
    }

    /// Returns the address to connect to. A WebSocket server is a whole URI with its path.
    fn gateway(&self) -> Option<String> {
        let scheme = match self.transport {
            TransportName::Ws => "ws",
            TransportName::Wss => "wss",
            TransportName::Udp | TransportName::Tcp | TransportName::Tls => return self.server.clone(),
        };
        let server = self.server.as_deref().or(self.aor.split_once('@').map(|(_, domain)| domain))?;
        let named = server.contains("://");
        Some(if named { server.to_owned() } else { format!("{scheme}://{server}{}", self.path) })
    }
}
