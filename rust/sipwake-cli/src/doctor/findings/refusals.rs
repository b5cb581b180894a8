//! What the server refuses, and how long it takes.

use std::time::Duration;

use super::super::transcript::Exchange;
use super::{Facts, Finding, Weight, authorized_nc};

/// With a slower response, a caller has hung up before the phone rings.
const SLOW: Duration = Duration::from_secs(4);

pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let succeeded = |exchange: &Exchange| exchange.status() == Some(200);
    let ever = facts.exchanges.iter().any(succeeded);
    let too_brief = facts.exchanges.iter().filter(|exchange| exchange.status() == Some(423)).count();
    for exchange in facts.exchanges.iter().filter(|exchange| !exchange.removes()) {
        let Some(response) = &exchange.response else {
            found.push(Finding::new(
                "silent",
                if ever { Weight::Remark } else { Weight::Fatal },
                "the server does not respond",
                "check address, port, transport and firewall, and whether fail2ban blocks this address",
            ));
            continue;
        };
        if exchange.took > SLOW {
            found.push(Finding::new(
                "slow",
                Weight::Remark,
                format!("the server took {:.1} s to respond", exchange.took.as_secs_f64()),
                "the caller has to wait for this: check the registrar's database and name server",
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
                format!("the server refuses a nonce that was already used once: {}", response.first),
                "respond with a new challenge and stale=true (RFC 7616 section 3.3)",
            ));
            continue;
        }
        let error = response.header("P-Registrar-Error").or(response.header("Warning")).unwrap_or_default();
        match exchange.status() {
            Some(400) if error.contains("too long") => found.push(Finding::new(
                "contact-too-long",
                Weight::Fatal,
                format!("the server refuses a Contact that is long enough for push: {error}"),
                "raise the registrar's limit (Kamailio: contact_max_size; OpenSIPS: a version after issue 3303)",
            )),
            Some(404) if ever => found.push(Finding::new(
                "unknown-at-first",
                Weight::Remark,
                "the server did not know the user at first, but did later",
                "load the users before the registrar accepts requests: a phone gives up after a 404",
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
                "the server sometimes refuses the user (403) and sometimes does not",
                "find the node of the cluster that does not have the user's data",
            )),
            Some(403) => found.push(Finding::new(
                "refused",
                Weight::Fatal,
                format!("the server refuses the user: {} {error}", response.first),
                "check the account at the server; some servers respond 403 to a wrong password",
            )),
            Some(503) => found.push(Finding::new(
                "busy-at-times",
                if ever { Weight::Remark } else { Weight::Fatal },
                "the server says that it is overloaded (503)",
                "check the server's load; give the account a second gateway",
            )),
            Some(302 | 301 | 305) => {
                let circles = response.contacts().iter().any(|contact| contact.uri.contains(facts.server));
                found.push(if circles {
                    Finding::new(
                        "redirected-in-circles",
                        Weight::Fatal,
                        "the server redirects to itself",
                        "let the load balancer forward requests instead of redirecting them, or name another server",
                    )
                } else {
                    Finding::new(
                        "redirected",
                        Weight::Remark,
                        format!("the server redirects: {}", response.first),
                        "use --server with the server that it redirects to: sipwake never sends secrets to the target of a redirect",
                    )
                });
            }
            Some(423) if too_brief >= 2 => found.push(Finding::new(
                "lifetime-too-brief",
                Weight::Fatal,
                "the server refuses every lifetime as too brief (423)",
                "lower the registrar's minimum (Kamailio: min_expires)",
            )),
            _ => {}
        }
    }
    found
}
