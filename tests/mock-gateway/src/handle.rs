//! The handle that a test holds.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::binding::{BindingView, Scripted, Upstream, User};
use crate::call::{CallOptions, CallReport, CallState};
use crate::config::{Config, UserConfig};
use crate::digest::Challenges;
use crate::faults::Fault;
use crate::gateway::{Command, Gateway};
use crate::habits::{Habit, Habits};
use crate::profile::Profile;
use crate::push::{Delivery, PushKind, PushService, PushStream};
use crate::record::{Entry, Record, Violation};
use crate::seal;
use crate::transport::Flows;

/// The mock has been shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mock gateway has been shut down")
    }
}

impl std::error::Error for Stopped {}

/// A running mock. Clones share it. It ends when the last clone (and [`CallHandle`]) is dropped.
///
/// # Panics
/// Every method that asks the mock something panics after [`MockGateway::shutdown`].
#[derive(Clone)]
pub struct MockGateway {
    commands: mpsc::Sender<Command>,
    address: SocketAddr,
    record: Record,
    pushes: PushService,
    changed: watch::Receiver<u64>,
    upper: Option<Box<MockGateway>>,
}

impl fmt::Debug for MockGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockGateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl MockGateway {
    /// Starts a mock in the current tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(config: Config) -> io::Result<MockGateway> {
        let upper = if config.upper { Some(Box::new(start_upper(&config).await?)) } else { None };
        let (arrivals, arrivals_in) = mpsc::channel(1024);
        let (commands, commands_in) = mpsc::channel::<Command>(256);
        let (changed_out, changed) = watch::channel(0);
        let (flows, address) = Flows::listen(config.listen, arrivals.clone()).await?;
        let (record, pushes) = (Record::new(config.record), PushService::new());
        let upper_address = upper.as_ref().map(|u| u.address);
        let gateway =
            Gateway::new(config, flows, address, upper_address, record.clone(), pushes.clone(), changed_out, arrivals);
        tokio::spawn(gateway.run(commands_in, arrivals_in));
        Ok(MockGateway { commands, address, record, pushes, changed, upper })
    }

    /// Returns the address of UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the messages that were received and sent; see [`Record::wait_for`].
    pub fn messages(&self) -> &Record {
        &self.record
    }

    /// Returns the messages from clients.
    pub fn received(&self) -> Vec<Entry> {
        self.record.received()
    }

    /// Returns the first message, past or future, that satisfies the predicate; `None` on time-out.
    pub async fn wait_for(&self, wanted: impl FnMut(&Entry) -> bool, limit: Duration) -> Option<Entry> {
        self.record.wait_for(wanted, limit).await
    }

    /// Returns the violations of clients.
    pub fn violations(&self) -> Vec<Violation> {
        self.record.violations()
    }

    /// Returns the fake push service.
    pub fn push_service(&self) -> &PushService {
        &self.pushes
    }

    /// Subscribes to the pushes of one token, or of all; queued ones come first.
    pub fn pushes(&self, token: Option<&str>) -> PushStream {
        self.pushes.subscribe(token)
    }

    /// Sets how pushes to a token are delivered from this moment on.
    pub fn set_delivery(&self, token: &str, delivery: Delivery) {
        self.pushes.set_delivery(token, delivery);
    }

    /// Returns the upper SIP server that X-PIID registers at, if there is one.
    pub fn upper(&self) -> Option<&MockGateway> {
        self.upper.as_deref()
    }

    /// Adds a user, or changes the password and profile of an existing one. Bindings stay.
    pub async fn set_user(&self, user: UserConfig) {
        if let Some(upper) = &self.upper {
            Box::pin(upper.set_user(UserConfig::new(&user.name, &user.password))).await;
        }
        self.ask(move |g| {
            let profile = g.config.profile.clone();
            let fresh = User::new(user.clone(), &profile);
            let known = g.users.entry(user.name.clone()).or_insert(fresh);
            known.profile = user.profile.clone().unwrap_or(profile);
            known.config = user;
            known.wrong_passwords = 0;
        })
        .await
        .expect("the mock is running");
    }

    /// Changes the profile, of one user or of all.
    pub async fn set_profile(&self, user: Option<&str>, profile: Profile) {
        self.change_profile(user, move |p| *p = profile.clone()).await;
    }

    /// Gives the server these habits and no others, for one user or for all.
    pub async fn set_habits(&self, user: Option<&str>, habits: &[Habit]) {
        let habits = Habits::of(habits);
        self.change_profile(user, move |p| p.habits = habits).await;
    }

    /// Changes how REGISTER is challenged, for one user or for all.
    pub async fn set_challenges(&self, user: Option<&str>, challenges: Challenges) {
        self.change_profile(user, move |p| p.challenges = challenges.clone()).await;
    }

    /// Changes single flags of the profile, of one user or of all.
    pub async fn change_profile(&self, user: Option<&str>, change: impl Fn(&mut Profile) + Send + 'static) {
        let user = user.map(str::to_owned);
        self.ask(move |g| {
            if user.is_none() {
                change(&mut g.config.profile);
            }
            let users = g.users.iter_mut().filter(|(name, _)| user.as_ref().is_none_or(|u| u == *name));
            users.for_each(|(_, u)| change(&mut u.profile));
        })
        .await
        .expect("the mock is running");
    }

    pub(crate) async fn knows(&self, user: &str) -> bool {
        let user = user.to_owned();
        self.ask(move |g| g.users.contains_key(&user)).await.unwrap_or(false)
    }

    /// Changes the digest realm.
    pub async fn set_realm(&self, realm: &str) {
        let realm = realm.to_owned();
        self.ask(move |g| g.config.realm = realm).await.expect("the mock is running");
    }

    /// Seals every further push for a user, for the phone that has this key. Nothing else in the push can be read on its
    /// way.
    ///
    /// # Errors
    /// What is wrong with the key, or that the user does not exist.
    pub async fn seal_for(&self, user: &str, p256dh: &str, auth: &str) -> Result<(), String> {
        seal::web_push(p256dh, auth, b"{}")?;
        let (user, key) = (user.to_owned(), (p256dh.to_owned(), auth.to_owned()));
        let found = self.ask(move |g| g.users.get_mut(&user).map(|user| user.push_key = Some(key)));
        found.await.expect("the mock is running").ok_or_else(|| "no such user".to_owned())
    }

    /// Makes every nonce so far stale.
    pub async fn forget_nonces(&self) {
        self.ask(|g| g.nonces.forget_all()).await.expect("the mock is running");
    }

    /// Answers the user's next REGISTERs as scripted, one each.
    pub async fn script(&self, user: &str, replies: Vec<Scripted>) {
        let user = user.to_owned();
        self.ask(move |g| {
            if let Some(user) = g.users.get_mut(&user) {
                user.scripted.extend(replies);
            }
        })
        .await
        .expect("the mock is running");
    }

    /// Places a call to every binding of a user.
    pub async fn place_call(&self, user: &str, options: CallOptions) -> CallHandle {
        self.place(user, "INVITE", options).await
    }

    /// Sends a chat to every binding of a user.
    pub async fn send_chat(&self, user: &str, text: &str, options: CallOptions) -> CallHandle {
        let content_type =
            if options.content_type == "application/sdp" { "text/plain".into() } else { options.content_type.clone() };
        self.place(user, "MESSAGE", CallOptions { body: Some(text.to_owned()), content_type, ..options }).await
    }

    async fn place(&self, user: &str, method: &'static str, options: CallOptions) -> CallHandle {
        let user = user.to_owned();
        let id = self.ask(move |g| g.place(&user, method, options)).await.expect("the mock is running");
        CallHandle { mock: self.clone(), id }
    }

    /// Returns the handle of a call by its number.
    pub fn call(&self, id: u64) -> CallHandle {
        CallHandle { mock: self.clone(), id }
    }

    /// Returns every call still remembered.
    pub async fn calls(&self) -> Vec<CallReport> {
        self.ask(|g| g.calls.values().map(|c| c.report.clone()).collect()).await.expect("the mock is running")
    }

    /// Returns the bindings of a user, kept push bindings included.
    pub async fn bindings(&self, user: &str) -> Vec<BindingView> {
        let user = user.to_owned();
        self.ask(move |g| g.bindings_of(&user)).await.expect("the mock is running")
    }

    /// Ends the registrations of a user as if they had expired. Returns how many.
    pub async fn expire_binding(&self, user: &str) -> usize {
        let user = user.to_owned();
        self.ask(move |g| g.expire_bindings(&user)).await.expect("the mock is running")
    }

    /// Takes a user's clients for asleep until they register again. With `close`, also closes their connections.
    pub async fn sleep(&self, user: &str, close: bool) {
        let user = user.to_owned();
        self.ask(move |g| {
            let Some(user) = g.users.get_mut(&user) else { return };
            let flows: Vec<_> = user.bindings.iter().map(|b| b.flow).collect();
            user.bindings.iter_mut().for_each(|b| b.asleep = true);
            if close {
                flows.into_iter().for_each(|flow| g.end_flow(flow, false));
            }
        })
        .await
        .expect("the mock is running");
    }

    /// Sends a push that belongs to no call to every device of a user. Returns to how many. A payload replaces the
    /// profile's.
    pub async fn send_push(&self, user: &str, kind: PushKind, text: &str, payload: Option<serde_json::Value>) -> usize {
        let (user, text) = (user.to_owned(), text.to_owned());
        self.ask(move |g| g.push_user(&user, kind, &text, payload)).await.expect("the mock is running")
    }

    /// Returns the state of the upper registration that X-PIID asked for.
    pub async fn upstream(&self, user: &str) -> Option<Upstream> {
        let user = user.to_owned();
        self.ask(move |g| g.users.get(&user).and_then(|u| u.upstream.clone())).await.expect("the mock is running")
    }

    /// Refreshes the upper registration at once.
    pub async fn refresh_upstream(&self, user: &str) {
        let user = user.to_owned();
        self.ask(move |g| g.refresh_upstream_now(&user)).await.expect("the mock is running");
    }

    /// Adds faults.
    pub async fn faults(&self, faults: Vec<Fault>) {
        self.ask(move |g| faults.into_iter().for_each(|f| g.faults.plant(f))).await.expect("the mock is running");
    }

    /// Removes all faults; returns how many were left.
    pub async fn clear_faults(&self) -> usize {
        self.ask(|g| {
            let left = g.faults.left();
            g.faults.clear();
            left
        })
        .await
        .expect("the mock is running")
    }

    /// Restarts the server in place: connections, nonces, transactions and calls are gone and, unless they are kept, bindings.
    pub async fn restart(&self, keep_bindings: bool) {
        self.ask(move |g| g.restart(keep_bindings)).await.expect("the mock is running");
    }

    /// Waits until a question about the mock's state is answered with yes; false on time-out.
    pub async fn wait_until<F, Fut>(&self, mut question: F, limit: Duration) -> bool
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let mut changed = self.changed.clone();
        let asking = async {
            loop {
                changed.borrow_and_update();
                if question().await {
                    return true;
                }
                if changed.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout(limit, asking).await.unwrap_or(false)
    }

    /// Ends the mock and its upper server.
    pub async fn shutdown(&self) {
        let _ = self.ask(Gateway::stop).await;
        if let Some(upper) = &self.upper {
            let _ = upper.ask(Gateway::stop).await;
        }
    }

    /// Returns once the mock has been shut down.
    pub async fn stopped(&self) {
        self.commands.closed().await;
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Gateway) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, answered) = oneshot::channel();
        let command: Command = Box::new(move |gateway| drop(answer.send(work(gateway))));
        self.commands.send(command).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Returns a handle that does not keep the mock alive.
    pub(crate) fn weak(&self) -> WeakGateway {
        WeakGateway { commands: self.commands.downgrade(), rest: Parts::of(self) }
    }
}

