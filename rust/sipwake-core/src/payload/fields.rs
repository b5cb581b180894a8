//! The lenient reader for all vendors. It reads the payload once, into fields that vendors ask for by name.
//!
//! A value may be text, a number or a list, under `data` or at the top, in an object or in the text of one, in upper or
//! lower case. A value that is blank or null counts as absent, and so does a word for it, except in a text for people.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::action::Problem;
use super::time;

/// The most fields of one payload. FCM and APNs carry 4 or 5 KiB, and that cannot hold so many.
const MAX_FIELDS: usize = 512;
/// How deep JSON text may be nested in JSON text.
const MAX_EMBEDDED: u8 = 3;

/// The place of a value in the payload. If a value is in several places, the greater one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Alert,
    Notification,
    Aps,
    Android,
    Message,
    Root,
    /// The flat map that FCM delivers on Android.
    Map,
    Data,
    /// `data` within `data`, as servers make it that write the whole message into one field.
    Inner,
    /// Telnyx has an object of its own for what it says about a call.
    Metadata,
}

impl Section {
    /// The section with this name inside this one, in upper or lower case.
    fn child(self, name: &str) -> Option<Self> {
        static NAMES: [(&str, Section); 7] = [
            ("data", Section::Data),
            ("notification", Section::Notification),
            ("android", Section::Android),
            ("aps", Section::Aps),
            ("message", Section::Message),
            ("alert", Section::Alert),
            ("metadata", Section::Metadata),
        ];
        let (_, child) = *NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        if (self, child) == (Self::Data, Self::Data) {
            return Some(Self::Inner);
        }
        let stands = match child {
            Self::Data => matches!(self, Self::Root | Self::Message | Self::Android | Self::Map | Self::Aps),
            Self::Notification | Self::Android => matches!(self, Self::Root | Self::Message),
            Self::Aps => matches!(self, Self::Root | Self::Map),
            Self::Message => self == Self::Root,
            Self::Alert => matches!(self, Self::Aps | Self::Root | Self::Map | Self::Data | Self::Inner),
            Self::Metadata => matches!(self, Self::Root | Self::Map | Self::Data | Self::Inner),
            Self::Root | Self::Map | Self::Inner => false,
        };
        stands.then_some(child)
    }
}

/// A bit for a name in upper or lower case. Names with the same length and first letter share it, and so may others.
fn bit(name: &str) -> u64 {
    let first = name.bytes().next().unwrap_or(0) | 0x20;
    1 << ((usize::from(first) ^ (name.len() * 11)) & 63)
}

#[derive(Debug)]
struct Field<'a> {
    section: Section,
    name: Cow<'a, str>,
    text: Cow<'a, str>,
}

/// The fields of one payload.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    fields: Vec<Field<'a>>,
    /// A bit for each name that is there. Vendors ask for many names that are not.
    named: u64,
    alert: bool,
    embedded: u8,
}

