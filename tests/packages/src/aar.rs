//! The Android archive.

use crate::{archive, findings::Findings};

/// Says what is wrong with an Android archive.
pub(crate) fn inspect(name: &str, archive: &[u8], findings: &mut Findings) {
    match archive::entries(archive) {
        Err(why) => findings.wrong(name, why),
        Ok(entries) => {
            for entry in &entries {
                findings.seen(&entry.path, format!("{} bytes", entry.bytes.len()));
                if let Some(path) = archive::build_path(&entry.bytes) {
                    findings.wrong(&entry.path, format!("has a path of the machine that built it: {path}"));
                }
            }
        }
    }
}
