//! Our own torture set: one message for each point of RFC 4475, with other words and values, so that it can be part of this
//! repository. `rfc4475.rs` reads the RFC's own messages where they are available.

use sipwake_core::sip::{Fault, Message, Method, ParseError, SipUri};

/// The result of reading a message.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Read, and valid enough to act on.
    Good,
    /// Read, and refused: a request gets 400, a response is dropped.
    Faulty(Fault),
    /// Not a message.
    Refused(ParseError),
}

use Fault::{Malformed, Missing, OtherMethod, Repeated};
use Outcome::{Faulty, Good, Refused};

const INVITE: &str = "INVITE sip:carol@pbx.example.net SIP/2.0";
const OPTIONS: &str = "OPTIONS sip:carol@pbx.example.net SIP/2.0";
const REGISTER: &str = "REGISTER sip:pbx.example.net SIP/2.0";
const OK: &str = "SIP/2.0 200 OK";

/// A start line, and how the message differs from a plain one: `-Name` leaves a field out, `+Name: value` adds one more. Any other
/// line replaces the field of its name or, if there is none, is added at the end. A line that begins with `=` is the body.
struct Point {
    section: &'static str,
    what: &'static str,
    start: &'static str,
    lines: &'static [&'static str],
    outcome: Outcome,
}

const fn point(
    section: &'static str,
    what: &'static str,
    start: &'static str,
    lines: &'static [&'static str],
    outcome: Outcome,
) -> Point {
    Point { section, what, start, lines, outcome }
}

