//! What the documents of Mizutech and PortSIP say about their servers, on real sockets: modes, unbinding, late tokens, refreshes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mock_gateway::{Config, MockGateway, Profile};
use sipwake::core::push::Mode;
use sipwake::{
    AccountConfig, AccountKey, Channel, Client, Dialect, Dialects, Event, Events, Hints, MemoryStore, PortSipHeader,
    Provider, PushConfig, Registered, Removal, TokenUpdate, now,
};

const TOKEN: &str = "c-10-ap_Kt0:G7SThkASJx2K4Rm";
/// How long each step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

struct App {
    mock: MockGateway,
    client: Client,
    events: Events,
}

impl App {
    async fn start(profile: &str) -> Self {
        let profile = Profile::named(profile).expect("it is one of them");
        let mock = MockGateway::start(Config::new(profile).user("alice", "secret")).await.expect("loopback is there");
        let (client, events) = Client::start(Arc::new(MemoryStore::default()));
        Self { mock, client, events }
    }

    fn account(&self) -> AccountConfig {
        let mut config = AccountConfig::new("sip:alice@mock.example", "secret");
        config.gateways = vec![self.mock.addr().to_string()];
        config.allow_cleartext_secrets = true;
        config
    }

    async fn add(&self, config: AccountConfig, push: PushConfig) -> AccountKey {
        self.client.add_account(config, Some(push)).await.expect("sound settings")
    }

    async fn event<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = wanted(self.events.next().await.expect("the client runs")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("it is reported")
    }

    async fn registered(&mut self) -> Box<Registered> {
        self.event(|event| match event {
            Event::Registered { registered, .. } => Some(Box::new(registered)),
            _ => None,
        })
        .await
    }

    async fn register(&mut self, account: &AccountKey) -> Box<Registered> {
        self.client.register(account).await.expect("it was added");
        self.registered().await
    }

    /// The header field of this name in the last REGISTER that was not answered with a challenge.
    fn last(&self, name: &str) -> Option<String> {
        let received = self.mock.received();
        let last = received.iter().rfind(|message| message.is_request("REGISTER")).expect("one was sent");
        let mut lines = last.text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }

    fn registers(&self) -> usize {
        self.mock.received().iter().filter(|message| message.is_request("REGISTER")).count()
    }

    async fn pushes_to(&self) -> Vec<String> {
        self.mock.bindings("alice").await.into_iter().filter_map(|binding| Some(binding.push?.token)).collect()
    }
}

#[tokio::test]
async fn each_mode_of_mizutechs_sdk_binds_and_mode_0_removes_the_binding_of_another() {
    let mut app = App::start("mizutech").await;
    let address = app.mock.addr().to_string();
    let push = || PushConfig::new(Provider::Fcm, "com.mycompany.coolapp.voip");
    for mode in [Mode::Auto, Mode::Direct, Mode::Gateway(address)] {
        let (mut account, mut push) = (app.account(), push());
        mode.apply(&mut account, &mut push);
        let key = app.add(account, push).await;
        app.client.set_token(&key, TOKEN).await.expect("a token");
        app.register(&key).await;
        assert_eq!(app.last("X-MPUSH"), Some(format!("a:com.mycompany.coolapp.voip:{TOKEN}")), "{mode:?}");
        assert_eq!(app.pushes_to().await, [TOKEN], "{mode:?}");
    }
    let (mut account, mut none) = (app.account(), push());
    Mode::Disabled.apply(&mut account, &mut none);
    let key = app.add(account, none).await;
    app.register(&key).await;
    assert_eq!(app.pushes_to().await, [""; 0], "the binding is removed without a request of the app");
    assert_eq!(app.mock.bindings("alice").await.len(), 1, "and the user stays registered");
}

