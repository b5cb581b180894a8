//! SIPp as the caller.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A caller that runs one of the scenarios in `sipp/`.
pub struct Sipp {
    process: Child,
    folder: TempDir,
}

impl Sipp {
    /// Starts a scenario towards a user of the server on `port`; `None` if SIPp is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn call(scenario: &str, user: &str, port: u16) -> Option<Self> {
        Self::calls(scenario, user, port, 1)
    }

    /// Runs a scenario this many times, one after the other.
    ///
    /// # Panics
    /// When it does not start.
    pub fn calls(scenario: &str, user: &str, port: u16, count: usize) -> Option<Self> {
        Self::start(scenario, user, port, count, None)
    }

    /// Runs a scenario once, with this Call-ID.
    ///
    /// # Panics
    /// When it does not start.
    pub fn call_with_id(scenario: &str, user: &str, port: u16, call_id: &str) -> Option<Self> {
        Self::start(scenario, user, port, 1, Some(call_id))
    }

    fn start(scenario: &str, user: &str, port: u16, count: usize, call_id: Option<&str>) -> Option<Self> {
        let program = crate::program("sipp")?;
        let scenario = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp").join(scenario);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let errors = std::fs::File::create(folder.path().join("errors")).expect("the folder is ours");
        let id = call_id.map(|id| ["-cid_str", id]);
        let process = Command::new(program)
            .arg(format!("127.0.0.1:{port}"))
            .arg("-sf")
            .arg(scenario)
            .args(["-s", user, "-i", "127.0.0.1", "-l", "1", "-r", "100", "-nostdin", "-trace_err"])
            .args(["-m", &count.to_string(), "-timeout", &(120 + count).to_string(), "-error_file"])
            .arg(folder.path().join("trace"))
            .args(id.iter().flatten())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .expect("sipp can be started");
        Some(Self { process, folder })
    }

    /// Waits until the scenario has ended.
    ///
    /// # Panics
    /// When the other side did not answer as the scenario expects.
    pub async fn succeed(mut self) {
        let status = self.process.wait().await.expect("it was started");
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        assert!(status.success(), "sipp: {status}\n{}\n{}", read("errors"), read("trace"));
    }
}