const POINTS: &[Point] = &[
    point("3.1.1.1", "a field folded over lines", INVITE, &["Subject: a long\r\n  and\r\n\tfolded subject"], Good),
    point("3.1.1.1", "white space before colons", INVITE, &["TO : <sip:carol@pbx.example.net>", "-To"], Good),
    point("3.1.1.1", "names in odd case", INVITE, &["cSeQ: 1 INVITE", "-CSeq"], Good),
    point(
        "3.1.1.1",
        "compact forms",
        INVITE,
        &[
            "-From",
            "-To",
            "-Via",
            "f: <sip:d@b.example>;tag=1",
            "t: <sip:c@b.example>",
            "v: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKcompact",
        ],
        Good,
    ),
    point("3.1.1.1", "a sequence number with leading zeros", INVITE, &["CSeq: 0007 INVITE"], Good),
    point("3.1.1.1", "an empty field", INVITE, &["Subject:"], Good),
    point(
        "3.1.1.1",
        "Via values with white space in them",
        INVITE,
        &["Via: SIP / 2.0 / UDP 192.0.2.7 ; branch = z9hG4bKspaces"],
        Good,
    ),
    point(
        "3.1.1.2",
        "every character of a token as method",
        "!M%t*_+`.'~ sip:carol@pbx.example.net SIP/2.0",
        &["CSeq: 1 !M%t*_+`.'~"],
        Good,
    ),
    point(
        "3.1.1.2",
        "a user of every unreserved character",
        "OPTIONS sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@pbx.example.net SIP/2.0",
        &[],
        Good,
    ),
    point(
        "3.1.1.3",
        "escapes in user and parameter",
        INVITE,
        &["To: <sip:c%61rol%40home@pbx.example.net;%6cr=y%3Bes>"],
        Good,
    ),
    point(
        "3.1.1.4",
        "escaped nulls in a user",
        REGISTER,
        &["CSeq: 1 REGISTER", "To: <sip:nul%00l@pbx.example.net>", "Contact: <sip:%00@192.0.2.7>"],
        Good,
    ),
    point(
        "3.1.1.5",
        "percent signs that are no escapes",
        "RE%47 sip:pbx.example.net SIP/2.0",
        &["CSeq: 1 RE%47"],
        Good,
    ),
    point(
        "3.1.1.6",
        "no white space between name and bracket",
        OPTIONS,
        &["From: Dave<sip:dave@b.example>;tag=5"],
        Good,
    ),
    point(
        "3.1.1.7",
        "long values",
        INVITE,
        &[
            "Call-ID: longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong@longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglong.example",
        ],
        Good,
    ),
    point(
        "3.1.1.8",
        "bytes behind the body of a datagram",
        OPTIONS,
        &["=INVITE sip:e@b.example SIP/2.0\r\n\r\n", "Content-Length: 0"],
        Good,
    ),
    point(
        "3.1.1.9",
        "a semicolon in the user part",
        "OPTIONS sip:carol;par=u%40b.example@pbx.example.net SIP/2.0",
        &[],
        Good,
    ),
    point(
        "3.1.1.10",
        "transports of every kind",
        OPTIONS,
        &[
            "+Via: SIP/2.0/SCTP a.example;branch=z9hG4bK1",
            "+Via: SIP/2.0/TLS b.example;branch=z9hG4bK2",
            "+Via: SIP/2.0/OTHER c.example;branch=z9hG4bK3",
        ],
        Good,
    ),
    point(
        "3.1.1.11",
        "a body of several parts",
        "MESSAGE sip:carol@pbx.example.net SIP/2.0",
        &[
            "CSeq: 1 MESSAGE",
            "Content-Type: multipart/mixed;boundary=x",
            "=--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\n\r\n\0\u{1}\u{2}\r\n--x--\r\n",
        ],
        Good,
    ),
    point(
        "3.1.1.12",
        "a reason phrase of any script",
        "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять",
        &["CSeq: 1 INVITE"],
        Good,
    ),
    point("3.1.1.13", "an empty reason phrase", "SIP/2.0 100 ", &[], Good),
    point(
        "3.1.2.1",
        "separators with nothing between them",
        INVITE,
        &["Via: SIP/2.0/UDP 192.0.2.15;;,;,,"],
        Faulty(Malformed("Via")),
    ),
    point(
        "3.1.2.2",
        "a Content-Length beyond the end",
        INVITE,
        &["Content-Length: 9999", "=v=0\r\n"],
        Refused(ParseError::Truncated),
    ),
    point(
        "3.1.2.3",
        "a negative Content-Length",
        INVITE,
        &["Content-Length: -999"],
        Refused(ParseError::ContentLength),
    ),
    point(
        "3.1.2.4",
        "a sequence number of 33 bits",
        REGISTER,
        &["CSeq: 4294967296 REGISTER"],
        Faulty(Malformed("CSeq")),
    ),
    point(
        "3.1.2.4",
        "an Expires of a hundred digits",
        REGISTER,
        &[
            "CSeq: 1 REGISTER",
            "Expires: 9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
        ],
        Good,
    ),
    point(
        "3.1.2.5",
        "a response with such a sequence number",
        OK,
        &["CSeq: 99999999999999999999 INVITE"],
        Faulty(Malformed("CSeq")),
    ),
    point(
        "3.1.2.6",
        "a quotation that is never closed",
        INVITE,
        &["To: \"Carol <sip:carol@pbx.example.net>"],
        Faulty(Malformed("To")),
    ),
    point(
        "3.1.2.7",
        "a Request-URI in brackets",
        "INVITE <sip:carol@pbx.example.net> SIP/2.0",
        &[],
        Refused(ParseError::StartLine),
    ),
    point(
        "3.1.2.8",
        "a space in the Request-URI",
        "INVITE sip:carol@pbx.example.net; lr SIP/2.0",
        &[],
        Refused(ParseError::StartLine),
    ),
    point("3.1.2.9", "several spaces in the request line", "INVITE  sip:carol@pbx.example.net  SIP/2.0", &[], Good),
    point(
        "3.1.2.10",
        "spaces at the end of the request line",
        "OPTIONS sip:carol@pbx.example.net SIP/2.0  ",
        &[],
        Good,
    ),
    point(
        "3.1.2.11",
        "escaped headers in the Request-URI",
        "INVITE sip:carol@pbx.example.net?Route=%3Csip:x.example%3E SIP/2.0",
        &[],
        Good,
    ),
    point("3.1.2.12", "a date in another zone", INVITE, &["Date: Fri, 01 Jan 2010 16:00:00 EST"], Good),
    point(
        "3.1.2.13",
        "a Contact with headers and no brackets",
        REGISTER,
        &["CSeq: 1 REGISTER", "Contact: sip:carol@192.0.2.7?Route=%3Csip:x.example%3E"],
        Faulty(Malformed("Contact")),
    ),
    point(
        "3.1.2.14",
        "spaces inside the brackets",
        OPTIONS,
        &["To: \"Watson, Carol\" < sip:carol@pbx.example.net >"],
        Good,
    ),
    point(
        "3.1.2.15",
        "a display name that needs quotes and has none",
        OPTIONS,
        &["To: Dr. C. (Carol) <sip:carol@pbx.example.net>"],
        Good,
    ),
    point(
        "3.1.2.16",
        "a version to come",
        "OPTIONS sip:carol@pbx.example.net SIP/7.0",
        &[],
        Refused(ParseError::Version),
    ),
    point("3.1.2.17", "a CSeq of another method", OPTIONS, &["CSeq: 8 INVITE"], Faulty(OtherMethod)),
    point(
        "3.1.2.18",
        "an unknown method with a CSeq of a known one",
        "NEWMETHOD sip:carol@pbx.example.net SIP/2.0",
        &["CSeq: 8 INVITE"],
        Faulty(OtherMethod),
    ),
    point("3.1.2.19", "a status of many digits", "SIP/2.0 4294967301 better not", &[], Refused(ParseError::StartLine)),
    point(
        "3.2.1",
        "a branch with nothing behind the cookie",
        OPTIONS,
        &["Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK"],
        Good,
    ),
    point("3.3.1", "no From", INVITE, &["-From"], Faulty(Missing("From"))),
    point("3.3.1", "no Call-ID", INVITE, &["-Call-ID"], Faulty(Missing("Call-ID"))),
    point("3.3.1", "no To", INVITE, &["-To"], Faulty(Missing("To"))),
    point(
        "3.3.2",
        "a Request-URI of an unknown scheme",
        "OPTIONS nobodyKnowsThisScheme:totallyopaque SIP/2.0",
        &[],
        Good,
    ),
    point(
        "3.3.3",
        "a Request-URI of a known scheme that is not SIP",
        "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0",
        &[],
        Good,
    ),
    point(
        "3.3.4",
        "unknown schemes in To, From and Contact",
        REGISTER,
        &["CSeq: 1 REGISTER", "To: <isbn:2983792873>", "From: <http://b.example>;tag=3", "Contact: <name:Carol>"],
        Good,
    ),
    point(
        "3.3.5",
        "unknown option tags",
        OPTIONS,
        &["Require: nothingSupportsThis, nothingSupportsThisEither", "Proxy-Require: noProxiesSupportThis"],
        Good,
    ),
    point(
        "3.3.6",
        "a body of an unknown type",
        INVITE,
        &["Content-Type: application/unknownformat", "=<audio>\r\n</audio>\r\n"],
        Good,
    ),
    point(
        "3.3.7",
        "an unknown authentication scheme",
        REGISTER,
        &["CSeq: 1 REGISTER", "Authorization: NoOneKnowsThisScheme opaque-data=here"],
        Good,
    ),
    point("3.3.8", "single fields twice", INVITE, &["+CSeq: 2 INVITE"], Faulty(Repeated("CSeq"))),
    point("3.3.8", "two Call-IDs", INVITE, &["+Call-ID: another"], Faulty(Repeated("Call-ID"))),
    point(
        "3.3.9",
        "two Content-Lengths that differ",
        OPTIONS,
        &["+Content-Length: 3", "=12345"],
        Refused(ParseError::ContentLength),
    ),
    point(
        "3.3.10",
        "a response with two Vias",
        OK,
        &["CSeq: 1 INVITE", "+Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKother"],
        Faulty(Repeated("Via")),
    ),
    point("3.3.11", "Max-Forwards of zero", OPTIONS, &["Max-Forwards: 0"], Good),
    point(
        "3.3.12",
        "Contact parameters without brackets",
        REGISTER,
        &["CSeq: 1 REGISTER", "Contact: sip:+19725552222@gw.example;unknownparam"],
        Good,
    ),
    point(
        "3.3.13",
        "Contact parameters inside the brackets",
        REGISTER,
        &["CSeq: 1 REGISTER", "Contact: <sip:+19725552222@gw.example;unknownparam>"],
        Good,
    ),
    point(
        "3.3.14",
        "escaped headers in a Contact",
        REGISTER,
        &["CSeq: 1 REGISTER", "Contact: <sip:carol@b.example?Route=%3Csip:x.example%3E>"],
        Good,
    ),
    point("3.3.15", "an Accept that has nothing for us", INVITE, &["Accept: text/nobodyKnowsThis"], Good),
    point(
        "3.4.1",
        "a caller from before RFC 3261",
        INVITE,
        &["Via: SIP/2.0/UDP 192.0.2.7", "From: <sip:dave@b.example>", "-Max-Forwards"],
        Good,
    ),
];

