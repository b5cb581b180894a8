//! How long the core takes for what happens on every push, every REGISTER and every call, beside a reference from the same run.
//!
//! `scripts/bench --only core`. Ours and the reference take turns, so that both meet the same clock rate and the same
//! noise; each figure is the median of the turns. Nothing is asserted.
#![allow(clippy::disallowed_types, reason = "a bench measures time")]
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sipwake_core::call::{Decline, HangUp};
use sipwake_core::digest::parse_challenges;
use sipwake_core::event::{Event, FlowId, Offer, Output};
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::push::{Dialect, Dialects, PortSipHeader};
use sipwake_core::sip::Message;
use sipwake_core::user_agent::UserAgent;

use client::NOW;

#[allow(dead_code, reason = "each bench uses its part")]
mod client;

const TURNS: usize = 41;
/// Clients made ready for one turn.
const BATCH: usize = 100;

/// 400 bytes, as PushKit hands them over.
const PAYLOAD: &str = concat!(
    r#"{"aps":{"alert":{"title":"Incoming call","body":"Alice Liddell is calling you"},"content-available":1,"#,
    r#""sound":"default","badge":1},"data":{"ntype":"0","nfromusername":"Alice Liddell","nfrom":"+3612345678","#,
    r#""nmsg":"Incoming call from Alice Liddell","ncallid":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6@192.0.2.4","#,
    r#""ntouser":"bob"},"headers":{"apns-priority":"10","apns-push-type":"voip","apns-expiration":"0"}}"#,
);

/// 600 bytes: three Contacts, push capabilities and a challenge.
const OK: &str = concat!(
    "SIP/2.0 200 OK\r\n",
    "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKnashds7;rport=5060;received=192.0.2.9\r\n",
    "From: <sip:bob@example.com>;tag=456248\r\n",
    "To: <sip:bob@example.com>;tag=2493k59kd\r\n",
    "Call-ID: 843817637684230@998sdasdh09\r\n",
    "CSeq: 1826 REGISTER\r\n",
    "Contact: <sip:bob@192.0.2.7>;expires=60, <sip:bob@192.0.2.8:5062>;expires=1200\r\n",
    "Contact: <sip:bob@192.0.2.9;pn-provider=fcm;pn-param=p;pn-prid=c:A>;expires=3600\r\n",
    "Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreg=\"121\";+sip.pnspurr=\"02f0e8b11a8f5c4d77\"\r\n",
    "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"dcd98b7102dd2f0e8b11\", qop=\"auth\"\r\n",
    "Content-Length: 0\r\n\r\n",
);

/// As a proxy hands a browser's call on, with the smallest audio offer.
const INVITE: &str = concat!(
    "INVITE sip:user7@192.0.2.9:40000;transport=tls SIP/2.0\r\n",
    "Via: SIP/2.0/TLS proxy.example.com:5061;branch=z9hG4bK3f1c.9d2e8b17;rport\r\n",
    "Via: SIP/2.0/TLS 198.51.100.7:5061;branch=z9hG4bK-524287-1---a1b2c3d4;rport=5061;received=198.51.100.7\r\n",
    "Record-Route: <sip:proxy.example.com:5061;transport=tls;lr;did=e1.8f7>\r\n",
    "Max-Forwards: 69\r\n",
    "From: \"Alice Liddell\" <sip:alice@example.com>;tag=9fxced76sl\r\n",
    "To: <sip:user7@example.com>\r\n",
    "Call-ID: 3848276298220188511@example.com\r\n",
    "CSeq: 1 INVITE\r\n",
    "Contact: <sip:alice@198.51.100.7:5061;transport=tls;ob>\r\n",
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE\r\n",
    "Supported: 100rel, timer, replaces\r\n",
    "Session-Expires: 1800\r\n",
    "Content-Type: application/sdp\r\n",
    "Content-Length: 136\r\n\r\n",
    "v=0\r\no=- 3724394400 3724394405 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n",
    "m=audio 49170 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n",
);

