//! Options of a client besides its store.

use std::fmt;
use std::sync::Arc;

use sipwake_core::payload::Decryptor;

use crate::probe::Probing;
use crate::resolve::{Addresses, Resolver, SystemResolver};
use crate::trace::Trace;
use crate::transport::Network;
#[cfg(feature = "tls")]
use crate::trust::Trust;

/// How a client uses the network. The defaults are for a public server.
#[derive(Clone, Default)]
pub struct Options {
    pub(crate) trace: Option<Arc<dyn Trace>>,
    pub(crate) unsolicited_calls: bool,
    pub(crate) probing: Option<Probing>,
    pub(crate) decryptor: Option<Arc<dyn Decryptor + Send + Sync>>,
    #[cfg(feature = "replay")]
    pub(crate) recorded: Option<usize>,
    resolver: Option<Arc<dyn Resolver>>,
    #[cfg(feature = "tls")]
    pub(crate) trust: Trust,
}

impl Options {
    /// Shows every message to `trace`, without its secrets.
    #[must_use]
    pub fn trace(mut self, trace: Arc<dyn Trace>) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Opens encrypted payloads of [`Client::push`](crate::Client::push) with this, on the thread that calls it. Accounts that set
    /// [`sealed_pushes_only`](crate::AccountConfig::sealed_pushes_only) believe nothing in a push that it does not open.
    #[must_use]
    pub fn decryptor(mut self, decryptor: Arc<dyn Decryptor + Send + Sync>) -> Self {
        self.decryptor = Some(decryptor);
        self
    }

    /// Records what enters the client from its start, up to `cap` bytes. [`Client::recording`](crate::Client::recording) returns it
    /// as a file, and `sipwake replay` plays it again. Off by default.
    ///
    /// The file has no password, digest, token, `X-PIID`, key or message text: placeholders of the same length replace them. It has
    /// names, numbers and addresses of callers: ask the user first.
    #[cfg(feature = "replay")]
    #[must_use]
    pub fn record_for_replay(mut self, cap: usize) -> Self {
        self.recorded = Some(cap);
        self
    }

    /// Looks names up with this instead of the system's resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Probes the gateways of accounts that list several. Without it, they are tried in the order of the list.
    #[must_use]
    pub fn probing(mut self, probing: Probing) -> Self {
        self.probing = Some(probing);
        self
    }

    /// Lets calls over UDP ring that do not come from the registrar, but from any address that finds the phone. By default only
    /// the server that an account is registered with can call.
    ///
    /// A second socket on the port of each flow receives from everybody.
    #[must_use]
    pub fn unsolicited_calls(mut self, allow: bool) -> Self {
        self.unsolicited_calls = allow;
        self
    }

    /// Sets the trust for TLS and WSS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    pub(crate) fn network(&self) -> Network {
        let resolver = self.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver));
        Network {
            unsolicited: self.unsolicited_calls,
            addresses: Addresses::new(resolver),
            #[cfg(feature = "tls")]
            tls: self.trust.config(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = f.debug_struct("Options");
        options.field("decryptor", &self.decryptor.is_some());
        #[cfg(feature = "replay")]
        options.field("recorded", &self.recorded);
        options.field("trace", &self.trace.is_some()).field("resolver", &self.resolver.is_some());
        options.field("probing", &self.probing);
        #[cfg(feature = "tls")]
        options.field("trust", &self.trust);
        options.finish()
    }
}