impl<'a> Fields<'a> {
    /// Reads JSON text.
    pub(super) fn from_json(bytes: &'a [u8]) -> Result<Self, Problem> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Problem::Empty);
        }
        // The whole text is checked once, which is cheaper than string by string.
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::Unreadable)?;
        let mut fields = Self { fields: Vec::with_capacity(32), ..Self::default() };
        fields.read(text, Section::Root).map_err(|_| Problem::Unreadable)?;
        Ok(fields)
    }

    /// Reads the flat map that FCM delivers on Android.
    pub(super) fn from_map(map: &'a HashMap<String, String>) -> Result<Self, Problem> {
        if map.is_empty() {
            return Err(Problem::Empty);
        }
        let mut fields = Self::default();
        for (name, value) in map {
            fields.put(Section::Map, Section::Map.child(name), Cow::Borrowed(name), Cow::Borrowed(value));
        }
        // A map has no order, but `X-Push-Id` beside `x-push-id` must always give the same result.
        fields.fields.sort_unstable_by(|a, b| a.text.cmp(&b.text));
        Ok(fields)
    }

    /// Returns the trimmed value of a field, if it is there and says something. Names are ASCII, in upper or lower case.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.text_other_than(name, &[])
    }

    /// Like [`text`](Self::text), but these words count as empty, too.
    pub(super) fn text_other_than(&self, name: &str, nothing: &[&str]) -> Option<&str> {
        self.find(name, |said| !is_nothing(said) && !nothing.contains(&said))
    }

    /// Returns a text for people, unless it is one of these words. They may write "null" to each other.
    pub(super) fn message(&self, name: &str, nothing: &[&str]) -> Option<&str> {
        self.find(name, |said| !nothing.contains(&said))
    }

    fn find(&self, name: &str, says: impl Fn(&str) -> bool) -> Option<&str> {
        if !self.may_have(name) {
            return None;
        }
        let mut best: Option<(Section, &str)> = None;
        for field in self.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)) {
            let said = field.text.trim();
            if !said.is_empty() && says(said) && best.is_none_or(|(section, _)| field.section >= section) {
                best = Some((field.section, said));
            }
        }
        best.map(|(_, said)| said)
    }

    /// Whether there is a field with this name, or another one with the same bit.
    fn may_have(&self, name: &str) -> bool {
        self.named & bit(name) != 0
    }

    /// Returns the first of these fields that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.text(name))
    }

    /// Returns `true` if one of these fields is in the payload, even if it is empty.
    pub(super) fn names_any(&self, names: &[&str]) -> bool {
        let mut names = names.iter().filter(|name| self.may_have(name));
        names.any(|name| self.fields.iter().any(|field| field.name.eq_ignore_ascii_case(name)))
    }

    /// Returns a field as whole seconds, if it is a positive number.
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds = self.text(name)?.parse().ok().filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(seconds))
    }

    /// Returns the title for the notification.
    pub(super) fn title(&self) -> Option<&str> {
        self.text_other_than("title", &["TITLE"])
    }

    /// Returns the text for the notification.
    pub(super) fn body(&self) -> Option<&str> {
        self.message("body", &["BODY", "MESSAGE"])
    }

    /// Returns when the push was sent, since the Unix epoch, under any name and in any form.
    pub(super) fn sent(&self) -> Option<Duration> {
        const NAMES: [&str; 22] = [
            "send-time",
            "send_time",
            "sendtime",
            "sent-time",
            "sent_time",
            "senttime",
            "sent-at",
            "sent_at",
            "sentat",
            "sent",
            "message_start_time",
            "start_time",
            "call_time",
            "timestamp",
            "datetime",
            "time",
            "date",
            "ts",
            "created_at",
            "createdat",
            "google.sent_time",
            "google.c.a.ts",
        ];
        NAMES.iter().filter(|name| self.may_have(name)).find_map(|name| time::since_epoch(self.text(name)?))
    }

    /// Returns how long after `sent` the push is of use. It may say how long, or until when.
    pub(super) fn time_to_live(&self, sent: Duration) -> Option<Duration> {
        const NAMES: [&str; 10] = [
            "ttl",
            "time_to_live",
            "timetolive",
            "expires_in",
            "expires",
            "expires_at",
            "expiresat",
            "expiry",
            "expiration",
            "valid_until",
        ];
        NAMES.iter().filter(|name| self.may_have(name)).find_map(|name| {
            let text = self.text(name)?;
            let until = time::since_epoch(text).map(|until| until.saturating_sub(sent));
            until.or_else(|| time::length(text))
        })
    }

    /// Returns `true` if the payload carries a text that the operating system shows by itself.
    pub(super) fn has_alert(&self) -> bool {
        self.alert
    }

    fn read(&mut self, text: &'a str, section: Section) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_str(text);
        let root = Node { fields: self, parent: None, section, name: None, form: Form::Section };
        root.deserialize(&mut json).and_then(|()| json.end())
    }

    /// Reads a text as a section if it is the JSON of one.
    fn embed(&mut self, section: Section, text: &str) -> bool {
        let Some(text) = object(text).filter(|_| self.embedded < MAX_EMBEDDED) else { return false };
        let mut inner = Fields { embedded: self.embedded + 1, ..Fields::default() };
        if inner.read(&text, section).is_err() {
            return false;
        }
        for Field { section, name, text } in inner.fields {
            self.keep(section, Cow::Owned(name.into_owned()), Cow::Owned(text.into_owned()));
        }
        true
    }

    /// Keeps a text, or reads it as a section if its name is that of one, `child`, and it is the JSON of one.
    fn put(&mut self, section: Section, child: Option<Section>, name: Cow<'a, str>, text: Cow<'a, str>) {
        if child.is_some_and(|child| self.embed(child, &text)) {
            return;
        }
        if let Some(first) = first_of_list(&name, &text) {
            return self.keep(section, name, Cow::Owned(first));
        }
        if child == Some(Section::Alert) {
            self.alert |= section == Section::Aps;
            self.keep(Section::Alert, Cow::Borrowed("body"), text);
        } else {
            self.alert |= section <= Section::Notification;
            self.keep(section, name, text);
        }
    }

    fn keep(&mut self, section: Section, name: Cow<'a, str>, text: Cow<'a, str>) {
        if self.fields.len() < MAX_FIELDS {
            self.named |= bit(&name);
            self.fields.push(Field { section, name, text });
        }
    }
}

