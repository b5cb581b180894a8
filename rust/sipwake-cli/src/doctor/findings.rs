//! What the exchanges show: one rule for each thing that a server does otherwise than a phone needs it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sipwake::core::digest::parse_challenges;
use sipwake::core::push::Reason;
use sipwake::core::sip::{Contact, SipUri, split_list, unescape};
use sipwake::{FlowError, Registered, Standing};

use super::transcript::{Exchange, HINT, Message, Step, digest_param};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Good to know.
    Note,
    /// The phone rings, but not always, or the server keeps what it should forget.
    Remark,
    /// The phone will not ring.
    Fatal,
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Stable, for scripts.
    pub(super) code: &'static str,
    pub(super) weight: Weight,
    pub(super) what: String,
    pub(super) change: &'static str,
}

impl Finding {
    pub(super) fn new(code: &'static str, weight: Weight, what: impl Into<String>, change: &'static str) -> Self {
        Self { code, weight, what: what.into(), change }
    }

    pub(super) fn json(&self) -> Value {
        let weight = match self.weight {
            Weight::Note => "note",
            Weight::Remark => "remark",
            Weight::Fatal => "fatal",
        };
        json!({"code": self.code, "weight": weight, "what": self.what, "change": self.change})
    }
}

/// What the rules look at beside the exchanges.
pub(super) struct Facts<'a> {
    pub(super) exchanges: &'a [Exchange],
    pub(super) registered: Option<&'a Registered>,
    /// Where the account's server is, as text.
    pub(super) server: &'a str,
    /// The hosts that the user named.
    pub(super) hosts: &'a [String],
    pub(super) connected: bool,
    /// The last four characters of the first token.
    pub(super) old_token: &'a str,
    /// What was asked for, in seconds.
    pub(super) expires: u32,
}

/// Applies each rule; each finds a thing once.
pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in [challenges, refusals, contacts, lifetimes, removals, push, flows] {
        for finding in rule(facts) {
            if !found.iter().any(|known: &Finding| known.code == finding.code) {
                found.push(finding);
            }
        }
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    found
}

/// Slower than this, a caller has hung up before the phone rings.
const SLOW: Duration = Duration::from_secs(4);
/// A shorter lifetime keeps a phone's radio awake.
const SHORT: Duration = Duration::from_secs(120);
/// Longer lines than this are cut by many servers and clients.
const LONG_LINE: usize = 8000;

fn authorized_nc(request: &Message) -> Option<&str> {
    request.is_authorized().then(|| request.digests().find_map(|value| digest_param(value, "nc")).unwrap_or("00000001"))
}

fn is_challenge(status: Option<u16>) -> bool {
    matches!(status, Some(401 | 407))
}

