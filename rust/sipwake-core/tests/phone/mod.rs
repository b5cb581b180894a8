//! A phone on virtual time, and the requests of a caller. The requests are written by hand, so that nothing here uses the
//! code that it tests.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use driver::{Agent, Driver, Transmit};
use sipwake_core::account::{Account, AccountConfig, AccountKey, Hop, Transport};
use sipwake_core::clock::Now;
use sipwake_core::event::{CallChange, Ended, Event, FlowId, Offer};
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::sip::Message;
use sipwake_core::snapshot::Record;
use sipwake_core::user_agent::Unreadable;
use uuid::Uuid;

#[path = "../driver/mod.rs"]
mod driver;

pub(crate) const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
pub(crate) const ANSWER: &str = "v=0\r\no=- 7 7 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

/// What runs in one process. After a kill it is created again from the store.
pub(crate) struct Phone {
    pub(crate) agent: Agent,
    pub(crate) account: AccountKey,
    pub(crate) flow: Option<FlowId>,
    pub(crate) now: Now,
    /// Sent messages other than REGISTERs.
    pub(crate) sent: Vec<String>,
    pub(crate) registers: Vec<String>,
    /// Messages sent to addresses other than the flow's peer.
    pub(crate) sent_aside: Vec<(SocketAddr, String)>,
    pub(crate) events: Vec<Event>,
    pub(crate) online: bool,
    /// Whether each REGISTER gets a 200 at once.
    pub(crate) registrar_answers: bool,
    /// How the registrar challenges a REGISTER without credentials, if it does.
    challenge: Option<&'static str>,
    seed: u8,
    transport: Transport,
    purr: Option<&'static str>,
}

impl Driver for Phone {
    fn parts(&mut self) -> (&mut Agent, &mut Now) {
        (&mut self.agent, &mut self.now)
    }

    fn save(&mut self, record: Record) {
        self.saved(record.id, Ok(()));
    }

    fn load(&mut self, _: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(None)
    }

    fn open(&mut self, flow: FlowId, _: Hop, _: Option<u16>) {
        if self.online {
            self.flow = Some(flow);
            let local: SocketAddr = format!("192.0.2.9:{}", 40000 + flow.0).parse().expect("an address");
            self.agent.handle_flow_up(flow, local, self.now);
        }
    }

    fn close(&mut self, flow: FlowId) {
        self.flow.take_if(|known| *known == flow);
    }

    fn transmit(&mut self, sent: Transmit) {
        if let Some(to) = sent.to {
            assert_eq!((Some(sent.flow), sent.transport), (self.flow, Transport::Udp));
            self.sent_aside.push((to, sent.text));
        } else {
            self.transmitted(sent.text);
        }
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }
}

impl Phone {
    pub(crate) fn new(transport: Transport) -> Self {
        Self::started(transport, Now::new(Duration::from_secs(1000), Duration::from_secs(1_700_000_000)), 1, None)
    }

    pub(crate) fn with_purr(purr: &'static str) -> Self {
        let now = Now::new(Duration::from_secs(1000), Duration::from_secs(1_700_000_000));
        Self::started(Transport::Udp, now, 1, Some(purr))
    }

    /// A phone in a call. The caller's INVITE carried these header fields.
    pub(crate) fn connected(headers: &str) -> (Self, Caller, Uuid) {
        Self::new(Transport::Udp).called(headers)
    }

    /// As [`connected`](Self::connected), at a registrar that asks for credentials.
    pub(crate) fn connected_where_asked(challenge: &'static str, headers: &str) -> (Self, Caller, Uuid) {
        let mut phone = Self::new(Transport::Udp);
        phone.challenge = Some(challenge);
        phone.agent.register(&phone.account, phone.now).expect("it is there");
        phone.drain();
        phone.called(headers)
    }

    fn called(mut self, headers: &str) -> (Self, Caller, Uuid) {
        let mut bob = Caller::new("c1").with(headers);
        self.receive(&bob.invite());
        let call = self.call();
        assert!(self.agent.accept(call, Offer::sdp(ANSWER), self.now));
        self.drain();
        bob.hear(self.sent.last().expect("a 200"));
        self.receive(&bob.ack(false));
        self.take();
        assert_eq!(self.happened(), ["ringing", "connected"]);
        (self, bob, call)
    }

