//! sipwake wakes a phone for a SIP call.
//!
//! This crate runs [`sipwake_core`] on real sockets: one driver task, a handle that is cheap to clone, events as a stream.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use sipwake::{AccountConfig, Channel, Client, FileStore, Hints, Provider, PushConfig};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, mut events) = Client::start(Arc::new(FileStore::open("/data/app/sipwake")?));
//! let account = client
//!     .add_account(
//!         AccountConfig::new("alice@example.com", "wonderland"),
//!         Some(PushConfig::new(Provider::Fcm, "my-project")),
//!     )
//!     .await?;
//! client.set_token(&account, "c-10:APA91b…").await?;
//! client.register(&account).await?;
//!
//! // Later, when a push arrives: at once, without waiting for the network.
//! let action = client.push(br#"{"ntype":"0","nfrom":"1234"}"#.as_slice(), Channel::FcmAndroid, &Hints::at(sipwake::now()));
//! println!("tell the operating system: {:?}", action.duty);
//!
//! while let Some(event) = events.next().await {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Its log (crate `log`, targets that begin with `sipwake`) has no secrets. The WebSocket crate, `tungstenite`, logs whole messages at
//! level `trace`, with tokens and digest responses: your logger must leave those out.
#![forbid(unsafe_code)]

mod beside;
mod client;
mod clock;
mod companion;
mod driver;
mod error;
mod events;
mod flow;
mod job;
#[cfg(feature = "sealed")]
mod keyring;
mod options;
mod probe;
mod resolve;
mod store;
mod task;
mod trace;
mod transport;
#[cfg(feature = "tls")]
mod trust;

pub use sipwake_core as core;
pub use sipwake_core::account::{AccountConfig, AccountKey, Transport, UpperServer};
pub use sipwake_core::call::{CallPolicy, HangUp, Progress};
pub use sipwake_core::digest::{Credentials, RealmHa1};
pub use sipwake_core::error::{FieldError, Rule};
pub use sipwake_core::event::{
    Answer, CallChange, CallEvent, CallRequest, CallTimes, Caller, CertificateFault, Discard, Ended, Event, Failure,
    FlowError, Offer, Registered, RequestKind,
};
pub use sipwake_core::payload::{
    ActionKind, AppState, Channel, Decryptor, Duty, Hints, Payload, Priority, PushAction, Unopened, parse_push,
    parse_push_with, parse_sealed_push,
};
pub use sipwake_core::push::{
    Binding, Dialect, Dialects, Environment, Mode, PortSipHeader, Provider, Push, PushConfig, PushToken, Removal,
    Standing, Tags, Verdict,
};
pub use sipwake_core::redact::Secret;
#[cfg(feature = "sealed")]
pub use sipwake_core::sealed::{KeyError, PushKey, PushKeys};
pub use sipwake_core::trust::{RedirectRefusal, Warning};
pub use sipwake_core::user_agent::Decline;
pub use uuid::Uuid;

pub use beside::parse_push_beside;
pub use client::{Client, TokenUpdate};
pub use clock::{fill_random, now};
pub use companion::Companion;
pub use error::Error;
pub use events::Events;
pub use flow::Flow;
pub use job::Kept;
pub use options::Options;
pub use probe::{GatewayHealth, Probe, Probing};
pub use resolve::{Naptr, Resolver, Srv, SystemResolver};
pub use store::{FileStore, MemoryStore, StateStore, StoreError, StoreFault};
pub use trace::Trace;
#[cfg(feature = "tls")]
pub use trust::{ServerTrust, SpkiPin, Trust, TrustError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
