//! What a flow's task and its present connection tell each other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sipwake_core::event::FlowId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{FlowEvent, Happenings, Network};

/// How long an address may take that has sent a provisional response, if there is another one. A proxy sends it before
/// it knows whether its server is there.
const PROCEEDING: Duration = Duration::from_secs(6);
/// How a response begins.
const START: &[u8] = b"SIP/2.0 ";
/// How the head of a response ends. Some servers forget the CRs.
const HEAD_ENDS: [&[u8]; 2] = [b"\n\r\n", b"\n\n"];
/// The longest response that is waited for.
const MAX_RESPONSE: usize = 8192;
/// How the first line of a request ends.
const END: &[u8] = b" SIP/2.0\r\n";

/// What leads from one connection to the driver.
pub(super) struct Line {
    /// The flow's own id, until the flow moves on.
    name: AtomicU64,
    remote: SocketAddr,
    /// Messages come in pieces.
    is_stream: bool,
    network: Arc<Network>,
    happenings: Happenings,
    heard: AtomicBool,
    asked: Mutex<Option<Asked>>,
    /// Whether datagrams from other peers are wanted.
    pub(super) peers: watch::Receiver<bool>,
}

/// A request that has had no final response.
struct Asked {
    since: Instant,
    /// It has had a provisional one.
    proceeding: bool,
    /// The end of the last piece of a stream, where a response may have begun, or the response as far as it has come.
    tail: Vec<u8>,
}

impl Line {
    pub(super) fn new(
        flow: FlowId,
        (remote, is_stream): (SocketAddr, bool),
        network: Arc<Network>,
        happenings: Happenings,
        peers: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let (name, heard, asked) = (AtomicU64::new(flow.0), AtomicBool::new(false), Mutex::default());
        Arc::new(Self { name, remote, is_stream, network, happenings, heard, asked, peers })
    }

    /// Tells the driver what came in. Returns `None` if there is no driver any more.
    pub(super) async fn input(&self, bytes: Vec<u8>) -> Option<()> {
        self.note_response(&bytes);
        self.tell(FlowEvent::Input(bytes)).await
    }

    /// Only SIP shows that a server serves: not a keep-alive, another protocol's error or an echo of the request.
    fn note_response(&self, bytes: &[u8]) {
        let mut waiting = self.asked();
        let Some(asked) = waiting.as_mut() else {
            return self.heard.store(true, Ordering::Relaxed);
        };
        let seen = [&asked.tail, bytes].concat();
        // A server may stop in the middle of its response.
        let begun = unfinished(&seen).filter(|begun| self.is_stream && begun.len() < MAX_RESPONSE).unwrap_or_default();
        let whole = &seen[..seen.len() - begun.len()];
        let mut statuses = whole.windows(START.len() + 1).filter(|part| part.starts_with(START)).peekable();
        let is_provisional = statuses.peek().is_some();
        // A call may come before the response.
        let asks = !bytes.starts_with(b"REGISTER ") && whole.windows(END.len()).any(|part| part == END);
        if asks || statuses.any(|part| !part.ends_with(b"1")) {
            self.heard.store(true, Ordering::Relaxed);
            if let Some(asked) = waiting.take() {
                self.network.addresses.answered(self.remote, asked.since.elapsed());
            }
            return;
        }
        if is_provisional {
            self.heard.store(true, Ordering::Relaxed);
            asked.proceeding = true;
        }
        let end = &seen[seen.len().saturating_sub(END.len() - 1)..];
        asked.tail = if begun.is_empty() { end } else { begun }.to_vec();
    }

    pub(super) async fn tell(&self, happening: FlowEvent) -> Option<()> {
        self.happenings.send((FlowId(self.name.load(Ordering::Relaxed)), happening)).await.ok()
    }

    /// Notes a message that is sent. Only requests to the server itself show whether it is alive, because it must
    /// respond to them. A BYE may wait for a caller who no longer responds.
    pub(super) fn sent(&self, bytes: &[u8]) {
        if bytes.starts_with(b"REGISTER ") || bytes.starts_with(b"OPTIONS ") {
            let since = Instant::now();
            self.asked().get_or_insert(Asked { since, proceeding: false, tail: Vec::new() });
        }
    }

    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// When the address has had enough time to respond, which is `patience` for most.
    pub(super) fn silent_at(&self, patience: Duration) -> Option<Instant> {
        let asked = self.asked();
        let asked = asked.as_ref()?;
        let patience = if asked.proceeding { patience.max(PROCEEDING) } else { patience };
        Some(asked.since + self.network.addresses.patience(self.remote, patience))
    }

    /// The flow ends here. If it still waits for a response, another address comes first the next time.
    pub(super) fn end(&self) {
        if self.asked().is_some() {
            self.network.addresses.failed(self.remote);
        }
    }