fn challenges(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut realms = BTreeSet::new();
    let mut stale_answers = 0;
    let asked = facts.exchanges.iter().any(|exchange| is_challenge(exchange.status()));
    if !asked && facts.exchanges.iter().any(|exchange| exchange.status() == Some(200)) {
        found.push(Finding::new(
            "no-authentication",
            Weight::Remark,
            "the server asks for no password: anybody can take this user's calls",
            "switch authentication on (Kamailio: WITH_AUTH)",
        ));
    }
    for exchange in facts.exchanges {
        let Some(response) = exchange.response.as_ref().filter(|_| is_challenge(exchange.status())) else { continue };
        let values: Vec<&str> = response.digests().collect();
        let stale = values.iter().any(|value| digest_param(value, "stale") == Some("true"));
        realms.extend(values.iter().filter_map(|value| digest_param(value, "realm")).map(str::to_owned));
        let authorized = authorized_nc(&exchange.request);
        if values.is_empty() {
            found.push(Finding::new(
                "challenge-missing",
                Weight::Fatal,
                "the server answers 401 without a challenge, so nobody can log in",
                "look for a proxy that removes WWW-Authenticate, and at the registrar's authentication settings",
            ));
        } else if parse_challenges(values.iter().copied(), []).is_empty() {
            let named: Vec<&str> = values.iter().filter_map(|value| digest_param(value, "algorithm")).collect();
            found.push(Finding::new(
                "algorithm-unknown",
                Weight::Fatal,
                format!("the server offers only digest algorithms that phones do not have: {}", named.join(", ")),
                "offer MD5 or SHA-256 (RFC 8760)",
            ));
        } else if authorized.is_none() && stale {
            found.push(Finding::new(
                "stale-always",
                Weight::Remark,
                "the server says stale=true although no nonce was used, so a wrong password looks like an old nonce",
                "send stale=true only for a right answer to an old nonce (RFC 7616 section 3.3)",
            ));
        } else if authorized.is_some() && stale {
            stale_answers += 1;
        } else if authorized == Some("00000001") {
            found.push(Finding::new(
                "wrong-password",
                Weight::Fatal,
                "the server refuses the user name or the password",
                "check --aor, --auth-user and the password",
            ));
        }
        if let Some(uri) = response.header("X-Sy.AuthURI") {
            let host = SipUri::parse(uri.trim_matches(['<', '>'])).map(|uri| uri.host.to_string());
            if host.is_none_or(|host| !facts.hosts.contains(&host)) {
                found.push(Finding::new(
                    "auth-uri-elsewhere",
                    Weight::Remark,
                    "X-Sy.AuthURI names a host that you did not: who answers for it can use the answer there",
                    "have the server name itself or the upper server, or leave the header out",
                ));
            }
        }
    }
    if stale_answers >= 2 {
        found.push(Finding::new(
            "stale-four-times",
            Weight::Fatal,
            "the server calls fresh nonces stale, again and again",
            "have all nodes of the cluster share their nonces, or send a user to one node",
        ));
    } else if stale_answers == 1 {
        found.push(Finding::new(
            "two-round-trips",
            Weight::Note,
            "a nonce was not good for a second request: a wake-up takes two round trips",
            "let nonces live for as long as registrations",
        ));
    }
    if realms.len() > 1 {
        found.push(Finding::new(
            "realm-changes",
            Weight::Remark,
            format!("the server challenges in several realms: {}", realms.into_iter().collect::<Vec<_>>().join(", ")),
            "use one realm: X-PIID and stored HA1 values hold for one only",
        ));
    }
    found
}

