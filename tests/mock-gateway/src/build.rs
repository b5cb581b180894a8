//! Writes SIP messages: the mock's own writer.

use crate::parse::Message;

/// A message under construction.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    head: String,
    body: String,
    content_type: Option<String>,
}

impl Builder {
    pub(crate) fn request(method: &str, uri: &str) -> Builder {
        Builder { head: format!("{method} {uri} SIP/2.0\r\n"), body: String::new(), content_type: None }
    }

    /// Starts a response that copies Via, From, To, Call-ID and CSeq (RFC 3261, 8.2.6.2).
    pub(crate) fn response(request: &Message, status: u16, to_tag: &str) -> Builder {
        let mut out = Builder {
            head: format!("SIP/2.0 {status} {}\r\n", reason_phrase(status)),
            body: String::new(),
            content_type: None,
        };
        for via in request.all("Via") {
            out = out.header("Via", via);
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(value) = request.header(name) else { continue };
            if name == "To" && status > 100 && request.tag("To").is_none() {
                out = out.header(name, &format!("{value};tag={to_tag}"));
            } else {
                out = out.header(name, value);
            }
        }
        out
    }

    /// Adds a header field; line breaks in a value become spaces.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Builder {
        self.head.push_str(name);
        self.head.push_str(": ");
        self.head.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
        self.head.push_str("\r\n");
        self
    }

    pub(crate) fn headers(self, headers: &[(String, String)]) -> Builder {
        headers.iter().fold(self, |out, (name, value)| out.header(name, value))
    }

    pub(crate) fn body(mut self, content_type: &str, body: &str) -> Builder {
        self.content_type = Some(content_type.to_owned());
        self.body = body.to_owned();
        self
    }

    pub(crate) fn finish(self) -> String {
        let Builder { mut head, body, content_type } = self;
        if let Some(kind) = content_type {
            head.push_str(&format!("Content-Type: {kind}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        head + &body
    }
}

/// Puts text into double quotes, escaping as RFC 3261's quoted-string asks.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns the usual reason phrase.
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        555 => "Push Notification Service Not Supported",
        603 => "Decline",
        _ => "Whatever",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_message_can_be_read_and_line_breaks_stay_inside_their_value() {
        let text = Builder::request("INVITE", "sip:a@b")
            .header("Subject", "one\r\nInjected: two")
            .body("application/sdp", "v=0\r\n")
            .finish();
        let message = Message::parse(text.as_bytes()).expect("our own text");
        assert_eq!(message.header("Injected"), None);
        assert_eq!(message.text(), "v=0\r\n");
        let reply = Builder::response(&message, 180, "t").finish();
        assert!(reply.starts_with("SIP/2.0 180 Ringing\r\n"));
    }
}
