//! What the server says about push.

use sipwake::Standing;
use sipwake::core::push::Reason;

use super::super::transcript::Exchange;
use super::{Facts, Finding, Weight, bindings};

pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
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
                "the server accepted the push parameters once and refuses them later (555)",
                "check the push provider's settings: they have changed, or they differ between nodes",
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
            "nothing: a push gets through a NAT, and the REGISTER after it opens the way for the call",
        ));
    }
    if registered.suspicious_server {
        found.push(Finding::new(
            "wrong-server-proof",
            Weight::Remark,
            "the server's proof that it knows the password is wrong (rspauth): an attacker may be between you and the server",
            "use TLS; look for a proxy that responds instead of the registrar",
        ));
    }
    match (&registered.verdict.standing, &registered.verdict.reason) {
        (Standing::Confirmed | Standing::NotAsked, _)
        | (
            _,
            // The responses themselves show these.
            Reason::ProviderRefused | Reason::OtherDialectAfterRefusal | Reason::ContactRefused(_),
        ) => {}
        (standing, Reason::OtherProviders(others)) => found.push(Finding::new(
            "push-other-provider",
            if *standing == Standing::Refused { Weight::Fatal } else { Weight::Remark },
            format!("the server pushes through other providers than yours: {}", others.join(", ")),
            "configure this provider at the server, or choose another --provider",
        )),
        (_, Reason::NoAnswerInDialect) => found.push(Finding::new(
            "push-unsaid",
            Weight::Remark,
            "the server accepts the push parameters, and this dialect has no way to confirm push; only a call shows whether it works",
            "nothing at the server: call a sleeping phone (--call shows whether the server holds the call)",
        )),
        _ => found.push(Finding::new(
            "push-unsaid",
            Weight::Remark,
            "the server accepts the push parameters but does not confirm push; only a call shows whether it works",
            "send Feature-Caps (RFC 8599 section 4); Kamailio: docs/servers/kamailio.md",
        )),
    }
    found
}