fn refusals(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let succeeded = |exchange: &Exchange| exchange.status() == Some(200);
    let ever = facts.exchanges.iter().any(succeeded);
    let too_brief = facts.exchanges.iter().filter(|exchange| exchange.status() == Some(423)).count();
    for exchange in facts.exchanges.iter().filter(|exchange| !exchange.removes()) {
        let Some(response) = &exchange.response else {
            found.push(Finding::new(
                "silent",
                if ever { Weight::Remark } else { Weight::Fatal },
                "the server does not answer",
                "check address, port and transport, a firewall, and whether fail2ban has shut this address out",
            ));
            continue;
        };
        if exchange.took > SLOW {
            found.push(Finding::new(
                "slow",
                Weight::Remark,
                format!("the server took {:.1} s for an answer", exchange.took.as_secs_f64()),
                "a caller waits for a wake-up: look at the registrar's database and name server",
            ));
        }
        let reused = authorized_nc(&exchange.request).is_some_and(|nc| nc != "00000001");
        let once = match exchange.status() {
            Some(403) => Some("nonce-once-403"),
            Some(400) => Some("nonce-once-400"),
            Some(500) => Some("nonce-once-500"),
            _ => None,
        };
        if let Some(code) = once.filter(|_| reused) {
            found.push(Finding::new(
                code,
                Weight::Remark,
                format!("the server refuses a nonce that was used before: {}", response.first),
                "answer with a new challenge and stale=true (RFC 7616 section 3.3)",
            ));
            continue;
        }
        let error = response.header("P-Registrar-Error").or(response.header("Warning")).unwrap_or_default();
        match exchange.status() {
            Some(400) if error.contains("too long") => found.push(Finding::new(
                "contact-too-long",
                Weight::Fatal,
                format!("the server refuses a Contact as long as push needs it: {error}"),
                "raise the registrar's limit (Kamailio: contact_max_size; OpenSIPS: a version after issue 3303)",
            )),
            Some(404) if ever => found.push(Finding::new(
                "unknown-at-first",
                Weight::Remark,
                "the server did not know the user at first, and then did",
                "load users before the registrar takes requests: a phone gives up after a 404",
            )),
            Some(404) => found.push(Finding::new(
                "unknown-user",
                Weight::Fatal,
                "the server does not know the user",
                "check --aor and --server",
            )),
            Some(403) if ever => found.push(Finding::new(
                "refused-at-times",
                Weight::Remark,
                "the server refuses the user at times (403), and at times does not",
                "look for a node of the cluster that lacks the user's data",
            )),
            Some(403) => found.push(Finding::new(
                "refused",
                Weight::Fatal,
                format!("the server refuses the user: {} {error}", response.first),
                "check the account at the server; some answer 403 to a wrong password",
            )),
            Some(503) => found.push(Finding::new(
                "busy-at-times",
                if ever { Weight::Remark } else { Weight::Fatal },
                "the server says that it is overloaded (503)",
                "look at its load; give the account a second gateway",
            )),
            Some(302 | 301 | 305) => {
                let circles = response.contacts().iter().any(|contact| contact.uri.contains(facts.server));
                found.push(if circles {
                    Finding::new(
                        "redirected-in-circles",
                        Weight::Fatal,
                        "the server redirects to itself",
                        "let the load balancer proxy instead of redirecting, or name another server",
                    )
                } else {
                    Finding::new(
                        "redirected",
                        Weight::Remark,
                        format!("the server redirects: {}", response.first),
                        "name the server that it points to with --server: secrets do not follow a redirect",
                    )
                });
            }
            Some(423) if too_brief >= 2 => found.push(Finding::new(
                "lifetime-too-brief",
                Weight::Fatal,
                "the server refuses each lifetime as too brief (423)",
                "lower the registrar's minimum (Kamailio: min_expires)",
            )),
            _ => {}
        }
    }
    found
}

/// The exchanges in which a Contact was bound, with it and the 200.
fn bindings<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a Exchange, Contact<'a>, &'a Message)> {
    let bound = |exchange: &'a Exchange| {
        let response = exchange.response.as_ref().filter(|_| exchange.status() == Some(200))?;
        Some((exchange, exchange.bound()?, response))
    };
    facts.exchanges.iter().filter_map(bound)
}

/// The last four characters of a traced token.
fn token_hint(uri: &str) -> Option<&str> {
    uri.split(';').find_map(|param| param.strip_prefix("pn-prid="))?.strip_prefix(HINT)?.get(..4)
}

fn contacts(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for response in facts.exchanges.iter().filter(|exchange| exchange.status() == Some(200)) {
        let Some(response) = &response.response else { continue };
        let lines: Vec<&str> = response.all("Contact").collect();
        if lines.iter().any(|line| line.len() > LONG_LINE) {
            found.push(Finding::new(
                "contact-crowd",
                Weight::Note,
                format!("the server lists {} Contacts in one line", response.contacts().len()),
                "limit the bindings of a user (Kamailio: max_contacts), and let old ones expire",
            ));
        }
        let readable = |value: &str| Contact::parse(value).and_then(|contact| contact.parsed()).is_some();
        if lines.iter().flat_map(|line| split_list(line)).any(|value| !readable(value)) {
            found.push(Finding::new(
                "contact-broken-neighbour",
                Weight::Remark,
                "the server lists a Contact of another device that cannot be read",
                "find the device that registered it; other clients may not find theirs behind it",
            ));
        }
    }
    for (_, ours, response) in bindings(facts) {
        if response.header("Contact").is_none() {
            found.push(Finding::new(
                "contact-unlisted",
                Weight::Remark,
                "the server lists no Contact in its 200, so nobody can tell what it holds",
                "list the bindings (RFC 3261 section 10.3)",
            ));
            continue;
        }
        let listed = response.contacts();
        if !listed.iter().any(|contact| contact.uri == ours.uri) {
            found.extend(rewritten(&ours, &listed));
        }
    }
    found
}

