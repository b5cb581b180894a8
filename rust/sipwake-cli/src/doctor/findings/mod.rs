//! What the exchanges show: one rule for each thing that a server does otherwise than a phone needs it.

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
pub(super) use flows::{gateways_apart, no_flow, no_pong};
pub(super) use removals::not_removed;

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

/// The exchanges in which a Contact was bound, with it and the 200.
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
