//! A phone whose address changes: its own, in network namespaces that the test creates, and the one that a NAT gives
//! it.

use std::net::SocketAddr;

use integration::{App, PATIENCE, Stage, TOKEN, USER};
use mock_gateway::{CallOptions, CallState, Direction, Entry};
use networks::{Path, Relay};
use sipwake::{CallChange, Ended, Transport};

#[cfg(target_os = "linux")]
mod between_networks {
    use std::io::Write;
    use std::net::Ipv4Addr;
    use std::path::PathBuf;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use mock_gateway::{Config, MockGateway};
    use sipwake::{AccountConfig, Client, Event, MemoryStore, Provider, PushConfig};
    use tokio::time::timeout;

    use super::*;

    const TEST: &str = "between_networks::a_phone_that_moves_sends_one_register_from_its_new_address";
    const ROLE: &str = "SIPWAKE_TEST_ROLE";
    const SERVER: &str = "SIPWAKE_TEST_SERVER";
    const AT_THE_SERVER: &str = "10.99.0.1";
    const AT_HOME: &str = "10.99.1.1";
    const ON_THE_ROAD: &str = "10.99.2.2";

    /// The test runs itself twice more: inside a network of its own, where the server is, and from there inside another
    /// one, where the phone is. A virtual cable connects the two.
    #[tokio::test]
    async fn a_phone_that_moves_sends_one_register_from_its_new_address() {
        match std::env::var(ROLE).as_deref() {
            Ok("server") => server().await,
            Ok("phone") => phone().await,
            _ => {
                let probe = "ip link set lo up && ip link add wan type veth peer name phone";
                if !inside(&["sh", "-c", probe]).status().is_ok_and(|status| status.success()) {
                    return not_run("network namespaces and veth (iproute2, and root or user namespaces)");
                }
                let executable = executable();
                let mut server = inside(&[&executable.to_string_lossy(), "--exact", TEST, "--nocapture"]);
                let output = server.env(ROLE, "server").output().expect("it starts");
                let said = [output.stdout, output.stderr].concat();
                assert!(output.status.success(), "inside, at the server: {}", String::from_utf8_lossy(&said));
            }
        }
    }

    async fn server() {
        ip("link set lo up");
        for transport in ["udp", "tcp"] {
            // The last cable disappears with the last phone's network, sooner or later.
            let _ = Command::new("ip").args(["link", "delete", "wan"]).output();
            ip("link add wan type veth peer name phone");
            ip(&format!("address add {AT_THE_SERVER}/16 dev wan"));
            ip("link set wan up");
            let mut config = Config::new(integration::named("mizutech")).user(USER, integration::PASSWORD);
            config.listen = (AT_THE_SERVER.parse::<Ipv4Addr>().expect("an address"), 0).into();
            let gateway = MockGateway::start(config).await.expect("the address is there");
            let mut phone = phone_with_a_cable(gateway.addr(), transport);
            let ended = tokio::task::spawn_blocking(move || phone.wait());
            let ended = timeout(PATIENCE, ended).await.expect("it ends").expect("it is waited for");
            assert!(ended.is_ok_and(|status| status.success()), "inside, at the phone");

            let after = gateway.messages().all();
            let mut registers: Vec<&Entry> = after.iter().filter(|entry| received_register(entry)).collect();
            // A new cable may need longer than the first retransmission.
            registers.dedup_by_key(|entry| &entry.text);
            let [asked, answered, moved] = registers.as_slice() else {
                panic!("a REGISTER, its credentials, and one more:\n{}", mock_gateway::ladder(&after));
            };
            assert_eq!(
                [asked, answered, moved].map(|entry| entry.remote.ip().to_string()),
                [AT_HOME, AT_HOME, ON_THE_ROAD]
            );
            let contacts: Vec<&str> = moved.text.lines().filter(|line| line.starts_with("Contact:")).collect();
            let (old, new) = (format!("@{AT_HOME}:"), format!("@{ON_THE_ROAD}:"));
            assert!(contacts.iter().any(|line| line.contains(&new) && !line.contains("expires=0")), "{contacts:?}");
            assert!(
                moved.text.contains(&old) && moved.text.contains("expires=0"),
                "the old one is removed: {contacts:?}"
            );
            let last = after.last().expect("there are some");
            assert!(last.direction == Direction::Sent && last.is_response(200, "REGISTER"), "one round trip");
            let bindings = gateway.bindings(USER).await;
            assert_eq!(bindings.len(), 1, "{bindings:?}");
            assert!(bindings[0].contact.contains(&new), "{bindings:?}");
            assert_eq!(gateway.violations(), []);
        }
    }

    /// Starts the phone in a network of its own and connects the cable to it.
    fn phone_with_a_cable(server: SocketAddr, transport: &str) -> Child {
        let mut command = Command::new("unshare");
        command.args(["--net", "--"]).arg(executable()).args(["--exact", TEST, "--nocapture"]);
        command.env(ROLE, "phone").env(SERVER, format!("{transport} {server}"));
        let child = command.spawn().expect("it starts");
        let (own, its) = ("/proc/self/ns/net".to_owned(), format!("/proc/{}/ns/net", child.id()));
        let begun = Instant::now();
        while std::fs::read_link(&own).ok() == std::fs::read_link(&its).ok() {
            assert!(begun.elapsed() < PATIENCE, "the phone cannot get its own network");
            std::thread::sleep(Duration::from_millis(10));
        }
        ip(&format!("link set phone netns {}", child.id()));
        child
    }

