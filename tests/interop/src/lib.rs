//! Servers and callers that others wrote, run on loopback for the tests.
//!
//! Nothing is installed from here: `scripts/tools/kamailio` does that where it may. A program that is missing is said
//! aloud, and is a failure where `CI` is set.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "tests say what they could not run")]

mod baresip;
mod kamailio;
mod linphone;
mod phone;
mod place;
mod sipp;
mod watch;

pub use baresip::Baresip;
pub use kamailio::{Algorithm, DOMAIN, Kamailio, PASSWORD};
pub use linphone::Linphone;
pub use phone::{TOKEN, account, answer, options, push};
pub use place::{Place, over_every_transport};
pub use sipp::Sipp;
pub use watch::{Counter, Watched};

use std::path::PathBuf;

/// Returns where a program is, or says that what needs it is not run.
///
/// # Panics
/// When it is missing and `CI` is set: there, a test that did not run is a failure.
pub fn program(name: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&search).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    if let Some(found) = folders.map(|folder: PathBuf| folder.join(name)).find(|path| path.is_file()) {
        return Some(found);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is missing; scripts/tools/kamailio installs it");
    eprintln!("NOT RUN: {name} is missing; scripts/tools/kamailio installs it");
    None
}
