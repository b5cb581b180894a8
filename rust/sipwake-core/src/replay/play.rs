//! Plays a recording with the real core.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::agent::decisions;
use super::mask::{RIGHT, blank};
use super::{Bytes, Input, Line, Out, Recording};
use crate::account::Account;
use crate::calls::Judged;
use crate::clock::Now;
use crate::event::FlowId;
use crate::push::Push;
use crate::random::{Draws, Random};
use crate::record::{Id, Noted};
use crate::snapshot::SaveId;
use crate::user_agent::{Unreadable, UserAgent};

/// The result of a replay.
#[derive(Debug)]
pub struct Played {
    /// Each input with its outputs.
    pub steps: Vec<Step>,
    /// What was decided.
    pub decisions: Vec<Noted>,
    /// The first difference between this core and the recorded one. Nothing after it was played.
    pub difference: Option<Difference>,
    /// The recording reached its largest size. What happened afterwards is missing.
    pub full: bool,
}

/// One input with its outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it came, since the recording began.
    pub at: Duration,
    /// The input in the words of the file, without messages.
    pub input: String,
    /// The message that came in.
    pub received: Option<Vec<u8>>,
    /// The messages that were sent.
    pub sent: Vec<Vec<u8>>,
}

/// The first difference between replay and recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: recorded {recorded}; replayed {replayed}")]
pub struct Difference {
    /// The line of the file.
    pub line: usize,
    /// What the file says.
    pub recorded: String,
    /// What this core did.
    pub replayed: String,
}

impl Recording {
    /// Plays the recording with the real core, up to the first difference.
    ///
    /// The network, the clocks, the store, the app's commands and the random values are the recorded ones. The password
    /// is a stand-in, so that digests and `X-PIID` are blanked before they are compared.
    pub fn play(&self) -> Played {
        let mut played = Played {
            steps: Vec::with_capacity(self.lines.len()),
            decisions: Vec::new(),
            difference: None,
            full: self.end.full,
        };
        let mut agent = None;
        for (index, line) in self.lines.iter().enumerate() {
            let number = index + 2;
            let parted = |recorded: String, replayed: String| Some(Difference { line: number, recorded, replayed });
            let begun = self.lines[0].boot;
            let mut step = Step { at: Duration::from_nanos(line.boot - begun), ..line.step() };
            let agent = agent.get_or_insert_with(|| line.start());
            if index > 0 {
                agent.random().follow(&line.drawn);
                line.enter(agent);
            }
            for recorded in &line.out {
                let Some(mut replayed) = next(agent) else { continue };
                if let Out::Transmit { bytes, .. } = &mut replayed {
                    blank(&mut bytes.0, &[]);
                    step.sent.push(bytes.0.to_vec());
                }
                if *recorded != replayed {
                    played.difference = parted(recorded.in_words(), replayed.in_words());
                    break;
                }
            }
            if let (None, Err(why)) = (&played.difference, agent.random().followed()) {
                played.difference = parted("other draws of random values".to_owned(), why.to_owned());
            }
            played.steps.push(step);
            if played.difference.is_some() {
                break;
            }
        }
        if let Some(agent) = &agent {
            played.decisions = decisions(agent);
        }
        if played.difference.is_none() {
            played.difference = self.compare(&played.decisions);
        }
        played
    }

    /// Compares the decisions. The names in the black box are hashes with a key that is not recorded, so they are
    /// numbered in the order in which they appear.
    fn compare(&self, replayed: &[Noted]) -> Option<Difference> {
        let line = self.lines.len() + 2;
        let (recorded, replayed) = (renamed(&self.end.decisions), renamed(replayed));
        // If there are many decisions, the oldest are dropped. The recorded process dropped them sooner.
        let skipped = replayed.len().saturating_sub(recorded.len());
        let whole = self.end.decisions.first().is_some_and(|noted| noted.code == 100);
        if recorded.len() != replayed.len() && (whole || recorded.len() > replayed.len()) {
            let count = |decisions: &[String]| format!("{} decisions", decisions.len());
            return Some(Difference { line, recorded: count(&recorded), replayed: count(&replayed) });
        }
        let parted = recorded.iter().zip(&replayed[skipped..]).find(|(recorded, replayed)| recorded != replayed);
        parted.map(|(recorded, replayed)| Difference { line, recorded: recorded.clone(), replayed: replayed.clone() })
    }
}

