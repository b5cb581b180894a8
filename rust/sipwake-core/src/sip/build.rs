//! Writes messages as text.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;

use super::escape::{has_control, is_token};
use super::head::{MAX_MESSAGE, expand};
use super::uri::scheme_of;
use super::{Message, Method, Params, Via};

/// Why a message was not built. The value itself is left out: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The method is not a token.
    #[error("the method is not a token")]
    Method,
    /// The Request-URI has no scheme, or holds white space, control characters, quotes or angle brackets.
    #[error("the Request-URI is not a URI")]
    Uri,
    /// The status code is not from 100 to 699, or its reason holds control characters.
    #[error("the status is not a SIP status")]
    Status,
    /// The tag for To is not a token.
    #[error("the tag for To is not a token")]
    Tag,
    /// A header name is not a token.
    #[error("a header name is not a token")]
    HeaderName,
    /// A header value holds CR, LF, NUL or another control character.
    #[error("{name} must not hold control characters")]
    HeaderValue {
        /// The header's name.
        name: String,
    },
    /// Content-Length and Content-Type are written by the builder itself.
    #[error("{name} is written by the builder itself")]
    Reserved {
        /// The header's name.
        name: String,
    },
    /// The request lacks a field that its response copies.
    #[error("the request has no {0}, so no response can be built")]
    Unanswerable(&'static str),
    /// The message is longer than [`MAX_MESSAGE`].
    #[error("longer than {MAX_MESSAGE} bytes")]
    TooLarge,
}

/// Builds one request or response. The first mistake is kept and comes out of [`finish`](Self::finish).
///
/// ```
/// use sipwake_core::sip::{Builder, Method};
/// let bytes = Builder::request(&Method::Options, "sip:example.com")
///     .header("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport")
///     .header("CSeq", "1 OPTIONS")
///     .finish()?;
/// assert!(bytes.ends_with(b"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"));
/// # Ok::<(), sipwake_core::sip::BuildError>(())
/// ```
#[must_use = "nothing is built before finish"]
pub struct Builder(Box<Draft>);

/// It is boxed, because it is passed on with each header.
struct Draft {
    text: String,
    top_via: Option<Range<usize>>,
    body: Vec<u8>,
    failed: Option<BuildError>,
}

/// Enough for most messages, so that the text need not be moved while it grows.
const ROOM: usize = 2560;

impl Builder {
    /// Starts a request. Its headers are the caller's, in the order given.
    pub fn request(method: &Method, uri: &str) -> Self {
        let mut builder = Self::empty();
        if !is_token(method.as_str()) {
            builder.fail(BuildError::Method);
        }
        if scheme_of(uri).is_none() {
            builder.fail(BuildError::Uri);
        }
        builder.line(&[method.as_str(), " ", uri, " SIP/2.0"]);
        builder
    }

    /// Starts a response to a request: Via, From, To, Call-ID and CSeq are copied, and the tag added to a To that
    /// has none (RFC 3261 section 8.2.6.2). Call [`source`](Self::source) too.
    pub fn response(request: &Message, code: u16, reason: &str, to_tag: Option<&str>) -> Self {
        let mut builder = Self::empty();
        if !(100..=699).contains(&code) || has_control(reason) {
            builder.fail(BuildError::Status);
        }
        builder.line(&["SIP/2.0 ", &code.to_string(), " ", reason]);
        for via in request.values("Via") {
            let begin = builder.0.text.len() + "Via: ".len();
            builder.copy("Via", via, "", "");
            builder.0.top_via.get_or_insert(begin..begin + via.len());
        }
        if builder.0.top_via.is_none() {
            builder.fail(BuildError::Unanswerable("Via"));
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(value) = request.header(name) else {
                builder.fail(BuildError::Unanswerable(name));
                continue;
            };
            match to_tag {
                Some(tag) if !is_token(tag) => builder.fail(BuildError::Tag),
                Some(tag) if name == "To" && request.to().is_some_and(|to| to.tag().is_none()) => {
                    builder.copy(name, value, ";tag=", tag);
                }
                _ => builder.copy(name, value, "", ""),
            }
        }
        builder
    }

