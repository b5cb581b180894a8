//! Faults that a test adds to the path of messages.

use std::collections::HashMap;
use std::time::Duration;

use crate::parse::Message;
use crate::record::Direction;
use crate::transport::FlowId;

/// Requests, responses or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Both.
    #[default]
    Any,
    /// Requests only.
    Request,
    /// Responses only.
    Response,
}

/// What happens to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is lost.
    Drop,
    /// It comes later.
    Delay(Duration),
    /// It comes twice.
    Duplicate,
    /// It comes after the next message of the same flow and direction, or after half a second.
    Reorder,
    /// Bytes that are not SIP come instead (sent messages only).
    Garbage,
    /// Its first half comes and nothing else (sent messages only).
    Half,
    /// The connection is closed instead.
    Close,
    /// The connection is reset instead (TCP RST; on UDP the message is lost).
    Reset,
    /// A response carries another Via branch than the request (sent messages only).
    WrongBranch,
    /// A response to another request (other Call-ID and branch) comes before it (sent messages only).
    ForeignResponse,
    /// These bytes come instead (sent messages only).
    Replace(String),
}

impl Action {
    /// Returns the stable name used by the control port and the record.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Drop => "drop",
            Action::Delay(_) => "delay",
            Action::Duplicate => "duplicate",
            Action::Reorder => "reorder",
            Action::Garbage => "garbage",
            Action::Half => "half",
            Action::Close => "close",
            Action::Reset => "reset",
            Action::WrongBranch => "wrong_branch",
            Action::ForeignResponse => "foreign_response",
            Action::Replace(_) => "replace",
        }
    }
}

/// A fault: which messages, how many of them, and what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Sent or received messages; both if `None`.
    pub direction: Option<Direction>,
    /// Requests or responses.
    pub kind: Kind,
    /// The method (of CSeq in a response).
    pub method: Option<String>,
    /// The status; matches responses only.
    pub status: Option<u16>,
    /// How many matching messages pass before the first hit.
    pub skip: u32,
    /// How many matching messages are hit.
    pub count: u32,
    /// What happens to them.
    pub action: Action,
}

impl Fault {
    /// A fault for the next message of any kind.
    pub fn new(action: Action) -> Fault {
        Fault { direction: None, kind: Kind::Any, method: None, status: None, skip: 0, count: 1, action }
    }

    /// Only messages the mock sends.
    pub fn sent(self) -> Fault {
        Fault { direction: Some(Direction::Sent), ..self }
    }

    /// Only messages the mock receives.
    pub fn received(self) -> Fault {
        Fault { direction: Some(Direction::Received), ..self }
    }

    /// Only requests with this method.
    pub fn request(self, method: &str) -> Fault {
        Fault { kind: Kind::Request, method: Some(method.into()), ..self }
    }

    /// Only responses with this status to this method.
    pub fn response(self, status: u16, method: &str) -> Fault {
        Fault { kind: Kind::Response, method: Some(method.into()), status: Some(status), ..self }
    }

    /// Hits this many messages.
    pub fn times(self, count: u32) -> Fault {
        Fault { count, ..self }
    }

    /// Lets this many messages pass before the first hit.
    pub fn after(self, skip: u32) -> Fault {
        Fault { skip, ..self }
    }

    fn matches(&self, direction: Direction, message: &Message) -> bool {
        let kind = match self.kind {
            Kind::Any => true,
            Kind::Request => message.status().is_none(),
            Kind::Response => message.status().is_some(),
        };
        kind && self.direction.is_none_or(|d| d == direction)
            && self.method.as_deref().is_none_or(|m| m == message.method())
            && self.status.is_none_or(|s| message.status() == Some(s))
    }
}

const MAX_FAULTS: usize = 1000;

/// The active faults, and the messages that wait for the next one to pass them.
#[derive(Default)]
pub(crate) struct Faults {
    planted: Vec<Fault>,
    pub(crate) held: HashMap<(FlowId, Direction), Vec<u8>>,
}

impl Faults {
    pub(crate) fn plant(&mut self, fault: Fault) {
        if self.planted.len() < MAX_FAULTS {
            self.planted.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.planted.clear();
    }

    pub(crate) fn left(&self) -> usize {
        self.planted.len()
    }

    /// Returns what happens to this message, and counts one hit.
    pub(crate) fn hit(&mut self, direction: Direction, message: &Message) -> Option<Action> {
        let at = self.planted.iter().position(|f| f.matches(direction, message))?;
        let fault = &mut self.planted[at];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.count = fault.count.saturating_sub(1);
        let action = fault.action.clone();
        if fault.count == 0 {
            self.planted.remove(at);
        }
        Some(action)
    }
}

/// Returns the text with the branch of its first Via changed.
pub(crate) fn with_wrong_branch(text: &str) -> String {
    text.replacen("branch=z9hG4bK", "branch=z9hG4bKwrong", 1)
}

/// Returns a response to a request that the client never sent.
pub(crate) fn foreign(text: &str) -> String {
    let mut out = String::new();
    for line in with_wrong_branch(text).split_inclusive("\r\n") {
        if line.starts_with("Call-ID:") {
            out.push_str("Call-ID: nobody-knows-me@mock\r\n");
        } else {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_skips_its_first_messages_hits_its_count_and_ends() {
        let ok = Message::parse(b"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\n\r\n").expect("SIP");
        let mut faults = Faults::default();
        faults.plant(Fault::new(Action::Drop).sent().response(200, "REGISTER").after(1).times(2));
        assert_eq!(faults.hit(Direction::Received, &ok), None);
        let hits: Vec<bool> = (0..5).map(|_| faults.hit(Direction::Sent, &ok).is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert_eq!(faults.left(), 0);
    }

    #[test]
    fn a_foreign_response_has_another_call_id_and_branch() {
        let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nCall-ID: x\r\n\r\n";
        let foreign = foreign(text);
        assert!(foreign.contains("z9hG4bKwrong1") && !foreign.contains("Call-ID: x"));
    }
}
