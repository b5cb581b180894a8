//! Bounds of the core that no other test checks. `docs/reliability.md` lists all of them.

use std::time::Duration;

use sipwake_core::account::{Account, AccountConfig, MAX_FIELD, MAX_GATEWAYS};
use sipwake_core::clock::Now;
use sipwake_core::event::{Event, FlowId, Output};
use sipwake_core::payload::{Channel, Hints, parse_push};
use sipwake_core::push::{MAX_TOKEN, Provider, PushToken};
use sipwake_core::snapshot::MAX_ACCOUNTS;
use sipwake_core::user_agent::UserAgent;

const NOW: Now = Now::new(Duration::from_secs(100), Duration::from_secs(1_790_000_000));

fn config(number: usize) -> AccountConfig {
    AccountConfig::new(format!("sip:user{number}@example.com"), "open-sesame")
}

#[test]
fn one_account_too_many_is_refused_and_the_others_stay() {
    let mut agent = UserAgent::new([7; 32], None, NOW);
    for number in 0..MAX_ACCOUNTS {
        agent.add_account(Account::parse(config(number)).expect("good"), None, None, NOW).expect("room");
    }
    let one_more = Account::parse(config(MAX_ACCOUNTS)).expect("good");
    let refused = agent.add_account(one_more, None, None, NOW).expect_err("no room");
    assert!(refused.to_string().contains("at most 16"), "{refused}");
    assert_eq!(agent.accounts().count(), MAX_ACCOUNTS);
}

#[test]
fn one_gateway_too_many_is_refused() {
    let with = |count: usize| {
        let mut config = config(0);
        config.gateways = (0..count).map(|number| format!("gw{number}.example.com")).collect();
        Account::parse(config)
    };
    assert!(with(MAX_GATEWAYS).is_ok());
    assert!(with(MAX_GATEWAYS + 1).is_err());
}

#[test]
fn a_field_or_token_that_is_too_long_is_refused() {
    let mut long = config(0);
    long.display_name = Some("n".repeat(MAX_FIELD + 1));
    assert!(Account::parse(long).is_err());
    assert!(matches!(PushToken::parse(&Provider::Fcm, &"t".repeat(MAX_TOKEN)), Ok(Some(_))));
    assert!(PushToken::parse(&Provider::Fcm, &"t".repeat(MAX_TOKEN + 1)).is_err());
}

#[test]
fn a_flood_of_announced_calls_is_reported_64_times() {
    let mut agent = UserAgent::new([7; 32], None, NOW);
    let account = Account::parse(config(0)).expect("good");
    agent.add_account(account, None, None, NOW).expect("room");
    let (mut told, hints) = (0, Hints::at(NOW));
    for call in 0..1000 {
        let payload = format!(r#"{{"ntype":"0","nfrom":"+49{call}","ntouser":"user0","ncallid":"call-{call}"}}"#);
        agent.handle_push(&parse_push(payload.as_str(), Channel::FcmAndroid, &hints), NOW);
        while let Some(output) = agent.poll_output() {
            told += usize::from(matches!(output, Output::Event(event) if matches!(*event, Event::Call(_))));
        }
    }
    assert_eq!(told, 64);
}

#[test]
fn bytes_on_unknown_flows_leave_nothing_behind() {
    let mut agent = UserAgent::new([7; 32], None, NOW);
    for flow in 0..10_000 {
        agent.handle_input(FlowId(flow), b"REGISTER sip:half SIP/2.0\r\nVia:", NOW);
    }
    let outputs = std::iter::from_fn(|| agent.poll_output()).count();
    assert!(outputs < 200, "{outputs}");
}
