//! The one place that decides which host may get a secret: hosts that the app configured, over the transport that it
//! allowed.
//!
//! | secret | goes to |
//! |---|---|
//! | push token, digest answer | configured hosts, and where a redirect may be followed |
//! | answer to a nonce | the host that gave the nonce |
//! | digest answer inside a call | a realm that the registrar named, which asks for no less than it did |
//! | `X-PIID` | configured hosts alone, where it is asked for, for the realm that was configured or pinned |
//!
//! Hosts are the registrar, the gateways, the outbound proxy, and what [`UpperServer`](crate::account::UpperServer) names. What
//! arrives from a network (a redirect, a route, a name, a challenge) adds none.

use crate::account::{Account, Hop, Transport, uri_or_host};
use crate::digest::HostId;
use crate::push::{MIZUTECH_GATEWAY, Push};
use crate::sip::{Host, SipUri};

/// Something that somebody on the network asked for. It was not done, unless it says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The server redirects to a place for which the app has not allowed its secrets.
    #[error("the server redirects to {target}, but sipwake sent nothing there: {why}")]
    RedirectRefused {
        /// Where to, `host:port/transport`.
        target: String,
        /// Why it is not followed, and what allows it.
        why: RedirectRefusal,
    },
    /// `X-Sy.AuthURI` is no SIP URI, or names a host that is neither the registrar nor the upper server, so it is not
    /// used.
    #[error(
        "the server wants the password's digest made for {uri}, which is neither the registrar nor the upper server: to allow \
         it, name that host in the account's `upper`"
    )]
    AuthUriRefused {
        /// The URI.
        uri: String,
    },
    /// Over a transport without TLS, where others can write, too, a server asks for another realm than before. It was
    /// answered, because servers may change their realms.
    #[error(
        "over a transport that others can change, a server now asks for the realm \"{asked}\", before it was \"{known}\"; it was \
         answered. With TLS nobody on the destination can ask"
    )]
    RealmChanged {
        /// The realm that asked before.
        known: String,
        /// The realm that asks now.
        asked: String,
    },
    /// The server asks for another realm than the one that `X-PIID` is pinned to. `X-PIID` stays as it was.
    #[error(
        "the server asks for the realm \"{asked}\", and X-PIID is pinned to \"{pinned}\", for which it is still sent: accept the \
         new realm if the server's operator confirms it"
    )]
    PinnedRealmChanged {
        /// The realm that X-PIID is made for.
        pinned: String,
        /// The realm that asks now. [`accept_realm`](crate::user_agent::UserAgent::accept_realm) accepts it.
        asked: String,
    },
    /// Somebody inside a call asks for credentials and gets none.
    #[error(
        "inside a call somebody asks for the password of the realm \"{realm}\" and was not answered: the registrar never asked \
         for that realm, or asks for more, or the app forbids answers in calls"
    )]
    CallChallengeRefused {
        /// The realm that was claimed.
        realm: String,
    },
    /// The proof in `Authentication-Info` is wrong, so its sender does not know the password. The response was
    /// accepted, unless the account requires a proof.
    #[error(
        "the server's proof that it knows the password (rspauth) is wrong: somebody may be between; to accept no such response, \
         set `require_server_proof`"
    )]
    ServerProofWrong,
}

impl Warning {
    /// Returns the realm that was asked for, if the warning is about one.
    pub fn realm(&self) -> Option<&str> {
        match self {
            Self::RealmChanged { asked, .. } | Self::PinnedRealmChanged { asked, .. } => Some(asked),
            Self::CallChallengeRefused { realm } => Some(realm),
            Self::RedirectRefused { .. } | Self::AuthUriRefused { .. } | Self::ServerProofWrong => None,
        }
    }

    /// Returns a name that stays the same, for logs and statistics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RedirectRefused { .. } => "redirect-refused",
            Self::AuthUriRefused { .. } => "auth-uri-refused",
            Self::RealmChanged { .. } => "realm-changed",
            Self::PinnedRealmChanged { .. } => "pinned-realm-changed",
            Self::CallChallengeRefused { .. } => "call-challenge-refused",
            Self::ServerProofWrong => "server-proof-wrong",
        }
    }
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectRefusal {
    /// The app did not configure the host.
    #[error("the app did not configure that host; to allow it, name it in the account's `gateways`")]
    ForeignHost,
    /// It is below a configured name, but came over a transport without TLS, where others can write, too.
    #[error(
        "it came over a transport that others can change, where only configured hosts are followed; to allow it, use TLS or name \
         the host in the account's `gateways`"
    )]
    Unauthenticated,
    /// Others could read the messages there. They cannot read them here, or where the app configured that host.
    #[error(
        "it leads from TLS to a transport that others can read, which is never followed; the server must name `transport=tls`"
    )]
    WeakerTransport,
    /// Its `maddr` names another host than its host part.
    #[error("its maddr parameter names another host; the server must redirect to that host by name")]
    Maddr,
}

/// Who is at the other end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    id: HostId,
    redirected: bool,
}

impl Peer {
    pub(crate) fn configured(hop: &Hop) -> Self {
        Self { id: Self::id(hop), redirected: false }
    }

    pub(crate) fn redirected(hop: &Hop) -> Self {
        Self { id: Self::id(hop), redirected: true }
    }

    /// There is no peer yet.
    pub(crate) fn none() -> Self {
        Self { id: HostId::default(), redirected: true }
    }

    /// The same server has the same id with and without TLS, over UDP and over TCP.
    fn id(hop: &Hop) -> HostId {
        let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
        HostId::of(&[plain(&hop.host), port].concat())
    }

    /// Tells its nonces from those of others.
    pub(crate) fn host(self) -> HostId {
        self.id
    }
}

