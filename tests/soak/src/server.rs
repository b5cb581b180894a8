//! The servers, one for each transport, in a process of their own, so that their memory does not count as the phones'.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use mock_gateway::{Config, MockGateway, Profile, control};
use networks::{Authority, Front};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use sipwake::Transport;

use crate::phone::{PASSWORD, USER};

/// The transports, each with the profile of its server.
const KINDS: [(Transport, &str); 4] = [
    (Transport::Udp, "mizutech"),
    (Transport::Tcp, "flexisip"),
    (Transport::Tls, "mizutech"),
    (Transport::Ws, "xmpush"),
];

/// What a phone must know about its server.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) transport: Transport,
    /// Where phones reach it.
    pub(crate) port: u16,
    pub(crate) control: SocketAddr,
    /// The authority that issued its certificate.
    pub(crate) authority: String,
}

/// Runs the servers until standard input ends.
pub(crate) fn serve() -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let _fronts = runtime.block_on(start())?;
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}

async fn start() -> Result<Vec<(MockGateway, Option<Front>)>, String> {
    let authority = Authority::default();
    let (mut running, mut sites) = (Vec::new(), Vec::new());
    for (transport, kind) in KINDS {
        let profile = Profile::named(kind).ok_or("unknown profile")?;
        let mock = MockGateway::start(Config::new(profile).user(USER, PASSWORD)).await;
        let mock = mock.map_err(|error| format!("a server: {error}"))?;
        let any = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let control = control::listen(&mock, any).await.map_err(|error| format!("its control port: {error}"))?;
        let front = match transport {
            Transport::Tls => Some(Front::tls(mock.addr(), authority.server(&[&TLS13, &TLS12])).await),
            Transport::Ws => Some(Front::ws(mock.addr()).await),
            _ => None,
        };
        let port = front.as_ref().map_or(mock.addr(), Front::addr).port();
        sites.push(json!({"port": port, "control": control.to_string()}));
        running.push((mock, front));
    }
    println!("{}", json!({"sites": sites, "authority": authority.pem()}));
    Ok(running)
}

/// The process of the servers. Dropping this ends it.
pub(crate) struct Servers {
    process: Child,
    pub(crate) sites: Vec<Site>,
}

impl Servers {
    pub(crate) fn start() -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(own);
        command.arg(crate::SERVE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("the servers: {error}"))?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("the servers say nothing")?;
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        let sites = read(&line).ok_or_else(|| format!("the servers say {line:?}"))?;
        Ok(Self { process, sites })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(line: &str) -> Option<Vec<Site>> {
    let said: Value = serde_json::from_str(line).ok()?;
    let authority = said["authority"].as_str()?;
    let site = |(value, (transport, _)): (&Value, (Transport, &str))| {
        Some(Site {
            transport,
            port: value["port"].as_u64()?.try_into().ok()?,
            control: value["control"].as_str()?.parse().ok()?,
            authority: authority.to_owned(),
        })
    };
    said["sites"].as_array()?.iter().zip(KINDS).map(site).collect()
}
