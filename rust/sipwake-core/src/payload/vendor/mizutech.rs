//! Mizutech: `ntype`, `nfrom` and their like, under `data` (PushKit, FCM over HTTP) or at the top (FCM).

use super::super::Channel;
use super::super::action::{ActionKind, Reading};
use super::super::fields::Fields;
use super::super::identity;

pub(super) fn read<'f>(fields: &'f Fields<'_>, _: Channel) -> Option<Reading<'f>> {
    if !fields.names_any(&["ntype", "nfrom", "nfromusername", "ncallid", "nmsg", "ntouser", "ntousr"]) {
        return None;
    }
    // The keywords of the server's message templates. If it has no value, the keyword stays.
    const FROM: &[&str] = &["FROM", "FROMUSERNAME", "FROMDISPLAYNAME"];
    const TO: &[&str] = &["TOUSERNAME", "TO"];
    let said = |name, keywords| fields.text_other_than(name, keywords);
    let (caller, display_name) = parties(said("nfromusername", FROM), said("nfrom", FROM));
    Some(Reading {
        account: said("ntouser", TO).or_else(|| said("ntousr", TO)),
        caller,
        display_name,
        title: fields.title(),
        text: fields.message("nmsg", &["MSG", "MESSAGE"]).or_else(|| fields.body()),
        call_id: said("ncallid", &["CALLID"]),
        ..Reading::new(kind(said("ntype", &["TYPE"])))
    })
}

/// The vendor's own sample code treats a push without a type as a call.
fn kind(ntype: Option<&str>) -> ActionKind {
    let Some(ntype) = ntype else { return ActionKind::IncomingCall { video: false } };
    // It is not read as a float: `0.0`, `00` and `+0` are zero, `1e0` and `inf` are words.
    let whole = ntype.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
    match whole.map_or(ntype, |(whole, _)| whole).parse::<u8>() {
        Ok(0) => ActionKind::IncomingCall { video: false },
        Ok(1) => ActionKind::chat(None),
        Ok(2) => ActionKind::Cancel,
        Ok(4) => ActionKind::RefreshBinding,
        _ => ActionKind::custom(ntype),
    }
}

/// Finds out which is the number and which the name.
///
/// In the server's manual, `nfromusername` is the caller's number and `nfrom` the full name. In the vendor's wiki it is
/// the other way round. Most samples have only `nfrom`, with the number.
fn parties<'f>(user_name: Option<&'f str>, from: Option<&'f str>) -> (Option<&'f str>, Option<&'f str>) {
    match (user_name, from) {
        (Some(user_name), Some(from)) if likeness(from) > likeness(user_name) => (Some(from), Some(user_name)),
        (Some(user_name), Some(from)) => (Some(user_name), Some(from)),
        (one, other) => (one.or(other), None),
    }
}

/// How much a text looks like something that can be called.
fn likeness(text: &str) -> u8 {
    let number = |byte: u8| byte.is_ascii_digit() || b"+*#-.()".contains(&byte);
    if identity::name_addr(text).is_some() {
        2
    } else if text.contains(char::is_whitespace) {
        0
    } else if text.contains('@') || text.starts_with("sip:") || text.starts_with("tel:") || text.bytes().all(number) {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_in_each_form() {
        let call = ActionKind::IncomingCall { video: false };
        for zero in ["0", "0.0", "00", "0."] {
            assert_eq!(kind(Some(zero)), call, "{zero}");
        }
        assert_eq!(kind(None), call);
        assert_eq!(kind(Some("1")), ActionKind::chat(None));
        assert_eq!(kind(Some("2.00")), ActionKind::Cancel);
        assert_eq!(kind(Some("4")), ActionKind::RefreshBinding);
    }

    #[test]
    fn an_unknown_number_or_word_is_custom_and_kept_as_it_was_sent() {
        for word in ["3", "5", "-1", "256", "0.5", "call", "true", "1e0", ".0", "NaN"] {
            assert_eq!(kind(Some(word)), ActionKind::Custom { ntype: word.to_owned() }, "{word}");
        }
    }

    #[test]
    fn a_number_and_a_name_are_told_apart_in_either_field() {
        let apart = |user_name, from| parties(Some(user_name), Some(from));
        assert_eq!(apart("1234", "John Smith"), (Some("1234"), Some("John Smith")));
        assert_eq!(apart("John Smith", "1234"), (Some("1234"), Some("John Smith")));
        assert_eq!(apart("John Smith", "john"), (Some("john"), Some("John Smith")));
        assert_eq!(apart("john", "Smith"), (Some("john"), Some("Smith")));
        assert_eq!(apart("1234", "5678"), (Some("1234"), Some("5678")));
        assert_eq!(parties(None, Some("1002")), (Some("1002"), None));
        assert_eq!(parties(Some("1002"), None), (Some("1002"), None));
    }
}