    /// The flow has moved to another address. What still comes here comes under another id.
    pub(super) fn rename(&self, flow: FlowId) {
        self.name.store(flow.0, Ordering::Relaxed);
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Option<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The response that has begun and is not whole, if there is one.
fn unfinished(mut seen: &[u8]) -> Option<&[u8]> {
    while let Some(at) = find(seen, START) {
        seen = &seen[at..];
        let Some(length) = length(seen).filter(|length| *length <= seen.len()) else { return Some(seen) };
        seen = &seen[length..];
    }
    None
}

/// How long a response is with its body. `None` if its head is not whole.
fn length(response: &[u8]) -> Option<usize> {
    let ends = HEAD_ENDS.iter().filter_map(|end| Some(find(response, end)? + end.len()));
    let head = ends.min()?;
    let of_body = |line: &[u8]| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        let name = name.trim_end();
        let says = name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l");
        value.trim().parse::<usize>().ok().filter(|_| says)
    };
    let body = response[..head].split(|byte| *byte == b'\n').find_map(of_body);
    Some(head.saturating_add(body.unwrap_or_default()))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the line takes the address for one that responded to a REGISTER, after these pieces.
    fn answered(pieces: &[&[u8]]) -> bool {
        let network = Arc::new(crate::options::Options::default().network());
        let (happenings, _driver) = tokio::sync::mpsc::channel(4);
        let (_wanted, peers) = watch::channel(false);
        let remote = "192.0.2.1:5060".parse().expect("an address");
        let line = Line::new(FlowId(1), (remote, true), network, happenings, peers);
        line.sent(b"REGISTER sip:x SIP/2.0\r\n\r\n");
        pieces.iter().for_each(|piece| line.note_response(piece));
        line.silent_at(Duration::from_secs(2)).is_none()
    }

    #[tokio::test]
    async fn a_response_or_a_request_counts_wherever_it_is_cut() {
        const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP a\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n";
        let trying = "SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n";
        let notify =
            "NOTIFY sip:a@b SIP/2.0\r\nContent-Type: message/sipfrag\r\nContent-Length: 16\r\n\r\nSIP/2.0 200 OK\r\n";
        let message = "MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 16\r\n\r\nI speak SIP/2.0 ";
        for text in [
            OK.to_owned(),
            OK.replace("\r\n", "\n"),
            "SIP/2.0 200 OK\r\nContent-Length: 0\n\r\n".to_owned(),
            "INVITE sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n".to_owned(),
            [OK, notify].concat(),
            [notify, OK].concat(),
            [OK, message].concat(),
            [trying, OK].concat(),
            ["\r\n\r\n", OK, "\r\n"].concat(),
            [OK, "SIP/2.0 200 OK\r\nVia: x"].concat(),
        ] {
            let bytes = text.as_bytes();
            assert!(answered(&[bytes]) && answered(&bytes.chunks(1).collect::<Vec<_>>()), "{text}");
            for at in 1..bytes.len() {
                assert!(answered(&[&bytes[..at], &bytes[at..]]), "{text} cut at {at}");
            }
        }
        for stalled in ["", "\r\n", trying, "SIP/2.0 200 OK\r\nl: 9\r\n\r\nhalf", "INVITE sip:a@b SIP/2.0"] {
            assert!(!answered(&[stalled.as_bytes()]), "{stalled}");
        }
    }

    #[test]
    fn a_response_is_whole_with_its_body_only() {
        let whole =
            ["SIP/2.0 200 OK\r\n\r\n", "SIP/2.0 200 OK\nContent-Length: 3\n\nabc", "SIP/2.0 200 OK\r\nl:0\r\n\r\n\r\n"];
        for text in whole {
            assert_eq!(unfinished(text.as_bytes()), None, "{text:?}");
        }
        let named = "SIP/2.0 200 OK\r\nContent-Length: 24\r\n\r\nSIP/2.0 486 Busy\r\nWarni: 1";
        assert_eq!(unfinished(named.as_bytes()), None, "a response inside a body is no response");
        for rest in ["SIP/2.0 ", "SIP/2.0 503 x\r\n", "SIP/2.0 200 OK\r\nCONTENT-LENGTH : 9\r\n\r\nhalf"] {
            for before in ["", "\r\n\r\n", "SIP/2.0 100 Trying\r\nl: 2\r\n\r\nab"] {
                let seen = [before, rest].concat();
                assert_eq!(unfinished(seen.as_bytes()), Some(rest.as_bytes()), "{seen:?}");
            }
        }
        let vast = format!("SIP/2.0 200 OK\r\nl: {}\r\n\r\n", usize::MAX);
        assert_eq!(unfinished(vast.as_bytes()), Some(vast.as_bytes()));
    }
}
