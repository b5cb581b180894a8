//! `sipwake doctor`: the whole life of a push binding at a live server, and what the server does wrong.

mod call;
mod dns;
mod fetch;
mod findings;
mod line;
mod product;
mod reach;
mod report;
mod transcript;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use sipwake::core::account::Account;
use sipwake::{
    AccountConfig, AccountKey, CallChange, Channel, Client, Credentials, Event, Events, Failure, Hints, MemoryStore,
    Provider, Registered, Secret, Transport,
};

use crate::server::ServerOptions;
use crate::settings::PushSettings;
use crate::{capture, say};
use call::Caller;
use dns::Dns;
use fetch::Reading;
use findings::{Facts, Finding, Weight};
use line::Line;
use reach::Tried;
use report::{Done, Report};
use transcript::{Exchange, Message, Step, Transcript, digest_param};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    push: PushSettings,
    /// Register even if other devices are registered, or if it is a Mizutech server
    #[arg(long)]
    write: bool,
    /// Place a call from a second account while the phone sleeps, and simulate its push
    #[arg(long, requires = "caller")]
    call: bool,
    /// The second account's address of record. Its password comes from SIPWAKE_CALLER_PASSWORD
    #[arg(long, value_name = "AOR", requires = "call")]
    caller: Option<String>,
    /// A second gateway of the same server. The doctor checks whether it knows the bindings of the first one
    #[arg(long, value_name = "SERVER")]
    second: Option<String>,
    /// Ask this name server (an address, with or without a port) instead of the system's
    #[arg(long, value_name = "ADDRESS")]
    dns: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write all messages into a capture file for Wireshark (pcapng), without their secrets
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Draw all messages as a ladder (SVG), without their secrets
    #[arg(long, value_name = "FILE")]
    ladder: Option<PathBuf>,
    /// Write the report as one HTML page with the ladder, without secrets
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// How long a step may take: timer F and a retry.
const PATIENCE: Duration = Duration::from_secs(45);
/// The doctor does not wait for a later retry than this.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// The caller's password.
const CALLER_PASSWORD: &str = "SIPWAKE_CALLER_PASSWORD";
/// A server that refuses a call for a sleeping phone does so within this time.
const HOLDS: Duration = Duration::from_secs(3);
/// How long after its push a call must ring.
const RINGS: Duration = Duration::from_secs(30);
/// How long after the caller gave up the phone must have stopped.
const ENDS: Duration = Duration::from_secs(10);

struct Doctor {
    options: Options,
    account: Account,
    transcript: Arc<Transcript>,
    steps: Vec<Done>,
    findings: Vec<Finding>,
    registered: Option<Registered>,
    before: Vec<String>,
    dns: Dns,
    /// The text for a chosen transport that does not work.
    other: Option<Finding>,
}

/// Returns the exit code: 0 healthy, 1 works with remarks, 2 will not ring.
pub(crate) async fn run(options: Options) -> Result<u8, String> {
    let account = Account::parse(options.server.account()?).map_err(|error| say::refused(&error))?;
    options.push.parse()?;
    let dns = Dns::new(options.dns.as_deref())?;
    let mut doctor = Doctor {
        options,
        account,
        transcript: Arc::new(Transcript::new()),
        steps: Vec::new(),
        findings: Vec::new(),
        registered: None,
        before: Vec::new(),
        dns,
        other: None,
    };
    doctor.examine().await?;
    let report = doctor.report();
    for (flag, file, page) in [
        ("--html", &doctor.options.html, Report::html as fn(&Report) -> String),
        ("--ladder", &doctor.options.ladder, Report::svg),
    ] {
        if let Some(file) = file {
            std::fs::write(file, page(&report)).map_err(|error| format!("{flag} {}: {error}", file.display()))?;
        }
    }
    if let Some(file) = &doctor.options.pcap {
        capture::write(file, &doctor.transcript.packets())?;
    }
    if doctor.options.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(report.exit_code())
}

impl Doctor {
    async fn examine(&mut self) -> Result<(), String> {
        let Some(addresses) = self.addresses().await? else { return Ok(()) };
        self.reach(&addresses).await;
        if !self.may_go_on(addresses[0]).await {
            return Ok(());
        }
        self.live().await?;
        self.transcript.begin(Step::ReadAgain);
        if let Reading::Bindings(after) = self.read(&self.account, addresses[0]).await {
            let left = after.iter().filter(|uri| !self.before.contains(uri)).count();
            if left > 0 {
                self.findings.push(findings::not_removed());
            }
            let text = format!("{left} more than before");
            self.done(Step::ReadAgain.name(), left == 0, &text);
        }
        Ok(())
    }

