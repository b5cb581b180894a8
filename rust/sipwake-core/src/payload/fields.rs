//! The lenient reader under all vendors: one pass over the payload, keeping only the fields somebody asks for.
//!
//! It does not matter whether a value was sent as text, number or list, under `data` or at the top, in upper or
//! lower case. A value that is blank, null or a placeholder its server forgot to fill in counts as absent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::action::Problem;

/// A field that some vendor sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    NType,
    NFrom,
    NFromUserName,
    NMsg,
    NCallId,
    NToUser,
    NToUsr,
    Title,
    Body,
    LocKey,
    LocArgs,
    CallId,
    SendTime,
    FromUri,
    FormUri,
    SipFrom,
    DisplayName,
    PnTtl,
    MsgType,
    MsgTitle,
    MsgContent,
    SendFrom,
    SendTo,
    XPushId,
    PortsipPushId,
    MimeType,
}

const FIELDS: usize = Field::MimeType as usize + 1;

impl Field {
    fn named(name: &str) -> Option<Self> {
        let mut lower = [0u8; 16];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"ntype" => Self::NType,
            b"nfrom" => Self::NFrom,
            b"nfromusername" => Self::NFromUserName,
            b"nmsg" => Self::NMsg,
            b"ncallid" => Self::NCallId,
            b"ntouser" => Self::NToUser,
            b"ntousr" => Self::NToUsr,
            b"title" => Self::Title,
            b"body" => Self::Body,
            b"loc-key" => Self::LocKey,
            b"loc-args" => Self::LocArgs,
            b"call-id" => Self::CallId,
            b"send-time" => Self::SendTime,
            b"from-uri" => Self::FromUri,
            b"form-uri" => Self::FormUri,
            b"sip-from" => Self::SipFrom,
            b"display-name" => Self::DisplayName,
            b"pn_ttl" => Self::PnTtl,
            b"msg_type" => Self::MsgType,
            b"msg_title" => Self::MsgTitle,
            b"msg_content" => Self::MsgContent,
            b"send_from" => Self::SendFrom,
            b"send_to" => Self::SendTo,
            b"x-push-id" => Self::XPushId,
            b"portsip-push-id" => Self::PortsipPushId,
            b"mime_type" => Self::MimeType,
            _ => return None,
        })
    }

    /// The keywords that stand in Mizutech's message templates and stay there when the server has no value.
    fn placeholders(self) -> &'static [&'static str] {
        match self {
            Self::NType => &["TYPE"],
            Self::NFrom | Self::NFromUserName => &["FROM", "FROMUSERNAME", "FROMDISPLAYNAME"],
            Self::NMsg => &["MSG", "MESSAGE"],
            Self::NCallId => &["CALLID"],
            Self::NToUser | Self::NToUsr => &["TOUSERNAME", "TO"],
            Self::Title => &["TITLE"],
            Self::Body => &["BODY", "MESSAGE"],
            _ => &[],
        }
    }
}

/// Where in the payload a value stands. When it stands in several places, the greater one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Alert,
    Notification,
    Aps,
    Android,
    Message,
    Root,
    Data,
}

impl Section {
    fn child(self, name: &str) -> Option<Self> {
        Some(match (self, name) {
            (Self::Root | Self::Message | Self::Android, "data") => Self::Data,
            (Self::Root | Self::Message, "notification") => Self::Notification,
            (Self::Root | Self::Message, "android") => Self::Android,
            (Self::Root, "aps") => Self::Aps,
            (Self::Root, "message") => Self::Message,
            (Self::Aps, "alert") => Self::Alert,
            _ => return None,
        })
    }
}

/// The known fields of one payload.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    slots: [Option<(Section, Cow<'a, str>)>; FIELDS],
    named: u32,
    alert: bool,
}

const _: () = assert!(FIELDS <= u32::BITS as usize, "one bit of `named` for each field");

