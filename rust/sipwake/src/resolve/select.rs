//! Puts the DNS records into their order.

use sipwake_core::account::Transport;

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// The lowest is tried first.
    pub priority: u16,
    /// The share of the requests among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: String,
}

/// A NAPTR record (RFC 3403).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// The lowest is tried first.
    pub order: u16,
    /// The lowest is tried first, among those of the same order.
    pub preference: u16,
    /// `s` where SRV records follow.
    pub flags: String,
    /// For example `SIP+D2U`.
    pub service: String,
    /// The name of the SRV records.
    pub replacement: String,
}

/// Whether the records say that there is no such service (RFC 2782): the only target is ".".
pub(super) fn denies_service(records: &[Srv]) -> bool {
    matches!(records, [record] if record.target == ".")
}

/// Orders SRV records by priority and, within a priority, at random by weight (RFC 2782). `below` returns a number
/// smaller than its argument.
pub(super) fn order(mut records: Vec<Srv>, mut below: impl FnMut(u64) -> u64) -> Vec<Srv> {
    records.retain(|record| record.target != "." && !record.target.is_empty());
    // Records without weight come first, so that they have a small chance.
    records.sort_unstable_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let same = records.iter().take_while(|record| record.priority == first.priority);
        let total: u64 = same.map(|record| u64::from(record.weight)).sum();
        let mut left = below(total + 1);
        let chosen = records.iter().position(|record| {
            let weight = u64::from(record.weight);
            let here = left <= weight;
            left = left.saturating_sub(weight);
            here
        });
        ordered.push(records.remove(chosen.unwrap_or_default()));
    }
    ordered
}

/// Returns those of these transports that NAPTR records offer, best first, each with the name of its SRV records (RFC
/// 3263 section 4.1).
pub(super) fn services(mut records: Vec<Naptr>, among: &[Transport]) -> Vec<(Transport, String)> {
    records.sort_unstable_by_key(|record| (record.order, record.preference));
    let offered = records.iter().filter(|record| record.flags.eq_ignore_ascii_case("s")).filter_map(|record| {
        let transport = among.iter().find(|transport| {
            service(**transport).is_some_and(|(_, service)| record.service.eq_ignore_ascii_case(service))
        })?;
        Some((*transport, record.replacement.trim_end_matches('.').to_owned()))
    });
    offered.filter(|(_, name)| !name.is_empty()).collect()
}

/// RFC 3263 section 4.1: the prefix of a transport's SRV records, and its NAPTR service. For WebSocket, nobody uses
/// what RFC 7118 has.
pub(super) fn service(transport: Transport) -> Option<(&'static str, &'static str)> {
    match transport {
        Transport::Udp => Some(("_sip._udp", "SIP+D2U")),
        Transport::Tcp => Some(("_sip._tcp", "SIP+D2T")),
        Transport::Tls => Some(("_sips._tcp", "SIPS+D2T")),
        Transport::Ws | Transport::Wss => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.into() }
    }

    fn names(records: Vec<Srv>, below: impl FnMut(u64) -> u64) -> String {
        order(records, below).iter().map(|record| record.target.as_str()).collect()
    }

    #[test]
    fn priority_comes_before_weight() {
        let records = || vec![record(2, 100, "c"), record(1, 1, "a"), record(1, 9, "b")];
        assert_eq!(names(records(), |_| 0), "abc");
        assert_eq!(names(records(), |bound| bound - 1), "bac");
    }

    #[test]
    fn weights_share_the_load() {
        let mut seed = 1u64;
        let mut below = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % bound
        };
        let mut first = 0;
        for _ in 0..10_000 {
            let ordered = order(vec![record(1, 3, "a"), record(1, 1, "b")], &mut below);
            assert_eq!(ordered.len(), 2);
            first += usize::from(ordered[0].target == "a");
        }
        assert!((5_500..8_000).contains(&first), "{first}");
    }

    #[test]
    fn a_lone_dot_says_that_there_is_no_such_service() {
        assert!(denies_service(&[record(0, 0, ".")]));
        assert!(!denies_service(&[]) && !denies_service(&[record(0, 0, "."), record(1, 0, "a")]));
        assert_eq!(names(vec![record(0, 0, "."), record(1, 0, "a")], |_| 0), "a");
    }
}
