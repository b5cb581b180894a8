//! The client against an oracle that was written from `docs/calls.md` alone: random orders of pushes, INVITEs and cancels, from a
//! small stock of ids and callers so that they meet, each step compared.

use std::collections::BTreeSet;
use std::time::Duration;

use sipwake_core::event::{CallChange, Ended, Event, FlowId, Offer};
use sipwake_core::payload::{ActionKind, Channel, Hints, Ignored, PushAction, parse_push};
use sipwake_core::user_agent::Decline;
use uuid::Uuid;

use crate::incoming::{ready, request};
use crate::support::{Stage, account, response, seconds};

const ORDERS: u64 = 1_500;
const STEPS: u32 = 12;
const WINDOW: Duration = Duration::from_secs(40);

// The words of the page.

#[derive(Debug, Clone, Default, PartialEq)]
struct Side {
    call_id: Option<&'static str>,
    vendor_id: Option<&'static str>,
    /// Alice's, Bob's, or anybody's.
    account: Option<usize>,
    callers: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Like {
    Same,
    Different,
    Unknown,
}

fn withheld(text: &str) -> bool {
    ["anonymous", "unknown caller", "no caller id"].contains(&text.to_lowercase().as_str())
}

/// The digits as dialled, with `+` as two zeros.
fn number(text: &str) -> Option<String> {
    let text = text.replace("(0)", "").replace([' ', '-', '.', '/', '(', ')'], "").replace('+', "00");
    (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())).then_some(text)
}

fn one_number(a: &str, b: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches('0').to_owned();
    let zeros = |text: &str| text.len() - bare(text).len();
    let (long, short) = if bare(a).len() >= bare(b).len() { (a, b) } else { (b, a) };
    let country = bare(long).len() - bare(short).len();
    let national = zeros(long) >= 2 && zeros(short) == 1 && bare(short).len() >= 4 && (1..=3).contains(&country);
    bare(long) == bare(short) || (bare(long).ends_with(&bare(short)) && (bare(short).len() >= 7 || national))
}

