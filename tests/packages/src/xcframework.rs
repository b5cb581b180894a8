//! The XCFramework for Apple's systems, and the Swift package beside it.

use std::{collections::BTreeSet, fs, path::Path};

use object::macho;
use sha2::{Digest, Sha256};

use crate::{
    archive::{self, Entry},
    findings::Findings,
    plist::Value,
    static_library::{self, Platform, Symbols},
};

const ROOT: &str = "SipWakeFFI.xcframework/";
const LIBRARY: &str = "libsipwake_ffi.a";
const LICENCES: &str = "LICENSES.txt";

/// The mark of a build without Apple's SDK, in its file name and in its property lists.
const CHECK_ONLY: &str = "check-only";
const CHECK_ONLY_KEY: &str = "SipWakeCheckOnly";

/// Calls for which Apple requires a reason, with their category in a privacy manifest.
const WITH_A_REASON: [(&str, &str); 12] = [
    ("_stat", "FileTimestamp"),
    ("_fstat", "FileTimestamp"),
    ("_fstatat", "FileTimestamp"),
    ("_lstat", "FileTimestamp"),
    ("_getattrlist", "FileTimestamp"),
    ("_fgetattrlist", "FileTimestamp"),
    ("_getattrlistbulk", "FileTimestamp"),
    ("_mach_absolute_time", "SystemBootTime"),
    ("_statfs", "DiskSpace"),
    ("_fstatfs", "DiskSpace"),
    ("_statvfs", "DiskSpace"),
    ("_fstatvfs", "DiskSpace"),
];

/// Apple's reasons for each category.
const REASONS: [(&str, &[&str]); 5] = [
    ("FileTimestamp", &["DDA9.1", "C617.1", "3B52.1", "0A2A.1"]),
    ("SystemBootTime", &["35F9.1", "8FFB.1", "3D61.1"]),
    ("DiskSpace", &["85F4.1", "E174.1", "7D9E.1", "B728.1"]),
    ("ActiveKeyboards", &["3EC4.1", "54BD.1"]),
    ("UserDefaults", &["CA92.1", "1C8F.1", "C56D.1", "AC6B.1"]),
];

/// A part of the XCFramework: for one system, for phones or for their simulator.
#[derive(Debug)]
struct Slice {
    identifier: &'static str,
    platform: &'static str,
    variant: Option<&'static str>,
    architectures: &'static [&'static str],
    compiled_for: Platform,
}

const SLICES: [Slice; 6] = [
    Slice {
        identifier: "ios-arm64",
        platform: "ios",
        variant: None,
        architectures: &["arm64"],
        compiled_for: Platform { number: macho::PLATFORM_IOS, minimum: (16, 0) },
    },
    Slice {
        identifier: "ios-arm64_x86_64-simulator",
        platform: "ios",
        variant: Some("simulator"),
        architectures: &["arm64", "x86_64"],
        compiled_for: Platform { number: macho::PLATFORM_IOSSIMULATOR, minimum: (16, 0) },
    },
    Slice {
        identifier: "ios-arm64_x86_64-maccatalyst",
        platform: "ios",
        variant: Some("maccatalyst"),
        architectures: &["arm64", "x86_64"],
        compiled_for: Platform { number: macho::PLATFORM_MACCATALYST, minimum: (16, 0) },
    },
    Slice {
        identifier: "macos-arm64_x86_64",
        platform: "macos",
        variant: None,
        architectures: &["arm64", "x86_64"],
        compiled_for: Platform { number: macho::PLATFORM_MACOS, minimum: (13, 0) },
    },
    Slice {
        identifier: "xros-arm64",
        platform: "xros",
        variant: None,
        architectures: &["arm64"],
        compiled_for: Platform { number: macho::PLATFORM_XROS, minimum: (1, 0) },
    },
    Slice {
        identifier: "xros-arm64-simulator",
        platform: "xros",
        variant: Some("simulator"),
        architectures: &["arm64"],
        compiled_for: Platform { number: macho::PLATFORM_XROSSIMULATOR, minimum: (1, 0) },
    },
];

/// What is beside the archive: its checksum and the Swift package that names both.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    checksum: String,
    manifest: String,
    privacy: Vec<u8>,
    header: String,
    module_map: String,
}

impl Beside {
    /// Reads the files beside an archive. A missing one is empty.
    pub(crate) fn read(archive: &Path) -> Self {
        let package = archive.with_file_name("SipWake");
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let mut checksum = archive.as_os_str().to_owned();
        checksum.push(".checksum");
        Self {
            checksum: text(Path::new(&checksum)),
            manifest: text(&package.join("Package.swift")),
            privacy: fs::read(package.join("Sources/SipWake/PrivacyInfo.xcprivacy")).unwrap_or_default(),
            header: text(&package.join("Sources/SipWakeFFIC/include/SipWakeFFIC.h")),
            module_map: text(&package.join("Sources/SipWakeFFIC/include/module.modulemap")),
        }
    }
}

