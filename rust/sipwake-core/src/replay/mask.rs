//! Replaces secrets by stand-ins of the same length.
//!
//! A token must be the same everywhere, or the core would take it for another one. So each secret that can come again
//! has its own stand-in, made of the same kinds of characters. It replaces the secret everywhere, also escaped, in
//! another case or cut short. What the core never compares (digests, `X-PIID`, keys of media, texts) is blanked where
//! the syntax shows it.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A text shorter than this is no provider's token, and would match everywhere.
const SHORTEST: usize = 8;
/// If a server has cut a secret short, this many characters of it count as the secret.
const CUT: usize = 16;
/// Parameters with secret values, our own or others'.
const PARAMETERS: [&[u8]; 6] = [b"pn-prid=", b"pn-tok=", b"push-token-id=", b"device-uid=", b"pn-purr=", b"pnspurr="];
/// Stands for a right `rspauth`.
pub(super) const RIGHT: u8 = b'r';
/// Stands for a wrong one.
const WRONG: u8 = b'w';
const BLANK: u8 = b'x';

#[derive(Default)]
pub(super) struct Mask {
    secrets: Vec<Secret>,
    proofs: Vec<Zeroizing<String>>,
}

struct Secret {
    text: Zeroizing<Vec<u8>>,
    stand_in: Vec<u8>,
}

impl Mask {
    /// Learns a secret that may be anywhere.
    pub(super) fn learn(&mut self, secret: &[u8]) {
        if secret.len() < SHORTEST || self.secrets.iter().any(|known| known.text.eq_ignore_ascii_case(secret)) {
            return;
        }
        let stand_in = stand_in("secret", self.secrets.len(), secret);
        self.secrets.push(Secret { text: Zeroizing::new(secret.to_vec()), stand_in });
    }

    /// Learns a right proof of the server.
    pub(super) fn expect(&mut self, proof: &Zeroizing<String>) {
        if !self.proofs.contains(proof) {
            self.proofs.push(proof.clone());
        }
    }

    /// Learns the tokens in a message or a record.
    pub(super) fn learn_from(&mut self, bytes: &[u8]) {
        for parameter in PARAMETERS {
            for at in find(bytes, parameter) {
                let quotes = bytes[at..].iter().take_while(|byte| matches!(byte, b'"' | b'\\')).count();
                let rest = &bytes[at + quotes..];
                let end = rest.iter().position(|byte| b"\";>, \r\n\\".contains(byte)).unwrap_or(rest.len());
                self.learn_rest(&unescaped(&rest[..end]));
            }
        }
        for at in find(bytes, b"x-mpush:") {
            let value = line(&bytes[at..]).trim_ascii();
            // [ENV:]PROVIDER:PACKAGE:TOKEN. Only the token may hold more colons.
            let before = if matches!(value.get(..2), Some(b"s:" | b"p:" | b"d:")) { 3 } else { 2 };
            let mut colons = value.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
            if let Some(colon) = colons.nth(before - 1) {
                self.learn_rest(&value[colon + 1..]);
            }
        }
    }

    /// Learns the parts of a value that are not known yet. Some values join two tokens.
    fn learn_rest(&mut self, value: &[u8]) {
        let (mut begin, mut at) = (0, 0);
        while at < value.len() {
            match self.at(&value[at..]) {
                Some(((count, _), _)) => {
                    self.learn(&value[begin..at]);
                    at += count;
                    begin = at;
                }
                None => at += 1,
            }
        }
        self.learn(&value[begin..]);
    }

    /// The secret at this place, and how much of it is there.
    fn at(&self, bytes: &[u8]) -> Option<((usize, Written), &Secret)> {
        let standing = self.secrets.iter().map(|secret| (secret.at(bytes), secret));
        standing.filter(|((count, _), _)| *count > 0).max_by_key(|((count, _), _)| *count)
    }

