//! A zip archive held in memory, entry by entry, and what is asked of text and bytes in both packages.

use std::io::{Cursor, Read};

use zip::ZipArchive;

/// One file of an archive.
#[derive(Debug)]
#[expect(dead_code, reason = "read by what inspects the Android archive")]
pub(crate) struct Entry {
    /// Its path in the archive.
    pub(crate) path: String,
    /// What is in it, decompressed.
    pub(crate) bytes: Vec<u8>,
    /// Where its data begins in the archive, in bytes.
    pub(crate) offset: u64,
    /// Whether its data is compressed there.
    pub(crate) compressed: bool,
    /// When it was last changed, as the archive says it: year, month, day, hour, minute, second.
    pub(crate) modified: Option<(u16, u8, u8, u8, u8, u8)>,
}

/// Reads all files of an archive, in its order; folders are left out.
pub(crate) fn entries(archive: &[u8]) -> Result<Vec<Entry>, String> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|error| format!("is no zip archive: {error}"))?;
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

/// Returns the first path of a machine that built a file, found in the file's bytes.
///
/// A source path that was remapped, such as `/rustc/…` or `cargo/…`, is none.
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
    fn what_is_no_archive_is_named_as_such() {
        assert!(entries(b"not a zip").expect_err("cannot be read").contains("no zip archive"));
    }
}
