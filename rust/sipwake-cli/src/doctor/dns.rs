//! The DNS records of a server: NAPTR and SRV as a phone with a full resolver sees them, and addresses as the system does.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, TYPE};
use sipwake::core::account::Hop;
use sipwake::core::sip::Host;
use sipwake::{Naptr, Resolver, Srv, SystemResolver, Transport};

/// How long one question to one name server may take, and how often it is repeated.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// The file with the system's name servers.
const SYSTEM: &str = "/etc/resolv.conf";
/// The largest accepted answer (RFC 6891).
const LARGEST: u16 = 4096;

/// Asks name servers for records that the system's resolver does not return.
#[derive(Clone, Debug)]
pub(super) struct Dns {
    servers: Vec<SocketAddr>,
    /// The user chose this name server, so it is asked for addresses, too.
    given: bool,
}

impl Dns {
    /// With the system's name servers, or with this one: an address with or without a port.
    pub(super) fn new(server: Option<&str>) -> Result<Self, String> {
        if let Some(text) = server {
            let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
            let address =
                address.map_err(|_| format!("--dns {text}: an address such as 192.0.2.53 or 192.0.2.53:5353"))?;
            return Ok(Self { servers: vec![address], given: true });
        }
        let listed = std::fs::read_to_string(SYSTEM).unwrap_or_default();
        let servers = listed.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
        Ok(Self { servers: servers.map(|ip: IpAddr| SocketAddr::new(ip, 53)).collect(), given: false })
    }

    /// Says what the DNS has for a hop; `None` for an address, which needs no question.
    pub(super) fn in_words(&self, hop: &Hop) -> Option<String> {
        let Host::Name(name) = &hop.host else { return None };
        let mut said = Vec::new();
        if hop.port.is_none() {
            let naptr =
                self.naptr(name).into_iter().map(|record| format!("{} to {}", record.service, record.replacement));
            said.extend(naptr.collect::<BTreeSet<_>>().into_iter().map(|record| format!("NAPTR {record}")));
            for service in ["_sip._udp", "_sip._tcp", "_sips._tcp"] {
                let records = self.srv(&format!("{service}.{name}")).into_iter();
                let targets: Vec<String> = records.map(|record| format!("{}:{}", record.target, record.port)).collect();
                if !targets.is_empty() {
                    said.push(format!("SRV {service} to {}", targets.join(", ")));
                }
            }
            if said.is_empty() {
                said.push("no NAPTR and no SRV".to_owned());
            }
        }
        let addresses: Vec<String> = self.addresses(name).iter().map(ToString::to_string).collect();
        said.push(if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") });
        Some(said.join("; "))
    }

    fn ask<T>(&self, name: &str, kind: TYPE, read: impl Fn(&RData<'_>) -> Option<T>) -> Vec<T> {
        let Ok(name) = Name::new(name.trim_end_matches('.')) else { return Vec::new() };
        for server in &self.servers {
            for _ in 0..TRIES {
                match ask(*server, &name, kind) {
                    Ok(answer) => {
                        let Ok(packet) = Packet::parse(&answer) else { break };
                        return packet.answers.iter().filter_map(|record| read(&record.rdata)).collect();
                    }
                    Err(error) => log::debug!("{server}: {error}"),
                }
            }
        }
        Vec::new()
    }
}

/// Asks one name server once.
fn ask(server: SocketAddr, name: &Name<'_>, kind: TYPE) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut id = [0; 2];
    sipwake::fill_random(&mut id);
    let id = u16::from_be_bytes(id);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(Question::new(name.clone(), kind.into(), CLASS::IN.into(), false));
    *query.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: LARGEST, version: 0 });
    socket.send(&query.build_bytes_vec().map_err(std::io::Error::other)?)?;
    let mut answer = vec![0; LARGEST.into()];
    loop {
        let length = socket.recv(&mut answer)?;
        let ours = Packet::parse(&answer[..length])
            .is_ok_and(|packet| packet.id() == id && packet.has_flags(PacketFlag::RESPONSE));
        if ours {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

impl Resolver for Dns {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if !self.given {
            return SystemResolver.addresses(host);
        }
        let mut found = self.ask(host, TYPE::AAAA, |record| match record {
            RData::AAAA(record) => Some(IpAddr::from(record.address.to_be_bytes())),
            _ => None,
        });
        found.extend(self.ask(host, TYPE::A, |record| match record {
            RData::A(record) => Some(IpAddr::from(record.address.to_be_bytes())),
            _ => None,
        }));
        found
    }

    fn srv(&self, name: &str) -> Vec<Srv> {
        self.ask(name, TYPE::SRV, |record| match record {
            RData::SRV(record) => Some(Srv {
                priority: record.priority,
                weight: record.weight,
                port: record.port,
                target: record.target.to_string(),
            }),
            _ => None,
        })
    }

    fn naptr(&self, domain: &str) -> Vec<Naptr> {
        self.ask(domain, TYPE::NAPTR, |record| match record {
            RData::NAPTR(record) => Some(Naptr {
                order: record.order,
                preference: record.preference,
                flags: record.flags.to_string(),
                service: record.services.to_string(),
                replacement: record.replacement.to_string(),
            }),
            _ => None,
        })
    }
}

/// The addresses of a hop, from SRV records if it names no port.
pub(super) fn addresses(dns: &Dns, hop: &Hop) -> Vec<SocketAddr> {
    let port = hop.port.unwrap_or(hop.transport.default_port());
    let Host::Name(name) = &hop.host else {
        return hop.host.ip().map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
    };
    let service = match hop.transport {
        Transport::Udp => Some("_sip._udp"),
        Transport::Tcp => Some("_sip._tcp"),
        Transport::Tls => Some("_sips._tcp"),
        Transport::Ws | Transport::Wss => None,
    };
    let mut records =
        service.filter(|_| hop.port.is_none()).map(|service| dns.srv(&format!("{service}.{name}"))).unwrap_or_default();
    records.sort_by_key(|record| (record.priority, std::cmp::Reverse(record.weight)));
    let named = records.iter().flat_map(|record| {
        let ips = dns.addresses(record.target.trim_end_matches('.')).into_iter();
        ips.map(|ip| SocketAddr::new(ip, record.port))
    });
    let found: Vec<SocketAddr> = named.collect();
    if found.is_empty() { dns.addresses(name).into_iter().map(|ip| SocketAddr::new(ip, port)).collect() } else { found }
}
