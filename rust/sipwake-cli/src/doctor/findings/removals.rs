//! What the server keeps of what was taken back.

use sipwake::core::sip::Contact;

use super::super::transcript::{HINT, Step};
use super::{Facts, Finding, Weight};

/// The last four characters of a traced token.
fn token_hint(uri: &str) -> Option<&str> {
    uri.split(';').find_map(|param| param.strip_prefix("pn-prid="))?.strip_prefix(HINT)?.get(..4)
}

pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for exchange in facts.exchanges.iter().filter(|exchange| exchange.removes()) {
        let named = exchange.request.contacts();
        let still = exchange.response.as_ref().is_some_and(|response| {
            let listed = response.contacts();
            named.iter().any(|own| listed.iter().any(|contact| contact.uri == own.uri && contact.expires() != Some(0)))
        });
        match exchange.status() {
            Some(403) => found.push(Finding::new(
                "removal-refused",
                Weight::Remark,
                "the server refuses to forget a binding (403): a user who logged out goes on getting pushes",
                "accept a REGISTER with Expires: 0 from everybody who may register",
            )),
            Some(301 | 302 | 305) => found.push(Finding::new(
                "removal-redirected",
                Weight::Remark,
                "the server redirects a removal to another host",
                "take a removal where the binding was made",
            )),
            Some(555) => found.push(Finding::new(
                "removal-needs-no-push",
                Weight::Remark,
                "the server answers 555 to a removal that names the push parameters which it has bound",
                "ignore pn-* in a removal",
            )),
            Some(200) if still => found.push(not_removed()),
            _ => {}
        }
    }
    let rotated =
        facts.exchanges.iter().filter(|exchange| exchange.step == Step::Rotate && exchange.status() == Some(200));
    for response in rotated.filter_map(|exchange| exchange.response.as_ref()) {
        let old = |contact: &Contact<'_>| token_hint(contact.uri) == Some(facts.old_token);
        if response.contacts().iter().any(old) {
            found.push(Finding::new(
                "old-token-stays",
                Weight::Remark,
                "a new token makes a second binding, and the old one stays although it was removed",
                "compare Contacts without pn-prid, and take a Contact with expires=0 beside a live one",
            ));
        }
    }
    found
}

pub(in crate::doctor) fn not_removed() -> Finding {
    Finding::new(
        "removal-not-done",
        Weight::Remark,
        "the server says 200 to a removal and keeps the binding",
        "look at the registrar's database: it answers from elsewhere than it stores",
    )
}
