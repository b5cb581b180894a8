//! Splits the comma-separated parameters of authentication header fields.

use std::borrow::Cow;

/// A piece of a comma-separated list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A word on its own: an authentication scheme.
    Word(&'a str),
    /// A name and its value, unquoted and unescaped.
    Parameter(&'a str, Cow<'a, str>),
}

/// Walks schemes and parameters.
///
/// ```abnf
/// auth-param    = auth-param-name EQUAL ( token / quoted-string )
/// EQUAL         = SWS "=" SWS
/// quoted-string = SWS DQUOTE *(qdtext / quoted-pair ) DQUOTE
/// qdtext        = LWS / %x21 / %x23-5B / %x5D-7E / UTF8-NONASCII
/// quoted-pair   = "\" (%x00-09 / %x0B-0C / %x0E-7F)
/// LWS           = [*WSP CRLF] 1*WSP
/// ```
/// (RFC 3261 section 25.1)
///
/// The parser accepts more than that. A bare value ends only at a comma or white space, so that base64 without quotes
/// stays whole. A comma may be missing between parameters. Text that is not a parameter is skipped. An open quote ends
/// the list.
pub(super) struct Parameters<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parameters<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&accept) {
            self.at += 1;
        }
        // Every caller stops at an ASCII byte or at the end. Both are character boundaries.
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn quoted_string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.at = end + 1;
        let raw = self.text.get(start..end)?;
        Some(if raw.contains(['\\', '\r', '\n']) { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            self.skip_while(|byte| is_space(byte) || byte == b',');
            match self.peek()? {
                b'=' => self.at += 1,
                b'"' => {
                    self.quoted_string()?;
                }
                _ => break,
            }
        }
        let name = self.skip_while(|byte| !is_space(byte) && !matches!(byte, b',' | b'=' | b'"'));
        self.skip_while(is_space);
        if self.peek() != Some(b'=') {
            return Some(Part::Word(name));
        }
        self.at += 1;
        self.skip_while(is_space);
        let value = match self.peek() {
            Some(b'"') => self.quoted_string()?,
            _ => Cow::Borrowed(self.skip_while(|byte| !is_space(byte) && byte != b',')),
        };
        Some(Part::Parameter(name, value))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Resolves quoted pairs, and turns folded lines into one space. Any other CR or LF stays, and the caller refuses it.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.extend(rest.next()),
            '\r' | '\n' => {
                let after = if c == '\r' { rest.as_str().strip_prefix('\n') } else { None };
                let after = after.unwrap_or(rest.as_str());
                let unfolded = after.trim_start_matches([' ', '\t']);
                if unfolded.len() == after.len() {
                    text.push(c);
                } else {
                    text.push(' ');
                    rest = unfolded.chars();
                }
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part<'_>> {
        Parameters::new(text).collect()
    }

    #[test]
    fn quoted_pairs_and_folds_are_resolved() {
        assert_eq!(parts(r#"a="x\"y\\z\q""#), [Part::Parameter("a", r#"x"y\zq"#.into())]);
        assert_eq!(parts("a=\"x\r\n\t y\""), [Part::Parameter("a", "x y".into())]);
        assert_eq!(parts("a=\"x\ry\""), [Part::Parameter("a", "x\ry".into())]);
    }

    #[test]
    fn stray_separators_and_strings_are_stepped_over() {
        assert_eq!(parts(r#", = "lost" a=b"#), [Part::Parameter("a", "b".into())]);
        assert_eq!(parts(r#"a=,b"#), [Part::Parameter("a", "".into()), Part::Word("b")]);
    }

    #[test]
    fn an_open_quote_ends_the_walk() {
        assert_eq!(parts(r#"a=b, c="d, e=f"#), [Part::Parameter("a", "b".into())]);
        assert_eq!(parts(r#"c="d\"#), []);
    }
}
