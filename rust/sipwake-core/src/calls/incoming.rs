//! Handles the requests that come in on a registered flow.

use super::invite::CAPABILITIES;
use super::session::Session;
use super::transaction::Invitation;
use super::uas::TransactionKey;
use super::{Calls, Cx};
use crate::event::Discard;
use crate::outbox::Destination;
use crate::sip::{ALLOW, Builder, Message, Method};

/// The most memory for requests from outside, in bytes. An extension on iOS has about 24 MB.
const MAX_HELD: usize = 4 * 1024 * 1024;

impl Calls {
    pub(crate) fn handle_request(&mut self, destination: Destination, request: Message, cx: &mut Cx<'_>) {
        let (Some(key), Some(method)) = (TransactionKey::of(&request), request.method().cloned()) else {
            return cx.outbox.discard(Discard::Malformed);
        };
        if request.call_id().is_none() || request.cseq().is_none_or(|cseq| cseq.method != method.as_str()) {
            return cx.outbox.discard(Discard::Malformed);
        }
        let ends = matches!(method, Method::Ack | Method::Cancel | Method::Bye);
        if !ends && !self.makes_room_for(&request) {
            return cx.outbox.discard(Discard::TooManyCalls);
        }
        match method {
            Method::Invite => self.handle_invite(destination, key, request, cx),
            Method::Ack => self.handle_ack(destination, &key, &request, cx),
            Method::Cancel => self.handle_cancel(destination, &key, &request, cx),
            _ => self.handle_other(destination, key, &method, &request, cx),
        }
    }

    /// Whether there is room for a request. What is over is forgotten for it.
    fn makes_room_for(&mut self, request: &Message) -> bool {
        // The request, a response that may repeat much of it, and a description.
        let needed = 3 * request.size();
        while self.held() + needed > MAX_HELD {
            let over = self.invitations.iter().position(Invitation::is_over);
            match over {
                Some(index) => drop(self.invitations.remove(index)),
                None if self.answers.forget_one() => {}
                None => return false,
            }
        }
        true
    }

    /// Whether a response may be kept, for which older ones are forgotten. A BYE always gets a response, even when
    /// memory is full, and it may be as large as any request.
    fn forgets_answers_for(&mut self, needed: usize) -> bool {
        while self.held() + needed > MAX_HELD {
            if !self.answers.forget_one() {
                return false;
            }
        }
        true
    }

    /// The size of all live requests and responses in memory, in bytes.
    fn held(&self) -> usize {
        let invitations = self.invitations.iter().map(Invitation::size);
        let sessions = self.sessions.iter().map(Session::size);
        let chats = self.chats.iter().map(String::len);
        invitations.chain(sessions).chain(chats).sum::<usize>() + self.answers.size()
    }

    fn handle_other(
        &mut self,
        destination: Destination,
        key: TransactionKey,
        method: &Method,
        request: &Message,
        cx: &mut Cx<'_>,
    ) {
        if let Some(bytes) = self.answers.find(&key, cx.now.boot) {
            let bytes = bytes.to_vec();
            return cx.outbox.transmit(destination, bytes);
        }
        if self.is_pondered(&key) {
            return;
        }
        if request.to_tag().is_some() || (*method == Method::Bye && self.session_of(destination, request).is_some()) {
            return self.handle_within(destination, key, method, request, cx);
        }
        let key = Some(key);
        match method {
            Method::Options => self.answer_request(destination, key, request, 200, "OK", &CAPABILITIES, cx),
            Method::Message => self.handle_chat(destination, key, request, cx),
            Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Notify | Method::Refer => {
                self.answer_request(destination, key, request, 481, "Call/Transaction Does Not Exist", &[], cx);
            }
            _ => self.answer_request(destination, key, request, 405, "Method Not Allowed", &[("Allow", ALLOW)], cx),
        }
    }

    /// Sends the response to a request other than INVITE. With its `key`, repetitions get the same one.
    #[expect(clippy::too_many_arguments, reason = "one answer, all of whose parts differ")]
    pub(crate) fn answer_request(
        &mut self,
        destination: Destination,
        key: Option<TransactionKey>,
        request: &Message,
        code: u16,
        phrase: &str,
        extra: &[(&str, &str)],
        cx: &mut Cx<'_>,
    ) {
        let tag = cx.outbox.token();
        self.answer_with_tag(destination, key, request, (code, phrase, &tag), extra, cx);
    }

    pub(super) fn answer_with_tag(
        &mut self,
        destination: Destination,
        key: Option<TransactionKey>,
        request: &Message,
        (code, phrase, tag): (u16, &str, &str),
        extra: &[(&str, &str)],
        cx: &mut Cx<'_>,
    ) {
        let mut builder = Builder::response(request, code, phrase, Some(tag));
        for (name, value) in extra {
            builder = builder.header(name, value);
        }
        let Ok(bytes) = builder.finish() else { return cx.outbox.discard(Discard::Malformed) };
        if let Some(key) = key.filter(|key| self.forgets_answers_for(key.size() + bytes.len())) {
            self.answers.keep(key, bytes.clone(), cx.now.boot);
        }
        // The app may have taken longer than the flow lived.
        if cx.is_alive(destination) {
            cx.outbox.transmit(destination, bytes);
        }
    }
}
