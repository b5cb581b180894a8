//! Property lists in Apple's XML form, as far as packages use them: dictionaries, arrays, strings and booleans.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

/// A value of a property list.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Dictionary(BTreeMap<String, Value>),
    Array(Vec<Value>),
    String(String),
    Boolean(bool),
}

impl Value {
    /// Reads a property list.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        // Apple's lists have a document type.
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(|error| format!("is no XML: {error}"))?;
        let root = document.root_element();
        if !root.has_tag_name("plist") {
            return Err("is not a property list".into());
        }
        let value = root.children().find(Node::is_element).ok_or("is empty")?;
        Self::of(value)
    }

    fn of(node: Node<'_, '_>) -> Result<Self, String> {
        match node.tag_name().name() {
            "dict" => {
                let mut values = BTreeMap::new();
                let mut elements = node.children().filter(Node::is_element);
                while let Some(key) = elements.next() {
                    let name = key.text().filter(|_| key.has_tag_name("key")).ok_or("has a value without a key")?;
                    let value = elements.next().ok_or_else(|| format!("has no value for {name}"))?;
                    if values.insert(name.to_owned(), Self::of(value)?).is_some() {
                        return Err(format!("has {name} twice"));
                    }
                }
                Ok(Self::Dictionary(values))
            }
            "array" => {
                node.children().filter(Node::is_element).map(Self::of).collect::<Result<_, _>>().map(Self::Array)
            }
            "string" => Ok(Self::String(node.text().unwrap_or_default().to_owned())),
            "true" => Ok(Self::Boolean(true)),
            "false" => Ok(Self::Boolean(false)),
            other => Err(format!("has a value of the type {other}")),
        }
    }

    /// Returns the value for a key of a dictionary.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dictionary(values) => values.get(key),
            _ => None,
        }
    }

    /// Returns the string for a key of a dictionary.
    pub(crate) fn string(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the array for a key of a dictionary, or an empty one.
    pub(crate) fn array(&self, key: &str) -> &[Self] {
        match self.get(key) {
            Some(Self::Array(values)) => values,
            _ => &[],
        }
    }

    /// Returns the strings in the array for a key of a dictionary.
    pub(crate) fn strings(&self, key: &str) -> Vec<&str> {
        self.array(key)
            .iter()
            .filter_map(|value| match value {
                Self::String(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_a_document_type_is_read() {
        let list = Value::parse(
            br#"<?xml version="1.0"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
            <plist version="1.0"><dict><key>a</key><array><string>x</string><true/></array><key>b</key><string>y</string></dict></plist>"#,
        )
        .expect("is a list");
        assert_eq!(list.string("b"), Some("y"));
        assert_eq!(list.strings("a"), ["x"]);
        assert_eq!(list.array("a")[1], Value::Boolean(true));
        assert_eq!(list.get("c"), None);
    }

    #[test]
    fn a_text_that_is_no_property_list_is_refused() {
        for (text, why) in [
            ("<plist/>", "is empty"),
            ("<list/>", "not a property list"),
            ("<plist><dict><key>a</key></dict></plist>", "no value for a"),
            ("<plist><dict><string>a</string></dict></plist>", "without a key"),
            ("<plist><dict><key>a</key><true/><key>a</key><true/></dict></plist>", "twice"),
            ("<plist>", "no XML"),
        ] {
            let error = Value::parse(text.as_bytes()).expect_err("is none");
            assert!(error.contains(why), "{error}");
        }
    }
}