fn main() {
    println!("{:<46} {:>9} {:>9}   reference", "core (median of the turns)", "sipwake", "budget");

    let hints = Hints::at(NOW);
    let ours = || drop(black_box(parse_push(black_box(PAYLOAD), Channel::PushKit, &hints)));
    let theirs = || drop(black_box(serde_json::from_str::<serde_json::Value>(black_box(PAYLOAD))));
    let (time, reference) = medians(repeated(2_000, ours), repeated(2_000, theirs));
    row(&format!("payload to action, {} bytes", PAYLOAD.len()), time, 1.5, Some(("serde_json::Value", reference)));

    #[cfg(feature = "sealed")]
    {
        let (time, reference) = medians(|| sealed::open("by_web_push"), sealed::agree);
        row("web push to action, sealed", time, 1000.0, Some(("p256, one key agreement", reference)));
        let (time, reference) = medians(|| sealed::open("by_shared_key"), repeated(2_000, theirs));
        row(
            "payload to action, sealed with a shared key",
            time,
            1000.0,
            Some(("serde_json::Value, unsealed", reference)),
        );
    }

    let (first, next) = medians(first_register, || next_register().0);
    let length = next_register().1.len();
    row("first REGISTER, every dialect, and its record", first, 3.0, None);
    row(&format!("REGISTER, every dialect, nonce, {length} bytes"), next, 3.0, None);

    let (rung, accepted) = medians(invite_to_event, accept_to_bytes);
    row(&format!("INVITE read to event, {} bytes", INVITE.len()), rung, 10.0, None);
    row("accept to the bytes of its 200", accepted, 1000.0, None);

    let (decided, same) = medians(beside_a_call(true), beside_a_call(false));
    row("a decision written down", decided.saturating_sub(same), 1.0, None);

    let theirs = || drop(black_box(rsip::Response::try_from(black_box(OK.as_bytes()))));
    let (ours, theirs) = (repeated(2_000, || read_whole(black_box(OK.as_bytes()))), repeated(2_000, theirs));
    let (time, reference) = medians(ours, theirs);
    row(&format!("200 OK read whole, {} bytes", OK.len()), time, 2.5, Some(("rsip, lazily split", reference)));
}

fn row(what: &str, time: Duration, budget: f64, reference: Option<(&str, Duration)>) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let reference = reference.map(|(who, time)| format!("{:.2} µs {who}", micros(time))).unwrap_or_default();
    println!("{what:<46} {:>6.2} µs {budget:>6.2} µs   {reference}", micros(time));
}

/// Returns the medians of two measurements that take turns.
fn medians(mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) -> (Duration, Duration) {
    let mut turns: Vec<_> = (0..TURNS).map(|_| (ours(), theirs())).collect();
    let mut median = |of: fn(&(Duration, Duration)) -> Duration| {
        turns.sort_by_key(of);
        of(&turns[TURNS / 2])
    };
    (median(|turn| turn.0), median(|turn| turn.1))
}

/// Returns a measurement of one call of `work`, out of many in a row.
fn repeated(times: u32, mut work: impl FnMut()) -> impl FnMut() -> Duration {
    move || {
        let start = Instant::now();
        for _ in 0..times {
            work();
        }
        start.elapsed() / times
    }
}

/// Measures a command for a call that does not exist: declining it is a decision, hanging up is not.
fn beside_a_call(declines: bool) -> impl FnMut() -> Duration {
    let (mut agent, _) = callable(0);
    let mut number = 0_u128;
    repeated(2_000, move || {
        number += 1;
        let call = uuid::Uuid::from_u128(number);
        black_box(match declines {
            true => agent.decline(call, Decline::Busy, NOW),
            false => agent.hang_up(call, HangUp::Normal, NOW),
        });
    })
}

/// What opening a sealed push takes. It was sealed by another library.
#[cfg(feature = "sealed")]
mod sealed {
    use std::collections::HashMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use sipwake_core::payload::parse_push_with_keys;
    use sipwake_core::sealed::PushKeys;

    use super::*;

    fn fixtures() -> HashMap<String, String> {
        serde_json::from_str(include_str!("../src/sealed/fixtures/sealed.json")).expect("a flat object of texts")
    }

    /// The phone's pair, as the fixtures have it: the secret, then the auth secret.
    fn pair() -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(&fixtures()["pair"]).expect("base64url")
    }

    /// Measures a push in JSON to its action. A phone opens each one once: so each has a phone of its own.
    pub(crate) fn open(name: &str) -> Duration {
        let (fixtures, pair) = (fixtures(), pair());
        let (secret, auth) = pair.split_at(32);
        let payload = serde_json::json!({ "sealed": fixtures[name] }).to_string();
        let hints = Hints::at(NOW);
        let phone = |_| {
            let mut keys = PushKeys::default();
            keys.create(|bytes| bytes.copy_from_slice(if bytes.len() == 32 { secret } else { auth }));
            keys.import("pbx-1", &fixtures["shared_key"]).expect("a key");
            keys
        };
        let mut phones: Vec<_> = (0..BATCH).map(phone).collect();
        let start = Instant::now();
        for keys in &mut phones {
            let action = parse_push_with_keys(keys, black_box(payload.as_str()), Channel::FcmAndroid, &hints);
            assert!(black_box(action).is_some_and(|action| !action.unverified), "the measured push opens");
        }
        start.elapsed() / BATCH as u32
    }

    /// Measures the part of it that cannot be left out with web push, alone.
    pub(crate) fn agree() -> Duration {
        let secret = p256::SecretKey::from_slice(&pair()[..32]).expect("a scalar");
        let other = secret.public_key();
        let start = Instant::now();
        for _ in 0..BATCH {
            let (ours, theirs) = (black_box(&secret), black_box(&other));
            black_box(p256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine()));
        }
        start.elapsed() / BATCH as u32
    }
}