/// Says how the server changed our Contact, by the listed one that is most like it.
fn rewritten(ours: &Contact<'_>, listed: &[Contact<'_>]) -> Option<Finding> {
    let own = ours.parsed()?;
    let of_user = |contact: &&Contact<'_>| contact.parsed().is_some_and(|uri| uri.user == own.user);
    let theirs = listed.iter().rfind(of_user)?;
    let parsed = theirs.parsed()?;
    let plain = |uri: &str| {
        let parts = uri.split(';').filter(|part| !part.starts_with("pn-prid="));
        parts.map(|part| unescape(part).map(std::borrow::Cow::into_owned).unwrap_or_default()).collect::<Vec<_>>()
    };
    let pushes = |uri: &str| uri.contains(";pn-");
    Some(if pushes(ours.uri) && !pushes(theirs.uri) {
        Finding::new(
            "push-stripped",
            Weight::Fatal,
            "the server forgets the push parameters of our Contact",
            "let the session border controller or proxy in front pass pn-* and X-MPUSH on",
        )
    } else if parsed.host != own.host || parsed.port != own.port {
        Finding::new(
            "contact-rewritten",
            Weight::Note,
            "the server lists our Contact with the address that it saw",
            "nothing for sipwake; other clients need rewriting switched off (Asterisk: rewrite_contact)",
        )
    } else if plain(ours.uri) == plain(theirs.uri) {
        Finding::new(
            "contact-escaped",
            Weight::Note,
            "the server lists our Contact with other characters escaped",
            "nothing for sipwake; servers that compare Contacts byte by byte may not find it again",
        )
    } else {
        Finding::new(
            "contact-shortened",
            Weight::Note,
            "the server lists our Contact without some of its parameters",
            "nothing for sipwake, unless transport matters for calls",
        )
    })
}

fn lifetimes(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, ours, response) in bindings(facts) {
        let listed = response.contacts();
        let of = listed.iter().find(|contact| contact.uri == ours.uri).or(listed.last());
        let param = of.and_then(Contact::expires);
        let header: Option<u32> = response.header("Expires").and_then(|value| value.parse().ok());
        match (param, header) {
            (Some(0), _) | (None, Some(0)) => found.push(Finding::new(
                "lifetime-zero",
                Weight::Fatal,
                "the server answers 200 and grants no time",
                "allow at least one Contact for the user (Asterisk: max_contacts)",
            )),
            (None, None) => found.push(Finding::new(
                "lifetime-unsaid",
                Weight::Remark,
                "the server does not say how long the binding lives",
                "send expires with each Contact (RFC 3261 section 10.3)",
            )),
            (None, Some(_)) if !listed.is_empty() => found.push(Finding::new(
                "lifetime-in-header",
                Weight::Note,
                "the server tells the lifetime in the Expires header alone",
                "send expires with each Contact (RFC 3261 section 10.3)",
            )),
            (Some(granted), _) if Duration::from_secs(granted.into()) <= SHORT && granted < facts.expires => {
                found.push(Finding::new(
                    "lifetime-cut",
                    Weight::Remark,
                    format!("the server grants {granted} s, of {} s that were asked for", facts.expires),
                    "grant an hour where push wakes the phone: each refresh wakes its radio",
                ));
            }
            _ => {}
        }
    }
    found
}