    /// Writes into the topmost Via where the request came from: `received` if it differs from `sent-by` (RFC 3261
    /// section 18.2.1), and both `received` and `rport` if the client asked for `rport` (RFC 3581 section 4). This
    /// replaces the client's own values.
    pub fn source(mut self, source: SocketAddr) -> Self {
        let Some(range) = self.0.top_via.clone() else { return self };
        let Some(via) = self.0.text.get(range.clone()).and_then(Via::parse) else { return self };
        let raw = &self.0.text[range.clone()];
        let (sent, params) = raw.split_at(raw.find(';').unwrap_or(raw.len()));
        let ip = source.ip().to_canonical();
        let mut params = Params::parse(params);
        params.remove("received");
        let asked = params.remove("rport");
        if asked || via.host.ip() != Some(ip) {
            params.push("received", Some(&ip.to_string()));
        }
        if asked {
            params.push("rport", Some(&source.port().to_string()));
        }
        let told = format!("{}{params}", sent.trim_end_matches([' ', '\t']));
        self.0.text.replace_range(range.clone(), &told);
        self.0.top_via = Some(range.start..range.start + told.len());
        self
    }

    /// Copies the Record-Route of a request into its response, as one that makes a dialog needs it (RFC 3261
    /// section 12.1.1).
    pub fn record_route(mut self, request: &Message) -> Self {
        for value in request.headers("Record-Route") {
            self.copy("Record-Route", value, "", "");
        }
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if !is_token(name) {
            self.fail(BuildError::HeaderName);
        } else if has_control(value) {
            self.fail(BuildError::HeaderValue { name: name.to_owned() });
        } else if is_reserved(name) {
            self.fail(BuildError::Reserved { name: name.to_owned() });
        } else {
            self.line(&[name, ": ", value]);
        }
        self
    }

    /// Adds a header. Its value is these parts, one after the other.
    pub fn header_of(mut self, name: &str, parts: &[&str]) -> Self {
        if !is_token(name) || is_reserved(name) {
            return self.header(name, "");
        }
        self.0.text.push_str(name);
        self.0.text.push_str(": ");
        let begin = self.0.text.len();
        self.line(parts);
        if has_control(&self.0.text[begin..self.0.text.len() - "\r\n".len()]) {
            self.fail(BuildError::HeaderValue { name: name.to_owned() });
        }
        self
    }

    /// Sets the body and writes its Content-Type.
    pub fn body(mut self, content_type: &str, bytes: &[u8]) -> Self {
        if has_control(content_type) {
            self.fail(BuildError::HeaderValue { name: "Content-Type".to_owned() });
        } else if !self.0.body.is_empty() {
            self.fail(BuildError::Reserved { name: "Content-Type".to_owned() });
        } else if !bytes.is_empty() {
            self.line(&["Content-Type: ", content_type]);
            self.0.body.extend_from_slice(bytes);
        }
        self
    }

    /// Returns the message, Content-Length written.
    ///
    /// # Errors
    /// The first mistake made on the way here. Nothing can leave that holds CR, LF or NUL outside its line ends and its body.
    pub fn finish(self) -> Result<Vec<u8>, BuildError> {
        let Draft { mut text, mut body, failed, .. } = *self.0;
        if let Some(error) = failed {
            return Err(error);
        }
        write!(text, "Content-Length: {}\r\n\r\n", body.len()).expect("writing to a String cannot fail");
        if text.len() + body.len() > MAX_MESSAGE {
            return Err(BuildError::TooLarge);
        }
        let mut bytes = text.into_bytes();
        bytes.append(&mut body);
        Ok(bytes)
    }

    fn empty() -> Self {
        Self(Box::new(Draft { text: String::with_capacity(ROOM), top_via: None, body: Vec::new(), failed: None }))
    }

    fn fail(&mut self, error: BuildError) {
        self.0.failed.get_or_insert(error);
    }

    fn line(&mut self, parts: &[&str]) {
        for part in parts {
            self.0.text.push_str(part);
        }
        self.0.text.push_str("\r\n");
    }

    /// Copies a received value. Only control characters that could end a line are refused. Others may be quoted-pairs.
    fn copy(&mut self, name: &'static str, value: &str, joint: &str, tail: &str) {
        if memchr::memchr3(b'\r', b'\n', 0, value.as_bytes()).is_some() {
            self.fail(BuildError::HeaderValue { name: name.to_owned() });
        }
        self.line(&[name, ": ", value, joint, tail]);
    }
}

