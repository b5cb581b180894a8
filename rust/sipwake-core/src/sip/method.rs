//! Request methods.

use std::fmt;
use std::str::FromStr;

use super::escape::is_token;

/// A request method. Methods are compared with regard to case (RFC 3261 section 7.1): `Invite` is not `INVITE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// RFC 3261 section 10.
    Register,
    /// RFC 3261 section 13.
    Invite,
    /// RFC 3261 section 13.
    Ack,
    /// RFC 3261 section 9.
    Cancel,
    /// RFC 3261 section 15.
    Bye,
    /// RFC 3261 section 11.
    Options,
    /// RFC 3428.
    Message,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3515.
    Refer,
    /// RFC 3903.
    Publish,
    /// Any other token.
    Other(String),
}

/// A text that is not a `token`, and so not a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a method")]
pub struct NotAMethod;

impl Method {
    /// Returns the method as it is written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Register => "REGISTER",
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Bye => "BYE",
            Self::Options => "OPTIONS",
            Self::Message => "MESSAGE",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Refer => "REFER",
            Self::Publish => "PUBLISH",
            Self::Other(token) => token,
        }
    }
}

impl From<rsip::Method> for Method {
    fn from(method: rsip::Method) -> Self {
        match method {
            rsip::Method::Register => Self::Register,
            rsip::Method::Invite => Self::Invite,
            rsip::Method::Ack => Self::Ack,
            rsip::Method::Cancel => Self::Cancel,
            rsip::Method::Bye => Self::Bye,
            rsip::Method::Options => Self::Options,
            rsip::Method::Message => Self::Message,
            rsip::Method::PRack => Self::Prack,
            rsip::Method::Update => Self::Update,
            rsip::Method::Info => Self::Info,
            rsip::Method::Subscribe => Self::Subscribe,
            rsip::Method::Notify => Self::Notify,
            rsip::Method::Refer => Self::Refer,
            rsip::Method::Publish => Self::Publish,
        }
    }
}

impl FromStr for Method {
    type Err = NotAMethod;

    fn from_str(text: &str) -> Result<Self, NotAMethod> {
        // rsip ignores case and white space here. RFC 3261 does not.
        match rsip::Method::from_str(text).map(Self::from) {
            Ok(known) if known.as_str() == text => Ok(known),
            _ if is_token(text) => Ok(Self::Other(text.to_owned())),
            _ => Err(NotAMethod),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The methods that are supported.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, MESSAGE";
/// The methods in a call whose app itself responds to INFO and REFER.
pub(crate) const ALLOW_IN_CALL: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, MESSAGE, INFO, REFER";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_is_read_and_written_the_same() {
        for method in rsip::Method::all() {
            let ours = Method::from(method);
            assert_eq!(ours.as_str().parse(), Ok(ours));
        }
    }

    #[test]
    fn another_case_is_another_method_and_white_space_is_refused() {
        assert_eq!("invite".parse(), Ok(Method::Other("invite".into())));
        assert_eq!("NEWMETHOD".parse(), Ok(Method::Other("NEWMETHOD".into())));
        assert_eq!(" INVITE".parse::<Method>(), Err(NotAMethod));
        assert_eq!("".parse::<Method>(), Err(NotAMethod));
    }
}
