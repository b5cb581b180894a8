//! What a caller asks inside a call and only the app can do: INFO (RFC 6086, such as digits) and REFER (RFC 3515).

use std::time::Duration;

use uuid::Uuid;

use super::body::MAX_BODY;
use super::uas::TransactionKey;
use super::{Calls, Cx};
use crate::digest::Challenged;
use crate::event::{CallChange, CallRequest, RequestKind};
use crate::outbox::Destination;
use crate::payload::shown_name;
use crate::sip::{ALLOW, ALLOW_IN_CALL, Message, Method, NameAddr};

/// How long the app may take. The caller gives up after 32 seconds, so this is well below.
const ANSWER_WINDOW: Duration = Duration::from_secs(10);
/// How many requests of one call may wait for the app at once.
const MAX_ASKED: usize = 8;
/// The longest digit, in milliseconds.
const MAX_DIGIT: u64 = 60_000;

/// A request that waits for the app's response.
#[derive(Debug)]
pub(crate) struct AppRequest {
    id: u64,
    destination: Destination,
    key: TransactionKey,
    request: Box<Message>,
    until: Duration,
}

impl AppRequest {
    pub(super) fn new(destination: Destination, key: TransactionKey, request: &Message) -> Self {
        Self { id: 0, destination, key, request: Box::new(request.clone()), until: Duration::ZERO }
    }

    /// Its size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.key.size() + self.request.size() + size_of::<Self>()
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn until(&self) -> Duration {
        self.until
    }

    pub(super) fn is_of(&self, key: &TransactionKey) -> bool {
        self.key == *key
    }
}

impl Calls {
    pub(crate) fn take_requests(&mut self, take: bool) {
        self.takes_requests = take;
    }

    /// The methods that are supported in a call.
    pub(super) fn allow(&self) -> &'static str {
        if self.takes_requests { ALLOW_IN_CALL } else { ALLOW }
    }

    /// Tells the app about a request, which it may respond to.
    pub(super) fn ask_app(&mut self, index: usize, mut asked: AppRequest, cx: &mut Cx<'_>) {
        let Some(kind) = kind(&asked.request) else { return self.answer_asked(&asked, Some(400), cx) };
        self.requests += 1;
        let session = &mut self.sessions[index];
        let waits = self.takes_requests && !session.is_leaving() && session.asked.len() < MAX_ASKED;
        (asked.id, asked.until) = (self.requests, cx.now.boot + ANSWER_WINDOW);
        let (uuid, id) = (session.uuid, asked.id);
        if waits {
            session.asked.push(asked);
        } else {
            self.answer_asked(&asked, None, cx);
        }
        self.tell_call(uuid, CallChange::Asked(CallRequest { id, awaits_response: waits, kind }), cx);
    }

    /// Sends the response to a request. Without a status, it says that the request is not supported.
    pub(super) fn answer_asked(&mut self, asked: &AppRequest, status: Option<u16>, cx: &mut Cx<'_>) {
        let refers = asked.request.method() == Some(&Method::Refer);
        let (code, phrase, extra): (u16, &str, &[(&str, &str)]) = match status {
            None if refers => (405, "Method Not Allowed", &[("Allow", ALLOW)]),
            None => (415, "Unsupported Media Type", &[("Accept", "")]),
            Some(200..=299) if refers => (202, "Accepted", &[]),
            Some(status @ 200..=299) => (status, "OK", &[]),
            Some(400) => (400, "Bad Request", &[]),
            Some(487) => (487, "Request Terminated", &[]),
            Some(status @ 300..=699) => (status, super::phrase(status), &[]),
            Some(_) => (500, "Server Internal Error", &[]),
        };
        // RFC 4488: a caller that wants no subscription is told that there is none.
        let unsubscribed = asked.request.header("Refer-Sub").is_some_and(|value| value.trim().starts_with("false"));
        let extra = if code == 202 && unsubscribed { &[("Refer-Sub", "false")][..] } else { extra };
        self.answer_request(asked.destination, Some(asked.key.clone()), &asked.request, code, phrase, extra, cx);
        if code == 202 && !unsubscribed {
            self.notify_referrer(&asked.request, cx);
        }
    }

    /// RFC 3515 section 2.4.4: a NOTIFY at once. It says that we try, and that no other one will follow.
    fn notify_referrer(&mut self, refer: &Message, cx: &mut Cx<'_>) {
        let of = self.sessions.iter().position(|session| session.dialog.has(refer) && session.request.is_none());
        let Some(index) = of.filter(|index| !self.sessions[*index].is_leaving()) else { return };
        let session = &self.sessions[index];
        let Some(contact) = self.contact_of(&session.account, session.dialog.is_secure(), cx) else { return };
        let event = format!("refer;id={}", refer.cseq().map_or(0, |cseq| cseq.seq));
        let over = "terminated;reason=noresource".to_owned();
        let headers = vec![("Event", event), ("Subscription-State", over), ("Contact", contact)];
        self.send_request(index, &Method::Notify, headers, Challenged::default(), cx);
    }

    /// Refuses the requests that the app did not answer in time.
    pub(super) fn expire_asked(&mut self, call: Uuid, cx: &mut Cx<'_>) {
        let Some(session) = self.sessions_of(call) else { return };
        let due = |asked: &AppRequest| cx.now.boot >= asked.until;
        let late = session.asked.iter().take_while(|asked| due(asked)).count();
        for asked in session.asked.drain(..late).collect::<Vec<_>>() {
            self.answer_asked(&asked, None, cx);
        }
    }
}

