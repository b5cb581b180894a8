//! Parameters: `;name=value;flag`, of a URI or of a header field.

use std::fmt;

use super::escape::{cut, end_of_quoted, escape_paramchar, is_paramchar, is_tokenchar, strip_quotes, trim};
use crate::redact::hint;

/// Parameters in their order, as they were written. Their names are compared without regard to case.
//
// uri-parameters  =  *( ";" uri-parameter)            pname [ "=" pvalue ]
// generic-param   =  token [ EQUAL gen-value ]        gen-value = token / host / quoted-string
//                                                     SEMI and EQUAL allow white space around them (RFC 3261 section 25.1)
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Params(String);

impl Params {
    /// Returns no parameters.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Reads `;a=b;c`. The first semicolon may be missing. Empty parameters are skipped when they are read, and kept
    /// when they are written.
    pub fn parse(text: &str) -> Self {
        let text = trim(text);
        if text.is_empty() || text.starts_with(';') {
            return Self(text.to_owned());
        }
        Self(format!(";{text}"))
    }

    /// Returns the names and the values as they were written, with quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        split(&self.0)
    }

    /// Returns the value as it was written: `Some(None)` for a flag, `None` if there is no such parameter.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        find(&self.0, name)
    }

    /// Returns the value without the quotes around it. Its quoted-pairs stay, see [`unquote`](super::unquote).
    pub fn value(&self, name: &str) -> Option<&str> {
        ParamsRef(&self.0).value(name)
    }

    /// Returns `true` when the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns `true` when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a parameter at the end.
    ///
    /// A value that needs no change (a token, a host, an escaped URI value, a quoted-string) is written as it is. Any
    /// other value is escaped like [`escape_paramchar`] does, so that a value cannot smuggle in a separator. A URI
    /// cannot hold a quoted-string, so escape such a value first.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        self.0.push(';');
        push_safe(&mut self.0, name);
        if let Some(value) = value {
            self.0.push('=');
            if is_quoted_string(value) { self.0.push_str(value) } else { push_safe(&mut self.0, value) }
        }
    }

    /// Removes every parameter of this name, and returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.has(name) {
            return false;
        }
        let mut kept = String::with_capacity(self.0.len());
        for (other, value) in self.iter().filter(|(other, _)| !other.eq_ignore_ascii_case(name)) {
            kept.push(';');
            kept.push_str(other);
            if let Some(value) = value {
                kept.push('=');
                kept.push_str(value);
            }
        }
        self.0 = kept;
        true
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows the names, and only hints of the values, because parameters carry push tokens.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ParamsRef(&self.0).fmt(f)
    }
}

/// Parameters as they are in a text. The first semicolon may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ParamsRef<'a>(pub(super) &'a str);

impl<'a> ParamsRef<'a> {
    /// Reads `;a=b;c`. The first semicolon may be missing.
    pub fn of(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the value as it was written: `Some(None)` for a flag, `None` if there is no such parameter.
    pub fn get(self, name: &str) -> Option<Option<&'a str>> {
        find(self.0, name)
    }

    /// Returns the value without the quotes around it. Its quoted-pairs stay, see [`unquote`](super::unquote).
    pub fn value(self, name: &str) -> Option<&'a str> {
        let value = self.get(name)??;
        Some(strip_quotes(value).unwrap_or(value))
    }

    /// Returns `true` when the parameter is there, with or without a value.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns `true` when nothing was written.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Shows the names, and only hints of the values, because parameters carry push tokens.
impl fmt::Debug for ParamsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(split(self.0).map(|(name, value)| (name, value.map(hint)))).finish()
    }
}

/// The parameters of a text: `;a=b; c = "d"`.
pub(super) fn split(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        loop {
            let (one, behind) = cut(rest?, b';', false);
            rest = behind;
            let (name, value) = match memchr::memchr(b'=', one.as_bytes()) {
                Some(equal) => (&one[..equal], Some(trim(&one[equal + 1..]))),
                None => (one, None),
            };
            let name = trim(name);
            if !name.is_empty() {
                return Some((name, value));
            }
        }
    })
}

pub(super) fn find<'a>(text: &'a str, name: &str) -> Option<Option<&'a str>> {
    split(text).find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn push_safe(out: &mut String, text: &str) {
    let raw = text.bytes().all(|byte| is_paramchar(byte) || is_tokenchar(byte));
    if raw { out.push_str(text) } else { out.push_str(&escape_paramchar(text)) }
}

fn is_quoted_string(text: &str) -> bool {
    text.starts_with('"')
        && end_of_quoted(text.as_bytes(), 0) == Some(text.len())
        && !text.chars().any(|c| c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_semicolon_inside_quotes_is_part_of_the_value() {
        let params = Params::parse(r#";tag    = 1918181833n ; X="a;b\"c" ;; lr ;q=0.7"#);
        assert_eq!(params.get("TAG"), Some(Some("1918181833n")));
        assert_eq!(params.get("x"), Some(Some(r#""a;b\"c""#)));
        assert_eq!(params.value("x"), Some(r#"a;b\"c"#));
        assert_eq!(params.get("lr"), Some(None));
        assert_eq!(params.value("lr"), None);
        assert_eq!(params.get("none"), None);
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn a_parsed_text_is_written_unchanged() {
        for text in ["", ";a=b;c", ";;lr", r#";+sip.instance="<urn:uuid:1>";reg-id=1"#, ";pn-prid=abc%3Adef:ghi"] {
            assert_eq!(Params::parse(text).to_string(), text);
        }
        assert_eq!(Params::parse("a=b").to_string(), ";a=b");
    }

    #[test]
    fn a_removed_parameter_leaves_its_neighbours() {
        let mut params = Params::parse(";a=1;Expires=60;b;expires=7");
        assert!(params.remove("expires"));
        assert_eq!(params.to_string(), ";a=1;b");
        assert!(!params.remove("expires"));
    }

    #[test]
    fn debug_hides_a_push_token() {
        let params = Params::parse(";pn-prid=00fc13adff78512f5b2ce5d9");
        assert!(!format!("{params:?}").contains("00fc13ad"));
    }

    proptest! {
        #[test]
        fn no_separator_leaves_through_a_pushed_value(name in any::<String>(), value in any::<String>()) {
            prop_assume!(!name.is_empty());
            let mut params = Params::parse(";first=1");
            params.push(&name, Some(&value));
            params.push("last", None);
            let names: Vec<_> = params.iter().map(|(name, _)| name).collect();
            prop_assert_eq!(names.len(), 3);
            prop_assert_eq!(names[2], "last");
            prop_assert!(!params.to_string().contains(['\r', '\n', '\0', '>', ',']) || is_quoted_string(&value));
        }

        #[test]
        fn no_text_makes_these_panic(text in any::<String>(), name in any::<String>()) {
            let mut params = Params::parse(&text);
            let _ = params.value(&name);
            params.remove(&name);
        }
    }
}
