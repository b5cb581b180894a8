//! The REGISTER that another stack sends: the parts of it that we decide.

use std::fmt;

use crate::account::{AccountKey, Hop};
use crate::push::{Tag, Tags};
use crate::redact::Secret;
use crate::sip::{Contact, Message, SipUri};

/// What the next REGISTER of another stack must say. Everything that is not in here is that stack's own: Via, From, To, Call-ID,
/// CSeq, Route, credentials, `Supported`.
///
/// Its `Debug` shows no token.
#[derive(Clone, PartialEq, Eq)]
pub struct Register {
    /// Its number in [`heard`](super::Heard::register) and [`sent`](super::Companion::sent).
    pub number: u64,
    /// Whose it is.
    pub account: AccountKey,
    /// Header fields, parameters of the Contact URI and parameters of the Contact header, to be added to the stack's own. What
    /// an earlier REGISTER carried and this one does not, must not be in it.
    pub tags: Tags,
    /// The whole Contact URI, with its parameters, where that is known: in a removal it is the one that was bound, which may
    /// not be the stack's present one. Holds a token.
    pub contact: Option<Secret>,
    /// This device's former Contact URIs, to send beside it with `;expires=0`. Hold tokens.
    pub removed: Vec<Secret>,
    /// The value of `Expires`: 0 removes.
    pub expires: u32,
    /// The Request-URI.
    pub request_uri: String,
    /// The `uri` of the digest, if the server named another one than the Request-URI (`X-Sy.AuthURI`).
    pub digest_uri: Option<String>,
    /// Where to send it, as a SIP URI or WebSocket address: the gateway in use, one that was left, or a redirect's
    /// target.
    pub gateway: String,
}

impl Register {
    /// Whether it takes the registration away.
    pub fn removes(&self) -> bool {
        self.expires == 0
    }

    /// Reads a REGISTER that was written for the flow to this hop. `base` is its Contact URI without push parameters.
    /// `shown` says whether a Contact URI is a real one, and not our name for an unknown one.
    pub(super) fn read(
        number: u64,
        account: AccountKey,
        request: &Message,
        hop: &Hop,
        base: &str,
        shown: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        const OURS: [&str; 12] = [
            "Via",
            "Max-Forwards",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Route",
            "Contact",
            "Expires",
            "Supported",
            "Allow",
            "Content-Length",
        ];
        let lines: Vec<&str> = request.headers("Contact").collect();
        let (ours, removed) = lines.split_last()?;
        let ours = Contact::parse(ours)?;
        let pushes = ours.uri.strip_prefix(base).unwrap_or_default();
        let owned =
            |tag: &str, value: Option<&str>| Tag { name: tag.to_owned().into(), value: value.map(str::to_owned) };
        let mut tags =
            Tags { uri_params: texts(pushes).map(|(name, value)| owned(name, value)).collect(), ..Tags::default() };
        let behind = lines.last().and_then(|line| line.split_once('>')).map_or("", |(_, rest)| rest);
        tags.contact_params = texts(behind).map(|(name, value)| owned(name, value)).collect();
        let extra = request.all_headers().filter(|(name, _)| !OURS.contains(name) && *name != "User-Agent");
        tags.headers = extra.map(|(name, value)| owned(name, Some(value))).collect();
        let removed = removed.iter().filter_map(|line| Contact::parse(line)).map(|contact| contact.uri);
        Some(Self {
            number,
            account,
            tags,
            contact: shown(ours.uri).then(|| Secret::new(ours.uri)),
            removed: removed.filter(|uri| shown(uri)).map(Secret::new).collect(),
            expires: request.expires().unwrap_or_default(),
            request_uri: request.uri()?.to_owned(),
            digest_uri: None,
            gateway: hop.name(),
        })
    }

    /// Whether another REGISTER says the same.
    pub(super) fn says_what(&self, other: &Self) -> bool {
        // If the Contact became known in between, the REGISTER with it was sent before anyway.
        let contact = self.contact.as_ref().zip(other.contact.as_ref()).is_none_or(|(a, b)| a == b);
        contact && self.tags == other.tags && self.expires == other.expires && self.removed == other.removed
    }

    /// Whether it has a header with this name.
    pub(super) fn has(&self, header: &str) -> bool {
        self.tags.headers.iter().any(|tag| tag.name.eq_ignore_ascii_case(header))
    }

    /// The Contact URI that a server lists for it, without our parameters. `None` if the listed one is not ours.
    pub(super) fn base_in(&self, listed: &Contact<'_>) -> Option<String> {
        let uri = listed.parsed()?;
        let ours = &self.tags.uri_params;
        let named = |tag: &Tag| uri.params.get(&tag.name) == Some(tag.value.as_deref());
        (!ours.is_empty() && ours.iter().all(named))
            .then(|| without(listed.uri, |name| ours.iter().any(|tag| tag.name == name)))
    }
}

/// A Contact URI without its push parameters.
pub(super) fn bare(uri: &str) -> Option<String> {
    SipUri::parse(uri)?;
    let ours = |name: &str| name.starts_with("pn-") || ["app-id", "pn-type", "pn-tok"].contains(&name);
    Some(without(uri, |name| ours(&name.to_ascii_lowercase())))
}

/// A URI without the parameters with these names.
fn without(uri: &str, gone: impl Fn(&str) -> bool) -> String {
    let (base, params) = uri.split_once(';').unwrap_or((uri, ""));
    texts(params).filter(|(name, _)| !gone(name)).fold(base.to_owned(), |text, (name, value)| match value {
        Some(value) => text + ";" + name + "=" + value,
        None => text + ";" + name,
    })
}

/// The parameters of a URI, byte for byte.
fn texts(params: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let pieces = params.split(';').map(str::trim).filter(|piece| !piece.is_empty());
    pieces.map(|piece| piece.split_once('=').map_or((piece, None), |(name, value)| (name, Some(value))))
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register")
            .field("number", &self.number)
            .field("account", &self.account)
            .field("tags", &self.tags)
            .field("removed", &self.removed.len())
            .field("expires", &self.expires)
            .field("request_uri", &self.request_uri)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}
