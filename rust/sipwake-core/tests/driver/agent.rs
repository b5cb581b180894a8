//! The client that all stories run on. Each story is recorded and, when its client goes, played once more: the same must come out.

use sipwake_core::clock::Now;

#[cfg(not(feature = "replay"))]
pub(crate) use sipwake_core::user_agent::UserAgent as Agent;

#[cfg(feature = "replay")]
pub(crate) use recorded::Agent;

#[cfg(feature = "replay")]
mod recorded {
    use std::ops::{Deref, DerefMut};

    use sipwake_core::replay::{RecordedAgent, Recording};

    use super::Now;

    /// Longer stories are played up to here.
    const MOST: usize = 64 * 1024;

    pub(crate) struct Agent(RecordedAgent);

    impl Agent {
        pub(crate) fn new(seed: [u8; 32], removals: Option<&[u8]>, now: Now) -> Self {
            Self(RecordedAgent::new(seed, removals, Some(MOST), now))
        }
    }

    impl Deref for Agent {
        type Target = RecordedAgent;

        fn deref(&self) -> &RecordedAgent {
            &self.0
        }
    }

    impl DerefMut for Agent {
        fn deref_mut(&mut self) -> &mut RecordedAgent {
            &mut self.0
        }
    }

    impl Drop for Agent {
        fn drop(&mut self) {
            if std::thread::panicking() {
                return;
            }
            let file = self.0.recording().expect("it is recorded");
            let recording = Recording::read(file.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{file}"));
            let played = recording.play();
            assert!(played.difference.is_none(), "{}\n{file}", played.difference.expect("there is one"));
        }
    }
}
