//! Randomness from the given seed. The core has no random source of its own.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
#[cfg(feature = "replay")]
pub(crate) use taped::{Draw, Draws};

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The length of a token, in characters.
const TOKEN: usize = 16;

/// A stream of unguessable values, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Random {
    seed: [u8; 32],
    /// How far the stream has been read, in words of four bytes, while its generator is not in memory.
    read: u128,
    stream: Option<Box<ChaCha12Rng>>,
    #[cfg(feature = "replay")]
    draws: Option<Box<Draws>>,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            read: 0,
            stream: None,
            #[cfg(feature = "replay")]
            draws: None,
        }
    }

    /// Returns a key that is made from the seed and does not reveal it. It takes nothing from the stream.
    pub(crate) fn key_for(&self, purpose: &str) -> [u8; 16] {
        use sha2::{Digest, Sha256};
        let digest = Sha256::new().chain_update(self.seed).chain_update(purpose).finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        key
    }

    /// Frees the values that were computed ahead, which are most of the memory of an idle client. The stream continues
    /// where it was.
    pub(crate) fn rest(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.read = stream.get_word_pos();
        }
    }

    fn stream(&mut self) -> &mut ChaCha12Rng {
        self.stream.get_or_insert_with(|| {
            let mut stream = ChaCha12Rng::from_seed(self.seed);
            stream.set_word_pos(self.read);
            Box::new(stream)
        })
    }

    /// Returns a token of 16 characters from an alphabet of 32. It has 80 bits, more than RFC 3261 19.3 asks of a tag.
    pub(crate) fn token(&mut self) -> String {
        let mut bytes = [0; TOKEN];
        self.stream().fill_bytes(&mut bytes);
        let mut token = String::with_capacity(bytes.len());
        for byte in bytes {
            token.push(char::from(ALPHABET[usize::from(byte % 32)]));
        }
        #[cfg(feature = "replay")]
        if let Some(draws) = &mut self.draws {
            return draws.token(token);
        }
        token
    }

    /// Returns a number below `bound`, or 0 for a bound of 0. The remainder has a bias, which is far too small to
    /// matter for jitter.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let number = if bound == 0 { 0 } else { self.stream().next_u64() % bound };
        #[cfg(feature = "replay")]
        if let Some(draws) = &mut self.draws {
            return draws.number(number, bound);
        }
        number
    }

    /// Returns a duration of at most `upper`, in whole milliseconds.
    pub(crate) fn up_to(&mut self, upper: Duration) -> Duration {
        let millis = u64::try_from(upper.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.below(millis.saturating_add(1)))
    }
}

/// The values that are drawn while a session is recorded or replayed. The recording has them, because it must not have
/// the seed.
#[cfg(feature = "replay")]
mod taped {
    use std::collections::VecDeque;

    use serde::{Deserialize, Serialize};

    use super::{ALPHABET, Random, TOKEN};

    /// A value that was drawn.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(untagged)]
    pub(crate) enum Draw {
        Number(u64),
        Token(String),
    }

    impl Draw {
        /// Whether this value can have been drawn.
        pub(crate) fn is_sound(&self) -> bool {
            match self {
                Self::Number(_) => true,
                Self::Token(token) => token.len() == TOKEN && token.bytes().all(|byte| ALPHABET.contains(&byte)),
            }
        }
    }

    #[derive(Debug)]
    pub(crate) enum Draws {
        /// Values that were drawn.
        Kept(Vec<Draw>),
        /// Values to draw.
        Followed { next: VecDeque<Draw>, missed: bool },
    }

    impl Draws {
        pub(crate) fn followed(draws: &[Draw]) -> Self {
            Self::Followed { next: draws.iter().cloned().collect(), missed: false }
        }

        pub(super) fn token(&mut self, own: String) -> String {
            match self.draw(Draw::Token(own.clone())) {
                Some(Draw::Token(token)) => token,
                _ => self.miss(own),
            }
        }

        pub(super) fn number(&mut self, own: u64, bound: u64) -> u64 {
            match self.draw(Draw::Number(own)) {
                Some(Draw::Number(number)) if number < bound || number == own => number,
                _ => self.miss(own),
            }
        }

        fn draw(&mut self, own: Draw) -> Option<Draw> {
            match self {
                Self::Kept(kept) => {
                    kept.push(own.clone());
                    Some(own)
                }
                Self::Followed { next, .. } => next.pop_front(),
            }
        }

        fn miss<T>(&mut self, own: T) -> T {
            if let Self::Followed { missed, .. } = self {
                *missed = true;
            }
            own
        }
    }

    impl Random {
        pub(crate) fn tape(&mut self, draws: Draws) {
            self.draws = Some(Box::new(draws));
        }

        /// Returns the values that were drawn since the last call.
        pub(crate) fn drawn(&mut self) -> Vec<Draw> {
            match self.draws.as_deref_mut() {
                Some(Draws::Kept(kept)) => std::mem::take(kept),
                _ => Vec::new(),
            }
        }

        /// Sets the values to draw next.
        pub(crate) fn follow(&mut self, draws: &[Draw]) {
            if let Some(Draws::Followed { next, .. }) = self.draws.as_deref_mut() {
                next.extend(draws.iter().cloned());
            }
        }

        /// Whether exactly the given values were drawn.
        pub(crate) fn followed(&self) -> Result<(), &'static str> {
            match self.draws.as_deref() {
                Some(Draws::Followed { missed: true, .. }) => Err("more of them, or of another kind"),
                Some(Draws::Followed { next, .. }) if !next.is_empty() => Err("fewer of them"),
                _ => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_stream_goes_on_where_it_was_after_a_rest() {
        let (mut rests, mut runs) = (Random::new([7; 32]), Random::new([7; 32]));
        for number in 0..200 {
            assert_eq!((rests.token(), rests.below(1000)), (runs.token(), runs.below(1000)));
            if number % 3 == 0 {
                rests.rest();
                rests.rest();
            }
        }
        rests.rest();
        assert!(rests.stream.is_none());
    }
}
