//! Flows: one task each, which opens it, carries bytes both ways, and says when it is over.

mod tcp;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::{FlowError, FlowId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::resolve::resolve;

/// Messages waiting to be sent on one flow, and happenings waiting for the driver. A full queue makes its writer wait, which a
/// TCP peer feels as a closed window.
const QUEUE: usize = 64;
/// How long a closed flow may take to get rid of what was queued before: a refusal sent just before the end still leaves.
const LINGER: Duration = Duration::from_secs(1);
/// The largest piece read at once; the largest datagram.
const PIECE: usize = 65_535;

/// What happens on a flow.
#[derive(Debug)]
pub(crate) enum Happening {
    Up(SocketAddr),
    Input(Vec<u8>),
    Down(FlowError),
}

pub(crate) type Happenings = mpsc::Sender<(FlowId, Happening)>;

/// The driver's end of a flow. Dropping it closes the flow once what was queued is sent, within [`LINGER`].
#[derive(Debug)]
pub(crate) struct FlowHandle {
    outgoing: mpsc::Sender<Vec<u8>>,
    _alive: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl FlowHandle {
    /// Opens a flow; what becomes of it is reported to `happenings`.
    pub(crate) fn open(id: FlowId, hop: Hop, local_port: Option<u16>, happenings: Happenings) -> Self {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let (alive, dropped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let carry = async {
                let error = run(id, hop, local_port, queue, &happenings).await;
                // The driver may be gone already.
                let _ = happenings.send((id, Happening::Down(error))).await;
            };
            let linger = async {
                let _ = dropped.await;
                sleep(LINGER).await;
            };
            tokio::select! {
                () = carry => {}
                () = linger => {}
            }
        });
        Self { outgoing, _alive: alive, task }
    }

    /// Closes the flow, as dropping it does, and returns the task that ends when its socket is closed.
    pub(crate) fn close(self) -> JoinHandle<()> {
        self.task
    }

    /// Queues bytes. A flow that cannot keep up loses them: SIP retransmits over UDP, and a stream so stuck is dead.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        if self.outgoing.try_send(bytes).is_err() {
            log::warn!("a flow does not take what is sent; dropped");
        }
    }
}

async fn run(
    id: FlowId,
    hop: Hop,
    local_port: Option<u16>,
    queue: mpsc::Receiver<Vec<u8>>,
    happenings: &Happenings,
) -> FlowError {
    let addresses = match resolve(&hop).await {
        Ok(addresses) => addresses,
        Err(error) => return error,
    };
    let result = match hop.transport {
        Transport::Udp => udp::run(id, &addresses, local_port, queue, happenings).await,
        Transport::Tcp => tcp::run(id, &addresses, queue, happenings).await,
        Transport::Tls | Transport::Ws | Transport::Wss => Err(FlowError::Unsupported),
    };
    result.err().unwrap_or(FlowError::Closed)
}

fn unreachable(error: &std::io::Error) -> FlowError {
    FlowError::Unreachable(error.kind().to_string())
}
