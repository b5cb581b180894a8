//! The handle that an app holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use sipwake_core::account::{Account, AccountConfig, AccountKey};
use sipwake_core::call::{CallPolicy, HangUp};
use sipwake_core::clock::Now;
#[cfg(feature = "tls")]
use sipwake_core::error::{FieldError, Rule};
use sipwake_core::event::{Answer, Event};
use sipwake_core::judge::Gate;
use sipwake_core::payload::{Channel, Decryptor, Hints, Payload, PushAction, parse_push, parse_push_with};
use sipwake_core::push::{Push, PushConfig};
use sipwake_core::record::{Platform, Report};
#[cfg(feature = "sealed")]
use sipwake_core::sealed::PushKey;
use sipwake_core::snapshot::{CALLS, RECORD, REMOVALS, binding_key};
use sipwake_core::user_agent::{Decline, NoSuchAccount};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::{fill_random, now};
use crate::driver::Driver;
use crate::error::Error;
use crate::events::{Events, MAX_UNREAD};
use crate::flow::Flow;
use crate::job::{Agent, JOBS, Job, Kept, Work};
#[cfg(feature = "sealed")]
use crate::keyring::Keyring;
use crate::options::Options;
use crate::probe::{GatewayHealth, Prober, Target};
use crate::store::StateStore;
use crate::task::spawn;
use crate::trace::Trace;
use crate::transport::Network;

/// What the client did with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenUpdate {
    /// It is stored, and it is sent if it is new.
    Taken,
    /// It is sent if it is new, but it is not stored yet. [`Event::Durable`] tells when it is.
    NotYetDurable,
    /// It was empty or `null`. A good token that is there stays.
    Ignored,
}

/// A client: accounts, bindings and calls. Clones share one driver, which ends with the last clone or with
/// [`shutdown`](Self::shutdown). In both cases the bindings stay at the server, so that pushes can wake the phone.
#[derive(Clone)]
pub struct Client {
    jobs: mpsc::Sender<Job>,
    gate: Arc<ArcSwap<Gate>>,
    /// Weak, so that the streams end with the driver.
    events: broadcast::WeakSender<Event>,
    stop: Arc<Notify>,
    running: watch::Receiver<()>,
    network: Arc<Network>,
    prober: Arc<Prober>,
    decryptor: Option<Arc<dyn Decryptor + Send + Sync>>,
    #[cfg(feature = "sealed")]
    keyring: Arc<Keyring>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Starts a client on the current tokio runtime. It sends log-outs at once if an earlier process could not deliver
    /// them.
    ///
    /// A store has one client at a time. Wait for [`shutdown`](Self::shutdown) before you start another one on it in the same
    /// process, or both would use the same CSeqs.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O enabled.
    pub fn start(store: Arc<dyn StateStore>) -> (Self, Events) {
        Self::start_with(store, Options::default())
    }

