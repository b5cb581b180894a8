//! Reads and writes the JSON of our own records.
//!
//! `serde_json` parses a record, once, into [`Json`], and escapes the texts of one that is written. What a type keeps is said
//! by its [`record!`] or [`variants!`]: of serde's derived code each type would have several times as much.

use std::collections::VecDeque;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::few::Few;
use crate::redact::Secret;

/// What a record is made of.
pub(crate) trait Kept {
    /// Returns `None` where the JSON has not this type's form.
    fn read(json: &Json<'_>) -> Option<Self>
    where
        Self: Sized;

    /// Appends the JSON.
    fn write(&self, out: &mut Vec<u8>);
}

/// Keeps a type as an object of all its fields, which are read into its default or another value of it.
macro_rules! record {
    ($type:ident { $($field:ident),+ $(,)? }) => {
        $crate::json::record!($type { $($field),+ } into Self::default());
    };
    ($type:ident { $($field:ident),+ $(,)? } into $blank:expr) => {
        impl $crate::json::Kept for $type {
            fn read(json: &$crate::json::Json<'_>) -> Option<Self> {
                let object = json.object()?;
                let mut record = $blank;
                ($(object.take(stringify!($field), &mut record.$field))&&+).then_some(record)
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.push(b'{');
                $($crate::json::write_field(out, stringify!($field), &self.$field);)+
                out.push(b'}');
            }
        }
    };
}

/// Keeps a type as the name of its variant or, where that holds something, as an object of its name and what it holds.
macro_rules! variants {
    ($type:ident { $($variant:ident $(($held:ident))?),+ $(,)? }) => {
        impl $crate::json::Kept for $type {
            fn read(json: &$crate::json::Json<'_>) -> Option<Self> {
                match json.variant()? {
                    $((stringify!($variant), _held) => {
                        Some(Self::$variant $(({ let $held = _held; $crate::json::Kept::read($held)? }))?)
                    })+
                    _ => None,
                }
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($held))? => {
                        $crate::json::write_variant(out, stringify!($variant), &[$($held)?]);
                    })+
                }
            }
        }
    };
}

pub(crate) use {record, variants};

/// A JSON value. Texts are wiped when they are dropped, as far as they are not borrowed.
pub(crate) enum Json<'de> {
    Null,
    Truth(bool),
    Number(u64),
    Text(Text<'de>),
    List(Vec<Json<'de>>),
    Object(Vec<(Text<'de>, Json<'de>)>),
}

/// A text, borrowed from the record wherever it holds no escape.
pub(crate) enum Text<'de> {
    Borrowed(&'de str),
    Unescaped(Secret),
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Unescaped(text) => text.expose(),
        }
    }
}

/// Returns `None` for what is no JSON of numbers that are whole and not negative.
pub(crate) fn parse(bytes: &[u8]) -> Option<Json<'_>> {
    // As text, like pushes: of the parser there is one for texts and one for bytes.
    serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
}

/// An object's fields.
pub(crate) struct Object<'json>(&'json [(Text<'json>, Json<'json>)]);

impl Object<'_> {
    /// Reads a field. One that is missing is read as `null`.
    pub(crate) fn field<T: Kept>(&self, name: &str) -> Option<T> {
        T::read(self.find(name))
    }

    /// Reads a field into its place. Returns whether it has the form of what is to stand there.
    pub(crate) fn take<T: Kept>(&self, name: &str, place: &mut T) -> bool {
        match self.field(name) {
            Some(value) => {
                *place = value;
                true
            }
            None => false,
        }
    }

    pub(crate) fn find(&self, name: &str) -> &Json<'_> {
        self.0.iter().find(|(known, _)| known.as_str() == name).map_or(&Json::Null, |(_, value)| value)
    }
}

