//! The sans-IO core of sipwake: it takes bytes, a time and a seed, and returns bytes and events.
#![forbid(unsafe_code)]

pub mod clock;
pub mod error;
pub mod payload;
pub mod redact;
