//! A message that is read once and used many times.

use std::fmt;

use super::escape::{cut, delta_seconds, is_token, trim};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub seq: u32,
    /// The method of the request.
    pub method: &'a str,
}

impl Message {
    /// Returns the approximate size of the message in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.text.len() + self.body.len() + self.fields.len() * size_of::<Field>() + size_of::<Self>()
    }

    /// Reads one datagram, or one message that a [`Framer`](super::Framer) cut out of a stream.
    ///
    /// Bytes after Content-Length are cut off. Without a Content-Length, the rest is the body (RFC 3261 section 18.3).
    /// A line that is not a field is left out, and the message is kept.
    ///
    /// # Errors
    /// [`ParseError::Empty`] for a keep-alive, and the others for bytes that are not a message.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(ParseError::TooLarge);
        }
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | 0)) {
            return Err(ParseError::Empty);
        }
        Self::of_head(Head::read(bytes)?, bytes)
    }

    /// Reads the bytes of a message whose head is read.
    pub(super) fn of_head(head: Head, bytes: &[u8]) -> Result<Self, ParseError> {
        let rest = &bytes[head.length..];
        let body = match head.content_length {
            Some(length) => rest.get(..length).ok_or(ParseError::Truncated)?,
            None => rest,
        };
        let start = Start::parse(&head.text[..head.start])?;
        Ok(Self { start, body: body.to_vec(), text: head.text, fields: head.fields })
    }

    /// Returns the value of the first field of this name: unfolded, trimmed. Long and compact names both find it,
    /// in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = long(name);
        self.fields.iter().find(|field| field.is(&self.text, name)).map(|field| field.value(&self.text))
    }

    /// Returns the value of each field of this name, one item for a line.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let name = long(name);
        self.fields.iter().filter(move |field| field.is(&self.text, name)).map(|field| field.value(&self.text))
    }

    /// Returns the elements of a comma-separated field, over all its lines. Commas inside quotes and `<>` do not
    /// separate, empty elements are skipped.
    ///
    /// Not for challenges and credentials, where a comma separates parameters.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        Values { name: long(name), text: &self.text, fields: self.fields.iter(), line: List(None) }
    }

    /// Returns whether a list of option tags (`Require`, `Supported`) has this one, in any case.
    pub fn has_option(&self, name: &str, tag: &str) -> bool {
        self.values(name).any(|other| other.trim().eq_ignore_ascii_case(tag))
    }

    /// Returns whether a comma-separated field has this element.
    pub fn has_value(&self, name: &str, value: &str) -> bool {
        self.values(name).any(|other| other == value)
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
    pub fn cseq(&self) -> Option<CSeq<'_>> {
        let (seq, method) = self.header("CSeq")?.split_once([' ', '\t'])?;
        let method = trim(method);
        if !seq.bytes().all(|b| b.is_ascii_digit()) || !is_token(method) {
            return None;
        }
        Some(CSeq { seq: seq.parse().ok()?, method })
    }

    /// Returns the Call-ID. It is compared byte for byte.
    pub fn call_id(&self) -> Option<&str> {
        self.header("Call-ID")
    }

    /// Returns the topmost Via.
    pub fn via(&self) -> Option<Via<'_>> {
        Via::parse(self.values("Via").next()?)
    }

    /// Returns the branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        self.via()?.branch()
    }

    /// Returns the From.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header("From")?)
    }

    /// Returns the tag of the From.
    pub fn from_tag(&self) -> Option<&str> {
        self.from()?.tag()
    }

    /// Returns the To.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header("To")?)
    }

    /// Returns the tag of the To.
    pub fn to_tag(&self) -> Option<&str> {
        self.to()?.tag()
    }

    /// Returns the Contacts, malformed ones left out, at most [`MAX_CONTACTS`].
    pub fn contacts(&self) -> Vec<Contact<'_>> {
        let mut contacts = Vec::new();
        for value in self.values("Contact").take(MAX_CONTACTS) {
            contacts.extend(Contact::parse(value));
        }
        contacts
    }

    /// Returns the Feature-Caps, one for each value, never merged, at most [`MAX_CONTACTS`].
    pub fn feature_caps(&self) -> Vec<FeatureCaps> {
        let mut caps = Vec::new();
        for value in self.values("Feature-Caps").take(MAX_CONTACTS) {
            caps.push(FeatureCaps::parse(value));
        }
        caps
    }

    /// Returns Expires in seconds. A value of more than 32 bits becomes the largest number.
    pub fn expires(&self) -> Option<u32> {
        delta_seconds(self.header("Expires")?)
    }

    /// Returns Min-Expires in seconds. A value of more than 32 bits becomes the largest number.
    pub fn min_expires(&self) -> Option<u32> {
        delta_seconds(self.header("Min-Expires")?)
    }

    /// Returns Flow-Timer in seconds (RFC 5626 section 10). If a flow is silent for longer, the server considers it
    /// dead.
    pub fn flow_timer(&self) -> Option<u32> {
        delta_seconds(self.header("Flow-Timer")?)
    }

    /// Returns Retry-After in seconds, without its comment and parameters. A value of more than 32 bits becomes the
    /// largest number.
    pub fn retry_after(&self) -> Option<u32> {
        delta_seconds(self.header("Retry-After")?)
    }
}

