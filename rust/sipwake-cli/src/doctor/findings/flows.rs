//! The connection to the server.

use std::collections::BTreeSet;

use sipwake::FlowError;
use sipwake::core::event::CertificateFault;

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
            "the server closes the connection after a registration, so calls cannot reach the phone",
            "set the load balancer's idle timeout longer than the keep-alive interval",
        ));
    }
    for exchange in facts.exchanges {
        let Some(response) = &exchange.response else { continue };
        if let Some(seconds) = response.header("Flow-Timer") {
            found.push(Finding::new(
                "flow-timer",
                Weight::Note,
                format!("the server wants a keep-alive every {seconds} s (Flow-Timer)"),
                "a phone that is woken by push needs no keep-alive: leave Flow-Timer out if the binding has push",
            ));
        }
        let asked = exchange.request.header("Via").is_some_and(|via| via.contains(";rport"));
        if asked && !response.header("Via").is_some_and(|via| via.contains("rport=")) {
            found.push(Finding::new(
                "via-unfilled",
                Weight::Note,
                "the server does not say which address the request came from (rport, RFC 3581)",
                "calls to phones behind a NAT need it (Kamailio: force_rport())",
            ));
        }
    }
    found
}

/// The server did not respond to the keep-alive of an idle connection.
pub(in crate::doctor) fn no_pong() -> Finding {
    Finding::new(
        "no-pong",
        Weight::Note,
        "the server does not respond to keep-alives (CRLF CRLF, RFC 5626 section 3.5.1) on a connection",
        "enable the response to keep-alives (Kamailio: tcp_crlf_ping): without it a phone does not notice a dead connection and misses calls",
    )
}

/// The other gateway does not know the binding of the first one.
pub(in crate::doctor) fn gateways_apart() -> Finding {
    Finding::new(
        "gateways-apart",
        Weight::Remark,
        "the second gateway does not know the binding of the first: a call that arrives there cannot reach the phone",
        "let the gateways share their bindings (Kamailio: usrloc's database or dmq_usrloc), or send all calls of a user to one gateway",
    )
}

/// What to do about a certificate that no phone would trust.
fn of_certificate(fault: &CertificateFault) -> &'static str {
    match fault {
        CertificateFault::Expired => "renew it, and reload the server",
        CertificateFault::NotYetValid => "check the clocks of the server that issued it and of this machine",
        CertificateFault::WrongName | CertificateFault::OnlyCommonName => {
            "issue it with a subjectAltName of the name that phones connect to"
        }
        CertificateFault::UnknownIssuer => {
            "send the whole chain, from an authority that phones trust; or name your own authority with --ca, and in the app"
        }
        CertificateFault::PinMismatch => "check --pin: the server uses another key",
        _ => "renew it, or name the authority or the key that you trust with --ca or --pin",
    }
}

/// The finding of [`no_flow`].
pub(in crate::doctor) const NO_WAY: [&str; 7] =
    ["no-address", "certificate", "client-certificate", "tls", "websocket", "not-sip", "unreachable"];

/// Says why no flow to the server could be opened.
pub(in crate::doctor) fn no_flow(error: &FlowError) -> Finding {
    let (code, change) = match error {
        FlowError::Unresolved => ("no-address", "check --server and the DNS"),
        FlowError::Certificate(fault) => ("certificate", of_certificate(fault)),
        FlowError::ClientCertificate(_) => {
            ("client-certificate", "use --client-certificate with a certificate that the server trusts")
        }
        FlowError::Tls(_) => ("tls", "check that the port speaks TLS, and TLS 1.2 or later"),
        FlowError::WebSocket(_) => (
            "websocket",
            "check --path, and whether the server accepts the sub-protocol sip and the Origin (a phone sends the server's own name)",
        ),
        FlowError::Garbage => ("not-sip", "check the port: the program behind it is not a SIP server"),
        _ => ("unreachable", "check address, port, transport and firewall"),
    };
    Finding::new(code, Weight::Fatal, format!("the server cannot be reached: {error}"), change)
}
