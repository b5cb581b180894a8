//! What is done with the requests that come in on a registered flow.

use crate::call::CAPABILITIES;
use crate::clock::Now;
use crate::event::Discard;
use crate::outbox::Way;
use crate::sip::{Builder, Message, Method};
use crate::uas::{ALLOW, TransactionKey};
use crate::user_agent::UserAgent;

impl UserAgent {
    pub(crate) fn handle_request(&mut self, way: Way, request: Message, now: Now) {
        let (Some(key), Some(method)) = (TransactionKey::of(&request), request.method().cloned()) else {
            return self.discard(Discard::Malformed);
        };
        if request.call_id().is_none() || request.cseq().is_none_or(|cseq| cseq.method != method.as_str()) {
            return self.discard(Discard::Malformed);
        }
        match method {
            Method::Invite => self.handle_invite(way, key, request, now),
            Method::Ack => self.handle_ack(&key, &request, now),
            Method::Cancel => self.handle_cancel(way, &key, &request, now),
            _ => self.handle_other(way, key, &method, &request, now),
        }
    }

    fn handle_other(&mut self, way: Way, key: TransactionKey, method: &Method, request: &Message, now: Now) {
        if let Some(bytes) = self.answers.find(&key, now.boot) {
            let bytes = bytes.to_vec();
            return self.outbox.transmit(way, bytes);
        }
        if self.is_pondered(&key) {
            return;
        }
        if request.to_tag().is_some() {
            return self.handle_within(way, key, method, request, now);
        }
        let key = Some(key);
        match method {
            Method::Options => self.answer_request(way, key, request, 200, "OK", &CAPABILITIES, now),
            Method::Message => self.handle_chat(way, key, request, now),
            Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Notify | Method::Refer => {
                self.answer_request(way, key, request, 481, "Call/Transaction Does Not Exist", &[], now);
            }
            _ => self.answer_request(way, key, request, 405, "Method Not Allowed", &[("Allow", ALLOW)], now),
        }
    }

    /// Answers a request other than INVITE; with its `key`, its repetitions hear the same.
    #[expect(clippy::too_many_arguments, reason = "one answer, all of whose parts differ")]
    pub(crate) fn answer_request(
        &mut self,
        way: Way,
        key: Option<TransactionKey>,
        request: &Message,
        code: u16,
        phrase: &str,
        extra: &[(&str, &str)],
        now: Now,
    ) {
        let tag = self.outbox.token();
        let mut builder = Builder::response(request, code, phrase, Some(&tag));
        for (name, value) in extra {
            builder = builder.header(name, value);
        }
        let Ok(bytes) = builder.finish() else { return self.discard(Discard::Malformed) };
        if let Some(key) = key {
            self.answers.keep(key, bytes.clone(), now.boot);
        }
        // The app may have thought for longer than the flow lived.
        if self.is_alive(way) {
            self.outbox.transmit(way, bytes);
        }
    }
}