/// Whether a value is a word that a language writes where it has none. A person may have such a name, with a capital.
fn is_nothing(text: &str) -> bool {
    text.len() <= 11
        && ["null", "NULL", "(null)", "<null>", "nil", "<nil>", "None", "undefined", "\"\""].contains(&text)
}

/// The text of a JSON object. Some servers quote it again, as a JSON string.
fn object(text: &str) -> Option<Cow<'_, str>> {
    let mut text = Cow::Borrowed(text.trim_start_matches('\u{feff}').trim());
    while text.starts_with('"') {
        text = Cow::Owned(serde_json::from_str::<String>(&text).ok()?.trim().to_owned());
    }
    text.starts_with('{').then_some(text)
}

/// The first entry of `loc-args` if the list is a text. FCM makes a text of every value.
fn first_of_list(name: &str, text: &str) -> Option<String> {
    if !name.eq_ignore_ascii_case("loc-args") || !text.trim_start().starts_with('[') {
        return None;
    }
    let mut list = Fields::default();
    let node = Node {
        fields: &mut list,
        parent: None,
        section: Section::Root,
        name: Some(Cow::Borrowed("")),
        form: Form::Value,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    node.deserialize(&mut json).and_then(|()| json.end()).ok()?;
    Some(list.fields.pop().map(|first| first.text.into_owned()).unwrap_or_default())
}

/// One JSON value: a section to read, or a field to keep.
///
/// Reads only as deep as there are sections. Anything else that is nested is skipped without recursion.
struct Node<'f, 'a> {
    fields: &'f mut Fields<'a>,
    /// The section around this one.
    parent: Option<Section>,
    section: Section,
    name: Option<Cow<'a, str>>,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Section,
    Value,
    FirstOfList,
}

impl<'a> Node<'_, 'a> {
    fn keep(self, text: Cow<'a, str>) {
        match self.name {
            Some(name) => match self.parent {
                Some(parent) => self.fields.put(parent, Some(self.section), name, text),
                None => self.fields.put(self.section, None, name, text),
            },
            // The whole payload is the text of one.
            None => _ = self.fields.embed(self.section, &text),
        }
    }
}

