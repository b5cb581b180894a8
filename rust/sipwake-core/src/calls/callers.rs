//! Who calls, in the words of one side, and whether two sides mean the same caller.

/// How many digits at the end two spellings of a number must have in common, if nothing says which one is longer.
const SUFFIX: usize = 7;
/// The shortest national number at the end of an international one.
const NATIONAL: usize = 4;
/// The longest country code.
const COUNTRY: usize = 3;
/// Words with which networks say that a caller withheld the number (RFC 3323, and others that were seen) ...
const WITHHELD: [&str; 11] = [
    "anonymous",
    "restricted",
    "unknown",
    "private",
    "withheld",
    "unavailable",
    "blocked",
    "hidden",
    "suppressed",
    "anonym",
    "unbekannt",
];
/// ... and words that appear beside those.
const BESIDE: [&str; 9] = ["no", "not", "available", "number", "name", "caller", "id", "user", "invalid"];

/// The users, numbers and names of one caller.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Callers {
    names: Vec<String>,
    numbers: Vec<Number>,
    withheld: bool,
}

/// How the callers of two sides compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    Same,
    Different,
    /// One of the sides does not name its caller.
    Unknown,
}

/// Hashes of a caller for a record. If two sides have one of them in common, it is the same caller.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) names: Vec<String>,
    /// Whole numbers.
    pub(super) whole: Vec<String>,
    /// Shorter forms of the numbers, as the other side may know them.
    pub(super) ends: Vec<String>,
}

impl Callers {
    /// Adds a user, number or name.
    pub(super) fn add(&mut self, caller: &str) {
        let caller = caller.trim().trim_matches('"').split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if is_withheld(&caller) {
            self.withheld = true;
        } else if let Some(number) = Number::read(&caller) {
            if !self.numbers.contains(&number) {
                self.numbers.push(number);
            }
        } else if !caller.is_empty() && !self.names.contains(&caller) {
            self.names.push(caller);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.numbers.is_empty()
    }

    /// Whether it says only that the caller is withheld.
    pub(super) fn is_withheld(&self) -> bool {
        self.withheld && self.is_empty()
    }

    pub(super) fn likeness(&self, other: &Self) -> Likeness {
        if self.is_empty() || other.is_empty() {
            return Likeness::Unknown;
        }
        if self.marks().meet(&other.marks()) { Likeness::Same } else { Likeness::Different }
    }

    /// Whether both have numbers whose last seven digits differ.
    pub(super) fn contradict(&self, other: &Self) -> bool {
        let end = |number: &Number| number.digits[number.digits.len().saturating_sub(SUFFIX)..].to_owned();
        let (ours, theirs) = (&self.numbers, &other.numbers);
        let differ = |a: &Number| theirs.iter().all(|b| end(a) != end(b));
        !ours.is_empty() && !theirs.is_empty() && ours.iter().all(differ)
    }

    pub(super) fn marks(&self) -> Marks {
        Marks {
            names: self.names.clone(),
            whole: self.numbers.iter().flat_map(Number::whole).collect(),
            ends: self.numbers.iter().flat_map(Number::ends).collect(),
        }
    }
}

impl Marks {
    /// Compares by number if both have one, otherwise by name.
    pub(super) fn meet(&self, other: &Self) -> bool {
        let common = |a: &[String], b: &[String]| a.iter().any(|mark| b.contains(mark));
        if self.whole.is_empty() || other.whole.is_empty() {
            return common(&self.names, &other.names);
        }
        common(&self.whole, &other.whole) || common(&self.whole, &other.ends) || common(&self.ends, &other.whole)
    }
}

/// A phone number without its prefix, and the form that the prefix shows.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    digits: String,
    form: Form,
}

#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With `+` or `00`.
    International,
    /// With one leading zero.
    National,
    /// As it is dialled from the same area.
    Local,
}

