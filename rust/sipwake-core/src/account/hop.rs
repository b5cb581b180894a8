//! The next address of a request, and its transport.

use serde::{Deserialize, Serialize};

use crate::sip::{Host, SipUri};

/// The transport that a flow runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RFC 3261 over UDP.
    Udp,
    /// RFC 3261 over TCP.
    Tcp,
    /// RFC 3261 over TLS.
    Tls,
    /// RFC 7118 over WebSocket.
    Ws,
    /// RFC 7118 over WebSocket and TLS.
    Wss,
}

impl Transport {
    /// Returns the token that a Via header carries, for example `TCP`.
    pub fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Returns the value of a URI's `transport` parameter, for example `tcp`.
    pub fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Returns the transport that a `transport` parameter names, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|transport| transport.param().eq_ignore_ascii_case(text))
    }

    /// Returns `true` if the bytes arrive in order or not at all, so that nothing is retransmitted (RFC 3261 section
    /// 17.1.2.2).
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Returns `true` if nobody on the path can read the messages.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Returns `true` if each SIP message is one WebSocket message (RFC 7118).
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Returns the port that is used when none is given (RFC 3261 19.1.2, RFC 7118).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Where a request is sent next: what RFC 3263 resolves to an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Name or address.
    pub host: Host,
    /// The port, where one was given: then no SRV look-up is made.
    pub port: Option<u16>,
    /// The transport.
    pub transport: Transport,
    /// `true` when the transport was given rather than taken by default: then no NAPTR look-up is made.
    pub explicit_transport: bool,
    /// The path that a WebSocket is opened on; `/` when absent.
    pub path: Option<String>,
}

impl Hop {
    pub(crate) fn of(uri: &SipUri, fallback: Option<Transport>) -> Self {
        let named = uri.params.value("transport").and_then(Transport::parse);
        let transport = match (named.or(fallback), uri.secure) {
            (Some(Transport::Tcp | Transport::Udp) | None, true) => Transport::Tls,
            (Some(Transport::Ws), true) => Transport::Wss,
            (Some(transport), _) => transport,
            (None, false) => Transport::Udp,
        };
        let explicit_transport = named.is_some() || fallback.is_some();
        Self { host: uri.host.clone(), port: uri.port, transport, explicit_transport, path: None }
    }

    /// Reads `ws://host[:port][/path]` and `wss://…` (RFC 6455 section 3), the form in which WebSocket servers are
    /// named.
    pub(super) fn of_websocket(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://")?;
        let transport = Transport::parse(scheme).filter(|transport| transport.is_websocket())?;
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(&rest[at..])),
            None => (rest, None),
        };
        let uri = SipUri::parse(&format!("sip:{authority}"))?;
        let plain = uri.user.is_none() && uri.params.is_empty() && uri.headers.is_none();
        // The characters of RFC 3986's pchar, without those that would end the request line or begin a fragment.
        let is_path = |path: &str| path.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte));
        (plain && path.is_none_or(is_path)).then(|| Self {
            host: uri.host,
            port: uri.port,
            transport,
            explicit_transport: true,
            path: path.map(str::to_owned),
        })
    }

    /// Returns the hop as a URI. [`named`](Self::named) reads it again, even if the account's settings have changed by
    /// then.
    pub(crate) fn name(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let host = self.host.to_string();
        match (self.transport, self.explicit_transport) {
            (Transport::Ws | Transport::Wss, _) => {
                [self.transport.param(), "://", &host, &port, self.path.as_deref().unwrap_or_default()].concat()
            }
            (Transport::Udp, false) => ["sip:", &host, &port].concat(),
            (Transport::Tls, false) => ["sips:", &host, &port].concat(),
            (transport, _) => ["sip:", &host, &port, ";transport=", transport.param()].concat(),
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::of_websocket(name).or_else(|| Some(Self::of(&SipUri::parse(name)?, None)))
    }
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port.unwrap_or(self.transport.default_port()), self.transport.param())
    }
}
