//! Feature-Caps: the capabilities of a server on the path.

use super::contact::strip_angles;
use super::escape::unquote;
use super::params::split;

/// One Feature-Caps value. Do not merge values: `+sip.vapid` counts only in the same value as its `+sip.pns` (RFC 8599
/// section 5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeatureCaps {
    /// The capability names as they were written, and their values without quotes and `<>`.
    pub tags: Vec<(String, Option<String>)>,
}

impl FeatureCaps {
    /// Reads one value. The leading `*;` may be missing, as OpenSIPS writes it.
    //
    // fc-value           =  "*" *(SEMI feature-cap)
    // feature-cap        =  "+" fcap-name [EQUAL LDQUOT (fcap-value-list / fcap-string-value ) RDQUOT]
    // fcap-string-value  =  "<" *(qdtext-no-abkt / quoted-pair ) ">"                    (RFC 6809 section 6.3)
    pub fn parse(text: &str) -> Self {
        let mut tags = Vec::new();
        for (name, value) in split(text).filter(|(name, _)| *name != "*") {
            tags.push((name.to_owned(), value.map(|value| strip_angles(&unquote(value)).to_owned())));
        }
        Self { tags }
    }

    /// Returns the value of a capability: `Some(None)` when it has none, `None` when it is not there.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.tags.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref())
    }

    /// Returns the value of a capability that has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name)?
    }

    /// Returns `true` when the capability is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_star_may_be_missing_as_in_opensips() {
        let caps = FeatureCaps::parse(r#"+sip.pns="apns";+sip.pnsreg="130";+sip.pnspurr="a;b,c""#);
        assert_eq!(caps.value("+sip.pns"), Some("apns"));
        assert_eq!(caps.value("+SIP.PnsReg"), Some("130"));
        assert_eq!(caps.value("+sip.pnspurr"), Some("a;b,c"));
        assert_eq!(FeatureCaps::parse(r#"*;+sip.pns="apns";+sip.pnsreg="130";+sip.pnspurr="a;b,c""#), caps);
    }

    #[test]
    fn a_string_value_loses_its_angle_brackets() {
        let caps = FeatureCaps::parse(r#"* ; +sip.vapid = "<BA\"1_z>" ; +sip.flag"#);
        assert_eq!(caps.value("+sip.vapid"), Some("BA\"1_z"));
        assert_eq!(caps.get("+sip.flag"), Some(None));
        assert_eq!(caps.get("+sip.other"), None);
    }
}
