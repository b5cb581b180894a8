//! Tasks.

use tokio::task::JoinHandle;

/// Spawns a task in a box: tokio's code around a task is then there once, and not for each kind of future.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}
