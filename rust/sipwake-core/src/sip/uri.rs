//! SIP and SIPS URIs. Reading them loses no byte that has a meaning. They are compared by RFC 3261 section 19.1.4.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Params;
use super::escape::hex_pair;
use super::escape::{has_blank, trim};

/// A SIP or SIPS URI.
///
/// User, password, parameters and headers keep their escapes: `%3A` comes out as `%3A`. [`Display`](fmt::Display)
/// changes only the case of the scheme, the spelling of an IPv6 address and the leading zeros of a port.
///
/// ```
/// use sipwake_core::sip::SipUri;
/// let uri = SipUri::parse("sip:a%3Ab@[2001:db8::1]:5070;transport=tcp?Subject=x").unwrap();
/// assert_eq!(uri.user.as_deref(), Some("a%3Ab"));
/// assert_eq!(uri.to_string(), "sip:a%3Ab@[2001:db8::1]:5070;transport=tcp?Subject=x");
/// ```
//
// SIP-URI          =  "sip:" [ userinfo ] hostport uri-parameters [ headers ]
// SIPS-URI         =  "sips:" [ userinfo ] hostport uri-parameters [ headers ]
// userinfo         =  ( user / telephone-subscriber ) [ ":" password ] "@"
// user             =  1*( unreserved / escaped / user-unreserved )
// user-unreserved  =  "&" / "=" / "+" / "$" / "," / ";" / "?" / "/"
// hostport         =  host [ ":" port ]
// host             =  hostname / IPv4address / IPv6reference
// headers          =  "?" header *( "&" header )                                  (RFC 3261 section 25.1)
#[derive(Clone, PartialEq, Eq)]
pub struct SipUri {
    /// `true` for `sips:`.
    pub secure: bool,
    /// The user, escapes kept.
    pub user: Option<String>,
    /// The password, escapes kept. RFC 3261 advises against it.
    pub password: Option<String>,
    /// The host.
    pub host: Host,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// The URI parameters.
    pub params: Params,
    /// The text behind the `?`, with its escapes.
    pub headers: Option<String>,
}

impl SipUri {
    /// Reads a SIP or SIPS URI. Returns `None` for another scheme, or if the URI breaks its grammar.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("sip") => false,
            _ if scheme.eq_ignore_ascii_case("sips") => true,
            _ => return None,
        };
        if !is_uri_text(rest) {
            return None;
        }
        // "@" must be escaped everywhere else, but a user may have a plain ";" or "?". So "@" is looked for first.
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = match userinfo.map(|userinfo| userinfo.split_once(':').ok_or(userinfo)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        if user == Some("") {
            return None;
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let (hostport, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = hostport_of(hostport)?;
        Some(Self {
            secure,
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            host,
            port,
            params: Params::parse(params),
            headers: headers.map(str::to_owned),
        })
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

/// Leaves out password, headers and the values of parameters, which may be push tokens.
impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipUri")
            .field("secure", &self.secure)
            .field("user", &self.user)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

/// Any URI. SIP ones are read. Others (`tel:`, `urn:`) are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri {
    /// A SIP or SIPS URI.
    Sip(SipUri),
    /// A URI of another scheme, as it was written.
    Opaque(String),
}

impl Uri {
    /// Reads a URI. Returns `None` if it has no scheme, if it has white space, a control character, a quote or an angle
    /// bracket, or if a SIP URI breaks its grammar.
    pub fn parse(text: &str) -> Option<Self> {
        let scheme = scheme_of(text)?;
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            return SipUri::parse(text).map(Self::Sip);
        }
        Some(Self::Opaque(text.to_owned()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Opaque(text) => f.write_str(text),
        }
    }
}

/// A host. Names are kept as they were written, and compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A host name.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, in brackets when written.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host name, an IPv4 address or an IPv6 address in brackets.
    //
    // IPv6reference  =  "[" IPv6address "]"
    // hostname       =  *( domainlabel "." ) toplabel [ "." ]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(Self::V6);
        }
        if text.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(address) = text.parse()
        {
            return Some(Self::V4(address));
        }
        // By the grammar a host name has no "_". Many have one.
        let name =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        name.then(|| Self::Name(text.to_owned()))
    }

    /// Returns the address, when the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some((*address).into()),
            Self::V6(address) => Some((*address).into()),
        }
    }

    /// Returns `true` for the same host: addresses by value (RFC 5954 section 4.2), names without regard to case.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => self == other,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

