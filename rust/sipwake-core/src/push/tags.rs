//! What the dialects put into a REGISTER, as plain strings.

use std::borrow::Cow;
use std::fmt;

use crate::redact::hint;
use crate::sip::{ByteSet, escape, escape_paramchar};

/// One name with or without a value.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag {
    /// The header's or parameter's name.
    pub name: Cow<'static, str>,
    /// Its value, already escaped for the place it goes to.
    pub value: Option<String>,
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            // It works like the password, so not even its end is shown.
            Some(value) if self.name.eq_ignore_ascii_case("X-PIID") => write!(f, "{}=… ({})", self.name, value.len()),
            Some(value) => write!(f, "{}={}", self.name, hint(value)),
            None => f.write_str(&self.name),
        }
    }
}

/// What a REGISTER must carry so that the server knows where to push. Its `Debug` shows no token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Header fields, such as `X-MPUSH`.
    pub headers: Vec<Tag>,
    /// Parameters of the Contact URI, inside `<` and `>`, such as `pn-prid`.
    pub uri_params: Vec<Tag>,
    /// Parameters of the Contact header, after `>`, such as `+sip.pnsreg`.
    pub contact_params: Vec<Tag>,
}

impl Tags {
    /// Has room for what this many dialects write. Each writes at most three of a kind.
    pub(super) fn with_capacity(dialects: usize) -> Self {
        let room = || Vec::with_capacity(3 * dialects);
        Self { headers: Vec::with_capacity(dialects), uri_params: room(), contact_params: room() }
    }

    pub(crate) fn header(&mut self, name: &'static str, value: String) {
        self.headers.push(Tag { name: name.into(), value: Some(value) });
    }

    /// Adds an escaped parameter inside `<` and `>`. The same text must always give the same bytes, because servers
    /// compare them.
    pub(super) fn uri_param(&mut self, name: &'static str, value: &str) {
        self.uri_params.push(Tag { name: name.into(), value: Some(escape_paramchar(value)) });
    }

    /// Adds a parameter whose name comes from the app.
    pub(super) fn named_uri_param(&mut self, name: &str, value: &str) {
        self.uri_params.push(Tag { name: escape_paramchar(name).into(), value: Some(escape_paramchar(value)) });
    }

    pub(super) fn bare_uri_param(&mut self, name: &'static str) {
        self.uri_params.push(Tag { name: name.into(), value: None });
    }

    /// Adds a parameter after `>`. Its value is a `token` (RFC 3261 25.1), which cannot have a `:`. ABTO's sample has
    /// `%3a` for it.
    pub(super) fn contact_param(&mut self, name: &'static str, value: &str) {
        const TOKENCHARS: ByteSet = ByteSet::of(b"-.!*_+`'~");
        let value = escape(value, &TOKENCHARS, b"0123456789abcdef");
        self.contact_params.push(Tag { name: name.into(), value: Some(value) });
    }

    pub(super) fn bare_contact_param(&mut self, name: &'static str) {
        self.contact_params.push(Tag { name: name.into(), value: None });
    }

    /// Returns the Contact URI's parameters as text: `;pn-provider=apns;pn-prid=…`.
    pub fn uri_params_text(&self) -> String {
        let mut text = String::new();
        self.write_uri_params(&mut text);
        text
    }

    /// Returns the Contact header's parameters as text: `;+sip.pnsreg`.
    pub fn contact_params_text(&self) -> String {
        let mut text = String::new();
        self.write_contact_params(&mut text);
        text
    }

    pub(crate) fn write_uri_params(&self, text: &mut String) {
        write(&self.uri_params, text);
    }

    pub(crate) fn write_contact_params(&self, text: &mut String) {
        write(&self.contact_params, text);
    }
}

fn write(tags: &[Tag], text: &mut String) {
    text.reserve(tags.iter().map(|tag| tag.name.len() + tag.value.as_ref().map_or(0, String::len) + 2).sum());
    for tag in tags {
        text.push(';');
        text.push_str(&tag.name);
        if let Some(value) = &tag.value {
            text.push('=');
            text.push_str(value);
        }
    }
}
