//! Reads SIP messages, URIs and parameters: the mock's own reader, lenient where RFC 3261 is.

use std::fmt;

/// The most bytes one message may have.
pub const MAX_MESSAGE: usize = 65_536;

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method, as written.
        method: String,
        /// The Request-URI, as written.
        uri: String,
    },
    /// `SIP/2.0 status reason`
    Response {
        /// The status code.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
}

/// A SIP message: start line, header fields in order with their long names, body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub start: StartLine,
    /// Header fields in their order of appearance; folded lines are joined.
    pub headers: Vec<(String, String)>,
    /// The body, cut to Content-Length if there is one.
    pub body: Vec<u8>,
}

/// Why bytes are not a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Longer than [`MAX_MESSAGE`].
    TooLong,
    /// No empty line after the header fields.
    NoEndOfHeaders,
    /// The head is not UTF-8.
    NotText,
    /// The first line is neither a request line nor a status line.
    StartLine,
    /// A header line has no colon.
    Header,
    /// Fewer body bytes than Content-Length says.
    ShortBody,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseError::TooLong => "message too long",
            ParseError::NoEndOfHeaders => "no empty line after the header fields",
            ParseError::NotText => "head is not UTF-8",
            ParseError::StartLine => "neither a request line nor a status line",
            ParseError::Header => "header line without a colon",
            ParseError::ShortBody => "body shorter than Content-Length",
        })
    }
}

impl std::error::Error for ParseError {}

impl Message {
    /// Reads one whole message.
    ///
    /// # Errors
    /// Says what is not SIP about the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(ParseError::TooLong);
        }
        let skip = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let bytes = &bytes[skip..];
        let (head_len, body_at) = end_of_head(bytes).ok_or(ParseError::NoEndOfHeaders)?;
        let head = std::str::from_utf8(&bytes[..head_len]).map_err(|_| ParseError::NotText)?;
        let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = start_line(lines.next().unwrap_or_default())?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let last = headers.last_mut().ok_or(ParseError::Header)?;
                last.1.push(' ');
                last.1.push_str(line.trim());
            } else {
                let (name, value) = line.split_once(':').ok_or(ParseError::Header)?;
                headers.push((long_name(name.trim()).to_owned(), value.trim().to_owned()));
            }
        }
        let mut message = Message { start, headers, body: Vec::new() };
        let body = &bytes[body_at..];
        let length = message.header("Content-Length").and_then(|v| v.parse().ok()).unwrap_or(body.len());
        message.body = body.get(..length).ok_or(ParseError::ShortBody)?.to_vec();
        Ok(message)
    }

    /// Returns the first value of a header field, by its long name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Returns every value of a header field, one per field line.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Returns every element of a comma-separated header field, in order over all its lines.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name).flat_map(|v| split_outside(v, ',')).map(|v| v.trim().to_owned()).collect()
    }

    /// Returns the method: of the request line, or of CSeq in a response.
    pub fn method(&self) -> &str {
        match &self.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => self.cseq().map_or("", |(_, method)| method),
        }
    }

    /// Returns the status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Response { status, .. } => Some(status),
            StartLine::Request { .. } => None,
        }
    }

    /// Returns the Request-URI of a request.
    pub fn request_uri(&self) -> Option<&str> {
        match &self.start {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Response { .. } => None,
        }
    }

    /// Returns the number and method of CSeq.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(char::is_whitespace)?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// Returns Call-ID, or an empty string.
    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// Returns the topmost Via.
    pub fn via(&self) -> Option<Via> {
        Via::parse(&self.list("Via").into_iter().next()?)
    }

    /// Returns the `tag` of From or To.
    pub fn tag(&self, header: &str) -> Option<String> {
        NameAddr::parse(self.header(header)?).param("tag").map(str::to_owned)
    }

    /// Returns the body as text, with unreadable bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A `name-addr` or `addr-spec` with the parameters that follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, unquoted.
    pub display: Option<String>,
    /// The URI, as written.
    pub uri: String,
    /// Header parameters, outside the angle brackets.
    pub params: Vec<Param>,
}

/// A parameter: its name and, if it has one, its value without quotes.
pub type Param = (String, Option<String>);

impl NameAddr {
    /// Reads one element of Contact, From, To, Route; without brackets the parameters belong to the
    /// header (RFC 3261, 20.10).
    pub fn parse(text: &str) -> NameAddr {
        let text = text.trim();
        if let Some(open) = find_outside_quotes(text, '<') {
            let display = text[..open].trim();
            let display = (!display.is_empty()).then(|| unquote(display));
            let rest = &text[open + 1..];
            let close = rest.find('>').unwrap_or(rest.len());
            let params = rest.get(close + 1..).unwrap_or_default();
            NameAddr { display, uri: rest[..close].to_owned(), params: params_of(params) }
        } else {
            let end = text.find(';').unwrap_or(text.len());
            NameAddr { display: None, uri: text[..end].trim().to_owned(), params: params_of(&text[end..]) }
        }
    }

