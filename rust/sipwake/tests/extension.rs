//! What opening a push allocates in a process without a client, such as a notification service extension of iOS. iOS ends one
//! that takes more than some 24 MB, or half of that on old phones.
#![cfg(feature = "sealed")]

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use mock_gateway::seal;
use sipwake::{
    AccountConfig, Channel, Client, Event, Hints, MemoryStore, Provider, PushConfig, StateStore, Transport,
    parse_push_beside,
};
use stats_alloc::{Region, StatsAlloc};
use tokio::net::UdpSocket;

#[global_allocator]
static HEAP: StatsAlloc<System> = StatsAlloc::system();

const PATIENCE: Duration = Duration::from_secs(60);
/// All that one push may allocate where nobody has logged out, in bytes.
const BUDGET: usize = 32 * 1024;
/// How many times the size of the record of log-outs it may allocate beside that: the bytes, and what they say. The record
/// has three megabytes at most.
const TIMES: usize = 3;
const LOG_OUTS: usize = 16;

/// A registrar with four challenges that are as long as we take them. It never confirms a log-out.
async fn serve_long_challenges(server: UdpSocket) {
    let [realm, nonce, opaque] = [("r", 200), ("n", 3500), ("o", 3500)].map(|(letter, times)| letter.repeat(times));
    let challenges: String = (0..4)
        .map(|number| format!("WWW-Authenticate: Digest realm=\"{number}{realm}\", nonce=\"{nonce}\", opaque=\"{opaque}\", qop=\"auth\"\r\n"))
        .collect();
    let mut buffer = vec![0; 65_535];
    loop {
        let (length, from) = server.recv_from(&mut buffer).await.expect("a request");
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let copied = |names: &[&str]| -> String {
            let lines = request.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
            lines.map(|line| format!("{line}\r\n")).collect()
        };
        let same = copied(&["Via:", "From:", "To:", "Call-ID:", "CSeq:"]);
        let answer = if request.contains("\r\nExpires: 0\r\n") {
            continue;
        } else if request.contains("\r\nAuthorization:") {
            format!("SIP/2.0 200 OK\r\n{same}{}Expires: 3600\r\n", copied(&["Contact:"]))
        } else {
            format!("SIP/2.0 401 Unauthorized\r\n{same}{challenges}")
        };
        let answer = format!("{answer}Content-Length: 0\r\n\r\n");
        server.send_to(answer.as_bytes(), from).await.expect("it leaves");
    }
}

/// Opens a push as an extension does. Returns the caller's label and all the bytes that were allocated for it.
fn open(store: &MemoryStore, payload: &str) -> (Option<String>, usize) {
    let region = Region::new(&HEAP);
    let action = parse_push_beside(store, None, payload, Channel::ApnsAlert, &Hints::at(sipwake::now()));
    let allocated = region.change().bytes_allocated;
    (action.caller_label().map(str::to_owned), allocated)
}

#[tokio::test]
async fn opening_a_push_without_a_client_allocates_little() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let gateway = server.local_addr().expect("bound").to_string();
    let server = tokio::spawn(serve_long_challenges(server));
    let store = Arc::new(MemoryStore::default());
    let (client, mut events) = Client::start(store.clone());
    let key = client.push_key().expect("it can be stored");
    let text = "see you at eight, ".repeat(100);
    let plain = format!(r#"{{"ntype":"1","nfrom":"1234","nfromusername":"Zoë","nmsg":"{text}"}}"#);
    let sealed = seal::sealed(&key.p256dh, &key.auth, plain.as_bytes()).expect("a sound key");
    let sealed = format!(r#"{{"aps":{{"mutable-content":1}},"sealed":"{sealed}"}}"#);
    for payload in [&plain, &sealed] {
        let (label, allocated) = open(&store, payload);
        assert_eq!(label.as_deref(), Some("Zoë"));
        assert!((1..=BUDGET).contains(&allocated), "{allocated} bytes");
    }
    for user in 0..LOG_OUTS {
        let mut account = AccountConfig::new(format!("sip:user{user}@mock.example"), "secret");
        account.gateways = vec![gateway.clone()];
        account.transport = Some(Transport::Udp);
        let push = PushConfig::new(Provider::Fcm, "project");
        let account = client.add_account(account, Some(push)).await.expect("a sound account");
        client.set_token(&account, "c-10:APA91b").await.expect("a sound token");
        client.register(&account).await.expect("it was added");
        let registered = async { while !matches!(events.next().await, Some(Event::Registered { .. })) {} };
        tokio::time::timeout(PATIENCE, registered).await.expect("in time");
        client.log_out(&account).await.expect("it is stored");
    }
    client.shutdown().await;
    server.abort();
    let stored = store.load("removals").expect("it can be read").expect("log-outs wait").len();
    assert!(stored > 400_000, "the record of sixteen log-outs has {stored} bytes, which is no large one");
    for payload in [&plain, &sealed] {
        let (label, allocated) = open(&store, payload);
        assert_eq!(label.as_deref(), Some("Zoë"));
        assert!((stored..=BUDGET + TIMES * stored).contains(&allocated), "{allocated} bytes");
    }
}
