//! What the server refuses, and how long it takes.

use std::time::Duration;

use super::super::transcript::Exchange;
use super::{Facts, Finding, Weight, authorized_nc};

/// Slower than this, a caller has hung up before the phone rings.
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
