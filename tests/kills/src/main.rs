//! A process with a story: it registers, gets another token, and logs out. It is killed at a given point.
//!
//! `victim ADDRESS FOLDER`, with `KILL_AT=N` in the environment: SIGKILL at the N-th point. There is a point before and
//! after each write to the store, and before each message that is sent. `FOLDER/app` holds what the app itself knows.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the test reads it")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sipwake::{
    AccountConfig, AccountKey, Client, Event, Events, FileStore, Provider, PushConfig, StateStore, StoreError, Trace,
    Transport,
};

/// The token that the story begins with, and the one that replaces it.
const TOKENS: [&str; 2] = ["token-one:APA91bVerySecret", "token-two:APA91bVerySecret"];

/// Counts down to the kill.
struct Death(AtomicI64);

impl Death {
    fn draws_nearer(&self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal may take a moment. Nothing more may be done until then.
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

struct MortalStore(FileStore, Arc<Death>);

impl StateStore for MortalStore {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load(key)
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.1.draws_nearer();
        let saved = self.0.save(key, bytes);
        self.1.draws_nearer();
        saved
    }

    fn save_progress(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.1.draws_nearer();
        let saved = self.0.save_progress(key, bytes);
        self.1.draws_nearer();
        saved
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.1.draws_nearer();
        let removed = self.0.remove(key);
        self.1.draws_nearer();
        removed
    }
}

struct MortalTrace(Arc<Death>);

impl Trace for MortalTrace {
    fn message(&self, sent: bool, _: u64, _: &str) {
        if sent {
            self.0.draws_nearer();
        }
    }
}

/// What the app knows: which step of the story is done.
struct App(PathBuf);

impl App {
    fn step(&self) -> u8 {
        fs::read(&self.0).ok().and_then(|bytes| bytes.first().copied()).unwrap_or(b'0') - b'0'
    }

    fn done(&self, step: u8) {
        let beside = self.0.with_extension("new");
        let _ = fs::write(&beside, [step + b'0']).and_then(|()| fs::rename(&beside, &self.0));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(address), Some(folder)) = (words.next(), words.next()) else {
        return println!("victim ADDRESS FOLDER");
    };
    let at = std::env::var("KILL_AT").ok().and_then(|at| at.parse().ok()).unwrap_or(i64::MAX);
    let death = Arc::new(Death(AtomicI64::new(at)));
    let store = FileStore::open(Path::new(&folder).join("store")).expect("a folder of our own");
    let app = App(Path::new(&folder).join("app"));
    let store = Arc::new(MortalStore(store, death.clone()));
    let (client, mut events) = Client::start_traced(store, Some(Arc::new(MortalTrace(death))));
    let told = tokio::time::timeout(Duration::from_secs(240), live(&client, &mut events, &app, &address)).await;
    println!("{}", if told.is_ok() { "done" } else { "stuck" });
}

async fn live(client: &Client, events: &mut Events, app: &App, address: &str) {
    if app.step() < 3 {
        let mut account = AccountConfig::new("sip:alice@example.com", "wonderland");
        account.gateways = vec![address.to_owned()];
        account.transport = Some(Transport::Udp);
        let push = PushConfig::new(Provider::Fcm, "app");
        let key = client.add_account(account, Some(push)).await.expect("a good account");
        let current = TOKENS[usize::from(app.step() >= 1)];
        client.set_token(&key, current).await.expect("a good token");
        client.register(&key).await.expect("it was added");
        if app.step() == 0 {
            registered_with(events, TOKENS[0]).await;
            app.done(1);
        }
        if app.step() == 1 {
            client.set_token(&key, TOKENS[1]).await.expect("a good token");
            registered_with(events, TOKENS[1]).await;
            app.done(2);
        }
        if std::env::var_os("STAY").is_none() {
            return log_out(client, events, app, &key).await;
        }
        return;
    }
    // An earlier process logged out. This one delivers the log-out if that one could not. It ends a moment after its
    // standard input ends, so that messages still under way are seen, too.
    let (holds, released) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        drop(holds);
    });
    let released = async {
        let _ = released.await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    };
    tokio::select! {
        () = logged_out(events) => {}
        () = released => {}
    }
}

async fn log_out(client: &Client, events: &mut Events, app: &App, key: &AccountKey) {
    client.log_out(key).await.expect("it was added");
    app.done(3);
    logged_out(events).await;
}

async fn registered_with(events: &mut Events, token: &str) {
    while let Some(event) = events.next().await {
        if let Event::Registered { registered, .. } = event
            && registered.token.is_some_and(|bound| bound.call() == Some(token))
        {
            return;
        }
    }
}

async fn logged_out(events: &mut Events) {
    while let Some(event) = events.next().await {
        if matches!(event, Event::LoggedOut { .. }) {
            return;
        }
    }
}
