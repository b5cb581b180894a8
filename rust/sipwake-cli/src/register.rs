//! `sipwake register`: against any server, by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use sipwake::core::account::Account;
use sipwake::core::snapshot::binding_key;
use sipwake::{AccountKey, Client, Event, Events, FileStore, MemoryStore, Push, Registered, StateStore, Trace};

use crate::capture::{self, Capture};
use crate::ladder::{self, Rung};
use crate::server::ServerOptions;
use crate::settings::{self, PushSettings};
use crate::{say, verdict};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: ServerOptions,
    /// The device token
    #[arg(long)]
    token: Option<String>,
    #[command(flatten)]
    push: PushSettings,
    /// Keep the binding's state in this folder, as an app would. Without it, nothing is kept
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Ask which push providers the server supports (RFC 8599 section 4.1.5)
    #[arg(long)]
    query: bool,
    /// Log out, wait for the response, and end. This removes the binding from --state-dir, or the one with --token
    #[arg(long, conflicts_with = "query")]
    log_out: bool,
    /// End after the first response
    #[arg(long)]
    once: bool,
    /// Print every message, without its secrets
    #[arg(long)]
    trace: bool,
    /// Write every message into a capture file for Wireshark (pcapng), without its secrets
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Draw every message into this SVG file, as a ladder
    #[arg(long, value_name = "FILE")]
    ladder: Option<PathBuf>,
    /// Record the core's input in this file, for sipwake replay. It holds no secrets, but callers and callees
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The largest recording, in bytes. A longer one ends early.
const MOST_RECORDED: usize = 4 << 20;
/// How long to wait for a response: a little more than timer F.
const PATIENCE: Duration = Duration::from_secs(35);

/// Counts the REGISTERs, and prints every message if the user wants that.
struct Wire {
    prints: bool,
    capture: Capture,
    registers: AtomicUsize,
}

impl Trace for Wire {
    fn message(&self, sent: bool, flow: u64, text: &str) {
        if sent && text.starts_with("REGISTER ") {
            self.registers.fetch_add(1, Ordering::Relaxed);
        }
        self.capture.message(sent, flow, text);
        if self.prints {
            println!("{} flow {flow}", if sent { ">>>" } else { "<<<" });
            for line in text.lines() {
                println!("    {line}");
            }
        }
    }
}

/// A client with its one account.
struct Session {
    options: Options,
    client: Client,
    events: Events,
    account: AccountKey,
    /// An earlier process has registered this account.
    known: bool,
    wire: Arc<Wire>,
}

pub(crate) async fn run(options: Options) -> Result<(), String> {
    if options.log_out && options.token.is_none() && options.state_dir.is_none() {
        return Err("--log-out: never registered from here, so what is bound is not known and nothing was removed; \
                    give --token (what was bound) or --state-dir (where it is remembered)"
            .to_owned());
    }
    let push = Push::parse(options.push.config()).map_err(|error| say::refused(&error))?;
    settings::token(&push, "--token", options.token.as_deref(), None)?;
    let mut session = Session::start(options).await?;
    let result = session.run().await;
    session.record().await?;
    session.client.shutdown().await;
    session.export()?;
    result
}

impl Session {
    async fn start(options: Options) -> Result<Self, String> {
        let config = options.server.account()?;
        let key = Account::parse(config.clone()).map_err(|error| say::refused(&error))?.key();
        let trust = options.server.trust()?;
        let store: Arc<dyn StateStore> = match &options.state_dir {
            Some(folder) => {
                Arc::new(FileStore::open(folder).map_err(|error| format!("--state-dir {}: {error}", folder.display()))?)
            }
            None => Arc::new(MemoryStore::default()),
        };
        let known = store.load(&binding_key(&key)).map_err(|error| error.to_string())?.is_some();
        let wire =
            Arc::new(Wire { prints: options.trace, capture: Capture::default(), registers: AtomicUsize::new(0) });
        let mut network = sipwake::Options::default().trust(trust).trace(wire.clone());
        if options.record.is_some() {
            network = network.record_for_replay(MOST_RECORDED);
        }
        let (client, events) = Client::start_with(store, network);
        let wants_push = options.token.is_some() || options.query || options.log_out;
        let push = wants_push.then(|| options.push.config());
        let account = client.add_account(config, push).await.map_err(say::failed)?;
        // A stored binding names its own token. The client would bind another one first.
        let remembers = options.log_out && options.state_dir.is_some();
        if let Some(token) = options.token.as_ref().filter(|_| !remembers) {
            client.set_token(&account, token).await.map_err(say::failed)?;
        }
        Ok(Self { options, client, events, account, known, wire })
    }

