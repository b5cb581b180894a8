//! Connects to the first of a server's addresses that responds (RFC 8305).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sipwake_core::event::FlowError;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::unreachable;
use crate::task::Futures;

/// How long one of several addresses may take. Two SYNs are sent in this time, so one may be lost.
const CONNECT: Duration = Duration::from_secs(3);
/// How long the only address may take. A third SYN is sent after 3 seconds.
const CONNECT_ALONE: Duration = Duration::from_secs(6);
/// RFC 8305 section 5: the Connection Attempt Delay.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first address that responds. After 250 ms, or as soon as one has failed, the next one is tried at
/// the same time. `failed` gets each failure. Returns `None` if all have failed.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    mut failed: impl FnMut(SocketAddr, FlowError),
) -> Option<(SocketAddr, TcpStream)> {
    let limit = if addresses.len() > 1 { CONNECT } else { CONNECT_ALONE };
    let mut waiting = interleave(addresses);
    let mut attempts = Futures::new();
    loop {
        if let Some(remote) = waiting.pop_front() {
            attempts.push(async move { (remote, timeout(limit, TcpStream::connect(remote)).await) });
        }
        tokio::select! {
            done = attempts.next() => match done? {
                (remote, Ok(Ok(stream))) => {
                    // A REGISTER is one segment. To wait until the segment is full would only delay the ringing.
                    if let Err(error) = stream.set_nodelay(true) {
                        log::debug!("TCP_NODELAY: {error}");
                    }
                    return Some((remote, stream));
                }
                (remote, Ok(Err(error))) => failed(remote, unreachable(&error)),
                (remote, Err(_)) => failed(remote, FlowError::Unreachable("no answer to the connection".into())),
            },
            () = sleep(STAGGER), if !waiting.is_empty() => {}
        }
    }
}

/// RFC 8305 section 4: IPv4 and IPv6 take turns, beginning with the resolver's first choice.
fn interleave(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let prefers_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<SocketAddr>, VecDeque<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == prefers_v6);
    let mut order = VecDeque::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;

    fn parse(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().expect("an address")).collect()
    }

    #[test]
    fn the_families_take_turns() {
        let order = interleave(&parse(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]));
        let expected = parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "1.1.1.3:1"]);
        assert_eq!(Vec::from(order), expected);
        assert!(interleave(&[]).is_empty());
    }

    #[tokio::test]
    async fn a_dead_address_costs_at_most_a_quarter_of_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let alive = listener.local_addr().expect("bound");
        // TEST-NET-1: the connection is refused at once, or gets no response.
        let dead = "192.0.2.1:5060".parse().expect("an address");
        let begin = Instant::now();
        let (remote, _) = connect(&[dead, alive], |_, _| {}).await.expect("the second address answers");
        assert_eq!(remote, alive);
        assert!(begin.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn each_failure_is_reported_when_all_fail() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let closed = listener.local_addr().expect("bound");
        drop(listener);
        let mut failures = Vec::new();
        assert!(connect(&[closed, closed], |remote, error| failures.push((remote, error))).await.is_none());
        assert_eq!(failures.len(), 2);
        assert!(failures.iter().all(|(remote, error)| *remote == closed && matches!(error, FlowError::Unreachable(_))));
    }
}
