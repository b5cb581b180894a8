//! Percent-escapes, quoted strings and tokens.

use std::borrow::Cow;

/// A `%` without two hex digits behind it, or escapes that do not make UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed percent-escape")]
pub struct MalformedEscape;

/// Escapes a text for the value of a URI parameter.
///
/// Unreserved characters and `[ ] / : & + $` stay raw. Every other byte of the UTF-8 text becomes `%HH` in upper case.
/// The same input always gives the same bytes, because push servers compare bytes (RFC 8599 section 4.1).
///
/// ```
/// assert_eq!(sipwake_core::sip::escape_paramchar("ab:c=1;é"), "ab:c%3D1%3B%C3%A9");
/// ```
//
// paramchar        =  param-unreserved / unreserved / escaped
// param-unreserved =  "[" / "]" / "/" / ":" / "&" / "+" / "$"
// unreserved       =  alphanum / mark
// mark             =  "-" / "_" / "." / "!" / "~" / "*" / "'" / "(" / ")"      (RFC 3261 section 25.1)
pub fn escape_paramchar(text: &str) -> String {
    escape(text, &PARAMCHARS, b"0123456789ABCDEF")
}

/// A set of ASCII bytes, as a table: it is asked about each byte of each token in each REGISTER.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// The letters, the digits, and these marks, which must be ASCII.
    pub(crate) const fn of(marks: &[u8]) -> Self {
        let mut raw = [false; 256];
        let mut byte = 0u8;
        while byte < 0x80 {
            raw[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut index = 0;
        while index < marks.len() {
            raw[marks[index] as usize] = marks[index] < 0x80;
            index += 1;
        }
        Self(raw)
    }

    const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }

    /// How many bytes at the start of the text are in the set.
    fn run(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        // Whole chunks come first. They need no branch for each byte.
        let whole =
            bytes.chunks_exact(16).take_while(|chunk| chunk.iter().fold(true, |all, byte| all & self.has(*byte)));
        let begin = 16 * whole.count();
        begin + bytes[begin..].iter().take_while(|byte| self.has(**byte)).count()
    }
}

const PARAMCHARS: ByteSet = ByteSet::of(b"-_.!~*'()[]/:&+$");

/// Escapes every byte that is not in `raw`, with these hex digits.
pub(crate) fn escape(text: &str, raw: &ByteSet, digits: &[u8; 16]) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    let mut rest = text;
    // A token is one long run of raw characters with an occasional escape.
    loop {
        let at = raw.run(rest);
        escaped.push_str(&rest[..at]);
        let Some(length) = rest[at..].chars().next().map(char::len_utf8) else { return escaped };
        for byte in &rest.as_bytes()[at..at + length] {
            escaped.push('%');
            escaped.push(char::from(digits[usize::from(byte >> 4)]));
            escaped.push(char::from(digits[usize::from(byte & 15)]));
        }
        rest = &rest[at + length..];
    }
}

/// Returns the text with every `%HH` replaced by its byte. The result may hold any character, control characters
/// included.
///
/// # Errors
/// [`MalformedEscape`] when a `%` has no two hex digits behind it, or the bytes are not UTF-8.
pub fn unescape(text: &str) -> Result<Cow<'_, str>, MalformedEscape> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return Err(MalformedEscape) };
        bytes.push(hex_pair(*high, *low).ok_or(MalformedEscape)?);
        rest = tail;
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| MalformedEscape)
}

/// Returns the text as a quoted-string: between double quotes, `"` and `\` escaped.
///
/// Leaves control characters as they are. [`Builder`](super::Builder) refuses them.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Returns the content of a quoted-string, without its quotes and with its quoted-pairs read. A text without quotes
/// comes back as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = strip_quotes(text) else { return Cow::Borrowed(text) };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut said = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => said.extend(chars.next()),
            c => said.push(c),
        }
    }
    Cow::Owned(said)
}

/// Returns `true` when the text is an RFC 3261 `token`.
//
// token =  1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
pub fn is_token(text: &str) -> bool {
    is_token_bytes(text.as_bytes())
}

pub(super) fn is_token_bytes(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tokenchar(byte))
}

pub(super) fn is_tokenchar(byte: u8) -> bool {
    const TOKENCHARS: ByteSet = ByteSet::of(b"-.!%*_+`'~");
    TOKENCHARS.has(byte)
}

pub(super) const fn is_paramchar(byte: u8) -> bool {
    PARAMCHARS.has(byte)
}

pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// The text between two double quotes.
pub(super) fn strip_quotes(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The index after the closing quote of the quoted-string that opens at `open`. `None` if nothing closes it.
pub(super) fn end_of_quoted(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Splits the text at the first separator outside quotes and, with `angles`, outside `<>`. Returns the parts before and
/// after it.
pub(super) fn cut(text: &str, separator: u8, angles: bool) -> (&str, Option<&str>) {
    let bytes = text.as_bytes();
    let open_angle = if angles { b'<' } else { separator };
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr3(separator, b'"', open_angle, rest)) {
        at += found;
        let skipped = match bytes[at] {
            byte if byte == separator => return (&text[..at], Some(&text[at + 1..])),
            b'"' => end_of_quoted(bytes, at),
            _ => memchr::memchr(b'>', &bytes[at..]).map(|close| at + close + 1),
        };
        match skipped {
            Some(behind) => at = behind,
            None => break,
        }
    }
    (text, None)
}

/// Returns the text without the spaces and tabs around it.
pub(super) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => text.trim_matches([' ', '\t']),
        _ => text,
    }
}

