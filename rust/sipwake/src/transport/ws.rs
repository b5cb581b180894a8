//! SIP over WebSocket (RFC 7118): each message is one of WebSocket's.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sipwake_core::account::Hop;
use sipwake_core::event::{FlowError, FlowId};
use sipwake_core::sip::MAX_MESSAGE;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Happening, Happenings, Outgoing, broken};

/// How long the connection may be silent before we ping: proxies close what is idle for a minute.
const PING: Duration = Duration::from_secs(25);
/// How long after a ping the server may be silent (RFC 5626 section 4.4.1 has the same for its pong).
const PONG: Duration = Duration::from_secs(10);

/// Agrees with the server to speak SIP, then carries messages both ways.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    id: FlowId,
    stream: S,
    hop: &Hop,
    (local, by): (SocketAddr, Instant),
    mut queue: mpsc::Receiver<Outgoing>,
    happenings: &Happenings,
) -> Result<(), FlowError> {
    let mut socket = open(stream, hop, by).await?;
    if happenings.send((id, Happening::Up(local))).await.is_err() {
        return Ok(());
    }
    let mut pinged = false;
    let mut deadline = Instant::now() + PING;
    loop {
        tokio::select! {
            received = socket.next() => {
                pinged = false;
                deadline = Instant::now() + PING;
                let bytes: Vec<u8> = match received {
                    Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                    Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                    // A ping is answered by the socket itself, with what is sent or flushed next.
                    Some(Ok(Message::Ping(_))) => {
                        socket.flush().await.map_err(|error| flow_error(&error))?;
                        continue;
                    }
                    Some(Ok(Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_))) | None => return Err(FlowError::Closed),
                    Some(Err(error)) => return Err(flow_error(&error)),
                };
                if happenings.send((id, Happening::Input(bytes))).await.is_err() {
                    return Ok(());
                }
            }
            bytes = queue.recv() => {
                let Some(Outgoing { bytes, .. }) = bytes else {
                    let _ = socket.close(None).await;
                    return Ok(());
                };
                // RFC 7118 section 4.2 allows both kinds; servers in the field expect text.
                let message = match String::from_utf8(bytes) {
                    Ok(text) => Message::text(text),
                    Err(error) => Message::binary(error.into_bytes()),
                };
                socket.send(message).await.map_err(|error| flow_error(&error))?;
            }
            () = sleep_until(deadline) => {
                if pinged {
                    return Err(FlowError::Unreachable("no answer to a ping".into()));
                }
                pinged = true;
                deadline = Instant::now() + PONG;
                socket.send(Message::Ping(Bytes::new())).await.map_err(|error| flow_error(&error))?;
            }
        }
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    hop: &Hop,
    by: Instant,
) -> Result<WebSocketStream<S>, FlowError> {
    let authority = match hop.port {
        Some(port) => format!("{}:{port}", hop.host),
        None => hop.host.to_string(),
    };
    let address = format!("{}://{authority}{}", hop.transport.param(), hop.path.as_deref().unwrap_or("/"));
    let mut request = address.into_client_request().map_err(|error| flow_error(&error))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE);
    match timeout_at(by, client_async_with_config(request, stream, Some(config))).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(flow_error(&error)),
        Err(_) => Err(FlowError::WebSocket("no answer to the handshake".into())),
    }
}

fn flow_error(error: &Error) -> FlowError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => FlowError::Closed,
        Error::Io(error) => broken(error),
        Error::Http(response) => FlowError::WebSocket(format!("the server answered {}", response.status())),
        Error::Capacity(_) | Error::Utf8(_) => FlowError::Garbage,
        other => FlowError::WebSocket(other.to_string()),
    }
}