/// Returns `true` when two URIs are equivalent by RFC 3261 section 19.1.4. (The relation is not transitive.)
pub fn same_uri(a: &SipUri, b: &SipUri) -> bool {
    a.secure == b.secure
        && same_option(a.user.as_deref(), b.user.as_deref(), same_text)
        && same_option(a.password.as_deref(), b.password.as_deref(), same_text)
        && a.host.same(&b.host)
        && a.port == b.port
        && params_agree(&a.params, &b.params)
        && params_agree(&b.params, &a.params)
        && same_headers(a.headers.as_deref(), b.headers.as_deref())
}

/// Whether every parameter that both have is the same, and `b` has all those of `a` that must not be missing.
fn params_agree(a: &Params, b: &Params) -> bool {
    a.iter().all(|(name, value)| match b.get(name) {
        Some(other) => same_option(value, other, same_text_but_for_case),
        None => !["user", "ttl", "method", "maddr", "transport"].iter().any(|must| name.eq_ignore_ascii_case(must)),
    })
}

fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let one_in = |one: &str, all: &str| {
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        all.split('&').any(|other| {
            let (other, said) = other.split_once('=').unwrap_or((other, ""));
            same_text_but_for_case(name, other) && same_text(value, said)
        })
    };
    a.split('&').count() == b.split('&').count()
        && a.split('&').all(|one| one_in(one, b))
        && b.split('&').all(|one| one_in(one, a))
}

fn same_option(a: Option<&str>, b: Option<&str>, same: impl Fn(&str, &str) -> bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn same_text(a: &str, b: &str) -> bool {
    a == b || unit_bytes(a).eq(unit_bytes(b))
}

fn same_text_but_for_case(a: &str, b: &str) -> bool {
    let fold = |(escaped, byte): (bool, u8)| (escaped, byte.to_ascii_lowercase());
    a.eq_ignore_ascii_case(b) || unit_bytes(a).map(fold).eq(unit_bytes(b).map(fold))
}

/// The bytes that a text means. The flag says that a byte is an escape that is not equivalent to its plain character:
/// one of the "reserved" set.
fn unit_bytes(text: &str) -> impl Iterator<Item = (bool, u8)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        at += 1;
        if byte == b'%'
            && let (Some(&high), Some(&low)) = (bytes.get(at), bytes.get(at + 1))
            && let Some(meant) = hex_pair(high, low)
        {
            at += 2;
            return Some((b";/?:@&=+$,".contains(&meant), meant));
        }
        Some((false, byte))
    })
}

