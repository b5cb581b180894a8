//! From "push received" to "200 received", 100 ms away, in round trips, messages and bytes; beside baresip where it is
//! installed.
//!
//! `scripts/bench --only wake`. All go through one kind of relay, which holds back what it carries for half a round trip each
//! way, and the first bytes of a connection for the round trip that its opening takes on a real path. sipwake's time runs
//! from the push to its event; baresip's from its first packet to its 200, so the start of its process costs it nothing. Each
//! figure is the median of the turns. Nothing is asserted.
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mock_gateway::{Config, Direction, Entry, MockGateway, Profile};
use networks::{Authority, Front, Path, Relay};
use sipwake::{
    AccountConfig, Channel, Client, Event, Events, FileStore, Hints, Options, Provider, PushConfig, Transport, Trust,
};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// As many as one process's account may send a REGISTER for at once: from the seventh push on, they wait for one another.
const TURNS: usize = 5;
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// How long any turn may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A server 100 ms away.
struct Stage {
    mock: MockGateway,
    relay: Relay,
    transport: Transport,
    authority: Authority,
    folder: tempfile::TempDir,
    _front: Option<Front>,
}

#[derive(Clone, Copy, Default)]
struct Run {
    time: Duration,
    messages: usize,
    sent: usize,
    received: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let udp = Stage::new(Transport::Udp).await?;
    let mut bare = Vec::new();
    for _ in 0..TURNS {
        bare.push(Run { time: options(udp.relay.addr()).await?, ..Run::default() });
    }
    let bare = median(bare).unwrap_or_default().time;
    println!("one bare round trip: {:.1} ms; median of {TURNS} turns each", millis(bare));
    println!(
        "{:<34} {:>9} {:>7} {:>7} {:>9} {:>6} {:>9}",
        "", "to 200", "RTT", "budget", "messages", "sent", "received"
    );
    let print = |what: &str, run: Option<Run>, budget: Option<f64>| match run {
        Some(run) => println!(
            "{what:<34} {:>6.1} ms {:>7.2} {:>7} {:>9} {:>6} {:>9}",
            millis(run.time),
            run.time.as_secs_f64() / bare.as_secs_f64(),
            budget.map(|budget| format!("{budget:.2}")).unwrap_or_default(),
            run.messages,
            run.sent,
            run.received
        ),
        None => println!("{what:<34} not installed, or not registered within {} s", PATIENCE.as_secs()),
    };
    print("UDP, live nonce", cold(&udp).await?, Some(1.05));
    print("  baresip", baresip(&udp).await?, None);
    let tcp = Stage::new(Transport::Tcp).await?;
    print("TCP, to be connected", cold(&tcp).await?, Some(2.1));
    print("TCP, connected", warm(&tcp, false).await?, Some(1.1));
    print("  baresip", baresip(&tcp).await?, None);
    let tls = Stage::new(Transport::Tls).await?;
    print("TLS 1.3, to be connected", cold(&tls).await?, Some(3.1));
    print("TLS 1.3, to be connected, resumed", warm(&tls, true).await?, Some(3.1));
    print("TLS 1.3, connected", warm(&tls, false).await?, Some(1.1));
    print("  baresip", baresip(&tls).await?, None);
    Ok(())
}

impl Stage {
    async fn new(transport: Transport) -> Outcome<Self> {
        let profile = Profile::named("xmpush").ok_or("a gateway with X-MPUSH is known")?;
        let mock = MockGateway::start(Config::new(profile).user("alice", "secret")).await?;
        let authority = Authority::default();
        let front = match transport {
            Transport::Tls => Some(Front::tls(mock.addr(), authority.server(rustls::ALL_VERSIONS)).await),
            _ => None,
        };
        let to = front.as_ref().map_or(mock.addr(), Front::addr);
        let relay = Relay::start(to, Path::of_round_trip(ROUND_TRIP)).await;
        Ok(Self { mock, relay, transport, authority, folder: tempfile::tempdir()?, _front: front })
    }

    /// Starts the app as a push finds it: its account added, nothing sent.
    async fn app(&self) -> Outcome<(Client, Events)> {
        let trust = Trust::default().only_authorities(self.authority.pem().as_bytes())?;
        let store = Arc::new(FileStore::open(self.folder.path())?);
        let (client, events) = Client::start_with(store, Options::default().trust(trust));
        let mut account = AccountConfig::new("sip:alice@mock.example", "secret");
        account.gateways = vec![self.relay.addr().to_string()];
        account.transport = Some(self.transport);
        client.add_account(account, Some(PushConfig::new(Provider::Fcm, "com.example.app"))).await?;
        Ok((client, events))
    }

    /// Registers once, which leaves a live nonce in the store.
    async fn prepare(&self) -> Outcome<(Client, Events)> {
        let (client, mut events) = self.app().await?;
        let mut account = AccountConfig::new("sip:alice@mock.example", "secret");
        account.gateways = vec![self.relay.addr().to_string()];
        account.transport = Some(self.transport);
        let key = sipwake::core::account::Account::parse(account)?.key();
        client.set_token(&key, "c-10:APA91bBenchToken").await?;
        client.register(&key).await?;
        registered(&mut events).await?;
        Ok((client, events))
    }

