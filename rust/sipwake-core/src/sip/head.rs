//! The head of a message, normalised: one line ending, no folds, long names, one buffer.

use super::escape::is_token_bytes;

/// The most bytes that a message may have, start line, headers and body together: 64 KiB.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The most header fields that a message may have.
pub const MAX_HEADERS: usize = 128;
/// The most bytes that a line may have, unfolded: 8 KiB. `Contact` alone may fill the message: a registrar lists hundreds in one.
pub const MAX_LINE: usize = 8 * 1024;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing but line ends, white space or NULs: a keep-alive, not a message.
    #[error("it is a keep-alive, not a message")]
    Empty,
    /// More than [`MAX_MESSAGE`] bytes.
    #[error("longer than {MAX_MESSAGE} bytes")]
    TooLarge,
    /// No empty line ends the headers.
    #[error("no empty line ends the headers")]
    Unterminated,
    /// A line longer than [`MAX_LINE`].
    #[error("a line longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// More than [`MAX_HEADERS`] header fields.
    #[error("more than {MAX_HEADERS} header fields")]
    TooManyHeaders,
    /// Neither a request line nor a status line.
    #[error("neither a request line nor a status line")]
    StartLine,
    /// A version other than SIP/2.0.
    #[error("a version other than SIP/2.0")]
    Version,
    /// A Content-Length that is not a number, or two that differ.
    #[error("a Content-Length that is not a number, or two that differ")]
    ContentLength,
    /// The body is shorter than Content-Length says.
    #[error("a body shorter than its Content-Length")]
    Truncated,
}

/// The place of a header field's name and value in [`Head::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    name: (u32, u32),
    value: (u32, u32),
}

impl Field {
    /// Whether it has this name, in upper or lower case.
    pub(super) fn is(&self, text: &str, name: &str) -> bool {
        // Most fields differ in length, which is known without reading the text.
        (self.name.1 - self.name.0) as usize == name.len() && self.name(text).eq_ignore_ascii_case(name)
    }

    pub(super) fn name<'a>(&self, text: &'a str) -> &'a str {
        slice(text, self.name)
    }

    pub(super) fn value<'a>(&self, text: &'a str) -> &'a str {
        slice(text, self.value)
    }
}

/// A normalised head.
pub(super) struct Head {
    /// Start line, names and values, one after the other.
    pub(super) text: String,
    /// Where the start line ends in `text`.
    pub(super) start: usize,
    pub(super) fields: Vec<Field>,
    /// How many bytes the head takes, with the empty line.
    pub(super) length: usize,
    pub(super) content_length: Option<usize>,
}

impl Head {
    /// Reads a head from the start of the bytes.
    ///
    /// A line that is not a field (no colon, a name that is not a token, a bare CR or NUL in it) is left out, and the
    /// message is kept: Kamailio ends its Flow-Timer line with CR NUL. Only Content-Length must not be broken.
    //
    // message-header  =  header-name HCOLON header-value CRLF
    // HCOLON          =  *( SP / HTAB ) ":" SWS
    // LWS             =  [*WSP CRLF] 1*WSP                                               (RFC 3261 section 25.1)
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ParseError> {
        let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(ParseError::Empty)?;
        let first = next_line(bytes, begin).ok_or(ParseError::Unterminated)?;
        if first.torn || !is_clean(first.text) {
            return Err(ParseError::StartLine);
        }
        check_length(first.text, first.text.len())?;
        let mut head = Unread { text: Vec::with_capacity(bytes.len().min(2048)), fields: Vec::with_capacity(16) };
        head.text.extend_from_slice(first.text);
        let start = head.text.len();

        let mut at = first.next;
        let mut count = 0;
        let mut open = false;
        loop {
            let line = next_line(bytes, at).ok_or(ParseError::Unterminated)?;
            at = line.next;
            check_length(line.text, line.text.len())?;
            match line.text.first() {
                None if !line.torn => break,
                Some(b' ' | b'\t') => {
                    if open {
                        open = head.fold(&line)?;
                    }
                }
                _ => {
                    count += 1;
                    if count > MAX_HEADERS {
                        return Err(ParseError::TooManyHeaders);
                    }
                    open = head.field(&line)?;
                }
            }
        }
        let mut head = head.read(start);
        head.length = at;
        head.content_length = head.read_content_length()?;
        Ok(head)
    }

    // Content-Length  =  ( "Content-Length" / "l" ) HCOLON 1*DIGIT
    fn read_content_length(&self) -> Result<Option<usize>, ParseError> {
        let mut length = None;
        for field in &self.fields {
            if !field.is(&self.text, "Content-Length") {
                continue;
            }
            let value = field.value(&self.text);
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                return Err(ParseError::ContentLength);
            }
            let value = value.parse().unwrap_or(usize::MAX);
            if length.is_some_and(|other| other != value) {
                return Err(ParseError::ContentLength);
            }
            length = Some(value);
        }
        Ok(length)
    }
}

/// A head whose bytes are not yet checked as text. Checking them all at once is cheaper.
struct Unread {
    text: Vec<u8>,
    fields: Vec<Field>,
}

