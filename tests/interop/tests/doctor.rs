//! `sipwake doctor` with Debian's Kamailio: unchanged, and with the one line that announces push to phones.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const DEBIAN: &str = "/etc/kamailio/kamailio.cfg";
const SAVE: &str = "if (!save(\"location\")) {";
const TELL: &str = "append_to_reply(\"Feature-Caps: *;+sip.pns=\\\"fcm\\\"\\r\\n\");\n";
const PATIENCE: Duration = Duration::from_secs(120);

/// A Kamailio with Debian's configuration, on a port of its own.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(program: &Path, folder: &Path, configuration: &str) -> Self {
        let port = interop::free_port();
        let file = folder.join("kamailio.cfg");
        std::fs::write(&file, configuration).expect("the folder is ours");
        let mut command = Command::new(program);
        command.arg("-f").arg(file).args(["-DD", "-E", "-w"]).arg(folder).arg("-Y").arg(folder);
        for transport in ["udp", "tcp"] {
            command.args(["-l", &format!("{transport}:127.0.0.1:{port}")]);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut server = Self { process: process.expect("kamailio can be started"), port };
        let begun = Instant::now();
        // TCP is opened last.
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.process.try_wait().expect("it is ours");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "kamailio does not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn doctor(&self) -> Output {
        let address = format!("127.0.0.1:{}", self.port);
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--quiet", "--package", "sipwake-cli", "--", "doctor", "--json"]);
        command.args(["--aor", &format!("alice@{address}"), "--server", &address]);
        command.args(["--dialect", "rfc8599", "--package", "my-project"]);
        command.env("SIPWAKE_PASSWORD", "wonderland").output().expect("cargo is here")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A plain kill would leave its children behind.
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

#[test]
fn the_doctor_tells_debians_kamailio_from_one_that_announces_push() {
    let Some(program) = interop::program("kamailio") else { return };
    let configuration = std::fs::read_to_string(DEBIAN).expect("Debian's package brings it");
    assert!(configuration.contains(SAVE), "the line that the guide mentions");
    let told = configuration.replace(SAVE, &format!("{TELL}{SAVE}"));
    for (configuration, expected) in
        [(configuration, &["no-authentication", "push-unsaid"][..]), (told, &["no-authentication"])]
    {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&program, folder.path(), &configuration);
        let output = server.doctor();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut codes: Vec<&str> = report["findings"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|finding| finding["code"].as_str())
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, expected, "{report:#}");
        assert_eq!(output.status.code(), Some(1));
    }
}