impl Side {
    fn named(&self) -> Vec<&'static str> {
        self.callers.iter().copied().filter(|caller| !withheld(caller)).collect()
    }

    fn withholds(&self) -> bool {
        self.named().is_empty() && self.callers.iter().any(|caller| withheld(caller))
    }

    fn like(&self, other: &Self) -> Like {
        let (ours, theirs) = (self.named(), other.named());
        if ours.is_empty() || theirs.is_empty() {
            return Like::Unknown;
        }
        let numbers = |all: &[&str]| all.iter().filter_map(|caller| number(caller)).collect::<Vec<_>>();
        let (our, their) = (numbers(&ours), numbers(&theirs));
        let same = if our.is_empty() || their.is_empty() {
            ours.iter().any(|a| theirs.iter().any(|b| a.to_lowercase() == b.to_lowercase()))
        } else {
            our.iter().any(|a| their.iter().any(|b| one_number(a, b)))
        };
        if same { Like::Same } else { Like::Different }
    }

    fn shares(&self, other: &Self) -> bool {
        (self.call_id.is_some() && self.call_id == other.call_id)
            || (self.vendor_id.is_some() && self.vendor_id == other.vendor_id)
    }

    fn call_ids_differ(&self, other: &Self) -> bool {
        self.call_id.is_some() && other.call_id.is_some() && self.call_id != other.call_id
    }

    fn vendor_ids_differ(&self, other: &Self) -> bool {
        self.vendor_id.is_some() && other.vendor_id.is_some() && self.vendor_id != other.vendor_id
    }

    fn has_id(&self) -> bool {
        self.call_id.is_some() || self.vendor_id.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stands {
    Announced,
    Ringing,
    Answered,
    Over { at: Duration, missed: bool, declined: bool },
}

#[derive(Debug, Clone)]
struct Call {
    uuid: Option<Uuid>,
    account: Option<usize>,
    push: Option<Side>,
    invite: Option<Side>,
    stands: Stands,
    announced_at: Duration,
    invited_at: Duration,
    /// Branches that ring.
    branches: Vec<String>,
    /// Nobody has heard of it: its cancel came first.
    tombstone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Gateway {
    Keeps,
    Renames,
    NotKnown,
}

impl Call {
    fn over(&self) -> bool {
        matches!(self.stands, Stands::Over { .. })
    }

    fn sides(&self) -> Vec<&Side> {
        self.invite.iter().chain(&self.push).collect()
    }

    fn shares(&self, side: &Side) -> bool {
        self.sides().iter().any(|known| known.shares(side))
    }

    fn like(&self, side: &Side) -> Like {
        let all: Vec<Like> = self.sides().iter().map(|known| known.like(side)).collect();
        all.into_iter().find(|like| *like != Like::Unknown).unwrap_or(Like::Unknown)
    }

    fn mine(&self, side: &Side) -> bool {
        self.account.is_none() || side.account.is_none() || self.account == side.account
    }

    fn apart(&self, side: &Side, gateway: Gateway) -> bool {
        self.sides()
            .iter()
            .any(|known| known.vendor_ids_differ(side) || (known.call_ids_differ(side) && gateway == Gateway::Keeps))
    }

    fn perhaps_apart(&self, side: &Side, gateway: Gateway) -> bool {
        self.sides()
            .iter()
            .any(|known| known.vendor_ids_differ(side) || (known.call_ids_differ(side) && gateway != Gateway::Renames))
    }

    fn undecidable(&self, side: &Side, gateway: Gateway) -> bool {
        let differ = self.sides().iter().any(|known| known.call_ids_differ(side) || known.vendor_ids_differ(side));
        let tells = |known: &Side| {
            !known.named().is_empty()
                || (known.call_id.is_some() && gateway == Gateway::Keeps)
                || (known.withholds() && differ)
        };
        !tells(side) || self.sides().iter().any(|known| !tells(known))
    }
}

#[derive(Debug, Default)]
struct Oracle {
    calls: Vec<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Met {
    Call(usize),
    /// Of a call that is over.
    Over(usize),
    New,
}

impl Oracle {
    fn newest(&self, fits: impl Fn(&Call) -> bool) -> Option<usize> {
        self.calls.iter().rposition(fits)
    }

    fn met(&self, index: usize) -> Met {
        if self.calls[index].over() { Met::Over(index) } else { Met::Call(index) }
    }

    fn gateway(&self, account: Option<usize>) -> Gateway {
        let shown = self.calls.iter().enumerate().rev().find_map(|(index, call)| {
            let of = call.account.is_none() || account.is_none() || call.account == account;
            let (push, invite) = (call.push.as_ref()?.call_id?, call.invite.as_ref()?.call_id?);
            of.then_some((index, push, invite))
        });
        let Some((index, push, invite)) = shown else { return Gateway::NotKnown };
        let own_came = self.calls.iter().enumerate().any(|(other, call)| {
            other != index && call.invite.as_ref().is_some_and(|invite| invite.call_id == Some(push))
        });
        if push == invite || own_came { Gateway::Keeps } else { Gateway::Renames }
    }

    fn half(&self, side: &Side, gateway: Gateway, owes: impl Fn(&Call) -> bool) -> Option<usize> {
        let half = |call: &Call| !call.over() && owes(call) && call.mine(side);
        // P3, I6
        let same = |call: &Call| half(call) && call.like(side) == Like::Same && !call.apart(side, gateway);
        self.newest(same).or_else(|| {
            // P4, I7
            let all: Vec<usize> = (0..self.calls.len()).filter(|index| half(&self.calls[*index])).collect();
            let [only] = all[..] else { return None };
            let call = &self.calls[only];
            let fits = call.like(side) == Like::Unknown && !call.apart(side, gateway);
            (fits && call.undecidable(side, gateway)).then_some(only)
        })
    }

    fn push(&self, push: &Side, now: Duration) -> Met {
        let gateway = self.gateway(push.account);
        // P1, P2
        if let Some(index) = self.newest(|call| !call.over() && call.shares(push)) {
            return Met::Call(index);
        }
        if let Some(index) = self.newest(|call| call.shares(push)) {
            return Met::Over(index);
        }
        if let Some(index) = self.half(push, gateway, |call| call.invite.is_some() && call.push.is_none()) {
            return Met::Call(index);
        }
        // P5
        let late = |call: &Call| {
            matches!(call.stands, Stands::Over { missed: false, .. })
                && call.invite.is_some()
                && call.push.is_none()
                && now - call.invited_at < seconds(40)
                && call.mine(push)
                && call.like(push) == Like::Same
                && !call.perhaps_apart(push, gateway)
        };
        if let Some(index) = self.newest(late) {
            return Met::Over(index);
        }
        // P6
        let again = |call: &Call| {
            let first = call.push.as_ref();
            let both_silent = first.is_some_and(|first| first.named().is_empty() && !first.has_id())
                && push.named().is_empty()
                && call.invite.is_none();
            first.is_some() && !call.over() && call.mine(push) && (call.like(push) == Like::Same || both_silent)
        };
        match self.newest(again).filter(|_| !push.has_id()) {
            Some(index) => Met::Call(index),
            None => Met::New,
        }
    }

    fn invite(&self, invite: &Side, now: Duration) -> Met {
        let gateway = self.gateway(invite.account);
        // I1 to I3
        let by_invite = |call: &Call| call.invite.as_ref().is_some_and(|known| known.shares(invite));
        if let Some(index) = self.newest(|call| !call.over() && by_invite(call)) {
            return Met::Call(index);
        }
        if let Some(index) = self.newest(by_invite) {
            let late = matches!(self.calls[index].stands, Stands::Over { at, .. } if now - at < seconds(10));
            return if late { Met::Over(index) } else { Met::New };
        }
        // I4, I5
        let by_push = |call: &Call| !call.tombstone && call.push.as_ref().is_some_and(|known| known.shares(invite));
        if let Some(index) = self.newest(by_push) {
            return if self.calls[index].invite.is_none() { self.met(index) } else { Met::New };
        }
        if let Some(index) = self.half(invite, gateway, |call| call.push.is_some() && call.invite.is_none()) {
            return Met::Call(index);
        }
        // I8
        let refused = |call: &Call| {
            matches!(call.stands, Stands::Over { at, declined: true, .. } if now - at < seconds(40))
                && call.invite.is_none()
                && call.mine(invite)
                && call.like(invite) == Like::Same
                && !call.perhaps_apart(invite, gateway)
        };
        self.newest(refused).map_or(Met::New, Met::Over)
    }

    /// The call that ends, and whether a tombstone is left.
    fn cancel(&self, cancel: &Side) -> (Option<usize>, bool) {
        if let Some(index) = self.newest(|call| !call.over() && call.shares(cancel)) {
            // C1: a push announced it, and its INVITE, if that is here, has the id as well; or C3.
            let call = &self.calls[index];
            let by_invite = call.invite.as_ref().is_some_and(|invite| invite.shares(cancel));
            let ends = match call.stands {
                Stands::Announced => true,
                Stands::Ringing => call.push.is_some() && by_invite,
                Stands::Answered | Stands::Over { .. } => false,
            };
            return (ends.then_some(index), false);
        }
        if self.newest(|call| call.shares(cancel)).is_some() {
            return (None, false);
        }
        let without = |call: &Call| {
            call.stands == Stands::Announced
                && call.invite.is_none()
                && call.push.as_ref().is_some_and(|push| !push.has_id())
                && call.mine(cancel)
        };
        if let Some(index) = self.newest(|call| without(call) && call.like(cancel) == Like::Same) {
            return (Some(index), false);
        }
        let all: Vec<usize> = (0..self.calls.len()).filter(|index| without(&self.calls[*index])).collect();
        match all[..] {
            [only] if cancel.named().is_empty() => (Some(only), false),
            _ => (None, cancel.has_id()),
        }
    }

    fn add(&mut self, push: Option<Side>, invite: Option<Side>, stands: Stands, now: Duration) -> usize {
        let account = invite.as_ref().or(push.as_ref()).and_then(|side| side.account);
        let (announced_at, invited_at, branches) = (now, now, Vec::new());
        let tombstone = false;
        self.calls.push(Call {
            uuid: None,
            account,
            push,
            invite,
            stands,
            announced_at,
            invited_at,
            branches,
            tombstone,
        });
        self.calls.len() - 1
    }

    fn end(&mut self, index: usize, now: Duration, missed: bool, declined: bool) {
        self.calls[index].stands = Stands::Over { at: now, missed, declined };
        self.calls[index].branches.clear();
    }
}

// The client beside it.

const CALL_IDS: [&str; 3] = ["id-1", "id-2", "id-3"];
const VENDOR_IDS: [&str; 2] = ["77", "88"];
const NAMES: [&str; 12] = [
    "+4930123456",
    "0049 30 123456",
    "030 123456",
    "1234",
    "91234",
    "+49 40 123456",
    "Mad Hatter",
    "MAD HATTER",
    "bob",
    "anonymous",
    "Unknown Caller",
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

struct Scene {
    stage: Stage,
    flows: [FlowId; 2],
    oracle: Oracle,
    dice: Dice,
    told: Vec<String>,
    seen: BTreeSet<Uuid>,
    branches: u32,
    /// Calls that had their push before their INVITE: three would teach the client a habit.
    joined: u32,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut stage = ready();
        let alice = stage.flow();
        stage.add(account(|config| config.aor = "sip:bob@example.com".into()), None);
        let bob = stage.register();
        stage.input_on(bob.flow, response(&bob, 200, "OK", &[]));
        stage.all();
        stage.events.clear();
        Self {
            stage,
            flows: [alice, bob.flow],
            oracle: Oracle::default(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            told: Vec::new(),
            seen: BTreeSet::new(),
            branches: 0,
            joined: 0,
        }
    }

    /// Answers what is registered, so that flows stay. Returns the codes sent.
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

    fn changes(&mut self) -> Vec<(Uuid, CallChange)> {
        let change = |event| match event {
            Event::Call(call) => Some((call.uuid, call.change)),
            _ => None,
        };
        std::mem::take(&mut self.stage.events).into_iter().filter_map(change).collect()
    }

    #[track_caller]
    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}\n{:#?}", self.told.join("\n"), self.oracle.calls)
    }

    /// What a push tells, and its JSON; `kind` is 0 for a call and 2 for a cancel.
    fn draw_push(&mut self, kind: u8) -> (Side, String) {
        let account = self.dice.perhaps(&[0, 1]);
        let caller = self.dice.of(&NAMES);
        let callers = if caller.is_empty() { Vec::new() } else { vec![caller] };
        if kind == 0 && self.dice.roll(5) == 0 {
            let vendor_id = self.dice.of(&VENDOR_IDS);
            let to = account.map(|account| format!(r#","send_to":"sip:{}@example.com""#, USERS[account]));
            let json = format!(
                r#"{{"msg_type":"audio","send_from":"{caller}","x-push-id":"{vendor_id}"{}}}"#,
                to.unwrap_or_default()
            );
            return (Side { call_id: None, vendor_id: Some(vendor_id), account, callers }, json);
        }
        let call_id = self.dice.perhaps(&CALL_IDS);
        let mut json = format!(r#"{{"ntype":"{kind}","nfrom":"{caller}""#);
        if let Some(id) = call_id {
            json += &format!(r#","ncallid":"{id}""#);
        }
        if let Some(account) = account {
            json += &format!(r#","ntouser":"{}""#, USERS[account]);
        }
        (Side { call_id, vendor_id: None, account, callers }, json + "}")
    }

    fn judge(&mut self, json: &str) -> PushAction {
        let hints = Hints::at(self.stage.now);
        self.stage.agent.gate().judge(parse_push(json, Channel::FcmAndroid, &hints), &hints, self.stage.now.boot)
    }

    fn push(&mut self, invite_between: bool) {
        let (side, json) = self.draw_push(0);
        self.told.push(format!("push {json}"));
        let now = self.stage.now.boot;
        let action = self.judge(&json);
        let met = self.oracle.push(&side, now);
        let mut index = match met {
            Met::Over(_) => {
                if action.kind != (ActionKind::Ignore { reason: Ignored::CallOver }) {
                    self.fail(&format!("should be silent: {action:?}"));
                }
                None
            }
            Met::Call(index) => {
                if !action.is_call() || Some(action.uuid) != self.oracle.calls[index].uuid {
                    self.fail(&format!("should be call {index}: {action:?}"));
                }
                Some(index)
            }
            Met::New => {
                if !action.is_call() || !self.seen.insert(action.uuid) {
                    self.fail(&format!("should be a new call: {action:?}"));
                }
                let index = self.oracle.add(Some(side.clone()), None, Stands::Announced, now);
                self.oracle.calls[index].uuid = Some(action.uuid);
                Some(index)
            }
        };
        if invite_between {
            let uuid = index.and_then(|index| self.oracle.calls[index].uuid);
            self.invite();
            index = index.and_then(|_| self.oracle.calls.iter().position(|call| call.uuid == uuid));
            // It is announced only now, unless the INVITE brought it.
            if let Some(announced) = index.filter(|index| met == Met::New && self.oracle.calls[*index].invite.is_none())
            {
                let call = self.oracle.calls.remove(announced);
                self.oracle.calls.push(call);
                index = Some(self.oracle.calls.len() - 1);
            }
        }
        self.stage.agent.handle_push(&action, self.stage.now);
        self.stage.drain();
        if let Some(index) = index {
            self.oracle.calls[index].push.get_or_insert(side);
        }
        self.settle();
        if self.changes().iter().any(|(uuid, _)| Some(*uuid) != index.and_then(|index| self.oracle.calls[index].uuid)) {
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
        let mut callers = vec![user];
        callers.extend((!display.is_empty()).then_some(display));
        callers.extend(asserted);
        let side = Side { call_id: Some(call_id), vendor_id, account: Some(flow), callers };
        self.told.push(format!("INVITE {side:?}"));
        let now = self.stage.now.boot;
        let met = self.oracle.invite(&side, now);
        self.stage.input_on(self.flows[flow], text);
        let (codes, changes) = (self.settle(), self.changes());
        let ringing =
            changes.iter().find(|(_, change)| matches!(change, CallChange::Ringing { .. })).map(|(uuid, _)| *uuid);
        match met {
            Met::Over(index) => {
                if ringing.is_some() || codes.iter().any(|code| *code < 300) {
                    self.fail(&format!("should be refused as call {index} was: {codes:?} {changes:?}"));
                }
                self.oracle.calls[index].invite.get_or_insert(side);
            }
            Met::New => {
                let Some(uuid) = ringing.filter(|_| codes == [180]) else {
                    self.fail(&format!("should ring anew: {codes:?} {changes:?}"))
                };
                if !self.seen.insert(uuid) {
                    self.fail("should have a name of its own");
                }
                // C6: the call lives.
                self.oracle.calls.retain(|call| !(call.tombstone && call.shares(&side)));
                let index = self.oracle.add(None, Some(side), Stands::Ringing, now);
                self.oracle.calls[index].uuid = Some(uuid);
                self.oracle.calls[index].branches.push(branch);
            }
            Met::Call(index) if self.oracle.calls[index].stands == Stands::Answered => {
                if ringing.is_some() || codes != [486] {
                    self.fail(&format!("call {index} is answered: {codes:?} {changes:?}"));
                }
                let call = &mut self.oracle.calls[index];
                if call.invite.is_none() {
                    self.fail("an answered call has its INVITE");
                }
            }
            Met::Call(index) => {
                let first = self.oracle.calls[index].invite.is_none();
                let uuid = self.oracle.calls[index].uuid;
                if codes != [180] || ringing != uuid.filter(|_| first) {
                    self.fail(&format!("should be call {index}: {codes:?} {changes:?}"));
                }
                let call = &mut self.oracle.calls[index];
                call.branches.push(branch);
                if first {
                    (call.account, call.invite, call.stands, call.invited_at) =
                        (side.account, Some(side), Stands::Ringing, now);
                    self.joined += 1;
                }
            }
        }
    }

    fn cancel_by_push(&mut self) {
        let (side, json) = self.draw_push(2);
        self.told.push(format!("cancel {json}"));
        let now = self.stage.now.boot;
        let (ends, tombstone) = self.oracle.cancel(&side);
        let action = self.judge(&json);
        self.stage.agent.handle_push(&action, self.stage.now);
        self.stage.drain();
        self.settle();
        let ended: Vec<Uuid> = self.changes().into_iter().map(|(uuid, _)| uuid).collect();
        let expected: Vec<Uuid> = ends.iter().filter_map(|index| self.oracle.calls[*index].uuid).collect();
        if ended != expected {
            self.fail(&format!("should end {expected:?}: {ended:?}"));
        }
        if let Some(index) = ends {
            self.oracle.end(index, now, false, false);
        }
        if tombstone {
            let index = self.oracle.add(Some(side), None, Stands::Announced, now);
            self.oracle.end(index, now, false, false);
            self.oracle.calls[index].tombstone = true;
        }
    }

    /// Something happens to a call that is under way.
    fn act(&mut self) {
        let live: Vec<usize> = (0..self.oracle.calls.len()).filter(|index| !self.oracle.calls[*index].over()).collect();
        if live.is_empty() {
            return;
        }
        let index = self.dice.of(&live);
        let call = self.oracle.calls[index].clone();
        let (Some(uuid), now) = (call.uuid, self.stage.now.boot) else { return };
        self.told.push(format!("call {index} is {:?}, acted on", call.stands));
        match (call.stands, self.dice.roll(3)) {
            (Stands::Ringing, 0) => {
                assert!(self.stage.agent.accept(uuid, Offer::sdp("v=0\r\n"), self.stage.now));
                self.oracle.calls[index].stands = Stands::Answered;
            }
            (Stands::Announced | Stands::Ringing, _) => {
                assert!(self.stage.agent.decline(uuid, Decline::Everywhere, self.stage.now));
                self.oracle.end(index, now, false, true);
            }
            _ => {
                assert!(self.stage.agent.hang_up(uuid, sipwake_core::call::HangUp::Normal, self.stage.now));
                self.oracle.end(index, now, false, false);
            }
        }
        self.stage.drain();
        self.settle();
        self.changes();
    }

    /// The caller of a call that rings gives up.
    fn give_up(&mut self) {
        let rings = |call: &Call| call.stands == Stands::Ringing && call.branches.len() == 1;
        let Some(index) = self.oracle.newest(rings) else { return };
        let call = self.oracle.calls[index].clone();
        let (call_id, account) = (call.invite.as_ref().and_then(|invite| invite.call_id), call.account.unwrap_or(0));
        self.told.push(format!("the caller of {index} gives up"));
        let branch = &call.branches[0];
        self.stage.input_on(self.flows[account], request("CANCEL", branch, call_id.unwrap_or_default(), "x", "", ""));
        self.settle();
        if !matches!(self.changes()[..], [(uuid, CallChange::Ended(Ended::Cancelled))] if Some(uuid) == call.uuid) {
            self.fail("should be cancelled");
        }
        self.oracle.end(index, self.stage.now.boot, false, false);
    }

    fn wait(&mut self) {
        let time = self.dice.of(&[1, 4, 9, 11, 30, 41]);
        self.told.push(format!("{time} s pass"));
        for _ in 0..time {
            self.stage.advance(seconds(1));
            self.settle();
            self.pass_a_second();
        }
    }

    fn pass_a_second(&mut self) {
        let now = self.stage.now.boot;
        let ended: BTreeSet<Uuid> = self.changes().into_iter().map(|(uuid, _)| uuid).collect();
        let mut expected = BTreeSet::new();
        for index in 0..self.oracle.calls.len() {
            let call = &self.oracle.calls[index];
            let Some(uuid) = call.uuid else { continue };
            let missed = call.stands == Stands::Announced && call.announced_at + WINDOW <= now;
            // Who was accepted without an ACK is given up after 32 seconds.
            let unheard = call.stands == Stands::Answered && ended.contains(&uuid);
            if missed || unheard {
                expected.insert(uuid);
                self.oracle.end(index, now, missed, false);
            }
        }
        if ended != expected {
            self.fail(&format!("should be over: {expected:?}, not {ended:?}"));
        }
    }
}

#[test]
fn the_client_matches_as_the_page_says_whatever_comes_in_whatever_order() {
    let mut met = 0;
    for seed in 0..ORDERS {
        let mut scene = Scene::new(seed);
        let mut waited = 0;
        for _ in 0..STEPS {
            // Nobody has told the client how quick this server is.
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
    assert!(met > 200, "the stock is so small that many meet: {met}");
}