fn read_whole(bytes: &[u8]) {
    let message = Message::parse(bytes).expect("it is a message");
    black_box((message.code(), message.cseq(), message.via(), message.call_id()));
    let contacts = message.contacts();
    black_box(contacts.iter().find(|contact| contact.uri.contains("pn-prid=c:A")).and_then(|ours| ours.expires()));
    black_box(message.feature_caps());
    black_box(parse_challenges(message.headers("WWW-Authenticate"), std::iter::empty()));
}

/// Measures the first REGISTER of a new account, with the record that is stored before it.
fn first_register() -> Duration {
    let ready = (0..BATCH).map(|number| {
        let mut agent = UserAgent::new([7; 32], None, NOW);
        client::add_account(&mut agent, number, every_dialect());
        let mut flow = None;
        while let Some(output) = agent.poll_output() {
            if let Output::Open { flow: opened, .. } = output {
                flow = Some(opened);
            }
        }
        (agent, flow.expect("registering opens a flow"))
    });
    each(ready.collect(), |(agent, flow)| agent.handle_flow_up(*flow, SocketAddr::from(client::LOCAL), NOW)).0
}

/// Measures the REGISTER that a registered client with a live nonce is asked for; returns its text as well.
fn next_register() -> (Duration, Vec<u8>) {
    let ready = (0..BATCH).map(|number| {
        let mut agent = UserAgent::new([7; 32], None, NOW);
        let key = client::add_account(&mut agent, number, every_dialect());
        client::let_register(&mut agent);
        (agent, key)
    });
    each(ready.collect(), |(agent, key)| agent.register(key, NOW).expect("the account is there"))
}

/// A registered client and the flow on which its calls come.
fn callable(number: usize) -> (UserAgent, FlowId) {
    let mut agent = UserAgent::new([7; 32], None, NOW);
    client::add_account(&mut agent, number, every_dialect());
    let flow = client::let_register(&mut agent);
    (agent, flow)
}

/// Returns the call of the next event.
fn next_event(agent: &mut UserAgent) -> uuid::Uuid {
    loop {
        let output = agent.poll_output().expect("it rings");
        if let Output::Event(event) = output
            && let Event::Call(call) = *event
        {
            break call.uuid;
        }
    }
}

/// Measures an INVITE from its bytes to the event that it rings, with 100 and 180 on the way.
fn invite_to_event() -> Duration {
    let mut ready: Vec<_> = (0..BATCH).map(callable).collect();
    let start = Instant::now();
    for (agent, flow) in &mut ready {
        agent.handle_input(*flow, black_box(INVITE.as_bytes()), NOW);
        black_box(next_event(agent));
    }
    start.elapsed() / BATCH as u32
}

/// Measures the app's answer to a ringing call until its 200 is there to be written.
fn accept_to_bytes() -> Duration {
    let ready = (0..BATCH).map(|number| {
        let (mut agent, flow) = callable(number);
        agent.handle_input(flow, INVITE.as_bytes(), NOW);
        let call = next_event(&mut agent);
        (agent, (call, Offer::sdp("v=0\r\no=- 7 7 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n")))
    });
    let (time, ok) = each(ready.collect(), |(agent, (call, answer))| {
        assert!(agent.accept(*call, answer.clone(), NOW), "it rings");
    });
    assert!(ok.starts_with(b"SIP/2.0 200 "), "the measured response is the 200");
    time
}

/// Returns the time from what happens to the bytes, and the last client's bytes.
fn each<T>(mut ready: Vec<(UserAgent, T)>, happens: impl Fn(&mut (UserAgent, T))) -> (Duration, Vec<u8>) {
    let mut last = Vec::new();
    let start = Instant::now();
    for client in &mut ready {
        happens(client);
        last = loop {
            if let Output::Transmit { bytes, .. } = client.0.poll_output().expect("something is sent") {
                break bytes;
            }
        }
    }
    (start.elapsed() / BATCH as u32, last)
}

/// All that can be spoken together: Linphone's form writes the parameters of RFC 8599.
fn every_dialect() -> Dialects {
    Dialects::Only(vec![
        Dialect::XMpush,
        Dialect::Rfc8599,
        Dialect::PortSip(PortSipHeader::XPush),
        Dialect::Abto,
        Dialect::AppIdInUri,
        Dialect::AppIdInHeader,
    ])
}
