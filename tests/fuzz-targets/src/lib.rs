//! One function per target: it accepts any bytes, never panics, and nothing grows without bound.
#![forbid(unsafe_code)]

mod phone;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sipwake_core::account::{Account, AccountConfig, Transport};
use sipwake_core::call::{Decline, HangUp};
use sipwake_core::clock::Now;
use sipwake_core::digest::parse_challenges;
use sipwake_core::event::{Event, FlowId, Offer, Output};
use sipwake_core::gateway::Load;
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::push::{Provider, Push, PushConfig, PushToken};
use sipwake_core::record::Version;
use sipwake_core::replay::Recording;
use sipwake_core::sip::{Contact, FeatureCaps, Framer, Message};
use sipwake_core::trace::redacted;
use sipwake_core::user_agent::UserAgent;
use sipwake_explain::Explanation;
use uuid::Uuid;

pub use self::phone::{beside, sealed};

/// A target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus folder.
pub const TARGETS: [(&str, Target); 17] = [
    ("framing", framing),
    ("message", message),
    ("contact", contact),
    ("feature_caps", feature_caps),
    ("challenge", challenge),
    ("payload", payload),
    ("snapshot", snapshot),
    ("registration", registration),
    ("report", report),
    ("calls", calls),
    ("multipart", multipart),
    ("trace", trace),
    ("probe", probe),
    ("pushed_calls", pushed_calls),
    ("replay", replay),
    ("sealed", sealed),
    ("beside", beside),
];

const NOW: Now = Now::new(Duration::from_secs(100), Duration::from_secs(1_790_000_000));
/// No input may cause more outputs than this at once.
const MAX_OUTPUTS: usize = 2000;

/// A stream in two pieces. The first byte says where it is cut.
pub fn framing(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let (one, two) = stream.split_at(usize::from(*cut).min(stream.len()));
    let mut framer = Framer::default();
    for piece in [one, two] {
        if framer.push(piece).is_err() {
            return;
        }
        while let Ok(Some(_)) = framer.next() {}
    }
}

/// One datagram. If it can be read, it is also shown as a trace.
pub fn message(data: &[u8]) {
    let _ = redacted(data);
    if let Ok(message) = Message::parse(data) {
        let _ = (message.via(), message.from(), message.cseq(), message.contacts(), message.feature_caps());
        let _ = (message.expires(), message.min_expires(), message.retry_after(), format!("{message:?}"));
    }
}

/// A report that claims to come from a phone, explained.
pub fn report(data: &[u8]) {
    if let Ok(explanation) = Explanation::of(data) {
        let _ = (explanation.text(), explanation.html(), explanation.svg(), explanation.json());
    }
}

/// A recording from outside, as it is and with the right head in front, replayed.
pub fn replay(data: &[u8]) {
    let head = format!("{{\"sipwake_replay\":1,\"version\":\"{}\"}}\n", Version::this());
    for file in [data, &[head.as_bytes(), data].concat()] {
        match Recording::read(file) {
            Ok(recording) => drop(recording.play()),
            Err(error) => drop(error.to_string()),
        }
    }
}

/// The value of a Contact header.
pub fn contact(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let head = format!("SIP/2.0 200 OK\r\nContact: {}\r\n\r\n", text.replace(['\r', '\n'], " "));
    if let Ok(message) = Message::parse(head.as_bytes()) {
        for contact in message.contacts() {
            let _ = (contact.expires(), contact.instance().map(str::len), Contact::parsed(&contact));
        }
    }
}

/// The value of a Feature-Caps header.
pub fn feature_caps(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let caps = FeatureCaps::parse(&text);
    let _ = caps.value("+sip.pns").map(str::len);
    if let Ok(push) = Push::parse(PushConfig::new(Provider::Fcm, "app")) {
        let _ = push.verdict(200, [("Feature-Caps", text.as_ref())]);
    }
}

/// The value of a WWW-Authenticate header.
pub fn challenge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = parse_challenges([text.as_ref()], [text.as_ref()]);
}

/// A push on every channel. Over PushKit there is always a call to show or to report.
pub fn payload(data: &[u8]) {
    let hints = Hints::at(NOW);
    let channels = [Channel::FcmAndroid, Channel::PushKit, Channel::FcmIos, Channel::ApnsAlert, Channel::WebPush];
    for channel in channels {
        let action = parse_push(data, channel, &hints);
        assert!(
            channel != Channel::PushKit || action.must_be_reported(),
            "every VoIP push must be reported to CallKit"
        );
        let _ = format!("{action:?}");
    }
    let text = String::from_utf8_lossy(data);
    let map: HashMap<String, String> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    let _ = parse_push(&map, Channel::FcmAndroid, &hints);
}