    /// Starts a client and shows its messages to `trace`, without their secrets.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_traced(store: Arc<dyn StateStore>, trace: Option<Arc<dyn Trace>>) -> (Self, Events) {
        let options = Options::default();
        Self::start_with(store, trace.map_or(options.clone(), |trace| options.trace(trace)))
    }

    /// Starts a client with other [`Options`] than the defaults.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(store: Arc<dyn StateStore>, options: Options) -> (Self, Events) {
        let network = options.network();
        Self::start_on(network, store, options)
    }

    fn start_on(network: Network, store: Arc<dyn StateStore>, options: Options) -> (Self, Events) {
        let mut seed = [0; 32];
        fill_random(&mut seed);
        let (removals, failure) = match store.load(REMOVALS) {
            Ok(removals) => (removals.map(Zeroizing::new), None),
            Err(error) => (None, Some(error)),
        };
        let removed = removals.as_ref().map(|record| record.as_slice());
        #[cfg(feature = "replay")]
        let mut agent = Agent::new(seed, removed, options.recorded, now());
        #[cfg(not(feature = "replay"))]
        let mut agent = Agent::new(seed, removed, now());
        agent.allow_unsolicited_calls(options.unsolicited_calls);
        for key in [CALLS, RECORD] {
            match store.load(key) {
                Ok(record) => agent.handle_loaded(key, Ok(record.as_deref()), now()),
                Err(error) => agent.handle_loaded(key, Err(error.into()), now()),
            }
        }
        if let Some(error) = failure {
            agent.handle_loaded(REMOVALS, Err(error.into()), now());
        }
        let (sender, jobs) = mpsc::channel(JOBS);
        let (events, receiver) = broadcast::channel(MAX_UNREAD);
        let gate = Arc::new(ArcSwap::from_pointee(agent.gate()));
        let stop = Arc::new(Notify::new());
        let (running, ended) = watch::channel(());
        let network = Arc::new(network);
        let prober = Prober::new(options.probing, network.clone(), options.trace.clone(), sender.downgrade());
        spawn(prober.clone().after_registrations(events.subscribe()));
        let client = Self {
            jobs: sender,
            gate: gate.clone(),
            events: events.downgrade(),
            stop: stop.clone(),
            running: ended,
            network: network.clone(),
            prober,
            decryptor: options.decryptor,
            #[cfg(feature = "sealed")]
            keyring: Arc::new(Keyring::new(store.clone())),
        };
        let trace = options.trace;
        spawn(Driver { agent, store, gate, events, trace, network, jobs, stop, running }.run());
        (client, Events::new(receiver))
    }

    /// Returns another stream of events, from now on. After a shut-down it is over at once.
    pub fn events(&self) -> Events {
        let events = self.events.upgrade().unwrap_or_else(|| broadcast::channel(1).0);
        Events::new(events.subscribe())
    }

    /// Ends the client for all its clones, and returns when its sockets are closed. Earlier commands are still carried
    /// out, and queued messages are still sent, but nobody waits for responses. The bindings stay. To remove one, wait
    /// for [`Event::LoggedOut`] first, or leave it to the next start.
    ///
    /// From then on every call fails with [`Error::ShutDown`], and the streams of events are over. [`push`](Self::push)
    /// still judges pushes, by what the client knew last.
    pub async fn shutdown(&self) {
        self.stop.notify_one();
        // Its value never changes. It is dropped with the driver.
        let _ = self.running.clone().changed().await;
    }

    /// Adds an account, or changes the settings of the one with the same AOR and registrar. It continues with what an
    /// earlier process stored. It sends nothing before [`register`](Self::register).
    ///
    /// # Errors
    /// [`Error::Field`] names the field and the rule. The field is `options.trust` if the account or its probes use TLS and
    /// nothing can judge a server's certificate: on Android, with the default [`Trust`](crate::Trust).
    pub async fn add_account(&self, account: AccountConfig, push: Option<PushConfig>) -> Result<AccountKey, Error> {
        let account = Account::parse(account)?;
        let push = push.map(Push::parse).transpose()?;
        #[cfg(feature = "tls")]
        self.check_trust(&account)?;
        let (key, target) = (account.key(), Target::from(&account));
        let record = binding_key(&key);
        self.ask(move |agent, store, now| {
            let stored = store.load(&record).unwrap_or_else(|error| {
                agent.handle_loaded(&record, Err(error.into()), now);
                None
            });
            let stored = stored.map(Zeroizing::new);
            agent.add_account(account, push, stored.as_ref().map(|record| record.as_slice()), now)?;
            Ok(())
        })
        .await?;
        self.prober.know(target);
        Ok(key)
    }

    #[cfg(feature = "tls")]
    fn check_trust(&self, account: &Account) -> Result<(), FieldError> {
        let uses_tls = account.hops().iter().any(|hop| hop.transport.is_secure()) || self.prober.uses_tls();
        if self.network.tls.is_ok() || !uses_tls {
            return Ok(());
        }
        Err(FieldError { field: "options.trust", rule: Rule::Conflict { conflict: crate::trust::NOBODY_JUDGES } })
    }

    /// Registers now, even after a refusal. Call it at every start of the app. The outcome comes as an event.
    ///
    /// With [`Options::probing`], an account's first call waits for the probes of its gateways, for at most half a second or
    /// [`Probing::first_wait`](crate::Probing::first_wait).
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub async fn register(&self, account: &AccountKey) -> Result<(), Error> {
        let key = account.clone();
        self.prober.before_first(&key).await;
        self.ask(move |agent, _, now| agent.register(&key, now).map_err(Error::from)).await
    }

    /// Asks all gateways of an account at once how busy they are, as [`Options::probing`] says, or with SIP OPTIONS.
    /// Returns their responses in the order of the account's list. The next choice of a gateway uses them.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub async fn probe_gateways(&self, account: &AccountKey) -> Result<Vec<GatewayHealth>, Error> {
        self.prober.now(account).await.ok_or(Error::NoSuchAccount(NoSuchAccount))
    }

    /// Opens a flow to the first gateway of an account, beside the client's own, and sends nothing over it.
    ///
    /// # Errors
    /// [`Error::Flow`] says why no flow to the server could be opened, [`Error::NoSuchAccount`].
    pub async fn open_flow(&self, account: &AccountKey) -> Result<Flow, Error> {
        let (sender, hop) = oneshot::channel();
        let key = account.clone();
        self.ask(move |agent, _, _| {
            let account = agent.accounts().find(|known| known.key() == key).ok_or(NoSuchAccount)?;
            // The caller may have stopped waiting.
            let _ = sender.send(account.hops().first().cloned());
            Ok(())
        })
        .await?;
        let hop = hop.await.ok().flatten().ok_or(Error::ShutDown)?;
        Ok(Flow::open(hop, self.network.clone()).await?)
    }

    /// Sets the push token that the provider gave. A null or empty token is ignored. The same token again costs no traffic.
    ///
    /// # Errors
    /// [`Error::Field`] for a token of the wrong shape, [`Error::NoPush`] for an account without push settings.
    pub async fn set_token(&self, account: &AccountKey, token: &str) -> Result<TokenUpdate, Error> {
        self.set_tokens(account, Some(token), None).await
    }

    /// Sets PushKit's token and the one for alerts.
    ///
    /// # Errors
    /// As [`set_token`](Self::set_token).
    pub async fn set_tokens(
        &self,
        account: &AccountKey,
        call: Option<&str>,
        alert: Option<&str>,
    ) -> Result<TokenUpdate, Error> {
        let key = account.clone();
        let (call, alert) = (call.map(str::to_owned), alert.map(str::to_owned));
        let taken = Arc::new(AtomicBool::new(false));
        let took = taken.clone();
        let kept = self
            .ask_for(move |agent, _, now| {
                let push = agent.push(&key)?.ok_or(Error::NoPush)?;
                if let Some(token) = push.parse_token(call.as_deref(), alert.as_deref())? {
                    agent.set_token(&key, token, now)?;
                    took.store(true, Ordering::Release);
                }
                Ok(())
            })
            .await?;
        Ok(match (taken.load(Ordering::Acquire), kept) {
            (false, _) => TokenUpdate::Ignored,
            (true, Kept::Durable) => TokenUpdate::Taken,
            (true, Kept::NotYetDurable) => TokenUpdate::NotYetDurable,
        })
    }

    /// Removes the push binding and keeps the account registered. The command is stored before this returns, or it
    /// returns [`Kept::NotYetDurable`]. From then on no push makes a sound.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn unbind_push(&self, account: &AccountKey) -> impl Future<Output = Result<Kept, Error>> {
        let key = account.clone();
        self.ask_for(move |agent, _, now| agent.unbind_push(&key, now).map_err(Error::from))
    }

    /// Switches do not disturb on until a time since 1970, or off with `None` or a time in the past.
    /// [`Duration::MAX`](std::time::Duration::MAX) means until further notice. The command is stored before this
    /// returns, or it returns [`Kept::NotYetDurable`].
    ///
    /// Meanwhile the account stays registered without a push binding, and no push makes a sound. When the time is over,
    /// the binding comes back and [`Event::DoNotDisturbOver`] says so. If no process runs at that moment, this happens
    /// when the account is added. A running client still reports a call whose INVITE arrives.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    ///
    /// ```no_run
    /// # async fn run(client: sipwake::Client, account: sipwake::AccountKey) -> Result<(), sipwake::Error> {
    /// let in_an_hour = sipwake::now().wall + std::time::Duration::from_secs(3600);
    /// client.set_do_not_disturb(&account, Some(in_an_hour)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_do_not_disturb(
        &self,
        account: &AccountKey,
        until: Option<Duration>,
    ) -> impl Future<Output = Result<Kept, Error>> {
        let key = account.clone();
        self.ask_for(move |agent, _, now| agent.set_do_not_disturb(&key, until, now).map_err(Error::from))
    }

    /// Returns until when do not disturb is on, as time since 1970, or `None` if it is off.
    pub fn do_not_disturb(&self, account: &AccountKey) -> Option<Duration> {
        self.gate.load().do_not_disturb(account)
    }

    /// Accepts another realm for `X-PIID` than the pinned one
    /// ([`Warning::PinnedRealmChanged`](crate::Warning::PinnedRealmChanged)).
    ///
    /// # Errors
    /// [`Error::Field`] for a realm that cannot be one, [`Error::NoSuchAccount`].
    pub fn accept_realm(&self, account: &AccountKey, realm: &str) -> impl Future<Output = Result<Kept, Error>> {
        let (key, realm) = (account.clone(), realm.to_owned());
        self.ask_for(move |agent, _, now| {
            agent.push(&key)?;
            agent.accept_realm(&key, &realm, now).map_err(Error::from)
        })
    }

    /// Logs the user out. The log-out is stored before this returns, or it returns [`Kept::NotYetDurable`]. The client
    /// repeats it until the server confirms it ([`Event::LoggedOut`]), and later processes continue. From here on no
    /// push makes a sound.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn log_out(&self, account: &AccountKey) -> impl Future<Output = Result<Kept, Error>> {
        let key = account.clone();
        self.ask_for(move |agent, _, now| agent.log_out(&key, now).map_err(Error::from))
    }

    /// Says that a server may hold a binding that the store does not know, from an earlier installation or another
    /// program. Then [`log_out`](Self::log_out) asks the server to remove the binding that the token and the settings
    /// would have made. It binds nothing first.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn assume_bound(&self, account: &AccountKey) -> impl Future<Output = Result<(), Error>> {
        let key = account.clone();
        self.ask(move |agent, _, _| agent.assume_bound(&key).map_err(Error::from))
    }

    /// Returns how many log-outs the servers have not confirmed yet. It counts those of earlier processes, too. Keep a
    /// phone's background task while there is one.
    pub fn pending_log_outs(&self) -> usize {
        self.gate.load().pending_log_outs()
    }

    /// Asks which push providers the server supports, or whether it supports one (RFC 8599 section 4.1.5).
    /// [`Event::Capabilities`] brings the response.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn query_push(
        &self,
        account: &AccountKey,
        provider: Option<String>,
    ) -> impl Future<Output = Result<(), Error>> {
        let key = account.clone();
        self.ask(move |agent, _, now| agent.query_push(&key, provider, now).map_err(Error::from))
    }

    /// Says at once what a push means for the operating system, and wakes the push's account.
    ///
    /// It waits for no network, lock or task. Any bytes give an action, and CallKit can show the action of any PushKit
    /// push. A push for a user who logged out, or for a call that is over, makes no sound.
    pub fn push<'a>(&self, payload: impl Into<Payload<'a>>, channel: Channel, hints: &Hints) -> PushAction {
        let read = self.read_push(payload.into(), channel, hints);
        let action = self.gate.load().judge(read, hints, now().boot);
        let taken = action.clone();
        let work: Work = Box::new(move |agent, _, now| {
            agent.handle_push(&taken, now);
            Ok(())
        });
        if self.jobs.try_send(Job { work, done: None }).is_err() {
            log::warn!("more pushes than can be taken; one was not registered for");
        }
        action
    }

    /// Returns why the phone rang or did not. The report has the decisions in codes and numbers, and what the app's
    /// `platform` layer knows. It has no name, number, token or address, so users can send it without reading it.
    /// `sipwake explain` reads it.
    ///
    /// # Errors
    /// [`Error::ShutDown`].
    pub async fn report(&self, platform: Option<Platform>) -> Result<Report, Error> {
        let (sender, report) = oneshot::channel();
        self.ask(move |agent, _, now| {
            // The caller may have stopped waiting.
            let _ = sender.send(agent.report(platform, now));
            Ok(())
        })
        .await?;
        report.await.map_err(|_| Error::ShutDown)
    }

    /// Returns the recording since the start, as a file for `sipwake replay`, or `None` without
    /// [`Options::record_for_replay`]. It has no secret, but it shows who called. Ask the user before you send it.
    ///
    /// # Errors
    /// [`Error::ShutDown`].
    #[cfg(feature = "replay")]
    pub async fn recording(&self) -> Result<Option<String>, Error> {
        let (sender, recording) = oneshot::channel();
        self.ask(move |agent, _, _| {
            let taped = agent.taped();
            // The caller may have stopped waiting. If the system gives no thread, the sender is dropped and the caller
            // gets an error.
            let make = move || drop(sender.send(taped.map(sipwake_core::replay::Taped::into_file)));
            if let Err(error) = std::thread::Builder::new().name("sipwake recording".into()).spawn(make) {
                log::warn!("no thread to make the recording on: {error}");
            }
            Ok(())
        })
        .await?;
        recording.await.map_err(|_| Error::ShutDown)
    }

    /// Opens a push if it is sealed, and reads it.
    fn read_push(&self, payload: Payload<'_>, channel: Channel, hints: &Hints) -> PushAction {
        #[cfg(feature = "sealed")]
        if let Some((action, opened)) = self.keyring.open(payload, channel, hints) {
            if let Some(record) = opened {
                let work: Work = Box::new(move |agent, _, now| {
                    // A kill before it is stored forgets that this push was opened. It could then come again.
                    agent.save_opened(record, now);
                    Ok(())
                });
                let _ = self.jobs.try_send(Job { work, done: None });
            }
            return action;
        }
        match &self.decryptor {
            Some(decryptor) => parse_push_with(&**decryptor, payload, channel, hints),
            None => parse_push(payload, channel, hints),
        }
    }

    /// Returns the public part of this phone's key for sealed pushes. The first call makes and stores the key. The
    /// sender of the pushes needs both values. Send them over the app's own connection to its server. See
    /// `docs/sealed.md`.
    ///
    /// # Errors
    /// [`Error::Store`] while the store is shut or fails, because a key that may be lost is of no use.
    #[cfg(feature = "sealed")]
    pub fn push_key(&self) -> Result<PushKey, Error> {
        self.keyring.change(|keys| keys.create(fill_random))
    }

    /// Makes a new key pair for sealed pushes and returns its public part. The former one still opens pushes for 30 days.
    ///
    /// # Errors
    /// As [`push_key`](Self::push_key).
    #[cfg(feature = "sealed")]
    pub fn rotate_push_key(&self) -> Result<PushKey, Error> {
        let key = self.keyring.change(|keys| keys.rotate(now().wall, fill_random))?;
        let new = key.clone();
        let work: Work = Box::new(move |agent, _, now| {
            agent.set_push_key(&new, now);
            Ok(())
        });
        if self.jobs.try_send(Job { work, done: None }).is_err() {
            log::warn!("the new key for sealed pushes goes with no REGISTER");
        }
        Ok(key)
    }

    /// Imports a key for sealed pushes that a server gave over a secure connection: 32 bytes in base64url, with the
    /// name that the pushes use for it. The same name again replaces the key.
    ///
    /// # Errors
    /// [`Error::Key`] says what is wrong with the key. Otherwise as [`push_key`](Self::push_key).
    #[cfg(feature = "sealed")]
    pub fn import_push_key(&self, id: &str, key: &str) -> Result<(), Error> {
        Ok(self.keyring.change(|keys| keys.import(id, key))??)
    }

    /// Forgets an imported key. Returns whether there was one.
    ///
    /// # Errors
    /// As [`push_key`](Self::push_key).
    #[cfg(feature = "sealed")]
    pub fn forget_push_key(&self, id: &str) -> Result<bool, Error> {
        self.keyring.change(|keys| keys.forget(id))
    }

    /// Declines a call that rings or was announced.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`].
    pub fn decline(&self, call: Uuid, how: Decline) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, now| agent.decline(call, how, now).then_some(()).ok_or(Error::NoSuchCall))
    }

    /// Says that the phone rings, if [`Progress::Session`](crate::Progress::Session) made the caller get 183 first.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`] for a call that is not ringing, or whose caller already knows it.
    pub fn ringing(&self, call: Uuid) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, now| agent.ringing(call, now).then_some(()).ok_or(Error::NoSuchCall))
    }

    /// Answers for the user. This works at any time after the push. When the INVITE is here,
    /// [`CallChange::AnswerWanted`](crate::CallChange::AnswerWanted) brings its offer. Answer the offer with
    /// [`accept`](Self::accept).
    ///
    /// # Errors
    /// [`Error::NoSuchCall`] for a call that is unknown, over or accepted already.
    pub fn answer(&self, call: Uuid) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, now| agent.answer(call, now).then_some(()).ok_or(Error::NoSuchCall))
    }

    /// Accepts a ringing call with the answer to its offer or, if it had none, with our offer.
    /// [`CallChange::Connected`](crate::CallChange::Connected) follows with the caller's ACK.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`] for a call that is not ringing: its INVITE is not here yet, or it is over.
    pub fn accept(&self, call: Uuid, answer: Answer) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, now| agent.accept(call, answer, now).then_some(()).ok_or(Error::NoSuchCall))
    }

    /// Ends a call in any state: announced, ringing or answered.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`] for a call that is unknown or over.
    pub fn hang_up(&self, call: Uuid, why: HangUp) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, now| agent.hang_up(call, why, now).then_some(()).ok_or(Error::NoSuchCall))
    }

    /// Responds to [`CallChange::Offered`](crate::CallChange::Offered) with the app's answer. `None` refuses the offer.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`] if no offer waits for a response.
    pub fn respond_offer(&self, call: Uuid, answer: Option<Answer>) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, now| agent.respond_offer(call, answer, now).then_some(()).ok_or(Error::NoSuchCall))
    }

    /// Says whether the app responds to INFO (digits, for example) and REFER (a transfer) inside a call, with
    /// [`respond_request`](Self::respond_request). By default it does not. Then it still gets an event for each of
    /// them, an INFO with a body gets 415, and a REFER gets 405.
    ///
    /// # Errors
    /// [`Error::ShutDown`].
    pub fn take_call_requests(&self, take: bool) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, _| {
            agent.take_call_requests(take);
            Ok(())
        })
    }

    /// Responds to an [`Asked`](crate::CallChange::Asked) that waits for it, with a status from 200 to 699. Any other
    /// status becomes 500.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`] if no request with that id waits for a response.
    pub fn respond_request(&self, call: Uuid, request: u64, status: u16) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, now| {
            agent.respond_request(call, request, status, now).then_some(()).ok_or(Error::NoSuchCall)
        })
    }

    /// Sets how calls are treated from here on.
    ///
    /// # Errors
    /// [`Error::ShutDown`].
    pub fn set_call_policy(&self, policy: CallPolicy) -> impl Future<Output = Result<(), Error>> {
        self.ask(move |agent, _, _| {
            agent.set_call_policy(policy);
            Ok(())
        })
    }

    /// Says that the user unlocked the device, so that the store can be read and written again. The client tries at
    /// once what it could not read or store. Without this call it tries with back-off, at least once a minute.
    ///
    /// # Errors
    /// [`Error::ShutDown`].
    pub fn store_available(&self) -> impl Future<Output = Result<(), Error>> {
        self.ask(|agent, _, now| {
            agent.store_available(now);
            Ok(())
        })
    }

    /// Says that the device's network changed. The client opens its flows again, and the bindings follow.
    ///
    /// # Errors
    /// [`Error::ShutDown`].
    pub async fn network_changed(&self) -> Result<(), Error> {
        self.network.addresses.forget();
        self.prober.network_changed();
        self.ask(|agent, _, now| {
            agent.network_changed(now);
            Ok(())
        })
        .await
    }

    /// Runs work on the core. Waits until everything that it changed is stored.
    fn ask(
        &self,
        work: impl FnOnce(&mut Agent, &dyn StateStore, Now) -> Result<(), Error> + Send + 'static,
    ) -> impl Future<Output = Result<(), Error>> {
        let kept = self.ask_for(work);
        async { kept.await.map(|_| ()) }
    }

    /// The same, and returns whether it is stored.
    fn ask_for(
        &self,
        work: impl FnOnce(&mut Agent, &dyn StateStore, Now) -> Result<(), Error> + Send + 'static,
    ) -> impl Future<Output = Result<Kept, Error>> {
        #[cfg(feature = "sealed")]
        let keyring = self.keyring.clone();
        self.work(Box::new(move |agent, store, now| {
            let done = work(agent, store, now);
            #[cfg(feature = "sealed")]
            keyring.hand_over(agent, now);
            done
        }))
    }

    async fn work(&self, work: Work) -> Result<Kept, Error> {
        let (done, is_done) = oneshot::channel();
        self.jobs.send(Job { work, done: Some(done) }).await.map_err(|_| Error::ShutDown)?;
        is_done.await.map_err(|_| Error::ShutDown)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use sipwake_core::account::Transport;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use super::*;
    #[cfg(feature = "tls")]
    use crate::probe::{Probe, Probing};
    use crate::store::StoreError;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A store that blocks the driver when it looks for this user's account, until the test lets it continue.
    struct Held {
        user: &'static str,
        entered: Mutex<Sender<()>>,
        go_on: Mutex<Receiver<()>>,
    }

    impl StateStore for Held {
        fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
            if key == binding_key(&Account::parse(config(self.user)).expect("valid").key()) {
                self.entered.lock().expect("no panic").send(()).expect("the test listens");
                self.go_on.lock().expect("no panic").recv_timeout(PATIENCE).expect("the test goes on");
            }
            Ok(None)
        }

        fn save(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
            Ok(())
        }

        fn remove(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn config(user: &str) -> AccountConfig {
        AccountConfig::new(format!("sip:{user}@example.com"), "secret")
    }

    /// A client, a function that blocks its driver, and a sender that lets the driver continue.
    fn held() -> (Client, Events, impl AsyncFnOnce() -> JoinSet<Result<AccountKey, Error>>, Sender<()>) {
        let ((entered, enters), (go, go_on)) = (channel(), channel());
        let store = Held { user: "held", entered: Mutex::new(entered), go_on: Mutex::new(go_on) };
        let (client, events) = Client::start(Arc::new(store));
        let holding = client.clone();
        let hold = async move || {
            let mut adding = JoinSet::new();
            adding.spawn(async move { holding.add_account(config("held"), None).await });
            while enters.try_recv().is_err() {
                sleep(Duration::from_millis(1)).await;
            }
            adding
        };
        (client, events, hold, go)
    }

    /// A client as on Android, where Rust cannot ask the system's verifier.
    #[cfg(feature = "tls")]
    fn trusting_nobody(options: Options) -> (Client, Events) {
        use sipwake_core::event::FlowError;
        let tls = Err(FlowError::Tls("nobody".to_owned()));
        Client::start_on(Network { tls, ..options.network() }, Arc::new(crate::store::MemoryStore::default()), options)
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn an_account_that_uses_tls_is_refused_where_nothing_can_verify_the_server() {
        let (client, _events) = trusting_nobody(Options::default());
        let over = |transport| AccountConfig { transport: Some(transport), ..config("alice") };
        for transport in [Transport::Tls, Transport::Wss] {
            match client.add_account(over(transport), None).await {
                Err(Error::Field(refused)) => assert_eq!(refused.field, "options.trust", "{transport:?}"),
                other => panic!("{transport:?}: {other:?}"),
            }
        }
        for transport in [Transport::Udp, Transport::Tcp, Transport::Ws] {
            assert!(client.add_account(over(transport), None).await.is_ok(), "{transport:?} needs no trust");
        }
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn probes_over_https_are_refused_where_nothing_can_verify_the_server() {
        let refusal = async |https| {
            let probe = Probe::WsLoad { https, port: None };
            let (client, _events) = trusting_nobody(Options::default().probing(Probing::new(probe)));
            client.add_account(config("alice"), None).await.err()
        };
        assert!(matches!(refusal(true).await, Some(Error::Field(FieldError { field: "options.trust", .. }))));
        assert_eq!(refusal(false).await, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn more_than_256_open_commands_make_their_callers_wait() {
        let (client, _events, hold, go) = held();
        let mut adding = hold().await;
        let mut callers = JoinSet::new();
        for _ in 0..JOBS + 50 {
            let client = client.clone();
            callers.spawn(async move { client.network_changed().await });
        }
        while client.jobs.capacity() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        // A push is judged at once, whatever waits. It is not in the queue.
        let action = client.push("{}", Channel::PushKit, &Hints::at(now()));
        assert!(action.must_be_reported());
        sleep(Duration::from_millis(50)).await;
        assert_eq!((client.jobs.capacity(), client.jobs.max_capacity()), (0, JOBS));
        assert!(callers.try_join_next().is_none(), "no event says that it is done");
        go.send(()).expect("the driver waits");
        for _ in 0..JOBS + 50 {
            let done = timeout(PATIENCE, callers.join_next()).await.expect("in time").expect("there are more");
            assert_eq!(done.expect("no panic"), Ok(()));
        }
        assert!(adding.join_next().await.expect("one").expect("no panic").is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_sends_more_than_the_driver_reads_is_slowed_down_by_tcp() {
        // More than 256 pieces of 16 KiB and the system's buffers together.
        const TOO_MUCH: usize = 64 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let (client, _events, hold, go) = held();
        let mut account = config("alice");
        account.gateways = vec![listener.local_addr().expect("bound").to_string()];
        account.transport = Some(Transport::Tcp);
        let account = client.add_account(account, None).await.expect("valid");
        client.register(&account).await.expect("it was added");
        let (mut server, _) = listener.accept().await.expect("it connects");
        let mut adding = hold().await;

        let nobody = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
            Call-ID: x\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n";
        let piece = nobody.repeat(100);
        let (mut taken, mut pending) = (0, 0);
        loop {
            match timeout(Duration::from_secs(1), server.write(&piece.as_bytes()[pending..])).await {
                Ok(written) => {
                    let written = written.expect("the connection is open");
                    taken += written;
                    pending = (pending + written) % piece.len();
                }
                Err(_) => break,
            }
            assert!(taken < TOO_MUCH, "the driver is blocked; {taken} bytes were read");
        }
        go.send(()).expect("the driver waits");
        let rest = timeout(PATIENCE, server.write_all(&piece.as_bytes()[pending..])).await;
        rest.expect("the window opens again").expect("the connection is open");
        assert!(adding.join_next().await.expect("one").expect("no panic").is_ok());
        assert_eq!(client.network_changed().await, Ok(()));
    }
}
