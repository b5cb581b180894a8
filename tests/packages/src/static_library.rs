//! A static library for Apple's systems: an archive of Mach-O objects for each architecture.

use std::collections::BTreeSet;

use object::{
    Object, ObjectSection, ObjectSymbol,
    endian::LittleEndian,
    macho,
    read::{
        archive::ArchiveFile,
        macho::{FatArch, MachHeader, MachOFatFile32, MachOFile64},
    },
};

use crate::{archive, findings::Findings};

/// The target for which every object must be compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Platform {
    /// `PLATFORM_…` of Mach-O.
    pub(crate) number: u32,
    /// Major and minor version of the oldest system that it supports.
    pub(crate) minimum: (u16, u8),
}

/// What a library defines and needs, in one architecture.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    pub(crate) architecture: String,
    pub(crate) defined: BTreeSet<String>,
    pub(crate) undefined: BTreeSet<String>,
}

/// The prefixes of our symbols: the C functions, and everything else under a name that no other library has.
const OURS: [&str; 3] = ["_ffi_sipwake_ffi_", "_uniffi_sipwake_ffi_", "_sipwake_hidden_"];

/// Says what is wrong with a library. Returns its symbols for each architecture.
pub(crate) fn inspect(place: &str, library: &[u8], platform: Platform, findings: &mut Findings) -> Vec<Symbols> {
    if let Some(path) = archive::build_path(library) {
        findings.wrong(place, format!("has a path of the machine that built it: {path}"));
    }
    let parts = match architectures(library) {
        Ok(parts) => parts,
        Err(why) => {
            findings.wrong(place, why);
            return Vec::new();
        }
    };
    parts
        .into_iter()
        .map(|(cpu, part)| {
            let mut symbols = Symbols { architecture: name_of(cpu), ..Symbols::default() };
            let place = format!("{place} ({})", symbols.architecture);
            match objects(part) {
                Ok(objects) => {
                    for (name, object) in &objects {
                        inspect_object(&format!("{place} {name}"), object, cpu, platform, &mut symbols, findings);
                    }
                    findings.seen(&place, format!("{} bytes, {} objects", part.len(), objects.len()));
                }
                Err(why) => findings.wrong(&place, why),
            }
            for name in symbols.defined.iter().filter(|name| !OURS.iter().any(|ours| name.starts_with(ours))).take(5) {
                findings.wrong(&place, format!("shows {name}, which another library in the app may have too"));
            }
            symbols
        })
        .collect()
}

/// Splits a library into the CPU's number and the archive for each architecture.
fn architectures(library: &[u8]) -> Result<Vec<(u32, &[u8])>, String> {
    if library.starts_with(&object::archive::MAGIC) {
        let (_, first) = objects(library)?.into_iter().next().ok_or("has no object")?;
        return Ok(vec![(parse(first)?.macho_header().cputype(LittleEndian), library)]);
    }
    let fat = MachOFatFile32::parse(library).map_err(|error| format!("is not a static library: {error}"))?;
    fat.arches()
        .iter()
        .map(|arch| {
            let part = arch.data(library).map_err(|error| format!("is broken: {error}"))?;
            Ok((arch.cputype(), part))
        })
        .collect()
}

fn objects(library: &[u8]) -> Result<Vec<(String, &[u8])>, String> {
    let archive = ArchiveFile::parse(library).map_err(|error| format!("is no archive: {error}"))?;
    archive
        .members()
        .map(|member| {
            let member = member.map_err(|error| format!("is broken: {error}"))?;
            let bytes = member.data(library).map_err(|error| format!("is broken: {error}"))?;
            Ok((String::from_utf8_lossy(member.name()).into_owned(), bytes))
        })
        .collect()
}

fn parse(object: &[u8]) -> Result<MachOFile64<'_, LittleEndian>, String> {
    MachOFile64::parse(object).map_err(|error| format!("is no 64-bit Mach-O: {error}"))
}

fn inspect_object(
    place: &str,
    object: &[u8],
    cpu: u32,
    platform: Platform,
    symbols: &mut Symbols,
    findings: &mut Findings,
) {
    let file = match parse(object) {
        Ok(file) => file,
        Err(why) => return findings.wrong(place, why),
    };
    if file.macho_header().cputype(LittleEndian) != cpu {
        findings.wrong(place, format!("is not for {}", name_of(cpu)));
    }
    match build_version(&file) {
        None => findings.wrong(place, "does not say which system it is for"),
        Some((number, minimum)) => {
            if number != platform.number {
                findings.wrong(place, format!("is for the platform {number}, not {}", platform.number));
            }
            if minimum != platform.minimum {
                findings.wrong(
                    place,
                    format!(
                        "asks for version {}.{}, not {}.{}",
                        minimum.0, minimum.1, platform.minimum.0, platform.minimum.1
                    ),
                );
            }
        }
    }
    for section in file.sections() {
        let segment = section.segment_name().ok().flatten().unwrap_or_default();
        if ["__DWARF", "__LLVM"].contains(&segment) {
            let name = section.name().unwrap_or_default();
            findings.wrong(place, format!("has {segment},{name}: what is for debuggers and compilers does not ship"));
        }
    }
    for symbol in file.symbols().filter(ObjectSymbol::is_global) {
        let name = symbol.name().unwrap_or_default().to_owned();
        if symbol.is_undefined() { &mut symbols.undefined } else { &mut symbols.defined }.insert(name);
    }
}

fn build_version(file: &MachOFile64<'_, LittleEndian>) -> Option<(u32, (u16, u8))> {
    let mut commands = file.macho_load_commands().ok()?;
    while let Ok(Some(command)) = commands.next() {
        if let Ok(Some(version)) = command.build_version() {
            let minimum = version.minos.get(LittleEndian);
            // xxxx.yy.zz: one byte each, except the first part.
            let [patch, minor, major @ ..] = minimum.to_le_bytes();
            let minor = if patch == 0 { minor } else { u8::MAX };
            return Some((version.platform.get(LittleEndian), (u16::from_le_bytes(major), minor)));
        }
    }
    None
}

/// Returns Apple's name of an architecture.
pub(crate) fn name_of(cpu: u32) -> String {
    match cpu {
        macho::CPU_TYPE_ARM64 => "arm64".into(),
        macho::CPU_TYPE_X86_64 => "x86_64".into(),
        other => format!("CPU {other:#x}"),
    }
}
