//! What tells one call from another, and the UUID that follows from it.
//!
//! A push and the INVITE that it announces must come to the same UUID without having met, so both make a
//! [`CallIdentity`] here and nowhere else.

use std::borrow::Cow;

use uuid::Uuid;

use super::shown;

/// The namespace of all UUIDs made here. Changing it would split the calls of an app that is updated while it rings.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d3a_62b1_6f0e_4f52_9c1d_7a0b_51b7_e4c8);

/// A longer Call-ID or push id than this, in bytes, is not taken for one.
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
    /// Cleans what a push or an INVITE says of a call.
    ///
    /// `account` and `caller` may be a bare number or name, a URI or a name-addr; only the user part counts, because a push
    /// rarely names the domain. An id that is blank, holds control characters or is longer than 512 bytes counts as absent.
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

    /// Returns every UUID that this call may have been given by somebody who knew less of it, the best one first.
    ///
    /// An INVITE knows its Call-ID; a push before it may have known only the caller. They are the same call if one's
    /// [`call_uuid`] is among the other's candidates.
    pub fn candidates(&self) -> impl Iterator<Item = Uuid> {
        let caller = self.caller.as_deref();
        [
            self.call_id.as_deref().map(|id| name_based(&["call-id", id])),
            self.vendor_id.as_deref().map(|id| name_based(&["vendor-id", id])),
            caller.zip(self.account.as_deref()).map(|(caller, account)| name_based(&["caller", account, caller])),
            caller.map(|caller| name_based(&["caller", "", caller])),
        ]
        .into_iter()
        .flatten()
    }
}

/// Returns the UUID (version 5) of a call: by its Call-ID, else the vendor's id, else account and caller.
///
/// All calls of which nothing is known share one UUID.
pub fn call_uuid(identity: &CallIdentity) -> Uuid {
    if let Some(id) = &identity.call_id {
        return name_based(&["call-id", id]);
    }
    if let Some(id) = &identity.vendor_id {
        return name_based(&["vendor-id", id]);
    }
    name_based(&[
        "caller",
        identity.account.as_deref().unwrap_or_default(),
        identity.caller.as_deref().unwrap_or_default(),
    ])
}

/// Returns the UUID of a push that is no call, or one of which nothing is known: by its content.
pub(super) fn push_uuid(content: &[u8]) -> Uuid {
    let mut name = Vec::with_capacity(content.len() + 5);
    name.extend_from_slice(b"push\0");
    name.extend_from_slice(content);
    Uuid::new_v5(&NAMESPACE, &name)
}

/// NUL keeps the parts apart: no part can hold one.
fn name_based(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("\0").as_bytes())
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
/// (RFC 3261 section 25.1, RFC 3966 for `tel:`) The user of a URI, a name-addr or what is there instead.
pub(crate) fn user_part(address: &str) -> Option<String> {
    let inside = match address.rsplit_once('<') {
        Some((_, rest)) => rest.split_once('>').map_or(rest, |(uri, _)| uri),
        None => address,
    };
    let inside = inside.trim();
    let rest = ["sip:", "sips:", "tel:"].iter().find_map(|scheme| {
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

/// Undoes `%HH` (RFC 3261 section 19.1.4: an escaped character equals itself).
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
    fn uuids_stay_what_they_are_across_releases() {
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
    fn ids_that_no_server_would_send_count_as_absent() {
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
