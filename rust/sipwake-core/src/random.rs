//! Randomness from the seed that is handed in: the core has no source of its own.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of unguessable values, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Random(ChaCha12Rng);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// Returns a token of 16 characters from an alphabet of 32: 80 bits, more than RFC 3261 19.3 asks of a tag.
    pub(crate) fn token(&mut self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        let mut token = String::with_capacity(bytes.len());
        token.extend(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])));
        token
    }

    /// Returns a number below `bound`, or 0 for a bound of 0. The bias of the remainder is far below what jitter cares about.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.next_u64() % bound }
    }

    /// Returns a duration of at most `upper`, in whole milliseconds.
    pub(crate) fn up_to(&mut self, upper: Duration) -> Duration {
        let millis = u64::try_from(upper.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.below(millis.saturating_add(1)))
    }
}
