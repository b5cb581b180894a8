//! The device tokens that a push provider gives the app.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Provider;
use crate::error::{FieldError, check_text};
use crate::payload::shown_whole;
use crate::redact::Secret;

/// The longest token accepted, in bytes. FCM's are some 160 long, a web push subscription may pass 1,000.
pub const MAX_TOKEN: usize = 4096;

/// What the provider gave for this installation: the token for calls and, on iOS, the one for alerts.
///
/// Clones share one copy: what the app wants and what is bound are the same token most of the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushToken(Arc<Pair>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    call: Option<Secret>,
    alert: Option<Secret>,
}

impl Serialize for PushToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PushToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pair::deserialize(deserializer).map(|pair| Self(Arc::new(pair)))
    }
}

impl PushToken {
    /// Parses the token that calls are pushed to: PushKit's, most often in hexadecimal, FCM's registration token or installation id, a web
    /// push subscription's URL or FCM's token for browsers, or what another provider gave. Any printable text is a token.
    ///
    /// Returns `Ok(None)` for an empty token and for the ways in which platforms spell "none yet" (`null`, `(null)`,
    /// `nil`, `None`, `undefined`, a pair of quotes): such a token never replaces a good one.
    ///
    /// # Errors
    /// A [`FieldError`] for the field `push.token` when the text has not the provider's form.
    ///
    /// ```
    /// use sipwake_core::push::{Provider, PushToken};
    ///
    /// assert!(PushToken::parse(&Provider::Apns, "00fc13adff785122")?.is_some());
    /// assert!(PushToken::parse(&Provider::Apns, "(null)")?.is_none());
    /// assert!(PushToken::parse(&Provider::Apns, "<00fc13ad ff785122>").is_err());
    /// # Ok::<(), sipwake_core::error::FieldError>(())
    /// ```
    pub fn parse(provider: &Provider, token: &str) -> Result<Option<Self>, FieldError> {
        Self::parse_pair(provider, Some(token), None)
    }

    /// Parses PushKit's token and the token for alerts together, as PortSIP and Linphone want them.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), with the field `push.alert_token` for the second.
    pub fn parse_pair(
        provider: &Provider,
        call: Option<&str>,
        alert: Option<&str>,
    ) -> Result<Option<Self>, FieldError> {
        let call = parse_one("push.token", provider, call)?;
        let alert = parse_one("push.alert_token", provider, alert)?;
        Ok((call.is_some() || alert.is_some()).then(|| Self(Arc::new(Pair { call, alert }))))
    }

    /// Returns the token that calls are pushed to.
    pub fn call(&self) -> Option<&str> {
        self.0.call.as_ref().map(Secret::expose)
    }

    /// Returns the token that alerts are pushed to (iOS).
    pub fn alert(&self) -> Option<&str> {
        self.0.alert.as_ref().map(Secret::expose)
    }

    /// Whether this is a Firebase installation id, 17 bytes in base64url without padding. A registration token has a colon.
    pub(crate) fn is_installation_id(&self) -> bool {
        let id = self.single();
        id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }

    /// Returns the token for the dialects that know only one.
    pub(crate) fn single(&self) -> &str {
        self.call().or(self.alert()).unwrap_or_default()
    }
}

/// Checks a token. Its form is the provider's own business: any printable text without spaces is allowed, and each
/// place that writes it escapes it. APNs gives bytes, which apps usually write in hexadecimal.
fn parse_one(field: &'static str, provider: &Provider, token: Option<&str>) -> Result<Option<Secret>, FieldError> {
    let Some(token) = token.filter(|token| !is_none_yet(token)) else { return Ok(None) };
    check_text(field, token, MAX_TOKEN)?;
    if token.chars().any(char::is_whitespace) {
        return Err(FieldError::malformed(field, "a token without white space"));
    }
    // Some hosts of apps hand over a byte order mark alone, or leave one in front.
    if shown_whole(token).as_deref() != Some(token) {
        return Err(FieldError::malformed(field, "a token of printable characters"));
    }
    let fcm = matches!(provider, Provider::Fcm | Provider::FcmOnIos | Provider::WebPush);
    // Apps may write PushKit's bytes with `description`. The brackets are not part of the token.
    if *provider == Provider::Apns && token.contains(['<', '>']) {
        return Err(FieldError::malformed(field, "the token's bytes in hexadecimal, without < and >"));
    }
    if fcm && JUNK.iter().any(|junk| token.eq_ignore_ascii_case(junk)) {
        return Err(FieldError::malformed(
            field,
            "a registration token, which Play services did not give: ask for it again later",
        ));
    }
    // The same bytes in upper and lower case are the same token, and must not look like a new one.
    let bytes = *provider == Provider::Apns && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(Some(Secret::new(if bytes { token.to_ascii_lowercase() } else { token.to_owned() })))
}

