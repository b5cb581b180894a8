//! What gates have judged and the client has not seen yet.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use uuid::Uuid;

use super::side::Side;

/// How many calls of one account may be announced by a push at once.
pub(crate) const MAX_ANNOUNCED: usize = 64;

/// A push that a gate judged to belong to this call.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) uuid: Uuid,
    pub(crate) push: Side,
    /// Boot time.
    pub(crate) at: Duration,
}

/// How gates report what they judged. A gate never waits, because it judges a push on the push's own thread.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    to: Sender<Judged>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Notes {
    /// Nobody reads these notes.
    fn default() -> Self {
        Self { to: channel().0, waiting: Arc::default() }
    }
}

impl Notes {
    /// Reports a push. If too many wait for the client, this one is left out. It meets its INVITE when the push itself
    /// reaches the client.
    pub(crate) fn note(&self, judged: Judged) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_ANNOUNCED || self.to.send(judged).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What gates have judged until the client takes those pushes. An INVITE that comes in between is matched as if the
/// pushes were here already. All gates of a client share this.
#[derive(Debug, Default)]
pub(crate) struct Judgements {
    /// Made with the first gate, so that an idle account needs no memory for it.
    shared: OnceCell<(Notes, Receiver<Judged>)>,
    known: Vec<Judged>,
}

impl Judgements {
    /// Returns the end for a gate.
    pub(crate) fn notes(&self) -> Notes {
        let made = || {
            let (to, from) = channel();
            (Notes { to, waiting: Arc::default() }, from)
        };
        self.shared.get_or_init(made).0.clone()
    }

    /// The push of this call has reached the client.
    pub(crate) fn take(&mut self, uuid: Uuid) {
        self.read();
        self.known.retain(|known| known.uuid != uuid);
    }

    pub(crate) fn all(&mut self) -> &[Judged] {
        self.read();
        &self.known
    }

    fn read(&mut self) {
        let Some((notes, from)) = self.shared.get() else { return };
        while let Ok(judged) = from.try_recv() {
            notes.waiting.fetch_sub(1, Ordering::Relaxed);
            self.known.retain(|known| known.uuid != judged.uuid);
            if self.known.len() >= MAX_ANNOUNCED {
                self.known.remove(0);
            }
            self.known.push(judged);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(number: u128) -> Judged {
        Judged { uuid: Uuid::from_u128(number), push: Side::default(), at: Duration::ZERO }
    }

    #[test]
    fn gates_on_many_threads_report_each_push_and_a_flood_takes_no_memory() {
        let mut judgements = Judgements::default();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let notes = judgements.notes();
                scope.spawn(move || (0..8).for_each(|number| notes.note(judged(thread * 8 + number))));
            }
        });
        let mut told: Vec<Uuid> = judgements.all().iter().map(|judged| judged.uuid).collect();
        told.sort_unstable();
        assert_eq!(told, (0..64).map(Uuid::from_u128).collect::<Vec<_>>());

        let notes = judgements.notes();
        (100..100_000).for_each(|number| notes.note(judged(number)));
        assert_eq!(judgements.shared.get().expect("a gate was made").1.try_iter().count(), MAX_ANNOUNCED);
    }

    #[test]
    fn the_client_no_longer_waits_for_a_push_that_it_has_handled() {
        let mut judgements = Judgements::default();
        let notes = judgements.notes();
        for _ in 0..1_000 {
            notes.note(judged(1));
            notes.note(judged(2));
            judgements.take(Uuid::from_u128(1));
            assert_eq!(judgements.all().len(), 1);
        }
        drop(judgements);
        notes.note(judged(3));
    }
}