    /// Returns the value of a header parameter; a parameter without a value gives an empty string.
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }
}

/// A SIP URI taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// `sip`, `sips` or `tel`, in lower case.
    pub scheme: String,
    /// The user part, as written.
    pub user: Option<String>,
    /// The host, in lower case.
    pub host: String,
    /// The port, if written.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Vec<Param>,
}

impl Uri {
    /// Reads a URI; `None` without a scheme.
    pub fn parse(text: &str) -> Option<Uri> {
        let (scheme, rest) = text.trim().split_once(':')?;
        let (user, rest) = match rest.split_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let rest = rest.split('?').next().unwrap_or_default();
        let user = user.map(|u| u.split(':').next().unwrap_or_default().to_owned());
        let (hostport, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = host_port(hostport);
        Some(Uri { scheme: scheme.to_ascii_lowercase(), user, host, port, params: params_of(params) })
    }

    /// Returns the value of a URI parameter; a parameter without a value gives an empty string.
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }

    /// Compares by RFC 3261, 19.1.4: parameters that only one side has do not count, except `user`, `ttl`, `method`,
    /// `maddr` and (17.1) `transport`.
    pub fn same_as(&self, other: &Uri) -> bool {
        let both = |name: &str| match (self.param(name), other.param(name)) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            (None, None) => true,
            _ => false,
        };
        let shared = self.params.iter().all(|(name, value)| match other.param(name) {
            Some(theirs) => value.as_deref().unwrap_or_default().eq_ignore_ascii_case(theirs),
            None => true,
        });
        self.scheme == other.scheme
            && self.user == other.user
            && self.host == other.host
            && self.port == other.port
            && shared
            && ["user", "ttl", "method", "maddr", "transport"].into_iter().all(both)
    }
}

/// The topmost Via, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, …
    pub transport: String,
    /// The host of sent-by.
    pub host: String,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// Parameters: branch, rport, received, …
    pub params: Vec<Param>,
}

impl Via {
    /// Reads one Via element; linear white space is allowed around `/` (RFC 3261, 25.1).
    pub fn parse(text: &str) -> Option<Via> {
        let (head, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let mut parts = head.splitn(3, '/');
        let _name = parts.next()?;
        let _version = parts.next()?;
        let (transport, sent_by) = parts.next()?.trim().split_once(char::is_whitespace)?;
        let (host, port) = host_port(sent_by);
        Some(Via { transport: transport.to_ascii_uppercase(), host, port, params: params_of(params) })
    }

    /// Returns the branch, or an empty string.
    pub fn branch(&self) -> &str {
        param(&self.params, "branch").unwrap_or_default()
    }
}

/// Finds one message (or keep-alive) at the start of a stream's buffer.
///
/// Returns how many bytes it takes; `None` asks for more.
///
/// # Errors
/// The stream cannot be read on: the head is too long or has a bad Content-Length.
pub fn frame(buffer: &[u8]) -> Result<Option<usize>, ParseError> {
    if buffer.starts_with(b"\r\n\r\n") {
        return Ok(Some(4));
    }
    if buffer == b"\r\n" || buffer == b"\r\n\r" || buffer == b"\r" {
        return Ok(None);
    }
    if buffer.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let Some((head_len, body_at)) = end_of_head(buffer) else {
        return if buffer.len() > MAX_MESSAGE { Err(ParseError::TooLong) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&buffer[..head_len]).map_err(|_| ParseError::NotText)?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| long_name(name.trim()).eq_ignore_ascii_case("Content-Length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())
        .map_err(|_| ParseError::Header)?;
    if length > MAX_MESSAGE {
        return Err(ParseError::TooLong);
    }
    Ok((buffer.len() >= body_at + length).then_some(body_at + length))
}

/// Splits at a separator outside quotes and angle brackets.
pub fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            c if c == separator && !quoted && !angle => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Removes the quotes and resolves `\x` inside them.
pub fn unquote(text: &str) -> String {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// Decodes `%HH`; anything that is not a valid escape stays as it is.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads `;name=value;name` into parameters.
pub fn params_of(text: &str) -> Vec<Param> {
    split_outside(text, ';')
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .map(|part| match part.split_once('=') {
            Some((name, value)) => (name.trim().to_owned(), Some(unquote(value))),
            None => (part.trim().to_owned(), None),
        })
        .collect()
}

/// Looks a parameter up by name, in any case.
pub fn param<'a>(params: &'a [Param], name: &str) -> Option<&'a str> {
    params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_deref().unwrap_or_default())
}

fn start_line(line: &str) -> Result<StartLine, ParseError> {
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = status.parse().ok().filter(|s| (100..700).contains(s)).ok_or(ParseError::StartLine)?;
        return Ok(StartLine::Response { status, reason: reason.to_owned() });
    }
    let mut parts = line.split(' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(method), Some(uri), Some("SIP/2.0"), None) if !method.is_empty() && !uri.is_empty() => {
            Ok(StartLine::Request { method: method.to_owned(), uri: uri.to_owned() })
        }
        _ => Err(ParseError::StartLine),
    }
}

