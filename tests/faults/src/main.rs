//! `plant FOLDER`: copies the workspace into FOLDER with every fault in it. Unchanged files keep their time, so that
//! Cargo only compiles the changes again.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "a command's complaint")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use faults::{Faults, ROOT};

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("plant FOLDER");
        return ExitCode::from(64);
    };
    match plant(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("plant: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn plant(folder: &Path) -> Result<(), String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut faults = Faults::default();
    for patch in files(&repository.join("tests/faults/faults")).map_err(|error| error.to_string())? {
        let name = patch.file_name().unwrap_or_default().to_string_lossy().into_owned();
        faults.read(&name, &read(&patch)?)?;
    }
    let mut planted = BTreeMap::new();
    for source in files(&repository.join(ROOT).with_file_name("")).map_err(|error| error.to_string())? {
        let path = source.strip_prefix(&repository).expect("it is below").to_string_lossy().into_owned();
        planted.insert(path, read(&source)?);
    }
    faults.plant(&mut planted)?;
    planted.insert("Cargo.toml".to_owned(), renamed(&read(&repository.join("Cargo.toml"))?)?);
    let mut kept = BTreeSet::new();
    for part in ["Cargo.toml", "Cargo.lock", ".cargo", "rust", "tests"] {
        for from in files(&repository.join(part)).map_err(|error| format!("{part}: {error}"))? {
            let path = from.strip_prefix(&repository).expect("it is below").to_owned();
            let bytes = match planted.get(&*path.to_string_lossy()) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?,
            };
            write(&folder.join(&path), &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            kept.insert(folder.join(path));
        }
    }
    let old = files(folder).map_err(|error| error.to_string())?;
    for gone in old.into_iter().filter(|path| !kept.contains(path)) {
        fs::remove_file(&gone).map_err(|error| format!("{}: {error}", gone.display()))?;
    }
    Ok(())
}

/// The copy gets its own version. Cargo does not tell packages of two workspaces apart by their paths, and both share a
/// target folder. With the same version it would take the build with the faults for the product.
fn renamed(manifest: &str) -> Result<String, String> {
    let package = manifest.split_once("[workspace.package]\nversion = \"");
    let (before, (version, after)) = package
        .and_then(|(before, rest)| Some((before, rest.split_once('"')?)))
        .ok_or("no version of the workspace")?;
    // The packages depend on each other with exactly that version.
    let after = after.replace(&format!("version = \"={version}\""), &format!("version = \"={version}-planted\""));
    Ok(format!("{before}[workspace.package]\nversion = \"{version}-planted\"{after}"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// All files below a folder, or the file itself, without build output.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name() != "target" {
            found.extend(files(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, bytes)
}
