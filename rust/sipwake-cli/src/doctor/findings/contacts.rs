//! What the server does with our Contact, and what it lists beside it.

use sipwake::core::sip::{Contact, split_list, unescape};

use super::{Facts, Finding, Weight, bindings};

/// Many servers and clients cut longer lines than this.
const LONG_LINE: usize = 8000;

pub(super) fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for response in facts.exchanges.iter().filter(|exchange| exchange.status() == Some(200)) {
        let Some(response) = &response.response else { continue };
        let lines: Vec<&str> = response.all("Contact").collect();
        if lines.iter().any(|line| line.len() > LONG_LINE) {
            found.push(Finding::new(
                "contact-crowd",
                Weight::Note,
                format!("the server lists {} Contacts in one line", response.contacts().len()),
                "limit the bindings of a user (Kamailio: max_contacts), and let old ones expire",
            ));
        }
        let readable = |value: &str| Contact::parse(value).and_then(|contact| contact.parsed()).is_some();
        if lines.iter().flat_map(|line| split_list(line)).any(|value| !readable(value)) {
            found.push(Finding::new(
                "contact-broken-neighbour",
                Weight::Remark,
                "the server lists a Contact of another device that cannot be read",
                "find the device that registered it; other clients may fail to read the Contacts after it",
            ));
        }
    }
    for (_, ours, response) in bindings(facts) {
        if response.header("Contact").is_none() {
            found.push(Finding::new(
                "contact-unlisted",
                Weight::Remark,
                "the server lists no Contact in its 200, so a phone cannot check its binding",
                "list the bindings (RFC 3261 section 10.3)",
            ));
            continue;
        }
        let listed = response.contacts();
        if !listed.iter().any(|contact| contact.uri == ours.uri) {
            found.extend(rewritten(&ours, &listed));
        }
    }
    found
}

/// Says how the server changed our Contact, by the most similar one in its list.
fn rewritten(ours: &Contact<'_>, listed: &[Contact<'_>]) -> Option<Finding> {
    let own = ours.parsed()?;
    let of_user = |contact: &&Contact<'_>| contact.parsed().is_some_and(|uri| uri.user == own.user);
    let theirs = listed.iter().rfind(of_user)?;
    let parsed = theirs.parsed()?;
    let plain = |uri: &str| {
        let parts = uri.split(';').filter(|part| !part.starts_with("pn-prid="));
        parts.map(|part| unescape(part).map(std::borrow::Cow::into_owned).unwrap_or_default()).collect::<Vec<_>>()
    };
    let pushes = |uri: &str| uri.contains(";pn-");
    Some(if pushes(ours.uri) && !pushes(theirs.uri) {
        Finding::new(
            "push-stripped",
            Weight::Fatal,
            "the server drops the push parameters of our Contact",
            "let the session border controller or proxy in front of the server forward pn-* and X-MPUSH",
        )
    } else if parsed.host != own.host || parsed.port != own.port {
        Finding::new(
            "contact-rewritten",
            Weight::Note,
            "the server lists our Contact with the address that it saw",
            "nothing for sipwake; for other clients turn rewriting off (Asterisk: rewrite_contact)",
        )
    } else if plain(ours.uri) == plain(theirs.uri) {
        Finding::new(
            "contact-escaped",
            Weight::Note,
            "the server lists our Contact with other characters escaped",
            "nothing for sipwake; a server that compares Contacts byte by byte may not find the binding again",
        )
    } else {
        Finding::new(
            "contact-shortened",
            Weight::Note,
            "the server lists our Contact without some of its parameters",
            "nothing for sipwake, unless transport matters for calls",
        )
    })
}
