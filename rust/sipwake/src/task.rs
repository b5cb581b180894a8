//! Tasks, and futures that run together.

use std::pin::Pin;
use std::task::Poll;

use tokio::task::JoinHandle;

/// Spawns a boxed task. tokio's code around a task then exists once, and not for each kind of future.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}

/// A few futures that run together inside the task that waits for them. When one wakes, all are polled.
pub(crate) struct Futures<'a, T>(Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<'a, T> Futures<'a, T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, future: impl Future<Output = T> + Send + 'a) {
        self.0.push(Box::pin(future));
    }

    /// Returns the result of the next one to end. `None` when all have ended. If the caller stops waiting, nothing is
    /// lost.
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
    async fn futures_end_in_their_own_order_and_a_cancelled_wait_loses_none() {
        let mut running = Futures::new();
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
