//! A package made by hand: first a complete one, then one that is broken in each way.

use std::{collections::BTreeMap, io::Cursor, io::Write};

use object::{
    Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope,
    write::{self, MachOBuildVersion, SectionId, StandardSection, Symbol, SymbolSection},
};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::*;

const NAME: &str = "SipWakeFFI.xcframework.zip";
const FUNCTION: &str = "uniffi_sipwake_ffi_fn_func_read_push";
const IOS: &str = "ios-arm64";
const SIMULATOR: &str = "ios-arm64_x86_64-simulator";

/// An object that is compiled by hand.
struct Source {
    architecture: Architecture,
    platform: Option<(u32, u32)>,
    defined: Vec<&'static str>,
    undefined: Vec<&'static str>,
    section: Option<(&'static str, &'static str)>,
    text: &'static [u8],
}

impl Source {
    fn new(architecture: Architecture, platform: u32, version: u32) -> Self {
        Self {
            architecture,
            platform: Some((platform, version << 16)),
            defined: vec![FUNCTION, "sipwake_hidden_rust_eh_personality"],
            undefined: vec!["fstat", "mach_absolute_time", "malloc"],
            section: None,
            text: b"\xc0\x03\x5f\xd6",
        }
    }

    /// Compiles it and makes a library of it alone.
    fn library(&self) -> Vec<u8> {
        let mut object = write::Object::new(BinaryFormat::MachO, self.architecture, Endianness::Little);
        if let Some((platform, minos)) = self.platform {
            let mut version = MachOBuildVersion::default();
            version.platform = platform;
            version.minos = minos;
            object.set_macho_build_version(version);
        }
        let code = object.section_id(StandardSection::Text);
        object.append_section_data(code, self.text, 4);
        if let Some((segment, section)) = self.section {
            let id: SectionId = object.add_section(segment.into(), section.into(), object::SectionKind::Debug);
            object.append_section_data(id, b"debug", 1);
        }
        let all = self.defined.iter().map(|name| (name, SymbolSection::Section(code)));
        for (name, section) in all.chain(self.undefined.iter().map(|name| (name, SymbolSection::Undefined))) {
            object.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: 0,
                size: 0,
                kind: SymbolKind::Text,
                scope: SymbolScope::Dynamic,
                weak: false,
                section,
                flags: SymbolFlags::None,
            });
        }
        archive_of(&object.write().expect("is an object"))
    }
}

/// The format of `ar`: a magic line, then for each member a header of 60 bytes and the data.
fn archive_of(object: &[u8]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    archive.extend(format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "a.o/", 0, 0, 0, "644", object.len()).bytes());
    archive.extend(object);
    if object.len() % 2 == 1 {
        archive.push(b'\n');
    }
    archive
}

/// A fat file: its magic, then CPU, subtype, offset, size and alignment of each part, all big-endian.
fn fat(parts: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut header = Vec::from(0xCAFE_BABE_u32.to_be_bytes());
    header.extend((parts.len() as u32).to_be_bytes());
    let mut data = Vec::new();
    for (cpu, part) in parts {
        let offset = 8 + 20 * parts.len() + data.len();
        for field in [*cpu, 0, offset as u32, part.len() as u32, 3] {
            header.extend(field.to_be_bytes());
        }
        data.extend(part);
        data.resize(data.len().next_multiple_of(8), 0);
    }
    header.extend(data);
    header
}

fn list(dictionary: &str) -> Vec<u8> {
    format!("<plist version=\"1.0\"><dict>{dictionary}</dict></plist>").into_bytes()
}

fn pair(key: &str, value: &str) -> String {
    format!("<key>{key}</key><string>{value}</string>")
}

fn array(key: &str, values: &[&str]) -> String {
    let values: String = values.iter().map(|value| format!("<string>{value}</string>")).collect();
    format!("<key>{key}</key><array>{values}</array>")
}

