//! The Android archive, as the Android Gradle plugin and R8 read it.

use std::collections::BTreeSet;

use roxmltree::Document;

use crate::{
    aapt2::{self, Manifest},
    archive::{self, Entry},
    findings::Findings,
    library::{self, Abi, PAGE},
};

const ANDROID: &str = "http://schemas.android.com/apk/res/android";
const PACKAGE: &str = "dev.sipwake";
const MINIMUM_ANDROID: &str = "26";

/// The permissions that sipwake adds to an app, and no others.
const PERMISSIONS: [&str; 3] =
    ["android.permission.INTERNET", "android.permission.ACCESS_NETWORK_STATE", "android.permission.POST_NOTIFICATIONS"];

/// The mark of a build without Google's NDK, in its file name and in its manifest.
const CHECK_ONLY: &str = "check-only";
pub(crate) const CHECK_ONLY_META_DATA: &str = "dev.sipwake.CHECK_ONLY";

/// The class files of Java 11, which R8 and every Android Gradle plugin since 7 can read.
const NEWEST_CLASS_FILE: u16 = 55;

/// The name of an authority on Mozilla's list, as DER encodes it: the length, then the text.
const ON_MOZILLAS_LIST: &[u8] = b"\x0cISRG Root X1";

const METADATA: &str = "META-INF/com/android/build/gradle/aar-metadata.properties";
const LICENCES: &str = "META-INF/LICENSES.txt";

/// Says what is wrong with an Android archive.
pub(crate) fn inspect(name: &str, archive: &[u8], findings: &mut Findings) {
    let entries = match archive::entries(archive) {
        Ok(entries) => entries,
        Err(why) => return findings.wrong(name, why),
    };
    let check_only = name.contains(CHECK_ONLY);
    archive::judge(name, &entries, findings);
    libraries(name, &entries, check_only, findings);
    let mut inspect_file =
        |path: &str, inspect: &dyn Fn(&Entry, &mut Findings)| match entries.iter().find(|entry| entry.path == path) {
            Some(entry) => inspect(entry, findings),
            None => findings.wrong(name, format!("has no {path}")),
        };
    inspect_file("AndroidManifest.xml", &|entry, findings| manifest(entry, check_only, findings));
    inspect_file("classes.jar", &classes);
    inspect_file("proguard.txt", &rules);
    inspect_file(LICENCES, &licences);
    inspect_file(METADATA, &metadata);
    // There are no resources, and the plugin wants an empty list.
    inspect_file("R.txt", &|entry, findings| {
        if !entry.bytes.is_empty() {
            findings.wrong("R.txt", "names resources, and there are none");
        }
    });
    for entry in &entries {
        if !is_expected(&entry.path) {
            findings.wrong(&entry.path, "does not belong into an Android archive of ours");
        }
    }
}

fn is_expected(path: &str) -> bool {
    ["AndroidManifest.xml", "classes.jar", "proguard.txt", "R.txt", LICENCES, METADATA].contains(&path)
        || path.starts_with("jni/")
}

fn libraries(name: &str, entries: &[Entry], check_only: bool, findings: &mut Findings) {
    let mut abis = BTreeSet::new();
    for entry in entries {
        let Some(path) = entry.path.strip_prefix("jni/") else { continue };
        let place = entry.path.as_str();
        let Some((folder, library::NAME)) = path.split_once('/') else {
            findings.wrong(place, format!("is not called {}", library::NAME));
            continue;
        };
        let Some(abi) = Abi::of_folder(folder) else {
            findings.wrong(place, "is in a folder of no ABI");
            continue;
        };
        abis.insert(folder);
        findings.seen(place, format!("{} bytes", entry.bytes.len()));
        if entry.compressed || entry.offset % PAGE != 0 {
            findings.wrong(place, format!("is compressed, or not at a multiple of {PAGE} bytes in the archive"));
        }
        library::inspect(place, abi, &entry.bytes, findings);
        if entry.bytes.windows(ON_MOZILLAS_LIST.len()).any(|window| window == ON_MOZILLAS_LIST) {
            findings.wrong(place, "has Mozilla's list of authorities, and Android is to judge");
        }
        if let Some(path) = archive::build_path(&entry.bytes) {
            findings.wrong(place, format!("has a path of the machine that built it: {path}"));
        }
    }
    let expected: &[&str] =
        if check_only { &["arm64-v8a", "x86_64"] } else { &["arm64-v8a", "armeabi-v7a", "x86", "x86_64"] };
    for abi in expected.iter().filter(|abi| !abis.contains(*abi)) {
        findings.wrong(name, format!("has no library for {abi}"));
    }
}