impl<'a> Fields<'a> {
    /// Reads JSON text.
    pub(super) fn from_json(bytes: &'a [u8]) -> Result<Self, Problem> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Problem::Empty);
        }
        // Once for all of it: cheaper than string by string.
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::Unreadable)?;
        let mut fields = Self::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let root = Node { fields: &mut fields, section: Section::Root, key: None, form: Form::Section };
        root.deserialize(&mut json).and_then(|()| json.end()).map_err(|_| Problem::Unreadable)?;
        Ok(fields)
    }

    /// Reads the flat map that FCM hands over on Android.
    pub(super) fn from_map(map: &'a HashMap<String, String>) -> Result<Self, Problem> {
        if map.is_empty() {
            return Err(Problem::Empty);
        }
        let mut fields = Self::default();
        for (name, value) in map {
            let Some(key) = Field::named(name) else { continue };
            fields.named |= 1 << key as u32;
            // A map has no order: `X-Push-Id` beside `x-push-id` must give the same answer every time.
            if fields.text(key).is_none_or(|known| known < value.as_str()) {
                fields.keep(Section::Data, key, Cow::Borrowed(value));
            }
        }
        Ok(fields)
    }

    /// Returns the trimmed value of a field, if it is there and says anything.
    pub(super) fn text(&self, key: Field) -> Option<&str> {
        self.slots[key as usize].as_ref().map(|(_, text)| text.trim())
    }

    /// Returns the first of these fields that is there.
    pub(super) fn first(&self, keys: &[Field]) -> Option<&str> {
        keys.iter().find_map(|key| self.text(*key))
    }

    /// Returns `true` if one of these fields is named in the payload, even with nothing in it.
    pub(super) fn names_any(&self, keys: &[Field]) -> bool {
        keys.iter().any(|key| self.named & (1 << *key as u32) != 0)
    }

    /// Returns a field as whole seconds, if it is a positive number.
    pub(super) fn seconds(&self, key: Field) -> Option<std::time::Duration> {
        let seconds = self.text(key)?.parse().ok().filter(|seconds| *seconds > 0)?;
        Some(std::time::Duration::from_secs(seconds))
    }

    /// Returns `true` if the payload carries a text that the operating system shows by itself.
    pub(super) fn has_alert(&self) -> bool {
        self.alert
    }

    fn keep(&mut self, section: Section, key: Field, text: Cow<'a, str>) {
        let said = text.trim();
        if said.is_empty() || key.placeholders().contains(&said) {
            return;
        }
        let slot = &mut self.slots[key as usize];
        if slot.as_ref().is_none_or(|(known, _)| section >= *known) {
            *slot = Some((section, text));
        }
    }
}

