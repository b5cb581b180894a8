//! A zip archive in memory, entry by entry, and checks of text and bytes for both packages.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::findings::Findings;

/// One file of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its path in the archive.
    pub(crate) path: String,
    /// Its content, decompressed.
    pub(crate) bytes: Vec<u8>,
    /// Where its data begins in the archive, in bytes.
    pub(crate) offset: u64,
    /// Whether its data is compressed in the archive.
    pub(crate) compressed: bool,
    /// When it was last changed, according to the archive: year, month, day, hour, minute, second.
    pub(crate) modified: Option<(u16, u8, u8, u8, u8, u8)>,
}

/// The time of every entry: the earliest one in a zip archive.
const FIXED_TIME: (u16, u8, u8, u8, u8, u8) = (1980, 1, 1, 0, 0, 0);

/// Reads all files of an archive, in their order, without folders.
pub(crate) fn entries(archive: &[u8]) -> Result<Vec<Entry>, String> {
    let mut archive =
        ZipArchive::new(Cursor::new(archive)).map_err(|error| format!("is not a zip archive: {error}"))?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(|error| format!("has a broken entry: {error}"))?;
        if file.is_dir() {
            continue;
        }
        let path = file.name().to_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| format!("{path} is broken: {error}"))?;
        entries.push(Entry {
            offset: file.data_start(),
            compressed: file.compression() != zip::CompressionMethod::Stored,
            modified: file
                .last_modified()
                .map(|at| (at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second())),
            path,
            bytes,
        });
    }
    Ok(entries)
}

/// Says what is wrong with the archive itself: what a second build would not repeat, or a tool could not unpack.
pub(crate) fn judge(name: &str, entries: &[Entry], findings: &mut Findings) {
    for pair in entries.windows(2) {
        if pair[0].path >= pair[1].path {
            findings.wrong(name, format!("has {} after {}: out of order, or twice", pair[1].path, pair[0].path));
        }
    }
    for entry in entries {
        if entry.path.starts_with('/') || entry.path.split('/').any(|part| part == "..") || entry.path.contains('\\') {
            findings.wrong(name, format!("has an entry outside of itself: {}", entry.path));
        }
        if entry.modified != Some(FIXED_TIME) {
            findings.wrong(
                &entry.path,
                format!("bears the time {:?}, so that no build gives the same twice", entry.modified),
            );
        }
    }
}

/// Returns the first path of the build machine that is in the file's bytes.
///
/// A source path that was remapped, such as `/rustc/…` or `cargo/…`, does not count.
pub(crate) fn build_path(bytes: &[u8]) -> Option<String> {
    const ROOTS: [&[u8]; 8] =
        [b"/home/", b"/root/", b"/Users/", b"/tmp/", b"/work/", b"/.cargo/", b"/.rustup/", b"/usr/src/"];
    let at = ROOTS.iter().filter_map(|root| bytes.windows(root.len()).position(|window| window == *root)).min()?;
    let end = bytes[at..].iter().position(|byte| !byte.is_ascii_graphic()).map_or(bytes.len(), |length| at + length);
    Some(String::from_utf8_lossy(&bytes[at..end.min(at + 120)]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_machine_that_built_is_found_and_a_remapped_one_is_not() {
        assert_eq!(build_path(b"\0\x01/home/eve/sipwake/lib.rs\0"), Some("/home/eve/sipwake/lib.rs".into()));
        assert_eq!(build_path(b"in /builds/x/.cargo/registry/src y"), Some("/.cargo/registry/src".into()));
        assert_eq!(build_path(b"/rustc/library/std/src/lib.rs cargo/tokio-1.48/src/lib.rs"), None);
        assert_eq!(build_path(b""), None);
    }

    #[test]
    fn a_file_that_is_no_archive_is_reported_as_such() {
        assert!(entries(b"not a zip").expect_err("cannot be read").contains("not a zip archive"));
    }
}
