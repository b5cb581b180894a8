//! The client against an oracle that was written from `docs/calls.md` alone. Random orders of pushes, INVITEs and cancels use few
//! ids and callers, so that they often match, and each step is compared.

use std::collections::BTreeSet;
use std::time::Duration;

use sipwake_core::clock::Now;
use sipwake_core::event::{CallChange, Ended, Event, FlowId, Offer};
use sipwake_core::payload::{ActionKind, Channel, Hints, Ignored, PushAction, parse_push};
use sipwake_core::user_agent::Decline;
use uuid::Uuid;

use self::page::{End, Outcome, Page, Side};
use crate::incoming::{ready, request};
use crate::support::{Stage, account, response, seconds};

mod page;

const ORDERS: u64 = 1_500;
const STEPS: u32 = 12;
const WINDOW: Duration = Duration::from_secs(40);

/// What the client did with a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stands {
    Announced,
    Ringing,
    Answered,
    Over,
}

#[derive(Debug, Clone)]
struct Seen {
    uuid: Uuid,
    stands: Stands,
    announced_at: Duration,
    account: Option<usize>,
    call_id: String,
    /// Branches that ring.
    branches: Vec<String>,
}

/// What a user, number or name says.
fn called(side: &mut Side, caller: &str) {
    if ["anonymous", "private number", "unknown", "no caller id"].contains(&caller.to_lowercase().as_str()) {
        side.anonymous = true;
    } else if caller.chars().any(|c| c.is_ascii_digit()) {
        side.numbers.push(caller.to_owned());
    } else if !caller.is_empty() {
        side.words.push(caller.to_owned());
    }
}

const CALL_IDS: [&str; 3] = ["id-1", "id-2", "id-3"];
const VENDOR_IDS: [&str; 2] = ["77", "88"];
const NAMES: [&str; 13] = [
    "+4930123456",
    "0049 30 123456",
    "030 123456",
    "1234",
    "91234",
    "+49 40 123456",
    "Mad Hatter",
    "MAD HATTER",
    "\\\"Mad  Hatter\\\"",
    "bob",
    "anonymous",
    "No Caller ID",
    "",
];
/// User and display name of an INVITE's From.
const FROMS: [(&str, &str); 8] = [
    ("+4930123456", ""),
    ("030123456", "Mad Hatter"),
    ("004940123456", ""),
    ("1234", "Bob"),
    ("91234", ""),
    ("bob", "Mad Hatter"),
    ("anonymous", "Anonymous"),
    ("anonymous", ""),
];

struct Dice(u64);

impl Dice {
    /// xorshift64*
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let rolled = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(rolled).expect("31 bits") % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }

    fn perhaps<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let index = self.roll(all.len() + 1);
        all.get(index).copied()
    }
}

const USERS: [&str; 2] = ["alice", "bob"];

/// The system that is compared with the oracle.
pub(crate) trait Under {
    fn now(&self) -> Now;
    fn judge(&mut self, json: &str) -> PushAction;
    /// Handles a push that was judged.
    fn take(&mut self, action: &PushAction);
    /// An INVITE comes for one of the accounts. Returns the statuses of the responses.
    fn invite(&mut self, account: usize, text: String) -> Vec<u16>;
    fn changes(&mut self) -> Vec<(Uuid, CallChange)>;
    fn accept(&mut self, call: Uuid) -> bool;
    fn decline(&mut self, call: Uuid) -> bool;
    fn hang_up(&mut self, call: Uuid) -> bool;
    /// The caller gives up.
    fn give_up(&mut self, account: usize, call: Uuid, cancel: String);
    /// A second passes.
    fn advance(&mut self);
}

/// The client with its own flows.
struct Client {
    stage: Stage,
    flows: [FlowId; 2],
}

impl Client {
    fn new() -> Self {
        let mut stage = ready();
        let alice = stage.flow();
        stage.add(account(|config| config.aor = "sip:bob@example.com".into()), None);
        let bob = stage.register();
        stage.input_on(bob.flow, response(&bob, 200, "OK", &[]));
        stage.all();
        stage.events.clear();
        Self { stage, flows: [alice, bob.flow] }
    }

    /// Answers each REGISTER, so that the flows stay up. Returns the codes that the client sent.
    fn settle(&mut self) -> Vec<u16> {
        let mut codes = Vec::new();
        loop {
            let sent = self.stage.all();
            if sent.is_empty() {
                return codes;
            }
            for sent in sent {
                match sent.code() {
                    Some(code) if sent.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE")) => codes.push(code),
                    Some(_) => {}
                    None if sent.is_register() => self.stage.ok(&sent, &[]),
                    None => {}
                }
            }
        }
    }

