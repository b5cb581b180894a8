//! Messages for a person to read, with everything but the secrets.

use crate::redact::hint;

/// Parameters with values that are secret or nearly secret. A trace shows only their length and last four characters.
const SECRET_PARAMETERS: [&str; 9] = [
    "pn-prid=",
    "pn-tok=",
    "push-token-id=",
    "device-uid=",
    "pn-purr=",
    "response=\"",
    "rspauth=\"",
    "nextnonce=\"",
    "nonce=\"",
];

/// Returns a message as text in which tokens, digest answers, nonces, `X-PIID`, `X-Push-Key` and the body are cut to a hint of themselves.
///
/// ```
/// use sipwake_core::trace::redacted;
///
/// let text = redacted(b"REGISTER sip:a SIP/2.0\r\nX-MPUSH: a:app:c-10:APA91bToken1234\r\n\r\n");
/// assert!(text.contains("X-MPUSH: a:app:\u{2026}1234 (20)"));
/// ```
pub fn redacted(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut shown = String::with_capacity(head.len());
    for line in head.lines() {
        write_redacted(line, &mut shown);
        shown.push('\n');
    }
    if !body.is_empty() {
        shown.push_str(&format!("({} bytes of body)\n", body.len()));
    }
    shown
}

fn write_redacted(line: &str, shown: &mut String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.trim();
    let harmless = if ["x-piid", "x-push-key"].iter().any(|secret| name.trim().eq_ignore_ascii_case(secret)) {
        0
    } else if name.trim().eq_ignore_ascii_case("x-mpush") && value != "null" {
        before_token(value)
    } else {
        return write_parameters(line, shown);
    };
    let (harmless, secret) = value.split_at(harmless);
    for part in [name, ": ", harmless, &hint(secret)] {
        shown.push_str(part);
    }
}

/// Returns where the token begins in `[ENV:]PROVIDER:PACKAGE:TOKEN`. Only the token may hold more colons.
fn before_token(value: &str) -> usize {
    let before = if matches!(value.get(..2), Some("s:" | "p:" | "d:")) { 3 } else { 2 };
    value.match_indices(':').take(before).last().map_or(0, |(at, _)| at + 1)
}

fn write_parameters(line: &str, shown: &mut String) {
    let mut line = line.to_owned();
    for parameter in SECRET_PARAMETERS {
        line = redacted_parameter(&line, parameter);
    }
    shown.push_str(&line);
}

fn redacted_parameter(line: &str, parameter: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    // The names are ASCII, so lower case does not move any byte.
    while let Some(at) = rest.to_ascii_lowercase().find(parameter) {
        let (before, after) = rest.split_at(at + parameter.len());
        // `cnonce="` and `nextnonce="` also end with `nonce="`. They are harmless, or handled elsewhere.
        let quoted = parameter.ends_with('"');
        let end =
            after.find(|c| if quoted { c == '"' } else { matches!(c, ';' | '>' | ',' | ' ') }).unwrap_or(after.len());
        shown.push_str(before);
        shown.push_str(&hint(&after[..end]));
        rest = &after[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_register_is_left() {
        let message = "REGISTER sip:example.com SIP/2.0\r\n\
            Contact: <sip:a@192.0.2.1;pn-provider=fcm;PN-PRID=c-10:APA91bSecret0001>;push-token-id=APA91bSecret0002;expires=0\r\n\
            X-MPUSH: s:i:com.app:c-10:APA91bSecret0003\r\n\
            X-PIID: b7cfad8f31893933560dae61622ed255\r\n\
            X-Push: device-os=ios;device-uid=APA91bSecret0004;allow-call-push=true\r\n\
            Authorization: Digest username=\"a\", nonce=\"NonceSecret00005\", response=\"1336341b517678240fb092e0cf1159a7\"\r\n\
            \r\nhello secret body";
        let shown = redacted(message.as_bytes());
        for secret in ["APA91bSecret", "b7cfad8f3189", "NonceSecret", "1336341b5176", "hello secret"] {
            assert!(!shown.contains(secret), "{secret} in\n{shown}");
        }
        for kept in
            ["pn-provider=fcm", "allow-call-push=true", "…0001", "X-MPUSH: s:i:com.app:…0003", "(17 bytes of body)"]
        {
            assert!(shown.contains(kept), "{kept} not in\n{shown}");
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_shown_without_a_panic() {
        for bytes in [&b""[..], b"\r\n\r\n", b"\xff\xfe", b"X-MPUSH:", b"pn-prid=", "\u{130}pn-prid=abc".as_bytes()] {
            let _ = redacted(bytes);
        }
    }
}
