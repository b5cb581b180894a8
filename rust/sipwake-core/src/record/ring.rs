//! A ring of decisions in few bytes, because an idle phone holds it all day.
//!
//! ```text
//! entry = code time mark [account] [call] [times] facts      ; numbers in LEB128, the time as the difference to the entry before,
//!                                                            ; no account where it is that of the entry before
//! ```
//!
//! There are two generations. When the newer one is full, the older one is dropped.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decision::MOST_FACTS;
use super::{hex, unhex};

/// Room for the longest entry, in bytes.
const LONGEST: usize = 40;
/// Below this size, in bytes, a generation grows only by what it needs: most phones record few decisions.
const FEW: usize = 512;
const ACCOUNT: u8 = 4;
const CALL: u8 = 8;
const TIMES: u8 = 16;
const SAME_ACCOUNT: u8 = 32;
/// Means the account of the previous entry.
const SAME: u8 = u8::MAX;

/// A recorded decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    /// Wall time, in milliseconds.
    pub(super) at: u64,
    pub(super) code: u16,
    /// The account's place in the list, counted from 1.
    pub(super) account: u8,
    /// The call's hash, or 0.
    pub(super) call: u32,
    pub(super) count: usize,
    pub(super) facts: [u32; MOST_FACTS],
    /// How often the same decision came in a row.
    pub(super) times: u32,
}

impl Entry {
    fn is_same(&self, other: &Self) -> bool {
        Self { at: 0, times: 0, ..*self } == Self { at: 0, times: 0, ..*other }
    }

    /// Moves its account behind `others` accounts in the list.
    pub(super) fn of_account_after(mut self, others: u8) -> Self {
        if self.account > 0 {
            self.account = self.account.saturating_add(others);
        }
        self
    }
}

#[derive(Debug, Clone, Default)]
struct Generation {
    /// The time of the last entry. The first entry's time is its difference to 0.
    at: u64,
    /// The length of the last entry, in bytes.
    last: u8,
    /// The account of the last entry.
    account: u8,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Ring {
    room: u16,
    older: Option<Box<Generation>>,
    newer: Generation,
}

impl Ring {
    pub(super) fn new(room: u16) -> Self {
        Self { room, older: None, newer: Generation::default() }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if self.newer.bytes.len() + LONGEST > usize::from(self.room) / 2 {
            self.older = Some(Box::new(std::mem::take(&mut self.newer)));
        }
        self.newer.push(entry);
    }

    /// Returns a ring with as many of the newest entries as have room.
    pub(super) fn within(&self, room: u16) -> Self {
        let mut ring = Self::new(room);
        self.entries().for_each(|entry| ring.push(entry));
        ring
    }

    /// The entries, oldest first. An unreadable entry ends its generation.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.older.iter().flat_map(|older| older.entries()).chain(self.newer.entries())
    }
}

impl Generation {
    fn push(&mut self, entry: Entry) {
        let mut entry = entry;
        let mut same = entry.account == self.account && !self.bytes.is_empty();
        let begin = self.bytes.len() - usize::from(self.last);
        let (mut last, mut before, mut account) = (&self.bytes[begin..], 0, SAME);
        if let Some(mut former) = read_entry(&mut last, &mut before, &mut account) {
            let as_before = former.account == SAME;
            former.account = self.account;
            if former.is_same(&entry) {
                // The time that was read is the difference to the entry before.
                entry = Entry { at: self.at, times: former.times.saturating_add(entry.times), ..entry };
                self.at = self.at.wrapping_sub(before);
                self.bytes.truncate(begin);
                same = as_before;
            }
        }
        let begin = self.bytes.len();
        self.write(&entry, same);
        self.account = entry.account;
        self.last = u8::try_from(self.bytes.len() - begin).unwrap_or_default();
    }

    fn write(&mut self, entry: &Entry, same: bool) {
        let later = entry.at.wrapping_sub(self.at).cast_signed();
        self.at = entry.at;
        let own = entry.account != 0 && !same;
        let marks = [(ACCOUNT, own), (SAME_ACCOUNT, same), (CALL, entry.call != 0), (TIMES, entry.times > 1)];
        let mark = marks.iter().filter(|(_, is_set)| *is_set).fold(0, |mark, (bit, _)| mark | bit);
        let mut bytes = Vec::with_capacity(LONGEST);
        write(&mut bytes, short(entry.code));
        // Zigzag, because a wall clock can also go back.
        write(&mut bytes, (later << 1 ^ later >> 63).cast_unsigned());
        bytes.push(mark | u8::try_from(entry.count).unwrap_or_default());
        if own {
            bytes.push(entry.account);
        }
        if entry.call != 0 {
            bytes.extend_from_slice(&entry.call.to_be_bytes());
        }
        if entry.times > 1 {
            write(&mut bytes, entry.times.into());
        }
        for fact in &entry.facts[..entry.count] {
            write(&mut bytes, (*fact).into());
        }
        if self.bytes.len() < FEW {
            self.bytes.reserve_exact(bytes.len());
        }
        self.bytes.extend_from_slice(&bytes);
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let (mut rest, mut at, mut account) = (self.bytes.as_slice(), 0, 0);
        std::iter::from_fn(move || read_entry(&mut rest, &mut at, &mut account))
    }
}

