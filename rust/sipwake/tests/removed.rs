//! What a server holds after push settings are removed and after log-outs, for one device and for two.

use std::sync::Arc;
use std::time::Duration;

use mock_gateway::{Config, MockGateway, Profile};
use sipwake::{AccountConfig, AccountKey, Client, Event, Events, MemoryStore, Provider, PushConfig, Transport};

const LIMIT: Duration = Duration::from_secs(120);

struct Device {
    client: Client,
    events: Events,
    account: AccountKey,
}

fn config(mock: &MockGateway) -> AccountConfig {
    let mut config = AccountConfig::new("sip:alice@mock.example", "secret");
    config.gateways = vec![mock.addr().to_string()];
    config.transport = Some(Transport::Udp);
    config
}

impl Device {
    async fn bound(mock: &MockGateway, token: &str) -> Self {
        let (client, events) = Client::start(Arc::new(MemoryStore::default()));
        let push = PushConfig::new(Provider::Fcm, "com.example.app");
        let account = client.add_account(config(mock), Some(push)).await.expect("a sound account");
        client.set_token(&account, token).await.expect("a sound token");
        let mut device = Self { client, events, account };
        device.registers().await;
        device
    }

    async fn registers(&mut self) {
        self.client.register(&self.account).await.expect("it was added");
        self.until(|event| matches!(event, Event::Registered { .. })).await;
    }

    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) {
        let next = async { while !wanted(&self.events.next().await.expect("the client runs")) {} };
        tokio::time::timeout(LIMIT, next).await.expect("it happens in time");
    }

    async fn leaves(&mut self) {
        self.client.log_out(&self.account).await.expect("it is there");
        self.until(|event| matches!(event, Event::LoggedOut { .. })).await;
    }
}

async fn mock() -> MockGateway {
    let profile = Profile::named("mizutech").expect("it is one of them");
    MockGateway::start(Config::new(profile).user("alice", "secret")).await.expect("loopback is there")
}

/// The tokens that the server pushes to.
async fn pushed_to(mock: &MockGateway) -> Vec<String> {
    mock.bindings("alice").await.into_iter().filter_map(|binding| Some(binding.push?.token)).collect()
}

#[tokio::test]
async fn an_account_whose_push_settings_are_removed_gets_no_pushes() {
    let mock = mock().await;
    let mut device = Device::bound(&mock, "one:A").await;
    assert_eq!(pushed_to(&mock).await, ["one:A"]);
    device.client.add_account(config(&mock), None).await.expect("a sound account");
    device.registers().await;
    device.leaves().await;
    assert_eq!(pushed_to(&mock).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_log_out_of_one_device_leaves_the_binding_of_the_other() {
    let mock = mock().await;
    let mut first = Device::bound(&mock, "one:A").await;
    let _second = Device::bound(&mock, "two:B").await;
    let mut both = pushed_to(&mock).await;
    both.sort_unstable();
    assert_eq!(both, ["one:A", "two:B"]);
    first.leaves().await;
    assert_eq!(pushed_to(&mock).await, ["two:B"]);
}