/// Records: as they are, and with the right head in front, so that their content is read.
pub fn snapshot(data: &[u8]) {
    let sum: String = Sha256::digest(data)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut sealed = format!("sipwake 1 {sum}\n").into_bytes();
    sealed.extend_from_slice(data);
    for record in [data, &sealed] {
        let mut agent = UserAgent::new([7; 32], Some(record), NOW);
        let Ok(account) = Account::parse(AccountConfig::new("alice@example.com", "wonderland")) else { return };
        let push = Push::parse(PushConfig::new(Provider::Fcm, "app")).ok();
        if let Ok(key) = agent.add_account(account, push, Some(record), NOW) {
            let _ = agent.register(&key, NOW);
            answer_all(&mut agent, b"", Transport::Udp);
            let _ = agent.log_out(&key, NOW);
            answer_all(&mut agent, b"", Transport::Udp);
        }
    }
}

/// A registration whose server answers anything. NUL separates the answers; those that begin with a digit get the Via and
/// CSeq of the request in flight.
pub fn registration(data: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut agent = UserAgent::new([9; 32], None, NOW);
        let mut config = AccountConfig::new("alice@example.com", "wonderland");
        config.transport = Some(transport);
        let (Ok(account), Ok(push)) = (Account::parse(config), Push::parse(PushConfig::new(Provider::Fcm, "app")))
        else {
            return;
        };
        let Ok(key) = agent.add_account(account, Some(push), None, NOW) else { return };
        if let Ok(Some(token)) = PushToken::parse(&Provider::Fcm, "token:APA91b") {
            let _ = agent.set_token(&key, token, NOW);
        }
        let _ = agent.register(&key, NOW);
        answer_all(&mut agent, data, transport);
    }
}

/// A registered client, ready for calls.
struct Registered {
    agent: UserAgent,
    flow: FlowId,
    now: Now,
    /// The tag of our last answer to an INVITE.
    tag: String,
    /// The branch of our last request inside a call.
    branch: String,
    calls: Vec<Uuid>,
}

impl Registered {
    fn new() -> Option<Self> {
        let mut agent = UserAgent::new([11; 32], None, NOW);
        let account = Account::parse(AccountConfig::new("alice@example.com", "wonderland")).ok()?;
        let push = Push::parse(PushConfig::new(Provider::Fcm, "app")).ok()?;
        let key = agent.add_account(account, Some(push), None, NOW).ok()?;
        agent.register(&key, NOW).ok()?;
        let (tag, branch, calls) = (String::new(), String::new(), Vec::new());
        let mut client = Self { agent, flow: FlowId(0), now: NOW, tag, branch, calls };
        client.drain();
        Some(client)
    }

