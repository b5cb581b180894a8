//! Tests of sipwake against the mock gateway, over real sockets on loopback.
//!
//! A [`Stage`] is one server and one device. An [`App`] is one life of the app on it, from its start until the system kills
//! it (drop it). When a stage is dropped, it checks that the server saw no violation and that no output held a secret, so no
//! test can forget that.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a test's helper fails by panicking")]

pub mod leaks;
pub mod peer;
pub mod proxy;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use mock_gateway::{BindingView, Config, Direction, Entry, Message, MockGateway, Profile, PushStream};
use sipwake::core::payload::Priority;
use sipwake::{
    AccountConfig, AccountKey, CallChange, Channel, Client, Dialect, Dialects, Event, Events, Failure, FileStore,
    Hints, PortSipHeader, Provider, PushAction, PushConfig, Registered, StateStore, Transport, Uuid,
};
use tempfile::TempDir;

/// The user that every stage knows.
pub const USER: &str = "alice";
/// The password of [`USER`].
pub const PASSWORD: &str = "wonderland-7-Qx";
/// A token.
pub const TOKEN: &str = "c-10-ap_Kt0:APA91bFirstTokenOfThisPhone0001";
/// Another token of the same phone.
pub const SECOND_TOKEN: &str = "c-10-ap_Kt0:APA91bSecondTokenOfThisPhone02";
/// How long each step may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Makes two tests of each function: one over UDP, one over TCP.
#[macro_export]
macro_rules! over_udp_and_tcp {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod over_udp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] $(#[$attribute])*
            async fn $name() { super::$name(sipwake::Transport::Udp).await })*
        }
        mod over_tcp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] $(#[$attribute])*
            async fn $name() { super::$name(sipwake::Transport::Tcp).await })*
        }
    };
}

/// One server and one device.
pub struct Stage {
    /// The server.
    pub gateway: MockGateway,
    /// What the push service delivers.
    pub pushes: PushStream,
    /// How the device reaches the server.
    pub transport: Transport,
    profile: String,
    folder: TempDir,
    /// How many lines there were before this stage began.
    said_before: usize,
}

impl Stage {
    /// Starts a server of this kind on a free port.
    pub async fn new(profile: &str, transport: Transport) -> Self {
        Self::with(Config::new(named(profile)), transport).await
    }

    /// Starts a server with this configuration and adds [`USER`] to it.
    pub async fn with(config: Config, transport: Transport) -> Self {
        leaks::Listener::install();
        let said_before = leaks::lines().len();
        let profile = config.profile.name.clone();
        let gateway = MockGateway::start(config.user(USER, PASSWORD)).await.expect("loopback is there");
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { pushes: gateway.pushes(None), gateway, transport, profile, folder, said_before }
    }

    /// Returns the settings of [`USER`]'s account.
    pub fn account(&self) -> AccountConfig {
        let mut account = AccountConfig::new(format!("sip:{USER}@mock.example"), PASSWORD);
        account.gateways = vec![self.gateway.addr().to_string()];
        account.transport = Some(self.transport);
        account
    }

    /// Returns push settings that this kind of server understands.
    pub fn push(&self) -> PushConfig {
        let mut push = PushConfig::new(Provider::Fcm, "com.example.app");
        if self.profile == "portsip" {
            push.dialects = Dialects::Only(vec![Dialect::PortSip(PortSipHeader::XPush)]);
        }
        push
    }

