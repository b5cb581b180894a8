//! What the server keeps after a removal.

use sipwake::core::sip::Contact;

use super::super::transcript::{Exchange, HINT, Message, Step};
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
                "the server refuses to remove a binding (403), so a user who logged out still gets pushes",
                "accept a REGISTER with Expires: 0 from every user who may register",
            )),
            Some(301 | 302 | 305) => found.push(Finding::new(
                "removal-redirected",
                Weight::Remark,
                "the server redirects a removal to another host",
                "accept the removal on the host that made the binding",
            )),
            Some(555) => found.push(Finding::new(
                "removal-needs-no-push",
                Weight::Remark,
                "the server responds 555 to a removal that names the bound push parameters",
                "ignore pn-* in a removal",
            )),
            Some(200) if still => found.push(not_removed()),
            _ => {}
        }
    }
    let without_push = |exchange: &&Exchange| {
        let bare = exchange.bound().is_some_and(|contact| token_hint(contact.uri).is_none());
        bare && exchange.step == Step::Unbind && exchange.status() == Some(200)
    };
    for exchange in facts.exchanges.iter().filter(without_push) {
        let listed = exchange.response.as_ref().map(Message::contacts).unwrap_or_default();
        let ours = |contact: &Contact<'_>| {
            let hint = token_hint(contact.uri);
            hint.is_some_and(|hint| facts.tokens.contains(&hint)) && contact.expires() != Some(0)
        };
        if listed.iter().any(ours) {
            found.push(Finding::new(
                "push-stays",
                Weight::Remark,
                "the server keeps the push binding although the phone removed it and stays registered",
                "accept a Contact with expires=0 beside a live one, and ignore push parameters when you compare Contacts",
            ));
        }
    }
    let rotated =
        facts.exchanges.iter().filter(|exchange| exchange.step == Step::Rotate && exchange.status() == Some(200));
    for response in rotated.filter_map(|exchange| exchange.response.as_ref()) {
        let old = |contact: &Contact<'_>| token_hint(contact.uri) == Some(facts.tokens[0]);
        if response.contacts().iter().any(old) {
            found.push(Finding::new(
                "old-token-stays",
                Weight::Remark,
                "a new token makes a second binding, and the server keeps the old one although the phone removed it",
                "ignore pn-prid when you compare Contacts, and accept a Contact with expires=0 beside a live one",
            ));
        }
    }
    found
}

/// The phone could not remove its push binding.
pub(in crate::doctor) fn unbind_refused(why: &str) -> Finding {
    Finding::new(
        "unbind-refused",
        Weight::Remark,
        format!("a user who turned pushes off still gets them: {why}"),
        "accept a REGISTER whose Contact no longer has the push parameters",
    )
}

pub(in crate::doctor) fn not_removed() -> Finding {
    Finding::new(
        "removal-not-done",
        Weight::Remark,
        "the server responds 200 to a removal and keeps the binding",
        "check the registrar's database: the server reads bindings from another place than it writes them to",
    )
}
