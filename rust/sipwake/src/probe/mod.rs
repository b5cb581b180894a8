//! Asks the gateways of an account how busy they are, without delaying anything else.

mod http;
mod options;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sipwake_core::account::{Account, AccountKey, Hop, MAX_GATEWAYS};
use sipwake_core::event::Event;
use sipwake_core::gateway::Load;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::job::{Job, Work};
use crate::task::{Futures, spawn};
use crate::trace::Trace;
use crate::transport::Network;

/// How long a gateway may take to respond to a probe.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long the first registration waits for the probes.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How long it takes until gateways are asked again.
const EVERY: Duration = Duration::from_secs(300);
/// For how many accounts gateways are probed.
const MAX_PROBED: usize = 64;

/// How gateways are asked whether they are there and how busy they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// SIP OPTIONS over the gateway's own transport: it says whether a gateway responds, and how fast. Any response will do except
    /// 408, 500, 503 and 504.
    Options,
    /// Mizutech's `wsload`, `GET /mvapireq/?apientry=wsload`: it says the load, from 0 to 4, too.
    WsLoad {
        /// Whether it is asked over TLS, with the client's own trust.
        https: bool,
        /// The port on the gateway's host; when absent that of a `ws://` or `wss://` gateway, else 80 or 443.
        port: Option<u16>,
    },
}

/// When and how the gateways of accounts that list several of them are probed. They are asked before the account's first
/// registration and, every five minutes at most or on another network, after a later one, when the radio is awake anyway. What they say counts from
/// the next time that a gateway is chosen: at the first registration, at a refresh, after a failure. The lowest load wins, then
/// the shortest response time; one that does not answer, or has load 4, is used only when all others fail. A push never waits.
///
/// ```
/// use std::time::Duration;
///
/// use sipwake::{Options, Probe, Probing};
///
/// let wsload = Probe::WsLoad { https: true, port: None };
/// let options = Options::default().probing(Probing::new(wsload).first_wait(Duration::from_millis(300)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    probe: Probe,
    timeout: Duration,
    first_wait: Duration,
    every: Duration,
}

impl Probing {
    /// Returns the settings for a kind of probe: 2 seconds for an answer, of which a first registration waits for 500
    /// milliseconds.
    pub fn new(probe: Probe) -> Self {
        Self { probe, timeout: TIMEOUT, first_wait: FIRST_WAIT, every: EVERY }
    }

    /// Sets how long a gateway may take to respond.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long [`Client::register`](crate::Client::register) waits for the probes, once for each account in a process. It
    /// waits less when all gateways have answered; what comes later counts for the next choice.
    #[must_use]
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }

    /// Sets how long gateways are left alone after a probe.
    #[must_use]
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }
}

/// What a probe has found of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayHealth {
    /// Its place in the account's list.
    pub gateway: usize,
    /// The load it told, from 0 (low) to 4 (counts as down); 0 for one that only responded, `None` for one that did not.
    pub load: Option<u8>,
    /// From the question to the answer, without the time to connect; how long was waited where none came.
    pub response_time: Duration,
}

/// What a probe needs to know about an account.
#[derive(Clone)]
pub(crate) struct Target {
    key: AccountKey,
    aor: String,
    registrar: String,
    hops: Arc<[Hop]>,
}

impl From<&Account> for Target {
    fn from(account: &Account) -> Self {
        Self {
            key: account.key(),
            aor: account.aor().to_string(),
            registrar: account.registrar().to_owned(),
            hops: account.hops().iter().take(MAX_GATEWAYS).cloned().collect(),
        }
    }
}

/// Probes the gateways of a client's accounts.
pub(crate) struct Prober {
    settings: Option<Probing>,
    network: Arc<Network>,
    trace: Option<Arc<dyn Trace>>,
    runtime: Handle,
    /// Weak, because a probe must not keep a client alive.
    jobs: mpsc::WeakSender<Job>,
    targets: Mutex<HashMap<AccountKey, (Target, Probed)>>,
}

/// When the gateways of an account were last probed.
#[derive(Debug, Clone, Copy, Default)]
enum Probed {
    #[default]
    Never,
    At(Instant),
    /// On another network, where the result had another meaning.
    Elsewhere,
}

impl Prober {
    pub(crate) fn new(
        settings: Option<Probing>,
        network: Arc<Network>,
        trace: Option<Arc<dyn Trace>>,
        jobs: mpsc::WeakSender<Job>,
    ) -> Arc<Self> {
        Arc::new(Self { settings, network, trace, runtime: Handle::current(), jobs, targets: Mutex::default() })
    }

