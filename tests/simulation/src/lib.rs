//! The real core on a simulated clock, network, phone and servers.
//!
//! A run comes from one seed: [`Script::from_seed`] makes up a story, and [`run`] plays it around the core and checks
//! every promise of the architecture after every step. The same story always goes the same way. [`shrink`] makes a
//! failing story short. Such stories are kept in `regressions/`, and the tests play them.
#![forbid(unsafe_code)]

mod chance;
pub mod fleet;
mod habits;
mod phone;
mod processor;
mod promises;
mod script;
mod server;
mod shrink;
mod wire;
mod world;

pub use chance::Chance;
pub use habits::Habit;
pub use processor::{processor_time, resident};
pub use promises::Broken;
pub use script::{Damage, Happening, Profile, Script, Setting};
pub use shrink::{play, shrink};
pub use world::{Attack, Outcome, run, run_reported, run_shown};
