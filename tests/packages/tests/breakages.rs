#![forbid(unsafe_code)]
//! A valid Android archive that is broken by hand, in one way after the other. The inspection must report each.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Read, Write},
    path::Path,
    process::Command,
};

use object::{
    Endianness,
    elf::{self, FileHeader64},
    read::elf::{FileHeader, ProgramHeader},
};
use tempfile::TempDir;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

const ARM64: &str = "jni/arm64-v8a/libsipwake_ffi.so";
const X86_64: &str = "jni/x86_64/libsipwake_ffi.so";

/// The files of an archive, and how to pack it again.
#[derive(Clone)]
struct Archive {
    name: String,
    files: BTreeMap<String, Vec<u8>>,
    alignment: u16,
    time: DateTime,
}

impl Archive {
    fn read(name: &str, bytes: &[u8]) -> Self {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("it is an archive");
        let mut files = BTreeMap::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).expect("it is whole");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("it is whole");
            files.insert(file.name().to_owned(), bytes);
        }
        Self { name: name.to_owned(), files, alignment: 16 * 1024, time: DateTime::default() }
    }

    fn pack(&self) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes) in &self.files {
            let options = SimpleFileOptions::default().last_modified_time(self.time);
            let options = if path.ends_with(".so") {
                options.compression_method(CompressionMethod::Stored).with_alignment(self.alignment)
            } else {
                options.compression_method(CompressionMethod::Deflated)
            };
            writer.start_file(path.as_str(), options).expect("memory does not fail");
            writer.write_all(bytes).expect("memory does not fail");
        }
        writer.finish().expect("memory does not fail").into_inner()
    }

    fn file(&mut self, path: &str) -> &mut Vec<u8> {
        self.files.get_mut(path).unwrap_or_else(|| panic!("there is no {path}"))
    }

    fn replace_text(&mut self, path: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.file(path).clone()).expect("it is text");
        assert!(text.contains(from), "{path} has no {from}");
        *self.file(path) = text.replacen(from, to, 1).into_bytes();
    }

    /// Adds an element to the application of the manifest.
    fn add_to_application(&mut self, element: &str) {
        self.replace_text("AndroidManifest.xml", "</application>", &format!("{element}</application>"));
    }

    /// Replaces bytes by the same number of other bytes.
    fn patch(&mut self, path: &str, from: &[u8], to: &[u8]) {
        assert_eq!(from.len(), to.len());
        let file = self.file(path);
        let at = file.windows(from.len()).position(|window| window == from).unwrap_or_else(|| {
            panic!("{path} has no {}", String::from_utf8_lossy(from));
        });
        file[at..at + to.len()].copy_from_slice(to);
    }

    fn break_classes(&mut self, breaking: impl FnOnce(&mut Archive)) {
        let mut classes = Archive::read("classes.jar", self.file("classes.jar"));
        breaking(&mut classes);
        *self.file("classes.jar") = classes.pack();
    }
}

/// Gives the second LOAD segment pages of 4 KB.
fn align_to_4_kb(library: &mut [u8]) {
    let header = FileHeader64::<Endianness>::parse(&*library).expect("it is ELF");
    let endian = header.endian().expect("it is ELF");
    let segments = header.program_headers(endian, &*library).expect("it has segments");
    let index = segments.iter().rposition(|segment| segment.p_type(endian) == elf::PT_LOAD).expect("it has a LOAD");
    let at = header.e_phoff.get(endian) as usize + index * 56 + 48;
    library[at..at + 8].copy_from_slice(&4096_u64.to_le_bytes());
}

/// Turns an entry that says how to bind into one that says where to look for libraries.
fn look_for_libraries(library: &mut [u8]) {
    let flags = u64::from(elf::DT_FLAGS_1).to_le_bytes();
    let at = library.windows(8).rposition(|window| window == flags).expect("it has DT_FLAGS_1");
    library[at..at + 8].copy_from_slice(&u64::from(elf::DT_RUNPATH).to_le_bytes());
}

fn inspect(folder: &Path, archive: &Archive) -> (bool, String) {
    let file = folder.join(&archive.name);
    fs::write(&file, archive.pack()).expect("a temporary file can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_inspect-package")).arg(&file).output().expect("it can be run");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

type Break = Box<dyn Fn(&mut Archive)>;