/// Whether `X-PIID` may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Nobody asked for it.
    No,
    Yes,
    /// Others can read it, and the app allows that.
    InTheClear,
    /// Others could read it, or a redirect led there.
    Withheld,
}

/// What an account trusts.
pub(crate) struct Trusted<'a>(&'a Account);

impl<'a> Trusted<'a> {
    pub(crate) fn by(account: &'a Account) -> Self {
        Self(account)
    }

    /// Where a 3xx leads that came over `from`. `Err` says what was refused.
    pub(crate) fn redirect(&self, from: Transport, uri: &SipUri) -> Result<Hop, Warning> {
        let hop = Hop::of(uri, Some(from));
        let refusal = self.redirect_refusal(from, uri, &hop);
        refusal.map_or(Ok(hop.clone()), |why| Err(Warning::RedirectRefused { target: hop.to_string(), why }))
    }

    fn redirect_refusal(&self, from: Transport, uri: &SipUri, to: &Hop) -> Option<RedirectRefusal> {
        let target = plain(&to.host);
        // RFC 3261 section 19.1.1: maddr overrides the host. But the certificate would be for the host.
        if uri.params.iter().any(|(name, _)| name.eq_ignore_ascii_case("maddr"))
            && uri.params.value("maddr").is_none_or(|host| plain_text(host) != target)
        {
            return Some(RedirectRefusal::Maddr);
        }
        let hosts = self.hosts();
        let named = hosts.contains(&target);
        if !named {
            let below = |known: &String| {
                known.contains('.')
                    && is_name(known)
                    && target.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'))
            };
            if !hosts.iter().any(below) {
                return Some(RedirectRefusal::ForeignHost);
            }
            if !from.is_secure() {
                return Some(RedirectRefusal::Unauthenticated);
            }
        }
        let weaker = (from.is_secure() || self.is_secure_only(&target)) && !to.transport.is_secure();
        weaker.then_some(RedirectRefusal::WeakerTransport)
    }

    /// Whether `X-Sy.AuthURI` may become the digest URI.
    pub(crate) fn digest_uri(&self, uri: &SipUri) -> bool {
        let host = plain(&uri.host);
        self.registrar().chain(self.upper()).any(|known| known == host)
    }

    /// Whether the app wants `X-PIID`: it names Mizutech's gateway or server, or says so.
    pub(crate) fn wants_piid(&self, push: Option<&Push>) -> bool {
        self.0.send_piid().unwrap_or_else(|| {
            let names_mpush = push.is_some_and(Push::names_mpush);
            self.names_mizutechs() || (!self.0.gateways().is_empty() && names_mpush)
        })
    }

    /// Whether the app names Mizutech's own gateway, or a server behind a gateway. Only Mizutech's gateways know that.
    pub(crate) fn names_mizutechs(&self) -> bool {
        self.upper().next().is_some() || self.gateways().any(|host| MIZUTECH_GATEWAY.split(':').next() == Some(&*host))
    }

    /// Whether `X-PIID` may go to a peer over this transport.
    pub(crate) fn piid(&self, push: Option<&Push>, peer: Peer, over: Transport) -> Leave {
        match (over.is_secure(), self.0.allows_cleartext_secrets()) {
            _ if !self.wants_piid(push) => Leave::No,
            _ if peer.redirected => Leave::Withheld,
            (true, _) => Leave::Yes,
            (false, true) => Leave::InTheClear,
            (false, false) => Leave::Withheld,
        }
    }

    /// Whether the key for sealed pushes may go to a peer over this transport.
    pub(crate) fn push_key(&self, peer: Peer, over: Transport) -> bool {
        self.0.sends_push_key() && over.is_secure() && !peer.redirected
    }

    /// Whether a peer may set the realm of `X-PIID` over this transport.
    pub(crate) fn realm_from(&self, peer: Peer, over: Transport) -> bool {
        !peer.redirected && (over.is_secure() || self.0.allows_cleartext_secrets())
    }

    /// The hosts that the app named, in lower case and without a dot at the end.
    fn hosts(&self) -> Vec<String> {
        let proxy = self.0.route().and_then(SipUri::parse).map(|uri| plain(&uri.host));
        self.registrar().chain(self.gateways()).chain(proxy).chain(self.upper()).collect()
    }

    fn registrar(&self) -> impl Iterator<Item = String> {
        SipUri::parse(self.0.registrar()).into_iter().map(|uri| plain(&uri.host))
    }

    fn gateways(&self) -> impl Iterator<Item = String> {
        self.0.hops().iter().map(|hop| plain(&hop.host))
    }

    fn upper(&self) -> impl Iterator<Item = String> {
        let upper = self.0.upper();
        let named = upper.map(|upper| [&upper.server, &upper.proxy, &upper.domain]).into_iter().flatten().flatten();
        named.map(|text| plain_text(text)).filter(|host| !host.is_empty())
    }

    /// Whether the app reaches a host only over TLS.
    fn is_secure_only(&self, host: &str) -> bool {
        let secure = SipUri::parse(self.0.registrar()).is_some_and(|registrar| registrar.secure);
        let mut ways = self.0.hops().iter().filter(|hop| plain(&hop.host) == host).peekable();
        secure || (ways.peek().is_some() && ways.all(|hop| hop.transport.is_secure()))
    }
}

fn plain(host: &Host) -> String {
    let mut text = host.to_string();
    text.make_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// The host of a URI, of `host:port`, or of a plain host.
fn plain_text(text: &str) -> String {
    uri_or_host(text).map(|uri| plain(&uri.host)).unwrap_or_default()
}

/// Whether a host is a name. Only below a name may there be other names.
fn is_name(host: &str) -> bool {
    matches!(Host::parse(host), Some(Host::Name(name)) if !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}