/// Says what is wrong with an XCFramework's archive.
pub(crate) fn inspect(name: &str, archive: &[u8], beside: &Beside, findings: &mut Findings) {
    let entries = match archive::entries(archive) {
        Ok(entries) => entries,
        Err(why) => return findings.wrong(name, why),
    };
    let check_only = name.contains(CHECK_ONLY);
    archive::judge(name, &entries, findings);
    let slices = listed(name, &entries, check_only, findings);
    let mut undefined = BTreeSet::new();
    for slice in &slices {
        undefined.extend(inspect_slice(slice, &entries, beside, findings));
    }
    for entry in &entries {
        let known = entry.path == LICENCES
            || entry.path.strip_prefix(ROOT).is_some_and(|path| {
                path == "Info.plist" || slices.iter().any(|slice| path == format!("{}/{LIBRARY}", slice.identifier))
            });
        if !known {
            findings.wrong(&entry.path, "does not belong into an XCFramework of ours");
        }
    }
    licences(name, &entries, findings);
    module(beside, findings);
    package(name, archive, beside, findings);
    privacy(&beside.privacy, &undefined, findings);
}

fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a [u8]> {
    entries.iter().find(|entry| entry.path == path).map(|entry| entry.bytes.as_slice())
}

/// Reads a property list of the archive, which must or must not have the mark.
fn property_list(entries: &[Entry], path: &str, check_only: bool, findings: &mut Findings) -> Option<Value> {
    let Some(bytes) = find(entries, path) else {
        findings.wrong(path, "is not there");
        return None;
    };
    match Value::parse(bytes) {
        Ok(list) => {
            if (list.get(CHECK_ONLY_KEY) == Some(&Value::Boolean(true))) != check_only {
                findings.wrong(path, format!("does not agree with the file's name on {CHECK_ONLY_KEY}"));
            }
            Some(list)
        }
        Err(why) => {
            findings.wrong(path, why);
            None
        }
    }
}

/// Returns the slices that the framework lists, after checking each.
fn listed(name: &str, entries: &[Entry], check_only: bool, findings: &mut Findings) -> Vec<&'static Slice> {
    let path = format!("{ROOT}Info.plist");
    let Some(list) = property_list(entries, &path, check_only, findings) else { return Vec::new() };
    for (key, value) in [("CFBundlePackageType", "XFWK"), ("XCFrameworkFormatVersion", "1.0")] {
        if list.string(key) != Some(value) {
            findings.wrong(&path, format!("has {key} {:?}, not {value}", list.string(key)));
        }
    }
    let mut slices = Vec::new();
    for library in list.array("AvailableLibraries") {
        let identifier = library.string("LibraryIdentifier").unwrap_or_default();
        let Some(slice) = SLICES.iter().find(|slice| slice.identifier == identifier) else {
            findings.wrong(&path, format!("has the slice {identifier:?}, which is none of ours"));
            continue;
        };
        let expected = [
            ("LibraryPath", Some(LIBRARY.to_owned())),
            // The headers of XCFrameworks share a folder when an app is built, so the Swift package has ours.
            ("HeadersPath", None),
            ("SupportedPlatform", Some(slice.platform.to_owned())),
            ("SupportedPlatformVariant", slice.variant.map(str::to_owned)),
        ];
        for (key, value) in expected {
            if library.string(key) != value.as_deref() {
                findings.wrong(&path, format!("has {key} {:?} for {identifier}, not {value:?}", library.string(key)));
            }
        }
        let architectures = library.strings("SupportedArchitectures");
        if architectures != slice.architectures {
            findings.wrong(&path, format!("has {architectures:?} for {identifier}, not {:?}", slice.architectures));
        }
        slices.push(slice);
    }
    // A check-only package may have only some of the slices.
    if slices.is_empty() || (!check_only && slices.len() != SLICES.len()) {
        findings.wrong(name, format!("has {} of {} slices", slices.len(), SLICES.len()));
    }
    slices
}

/// Says what is wrong with the library of a slice. Returns the symbols that it needs.
fn inspect_slice(slice: &Slice, entries: &[Entry], beside: &Beside, findings: &mut Findings) -> BTreeSet<String> {
    let functions = declared(&beside.header);
    let binary = format!("{ROOT}{}/{LIBRARY}", slice.identifier);
    let Some(bytes) = find(entries, &binary) else {
        findings.wrong(&binary, "is not there");
        return BTreeSet::new();
    };
    let symbols = static_library::inspect(&binary, bytes, slice.compiled_for, findings);
    let architectures: Vec<_> = symbols.iter().map(|symbols| symbols.architecture.as_str()).collect();
    if architectures.iter().collect::<BTreeSet<_>>() != slice.architectures.iter().collect() {
        findings.wrong(&binary, format!("is for {architectures:?}, not for {:?}", slice.architectures));
    }
    symbols.into_iter().flat_map(|symbols| undefined_in(&binary, symbols, &functions, findings)).collect()
}

