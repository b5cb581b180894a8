//! What a developer can watch.

/// Gets every message that is sent or received. Secrets are cut to their length and last four characters.
pub trait Trace: Send + Sync {
    /// A message passed.
    fn message(&self, sent: bool, flow: u64, text: &str);
}