impl Point {
    fn text(&self) -> String {
        let method = self.start.split(' ').next().unwrap_or_default();
        let method = if method == "SIP/2.0" { "INVITE" } else { method };
        let body = self.lines.iter().find_map(|line| line.strip_prefix('=')).unwrap_or_default();
        let mut fields = vec![
            "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKours".to_owned(),
            "Max-Forwards: 70".to_owned(),
            "From: \"Dave\" <sip:dave@b.example>;tag=ours".to_owned(),
            "To: <sip:carol@pbx.example.net>".to_owned(),
            "Call-ID: ours@b.example".to_owned(),
            format!("CSeq: 1 {method}"),
            format!("Content-Length: {}", body.len()),
        ];
        let name = |field: &str| field.split(':').next().unwrap_or_default().trim().to_owned();
        for line in self.lines.iter().filter(|line| !line.starts_with('=')) {
            if let Some(gone) = line.strip_prefix('-') {
                fields.retain(|field| name(field) != gone);
            } else if let Some(more) = line.strip_prefix('+') {
                fields.push(more.to_owned());
            } else {
                match fields.iter_mut().find(|field| name(field) == name(line)) {
                    Some(field) => (*line).clone_into(field),
                    None => fields.push((*line).to_owned()),
                }
            }
        }
        format!("{}\r\n{}\r\n\r\n{body}", self.start, fields.join("\r\n"))
    }