    /// Does what the client asks for, and confirms every REGISTER.
    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < MAX_OUTPUTS, "the outputs never end");
            match self.agent.poll_output() {
                None => return,
                Some(Output::Open { flow, .. }) => {
                    self.flow = flow;
                    self.agent.handle_flow_up(flow, SocketAddr::from((Ipv4Addr::LOCALHOST, 5060)), self.now);
                }
                Some(Output::Transmit { bytes, flow, .. }) => self.sent(flow, &String::from_utf8_lossy(&bytes)),
                Some(Output::Event(event)) => {
                    let debug = format!("{event:?}");
                    assert!(!debug.contains("wonderland"), "a secret in an event");
                    if let Event::Call(call) = *event
                        && !self.calls.contains(&call.uuid)
                        && self.calls.len() < 16
                    {
                        self.calls.push(call.uuid);
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn sent(&mut self, flow: FlowId, text: &str) {
        let after = |name: &str| {
            let rest = &text[text.find(name)? + name.len()..];
            Some(rest.split([';', '\r', '>']).next().unwrap_or_default().to_owned())
        };
        if text.starts_with("REGISTER ") {
            let wanted = |line: &&str| {
                let names = ["Via:", "CSeq:", "From:", "Call-ID:", "Contact:"];
                names.iter().any(|name| line.starts_with(name)) && !line.ends_with(">;expires=0")
            };
            let head: String = text.lines().filter(wanted).map(|line| format!("{line}\r\n")).collect();
            let answer = format!(
                "SIP/2.0 200 OK\r\n{head}To: <sip:alice@example.com>;tag=x\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n"
            );
            self.agent.handle_input(flow, answer.as_bytes(), self.now);
        } else if text.starts_with("SIP/2.0") {
            self.tag = text
                .find("\r\nTo:")
                .and_then(|at| Some(text[at..].split(";tag=").nth(1)?.split(['\r', ';']).next()?.to_owned()))
                .unwrap_or_default();
        } else {
            self.branch = after("branch=").unwrap_or_default();
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.agent.handle_input(self.flow, bytes, self.now);
        self.drain();
    }

    fn pass(&mut self) {
        if let Some((at, _)) = self.agent.poll_timeout() {
            self.now = self.now.after(at.saturating_sub(self.now.boot).min(Duration::from_secs(2)));
            self.agent.handle_timeout(self.now);
            self.drain();
        }
    }

    fn push(&mut self, payload: &[u8]) {
        let hints = Hints::at(self.now);
        let action = self.agent.gate().judge(parse_push(payload, Channel::PushKit, &hints), &hints, self.now.boot);
        assert!(action.must_be_reported(), "every VoIP push must be reported to CallKit");
        self.agent.handle_push(&action, self.now);
        self.drain();
    }
}

/// INVITEs and dialogs on a registered client. The pieces between NULs are messages, in which `{tag}` and `{branch}` are
/// replaced. A single letter is an action of the app.
pub fn calls(data: &[u8]) {
    let Some(mut client) = Registered::new() else { return };
    for piece in data.split(|byte| *byte == 0).take(64) {
        let last = client.calls.last().copied();
        match (piece, last) {
            (b"a", Some(call)) => _ = client.agent.answer(call, client.now),
            (b"c", Some(call)) => _ = client.agent.accept(call, Offer::sdp("v=0\r\n"), client.now),
            (b"d", Some(call)) => _ = client.agent.decline(call, Decline::Busy, client.now),
            (b"h", Some(call)) => _ = client.agent.hang_up(call, HangUp::Normal, client.now),
            (b"o", Some(call)) => _ = client.agent.respond_offer(call, Some(Offer::sdp("v=0\r\n")), client.now),
            (b"n", _) => client.agent.network_changed(client.now),
            (b"t", _) => client.pass(),
            _ => {
                let text =
                    String::from_utf8_lossy(piece).replace("{tag}", &client.tag).replace("{branch}", &client.branch);
                client.hear(text.as_bytes());
            }
        }
        client.drain();
    }
}

/// The body of an INVITE, with the boundary `b`. The first line is its type, if it has one.
pub fn multipart(data: &[u8]) {
    let Some(mut client) = Registered::new() else { return };
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (kind, body) = data.split_at(cut);
    let kind = String::from_utf8_lossy(kind).replace(['\r', '\n'], " ");
    let kind = if kind.is_empty() { "multipart/mixed;boundary=b" } else { &kind };
    let mut invite = format!(
        "INVITE sip:alice@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKm\r\nFrom: <sip:bob@example.com>;tag=b\r\n\
         To: <sip:alice@example.com>\r\nCall-ID: m\r\nCSeq: 1 INVITE\r\nContact: <sip:bob@192.0.2.1>\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    invite.extend_from_slice(body);
    client.hear(&invite);
}

/// A trace of a message, which must hold no secret that a parser finds.
pub fn trace(data: &[u8]) {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let shown = redacted(data);
    assert!(shown.len() <= 16 * data.len() + 1024, "a trace that grows");
    let text = String::from_utf8_lossy(data).replace(['\r', '\n'], " ");
    let realm = text.replace(['"', '\\'], "");
    if text.contains(SECRET) || realm.contains(SECRET) {
        // In an unknown header or as the realm, it is not a secret.
        return;
    }
    let message = format!(
        "REGISTER sip:x SIP/2.0\r\nX-Other: {text}\r\nX-PIID: {SECRET}\r\nAuthorization: Digest username=\"a\", realm=\"{realm}\", \
         nonce=\"n\", uri=\"sip:x\", response=\"{SECRET}\"\r\nContact: <sip:a@b;pn-prid={SECRET}>\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(!redacted(message.as_bytes()).contains(SECRET), "a secret in a trace");
}

/// An HTTP server's response to a probe.
pub fn probe(data: &[u8]) {
    let _ = Load::parse(&String::from_utf8_lossy(data));
    let (yet, at_last) = (Load::of_http(data, true), Load::of_http(data, false));
    assert!(yet.is_none() || yet == at_last, "a complete text stays as it is");
}

/// Pushes, and the INVITEs that they announce, in any order: pieces that begin with `{` are pushes.
pub fn pushed_calls(data: &[u8]) {
    let Some(mut client) = Registered::new() else { return };
    for piece in data.split(|byte| *byte == 0).take(64) {
        match piece {
            [b'{', ..] => client.push(piece),
            b"t" => client.pass(),
            _ => {
                let name = String::from_utf8_lossy(piece).replace(['\r', '\n', ' ', '<', '>'], "");
                let (id, from) = name.split_once('/').unwrap_or((&name, "1234"));
                let before = client.calls.len();
                client.hear(
                    format!(
                        "INVITE sip:alice@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{id}\r\nFrom: <sip:{from}@example.com>;tag=b\r\n\
                         To: <sip:alice@example.com>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\nContact: <sip:bob@192.0.2.1>\r\n\
                         Content-Length: 0\r\n\r\n"
                    )
                    .as_bytes(),
                );
                assert!(client.calls.len() <= before + 1, "one INVITE is one call");
            }
        }
    }
}

/// Opens every flow that the client asks for and gives the server's responses in turn, with timers in between.
fn answer_all(agent: &mut UserAgent, data: &[u8], _: Transport) {
    let mut answers = data.split(|byte| *byte == 0).take(64);
    let (mut now, mut flow, mut head) = (NOW, FlowId(0), String::new());
    loop {
        let mut count = 0;
        while let Some(output) = agent.poll_output() {
            count += 1;
            assert!(count < MAX_OUTPUTS, "the outputs never end");
            match output {
                Output::Open { flow: opened, .. } => {
                    flow = opened;
                    agent.handle_flow_up(opened, SocketAddr::from((Ipv4Addr::LOCALHOST, 5060)), now);
                }
                Output::Transmit { bytes, .. } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let wanted =
                        |line: &&str| ["Via:", "CSeq:", "From:", "Call-ID:"].iter().any(|name| line.starts_with(name));
                    if text.starts_with("REGISTER") {
                        head = text.lines().filter(wanted).map(|line| format!("{line}\r\n")).collect();
                    }
                }
                Output::Save(_) | Output::Close(_) | Output::Received { .. } | Output::Event(_) => {}
                Output::NextAddress(_) | Output::HearPeers { .. } | Output::Load(_) => {}
            }
        }
        let Some(answer) = answers.next() else { return };
        if answer.first().is_some_and(u8::is_ascii_digit) {
            let text = String::from_utf8_lossy(answer);
            let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
            let whole = format!("SIP/2.0 {first}\r\n{head}To: <sip:alice@example.com>;tag=x\r\n{rest}");
            let end = if whole.contains("\r\n\r\n") { "" } else { "\r\nContent-Length: 0\r\n\r\n" };
            agent.handle_input(flow, format!("{whole}{end}").as_bytes(), now);
        } else {
            agent.handle_input(flow, answer, now);
        }
        if let Some((at, _)) = agent.poll_timeout() {
            now = now.after(at.saturating_sub(now.boot).min(Duration::from_secs(1)));
            agent.handle_timeout(now);
        }
    }
}

/// Returns where the seeds of a target are.
pub fn corpus_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name)
}

/// Returns the committed seeds of a target: at least one input, which may be empty.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(corpus_folder(name)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().filter_map(|path| std::fs::read(path).ok()).collect();
    seeds.push(Vec::new());
    seeds
}

/// Returns one of the seeds with some bytes changed, left out, doubled or taken from another seed. The same number gives
/// the same result.
pub fn mutated(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if bound == 0 { 0 } else { (state % bound as u64) as usize }
    };
    let mut data = seeds[below(seeds.len())].clone();
    for _ in 0..=below(6) {
        let at = below(data.len() + 1);
        let end = (at + 1 + below(12)).min(data.len());
        match below(6) {
            0 if at < data.len() => data[at] ^= 1 << below(8),
            1 => data.insert(at, [0, b'\r', b'\n', b':', b';', b'"', b'<', b'>', b'=', b',', 0xff, b'9'][below(12)]),
            2 if at < end => drop(data.drain(at..end)),
            3 if at < end => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            4 => {
                let other = &seeds[below(seeds.len())];
                let from = below(other.len() + 1);
                let piece = other[from..(from + below(40)).min(other.len())].to_vec();
                data.splice(at..at, piece);
            }
            _ => data.truncate(at.max(1)),
        }
    }
    data
}
