//! The form that From, To, Contact and the routes share: a name, an address, parameters.

use std::borrow::Cow;
use std::fmt;

use super::escape::{end_of_quoted, has_blank, trim, unquote};
use super::{ParamsRef, SipUri};

/// A `name-addr` or `addr-spec` with its parameters, as they are in a text.
//
// contact-param  =  (name-addr / addr-spec) *(SEMI contact-params)
// from-spec      =  ( name-addr / addr-spec ) *( SEMI from-param )
// name-addr      =  [ display-name ] LAQUOT addr-spec RAQUOT
// display-name   =  *(token LWS) / quoted-string                                   (RFC 3261 section 25.1)
//
// Without "<>", what follows a semicolon is a header parameter, and a "?" may not be there (section 20.10).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    pub(super) name: &'a str,
    /// The URI as it was received.
    pub uri: &'a str,
    /// The header parameters.
    pub params: ParamsRef<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads a From, To or route value. Returns `None` if it breaks its grammar.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = trim(text);
        let name_end = if text.starts_with('"') { end_of_quoted(text.as_bytes(), 0)? } else { 0 };
        if let Some(open) = memchr::memchr(b'<', &text.as_bytes()[name_end..]).map(|at| at + name_end) {
            let close = memchr::memchr(b'>', &text.as_bytes()[open..]).map(|at| at + open)?;
            let between = trim(&text[name_end..open]);
            let params = trim(&text[close + 1..]);
            let bare = name_end == 0 && between.contains([';', '"']);
            if bare || (name_end > 0 && !between.is_empty()) || !(params.is_empty() || params.starts_with(';')) {
                return None;
            }
            let uri = address(&text[open + 1..close])?;
            return Some(Self { name: trim(&text[..open]), uri, params: ParamsRef(params) });
        }
        if name_end > 0 {
            return None;
        }
        let (uri, params) = text.split_at(memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len()));
        let uri = address(uri).filter(|uri| !uri.contains('?'))?;
        Some(Self { name: "", uri, params: ParamsRef(params) })
    }

    /// Returns the display name, its quotes and quoted-pairs read.
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        Some(unquote(self.name)).filter(|name| !name.is_empty())
    }

    /// Returns the `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// Returns the URI, if it is a SIP or SIPS one.
    pub fn parsed(&self) -> Option<SipUri> {
        SipUri::parse(self.uri)
    }
}

impl fmt::Debug for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, uri) = (&self.display_name(), self.parsed());
        f.debug_struct("NameAddr").field("name", name).field("uri", &uri).field("params", &self.params).finish()
    }
}

fn address(text: &str) -> Option<&str> {
    let uri = trim(text);
    let whole = !uri.is_empty() && !has_blank(uri) && memchr::memchr2(b'<', b'"', uri.as_bytes()).is_none();
    whole.then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Option<String>, String, String) {
        let addr = NameAddr::parse(text).unwrap_or_else(|| panic!("{text} is an address"));
        (addr.display_name().map(Cow::into_owned), addr.uri.to_owned(), addr.params.0.to_owned())
    }

    #[test]
    fn names_addresses_and_parameters_are_told_apart() {
        let of = |name: &str, uri: &str, params: &str| {
            ((!name.is_empty()).then(|| name.to_owned()), uri.to_owned(), params.to_owned())
        };
        assert_eq!(read("sip:a@b;tag=1"), of("", "sip:a@b", ";tag=1"));
        assert_eq!(read("<sip:a@b;lr>;tag=1"), of("", "sip:a@b;lr", ";tag=1"));
        assert_eq!(
            read(r#""J Rosenberg \\\""       <sip:j@b> ; tag = 98"#),
            of(r#"J Rosenberg \""#, "sip:j@b", "; tag = 98")
        );
        assert_eq!(read("caller<sip:c@b>;tag=323"), of("caller", "sip:c@b", ";tag=323"));
        assert_eq!(read("\"Watson, <T>\" < sip:t@b >"), of("Watson, <T>", "sip:t@b", ""));
        assert_eq!(read("token1~` token2'+_ <sip:m@b>"), of("token1~` token2'+_", "sip:m@b", ""));
        assert_eq!(read("isbn:2983792873"), of("", "isbn:2983792873", ""));
        assert_eq!(read("<sip:a@b?Route=%3Cx%3E>"), of("", "sip:a@b?Route=%3Cx%3E", ""));
    }

    #[test]
    fn ambiguous_or_broken_addresses_are_refused() {
        for text in [
            "",
            "<>",
            "\"Mr. J. User <sip:j@b>",
            "<sip:a@b",
            "sip:a@b?Route=%3Cx%3E",
            "\"x\" sip:a@b",
            "<sip:a@b> x",
            "<sip:a b@c>",
            "a;b <sip:c>",
        ] {
            assert!(NameAddr::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn white_space_around_a_tag_does_not_matter() {
        let addr = NameAddr::parse("sip:v@e ;   tag    = 1918181833n").expect("this is an address");
        assert_eq!(addr.tag(), Some("1918181833n"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>(), built in "[\"\\\\<>;@:a ]{0,20}") {
            let _ = NameAddr::parse(&text);
            let _ = NameAddr::parse(&built);
        }
    }
}
