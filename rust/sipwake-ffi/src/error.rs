//! The errors that apps get: a kind that stays the same, and a reason to read.

use sipwake::core::beside;
use sipwake::{Error, FieldError};

/// Why a call failed. The variant is stable, so apps can branch on it. `reason` is for developers and logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
#[non_exhaustive]
pub enum SipWakeError {
    /// A field was refused. Nothing was sent and nothing was stored.
    #[error("{field}: {reason}")]
    InvalidField {
        /// The field's name, for example `aor` or `push.token`.
        field: String,
        /// The rule that the value broke. The value itself is never here, because it may be a secret.
        reason: String,
    },
    /// The account was never added, or is logged out.
    #[error("{reason}")]
    NoSuchAccount {
        /// In words.
        reason: String,
    },
    /// The account has no push settings.
    #[error("{reason}")]
    NoPush {
        /// In words.
        reason: String,
    },
    /// No call with that id is announced or ringing.
    #[error("{reason}")]
    NoSuchCall {
        /// In words.
        reason: String,
    },
    /// No REGISTER of that number was written, the tags of none were taken, or nothing is left to be sent.
    #[error("{reason}")]
    NoSuchRegister {
        /// In words.
        reason: String,
    },
    /// The store cannot be read or written now, and this is of use only when it is stored.
    #[error("{reason}")]
    Store {
        /// In words.
        reason: String,
    },
    /// The client has been shut down.
    #[error("{reason}")]
    ShutDown {
        /// In words.
        reason: String,
    },
    /// The system refused something that the client needs, such as a thread. Or the app made this call from inside a
    /// callback.
    #[error("{reason}")]
    Unavailable {
        /// In words.
        reason: String,
    },
}

impl SipWakeError {
    pub(crate) fn shut_down() -> Self {
        Error::ShutDown.into()
    }
}

impl From<Error> for SipWakeError {
    fn from(error: Error) -> Self {
        let reason = error.to_string();
        match error {
            Error::Field(error) => error.into(),
            Error::NoSuchAccount(_) => Self::NoSuchAccount { reason },
            Error::NoPush => Self::NoPush { reason },
            Error::NoSuchCall => Self::NoSuchCall { reason },
            Error::Store(_) => Self::Store { reason },
            #[cfg(feature = "sealed")]
            Error::Key(error) => Self::InvalidField { field: "key".to_owned(), reason: error.to_string() },
            Error::ShutDown => Self::ShutDown { reason },
            _ => Self::Unavailable { reason },
        }
    }
}

impl From<beside::Error> for SipWakeError {
    fn from(error: beside::Error) -> Self {
        let reason = error.to_string();
        let refused = |field: &str| Self::InvalidField { field: field.to_owned(), reason: reason.clone() };
        match error {
            beside::Error::Field(error) => error.into(),
            beside::Error::NoSuchAccount => Self::NoSuchAccount { reason },
            beside::Error::NoPush => Self::NoPush { reason },
            beside::Error::NothingToSend | beside::Error::NothingAsked | beside::Error::NoSuchRegister(_) => {
                Self::NoSuchRegister { reason }
            }
            beside::Error::Status(_) => refused("status"),
            beside::Error::Header(_)
            | beside::Error::Unreadable(_)
            | beside::Error::Lacks(_)
            | beside::Error::Method(_)
            | beside::Error::InDialog => refused("headers"),
            beside::Error::Contact => refused("contact"),
            beside::Error::NoSuchCall | beside::Error::NotInvited | beside::Error::Answered | beside::Error::Over => {
                Self::NoSuchCall { reason }
            }
            _ => Self::Unavailable { reason },
        }
    }
}

impl From<FieldError> for SipWakeError {
    fn from(error: FieldError) -> Self {
        Self::InvalidField { field: error.field.to_owned(), reason: error.rule.to_string() }
    }
}

/// An error that the app's store or listener throws. It becomes an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum CallbackError {
    /// The app's code failed.
    #[error("{reason}")]
    Failed {
        /// In words. The event shows them.
        reason: String,
    },
    /// The store is shut for now, for example because the user has not unlocked the device since it started. It is not
    /// empty. The client reads later what it could not read, and does not overwrite it.
    #[error("{reason}")]
    Shut {
        /// In words.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for CallbackError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        // Kotlin passes the whole stack trace.
        Self::Failed { reason: error.reason.lines().next().unwrap_or_default().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_field_keeps_its_name_and_loses_its_value() {
        let config = sipwake::AccountConfig::new("alice@example.com", "se\ncret");
        let error = sipwake::core::account::Account::parse(config).expect_err("refused");
        let error = SipWakeError::from(error);
        assert_eq!(error.to_string(), "credentials.password: must not hold control characters");
    }

    #[test]
    fn the_first_line_of_an_unexpected_exception_is_kept() {
        let error = uniffi::UnexpectedUniFFICallbackError { reason: "java.io.IOException: full\n\tat x".to_owned() };
        assert_eq!(CallbackError::from(error).to_string(), "java.io.IOException: full");
    }
}
