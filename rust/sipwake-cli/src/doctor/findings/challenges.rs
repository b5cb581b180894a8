//! The server's challenges and nonces.

use std::collections::BTreeSet;

use sipwake::core::digest::parse_challenges;
use sipwake::core::sip::SipUri;

use super::super::transcript::digest_param;
use super::{Facts, Finding, Weight, authorized_nc, is_challenge};

pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut realms = BTreeSet::new();
    let mut stale_answers = 0;
    let asked = facts.exchanges.iter().any(|exchange| is_challenge(exchange.status()));
    if !asked && facts.exchanges.iter().any(|exchange| exchange.status() == Some(200)) {
        found.push(Finding::new(
            "no-authentication",
            Weight::Remark,
            "the server asks for no password, so anybody can receive this user's calls",
            "enable authentication (Kamailio: WITH_AUTH)",
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
                "the server responds 401 without a challenge, so no phone can register",
                "find the proxy that removes WWW-Authenticate, or check the registrar's authentication settings",
            ));
        } else if parse_challenges(values.iter().copied(), []).is_empty() {
            let named: Vec<&str> = values.iter().filter_map(|value| digest_param(value, "algorithm")).collect();
            found.push(Finding::new(
                "algorithm-unknown",
                Weight::Fatal,
                format!("the server offers only digest algorithms that phones do not support: {}", named.join(", ")),
                "offer MD5 or SHA-256 (RFC 8760)",
            ));
        } else if authorized.is_none() && stale {
            found.push(Finding::new(
                "stale-always",
                Weight::Remark,
                "the server says stale=true although no nonce was used, so a wrong password looks like an old nonce",
                "send stale=true only if the digest is right and the nonce is old (RFC 7616 section 3.3)",
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
                    "X-Sy.AuthURI names a host that you did not name: a digest for that host could be used there",
                    "let the header name the server itself or the upper server, or leave it out",
                ));
            }
        }
    }
    if stale_answers >= 2 {
        found.push(Finding::new(
            "stale-four-times",
            Weight::Fatal,
            "the server repeatedly says that a fresh nonce is stale",
            "let all nodes of the cluster share their nonces, or send each user to one node",
        ));
    } else if stale_answers == 1 {
        found.push(Finding::new(
            "two-round-trips",
            Weight::Note,
            "the server did not accept a nonce for a second request, so a wake-up takes two round trips",
            "let nonces live as long as registrations",
        ));
    }
    if realms.len() > 1 {
        found.push(Finding::new(
            "realm-changes",
            Weight::Remark,
            format!("the server challenges in several realms: {}", realms.into_iter().collect::<Vec<_>>().join(", ")),
            "use one realm: X-PIID and a stored HA1 are valid in one realm only",
        ));
    }
    found
}
