//! MESSAGE (RFC 3428): plain text, alone or in a `message/cpim` wrapping (RFC 3862).

use super::addressee::addressee;
use super::body::{MAX_BODY, field, headers};
use super::invite::caller;
use super::uas::TransactionKey;
use super::{Calls, Cx};
use crate::event::{Caller, Discard, Event};
use crate::outbox::Destination;
use crate::redact::Secret;
use crate::sip::{Message, NameAddr};

/// How many messages are remembered, so that the app gets a repeated one only once.
const MAX_TOLD: usize = 64;

impl Calls {
    pub(crate) fn handle_chat(
        &mut self,
        destination: Destination,
        key: Option<TransactionKey>,
        request: &Message,
        cx: &mut Cx<'_>,
    ) {
        let Some(account) = addressee(destination, request, cx) else {
            return cx.outbox.discard(Discard::DeadFlow);
        };
        if cx.accounts.is_leaving(&account) {
            return self.answer_request(destination, key, request, 480, "Temporarily Unavailable", &[], cx);
        }
        let Some(text) = Text::read(request) else {
            let accept = [("Accept", "text/plain, message/cpim")];
            return self.answer_request(destination, key, request, 415, "Unsupported Media Type", &accept, cx);
        };
        self.answer_request(destination, key, request, 200, "OK", &[], cx);
        let call_id = request.call_id().unwrap_or_default().to_owned();
        let name = format!("{call_id} {} {account}", request.cseq().map_or(0, |cseq| cseq.seq));
        if self.chats.contains(&name) {
            return;
        }
        if self.chats.len() >= MAX_TOLD {
            self.chats.pop_front();
        }
        self.chats.push_back(name);
        cx.outbox.tell(Event::Message {
            account,
            from: text.from.uri,
            display_name: text.from.display_name,
            content_type: text.content_type,
            text: text.content,
            call_id,
            message_id: text.id,
            date: text.date,
        });
    }
}

struct Text {
    from: Caller,
    content_type: String,
    content: Secret,
    id: Option<String>,
    date: Option<String>,
}

impl Text {
    /// Returns `None` for an unknown type.
    fn read(request: &Message) -> Option<Self> {
        let content_type = request.header("Content-Type").unwrap_or("text/plain").to_owned();
        let encoded =
            request.header("Content-Encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        if encoded || request.body.len() > MAX_BODY {
            return None;
        }
        let outer = Self {
            from: caller(request, false),
            content: Secret::new(decoded(&content_type, &request.body)),
            id: request.header("X-Push-ID").or(request.header("portsip-push-id")).map(str::to_owned),
            date: request.header("Date").map(str::to_owned),
            content_type,
        };
        match kind(&outer.content_type).as_str() {
            "text/plain" => Some(outer),
            "message/cpim" => outer.unwrapped(&request.body),
            _ => None,
        }
    }

    //  Message headers, an empty line, MIME headers, an empty line, the content (RFC 3862 section 2)
    fn unwrapped(self, body: &[u8]) -> Option<Self> {
        let (envelope, rest) = headers(body);
        let (mime, content) = headers(rest);
        let (envelope, mime) = (decoded("", envelope), decoded("", mime));
        let (envelope, mime) = (envelope.as_str(), mime.as_str());
        let content_type = field(mime, "Content-Type").unwrap_or("text/plain").to_owned();
        if envelope.is_empty() || kind(&content_type) != "text/plain" {
            return None;
        }
        let from = field(envelope, "From").and_then(NameAddr::parse).and_then(|from| {
            let shown = crate::payload::shown_name;
            Some(Caller { uri: shown(from.uri)?, display_name: from.display_name().as_deref().and_then(shown) })
        });
        // The prefix for RFC 5438's namespace may be any, but everybody uses "imdn".
        let id = field(envelope, "imdn.Message-ID").map(str::to_owned);
        Some(Self {
            from: from.unwrap_or(self.from),
            content: Secret::new(decoded(&content_type, content)),
            content_type,
            id: id.or(self.id),
            date: field(envelope, "DateTime").map(str::to_owned).or(self.date),
        })
    }
}

/// Reads text as UTF-8. It is Latin-1 if the type says so, or if it is not UTF-8. Latin-1 here means Windows' form of
/// it, as everywhere, which has signs where Latin-1 has control characters.
fn decoded(content_type: &str, content: &[u8]) -> String {
    let params = content_type.split_once(';').map_or("", |(_, params)| params).to_ascii_lowercase();
    let latin = ["iso-8859-1", "iso8859-1", "latin1", "windows-1252"].iter().any(|name| params.contains(name));
    match std::str::from_utf8(content) {
        Ok(text) if !latin => text.to_owned(),
        _ => content.iter().copied().map(of_latin).collect(),
    }
}

fn of_latin(byte: u8) -> char {
    const SIGNS: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    byte.checked_sub(0x80).and_then(|at| SIGNS.get(usize::from(at))).copied().unwrap_or(char::from(byte))
}

fn kind(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &str, body: &str) -> Option<Text> {
        let text = format!("MESSAGE sip:a@b SIP/2.0\r\nFrom: <sip:bob@x>;tag=1\r\n{headers}\r\n{body}");
        Text::read(&Message::parse(text.as_bytes()).expect("a message"))
    }

    #[test]
    fn plain_text_is_read_with_its_date() {
        let text = read("Date: Sat, 13 Nov 2010 23:29:00 GMT\r\nContent-Type: text/plain;charset=utf-8\r\n", "héllo")
            .expect("read");
        assert_eq!((text.content.expose(), text.from.uri.as_str()), ("héllo", "sip:bob@x"));
        assert_eq!(text.date.as_deref(), Some("Sat, 13 Nov 2010 23:29:00 GMT"));
    }

    #[test]
    fn cpim_is_unwrapped() {
        let body = "From: Anna <sip:anna@y>\r\nDateTime: 2024-12-13T13:40:00-08:00\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
                    imdn.Message-ID: 34jk\r\n\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhi\r\nthere";
        let text = read("Content-Type: Message/CPIM\r\n", body).expect("read");
        assert_eq!((text.content.expose(), text.from.display_name.as_deref()), ("hi\r\nthere", Some("Anna")));
        assert_eq!((text.id.as_deref(), text.date.as_deref()), (Some("34jk"), Some("2024-12-13T13:40:00-08:00")));
    }

    #[test]
    fn other_types_are_not_read() {
        assert!(read("Content-Type: image/png\r\n", "x").is_none());
        assert!(
            read("Content-Type: message/cpim\r\n", "From: <sip:a@b>\r\n\r\nContent-Type: image/png\r\n\r\nx").is_none()
        );
        assert!(read("Content-Type: message/cpim\r\n", "no envelope").is_none());
    }
}
