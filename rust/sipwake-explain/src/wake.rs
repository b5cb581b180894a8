//! Sorts the decisions of a report by wake.

use sipwake_core::record::{Id, Noted, Report};

/// How long after its push a decision may belong to a wake, in milliseconds.
const LASTS: u64 = 120_000;
/// The most wakes that are shown. No report from a phone has more.
const MOST: usize = 1_000;
/// The most decisions of one wake.
const MOST_STEPS: usize = 200;

/// One push, or one call that came without any, and what followed.
#[derive(Debug, Clone)]
pub struct Wake {
    number: usize,
    call: Option<Id>,
    account: Option<Id>,
    steps: Vec<Noted>,
    over: bool,
}

/// How a wake went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The call was answered.
    Answered,
    /// The phone rang, and its INVITE was there.
    Rang,
    /// The phone was told of the call, and the INVITE never came.
    NoInvite,
    /// The caller had given up, or another device answered, before the INVITE was there.
    OverBefore,
    /// The push made no sound.
    Silent,
    /// The process ended in the middle.
    Killed,
    /// The INVITE came and was refused.
    Refused,
    /// It was no call.
    NoCall,
    /// The report ends before the wake does.
    Open,
}

impl Outcome {
    /// A stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Rang => "rang",
            Self::NoInvite => "no-invite",
            Self::OverBefore => "over-before",
            Self::Silent => "silent",
            Self::Killed => "killed",
            Self::Refused => "refused",
            Self::NoCall => "no-call",
            Self::Open => "open",
        }
    }

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Answered => "the phone rang and the call was answered",
            Self::Rang => "the phone rang",
            Self::NoInvite => "the push announced a call, but the INVITE never came",
            Self::OverBefore => "the call ended before its INVITE reached the phone",
            Self::Silent => "the push made no sound",
            Self::Killed => "the process ended before the INVITE came",
            Self::Refused => "the INVITE came, and the phone refused it",
            Self::NoCall => "the push was not for a call",
            Self::Open => "the report was made before this wake ended",
        }
    }

    /// Whether nobody missed anything.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Answered | Self::Rang | Self::NoCall | Self::Open)
    }
}

impl Wake {
    /// All wakes of a report, oldest first.
    pub(crate) fn all(report: &Report) -> Vec<Self> {
        let mut wakes: Vec<Self> = Vec::new();
        for noted in &report.decisions {
            if noted.name == "process-started" {
                for wake in wakes.iter_mut().filter(|wake| !wake.over) {
                    wake.take(noted);
                    wake.over = true;
                }
                continue;
            }
            let begins = matches!(noted.name, "push-judged" | "invite-new");
            let known = noted.call.is_some() && wakes.iter().any(|wake| wake.takes_call(noted));
            if begins && !known && wakes.len() < MOST {
                let number = wakes.len() + 1;
                let steps = vec![noted.clone()];
                wakes.push(Self { number, call: noted.call, account: noted.account, steps, over: false });
                continue;
            }
            for wake in wakes.iter_mut().rev().take(64) {
                wake.offer(noted);
            }
        }
        wakes
    }

    fn takes_call(&self, noted: &Noted) -> bool {
        !self.over && self.call == noted.call && noted.at.abs_diff(self.begins()) <= LASTS * 30
    }

    fn offer(&mut self, noted: &Noted) {
        let own = noted.call.is_some() && self.call == noted.call;
        // A cancel that overtook its push has the same call. So has a push or an INVITE for a call that ended earlier.
        if self.over && !own {
            return;
        }
        let mine = noted.call.is_none()
            && noted.at.abs_diff(self.begins()) <= LASTS
            && (noted.account.is_none() || self.account.is_none() || noted.account == self.account);
        if own || mine {
            self.take(noted);
        }
        self.over |= own && noted.name == "call-ended";
    }

    fn take(&mut self, noted: &Noted) {
        if self.steps.len() < MOST_STEPS {
            self.steps.push(noted.clone());
        }
    }

    /// Its number in the report, from 1 on.
    pub fn number(&self) -> usize {
        self.number
    }

    /// When it began: wall time, in milliseconds since 1970.
    pub fn begins(&self) -> u64 {
        self.steps.first().map_or(0, |noted| noted.at)
    }

    /// What was decided, the first first.
    pub fn steps(&self) -> &[Noted] {
        &self.steps
    }

    /// Its call's name in the report.
    pub fn call(&self) -> Option<Id> {
        self.call
    }

    /// Its account's name in the report.
    pub fn account(&self) -> Option<Id> {
        self.account
    }

    /// Whether there is a decision with this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The first decision with this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Noted> {
        self.steps.iter().find(|noted| noted.name == name)
    }

    /// Whether a decision with this name carries this word.
    pub(crate) fn says(&self, name: &str, fact: &str, word: &str) -> bool {
        self.steps.iter().any(|noted| noted.name == name && noted.word(fact) == Some(word))
    }

    /// Whether a decision with this name carries a number in this range.
    pub(crate) fn counts(&self, name: &str, fact: &str, range: std::ops::RangeInclusive<u32>) -> bool {
        let in_range = |noted: &Noted| noted.number(fact).is_some_and(|number| range.contains(&number));
        self.steps.iter().any(|noted| noted.name == name && in_range(noted))
    }

    /// Milliseconds from the push to the first decision of this name.
    pub fn time_to(&self, name: &str) -> Option<u64> {
        self.find(name).map(|noted| noted.at.saturating_sub(self.begins()))
    }

    /// Milliseconds from the push to the INVITE.
    pub fn time_to_ring(&self) -> Option<u64> {
        self.time_to("invite-joined")
    }

    /// How it went.
    pub fn outcome(&self) -> Outcome {
        let judged = self.find("push-judged");
        let asks = judged.and_then(|noted| noted.word("asks"));
        let invited =
            self.has("invite-joined") || self.has("invite-new") || self.has("ringing") || self.has("answer-wanted");
        if self.has("connected") {
            return Outcome::Answered;
        }
        if invited && !self.has("invite-refused") {
            return Outcome::Rang;
        }
        if self.has("invite-refused") {
            return Outcome::Refused;
        }
        match asks {
            Some("nothing") => return Outcome::Silent,
            Some("ring") | None => {}
            Some(_) => return Outcome::NoCall,
        }
        let ended = self.find("call-ended").and_then(|noted| noted.word("how"));
        match ended {
            Some("missed") => Outcome::NoInvite,
            Some(_) => Outcome::OverBefore,
            None if self.has("push-full") => Outcome::Silent,
            None if self.has("process-started") => Outcome::Killed,
            None if self.has("tombstone") => Outcome::OverBefore,
            None => Outcome::Open,
        }
    }
}
