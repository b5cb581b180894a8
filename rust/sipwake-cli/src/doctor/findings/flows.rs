//! The connection to the server.

use std::collections::BTreeSet;

use sipwake::FlowError;

use super::super::transcript::Step;
use super::{Facts, Finding, Weight};

pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let of_client =
        facts.exchanges.iter().filter(|exchange| !matches!(exchange.step, Step::Read | Step::Second | Step::ReadAgain));
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

/// An idle connection's keep-alive was not answered.
pub(in crate::doctor) fn no_pong() -> Finding {
    Finding::new(
        "no-pong",
        Weight::Note,
        "the server does not answer keep-alives (CRLF CRLF, RFC 5626 section 3.5.1) on a connection",
        "switch their answers on (Kamailio: tcp_crlf_ping): a phone that waits on a dead connection misses calls",
    )
}

/// What is bound at one gateway is not known at the other.
pub(in crate::doctor) fn gateways_apart() -> Finding {
    Finding::new(
        "gateways-apart",
        Weight::Remark,
        "what is bound at the first gateway is not known at the second: a call that comes in there does not find the phone",
        "have the gateways share their bindings (Kamailio: usrloc's database or dmq_usrloc), or send a user's calls to one",
    )
}

/// Says why no flow to the server could be opened.
pub(in crate::doctor) fn no_flow(error: &FlowError) -> Finding {
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