impl<'a> DeserializeSeed<'a> for Node<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Node<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        if self.form != Form::Section {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            self.keep(Cow::Borrowed(""));
            return Ok(());
        }
        // The system shows the alert under `aps`. An alert elsewhere is for the app to read.
        self.fields.alert |= self.section == Section::Notification || self.parent == Some(Section::Aps);
        while let Some(Name(name)) = map.next_key::<Name<'a>>()? {
            let fields = &mut *self.fields;
            map.next_value_seed(match self.section.child(&name) {
                Some(section) => {
                    Node { fields, parent: Some(self.section), section, name: Some(name), form: Form::Section }
                }
                None => Node { fields, parent: None, section: self.section, name: Some(name), form: Form::Value },
            })?;
        }
        Ok(())
    }

    /// `loc-args` is a list. Only its first entry is used.
    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.form == Form::Value {
            seq.next_element_seed(Node { form: Form::FirstOfList, ..self })?;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.keep(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.keep(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let digit = usize::try_from(number).ok().and_then(|digit| DIGITS.get(digit));
        self.keep(digit.map_or_else(|| Cow::Owned(number.to_string()), |digit| Cow::Borrowed(*digit)));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.keep(Cow::Owned(number.to_string()));
        Ok(())
    }

    /// Writes six digits after the point, or three if there are more than twelve before it. A float cannot hold a whole
    /// number above 2^53 exactly, so such a value counts as absent.
    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        const WHOLE: f64 = 9_007_199_254_740_992.0;
        let (parts, digits) = if number.abs() < 1e12 { (1_000_000, 6) } else { (1_000, 3) };
        if number.abs() <= WHOLE {
            let sign = if number < 0.0 { "-" } else { "" };
            let mut whole = number.abs() as u64;
            let mut part = (number.abs().fract() * f64::from(parts) + 0.5) as u32;
            if part == parts {
                (whole, part) = (whole + 1, 0);
            }
            let text = format!("{sign}{whole}.{part:0digits$}");
            self.keep(Cow::Owned(text.trim_end_matches('0').trim_end_matches('.').to_owned()));
        }
        Ok(())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.keep(Cow::Borrowed(if truth { "true" } else { "false" }));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.keep(Cow::Borrowed(""));
        Ok(())
    }
}

