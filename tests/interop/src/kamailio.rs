//! A Kamailio for one test: it starts on free ports, responds over its RPC, and stops with its children.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The password of every user.
pub const PASSWORD: &str = "wonder/land+1";

/// The domain of every user.
pub const DOMAIN: &str = "example.com";

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The digest algorithm of the server's challenges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Without an `algorithm` parameter.
    Md5,
    /// RFC 8760.
    Sha256,
}

/// A running server.
pub struct Kamailio {
    /// For UDP, TCP and ws.
    pub port: u16,
    /// For TLS and wss.
    pub tls_port: u16,
    /// The authority that issued the server's certificate, in PEM.
    pub authority: String,
    folder: TempDir,
    process: Child,
}

impl Kamailio {
    /// Starts a server; `None` if Kamailio is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(algorithm: Algorithm) -> Option<Self> {
        Self::start_on(algorithm, true).await
    }

    /// Starts a server without Record-Route, like one that forks late: the requests after the INVITE go
    /// straight from the caller to the Contact that answered (RFC 3261 section 12.2.1.1).
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_off_the_route() -> Option<Self> {
        Self::start_on(Algorithm::Md5, false).await
    }

    async fn start_on(algorithm: Algorithm, on_the_route: bool) -> Option<Self> {
        let program = crate::program("kamailio")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, tls_port) = (free_port(), free_port());
        let authority = write_certificates(folder.path());
        let values = [
            ("@PORT@", port.to_string()),
            ("@TLS_PORT@", tls_port.to_string()),
            ("@FOLDER@", folder.path().display().to_string()),
            ("@PASSWORD@", PASSWORD.to_owned()),
            (
                "@RECORD_ROUTE@",
                if on_the_route { "record_route();" } else { "xlog(\"L_DBG\", \"off the route\");" }.to_owned(),
            ),
            ("@ALGORITHM@", if algorithm == Algorithm::Sha256 { "SHA-256".into() } else { String::new() }),
        ];
        for (name, template) in [
            ("kamailio.cfg", include_str!("../kamailio/kamailio.cfg")),
            ("tls.cfg", include_str!("../kamailio/tls.cfg")),
        ] {
            let text = values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
            std::fs::write(folder.path().join(name), text).expect("the folder is ours");
        }
        let process = launch(&program, folder.path());
        let mut server = Self { port, tls_port, authority, folder, process };
        server.wait_until_up().await;
        Some(server)
    }

    /// Starts the server that docs/servers/kamailio.md shows, on other ports. It only knows alice, and asks `gateway` for pushes.
    /// `None` if Kamailio is not installed. It has no TLS.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_as_in_the_guide(gateway: u16) -> Option<Self> {
        let program = crate::program("kamailio")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, tls_port) = (free_port(), free_port());
        let text = include_str!("../kamailio/push.cfg")
            .replace(":5060", &format!(":{port}"))
            .replace(":8099", &format!(":{gateway}"))
            .replace("\"wonderland\"", &format!("\"{PASSWORD}\""));
        std::fs::write(folder.path().join("kamailio.cfg"), text).expect("the folder is ours");
        let process = launch(&program, folder.path());
        let authority = write_certificates(folder.path());
        let mut server = Self { port, tls_port, authority, folder, process };
        server.wait_until_up().await;
        Some(server)
    }

    /// Stops the server, and starts it again on the same ports. It has forgotten all bindings and nonces.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.terminate();
        let _ = timeout(Duration::from_secs(10), self.process.wait()).await;
        let program = crate::program("kamailio").expect("it ran before");
        self.process = launch(&program, self.folder.path());
        self.wait_until_up().await;
    }

    /// Whether the server has ended by itself. One whose child has crashed takes a moment.
    pub async fn has_crashed(&mut self) -> bool {
        timeout(Duration::from_secs(10), self.process.wait()).await.is_ok()
    }

    /// Returns the Contact URIs of a user in the form in which the server stores them.
    ///
    /// # Panics
    /// When the server does not respond over its RPC.
    pub async fn contacts(&self, user: &str) -> Vec<String> {
        let answer = self.rpc("ul.lookup", json!(["location", user])).await.expect("the server responds over its RPC");
        let contacts = answer["result"]["Contacts"].as_array().cloned().unwrap_or_default();
        contacts.iter().filter_map(|entry| entry["Contact"]["Address"].as_str().map(str::to_owned)).collect()
    }

    /// Drops all bindings of a user, as if they had expired.
    ///
    /// # Panics
    /// When the server does not respond over its RPC.
    pub async fn forget(&self, user: &str) {
        self.rpc("ul.rm", json!(["location", user])).await.expect("the server responds over its RPC");
        assert!(self.contacts(user).await.is_empty(), "the server has forgotten the user");
    }

    /// Waits until a call to a user has come, even if the user is not there.
    ///
    /// # Panics
    /// When none comes.
    pub async fn holds_a_call_to(&self, user: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.rpc("ts.lookup", json!([user])).await.expect("the server responds over its RPC");
            if answer.get("result").is_some() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no INVITE came: {answer}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all transactions have ended.
    ///
    /// # Panics
    /// When one stays.
    pub async fn rests(&self) {
        let begun = Instant::now();
        while self.transactions().await > 0 {
            assert!(begun.elapsed() < PATIENCE, "the server keeps a transaction");
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn transactions(&self) -> u64 {
        let answer = self.rpc("tm.stats", json!([])).await.expect("the server responds over its RPC");
        answer["result"]["current"].as_u64().expect("a count")
    }

    /// Returns the end of the server's log.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }

    async fn rpc(&self, method: &str, params: Value) -> Option<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = format!(
            "POST /RPC HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let exchange = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            loop {
                let mut piece = [0; 4096];
                let length = stream.read(&mut piece).await.ok()?;
                answer.extend_from_slice(&piece[..length]);
                let text = String::from_utf8_lossy(&answer);
                let whole = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                if whole.is_some() || length == 0 {
                    return whole;
                }
            }
        };
        timeout(PATIENCE, exchange).await.ok().flatten()
    }

    async fn wait_until_up(&mut self) {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("kamailio ended with {status}:\n{}", self.log());
            }
            if self.rpc("core.version", json!([])).await.is_some() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("kamailio did not start:\n{}", self.log());
    }

    /// A plain kill would leave its children behind.
    fn terminate(&self) {
        let pid = self.process.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.terminate();
        let begin = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn launch(program: &Path, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("the folder is ours");
    Command::new(program)
        .arg("-f")
        .arg(folder.join("kamailio.cfg"))
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-w"])
        .arg(folder)
        .arg("-Y")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("kamailio can be started")
}

/// Returns a port that is free for both UDP and TCP. The system assigns ports from 32,768 on, and could assign this one to another test
/// before the program that it is for has opened it. No other process that runs these tests gets it either: it cannot open the port
/// on 127.0.0.2, which this one keeps.
///
/// # Panics
/// When none is free.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static KEPT: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());
    let start = u16::try_from(std::process::id() % 10_000).unwrap_or_default();
    let ports = (0..10_000).map(|_| 10_000 + (start + NEXT.fetch_add(7, Ordering::Relaxed) % 10_000) % 10_000);
    let at = |port: &u16| (Ipv4Addr::LOCALHOST, *port);
    let free = |port: &u16| {
        let Ok(kept) = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), *port)) else { return false };
        KEPT.lock().expect("nobody panics with it").push(kept);
        UdpSocket::bind(at(port)).is_ok() && TcpListener::bind(at(port)).is_ok()
    };
    ports.into_iter().find(free).expect("a free port")
}

/// Writes the server's certificate, for `localhost`, and returns its authority's.
fn write_certificates(folder: &Path) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = CertificateParams::new(names).expect("two names");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    std::fs::write(folder.join("server.pem"), certificate.pem()).expect("the folder is ours");
    std::fs::write(folder.join("server.key"), key.serialize_pem()).expect("the folder is ours");
    authority.pem()
}