    /// Finds the server, and says what the DNS has for it.
    async fn addresses(&mut self) -> Result<Option<Vec<SocketAddr>>, String> {
        let hop = self.account.hops().first().cloned().ok_or("the account has no server")?;
        let (dns, host) = (self.dns.clone(), hop.host.to_string());
        // A name server may be slow.
        let asked = tokio::task::spawn_blocking(move || (dns::addresses(&dns, &hop), dns.in_words(&hop)));
        let (addresses, said) = asked.await.map_err(|error| error.to_string())?;
        if addresses.is_empty() {
            self.done("find the server", false, &said.unwrap_or_default());
            self.found("no-address", format!("{host} has no address"), "check --server and the DNS");
            return Ok(None);
        }
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let leads = said.map(|said| format!("{said}; leads to ")).unwrap_or_default();
        self.done("find the server", true, &format!("{leads}{}", shown.join(", ")));
        Ok(Some(addresses))
    }

    /// Tries each transport, and checks whether the server responds on an idle connection.
    async fn reach(&mut self, addresses: &[SocketAddr]) {
        let Some(hop) = self.account.hops().first().cloned() else { return };
        let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        let tried = reach::transports(&hop, &ips).await;
        let said = tried.iter().map(|tried| match &tried.said {
            Ok(said) => format!("{}: {said}", tried.transport.param()),
            Err(reason) => format!("{}: no ({reason})", tried.transport.param()),
        });
        let said = said.collect::<Vec<_>>().join("; ");
        let chosen = |tried: &&Tried| tried.transport == hop.transport;
        let fails = tried.iter().find(chosen).is_some_and(|tried| tried.said.is_err());
        let other = tried.iter().find(|tried| tried.said.is_ok()).filter(|_| fails);
        if let Some(other) = other {
            let what = format!(
                "the server can be reached over {}, but not over {}",
                other.transport.via(),
                hop.transport.via()
            );
            self.other =
                Some(Finding::new("another-transport", Weight::Note, what, "choose that transport with --transport"));
        }
        self.findings.extend(tried.into_iter().filter(|tried| chosen(&tried)).filter_map(|tried| tried.finding));
        if !said.is_empty() {
            self.done("transports", true, &said);
        }
        if hop.transport == Transport::Tcp
            && let Some(answered) = reach::pong(addresses[0]).await
        {
            self.done("keep-alive", true, if answered { "answered" } else { "not answered" });
            self.findings.extend((!answered).then(findings::no_pong));
        }
    }

    /// Reads another gateway's bindings after a registration at the first one.
    async fn second_gateway(&mut self) -> Result<(), String> {
        let Some(second) = self.options.second.clone() else { return Ok(()) };
        self.transcript.begin(Step::Second);
        let account = AccountConfig { gateways: vec![second.clone()], ..self.account.config() };
        let account = Account::parse(account).map_err(|error| format!("--second: {}", error.rule))?;
        let hop = account.hops().first().cloned().ok_or("--second: no server")?;
        let dns = self.dns.clone();
        let asked = tokio::task::spawn_blocking(move || dns::addresses(&dns, &hop)).await;
        let Some(to) = asked.map_err(|error| error.to_string())?.first().copied() else {
            return Err(format!("--second {second}: no address"));
        };
        let (ok, text) = match self.read(&account, to).await {
            Reading::Bindings(there) if there.iter().any(|uri| !self.before.contains(uri)) => {
                (true, "knows the binding".to_owned())
            }
            Reading::Bindings(_) => {
                self.findings.push(findings::gateways_apart());
                (true, "does not know the binding".to_owned())
            }
            other => (false, other.in_words()),
        };
        if !ok {
            let what = format!("the second gateway does not respond like the first one: {text}");
            let change = "a phone that changes to this gateway will not ring: check the gateway's user data, address and firewall";
            self.findings.push(Finding::new("second-gateway", Weight::Remark, what, change));
        }
        self.done(Step::Second.name(), ok, &text);
        Ok(())
    }

