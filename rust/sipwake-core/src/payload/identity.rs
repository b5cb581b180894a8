//! What tells one call from another, and the UUID that is made from it.
//!
//! A push and the INVITE that it announces must lead to the same UUID, although they do not know of each other. So both
//! make a [`CallIdentity`] here and nowhere else.

use std::borrow::Cow;

use sha1::{Digest, Sha1};
use uuid::Uuid;

use super::shown;

/// The namespace of all UUIDs. A new one would split a call in two if the app is updated while it rings.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d3a_62b1_6f0e_4f52_9c1d_7a0b_51b7_e4c8);

/// The longest Call-ID or push id, in bytes. A longer one is ignored.
const MAX_ID: usize = 512;

/// What is known of a call, by a push or by an INVITE.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct CallIdentity {
    /// The SIP Call-ID.
    pub call_id: Option<String>,
    /// The id that a vendor puts in its push and again in the INVITE (PortSIP's `X-Push-ID`).
    pub vendor_id: Option<String>,
    /// The user part of the account that is called.
    pub account: Option<String>,
    /// The user part of the caller.
    pub caller: Option<String>,
}

impl CallIdentity {
    /// Cleans what a push or an INVITE says about a call.
    ///
    /// `account` and `caller` may be a plain number or name, a URI or a name-addr. Only the user part counts, because a
    /// push rarely names the domain. An id counts as absent if it is blank, holds control characters or is longer than
    /// 512 bytes.
    ///
    /// ```
    /// use sipwake_core::payload::identity::{CallIdentity, call_uuid};
    ///
    /// let push = CallIdentity::new(None, None, Some("9876"), Some("1234"));
    /// let invite = CallIdentity::new(None, None, Some("sip:9876@example.com"), Some("\"John\" <sip:1234@example.com>"));
    /// assert_eq!(call_uuid(&push), call_uuid(&invite));
    /// ```
    pub fn new(call_id: Option<&str>, vendor_id: Option<&str>, account: Option<&str>, caller: Option<&str>) -> Self {
        Self {
            call_id: call_id.and_then(id),
            vendor_id: vendor_id.and_then(id),
            account: account.and_then(user_part),
            caller: caller.and_then(user_part),
        }
    }

    /// Returns `true` if nothing here tells this call from another one.
    pub fn is_empty(&self) -> bool {
        self.call_id.is_none() && self.vendor_id.is_none() && self.caller.is_none()
    }

    /// Returns every UUID that somebody may have given this call who knew less about it, the best one first.
    ///
    /// An INVITE knows its Call-ID. A push before it may have known only the caller. They are the same call if the
    /// [`call_uuid`] of one is among the candidates of the other.
    pub fn candidates(&self) -> impl Iterator<Item = Uuid> {
        let caller = self.caller.as_deref();
        [
            self.call_id.as_deref().map(|id| name_based(["call-id", id])),
            self.vendor_id.as_deref().map(|id| name_based(["vendor-id", id])),
            caller.zip(self.account.as_deref()).map(|(caller, account)| name_based(["caller", account, caller])),
            caller.map(|caller| name_based(["caller", "", caller])),
        ]
        .into_iter()
        .flatten()
    }
}

/// Returns the UUID (version 5) of a call: by its Call-ID, else the vendor's id, else account and caller.
///
/// All calls without any known detail share one UUID.
pub fn call_uuid(identity: &CallIdentity) -> Uuid {
    if let Some(id) = &identity.call_id {
        return name_based(["call-id", id]);
    }
    if let Some(id) = &identity.vendor_id {
        return name_based(["vendor-id", id]);
    }
    name_based([
        "caller",
        identity.account.as_deref().unwrap_or_default(),
        identity.caller.as_deref().unwrap_or_default(),
    ])
}

/// Returns the UUID of a push that is not a call, or whose call has no known detail. It is made from the content.
pub(super) fn push_uuid(content: &[u8]) -> Uuid {
    version_5(NAMESPACE, [b"push", content])
}

/// NUL separates the parts, because no part can contain it.
fn name_based<const N: usize>(parts: [&str; N]) -> Uuid {
    version_5(NAMESPACE, parts.map(str::as_bytes))
}

