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
