//! sipwake for Kotlin and Swift, through UniFFI. It converts and never decides.
//!
//! Apps use the layers above it (`bindings/kotlin`, `bindings/swift`). This layer has the shape that the bridge needs:
//! flat records, milliseconds as integers, UUIDs and account ids as text, and a `Result` from every function. So even a
//! bug in here reaches Swift as an error and does not end the app.

mod account;
mod beside;
mod call;
mod client;
mod companion;
mod decryptor;
mod error;
mod event;
mod logging;
mod options;
mod outbox;
mod parse;
mod payload;
mod push;
#[cfg(feature = "sealed")]
mod push_key;
mod report;
mod resolver;
mod runtime;
mod store;
mod stream;
#[cfg(feature = "test-support")]
pub mod test_support;
mod trust;

uniffi::setup_scaffolding!();

pub use account::{
    AccountConfig, AccountSetup, Credentials, DigestAlgorithm, RealmHa1, Transport, UpperServer, account_id,
};
pub use beside::{
    CompanionAnswer, CompanionInvite, CompanionListener, CompanionNext, CompanionRegister, CompanionTold,
    PendingLogOut, RegisterResponse, SipWakeCompanion,
};
pub use call::{
    CallChange, CallPolicy, CallRequest, CallTimes, Caller, DeclineHow, EndReason, HangUp, Moment, RequestKind,
    SessionOffer,
};
pub use client::{Kept, SipWakeClient, TokenOutcome};
pub use companion::{RegisterTags, Tag, TagsBinding, TagsCompanion};
pub use decryptor::Decryptor;
pub use error::{CallbackError, SipWakeError};
pub use event::{DiscardReason, Event, FailureKind, Registration, Standing, Verdict, WarningKind};
pub use logging::{LogLevel, LogListener, LogRecord, set_log_level, set_log_listener};
pub use options::{ClientCertificate, ClientOptions, GatewayProbe, TraceListener, TracedMessage};
pub use parse::{parse_push, parse_push_beside};
pub use payload::{
    AppState, Channel, Duty, IgnoreReason, PayloadProblem, Priority, PushAction, PushHints, PushKind, PushPayload,
    Vendor,
};
pub use push::{Dialect, Environment, NamedValue, Provider, PushConfig, PushMode, Removal};
#[cfg(feature = "sealed")]
pub use push_key::PushKey;
pub use report::{Network, Obstacle, PhoneState, StandbyBucket};
pub use resolver::{NaptrRecord, Resolver, SrvRecord};
pub use store::{EventListener, StateStore};
pub use stream::EventStream;
pub use trust::ServerTrust;
