//! The key for sealed pushes in a header of the REGISTER: which server gets it, over real sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use integration::{App, Stage, TOKEN, USER, leaks};
use mock_gateway::{CallOptions, Scripted};
use networks::{Authority, Front};
use rustls::version::{TLS12, TLS13};
use sipwake::{AccountConfig, Client, Naptr, Options, Resolver, Srv, Transport, Trust};

const HEADER: &str = "X-Push-Key: ";
const GATEWAY: &str = "pbx.example.com";
const NEIGHBOUR: &str = "edge.pbx.example.com";

/// Resolves every name to this machine.
struct Here;

impl Resolver for Here {
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }

    fn srv(&self, _: &str) -> Vec<Srv> {
        Vec::new()
    }

    fn naptr(&self, _: &str) -> Vec<Naptr> {
        Vec::new()
    }
}

/// A server with a front that unwraps TLS or WebSocket.
struct Place {
    stage: Stage,
    front: Option<Front>,
}

impl Place {
    async fn new(name: &str, transport: Transport, authority: &Authority) -> Self {
        let stage = Stage::new("mizutech", transport).await;
        let (to, config) = (stage.gateway.addr(), authority.server_named(&[name], &[&TLS13, &TLS12]));
        let front = match transport {
            Transport::Tls => Some(Front::tls(to, config).await),
            Transport::Wss => Some(Front::wss(to, config).await),
            Transport::Ws => Some(Front::ws(to).await),
            _ => None,
        };
        Self { stage, front }
    }

    fn addr(&self) -> SocketAddr {
        self.front.as_ref().map_or(self.stage.gateway.addr(), Front::addr)
    }

    /// Starts the app. Its account allows the push key for the server, and secrets in the clear.
    async fn app(&self, authority: &Authority, change: impl FnOnce(&mut AccountConfig)) -> App {
        let trust = Trust::default().only_authorities(authority.pem().as_bytes()).expect("an authority");
        let options = Options::default().trust(trust).resolver(Arc::new(Here)).trace(Arc::new(leaks::Listener));
        let (client, events) = Client::start_with(self.stage.store(), options);
        let mut account = self.stage.account();
        account.gateways = vec![format!("{GATEWAY}:{}", self.addr().port())];
        (account.send_push_key, account.allow_cleartext_secrets) = (true, true);
        change(&mut account);
        let account = client.add_account(account, Some(self.stage.push())).await.expect("a good account");
        client.set_token(&account, TOKEN).await.expect("a good token");
        App { client, events, account }
    }

    /// Returns the key in each REGISTER that arrived here; `None` for one without.
    fn keys(&self) -> Vec<Option<String>> {
        let registers = self.stage.requests_since(0, "REGISTER");
        let key = |text: &str| text.lines().find_map(|line| line.strip_prefix(HEADER)).map(str::to_owned);
        registers.iter().map(|entry| key(&entry.text)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_server_gets_the_key_and_seals_with_it() {
    for transport in [Transport::Tls, Transport::Wss] {
        let authority = Authority::default();
        let mut place = Place::new(GATEWAY, transport, &authority).await;
        let mut app = place.app(&authority, |_| {}).await;
        app.register().await;
        let given = place.keys();
        let key = given[0].as_deref().expect("the first REGISTER that binds the token has it");
        assert!(given.iter().all(|other| other.as_deref() == Some(key)), "{given:?}");
        let value = |name: &str| key.split(';').find_map(|param| param.strip_prefix(name)).expect("both values");
        let known = app.client.push_key().expect("it can be read");
        assert_eq!((value("p256dh="), value("auth=")), (&*known.p256dh, &*known.auth));

        place.stage.gateway.seal_for(USER, value("p256dh="), value("auth=")).await.expect("a sound key");
        app.end().await;
        place.stage.gateway.sleep(USER, true).await;
        let _call = place.stage.gateway.place_call(USER, CallOptions::default()).await;
        let payload = place.stage.next_push().await;
        assert!(payload["data"]["sealed"].is_string() || payload["sealed"].is_string(), "{payload}");
        let mut app = place.app(&authority, |_| {}).await;
        let action = app.push(&payload);
        assert!(action.is_call() && !action.unverified, "{action:?}");
        assert_eq!(app.ringing().await, action.uuid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_push_key_is_not_sent_in_the_clear_or_without_the_setting() {
    let authority = Authority::default();
    for transport in [Transport::Udp, Transport::Tcp, Transport::Ws] {
        let place = Place::new(GATEWAY, transport, &authority).await;
        let mut app = place.app(&authority, |_| {}).await;
        app.client.push_key().expect("there is one to send");
        app.register().await;
        let given = place.keys();
        assert!(!given.is_empty() && given.iter().all(Option::is_none), "{transport:?}: {given:?}");
    }
    let place = Place::new(GATEWAY, Transport::Tls, &authority).await;
    let mut app = place.app(&authority, |account| account.send_push_key = false).await;
    app.client.push_key().expect("there is one to send");
    app.register().await;
    assert!(place.keys().iter().all(Option::is_none));
}

/// Both servers speak TLS and have a certificate from the same authority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_the_app_did_not_name_registers_the_phone_and_gets_no_push_key() {
    let authority = Authority::default();
    let named = Place::new(GATEWAY, Transport::Tls, &authority).await;
    let neighbour = Place::new(NEIGHBOUR, Transport::Tls, &authority).await;
    let contact = format!("<sip:{NEIGHBOUR}:{};transport=tls>", neighbour.addr().port());
    let moved = Scripted { status: 302, headers: vec![("Contact".into(), contact)], after_auth: false };
    named.stage.gateway.script(USER, vec![moved]).await;
    let mut app = named.app(&authority, |_| {}).await;
    app.register().await;
    assert_eq!(neighbour.stage.tokens().await, [TOKEN]);
    let (at_the_named, at_the_other) = (named.keys(), neighbour.keys());
    assert!(at_the_named[0].is_some(), "{at_the_named:?}");
    assert!(!at_the_other.is_empty() && at_the_other.iter().all(Option::is_none), "{at_the_other:?}");
}
