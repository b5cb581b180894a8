//! The app's own resolver.

use std::net::IpAddr;

use crate::error::CallbackError;

/// Looks up names instead of the system's resolver, which knows only addresses. A platform's own interface to the DNS
/// (`DnsResolver` on Android, `DNSServiceQueryRecord` on Apple's systems) adds SRV and NAPTR records (RFC 3263).
///
/// Each call may block. It runs on its own thread, and several run at once. If it takes more than ten seconds, it
/// counts as no result.
#[uniffi::export(callback_interface)]
pub trait Resolver: Send + Sync {
    /// Returns the addresses of a host as text, best first. Returns nothing to ask the system. Texts that are not
    /// addresses are ignored.
    ///
    /// # Errors
    /// An error counts as a host without addresses.
    fn addresses(&self, host: String) -> Result<Option<Vec<String>>, CallbackError>;

    /// Returns the SRV records of a name such as `_sip._udp.example.com`.
    ///
    /// # Errors
    /// An error counts as no records.
    fn srv(&self, name: String) -> Result<Vec<SrvRecord>, CallbackError>;

    /// Returns the NAPTR records of a domain.
    ///
    /// # Errors
    /// An error counts as no records.
    fn naptr(&self, domain: String) -> Result<Vec<NaptrRecord>, CallbackError>;
}

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct SrvRecord {
    /// The lowest is tried first.
    pub priority: u16,
    /// The share of requests among the records of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host. `.` says that there is no such service.
    pub target: String,
}

/// A NAPTR record (RFC 3403), without its regular expression, which SIP does not use.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct NaptrRecord {
    /// The lowest is tried first.
    pub order: u16,
    /// Among records of the same order, the lowest is tried first.
    pub preference: u16,
    /// `s` if SRV records follow.
    pub flags: String,
    /// For example `SIP+D2U`.
    pub service: String,
    /// The name of the SRV records.
    pub replacement: String,
}

/// An app's resolver in the form that the client needs.
pub(crate) struct ForeignResolver(pub(crate) Box<dyn Resolver>);

impl sipwake::Resolver for ForeignResolver {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        match self.0.addresses(host.to_owned()) {
            Ok(Some(addresses)) => addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            Ok(None) => sipwake::SystemResolver.addresses(host),
            Err(error) => none(host, &error),
        }
    }

    fn srv(&self, name: &str) -> Vec<sipwake::Srv> {
        let records = self.0.srv(name.to_owned()).unwrap_or_else(|error| none(name, &error));
        let known = |SrvRecord { priority, weight, port, target }| sipwake::Srv { priority, weight, port, target };
        records.into_iter().map(known).collect()
    }

    fn naptr(&self, domain: &str) -> Vec<sipwake::Naptr> {
        let records = self.0.naptr(domain.to_owned()).unwrap_or_else(|error| none(domain, &error));
        let known = |NaptrRecord { order, preference, flags, service, replacement }| sipwake::Naptr {
            order,
            preference,
            flags,
            service,
            replacement,
        };
        records.into_iter().map(known).collect()
    }
}

fn none<T>(name: &str, error: &CallbackError) -> Vec<T> {
    log::warn!("the app's resolver failed for {name}: {error}");
    Vec::new()
}

#[cfg(test)]
mod tests {
    use sipwake::Resolver as _;

    use super::*;

    /// Knows one domain, leaves `localhost` to the system, and throws for any other name.
    struct Zone;

    impl Resolver for Zone {
        fn addresses(&self, host: String) -> Result<Option<Vec<String>>, CallbackError> {
            match host.as_str() {
                "sip1.example.com" => Ok(Some(vec!["2001:db8::1".into(), "no address".into(), "192.0.2.1".into()])),
                "localhost" => Ok(None),
                _ => Err(CallbackError::Failed { reason: "no network".into() }),
            }
        }

        fn srv(&self, name: String) -> Result<Vec<SrvRecord>, CallbackError> {
            let record = SrvRecord { priority: 10, weight: 5, port: 5061, target: "sip1.example.com.".into() };
            (name == "_sips._tcp.example.com")
                .then(|| vec![record])
                .ok_or(CallbackError::Failed { reason: "none".into() })
        }

        fn naptr(&self, domain: String) -> Result<Vec<NaptrRecord>, CallbackError> {
            let (flags, service) = ("s".into(), "SIPS+D2T".into());
            let record =
                NaptrRecord { order: 1, preference: 2, flags, service, replacement: "_sips._tcp.example.com".into() };
            (domain == "example.com").then(|| vec![record]).ok_or(CallbackError::Failed { reason: "none".into() })
        }
    }

    #[test]
    fn the_apps_resolver_gives_addresses_and_records() {
        let zone = ForeignResolver(Box::new(Zone));
        let addresses: Vec<_> = zone.addresses("sip1.example.com").iter().map(ToString::to_string).collect();
        assert_eq!(
            addresses,
            ["2001:db8::1", "192.0.2.1"],
            "in the same order, without the entries that are not addresses"
        );
        let srv = zone.srv("_sips._tcp.example.com");
        assert_eq!(srv, [sipwake::Srv { priority: 10, weight: 5, port: 5061, target: "sip1.example.com.".into() }]);
        let naptr = &zone.naptr("example.com")[0];
        assert_eq!((naptr.order, naptr.preference, naptr.service.as_str()), (1, 2, "SIPS+D2T"));
        assert_eq!((naptr.flags.as_str(), naptr.replacement.as_str()), ("s", "_sips._tcp.example.com"));
    }

    #[test]
    fn the_system_resolves_names_that_the_app_leaves_to_it() {
        let addresses = ForeignResolver(Box::new(Zone)).addresses("localhost");
        assert!(addresses.iter().any(IpAddr::is_loopback), "{addresses:?}");
    }

    #[test]
    fn an_exception_of_the_resolver_means_no_records() {
        let zone = ForeignResolver(Box::new(Zone));
        assert!(zone.addresses("example.org").is_empty());
        assert!(zone.srv("_sip._udp.example.org").is_empty());
        assert!(zone.naptr("example.org").is_empty());
    }
}
