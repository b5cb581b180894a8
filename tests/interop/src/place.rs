//! Where a scene is played: a user of a server, over one transport.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use sipwake::{MemoryStore, Transport};

use crate::kamailio::{Algorithm, Kamailio};
use crate::phone::{TOKEN, account, options, push};
use crate::sipp::Sipp;
use crate::watch::Watched;

/// A user of the server, over one transport.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The server.
    pub server: &'a Kamailio,
    /// The user part of its address of record.
    pub user: &'a str,
    /// The transport of its phones.
    pub transport: Transport,
}

impl Place<'_> {
    /// Starts a phone with the store of an earlier one. It has a token, and sends nothing yet.
    ///
    /// # Panics
    /// When the account is not valid.
    pub async fn phone_on(self, store: Arc<MemoryStore>, token: &str) -> Watched {
        let account = account(self.server, self.user, self.transport);
        let phone = Watched::start_on(store, account, Some(push()), options(self.server)).await;
        phone.client.set_token(&phone.account, token).await.expect("a token");
        phone
    }

    /// Starts a phone, and registers it with its token.
    ///
    /// # Panics
    /// When it does not register in time.
    pub async fn phone_with(self, token: &str) -> Watched {
        let mut phone = self.phone_on(Arc::default(), token).await;
        phone.client.register(&phone.account).await.expect("it was added");
        phone.registered().await;
        phone
    }

    /// Starts a phone, and registers it.
    ///
    /// # Panics
    /// When it does not register in time.
    pub async fn phone(self) -> Watched {
        self.phone_with(TOKEN).await
    }

    /// Starts a call by SIPp; `None` if SIPp is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn called(self, scenario: &str) -> Option<Sipp> {
        Sipp::call(scenario, self.user, self.server.port)
    }

    /// Starts this many calls by SIPp, one after the other.
    ///
    /// # Panics
    /// When it does not start.
    pub fn called_often(self, scenario: &str, count: usize) -> Option<Sipp> {
        Sipp::calls(scenario, self.user, self.server.port, count)
    }

    /// Waits until a call has come to the server.
    ///
    /// # Panics
    /// When none comes.
    pub async fn holds_a_call(self) {
        self.server.holds_a_call_to(self.user).await;
    }
}

/// Plays a scene over every transport at the same time, each with a user of its own.
///
/// Connections with and without TLS are at a server each. They go to different ports of it, so the system may give two of
/// them the same local port, and Kamailio finds a connection by the address of the phone alone.
///
/// Debian's Kamailio crashes once in some hundred times when several phones connect with TLS. Then the scene is played again.
///
/// # Panics
/// When a server does not start, when it crashes three times, and when the scene panics.
pub async fn over_every_transport(scene: impl AsyncFn(Place<'_>)) {
    for last in [false, false, true] {
        let (clear, secure) = tokio::join!(Kamailio::start(Algorithm::Sha256), Kamailio::start(Algorithm::Sha256));
        let (Some(mut clear), Some(mut secure)) = (clear, secure) else { return };
        let at = |server, user, transport| scene(Place { server, user, transport });
        let played = catch(async {
            tokio::join!(
                at(&clear, "udp", Transport::Udp),
                at(&clear, "tcp", Transport::Tcp),
                at(&clear, "ws", Transport::Ws),
                at(&secure, "tls", Transport::Tls),
                at(&secure, "wss", Transport::Wss),
            );
        });
        let Err(panic) = played.await else { return };
        let crashed = clear.has_crashed().await || secure.has_crashed().await;
        if last || !crashed {
            std::panic::resume_unwind(panic);
        }
        eprintln!("Kamailio has crashed; the scene is played again:\n{}\n{}", clear.log(), secure.log());
    }
}

/// Runs a future to its end, or to its panic.
async fn catch(future: impl Future<Output = ()>) -> std::thread::Result<()> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
