//! The form of a record: versioned and checked.
//!
//! ```text
//! "sipwake " version " " checksum LF JSON     ; checksum: 16 hex digits of the JSON's SHA-256
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::digest::hex;

/// The version of the records' form. Records of other versions are not read.
const VERSION: &str = "1";
/// The largest record that is read, in bytes. Sixteen log-outs take about three megabytes, if a server gave them the
/// longest possible nonces and Contacts.
const MAX_RECORD: usize = 8 * 1024 * 1024;
/// Room for a common record, in bytes. A buffer that grows would leave parts of it behind in memory.
pub(super) const ROOM: usize = 4096;

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is larger than any record we write.
    #[error("too large for a record")]
    TooLarge,
    /// It does not begin as our records do.
    #[error("not a record of sipwake")]
    Foreign,
    /// It was written by another version.
    #[error("written by another version of sipwake")]
    OtherVersion,
    /// The checksum does not fit: torn, truncated or changed.
    #[error("the checksum is wrong")]
    Torn,
    /// The checksum fits but the content does not.
    #[error("the content cannot be read")]
    Unreadable,
}

fn checksum(body: &[u8]) -> [u8; 16] {
    hex(&Sha256::digest(body))
}

pub(crate) fn seal(value: &impl Serialize) -> Vec<u8> {
    let mut record = Vec::with_capacity(ROOM);
    for piece in ["sipwake ", VERSION, " 0123456789abcdef\n"] {
        record.extend_from_slice(piece.as_bytes());
    }
    let begin = record.len();
    write(&mut record, value);
    let sum = checksum(&record[begin..]);
    record[begin - 1 - sum.len()..begin - 1].copy_from_slice(&sum);
    record
}

/// Returns a record with changed content of the same length. An unreadable record stays unreadable.
#[cfg(feature = "replay")]
pub(crate) fn resealed(record: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let Ok(body) = body(record) else { return b"damaged".to_vec() };
    let mut changed = record.to_vec();
    let begin = record.len() - body.len();
    change(&mut changed[begin..]);
    let sum = checksum(&changed[begin..]);
    changed[begin - 1 - sum.len()..begin - 1].copy_from_slice(&sum);
    changed
}

/// Reads a sealed record.
pub(crate) fn open<T: DeserializeOwned>(record: &[u8]) -> Result<T, Damage> {
    read(body(record)?)
}

pub(super) fn body(record: &[u8]) -> Result<&[u8], Damage> {
    if record.len() > MAX_RECORD {
        return Err(Damage::TooLarge);
    }
    let end = record.iter().position(|byte| *byte == b'\n').ok_or(Damage::Foreign)?;
    let (head, body) = (&record[..end], &record[end + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| Damage::Foreign)?;
    let mut words = head.split(' ');
    if words.next() != Some("sipwake") {
        return Err(Damage::Foreign);
    }
    if words.next() != Some(VERSION) {
        return Err(Damage::OtherVersion);
    }
    if words.next().map(str::as_bytes) != Some(&checksum(body)) || words.next().is_some() {
        return Err(Damage::Torn);
    }
    Ok(body)
}

pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Damage> {
    serde_json::from_slice(body).map_err(|_| Damage::Unreadable)
}

pub(super) fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("records have text keys, and memory takes every byte");
}

/// Reads a list entry by entry. An unreadable entry is left out, and the others stay.
pub(crate) fn each_readable<'de, D, T, C>(deserializer: D) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    C: FromIterator<T>,
{
    let entries = Vec::<&RawValue>::deserialize(deserializer)?;
    Ok(entries.into_iter().filter_map(|entry| read_raw(entry).ok()).collect())
}

/// Reads a part of a record from its text. Everything is read from bytes: each other source would add a copy of the
/// code for every record.
pub(super) fn read_raw<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Damage> {
    read(raw.get().as_bytes())
}

/// Reads a list in a record as [`each_readable`] does.
pub(super) fn read_each<'a, T: Deserialize<'a>, C: FromIterator<T>>(raw: &'a RawValue) -> Option<C> {
    each_readable(&mut serde_json::Deserializer::from_slice(raw.get().as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Memory;
    use super::*;
    use crate::random::Random;

    fn memory() -> Memory {
        Memory { realm: Some("asterisk".into()), ..Memory::fresh(&mut Random::new([1; 32])) }
    }

    #[test]
    fn a_sealed_record_can_be_opened() {
        assert_eq!(open::<Memory>(&seal(&memory())), Ok(memory()));
    }

    #[test]
    fn each_damage_has_its_name() {
        let good = seal(&memory());
        assert_eq!(open::<Memory>(&good[..good.len() - 1]), Err(Damage::Torn));
        assert_eq!(open::<Memory>(b""), Err(Damage::Foreign));
        assert_eq!(open::<Memory>(b"hello\nworld"), Err(Damage::Foreign));
        assert_eq!(open::<Memory>(b"sipwake 2 00\n{}"), Err(Damage::OtherVersion));
        assert_eq!(open::<Memory>(&seal(&"text".to_owned())), Err(Damage::Unreadable));
        assert_eq!(open::<Memory>(&vec![b'x'; MAX_RECORD + 1]), Err(Damage::TooLarge));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unnoticed(bit in 0usize..8, at in any::<proptest::sample::Index>()) {
            let mut record = seal(&memory());
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert!(open::<Memory>(&record).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = open::<Memory>(&bytes);
        }
    }
}