fn removals(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for exchange in facts.exchanges.iter().filter(|exchange| exchange.removes()) {
        let named = exchange.request.contacts();
        let still = exchange.response.as_ref().is_some_and(|response| {
            let listed = response.contacts();
            named.iter().any(|own| listed.iter().any(|contact| contact.uri == own.uri && contact.expires() != Some(0)))
        });
        match exchange.status() {
            Some(403) => found.push(Finding::new(
                "removal-refused",
                Weight::Remark,
                "the server refuses to forget a binding (403): a user who logged out goes on getting pushes",
                "accept a REGISTER with Expires: 0 from whoever may register",
            )),
            Some(301 | 302 | 305) => found.push(Finding::new(
                "removal-redirected",
                Weight::Remark,
                "the server redirects a removal to another host",
                "take a removal where the binding was made",
            )),
            Some(555) => found.push(Finding::new(
                "removal-needs-no-push",
                Weight::Remark,
                "the server answers 555 to a removal that names the push parameters which it has bound",
                "ignore pn-* in a removal",
            )),
            Some(200) if still => found.push(not_removed()),
            _ => {}
        }
    }
    let rotated =
        facts.exchanges.iter().filter(|exchange| exchange.step == Step::Rotate && exchange.status() == Some(200));
    for response in rotated.filter_map(|exchange| exchange.response.as_ref()) {
        let old = |contact: &Contact<'_>| token_hint(contact.uri) == Some(facts.old_token);
        if response.contacts().iter().any(old) {
            found.push(Finding::new(
                "old-token-stays",
                Weight::Remark,
                "a new token makes a second binding, and the old one stays although it was removed",
                "compare Contacts without pn-prid, and take a Contact with expires=0 beside a live one",
            ));
        }
    }
    found
}

/// Says why no flow to the server could be opened.
pub(super) fn no_flow(error: &FlowError) -> Finding {
    let (code, change) = match error {
        FlowError::Unresolved => ("no-address", "check --server and the DNS"),
        FlowError::Certificate(_) => {
            ("certificate", "renew it, or name the authority or the key that you trust with --ca or --pin")
        }
        FlowError::ClientCertificate(_) => {
            ("client-certificate", "give one that the server trusts, with --client-certificate")
        }
        FlowError::Tls(_) => ("tls", "check that the port speaks TLS, and TLS 1.2 or later"),
        FlowError::WebSocket(_) => ("websocket", "check --path, and that the server takes the sub-protocol sip"),
        FlowError::Garbage => ("not-sip", "check the port: what answers there is no SIP server"),
        _ => ("unreachable", "check address, port, transport and firewall"),
    };
    Finding::new(code, Weight::Fatal, format!("no way to the server: {error}"), change)
}

pub(super) fn not_removed() -> Finding {
    Finding::new(
        "removal-not-done",
        Weight::Remark,
        "the server says 200 to a removal and keeps the binding",
        "look at the registrar's database: it answers from elsewhere than it stores",
    )
}

fn push(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let bound_before = |exchange: &Exchange| {
        let earlier = bindings(facts).map(|(other, ..)| other.step).min();
        earlier.is_some_and(|step| step < exchange.step)
    };
    for exchange in facts.exchanges.iter().filter(|exchange| !exchange.removes() && exchange.status() == Some(555)) {
        found.push(if bound_before(exchange) {
            Finding::new(
                "push-later-555",
                Weight::Fatal,
                "the server took the push parameters once, and then refuses them (555)",
                "look at the push provider's settings: they changed, or differ between nodes",
            )
        } else {
            Finding::new(
                "push-refused",
                Weight::Fatal,
                "the server does not push through this provider (555)",
                "enable the provider at the server, or choose another --provider or --dialect",
            )
        });
    }
    let Some(registered) = facts.registered else { return found };
    let ours = bindings(facts).find_map(|(_, ours, _)| ours.parsed()?.host.ip());
    if let (Some(ours), Some(seen)) = (ours, registered.observed)
        && ours != seen.ip()
    {
        found.push(Finding::new(
            "nat",
            Weight::Note,
            format!("there is a NAT: the server sees {seen}, not {ours}"),
            "nothing: a push needs no way in, and the REGISTER that follows opens one",
        ));
    }
    if registered.suspicious_server {
        found.push(Finding::new(
            "wrong-server-proof",
            Weight::Remark,
            "the server's proof that it knows the password is wrong (rspauth): somebody may stand between",
            "use TLS; look for a proxy that answers in the registrar's place",
        ));
    }
    match (&registered.verdict.standing, &registered.verdict.reason) {
        (Standing::Confirmed | Standing::NotAsked, _)
        | (
            _,
            // The answers themselves tell these.
            Reason::ProviderRefused | Reason::OtherDialectAfterRefusal | Reason::ContactRefused(_),
        ) => {}
        (standing, Reason::OtherProviders(others)) => found.push(Finding::new(
            "push-other-provider",
            if *standing == Standing::Refused { Weight::Fatal } else { Weight::Remark },
            format!("the server pushes through other providers than yours: {}", others.join(", ")),
            "set the server up for this provider, or choose another --provider",
        )),
        _ => found.push(Finding::new(
            "push-unsaid",
            Weight::Remark,
            "the server accepts the push parameters and does not say that it pushes; only a call shows it",
            "send Feature-Caps (RFC 8599 section 4); Kamailio: docs/servers/kamailio.md",
        )),
    }
    found
}