    /// Opens a line of the doctor's own: to this address or, for a transport with handshakes, as the phone does.
    async fn line(&self, account: &Account, to: SocketAddr) -> Result<Line, Reading> {
        let transport = account.hops().first().map_or(Transport::Udp, |hop| hop.transport);
        let opened = Line::open(transport, to).await.map_err(|error| Reading::Unreachable(error.to_string()))?;
        if let Some(line) = opened {
            return Ok(line);
        }
        let failed = |error| match error {
            sipwake::Error::Flow(error) => Reading::NoFlow(error),
            other => Reading::Unreachable(say::failed(other)),
        };
        let trust = self.options.server.trust().map_err(Reading::Unreachable)?;
        let network = sipwake::Options::default().trust(trust).resolver(Arc::new(self.dns.clone()));
        let (client, _) = Client::start_with(Arc::new(MemoryStore::default()), network);
        let key = client.add_account(account.config(), None).await.map_err(failed)?;
        client.open_flow(&key).await.map(Line::Flow).map_err(failed)
    }

    async fn read(&self, account: &Account, to: SocketAddr) -> Reading {
        match self.line(account, to).await {
            Ok(line) => fetch::bindings(account, line, &self.transcript).await,
            Err(reading) => reading,
        }
    }

    /// Reads the bindings, and decides whether the doctor may write.
    async fn may_go_on(&mut self, to: SocketAddr) -> bool {
        let mut reading = self.read(&self.account, to).await;
        // One more request shows whether a refusal lasts. A wrong password is not tried again.
        if matches!(reading, Reading::Answered(status) if !matches!(status, 300..=399 | 401 | 407)) {
            reading = self.read(&self.account, to).await;
        }
        let name = Step::Read.name();
        match reading {
            Reading::Bindings(bindings) => {
                let exchanges = self.transcript.exchanges();
                let mizutech = exchanges.iter().filter_map(|exchange| exchange.response.as_ref()).any(|response| {
                    let said = response.header("Server").or(response.header("User-Agent")).unwrap_or_default();
                    said.to_ascii_lowercase().contains("mizu")
                });
                self.done(name, true, &format!("{} bindings", bindings.len()));
                self.tell_challenges(&exchanges);
                let reason = match (bindings.is_empty(), mizutech) {
                    (true, false) => None,
                    (false, _) => Some("other devices are registered"),
                    (true, true) => Some(
                        "it is a Mizutech server, and a log-out there may end the pushes of the user's other devices",
                    ),
                };
                self.before = bindings;
                reason.is_none_or(|reason| self.may_write(reason))
            }
            other => {
                self.done(name, false, &other.in_words());
                if matches!(other, Reading::Silent | Reading::Unreachable(_) | Reading::NoFlow(_)) {
                    self.findings.extend(self.other.take());
                }
                match other {
                    Reading::Unreachable(reason) => {
                        self.found("unreachable", reason, "check address, port, transport and firewall");
                    }
                    Reading::NoFlow(error) => self.findings.push(findings::no_flow(&error)),
                    _ => {}
                }
                false
            }
        }
    }

    /// Reports realms and algorithms, and the realm that an `X-PIID` would be made for.
    fn tell_challenges(&mut self, exchanges: &[Exchange]) {
        let values = exchanges.iter().filter_map(|exchange| exchange.response.as_ref()).flat_map(Message::digests);
        let offers: BTreeSet<String> = values
            .filter_map(|value| {
                Some((digest_param(value, "realm")?, digest_param(value, "algorithm").unwrap_or("MD5")))
            })
            .map(|(realm, algorithm)| format!("realm \"{realm}\" with {algorithm}"))
            .collect();
        if !offers.is_empty() {
            let offers = offers.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!("{offers}; an X-PIID would be for this realm");
            self.done("challenge", true, &text);
        }
    }

    fn may_write(&mut self, reason: &str) -> bool {
        if !self.options.write {
            let what = format!("nothing was written, because {reason}");
            let change = "run it again with --write if that is fine: the doctor removes its own bindings";
            self.findings.push(Finding::new("needs-write", Weight::Remark, what, change));
        }
        self.options.write
    }

