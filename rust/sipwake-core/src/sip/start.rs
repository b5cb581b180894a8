//! Start lines. rsip's tokenizers read them after they are normalised.

use std::fmt;

use super::Method;
use super::head::ParseError;
use super::uri::scheme_of;

/// The first line of a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Start {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method.
        method: Method,
        /// The Request-URI as it was received, with any scheme.
        uri: String,
    },
    /// `SIP/2.0 code reason`
    Response {
        /// The status code, 100 to 699.
        code: u16,
        /// The reason phrase, which may be empty.
        reason: String,
    },
}

impl Start {
    /// Reads a start line. Extra spaces between its parts and at its end are allowed. White space inside the URI is
    /// not.
    //
    // Request-Line  =  Method SP Request-URI SP SIP-Version CRLF
    // Status-Line   =  SIP-Version SP Status-Code SP Reason-Phrase CRLF                  (RFC 3261 section 25.1)
    pub(super) fn parse(line: &str) -> Result<Self, ParseError> {
        if line.starts_with("SIP/") { Self::status_line(line) } else { Self::request_line(line) }
    }

    fn status_line(line: &str) -> Result<Self, ParseError> {
        let status = strip_version(line)?;
        let code = status.trim_start_matches(' ');
        if code.len() == status.len() {
            return Err(ParseError::StartLine);
        }
        // Many servers leave out the space before an empty reason. rsip requires it.
        let padded;
        let code = if code.len() == 3 {
            padded = format!("{code} ");
            padded.as_str()
        } else {
            code
        };
        let (_, status) =
            rsip::status_code::Tokenizer::<&str, char>::tokenize(code).map_err(|_| ParseError::StartLine)?;
        let digits = status.code.bytes().all(|b| b.is_ascii_digit());
        match status.code.parse() {
            Ok(code @ 100..=699) if digits => Ok(Self::Response { code, reason: status.reason.trim().to_owned() }),
            _ => Err(ParseError::StartLine),
        }
    }

    fn request_line(line: &str) -> Result<Self, ParseError> {
        let (method, rest) = line.split_once(' ').ok_or(ParseError::StartLine)?;
        let method = method.parse().map_err(|_| ParseError::StartLine)?;
        let (uri, version) = rest.trim_end_matches(' ').rsplit_once(' ').ok_or(ParseError::StartLine)?;
        let behind = strip_version(version)?;
        let uri = uri.trim_matches(' ');
        if !behind.is_empty() || scheme_of(uri).is_none() {
            return Err(ParseError::StartLine);
        }
        Ok(Self::Request { method, uri: uri.to_owned() })
    }
}

/// Shows no URI, because a Request-URI may carry a push token.
impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, uri } => write!(f, "{method} … ({} bytes)", uri.len()),
            Self::Response { code, reason } => write!(f, "{code} {reason}"),
        }
    }
}

fn strip_version(text: &str) -> Result<&str, ParseError> {
    let (rest, _) = rsip::version::Tokenizer::<&str, char>::tokenize(text).map_err(|_| ParseError::StartLine)?;
    if text[..text.len() - rest.len()].eq("SIP/2.0") { Ok(rest) } else { Err(ParseError::Version) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> Result<Start, ParseError> {
        Ok(Start::Request { method: method.parse().expect("a method"), uri: uri.into() })
    }

    fn response(code: u16, reason: &str) -> Result<Start, ParseError> {
        Ok(Start::Response { code, reason: reason.into() })
    }

    #[test]
    fn uris_that_rsip_cannot_read_are_read() {
        for uri in [
            "sip:[2001:db8::1]:5060",
            "tel:+1-201;phone-context=x",
            "sip:a@b?Route=%3Csip:c%3E",
            "soap.beep://192.0.2.103:3002",
        ] {
            assert_eq!(Start::parse(&format!("OPTIONS {uri} SIP/2.0")), request("OPTIONS", uri));
        }
    }

    #[test]
    fn extra_spaces_between_the_parts_and_at_the_end_are_tolerated() {
        assert_eq!(Start::parse("INVITE  sip:user@example.com  SIP/2.0"), request("INVITE", "sip:user@example.com"));
        assert_eq!(Start::parse("OPTIONS sip:a@b SIP/2.0  "), request("OPTIONS", "sip:a@b"));
    }

    #[test]
    fn a_reason_may_be_empty_long_or_in_any_script() {
        assert_eq!(Start::parse("SIP/2.0 100 "), response(100, ""));
        assert_eq!(Start::parse("SIP/2.0 200"), response(200, ""));
        assert_eq!(Start::parse("SIP/2.0  404  Not Found"), response(404, "Not Found"));
        assert_eq!(Start::parse("SIP/2.0 200 = 2**3 * 5**2 но"), response(200, "= 2**3 * 5**2 но"));
    }

    #[test]
    fn a_text_that_is_no_start_line_is_refused() {
        for line in [
            "",
            " ",
            "INVITE",
            "INVITE sip:a@b",
            "INVITE sip:a@b; lr SIP/2.0",
            "INVITE <sip:a@b> SIP/2.0",
            "INV(TE sip:a@b SIP/2.0",
            "SIP/2.0 4294967301 big",
            "SIP/2.0 20 x",
            "SIP/2.0 2000",
            "SIP/2.0 +20 x",
            "SIP/2.0 099 x",
            "SIP/2.0 700 x",
            "INVITE sip:a@b SIP/2.0x",
            "INVITE SIP/2.0",
            "GET / HTTP/1.1",
            "é SIP/2.0",
            "SIP/2.0 é",
        ] {
            assert_eq!(Start::parse(line), Err(ParseError::StartLine), "{line}");
        }
    }

    #[test]
    fn another_sip_version_is_reported_as_such() {
        assert_eq!(Start::parse("OPTIONS sip:a@b SIP/7.0"), Err(ParseError::Version));
        assert_eq!(Start::parse("SIP/1.0 200 OK"), Err(ParseError::Version));
        assert_eq!(Start::parse("SIP/2.0200 OK"), Err(ParseError::Version));
    }
}
