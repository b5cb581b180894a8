//! What a flow's task and the connection that it carries tell each other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sipwake_core::event::FlowId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Happening, Happenings, Network};

/// One connection's way to the driver.
pub(super) struct Line {
    /// The flow's own name, until the flow moves on.
    name: AtomicU64,
    remote: SocketAddr,
    network: Arc<Network>,
    happenings: Happenings,
    heard: AtomicBool,
    /// Since when a request has had no answer.
    asked: Mutex<Option<Instant>>,
    /// Whether datagrams from elsewhere than the peer are wanted.
    pub(super) peers: watch::Receiver<bool>,
}

impl Line {
    pub(super) fn new(
        flow: FlowId,
        remote: SocketAddr,
        network: Arc<Network>,
        happenings: Happenings,
        peers: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let (name, heard, asked) = (AtomicU64::new(flow.0), AtomicBool::new(false), Mutex::default());
        Arc::new(Self { name, remote, network, happenings, heard, asked, peers })
    }

    /// Tells the driver what came in. Returns `None` where the driver is gone.
    pub(super) async fn input(&self, bytes: Vec<u8>) -> Option<()> {
        self.heard.store(true, Ordering::Relaxed);
        if let Some(asked) = self.asked().take() {
            self.network.addresses.answered(self.remote, asked.elapsed());
        }
        self.tell(Happening::Input(bytes)).await
    }

    pub(super) async fn tell(&self, happening: Happening) -> Option<()> {
        self.happenings.send((FlowId(self.name.load(Ordering::Relaxed)), happening)).await.ok()
    }

    /// A message leaves. The server must answer a request for itself. Only that shows whether it is alive. A BYE may
    /// wait for a caller who is gone.
    pub(super) fn sent(&self, bytes: &[u8]) {
        if bytes.starts_with(b"REGISTER ") || bytes.starts_with(b"OPTIONS ") {
            self.asked().get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// When the address has had long enough to answer.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        let asked = *self.asked();
        asked.map(|asked| asked + self.network.addresses.patience(self.remote))
    }

    /// The flow has moved to another address; what still comes here comes under another name.
    pub(super) fn rename(&self, flow: FlowId) {
        self.name.store(flow.0, Ordering::Relaxed);
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
