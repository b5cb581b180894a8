//! liblinphone as the caller: Linphone's console client, which gets its commands line by line.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use crate::kamailio::free_port;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A caller that starts a call and follows commands during it.
pub struct Linphone {
    process: Child,
    orders: ChildStdin,
    folder: TempDir,
}

impl Linphone {
    /// Calls a user of the server on `port`; `None` if Linphone's console client is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn call(user: &str, port: u16) -> Option<Self> {
        let mut caller = Self::start(port).await?;
        caller.order(&format!("call sip:{user}@example.com")).await;
        Some(caller)
    }

    /// Starts it without a call. It sends everything through the server on `port`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(port: u16) -> Option<Self> {
        let program = crate::program("linphonec")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        // It creates its database in this folder, and without one it opens no socket. It would print a port of -1, any port, as it
        // is.
        std::fs::create_dir_all(folder.path().join(".local/share/linphone")).expect("the folder is ours");
        let (own, media) = (free_port(), free_port());
        let config = format!(
            "[sip]\nsip_port={own}\nsip_tcp_port=-1\nsip_tls_port=-1\nuse_ipv6=0\nguess_hostname=0\ncontact=\"Bob Müller\" <sip:bob@127.0.0.1>\n\
             default_proxy=0\n[proxy_0]\nreg_proxy=<sip:127.0.0.1:{port}>\nreg_route=<sip:127.0.0.1:{port};lr>\n\
             reg_identity=\"Bob Müller\" <sip:bob@example.com>\nreg_sendregister=0\npublish=0\n[rtp]\naudio_rtp_port={media}\n\
             [video]\nenabled=0\n"
        );
        std::fs::write(folder.path().join("linphonerc"), config).expect("the folder is ours");
        let log = std::fs::File::create(folder.path().join("log")).expect("the folder is ours");
        let mut process = Command::new(program)
            .arg("-c")
            .arg(folder.path().join("linphonerc"))
            .args(["-d", "6", "-l"])
            .arg(folder.path().join("trace"))
            .env("HOME", folder.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("one more handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("linphonec can be started");
        let orders = process.stdin.take().expect("it is piped");
        let caller = Self { process, orders, folder };
        caller.has_said("linphonec>").await;
        Some(caller)
    }

    /// Sends it one of its commands, such as `terminate`, `pause` or `resume`.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn order(&mut self, line: &str) {
        self.orders.write_all(format!("{line}\n").as_bytes()).await.expect("it reads its commands");
        self.orders.flush().await.expect("it reads its commands");
    }

    /// Waits until it has written a text.
    ///
    /// # Panics
    /// When that text does not come.
    pub async fn has_said(&self, text: &str) {
        let said = async {
            while !self.said().contains(text) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(timeout(PATIENCE, said).await.is_ok(), "no {text:?}:\n{}", self.said());
    }

    /// Ends what it is doing, waits until it has ended, and returns its output.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn leave(mut self) -> String {
        self.order("quit").await;
        let left = timeout(PATIENCE, self.process.wait()).await;
        assert!(left.is_ok(), "linphonec stays:\n{}", self.said());
        self.said()
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }
}
