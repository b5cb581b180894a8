//! Errors for input that cannot be used.

/// A field that was refused, and the rule it broke. Nothing was sent and nothing was stored.
///
/// The offending value is left out on purpose: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct FieldError {
    /// The field's name as the API spells it, for example `aor` or `push.token`.
    pub field: &'static str,
    /// The rule that it broke.
    pub rule: Rule,
}

/// The rule that a refused field broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// The field is empty, or only white space.
    #[error("must not be empty")]
    Empty,
    /// The field holds CR, LF, NUL or another control character.
    #[error("must not hold control characters")]
    ControlCharacter,
    /// The field holds a Unicode direction override, which can make a caller's name read as another's.
    #[error("must not hold bidirectional control characters")]
    BidirectionalControl,
    /// The field is longer than the limit.
    #[error("must be at most {max} bytes long")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// The field does not follow its grammar.
    #[error("must be {expected}")]
    Malformed {
        /// The form that was expected, with its source.
        expected: &'static str,
    },
    /// The field contradicts another one.
    #[error("{conflict}")]
    Conflict {
        /// What contradicts what.
        conflict: &'static str,
    },
}

impl FieldError {
    pub(crate) fn new(field: &'static str, rule: Rule) -> Self {
        Self { field, rule }
    }

    pub(crate) fn malformed(field: &'static str, expected: &'static str) -> Self {
        Self { field, rule: Rule::Malformed { expected } }
    }
}

/// Refuses what no text field may hold: no text, control characters, direction overrides, or too many bytes.
pub(crate) fn check_text(field: &'static str, value: &str, max: usize) -> Result<(), FieldError> {
    if value.trim().is_empty() {
        return Err(FieldError::new(field, Rule::Empty));
    }
    if value.len() > max {
        return Err(FieldError::new(field, Rule::TooLong { max }));
    }
    if value.chars().any(char::is_control) {
        return Err(FieldError::new(field, Rule::ControlCharacter));
    }
    if value.chars().any(is_bidirectional_control) {
        return Err(FieldError::new(field, Rule::BidirectionalControl));
    }
    Ok(())
}

/// Unicode's `Bidi_Control` property.
pub(crate) fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Why a sealed push was not opened. Nothing of it is believed then.
#[cfg_attr(feature = "replay", derive(serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unopened {
    /// No key of this phone opens it: it is for another one, or it was changed on the way.
    #[error("no key of this phone opens the push")]
    Foreign,
    /// It is not an envelope: cut short, or not in one of the two forms.
    #[error("the sealed push is damaged or incomplete")]
    Torn,
    /// It is longer than a push can be.
    #[error("the sealed push is longer than 2,800 bytes")]
    TooLarge,
    /// The same push was opened before.
    #[error("the same sealed push came a second time")]
    Replayed,
    /// What was sealed is not a JSON object.
    #[error("the decrypted payload is not a JSON object")]
    Unreadable,
    /// The keys cannot be read now: the device was not unlocked yet, or the store fails.
    #[error("the keys for sealed pushes cannot be read now")]
    KeysUnreadable,
}