impl Number {
    /// Reads digits with `+`, leading zeros, blanks, `-`, `.`, `/` and brackets.
    fn read(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        let plain = text.replace("(0)", "");
        let plain: String = plain.chars().filter(|c| !is_separator(*c)).collect();
        let (dialled, plus) = plain.strip_prefix('+').map_or((plain.as_str(), false), |rest| (rest, true));
        if dialled.is_empty() || !dialled.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = dialled.trim_start_matches('0').to_owned();
        let form = match dialled.len() - digits.len() {
            0 if !plus => Form::Local,
            1 if !plus => Form::National,
            _ => Form::International,
        };
        Some(Self { digits, form })
    }

    fn whole(&self) -> Vec<String> {
        let national = (self.form == Form::National && self.digits.len() >= NATIONAL).then(|| national(&self.digits));
        [Some(self.digits.clone()), national].into_iter().flatten().collect()
    }

    /// The ends that the international and the national form of a number have in common.
    fn ends(&self) -> Vec<String> {
        let length = self.digits.len();
        let mut ends: Vec<String> =
            (1..=length.saturating_sub(SUFFIX)).map(|at| self.digits[at..].to_owned()).collect();
        if self.form == Form::International {
            let last = COUNTRY.min(length.saturating_sub(NATIONAL));
            ends.extend((1..=last).map(|at| national(&self.digits[at..])));
        }
        ends
    }
}

fn national(digits: &str) -> String {
    format!("0{digits}")
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '.' | '/' | '(' | ')' | '[' | ']' | '\u{2010}'..='\u{2013}')
}

/// Whether the text says only that the caller is withheld.
fn is_withheld(caller: &str) -> bool {
    let words = || caller.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let says = words().any(|word| WITHHELD.contains(&word)) || caller == "no number" || caller == "no caller id";
    says && words().all(|word| WITHHELD.contains(&word) || BESIDE.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(callers: &[&str]) -> Callers {
        callers.iter().fold(Callers::default(), |mut all, caller| {
            all.add(caller);
            all
        })
    }

    #[test]
    fn callers_are_compared_by_the_common_forms_of_their_number_or_else_by_name() {
        use Likeness::{Different, Same, Unknown};
        for (push, invite, expected) in [
            (&["+4930123456"][..], &["030123456"][..], Same),
            (&["004930123456"], &["+49 30 123-456", "bob"], Same),
            (&["+49 (0)30 123456"], &["004930123456"], Same),
            (&["[030] 12 34 56"], &["+4930123456"], Same),
            (&["+49 30 1234"], &["0301234"], Same),
            (&["+33 1 23 45 67 89"], &["01.23.45.67.89"], Same),
            (&["+15550100"], &["5550100"], Same),
            (&["+49 30 123456"], &["+49 40 123456"], Different),
            (&["+49 30 123456"], &["040 123456"], Different),
            (&["030 1234"], &["301234"], Same),
            (&["1234"], &["1234"], Same),
            (&["1234"], &["91234"], Different),
            (&["+91234"], &["1234"], Different),
            (&["John  Smith"], &["1234", "john smith"], Same),
            (&["bob"], &["BOB"], Same),
            (&["\"Bob  Jones\" "], &["1234", "Bob Jones"], Same),
            (&["\"1234\""], &["1234"], Same),
            (&["M\u{dc}LLER"], &["m\u{fc}ller"], Same),
            (&["1234", "Bob"], &["5678", "Bob"], Different),
            (&["John"], &["1234"], Different),
            (&["anonymous"], &["1234"], Unknown),
            (&["anonymous", "1234"], &["1234"], Same),
            (&[], &["1234"], Unknown),
            (&["anonymous"], &["Anonymous"], Unknown),
        ] {
            assert_eq!(of(push).likeness(&of(invite)), expected, "{push:?} {invite:?}");
            assert_eq!(of(invite).likeness(&of(push)), expected, "{invite:?} {push:?}");
        }
    }

    #[test]
    fn a_text_that_means_anonymous_is_not_a_name() {
        for text in ["Anonymous", "anonymous.invalid", "Private Number", "UNKNOWN CALLER", "No Caller ID", "Withheld"] {
            assert!(of(&[text]).is_withheld(), "{text}");
        }
        for text in ["Private Smith", "Caller", "number", "John", "1234", ""] {
            assert!(!of(&[text]).is_withheld(), "{text}");
        }
    }
}