    fn settled(&mut self, done: bool) -> bool {
        self.stage.drain();
        self.settle();
        done
    }
}

impl Under for Client {
    fn now(&self) -> Now {
        self.stage.now
    }

    fn judge(&mut self, json: &str) -> PushAction {
        let hints = Hints::at(self.stage.now);
        self.stage.agent.gate().judge(parse_push(json, Channel::FcmAndroid, &hints), &hints, self.stage.now.boot)
    }

    fn take(&mut self, action: &PushAction) {
        self.stage.agent.handle_push(action, self.stage.now);
        self.settled(true);
    }

    fn invite(&mut self, account: usize, text: String) -> Vec<u16> {
        self.stage.input_on(self.flows[account], text);
        self.settle()
    }

    fn changes(&mut self) -> Vec<(Uuid, CallChange)> {
        let change = |event| match event {
            Event::Call(call) => Some((call.uuid, call.change)),
            _ => None,
        };
        std::mem::take(&mut self.stage.events).into_iter().filter_map(change).collect()
    }

    fn accept(&mut self, call: Uuid) -> bool {
        let done = self.stage.agent.accept(call, Offer::sdp("v=0\r\n"), self.stage.now);
        self.settled(done)
    }

    fn decline(&mut self, call: Uuid) -> bool {
        let done = self.stage.agent.decline(call, Decline::Everywhere, self.stage.now);
        self.settled(done)
    }

    fn hang_up(&mut self, call: Uuid) -> bool {
        let done = self.stage.agent.hang_up(call, sipwake_core::call::HangUp::Normal, self.stage.now);
        self.settled(done)
    }

    fn give_up(&mut self, account: usize, _call: Uuid, cancel: String) {
        self.stage.input_on(self.flows[account], cancel);
        self.settle();
    }

    fn advance(&mut self) {
        self.stage.advance(seconds(1));
        self.settle();
    }
}

struct Scene<U> {
    under: U,
    page: Page,
    /// One for each of the page's calls.
    calls: Vec<Seen>,
    dice: Dice,
    told: Vec<String>,
    seen: BTreeSet<Uuid>,
    branches: u32,
    /// Calls whose push came before the INVITE. From three such calls the client learns that the server is quick.
    joined: u32,
}

impl<U: Under> Scene<U> {
    fn new(under: U, seed: u64) -> Self {
        Self {
            under,
            page: Page::default(),
            calls: Vec::new(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            told: Vec::new(),
            seen: BTreeSet::new(),
            branches: 0,
            joined: 0,
        }
    }

    #[track_caller]
    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}\n{:#?}", self.told.join("\n"), self.page)
    }

