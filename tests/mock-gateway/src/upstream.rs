//! The mock's own registration at the upper SIP server, with X-PIID instead of the password.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::binding::Upstream;
use crate::build::Builder;
use crate::digest::{Algorithm, Answer, Input};
use crate::gateway::{Gateway, Timer};
use crate::parse::{Message, NameAddr};
use crate::profile::Profile;
use crate::transport::Arrival;

const EXPIRES: u32 = 3600;

impl Gateway {
    /// Registers upstream after a client's REGISTER that carried X-PIID, or unregisters after a full unbind.
    pub(crate) fn upstream_for(&mut self, name: &str, profile: &Profile, message: &Message, expires: &[u32]) {
        if !profile.registers_upstream {
            return;
        }
        let unbound = self.users.get(name).is_some_and(|u| u.bindings.is_empty());
        if unbound && !expires.is_empty() {
            return self.register_upstream(name, 0);
        }
        let Some(piid) = message.header("X-PIID") else { return };
        if piid.len() != 32 || !piid.bytes().all(|b| b.is_ascii_hexdigit()) {
            self.record.violation("bad-x-piid", format!("{} characters", piid.len()));
            return;
        }
        let of = |header: &str| message.header(header).map(str::to_owned);
        let Some(user) = self.users.get_mut(name) else { return };
        let completed = user.upstream.as_ref().map_or(0, |u| u.completed);
        user.upstream = Some(Upstream {
            piid: piid.into(),
            server: of("X-Sy.Uppersrv"),
            domain: of("X-Sy.Uppersrvd"),
            proxy: of("X-Sy.Upperproxy"),
            status: None,
            completed,
            expires: 0,
        });
        self.register_upstream(name, EXPIRES);
    }

    fn register_upstream(&mut self, name: &str, expires: u32) {
        let Some(upstream) = self.users.get_mut(name).and_then(|u| u.upstream.as_mut()) else { return };
        let Some(server) = self.upper else { return };
        upstream.status = None;
        let job = Job {
            server,
            // The domain from the client decides the address of record. The packets stay in this process.
            domain: upstream.domain.clone().or(upstream.server.clone()).unwrap_or_else(|| server.to_string()),
            user: name.to_owned(),
            ha1: upstream.piid.clone(),
            contact: self.own_uri(name, crate::transport::Transport::Udp),
            call_id: format!("upper-{name}-{:x}@mock", self.salt),
            first_cseq: u32::try_from(self.serial() & 0x3fff_ffff).unwrap_or(1),
            expires,
        };
        let jobs = self.upstream.entry(name.to_owned()).or_insert_with(|| {
            let (jobs, mut waiting) = mpsc::unbounded_channel::<Job>();
            let arrivals = self.arrivals.clone();
            // A task that was aborted because the mock ended never reports.
            self.tasks.spawn(async move {
                while let Some(job) = waiting.recv().await {
                    let (status, expires) = job.run().await.unwrap_or((408, 0));
                    let _ = arrivals.send(Arrival::Upstream { user: job.user, status, expires }).await;
                }
            });
            jobs
        });
        let _ = jobs.send(job);
    }

    pub(crate) fn upstream_done(&mut self, name: &str, status: u16, expires: u32) {
        let Some(user) = self.users.get_mut(name) else { return };
        let Some(upstream) = user.upstream.as_mut() else { return };
        upstream.status = Some(status);
        upstream.expires = expires;
        if status == 200 {
            upstream.completed += 1;
            let completed = upstream.completed;
            if expires > 0 {
                let after = Duration::from_secs(u64::from(expires / 2));
                self.timer(after, Timer::RefreshUpstream { user: name.to_owned(), completed });
            }
        } else {
            // A refused upper registration also removes the push binding, as the vendor documents.
            for binding in &mut user.bindings {
                binding.push = None;
            }
            user.bindings.retain(|b| b.registered);
        }
        self.bump();
    }

    pub(crate) fn refresh_upstream(&mut self, name: &str, completed: u32) {
        let current = self.users.get(name).and_then(|u| u.upstream.as_ref());
        if current.is_some_and(|u| u.completed == completed && u.expires > 0) {
            self.register_upstream(name, EXPIRES);
        }
    }

    /// Registers upstream at once, as it would after half the lifetime.
    pub(crate) fn refresh_upstream_now(&mut self, name: &str) {
        self.register_upstream(name, EXPIRES);
    }
}

/// A registration at the upper server, or its end.
pub(crate) struct Job {
    server: SocketAddr,
    domain: String,
    user: String,
    ha1: String,
    contact: String,
    call_id: String,
    first_cseq: u32,
    expires: u32,
}

impl Job {
    async fn run(&self) -> Option<(u16, u32)> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?;
        socket.connect(self.server).await.ok()?;
        let first = self.ask(&socket, self.first_cseq, None).await?;
        let reply = if first.status() == Some(401) {
            let authorization = self.authorization(first.header("WWW-Authenticate")?)?;
            self.ask(&socket, self.first_cseq + 1, Some(authorization)).await?
        } else {
            first
        };
        let ours = reply.list("Contact").into_iter().map(|c| NameAddr::parse(&c)).find(|c| c.uri == self.contact);
        let expires = ours.and_then(|c| c.param("expires")?.parse().ok()).unwrap_or(0);
        Some((reply.status()?, expires))
    }

    async fn ask(&self, socket: &UdpSocket, cseq: u32, authorization: Option<String>) -> Option<Message> {
        let aor = format!("sip:{}@{}", self.user, self.domain);
        let mut request = Builder::request("REGISTER", &format!("sip:{}", self.domain))
            .header("Via", &format!("SIP/2.0/UDP {};branch=z9hG4bKup{cseq};rport", socket.local_addr().ok()?))
            .header("Max-Forwards", "70")
            .header("From", &format!("<{aor}>;tag=upper"))
            .header("To", &format!("<{aor}>"))
            .header("Call-ID", &self.call_id)
            .header("CSeq", &format!("{cseq} REGISTER"))
            .header("Contact", &format!("<{}>", self.contact))
            .header("Expires", &self.expires.to_string());
        if let Some(value) = authorization {
            request = request.header("Authorization", &value);
        }
        let text = request.finish();
        let mut buffer = vec![0; 4096];
        for wait in [500, 1000, 2000, 4000] {
            socket.send(text.as_bytes()).await.ok()?;
            let answer = timeout(Duration::from_millis(wait), socket.recv(&mut buffer)).await;
            if let Ok(Ok(length)) = answer
                && let Ok(message) = Message::parse(&buffer[..length])
                && message.cseq().is_some_and(|(n, _)| n == cseq)
            {
                return Some(message);
            }
        }
        None
    }

    fn authorization(&self, challenge: &str) -> Option<String> {
        let challenge = Answer::parse(challenge)?;
        let (realm, nonce) = (challenge.get("realm")?, challenge.get("nonce")?);
        let uri = format!("sip:{}", self.domain);
        let qop = challenge.get("qop").map(|_| "auth");
        let input = Input {
            algorithm: Algorithm::Md5,
            ha1: &self.ha1.to_ascii_lowercase(),
            nonce,
            cnonce: "mockupper",
            nc: "00000001",
            qop,
            method: "REGISTER",
            uri: &uri,
            body: b"",
        };
        let response = input.response();
        let tail = if qop.is_some() { ", qop=auth, nc=00000001, cnonce=\"mockupper\"" } else { "" };
        Some(format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", algorithm=MD5{tail}",
            self.user
        ))
    }
}
