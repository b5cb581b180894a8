//! A registrar, a push gateway and a fake APNs/FCM in one, on loopback, for tests.
//!
//! It has its own parser, builder and digest, so that it can't be wrong together with the code that it tests.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
//! use mock_gateway::{Config, MockGateway, Profile};
//!
//! let profile = Profile::named("xmpush").expect("a known profile");
//! let mock = MockGateway::start(Config::new(profile).user("alice", "secret")).await.expect("loopback is there");
//! println!("register at sip:{}", mock.addr());
//! assert!(mock.bindings("alice").await.is_empty());
//! # });
//! ```
#![forbid(unsafe_code)]

pub mod binding;
mod build;
pub mod call;
mod caller;
pub mod config;
pub mod control;
mod dialog;
pub mod digest;
pub mod faults;
mod gateway;
pub mod habits;
pub mod handle;
mod hold;
mod json;
pub mod load_api;
mod outside;
pub mod parse;
pub mod profile;
pub mod program;
pub mod push;
pub mod record;
mod registrar;
mod request;
pub mod seal;
pub mod tags;
mod transaction;
pub mod transport;
mod upstream;
mod wakeup;

pub use binding::{BindingView, Scripted, Upstream};
pub use call::{CallOptions, CallReport, CallState, Phase, PlannedEnd, PushWhen};
pub use config::{Config, UserConfig};
pub use digest::{Algorithm, Challenges, Offer};
pub use faults::{Action, Fault, Kind};
pub use habits::{Habit, Habits};
pub use handle::{CallHandle, MockGateway, Stopped};
pub use load_api::LoadApi;
pub use parse::Message;
pub use profile::Profile;
pub use push::{Delivery, Push, PushKind, PushStream};
pub use record::{Direction, Entry, Record, Violation, ladder};
pub use tags::{Channel, Dialect, PushTarget};
pub use transport::{FlowId, Transport};
