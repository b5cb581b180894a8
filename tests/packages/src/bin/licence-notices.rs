#![forbid(unsafe_code)]
//! Prints the licence notices of crates that are linked into an app: `licence-notices METADATA < NAMES`.
//!
//! METADATA is a file with the output of `cargo metadata --format-version 1`. NAMES are lines `name vVERSION`, as in the
//! output of `cargo tree --prefix none`. A crate's notices are the licence files that its authors ship. A text that several
//! crates ship is printed once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: String,
}

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        let _ = writeln!(io::stderr(), "usage: licence-notices METADATA < NAMES");
        return ExitCode::from(64);
    };
    let mut names = String::new();
    let notices = io::stdin()
        .read_to_string(&mut names)
        .and_then(|_| fs::read(file))
        .map_err(|error| error.to_string())
        .and_then(|metadata| notices(&metadata, &names));
    match notices {
        Ok(text) if io::stdout().write_all(text.as_bytes()).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "licence-notices: {error}");
            ExitCode::FAILURE
        }
    }
}

fn notices(metadata: &[u8], names: &str) -> Result<String, String> {
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|error| error.to_string())?;
    let packages: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| ((package.name.as_str(), package.version.as_str()), package)).collect();
    let linked: BTreeSet<_> = names.lines().filter_map(name_and_version).collect();
    if linked.is_empty() {
        return Err("no crate is named".into());
    }
    let mut text = String::from("What sipwake is made of, and under which licences. The texts follow the list.\n");
    let mut texts: Vec<String> = Vec::new();
    for (name, version) in linked {
        let package = packages.get(&(name, version)).ok_or_else(|| format!("{name} {version} is not described"))?;
        // The crates of the workspace are one work.
        if name.starts_with("sipwake-") {
            continue;
        }
        text += &format!("\n== {name} {version} ({})\n", package.license.as_deref().unwrap_or("see the text"));
        if let Some(repository) = &package.repository {
            text += &format!("{repository}\n");
        }
        for notice in shipped_notices(Path::new(&package.manifest_path)) {
            let number = texts
                .iter()
                .position(|text| text.split_whitespace().eq(notice.split_whitespace()))
                .unwrap_or_else(|| {
                    texts.push(notice);
                    texts.len() - 1
                });
            text += &format!("text {}\n", number + 1);
        }
    }
    for (index, notice) in texts.iter().enumerate() {
        text += &format!("\n-- text {}\n\n{notice}\n", index + 1);
    }
    Ok(text)
}

/// Reads `tokio v1.52.1 (…)`.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

/// Returns the texts of the licence files in a crate's folder. Our crates have none, so theirs are those of the repository.
fn shipped_notices(manifest: &Path) -> Vec<String> {
    const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"];
    for folder in manifest.ancestors().skip(1).take(3) {
        let mut found: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|file| NAMES.iter().any(|name| file.file_name().to_string_lossy().to_uppercase().starts_with(name)))
            .map(|file| file.path())
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        // A crate from a registry stands alone: the folder above it belongs to no crate.
        if !found.is_empty() || folder.join(".cargo-ok").exists() {
            return found
                .iter()
                .filter_map(|path| fs::read_to_string(path).ok())
                .map(|text| text.trim().into())
                .collect();
        }
    }
    Vec::new()
}
