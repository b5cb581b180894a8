//! Transactions: RFC 3261, 17.1 for the mock's requests, 17.2 for its answers.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::parse::Message;
use crate::transport::FlowId;

/// RFC 3261, 17.1.1.1.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// RFC 3261, 17.1.2.2.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// Timers B and F: 64 × T1.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(32);

/// Who sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) call: u64,
    pub(crate) leg: usize,
}

/// A request that was sent and is still remembered.
#[derive(Debug)]
pub(crate) struct ClientTransaction {
    pub(crate) method: String,
    pub(crate) text: String,
    pub(crate) flow: FlowId,
    pub(crate) owner: Owner,
    pub(crate) interval: Duration,
    pub(crate) deadline: Instant,
    pub(crate) provisional: bool,
    pub(crate) done: bool,
}

impl ClientTransaction {
    /// Returns the wait until the next retransmission, and doubles it as timers A and E do.
    pub(crate) fn next_interval(&mut self) -> Duration {
        let current = self.interval;
        self.interval = if self.method == "INVITE" { current * 2 } else { (current * 2).min(T2) };
        current
    }
}

const MAX_REPLIES: usize = 2000;

/// Final replies kept for retransmitted requests.
#[derive(Default)]
pub(crate) struct Replies {
    by_key: HashMap<String, String>,
    order: VecDeque<String>,
}

impl Replies {
    /// RFC 3261, 17.2.3: branch, sent-by and method.
    pub(crate) fn key(message: &Message) -> Option<String> {
        let via = message.via()?;
        Some(format!("{}|{}:{:?}|{}", via.branch(), via.host, via.port, message.method()))
    }

    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        self.by_key.get(key).map(String::as_str)
    }

    pub(crate) fn keep(&mut self, key: String, text: String) {
        if self.order.len() >= MAX_REPLIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
        if self.by_key.insert(key.clone(), text).is_none() {
            self.order.push_back(key);
        }
    }

    pub(crate) fn forget_all(&mut self) {
        self.by_key.clear();
        self.order.clear();
    }
}
