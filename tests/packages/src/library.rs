//! A shared library for Android, as its loader and Google's store check it.

use std::collections::BTreeSet;

use object::{
    Endianness,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym},
};

use crate::findings::Findings;

/// The file name that JNA looks for, and the library's own.
pub(crate) const NAME: &str = "libsipwake_ffi.so";

/// Pages of 16 KB: required for every new app since Android 15.
pub(crate) const PAGE: u64 = 16 * 1024;

/// Libraries that every Android has: linking to them does not mean shipping them.
const SYSTEM: [&str; 4] = ["libc.so", "libm.so", "libdl.so", "liblog.so"];

/// One of Android's instruction sets, by the name of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abi {
    Arm64,
    Arm32,
    X86_64,
    X86,
}

impl Abi {
    /// Returns the ABI that a folder of `jni/` is for.
    pub(crate) fn of_folder(name: &str) -> Option<Self> {
        Some(match name {
            "arm64-v8a" => Self::Arm64,
            "armeabi-v7a" => Self::Arm32,
            "x86_64" => Self::X86_64,
            "x86" => Self::X86,
            _ => return None,
        })
    }

    fn machine(self) -> u16 {
        match self {
            Self::Arm64 => elf::EM_AARCH64,
            Self::Arm32 => elf::EM_ARM,
            Self::X86_64 => elf::EM_X86_64,
            Self::X86 => elf::EM_386,
        }
    }

    fn is_64_bit(self) -> bool {
        matches!(self, Self::Arm64 | Self::X86_64)
    }
}

/// Says what is wrong with a shared library.
pub(crate) fn inspect(place: &str, abi: Abi, bytes: &[u8], findings: &mut Findings) {
    let read =
        if abi.is_64_bit() { read::<FileHeader64<Endianness>>(bytes) } else { read::<FileHeader32<Endianness>>(bytes) };
    match read {
        Ok(library) => judge(place, abi, &library, findings),
        Err(error) => findings.wrong(place, format!("cannot be read as ELF of its ABI: {error}")),
    }
}

/// The properties of a shared library that are checked.
#[derive(Debug, Default)]
struct Library {
    machine: u16,
    shared: bool,
    needed: Vec<String>,
    name: Option<String>,
    search_paths: Vec<String>,
    text_relocations: bool,
    /// Where each LOAD segment begins in the file and in memory, and its alignment.
    loads: Vec<(u64, u64, u64)>,
    writable_and_executable: bool,
    executable_stack: bool,
    read_only_relocations: bool,
    sections: Vec<String>,
    exported: BTreeSet<String>,
}

fn read<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> object::Result<Library> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let mut library = Library {
        machine: header.e_machine(endian),
        shared: header.e_type(endian) == elf::ET_DYN,
        ..Library::default()
    };
    for segment in header.program_headers(endian, bytes)? {
        let flags = segment.p_flags(endian);
        match segment.p_type(endian) {
            elf::PT_LOAD => {
                library.loads.push((
                    segment.p_offset(endian).into(),
                    segment.p_vaddr(endian).into(),
                    segment.p_align(endian).into(),
                ));
                library.writable_and_executable |= flags & elf::PF_W != 0 && flags & elf::PF_X != 0;
            }
            elf::PT_GNU_STACK => library.executable_stack |= flags & elf::PF_X != 0,
            elf::PT_GNU_RELRO => library.read_only_relocations = true,
            _ => {}
        }
    }
    let sections = header.sections(endian, bytes)?;
    for section in sections.iter() {
        library.sections.push(text(sections.section_name(endian, section)?));
        if let Some((dynamic, strings)) = section.dynamic(endian, bytes)? {
            let strings = sections.strings(endian, bytes, strings)?;
            for entry in dynamic {
                let named = || entry.string(endian, strings).map(text);
                match entry.tag32(endian) {
                    Some(elf::DT_NEEDED) => library.needed.push(named()?),
                    Some(elf::DT_SONAME) => library.name = Some(named()?),
                    Some(elf::DT_RPATH | elf::DT_RUNPATH) => library.search_paths.push(named()?),
                    Some(elf::DT_TEXTREL) => library.text_relocations = true,
                    _ => {}
                }
            }
        }
    }
    let symbols = sections.symbols(endian, bytes, elf::SHT_DYNSYM)?;
    for symbol in symbols.iter() {
        if symbol.st_shndx(endian) != elf::SHN_UNDEF && symbol.st_bind() != elf::STB_LOCAL {
            library.exported.insert(text(symbols.symbol_name(endian, symbol)?));
        }
    }
    Ok(library)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn judge(place: &str, abi: Abi, library: &Library, findings: &mut Findings) {
    if library.machine != abi.machine() {
        findings.wrong(place, format!("is for ELF machine {}, its folder for {}", library.machine, abi.machine()));
    }
    if !library.shared {
        findings.wrong(place, "is not a shared library");
    }
    for &(offset, address, alignment) in &library.loads {
        if alignment < PAGE || offset % PAGE != address % PAGE {
            findings
                .wrong(place, format!("a LOAD segment at {address:#x} is aligned to {alignment} bytes, not {PAGE}"));
        }
    }
    if library.loads.is_empty() {
        findings.wrong(place, "has no LOAD segment");
    }
    for needed in library.needed.iter().filter(|needed| !SYSTEM.contains(&needed.as_str())) {
        findings.wrong(place, format!("needs {needed}, which Android does not have or does not open to apps"));
    }
    if library.name.as_deref() != Some(NAME) {
        findings.wrong(place, format!("calls itself {:?} and not {NAME}", library.name));
    }
    for path in &library.search_paths {
        findings.wrong(place, format!("looks for libraries in {path} (RPATH or RUNPATH)"));
    }
    for (found, what) in [
        (library.text_relocations, "has text relocations"),
        (library.writable_and_executable, "has a segment both writable and executable"),
        (library.executable_stack, "asks for an executable stack"),
        (!library.read_only_relocations, "leaves its relocations writable (no RELRO)"),
    ] {
        if found {
            findings.wrong(place, what);
        }
    }
    for section in &library.sections {
        if section.starts_with(".debug") || section.starts_with(".zdebug") || section == ".symtab" {
            findings.wrong(place, format!("is not stripped: it has {section}"));
        }
    }
    let strangers: Vec<_> = library.exported.iter().filter(|symbol| !is_ours(symbol)).collect();
    for symbol in strangers.iter().take(5) {
        findings.wrong(place, format!("exports {symbol}, which is neither ours nor JNI's"));
    }
    if strangers.len() > 5 {
        findings.wrong(place, format!("exports {} more that are not ours", strangers.len() - 5));
    }
    if !library.exported.iter().any(|symbol| symbol.starts_with("uniffi_sipwake_ffi_fn_")) {
        findings.wrong(place, "exports none of the functions that Kotlin calls");
    }
    findings.seen(
        place,
        format!(
            "LOAD aligned to {} bytes; needs {}; exports {} symbols",
            library.loads.iter().map(|load| load.2).min().unwrap_or(0),
            library.needed.join(", "),
            library.exported.len()
        ),
    );
}

