//! SIP over WebSocket (RFC 7118). Each SIP message is one WebSocket message.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sipwake_core::account::Hop;
use sipwake_core::event::FlowError;
use sipwake_core::sip::MAX_MESSAGE;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::line::Line;
use super::{Outgoing, Stream, broken};

/// How long the connection may be silent before we ping. Proxies close a connection that is idle for a minute.
const PING: Duration = Duration::from_secs(25);
/// How long the server may be silent after a ping. RFC 5626 section 4.4.1 has the same time for its pong.
const PONG: Duration = Duration::from_secs(10);

/// Carries messages in both directions until one side ends.
pub(super) async fn carry(
    mut socket: WebSocketStream<Stream>,
    mut queue: mpsc::Receiver<Outgoing>,
    line: Arc<Line>,
) -> Result<(), FlowError> {
    let mut pinged = false;
    let mut deadline = Instant::now() + PING;
    loop {
        tokio::select! {
            received = socket.next() => {
                pinged = false;
                deadline = Instant::now() + PING;
                let bytes = match received.transpose().map_err(|error| flow_error(&error))? {
                    Some(Message::Text(text)) => text.as_bytes().to_vec(),
                    Some(Message::Binary(bytes)) => bytes.to_vec(),
                    // The socket has queued its pong. Without a flush, it would wait for our next message.
                    Some(Message::Ping(_)) => {
                        socket.flush().await.map_err(|error| flow_error(&error))?;
                        continue;
                    }
                    Some(Message::Pong(_) | Message::Frame(_)) => continue,
                    Some(Message::Close(_)) => {
                        let _ = socket.flush().await;
                        return Err(FlowError::Closed);
                    }
                    None => return Err(FlowError::Closed),
                };
                if line.input(bytes).await.is_none() {
                    return Ok(());
                }
            }
            bytes = queue.recv() => {
                let Some(Outgoing { bytes, .. }) = bytes else {
                    let _ = socket.close(None).await;
                    return Ok(());
                };
                // RFC 7118 section 4.2 allows both kinds. Real servers expect text.
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

/// Does the handshake, in which both sides agree to speak SIP.
pub(super) async fn handshake(stream: Stream, hop: &Hop, by: Instant) -> Result<WebSocketStream<Stream>, FlowError> {
    match timeout_at(by, open(stream, hop)).await {
        Ok(opened) => opened.map_err(|error| flow_error(&error)),
        Err(_) => Err(FlowError::WebSocket("no answer to the handshake".into())),
    }
}

async fn open(stream: Stream, hop: &Hop) -> Result<WebSocketStream<Stream>, Error> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE);
    let (socket, _) = client_async_with_config(request(hop)?, stream, Some(config)).await?;
    Ok(socket)
}

/// Asks for the sub-protocol of RFC 7118. `Origin` is meant for browsers, but OpenSIPS refuses a handshake without it.
/// A server that checks it expects its own web page.
fn request(hop: &Hop) -> Result<Request, Error> {
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    let authority = format!("{}{port}", hop.host);
    let path = hop.path.as_deref().unwrap_or("/");
    let mut request = format!("{}://{authority}{path}", hop.transport.param()).into_client_request()?;
    let page = if hop.transport.is_secure() { "https" } else { "http" };
    let origin =
        HeaderValue::from_str(&format!("{page}://{authority}")).map_err(|error| Error::HttpFormat(error.into()))?;
    request.headers_mut().insert("Origin", origin);
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
    Ok(request)
}

fn flow_error(error: &Error) -> FlowError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => FlowError::Closed,
        Error::Io(error) => broken(error),
        Error::Http(response) => FlowError::WebSocket(format!("the server responded {}", response.status())),
        Error::Capacity(_) | Error::Utf8(_) => FlowError::Garbage,
        other => FlowError::WebSocket(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use sipwake_core::account::{Account, AccountConfig};

    use super::*;

    fn headers(server: &str) -> [String; 3] {
        let mut config = AccountConfig::new("alice@example.com", "secret");
        config.gateways = vec![server.into()];
        let request = request(&Account::parse(config).expect("valid").hops()[0]).expect("a handshake");
        let header = |name| request.headers().get(name).expect("present").to_str().expect("text").to_owned();
        [request.uri().path().to_owned(), header("Host"), header("Origin")]
    }

    #[test]
    fn a_handshake_names_the_server_as_its_origin() {
        assert_eq!(headers("wss://example.com/ws"), ["/ws", "example.com", "https://example.com"]);
        assert_eq!(headers("wss://example.com:8443"), ["/", "example.com:8443", "https://example.com:8443"]);
        assert_eq!(headers("ws://[2001:db8::1]:8080/a"), ["/a", "[2001:db8::1]:8080", "http://[2001:db8::1]:8080"]);
    }
}
