//! The part of SIP that a server for sipwake needs: a parser and builder of its own.

/// The domain of a second account with the extension of the first.
pub(crate) const SECOND_DOMAIN: &str = "second.example.com";

/// A message, split.
#[derive(Debug, Clone)]
pub(crate) struct Wire<'m> {
    pub(crate) start: &'m str,
    headers: Vec<(&'m str, &'m str)>,
}

impl<'m> Wire<'m> {
    pub(crate) fn parse(bytes: &'m [u8]) -> Option<Self> {
        let mut lines =
            std::str::from_utf8(bytes).ok()?.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = lines.next().filter(|line| !line.is_empty())?;
        let mut headers = Vec::with_capacity(24);
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            headers.push((name.trim(), value.trim()));
        }
        Some(Self { start, headers })
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'m str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    pub(crate) fn one(&self, name: &str) -> &'m str {
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

    /// The user in To. If two users have one extension, the domain decides.
    pub(crate) fn to_user(&self) -> &'m str {
        let (user, host) =
            self.one("to").split("sip:").nth(1).and_then(|rest| rest.split_once('@')).unwrap_or_default();
        if host.starts_with(SECOND_DOMAIN) { "user1" } else { user }
    }

    pub(crate) fn contacts(&self) -> Vec<Contact> {
        self.all("contact").filter_map(Contact::parse).collect()
    }

    /// A response with the headers that RFC 3261 8.2.6.2 copies.
    pub(crate) fn answer(&self, status: u16, phrase: &str, extra: &[String]) -> Vec<u8> {
        let mut text = String::with_capacity(1024);
        let mut line = |parts: &[&str]| {
            parts.iter().for_each(|part| text.push_str(part));
            text.push_str("\r\n");
        };
        line(&["SIP/2.0 ", &status.to_string(), " ", phrase]);
        for via in self.all("via") {
            line(&["Via: ", via]);
        }
        for name in ["From", "Call-ID", "CSeq"] {
            line(&[name, ": ", self.one(name)]);
        }
        line(&["To: ", self.one("to"), ";tag=server"]);
        for extra in extra {
            line(&[extra]);
        }
        line(&["Content-Length: 0\r\n"]);
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

/// The value of `;name=value`, or an empty text.
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