/// Reads `host [":" port]`. White space around the colon is allowed only in a Via, so other callers trim.
pub(super) fn hostport_of(text: &str) -> Option<(Host, Option<u16>)> {
    let (host, port) = match text.rfind(']') {
        Some(close) => (&text[..=close], text[close + 1..].trim_start_matches([' ', '\t']).strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let end = text.len() - port.map_or(0, |port| port.len() + 1);
    if port.is_none() && host.len() != end {
        return None;
    }
    let port = match port {
        Some(port) => Some(parse_port(trim(port))?),
        None => None,
    };
    Some((Host::parse(trim(host))?, port))
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The scheme of a URI. `None` if there is no scheme, or a character that no URI may hold.
pub(super) fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let first = scheme.bytes().next()?;
    let is_scheme = first.is_ascii_alphabetic()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (is_scheme && is_uri_text(rest)).then_some(scheme)
}

fn is_uri_text(text: &str) -> bool {
    !text.is_empty() && !has_blank(text) && memchr::memchr3(b'<', b'>', b'"', text.as_bytes()).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uri(text: &str) -> SipUri {
        SipUri::parse(text).unwrap_or_else(|| panic!("{text} is a SIP URI"))
    }

    #[test]
    fn a_parsed_text_is_written_unchanged() {
        for text in [
            "sip:example.com",
            "sips:alice:secret@example.com:5061",
            "sip:alice:@example.com",
            "sip:a%3Ab%40c@example.com;pn-prid=abc%3Adef:ghi;lr?Route=%3Csip:example.com%3E",
            "sip:user;par=u%40example.net@example.com",
            "sip:+1(555)222;phone-context=x?y@10.0.0.1;user=phone",
            "sip:[2001:db8::1]:5060;transport=tcp",
            "sip:null-%00-null@example.com",
            "sip:a@b;;lr",
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn the_parts_are_where_they_belong() {
        let uri = uri("sip:user;par=u%40x@[::1]:70;Transport=UDP;lr?a=b");
        assert_eq!(uri.user.as_deref(), Some("user;par=u%40x"));
        assert_eq!((uri.host.clone(), uri.port), (Host::V6(Ipv6Addr::LOCALHOST), Some(70)));
        assert_eq!(uri.params.value("transport"), Some("UDP"));
        assert_eq!(uri.headers.as_deref(), Some("a=b"));
    }

    #[test]
    fn a_text_that_is_no_sip_uri_is_refused() {
        for text in [
            "",
            "sip:",
            "sip",
            "tel:+1",
            "sip:@b",
            "sip:a@",
            "sip:a@b:",
            "sip:a@b:+5",
            "sip:a@b:70000",
            "sip:a@b@c",
            "sip:a b@c",
            "sip:a@[::1",
            "sip:a@[::1]x",
            "sip:a@::1",
            "sip:a@b\r\nX: y",
            "sip:a@b>",
            "sip:a@b\0",
            "sip:a@b;x=\"",
            "sip:a@b c",
        ] {
            assert!(SipUri::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn other_schemes_are_kept_unchanged() {
        for text in ["tel:+1-201-555-0123;phone-context=x", "soap.beep://192.0.2.103:3002", "urn:service:sos"] {
            assert_eq!(Uri::parse(text), Some(Uri::Opaque(text.into())));
        }
        assert!(Uri::parse("no scheme: here").is_none());
        assert!(Uri::parse("tel:1 2").is_none());
    }

    #[test]
    fn debug_hides_password_and_push_token() {
        let shown =
            format!("{:?}", uri("sip:bob:hunter2@example.com;pn-prid=00fc13adff78512f5b2ce5d9?Authorization=hunter2"));
        assert!(!shown.contains("hunter2") && !shown.contains("00fc13"), "{shown}");
    }

    // The tables of RFC 3261 section 19.1.4.
    #[test]
    fn the_equivalent_uris_of_the_rfc_are_the_same() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::1]"),
        ] {
            assert!(same_uri(&uri(a), &uri(b)) && same_uri(&uri(b), &uri(a)), "{a} {b}");
        }
    }

    #[test]
    fn the_different_uris_of_the_rfc_are_not() {
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a%3Ab@example.com", "sip:a:b@example.com"),
            ("sip:a%3Bb@example.com", "sip:a;b@example.com"),
            ("sip:a@example.com", "sips:a@example.com"),
            ("sip:a@example.com", "sip:example.com"),
        ] {
            assert!(!same_uri(&uri(a), &uri(b)) && !same_uri(&uri(b), &uri(a)), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_a_parsed_uri_can_be_parsed_again(text in "(sips?:)?[\\PC;@:%?\\[\\]]{0,40}") {
            if let Some(read) = SipUri::parse(&text) {
                prop_assert_eq!(SipUri::parse(&read.to_string()), Some(read.clone()));
                prop_assert!(same_uri(&read, &read));
            }
        }

        #[test]
        fn a_uri_of_the_grammar_comes_back_byte_for_byte(
            text in "sips?:([a-zA-Z0-9_.!~*'()&=+$,;?/%-]{1,12}(:[a-z0-9&=+$,]{0,8})?@)?([a-z]{1,8}\\.example|10\\.0\\.0\\.[1-9])(:[1-9][0-9]{1,3})?(;[a-z-]{1,9}(=[a-zA-Z0-9:%/+]{1,9})?){0,4}(\\?[a-z]{1,5}=[a-z%0-9]{0,9}(&[a-z]{1,5}=[a-z]{0,5})?)?"
        ) {
            prop_assert_eq!(uri(&text).to_string(), text);
        }
    }
}
