//! Secrets that cannot be printed, and the one way to hint at them.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text: no `Display`, a `Debug` that shows only its length, wiped when dropped. Serialized it is in the clear: for stores.
#[derive(Clone, PartialEq, Eq, Default, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text that must never be shown.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() == text.capacity() {
            return Self(text.into_boxed_str());
        }
        // Freeing the spare room may move the text. The old place would then not be wiped.
        let exact = text.as_str().into();
        text.zeroize();
        Self(exact)
    }

    /// Returns the text itself. The caller of this is responsible for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `true` for the empty secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Shows a secret as its length and last four characters, for logs and traces: `…k3Yz (163)`.
///
/// What is shorter than 16 characters shows its length alone: four of them would give too much away.
pub fn hint(secret: &str) -> String {
    let count = secret.chars().count();
    if count < 16 {
        return format!("… ({count})");
    }
    let tail = secret.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    format!("…{} ({count})", &secret[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_character_of_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(7 bytes)");
    }

    #[test]
    fn a_hint_keeps_the_length_and_the_last_four_characters() {
        assert_eq!(hint("0123456789abcdefghij"), "…ghij (20)");
        assert_eq!(hint("short"), "… (5)");
    }
}
