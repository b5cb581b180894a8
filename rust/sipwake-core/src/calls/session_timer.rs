//! Session timers (RFC 4028), for callers that ask for them.

use std::time::Duration;

use crate::sip::{Message, Params};

/// The shortest session interval that is accepted, in seconds (RFC 4028 section 4).
pub(crate) const MIN_SE: u32 = 90;
/// The longest session interval, in seconds: one day.
const MAX_SE: u32 = 24 * 3600;

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionTimer {
    /// The session interval in seconds.
    interval: u32,
    /// Whether we have to refresh.
    we_refresh: bool,
    /// Whether the other side supports session timers.
    peer_knows: bool,
    /// When to refresh, or when to give up the call.
    at: Duration,
    expires_at: Duration,
}

/// The caller asks for an interval below [`MIN_SE`]. It gets a 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSmall;

impl SessionTimer {
    /// Reads what an INVITE, re-INVITE or UPDATE asks for. `None` if it asks for no timer.
    //
    // Session-Expires  =  ("Session-Expires" / "x") HCOLON delta-seconds *(SEMI se-params)
    // refresher-param  =  "refresher" EQUAL ("uas" / "uac")
    pub(crate) fn asked(request: &Message, now: Duration) -> Result<Option<Self>, TooSmall> {
        let Some((interval, params)) = session_expires(request) else { return Ok(None) };
        let peer_knows = request.has_option("Supported", "timer") || request.has_option("Require", "timer");
        if interval < MIN_SE {
            // Section 9: a caller that does not know 422 must not get one. Then a proxy asked for the short interval,
            // and it is raised.
            return if peer_knows { Err(TooSmall) } else { Ok(Some(Self::start(MIN_SE, true, false, now))) };
        }
        let we_refresh = !peer_knows || params.value("refresher").is_some_and(|who| who.eq_ignore_ascii_case("uas"));
        Ok(Some(Self::start(interval.min(MAX_SE), we_refresh, peer_knows, now)))
    }

    /// Reads the 2xx to our own refresh. Without a Session-Expires the timer is over.
    pub(crate) fn refreshed(&self, response: &Message, now: Duration) -> Option<Self> {
        let (interval, params) = session_expires(response)?;
        let they = params.value("refresher").is_some_and(|who| who.eq_ignore_ascii_case("uas"));
        Some(Self::start(interval.clamp(MIN_SE, MAX_SE), !they, self.peer_knows, now))
    }

    fn start(interval: u32, we_refresh: bool, peer_knows: bool, now: Duration) -> Self {
        let whole = Duration::from_secs(u64::from(interval));
        // Section 10: the refresh comes after half the interval. The call is given up before its end, by 32 s or a
        // third, whichever is smaller.
        let expires_at = now + whole - (whole / 3).min(Duration::from_secs(32));
        let at = if we_refresh { now + whole / 2 } else { expires_at };
        Self { interval, we_refresh, peer_knows, at, expires_at }
    }

    /// The headers of the 2xx that accepts the timer.
    pub(crate) fn agreement(&self) -> Vec<(&'static str, String)> {
        let who = if self.we_refresh { "uas" } else { "uac" };
        let mut headers = vec![("Session-Expires", [&self.interval.to_string(), ";refresher=", who].concat())];
        if self.peer_knows {
            headers.push(("Require", "timer".to_owned()));
        }
        headers
    }

    /// The headers of our own refresh.
    pub(crate) fn refresh(&self) -> Vec<(&'static str, String)> {
        // In our own request the roles are reversed.
        let who = if self.we_refresh { "uac" } else { "uas" };
        vec![("Session-Expires", format!("{};refresher={who}", self.interval)), ("Min-SE", MIN_SE.to_string())]
    }

    /// Takes the longer interval that a 422 asks for.
    pub(crate) fn lengthen(&mut self, min_se: u32) -> bool {
        let longer = min_se > self.interval && min_se <= MAX_SE;
        if longer {
            self.interval = min_se;
        }
        longer
    }

    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    /// Returns `true` once it is time to end the call.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        now >= self.expires_at
    }

    /// Notes that a refresh is under way. Only the end of the interval is left.
    pub(crate) fn asked_already(&mut self) {
        self.at = self.expires_at;
    }
}

fn session_expires(message: &Message) -> Option<(u32, Params)> {
    let value = message.header("Session-Expires")?;
    let (seconds, params) = value.split_at(value.find(';').unwrap_or(value.len()));
    Some((seconds.trim().parse().ok()?, Params::parse(params)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &str) -> Result<Option<SessionTimer>, TooSmall> {
        let text = format!("INVITE sip:a@b SIP/2.0\r\n{headers}\r\n");
        SessionTimer::asked(&Message::parse(text.as_bytes()).expect("a message"), Duration::ZERO)
    }

    #[test]
    fn the_refresher_is_the_one_in_the_table_of_section_9() {
        for (headers, agreement) in [
            ("x: 1800\r\nk: timer\r\n", "1800;refresher=uac Require"),
            ("Session-Expires: 1800;refresher=uas\r\nSupported: 100rel, timer\r\n", "1800;refresher=uas Require"),
            ("Session-Expires: 1800;refresher=uac\r\nRequire: timer\r\n", "1800;refresher=uac Require"),
            ("Session-Expires: 60\r\n", "90;refresher=uas"),
            ("Session-Expires: 4000000000\r\n", "86400;refresher=uas"),
        ] {
            let timer = asked(headers).expect("long enough").expect("it asks");
            let told = timer.agreement();
            let require = if told.len() == 2 { " Require" } else { "" };
            assert_eq!(format!("{}{require}", told[0].1), agreement, "{headers}");
        }
    }

    #[test]
    fn a_short_interval_is_refused_and_without_an_interval_there_is_no_timer() {
        assert_eq!(asked("Session-Expires: 89\r\nSupported: timer\r\n"), Err(TooSmall));
        assert_eq!(asked("Session-Expires: soon\r\nSupported: timer\r\n"), Ok(None));
        assert_eq!(asked("Supported: timer\r\n"), Ok(None));
    }

    #[test]
    fn a_refresh_is_sent_at_half_the_interval_and_the_call_ends_shortly_before_its_end() {
        let ours = asked("Session-Expires: 90\r\n").expect("long enough").expect("it asks");
        assert_eq!(
            (ours.at().as_secs(), ours.is_over(Duration::from_secs(59)), ours.is_over(Duration::from_secs(60))),
            (45, false, true)
        );
        let theirs = asked("Session-Expires: 1800\r\nSupported: timer\r\n").expect("long enough").expect("it asks");
        assert_eq!(theirs.at().as_secs(), 1768);
    }
}
