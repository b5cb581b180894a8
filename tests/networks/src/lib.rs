//! The networks that a phone meets, made on loopback. Nothing in here is part of sipwake.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a test's helper fails by panicking")]

pub mod front;
pub mod relay;

pub use front::{Authority, Front};
pub use relay::{Path, Relay, Tally};