    fn read(&self) -> Outcome {
        match Message::parse(self.text().as_bytes()) {
            Err(error) => Refused(error),
            Ok(message) => message.check().map_or_else(Faulty, |()| Good),
        }
    }
}

fn message(what: &str) -> Message {
    let point = POINTS.iter().find(|point| point.what == what).expect("one of the points");
    Message::parse(point.text().as_bytes()).expect("it is a message")
}

#[test]
fn each_point_of_the_rfc_holds() {
    assert!(POINTS.len() >= 50);
    for point in POINTS {
        assert_eq!(point.read(), point.outcome, "section {}: {}\n{}", point.section, point.what, point.text());
    }
}

#[test]
fn odd_but_allowed_messages_are_read_as_they_are_meant() {
    let folded = message("a field folded over lines");
    assert_eq!(folded.header("subject"), Some("a long and folded subject"));
    let spaced = message("Via values with white space in them");
    assert_eq!(spaced.via().as_ref().and_then(|via| via.branch()), Some("z9hG4bKspaces"));
    let compact = message("compact forms");
    assert_eq!(compact.from().as_ref().and_then(|from| from.tag()), Some("1"));
    let method = message("percent signs that are no escapes");
    assert_eq!(method.method(), Some(&Method::Other("RE%47".into())));
    let escaped = message("escapes in user and parameter");
    let to = escaped.to().expect("a To").uri.to_owned();
    assert_eq!(
        SipUri::parse(&to).expect("a SIP URI").user.as_deref(),
        Some("c%61rol%40home"),
        "neither decoded nor lost"
    );
    assert_eq!(message("bytes behind the body of a datagram").body, b"");
    assert_eq!(message("an Expires of a hundred digits").expires(), Some(u32::MAX));
    let outside = message("Contact parameters without brackets");
    assert!(outside.contacts()[0].params.has("unknownparam"));
    let inside = message("Contact parameters inside the brackets");
    assert!(inside.contacts()[0].params.is_empty());
}