/// Returns whether a symbol is UniFFI's scaffolding of this library, or one that Java's loader looks for.
fn is_ours(symbol: &str) -> bool {
    ["uniffi_sipwake_ffi_", "ffi_sipwake_ffi_", "JNI_", "Java_dev_sipwake_"].iter().any(|ours| symbol.starts_with(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Library {
        Library {
            machine: elf::EM_AARCH64,
            shared: true,
            needed: vec!["libc.so".into(), "liblog.so".into()],
            name: Some(NAME.into()),
            loads: vec![(0, 0, PAGE), (PAGE, 2 * PAGE, PAGE)],
            read_only_relocations: true,
            sections: vec![".text".into(), ".dynsym".into()],
            exported: ["uniffi_sipwake_ffi_fn_func_version".into()].into(),
            ..Library::default()
        }
    }

    fn wrong(library: &Library) -> Vec<String> {
        let mut findings = Findings::default();
        judge("lib", Abi::Arm64, library, &mut findings);
        findings.wrongs().to_vec()
    }

    #[test]
    fn a_valid_library_has_no_findings() {
        assert_eq!(wrong(&sound()), Vec::<String>::new());
    }

    #[test]
    fn each_fault_of_a_library_is_reported() {
        type Break = fn(&mut Library);
        let breaks: [(Break, &str); 14] = [
            (|library| library.machine = elf::EM_X86_64, "machine"),
            (|library| library.shared = false, "not a shared library"),
            (|library| library.loads[1].2 = 4096, "LOAD"),
            (|library| library.loads[1].1 += 4096, "LOAD"),
            (|library| library.loads.clear(), "no LOAD"),
            (|library| library.needed.push("libc++_shared.so".into()), "libc++_shared.so"),
            (|library| library.name = None, "calls itself"),
            (|library| library.search_paths.push("/opt".into()), "RUNPATH"),
            (|library| library.text_relocations = true, "text relocations"),
            (|library| library.writable_and_executable = true, "writable and executable"),
            (|library| library.executable_stack = true, "executable stack"),
            (|library| library.read_only_relocations = false, "RELRO"),
            (|library| library.sections.push(".debug_info".into()), ".debug_info"),
            (|library| library.exported.extend(["ring_core_0_17_aes".into()]), "ring_core"),
        ];
        for (breaking, said) in breaks {
            let mut library = sound();
            breaking(&mut library);
            let wrong = wrong(&library);
            assert!(wrong.len() == 1 && wrong[0].contains(said), "{said}: {wrong:?}");
        }
    }

    #[test]
    fn a_library_that_kotlin_cannot_call_is_found() {
        let library = Library { exported: BTreeSet::new(), ..sound() };
        assert!(wrong(&library)[0].contains("exports none"));
    }

    #[test]
    fn a_file_that_is_no_elf_is_reported_as_such() {
        let mut findings = Findings::default();
        inspect("lib", Abi::Arm64, b"MZ", &mut findings);
        assert!(!findings.is_clean());
    }
}
