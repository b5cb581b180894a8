//! What the exchanges show: one rule for each thing that a server does differently from what a phone needs.

mod challenges;
mod contacts;
mod flows;
mod lifetimes;
mod push;
mod refusals;
mod removals;

use serde_json::{Value, json};
use sipwake::Registered;
use sipwake::core::sip::Contact;

use super::transcript::{Exchange, Message, digest_param};
pub(super) use flows::{NO_WAY, gateways_apart, no_flow, no_pong};
pub(super) use removals::{not_removed, unbind_refused};

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

/// One finding.
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

/// The input of the rules in addition to the exchanges.
pub(super) struct Facts<'a> {
    pub(super) exchanges: &'a [Exchange],
    pub(super) registered: Option<&'a Registered>,
    /// The address of the account's server, as text.
    pub(super) server: &'a str,
    /// The hosts that the user named.
    pub(super) hosts: &'a [String],
    pub(super) connected: bool,
    /// The last four characters of both tokens, the old one first.
    pub(super) tokens: [&'a str; 2],
    /// The requested lifetime, in seconds.
    pub(super) expires: u32,
}

/// Applies each rule. Each reports a finding once.
pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let rules =
        [challenges::find, refusals::find, contacts::find, lifetimes::find, removals::find, push::find, flows::find];
    for rule in rules {
        for finding in rule(facts) {
            if !found.iter().any(|known: &Finding| known.code == finding.code) {
                found.push(finding);
            }
        }
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    found
}

fn authorized_nc(request: &Message) -> Option<&str> {
    request.is_authorized().then(|| request.digests().find_map(|value| digest_param(value, "nc")).unwrap_or("00000001"))
}

fn is_challenge(status: Option<u16>) -> bool {
    matches!(status, Some(401 | 407))
}

/// The exchanges that bound a Contact, with the Contact and the 200.
fn bindings<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a Exchange, Contact<'a>, &'a Message)> {
    let bound = |exchange: &'a Exchange| {
        let response = exchange.response.as_ref().filter(|_| exchange.status() == Some(200))?;
        Some((exchange, exchange.bound()?, response))
    };
    facts.exchanges.iter().filter_map(bound)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::transcript::Step;
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
            tokens: ["0001", "0002"],
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
    fn a_refused_nonce_is_told_from_a_refused_user() {
        let with = |nc: &str| format!("{REGISTER}Authorization: Digest realm=\"a\", nonce=\"…\", nc={nc}\n");
        let refused = "SIP/2.0 403 Forbidden\n";
        assert_eq!(codes(&[exchange(&with("00000002"), refused)]), ["nonce-once-403"]);
        assert_eq!(codes(&[exchange(&with("00000001"), refused)]), ["refused"]);
    }

    #[test]
    fn a_push_binding_that_stays_after_its_removal_is_reported() {
        let bare = "REGISTER sip:a SIP/2.0\nContact: <sip:alice@10.0.0.7:5060>\nAuthorization: Digest nc=00000001\n";
        let listed = |more: &str| format!("SIP/2.0 200 OK\nContact: <sip:alice@10.0.0.7:5060>;expires=3600\n{more}");
        let ours = "Contact: <sip:alice@10.0.0.7:5060;pn-prid=…0002 (40)>;expires=3600\n";
        let unbound = |request: &str, response: &str| {
            let challenge = exchange(request, "SIP/2.0 401 x\nWWW-Authenticate: Digest realm=\"a\", nonce=\"n\"\n");
            codes(&[challenge, Exchange { step: Step::Unbind, ..exchange(request, response) }])
        };
        assert!(unbound(bare, &listed(ours)).contains(&"push-stays"));
        assert!(!unbound(bare, &listed("")).contains(&"push-stays"));
        // A Contact of another device, and one that was bound again.
        assert!(!unbound(bare, &listed(&ours.replace("0002", "9999"))).contains(&"push-stays"));
        assert!(!unbound(&bare.replace("5060>", "5060;pn-prid=…0002 (40)>"), &listed(ours)).contains(&"push-stays"));
    }

    #[test]
    fn no_message_of_a_server_makes_a_rule_panic() {
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
