//! Mizutech's `wsload` over HTTP/1.0: one request and one short response, and the connection closes.

use std::time::{Duration, Instant};

use sipwake_core::account::{Hop, Transport};
use sipwake_core::gateway::Load;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::transport::{Network, Stream};

/// The longest response that is read, with its head.
const MAX_ANSWER: usize = 8 * 1024;

/// Asks the API on a gateway's host. `None` if that gives no load.
pub(super) async fn ask(hop: &Hop, https: bool, port: Option<u16>, network: &Network) -> Option<(Load, Duration)> {
    let port = api_port(hop, https, port);
    let server = Hop {
        host: hop.host.clone(),
        port: Some(port),
        transport: Transport::Tcp,
        explicit_transport: true,
        path: None,
    };
    let stream = network.dial_tcp(&server).await.ok()?;
    let host = if port == standard_port(https) { server.host.to_string() } else { format!("{}:{port}", server.host) };
    if !https {
        return exchange(Box::new(stream), &host).await;
    }
    #[cfg(feature = "tls")]
    {
        let config = network.tls.clone().ok()?;
        let by = tokio::time::Instant::now() + crate::transport::HANDSHAKES;
        let stream = crate::transport::tls::handshake(stream, &server.host, config, by).await.ok()?;
        exchange(Box::new(stream), &host).await
    }
    #[cfg(not(feature = "tls"))]
    None
}

fn standard_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// The given port. Without one, the port of a WebSocket server, which already speaks HTTP there, or the standard one.
fn api_port(hop: &Hop, https: bool, given: Option<u16>) -> u16 {
    let own = match (hop.transport, https) {
        (Transport::Wss, true) | (Transport::Ws, false) => hop.port,
        _ => None,
    };
    given.or(own).unwrap_or_else(|| standard_port(https))
}

/// Uses HTTP/1.0, so that the response is not chunked.
async fn exchange(mut stream: Stream, host: &str) -> Option<(Load, Duration)> {
    let request = format!(
        "GET /mvapireq/?apientry=wsload HTTP/1.0\r\nHost: {host}\r\nAccept: text/plain, */*\r\nConnection: close\r\n\r\n"
    );
    let asked = Instant::now();
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        // A server that cuts off TLS without a close has still responded.
        let length = stream.read(&mut piece).await.unwrap_or(0);
        answer.extend_from_slice(&piece[..length]);
        let more = length > 0 && answer.len() <= MAX_ANSWER;
        let load = Load::of_http(&answer, more);
        if load.is_some() || !more {
            return load.map(|load| (load, asked.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sipwake_core::account::{Account, AccountConfig};
    use tokio::io::duplex;

    use super::*;

    async fn told(answer: &[u8]) -> Option<u8> {
        let (near, mut far) = duplex(64 * 1024);
        let answer = answer.to_vec();
        let server = tokio::spawn(async move {
            let mut heard = [0; 1024];
            let length = far.read(&mut heard).await.unwrap_or(0);
            let _ = far.write_all(&answer).await;
            String::from_utf8_lossy(&heard[..length]).into_owned()
        });
        let load = exchange(Box::new(near), "gw.example.com:8080").await.map(|(load, _)| load.value());
        let heard = server.await.expect("it ends");
        assert!(
            heard.starts_with("GET /mvapireq/?apientry=wsload HTTP/1.0\r\nHost: gw.example.com:8080\r\n"),
            "{heard}"
        );
        load
    }

    #[tokio::test]
    async fn the_load_is_read_from_the_response() {
        assert_eq!(told(b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\nOK: WS Load: 2 type 1\r\n").await, Some(2));
        assert_eq!(told(b"HTTP/1.0 200 OK\r\n\r\nOK: WS Load: 4 type gateway").await, Some(4));
    }

    #[tokio::test]
    async fn other_responses_give_no_load() {
        for answer in [
            "",
            "HTTP/1.1 404 Not Found\r\n\r\nOK: WS Load: 0 type 1",
            "HTTP/1.1 200 OK\r\n\r\nERROR, malfunction",
            "HTTP/1.1 200 OK\r\n\r\n<html>OK: WS Load: 0",
            "SIP/2.0 200 OK\r\n\r\nOK: WS Load: 0 type 1",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n",
        ] {
            assert_eq!(told(answer.as_bytes()).await, None, "{answer}");
        }
    }

    #[tokio::test]
    async fn an_endless_response_is_cut_off() {
        let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
        endless.resize(20_000, b'x');
        assert_eq!(told(&endless).await, None);
    }

    #[test]
    fn the_api_port_is_the_apps_or_the_gateways_https_port_or_the_default() {
        let port = |gateway: &str, https, given| {
            let mut config = AccountConfig::new("alice@example.com", "secret");
            config.gateways = vec![gateway.into()];
            api_port(&Account::parse(config).expect("valid").hops()[0], https, given)
        };
        assert_eq!(port("gw.example.com:35060", true, None), 443);
        assert_eq!(port("gw.example.com:35060", false, None), 80);
        assert_eq!(port("wss://gw.example.com:8443/ws", true, None), 8443);
        assert_eq!(port("wss://gw.example.com:8443/ws", false, None), 80);
        assert_eq!(port("wss://gw.example.com:8443/ws", true, Some(9000)), 9000);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(answer in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
            let mut whole = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nOK: WS Load: 1 type 1"[cut.min(59)..].to_vec();
            whole.extend_from_slice(&answer);
            let _ = (Load::of_http(&whole, true), Load::of_http(&whole, false), Load::of_http(&answer, false));
        }
    }
}