fn undefined_in(
    place: &str,
    symbols: Symbols,
    functions: &BTreeSet<String>,
    findings: &mut Findings,
) -> BTreeSet<String> {
    for function in functions.iter().filter(|function| !symbols.defined.contains(*function)).take(5) {
        findings.wrong(place, format!("has no {function} for {}, which the header declares", symbols.architecture));
    }
    &symbols.undefined - &symbols.defined
}

/// Returns the symbols of our functions that a header declares.
fn declared(header: &str) -> BTreeSet<String> {
    header
        .split('(')
        .filter_map(|text| text.rsplit(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric()).next())
        .filter(|name| name.starts_with("uniffi_sipwake_ffi_") || name.starts_with("ffi_sipwake_ffi_"))
        .map(|name| format!("_{name}"))
        .collect()
}

/// Says what is wrong with the header and the module map, which are in the Swift package's C target.
fn module(beside: &Beside, findings: &mut Findings) {
    const FOLDER: &str = "SipWake/Sources/SipWakeFFIC/include/";
    if declared(&beside.header).is_empty() {
        findings.wrong(&format!("{FOLDER}SipWakeFFIC.h"), "declares none of our functions");
    }
    let words: Vec<_> = beside.module_map.split_whitespace().collect();
    for required in ["module SipWakeFFIC {", "header \"SipWakeFFIC.h\""] {
        let wanted: Vec<_> = required.split(' ').collect();
        if !words.windows(wanted.len()).any(|words| words == wanted) {
            findings.wrong(&format!("{FOLDER}module.modulemap"), format!("lacks {required}"));
        }
    }
}

fn licences(name: &str, entries: &[Entry], findings: &mut Findings) {
    let text = find(entries, LICENCES).map(String::from_utf8_lossy).unwrap_or_default();
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("== ")).collect();
    for required in ["sipwake ", "ring ", "rsip ", "rustls ", "tokio ", "uniffi ", "Rust's standard library"] {
        if !headings.iter().any(|heading| heading.starts_with(required)) {
            findings.wrong(name, format!("has no notice of {} in {LICENCES}", required.trim_end()));
        }
    }
    if let Some(path) = archive::build_path(text.as_bytes()) {
        findings.wrong(LICENCES, format!("has a path of the machine that built it: {path}"));
    }
    findings.seen(LICENCES, format!("{} notices", headings.len()));
}

/// The checksum, as SwiftPM computes it (SHA-256 in lower-case hexadecimal), and the manifest that names it.
fn package(name: &str, archive: &[u8], beside: &Beside, findings: &mut Findings) {
    let checksum = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if beside.checksum.trim_end() != checksum {
        findings.wrong(name, format!("has the checksum {checksum}, and the file beside it says {:?}", beside.checksum));
    }
    for required in [format!("checksum: \"{checksum}\""), format!("/{name}\"")] {
        if !beside.manifest.contains(&required) {
            findings.wrong("SipWake/Package.swift", format!("lacks {required}"));
        }
    }
    if !beside.manifest.contains("PrivacyInfo.xcprivacy") {
        findings.wrong("SipWake/Package.swift", "has no privacy manifest among its resources");
    }
    findings.seen(name, format!("{} bytes, SHA-256 {checksum}", archive.len()));
}

fn privacy(bytes: &[u8], undefined: &BTreeSet<String>, findings: &mut Findings) {
    const PLACE: &str = "SipWake/Sources/SipWake/PrivacyInfo.xcprivacy";
    let list = match Value::parse(bytes) {
        Ok(list) => list,
        Err(why) => return findings.wrong(PLACE, why),
    };
    if list.get("NSPrivacyTracking") != Some(&Value::Boolean(false)) {
        findings.wrong(PLACE, "does not say that nobody is tracked");
    }
    let mut categories = BTreeSet::new();
    for accessed in list.array("NSPrivacyAccessedAPITypes") {
        let category = accessed.string("NSPrivacyAccessedAPIType").unwrap_or_default();
        let category = category.trim_start_matches("NSPrivacyAccessedAPICategory");
        let given = accessed.strings("NSPrivacyAccessedAPITypeReasons");
        if given.is_empty() {
            findings.wrong(PLACE, format!("has no reason for {category}"));
        }
        let known = REASONS.iter().find(|(name, _)| *name == category).map_or(&[][..], |(_, reasons)| *reasons);
        for reason in given.iter().filter(|reason| !known.contains(*reason)) {
            findings.wrong(PLACE, format!("gives the reason {reason}, which Apple has not for {category}"));
        }
        categories.insert(category);
    }
    for name in undefined {
        // On x86_64 some have a second name with this suffix.
        let plain = name.trim_end_matches("$INODE64");
        if let Some((_, category)) = WITH_A_REASON.iter().find(|(call, _)| *call == plain)
            && !categories.contains(category)
        {
            findings.wrong(PLACE, format!("gives no reason of the category {category}, for which {name} is called"));
        }
    }
    findings.seen(PLACE, format!("reasons for {categories:?}"));
}

#[cfg(test)]
#[path = "xcframework_tests.rs"]
mod tests;
