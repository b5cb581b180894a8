//! Files and standard input, with a size limit.

use std::fs::File;
use std::io::Read;

/// More than any payload, response or password needs.
const MAX_INPUT: u64 = 1 << 20;

/// Reads a file, or standard input for `-`.
pub(crate) fn read(name: &str) -> Result<Vec<u8>, String> {
    read_up_to(name, MAX_INPUT)
}

/// Reads a file, or standard input for `-`, up to a limit in bytes.
pub(crate) fn read_up_to(name: &str, most: u64) -> Result<Vec<u8>, String> {
    let (source, shown): (Box<dyn Read>, &str) = match name {
        "-" => (Box::new(std::io::stdin()), "standard input"),
        path => (Box::new(File::open(path).map_err(|error| format!("{path}: {error}"))?), path),
    };
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes).map_err(|error| format!("{shown}: {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("{shown}: longer than {} MiB", most >> 20));
    }
    Ok(bytes)
}
