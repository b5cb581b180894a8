//! The messages of the doctor's test, without their secrets: requests, each with its response.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) use crate::capture::HINT;
use crate::capture::{Packet, without_spaces_in_hints};
use sipwake::Trace;
use sipwake::core::sip::{Contact, split_list};

/// The step during which a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The bindings are read, before anything is written.
    Read,
    /// A first registration with a token.
    Register,
    /// A second one: is one round trip enough?
    Refresh,
    /// A third one, with another token.
    Rotate,
    /// The bindings are read at another gateway.
    Second,
    /// A call to the sleeping phone.
    Call,
    /// The unbind: the push binding is removed, and the phone stays registered.
    Unbind,
    /// The log-out.
    LogOut,
    /// The bindings are read again.
    ReadAgain,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read the bindings",
            Self::Register => "register with a token",
            Self::Refresh => "register again",
            Self::Rotate => "change the token",
            Self::Second => "second gateway",
            Self::Call => "call the sleeping phone",
            Self::Unbind => "unbind push",
            Self::LogOut => "log out",
            Self::ReadAgain => "read the bindings again",
        }
    }
}

/// The parts of a message that a rule looks at.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) first: String,
    headers: Vec<(String, String)>,
}

impl Message {
    /// Reads a traced message, even one that a phone would refuse.
    pub(super) fn parse(text: &str) -> Self {
        let text = without_spaces_in_hints(text);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let fields = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
        let headers = fields.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
        Self { first, headers }
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The Contacts that could be read.
    pub(super) fn contacts(&self) -> Vec<Contact<'_>> {
        self.all("Contact").flat_map(split_list).filter_map(Contact::parse).collect()
    }

    /// The request's answer to a challenge or, in a response, the challenges.
    pub(super) fn digests(&self) -> impl Iterator<Item = &str> {
        ["Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate"]
            .into_iter()
            .flat_map(|name| self.all(name))
    }

    pub(super) fn cseq(&self) -> Option<u32> {
        self.header("CSeq")?.split(' ').next()?.parse().ok()
    }

    pub(super) fn is_authorized(&self) -> bool {
        self.header("Authorization").or(self.header("Proxy-Authorization")).is_some()
    }
}

/// Returns a parameter of a challenge or of a response to one, without quotes.
pub(super) fn digest_param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let fields = value.split_once(' ').map_or(value, |(_, fields)| fields);
    split_list(fields).find_map(|field| {
        let (own, value) = field.trim().split_once('=')?;
        own.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// A REGISTER and its response.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) step: Step,
    pub(super) flow: u64,
    pub(super) request: Message,
    pub(super) response: Option<Message>,
    /// The time until the response.
    pub(super) took: Duration,
}

impl Exchange {
    pub(super) fn status(&self) -> Option<u16> {
        self.response.as_ref().and_then(Message::status)
    }

    /// Whether the request removes every Contact that it names.
    pub(super) fn removes(&self) -> bool {
        let contacts = self.request.contacts();
        let all = self.request.header("Expires") == Some("0");
        !contacts.is_empty() && contacts.iter().all(|contact| contact.expires().map_or(all, |expires| expires == 0))
    }

    /// The Contact that the request binds.
    pub(super) fn bound(&self) -> Option<Contact<'_>> {
        let zero = self.request.header("Expires") == Some("0");
        self.request.contacts().into_iter().find(|contact| contact.expires().map_or(!zero, |expires| expires > 0))
    }
}

/// One message of the ladder.
#[derive(Clone)]
pub(super) struct Passed {
    pub(super) step: Step,
    pub(super) at: Duration,
    pub(super) sent: bool,
    pub(super) text: String,
    flow: u64,
}

/// Collects the messages.
pub(super) struct Transcript {
    begun: Instant,
    inner: Mutex<(Step, Vec<Passed>)>,
}

/// More messages than a normal life needs. The rest is not recorded.
const MAX_PASSED: usize = 2000;

impl Transcript {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), inner: Mutex::new((Step::Read, Vec::new())) }
    }

    pub(super) fn begin(&self, step: Step) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).0 = step;
    }

    pub(super) fn passed(&self) -> Vec<Passed> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// The messages, for a capture file.
    pub(super) fn packets(&self) -> Vec<Packet> {
        let wall = sipwake::now().wall.saturating_sub(self.begun.elapsed());
        let packet =
            |passed: Passed| Packet { at: wall + passed.at, sent: passed.sent, flow: passed.flow, text: passed.text };
        self.passed().into_iter().map(packet).collect()
    }

    /// Pairs requests and responses by their CSeq and Call-ID.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        let mut exchanges: Vec<(Duration, Exchange)> = Vec::new();
        for passed in self.passed() {
            let message = Message::parse(&passed.text);
            let key = |message: &Message| {
                (message.header("Call-ID").map(str::to_owned), message.header("CSeq").map(str::to_owned))
            };
            let found = exchanges.iter().rposition(|(_, exchange)| key(&exchange.request) == key(&message));
            match (passed.sent, found) {
                (true, None) if message.first.starts_with("REGISTER ") => {
                    let Passed { step, flow, .. } = passed;
                    let exchange = Exchange { step, flow, request: message, response: None, took: Duration::ZERO };
                    exchanges.push((passed.at, exchange));
                }
                (false, Some(index)) if message.status().is_some_and(|status| status >= 200) => {
                    let (at, exchange) = &mut exchanges[index];
                    if exchange.response.is_none() {
                        exchange.took = passed.at.saturating_sub(*at);
                        exchange.response = Some(message);
                    }
                }
                _ => {}
            }
        }
        exchanges.into_iter().map(|(_, exchange)| exchange).collect()
    }
}

impl Trace for Transcript {
    fn message(&self, sent: bool, flow: u64, text: &str) {
        let at = self.begun.elapsed();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.1.len() < MAX_PASSED {
            let step = inner.0;
            inner.1.push(Passed { step, at, sent, text: text.to_owned(), flow });
        }
    }
}
