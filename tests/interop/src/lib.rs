//! Foreign servers and callers, which run on loopback for the tests.
//!
//! Nothing here installs a program: `scripts/tools/kamailio` does that if it can. The output names each missing program,
//! and a missing program is a failure if `CI` is set.
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
pub use kamailio::{Algorithm, DOMAIN, Kamailio, PASSWORD, free_port};
pub use linphone::Linphone;
pub use phone::{TOKEN, account, answer, options, push};
pub use place::{Place, over_every_transport};
pub use sipp::Sipp;
pub use watch::{Counter, Watched};

use std::path::PathBuf;

/// Returns the path of a program, or says that the tests that need it do not run.
///
/// # Panics
/// If it is missing and `CI` is set: in CI, a test that did not run is a failure.
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