/// Shows only the start line and sizes, because headers carry tokens and credentials.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {} headers, {} bytes of body)", self.start, self.fields.len(), self.body.len())
    }
}

/// Returns the elements of one comma-separated value. Commas inside quotes and `<>` do not separate, empty elements are skipped.
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    List(Some(value))
}

/// The rest of a comma-separated value.
struct List<'a>(Option<&'a str>);

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let (one, behind) = cut(self.0?, b',', true);
            self.0 = behind;
            let one = trim(one);
            if !one.is_empty() {
                return Some(one);
            }
        }
    }
}

/// The rest of a comma-separated field. It is a type of its own, so that there is one `next` for all uses.
struct Values<'a> {
    name: &'a str,
    text: &'a str,
    fields: std::slice::Iter<'a, Field>,
    line: List<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            if let Some(value) = self.line.next() {
                return Some(value);
            }
            let field = self.fields.find(|field| field.is(self.text, self.name))?;
            self.line = List(Some(field.value(self.text)));
        }
    }
}

fn long(name: &str) -> &str {
    expand(name.as_bytes()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Fault, Host, MAX_HEADERS, MAX_LINE};
    use proptest::prelude::*;

    fn parse(text: &str) -> Message {
        Message::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn ok(headers: &str) -> Message {
        parse(&format!("SIP/2.0 200 OK\r\n{headers}\r\n"))
    }

    /// The sample of Mizutech's guide with its mistakes: To without brackets, flags in the Via, two spaces after
    /// Digest, and an Authorization that is broken into a second line, which is neither a fold nor a field.
    const MIZUTECH_REGISTER: &str = "REGISTER sip:gw.mydomain.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.168.1.101:14501;alias;branch=z9hG4bK.edThn;rport\r\n\
        From: <sip:1111@gw.mydomain.com>;tag=tUgBfpF8h\r\n\
        To: sip:1111@gw.mydomain.com\r\n\
        CSeq: 2 REGISTER\r\n\
        Call-ID: enutmuwaynqib\r\n\
        Max-Forwards: 70\r\n\
        Contact: <sip:1111@192.168.1.101:14501>\r\n\
        Authorization: Digest  realm=\"sip.mydomain.com\", nonce=\"WvDO\", username=\"1111\", uri=\"sip:gw.mydomain.com\",\r\n\
        response=\"1336341b517678240fb092e0cf1159a7\"\r\n\
        Expires: 3600\r\n\
        X-MPUSH: a:com.mycompany.myapp:c-10-ap_Kt0:G7SThkASJx2K4Rm1033iR0mlgzl1cLg5xxpST4cjrj\r\n\
        X-PIID: 14d4f932e3897a39d6a17c13b526db\r\n\
        X-Sy.Uppersrv: sip.mydomain.com\r\n\
        User-Agent: MyCoolApp\r\n\
        Content-Length: 0\r\n\r\n";

    #[test]
    fn the_mizutech_register_is_read() {
        let message = parse(MIZUTECH_REGISTER);
        assert_eq!(message.check(), Ok(()));
        assert_eq!(message.method(), Some(&Method::Register));
        assert_eq!(message.cseq(), Some(CSeq { seq: 2, method: "REGISTER" }));
        let to = message.to().map(|to| (to.uri, to.params.is_empty()));
        assert_eq!(to, Some(("sip:1111@gw.mydomain.com", true)));
        assert_eq!(message.from_tag(), Some("tUgBfpF8h"));
        assert!(message.via().is_some_and(|via| via.params.has("alias") && via.params.has("rport")));
        assert!(
            message.header("x-mpush").is_some_and(|value| value.starts_with("a:com.mycompany.myapp:c-10-ap_Kt0:G7"))
        );
        assert!(message.header("authorization").is_some_and(|value| value.starts_with("Digest  realm=")));
        assert_eq!((message.header("x-sy.uppersrv"), message.expires()), (Some("sip.mydomain.com"), Some(3600)));
    }

    #[test]
    fn debug_shows_no_header_and_no_uri() {
        let shown = format!("{:?}", parse(MIZUTECH_REGISTER));
        assert_eq!(shown, "Message(REGISTER … (19 bytes), 14 headers, 0 bytes of body)");
    }

    #[test]
    fn compact_names_are_found_by_their_long_names_and_vice_versa() {
        let message = ok("i: 1@x\r\nV: SIP/2.0/UDP h\r\nm: <sip:a@b>\r\nTo: <sip:t@b>\r\nl: 0\r\n");
        assert_eq!(message.call_id(), Some("1@x"));
        assert_eq!(message.via().map(|via| via.host), Some(Host::Name("h".into())));
        assert_eq!(message.header("t"), Some("<sip:t@b>"));
        let names: Vec<_> = message.all_headers().map(|(name, _)| name).collect();
        assert_eq!(names, ["Call-ID", "Via", "Contact", "To", "Content-Length"]);
    }

    #[test]
    fn folded_lines_and_a_space_before_the_colon_are_read() {
        let message = ok("TO :\r\n sip:v@e ;   tag    = 19\r\nSubject  : a\r\n\t b\r\n  \r\n c\r\nX:\r\n");
        assert_eq!(message.to_tag(), Some("19"));
        assert_eq!(message.header("Subject"), Some("a b c"));
        assert_eq!(message.header("X"), Some(""));
    }

    #[test]
    fn bare_line_feeds_and_line_ends_ahead_are_tolerated() {
        let message = parse("\r\n\r\nSIP/2.0 200 OK\nCSeq: 1 REGISTER\nContent-Length: 2\n\nhi");
        assert_eq!((message.code(), message.body.as_slice()), (Some(200), b"hi".as_slice()));
    }

    #[test]
    fn contacts_are_split_at_commas_and_lines_but_not_in_quotes_or_brackets() {
        let message = ok(
            "Contact: \"a,b;c\" <sip:a@b;x=1,2>;expires=1, sip:c@d;expires=2 , <sip:[::1]>;+sip.instance=\"<u,v>\"\r\nm: <tel:+1>\r\nm:,,\r\n",
        );
        let contacts = message.contacts();
        let uris: Vec<_> = contacts.iter().map(|contact| contact.uri).collect();
        assert_eq!(uris, ["sip:a@b;x=1,2", "sip:c@d", "sip:[::1]", "tel:+1"]);
        assert_eq!(contacts[0].display_name().as_deref(), Some("a,b;c"));
        assert_eq!(contacts[1].expires(), Some(2));
        assert_eq!(contacts[2].instance(), Some("u,v"));
    }

    #[test]
    fn the_number_of_contacts_is_bounded() {
        let many = "<sip:a@b>,".repeat(MAX_CONTACTS / 2);
        assert_eq!(
            ok(&format!("Contact: {many}\r\nContact: {many}\r\nContact: {many}\r\n")).contacts().len(),
            MAX_CONTACTS
        );
    }

    #[test]
    fn vias_in_one_line_or_in_many_give_the_topmost_one() {
        for headers in [
            "Via: SIP/2.0/UDP a;branch=1, SIP/2.0/TCP b\r\n",
            "v: SIP / 2.0 / UDP a ; branch = 1\r\nVia: SIP/2.0/TCP b\r\n",
        ] {
            let message = ok(headers);
            assert_eq!(message.branch(), Some("1"));
            assert_eq!(message.values("via").count(), 2);
        }
    }

    #[test]
    fn feature_caps_are_one_for_each_value_and_never_merged() {
        let message = ok(
            "Feature-Caps: *;+sip.pns=\"apns\";+sip.pnsreg=\"130\", *;+sip.pns=\"webpush\"\r\nX: y\r\nfeature-caps: +sip.pns=\"fcm\";+sip.vapid=\"a,b\"\r\n",
        );
        let caps = message.feature_caps();
        let names: Vec<_> = caps.iter().map(|caps| caps.value("+sip.pns")).collect();
        assert_eq!(names, [Some("apns"), Some("webpush"), Some("fcm")]);
        assert_eq!((caps[1].get("+sip.pnsreg"), caps[2].value("+sip.vapid")), (None, Some("a,b")));
    }

    #[test]
    fn kamailios_flow_timer_is_dropped_and_the_message_kept() {
        let message = ok("CSeq: 1 REGISTER\r\nFlow-Timer: 30\r\0Server: kamailio\r\nContact: <sip:a@b>\r\n");
        assert_eq!(message.header("Flow-Timer"), None);
        assert_eq!(message.header("Server"), Some("kamailio"));
        assert_eq!(message.contacts().len(), 1);
    }

    #[test]
    fn lines_that_are_no_headers_are_left_out() {
        let message = ok(
            " stray fold\r\nno colon\r\nbad name: x\r\n: y\r\nA: b\rc\r\n d\r\nB: n\0l\r\nYes: ok\r\nPair: \"q\\\0\"\r\n",
        );
        let all: Vec<_> = message.all_headers().collect();
        assert_eq!(all, [("Yes", "ok"), ("Pair", "\"q\\\0\"")]);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        let message = Message::parse(b"SIP/2.0 200 OK\r\nSubject: \xff\xfe!\r\n\r\n").expect("a message");
        assert_eq!(message.header("Subject"), Some("\u{fffd}\u{fffd}!"));
        let message =
            Message::parse(b"SIP/2.0 200 \xc3\r\nX: \xc3\r\n\xa9: x\r\nZ: \xa9\r\n \xa9\r\nW: \xc3\xa9\r\n\r\n");
        let message = message.expect("a message");
        let fields: Vec<_> = message.all_headers().collect();
        assert_eq!(fields, [("Session-Expires", "\u{fffd}"), ("Z", "\u{fffd} \u{fffd}"), ("W", "é")]);
    }

    #[test]
    fn a_datagram_is_cut_to_its_content_length() {
        assert_eq!(parse("SIP/2.0 200 OK\r\nl: 2\r\n\r\nhi there").body, b"hi");
        assert_eq!(parse("SIP/2.0 200 OK\r\n\r\nhi there").body, b"hi there");
        assert_eq!(parse("SIP/2.0 200 OK\r\nl: 2\r\nContent-Length: 02\r\n\r\nhi").body, b"hi");
    }

    #[test]
    fn a_text_that_is_no_message_is_refused_with_the_reason() {
        let length = |value: &str| format!("SIP/2.0 200 OK\r\nContent-Length: {value}\r\n\r\nhi");
        let huge = format!("SIP/2.0 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_LINE));
        let folded = format!("SIP/2.0 200 OK\r\nX: y\r\n{}\r\n", format!(" {}\r\n", "x".repeat(100)).repeat(90));
        let many = format!("SIP/2.0 200 OK\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS + 1));
        for (text, error) in [
            ("", ParseError::Empty),
            ("\r\n\r\n", ParseError::Empty),
            ("\0\0\0\0", ParseError::Empty),
            ("SIP/2.0 200 OK\r\n", ParseError::Unterminated),
            ("SIP/2.0 200 OK\r\nX: y\r\n", ParseError::Unterminated),
            ("SIP/2.0 200 O\0K\r\n\r\n", ParseError::StartLine),
            (&length("3"), ParseError::Truncated),
            (&length("99999999999999999999999"), ParseError::Truncated),
            (&length("-1"), ParseError::ContentLength),
            (&length(""), ParseError::ContentLength),
            (&length("1\r\nl: 2"), ParseError::ContentLength),
            (&length("2\r\0X: y"), ParseError::ContentLength),
            (&huge, ParseError::LineTooLong),
            (&folded, ParseError::LineTooLong),
            (&many, ParseError::TooManyHeaders),
            (&"x".repeat(MAX_MESSAGE + 1), ParseError::TooLarge),
        ] {
            assert_eq!(Message::parse(text.as_bytes()), Err(error), "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn a_cseq_out_of_range_is_ignored() {
        for value in ["36893488147419103232 REGISTER", "1", "x REGISTER", "1 RE GISTER", "+1 REGISTER", ""] {
            assert_eq!(ok(&format!("CSeq: {value}\r\n")).cseq(), None, "{value}");
        }
        assert_eq!(ok("cseq: 0009\r\n  INVITE\r\n").cseq(), Some(CSeq { seq: 9, method: "INVITE" }));
    }

    #[test]
    fn seconds_are_read_past_comments_and_parameters() {
        let message = ok("Retry-After: 120 (maintenance);duration=5\r\nMin-Expires: 60\r\nExpires: 99999999999\r\n");
        assert_eq!(
            (message.retry_after(), message.min_expires(), message.expires()),
            (Some(120), Some(60), Some(u32::MAX))
        );
    }

    #[test]
    fn the_headers_that_a_transaction_needs_are_checked() {
        let full = "Via: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n";
        assert_eq!(ok(full).check(), Ok(()));
        for (from, to, fault) in [
            ("Via: SIP/2.0/UDP h\r\n", "", Fault::Missing("Via")),
            ("Call-ID: c\r\n", "", Fault::Missing("Call-ID")),
            ("Call-ID: c", "i: c\r\nCall-ID: d", Fault::Repeated("Call-ID")),
            ("CSeq: 1 ", "CSeq: 99999999999 ", Fault::Malformed("CSeq")),
            ("UDP h", "UDP h, SIP/2.0/UDP other", Fault::Repeated("Via")),
            ("UDP h", "UDP h;;,;,,", Fault::Malformed("Via")),
            ("To: <sip:a@b>", "To: \"a <sip:a@b>", Fault::Malformed("To")),
            ("Call-ID", "Contact: sip:a@b?x=y\r\nCall-ID", Fault::Malformed("Contact")),
        ] {
            assert_eq!(ok(&full.replace(from, to)).check(), Err(fault), "{to}");
        }
        assert_eq!(parse(&format!("INVITE sip:a@b SIP/2.0\r\n{full}\r\n")).check(), Err(Fault::OtherMethod));
    }

    fn ask_everything(message: &Message) {
        let _ = (
            message.via(),
            message.from(),
            message.to(),
            message.cseq(),
            message.check(),
            message.contacts(),
            message.feature_caps(),
        );
        let _ = (
            message.expires(),
            message.min_expires(),
            message.retry_after(),
            message.values("X").count(),
            format!("{message:?}"),
        );
        for (name, value) in message.all_headers() {
            assert!(!name.contains(['\r', '\n', '\0']) && !value.contains(['\r', '\n']));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(message) = Message::parse(&bytes) {
                ask_everything(&message);
            }
        }

        #[test]
        fn no_headers_make_the_parser_panic(
            headers in prop::collection::vec(("Via|v|Contact|m|From|To|CSeq|Feature-Caps|Expires|l|[a-z ]{0,3}", "[-SIP/2.0 UDPsip:@\\[\\]<>\";=,*?%+\\\\\r\n\t\0é0-9]{0,40}"), 0..12)
        ) {
            let mut text = String::from("SIP/2.0 200 OK\r\n");
            for (name, value) in &headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            if let Ok(message) = Message::parse(text.as_bytes()) {
                ask_everything(&message);
            }
        }

        #[test]
        fn a_damaged_message_does_no_harm(at in 0..MIZUTECH_REGISTER.len(), byte in any::<u8>(), cut in 0..MIZUTECH_REGISTER.len()) {
            let mut bytes = MIZUTECH_REGISTER.as_bytes().to_vec();
            bytes[at] = byte;
            for bytes in [&bytes[..], &bytes[..cut], &bytes[cut..]] {
                if let Ok(message) = Message::parse(bytes) {
                    ask_everything(&message);
                }
            }
        }
    }
}