    fn started(transport: Transport, now: Now, seed: u8, purr: Option<&'static str>) -> Self {
        let mut agent = Agent::new([seed; 32], None, now);
        let mut config = AccountConfig::new("sip:alice@example.com", "wonderland");
        config.gateways = vec!["192.0.2.1:5060".to_owned()];
        config.transport = Some(transport);
        config.keep_alive = None;
        let account = Account::parse(config).expect("a sound account");
        let push = purr.map(|_| {
            let config = sipwake_core::push::PushConfig::new(sipwake_core::push::Provider::Fcm, "project");
            sipwake_core::push::Push::parse(config).expect("sound push settings")
        });
        let account = agent.add_account(account, push, None, now).expect("there is room");
        if purr.is_some() {
            let provider = sipwake_core::push::Provider::Fcm;
            let token = sipwake_core::push::PushToken::parse_pair(&provider, Some("c-10:APA91bToken"), None);
            let token = token.expect("a sound token").expect("a token");
            agent.set_token(&account, token, now).expect("it is there");
        }
        agent.register(&account, now).expect("it was just added");
        let mut phone = Self {
            agent,
            account,
            flow: None,
            now,
            sent: Vec::new(),
            registers: Vec::new(),
            sent_aside: Vec::new(),
            events: Vec::new(),
            online: true,
            registrar_answers: true,
            challenge: None,
            seed,
            transport,
            purr,
        };
        phone.drain();
        phone
    }

    /// The system kills the process and starts it again.
    pub(crate) fn kill(&mut self) {
        let (sent, events) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.events));
        *self = Self { sent, events, ..Self::started(self.transport, self.now, self.seed + 1, self.purr) };
    }

    pub(crate) fn drain(&mut self) {
        self.perform();
    }

    fn transmitted(&mut self, text: String) {
        if !text.starts_with("REGISTER ") {
            return self.sent.push(text);
        }
        self.registers.push(text.clone());
        if !self.registrar_answers {
            return;
        }
        let asks = self.challenge.filter(|_| header(&text, "Authorization").is_none());
        let status = if asks.is_some() { "401 Unauthorized" } else { "200 OK" };
        let field = |name: &str| header(&text, name).expect("every REGISTER has it");
        let contact = format!("Contact: {};expires=3600\r\n", field("Contact"));
        let caps = self.purr.map(|purr| format!("Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnspurr=\"{purr}\"\r\n"));
        let says = asks.map_or_else(|| contact + &caps.unwrap_or_default(), str::to_owned);
        let answer = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=r\r\nCall-ID: {}\r\nCSeq: {}\r\n{says}\r\n",
            field("Via"),
            field("From"),
            field("To"),
            field("Call-ID"),
            field("CSeq"),
        );
        self.receive(&answer);
    }

    /// A message comes in. Without a flow it is lost.
    pub(crate) fn receive(&mut self, text: &str) {
        if let Some(flow) = self.flow {
            self.agent.handle_input(flow, text.as_bytes(), self.now);
        }
        self.drain();
    }

    pub(crate) fn push(&mut self, call_id: &str) -> Uuid {
        let payload = format!("{{\"ntype\":\"0\",\"nfrom\":\"bob\",\"ncallid\":\"{call_id}\"}}");
        let action = parse_push(payload.as_str(), Channel::FcmAndroid, &Hints::at(self.now));
        let action = self.agent.gate().judge(action, &Hints::at(self.now), self.now.boot);
        self.agent.handle_push(&action, self.now);
        self.drain();
        action.uuid
    }

    /// Lets time pass. Each timer fires at its time.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.run(time);
    }

    pub(crate) fn reconnect(&mut self) {
        self.agent.network_changed(self.now);
        self.drain();
    }

    /// Takes the messages sent since the last time.
    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent)
    }

    /// Takes what was sent, as the ends of start lines: `180 INVITE`, `BYE`.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.take().iter().map(|text| gist(text)).collect()
    }

    /// Takes what happened to calls, as words.
    pub(crate) fn happened(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.events);
        events.iter().filter_map(word).collect()
    }

    pub(crate) fn ends(&self) -> Vec<(Uuid, Ended)> {
        let end = |event: &Event| match event {
            Event::Call(call) => match call.change {
                CallChange::Ended(how) => Some((call.uuid, how)),
                _ => None,
            },
            _ => None,
        };
        self.events.iter().filter_map(end).collect()
    }

    /// Accepts the one call.
    pub(crate) fn accept(&mut self, answer: Offer) -> bool {
        let call = self.call();
        self.agent.accept(call, answer, self.now)
    }

    pub(crate) fn call(&self) -> Uuid {
        let uuid = |event: &Event| match event {
            Event::Call(call) => Some(call.uuid),
            _ => None,
        };
        self.events.iter().rev().find_map(uuid).expect("there is a call")
    }
}

