//! The XCFramework for Apple's systems.

use crate::findings::Findings;

/// Says what is wrong with an XCFramework's archive.
pub(crate) fn inspect(name: &str, _archive: &[u8], findings: &mut Findings) {
    findings.wrong(name, "is not an AAR, and nothing reads an XCFramework yet");
}
