//! Tasks, and futures beside each other.

use std::pin::Pin;
use std::task::Poll;

use tokio::task::JoinHandle;

/// Spawns a task in a box: tokio's code around a task is then there once, and not for each kind of future.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}

/// A handful of futures that run beside each other, within whoever waits for them: one that wakes has all of them polled.
pub(crate) struct Handful<'a, T>(Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<'a, T> Handful<'a, T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, future: impl Future<Output = T> + Send + 'a) {
        self.0.push(Box::pin(future));
    }

    /// Returns what the next of them to end gives; `None` when all have ended. Giving up waiting loses nothing.
    pub(crate) async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|context| {
            for (index, future) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    drop(self.0.swap_remove(index));
                    return Poll::Ready(Some(output));
                }
            }
            if self.0.is_empty() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn futures_end_in_their_own_order_and_giving_up_loses_none() {
        let mut running = Handful::new();
        for seconds in [3, 1, 2] {
            running.push(async move {
                sleep(Duration::from_secs(seconds)).await;
                seconds
            });
        }
        assert!(timeout(Duration::from_millis(500), running.next()).await.is_err());
        let mut ended = Vec::new();
        while let Some(seconds) = running.next().await {
            ended.push(seconds);
        }
        assert_eq!(ended, [1, 2, 3]);
    }
}