/// The sources of each slice, the files around them, and what is beside the archive.
struct Package {
    sources: BTreeMap<&'static str, Vec<Source>>,
    files: BTreeMap<String, Vec<u8>>,
    beside: Beside,
}

impl Package {
    fn whole() -> Self {
        let header = format!("int8_t {FUNCTION}(RustBuffer payload);\n");
        let mut files = BTreeMap::new();
        let mut sources = BTreeMap::new();
        let mut available = String::new();
        for slice in &SLICES {
            let compiled = slice.architectures.iter().map(|architecture| {
                let architecture = if *architecture == "arm64" { Architecture::Aarch64 } else { Architecture::X86_64 };
                Source::new(architecture, slice.compiled_for.number, slice.compiled_for.minimum.0.into())
            });
            sources.insert(slice.identifier, compiled.collect());
            available += &format!(
                "<dict>{}{}{}{}{}</dict>",
                pair("LibraryIdentifier", slice.identifier),
                pair("LibraryPath", LIBRARY),
                pair("SupportedPlatform", slice.platform),
                slice.variant.map(|variant| pair("SupportedPlatformVariant", variant)).unwrap_or_default(),
                array("SupportedArchitectures", slice.architectures),
            );
        }
        files.insert(
            format!("{ROOT}Info.plist"),
            list(&format!(
                "<key>AvailableLibraries</key><array>{available}</array>{}{}",
                pair("CFBundlePackageType", "XFWK"),
                pair("XCFrameworkFormatVersion", "1.0")
            )),
        );
        let names = ["sipwake 0.1.0", "ring 1", "rsip 1", "rustls 1", "tokio 1", "uniffi 1", "Rust's standard library"];
        files.insert(LICENCES.into(), names.map(|name| format!("== {name} (MIT)\n")).concat().into_bytes());
        let privacy = [("FileTimestamp", "C617.1"), ("SystemBootTime", "35F9.1")].map(|(category, reason)| {
            format!(
                "<dict>{}{}</dict>",
                pair("NSPrivacyAccessedAPIType", &format!("NSPrivacyAccessedAPICategory{category}")),
                array("NSPrivacyAccessedAPITypeReasons", &[reason])
            )
        });
        let privacy = list(&format!(
            "<key>NSPrivacyTracking</key><false/><key>NSPrivacyAccessedAPITypes</key><array>{}</array>",
            privacy.concat()
        ));
        let module_map = "module SipWakeFFIC {\n    header \"SipWakeFFIC.h\"\n    export *\n}\n".to_owned();
        Self { sources, files, beside: Beside { privacy, header, module_map, ..Beside::default() } }
    }

    fn replace(&mut self, path: &str, from: &str, to: &str) {
        let path = if path == LICENCES { path.to_owned() } else { format!("{ROOT}{path}") };
        let file = self.files.get_mut(&path).expect("is in the package");
        let text = String::from_utf8(file.clone()).expect("is text");
        assert!(text.contains(from), "{text}");
        *file = text.replacen(from, to, 1).into_bytes();
    }

    fn source(&mut self, slice: &str) -> &mut Source {
        &mut self.sources.get_mut(slice).expect("is a slice")[0]
    }