fn renamed(decisions: &[Noted]) -> Vec<String> {
    let mut names: BTreeMap<Id, usize> = BTreeMap::new();
    let mut name = |id: Option<Id>| {
        id.map(|id| {
            let count = names.len();
            *names.entry(id).or_insert(count)
        })
    };
    let mut shown = |noted: &Noted| {
        let (account, call) = (name(noted.account), name(noted.call));
        format!("{} {} {:?} {account:?} {call:?} {:?} x{}", noted.at, noted.name, noted.code, noted.facts, noted.times)
    };
    decisions.iter().map(&mut shown).collect()
}

/// Returns `None` for an output that is not part of a recording.
fn next(agent: &mut UserAgent) -> Option<Out> {
    Out::of(agent.poll_output().as_ref())
}

impl Out {
    fn in_words(&self) -> String {
        if let Self::Transmit { flow, to, bytes } = self {
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            return format!("on flow {flow}{to}:\n{}", String::from_utf8_lossy(&bytes.0));
        }
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Line {
    fn step(&self) -> Step {
        let (mut input, mut received) = (self.input.clone(), None);
        if let Input::Received { bytes, .. } | Input::Stranger { bytes, .. } = &mut input {
            received = Some(std::mem::replace(bytes, Bytes::from(&[][..])).0.to_vec());
        }
        let input = serde_json::to_value(&input).map(|value| in_words(&value)).unwrap_or_default();
        let input = input.replace("bytes:,", "");
        Step { at: Duration::ZERO, input, received, sent: Vec::new() }
    }

    /// Starts a client as the first line says.
    fn start(&self) -> UserAgent {
        let mut random = Random::new([0; 32]);
        random.tape(Draws::followed(&self.drawn));
        let removals = if let Input::Start { removals } = &self.input { removals.as_ref() } else { None };
        UserAgent::with(random, removals.map(|record| record.0.as_slice()), self.now())
    }

    fn enter(&self, agent: &mut UserAgent) {
        let now = self.now();
        let uuid = |call: &String| Uuid::parse_str(call).unwrap_or_default();
        match &self.input {
            // The first line only. The reader has checked it.
            Input::Start { .. } => {}
            Input::AddAccount { account, push, stored } => {
                let parsed = Account::parse((**account).clone());
                let push = push.clone().map(Push::parse).transpose();
                if let (Ok(account), Ok(push)) = (parsed, push) {
                    _ = agent.add_account(account, push, stored.as_ref().map(|record| record.0.as_slice()), now);
                }
            }
            Input::Register { account } => _ = agent.register(account, now),
            Input::SetToken { account, token } => _ = agent.set_token(account, token.clone(), now),
            Input::UnbindPush { account } => _ = agent.unbind_push(account, now),
            Input::LogOut { account } => _ = agent.log_out(account, now),
            Input::AcceptRealm { account, realm } => _ = agent.accept_realm(account, realm, now),
            Input::AssumeBound { account } => _ = agent.assume_bound(account),
            Input::QueryPush { account, provider } => {
                _ = agent.query_push(account, provider.clone(), now);
            }
            Input::GatewayLoad { account, gateway, load, response_time } => {
                _ = agent.handle_gateway_load(account, *gateway, *load, *response_time);
            }
            Input::SetCallPolicy { policy } => agent.set_call_policy(policy.clone()),
            Input::TakeCallRequests { take } => agent.take_call_requests(*take),
            Input::AllowUnsolicitedCalls { allow } => agent.allow_unsolicited_calls(*allow),
            Input::HoldUntilSaved { hold } => agent.hold_until_saved(*hold),
            Input::Ringing { call } => _ = agent.ringing(uuid(call), now),
            Input::Answer { call } => _ = agent.answer(uuid(call), now),
            Input::Accept { call, answer } => _ = agent.accept(uuid(call), answer.clone(), now),
            Input::Decline { call, how } => _ = agent.decline(uuid(call), *how, now),
            Input::HangUp { call, why } => _ = agent.hang_up(uuid(call), *why, now),
            Input::RespondOffer { call, answer } => _ = agent.respond_offer(uuid(call), answer.clone(), now),
            Input::RespondRequest { call, request, status } => {
                _ = agent.respond_request(uuid(call), *request, *status, now);
            }
            Input::Judged { call, push, at } => {
                agent.judgements().notes().note(Judged { uuid: uuid(call), push: push.clone(), at: *at });
            }
            Input::Push { push } => agent.handle_push(&push.action(), now),
            Input::NetworkChanged {} => agent.network_changed(now),
            Input::Timeout {} => agent.handle_timeout(now),
            Input::StoreAvailable {} => agent.store_available(now),
            Input::Saved { id, failed } => {
                agent.handle_saved(SaveId(*id), failed.clone().map_or(Ok(()), Err), now);
            }
            Input::StoreFailed { key, reason } => agent.handle_store_failure(key, reason.clone(), now),
            Input::Loaded { key, record } => {
                agent.handle_loaded(key, Ok(record.as_ref().map(|record| record.0.as_slice())), now);
            }
            Input::NotLoaded { key, failed } => {
                let why = failed.clone().map_or(Unreadable::Shut, Unreadable::Failed);
                agent.handle_loaded(key, Err(why), now);
            }
            Input::SetDoNotDisturb { account, until } => _ = agent.set_do_not_disturb(account, *until, now),
            #[cfg(feature = "sealed")]
            Input::SaveOpened {} => agent.save_opened(Vec::new(), now),
            #[cfg(feature = "sealed")]
            Input::SetPushKey { auth, p256dh } => {
                agent.set_push_key(&crate::sealed::PushKey { auth: auth.clone(), p256dh: p256dh.clone() }, now);
            }
            Input::FlowTransport { .. }
            | Input::FlowLeadsOn { .. }
            | Input::FlowLeft { .. }
            | Input::FlowUp { .. }
            | Input::FlowDown { .. }
            | Input::Received { .. }
            | Input::Stranger { .. } => self.enter_flow(agent, now),
        }
    }

    fn enter_flow(&self, agent: &mut UserAgent, now: Now) {
        match &self.input {
            Input::FlowTransport { flow, transport } => agent.handle_flow_transport(FlowId(*flow), *transport),
            Input::FlowLeadsOn { flow, leads_on } => agent.handle_flow_leads_on(FlowId(*flow), *leads_on),
            Input::FlowLeft { flow, left } => agent.handle_flow_left(FlowId(*flow), FlowId(*left), now),
            Input::FlowUp { flow, local } => agent.handle_flow_up(FlowId(*flow), *local, now),
            Input::FlowDown { flow, error } => agent.handle_flow_down(FlowId(*flow), error.clone(), now),
            Input::Stranger { flow, from, bytes } => agent.handle_stranger(FlowId(*flow), *from, &bytes.0, now),
            Input::Received { flow, bytes } => {
                let mut bytes = bytes.0.to_vec();
                prove(&mut bytes, agent, FlowId(*flow));
                agent.handle_input(FlowId(*flow), &bytes, now);
            }
            _ => {}
        }
    }
}

/// If a right `rspauth` came, puts in one that is right for the stand-in of the password.
fn prove(bytes: &mut [u8], agent: &UserAgent, flow: FlowId) {
    const NAME: &[u8] = b"rspauth=";
    let Some(at) = bytes.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME)) else { return };
    let begin = at + NAME.len() + usize::from(bytes.get(at + NAME.len()) == Some(&b'"'));
    let length = bytes[begin..].iter().take_while(|byte| **byte == RIGHT).count();
    if let Some(proof) = agent.right_proofs(flow).iter().find(|proof| proof.len() == length) {
        bytes[begin..begin + length].copy_from_slice(proof.as_bytes());
    }
}

/// Shows an input in one line: its name and its fields.
fn in_words(value: &serde_json::Value) -> String {
    let shown = value.to_string();
    let mut shown: String = shown.chars().take(160).collect();
    shown.retain(|c| !"{}\"".contains(c));
    shown
}