/// Whether [`Builder::body`] or [`Builder::finish`] writes this header.
fn is_reserved(name: &str) -> bool {
    let long = expand(name.as_bytes()).unwrap_or(name);
    long.len() >= "Content-Type".len()
        && ["Content-Length", "Content-Type"].iter().any(|own| own.eq_ignore_ascii_case(long))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Start, quote};
    use proptest::prelude::*;

    const INVITE: &str = "INVITE sip:a@b SIP/2.0\r\n\
        v: SIP/2.0/UDP pc.example.com:5061;received=6.6.6.6;branch=z9hG4bK1;rport ,\r\n SIP / 2.0 / TCP second\r\n\
        Via: SIP/2.0/UDP third\r\n\
        Record-Route: <sip:p1;lr>,<sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n\
        From: <sip:a@b>;tag=f\r\nt: sip:a@b\r\ni: call\r\nCSeq: 7 INVITE\r\nl: 0\r\n\r\n";

    fn invite() -> Message {
        Message::parse(INVITE.as_bytes()).expect("a message")
    }

    fn text(builder: Builder) -> String {
        String::from_utf8(builder.finish().expect("nothing is wrong with it")).expect("it is text")
    }

    #[test]
    fn a_response_copies_the_headers_of_its_transaction() {
        let source = "192.0.2.9:1024".parse().expect("an address");
        let built = text(
            Builder::response(&invite(), 180, "Ringing", Some("mine"))
                .source(source)
                .record_route(&invite())
                .header("X", "y"),
        );
        assert_eq!(
            built,
            "SIP/2.0 180 Ringing\r\n\
             Via: SIP/2.0/UDP pc.example.com:5061;branch=z9hG4bK1;received=192.0.2.9;rport=1024\r\n\
             Via: SIP / 2.0 / TCP second\r\n\
             Via: SIP/2.0/UDP third\r\n\
             From: <sip:a@b>;tag=f\r\n\
             To: sip:a@b;tag=mine\r\n\
             Call-ID: call\r\n\
             CSeq: 7 INVITE\r\n\
             Record-Route: <sip:p1;lr>,<sip:p2;lr>\r\n\
             Record-Route: <sip:p3;lr>\r\n\
             X: y\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_tag_that_is_there_already_is_kept() {
        let request =
            Message::parse(INVITE.replace("t: sip:a@b", "t: <sip:a@b>;TAG=theirs").as_bytes()).expect("a message");
        assert!(text(Builder::response(&request, 200, "OK", Some("mine"))).contains("To: <sip:a@b>;TAG=theirs\r\n"));
    }

    #[test]
    fn received_is_added_only_where_the_rfcs_ask_for_it() {
        for (via, source, told) in [
            ("SIP/2.0/UDP 192.0.2.1;branch=1", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1;branch=1"),
            ("SIP/2.0/UDP 192.0.2.1;branch=1", "[::ffff:192.0.2.1]:5060", "SIP/2.0/UDP 192.0.2.1;branch=1"),
            (
                "SIP/2.0/UDP 192.0.2.1;rport;branch=1",
                "192.0.2.1:9",
                "SIP/2.0/UDP 192.0.2.1;branch=1;received=192.0.2.1;rport=9",
            ),
            ("SIP/2.0/UDP 10.0.0.1;branch=1", "[2001:db8::1]:9", "SIP/2.0/UDP 10.0.0.1;branch=1;received=2001:db8::1"),
            ("SIP/2.0/UDP [2001:db8::1];branch=1", "[2001:db8::1]:9", "SIP/2.0/UDP [2001:db8::1];branch=1"),
            ("SIP/2.0/UDP host", "192.0.2.1:9", "SIP/2.0/UDP host;received=192.0.2.1"),
        ] {
            let request = format!(
                "OPTIONS sip:a@b SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a>\r\nTo: <sip:b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
            );
            let request = Message::parse(request.as_bytes()).expect("a message");
            let built = text(Builder::response(&request, 200, "OK", None).source(source.parse().expect("an address")));
            assert!(built.contains(&format!("\r\nVia: {told}\r\n")), "{built}");
        }
    }

    #[test]
    fn a_body_has_its_type_and_length() {
        let built = text(Builder::request(&Method::Message, "sip:a@b").body("text/plain", "é".as_bytes()));
        assert_eq!(built, "MESSAGE sip:a@b SIP/2.0\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\né");
    }

    #[test]
    fn text_that_a_message_cannot_hold_is_refused() {
        let request = || Builder::request(&Method::Register, "sip:example.com");
        let value = |name: &str| BuildError::HeaderValue { name: name.into() };
        let reserved = |name: &str| BuildError::Reserved { name: name.into() };
        let lacking = |name| Message::parse(INVITE.replace(name, "Y: ").as_bytes()).expect("a message");
        for (builder, error) in [
            (Builder::request(&Method::Other("A B".into()), "sip:a"), BuildError::Method),
            (Builder::request(&Method::Other(String::new()), "sip:a"), BuildError::Method),
            (Builder::request(&Method::Register, "sip:a b"), BuildError::Uri),
            (Builder::request(&Method::Register, "sip:a\r\nX: y"), BuildError::Uri),
            (Builder::request(&Method::Register, ""), BuildError::Uri),
            (Builder::response(&invite(), 99, "x", None), BuildError::Status),
            (Builder::response(&invite(), 200, "x\ny", None), BuildError::Status),
            (Builder::response(&invite(), 200, "OK", Some("a;b")), BuildError::Tag),
            (Builder::response(&lacking("CSeq: "), 200, "OK", None), BuildError::Unanswerable("CSeq")),
            (request().header("X\r\nY", "z"), BuildError::HeaderName),
            (request().header("", "z"), BuildError::HeaderName),
            (request().header("X", "a\r\nY: b"), value("X")),
            (request().header("X", "a\0"), value("X")),
            (request().body("text/plain\r\n", b"x"), value("Content-Type")),
            (request().body("a/b", b"x").body("a/b", b"x"), reserved("Content-Type")),
            (request().header("l", "5"), reserved("l")),
            (request().header("content-type", "x"), reserved("content-type")),
            (request().body("a/b", &[0; MAX_MESSAGE]), BuildError::TooLarge),
        ] {
            assert_eq!(builder.finish(), Err(error));
        }
    }

    /// A text with separators, line ends, control characters and other scripts. Half of the time it is a good one.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z0-9 ;:,<>\"\\\\=@%?\r\n\t\0\u{7f}\u{85}\u{2028}é]{0,16}", "[a-z0-9]{1,16}"]
    }

    proptest! {
        #[test]
        fn a_built_message_can_be_read_again(
            headers in prop::collection::vec(("X-[a-zA-Z0-9!~.-]{1,10}", "[!-~é]([ -~é\t]{0,40}[!-~é])?"), 0..20),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut builder = Builder::request(&Method::Register, "sip:[2001:db8::1]");
            for (name, value) in &headers {
                builder = builder.header(name, value);
            }
            let bytes = builder.body("application/octet-stream", &body).finish().expect("nothing is wrong with it");
            let message = Message::parse(&bytes).expect("it was built here");
            prop_assert_eq!(message.uri(), Some("sip:[2001:db8::1]"));
            prop_assert_eq!(&message.body, &body);
            let read: Vec<_> = message.all_headers().filter(|(name, _)| name.starts_with("X-")).collect();
            let given: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            prop_assert_eq!(read, given);
        }

        #[test]
        fn no_line_end_leaves_through_any_field(
            method in hostile(), uri in hostile(), name in hostile(), value in hostile(), content_type in hostile(), reason in hostile(), tag in hostile(),
        ) {
            let request = Builder::request(&Method::Other(method), &format!("sip:{uri}"))
                .header(&name, &value)
                .header("Contact", &format!("{} <sip:a@b>", quote(&value)))
                .body(&content_type, b"body");
            let response = Builder::response(&invite(), 200, &reason, Some(&tag)).header(&name, &value).body(&content_type, b"body");
            for (built, fields) in [(request.finish(), 5), (response.finish(), 11)] {
                let Ok(bytes) = built else { continue };
                let head = bytes.strip_suffix(b"\r\n\r\nbody").expect("the body ends it");
                let head = String::from_utf8(head.to_vec()).expect("it is text");
                prop_assert_eq!(head.split("\r\n").count(), fields);
                prop_assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']));
            }
        }

        #[test]
        fn no_line_end_leaves_through_a_copied_field(request in "[ -~\r\n\t\0é]{0,60}", name in "Via|From|To|Call-ID|CSeq|Record-Route") {
            let text = INVITE.replacen("Record-Route: ", &format!("{name}: {request}\r\nRecord-Route: "), 1);
            let Ok(request) = Message::parse(text.as_bytes()) else { return Ok(()) };
            let source = "[2001:db8::1]:9".parse().expect("an address");
            if let Ok(bytes) = Builder::response(&request, 200, "OK", Some("t")).source(source).record_route(&request).finish() {
                let answer = Message::parse(&bytes).expect("it was built here");
                prop_assert_eq!(&answer.start, &Start::Response { code: 200, reason: "OK".into() });
                prop_assert_eq!(answer.values("Via").count(), request.values("Via").count());
                prop_assert_eq!(answer.all_headers().count(), String::from_utf8_lossy(&bytes).matches("\r\n").count() - 2);
            }
        }
    }
}