    fn pack(&self) -> Vec<u8> {
        let mut files = self.files.clone();
        for slice in SLICES.iter().filter(|slice| self.sources.contains_key(slice.identifier)) {
            let parts: Vec<_> = self.sources[slice.identifier]
                .iter()
                .map(|source| {
                    let arm = source.architecture == Architecture::Aarch64;
                    let cpu = if arm { macho::CPU_TYPE_ARM64 } else { macho::CPU_TYPE_X86_64 };
                    (cpu, source.library())
                })
                .collect();
            let path = format!("{ROOT}{}/{LIBRARY}", slice.identifier);
            files.entry(path).or_insert_with(|| if parts.len() == 1 { parts[0].1.clone() } else { fat(&parts) });
        }
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default());
        for (path, bytes) in files {
            writer.start_file(path, options).expect("is written to memory");
            writer.write_all(&bytes).expect("is written to memory");
        }
        writer.finish().expect("is written to memory").into_inner()
    }

    /// Packs it, writes the checksum and the manifest, and inspects it.
    fn wrongs(mut self, name: &str, after: impl FnOnce(&mut Beside)) -> Vec<String> {
        let archive = self.pack();
        let checksum: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        self.beside.manifest = format!(
            ".binaryTarget(url: \"https://example.com/{name}\", checksum: \"{checksum}\") .process(\"PrivacyInfo.xcprivacy\")"
        );
        self.beside.checksum = checksum + "\n";
        after(&mut self.beside);
        let mut findings = Findings::default();
        inspect(name, &archive, &self.beside, &mut findings);
        findings.wrongs().to_vec()
    }
}

/// Breaks a complete package. The inspection must find that and nothing else.
#[track_caller]
fn finds(why: &str, break_it: impl FnOnce(&mut Package)) {
    let mut package = Package::whole();
    break_it(&mut package);
    let wrongs = package.wrongs(NAME, |_| ());
    assert!(!wrongs.is_empty() && wrongs.iter().all(|wrong| wrong.contains(why)), "{wrongs:#?}");
}

#[track_caller]
fn finds_beside(why: &str, break_it: impl FnOnce(&mut Beside)) {
    let wrongs = Package::whole().wrongs(NAME, break_it);
    assert!(!wrongs.is_empty() && wrongs.iter().all(|wrong| wrong.contains(why)), "{wrongs:#?}");
}

#[test]
fn a_complete_package_has_no_findings() {
    assert_eq!(Package::whole().wrongs(NAME, |_| ()), Vec::<String>::new());
}

#[test]
fn an_object_for_another_system_is_found() {
    finds("is for the platform 7, not 2", |package| {
        package.source(IOS).platform = Some((macho::PLATFORM_IOSSIMULATOR, 16 << 16));
    });
    finds("does not say which system", |package| package.source(IOS).platform = None);
}

#[test]
fn an_object_that_asks_for_a_newer_system_is_found() {
    finds("asks for version 16.4, not 16.0", |package| {
        package.source(IOS).platform = Some((macho::PLATFORM_IOS, 16 << 16 | 4 << 8));
    });
}

#[test]
fn an_architecture_that_is_missing_is_found() {
    finds("is for [\"arm64\"], not for", |package| {
        package.sources.get_mut(SIMULATOR).expect("is a slice").pop();
    });
    finds("[\"arm64\"] for ios-arm64_x86_64-simulator", |package| {
        package.replace("Info.plist", "<string>arm64</string><string>x86_64</string>", "<string>arm64</string>");
    });
}

#[test]
fn a_slice_that_is_missing_is_found() {
    finds("5 of 6 slices", |package| {
        let path = format!("{ROOT}Info.plist");
        let text = String::from_utf8(package.files[&path].clone()).expect("is text");
        let at = text.rfind("<dict><key>LibraryIdentifier").expect("is the last");
        let end = at + text[at..].find("</dict>").expect("ends") + "</dict>".len();
        package.files.insert(path, [&text[..at], &text[end..]].concat().into_bytes());
        package.sources.remove("xros-arm64-simulator");
    });
}

#[test]
fn debug_information_is_found() {
    finds("has __DWARF,__debug_info", |package| package.source(IOS).section = Some(("__DWARF", "__debug_info")));
    finds("has __LLVM,__bitcode", |package| package.source(IOS).section = Some(("__LLVM", "__bitcode")));
}

#[test]
fn a_path_of_the_machine_that_built_is_found() {
    finds("/Users/eve/sipwake/src/lib.rs", |package| package.source(IOS).text = b"/Users/eve/sipwake/src/lib.rs\0");
}

#[test]
fn a_symbol_that_another_rust_library_has_too_is_found() {
    finds("shows _rust_eh_personality", |package| package.source(IOS).defined.push("rust_eh_personality"));
}