    /// Returns the device's store, which outlives each life of the app.
    pub fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(FileStore::open(self.folder.path()).expect("the folder is ours"))
    }

    /// Starts the app with [`USER`]'s account.
    pub async fn app(&self) -> App {
        App::start(self.store(), self.account(), Some(self.push())).await
    }

    /// Starts the app, gives it a token, and registers.
    pub async fn registered_app(&self, token: &str) -> (App, Registered) {
        let mut app = self.app().await;
        app.client.set_token(&app.account, token).await.expect("a good token");
        let registered = app.register().await;
        (app, registered)
    }

    /// Returns the next push.
    pub async fn next_push(&mut self) -> serde_json::Value {
        let push = self.pushes.next_within(PATIENCE).await;
        push.unwrap_or_else(|| panic!("no push came\n{}", self.ladder())).payload
    }

    /// Returns the bindings of [`USER`].
    pub async fn bindings(&self) -> Vec<BindingView> {
        self.gateway.bindings(USER).await
    }

    /// Returns the tokens bound for [`USER`].
    pub async fn tokens(&self) -> Vec<String> {
        self.bindings().await.into_iter().filter_map(|binding| binding.push).map(|target| target.token).collect()
    }

    /// Waits until the server holds exactly these tokens, in as many bindings.
    pub async fn wait_for_tokens(&self, tokens: &[&str]) {
        let settled = async || self.tokens().await == tokens && self.bindings().await.len() == tokens.len();
        let reached = self.gateway.wait_until(settled, PATIENCE).await;
        assert!(reached, "bound are {:?}, wanted {tokens:?}\n{}", self.bindings().await, self.ladder());
    }

    /// Returns the number of the last message so far.
    pub fn mark(&self) -> u64 {
        self.gateway.messages().all().last().map_or(0, |entry| entry.seq)
    }

    /// Returns the requests of this method that came after a mark, each once: on a busy machine timer E of RFC 3261 may
    /// fire even though nothing was lost.
    pub fn requests_since(&self, mark: u64, method: &str) -> Vec<Entry> {
        let mut requests = self.sent_since(mark, method);
        let mut seen = HashSet::new();
        requests.retain(|entry| seen.insert(entry.text.clone()));
        requests
    }

    /// Returns the requests of this method that came after a mark, including retransmissions.
    pub fn sent_since(&self, mark: u64, method: &str) -> Vec<Entry> {
        let after = self.gateway.messages().after(mark);
        after.into_iter().filter(|e| e.direction == Direction::Received && e.is_request(method)).collect()
    }

    /// Waits for a request of this method after a mark.
    pub async fn wait_for_request(&self, mark: u64, method: &str) -> Message {
        let wanted = |e: &Entry| e.seq > mark && e.direction == Direction::Received && e.is_request(method);
        let entry = self.gateway.wait_for(wanted, PATIENCE).await;
        let entry = entry.unwrap_or_else(|| panic!("no {method} came\n{}", self.ladder()));
        entry.message().expect("it was read before")
    }

    /// Waits for a response to this method after a mark.
    pub async fn wait_for_response(&self, mark: u64, status: u16, method: &str) -> Message {
        let wanted = |e: &Entry| e.seq > mark && e.direction == Direction::Received && e.is_response(status, method);
        let entry = self.gateway.wait_for(wanted, PATIENCE).await;
        let entry = entry.unwrap_or_else(|| panic!("no {status} to a {method} came\n{}", self.ladder()));
        entry.message().expect("it was read before")
    }

    /// Returns all messages as text, for the report of a failure.
    pub fn ladder(&self) -> String {
        mock_gateway::ladder(&self.gateway.messages().all())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut violations = self.gateway.violations();
        violations.extend(self.gateway.upper().map(MockGateway::violations).unwrap_or_default());
        assert!(violations.is_empty(), "the server saw violations: {violations:?}\n{}", self.ladder());
        let mut secrets = leaks::secrets_of(&self.gateway.messages().all(), USER, PASSWORD);
        secrets.extend([PASSWORD, TOKEN, SECOND_TOKEN].map(str::to_owned));
        leaks::assert_none(self.said_before, &secrets);
    }
}

/// One life of the app. [`end`](Self::end) it before the next one begins.
pub struct App {
    /// The client.
    pub client: Client,
    /// Its events.
    pub events: Events,
    /// The account.
    pub account: AccountKey,
}

impl App {
    /// Starts the app with an account.
    pub async fn start(store: Arc<dyn StateStore>, account: AccountConfig, push: Option<PushConfig>) -> Self {
        let (client, events) = Client::start_traced(store, Some(Arc::new(leaks::Listener)));
        leaks::note(format!("{client:?} {account:?} {push:?}"));
        let account = client.add_account(account, push).await.expect("a good account");
        Self { client, events, account }
    }

    /// Ends this life of the app. Its sockets are closed when this returns, as a killed process's are.
    pub async fn end(self) {
        self.client.shutdown().await;
    }