/// Returns the built archive, and a folder for its broken copies.
fn sound() -> (TempDir, Archive) {
    let path = std::env::var("SIPWAKE_AAR").expect("SIPWAKE_AAR names an archive that scripts/build-android made");
    let name = Path::new(&path).file_name().expect("it is a file").to_string_lossy().into_owned();
    let sound = Archive::read(&name, &fs::read(&path).expect("it can be read"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (passed, output) = inspect(folder.path(), &sound);
    assert!(passed, "the archive is not sound to begin with:\n{output}");
    (folder, sound)
}

fn assert_found(folder: &Path, sound: &Archive, said: &str, breaking: Break) {
    let mut broken = sound.clone();
    breaking(&mut broken);
    let (passed, output) = inspect(folder, &broken);
    let named = output.lines().any(|line| line.starts_with("WRONG") && line.contains(said));
    assert!(!passed && named, "not found: {said}\n{output}");
}

#[test]
#[ignore = "needs an archive: scripts/test --only android-package"]
fn each_way_of_breaking_an_archive_is_found() {
    let (folder, sound) = sound();
    let breaks: Vec<(&str, Break)> = vec![
        ("ELF", Box::new(|archive| archive.file(ARM64).truncate(20))),
        (
            "machine",
            Box::new(|archive| archive.files.insert(ARM64.into(), archive.files[X86_64].clone()).map_or((), drop)),
        ),
        ("aligned to 4096", Box::new(|archive| align_to_4_kb(archive.file(ARM64)))),
        ("needs libxx.so", Box::new(|archive| archive.patch(ARM64, b"\0libdl.so\0", b"\0libxx.so\0"))),
        ("RUNPATH", Box::new(|archive| look_for_libraries(archive.file(ARM64)))),
        ("calls itself", Box::new(|archive| archive.patch(ARM64, b"\0libsipwake_ffi.so\0", b"\0libsipwake_fff.so\0"))),
        ("exports xfi_sipwake", Box::new(|archive| archive.patch(ARM64, b"\0ffi_sipwake_ffi_", b"\0xfi_sipwake_ffi_"))),
        (".debug_x", Box::new(|archive| archive.patch(ARM64, b"\0.comment\0", b"\0.debug_x\0"))),
        ("path of the machine", Box::new(|archive| archive.patch(X86_64, b"Content-Length", b"/home/eve/x.rs"))),
        ("Mozilla's list", Box::new(|archive| archive.file(ARM64).extend_from_slice(b"\x0cISRG Root X1"))),
        ("multiple of", Box::new(|archive| archive.alignment = 4)),
        (
            "bears the time",
            Box::new(|archive| archive.time = DateTime::from_date_and_time(2026, 1, 1, 0, 0, 0).expect("a day")),
        ),
        ("no library for x86_64", Box::new(|archive| archive.files.remove(X86_64).map_or((), drop))),
        (
            "folder of no ABI",
            Box::new(|archive| archive.files.insert("jni/mips/libsipwake_ffi.so".into(), vec![1]).map_or((), drop)),
        ),
        ("does not belong", Box::new(|archive| archive.files.insert("notes.txt".into(), vec![1]).map_or((), drop))),
        ("outside of itself", Box::new(|archive| archive.files.insert("jni/../../x".into(), vec![1]).map_or((), drop))),
        ("minSdkVersion", Box::new(|archive| archive.replace_text("AndroidManifest.xml", "\"26\"", "\"21\""))),
        ("no XML", Box::new(|archive| archive.replace_text("AndroidManifest.xml", "</manifest>", ""))),
        (
            "no dev/sipwake/SystemTrust.class",
            Box::new(|archive| {
                archive.break_classes(|classes| drop(classes.files.remove("dev/sipwake/SystemTrust.class")));
            }),
        ),
        (
            "does not ask for android.permission.INTERNET",
            Box::new(|archive| archive.replace_text("AndroidManifest.xml", "permission.INTERNET", "permission.NONE")),
        ),
        (
            "asks for android.permission.NONE",
            Box::new(|archive| archive.replace_text("AndroidManifest.xml", "permission.INTERNET", "permission.NONE")),
        ),
        (
            "puts the component",
            Box::new(|archive| archive.add_to_application("<service android:name=\".WakeService\" />")),
        ),
        ("differ on whether", Box::new(|archive| archive.name = "sipwake-0.1.0.aar".into())),
        (
            "lacks the rule",
            Box::new(|archive| archive.replace_text("proguard.txt", "dev.sipwake.ffi", "dev.sipwake.fff")),
        ),
        ("has no proguard.txt", Box::new(|archive| archive.files.remove("proguard.txt").map_or((), drop))),
        (
            "no notice of rsip",
            Box::new(|archive| archive.replace_text("META-INF/LICENSES.txt", "== rsip ", "== xsip ")),
        ),
        ("names resources", Box::new(|archive| archive.file("R.txt").push(b'x'))),
        (
            "lacks aarFormatVersion",
            Box::new(|archive| {
                archive.replace_text(
                    "META-INF/com/android/build/gradle/aar-metadata.properties",
                    "aarFormat",
                    "format",
                );
            }),
        ),
        (
            "is not ours",
            Box::new(|archive| {
                archive.break_classes(|classes| {
                    let class = classes.file("dev/sipwake/SipWakeClient.class").clone();
                    classes.files.insert("com/google/firebase/messaging/RemoteMessage.class".into(), class);
                });
            }),
        ),
        (
            "class file version 65",
            Box::new(|archive| {
                archive.break_classes(|classes| classes.file("dev/sipwake/SipWakeClient.class")[7] = 65)
            }),
        ),
        (
            "has no dev/sipwake/SipWakeClient.class",
            Box::new(|archive| {
                archive.break_classes(|classes| drop(classes.files.remove("dev/sipwake/SipWakeClient.class")))
            }),
        ),
    ];
    for (said, breaking) in breaks {
        assert_found(folder.path(), &sound, said, breaking);
    }
}

#[test]
#[ignore = "needs an archive and aapt2: scripts/test --only android-package"]
fn a_manifest_error_that_only_aapt2_knows_is_found() {
    let (folder, sound) = sound();
    let (_, output) = inspect(folder.path(), &sound);
    assert!(output.contains("AndroidManifest.xml: aapt2 reads the same"), "aapt2 was not asked:\n{output}");

    let breaks: [(&str, Break); 3] = [
        // Each time valid XML, with an attribute or a value that Android does not have.
        (
            "attribute android:requierd not found",
            Box::new(|archive| {
                archive.add_to_application("<meta-data android:name=\"x\" android:requierd=\"true\" />")
            }),
        ),
        (
            "is incompatible with attribute enabled",
            Box::new(|archive| {
                archive.add_to_application("<meta-data android:name=\"x\" android:enabled=\"maybe\" />")
            }),
        ),
        (
            "resource string/app_name",
            Box::new(|archive| {
                archive.add_to_application("<meta-data android:name=\"x\" android:value=\"@string/app_name\" />")
            }),
        ),
    ];
    for (said, breaking) in breaks {
        assert_found(folder.path(), &sound, said, breaking);
    }
}
