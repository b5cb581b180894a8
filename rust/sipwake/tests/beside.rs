//! The companion over a store: after a kill at each write, the next process knows what was sent and which commands were
//! given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sipwake::core::beside::{Heard, Next, Output};
use sipwake::{
    AccountConfig, AccountKey, Channel, Companion, Event, Hints, Kept, MemoryStore, Provider, PushConfig, StateStore,
    StoreError,
};

const STACK: &str = "sip:alice@192.0.2.7:5060;ob";
const CALL: &str = r#"{"ntype":"0","nfrom":"1234","ncallid":"call-1","ntouser":"alice"}"#;

/// A store whose process is killed after this many writes. Later writes are lost.
struct Mortal {
    records: MemoryStore,
    left: AtomicUsize,
}

impl Mortal {
    fn new(writes: usize) -> Arc<Self> {
        Arc::new(Self { records: MemoryStore::default(), left: AtomicUsize::new(writes) })
    }

    fn lives(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn is_killed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn revive(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }
}

impl StateStore for Mortal {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.records.load(key)
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.lives() { self.records.save(key, bytes) } else { Ok(()) }
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        if self.lives() { self.records.remove(key) } else { Ok(()) }
    }
}

fn log_in(companion: &mut Companion) -> AccountKey {
    let push = PushConfig::new(Provider::Fcm, "my-project");
    let account = AccountConfig::new("sip:alice@example.com", "secret");
    let alice = companion.add_account(account, Some(push)).expect("a sound account");
    companion.with(|core, now| core.stands_at(&alice, STACK, now)).expect("a URI");
    companion.set_token(&alice, "c-10:APA91b").expect("a token");
    alice
}

/// How far a life came before it was killed.
#[derive(Debug, Default)]
struct Reached {
    sent: bool,
    logged_out: bool,
    answered: bool,
    delivered: bool,
}

fn live(store: &Arc<Mortal>) -> Reached {
    let mut reached = Reached::default();
    let mut companion = Companion::start(store.clone());
    let alice = log_in(&mut companion);
    let register = companion.register_tags(&alice).expect("something to send");
    // A dead process sends nothing.
    reached.sent = !store.is_killed();
    let listed = format!("<{}>;expires=600", register.contact.expect("told").expose());
    let ok = [("Contact", listed.as_str())];
    companion.with(|core, now| core.heard(&alice, &Heard::new(200, &ok), now)).expect("asked");
    companion.push(CALL, Channel::FcmAndroid, &Hints::at(sipwake::now()));
    let kept = companion.log_out(&alice).expect("known");
    reached.logged_out = kept == Kept::Durable && !store.is_killed();
    companion.register_tags(&alice).expect("a removal");
    reached.answered = !store.is_killed();
    let answer = companion.with(|core, now| core.heard(&alice, &Heard::new(200, &[]), now)).expect("asked");
    assert!(matches!(answer.next, Next::LoggedOut(_)), "{answer:?}");
    reached.delivered = !store.is_killed();
    reached
}

#[test]
fn a_kill_at_any_write_loses_no_log_out_and_no_binding() {
    let mut kills = 0;
    for writes in 1..200 {
        let store = Mortal::new(writes);
        let reached = live(&store);
        store.revive();
        if reached.delivered {
            break;
        }
        kills += 1;
        let mut companion = Companion::start(store.clone());
        let pending = companion.core().pending();
        if reached.answered && pending.is_empty() {
            continue;
        }
        assert!(!reached.logged_out || pending.len() == 1, "{writes} writes: {reached:?}, pending {pending:?}");
        let alice = match pending.into_iter().next() {
            Some(pending) => pending.account,
            None => {
                // The log-out was not reported as durable, and no record has it. The user logs out again.
                let alice = log_in(&mut companion);
                assert_eq!(companion.log_out(&alice), Ok(Kept::Durable));
                alice
            }
        };
        if !reached.sent {
            continue;
        }
        let told: Vec<_> = std::iter::from_fn(|| companion.poll()).collect();
        let over =
            |output: &Output| matches!(output, Output::Event(event) if matches!(**event, Event::LoggedOut { .. }));
        assert!(!told.iter().any(over), "{writes} writes: something was sent and must be removed: {reached:?}");
        let removal = companion.register_tags(&alice).expect("a removal");
        let mut named = removal.removed.iter().chain(&removal.contact).map(|uri| uri.expose());
        assert!(
            removal.removes() && named.any(|uri| uri.starts_with(STACK)),
            "{writes} writes: {reached:?}, {removal:?}"
        );
        let action = companion.push(CALL, Channel::FcmAndroid, &Hints::at(sipwake::now()));
        assert!(!action.is_call(), "{writes} writes: {action:?}");
    }
    assert!(kills > 5, "{kills}");
}