    /// What a push says, and its JSON. `kind` is 0 for a call and 2 for a cancel.
    fn draw_push(&mut self, kind: u8) -> (Side, Option<usize>, String) {
        let account = self.dice.perhaps(&[0, 1]);
        let caller = self.dice.of(&NAMES);
        let mut side = Side::default();
        // As JSON has it, with escaped quotation marks.
        called(&mut side, &caller.replace('\\', ""));
        if kind == 0 && self.dice.roll(5) == 0 {
            let vendor_id = self.dice.of(&VENDOR_IDS);
            let to = account.map(|account| format!(r#","send_to":"sip:{}@example.com""#, USERS[account]));
            let json = format!(
                r#"{{"msg_type":"audio","send_from":"{caller}","x-push-id":"{vendor_id}"{}}}"#,
                to.unwrap_or_default()
            );
            side.vendor_id = Some(vendor_id.to_owned());
            return (side, account, json);
        }
        let call_id = self.dice.perhaps(&CALL_IDS);
        let mut json = format!(r#"{{"ntype":"{kind}","nfrom":"{caller}""#);
        if let Some(id) = call_id {
            json += &format!(r#","ncallid":"{id}""#);
        }
        if let Some(account) = account {
            json += &format!(r#","ntouser":"{}""#, USERS[account]);
        }
        side.call_id = call_id.map(str::to_owned);
        (side, account, json + "}")
    }

    fn ring(&mut self, uuid: Uuid, stands: Stands) -> &mut Seen {
        if !self.seen.insert(uuid) {
            self.fail("should have a name of its own");
        }
        let announced_at = self.under.now().boot;
        self.calls.push(Seen {
            uuid,
            stands,
            announced_at,
            account: None,
            call_id: String::new(),
            branches: Vec::new(),
        });
        self.calls.last_mut().expect("it was pushed")
    }

    fn push(&mut self, invite_between: bool) {
        let (side, account, json) = self.draw_push(0);
        let action = self.under.judge(&json);
        let (met, row) = self.page.push(side, account, self.under.now().boot.as_secs());
        self.told.push(format!("push {json}: {row}"));
        let uuid = match met {
            Outcome::Over => {
                if action.kind != (ActionKind::Ignore { reason: Ignored::CallOver }) {
                    self.fail(&format!("should be silent: {action:?}"));
                }
                None
            }
            Outcome::Joins(index) => {
                if !action.is_call() || action.uuid != self.calls[index].uuid {
                    self.fail(&format!("should be call {index}: {action:?}"));
                }
                Some(action.uuid)
            }
            Outcome::New(_) => {
                if !action.is_call() {
                    self.fail(&format!("should be a new call: {action:?}"));
                }
                self.ring(action.uuid, Stands::Announced);
                Some(action.uuid)
            }
        };
        if invite_between {
            self.invite();
            if let Outcome::New(index) = met {
                self.page.reached(index);
            }
        }
        self.under.take(&action);
        if self.under.changes().iter().any(|(told, _)| Some(*told) != uuid) {
            self.fail("another call was told of");
        }
    }

    fn invite(&mut self) {
        let flow = self.dice.roll(2);
        let (user, display) = self.dice.of(&FROMS);
        let call_id = self.dice.of(&CALL_IDS);
        let vendor_id = if self.dice.roll(6) == 0 { Some(self.dice.of(&VENDOR_IDS)) } else { None };
        let asserted = (user == "anonymous" && self.dice.roll(2) == 0).then_some("1234");
        self.branches += 1;
        let branch = format!("b{}", self.branches);
        let mut lines = String::from("Content-Type: application/sdp\r\n");
        if let Some(id) = vendor_id {
            lines += &format!("X-Push-ID: {id}\r\n");
        }
        if let Some(asserted) = asserted {
            lines += &format!("P-Asserted-Identity: <sip:{asserted}@example.com>\r\n");
        }
        let text = request("INVITE", &branch, call_id, user, &lines, "v=0\r\n")
            .replace("\"Mad Hatter\"", &format!("\"{display}\""))
            .replace(&format!("tag=f{call_id}"), &format!("tag={branch}"));
        let mut side =
            Side { call_id: Some(call_id.to_owned()), vendor_id: vendor_id.map(str::to_owned), ..Side::default() };
        for caller in [user, display].into_iter().chain(asserted) {
            called(&mut side, caller);
        }
        let told = format!("INVITE {side:?} of {}", USERS[flow]);
        let (met, row) = self.page.invite(side, flow, self.under.now().boot.as_secs());
        self.told.push(format!("{told}: {row}"));
        let (codes, changes) = (self.under.invite(flow, text), self.under.changes());
        let ringing =
            changes.iter().find(|(_, change)| matches!(change, CallChange::Ringing { .. })).map(|(uuid, _)| *uuid);
        match met {
            Outcome::Over => {
                if ringing.is_some() || codes.iter().any(|code| *code < 300) {
                    self.fail(&format!("should be refused as its call was: {codes:?} {changes:?}"));
                }
            }
            Outcome::New(_) => {
                let Some(uuid) = ringing.filter(|_| codes == [180]) else {
                    self.fail(&format!("should ring again: {codes:?} {changes:?}"))
                };
                let call = self.ring(uuid, Stands::Ringing);
                (call.account, call.call_id) = (Some(flow), call_id.to_owned());
                call.branches.push(branch);
            }
            Outcome::Joins(index) if self.calls[index].stands == Stands::Answered => {
                if ringing.is_some() || codes != [486] {
                    self.fail(&format!("call {index} is answered: {codes:?} {changes:?}"));
                }
            }
            Outcome::Joins(index) => {
                let first = self.calls[index].stands == Stands::Announced;
                let uuid = self.calls[index].uuid;
                if codes != [180] || ringing != Some(uuid).filter(|_| first) {
                    self.fail(&format!("should be call {index}: {codes:?} {changes:?}"));
                }
                let call = &mut self.calls[index];
                call.branches.push(branch);
                if first {
                    (call.account, call.call_id, call.stands) = (Some(flow), call_id.to_owned(), Stands::Ringing);
                    self.joined += 1;
                }
            }
        }
    }

    fn over(&mut self, index: usize, end: End) {
        self.page.over(index, end, self.under.now().boot.as_secs());
        self.calls[index].stands = Stands::Over;
        self.calls[index].branches.clear();
    }

    fn cancel_by_push(&mut self) {
        let (side, account, json) = self.draw_push(2);
        let (ends, row) = self.page.cancel_push(side, account, self.under.now().boot.as_secs());
        self.told.push(format!("cancel {json}: {row}"));
        let action = self.under.judge(&json);
        self.under.take(&action);
        let ended: Vec<Uuid> = self.under.changes().into_iter().map(|(uuid, _)| uuid).collect();
        let expected: Vec<Uuid> = ends.iter().map(|index| self.calls[*index].uuid).collect();
        if ended != expected {
            self.fail(&format!("should end {expected:?}: {ended:?}"));
        }
        if let Some(index) = ends {
            self.calls[index].stands = Stands::Over;
        }
    }

    /// Something happens to a live call.
    fn act(&mut self) {
        let live: Vec<usize> =
            (0..self.calls.len()).filter(|index| self.calls[*index].stands != Stands::Over).collect();
        if live.is_empty() {
            return;
        }
        let index = self.dice.of(&live);
        let (uuid, stands) = (self.calls[index].uuid, self.calls[index].stands);
        self.told.push(format!("call {index} is {stands:?}, acted on"));
        match (stands, self.dice.roll(3)) {
            (Stands::Ringing, 0) => {
                assert!(self.under.accept(uuid));
                self.page.connected(index);
                self.calls[index].stands = Stands::Answered;
            }
            (Stands::Announced | Stands::Ringing, _) => {
                assert!(self.under.decline(uuid));
                self.over(index, End::Refused);
            }
            _ => {
                assert!(self.under.hang_up(uuid));
                self.over(index, End::HungUp);
            }
        }
        self.under.changes();
    }

    /// The caller of a ringing call gives up.
    fn give_up(&mut self) {
        let rings = |call: &Seen| call.stands == Stands::Ringing && call.branches.len() == 1;
        let Some(index) = self.calls.iter().rposition(rings) else { return };
        let call = self.calls[index].clone();
        self.told.push(format!("the caller of {index} gives up"));
        let account = call.account.expect("it has its INVITE");
        let cancel = request("CANCEL", &call.branches[0], &call.call_id, "x", "", "");
        self.under.give_up(account, call.uuid, cancel);
        if !matches!(self.under.changes()[..], [(uuid, CallChange::Ended(Ended::Cancelled))] if uuid == call.uuid) {
            self.fail("should be cancelled");
        }
        self.over(index, End::Missed);
    }

    fn wait(&mut self) {
        let time = self.dice.of(&[1, 4, 9, 11, 30, 41]);
        self.told.push(format!("{time} s pass"));
        for _ in 0..time {
            self.under.advance();
            self.pass_a_second();
        }
    }

    fn pass_a_second(&mut self) {
        let now = self.under.now().boot;
        let ended: BTreeSet<Uuid> = self.under.changes().into_iter().map(|(uuid, _)| uuid).collect();
        let mut expected = BTreeSet::new();
        for index in 0..self.calls.len() {
            let Seen { uuid, stands, announced_at, .. } = self.calls[index];
            let missed = stands == Stands::Announced && announced_at + WINDOW <= now;
            // An accepted call without an ACK is given up after 32 seconds.
            let unheard = stands == Stands::Answered && ended.contains(&uuid);
            if missed || unheard {
                expected.insert(uuid);
                self.over(index, if missed { End::Missed } else { End::HungUp });
            }
        }
        if ended != expected {
            self.fail(&format!("should be over: {expected:?}, not {ended:?}"));
        }
    }
}

#[test]
fn the_client_matches_as_the_page_says_in_every_random_order() {
    compare(Client::new);
}

/// Compares random orders of events, each with a new system.
pub(crate) fn compare<U: Under>(new: impl Fn() -> U) {
    let mut met = 0;
    for seed in 0..ORDERS {
        let mut scene = Scene::new(new(), seed);
        let mut waited = 0;
        for _ in 0..STEPS {
            // The client has not learnt how quick this server is.
            if scene.joined > 1 {
                break;
            }
            match scene.dice.roll(12) {
                0..=2 => scene.push(false),
                3 => scene.push(true),
                4..=6 => scene.invite(),
                7 => scene.cancel_by_push(),
                8 => scene.act(),
                9 => scene.give_up(),
                _ if waited < 3 => {
                    waited += 1;
                    scene.wait();
                }
                _ => {}
            }
        }
        met += scene.joined;
    }
    assert!(met > 200, "the set is so small that many ids are equal: {met}");
}
