//! The 49 torture messages of RFC 4475: how each one is read, and what is wrong with it.
//!
//! The messages are read from the folder named by `SIPWAKE_RFC4475`, else from `shared/rfc4475` beside the repository.

#![allow(clippy::disallowed_methods, reason = "a test may ask where its data is")]

use std::io::Write;
use std::path::PathBuf;

use sipwake_core::sip::{Fault, Frame, Framer, Message, Method, ParseError, SipUri};

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

/// Name, section of the RFC, outcome. Where the RFC allows both a 400 and leniency, the third column holds sipwake's choice.
const TABLE: [(&str, &str, Outcome); 49] = [
    ("wsinv", "3.1.1.1", Good),
    ("intmeth", "3.1.1.2", Good),
    ("esc01", "3.1.1.3", Good),
    ("escnull", "3.1.1.4", Good),
    ("esc02", "3.1.1.5", Good),
    ("lwsdisp", "3.1.1.6", Good),
    ("longreq", "3.1.1.7", Good),
    ("dblreq", "3.1.1.8", Good),
    ("semiuri", "3.1.1.9", Good),
    ("transports", "3.1.1.10", Good),
    ("mpart01", "3.1.1.11", Good),
    ("unreason", "3.1.1.12", Good),
    ("noreason", "3.1.1.13", Good),
    ("badinv01", "3.1.2.1", Faulty(Malformed("Via"))),
    ("clerr", "3.1.2.2", Refused(ParseError::Truncated)),
    ("ncl", "3.1.2.3", Refused(ParseError::ContentLength)),
    ("scalar02", "3.1.2.4", Faulty(Malformed("CSeq"))),
    ("scalarlg", "3.1.2.5", Faulty(Malformed("CSeq"))),
    ("quotbal", "3.1.2.6", Faulty(Malformed("To"))),
    ("ltgtruri", "3.1.2.7", Refused(ParseError::StartLine)),
    ("lwsruri", "3.1.2.8", Refused(ParseError::StartLine)),
    ("lwsstart", "3.1.2.9", Good),
    ("trws", "3.1.2.10", Good),
    ("escruri", "3.1.2.11", Good),
    ("baddate", "3.1.2.12", Good),
    ("regbadct", "3.1.2.13", Faulty(Malformed("Contact"))),
    ("badaspec", "3.1.2.14", Good),
    ("baddn", "3.1.2.15", Good),
    ("badvers", "3.1.2.16", Refused(ParseError::Version)),
    ("mismatch01", "3.1.2.17", Faulty(OtherMethod)),
    ("mismatch02", "3.1.2.18", Faulty(OtherMethod)),
    ("bigcode", "3.1.2.19", Refused(ParseError::StartLine)),
    ("badbranch", "3.2.1", Good),
    ("insuf", "3.3.1", Faulty(Missing("From"))),
    ("unkscm", "3.3.2", Good),
    ("novelsc", "3.3.3", Good),
    ("unksm2", "3.3.4", Good),
    ("bext01", "3.3.5", Good),
    ("invut", "3.3.6", Good),
    ("regaut01", "3.3.7", Good),
    ("multi01", "3.3.8", Faulty(Repeated("CSeq"))),
    ("mcl01", "3.3.9", Refused(ParseError::ContentLength)),
    ("bcast", "3.3.10", Faulty(Repeated("Via"))),
    ("zeromf", "3.3.11", Good),
    ("cparam01", "3.3.12", Good),
    ("cparam02", "3.3.13", Good),
    ("regescrt", "3.3.14", Good),
    ("sdp01", "3.3.15", Good),
    ("inv2543", "3.4.1", Good),
];

/// Returns the folder, or says clearly that it is missing: the messages belong to the IETF and are not copied into this
/// repository.
fn folder() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/rfc4475");
    let folder = std::env::var_os("SIPWAKE_RFC4475").map_or_else(beside, PathBuf::from);
    if folder.join("wsinv.dat").is_file() {
        return Some(folder);
    }
    let complaint = format!("RFC 4475's messages are not in {}; set SIPWAKE_RFC4475", folder.display());
    // Written past the test harness, which shows no output of a test that passes. scripts/test puts the line into its table.
    let _ = writeln!(std::io::stderr(), "\nNOT RUN: {complaint}");
    None
}

fn bytes(folder: &std::path::Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(format!("{name}.dat"))).unwrap_or_else(|error| panic!("{name}.dat: {error}"))
}

