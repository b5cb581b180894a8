//! Messages as text for the wire.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;

use super::escape::is_token;
use super::head::{MAX_MESSAGE, expand};
use super::uri::scheme_of;
use super::{Message, Method, Params, Via};

/// Why a message was not built. The value itself is left out: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The method is no token.
    #[error("the method is no token")]
    Method,
    /// The Request-URI has no scheme, or holds white space, control characters, quotes or angle brackets.
    #[error("the Request-URI is none")]
    Uri,
    /// The status code is not from 100 to 699, or its reason holds control characters.
    #[error("the status line is none")]
    Status,
    /// The tag for To is no token.
    #[error("the tag for To is no token")]
    Tag,
    /// A header name is no token.
    #[error("a header name is no token")]
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
    #[error("the request has no {0} to answer to")]
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
pub struct Builder {
    text: String,
    top_via: Option<Range<usize>>,
    body: Vec<u8>,
    failed: Option<BuildError>,
}

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

    /// Starts a response to a request: Via, From, To, Call-ID and CSeq are copied, and the tag added to a To that has none
    /// (RFC 3261 section 8.2.6.2). Call [`source`](Self::source) too.
    pub fn response(request: &Message, code: u16, reason: &str, to_tag: Option<&str>) -> Self {
        let mut builder = Self::empty();
        if !(100..=699).contains(&code) || has_control(reason) {
            builder.fail(BuildError::Status);
        }
        builder.line(&["SIP/2.0 ", &code.to_string(), " ", reason]);
        for via in request.values("Via") {
            let begin = builder.text.len() + "Via: ".len();
            builder.copy("Via", via, "", "");
            builder.top_via.get_or_insert(begin..begin + via.len());
        }
        if builder.top_via.is_none() {
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

    /// Writes into the topmost Via where the request came from: `received` when it differs from `sent-by` (RFC 3261 section 18.2.1), and both
    /// `received` and `rport` when the client asked for `rport` (RFC 3581 section 4). What the client claimed there is replaced.
    pub fn source(mut self, source: SocketAddr) -> Self {
        let Some(range) = self.top_via.clone() else { return self };
        let Some(via) = self.text.get(range.clone()).and_then(Via::parse) else { return self };
        let raw = &self.text[range.clone()];
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
        self.text.replace_range(range.clone(), &told);
        self.top_via = Some(range.start..range.start + told.len());
        self
    }

    /// Copies the Record-Route of a request into its response, as one that makes a dialog needs it (RFC 3261 section 12.1.1).
    pub fn record_route(mut self, request: &Message) -> Self {
        for value in request.headers("Record-Route") {
            self.copy("Record-Route", value, "", "");
        }
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let long = expand(name.as_bytes()).unwrap_or(name);
        if !is_token(name) {
            self.fail(BuildError::HeaderName);
        } else if has_control(value) {
            self.fail(BuildError::HeaderValue { name: name.to_owned() });
        } else if ["Content-Length", "Content-Type"].iter().any(|reserved| reserved.eq_ignore_ascii_case(long)) {
            self.fail(BuildError::Reserved { name: name.to_owned() });
        } else {
            self.line(&[name, ": ", value]);
        }
        self
    }

    /// Sets the body and writes its Content-Type.
    pub fn body(mut self, content_type: &str, bytes: &[u8]) -> Self {
        if has_control(content_type) {
            self.fail(BuildError::HeaderValue { name: "Content-Type".to_owned() });
        } else if !self.body.is_empty() {
            self.fail(BuildError::Reserved { name: "Content-Type".to_owned() });
        } else if !bytes.is_empty() {
            self.line(&["Content-Type: ", content_type]);
            self.body.extend_from_slice(bytes);
        }
        self
    }

    /// Returns the message, Content-Length written.
    ///
    /// # Errors
    /// The first mistake made on the way here. Nothing can leave that holds CR, LF or NUL outside its line ends and its body.
    pub fn finish(mut self) -> Result<Vec<u8>, BuildError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        write!(self.text, "Content-Length: {}\r\n\r\n", self.body.len()).expect("writing to a String cannot fail");
        if self.text.len() + self.body.len() > MAX_MESSAGE {
            return Err(BuildError::TooLarge);
        }
        let mut bytes = self.text.into_bytes();
        bytes.append(&mut self.body);
        Ok(bytes)
    }

    fn empty() -> Self {
        Self { text: String::with_capacity(1024), top_via: None, body: Vec::new(), failed: None }
    }

    fn fail(&mut self, error: BuildError) {
        self.failed.get_or_insert(error);
    }

    fn line(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.push_str(part);
        }
        self.text.push_str("\r\n");
    }

    /// Copies a received value. Of control characters only those are refused that could end a line: others may be quoted-pairs.
    fn copy(&mut self, name: &'static str, value: &str, joint: &str, tail: &str) {
        if value.contains(['\r', '\n', '\0']) {
            self.fail(BuildError::HeaderValue { name: name.to_owned() });
        }
        self.line(&[name, ": ", value, joint, tail]);
    }
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f)
}
