//! Chooses the next gateway: by load, then by response time, then in the app's order. A gateway that failed rests for a
//! while.

use std::time::Duration;

/// How long a gateway rests after its first failure. After each further one, the rest is twice as long.
const REST: Duration = Duration::from_secs(60);
/// The longest body of an HTTP response that is read, in bytes.
const MAX_HTTP: usize = 8 * 1024;
/// The longest rest.
const MAX_REST: Duration = Duration::from_secs(1800);

/// How busy a gateway says it is, from 0 to 4 (Mizutech's `wsload`). At 4 it counts as down.
#[cfg_attr(feature = "replay", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Load(u8);

impl Load {
    /// The load of a gateway that does not want more clients.
    pub const EXTREME: Self = Self(4);

    /// The load of a gateway that has plenty of room, or says nothing about its load.
    pub const LOW: Self = Self(0);

    /// Reads the response to `/mvapireq/?apientry=wsload`: `OK: WS Load: X type …`. Anything else, including `ERROR`,
    /// is not a load.
    ///
    /// ```
    /// use sipwake_core::gateway::Load;
    ///
    /// assert_eq!(Load::parse("OK: WS Load: 4 type 1"), Some(Load::EXTREME));
    /// assert_eq!(Load::parse("ERROR, not allowed"), None);
    /// ```
    pub fn parse(answer: &str) -> Option<Self> {
        let answer = answer.trim_start();
        let rest = answer.get(..3).filter(|word| word.eq_ignore_ascii_case("OK:")).map(|_| &answer[3..])?;
        let at = rest.to_ascii_lowercase().find("load:")?;
        let mut words = rest[at + "load:".len()..].split(|c: char| c.is_whitespace() || c == ',');
        let load = words.find(|word| !word.is_empty())?.parse().ok()?;
        (load <= Self::EXTREME.0).then_some(Self(load))
    }