fn message(folder: &std::path::Path, name: &str) -> Message {
    Message::parse(&bytes(folder, name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn each_torture_message_is_read_as_the_rfc_says() {
    let Some(folder) = folder() else { return };
    for (name, section, expected) in TABLE {
        let outcome = match Message::parse(&bytes(&folder, name)) {
            Err(error) => Refused(error),
            Ok(message) => message.check().map_or_else(Faulty, |()| Good),
        };
        assert_eq!(outcome, expected, "{name}, section {section}");
    }
}

#[test]
fn a_short_tortuous_invite_is_read_to_its_last_parameter() {
    let Some(folder) = folder() else { return };
    let wsinv = message(&folder, "wsinv");
    assert_eq!(wsinv.uri(), Some("sip:vivekg@chair-dnrc.example.com;unknownparam"));
    assert_eq!(wsinv.to().as_ref().and_then(|to| to.tag()), Some("1918181833n"));
    let from = wsinv.from().expect("it has a From");
    assert_eq!((from.display_name().as_deref(), from.tag()), (Some(r#"J Rosenberg \""#), Some("98asjd8")));
    assert_eq!(wsinv.header("max-forwards"), Some("0068"));
    assert_eq!(wsinv.cseq().map(|cseq| (cseq.seq, cseq.method)), Some((9, "INVITE")));
    assert_eq!(wsinv.values("Via").count(), 3);
    assert_eq!(wsinv.via().as_ref().and_then(|via| via.branch()), Some("390skdjuw"));
    assert_eq!(wsinv.header("Subject"), Some(""));
    assert_eq!(wsinv.header("NewFangledHeader"), Some("newfangled value continued newfangled value"));
    let contacts = wsinv.contacts();
    assert_eq!(contacts[0].display_name().as_deref(), Some(r#"Quoted string """#));
    assert_eq!((contacts[0].params.value("newparam"), contacts[0].params.value("q")), (Some("newvalue"), Some("0.33")));
    assert_eq!(wsinv.body.len(), 150);
}

#[test]
fn escapes_are_neither_decoded_nor_lost() {
    let Some(folder) = folder() else { return };
    let esc01 = message(&folder, "esc01");
    let uri = SipUri::parse(esc01.uri().expect("a request")).expect("a SIP URI");
    assert_eq!(uri.user.as_deref(), Some("sips%3Auser%40example.com"));
    assert_eq!(esc01.contacts()[0].uri, "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31");
    let esc02 = message(&folder, "esc02");
    assert_eq!(esc02.method(), Some(&Method::Other("RE%47IST%45R".into())));
    assert_eq!(esc02.contacts().len(), 2);
    assert_eq!(message(&folder, "escnull").contacts()[1].uri, "sip:%00%00@host5.example.com");
}

#[test]
fn brackets_decide_what_a_contact_parameter_belongs_to() {
    let Some(folder) = folder() else { return };
    let bare = message(&folder, "cparam01");
    let bare = bare.contacts()[0];
    assert_eq!((bare.uri, bare.params.has("unknownparam")), ("sip:+19725552222@gw1.example.net", true));
    let inside = message(&folder, "cparam02");
    let inside = inside.contacts()[0];
    assert!(inside.params.is_empty() && inside.parsed().is_some_and(|uri| uri.params.has("unknownparam")));
    let escaped = message(&folder, "regescrt");
    let escaped = escaped.contacts()[0];
    assert_eq!(escaped.parsed().and_then(|uri| uri.headers).as_deref(), Some("Route=%3Csip:sip.example.com%3E"));
}

#[test]
fn numbers_out_of_range_are_clamped_or_none() {
    let Some(folder) = folder() else { return };
    let scalar02 = message(&folder, "scalar02");
    assert_eq!((scalar02.expires(), scalar02.contacts()[0].expires()), (Some(u32::MAX), Some(u32::MAX)));
    assert_eq!(message(&folder, "scalarlg").retry_after(), Some(u32::MAX));
}

#[test]
fn a_datagram_ends_with_its_first_message_and_a_stream_does_not() {
    let Some(folder) = folder() else { return };
    let dblreq = bytes(&folder, "dblreq");
    assert!(Message::parse(&dblreq).is_ok_and(|first| first.body.is_empty()));
    let mut framer = Framer::new();
    framer.push(&dblreq).expect("it is short");
    let mut methods = Vec::new();
    // The INVITE's body is longer than its Content-Length. The rest is not a message and ends the stream.
    while let Ok(Some(frame)) = framer.next() {
        if let Frame::Message(bytes) = frame {
            methods.push(Message::parse(&bytes).ok().and_then(|message| message.method().cloned()));
        }
    }
    assert_eq!(methods[..2], [Some(Method::Register), Some(Method::Invite)]);
}