/// What Play services of some phones give instead of a token: error codes and parts of their own names.
const JUNK: [&str; 20] = [
    "BLACKLISTED",
    "MESSENGER",
    "AP",
    "SERVICE_NOT_AVAILABLE",
    "INTERNAL_SERVER_ERROR",
    "AUTHENTICATION_FAILED",
    "TOO_MANY_REGISTRATIONS",
    "MISSING_INSTANCEID_SERVICE",
    "INVALID_PARAMETERS",
    "INVALID_SENDER",
    "PHONE_REGISTRATION_ERROR",
    "ACCOUNT_MISSING",
    "TIMEOUT",
    "ERROR",
    "FIS_AUTH_ERROR",
    "INSTANCE_ID_RESET",
    "QUOTA_EXCEEDED",
    "DEVICE_QUOTA_EXCEEDED",
    "MAIN_THREAD",
    "RST",
];

/// How languages spell that there is none.
const NONE_YET: [&str; 9] = ["null", "(null)", "<null>", "nil", "<nil>", "none", "undefined", "\"\"", "''"];

fn is_none_yet(token: &str) -> bool {
    let token = token.trim();
    token.is_empty() || NONE_YET.iter().any(|none| token.eq_ignore_ascii_case(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_means_no_token_yet_is_no_token() {
        for none in ["", "  ", "null", "NULL", "(null)", "nil", "undefined", "None", "<null>", "<nil>", "\"\"", "''"] {
            assert_eq!(PushToken::parse(&Provider::Fcm, none).expect("ignored"), None, "{none:?}");
        }
    }

    #[test]
    fn a_token_of_the_wrong_shape_is_refused_for_its_provider() {
        for (provider, token) in [
            (Provider::Apns, "<00fc13ad>"),
            (Provider::Apns, "00fc 13ad"),
            (Provider::Fcm, "a b"),
            (Provider::Fcm, "line\r\nbreak"),
            (Provider::WebPush, "a\u{202e}b"),
            (Provider::Fcm, "\u{200b}"),
            (Provider::FcmOnIos, "\u{feff}a:1"),
            (Provider::Other("acme".into()), "nul\0"),
        ] {
            let error = PushToken::parse(&provider, token).expect_err(token);
            assert_eq!(error.field, "push.token");
        }
    }

    #[test]
    fn any_printable_text_is_a_token() {
        for (provider, token) in [
            (Provider::Fcm, "cafe:APA91b/+=;,%@\"<>~"),
            (Provider::Fcm, "dH3kQpRsTuVwXyZ012345a"),
            (Provider::WebPush, "cafe:APA91bWebToken"),
            (Provider::Apns, "AAECAwQFBgc/+Q=="),
            (Provider::Apns, "abc"),
            (Provider::WebPush, "https://push.example.net/x"),
            (Provider::Other("acme".into()), "schlüssel\\1"),
        ] {
            let parsed = PushToken::parse(&provider, token).expect("opaque").expect("a token");
            assert_eq!(parsed.call(), Some(token));
        }
    }

    #[test]
    fn a_hexadecimal_token_is_the_same_in_any_case() {
        let parse = |token| PushToken::parse(&Provider::Apns, token).expect("hexadecimal").expect("a token");
        assert_eq!(parse("00FC13ADFF785122"), parse("00fc13adff785122"));
    }

    #[test]
    fn an_error_of_play_services_is_no_token() {
        for junk in ["BLACKLISTED", "MESSENGER", "AP", "SERVICE_NOT_AVAILABLE", "messenger", "FIS_AUTH_ERROR"] {
            assert_eq!(PushToken::parse(&Provider::Fcm, junk).expect_err(junk).field, "push.token");
        }
    }

    #[test]
    fn a_token_never_shows_in_debug() {
        let token = PushToken::parse(&Provider::Fcm, "cafe:APA91bSECRETTOKEN").expect("valid").expect("some");
        assert!(!format!("{token:?}").contains("APA91b"));
    }
}
