//! IPv4 servers on a network that has only IPv6. They are reached through its NAT64. A well-known name shows the
//! prefix.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// RFC 7050 section 2.2: this name has only IPv4 addresses. If it has IPv6 addresses, DNS64 has made them.
pub(super) const WELL_KNOWN_NAME: &str = "ipv4only.arpa";
/// RFC 7050 section 2.2: the addresses of that name.
const WELL_KNOWN_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
/// RFC 6052 section 2.2: the possible lengths of a prefix, in bytes. The longest comes first, because RFC 7050 section
/// 3 wants only one place.
const LENGTHS: [usize; 6] = [12, 8, 7, 6, 5, 4];
/// RFC 6052 section 2.2: bits 64 to 71 are zero, and the IPv4 address skips them.
const RESERVED: usize = 8;
/// How many prefixes of one network are used.
const MAX_PREFIXES: usize = 4;

/// The prefix of a NAT64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    octets: [u8; 16],
    length: usize,
}

impl Prefix {
    /// Returns the IPv6 address for an IPv4 server. `None` if the address needs no translation, or must not have one.
    pub(super) fn address(&self, ip: IpAddr) -> Option<IpAddr> {
        let IpAddr::V4(v4) = ip else { return None };
        let local =
            v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast();
        let mut octets = self.octets;
        for (place, byte) in places(self.length).zip(v4.octets()) {
            octets[place] = byte;
        }
        (!local).then(|| Ipv6Addr::from(octets).into())
    }
}

/// The bytes of an IPv6 address that hold the IPv4 address after a prefix of this length.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (length..16).filter(|place| *place != RESERVED).take(4)
}

/// Reads the prefixes from the addresses of [`WELL_KNOWN_NAME`].
pub(super) fn prefixes(addresses: &[IpAddr]) -> Vec<Prefix> {
    let mut found = Vec::new();
    for address in addresses {
        let IpAddr::V6(v6) = address else { continue };
        let octets = v6.octets();
        let fits = |length: &usize| {
            let mut embedded = [0; 4];
            for (byte, place) in embedded.iter_mut().zip(places(*length)) {
                *byte = octets[place];
            }
            (*length == 12 || octets[RESERVED] == 0) && WELL_KNOWN_ADDRESSES.contains(&Ipv4Addr::from(embedded))
        };
        let Some(length) = LENGTHS.into_iter().find(fits) else { continue };
        let mut prefix = Prefix { octets: [0; 16], length };
        prefix.octets[..length].copy_from_slice(&octets[..length]);
        if !found.contains(&prefix) && found.len() < MAX_PREFIXES {
            found.push(prefix);
        }
    }
    found
}

/// Asks the routing table. Nothing is sent.
pub(super) fn has_route(address: SocketAddr) -> bool {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| socket.connect(address)).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// The table of RFC 6052 section 2.4. Each prefix is shown as in an address of `ipv4only.arpa`.
    #[test]
    fn an_ipv4_address_is_where_rfc_6052_puts_it() {
        for (shown, expected) in [
            ("2001:db8:c000:aa::", "2001:db8:c000:221::"),
            ("2001:db8:1c0:0:aa::", "2001:db8:1c0:2:21::"),
            ("2001:db8:122:c000:0:aa00::", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:3c0:0:aa::", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344:c0:0:aa00:0", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::192.0.0.170", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::192.0.0.171", "64:ff9b::192.0.2.33"),
        ] {
            let prefixes = prefixes(&[ip(shown)]);
            let made: Vec<_> = prefixes.iter().filter_map(|prefix| prefix.address(ip("192.0.2.33"))).collect();
            assert_eq!(made, [ip(expected)], "{shown}");
        }
    }

    #[test]
    fn addresses_without_a_prefix_are_ignored() {
        assert_eq!(prefixes(&[ip("192.0.0.170"), ip("2001:db8::1"), ip("::")]), []);
        let one = prefixes(&[ip("64:ff9b::192.0.0.170"), ip("64:ff9b::192.0.0.171")]);
        assert_eq!(one.len(), 1, "both addresses show the same prefix");
        assert_eq!(one[0].address(ip("127.0.0.1")), None);
        assert_eq!(one[0].address(ip("2001:db8::1")), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(octets in prop::collection::vec(any::<[u8; 16]>(), 0..9), v4 in any::<[u8; 4]>()) {
            let addresses: Vec<IpAddr> = octets.into_iter().map(|octets| Ipv6Addr::from(octets).into()).collect();
            let found = prefixes(&addresses);
            prop_assert!(found.len() <= MAX_PREFIXES);
            for prefix in found {
                let _ = prefix.address(Ipv4Addr::from(v4).into());
            }
        }
    }
}