    /// Replaces the secrets by their stand-ins.
    pub(super) fn apply(&self, bytes: &mut [u8]) {
        blank(bytes, &self.proofs);
        let mut begins = [false; 256];
        for first in self.secrets.iter().filter_map(|secret| secret.text.first()) {
            for byte in [first.to_ascii_lowercase(), first.to_ascii_uppercase(), b'%', b'\\'] {
                begins[usize::from(byte)] = true;
            }
        }
        let mut at = 0;
        while at < bytes.len() {
            let found = if begins[usize::from(bytes[at])] { self.at(&bytes[at..]) } else { None };
            match found {
                Some((found, secret)) => at += secret.write(&mut bytes[at..], found),
                None => at += 1,
            }
        }
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.apply(&mut bytes);
        // Only ASCII characters of a secret are replaced, by other ASCII characters.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// The form in which a text is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Plainly,
    /// As in URIs or in JSON.
    Escaped,
}

impl Secret {
    /// How many of its characters are here, and in which form. 0 if there are too few.
    fn at(&self, bytes: &[u8]) -> (usize, Written) {
        let plainly = (self.count(bytes, Written::Plainly), Written::Plainly);
        let escaped = (self.count(bytes, Written::Escaped), Written::Escaped);
        if plainly.0 >= escaped.0 { plainly } else { escaped }
    }

    fn count(&self, bytes: &[u8], written: Written) -> usize {
        let mut at = 0;
        for (count, wanted) in self.text.iter().enumerate() {
            match read(&bytes[at..], written) {
                Some((byte, length)) if byte.eq_ignore_ascii_case(wanted) => at += length,
                _ => return if count >= CUT { count } else { 0 },
            }
        }
        self.text.len()
    }

    /// Returns how many bytes were written.
    fn write(&self, bytes: &mut [u8], (count, written): (usize, Written)) -> usize {
        let mut at = 0;
        for (was, becomes) in self.text.iter().zip(&self.stand_in).take(count) {
            let Some((found, length)) = read(&bytes[at..], written) else { break };
            let upper = found.is_ascii_uppercase();
            let becomes = if upper { becomes.to_ascii_uppercase() } else { becomes.to_ascii_lowercase() };
            // An escaped character is mostly punctuation, which stays.
            if was.is_ascii_alphanumeric() {
                match &mut bytes[at..at + length] {
                    [byte] => *byte = becomes,
                    [b'%', high, low] => {
                        let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value & 15)];
                        (*high, *low) = (digit(becomes >> 4), digit(becomes));
                    }
                    _ => {}
                }
            }
            at += length;
        }
        at
    }
}

