//! `sipwake register`: against any server, by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sipwake::core::account::Account;
use sipwake::core::redact::Secret;
use sipwake::core::snapshot::binding_key;
use sipwake::{
    AccountConfig, Client, Credentials, Event, Events, FileStore, MemoryStore, Registered, SpkiPin, StateStore, Trace,
    Transport, Trust,
};

use crate::settings::PushSettings;

#[derive(Args)]
pub(crate) struct Options {
    /// The address of record, such as sip:alice@example.com
    #[arg(long)]
    aor: String,
    /// The password; better in the environment, where no process list shows it
    #[arg(long, env = "SIPWAKE_PASSWORD", hide_env_values = true)]
    password: String,
    /// Where to send the REGISTER, host[:port] or a SIP URI, if it is not the AOR's domain
    #[arg(long)]
    server: Option<String>,
    /// The transport
    #[arg(long, value_enum, default_value = "udp")]
    transport: TransportName,
    /// The path of a WebSocket server
    #[arg(long, default_value = "/")]
    path: String,
    /// Trust the authorities in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Demand that the server's key is this one, sha256/BASE64; may be given again
    #[arg(long)]
    pin: Vec<String>,
    /// A certificate to show to the server, PEM; with --client-key
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// The user name of the digest answer, if it differs from the AOR's
    #[arg(long)]
    auth_user: Option<String>,
    /// The lifetime to ask for, in seconds
    #[arg(long, default_value_t = 3600)]
    expires: u32,
    /// The device token
    #[arg(long)]
    token: Option<String>,
    #[command(flatten)]
    push: PushSettings,
    /// Let X-PIID, which is as good as the password, leave over UDP or TCP
    #[arg(long)]
    allow_cleartext_secrets: bool,
    /// Keep the binding's state here, as an app would; without it, nothing is kept
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Ask which push providers the server supports (RFC 8599 section 4.1.3)
    #[arg(long)]
    query: bool,
    /// Log out, wait for the server's confirmation, and end
    #[arg(long)]
    log_out: bool,
    /// End after the first answer
    #[arg(long)]
    once: bool,
    /// Print every message, without its secrets
    #[arg(long)]
    trace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportName {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

/// How long an answer is waited for: a little more than timer F.
const PATIENCE: Duration = Duration::from_secs(35);

struct Printer;

impl Trace for Printer {
    fn message(&self, sent: bool, flow: u64, text: &str) {
        println!("{} flow {flow}", if sent { ">>>" } else { "<<<" });
        for line in text.lines() {
            println!("    {line}");
        }
    }
}

pub(crate) async fn run(options: Options) -> Result<(), String> {
    let store: Arc<dyn StateStore> = match &options.state_dir {
        Some(folder) => Arc::new(FileStore::open(folder).map_err(|error| format!("{}: {error}", folder.display()))?),
        None => Arc::new(MemoryStore::default()),
    };
    let key = Account::parse(options.account()).map_err(|error| error.to_string())?.key();
    let known = store.load(&binding_key(&key)).map_err(|error| error.to_string())?.is_some();
    let mut network = sipwake::Options::default().trust(options.trust()?);
    if options.trace {
        network = network.trace(Arc::new(Printer));
    }
    let (client, mut events) = Client::start_with(store, network);
    let wants_push = options.token.is_some() || options.query || options.log_out;
    let account = client
        .add_account(options.account(), wants_push.then(|| options.push.config()))
        .await
        .map_err(|error| error.to_string())?;
    let failed = |error: sipwake::Error| error.to_string();
    if let Some(token) = &options.token {
        client.set_token(&account, token).await.map_err(failed)?;
    }
    if options.query {
        let provider = None;
        client.query_push(&account, provider).await.map_err(failed)?;
    }
    // Without a memory of it there is nothing to be removed: the binding is made ours first.
    if !options.log_out || !known {
        client.register(&account).await.map_err(failed)?;
        first_outcome(&mut events, &options).await?;
    }
    if options.log_out {
        client.log_out(&account).await.map_err(failed)?;
        first_outcome(&mut events, &options).await?;
    }
    if options.once || options.log_out {
        client.shutdown().await;
        return Ok(());
    }
    println!("waiting for calls and messages; Ctrl-C ends this and leaves the binding as it is");
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            event = events.next() => match event {
                Some(event) => println!("{event:?}"),
                None => return Ok(()),
            },
        }
    }
}

async fn first_outcome(events: &mut Events, options: &Options) -> Result<(), String> {
    let outcome = tokio::time::timeout(PATIENCE, follow(events, options)).await;
    outcome.unwrap_or_else(|_| Err("the server did not answer".into()))
}

/// Waits for the first outcome and prints it.
async fn follow(events: &mut Events, options: &Options) -> Result<(), String> {
    while let Some(event) = events.next().await {
        match event {
            Event::Registered { registered, .. } => {
                show(&registered, options.json);
                return Ok(());
            }
            Event::LoggedOut { aor, .. } => {
                if options.json {
                    println!("{}", serde_json::json!({"logged_out": aor}));
                } else {
                    println!("{aor}: logged out, the server has confirmed it");
                }
                return Ok(());
            }
            Event::RegistrationFailed { failure, retry_in, .. } => {
                if options.once || options.log_out || retry_in.is_none() {
                    return Err(failure.to_string());
                }
                println!("{failure}; trying again in {} s", retry_in.unwrap_or_default().as_secs());
            }
            Event::Capabilities { status, providers, .. } => {
                println!(
                    "push providers ({status}): {}",
                    if providers.is_empty() { "none named".into() } else { providers.join(", ") }
                );
            }
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

fn show(registered: &Registered, json: bool) {
    if json {
        let line = serde_json::json!({
            "expires": registered.expires.as_secs(),
            "verdict": registered.verdict,
            "observed": registered.observed.map(|address| address.to_string()),
        });
        println!("{line}");
        return;
    }
    println!("registered for {} s", registered.expires.as_secs());
    let verdict = &registered.verdict;
    println!("push: {:?}: {}", verdict.standing, verdict.text());
    if verdict.piid_withheld {
        println!("X-PIID was left out: the transport can be read by others (--allow-cleartext-secrets sends it)");
    }
    if let Some(address) = registered.observed {
        println!("the server sees us as {address}");
    }
}

impl Options {
    fn trust(&self) -> Result<Trust, String> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let mut trust = Trust::default();
        if let Some(path) = &self.ca {
            trust = trust.only_authorities(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        for pin in &self.pin {
            trust = trust.pin(SpkiPin::parse(pin).map_err(|error| error.to_string())?);
        }
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            trust = trust.client_certificate(&read(certificate)?, &read(key)?).map_err(|error| error.to_string())?;
        }
        Ok(trust)
    }

    /// Where to connect to: a WebSocket server is named as a whole, with its path.
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

    fn account(&self) -> AccountConfig {
        let mut account = AccountConfig::new(&self.aor, "");
        account.credentials = Credentials::Password(Secret::new(&self.password));
        account.auth_user.clone_from(&self.auth_user);
        account.gateways = self.gateway().into_iter().collect();
        account.expires = self.expires;
        account.allow_cleartext_secrets = self.allow_cleartext_secrets;
        account.user_agent = Some(concat!("sipwake/", env!("CARGO_PKG_VERSION")).to_owned());
        account.transport = Some(match self.transport {
            TransportName::Udp => Transport::Udp,
            TransportName::Tcp => Transport::Tcp,
            TransportName::Tls => Transport::Tls,
            TransportName::Ws => Transport::Ws,
            TransportName::Wss => Transport::Wss,
        });
        account
    }
}