fn manifest(entry: &Entry, check_only: bool, findings: &mut Findings) {
    let place = entry.path.as_str();
    let text = String::from_utf8_lossy(&entry.bytes);
    let document = match Document::parse(&text) {
        Ok(document) => document,
        Err(error) => return findings.wrong(place, format!("is no XML: {error}")),
    };
    let read = read_manifest(&document);
    if document.root_element().tag_name().name() != "manifest" || read.package != PACKAGE {
        findings.wrong(place, format!("is not the manifest of the package {PACKAGE}"));
    }
    if read.minimum != MINIMUM_ANDROID {
        findings.wrong(place, format!("has minSdkVersion {:?}, not {MINIMUM_ANDROID}", read.minimum));
    }
    for permission in PERMISSIONS.iter().filter(|permission| !read.permissions.contains(**permission)) {
        findings.wrong(place, format!("does not ask for {permission}"));
    }
    // The users of an app see these permissions as the app's.
    for permission in read.permissions.iter().filter(|permission| !PERMISSIONS.contains(&permission.as_str())) {
        findings.wrong(place, format!("asks for {permission}, which we do not need"));
    }
    for component in &read.components {
        findings.wrong(place, format!("puts the component {component} into each app: which there are, the app says"));
    }
    if read.marked != check_only {
        findings.wrong(place, format!("and the file's name differ on whether this is {CHECK_ONLY}"));
    }
    findings.seen(place, format!("minSdkVersion {}; {} permissions", read.minimum, read.permissions.len()));
    aapt2::inspect(place, &entry.bytes, &read, findings);
}

fn read_manifest(document: &Document<'_>) -> Manifest {
    let names = |tags: &[&str]| {
        document
            .descendants()
            .filter(|node| tags.contains(&node.tag_name().name()))
            .filter_map(|node| node.attribute((ANDROID, "name")))
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let minimum = document
        .descendants()
        .find(|node| node.has_tag_name("uses-sdk"))
        .and_then(|node| node.attribute((ANDROID, "minSdkVersion")));
    Manifest {
        package: document.root_element().attribute("package").unwrap_or_default().into(),
        minimum: minimum.unwrap_or_default().into(),
        permissions: names(&["uses-permission"]),
        components: names(&["activity", "service", "receiver", "provider"]),
        marked: names(&["meta-data"]).contains(CHECK_ONLY_META_DATA),
    }
}

fn classes(entry: &Entry, findings: &mut Findings) {
    let place = entry.path.as_str();
    let entries = match archive::entries(&entry.bytes) {
        Ok(entries) => entries,
        Err(why) => return findings.wrong(place, why),
    };
    archive::judge(place, &entries, findings);
    for required in [
        "dev/sipwake/SipWakeClient.class",
        "dev/sipwake/ffi/Sipwake_ffiKt.class",
        "dev/sipwake/android/SipWakeMessagingService.class",
        // The class for Android, not the one for a plain JVM, which asks nobody.
        "dev/sipwake/SystemTrust.class",
    ] {
        if !entries.iter().any(|entry| entry.path == required) {
            findings.wrong(place, format!("has no {required}"));
        }
    }
    for entry in &entries {
        let inside = format!("{place}!{}", entry.path);
        let class = entry.path.ends_with(".class");
        if !(class && entry.path.starts_with("dev/sipwake/") || entry.path.ends_with(".kotlin_module")) {
            findings.wrong(&inside, "is not ours");
        }
        // JVM specification, 4.1: u4 magic, u2 minor_version, u2 major_version.
        match entry.bytes.get(..8) {
            Some([0xCA, 0xFE, 0xBA, 0xBE, _, _, high, low]) => {
                let version = u16::from_be_bytes([*high, *low]);
                if version > NEWEST_CLASS_FILE {
                    findings.wrong(&inside, format!("is of class file version {version}, above {NEWEST_CLASS_FILE}"));
                }
            }
            _ if class => findings.wrong(&inside, "is not a class file"),
            _ => {}
        }
        if let Some(path) = archive::build_path(&entry.bytes) {
            findings.wrong(&inside, format!("has a path of the machine that built it: {path}"));
        }
    }
    findings.seen(place, format!("{} classes", entries.len()));
}

fn rules(entry: &Entry, findings: &mut Findings) {
    let text = String::from_utf8_lossy(&entry.bytes);
    for rule in [
        "-keep class com.sun.jna.** { *; }",
        "-keep class * implements com.sun.jna.** { *; }",
        "-keep class dev.sipwake.ffi.** { *; }",
        "-dontwarn java.awt.**",
    ] {
        if !text.lines().any(|line| line.trim() == rule) {
            findings.wrong(&entry.path, format!("lacks the rule {rule}"));
        }
    }
}

fn licences(entry: &Entry, findings: &mut Findings) {
    let text = String::from_utf8_lossy(&entry.bytes);
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("== ")).collect();
    for required in ["sipwake ", "rsip ", "tokio ", "uniffi ", "Rust's standard library", "LLVM's libunwind"] {
        if !headings.iter().any(|heading| heading.starts_with(required)) {
            findings.wrong(&entry.path, format!("has no notice of {}", required.trim_end()));
        }
    }
    if let Some(path) = archive::build_path(&entry.bytes) {
        findings.wrong(&entry.path, format!("has a path of the machine that built it: {path}"));
    }
    findings.seen(&entry.path, format!("{} notices", headings.len()));
}

fn metadata(entry: &Entry, findings: &mut Findings) {
    let text = String::from_utf8_lossy(&entry.bytes);
    for key in ["aarFormatVersion=1.0", "aarMetadataVersion=1.0", "minCompileSdk="] {
        if !text.lines().any(|line| line.starts_with(key)) {
            findings.wrong(&entry.path, format!("lacks {key}"));
        }
    }
}