    /// Registers, registers again, changes the token, unbinds push and logs out.
    async fn live(&mut self) -> Result<(), String> {
        self.transcript.begin(Step::Register);
        let store = Arc::new(MemoryStore::default());
        let [first, second] = tokens(&self.options.push.config().provider);
        let (mut client, mut events, key) = self.start(&store).await?;
        client.set_token(&key, &first).await.map_err(say::failed)?;
        let mut result = self.bind(&client, &mut events, &key, &second).await;
        if result.is_ok() && self.registered.is_some() {
            result = self.second_gateway().await;
        }
        if self.options.call && result.is_ok() && self.registered.is_some() {
            result = match self.caller().await {
                Ok(caller) => self.call(caller, &store, &mut client, &mut events).await,
                Err(reason) => Err(reason),
            };
        }
        if result.is_ok() && self.registered.is_some() {
            result = self.unbind(&client, &mut events, &key, &second).await;
        }
        self.transcript.begin(Step::LogOut);
        let begun = Instant::now();
        client.log_out(&key).await.map_err(say::failed)?;
        let told = next(&mut events, |event| matches!(event, Event::LoggedOut { .. })).await;
        let (ok, text) = told.map_or_else(|stop| (false, stop.to_string()), |event| (true, say::event(&event)));
        self.timed(Step::LogOut, ok, &text, begun);
        client.shutdown().await;
        result
    }

    /// Starts the phone with its store.
    async fn start(&self, store: &Arc<MemoryStore>) -> Result<(Client, Events, AccountKey), String> {
        let network = sipwake::Options::default()
            .trust(self.options.server.trust()?)
            .trace(self.transcript.clone())
            .resolver(Arc::new(self.dns.clone()));
        let (client, events) = Client::start_with(store.clone(), network);
        let push = self.options.push.config();
        let key = client.add_account(self.account.config(), Some(push)).await.map_err(say::failed)?;
        Ok((client, events, key))
    }

    /// The second account's phone.
    async fn caller(&self) -> Result<Caller, String> {
        let password = std::env::var(CALLER_PASSWORD).map_err(|_| format!("--call: set {CALLER_PASSWORD}"))?;
        let config = AccountConfig {
            aor: self.options.caller.clone().unwrap_or_default(),
            credentials: Credentials::Password(Secret::new(password)),
            auth_user: None,
            ..self.account.config()
        };
        let account = Account::parse(config).map_err(|error| format!("--caller: {}", error.rule))?;
        let hop = account.hops().first().ok_or("--caller: no server")?;
        let server = *dns::addresses(&self.dns, hop).first().ok_or("--caller: no address")?;
        let line = self.line(&account, server).await;
        let line = line.map_err(|reading| format!("the caller: {}", reading.in_words()))?;
        Ok(Caller::new(account, self.account.aor().as_str(), line))
    }

    /// Calls the sleeping phone, wakes it, and gives up once it rings.
    async fn call(
        &mut self,
        mut caller: Caller,
        store: &Arc<MemoryStore>,
        client: &mut Client,
        events: &mut Events,
    ) -> Result<(), String> {
        self.transcript.begin(Step::Call);
        client.shutdown().await;
        let begun = Instant::now();
        let held = caller.is_held(HOLDS).await;
        // The phone must log out, however the call ended.
        (*client, *events, _) = self.start(store).await?;
        let status = held?;
        let to = self.account.aor().as_str().to_owned();
        if let Some(refused) = status {
            self.timed(Step::Call, false, &format!("the caller got {refused} at once"), begun);
            self.findings.push(call::not_held(refused));
            return Ok(());
        }
        let pushed = Instant::now();
        let name = to.split_once(':').map_or(to.as_str(), |(_, rest)| rest).split('@').next().unwrap_or_default();
        let payload = json!({"ntype": "0", "nfrom": caller.user(), "ntouser": name, "ncallid": caller.call_id()});
        let channel =
            if self.options.push.config().provider == Provider::Apns { Channel::PushKit } else { Channel::FcmAndroid };
        client.push(payload.to_string().as_bytes(), channel, &Hints::at(sipwake::now()));
        let rings =
            |event: &Event| matches!(event, Event::Call(call) if matches!(call.change, CallChange::Ringing { .. }));
        let mut answered = None;
        let told = tokio::select! {
            told = tokio::time::timeout(RINGS, next(events, rings)) => told.ok(),
            refused = caller.last() => {
                answered = refused.ok();
                None
            }
        };
        let Some(Ok(_)) = told else {
            let how = answered.map_or_else(|| "nothing came".to_owned(), |status| format!("the caller got {status}"));
            self.timed(Step::Call, false, &format!("the phone did not ring: {how}"), begun);
            self.findings.push(answered.filter(|status| *status < 300).map_or_else(call::lost, call::not_held));
            return caller.cancel().await;
        };
        let after = pushed.elapsed().as_millis();
        for passed in self.transcript.passed().iter().filter(|passed| passed.step == Step::Call && !passed.sent) {
            let invite = Message::parse(&passed.text);
            let to = invite.header("To").filter(|_| invite.first.starts_with("INVITE "));
            let of = to.and_then(|to| to.split_once(':')?.1.split(['@', '>', ';']).next());
            if let Some(of) = of.filter(|of| *of != name) {
                self.findings.push(call::alias(of));
            }
        }
        caller.cancel().await?;
        let over = |event: &Event| matches!(event, Event::Call(call) if matches!(call.change, CallChange::Ended(_)));
        let ended = matches!(tokio::time::timeout(ENDS, next(events, over)).await, Ok(Ok(_)));
        if !ended {
            self.findings.push(call::goes_on_ringing());
        }
        let text = format!(
            "rings {after} ms after its push{}",
            if ended { ", and stops when the caller gives up" } else { "" }
        );
        self.timed(Step::Call, ended, &text, begun);
        Ok(())
    }