    /// Registers and returns the result.
    pub async fn register(&mut self) -> Registered {
        self.client.register(&self.account).await.expect("the account is there");
        self.registered().await
    }

    /// Waits for the next result of a REGISTER, which must be a success.
    pub async fn registered(&mut self) -> Registered {
        self.wait("a registration", |event| match event {
            Event::Registered { registered, .. } => Some(registered.clone()),
            Event::RegistrationFailed { failure, .. } => panic!("not registered: {failure}"),
            _ => None,
        })
        .await
    }

    /// Waits for the next registration that carries this token.
    pub async fn registered_with(&mut self, token: &str) -> Registered {
        self.wait("a registration with the token", |event| match event {
            Event::Registered { registered, .. } => {
                let bound = registered.token.as_ref().and_then(|bound| bound.call());
                (bound == Some(token)).then(|| registered.clone())
            }
            _ => None,
        })
        .await
    }

    /// Registers and returns the reason of the failure.
    pub async fn fail_to_register(&mut self) -> (Failure, Option<Duration>) {
        self.client.register(&self.account).await.expect("the account is there");
        self.failed().await
    }

    /// Waits for the next failure to register.
    pub async fn failed(&mut self) -> (Failure, Option<Duration>) {
        self.wait("a failure", |event| match event {
            Event::RegistrationFailed { failure, retry_in, .. } => {
                leaks::note(failure.to_string());
                Some((failure.clone(), *retry_in))
            }
            Event::Registered { .. } => panic!("registered after all"),
            _ => None,
        })
        .await
    }

    /// Logs out and waits for the server's confirmation.
    pub async fn log_out(&mut self) {
        self.client.log_out(&self.account).await.expect("the account is there");
        self.logged_out().await;
    }

    /// Waits for the server's confirmation of a log-out.
    pub async fn logged_out(&mut self) {
        self.wait("the log-out", |event| matches!(event, Event::LoggedOut { .. }).then_some(())).await;
    }

    /// Waits for a change of a call and returns the call's UUID.
    pub async fn call(&mut self, what: &str, wanted: impl Fn(&CallChange) -> bool) -> Uuid {
        self.wait(what, |event| match event {
            Event::Call(call) if wanted(&call.change) => Some(call.uuid),
            _ => None,
        })
        .await
    }

    /// Waits until a call rings.
    pub async fn ringing(&mut self) -> Uuid {
        self.call("ringing", |change| matches!(change, CallChange::Ringing { .. })).await
    }

    /// Waits for an event.
    pub async fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let next = async {
            let mut seen = Vec::new();
            while let Some(event) = self.events.next().await {
                leaks::note(format!("{event:?}"));
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
                seen.push(event);
            }
            Err(seen)
        };
        match tokio::time::timeout(PATIENCE, next).await {
            Ok(Ok(found)) => found,
            Ok(Err(seen)) => panic!("the client ended before {what}; {seen:?}"),
            Err(_) => panic!("{what} did not come in time"),
        }
    }

    /// Returns the events so far, after a moment for late ones.
    pub async fn leftovers(&mut self, moment: Duration) -> Vec<Event> {
        let mut seen = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout(moment, self.events.next()).await {
            leaks::note(format!("{event:?}"));
            seen.push(event);
        }
        seen
    }

    /// Hands over a push as Firebase's service would on Android.
    pub fn push(&self, payload: &serde_json::Value) -> PushAction {
        let mut hints = Hints::at(sipwake::now());
        hints.delivered_priority = Some(Priority::High);
        let action = self.client.push(payload.to_string().as_str(), Channel::FcmAndroid, &hints);
        leaks::note(format!("{action:?}"));
        action
    }
}

/// Returns the profile of this name.
pub fn named(profile: &str) -> Profile {
    Profile::named(profile).unwrap_or_else(|| panic!("no profile {profile}"))
}

/// Returns an address on which nothing listens, outside the range from which systems choose ports. So no other test gets
/// it while a server is down.
pub fn quiet_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap_or_default();
    for _ in 0..1000 {
        let port = 20_000 + (start + NEXT.fetch_add(7, Ordering::Relaxed)) % 10_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if UdpSocket::bind(address).is_ok() && std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no quiet port");
}
