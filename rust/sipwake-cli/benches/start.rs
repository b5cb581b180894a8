//! From the start of a process to its registration on loopback, and the memory it took, beside other clients where they
//! are installed.
//!
//! `scripts/bench --only start`. The clients take turns against one registrar (the mock gateway, in this process); each
//! figure is the median of the turns. The time ends when the registrar has sent its 200. Nothing is asserted.
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mock_gateway::{Config, Direction, MockGateway, Profile};

const TURNS: usize = 15;
const PATIENCE: Duration = Duration::from_secs(5);
/// A client is left alone for so long before its memory is read, to have its 200 digested.
const SETTLING: Duration = Duration::from_millis(50);

/// Where a file is synced without a disk: what a start costs apart from the records it stores.
const MEMORY: &str = "/dev/shm";

struct Client {
    what: &'static str,
    command: Box<dyn Fn() -> Command>,
    runs: Vec<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    to_200: Duration,
    registers: usize,
    peak_kib: u64,
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> io::Result<()> {
    let profile = Profile::named("none").expect("a registrar without push is known");
    let mock = MockGateway::start(Config::new(profile).user("alice", "secret")).await?;
    let folder = tempfile::tempdir()?;
    let memory = tempfile::tempdir_in(MEMORY).or_else(|_| tempfile::tempdir())?;
    let mut clients = vec![
        sipwake("sipwake, live nonce", mock.addr(), Some(folder.path())),
        sipwake("sipwake, the same, state in memory", mock.addr(), Some(memory.path())),
        sipwake("sipwake, challenged, nothing stored", mock.addr(), None),
        baresip(mock.addr(), folder.path())?,
        sipp(mock.addr(), folder.path())?,
    ];
    for client in &clients[..2] {
        if !(client.command)().arg("--once").stdout(Stdio::null()).status()?.success() {
            return Err(io::Error::other("sipwake could not register with the mock gateway"));
        }
    }
    for _ in 0..TURNS {
        for client in &mut clients {
            if let Some(run) = turn(&mock, (client.command)()).await? {
                client.runs.push(run);
            }
        }
    }
    print(clients);
    Ok(())
}

/// Runs a client until it is registered; `None` if it is not installed or did not register in time.
async fn turn(mock: &MockGateway, mut command: Command) -> io::Result<Option<Run>> {
    mock.messages().clear();
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        child => child?,
    };
    let granted = mock
        .wait_for(|entry| entry.direction == Direction::Sent && entry.is_response(200, "REGISTER"), PATIENCE)
        .await
        .map(|_| start.elapsed());
    tokio::time::sleep(SETTLING).await;
    let peak_kib = peak_kib(&child);
    let registers = mock.received().iter().filter(|entry| entry.is_request("REGISTER")).count();
    child.kill()?;
    child.wait()?;
    Ok(granted.map(|to_200| Run { to_200, registers, peak_kib }))
}

/// Reads the peak of the resident memory. The `rusage` of a child would count this process, which it was forked from.
fn peak_kib(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.unwrap_or_default()
}

fn print(clients: Vec<Client>) {
    println!("{:<36} {:>9} {:>10} {:>10}", format!("start, median of {TURNS} turns"), "to 200", "peak", "REGISTERs");
    for Client { what, mut runs, .. } in clients {
        if runs.len() < TURNS {
            println!("{what:<36} not installed, or not registered within {} s", PATIENCE.as_secs());
            continue;
        }
        runs.sort_by_key(|run| run.to_200);
        let to_200 = runs[TURNS / 2].to_200;
        runs.sort_by_key(|run| run.peak_kib);
        let (peak, registers) = (runs[TURNS / 2].peak_kib, runs[TURNS / 2].registers);
        println!("{what:<36} {:>6.1} ms {:>6.1} MiB {registers:>10}", millis(to_200), peak as f64 / 1024.0);
    }
    println!("{:<36} {:>6.1} ms {:>6.1} MiB {:>10}", "budget of sipwake, live nonce", 4.0, 6.0, 1);
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn sipwake(what: &'static str, registrar: SocketAddr, state: Option<&Path>) -> Client {
    let state = state.map(|folder| folder.join("state"));
    let command = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sipwake"));
        command.env("SIPWAKE_PASSWORD", "secret").args(["register", "--aor", "sip:alice@example.com"]);
        command.args(["--transport", "udp", "--server", &registrar.to_string()]);
        if let Some(state) = &state {
            command.arg("--state-dir").arg(state);
        }
        command
    };
    Client { what, command: Box::new(command), runs: Vec::new() }
}

fn baresip(registrar: SocketAddr, folder: &Path) -> io::Result<Client> {
    let folder = folder.join("baresip");
    fs::create_dir(&folder)?;
    let config =
        "poll_method epoll\nsip_listen 127.0.0.1:0\nmodule_path /usr/lib/baresip/modules\nmodule_app account.so\n";
    fs::write(folder.join("config"), config)?;
    fs::write(
        folder.join("accounts"),
        format!("<sip:alice@{registrar};transport=udp>;auth_pass=secret;regint=3600\n"),
    )?;
    let command = move || {
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&folder);
        command
    };
    Ok(Client { what: "baresip, challenged", command: Box::new(command), runs: Vec::new() })
}

fn sipp(registrar: SocketAddr, folder: &Path) -> io::Result<Client> {
    let scenario = folder.join("register.xml");
    fs::write(&scenario, sipp_scenario())?;
    let folder = folder.to_owned();
    let command = move || {
        let mut command = Command::new("sipp");
        command.current_dir(&folder).arg(registrar.to_string()).arg("-sf").arg(&scenario);
        command.args(["-m", "1", "-i", "127.0.0.1", "-s", "alice", "-au", "alice", "-ap", "secret", "-nostdin"]);
        command
    };
    Ok(Client { what: "SIPp, challenged", command: Box::new(command), runs: Vec::new() })
}

fn sipp_scenario() -> String {
    let register = |sequence: u8, authorization: &str| {
        format!(
            "<send><![CDATA[\n\
             REGISTER sip:[remote_ip]:[remote_port] SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
             Max-Forwards: 70\n\
             From: <sip:[service]@[remote_ip]>;tag=[call_number]\n\
             To: <sip:[service]@[remote_ip]>\n\
             Call-ID: [call_id]\n\
             CSeq: {sequence} REGISTER\n\
             Contact: <sip:[service]@[local_ip]:[local_port]>\n\
             {authorization}Expires: 3600\n\
             Content-Length: 0\n\n]]></send>\n"
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"register\">\n{}<recv response=\"401\" auth=\"true\"/>\n{}\
         <recv response=\"200\"/>\n<pause milliseconds=\"1000\"/>\n</scenario>\n",
        register(1, ""),
        register(2, "[authentication]\n")
    )
}
