//! A client and a registrar that always agrees, for the benches.

use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::account::{Account, AccountConfig, AccountKey, Transport};
use sipwake_core::clock::Now;
use sipwake_core::event::{Event, FlowId, Output};
use sipwake_core::push::{Dialects, Provider, Push, PushConfig, PushToken};
use sipwake_core::sip::{Builder, Message};
use sipwake_core::user_agent::UserAgent;

pub(crate) const NOW: Now = Now::new(Duration::from_secs(100), Duration::from_secs(1_790_000_000));
pub(crate) const LOCAL: ([u8; 4], u16) = ([192, 0, 2, 9], 40_000);

/// Adds an account with a push token and asks for its registration; its flow is about to be opened.
pub(crate) fn add_account(agent: &mut UserAgent, number: usize, dialects: Dialects) -> AccountKey {
    let mut config = AccountConfig::new(format!("sip:user{number}@example.com"), "wonderland");
    config.transport = Some(Transport::Tls);
    config.realm = Some("example.com".into());
    config.instance_id = Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into());
    config.user_agent = Some("sipwake bench".into());
    let push = Push::parse(PushConfig { dialects, ..PushConfig::new(Provider::Fcm, "my-project") });
    let push = push.expect("valid settings");
    let token = format!("c-10:APA91b{}", "kY3z".repeat(38));
    let token = PushToken::parse(push.provider(), &token).expect("a valid token").expect("a real token");
    let account = Account::parse(config).expect("a valid account");
    let key = agent.add_account(account, Some(push), None, NOW).expect("room for one more");
    agent.set_token(&key, token, NOW).expect("the account is there");
    agent.register(&key, NOW).expect("the account is there");
    key
}

/// Does what the client says until it has nothing more to say: challenges its first REGISTER, grants the next. Returns the
/// flow.
pub(crate) fn let_register(agent: &mut UserAgent) -> FlowId {
    let mut registered = false;
    let mut up = None;
    while let Some(output) = agent.poll_output() {
        match output {
            Output::Open { flow, .. } => {
                up = Some(flow);
                agent.handle_flow_up(flow, SocketAddr::from(LOCAL), NOW);
            }
            Output::Transmit { flow, bytes, .. } => agent.handle_input(flow, &answer(&bytes), NOW),
            Output::Event(event) => registered |= matches!(*event, Event::Registered { .. }),
            _ => {}
        }
    }
    assert!(registered, "the measured account is registered");
    up.expect("registering opens a flow")
}

fn answer(request: &[u8]) -> Vec<u8> {
    const CHALLENGE: &str = "Digest realm=\"example.com\", nonce=\"dcd98b7102dd2f0e8b11\", qop=\"auth\"";
    let request = Message::parse(request).expect("our own REGISTER");
    let response = if request.header("Authorization").is_none() {
        Builder::response(&request, 401, "Unauthorized", Some("t")).header("WWW-Authenticate", CHALLENGE)
    } else {
        let granted = Builder::response(&request, 200, "OK", Some("t"));
        request
            .values("Contact")
            .fold(granted, |response, contact| response.header("Contact", &format!("{contact};expires=3600")))
    };
    response.finish().expect("a well-formed response")
}
