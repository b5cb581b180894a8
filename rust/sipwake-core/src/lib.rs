//! The sans-IO core of sipwake: it takes bytes, a time and a seed, and returns bytes and events.
//!
//! There is no socket, no clock, no task and no random source in here. [`user_agent::UserAgent`] is the whole client.
//! [`payload::parse_push`] reads a push. [`push::Push::tags`] and [`push::Push::verdict`] serve another SIP stack. The
//! crate `sipwake` adds real sockets.
#![forbid(unsafe_code)]

pub mod account;
pub mod beside;
mod binding;
pub mod call;
mod calls;
pub mod clock;
pub mod digest;
pub mod error;
pub mod event;
mod flows;
pub mod gateway;
pub mod judge;
mod outbox;
pub mod payload;
pub mod push;
mod random;
pub mod record;
pub mod redact;
mod registration;
#[cfg(feature = "replay")]
pub mod replay;
#[cfg(feature = "sealed")]
pub mod sealed;
pub mod sip;
pub mod snapshot;
pub mod trace;
mod transaction;
pub mod trust;
mod unread;
mod unsaved;
pub mod user_agent;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
