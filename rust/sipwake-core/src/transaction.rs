//! The non-INVITE client transaction of RFC 3261 section 17.1.2, without its request.

use std::time::Duration;

/// RFC 3261's estimate of a round trip.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// The longest interval between retransmissions.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message may take through the network.
pub(crate) const T4: Duration = Duration::from_secs(5);

/// When the request is sent again (Timer E) and when it is given up (Timer F).
#[derive(Debug, Clone)]
pub(crate) struct ClientTransaction {
    retransmit_at: Option<Duration>,
    interval: Duration,
    gives_up_at: Duration,
}

/// What a timer of the transaction asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send the request again, unchanged.
    Retransmit,
    /// No response came. By 8.1.3.1 that is a 408.
    TimedOut,
}

impl ClientTransaction {
    /// Begins the transaction of a request sent at `now`.
    pub(crate) fn start(reliable: bool, now: Duration) -> Self {
        Self { retransmit_at: (!reliable).then_some(now + T1), interval: T1, gives_up_at: now + 64 * T1 }
    }

    /// Notes a provisional response, which slows retransmissions down to T2.
    pub(crate) fn proceed(&mut self, now: Duration) {
        self.interval = T2;
        if let Some(at) = &mut self.retransmit_at {
            *at = now + T2;
        }
    }

    /// Returns when the next timer fires, in boot time, and its name.
    pub(crate) fn timeout(&self) -> (Duration, &'static str) {
        match self.retransmit_at {
            Some(at) if at < self.gives_up_at => (at, "retransmission (timer E)"),
            _ => (self.gives_up_at, "transaction time-out (timer F)"),
        }
    }

    /// Returns what is due at `now`. If the device slept over several intervals, there is only one retransmission.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Due> {
        if now >= self.gives_up_at {
            return Some(Due::TimedOut);
        }
        let at = self.retransmit_at.filter(|at| now >= *at)?;
        self.interval = (self.interval * 2).min(T2);
        self.retransmit_at = Some(at.max(now) + self.interval);
        Some(Due::Retransmit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(reliable: bool) -> Vec<u128> {
        let mut transaction = ClientTransaction::start(reliable, Duration::ZERO);
        let mut sent = vec![0];
        loop {
            let (at, _) = transaction.timeout();
            match transaction.due(at).expect("a timer that fires is due") {
                Due::Retransmit => sent.push(at.as_millis()),
                Due::TimedOut => {
                    assert_eq!(at, Duration::from_secs(32));
                    return sent;
                }
            }
        }
    }

    #[test]
    fn over_udp_a_request_is_sent_eleven_times_in_32_seconds() {
        assert_eq!(sends(false), [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    }

    #[test]
    fn over_tcp_a_request_is_sent_once() {
        assert_eq!(sends(true), [0]);
    }

    #[test]
    fn after_a_provisional_response_the_interval_is_t2() {
        let mut transaction = ClientTransaction::start(false, Duration::ZERO);
        transaction.proceed(Duration::from_millis(100));
        assert_eq!(transaction.timeout().0, Duration::from_millis(4100));
    }
}