/// Reads one character and its length.
fn read(bytes: &[u8], written: Written) -> Option<(u8, usize)> {
    match bytes {
        [byte, ..] if written == Written::Plainly => Some((*byte, 1)),
        [b'%', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Some((high << 4 | low, 3)),
            _ => Some((b'%', 1)),
        },
        [b'\\', quoted @ (b'"' | b'\\'), ..] => Some((*quoted, 2)),
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut at = 0;
    let mut text = Vec::with_capacity(bytes.len());
    while let Some((byte, length)) = read(&bytes[at..], Written::Escaped) {
        text.push(byte);
        at += length;
    }
    text
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Returns a text that shows only the length of a secret and the kinds of its characters. The same number gives the
/// same text.
pub(super) fn stand_in(purpose: &str, number: usize, secret: &[u8]) -> Vec<u8> {
    let block = |block: usize| Sha256::digest(format!("sipwake {purpose} {number} {block}"));
    let chosen = |at: usize| block(at / 32)[at % 32];
    secret
        .iter()
        .enumerate()
        .map(|(at, byte)| match byte {
            b'0'..=b'9' => b'0' + chosen(at) % 10,
            b'a'..=b'f' => b'a' + chosen(at) % 6,
            b'g'..=b'z' => b'g' + chosen(at) % 20,
            b'A'..=b'F' => b'A' + chosen(at) % 6,
            b'G'..=b'Z' => b'G' + chosen(at) % 20,
            other => *other,
        })
        .collect()
}

/// Blanks the secrets that the syntax of a message shows.
pub(super) fn blank(bytes: &mut [u8], proofs: &[Zeroizing<String>]) {
    for at in find(bytes, b"response=") {
        let value = value(bytes, at);
        fill(&mut bytes[value], BLANK);
    }
    for at in find(bytes, b"rspauth=") {
        let value = value(bytes, at);
        let right = proofs.iter().any(|proof| proof.as_bytes().eq_ignore_ascii_case(&bytes[value.clone()]));
        // A proof that was blanked before stays.
        if !bytes[value.clone()].iter().all(|byte| *byte == RIGHT) {
            fill(&mut bytes[value], if right { RIGHT } else { WRONG });
        }
    }
    for name in [&b"x-piid:"[..], b"a=ice-pwd:", b"a=key-mgmt:", b"k="] {
        for at in find(bytes, name) {
            if at == name.len() || bytes[at - name.len() - 1] == b'\n' {
                let end = at + line(&bytes[at..]).len();
                fill(&mut bytes[at..end], BLANK);
            }
        }
    }
    for at in find(bytes, b"inline:") {
        let end = bytes[at..].iter().position(|byte| b"|; \r\n\"".contains(byte)).map_or(bytes.len(), |end| at + end);
        fill(&mut bytes[at..end], BLANK);
    }
    for at in find(bytes, b"message sip") {
        if at == "message sip".len() || bytes[at - "message sip".len() - 1] == b'\n' {
            let text = text_of_message(&bytes[at..]);
            fill(&mut bytes[at + text.start..at + text.end], BLANK);
        }
    }
    for at in find(bytes, b"sip:").into_iter().chain(find(bytes, b"sips:")) {
        let end = bytes[at..].iter().position(|byte| b"@;>? \t\r\n\",".contains(byte)).map(|end| at + end);
        let Some(end) = end.filter(|end| bytes[*end] == b'@') else { continue };
        if let Some(colon) = bytes[at..end].iter().position(|byte| *byte == b':') {
            fill(&mut bytes[at + colon + 1..end], BLANK);
        }
    }
}

/// Where the text of a MESSAGE begins and ends. With RFC 3862 it follows two heads.
fn text_of_message(message: &[u8]) -> std::ops::Range<usize> {
    let ends: Vec<usize> = find(message, b"\r\n\r\n");
    let Some(begin) = ends.first().copied() else { return 0..0 };
    let head = &message[..begin];
    let number = |name: &[u8]| {
        let at = find(head, name).into_iter().next()?;
        std::str::from_utf8(line(&head[at..]).trim_ascii()).ok()?.parse::<usize>().ok()
    };
    let length = number(b"\ncontent-length:").or_else(|| number(b"\nl:")).unwrap_or(usize::MAX);
    let end = begin.saturating_add(length).min(message.len());
    let begin = match find(head, b"message/cpim").is_empty() {
        true => begin,
        false => ends.get(2).or(ends.get(1)).copied().filter(|at| *at <= end).unwrap_or(begin),
    };
    begin..end
}

/// Where the value of a parameter begins and ends, without its quotes.
fn value(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let quoted = bytes.get(at) == Some(&b'"');
    let begin = at + usize::from(quoted);
    let ends = |byte: &u8| if quoted { *byte == b'"' } else { b", \t\r\n;".contains(byte) };
    let end = bytes[begin..].iter().position(ends).map_or(bytes.len(), |end| begin + end);
    begin..end
}

fn line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    &bytes[..end]
}

fn fill(bytes: &mut [u8], with: u8) {
    for byte in bytes.iter_mut().filter(|byte| !byte.is_ascii_whitespace()) {
        *byte = with;
    }
}

/// The end of each occurrence of a word, in upper or lower case.
fn find(bytes: &[u8], word: &[u8]) -> Vec<usize> {
    let Some(first) = word.first() else { return Vec::new() };
    let begins = memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), bytes);
    let ends = begins.map(|at| at + word.len());
    ends.filter(|end| bytes.get(end - word.len()..*end).is_some_and(|found| found.eq_ignore_ascii_case(word))).collect()
}