/// A code is some hundreds and a small number. In this form most codes fit into one byte.
fn short(code: u16) -> u64 {
    let (hundreds, few) = (u64::from(code / 100), u64::from(code % 100));
    if (1..=8).contains(&hundreds) && few < 16 { (hundreds - 1) << 4 | few } else { u64::from(code) + 128 }
}

fn long(short: u64) -> Option<u16> {
    let code = if short < 128 { ((short >> 4) + 1) * 100 + (short & 15) } else { short - 128 };
    u16::try_from(code).ok()
}

fn read_entry(rest: &mut &[u8], at: &mut u64, account: &mut u8) -> Option<Entry> {
    let code = long(read(rest)?)?;
    let zigzag = read(rest)?;
    *at = at.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
    let mark = byte(rest)?;
    let mut entry = Entry { at: *at, code, count: usize::from(mark & 3), times: 1, ..Entry::default() };
    if mark & ACCOUNT != 0 {
        entry.account = byte(rest)?;
    } else if mark & SAME_ACCOUNT != 0 {
        entry.account = *account;
    }
    *account = entry.account;
    if mark & CALL != 0 {
        let (call, behind) = rest.split_first_chunk()?;
        entry.call = u32::from_be_bytes(*call);
        *rest = behind;
    }
    if mark & TIMES != 0 {
        entry.times = u32::try_from(read(rest)?).ok()?;
    }
    for fact in entry.facts.get_mut(..entry.count)? {
        *fact = u32::try_from(read(rest)?).ok()?;
    }
    Some(entry)
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

impl Serialize for Ring {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = self.older.iter().map(|older| &**older).chain([&self.newer]);
        parts.map(|part| hex(&part.bytes)).collect::<Vec<_>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ring {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut ring = Self::new(super::ROOM_OF_WAKES);
        for bytes in Vec::<String>::deserialize(deserializer)? {
            let bytes = unhex(&bytes).ok_or_else(|| D::Error::custom("decisions that cannot be read"))?;
            let part = Generation { bytes, ..Generation::default() };
            part.entries().for_each(|entry| ring.push(entry));
        }
        Ok(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u32) -> Entry {
        Entry {
            at: 1_700_000_000_000 + u64::from(number) * 977,
            code: 100 + (number % 500) as u16,
            account: (number % 3) as u8,
            call: if number.is_multiple_of(2) { 0 } else { number },
            count: (number % 4) as usize,
            facts: [number, u32::MAX, 1].map(|fact| if number.is_multiple_of(4) { 0 } else { fact }),
            times: 1 + number % 2,
        }
    }

    fn read_back(entry: Entry) -> Entry {
        let mut facts = entry.facts;
        facts[entry.count..].fill(0);
        Entry { facts, ..entry }
    }

    #[test]
    fn written_decisions_are_read_even_after_the_clock_went_back() {
        let mut ring = Ring::new(u16::MAX);
        let mut written: Vec<Entry> = (1..200).map(|number| read_back(entry(number))).collect();
        written[100].at -= 86_400_000;
        written.iter().for_each(|entry| ring.push(*entry));
        assert_eq!(ring.entries().collect::<Vec<_>>(), written);
        let stored = serde_json::to_string(&ring).expect("plain");
        let restored: Ring = serde_json::from_str(&stored).expect("its own");
        assert_eq!(restored.entries().collect::<Vec<_>>(), written);
    }

    #[test]
    fn of_too_many_decisions_the_oldest_go() {
        let mut ring = Ring::new(4096);
        for number in 1..10_000 {
            ring.push(read_back(entry(number)));
            let older = ring.older.as_ref().map_or(0, |older| older.bytes.len());
            assert!(older + ring.newer.bytes.len() <= 4096);
        }
        let kept: Vec<Entry> = ring.entries().collect();
        assert!(kept.len() > 100 && kept.last() == Some(&read_back(entry(9_999))), "{}", kept.len());
    }

    #[test]
    fn a_repeated_decision_takes_no_room() {
        let mut ring = Ring::new(4096);
        for number in 0..1_000 {
            ring.push(Entry { at: number, code: 300, times: 1, ..Entry::default() });
        }
        let kept: Vec<Entry> = ring.entries().collect();
        assert_eq!((kept.len(), kept[0].times, kept[0].at), (1, 1_000, 0));
        assert!(ring.newer.bytes.len() < 8);
        ring.push(Entry { at: 5_000, code: 301, times: 1, ..Entry::default() });
        let kept: Vec<Entry> = ring.entries().collect();
        assert_eq!((kept.len(), kept[1].at), (2, 5_000));
    }

    #[test]
    fn no_bytes_make_the_ring_panic() {
        for number in 0..20_000_u32 {
            let noise: Vec<u8> =
                (0..40_u32).map(|at| (number.wrapping_mul(2_654_435_761).rotate_left(at) >> 3) as u8).collect();
            let part = Generation { bytes: noise, ..Generation::default() };
            assert!(part.entries().count() <= 40);
        }
    }
}