impl Json<'_> {
    pub(crate) fn object(&self) -> Option<Object<'_>> {
        if let Self::Object(fields) = self { Some(Object(fields)) } else { None }
    }

    pub(crate) fn entries(&self) -> Option<impl Iterator<Item = (&str, &Json<'_>)>> {
        self.object().map(|object| object.0.iter().map(|(name, value)| (name.as_str(), value)))
    }

    pub(crate) fn list(&self) -> Option<&[Json<'_>]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text.as_str()) } else { None }
    }

    fn number(&self) -> Option<u64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// Returns a variant's name and what it holds: `null` for nothing.
    pub(crate) fn variant(&self) -> Option<(&str, &Json<'_>)> {
        match self {
            Self::Text(name) => Some((name.as_str(), &Json::Null)),
            Self::Object(fields) => match &**fields {
                [(name, held)] => Some((name.as_str(), held)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what records are made of")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Json::Truth(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Text::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Text::Unescaped(Secret::new(text))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = object.next_key()? {
            let Json::Text(name) = name else { return Err(A::Error::custom("a name that is no text")) };
            entries.push((name, object.next_value()?));
        }
        Ok(Json::Object(entries))
    }
}

fn write_plain<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("neither a text nor a number can fail, nor memory");
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_plain(out, text);
}

/// Goes on to the next item of a list or object.
fn write_separator(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'[' | b'{')) {
        out.push(b',');
    }
}

pub(crate) fn write_name(out: &mut Vec<u8>, name: &str) {
    write_separator(out);
    write_text(out, name);
    out.push(b':');
}

pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &impl Kept) {
    write_name(out, name);
    value.write(out);
}

pub(crate) fn write_variant(out: &mut Vec<u8>, name: &str, held: &[&dyn Kept]) {
    let [held] = held else { return write_text(out, name) };
    out.push(b'{');
    write_name(out, name);
    held.write(out);
    out.push(b'}');
}

pub(crate) fn write_list<'a, T: Kept + 'a>(out: &mut Vec<u8>, items: impl IntoIterator<Item = &'a T>) {
    out.push(b'[');
    for item in items {
        write_separator(out);
        item.write(out);
    }
    out.push(b']');
}

impl Kept for bool {
    /// What is missing is not so: it was added to the record later.
    fn read(json: &Json<'_>) -> Option<Self> {
        match json {
            Json::Null => Some(false),
            Json::Truth(truth) => Some(*truth),
            _ => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_plain(out, self);
    }
}

macro_rules! numbers {
    ($($number:ident)+) => {
        $(impl Kept for $number {
            fn read(json: &Json<'_>) -> Option<Self> {
                json.number()?.try_into().ok()
            }

            fn write(&self, out: &mut Vec<u8>) {
                write_plain(out, &u64::from(*self));
            }
        })+
    };
}

numbers!(u8 u16 u32 u64);

macro_rules! texts {
    ($($text:ty: $new:expr, $shown:expr;)+) => {
        $(impl Kept for $text {
            fn read(json: &Json<'_>) -> Option<Self> {
                json.text().map($new)
            }

            fn write(&self, out: &mut Vec<u8>) {
                write_text(out, $shown(self));
            }
        })+
    };
}

texts! {
    String: str::to_owned, String::as_str;
    Box<str>: Box::from, AsRef::as_ref;
    Secret: Secret::new, Secret::expose;
}

impl<T: Kept> Kept for Option<T> {
    fn read(json: &Json<'_>) -> Option<Self> {
        if let Json::Null = json { Some(None) } else { T::read(json).map(Some) }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<T: Kept> Kept for Box<T> {
    fn read(json: &Json<'_>) -> Option<Self> {
        T::read(json).map(Self::new)
    }

    fn write(&self, out: &mut Vec<u8>) {
        T::write(self, out);
    }
}

impl<T: Kept> Kept for Vec<T> {
    fn read(json: &Json<'_>) -> Option<Self> {
        let mut items = Self::new();
        for item in json.list()? {
            items.push(T::read(item)?);
        }
        Some(items)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, self);
    }
}

impl<T: Kept> Kept for VecDeque<T> {
    fn read(json: &Json<'_>) -> Option<Self> {
        Vec::read(json).map(Self::from)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, self);
    }
}

impl<T: Kept> Kept for Few<T> {
    /// What is missing is empty: it was added to the record later.
    fn read(json: &Json<'_>) -> Option<Self> {
        if let Json::Null = json { Some(Self::default()) } else { Vec::read(json).map(Self::from) }
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, self.iter());
    }
}

