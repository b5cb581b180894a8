//! The topmost Via: where a response goes, and where our request came from.

use std::net::IpAddr;

use super::escape::trim;
use super::uri::hostport_of;
use super::{Host, ParamsRef};

/// One Via value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport as it was written: `UDP`, `TCP`, `TLS`, `WS`, `WSS` or another token.
    pub transport: &'a str,
    /// The host of `sent-by`.
    pub host: Host,
    /// The port of `sent-by`, when one is written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: ParamsRef<'a>,
}

impl<'a> Via<'a> {
    /// Reads one Via value of SIP/2.0. White space may be around the slashes and the colon. An IPv6 address may have no
    /// brackets.
    //
    // via-parm       =  sent-protocol LWS sent-by *( SEMI via-params )
    // sent-protocol  =  protocol-name SLASH protocol-version SLASH transport
    // sent-by        =  host [ COLON port ]                                              (RFC 3261 section 25.1)
    pub fn parse(text: &'a str) -> Option<Self> {
        let (sent, params) = text.split_at(memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len()));
        let (name, rest) = sent.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        let rest = trim(rest);
        let (transport, sent_by) = rest.split_once([' ', '\t'])?;
        if !trim(name).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return None;
        }
        let sent_by = trim(sent_by);
        let (host, port) = match sent_by.parse() {
            Ok(address) => (Host::V6(address), None),
            Err(_) => hostport_of(sent_by)?,
        };
        Some(Self { transport, host, port, params: ParamsRef(params) })
    }

    /// Returns the `branch` parameter.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch")
    }

    /// Returns `received`: the address that the request came from, as the server saw it. An IPv6 address may have
    /// brackets or none.
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.value("received")?;
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
    }

    /// Returns the port of `rport`, as the server saw it (RFC 3581 section 4). In a request the parameter has no value:
    /// use `via.params.has("rport")`.
    pub fn rport(&self) -> Option<u16> {
        self.params.value("rport")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn via(text: &str) -> Via<'_> {
        Via::parse(text).unwrap_or_else(|| panic!("{text} is a Via"))
    }

    #[test]
    fn white_space_inside_a_via_does_not_matter() {
        let spaced = via("SIP  /   2.0 /UDP 192.0.2.2 : 5060 ;  branch  =   z9hG4bK30239 ; rport = 7");
        assert_eq!((spaced.transport, spaced.host.to_string(), spaced.port), ("UDP", "192.0.2.2".into(), Some(5060)));
        assert_eq!((spaced.branch(), spaced.rport()), (Some("z9hG4bK30239"), Some(7)));
        assert_eq!(via("SIP / 2.0 / TCP     spindle.example.com   ").host, Host::Name("spindle.example.com".into()));
    }

    #[test]
    fn flags_of_the_mizutech_sample_are_read() {
        let via = via("SIP/2.0/UDP 192.168.1.2:9023;branch=z9hG4bK-1;alias;rport");
        assert!(via.params.has("alias") && via.params.has("rport"));
        assert_eq!(via.rport(), None);
    }

    #[test]
    fn ipv6_is_read_with_and_without_brackets() {
        for text in [
            "SIP/2.0/UDP [2001:db8::9]:5060;received=2001:db8::1;rport=9",
            "SIP/2.0/UDP 2001:db8::9;received=[2001:db8::1]",
        ] {
            let via = via(text);
            assert_eq!(via.host.to_string(), "[2001:db8::9]");
            assert_eq!(via.received(), "2001:db8::1".parse().ok());
        }
    }

    #[test]
    fn a_text_that_is_no_via_is_refused() {
        for text in [
            "",
            ";",
            "SIP/7.0/UDP c.example.com",
            "SIP/2.0/UDP",
            "SIP/2.0 UDP x",
            "HTTP/2.0/UDP x",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP a:b",
        ] {
            assert!(Via::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>(), behind in "[ /:;=\\[\\]a0.]{0,20}") {
            let _ = Via::parse(&text);
            let _ = Via::parse(&format!("SIP/2.0/UDP {behind}"));
        }
    }
}
