//! What a phone sends when it did not ring: its decisions, their numbers, and the state of app and phone, as JSON.
//!
//! The reader is as strict as the writer. It refuses anything but numbers and words of known lists, so a report never
//! shows a text that somebody invented.

use std::collections::BTreeMap;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decision::Code;
use super::ring::Entry;
use super::{Counters, Kind, Recorder, millis};
use crate::clock::Now;

/// The form of a report. Reports of other forms are not read.
const FORM: u64 = 1;
/// The largest report that is read, in bytes.
const MAX_REPORT: usize = 4 * 1024 * 1024;

/// Why a phone rang, or did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The form of this report: 1.
    pub sipwake_report: u64,
    /// The version of sipwake that wrote it.
    pub version: Version,
    /// When it was made: wall time, in milliseconds since 1970.
    pub at: u64,
    /// The accounts, without those that are logged out.
    #[serde(default)]
    pub accounts: Vec<AccountState>,
    /// How often the phone was woken, and how fast it was.
    #[serde(default)]
    pub counters: Counters,
    /// What the app's platform layer knows.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// What was decided, the oldest first.
    pub decisions: Vec<Noted>,
    /// The number of decisions with codes that this version does not know. Not written.
    #[serde(skip)]
    pub unknown: usize,
}

/// A version of sipwake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub [u16; 3]);

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// Its name in the decisions.
    pub account: Id,
    /// It is registered, as far as the phone knows.
    pub registered: bool,
    /// For how many seconds the server still holds the binding, as far as the phone knows.
    pub bound_for: u64,
    /// There is a push token.
    pub token: bool,
    /// Nothing is sent until the app asks for it.
    pub stopped: bool,
    /// How many gateways it has.
    pub gateways: usize,
}

/// Identifies an account or a call: a hash with a key that stays on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(super) u32);

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Noted {
    /// Wall time, in milliseconds since 1970.
    pub at: u64,
    /// Its number in `docs/decisions.md`.
    pub code: u16,
    /// Its name there.
    pub name: &'static str,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Id>,
    /// Of which call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Id>,
    /// How often in a row, the first time at `at`.
    #[serde(skip_serializing_if = "is_once")]
    pub times: u32,
    /// What it carries.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<&'static str, Value>,
}

/// What a decision carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number, in the unit that the code's list names.
    Number(u32),
    /// A word of the code's list.
    Word(&'static str),
}

impl Noted {
    /// Returns a number that it carries.
    pub fn number(&self, fact: &str) -> Option<u32> {
        match self.facts.get(fact)? {
            Value::Number(number) => Some(*number),
            Value::Word(_) => None,
        }
    }

    /// Returns a word that it carries.
    pub fn word(&self, fact: &str) -> Option<&'static str> {
        match self.facts.get(fact)? {
            Value::Word(word) => Some(word),
            Value::Number(_) => None,
        }
    }
}

/// What the app's platform layer knows of phone and app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// What in the phone's settings keeps a call from ringing.
    pub obstacles: Vec<Obstacle>,
    /// Android's standby bucket (`UsageStatsManager.getAppStandbyBucket`).
    pub bucket: Option<StandbyBucket>,
    /// How the phone is connected.
    pub network: Option<Network>,
    /// The last push's priority, as it was delivered (`RemoteMessage.getPriority`).
    pub priority: Option<Priority>,
    /// iOS: whether the last push had to be reported (`PKVoIPPushMetadata.mustReport`).
    pub must_report: Option<bool>,
}

