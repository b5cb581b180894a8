//! A flow of an app's own, beside those of the client.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::{FlowError, FlowId};
use sipwake_core::sip::{Frame, Framer};
use tokio::sync::mpsc;

use crate::transport::{FlowEvent, FlowHandle, Network, Up};

/// An id that the core does not use.
const FLOW: FlowId = FlowId(u64::MAX - 1);

/// A flow to an account's server beside the client's own, with the client's resolver and trust, for tools that test a server:
/// [`Client::open_flow`](crate::Client::open_flow). After the handshakes of TLS and WebSocket nothing goes over it but what
/// [`send`](Self::send) gets. It closes when it is dropped.
pub struct Flow {
    handle: FlowHandle,
    happenings: mpsc::Receiver<(FlowId, FlowEvent)>,
    /// Cuts messages out of a stream. `None` if the transport keeps them apart.
    framer: Option<Framer>,
    transport: Transport,
    local: SocketAddr,
}

impl Flow {
    pub(crate) async fn open(hop: Hop, network: Arc<Network>) -> Result<Self, FlowError> {
        let (sender, mut happenings) = mpsc::channel(16);
        let mut transport = hop.transport;
        let handle = FlowHandle::open(FLOW, hop, None, network, sender);
        let local = loop {
            match happenings.recv().await {
                Some((_, FlowEvent::Chosen(chosen))) => transport = chosen,
                Some((_, FlowEvent::Up(Up { local, .. }))) => break local,
                Some((_, FlowEvent::Down(error))) => return Err(error),
                Some((_, FlowEvent::Input(_) | FlowEvent::Stranger(..))) => {}
                None => return Err(FlowError::Closed),
            }
        };
        let stream = transport.is_reliable() && !transport.is_websocket();
        Ok(Self { handle, happenings, framer: stream.then(Framer::new), transport, local })
    }

    /// Returns the transport, which the DNS may have chosen.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns our address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Queues one message.
    pub fn send(&self, message: &[u8]) {
        self.handle.send(message.to_vec());
    }

    /// Waits for the next whole message. Giving up waiting loses nothing.
    ///
    /// # Errors
    /// Why the flow is over. What was sent before the server closed an unheard connection is lost with it.
    pub async fn receive(&mut self) -> Result<Vec<u8>, FlowError> {
        loop {
            if let Some(framer) = &mut self.framer {
                while let Some(frame) = framer.next().map_err(|_| FlowError::Garbage)? {
                    if let Frame::Message(message) = frame {
                        return Ok(message);
                    }
                }
            }
            match self.happenings.recv().await {
                Some((_, FlowEvent::Input(bytes))) => match &mut self.framer {
                    Some(framer) => framer.push(&bytes).map_err(|_| FlowError::Garbage)?,
                    // A keep-alive is not a message.
                    None if bytes.trim_ascii().is_empty() => {}
                    None => return Ok(bytes),
                },
                Some((_, FlowEvent::Down(error))) => return Err(error),
                // The flow is now at another address of the server, which knows nothing about earlier messages.
                Some((_, FlowEvent::Up(_))) | None => return Err(FlowError::Closed),
                Some((_, FlowEvent::Chosen(_) | FlowEvent::Stranger(..))) => {}
            }
        }
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("transport", &self.transport).field("local", &self.local).finish_non_exhaustive()
    }
}