/// A second registrar in this process: the server behind the gateway.
fn start_upper(config: &Config) -> Pin<Box<dyn Future<Output = io::Result<MockGateway>> + Send + '_>> {
    let users = config.users.iter().map(|u| UserConfig { profile: None, auth_name: None, ..u.clone() }).collect();
    let upper = Config { users, upper: false, realm: config.realm.clone(), ..Config::new(Profile::plain()) };
    Box::pin(MockGateway::start(upper))
}

#[derive(Clone)]
struct Parts {
    address: SocketAddr,
    record: Record,
    pushes: PushService,
    changed: watch::Receiver<u64>,
    upper: Option<Box<WeakGateway>>,
}

impl Parts {
    fn of(mock: &MockGateway) -> Parts {
        Parts {
            address: mock.address,
            record: mock.record.clone(),
            pushes: mock.pushes.clone(),
            changed: mock.changed.clone(),
            upper: mock.upper.as_ref().map(|u| Box::new(u.weak())),
        }
    }
}

/// What the control port holds: the mock can end while the port listens.
#[derive(Clone)]
pub(crate) struct WeakGateway {
    commands: mpsc::WeakSender<Command>,
    rest: Parts,
}

impl WeakGateway {
    pub(crate) fn upgrade(&self) -> Option<MockGateway> {
        let Parts { address, record, pushes, changed, upper } = self.rest.clone();
        let upper = upper.and_then(|u| u.upgrade()).map(Box::new);
        Some(MockGateway { commands: self.commands.upgrade()?, address, record, pushes, changed, upper })
    }
}

