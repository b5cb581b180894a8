//! What to change for each server product, if the server gives its name.

use super::findings::Finding;
use super::transcript::{Exchange, Message};

/// A server whose settings the doctor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Kamailio,
    Asterisk,
    Other,
}

/// Longer texts of a server are cut here.
const LONGEST: usize = 80;

/// Finding, product, and what to change there.
const ADVICE: [(&str, Product, &str); 14] = [
    (
        "no-authentication",
        Product::Kamailio,
        "define WITH_AUTH in kamailio.cfg, and where the users are (WITH_MYSQL or another database)",
    ),
    (
        "push-unsaid",
        Product::Kamailio,
        "append_to_reply(\"Feature-Caps: *;+sip.pns=\\\"fcm\\\"\\r\\n\") before save(): docs/servers/kamailio.md",
    ),
    (
        "two-round-trips",
        Product::Kamailio,
        "auth: set nonce_expire to the lifetime of registrations, and do not use one_time_nonce",
    ),
    ("stale-four-times", Product::Kamailio, "auth: set the same secret on all nodes, and do not use one_time_nonce"),
    ("lifetime-too-brief", Product::Kamailio, "registrar: lower min_expires"),
    ("lifetime-cut", Product::Kamailio, "registrar: raise max_expires to 3600"),
    ("contact-crowd", Product::Kamailio, "registrar: set max_contacts"),
    ("via-unfilled", Product::Kamailio, "call force_rport() before save()"),
    (
        "contact-rewritten",
        Product::Asterisk,
        "pjsip.conf, endpoint: rewrite_contact=no for other clients; sipwake needs no change",
    ),
    ("lifetime-zero", Product::Asterisk, "pjsip.conf, aor: max_contacts=1 or more"),
    ("lifetime-cut", Product::Asterisk, "pjsip.conf, aor: raise maximum_expiration to 3600"),
    ("lifetime-too-brief", Product::Asterisk, "pjsip.conf, aor: lower minimum_expiration"),
    (
        "old-token-stays",
        Product::Asterisk,
        "pjsip.conf, aor: remove_existing=yes with max_contacts=1, or remove_unavailable=yes",
    ),
    (
        "push-unsaid",
        Product::Asterisk,
        "Asterisk does not push by itself: put a push gateway in front of it (docs/servers/pbx.md)",
    ),
];

/// Returns the server's name for itself.
pub(super) fn of(exchanges: &[Exchange]) -> Option<(String, Product)> {
    let said = exchanges.iter().filter_map(|exchange| exchange.response.as_ref()).find_map(named)?;
    let known = said.to_ascii_lowercase();
    let product = match known.as_str() {
        known if known.starts_with("kamailio") => Product::Kamailio,
        known if known.starts_with("asterisk") || known.starts_with("fpbx") => Product::Asterisk,
        _ => Product::Other,
    };
    let shown = said.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    Some((shown, product))
}

fn named(response: &Message) -> Option<&str> {
    response.header("Server").or(response.header("User-Agent")).filter(|said| !said.is_empty())
}

/// Gives the advice with the names of the product's own settings.
pub(super) fn advise(product: Product, findings: &mut [Finding]) {
    for finding in findings {
        let known = ADVICE.iter().find(|(code, of, _)| *code == finding.code && *of == product);
        if let Some((_, _, change)) = known {
            finding.change = change;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::findings::Weight;
    use super::super::transcript::Step;
    use super::*;

    fn exchange(server: &str) -> Exchange {
        Exchange {
            step: Step::Register,
            flow: 1,
            request: Message::parse("REGISTER sip:a SIP/2.0\n"),
            response: Some(Message::parse(&format!("SIP/2.0 200 OK\nServer: {server}\n"))),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn advice_is_in_the_words_of_the_product() {
        let finding = |code| Finding::new(code, Weight::Remark, "x", "in general");
        for (server, change) in [
            ("kamailio (5.8.4 (x86_64/linux))", "registrar: raise max_expires to 3600"),
            ("Asterisk PBX 20.6.0", "pjsip.conf, aor: raise maximum_expiration to 3600"),
            ("FPBX-16.0.40.7(18.13.0)", "pjsip.conf, aor: raise maximum_expiration to 3600"),
            ("mock-gateway", "in general"),
        ] {
            let (said, product) = of(&[exchange(server)]).expect("it says so");
            let mut findings = [finding("lifetime-cut")];
            advise(product, &mut findings);
            assert_eq!((said.as_str(), findings[0].change), (server, change));
        }
        assert_eq!(of(&[exchange("")]), None);
    }

    #[test]
    fn the_name_of_a_server_is_shortened_and_shows_no_control_characters() {
        let (said, product) = of(&[exchange(&format!("\u{1b}[2J{}", "x".repeat(500)))]).expect("it says so");
        assert_eq!((said.chars().count(), product), (LONGEST, Product::Other));
        assert!(!said.contains('\u{1b}'));
    }
}