    #[cfg(feature = "tls")]
    pub(crate) fn uses_tls(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| matches!(settings.probe, Probe::WsLoad { https: true, .. }))
    }

    /// Remembers an account's gateways.
    pub(crate) fn know(&self, target: Target) {
        let key = target.key.clone();
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.len() >= MAX_PROBED && !targets.contains_key(&key) {
            *targets = HashMap::default();
        }
        let probed = targets.get(&key).filter(|(known, _)| known.hops == target.hops).map(|(_, probed)| *probed);
        targets.insert(key, (target, probed.unwrap_or_default()));
    }

    /// Probes before a first registration. Waits a short time for the results.
    pub(crate) async fn before_first(self: &Arc<Self>, key: &AccountKey) {
        let Some(settings) = &self.settings else { return };
        if let Some(target) = self.due(key, None) {
            let (prober, settings) = (self.clone(), settings.clone());
            let wait = async move {
                let first_wait = settings.first_wait;
                // A probe that is not done in time continues in its own task.
                let _ = timeout(first_wait, prober.probe_behind(target, settings)).await;
            };
            // The caller may not be on a runtime: the app's language polls the FFI's futures.
            let waited = {
                let _inside = self.runtime.enter();
                spawn(wait)
            };
            let _ = waited.await;
        }
    }

    /// Lets the results count until the next registration. After that the gateways are probed again.
    pub(crate) fn network_changed(&self) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, probed) in targets.values_mut() {
            if matches!(probed, Probed::At(_)) {
                *probed = Probed::Elsewhere;
            }
        }
    }

    /// Probes after registrations, but not too often, until the client ends.
    pub(crate) async fn after_registrations(self: Arc<Self>, mut events: broadcast::Receiver<Event>) {
        let Some(settings) = self.settings.clone() else { return };
        loop {
            match events.recv().await {
                Ok(Event::Registered { account, .. }) => {
                    if let Some(target) = self.due(&account, Some(settings.every)) {
                        drop(self.clone().probe_behind(target, settings.clone()));
                    }
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Probes all gateways of an account at once, and tells the core. `None` for an unknown account.
    pub(crate) async fn now(&self, key: &AccountKey) -> Option<Vec<GatewayHealth>> {
        let target = {
            let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            let (target, probed) = targets.get_mut(key)?;
            *probed = Probed::At(Instant::now());
            target.clone()
        };
        let settings = self.settings.clone().unwrap_or_else(|| Probing::new(Probe::Options));
        Some(self.probe(&target, &settings).await)
    }

    /// Returns the target if it has several gateways and was never probed. With a pause, also if the last probe is that
    /// long ago.
    fn due(&self, key: &AccountKey, pause: Option<Duration>) -> Option<Target> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, probed) = targets.get_mut(key)?;
        let lately = match (&*probed, pause) {
            (Probed::Never, _) | (Probed::Elsewhere, Some(_)) => false,
            (Probed::At(at), Some(pause)) => at.elapsed() < pause,
            (Probed::At(_) | Probed::Elsewhere, None) => true,
        };
        if lately || target.hops.len() < 2 {
            return None;
        }
        *probed = Probed::At(Instant::now());
        Some(target.clone())
    }

    fn probe_behind(self: Arc<Self>, target: Target, settings: Probing) -> JoinHandle<()> {
        spawn(async move { drop(self.probe(&target, &settings).await) })
    }

    async fn probe(&self, target: &Target, settings: &Probing) -> Vec<GatewayHealth> {
        let mut asked = Futures::new();
        for (gateway, hop) in target.hops.iter().enumerate() {
            asked.push(async move {
                let begun = Instant::now();
                let answer = async {
                    let (network, trace) = (self.network.clone(), self.trace.clone());
                    match settings.probe {
                        Probe::Options => options::ask(hop, &target.aor, &target.registrar, network, trace).await,
                        Probe::WsLoad { https, port } => http::ask(hop, https, port, &network).await,
                    }
                };
                let answer = timeout(settings.timeout, answer).await.ok().flatten();
                (gateway, answer.map(|(load, _)| load), answer.map_or_else(|| begun.elapsed(), |(_, time)| time))
            });
        }
        let mut found = Vec::new();
        while let Some((gateway, load, response_time)) = asked.next().await {
            self.tell(&target.key, gateway, load, response_time).await;
            found.push(GatewayHealth { gateway, load: load.map(Load::value), response_time });
        }
        found.sort_unstable_by_key(|health| health.gateway);
        found
    }

    async fn tell(&self, key: &AccountKey, gateway: usize, load: Option<Load>, response_time: Duration) {
        let Some(jobs) = self.jobs.upgrade() else { return };
        let key = key.clone();
        let work: Work = Box::new(move |agent, _, _| {
            // The account may have been logged out meanwhile.
            let _ = agent.handle_gateway_load(&key, gateway, load, response_time);
            Ok(())
        });
        let _ = jobs.send(Job { work, done: None }).await;
    }
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prober")
    }
}
