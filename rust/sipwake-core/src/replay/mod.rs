//! The inputs of the core, recorded so that the real core can play them again.
//!
//! [`RecordedAgent`] is a [`UserAgent`](crate::user_agent::UserAgent) that records every input with its time, every
//! random value, and every output. [`Recording`] reads the file and plays it. The same decisions and the same bytes
//! must come out. A recording has names, numbers and addresses, so it needs the user's consent. It has no password,
//! digest, token, `X-PIID` or key: `mask` replaces them by stand-ins of the same length, and the replay runs with
//! those.
//!
//! ```text
//! file  = head LF *(step LF) end LF                                       ; JSON each
//! head  = {"sipwake_replay":1,"version":"0.1.0"}
//! step  = {"boot":NANOSECONDS,"wall":NANOSECONDS,"in":{...},"drawn":[...],"out":[...]}
//! end   = {"end":{"full":false,"decisions":[...]}}                        ; full: the cap was reached, and more happened
//! ```

mod agent;
mod mask;
mod play;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

pub use self::agent::{RecordedAgent, Taped};
pub use self::play::{Difference, Played, Step};
use crate::account::{AccountConfig, AccountKey, Transport};
use crate::call::{CallPolicy, Decline, HangUp};
use crate::calls::Side;
use crate::clock::Now;
use crate::event::{Answer, FlowError};
use crate::gateway::Load;
use crate::payload::{ActionKind, Age, CallIdentity, Channel, Duty, Judged, Problem, PushAction, Vendor};
use crate::push::{PushConfig, PushToken};
use crate::random::Draw;
use crate::record::{Noted, Version};

/// The form of a recording. Recordings of other forms are not read.
const FORM: u64 = 1;
/// The largest recording that is read, in bytes.
const MAX_FILE: usize = 64 * 1024 * 1024;

/// A session as it was recorded.
#[derive(Debug)]
pub struct Recording {
    lines: Vec<Line>,
    end: End,
}

/// Why a file is not a recording that can be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It is longer than 64 megabytes.
    #[error("it has {0} bytes, and a recording has at most {MAX_FILE}")]
    TooLarge(usize),
    /// It is something else.
    #[error("it is not a recording of sipwake: its first line has no number `sipwake_replay`")]
    Foreign,
    /// It is a recording of another form.
    #[error("it is a recording of form {0}, and this version reads form {FORM}: use the sipwake that made it")]
    OtherForm(u64),
    /// Another version recorded it, which may decide otherwise.
    #[error("sipwake {0} recorded it, and this is {this}: replay it with sipwake {0}", this = Version::this())]
    OtherVersion(Version),
    /// It is torn: its last line is missing.
    #[error("it ends after line {0}, before its last line: send the whole file")]
    Torn(usize),
    /// Something in it is not what a recording holds.
    #[error("line {line}: {reason}")]
    Wrong {
        /// Where.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    sipwake_replay: u64,
    version: Version,
}

#[derive(Serialize, Deserialize)]
struct Last {
    end: End,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct End {
    /// The recording reached its largest size. What happened afterwards is missing.
    full: bool,
    decisions: Vec<Noted>,
}

/// One input, and the outputs that followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    boot: u64,
    wall: u64,
    #[serde(rename = "in")]
    input: Input,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drawn: Vec<Draw>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    out: Vec<Out>,
    /// Every `rspauth` that would have been right when this came. It is never written.
    #[serde(skip)]
    proofs: Vec<Zeroizing<String>>,
}

impl Line {
    fn now(&self) -> Now {
        Now::new(Duration::from_nanos(self.boot), Duration::from_nanos(self.wall))
    }
}