/// A name-based UUID (RFC 9562 section 5.5) of parts with a NUL between them. It is made for every push. Most
/// processors have instructions for SHA-1, which the crate `uuid` does not use.
pub(crate) fn version_5<const N: usize>(namespace: Uuid, parts: [&[u8]; N]) -> Uuid {
    let mut hash = Sha1::new_with_prefix(namespace.as_bytes());
    for (place, part) in parts.into_iter().enumerate() {
        if place > 0 {
            hash.update([0]);
        }
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

fn id(text: &str) -> Option<String> {
    let text = text.trim();
    let sound = !text.is_empty() && text.len() <= MAX_ID && !text.chars().any(char::is_control);
    sound.then(|| text.to_owned())
}

/// ```text
/// name-addr =  [ display-name ] LAQUOT addr-spec RAQUOT
/// SIP-URI   =  "sip:" [ userinfo ] hostport uri-parameters [ headers ]
/// userinfo  =  ( user / telephone-subscriber ) [ ":" password ] "@"
/// ```
/// (RFC 3261 section 25.1, RFC 3966 for `tel:`) Returns the user of a URI or name-addr, or of the text that is there
/// instead.
pub(crate) fn user_part(address: &str) -> Option<String> {
    let inside = match address.rsplit_once('<') {
        Some((_, rest)) => rest.split_once('>').map_or(rest, |(uri, _)| uri),
        None => address,
    };
    let inside = inside.trim();
    let rest = SCHEMES.iter().find_map(|scheme| {
        let head = inside.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &inside[scheme.len()..])
    });
    let user = match rest.unwrap_or(inside).rsplit_once('@') {
        Some((userinfo, _)) => userinfo.split_once(':').map_or(userinfo, |(user, _)| user),
        None => rest.unwrap_or(inside),
    };
    let user = user.split_once(';').map_or(user, |(user, _)| user);
    shown::line(&decoded(user), MAX_ID)
}

/// Returns name and URI of a name-addr (RFC 3261 section 25.1). `None` if the text is none.
pub(super) fn name_addr(text: &str) -> Option<(Option<Cow<'_, str>>, &str)> {
    let (name, rest) = text.rsplit_once('<')?;
    let (uri, _) = rest.split_once('>')?;
    let has_scheme = |scheme: &&str| uri.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    let name = unquoted(name.trim());
    SCHEMES.iter().any(has_scheme).then_some(((!name.is_empty()).then_some(name), uri))
}

/// Finds out address and name of a caller. Either field may hold both, as a SIP header does.
pub(super) fn address_and_name<'a>(
    caller: Option<&'a str>,
    display_name: Option<&'a str>,
) -> (Option<&'a str>, Option<Cow<'a, str>>) {
    let (name, address) = match caller.map(|text| name_addr(text).ok_or(text)) {
        Some(Ok((name, uri))) => (name, Some(uri)),
        Some(Err(text)) => (None, Some(text)),
        None => (None, None),
    };
    match display_name.map(|text| name_addr(text).ok_or(text)) {
        Some(Ok((better, uri))) => (address.or(Some(uri)), better.or(name)),
        Some(Err(text)) => (address, Some(unquoted(text))),
        None => (address, name),
    }
}

/// Returns the text of a quoted-string (RFC 3261 section 25.1), or the text itself.
fn unquoted(text: &str) -> Cow<'_, str> {
    let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.into() };
    if !inside.contains('\\') {
        return inside.into();
    }
    let mut escaped = false;
    let kept = inside.chars().filter(|&c| {
        escaped = c == '\\' && !escaped;
        !escaped
    });
    kept.collect()
}

const SCHEMES: [&str; 3] = ["sip:", "sips:", "tel:"];

/// Decodes `%HH` (RFC 3261 section 19.1.4: an escaped character is equal to the plain one).
fn decoded(user: &str) -> Cow<'_, str> {
    if !user.contains('%') {
        return Cow::Borrowed(user);
    }
    let mut bytes = Vec::with_capacity(user.len());
    let mut rest = user.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        if let (b'%', [high, low, beyond @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = beyond;
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(user), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_based_uuid_is_the_one_in_the_rfc() {
        // RFC 9562, appendix A.4: the name `www.example.com` of the DNS.
        let dns = Uuid::from_u128(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8);
        assert_eq!(version_5(dns, [b"www.example.com"]).to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }

    #[test]
    fn the_call_id_comes_first_then_the_vendor_id_then_account_and_caller() {
        let all = CallIdentity::new(Some("abc@host"), Some("77"), Some("9876"), Some("1234"));
        let no_call_id = CallIdentity { call_id: None, ..all.clone() };
        let people = CallIdentity { vendor_id: None, ..no_call_id.clone() };
        assert_eq!(call_uuid(&all), call_uuid(&CallIdentity::new(Some(" abc@host "), None, None, None)));
        assert_eq!(call_uuid(&no_call_id), call_uuid(&CallIdentity::new(None, Some("77"), None, Some("5"))));
        assert_eq!(all.candidates().take(3).collect::<Vec<_>>(), [&all, &no_call_id, &people].map(call_uuid));
        let caller_only = CallIdentity { account: None, ..people };
        assert_eq!(all.candidates().nth(3), Some(call_uuid(&caller_only)));
    }

    #[test]
    fn uuids_stay_the_same_across_releases() {
        let abc = CallIdentity::new(Some("abcdef"), None, None, None);
        assert_eq!(call_uuid(&abc).to_string(), "d6ddfc5b-bf4c-5af7-a8b8-257ee6ae29b4");
        assert_eq!(call_uuid(&abc).get_version_num(), 5);
    }

    #[test]
    fn every_spelling_of_an_address_has_the_same_user_part() {
        for address in [
            "1234",
            " 1234 ",
            "sip:1234@example.com",
            "SIPS:1234@example.com;transport=tls",
            "1234@example.com",
            "sip:1234:secret@example.com",
            "sip:1234;phone-context=x@example.com",
            "tel:1234;phone-context=+1",
            "\"John <3\" <sip:1234@example.com>;tag=x",
            "sip:%31234@example.com",
        ] {
            assert_eq!(user_part(address).as_deref(), Some("1234"), "{address}");
        }
        assert_eq!(user_part("sip:@example.com"), None);
        assert_eq!(user_part("100%"), Some("100%".to_owned()));
        assert_eq!(user_part("%ff%zz"), Some("%ff%zz".to_owned()));
    }

    #[test]
    fn ids_that_no_server_would_send_are_ignored() {
        assert_eq!(CallIdentity::new(Some("a\r\nb"), Some("  "), None, None), CallIdentity::default());
        assert_eq!(CallIdentity::new(Some(&"x".repeat(513)), None, None, None).call_id, None);
    }

    #[test]
    fn account_and_caller_cannot_be_shifted_into_each_other() {
        let one = CallIdentity::new(None, None, Some("12"), Some("3"));
        let other = CallIdentity::new(None, None, Some("1"), Some("23"));
        assert_ne!(call_uuid(&one), call_uuid(&other));
    }
}
