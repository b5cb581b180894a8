//! A message, read once and asked many times.

use std::fmt;

use super::escape::{cut, delta_seconds};
use super::head::{Field, Head, MAX_MESSAGE, ParseError, expand};
use super::{Contact, FeatureCaps, Method, NameAddr, Start, Via};

/// The most Contact and Feature-Caps values that are read of one message.
pub const MAX_CONTACTS: usize = 256;

/// A request or a response.
///
/// ```
/// use sipwake_core::sip::Message;
/// let message = Message::parse(b"SIP/2.0 200 OK\r\nm: <sip:a@b>;expires=60,\r\n <sip:c@d>\r\nl: 0\r\n\r\n")?;
/// assert_eq!(message.code(), Some(200));
/// assert_eq!(message.header("Contact"), Some("<sip:a@b>;expires=60, <sip:c@d>"));
/// assert_eq!(message.contacts()[0].expires(), Some(60));
/// # Ok::<(), sipwake_core::sip::ParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The start line.
    pub start: Start,
    /// The body, cut to Content-Length.
    pub body: Vec<u8>,
    text: String,
    fields: Vec<Field>,
}

/// The CSeq of a message (RFC 3261 section 20.16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number.
    pub seq: u32,
    /// The method of the request.
    pub method: Method,
}

impl Message {
    /// Reads one datagram, or one message that a [`Framer`](super::Framer) cut out of a stream.
    ///
    /// Bytes behind Content-Length are cut off; without a Content-Length the rest is the body (RFC 3261 section 18.3). A field that is no field is left
    /// out, the message kept.
    ///
    /// # Errors
    /// [`ParseError::Empty`] for a keep-alive; the others for what is no message.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(ParseError::TooLarge);
        }
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | 0)) {
            return Err(ParseError::Empty);
        }
        let head = Head::read(bytes)?;
        let rest = &bytes[head.length..];
        let body = match head.content_length {
            Some(length) => rest.get(..length).ok_or(ParseError::Truncated)?,
            None => rest,
        };
        let start = Start::parse(&head.text[..head.start])?;
        Ok(Self { start, body: body.to_vec(), text: head.text, fields: head.fields })
    }

    /// Returns the value of the first field of this name: unfolded, trimmed. Long and compact names both find it, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = long(name);
        self.fields
            .iter()
            .find(|field| field.name(&self.text).eq_ignore_ascii_case(name))
            .map(|field| field.value(&self.text))
    }

    /// Returns the value of each field of this name, one item for a line.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let name = long(name);
        self.all_headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the elements of a comma-separated field, over all its lines. Commas inside quotes and `<>` do not separate, empty elements
    /// are skipped.
    ///
    /// Not for challenges and credentials, where a comma separates parameters.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers(name).flat_map(split_list)
    }

    /// Returns every field with its long name, in the order of the message.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (field.name(&self.text), field.value(&self.text)))
    }

    /// Returns the method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// Returns the Request-URI of a request, as it was received.
    pub fn uri(&self) -> Option<&str> {
        match &self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// Returns the status code of a response.
    pub fn code(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { code, .. } => Some(code),
        }
    }

    /// Returns the CSeq, unless it is missing, malformed or beyond 32 bits.
    //
    // CSeq  =  "CSeq" HCOLON 1*DIGIT LWS Method
    pub fn cseq(&self) -> Option<CSeq> {
        let (seq, method) = self.header("CSeq")?.split_once([' ', '\t'])?;
        if !seq.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(CSeq { seq: seq.parse().ok()?, method: method.trim_matches([' ', '\t']).parse().ok()? })
    }

    /// Returns the Call-ID. It is compared byte for byte.
    pub fn call_id(&self) -> Option<&str> {
        self.header("Call-ID")
    }

    /// Returns the topmost Via.
    pub fn via(&self) -> Option<Via> {
        Via::parse(self.values("Via").next()?)
    }

    /// Returns the From.
    pub fn from(&self) -> Option<NameAddr> {
        NameAddr::parse(self.header("From")?)
    }

    /// Returns the To.
    pub fn to(&self) -> Option<NameAddr> {
        NameAddr::parse(self.header("To")?)
    }

    /// Returns the Contacts, malformed ones left out, at most [`MAX_CONTACTS`].
    pub fn contacts(&self) -> Vec<Contact> {
        self.values("Contact").take(MAX_CONTACTS).filter_map(Contact::parse).collect()
    }

    /// Returns the Feature-Caps, one for each value, never merged, at most [`MAX_CONTACTS`].
    pub fn feature_caps(&self) -> Vec<FeatureCaps> {
        self.values("Feature-Caps").take(MAX_CONTACTS).map(FeatureCaps::parse).collect()
    }

    /// Returns Expires in seconds. What exceeds 32 bits is the largest number.
    pub fn expires(&self) -> Option<u32> {
        delta_seconds(self.header("Expires")?)
    }

    /// Returns Min-Expires in seconds. What exceeds 32 bits is the largest number.
    pub fn min_expires(&self) -> Option<u32> {
        delta_seconds(self.header("Min-Expires")?)
    }

    /// Returns Retry-After in seconds, its comment and parameters left out. What exceeds 32 bits is the largest number.
    pub fn retry_after(&self) -> Option<u32> {
        delta_seconds(self.header("Retry-After")?)
    }
}

/// Shows the start line and sizes only: headers carry tokens and credentials.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {} headers, {} bytes of body)", self.start, self.fields.len(), self.body.len())
    }
}

/// Returns the elements of one comma-separated value. Commas inside quotes and `<>` do not separate, empty elements are skipped.
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let (one, behind) = cut(rest?, b',', true);
            rest = behind;
            let one = one.trim_matches([' ', '\t']);
            if !one.is_empty() {
                return Some(one);
            }
        }
    })
}

fn long(name: &str) -> &str {
    expand(name.as_bytes()).unwrap_or(name)
}