fn word(event: &Event) -> Option<String> {
    let Event::Call(call) = event else {
        return match event {
            Event::Message { text, .. } => Some(format!("message {}", text.expose())),
            Event::Discarded { reason, .. } => Some(format!("dropped {reason:?}")),
            _ => None,
        };
    };
    Some(match &call.change {
        CallChange::Announced(_) => "announced".to_owned(),
        CallChange::Ringing { .. } => "ringing".to_owned(),
        CallChange::AnswerWanted { .. } => "answer wanted".to_owned(),
        CallChange::CallerChanged(caller) => format!("caller {}", caller.display_name.as_deref().unwrap_or_default()),
        CallChange::Connected { answer } => format!("connected{}", if answer.is_some() { " with answer" } else { "" }),
        CallChange::Offered { offer } => format!("offered{}", if offer.is_some() { "" } else { " nothing" }),
        CallChange::Answered(_) => "answered".to_owned(),
        CallChange::Ended(how) => format!("ended {how:?}"),
        _ => "?".to_owned(),
    })
}

/// `180 INVITE` for a response, `BYE` for a request.
pub(crate) fn gist(text: &str) -> String {
    let first = text.lines().next().expect("a start line");
    match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let cseq = header(text, "CSeq").expect("every response has it");
            format!("{} {}", &status[..3], cseq.rsplit(' ').next().expect("a method"))
        }
        None => first.split(' ').next().expect("a method").to_owned(),
    }
}

pub(crate) fn header(text: &str, name: &str) -> Option<String> {
    let message = Message::parse(text.as_bytes()).expect("it can be read");
    message.header(name).map(str::to_owned)
}

/// A caller in one dialog.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) call_id: String,
    pub(crate) branch: String,
    pub(crate) cseq: u32,
    /// The phone's tag, once a response contained it.
    pub(crate) to_tag: String,
    pub(crate) headers: String,
    pub(crate) body: Option<(String, String)>,
}

impl Caller {
    pub(crate) fn new(call_id: &str) -> Self {
        Self {
            call_id: call_id.to_owned(),
            branch: format!("z9hG4bK-{call_id}"),
            cseq: 1,
            to_tag: String::new(),
            headers: String::new(),
            body: Some(("application/sdp".to_owned(), OFFER.to_owned())),
        }
    }

    pub(crate) fn with(mut self, headers: &str) -> Self {
        self.headers = headers.to_owned();
        self
    }

    pub(crate) fn without_offer(mut self) -> Self {
        self.body = None;
        self
    }

    pub(crate) fn invite(&self) -> String {
        let headers = format!("Contact: <sip:bob@192.0.2.1:5070>\r\n{}", self.headers);
        self.request("INVITE", self.cseq, &self.branch, "", &headers, self.body.as_ref())
    }

    pub(crate) fn cancel(&self, headers: &str) -> String {
        self.request("CANCEL", self.cseq, &self.branch, "", headers, None)
    }

    /// Notes the tag of a response.
    pub(crate) fn hear(&mut self, response: &str) {
        let message = Message::parse(response.as_bytes()).expect("it can be read");
        if let Some(tag) = message.to_tag() {
            self.to_tag = tag.to_owned();
        }
    }

    /// The ACK of a 2xx or, with `refused`, of a refusal.
    pub(crate) fn ack(&self, refused: bool) -> String {
        let branch = if refused { self.branch.clone() } else { format!("{}-ack", self.branch) };
        self.request("ACK", self.cseq, &branch, &self.to_tag, "", None)
    }

    pub(crate) fn ack_with(&self, body: &str) -> String {
        let body = ("application/sdp".to_owned(), body.to_owned());
        self.request("ACK", self.cseq, &format!("{}-ack", self.branch), &self.to_tag, "", Some(&body))
    }

    /// The next request inside the dialog.
    pub(crate) fn within(&mut self, method: &str, headers: &str, body: Option<&str>) -> String {
        self.cseq += 1;
        self.branch = format!("z9hG4bK-{}-{}", self.call_id, self.cseq);
        let body = body.map(|body| ("application/sdp".to_owned(), body.to_owned()));
        let headers = format!("Contact: <sip:bob@192.0.2.1:5071>\r\n{headers}");
        self.request(method, self.cseq, &self.branch, &self.to_tag, &headers, body.as_ref())
    }

    fn request(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        to_tag: &str,
        headers: &str,
        body: Option<&(String, String)>,
    ) -> String {
        let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let (kind, body) =
            body.map(|(kind, body)| (format!("Content-Type: {kind}\r\n"), body.as_str())).unwrap_or_default();
        format!(
            "{method} sip:alice@192.0.2.9:40001 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: \"Bob\" <sip:bob@example.com>;tag=bob-{}\r\nTo: <sip:alice@example.com>{to_tag}\r\nCall-ID: {}\r\n\
             CSeq: {cseq} {method}\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            self.call_id,
            self.call_id,
            body.len(),
        )
    }

    /// A response to a request of the phone.
    pub(crate) fn respond(request: &str, status: &str, headers: &str) -> String {
        let field = |name: &str| header(request, name).expect("every request has it");
        format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\n{headers}Content-Length: 0\r\n\r\n",
            field("Via"),
            field("From"),
            field("To"),
            field("Call-ID"),
            field("CSeq"),
        )
    }
}
