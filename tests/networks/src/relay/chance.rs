//! What happens to each datagram.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::Path;

/// What happens to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    Lost,
    Doubled,
    Late,
}

/// Ten fates, one for each datagram. They are shuffled again when all are used.
///
/// Independent draws would sometimes lose a dozen datagrams in a row, and a test would have to excuse that as bad luck.
pub(super) struct Deck {
    cards: [Fate; 10],
    dealt: usize,
    random: ChaCha8Rng,
}

impl Deck {
    pub(super) fn new(seed: u64, path: &Path) -> Self {
        let fates = std::iter::repeat_n(Fate::Lost, path.lost)
            .chain(std::iter::repeat_n(Fate::Doubled, path.doubled))
            .chain(std::iter::repeat_n(Fate::Late, path.late));
        let mut cards = [Fate::Passes; 10];
        cards.iter_mut().zip(fates).for_each(|(card, fate)| *card = fate);
        Self { cards, dealt: cards.len(), random: ChaCha8Rng::seed_from_u64(seed) }
    }

    pub(super) fn deal(&mut self) -> Fate {
        if self.dealt == self.cards.len() {
            self.dealt = 0;
            for last in (1..self.cards.len()).rev() {
                self.cards.swap(last, self.random.next_u32() as usize % (last + 1));
            }
        }
        self.dealt += 1;
        self.cards[self.dealt - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ten_datagrams_the_chosen_number_is_hit_in_an_order_that_depends_on_the_seed() {
        let path = Path { lost: 3, doubled: 1, late: 2, ..Path::default() };
        let deal = |seed| -> Vec<Fate> {
            let mut deck = Deck::new(seed, &path);
            (0..100).map(|_| deck.deal()).collect()
        };
        for ten in deal(7).chunks(10) {
            let count = |fate| ten.iter().filter(|dealt| **dealt == fate).count();
            assert_eq!([Fate::Lost, Fate::Doubled, Fate::Late].map(count), [3, 1, 2]);
        }
        assert_eq!(deal(7), deal(7));
        assert_ne!(deal(7), deal(8));
    }
}
