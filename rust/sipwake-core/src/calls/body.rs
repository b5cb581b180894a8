//! Finds the session description in a body, which may be in parts (RFC 3261 section 7.4, RFC 5621, RFC 2046).

use super::Refusal;
use crate::event::Offer;
use crate::sip::{Message, Params};

/// The largest body that is passed to the app, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// How deep parts may be nested.
const MAX_DEPTH: u8 = 3;
/// How many parts of one body are read.
const MAX_PARTS: usize = 16;

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// 415: an unknown type or encoding.
    Type,
    /// 488: the type is SDP, and the content is not.
    Sdp,
}

impl Unreadable {
    pub(crate) fn refusal(self) -> Refusal {
        let refusal = match self {
            Self::Type => Refusal::new(415, "Unsupported Media Type"),
            Self::Sdp => Refusal::new(488, "Not Acceptable Here"),
        };
        refusal.with("Accept", "application/sdp")
    }
}

/// Returns the session description of a message, or `None` if it has none.
pub(crate) fn description(message: &Message) -> Result<Option<Offer>, Unreadable> {
    if message.body.is_empty() {
        return Ok(None);
    }
    let encoding =
        message.header("Content-Encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    if message.body.len() > MAX_BODY || encoding {
        return Err(Unreadable::Type);
    }
    let content_type = message.header("Content-Type").unwrap_or("application/sdp");
    let found = find(content_type, &message.body, 0)?;
    // RFC 5621 section 5: a body that is not a session description may be ignored only if it says so.
    let optional = message
        .header("Content-Disposition")
        .and_then(|value| value.split_once(';'))
        .is_some_and(|(_, params)| Params::parse(params).value("handling") == Some("optional"));
    if found.is_none() && !optional { Err(Unreadable::Type) } else { Ok(found) }
}

fn find(content_type: &str, body: &[u8], depth: u8) -> Result<Option<Offer>, Unreadable> {
    let (kind, params) = content_type.split_at(content_type.find(';').unwrap_or(content_type.len()));
    let kind = kind.trim().to_ascii_lowercase();
    if kind == "application/sdp" {
        let sound = is_sdp(body).then(|| Offer { content_type: kind, body: body.to_vec() });
        return sound.map(Some).ok_or(Unreadable::Sdp);
    }
    if !kind.starts_with("multipart/") || depth >= MAX_DEPTH {
        return Ok(None);
    }
    let params = Params::parse(params);
    let Some(boundary) = params.value("boundary").filter(|boundary| !boundary.is_empty()) else {
        return Err(Unreadable::Type);
    };
    for part in parts(body, boundary).take(MAX_PARTS) {
        let (head, content) = headers(part);
        let head = String::from_utf8_lossy(head);
        if let Some(found) = find(field(&head, "Content-Type").unwrap_or("text/plain"), content, depth + 1)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether this may be a session description. The media engine judges the rest.
//
// session-description  =  proto-version origin-field session-name-field …        %x76 "=" 1*DIGIT CRLF   (RFC 8866)
fn is_sdp(body: &[u8]) -> bool {
    // The encoding may be any: some write names in Latin-1.
    let lines = body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // Some end it with a zero byte, as in C, or with a blank line.
    let mut lines = lines.filter(|line| line.iter().any(|byte| !byte.is_ascii_whitespace() && *byte != 0));
    lines.next().is_some_and(|first| first.starts_with(b"v=")) && lines.all(|line| line.get(1) == Some(&b'='))
}

/// The parts between the boundary lines.
//
// delimiter        =  CRLF "--" boundary
// close-delimiter  =  delimiter "--"                                                                     (RFC 2046)
fn parts<'a>(body: &'a [u8], boundary: &str) -> impl Iterator<Item = &'a [u8]> {
    let delimiter = format!("--{boundary}").into_bytes();
    let begin = next_delimiter(body, &delimiter, 0);
    let mut rest = begin.map(|(_, behind)| behind);
    std::iter::from_fn(move || {
        let from = rest?;
        if body[from..].starts_with(b"--") {
            return None;
        }
        let start = from + memchr::memchr(b'\n', &body[from..])? + 1;
        let (end, behind) = match next_delimiter(body, &delimiter, start) {
            Some((end, behind)) => (end, Some(behind)),
            None => (body.len(), None),
        };
        rest = behind;
        let part = &body[start..end.max(start)];
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        Some(part.strip_suffix(b"\r").unwrap_or(part))
    })
}

/// The start and the end of the next delimiter at the beginning of a line.
fn next_delimiter(body: &[u8], delimiter: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let rest = body.get(at..)?;
        if (at == 0 || body[at - 1] == b'\n') && rest.starts_with(delimiter) {
            return Some((at, at + delimiter.len()));
        }
        at += memchr::memchr(b'\n', rest)? + 1;
    }
}

