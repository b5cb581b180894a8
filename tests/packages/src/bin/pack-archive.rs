#![forbid(unsafe_code)]
//! Packs a folder into a zip archive that does not show when and where it was made: `pack-archive ARCHIVE FOLDER`.
//!
//! Entries are in the order of their paths and have the same time. Shared libraries are not compressed and begin at a
//! multiple of 16 KB, so that the loader can map them from the archive. Everything else is compressed. Links stay links:
//! Apple's frameworks for macOS have them.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

const PAGE: u16 = 16 * 1024;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(archive), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        let _ = writeln!(io::stderr(), "usage: pack-archive ARCHIVE FOLDER");
        return ExitCode::from(64);
    };
    match pack(&archive, &folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "pack-archive: {}: {error}", archive.display());
            ExitCode::FAILURE
        }
    }
}

fn pack(archive: &Path, folder: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    list(folder, "", &mut paths)?;
    paths.sort();
    let mut writer = ZipWriter::new(BufWriter::new(File::create(archive)?));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for path in paths {
        let options = if path.ends_with(".so") {
            options.compression_method(CompressionMethod::Stored).with_alignment(PAGE)
        } else {
            options
        };
        let file = folder.join(&path);
        if file.is_symlink() {
            let target = fs::read_link(file)?;
            let target = target.to_str().ok_or_else(|| io::Error::other("a link's target is not UTF-8"))?;
            // `add_symlink` sets the file type in addition to the permissions.
            writer.add_symlink(path.as_str(), target, options.unix_permissions(0o777))?;
            continue;
        }
        writer.start_file(path.as_str(), options)?;
        writer.write_all(&fs::read(file)?)?;
    }
    writer.finish()?.flush()
}

/// Adds the files under a folder, by their paths in the archive.
fn list(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| io::Error::other("a file's name is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}
