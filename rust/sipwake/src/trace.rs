//! What a developer may watch.

/// Sees every message that is sent or received, with its secrets already cut to their length and last four characters.
pub trait Trace: Send + Sync {
    /// A message passed.
    fn message(&self, sent: bool, flow: u64, text: &str);
}
