//! A dialog as its called side sees it (RFC 3261 section 12).

use crate::sip::{Builder, Message, Method, NameAddr};

/// How many routes a dialog may have. A longer one is refused.
const MAX_ROUTES: usize = 32;

/// What the requests of a dialog have in common.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    call_id: String,
    local: String,
    remote: String,
    local_tag: String,
    remote_tag: Option<String>,
    /// The route set, in the order in which our requests pass it.
    routes: Vec<String>,
    target: String,
    cseq: u32,
    remote_cseq: u32,
    /// The INVITE used `sips:` (RFC 3261 section 12.1.1).
    secure: bool,
}

impl Dialog {
    /// Makes the dialog of an INVITE that is accepted with this tag (RFC 3261 section 12.1.1). Returns `None` if there
    /// is no Contact to send requests to.
    pub(crate) fn accept(invite: &Message, local_tag: &str) -> Option<Self> {
        let mut routes = Vec::new();
        for route in invite.values("Record-Route") {
            if routes.len() >= MAX_ROUTES {
                return None;
            }
            routes.push(route.to_owned());
        }
        Some(Self {
            call_id: invite.call_id()?.to_owned(),
            local: [invite.header("To")?, ";tag=", local_tag].concat(),
            remote: invite.header("From")?.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: invite.from()?.tag().map(str::to_owned),
            routes,
            target: invite.contacts().first().filter(|contact| !contact.is_star())?.uri.to_owned(),
            cseq: 0,
            remote_cseq: invite.cseq()?.seq,
            secure: is_secure(invite),
        })
    }

    /// Its memory besides its own size, in bytes.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.call_id, &self.local, &self.remote, &self.local_tag, &self.target];
        let routes = self.routes.iter().map(|route| route.len() + size_of::<String>()).sum::<usize>();
        routes + texts.into_iter().map(String::len).sum::<usize>()
    }

    /// Whether the INVITE used `sips:`. Then all requests of the dialog come over TLS, and our Contact says so.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns whether a request belongs to this dialog.
    pub(crate) fn has(&self, request: &Message) -> bool {
        request.call_id() == Some(self.call_id.as_str())
            && request.to_tag() == Some(self.local_tag.as_str())
            && request.from().is_some_and(|from| from.tag() == self.remote_tag.as_deref())
    }

    /// Returns whether a request from another peer belongs to this dialog. Call-ID and both tags must fit, and the
    /// number must not be an old one. With `sips:` it never does, because those requests come only over TLS.
    pub(crate) fn takes(&self, request: &Message) -> bool {
        let secure = self.secure || is_sips(&self.target);
        let old = request.cseq().is_none_or(|cseq| cseq.seq < self.remote_cseq);
        request.method().is_some() && !secure && !old && self.remote_tag.is_some() && self.has(request)
    }

    /// Returns whether a request may belong to this dialog although the end of its To, with the tag, was cut off. Some
    /// servers keep only 255 bytes of it.
    pub(crate) fn may_have(&self, request: &Message) -> bool {
        let tag = request.to_tag().unwrap_or_default();
        request.call_id() == Some(self.call_id.as_str())
            && self.local_tag.starts_with(tag)
            && request.from().is_some_and(|from| from.tag() == self.remote_tag.as_deref())
    }

    /// Returns whether the caller's requests may come straight from the caller (RFC 3261 section 12.1.1).
    pub(crate) fn is_without_route(&self) -> bool {
        self.routes.is_empty()
    }

    /// Returns whether a response is to a request of this dialog.
    pub(crate) fn is_answered_by(&self, response: &Message) -> bool {
        response.call_id() == Some(self.call_id.as_str())
            && response.from_tag() == Some(self.local_tag.as_str())
            && response.to().is_some_and(|to| to.tag() == self.remote_tag.as_deref())
    }

    /// Takes the number of a request. Returns `false` if it is not higher than the last one (section 12.2.2).
    pub(crate) fn advance(&mut self, cseq: u32) -> bool {
        let grows = cseq > self.remote_cseq;
        if grows {
            self.remote_cseq = cseq;
        }
        grows
    }

    /// Takes the Contact of a target refresh request or of its response (section 12.2.1.2).
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Some(contact) = message.contacts().first().filter(|contact| !contact.is_star()) {
            self.target = contact.uri.to_owned();
        }
    }

    /// Returns the number of our next request.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }

    /// Returns the Request-URI of our requests, which is also their digest URI.
    pub(crate) fn request_uri(&self) -> String {
        self.strict_router().unwrap_or_else(|| self.target.clone())
    }

    /// 12.2.1.1: behind a strict router, its URI is the Request-URI and the target is the last route.
    fn strict_router(&self) -> Option<String> {
        let first = NameAddr::parse(self.routes.first()?)?;
        let loose = first.parsed().is_some_and(|uri| uri.params.has("lr"));
        (!loose).then(|| first.uri.to_owned())
    }

    /// Begins a request with this number. The calling code adds what else it carries.
    pub(crate) fn request(&self, method: &Method, cseq: u32, via: &str) -> Builder {
        let strict = self.strict_router();
        let mut builder = Builder::request(method, strict.as_deref().unwrap_or(&self.target));
        builder = builder.header("Via", via).header("Max-Forwards", "70");
        for route in self.routes.iter().skip(usize::from(strict.is_some())) {
            builder = builder.header("Route", route);
        }
        if strict.is_some() {
            builder = builder.header("Route", &format!("<{}>", self.target));
        }
        builder = builder.header("From", &self.local).header("To", &self.remote).header("Call-ID", &self.call_id);
        builder.header("CSeq", &format!("{cseq} {method}"))
    }
}

