//! Every order in which a push, an INVITE, a CANCEL, an answer, a decline, the end of the process and a new network can
//! come. In each order the phone and the caller reach one end, and the same one.

mod phone;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use phone::{ANSWER, Caller, Phone, gist, header};
use sipwake_core::account::Transport;
use sipwake_core::event::{Ended, Offer};
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::user_agent::Decline;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Push,
    Invite,
    Cancel,
    Answer,
    Decline,
    Kill,
    Reconnect,
}

use Step::{Answer, Cancel, Decline as Refuse, Invite, Kill, Push, Reconnect};

const STEPS: [Step; 7] = [Push, Invite, Cancel, Answer, Refuse, Kill, Reconnect];

/// How the call ended for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It never sent its INVITE.
    NeverCalled,
    /// It gave up before anybody answered.
    GaveUp,
    /// It was refused with this status.
    Refused(u16),
    /// It talked.
    Talked,
    /// It never got a final response.
    Silence,
}

/// The scripted caller: a client transaction and a dialog, as in RFC 3261 sections 9, 13.2 and 17.1.1.
struct Bob {
    words: Caller,
    invited: bool,
    wants_cancel: bool,
    /// It gave up because it got no response for 100 seconds.
    lost_patience: bool,
    cancelled: bool,
    heard: bool,
    confirmed: bool,
    outcome: Option<Outcome>,
    /// Tags of the dialogs that it has acknowledged.
    dialogs: BTreeSet<String>,
    over: bool,
}

impl Bob {
    fn new() -> Self {
        Self {
            words: Caller::new("c1"),
            invited: false,
            wants_cancel: false,
            lost_patience: false,
            cancelled: false,
            heard: false,
            confirmed: false,
            outcome: None,
            dialogs: BTreeSet::new(),
            over: false,
        }
    }

    /// Reads what the phone sent, and answers until both are silent.
    fn listen(&mut self, phone: &mut Phone) {
        loop {
            if self.wants_cancel && !self.cancelled && self.heard && self.outcome.is_none() {
                self.cancelled = true;
                phone.receive(&self.words.cancel(""));
            }
            let sent = phone.take();
            if sent.is_empty() {
                return;
            }
            for text in sent {
                self.hear(&text, phone);
            }
        }
    }

    fn hear(&mut self, text: &str, phone: &mut Phone) {
        let said = gist(text);
        match said.split_once(' ') {
            Some((status, "INVITE")) => {
                let status: u16 = status.parse().expect("a status");
                self.heard = true;
                if status < 200 {
                    return;
                }
                self.words.hear(text);
                phone.receive(&self.words.ack(status >= 300));
                if status >= 300 {
                    let cancelled = status == 487 && self.cancelled;
                    self.outcome.get_or_insert(if cancelled { Outcome::GaveUp } else { Outcome::Refused(status) });
                    return;
                }
                self.confirmed = true;
                if self.dialogs.insert(self.words.to_tag.clone()) {
                    self.outcome.get_or_insert(Outcome::Talked);
                    // It had given up: the answer crossed its CANCEL, and it hangs up.
                    if self.wants_cancel {
                        let bye = self.words.within("BYE", "", None);
                        self.over = true;
                        phone.receive(&bye);
                    }
                }
            }
            Some((_, "CANCEL" | "BYE" | "UPDATE")) => {}
            Some(other) => panic!("an unexpected response: {other:?}"),
            None if said == "BYE" => {
                let known = self.dialogs.iter().any(|tag| header(text, "From").is_some_and(|from| from.contains(tag)));
                let status = if known && !self.over { "200 OK" } else { "481 Gone" };
                self.over = true;
                phone.receive(&Caller::respond(text, status, ""));
            }
            None if said == "INVITE" => {
                phone.receive(&Caller::respond(text, "200 OK", "Contact: <sip:bob@192.0.2.1:5070>\r\n"));
            }
            None => assert_eq!(said, "ACK"),
        }
    }
}