#[tokio::test]
async fn an_unbind_ends_the_pushes_of_a_mizutech_server_in_each_dialect() {
    let only = |dialect| Dialects::Only(vec![dialect]);
    for (dialects, removal) in [
        (Dialects::Auto, Removal::SameBinding),
        (only(Dialect::XMpush), Removal::SameBinding),
        (only(Dialect::Rfc8599), Removal::SameBinding),
        (only(Dialect::Rfc8599), Removal::NullPrid),
        (only(Dialect::Abto), Removal::SameBinding),
    ] {
        let mut app = App::start("mizutech").await;
        let push = PushConfig { dialects: dialects.clone(), removal, ..PushConfig::new(Provider::Fcm, "com.x.y") };
        let key = app.add(app.account(), push).await;
        app.client.set_token(&key, TOKEN).await.expect("a token");
        app.register(&key).await;
        app.client.unbind_push(&key).await.expect("it was added");
        app.registered().await;
        assert_eq!(app.pushes_to().await, [""; 0], "{dialects:?}");
        let late: HashMap<String, String> =
            [("ntype", "0"), ("nfrom", "1"), ("ncallid", "q")].map(|(name, value)| (name.into(), value.into())).into();
        let action = app.client.push(&late, Channel::FcmAndroid, &Hints::at(now()));
        assert!(!action.is_call(), "{dialects:?}: a late push makes a sound");
    }
}

#[tokio::test]
async fn a_late_token_is_sent_at_once_and_none_or_the_same_one_sends_nothing() {
    let mut app = App::start("mizutech").await;
    let mut account = app.account();
    account.upper.server = Some("1.2.3.4".into());
    account.upper.proxy = Some("proxy.mydomain.com".into());
    account.upper.domain = Some("sip.mydomain.com".into());
    let key = app.add(account, PushConfig::new(Provider::Fcm, "com.x.y")).await;
    app.register(&key).await;
    assert_eq!((app.last("X-MPUSH"), app.last("X-Sy.Uppersrv")), (None, Some("1.2.3.4".into())));
    let before = app.registers();
    for none in ["", "null", "(null)"] {
        assert_eq!(app.client.set_token(&key, none).await.expect("no error"), TokenUpdate::Ignored);
    }
    assert_eq!(app.registers(), before);
    assert_eq!(app.client.set_token(&key, TOKEN).await.expect("a token"), TokenUpdate::Taken);
    assert!(app.registered().await.token.is_some());
    let after = app.registers();
    app.client.set_token(&key, TOKEN).await.expect("the same");
    app.client.set_token(&key, "null").await.expect("no error");
    // The next message comes after everything that these could have sent.
    app.register(&key).await;
    assert_eq!(app.registers(), after + 1);
    assert_eq!(app.pushes_to().await, [TOKEN]);
}

#[tokio::test]
async fn a_hexadecimal_token_in_another_case_sends_nothing() {
    let mut app = App::start("mizutech").await;
    let key = app.add(app.account(), PushConfig::new(Provider::Apns, "com.x.y")).await;
    app.client.set_token(&key, "ABCDEF01").await.expect("a token");
    app.register(&key).await;
    let before = app.registers();
    app.client.set_token(&key, "abcdef01").await.expect("the same");
    app.register(&key).await;
    assert_eq!(app.registers(), before + 1);
}

#[tokio::test]
async fn a_refresh_push_leads_to_a_register_and_is_silent() {
    let mut app = App::start("mizutech").await;
    let key = app.add(app.account(), PushConfig::new(Provider::Fcm, "com.x.y")).await;
    app.client.set_token(&key, TOKEN).await.expect("a token");
    app.register(&key).await;
    let before = app.registers();
    let refresh: HashMap<String, String> = [("ntype".into(), "4".into())].into();
    let action = app.client.push(&refresh, Channel::FcmAndroid, &Hints::at(now()));
    assert!(!action.is_call());
    app.registered().await;
    assert!(app.registers() > before);
}

#[tokio::test]
async fn portsip_learns_which_pushes_are_wanted_and_each_change_of_that() {
    let mut app = App::start("portsip").await;
    let mut push = PushConfig::new(Provider::Apns, "com.portsip.portgo");
    push.dialects = Dialects::Only(vec![Dialect::PortSip(PortSipHeader::XPush)]);
    (push.push_calls, push.push_messages) = (false, false);
    let key = app.add(app.account(), push.clone()).await;
    app.client.set_token(&key, "fe1b7bef1b4dc68dbfcd18143c8c06c1").await.expect("a token");
    app.register(&key).await;
    let said = app.last("X-Push").expect("PortSIP's header");
    assert!(said.contains("allow-call-push=false") && said.contains("app-id=com.portsip.portgo"), "{said}");
    push.push_calls = true;
    let key = app.add(app.account(), push).await;
    app.register(&key).await;
    assert!(app.last("X-Push").is_some_and(|said| said.contains("allow-call-push=true")), "do not disturb is over");
}