    async fn phone() {
        let begun = Instant::now();
        while !has_cable() {
            assert!(begun.elapsed() < PATIENCE, "the server opens no connection to the phone");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ip(&format!("address add {AT_HOME}/16 dev phone"));
        ip("link set phone up");
        let server = std::env::var(SERVER).expect("it is reported");
        let (transport, gateway) = server.split_once(' ').expect("both");
        let (client, events) = Client::start(std::sync::Arc::new(MemoryStore::default()));
        let mut account = AccountConfig::new(format!("sip:{USER}@mock.example"), integration::PASSWORD);
        account.gateways = vec![gateway.to_owned()];
        account.transport = Some(if transport == "udp" { Transport::Udp } else { Transport::Tcp });
        let push = PushConfig::new(Provider::Fcm, "com.example.app");
        let account = client.add_account(account, Some(push)).await.expect("a good account");
        client.set_token(&account, TOKEN).await.expect("a good token");
        let mut app = App { client, events, account };
        app.register().await;

        ip(&format!("address delete {AT_HOME}/16 dev phone"));
        ip(&format!("address add {ON_THE_ROAD}/16 dev phone"));
        app.client.network_changed().await.expect("it runs");
        let moved = app.registered().await;
        assert!(moved.contact.expose().contains(&format!("@{ON_THE_ROAD}:")));
        let more = app.leftovers(Duration::from_millis(500)).await;
        assert!(!more.iter().any(|event| matches!(event, Event::Registered { .. })), "once: {more:?}");
    }

    fn has_cable() -> bool {
        Command::new("ip").args(["link", "show", "phone"]).output().is_ok_and(|output| output.status.success())
    }

    fn ip(command: &str) {
        let status = Command::new("ip").args(command.split(' ')).status().expect("iproute2 is there");
        assert!(status.success(), "ip {command}");
    }

    /// Returns a command that runs in a new network, as its root.
    fn inside(command: &[&str]) -> Command {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "--"]).args(command);
        unshare
    }

    fn executable() -> PathBuf {
        std::env::current_exe().expect("it runs")
    }

    /// Written past the test harness, which hides the output of tests that pass: a test that could not run must not
    /// look like one that passed.
    fn not_run(what: &str) {
        assert!(std::env::var_os("CI").is_none(), "{what} are missing");
        let _ = writeln!(std::io::stderr(), "\nNOT RUN: {TEST}: {what} are missing");
    }
}

fn received_register(entry: &Entry) -> bool {
    entry.direction == Direction::Received && entry.is_request("REGISTER")
}

/// The address to which the server sent its response to the last REGISTER.
fn seen(stage: &Stage) -> SocketAddr {
    let all = stage.gateway.messages().all();
    all.iter().rfind(|entry| received_register(entry)).expect("one came").remote
}

async fn behind_a_nat(follow: bool) -> (Stage, Relay, App) {
    let stage = Stage::new("mizutech", Transport::Udp).await;
    let relay = Relay::start(stage.gateway.addr(), Path::default()).await;
    let mut account = stage.account();
    account.gateways = vec![relay.addr().to_string()];
    account.follow_observed_address = follow;
    let mut app = App::start(stage.store(), account, Some(stage.push())).await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.client.register(&app.account).await.expect("it was added");
    let registered = app.registered_with(TOKEN).await;
    assert_eq!(registered.observed, Some(seen(&stage)), "rport and received");
    (stage, relay, app)
}

async fn a_call_arrives(stage: &Stage, app: &mut App) {
    let call = stage.gateway.place_call(USER, CallOptions::default()).await;
    app.ringing().await;
    call.wait(|state| state == CallState::Ringing, PATIENCE).await.expect("the caller gets 180");
    call.cancel().await;
    app.call("the end", |change| *change == CallChange::Ended(Ended::Cancelled)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nat_that_forgets_its_mapping_is_noticed_and_the_contact_follows_it() {
    let (stage, relay, mut app) = behind_a_nat(true).await;
    let first = seen(&stage);
    stage.wait_for_tokens(&[TOKEN]).await;
    assert!(stage.bindings().await[0].contact.contains(&first.to_string()), "at the address that the server sees");
    relay.rebind();
    app.client.register(&app.account).await.expect("it was added");
    let at = async || {
        let (bindings, now) = (stage.bindings().await, seen(&stage));
        now != first && bindings.len() == 1 && bindings[0].contact.contains(&now.to_string())
    };
    assert!(stage.gateway.wait_until(at, PATIENCE).await, "{:?}\n{}", stage.bindings().await, stage.ladder());
    app.wait("it is reported", |event| match event {
        sipwake::Event::Registered { registered, .. } => (registered.observed == Some(seen(&stage))).then_some(()),
        _ => None,
    })
    .await;
    a_call_arrives(&stage, &mut app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nat_that_forgets_its_mapping_leads_to_one_register_where_the_contact_stays() {
    let (stage, relay, mut app) = behind_a_nat(false).await;
    let (first, contact) = (seen(&stage), stage.bindings().await.remove(0).contact);
    relay.rebind();
    let mark = stage.mark();
    let registered = app.register().await;
    assert_ne!(registered.observed, Some(first));
    assert_eq!(registered.observed, Some(seen(&stage)));
    assert_eq!(stage.requests_since(mark, "REGISTER").len(), 1);
    let bindings = stage.bindings().await;
    assert_eq!(bindings.iter().map(|binding| &binding.contact).collect::<Vec<_>>(), [&contact]);
    a_call_arrives(&stage, &mut app).await;
}