/// One JSON value on the way: a section to walk into, a field to keep, or both (`aps.alert`).
///
/// Walks no deeper than the sections go; whatever else is nested is passed over without recursion.
struct Node<'f, 'a> {
    fields: &'f mut Fields<'a>,
    section: Section,
    key: Option<Field>,
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
        if let Some(key) = self.key {
            self.fields.alert |= self.section <= Section::Notification;
            self.fields.keep(self.section, key, text);
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
            return Ok(());
        }
        self.fields.alert |= self.section <= Section::Notification;
        while let Some(name) = map.next_key::<Name<'a>>()? {
            let (section, key, form) = match self.section.child(&name.0) {
                Some(Section::Alert) => (Section::Alert, Some(Field::Body), Form::Section),
                Some(section) => (section, None, Form::Section),
                None => (self.section, Field::named(&name.0), Form::Value),
            };
            if let Some(key) = key {
                self.fields.named |= 1 << key as u32;
            }
            if key.is_none() && form == Form::Value {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Node { fields: &mut *self.fields, section, key, form })?;
            }
        }
        Ok(())
    }

    /// `loc-args` is a list; what is asked of it is its first entry.
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

    /// To six digits behind the point. What has more than twelve before it, a float does not hold as it was meant: that is absent.
    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        if number.abs() < 1e12 {
            let sign = if number < 0.0 { "-" } else { "" };
            let millionths = (number.abs() * 1e6 + 0.5) as u64;
            let text = format!("{sign}{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
            self.keep(Cow::Owned(text.trim_end_matches('0').trim_end_matches('.').to_owned()));
        }
        Ok(())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.keep(Cow::Borrowed(if truth { "true" } else { "false" }));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A field's name, borrowed wherever it holds no escape.
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
            r#"{"ncall\u0069d":"\u0061bc"}"#,
        ] {
            assert_eq!(read(json).text(Field::NCallId), Some("abc"), "{json}");
        }
    }

    #[test]
    fn data_outranks_the_top_whichever_comes_first() {
        assert_eq!(read(r#"{"data":{"ntype":1},"ntype":0}"#).text(Field::NType), Some("1"));
        assert_eq!(read(r#"{"ntype":0,"data":{"ntype":1}}"#).text(Field::NType), Some("1"));
        assert_eq!(read(r#"{"ntype":0,"data":{"ntype":null}}"#).text(Field::NType), Some("0"));
    }

    #[test]
    fn an_alert_is_read_as_text_and_as_dictionary() {
        let text = read(r#"{"aps":{"alert":"Call from 1234"}}"#);
        assert_eq!(text.text(Field::Body), Some("Call from 1234"));
        let dictionary = read(r#"{"aps":{"alert":{"title":"Call","body":"from 1234"}}}"#);
        assert_eq!(dictionary.text(Field::Title), Some("Call"));
        assert_eq!(dictionary.text(Field::Body), Some("from 1234"));
        assert!(text.has_alert() && dictionary.has_alert());
        assert!(!read(r#"{"aps":{"content-available":1},"ntype":0}"#).has_alert());
    }

    #[test]
    fn a_list_gives_its_first_entry() {
        assert_eq!(read(r#"{"aps":{"loc-args":["Alice","Bob"]}}"#).text(Field::LocArgs), Some("Alice"));
        assert_eq!(read(r#"{"aps":{"loc-args":[["Alice"],"Bob"]}}"#).text(Field::LocArgs), None);
        assert_eq!(read(r#"{"aps":{"loc-args":[]}}"#).text(Field::LocArgs), None);
    }

    #[test]
    fn a_number_is_read_as_it_was_meant_or_not_at_all() {
        for (number, text) in [
            ("0.0", Some("0")),
            ("-0.0", Some("0")),
            ("-7", Some("-7")),
            ("-7.25", Some("-7.25")),
            ("0.5", Some("0.5")),
            ("1234567.000001", Some("1234567.000001")),
            ("0.9999999", Some("1")),
            ("1.5e3", Some("1500")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("18446744073709551616", None),
            ("-9223372036854775809", None),
            ("1e300", None),
        ] {
            assert_eq!(read(&format!(r#"{{"ncallid":{number}}}"#)).text(Field::NCallId), text, "{number}");
        }
    }

    #[test]
    fn placeholders_count_only_in_the_field_that_they_stand_for() {
        assert_eq!(read(r#"{"nfrom":"FROM"}"#).text(Field::NFrom), None);
        assert_eq!(read(r#"{"nmsg":"FROM"}"#).text(Field::NMsg), Some("FROM"));
    }

    #[test]
    fn nesting_without_end_is_read_without_recursion() {
        let deep = format!(r#"{{"customPayload":{}1{},"ncallid":"abc"}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(read(&deep).text(Field::NCallId), Some("abc"));
        let wrapped = format!("{}1{}", r#"{"message":"#.repeat(5_000), "}".repeat(5_000));
        assert!(Fields::from_json(wrapped.as_bytes()).is_ok());
        let listed = format!(r#"{{"loc-args":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert!(Fields::from_json(listed.as_bytes()).is_ok());
        let fielded = format!("{}1{}", r#"{"nfrom":"#.repeat(5_000), "}".repeat(5_000));
        assert!(Fields::from_json(fielded.as_bytes()).is_ok());
    }

    #[test]
    fn a_map_answers_the_same_whatever_its_order() {
        let map = HashMap::from([("X-Push-Id", "a"), ("x-push-id", "b")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        for _ in 0..32 {
            let again: HashMap<_, _> = map.clone().into_iter().collect();
            assert_eq!(Fields::from_map(&again).expect("not empty").text(Field::XPushId), Some("b"));
        }
    }
}
