//! SIP OPTIONS to a gateway, outside of any dialog (RFC 3261 section 11), on a flow of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sipwake_core::account::{Hop, Transport};
use sipwake_core::event::FlowId;
use sipwake_core::gateway::Load;
use sipwake_core::sip::{Builder, Frame, Framer, Message, Method};
use sipwake_core::trace::redacted;
use tokio::sync::mpsc;
use tokio::time::{Instant as Tick, sleep_until};

use crate::trace::Trace;
use crate::transport::{FlowEvent, FlowHandle, Network, Up};

/// RFC 3261 section 17.1.2.2: the first wait of timer E, and its longest one.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// An id that the core does not use.
const FLOW: FlowId = FlowId(u64::MAX);

/// Asks a gateway. `None` if it cannot be reached, or says that it cannot serve. Without a response it never ends.
pub(super) async fn ask(
    hop: &Hop,
    aor: &str,
    registrar: &str,
    network: Arc<Network>,
    trace: Option<Arc<dyn Trace>>,
) -> Option<(Load, Duration)> {
    let traced = |sent: bool, bytes: &[u8]| {
        if let Some(trace) = &trace {
            trace.message(sent, FLOW.0, &redacted(bytes));
        }
    };
    let (sender, mut happenings) = mpsc::channel(16);
    let flow = FlowHandle::open(FLOW, hop.clone(), None, network, sender);
    let call_id = token();
    let mut transport = hop.transport;
    let mut request = Vec::new();
    let mut framer = Framer::new();
    let (mut asked, mut wait, mut again) = (Instant::now(), T1, None);
    loop {
        tokio::select! {
            happening = happenings.recv() => match happening?.1 {
                FlowEvent::Chosen(chosen) => transport = chosen,
                FlowEvent::Up(Up { local, .. }) => {
                    request = build(transport, local, aor, registrar, &call_id)?;
                    (asked, wait) = (Instant::now(), T1);
                    again = (transport == Transport::Udp).then(|| Tick::now() + wait);
                    traced(true, &request);
                    flow.send(request.clone());
                }
                FlowEvent::Input(bytes) => {
                    traced(false, &bytes);
                    for code in codes(&bytes, transport, &mut framer, &call_id)? {
                        if code >= 200 {
                            return load(code).map(|load| (load, asked.elapsed()));
                        }
                    }
                }
                FlowEvent::Stranger(..) => {}
                FlowEvent::Down(_) => return None,
            },
            () = sleep_until(again.unwrap_or_else(Tick::now)), if again.is_some() => {
                wait = (2 * wait).min(T2);
                again = Some(Tick::now() + wait);
                traced(true, &request);
                flow.send(request.clone());
            }
        }
    }
}

/// Statuses that would send a REGISTER to another gateway mean that this one is down. Any other one shows that it
/// works.
fn load(code: u16) -> Option<Load> {
    (!matches!(code, 408 | 500 | 503 | 504)).then_some(Load::LOW)
}

/// Returns the statuses of the responses to this call. `None` if the stream can no longer be read.
fn codes(bytes: &[u8], transport: Transport, framer: &mut Framer, call_id: &str) -> Option<Vec<u16>> {
    let mut messages = Vec::new();
    if transport == Transport::Udp || transport.is_websocket() {
        messages.push(bytes.to_vec());
    } else {
        framer.push(bytes).ok()?;
        while let Some(frame) = framer.next().ok()? {
            if let Frame::Message(message) = frame {
                messages.push(message);
            }
        }
    }
    let answers = messages.iter().filter_map(|bytes| Message::parse(bytes).ok());
    Some(answers.filter(|message| message.call_id() == Some(call_id)).filter_map(|message| message.code()).collect())
}

fn build(transport: Transport, local: SocketAddr, aor: &str, registrar: &str, call_id: &str) -> Option<Vec<u8>> {
    // RFC 7118 section 5: a browser does not know its address, so no server expects one.
    let sent_by = if transport.is_websocket() { format!("{}.invalid", token()) } else { local.to_string() };
    Builder::request(&Method::Options, registrar)
        .header("Via", &format!("SIP/2.0/{} {sent_by};branch=z9hG4bK{};rport", transport.via(), token()))
        .header("Max-Forwards", "70")
        .header("From", &format!("<{aor}>;tag={}", token()))
        .header("To", &format!("<{registrar}>"))
        .header("Call-ID", call_id)
        .header("CSeq", "1 OPTIONS")
        .finish()
        .ok()
}

fn token() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("every supported platform has a random source");
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}
