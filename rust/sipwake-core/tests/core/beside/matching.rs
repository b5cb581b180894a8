//! The companion against the oracle of `docs/calls.md`, with the same random orders as the client.

use sipwake_core::account::{Account, AccountConfig, AccountKey};
use sipwake_core::beside::{Companion, Heard, Invite, Output};
use sipwake_core::clock::Now;
use sipwake_core::event::{CallChange, Ended, Event};
use sipwake_core::payload::{Channel, Hints, PushAction, parse_push};
use sipwake_core::user_agent::Decline;
use uuid::Uuid;

use crate::matching_oracle::{Under, compare};
use crate::support::{START, seconds};

/// A stack that registers whenever the companion asks, at a registrar that accepts everything.
struct Stack {
    companion: Companion,
    keys: [AccountKey; 2],
    now: Now,
    changes: Vec<(Uuid, CallChange)>,
}

impl Stack {
    fn new() -> Self {
        let mut companion = Companion::new([1; 32], None, START);
        let keys = ["sip:alice@example.com", "sip:bob@example.com"].map(|aor| {
            let account = Account::parse(AccountConfig::new(aor, "secret")).expect("valid");
            companion.add_account(account, None, None, START).expect("room")
        });
        let mut stack = Self { companion, keys: keys.clone(), now: START, changes: Vec::new() };
        keys.iter().for_each(|key| stack.register(key));
        stack.settle();
        stack
    }

    fn register(&mut self, key: &AccountKey) {
        self.companion.register_tags(key, self.now).expect("known");
        self.companion.heard(key, &Heard::new(200, &[("Expires", "3600")]), self.now).expect("asked");
    }

    fn settle(&mut self) {
        while let Some(output) = self.companion.poll_output() {
            match output {
                Output::Save(record) => self.companion.handle_saved(record.id, Ok(()), self.now),
                Output::Register(key) => self.register(&key),
                Output::Event(event) => {
                    if let Event::Call(call) = *event {
                        self.changes.push((call.uuid, call.change));
                    }
                }
                Output::Load(_) | Output::Refuse { .. } => {}
            }
        }
    }
}

impl Under for Stack {
    fn now(&self) -> Now {
        self.now
    }

    fn judge(&mut self, json: &str) -> PushAction {
        let hints = Hints::at(self.now);
        self.companion.gate().judge(parse_push(json, Channel::FcmAndroid, &hints), &hints, self.now.boot)
    }

    fn take(&mut self, action: &PushAction) {
        self.companion.handle_push(action, self.now);
        self.settle();
    }

    fn invite(&mut self, account: usize, text: String) -> Vec<u16> {
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let headers: Vec<_> = head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
        let invited = self.companion.invited(&self.keys[account], &headers, self.now).expect("an INVITE");
        self.settle();
        match invited {
            Invite::Ring { .. } | Invite::Accept { .. } => vec![180],
            Invite::Refuse { status, .. } => vec![status],
            other => panic!("unknown error: {other:?}"),
        }
    }

    fn changes(&mut self) -> Vec<(Uuid, CallChange)> {
        std::mem::take(&mut self.changes)
    }

    fn accept(&mut self, call: Uuid) -> bool {
        self.companion.answered(call, self.now).is_ok()
    }

    fn decline(&mut self, call: Uuid) -> bool {
        let done = self.companion.decline(call, Decline::Everywhere, self.now).is_ok();
        self.settle();
        done
    }

    fn hang_up(&mut self, call: Uuid) -> bool {
        let done = self.companion.ended(call, Ended::HungUp, self.now).is_ok();
        self.settle();
        done
    }

    fn give_up(&mut self, _account: usize, call: Uuid, _cancel: String) {
        self.companion.cancelled(call, &[], self.now).expect("it rings");
        self.settle();
    }

    fn advance(&mut self) {
        self.now = self.now.after(seconds(1));
        self.companion.handle_timeout(self.now);
        self.settle();
    }
}

#[test]
fn the_companion_matches_as_the_page_says_in_every_random_order() {
    compare(Stack::new);
}
