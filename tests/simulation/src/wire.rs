//! As much of SIP as a server needs that only ever hears from sipwake: a parser and builder of its own.

/// A message, split.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) start: String,
    headers: Vec<(String, String)>,
}

impl Wire {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let head = text.split("\r\n\r\n").next()?;
        let mut lines = head.split("\r\n");
        let start = lines.next().filter(|line| !line.is_empty())?.to_owned();
        let headers = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned())))
            .collect::<Option<_>>()?;
        Some(Self { start, headers })
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn one(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    pub(crate) fn branch(&self) -> &str {
        param(self.one("via"), "branch")
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.one("cseq").split(' ').next().and_then(|seq| seq.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn cseq_method(&self) -> &str {
        self.one("cseq").split(' ').nth(1).unwrap_or_default()
    }

    /// The user part of the To URI.
    pub(crate) fn to_user(&self) -> &str {
        self.one("to").split("sip:").nth(1).and_then(|rest| rest.split('@').next()).unwrap_or_default()
    }

    pub(crate) fn contacts(&self) -> Vec<Contact> {
        self.all("contact").filter_map(Contact::parse).collect()
    }

    /// A response with the headers that RFC 3261 8.2.6.2 has copied.
    pub(crate) fn answer(&self, status: u16, phrase: &str, extra: &[String]) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} {phrase}\r\n");
        for via in self.all("via") {
            text.push_str(&format!("Via: {via}\r\n"));
        }
        for (name, wire) in [("from", "From"), ("call-id", "Call-ID"), ("cseq", "CSeq")] {
            text.push_str(&format!("{wire}: {}\r\n", self.one(name)));
        }
        text.push_str(&format!("To: {};tag=server\r\n", self.one("to")));
        for line in extra {
            text.push_str(&format!("{line}\r\n"));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        text.into_bytes()
    }
}

/// One Contact as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) uri: String,
    pub(crate) params: String,
}

impl Contact {
    fn parse(value: &str) -> Option<Self> {
        let (uri, params) = value.strip_prefix('<')?.split_once('>')?;
        Some(Self { uri: uri.to_owned(), params: params.to_owned() })
    }

    pub(crate) fn expires(&self) -> Option<u64> {
        param(&self.params, "expires").parse().ok()
    }

    /// The URI without parameters.
    pub(crate) fn address(&self) -> &str {
        self.uri.split(';').next().unwrap_or_default()
    }

    pub(crate) fn instance(&self) -> &str {
        param(&self.params, "+sip.instance")
    }

    pub(crate) fn pn(&self, name: &str) -> String {
        unescape(param(&self.uri, name))
    }
}

/// The value of `;name=value`, empty where it is not.
pub(crate) fn param<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default()
}

/// The value of `name="value"` or `name=value` in a digest header.
pub(crate) fn digest_param<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text
        .trim_start_matches("Digest ")
        .split(',')
        .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default().trim_matches('"')
}

fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        plain.push(char::from(code.unwrap_or(b'?')));
        plain.push_str(part.get(2..).unwrap_or_default());
    }
    plain
}
