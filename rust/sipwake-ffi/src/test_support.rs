//! Deliberate bugs. With them, the bindings' tests see what happens after a bug. They are not in released builds.

use crate::error::SipWakeError;

/// Panics on the caller's thread.
///
/// # Errors
/// Never returns.
#[uniffi::export]
pub fn panic_now() -> Result<(), SipWakeError> {
    panic!("a panic on purpose")
}

/// Panics while it is awaited.
///
/// # Errors
/// Never returns.
#[uniffi::export]
pub async fn panic_when_awaited() -> Result<String, SipWakeError> {
    panic!("a panic on purpose, awaited")
}