fn flows(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let of_client = facts.exchanges.iter().filter(|exchange| !matches!(exchange.step, Step::Read | Step::ReadAgain));
    let flows: BTreeSet<u64> = of_client.map(|exchange| exchange.flow).collect();
    if facts.connected && flows.len() > 1 {
        found.push(Finding::new(
            "closes-afterwards",
            Weight::Remark,
            "the server closes the connection after a registration: calls find no way in",
            "raise the idle time of the load balancer above the keep-alive's",
        ));
    }
    for exchange in facts.exchanges {
        let Some(response) = &exchange.response else { continue };
        if let Some(seconds) = response.header("Flow-Timer") {
            found.push(Finding::new(
                "flow-timer",
                Weight::Note,
                format!("the server wants a keep-alive every {seconds} s (Flow-Timer)"),
                "a phone that push wakes needs none: leave it out where the binding has push",
            ));
        }
        let asked = exchange.request.header("Via").is_some_and(|via| via.contains(";rport"));
        if asked && !response.header("Via").is_some_and(|via| via.contains("rport=")) {
            found.push(Finding::new(
                "via-unfilled",
                Weight::Note,
                "the server does not say from where it saw the request (rport, RFC 3581)",
                "behind NAT calls need it: Kamailio's force_rport()",
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(request: &str, response: &str) -> Exchange {
        Exchange {
            step: Step::Register,
            flow: 1,
            request: Message::parse(request),
            response: Some(Message::parse(response)),
            took: Duration::ZERO,
        }
    }

    fn codes(exchanges: &[Exchange]) -> Vec<&'static str> {
        let facts = Facts {
            exchanges,
            registered: None,
            server: "192.0.2.1:5060",
            hosts: &[],
            connected: false,
            old_token: "0001",
            expires: 3600,
        };
        find(&facts).into_iter().map(|finding| finding.code).collect()
    }

    const REGISTER: &str =
        "REGISTER sip:a SIP/2.0\nContact: <sip:alice@10.0.0.7:5060;pn-prid=…0001 (40)>\nExpires: 3600\n";

    #[test]
    fn a_healthy_registration_shows_nothing() {
        let ok = "SIP/2.0 200 OK\nContact: <sip:alice@10.0.0.7:5060;pn-prid=…0001 (40)>;expires=3600\n";
        let challenge = "SIP/2.0 401 Unauthorized\nWWW-Authenticate: Digest realm=\"a\", nonce=\"n\"\n";
        assert_eq!(codes(&[exchange(REGISTER, challenge), exchange(REGISTER, ok)]), [] as [&str; 0]);
        assert_eq!(codes(&[exchange(REGISTER, ok)]), ["no-authentication"]);
    }

    #[test]
    fn a_reused_nonce_is_told_from_a_user_who_is_refused() {
        let with = |nc: &str| format!("{REGISTER}Authorization: Digest realm=\"a\", nonce=\"…\", nc={nc}\n");
        let refused = "SIP/2.0 403 Forbidden\n";
        assert_eq!(codes(&[exchange(&with("00000002"), refused)]), ["nonce-once-403"]);
        assert_eq!(codes(&[exchange(&with("00000001"), refused)]), ["refused"]);
    }

    #[test]
    fn whatever_a_server_sends_no_rule_panics() {
        for text in [
            "",
            "SIP/2.0",
            "SIP/2.0 200",
            "SIP/2.0 200 OK\nContact: ,<,\"\nExpires: x\n",
            "SIP/2.0 401 x\nWWW-Authenticate: \n",
        ] {
            codes(&[exchange(REGISTER, text), exchange(text, text)]);
        }
    }
}