/// What an INFO or REFER asks for. `None` for a REFER that names nobody.
//
// Refer-To  =  ("Refer-To" / "r") HCOLON ( name-addr / addr-spec ) * (SEMI generic-param)          (RFC 3515)
fn kind(request: &Message) -> Option<RequestKind> {
    if request.method() == Some(&Method::Refer) {
        let to = request.header("Refer-To").or(request.header("r")).and_then(NameAddr::parse)?;
        let by = request.header("Referred-By").or(request.header("b")).and_then(NameAddr::parse);
        return Some(RequestKind::Refer { to: shown_name(to.uri)?, by: by.and_then(|by| shown_name(by.uri)) });
    }
    let content_type = request.header("Content-Type").unwrap_or_default();
    let body = request.body.get(..MAX_BODY).unwrap_or(&request.body);
    Some(digit(content_type, body).unwrap_or_else(|| RequestKind::Info {
        content_type: content_type.to_owned(),
        package: request.header("Info-Package").map(str::to_owned),
        body: body.to_vec(),
    }))
}

/// A digit in one of its two forms: `Signal=5` and `Duration=160` in lines of `application/dtmf-relay`, or the digit
/// alone in `application/dtmf`.
fn digit(content_type: &str, body: &[u8]) -> Option<RequestKind> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = std::str::from_utf8(body).ok()?;
    let field = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once('='));
        fields.find_map(|(known, value)| known.trim().eq_ignore_ascii_case(name).then(|| value.trim()))
    };
    let (signal, lasts) = match kind.as_str() {
        "application/dtmf-relay" => (field("Signal")?, field("Duration").and_then(|lasts| lasts.parse::<u64>().ok())),
        "application/dtmf" => (field("Signal").unwrap_or(text.trim()), None),
        _ => return None,
    };
    // Either the number from RFC 2833, or the character itself.
    let digit = match signal {
        "10" => '*',
        "11" => '#',
        "12" => 'A',
        "13" => 'B',
        "14" => 'C',
        "15" => 'D',
        "16" | "!" | "flash" => '!',
        one => {
            let mut all = one.chars();
            let digit = all.next().map(|c| c.to_ascii_uppercase()).filter(|c| "0123456789ABCD*#".contains(*c))?;
            all.next().is_none().then_some(digit)?
        }
    };
    let duration = lasts.filter(|lasts| *lasts <= MAX_DIGIT).map(Duration::from_millis);
    Some(RequestKind::Digit { digit, duration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_in_their_common_forms() {
        for (kind, body, expected) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some(('5', Some(160)))),
            ("Application/DTMF-Relay;charset=utf-8", "signal= *\nduration= 250\n", Some(('*', Some(250)))),
            ("application/dtmf-relay", "Signal=11\r\nDuration=x\r\n", Some(('#', None))),
            ("application/dtmf", "d\r\n", Some(('D', None))),
            ("application/dtmf-relay", "Signal=55\r\n", None),
            ("application/dtmf", "", None),
            ("application/media_control+xml", "<x/>", None),
        ] {
            let read = match digit(kind, body.as_bytes()) {
                Some(RequestKind::Digit { digit, duration }) => Some((digit, duration.map(|lasts| lasts.as_millis()))),
                _ => None,
            };
            assert_eq!(read, expected, "{kind} {body:?}");
        }
    }
}