#[test]
fn a_declared_function_that_is_missing_is_found() {
    finds(&format!("has no _{FUNCTION} for arm64"), |package| {
        package.source(IOS).defined.retain(|name| *name != FUNCTION)
    });
}

#[test]
fn a_file_that_is_no_binary_is_found() {
    finds("ios-arm64/libsipwake_ffi.a: is ", |package| {
        package.files.insert(format!("{ROOT}{IOS}/{LIBRARY}"), b"hello".to_vec());
    });
}

#[test]
fn a_module_of_another_name_is_found() {
    finds_beside("lacks module SipWakeFFIC", |beside| {
        beside.module_map = beside.module_map.replace("module SipWakeFFIC", "framework module Rust");
    });
    finds_beside("lacks header", |beside| beside.module_map = beside.module_map.replace("SipWakeFFIC.h", "other.h"));
}

#[test]
fn a_header_that_declares_nothing_of_ours_is_found() {
    finds_beside("declares none of our functions", |beside| beside.header = "int other(void);\n".to_owned());
}

#[test]
fn headers_and_frameworks_in_the_xcframework_are_found() {
    let headers = "<key>HeadersPath</key><string>Headers</string><key>LibraryIdentifier";
    finds("has HeadersPath Some(\"Headers\")", |package| {
        package.replace("Info.plist", "<key>LibraryIdentifier", headers)
    });
    for path in ["Headers/module.modulemap", "SipWakeFFIC.framework/Info.plist"] {
        finds("does not belong", |package| {
            package.files.insert(format!("{ROOT}{IOS}/{path}"), Vec::new());
        });
    }
}

#[test]
fn property_lists_that_are_wrong_are_found() {
    finds("has CFBundlePackageType", |package| package.replace("Info.plist", "XFWK", "BNDL"));
}

#[test]
fn a_check_only_mark_that_does_not_match_the_name_is_found() {
    finds("does not agree with the file's name", |package| {
        package.replace("Info.plist", "<dict>", "<dict><key>SipWakeCheckOnly</key><true/>");
    });
    let wrongs = Package::whole().wrongs("SipWakeFFI-check-only.xcframework.zip", |_| ());
    assert_eq!(wrongs.len(), 1, "{wrongs:#?}");
}

#[test]
fn a_notice_that_is_missing_is_found() {
    finds("has no notice of ring", |package| package.replace(LICENCES, "== ring 1 (MIT)\n", ""));
}

#[test]
fn an_unexpected_file_is_found() {
    finds("does not belong", |package| {
        package.files.insert("secrets.txt".into(), Vec::new());
    });
}

#[test]
fn a_checksum_of_another_archive_is_found() {
    finds_beside("has the checksum", |beside| beside.checksum = "0".repeat(64));
    finds_beside("lacks checksum:", |beside| {
        beside.manifest = beside.manifest.replace("checksum: \"", "checksum: \"0")
    });
    finds_beside("lacks /SipWakeFFI", |beside| beside.manifest = beside.manifest.replace(NAME, "Other.zip"));
}

#[test]
fn a_privacy_manifest_that_says_too_little_is_found() {
    finds_beside("is no XML", |beside| beside.privacy.clear());
    finds_beside("category FileTimestamp", |beside| {
        let text = String::from_utf8_lossy(&beside.privacy)
            .replace("CategoryFileTimestamp", "CategoryDiskSpace")
            .replace("C617.1", "85F4.1");
        beside.privacy = text.into_bytes();
    });
    finds_beside("gives the reason 1A2B.1, which Apple has not for FileTimestamp", |beside| {
        beside.privacy = String::from_utf8_lossy(&beside.privacy).replace("C617.1", "1A2B.1").into_bytes();
    });
    finds_beside("no privacy manifest among its resources", |beside| {
        beside.manifest = beside.manifest.replace("PrivacyInfo.xcprivacy", "");
    });
}