/// Whether an INVITE wants `sips:` in our Contact. Its Request-URI says so, or its first Record-Route. Without a
/// Record-Route, its Contact does.
pub(crate) fn is_secure(invite: &Message) -> bool {
    let route = invite.values("Record-Route").next().and_then(NameAddr::parse).map(|route| route.uri);
    let contact = || invite.contacts().first().filter(|contact| !contact.is_star()).map(|contact| contact.uri);
    invite.uri().is_some_and(is_sips) || route.or_else(contact).is_some_and(is_sips)
}

fn is_sips(uri: &str) -> bool {
    uri.trim_start().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(more: &str) -> Message {
        let text = format!(
            "INVITE sip:alice@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\r\nFrom: Bob <sip:bob@x>;tag=b\r\n\
             To: <sip:alice@x>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n{more}\r\n"
        );
        Message::parse(text.as_bytes()).expect("a message")
    }

    fn bye(dialog: &mut Dialog) -> String {
        let cseq = dialog.next_cseq();
        let bytes = dialog.request(&Method::Bye, cseq, "SIP/2.0/UDP h;branch=z9hG4bK2").finish().expect("it is sound");
        String::from_utf8(bytes).expect("it is text")
    }

    #[test]
    fn requests_follow_the_record_route_in_its_order() {
        let routed = "Contact: <sip:bob@192.0.2.1:5070>\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n";
        let mut dialog = Dialog::accept(&invite(routed), "a").expect("a dialog");
        assert_eq!(
            bye(&mut dialog),
            "BYE sip:bob@192.0.2.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK2\r\nMax-Forwards: 70\r\n\
             Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:p3;lr>\r\nFrom: <sip:alice@x>;tag=a\r\n\
             To: Bob <sip:bob@x>;tag=b\r\nCall-ID: c\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn behind_a_strict_router_the_target_goes_last() {
        let routed = "Contact: <sip:bob@h>\r\nRecord-Route: <sip:p1>, <sip:p2;lr>\r\n";
        let mut dialog = Dialog::accept(&invite(routed), "a").expect("a dialog");
        let bye = bye(&mut dialog);
        assert!(bye.starts_with("BYE sip:p1 SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains("70\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:bob@h>\r\nFrom"), "{bye}");
    }

    #[test]
    fn without_a_contact_or_with_too_long_a_route_there_is_no_dialog() {
        assert!(Dialog::accept(&invite(""), "a").is_none());
        assert!(Dialog::accept(&invite("Contact: *\r\n"), "a").is_none());
        let long = "Record-Route: <sip:p;lr>\r\n".repeat(MAX_ROUTES + 1);
        assert!(Dialog::accept(&invite(&format!("Contact: <sip:b@h>\r\n{long}")), "a").is_none());
    }

    #[test]
    fn a_cseq_that_does_not_grow_is_refused() {
        let mut dialog = Dialog::accept(&invite("Contact: <sip:bob@h>\r\n"), "a").expect("a dialog");
        assert!(!dialog.advance(7) && !dialog.advance(3) && dialog.advance(9) && !dialog.advance(8));
    }
}