fn end_of_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let crlf = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| (at, at + 4));
    crlf.or_else(|| bytes.windows(2).position(|w| w == b"\n\n").map(|at| (at, at + 2)))
}

fn find_outside_quotes(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == wanted && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn host_port(text: &str) -> (String, Option<u16>) {
    let text = text.trim();
    let after_bracket = text.rfind(']').map_or(0, |at| at + 1);
    match text[after_bracket..].find(':') {
        Some(colon) => {
            let at = after_bracket + colon;
            (text[..at].trim().to_ascii_lowercase(), text[at + 1..].trim().parse().ok())
        }
        None => (text.to_ascii_lowercase(), None),
    }
}

/// RFC 3261, 7.3.3 and 20: the compact forms.
fn long_name(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "c" => "Content-Type",
        "e" => "Content-Encoding",
        "f" => "From",
        "i" => "Call-ID",
        "k" => "Supported",
        "l" => "Content-Length",
        "m" => "Contact",
        "o" => "Event",
        "r" => "Refer-To",
        "s" => "Subject",
        "t" => "To",
        "u" => "Allow-Events",
        "v" => "Via",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIZUTECH: &[u8] = b"REGISTER sip:sip.mydomain.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.168.1.101:14501;alias;branch=z9hG4bK.edThn;rport\r\n\
        From: <sip:1111@sip.mydomain.com>;tag=tUgBfpF8h\r\nTo: sip:1111@sip.mydomain.com\r\n\
        CSeq: 2 REGISTER\r\ni : enutmuwaynqib\r\nm: <sip:1111@192.168.1.101:14501;pn-prid=a:b>\r\n ;expires=60\r\n\
        X-MPUSH: i:com.mycompany.myapp:c-10:G7\r\nl: 0\r\n\r\n";

    #[test]
    fn the_vendor_sample_is_read_with_compact_names_folding_and_bare_to() {
        let message = Message::parse(MIZUTECH).expect("the sample is SIP");
        assert_eq!(message.method(), "REGISTER");
        assert_eq!(message.call_id(), "enutmuwaynqib");
        assert_eq!(message.via().map(|v| v.branch().to_owned()), Some("z9hG4bK.edThn".into()));
        let contact = NameAddr::parse(message.header("Contact").expect("has a Contact"));
        assert_eq!(contact.param("expires"), Some("60"));
        assert_eq!(Uri::parse(&contact.uri).and_then(|u| u.param("pn-prid").map(str::to_owned)), Some("a:b".into()));
        assert_eq!(NameAddr::parse(message.header("To").expect("has To")).uri, "sip:1111@sip.mydomain.com");
    }

    #[test]
    fn a_stream_is_framed_by_content_length_with_keep_alives_between() {
        assert_eq!(frame(b"\r\n\r\nREG"), Ok(Some(4)));
        assert_eq!(frame(b"\r\n"), Ok(None));
        let bytes = b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabcREG";
        assert_eq!(frame(bytes), Ok(Some(bytes.len() - 3)));
        assert_eq!(frame(&bytes[..bytes.len() - 4]), Ok(None));
        assert_eq!(frame(b"x\r\nContent-Length: -1\r\n\r\n"), Err(ParseError::Header));
    }

    #[test]
    fn commas_and_semicolons_inside_quotes_and_brackets_do_not_split() {
        let parts = split_outside(r#""a,b" <sip:x,y@z>;p="1,\"2", <sip:c>"#, ',');
        assert_eq!(parts.len(), 2);
        let first = NameAddr::parse(parts[0]);
        assert_eq!((first.display.as_deref(), first.param("p")), (Some("a,b"), Some("1,\"2")));
    }

    #[test]
    fn uris_compare_by_rfc_3261() {
        let uri = |text| Uri::parse(text).expect("a URI");
        assert!(uri("sip:a@B.example;x=1").same_as(&uri("sip:a@b.example")));
        assert!(!uri("sip:a@b;x=1").same_as(&uri("sip:a@b;x=2")));
        assert!(!uri("sip:a@b;transport=tcp").same_as(&uri("sip:a@b")));
        assert_eq!(uri("sip:a@[::1]:5070;x").port, Some(5070));
        assert_eq!(uri("sip:a;day=1?x@b?h=1").user.as_deref(), Some("a;day=1?x"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = frame(&bytes);
            if let Ok(message) = Message::parse(&bytes) {
                let _ = (message.via(), message.cseq(), message.list("Contact"), message.tag("From"));
            }
            let text = String::from_utf8_lossy(&bytes);
            let _ = (NameAddr::parse(&text), Uri::parse(&text), Via::parse(&text), percent_decode(&text), unquote(&text));
        }

        #[test]
        fn headers_of_any_text_keep_the_reader_alive(head in "[ -~\r\n\t]{0,200}") {
            let _ = Message::parse(format!("SIP/2.0 200 OK\r\n{head}\r\n\r\n").as_bytes());
        }
    }
}