/// Plays one order. After every step all resulting messages are exchanged at once.
fn play(order: &[Step], lost_by_kill: &mut u32) {
    let mut phone = Phone::new(Transport::Udp);
    let mut bob = Bob::new();
    let mut killed_in_call = false;
    let mut accepted = false;
    for step in order {
        match step {
            Push => {
                phone.push("c1");
            }
            Invite => {
                bob.invited = true;
                phone.receive(&bob.words.invite());
            }
            Cancel => bob.wants_cancel = true,
            Answer => {
                let call = uuid_of_call(&phone);
                if !phone.agent.accept(call, Offer::sdp(ANSWER), phone.now) {
                    phone.agent.answer(call, phone.now);
                }
            }
            Refuse => {
                let call = uuid_of_call(&phone);
                if !phone.agent.decline(call, Decline::Everywhere, phone.now) {
                    phone.agent.hang_up(call, sipwake_core::call::HangUp::Normal, phone.now);
                }
            }
            Kill => {
                killed_in_call = bob.outcome == Some(Outcome::Talked) && !bob.over;
                phone.events.clear();
                phone.kill();
                *lost_by_kill += 1;
            }
            Reconnect => phone.reconnect(),
        }
        phone.drain();
        bob.listen(&mut phone);
        accepted |= take_wanted_answer(&mut phone);
        bob.listen(&mut phone);
    }
    // The remaining time: the caller's patience, retransmissions, deadlines.
    let mut passed = 0;
    for second in (0..40).chain((40..=240).step_by(20)) {
        phone.pass(Duration::from_secs(second - passed));
        passed = second;
        bob.listen(&mut phone);
        // A live INVITE is sent again until it gets a response (timer A). A process that starts after a kill takes it for a new
        // one.
        if bob.invited && !bob.heard && second < 32 {
            phone.receive(&bob.words.invite());
            bob.listen(&mut phone);
        }
        if take_wanted_answer(&mut phone) {
            bob.listen(&mut phone);
        }
        if second == 100 && bob.outcome.is_none() && bob.heard {
            bob.wants_cancel = true;
            bob.lost_patience = true;
            bob.listen(&mut phone);
        }
        if second == 200 && bob.outcome == Some(Outcome::Talked) && !bob.over {
            bob.over = true;
            let bye = bob.words.within("BYE", "", None);
            phone.receive(&bye);
            bob.listen(&mut phone);
        }
    }
    let outcome = bob.outcome.unwrap_or(match (bob.invited, bob.wants_cancel) {
        (false, _) => Outcome::NeverCalled,
        (true, true) => Outcome::GaveUp,
        (true, false) => Outcome::Silence,
    });
    let ends = phone.ends();
    let mut by_call = BTreeMap::new();
    for (uuid, how) in &ends {
        assert_eq!(by_call.insert(*uuid, *how), None, "{order:?}: an end was reported twice: {ends:?}");
    }
    assert!(by_call.len() <= 1, "{order:?}: one call, one name: {ends:?}");
    let end = by_call.values().next().copied();
    let agreed = match (end, outcome) {
        // The phone knows no call: it was killed before anything reached the new process, or nothing ever came.
        (None, _) => phone.happened().iter().all(|word| word.starts_with("dropped")),
        // A caller whose call was declined must not be left waiting, unless the process that got its INVITE was killed.
        (Some(Ended::Missed | Ended::Declined), Outcome::GaveUp) => !bob.lost_patience || order.contains(&Kill),
        (Some(Ended::Missed | Ended::Declined), Outcome::NeverCalled) => true,
        (Some(Ended::Declined), Outcome::Refused(603)) => true,
        (Some(Ended::Cancelled), Outcome::GaveUp) => true,
        (Some(Ended::HungUpByCaller | Ended::HungUp), Outcome::Talked) => true,
        (Some(Ended::Unanswered), Outcome::Refused(480)) => true,
        // The caller talked to the killed process, and the push came again to the new one.
        (Some(Ended::Missed | Ended::Declined), Outcome::Talked | Outcome::Refused(603)) => order.contains(&Kill),
        _ => false,
    };
    assert!(agreed, "{order:?}: the phone says {end:?}, the caller {outcome:?}; {ends:?}");
    assert!(
        bob.outcome != Some(Outcome::Talked) || bob.over,
        "{order:?}: the caller is still connected, but no phone is"
    );
    if accepted && !killed_in_call && !order.contains(&Kill) && !bob.wants_cancel {
        assert!(matches!(outcome, Outcome::Talked | Outcome::Refused(603)), "{order:?}: {outcome:?}");
    }
    assert!(
        phone.agent.poll_timeout().is_none_or(|(at, why)| why == "binding refresh" || at > phone.now.boot),
        "{order:?}: something is stuck"
    );
}

/// Supplies the session description if the user answered early.
fn take_wanted_answer(phone: &mut Phone) -> bool {
    let wanted = phone.events.iter().rev().find_map(|event| match event {
        sipwake_core::event::Event::Call(call) => {
            matches!(call.change, sipwake_core::event::CallChange::AnswerWanted { .. }).then_some(call.uuid)
        }
        _ => None,
    });
    let accepted = wanted.is_some_and(|call| phone.agent.accept(call, Offer::sdp(ANSWER), phone.now));
    phone.drain();
    accepted
}

/// The UUID of the call. It depends only on the Call-ID, as the app knows it from the push even after a restart.
fn uuid_of_call(_: &Phone) -> uuid::Uuid {
    let identity = sipwake_core::payload::CallIdentity::new(Some("c1"), None, None, None);
    sipwake_core::payload::call_uuid(&identity)
}