/// Whether there is a space or a control character, including DEL.
pub(super) fn has_blank(text: &str) -> bool {
    has_below(text, b' ' + 1)
}

/// Whether there is a control character other than a tab, including DEL.
pub(super) fn has_control(text: &str) -> bool {
    has_below(text, b' ') && text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

/// Whether there is a byte below `limit`, which is at most 0x80, or a DEL. Every byte that is sent passes here, so eight
/// are looked at together. Built for size, the compiler does not do that.
fn has_below(text: &str, limit: u8) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Sets a byte's high bit if the byte is below the limit. A borrow sets others only where there is such a byte.
    let below = |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word & (EACH * 0x80);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| {
        let word = u64::from_ne_bytes(*word);
        found | below(word, limit) | below(word ^ (EACH * 0x7f), 1)
    });
    found != 0 || rest.iter().any(|byte| *byte < limit || *byte == 0x7f)
}

/// Reads delta-seconds, which a comment or parameters may follow. A number above 32 bits becomes the largest one.
pub(super) fn delta_seconds(text: &str) -> Option<u32> {
    let text = text.trim_start_matches([' ', '\t']);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let behind = text.as_bytes().get(digits);
    if digits == 0 || !matches!(behind, None | Some(b' ' | b'\t' | b';' | b'(')) {
        return None;
    }
    Some(text[..digits].parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_that_rfc_8599_allows_stay_raw_and_the_rest_is_upper_case_hex() {
        assert_eq!(escape_paramchar("aZ0-_.!~*'()[]/:&+$"), "aZ0-_.!~*'()[]/:&+$");
        assert_eq!(escape_paramchar("= ;?@,%\"<>é\r\n\0"), "%3D%20%3B%3F%40%2C%25%22%3C%3E%C3%A9%0D%0A%00");
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for text in ["%", "%4", "%ZZ", "a%+1", "%ff"] {
            assert_eq!(unescape(text), Err(MalformedEscape), "{text}");
        }
        assert_eq!(unescape("null-%00-null").as_deref(), Ok("null-\0-null"));
    }

    #[test]
    fn separators_inside_quotes_and_angles_do_not_cut() {
        assert_eq!(cut(r#""a,\"b" <x,y>;q=1 , next"#, b',', true), (r#""a,\"b" <x,y>;q=1 "#, Some(" next")));
        assert_eq!(cut(r#"a="x;y";b"#, b';', false), (r#"a="x;y""#, Some("b")));
        assert_eq!(cut(r#"a="x;y;b"#, b';', false), (r#"a="x;y;b"#, None));
        assert_eq!(cut(r#"a="x\"#, b';', false), (r#"a="x\"#, None));
    }

    #[test]
    fn seconds_end_before_a_comment_and_never_overflow() {
        assert_eq!(delta_seconds("18000;duration=3600"), Some(18000));
        assert_eq!(delta_seconds("120 (I'm in a meeting)"), Some(120));
        assert_eq!(delta_seconds("949302838503028349304023988"), Some(u32::MAX));
        assert_eq!(delta_seconds("-1"), None);
        assert_eq!(delta_seconds("12x"), None);
        assert_eq!(delta_seconds(""), None);
    }

    proptest! {
        #[test]
        fn eight_bytes_together_are_judged_as_each_byte_alone(clean in "[!-~é]{0,24}", odd in 0u8..0x80, at in any::<proptest::sample::Index>()) {
            prop_assert!(!has_blank(&clean) && !has_control(&clean));
            let mut chars: Vec<char> = clean.chars().collect();
            chars.insert(at.index(chars.len() + 1), char::from(odd));
            let text = String::from_iter(chars);
            prop_assert_eq!(has_blank(&text), odd <= b' ' || odd == 0x7f);
            prop_assert_eq!(has_control(&text), odd.is_ascii_control() && odd != b'\t');
        }

        #[test]
        fn an_escaped_text_can_be_unescaped(text in any::<String>()) {
            let escaped = escape_paramchar(&text);
            prop_assert!(escaped.bytes().all(|byte| is_paramchar(byte) || byte == b'%'));
            prop_assert_eq!(unescape(&escaped).expect("it was escaped"), text);
        }

        #[test]
        fn a_quoted_text_can_be_unquoted(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert_eq!(end_of_quoted(quoted.as_bytes(), 0), Some(quoted.len()));
            prop_assert_eq!(unquote(&quoted), text);
        }

        #[test]
        fn no_text_makes_these_panic(text in any::<String>()) {
            let _ = unescape(&text);
            let _ = unquote(&text);
            let _ = cut(&text, b',', true);
            let _ = delta_seconds(&text);
        }
    }
}
