//! From "push received" to "200 received" over a round trip of 100 ms, in a process that starts with a live nonce.
//!
//! `scripts/bench --only wake`. Every message of the registrar's is held back for the whole round trip; on loopback the
//! rest of the way costs nothing. The bare round trip is an OPTIONS of our own, in the same run. Nothing is asserted.
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mock_gateway::{Action, Config, Direction, Fault, MockGateway, Profile};
use sipwake::{AccountConfig, Channel, Client, Event, Events, FileStore, Hints, Provider, PushConfig};
use tokio::net::UdpSocket;

const TURNS: usize = 11;
const ROUND_TRIP: Duration = Duration::from_millis(100);
const PUSH: &str = r#"{"ntype":"0","nfrom":"1234","nfromusername":"Bob"}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let profile = Profile::named("xmpush").ok_or("a gateway with X-MPUSH is known")?;
    let mock = MockGateway::start(Config::new(profile).user("alice", "secret")).await?;
    let folder = tempfile::tempdir()?;
    let (client, mut events) = phone(mock.addr(), folder.path()).await?;
    registered(&mut events).await?;
    client.shutdown().await;
    mock.faults(vec![Fault::new(Action::Delay(ROUND_TRIP)).sent().times(u32::MAX)]).await;

    let (mut wakes, mut bare, mut registers) = (Vec::new(), Vec::new(), 0);
    for _ in 0..TURNS {
        bare.push(options(mock.addr()).await?);
        let (client, mut events) = unregistered(mock.addr(), folder.path()).await?;
        let before = mock.messages().all().last().map_or(0, |entry| entry.seq);
        let start = Instant::now();
        client.push(PUSH, Channel::FcmAndroid, &Hints::at(sipwake::now()));
        registered(&mut events).await?;
        wakes.push(start.elapsed());
        let sent = mock.messages().after(before);
        let ours =
            |entry: &&mock_gateway::Entry| entry.direction == Direction::Received && entry.is_request("REGISTER");
        registers = registers.max(sent.iter().filter(ours).count());
        client.shutdown().await;
    }
    let (wake, bare) = (median(wakes), median(bare));
    println!("{:<46} {:>9} {:>9}   reference", "wake over UDP, live nonce, 100 ms away", "sipwake", "budget");
    println!(
        "{:<46} {:>6.1} ms {:>9}   {:.1} ms one bare round trip",
        "push received to 200 received",
        wake.as_secs_f64() * 1e3,
        "",
        bare.as_secs_f64() * 1e3
    );
    println!("{:<46} {:>9.2} {:>9.2}", "round trips", wake.as_secs_f64() / bare.as_secs_f64(), 1.05);
    println!("{:<46} {registers:>9} {:>9}", "REGISTERs a wake, at the most", 1);
    Ok(())
}

async fn phone(gateway: SocketAddr, folder: &Path) -> Result<(Client, Events), Box<dyn Error>> {
    let (client, events) = unregistered(gateway, folder).await?;
    let account = sipwake::core::account::Account::parse(account(gateway))?.key();
    client.set_token(&account, "c-10:APA91bBenchToken").await?;
    client.register(&account).await?;
    Ok((client, events))
}

/// The app's process as a push finds it: started, its account added, nothing sent.
async fn unregistered(gateway: SocketAddr, folder: &Path) -> Result<(Client, Events), Box<dyn Error>> {
    let (client, events) = Client::start(Arc::new(FileStore::open(folder)?));
    client.add_account(account(gateway), Some(PushConfig::new(Provider::Fcm, "com.example.app"))).await?;
    Ok((client, events))
}

fn account(gateway: SocketAddr) -> AccountConfig {
    let mut config = AccountConfig::new("sip:alice@mock.example", "secret");
    config.gateways = vec![gateway.to_string()];
    config
}

async fn registered(events: &mut Events) -> Result<(), Box<dyn Error>> {
    while let Some(event) = events.next().await {
        match event {
            Event::Registered { .. } => return Ok(()),
            Event::RegistrationFailed { failure, .. } => return Err(failure.to_string().into()),
            _ => {}
        }
    }
    Err("the client ended".into())
}

/// One request and its answer, without any client.
async fn options(gateway: SocketAddr) -> Result<Duration, Box<dyn Error>> {
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
    tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut [0; 4096])).await??;
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