/// Splits a part, or a CPIM message, at its first empty line.
pub(crate) fn headers(part: &[u8]) -> (&[u8], &[u8]) {
    if let Some(rest) = part.strip_prefix(b"\r\n").or_else(|| part.strip_prefix(b"\n")) {
        (&part[..0], rest)
    } else if let Some(at) = part.windows(4).position(|four| four == b"\r\n\r\n") {
        (&part[..at], &part[at + 4..])
    } else if let Some(at) = part.windows(2).position(|two| two == b"\n\n") {
        (&part[..at], &part[at + 2..])
    } else {
        (&part[..0], part)
    }
}

/// The value of a header in the head of a part.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (other, value) = line.split_once(':')?;
        other.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n";

    fn read(headers: &str, body: &str) -> Result<Option<String>, Unreadable> {
        let text = format!("INVITE sip:a@b SIP/2.0\r\n{headers}\r\n{body}");
        let offer = description(&Message::parse(text.as_bytes()).expect("a message"))?;
        Ok(offer.map(|offer| String::from_utf8(offer.body).expect("it is text")))
    }

    #[test]
    fn the_session_description_is_found_in_parts_of_parts() {
        let inner = format!(
            "--in\r\nContent-Type: text/plain\r\n\r\nx\r\n--in\r\nContent-Type: application/SDP\r\n\r\n{SDP}\r\n--in--\r\n"
        );
        let outer = format!(
            "preamble\r\n--a b\r\nContent-Type: application/isup\r\n\r\n\u{1}--a b\r\n--a b\r\ncontent-type: multipart/alternative;boundary=in\r\n\r\n{inner}\r\n--a b--\r\n"
        );
        assert_eq!(read("Content-Type: multipart/mixed; boundary=\"a b\"\r\n", &outer), Ok(Some(SDP.to_owned())));
        assert_eq!(read("c: application/sdp; charset=utf-8\r\n", SDP), Ok(Some(SDP.to_owned())));
        assert_eq!(read("", ""), Ok(None));
    }

    #[test]
    fn a_text_that_is_no_session_description_is_refused() {
        assert_eq!(read("Content-Type: application/sdp\r\n", "garbage"), Err(Unreadable::Sdp));
        assert_eq!(read("Content-Type: application/sdp\r\n", "v=0\r\nrubbish\r\n"), Err(Unreadable::Sdp));
        assert_eq!(read("Content-Type: text/html\r\n", "<p>"), Err(Unreadable::Type));
        assert_eq!(read("Content-Type: multipart/mixed\r\n", "--\r\n"), Err(Unreadable::Type));
        assert_eq!(
            read("Content-Type: multipart/mixed;boundary=x\r\n", "--x\r\n\r\ntext\r\n--x--"),
            Err(Unreadable::Type)
        );
        assert_eq!(read("Content-Encoding: gzip\r\nContent-Type: application/sdp\r\n", SDP), Err(Unreadable::Type));
        assert_eq!(
            read("Content-Type: text/html\r\nContent-Disposition: alert;handling=optional\r\n", "<p>"),
            Ok(None)
        );
    }

    #[test]
    fn a_body_that_is_too_large_is_not_read() {
        let mut message =
            Message::parse(b"INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\n").expect("a message");
        let mut body = SDP.as_bytes().to_vec();
        body.resize(MAX_BODY, b'\n');
        message.body = body;
        let offer = description(&message).expect("it is read").expect("and found");
        assert_eq!(offer.body.len(), MAX_BODY);
        message.body.push(b'\n');
        assert_eq!(description(&message), Err(Unreadable::Type));
    }

    #[test]
    fn parts_beyond_the_limit_are_not_read() {
        let body = |before: usize| {
            let other = "--x\r\nContent-Type: text/plain\r\n\r\nno\r\n".repeat(before);
            format!("{other}--x\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--x--\r\n")
        };
        let mixed = "Content-Type: multipart/mixed;boundary=x\r\n";
        assert_eq!(read(mixed, &body(MAX_PARTS - 1)), Ok(Some(SDP.to_owned())));
        assert_eq!(read(mixed, &body(MAX_PARTS)), Err(Unreadable::Type));
    }

    #[test]
    fn nested_parts_are_opened_only_to_a_limited_depth() {
        let nested = |depth: u8| {
            (1..=depth).rev().fold(("application/sdp".to_owned(), SDP.to_owned()), |(kind, inner), level| {
                let body = format!("--{level}x\r\nContent-Type: {kind}\r\n\r\n{inner}\r\n--{level}x--\r\n");
                (format!("multipart/mixed;boundary={level}x"), body)
            })
        };
        let within = |depth| {
            let (kind, body) = nested(depth);
            read(&format!("Content-Type: {kind}\r\n"), &body)
        };
        assert_eq!(within(MAX_DEPTH), Ok(Some(SDP.to_owned())));
        assert_eq!(within(MAX_DEPTH + 1), Err(Unreadable::Type));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_search_panic(body in "(--x|--|\r\n|\n|Content-Type: multipart/mixed;boundary=x|v=0|[a-z:=]){0,30}") {
            let _ = find("multipart/mixed;boundary=x", body.as_bytes(), 0);
        }
    }
}
