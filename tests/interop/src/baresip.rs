//! baresip as the caller. It is a user agent with its own dialog layer, while SIPp only follows a script.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A caller that dials when it starts, and gives up or hangs up after some seconds.
pub struct Baresip {
    process: Child,
    folder: TempDir,
}

impl Baresip {
    /// Dials a user of the server on `port`, and ends after `seconds`; `None` if baresip is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn call(user: &str, port: u16, seconds: u32) -> Option<Self> {
        let program = crate::program("baresip")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let modules = ["g711", "aubridge"].map(|name| format!("module {name}.so\n")).concat();
        let config = format!(
            "sip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\nmodule_path /usr/lib/baresip/modules\n\
             audio_source aubridge,nil\naudio_player aubridge,nil\n{modules}module_app account.so\nmodule_app menu.so\n"
        );
        let account = format!("<sip:bob@example.com>;regint=0;outbound=\"sip:127.0.0.1:{port};transport=udp\"\n");
        for (name, text) in [("config", config), ("accounts", account)] {
            std::fs::write(folder.path().join(name), text).expect("the folder is ours");
        }
        let log = std::fs::File::create(folder.path().join("log")).expect("the folder is ours");
        let process = Command::new(program)
            .arg("-f")
            .arg(folder.path())
            .args(["-4", "-t", &seconds.to_string(), "-e", &format!("/dial sip:{user}@example.com")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one more handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("baresip can be started");
        Some(Self { process, folder })
    }

    /// Waits until it has ended, and returns its output.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn leave(mut self) -> String {
        let left = tokio::time::timeout(Duration::from_secs(120), self.process.wait()).await;
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        assert!(left.is_ok(), "baresip stays:\n{log}");
        log
    }
}