impl Kept for (String, String) {
    fn read(json: &Json<'_>) -> Option<Self> {
        match json.list()? {
            [first, second] => Some((String::read(first)?, String::read(second)?)),
            _ => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, [&self.0, &self.1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Everything {
        text: Box<str>,
        secret: Secret,
        small: u8,
        large: u64,
        truth: bool,
        nothing: Option<u16>,
        something: Option<u16>,
        forms: Vec<Form>,
        pairs: VecDeque<(String, String)>,
        later: Few<u32>,
    }

    record!(Everything { text, secret, small, large, truth, nothing, something, forms, pairs, later });

    #[derive(Debug, PartialEq, Eq)]
    enum Form {
        Bare,
        Holds(String),
    }

    variants!(Form { Bare, Holds(text) });

    fn everything() -> Everything {
        Everything {
            text: "plain".into(),
            secret: Secret::new("with \"quotes\" and \u{1f4de}\n"),
            small: u8::MAX,
            large: u64::MAX,
            truth: true,
            nothing: None,
            something: Some(7),
            forms: vec![Form::Bare, Form::Holds("x".into())],
            pairs: VecDeque::from([("a\\".to_owned(), "1".to_owned())]),
            later: Few::from(vec![1, 2]),
        }
    }

    fn written() -> String {
        let mut out = Vec::new();
        everything().write(&mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    fn read<T: Kept>(text: &str) -> Option<T> {
        T::read(&parse(text.as_bytes())?)
    }

    #[test]
    fn what_is_written_is_json_and_is_read_back() {
        let text = written();
        let json = serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        assert_eq!(json["forms"], serde_json::json!(["Bare", { "Holds": "x" }]));
        assert_eq!((&json["pairs"], &json["nothing"]), (&serde_json::json!([["a\\", "1"]]), &serde_json::Value::Null));
        assert_eq!(read(&text), Some(everything()));
    }

    #[test]
    fn a_field_that_is_missing_is_empty_and_one_that_is_unknown_is_passed_over() {
        let text = written();
        let older =
            text.replace(r#","later":[1,2]"#, "").replace(r#""truth":true,"nothing":null,"#, r#""newer":[{"x":{}}],"#);
        assert_eq!(read(&older), Some(Everything { later: Few::default(), truth: false, ..everything() }));
        assert_eq!(read::<Everything>(&text.replace(r#""text":"plain","#, "")), None);
        assert_eq!(read::<Everything>(&text.replace(r#""small":255,"#, "")), None);
    }

    #[test]
    fn another_form_is_refused() {
        let text = written();
        for (right, wrong) in [
            (r#""small":255"#, r#""small":256"#),
            (r#""small":255"#, r#""small":-1"#),
            (r#""small":255"#, r#""small":1.0"#),
            (r#""small":255"#, r#""small":[]"#),
            (r#""truth":true"#, r#""truth":{}"#),
            (r#""text":"plain""#, r#""text":null"#),
            (r#"["Bare""#, r#"["Bald""#),
            (r#"["Bare""#, r#"["Holds""#),
            (r#"["Bare""#, r#"[{"Holds":"x","Bare":1}"#),
            (r#","1"]"#, "]"),
            (r#""later":[1,2]"#, r#""later":{}"#),
        ] {
            let broken = text.replacen(right, wrong, 1);
            assert!(broken != text && read::<Everything>(&broken).is_none(), "{broken}");
        }
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read::<Vec<Everything>>(&deep), None);
    }
}