macro_rules! platform_words {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum $name { $($(#[doc = $meaning])+ $variant,)+ }
    )+};
}

platform_words! {
    /// Something in the phone's settings that keeps a call from ringing.
    Obstacle {
        /// No notification of this app is shown.
        NotificationsOff,
        /// Android: the channel of incoming calls is off, or too quiet to ring.
        ChannelOff,
        /// Android: an incoming call shows as a small notification only.
        NoFullScreen,
        /// Android: there are no Google Play services.
        NoPlayServices,
        /// Android: Google Play services are too old.
        OldPlayServices,
        /// Android: the user restricted the app's battery use.
        BackgroundRestricted,
        /// Android: the app is in the restricted standby bucket.
        RarelyUsed,
        /// Android: Data Saver is on, and the app is not exempt.
        DataSaver,
        /// Android: the app's permissions will be taken away, and its messages stopped.
        Hibernation,
        /// The app may not reach servers in the local network.
        NoLocalNetwork,
        /// Android: this phone's maker stops apps in the background.
        MakerStopsApps,
        /// Android: after a restart of the phone, log-outs wait until the app is opened.
        NotAfterRestart,
        /// Android: the app is subject to Doze.
        SubjectToDoze,
        /// Android: the last push that was sent with high priority came with normal one.
        Deprioritised,
        /// Do not disturb, or a Focus, silences calls.
        DoNotDisturb,
        /// iOS: background refresh is off for the app.
        BackgroundRefreshOff,
        /// The battery saver is on.
        LowPower,
        /// The app may not use the microphone.
        NoMicrophone,
        /// iOS: notifications of this app make no sound.
        NotificationsSilent,
        /// iOS: the app lacks the background mode `voip`, or CallKit says that it is not entitled to show calls.
        NotEntitled,
        /// iOS: the app's provisioning profile allows no pushes.
        NoPushEntitlement,
        /// iOS: the server is told another environment than the one that the app's tokens belong to.
        WrongPushEnvironment,
        /// iOS: the phone's block list kept the last call from being shown.
        CallerBlocked,
        /// Something else.
        Other,
    }
    /// Android's standby buckets.
    StandbyBucket {
        /// The app is in use.
        Active,
        /// It is used every day.
        WorkingSet,
        /// It is used often.
        Frequent,
        /// It is seldom used.
        Rare,
        /// It hardly may run.
        Restricted,
    }
    /// How a phone is connected.
    Network {
        /// Not at all.
        None,
        /// By a mobile network.
        Mobile,
        /// By Wi-Fi.
        WiFi,
        /// By a cable.
        Ethernet,
        /// Through a VPN.
        Vpn,
        /// In another way.
        Other,
    }
    /// With which priority a push was delivered.
    Priority {
        /// High.
        High,
        /// Normal, as it was sent or because the push service lowered it.
        Normal,
    }
}

/// Why a file is not a report that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is longer than four megabytes.
    #[error("it has {0} bytes, and a report has at most {MAX_REPORT}")]
    TooLarge(usize),
    /// It is torn, or no JSON.
    #[error("it ends in the middle (line {line}, column {column}): send the whole file")]
    Torn {
        /// Where.
        line: usize,
        /// Where in it.
        column: usize,
    },
    /// It is JSON of something else, or not JSON.
    #[error("it is not a report of sipwake: {0}")]
    Foreign(String),
    /// It is a report of another form.
    #[error(
        "it is a report of form {0}, and this version reads form {FORM}: use the sipwake that made it, or a newer one"
    )]
    OtherForm(u64),
    /// It is a report, and something in it is not what a report holds.
    #[error("line {line}, column {column}: {reason}")]
    Wrong {
        /// Where.
        line: usize,
        /// Where in it.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
}

impl Report {
    pub(crate) fn new(recorder: &Recorder, accounts: Vec<AccountState>, platform: Option<Platform>, now: Now) -> Self {
        let entries = recorder.entries();
        Self {
            sipwake_report: FORM,
            version: Version::this(),
            at: millis(now.wall),
            accounts,
            counters: recorder.counters(),
            platform,
            decisions: entries.iter().filter_map(|entry| Noted::of(entry, recorder)).collect(),
            unknown: 0,
        }
    }

    /// Returns it as JSON, one decision a line.
    pub fn to_json(&self) -> String {
        // These are numbers and words of fixed lists, so this cannot fail.
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        let whole = text(serde_json::to_string(&Self { decisions: Vec::new(), ..self.clone() }));
        let lines: Vec<String> = self.decisions.iter().map(|noted| text(serde_json::to_string(noted))).collect();
        whole.replace("\"decisions\":[]", &format!("\"decisions\":[\n{}\n]", lines.join(",\n"))) + "\n"
    }

