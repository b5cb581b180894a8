//! Contacts: the address that a binding leads to, and what the registrar says about it.

use std::borrow::Cow;
use std::fmt;

use super::escape::{delta_seconds, trim, unquote};
use super::{NameAddr, ParamsRef, SipUri};

/// One Contact value. A 200 to a REGISTER lists one for each binding of the user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Contact<'a> {
    name: &'a str,
    /// The URI exactly as it was received, or `*` for all bindings (RFC 3261 section 10.2.2).
    pub uri: &'a str,
    /// The header parameters, outside the `>`. Without `<>` all parameters are of the header (section 20.10).
    pub params: ParamsRef<'a>,
}

impl<'a> Contact<'a> {
    /// Reads one Contact value. Returns `None` if it breaks its grammar.
    //
    // Contact         =  ("Contact" / "m" ) HCOLON ( STAR / (contact-param *(COMMA contact-param)))
    // contact-params  =  c-p-q / c-p-expires / contact-extension
    pub fn parse(text: &'a str) -> Option<Self> {
        if trim(text) == "*" {
            return Some(Self { name: "", uri: "*", params: ParamsRef::default() });
        }
        let NameAddr { name, uri, params } = NameAddr::parse(text)?;
        Some(Self { name, uri, params })
    }

    /// Returns `true` for `*`.
    pub fn is_star(&self) -> bool {
        self.uri == "*"
    }

    /// Returns the display name, its quotes and quoted-pairs read.
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        Some(unquote(self.name)).filter(|name| !name.is_empty())
    }

    /// Returns the URI, if it is a SIP or SIPS one.
    pub fn parsed(&self) -> Option<SipUri> {
        SipUri::parse(self.uri)
    }

    /// Returns the `expires` parameter, in seconds. A value of more than 32 bits becomes the largest number.
    pub fn expires(&self) -> Option<u32> {
        delta_seconds(self.params.value("expires")?)
    }

    /// Returns the preference `q`, in thousandths. Without `q` it is 1 (RFC 3261 section 20.10).
    pub fn preference(&self) -> u16 {
        let Some(q) = self.params.value("q") else { return 1000 };
        let (whole, rest) = q.trim().split_once('.').unwrap_or((q.trim(), ""));
        let thousandths = format!("{rest:0<3}").get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        if whole.parse() == Ok(0u16) { thousandths } else { 1000 }
    }

    /// Returns `+sip.instance` without quotes and angle brackets: `urn:uuid:…` (RFC 5626 section 4.1).
    pub fn instance(&self) -> Option<&'a str> {
        self.params.value("+sip.instance").map(strip_angles)
    }

    /// Returns `reg-id` (RFC 5626 section 4.2).
    pub fn reg_id(&self) -> Option<u32> {
        self.params.value("reg-id")?.parse().ok()
    }
}

impl fmt::Debug for Contact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact")
            .field("name", &self.display_name())
            .field("uri", &self.parsed())
            .field("params", &self.params)
            .finish()
    }
}

pub(super) fn strip_angles(text: &str) -> &str {
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(text: &str) -> Contact<'_> {
        Contact::parse(text).unwrap_or_else(|| panic!("{text} is a contact"))
    }

    #[test]
    fn parameters_inside_the_brackets_belong_to_the_uri_and_outside_to_the_header() {
        let ours = contact(
            "<sip:a@10.0.0.1:5070;pn-prid=abc%3Ad:ef;expires=9>;expires=3600;reg-id=2;+sip.instance=\"<urn:uuid:0-1;2>\";+sip.pnsreg",
        );
        assert_eq!(ours.expires(), Some(3600));
        assert_eq!(ours.instance(), Some("urn:uuid:0-1;2"));
        assert_eq!(ours.reg_id(), Some(2));
        assert!(ours.params.has("+sip.pnsreg"));
        let uri = ours.parsed().expect("it is a SIP URI");
        assert_eq!(uri.params.value("pn-prid"), Some("abc%3Ad:ef"));
    }

    #[test]
    fn without_brackets_the_parameters_belong_to_the_header() {
        let bare = contact("sip:+19725552222@gw1.example.net;unknownparam;expires=5");
        assert_eq!(bare.uri, "sip:+19725552222@gw1.example.net");
        assert_eq!(bare.expires(), Some(5));
        assert!(bare.params.has("unknownparam"));
        assert!(contact("<sip:+19725552222@gw1.example.net;unknownparam>").params.is_empty());
    }

    #[test]
    fn a_star_stands_for_all_bindings() {
        assert!(contact(" * ").is_star());
        assert_eq!(contact("*").parsed(), None);
    }

    #[test]
    fn other_schemes_are_contacts_too() {
        assert_eq!(contact("<name:John_Smith>").uri, "name:John_Smith");
        assert_eq!(contact("<tel:+1>").parsed(), None);
    }

    #[test]
    fn an_expires_beyond_32_bits_is_the_largest() {
        assert_eq!(contact("<sip:a@b> ;expires=280297596632815").expires(), Some(u32::MAX));
    }

    #[test]
    fn debug_hides_a_push_token() {
        let shown = format!(
            "{:?}",
            contact("<sip:a@b;pn-prid=00fc13adff78512f5b2ce5d9>;push-token-id=00fc13adff78512f5b2ce5d9")
        );
        assert!(!shown.contains("00fc13"), "{shown}");
    }
}