/// The inputs of the core, by the names of its functions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Input {
    Start {
        removals: Option<Bytes>,
    },
    AddAccount {
        account: Box<AccountConfig>,
        push: Option<PushConfig>,
        stored: Option<Bytes>,
    },
    Register {
        account: AccountKey,
    },
    SetToken {
        account: AccountKey,
        token: PushToken,
    },
    UnbindPush {
        account: AccountKey,
    },
    LogOut {
        account: AccountKey,
    },
    AcceptRealm {
        account: AccountKey,
        realm: String,
    },
    AssumeBound {
        account: AccountKey,
    },
    QueryPush {
        account: AccountKey,
        provider: Option<String>,
    },
    SetCallPolicy {
        policy: CallPolicy,
    },
    Ringing {
        call: String,
    },
    Answer {
        call: String,
    },
    Accept {
        call: String,
        answer: Answer,
    },
    Decline {
        call: String,
        how: Decline,
    },
    HangUp {
        call: String,
        why: HangUp,
    },
    RespondOffer {
        call: String,
        answer: Option<Answer>,
    },
    TakeCallRequests {
        take: bool,
    },
    RespondRequest {
        call: String,
        request: u64,
        status: u16,
    },
    AllowUnsolicitedCalls {
        allow: bool,
    },
    /// A gate, which is outside the core, gave this UUID to a push.
    Judged {
        call: String,
        push: Side,
        at: Duration,
    },
    Push {
        push: Box<TapedPush>,
    },
    NetworkChanged {},
    GatewayLoad {
        account: AccountKey,
        gateway: usize,
        load: Option<Load>,
        response_time: Duration,
    },
    FlowTransport {
        flow: u64,
        transport: Transport,
    },
    FlowLeadsOn {
        flow: u64,
        leads_on: bool,
    },
    FlowLeft {
        flow: u64,
        left: u64,
    },
    FlowUp {
        flow: u64,
        local: SocketAddr,
    },
    FlowDown {
        flow: u64,
        error: FlowError,
    },
    Received {
        flow: u64,
        bytes: Bytes,
    },
    Stranger {
        flow: u64,
        from: SocketAddr,
        bytes: Bytes,
    },
    Timeout {},
    Saved {
        id: u64,
        failed: Option<String>,
    },
    HoldUntilSaved {
        hold: bool,
    },
    StoreFailed {
        key: String,
        reason: String,
    },
    Loaded {
        key: String,
        record: Option<Bytes>,
    },
    NotLoaded {
        key: String,
        failed: Option<String>,
    },
    StoreAvailable {},
    SetDoNotDisturb {
        account: AccountKey,
        until: Option<Duration>,
    },
    #[cfg(feature = "sealed")]
    SaveOpened {},
    #[cfg(feature = "sealed")]
    SetPushKey {
        auth: String,
        p256dh: String,
    },
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Out {
    Transmit {
        flow: u64,
        to: Option<SocketAddr>,
        bytes: Bytes,
    },
    Open {
        flow: u64,
        hop: String,
        stream: bool,
        local_port: Option<u16>,
    },
    Close {
        flow: u64,
    },
    NextAddress {
        flow: u64,
    },
    HearPeers {
        flow: u64,
        wanted: bool,
    },
    Save {
        id: u64,
        key: String,
        removes: bool,
    },
    Load {
        key: String,
    },
    Event {
        name: String,
    },
    /// There was nothing more to do.
    Done {},
}

/// A push in the form that the client takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TapedPush {
    kind: ActionKind,
    duty: Duty,
    channel: Channel,
    vendor: Option<Vendor>,
    problem: Option<Problem>,
    account: Option<String>,
    caller: Option<String>,
    display_name: Option<String>,
    identity: CallIdentity,
    uuid: String,
    deadline: Option<Duration>,
    downgraded: bool,
    unverified: bool,
    age: Age,
    judged: Judged,
}

impl TapedPush {
    /// Leaves out title and text. They belong to the user, and no decision depends on them.
    fn of(push: &PushAction) -> Self {
        let PushAction { kind, channel, account, caller, display_name, identity, .. } = push.clone();
        let PushAction { duty, vendor, problem, uuid, deadline, downgraded, unverified, age, judged, .. } = *push;
        let uuid = uuid.to_string();
        Self {
            kind,
            duty,
            channel,
            vendor,
            problem,
            account,
            caller,
            display_name,
            identity,
            uuid,
            deadline,
            downgraded,
            unverified,
            age,
            judged,
        }
    }

