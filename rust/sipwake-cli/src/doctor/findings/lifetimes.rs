//! How long the server keeps a binding.

use std::time::Duration;

use sipwake::core::sip::Contact;

use super::{Facts, Finding, Weight, bindings};

/// A shorter lifetime keeps a phone's radio awake.
const SHORT: Duration = Duration::from_secs(120);

pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, ours, response) in bindings(facts) {
        let listed = response.contacts();
        let of = listed.iter().find(|contact| contact.uri == ours.uri).or(listed.last());
        let param = of.and_then(Contact::expires);
        let header: Option<u32> = response.header("Expires").and_then(|value| value.parse().ok());
        match (param, header) {
            (Some(0), _) | (None, Some(0)) => found.push(Finding::new(
                "lifetime-zero",
                Weight::Fatal,
                "the server responds 200 with a lifetime of 0",
                "allow at least one Contact for the user (Asterisk: max_contacts)",
            )),
            (None, None) => found.push(Finding::new(
                "lifetime-unsaid",
                Weight::Remark,
                "the server does not say how long the binding lasts",
                "send expires with each Contact (RFC 3261 section 10.3)",
            )),
            (None, Some(_)) if !listed.is_empty() => found.push(Finding::new(
                "lifetime-in-header",
                Weight::Note,
                "the server gives the lifetime only in the Expires header",
                "send expires with each Contact (RFC 3261 section 10.3)",
            )),
            (Some(granted), _) if Duration::from_secs(granted.into()) <= SHORT && granted < facts.expires => {
                found.push(Finding::new(
                    "lifetime-cut",
                    Weight::Remark,
                    format!("the server allows {granted} s, but {} s were requested", facts.expires),
                    "allow an hour for phones that are woken by push: each refresh wakes the radio",
                ));
            }
            _ => {}
        }
    }
    found
}
