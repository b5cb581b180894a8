#![forbid(unsafe_code)]
//! Reads a package before it is shipped and reports each thing that is wrong with it: `inspect-package FILE`.
//!
//! Exit code 0 if nothing is wrong, 1 if something is, 64 for a wrong command line.

mod aapt2;
mod aar;
mod archive;
mod findings;
mod library;
mod plist;
mod static_library;
mod xcframework;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use findings::Findings;

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1).map(PathBuf::from) else {
        let _ = writeln!(io::stderr(), "usage: inspect-package FILE.aar | FILE.xcframework.zip");
        return ExitCode::from(64);
    };
    let findings = inspect(&file);
    let _ = write!(io::stdout(), "{findings}");
    if findings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads the file as the kind of package that its name says.
fn inspect(file: &Path) -> Findings {
    let mut findings = Findings::default();
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.wrong(&name, format!("cannot be read: {error}"));
            return findings;
        }
    };
    if name.ends_with(".aar") {
        aar::inspect(&name, &bytes, &mut findings);
    } else if name.ends_with(".xcframework.zip") {
        xcframework::inspect(&name, &bytes, &xcframework::Beside::read(file), &mut findings);
    } else {
        findings.wrong(&name, "is neither an .aar nor an .xcframework.zip");
    }
    findings
}
