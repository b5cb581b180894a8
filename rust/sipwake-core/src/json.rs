//! Reads the JSON of our own records into what they are made of.
//!
//! `serde_json` does the parsing, once, into [`Json`]; the types' derived code then reads from there. Reading straight from
//! the text, that code is compiled together with the whole parser for each type anew: four times the size.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use crate::redact::Secret;

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

/// The JSON is not of the form that was looked for.
#[derive(Debug, thiserror::Error)]
#[error("not of the expected form")]
pub(crate) struct Misfit;

impl Error for Misfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Reads a value of the form of `T`.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misfit> {
    T::deserialize(&serde_json::from_slice::<Json<'_>>(bytes).map_err(|_| Misfit)?)
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

impl<'de> Deserializer<'de> for &'de Json<'_> {
    type Error = Misfit;

    /// All that is neither a list nor an object: no type of a record takes whatever comes.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Json::Null => visitor.visit_unit(),
            Json::Truth(truth) => visitor.visit_bool(*truth),
            Json::Number(number) => visitor.visit_u64(*number),
            Json::Text(text) => visitor.visit_str(text.as_str()),
            Json::List(_) | Json::Object(_) => Err(Misfit),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Json::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Json::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            _ => Err(Misfit),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Json::Object(entries) => {
                visitor.visit_map(MapDeserializer::new(entries.iter().map(|(name, value)| (name.as_str(), value))))
            }
            _ => Err(Misfit),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    /// A variant's name, or an object of its name and what it holds.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let (name, held) = match self {
            Json::Text(name) => (name, None),
            Json::Object(entries) => match &**entries {
                [(name, value)] => (name, Some(value)),
                _ => return Err(Misfit),
            },
            _ => return Err(Misfit),
        };
        visitor.visit_enum(Variant { name: name.as_str(), held: Held(held) })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        identifier
    }
}

impl<'de> IntoDeserializer<'de, Misfit> for &'de Json<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Variant<'de, 'text> {
    name: &'de str,
    held: Held<'de, 'text>,
}

/// What a variant holds.
struct Held<'de, 'text>(Option<&'de Json<'text>>);

impl<'de, 'text> EnumAccess<'de> for Variant<'de, 'text> {
    type Error = Misfit;
    type Variant = Held<'de, 'text>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Misfit> {
        Ok((seed.deserialize(StrDeserializer::new(self.name))?, self.held))
    }
}

impl<'de> VariantAccess<'de> for Held<'de, '_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        if self.0.is_none() { Ok(()) } else { Err(Misfit) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self.0.ok_or(Misfit)?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.0.ok_or(Misfit)?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Misfit> {
        self.0.ok_or(Misfit)?.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Everything {
        text: Box<str>,
        secret: Secret,
        small: u8,
        large: u64,
        truth: bool,
        nothing: Option<u16>,
        something: Option<u16>,
        list: Vec<Form>,
        map: HashMap<String, u32>,
        #[serde(default)]
        later: bool,
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    enum Form {
        Bare,
        Holds(String),
        Pair(u8, u8),
        Names { one: u8 },
    }

    fn everything() -> Everything {
        Everything {
            text: "plain".into(),
            secret: Secret::new("with \"quotes\" and \u{1f4de}\n"),
            small: u8::MAX,
            large: u64::MAX,
            truth: true,
            nothing: None,
            something: Some(7),
            list: vec![Form::Bare, Form::Holds("x".into()), Form::Pair(1, 2), Form::Names { one: 1 }],
            map: HashMap::from([("a".into(), 1), ("b\\".into(), 2)]),
            later: true,
        }
    }

    #[test]
    fn what_serde_json_writes_is_read_back() {
        let text = serde_json::to_string(&everything()).expect("plain data");
        assert_eq!(read::<Everything>(text.as_bytes()).expect("just written"), everything());
    }

    #[test]
    fn a_field_that_is_missing_takes_its_default_and_one_that_is_unknown_is_passed_over() {
        let text = serde_json::to_string(&everything()).expect("plain data");
        let older = text.replace(r#","later":true"#, "").replace(r#""nothing":null,"#, r#""newer":[{"x":{}}],"#);
        assert_eq!(read::<Everything>(older.as_bytes()).expect("older"), Everything { later: false, ..everything() });
        assert!(read::<Everything>(text.replace(r#""truth":true,"#, "").as_bytes()).is_err());
    }

    #[test]
    fn another_form_is_refused() {
        let text = serde_json::to_string(&everything()).expect("plain data");
        for (right, wrong) in [
            (r#""small":255"#, r#""small":256"#),
            (r#""small":255"#, r#""small":-1"#),
            (r#""small":255"#, r#""small":1.0"#),
            (r#""small":255"#, r#""small":[]"#),
            (r#""truth":true"#, r#""truth":{}"#),
            (r#""text":"plain""#, r#""text":null"#),
            (r#"["Bare""#, r#"["Bald""#),
            (r#"["Bare""#, r#"["Holds""#),
            (r#"["Bare""#, r#"[{"Bare":1}"#),
            (r#"["Bare""#, r#"[{"Holds":"x","Bare":1}"#),
            (r#"{"Pair":[1,2]}"#, r#"{"Pair":[1]}"#),
            (r#"{"Names":{"one":1}}"#, r#"{"Names":[1]}"#),
            (r#""list":["#, r#""list":{},"list":["#),
        ] {
            let broken = text.replacen(right, wrong, 1);
            assert!(broken != text && read::<Everything>(broken.as_bytes()).is_err(), "{broken}");
        }
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(read::<Vec<Everything>>(deep.as_bytes()).is_err());
    }
}
