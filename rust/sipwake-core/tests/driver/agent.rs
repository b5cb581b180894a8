//! The client that all stories run on. Each story is recorded. With `SIPWAKE_REPLAY_STORIES=1`, as in `scripts/test`,
//! it is replayed when the client is dropped, and the result must be the same.

#[cfg(not(feature = "replay"))]
pub(crate) use sipwake_core::user_agent::UserAgent as Agent;

#[cfg(feature = "replay")]
pub(crate) use recorded::Agent;

#[cfg(feature = "replay")]
mod recorded {
    use std::net::SocketAddr;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use sipwake_core::account::{Account, AccountKey};
    use sipwake_core::call::HangUp;
    use sipwake_core::clock::Now;
    use sipwake_core::event::{Answer, FlowError, FlowId, Output};
    use sipwake_core::payload::PushAction;
    use sipwake_core::push::{Push, PushToken};
    use sipwake_core::replay::{RecordedAgent, Recording};
    use sipwake_core::snapshot::SaveId;
    use sipwake_core::user_agent::{Decline, NoSuchAccount, Unreadable};
    use uuid::Uuid;

    /// Longer stories are replayed up to this length.
    const MOST: usize = 64 * 1024;
    /// Some tests play every order of events. The first ones are enough.
    const MOST_STORIES: usize = 1_000;

    static STORIES: AtomicUsize = AtomicUsize::new(0);

    pub(crate) struct Agent(RecordedAgent);

    impl Agent {
        pub(crate) fn new(seed: [u8; 32], removals: Option<&[u8]>, now: Now) -> Self {
            Self(RecordedAgent::new(seed, removals, Some(MOST), now))
        }
    }

    /// Separate functions, so that a story can use its phone in their arguments, as with the client itself.
    macro_rules! passed_on {
        ($($name:ident($($arg:ident: $type:ty),*) $(-> $returns:ty)?;)+) => {
            #[allow(dead_code, reason = "each binary of tests uses its part")]
            impl Agent {
                $(pub(crate) fn $name(&mut self $(, $arg: $type)*) $(-> $returns)? {
                    self.0.$name($($arg),*)
                })+
            }
        };
    }

    passed_on! {
        add_account(account: Account, push: Option<Push>, stored: Option<&[u8]>, now: Now)
            -> Result<AccountKey, sipwake_core::error::FieldError>;
        register(key: &AccountKey, now: Now) -> Result<(), NoSuchAccount>;
        set_token(key: &AccountKey, token: PushToken, now: Now) -> Result<(), NoSuchAccount>;
        unbind_push(key: &AccountKey, now: Now) -> Result<(), NoSuchAccount>;
        log_out(key: &AccountKey, now: Now) -> Result<(), NoSuchAccount>;
        query_push(key: &AccountKey, provider: Option<String>, now: Now) -> Result<(), NoSuchAccount>;
        set_do_not_disturb(key: &AccountKey, until: Option<Duration>, now: Now) -> Result<(), NoSuchAccount>;
        ringing(call: Uuid, now: Now) -> bool;
        answer(call: Uuid, now: Now) -> bool;
        accept(call: Uuid, answer: Answer, now: Now) -> bool;
        decline(call: Uuid, how: Decline, now: Now) -> bool;
        hang_up(call: Uuid, why: HangUp, now: Now) -> bool;
        respond_offer(call: Uuid, answer: Option<Answer>, now: Now) -> bool;
        respond_request(call: Uuid, request: u64, status: u16, now: Now) -> bool;
        handle_push(action: &PushAction, now: Now);
        network_changed(now: Now);
        handle_flow_left(flow: FlowId, left: FlowId, now: Now);
        handle_flow_up(flow: FlowId, local: SocketAddr, now: Now);
        handle_flow_down(flow: FlowId, error: FlowError, now: Now);
        handle_input(flow: FlowId, bytes: &[u8], now: Now);
        handle_stranger(flow: FlowId, source: SocketAddr, bytes: &[u8], now: Now);
        handle_timeout(now: Now);
        handle_saved(id: SaveId, result: Result<(), String>, now: Now);
        handle_store_failure(key: &str, reason: String, now: Now);
        handle_loaded(key: &str, loaded: Result<Option<&[u8]>, Unreadable>, now: Now);
        store_available(now: Now);
        poll_output() -> Option<Output>;
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
            let wanted = std::env::var_os("SIPWAKE_REPLAY_STORIES").is_some() && !std::thread::panicking();
            if !wanted || STORIES.fetch_add(1, Ordering::Relaxed) >= MOST_STORIES {
                return;
            }
            let file = self.0.recording().expect("it is recorded");
            let recording = Recording::read(file.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{file}"));
            let played = recording.play();
            assert!(played.difference.is_none(), "{}\n{file}", played.difference.expect("there is one"));
        }
    }
}