/// A call or chat that the mock placed.
#[derive(Clone, Debug)]
pub struct CallHandle {
    mock: MockGateway,
    id: u64,
}

impl CallHandle {
    /// Returns the mock's number for it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns its state; `None` after a thousand newer calls.
    pub async fn report(&self) -> Option<CallReport> {
        let id = self.id;
        self.mock.ask(move |g| g.calls.get(&id).map(|c| c.report.clone())).await.expect("the mock is running")
    }

    /// Waits until its state satisfies the predicate; returns the report, or `None` on time-out.
    pub async fn wait(&self, wanted: impl Fn(CallState) -> bool, limit: Duration) -> Option<CallReport> {
        let reached = async || self.report().await.is_some_and(|r| wanted(r.state));
        if self.mock.wait_until(reached, limit).await { self.report().await } else { None }
    }

    /// Waits until it is over.
    pub async fn wait_end(&self, limit: Duration) -> Option<CallReport> {
        self.wait(CallState::is_over, limit).await
    }

    /// The caller gives up: CANCEL, or BYE once answered.
    pub async fn cancel(&self) {
        let id = self.id;
        self.mock.ask(move |g| g.give_up(id, false)).await.expect("the mock is running");
    }

    /// Another phone answers.
    pub async fn answered_elsewhere(&self) {
        let id = self.id;
        self.mock.ask(move |g| g.give_up(id, true)).await.expect("the mock is running");
    }

    /// The caller hangs up; false if no phone has answered.
    pub async fn bye(&self) -> bool {
        self.in_call("BYE", None).await
    }

    /// The caller sends a new offer; false if no phone has answered.
    pub async fn reinvite(&self, sdp: &str) -> bool {
        self.in_call("INVITE", Some(sdp.to_owned())).await
    }

    /// The caller sends OPTIONS inside the call; false if no phone has answered.
    pub async fn options(&self) -> bool {
        self.in_call("OPTIONS", None).await
    }

    /// The caller sends any other request inside the call, e.g. UPDATE; false if no phone has answered.
    pub async fn in_call(&self, method: &str, body: Option<String>) -> bool {
        let (id, method) = (self.id, method.to_owned());
        self.mock.ask(move |g| g.in_call(id, &method, body)).await.expect("the mock is running")
    }
}