    /// Reads a report.
    ///
    /// # Errors
    /// A [`ReportError`] that says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Form {
            sipwake_report: Option<u64>,
        }
        if bytes.len() > MAX_REPORT {
            return Err(ReportError::TooLarge(bytes.len()));
        }
        let is_object = bytes.trim_ascii_start().starts_with(b"{");
        let torn = |error: &serde_json::Error| ReportError::Torn { line: error.line(), column: error.column() };
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
            if error.is_eof() && is_object {
                return Err(torn(&error));
            }
            return Err(ReportError::Foreign(format!("no JSON at line {}, column {}", error.line(), error.column())));
        }
        match serde_json::from_slice::<Form>(bytes) {
            Ok(Form { sipwake_report: Some(FORM) }) if is_object => {}
            Ok(Form { sipwake_report: Some(other) }) if is_object => return Err(ReportError::OtherForm(other)),
            Ok(_) | Err(_) => return Err(ReportError::Foreign("it has no number `sipwake_report`".to_owned())),
        }
        let wrong = |error: serde_json::Error| ReportError::Wrong {
            line: error.line(),
            column: error.column(),
            // The text may quote the file, and ends with the place.
            reason: {
                let said = error.to_string();
                let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(reason, _)| reason);
                said.chars().filter(|c| !c.is_control()).take(120).collect()
            },
        };
        let mut report: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        let all = report.decisions.len();
        report.decisions.retain(|noted| !noted.name.is_empty());
        report.unknown = all - report.decisions.len();
        Ok(report)
    }
}

impl Noted {
    fn of(entry: &Entry, recorder: &Recorder) -> Option<Self> {
        let code = Code::of(entry.code)?;
        let account = usize::from(entry.account).checked_sub(1).and_then(|index| recorder.accounts().nth(index));
        let facts = code.facts.iter().zip(&entry.facts[..entry.count]);
        Some(Self {
            at: entry.at,
            code: code.number,
            name: code.name,
            account: account.map(Id),
            call: (entry.call != 0).then_some(Id(entry.call)),
            times: entry.times,
            facts: facts.filter_map(|((name, kind), number)| Some((*name, kind.value(*number)?))).collect(),
        })
    }
}

impl Kind {
    fn value(self, number: u32) -> Option<Value> {
        let Self::Word(words) = self else { return Some(Value::Number(number)) };
        words.iter().find(|(known, _)| *known == number).map(|(_, word)| Value::Word(word))
    }
}

fn is_once(times: &u32) -> bool {
    *times == 1
}

impl<'de> Deserialize<'de> for Noted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Number(u32),
            Word(String),
        }
        #[derive(Deserialize)]
        struct Written {
            at: u64,
            code: u16,
            account: Option<Id>,
            call: Option<Id>,
            #[serde(default)]
            times: Option<u32>,
            #[serde(default)]
            facts: BTreeMap<String, Given>,
        }
        let Written { at, code, account, call, times, facts } = Written::deserialize(deserializer)?;
        let known = Code::of(code);
        let mut noted = Self {
            at,
            code,
            name: known.map_or("", |code| code.name),
            account,
            call,
            times: times.unwrap_or(1).max(1),
            facts: BTreeMap::new(),
        };
        let Some(known) = known else { return Ok(noted) };
        for (name, given) in facts {
            let fact = known.facts.iter().find(|(fact, _)| *fact == name);
            let (name, kind) = fact.ok_or_else(|| D::Error::custom(format!("decision {code} carries no such fact")))?;
            let value = match (given, kind) {
                (Given::Word(given), Kind::Word(words)) => {
                    let word = words.iter().find(|(_, word)| *word == given);
                    // A newer version may know more words.
                    let Some((_, word)) = word else { continue };
                    Value::Word(word)
                }
                (Given::Number(number), kind) if !matches!(kind, Kind::Word(_)) => Value::Number(number),
                _ => return Err(D::Error::custom(format!("decision {code}: {name} is of another kind"))),
            };
            noted.facts.insert(name, value);
        }
        Ok(noted)
    }
}

impl Version {
    /// This version.
    pub fn this() -> Self {
        Self::parse(env!("CARGO_PKG_VERSION")).unwrap_or(Self([0; 3]))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let version = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self(version))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a version has three numbers"))
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let sound = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u32::from_str_radix(&text, 16).ok().filter(|_| sound);
        id.map(Self).ok_or_else(|| D::Error::custom("an id has eight hexadecimal digits"))
    }
}
