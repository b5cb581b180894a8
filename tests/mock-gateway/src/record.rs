//! What was received and sent, with times, for ladders and assertions.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::parse::Message;
use crate::transport::{FlowId, Transport};

/// Whether the mock received or sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client.
    Received,
    /// To the client.
    Sent,
}

impl Direction {
    /// Returns `received` or `sent`.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Received => "received",
            Direction::Sent => "sent",
        }
    }
}

/// One message on the wire.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counts from 1 and never repeats.
    pub seq: u64,
    /// Time since the mock started.
    pub at: Duration,
    /// Received or sent.
    pub direction: Direction,
    /// The flow it went over.
    pub flow: FlowId,
    /// The transport of the flow.
    pub transport: Transport,
    /// The client's address.
    pub remote: SocketAddr,
    /// The bytes, as text.
    pub text: String,
    /// The fault that was applied, if any; a dropped message is recorded too.
    pub fault: Option<&'static str>,
}

impl Entry {
    /// Reads the text as a SIP message; `None` for keep-alives and garbage.
    pub fn message(&self) -> Option<Message> {
        Message::parse(self.text.as_bytes()).ok()
    }

    /// Tells whether this is a request with that method.
    pub fn is_request(&self, method: &str) -> bool {
        self.text.strip_prefix(method).is_some_and(|rest| rest.starts_with(' '))
    }

    /// Tells whether this is a response with that status to that method.
    pub fn is_response(&self, status: u16, method: &str) -> bool {
        self.message().is_some_and(|m| m.status() == Some(status) && m.method() == method)
    }
}

/// Something that a client did and the standards forbid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Time since the mock started.
    pub at: Duration,
    /// A stable name, e.g. `nc-not-growing`.
    pub kind: &'static str,
    /// What was seen.
    pub detail: String,
}

const MAX_VIOLATIONS: usize = 1000;

/// The bounded record of one mock; clones share it.
#[derive(Clone)]
pub struct Record {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<watch::Sender<u64>>,
    start: Instant,
    capacity: usize,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    violations: VecDeque<Violation>,
    last: u64,
}

impl Record {
    pub(crate) fn new(capacity: usize) -> Record {
        Record { inner: Arc::default(), changed: Arc::new(watch::channel(0).0), start: Instant::now(), capacity }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn add(&self, mut entry: Entry) {
        let seq = self.with(|inner| {
            inner.last += 1;
            entry.seq = inner.last;
            entry.at = self.start.elapsed();
            if inner.entries.len() >= self.capacity {
                inner.entries.pop_front();
            }
            inner.entries.push_back(entry);
            inner.last
        });
        self.changed.send_replace(seq);
    }

    pub(crate) fn violation(&self, kind: &'static str, detail: String) {
        log::warn!("violation {kind}");
        let at = self.start.elapsed();
        self.with(|inner| {
            if inner.violations.len() >= MAX_VIOLATIONS {
                inner.violations.pop_front();
            }
            inner.violations.push_back(Violation { at, kind, detail });
        });
    }

    /// Returns everything still remembered, oldest first.
    pub fn all(&self) -> Vec<Entry> {
        self.after(0)
    }

    /// Returns the entries with a greater `seq`.
    pub fn after(&self, seq: u64) -> Vec<Entry> {
        self.with(|inner| inner.entries.iter().filter(|e| e.seq > seq).cloned().collect())
    }

    /// Returns what clients sent.
    pub fn received(&self) -> Vec<Entry> {
        self.all().into_iter().filter(|e| e.direction == Direction::Received).collect()
    }

    /// Returns the broken rules seen so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.with(|inner| inner.violations.iter().cloned().collect())
    }

    /// Forgets entries and violations; `seq` continues counting.
    pub fn clear(&self) {
        self.with(|inner| {
            inner.entries.clear();
            inner.violations.clear();
        });
    }

    /// Returns the first entry, past or future, that satisfies the predicate; `None` on time-out.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&Entry) -> bool, limit: Duration) -> Option<Entry> {
        let mut changes = self.changed.subscribe();
        let search = async {
            let mut seen = 0;
            loop {
                changes.borrow_and_update();
                for entry in self.after(seen) {
                    if wanted(&entry) {
                        return Some(entry);
                    }
                    seen = entry.seq;
                }
                changes.changed().await.ok()?;
            }
        };
        timeout(limit, search).await.ok().flatten()
    }

    /// Returns a receiver that changes with every entry.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Draws entries as a ladder, one line each, `client` on the left.
pub fn ladder(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        let first = entry.text.lines().next().unwrap_or_default();
        let what = match entry.message().map(|m| m.status().map(|_| m.method().to_owned())) {
            Some(Some(method)) => format!("{} ({method})", first.trim_start_matches("SIP/2.0 ")),
            Some(None) => first.split(' ').next().unwrap_or_default().to_owned(),
            None if entry.text.trim().is_empty() => "keep-alive".to_owned(),
            None => "(not SIP)".to_owned(),
        };
        let arrow =
            if entry.direction == Direction::Received { "client ──▶ server" } else { "client ◀── server" };
        let fault = entry.fault.map(|f| format!(" [{f}]")).unwrap_or_default();
        out.push_str(&format!("{:>9.3} s  {arrow}  {what}{fault}\n", entry.at.as_secs_f64()));
    }
    out
}