fn orders<T: Copy + PartialEq>(of: &[T]) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<T>> = vec![Vec::new()];
    let mut begin = 0;
    while begin < all.len() {
        let end = all.len();
        for index in begin..end {
            for step in of.iter().filter(|step| !all[index].contains(step)).copied().collect::<Vec<_>>() {
                let mut longer = all[index].clone();
                longer.push(step);
                all.push(longer);
            }
        }
        begin = end;
    }
    all
}

#[test]
fn in_every_order_both_sides_agree_on_one_end() {
    let all = orders(&STEPS);
    assert_eq!(all.len(), 13_700, "every order of every choice of the seven");
    let mut kills = 0;
    for order in &all {
        play(order, &mut kills);
    }
    assert!(kills > 5000);
}

/// The events of two calls of one caller, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    PushFirst,
    PushSecond,
    InviteFirst,
    InviteSecond,
    CancelPushFirst,
    GiveUpSecond,
    DeclineFirst,
}

const MOVES: [Move; 7] = [
    Move::PushFirst,
    Move::PushSecond,
    Move::InviteFirst,
    Move::InviteSecond,
    Move::CancelPushFirst,
    Move::GiveUpSecond,
    Move::DeclineFirst,
];

fn cancel_push(phone: &mut Phone, call_id: &str) {
    let payload = format!("{{\"ntype\":\"2\",\"nfrom\":\"bob\",\"ncallid\":\"{call_id}\"}}");
    let hints = Hints::at(phone.now);
    let cancel = parse_push(payload.as_str(), Channel::FcmAndroid, &hints);
    let cancel = phone.agent.gate().judge(cancel, &hints, phone.now.boot);
    phone.agent.handle_push(&cancel, phone.now);
    phone.drain();
}

/// Two calls of one caller, each with its own id: the rows of `docs/calls.md` for two lines, redials, and the cancel of another
/// call.
fn play_two(order: &[Move]) {
    let mut phone = Phone::new(Transport::Udp);
    let callers = [Caller::new("c1"), Caller::new("c2")];
    let mut heard = [Vec::new(), Vec::new()];
    for step in order {
        let before = phone.sent.len();
        match step {
            Move::PushFirst => {
                phone.push("c1");
            }
            Move::PushSecond => {
                phone.push("c2");
            }
            Move::InviteFirst => phone.receive(&callers[0].invite()),
            Move::InviteSecond => phone.receive(&callers[1].invite()),
            Move::CancelPushFirst => {
                cancel_push(&mut phone, "c1");
            }
            Move::GiveUpSecond => phone.receive(&callers[1].cancel("")),
            Move::DeclineFirst => {
                phone.agent.decline(uuid_of_call(&phone), Decline::Everywhere, phone.now);
                phone.drain();
            }
        }
        for text in &phone.sent[before..] {
            let said = gist(text);
            if let Some(status) = said.strip_suffix(" INVITE").and_then(|status| status.parse::<u16>().ok()) {
                let second = header(text, "Call-ID").as_deref() == Some("c2");
                heard[usize::from(second)].push(status);
            }
        }
    }
    let came_before = |first: Move, then: Move| {
        let at = |step| order.iter().position(|known| *known == step);
        at(first).zip(at(then)).is_some_and(|(first, then)| first < then)
    };
    // The call whose INVITE comes first rings, unless it has ended already.
    let over =
        came_before(Move::CancelPushFirst, Move::InviteFirst) || came_before(Move::DeclineFirst, Move::InviteFirst);
    if order.contains(&Move::InviteFirst) && !over {
        assert_eq!(heard[0].first(), Some(&180), "{order:?}");
    }
    if order.contains(&Move::InviteSecond) {
        assert_eq!(heard[1].first(), Some(&180), "{order:?}");
    }
    phone.pass(Duration::from_secs(240));
    let told: BTreeSet<uuid::Uuid> = phone
        .events
        .iter()
        .filter_map(|event| match event {
            sipwake_core::event::Event::Call(call) => Some(call.uuid),
            _ => None,
        })
        .collect();
    let ends = phone.ends();
    assert!(told.len() <= 2, "{order:?}: two calls are reported as {told:?}");
    let ended: BTreeSet<uuid::Uuid> = ends.iter().map(|(uuid, _)| *uuid).collect();
    assert_eq!((ended.len(), &ended), (ends.len(), &told), "{order:?}: each reported call ends once: {ends:?}");
    if order.contains(&Move::InviteFirst) && order.contains(&Move::InviteSecond) && !over {
        assert_eq!(told.len(), 2, "{order:?}: two calls are not one");
    }
}

#[test]
fn two_calls_of_one_caller_are_two_in_every_order_and_each_of_them_rings() {
    let orders = orders(&MOVES);
    assert_eq!(orders.len(), 13_700, "every order of every choice of the seven");
    for order in &orders {
        play_two(order);
    }
}