/// A field's name, which is borrowed unless it has an escape.
struct Name<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Name<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'a> Visitor<'a> for NameVisitor {
            type Value = Name<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Fields<'_> {
        Fields::from_json(json.as_bytes()).expect("the sample is JSON")
    }

    #[test]
    fn a_field_is_found_at_the_top_under_data_and_in_the_body_of_an_fcm_request() {
        for json in [
            r#"{"ncallid":"abc"}"#,
            r#"{"data":{"ncallid":"abc"}}"#,
            r#"{"message":{"data":{"ncallid":"abc"}}}"#,
            r#"{"message":{"android":{"data":{"ncallid":"abc"}}}}"#,
            r#"{"NCallID":" abc "}"#,
            r#"{"Message":{"ANDROID":{"Data":{"ncallid":"abc"}}}}"#,
            r#"{"DATA":"{\"Metadata\":{\"ncallid\":\"abc\"}}"}"#,
            r#"{"ncall\u0069d":"\u0061bc"}"#,
        ] {
            assert_eq!(read(json).text("ncallid"), Some("abc"), "{json}");
        }
    }

    #[test]
    fn a_field_under_data_counts_before_one_at_the_top_in_either_order() {
        assert_eq!(read(r#"{"data":{"ntype":1},"ntype":0}"#).text("ntype"), Some("1"));
        assert_eq!(read(r#"{"ntype":0,"data":{"ntype":1}}"#).text("ntype"), Some("1"));
        assert_eq!(read(r#"{"ntype":0,"data":{"ntype":null}}"#).text("ntype"), Some("0"));
    }

    #[test]
    fn an_alert_is_read_as_text_and_as_dictionary() {
        let text = read(r#"{"aps":{"alert":"Call from 1234"}}"#);
        assert_eq!(text.text("body"), Some("Call from 1234"));
        let dictionary = read(r#"{"aps":{"alert":{"title":"Call","body":"from 1234"}}}"#);
        assert_eq!(dictionary.text("title"), Some("Call"));
        assert_eq!(dictionary.text("body"), Some("from 1234"));
        assert!(text.has_alert() && dictionary.has_alert());
        assert!(!read(r#"{"aps":{"content-available":1},"ntype":0}"#).has_alert());
    }

    #[test]
    fn a_list_gives_its_first_entry() {
        assert_eq!(read(r#"{"aps":{"loc-args":["Alice","Bob"]}}"#).text("loc-args"), Some("Alice"));
        assert_eq!(read(r#"{"aps":{"loc-args":[["Alice"],"Bob"]}}"#).text("loc-args"), None);
        assert_eq!(read(r#"{"aps":{"loc-args":[]}}"#).text("loc-args"), None);
        for (list, first) in [
            (r#" [\"Alice\", 2] "#, Some("Alice")),
            ("[1002]", Some("1002")),
            ("[null]", None),
            ("[]", None),
            ("[[1]]", None),
            ("[broken", Some("[broken")),
            ("[1] 2", Some("[1] 2")),
        ] {
            assert_eq!(read(&format!(r#"{{"Loc-Args":"{list}"}}"#)).text("loc-args"), first, "{list}");
        }
        assert_eq!(read(r#"{"nfrom":"[1002]"}"#).text("nfrom"), Some("[1002]"));
    }

    #[test]
    fn a_number_is_read_correctly_or_not_at_all() {
        for (number, text) in [
            ("0.0", Some("0")),
            ("-0.0", Some("0")),
            ("-7", Some("-7")),
            ("-7.25", Some("-7.25")),
            ("0.5", Some("0.5")),
            ("1234567.000001", Some("1234567.000001")),
            ("0.9999999", Some("1")),
            ("1.5e3", Some("1500")),
            ("1785585580123.75", Some("1785585580123.75")),
            ("-1785585580123.9999", Some("-1785585580124")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("18446744073709551616", None),
            ("-9223372036854775809", None),
            ("1e300", None),
        ] {
            assert_eq!(read(&format!(r#"{{"ncallid":{number}}}"#)).text("ncallid"), text, "{number}");
        }
    }

    #[test]
    fn a_placeholder_is_ignored_if_another_field_has_a_value() {
        let fields = read(r#"{"nfrom":"1002","data":{"nfrom":"FROM"}}"#);
        assert_eq!(fields.text("nfrom"), Some("FROM"));
        assert_eq!(fields.text_other_than("nfrom", &["FROM"]), Some("1002"));
        assert_eq!(read(r#"{"nfrom":"FROM"}"#).text_other_than("nfrom", &["FROM"]), None);
    }

    #[test]
    fn a_section_is_read_as_an_object_and_as_json_in_a_string() {
        for json in [
            r#"{"data":"{\"ncallid\":\"abc\"}"}"#,
            r#"{"message":{"data":{"metadata":"{\"ncallid\":\"abc\"}"}}}"#,
            r#"{"data":" {\"metadata\":{\"ncallid\":\"abc\"}}"}"#,
            r#"{"alert":"{\"ncallid\":\"abc\"}"}"#,
        ] {
            assert_eq!(read(json).text("ncallid"), Some("abc"), "{json}");
        }
        let map = HashMap::from([("data", r#"{"ncallid":"abc"}"#)].map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(Fields::from_map(&map).expect("not empty").text("ncallid"), Some("abc"));
        assert_eq!(read(r#"{"data":"{broken"}"#).text("data"), Some("{broken"));
        assert!(!read(r#"{"alert":"{\"body\":\"x\"}"}"#).has_alert(), "the system shows what is under aps");
    }

    #[test]
    fn deep_nesting_is_read_without_recursion() {
        let deep = format!(r#"{{"customPayload":{}1{},"ncallid":"abc"}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(read(&deep).text("ncallid"), Some("abc"));
        let wrapped = format!("{}1{}", r#"{"message":"#.repeat(5_000), "}".repeat(5_000));
        assert!(Fields::from_json(wrapped.as_bytes()).is_ok());
        let listed = format!(r#"{{"loc-args":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert!(Fields::from_json(listed.as_bytes()).is_ok());
        let fielded = format!("{}1{}", r#"{"nfrom":"#.repeat(5_000), "}".repeat(5_000));
        assert!(Fields::from_json(fielded.as_bytes()).is_ok());
    }

    #[test]
    fn a_map_gives_the_same_value_in_any_order() {
        let map = HashMap::from([("X-Push-Id", "a"), ("x-push-id", "b")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        for _ in 0..32 {
            let again: HashMap<_, _> = map.clone().into_iter().collect();
            assert_eq!(Fields::from_map(&again).expect("not empty").text("x-push-id"), Some("b"));
        }
    }
}