    fn reset(&self) {
        self.mock.messages().clear();
        self.relay.reset();
    }

    fn run(&self, time: Duration) -> Run {
        let all = self.mock.messages().all();
        let tally = self.relay.tally();
        let of_register = |entry: &&Entry| {
            entry.is_request("REGISTER") || (200..500).any(|status| entry.is_response(status, "REGISTER"))
        };
        Run { time, messages: all.iter().filter(of_register).count(), sent: tally.sent, received: tally.received }
    }
}

/// A process that starts with a live nonce and without a connection.
async fn cold(stage: &Stage) -> Outcome<Option<Run>> {
    stage.prepare().await?.0.shutdown().await;
    let mut runs = Vec::new();
    for turn in 0..TURNS {
        let (client, mut events) = stage.app().await?;
        runs.push(wake(stage, &client, &mut events, turn).await?);
        client.shutdown().await;
    }
    Ok(median(runs))
}

/// A process that has registered before: on an open connection, or on one that is lost.
async fn warm(stage: &Stage, lost: bool) -> Outcome<Option<Run>> {
    let (client, mut events) = stage.prepare().await?;
    let mut runs = Vec::new();
    for turn in 0..TURNS {
        if lost {
            stage.relay.break_connections();
        }
        // What is still under way, session tickets and the end of a connection, is not this wake's.
        sleep(2 * ROUND_TRIP).await;
        runs.push(wake(stage, &client, &mut events, turn).await?);
    }
    client.shutdown().await;
    Ok(median(runs))
}

async fn wake(stage: &Stage, client: &Client, events: &mut Events, turn: usize) -> Outcome<Run> {
    sleep(ROUND_TRIP).await;
    stage.reset();
    let push = format!(r#"{{"ntype":"0","nfrom":"1{turn}","nfromusername":"Bob{turn}","ncallid":"call-{turn}"}}"#);
    let start = Instant::now();
    client.push(push.as_str(), Channel::FcmAndroid, &Hints::at(sipwake::now()));
    registered(events).await?;
    Ok(stage.run(start.elapsed()))
}

async fn registered(events: &mut Events) -> Outcome<()> {
    let next = async {
        while let Some(event) = events.next().await {
            match event {
                Event::Registered { .. } => return Ok(()),
                Event::RegistrationFailed { failure, .. } => return Err(failure.to_string().into()),
                _ => {}
            }
        }
        Err("the client was shut down".into())
    };
    timeout(PATIENCE, next).await?
}

/// Starts baresip again in each run: it keeps neither nonce nor connection.
async fn baresip(stage: &Stage) -> Outcome<Option<Run>> {
    let folder = stage.folder.path().join("baresip");
    configure_baresip(stage, &folder)?;
    let mut runs = Vec::new();
    for _ in 0..TURNS {
        sleep(2 * ROUND_TRIP).await;
        stage.reset();
        let quiet = || Stdio::null();
        let child =
            Command::new("baresip").arg("-f").arg(&folder).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
        let mut child = match child {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            child => child?,
        };
        let granted = |entry: &Entry| entry.direction == Direction::Sent && entry.is_response(200, "REGISTER");
        let granted = stage.mock.wait_for(granted, PATIENCE).await;
        sleep(2 * ROUND_TRIP).await;
        let tally = stage.relay.tally();
        let run = stage.run(tally.last.zip(tally.first).map(|(last, first)| last - first).unwrap_or_default());
        child.kill()?;
        child.wait()?;
        if granted.is_none() {
            return Ok(None);
        }
        runs.push(run);
    }
    Ok(median(runs))
}

fn configure_baresip(stage: &Stage, folder: &FilePath) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("ca.pem"), stage.authority.pem())?;
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:0\nsip_cafile {}\nsip_verify_server yes\n\
         module_path /usr/lib/baresip/modules\nmodule_app account.so\n",
        folder.join("ca.pem").display()
    );
    fs::write(folder.join("config"), config)?;
    let (relay, transport) = (stage.relay.addr(), stage.transport.via().to_ascii_lowercase());
    let account = format!("<sip:alice@{relay};transport={transport}>;auth_pass=secret;regint=3600\n");
    fs::write(folder.join("accounts"), account)
}

/// One request and its answer, without any client.
async fn options(gateway: SocketAddr) -> Outcome<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let here = socket.local_addr()?;
    let request = format!(
        "OPTIONS sip:{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:bench@mock.example>;tag=b\r\nTo: <sip:mock.example>\r\nCall-ID: {}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        here.port(),
        here.port()
    );
    let start = Instant::now();
    socket.send_to(request.as_bytes(), gateway).await?;
    timeout(PATIENCE, socket.recv(&mut [0; 4096])).await??;
    Ok(start.elapsed())
}

fn median(mut runs: Vec<Run>) -> Option<Run> {
    runs.sort_unstable_by_key(|run| run.time);
    runs.get(runs.len() / 2).copied()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
