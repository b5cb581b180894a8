//! Headers in the forms that other stacks print: in upper or lower case, folded, several values in one line or one in
//! each.

use super::Error;
use crate::sip::{Message, is_token};

/// The header fields that our own request determines, and those that concern only the other stack.
const OTHERS: [&str; 15] = [
    "via",
    "v",
    "from",
    "f",
    "to",
    "t",
    "call-id",
    "i",
    "cseq",
    "content-length",
    "l",
    "flow-timer",
    "authentication-info",
    "proxy-authentication-info",
    "route",
];

/// Reads the header fields of a request or a response that begins with this line.
pub(super) fn message(start: &str, headers: &[(&str, &str)]) -> Result<Message, Error> {
    let mut text = [start, "\r\n"].concat();
    for (index, (name, value)) in headers.iter().enumerate() {
        let name = name.trim();
        if !is_token(name) || !is_value(value) {
            return Err(Error::Header(index));
        }
        if matches!(name.to_ascii_lowercase().as_str(), "content-length" | "l") {
            continue;
        }
        text += &[name, ": ", value.trim(), "\r\n"].concat();
    }
    Ok(Message::parse((text + "\r\n").as_bytes())?)
}

/// Refuses the headers of another request. Only a `CSeq` shows that.
pub(super) fn is_of(message: &Message, method: &'static str) -> Result<(), Error> {
    let other = message.cseq().is_some_and(|cseq| cseq.method != method);
    if other { Err(Error::Method(method)) } else { Ok(()) }
}

/// Whether a value keeps to one header: a line may end only before white space, which folds it (RFC 3261 section
/// 7.3.1).
fn is_value(value: &str) -> bool {
    let value = value.trim();
    let mut bytes = value.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'\r' => bytes.peek() == Some(&b'\n'),
            b'\n' => matches!(bytes.peek(), Some(b' ' | b'\t')),
            b'\t' => true,
            byte => !byte.is_ascii_control(),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Writes a response to our own request, with what the response to the other stack said.
pub(super) fn answer(request: &Message, status: u16, phrase: &str, heard: &Message) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status} {phrase}\r\n");
    let ours = request.all_headers().filter(|(name, _)| ["Via", "From", "To", "Call-ID", "CSeq"].contains(name));
    let theirs = heard.all_headers().filter(|(name, _)| !OTHERS.contains(&name.to_ascii_lowercase().as_str()));
    for (name, value) in ours.chain(theirs) {
        text += &[name, ": ", value, "\r\n"].concat();
    }
    (text + "Content-Length: 0\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_stacks_print_them() {
        let headers = [
            ("CONTACT", "<sip:a@b>;expires=5,\r\n <sip:c@d;pn-prid=t>\r\n"),
            ("feature-caps ", "*;+sip.pns=\"fcm\",\n\t*;+sip.pns=\"apns\""),
            ("content-length", "700"),
        ];
        let read = message("SIP/2.0 200 OK", &headers).expect("a response");
        assert_eq!((read.contacts().len(), read.feature_caps().len(), read.body.len()), (2, 2, 0));
    }

    #[test]
    fn a_value_that_would_start_another_header_is_refused() {
        for header in [
            ("X", "a\r\nY: b"),
            ("X", "a\rb"),
            ("X", "a\0"),
            ("X Y", "a"),
            ("", "a"),
            ("X:", "a"),
            ("X", "a\r\n\r\n b"),
        ] {
            assert_eq!(message("SIP/2.0 200 OK", &[("A", "b"), header]), Err(Error::Header(1)), "{header:?}");
        }
        let many = vec![("X", "y"); 200];
        assert!(matches!(message("SIP/2.0 200 OK", &many), Err(Error::Unreadable(_))));
    }
}