    async fn run(&mut self) -> Result<(), String> {
        if self.options.log_out {
            return self.log_out().await;
        }
        if self.options.query {
            self.client.query_push(&self.account, None).await.map_err(say::failed)?;
            self.outcome(|event| matches!(event, Event::Capabilities { .. })).await?;
            if self.options.once && self.options.token.is_none() && !self.known {
                return self.forget_query().await;
            }
        }
        self.client.register(&self.account).await.map_err(say::failed)?;
        self.outcome(|event| matches!(event, Event::Registered { .. })).await?;
        if self.options.token.is_some() {
            self.options.push.tell_assumed_package();
        }
        if self.options.once {
            return Ok(());
        }
        self.say("waiting for calls and messages; Ctrl-C ends this and leaves the binding as it is");
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(()),
                event = self.events.next() => match event {
                    Some(event) => self.say(&say::event(&event)),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Writes the recording, if the user wants one.
    async fn record(&self) -> Result<(), String> {
        let Some(file) = &self.options.record else { return Ok(()) };
        let recorded = self.client.recording().await.map_err(say::failed)?.unwrap_or_default();
        std::fs::write(file, recorded).map_err(|error| format!("--record {}: {error}", file.display()))
    }

    /// Writes the messages that passed, if the user wants that.
    fn export(&self) -> Result<(), String> {
        let packets = self.wire.capture.packets();
        if let Some(file) = &self.options.pcap {
            capture::write(file, &packets)?;
        }
        let Some(file) = &self.options.ladder else { return Ok(()) };
        let begun = packets.first().map_or(Duration::ZERO, |packet| packet.at);
        let rungs = packets
            .iter()
            .map(|packet| Rung::new(packet.at.saturating_sub(begun), packet.sent, &packet.text))
            .collect();
        let steps = [ladder::Step { what: self.options.server.aor.clone(), rungs }];
        std::fs::write(file, ladder::svg(&steps)).map_err(|error| format!("{}: {error}", file.display()))
    }

    async fn log_out(&mut self) -> Result<(), String> {
        let takes_over = self.options.state_dir.is_none();
        if takes_over {
            // No record says which Contact was bound. The client removes the ones that the server lists with the token.
            self.client.assume_bound(&self.account).await.map_err(say::failed)?;
        }
        self.client.log_out(&self.account).await.map_err(say::failed)?;
        let told = self.next(|event| matches!(event, Event::LoggedOut { .. })).await;
        let event = told.map_err(|reason| match &self.options.state_dir {
            Some(folder) => format!(
                "{reason}; the log-out is stored in {}, and every start of sipwake with this --state-dir tries it again",
                folder.display()
            ),
            None => format!("{reason}; the log-out is not proven, and nothing is stored without --state-dir"),
        })?;
        let asked = self.wire.registers.load(Ordering::Relaxed) > 0;
        let mut text = say::event(&event);
        text.push_str(match (asked, takes_over) {
            (false, _) => {
                "; no request was sent: the log-out was done before, or nothing was ever registered with this --state-dir"
            }
            (true, true) => {
                "; the server accepted the removal. A binding of the same token from another address may still exist"
            }
            (true, false) => "; the server accepted the removal",
        });
        self.say(&text);
        Ok(())
    }

    /// Removes the binding that servers such as OpenSIPS leave behind after a query.
    async fn forget_query(&mut self) -> Result<(), String> {
        self.client.log_out(&self.account).await.map_err(say::failed)?;
        let told = self.next(|event| matches!(event, Event::LoggedOut { .. })).await;
        told.map(drop).map_err(|reason| format!("{reason}; the query may have left a binding behind"))
    }

    /// Waits for an outcome and prints it.
    async fn outcome(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<(), String> {
        match self.next(wanted).await? {
            Event::Registered { registered, .. } => show(&registered, self.options.json),
            event => self.say(&say::event(&event)),
        }
        Ok(())
    }

    /// Waits for an event and prints all others. If nothing follows a failure, or if the command is to end, a failure
    /// ends the wait.
    async fn next(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<Event, String> {
        let ends = self.options.once || self.options.log_out;
        let search = async {
            while let Some(event) = self.events.next().await {
                match &event {
                    event if wanted(event) => {}
                    Event::RegistrationFailed { failure, retry_in, .. } if ends || retry_in.is_none() => {
                        return Err(failure.to_string());
                    }
                    other => {
                        say_in(self.options.json, &say::event(other));
                        continue;
                    }
                }
                return Ok(event);
            }
            Err("the client was shut down".to_owned())
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| Err("the server did not respond".to_owned()))
    }

    fn say(&self, text: &str) {
        say_in(self.options.json, text);
    }
}

fn say_in(json: bool, text: &str) {
    if json {
        println!("{}", json!({"said": text}));
    } else {
        println!("{text}");
    }
}

fn show(registered: &Registered, json: bool) {
    if json {
        let line = json!({
            "expires": registered.expires.as_secs(),
            "verdict": registered.verdict,
            "observed": registered.observed.map(|address| address.to_string()),
        });
        println!("{line}");
        return;
    }
    println!("registered for {} s", registered.expires.as_secs());
    verdict::show(&registered.verdict);
    if let Some(address) = registered.observed {
        println!("the server sees us as {address}");
    }
}