    /// Reads an HTTP server's response to a probe: a 200 with a load in the body. `None` if the response is not
    /// complete and `more` may come.
    //
    // status-line  =  HTTP-version SP status-code SP [ reason-phrase ]                         (RFC 9112 section 4)
    pub fn of_http(answer: &[u8], more: bool) -> Option<Self> {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = (std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]);
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let good = words.next()?.starts_with("HTTP/1.") && words.next()? == "200";
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let whole = !more || length.is_some_and(|length| body.len() >= length);
        let body = body.get(..body.len().min(MAX_HTTP))?;
        Self::parse(&String::from_utf8_lossy(body)).filter(|_| good && whole)
    }

    /// Returns the number, 0 to 4.
    pub fn value(self) -> u8 {
        self.0
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Health {
    load: Option<Load>,
    response_time: Option<Duration>,
    failures: u32,
    rests_until: Duration,
    /// The gateway itself asked for the rest (Retry-After).
    asked_for_rest: bool,
    /// It has failed in this round.
    tried: bool,
}

impl Health {
    fn rests(&self, now: Duration) -> bool {
        now < self.rests_until || self.load == Some(Load::EXTREME)
    }

    fn load(&self) -> u8 {
        self.load.map_or(0, Load::value)
    }
}

/// What is known about an account's gateways. They are named by their place in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gateways(Vec<Health>);

impl Gateways {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![Health::default(); count])
    }

    /// Returns the best gateway.
    pub(crate) fn best(&self, now: Duration) -> usize {
        self.among(now, |_| true).unwrap_or_default()
    }

    /// Returns the best gateway that has not failed in this round. A gateway that asked for a rest, or refused us, gets
    /// it, unless a caller waits.
    pub(crate) fn next(&self, now: Duration, waited_for: bool) -> Option<usize> {
        let has_rest = |health: &Health| health.asked_for_rest && now < health.rests_until;
        self.among(now, |health| !health.tried && (waited_for || !has_rest(health)))
    }

    /// Whether this gateway has not failed in this round.
    pub(crate) fn is_untried(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|health| !health.tried)
    }

    /// Whether there is another gateway that has not failed in this round.
    pub(crate) fn has_another(&self, current: usize) -> bool {
        self.0.iter().enumerate().any(|(index, health)| index != current && !health.tried)
    }

    fn among(&self, now: Duration, eligible: impl Fn(&Health) -> bool) -> Option<usize> {
        let rank = |health: &Health| (health.rests(now), health.load(), health.response_time.unwrap_or_default());
        let mut best: Option<usize> = None;
        for (index, health) in self.0.iter().enumerate().filter(|(_, health)| eligible(health)) {
            if best.is_none_or(|best| rank(health) < rank(&self.0[best])) {
                best = Some(index);
            }
        }
        best
    }

    pub(crate) fn failed(&mut self, index: usize, retry_after: Option<Duration>, now: Duration) {
        let Some(health) = self.0.get_mut(index) else { return };
        let rest = REST.saturating_mul(1 << health.failures.min(16)).min(MAX_REST);
        health.failures += 1;
        health.tried = true;
        health.asked_for_rest = retry_after.is_some();
        health.rests_until = now + retry_after.unwrap_or(rest);
    }

    pub(crate) fn worked(&mut self, index: usize) {
        if let Some(health) = self.0.get_mut(index) {
            *health = Health { load: health.load, response_time: health.response_time, ..Health::default() };
        }
        self.end_round();
    }

    /// Allows all gateways to be tried again.
    pub(crate) fn end_round(&mut self) {
        self.0.iter_mut().for_each(|health| health.tried = false);
    }

    /// Returns the shortest rest, if every gateway has asked for one.
    pub(crate) fn retry_after(&self, now: Duration) -> Option<Duration> {
        let asked = self.0.iter().all(|health| health.asked_for_rest && health.rests_until > now);
        self.0.iter().filter(|_| asked).map(|health| health.rests_until - now).min()
    }

    /// Forgets failures, because they mean nothing on another network.
    pub(crate) fn forget_failures(&mut self) {
        for health in &mut self.0 {
            *health = Health { load: health.load, response_time: health.response_time, ..Health::default() };
        }
    }

    /// Takes the result of a probe. `None` means no response, or a bad one.
    pub(crate) fn probed(&mut self, index: usize, answer: Option<Load>, response_time: Duration) {
        if let Some(health) = self.0.get_mut(index) {
            health.load = Some(answer.unwrap_or(Load::EXTREME));
            // Without a response there is no response time. Among silent gateways the app's order counts.
            health.response_time = answer.map(|_| response_time);
        }
    }

    /// Whether to leave the gateway in use at the next refresh. It is left if a better one has had its rest, or is less
    /// busy. Response times alone are not a reason to move.
    pub(crate) fn should_leave(&self, current: usize, now: Duration) -> bool {
        let best = self.best(now);
        let (Some(better), Some(used)) = (self.0.get(best), self.0.get(current)) else { return false };
        best != current && !better.rests(now) && (better.failures > 0 || better.load() < used.load() || used.rests(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn load(value: u8) -> Option<Load> {
        Load::parse(&format!("OK: WS Load: {value} type 2"))
    }

    #[test]
    fn the_response_to_a_load_probe_is_read() {
        assert_eq!(Load::parse("OK: WS Load: 0 type 1").map(Load::value), Some(0));
        assert_eq!(Load::parse(" ok: ws load: 3\r\n").map(Load::value), Some(3));
        for wrong in ["", "OK:", "OK: WS Load:", "OK: WS Load: 5 type 1", "OK: WS Load: x", "ERROR, WS Load: 1", "Öl"]
        {
            assert_eq!(Load::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn without_probe_results_the_apps_order_counts() {
        let gateways = Gateways::new(3);
        assert_eq!(gateways.best(SECOND), 0);
        assert_eq!(gateways.retry_after(SECOND), None);
    }

    #[test]
    fn the_lowest_load_is_chosen_then_the_shortest_response_time() {
        let mut gateways = Gateways::new(3);
        gateways.probed(0, load(2), Duration::from_millis(5));
        gateways.probed(1, load(1), Duration::from_millis(90));
        gateways.probed(2, load(1), Duration::from_millis(30));
        assert_eq!(gateways.best(SECOND), 2);
        gateways.probed(2, None, Duration::from_millis(30));
        assert_eq!(gateways.best(SECOND), 1, "a gateway with a bad response counts as down");
        for (index, milliseconds) in [(0, 9), (1, 7), (2, 8)] {
            gateways.probed(index, None, Duration::from_millis(milliseconds));
        }
        assert_eq!(gateways.best(SECOND), 0, "if none is left, the app's order counts");
    }

    #[test]
    fn a_round_tries_each_gateway_once() {
        let mut gateways = Gateways::new(3);
        let mut tried = Vec::new();
        while let Some(next) = gateways.next(SECOND, false) {
            tried.push(next);
            gateways.failed(next, None, SECOND);
        }
        assert_eq!(tried, [0, 1, 2]);
        gateways.end_round();
        assert_eq!(gateways.next(SECOND, false), Some(0));
    }

    #[test]
    fn the_preferred_gateway_is_used_again_after_its_rest() {
        let mut gateways = Gateways::new(2);
        gateways.failed(0, None, SECOND);
        gateways.worked(1);
        assert!(!gateways.should_leave(1, 30 * SECOND));
        assert!(gateways.should_leave(1, 62 * SECOND));
        gateways.failed(0, None, 62 * SECOND);
        assert!(!gateways.should_leave(1, 150 * SECOND), "the second wait is longer");
        gateways.worked(0);
        assert!(!gateways.should_leave(0, 300 * SECOND));
    }

    #[test]
    fn a_faster_gateway_alone_is_no_reason_to_move() {
        let mut gateways = Gateways::new(2);
        gateways.probed(0, load(1), Duration::from_millis(50));
        gateways.probed(1, load(1), Duration::from_millis(20));
        assert_eq!(gateways.best(SECOND), 1);
        assert!(!gateways.should_leave(0, SECOND));
        gateways.probed(0, load(3), Duration::from_millis(50));
        assert!(gateways.should_leave(0, SECOND));
    }

    #[test]
    fn a_rest_that_was_asked_for_is_kept() {
        let mut gateways = Gateways::new(2);
        gateways.failed(0, Some(120 * SECOND), SECOND);
        gateways.failed(1, None, SECOND);
        assert_eq!(gateways.retry_after(2 * SECOND), None, "only one has asked");
        gateways.end_round();
        gateways.failed(1, None, 3 * SECOND);
        assert_eq!(gateways.next(3 * SECOND, false), None);
        assert_eq!(gateways.next(3 * SECOND, true), Some(0), "a caller waits");
        assert_eq!(gateways.next(121 * SECOND, false), Some(0));
        gateways.failed(1, Some(300 * SECOND), SECOND);
        assert_eq!(gateways.retry_after(SECOND), Some(120 * SECOND));
        gateways.forget_failures();
        assert_eq!(gateways.best(2 * SECOND), 0);
    }

    proptest! {
        #[test]
        fn there_is_always_a_best_gateway(count in 1usize..16, events in prop::collection::vec((0usize..20, 0u8..4, 0u64..4000), 0..64)) {
            let mut gateways = Gateways::new(count);
            for (index, what, seconds) in events {
                let now = Duration::from_secs(seconds);
                match what {
                    0 => gateways.failed(index, None, now),
                    1 => gateways.failed(index, Some(now), now),
                    2 => gateways.worked(index),
                    _ => gateways.probed(index, load(u8::try_from(index % 5).unwrap_or_default()), now),
                }
                prop_assert!(gateways.best(now) < count);
                prop_assert!(gateways.next(now, false).is_none_or(|next| next < count));
            }
        }

        #[test]
        fn no_response_to_a_probe_panics(answer in any::<String>()) {
            let _ = Load::parse(&answer);
        }
    }
}