impl Unread {
    fn read(self, start: usize) -> Head {
        let Self { text, fields } = self;
        let (text, start, fields) = match String::from_utf8(text) {
            Ok(text) => (text, start, fields),
            Err(error) => replaced(error.as_bytes(), start, &fields),
        };
        Head { text, start, fields, length: 0, content_length: None }
    }

    /// Adds a field, if the line is one. Returns whether there is a field that the next line may continue.
    fn field(&mut self, line: &Line<'_>) -> Result<bool, ParseError> {
        let Some(colon) = memchr::memchr(b':', line.text) else { return Ok(false) };
        let name = trim(&line.text[..colon]);
        if !is_token_bytes(name) {
            return Ok(false);
        }
        let value = trim(&line.text[colon + 1..]);
        let begin = self.text.len();
        match expand(name) {
            Some(long) => self.text.extend_from_slice(long.as_bytes()),
            None => self.text.extend_from_slice(name),
        }
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        self.fields.push(Field { name: span(begin, middle), value: span(middle, self.text.len()) });
        self.keep_if(!line.torn && is_clean(value))
    }

    /// Continues the last field, which is at the end of the buffer.
    fn fold(&mut self, line: &Line<'_>) -> Result<bool, ParseError> {
        let more = trim(line.text);
        let Some(last) = self.fields.last().copied() else { return Ok(false) };
        if !more.is_empty() {
            if last.value.0 != last.value.1 {
                self.text.push(b' ');
            }
            self.text.extend_from_slice(more);
        }
        let end = self.text.len();
        let begin = last.name.0 as usize;
        check_length(&self.text[begin..], end - begin)?;
        if let Some(last) = self.fields.last_mut() {
            last.value.1 = span(0, end).1;
        }
        self.keep_if(!line.torn && is_clean(more))
    }

    fn keep_if(&mut self, whole: bool) -> Result<bool, ParseError> {
        if !whole && let Some(field) = self.fields.pop() {
            if self.text[field.name.0 as usize..field.name.1 as usize].eq_ignore_ascii_case(b"Content-Length") {
                return Err(ParseError::ContentLength);
            }
            self.text.truncate(field.name.0 as usize);
        }
        Ok(whole)
    }
}

/// Replaces the bytes of a head that are not UTF-8.
fn replaced(bytes: &[u8], start: usize, fields: &[Field]) -> (String, usize, Vec<Field>) {
    let lossy = |(from, to): (u32, u32)| String::from_utf8_lossy(&bytes[from as usize..to as usize]);
    let mut text = String::from_utf8_lossy(&bytes[..start]).into_owned();
    let start = text.len();
    let mut moved = Vec::with_capacity(fields.len());
    for field in fields {
        let begin = text.len();
        text.push_str(&lossy(field.name));
        let middle = text.len();
        text.push_str(&lossy(field.value));
        moved.push(Field { name: span(begin, middle), value: span(middle, text.len()) });
    }
    (text, start, moved)
}

/// One line of a head, without its line end.
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// Where the next line begins.
    pub(super) next: usize,
    /// The line ended with CR NUL.
    pub(super) torn: bool,
}

/// Finds the line that begins at `from` and ends with CRLF, LF or CR NUL. `None` if its end is not there.
pub(super) fn next_line(bytes: &[u8], from: usize) -> Option<Line<'_>> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'\n', 0, bytes.get(at..)?)?;
        let after_cr = at > from && bytes[at - 1] == b'\r';
        let text = &bytes[from..if after_cr { at - 1 } else { at }];
        if bytes[at] == b'\n' || after_cr {
            return Some(Line { text, next: at + 1, torn: bytes[at] == 0 });
        }
        at += 1;
    }
}

/// The long name of a compact one (RFC 3261 section 7.3.3, and the IANA registry of header fields).
pub(super) fn expand(name: &[u8]) -> Option<&'static str> {
    let &[letter] = name else { return None };
    Some(match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => return None,
    })
}

/// Returns how long a line with this beginning may be.
pub(super) fn max_line(line: &[u8]) -> usize {
    let name = line.split(|byte| matches!(byte, b':' | b' ' | b'\t')).next().unwrap_or_default();
    if name.eq_ignore_ascii_case(b"Contact") || name.eq_ignore_ascii_case(b"m") { MAX_MESSAGE } else { MAX_LINE }
}

fn check_length(line: &[u8], length: usize) -> Result<(), ParseError> {
    if length > MAX_LINE && length > max_line(line) { Err(ParseError::LineTooLong) } else { Ok(()) }
}

/// Whether there is no bare CR, and no NUL outside a quoted-pair, where the grammar allows it.
fn is_clean(value: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', 0, value).all(|at| value[at] == 0 && at > 0 && value[at - 1] == b'\\')
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn span(from: usize, to: usize) -> (u32, u32) {
    let narrow = |at| u32::try_from(at).expect("a head of at most 64 KiB grows at most threefold");
    (narrow(from), narrow(to))
}

fn slice(text: &str, (from, to): (u32, u32)) -> &str {
    &text[from as usize..to as usize]
}