    fn action(&self) -> PushAction {
        let Self { kind, account, caller, display_name, identity, .. } = self.clone();
        PushAction {
            kind,
            duty: self.duty,
            channel: self.channel,
            vendor: self.vendor,
            problem: self.problem,
            account,
            caller,
            display_name,
            title: None,
            text: None,
            identity,
            uuid: self.uuid.parse().unwrap_or_default(),
            deadline: self.deadline,
            downgraded: self.downgraded,
            unverified: self.unverified,
            age: self.age,
            judged: self.judged,
        }
    }
}

/// Bytes that are wiped when they are dropped. In the file they are a text or, if they are not text, `hex:` and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bytes(Zeroizing<Vec<u8>>);

/// Precedes bytes that are not text.
const HEX: &str = "hex:";

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.starts_with(HEX) => serializer.serialize_str(text),
            _ => {
                let digits = self.0.iter().map(|byte| format!("{byte:02x}"));
                serializer.collect_str(&digits.fold(HEX.to_owned(), |text, digits| text + &digits))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some(digits) = text.strip_prefix(HEX) else { return Ok(Self(Zeroizing::new(text.into_bytes()))) };
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
        let bytes: Result<Vec<u8>, _> = pairs.map(|pair| u8::from_str_radix(pair, 16)).collect();
        bytes.map(|bytes| Self(Zeroizing::new(bytes))).map_err(serde::de::Error::custom)
    }
}

impl Recording {
    /// Reads a recording of this version.
    ///
    /// # Errors
    /// A [`RecordingError`] that says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordingError> {
        #[derive(Deserialize)]
        struct Form {
            sipwake_replay: u64,
        }
        if bytes.len() > MAX_FILE {
            return Err(RecordingError::TooLarge(bytes.len()));
        }
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().map(|(index, line)| (index + 1, line));
        let (_, head) = lines.next().ok_or(RecordingError::Foreign)?;
        match serde_json::from_slice(head) {
            Ok(Form { sipwake_replay: FORM }) => {}
            Ok(Form { sipwake_replay: other }) => return Err(RecordingError::OtherForm(other)),
            Err(_) => return Err(RecordingError::Foreign),
        }
        if !head.starts_with(b"{") {
            return Err(RecordingError::Foreign);
        }
        let Head { version, .. } = serde_json::from_slice(head).map_err(|error| wrong(1, &error))?;
        if version != Version::this() {
            return Err(RecordingError::OtherVersion(version));
        }
        let mut read: Vec<Line> = Vec::new();
        let mut last = 1;
        for (number, line) in lines {
            if !line.ends_with(b"\n") {
                return Err(RecordingError::Torn(last));
            }
            if line.starts_with(b"{\"end\"") {
                let Last { end } = serde_json::from_slice(line).map_err(|error| wrong(number, &error))?;
                return Ok(Self { lines: read, end });
            }
            let line: Line = serde_json::from_slice(line).map_err(|error| wrong(number, &error))?;
            if read.is_empty() != matches!(line.input, Input::Start { .. }) {
                return Err(RecordingError::Wrong {
                    line: number,
                    reason: "a recording begins with one start".to_owned(),
                });
            }
            if read.last().is_some_and(|before| before.boot > line.boot) {
                return Err(RecordingError::Wrong { line: number, reason: "the boot time goes back".to_owned() });
            }
            if !line.drawn.iter().all(Draw::is_sound) {
                return Err(RecordingError::Wrong { line: number, reason: "no such draw can be made".to_owned() });
            }
            read.push(line);
            last = number;
        }
        Err(RecordingError::Torn(last))
    }
}

/// Returns the error for a line. The text may quote the file.
fn wrong(line: usize, error: &serde_json::Error) -> RecordingError {
    // The error has a line number of its own.
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(reason, _)| reason);
    let reason: String = said.chars().filter(|c| !c.is_control()).take(120).collect();
    RecordingError::Wrong { line, reason: format!("{reason} (column {})", error.column()) }
}