    async fn bind(
        &mut self,
        client: &Client,
        events: &mut Events,
        key: &AccountKey,
        second: &str,
    ) -> Result<(), String> {
        for step in [Step::Register, Step::Refresh, Step::Rotate] {
            self.transcript.begin(step);
            let begun = Instant::now();
            let rotates = step == Step::Rotate;
            if rotates {
                client.set_token(key, second).await.map_err(say::failed)?;
            } else {
                client.register(key).await.map_err(say::failed)?;
            }
            let new =
                |registered: &Registered| registered.token.as_ref().is_some_and(|token| token.call() == Some(second));
            let wanted = |event: &Event| matches!(event, Event::Registered { registered, .. } if !rotates || new(registered) || registered.token.is_none());
            match next(events, wanted).await {
                Ok(Event::Registered { registered, .. }) => {
                    let asked = self.transcript.exchanges().iter().filter(|exchange| exchange.step == step).count();
                    let trips = if asked == 1 { "one round trip".to_owned() } else { format!("{asked} round trips") };
                    let text =
                        format!("{trips}, for {} s; {}", registered.expires.as_secs(), registered.verdict.text());
                    self.timed(step, true, &text, begun);
                    // A refused push stays refused in later responses, and the first response says more.
                    self.registered.get_or_insert(registered);
                }
                Ok(_) => {}
                Err(stop) => {
                    self.timed(step, false, &stop.to_string(), begun);
                    if let Stop::Failed(Failure::Flow(error)) = &stop {
                        self.findings.push(findings::no_flow(error));
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Unbinds push, as for a user who turns calls off and stays registered. Then binds it again, so that the log-out has a
    /// binding to remove.
    async fn unbind(
        &mut self,
        client: &Client,
        events: &mut Events,
        key: &AccountKey,
        token: &str,
    ) -> Result<(), String> {
        self.transcript.begin(Step::Unbind);
        let begun = Instant::now();
        client.unbind_push(key).await.map_err(say::failed)?;
        let mut result = next(events, registered_with(None)).await.map(drop);
        if result.is_ok() {
            client.set_token(key, token).await.map_err(say::failed)?;
            result = next(events, registered_with(Some(token))).await.map(drop);
        }
        let text = result.map_or_else(|stop| stop.to_string(), |()| String::new());
        if text.is_empty() {
            self.timed(Step::Unbind, true, "registered without push, then with push again", begun);
        } else {
            self.findings.push(findings::unbind_refused(&text));
            self.timed(Step::Unbind, false, &text, begun);
        }
        Ok(())
    }

    fn found(&mut self, code: &'static str, what: String, change: &'static str) {
        self.findings.push(Finding::new(code, Weight::Fatal, what, change));
    }

    fn timed(&mut self, step: Step, ok: bool, text: &str, begun: Instant) {
        self.done(step.name(), ok, &format!("{text} ({} ms)", begun.elapsed().as_millis()));
    }

    fn done(&mut self, name: &'static str, ok: bool, text: &str) {
        if !self.options.json {
            println!("{} {name}: {text}", if ok { "ok  " } else { "FAIL" });
        }
        self.steps.push(Done { name, ok, text: text.to_owned() });
    }

    fn report(&mut self) -> Report {
        // The other gateway has its own finding.
        let of_first = |exchange: &Exchange| exchange.step != Step::Second;
        let exchanges: Vec<Exchange> = self.transcript.exchanges().into_iter().filter(of_first).collect();
        let hop = self.account.hops().first();
        let server = hop.map(|hop| format!("{}:{}", hop.host, hop.port.unwrap_or(hop.transport.default_port())));
        let domain = self.account.aor().as_str().split_once('@').map(|(_, domain)| domain.to_owned());
        let hosts: Vec<String> = hop.map(|hop| hop.host.to_string()).into_iter().chain(domain).collect();
        let facts = Facts {
            exchanges: &exchanges,
            registered: self.registered.as_ref(),
            server: server.as_deref().unwrap_or_default(),
            hosts: &hosts,
            connected: hop.is_some_and(|hop| hop.transport.is_reliable()),
            tokens: [OLD, NEW],
            expires: self.options.server.expires,
        };
        // That the line broke says more than that no response came over it.
        let broke = self.findings.iter().any(|finding| findings::NO_WAY.contains(&finding.code));
        for finding in findings::find(&facts).into_iter().filter(|finding| !broke || finding.code != "silent") {
            if !self.findings.iter().any(|known| known.code == finding.code) {
                self.findings.push(finding);
            }
        }
        let product = product::of(&exchanges);
        if let Some((_, known)) = product.as_ref() {
            product::advise(*known, &mut self.findings);
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
        let failed = self.steps.iter().any(|done| !done.ok);
        if failed && self.findings.iter().all(|finding| finding.weight == Weight::Note) {
            let step = self
                .steps
                .iter()
                .find(|done| !done.ok)
                .map_or(String::new(), |done| format!("{}: {}", done.name, done.text));
            self.found("failed", step, "see the messages: register --trace, or --html");
        }
        Report {
            aor: self.account.aor().as_str().to_owned(),
            server: server.unwrap_or_default(),
            product: product.map(|(said, _)| said),
            steps: self.steps.clone(),
            findings: self.findings.clone(),
            passed: self.transcript.passed(),
        }
    }
}

/// The end of the first token.
const OLD: &str = "0001";
/// The end of the second one.
const NEW: &str = "0002";

/// Returns two tokens of a provider's form that no device has, as long as the longest real ones.
fn tokens(provider: &Provider) -> [String; 2] {
    let token = |end: &str| match provider {
        Provider::Apns => format!("{}{end}", "d0".repeat(30)),
        Provider::WebPush => format!("https://doctor.invalid/{}{end}", "x".repeat(150)),
        Provider::Fcm | Provider::FcmOnIos | Provider::Other(_) => format!("sipwake-doctor:{}{end}", "A".repeat(185)),
    };
    [token(OLD), token(NEW)]
}

/// Why the doctor stopped waiting for a step.
enum Stop {
    Failed(Failure),
    TookTooLong,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::TookTooLong => f.write_str("the server did not respond in time"),
        }
    }
}

/// A registration with this token, or without push.
fn registered_with(token: Option<&str>) -> impl Fn(&Event) -> bool {
    move |event| match event {
        Event::Registered { registered, .. } => registered.token.as_ref().and_then(|own| own.call()) == token,
        _ => false,
    }
}

/// Waits for an event. If a failure is soon retried, waits once for the retry.
async fn next(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Result<Event, Stop> {
    let search = async {
        let mut failures = 0;
        while let Some(event) = events.next().await {
            match &event {
                event if wanted(event) => {}
                Event::RegistrationFailed { failure, retry_in, .. } => {
                    failures += 1;
                    if failures > 1 || retry_in.is_none_or(|pause| pause > LONGEST_RETRY) {
                        return Err(Stop::Failed(failure.clone()));
                    }
                    continue;
                }
                _ => continue,
            }
            return Ok(event);
        }
        Err(Stop::TookTooLong)
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or(Err(Stop::TookTooLong))
}
